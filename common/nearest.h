/*
 * nearest.h - "did you mean": the known name nearest to a mistyped one.
 *
 *     struct nearest n;
 *     nearest_init(&n, "lisen");
 *     for each name: nearest_consider(&n, name);
 *     if (nearest_name(&n) != NULL) ...
 */
#ifndef COMMON_NEAREST_H
#define COMMON_NEAREST_H

struct nearest {
	const char *word;
	const char *best;
	unsigned distance;
};

/* Both strings are borrowed as long as n is used. */
void nearest_init(struct nearest *n, const char *word);
void nearest_consider(struct nearest *n, const char *name);
/* NULL when no name is near enough to be worth saying. */
const char *nearest_name(const struct nearest *n);

#endif

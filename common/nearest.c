#include "common/nearest.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

#define WORD_MAX 63 /* longer names are not compared */

static unsigned smallest(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;

	return least < c ? least : c;
}

/*
 * Insertions, deletions, substitutions and swaps of neighbours that turn one
 * into the other; three rows of the usual matrix.
 */
static unsigned distance(
    const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= b_len; j++)
		above[j] = before[j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned *oldest = before;

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			row[j] = smallest(row[j - 1] + 1, above[j] + 1,
			    above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] && before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		before = above;
		above = row;
		row = oldest;
	}
	return above[b_len];
}

void nearest_init(struct nearest *n, const char *word)
{
	*n = (struct nearest){ .word = word, .distance = UINT_MAX };
}

void nearest_consider(struct nearest *n, const char *name)
{
	size_t word_len = strlen(n->word);
	size_t name_len = strlen(name);
	unsigned d;

	if (word_len > WORD_MAX || name_len > WORD_MAX || word_len == 0)
		return;
	d = distance(n->word, word_len, name, name_len);
	/* A beginning that was not finished is near, too. */
	if (d > 1 && word_len >= 3 && strncmp(n->word, name, word_len) == 0)
		d = 1;
	if (d < n->distance) {
		n->distance = d;
		n->best = name;
	}
}

const char *nearest_name(const struct nearest *n)
{
	size_t len = strlen(n->word);
	unsigned bound = len <= 3 ? 1 : len <= 6 ? 2 : 3;

	return n->distance <= bound ? n->best : NULL;
}

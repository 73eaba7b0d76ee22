#include "tentacle/floors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t floor_bucket(const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name != '\0'; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	return h % FLOOR_BUCKETS;
}

static struct floor *find(const struct floors *f, const char *name)
{
	struct floor *at = f->buckets[floor_bucket(name)];

	while (at != NULL && strcmp(at->name, name) != 0)
		at = at->next;
	return at;
}

uint64_t floor_of(const struct floors *f, const char *name)
{
	const struct floor *at = find(f, name);

	return at != NULL ? at->value : 0;
}

enum rc floor_raise(
    struct floors *f, const char *name, uint64_t value, uint64_t at_ms)
{
	struct floor *at = find(f, name);

	if (at == NULL) {
		size_t bucket = floor_bucket(name);

		at = calloc(1, sizeof(*at));
		if (at == NULL)
			return RC_NOMEM;
		(void)snprintf(at->name, sizeof(at->name), "%s", name);
		at->next = f->buckets[bucket];
		f->buckets[bucket] = at;
	}
	if (value > at->value)
		at->value = value;
	if (at_ms > at->at_ms)
		at->at_ms = at_ms;
	return RC_OK;
}

void floor_keep(struct floors *f, const char *name)
{
	struct floor *at = find(f, name);

	if (at != NULL)
		at->kept = true;
}

void floors_free(struct floors *f)
{
	for (size_t i = 0; i < FLOOR_BUCKETS; i++) {
		while (f->buckets[i] != NULL) {
			struct floor *next = f->buckets[i]->next;

			free(f->buckets[i]);
			f->buckets[i] = next;
		}
	}
}

void floors_expire(struct floors *f,
    bool (*is_over)(const char *name, uint64_t below), uint64_t below)
{
	for (size_t i = 0; i < FLOOR_BUCKETS; i++) {
		struct floor **link = &f->buckets[i];

		while (*link != NULL) {
			struct floor *at = *link;

			if (at->kept || !is_over(at->name, below)) {
				at->kept = false;
				link = &at->next;
				continue;
			}
			*link = at->next;
			free(at);
		}
	}
}

const struct floor *floor_next(
    const struct floors *f, const struct floor *after)
{
	size_t bucket = 0;

	if (after != NULL) {
		if (after->next != NULL)
			return after->next;
		bucket = floor_bucket(after->name) + 1;
	}
	for (; bucket < FLOOR_BUCKETS; bucket++) {
		if (f->buckets[bucket] != NULL)
			return f->buckets[bucket];
	}
	return NULL;
}

/*
 * lookup.h - find a thing by its name among many: a hash table whose items lie
 * in the things themselves.
 *
 * The number of buckets doubles as things are added, so that a look-up stays
 * as cheap with ten thousand as with ten; when there is no memory for more
 * buckets, look-ups only get slower.  The hash is seeded at random, so that
 * nobody can choose names that meet in one bucket.  One thread at a time.
 */
#ifndef COMMON_LOOKUP_H
#define COMMON_LOOKUP_H

#include "proto/rc.h"

#include <stddef.h>
#include <stdint.h>

/* Embed it as the first member. */
struct lookup_item {
	struct lookup_item *next; /* in its bucket */
	uint64_t hash;
	const char *key; /* borrowed: must not change while it is in */
};

struct lookup {
	struct lookup_item **buckets;
	size_t bucket_count; /* a power of two */
	size_t count;
	uint64_t seed;
};

/* RC_NOMEM. */
MUST_CHECK enum rc lookup_init(struct lookup *l);
/* The things stay.  Twice, or after only zeroing it, is fine. */
void lookup_fini(struct lookup *l);
/* The key must not be in it yet. */
void lookup_add(struct lookup *l, struct lookup_item *item, const char *key);
/* It must be in it. */
void lookup_remove(struct lookup *l, struct lookup_item *item);
/* NULL: there is none of this name. */
struct lookup_item *lookup_find(const struct lookup *l, const char *key);
size_t lookup_count(const struct lookup *l);

#endif

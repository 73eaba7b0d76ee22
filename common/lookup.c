#include "common/lookup.h"

#include "common/random.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_BUCKETS 64

static uint64_t hash_of(const struct lookup *l, const char *key)
{
	uint64_t h = l->seed;

	for (; *key != '\0'; key++)
		h = (h ^ (uint8_t)*key) * 1099511628211ULL; /* FNV-1a */
	/* The low bits choose the bucket: let the high ones have a say. */
	h = (h ^ (h >> 32)) * 0x9e3779b97f4a7c15ULL;
	return h ^ (h >> 29);
}

static struct lookup_item **bucket(const struct lookup *l, uint64_t hash)
{
	return &l->buckets[hash & (l->bucket_count - 1)];
}

enum rc lookup_init(struct lookup *l)
{
	*l = (struct lookup){ .bucket_count = FIRST_BUCKETS };
	l->buckets = calloc(FIRST_BUCKETS, sizeof(struct lookup_item *));
	random_bytes(&l->seed, sizeof(l->seed));
	return l->buckets != NULL ? RC_OK : RC_NOMEM;
}

void lookup_fini(struct lookup *l)
{
	free(l->buckets);
	*l = (struct lookup){ .buckets = NULL };
}

static void grow(struct lookup *l)
{
	struct lookup bigger = *l;

	bigger.bucket_count *= 2;
	bigger.buckets =
	    calloc(bigger.bucket_count, sizeof(struct lookup_item *));
	if (bigger.buckets == NULL)
		return;
	for (size_t i = 0; i < l->bucket_count; i++) {
		struct lookup_item *item, *next;

		for (item = l->buckets[i]; item != NULL; item = next) {
			struct lookup_item **b = bucket(&bigger, item->hash);

			next = item->next;
			item->next = *b;
			*b = item;
		}
	}
	free(l->buckets);
	*l = bigger;
}

void lookup_add(struct lookup *l, struct lookup_item *item, const char *key)
{
	struct lookup_item **b;

	if (l->count >= l->bucket_count)
		grow(l);
	item->key = key;
	item->hash = hash_of(l, key);
	b = bucket(l, item->hash);
	item->next = *b;
	*b = item;
	l->count++;
}

void lookup_remove(struct lookup *l, struct lookup_item *item)
{
	struct lookup_item **b = bucket(l, item->hash);

	while (*b != item)
		b = &(*b)->next;
	*b = item->next;
	item->next = NULL;
	l->count--;
}

struct lookup_item *lookup_find(const struct lookup *l, const char *key)
{
	uint64_t hash = hash_of(l, key);
	struct lookup_item *item = *bucket(l, hash);

	while (
	    item != NULL && (item->hash != hash || strcmp(item->key, key) != 0))
		item = item->next;
	return item;
}

size_t lookup_count(const struct lookup *l)
{
	return l->count;
}

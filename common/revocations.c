#include "common/revocations.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct hash {
	uint8_t bytes[KEY_HASH_SIZE];
};

struct revocations {
	atomic_uint refs;
	uint64_t number[REVOKED_COUNT];
	size_t count;
	struct hash hashes[]; /* of both lists, sorted */
};

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, KEY_HASH_SIZE);
}

enum rc revocations_new(
    const struct revocation_list lists[REVOKED_COUNT], struct revocations **out)
{
	struct revocations *r;
	size_t i, count = 0;

	for (i = 0; i < REVOKED_COUNT; i++) {
		if (lists[i].count > REVOCATIONS_MAX)
			return RC_LIMIT;
		count += lists[i].count;
	}
	r = calloc(1, sizeof(*r) + count * sizeof(r->hashes[0]));
	if (r == NULL)
		return RC_NOMEM;
	atomic_init(&r->refs, 1);
	for (i = 0; i < REVOKED_COUNT; i++) {
		r->number[i] = lists[i].number;
		if (lists[i].count > 0)
			memcpy(&r->hashes[r->count], lists[i].hashes,
			    lists[i].count * KEY_HASH_SIZE);
		r->count += lists[i].count;
	}
	if (count > 0)
		qsort(r->hashes, count, sizeof(r->hashes[0]), compare);
	*out = r;
	return RC_OK;
}

struct revocations *revocations_ref(struct revocations *r)
{
	if (r != NULL)
		atomic_fetch_add(&r->refs, 1);
	return r;
}

void revocations_unref(struct revocations *r)
{
	if (r != NULL && atomic_fetch_sub(&r->refs, 1) == 1)
		free(r);
}

bool revocations_has(
    const struct revocations *r, const uint8_t hash[KEY_HASH_SIZE])
{
	return r != NULL && r->count > 0 &&
	       bsearch(hash, r->hashes, r->count, sizeof(r->hashes[0]),
		   compare) != NULL;
}

uint64_t revocations_number(
    const struct revocations *r, enum revocation_kind kind)
{
	return r != NULL && kind < REVOKED_COUNT ? r->number[kind] : 0;
}

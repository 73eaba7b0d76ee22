/*
 * revocations.h - the hashes of keys that are no longer trusted.
 *
 * Two numbered lists, one of relays and tentacles (signed by `agents`), one of
 * nodes (signed by `nodes`).  An immutable, reference counted snapshot: a new
 * list makes a new object, so verifiers on any thread never see half of one.
 */
#ifndef COMMON_REVOCATIONS_H
#define COMMON_REVOCATIONS_H

#include "common/key.h"
#include "proto/message_upkeep.h"
#include "proto/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct revocation_list {
	uint64_t number;       /* 0: none seen yet */
	const uint8_t *hashes; /* count * KEY_HASH_SIZE bytes, any order */
	size_t count;
};

struct revocations;

/* Copies both lists.  RC_LIMIT: over REVOCATIONS_MAX; RC_NOMEM. */
MUST_CHECK enum rc revocations_new(
    const struct revocation_list lists[REVOKED_COUNT],
    struct revocations **out);
struct revocations *revocations_ref(struct revocations *r); /* NULL is fine */
void revocations_unref(struct revocations *r);              /* NULL is fine */

/* NULL revokes nothing and has the numbers 0. */
bool revocations_has(
    const struct revocations *r, const uint8_t hash[KEY_HASH_SIZE]);
uint64_t revocations_number(
    const struct revocations *r, enum revocation_kind kind);

#endif

/*
 * node.h - the keys that servers have, and had, as each wrote of itself.
 *
 * So that a stolen one can be revoked without asking the server that lost it.
 * SQL thread only.
 */
#ifndef SERVER_STORE_NODE_H
#define SERVER_STORE_NODE_H

#include "server/store/db.h"
#include "server/store/types.h"

#include <stdbool.h>

struct store_node {
	char name[STORE_NAME_SIZE];
	uint8_t spki[STORE_SHA256_SIZE];
	char version[STORE_NAME_SIZE];
	uint64_t not_after_ms; /* of its newest certificate for this key */
	uint64_t first_ms, seen_ms;
	bool revoked; /* not written */
};

#define STORE_NODES_MAX 500 /* in one list */

/* This server has this key now.  Those whose certificate ended long ago are
 * forgotten. */
MUST_CHECK enum rc store_node_seen(
    struct db *db, const struct store_node *node);
/* Keys by name, the oldest first; free(*rows). */
MUST_CHECK enum rc store_node_list(
    struct db *db, struct store_node **rows, size_t *count);
/*
 * The only key of this name that is not revoked, but for that of the server
 * that asks (NULL: none).  RC_NOTFOUND, RC_STATE (several), with a fault.
 */
MUST_CHECK enum rc store_node_find(struct db *db, const char *name,
    const uint8_t *but, struct store_node *out, struct fault *fault);
/* Is it a key of this node, as far as anybody knows?  RC_STATE with a fault: of
 * another.  One that nobody was seen to have is fine. */
MUST_CHECK enum rc store_node_check(struct db *db, const char *name,
    const uint8_t key[STORE_SHA256_SIZE], struct fault *fault);

#endif

/*
 * keys.h - what a node must know to serve, from its state directory and its
 * database: who it is, whom it trusts, what it signs with.
 */
#ifndef SERVER_KEYS_H
#define SERVER_KEYS_H

#include "common/ca.h"
#include "common/identity.h"
#include "common/trust.h"
#include "common/wrap.h"
#include "proto/message.h"
#include "server/settings.h"
#include "server/store/store.h"
#include "server/store/task.h"

struct server_keys {
	struct wrap_key master;
	struct identity *identity;
	struct trust *trust;
	struct ca *agents;
	uint8_t root_hash[KEY_HASH_SIZE];
	char cluster[ID_SIZE];
	char incarnation[STORE_OWNER_SIZE]; /* as in the database */
	struct msg_incarnation incarnation_msg;
	char node[ID_SIZE]; /* this node's random id */
};

/* Before the store is opened: is there a cluster at all?  RC_NOTFOUND. */
MUST_CHECK enum rc server_keys_check(
    const struct server_settings *settings, struct fault *fault);
/* Blocks on the store.  On failure *out is empty and fault says why. */
MUST_CHECK enum rc server_keys_load(const struct server_settings *settings,
    struct store *store, struct server_keys *out, struct fault *fault);
void server_keys_fini(struct server_keys *keys);

#endif

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
#include "server/store/rotation.h"
#include "server/store/store.h"
#include "server/store/task.h"

/* What the database says of authorities; server_ca_rows_clear(). */
struct server_ca_rows {
	char *agents_key, *agents_chain; /* chain NULL: in its file */
	size_t agents_key_len, agents_chain_len;
	struct store_rotation rotation; /* id 0: there never was one */
};
/* SQL thread. */
MUST_CHECK enum rc server_ca_rows_read(
    struct db *db, struct server_ca_rows *out);
void server_ca_rows_clear(struct server_ca_rows *rows);

/* Authorities that were followed: threads may still sign by them. */
struct former_ca {
	struct former_ca *next;
	struct ca *ca;
};

struct server_keys {
	struct wrap_key master;
	struct identity *identity;
	struct trust *trust;
	struct ca *agents;
	struct ca *nodes; /* NULL: its key is not on this node */
	struct former_ca *former;
	uint8_t *bundle; /* the signed trust bundle of now; NULL: none */
	size_t bundle_len;
	uint64_t bundle_number;
	/* The rotation that was followed last; id 0: none. */
	uint64_t rotation;
	enum rotation_phase phase;
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
/*
 * Make files, identity, trust and authorities be as the rows say; the objects
 * stay the same ones, but for agents and nodes.  Idempotent: also at the start,
 * after a crash anywhere in a rotation.  Blocks on the disk.  *fault.
 */
MUST_CHECK enum rc server_keys_follow(const struct server_settings *settings,
    const struct server_ca_rows *rows, struct server_keys *keys,
    struct fault *fault);
/*
 * A later certificate for this node's key, when half of life_s is over.
 * RC_NOTFOUND: it is due, and the key of `nodes` is not here.  *changed: it
 * has one.
 */
MUST_CHECK enum rc server_keys_renew(const struct server_settings *settings,
    struct server_keys *keys, int64_t life_s, bool *changed,
    struct fault *fault);
void server_keys_fini(struct server_keys *keys);

#endif

/*
 * keeper.h - keeps the node's own keys and authorities as they shall be while
 * it serves: rotations go on, the node's and the HTTPS port's certificates are
 * renewed, and what cannot be renewed is warned of.
 *
 * Main loop's thread; reads and writes a few files of the state directory.
 */
#ifndef SERVER_KEEPER_H
#define SERVER_KEEPER_H

#include "server/api/api.h"
#include "server/fleet/fleet.h"
#include "server/keys.h"

struct keeper;

/* Borrowed until keeper_free(). */
struct keeper_parts {
	struct loop *loop;
	struct store *store;
	const struct server_settings *settings;
	struct server_keys *keys;
	struct fleet *fleet;
	struct api *api;
};

MUST_CHECK enum rc keeper_new(
    const struct keeper_parts *parts, struct keeper **out);
/* After the store was closed and the loop has heard all of its answers. */
void keeper_free(struct keeper *k); /* NULL is fine */
/* Nothing more is begun. */
void keeper_stop(struct keeper *k);
/* Rows of rotations have changed: look now. */
void keeper_poke(struct keeper *k);

/* What fleet_new() and fleet_set_issuer() shall sign and spread. */
void keeper_issuer(const struct server_keys *keys, struct fleet_issuer *out);

#endif

/* route.h - routes as rows, and the numbers of the route table: what
 * machine.c, relay.c and token.c share inside server/store.  Not for others. */
#ifndef SERVER_STORE_ROUTE_H
#define SERVER_STORE_ROUTE_H

#include "server/store/machine.h"

/* The next number of the route table. */
MUST_CHECK enum rc route_next_seq(struct db *db, uint64_t *out);
/* A target left the table: "machine/<id>". */
MUST_CHECK enum rc route_add_gone(
    struct db *db, const char *kind, const char *name);
/* It is back. */
MUST_CHECK enum rc route_remove_gone(
    struct db *db, const char *kind, const char *name);

/* Whose routes: a machine's, by id, or a relay's, by name. */
struct route_owner {
	enum store_role role;
	const char *id;
};
/*
 * Insert the routes of who has none.  RC_NOTFOUND: a relay in a path does not
 * exist; RC_EXISTS: the same path twice; RC_LIMIT; with a fault.
 */
MUST_CHECK enum rc route_insert_all(struct db *db,
    const struct route_owner *owner, const struct store_route *routes,
    size_t count, struct fault *fault);
MUST_CHECK enum rc route_delete_all(
    struct db *db, const struct route_owner *owner);
MUST_CHECK enum rc route_load_all(struct db *db,
    const struct route_owner *owner, struct store_route out[STORE_ROUTES_MAX],
    size_t *count);
/*
 * This relay's routes have changed: whatever leads through it may be reached
 * by other ways now, so it gets a number above the relay's own.
 */
MUST_CHECK enum rc route_touch_behind(struct db *db, const char *relay);

#endif

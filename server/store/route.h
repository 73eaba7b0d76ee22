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

/* Insert the routes of a machine that has none. */
MUST_CHECK enum rc route_insert_all(struct db *db, const char *machine,
    const struct store_route *routes, size_t count, struct fault *fault);
MUST_CHECK enum rc route_load_all(
    struct db *db, const char *machine, struct store_machine *out);

/*
 * One row in a table of hops for each relay in the path.  sql has the
 * parameters owner, position, relay, and ordinal when owner has several.
 * RC_NOTFOUND and fault: no such relay.
 */
struct route_hops {
	const char *sql;
	const char *owner;
	int ordinal; /* -1: none */
};
MUST_CHECK enum rc route_insert_hops(struct db *db,
    const struct route_hops *how, const char *path, struct fault *fault);

#endif

/*
 * expand.h - all ways to a target, from the routes that people have given.
 * Pure.
 *
 * A route names the relays to pass.  The last of them may itself be reached in
 * several ways; then so may the target: given `a/c`, and relay c by `a` or `b`,
 * it is reached by `a/c`, else by `b/c`.  Given `c` alone, by the same two, in
 * the order that counts for c.
 */
#ifndef SERVER_FLEET_EXPAND_H
#define SERVER_FLEET_EXPAND_H

#include "server/fleet/slices.h"
#include "server/store/machine.h"

/* No target has more ways than these. */
#define EXPAND_MAX STORE_ROUTES_MAX

/* What was given for a relay, best first; borrowed. */
struct expand_given {
	const struct fleet_route *routes;
	size_t count;
};

struct expand {
	/* count 0: there is no such relay. */
	struct expand_given (*given)(void *arg, const char *relay);
	void *arg;
};

/*
 * Writes at most EXPAND_MAX routes to out, best first, and returns how many.
 * Each of those given (at most EXPAND_MAX) is among them, but for one that
 * names a single relay which has no direct route; behind each come those that
 * follow from it, while there is room.
 */
size_t expand_routes(const struct expand *how, const struct expand_given *given,
    struct fleet_route out[EXPAND_MAX]);

#endif

/*
 * slices.h - which part of the route table a relay gets.  Pure.
 *
 * A route is the path of relays from the server to a target, nearest first.
 * A relay's slice holds each target that has this relay in one of its paths:
 * how it goes on from there, and from whom such a stream may come.
 */
#ifndef SERVER_FLEET_SLICES_H
#define SERVER_FLEET_SLICES_H

#include "proto/message_control.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fleet_route {
	struct path path;             /* count 0: direct */
	char endpoint[ENDPOINT_SIZE]; /* the last hop dials it; "": it dials
	                                 the last hop */
};

/* All borrowed. */
struct slice_target {
	const char *text; /* "machine/<id>" */
	const char *name; /* as people call it */
	uint64_t seq;
	const struct fleet_route *routes; /* best first */
	size_t route_count;
};

/* An entry with room for what it points to; do not copy it. */
struct slice_entry {
	struct msg_table_entry entry;
	struct msg_neighbour from[TABLE_FROM_MAX];
	struct msg_neighbour also[TABLE_ALSO_MAX];
};

/*
 * The target as this relay shall know it; node is the server's own name.
 * False: it is not in the relay's slice, *out is a "gone".  Where several
 * routes pass the relay, its own link to the target counts, then the relay
 * that comes next in the first of them; others that come next are in `also`.
 * One whose last hop shall be dialled elsewhere than in an earlier one is left
 * out.
 */
bool slice_make(const struct slice_target *target, const char *relay,
    const char *node, struct slice_entry *out);

#endif

/*
 * traces.h - traces that somebody follows by the API: begun by one request,
 * read by others as hops answer.
 *
 * Main loop's thread.  A trace is forgotten a minute after it has ended.
 */
#ifndef SERVER_TRACES_H
#define SERVER_TRACES_H

#include "server/api/api.h"
#include "server/fleet/trace.h"

struct traces; /* opaque; server/traces.c */

/* Borrows both. */
MUST_CHECK enum rc traces_new(
    struct loop *loop, struct fleet *fleet, struct traces **out);
/* After api_stop(), before fleet_free(); NULL is fine. */
void traces_free(struct traces *all);

/* API_LIVE_TRACE_START: answers at once. */
void traces_start(struct traces *all, struct api_live *question);
/* API_LIVE_TRACE: answers once there is more than it has, or the end, or
 * after a few seconds. */
void traces_more(struct traces *all, struct api_live *question);

#endif

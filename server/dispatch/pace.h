/*
 * pace.h - a budget of things under way: so many in all, and so many by way of
 * each relay, so that a fleet is never asked faster than its narrowest hop
 * bears.  Pure.
 *
 *     pace_enter() --WAITING--> pace_next() --RUNNING--> pace_leave()
 *
 * Hops take turns, so that a site with ten thousand machines does not keep one
 * with ten waiting.  At each hop those that somebody waits for go first, but
 * every fourth turn is one of the others', if there are any.
 *
 * Items are the caller's; the bound of what waits is theirs.  One thread.
 */
#ifndef SERVER_DISPATCH_PACE_H
#define SERVER_DISPATCH_PACE_H

#include "proto/rc.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct pace;
struct pace_hop;

enum pace_state {
	PACE_OUT, /* all zero is a good beginning */
	PACE_WAITING,
	PACE_RUNNING,
};

enum pace_class {
	PACE_ASKED, /* a person or a task waits for it */
	PACE_PLANNED,
	PACE_CLASS_COUNT
};

/* Embed it.  Only pace.c writes it. */
struct pace_item {
	TAILQ_ENTRY(pace_item) next;
	struct pace_hop *hop;
	enum pace_state state;
	enum pace_class class;
};

struct pace_limits {
	uint32_t total, per_hop; /* under way at once, 1.. */
};

/* RC_NOMEM. */
MUST_CHECK enum rc pace_new(
    const struct pace_limits *limits, struct pace **out);
/* All items must have left.  NULL is fine. */
void pace_free(struct pace *p);

/* hop: a relay's name, "" for none.  RC_NOMEM: it is OUT still. */
MUST_CHECK enum rc pace_enter(struct pace *p, struct pace_item *item,
    const char *hop, enum pace_class class);
/* The next that may begin, RUNNING now; NULL: none, for now. */
struct pace_item *pace_next(struct pace *p);
/* It is over, or not wanted any more.  OUT is fine. */
void pace_leave(struct pace *p, struct pace_item *item);

uint32_t pace_running(const struct pace *p);

#endif

/*
 * checks.h - when each machine is checked next.  Pure: time is a number, and
 * chance is the caller's.
 *
 * Every machine once in each interval, spread over it: those known at the start
 * at a random moment of the first interval or FIRST, whichever is shorter; each
 * time a little earlier than the interval, by chance, so that those that were
 * checked together drift apart; and one that was checked because it came back
 * gets a place of its own in the next interval.  One that is new, or comes
 * back, is due within `soon_ms`.
 *
 * The cost of anything is the logarithm of how many there are.  One thread.
 */
#ifndef SERVER_DISPATCH_CHECKS_H
#define SERVER_DISPATCH_CHECKS_H

#include "common/lookup.h"
#include "server/store/types.h"

#include <stdbool.h>

/* Evenly in 0 .. bound - 1; bound > 0. */
struct checks_random {
	uint64_t (*below)(struct checks_random *self, uint64_t bound);
};

struct checks_limits {
	uint64_t interval_ms; /* > 0 */
	uint64_t first_ms;
	uint64_t soon_ms;
	uint64_t again_ms; /* never sooner after the one before */
	uint64_t retry_ms; /* > 0; at most so long after one in vain */
};

/* Embed it as the first member; only checks.c writes it. */
struct check {
	struct lookup_item item; /* first; by id */
	char id[STORE_ID_SIZE];
	uint64_t due_ms;
	uint64_t taken_ms;
	size_t place;  /* in the heap, from 1; 0: it is under way */
	bool returned; /* due because it came back, or is new */
	bool again;    /* came back while it was under way */
};

struct checks {
	struct checks_limits limits;
	struct checks_random *random;
	struct lookup by_id;
	struct check **heap; /* soonest first */
	size_t count, room;
};

MUST_CHECK enum rc checks_init(struct checks *c,
    const struct checks_limits *limits, struct checks_random *random);
/* The checks are the caller's. */
void checks_fini(struct checks *c);

/* known: of before the start, else it is new.  RC_NOMEM. */
MUST_CHECK enum rc checks_add(struct checks *c, struct check *check,
    const char *id, bool known, uint64_t now_ms);
void checks_remove(struct checks *c, struct check *check);
struct check *checks_find(const struct checks *c, const char *id);

/* It came back. */
void checks_soon(struct checks *c, struct check *check, uint64_t now_ms);
/* One that is due; it is under way until checks_done().  NULL: none. */
struct check *checks_take(struct checks *c, uint64_t now_ms);
void checks_done(struct checks *c, struct check *check, uint64_t now_ms);
/* The same, but it got no answer from a machine that is there. */
void checks_failed(struct checks *c, struct check *check, uint64_t now_ms);
/* When the next is due; UINT64_MAX: none. */
uint64_t checks_next_ms(const struct checks *c);

#endif

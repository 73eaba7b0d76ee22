/*
 * timers.h - which of many moments comes first: a binary heap of timers that
 * live inside other structs.  Setting one never allocates: room is made before
 * (timers_reserve).
 */
#ifndef SERVER_ENGINE_TIMERS_H
#define SERVER_ENGINE_TIMERS_H

#include "proto/rc.h"

#include <stddef.h>
#include <stdint.h>

#define TIMER_NEVER UINT64_MAX

/* Zero-initialised: not set. */
struct timer {
	uint64_t due_ms;
	size_t place; /* 1..count in the heap; 0: not set */
};

struct timers {
	struct timer **heap; /* heap[0] is the earliest */
	size_t count, room;
};

/* Make room for `room` timers altogether; never shrinks.  RC_NOMEM. */
MUST_CHECK enum rc timers_reserve(struct timers *timers, size_t room);
void timers_fini(struct timers *timers);

/* Set or move; TIMER_NEVER: clear.  The timer must stay where it is until it
 * is cleared. */
void timers_set(struct timers *timers, struct timer *timer, uint64_t due_ms);
/* The earliest if it is due at now_ms; NULL when none is.  Stays set. */
struct timer *timers_due(const struct timers *timers, uint64_t now_ms);
/* TIMER_NEVER when none is set. */
uint64_t timers_next(const struct timers *timers);

#endif

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
/* A moment that many ms later (negative: earlier, but never before 1).  0 and
 * TIMER_NEVER are no moments and stay. */
static inline uint64_t time_shift(uint64_t at_ms, int64_t by_ms)
{
	uint64_t by = by_ms < 0 ? -(uint64_t)by_ms : (uint64_t)by_ms;

	if (at_ms == 0 || at_ms == TIMER_NEVER)
		return at_ms;
	if (by_ms < 0)
		return at_ms > by ? at_ms - by : 1;
	return at_ms < TIMER_NEVER - 1 - by ? at_ms + by : TIMER_NEVER - 1;
}
/* All of them, by as much. */
void timers_shift(struct timers *timers, int64_t by_ms);
/* The earliest if it is due at now_ms; NULL when none is.  Stays set. */
struct timer *timers_due(const struct timers *timers, uint64_t now_ms);
/* TIMER_NEVER when none is set. */
uint64_t timers_next(const struct timers *timers);

#endif

/*
 * backoff.h - how long to wait before the next try: a random time below a
 * bound that doubles with each (full jitter), so that a fleet does not return
 * as a herd.
 */
#ifndef COMMON_BACKOFF_H
#define COMMON_BACKOFF_H

#include <stdint.h>

struct backoff {
	uint64_t bound_ms; /* of the next wait; 0: begin anew */
};

/* Milliseconds, 1 to the bound, which is between min and max (the larger of
 * both). */
uint64_t backoff_next(struct backoff *b, uint64_t min_ms, uint64_t max_ms);
void backoff_reset(struct backoff *b);

#endif

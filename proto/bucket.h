/*
 * bucket.h - so many in so long: a token bucket on the caller's clock.
 */
#ifndef PROTO_BUCKET_H
#define PROTO_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct bucket {
	uint32_t count;     /* tokens that come back... */
	uint32_t period_us; /* ...in this time */
	int64_t level;      /* tokens times period_us; may go below 0 */
	int64_t full;
	uint64_t filled_us; /* level is right for this time */
};

/* Starts full, with burst tokens.  period_us at least 1. */
void bucket_init(
    struct bucket *b, uint32_t count, uint32_t period_us, uint32_t burst);
/* Let the time pass.  A clock that goes back is taken as standing still. */
void bucket_fill(struct bucket *b, uint64_t now_us);
/* Is there anything left, as of the last bucket_fill()? */
bool bucket_has(const struct bucket *b);
/* Take n, whatever is there: the debt is paid back first. */
void bucket_spend(struct bucket *b, uint32_t n);
/* Fill, then take one; false (and nothing taken) when there is none. */
bool bucket_take(struct bucket *b, uint64_t now_us);

#endif

#include "proto/bucket.h"

/* Longer pauses count as this long; keeps count * pause within 63 bits. */
#define PAUSE_MAX_US UINT64_C(600000000)

void bucket_init(
    struct bucket *b, uint32_t count, uint32_t period_us, uint32_t burst)
{
	*b = (struct bucket){ .count = count, .period_us = period_us };
	b->full = (int64_t)burst * period_us;
	b->level = b->full;
}

void bucket_fill(struct bucket *b, uint64_t now_us)
{
	uint64_t pause_us = now_us - b->filled_us;
	int64_t gained;

	if (now_us <= b->filled_us)
		return;
	if (pause_us > PAUSE_MAX_US)
		pause_us = PAUSE_MAX_US;
	b->filled_us = now_us;
	gained = (int64_t)(pause_us * b->count);
	b->level = gained >= b->full - b->level ? b->full : b->level + gained;
}

bool bucket_has(const struct bucket *b)
{
	return b->level > 0;
}

void bucket_spend(struct bucket *b, uint32_t n)
{
	b->level -= (int64_t)n * b->period_us;
}

bool bucket_take(struct bucket *b, uint64_t now_us)
{
	bucket_fill(b, now_us);
	if (b->level < (int64_t)b->period_us)
		return false;
	bucket_spend(b, 1);
	return true;
}

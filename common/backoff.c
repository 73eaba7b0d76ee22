#include "common/backoff.h"

#include "common/random.h"

uint64_t backoff_next(struct backoff *b, uint64_t min_ms, uint64_t max_ms)
{
	uint64_t bound_ms;

	if (b->bound_ms > max_ms)
		b->bound_ms = max_ms;
	if (b->bound_ms < min_ms)
		b->bound_ms = min_ms;
	bound_ms = b->bound_ms > 0 ? b->bound_ms : 1;
	b->bound_ms *= 2;
	if (b->bound_ms > max_ms)
		b->bound_ms = max_ms;
	return 1 + random_below(bound_ms);
}

void backoff_reset(struct backoff *b)
{
	b->bound_ms = 0;
}

#include "server/engine/timers.h"

#include <assert.h>
#include <stdlib.h>

enum rc timers_reserve(struct timers *timers, size_t room)
{
	struct timer **heap;

	if (room <= timers->room)
		return RC_OK;
	heap = realloc(timers->heap, room * sizeof(struct timer *));
	if (heap == NULL)
		return RC_NOMEM;
	timers->heap = heap;
	timers->room = room;
	return RC_OK;
}

void timers_fini(struct timers *timers)
{
	free(timers->heap);
	*timers = (struct timers){ .heap = NULL };
}

static void put(struct timers *timers, size_t index, struct timer *timer)
{
	timers->heap[index] = timer;
	timer->place = index + 1;
}

/* Let the timer at index move up or down to where it belongs. */
static void settle(struct timers *timers, size_t index)
{
	struct timer *timer = timers->heap[index];

	while (index > 0) {
		size_t parent = (index - 1) / 2;

		if (timers->heap[parent]->due_ms <= timer->due_ms)
			break;
		put(timers, index, timers->heap[parent]);
		index = parent;
	}
	for (;;) {
		size_t child = 2 * index + 1;

		if (child >= timers->count)
			break;
		if (child + 1 < timers->count &&
		    timers->heap[child + 1]->due_ms <
			timers->heap[child]->due_ms)
			child++;
		if (timer->due_ms <= timers->heap[child]->due_ms)
			break;
		put(timers, index, timers->heap[child]);
		index = child;
	}
	put(timers, index, timer);
}

static void clear(struct timers *timers, struct timer *timer)
{
	size_t index = timer->place - 1;
	struct timer *last;

	assert(timers->heap[index] == timer);
	last = timers->heap[--timers->count];
	timer->place = 0;
	if (last == timer)
		return;
	put(timers, index, last);
	settle(timers, index);
}

void timers_set(struct timers *timers, struct timer *timer, uint64_t due_ms)
{
	if (due_ms == TIMER_NEVER) {
		if (timer->place != 0)
			clear(timers, timer);
		return;
	}
	timer->due_ms = due_ms;
	if (timer->place == 0) {
		assert(timers->count < timers->room);
		put(timers, timers->count++, timer);
	}
	settle(timers, timer->place - 1);
}

void timers_shift(struct timers *timers, int64_t by_ms)
{
	for (size_t i = 0; i < timers->count; i++)
		timers->heap[i]->due_ms =
		    time_shift(timers->heap[i]->due_ms, by_ms);
}

struct timer *timers_due(const struct timers *timers, uint64_t now_ms)
{
	if (timers->count == 0 || timers->heap[0]->due_ms > now_ms)
		return NULL;
	return timers->heap[0];
}

uint64_t timers_next(const struct timers *timers)
{
	return timers->count > 0 ? timers->heap[0]->due_ms : TIMER_NEVER;
}

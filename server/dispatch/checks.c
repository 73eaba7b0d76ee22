#include "server/dispatch/checks.h"

#include <stdio.h>
#include <stdlib.h>

/* A tenth of the interval: how much earlier a check may come. */
#define DRIFT 10

enum rc checks_init(struct checks *c, const struct checks_limits *limits,
    struct checks_random *random)
{
	*c = (struct checks){ .limits = *limits, .random = random };
	return lookup_init(&c->by_id);
}

void checks_fini(struct checks *c)
{
	lookup_fini(&c->by_id);
	free((void *)c->heap);
	c->heap = NULL;
	c->count = c->room = 0;
}

static uint64_t chance(const struct checks *c, uint64_t most)
{
	return c->random->below(c->random, most + 1);
}

/* --- The heap: heap[0] is the soonest; a check knows its place ------------ */

static void put(struct checks *c, size_t at, struct check *check)
{
	c->heap[at] = check;
	check->place = at + 1;
}

static void rise(struct checks *c, size_t at)
{
	struct check *check = c->heap[at];

	while (at > 0 && c->heap[(at - 1) / 2]->due_ms > check->due_ms) {
		put(c, at, c->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	put(c, at, check);
}

static void sink(struct checks *c, size_t at)
{
	struct check *check = c->heap[at];

	for (;;) {
		size_t child = at * 2 + 1;

		if (child + 1 < c->count &&
		    c->heap[child + 1]->due_ms < c->heap[child]->due_ms)
			child++;
		if (child >= c->count ||
		    c->heap[child]->due_ms >= check->due_ms)
			break;
		put(c, at, c->heap[child]);
		at = child;
	}
	put(c, at, check);
}

/* There is room for all that were added. */
static void insert(struct checks *c, struct check *check)
{
	put(c, c->count++, check);
	rise(c, check->place - 1);
}

static void take_out(struct checks *c, struct check *check)
{
	size_t at = check->place - 1;
	struct check *last = c->heap[--c->count];

	check->place = 0;
	if (last == check)
		return;
	put(c, at, last);
	rise(c, at);
	sink(c, last->place - 1);
}

/* --- When ------------------------------------------------------------------
 */

enum rc checks_add(struct checks *c, struct check *check, const char *id,
    bool known, uint64_t now_ms)
{
	const struct checks_limits *l = &c->limits;
	uint64_t first =
	    l->interval_ms < l->first_ms ? l->interval_ms : l->first_ms;

	if (lookup_count(&c->by_id) >= c->room) {
		size_t room = c->room > 0 ? c->room * 2 : 64;
		struct check **grown = (struct check **)realloc(
		    (void *)c->heap, room * sizeof(struct check *));

		if (grown == NULL)
			return RC_NOMEM;
		c->heap = grown;
		c->room = room;
	}
	(void)snprintf(check->id, sizeof(check->id), "%s", id);
	check->returned = !known;
	check->again = false;
	check->due_ms = now_ms + chance(c, known ? first : l->soon_ms);
	lookup_add(&c->by_id, &check->item, check->id);
	insert(c, check);
	return RC_OK;
}

void checks_remove(struct checks *c, struct check *check)
{
	if (check->place != 0)
		take_out(c, check);
	lookup_remove(&c->by_id, &check->item);
}

struct check *checks_find(const struct checks *c, const char *id)
{
	return (struct check *)lookup_find(&c->by_id, id);
}

/* But one that comes and goes is not asked all the time. */
static uint64_t soon(
    const struct checks *c, const struct check *check, uint64_t now_ms)
{
	uint64_t due_ms = now_ms + chance(c, c->limits.soon_ms);
	uint64_t least_ms = check->taken_ms + c->limits.again_ms;

	return check->taken_ms != 0 && due_ms < least_ms ? least_ms : due_ms;
}

void checks_soon(struct checks *c, struct check *check, uint64_t now_ms)
{
	uint64_t due_ms = soon(c, check, now_ms);

	check->returned = true;
	if (check->place == 0) {
		check->again = true;
	} else if (check->due_ms > due_ms) {
		take_out(c, check);
		check->due_ms = due_ms;
		insert(c, check);
	}
}

struct check *checks_take(struct checks *c, uint64_t now_ms)
{
	struct check *check = c->count > 0 ? c->heap[0] : NULL;

	if (check == NULL || check->due_ms > now_ms)
		return NULL;
	take_out(c, check);
	check->taken_ms = now_ms;
	return check;
}

/* From when it was due, so that slow checks come as often as quick ones. */
static uint64_t next_due(struct checks *c, const struct check *check)
{
	uint64_t interval = c->limits.interval_ms;

	/* Many came back with it: each a moment of its own. */
	if (check->returned)
		return check->taken_ms + interval / 2 + chance(c, interval / 2);
	return check->taken_ms + interval - chance(c, interval / DRIFT);
}

void checks_done(struct checks *c, struct check *check, uint64_t now_ms)
{
	uint64_t due_ms = next_due(c, check);

	check->returned = check->again;
	if (check->again || due_ms < now_ms)
		due_ms = soon(c, check, now_ms);
	check->again = false;
	check->due_ms = due_ms;
	insert(c, check);
}

void checks_failed(struct checks *c, struct check *check, uint64_t now_ms)
{
	uint64_t half = c->limits.retry_ms / 2;
	uint64_t due_ms = now_ms + half + chance(c, half);

	checks_done(c, check, now_ms);
	if (check->due_ms <= due_ms)
		return;
	take_out(c, check);
	check->due_ms = due_ms;
	insert(c, check);
}

uint64_t checks_next_ms(const struct checks *c)
{
	return c->count > 0 ? c->heap[0]->due_ms : UINT64_MAX;
}

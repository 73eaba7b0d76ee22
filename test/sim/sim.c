/* Dice, events in order of time, and the story as a whole. */
#include "test/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_MAX 300000u
#define START_MS   (UINT64_C(1000000) * SECOND)

static const char *const mutant_names[MUTANT_COUNT] = {
	[MUTANT_NONE] = "none",
	[MUTANT_NO_DEDUPE] = "no-dedupe",
	[MUTANT_NO_EPOCH] = "no-epoch",
	[MUTANT_NO_SYNC] = "no-sync",
	[MUTANT_TRUST_READ] = "trust-read",
	[MUTANT_ACK_EARLY] = "ack-early",
	[MUTANT_NO_SUPERSEDE] = "no-supersede",
	[MUTANT_RERUN_LOST] = "rerun-lost",
	[MUTANT_REAP_EARLY] = "reap-early",
	[MUTANT_SEND_EARLY] = "send-early",
	[MUTANT_ANY_TICKET] = "any-ticket",
	[MUTANT_NO_MARK] = "no-mark",
};

const char *mutant_name(enum mutant m)
{
	return mutant_names[m];
}

/* ---- dice: splitmix64 ---- */

static uint64_t next_random(struct dice *dice)
{
	uint64_t z;

	dice->state += UINT64_C(0x9e3779b97f4a7c15);
	z = dice->state;
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static void fill(struct engine_random *self, uint8_t *bytes, size_t len)
{
	struct dice *dice = (struct dice *)self;

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)next_random(dice);
}

uint64_t between(struct world *w, uint64_t least, uint64_t most)
{
	return least + next_random(&w->dice) % (most - least + 1);
}

uint32_t roll(struct world *w, uint32_t sides)
{
	return (uint32_t)(next_random(&w->dice) % sides);
}

bool chance(struct world *w, uint32_t percent)
{
	return roll(w, 100) < percent;
}

bool fault_chance(struct world *w, uint32_t percent)
{
	return w->now < w->quiet_at && chance(w, percent);
}

/* ---- events: a binary heap by time, then by order of making ---- */

void *sim_grow(void *array, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return array;
	*room = *room * 2 + 32;
	array = realloc(array, *room * size);
	if (array == NULL)
		abort();
	return array;
}

static bool is_sooner(const struct event *a, const struct event *b)
{
	return a->at < b->at || (a->at == b->at && a->seq < b->seq);
}

struct event *event_at(struct world *w, uint64_t at, enum event_type type)
{
	struct event *e = calloc(1, sizeof(*e));
	size_t i = w->heap_count++;

	if (e == NULL)
		abort();
	e->at = at > w->now ? at : w->now;
	e->seq = w->seq++;
	e->type = type;
	w->heap = sim_grow(w->heap, i, &w->heap_room, sizeof(struct event *));
	while (i > 0 && is_sooner(e, w->heap[(i - 1) / 2])) {
		w->heap[i] = w->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	w->heap[i] = e;
	return e;
}

static struct event *take_event(struct world *w)
{
	struct event *first = w->heap[0], *last = w->heap[--w->heap_count];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < w->heap_count) {
		if (child + 1 < w->heap_count &&
		    is_sooner(w->heap[child + 1], w->heap[child]))
			child++;
		if (!is_sooner(w->heap[child], last))
			break;
		w->heap[i] = w->heap[child];
		i = child;
	}
	w->heap[i] = last;
	return first;
}

/* ---- the story ---- */

void sim_break(struct world *w, const char *format, ...)
{
	size_t used;
	va_list args;

	if (w->out->broken)
		return; /* the first one tells most */
	w->out->broken = true;
	(void)snprintf(w->out->text, sizeof(w->out->text), "at %llu.%03llu s: ",
	    (unsigned long long)((w->now - START_MS) / SECOND),
	    (unsigned long long)((w->now - START_MS) % SECOND));
	used = strlen(w->out->text);
	va_start(args, format);
	(void)vsnprintf(
	    w->out->text + used, sizeof(w->out->text) - used, format, args);
	va_end(args);
}

void sim_tell(const struct world *w, const char *format, ...)
{
	va_list args;

	if (!w->options->tell)
		return;
	(void)fprintf(stderr, "%8llu.%03llu ",
	    (unsigned long long)((w->now - START_MS) / SECOND),
	    (unsigned long long)((w->now - START_MS) % SECOND));
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fputc('\n', stderr);
}

static void play(struct world *w, const struct event *e)
{
	switch (e->type) {
	case EVENT_ORDER:
		machine_order(w, &e->order);
		break;
	case EVENT_FACT:
		server_fact(w, e);
		break;
	case EVENT_BEGIN:
	case EVENT_SCRIPT_END:
	case EVENT_AGENT_DIES:
	case EVENT_POWER_FAILS:
	case EVENT_MACHINE_UP:
		machine_event(w, e);
		break;
	case EVENT_SERVER_DIES:
	case EVENT_SERVER_UP:
	case EVENT_COMMIT:
	case EVENT_TICK:
	case EVENT_CLOCK:
		server_event(w, e);
		break;
	case EVENT_PERSON:
	case EVENT_CANCEL:
		person_event(w, e);
		break;
	}
}

/* How bad it is differs from seed to seed: some faults only show when
 * everything else is calm. */
static void make_chances(struct world *w)
{
	struct chances *c = &w->chances;

	c->lose = roll(w, 3) * roll(w, 16);
	c->copy = roll(w, 2) * roll(w, 30);
	c->slow = roll(w, 2) * roll(w, 20);
	c->refuse = roll(w, 3) == 0 ? roll(w, 30) : 0;
	c->failpoint = roll(w, 2) * roll(w, 8);
	c->silent = roll(w, 50);
	c->agent_every = chance(w, 60) ? between(w, 20, 900) * SECOND : 0;
	c->power_every = chance(w, 40) ? between(w, 60, 1800) * SECOND : 0;
	c->server_every = chance(w, 60) ? between(w, 10, 600) * SECOND : 0;
	w->quiet_at = w->now + between(w, 5, 45) * MINUTE;
}

static void make_world(struct world *w)
{
	w->now = START_MS;
	make_chances(w);
	w->limits = engine_limits_default();
	w->limits.max_in_flight = 1 + roll(w, 8);
	w->limits.retry_max_ms = between(w, 1, 60) * SECOND;
	w->limits.lost_ms = between(w, 2, 20) * MINUTE;
	w->machine_count = 1 + roll(w, SIM_MACHINES);
	make_books(w);
	for (uint32_t i = 0; i < w->machine_count; i++) {
		w->machines[i].index = i;
		machine_open(w, &w->machines[i]);
	}
	server_open(w);
	event_at(w, w->now + between(w, 1, 60) * SECOND, EVENT_PERSON);
	if (chance(w, 30))
		event_at(w, w->now + between(w, 0, 20 * MINUTE), EVENT_CANCEL)
		    ->task = 1 + roll(w, w->book_count);
	event_at(w, w->now + between(w, 0, 10 * MINUTE), EVENT_CLOCK);
}

static void end_world(struct world *w)
{
	server_close(w);
	for (uint32_t i = 0; i < w->machine_count; i++)
		machine_close(&w->machines[i]);
	for (size_t i = 0; i < w->heap_count; i++)
		free(w->heap[i]);
	free(w->heap);
	free(w->deeds);
	free(w);
}

void sim_run(const struct sim_options *options, struct sim_outcome *out)
{
	struct world *w = calloc(1, sizeof(*w));

	if (w == NULL)
		abort();
	*out = (struct sim_outcome){ .broken = false };
	w->options = options;
	w->out = out;
	w->dice = (struct dice){ .random = { fill }, .state = options->seed };
	make_world(w);
	while (!out->broken && w->heap_count > 0) {
		struct event *e = take_event(w);

		w->now = e->at;
		play(w, e);
		free(e);
		if (++out->events > EVENTS_MAX)
			sim_break(w, "it does not end");
	}
	if (!out->broken)
		check_end(w);
	end_world(w);
}

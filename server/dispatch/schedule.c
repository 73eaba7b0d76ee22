/*
 * schedule.c - every enabled machine is checked once in each interval, at a
 * moment of its own that its id decides, so that they are spread; and soon
 * after it came online.
 */
#include "server/dispatch/work.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"
#include "common/xalloc.h"
#include "server/store/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MAX_MS 1000u
#define TICK_MIN_MS 50u
#define SOON_MS     500u
#define FIRST_MS    30000u
#define RELOAD_MS   200u

struct planned {
	struct schedule *schedule;
	char id[STORE_ID_SIZE];
	uint64_t due_ms; /* monotonic */
	bool kept;       /* while a new list is taken over */
	struct fleet_ask *ask;
};

struct slot {
	struct planned *at;
};

struct schedule {
	struct dispatch *dispatch;
	struct loop_timer *tick;
	struct slot *items; /* sorted by id */
	size_t count;
	uint32_t under_way;
	bool started;
	bool reload; /* asked for */
	bool reading;
};

static uint64_t interval_of(const struct schedule *s)
{
	return s->dispatch->parts.health.interval_ms;
}

static uint64_t tick_ms(const struct schedule *s)
{
	uint64_t ms = interval_of(s) / 20;

	return ms < TICK_MIN_MS   ? TICK_MIN_MS
	       : ms > TICK_MAX_MS ? TICK_MAX_MS
	                          : ms;
}

/* ---- one check ---- */

static enum rc encode(
    void *arg, const struct fleet_call *call, struct packbuf *out)
{
	const struct planned *p = arg;
	const struct dispatch_health *h = &p->schedule->dispatch->parts.health;
	const struct health_question question = { .script = h->script,
		.timeout_ms = h->timeout_ms };

	return health_encode(&question, call, out);
}

static void on_reply(void *arg, const struct fleet_reply *reply)
{
	struct planned *p = arg;
	struct fault fault;
	enum machine_health health;

	p->ask = NULL;
	p->schedule->under_way--;
	health = health_take(p->schedule->dispatch, p->id, reply, &fault);
	log_debug(
	    "health", p->id, "%s %s", machine_health_name(health), fault.text);
}

static void ask(struct schedule *s, struct planned *p)
{
	uint64_t limit = s->dispatch->parts.health.timeout_ms + 30000;
	const struct fleet_request request = { .machine = p->id,
		.op = OP_HEALTH,
		.deadline_ms = limit < UINT32_MAX ? (uint32_t)limit : 0,
		.encode = encode,
		.reply = on_reply,
		.arg = p };

	if (fleet_request(s->dispatch->parts.fleet, &request, &p->ask) == RC_OK)
		s->under_way++;
}

static void planned_free(struct planned *p)
{
	if (p->ask != NULL)
		p->schedule->under_way--;
	fleet_request_cancel(p->ask);
	free(p);
}

/* ---- which machines ---- */

static int by_id(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	return strcmp(x->at->id, y->at->id);
}

static struct planned *find(const struct schedule *s, const char *id)
{
	struct planned key;
	const struct slot wanted = { .at = &key };
	const struct slot *found;

	if (s->count == 0 || strlen(id) >= sizeof(key.id))
		return NULL;
	(void)snprintf(key.id, sizeof(key.id), "%s", id);
	found = bsearch(&wanted, s->items, s->count, sizeof(*s->items), by_id);
	return found != NULL ? found->at : NULL;
}

/* Those of before a restart are spread; a new one is checked at once. */
static struct planned *new_planned(struct schedule *s, const char *id)
{
	struct planned *p = xcalloc(1, sizeof(*p));
	uint64_t spread = SOON_MS;

	p->schedule = s;
	(void)snprintf(p->id, sizeof(p->id), "%s", id);
	if (s->items == NULL)
		spread = interval_of(s) < FIRST_MS ? interval_of(s) : FIRST_MS;
	p->due_ms = clock_monotonic_ms() + random_below(spread + 1);
	return p;
}

struct reading {
	struct store_job job;
	struct dispatch *dispatch;
	char (*ids)[STORE_ID_SIZE];
	size_t count;
};

static enum rc read_page(
    struct db *db, struct reading *r, char *after, size_t *got)
{
	const struct store_machine_filter filter = { .enabled_only = true };
	const struct page page = { .after = after };
	struct store_machine *rows = NULL;
	enum rc rc = store_machine_list(db, &filter, &page, &rows, got);

	if (rc != RC_OK)
		return rc;
	r->ids = xrealloc(r->ids, r->count + *got + 1, sizeof(*r->ids));
	for (size_t i = 0; i < *got; i++) {
		if (rows[i].hold[0] == '\0')
			memcpy(
			    r->ids[r->count++], rows[i].id, sizeof(rows[i].id));
	}
	if (*got > 0)
		(void)snprintf(
		    after, STORE_NAME_SIZE, "%s", rows[*got - 1].name);
	store_machines_free(rows, *got);
	return RC_OK;
}

static enum rc read_machines(struct db *db, struct store_job *job)
{
	struct reading *r = CONTAINER_OF(job, struct reading, job);
	char after[STORE_NAME_SIZE] = "";
	size_t got = STORE_PAGE_MAX;
	enum rc rc = RC_OK;

	while (rc == RC_OK && got == STORE_PAGE_MAX) {
		got = 0;
		rc = read_page(db, r, after, &got);
	}
	return rc;
}

static void take_machines(struct schedule *s, const struct reading *r)
{
	struct slot *items = xcalloc(r->count + 1, sizeof(*items));

	for (size_t i = 0; i < r->count; i++) {
		struct planned *p = find(s, r->ids[i]);

		if (p == NULL)
			p = new_planned(s, r->ids[i]);
		p->kept = true;
		items[i].at = p;
	}
	for (size_t i = 0; i < s->count; i++) {
		if (!s->items[i].at->kept)
			planned_free(s->items[i].at);
	}
	for (size_t i = 0; i < r->count; i++)
		items[i].at->kept = false;
	free(s->items);
	if (r->count > 1)
		qsort(items, r->count, sizeof(*items), by_id);
	s->items = items;
	s->count = r->count;
}

static void on_read(struct store_job *job, enum rc rc)
{
	struct reading *r = CONTAINER_OF(job, struct reading, job);

	if (!work_closed(r->dispatch)) {
		struct schedule *s = r->dispatch->schedule;

		s->reading = false;
		if (rc == RC_OK)
			take_machines(s, r);
		else
			s->reload = true;
	}
	free(r->ids);
	free(r);
}

static void reload(struct schedule *s)
{
	struct reading *r = xcalloc(1, sizeof(*r));

	s->reload = false;
	s->reading = true;
	r->dispatch = s->dispatch;
	r->job.run = read_machines;
	r->job.done = on_read;
	work_submit(s->dispatch, &r->job);
}

/* ---- time ---- */

static void on_tick(void *arg)
{
	struct schedule *s = arg;
	uint64_t now_ms = clock_monotonic_ms();
	uint32_t most = s->dispatch->parts.health.concurrency;

	if (s->reload && !s->reading)
		reload(s);
	for (size_t i = 0; i < s->count && s->under_way < most; i++) {
		struct planned *p = s->items[i].at;

		if (p->due_ms > now_ms || p->ask != NULL)
			continue;
		p->due_ms = now_ms + interval_of(s);
		ask(s, p);
	}
	loop_timer_set(s->tick, tick_ms(s));
}

enum rc schedule_new(struct dispatch *d, struct schedule **out)
{
	struct schedule *s = xcalloc(1, sizeof(*s));
	enum rc rc = loop_timer_new(d->parts.loop, on_tick, s, &s->tick);

	s->dispatch = d;
	if (rc != RC_OK) {
		free(s);
		return rc;
	}
	*out = s;
	return RC_OK;
}

void schedule_free(struct schedule *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->count; i++)
		planned_free(s->items[i].at);
	free(s->items);
	loop_timer_free(s->tick);
	free(s);
}

void schedule_start(struct schedule *s)
{
	if (interval_of(s) == 0)
		return;
	s->started = true;
	s->reload = true;
	loop_timer_set(s->tick, 0);
}

void schedule_soon(struct schedule *s, const char *machine)
{
	struct planned *p = find(s, machine);
	uint64_t at = clock_monotonic_ms() + random_below(SOON_MS);

	if (p == NULL)
		schedule_changed(s);
	else if (p->due_ms > at)
		p->due_ms = at;
}

void schedule_changed(struct schedule *s)
{
	s->reload = true;
	if (s->started)
		loop_timer_set(s->tick, RELOAD_MS);
}

/*
 * schedule.c - checks of machines on a schedule: when (checks.h), how many at
 * once (pace.h), and which machines there are.
 */
#include "server/dispatch/checks.h"
#include "server/dispatch/work.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"
#include "common/xalloc.h"
#include "server/store/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOON_MS     500u
#define FIRST_MS    30000u
#define RELOAD_MS   200u
#define AGAIN_MS    2000u
#define RETRY_MS    10000u
#define TICK_MAX_MS 60000u
/* When more rows than this have changed, all are read. */
#define CHANGED_MAX 64

struct planned {
	struct check check; /* first */
	TAILQ_ENTRY(planned) next;
	struct schedule *schedule;
	struct paced paced;
	struct fleet_ask *ask;
	bool kept; /* while what was read is taken over */
};

struct schedule {
	struct checks_random random; /* first */
	struct dispatch *dispatch;
	struct checks checks;
	TAILQ_HEAD(, planned) all;
	struct pace *pace;
	struct loop_timer *tick, *reread;
	bool started;
	bool knows_all; /* the first list was read */
	/* To be read. */
	bool changed_all, reading;
	char changed[CHANGED_MAX][STORE_ID_SIZE];
	size_t changed_count;
};

static uint64_t below(struct checks_random *self, uint64_t bound)
{
	(void)self;
	return random_below(bound);
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

static void finish(struct planned *p)
{
	schedule_leave(p->schedule, &p->paced);
	checks_done(&p->schedule->checks, &p->check, clock_monotonic_ms());
}

/* It did not answer.  If it is there all the same, the way to it has changed
 * under the check, or too much was to be done: it is worth another soon. */
static void finish_in_vain(struct planned *p)
{
	struct schedule *s = p->schedule;
	struct fleet_machine_state state;

	schedule_leave(s, &p->paced);
	if (fleet_machine_state(
		s->dispatch->parts.fleet, p->check.id, &state) == RC_OK &&
	    state.presence == STORE_PRESENCE_ONLINE)
		checks_failed(&s->checks, &p->check, clock_monotonic_ms());
	else
		checks_done(&s->checks, &p->check, clock_monotonic_ms());
}

static void on_reply(void *arg, const struct fleet_reply *reply)
{
	struct planned *p = arg;
	struct fault fault;
	enum machine_health health;

	p->ask = NULL;
	if (reply->message.len > 0)
		finish(p);
	else
		finish_in_vain(p);
	health = health_take(p->schedule->dispatch, p->check.id, reply, &fault);
	log_debug("health", p->check.id, "%s %s", machine_health_name(health),
	    fault.text);
}

static void ask(struct paced *paced)
{
	struct planned *p = CONTAINER_OF(paced, struct planned, paced);
	const struct dispatch_parts *parts = &p->schedule->dispatch->parts;
	uint64_t limit = parts->health.timeout_ms + 30000;
	const struct fleet_request request = { .machine = p->check.id,
		.op = OP_HEALTH,
		.deadline_ms = limit < UINT32_MAX ? (uint32_t)limit : 0,
		.encode = encode,
		.reply = on_reply,
		.arg = p };

	if (fleet_request(parts->fleet, &request, &p->ask) != RC_OK)
		finish(p);
}

static void planned_free(struct planned *p)
{
	fleet_request_cancel(p->ask);
	schedule_leave(p->schedule, &p->paced);
	checks_remove(&p->schedule->checks, &p->check);
	TAILQ_REMOVE(&p->schedule->all, p, next);
	free(p);
}

/* ---- time ---- */

static void take_due(struct schedule *s)
{
	uint64_t now_ms = clock_monotonic_ms();
	struct check *check;

	while ((check = checks_take(&s->checks, now_ms)) != NULL) {
		struct planned *p = (struct planned *)check;

		if (schedule_enter(s, &p->paced, check->id, PACE_PLANNED) !=
		    RC_OK)
			checks_done(&s->checks, check, now_ms);
	}
}

static void on_tick(void *arg)
{
	struct schedule *s = arg;
	uint64_t now_ms = clock_monotonic_ms(), next_ms, wait;
	struct pace_item *item;

	if (s->started)
		take_due(s);
	while ((item = pace_next(s->pace)) != NULL) {
		struct paced *paced = (struct paced *)item;

		paced->begin(paced);
	}
	next_ms = s->started ? checks_next_ms(&s->checks) : UINT64_MAX;
	wait = next_ms <= now_ms ? 1 : next_ms - now_ms;
	loop_timer_set(s->tick, wait < TICK_MAX_MS ? wait : TICK_MAX_MS);
}

static void soon(struct schedule *s)
{
	loop_timer_set(s->tick, 0);
}

enum rc schedule_enter(struct schedule *s, struct paced *paced,
    const char *machine, enum pace_class class)
{
	char hop[NAME_SIZE];
	enum rc rc;

	fleet_machine_hop(s->dispatch->parts.fleet, machine, hop);
	rc = pace_enter(s->pace, &paced->item, hop, class);
	if (rc == RC_OK)
		soon(s);
	return rc;
}

void schedule_leave(struct schedule *s, struct paced *paced)
{
	if (paced->item.state == PACE_OUT)
		return;
	pace_leave(s->pace, &paced->item);
	soon(s);
}

/* ---- which machines ---- */

struct reading {
	struct store_job job;
	struct dispatch *dispatch;
	bool all;
	char asked[CHANGED_MAX][STORE_ID_SIZE]; /* not all: only these */
	size_t asked_count;
	char (*ids)[STORE_ID_SIZE]; /* of those that are to be checked */
	size_t count;
};

static void note_row(struct reading *r, const struct store_machine *row)
{
	if (row->enabled && row->hold[0] == '\0')
		memcpy(r->ids[r->count++], row->id, sizeof(row->id));
}

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
	for (size_t i = 0; i < *got; i++)
		note_row(r, &rows[i]);
	if (*got > 0)
		(void)snprintf(
		    after, STORE_NAME_SIZE, "%s", rows[*got - 1].name);
	store_machines_free(rows, *got);
	return RC_OK;
}

static enum rc read_all(struct db *db, struct reading *r)
{
	char after[STORE_NAME_SIZE] = "";
	size_t got = STORE_PAGE_MAX;
	enum rc rc = RC_OK;

	while (rc == RC_OK && got == STORE_PAGE_MAX) {
		got = 0;
		rc = read_page(db, r, after, &got);
	}
	return rc;
}

static enum rc read_asked(struct db *db, struct reading *r)
{
	enum rc rc = RC_OK;

	r->ids = xcalloc(r->asked_count + 1, sizeof(*r->ids));
	for (size_t i = 0; i < r->asked_count && rc == RC_OK; i++) {
		struct store_machine row;
		struct fault fault;

		rc = store_machine_get(db, r->asked[i], &row, &fault);
		if (rc == RC_OK) {
			note_row(r, &row);
			store_machine_clear(&row);
		} else if (rc == RC_NOTFOUND) {
			rc = RC_OK;
		}
	}
	return rc;
}

static enum rc read_machines(struct db *db, struct store_job *job)
{
	struct reading *r = CONTAINER_OF(job, struct reading, job);

	return r->all ? read_all(db, r) : read_asked(db, r);
}

static struct planned *planned_find(const struct schedule *s, const char *id)
{
	return (struct planned *)checks_find(&s->checks, id);
}

/* Those of before a restart are spread; a new one is checked at once. */
static void add(struct schedule *s, const char *id)
{
	struct planned *p = xcalloc(1, sizeof(*p));

	p->schedule = s;
	p->kept = true;
	p->paced.begin = ask;
	if (checks_add(&s->checks, &p->check, id, !s->knows_all,
		clock_monotonic_ms()) != RC_OK) {
		log_error("health", id, "no memory to check it");
		free(p);
		return;
	}
	TAILQ_INSERT_TAIL(&s->all, p, next);
}

static void drop_unkept(struct schedule *s)
{
	struct planned *p, *next;

	for (p = TAILQ_FIRST(&s->all); p != NULL; p = next) {
		next = TAILQ_NEXT(p, next);
		if (!p->kept)
			planned_free(p);
	}
}

static void take_machines(struct schedule *s, const struct reading *r)
{
	struct planned *p;

	TAILQ_FOREACH(p, &s->all, next) p->kept = !r->all;
	for (size_t i = 0; i < r->asked_count; i++) {
		p = planned_find(s, r->asked[i]);
		if (p != NULL)
			p->kept = false;
	}
	for (size_t i = 0; i < r->count; i++) {
		p = planned_find(s, r->ids[i]);
		if (p == NULL)
			add(s, r->ids[i]);
		else
			p->kept = true;
	}
	drop_unkept(s);
	s->knows_all = s->knows_all || r->all;
	soon(s);
}

static void read_later(struct schedule *s)
{
	if (s->started && !s->reading && !loop_timer_pending(s->reread))
		loop_timer_set(s->reread, RELOAD_MS);
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
			s->changed_all = true;
		if (s->changed_all || s->changed_count > 0)
			read_later(s);
	}
	free(r->ids);
	free(r);
}

static void on_reread(void *arg)
{
	struct schedule *s = arg;
	struct reading *r = xcalloc(1, sizeof(*r));

	r->dispatch = s->dispatch;
	r->all = s->changed_all;
	if (!r->all) {
		memcpy(r->asked, s->changed, sizeof(r->asked));
		r->asked_count = s->changed_count;
	}
	s->changed_all = false;
	s->changed_count = 0;
	s->reading = true;
	r->job.run = read_machines;
	r->job.done = on_read;
	work_submit(s->dispatch, &r->job);
}

void schedule_changed(struct schedule *s, const char *machine)
{
	bool one = machine != NULL && strlen(machine) == STORE_ID_SIZE - 1;

	for (size_t i = 0; one && i < s->changed_count; i++) {
		if (strcmp(s->changed[i], machine) == 0)
			return;
	}
	if (one && s->changed_count < CHANGED_MAX)
		memcpy(s->changed[s->changed_count++], machine, STORE_ID_SIZE);
	else
		s->changed_all = true;
	read_later(s);
}

void schedule_soon(struct schedule *s, const char *machine)
{
	struct planned *p = planned_find(s, machine);

	if (!s->started)
		return;
	if (p == NULL) {
		schedule_changed(s, machine);
		return;
	}
	checks_soon(&s->checks, &p->check, clock_monotonic_ms());
	soon(s);
}

/* ---- life ---- */

enum rc schedule_new(struct dispatch *d, struct schedule **out)
{
	const struct dispatch_health *h = &d->parts.health;
	const struct checks_limits when = { .interval_ms = h->interval_ms,
		.first_ms = FIRST_MS,
		.soon_ms = SOON_MS,
		.again_ms = AGAIN_MS,
		.retry_ms = RETRY_MS };
	const struct pace_limits how_many = { .total = h->concurrency,
		.per_hop = h->relay_concurrency };
	struct schedule *s = xcalloc(1, sizeof(*s));
	enum rc rc = loop_timer_new(d->parts.loop, on_tick, s, &s->tick);

	s->dispatch = d;
	s->random.below = below;
	TAILQ_INIT(&s->all);
	if (rc == RC_OK)
		rc = loop_timer_new(d->parts.loop, on_reread, s, &s->reread);
	if (rc == RC_OK)
		rc = checks_init(&s->checks, &when, &s->random);
	if (rc == RC_OK)
		rc = pace_new(&how_many, &s->pace);
	if (rc != RC_OK) {
		schedule_free(s);
		return rc;
	}
	*out = s;
	return RC_OK;
}

void schedule_free(struct schedule *s)
{
	struct planned *p;

	if (s == NULL)
		return;
	TAILQ_FOREACH(p, &s->all, next) p->kept = false;
	drop_unkept(s);
	checks_fini(&s->checks);
	pace_free(s->pace);
	loop_timer_free(s->tick);
	loop_timer_free(s->reread);
	free(s);
}

void schedule_start(struct schedule *s)
{
	s->started = s->dispatch->parts.health.interval_ms > 0;
	if (!s->started)
		return;
	s->changed_all = true;
	loop_timer_set(s->reread, 0);
}

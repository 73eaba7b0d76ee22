#include "server/dispatch/work.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"
#include "common/xalloc.h"

#include <stdlib.h>
#include <string.h>

#define OPEN_PAGE     500
#define CLOCK_SLEW_MS 2000 /* more is a jump of the clock */

uint64_t work_now_ms(void)
{
	int64_t now = clock_wall_ms();

	return now > 0 ? (uint64_t)now : 0;
}

uint64_t work_task_ms(struct dispatch *d)
{
	uint64_t boot = clock_boottime_us() / 1000, wall = work_now_ms();
	uint64_t now = boot + d->boot_at_ms;
	int64_t off = (int64_t)(wall - now);

	if (!TAILQ_EMPTY(&d->tasks) &&
	    (off >= CLOCK_SLEW_MS || off <= -CLOCK_SLEW_MS)) {
		log_warn("dispatch", NULL,
		    "the clock was set by %lld s: the times of what is open "
		    "go with it",
		    (long long)off / 1000);
		engine_shift(d->engine, off);
		work_turn_soon(d);
	}
	d->boot_at_ms = wall > boot ? wall - boot : 0;
	return boot + d->boot_at_ms;
}

struct work_task *work_task_find(const struct dispatch *d, uint64_t number)
{
	struct work_task *task;

	TAILQ_FOREACH(task, &d->tasks, link)
	{
		if (!task->gone && task->rows.task.row.number == number)
			return task;
	}
	return NULL;
}

void work_broken(struct dispatch *d, const char *what, const char *why)
{
	struct fault fault;

	fault_set(&fault, REASON_INTERNAL, "", "%s: %s", what, why);
	log_error("dispatch", NULL, "%s", fault.text);
	if (!d->closing)
		d->parts.ops->broken(d->parts.owner, &fault);
}

bool work_closed(struct dispatch *d)
{
	d->jobs--;
	return d->closing;
}

static void fill_random(struct engine_random *self, uint8_t *bytes, size_t len)
{
	(void)self;
	random_bytes(bytes, len);
}

void work_submit(struct dispatch *d, struct store_job *job)
{
	enum rc rc;

	job->loop = d->parts.loop;
	d->jobs++;
	rc = store_submit(d->parts.store, job);
	if (rc != RC_OK)
		job->done(job, RC_AGAIN);
}

enum rc dispatch_new(const struct dispatch_parts *parts, struct dispatch **out,
    struct fault *fault)
{
	struct dispatch *d = xcalloc(1, sizeof(*d));
	enum rc rc;

	d->parts = *parts;
	d->random.fill = fill_random;
	TAILQ_INIT(&d->tasks);
	TAILQ_INIT(&d->dirty);
	STAILQ_INIT(&d->loads);
	TAILQ_INIT(&d->forgets);
	(void)work_task_ms(d); /* with nothing under way: sets boot_at_ms */
	rc = engine_new(parts->engine, &d->random, &d->engine);
	if (rc == RC_OK)
		rc = loop_timer_new(parts->loop, work_turn, d, &d->turn);
	if (rc == RC_OK)
		rc = loop_timer_new(parts->loop, work_sync, d, &d->sync_timer);
	if (rc == RC_OK)
		rc = schedule_new(d, &d->schedule);
	if (rc != RC_OK) {
		fault_set(fault, REASON_MEMORY, "", "no memory for tasks");
		dispatch_free(d);
		return rc;
	}
	*out = d;
	return RC_OK;
}

void dispatch_close(struct dispatch *d)
{
	struct work_task *task;
	struct work_run *run;

	d->closing = true;
	work_forgets_drop(d);
	loop_timer_free(d->turn);
	loop_timer_free(d->sync_timer);
	d->turn = NULL;
	d->sync_timer = NULL;
	TAILQ_FOREACH(task, &d->tasks, link)
	{
		TAILQ_FOREACH(run, &task->runs, link)
		run_let_go(run);
	}
	schedule_free(d->schedule);
	d->schedule = NULL;
}

size_t dispatch_pending(const struct dispatch *d)
{
	return d->jobs;
}

void dispatch_free(struct dispatch *d)
{
	struct work_task *task;

	if (d == NULL)
		return;
	if (!d->closing)
		dispatch_close(d);
	if (d->jobs > 0) {
		/* They still hold parts of it: better to leak at the end. */
		log_warn("dispatch", NULL, "%zu jobs did not answer", d->jobs);
		return;
	}
	while ((task = TAILQ_FIRST(&d->tasks)) != NULL) {
		TAILQ_REMOVE(&d->tasks, task, link);
		work_task_free(task);
	}
	work_loads_free(d);
	work_batch_free(d);
	engine_free(d->engine);
	free(d);
}

/* ---- open tasks at the start ---- */

struct listing {
	struct store_job job;
	uint64_t *numbers;
	size_t count;
};

static enum rc list_open(struct db *db, struct store_job *job)
{
	struct listing *l = CONTAINER_OF(job, struct listing, job);
	size_t got = OPEN_PAGE;
	enum rc rc = RC_OK;

	while (rc == RC_OK && got == OPEN_PAGE) {
		uint64_t after = l->count > 0 ? l->numbers[l->count - 1] : 0;
		uint64_t *more = NULL;

		got = 0;
		rc = store_task_open(db, after, OPEN_PAGE, &more, &got);
		if (rc == RC_OK) {
			l->numbers = xrealloc(l->numbers, l->count + got + 1,
			    sizeof(*l->numbers));
			if (got > 0)
				memcpy(l->numbers + l->count, more,
				    got * sizeof(*more));
			l->count += got;
		}
		free(more);
	}
	return rc;
}

enum rc dispatch_start(struct dispatch *d, struct fault *fault)
{
	struct listing l = { .job.run = list_open };
	enum rc rc = store_call(d->parts.store, &l.job);

	if (rc != RC_OK)
		fault_set(fault, REASON_INTERNAL, "",
		    "the open tasks cannot be read: %s", rc_name(rc));
	for (size_t i = 0; rc == RC_OK && i < l.count; i++)
		work_load(d, l.numbers[i]);
	if (rc == RC_OK && l.count > 0)
		log_info_with("dispatch", NULL,
		    LOG_FIELDS(LOG_NUMBER("tasks", (int64_t)l.count)),
		    "going on with open tasks");
	free(l.numbers);
	if (rc == RC_OK)
		schedule_start(d->schedule);
	return rc;
}

/* ---- what the rest of the server tells ---- */

void dispatch_task_created(struct dispatch *d, uint64_t number)
{
	if (work_task_find(d, number) == NULL)
		work_load(d, number);
}

void dispatch_task_cancel(struct dispatch *d, uint64_t number, const char *who)
{
	struct engine_fact fact = { .type = FACT_CANCEL, .key.task = number };

	/* One that is still being loaded finds the request in its row. */
	fault_set(
	    &fact.fault, REASON_CANCELLED, "", "cancelled by %.200s", who);
	work_tell(d, &fact);
}

void dispatch_machine_up(struct dispatch *d, const char *machine)
{
	schedule_soon(d->schedule, machine);
}

static void forgot(
    struct dispatch *d, const struct run_key *key, const struct fault *fault)
{
	struct engine_fact fact = { .type = FACT_UNREACHABLE,
		.key = *key,
		.command = COMMAND_ATTACH,
		.may_have_arrived = true,
		.fault = *fault };
	struct run_row row;

	if (engine_run_row(d->engine, key, &row) != RC_OK ||
	    (row.state != RUN_STARTING && row.state != RUN_RUNNING))
		return;
	memcpy(fact.ticket, row.ticket, sizeof(fact.ticket));
	work_tell(d, &fact);
}

/* Its runs in one block of a task. */
static void block_forgot(struct dispatch *d, const struct task_plan *plan,
    struct run_key *key, const char *machine, const struct fault *fault)
{
	const struct task_block *block = &plan->blocks[key->block];

	for (key->target = 0; key->target < block->target_count;
	     key->target++) {
		const struct task_machine *m =
		    &plan->machines[block->targets[key->target]];

		if (strcmp(m->id, machine) != 0)
			continue;
		for (key->action = 0; key->action < block->action_count;
		     key->action++)
			forgot(d, key, fault);
	}
}

void dispatch_machine_forgot(
    struct dispatch *d, const char *machine, const struct fault *fault)
{
	struct work_task *task;

	TAILQ_FOREACH(task, &d->tasks, link)
	{
		const struct task_plan *plan = task->rows.plan;
		struct run_key key = { .task = plan->number };

		if (task->gone)
			continue;
		for (key.block = 0; key.block < plan->block_count; key.block++)
			block_forgot(d, plan, &key, machine, fault);
	}
}

void dispatch_machine_changed(struct dispatch *d, const char *machine)
{
	schedule_changed(d->schedule, machine);
}

void dispatch_count(const struct dispatch *d, struct dispatch_counts *out)
{
	struct work_task *task;

	*out = (struct dispatch_counts){ .in_flight =
					     engine_in_flight(d->engine) };
	TAILQ_FOREACH(task, &d->tasks, link)
	{
		if (!task->gone)
			out->tasks++;
	}
}

/* batch.c - facts in, one transaction, commands out. */
#include "server/dispatch/work.h"

#include "common/log.h"
#include "common/xalloc.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define TIMER_MAX_MS 3600000u
#define AGAIN_MS     500

/* Everything of one turn: per task its facts and changes, side by side. */
struct batch {
	struct store_job job;
	struct dispatch *dispatch;
	bool again; /* its commit failed: not with the store now */
	struct store_fact *facts;
	char **jsons;
	size_t fact_count;
	struct engine_change *changes;
	size_t change_count;
	struct store_batch *tasks;
	bool *lost; /* per task: it is somebody else's now */
	size_t task_count;
	struct work_command *commands;
	size_t command_count;
	uint64_t settled; /* after the commit; see work.h */
};

/* ---- facts ---- */

static const char *const fact_names[FACT_TYPE_COUNT] = {
	[FACT_CANCEL] = "cancel",
	[FACT_DECISION] = "decision",
	[FACT_ACCEPTED] = "accepted",
	[FACT_ENDED] = "ended",
	[FACT_REFUSED] = "refused",
	[FACT_UNREACHABLE] = "unreachable",
	[FACT_UNKNOWN] = "unknown",
	[FACT_STAGED] = "staged",
	[FACT_HEALTH] = "health",
};

static const char *const command_names[COMMAND_TYPE_COUNT] = {
	[COMMAND_START] = "start",
	[COMMAND_STAGE] = "stage",
	[COMMAND_HEALTH] = "health",
	[COMMAND_ATTACH] = "attach",
	[COMMAND_CANCEL] = "cancel",
	[COMMAND_FORGET] = "forget",
};

static void put(json_t *o, const char *key, json_t *value)
{
	if (o != NULL && value != NULL)
		(void)json_object_set_new(o, key, value);
}

static void put_fault(json_t *o, const struct fault *fault)
{
	if (fault->code == REASON_NONE)
		return;
	put(o, "reason", json_string(reason_name(fault->code)));
	put(o, "text", json_string(fault->text));
	if (fault->at[0] != '\0')
		put(o, "at", json_string(fault->at));
}

static char *describe(const struct engine_fact *fact)
{
	json_t *o = json_object();
	char *text;

	if (fact->type == FACT_DECISION) {
		put(o, "verb", json_string(task_verb_name(fact->verb)));
		put(o, "attempt", json_integer(fact->attempt));
		put(o, "by", json_string(fact->fault.text));
	} else if (fact->type != FACT_CANCEL) {
		put(o, "ticket", json_string(fact->ticket));
	}
	put_fault(o, &fact->fault);
	if (fact->type == FACT_ENDED) {
		put(o, "state",
		    json_string(run_state_name(fact->result.state)));
		put(o, "exit_code", json_integer(fact->result.exit_code));
		put(o, "signal", json_integer(fact->result.signal));
	}
	if (fact->type == FACT_HEALTH)
		put(o, "health",
		    json_string(machine_health_name(fact->health)));
	if (fact->type == FACT_REFUSED || fact->type == FACT_UNREACHABLE)
		put(o, "command", json_string(command_names[fact->command]));
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

void work_tell(struct dispatch *d, const struct engine_fact *fact)
{
	uint64_t now_ms = work_task_ms(d);
	struct work_fact *f;

	work_turn_soon(d);
	if (!engine_fact(d->engine, fact, now_ms))
		return;
	if (d->fact_count == d->fact_room) {
		d->fact_room = d->fact_room * 2 + 16;
		d->facts = xrealloc(d->facts, d->fact_room, sizeof(*d->facts));
	}
	f = &d->facts[d->fact_count];
	f->order = d->fact_count++;
	f->json = describe(fact);
	f->fact = (struct store_fact){ .type = fact_names[fact->type],
		.of_run = fact->type != FACT_CANCEL &&
		          (fact->type != FACT_DECISION || fact->attempt > 0),
		.key = fact->key,
		.at_ms = now_ms,
		.json = f->json };
}

/* ---- making a batch ---- */

static int by_task(const void *a, const void *b)
{
	const struct engine_change *x = a, *y = b;
	uint64_t n =
	    x->type == CHANGE_TASK ? x->row.task.number : x->row.run.key.task;
	uint64_t m =
	    y->type == CHANGE_TASK ? y->row.task.number : y->row.run.key.task;

	return n < m ? -1 : n > m;
}

static uint64_t change_task(const struct engine_change *c)
{
	return c->type == CHANGE_TASK ? c->row.task.number
	                              : c->row.run.key.task;
}

static void drain_engine(struct dispatch *d, struct batch *b)
{
	size_t room = 0;
	struct engine_change change;
	struct engine_command command;

	while (engine_next_change(d->engine, &change)) {
		if (b->change_count == room) {
			room = room * 2 + 16;
			b->changes =
			    xrealloc(b->changes, room, sizeof(*b->changes));
		}
		b->changes[b->change_count++] = change;
	}
	if (b->change_count > 1)
		qsort(
		    b->changes, b->change_count, sizeof(*b->changes), by_task);
	room = 0;
	while (engine_next_command(d->engine, &command)) {
		struct work_command *to;

		if (b->command_count == room) {
			room = room * 2 + 16;
			b->commands =
			    xrealloc(b->commands, room, sizeof(*b->commands));
		}
		to = &b->commands[b->command_count++];
		*to = (struct work_command){ .type = command.type,
			.key = command.key,
			.attempt = command.attempt };
		memcpy(to->ticket, command.ticket, sizeof(to->ticket));
	}
}

static int by_task_then_order(const void *a, const void *b)
{
	const struct work_fact *x = a, *y = b;

	if (x->fact.key.task != y->fact.key.task)
		return x->fact.key.task < y->fact.key.task ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* Facts by task, each task's in their order. */
static void take_facts(struct dispatch *d, struct batch *b)
{
	if (d->fact_count > 1)
		qsort(d->facts, d->fact_count, sizeof(*d->facts),
		    by_task_then_order);
	b->facts = xcalloc(d->fact_count + 1, sizeof(*b->facts));
	b->jsons = (char **)xcalloc(d->fact_count + 1, sizeof(*b->jsons));
	for (size_t i = 0; i < d->fact_count; i++) {
		b->jsons[i] = d->facts[i].json;
		b->facts[i] = d->facts[i].fact;
	}
	b->fact_count = d->fact_count;
	d->fact_count = 0;
}

static struct store_batch *batch_of(struct batch *b, uint64_t number)
{
	const struct dispatch_parts *parts = &b->dispatch->parts;
	const struct work_task *task = work_task_find(b->dispatch, number);
	struct store_batch *s;

	for (size_t i = 0; i < b->task_count; i++) {
		if (b->tasks[i].number == number)
			return &b->tasks[i];
	}
	s = &b->tasks[b->task_count++];
	*s = (struct store_batch){ .number = number };
	s->who.owner = parts->owner_id;
	s->who.incarnation = parts->incarnation;
	s->who.epoch = task != NULL ? task->rows.task.row.epoch : 0;
	return s;
}

static size_t distinct_tasks(const struct batch *b)
{
	size_t count = 0;

	for (size_t i = 0; i < b->change_count; i++)
		count += i == 0 || change_task(&b->changes[i]) !=
		                       change_task(&b->changes[i - 1]);
	for (size_t i = 0; i < b->fact_count; i++)
		count +=
		    i == 0 || b->facts[i].key.task != b->facts[i - 1].key.task;
	return count;
}

static void sort_by_task(struct batch *b)
{
	size_t most = distinct_tasks(b);

	b->tasks = xcalloc(most + 1, sizeof(*b->tasks));
	b->lost = xcalloc(most + 1, sizeof(*b->lost));
	for (size_t i = 0; i < b->change_count; i++) {
		struct store_batch *s =
		    batch_of(b, change_task(&b->changes[i]));

		if (s->change_count++ == 0)
			s->changes = &b->changes[i];
	}
	for (size_t i = 0; i < b->fact_count; i++) {
		struct store_batch *s = batch_of(b, b->facts[i].key.task);

		if (s->fact_count++ == 0)
			s->facts = &b->facts[i];
	}
}

static void batch_free(struct batch *b)
{
	for (size_t i = 0; i < b->fact_count; i++)
		free(b->jsons[i]);
	free((void *)b->jsons);
	free(b->facts);
	free(b->changes);
	free(b->tasks);
	free(b->lost);
	free(b->commands);
	free(b);
}

/* ---- the commit ---- */

/* Where new attempts write. */
static enum rc find_logs(struct db *db, struct batch *b)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < b->command_count; i++) {
		struct work_command *c = &b->commands[i];
		const struct store_log log = { .key = c->key,
			.ticket = c->ticket };

		if (c->type != COMMAND_START || c->attempt <= 1)
			continue;
		rc = store_run_log_place(db, &log, &c->log_base, &c->log_size);
		if (rc == RC_NOTFOUND) /* another node's by now */
			rc = RC_OK;
	}
	return rc;
}

static bool forgets(const struct batch *b)
{
	for (size_t i = 0; i < b->command_count; i++) {
		if (b->commands[i].type == COMMAND_FORGET)
			return true;
	}
	return false;
}

static enum rc apply(struct db *db, struct store_job *job)
{
	struct batch *b = CONTAINER_OF(job, struct batch, job);
	enum rc rc;

	for (size_t i = 0; i < b->task_count; i++) {
		rc = store_task_apply(db, &b->tasks[i]);
		b->lost[i] = rc == RC_STATE;
		if (rc != RC_OK && rc != RC_STATE)
			return rc;
	}
	rc = find_logs(db, b);
	if (rc == RC_OK && forgets(b))
		rc = store_task_settled(db, &b->settled);
	return rc;
}

/* Its last row is on the disk, or it is another node's. */
static void let_go(struct dispatch *d, uint64_t number)
{
	struct work_task *task = work_task_find(d, number);
	struct work_run *run, *next;

	engine_task_remove(d->engine, number);
	if (task == NULL)
		return;
	task->gone = true;
	for (run = TAILQ_FIRST(&task->runs); run != NULL; run = next) {
		next = TAILQ_NEXT(run, link);
		run_let_go(run);
		run_release(run);
	}
	work_task_sweep(task);
}

static bool is_final(const struct store_batch *s)
{
	for (size_t i = 0; i < s->change_count; i++) {
		if (s->changes[i].type == CHANGE_TASK &&
		    task_state_is_final(s->changes[i].row.task.state))
			return true;
	}
	return false;
}

static void after_commit(struct dispatch *d, struct batch *b)
{
	for (size_t i = 0; i < b->task_count; i++) {
		uint64_t number = b->tasks[i].number;

		if (!b->lost[i])
			continue;
		log_warn("dispatch", NULL,
		    "task-%llu is another node's now; letting go of it",
		    (unsigned long long)number);
		let_go(d, number);
	}
	if (b->settled > d->settled)
		d->settled = b->settled;
	for (size_t i = 0; i < b->command_count; i++)
		work_carry_out(d, &b->commands[i]);
	for (size_t i = 0; i < b->task_count; i++) {
		uint64_t number = b->tasks[i].number;

		if (b->lost[i])
			continue;
		d->parts.ops->task_changed(d->parts.owner, number);
		if (is_final(&b->tasks[i]))
			let_go(d, number);
	}
}

static void committed(struct store_job *job, enum rc rc)
{
	struct batch *b = CONTAINER_OF(job, struct batch, job);
	struct dispatch *d = b->dispatch;

	if (work_closed(d)) {
		d->batch = NULL;
		batch_free(b);
		return;
	}
	if (rc != RC_OK && store_broken(d->parts.store)) {
		work_broken(d, "tasks cannot be written", "the disk failed");
		return;
	}
	if (rc != RC_OK) {
		log_error("dispatch", NULL, "a commit failed: %s; trying again",
		    rc_name(rc));
		b->again = true;
		loop_timer_set(d->turn, AGAIN_MS);
		return;
	}
	d->batch = NULL;
	after_commit(d, b);
	batch_free(b);
	work_turn_soon(d);
}

void work_batch_free(struct dispatch *d)
{
	if (d->batch != NULL)
		batch_free(d->batch);
	d->batch = NULL;
	for (size_t i = 0; i < d->fact_count; i++)
		free(d->facts[i].json);
	free(d->facts);
	d->facts = NULL;
	d->fact_count = 0;
}

/* ---- one turn ---- */

void work_turn_soon(struct dispatch *d)
{
	if (d->batch == NULL && !d->closing)
		loop_timer_set(d->turn, 0);
}

static void set_timer(struct dispatch *d, uint64_t now_ms, uint64_t next_ms)
{
	uint64_t wait = next_ms > now_ms ? next_ms - now_ms : 1;

	if (next_ms == UINT64_MAX)
		return;
	loop_timer_set(d->turn, wait < TIMER_MAX_MS ? wait : TIMER_MAX_MS);
}

void work_turn(void *dispatch)
{
	struct dispatch *d = dispatch;
	struct batch *b = d->batch;
	uint64_t now_ms;

	if (b != NULL) {
		/* The engine's timer may ring while the store has it. */
		if (b->again) {
			b->again = false;
			work_submit(d, &b->job);
		}
		return;
	}
	now_ms = work_task_ms(d);
	set_timer(d, now_ms, engine_tick(d->engine, now_ms));
	b = xcalloc(1, sizeof(*b));
	b->dispatch = d;
	drain_engine(d, b);
	take_facts(d, b);
	sort_by_task(b);
	if (b->task_count == 0) {
		after_commit(d, b);
		batch_free(b);
		return;
	}
	b->job.run = apply;
	b->job.done = committed;
	d->batch = b;
	work_submit(d, &b->job);
}

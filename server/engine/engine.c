/* engine.c - the public side: tasks in, changes and commands out. */
#include "server/engine/engine.h"

#include "server/engine/state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct engine_limits engine_limits_default(void)
{
	return (struct engine_limits){
		.max_in_flight = 500,
		.retry_first_ms = 1000,
		.retry_max_ms = UINT64_C(60000),
		.overdue_ms = UINT64_C(15000),
		.answer_ms = UINT64_C(120000),
		.lost_ms = UINT64_C(3600000),
	};
}

enum rc engine_new(const struct engine_limits *limits,
    struct engine_random *random, struct engine **out)
{
	struct engine *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return RC_NOMEM;
	e->limits = *limits;
	if (e->limits.max_in_flight == 0)
		e->limits.max_in_flight = 1;
	if (e->limits.retry_max_ms > UINT32_MAX)
		e->limits.retry_max_ms = UINT32_MAX;
	if (e->limits.retry_first_ms == 0)
		e->limits.retry_first_ms = 1;
	e->random = random;
	TAILQ_INIT(&e->tasks);
	TAILQ_INIT(&e->ready);
	TAILQ_INIT(&e->changed_tasks);
	TAILQ_INIT(&e->changed_runs);
	TAILQ_INIT(&e->asked);
	for (size_t i = 0; i < ENGINE_BUCKETS; i++)
		TAILQ_INIT(&e->buckets[i]);
	*out = e;
	return RC_OK;
}

void engine_free(struct engine *e)
{
	struct task *task, *next;

	if (e == NULL)
		return;
	for (task = TAILQ_FIRST(&e->tasks); task != NULL; task = next) {
		next = TAILQ_NEXT(task, link);
		task_destroy(task);
	}
	timers_fini(&e->timers);
	free(e);
}

struct task *engine_find(const struct engine *e, uint64_t number)
{
	struct task *task;

	TAILQ_FOREACH(task, &e->buckets[number % ENGINE_BUCKETS], bucket_link)
	{
		if (task->plan->number == number)
			return task;
	}
	return NULL;
}

enum rc engine_task_add(struct engine *e, const struct task_plan *plan,
    const struct task_row *row, const struct run_row *runs, size_t run_count,
    struct fault *fault)
{
	struct task *task = NULL;
	enum rc rc;

	if (engine_find(e, plan->number) != NULL)
		return RC_EXISTS;
	if (task_state_is_final(row->state))
		return RC_STATE;
	if ((unsigned)row->state >= TASK_STATE_COUNT ||
	    row->number != plan->number) {
		fault_set(fault, REASON_INTERNAL, "",
		    "the task's row is not of task-%llu",
		    (unsigned long long)plan->number);
		return RC_PROTO;
	}
	rc = task_plan_check(plan, fault);
	if (rc != RC_OK)
		return rc;
	rc = task_build(plan, row, runs, run_count, &task, fault);
	if (rc != RC_OK)
		return rc;
	rc = timers_reserve(&e->timers, e->timer_room + task->timer_room);
	if (rc != RC_OK) {
		task_destroy(task);
		return rc;
	}
	e->timer_room += task->timer_room;
	TAILQ_INSERT_TAIL(&e->tasks, task, link);
	TAILQ_INSERT_TAIL(
	    &e->buckets[plan->number % ENGINE_BUCKETS], task, bucket_link);
	e->lanes_moved = true;
	return RC_OK;
}

static void drop_runs(struct engine *e, struct block *block)
{
	size_t count =
	    (size_t)block->plan->target_count * block->plan->action_count;

	for (uint32_t i = 0; i < block->plan->target_count; i++) {
		struct target *t = &block->targets[i];

		if (t->phase != PHASE_IDLE)
			target_move(e, t, PHASE_IDLE);
	}
	for (size_t i = 0; i < count; i++) {
		struct run *r = &block->runs[i];

		if (r->asked != 0)
			TAILQ_REMOVE(&e->asked, r, asked_link);
		if (r->changed)
			TAILQ_REMOVE(&e->changed_runs, r, changed_link);
	}
}

void engine_task_remove(struct engine *e, uint64_t number)
{
	struct task *task = engine_find(e, number);

	if (task == NULL)
		return;
	for (uint32_t i = 0; i < task->plan->block_count; i++)
		drop_runs(e, &task->blocks[i]);
	if (task->changed)
		TAILQ_REMOVE(&e->changed_tasks, task, changed_link);
	TAILQ_REMOVE(&e->tasks, task, link);
	TAILQ_REMOVE(&e->buckets[number % ENGINE_BUCKETS], task, bucket_link);
	e->timer_room -= task->timer_room;
	e->lanes_moved = true;
	task_destroy(task);
}

/* ---- time ---- */

static bool is_lane_free(const struct engine *e, const struct task *task)
{
	const struct task *other;

	if (task->plan->lane[0] == '\0')
		return true;
	TAILQ_FOREACH(other, &e->tasks, link)
	{
		if (other != task && !task_state_is_final(other->row.state) &&
		    (other->row.state != TASK_QUEUED ||
			other->plan->number < task->plan->number) &&
		    strcmp(other->plan->lane, task->plan->lane) == 0)
			return false;
	}
	return true;
}

/* What people take to decide counts too. */
static uint64_t deadline_of(const struct task *task)
{
	const struct task_plan *plan = task->plan;
	uint64_t at = plan->deadline_ms > 0 ? plan->deadline_ms : TIMER_NEVER;
	uint64_t limit = time_add(task->row.started_ms, plan->limit_ms);

	if (plan->limit_ms == 0 || task->row.started_ms == 0 || at < limit)
		return at;
	return limit;
}

/* Returns the earliest deadline still ahead. */
static uint64_t expire_tasks(struct engine *e, uint64_t now_ms)
{
	uint64_t next = TIMER_NEVER;
	struct fault why;
	struct task *task;

	fault_set(&why, REASON_DEADLINE, "",
	    "the task's deadline passed before it was done");
	TAILQ_FOREACH(task, &e->tasks, link)
	{
		uint64_t deadline = deadline_of(task);

		if (deadline == TIMER_NEVER ||
		    (task->row.state != TASK_QUEUED &&
			task->row.state != TASK_RUNNING))
			continue;
		if (deadline <= now_ms)
			task_cancel(e, task, &why, now_ms);
		else if (deadline < next)
			next = deadline;
	}
	return next;
}

/* New tasks, those of before a restart, and those whose lane became free. */
static void resume_tasks(struct engine *e, uint64_t now_ms)
{
	struct task *task;

	while (e->lanes_moved) {
		e->lanes_moved = false;
		TAILQ_FOREACH(task, &e->tasks, link)
		{
			if (!task->fresh ||
			    task_state_is_final(task->row.state))
				continue;
			if (task->row.state != TASK_QUEUED ||
			    is_lane_free(e, task))
				task_resume(e, task, now_ms);
		}
	}
}

static void expire_targets(struct engine *e, uint64_t now_ms)
{
	struct timer *timer;

	while ((timer = timers_due(&e->timers, now_ms)) != NULL)
		target_expire(e, (struct target *)timer, now_ms);
}

/* The tasks take turns, one machine each. */
static void start_ready(struct engine *e, uint64_t now_ms)
{
	struct task *task;

	while (e->in_flight < e->limits.max_in_flight &&
	       (task = TAILQ_FIRST(&e->ready)) != NULL) {
		target_start(e, TAILQ_FIRST(&task->ready), now_ms);
		if (TAILQ_EMPTY(&task->ready))
			continue;
		TAILQ_REMOVE(&e->ready, task, ready_link);
		TAILQ_INSERT_TAIL(&e->ready, task, ready_link);
	}
}

uint64_t engine_tick(struct engine *e, uint64_t now_ms)
{
	uint64_t deadline, next;

	deadline = expire_tasks(e, now_ms);
	expire_targets(e, now_ms);
	resume_tasks(e, now_ms);
	start_ready(e, now_ms);
	next = timers_next(&e->timers);
	return next < deadline ? next : deadline;
}

/* ---- a clock that was set ---- */

static void shift_target(struct engine *e, struct target *t, int64_t by_ms)
{
	struct run *r = target_run(t);

	t->again_ms = time_shift(t->again_ms, by_ms);
	t->limit_ms = time_shift(t->limit_ms, by_ms);
	if (r->state != RUN_STARTING && r->state != RUN_RUNNING)
		return;
	r->starting_ms = time_shift(r->starting_ms, by_ms);
	r->running_ms = time_shift(r->running_ms, by_ms);
	run_touch(e, r);
}

void engine_shift(struct engine *e, int64_t by_ms)
{
	struct task *task;

	timers_shift(&e->timers, by_ms);
	TAILQ_FOREACH(task, &e->tasks, link)
	{
		struct block *block = &task->blocks[task->current];

		if (task_state_is_final(task->row.state))
			continue;
		task->row.started_ms = time_shift(task->row.started_ms, by_ms);
		task_touch(e, task);
		for (uint32_t i = 0; i < block->plan->target_count; i++) {
			if (block->targets[i].place == PLACE_INSIDE)
				shift_target(e, &block->targets[i], by_ms);
		}
	}
}

/* ---- what comes out ---- */

static struct run_key key_of(const struct run *r)
{
	return (struct run_key){
		.task = r->target->block->task->plan->number,
		.block = r->target->block->index,
		.target = r->target->index,
		.action = r->action,
	};
}

static void fill_run_row(const struct run *r, struct run_row *out)
{
	const struct target *t = r->target;

	*out = (struct run_row){
		.key = key_of(r),
		.state = r->state,
		.sent = r->sent != SENT_NO,
		.attempt = r->attempt,
		.decision = r->decision,
		.doubt = r->doubt,
		.former_count = r->former_count,
		.tries = r->tries,
		.starting_ms = r->starting_ms,
		.running_ms = r->running_ms,
		.ended_ms = r->ended_ms,
		.exit_code = r->exit_code,
		.signal = r->signal,
		.health = r->health,
	};
	memcpy(out->ticket, r->ticket, sizeof(out->ticket));
	memcpy(out->former, r->former, sizeof(out->former));
	if (t->fault_action == r->action && r->state != RUN_WAITING &&
	    r->state != RUN_SKIPPED)
		out->fault = t->fault;
}

bool engine_next_change(struct engine *e, struct engine_change *out)
{
	struct run *r = TAILQ_FIRST(&e->changed_runs);
	struct task *task = TAILQ_FIRST(&e->changed_tasks);

	if (r != NULL) {
		TAILQ_REMOVE(&e->changed_runs, r, changed_link);
		r->changed = false;
		out->type = CHANGE_RUN;
		fill_run_row(r, &out->row.run);
		return true;
	}
	if (task != NULL) {
		TAILQ_REMOVE(&e->changed_tasks, task, changed_link);
		task->changed = false;
		out->type = CHANGE_TASK;
		out->row.task = task->row;
		return true;
	}
	return false;
}

/* The lowest bit: a start goes out before a cancel, which goes before a
 * forget. */
static enum engine_command_type take_command(struct engine *e, struct run *r)
{
	int type = COMMAND_START;

	while ((r->asked & (1u << type)) == 0)
		type++;
	assert(type < COMMAND_TYPE_COUNT);
	r->asked &= ~(1u << type);
	if (r->asked == 0)
		TAILQ_REMOVE(&e->asked, r, asked_link);
	return (enum engine_command_type)type;
}

bool engine_next_command(struct engine *e, struct engine_command *out)
{
	struct run *r = TAILQ_FIRST(&e->asked);
	const struct task *task;
	const struct block *block;

	if (r == NULL)
		return false;
	block = r->target->block;
	task = block->task;
	*out = (struct engine_command){
		.type = take_command(e, r),
		.key = key_of(r),
		.epoch = task->row.epoch,
		.attempt = r->attempt,
		.plan = task->plan,
		.machine =
		    &task->plan
			 ->machines[block->plan->targets[r->target->index]],
		.action = run_action(r),
	};
	memcpy(out->ticket, r->ticket, sizeof(out->ticket));
	return true;
}

enum rc engine_task_row(
    const struct engine *e, uint64_t number, struct task_row *out)
{
	const struct task *task = engine_find(e, number);

	if (task == NULL)
		return RC_NOTFOUND;
	*out = task->row;
	return RC_OK;
}

enum rc engine_run_row(
    const struct engine *e, const struct run_key *key, struct run_row *out)
{
	const struct task *task = engine_find(e, key->task);
	const struct block *block;

	if (task == NULL || key->block >= task->plan->block_count)
		return RC_NOTFOUND;
	block = &task->blocks[key->block];
	if (key->target >= block->plan->target_count ||
	    key->action >= block->plan->action_count)
		return RC_NOTFOUND;
	fill_run_row(&block->targets[key->target].runs[key->action], out);
	return RC_OK;
}

uint32_t engine_in_flight(const struct engine *e)
{
	return e->in_flight;
}

uint32_t engine_inside(const struct engine *e, uint64_t number)
{
	const struct task *task = engine_find(e, number);

	return task != NULL ? task->blocks[task->current].inside : 0;
}

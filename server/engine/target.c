/* target.c - one machine's way through one block, action by action. */
#include "server/engine/state.h"

#include <assert.h>
#include <string.h>

#define BIT(n) (1u << (n))

static const uint32_t phase_may_become[PHASE_COUNT] = {
	[PHASE_IDLE] = BIT(PHASE_READY) | BIT(PHASE_FOLLOWING) |
	               BIT(PHASE_CANCELLING) | BIT(PHASE_BACKOFF),
	[PHASE_READY] = BIT(PHASE_ASKED) | BIT(PHASE_FOLLOWING) |
	                BIT(PHASE_CANCELLING) | BIT(PHASE_IDLE),
	[PHASE_ASKED] = BIT(PHASE_BACKOFF) | BIT(PHASE_FOLLOWING) |
	                BIT(PHASE_CANCELLING) | BIT(PHASE_IDLE),
	[PHASE_BACKOFF] = BIT(PHASE_READY) | BIT(PHASE_FOLLOWING) |
	                  BIT(PHASE_CANCELLING) | BIT(PHASE_IDLE),
	[PHASE_FOLLOWING] =
	    BIT(PHASE_BACKOFF) | BIT(PHASE_CANCELLING) | BIT(PHASE_IDLE),
	[PHASE_CANCELLING] = BIT(PHASE_IDLE),
};

void task_touch(struct engine *e, struct task *task)
{
	if (task->changed)
		return;
	task->changed = true;
	TAILQ_INSERT_TAIL(&e->changed_tasks, task, changed_link);
}

void run_touch(struct engine *e, struct run *r)
{
	if (r->changed)
		return;
	r->changed = true;
	TAILQ_INSERT_TAIL(&e->changed_runs, r, changed_link);
}

void run_ask(struct engine *e, struct run *r, enum engine_command_type type)
{
	if (r->asked == 0)
		TAILQ_INSERT_TAIL(&e->asked, r, asked_link);
	r->asked |= BIT(type);
}

void run_unask(struct engine *e, struct run *r, enum engine_command_type type)
{
	if ((r->asked & BIT(type)) == 0)
		return;
	r->asked &= ~BIT(type);
	if (r->asked == 0)
		TAILQ_REMOVE(&e->asked, r, asked_link);
	/* A start that never went out was never seen. */
	if (type == COMMAND_START && r->sent == SENT_ASKED)
		r->sent = SENT_NO;
}

static void make_ticket(struct engine *e, struct run *r)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t bytes[(TASK_TICKET_SIZE - 1) / 2];

	e->random->fill(e->random, bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++) {
		r->ticket[2 * i] = digits[bytes[i] >> 4];
		r->ticket[2 * i + 1] = digits[bytes[i] & 15];
	}
	r->ticket[TASK_TICKET_SIZE - 1] = '\0';
}

void run_enter(
    struct engine *e, struct run *r, enum run_state next, uint64_t now_ms)
{
	assert(run_state_may_become(r->state, next));
	r->state = next;
	if (next == RUN_STARTING) {
		r->starting_ms = now_ms;
		make_ticket(e, r);
	} else if (next == RUN_RUNNING) {
		r->running_ms = now_ms;
		r->sent = SENT_MAYBE;
	} else {
		r->ended_ms = now_ms;
	}
	run_touch(e, r);
}

/* Only live conversations hold a place; who waits for a dead machine does
 * not keep others from working. */
static bool holds_place(enum phase phase)
{
	return phase == PHASE_ASKED || phase == PHASE_FOLLOWING;
}

static void leave_ready(struct engine *e, struct target *t)
{
	struct task *task = t->block->task;

	TAILQ_REMOVE(&task->ready, t, ready_link);
	if (TAILQ_EMPTY(&task->ready))
		TAILQ_REMOVE(&e->ready, task, ready_link);
}

/* A machine that is inside goes before those that only enter: the sooner it is
 * through, the shorter it is out of service. */
static void join_ready(struct engine *e, struct target *t)
{
	struct task *task = t->block->task;

	if (TAILQ_EMPTY(&task->ready))
		TAILQ_INSERT_TAIL(&e->ready, task, ready_link);
	if (t->current > 0 && t->retries == 0)
		TAILQ_INSERT_HEAD(&task->ready, t, ready_link);
	else
		TAILQ_INSERT_TAIL(&task->ready, t, ready_link);
}

void target_move(struct engine *e, struct target *t, enum phase next)
{
	assert(phase_may_become[t->phase] & BIT(next));
	if (t->phase == PHASE_READY)
		leave_ready(e, t);
	if (holds_place(t->phase))
		e->in_flight--;
	if (holds_place(next))
		e->in_flight++;
	t->phase = next;
	target_arm(e, t, TIMER_NEVER, TIMER_NEVER);
	if (next == PHASE_READY)
		join_ready(e, t);
}

void target_arm(
    struct engine *e, struct target *t, uint64_t again_ms, uint64_t limit_ms)
{
	t->again_ms = again_ms;
	t->limit_ms = limit_ms;
	timers_set(
	    &e->timers, &t->timer, again_ms < limit_ms ? again_ms : limit_ms);
}

void target_blame(struct target *t, const struct fault *fault)
{
	if (fault != NULL)
		t->fault = *fault;
	else
		fault_clear(&t->fault);
	t->fault_action = t->current;
}

void target_start(struct engine *e, struct target *t, uint64_t now_ms)
{
	struct run *r = target_run(t);
	const struct task_action *action = run_action(r);
	uint64_t limit = time_add(now_ms, e->limits.answer_ms);

	target_move(e, t, PHASE_ASKED);
	if (r->state == RUN_WAITING || r->decision == DECISION_RETRY)
		run_begin(e, r, now_ms);
	r->tries++;
	run_touch(e, r);
	switch (action->type) {
	case ACTION_TYPE_SCRIPT:
	case ACTION_TYPE_ACTIVATE:
		if (r->sent == SENT_NO)
			r->sent = SENT_ASKED;
		run_ask(e, r, COMMAND_START);
		break;
	case ACTION_TYPE_STAGE:
		run_ask(e, r, COMMAND_STAGE);
		break;
	case ACTION_TYPE_HEALTH:
		limit = time_add(limit, action->timeout_ms);
		run_ask(e, r, COMMAND_HEALTH);
		break;
	case ACTION_TYPE_COUNT:
		break;
	}
	target_arm(e, t, TIMER_NEVER, limit);
}

/* When the machine's own time limit is over and it has not said so.  Never
 * sooner than an answer takes: after a restart the server may be the late
 * one. */
static uint64_t overdue_at(
    const struct engine *e, const struct run *r, uint64_t now_ms)
{
	uint64_t timeout = run_action(r)->timeout_ms;
	uint64_t at = time_add(r->running_ms, e->limits.overdue_ms);
	uint64_t soonest = time_add(now_ms, e->limits.answer_ms);

	if (timeout == 0)
		return TIMER_NEVER;
	at = time_add(at, timeout);
	return at > soonest ? at : soonest;
}

void target_follow(struct engine *e, struct target *t, uint64_t now_ms)
{
	struct run *r = target_run(t);

	if (r->state == RUN_STARTING)
		run_enter(e, r, RUN_RUNNING, now_ms);
	if (t->phase == PHASE_CANCELLING) {
		if (action_lasts(run_action(r)))
			run_ask(e, r, COMMAND_ATTACH);
		return;
	}
	if (t->phase != PHASE_FOLLOWING)
		target_move(e, t, PHASE_FOLLOWING);
	if (action_lasts(run_action(r)))
		run_ask(e, r, COMMAND_ATTACH);
	target_arm(e, t, TIMER_NEVER, overdue_at(e, r, now_ms));
}

/* Doubling, with the upper half left to chance: a thousand machines behind one
 * relay do not come back in the same instant. */
uint64_t target_back_off_ms(struct engine *e, struct target *t)
{
	uint64_t wait = e->limits.retry_first_ms;
	uint8_t chance;

	for (uint32_t i = 0; i < t->retries && wait < e->limits.retry_max_ms;
	     i++)
		wait *= 2;
	if (wait > e->limits.retry_max_ms)
		wait = e->limits.retry_max_ms;
	t->retries++;
	e->random->fill(e->random, &chance, 1);
	wait = wait / 2 + wait / 2 * chance / 255;
	return wait > 0 ? wait : 1;
}

void target_retry(struct engine *e, struct target *t, uint64_t now_ms)
{
	struct run *r = target_run(t);
	const struct task_action *action = run_action(r);
	uint64_t deadline = TIMER_NEVER, again;

	run_touch(e, r);
	target_move(e, t, PHASE_BACKOFF);
	if (r->state == RUN_STARTING)
		deadline = time_add(r->starting_ms, action->queue_ms);
	else if (action->timeout_ms > 0)
		deadline = time_add(r->running_ms,
		    time_add(action->timeout_ms, e->limits.overdue_ms));
	if (now_ms >= deadline) {
		target_give_up(e, t, now_ms);
		return;
	}
	again = time_add(now_ms, target_back_off_ms(e, t));
	target_arm(e, t, again < deadline ? again : deadline, TIMER_NEVER);
}

void target_give_up(struct engine *e, struct target *t, uint64_t now_ms)
{
	struct run *r = target_run(t);
	bool cancelled = t->block->task->row.state == TASK_CANCELLING;

	for (int i = COMMAND_START; i <= COMMAND_HEALTH; i++)
		run_unask(e, r, (enum engine_command_type)i);
	if (action_lasts(run_action(r)) && r->sent != SENT_NO) {
		if (t->phase == PHASE_CANCELLING)
			return;
		target_move(e, t, PHASE_CANCELLING);
		t->retries = 0;
		run_touch(e, r); /* why, also for after a restart */
		run_ask(e, r, COMMAND_CANCEL);
		target_arm(e, t, time_add(now_ms, target_back_off_ms(e, t)),
		    time_add(now_ms, e->limits.lost_ms));
		return;
	}
	if (t->phase == PHASE_ASKED || t->phase == PHASE_FOLLOWING)
		run_ask(e, r, COMMAND_CANCEL);
	target_end_run(e, t, cancelled ? RUN_CANCELLED : RUN_FAILED, now_ms);
}

void target_skip_rest(struct engine *e, struct target *t, uint64_t now_ms)
{
	uint32_t count = t->block->plan->action_count;

	for (; t->current < count; t->current++)
		run_enter(e, target_run(t), RUN_SKIPPED, now_ms);
}

void target_leave(
    struct engine *e, struct target *t, enum run_state last, uint64_t now_ms)
{
	struct block *block = t->block;

	if (t->phase != PHASE_IDLE)
		target_move(e, t, PHASE_IDLE);
	if (t->current < block->plan->action_count)
		t->current++;
	target_skip_rest(e, t, now_ms);
	block->inside--;
	t->place = PLACE_DONE;
	task_target_done(e, t, last);
	task_advance(e, block->task, now_ms);
}

/* While an earlier attempt is in doubt only one that ran can end that. */
static enum run_state still_unknown(
    struct target *t, const struct run *r, enum run_state state)
{
	struct fault fault;

	if (!r->doubt || state == RUN_SUCCEEDED || state == RUN_UNKNOWN)
		return state;
	fault_set(&fault, REASON_UNKNOWN, t->fault.at,
	    "how attempt %u ended is not known; the one after it did not run: "
	    "%.150s",
	    r->attempt - 1, t->fault.text);
	target_blame(t, &fault);
	return RUN_UNKNOWN;
}

void target_end_run(
    struct engine *e, struct target *t, enum run_state state, uint64_t now_ms)
{
	struct run *r = target_run(t);

	run_unask(e, r, COMMAND_ATTACH);
	state = still_unknown(t, r, state);
	r->doubt = state == RUN_UNKNOWN;
	run_enter(e, r, state, now_ms);
	target_move(e, t, PHASE_IDLE);
	t->retries = 0;
	target_go_on(e, t, now_ms);
}

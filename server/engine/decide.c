/* decide.c - how it goes on after a run: the next action, another attempt, a
 * person's word, or the end for this machine. */
#include "server/engine/state.h"

#include <string.h>

/* ---- attempts ---- */

void run_decide(struct engine *e, struct run *r, enum run_decision next)
{
	struct task *task = r->target->block->task;

	if (r->decision == next)
		return;
	if (r->decision == DECISION_WAITING || next == DECISION_WAITING) {
		if (next == DECISION_WAITING)
			task->row.waiting++;
		else
			task->row.waiting--;
		task_touch(e, task);
	}
	r->decision = next;
	run_touch(e, r);
}

void run_leave_former(struct run *r)
{
	if (r->sent == SENT_NO || r->former_count == TASK_FORMER_MAX)
		return;
	memcpy(r->former[r->former_count++], r->ticket, TASK_TICKET_SIZE);
}

void run_settle_former(struct run *r)
{
	r->former_count = 0;
	r->doubt = false;
}

void run_begin(struct engine *e, struct run *r, uint64_t now_ms)
{
	if (r->decision == DECISION_RETRY) {
		run_decide(e, r, DECISION_NONE);
		r->attempt++;
		r->state = RUN_WAITING;
		r->sent = SENT_NO;
		r->tries = 0;
		r->running_ms = 0;
		r->ended_ms = 0;
		r->exit_code = 0;
		r->signal = 0;
		r->health = MACHINE_HEALTH_UNKNOWN;
	}
	run_enter(e, r, RUN_STARTING, now_ms);
}

static bool is_stopping(const struct target *t)
{
	return t->block->task->row.state == TASK_CANCELLING;
}

static bool retries_by_itself(const struct run *r)
{
	const struct task_action *action = run_action(r);
	uint32_t most = action->retries;

	if (!run_may_retry(r->attempt, r->former_count))
		return false;
	if (r->state == RUN_FAILED)
		return r->attempt <= most;
	if (most < TASK_RERUNS_MAX)
		most = TASK_RERUNS_MAX;
	return r->state == RUN_UNKNOWN && action->rerun_safe &&
	       r->attempt <= most;
}

/* ---- how it goes on ---- */

static void next_action(struct engine *e, struct target *t, uint64_t now_ms)
{
	bool more = t->current + 1 < t->block->plan->action_count;

	if (!more || is_stopping(t)) {
		target_leave(e, t, more ? RUN_SKIPPED : RUN_SUCCEEDED, now_ms);
		return;
	}
	t->current++;
	target_move(e, t, PHASE_READY);
}

/* Never at once: what was asked about the old ticket goes out first. */
static void again_later(struct engine *e, struct target *t, uint64_t at_ms)
{
	run_decide(e, target_run(t), DECISION_RETRY);
	target_move(e, t, PHASE_BACKOFF);
	target_arm(e, t, at_ms, TIMER_NEVER);
}

/* Longer with each attempt; its deliveries count for themselves. */
static uint64_t attempt_back_off_ms(struct engine *e, struct target *t)
{
	uint64_t wait;

	t->retries = target_run(t)->attempt - 1;
	wait = target_back_off_ms(e, t);
	t->retries = 1;
	return wait;
}

void target_go_on(struct engine *e, struct target *t, uint64_t now_ms)
{
	struct run *r = target_run(t);

	if (r->state == RUN_SUCCEEDED) {
		next_action(e, t, now_ms);
		return;
	}
	if (!is_stopping(t) && retries_by_itself(r))
		again_later(e, t, time_add(now_ms, attempt_back_off_ms(e, t)));
	else if (!is_stopping(t) && t->block->task->plan->guided)
		run_decide(e, r, DECISION_WAITING);
	else
		target_leave(e, t, r->state, now_ms);
}

void target_undecide(struct engine *e, struct target *t, uint64_t now_ms)
{
	struct run *r = target_run(t);

	run_decide(e, r, DECISION_NONE);
	target_leave(e, t, r->state, now_ms);
}

/* ---- a person ---- */

static bool decide_approval(struct engine *e, struct task *task,
    const struct engine_fact *fact, uint64_t now_ms)
{
	struct fault why;

	if (task->row.state != TASK_RUNNING || task->row.approval == 0 ||
	    fact->key.block != task->row.approval - 1)
		return false;
	if (fact->verb == VERB_APPROVE) {
		task->row.approval = 0;
		task->row.waiting--;
		task->row.approved++;
		task_touch(e, task);
		task_advance(e, task, now_ms);
		return true;
	}
	fault_set(&why, REASON_NOT_PERMITTED, "", "not approved: %.200s",
	    fact->fault.text);
	task_cancel(e, task, &why, now_ms);
	return true;
}

/* The run that waits for this word, or NULL. */
static struct target *find_waiting(
    const struct task *task, const struct engine_fact *fact)
{
	const struct run_key *key = &fact->key;
	struct block *block;
	struct target *t;

	if (key->block != task->current)
		return NULL;
	block = &task->blocks[key->block];
	if (key->target >= block->plan->target_count)
		return NULL;
	t = &block->targets[key->target];
	if (t->place != PLACE_INSIDE || t->current != key->action ||
	    target_run(t)->decision != DECISION_WAITING ||
	    target_run(t)->attempt != fact->attempt)
		return NULL;
	return t;
}

/* The one way out of unknown. */
static bool resolve(
    struct engine *e, struct target *t, enum run_state state, uint64_t now_ms)
{
	struct run *r = target_run(t);
	struct fault fault = { .code = REASON_NONE };

	if (r->state != RUN_UNKNOWN)
		return false;
	if (state == RUN_FAILED)
		fault_set(&fault, REASON_SCRIPT_FAILED, "", "%s",
		    TASK_RESOLVED_FAILED);
	target_blame(t, &fault);
	run_decide(e, r, DECISION_NONE);
	run_settle_former(r);
	r->state = state;
	if (state == RUN_SUCCEEDED)
		next_action(e, t, now_ms);
	else
		target_leave(e, t, state, now_ms);
	return true;
}

static bool decide_run(
    struct engine *e, struct target *t, enum task_verb verb, uint64_t now_ms)
{
	struct run *r = target_run(t);
	struct task *task = t->block->task;

	switch (verb) {
	case VERB_RETRY:
		if (!run_may_retry(r->attempt, r->former_count))
			return false;
		again_later(e, t, time_add(now_ms, 1));
		return true;
	case VERB_IGNORE:
		run_decide(e, r, DECISION_IGNORED);
		next_action(e, t, now_ms);
		return true;
	case VERB_FAIL:
		target_undecide(e, t, now_ms);
		return true;
	case VERB_EXCLUDE:
		run_decide(e, r, DECISION_EXCLUDED);
		task->machines[t->block->plan->targets[t->index]].fate =
		    FATE_EXCLUDED;
		target_leave(e, t, r->state, now_ms);
		return true;
	case VERB_SUCCEEDED:
		return resolve(e, t, RUN_SUCCEEDED, now_ms);
	case VERB_FAILED:
		return resolve(e, t, RUN_FAILED, now_ms);
	case VERB_APPROVE:
	case VERB_REJECT:
	case VERB_COUNT:
		break;
	}
	return false;
}

bool task_decide(
    struct engine *e, const struct engine_fact *fact, uint64_t now_ms)
{
	struct task *task = engine_find(e, fact->key.task);
	struct target *t;

	if (task == NULL || task->row.state == TASK_QUEUED ||
	    task_state_is_final(task->row.state))
		return false;
	/* Said before a restart, and not yet taken then. */
	if (task->fresh)
		task_resume(e, task, now_ms);
	if (fact->verb == VERB_APPROVE || fact->verb == VERB_REJECT)
		return decide_approval(e, task, fact, now_ms);
	t = find_waiting(task, fact);
	return t != NULL && decide_run(e, t, fact->verb, now_ms);
}

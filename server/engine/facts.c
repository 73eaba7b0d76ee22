/* facts.c - what a fact, or the lack of one in time, means for a run. */
#include "server/engine/state.h"

#include <string.h>

/* The run that a fact is about, if it is the one that its target is at and the
 * ticket is right; else NULL. */
static struct target *find_target(
    const struct engine *e, const struct engine_fact *fact)
{
	const struct run_key *key = &fact->key;
	struct task *task = engine_find(e, key->task);
	struct block *block;
	struct target *t;
	struct run *r;

	if (task == NULL || task->fresh || key->block != task->current)
		return NULL;
	block = &task->blocks[key->block];
	if (key->target >= block->plan->target_count)
		return NULL;
	t = &block->targets[key->target];
	if (t->place != PLACE_INSIDE || key->action != t->current)
		return NULL;
	r = target_run(t);
	if ((r->state != RUN_STARTING && r->state != RUN_RUNNING) ||
	    strncmp(r->ticket, fact->ticket, sizeof(r->ticket)) != 0)
		return NULL;
	return t;
}

static bool on_accepted(struct engine *e, struct target *t, uint64_t now_ms)
{
	struct run *r = target_run(t);

	if (run_action(r)->type == ACTION_TYPE_HEALTH)
		return false;
	t->retries = 0;
	if (r->state == RUN_RUNNING &&
	    (t->phase == PHASE_FOLLOWING || t->phase == PHASE_CANCELLING))
		return false;
	if (t->phase != PHASE_CANCELLING)
		target_blame(t, NULL);
	target_follow(e, t, now_ms);
	return true;
}

/* Only a task that is being cancelled has runs that are.  Else it was a limit
 * of ours, in this life or in one before a restart, or somebody there. */
static enum run_state cancelled_means(const struct target *t)
{
	return t->block->task->row.state == TASK_CANCELLING ? RUN_CANCELLED
	                                                    : RUN_FAILED;
}

/* Why we had asked for it is known already, also from the row. */
static bool knows_why_cancelled(const struct target *t)
{
	return t->phase == PHASE_CANCELLING ||
	       (t->fault_action == t->current &&
		   t->fault.code == REASON_TIMED_OUT);
}

static void blame_result(struct target *t, const struct engine_fact *fact)
{
	const struct engine_result *result = &fact->result;
	struct fault fault = fact->fault;

	if (result->state == RUN_SUCCEEDED) {
		target_blame(t, NULL);
		return;
	}
	if (result->state == RUN_CANCELLED && knows_why_cancelled(t))
		return;
	if (fault.code == REASON_NONE && result->state == RUN_UNKNOWN)
		fault_set(&fault, REASON_UNKNOWN, "",
		    "the machine cannot say how it ended");
	else if (fault.code == REASON_NONE && result->signal != 0)
		fault_set(&fault, REASON_SCRIPT_FAILED, "",
		    "killed by signal %d", (int)result->signal);
	else if (fault.code == REASON_NONE && result->state == RUN_CANCELLED)
		fault_set(&fault, REASON_CANCELLED, "",
		    "cancelled, though its task was not");
	else if (fault.code == REASON_NONE)
		fault_set(&fault, REASON_SCRIPT_FAILED, "", "exit code %d",
		    (int)result->exit_code);
	target_blame(t, &fault);
}

static bool on_ended(struct engine *e, struct target *t,
    const struct engine_fact *fact, uint64_t now_ms)
{
	enum run_state state = fact->result.state;
	struct run *r = target_run(t);

	if (!action_lasts(run_action(r)) || !run_state_is_final(state) ||
	    state == RUN_SKIPPED)
		return false;
	blame_result(t, fact);
	r->exit_code = fact->result.exit_code;
	r->signal = fact->result.signal;
	if (state == RUN_CANCELLED)
		state = cancelled_means(t);
	/* It ran, so the start that came with it was taken. */
	if (fact->result.state != RUN_CANCELLED)
		run_settle_former(r);
	run_unask(e, r, COMMAND_CANCEL);
	target_end_run(e, t, state, now_ms);
	if (state != RUN_UNKNOWN)
		run_ask(e, r, COMMAND_FORGET);
	return true;
}

static bool on_unknown(struct engine *e, struct target *t,
    const struct engine_fact *fact, uint64_t now_ms)
{
	struct fault fault = fact->fault;

	if (!action_lasts(run_action(target_run(t))))
		return false;
	if (fault.code == REASON_NONE)
		fault_set(&fault, REASON_UNKNOWN, "",
		    "the machine does not know this ticket any more");
	target_blame(t, &fault);
	run_unask(e, target_run(t), COMMAND_CANCEL);
	run_leave_former(target_run(t));
	target_end_run(e, t, RUN_UNKNOWN, now_ms);
	return true;
}

/* While we wait for a cancel to be confirmed: only the certainty that the
 * start never arrived changes something. */
static bool not_reached_in_cancel(
    struct engine *e, struct target *t, uint64_t now_ms)
{
	struct run *r = target_run(t);

	if (r->state != RUN_STARTING || r->sent != SENT_NO)
		return false;
	run_unask(e, r, COMMAND_CANCEL);
	target_end_run(e, t,
	    t->block->task->row.state == TASK_CANCELLING ? RUN_CANCELLED
							 : RUN_FAILED,
	    now_ms);
	return true;
}

/* Nothing goes to a held machine before a person has looked. */
static bool is_held(enum reason code)
{
	return code == REASON_CLONE || code == REASON_JOURNAL;
}

/* Does it go on, and on which of two copies, or has it ended before the disk
 * was set back?  Nobody can know. */
static bool may_have_begun(const struct run *r)
{
	return action_lasts(run_action(r)) &&
	       (r->state == RUN_RUNNING || r->sent == SENT_MAYBE);
}

static bool on_unreachable(struct engine *e, struct target *t,
    const struct engine_fact *fact, uint64_t now_ms)
{
	struct run *r = target_run(t);
	bool attach = fact->command == COMMAND_ATTACH;

	if (fact->command == COMMAND_START && r->sent == SENT_ASKED)
		r->sent = fact->may_have_arrived ? SENT_MAYBE : SENT_NO;
	if (is_held(fact->fault.code) && may_have_begun(r))
		return on_unknown(e, t, fact, now_ms);
	if (t->phase == PHASE_CANCELLING)
		return not_reached_in_cancel(e, t, now_ms);
	if (fact->command == COMMAND_CANCEL || fact->command == COMMAND_FORGET)
		return false;
	if (attach
		? t->phase != PHASE_FOLLOWING
		: t->phase != PHASE_ASKED && (t->phase != PHASE_FOLLOWING ||
						 action_lasts(run_action(r))))
		return false;
	target_blame(t, &fact->fault);
	if (run_action(r)->type == ACTION_TYPE_HEALTH)
		r->health = MACHINE_HEALTH_UNAVAILABLE;
	if (is_held(fact->fault.code))
		target_end_run(e, t, RUN_FAILED, now_ms);
	else
		target_retry(e, t, now_ms);
	return true;
}

static bool is_for_later(enum reason code)
{
	return code == REASON_TOO_MANY || code == REASON_MEMORY ||
	       code == REASON_DRAINING;
}

static bool on_refused(struct engine *e, struct target *t,
    const struct engine_fact *fact, uint64_t now_ms)
{
	struct run *r = target_run(t);
	struct engine_fact later = *fact;
	bool lost = fact->fault.code == REASON_JOURNAL ||
	            fact->fault.code == REASON_NOT_FOUND;
	bool begun = action_lasts(run_action(r)) && r->sent == SENT_MAYBE;

	/* Another journal: whether it ran is written in the one we lost. */
	if (begun && lost)
		return on_unknown(e, t, fact, now_ms);
	later.may_have_arrived = false;
	if (is_for_later(fact->fault.code) || r->state == RUN_RUNNING ||
	    t->phase == PHASE_CANCELLING || fact->command == COMMAND_ATTACH ||
	    fact->command == COMMAND_CANCEL)
		return on_unreachable(e, t, &later, now_ms);
	if (run_action(r)->type == ACTION_TYPE_HEALTH)
		r->health = MACHINE_HEALTH_UNAVAILABLE;
	target_blame(t, &fact->fault);
	/* An earlier start may have been taken, or still be on its way: it is
	 * over only when the machine has confirmed that. */
	if (begun) {
		target_give_up(e, t, now_ms);
		return true;
	}
	run_leave_former(r);
	target_end_run(e, t, RUN_FAILED, now_ms);
	return true;
}

static bool on_staged(struct engine *e, struct target *t, uint64_t now_ms)
{
	if (run_action(target_run(t))->type != ACTION_TYPE_STAGE)
		return false;
	target_blame(t, NULL);
	target_end_run(e, t, RUN_SUCCEEDED, now_ms);
	return true;
}

static bool on_health(struct engine *e, struct target *t,
    const struct engine_fact *fact, uint64_t now_ms)
{
	struct run *r = target_run(t);
	bool good = fact->health == MACHINE_HEALTH_HEALTHY ||
	            fact->health == MACHINE_HEALTH_WARNINGS;
	struct fault fault = fact->fault;

	if (run_action(r)->type != ACTION_TYPE_HEALTH)
		return false;
	if (!good && fault.code == REASON_NONE)
		fault_set(&fault, REASON_SCRIPT_FAILED, "", "%s",
		    machine_health_name(fact->health));
	r->health = fact->health;
	target_blame(t, &fault);
	target_end_run(e, t, good ? RUN_SUCCEEDED : RUN_FAILED, now_ms);
	return true;
}

static bool on_cancel(
    struct engine *e, const struct engine_fact *fact, uint64_t now_ms)
{
	struct task *task = engine_find(e, fact->key.task);
	struct fault why = fact->fault;

	if (task == NULL ||
	    (task->row.state != TASK_QUEUED && task->row.state != TASK_RUNNING))
		return false;
	if (why.code == REASON_NONE)
		fault_set(&why, REASON_CANCELLED, "", "cancelled");
	task_cancel(e, task, &why, now_ms);
	return true;
}

bool engine_fact(
    struct engine *e, const struct engine_fact *fact, uint64_t now_ms)
{
	struct target *t;

	if (fact->type == FACT_CANCEL)
		return on_cancel(e, fact, now_ms);
	if (fact->type == FACT_DECISION)
		return task_decide(e, fact, now_ms);
	t = find_target(e, fact);
	if (t == NULL)
		return false;
	switch (fact->type) {
	case FACT_ACCEPTED:
		return on_accepted(e, t, now_ms);
	case FACT_ENDED:
		return on_ended(e, t, fact, now_ms);
	case FACT_REFUSED:
		return on_refused(e, t, fact, now_ms);
	case FACT_UNREACHABLE:
		return on_unreachable(e, t, fact, now_ms);
	case FACT_UNKNOWN:
		return on_unknown(e, t, fact, now_ms);
	case FACT_STAGED:
		return on_staged(e, t, now_ms);
	case FACT_HEALTH:
		return on_health(e, t, fact, now_ms);
	case FACT_CANCEL:
	case FACT_DECISION:
	case FACT_TYPE_COUNT:
		break;
	}
	return false;
}

static void expire_asked(struct engine *e, struct target *t, uint64_t now_ms)
{
	struct run *r = target_run(t);
	struct fault fault;

	fault_set(&fault, REASON_DEADLINE, "", "no answer from the machine");
	target_blame(t, &fault);
	if (r->sent == SENT_ASKED)
		r->sent = SENT_MAYBE;
	if (run_action(r)->type == ACTION_TYPE_HEALTH)
		r->health = MACHINE_HEALTH_UNAVAILABLE;
	target_retry(e, t, now_ms);
}

static void expire_following(
    struct engine *e, struct target *t, uint64_t now_ms)
{
	struct fault fault;

	fault_set(&fault, REASON_TIMED_OUT, "",
	    "no result within its time limit of %llu s",
	    (unsigned long long)run_action(target_run(t))->timeout_ms / 1000);
	target_blame(t, &fault);
	target_give_up(e, t, now_ms);
}

static void expire_cancelling(
    struct engine *e, struct target *t, uint64_t now_ms)
{
	struct run *r = target_run(t);
	struct fault fault;

	if (now_ms < t->limit_ms) {
		run_ask(e, r, COMMAND_CANCEL);
		if (r->state == RUN_RUNNING)
			run_ask(e, r, COMMAND_ATTACH);
		target_arm(e, t, time_add(now_ms, target_back_off_ms(e, t)),
		    t->limit_ms);
		return;
	}
	fault_set(&fault, REASON_UNKNOWN, t->fault.at,
	    "nobody can say how it ended: %.200s; the machine did not confirm "
	    "the cancel",
	    t->fault.text);
	target_blame(t, &fault);
	run_unask(e, r, COMMAND_CANCEL);
	run_leave_former(r);
	target_end_run(e, t, RUN_UNKNOWN, now_ms);
}

void target_expire(struct engine *e, struct target *t, uint64_t now_ms)
{
	const struct run *r;

	switch (t->phase) {
	case PHASE_ASKED:
		expire_asked(e, t, now_ms);
		break;
	case PHASE_BACKOFF:
		r = target_run(t);
		if (r->asked != 0)
			target_arm(e, t, time_add(now_ms, 1), TIMER_NEVER);
		else if (r->state == RUN_RUNNING && action_lasts(run_action(r)))
			target_follow(e, t, now_ms);
		else
			target_move(e, t, PHASE_READY);
		break;
	case PHASE_FOLLOWING:
		expire_following(e, t, now_ms);
		break;
	case PHASE_CANCELLING:
		expire_cancelling(e, t, now_ms);
		break;
	case PHASE_IDLE:
	case PHASE_READY:
	case PHASE_COUNT:
		break;
	}
}

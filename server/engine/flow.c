/* flow.c - a task's way through its blocks. */
#include "server/engine/state.h"

#include <assert.h>

void task_enter(
    struct engine *e, struct task *task, enum task_state next, uint64_t now_ms)
{
	assert(task_state_may_become(task->row.state, next));
	task->row.state = next;
	if (next == TASK_RUNNING)
		task->row.started_ms = now_ms;
	if (task_state_is_final(next)) {
		task->row.ended_ms = now_ms;
		e->lanes_moved = true;
	}
	task_touch(e, task);
}

static struct machine *machine_of(const struct target *t)
{
	return &t->block->task->machines[t->block->plan->targets[t->index]];
}

static const char *machine_name(const struct target *t)
{
	const struct task_plan *plan = t->block->task->plan;

	return plan->machines[t->block->plan->targets[t->index]].name;
}

/* The first failure is what the task is known by; an unknown outcome is worse
 * than any failure. */
static void blame_task(struct target *t, enum run_state last)
{
	struct task *task = t->block->task;
	const struct run *r = &t->runs[t->fault_action];
	enum reason code = t->fault.code;

	if (task->row.state == TASK_CANCELLING ||
	    (task->row.fault.code != REASON_NONE &&
		(last != RUN_UNKNOWN || task->unknown_count > 1)))
		return;
	if (last == RUN_UNKNOWN)
		code = REASON_UNKNOWN;
	fault_set(&task->row.fault,
	    code != REASON_NONE ? code : REASON_SCRIPT_FAILED, t->fault.at,
	    "%s: %s: %s", machine_name(t), run_action(r)->name, t->fault.text);
}

void task_target_done(struct engine *e, struct target *t, enum run_state last)
{
	struct task *task = t->block->task;
	struct machine *machine = machine_of(t);

	machine->open_targets--;
	task_touch(e, task);
	if (machine->fate == FATE_EXCLUDED) {
		task->excluded_count++;
		return;
	}
	if (last == RUN_UNKNOWN)
		task->unknown_count++;
	if (last == RUN_FAILED || last == RUN_UNKNOWN) {
		t->block->failures++;
		machine->fate = FATE_FAILED;
		task->row.failed_count++;
		blame_task(t, last);
	} else if (last != RUN_SUCCEEDED) {
		machine->fate = FATE_CUT;
		task->cut_count++;
	} else if (machine->open_targets == 0) {
		machine->fate = FATE_OK;
		task->row.ok_count++;
	}
}

static bool is_stopping(const struct task *task, const struct block *block)
{
	return task->row.state == TASK_CANCELLING ||
	       (block->plan->max_failures != TASK_ANY_FAILURES &&
		   block->failures > block->plan->max_failures);
}

static bool has_room(const struct block *block)
{
	return block->next < block->plan->target_count &&
	       (block->plan->window == TASK_ALL_AT_ONCE ||
		   block->inside < block->plan->window);
}

static void enter_machines(
    struct engine *e, struct block *block, uint64_t now_ms)
{
	while (has_room(block) && !is_stopping(block->task, block)) {
		struct target *t = &block->targets[block->next++];

		if (t->place != PLACE_OUTSIDE)
			continue; /* had entered before a restart */
		if (machine_of(t)->fate != FATE_OPEN) {
			target_skip_rest(e, t, now_ms);
			t->place = PLACE_DONE;
			continue;
		}
		t->place = PLACE_INSIDE;
		block->inside++;
		target_move(e, t, PHASE_READY);
	}
}

static void skip_block(struct engine *e, struct block *block, uint64_t now_ms)
{
	for (uint32_t i = 0; i < block->plan->target_count; i++) {
		struct target *t = &block->targets[i];

		if (t->place != PLACE_OUTSIDE)
			continue;
		target_skip_rest(e, t, now_ms);
		t->place = PLACE_DONE;
		if (machine_of(t)->fate == FATE_OPEN) {
			machine_of(t)->fate = FATE_CUT;
			block->task->cut_count++;
		}
	}
}

static bool any_block_failed(const struct task *task)
{
	for (uint32_t i = 0; i < task->plan->block_count; i++) {
		const struct block *block = &task->blocks[i];

		if (block->plan->max_failures != TASK_ANY_FAILURES &&
		    block->failures > block->plan->max_failures)
			return true;
	}
	return false;
}

/* Somebody wanted it to stop, or it was not allowed to go on. */
static enum task_state stopped_state(const struct fault *why)
{
	return why->code == REASON_CANCELLED ? TASK_CANCELLED : TASK_FAILED;
}

static enum task_state outcome(const struct task *task)
{
	const struct task_row *row = &task->row;

	if (task->unknown_count > 0)
		return TASK_FAILED;
	if (row->state == TASK_CANCELLING && task->cut_count > 0)
		return stopped_state(&row->fault);
	if (any_block_failed(task) ||
	    (row->failed_count + task->excluded_count + task->cut_count > 0 &&
		row->ok_count == 0))
		return TASK_FAILED;
	return TASK_SUCCEEDED;
}

static void end_task(struct engine *e, struct task *task, uint64_t now_ms)
{
	enum task_state state;

	for (uint32_t i = 0; i < task->plan->block_count; i++)
		skip_block(e, &task->blocks[i], now_ms);
	state = outcome(task);
	/* Asked to cancel, but everything was done by then. */
	if (state == TASK_SUCCEEDED && task->row.state == TASK_CANCELLING)
		fault_clear(&task->row.fault);
	if (state == TASK_FAILED && task->row.fault.code == REASON_NONE)
		fault_set(&task->row.fault, REASON_SCRIPT_FAILED, "",
		    "no machine is left: %s",
		    task->cut_count > 0 ? "none went through all of it"
					: "all were excluded");
	task->row.partial =
	    task->row.ok_count > 0 &&
	    (task->row.failed_count > 0 || task->cut_count > 0 ||
		task->excluded_count > 0);
	task_enter(e, task, state, now_ms);
}

/* Could what follows still be for anybody? */
static bool any_machine_left(const struct task *task)
{
	for (uint32_t i = 0; i < task->plan->machine_count; i++) {
		if (task->machines[i].fate == FATE_OPEN ||
		    task->machines[i].fate == FATE_OK)
			return true;
	}
	return false;
}

static bool waits_for_approval(
    struct engine *e, struct task *task, const struct block *block)
{
	if (block->plan->approve[0] == '\0' || is_stopping(task, block) ||
	    task->row.approved > block->approvals)
		return false;
	if (task->row.approval == 0) {
		if (!any_machine_left(task))
			return false;
		task->row.approval = block->index + 1;
		task->row.waiting++;
		task_touch(e, task);
	}
	return true;
}

void task_advance(struct engine *e, struct task *task, uint64_t now_ms)
{
	while (!task_state_is_final(task->row.state)) {
		struct block *block = &task->blocks[task->current];

		if (waits_for_approval(e, task, block))
			return;
		enter_machines(e, block, now_ms);
		if (block->inside > 0)
			return;
		if (is_stopping(task, block) ||
		    task->current + 1 == task->plan->block_count) {
			end_task(e, task, now_ms);
			return;
		}
		task->current++;
	}
}

/* End what can be ended at once, ask for the rest. */
static void cancel_target(struct engine *e, struct target *t, uint64_t now_ms)
{
	if (t->place != PLACE_INSIDE)
		return;
	if (target_run(t)->decision == DECISION_WAITING ||
	    target_run(t)->decision == DECISION_RETRY) {
		target_undecide(e, t, now_ms);
		return;
	}
	if (target_run(t)->state != RUN_WAITING) {
		target_blame(t, &t->block->task->row.fault);
		target_give_up(e, t, now_ms);
		return;
	}
	if (t->phase != PHASE_IDLE)
		target_move(e, t, PHASE_IDLE);
	target_skip_rest(e, t, now_ms);
	t->block->inside--;
	t->place = PLACE_DONE;
	task_target_done(e, t, RUN_SKIPPED);
}

void task_cancel(struct engine *e, struct task *task, const struct fault *why,
    uint64_t now_ms)
{
	struct block *block = &task->blocks[task->current];

	if (task->row.state == TASK_QUEUED) {
		task->row.fault = *why;
		for (uint32_t i = 0; i < task->plan->block_count; i++)
			skip_block(e, &task->blocks[i], now_ms);
		task_enter(e, task, stopped_state(why), now_ms);
		return;
	}
	if (task->row.state != TASK_RUNNING)
		return;
	task->row.fault = *why;
	if (task->row.approval != 0) {
		task->row.approval = 0;
		task->row.waiting--;
	}
	task_enter(e, task, TASK_CANCELLING, now_ms);
	/* A fresh task's targets are cancelled when it is resumed. */
	for (uint32_t i = 0; !task->fresh && i < block->next; i++)
		cancel_target(e, &block->targets[i], now_ms);
	if (!task->fresh)
		task_advance(e, task, now_ms);
}

/* What was going on before the restart goes on with the same ticket. */
static void resume_target(struct engine *e, struct target *t, uint64_t now_ms)
{
	struct run *r = target_run(t);

	if (r->state == RUN_RUNNING && action_lasts(run_action(r)))
		target_follow(e, t, now_ms);
	else if (r->decision != DECISION_WAITING)
		target_move(e, t, PHASE_READY);
	if (t->block->task->row.state == TASK_CANCELLING)
		cancel_target(e, t, now_ms);
}

void task_resume(struct engine *e, struct task *task, uint64_t now_ms)
{
	struct block *block = &task->blocks[task->current];

	task->fresh = false;
	if (task->row.state == TASK_QUEUED)
		task_enter(e, task, TASK_RUNNING, now_ms);
	for (uint32_t i = 0; i < block->plan->target_count; i++) {
		struct target *t = &block->targets[i];

		if (t->place == PLACE_INSIDE)
			resume_target(e, t, now_ms);
	}
	task_advance(e, task, now_ms);
}

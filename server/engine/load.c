/* load.c - build a task from its plan and the rows that were kept of it. */
#include "server/engine/state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static enum rc alloc_block(struct task *task, uint32_t index)
{
	const struct task_block *plan = &task->plan->blocks[index];
	struct block *block = &task->blocks[index];

	block->task = task;
	block->plan = plan;
	block->index = index;
	/* Those that ask a person have neither. */
	block->targets =
	    calloc((size_t)plan->target_count + 1, sizeof(struct target));
	block->runs =
	    calloc((size_t)plan->target_count * plan->action_count + 1,
		sizeof(struct run));
	if (block->targets == NULL || block->runs == NULL)
		return RC_NOMEM;
	for (uint32_t i = 0; i < plan->target_count; i++) {
		struct target *t = &block->targets[i];

		t->block = block;
		t->index = i;
		t->runs = &block->runs[(size_t)i * plan->action_count];
		for (uint32_t k = 0; k < plan->action_count; k++) {
			t->runs[k].target = t;
			t->runs[k].action = k;
			t->runs[k].attempt = 1;
		}
		task->machines[plan->targets[i]].open_targets++;
	}
	if (task->timer_room < plan->target_count)
		task->timer_room = plan->target_count;
	return RC_OK;
}

static bool is_ticket(const char *ticket)
{
	return memchr(ticket, '\0', TASK_TICKET_SIZE) ==
	           ticket + TASK_TICKET_SIZE - 1 &&
	       strspn(ticket, "0123456789abcdef") == TASK_TICKET_SIZE - 1;
}

static enum rc apply_row(
    struct task *task, const struct run_row *row, struct fault *fault)
{
	const struct run_key *key = &row->key;
	bool started = row->state != RUN_WAITING && row->state != RUN_SKIPPED;
	const struct task_plan *plan = task->plan;
	struct target *t;
	struct run *r;

	if (key->task != plan->number || key->block >= plan->block_count ||
	    key->target >= plan->blocks[key->block].target_count ||
	    key->action >= plan->blocks[key->block].action_count ||
	    (unsigned)row->state >= RUN_STATE_COUNT ||
	    (started && !is_ticket(row->ticket)) ||
	    row->former_count > TASK_FORMER_MAX ||
	    (unsigned)row->decision >= DECISION_COUNT) {
		fault_set(fault, REASON_INTERNAL, "",
		    "task-%llu: the row of run %u/%u/%u does not fit its plan",
		    (unsigned long long)plan->number, key->block, key->target,
		    key->action);
		return RC_PROTO;
	}
	assert(task->blocks[key->block].targets != NULL);
	t = &task->blocks[key->block].targets[key->target];
	r = &t->runs[key->action];
	r->state = row->state;
	r->sent = row->sent ? SENT_MAYBE : SENT_NO;
	memcpy(r->ticket, row->ticket, sizeof(r->ticket));
	r->ticket[sizeof(r->ticket) - 1] = '\0';
	r->attempt = row->attempt > 0 ? row->attempt : 1;
	r->decision = row->decision;
	r->doubt = row->doubt;
	r->former_count = (uint8_t)row->former_count;
	memcpy(r->former, row->former, sizeof(r->former));
	r->tries = row->tries;
	r->starting_ms = row->starting_ms;
	r->running_ms = row->running_ms;
	r->ended_ms = row->ended_ms;
	r->exit_code = row->exit_code;
	r->signal = row->signal;
	r->health = row->health;
	if (row->fault.code != REASON_NONE) {
		t->fault = row->fault;
		t->fault_action = key->action;
	}
	return RC_OK;
}

/* The next action may begin. */
static bool is_passed(const struct run *r)
{
	return r->state == RUN_SUCCEEDED || r->decision == DECISION_IGNORED;
}

static bool is_undecided(const struct run *r)
{
	return r->decision == DECISION_WAITING || r->decision == DECISION_RETRY;
}

/*
 * Where is this target?  Its runs must be: any number succeeded, then at most
 * one that is going on, waits or ended otherwise, then only waiting or (if it
 * is done) only skipped ones.
 */
static bool place_target(struct target *t)
{
	uint32_t count = t->block->plan->action_count, i = 0;
	enum run_state rest = RUN_WAITING;

	while (i < count && is_passed(&t->runs[i]))
		i++;
	t->current = i;
	t->place = i > 0 ? PLACE_INSIDE : PLACE_OUTSIDE;
	if (i == count) {
		t->place = PLACE_DONE;
		return true;
	}
	switch (t->runs[i].state) {
	case RUN_STARTING:
	case RUN_RUNNING:
		t->place = PLACE_INSIDE;
		i++;
		break;
	case RUN_FAILED:
	case RUN_CANCELLED:
	case RUN_UNKNOWN:
		if (is_undecided(&t->runs[i]))
			t->place = PLACE_INSIDE;
		else
			rest = RUN_SKIPPED;
		i++;
		break;
	case RUN_SKIPPED:
		rest = RUN_SKIPPED;
		break;
	case RUN_WAITING:
	case RUN_SUCCEEDED:
	case RUN_STATE_COUNT:
		break;
	}
	if (rest == RUN_SKIPPED) {
		t->place = PLACE_DONE;
		t->current = count;
	}
	while (i < count && t->runs[i].state == rest)
		i++;
	return i == count;
}

static enum run_state last_state(const struct target *t, bool *excluded)
{
	*excluded = false;
	for (uint32_t i = 0; i < t->block->plan->action_count; i++) {
		if (is_passed(&t->runs[i]))
			continue;
		*excluded = t->runs[i].decision == DECISION_EXCLUDED;
		return t->runs[i].state;
	}
	return RUN_SUCCEEDED;
}

/* The same counting as task_target_done(), from the rows. */
static void count_done(struct target *t)
{
	struct task *task = t->block->task;
	struct machine *machine =
	    &task->machines[t->block->plan->targets[t->index]];
	bool excluded;
	enum run_state last = last_state(t, &excluded);

	machine->open_targets--;
	if (machine->fate == FATE_FAILED || machine->fate == FATE_CUT ||
	    machine->fate == FATE_EXCLUDED)
		return; /* skipped for that */
	if (excluded) {
		machine->fate = FATE_EXCLUDED;
		task->excluded_count++;
		return;
	}
	if (last == RUN_UNKNOWN)
		task->unknown_count++;
	if (last == RUN_FAILED || last == RUN_UNKNOWN) {
		t->block->failures++;
		machine->fate = FATE_FAILED;
		task->row.failed_count++;
	} else if (last != RUN_SUCCEEDED) {
		machine->fate = FATE_CUT;
		task->cut_count++;
	} else if (machine->open_targets == 0) {
		machine->fate = FATE_OK;
		task->row.ok_count++;
	}
}

/* Sets next, inside and the counts; *open: has somebody still to go through? */
static bool place_block(
    struct block *block, const struct task_block *plan, bool *open)
{
	bool outside = false, passed_over;

	*open = false;
	assert(block->targets != NULL);
	for (uint32_t i = 0; i < plan->target_count; i++) {
		struct target *t = &block->targets[i];

		/* Who does not take part is passed over even while one before
		 * it still waits for its turn to start. */
		passed_over = t->runs[0].state == RUN_SKIPPED;
		if (!place_target(t) ||
		    (outside && t->place != PLACE_OUTSIDE && !passed_over))
			return false;
		if (t->place == PLACE_OUTSIDE)
			outside = true;
		else if (!outside)
			block->next = i + 1;
		if (t->place == PLACE_INSIDE)
			block->inside++;
		if (t->place == PLACE_INSIDE &&
		    target_run(t)->decision == DECISION_WAITING)
			block->task->row.waiting++;
		if (t->place == PLACE_DONE)
			count_done(t);
		else
			*open = true;
	}
	return true;
}

static enum rc place_all(struct task *task, struct fault *fault)
{
	bool found = false, open;
	uint32_t approvals = 0;

	task->row.waiting = 0;
	task->row.approval = 0; /* it will be asked for again */
	task->row.ok_count = 0;
	task->row.failed_count = 0;
	for (uint32_t i = 0; i < task->plan->block_count; i++) {
		struct block *block = &task->blocks[i];

		if (!place_block(block, &task->plan->blocks[i], &open) ||
		    (found && block->next > 0) ||
		    (block->next > 0 && task->row.state == TASK_QUEUED)) {
			fault_set(fault, REASON_INTERNAL, "",
			    "task-%llu: the rows of block %u contradict each "
			    "other",
			    (unsigned long long)task->plan->number, i);
			return RC_PROTO;
		}
		block->approvals = approvals;
		if (block->plan->approve[0] != '\0')
			open = task->row.approved <= approvals++;
		if (!found)
			task->current = i;
		found = found || open;
	}
	return RC_OK;
}

enum rc task_build(const struct task_plan *plan, const struct task_row *row,
    const struct run_row *runs, size_t run_count, struct task **out,
    struct fault *fault)
{
	struct task *task = calloc(1, sizeof(*task));
	enum rc rc = RC_NOMEM;

	if (task == NULL)
		return RC_NOMEM;
	TAILQ_INIT(&task->ready);
	task->row = *row;
	task->fresh = true;
	rc = task_plan_copy(plan, &task->plan);
	if (rc != RC_OK)
		goto out;
	rc = RC_NOMEM;
	task->blocks = calloc(plan->block_count, sizeof(struct block));
	task->machines = calloc(plan->machine_count, sizeof(struct machine));
	if (task->blocks == NULL || task->machines == NULL)
		goto out;
	for (uint32_t i = 0; i < plan->block_count; i++) {
		rc = alloc_block(task, i);
		if (rc != RC_OK)
			goto out;
	}
	for (size_t i = 0; i < run_count; i++) {
		rc = apply_row(task, &runs[i], fault);
		if (rc != RC_OK)
			goto out;
	}
	rc = place_all(task, fault);
	if (rc != RC_OK)
		goto out;
	*out = task;
	task = NULL; /* now the caller's */
out:
	task_destroy(task);
	return rc;
}

void task_destroy(struct task *task)
{
	if (task == NULL)
		return;
	for (uint32_t i = 0;
	     task->blocks != NULL && i < task->plan->block_count; i++) {
		free(task->blocks[i].targets);
		free(task->blocks[i].runs);
	}
	free(task->blocks);
	free(task->machines);
	task_plan_free(task->plan);
	free(task);
}

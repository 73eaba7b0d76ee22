/* follow.c - attach to a ticket: its output into the log, then its result. */
#include "server/dispatch/work.h"

#include "common/failpoint.h"
#include "common/fs.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void tell_down(struct work_run *run, const struct fault *fault)
{
	struct engine_fact fact = run_fact(run, FACT_UNREACHABLE);

	fact.command = COMMAND_ATTACH;
	fact.may_have_arrived = true;
	run_set_fault(run, &fact.fault, fault);
	work_tell(run->task->dispatch, &fact);
}

void run_give_up(struct work_run *run, const struct fault *fault)
{
	run_drop_file(run);
	fleet_detach(run->follow);
	run->follow = NULL;
	run->has_result = false;
	tell_down(run, fault);
}

static void tell_attached(struct work_run *run)
{
	struct engine_fact fact = run_fact(run, FACT_ACCEPTED);

	if (run->told_attached)
		return;
	run->told_attached = true;
	work_tell(run->task->dispatch, &fact);
}

static MUST_CHECK enum rc write_output(struct work_run *run, uint64_t offset,
    struct bytes data, struct fault *fault)
{
	enum rc rc = RC_OK;

	/* The first that it says: many say nothing, and need no file. */
	if (run->fd < 0)
		rc = run_open_log(run, fault);
	if (rc != RC_OK)
		return rc;
	rc = fs_pwrite_all(run->fd, data.p, data.len, offset);
	if (rc != RC_OK)
		fault_set(fault,
		    errno == ENOSPC || errno == EDQUOT ? REASON_NO_SPACE
						       : REASON_INTERNAL,
		    "server", "the log of %s cannot be written: %s",
		    run->machine->name, strerrordesc_np(errno));
	return rc;
}

static void on_output(void *arg, uint64_t offset, struct bytes data)
{
	struct work_run *run = arg;
	struct fault fault;

	tell_attached(run);
	if (offset > run->written - run->base) {
		fault_set(&fault, REASON_PROTOCOL, "",
		    "%s: output at %llu, expected at %llu", run->machine->name,
		    (unsigned long long)offset,
		    (unsigned long long)(run->written - run->base));
		run_give_up(run, &fault);
		return;
	}
	offset += run->base;
	if (data.len == 0)
		return;
	if (write_output(run, offset, data, &fault) != RC_OK) {
		run_give_up(run, &fault);
		return;
	}
	if (offset + data.len > run->written)
		run->written = offset + data.len;
	run_mark_dirty(run);
}

static enum run_state state_of(const struct msg_result *r)
{
	switch (r->state) {
	case TICKET_EXITED:
		return r->exit_code == 0 && r->signal == 0 &&
		               r->cause.code == REASON_NONE
		           ? RUN_SUCCEEDED
		           : RUN_FAILED;
	case TICKET_CANCELLED:
		return RUN_CANCELLED;
	case TICKET_REFUSED:
		return RUN_FAILED;
	case TICKET_UNKNOWN:
	case TICKET_ACCEPTED:
	case TICKET_RUNNING:
	case TICKET_STATE_COUNT:
		break;
	}
	return RUN_UNKNOWN;
}

void run_ended(struct work_run *run)
{
	struct engine_fact fact = run_fact(run, FACT_ENDED);

	fact.result = (struct engine_result){ .state = state_of(&run->result),
		.exit_code = run->result.exit_code,
		.signal = (int32_t)run->result.signal };
	run_set_fault(run, &fact.fault, &run->result.cause);
	run->has_result = false;
	work_tell(run->task->dispatch, &fact);
}

static void take_result(struct work_run *run, const struct msg_result *result)
{
	run->result = *result;
	run->result.outputs = (struct msg_pairs){ .count = 0 };
	run->has_result = true;
	run_mark_dirty(run);
}

void run_take_quick_end(struct work_run *run, const struct msg_result *result)
{
	if (result->state == TICKET_EXITED && result->log_size == 0 &&
	    run->written == run->base && run->follow == NULL &&
	    !run->has_result && !run->has_state)
		take_result(run, result);
}

static void on_result(void *arg, const struct msg_result *result)
{
	struct work_run *run = arg;
	struct engine_fact unknown = run_fact(run, FACT_UNKNOWN);
	struct fault fault;

	failpoint("result.received");
	run->follow = NULL;
	run_drop_stale_state(run);
	if (result->state == TICKET_UNKNOWN && result->log_size == 0 &&
	    result->log_sha256[0] == '\0') {
		run_set_fault(run, &unknown.fault, &result->cause);
		work_tell(run->task->dispatch, &unknown);
	} else if (result->log_size > run->written - run->base ||
		   result->state == TICKET_ACCEPTED ||
		   result->state == TICKET_RUNNING) {
		fault_set(&fault, REASON_PROTOCOL, "",
		    "%s: the result came before the end of the output",
		    run->machine->name);
		tell_down(run, &fault);
	} else {
		take_result(run, result);
	}
	run_settle(run);
}

static void on_down(void *arg, const struct fault *fault)
{
	struct work_run *run = arg;

	run->follow = NULL;
	run_drop_file(run);
	tell_down(run, fault);
	run_settle(run);
}

/* Its end came with the answer to its start, before this command was given. */
static bool is_over(const struct work_run *run)
{
	struct run_row row;

	return engine_run_row(run->task->dispatch->engine, &run->key, &row) ==
	           RC_OK &&
	       strcmp(row.ticket, run->ticket) == 0 &&
	       run_state_is_final(row.state);
}

void run_follow(struct work_run *run)
{
	const struct task_row *task = &run->task->rows.task.row;
	char name[TASK_SIZE];
	struct fleet_attach attach = { .machine = run->machine->id,
		.ticket = run->ticket,
		.task = name,
		.epoch = task->epoch,
		.notes = run->notes,
		.output = on_output,
		.note = run_take_note,
		.piece = run_take_piece,
		.result = on_result,
		.down = on_down,
		.arg = run };
	struct fault fault = { .code = REASON_NONE };
	enum rc rc;

	if (run->follow != NULL || run->has_result || is_over(run))
		return;
	run->told_attached = false;
	if (run->fd < 0 && run->written > 0 &&
	    run_open_log(run, &fault) != RC_OK) {
		tell_down(run, &fault);
		return;
	}
	run->stale_state = run->has_state;
	attach.offset = run->written - run->base;
	(void)snprintf(
	    name, sizeof(name), "task-%llu", (unsigned long long)task->number);
	rc = fleet_attach(
	    run->task->dispatch->parts.fleet, &attach, &run->follow);
	if (rc == RC_OK)
		return;
	fault_set(&fault, rc == RC_LIMIT ? REASON_TOO_MANY : REASON_MEMORY,
	    "server", "%s: its output waits: %s", run->machine->name,
	    rc == RC_LIMIT ? "as many scripts are followed as may be at once "
			     "(fleet.deploys)"
			   : rc_name(rc));
	tell_down(run, &fault);
}

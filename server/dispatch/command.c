/* command.c - what each command asks of the fleet, and the answers. */
#include "server/dispatch/work.h"

#include "common/failpoint.h"
#include "common/log.h"
#include "common/xalloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- runs ---- */

static bool is_same(const struct run_key *a, const struct run_key *b)
{
	return a->block == b->block && a->target == b->target &&
	       a->action == b->action;
}

/* An earlier attempt of it is let go of: nothing of it is wanted any more. */
static struct work_run *find_run(
    const struct work_task *task, const struct work_command *command)
{
	struct work_run *run, *next;

	for (run = TAILQ_FIRST(&task->runs); run != NULL; run = next) {
		next = TAILQ_NEXT(run, link);
		if (!is_same(&run->key, &command->key))
			continue;
		if (strcmp(run->ticket, command->ticket) == 0)
			return run;
		if (command->type != COMMAND_START)
			continue;
		run_let_go(run);
		run_release(run);
	}
	return NULL;
}

/* Where its log stands: from the batch that made this attempt, or as the rows
 * said when the task was loaded. */
static void place_log(struct work_run *run, const struct work_command *command)
{
	const struct store_task_rows *rows = &run->task->rows;
	size_t i;

	run->base = command->log_base;
	run->committed = command->log_size;
	if (store_task_rows_find(rows, &run->key, &i) &&
	    strcmp(rows->runs[i].ticket, run->ticket) == 0) {
		run->base = rows->log_bases[i];
		run->committed = rows->log_sizes[i];
		run->has_state = true; /* perhaps */
	}
	run->written = run->committed;
}

static struct work_run *new_run(
    struct work_task *task, const struct work_command *command)
{
	const struct task_plan *plan = task->rows.plan;
	const struct task_block *block = &plan->blocks[command->key.block];
	struct work_run *run = xcalloc(1, sizeof(*run));

	run->task = task;
	run->key = command->key;
	memcpy(run->ticket, command->ticket, sizeof(run->ticket));
	run->machine = &plan->machines[block->targets[command->key.target]];
	run->action = &block->actions[command->key.action];
	if (run->action->payload < task->payload_count)
		run->payload = &task->payloads[run->action->payload];
	run->fd = -1;
	place_log(run, command);
	if (command->attempt > 1)
		work_outputs_drop(task, &run->key, run->ticket);
	TAILQ_INSERT_TAIL(&task->runs, run, link);
	return run;
}

void run_let_go(struct work_run *run)
{
	fleet_request_cancel(run->ask);
	fleet_request_cancel(run->cancel);
	fleet_detach(run->follow);
	fleet_stage_cancel(run->bring);
	run_drop_file(run);
	run->ask = NULL;
	run->cancel = NULL;
	run->follow = NULL;
	run->bring = NULL;
	schedule_leave(run->task->dispatch->schedule, &run->paced);
	resolved_variables_clear(&run->variables);
}

void run_free(struct work_run *run)
{
	if (run->dirty)
		TAILQ_REMOVE(&run->task->dispatch->dirty, run, dirty_link);
	run_drop_file(run);
	resolved_variables_clear(&run->variables);
	if (run->fd >= 0)
		(void)close(run->fd);
	TAILQ_REMOVE(&run->task->runs, run, link);
	free(run);
}

void run_release(struct work_run *run)
{
	const struct work_task *task = run->task;
	struct run_row row;

	if (run->ask != NULL || run->cancel != NULL || run->follow != NULL ||
	    run->bring != NULL || run->dirty || run->syncing ||
	    run->noting > 0 || run->paced.item.state != PACE_OUT)
		return;
	if (!task->gone &&
	    engine_run_row(task->dispatch->engine, &run->key, &row) == RC_OK &&
	    strcmp(row.ticket, run->ticket) == 0 &&
	    !run_state_is_final(row.state))
		return;
	run_free(run);
}

void run_settle(struct work_run *run)
{
	struct work_task *task = run->task;

	run_release(run);
	work_task_sweep(task);
}

struct engine_fact run_fact(
    const struct work_run *run, enum engine_fact_type type)
{
	struct engine_fact fact = { .type = type, .key = run->key };

	memcpy(fact.ticket, run->ticket, sizeof(fact.ticket));
	return fact;
}

void run_set_fault(
    const struct work_run *run, struct fault *to, const struct fault *fault)
{
	*to = *fault;
	if (to->code != REASON_NONE && to->at[0] == '\0')
		(void)snprintf(to->at, sizeof(to->at), "machine %.50s",
		    run->machine->name);
}

void run_tell_refused(struct work_run *run, enum engine_command_type command,
    const struct fault *fault)
{
	struct engine_fact fact = run_fact(run, FACT_REFUSED);

	fact.command = command;
	run_set_fault(run, &fact.fault, fault);
	work_tell(run->task->dispatch, &fact);
}

void run_tell_unreachable(struct work_run *run,
    enum engine_command_type command, const struct fault *fault, bool maybe)
{
	struct engine_fact fact = run_fact(run, FACT_UNREACHABLE);

	fact.command = command;
	fact.may_have_arrived = maybe;
	run_set_fault(run, &fact.fault, fault);
	work_tell(run->task->dispatch, &fact);
}

void run_tell_busy(
    struct work_run *run, enum engine_command_type command, enum rc rc)
{
	struct fault fault;

	fault_set(&fault, REASON_TOO_MANY, "server",
	    "%s: the server has too much under way (%s)", run->machine->name,
	    rc_name(rc));
	run_tell_unreachable(run, command, &fault, false);
}

/* ---- start ---- */

static void take_start(struct work_run *run, const struct msg_start_reply *m)
{
	struct engine_fact fact = run_fact(run, FACT_ACCEPTED);

	if (m->reply.fault.code != REASON_NONE) {
		run_tell_refused(run, COMMAND_START, &m->reply.fault);
		return;
	}
	/* One that has ended is attached to as well, for its log. */
	if (m->state == TICKET_UNKNOWN && !m->has_result)
		fact.type = FACT_UNKNOWN;
	work_tell(run->task->dispatch, &fact);
	if (m->has_result)
		run_take_quick_end(run, &m->result);
}

static void on_start(void *arg, const struct fleet_reply *reply)
{
	struct work_run *run = arg;
	struct dispatch *d = run->task->dispatch;
	struct msg_start_reply m;
	struct fault fault = { .code = REASON_NONE };

	failpoint("start.answered");
	run->ask = NULL;
	resolved_variables_clear(&run->variables);
	if (run->lacks != 0) {
		start_lacks(run, &fault);
		run_tell_refused(run, COMMAND_START, &fault);
	} else if (reply->message.len == 0) {
		run_tell_unreachable(
		    run, COMMAND_START, reply->fault, reply->may_have_arrived);
	} else if (msg_start_reply_decode(reply->message, &m, &fault) !=
		   RC_OK) {
		run_tell_unreachable(run, COMMAND_START, &fault, true);
	} else {
		fleet_saw_reply(d->parts.fleet, run->machine->id, &m.reply);
		take_start(run, &m);
		msg_start_reply_clear(&m);
	}
	run_settle(run);
}

static void send_start(struct work_run *run)
{
	const struct fleet_request request = { .machine = run->machine->id,
		.op = OP_START,
		.encode = start_encode,
		.reply = on_start,
		.arg = run };
	enum rc rc;

	run->lacks = 0;
	failpoint("start.committed");
	rc = fleet_request(
	    run->task->dispatch->parts.fleet, &request, &run->ask);
	failpoint("start.sent");
	if (rc != RC_OK)
		run_tell_busy(run, COMMAND_START, rc);
}

static void on_body(void *arg, const struct fault *fault)
{
	struct work_run *run = arg;

	run->bring = NULL;
	if (fault == NULL)
		send_start(run);
	else
		run_tell_unreachable(run, COMMAND_START, fault, false);
	run_settle(run);
}

/* Into our blob store, where it stays: the next machine wants it too. */
static enum rc keep_body(
    struct work_run *run, struct blob_digest *digest, struct fault *fault)
{
	struct blob_store *blobs = run->task->dispatch->parts.blobs;
	const char *body = run->payload->script;
	struct blob_writer *w = NULL;
	enum rc rc = blob_digest_of(body, strlen(body), digest);

	if (rc != RC_OK || blob_has(blobs, digest))
		return rc;
	rc = blob_write_begin(blobs, digest, strlen(body), &w, fault);
	if (rc == RC_EXISTS)
		return RC_OK;
	if (rc == RC_OK)
		rc = blob_write_at(w, 0, body, strlen(body), fault);
	if (rc == RC_OK)
		rc = blob_write_finish(w, NULL, NULL, fault);
	blob_writer_free(w);
	return rc;
}

static void bring_body(struct work_run *run)
{
	struct dispatch *d = run->task->dispatch;
	struct fleet_stage stage = { .machine = run->machine->id,
		.digest = run->body_blob,
		.name = run->payload->name,
		.version = "",
		.done = on_body,
		.arg = run };
	struct blob_digest digest;
	struct fault fault;
	enum rc rc;

	fault_set(&fault, REASON_INTERNAL, "server",
	    "the body of %s cannot be kept", run->action->name);
	rc = keep_body(run, &digest, &fault);
	if (rc == RC_OK)
		rc = blob_open(d->parts.blobs, &digest, &stage.fd, &stage.size);
	if (rc != RC_OK) {
		run_tell_unreachable(run, COMMAND_START, &fault, false);
		return;
	}
	blob_digest_format(&digest, run->body_blob);
	rc = fleet_stage(d->parts.fleet, &stage, &run->bring);
	if (rc != RC_OK)
		run_tell_busy(run, COMMAND_START, rc);
}

static void do_start(struct work_run *run)
{
	struct fault fault = { .code = REASON_NONE };

	if (run->ask != NULL || run->bring != NULL)
		return;
	if (start_prepare(run, &fault) != RC_OK)
		run_tell_refused(run, COMMAND_START, &fault);
	else if (start_needs_blob(run))
		bring_body(run);
	else
		send_start(run);
}

/* ---- stage ---- */

static void on_progress(void *arg, uint64_t sent, uint64_t size)
{
	struct work_run *run = arg;
	struct engine_fact fact = run_fact(run, FACT_ACCEPTED);

	(void)sent;
	(void)size;
	if (run->told_attached)
		return;
	run->told_attached = true;
	work_tell(run->task->dispatch, &fact);
}

/* Trying again would not help. */
static bool is_definite(enum reason code)
{
	return code == REASON_NO_SPACE || code == REASON_BAD_PACKAGE ||
	       code == REASON_NOT_PERMITTED || code == REASON_NOT_FOUND ||
	       code == REASON_REVOKED;
}

static void on_staged(void *arg, const struct fault *fault)
{
	struct work_run *run = arg;
	struct engine_fact fact = run_fact(run, FACT_STAGED);

	run->bring = NULL;
	run->told_attached = false;
	if (fault == NULL)
		work_tell(run->task->dispatch, &fact);
	else if (is_definite(fault->code))
		run_tell_refused(run, COMMAND_STAGE, fault);
	else
		run_tell_unreachable(run, COMMAND_STAGE, fault, true);
	run_settle(run);
}

static void do_stage(struct work_run *run)
{
	const struct plan_payload *p = run->payload;
	struct dispatch *d = run->task->dispatch;
	struct fleet_stage stage = { .machine = run->machine->id,
		.digest = p->digest,
		.name = p->package,
		.version = p->version,
		.progress = on_progress,
		.done = on_staged,
		.arg = run };
	struct blob_digest digest;
	struct fault fault;
	enum rc rc;

	if (run->bring != NULL)
		return;
	rc = blob_digest_parse(p->digest, &digest);
	if (rc == RC_OK)
		rc = blob_open(d->parts.blobs, &digest, &stage.fd, &stage.size);
	if (rc != RC_OK) {
		fault_set(&fault, REASON_NOT_FOUND, "server",
		    "the bytes of package %s %s are not on this server (%s); "
		    "push it again",
		    p->package, p->version, rc_name(rc));
		run_tell_refused(run, COMMAND_STAGE, &fault);
		return;
	}
	rc = fleet_stage(d->parts.fleet, &stage, &run->bring);
	if (rc != RC_OK)
		run_tell_busy(run, COMMAND_STAGE, rc);
}

/* ---- cancel ---- */

static enum rc encode_cancel(
    void *arg, const struct fleet_call *call, struct packbuf *out)
{
	const struct work_run *run = arg;
	const struct task_row *row = &run->task->rows.task.row;
	struct msg_cancel m = { .id = call->id, .epoch = row->epoch };

	memcpy(m.ticket, run->ticket, sizeof(m.ticket));
	(void)snprintf(m.task, sizeof(m.task), "task-%llu",
	    (unsigned long long)row->number);
	return msg_cancel_encode(&m, out);
}

static void on_cancel(void *arg, const struct fleet_reply *reply)
{
	struct work_run *run = arg;
	struct dispatch *d = run->task->dispatch;
	struct engine_fact fact = run_fact(run, FACT_UNKNOWN);
	struct fault fault = { .code = REASON_NONE };
	struct msg_cancel_reply m;

	run->cancel = NULL;
	if (reply->message.len == 0) {
		run_tell_unreachable(
		    run, COMMAND_CANCEL, reply->fault, reply->may_have_arrived);
		goto out;
	}
	if (msg_cancel_reply_decode(reply->message, &m, &fault) != RC_OK) {
		run_tell_unreachable(run, COMMAND_CANCEL, &fault, true);
		goto out;
	}
	fleet_saw_reply(d->parts.fleet, run->machine->id, &m.reply);
	if (m.reply.fault.code != REASON_NONE)
		run_tell_refused(run, COMMAND_CANCEL, &m.reply.fault);
	else if (m.state == TICKET_UNKNOWN)
		work_tell(d, &fact);
	else
		run_follow(run); /* how it ends, or has ended, and its log */
out:
	run_settle(run);
}

static void do_cancel(struct work_run *run)
{
	const struct fleet_request request = { .machine = run->machine->id,
		.op = OP_CANCEL,
		.encode = encode_cancel,
		.reply = on_cancel,
		.arg = run };
	enum rc rc;

	if (run->action->type == ACTION_TYPE_STAGE ||
	    run->action->type == ACTION_TYPE_HEALTH) {
		run_let_go(run);
		return;
	}
	if (run->cancel != NULL)
		return;
	rc = fleet_request(
	    run->task->dispatch->parts.fleet, &request, &run->cancel);
	if (rc != RC_OK)
		run_tell_busy(run, COMMAND_CANCEL, rc);
}

/* ---- all of them ---- */

static void begin(struct work_run *run, enum engine_command_type type)
{
	struct fault fault;

	if (run->task->fault.code != REASON_NONE) {
		run_tell_refused(run, type, &run->task->fault);
		return;
	}
	if (run->payload == NULL || run->payload->type != run->action->type) {
		fault_set(&fault, REASON_INTERNAL, "server",
		    "the plan of this task is damaged: %s has no payload",
		    run->action->name);
		run_tell_refused(run, type, &fault);
		return;
	}
	if (type == COMMAND_START)
		do_start(run);
	else if (type == COMMAND_STAGE)
		do_stage(run);
	else
		run_check(run);
}

void work_carry_out(struct dispatch *d, const struct work_command *command)
{
	struct work_task *task = work_task_find(d, command->key.task);
	struct work_run *run;

	if (task == NULL)
		return;
	run = find_run(task, command);
	if (run == NULL)
		run = new_run(task, command);
	switch (command->type) {
	case COMMAND_START:
	case COMMAND_STAGE:
	case COMMAND_HEALTH:
		begin(run, command->type);
		break;
	case COMMAND_ATTACH:
		run_follow(run);
		break;
	case COMMAND_CANCEL:
		do_cancel(run);
		break;
	case COMMAND_FORGET:
		work_forget(run, command->ticket);
		break;
	case COMMAND_TYPE_COUNT:
		break;
	}
	run_release(run);
}

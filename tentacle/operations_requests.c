/* Requests of the standing seal and their replies. */
#include "tentacle/operations_base.h"

#include "common/failpoint.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Replies ------------------------------------------------------------ */

void operations_begin_reply(
    const struct operations *ops, uint32_t id, struct msg_reply *reply)
{
	*reply =
	    (struct msg_reply){ .id = id, .counter = operations_counter(ops) };
	(void)snprintf(reply->journal, sizeof(reply->journal), "%s",
	    operations_journal(ops));
}

void operations_send(
    struct operations_caller caller, enum rc rc, struct packbuf *b, uint32_t id)
{
	if (rc == RC_OK)
		rc = packbuf_rc(b);
	if (rc == RC_OK)
		caller.send(caller.arg, packbuf_bytes(b));
	else
		log_error("ops", "", "reply %u could not be written: %s", id,
		    rc_name(rc));
	packbuf_fini(b);
}

void operations_refuse(struct operations *ops, enum msg_op op, uint32_t id,
    const struct fault *fault, struct operations_caller caller)
{
	struct msg_reply reply;
	struct packbuf b;

	operations_begin_reply(ops, id, &reply);
	reply.fault = *fault;
	if (reply.fault.code == REASON_NONE)
		fault_set(&reply.fault, REASON_INTERNAL, "", "no memory");
	packbuf_init(&b, LENFRAME_STANDING_MAX);
	operations_send(caller, msg_refusal_encode(op, &reply, &b), &b, id);
}

bool operations_obey(
    const struct operations *ops, const struct msg_incarnation *incarnation)
{
	struct fault fault;

	return ops->ledger == NULL ||
	       tickets_check_incarnation(
		   ledger_tickets(ops->ledger), incarnation, &fault) == RC_OK;
}

/* --- start -------------------------------------------------------------- */

void operations_reply_start(struct operations *ops, uint32_t id,
    const char *ticket, struct operations_caller caller)
{
	const struct ticket *t = operations_find_ticket(ops, ticket);
	struct msg_start_reply m = { .state = TICKET_UNKNOWN };
	struct packbuf b;

	operations_begin_reply(ops, id, &m.reply);
	if (t != NULL) {
		m.state = t->state;
		m.has_result = t->ended;
		if (t->ended)
			operations_fill_result(&t->result, &m.result);
	}
	packbuf_init(&b, LENFRAME_STANDING_MAX);
	operations_send(caller, msg_start_reply_encode(&m, &b), &b, id);
}

static enum rc enough_room(struct operations *ops, struct fault *fault)
{
	uint64_t avail = 0;
	enum rc rc = fs_free_bytes(ops->config.state, &avail);

	if (rc == RC_OK && avail < ops->config.keep_free) {
		fault_set(fault, REASON_NO_SPACE, "",
		    "%llu bytes are free on this machine, new work needs %llu",
		    (unsigned long long)avail,
		    (unsigned long long)ops->config.keep_free);
		rc = RC_LIMIT;
	}
	if (rc == RC_OK)
		rc = ledger_reserve(ops->ledger, fault);
	return rc;
}

static enum rc accept_start(
    struct operations *ops, const struct msg_start *m, struct fault *fault)
{
	const struct ticket *t;
	enum rc rc = ledger_commit(
	    ops->ledger, ops->plan.records, ops->plan.record_count, fault);

	if (rc != RC_OK)
		return rc;
	failpoint("ticket.accepted");
	for (size_t i = 0; i < m->supersedes.count; i++)
		operations_cancel_job(ops, m->supersedes.items[i].text);
	t = operations_find_ticket(ops, m->ticket);
	rc = operations_add_job(ops, t, fault);
	/* Accepted, so it must end: tell it as a result, not as a refusal. */
	return rc == RC_OK ? RC_OK : operations_end_lost(ops, t, fault);
}

/* The spec is on disk before the ticket is; a ticket refused leaves none. */
static enum rc try_start(struct operations *ops, const struct msg_start *m,
    struct bytes frame, struct fault *fault)
{
	struct ticket_plan *plan = &ops->plan;
	struct ticket_side side = { .journal = ledger_id(ops->ledger),
		.counter = ledger_counter(ops->ledger),
		.now_ms = operations_wall_ms() };
	enum rc rc = RC_OK;

	tickets_judge_start(ledger_tickets(ops->ledger), m, &side, plan);
	if (plan->verdict == VERDICT_REFUSE) {
		*fault = plan->fault;
		return RC_DENIED;
	}
	if (plan->verdict == VERDICT_KNOWN)
		return ledger_commit(
		    ops->ledger, plan->records, plan->record_count, fault);
	rc = enough_room(ops, fault);
	if (rc == RC_OK)
		rc = job_write_spec(
		    ops->runs, m->ticket, frame, side.spec, fault);
	if (rc == RC_OK) {
		failpoint("ticket.spec-written");
		tickets_judge_start(
		    ledger_tickets(ops->ledger), m, &side, plan);
		rc = accept_start(ops, m, fault);
	}
	if (rc != RC_OK && operations_find_ticket(ops, m->ticket) == NULL)
		job_remove_all(&ops->place, m->ticket);
	return rc;
}

static enum rc on_start(struct operations *ops, struct bytes frame,
    struct operations_caller caller, struct fault *fault)
{
	struct fault why = { 0 };
	struct msg_start m;
	enum rc rc = msg_start_decode(frame, &m, fault);
	bool is_new;

	if (rc != RC_OK)
		return rc;
	failpoint("ticket.ordered");
	is_new = operations_find_ticket(ops, m.ticket) == NULL;
	rc = try_start(ops, &m, frame, &why);
	if (operations_check_fatal(ops))
		rc = RC_IO;
	else if (rc != RC_OK)
		operations_refuse(ops, OP_START, m.id, &why, caller);
	else if (!is_new || !operations_hold(ops, m.id, m.ticket, caller))
		operations_reply_start(ops, m.id, m.ticket, caller);
	failpoint("ticket.answered");
	msg_start_clear(&m);
	if (rc == RC_OK)
		operations_begin_jobs(ops);
	return RC_OK;
}

/* --- attach ------------------------------------------------------------- */

enum rc operations_attach(struct operations *ops,
    const struct msg_attach *attach, struct fault *fault)
{
	enum rc rc;

	if (ops->ledger == NULL)
		return RC_OK; /* in quarantine there is nothing to follow */
	tickets_judge_attach(ledger_tickets(ops->ledger), attach,
	    operations_wall_ms(), &ops->plan);
	if (ops->plan.verdict == VERDICT_REFUSE) {
		*fault = ops->plan.fault;
		return RC_DENIED;
	}
	rc = ledger_commit(
	    ops->ledger, ops->plan.records, ops->plan.record_count, fault);
	return operations_check_fatal(ops) ? RC_IO : rc;
}

/* --- cancel, tickets, forget -------------------------------------------- */

static enum rc on_cancel(struct operations *ops, struct bytes frame,
    struct operations_caller caller, struct fault *fault)
{
	struct msg_cancel_reply reply = { .state = TICKET_UNKNOWN };
	struct fault why = { 0 };
	const struct ticket *t;
	struct msg_cancel m;
	struct packbuf b;
	enum rc rc = msg_cancel_decode(frame, &m, fault);

	if (rc != RC_OK)
		return rc;
	tickets_judge_cancel(
	    ledger_tickets(ops->ledger), &m, operations_wall_ms(), &ops->plan);
	if (ops->plan.verdict == VERDICT_REFUSE) {
		operations_refuse(
		    ops, OP_CANCEL, m.id, &ops->plan.fault, caller);
		return RC_OK;
	}
	rc = ledger_commit(
	    ops->ledger, ops->plan.records, ops->plan.record_count, &why);
	if (rc != RC_OK) {
		if (!operations_check_fatal(ops))
			operations_refuse(ops, OP_CANCEL, m.id, &why, caller);
		return RC_OK;
	}
	failpoint("cancel.recorded");
	operations_cancel_job(ops, m.ticket);
	operations_begin_reply(ops, m.id, &reply.reply);
	t = operations_find_ticket(ops, m.ticket);
	if (t != NULL)
		reply.state = t->state;
	packbuf_init(&b, LENFRAME_STANDING_MAX);
	operations_send(caller, msg_cancel_reply_encode(&reply, &b), &b, m.id);
	return RC_OK;
}

static size_t list_tickets(
    const struct operations *ops, struct msg_ticket *items, bool open)
{
	const struct tickets *all = ledger_tickets(ops->ledger);
	size_t count = 0;

	for (const struct ticket *t = tickets_next(all, NULL);
	     t != NULL && count < TICKETS_MAX; t = tickets_next(all, t)) {
		struct msg_ticket *item = &items[count];

		if (t->ended == open || t->forgotten || t->tombstone)
			continue;
		*item = (struct msg_ticket){ .state = t->state,
			.exit_code = t->result.exit_code,
			.cause = t->result.cause,
			.log_size = t->result.log_size };
		memcpy(item->ticket, t->id, sizeof(item->ticket));
		count++;
	}
	return count;
}

/* As many as one message takes: the open ones first. */
#define LISTED_MAX 400

static enum rc on_tickets(struct operations *ops, struct bytes frame,
    struct operations_caller caller, struct fault *fault)
{
	struct msg_tickets_reply reply = { .count = 0 };
	struct msg_tickets m;
	struct packbuf b;
	enum rc rc = msg_tickets_decode(frame, &m, fault);

	if (rc != RC_OK)
		return rc;
	reply.items = calloc(2 * (size_t)TICKETS_MAX, sizeof(*reply.items));
	if (reply.items == NULL)
		return RC_NOMEM;
	operations_begin_reply(ops, m.id, &reply.reply);
	reply.count = list_tickets(ops, reply.items, true);
	reply.count += list_tickets(ops, reply.items + reply.count, false);
	if (reply.count > LISTED_MAX)
		reply.count = LISTED_MAX;
	packbuf_init(&b, LENFRAME_STANDING_MAX);
	operations_send(caller, msg_tickets_reply_encode(&reply, &b), &b, m.id);
	free(reply.items);
	return RC_OK;
}

static enum rc forget_all(
    struct operations *ops, const struct msg_id_list *ids, struct fault *why)
{
	operations_notes_drop(ops);
	for (size_t i = 0; i < ids->count; i++) {
		const char *id = ids->items[i].text;
		const struct ticket *t = operations_find_ticket(ops, id);
		enum rc rc;

		if (t == NULL || !t->ended || t->forgotten || t->tombstone)
			continue;
		rc = ledger_forget(ops->ledger, id, why);
		if (rc != RC_OK)
			return rc;
		failpoint("ticket.forgotten");
		/* A job that was cancelled early may still be at work there,
		 * and sweeps when it is done. */
		if (operations_find_job(ops, id) == NULL)
			job_remove_all(&ops->place, id);
	}
	return RC_OK;
}

/* Its journal may forget what belongs to tasks that are over. */
static enum rc note_settled(
    struct operations *ops, uint64_t below, struct fault *why)
{
	struct journal_record *r = &ops->plan.records[0];

	if (!tickets_judge_settled(
		ledger_tickets(ops->ledger), below, operations_wall_ms(), r))
		return RC_OK;
	return ledger_commit(ops->ledger, r, 1, why);
}

static enum rc on_forget(struct operations *ops, struct bytes frame,
    struct operations_caller caller, struct fault *fault)
{
	struct msg_forget_reply reply;
	struct fault why = { 0 };
	struct msg_forget m;
	struct packbuf b;
	enum rc rc = msg_forget_decode(frame, &m, fault);

	if (rc != RC_OK)
		return rc;
	if (m.task[0] != '\0' &&
	    !tickets_owner_fits(
		ledger_tickets(ops->ledger), m.task, m.epoch, &why))
		rc = RC_DENIED;
	if (rc == RC_OK)
		rc = forget_all(ops, &m.tickets, &why);
	if (rc == RC_OK)
		rc = note_settled(ops, m.settled, &why);
	if (rc != RC_OK) {
		if (!operations_check_fatal(ops))
			operations_refuse(ops, OP_FORGET, m.id, &why, caller);
	} else {
		operations_begin_reply(ops, m.id, &reply.reply);
		packbuf_init(&b, LENFRAME_STANDING_MAX);
		operations_send(
		    caller, msg_forget_reply_encode(&reply, &b), &b, m.id);
	}
	msg_forget_clear(&m);
	return RC_OK;
}

/* --- stage-query -------------------------------------------------------- */

/* Only what is whole is told here; `stage` itself says where to resume. */
static enum rc on_stage_query(struct operations *ops, struct bytes frame,
    struct operations_caller caller, struct fault *fault)
{
	struct msg_stage_query_reply reply = { .complete = false };
	struct blob_digest digest;
	struct msg_stage_query m;
	struct packbuf b;
	enum rc rc = msg_stage_query_decode(frame, &m, fault);

	if (rc == RC_OK)
		rc = blob_digest_parse(m.digest, &digest);
	if (rc != RC_OK)
		return rc;
	operations_begin_reply(ops, m.id, &reply.reply);
	/* In this order: what is there then is not removed meanwhile. */
	blob_touch(ops->blobs, &digest);
	reply.complete = blob_size(ops->blobs, &digest, &reply.have) == RC_OK;
	packbuf_init(&b, LENFRAME_STANDING_MAX);
	operations_send(
	    caller, msg_stage_query_reply_encode(&reply, &b), &b, m.id);
	return RC_OK;
}

/* --- All of them -------------------------------------------------------- */

typedef enum rc (*request_fn)(struct operations *ops, struct bytes frame,
    struct operations_caller caller, struct fault *fault);

static const struct {
	request_fn fn;
	bool journal; /* not in quarantine */
} requests[OP_COUNT] = {
	[OP_HEALTH] = { operations_on_health, false },
	[OP_START] = { on_start, true },
	[OP_CANCEL] = { on_cancel, true },
	[OP_TICKETS] = { on_tickets, true },
	[OP_FORGET] = { on_forget, true },
	[OP_STAGE_QUERY] = { on_stage_query, false },
	[OP_LOCKS] = { operations_on_locks, true },
	[OP_LOCK_BREAK] = { operations_on_lock_break, true },
};

enum rc operations_request(struct operations *ops, struct bytes frame,
    struct operations_caller caller, struct fault *fault)
{
	struct msg_head head;
	enum rc rc = msg_peek(frame, &head, fault);

	if (rc != RC_OK)
		return rc;
	if (operations_check_fatal(ops))
		return RC_OK;
	if (head.is_reply || requests[head.op].fn == NULL) {
		fault_set(fault, REASON_PROTOCOL, "",
		    "'%s' is not a request to a tentacle",
		    msg_op_name(head.op));
		return RC_PROTO;
	}
	if (requests[head.op].journal && ops->ledger == NULL) {
		operations_refuse(
		    ops, head.op, head.id, &ops->quarantine, caller);
		return RC_OK;
	}
	return requests[head.op].fn(ops, frame, caller, fault);
}

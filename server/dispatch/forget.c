/*
 * forget.c - the machine may forget a ticket once its end is committed here.
 * That word outlives its task, and nobody waits for the answer: a machine that
 * missed it says with its next health check that it remembers something, and
 * is asked what.
 */
#include "server/dispatch/work.h"

#include "common/failpoint.h"
#include "common/log.h"
#include "common/xalloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICKETS_AT_ONCE 400

struct forget {
	TAILQ_ENTRY(forget) link;
	struct store_job job;
	struct dispatch *dispatch;
	struct fleet_ask *ask;
	char machine[TASK_MACHINE_SIZE];
	struct msg_id *tickets;
	size_t count;
	char task[TASK_SIZE]; /* of all of them; "": of several */
	uint64_t epoch;
	uint64_t settled; /* all tasks below have ended */
};

static void forget_free(struct forget *f)
{
	TAILQ_REMOVE(&f->dispatch->forgets, f, link);
	free(f->tickets);
	free(f);
}

static struct forget *forget_new(
    struct dispatch *d, const char *machine, size_t room)
{
	struct forget *f = xcalloc(1, sizeof(*f));

	f->dispatch = d;
	memcpy(f->machine, machine, strnlen(machine, sizeof(f->machine) - 1));
	f->tickets = xcalloc(room + 1, sizeof(*f->tickets));
	TAILQ_INSERT_TAIL(&d->forgets, f, link);
	return f;
}

/* ---- telling ---- */

static enum rc encode_forget(
    void *arg, const struct fleet_call *call, struct packbuf *out)
{
	struct forget *f = arg;
	struct msg_forget m = { .id = call->id,
		.tickets = { .items = f->tickets, .count = f->count },
		.epoch = f->epoch,
		.settled = f->settled };

	memcpy(m.task, f->task, sizeof(m.task));
	return msg_forget_encode(&m, out);
}

static void on_forgotten(void *arg, const struct fleet_reply *reply)
{
	struct forget *f = arg;

	if (reply->message.len == 0)
		log_debug("dispatch", f->tickets[0].text,
		    "not forgotten yet: %s", reply->fault->text);
	forget_free(f);
}

static void tell(struct forget *f)
{
	const struct fleet_request request = { .machine = f->machine,
		.op = OP_FORGET,
		.encode = encode_forget,
		.reply = on_forgotten,
		.arg = f };

	if (f->count == 0 ||
	    fleet_request(f->dispatch->parts.fleet, &request, &f->ask) != RC_OK)
		forget_free(f);
}

void work_forget(struct work_run *run, const char *ticket)
{
	const struct task_row *row = &run->task->rows.task.row;
	struct dispatch *d = run->task->dispatch;
	struct forget *f = forget_new(d, run->machine->id, 1);

	failpoint("result.committed");
	memcpy(f->tickets[0].text, ticket, sizeof(f->tickets[0].text));
	f->count = 1;
	(void)snprintf(f->task, sizeof(f->task), "task-%llu",
	    (unsigned long long)row->number);
	f->epoch = row->epoch;
	f->settled = d->settled;
	tell(f);
}

/* ---- asking ---- */

/* Of those that the machine remembers, those whose end is in a row.  Of one in
 * unknown the machine may know more than we do: nothing of that is thrown away
 * before somebody has said how it ended. */
static enum rc choose(struct db *db, struct store_job *job)
{
	struct forget *f = CONTAINER_OF(job, struct forget, job);
	size_t kept = 0;

	for (size_t i = 0; i < f->count; i++) {
		struct store_run run;
		struct run_key key;
		enum rc rc = store_run_by_ticket(db, f->tickets[i].text, &key);

		if (rc == RC_OK)
			rc = store_run_get(db, &key, &run);
		if (rc != RC_OK && rc != RC_NOTFOUND)
			return rc;
		/* What is not a row of ours may be another life's. */
		if (rc == RC_OK && run_state_is_final(run.row.state) &&
		    run.row.state != RUN_UNKNOWN)
			f->tickets[kept++] = f->tickets[i];
	}
	f->count = kept;
	return store_task_settled(db, &f->settled);
}

static void chosen(struct store_job *job, enum rc rc)
{
	struct forget *f = CONTAINER_OF(job, struct forget, job);

	f->job.run = NULL;
	if (work_closed(f->dispatch) || rc != RC_OK)
		forget_free(f);
	else
		tell(f);
}

static void on_tickets(void *arg, const struct fleet_reply *reply)
{
	struct forget *f = arg;
	struct msg_tickets_reply m;
	struct fault fault;

	f->ask = NULL;
	if (reply->message.len == 0 ||
	    msg_tickets_reply_decode(reply->message, &m, &fault) != RC_OK) {
		forget_free(f);
		return;
	}
	for (size_t i = 0; i < m.count && f->count < TICKETS_AT_ONCE; i++) {
		const struct msg_ticket *t = &m.items[i];

		if (t->state != TICKET_ACCEPTED && t->state != TICKET_RUNNING)
			memcpy(f->tickets[f->count++].text, t->ticket,
			    sizeof(t->ticket));
	}
	msg_tickets_reply_clear(&m);
	if (f->count == 0) {
		forget_free(f);
		return;
	}
	f->job.run = choose;
	f->job.done = chosen;
	work_submit(f->dispatch, &f->job);
}

static enum rc encode_tickets(
    void *arg, const struct fleet_call *call, struct packbuf *out)
{
	const struct msg_tickets m = { .id = call->id };

	(void)arg;
	return msg_tickets_encode(&m, out);
}

void work_forget_again(struct dispatch *d, const char *machine)
{
	struct forget *f = forget_new(d, machine, TICKETS_AT_ONCE);
	const struct fleet_request request = { .machine = f->machine,
		.op = OP_TICKETS,
		.encode = encode_tickets,
		.reply = on_tickets,
		.arg = f };

	if (fleet_request(d->parts.fleet, &request, &f->ask) != RC_OK)
		forget_free(f);
}

/* A job of the store frees its own. */
void work_forgets_drop(struct dispatch *d)
{
	struct forget *f, *next;

	for (f = TAILQ_FIRST(&d->forgets); f != NULL; f = next) {
		next = TAILQ_NEXT(f, link);
		if (f->job.run != NULL)
			continue;
		fleet_request_cancel(f->ask);
		forget_free(f);
	}
}

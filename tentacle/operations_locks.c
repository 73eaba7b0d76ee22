/*
 * Named locks between the jobs of this machine.  Who began holds his; who waits
 * does so in the order of acceptance, whether the lock is shared or not, so
 * that nobody waits for ever.  What is held follows from tickets, so it is
 * there again after a restart before anything is begun.
 */
#include "tentacle/operations_base.h"

#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct entry *operations_blocker(
    const struct operations *ops, const struct entry *e)
{
	const struct entry *other;
	bool shared, also, is_later = false;
	const char *lock = job_lock(e->job, &shared), *name;

	if (lock == NULL)
		return NULL;
	TAILQ_FOREACH(other, &ops->jobs, link)
	{
		if (other == e) {
			is_later = true;
			continue;
		}
		name = job_lock(other->job, &also);
		if (name == NULL || strcmp(name, lock) != 0 || (shared && also))
			continue;
		if (job_holds_lock(other->job) ||
		    (!is_later && !job_holds_lock(e->job)))
			return other;
	}
	return NULL;
}

enum rc operations_on_locks(struct operations *ops, struct bytes frame,
    struct operations_caller caller, struct fault *fault)
{
	struct msg_locks_reply reply = { .count = 0 };
	const struct entry *e;
	struct msg_locks m;
	struct packbuf b;
	enum rc rc = msg_locks_decode(frame, &m, fault);

	if (rc != RC_OK)
		return rc;
	reply.items = calloc(LOCKS_MAX, sizeof(*reply.items));
	if (reply.items == NULL)
		return RC_NOMEM;
	operations_begin_reply(ops, m.id, &reply.reply);
	TAILQ_FOREACH(e, &ops->jobs, link)
	{
		struct msg_lock *item = &reply.items[reply.count];
		const char *lock = job_lock(e->job, &item->shared);

		if (lock == NULL || reply.count == LOCKS_MAX - 1)
			continue;
		item->held = job_holds_lock(e->job);
		item->since_ms = job_since_ms(e->job);
		(void)snprintf(item->lock, sizeof(item->lock), "%s", lock);
		(void)snprintf(item->ticket, sizeof(item->ticket), "%s",
		    job_ticket(e->job));
		(void)snprintf(
		    item->task, sizeof(item->task), "%s", job_task(e->job));
		reply.count++;
	}
	packbuf_init(&b, LENFRAME_STANDING_MAX);
	operations_send(caller, msg_locks_reply_encode(&reply, &b), &b, m.id);
	free(reply.items);
	return RC_OK;
}

/* On the disk first: after a restart it is as broken as now. */
static MUST_CHECK enum rc break_lock(struct operations *ops, const char *lock,
    uint32_t *broken, struct fault *why)
{
	struct entry *e;

	TAILQ_FOREACH(e, &ops->jobs, link)
	{
		bool shared;
		const char *name = job_lock(e->job, &shared);
		enum rc rc;

		if (name == NULL || strcmp(name, lock) != 0 ||
		    !job_holds_lock(e->job))
			continue;
		rc = ledger_mark(ops->ledger, job_ticket(e->job),
		    JOURNAL_UNLOCKED, PHASE_NONE, why);
		if (rc != RC_OK)
			return rc;
		log_warn(
		    "job", job_ticket(e->job), "its lock %s was broken", lock);
		job_unlock(e->job);
		(*broken)++;
	}
	return RC_OK;
}

enum rc operations_on_lock_break(struct operations *ops, struct bytes frame,
    struct operations_caller caller, struct fault *fault)
{
	struct msg_lock_break_reply reply = { .broken = 0 };
	struct fault why = { 0 };
	struct msg_lock_break m;
	struct packbuf b;
	enum rc rc = msg_lock_break_decode(frame, &m, fault);

	if (rc != RC_OK)
		return rc;
	rc = break_lock(ops, m.lock, &reply.broken, &why);
	if (rc != RC_OK) {
		if (!operations_check_fatal(ops))
			operations_refuse(
			    ops, OP_LOCK_BREAK, m.id, &why, caller);
		return RC_OK;
	}
	operations_begin_reply(ops, m.id, &reply.reply);
	packbuf_init(&b, LENFRAME_STANDING_MAX);
	operations_send(
	    caller, msg_lock_break_reply_encode(&reply, &b), &b, m.id);
	operations_begin_jobs(ops);
	return RC_OK;
}

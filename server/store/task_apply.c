#include "server/store/list.h"
#include "server/store/task_read.h"

#include <stdio.h>
#include <stdlib.h>

/* The guard: it is still ours.  Tells the number before the first fact. */
static enum rc advance(
    struct db *db, const struct store_batch *b, uint64_t *before)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "UPDATE task SET fact_seq = fact_seq + ?1 WHERE id = ?2"
	    " AND owner = ?3 AND incarnation = ?4 AND epoch = ?5"
	    " RETURNING fact_seq - ?1");
	query_u64(&q, b->fact_count);
	query_u64(&q, b->number);
	query_text(&q, b->who.owner);
	query_text(&q, b->who.incarnation);
	query_u64(&q, b->who.epoch);
	rc = query_step(&q);
	if (rc == RC_OK) {
		*before = query_get_u64(&q, 0);
		return query_run(&q, NULL);
	}
	query_end(&q);
	return rc == RC_NOTFOUND ? RC_STATE : rc;
}

static enum rc insert_fact(
    struct db *db, uint64_t task, uint64_t seq, const struct store_fact *f)
{
	struct query q;

	query_start(&q, db,
	    "INSERT INTO fact(task, seq, at_ms, type, block, target, action,"
	    " detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
	query_u64(&q, task);
	query_u64(&q, seq);
	query_u64(&q, f->at_ms);
	query_text(&q, f->type);
	if (f->of_run) {
		query_int(&q, f->key.block);
		query_int(&q, f->key.target);
		query_int(&q, f->key.action);
	} else {
		query_null(&q);
		query_null(&q);
		query_null(&q);
	}
	query_text(&q, text_or_empty(f->json));
	return query_run(&q, NULL);
}

/* The epoch in the row is the engine's copy: claiming alone changes it. */
static enum rc write_task(struct db *db, const struct task_row *r)
{
	struct query q;

	query_start(&q, db,
	    "UPDATE task SET state = ?, started_ms = ?, ended_ms = ?,"
	    " reason = ?, reason_at = ?, reason_text = ?, ok_count = ?,"
	    " failed_count = ?, partial = ?, waiting = ?, approved = ?,"
	    " approval = ? WHERE id = ?");
	query_text(&q, task_state_name(r->state));
	query_u64(&q, r->started_ms);
	query_u64(&q, r->ended_ms);
	query_text(&q, reason_name(r->fault.code));
	query_text(&q, r->fault.at);
	query_text(&q, r->fault.text);
	query_int(&q, r->ok_count);
	query_int(&q, r->failed_count);
	query_int(&q, r->partial);
	query_int(&q, r->waiting);
	query_int(&q, r->approved);
	query_int(&q, r->approval);
	query_u64(&q, r->number);
	return query_change(&q);
}

static void bind_run(
    struct query *q, const struct run_row *r, const char *former)
{
	task_bind_key(q, &r->key);
	query_text(q, run_state_name(r->state));
	query_text(q, r->ticket[0] == '\0' ? NULL : r->ticket);
	query_int(q, r->sent);
	query_int(q, r->tries);
	query_u64(q, r->starting_ms);
	query_u64(q, r->running_ms);
	query_u64(q, r->ended_ms);
	query_int(q, r->exit_code);
	query_int(q, r->signal);
	query_text(q, machine_health_name(r->health));
	query_text(q, reason_name(r->fault.code));
	query_text(q, r->fault.at);
	query_text(q, r->fault.text);
	query_int(q, r->attempt > 0 ? r->attempt : 1);
	query_text(q, run_decision_name(r->decision));
	query_int(q, r->doubt);
	query_text(q, former);
}

/* What an earlier attempt has said goes with it. */
static enum rc drop_said(struct db *db, const struct run_row *r)
{
	static const char *const statements[] = {
		"DELETE FROM run_note WHERE task = ?1 AND block = ?2"
		" AND target = ?3 AND action = ?4 AND EXISTS (SELECT 1"
		"  FROM run WHERE task = ?1 AND block = ?2 AND target = ?3"
		"   AND action = ?4 AND attempt <> ?5)",
		"DELETE FROM run_progress WHERE task = ?1 AND block = ?2"
		" AND target = ?3 AND action = ?4 AND EXISTS (SELECT 1"
		"  FROM run WHERE task = ?1 AND block = ?2 AND target = ?3"
		"   AND action = ?4 AND attempt <> ?5)",
	};
	enum rc rc = RC_OK;

	for (size_t i = 0; r->attempt > 1 && rc == RC_OK && i < 2; i++) {
		struct query q;

		query_start(&q, db, statements[i]);
		task_bind_key(&q, &r->key);
		query_int(&q, r->attempt);
		rc = query_run(&q, NULL);
	}
	return rc;
}

static enum rc write_run(struct db *db, const struct run_row *r)
{
	/* Bound, not copied: it must live until the query has run. */
	char former[TASK_FORMER_MAX * TASK_TICKET_SIZE + 1] = "";
	enum rc rc = drop_said(db, r);
	size_t at = 0;
	struct query q;

	if (rc != RC_OK)
		return rc;
	for (uint32_t i = 0; i < r->former_count; i++)
		at += (size_t)snprintf(
		    former + at, sizeof(former) - at, "%.32s ", r->former[i]);
	query_start(&q, db,
	    "INSERT INTO run(task, block, target, action, state, ticket, sent,"
	    " tries, starting_ms, running_ms, ended_ms, exit_code, signal,"
	    " health, reason, reason_at, reason_text, attempt, decision, doubt,"
	    " former)"
	    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
	    " ?)"
	    " ON CONFLICT (task, block, target, action) DO UPDATE SET"
	    /* A new attempt writes behind the output of those before. */
	    " log_base = CASE WHEN excluded.attempt <> run.attempt"
	    "  THEN run.log_size ELSE run.log_base END,"
	    " log_sha256 = CASE WHEN excluded.attempt <> run.attempt"
	    "  THEN NULL ELSE run.log_sha256 END,"
	    " state = excluded.state, ticket = excluded.ticket,"
	    " sent = excluded.sent, tries = excluded.tries,"
	    " starting_ms = excluded.starting_ms,"
	    " running_ms = excluded.running_ms,"
	    " ended_ms = excluded.ended_ms, exit_code = excluded.exit_code,"
	    " signal = excluded.signal, health = excluded.health,"
	    " reason = excluded.reason, reason_at = excluded.reason_at,"
	    " reason_text = excluded.reason_text,"
	    " attempt = excluded.attempt, decision = excluded.decision,"
	    " doubt = excluded.doubt, former = excluded.former");
	bind_run(&q, r, former);
	return query_run(&q, NULL);
}

static enum rc write_change(
    struct db *db, uint64_t number, const struct engine_change *c)
{
	switch (c->type) {
	case CHANGE_TASK:
		return c->row.task.number == number
		           ? write_task(db, &c->row.task)
		           : RC_PROTO;
	case CHANGE_RUN:
		return c->row.run.key.task == number
		           ? write_run(db, &c->row.run)
		           : RC_PROTO;
	}
	return RC_PROTO;
}

enum rc store_task_apply(struct db *db, const struct store_batch *batch)
{
	uint64_t seq = 0;
	enum rc rc = advance(db, batch, &seq);

	for (size_t i = 0; rc == RC_OK && i < batch->fact_count; i++)
		rc = insert_fact(db, batch->number, ++seq, &batch->facts[i]);
	for (size_t i = 0; rc == RC_OK && i < batch->change_count; i++)
		rc = write_change(db, batch->number, &batch->changes[i]);
	return rc;
}

/* ---- reading facts ---- */

void store_facts_free(struct store_fact_row *rows, size_t count)
{
	for (size_t i = 0; rows != NULL && i < count; i++)
		free(rows[i].json);
	free(rows);
}

static enum rc read_fact(
    struct query *q, uint64_t task, struct store_fact_row *f)
{
	f->seq = query_get_u64(q, 0);
	f->at_ms = query_get_u64(q, 1);
	query_copy_text(q, 2, f->type, sizeof(f->type));
	f->of_run = query_get_bool(q, 3);
	f->key.task = task;
	f->key.block = (uint32_t)query_get_u64(q, 4);
	f->key.target = (uint32_t)query_get_u64(q, 5);
	f->key.action = (uint32_t)query_get_u64(q, 6);
	return query_dup_text(q, 7, &f->json);
}

enum rc store_fact_list(struct db *db, uint64_t number, uint64_t after,
    uint32_t limit, struct store_fact_row **rows, size_t *count)
{
	uint32_t most = list_limit(limit);
	struct store_fact_row *all = calloc(most, sizeof(*all));
	struct query q;
	size_t n = 0;
	enum rc rc = RC_OK;

	if (all == NULL)
		return RC_NOMEM;
	query_start(&q, db,
	    "SELECT seq, at_ms, type, block IS NOT NULL, block, target,"
	    " action, detail FROM fact WHERE task = ? AND seq > ?"
	    " ORDER BY seq LIMIT ?");
	query_u64(&q, number);
	query_u64(&q, after);
	query_int(&q, most);
	while (rc == RC_OK && n < most) {
		rc = query_step(&q);
		if (rc == RC_OK)
			rc = read_fact(&q, number, &all[n++]);
	}
	rc = list_end(&q, rc);
	if (rc != RC_OK) {
		store_facts_free(all, n);
		return rc;
	}
	*rows = all;
	*count = n;
	return RC_OK;
}

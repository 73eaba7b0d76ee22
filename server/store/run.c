#include "server/store/list.h"
#include "server/store/task_read.h"

#include <stdlib.h>
#include <string.h>

/* Tickets with a blank after each. */
static void read_former(struct query *q, int column, struct run_row *r)
{
	const char *text = query_get_text(q, column);
	const size_t len = TASK_TICKET_SIZE - 1;

	while (r->former_count < TASK_FORMER_MAX && strlen(text) > len) {
		memcpy(r->former[r->former_count], text, len);
		r->former[r->former_count++][len] = '\0';
		text += len + 1;
	}
}

void task_read_run(struct query *q, struct run_row *r)
{
	r->key.task = query_get_u64(q, 0);
	r->key.block = (uint32_t)query_get_u64(q, 1);
	r->key.target = (uint32_t)query_get_u64(q, 2);
	r->key.action = (uint32_t)query_get_u64(q, 3);
	if (run_state_parse(query_get_text(q, 4), &r->state) != RC_OK)
		r->state = RUN_UNKNOWN;
	query_copy_text(q, 5, r->ticket, sizeof(r->ticket));
	r->sent = query_get_bool(q, 6);
	r->tries = (uint32_t)query_get_u64(q, 7);
	r->starting_ms = query_get_u64(q, 8);
	r->running_ms = query_get_u64(q, 9);
	r->ended_ms = query_get_u64(q, 10);
	r->exit_code = (int32_t)query_get_int(q, 11);
	r->signal = (int32_t)query_get_int(q, 12);
	if (machine_health_parse(query_get_text(q, 13), &r->health) != RC_OK)
		r->health = MACHINE_HEALTH_UNKNOWN;
	task_read_fault(q, 14, &r->fault);
	r->attempt = (uint32_t)query_get_u64(q, 17);
	if (run_decision_parse(query_get_text(q, 18), &r->decision) != RC_OK)
		r->decision = DECISION_NONE;
	r->doubt = query_get_bool(q, 19);
	r->former_count = 0;
	read_former(q, 20, r);
}

void task_bind_key(struct query *q, const struct run_key *key)
{
	query_u64(q, key->task);
	query_int(q, key->block);
	query_int(q, key->target);
	query_int(q, key->action);
}

/* ---- logs ---- */

static enum rc log_size(
    struct db *db, const struct store_log *log, uint64_t *out)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "SELECT log_size FROM run WHERE task = ? AND block = ?"
	    " AND target = ? AND action = ? AND ticket = ?");
	task_bind_key(&q, &log->key);
	query_text(&q, log->ticket);
	rc = query_step(&q);
	if (rc == RC_OK)
		*out = query_get_u64(&q, 0);
	query_end(&q);
	return rc;
}

enum rc store_run_log_place(
    struct db *db, const struct store_log *log, uint64_t *base, uint64_t *size)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "SELECT log_base, log_size FROM run WHERE task = ? AND block = ?"
	    " AND target = ? AND action = ? AND ticket = ?");
	task_bind_key(&q, &log->key);
	query_text(&q, log->ticket);
	rc = query_step(&q);
	if (rc == RC_OK) {
		*base = query_get_u64(&q, 0);
		*size = query_get_u64(&q, 1);
	}
	query_end(&q);
	return rc;
}

enum rc store_run_log_grow(struct db *db, const struct store_log *log,
    uint64_t old_size, uint64_t new_size, uint64_t *now)
{
	struct query q;
	enum rc rc;

	if (new_size < old_size)
		return RC_STATE;
	query_start(&q, db,
	    "UPDATE run SET log_size = ?1 WHERE task = ?3 AND block = ?4"
	    " AND target = ?5 AND action = ?6 AND ticket = ?7"
	    " AND log_size = ?2 AND log_sha256 IS NULL");
	query_u64(&q, new_size);
	query_u64(&q, old_size);
	task_bind_key(&q, &log->key);
	query_text(&q, log->ticket);
	rc = query_change(&q);
	if (rc == RC_OK) {
		*now = new_size;
		return RC_OK;
	}
	if (rc != RC_NOTFOUND)
		return rc;
	rc = log_size(db, log, now);
	return rc == RC_OK ? RC_STATE : rc;
}

enum rc store_run_log_end(struct db *db, const struct store_log *log,
    uint64_t size, const uint8_t sha256[STORE_SHA256_SIZE])
{
	struct query q;

	query_start(&q, db,
	    "UPDATE run SET log_size = ?1, log_sha256 = ?2 WHERE task = ?3"
	    " AND block = ?4 AND target = ?5 AND action = ?6 AND ticket = ?7"
	    " AND log_size <= ?1");
	query_u64(&q, size);
	query_blob(&q, sha256, STORE_SHA256_SIZE);
	task_bind_key(&q, &log->key);
	query_text(&q, log->ticket);
	return query_change(&q);
}

/* ---- for people ---- */

#define JOINED                                                                 \
	"SELECT " RUN_COLUMNS ", m.id, m.name, b.name, a.name, a.type,"        \
	" r.log_sha256 IS NOT NULL, lower(hex(r.log_sha256)),"                 \
	" p.task IS NOT NULL, p.percent, p.warnings, p.text FROM run r"        \
	" LEFT JOIN run_progress p ON p.task = r.task AND p.block = r.block"   \
	"  AND p.target = r.target AND p.action = r.action"                    \
	" JOIN block b ON b.task = r.task AND b.ordinal = r.block"             \
	" JOIN action a ON a.task = r.task AND a.block = r.block"              \
	"  AND a.ordinal = r.action"                                           \
	" JOIN block_target t ON t.task = r.task AND t.block = r.block"        \
	"  AND t.ordinal = r.target"                                           \
	" JOIN task_machine m ON m.task = r.task AND m.ordinal = t.machine"

static void read_joined(struct query *q, struct store_run *r)
{
	task_read_run(q, &r->row);
	r->log_size = query_get_u64(q, RUN_LOG_SIZE);
	query_copy_text(q, RUN_AFTER, r->machine_id, sizeof(r->machine_id));
	query_copy_text(q, RUN_AFTER + 1, r->machine, sizeof(r->machine));
	query_copy_text(q, RUN_AFTER + 2, r->block, sizeof(r->block));
	query_copy_text(q, RUN_AFTER + 3, r->action, sizeof(r->action));
	if (action_type_parse(query_get_text(q, RUN_AFTER + 4), &r->type) !=
	    RC_OK)
		r->type = ACTION_TYPE_SCRIPT;
	r->log_ended = query_get_bool(q, RUN_AFTER + 5);
	query_copy_text(q, RUN_AFTER + 6, r->log_sha256, sizeof(r->log_sha256));
	r->has_progress = query_get_bool(q, RUN_AFTER + 7);
	if (!r->has_progress)
		return;
	r->percent = (uint32_t)query_get_u64(q, RUN_AFTER + 8);
	r->warnings = (uint32_t)query_get_u64(q, RUN_AFTER + 9);
	query_copy_text(q, RUN_AFTER + 10, r->said, sizeof(r->said));
}

enum rc store_run_list(struct db *db, uint64_t number,
    const struct run_key *after, uint32_t limit, struct store_run **rows,
    size_t *count)
{
	uint32_t most = list_limit(limit);
	struct store_run *all = calloc(most, sizeof(*all));
	struct query q;
	size_t n = 0;
	enum rc rc;

	if (all == NULL)
		return RC_NOMEM;
	query_start(&q, db,
	    JOINED " WHERE r.task = ?1 AND r.state <> 'waiting'"
		   " AND (r.block, r.target, r.action) > (?2, ?3, ?4)"
		   " ORDER BY r.block, r.target, r.action LIMIT ?5");
	query_u64(&q, number);
	query_int(&q, after == NULL ? -1 : (int64_t)after->block);
	query_int(&q, after == NULL ? -1 : (int64_t)after->target);
	query_int(&q, after == NULL ? -1 : (int64_t)after->action);
	query_int(&q, most);
	while (n < most && query_step(&q) == RC_OK)
		read_joined(&q, &all[n++]);
	rc = list_end(&q, q.rc);
	if (rc != RC_OK) {
		free(all);
		return rc;
	}
	*rows = all;
	*count = n;
	return RC_OK;
}

enum rc store_run_get(
    struct db *db, const struct run_key *key, struct store_run *out)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    JOINED " WHERE r.task = ? AND r.block = ? AND r.target = ?"
		   " AND r.action = ?");
	task_bind_key(&q, key);
	rc = query_step(&q);
	*out = (struct store_run){ .has_progress = false };
	if (rc == RC_OK)
		read_joined(&q, out);
	query_end(&q);
	return rc;
}

enum rc store_run_by_ticket(
    struct db *db, const char *ticket, struct run_key *out)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "SELECT task, block, target, action FROM run WHERE ticket = ?");
	query_text(&q, ticket);
	rc = query_step(&q);
	if (rc == RC_OK) {
		out->task = query_get_u64(&q, 0);
		out->block = (uint32_t)query_get_u64(&q, 1);
		out->target = (uint32_t)query_get_u64(&q, 2);
		out->action = (uint32_t)query_get_u64(&q, 3);
	}
	query_end(&q);
	return rc;
}

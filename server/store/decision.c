#include "server/store/decision.h"

#include "server/store/list.h"
#include "server/store/task_read.h"

#include <stdlib.h>

/* Of an approval, in the table. */
#define NO_INDEX (-1)

#define COLUMNS                                                                \
	"d.block, CASE WHEN d.target < 0 THEN 0 ELSE d.target END,"            \
	" CASE WHEN d.action < 0 THEN 0 ELSE d.action END, d.attempt, d.verb," \
	" d.who, d.note, d.at_ms"
#define ORDER(way)                                                             \
	" ORDER BY d.at_ms" way ", d.block" way ", d.attempt" way              \
	", d.target" way ", d.action" way

static void read_row(struct query *q, uint64_t number, struct store_decision *d)
{
	*d = (struct store_decision){
		.key = { .task = number,
		    .block = (uint32_t)query_get_u64(q, 0),
		    .target = (uint32_t)query_get_u64(q, 1),
		    .action = (uint32_t)query_get_u64(q, 2) },
		.attempt = (uint32_t)query_get_u64(q, 3),
		.at_ms = query_get_u64(q, 7)
	};
	if (task_verb_parse(query_get_text(q, 4), &d->verb) != RC_OK)
		d->verb = VERB_COUNT;
	query_copy_text(q, 5, d->who, sizeof(d->who));
	query_copy_text(q, 6, d->note, sizeof(d->note));
}

/* Of a query whose parameters are all this number. */
static enum rc read_all(struct query *q, uint64_t number,
    struct store_decision **rows, size_t *count)
{
	struct store_decision *all = NULL, *more;
	size_t n = 0, room = 0;
	enum rc rc;

	query_u64(q, number);
	while ((rc = query_step(q)) == RC_OK) {
		if (n == room) {
			room = room * 2 + 16;
			more = realloc(all, room * sizeof(*all));
			if (more == NULL) {
				rc = RC_NOMEM;
				break;
			}
			all = more;
		}
		read_row(q, number, &all[n++]);
	}
	rc = list_end(q, rc);
	if (rc != RC_OK) {
		free(all);
		return rc;
	}
	*rows = all;
	*count = n;
	return RC_OK;
}

enum rc store_decision_list(
    struct db *db, uint64_t number, struct store_decision **rows, size_t *count)
{
	struct query q;

	query_start(&q, db,
	    "SELECT " COLUMNS " FROM decision d WHERE d.task = ?1" ORDER(""));
	return read_all(&q, number, rows, count);
}

enum rc store_decision_open(
    struct db *db, uint64_t number, struct store_decision **rows, size_t *count)
{
	struct query q;

	query_start(&q, db,
	    "SELECT " COLUMNS " FROM decision d WHERE d.task = ?1"
	    " AND (EXISTS (SELECT 1 FROM run r WHERE r.task = d.task"
	    "   AND r.block = d.block AND r.target = d.target"
	    "   AND r.action = d.action AND r.attempt = d.attempt"
	    "   AND r.decision = 'waiting')"
	    "  OR (d.target < 0 AND EXISTS (SELECT 1 FROM task t"
	    "   WHERE t.id = d.task AND t.approval = d.block + 1)))" ORDER(""));
	return read_all(&q, number, rows, count);
}

static enum rc count_all(struct db *db, uint64_t number, uint64_t *total)
{
	struct query q;
	enum rc rc;

	query_start(&q, db, "SELECT count(*) FROM decision WHERE task = ?");
	query_u64(&q, number);
	rc = query_step(&q);
	*total = query_get_u64(&q, 0);
	query_end(&q);
	return rc;
}

enum rc store_decision_last(struct db *db, uint64_t number,
    struct store_decision **rows, size_t *count, uint64_t *total)
{
	struct query q;
	enum rc rc = count_all(db, number, total);

	_Static_assert(STORE_DECISIONS_SHOWN == 100, "as below");
	if (rc != RC_OK)
		return rc;
	query_start(&q, db,
	    "SELECT " COLUMNS
	    " FROM decision d WHERE d.task = ?1" ORDER(" DESC") " LIMIT 100");
	rc = read_all(&q, number, rows, count);
	for (size_t i = 0; rc == RC_OK && i < *count / 2; i++) {
		struct store_decision d = (*rows)[i];

		(*rows)[i] = (*rows)[*count - 1 - i];
		(*rows)[*count - 1 - i] = d;
	}
	return rc;
}

static unsigned long long number_of(const struct store_verdict *v)
{
	return (unsigned long long)v->number;
}

static enum rc decided_already(
    const struct store_verdict *v, struct fault *fault)
{
	fault_set(fault, REASON_CONFLICT, "",
	    "task-%llu: somebody has decided this already; see longarm task "
	    "show task-%llu",
	    number_of(v), number_of(v));
	return RC_STATE;
}

#define INSERT                                                                 \
	"INSERT INTO decision(task, block, target, action, attempt, verb,"     \
	" who, note, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"                \
	" ON CONFLICT (task, block, target, action, attempt) DO "

/* run NULL: of the block's approval. */
static void bind(struct query *q, const struct store_verdict *v, uint32_t block,
    const struct run_row *run)
{
	query_u64(q, v->number);
	query_int(q, block);
	query_int(q, run != NULL ? (int64_t)run->key.target : NO_INDEX);
	query_int(q, run != NULL ? (int64_t)run->key.action : NO_INDEX);
	query_int(q, run != NULL ? run->attempt : 0);
	query_text(q, task_verb_name(v->verb));
	query_text(q, v->who);
	query_text(q, text_or_empty(v->note));
	query_u64(q, v->at_ms);
}

static enum rc insert(struct db *db, const struct store_verdict *v,
    uint32_t block, const struct run_row *run, struct fault *fault)
{
	struct query q;
	enum rc rc;

	query_start(&q, db, INSERT "NOTHING RETURNING 1");
	bind(&q, v, block, run);
	rc = query_step(&q);
	if (rc == RC_OK)
		return query_run(&q, NULL);
	query_end(&q);
	return rc == RC_NOTFOUND ? decided_already(v, fault) : rc;
}

/* In the place of what was said while it waited: nothing else is to follow
 * from that any more, and the audit keeps both. */
static enum rc replace(
    struct db *db, const struct store_verdict *v, const struct run_row *run)
{
	struct query q;

	query_start(&q, db,
	    INSERT "UPDATE SET verb = excluded.verb, who = excluded.who,"
		   " note = excluded.note, at_ms = excluded.at_ms");
	bind(&q, v, run->key.block, run);
	return query_run(&q, NULL);
}

/* ---- approvals ---- */

static enum rc decide_approval(struct db *db, const struct store_verdict *v,
    const struct store_task *task, struct fault *fault)
{
	if (task->row.approval == 0) {
		fault_set(fault, REASON_CONFLICT, "",
		    "task-%llu does not wait for an approval (%s)",
		    number_of(v), task_state_name(task->row.state));
		return RC_STATE;
	}
	return insert(db, v, task->row.approval - 1, NULL, fault);
}

/* ---- runs ---- */

#define FROM_FITTING                                                           \
	" FROM run r"                                                          \
	" JOIN action a ON a.task = r.task AND a.block = r.block"              \
	"  AND a.ordinal = r.action"                                           \
	" JOIN block_target t ON t.task = r.task AND t.block = r.block"        \
	"  AND t.ordinal = r.target"                                           \
	" JOIN task_machine m ON m.task = r.task AND m.ordinal = t.machine"    \
	" WHERE r.task = ?1 AND (?2 = '' OR m.name = ?2 OR m.id = ?2)"         \
	" AND (?3 = '' OR a.name = ?3) AND "

#define FITTING    "SELECT " RUN_COLUMNS FROM_FITTING
#define UNKNOWN    "r.state = 'unknown' AND r.decision = ''"
#define IS_WAITING "r.decision = 'waiting'"

/* At most STORE_DECISIONS_MAX, in the plan's order. */
#define IN_ORDER " ORDER BY r.block, r.target, r.action LIMIT 1000"

/* It waits until the engine has heard of what was said. */
#define NOT_DECIDED                                                            \
	" AND NOT EXISTS (SELECT 1 FROM decision d WHERE d.task = r.task"      \
	"  AND d.block = r.block AND d.target = r.target"                      \
	"  AND d.action = r.action AND d.attempt = r.attempt)"

_Static_assert(STORE_DECISIONS_MAX == 1000, "as in IN_ORDER");

static enum rc find_runs(struct db *db, const char *sql,
    const struct store_verdict *v, struct run_row **rows, uint32_t *count)
{
	struct run_row *all = calloc(STORE_DECISIONS_MAX, sizeof(*all));
	struct query q;
	uint32_t n = 0;
	enum rc rc;

	if (all == NULL)
		return RC_NOMEM;
	query_start(&q, db, sql);
	query_u64(&q, v->number);
	query_text(&q, text_or_empty(v->machine));
	query_text(&q, text_or_empty(v->step));
	while (n < STORE_DECISIONS_MAX && query_step(&q) == RC_OK)
		task_read_run(&q, &all[n++]);
	rc = list_end(&q, q.rc);
	if (rc != RC_OK) {
		free(all);
		return rc;
	}
	*rows = all;
	*count = n;
	return RC_OK;
}

static enum rc none_waits(const struct store_verdict *v, struct fault *fault)
{
	fault_set(fault, REASON_CONFLICT, "",
	    "task-%llu: nothing%s%.63s%s%.63s waits for a person; see longarm "
	    "task show task-%llu",
	    number_of(v), v->machine != NULL ? " on " : "",
	    text_or_empty(v->machine), v->step != NULL ? " in " : "",
	    text_or_empty(v->step), number_of(v));
	return RC_STATE;
}

static enum rc may_decide(const struct store_verdict *v,
    const struct run_row *run, struct fault *fault)
{
	if (v->verb == VERB_RETRY &&
	    !run_may_retry(run->attempt, run->former_count)) {
		fault_set(fault, REASON_TOO_MANY, "",
		    "attempt %u was the last: %u earlier tickets may still "
		    "run; find out how it ended and say so: longarm task "
		    "resolve",
		    run->attempt, run->former_count);
		return RC_STATE;
	}
	if ((v->verb == VERB_SUCCEEDED || v->verb == VERB_FAILED) &&
	    run->state != RUN_UNKNOWN) {
		fault_set(fault, REASON_CONFLICT, "",
		    "it is known how that ended: %s",
		    run_state_name(run->state));
		return RC_STATE;
	}
	return RC_OK;
}

/* Nothing is left to decide: was there ever? */
static enum rc explain_none(
    struct db *db, const struct store_verdict *v, struct fault *fault)
{
	struct run_row *rows = NULL;
	uint32_t count = 0;
	enum rc rc =
	    find_runs(db, FITTING IS_WAITING " LIMIT 1", v, &rows, &count);

	free(rows);
	if (rc != RC_OK)
		return rc;
	return count > 0 ? decided_already(v, fault) : none_waits(v, fault);
}

static enum rc decide_runs(struct db *db, const struct store_verdict *v,
    uint32_t *count, struct fault *fault)
{
	struct run_row *rows = NULL;
	enum rc rc = find_runs(
	    db, FITTING IS_WAITING NOT_DECIDED IN_ORDER, v, &rows, count);

	if (rc == RC_OK && *count == 0)
		rc = explain_none(db, v, fault);
	for (uint32_t i = 0; rc == RC_OK && i < *count; i++) {
		rc = may_decide(v, &rows[i], fault);
		if (rc == RC_OK)
			rc = insert(db, v, rows[i].key.block, &rows[i], fault);
	}
	free(rows);
	return rc;
}

enum rc store_decide(struct db *db, const struct store_verdict *v,
    uint32_t *count, struct fault *fault)
{
	struct store_task task;
	enum rc rc = store_task_get(db, v->number, &task, fault);

	*count = 1;
	if (rc != RC_OK)
		return rc;
	if (v->verb == VERB_APPROVE || v->verb == VERB_REJECT)
		rc = decide_approval(db, v, &task, fault);
	else
		rc = decide_runs(db, v, count, fault);
	return db_fault(db, rc, fault, "task-%llu", number_of(v));
}

/* ---- after the end ---- */

static enum rc correct_run(
    struct db *db, const struct store_verdict *v, const struct run_row *run)
{
	bool failed = v->verb == VERB_FAILED;
	struct query q;

	query_start(&q, db,
	    "UPDATE run SET state = ?1, doubt = 0, former = '', reason = ?2,"
	    " reason_at = '', reason_text = ?3 WHERE task = ?4 AND block = ?5"
	    " AND target = ?6 AND action = ?7");
	query_text(&q, task_verb_name(v->verb));
	query_text(
	    &q, reason_name(failed ? REASON_SCRIPT_FAILED : REASON_NONE));
	query_text(&q, failed ? TASK_RESOLVED_FAILED : "");
	task_bind_key(&q, &run->key);
	return query_change(&q);
}

/* When nothing of it is unknown any more, it is known by its first failure. */
static enum rc correct_blame(struct db *db, uint64_t number)
{
	struct query q;

	query_start(&q, db,
	    "UPDATE task SET reason = f.reason, reason_at = f.reason_at,"
	    " reason_text = f.text FROM (SELECT r.reason, r.reason_at,"
	    "  m.name || ': ' || a.name || ': ' || r.reason_text AS text"
	    "  FROM run r JOIN action a ON a.task = r.task"
	    "   AND a.block = r.block AND a.ordinal = r.action"
	    "  JOIN block_target t ON t.task = r.task AND t.block = r.block"
	    "   AND t.ordinal = r.target"
	    "  JOIN task_machine m ON m.task = r.task"
	    "   AND m.ordinal = t.machine"
	    "  WHERE r.task = ?1 AND r.state = 'failed' AND r.decision = ''"
	    "  ORDER BY r.ended_ms LIMIT 1) AS f"
	    " WHERE id = ?1 AND state = 'failed' AND task.reason = 'unknown'"
	    " AND NOT EXISTS (SELECT 1 FROM run WHERE task = ?1"
	    "  AND state = 'unknown' AND decision = '')");
	query_u64(&q, number);
	return query_run(&q, NULL);
}

/* Everything ran and nothing went wrong but what a person knows better. */
static enum rc correct_task(struct db *db, uint64_t number)
{
	struct query q;

	query_start(&q, db,
	    "UPDATE task SET state = 'succeeded', reason = 'none',"
	    " reason_at = '', reason_text = '', ok_count = machine_count,"
	    " failed_count = 0, partial = 0 WHERE id = ?1"
	    " AND state = 'failed' AND reason = 'unknown'"
	    " AND NOT EXISTS (SELECT 1 FROM run WHERE task = ?1"
	    "  AND state <> 'succeeded' AND decision <> 'ignored')");
	query_u64(&q, number);
	return query_run(&q, NULL);
}

static enum rc resolve_ended(struct db *db, const struct store_verdict *v,
    uint32_t *count, struct fault *fault)
{
	struct run_row *rows = NULL;
	enum rc rc = find_runs(db, FITTING UNKNOWN IN_ORDER, v, &rows, count);

	if (rc == RC_OK && *count == 0) {
		fault_set(fault, REASON_CONFLICT, "",
		    "task-%llu: of everything that fits it is known how it "
		    "ended",
		    number_of(v));
		rc = RC_STATE;
	}
	for (uint32_t i = 0; rc == RC_OK && i < *count; i++) {
		rc = replace(db, v, &rows[i]);
		if (rc == RC_OK)
			rc = correct_run(db, v, &rows[i]);
	}
	free(rows);
	if (rc == RC_OK)
		rc = correct_task(db, v->number);
	return rc == RC_OK ? correct_blame(db, v->number) : rc;
}

enum rc store_resolve(struct db *db, const struct store_verdict *v,
    uint32_t *count, bool *ended, struct fault *fault)
{
	struct store_task task;
	enum rc rc = store_task_get(db, v->number, &task, fault);

	if (rc != RC_OK)
		return rc;
	*ended = task_state_is_final(task.row.state);
	if (!*ended)
		return store_decide(db, v, count, fault);
	rc = resolve_ended(db, v, count, fault);
	return db_fault(db, rc, fault, "task-%llu", number_of(v));
}

/* ---- what waits ---- */

enum rc store_verdict_left(
    struct db *db, const struct store_verdict *v, bool ended, uint32_t *left)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    ended ? "SELECT count(*)" FROM_FITTING UNKNOWN
		  : "SELECT count(*)" FROM_FITTING IS_WAITING NOT_DECIDED);
	query_u64(&q, v->number);
	query_text(&q, text_or_empty(v->machine));
	query_text(&q, text_or_empty(v->step));
	rc = query_step(&q);
	*left = (uint32_t)query_get_u64(&q, 0);
	query_end(&q);
	return rc;
}

static enum rc read_approval(
    struct db *db, const struct store_task *task, struct store_waiting *out)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "SELECT name, approve FROM block WHERE task = ? AND ordinal = ?");
	query_u64(&q, task->row.number);
	query_int(&q, (int64_t)task->row.approval - 1);
	rc = query_step(&q);
	if (rc == RC_OK) {
		out->approval = true;
		query_copy_text(&q, 0, out->block, sizeof(out->block));
		query_copy_text(&q, 1, out->text, sizeof(out->text));
	}
	query_end(&q);
	return rc;
}

static enum rc read_waiting_runs(struct db *db, const struct store_task *task,
    struct store_waiting *rows, uint32_t limit, size_t *count)
{
	static const struct store_verdict any = { .machine = NULL };
	struct store_verdict v = any;
	struct run_row *found = NULL;
	uint32_t n = 0;
	enum rc rc;

	v.number = task->row.number;
	if (task_state_is_final(task->row.state))
		rc = find_runs(db, FITTING UNKNOWN IN_ORDER, &v, &found, &n);
	else
		rc = find_runs(db, FITTING IS_WAITING IN_ORDER, &v, &found, &n);
	for (uint32_t i = 0; rc == RC_OK && i < n && *count < limit; i++)
		rc = store_run_get(db, &found[i].key, &rows[(*count)++].run);
	free(found);
	return rc;
}

enum rc store_waiting_list(struct db *db, const struct store_task *task,
    uint32_t limit, struct store_waiting **rows, size_t *count)
{
	struct store_waiting *all = calloc((size_t)limit + 1, sizeof(*all));
	size_t n = 0;
	enum rc rc = RC_OK;

	if (all == NULL)
		return RC_NOMEM;
	if (task->row.approval != 0)
		rc = read_approval(db, task, &all[n++]);
	if (rc == RC_OK)
		rc = read_waiting_runs(db, task, all, limit, &n);
	if (rc != RC_OK) {
		free(all);
		return rc;
	}
	*rows = all;
	*count = n;
	return RC_OK;
}

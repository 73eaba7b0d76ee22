#include "server/store/list.h"
#include "server/store/task_read.h"

#include <stdlib.h>

void store_task_rows_clear(struct store_task_rows *r)
{
	task_plan_free(r->plan);
	for (uint32_t i = 0; r->payloads != NULL && i < r->payload_count; i++)
		free(r->payloads[i]);
	free(r->payloads);
	free(r->runs);
	free(r->log_bases);
	free(r->log_sizes);
	*r = (struct store_task_rows){ 0 };
}

/* count(*) of a statement with the parameters task and block. */
static enum rc count_of(struct db *db, const char *sql, uint64_t task,
    uint32_t block, uint32_t *out)
{
	struct query q;
	enum rc rc;

	query_start(&q, db, sql);
	query_u64(&q, task);
	query_int(&q, block);
	rc = query_step(&q);
	if (rc == RC_OK)
		*out = (uint32_t)query_get_u64(&q, 0);
	query_end(&q);
	return rc;
}

static enum rc load_machines(
    struct db *db, struct task_plan *plan, uint32_t room)
{
	struct query q;

	plan->machines = calloc((size_t)room + 1, sizeof(*plan->machines));
	if (plan->machines == NULL)
		return RC_NOMEM;
	query_start(&q, db,
	    "SELECT id, name FROM task_machine WHERE task = ?"
	    " ORDER BY ordinal");
	query_u64(&q, plan->number);
	while (plan->machine_count < room && query_step(&q) == RC_OK) {
		struct task_machine *m = &plan->machines[plan->machine_count++];

		query_copy_text(&q, 0, m->id, sizeof(m->id));
		query_copy_text(&q, 1, m->name, sizeof(m->name));
	}
	return list_end(&q, q.rc);
}

static enum rc load_targets(
    struct db *db, uint64_t task, uint32_t block, struct task_block *b)
{
	struct query q;
	uint32_t room = 0;
	enum rc rc = count_of(db,
	    "SELECT count(*) FROM block_target WHERE task = ? AND block = ?",
	    task, block, &room);

	if (rc != RC_OK)
		return rc;
	b->targets = calloc((size_t)room + 1, sizeof(*b->targets));
	if (b->targets == NULL)
		return RC_NOMEM;
	query_start(&q, db,
	    "SELECT machine FROM block_target WHERE task = ? AND block = ?"
	    " ORDER BY ordinal");
	query_u64(&q, task);
	query_int(&q, block);
	while (b->target_count < room && query_step(&q) == RC_OK)
		b->targets[b->target_count++] = (uint32_t)query_get_u64(&q, 0);
	return list_end(&q, q.rc);
}

static enum rc read_action(struct query *q, struct task_action *a)
{
	query_copy_text(q, 0, a->name, sizeof(a->name));
	a->timeout_ms = query_get_u64(q, 2);
	a->queue_ms = query_get_u64(q, 3);
	a->payload = (uint32_t)query_get_u64(q, 4);
	a->retries = (uint32_t)query_get_u64(q, 5);
	a->rerun_safe = query_get_bool(q, 6);
	return action_type_parse(query_get_text(q, 1), &a->type);
}

static enum rc load_actions(
    struct db *db, uint64_t task, uint32_t block, struct task_block *b)
{
	struct query q;
	uint32_t room = 0;
	enum rc rc = count_of(db,
	    "SELECT count(*) FROM action WHERE task = ? AND block = ?", task,
	    block, &room);

	if (rc != RC_OK)
		return rc;
	b->actions = calloc((size_t)room + 1, sizeof(*b->actions));
	if (b->actions == NULL)
		return RC_NOMEM;
	query_start(&q, db,
	    "SELECT name, type, timeout_ms, queue_ms, payload, retries,"
	    " rerun_safe FROM action WHERE task = ? AND block = ? ORDER BY ordinal");
	query_u64(&q, task);
	query_int(&q, block);
	while (b->action_count < room && query_step(&q) == RC_OK) {
		rc = read_action(&q, &b->actions[b->action_count++]);
		if (rc != RC_OK) {
			query_end(&q);
			return RC_PROTO;
		}
	}
	return list_end(&q, q.rc);
}

static enum rc load_blocks(struct db *db, struct task_plan *plan)
{
	struct query q;
	uint32_t room = 0;
	enum rc rc = count_of(db,
	    "SELECT count(*) FROM block WHERE task = ? AND ordinal >= ?",
	    plan->number, 0, &room);

	if (rc != RC_OK)
		return rc;
	plan->blocks = calloc((size_t)room + 1, sizeof(*plan->blocks));
	if (plan->blocks == NULL)
		return RC_NOMEM;
	query_start(&q, db,
	    "SELECT name, width, max_failures, approve FROM block"
	    " WHERE task = ?"
	    " ORDER BY ordinal");
	query_u64(&q, plan->number);
	while (plan->block_count < room && query_step(&q) == RC_OK) {
		struct task_block *b = &plan->blocks[plan->block_count++];

		query_copy_text(&q, 0, b->name, sizeof(b->name));
		b->window = (uint32_t)query_get_u64(&q, 1);
		b->max_failures = (uint32_t)query_get_u64(&q, 2);
		query_copy_text(&q, 3, b->approve, sizeof(b->approve));
	}
	rc = list_end(&q, q.rc);
	for (uint32_t i = 0; rc == RC_OK && i < plan->block_count; i++) {
		rc = load_targets(db, plan->number, i, &plan->blocks[i]);
		if (rc == RC_OK)
			rc =
			    load_actions(db, plan->number, i, &plan->blocks[i]);
	}
	return rc;
}

static enum rc load_plan(
    struct db *db, struct store_task_rows *out, struct fault *fault)
{
	struct task_plan *plan = calloc(1, sizeof(*plan));
	struct query q;
	enum rc rc;

	if (plan == NULL)
		return RC_NOMEM;
	out->plan = plan;
	plan->number = out->task.row.number;
	plan->kind = out->task.kind;
	query_start(&q, db,
	    "SELECT lane, deadline_ms, limit_ms, guided FROM task"
	    " WHERE id = ?");
	query_u64(&q, plan->number);
	rc = query_step(&q);
	if (rc == RC_OK) {
		query_copy_text(&q, 0, plan->lane, sizeof(plan->lane));
		plan->deadline_ms = query_get_u64(&q, 1);
		plan->limit_ms = query_get_u64(&q, 2);
		plan->guided = query_get_bool(&q, 3);
	}
	query_end(&q);
	if (rc == RC_OK)
		rc = load_machines(db, plan, out->task.machine_count);
	if (rc == RC_OK)
		rc = load_blocks(db, plan);
	return rc == RC_OK ? task_plan_check(plan, fault) : rc;
}

static enum rc load_payloads(struct db *db, struct store_task_rows *out)
{
	struct query q;
	uint32_t room = 0;
	enum rc rc = count_of(db,
	    "SELECT count(*) FROM task_payload WHERE task = ?"
	    " AND ordinal >= ?",
	    out->task.row.number, 0, &room);

	if (rc != RC_OK)
		return rc;
	out->payloads = calloc((size_t)room + 1, sizeof(*out->payloads));
	if (out->payloads == NULL)
		return RC_NOMEM;
	query_start(&q, db,
	    "SELECT body FROM task_payload WHERE task = ? ORDER BY ordinal");
	query_u64(&q, out->task.row.number);
	while (rc == RC_OK && out->payload_count < room) {
		rc = query_step(&q);
		if (rc == RC_OK)
			rc = query_dup_text(
			    &q, 0, &out->payloads[out->payload_count++]);
	}
	return list_end(&q, rc);
}

static enum rc load_runs(struct db *db, struct store_task_rows *out)
{
	struct query q;
	uint32_t room = 0;
	enum rc rc = count_of(db,
	    "SELECT count(*) FROM run WHERE task = ? AND block >= ?",
	    out->task.row.number, 0, &room);

	if (rc != RC_OK)
		return rc;
	out->runs = calloc((size_t)room + 1, sizeof(*out->runs));
	out->log_sizes = calloc((size_t)room + 1, sizeof(*out->log_sizes));
	out->log_bases = calloc((size_t)room + 1, sizeof(*out->log_bases));
	if (out->runs == NULL || out->log_sizes == NULL ||
	    out->log_bases == NULL)
		return RC_NOMEM;
	query_start(&q, db,
	    "SELECT " RUN_COLUMNS " FROM run r WHERE task = ?"
	    " ORDER BY block, target, action");
	query_u64(&q, out->task.row.number);
	while (out->run_count < room && query_step(&q) == RC_OK) {
		task_read_run(&q, &out->runs[out->run_count]);
		out->log_sizes[out->run_count] =
		    query_get_u64(&q, RUN_LOG_SIZE);
		out->log_bases[out->run_count++] =
		    query_get_u64(&q, RUN_LOG_BASE);
	}
	return list_end(&q, q.rc);
}

static int compare_keys(const struct run_key *a, const struct run_key *b)
{
	if (a->block != b->block)
		return a->block < b->block ? -1 : 1;
	if (a->target != b->target)
		return a->target < b->target ? -1 : 1;
	if (a->action != b->action)
		return a->action < b->action ? -1 : 1;
	return 0;
}

/* They came in the order of their keys. */
bool store_task_rows_find(const struct store_task_rows *rows,
    const struct run_key *key, size_t *index)
{
	size_t low = 0, high = rows->run_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare_keys(&rows->runs[middle].key, key);

		if (order == 0) {
			*index = middle;
			return true;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

enum rc store_task_load(struct db *db, uint64_t number,
    struct store_task_rows *out, struct fault *fault)
{
	struct store_task_rows r = { 0 };
	enum rc rc = store_task_get(db, number, &r.task, fault);

	if (rc == RC_OK)
		rc = load_plan(db, &r, fault);
	if (rc == RC_OK)
		rc = load_payloads(db, &r);
	if (rc == RC_OK)
		rc = load_runs(db, &r);
	if (rc == RC_OK) {
		*out = r;
		return RC_OK;
	}
	store_task_rows_clear(&r);
	return db_fault(db, rc, fault, "task-%llu", (unsigned long long)number);
}

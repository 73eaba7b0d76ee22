#include "server/store/list.h"
#include "server/store/task.h"

#include <string.h>

/* ---- the deployment's number ---- */

enum rc store_deployment_next(
    struct db *db, const char *project, const char *environment, uint64_t *out)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "SELECT last + 1 FROM deployment"
	    " WHERE project = ? AND environment = ?");
	query_text(&q, project);
	query_text(&q, environment);
	rc = query_step(&q);
	*out = rc == RC_OK ? query_get_u64(&q, 0) : 1;
	query_end(&q);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc take_deployment(struct db *db, struct store_task *t)
{
	struct query q;
	enum rc rc;

	t->deployment = 0;
	if (t->kind != TASK_DEPLOY)
		return RC_OK;
	query_start(&q, db,
	    "INSERT INTO deployment(project, environment, last)"
	    " VALUES (?, ?, 1) ON CONFLICT (project, environment)"
	    " DO UPDATE SET last = last + 1 RETURNING last");
	query_text(&q, t->project);
	query_text(&q, t->environment);
	rc = query_step(&q);
	if (rc == RC_OK) {
		t->deployment = query_get_u64(&q, 0);
		return query_run(&q, NULL);
	}
	query_end(&q);
	return rc == RC_NOTFOUND ? RC_IO : rc;
}

/* ---- the plan's tables ---- */

static enum rc insert_task(struct db *db, struct store_task_new *n)
{
	struct store_task *t = n->task;
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "INSERT INTO task(kind, state, title, project, release,"
	    " environment, deployment, who, lane, deadline_ms, limit_ms, guided,"
	    " machine_count, created_ms)"
	    " VALUES (?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
	query_text(&q, task_kind_name(t->kind));
	query_text(&q, t->title);
	query_text(&q, t->project);
	query_text(&q, t->release);
	query_text(&q, t->environment);
	query_u64(&q, t->deployment);
	query_text(&q, t->who);
	query_text(&q, n->plan->lane);
	query_u64(&q, n->plan->deadline_ms);
	query_u64(&q, n->plan->limit_ms);
	query_int(&q, n->plan->guided);
	query_int(&q, n->plan->machine_count);
	query_u64(&q, t->created_ms);
	rc = query_run(&q, NULL);
	if (rc != RC_OK)
		return rc;
	t->row = (struct task_row){ .number = (uint64_t)db_last_id(db) };
	t->machine_count = n->plan->machine_count;
	n->plan->number = t->row.number;
	n->plan->kind = t->kind;
	return RC_OK;
}

static enum rc insert_machines(struct db *db, const struct task_plan *plan)
{
	enum rc rc = RC_OK;

	for (uint32_t i = 0; rc == RC_OK && i < plan->machine_count; i++) {
		struct query q;

		query_start(&q, db,
		    "INSERT INTO task_machine(task, ordinal, id, name)"
		    " VALUES (?, ?, ?, ?)");
		query_u64(&q, plan->number);
		query_int(&q, i);
		query_text(&q, plan->machines[i].id);
		query_text(&q, plan->machines[i].name);
		rc = query_run(&q, NULL);
	}
	return rc;
}

static enum rc insert_payloads(struct db *db, const struct store_task_new *n)
{
	enum rc rc = RC_OK;

	for (uint32_t i = 0; rc == RC_OK && i < n->payload_count; i++) {
		struct query q;

		query_start(&q, db,
		    "INSERT INTO task_payload(task, ordinal, body)"
		    " VALUES (?, ?, ?)");
		query_u64(&q, n->plan->number);
		query_int(&q, i);
		query_text(&q, n->payloads[i]);
		rc = query_run(&q, NULL);
	}
	return rc;
}

static enum rc insert_targets(
    struct db *db, uint64_t task, uint32_t block, const struct task_block *b)
{
	enum rc rc = RC_OK;

	for (uint32_t i = 0; rc == RC_OK && i < b->target_count; i++) {
		struct query q;

		query_start(&q, db,
		    "INSERT INTO block_target(task, block, ordinal, machine)"
		    " VALUES (?, ?, ?, ?)");
		query_u64(&q, task);
		query_int(&q, block);
		query_int(&q, i);
		query_int(&q, b->targets[i]);
		rc = query_run(&q, NULL);
	}
	return rc;
}

static enum rc insert_actions(
    struct db *db, uint64_t task, uint32_t block, const struct task_block *b)
{
	enum rc rc = RC_OK;

	for (uint32_t i = 0; rc == RC_OK && i < b->action_count; i++) {
		const struct task_action *a = &b->actions[i];
		struct query q;

		query_start(&q, db,
		    "INSERT INTO action(task, block, ordinal, name, type,"
		    " timeout_ms, queue_ms, payload, retries, rerun_safe)"
		    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
		query_u64(&q, task);
		query_int(&q, block);
		query_int(&q, i);
		query_text(&q, a->name);
		query_text(&q, action_type_name(a->type));
		query_u64(&q, a->timeout_ms);
		query_u64(&q, a->queue_ms);
		query_int(&q, a->payload);
		query_int(&q, a->retries);
		query_int(&q, a->rerun_safe);
		rc = query_run(&q, NULL);
	}
	return rc;
}

static enum rc insert_blocks(struct db *db, const struct task_plan *plan)
{
	enum rc rc = RC_OK;

	for (uint32_t i = 0; rc == RC_OK && i < plan->block_count; i++) {
		const struct task_block *b = &plan->blocks[i];
		struct query q;

		query_start(&q, db,
		    "INSERT INTO block(task, ordinal, name, width,"
		    " max_failures, approve) VALUES (?, ?, ?, ?, ?, ?)");
		query_u64(&q, plan->number);
		query_int(&q, i);
		query_text(&q, b->name);
		query_int(&q, b->window);
		query_int(&q, b->max_failures);
		query_text(&q, b->approve);
		rc = query_run(&q, NULL);
		if (rc == RC_OK)
			rc = insert_targets(db, plan->number, i, b);
		if (rc == RC_OK)
			rc = insert_actions(db, plan->number, i, b);
	}
	return rc;
}

static enum rc check_payloads(
    const struct store_task_new *n, struct fault *fault)
{
	if (n->payload_count > STORE_PAYLOADS_MAX) {
		fault_set(fault, REASON_TOO_MANY, "",
		    "task: more than %u payloads", STORE_PAYLOADS_MAX);
		return RC_LIMIT;
	}
	for (uint32_t i = 0; i < n->payload_count; i++) {
		if (strlen(n->payloads[i]) > STORE_PAYLOAD_MAX) {
			fault_set(fault, REASON_TOO_MANY, "",
			    "task: an action with its script and variables "
			    "is larger than %u bytes",
			    STORE_PAYLOAD_MAX);
			return RC_LIMIT;
		}
	}
	return RC_OK;
}

enum rc store_task_create(
    struct db *db, struct store_task_new *n, struct fault *fault)
{
	enum rc rc = check_payloads(n, fault);

	if (rc == RC_OK)
		rc = take_deployment(db, n->task);
	if (rc == RC_OK)
		rc = insert_task(db, n);
	if (rc == RC_OK)
		rc = task_plan_check(n->plan, fault);
	if (rc == RC_OK)
		rc = insert_machines(db, n->plan);
	if (rc == RC_OK)
		rc = insert_payloads(db, n);
	if (rc == RC_OK)
		rc = insert_blocks(db, n->plan);
	return db_fault(db, rc, fault, "task");
}

/* api_tasks.c - tasks: list, show with blocks, machines and runs, cancel. */
#include "server/api/decide.h"
#include "server/api/routes.h"
#include "server/api/task_log.h"
#include "server/api/wire.h"

#include <stdio.h>
#include <stdlib.h>

#define RUNS_PAGE 200

static enum rc read_filter(struct api_call *call, struct store_task_filter *out)
{
	const char *kind = call_query(call, "kind");
	const char *state = call_query(call, "state");

	*out = (struct store_task_filter){
		.project = call_query(call, "project"),
		.environment = call_query(call, "environment"),
		.kind = TASK_KIND_COUNT,
		.state = TASK_STATE_COUNT,
	};
	if (kind != NULL && task_kind_parse(kind, &out->kind) != RC_OK)
		return call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
		    "kind must be deploy, run or health");
	if (state == NULL)
		return RC_OK;
	out->open_only = state[0] == 'o' && state[1] == 'p';
	if (!out->open_only && task_state_parse(state, &out->state) != RC_OK)
		return call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
		    "state must be open, queued, running, cancelling, "
		    "succeeded, failed or cancelled");
	return RC_OK;
}

/* A task of no environment is for those who may see all. */
static bool sees_task(
    const struct api_call *call, const struct store_task *task)
{
	return call->caller.environments.count == 0 ||
	       (task->environment[0] != '\0' &&
		   caller_sees(&call->caller, task->environment));
}

static enum rc list(struct api_call *call, struct db *db)
{
	const char *cursor = call_query(call, "cursor");
	struct store_task_page page = {
		.before = cursor != NULL ? strtoull(cursor, NULL, 10) : 0,
		.limit = (uint32_t)call_number(call, "limit", 50)
	};
	struct store_task_filter filter;
	struct store_task *rows = NULL;
	size_t count = 0;
	char next[32];
	json_t *items = json_array();
	enum rc rc = read_filter(call, &filter);

	if (rc == RC_OK)
		rc = store_task_list(db, &filter, &page, &rows, &count);
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		if (!sees_task(call, &rows[i]))
			continue;
		if (json_array_append_new(items, wire_task(&rows[i])) != 0)
			rc = RC_NOMEM;
	}
	if (rc == RC_OK && count > 0)
		(void)snprintf(next, sizeof(next), "%llu",
		    (unsigned long long)rows[count - 1].row.number);
	if (rc == RC_OK)
		rc = call_answer_list(call, json_incref(items),
		    count > 0 && count == page.limit ? next : NULL);
	json_decref(items);
	free(rows);
	return rc;
}

enum rc task_load(struct api_call *call, struct db *db, struct store_task *out)
{
	enum rc rc = wire_task_number(call, &call->number);

	if (rc == RC_OK)
		rc = store_task_get(db, call->number, out, &call->fault);
	if (rc == RC_OK)
		rc = api_may(call,
		    out->environment[0] != '\0' ? out->environment : NULL);
	return rc;
}

static enum rc show(struct api_call *call, struct db *db)
{
	struct store_task task;
	json_t *answer = NULL;
	enum rc rc = task_load(call, db, &task);

	if (rc == RC_OK)
		answer = wire_task(&task);
	if (rc == RC_OK)
		rc = task_waits_json(db, &task, answer);
	if (rc == RC_OK)
		return call_answer(call, 200, answer);
	json_decref(answer);
	return rc;
}

static json_t *progress_json(const struct store_run *r)
{
	if (!r->has_progress)
		return json_null();
	return json_pack("{s:I, s:o, s:I}", "percent", (json_int_t)r->percent,
	    "text", json_safe(r->said), "warnings", (json_int_t)r->warnings);
}

/* Null unless it ended with one: not while it runs, nor after a signal or
 * where nothing was started. */
static json_t *exit_json(const struct store_run *r)
{
	bool runs =
	    r->type == ACTION_TYPE_SCRIPT || r->type == ACTION_TYPE_ACTIVATE;

	if (r->row.exit_code != 0 || (runs && r->row.state == RUN_SUCCEEDED))
		return json_integer(r->row.exit_code);
	return json_null();
}

static json_t *run_json(const struct store_run *r)
{
	char id[48];

	(void)snprintf(id, sizeof(id), "%u-%u-%u", r->row.key.block,
	    r->row.key.target, r->row.key.action);
	return json_pack("{s:s, s:o, s:o, s:o, s:s, s:s, s:s, s:o, s:i, s:I, "
			 "s:I, s:I, s:I, s:s, s:I, s:I, s:s, s:o, s:o}",
	    "run", id, "block", json_safe(r->block), "machine",
	    json_safe(r->machine), "step", json_safe(r->action), "type",
	    action_type_name(r->type), "state", run_state_name(r->row.state),
	    "ticket", r->row.ticket, "exit_code", exit_json(r), "signal",
	    (int)r->row.signal, "tries", (json_int_t)r->row.tries,
	    "starting_ms", (json_int_t)r->row.starting_ms, "running_ms",
	    (json_int_t)r->row.running_ms, "ended_ms",
	    (json_int_t)r->row.ended_ms, "health",
	    machine_health_name(r->row.health), "log_size",
	    (json_int_t)r->log_size, "attempt", (json_int_t)r->row.attempt,
	    "decision", run_decision_name(r->row.decision), "fault",
	    wire_fault(&r->row.fault), "progress", progress_json(r));
}

/* "0-12-1" */
static bool parse_run(const char *text, struct run_key *out)
{
	uint32_t *const to[] = { &out->block, &out->target, &out->action };

	for (size_t i = 0; i < 3; i++) {
		char *end;
		unsigned long n = strtoul(text, &end, 10);

		if (*text < '0' || *text > '9' || n > TASK_RUNS_MAX ||
		    *end != (i < 2 ? '-' : '\0'))
			return false;
		*to[i] = (uint32_t)n;
		text = end + 1;
	}
	return true;
}

static enum rc runs(struct api_call *call, struct db *db)
{
	const char *cursor = call_query(call, "cursor");
	uint32_t limit = (uint32_t)call_number(call, "limit", RUNS_PAGE);
	struct store_task task;
	struct store_run *rows = NULL;
	struct run_key after = { 0 };
	size_t count = 0;
	char next[48];
	json_t *items = json_array();
	enum rc rc = task_load(call, db, &task);

	after.task = call->number;
	if (rc == RC_OK && cursor != NULL && !parse_run(cursor, &after))
		rc = call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
		    "cursor: not one of ours");
	if (rc == RC_OK)
		rc = store_run_list(db, call->number,
		    cursor != NULL ? &after : NULL, limit, &rows, &count);
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		if (json_array_append_new(items, run_json(&rows[i])) != 0)
			rc = RC_NOMEM;
	}
	if (rc == RC_OK && count > 0)
		(void)snprintf(next, sizeof(next), "%u-%u-%u",
		    rows[count - 1].row.key.block,
		    rows[count - 1].row.key.target,
		    rows[count - 1].row.key.action);
	if (rc == RC_OK)
		rc = call_answer_list(call, json_incref(items),
		    count > 0 && count == limit ? next : NULL);
	json_decref(items);
	free(rows);
	return rc;
}

static enum rc cancel(struct api_call *call, struct db *db)
{
	struct store_task task;
	enum rc rc = task_load(call, db, &task);

	if (rc == RC_OK)
		rc = store_task_cancel(
		    db, call->number, call->caller.who, &call->fault);
	if (rc == RC_OK)
		rc = store_task_get(db, call->number, &task, &call->fault);
	if (rc != RC_OK)
		return rc;
	call->event = API_EVENT_TASK_CANCEL;
	return call_answer(call, 202, wire_task(&task));
}

static const struct route_field list_query[] = {
	{ "kind", ROUTE_TEXT, false, 16, "deploy, run or health", NULL },
	{ "state", ROUTE_TEXT, false, 16, "A state, or open", NULL },
	{ "project", ROUTE_TEXT, false, LIMIT_NAME, "Only its tasks", NULL },
	{ "environment", ROUTE_TEXT, false, LIMIT_NAME, "Only its tasks",
	    NULL },
	{ .name = NULL },
};

static const struct route_field log_query[] = {
	{ "after", ROUTE_TEXT, false, LOG_CURSOR_TEXT,
	    "The cursor of the answer before", NULL },
	{ "wait", ROUTE_NUMBER, false, TASK_LOG_WAIT_MAX_S,
	    "Seconds to wait for more", NULL },
	{ .name = NULL },
};

const struct route task_routes[] = {
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/tasks",
	    .operation = "task.list",
	    .summary = "List tasks, newest first",
	    .access = ROUTE_KEY,
	    .permission = PERM_TASK_VIEW,
	    .query = list_query,
	    .paged = true,
	    .handler = list },
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/tasks/{id}",
	    .operation = "task.show",
	    .summary = "Show a task",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_TASK_VIEW,
	    .handler = show },
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/tasks/{id}/runs",
	    .operation = "task.runs",
	    .summary = "Its runs by block, machine and step, once started",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_TASK_VIEW,
	    .paged = true,
	    .handler = runs },
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/tasks/{id}/log",
	    .operation = "task.log",
	    .summary = "New output of its runs; waits for it when asked to",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_TASK_VIEW,
	    .query = log_query,
	    .handler = task_log_look,
	    .after = task_log_answer },
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/tasks/{id}/cancel",
	    .operation = "task.cancel",
	    .summary = "Ask a task to stop",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_DEPLOY,
	    .body = ROUTE_JSON,
	    .handler = cancel },
	{ .pattern = NULL },
};

/* api_decide.c - what people say to tasks that wait for them. */
#include "server/api/decide.h"
#include "server/api/routes.h"
#include "server/api/task_log.h"
#include "server/api/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAITING_SHOWN 100u

/* ---- what it waits for ---- */

static const char *kind_of(const struct store_waiting *w)
{
	if (w->approval)
		return "approval";
	return w->run.row.state == RUN_UNKNOWN ? "unknown" : "failure";
}

static json_t *waiting_json(const struct store_waiting *w)
{
	const struct store_run *r = &w->run;

	if (w->approval)
		return json_pack("{s:s, s:o, s:o}", "kind", kind_of(w), "step",
		    json_safe(w->block), "text", json_safe(w->text));
	return json_pack("{s:s, s:o, s:o, s:o, s:I, s:s, s:I, s:b}", "kind",
	    kind_of(w), "machine", json_safe(r->machine), "step",
	    json_safe(r->action), "text", json_safe(r->row.fault.text),
	    "attempt", (json_int_t)r->row.attempt, "state",
	    run_state_name(r->row.state), "ended_ms",
	    (json_int_t)r->row.ended_ms, "decides",
	    r->row.decision == DECISION_WAITING ? 1 : 0);
}

static json_t *decision_json(const struct store_decision *d)
{
	char run[48] = "";

	if (d->attempt > 0)
		(void)snprintf(run, sizeof(run), "%u-%u-%u", d->key.block,
		    d->key.target, d->key.action);
	return json_pack("{s:s, s:s, s:I, s:o, s:o, s:I}", "verb",
	    task_verb_name(d->verb), "run", run, "attempt",
	    (json_int_t)d->attempt, "who", json_safe(d->who), "note",
	    json_safe(d->note), "at_ms", (json_int_t)d->at_ms);
}

static enum rc add_waiting(
    struct db *db, const struct store_task *task, json_t *array)
{
	struct store_waiting *rows = NULL;
	size_t count = 0;
	enum rc rc = store_waiting_list(db, task, WAITING_SHOWN, &rows, &count);

	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		if (json_array_append_new(array, waiting_json(&rows[i])) != 0)
			rc = RC_NOMEM;
	}
	free(rows);
	return rc;
}

static enum rc add_decisions(struct db *db, const struct store_task *task,
    json_t *array, uint64_t *total)
{
	struct store_decision *rows = NULL;
	size_t count = 0;
	enum rc rc =
	    store_decision_last(db, task->row.number, &rows, &count, total);

	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		if (json_array_append_new(array, decision_json(&rows[i])) != 0)
			rc = RC_NOMEM;
	}
	free(rows);
	return rc;
}

enum rc task_waits_json(
    struct db *db, const struct store_task *task, json_t *out)
{
	json_t *waiting = json_array(), *decisions = json_array();
	uint64_t total = 0;
	enum rc rc = add_waiting(db, task, waiting);

	if (rc == RC_OK)
		rc = add_decisions(db, task, decisions, &total);
	if (json_object_set_new(out, "interruptions", waiting) != 0 ||
	    json_object_set_new(out, "decisions", decisions) != 0 ||
	    json_object_set_new(
		out, "decision_count", json_integer((json_int_t)total)) != 0)
		rc = rc == RC_OK ? RC_NOMEM : rc;
	return rc;
}

/* ---- what is said ---- */

static struct store_verdict verdict_of(
    const struct api_call *call, enum task_verb verb)
{
	return (struct store_verdict){ .number = call->number,
		.verb = verb,
		.machine = call_text(call, "machine"),
		.step = call_text(call, "step"),
		.who = call->caller.who,
		.note = call_text(call, "note"),
		.at_ms = (uint64_t)call->now_ms };
}

/* The audit's object: which task, what was said, and why. */
static void describe(struct api_call *call, const struct store_verdict *v)
{
	(void)snprintf(call->object, sizeof(call->object),
	    "task-%llu %s%s%.60s%s%.60s%s%.80s", (unsigned long long)v->number,
	    task_verb_name(v->verb), v->machine != NULL ? " on " : "",
	    v->machine != NULL ? v->machine : "", v->step != NULL ? " in " : "",
	    v->step != NULL ? v->step : "",
	    v->note != NULL && *v->note != '\0' ? ": " : "",
	    v->note != NULL ? v->note : "");
}

static enum rc answer(struct api_call *call, struct db *db,
    const struct store_verdict *v, uint32_t count)
{
	struct store_task task;
	uint32_t left = 0;
	json_t *body;
	enum rc rc = store_task_get(db, call->number, &task, &call->fault);

	if (rc == RC_OK && count == STORE_DECISIONS_MAX)
		rc = store_verdict_left(
		    db, v, task_state_is_final(task.row.state), &left);
	if (rc != RC_OK)
		return rc;
	body = wire_task(&task);
	if (json_object_set_new(body, "decided", json_integer(count)) != 0 ||
	    json_object_set_new(body, "left", json_integer(left)) != 0)
		rc = RC_NOMEM;
	if (rc == RC_OK)
		return call_answer(call, 202, body);
	json_decref(body);
	return rc;
}

static enum rc decide_as(
    struct api_call *call, struct db *db, enum task_verb verb)
{
	struct store_verdict v;
	struct store_task task;
	uint32_t count = 0;
	enum rc rc = task_load(call, db, &task);

	if (rc != RC_OK)
		return rc;
	v = verdict_of(call, verb);
	rc = store_decide(db, &v, &count, &call->fault);
	if (rc != RC_OK)
		return rc;
	call->event = API_EVENT_TASK_DECIDED;
	describe(call, &v);
	return answer(call, db, &v, count);
}

static enum rc decide(struct api_call *call, struct db *db)
{
	const char *word = call_text(call, "verb");
	enum task_verb verb;

	if (task_verb_parse(word, &verb) != RC_OK || verb > VERB_EXCLUDE)
		return call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
		    "verb must be retry, ignore, fail or exclude, not %.30s",
		    word);
	return decide_as(call, db, verb);
}

static enum rc approve(struct api_call *call, struct db *db)
{
	return decide_as(call, db,
	    call_bool(call, "reject", false) ? VERB_REJECT : VERB_APPROVE);
}

static enum rc resolve(struct api_call *call, struct db *db)
{
	const char *word = call_text(call, "outcome");
	struct store_verdict v;
	struct store_task task;
	enum task_verb verb;
	uint32_t count = 0;
	bool ended = false;
	enum rc rc = task_load(call, db, &task);

	if (rc != RC_OK)
		return rc;
	if (task_verb_parse(word, &verb) != RC_OK || verb < VERB_SUCCEEDED)
		return call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
		    "outcome must be succeeded or failed, not %.30s", word);
	v = verdict_of(call, verb);
	rc = store_resolve(db, &v, &count, &ended, &call->fault);
	if (rc != RC_OK)
		return rc;
	call->event = ended ? API_EVENT_NONE : API_EVENT_TASK_DECIDED;
	describe(call, &v);
	return answer(call, db, &v, count);
}

#define NOTE_MAX (STORE_NOTE_SIZE - 1)

static const struct route_field decide_fields[] = {
	{ "verb", ROUTE_TEXT, true, 16, "retry, ignore, fail or exclude",
	    NULL },
	{ "machine", ROUTE_TEXT, false, LIMIT_NAME, "Only there", NULL },
	{ "step", ROUTE_TEXT, false, TASK_NAME_SIZE - 1, "Only this one",
	    NULL },
	{ "note", ROUTE_TEXT, false, NOTE_MAX, "Why", NULL },
	{ .name = NULL },
};

static const struct route_field approve_fields[] = {
	{ "reject", ROUTE_BOOL, false, 0, "No: the task ends", NULL },
	{ "note", ROUTE_TEXT, false, NOTE_MAX, "Why", NULL },
	{ .name = NULL },
};

static const struct route_field resolve_fields[] = {
	{ "outcome", ROUTE_TEXT, true, 16, "succeeded or failed", NULL },
	{ "machine", ROUTE_TEXT, false, LIMIT_NAME, "Only there", NULL },
	{ "step", ROUTE_TEXT, false, TASK_NAME_SIZE - 1, "Only this one",
	    NULL },
	{ "note", ROUTE_TEXT, true, NOTE_MAX, "How you know", NULL },
	{ .name = NULL },
};

const struct route decide_routes[] = {
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/tasks/{id}/decide",
	    .operation = "task.decide",
	    .summary = "Say how a task goes on after a failure",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_DEPLOY,
	    .body = ROUTE_JSON,
	    .fields = decide_fields,
	    .handler = decide },
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/tasks/{id}/approve",
	    .operation = "task.approve",
	    .summary = "Let a task that asks go on, or not",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_TASK_APPROVE,
	    .body = ROUTE_JSON,
	    .fields = approve_fields,
	    .handler = approve },
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/tasks/{id}/resolve",
	    .operation = "task.resolve",
	    .summary = "Say how runs in unknown ended",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_DEPLOY,
	    .body = ROUTE_JSON,
	    .fields = resolve_fields,
	    .handler = resolve },
	{ .pattern = NULL },
};

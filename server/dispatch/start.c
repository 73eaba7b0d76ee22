/* start.c - the message that starts a script or an activation. */
#include "server/dispatch/work.h"

#include "common/xalloc.h"
#include "proto/feature.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_VERSIONS 3
/* Of one message, which may have 64 KiB in all. */
#define MESSAGE_ROOM (56u << 10)
#define BODY_ROOM    (48u << 10) /* body and variables together */

static char *text_or_null(char *text)
{
	return text[0] != '\0' ? text : NULL;
}

static size_t variables_bytes(const struct work_run *run)
{
	size_t sum = 0;

	for (size_t i = 0; i < run->variables.count; i++)
		sum += strlen(run->variables.items[i].name) +
		       strlen(run->variables.items[i].value) + 8;
	return sum;
}

/* Those of an activation always travel in the message. */
static size_t hooks_bytes(const struct plan_payload *p)
{
	return (p->before != NULL ? strlen(p->before) : 0) +
	       (p->after != NULL ? strlen(p->after) : 0);
}

static uint32_t machine_index(const struct work_run *run)
{
	const struct task_plan *plan = run->task->rows.plan;

	return plan->blocks[run->key.block].targets[run->key.target];
}

/* The release's variables, and what earlier steps have said. */
static enum rc resolve(struct work_run *run, const struct plan *plan,
    const struct plan_machine *machine, struct fault *fault)
{
	struct work_task *task = run->task;
	struct variable_set all = { .items = NULL };
	enum rc rc;

	if (task->outputs == NULL)
		return planner_variables(plan, run->payload, machine,
		    &task->variables, &run->variables, fault);
	rc = variable_set_join(&all, &task->variables, fault);
	if (rc == RC_OK)
		rc = work_outputs_join(run, &all, fault);
	if (rc == RC_OK)
		rc = planner_variables(
		    plan, run->payload, machine, &all, &run->variables, fault);
	variable_set_clear(&all);
	return rc;
}

enum rc start_prepare(struct work_run *run, struct fault *fault)
{
	struct work_task *task = run->task;
	struct store_task *row = &task->rows.task;
	const struct names *roles = &task->roles[machine_index(run)];
	const char *items[STORE_NAMES_MAX];
	const struct plan plan = {
		.task = task->rows.plan,
		.payloads = task->payloads,
		.payload_count = task->payload_count,
		.project = text_or_null(row->project),
		.environment = text_or_null(row->environment),
		.release = text_or_null(row->release),
		.deployment = row->deployment,
	};
	const struct plan_machine machine = { .id = run->machine->id,
		.name = run->machine->name,
		.roles = items,
		.role_count = roles->count,
		.enabled = true };
	enum rc rc;

	for (size_t i = 0; i < roles->count && i < STORE_NAMES_MAX; i++)
		items[i] = roles->at[i];
	resolved_variables_clear(&run->variables);
	rc = resolve(run, &plan, &machine, fault);
	if (rc == RC_OK &&
	    variables_bytes(run) + hooks_bytes(run->payload) > MESSAGE_ROOM) {
		fault_set(fault, REASON_TOO_MANY, "",
		    "%s: variables and scripts for %s have %zu bytes, at most "
		    "%u fit; put long ones into a file of the package",
		    run->machine->name, run->action->name,
		    variables_bytes(run) + hooks_bytes(run->payload),
		    MESSAGE_ROOM);
		resolved_variables_clear(&run->variables);
		rc = RC_LIMIT;
	}
	return rc;
}

bool start_needs_blob(const struct work_run *run)
{
	size_t body;

	if (run->payload->type != ACTION_TYPE_SCRIPT)
		return false;
	body = strlen(run->payload->script);
	return body > SCRIPT_BODY_MAX ||
	       body + variables_bytes(run) > BODY_ROOM;
}

struct split {
	struct msg_pairs plain, secret;
};

static void split_variables(const struct work_run *run, struct split *out)
{
	size_t count = run->variables.count;

	out->plain = (struct msg_pairs){ .items = xcalloc(count + 1,
					     sizeof(struct msg_pair)) };
	out->secret = (struct msg_pairs){ .items = xcalloc(count + 1,
					      sizeof(struct msg_pair)) };
	for (size_t i = 0; i < count; i++) {
		const struct resolved_variable *v = &run->variables.items[i];
		struct msg_pairs *to =
		    v->sensitive ? &out->secret : &out->plain;

		to->items[to->count++] = (struct msg_pair){
			.name = bytes_text(v->name),
			.value = bytes_text(v->value),
		};
	}
}

static void fill_script(
    const struct work_run *run, const struct split *split, struct msg_start *m)
{
	const struct plan_payload *p = run->payload;
	const struct store_task *row = &run->task->rows.task;
	struct msg_script *s = &m->script;

	m->action = ACTION_SCRIPT;
	*s = (struct msg_script){ .name = bytes_text(p->name),
		.environment = split->plain,
		.secrets = split->secret,
		.deployment = row->deployment };
	if (run->body_blob[0] != '\0')
		memcpy(s->blob, run->body_blob, sizeof(s->blob));
	else
		s->body = bytes_text(p->script);
	if (p->package != NULL)
		(void)snprintf(
		    s->package, sizeof(s->package), "%s", p->package);
	(void)snprintf(s->project, sizeof(s->project), "%s", row->project);
}

static void fill_activate(
    const struct work_run *run, const struct split *split, struct msg_start *m)
{
	const struct plan_payload *p = run->payload;
	const struct store_task *row = &run->task->rows.task;
	struct msg_activate *a = &m->activate;

	m->action = ACTION_ACTIVATE;
	*a = (struct msg_activate){ .deployment = row->deployment,
		.variables = split->plain,
		.secrets = split->secret,
		.before = bytes_text(p->before != NULL ? p->before : ""),
		.after = bytes_text(p->after != NULL ? p->after : ""),
		.keep = KEEP_VERSIONS };
	(void)snprintf(a->project, sizeof(a->project), "%s", row->project);
	(void)snprintf(a->package, sizeof(a->package), "%s", p->package);
	(void)snprintf(a->version, sizeof(a->version), "%s", p->version);
	(void)snprintf(a->digest, sizeof(a->digest), "%s", p->digest);
	a->configure.items =
	    xcalloc(p->configure.count + 1, sizeof(*a->configure.items));
	for (size_t i = 0; i < p->configure.count; i++)
		a->configure.items[a->configure.count++] =
		    bytes_text(p->configure.items[i]);
}

static void fill_world(const struct script_world *w, struct msg_start *m)
{
	memcpy(m->user, w->user, sizeof(m->user));
	m->memory = w->memory;
	m->processes = w->processes;
	memcpy(m->lock, w->lock, sizeof(m->lock));
	m->lock_shared = w->lock_shared;
}

/* What earlier attempts left behind: each may still run, or be on its way. */
static size_t fill_former(const struct work_run *run, struct msg_id *out)
{
	struct run_row row;

	if (engine_run_row(run->task->dispatch->engine, &run->key, &row) !=
	    RC_OK)
		return 0;
	for (uint32_t i = 0; i < row.former_count; i++)
		memcpy(out[i].text, row.former[i], sizeof(out[i].text));
	return row.former_count;
}

/* An older tentacle would ignore what it does not know. */
static bool is_understood(struct work_run *run, const struct fleet_call *call)
{
	run->lacks = script_world_needs(&run->payload->world) & ~call->features;
	return run->lacks == 0;
}

void start_lacks(const struct work_run *run, struct fault *fault)
{
	static const char *const what[FEATURE_COUNT] = {
		[FEATURE_USER] = "run a script as another user",
		[FEATURE_LIMITS] = "limit a script's memory or processes",
		[FEATURE_LOCKS] = "keep a lock",
	};
	unsigned first = 0;

	while (
	    first < FEATURE_COUNT - 1 && (run->lacks & FEATURE_BIT(first)) == 0)
		first++;
	fault_set(fault, REASON_VERSION, "",
	    "%s: its tentacle is too old to %s, as '%s' asks; upgrade it",
	    run->machine->name, what[first], run->action->name);
}

enum rc start_encode(
    void *arg, const struct fleet_call *call, struct packbuf *out)
{
	struct work_run *run = arg;
	const struct store_task *row = &run->task->rows.task;
	uint64_t timeout = run->action->timeout_ms;
	struct msg_start m = { .id = call->id,
		.epoch = row->row.epoch,
		.incarnation = *call->incarnation,
		.counter = call->counter,
		.timeout_ms =
		    timeout < UINT32_MAX ? (uint32_t)timeout : UINT32_MAX };
	struct msg_id former[TASK_FORMER_MAX];
	struct split split;
	enum rc rc;

	if (!is_understood(run, call))
		return RC_DENIED;
	m.supersedes.items = former;
	m.supersedes.count = fill_former(run, former);
	memcpy(m.ticket, run->ticket, sizeof(m.ticket));
	(void)snprintf(m.task, sizeof(m.task), "task-%llu",
	    (unsigned long long)row->row.number);
	(void)snprintf(m.journal, sizeof(m.journal), "%s", call->journal);
	fill_world(&run->payload->world, &m);
	split_variables(run, &split);
	if (run->payload->type == ACTION_TYPE_ACTIVATE)
		fill_activate(run, &split, &m);
	else
		fill_script(run, &split, &m);
	rc = msg_start_encode(&m, out);
	if (m.action == ACTION_ACTIVATE)
		free(m.activate.configure.items);
	free(split.plain.items);
	free(split.secret.items);
	return rc;
}

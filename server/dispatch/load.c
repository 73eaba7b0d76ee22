/* load.c - a task from its rows, with the variables of its release. */
#include "server/dispatch/work.h"

#include "common/failpoint.h"
#include "common/hex.h"
#include "common/log.h"
#include "common/secret.h"
#include "common/xalloc.h"
#include "server/api/api.h"
#include "server/process/release_snapshot.h"
#include "server/store/machine.h"
#include "server/store/project.h"

#include <stdlib.h>
#include <string.h>

#define LOADS_MAX 64 /* at a time; the others wait */

struct load {
	struct store_job job;
	STAILQ_ENTRY(load) link;
	struct dispatch *dispatch;
	uint64_t number;
	struct work_task *task;
	char *snapshot; /* of its release; NULL: none */
	struct fault fault;
};

/* ---- SQL thread ---- */

static enum rc load_roles(struct db *db, struct work_task *task)
{
	const struct task_plan *plan = task->rows.plan;

	task->roles =
	    calloc((size_t)plan->machine_count + 1, sizeof(*task->roles));
	if (task->roles == NULL)
		return RC_NOMEM;
	for (uint32_t i = 0; i < plan->machine_count; i++) {
		struct store_machine m = { 0 };
		enum rc rc =
		    store_machine_get(db, plan->machines[i].id, &m, NULL);

		if (rc == RC_OK) {
			task->roles[i] = m.roles;
			m.roles = (struct names){ 0 };
		}
		store_machine_clear(&m);
		if (rc != RC_OK && rc != RC_NOTFOUND)
			return rc;
	}
	return RC_OK;
}

static enum rc load_release(struct db *db, struct load *l)
{
	const struct store_task *t = &l->task->rows.task;
	struct store_release r = { 0 };
	enum rc rc;

	if (t->project[0] == '\0' || t->release[0] == '\0')
		return RC_OK;
	rc = store_release_get(db, t->project, t->release, &r, &l->fault);
	if (rc == RC_OK) {
		l->snapshot = r.snapshot;
		r.snapshot = NULL;
	}
	store_release_clear(&r);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc load(struct db *db, struct store_job *job)
{
	struct load *l = CONTAINER_OF(job, struct load, job);
	const struct dispatch_parts *parts = &l->dispatch->parts;
	const struct store_owner who = { .owner = parts->owner_id,
		.incarnation = parts->incarnation };
	uint64_t epoch;
	enum rc rc = store_task_claim(db, l->number, &who, &epoch);

	if (rc == RC_OK)
		rc = store_task_load(db, l->number, &l->task->rows, &l->fault);
	if (rc != RC_OK)
		return rc;
	l->task->rows.task.row.epoch = epoch;
	rc = store_decision_list(
	    db, l->number, &l->task->decisions, &l->task->decision_count);
	if (rc == RC_OK)
		rc = load_roles(db, l->task);
	if (rc == RC_OK)
		rc = load_release(db, l);
	if (rc == RC_OK)
		rc = work_outputs_load(db, l->task);
	return rc;
}

/* ---- main loop ---- */

static enum rc parse_payloads(struct work_task *task, struct fault *fault)
{
	const struct store_task_rows *rows = &task->rows;

	task->payloads =
	    calloc((size_t)rows->payload_count + 1, sizeof(*task->payloads));
	if (task->payloads == NULL)
		return RC_NOMEM;
	for (uint32_t i = 0; i < rows->payload_count; i++) {
		enum rc rc = plan_payload_from_json(rows->payloads[i],
		    strlen(rows->payloads[i]), &task->payloads[i], fault);

		if (rc != RC_OK)
			return rc;
		task->payload_count++;
	}
	return RC_OK;
}

static enum rc open_value(
    const struct dispatch *d, struct variable *v, struct fault *fault)
{
	char context[API_VARIABLE_CONTEXT_SIZE];
	size_t len = strlen(v->value) / 2;
	uint8_t *wrapped = malloc(len + 1);
	char *plain = calloc(1, len + 1);
	struct fault why = { .code = REASON_NONE };
	enum rc rc = RC_NOMEM;

	if (wrapped == NULL || plain == NULL)
		goto out;
	rc = hex_decode(v->value, wrapped, len);
	if (rc == RC_OK && len < WRAP_OVERHEAD)
		rc = RC_PROTO;
	if (rc != RC_OK)
		goto out;
	api_variable_context(v->name, context);
	rc = wrap_open(
	    d->parts.master, context, wrapped, len, (uint8_t *)plain, &why);
	if (rc != RC_OK)
		goto out;
	plain[len - WRAP_OVERHEAD] = '\0';
	free(v->value);
	v->value = plain;
	v->wrapped = false;
	plain = NULL;
out:
	if (rc != RC_OK)
		fault_set(fault, REASON_INTERNAL, "",
		    "the value of variable %.100s cannot be unwrapped: %.100s",
		    v->name, why.code != REASON_NONE ? why.text : rc_name(rc));
	free(plain);
	free(wrapped);
	return rc;
}

static enum rc take_variables(const struct dispatch *d, struct load *l)
{
	struct work_task *task = l->task;
	struct release_snapshot *snapshot = NULL;
	struct process *process = NULL;
	enum rc rc = release_snapshot_parse(
	    l->snapshot, strlen(l->snapshot), &snapshot, &l->fault);

	if (rc == RC_OK)
		rc = process_parse("process.yaml", snapshot->process,
		    strlen(snapshot->process), &process, &l->fault);
	if (rc == RC_OK)
		rc = variable_set_join(
		    &task->variables, &process->variables, &l->fault);
	if (rc == RC_OK)
		rc = variable_set_join(
		    &task->variables, &snapshot->variables, &l->fault);
	for (size_t i = 0; rc == RC_OK && i < task->variables.count; i++) {
		struct variable *v = &task->variables.items[i];

		if (v->wrapped && v->value != NULL)
			rc = open_value(d, v, &l->fault);
	}
	process_free(process);
	release_snapshot_free(snapshot);
	return rc;
}

/* What is wrong with it is told when its first action shall start: then the
 * task fails with these words, as any other does. */
static void prepare(struct dispatch *d, struct load *l)
{
	struct work_task *task = l->task;
	enum rc rc = parse_payloads(task, &l->fault);

	if (rc == RC_OK && l->snapshot != NULL)
		rc = take_variables(d, l);
	else if (rc == RC_OK && task->rows.task.kind == TASK_DEPLOY) {
		fault_set(&l->fault, REASON_NOT_FOUND, "",
		    "release %s of %s does not exist any more",
		    task->rows.task.release, task->rows.task.project);
		rc = RC_NOTFOUND;
	}
	if (rc == RC_OK)
		return;
	if (l->fault.code == REASON_NONE)
		fault_set(&l->fault, REASON_INTERNAL, "",
		    "the task cannot be prepared: %s", rc_name(rc));
	task->fault = l->fault;
}

static void load_free(struct load *l)
{
	if (l->task != NULL)
		work_task_free(l->task);
	if (l->snapshot != NULL)
		secret_wipe(l->snapshot, strlen(l->snapshot));
	free(l->snapshot);
	free(l);
}

static void submit(struct load *l)
{
	l->dispatch->loading++;
	work_submit(l->dispatch, &l->job);
}

/* What waits for its turn. */
static void submit_next(struct dispatch *d)
{
	struct load *next = STAILQ_FIRST(&d->loads);

	if (next == NULL || d->closing)
		return;
	STAILQ_REMOVE_HEAD(&d->loads, link);
	submit(next);
}

static MUST_CHECK enum rc take(struct dispatch *d, struct load *l)
{
	struct work_task *task = l->task;
	struct store_task_rows *rows = &task->rows;
	enum rc rc;

	prepare(d, l);
	rc = engine_task_add(d->engine, rows->plan, &rows->task.row, rows->runs,
	    rows->run_count, &l->fault);
	if (rc != RC_OK)
		return rc;
	TAILQ_INSERT_TAIL(&d->tasks, task, link);
	l->task = NULL;
	work_tell_decisions(d, task->decisions, task->decision_count);
	if (rows->task.cancel_who[0] != '\0')
		dispatch_task_cancel(d, l->number, rows->task.cancel_who);
	work_turn_soon(d);
	return RC_OK;
}

static void loaded(struct store_job *job, enum rc rc)
{
	struct load *l = CONTAINER_OF(job, struct load, job);
	struct dispatch *d = l->dispatch;

	d->loading--;
	failpoint("task.claimed");
	submit_next(d);
	if (!work_closed(d) && work_task_find(d, l->number) == NULL) {
		if (rc == RC_OK)
			rc = take(d, l);
		/* RC_STATE: it has ended meanwhile. */
		if (rc != RC_OK && rc != RC_STATE && rc != RC_NOTFOUND)
			log_error("dispatch", NULL,
			    "task-%llu cannot be loaded: %s",
			    (unsigned long long)l->number,
			    l->fault.code != REASON_NONE ? l->fault.text
							 : rc_name(rc));
	}
	load_free(l);
}

void work_load(struct dispatch *d, uint64_t number)
{
	struct load *l = xcalloc(1, sizeof(*l));

	l->dispatch = d;
	l->number = number;
	l->task = xcalloc(1, sizeof(*l->task));
	l->task->dispatch = d;
	TAILQ_INIT(&l->task->runs);
	l->job.run = load;
	l->job.done = loaded;
	if (d->loading < LOADS_MAX)
		submit(l);
	else
		STAILQ_INSERT_TAIL(&d->loads, l, link);
}

void work_loads_free(struct dispatch *d)
{
	struct load *l;

	while ((l = STAILQ_FIRST(&d->loads)) != NULL) {
		STAILQ_REMOVE_HEAD(&d->loads, link);
		load_free(l);
	}
}

void work_task_free(struct work_task *task)
{
	struct work_run *run;
	uint32_t machines =
	    task->rows.plan != NULL ? task->rows.plan->machine_count : 0;

	while ((run = TAILQ_FIRST(&task->runs)) != NULL)
		run_free(run);
	for (uint32_t i = 0; task->roles != NULL && i < machines; i++)
		names_clear(&task->roles[i]);
	free(task->roles);
	free(task->decisions);
	for (size_t i = 0; i < task->payload_count; i++)
		plan_payload_fini(&task->payloads[i]);
	free(task->payloads);
	work_outputs_free(task);
	variable_set_clear(&task->variables);
	store_task_rows_clear(&task->rows);
	free(task);
}

void work_task_sweep(struct work_task *task)
{
	if (!task->gone || !TAILQ_EMPTY(&task->runs))
		return;
	TAILQ_REMOVE(&task->dispatch->tasks, task, link);
	work_task_free(task);
}

#include "server/process/planner.h"

#include "server/process/plan_make.h"
#include "server/process/process_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Moving a package takes as long as it takes; this is for a stuck one. */
#define STAGE_TIMEOUT_MS  (UINT64_C(4) * 3600 * 1000)
#define HEALTH_TIMEOUT_MS UINT64_C(60000)

static bool has_any_role(
    const struct plan_machine *machine, const struct text_list *roles)
{
	if (roles->count == 0)
		return true;
	for (size_t i = 0; i < machine->role_count; i++) {
		if (text_list_has(roles, machine->roles[i]))
			return true;
	}
	return false;
}

static const struct plan_package *find_package(
    const struct plan_request *request, const char *name)
{
	for (size_t i = 0; i < request->packages.count; i++) {
		if (strcmp(request->packages.items[i].name, name) == 0)
			return &request->packages.items[i];
	}
	return NULL;
}

/* Where each machine of the request stands in the plan; UINT32_MAX: not yet. */
struct places {
	uint32_t *at;
};

static enum rc places_init(struct places *places, size_t count)
{
	places->at = calloc(count > 0 ? count : 1, sizeof(uint32_t));
	if (places->at == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < count; i++)
		places->at[i] = UINT32_MAX;
	return RC_OK;
}

static void add_target(struct plan *plan, struct task_block *block,
    const struct plan_machine *machine, uint32_t *place)
{
	struct task_plan *task = plan->task;

	if (*place == UINT32_MAX) {
		struct task_machine *to = &task->machines[task->machine_count];

		(void)snprintf(to->id, sizeof(to->id), "%s", machine->id);
		(void)snprintf(to->name, sizeof(to->name), "%s", machine->name);
		*place = task->machine_count++;
	}
	block->targets[block->target_count++] = *place;
}

static enum rc no_machine(const struct process_block *from,
    const struct plan_request *request, bool disabled, struct fault *fault)
{
	const char *environment =
	    request->environment != NULL ? request->environment : "the list";
	char roles[100] = "";
	size_t used = 0;

	for (size_t i = 0; from != NULL && i < from->roles.count; i++) {
		int n = snprintf(roles + used, sizeof(roles) - used, "%s%s",
		    i == 0 ? " has the role " : " or ", from->roles.items[i]);

		used += n > 0 ? (size_t)n : 0;
		if (used >= sizeof(roles))
			break;
	}
	if (from == NULL)
		fault_set(fault, REASON_NOT_FOUND, "",
		    disabled ? "every machine chosen is disabled"
			     : "no machine is chosen");
	else
		fault_set(fault, REASON_NOT_FOUND, "",
		    "no %smachine in %.63s%s (step '%s', line %u)",
		    disabled ? "enabled " : "", environment, roles, from->name,
		    from->line);
	return RC_PROTO;
}

/* from NULL: all machines. */
static enum rc choose_targets(struct plan *plan, struct task_block *block,
    const struct process_block *from, const struct plan_request *request,
    struct places *places, struct fault *fault)
{
	static const struct text_list everybody = { .items = NULL };
	const struct text_list *roles =
	    from != NULL ? &from->roles : &everybody;
	bool disabled = false;

	block->targets =
	    calloc(request->machines.count > 0 ? request->machines.count : 1,
		sizeof(uint32_t));
	if (block->targets == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < request->machines.count; i++) {
		const struct plan_machine *machine =
		    &request->machines.items[i];

		if (!has_any_role(machine, roles))
			continue;
		if (machine->enabled)
			add_target(plan, block, machine, &places->at[i]);
		else
			disabled = true;
	}
	if (block->target_count == 0)
		return no_machine(from, request, disabled, fault);
	return RC_OK;
}

static enum rc fill_package(struct plan_payload *payload,
    const struct plan_package *package, const char *step)
{
	enum rc rc = plan_copy_text(step, &payload->name);

	if (rc == RC_OK)
		rc = plan_copy_text(package->name, &payload->package);
	if (rc == RC_OK)
		rc = plan_copy_text(package->version, &payload->version);
	if (rc == RC_OK)
		rc = plan_copy_text(package->digest, &payload->digest);
	payload->size = package->size;
	return rc;
}

static enum rc find_for(const struct process_step *step,
    const struct plan_request *request, const struct plan_package **out,
    struct fault *fault)
{
	*out = find_package(request, step->package);
	if (*out != NULL)
		return RC_OK;
	fault_set(fault, REASON_NOT_FOUND, "",
	    "the release has no version of the package %s, which step '%s' "
	    "(line %u) deploys",
	    step->package, step->name, step->line);
	return RC_PROTO;
}

static bool is_staged(const struct plan *plan, const struct task_block *block,
    const char *package)
{
	for (uint32_t i = 0; i < block->action_count; i++) {
		const struct plan_payload *payload =
		    &plan->payloads[block->actions[i].payload];

		if (payload->type == ACTION_TYPE_STAGE &&
		    strcmp(payload->package, package) == 0)
			return true;
	}
	return false;
}

/* First of all every package of the block is brought to the machine: nothing
 * is drained while it travels. */
static enum rc add_stages(struct plan *plan, struct task_block *block,
    const struct process_block *from, const struct plan_request *request,
    struct fault *fault)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < from->step_count && rc == RC_OK; i++) {
		const struct process_step *step = &from->steps[i];
		const struct plan_package *package;
		char name[TASK_NAME_SIZE];
		uint32_t index;

		if (step->type != PROCESS_STEP_DEPLOY ||
		    is_staged(plan, block, step->package))
			continue;
		rc = find_for(step, request, &package, fault);
		if (rc == RC_OK)
			rc = plan_add_payload(plan, &index);
		if (rc != RC_OK)
			return rc;
		(void)snprintf(name, sizeof(name), "stage %.60s %.60s",
		    package->name, package->version);
		plan->payloads[index].type = ACTION_TYPE_STAGE;
		plan->payloads[index].timeout_ms = STAGE_TIMEOUT_MS;
		rc = fill_package(&plan->payloads[index], package, name);
		if (rc == RC_OK)
			rc = plan_add_action(plan, block, name, index);
	}
	return rc;
}

static enum rc copy_list(const struct text_list *from, struct text_list *to)
{
	if (from->count == 0)
		return RC_OK;
	to->items = calloc(from->count, sizeof(char *));
	if (to->items == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < from->count; i++) {
		to->items[i] = strdup(from->items[i]);
		if (to->items[i] == NULL)
			return RC_NOMEM;
		to->count++;
	}
	return RC_OK;
}

static enum rc hook_body(const char *text, const char *interpreter, char **out)
{
	return text != NULL ? process_script_body(text, interpreter, out)
	                    : RC_OK;
}

static enum rc fill_activate(struct plan_payload *payload,
    const struct process_step *step, const struct plan_request *request,
    struct fault *fault)
{
	const struct plan_package *package;
	enum rc rc = find_for(step, request, &package, fault);

	payload->type = ACTION_TYPE_ACTIVATE;
	if (rc == RC_OK)
		rc = fill_package(payload, package, step->name);
	if (rc == RC_OK)
		rc = copy_list(&step->configure, &payload->configure);
	if (rc == RC_OK)
		rc = hook_body(
		    step->before, step->interpreter, &payload->before);
	if (rc == RC_OK)
		rc = hook_body(step->after, step->interpreter, &payload->after);
	return rc;
}

static enum rc fill_script(
    struct plan_payload *payload, const struct process_step *step)
{
	enum rc rc = plan_copy_text(step->name, &payload->name);

	payload->type = ACTION_TYPE_SCRIPT;
	if (rc == RC_OK)
		rc = plan_copy_text(step->package, &payload->package);
	if (rc == RC_OK)
		rc = process_script_body(
		    step->run, step->interpreter, &payload->script);
	return rc;
}

static enum rc add_step(struct plan *plan, struct task_block *block,
    const struct process_step *step, const struct plan_request *request,
    struct fault *fault)
{
	struct plan_payload *payload;
	uint32_t index;
	enum rc rc = plan_add_payload(plan, &index);

	if (rc != RC_OK)
		return rc;
	payload = &plan->payloads[index];
	payload->timeout_ms = step->timeout_ms;
	payload->world = step->world;
	if (step->type == PROCESS_STEP_DEPLOY)
		rc = fill_activate(payload, step, request, fault);
	else
		rc = fill_script(payload, step);
	if (rc == RC_OK)
		rc = plan_add_action(plan, block, step->name, index);
	if (rc == RC_OK) {
		struct task_action *action =
		    &block->actions[block->action_count - 1];

		action->retries = step->retries;
		action->rerun_safe = step->rerun_safe;
	}
	return rc;
}

static void set_queue(struct task_block *block, uint64_t queue_ms)
{
	for (uint32_t i = 0; i < block->action_count; i++)
		block->actions[i].queue_ms = queue_ms;
}

static enum rc add_block(struct plan *plan, const struct process_block *from,
    const struct plan_request *request, struct places *places,
    struct fault *fault)
{
	struct task_block *block;
	enum rc rc = plan_add_block(plan, from->name, &block);

	if (rc != RC_OK)
		return rc;
	if (from->approve != NULL) {
		(void)snprintf(block->approve, sizeof(block->approve), "%s",
		    from->approve);
		return RC_OK;
	}
	block->window = from->rolling;
	block->max_failures = from->max_failures;
	rc = choose_targets(plan, block, from, request, places, fault);
	if (rc == RC_OK)
		rc = add_stages(plan, block, from, request, fault);
	for (size_t i = 0; i < from->step_count && rc == RC_OK; i++)
		rc = add_step(plan, block, &from->steps[i], request, fault);
	set_queue(block, request->queue_ms);
	return rc;
}

static enum rc finish(struct plan *plan, struct plan **out, struct fault *fault)
{
	enum rc rc = task_plan_check(plan->task, fault);

	if (rc == RC_OK)
		*out = plan;
	return rc;
}

enum rc planner_deploy(const struct process *process,
    const struct plan_request *request, struct plan **out, struct fault *fault)
{
	struct places places = { .at = NULL };
	struct plan *plan = NULL;
	enum rc rc = plan_new(request, TASK_DEPLOY, &plan);

	if (rc == RC_OK)
		rc = places_init(&places, request->machines.count);
	if (rc == RC_OK)
		rc = plan_copy_text(process->project, &plan->project);
	if (rc != RC_OK)
		goto out;
	(void)snprintf(plan->task->lane, sizeof(plan->task->lane), "%s/%s",
	    process->project,
	    request->environment != NULL ? request->environment : "");
	plan->task->guided = process->guided || request->guided;
	plan->task->limit_ms = process->time_limit_ms;
	for (size_t i = 0; i < process->block_count && rc == RC_OK; i++)
		rc = add_block(
		    plan, &process->blocks[i], request, &places, fault);
	if (rc == RC_OK)
		rc = finish(plan, out, fault);
	if (rc == RC_OK)
		plan = NULL; /* now the caller's */
out:
	free(places.at);
	plan_free(plan);
	return rc;
}

/* script NULL: the health check that every machine has of its own. */
static MUST_CHECK enum rc fill_payload(const struct plan_script *script,
    bool health, const char *name, struct plan_payload *payload)
{
	enum rc rc = plan_copy_text(name, &payload->name);

	payload->type = health ? ACTION_TYPE_HEALTH : ACTION_TYPE_SCRIPT;
	payload->timeout_ms = health ? HEALTH_TIMEOUT_MS : PROCESS_TIMEOUT_MS;
	if (rc != RC_OK || script == NULL)
		return rc;
	if (script->timeout_ms > 0)
		payload->timeout_ms = script->timeout_ms;
	payload->world = script->world;
	if (script->text != NULL)
		rc = process_script_body(
		    script->text, script->interpreter, &payload->script);
	if (rc == RC_OK)
		rc = plan_copy_text(script->package, &payload->package);
	return rc;
}

/* One action on all machines, whoever fails. */
static enum rc plan_one(const struct plan_script *script,
    const struct plan_request *request, enum task_kind kind, struct plan **out,
    struct fault *fault)
{
	bool health = kind == TASK_HEALTH;
	const char *name = health ? "health" : "script";
	struct places places = { .at = NULL };
	struct plan *plan = NULL;
	struct task_block *block;
	uint32_t index;
	enum rc rc = plan_new(request, kind, &plan);

	if (script != NULL && script->name != NULL)
		name = script->name;
	if (rc == RC_OK)
		rc = places_init(&places, request->machines.count);
	if (rc == RC_OK)
		rc = plan_add_payload(plan, &index);
	if (rc == RC_OK)
		rc = fill_payload(script, health, name, &plan->payloads[index]);
	if (rc == RC_OK)
		rc = plan_add_block(plan, name, &block);
	if (rc == RC_OK)
		rc = plan_add_action(plan, block, name, index);
	if (rc != RC_OK)
		goto out;
	block->window = script != NULL ? script->window : TASK_ALL_AT_ONCE;
	block->max_failures = TASK_ANY_FAILURES;
	set_queue(block, request->queue_ms);
	rc = choose_targets(plan, block, NULL, request, &places, fault);
	if (rc == RC_OK)
		rc = finish(plan, out, fault);
	if (rc == RC_OK)
		plan = NULL; /* now the caller's */
out:
	free(places.at);
	plan_free(plan);
	return rc;
}

enum rc planner_script(const struct plan_script *script,
    const struct plan_request *request, struct plan **out, struct fault *fault)
{
	return plan_one(script, request, TASK_RUN, out, fault);
}

enum rc planner_health(const struct plan_script *script,
    const struct plan_request *request, struct plan **out, struct fault *fault)
{
	return plan_one(script, request, TASK_HEALTH, out, fault);
}

/* The payload's own version, or that of the package whose directory it runs
 * in. */
static const char *version_for(
    const struct plan *plan, const struct plan_payload *payload)
{
	if (payload->version != NULL || payload->package == NULL)
		return payload->version;
	for (size_t i = 0; i < plan->payload_count; i++) {
		const struct plan_payload *other = &plan->payloads[i];

		if (other->type == ACTION_TYPE_STAGE &&
		    strcmp(other->package, payload->package) == 0)
			return other->version;
	}
	return NULL;
}

enum rc planner_variables(const struct plan *plan,
    const struct plan_payload *payload, const struct plan_machine *machine,
    const struct variable_set *variables, struct resolved_variables *out,
    struct fault *fault)
{
	char task[32], deployment[32];
	const struct variable_context context = {
		.project = plan->project,
		.environment = plan->environment,
		.machine = machine->name,
		.release = plan->release,
		.version = version_for(plan, payload),
		.deployment = plan->deployment > 0 ? deployment : NULL,
		.task = task,
		.roles = machine->roles,
		.role_count = machine->role_count,
	};

	(void)snprintf(task, sizeof(task), "task-%llu",
	    (unsigned long long)plan->task->number);
	(void)snprintf(deployment, sizeof(deployment), "%llu",
	    (unsigned long long)plan->deployment);
	return variables_resolve(variables, &context, "process", out, fault);
}

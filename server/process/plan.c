/* plan.c - growing and freeing a plan. */
#include "server/process/plan_make.h"
#include "server/process/process_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum rc plan_copy_text(const char *text, char **out)
{
	if (text == NULL) {
		*out = NULL;
		return RC_OK;
	}
	*out = strdup(text);
	return *out != NULL ? RC_OK : RC_NOMEM;
}

enum rc plan_new(
    const struct plan_request *request, enum task_kind kind, struct plan **out)
{
	struct plan *plan = calloc(1, sizeof(*plan));
	size_t machines = request->machines.count;
	enum rc rc = RC_NOMEM;

	if (plan == NULL)
		return RC_NOMEM;
	plan->task = calloc(1, sizeof(*plan->task));
	if (plan->task == NULL)
		goto out;
	plan->task->number = request->task;
	plan->task->kind = kind;
	plan->task->deadline_ms = request->deadline_ms;
	plan->task->machines =
	    calloc(machines > 0 ? machines : 1, sizeof(struct task_machine));
	if (plan->task->machines == NULL)
		goto out;
	plan->deployment = request->deployment;
	rc = plan_copy_text(request->environment, &plan->environment);
	if (rc == RC_OK)
		rc = plan_copy_text(request->release, &plan->release);
	if (rc != RC_OK)
		goto out;
	*out = plan;
	plan = NULL; /* now the caller's */
out:
	plan_free(plan);
	return rc;
}

enum rc plan_add_payload(struct plan *plan, uint32_t *index)
{
	struct plan_payload *payloads = realloc(
	    plan->payloads, (plan->payload_count + 1) * sizeof(*payloads));

	if (payloads == NULL)
		return RC_NOMEM;
	plan->payloads = payloads;
	payloads[plan->payload_count] = (struct plan_payload){ .name = NULL };
	*index = (uint32_t)plan->payload_count++;
	return RC_OK;
}

enum rc plan_add_block(
    struct plan *plan, const char *name, struct task_block **out)
{
	struct task_plan *task = plan->task;
	struct task_block *blocks = realloc(
	    task->blocks, ((size_t)task->block_count + 1) * sizeof(*blocks));
	struct task_block *block;

	if (blocks == NULL)
		return RC_NOMEM;
	task->blocks = blocks;
	block = &blocks[task->block_count++];
	*block = (struct task_block){ .window = 1 };
	(void)snprintf(block->name, sizeof(block->name), "%s", name);
	*out = block;
	return RC_OK;
}

enum rc plan_add_action(struct plan *plan, struct task_block *block,
    const char *name, uint32_t payload)
{
	struct task_action *actions = realloc(block->actions,
	    ((size_t)block->action_count + 1) * sizeof(*actions));
	struct task_action *action;

	if (actions == NULL)
		return RC_NOMEM;
	block->actions = actions;
	action = &actions[block->action_count++];
	*action = (struct task_action){ .type = plan->payloads[payload].type,
		.timeout_ms = plan->payloads[payload].timeout_ms,
		.payload = payload };
	(void)snprintf(action->name, sizeof(action->name), "%s", name);
	return RC_OK;
}

void plan_payload_fini(struct plan_payload *payload)
{
	free(payload->name);
	free(payload->script);
	free(payload->package);
	free(payload->version);
	free(payload->digest);
	text_list_clear(&payload->configure);
	free(payload->before);
	free(payload->after);
}

void plan_free(struct plan *plan)
{
	if (plan == NULL)
		return;
	for (size_t i = 0; i < plan->payload_count; i++)
		plan_payload_fini(&plan->payloads[i]);
	free(plan->payloads);
	free(plan->project);
	free(plan->environment);
	free(plan->release);
	task_plan_free(plan->task);
	free(plan);
}

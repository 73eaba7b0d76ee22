/* plan.c - task_plan: is it in order, copy it, free it. */
#include "server/engine/task.h"

#include <stdlib.h>
#include <string.h>

static bool is_text(const char *text, size_t size)
{
	return text[0] != '\0' && memchr(text, '\0', size) != NULL;
}

static enum rc check_actions(
    const struct task_block *block, uint32_t index, struct fault *fault)
{
	if (block->approve[0] != '\0' && block->action_count == 0)
		return RC_OK;
	if (block->action_count == 0 || block->approve[0] != '\0' ||
	    block->action_count > TASK_ACTIONS_MAX) {
		fault_set(fault, REASON_TOO_MANY, "",
		    "block %u has %u actions; allowed are 1 to %u", index,
		    block->action_count, TASK_ACTIONS_MAX);
		return RC_LIMIT;
	}
	for (uint32_t i = 0; i < block->action_count; i++) {
		const struct task_action *action = &block->actions[i];

		if (!is_text(action->name, sizeof(action->name)) ||
		    (unsigned)action->type >= ACTION_TYPE_COUNT) {
			fault_set(fault, REASON_INTERNAL, "",
			    "block %u: action %u has no name or type", index,
			    i);
			return RC_PROTO;
		}
	}
	return RC_OK;
}

/* Every target is a machine of the plan, and none is there twice; `seen` has
 * one byte per machine. */
static enum rc check_targets(const struct task_plan *plan, uint32_t index,
    uint8_t *seen, struct fault *fault)
{
	const struct task_block *block = &plan->blocks[index];

	if (block->approve[0] != '\0' && block->target_count == 0)
		return RC_OK;
	if (block->target_count == 0 ||
	    block->target_count > plan->machine_count) {
		fault_set(fault, REASON_INTERNAL, "",
		    "block %u has %u targets; the task has %u machines", index,
		    block->target_count, plan->machine_count);
		return RC_PROTO;
	}
	memset(seen, 0, plan->machine_count);
	for (uint32_t i = 0; i < block->target_count; i++) {
		uint32_t machine = block->targets[i];

		if (machine >= plan->machine_count || seen[machine] != 0) {
			fault_set(fault, REASON_INTERNAL, "",
			    "block %u: target %u is no machine of the task, or "
			    "is there twice",
			    index, i);
			return RC_PROTO;
		}
		seen[machine] = 1;
	}
	return RC_OK;
}

static enum rc check_blocks(
    const struct task_plan *plan, uint8_t *seen, struct fault *fault)
{
	uint64_t runs = 0;

	for (uint32_t i = 0; i < plan->block_count; i++) {
		const struct task_block *block = &plan->blocks[i];
		enum rc rc;

		if (!is_text(block->name, sizeof(block->name)) ||
		    memchr(block->approve, '\0', sizeof(block->approve)) ==
			NULL) {
			fault_set(fault, REASON_INTERNAL, "",
			    "block %u has no name", i);
			return RC_PROTO;
		}
		rc = check_actions(block, i, fault);
		if (rc == RC_OK)
			rc = check_targets(plan, i, seen, fault);
		if (rc != RC_OK)
			return rc;
		runs += (uint64_t)block->target_count * block->action_count;
	}
	if (runs > TASK_RUNS_MAX) {
		fault_set(fault, REASON_TOO_MANY, "",
		    "the task has %llu runs (machines times actions); at most "
		    "%u are allowed: deploy to fewer machines at a time",
		    (unsigned long long)runs, TASK_RUNS_MAX);
		return RC_LIMIT;
	}
	return RC_OK;
}

enum rc task_plan_check(const struct task_plan *plan, struct fault *fault)
{
	uint8_t *seen;
	enum rc rc;

	if (plan->machine_count == 0 ||
	    plan->machine_count > TASK_MACHINES_MAX || plan->block_count == 0 ||
	    plan->block_count > TASK_BLOCKS_MAX) {
		fault_set(fault, REASON_TOO_MANY, "",
		    "a task has 1 to %u machines and 1 to %u blocks, not %u "
		    "and %u",
		    TASK_MACHINES_MAX, TASK_BLOCKS_MAX, plan->machine_count,
		    plan->block_count);
		return RC_LIMIT;
	}
	if ((unsigned)plan->kind >= TASK_KIND_COUNT ||
	    memchr(plan->lane, '\0', sizeof(plan->lane)) == NULL) {
		fault_set(fault, REASON_INTERNAL, "", "bad kind or lane");
		return RC_PROTO;
	}
	for (uint32_t i = 0; i < plan->machine_count; i++) {
		const struct task_machine *machine = &plan->machines[i];

		if (!is_text(machine->id, sizeof(machine->id)) ||
		    !is_text(machine->name, sizeof(machine->name))) {
			fault_set(fault, REASON_INTERNAL, "",
			    "machine %u has no id or name", i);
			return RC_PROTO;
		}
	}
	seen = malloc(plan->machine_count);
	if (seen == NULL)
		return RC_NOMEM;
	rc = check_blocks(plan, seen, fault);
	free(seen);
	return rc;
}

/* NULL also when count is 0: the caller knows the count. */
static void *copy_array(const void *from, size_t count, size_t size)
{
	void *to = count > 0 ? calloc(count, size) : NULL;

	if (to != NULL)
		memcpy(to, from, count * size);
	return to;
}

static enum rc copy_block(const struct task_block *from, struct task_block *to)
{
	*to = *from;
	to->targets = NULL;
	to->actions =
	    copy_array(from->actions, from->action_count, sizeof(*to->actions));
	if (to->actions == NULL && from->action_count > 0)
		return RC_NOMEM;
	to->targets =
	    copy_array(from->targets, from->target_count, sizeof(*to->targets));
	if (to->targets == NULL && from->target_count > 0)
		return RC_NOMEM;
	return RC_OK;
}

enum rc task_plan_copy(const struct task_plan *plan, struct task_plan **out)
{
	struct task_plan *copy = calloc(1, sizeof(*copy));
	enum rc rc = RC_NOMEM;

	if (copy == NULL)
		return RC_NOMEM;
	*copy = *plan;
	copy->blocks = NULL;
	copy->block_count = 0;
	copy->machines = copy_array(
	    plan->machines, plan->machine_count, sizeof(*copy->machines));
	if (copy->machines == NULL && plan->machine_count > 0)
		goto out;
	copy->blocks = calloc(plan->block_count > 0 ? plan->block_count : 1,
	    sizeof(*copy->blocks));
	if (copy->blocks == NULL)
		goto out;
	while (copy->block_count < plan->block_count) {
		uint32_t i = copy->block_count++; /* freed even if half done */

		rc = copy_block(&plan->blocks[i], &copy->blocks[i]);
		if (rc != RC_OK)
			goto out;
	}
	*out = copy;
	copy = NULL; /* now the caller's */
	rc = RC_OK;
out:
	task_plan_free(copy);
	return rc;
}

void task_plan_free(struct task_plan *plan)
{
	if (plan == NULL)
		return;
	for (uint32_t i = 0; plan->blocks != NULL && i < plan->block_count;
	     i++) {
		free(plan->blocks[i].actions);
		free(plan->blocks[i].targets);
	}
	free(plan->blocks);
	free(plan->machines);
	free(plan);
}

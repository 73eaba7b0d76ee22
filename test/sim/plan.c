/* Tasks by chance. */
#include "test/sim/sim.h"

#include <stdio.h>
#include <string.h>

static void make_action(
    struct world *w, struct task_action *action, uint32_t index)
{
	static const enum action_type types[] = { ACTION_TYPE_SCRIPT,
		ACTION_TYPE_SCRIPT, ACTION_TYPE_SCRIPT, ACTION_TYPE_ACTIVATE,
		ACTION_TYPE_STAGE, ACTION_TYPE_HEALTH };

	*action = (struct task_action){
		.type = types[roll(w, sizeof(types) / sizeof(types[0]))],
		.timeout_ms = chance(w, 70) ? between(w, 30, 600) * SECOND : 0,
		.queue_ms = between(w, 0, 600) * SECOND,
		.retries = chance(w, 30) ? 1 + roll(w, 3) : 0,
		.rerun_safe = chance(w, 25),
	};
	(void)snprintf(action->name, sizeof(action->name), "step %u", index);
}

static void make_block(struct world *w, struct book *b, uint32_t index)
{
	struct task_block *block = &b->blocks[index];
	bool last = index + 1 == b->plan.block_count;

	*block = (struct task_block){ .max_failures = 0 };
	(void)snprintf(block->name, sizeof(block->name), "block %u", index);
	if (!last && chance(w, 20)) {
		(void)snprintf(
		    block->approve, sizeof(block->approve), "Really?");
		return;
	}
	block->window = roll(w, 3);
	block->max_failures = chance(w, 30) ? TASK_ANY_FAILURES : roll(w, 2);
	block->actions = b->actions[index];
	block->action_count = 1 + roll(w, SIM_ACTIONS);
	for (uint32_t i = 0; i < block->action_count; i++)
		make_action(w, &block->actions[i], i);
	block->targets = b->targets[index];
	for (uint32_t i = 0; i < b->plan.machine_count; i++) {
		if (chance(w, 80))
			block->targets[block->target_count++] = i;
	}
	if (block->target_count == 0)
		block->targets[block->target_count++] = 0;
}

void make_books(struct world *w)
{
	bool lane = chance(w, 50);

	w->book_count = 1 + roll(w, SIM_TASKS);
	for (uint32_t n = 0; n < w->book_count; n++) {
		struct book *b = &w->books[n];

		b->plan = (struct task_plan){ .number = n + 1,
			.kind = TASK_DEPLOY,
			.limit_ms =
			    chance(w, 15) ? between(w, 5, 60) * MINUTE : 0,
			.guided = chance(w, 50),
			.machine_count = w->machine_count,
			.machines = b->machines,
			.block_count = 1 + roll(w, SIM_BLOCKS),
			.blocks = b->blocks };
		if (lane)
			(void)snprintf(
			    b->plan.lane, sizeof(b->plan.lane), "shop/prod");
		b->row = (struct task_row){ .number = n + 1 };
		for (uint32_t i = 0; i < w->machine_count; i++) {
			(void)snprintf(
			    b->machines[i].id, TASK_MACHINE_SIZE, "%032x", i);
			(void)snprintf(b->machines[i].name, TASK_MACHINE_SIZE,
			    "web-%u", i);
		}
		for (uint32_t i = 0; i < b->plan.block_count; i++)
			make_block(w, b, i);
	}
}

/*
 * engine_sheet.h - a small plan, the engine with it, and the facts that a test
 * tells it.
 */
#ifndef TEST_SUPPORT_ENGINE_SHEET_H
#define TEST_SUPPORT_ENGINE_SHEET_H

#include "server/engine/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MACHINES 4u

static uint8_t next_byte;

static inline void count_up(
    struct engine_random *self, uint8_t *bytes, size_t len)
{
	(void)self;
	for (size_t i = 0; i < len; i++)
		bytes[i] = next_byte++;
}

static struct engine_random counter = { count_up };

/* A plan without heap: up to two blocks of up to two actions. */
struct sheet {
	struct task_plan plan;
	struct task_machine machines[MACHINES];
	struct task_block blocks[2];
	struct task_action actions[2][2];
	uint32_t targets[MACHINES];
	struct task_row row;
};

static inline void make_sheet(
    struct sheet *s, uint64_t number, enum action_type type)
{
	*s = (struct sheet){ .row = { .number = number, .epoch = 1 } };
	for (uint32_t i = 0; i < MACHINES; i++) {
		(void)snprintf(s->machines[i].id, TASK_MACHINE_SIZE, "id%u", i);
		(void)snprintf(
		    s->machines[i].name, TASK_MACHINE_SIZE, "web-%u", i);
		s->targets[i] = i;
	}
	for (uint32_t b = 0; b < 2; b++) {
		for (uint32_t i = 0; i < 2; i++) {
			s->actions[b][i] = (struct task_action){ .type = type,
				.timeout_ms = 60000,
				.queue_ms = 100000 };
			(void)snprintf(s->actions[b][i].name, TASK_NAME_SIZE,
			    "action %u", i);
		}
		s->blocks[b] = (struct task_block){ .name = "block",
			.window = 2,
			.action_count = 2,
			.actions = s->actions[b],
			.target_count = MACHINES,
			.targets = s->targets };
	}
	s->plan = (struct task_plan){ .number = number,
		.machine_count = MACHINES,
		.machines = s->machines,
		.block_count = 1,
		.blocks = s->blocks };
}

static inline struct engine *engine_with(struct sheet *s)
{
	const struct engine_limits limits = engine_limits_default();
	struct engine *e;

	assert_int_equal(engine_new(&limits, &counter, &e), RC_OK);
	if (s != NULL)
		assert_int_equal(
		    engine_task_add(e, &s->plan, &s->row, NULL, 0, NULL),
		    RC_OK);
	return e;
}

static inline struct engine *one_machine(struct sheet *s, enum action_type type)
{
	make_sheet(s, 1, type);
	s->blocks[0].target_count = 1;
	return engine_with(s);
}

/* Tick, then the commands; the changes are let go. */
static inline size_t turn(struct engine *e, uint64_t now_ms,
    struct engine_command *commands, size_t room)
{
	struct engine_change change;
	size_t count = 0;

	(void)engine_tick(e, now_ms);
	while (engine_next_change(e, &change))
		;
	while (count < room && engine_next_command(e, &commands[count]))
		count++;
	return count;
}

/* Exactly one command of this type comes. */
static inline struct engine_command expect(
    struct engine *e, uint64_t now_ms, enum engine_command_type type)
{
	struct engine_command commands[8];

	assert_int_equal(turn(e, now_ms, commands, 8), 1);
	assert_int_equal(commands[0].type, type);
	return commands[0];
}

static inline void expect_silence(struct engine *e, uint64_t now_ms)
{
	struct engine_command commands[8];

	assert_int_equal(turn(e, now_ms, commands, 8), 0);
}

static inline struct engine_fact about(
    const struct engine_command *c, enum engine_fact_type type)
{
	struct engine_fact fact = { .type = type, .key = c->key };

	memcpy(fact.ticket, c->ticket, sizeof(fact.ticket));
	fact.command = c->type;
	return fact;
}

static inline bool tell(struct engine *e, const struct engine_command *c,
    enum engine_fact_type type, uint64_t now_ms)
{
	const struct engine_fact fact = about(c, type);

	return engine_fact(e, &fact, now_ms);
}

static inline bool tell_end(struct engine *e, const struct engine_command *c,
    enum run_state state, uint64_t now_ms)
{
	struct engine_fact fact = about(c, FACT_ENDED);

	fact.result.state = state;
	fact.result.exit_code = state == RUN_FAILED ? 3 : 0;
	return engine_fact(e, &fact, now_ms);
}

static inline bool tell_lost(struct engine *e, const struct engine_command *c,
    bool may_have_arrived, uint64_t now_ms)
{
	struct engine_fact fact = about(c, FACT_UNREACHABLE);

	fact.may_have_arrived = may_have_arrived;
	fault_set(&fact.fault, REASON_AGENT_DOWN, "relay a", "web-0 is down");
	return engine_fact(e, &fact, now_ms);
}

static inline bool tell_held(struct engine *e, const struct engine_command *c,
    bool may_have_arrived, uint64_t now_ms)
{
	struct engine_fact fact = about(c, FACT_UNREACHABLE);

	fact.may_have_arrived = may_have_arrived;
	fault_set(&fact.fault, REASON_CLONE, "server n1", "web-0: is held");
	return engine_fact(e, &fact, now_ms);
}

static inline struct run_row run_of(
    struct engine *e, const struct engine_command *c)
{
	struct run_row row;

	assert_int_equal(engine_run_row(e, &c->key, &row), RC_OK);
	return row;
}

static inline struct task_row task_of(struct engine *e, uint64_t number)
{
	struct task_row row;

	assert_int_equal(engine_task_row(e, number, &row), RC_OK);
	return row;
}

#endif

/* One rule at a time; whole fleets are in engine_world_test.c. */
#include "server/engine/engine.h"

#include "test/support/alloc.h"

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

static void count_up(struct engine_random *self, uint8_t *bytes, size_t len)
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

static void make_sheet(struct sheet *s, uint64_t number, enum action_type type)
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

static struct engine *engine_with(struct sheet *s)
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

static struct engine *one_machine(struct sheet *s, enum action_type type)
{
	make_sheet(s, 1, type);
	s->blocks[0].target_count = 1;
	return engine_with(s);
}

/* Tick, then the commands; the changes are let go. */
static size_t turn(struct engine *e, uint64_t now_ms,
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
static struct engine_command expect(
    struct engine *e, uint64_t now_ms, enum engine_command_type type)
{
	struct engine_command commands[8];

	assert_int_equal(turn(e, now_ms, commands, 8), 1);
	assert_int_equal(commands[0].type, type);
	return commands[0];
}

static void expect_silence(struct engine *e, uint64_t now_ms)
{
	struct engine_command commands[8];

	assert_int_equal(turn(e, now_ms, commands, 8), 0);
}

static struct engine_fact about(
    const struct engine_command *c, enum engine_fact_type type)
{
	struct engine_fact fact = { .type = type, .key = c->key };

	memcpy(fact.ticket, c->ticket, sizeof(fact.ticket));
	fact.command = c->type;
	return fact;
}

static bool tell(struct engine *e, const struct engine_command *c,
    enum engine_fact_type type, uint64_t now_ms)
{
	const struct engine_fact fact = about(c, type);

	return engine_fact(e, &fact, now_ms);
}

static bool tell_end(struct engine *e, const struct engine_command *c,
    enum run_state state, uint64_t now_ms)
{
	struct engine_fact fact = about(c, FACT_ENDED);

	fact.result.state = state;
	fact.result.exit_code = state == RUN_FAILED ? 3 : 0;
	return engine_fact(e, &fact, now_ms);
}

static bool tell_lost(struct engine *e, const struct engine_command *c,
    bool may_have_arrived, uint64_t now_ms)
{
	struct engine_fact fact = about(c, FACT_UNREACHABLE);

	fact.may_have_arrived = may_have_arrived;
	fault_set(&fact.fault, REASON_AGENT_DOWN, "relay a", "web-0 is down");
	return engine_fact(e, &fact, now_ms);
}

static bool tell_held(struct engine *e, const struct engine_command *c,
    bool may_have_arrived, uint64_t now_ms)
{
	struct engine_fact fact = about(c, FACT_UNREACHABLE);

	fact.may_have_arrived = may_have_arrived;
	fault_set(&fact.fault, REASON_CLONE, "server n1", "web-0: is held");
	return engine_fact(e, &fact, now_ms);
}

static struct run_row run_of(struct engine *e, const struct engine_command *c)
{
	struct run_row row;

	assert_int_equal(engine_run_row(e, &c->key, &row), RC_OK);
	return row;
}

static struct task_row task_of(struct engine *e, uint64_t number)
{
	struct task_row row;

	assert_int_equal(engine_task_row(e, number, &row), RC_OK);
	return row;
}

static void test_machines_enter_in_order_and_only_as_one_leaves(void **state)
{
	struct engine_command c[8], second;
	struct sheet s;
	struct engine *e;

	(void)state;
	make_sheet(&s, 1, ACTION_TYPE_SCRIPT);
	e = engine_with(&s);
	assert_int_equal(turn(e, 0, c, 8), 2);
	assert_int_equal(c[0].key.target, 0);
	assert_int_equal(c[1].key.target, 1);
	assert_string_equal(c[1].machine->name, "web-1");
	assert_true(tell_end(e, &c[0], RUN_SUCCEEDED, 1));
	assert_int_equal(turn(e, 1, c, 8), 2);
	assert_int_equal(c[0].type, COMMAND_FORGET);
	second = c[1];
	assert_int_equal(second.key.target, 0);
	assert_int_equal(second.key.action, 1);
	assert_true(tell_end(e, &second, RUN_SUCCEEDED, 2));
	assert_int_equal(turn(e, 2, c, 8), 2);
	assert_int_equal(c[1].key.target, 2);
	assert_int_equal(engine_inside(e, 1), 2);
	engine_free(e);
}

static void test_an_undelivered_start_is_sent_again_with_its_ticket(
    void **state)
{
	struct sheet s;
	struct engine *e = one_machine(&s, ACTION_TYPE_SCRIPT);
	struct engine_command first = expect(e, 0, COMMAND_START), c = first;
	uint64_t now = 0;
	uint32_t tries = 1;

	(void)state;
	while (run_of(e, &first).state == RUN_STARTING) {
		assert_true(tell_lost(e, &c, false, now));
		assert_false(run_of(e, &first).sent);
		if (run_of(e, &first).state != RUN_STARTING)
			break;
		assert_int_equal(engine_in_flight(e), 0);
		expect_silence(e, now);
		now = engine_tick(e, now);
		c = expect(e, now, COMMAND_START);
		assert_string_equal(c.ticket, first.ticket);
		tries++;
	}
	assert_int_equal(now, 100000); /* queue_ms */
	assert_true(tries >= 5 && tries <= 10);
	assert_int_equal(run_of(e, &first).state, RUN_FAILED);
	assert_string_equal(run_of(e, &first).fault.text, "web-0 is down");
	assert_int_equal(run_of(e, &first).fault.code, REASON_AGENT_DOWN);
	assert_int_equal(task_of(e, 1).state, TASK_FAILED);
	assert_string_equal(
	    task_of(e, 1).fault.text, "web-0: action 0: web-0 is down");
	expect_silence(e, now);
	engine_free(e);
}

/* A start that may have arrived, and the action's time to deliver it is over:
 * returns the cancel. */
static struct engine_command reach_the_cancel(
    struct engine *e, struct engine_command c, uint64_t *now)
{
	struct engine_command commands[4];

	do {
		assert_true(tell_lost(e, &c, true, *now));
		if (*now < 100000)
			*now = engine_tick(e, *now);
		assert_int_equal(turn(e, *now, commands, 4), 1);
		c = commands[0];
	} while (c.type == COMMAND_START);
	assert_int_equal(c.type, COMMAND_CANCEL);
	return c;
}

static void test_a_start_that_may_have_arrived_fails_only_once_confirmed(
    void **state)
{
	struct sheet s;
	struct engine *e = one_machine(&s, ACTION_TYPE_SCRIPT);
	struct engine_command start = expect(e, 0, COMMAND_START), c;
	uint64_t now = 0;

	(void)state;
	c = reach_the_cancel(e, start, &now);
	assert_int_equal(run_of(e, &start).state, RUN_STARTING);
	assert_false(tell_lost(e, &c, true, now));
	now = engine_tick(e, now);
	c = expect(e, now, COMMAND_CANCEL);
	assert_true(tell_end(e, &c, RUN_CANCELLED, now));
	assert_int_equal(run_of(e, &start).state, RUN_FAILED);
	assert_string_equal(run_of(e, &start).fault.text, "web-0 is down");
	engine_free(e);
}

static void test_a_machine_that_never_confirms_leaves_it_unknown(void **state)
{
	struct sheet s;
	struct engine *e = one_machine(&s, ACTION_TYPE_SCRIPT);
	struct engine_command start = expect(e, 0, COMMAND_START), c[4];
	uint64_t now = 0;

	(void)state;
	(void)reach_the_cancel(e, start, &now);
	while (run_of(e, &start).state == RUN_STARTING) {
		now = engine_tick(e, now);
		(void)turn(e, now, c, 4);
	}
	assert_int_equal(run_of(e, &start).state, RUN_UNKNOWN);
	assert_int_equal(now, 100000 + 3600000);
	assert_int_equal(task_of(e, 1).state, TASK_FAILED);
	assert_int_equal(task_of(e, 1).fault.code, REASON_UNKNOWN);
	assert_non_null(strstr(task_of(e, 1).fault.text, "did not confirm"));
	engine_free(e);
}

static void test_an_accepted_run_is_attached_and_never_started_again(
    void **state)
{
	struct sheet s;
	struct engine *e = one_machine(&s, ACTION_TYPE_ACTIVATE);
	struct engine_command start = expect(e, 0, COMMAND_START), c;
	uint64_t now = 5;

	(void)state;
	assert_true(tell(e, &start, FACT_ACCEPTED, now));
	assert_int_equal(run_of(e, &start).state, RUN_RUNNING);
	c = expect(e, now, COMMAND_ATTACH);
	for (int i = 0; i < 5; i++) {
		assert_true(tell_lost(e, &c, false, now));
		assert_false(tell_lost(e, &c, false, now)); /* twice */
		now = engine_tick(e, now);
		c = expect(e, now, COMMAND_ATTACH);
		assert_string_equal(c.ticket, start.ticket);
	}
	assert_true(tell_end(e, &c, RUN_SUCCEEDED, now));
	assert_int_equal(run_of(e, &start).fault.code, REASON_NONE);
	engine_free(e);
}

static void test_nobody_waits_for_a_machine_that_is_held(void **state)
{
	/* Never sent; perhaps sent; running. */
	const enum run_state ends[] = { RUN_FAILED, RUN_UNKNOWN, RUN_UNKNOWN };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct sheet s;
		struct engine *e = one_machine(&s, ACTION_TYPE_SCRIPT);
		struct engine_command start = expect(e, 0, COMMAND_START);
		struct engine_command c = start;

		if (i == 2) {
			assert_true(tell(e, &start, FACT_ACCEPTED, 0));
			c = expect(e, 0, COMMAND_ATTACH);
		}
		assert_true(tell_held(e, &c, i > 0, 1));
		assert_int_equal(run_of(e, &start).state, ends[i]);
		assert_int_equal(run_of(e, &start).fault.code, REASON_CLONE);
		assert_int_equal(task_of(e, 1).state, TASK_FAILED);
		expect_silence(e, 1);
		engine_free(e);
	}
}

static void test_an_overdue_run_is_cancelled_and_failed(void **state)
{
	struct sheet s;
	struct engine *e = one_machine(&s, ACTION_TYPE_SCRIPT);
	struct engine_command start = expect(e, 0, COMMAND_START), c;
	struct engine_limits limits = engine_limits_default();

	(void)state;
	assert_true(tell(e, &start, FACT_ACCEPTED, 0));
	(void)expect(e, 0, COMMAND_ATTACH);
	expect_silence(e, 60000);
	c = expect(e, limits.answer_ms, COMMAND_CANCEL);
	assert_true(tell_end(e, &c, RUN_CANCELLED, limits.answer_ms));
	assert_int_equal(run_of(e, &start).state, RUN_FAILED);
	assert_int_equal(run_of(e, &start).fault.code, REASON_TIMED_OUT);
	engine_free(e);
}

static void test_a_command_without_any_answer_is_not_waited_for(void **state)
{
	struct sheet s;
	struct engine *e = one_machine(&s, ACTION_TYPE_SCRIPT);
	struct engine_command start = expect(e, 0, COMMAND_START);
	uint64_t now = engine_tick(e, 0);

	(void)state;
	assert_int_equal(now, engine_limits_default().answer_ms);
	/* queue_ms is over by then, and it may have arrived. */
	(void)expect(e, now, COMMAND_CANCEL);
	assert_int_equal(run_of(e, &start).fault.code, REASON_DEADLINE);
	engine_free(e);
}

static void test_an_unknown_ticket_fails_the_task_with_its_text(void **state)
{
	struct sheet s;
	struct engine *e = one_machine(&s, ACTION_TYPE_SCRIPT);
	struct engine_command start = expect(e, 0, COMMAND_START), c;

	(void)state;
	assert_true(tell(e, &start, FACT_ACCEPTED, 1));
	c = expect(e, 1, COMMAND_ATTACH);
	assert_true(tell(e, &c, FACT_UNKNOWN, 2));
	assert_int_equal(run_of(e, &start).state, RUN_UNKNOWN);
	assert_int_equal(task_of(e, 1).state, TASK_FAILED);
	assert_non_null(
	    strstr(task_of(e, 1).fault.text, "does not know this ticket"));
	expect_silence(e, 2); /* nothing is forgotten: it is evidence */
	engine_free(e);
}

static enum run_state refuse(enum reason code, bool after_maybe)
{
	struct sheet s;
	struct engine *e = one_machine(&s, ACTION_TYPE_SCRIPT);
	struct engine_command c = expect(e, 0, COMMAND_START);
	struct engine_fact fact;
	enum run_state state;

	if (after_maybe) {
		assert_true(tell_lost(e, &c, true, 0));
		c = expect(e, engine_tick(e, 0), COMMAND_START);
	}
	fact = about(&c, FACT_REFUSED);
	fault_set(&fact.fault, code, "", "no");
	assert_true(engine_fact(e, &fact, 2));
	state = run_of(e, &c).state;
	engine_free(e);
	return state;
}

static void test_a_refusal_fails_waits_or_leaves_it_unknown(void **state)
{
	(void)state;
	assert_int_equal(refuse(REASON_NO_SPACE, false), RUN_FAILED);
	/* The earlier one may have been taken: that is asked first. */
	assert_int_equal(refuse(REASON_NO_SPACE, true), RUN_STARTING);
	assert_int_equal(refuse(REASON_TOO_MANY, false), RUN_STARTING);
	assert_int_equal(refuse(REASON_JOURNAL, false), RUN_FAILED);
	assert_int_equal(refuse(REASON_JOURNAL, true), RUN_UNKNOWN);
}

static void test_a_refusal_after_a_start_that_may_have_arrived_is_confirmed(
    void **state)
{
	struct sheet s;
	struct engine *e = one_machine(&s, ACTION_TYPE_SCRIPT);
	struct engine_command c = expect(e, 0, COMMAND_START);
	struct engine_fact fact;

	(void)state;
	assert_true(tell_lost(e, &c, true, 0));
	c = expect(e, engine_tick(e, 0), COMMAND_START);
	fact = about(&c, FACT_REFUSED);
	fault_set(&fact.fault, REASON_NO_SPACE, "", "no room");
	assert_true(engine_fact(e, &fact, 2000));
	c = expect(e, 2000, COMMAND_CANCEL);
	assert_true(tell_end(e, &c, RUN_CANCELLED, 2001));
	assert_int_equal(run_of(e, &c).state, RUN_FAILED);
	assert_int_equal(run_of(e, &c).fault.code, REASON_NO_SPACE);
	engine_free(e);
}

static void test_who_is_passed_over_may_be_loaded_before_who_waits(void **state)
{
	/* web-1 has failed: block 2 passed it over before web-0 began there. */
	struct run_row rows[] = {
		{ .key = { 1, 0, 0, 0 }, .state = RUN_SUCCEEDED },
		{ .key = { 1, 0, 1, 0 }, .state = RUN_FAILED },
		{ .key = { 1, 1, 1, 0 }, .state = RUN_SKIPPED },
	};
	struct engine_command c[4];
	struct sheet s;
	struct engine *e;

	(void)state;
	make_sheet(&s, 1, ACTION_TYPE_SCRIPT);
	s.plan.block_count = 2;
	s.blocks[0].max_failures = 1;
	s.blocks[0].action_count = s.blocks[1].action_count = 1;
	s.blocks[0].target_count = s.blocks[1].target_count = 2;
	s.row.state = TASK_RUNNING;
	for (size_t i = 0; i < 3; i++)
		memset(rows[i].ticket, 'a', TASK_TICKET_SIZE - 1);
	e = engine_with(NULL);
	assert_int_equal(
	    engine_task_add(e, &s.plan, &s.row, rows, 3, NULL), RC_OK);
	assert_int_equal(turn(e, 1, c, 4), 1);
	assert_int_equal(c[0].key.block, 1);
	assert_int_equal(c[0].key.target, 0);
	engine_free(e);
}

static void test_late_wrong_and_repeated_facts_change_nothing(void **state)
{
	struct sheet s;
	struct engine *e = one_machine(&s, ACTION_TYPE_SCRIPT);
	struct engine_command c = expect(e, 0, COMMAND_START), wrong = c;
	struct engine_command next[4];

	(void)state;
	wrong.ticket[0] = wrong.ticket[0] == 'f' ? '0' : 'f';
	assert_false(tell(e, &wrong, FACT_ACCEPTED, 1));
	wrong = c;
	wrong.key.task = 99;
	assert_false(tell(e, &wrong, FACT_ACCEPTED, 1));
	wrong = c;
	wrong.key.block = 7;
	assert_false(tell(e, &wrong, FACT_ACCEPTED, 1));
	wrong = c;
	wrong.key.target = 1000000;
	assert_false(tell(e, &wrong, FACT_ACCEPTED, 1));
	wrong = c;
	wrong.key.action = 1;
	assert_false(tell(e, &wrong, FACT_ACCEPTED, 1));
	assert_false(tell(e, &c, FACT_STAGED, 1));
	assert_false(tell(e, &c, FACT_HEALTH, 1));
	assert_false(tell(e, &c, FACT_TYPE_COUNT, 1));
	assert_false(tell_end(e, &c, RUN_RUNNING, 1));
	assert_false(tell_end(e, &c, RUN_SKIPPED, 1));
	assert_true(tell(e, &c, FACT_ACCEPTED, 1));
	assert_false(tell(e, &c, FACT_ACCEPTED, 1));
	assert_true(tell_end(e, &c, RUN_SUCCEEDED, 1));
	assert_false(tell_end(e, &c, RUN_SUCCEEDED, 1));
	assert_false(tell_end(e, &c, RUN_FAILED, 1));
	assert_false(tell_lost(e, &c, true, 1));
	assert_int_equal(run_of(e, &c).state, RUN_SUCCEEDED);
	assert_int_equal(turn(e, 1, next, 4), 2); /* forget, start */
	engine_free(e);
}

static void test_a_failure_skips_the_rest_of_that_machine_only(void **state)
{
	struct engine_command c[16];
	struct task_row row;
	struct sheet s;
	struct engine *e;
	size_t count;
	uint32_t starts = 0;

	(void)state;
	make_sheet(&s, 1, ACTION_TYPE_SCRIPT);
	s.plan.block_count = 2;
	s.blocks[0].max_failures = 1;
	e = engine_with(&s);
	while ((count = turn(e, 1, c, 16)) > 0) {
		for (size_t i = 0; i < count; i++) {
			bool bad = c[i].key.target == 1;

			if (c[i].type != COMMAND_START)
				continue;
			starts++;
			assert_true(tell_end(
			    e, &c[i], bad ? RUN_FAILED : RUN_SUCCEEDED, 1));
		}
	}
	row = task_of(e, 1);
	assert_int_equal(starts, 3 * 2 * 2 + 1);
	assert_int_equal(row.state, TASK_SUCCEEDED);
	assert_true(row.partial);
	assert_int_equal(row.ok_count, 3);
	assert_int_equal(row.failed_count, 1);
	assert_string_equal(row.fault.text, "web-1: action 0: exit code 3");
	engine_free(e);
}

static void test_a_cancel_skips_what_waits_and_asks_what_runs(void **state)
{
	struct engine_fact cancel = { .type = FACT_CANCEL,
		.key = { .task = 1 } };
	struct engine_command c[8], start;
	struct sheet s;
	struct engine *e;

	(void)state;
	make_sheet(&s, 1, ACTION_TYPE_SCRIPT);
	e = engine_with(&s);
	assert_int_equal(turn(e, 0, c, 8), 2);
	start = c[0];
	assert_true(tell(e, &c[0], FACT_ACCEPTED, 1));
	assert_true(tell_lost(e, &c[1], false, 1));
	fault_set(&cancel.fault, REASON_CANCELLED, "", "cancelled by anna");
	assert_true(engine_fact(e, &cancel, 2));
	assert_false(engine_fact(e, &cancel, 2));
	assert_int_equal(run_of(e, &c[1]).state, RUN_CANCELLED);
	assert_int_equal(task_of(e, 1).state, TASK_CANCELLING);
	assert_int_equal(turn(e, 2, c, 8), 2);
	assert_int_equal(c[0].type, COMMAND_ATTACH);
	assert_int_equal(c[1].type, COMMAND_CANCEL);
	assert_true(tell_end(e, &c[1], RUN_CANCELLED, 3));
	assert_int_equal(run_of(e, &start).state, RUN_CANCELLED);
	assert_int_equal(task_of(e, 1).state, TASK_CANCELLED);
	assert_string_equal(task_of(e, 1).fault.text, "cancelled by anna");
	engine_free(e);
}

static void test_a_cancel_that_comes_too_late_does_not_unmake_success(
    void **state)
{
	const struct engine_fact cancel = { .type = FACT_CANCEL,
		.key = { .task = 1 } };
	struct engine_command c;
	struct sheet s;
	struct engine *e;

	(void)state;
	make_sheet(&s, 1, ACTION_TYPE_SCRIPT);
	s.blocks[0].target_count = 1;
	s.blocks[0].action_count = 1;
	e = engine_with(&s);
	c = expect(e, 0, COMMAND_START);
	assert_true(engine_fact(e, &cancel, 1));
	assert_true(tell_end(e, &c, RUN_SUCCEEDED, 2));
	assert_int_equal(task_of(e, 1).state, TASK_SUCCEEDED);
	engine_free(e);
}

static void test_a_task_ends_at_its_deadline(void **state)
{
	struct sheet s;
	struct engine *e;
	struct engine_command c[8];

	(void)state;
	make_sheet(&s, 1, ACTION_TYPE_STAGE);
	s.plan.deadline_ms = 5000;
	e = engine_with(&s);
	assert_int_equal(engine_tick(e, 0), 5000);
	assert_int_equal(turn(e, 5000, c, 8), 2);
	assert_int_equal(c[0].type, COMMAND_CANCEL);
	assert_int_equal(task_of(e, 1).state, TASK_FAILED);
	assert_int_equal(task_of(e, 1).fault.code, REASON_DEADLINE);
	engine_free(e);
}

static void test_tasks_of_a_lane_wait_for_each_other(void **state)
{
	struct engine_fact cancel = { .type = FACT_CANCEL,
		.key = { .task = 1 } };
	struct engine_command c[8];
	struct sheet one, two;
	struct engine *e;

	(void)state;
	make_sheet(&one, 1, ACTION_TYPE_STAGE);
	make_sheet(&two, 2, ACTION_TYPE_STAGE);
	(void)snprintf(one.plan.lane, TASK_LANE_SIZE, "shop/prod");
	(void)snprintf(two.plan.lane, TASK_LANE_SIZE, "shop/prod");
	e = engine_with(&two);
	assert_int_equal(
	    engine_task_add(e, &one.plan, &one.row, NULL, 0, NULL), RC_OK);
	assert_int_equal(
	    engine_task_add(e, &one.plan, &one.row, NULL, 0, NULL), RC_EXISTS);
	two.plan.number = 3;
	two.row = (struct task_row){ .number = 3, .state = TASK_FAILED };
	assert_int_equal(
	    engine_task_add(e, &two.plan, &two.row, NULL, 0, NULL), RC_STATE);
	assert_int_equal(turn(e, 0, c, 8), 2);
	assert_int_equal(c[0].key.task, 1);
	assert_int_equal(task_of(e, 2).state, TASK_QUEUED);
	assert_true(engine_fact(e, &cancel, 1));
	assert_int_equal(turn(e, 1, c, 8), 4); /* 2 cancels, 2 stages */
	assert_int_equal(c[3].key.task, 2);
	engine_task_remove(e, 1);
	engine_task_remove(e, 1);
	cancel.key.task = 2;
	engine_task_remove(e, 2);
	assert_false(engine_fact(e, &cancel, 1));
	assert_int_equal(engine_in_flight(e), 0);
	engine_free(e);
}

static void test_two_tasks_share_the_places_fairly(void **state)
{
	struct engine_limits limits = engine_limits_default();
	struct engine_command c[8];
	struct sheet one, two;
	struct engine *e;

	(void)state;
	limits.max_in_flight = 4;
	make_sheet(&one, 1, ACTION_TYPE_SCRIPT);
	make_sheet(&two, 2, ACTION_TYPE_SCRIPT);
	one.blocks[0].window = TASK_ALL_AT_ONCE;
	two.blocks[0].window = TASK_ALL_AT_ONCE;
	assert_int_equal(engine_new(&limits, &counter, &e), RC_OK);
	assert_int_equal(
	    engine_task_add(e, &one.plan, &one.row, NULL, 0, NULL), RC_OK);
	assert_int_equal(
	    engine_task_add(e, &two.plan, &two.row, NULL, 0, NULL), RC_OK);
	assert_int_equal(turn(e, 0, c, 8), 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(c[i].key.task, 1 + i % 2);
	assert_int_equal(engine_in_flight(e), 4);
	engine_free(e);
}

static void test_health_sets_the_state_of_the_run(void **state)
{
	static const enum run_state means[MACHINE_HEALTH_COUNT] = {
		[MACHINE_HEALTH_UNKNOWN] = RUN_FAILED,
		[MACHINE_HEALTH_HEALTHY] = RUN_SUCCEEDED,
		[MACHINE_HEALTH_WARNINGS] = RUN_SUCCEEDED,
		[MACHINE_HEALTH_UNHEALTHY] = RUN_FAILED,
		[MACHINE_HEALTH_UNAVAILABLE] = RUN_FAILED,
	};

	(void)state;
	for (int i = 0; i < MACHINE_HEALTH_COUNT; i++) {
		struct sheet s;
		struct engine *e = one_machine(&s, ACTION_TYPE_HEALTH);
		struct engine_command c = expect(e, 0, COMMAND_HEALTH);
		struct engine_fact fact = about(&c, FACT_HEALTH);

		fact.health = (enum machine_health)i;
		assert_true(engine_fact(e, &fact, 1));
		assert_int_equal(run_of(e, &c).state, means[i]);
		assert_int_equal(run_of(e, &c).health, i);
		engine_free(e);
	}
}

static void test_an_unreachable_machine_is_unavailable_at_once(void **state)
{
	struct engine_command c;
	struct sheet s;
	struct engine *e;

	(void)state;
	make_sheet(&s, 1, ACTION_TYPE_HEALTH);
	s.blocks[0].target_count = 1;
	s.actions[0][0].queue_ms = 0;
	e = engine_with(&s);
	c = expect(e, 7, COMMAND_HEALTH);
	assert_true(tell_lost(e, &c, true, 7));
	assert_int_equal(run_of(e, &c).state, RUN_FAILED);
	assert_int_equal(run_of(e, &c).health, MACHINE_HEALTH_UNAVAILABLE);
	expect_silence(e, 7);
	engine_free(e);
}

static void test_plans_that_contradict_themselves_are_refused(void **state)
{
	struct fault fault;
	struct sheet s;

	(void)state;
	make_sheet(&s, 1, ACTION_TYPE_SCRIPT);
	assert_int_equal(task_plan_check(&s.plan, &fault), RC_OK);
	s.targets[3] = 1;
	assert_int_equal(task_plan_check(&s.plan, &fault), RC_PROTO);
	s.targets[3] = MACHINES;
	assert_int_equal(task_plan_check(&s.plan, &fault), RC_PROTO);
	s.targets[3] = 3;
	s.blocks[0].action_count = TASK_ACTIONS_MAX + 1;
	assert_int_equal(task_plan_check(&s.plan, &fault), RC_LIMIT);
	s.blocks[0].action_count = 2;
	s.machines[2].name[0] = '\0';
	assert_int_equal(task_plan_check(&s.plan, &fault), RC_PROTO);
	s.plan.block_count = 0;
	assert_int_equal(task_plan_check(&s.plan, &fault), RC_LIMIT);
}

static enum rc load(struct sheet *s, const struct run_row *rows, size_t count)
{
	struct engine *e = engine_with(NULL);
	struct fault fault = { .code = REASON_NONE };
	enum rc rc;

	s->row.state = TASK_RUNNING;
	rc = engine_task_add(e, &s->plan, &s->row, rows, count, &fault);
	assert_int_equal(rc == RC_OK, fault.text[0] == '\0');
	engine_free(e);
	return rc;
}

static void test_rows_that_contradict_the_plan_are_refused(void **state)
{
	const char *ticket = "00112233445566778899aabbccddeeff";
	struct run_row rows[2] = { { .key = { 1, 0, 0, 0 },
				       .state = RUN_SUCCEEDED },
		{ .key = { 1, 0, 0, 1 }, .state = RUN_RUNNING } };
	struct sheet s;

	(void)state;
	make_sheet(&s, 1, ACTION_TYPE_SCRIPT);
	assert_int_equal(load(&s, rows, 2), RC_PROTO); /* no ticket */
	memcpy(rows[0].ticket, ticket, sizeof(rows[0].ticket));
	memcpy(rows[1].ticket, ticket, sizeof(rows[1].ticket));
	assert_int_equal(load(&s, rows, 2), RC_OK);
	rows[0].state = RUN_FAILED; /* and yet it went on */
	assert_int_equal(load(&s, rows, 2), RC_PROTO);
	rows[0].state = RUN_SUCCEEDED;
	rows[1].key.target = 3; /* entered before the second */
	rows[1].key.action = 0;
	assert_int_equal(load(&s, rows, 2), RC_PROTO);
	rows[1].key.action = 2;
	assert_int_equal(load(&s, rows, 2), RC_PROTO);
	rows[1].key = (struct run_key){ 2, 0, 0, 1 };
	assert_int_equal(load(&s, rows, 2), RC_PROTO);
}

static void test_no_memory_adds_nothing(void **state)
{
	const struct engine_limits limits = engine_limits_default();
	struct engine *e = NULL;
	struct sheet s;
	enum rc rc;

	(void)state;
	make_sheet(&s, 1, ACTION_TYPE_SCRIPT);
	alloc_fail_at(0);
	assert_int_equal(engine_new(&limits, &counter, &e), RC_NOMEM);
	alloc_never_fail();
	e = engine_with(NULL);
	for (size_t n = 0;; n++) {
		struct task_row row;

		alloc_fail_at(n);
		rc = engine_task_add(e, &s.plan, &s.row, NULL, 0, NULL);
		if (!alloc_failed())
			break;
		assert_int_equal(rc, RC_NOMEM);
		assert_int_equal(engine_task_row(e, 1, &row), RC_NOTFOUND);
	}
	alloc_never_fail();
	assert_int_equal(rc, RC_OK);
	engine_free(e);
}

static void test_every_name_can_be_read_back(void **state)
{
	(void)state;
	for (int i = 0; i < TASK_STATE_COUNT; i++) {
		enum task_state s;

		assert_int_equal(
		    task_state_parse(task_state_name((enum task_state)i), &s),
		    RC_OK);
		assert_int_equal(s, i);
	}
	for (int i = 0; i < RUN_STATE_COUNT; i++) {
		enum run_state s;

		assert_int_equal(
		    run_state_parse(run_state_name((enum run_state)i), &s),
		    RC_OK);
		assert_int_equal(s, i);
	}
	assert_string_equal(task_state_name(TASK_STATE_COUNT), "invalid");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_machines_enter_in_order_and_only_as_one_leaves),
		cmocka_unit_test(
		    test_an_undelivered_start_is_sent_again_with_its_ticket),
		cmocka_unit_test(
		    test_a_start_that_may_have_arrived_fails_only_once_confirmed),
		cmocka_unit_test(
		    test_a_machine_that_never_confirms_leaves_it_unknown),
		cmocka_unit_test(
		    test_an_accepted_run_is_attached_and_never_started_again),
		cmocka_unit_test(test_nobody_waits_for_a_machine_that_is_held),
		cmocka_unit_test(test_an_overdue_run_is_cancelled_and_failed),
		cmocka_unit_test(
		    test_a_command_without_any_answer_is_not_waited_for),
		cmocka_unit_test(
		    test_an_unknown_ticket_fails_the_task_with_its_text),
		cmocka_unit_test(
		    test_a_refusal_fails_waits_or_leaves_it_unknown),
		cmocka_unit_test(
		    test_a_refusal_after_a_start_that_may_have_arrived_is_confirmed),
		cmocka_unit_test(
		    test_who_is_passed_over_may_be_loaded_before_who_waits),
		cmocka_unit_test(
		    test_late_wrong_and_repeated_facts_change_nothing),
		cmocka_unit_test(
		    test_a_failure_skips_the_rest_of_that_machine_only),
		cmocka_unit_test(
		    test_a_cancel_skips_what_waits_and_asks_what_runs),
		cmocka_unit_test(
		    test_a_cancel_that_comes_too_late_does_not_unmake_success),
		cmocka_unit_test(test_a_task_ends_at_its_deadline),
		cmocka_unit_test(test_tasks_of_a_lane_wait_for_each_other),
		cmocka_unit_test(test_two_tasks_share_the_places_fairly),
		cmocka_unit_test(test_health_sets_the_state_of_the_run),
		cmocka_unit_test(
		    test_an_unreachable_machine_is_unavailable_at_once),
		cmocka_unit_test(
		    test_plans_that_contradict_themselves_are_refused),
		cmocka_unit_test(
		    test_rows_that_contradict_the_plan_are_refused),
		cmocka_unit_test(test_no_memory_adds_nothing),
		cmocka_unit_test(test_every_name_can_be_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

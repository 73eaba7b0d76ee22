/* One rule at a time about runs; whole fleets are in engine_world_test.c. */
#include "test/support/engine_sheet.h"

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

static void set_clock(struct engine *e, int64_t by_ms, uint64_t from_ms)
{
	const uint64_t now_ms = from_ms + (uint64_t)by_ms;
	struct engine_limits limits = engine_limits_default();

	engine_shift(e, by_ms);
	/* As much is left as was before. */
	expect_silence(e, now_ms);
	expect_silence(e, now_ms + limits.answer_ms - 1);
	(void)expect(e, now_ms + limits.answer_ms, COMMAND_CANCEL);
}

static void test_a_clock_that_is_set_ends_nothing(void **state)
{
	static const int64_t jumps[] = { INT64_C(31536000000), -900000, 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		const uint64_t from_ms = 1000000;
		struct engine_command start;
		struct task_row row;
		struct engine *e;
		struct sheet s;

		make_sheet(&s, 1, ACTION_TYPE_SCRIPT);
		s.blocks[0].target_count = 1;
		s.plan.limit_ms = 86400000;
		e = engine_with(&s);
		start = expect(e, from_ms, COMMAND_START);
		assert_true(tell(e, &start, FACT_ACCEPTED, from_ms));
		(void)expect(e, from_ms, COMMAND_ATTACH);
		set_clock(e, jumps[i], from_ms);
		row = task_of(e, 1);
		assert_int_equal(row.state, TASK_RUNNING);
		assert_int_equal(row.started_ms, from_ms + (uint64_t)jumps[i]);
		assert_int_equal(
		    run_of(e, &start).running_ms, from_ms + (uint64_t)jumps[i]);
		engine_free(e);
	}
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
		cmocka_unit_test(test_a_clock_that_is_set_ends_nothing),
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* One rule at a time about tasks, their plans and their rows. */
#include "test/support/engine_sheet.h"

#include "test/support/alloc.h"

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

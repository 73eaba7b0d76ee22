#include "test/tools/fault_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct fault_command parse(const char *text)
{
	struct fault_command c;
	const char *why;

	assert_int_equal(fault_command_parse(text, &c, &why), RC_OK);
	return c;
}

static void tell(struct fault_line *l, const char *text)
{
	struct fault_command c = parse(text);

	fault_line_apply(l, FAULT_UP, &c);
}

static void test_a_command_says_what_and_where(void **state)
{
	struct fault_command c = parse("  cut up 17 reset\n");

	(void)state;
	assert_int_equal(c.verb, FAULT_CUT);
	assert_true(c.dir[FAULT_UP] && !c.dir[FAULT_DOWN] && c.reset);
	assert_int_equal(c.bytes, 17);
	c = parse("pause");
	assert_true(c.dir[FAULT_UP] && c.dir[FAULT_DOWN]);
	c = parse("pause down");
	assert_true(!c.dir[FAULT_UP] && c.dir[FAULT_DOWN]);
	c = parse("hold both 32768");
	assert_true(c.dir[FAULT_UP] && c.dir[FAULT_DOWN]);
}

static void test_a_wrong_command_is_refused(void **state)
{
	static const char *const wrong[] = { "", "cat up 1", "cut", "cut up",
		"cut both 1", "cut up -1", "cut up 1x", "cut up 1 often",
		"cut up 1000000001", "cut up 99999999999999999999",
		"pause sideways", "hold up 32769", "rate up", "pass up",
		"freeze up 1 reset", "cut up 1 reset now please ok" };
	struct fault_command c;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(
		    fault_command_parse(wrong[i], &c, &why), RC_PROTO);
		assert_non_null(why);
	}
}

static void test_a_cut_comes_once_and_exactly_at_its_byte(void **state)
{
	struct fault_line l;

	(void)state;
	fault_line_init(&l);
	assert_int_equal(fault_line_carried(&l, 100), FAULT_TRIP_NONE);
	tell(&l, "cut up 5");
	assert_int_equal(fault_line_may(&l, 100, 0), 5);
	assert_int_equal(fault_line_carried(&l, 3), FAULT_TRIP_NONE);
	assert_int_equal(fault_line_may(&l, 100, 0), 2);
	assert_int_equal(fault_line_carried(&l, 2), FAULT_TRIP_CLOSE);
	assert_int_equal(fault_line_may(&l, 100, 0), 100);
	assert_int_equal(fault_line_carried(&l, 100), FAULT_TRIP_NONE);
	assert_int_equal(l.carried, 205);
}

static void test_a_cut_at_once_waits_for_something_to_carry(void **state)
{
	struct fault_line l;

	(void)state;
	fault_line_init(&l);
	tell(&l, "cut up 0 reset");
	assert_int_equal(fault_line_may(&l, 9, 0), 0);
	assert_int_equal(fault_line_carried(&l, 0), FAULT_TRIP_RESET);
}

static void test_the_last_bytes_are_held_until_more_come(void **state)
{
	struct fault_line l;

	(void)state;
	fault_line_init(&l);
	tell(&l, "hold up 10");
	assert_int_equal(fault_line_may(&l, 9, 0), 0);
	assert_int_equal(fault_line_may(&l, 10, 0), 0);
	assert_int_equal(fault_line_may(&l, 25, 0), 15);
	tell(&l, "pass");
	assert_int_equal(fault_line_may(&l, 10, 0), 10);
}

static void test_a_pause_stops_all_until_resumed(void **state)
{
	struct fault_line l;

	(void)state;
	fault_line_init(&l);
	tell(&l, "pause");
	assert_int_equal(fault_line_may(&l, 10, 0), 0);
	tell(&l, "resume down");
	assert_int_equal(fault_line_may(&l, 10, 0), 0);
	tell(&l, "resume up");
	assert_int_equal(fault_line_may(&l, 10, 0), 10);
}

static void test_a_rate_is_kept_over_time(void **state)
{
	struct fault_line l;
	size_t sent = 0;

	(void)state;
	fault_line_init(&l);
	tell(&l, "rate up 10000");
	for (uint64_t now_us = 0; now_us < 3000000; now_us += 5000) {
		size_t may = fault_line_may(&l, 100000, now_us);

		assert_int_equal(fault_line_carried(&l, may), FAULT_TRIP_NONE);
		sent += may;
	}
	assert_in_range(sent, 29000, 31002);
	tell(&l, "rate up 0");
	assert_int_equal(fault_line_may(&l, 100000, 3000000), 100000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_command_says_what_and_where),
		cmocka_unit_test(test_a_wrong_command_is_refused),
		cmocka_unit_test(test_a_cut_comes_once_and_exactly_at_its_byte),
		cmocka_unit_test(
		    test_a_cut_at_once_waits_for_something_to_carry),
		cmocka_unit_test(test_the_last_bytes_are_held_until_more_come),
		cmocka_unit_test(test_a_pause_stops_all_until_resumed),
		cmocka_unit_test(test_a_rate_is_kept_over_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * What comes and goes too often is not preferred until it has been quiet.
 */
#include "server/fleet/flap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct flap_settings three_a_minute = {
	.falls = 3,
	.window_ms = 60000,
	.stable_ms = 30000,
};

static void test_what_falls_seldom_is_preferred(void **state)
{
	struct flap flap = { .falls = 0 };

	(void)state;
	for (uint64_t now = 1; now < 1000000; now += 30001) {
		flap_fell(&flap, &three_a_minute, now);
		assert_int_equal(flap_until(&flap, now), 0);
	}
}

static void test_what_falls_often_must_be_quiet_for_a_while(void **state)
{
	struct flap flap = { .falls = 0 };

	(void)state;
	flap_fell(&flap, &three_a_minute, 1000);
	flap_fell(&flap, &three_a_minute, 2000);
	assert_int_equal(flap_until(&flap, 2000), 0);
	flap_fell(&flap, &three_a_minute, 61000);
	assert_int_equal(flap_until(&flap, 61000), 91000);
	assert_int_equal(flap_until(&flap, 90999), 91000);
	assert_int_equal(flap_until(&flap, 91000), 0);
}

static void test_a_fall_before_it_was_quiet_begins_the_wait_anew(void **state)
{
	struct flap flap = { .falls = 0 };

	(void)state;
	for (uint64_t now = 1000; now <= 3000; now += 1000)
		flap_fell(&flap, &three_a_minute, now);
	assert_int_equal(flap_until(&flap, 3000), 33000);
	/* Alone in its window, but it had not been quiet. */
	flap_fell(&flap, &three_a_minute, 32999);
	assert_int_equal(flap_until(&flap, 33000), 62999);
	/* Quiet: it counts from the beginning, but for what is in the window */
	flap_fell(&flap, &three_a_minute, 200000);
	assert_int_equal(flap_until(&flap, 200000), 0);
}

static void test_it_can_be_turned_off(void **state)
{
	const struct flap_settings off = { .window_ms = 60000,
		.stable_ms = 30000 };
	struct flap flap = { .falls = 0 };

	(void)state;
	for (uint64_t now = 1; now < 100; now++)
		flap_fell(&flap, &off, now);
	assert_int_equal(flap_until(&flap, 100), 0);
}

static void test_the_most_falls_that_are_kept_can_be_asked_for(void **state)
{
	const struct flap_settings most = {
		.falls = FLAP_FALLS_MAX, .window_ms = 60000, .stable_ms = 30000
	};
	struct flap flap = { .falls = 0 };

	(void)state;
	for (uint64_t i = 1; i < FLAP_FALLS_MAX; i++)
		flap_fell(&flap, &most, i);
	assert_int_equal(flap_until(&flap, 10), 0);
	flap_fell(&flap, &most, 10);
	assert_int_equal(flap_until(&flap, 10), 30010);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_falls_seldom_is_preferred),
		cmocka_unit_test(
		    test_what_falls_often_must_be_quiet_for_a_while),
		cmocka_unit_test(
		    test_a_fall_before_it_was_quiet_begins_the_wait_anew),
		cmocka_unit_test(test_it_can_be_turned_off),
		cmocka_unit_test(
		    test_the_most_falls_that_are_kept_can_be_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

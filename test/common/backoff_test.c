#include "common/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_the_bound_doubles_up_to_the_most(void **state)
{
	static const uint64_t bounds[] = { 500, 1000, 2000, 4000, 8000, 10000,
		10000 };
	struct backoff b = { .bound_ms = 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++)
		assert_in_range(backoff_next(&b, 500, 10000), 1, bounds[i]);
	assert_int_equal(b.bound_ms, 10000);
	backoff_reset(&b);
	assert_in_range(backoff_next(&b, 500, 10000), 1, 500);
	assert_int_equal(b.bound_ms, 1000);
}

/* The herd: ten thousand that failed together come back evenly. */
static void test_the_wait_is_anywhere_below_the_bound(void **state)
{
	unsigned early = 0, late = 0;

	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		struct backoff b = { .bound_ms = 8000 };
		uint64_t ms = backoff_next(&b, 500, 60000);

		assert_in_range(ms, 1, 8000);
		early += ms <= 800;
		late += ms > 7200;
	}
	assert_in_range(early, 800, 1200);
	assert_in_range(late, 800, 1200);
}

static void test_a_lower_most_holds_at_once(void **state)
{
	struct backoff b = { .bound_ms = 60000 };

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		assert_in_range(backoff_next(&b, 500, 15000), 1, 15000);
	assert_int_equal(b.bound_ms, 15000);
	b.bound_ms = 0;
	assert_int_equal(backoff_next(&b, 0, 0), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_bound_doubles_up_to_the_most),
		cmocka_unit_test(test_the_wait_is_anywhere_below_the_bound),
		cmocka_unit_test(test_a_lower_most_holds_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

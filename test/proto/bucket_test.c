#include "proto/bucket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static size_t take_all(struct bucket *b, uint64_t now_us)
{
	size_t n = 0;

	while (bucket_take(b, now_us))
		n++;
	return n;
}

static void test_a_bucket_starts_full_and_fills_slowly(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 10, 1000000, 25);
	assert_int_equal(take_all(&b, 5), 25);
	assert_int_equal(take_all(&b, 100000), 0);
	assert_int_equal(take_all(&b, 100005), 1);
	assert_int_equal(take_all(&b, 1100005), 10);
	assert_int_equal(take_all(&b, 99000000), 25);
}

static void test_small_steps_of_time_lose_nothing(void **state)
{
	struct bucket b;
	size_t n = 0;

	(void)state;
	bucket_init(&b, 3, 1000000, 1);
	(void)take_all(&b, 0);
	for (uint64_t now_us = 0; now_us <= 1000000; now_us += 7)
		n += take_all(&b, now_us);
	assert_in_range(n, 2, 3);
}

static void test_a_debt_is_paid_back_first(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 1000, 1000000, 100);
	bucket_spend(&b, 600);
	assert_false(bucket_has(&b));
	bucket_fill(&b, 500000);
	assert_false(bucket_has(&b));
	bucket_fill(&b, 500001);
	assert_true(bucket_has(&b));
}

static void test_extreme_times_do_no_harm(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, UINT32_MAX, 1000000, UINT32_MAX);
	bucket_spend(&b, UINT32_MAX);
	bucket_fill(&b, UINT64_MAX);
	assert_true(bucket_has(&b));
	bucket_fill(&b, 0); /* back: as if no time had passed */
	assert_true(bucket_has(&b));
	bucket_init(&b, 0, 1000000, 0);
	assert_int_equal(take_all(&b, UINT64_MAX), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_bucket_starts_full_and_fills_slowly),
		cmocka_unit_test(test_small_steps_of_time_lose_nothing),
		cmocka_unit_test(test_a_debt_is_paid_back_first),
		cmocka_unit_test(test_extreme_times_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

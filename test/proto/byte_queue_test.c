#include "proto/byte_queue.h"
#include "test/support/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static uint8_t source[100000], sink[100000];

static void fill_source(void)
{
	for (size_t i = 0; i < sizeof(source); i++)
		source[i] = (uint8_t)(i * 7 + i / 251);
}

static void test_bytes_come_out_as_they_went_in(void **state)
{
	struct chunk_pool pool = { 0 };
	struct byte_queue q = { 0 };
	size_t in = 0, out = 0, taken;

	(void)state;
	fill_source();
	/* Sizes around every edge of a chunk, in and out of step. */
	for (size_t n = 1; out < sizeof(source); n = n * 5 % 9973 + 1) {
		size_t put = n < sizeof(source) - in ? n : sizeof(source) - in;
		size_t get;

		assert_int_equal(
		    byte_queue_put(&q, &pool, source + in, put, &taken), RC_OK);
		assert_int_equal(taken, put);
		in += put;
		assert_int_equal(q.len, in - out);
		get = n * 3 / 4 < q.len ? n * 3 / 4 + 1 : q.len;
		byte_queue_get(&q, &pool, sink + out, get);
		out += get;
	}
	assert_memory_equal(source, sink, sizeof(source));
	assert_null(q.first); /* an empty queue holds nothing */
	chunk_pool_fini(&pool);
}

static void test_a_cleared_queue_can_be_used_again(void **state)
{
	struct chunk_pool pool = { 0 };
	struct byte_queue q = { 0 };
	size_t taken;

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(
		    byte_queue_put(&q, &pool, source, sizeof(source), &taken),
		    RC_OK);
		byte_queue_clear(&q, &pool);
		assert_int_equal(q.len, 0);
		assert_true(pool.free_count <= 16);
	}
	chunk_pool_fini(&pool);
}

static void test_without_memory_what_fitted_is_kept(void **state)
{
	struct chunk_pool pool = { 0 };
	struct byte_queue q = { 0 };
	size_t taken;

	(void)state;
	fill_source();
	alloc_fail_at(2);
	assert_int_equal(
	    byte_queue_put(&q, &pool, source, sizeof(source), &taken),
	    RC_NOMEM);
	alloc_never_fail();
	assert_in_range(taken, 8000, 8192);
	assert_int_equal(q.len, taken);
	byte_queue_get(&q, &pool, sink, taken);
	assert_memory_equal(source, sink, taken);
	chunk_pool_fini(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_come_out_as_they_went_in),
		cmocka_unit_test(test_a_cleared_queue_can_be_used_again),
		cmocka_unit_test(test_without_memory_what_fitted_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

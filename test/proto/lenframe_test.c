#include "proto/lenframe.h"
#include "test/support/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Three messages of 1, 5 and 600 bytes, one behind the other. */
static struct packbuf three_messages(void)
{
	static const size_t lens[] = { 1, 5, 600 };
	uint8_t content[600];
	struct packbuf b;

	packbuf_init(&b, 4096);
	memset(content, 'm', sizeof(content));
	for (size_t i = 0; i < 3; i++) {
		size_t mark = lenframe_begin(&b);

		content[0] = (uint8_t)('0' + i);
		packbuf_append(&b, bytes_of(content, lens[i]));
		assert_int_equal(lenframe_end(&b, mark, 600), RC_OK);
	}
	return b;
}

static void check_message(struct bytes m, size_t number)
{
	static const size_t lens[] = { 1, 5, 600 };

	assert_true(number < 3);
	assert_int_equal(m.len, lens[number]);
	assert_int_equal(m.p[0], '0' + number);
}

static void test_messages_come_out_whole_however_they_arrive(void **state)
{
	struct packbuf all = three_messages();

	(void)state;
	for (size_t step = 1; step <= all.len; step++) {
		struct lenframe f;
		size_t number = 0;

		lenframe_init(&f, 600);
		for (size_t at = 0; at < all.len; at += step) {
			size_t len = all.len - at < step ? all.len - at : step;
			struct bytes input = bytes_of(all.data + at, len), m;

			do {
				assert_int_equal(
				    lenframe_feed(&f, &input, NULL), RC_OK);
				while (lenframe_next(&f, &m) == RC_OK)
					check_message(m, number++);
			} while (input.len > 0);
		}
		assert_int_equal(number, 3);
		assert_true(lenframe_is_empty(&f));
		lenframe_fini(&f);
	}
	packbuf_fini(&all);
}

static void test_half_a_message_is_not_an_end(void **state)
{
	struct packbuf all = three_messages();
	struct bytes input = bytes_of(all.data, 7), m;
	struct lenframe f;

	(void)state;
	lenframe_init(&f, 600);
	assert_true(lenframe_is_empty(&f));
	assert_int_equal(lenframe_feed(&f, &input, NULL), RC_OK);
	assert_int_equal(input.len, 2);
	assert_false(lenframe_is_empty(&f));
	assert_int_equal(lenframe_next(&f, &m), RC_OK);
	assert_true(lenframe_is_empty(&f));
	assert_int_equal(lenframe_next(&f, &m), RC_AGAIN);
	assert_int_equal(lenframe_feed(&f, &input, NULL), RC_OK);
	assert_int_equal(lenframe_next(&f, &m), RC_AGAIN);
	assert_false(lenframe_is_empty(&f));
	lenframe_fini(&f);
	packbuf_fini(&all);
}

static void test_a_length_beyond_the_limit_is_refused_at_once(void **state)
{
	static const char *const bad[] = { "\xff\xff\xff\xff", "\0\0\0\0",
		"\0\0\x02\x59" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct bytes input = bytes_of(bad[i], 4);
		struct fault fault;
		struct lenframe f;

		lenframe_init(&f, 600);
		assert_int_equal(lenframe_feed(&f, &input, &fault), RC_PROTO);
		assert_non_null(strstr(fault.text, "600"));
		assert_true(f.capacity <= 604);
		lenframe_fini(&f);
	}
}

static void test_a_promised_length_costs_no_memory(void **state)
{
	struct bytes input = bytes_of("\0\x01\0\0abc", 7);
	struct lenframe f;

	(void)state;
	lenframe_init(&f, LENFRAME_STANDING_MAX);
	assert_int_equal(lenframe_feed(&f, &input, NULL), RC_OK);
	assert_true(f.capacity <= 512);
	lenframe_fini(&f);
}

static void test_any_failing_allocation_leaves_it_usable(void **state)
{
	struct packbuf all = three_messages();

	(void)state;
	for (size_t n = 0;; n++) {
		struct bytes input = packbuf_bytes(&all), m;
		struct lenframe f;
		size_t number = 0, failures = 0;

		lenframe_init(&f, 600);
		alloc_fail_at(n);
		while (input.len > 0) {
			if (lenframe_feed(&f, &input, NULL) != RC_OK)
				failures++;
			else if (lenframe_next(&f, &m) == RC_OK)
				check_message(m, number++);
		}
		lenframe_fini(&f);
		assert_int_equal(number, 3);
		assert_int_equal(failures, alloc_failed() ? 1 : 0);
		if (!alloc_failed())
			break;
	}
	alloc_never_fail();
	packbuf_fini(&all);
}

static void test_what_cannot_be_sent_is_taken_off_again(void **state)
{
	struct packbuf b;
	size_t mark;

	(void)state;
	packbuf_init(&b, 20);
	packbuf_append(&b, bytes_text("before"));
	mark = lenframe_begin(&b);
	assert_int_equal(lenframe_end(&b, mark, 10), RC_LIMIT);
	mark = lenframe_begin(&b);
	packbuf_append(&b, bytes_text("12345678901"));
	assert_int_equal(lenframe_end(&b, mark, 10), RC_LIMIT);
	mark = lenframe_begin(&b);
	packbuf_append(&b, bytes_text("1234567890"));
	assert_int_equal(lenframe_end(&b, mark, 10), RC_OK);
	mark = lenframe_begin(&b);
	assert_int_equal(lenframe_end(&b, mark, 10), RC_LIMIT);
	assert_int_equal(b.len, 20);
	packbuf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_messages_come_out_whole_however_they_arrive),
		cmocka_unit_test(test_half_a_message_is_not_an_end),
		cmocka_unit_test(
		    test_a_length_beyond_the_limit_is_refused_at_once),
		cmocka_unit_test(test_a_promised_length_costs_no_memory),
		cmocka_unit_test(test_any_failing_allocation_leaves_it_usable),
		cmocka_unit_test(test_what_cannot_be_sent_is_taken_off_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "proto/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_a_header_survives_the_round_trip(void **state)
{
	const struct frame in = {
		.len = 300, .type = FRAME_OPEN, .flags = 0x81, .id = 0x7ffffffd
	};
	const uint8_t wire[FRAME_HEADER_LEN] = { 1, 44, 1, 0x81, 0x7f, 0xff,
		0xff, 0xfd };
	uint8_t bytes[FRAME_HEADER_LEN + 300] = { 0 };
	struct frame out;

	(void)state;
	frame_encode(&in, bytes);
	assert_memory_equal(bytes, wire, sizeof(wire));
	assert_int_equal(frame_decode(bytes, sizeof(bytes), &out), RC_OK);
	assert_int_equal(out.len, in.len);
	assert_int_equal(out.type, in.type);
	assert_int_equal(out.flags, in.flags);
	assert_int_equal(out.id, in.id);
}

static void test_every_cut_waits_for_more(void **state)
{
	const struct frame in = { .len = 20, .type = FRAME_DATA, .id = 1 };
	uint8_t bytes[FRAME_HEADER_LEN + 20] = { 0 };
	struct frame out;

	(void)state;
	frame_encode(&in, bytes);
	for (size_t n = 0; n < sizeof(bytes); n++)
		assert_int_equal(frame_decode(bytes, n, &out), RC_AGAIN);
	assert_int_equal(frame_decode(bytes, sizeof(bytes), &out), RC_OK);
}

static void test_a_length_above_the_limit_is_refused_at_once(void **state)
{
	uint8_t bytes[2] = { 0x3f, 0xf8 }; /* 16376 */
	struct frame out;

	(void)state;
	assert_int_equal(frame_decode(bytes, 2, &out), RC_AGAIN);
	bytes[1]++;
	assert_int_equal(frame_decode(bytes, 1, &out), RC_AGAIN);
	assert_int_equal(frame_decode(bytes, 2, &out), RC_PROTO);
}

static void test_numbers_are_big_endian(void **state)
{
	uint8_t bytes[4];

	(void)state;
	frame_store_u32(bytes, 0x01020384);
	assert_int_equal(bytes[0], 1);
	assert_int_equal(bytes[3], 0x84);
	assert_int_equal(frame_load_u32(bytes), 0x01020384);
}

static void test_every_type_has_a_name(void **state)
{
	(void)state;
	for (unsigned t = 0; t < FRAME_TYPE_COUNT; t++)
		assert_non_null(frame_type_name(t));
	assert_string_equal(frame_type_name(FRAME_TELL), "TELL");
	assert_string_equal(frame_type_name(99), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_header_survives_the_round_trip),
		cmocka_unit_test(test_every_cut_waits_for_more),
		cmocka_unit_test(
		    test_a_length_above_the_limit_is_refused_at_once),
		cmocka_unit_test(test_numbers_are_big_endian),
		cmocka_unit_test(test_every_type_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

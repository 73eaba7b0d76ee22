/* The small parts: hex, clock, random, buf, nearest. */
#include "common/buf.h"
#include "common/clock.h"
#include "common/hex.h"
#include "common/nearest.h"
#include "common/random.h"
#include "test/support/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_hex_goes_there_and_back(void **state)
{
	uint8_t bytes[3] = { 0x00, 0xaf, 0x19 }, back[3];
	char text[7];

	(void)state;
	hex_encode(bytes, 3, text);
	assert_string_equal(text, "00af19");
	assert_int_equal(hex_decode("00AF19", back, 3), RC_OK);
	assert_memory_equal(bytes, back, 3);
}

static void test_hex_of_another_length_or_alphabet_is_refused(void **state)
{
	uint8_t out[2];

	(void)state;
	assert_int_equal(hex_decode("00a", out, 2), RC_PROTO);
	assert_int_equal(hex_decode("", out, 2), RC_PROTO);
	assert_int_equal(hex_decode("00a10", out, 2), RC_PROTO);
	assert_int_equal(hex_decode("0g00", out, 2), RC_PROTO);
}

static void test_times_are_formatted_as_rfc_3339(void **state)
{
	char text[CLOCK_TEXT_MAX];

	(void)state;
	clock_format(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	clock_format(-1, text);
	assert_string_equal(text, "1969-12-31T23:59:59.999Z");
	clock_format(1782898200125, text);
	assert_string_equal(text, "2026-07-01T09:30:00.125Z");
	clock_format(INT64_MIN, text);
	assert_string_equal(text, "0000-01-01T00:00:00.000Z");
	clock_format(INT64_MAX, text);
	assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

static void test_times_are_parsed_with_zone_and_fraction(void **state)
{
	int64_t ms;

	(void)state;
	assert_int_equal(clock_parse("2026-07-01T09:30:00.125Z", &ms), RC_OK);
	assert_int_equal(ms, 1782898200125);
	assert_int_equal(
	    clock_parse("2026-07-01 11:30:00.1254+02:00", &ms), RC_OK);
	assert_int_equal(ms, 1782898200125);
	assert_int_equal(clock_parse("2026-07-01T00:30:00-09:00", &ms), RC_OK);
	assert_int_equal(ms, 1782898200000);
	assert_int_equal(clock_parse("2016-12-31T23:59:60Z", &ms), RC_OK);
}

static void test_what_is_no_time_is_refused(void **state)
{
	static const char *const bad[] = { "", "2026", "2026-02-30T12:00:00Z",
		"2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z",
		"2026-01-01T00:00:00", "2026-01-01T00:00:00.Z",
		"2026-01-01T00:00:00Z ", "2026-01-01T00:00:00+2:00",
		"2026-00-01T00:00:00Z", "20x6-01-01T00:00:00Z" };
	int64_t ms;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(clock_parse(bad[i], &ms), RC_PROTO);
}

static void test_clocks_go_forward(void **state)
{
	uint64_t before = clock_monotonic_us();

	(void)state;
	assert_true(clock_monotonic_us() >= before);
	assert_true(clock_boottime_us() > 0);
	assert_true(clock_wall_ms() > 1600000000000);
}

static void test_random_numbers_stay_below_their_bound(void **state)
{
	char text[2 * 70 + 1];
	bool seen[3] = { false };

	(void)state;
	for (int i = 0; i < 200; i++)
		seen[random_below(3)] = true;
	assert_true(seen[0] && seen[1] && seen[2]);
	assert_int_equal(random_below(1), 0);
	random_hex(text, 70);
	assert_int_equal(strlen(text), 140);
}

static void test_a_buffer_grows_to_its_limit_and_no_further(void **state)
{
	struct buf b;
	char *text;

	(void)state;
	buf_init(&b, 1000);
	for (int i = 0; i < 100; i++)
		assert_int_equal(buf_printf(&b, "%010d", i), RC_OK);
	assert_int_equal(buf_add(&b, "x", 1), RC_LIMIT);
	assert_int_equal(buf_printf(&b, "x"), RC_LIMIT);
	assert_int_equal(b.len, 1000);
	text = buf_take(&b);
	assert_string_equal(text + 990, "0000000099");
	free(text);
	text = buf_take(&b);
	assert_string_equal(text, "");
	free(text);
	alloc_fail_at(0);
	assert_int_equal(buf_add_text(&b, "x"), RC_NOMEM);
	alloc_never_fail();
	buf_fini(&b);
}

static const char *nearest(const char *word)
{
	static const char *const names[] = { "listen", "log", "machine",
		"environment", "output" };
	struct nearest n;

	nearest_init(&n, word);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		nearest_consider(&n, names[i]);
	return nearest_name(&n);
}

static void test_a_mistyped_name_finds_the_one_meant(void **state)
{
	(void)state;
	assert_string_equal(nearest("lisen"), "listen");
	assert_string_equal(nearest("lgo"), "log");
	assert_string_equal(nearest("machines"), "machine");
	assert_string_equal(nearest("enviroment"), "environment");
	assert_string_equal(nearest("env"), "environment");
	assert_null(nearest("qwerty"));
	assert_null(nearest(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hex_goes_there_and_back),
		cmocka_unit_test(
		    test_hex_of_another_length_or_alphabet_is_refused),
		cmocka_unit_test(test_times_are_formatted_as_rfc_3339),
		cmocka_unit_test(test_times_are_parsed_with_zone_and_fraction),
		cmocka_unit_test(test_what_is_no_time_is_refused),
		cmocka_unit_test(test_clocks_go_forward),
		cmocka_unit_test(test_random_numbers_stay_below_their_bound),
		cmocka_unit_test(
		    test_a_buffer_grows_to_its_limit_and_no_further),
		cmocka_unit_test(test_a_mistyped_name_finds_the_one_meant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "proto/pack.h"
#include "proto/scan.h"
#include "test/support/alloc.h"
#include "test/support/recode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum rc scan(const void *bytes, size_t len, struct fault *fault)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	enum rc rc;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	rc = scan_message(bytes_of(copy, len), fault);
	free(copy);
	return rc;
}

#define SCAN(literal, fault) scan((literal), sizeof(literal) - 1, (fault))

static void test_each_type_that_is_allowed_passes(void **state)
{
	(void)state;
	assert_int_equal(SCAN("\x80", NULL), RC_OK);
	assert_int_equal(SCAN("\xde\x00\x00", NULL), RC_OK);
	assert_int_equal(SCAN("\xdf\x00\x00\x00\x00", NULL), RC_OK);
	assert_int_equal(SCAN("\x81\xa1"
			      "a\xc0",
			     NULL),
	    RC_OK);
	assert_int_equal(SCAN("\x82\xa1"
			      "a\xc2\xa1"
			      "b\xff",
			     NULL),
	    RC_OK);
	assert_int_equal(SCAN("\x81\xd9\x01"
			      "a\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
			     NULL),
	    RC_OK);
	assert_int_equal(
	    SCAN("\x81\xa0\x94\xc4\x01x\xcc\x01\xcd\x01\x02\xd0\x80", NULL),
	    RC_OK);
	assert_int_equal(
	    SCAN("\x81\xa0\xdc\x00\x02\xd2\x01\x02\x03\x04\x90", NULL), RC_OK);
}

static void test_what_hurts_is_refused_and_explained(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *why;
	} bad[] = {
#define BAD(literal, why) { (literal), sizeof(literal) - 1, (why) }
		BAD("", "empty"),
		BAD("\xc0", "not a map"),
		BAD("\x90", "not a map"),
		BAD("\x80\x80", "something behind"),
		BAD("\x81", "more items"),
		BAD("\x81\xa1", "more items"),
		BAD("\x81\xa5zz", "cut short"),
		BAD("\xdf\xff\xff\xff\xff\xa0\xc0", "more items"),
		BAD("\xde\xff\xff\xa0\xc0", "more items"),
		BAD("\xdf\x80\x00\x00\x00\xa0\xc0", "more items"),
		BAD("\x81\xa0\xdb\xff\xff\xff\xff", "cut short"),
		BAD("\x81\xa0\xc6\xff\xff\xff\xffzz", "cut short"),
		BAD("\x81\xa0\xdd\xff\xff\xff\xff", "more items"),
		BAD("\x81\xa0\xdb\xff\xff", "cut short"),
		BAD("\x81\xa0\xcf\x01", "cut short"),
		BAD("\x81\x01\xc0", "a key that is not text"),
		BAD("\x81\xc4\x01z\xc0", "a key that is not text"),
		BAD("\x81\x80\xc0", "a key that is not text"),
		BAD("\x82\xa1z\xc0\xa1z\xc0", "twice"),
		BAD("\x82\xa1z\xc0\xd9\x01z\xc0", "twice"),
		BAD("\x81\xa0\xca\x01\x02\x03\x04", "floating-point"),
		BAD("\x81\xa0\xcb\x01\x02\x03\x04\x01\x02\x03\x04",
		    "floating-point"),
		BAD("\x81\xa0\xc1", "extension"),
		BAD("\x81\xa0\xc7\x01\x01\x01", "extension"),
		BAD("\x81\xa0\xd8\x01\x01\x01", "extension"),
		BAD("\x81\xa0\xd4\x01\x01", "extension"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct fault fault = { 0 };

		assert_int_equal(
		    scan(bad[i].bytes, bad[i].len, &fault), RC_PROTO);
		if (strstr(fault.text, bad[i].why) == NULL)
			fail_msg("%zu: %s", i, fault.text);
	}
}

static void test_the_same_key_may_come_in_two_maps(void **state)
{
	(void)state;
	assert_int_equal(
	    SCAN("\x82\xa1z\x81\xa1z\xc0\xa1y\x81\xa1z\x80", NULL), RC_OK);
	assert_int_equal(
	    SCAN("\x82\xa1z\x81\xa1z\xc0\xa1z\x81\xa1z\x80", NULL), RC_PROTO);
}

/* A map whose value is arrays inside each other, depth levels in all. */
static enum rc scan_depth(size_t depth)
{
	uint8_t bytes[64] = { 0x81, 0xa0 };
	size_t len = 2;

	for (size_t i = 1; i + 1 < depth; i++)
		bytes[len++] = 0x91;
	bytes[len++] = 0x90;
	return scan(bytes, len, NULL);
}

static void test_nesting_ends_at_the_limit(void **state)
{
	(void)state;
	assert_int_equal(scan_depth(SCAN_DEPTH_MAX), RC_OK);
	assert_int_equal(scan_depth(SCAN_DEPTH_MAX + 1), RC_PROTO);
	assert_int_equal(scan_depth(50), RC_PROTO);
}

static enum rc scan_array_of(size_t count)
{
	struct packbuf b;
	enum rc rc;

	packbuf_init(&b, 1 << 20);
	pack_map(&b, 1);
	pack_key(&b, "");
	pack_array(&b, count);
	for (size_t i = 0; i < count; i++)
		pack_bool(&b, true);
	rc = scan_message(packbuf_bytes(&b), NULL);
	packbuf_fini(&b);
	return rc;
}

static void test_the_number_of_values_is_limited(void **state)
{
	(void)state;
	assert_int_equal(scan_array_of(SCAN_OBJECTS_MAX - 3), RC_OK);
	assert_int_equal(scan_array_of(SCAN_OBJECTS_MAX - 2), RC_PROTO);
}

static void map_of(struct packbuf *b, size_t pairs)
{
	pack_map(b, pairs);
	for (size_t i = 0; i < pairs; i++) {
		const uint8_t key[2] = { (uint8_t)(i >> 8), (uint8_t)i };

		pack_text(b, bytes_of(key, 2));
		if (i + 1 < pairs)
			pack_bool(b, true);
	}
}

static void test_the_number_of_keys_is_limited(void **state)
{
	static const struct {
		size_t outer, middle, inner;
		enum rc rc;
	} cases[] = {
		{ SCAN_PAIRS_MAX, 1, 0, RC_OK },
		{ SCAN_PAIRS_MAX + 1, 1, 0, RC_PROTO },
		{ SCAN_PAIRS_MAX, SCAN_PAIRS_MAX, 0, RC_OK },
		{ SCAN_PAIRS_MAX, SCAN_PAIRS_MAX, 1, RC_PROTO },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct packbuf b;

		packbuf_init(&b, 1 << 20);
		map_of(&b, cases[i].outer);
		map_of(&b, cases[i].middle);
		map_of(&b, cases[i].inner);
		if (cases[i].inner > 0)
			pack_bool(&b, true);
		assert_int_equal(
		    scan_message(packbuf_bytes(&b), NULL), cases[i].rc);
		packbuf_fini(&b);
	}
}

/* A small generator, so that each run has the same 400 bombs. */
static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Headers that promise much, in front of few bytes. */
static size_t make_bomb(uint32_t *seed, uint8_t *out, size_t size)
{
	static const uint8_t headers[] = { 0xdf, 0xdd, 0xdb, 0xc6, 0xc9, 0xde,
		0xdc, 0x8f, 0x9f, 0xc8, 0xca, 0xbf, 0xd9, 0x82, 0x91, 0xc1 };
	size_t len = 0, headers_wanted = 1 + next_random(seed) % 40;

	out[len++] = 0x81;
	out[len++] = 0xa0;
	for (size_t i = 0; i < headers_wanted && len + 5 <= size; i++) {
		size_t which = next_random(seed) % sizeof(headers);

		out[len++] = headers[which];
		for (uint32_t n = next_random(seed) % 5; n > 0; n--)
			out[len++] = next_random(seed) % 2 ? 0xff : 0x7f;
	}
	/* Nothing closes it: a last list of 4 thousand million. */
	memcpy(out + len, "\xdd\xff\xff\xff\xff", 5);
	return len + 5;
}

static void test_four_hundred_bombs_are_refused_without_allocating(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (int i = 0; i < 400; i++) {
		uint8_t bomb[256];
		size_t len = make_bomb(&seed, bomb, sizeof(bomb) - 5);
		struct fault fault = { 0 };
		struct packbuf out;

		packbuf_init(&out, 1024);
		alloc_fail_at(0);
		for (size_t r = 0; r < RECODER_COUNT; r++)
			assert_int_equal(recoders[r].recode(
					     bytes_of(bomb, len), &out, &fault),
			    RC_PROTO);
		assert_false(alloc_failed());
		alloc_never_fail();
		assert_int_equal(fault.code, REASON_PROTOCOL);
		packbuf_fini(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_type_that_is_allowed_passes),
		cmocka_unit_test(test_what_hurts_is_refused_and_explained),
		cmocka_unit_test(test_the_same_key_may_come_in_two_maps),
		cmocka_unit_test(test_nesting_ends_at_the_limit),
		cmocka_unit_test(test_the_number_of_values_is_limited),
		cmocka_unit_test(test_the_number_of_keys_is_limited),
		cmocka_unit_test(
		    test_four_hundred_bombs_are_refused_without_allocating),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

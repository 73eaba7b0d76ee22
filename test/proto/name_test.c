#include "proto/name.h"
#include "proto/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ID   "0123456789abcdef0123456789abcdef"
#define TEN  "aaaaaaaaaa"
#define N63  TEN TEN TEN TEN TEN TEN "aaa"
#define V100 TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static void test_names_have_no_separators_and_an_end(void **state)
{
	static const char *const good[] = { "a", "7", "web-03", "a.b_c-d", N63,
		"A..b" };
	static const char *const bad[] = { "", ".", "..", "-a", "_a", "a/b",
		"a b", "a\n", "a\x7f", "a\xc3\xbc", "../etc", "a:b", "a%00",
		N63 "a" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(name_is_valid(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(name_is_valid(bad[i]));
}

static void test_a_wrong_name_is_explained(void **state)
{
	struct fault fault;

	(void)state;
	assert_int_equal(name_check("relay", "dc2", &fault), RC_OK);
	assert_int_equal(name_check("relay", "a\nb", &fault), RC_PROTO);
	assert_non_null(strstr(fault.text, "relay: 'a?b' is not a name"));
	assert_non_null(strstr(fault.text, "63"));
}

static void test_versions_variables_and_tasks_have_their_rules(void **state)
{
	(void)state;
	assert_true(version_is_valid("5.17.14"));
	assert_true(version_is_valid("1.0.0-rc.1+7"));
	assert_false(version_is_valid("+1"));
	assert_false(version_is_valid("1/2"));
	assert_true(variable_is_valid("_x:y.z-1"));
	assert_true(variable_is_valid(V100));
	assert_false(variable_is_valid(V100 "a"));
	assert_false(variable_is_valid("1x"));
	assert_false(variable_is_valid("A=B"));
	assert_true(task_is_valid("task-17/2"));
	assert_false(task_is_valid("/task"));
	assert_false(task_is_valid(""));
}

static void test_ids_are_exactly_lower_case_hex(void **state)
{
	uint8_t bytes[ID_BYTES], again[ID_BYTES];
	char text[ID_SIZE];

	(void)state;
	assert_true(id_is_valid(ID));
	assert_false(id_is_valid(ID "0"));
	assert_false(id_is_valid(""));
	assert_false(id_is_valid("0123456789abcdef0123456789abcde"));
	assert_false(id_is_valid("0123456789ABCDEF0123456789ABCDEF"));
	assert_false(id_is_valid("0123456789abcdef/123456789abcdef"));
	assert_true(digest_is_valid(ID ID));
	assert_false(digest_is_valid(ID));
	assert_int_equal(hex_parse(ID, bytes, sizeof(bytes)), RC_OK);
	assert_int_equal(bytes[1], 0x23);
	hex_format(bytes, sizeof(bytes), text);
	assert_string_equal(text, ID);
	assert_int_equal(hex_parse("0g", again, 1), RC_PROTO);
	assert_int_equal(hex_parse("012", again, 1), RC_PROTO);
	assert_int_equal(hex_parse("", again, 0), RC_PROTO);
}

static void test_targets_are_read_back(void **state)
{
	static const char *const good[] = { "server", "relay/dc2-a",
		"machine/" ID, "relay/" N63 };
	static const char *const bad[] = { "", "servers", "relay/", "relay/a/b",
		"machine/web", "machine/" ID "0", "relay/..", "relay/" N63 "a",
		"Relay/a" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		char text[TARGET_SIZE];
		struct target t;

		assert_int_equal(target_parse(good[i], &t, NULL), RC_OK);
		target_format(&t, text);
		assert_string_equal(text, good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct target t;
		struct fault fault;

		assert_int_equal(target_parse(bad[i], &t, &fault), RC_PROTO);
		assert_non_null(strstr(fault.text, "is not a target"));
	}
}

static void test_paths_are_read_back(void **state)
{
	static const char *const good[] = { "direct", "dc2-a", "dc2-a/dc2-c",
		"a/b/c/d/e/f/g/h", N63 };
	struct path path;
	char text[PATH_SIZE], name[NAME_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(path_parse(good[i], &path, NULL), RC_OK);
		path_format(&path, text);
		assert_string_equal(text, good[i]);
	}
	assert_int_equal(path_parse("a/b", &path, NULL), RC_OK);
	assert_true(path_shift(&path, name));
	assert_string_equal(name, "a");
	assert_false(path_has(&path, "a"));
	assert_true(path_has(&path, "b"));
	assert_true(path_shift(&path, name));
	assert_string_equal(name, "b");
	assert_false(path_shift(&path, name));
}

static void test_a_full_path_of_longest_names_fits(void **state)
{
	char text[PATH_SIZE], again[PATH_SIZE];
	struct path path;

	(void)state;
	memset(text, 'x', sizeof(text));
	for (int i = 0; i < PATH_NAMES_MAX; i++) {
		text[i * NAME_SIZE] = (char)('a' + i);
		text[i * NAME_SIZE + NAME_LEN_MAX] = '/';
	}
	text[PATH_SIZE - 1] = '\0';
	assert_int_equal(path_parse(text, &path, NULL), RC_OK);
	path_format(&path, again);
	assert_string_equal(text, again);
}

static void test_bad_paths_are_explained(void **state)
{
	static const struct {
		const char *text, *why;
		enum rc rc;
	} bad[] = {
		{ "", "not a relay's name", RC_PROTO },
		{ "a/", "not a relay's name", RC_PROTO },
		{ "/a", "not a relay's name", RC_PROTO },
		{ "a//b", "not a relay's name", RC_PROTO },
		{ "../a", "not a relay's name", RC_PROTO },
		{ N63 "a", "not a relay's name", RC_PROTO },
		{ "a/b/a", "twice", RC_EXISTS },
		{ "a/b/c/d/e/f/g/h/i", "more than 8", RC_LIMIT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct path path = { .count = 7 };
		struct fault fault;

		assert_int_equal(
		    path_parse(bad[i].text, &path, &fault), bad[i].rc);
		assert_non_null(strstr(fault.text, bad[i].why));
		assert_int_equal(path.count, 7);
	}
}

static void test_endpoints_are_read_back(void **state)
{
	static const char *const good[] = { "web-03:10933", "10.0.0.3:1",
		"[fd00::1]:65535", "[::ffff:10.0.0.1]:80" };
	static const char *const bad[] = { "", "web", ":80", "web:", "web:0",
		"web:65536", "web:080", "web:8 0", "web:-1", "[fd00::1]",
		"[fd00::1]80", "[web]:80", "[]:80", "[fd00::1:80", "fd00::1:80",
		"a/b:80", "user@web:80", "web:999999", "web\n:80" };
	struct endpoint e;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		char text[ENDPOINT_SIZE];

		assert_int_equal(endpoint_parse(good[i], 0, &e, NULL), RC_OK);
		endpoint_format(&e, text);
		assert_string_equal(text, good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct fault fault;

		if (endpoint_parse(bad[i], 0, &e, &fault) != RC_PROTO)
			fail_msg("'%s' passed", bad[i]);
		assert_non_null(strstr(fault.text, "is not an address"));
	}
	assert_int_equal(endpoint_parse("web", 10933, &e, NULL), RC_OK);
	assert_int_equal(e.port, 10933);
	assert_int_equal(endpoint_parse("[::1]", 10933, &e, NULL), RC_OK);
	assert_string_equal(e.host, "::1");
}

static void test_a_host_name_has_a_limit(void **state)
{
	char text[300];
	struct endpoint e;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text + 253, ":65535", 7);
	assert_int_equal(endpoint_parse(text, 0, &e, NULL), RC_OK);
	memset(text, 'a', sizeof(text));
	memcpy(text + 254, ":1", 3);
	assert_int_equal(endpoint_parse(text, 0, &e, NULL), RC_PROTO);
}

static void test_identities_are_read_back(void **state)
{
	static const char *const good[] = { "spiffe://" ID "/server/node-1",
		"spiffe://" ID "/relay/" N63, "spiffe://" ID "/tentacle/" ID };
	static const char *const bad[] = { "", "spiffe://", "spiffe://" ID,
		"spiffe://" ID "/server", "spiffe://" ID "/server/",
		"spiffe://" ID "/anonymous/a", "spiffe://" ID "/tentacle/web",
		"spiffe://" ID "/king/a", "spiffe://" ID "/server/a/b",
		"spiffe://" ID "0/server/a", "https://" ID "/server/a",
		"spiffe://" ID "/averyveryverylongrole/a",
		"spiffe://0123456789ABCDEF0123456789ABCDEF/server/a" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		char text[SPIFFE_SIZE];
		struct spiffe id;

		assert_int_equal(spiffe_parse(good[i], &id, NULL), RC_OK);
		assert_string_equal(id.cluster, ID);
		spiffe_format(&id, text);
		assert_string_equal(text, good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct spiffe id;
		struct fault fault;

		if (spiffe_parse(bad[i], &id, &fault) != RC_PROTO)
			fail_msg("'%s' passed", bad[i]);
		assert_int_equal(fault.code, REASON_WRONG_IDENTITY);
	}
}

static void test_only_printable_lines_of_utf8_pass(void **state)
{
	static const char *const good[] = { "", "a b", "m\xc3\xbcller",
		"\xe2\x82\xac", "\xf0\x9f\x90\x99", "\xef\xbf\xbd",
		"\xc2\xa0" };
	static const char *const bad[] = { "\n", "\x1b[2J", "\x7f", "\xc2\x9b",
		"\xc3", "\x80", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80",
		"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\xe2(\xa1",
		"\xf0\x80\x80\xaf" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(text_is_line(bytes_text(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		char text[32];

		assert_false(text_is_line(bytes_text(bad[i])));
		(void)snprintf(text, sizeof(text), "a%sb", bad[i]);
		text_scrub(text);
		assert_true(text_is_line(bytes_text(text)));
		assert_int_equal(strlen(text), strlen(bad[i]) + 2);
		assert_int_equal(text[0], 'a');
		assert_int_equal(text[strlen(text) - 1], 'b');
	}
}

static void test_a_fault_cut_inside_a_character_stays_utf8(void **state)
{
	char text[FAULT_TEXT_MAX + 2] = "x";
	struct fault fault;

	(void)state;
	for (size_t i = 1; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xbc", 3);
	fault_set(&fault, REASON_INTERNAL, "a\tb", "%s", text);
	assert_true(text_is_line(bytes_text(fault.text)));
	assert_string_equal(fault.at, "a?b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_have_no_separators_and_an_end),
		cmocka_unit_test(test_a_wrong_name_is_explained),
		cmocka_unit_test(
		    test_versions_variables_and_tasks_have_their_rules),
		cmocka_unit_test(test_ids_are_exactly_lower_case_hex),
		cmocka_unit_test(test_targets_are_read_back),
		cmocka_unit_test(test_paths_are_read_back),
		cmocka_unit_test(test_a_full_path_of_longest_names_fits),
		cmocka_unit_test(test_bad_paths_are_explained),
		cmocka_unit_test(test_endpoints_are_read_back),
		cmocka_unit_test(test_a_host_name_has_a_limit),
		cmocka_unit_test(test_identities_are_read_back),
		cmocka_unit_test(test_only_printable_lines_of_utf8_pass),
		cmocka_unit_test(
		    test_a_fault_cut_inside_a_character_stays_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "test/support/pki.h"

#include "common/token.h"

static const uint8_t root_hash[KEY_HASH_SIZE] = { 1, 2, 3, 0xff };

static void test_a_token_comes_back_from_its_text(void **state)
{
	struct token made, read;
	char text[TOKEN_TEXT_SIZE], again[TOKEN_TEXT_SIZE];
	struct fault fault = { 0 };
	int i;

	(void)state;
	for (i = 0; i < 50; i++) {
		assert_int_equal(
		    token_generate(CLUSTER, root_hash, &made), RC_OK);
		token_format(&made, text);
		assert_int_equal(
		    token_parse(text, strlen(text), &read, &fault), RC_OK);
		assert_memory_equal(&made, &read, sizeof(made));
		token_format(&read, again);
		assert_string_equal(text, again);
		assert_int_equal(
		    strncmp(text, "lj1." CLUSTER ".010203ff", 45), 0);
	}
}

static void test_white_space_around_it_is_ignored(void **state)
{
	struct token made, read;
	char text[2 + TOKEN_TEXT_SIZE + 2] = " \t";

	(void)state;
	assert_int_equal(token_generate(CLUSTER, root_hash, &made), RC_OK);
	token_format(&made, text + 2);
	strcat(text, "\r\n");
	assert_int_equal(token_parse(text, strlen(text), &read, NULL), RC_OK);
	assert_memory_equal(&made, &read, sizeof(made));
}

static void test_a_token_cut_anywhere_is_refused_and_wiped(void **state)
{
	static const struct token nothing;
	struct token made, read;
	char text[TOKEN_TEXT_SIZE];
	size_t len;

	(void)state;
	assert_int_equal(token_generate(CLUSTER, root_hash, &made), RC_OK);
	token_format(&made, text);
	for (len = 0; len < strlen(text); len++) {
		struct fault fault = { 0 };

		assert_int_equal(
		    token_parse(text, len, &read, &fault), RC_PROTO);
		assert_int_equal(fault.code, REASON_TOKEN);
		assert_memory_equal(&read, &nothing, sizeof(read));
	}
}

static void test_every_wrong_part_is_named_and_no_secret_repeated(void **state)
{
#define HASH "0102030000000000000000000000000000000000000000000000000000000000"
#define GOOD "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	static const struct {
		const char *text, *words;
	} bad[] = {
		{ "", "five parts" },
		{ "lj1.a.b.c", "five parts" },
		{ "lj1." CLUSTER "." HASH ".id." GOOD ".more", "five parts" },
		{ "lj2." CLUSTER "." HASH ".id." GOOD, "begin with" },
		{ "lj1.0011." HASH ".id." GOOD, "second part" },
		{ "lj1." CLUSTER ".abcd.id." GOOD, "third part" },
		{ "lj1." CLUSTER "." HASH "..", "fourth part" },
		{ "lj1." CLUSTER "." HASH ".i/d." GOOD, "fourth part" },
		{ "lj1." CLUSTER "." HASH ".id." GOOD "A", "last part" },
		{ "lj1." CLUSTER "." HASH ".id.SECRETSECRET", "last part" },
		{ "lj1." CLUSTER "." HASH
		  ".id.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
		    "last part" }, /* unused bits set */
		{ "lj1." CLUSTER "." HASH
		  ".id.AAAAAAAAAAAAAAAAAAAAA+AAAAAAAAAAAAAAAAAAAAA",
		    "last part" },
	};
	struct token read;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct fault fault = { 0 };

		assert_int_equal(token_parse(bad[i].text, strlen(bad[i].text),
				     &read, &fault),
		    RC_PROTO);
		if (strstr(fault.text, bad[i].words) == NULL)
			fail_msg(
			    "'%s' does not say '%s'", fault.text, bad[i].words);
		assert_null(strstr(fault.text, "SECRET"));
	}
}

static void test_only_the_secret_itself_matches_its_hash(void **state)
{
	struct token made;
	uint8_t hash[32], again[32];

	(void)state;
	assert_int_equal(token_generate(CLUSTER, root_hash, &made), RC_OK);
	assert_int_equal(token_secret_hash(made.secret, hash), RC_OK);
	assert_int_equal(token_secret_hash(made.secret, again), RC_OK);
	assert_memory_equal(hash, again, sizeof(hash));
	made.secret[31] ^= 1;
	assert_int_equal(token_secret_hash(made.secret, again), RC_OK);
	assert_memory_not_equal(hash, again, sizeof(hash));
}

static void test_two_tokens_differ(void **state)
{
	struct token a, b;

	(void)state;
	assert_int_equal(token_generate(CLUSTER, root_hash, &a), RC_OK);
	assert_int_equal(token_generate(CLUSTER, root_hash, &b), RC_OK);
	assert_string_not_equal(a.id, b.id);
	assert_memory_not_equal(a.secret, b.secret, sizeof(a.secret));
	assert_true(token_id_is_valid(a.id));
	assert_int_equal(token_generate("short", root_hash, &a), RC_PROTO);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_token_comes_back_from_its_text),
		cmocka_unit_test(test_white_space_around_it_is_ignored),
		cmocka_unit_test(
		    test_a_token_cut_anywhere_is_refused_and_wiped),
		cmocka_unit_test(
		    test_every_wrong_part_is_named_and_no_secret_repeated),
		cmocka_unit_test(test_only_the_secret_itself_matches_its_hash),
		cmocka_unit_test(test_two_tokens_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

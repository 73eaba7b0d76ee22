#include "test/support/pki.h"

#include "common/wrap.h"

static void test_a_secret_comes_back(void **state)
{
	struct wrap_key key;
	uint8_t plain[300], blob[300 + WRAP_OVERHEAD], out[300];
	size_t len;

	(void)state;
	memset(plain, 'p', sizeof(plain));
	assert_int_equal(wrap_key_generate(&key), RC_OK);
	for (len = 0; len <= sizeof(plain); len += 50) {
		memset(out, 0, sizeof(out));
		assert_int_equal(
		    wrap_seal(&key, "variable/12", plain, len, blob), RC_OK);
		assert_int_equal(wrap_open(&key, "variable/12", blob,
				     len + WRAP_OVERHEAD, out, NULL),
		    RC_OK);
		assert_memory_equal(plain, out, len);
	}
}

static void test_the_same_secret_never_looks_the_same(void **state)
{
	struct wrap_key key;
	uint8_t a[4 + WRAP_OVERHEAD], b[4 + WRAP_OVERHEAD];

	(void)state;
	assert_int_equal(wrap_key_generate(&key), RC_OK);
	assert_int_equal(
	    wrap_seal(&key, "x", (const uint8_t *)"same", 4, a), RC_OK);
	assert_int_equal(
	    wrap_seal(&key, "x", (const uint8_t *)"same", 4, b), RC_OK);
	assert_memory_not_equal(a, b, sizeof(a));
}

static void test_any_changed_byte_is_noticed_and_nothing_leaks(void **state)
{
	struct wrap_key key;
	uint8_t blob[6 + WRAP_OVERHEAD], out[6];
	static const uint8_t nothing[6];
	size_t i;

	(void)state;
	assert_int_equal(wrap_key_generate(&key), RC_OK);
	assert_int_equal(
	    wrap_seal(&key, "x", (const uint8_t *)"secret", 6, blob), RC_OK);
	for (i = 0; i < sizeof(blob); i++) {
		memset(out, 0, sizeof(out));
		blob[i] ^= 0x40;
		assert_int_not_equal(
		    wrap_open(&key, "x", blob, sizeof(blob), out, NULL), RC_OK);
		assert_memory_equal(out, nothing, sizeof(out));
		blob[i] ^= 0x40;
	}
	assert_int_equal(
	    wrap_open(&key, "x", blob, sizeof(blob), out, NULL), RC_OK);
}

static void test_a_secret_belongs_to_its_place(void **state)
{
	struct wrap_key key;
	uint8_t blob[1 + WRAP_OVERHEAD], out[1];
	struct fault fault = { 0 };

	(void)state;
	assert_int_equal(wrap_key_generate(&key), RC_OK);
	assert_int_equal(
	    wrap_seal(&key, "variable/12", (const uint8_t *)"x", 1, blob),
	    RC_OK);
	assert_int_equal(
	    wrap_open(&key, "variable/13", blob, sizeof(blob), out, &fault),
	    RC_CRYPTO);
	assert_non_null(strstr(fault.text, "variable/13"));
}

static void test_another_master_key_is_named(void **state)
{
	struct wrap_key key, other;
	uint8_t blob[1 + WRAP_OVERHEAD], out[1];
	struct fault fault = { 0 };

	(void)state;
	assert_int_equal(wrap_key_generate(&key), RC_OK);
	assert_int_equal(wrap_key_generate(&other), RC_OK);
	assert_int_equal(
	    wrap_seal(&key, "x", (const uint8_t *)"x", 1, blob), RC_OK);
	assert_int_equal(
	    wrap_open(&other, "x", blob, sizeof(blob), out, &fault), RC_CRYPTO);
	assert_int_equal(fault.code, REASON_BAD_CONFIG);
	assert_non_null(strstr(fault.text, "by master key"));
}

static void test_a_blob_cut_anywhere_is_refused(void **state)
{
	struct wrap_key key;
	uint8_t blob[5 + WRAP_OVERHEAD], out[5];
	size_t len;

	(void)state;
	assert_int_equal(wrap_key_generate(&key), RC_OK);
	assert_int_equal(
	    wrap_seal(&key, "x", (const uint8_t *)"hello", 5, blob), RC_OK);
	for (len = 0; len < sizeof(blob); len++)
		assert_int_not_equal(
		    wrap_open(&key, "x", blob, len, out, NULL), RC_OK);
}

static void test_a_secret_beyond_the_limit_is_refused(void **state)
{
	struct wrap_key key;
	uint8_t one[1];

	(void)state;
	assert_int_equal(wrap_key_generate(&key), RC_OK);
	assert_int_equal(
	    wrap_seal(&key, "x", one, (size_t)WRAP_MAX + 1, one), RC_LIMIT);
}

static void test_a_master_key_comes_back_from_its_text(void **state)
{
	struct wrap_key key, read;
	char text[WRAP_KEY_TEXT_SIZE + 1];
	size_t len;

	(void)state;
	assert_int_equal(wrap_key_generate(&key), RC_OK);
	wrap_key_format(&key, text);
	assert_int_equal(strlen(text), WRAP_KEY_TEXT_SIZE - 1);
	strcat(text, "\n");
	assert_int_equal(
	    wrap_key_parse(text, strlen(text), &read, NULL), RC_OK);
	assert_memory_equal(&key, &read, sizeof(key));
	for (len = 0; len < WRAP_KEY_TEXT_SIZE - 1; len++)
		assert_int_equal(
		    wrap_key_parse(text, len, &read, NULL), RC_PROTO);
	text[10] = 'G';
	assert_int_equal(
	    wrap_key_parse(text, strlen(text), &read, NULL), RC_PROTO);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_secret_comes_back),
		cmocka_unit_test(test_the_same_secret_never_looks_the_same),
		cmocka_unit_test(
		    test_any_changed_byte_is_noticed_and_nothing_leaks),
		cmocka_unit_test(test_a_secret_belongs_to_its_place),
		cmocka_unit_test(test_another_master_key_is_named),
		cmocka_unit_test(test_a_blob_cut_anywhere_is_refused),
		cmocka_unit_test(test_a_secret_beyond_the_limit_is_refused),
		cmocka_unit_test(test_a_master_key_comes_back_from_its_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

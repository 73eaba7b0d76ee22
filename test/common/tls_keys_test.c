#include "test/support/pki.h"

#include "common/hex.h"
#include "common/tls_keys.h"

#include <openssl/evp.h>

/* RFC 8448, section 3: the client's application data, its first record. */
#define SECRET                                                                 \
	"9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"
#define KEY "17422dda596ed5d9acd890e3c63f5051"
#define IV  "5b78923dee08579033e523d9"
#define RECORD                                                                 \
	"1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b98" \
	"19a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21" \
	"694915e4"
#define CONTENT_LEN 50

static struct tls_keys keys_of(const EVP_CIPHER *suite)
{
	struct tls_keys keys = { 0 };

	assert_int_equal(
	    hex_decode(SECRET, keys.secret, TLS_SECRET_SIZE), RC_OK);
	assert_int_equal(tls_keys_begin(&keys, suite), RC_OK);
	return keys;
}

static void test_keys_are_those_of_the_standard(void **state)
{
	struct tls_keys keys = keys_of(EVP_aes_128_gcm());
	uint8_t key[16], iv[TLS_IV_SIZE];

	(void)state;
	assert_int_equal(hex_decode(KEY, key, sizeof(key)), RC_OK);
	assert_int_equal(hex_decode(IV, iv, sizeof(iv)), RC_OK);
	assert_memory_equal(keys.key, key, sizeof(key));
	assert_memory_equal(keys.iv, iv, sizeof(iv));
	tls_keys_fini(&keys);
}

static void test_records_are_those_of_the_standard(void **state)
{
	struct tls_keys out = keys_of(EVP_aes_128_gcm());
	struct tls_keys in = keys_of(EVP_aes_128_gcm());
	uint8_t content[CONTENT_LEN], record[CONTENT_LEN + TLS_RECORD_EXTRA],
	    wanted[sizeof(record)], plain[CONTENT_LEN + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(content); i++)
		content[i] = (uint8_t)i;
	assert_int_equal(hex_decode(RECORD, wanted, sizeof(wanted)), RC_OK);
	assert_int_equal(tls_keys_seal(&out, TLS_CONTENT_DATA, content,
			     sizeof(content), record),
	    RC_OK);
	assert_memory_equal(record, wanted, sizeof(wanted));
	assert_int_equal(
	    tls_keys_open(&in, wanted, sizeof(wanted) - TLS_HEADER_LEN, plain),
	    RC_OK);
	assert_memory_equal(plain, content, sizeof(content));
	assert_int_equal(plain[CONTENT_LEN], TLS_CONTENT_DATA);
	tls_keys_fini(&out);
	tls_keys_fini(&in);
}

/* Sent n times over, in place, with pauses and new keys. */
static void exchange(const EVP_CIPHER *suite)
{
	struct tls_keys out = keys_of(suite), in = keys_of(suite);
	uint8_t record[3 + TLS_RECORD_EXTRA], before[sizeof(record)] = { 0 };

	for (int i = 0; i < 300; i++) {
		assert_int_equal(tls_keys_seal(&out, TLS_CONTENT_DATA,
				     (const uint8_t *)"abc", 3, record),
		    RC_OK);
		assert_memory_not_equal(record, before, sizeof(record));
		memcpy(before, record, sizeof(record));
		assert_int_equal(
		    tls_keys_open(&in, record, sizeof(record) - TLS_HEADER_LEN,
			record + TLS_HEADER_LEN),
		    RC_OK);
		assert_memory_equal(record + TLS_HEADER_LEN, "abc", 3);
		if (i % 7 == 0)
			tls_keys_rest(&out);
		if (i % 5 == 0)
			tls_keys_rest(&in);
		if (i % 100 == 0) {
			assert_int_equal(tls_keys_update(&out), RC_OK);
			assert_int_equal(tls_keys_update(&in), RC_OK);
		}
	}
	tls_keys_fini(&out);
	tls_keys_fini(&in);
}

static void test_no_two_records_are_alike_and_all_can_be_read(void **state)
{
	(void)state;
	exchange(EVP_aes_128_gcm());
	exchange(EVP_chacha20_poly1305());
}

static void test_a_record_changed_anywhere_is_not_authentic(void **state)
{
	struct tls_keys out = keys_of(EVP_aes_128_gcm());
	uint8_t record[3 + TLS_RECORD_EXTRA], plain[4], none[4] = { 0 };

	(void)state;
	assert_int_equal(tls_keys_seal(&out, TLS_CONTENT_DATA,
			     (const uint8_t *)"abc", 3, record),
	    RC_OK);
	for (size_t i = 0; i < sizeof(record); i++) {
		struct tls_keys in = keys_of(EVP_aes_128_gcm());

		record[i] ^= 1;
		memset(plain, 1, sizeof(plain));
		assert_int_equal(tls_keys_open(&in, record,
				     sizeof(record) - TLS_HEADER_LEN, plain),
		    RC_DENIED);
		assert_memory_equal(plain, none, sizeof(none));
		record[i] ^= 1;
		tls_keys_fini(&in);
	}
	tls_keys_fini(&out);
}

static void test_a_record_cannot_be_read_twice(void **state)
{
	struct tls_keys out = keys_of(EVP_aes_128_gcm());
	struct tls_keys in = keys_of(EVP_aes_128_gcm());
	uint8_t record[3 + TLS_RECORD_EXTRA], plain[4];
	const size_t len = sizeof(record) - TLS_HEADER_LEN;

	(void)state;
	assert_int_equal(tls_keys_seal(&out, TLS_CONTENT_DATA,
			     (const uint8_t *)"abc", 3, record),
	    RC_OK);
	assert_int_equal(tls_keys_open(&in, record, len, plain), RC_OK);
	assert_int_equal(tls_keys_open(&in, record, len, plain), RC_DENIED);
	tls_keys_fini(&out);
	tls_keys_fini(&in);
}

static void test_nothing_is_left_of_the_secrets(void **state)
{
	struct tls_keys keys = keys_of(EVP_aes_128_gcm()), none = { 0 };

	(void)state;
	tls_keys_fini(&keys);
	assert_memory_equal(&keys, &none, sizeof(none));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys_are_those_of_the_standard),
		cmocka_unit_test(test_records_are_those_of_the_standard),
		cmocka_unit_test(
		    test_no_two_records_are_alike_and_all_can_be_read),
		cmocka_unit_test(
		    test_a_record_changed_anywhere_is_not_authentic),
		cmocka_unit_test(test_a_record_cannot_be_read_twice),
		cmocka_unit_test(test_nothing_is_left_of_the_secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "common/tls_keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <string.h>

#define PREFIX      "tls13 "
#define LABEL_MAX   24
#define VERSION_LOW 3 /* a record's version is 0x0303, whatever it is */

/*
 * HKDF-Expand-Label with an empty context; out_len is at most one hash, so that
 * HKDF-Expand is one HMAC.
 */
static MUST_CHECK enum rc expand(const uint8_t secret[TLS_SECRET_SIZE],
    const char *label, uint8_t *out, size_t out_len)
{
	uint8_t info[2 + 1 + LABEL_MAX + 1 + 1], hash[EVP_MAX_MD_SIZE];
	const size_t prefix_len = strlen(PREFIX), label_len = strlen(label);
	size_t n = 0;
	unsigned hash_len = 0;

	if (prefix_len + label_len > LABEL_MAX || out_len > TLS_SECRET_SIZE)
		return RC_CRYPTO;
	info[n++] = 0;
	info[n++] = (uint8_t)out_len;
	info[n++] = (uint8_t)(prefix_len + label_len);
	memcpy(info + n, PREFIX, prefix_len);
	n += prefix_len;
	memcpy(info + n, label, label_len);
	n += label_len;
	info[n++] = 0; /* no context */
	info[n++] = 1; /* the first block */
	if (HMAC(EVP_sha256(), secret, TLS_SECRET_SIZE, info, n, hash,
		&hash_len) == NULL ||
	    hash_len != TLS_SECRET_SIZE)
		return RC_CRYPTO;
	memcpy(out, hash, out_len);
	OPENSSL_cleanse(hash, sizeof(hash));
	return RC_OK;
}

enum rc tls_keys_begin(struct tls_keys *keys, const EVP_CIPHER *suite)
{
	const int key_len = EVP_CIPHER_get_key_length(suite);
	enum rc rc;

	if (key_len <= 0 || key_len > TLS_KEY_MAX ||
	    EVP_CIPHER_get_iv_length(suite) != TLS_IV_SIZE)
		return RC_CRYPTO;
	tls_keys_rest(keys);
	keys->suite = suite;
	keys->records = 0;
	rc = expand(keys->secret, "key", keys->key, (size_t)key_len);
	if (rc == RC_OK)
		rc = expand(keys->secret, "iv", keys->iv, TLS_IV_SIZE);
	return rc;
}

enum rc tls_keys_update(struct tls_keys *keys)
{
	uint8_t next[TLS_SECRET_SIZE];
	enum rc rc = expand(keys->secret, "traffic upd", next, TLS_SECRET_SIZE);

	if (rc == RC_OK) {
		memcpy(keys->secret, next, TLS_SECRET_SIZE);
		rc = tls_keys_begin(keys, keys->suite);
	}
	OPENSSL_cleanse(next, sizeof(next));
	return rc;
}

void tls_keys_rest(struct tls_keys *keys)
{
	EVP_CIPHER_CTX_free(keys->cipher);
	keys->cipher = NULL;
}

void tls_keys_fini(struct tls_keys *keys)
{
	tls_keys_rest(keys);
	OPENSSL_cleanse(keys, sizeof(*keys));
}

/* The cipher with the nonce of the next record. */
static MUST_CHECK enum rc next_record(struct tls_keys *keys, bool encrypt)
{
	uint8_t nonce[TLS_IV_SIZE];

	if (keys->suite == NULL)
		return RC_STATE;
	if (keys->cipher == NULL) {
		keys->cipher = EVP_CIPHER_CTX_new();
		if (keys->cipher == NULL)
			return RC_NOMEM;
		if (EVP_CipherInit_ex(keys->cipher, keys->suite, NULL,
			keys->key, NULL, encrypt ? 1 : 0) != 1) {
			tls_keys_rest(keys);
			return RC_CRYPTO;
		}
	}
	memcpy(nonce, keys->iv, TLS_IV_SIZE);
	for (size_t i = 0; i < sizeof(keys->records); i++)
		nonce[TLS_IV_SIZE - 1 - i] ^=
		    (uint8_t)(keys->records >> (8 * i));
	return EVP_CipherInit_ex(keys->cipher, NULL, NULL, NULL, nonce, -1) == 1
	           ? RC_OK
	           : RC_CRYPTO;
}

enum rc tls_keys_seal(struct tls_keys *keys, enum tls_content type,
    const uint8_t *data, size_t len, uint8_t *out)
{
	const size_t payload = len + 1 + TLS_TAG_SIZE;
	const uint8_t inner = (uint8_t)type;
	enum rc rc = next_record(keys, true);
	uint8_t *at = out + TLS_HEADER_LEN;
	int n = 0;

	if (rc != RC_OK)
		return rc;
	out[0] = TLS_CONTENT_DATA;
	out[1] = VERSION_LOW;
	out[2] = VERSION_LOW;
	out[3] = (uint8_t)(payload >> 8);
	out[4] = (uint8_t)payload;
	if (EVP_EncryptUpdate(keys->cipher, NULL, &n, out, TLS_HEADER_LEN) != 1)
		return RC_CRYPTO;
	if (len > 0 &&
	    (EVP_EncryptUpdate(keys->cipher, at, &n, data, (int)len) != 1 ||
		n != (int)len))
		return RC_CRYPTO;
	at += len;
	if (EVP_EncryptUpdate(keys->cipher, at, &n, &inner, 1) != 1 || n != 1 ||
	    EVP_EncryptFinal_ex(keys->cipher, at + 1, &n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(
		keys->cipher, EVP_CTRL_AEAD_GET_TAG, TLS_TAG_SIZE, at + 1) != 1)
		return RC_CRYPTO;
	keys->records++;
	return RC_OK;
}

enum rc tls_keys_open(
    struct tls_keys *keys, const uint8_t *record, size_t len, uint8_t *plain)
{
	const uint8_t *payload = record + TLS_HEADER_LEN;
	const size_t text = len - TLS_TAG_SIZE;
	uint8_t tag[TLS_TAG_SIZE], nothing[1];
	enum rc rc = next_record(keys, false);
	int n = 0;

	if (rc != RC_OK)
		return rc;
	memcpy(tag, payload + text, TLS_TAG_SIZE);
	if (EVP_DecryptUpdate(keys->cipher, NULL, &n, record, TLS_HEADER_LEN) !=
		1 ||
	    (text > 0 && EVP_DecryptUpdate(keys->cipher, plain, &n, payload,
			     (int)text) != 1) ||
	    EVP_CIPHER_CTX_ctrl(
		keys->cipher, EVP_CTRL_AEAD_SET_TAG, TLS_TAG_SIZE, tag) != 1)
		rc = RC_CRYPTO;
	else if (EVP_DecryptFinal_ex(keys->cipher, nothing, &n) != 1)
		rc = RC_DENIED;
	if (rc == RC_OK)
		keys->records++;
	else
		OPENSSL_cleanse(plain, text);
	return rc;
}

#include "common/wrap.h"

#include "proto/name.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define VERSION     1
#define PREFIX      "lm1."
#define NONCE_SIZE  12
#define TAG_SIZE    16
#define NONCE_AT    (1 + WRAP_KEY_ID_SIZE)
#define CIPHER_AT   (NONCE_AT + NONCE_SIZE)
#define CONTEXT_MAX 1024

/* The id is a hash of the key under a label, so it gives nothing away. */
static MUST_CHECK enum rc set_id(struct wrap_key *key)
{
	static const char label[] = "longarm master key id";
	uint8_t text[sizeof(label) + WRAP_KEY_SIZE];
	uint8_t digest[32];
	bool ok;

	memcpy(text, label, sizeof(label));
	memcpy(text + sizeof(label), key->key, WRAP_KEY_SIZE);
	ok = EVP_Digest(text, sizeof(text), digest, NULL, EVP_sha256(), NULL) ==
	     1;
	if (ok)
		memcpy(key->id, digest, WRAP_KEY_ID_SIZE);
	OPENSSL_cleanse(text, sizeof(text));
	return ok ? RC_OK : RC_CRYPTO;
}

enum rc wrap_key_generate(struct wrap_key *out)
{
	if (RAND_priv_bytes(out->key, sizeof(out->key)) != 1)
		return RC_CRYPTO;
	return set_id(out);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

enum rc wrap_key_parse(
    const char *text, size_t len, struct wrap_key *out, struct fault *fault)
{
	const size_t prefix = strlen(PREFIX);
	char digits[2 * WRAP_KEY_SIZE + 1];
	enum rc rc = RC_PROTO;

	while (len > 0 && is_space(text[0])) {
		text++;
		len--;
	}
	while (len > 0 && is_space(text[len - 1]))
		len--;
	if (len == WRAP_KEY_TEXT_SIZE - 1 &&
	    memcmp(text, PREFIX, prefix) == 0) {
		memcpy(digits, text + prefix, sizeof(digits) - 1);
		digits[sizeof(digits) - 1] = '\0';
		rc = hex_parse(digits, out->key, WRAP_KEY_SIZE);
		OPENSSL_cleanse(digits, sizeof(digits));
	}
	if (rc == RC_OK)
		return set_id(out);
	wrap_key_fini(out);
	fault_set(fault, REASON_BAD_CONFIG, "",
	    "this is no master key: it must be '" PREFIX
	    "' and %d hexadecimal digits",
	    2 * WRAP_KEY_SIZE);
	return RC_PROTO;
}

void wrap_key_format(const struct wrap_key *key, char out[WRAP_KEY_TEXT_SIZE])
{
	(void)snprintf(out, WRAP_KEY_TEXT_SIZE, "%s", PREFIX);
	hex_format(key->key, WRAP_KEY_SIZE, out + strlen(PREFIX));
}

void wrap_key_fini(struct wrap_key *key)
{
	OPENSSL_cleanse(key, sizeof(*key));
}

/* Header and context are what a reader must agree on. */
static bool add_context(
    EVP_CIPHER_CTX *c, bool seal, const uint8_t *header, const char *context)
{
	const size_t len = strlen(context);
	int n;

	if (len > CONTEXT_MAX)
		return false;
	if (seal)
		return EVP_EncryptUpdate(c, NULL, &n, header, NONCE_AT) == 1 &&
		       EVP_EncryptUpdate(c, NULL, &n, (const uint8_t *)context,
			   (int)len) == 1;
	return EVP_DecryptUpdate(c, NULL, &n, header, NONCE_AT) == 1 &&
	       EVP_DecryptUpdate(
		   c, NULL, &n, (const uint8_t *)context, (int)len) == 1;
}

enum rc wrap_seal(const struct wrap_key *key, const char *context,
    const uint8_t *plain, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *c;
	bool ok;
	int n = 0;

	if (len > WRAP_MAX)
		return RC_LIMIT;
	c = EVP_CIPHER_CTX_new();
	if (c == NULL)
		return RC_NOMEM;
	out[0] = VERSION;
	memcpy(out + 1, key->id, WRAP_KEY_ID_SIZE);
	ok = RAND_bytes(out + NONCE_AT, NONCE_SIZE) == 1 &&
	     EVP_EncryptInit_ex2(
		 c, EVP_aes_256_gcm(), key->key, out + NONCE_AT, NULL) == 1 &&
	     add_context(c, true, out, context) &&
	     (len == 0 || EVP_EncryptUpdate(
			      c, out + CIPHER_AT, &n, plain, (int)len) == 1) &&
	     EVP_EncryptFinal_ex(c, out + CIPHER_AT + len, &n) == 1 &&
	     EVP_CIPHER_CTX_ctrl(
		 c, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, out + CIPHER_AT + len) == 1;
	EVP_CIPHER_CTX_free(c);
	return ok ? RC_OK : RC_CRYPTO;
}

/* Decrypt len bytes; the blob's shape has been checked. */
static bool decrypt(const struct wrap_key *key, const char *context,
    const uint8_t *blob, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	uint8_t tag[TAG_SIZE];
	uint8_t rest[TAG_SIZE]; /* GCM leaves nothing for the last step */
	bool ok;
	int n = 0;

	memcpy(tag, blob + CIPHER_AT + len, TAG_SIZE);
	ok = c != NULL &&
	     EVP_DecryptInit_ex2(
		 c, EVP_aes_256_gcm(), key->key, blob + NONCE_AT, NULL) == 1 &&
	     add_context(c, false, blob, context) &&
	     (len == 0 || EVP_DecryptUpdate(
			      c, out, &n, blob + CIPHER_AT, (int)len) == 1) &&
	     EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, tag) == 1 &&
	     EVP_DecryptFinal_ex(c, rest, &n) == 1;
	EVP_CIPHER_CTX_free(c);
	return ok;
}

enum rc wrap_open(const struct wrap_key *key, const char *context,
    const uint8_t *blob, size_t len, uint8_t *out, struct fault *fault)
{
	char own[2 * WRAP_KEY_ID_SIZE + 1], other[2 * WRAP_KEY_ID_SIZE + 1];

	if (len < WRAP_OVERHEAD || len - WRAP_OVERHEAD > WRAP_MAX ||
	    blob[0] != VERSION) {
		fault_set(fault, REASON_INTERNAL, "",
		    "%s: not a wrapped secret of version %d", context, VERSION);
		return RC_PROTO;
	}
	len -= WRAP_OVERHEAD;
	if (memcmp(blob + 1, key->id, WRAP_KEY_ID_SIZE) != 0) {
		hex_format(blob + 1, WRAP_KEY_ID_SIZE, other);
		hex_format(key->id, WRAP_KEY_ID_SIZE, own);
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "%s was wrapped by master key %s, and this one is %s",
		    context, other, own);
		return RC_CRYPTO;
	}
	if (decrypt(key, context, blob, len, out))
		return RC_OK;
	if (len > 0)
		OPENSSL_cleanse(out, len);
	fault_set(fault, REASON_INTERNAL, "",
	    "%s: the wrapped secret was changed, or belongs elsewhere",
	    context);
	return RC_CRYPTO;
}

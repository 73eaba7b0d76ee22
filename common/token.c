#include "common/token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#define PREFIX        "lj1"
#define PARTS         5
#define SECRET_DIGITS 43 /* base64url of 32 bytes, without padding */

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				"abcdefghijklmnopqrstuvwxyz0123456789-_";

bool token_id_is_valid(const char *id)
{
	size_t len = strlen(id);

	return len > 0 && len < TOKEN_ID_SIZE &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

enum rc token_generate(const char *cluster,
    const uint8_t root_hash[KEY_HASH_SIZE], struct token *out)
{
	static const char digits[33] = "abcdefghijkmnpqrstuvwxyz23456789";
	uint8_t bytes[12];
	size_t i;

	memset(out, 0, sizeof(*out));
	if (!id_is_valid(cluster))
		return RC_PROTO;
	if (RAND_bytes(bytes, sizeof(bytes)) != 1 ||
	    RAND_bytes(out->secret, sizeof(out->secret)) != 1)
		return RC_CRYPTO;
	memcpy(out->cluster, cluster, ID_SIZE);
	memcpy(out->root_hash, root_hash, KEY_HASH_SIZE);
	for (i = 0; i < sizeof(bytes); i++)
		out->id[i] = digits[bytes[i] % 32];
	return RC_OK;
}

/* 32 bytes as 43 digits and a NUL. */
static void format_secret(
    const uint8_t secret[TOKEN_SECRET_SIZE], char out[SECRET_DIGITS + 1])
{
	uint32_t bits = 0;
	unsigned have = 0;
	size_t i, n = 0;

	for (i = 0; i < TOKEN_SECRET_SIZE; i++) {
		bits = (bits << 8) | secret[i];
		for (have += 8; have >= 6; have -= 6)
			out[n++] = base64url[(bits >> (have - 6)) & 63];
	}
	out[n++] = base64url[(bits << (6 - have)) & 63];
	out[n] = '\0';
}

/* The inverse; false: another length, other digits, or unused bits set. */
static bool parse_secret(
    const char *text, size_t len, uint8_t out[TOKEN_SECRET_SIZE])
{
	uint32_t bits = 0;
	unsigned have = 0;
	size_t i, n = 0;

	if (len != SECRET_DIGITS)
		return false;
	for (i = 0; i < len; i++) {
		const char *digit =
		    text[i] != '\0' ? strchr(base64url, text[i]) : NULL;

		if (digit == NULL)
			return false;
		bits = (bits << 6) | (uint32_t)(digit - base64url);
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[n++] = (uint8_t)(bits >> have);
		}
	}
	return n == TOKEN_SECRET_SIZE && (bits & ((1U << have) - 1)) == 0;
}

struct part {
	const char *p;
	size_t len;
};

/* Cut at the dots; false: not exactly PARTS. */
static bool split(const char *text, size_t len, struct part parts[PARTS])
{
	size_t i, n = 0;

	parts[0].p = text;
	parts[0].len = 0;
	for (i = 0; i < len; i++) {
		if (text[i] != '.') {
			parts[n].len++;
			continue;
		}
		if (++n == PARTS)
			return false;
		parts[n].p = text + i + 1;
		parts[n].len = 0;
	}
	return n == PARTS - 1;
}

/* Copy a part as text; false: longer than out can hold, or a NUL inside. */
static bool copy_part(const struct part *part, char *out, size_t size)
{
	if (part->len >= size || memchr(part->p, '\0', part->len) != NULL)
		return false;
	memcpy(out, part->p, part->len);
	out[part->len] = '\0';
	return true;
}

/* NULL, or what is wrong. */
static const char *parse_parts(
    const struct part parts[PARTS], struct token *out)
{
	char hash[2 * KEY_HASH_SIZE + 1];

	if (parts[0].len != strlen(PREFIX) ||
	    memcmp(parts[0].p, PREFIX, parts[0].len) != 0)
		return "it does not begin with '" PREFIX ".'";
	if (!copy_part(&parts[1], out->cluster, sizeof(out->cluster)) ||
	    !id_is_valid(out->cluster))
		return "its second part, the cluster's id, is not 32 "
		       "hexadecimal digits";
	if (!copy_part(&parts[2], hash, sizeof(hash)) ||
	    hex_parse(hash, out->root_hash, KEY_HASH_SIZE) != RC_OK)
		return "its third part, the hash of the root's key, is not 64 "
		       "hexadecimal digits";
	if (!copy_part(&parts[3], out->id, sizeof(out->id)) ||
	    !token_id_is_valid(out->id))
		return "its fourth part, the token's id, is malformed";
	if (!parse_secret(parts[4].p, parts[4].len, out->secret))
		return "its last part, the secret, is cut short or changed";
	return NULL;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

enum rc token_parse(
    const char *text, size_t len, struct token *out, struct fault *fault)
{
	struct part parts[PARTS];
	const char *wrong;

	memset(out, 0, sizeof(*out));
	while (len > 0 && is_space(text[0])) {
		text++;
		len--;
	}
	while (len > 0 && is_space(text[len - 1]))
		len--;
	if (len >= TOKEN_TEXT_SIZE || !split(text, len, parts))
		wrong = "it is not five parts between dots";
	else
		wrong = parse_parts(parts, out);
	if (wrong == NULL)
		return RC_OK;
	token_fini(out);
	fault_set(fault, REASON_TOKEN, "", "this is no join token: %s", wrong);
	return RC_PROTO;
}

void token_format(const struct token *token, char out[TOKEN_TEXT_SIZE])
{
	char hash[2 * KEY_HASH_SIZE + 1];
	char secret[SECRET_DIGITS + 1];

	hex_format(token->root_hash, KEY_HASH_SIZE, hash);
	format_secret(token->secret, secret);
	(void)snprintf(out, TOKEN_TEXT_SIZE, PREFIX ".%s.%s.%s.%s",
	    token->cluster, hash, token->id, secret);
	OPENSSL_cleanse(secret, sizeof(secret));
}

void token_fini(struct token *token)
{
	OPENSSL_cleanse(token, sizeof(*token));
}

enum rc token_secret_hash(
    const uint8_t secret[TOKEN_SECRET_SIZE], uint8_t out[32])
{
	return EVP_Digest(secret, TOKEN_SECRET_SIZE, out, NULL, EVP_sha256(),
		   NULL) == 1
	           ? RC_OK
	           : RC_CRYPTO;
}

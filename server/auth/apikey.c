#include "server/auth/apikey.h"
#include "common/hex.h"
#include "common/random.h"
#include "common/secret.h"
#include "proto/name.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define PREFIX       "lk1."
#define PREFIX_LEN   4
#define KEY_ID_BYTES 8
#define KEY_ID_LEN   16 /* 2 * KEY_ID_BYTES */
#define SECRET_BYTES 32
#define SECRET_AT    21 /* PREFIX_LEN + KEY_ID_LEN + 1 */
#define TEXT_LEN     85 /* SECRET_AT + 2 * SECRET_BYTES */

_Static_assert(TEXT_LEN + 1 == APIKEY_TEXT_SIZE, "as the header says");

void caller_clear(struct caller *c)
{
	names_clear(&c->environments);
	c->permissions = 0;
}

static enum rc hash_secret(
    const uint8_t secret[SECRET_BYTES], uint8_t out[STORE_SHA256_SIZE])
{
	unsigned len = 0;

	return EVP_Digest(
		   secret, SECRET_BYTES, out, &len, EVP_sha256(), NULL) == 1
	           ? RC_OK
	           : RC_CRYPTO;
}

enum rc apikey_create(struct db *db, const struct apikey_wish *wish,
    char text[APIKEY_TEXT_SIZE], struct fault *fault)
{
	struct store_apikey k = {
		.permissions = wish->permissions & PERM_ALL,
		.expires_ms = wish->expires_ms,
		.created_ms = wish->now_ms,
	};
	uint8_t secret[SECRET_BYTES];
	char hex[2 * SECRET_BYTES + 1];
	enum rc rc = name_check("API key", wish->name, fault);

	if (rc != RC_OK)
		return rc;
	if (wish->environments != NULL)
		k.environments = *wish->environments; /* borrowed */
	(void)snprintf(k.name, sizeof(k.name), "%s", wish->name);
	random_hex(k.id, KEY_ID_BYTES);
	random_bytes(secret, sizeof(secret));
	rc = hash_secret(secret, k.secret);
	if (rc == RC_OK)
		rc = store_apikey_create(db, &k, fault);
	if (rc == RC_OK) {
		hex_encode(secret, sizeof(secret), hex);
		(void)snprintf(
		    text, APIKEY_TEXT_SIZE, PREFIX "%.16s.%.64s", k.id, hex);
	}
	secret_wipe(hex, sizeof(hex));
	secret_wipe(secret, sizeof(secret));
	return rc;
}

/* RC_PROTO: not of the form. */
static enum rc split(
    const char *text, char id[KEY_ID_LEN + 1], uint8_t secret[SECRET_BYTES])
{
	if (strnlen(text, APIKEY_TEXT_SIZE) != TEXT_LEN ||
	    memcmp(text, PREFIX, PREFIX_LEN) != 0 || text[SECRET_AT - 1] != '.')
		return RC_PROTO;
	memcpy(id, text + PREFIX_LEN, KEY_ID_LEN);
	id[KEY_ID_LEN] = '\0';
	return hex_decode(text + SECRET_AT, secret, SECRET_BYTES);
}

static enum rc deny(struct fault *fault)
{
	fault_set(fault, REASON_NOT_PERMITTED, "",
	    "API key: not known here; make one with: longarm apikey create");
	return RC_DENIED;
}

/* An unknown id takes the same way as a wrong secret, against a hash that no
 * secret has. */
static enum rc look_up(struct db *db, const char *id, struct store_apikey *out)
{
	enum rc rc = store_apikey_get(db, id, out);

	if (rc == RC_NOTFOUND)
		*out = (struct store_apikey){ 0 };
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc judge(const struct store_apikey *k,
    const uint8_t hash[STORE_SHA256_SIZE], uint64_t now_ms, struct fault *fault)
{
	if (CRYPTO_memcmp(hash, k->secret, STORE_SHA256_SIZE) != 0 ||
	    k->id[0] == '\0')
		return deny(fault);
	if (k->expires_ms != 0 && k->expires_ms <= now_ms) {
		fault_set(fault, REASON_EXPIRED, "", "API key %s: has expired",
		    k->name);
		return RC_DENIED;
	}
	return RC_OK;
}

enum rc apikey_verify(struct db *db, const char *text, uint64_t now_ms,
    struct caller *out, struct fault *fault)
{
	struct store_apikey k = { 0 };
	uint8_t secret[SECRET_BYTES] = { 0 }, hash[STORE_SHA256_SIZE];
	char id[KEY_ID_LEN + 1];
	enum rc rc = split(text, id, secret);

	if (rc != RC_OK) {
		rc = deny(fault);
		goto out;
	}
	rc = hash_secret(secret, hash);
	if (rc == RC_OK)
		rc = look_up(db, id, &k);
	if (rc == RC_OK)
		rc = judge(&k, hash, now_ms, fault);
	if (rc == RC_OK)
		rc = store_apikey_used(db, k.id, now_ms);
	if (rc != RC_OK)
		goto out;
	*out = (struct caller){ .permissions = k.permissions & PERM_ALL,
		.environments = k.environments };
	k.environments = (struct names){ 0 }; /* now out's */
	(void)snprintf(out->who, sizeof(out->who), "apikey %s", k.name);
	(void)snprintf(out->key_id, sizeof(out->key_id), "%s", k.id);
out:
	secret_wipe(secret, sizeof(secret));
	store_apikey_clear(&k);
	return rc;
}

bool caller_sees(const struct caller *c, const char *environment)
{
	if (c->environments.count == 0)
		return true;
	for (size_t i = 0; i < c->environments.count; i++)
		if (strcmp(c->environments.at[i], environment) == 0)
			return true;
	return false;
}

/* A package alone changes no environment. */
static bool needs_no_environment(enum permission p)
{
	const char *dot = strrchr(permission_name(p), '.');

	return p == PERM_PACKAGE_PUSH ||
	       (dot != NULL && strcmp(dot, ".view") == 0);
}

enum rc caller_may(const struct caller *c, enum permission p,
    const char *environment, struct fault *fault)
{
	if ((unsigned)p >= PERM_COUNT || (c->permissions & PERM_BIT(p)) == 0) {
		fault_set(fault, REASON_NOT_PERMITTED, "",
		    "%s: lacks the permission %s", c->who, permission_name(p));
		return RC_DENIED;
	}
	if (environment == NULL && c->environments.count > 0 &&
	    !needs_no_environment(p)) {
		fault_set(fault, REASON_NOT_PERMITTED, "",
		    "%s: is confined to some environments, %s is about all",
		    c->who, permission_name(p));
		return RC_DENIED;
	}
	if (environment != NULL && !caller_sees(c, environment)) {
		fault_set(fault, REASON_NOT_PERMITTED, "",
		    "%s: is not for environment %s", c->who, environment);
		return RC_DENIED;
	}
	return RC_OK;
}

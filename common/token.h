/*
 * token.h - the text that lets one process join:
 *
 *     lj1.<cluster id>.<SHA-256 of the root's public key>.<id>.<secret>
 *
 * Cluster and root let the joiner prove the server before it shows the secret;
 * everything else about the token is kept by the server, which holds only the
 * SHA-256 of the secret.  A value with a secret in it: wipe it by token_fini().
 */
#ifndef COMMON_TOKEN_H
#define COMMON_TOKEN_H

#include "common/key.h"
#include "proto/name.h"
#include "proto/rc.h"
#include "proto/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKEN_SECRET_SIZE 32
#define TOKEN_ID_SIZE     (40 + 1) /* [a-z0-9-]{1,40} */
#define TOKEN_TEXT_SIZE   256      /* with the NUL */

struct token {
	char cluster[ID_SIZE];
	uint8_t root_hash[KEY_HASH_SIZE];
	char id[TOKEN_ID_SIZE];
	uint8_t secret[TOKEN_SECRET_SIZE];
};

/*
 * A fresh id (12 random digits and letters) and secret.  RC_CRYPTO: no
 * randomness.
 */
MUST_CHECK enum rc token_generate(const char *cluster,
    const uint8_t root_hash[KEY_HASH_SIZE], struct token *out);
/*
 * White space around the text is ignored.  RC_PROTO: *fault (reason token)
 * says which part is wrong and never repeats the text.  *out is wiped then.
 */
MUST_CHECK enum rc token_parse(
    const char *text, size_t len, struct token *out, struct fault *fault);
/* NUL-terminated; a secret: OPENSSL_cleanse(out, TOKEN_TEXT_SIZE) after use. */
void token_format(const struct token *token, char out[TOKEN_TEXT_SIZE]);
void token_fini(struct token *token);

bool token_id_is_valid(const char *id);
/* What the server keeps: SHA-256 of the secret. */
MUST_CHECK enum rc token_secret_hash(
    const uint8_t secret[TOKEN_SECRET_SIZE], uint8_t out[32]);

#endif

/*
 * wrap.h - secrets at rest, under the cluster's master key: AES-256-GCM with a
 * random nonce.  What is wrapped is bound to its place by a context, e.g.
 * "variable/12", so that a row cannot be swapped for another.  Pure.
 *
 *     version (1) | key id (8) | nonce (12) | ciphertext | tag (16)
 */
#ifndef COMMON_WRAP_H
#define COMMON_WRAP_H

#include "proto/rc.h"
#include "proto/reason.h"

#include <stddef.h>
#include <stdint.h>

#define WRAP_KEY_SIZE      32
#define WRAP_KEY_ID_SIZE   8
#define WRAP_OVERHEAD      (1 + WRAP_KEY_ID_SIZE + 12 + 16)
#define WRAP_MAX           1048576                     /* bytes of one secret */
#define WRAP_KEY_TEXT_SIZE (4 + 2 * WRAP_KEY_SIZE + 1) /* with the NUL */

/* A secret: wipe by wrap_key_fini(). */
struct wrap_key {
	uint8_t key[WRAP_KEY_SIZE];
	uint8_t id[WRAP_KEY_ID_SIZE]; /* of the key; may be shown */
};

MUST_CHECK enum rc wrap_key_generate(struct wrap_key *out);
/* "lm1." and 64 hexadecimal digits, white space around them ignored. */
MUST_CHECK enum rc wrap_key_parse(
    const char *text, size_t len, struct wrap_key *out, struct fault *fault);
void wrap_key_format(const struct wrap_key *key, char out[WRAP_KEY_TEXT_SIZE]);
void wrap_key_fini(struct wrap_key *key);

/*
 * out has len + WRAP_OVERHEAD bytes; context is NUL-terminated and not stored.
 * RC_LIMIT: over WRAP_MAX; RC_CRYPTO.
 */
MUST_CHECK enum rc wrap_seal(const struct wrap_key *key, const char *context,
    const uint8_t *plain, size_t len, uint8_t *out);
/*
 * out has len - WRAP_OVERHEAD bytes.
 * RC_PROTO: no such blob; RC_CRYPTO: another key, another context, or changed;
 * *fault says which as far as one can know.  out is wiped then.
 */
MUST_CHECK enum rc wrap_open(const struct wrap_key *key, const char *context,
    const uint8_t *blob, size_t len, uint8_t *out, struct fault *fault);

#endif

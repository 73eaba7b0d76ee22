/*
 * key.h - private keys, and the hash by which a public key is known.
 *
 * Keys are OpenSSL's EVP_PKEY: reference counted, read-only once made, so any
 * thread may use them.  The key hash is the SHA-256 of the public key's
 * SubjectPublicKeyInfo; roots are pinned and certificates revoked by it.
 */
#ifndef COMMON_KEY_H
#define COMMON_KEY_H

#include "proto/rc.h"
#include "proto/reason.h"

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_HASH_SIZE 32
#define KEY_PEM_MAX   4096 /* bytes with the NUL; ours have under 300 */
#define KEY_CSR_MAX   4096 /* bytes of DER; ours have under 300 */

enum key_kind {
	KEY_ED25519, /* links and seals */
	KEY_P256,    /* what a browser must understand: root, HTTPS */
};

/* The caller frees *out with EVP_PKEY_free.  RC_CRYPTO: no randomness. */
MUST_CHECK enum rc key_generate(enum key_kind kind, EVP_PKEY **out);

/*
 * PKCS#8 PEM, unencrypted: a secret, so wipe it (OPENSSL_cleanse) after use.
 * *len: bytes without the NUL that follows them.  RC_CRYPTO: not a key we
 * keep, i.e. neither Ed25519 nor P-256.
 */
MUST_CHECK enum rc key_to_pem(
    const EVP_PKEY *key, char out[KEY_PEM_MAX], size_t *len);
MUST_CHECK enum rc key_from_pem(
    const char *pem, size_t len, EVP_PKEY **out, struct fault *fault);

/* Only Ed25519 and P-256 are spoken; any other kind is refused everywhere. */
bool key_is_allowed(const EVP_PKEY *key);

MUST_CHECK enum rc key_hash(const EVP_PKEY *key, uint8_t out[KEY_HASH_SIZE]);

/*
 * A certificate request (DER) that carries the public key and proves
 * possession of the private one; its subject is empty because the server
 * alone decides on names.  Free *out with free().
 */
MUST_CHECK enum rc key_make_csr(EVP_PKEY *key, uint8_t **out, size_t *len);
/*
 * The public key of a hostile request whose proof of possession holds.  Free
 * *out with EVP_PKEY_free.  RC_PROTO: no request; RC_CRYPTO: proof or kind of
 * key do not satisfy.
 */
MUST_CHECK enum rc key_from_csr(
    const uint8_t *der, size_t len, EVP_PKEY **out, struct fault *fault);

#endif

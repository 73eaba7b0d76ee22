/*
 * tls_keys.h - the records of an open TLS 1.3 session, one way: RFC 8446,
 * sections 5.2 and 7.2.  No session, no I/O; errors are told by rc.
 *
 * OpenSSL shakes hands and gives us the traffic secrets; its session is freed
 * then.  What is left of one way are a secret, a key and a counter; the cipher
 * is made from them when a record comes or goes, and freed at rest.
 */
#ifndef COMMON_TLS_KEYS_H
#define COMMON_TLS_KEYS_H

#include "proto/rc.h"

#include <openssl/types.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_SECRET_SIZE  32 /* of SHA-256, which all our suites have */
#define TLS_KEY_MAX      32
#define TLS_IV_SIZE      12
#define TLS_TAG_SIZE     16
#define TLS_HEADER_LEN   5
#define TLS_CONTENT_MAX  16384 /* plain bytes of one record */
#define TLS_PAYLOAD_MAX  (TLS_CONTENT_MAX + 256)
#define TLS_RECORD_EXTRA (TLS_HEADER_LEN + 1 + TLS_TAG_SIZE)
/* With one key no more than this; RFC 8446, section 5.5, with a margin. */
#define TLS_KEY_RECORDS (UINT64_C(1) << 24)

enum tls_content {
	TLS_CONTENT_ALERT = 21,
	TLS_CONTENT_HANDSHAKE = 22,
	TLS_CONTENT_DATA = 23
};

struct tls_keys {
	const EVP_CIPHER *suite; /* borrowed; NULL: no keys yet */
	EVP_CIPHER_CTX *cipher;  /* NULL: at rest */
	uint64_t records;        /* with this key */
	uint8_t secret[TLS_SECRET_SIZE];
	uint8_t key[TLS_KEY_MAX];
	uint8_t iv[TLS_IV_SIZE];
};

/* From keys->secret; suite must live as long as keys.  RC_CRYPTO. */
MUST_CHECK enum rc tls_keys_begin(
    struct tls_keys *keys, const EVP_CIPHER *suite);
/* A key update: the next secret, key and count.  RC_CRYPTO. */
MUST_CHECK enum rc tls_keys_update(struct tls_keys *keys);
void tls_keys_rest(struct tls_keys *keys);
/* And forget the secrets. */
void tls_keys_fini(struct tls_keys *keys);

/*
 * Write one record of len <= TLS_CONTENT_MAX bytes: len + TLS_RECORD_EXTRA
 * bytes to out.  RC_CRYPTO, RC_NOMEM: there is none.
 */
MUST_CHECK enum rc tls_keys_seal(struct tls_keys *keys, enum tls_content type,
    const uint8_t *data, size_t len, uint8_t *out);
/*
 * Read one whole record of TLS_HEADER_LEN + len bytes, len at least
 * TLS_TAG_SIZE, to plain: room for len - TLS_TAG_SIZE bytes; it may be record +
 * TLS_HEADER_LEN.  What comes out is the content, with its type at the end and
 * padding behind it.  RC_DENIED: not authentic, nothing came out; RC_CRYPTO,
 * RC_NOMEM.
 */
MUST_CHECK enum rc tls_keys_open(
    struct tls_keys *keys, const uint8_t *record, size_t len, uint8_t *plain);

#endif

/*
 * certs.h - a short list of certificates: a chain (leaf first) or a bundle of
 * roots.  Values own their certificates.  Threads: a list belongs to one; the
 * certificates in it are reference counted and read-only.
 */
#ifndef COMMON_CERTS_H
#define COMMON_CERTS_H

#include "common/key.h"
#include "proto/name.h"
#include "proto/rc.h"
#include "proto/reason.h"

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CERTS_MAX      8     /* certificates in a list */
#define CERTS_DER_MAX  4096  /* bytes of one; ours have under 700 */
#define CERTS_PEM_MAX  65536 /* bytes of a file of them */
#define CERTS_URI_SIZE 256

struct certs {
	size_t count;
	X509 *cert[CERTS_MAX];
};

void certs_init(struct certs *list); /* empty */
void certs_fini(struct certs *list); /* frees, and leaves an empty list */
MUST_CHECK enum rc certs_copy(struct certs *to, const struct certs *from);

/* Append; takes a reference of its own.  RC_LIMIT: CERTS_MAX are there. */
MUST_CHECK enum rc certs_add(struct certs *list, X509 *cert);
/* Hostile input.  RC_PROTO: not exactly one certificate, or too large. */
MUST_CHECK enum rc certs_add_der(
    struct certs *list, const uint8_t *der, size_t len, struct fault *fault);
/* Append all of a PEM text (at least one).  RC_PROTO, RC_LIMIT. */
MUST_CHECK enum rc certs_add_pem(
    struct certs *list, const char *pem, size_t len, struct fault *fault);

/* Certificate number i as DER.  Free *out with free(). */
MUST_CHECK enum rc certs_der(
    const struct certs *list, size_t i, uint8_t **out, size_t *len);
/* All as PEM, NUL-terminated; *len without the NUL.  Free *out with free(). */
MUST_CHECK enum rc certs_pem(const struct certs *list, char **out, size_t *len);

/* SHA-256 of one certificate's public key.  RC_CRYPTO. */
MUST_CHECK enum rc certs_key_hash(const X509 *cert, uint8_t out[KEY_HASH_SIZE]);

/*
 * The certificate's one URI: exactly one SAN of that type, no other SAN of any
 * type, no wildcard, no NUL inside.  RC_PROTO else.
 */
MUST_CHECK enum rc certs_uri(
    const X509 *cert, char out[CERTS_URI_SIZE], struct fault *fault);
/* The same, read as a SPIFFE id. */
MUST_CHECK enum rc certs_spiffe(
    const X509 *cert, struct spiffe *out, struct fault *fault);

/* Validity in seconds since 1970.  RC_PROTO: a date nobody can read. */
MUST_CHECK enum rc certs_validity(
    const X509 *cert, int64_t *not_before_s, int64_t *not_after_s);
/* "2026-10-01 12:00 UTC" */
#define CERTS_DATE_SIZE 32
void certs_date(int64_t time_s, char out[CERTS_DATE_SIZE]);

#endif

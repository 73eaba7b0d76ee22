/*
 * identity.h - who this process is: its private key, its certificate chain and
 * the roots that it trusts.
 *
 * Life: identity_generate() -> key only; the key is saved and its CSR sent;
 * identity_enrol() adds the answer.  On disk it is a directory of its own with
 * key.pem (0600), and once enrolled cert.pem (chain, leaf first) and roots.pem.
 * identity_save() replaces that directory as a whole and durably, so a crash
 * leaves the old identity or the new one, never a key without its certificate.
 * For a renewal in two phases keep the new one in a second directory until the
 * server has seen it, then save it over the first.  One thread at a time.
 */
#ifndef COMMON_IDENTITY_H
#define COMMON_IDENTITY_H

#include "common/certs.h"
#include "common/key.h"
#include "proto/name.h"
#include "proto/rc.h"
#include "proto/reason.h"

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct identity;

/* A new Ed25519 key, not enrolled. */
MUST_CHECK enum rc identity_generate(struct identity **out);
/*
 * RC_NOTFOUND: no key.pem there; RC_IO (errno); RC_DENIED: others can read the
 * key; RC_PROTO, RC_CRYPTO: the files are no identity.  *fault names the file.
 */
MUST_CHECK enum rc identity_load(
    const char *dir, struct identity **out, struct fault *fault);
/* dir's parent must exist.  The old content of dir is gone afterwards. */
MUST_CHECK enum rc identity_save(
    const struct identity *id, const char *dir, struct fault *fault);
/* Delete such a directory; RC_OK too when there is none. */
MUST_CHECK enum rc identity_remove(const char *dir, struct fault *fault);
void identity_free(struct identity *id); /* NULL is fine */

/* See key_make_csr(). */
MUST_CHECK enum rc identity_csr(
    const struct identity *id, uint8_t **out, size_t *len);
/*
 * Take the chain that was issued for our key, and the roots to trust from now
 * on; both are copied and replace what was there.  RC_CRYPTO: the chain is for
 * another key, is not verified by the roots, or is no identity; the object is
 * unchanged then.
 */
MUST_CHECK enum rc identity_enrol(struct identity *id,
    const struct certs *chain, const struct certs *roots, struct fault *fault);

/* Both change places, for whoever borrows them: a new key in a running node. */
void identity_exchange(struct identity *a, struct identity *b);

bool identity_is_enrolled(const struct identity *id);
/* Cluster, role and name; all zero before enrolment.  Lives as long as id. */
const struct spiffe *identity_spiffe(const struct identity *id);
/* SHA-256 of our public key; KEY_HASH_SIZE bytes that live as long as id. */
const uint8_t *identity_key_hash(const struct identity *id);
/* Validity of our own certificate, seconds since 1970; 0 before enrolment. */
int64_t identity_not_before_s(const struct identity *id);
int64_t identity_not_after_s(const struct identity *id);

/* Borrowed: they live as long as id and are not changed by the caller. */
EVP_PKEY *identity_key(const struct identity *id);
const struct certs *identity_chain(const struct identity *id);
const struct certs *identity_roots(const struct identity *id);

#endif

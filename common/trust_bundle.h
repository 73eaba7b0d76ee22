/*
 * trust_bundle.h - what a cluster trusts, as it travels and lies on disks: the
 * roots, and the authorities that were retired.
 *
 * A bundle is signed by a root; who trusts that root takes the bundle with a
 * higher number in the place of its own.  So a new root is believed on the word
 * of the one before it, and nobody but the holder of a root's key, which may be
 * offline, changes what is trusted: no node, no relay.  One thread at a time.
 */
#ifndef COMMON_TRUST_BUNDLE_H
#define COMMON_TRUST_BUNDLE_H

#include "common/ca.h"
#include "common/trust.h"

/* certs_fini() the roots. */
struct trust_bundle {
	uint64_t number;
	struct certs roots; /* 1 to TRUST_ROOTS_MAX, self-signed */
	uint8_t retired[TRUST_RETIRED_MAX][KEY_HASH_SIZE];
	size_t retired_count;
};

/*
 * Append the signed bundle to out.  RC_STATE: signer is no root; RC_LIMIT: more
 * than a bundle may hold; RC_NOMEM, RC_CRYPTO.
 */
MUST_CHECK enum rc trust_bundle_sign(const struct ca *signer,
    const struct trust_bundle *bundle, int64_t made_s, struct packbuf *out);

/*
 * Hostile input.  RC_DENIED: not signed by a root in `roots`, of another
 * cluster, or what it brings are no roots; RC_PROTO; RC_NOMEM.  *fault says
 * what is wrong; *out is empty then.
 */
MUST_CHECK enum rc trust_bundle_verify(const char *cluster,
    const struct certs *roots, struct bytes bytes, struct trust_bundle *out,
    struct fault *fault);

/* Add a hash unless it is there.  RC_LIMIT. */
MUST_CHECK enum rc trust_bundle_retire(
    struct trust_bundle *bundle, const uint8_t authority[KEY_HASH_SIZE]);

#endif

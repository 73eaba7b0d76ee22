/*
 * trust.h - whom we believe: roots of one cluster, its rules, its revocations.
 *
 * A peer is believed when OpenSSL finds its chain good for TLS up to one of
 * our roots *and* our own rules hold:
 *   - exactly one SAN, a URI that is a SPIFFE id of our cluster; the subject's
 *     CN is never looked at;
 *   - the issuer of role server is the intermediate marked by the URI
 *     longarm://<cluster>/ca/nodes, that of the others by .../ca/agents, and
 *     the root issued that intermediate;
 *   - leaf: not a CA, key usage and extended key usage (client and server)
 *     present; keys are Ed25519 or P-256 all the way up;
 *   - no key of the chain is revoked, no authority in it retired;
 *   - the clock is inside the validity of all of them, give or take
 *     TRUST_SKEW_S.
 * A struct trust is shared by threads: reference counted, locked inside.
 */
#ifndef COMMON_TRUST_H
#define COMMON_TRUST_H

#include "common/ca.h"
#include "common/certs.h"
#include "common/key.h"
#include "common/revocations.h"
#include "proto/kind.h"
#include "proto/message_upkeep.h"
#include "proto/name.h"
#include "proto/rc.h"
#include "proto/reason.h"

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

#define TRUST_SKEW_S 300

/* Sets of roles, for "who may answer". */
#define TRUST_ROLE(role) (1U << (role))
#define TRUST_ANY_ROLE                                                         \
	(TRUST_ROLE(ROLE_SERVER) | TRUST_ROLE(ROLE_RELAY) |                    \
	    TRUST_ROLE(ROLE_TENTACLE))

/* Who is at the far end; a value. */
struct peer {
	/*
	 * What it may act as.  ROLE_ANONYMOUS without a certificate *and* with
	 * one that is expired, or of a retired authority (then expired is set,
	 * id tells whose it was, and the peer may open one enrol stream,
	 * nothing else).
	 */
	enum peer_role role;
	bool expired;
	struct spiffe id; /* all zero without a certificate */
	uint8_t key_hash[KEY_HASH_SIZE];
	uint8_t authority[KEY_HASH_SIZE]; /* of who issued its certificate */
	int64_t not_after_s;
};

struct trust_check {
	int64_t now_s;
	unsigned roles;      /* TRUST_ROLE()s that may answer; 0: any */
	const char *name;    /* that must answer; NULL or "": any */
	bool accept_expired; /* an expired leaf is anonymous, not an error */
};

struct trust;

/* roots: at least one; copied.  RC_CRYPTO: a root that OpenSSL refuses. */
MUST_CHECK enum rc trust_new(
    const char *cluster, const struct certs *roots, struct trust **out);
/*
 * For a joiner, who knows of its cluster only what its token says: the root is
 * the self-signed certificate with this key hash in the chain that the peer
 * shows.
 */
MUST_CHECK enum rc trust_new_pinned(const char *cluster,
    const uint8_t root_hash[KEY_HASH_SIZE], struct trust **out);
struct trust *trust_ref(struct trust *trust);
void trust_unref(struct trust *trust); /* NULL is fine */

const char *trust_cluster(const struct trust *trust);

/*
 * Believe these roots from now on (at least one; copied), and nobody whose
 * certificate a retired authority issued: such a one is as if it had expired.
 * retired: count hashes of keys, KEY_HASH_SIZE each; copied.  Peers that are
 * known already: trust_recheck().  RC_LIMIT: over TRUST_RETIRED_MAX; RC_CRYPTO.
 */
MUST_CHECK enum rc trust_replace(struct trust *trust, const struct certs *roots,
    const uint8_t *retired, size_t count);
bool trust_is_retired(
    struct trust *trust, const uint8_t authority[KEY_HASH_SIZE]);

/* Takes a reference; NULL: nothing is revoked. */
void trust_set_revocations(struct trust *trust, struct revocations *r);
/* The caller unrefs; NULL when none was set. */
struct revocations *trust_revocations(struct trust *trust);

/*
 * Judge a peer by the certificates that it showed, leaf first.  RC_OK: *peer
 * is filled.  RC_DENIED: *fault has code (clock, expired, revoked,
 * wrong-identity or tls) and words, naming who answered where that is known;
 * *peer is untouched.  RC_NOMEM.
 */
MUST_CHECK enum rc trust_verify(struct trust *trust, const struct certs *shown,
    const struct trust_check *check, struct peer *peer, struct fault *fault);

/*
 * Is shown (its first, perhaps what is between it and our root) the authority
 * of that kind in our cluster, and valid now?  RC_DENIED with *fault; also for
 * a pinned trust, which knows no root.
 */
MUST_CHECK enum rc trust_verify_authority(struct trust *trust,
    const struct certs *shown, enum ca_kind kind, int64_t now_s,
    struct fault *fault);

/*
 * Is a peer that was good still good?  RC_DENIED: its certificate has expired,
 * its key was revoked, or who issued it was retired.  Anonymous peers pass.
 */
MUST_CHECK enum rc trust_recheck(struct trust *trust, const struct peer *peer,
    int64_t now_s, struct fault *fault);

#endif

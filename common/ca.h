/*
 * ca.h - the cluster's certificate authority: a root, and two intermediates,
 * `agents` (signs relays and tentacles) and `nodes` (signs nodes).  Used by
 * the server.  Pure: keys and times in, certificates out; nothing is stored.
 *
 * The root has a P-256 key because it also signs the HTTPS certificate, which
 * browsers must understand; all others are Ed25519.  What an intermediate may
 * sign is said by its one URI, longarm://<cluster>/ca/<agents|nodes>; every
 * verifier checks that (common/trust.h).
 */
#ifndef COMMON_CA_H
#define COMMON_CA_H

#include "common/certs.h"
#include "common/key.h"
#include "proto/kind.h"
#include "proto/name.h"
#include "proto/pack.h"
#include "proto/rc.h"
#include "proto/reason.h"

#include <openssl/types.h>
#include <stddef.h>
#include <stdint.h>

#define CA_YEAR_S          (365LL * 24 * 3600)
#define CA_ROOT_LIFE_S     (30 * CA_YEAR_S)
#define CA_SUB_LIFE_S      (15 * CA_YEAR_S)
#define CA_AGENT_LIFE_S    (14LL * 24 * 3600)  /* relays, tentacles */
#define CA_NODE_LIFE_S     (180LL * 24 * 3600) /* nodes */
#define CA_HTTPS_LIFE_S    (2 * CA_YEAR_S)
#define CA_HTTPS_NAMES_MAX 32
#define CA_URI_SIZE        80

enum ca_kind {
	CA_ROOT,
	CA_AGENTS,
	CA_NODES,
	CA_KIND_COUNT
};

/* "longarm://<cluster>/ca/agents" */
void ca_uri(const char *cluster, enum ca_kind kind, char out[CA_URI_SIZE]);
const char *ca_kind_name(enum ca_kind kind);

struct ca; /* a certificate, what is above it, and its private key */

MUST_CHECK enum rc ca_create_root(
    const char *cluster, int64_t now_s, struct ca **out);
/* kind: CA_AGENTS or CA_NODES. */
MUST_CHECK enum rc ca_create_sub(
    const struct ca *root, enum ca_kind kind, int64_t now_s, struct ca **out);
/*
 * chain: the authority's own certificate first, then those above it (the root
 * itself alone for a root).  RC_CRYPTO: key and certificate differ, or no such
 * authority; *fault says what.
 */
MUST_CHECK enum rc ca_load(const struct certs *chain, const char *key_pem,
    size_t key_len, struct ca **out, struct fault *fault);
void ca_free(struct ca *ca); /* NULL is fine; wipes the key */

enum ca_kind ca_kind_of(const struct ca *ca);
const char *ca_cluster(const struct ca *ca);
/* As ca_load() wants it; lives as long as ca. */
const struct certs *ca_chain(const struct ca *ca);
/* See key_to_pem(): wipe it. */
MUST_CHECK enum rc ca_key_pem(
    const struct ca *ca, char out[KEY_PEM_MAX], size_t *len);

/*
 * Issue a certificate from now_s for life_s seconds (cut where the
 * authority's own ends).  Only the key is taken from the request.  *chain (an
 * empty list) gets leaf and all that is above it, not the root.  RC_STATE: this
 * authority does not sign that role; RC_PROTO, RC_CRYPTO: a bad request.
 */
struct ca_request {
	struct spiffe id; /* who it shall be; its cluster is the authority's */
	EVP_PKEY *key; /* proven already (its owner is in a seal); NULL: csr */
	const uint8_t *csr; /* DER, hostile */
	size_t csr_len;
	int64_t now_s;
	int64_t life_s;
};

MUST_CHECK enum rc ca_issue(const struct ca *ca,
    const struct ca_request *request, struct certs *chain, struct fault *fault);

/*
 * Sign bytes: for lists of revoked keys (common/revocation_list.h), which say
 * themselves what they are.  RC_STATE: the root signs none.
 */
#define CA_SIGNATURE_SIZE 64
MUST_CHECK enum rc ca_sign(const struct ca *ca, const uint8_t *data, size_t len,
    uint8_t out[CA_SIGNATURE_SIZE]);

/* --- When a root follows another -------------------------------------------
 */

/*
 * The new root's key certified by the old root: who trusts only the old one
 * finds a way up by it.  RC_STATE: these are not two roots of one cluster.
 */
MUST_CHECK enum rc ca_cross_sign(const struct ca *old_root,
    const struct ca *new_root, int64_t now_s, X509 **out);
/*
 * What is above the authority from now on, its issuer first, a root last: what
 * is issued later shows all of it but the root.  RC_CRYPTO: it is not signed by
 * these; unchanged then.
 */
MUST_CHECK enum rc ca_set_above(struct ca *ca, const struct certs *above);
/* Sign by a root, for trust bundles (common/trust_bundle.h).  RC_STATE: it is
 * not a root. */
#define CA_ROOT_SIGNATURE_MAX 80
MUST_CHECK enum rc ca_sign_by_root(const struct ca *root, struct bytes data,
    uint8_t out[CA_ROOT_SIGNATURE_MAX], size_t *out_len);

/*
 * The certificate of the HTTPS port, signed by the root, for a key of kind
 * KEY_P256; names are host names or addresses, 1 to CA_HTTPS_NAMES_MAX.  *chain
 * gets leaf and root: who pins the root (SHA-256 of its public key, as in the
 * tokens) can check it.  RC_PROTO: a name that is none; RC_STATE: not the root.
 */
struct ca_https {
	const char *const *names;
	size_t name_count;
	EVP_PKEY *key;
	int64_t now_s;
	int64_t life_s;
};

MUST_CHECK enum rc ca_issue_https(const struct ca *root,
    const struct ca_https *request, struct certs *chain, struct fault *fault);

#endif

#include "common/trust.h"

#include "common/trust_validity.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 3 /* intermediate, a root, the root that cross-signed it */
#define WHO_SIZE  (16 + NAME_SIZE)

struct trust {
	atomic_uint refs;
	char cluster[ID_SIZE];
	bool pinned; /* root_hash, no store */
	uint8_t root_hash[KEY_HASH_SIZE];
	pthread_mutex_t lock; /* for what follows */
	X509_STORE *store;
	struct revocations *revocations;
	uint8_t retired[TRUST_RETIRED_MAX][KEY_HASH_SIZE];
	size_t retired_count;
};

/* A store that trusts exactly these. */
static MUST_CHECK enum rc new_store(
    X509 *const *roots, size_t count, X509_STORE **out)
{
	X509_STORE *store = X509_STORE_new();
	size_t i;

	if (store == NULL)
		return RC_NOMEM;
	for (i = 0; i < count; i++)
		if (X509_STORE_add_cert(store, roots[i]) != 1) {
			X509_STORE_free(store);
			return RC_CRYPTO;
		}
	*out = store;
	return RC_OK;
}

static MUST_CHECK enum rc new_trust(const char *cluster, struct trust **out)
{
	struct trust *trust;

	if (!id_is_valid(cluster))
		return RC_PROTO;
	trust = calloc(1, sizeof(*trust));
	if (trust == NULL)
		return RC_NOMEM;
	atomic_init(&trust->refs, 1);
	memcpy(trust->cluster, cluster, ID_SIZE);
	if (pthread_mutex_init(&trust->lock, NULL) != 0) {
		free(trust);
		return RC_NOMEM;
	}
	*out = trust;
	return RC_OK;
}

enum rc trust_new(
    const char *cluster, const struct certs *roots, struct trust **out)
{
	struct trust *trust = NULL;
	enum rc rc;

	if (roots->count == 0)
		return RC_CRYPTO;
	rc = new_trust(cluster, &trust);
	if (rc == RC_OK)
		rc = new_store(roots->cert, roots->count, &trust->store);
	if (rc == RC_OK) {
		*out = trust;
		trust = NULL;
	}
	trust_unref(trust);
	return rc;
}

enum rc trust_new_pinned(const char *cluster,
    const uint8_t root_hash[KEY_HASH_SIZE], struct trust **out)
{
	struct trust *trust = NULL;
	enum rc rc = new_trust(cluster, &trust);

	if (rc != RC_OK)
		return rc;
	trust->pinned = true;
	memcpy(trust->root_hash, root_hash, KEY_HASH_SIZE);
	*out = trust;
	return RC_OK;
}

struct trust *trust_ref(struct trust *trust)
{
	atomic_fetch_add(&trust->refs, 1);
	return trust;
}

void trust_unref(struct trust *trust)
{
	if (trust == NULL || atomic_fetch_sub(&trust->refs, 1) != 1)
		return;
	X509_STORE_free(trust->store);
	revocations_unref(trust->revocations);
	(void)pthread_mutex_destroy(&trust->lock);
	free(trust);
}

const char *trust_cluster(const struct trust *trust)
{
	return trust->cluster;
}

enum rc trust_replace(struct trust *trust, const struct certs *roots,
    const uint8_t *retired, size_t count)
{
	X509_STORE *store = NULL, *old;
	enum rc rc;

	if (trust->pinned || roots->count == 0)
		return RC_CRYPTO;
	if (count > TRUST_RETIRED_MAX)
		return RC_LIMIT;
	rc = new_store(roots->cert, roots->count, &store);
	if (rc != RC_OK)
		return rc;
	(void)pthread_mutex_lock(&trust->lock);
	old = trust->store;
	trust->store = store;
	trust->retired_count = count;
	if (count > 0)
		memcpy(trust->retired, retired, count * KEY_HASH_SIZE);
	(void)pthread_mutex_unlock(&trust->lock);
	X509_STORE_free(old);
	return RC_OK;
}

bool trust_is_retired(
    struct trust *trust, const uint8_t authority[KEY_HASH_SIZE])
{
	bool found = false;

	(void)pthread_mutex_lock(&trust->lock);
	for (size_t i = 0; i < trust->retired_count && !found; i++)
		found =
		    memcmp(trust->retired[i], authority, KEY_HASH_SIZE) == 0;
	(void)pthread_mutex_unlock(&trust->lock);
	return found;
}

/* A reference to the store of now; X509_STORE_free() gives it back. */
static MUST_CHECK enum rc take_store(struct trust *trust, X509_STORE **out)
{
	int ok;

	(void)pthread_mutex_lock(&trust->lock);
	ok = X509_STORE_up_ref(trust->store);
	*out = ok == 1 ? trust->store : NULL;
	(void)pthread_mutex_unlock(&trust->lock);
	return ok == 1 ? RC_OK : RC_CRYPTO;
}

void trust_set_revocations(struct trust *trust, struct revocations *r)
{
	struct revocations *old;

	(void)pthread_mutex_lock(&trust->lock);
	old = trust->revocations;
	trust->revocations = revocations_ref(r);
	(void)pthread_mutex_unlock(&trust->lock);
	revocations_unref(old);
}

struct revocations *trust_revocations(struct trust *trust)
{
	struct revocations *r;

	(void)pthread_mutex_lock(&trust->lock);
	r = revocations_ref(trust->revocations);
	(void)pthread_mutex_unlock(&trust->lock);
	return r;
}

static bool is_revoked(struct trust *trust, const uint8_t hash[KEY_HASH_SIZE])
{
	struct revocations *r = trust_revocations(trust);
	bool revoked = revocations_has(r, hash);

	revocations_unref(r);
	return revoked;
}

/* "tentacle web-01" */
static void describe(const struct spiffe *id, char out[WHO_SIZE])
{
	(void)snprintf(out, WHO_SIZE, "%s %s", role_name(id->role), id->name);
}

/*
 * The name that it claims and the cluster, before anything is proven: whatever
 * comes out here only makes a refusal more precise.
 */
static MUST_CHECK enum rc check_name(const struct trust *trust,
    const X509 *leaf, struct spiffe *id, struct fault *fault)
{
	char who[WHO_SIZE];

	if (certs_spiffe(leaf, id, fault) != RC_OK)
		return RC_DENIED;
	if (strcmp(id->cluster, trust->cluster) == 0)
		return RC_OK;
	describe(id, who);
	fault_set(fault, REASON_WRONG_IDENTITY, "",
	    "the certificate of %s is of cluster %s, not %s", who, id->cluster,
	    trust->cluster);
	return RC_DENIED;
}

/* The store of a pinned trust: the root that the peer showed, if it is it. */
static MUST_CHECK enum rc pinned_store(const struct trust *trust,
    const struct certs *shown, X509_STORE **out, struct fault *fault)
{
	uint8_t hash[KEY_HASH_SIZE];
	size_t i;

	/* Its key may also be in a certificate by the root before it. */
	for (i = 1; i < shown->count; i++)
		if (certs_key_hash(shown->cert[i], hash) == RC_OK &&
		    memcmp(hash, trust->root_hash, sizeof(hash)) == 0 &&
		    X509_self_signed(shown->cert[i], 0) == 1)
			return new_store(&shown->cert[i], 1, out);
	fault_set(fault, REASON_WRONG_IDENTITY, "",
	    "the peer's chain does not contain the root that the join token "
	    "names");
	return RC_DENIED;
}

/*
 * Let OpenSSL find and check the chain.  Time is left to us, because of the
 * skew; X509_STRICT and the purpose stay on.
 */
static MUST_CHECK enum rc run_openssl(X509_STORE_CTX *ctx, X509_STORE *store,
    X509 *leaf, STACK_OF(X509) * untrusted, int purpose)
{
	X509_VERIFY_PARAM *param;

	if (X509_STORE_CTX_init(ctx, store, leaf, untrusted) != 1 ||
	    X509_STORE_CTX_set_purpose(ctx, purpose) != 1)
		return RC_CRYPTO;
	param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_depth(param, DEPTH_MAX);
	X509_VERIFY_PARAM_set_auth_level(param, 2);
	if (X509_VERIFY_PARAM_set_flags(param,
		X509_V_FLAG_X509_STRICT | X509_V_FLAG_NO_CHECK_TIME) != 1)
		return RC_CRYPTO;
	return X509_verify_cert(ctx) == 1 ? RC_OK : RC_DENIED;
}

/* Fill *chain with the verified chain, leaf to root. */
static MUST_CHECK enum rc find_chain(X509_STORE *store, int purpose,
    const struct certs *shown, struct certs *chain, struct fault *fault)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	STACK_OF(X509) *untrusted = sk_X509_new_null();
	STACK_OF(X509) * found;
	enum rc rc = RC_NOMEM;
	size_t n;
	int i;

	if (ctx == NULL || untrusted == NULL)
		goto out;
	for (n = 1; n < shown->count; n++)
		if (sk_X509_push(untrusted, shown->cert[n]) <= 0)
			goto out;
	rc = run_openssl(ctx, store, shown->cert[0], untrusted, purpose);
	if (rc != RC_OK) {
		fault_set(fault, REASON_TLS, "",
		    "the peer's certificate is not good for this cluster: %s",
		    X509_verify_cert_error_string(
			X509_STORE_CTX_get_error(ctx)));
		rc = RC_DENIED;
		goto out;
	}
	found = X509_STORE_CTX_get0_chain(ctx);
	for (i = 0; i < sk_X509_num(found) && rc == RC_OK; i++)
		rc = certs_add(chain, sk_X509_value(found, i));
out:
	sk_X509_free(untrusted);
	X509_STORE_CTX_free(ctx);
	return rc;
}

/* Is this the authority of that kind in our cluster? */
static bool is_authority(
    const struct trust *trust, const X509 *cert, enum ca_kind kind)
{
	char expected[CA_URI_SIZE], uri[CERTS_URI_SIZE];

	ca_uri(trust->cluster, kind, expected);
	return certs_uri(cert, uri, NULL) == RC_OK &&
	       strcmp(uri, expected) == 0;
}

/* Who signed it must be who may sign this role; the root signs no peer. */
static MUST_CHECK enum rc check_issuer(const struct trust *trust,
    const struct certs *chain, const struct spiffe *id, struct fault *fault)
{
	enum ca_kind kind = id->role == ROLE_SERVER ? CA_NODES : CA_AGENTS;
	char who[WHO_SIZE];
	size_t i;
	bool ok =
	    chain->count >= 3 && is_authority(trust, chain->cert[1], kind);

	for (i = 2; i < chain->count && ok; i++)
		ok = is_authority(trust, chain->cert[i], CA_ROOT);
	if (ok)
		return RC_OK;
	describe(id, who);
	fault_set(fault, REASON_WRONG_IDENTITY, "",
	    "the certificate of %s was not issued by the authority '%s'", who,
	    ca_kind_name(kind));
	return RC_DENIED;
}

static MUST_CHECK enum rc check_usage(
    const struct certs *chain, const char *who, struct fault *fault)
{
	X509 *leaf = chain->cert[0];
	const uint32_t both = XKU_SSL_SERVER | XKU_SSL_CLIENT;
	uint32_t extended = X509_get_extended_key_usage(leaf);
	uint32_t usage = X509_get_key_usage(leaf);
	const char *wrong = NULL;
	size_t i;

	if (X509_check_ca(leaf) != 0)
		wrong = "is an authority's";
	else if (extended == UINT32_MAX || (extended & both) != both)
		wrong = "is not for TLS clients and servers";
	else if (usage == UINT32_MAX || (usage & KU_DIGITAL_SIGNATURE) == 0)
		wrong = "is not for signatures";
	for (i = 0; i < chain->count; i++) {
		const EVP_PKEY *key = X509_get0_pubkey(chain->cert[i]);

		if (key == NULL || !key_is_allowed(key))
			wrong = "has a key that is neither Ed25519 nor P-256";
	}
	if (wrong == NULL)
		return RC_OK;
	fault_set(
	    fault, REASON_TLS, "", "the certificate of %s %s", who, wrong);
	return RC_DENIED;
}

static MUST_CHECK enum rc check_revoked(struct trust *trust,
    const struct certs *chain, const char *who, struct fault *fault)
{
	uint8_t hash[KEY_HASH_SIZE];
	size_t i;

	for (i = 0; i < chain->count; i++) {
		if (certs_key_hash(chain->cert[i], hash) != RC_OK)
			return RC_CRYPTO;
		if (is_revoked(trust, hash)) {
			fault_set(fault, REASON_REVOKED, "",
			    i == 0 ? "the certificate of %s was revoked"
				   : "the authority that issued the certificate"
				     " of %s was revoked",
			    who);
			return RC_DENIED;
		}
	}
	return RC_OK;
}

/* RC_AGAIN: an authority in the chain was retired. */
static MUST_CHECK enum rc check_retired(struct trust *trust,
    const struct certs *chain, const char *who, struct fault *fault)
{
	uint8_t hash[KEY_HASH_SIZE];

	for (size_t i = 1; i < chain->count; i++) {
		if (certs_key_hash(chain->cert[i], hash) != RC_OK)
			return RC_CRYPTO;
		if (trust_is_retired(trust, hash)) {
			trust_set_retired_fault(fault, who);
			return RC_AGAIN;
		}
	}
	return RC_OK;
}

static MUST_CHECK enum rc check_expected(const struct trust_check *check,
    const struct spiffe *id, struct fault *fault)
{
	const char *name = check->name != NULL ? check->name : "";
	char who[WHO_SIZE];

	describe(id, who);
	if (check->roles != 0 && (check->roles & TRUST_ROLE(id->role)) == 0) {
		fault_set(fault, REASON_WRONG_IDENTITY, "",
		    "%s answered, and a %s may not be at this end", who,
		    role_name(id->role));
		return RC_DENIED;
	}
	if (name[0] != '\0' && strcmp(name, id->name) != 0) {
		fault_set(fault, REASON_WRONG_IDENTITY, "",
		    "%s answered, not %s", who, name);
		return RC_DENIED;
	}
	return RC_OK;
}

/* Our own rules, over a chain that OpenSSL has found good. */
static MUST_CHECK enum rc check_chain(struct trust *trust,
    const struct certs *chain, const struct trust_check *check,
    struct peer *peer, struct fault *fault)
{
	char who[WHO_SIZE];
	enum rc rc;

	describe(&peer->id, who);
	rc = check_issuer(trust, chain, &peer->id, fault);
	if (rc == RC_OK)
		rc = check_usage(chain, who, fault);
	if (rc == RC_OK)
		rc = check_revoked(trust, chain, who, fault);
	if (rc == RC_OK)
		rc = check_expected(check, &peer->id, fault);
	if (rc != RC_OK)
		return rc;
	rc = trust_check_time(
	    chain, check->now_s, who, &peer->not_after_s, fault);
	if (rc == RC_OK)
		rc = check_retired(trust, chain, who, fault);
	peer->expired = rc == RC_AGAIN;
	if (rc == RC_AGAIN) {
		if (!check->accept_expired)
			return RC_DENIED;
		fault_clear(fault);
		rc = RC_OK;
	}
	return rc;
}

enum rc trust_verify(struct trust *trust, const struct certs *shown,
    const struct trust_check *check, struct peer *peer, struct fault *fault)
{
	struct peer found;
	struct certs chain;
	X509_STORE *store = NULL;
	enum rc rc;

	memset(&found, 0, sizeof(found));
	certs_init(&chain);
	if (shown->count == 0) {
		fault_set(
		    fault, REASON_TLS, "", "the peer showed no certificate");
		return RC_DENIED;
	}
	rc = check_name(trust, shown->cert[0], &found.id, fault);
	if (rc == RC_OK)
		rc = trust->pinned ? pinned_store(trust, shown, &store, fault)
		                   : take_store(trust, &store);
	if (rc == RC_OK)
		rc = find_chain(
		    store, X509_PURPOSE_SSL_CLIENT, shown, &chain, fault);
	if (rc == RC_OK)
		rc = check_chain(trust, &chain, check, &found, fault);
	if (rc == RC_OK)
		rc = certs_key_hash(chain.cert[0], found.key_hash);
	if (rc == RC_OK)
		rc = certs_key_hash(chain.cert[1], found.authority);
	if (rc == RC_OK) {
		found.role = found.expired ? ROLE_ANONYMOUS : found.id.role;
		*peer = found;
	} else if (rc == RC_CRYPTO || rc == RC_LIMIT) {
		fault_set(fault, REASON_TLS, "",
		    "the peer's certificates cannot be checked");
		rc = RC_DENIED;
	}
	X509_STORE_free(store);
	certs_fini(&chain);
	return rc;
}

static MUST_CHECK enum rc check_authority(struct trust *trust,
    const struct certs *chain, enum ca_kind kind, int64_t now_s,
    struct fault *fault)
{
	uint8_t hash[KEY_HASH_SIZE];
	int64_t not_after_s = 0;
	char who[WHO_SIZE];
	bool ok =
	    chain->count >= 2 && is_authority(trust, chain->cert[0], kind);
	enum rc rc;

	for (size_t i = 1; i < chain->count && ok; i++)
		ok = is_authority(trust, chain->cert[i], CA_ROOT);
	if (!ok) {
		fault_set(fault, REASON_WRONG_IDENTITY, "",
		    "this is not signed by the authority '%s'",
		    ca_kind_name(kind));
		return RC_DENIED;
	}
	(void)snprintf(who, sizeof(who), "authority %s", ca_kind_name(kind));
	rc = check_revoked(trust, chain, who, fault);
	if (rc == RC_OK)
		rc = trust_check_time(chain, now_s, who, &not_after_s, fault);
	for (size_t i = 0; i < chain->count && rc == RC_OK; i++) {
		rc = certs_key_hash(chain->cert[i], hash);
		if (rc == RC_OK && trust_is_retired(trust, hash)) {
			trust_set_retired_fault(fault, who);
			rc = RC_DENIED;
		}
	}
	return rc == RC_AGAIN ? RC_DENIED : rc;
}

enum rc trust_verify_authority(struct trust *trust, const struct certs *shown,
    enum ca_kind kind, int64_t now_s, struct fault *fault)
{
	X509_STORE *store = NULL;
	struct certs chain;
	enum rc rc;

	if (trust->pinned || shown->count == 0) {
		fault_set(fault, REASON_TLS, "",
		    "there is no certificate of an authority, or no root");
		return RC_DENIED;
	}
	certs_init(&chain);
	rc = take_store(trust, &store);
	if (rc == RC_OK)
		rc = find_chain(store, X509_PURPOSE_ANY, shown, &chain, fault);
	if (rc == RC_OK)
		rc = check_authority(trust, &chain, kind, now_s, fault);
	X509_STORE_free(store);
	certs_fini(&chain);
	return rc;
}

enum rc trust_recheck(struct trust *trust, const struct peer *peer,
    int64_t now_s, struct fault *fault)
{
	char who[WHO_SIZE];

	if (peer->role == ROLE_ANONYMOUS)
		return RC_OK;
	describe(&peer->id, who);
	if (is_revoked(trust, peer->key_hash)) {
		fault_set(fault, REASON_REVOKED, "",
		    "the certificate of %s was revoked", who);
		return RC_DENIED;
	}
	if (now_s > peer->not_after_s + TRUST_SKEW_S) {
		trust_set_expired_fault(fault, who, peer->not_after_s, now_s);
		return RC_DENIED;
	}
	if (trust_is_retired(trust, peer->authority)) {
		trust_set_retired_fault(fault, who);
		return RC_DENIED;
	}
	return RC_OK;
}

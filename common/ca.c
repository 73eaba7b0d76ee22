#include "common/ca.h"

#include "common/x509_build.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ca {
	enum ca_kind kind;
	char cluster[ID_SIZE];
	EVP_PKEY *key;
	struct certs chain;
};

static const char *const kind_names[CA_KIND_COUNT] = {
	[CA_ROOT] = "root",
	[CA_AGENTS] = "agents",
	[CA_NODES] = "nodes",
};

const char *ca_kind_name(enum ca_kind kind)
{
	return kind < CA_KIND_COUNT ? kind_names[kind] : "?";
}

void ca_uri(const char *cluster, enum ca_kind kind, char out[CA_URI_SIZE])
{
	(void)snprintf(out, CA_URI_SIZE, "longarm://%.32s/ca/%s", cluster,
	    ca_kind_name(kind));
}

void ca_free(struct ca *ca)
{
	if (ca == NULL)
		return;
	EVP_PKEY_free(ca->key);
	certs_fini(&ca->chain);
	free(ca);
}

/* A new authority of this kind; issuer is NULL for a root. */
static MUST_CHECK enum rc create(const struct ca *issuer, const char *cluster,
    enum ca_kind kind, int64_t now_s, struct ca **out)
{
	struct x509_build b = { .organisation = cluster,
		.name = ca_kind_name(kind),
		.not_before_s = now_s,
		.is_ca = true };
	char uri[CA_URI_SIZE];
	struct ca *ca = calloc(1, sizeof(*ca));
	X509 *cert = NULL;
	enum rc rc = RC_NOMEM;
	size_t i;

	if (ca == NULL)
		goto out;
	ca->kind = kind;
	(void)snprintf(ca->cluster, sizeof(ca->cluster), "%s", cluster);
	rc = key_generate(kind == CA_ROOT ? KEY_P256 : KEY_ED25519, &ca->key);
	if (rc != RC_OK)
		goto out;
	ca_uri(cluster, kind, uri);
	b.uri = uri;
	b.key = ca->key;
	b.path_len = kind == CA_ROOT ? 2 : 0; /* room for a cross-signed root */
	b.not_after_s =
	    now_s + (kind == CA_ROOT ? CA_ROOT_LIFE_S : CA_SUB_LIFE_S);
	b.issuer = issuer != NULL ? issuer->chain.cert[0] : NULL;
	b.issuer_key = issuer != NULL ? issuer->key : ca->key;
	rc = x509_build(&b, &cert);
	if (rc == RC_OK)
		rc = certs_add(&ca->chain, cert);
	for (i = 0; issuer != NULL && i < issuer->chain.count && rc == RC_OK;
	     i++)
		rc = certs_add(&ca->chain, issuer->chain.cert[i]);
	if (rc == RC_OK) {
		*out = ca;
		ca = NULL;
	}
out:
	X509_free(cert);
	ca_free(ca);
	return rc;
}

enum rc ca_create_root(const char *cluster, int64_t now_s, struct ca **out)
{
	if (!id_is_valid(cluster))
		return RC_PROTO;
	return create(NULL, cluster, CA_ROOT, now_s, out);
}

enum rc ca_create_sub(
    const struct ca *root, enum ca_kind kind, int64_t now_s, struct ca **out)
{
	if (root->kind != CA_ROOT || kind == CA_ROOT)
		return RC_STATE;
	return create(root, root->cluster, kind, now_s, out);
}

/* Read cluster and kind from "longarm://<cluster>/ca/<kind>". */
static MUST_CHECK enum rc read_uri(struct ca *ca, const char *uri)
{
	static const char scheme[] = "longarm://";
	char expected[CA_URI_SIZE];
	enum ca_kind kind;

	if (strncmp(uri, scheme, sizeof(scheme) - 1) != 0)
		return RC_CRYPTO;
	(void)snprintf(ca->cluster, sizeof(ca->cluster), "%.32s",
	    uri + sizeof(scheme) - 1);
	if (!id_is_valid(ca->cluster))
		return RC_CRYPTO;
	for (kind = CA_ROOT; kind < CA_KIND_COUNT; kind++) {
		ca_uri(ca->cluster, kind, expected);
		if (strcmp(uri, expected) == 0) {
			ca->kind = kind;
			return RC_OK;
		}
	}
	return RC_CRYPTO;
}

/* Is each certificate of the chain a CA, signed by the next? */
static bool is_authority(const struct certs *chain)
{
	size_t i;

	for (i = 0; i < chain->count; i++) {
		X509 *above = chain->cert[i + 1 < chain->count ? i + 1 : i];

		if (X509_check_ca(chain->cert[i]) != 1 ||
		    X509_verify(chain->cert[i], X509_get0_pubkey(above)) != 1)
			return false;
	}
	return chain->count > 0;
}

enum rc ca_load(const struct certs *chain, const char *key_pem, size_t key_len,
    struct ca **out, struct fault *fault)
{
	char uri[CERTS_URI_SIZE];
	struct ca *ca = calloc(1, sizeof(*ca));
	enum rc rc;

	if (ca == NULL)
		return RC_NOMEM;
	rc = key_from_pem(key_pem, key_len, &ca->key, fault);
	if (rc != RC_OK)
		goto out;
	rc = RC_CRYPTO;
	if (!is_authority(chain)) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "the chain is not one of authorities, each signed by the "
		    "next, up to a root");
		goto out;
	}
	if (certs_uri(chain->cert[0], uri, fault) != RC_OK)
		goto out;
	if (read_uri(ca, uri) != RC_OK) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "%s does not name an authority", uri);
		goto out;
	}
	if (X509_check_private_key(chain->cert[0], ca->key) != 1) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "the key does not belong to the certificate of %s", uri);
		goto out;
	}
	rc = certs_copy(&ca->chain, chain);
	if (rc == RC_OK) {
		*out = ca;
		ca = NULL;
	}
out:
	ca_free(ca);
	return rc;
}

enum ca_kind ca_kind_of(const struct ca *ca)
{
	return ca->kind;
}

const char *ca_cluster(const struct ca *ca)
{
	return ca->cluster;
}

const struct certs *ca_chain(const struct ca *ca)
{
	return &ca->chain;
}

enum rc ca_key_pem(const struct ca *ca, char out[KEY_PEM_MAX], size_t *len)
{
	return key_to_pem(ca->key, out, len);
}

/* No certificate outlives its issuer's. */
static MUST_CHECK enum rc cut_life(
    const struct ca *ca, int64_t now_s, int64_t life_s, int64_t *not_after_s)
{
	int64_t from = 0, until = 0;
	enum rc rc = certs_validity(ca->chain.cert[0], &from, &until);

	*not_after_s = now_s + life_s < until ? now_s + life_s : until;
	return rc;
}

static bool may_sign(const struct ca *ca, const struct spiffe *id)
{
	enum ca_kind need = id->role == ROLE_SERVER ? CA_NODES : CA_AGENTS;

	return ca->kind == need && id->role != ROLE_ANONYMOUS &&
	       strcmp(id->cluster, ca->cluster) == 0;
}

/* The caller frees *key. */
static MUST_CHECK enum rc take_key(
    const struct ca_request *request, EVP_PKEY **key, struct fault *fault)
{
	if (request->key == NULL)
		return key_from_csr(request->csr, request->csr_len, key, fault);
	if (EVP_PKEY_up_ref(request->key) != 1)
		return RC_CRYPTO;
	*key = request->key;
	return RC_OK;
}

enum rc ca_issue(const struct ca *ca, const struct ca_request *request,
    struct certs *chain, struct fault *fault)
{
	struct x509_build b = { .organisation = role_name(request->id.role),
		.name = request->id.name,
		.not_before_s = request->now_s,
		.issuer = ca->chain.cert[0],
		.issuer_key = ca->key,
		.client = true };
	char uri[SPIFFE_SIZE];
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	enum rc rc;

	if (!may_sign(ca, &request->id)) {
		fault_set(fault, REASON_INTERNAL, "",
		    "the authority %s of cluster %s does not sign a %s",
		    ca_kind_name(ca->kind), ca->cluster,
		    role_name(request->id.role));
		return RC_STATE;
	}
	rc = take_key(request, &key, fault);
	if (rc == RC_OK && !EVP_PKEY_is_a(key, "ED25519")) {
		fault_set(fault, REASON_TLS, "",
		    "the key to be certified is not Ed25519");
		rc = RC_CRYPTO;
	}
	if (rc == RC_OK)
		rc = cut_life(
		    ca, request->now_s, request->life_s, &b.not_after_s);
	if (rc != RC_OK)
		goto out;
	spiffe_format(&request->id, uri);
	b.uri = uri;
	b.key = key;
	rc = x509_build(&b, &cert);
	if (rc == RC_OK)
		rc = certs_add(chain, cert);
	for (size_t i = 0; i + 1 < ca->chain.count && rc == RC_OK; i++)
		rc = certs_add(chain, ca->chain.cert[i]);
out:
	X509_free(cert);
	EVP_PKEY_free(key);
	return rc;
}

enum rc ca_sign(const struct ca *ca, const uint8_t *data, size_t len,
    uint8_t out[CA_SIGNATURE_SIZE])
{
	EVP_MD_CTX *ctx;
	size_t size = CA_SIGNATURE_SIZE;
	bool good;

	if (ca->kind == CA_ROOT)
		return RC_STATE;
	ctx = EVP_MD_CTX_new();
	if (ctx == NULL)
		return RC_NOMEM;
	good = EVP_DigestSignInit(ctx, NULL, NULL, NULL, ca->key) == 1 &&
	       EVP_DigestSign(ctx, out, &size, data, len) == 1 &&
	       size == CA_SIGNATURE_SIZE;
	EVP_MD_CTX_free(ctx);
	return good ? RC_OK : RC_CRYPTO;
}

enum rc ca_issue_https(const struct ca *root, const struct ca_https *request,
    struct certs *chain, struct fault *fault)
{
	struct x509_build b = { .organisation = "longarm",
		.name = "longarm-server",
		.names = request->names,
		.name_count = request->name_count,
		.not_before_s = request->now_s,
		.key = request->key,
		.issuer = root->chain.cert[0],
		.issuer_key = root->key };
	X509 *cert = NULL;
	enum rc rc;
	size_t i;

	if (root->kind != CA_ROOT)
		return RC_STATE;
	if (request->name_count == 0 ||
	    request->name_count > CA_HTTPS_NAMES_MAX) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "an HTTPS certificate needs 1 to %d host names",
		    CA_HTTPS_NAMES_MAX);
		return RC_PROTO;
	}
	for (i = 0; i < request->name_count; i++)
		if (!x509_name_is_valid(request->names[i])) {
			fault_set(fault, REASON_BAD_CONFIG, "",
			    "'%s' is neither a host name nor an address",
			    request->names[i]);
			return RC_PROTO;
		}
	rc = cut_life(root, request->now_s, request->life_s, &b.not_after_s);
	if (rc == RC_OK)
		rc = x509_build(&b, &cert);
	if (rc == RC_OK)
		rc = certs_add(chain, cert);
	for (i = 0; i < root->chain.count && rc == RC_OK; i++)
		rc = certs_add(chain, root->chain.cert[i]);
	X509_free(cert);
	return rc;
}

enum rc ca_cross_sign(const struct ca *old_root, const struct ca *new_root,
    int64_t now_s, X509 **out)
{
	struct x509_build b = { .organisation = new_root->cluster,
		.name = ca_kind_name(CA_ROOT),
		.not_before_s = now_s,
		.key = new_root->key,
		.issuer = old_root->chain.cert[0],
		.issuer_key = old_root->key,
		.is_ca = true,
		.path_len = 1 };
	char uri[CA_URI_SIZE];
	enum rc rc;

	if (old_root->kind != CA_ROOT || new_root->kind != CA_ROOT ||
	    strcmp(old_root->cluster, new_root->cluster) != 0)
		return RC_STATE;
	ca_uri(new_root->cluster, CA_ROOT, uri);
	b.uri = uri;
	rc = cut_life(old_root, now_s, CA_SUB_LIFE_S, &b.not_after_s);
	return rc == RC_OK ? x509_build(&b, out) : rc;
}

enum rc ca_set_above(struct ca *ca, const struct certs *above)
{
	struct certs chain;
	enum rc rc;

	certs_init(&chain);
	rc = certs_add(&chain, ca->chain.cert[0]);
	for (size_t i = 0; i < above->count && rc == RC_OK; i++)
		rc = certs_add(&chain, above->cert[i]);
	if (rc == RC_OK && !is_authority(&chain))
		rc = RC_CRYPTO;
	if (rc == RC_OK)
		rc = certs_copy(&ca->chain, &chain);
	certs_fini(&chain);
	return rc;
}

enum rc ca_sign_by_root(const struct ca *root, struct bytes data,
    uint8_t out[CA_ROOT_SIGNATURE_MAX], size_t *out_len)
{
	EVP_MD_CTX *ctx;
	size_t size = CA_ROOT_SIGNATURE_MAX;
	bool good;

	if (root->kind != CA_ROOT)
		return RC_STATE;
	ctx = EVP_MD_CTX_new();
	if (ctx == NULL)
		return RC_NOMEM;
	good =
	    EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, root->key) == 1 &&
	    EVP_DigestSign(ctx, out, &size, data.p, data.len) == 1;
	EVP_MD_CTX_free(ctx);
	*out_len = size;
	return good ? RC_OK : RC_CRYPTO;
}

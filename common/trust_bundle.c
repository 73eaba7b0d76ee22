#include "common/trust_bundle.h"

#include "common/certs_wire.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

/* Signed with the body, so that no other signature of the key is one. */
static const char context[] = "longarm trust bundle 1";

/* The context with its NUL, then the body.  packbuf_fini(out). */
static MUST_CHECK enum rc to_sign(struct bytes body, struct packbuf *out)
{
	packbuf_init(out, sizeof(context) + body.len);
	packbuf_append(
	    out, bytes_of((const uint8_t *)context, sizeof(context)));
	packbuf_append(out, body);
	return out->len == sizeof(context) + body.len ? RC_OK : RC_NOMEM;
}

/* --- Signing ---------------------------------------------------------------
 */

static MUST_CHECK enum rc encode_body(const struct ca *signer,
    const struct trust_bundle *b, int64_t made_s, struct packbuf *out)
{
	struct msg_trust_bundle m = {
		.number = b->number,
		.made_s = (uint64_t)made_s,
		.retired = bytes_of(
		    &b->retired[0][0], b->retired_count * KEY_HASH_SIZE),
	};
	struct certs_blobs roots;
	enum rc rc = certs_to_blobs(&b->roots, b->roots.count, &roots);

	m.roots = roots.list;
	memcpy(m.cluster, ca_cluster(signer), sizeof(m.cluster));
	if (rc == RC_OK)
		rc = msg_trust_bundle_encode(&m, out);
	certs_blobs_fini(&roots);
	return rc;
}

static MUST_CHECK enum rc encode_signed(const struct ca *signer,
    struct bytes body, struct bytes signature, struct packbuf *out)
{
	struct msg_signed_list m = { .body = body, .signature = signature };
	struct certs_blobs blobs;
	enum rc rc = certs_to_blobs(ca_chain(signer), 1, &blobs);

	m.chain = blobs.list;
	if (rc == RC_OK)
		rc = msg_signed_list_encode(&m, out);
	certs_blobs_fini(&blobs);
	return rc;
}

enum rc trust_bundle_sign(const struct ca *signer,
    const struct trust_bundle *bundle, int64_t made_s, struct packbuf *out)
{
	uint8_t signature[CA_ROOT_SIGNATURE_MAX];
	struct packbuf body, data;
	size_t len = 0;
	enum rc rc;

	if (ca_kind_of(signer) != CA_ROOT)
		return RC_STATE;
	if (bundle->roots.count > TRUST_ROOTS_MAX)
		return RC_LIMIT;
	packbuf_init(&body, TRUST_BUNDLE_MAX);
	packbuf_init(&data, 0);
	rc = encode_body(signer, bundle, made_s, &body);
	if (rc == RC_OK)
		rc = to_sign(packbuf_bytes(&body), &data);
	if (rc == RC_OK)
		rc = ca_sign_by_root(
		    signer, packbuf_bytes(&data), signature, &len);
	if (rc == RC_OK)
		rc = encode_signed(signer, packbuf_bytes(&body),
		    bytes_of(signature, len), out);
	packbuf_fini(&data);
	packbuf_fini(&body);
	return rc;
}

enum rc trust_bundle_retire(
    struct trust_bundle *bundle, const uint8_t authority[KEY_HASH_SIZE])
{
	for (size_t i = 0; i < bundle->retired_count; i++)
		if (memcmp(bundle->retired[i], authority, KEY_HASH_SIZE) == 0)
			return RC_OK;
	if (bundle->retired_count == TRUST_RETIRED_MAX)
		return RC_LIMIT;
	memcpy(
	    bundle->retired[bundle->retired_count++], authority, KEY_HASH_SIZE);
	return RC_OK;
}

/* --- Verifying -------------------------------------------------------------
 */

/* The one of our roots that the bundle says has signed it: its key is what
 * counts, so the certificate that came along is only a name for it. */
static X509 *find_signer(const struct certs *roots, const X509 *named)
{
	uint8_t theirs[KEY_HASH_SIZE], ours[KEY_HASH_SIZE];

	if (certs_key_hash(named, theirs) != RC_OK)
		return NULL;
	for (size_t i = 0; i < roots->count; i++)
		if (certs_key_hash(roots->cert[i], ours) == RC_OK &&
		    memcmp(ours, theirs, sizeof(ours)) == 0)
			return roots->cert[i];
	return NULL;
}

static bool is_signed(const X509 *root, const struct msg_signed_list *m)
{
	EVP_PKEY *key = X509_get0_pubkey(root);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct packbuf data;
	bool good = ctx != NULL && key != NULL && EVP_PKEY_is_a(key, "EC") &&
	            to_sign(m->body, &data) == RC_OK;

	if (good) {
		good = EVP_DigestVerifyInit(
			   ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
		       EVP_DigestVerify(ctx, m->signature.p, m->signature.len,
			   data.data, data.len) == 1;
		packbuf_fini(&data);
	}
	EVP_MD_CTX_free(ctx);
	return good;
}

static bool is_root(const X509 *cert, const char *cluster)
{
	char expected[CA_URI_SIZE], uri[CERTS_URI_SIZE];
	X509 *self = NULL;
	bool good;

	ca_uri(cluster, CA_ROOT, expected);
	if (certs_uri(cert, uri, NULL) != RC_OK || strcmp(uri, expected) != 0)
		return false;
	self = X509_dup(cert);
	good = self != NULL && X509_check_ca(self) == 1 &&
	       X509_self_signed(self, 1) == 1 &&
	       key_is_allowed(X509_get0_pubkey(self));
	X509_free(self);
	return good;
}

static MUST_CHECK enum rc read_body(const char *cluster,
    const struct msg_trust_bundle *m, struct trust_bundle *out,
    struct fault *fault)
{
	enum rc rc;

	if (strcmp(m->cluster, cluster) != 0) {
		fault_set(fault, REASON_WRONG_IDENTITY, "",
		    "the trust bundle is of cluster %s", m->cluster);
		return RC_DENIED;
	}
	out->number = m->number;
	out->retired_count = m->retired.len / KEY_HASH_SIZE;
	if (m->retired.len > 0)
		memcpy(out->retired, m->retired.p, m->retired.len);
	rc = certs_from_blobs(&m->roots, &out->roots, fault);
	for (size_t i = 0; i < out->roots.count && rc == RC_OK; i++)
		if (!is_root(out->roots.cert[i], cluster)) {
			fault_set(fault, REASON_TLS, "",
			    "the trust bundle brings what is no root of this "
			    "cluster");
			rc = RC_DENIED;
		}
	return rc;
}

static MUST_CHECK enum rc open_signed(const struct certs *roots,
    const struct msg_signed_list *m, struct fault *fault)
{
	struct certs named;
	const X509 *signer;
	enum rc rc;

	certs_init(&named);
	rc = certs_from_blobs(&m->chain, &named, fault);
	signer = rc == RC_OK && named.count > 0
	             ? find_signer(roots, named.cert[0])
	             : NULL;
	if (rc == RC_OK && signer == NULL) {
		fault_set(fault, REASON_TLS, "",
		    "the trust bundle is not signed by a root that is trusted "
		    "here");
		rc = RC_DENIED;
	}
	if (rc == RC_OK && !is_signed(signer, m)) {
		fault_set(fault, REASON_TLS, "",
		    "the signature of the trust bundle is wrong");
		rc = RC_DENIED;
	}
	certs_fini(&named);
	return rc;
}

enum rc trust_bundle_verify(const char *cluster, const struct certs *roots,
    struct bytes bytes, struct trust_bundle *out, struct fault *fault)
{
	struct msg_signed_list m;
	struct msg_trust_bundle body;
	enum rc rc = msg_signed_list_decode(bytes, &m, fault);

	*out = (struct trust_bundle){ .number = 0 };
	if (rc != RC_OK)
		return rc;
	rc = open_signed(roots, &m, fault);
	if (rc == RC_OK)
		rc = msg_trust_bundle_decode(m.body, &body, fault);
	if (rc == RC_OK) {
		rc = read_body(cluster, &body, out, fault);
		msg_trust_bundle_clear(&body);
	}
	msg_signed_list_clear(&m);
	if (rc != RC_OK) {
		certs_fini(&out->roots);
		*out = (struct trust_bundle){ .number = 0 };
	}
	return rc;
}

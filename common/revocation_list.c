#include "common/revocation_list.h"

#include "common/certs_wire.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

/* Signed with the body, so that no other signature of the key is one. */
static const char context[] = "longarm revocation list 1";

static enum ca_kind authority_of(enum revocation_kind kind)
{
	return kind == REVOKED_NODES ? CA_NODES : CA_AGENTS;
}

/* The context with its NUL, then the body.  Free *out with free(). */
static MUST_CHECK enum rc to_sign(struct bytes body, uint8_t **out, size_t *len)
{
	uint8_t *data = malloc(sizeof(context) + body.len);

	if (data == NULL)
		return RC_NOMEM;
	memcpy(data, context, sizeof(context));
	memcpy(data + sizeof(context), body.p, body.len);
	*out = data;
	*len = sizeof(context) + body.len;
	return RC_OK;
}

/* --- Signing ---------------------------------------------------------------
 */

static MUST_CHECK enum rc encode_body(const struct ca *ca,
    enum revocation_kind kind, const struct revocation_list *list,
    int64_t made_s, struct packbuf *out)
{
	struct msg_revocation_list m = {
		.list = kind,
		.number = list->number,
		.made_s = (uint64_t)made_s,
		.hashes = bytes_of(list->hashes, list->count * KEY_HASH_SIZE),
	};

	memcpy(m.cluster, ca_cluster(ca), sizeof(m.cluster));
	return msg_revocation_list_encode(&m, out);
}

static MUST_CHECK enum rc encode_signed(const struct ca *ca, struct bytes body,
    struct bytes signature, struct packbuf *out)
{
	struct msg_signed_list m = { .body = body, .signature = signature };
	struct certs_blobs blobs;
	enum rc rc =
	    certs_to_blobs(ca_chain(ca), ca_chain(ca)->count - 1, &blobs);

	m.chain = blobs.list;
	if (rc == RC_OK)
		rc = msg_signed_list_encode(&m, out);
	certs_blobs_fini(&blobs);
	return rc;
}

enum rc revocation_list_sign(const struct ca *ca, enum revocation_kind kind,
    const struct revocation_list *list, int64_t made_s, struct packbuf *out)
{
	uint8_t signature[CA_SIGNATURE_SIZE], *data = NULL;
	struct packbuf body;
	size_t len = 0;
	enum rc rc;

	if (ca_kind_of(ca) != authority_of(kind))
		return RC_STATE;
	if (list->count > REVOCATIONS_MAX)
		return RC_LIMIT;
	packbuf_init(&body, REVOKED_SIGNED_MAX);
	rc = encode_body(ca, kind, list, made_s, &body);
	if (rc == RC_OK)
		rc = to_sign(packbuf_bytes(&body), &data, &len);
	if (rc == RC_OK)
		rc = ca_sign(ca, data, len, signature);
	if (rc == RC_OK)
		rc = encode_signed(ca, packbuf_bytes(&body),
		    bytes_of(signature, sizeof(signature)), out);
	free(data);
	packbuf_fini(&body);
	return rc;
}

/* --- Verifying -------------------------------------------------------------
 */

static MUST_CHECK enum rc check_signature(
    const X509 *signer, const struct msg_signed_list *m, struct fault *fault)
{
	EVP_PKEY *key = X509_get0_pubkey(signer);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t *data = NULL;
	size_t len = 0;
	bool good = false;
	enum rc rc = ctx != NULL ? to_sign(m->body, &data, &len) : RC_NOMEM;

	if (rc == RC_OK)
		good = key != NULL && EVP_PKEY_is_a(key, "ED25519") &&
		       EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
		       EVP_DigestVerify(ctx, m->signature.p, m->signature.len,
			   data, len) == 1;
	if (rc == RC_OK && !good) {
		fault_set(fault, REASON_TLS, "",
		    "the signature of the list of revoked keys is wrong");
		rc = RC_DENIED;
	}
	free(data);
	EVP_MD_CTX_free(ctx);
	return rc;
}

static MUST_CHECK enum rc read_body(struct trust *trust, struct bytes body,
    struct revocation_list_read *out, struct fault *fault)
{
	struct msg_revocation_list m;
	enum rc rc = msg_revocation_list_decode(body, &m, fault);

	if (rc != RC_OK)
		return rc;
	if (strcmp(m.cluster, trust_cluster(trust)) != 0) {
		fault_set(fault, REASON_WRONG_IDENTITY, "",
		    "the list of revoked keys is of cluster %s", m.cluster);
		rc = RC_DENIED;
	}
	*out = (struct revocation_list_read){
		.kind = m.list,
		.made_s = (int64_t)m.made_s,
		.list = { .number = m.number,
		    .hashes = m.hashes.p,
		    .count = m.hashes.len / KEY_HASH_SIZE },
	};
	msg_revocation_list_clear(&m); /* what it borrows stays */
	return rc;
}

enum rc revocation_list_verify(struct trust *trust, struct bytes bytes,
    int64_t now_s, struct revocation_list_read *out, struct fault *fault)
{
	struct msg_signed_list m;
	struct certs chain;
	enum rc rc = msg_signed_list_decode(bytes, &m, fault);

	if (rc != RC_OK)
		return rc;
	certs_init(&chain);
	rc = certs_from_blobs(&m.chain, &chain, fault);
	if (rc == RC_OK)
		rc = read_body(trust, m.body, out, fault);
	if (rc == RC_OK)
		rc = trust_verify_authority(
		    trust, &chain, authority_of(out->kind), now_s, fault);
	if (rc == RC_OK)
		rc = check_signature(chain.cert[0], &m, fault);
	certs_fini(&chain);
	msg_signed_list_clear(&m);
	return rc;
}

/* --- The newest ------------------------------------------------------------
 */

void revocation_book_fini(struct revocation_book *book)
{
	for (unsigned i = 0; i < REVOKED_COUNT; i++)
		free(book->held[i].hashes);
	*book = (struct revocation_book){ .held = { { .number = 0 } } };
}

/* What trust shall refuse when `next` replaces the list of its kind. */
static MUST_CHECK enum rc make_snapshot(const struct revocation_book *book,
    const struct revocation_list_read *next, struct revocations **out)
{
	struct revocation_list lists[REVOKED_COUNT];

	for (unsigned i = 0; i < REVOKED_COUNT; i++)
		lists[i] = (struct revocation_list){
			.number = book->held[i].number,
			.hashes = book->held[i].hashes,
			.count = book->held[i].count,
		};
	lists[next->kind] = next->list;
	return revocations_new(lists, out);
}

/* A verified list that is not older than the one of its kind. */
static MUST_CHECK enum rc replace(struct revocation_book *book,
    struct trust *trust, const struct revocation_list_read *next)
{
	struct revocations *snapshot = NULL;
	size_t len = next->list.count * KEY_HASH_SIZE;
	uint8_t *hashes = malloc(len + 1);
	enum rc rc;

	if (hashes == NULL)
		return RC_NOMEM;
	rc = make_snapshot(book, next, &snapshot);
	if (rc != RC_OK) {
		free(hashes);
		return rc;
	}
	if (len > 0)
		memcpy(hashes, next->list.hashes, len);
	free(book->held[next->kind].hashes);
	book->held[next->kind].number = next->list.number;
	book->held[next->kind].hashes = hashes;
	book->held[next->kind].count = next->list.count;
	trust_set_revocations(trust, snapshot);
	revocations_unref(snapshot);
	return RC_OK;
}

enum rc revocation_book_take(struct revocation_book *book, struct trust *trust,
    const struct revocation_take *take, enum revocation_kind *kind,
    struct fault *fault)
{
	struct revocation_list_read next;
	uint64_t known;
	enum rc rc = revocation_list_verify(
	    trust, take->bytes, take->now_s, &next, fault);

	*take->changed = false;
	if (rc != RC_OK)
		return rc;
	*kind = next.kind;
	known = book->held[next.kind].number;
	if (next.list.number < known) {
		fault_set(fault, REASON_CONFLICT, "",
		    "the list of revoked %s has number %llu, and %llu is known",
		    revocation_kind_name(next.kind),
		    (unsigned long long)next.list.number,
		    (unsigned long long)known);
		return RC_STATE;
	}
	rc = replace(book, trust, &next);
	*take->changed = rc == RC_OK && next.list.number > known;
	return rc;
}

/*
 * tls_contexts.c - the OpenSSL contexts of tls.h, one per kind of session, and
 * the calls that OpenSSL makes back: the BIO over the caller's buffers, the
 * choice of protocol, the judgement of a peer.
 */
#include "common/tls_internal.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PEER_CHAIN_MAX                                                         \
	16384 /* bytes of certificates that a peer shows                       \
	       */

/* What distinguishes the kinds. */
static const struct kind_info {
	const char *protocol; /* ALPN */
	bool server;
	bool need_peer;    /* a peer without certificate is refused */
	bool take_expired; /* an expired peer is anonymous, not refused */
	bool show_root;    /* for joiners, who pin it */
	bool joiner;       /* works without a certificate of our own */
	unsigned roles;    /* that may be at the other end */
	unsigned fragment;
} kinds[TLS_KIND_COUNT] = {
	[TLS_LINK_DIAL] = { .protocol = "longarm/1",
	    .need_peer = true,
	    .take_expired = true,
	    .joiner = true,
	    .roles = TRUST_ANY_ROLE,
	    .fragment = TLS_LINK_FRAGMENT },
	[TLS_LINK_ACCEPT] = { .protocol = "longarm/1",
	    .server = true,
	    .take_expired = true,
	    .show_root = true,
	    .roles = TRUST_ANY_ROLE,
	    .fragment = TLS_LINK_FRAGMENT },
	[TLS_SEAL_CLIENT] = { .protocol = "longarm-seal/1",
	    .need_peer = true,
	    .roles = TRUST_ROLE(ROLE_RELAY) | TRUST_ROLE(ROLE_TENTACLE),
	    .fragment = TLS_SEAL_FRAGMENT },
	[TLS_SEAL_SERVER] = { .protocol = "longarm-seal/1",
	    .server = true,
	    .need_peer = true,
	    .roles = TRUST_ROLE(ROLE_SERVER),
	    .fragment = TLS_SEAL_FRAGMENT },
	[TLS_ENROL_CLIENT] = { .protocol = "longarm-enrol/1",
	    .need_peer = true,
	    .joiner = true,
	    .roles = TRUST_ROLE(ROLE_SERVER),
	    .fragment = TLS_SEAL_FRAGMENT },
	[TLS_ENROL_SERVER] = { .protocol = "longarm-enrol/1",
	    .server = true,
	    .take_expired = true,
	    .show_root = true,
	    .roles = TRUST_ROLE(ROLE_RELAY) | TRUST_ROLE(ROLE_TENTACLE),
	    .fragment = TLS_SEAL_FRAGMENT },
};

const char *tls_kind_protocol(enum tls_kind kind)
{
	return kinds[kind].protocol;
}

size_t tls_kind_fragment(enum tls_kind kind)
{
	return kinds[kind].fragment;
}

bool tls_kind_is_server(enum tls_kind kind)
{
	return kinds[kind].server;
}

bool tls_kind_needs_peer(enum tls_kind kind)
{
	return kinds[kind].need_peer;
}

/* The BIO: what OpenSSL reads and writes are the buffers of the call. */

static int pipe_read(BIO *bio, char *data, int size)
{
	const struct tls *t = BIO_get_data(bio);
	struct tls_in *in = t->shaking->in;
	size_t n = (size_t)size;

	BIO_clear_retry_flags(bio);
	if (in == NULL || in->len == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	if (n > in->len)
		n = in->len;
	memcpy(data, in->p, n);
	in->p += n;
	in->len -= n;
	return (int)n;
}

static int pipe_write(BIO *bio, const char *data, int size)
{
	const struct tls *t = BIO_get_data(bio);
	struct tls_out *out = t->shaking->out;
	size_t n = (size_t)size;

	BIO_clear_retry_flags(bio);
	if (out == NULL || out->len == out->cap) {
		BIO_set_retry_write(bio);
		return -1;
	}
	if (n > out->cap - out->len)
		n = out->cap - out->len;
	memcpy(out->p + out->len, data, n);
	out->len += n;
	return (int)n;
}

static long pipe_control(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static int pipe_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

static MUST_CHECK enum rc new_pipe_method(BIO_METHOD **out)
{
	BIO_METHOD *m = BIO_meth_new(
	    BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "longarm pipe");

	if (m == NULL || BIO_meth_set_read(m, pipe_read) != 1 ||
	    BIO_meth_set_write(m, pipe_write) != 1 ||
	    BIO_meth_set_ctrl(m, pipe_control) != 1 ||
	    BIO_meth_set_create(m, pipe_create) != 1) {
		BIO_meth_free(m);
		return RC_NOMEM;
	}
	*out = m;
	return RC_OK;
}

/* The server's choice of protocol: the one that this context speaks. */
static int choose_protocol(SSL *ssl, const unsigned char **out,
    unsigned char *out_len, const unsigned char *in, unsigned in_len, void *arg)
{
	const struct tls *t = SSL_get_app_data(ssl);
	const char *own = tls_kind_protocol(t->kind);
	const size_t own_len = strlen(own);
	unsigned i;

	(void)arg;
	for (i = 0; i < in_len; i += in[i] + 1U) {
		if (in[i] == own_len && i + 1U + own_len <= in_len &&
		    memcmp(in + i + 1, own, own_len) == 0) {
			*out = in + i + 1;
			*out_len = (unsigned char)own_len;
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* So that the alert tells the peer what its matter is. */
static int openssl_error(const struct fault *fault)
{
	if (fault->code == REASON_EXPIRED)
		return X509_V_ERR_CERT_HAS_EXPIRED;
	if (fault->code == REASON_CLOCK)
		return X509_V_ERR_CERT_NOT_YET_VALID;
	if (fault->code == REASON_REVOKED)
		return X509_V_ERR_CERT_REVOKED;
	if (fault->code == REASON_TLS)
		return X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
	return X509_V_ERR_APPLICATION_VERIFICATION;
}

static MUST_CHECK enum rc copy_shown(X509_STORE_CTX *ctx, struct certs *shown)
{
	STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(ctx);
	X509 *leaf = X509_STORE_CTX_get0_cert(ctx);
	enum rc rc = leaf != NULL ? certs_add(shown, leaf) : RC_CRYPTO;
	int i;

	/* sent begins with the leaf */
	for (i = 1; i < sk_X509_num(sent) && rc == RC_OK; i++)
		rc = certs_add(shown, sk_X509_value(sent, i));
	return rc;
}

/* The only judgement of a peer; OpenSSL's own is replaced by it. */
static int judge_peer(X509_STORE_CTX *ctx, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(
	    ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *t = SSL_get_app_data(ssl);
	const struct trust_check check = { .now_s = (int64_t)time(NULL),
		.roles = t->shaking->roles,
		.name = t->shaking->name,
		.accept_expired = kinds[t->kind].take_expired };
	struct certs shown;
	enum rc rc;

	(void)arg;
	certs_init(&shown);
	rc = copy_shown(ctx, &shown);
	if (rc != RC_OK)
		fault_set(&t->fault, REASON_TLS, "",
		    "the peer showed more than %d certificates", CERTS_MAX);
	else
		rc = trust_verify(t->contexts->trust, &shown, &check,
		    &t->shaking->shown, &t->fault);
	certs_fini(&shown);
	X509_STORE_CTX_set_error(
	    ctx, rc == RC_OK ? X509_V_OK : openssl_error(&t->fault));
	if (rc != RC_OK && t->fault.code == REASON_NONE)
		fault_set(&t->fault, REASON_MEMORY, "",
		    "out of memory while checking the peer");
	return rc == RC_OK;
}

/* Our certificate, key and what is above it. */
static bool set_identity(
    SSL_CTX *ctx, const struct identity *id, bool show_root)
{
	const struct certs *chain = identity_chain(id);
	const struct certs *roots = identity_roots(id);
	size_t i;
	bool ok = SSL_CTX_use_certificate(ctx, chain->cert[0]) == 1 &&
	          SSL_CTX_use_PrivateKey(ctx, identity_key(id)) == 1;

	for (i = 1; i < chain->count && ok; i++)
		ok = SSL_CTX_add1_chain_cert(ctx, chain->cert[i]) == 1;
	for (i = 0; show_root && i < roots->count && ok; i++)
		ok = SSL_CTX_add1_chain_cert(ctx, roots->cert[i]) == 1;
	return ok;
}

static bool set_protocol(SSL_CTX *ctx, const struct kind_info *info)
{
	unsigned char list[32];
	const size_t len = strlen(info->protocol);

	if (info->server) {
		SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
		return true;
	}
	list[0] = (unsigned char)len;
	memcpy(list + 1, info->protocol, len);
	return SSL_CTX_set_alpn_protos(ctx, list, (unsigned)len + 1) == 0;
}

/* TLS 1.3, one group, one kind of signature; nothing that outlives a session */
static bool set_rules(SSL_CTX *ctx, const struct kind_info *info)
{
	/* arrays, because OpenSSL's macros cast const away */
	char group[] = "X25519", signature[] = "ed25519";

	SSL_CTX_set_security_level(ctx, 2);
	(void)SSL_CTX_set_options(
	    ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
		     SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_cert_list(ctx, PEER_CHAIN_MAX);
	SSL_CTX_set_verify(ctx,
	    SSL_VERIFY_PEER |
		(info->need_peer ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
	    NULL);
	SSL_CTX_set_cert_verify_callback(ctx, judge_peer, NULL);
	SSL_CTX_set_keylog_callback(ctx, tls_take_secret);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_num_tickets(ctx, 0) == 1 &&
	       /* early data ends the handshake instead of being skipped */
	       SSL_CTX_set_recv_max_early_data(ctx, 0) == 1 &&
	       SSL_CTX_set_ciphersuites(ctx,
		   "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256") ==
	           1 &&
	       SSL_CTX_set1_groups_list(ctx, group) == 1 &&
	       SSL_CTX_set1_sigalgs_list(ctx, signature) == 1 &&
	       SSL_CTX_set_max_send_fragment(ctx, info->fragment) == 1;
}

static MUST_CHECK enum rc new_context(
    const struct kind_info *info, const struct identity *id, SSL_CTX **out)
{
	SSL_CTX *ctx = SSL_CTX_new(
	    info->server ? TLS_server_method() : TLS_client_method());

	if (ctx == NULL)
		return RC_NOMEM;
	if (!set_rules(ctx, info) || !set_protocol(ctx, info) ||
	    (id != NULL && !set_identity(ctx, id, info->show_root))) {
		SSL_CTX_free(ctx);
		return RC_CRYPTO;
	}
	*out = ctx;
	return RC_OK;
}

/* A tentacle never talks to a tentacle. */
static unsigned allowed_roles(
    const struct identity *id, const struct kind_info *info)
{
	if (id == NULL || identity_spiffe(id)->role == ROLE_TENTACLE)
		return info->roles & ~TRUST_ROLE(ROLE_TENTACLE);
	return info->roles;
}

enum rc tls_contexts_new(const struct identity *identity, struct trust *trust,
    struct tls_contexts **out, struct fault *fault)
{
	const struct identity *id =
	    identity != NULL && identity_is_enrolled(identity) ? identity
							       : NULL;
	struct tls_contexts *contexts = calloc(1, sizeof(*contexts));
	enum rc rc;
	size_t i;

	if (contexts == NULL)
		return RC_NOMEM;
	ERR_clear_error();
	atomic_init(&contexts->refs, 1);
	contexts->trust = trust_ref(trust);
	rc = new_pipe_method(&contexts->pipe);
	contexts->aes = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
	contexts->chacha = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
	if (contexts->aes == NULL || contexts->chacha == NULL)
		rc = RC_CRYPTO;
	for (i = 0; i < TLS_KIND_COUNT && rc == RC_OK; i++) {
		contexts->roles[i] = allowed_roles(id, &kinds[i]);
		if (id != NULL || kinds[i].joiner)
			rc = new_context(&kinds[i], id, &contexts->ssl[i]);
	}
	if (rc == RC_OK) {
		*out = contexts;
		return RC_OK;
	}
	fault_set(fault, REASON_TLS, "", "TLS cannot be set up: %s",
	    tls_openssl_words(ERR_peek_error()));
	ERR_clear_error();
	tls_contexts_unref(contexts);
	return rc;
}

struct tls_contexts *tls_contexts_ref(struct tls_contexts *contexts)
{
	atomic_fetch_add(&contexts->refs, 1);
	return contexts;
}

void tls_contexts_unref(struct tls_contexts *contexts)
{
	size_t i;

	if (contexts == NULL || atomic_fetch_sub(&contexts->refs, 1) != 1)
		return;
	for (i = 0; i < TLS_KIND_COUNT; i++)
		SSL_CTX_free(contexts->ssl[i]);
	EVP_CIPHER_free(contexts->aes);
	EVP_CIPHER_free(contexts->chacha);
	BIO_meth_free(contexts->pipe);
	trust_unref(contexts->trust);
	free(contexts);
}

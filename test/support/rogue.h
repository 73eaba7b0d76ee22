/*
 * rogue.h - a peer that our own code cannot play: raw OpenSSL, or raw bytes,
 * in memory, against one of our own ends.  In a header, all static, because it
 * uses common.
 */
#ifndef TEST_SUPPORT_ROGUE_H
#define TEST_SUPPORT_ROGUE_H

#include "test/support/pki.h"

#include "common/tls.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/ssl.h>

#define ROGUE_WORDS  "attack" /* what it says as soon as it can */
#define ROGUE_SECRET 32

enum rogue_trick {
	ROGUE_PLAIN_TLS, /* the certificate, or its want, is the matter */
	ROGUE_RENEGOTIATES,
	ROGUE_EARLY_DATA,
	ROGUE_RESUMES, /* shows the session before, see rogue_session */
};

struct rogue {
	const char *protocol; /* ALPN; NULL: none */
	int version;          /* at most; 0: TLS 1.3 */
	EVP_PKEY *key;
	const struct certs *chain;
	int group; /* NID; 0: as OpenSSL likes */
	enum rogue_trick trick;
	const void *bytes; /* instead of TLS; NULL: none */
	size_t bytes_len;
};

/* Our end's view of it. */
struct rogue_meeting {
	enum rc rc; /* of the handshake, or of what came after */
	enum peer_role role;
	bool expired;
	struct fault fault;
	size_t got; /* bytes of data that our end let through */
};

/* What a rogue knows of its own session, for what OpenSSL would not send. */
struct rogue_secrets {
	uint8_t own[ROGUE_SECRET]; /* for what it writes */
	bool known;
	const char *protocol;
};

static UNUSED int rogue_protocol(SSL *ssl, const unsigned char **out,
    unsigned char *out_len, const unsigned char *in, unsigned in_len, void *arg)
{
	const char *own = arg;

	(void)ssl;
	(void)in;
	(void)in_len;
	*out = (const unsigned char *)own;
	*out_len = (unsigned char)strlen(own);
	return SSL_TLSEXT_ERR_OK;
}

/* "CLIENT_TRAFFIC_SECRET_0 <client random> <secret>", all in hexadecimal. */
static UNUSED void rogue_key_log(const SSL *ssl, const char *line)
{
	const char *wanted = SSL_is_server(ssl) ? "SERVER_TRAFFIC_SECRET_0 "
	                                        : "CLIENT_TRAFFIC_SECRET_0 ";
	struct rogue_secrets *s = SSL_get_app_data(ssl);
	const char *hex = strrchr(line, ' ');
	size_t len = 0;

	if (strncmp(line, wanted, strlen(wanted)) != 0)
		return;
	assert_int_equal(
	    OPENSSL_hexstr2buf_ex(s->own, sizeof(s->own), &len, hex + 1, '\0'),
	    1);
	assert_int_equal(len, ROGUE_SECRET);
	s->known = true;
}

/* A session that nobody agreed on, so that there is something to resume. */
static UNUSED int rogue_session(SSL *ssl, const EVP_MD *md,
    const unsigned char **id, size_t *id_len, SSL_SESSION **out)
{
	static const unsigned char name[] = "an old session", key[32] = { 7 };
	static const unsigned char suite[] = { 0x13, 0x01 };
	const struct rogue_secrets *secrets = SSL_get_app_data(ssl);
	SSL_SESSION *s = SSL_SESSION_new();

	(void)md;
	assert_non_null(s);
	assert_int_equal(SSL_SESSION_set1_master_key(s, key, sizeof(key)), 1);
	assert_int_equal(
	    SSL_SESSION_set_cipher(s, SSL_CIPHER_find(ssl, suite)), 1);
	assert_int_equal(
	    SSL_SESSION_set_protocol_version(s, TLS1_3_VERSION), 1);
	assert_int_equal(SSL_SESSION_set_max_early_data(s, 1000), 1);
	assert_int_equal(SSL_SESSION_set1_alpn_selected(s,
			     (const unsigned char *)secrets->protocol,
			     strlen(secrets->protocol)),
	    1);
	*id = name;
	*id_len = sizeof(name) - 1;
	*out = s;
	return 1;
}

static UNUSED void rogue_identity(SSL_CTX *ctx, const struct rogue *r)
{
	size_t i;

	if (r->key == NULL)
		return;
	assert_int_equal(SSL_CTX_use_certificate(ctx, r->chain->cert[0]), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, r->key), 1);
	for (i = 1; i < r->chain->count; i++)
		assert_int_equal(
		    SSL_CTX_add1_chain_cert(ctx, r->chain->cert[i]), 1);
}

static UNUSED void rogue_set_protocol(
    SSL_CTX *ctx, const struct rogue *r, bool server)
{
	unsigned char list[32];
	size_t len;
	char *own = NULL;

	if (r->protocol == NULL)
		return;
	memcpy(&own, &r->protocol, sizeof(own)); /* OpenSSL wants no const */
	if (server)
		SSL_CTX_set_alpn_select_cb(ctx, rogue_protocol, own);
	len = strlen(r->protocol);
	list[0] = (unsigned char)len;
	memcpy(list + 1, r->protocol, len);
	if (!server)
		assert_int_equal(
		    SSL_CTX_set_alpn_protos(ctx, list, (unsigned)len + 1), 0);
}

/* It has no scruples, and believes everybody. */
static UNUSED SSL *rogue_new(
    const struct rogue *r, bool server, struct rogue_secrets *secrets)
{
	SSL_CTX *ctx =
	    SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	SSL *ssl;

	assert_non_null(ctx);
	SSL_CTX_set_security_level(ctx, 0);
	(void)SSL_CTX_set_num_tickets(ctx, 0);
	assert_int_equal(
	    SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256"), 1);
	assert_int_equal(SSL_CTX_set_max_proto_version(ctx,
			     r->version != 0 ? r->version : TLS1_3_VERSION),
	    1);
	if (r->group != 0) {
		int group = r->group;

		assert_int_equal(SSL_CTX_set1_groups(ctx, &group, 1), 1);
	}
	rogue_set_protocol(ctx, r, server);
	rogue_identity(ctx, r);
	SSL_CTX_set_keylog_callback(ctx, rogue_key_log);
	if (r->trick == ROGUE_EARLY_DATA || r->trick == ROGUE_RESUMES)
		SSL_CTX_set_psk_use_session_callback(ctx, rogue_session);
	ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	assert_non_null(ssl);
	SSL_set_app_data(ssl, secrets);
	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	if (server)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	return ssl;
}

static UNUSED void rogue_derive(
    const struct rogue_secrets *s, const char *label, uint8_t *out, size_t len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	char digest[] = "SHA256", prefix[] = "tls13 ", name[8];
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	uint8_t secret[ROGUE_SECRET];
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_construct_utf8_string(
		    OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_octet_string(
		    OSSL_KDF_PARAM_KEY, secret, sizeof(secret)),
		OSSL_PARAM_construct_octet_string(
		    OSSL_KDF_PARAM_PREFIX, prefix, strlen(prefix)),
		OSSL_PARAM_construct_octet_string(
		    OSSL_KDF_PARAM_LABEL, name, strlen(label)),
		OSSL_PARAM_construct_end(),
	};

	memcpy(secret, s->own, sizeof(secret));
	memcpy(name, label, strlen(label));
	assert_int_equal(EVP_KDF_derive(ctx, out, len, params), 1);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

/* Its first protected record of all: a handshake message out of its time. */
static UNUSED size_t rogue_late_hello(
    const struct rogue_secrets *s, uint8_t wire[64])
{
	static const uint8_t inner[] = { SSL3_MT_CLIENT_HELLO, 0, 0, 2, 3, 3,
		SSL3_RT_HANDSHAKE };
	const size_t sealed = sizeof(inner) + 16;
	const uint8_t header[] = { SSL3_RT_APPLICATION_DATA, 3, 3, 0,
		(uint8_t)sealed };
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	uint8_t key[16], nonce[12];
	int n = 0;

	assert_true(s->known);
	rogue_derive(s, "key", key, sizeof(key));
	rogue_derive(s, "iv", nonce, sizeof(nonce));
	memcpy(wire, header, sizeof(header));
	assert_int_equal(
	    EVP_EncryptInit_ex(c, EVP_aes_128_gcm(), NULL, key, nonce), 1);
	assert_int_equal(
	    EVP_EncryptUpdate(c, NULL, &n, header, (int)sizeof(header)), 1);
	assert_int_equal(
	    EVP_EncryptUpdate(c, wire + 5, &n, inner, (int)sizeof(inner)), 1);
	assert_int_equal(EVP_EncryptFinal_ex(c, wire + 5 + n, &n), 1);
	assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16,
			     wire + 5 + sizeof(inner)),
	    1);
	EVP_CIPHER_CTX_free(c);
	return 5 + sealed;
}

/* What it has to say next, for our end to hear. */
static UNUSED size_t rogue_speak(const struct rogue *r, SSL *ssl,
    struct rogue_secrets *secrets, uint8_t *wire, size_t cap)
{
	size_t done = 0;
	int n;

	if (r->bytes != NULL) {
		memcpy(wire, r->bytes, r->bytes_len);
		return r->bytes_len;
	}
	if (r->trick == ROGUE_EARLY_DATA && !SSL_is_init_finished(ssl))
		(void)SSL_write_early_data(
		    ssl, ROGUE_WORDS, strlen(ROGUE_WORDS), &done);
	if (SSL_do_handshake(ssl) == 1) {
		if (r->trick == ROGUE_RENEGOTIATES && secrets->known) {
			n = BIO_read(SSL_get_wbio(ssl), wire, (int)cap - 64);
			done = n > 0 ? (size_t)n : 0;
			done += rogue_late_hello(secrets, wire + done);
			secrets->known = false; /* once is enough */
			return done;
		}
		(void)SSL_write_ex(
		    ssl, ROGUE_WORDS, strlen(ROGUE_WORDS), &done);
	}
	ERR_clear_error();
	n = BIO_read(SSL_get_wbio(ssl), wire, (int)cap);
	return n > 0 ? (size_t)n : 0;
}

/*
 * Let it talk to one of our ends, data and all.  Ours dials or accepts, as its
 * kind says.
 */
static UNUSED struct rogue_meeting rogue_meet(const struct rogue *r,
    struct tls_contexts *ours, enum tls_kind kind,
    const struct tls_expect *expect)
{
	static uint8_t sent[64 * 1024], wire[64 * 1024];
	const bool we_dial = kind == TLS_LINK_DIAL || kind == TLS_SEAL_CLIENT ||
	                     kind == TLS_ENROL_CLIENT;
	struct tls_out out = { .p = sent, .cap = sizeof(sent) };
	struct rogue_meeting m = { .rc = RC_AGAIN };
	struct rogue_secrets secrets = { .protocol = r->protocol };
	SSL *ssl = rogue_new(r, we_dial, &secrets);
	struct tls *t = NULL;
	uint8_t plain[64];
	int i;

	assert_int_equal(tls_new(ours, kind, expect, &t), RC_OK);
	for (i = 0; i < 10 && m.rc != RC_DENIED; i++) {
		struct tls_in in = { .p = wire };
		size_t done = 0;

		if (i > 0 || !we_dial)
			in.len =
			    rogue_speak(r, ssl, &secrets, wire, sizeof(wire));
		if (tls_state(t) == TLS_HANDSHAKE)
			m.rc = tls_handshake(t, &in, &out);
		if (m.rc == RC_OK)
			m.rc =
			    tls_recv(t, &in, &out, plain, sizeof(plain), &done);
		m.got += done;
		if (out.len > 0)
			(void)BIO_write(SSL_get_rbio(ssl), sent, (int)out.len);
		out.len = 0;
	}
	m.fault = *tls_fault(t);
	m.role = tls_peer(t)->role;
	m.expired = tls_peer(t)->expired;
	tls_free(t);
	SSL_free(ssl);
	ERR_clear_error();
	return m;
}

#endif

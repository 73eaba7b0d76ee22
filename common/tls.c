#include "common/tls.h"

#include "common/hex.h"
#include "common/tls_internal.h"

#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALERT_OFFSET  SSL_AD_REASON_OFFSET /* of alerts among the reasons */
#define CIPHER_AES    0x1301               /* TLS_AES_128_GCM_SHA256 */
#define CIPHER_CHACHA 0x1303               /* TLS_CHACHA20_POLY1305_SHA256 */

const char *tls_openssl_words(unsigned long error)
{
	const char *words = ERR_reason_error_string(error);

	return words != NULL ? words : "unknown error";
}

/* What a peer's alert means to a person. */
static const struct alert {
	int number;
	enum reason code;
	const char *words;
} alerts[] = {
	{ SSL_AD_BAD_CERTIFICATE, REASON_TLS,
	    "it refused our certificate (or its clock is behind)" },
	{ SSL_AD_UNSUPPORTED_CERTIFICATE, REASON_TLS,
	    "it refused our certificate: unsupported" },
	{ SSL_AD_CERTIFICATE_REVOKED, REASON_REVOKED,
	    "it says that our certificate was revoked" },
	{ SSL_AD_CERTIFICATE_EXPIRED, REASON_EXPIRED,
	    "it says that our certificate has expired" },
	{ SSL_AD_CERTIFICATE_UNKNOWN, REASON_TLS,
	    "it refused our certificate" },
	{ SSL_AD_UNKNOWN_CA, REASON_TLS,
	    "our certificate is not of its cluster" },
	{ SSL_AD_HANDSHAKE_FAILURE, REASON_WRONG_IDENTITY,
	    "it expected someone else, or speaks no algorithm of ours" },
	{ SSL_AD_PROTOCOL_VERSION, REASON_VERSION, "it speaks no TLS 1.3" },
	{ TLS13_AD_CERTIFICATE_REQUIRED, REASON_TLS,
	    "it demands a certificate, and we have none" },
	{ TLS1_AD_NO_APPLICATION_PROTOCOL, REASON_WRONG_IDENTITY,
	    "another kind of port or program answered" },
};

void tls_set_alert_fault(struct tls *t, int number)
{
	size_t i;

	for (i = 0; i < sizeof(alerts) / sizeof(alerts[0]); i++)
		if (alerts[i].number == number) {
			fault_set(&t->fault, alerts[i].code, "",
			    "the peer ended TLS: %s", alerts[i].words);
			return;
		}
	fault_set(&t->fault, REASON_TLS, "", "the peer ended TLS with alert %d",
	    number);
}

/* Errors of OpenSSL that deserve better words. */
static void set_openssl_fault(struct tls *t)
{
	const unsigned long error = ERR_peek_error();
	const int reason = ERR_GET_REASON(error);

	if (ERR_GET_LIB(error) != ERR_LIB_SSL)
		fault_set(&t->fault, REASON_TLS, "", "TLS failed: %s",
		    error != 0 ? tls_openssl_words(error)
			       : "the peer broke off");
	else if (reason >= ALERT_OFFSET && reason < ALERT_OFFSET + 256)
		tls_set_alert_fault(t, reason - ALERT_OFFSET);
	else if (reason == SSL_R_NO_APPLICATION_PROTOCOL)
		fault_set(&t->fault, REASON_WRONG_IDENTITY, "",
		    "the peer does not speak %s here",
		    tls_kind_protocol(t->kind));
	else if (reason == SSL_R_UNSUPPORTED_PROTOCOL ||
		 reason == SSL_R_NO_PROTOCOLS_AVAILABLE)
		fault_set(&t->fault, REASON_VERSION, "",
		    "the peer does not speak TLS 1.3");
	else if (reason == SSL_R_WRONG_VERSION_NUMBER ||
		 reason == SSL_R_HTTP_REQUEST)
		fault_set(
		    &t->fault, REASON_TLS, "", "the peer does not speak TLS");
	else if (reason == SSL_R_TOO_MUCH_EARLY_DATA)
		fault_set(&t->fault, REASON_TLS, "",
		    "the peer sent early data, which is never taken");
	else if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		fault_set(&t->fault, REASON_TLS, "",
		    "the peer showed no certificate");
	else
		fault_set(&t->fault, REASON_TLS, "", "TLS failed: %s",
		    tls_openssl_words(error));
}

enum rc tls_fail(struct tls *t)
{
	if (t->fault.code == REASON_NONE)
		set_openssl_fault(t);
	ERR_clear_error();
	memset(&t->peer, 0, sizeof(t->peer));
	t->state = TLS_FAILED;
	return RC_DENIED;
}

enum rc tls_new(struct tls_contexts *contexts, enum tls_kind kind,
    const struct tls_expect *expect, struct tls **out)
{
	unsigned roles = contexts->roles[kind];
	struct tls *t;

	if (contexts->ssl[kind] == NULL)
		return RC_STATE;
	if (expect != NULL && expect->name != NULL &&
	    strlen(expect->name) >= NAME_SIZE)
		return RC_STATE;
	if (expect != NULL && expect->roles != 0)
		roles &= expect->roles;
	if (roles == 0) /* would mean any, and nobody can be what is expected */
		return RC_STATE;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return RC_NOMEM;
	t->shaking = calloc(1, sizeof(*t->shaking));
	if (t->shaking == NULL) {
		free(t);
		return RC_NOMEM;
	}
	t->contexts = tls_contexts_ref(contexts);
	t->kind = kind;
	t->shaking->roles = roles;
	if (expect != NULL && expect->name != NULL)
		(void)snprintf(t->shaking->name, sizeof(t->shaking->name), "%s",
		    expect->name);
	*out = t;
	return RC_OK;
}

static void end_shaking(struct tls *t)
{
	if (t->shaking == NULL)
		return;
	SSL_free(t->shaking->ssl);
	free(t->shaking);
	t->shaking = NULL;
}

void tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	end_shaking(t);
	tls_keys_fini(&t->read);
	tls_keys_fini(&t->write);
	OPENSSL_clear_free(t->held.p, t->held.cap);
	EVP_PKEY_free(t->peer_key);
	tls_contexts_unref(t->contexts);
	free(t);
}

/* On the worker: what is made here is freed there. */
static MUST_CHECK enum rc make_session(struct tls *t)
{
	struct tls_shaking *shaking = t->shaking;
	BIO *pipe;

	shaking->ssl = SSL_new(t->contexts->ssl[t->kind]);
	pipe = BIO_new(t->contexts->pipe);
	if (shaking->ssl == NULL || pipe == NULL) {
		BIO_free(pipe);
		fault_set(&t->fault, REASON_MEMORY, "", "out of memory");
		return tls_fail(t);
	}
	BIO_set_data(pipe, t);
	SSL_set_bio(shaking->ssl, pipe, pipe);
	SSL_set_app_data(shaking->ssl, t);
	if (tls_kind_is_server(t->kind))
		SSL_set_accept_state(shaking->ssl);
	else
		SSL_set_connect_state(shaking->ssl);
	return RC_OK;
}

void tls_take_secret(const SSL *ssl, const char *line)
{
	static const char client[] = "CLIENT_TRAFFIC_SECRET_0 ",
			  server[] = "SERVER_TRAFFIC_SECRET_0 ";
	struct tls *t = SSL_get_app_data(ssl);
	const char *secret = strrchr(line, ' ');
	bool ours = tls_kind_is_server(t->kind);
	bool *known;
	uint8_t *out;

	/* Its label, what the client made up, the secret. */
	if (strncmp(line, client, sizeof(client) - 1) == 0)
		ours = !ours;
	else if (strncmp(line, server, sizeof(server) - 1) != 0)
		return;
	out = ours ? t->write.secret : t->read.secret;
	known = ours ? &t->shaking->knows_write : &t->shaking->knows_read;
	*known = hex_decode(secret + 1, out, TLS_SECRET_SIZE) == RC_OK;
}

/* Take over from OpenSSL: its session is 18 KB, ours is not one. */
static MUST_CHECK enum rc take_keys(struct tls *t)
{
	const struct tls_shaking *shaking = t->shaking;
	const SSL_CIPHER *cipher = SSL_get_current_cipher(shaking->ssl);
	const unsigned id =
	    cipher != NULL ? SSL_CIPHER_get_protocol_id(cipher) : 0;
	const EVP_CIPHER *suite = id == CIPHER_AES      ? t->contexts->aes
	                          : id == CIPHER_CHACHA ? t->contexts->chacha
	                                                : NULL;

	if (suite == NULL || !shaking->knows_read || !shaking->knows_write ||
	    SSL_has_pending(shaking->ssl) != 0)
		return RC_CRYPTO;
	if (tls_keys_begin(&t->read, suite) != RC_OK)
		return RC_CRYPTO;
	return tls_keys_begin(&t->write, suite);
}

/* A link has no use for it. */
static void keep_peer_key(struct tls *t)
{
	X509 *cert = SSL_get0_peer_certificate(t->shaking->ssl);
	EVP_PKEY *key = cert != NULL && t->kind != TLS_LINK_DIAL &&
	                        t->kind != TLS_LINK_ACCEPT
	                    ? X509_get0_pubkey(cert)
	                    : NULL;

	if (key != NULL && EVP_PKEY_up_ref(key) == 1)
		t->peer_key = key;
}

/* OpenSSL is content; are we? */
static MUST_CHECK enum rc finish_handshake(struct tls *t)
{
	const struct tls_shaking *shaking = t->shaking;
	const char *own = tls_kind_protocol(t->kind);
	const unsigned char *chosen = NULL;
	unsigned len = 0;

	SSL_get0_alpn_selected(shaking->ssl, &chosen, &len);
	if (len != strlen(own) || memcmp(chosen, own, len) != 0) {
		fault_set(&t->fault, REASON_WRONG_IDENTITY, "",
		    "the peer does not speak %s here", own);
		return tls_fail(t);
	}
	if (SSL_get_verify_result(shaking->ssl) != X509_V_OK ||
	    (tls_kind_needs_peer(t->kind) && shaking->shown.key_hash[0] == 0 &&
		shaking->shown.id.role == ROLE_ANONYMOUS)) {
		fault_set(&t->fault, REASON_TLS, "",
		    "the peer showed no good certificate");
		return tls_fail(t);
	}
	if (take_keys(t) != RC_OK) {
		fault_set(&t->fault, REASON_TLS, "",
		    "the keys of the session cannot be made");
		return tls_fail(t);
	}
	keep_peer_key(t);
	t->peer = shaking->shown;
	t->state = TLS_OPEN;
	end_shaking(t);
	return RC_OK;
}

enum rc tls_handshake(struct tls *t, struct tls_in *in, struct tls_out *out)
{
	struct tls_shaking *shaking = t->shaking;
	int result, error;

	if (t->state == TLS_FAILED)
		return RC_DENIED;
	if (t->state != TLS_HANDSHAKE)
		return RC_OK;
	ERR_clear_error();
	if (shaking->ssl == NULL && make_session(t) != RC_OK)
		return RC_DENIED;
	shaking->in = in;
	shaking->out = out;
	result = SSL_do_handshake(shaking->ssl);
	error = SSL_get_error(shaking->ssl, result);
	shaking->in = NULL;
	shaking->out = NULL;
	if (result == 1)
		return finish_handshake(t);
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return RC_AGAIN;
	return tls_fail(t);
}

enum tls_state tls_state(const struct tls *t)
{
	return t->state;
}

const struct fault *tls_fault(const struct tls *t)
{
	return &t->fault;
}

const struct peer *tls_peer(const struct tls *t)
{
	return &t->peer;
}

EVP_PKEY *tls_peer_key(const struct tls *t)
{
	return t->state == TLS_OPEN || t->state == TLS_PEER_CLOSED ? t->peer_key
	                                                           : NULL;
}

enum rc tls_recheck(struct tls *t, int64_t now_s, struct fault *fault)
{
	return trust_recheck(t->contexts->trust, &t->peer, now_s, fault);
}

bool tls_looks_like_http(const uint8_t *bytes, size_t len)
{
	static const char *const methods[] = { "GET ", "HEAD ", "POST ", "PUT ",
		"DELETE ", "OPTIONS ", "PATCH ", "TRACE ", "CONNECT ", "PRI " };
	size_t i;

	for (i = 0; len > 0 && i < sizeof(methods) / sizeof(methods[0]); i++) {
		size_t n = strlen(methods[i]);

		if (memcmp(bytes, methods[i], len < n ? len : n) == 0)
			return true;
	}
	return false;
}

#include "common/tls.h"

#include "common/tls_internal.h"

#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALERT_OFFSET SSL_AD_REASON_OFFSET /* of alerts among the reasons */
#define BUSY_BYTES   8192
#define KEY_UPDATE   64 /* room for one that OpenSSL may want to send first */

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

static void set_alert_fault(struct tls *t, int number)
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
		set_alert_fault(t, reason - ALERT_OFFSET);
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

/* The only way into TLS_FAILED; a fault that is known already stays. */
static MUST_CHECK enum rc fail(struct tls *t)
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
	struct tls *t;
	BIO *pipe;

	if (contexts->ssl[kind] == NULL)
		return RC_STATE;
	if (expect != NULL && expect->name != NULL &&
	    strlen(expect->name) >= NAME_SIZE)
		return RC_STATE;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return RC_NOMEM;
	t->contexts = tls_contexts_ref(contexts);
	t->kind = kind;
	t->roles = contexts->roles[kind];
	if (expect != NULL && expect->roles != 0)
		t->roles &= expect->roles;
	if (expect != NULL && expect->name != NULL)
		(void)snprintf(t->name, sizeof(t->name), "%s", expect->name);
	t->ssl = SSL_new(contexts->ssl[kind]);
	pipe = BIO_new(contexts->pipe);
	/* roles of 0 would mean any: nobody can satisfy this expectation */
	if (t->ssl == NULL || pipe == NULL || t->roles == 0) {
		enum rc rc = t->roles == 0 ? RC_STATE : RC_NOMEM;

		BIO_free(pipe);
		tls_free(t);
		return rc;
	}
	BIO_set_data(pipe, t);
	SSL_set_bio(t->ssl, pipe, pipe);
	SSL_set_app_data(t->ssl, t);
	if (tls_kind_is_server(kind))
		SSL_set_accept_state(t->ssl);
	else
		SSL_set_connect_state(t->ssl);
	*out = t;
	return RC_OK;
}

void tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	SSL_free(t->ssl);
	tls_contexts_unref(t->contexts);
	free(t);
}

/* Every call into OpenSSL is between these two. */
static void enter(struct tls *t, struct tls_in *in, struct tls_out *out)
{
	ERR_clear_error();
	t->in = in;
	t->out = out;
}

static void leave(struct tls *t)
{
	t->in = NULL;
	t->out = NULL;
}

/*
 * An idle session holds no buffers, but to take and free one for each full
 * record costs more than to keep it.
 */
static void keep_buffers(struct tls *t, size_t len)
{
	if (t->busy || len < BUSY_BYTES)
		return;
	(void)SSL_clear_mode(t->ssl, SSL_MODE_RELEASE_BUFFERS);
	t->busy = true;
}

void tls_rest(struct tls *t)
{
	if (!t->busy)
		return;
	(void)SSL_set_mode(t->ssl, SSL_MODE_RELEASE_BUFFERS);
	(void)SSL_free_buffers(t->ssl); /* not while part of a record waits */
	t->busy = false;
}

/* OpenSSL is content; are we? */
static MUST_CHECK enum rc finish_handshake(struct tls *t)
{
	const char *own = tls_kind_protocol(t->kind);
	const unsigned char *chosen = NULL;
	unsigned len = 0;

	SSL_get0_alpn_selected(t->ssl, &chosen, &len);
	if (len != strlen(own) || memcmp(chosen, own, len) != 0) {
		fault_set(&t->fault, REASON_WRONG_IDENTITY, "",
		    "the peer does not speak %s here", own);
		return fail(t);
	}
	if (SSL_get_verify_result(t->ssl) != X509_V_OK ||
	    (tls_kind_needs_peer(t->kind) && t->shown.key_hash[0] == 0 &&
		t->shown.id.role == ROLE_ANONYMOUS)) {
		fault_set(&t->fault, REASON_TLS, "",
		    "the peer showed no good certificate");
		return fail(t);
	}
	t->peer = t->shown;
	t->state = TLS_OPEN;
	return RC_OK;
}

enum rc tls_handshake(struct tls *t, struct tls_in *in, struct tls_out *out)
{
	int result, error;

	if (t->state == TLS_FAILED)
		return RC_DENIED;
	if (t->state != TLS_HANDSHAKE)
		return RC_OK;
	enter(t, in, out);
	result = SSL_do_handshake(t->ssl);
	error = SSL_get_error(t->ssl, result);
	leave(t);
	if (result == 1)
		return finish_handshake(t);
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return RC_AGAIN;
	return fail(t);
}

enum rc tls_recv(struct tls *t, struct tls_in *in, struct tls_out *out,
    uint8_t *plain, size_t cap, size_t *got)
{
	size_t n = 0;
	int error = SSL_ERROR_NONE;

	*got = 0;
	if (t->state == TLS_FAILED)
		return RC_DENIED;
	if (t->state == TLS_HANDSHAKE)
		return RC_STATE;
	keep_buffers(t, in->len);
	enter(t, in, out);
	while (*got < cap && t->state == TLS_OPEN) {
		if (SSL_read_ex(t->ssl, plain + *got, cap - *got, &n) == 1) {
			*got += n;
			continue;
		}
		error = SSL_get_error(t->ssl, 0);
		if (error != SSL_ERROR_ZERO_RETURN)
			break;
		t->state = TLS_PEER_CLOSED;
	}
	leave(t);
	if (error == SSL_ERROR_NONE || error == SSL_ERROR_WANT_READ ||
	    error == SSL_ERROR_WANT_WRITE || t->state == TLS_PEER_CLOSED)
		return RC_OK;
	return fail(t);
}

enum rc tls_send(struct tls *t, const uint8_t *data, size_t len,
    struct tls_out *out, size_t *taken)
{
	const size_t fragment = tls_kind_fragment(t->kind);
	enum rc rc = RC_OK;

	*taken = 0;
	if (t->state == TLS_FAILED)
		return RC_DENIED;
	if (t->state == TLS_HANDSHAKE || t->closing)
		return RC_STATE;
	keep_buffers(t, len);
	enter(t, NULL, out);
	while (*taken < len && rc == RC_OK) {
		size_t n = 0, piece = len - *taken;

		if (piece > fragment)
			piece = fragment;
		/* never begin a record that does not fit: OpenSSL would want
		 * the same bytes again */
		if (piece + TLS_OVERHEAD + KEY_UPDATE > out->cap - out->len)
			break;
		if (SSL_write_ex(t->ssl, data + *taken, piece, &n) == 1)
			*taken += n;
		else
			rc = fail(t);
	}
	leave(t);
	return rc;
}

void tls_close(struct tls *t, struct tls_out *out)
{
	if (t->closing || (t->state != TLS_OPEN && t->state != TLS_PEER_CLOSED))
		return;
	t->closing = true;
	enter(t, NULL, out);
	(void)SSL_shutdown(t->ssl);
	ERR_clear_error();
	leave(t);
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
	X509 *cert = t->state == TLS_OPEN || t->state == TLS_PEER_CLOSED
	                 ? SSL_get0_peer_certificate(t->ssl)
	                 : NULL;

	return cert != NULL ? X509_get0_pubkey(cert) : NULL;
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

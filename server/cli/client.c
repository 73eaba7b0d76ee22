#include "server/cli/client.h"

#include "common/buf.h"
#include "common/certs.h"
#include "common/wiping.h"
#include "common/xalloc.h"

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ANSWER_MAX (64u << 20)
#define TIMEOUT_S  60
#define CONNECT_S  10
/* A request with a key is repeated when its connection broke. */
#define AGAIN_MS  200
#define AGAIN_MAX 150

struct client {
	struct login login;
	CURL *curl;
	struct curl_slist *headers; /* with the key */
	/* What the last handshake saw. */
	bool pin_failed;
	uint8_t seen[LOGIN_PIN_SIZE];
	char error[CURL_ERROR_SIZE];
	CURLcode code; /* of the last request */
};

/* ---- interrupts ---- */

static volatile sig_atomic_t interrupts;

static void on_interrupt(int signo)
{
	(void)signo;
	interrupts = 1;
}

void client_catch_interrupts(void)
{
	struct sigaction sa = { .sa_handler = on_interrupt };

	(void)sigemptyset(&sa.sa_mask);
	(void)sigaction(SIGINT, &sa, NULL);
}

bool client_interrupted(void)
{
	return interrupts != 0;
}

static int on_progress(void *arg, curl_off_t total, curl_off_t now,
    curl_off_t up_total, curl_off_t up_now)
{
	(void)arg, (void)total, (void)now, (void)up_total, (void)up_now;
	return interrupts != 0;
}

/* ---- who is the server ---- */

/* The certificate of the chain with the pinned key becomes the one anchor. */
static int verify(X509_STORE_CTX *ctx, void *arg)
{
	struct client *client = arg;
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(ctx);
	STACK_OF(X509) *anchors = sk_X509_new_null();
	int ok = 0;

	client->pin_failed = true;
	for (int i = 0; anchors != NULL && i < sk_X509_num(chain); i++) {
		X509 *cert = sk_X509_value(chain, i);

		if (certs_key_hash(cert, client->seen) == RC_OK &&
		    memcmp(client->seen, client->login.pin, LOGIN_PIN_SIZE) ==
			0 &&
		    sk_X509_push(anchors, cert) > 0) {
			client->pin_failed = false;
			break;
		}
	}
	if (!client->pin_failed) {
		X509_STORE_CTX_set0_trusted_stack(ctx, anchors);
		/* A new root's key may come certified by the old root only. */
		X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_PARTIAL_CHAIN);
		ok = X509_verify_cert(ctx);
	} else {
		X509_STORE_CTX_set_error(ctx, X509_V_ERR_CERT_UNTRUSTED);
	}
	/* Only read during X509_verify_cert(). */
	X509_STORE_CTX_set0_trusted_stack(ctx, NULL);
	sk_X509_free(anchors);
	return ok == 1;
}

static CURLcode on_ssl_ctx(CURL *curl, void *ctx, void *arg)
{
	(void)curl;
	SSL_CTX_set_cert_verify_callback(ctx, verify, arg);
	SSL_CTX_set_options(ctx, SSL_OP_CLEANSE_PLAINTEXT);
	return CURLE_OK;
}

/* ---- life ---- */

static size_t on_data(char *data, size_t size, size_t count, void *arg)
{
	struct buf *buf = arg;

	return buf_add(buf, data, size * count) == RC_OK ? size * count : 0;
}

static enum rc set_up(struct client *c)
{
	char *line = xprintf("Authorization: Bearer %s",
	    (const char *)secret_data(c->login.key));

	c->headers = curl_slist_append(NULL, line);
	secret_wipe(line, strlen(line));
	free(line);
	/* No 100-continue: parts are small. */
	if (c->headers != NULL)
		c->headers = curl_slist_append(c->headers, "Expect:");
	if (c->curl == NULL || c->headers == NULL)
		return RC_NOMEM;
	(void)curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, c->error);
	(void)curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(
	    c->curl, CURLOPT_USERAGENT, "longarm/" LONGARM_VERSION);
	(void)curl_easy_setopt(
	    c->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
	(void)curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "https");
	(void)curl_easy_setopt(
	    c->curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, 0L);
	(void)curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	if (!c->login.pinned)
		return RC_OK;
	/* The pin is the only anchor: the system's hundreds would be read and
	 * parsed for nothing. */
	(void)curl_easy_setopt(c->curl, CURLOPT_CAINFO, NULL);
	(void)curl_easy_setopt(c->curl, CURLOPT_CAPATH, NULL);
	if (curl_easy_setopt(c->curl, CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx) !=
		CURLE_OK ||
	    curl_easy_setopt(c->curl, CURLOPT_SSL_CTX_DATA, c) != CURLE_OK)
		return RC_STATE; /* another TLS library: no pin, no request */
	return RC_OK;
}

enum rc client_new(
    struct login *login, struct client **out, struct fault *fault)
{
	struct client *c = xcalloc(1, sizeof(*c));
	enum rc rc = RC_NOMEM;

	c->login = *login;
	*login = (struct login){ 0 };
	/* A small body is copied: it may hold a key. */
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wiping_free,
		wiping_realloc, strdup, calloc) == CURLE_OK) {
		c->curl = curl_easy_init();
		rc = set_up(c);
	}
	if (rc != RC_OK) {
		fault_set(fault, REASON_INTERNAL, "",
		    "libcurl is not usable (is it built with OpenSSL?)");
		client_free(c);
		return rc;
	}
	*out = c;
	return RC_OK;
}

void client_free(struct client *client)
{
	if (client == NULL)
		return;
	for (struct curl_slist *h = client->headers; h != NULL; h = h->next)
		secret_wipe(h->data, strlen(h->data));
	curl_slist_free_all(client->headers);
	curl_easy_cleanup(client->curl);
	login_clear(&client->login);
	free(client);
}

/* ---- requests ---- */

static enum rc tell_unreachable(
    struct client *c, CURLcode code, struct fault *fault)
{
	const char *what =
	    c->error[0] != '\0' ? c->error : curl_easy_strerror(code);
	char pinned[LOGIN_PIN_TEXT], seen[LOGIN_PIN_TEXT];

	if (code == CURLE_ABORTED_BY_CALLBACK) {
		fault_set(fault, REASON_CANCELLED, "", "interrupted");
		return RC_STATE;
	}
	if (c->login.pinned && c->pin_failed &&
	    code == CURLE_PEER_FAILED_VERIFICATION) {
		login_format_pin(c->login.pin, pinned);
		login_format_pin(c->seen, seen);
		fault_set(fault, REASON_WRONG_IDENTITY, "",
		    "%.60s is not the server of this login: pinned %s, "
		    "found %s",
		    c->login.url, pinned, seen);
		return RC_CRYPTO;
	}
	fault_set(fault,
	    code == CURLE_COULDNT_RESOLVE_HOST ? REASON_DNS
	    : code == CURLE_COULDNT_CONNECT    ? REASON_REFUSED
	    : code == CURLE_OPERATION_TIMEDOUT ? REASON_CONNECT_TIMEOUT
	    : code == CURLE_PEER_FAILED_VERIFICATION ||
		    code == CURLE_SSL_CONNECT_ERROR
		? REASON_TLS
		: REASON_REFUSED,
	    "", "%s: %s", c->login.url, what);
	return RC_IO;
}

static void tell_problem(struct client_answer *answer)
{
	const char *detail =
	    json_string_value(json_object_get(answer->body, "detail"));
	const char *name =
	    json_string_value(json_object_get(answer->body, "code"));
	const char *at = json_string_value(json_object_get(answer->body, "at"));
	enum reason code = REASON_INTERNAL;

	if (name == NULL || reason_parse(name, &code) != RC_OK)
		code = REASON_INTERNAL;
	if (detail != NULL)
		fault_set(&answer->fault, code, at, "%s", detail);
	else
		fault_set(&answer->fault, code, at,
		    "the server answered with status %d", answer->status);
}

static void set_body(
    struct client *c, const struct client_request *request, const char *text)
{
	const void *data = text != NULL ? text : request->part;
	curl_off_t len = text != NULL ? (curl_off_t)strlen(text)
	                              : (curl_off_t)request->part_len;
	bool writes = strcmp(request->method, "POST") == 0 ||
	              strcmp(request->method, "PUT") == 0;

	(void)curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
	if (writes) {
		(void)curl_easy_setopt(c->curl, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(
		    c->curl, CURLOPT_POSTFIELDS, data != NULL ? data : "");
		(void)curl_easy_setopt(
		    c->curl, CURLOPT_POSTFIELDSIZE_LARGE, len);
	}
	(void)curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, request->method);
}

static enum rc perform(struct client *c, const struct client_request *request,
    const char *text, struct client_answer *answer)
{
	char *url = xprintf("%s%s", c->login.url, request->path);
	struct curl_slist type = {
		.data = (char[]){ "Content-Type: application/json" },
		.next = c->headers
	};
	struct curl_slist octets = {
		.data = (char[]){ "Content-Type: application/octet-stream" },
		.next = c->headers
	};
	char *key = xprintf("Idempotency-Key: %s",
	    request->idempotency_key != NULL ? request->idempotency_key : "");
	struct curl_slist repeat = { .data = key, .next = c->headers };
	struct buf buf;
	CURLcode code;
	long status = 0;

	if (request->idempotency_key != NULL)
		type.next = &repeat;
	buf_init(&buf, ANSWER_MAX);
	c->pin_failed = false;
	c->error[0] = '\0';
	set_body(c, request, text);
	(void)curl_easy_setopt(c->curl, CURLOPT_URL, url);
	(void)curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER,
	    request->part != NULL ? &octets
	    : text != NULL        ? &type
				  : c->headers);
	(void)curl_easy_setopt(c->curl, CURLOPT_TIMEOUT,
	    request->timeout_s != 0 ? request->timeout_s : (long)TIMEOUT_S);
	(void)curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_data);
	(void)curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &buf);
	code = curl_easy_perform(c->curl);
	c->code = code;
	(void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
	free(url);
	free(key);
	if (code == CURLE_OK) {
		answer->status = (int)status;
		if (request->bytes != NULL && status / 100 == 2 &&
		    buf_add(request->bytes, buf.data, buf.len) != RC_OK)
			answer->status = 500;
		answer->body = json_loadb((const char *)buf.data, buf.len,
		    JSON_REJECT_DUPLICATES, NULL);
	}
	if (buf.data != NULL)
		secret_wipe(buf.data, buf.len);
	buf_fini(&buf);
	if (code != CURLE_OK)
		return tell_unreachable(c, code, &answer->fault);
	return RC_OK;
}

/*
 * The connection was there and broke: it may or may not have been done.  With
 * its key it is done once, however often we ask.
 */
static bool may_have_arrived(CURLcode code)
{
	return code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR ||
	       code == CURLE_SEND_ERROR || code == CURLE_PARTIAL_FILE;
}

/* A server whose disk failed under the request says so, and stops: what it has
 * kept of it, only its next start knows. */
static bool is_unsure(const struct client_answer *answer)
{
	return answer->status == 503;
}

static enum rc perform_with_key(struct client *c,
    const struct client_request *request, const char *text,
    struct client_answer *answer)
{
	const struct timespec pause = { .tv_nsec = AGAIN_MS * 1000000L };
	enum rc rc = perform(c, request, text, answer);

	if (request->idempotency_key == NULL ||
	    (rc == RC_OK ? !is_unsure(answer) : !may_have_arrived(c->code)))
		return rc;
	for (int i = 0; i < AGAIN_MAX && !client_interrupted() &&
			(rc == RC_IO || (rc == RC_OK && is_unsure(answer)));
	     i++) {
		client_answer_clear(answer);
		(void)nanosleep(&pause, NULL);
		rc = perform(c, request, text, answer);
	}
	return rc;
}

enum rc client_call(struct client *client, const struct client_request *request,
    struct client_answer *answer)
{
	char *text = NULL;
	enum rc rc;

	*answer = (struct client_answer){ 0 };
	if (request->body != NULL) {
		text = json_dumps(request->body, JSON_COMPACT);
		if (text == NULL)
			return RC_NOMEM;
	}
	rc = perform_with_key(client, request, text, answer);
	if (text != NULL)
		secret_wipe(text, strlen(text));
	free(text);
	if (rc != RC_OK)
		return rc;
	if (answer->status >= 200 && answer->status < 300)
		return RC_OK;
	tell_problem(answer);
	return answer->status == 404   ? RC_NOTFOUND
	       : answer->status == 409 ? RC_STATE
	       : answer->status == 503 ? RC_AGAIN
	                               : RC_DENIED;
}

void client_answer_clear(struct client_answer *answer)
{
	json_decref(answer->body);
	*answer = (struct client_answer){ 0 };
}

bool exit_is_unreachable(enum reason code)
{
	return code == REASON_NO_ROUTE || code == REASON_STALE_ROUTE ||
	       code == REASON_DNS || code == REASON_REFUSED ||
	       code == REASON_CONNECT_TIMEOUT || code == REASON_RELAY_DOWN ||
	       code == REASON_AGENT_DOWN || code == REASON_WRONG_IDENTITY ||
	       code == REASON_PROXY || code == REASON_DRAINING ||
	       code == REASON_TLS || code == REASON_CLOCK;
}

/* 503 is the server's own trouble; 409 tells what a machine's is. */
static enum command_exit exit_of_conflict(enum reason code)
{
	if (code == REASON_NOT_FOUND)
		return COMMAND_NOT_FOUND;
	if (exit_is_unreachable(code) || code == REASON_DEADLINE)
		return COMMAND_MACHINE_UNREACHABLE;
	return COMMAND_ERROR;
}

enum command_exit exit_of_status(int status, enum reason code)
{
	if (status == 0)
		return code == REASON_CANCELLED ? COMMAND_INTERRUPTED
		                                : COMMAND_SERVER_UNREACHABLE;
	if (status >= 200 && status < 300)
		return COMMAND_OK;
	if (status == 401 || status == 403)
		return COMMAND_NOT_PERMITTED;
	if (status == 404)
		return COMMAND_NOT_FOUND;
	if (status == 409)
		return exit_of_conflict(code);
	if (status == 503 && code == REASON_DRAINING)
		return COMMAND_SERVER_UNREACHABLE;
	return COMMAND_ERROR;
}

enum command_exit client_exit(const struct client_answer *answer)
{
	return exit_of_status(answer->status, answer->fault.code);
}

enum rc client_escape(struct buf *to, const char *text)
{
	enum rc rc = RC_OK;

	for (; *text != '\0' && rc == RC_OK; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
		    (c >= 'a' && c <= 'z') || strchr("-._~", c) != NULL)
			rc = buf_add(to, text, 1);
		else
			rc = buf_printf(to, "%%%02X", c);
	}
	return rc;
}

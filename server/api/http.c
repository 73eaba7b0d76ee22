#include "server/api/http.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/loop_base.h"
#include "common/secret.h"
#include "common/wiping.h"
#include "common/xalloc.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#define SWEEP_MS 1000

/*
 * One accepted connection.  It lives as long as its SSL object: evhttp tells
 * nobody when a connection goes away, but OpenSSL frees its ex_data.
 */
struct connection {
	LIST_ENTRY(connection) link;
	struct http_server *server;
	struct bufferevent *bev; /* evhttp's */
	struct evbuffer *input;
	uint64_t since_ms; /* a request is being read since; 0: handled */
	bool large;        /* holds one of HTTP_LARGE_MAX places */
	bool doomed;       /* shut down: evhttp will see the end */
	enum rc verdict;   /* once the scan is done */
	struct http_head head;
	struct fault fault;
	struct http_scan scan;
};

struct http_request {
	struct evhttp_request *ev;
	struct http_server *server;
	struct connection *connection; /* inside on_request() only */
	char peer[HTTP_ADDRESS_SIZE];
};

struct http_server {
	struct loop *loop;
	struct http_options options;
	struct http_handler *handler;
	struct evhttp *http;
	struct evconnlistener *listener;
	struct loop_timer *sweep;
	SSL_CTX *ctx;
	int ex_index;
	uint16_t port;
	bool stopping;
	uint32_t large_count;
	struct http_counts counts;
	LIST_HEAD(, connection) connections;
};

void http_wipe_what_is_freed(void)
{
	event_set_mem_functions(malloc, wiping_realloc, wiping_free);
}

/* ---- certificate ---- */

static enum rc tls_fault(struct fault *fault, const char *file)
{
	unsigned long code = ERR_get_error();
	const char *reason = ERR_reason_error_string(code);

	fault_set(fault, REASON_BAD_CONFIG, "", "HTTPS: cannot use %s: %s",
	    file, reason != NULL ? reason : "unreadable");
	ERR_clear_error();
	return RC_CRYPTO;
}

static enum rc make_ctx(
    const struct http_options *options, SSL_CTX **out, struct fault *fault)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	enum rc rc = RC_CRYPTO;

	ERR_clear_error();
	if (ctx == NULL ||
	    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
		goto out;
	/* Bodies may hold keys: see common/wiping.h. */
	SSL_CTX_set_options(ctx,
	    SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
		SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_CLEANSE_PLAINTEXT);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	if (SSL_CTX_set_cipher_list(
		ctx, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL:!PSK") != 1)
		goto out;
	if (SSL_CTX_use_certificate_chain_file(ctx, options->cert_file) != 1) {
		rc = tls_fault(fault, options->cert_file);
		goto out;
	}
	if (SSL_CTX_use_PrivateKey_file(
		ctx, options->key_file, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(ctx) != 1) {
		rc = tls_fault(fault, options->key_file);
		goto out;
	}
	*out = ctx;
	ctx = NULL;
	rc = RC_OK;
out:
	SSL_CTX_free(ctx);
	return rc;
}

enum rc http_server_reload(struct http_server *server, struct fault *fault)
{
	SSL_CTX *ctx = NULL;
	enum rc rc = make_ctx(&server->options, &ctx, fault);

	if (rc != RC_OK)
		return rc;
	SSL_CTX_free(server->ctx);
	server->ctx = ctx;
	return RC_OK;
}

/* ---- connections ---- */

static void drop_large(struct connection *c)
{
	if (c->large)
		c->server->large_count--;
	c->large = false;
}

/* evhttp sees the end of the stream and cleans up in its own time. */
static void doom(struct connection *c, const char *why)
{
	evutil_socket_t fd = bufferevent_getfd(c->bev);

	if (c->doomed)
		return;
	c->doomed = true;
	log_debug("http", NULL, "closing a connection: %s", why);
	if (fd >= 0)
		(void)shutdown(fd, SHUT_RDWR);
}

static void judge(struct connection *c)
{
	struct http_scan *scan = &c->scan;

	if (scan->state == HTTP_SCAN_BAD) {
		c->verdict = RC_PROTO;
		c->head = (struct http_head){ .status = scan->status };
		fault_set(&c->fault, REASON_PROTOCOL, "", "request refused: %s",
		    scan->why);
		return;
	}
	c->verdict =
	    http_head_parse(scan->head, scan->len, &c->head, &c->fault);
	if (c->verdict != RC_OK || c->head.content_length <= HTTP_SMALL_BODY)
		return;
	if (c->server->large_count >= HTTP_LARGE_MAX) {
		doom(c, "too many large bodies at once");
		return;
	}
	c->large = true;
	c->server->large_count++;
}

/* Look at the bytes of input from offset on. */
static void scan_input(struct connection *c, size_t offset)
{
	uint8_t chunk[4096];
	struct evbuffer_ptr at;
	ev_ssize_t got = 1;

	while (c->scan.state == HTTP_SCAN_HEAD && got > 0 &&
	       offset < evbuffer_get_length(c->input) &&
	       evbuffer_ptr_set(c->input, &at, offset, EVBUFFER_PTR_SET) == 0) {
		got =
		    evbuffer_copyout_from(c->input, &at, chunk, sizeof(chunk));
		if (got > 0)
			offset += http_scan_feed(&c->scan, chunk, (size_t)got);
	}
	/* The head has a key, and the body begins behind it. */
	secret_wipe(chunk, sizeof(chunk));
	if (c->scan.state != HTTP_SCAN_HEAD)
		judge(c);
}

/* Runs when bytes come in, before evhttp reads them. */
static void on_input(
    struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
	struct connection *c = arg;

	(void)input;
	if (info->n_added > 0 && c->scan.state == HTTP_SCAN_HEAD)
		scan_input(c, info->orig_size - info->n_deleted);
}

static void begin_request(struct connection *c)
{
	drop_large(c);
	http_scan_reset(&c->scan);
	c->verdict = RC_AGAIN;
	c->since_ms = clock_monotonic_ms();
}

static void on_ssl_free(void *parent, void *ptr, CRYPTO_EX_DATA *data,
    int index, long argl, void *argp)
{
	struct connection *c = ptr;
	struct http_server *server = argp;

	(void)parent, (void)data, (void)index, (void)argl;
	if (c == NULL)
		return;
	drop_large(c);
	LIST_REMOVE(c, link);
	free(c);
	server->counts.connections--;
	if (!server->stopping && server->listener != NULL)
		(void)evconnlistener_enable(server->listener);
}

/* evhttp would fall back to plain text if this returned NULL: so it ends. */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
	struct http_server *server = arg;
	struct connection *c = xcalloc(1, sizeof(*c));
	SSL *ssl = SSL_new(server->ctx);

	assert(ssl != NULL);
	c->server = server;
	c->bev = bufferevent_openssl_socket_new(
	    base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
	assert(c->bev != NULL);
	bufferevent_openssl_set_allow_dirty_shutdown(c->bev, 1);
	c->input = bufferevent_get_input(c->bev);
	assert(SSL_set_ex_data(ssl, server->ex_index, c) == 1);
	assert(evbuffer_add_cb(c->input, on_input, c) != NULL);
	LIST_INSERT_HEAD(&server->connections, c, link);
	begin_request(c);
	server->counts.accepted++;
	server->counts.connections++;
	if (server->counts.connections >= server->options.max_connections)
		(void)evconnlistener_disable(server->listener);
	return c->bev;
}

/* End requests that trickle in. */
static void on_sweep(void *arg)
{
	struct http_server *server = arg;
	uint64_t now_ms = clock_monotonic_ms();
	struct connection *c;

	LIST_FOREACH(c, &server->connections, link)
	{
		if (c->since_ms != 0 &&
		    now_ms - c->since_ms > server->options.request_ms)
			doom(c, "the request took too long");
	}
	loop_timer_set(server->sweep, SWEEP_MS);
}

static struct connection *connection_of(
    struct http_server *server, struct evhttp_request *ev)
{
	struct evhttp_connection *ec = evhttp_request_get_connection(ev);
	struct bufferevent *bev =
	    ec != NULL ? evhttp_connection_get_bufferevent(ec) : NULL;
	SSL *ssl = bev != NULL ? bufferevent_openssl_get_ssl(bev) : NULL;

	return ssl != NULL ? SSL_get_ex_data(ssl, server->ex_index) : NULL;
}

/* ---- requests ---- */

/* The answer went out: what is left of input belongs to the next request. */
static void on_complete(struct evhttp_request *ev, void *arg)
{
	struct connection *c = connection_of(arg, ev);

	if (c == NULL)
		return;
	begin_request(c);
	scan_input(c, 0);
}

static void refuse(struct http_request *r, int status, const char *text)
{
	char body[512];
	const struct http_reply reply = { .status = status,
		.content_type = "application/problem+json",
		.body = body,
		.close = true };
	struct http_reply sized = reply;
	int n = snprintf(body, sizeof(body),
	    "{\"type\": \"about:blank\", \"title\": \"Request refused\", "
	    "\"status\": %d, \"code\": \"protocol\", \"detail\": \"%s\"}\n",
	    status, text);

	sized.len = n > 0 ? (size_t)n : 0;
	r->server->counts.refused++;
	http_reply(r, &sized);
}

static void note_peer(struct http_request *r)
{
	struct evhttp_connection *ec = evhttp_request_get_connection(r->ev);
	char *host = NULL;
	ev_uint16_t port = 0;

	evhttp_connection_get_peer(ec, &host, &port);
	if (host != NULL)
		(void)snprintf(
		    r->peer, sizeof(r->peer), "%.45s:%u", host, (unsigned)port);
}

static void on_evhttp_request(struct evhttp_request *ev, void *arg)
{
	struct http_server *server = arg;
	struct connection *c = connection_of(server, ev);
	struct http_request *r = xcalloc(1, sizeof(*r));

	r->ev = ev;
	r->server = server;
	r->connection = c;
	server->counts.requests++;
	server->counts.waiting++;
	note_peer(r);
	evhttp_request_set_on_complete_cb(ev, on_complete, server);
	if (c == NULL || c->verdict == RC_AGAIN) {
		refuse(r, 400, "request refused: malformed");
		return;
	}
	c->since_ms = 0;
	if (c->verdict != RC_OK) {
		refuse(r, c->head.status, c->fault.text);
		return;
	}
	if (evbuffer_get_length(evhttp_request_get_input_buffer(ev)) !=
	    c->head.content_length) {
		refuse(r, 400, "request refused: length of the body");
		return;
	}
	server->handler->on_request(server->handler, r);
	/* The handler may have answered: r may be gone. */
}

const struct http_head *http_request_head(const struct http_request *request)
{
	return &request->connection->head;
}

const uint8_t *http_request_body(struct http_request *request, size_t *len)
{
	struct evbuffer *body = evhttp_request_get_input_buffer(request->ev);

	*len = evbuffer_get_length(body);
	return *len > 0 ? evbuffer_pullup(body, -1) : NULL;
}

const char *http_request_peer(const struct http_request *request)
{
	return request->peer;
}

static const struct http_header standard_headers[] = {
	{ "Cache-Control", "no-store" },
	{ "X-Content-Type-Options", "nosniff" },
	{ "X-Frame-Options", "DENY" },
	{ "Referrer-Policy", "no-referrer" },
	{ "Content-Security-Policy",
	    "default-src 'none'; frame-ancestors 'none'" },
	{ "Strict-Transport-Security", "max-age=31536000" },
};

void http_reply(struct http_request *request, const struct http_reply *reply)
{
	struct evkeyvalq *out = evhttp_request_get_output_headers(request->ev);
	const struct http_header *h = reply->headers;
	struct evbuffer *body = evbuffer_new();

	for (size_t i = 0;
	     i < sizeof(standard_headers) / sizeof(standard_headers[0]); i++)
		(void)evhttp_add_header(
		    out, standard_headers[i].name, standard_headers[i].value);
	for (; h != NULL && h->name != NULL; h++)
		(void)evhttp_add_header(out, h->name, h->value);
	if (reply->content_type != NULL)
		(void)evhttp_add_header(
		    out, "Content-Type", reply->content_type);
	if (reply->close || request->server->stopping)
		(void)evhttp_add_header(out, "Connection", "close");
	if (body != NULL && reply->len > 0)
		(void)evbuffer_add(body, reply->body, reply->len);
	request->server->counts.waiting--;
	evhttp_send_reply(request->ev, reply->status, NULL, body);
	if (body != NULL)
		evbuffer_free(body);
	free(request);
}

/* ---- life ---- */

static_assert(offsetof(struct sockaddr_in6, sin6_port) ==
		  offsetof(struct sockaddr_in, sin_port),
    "one port for both families");

static enum rc bind_port(struct http_server *s, struct fault *fault)
{
	struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(
	    s->http, s->options.address, s->options.port);
	struct sockaddr_in6 sa = { 0 }; /* the port is where IPv4 has it */
	socklen_t len = sizeof(sa);
	int on = 1;

	if (bound == NULL) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "HTTPS: cannot listen on %s port %u: %s",
		    s->options.address, (unsigned)s->options.port,
		    strerrordesc_np(errno));
		return RC_IO;
	}
	s->listener = evhttp_bound_socket_get_listener(bound);
	if (getsockname(evhttp_bound_socket_get_fd(bound),
		(struct sockaddr *)&sa, &len) != 0)
		return RC_IO;
	s->port = ntohs(sa.sin6_port);
	/* For all that it accepts: evhttp sends head and body in two writes,
	 * and the second would wait 40 ms for the peer's delayed
	 * acknowledgement. */
	(void)setsockopt(evhttp_bound_socket_get_fd(bound), IPPROTO_TCP,
	    TCP_NODELAY, &on, sizeof(on));
	return RC_OK;
}

static enum rc set_up(struct http_server *s, struct fault *fault)
{
	const struct timeval idle = { .tv_sec =
					  (time_t)(s->options.idle_ms / 1000),
		.tv_usec = (suseconds_t)(s->options.idle_ms % 1000) * 1000 };
	enum rc rc = make_ctx(&s->options, &s->ctx, fault);

	if (rc != RC_OK)
		return rc;
	s->ex_index = SSL_get_ex_new_index(0, s, NULL, NULL, on_ssl_free);
	s->http = evhttp_new(s->loop->base);
	if (s->http == NULL || s->ex_index < 0)
		return RC_NOMEM;
	evhttp_set_bevcb(s->http, on_accept, s);
	evhttp_set_gencb(s->http, on_evhttp_request, s);
	evhttp_set_timeout_tv(s->http, &idle);
	/* Ours are checked first; these stop what ours has refused already. */
	evhttp_set_max_headers_size(s->http, HTTP_HEAD_MAX + 64);
	evhttp_set_max_body_size(s->http, HTTP_BODY_MAX);
	evhttp_set_allowed_methods(
	    s->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
			 EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE);
	rc = loop_timer_new(s->loop, on_sweep, s, &s->sweep);
	if (rc != RC_OK)
		return rc;
	loop_timer_set(s->sweep, SWEEP_MS);
	return bind_port(s, fault);
}

enum rc http_server_new(struct loop *loop, const struct http_options *options,
    struct http_handler *handler, struct http_server **out, struct fault *fault)
{
	struct http_server *s = xcalloc(1, sizeof(*s));
	enum rc rc;

	LIST_INIT(&s->connections);
	s->loop = loop;
	s->options = *options;
	s->handler = handler;
	s->ex_index = -1;
	rc = set_up(s, fault);
	if (rc != RC_OK) {
		http_server_free(s);
		return rc;
	}
	*out = s;
	return RC_OK;
}

void http_server_stop_accepting(struct http_server *server)
{
	server->stopping = true;
	if (server->listener != NULL)
		(void)evconnlistener_disable(server->listener);
}

void http_server_free(struct http_server *server)
{
	if (server == NULL)
		return;
	assert(server->counts.waiting == 0);
	server->stopping = true;
	if (server->http != NULL)
		evhttp_free(server->http);
	/* libevent lets go of its connections in a turn of the loop. */
	for (int turn = 0; turn < 100 && !LIST_EMPTY(&server->connections);
	     turn++)
		(void)event_base_loop(server->loop->base, EVLOOP_NONBLOCK);
	assert(LIST_EMPTY(&server->connections));
	loop_timer_free(server->sweep);
	/* All connections are gone: no ex_data of ours is left. */
	if (server->ex_index >= 0)
		(void)CRYPTO_free_ex_index(
		    CRYPTO_EX_INDEX_SSL, server->ex_index);
	SSL_CTX_free(server->ctx);
	free(server);
}

uint16_t http_server_port(const struct http_server *server)
{
	return server->port;
}

void http_server_count(
    const struct http_server *server, struct http_counts *out)
{
	*out = server->counts;
}

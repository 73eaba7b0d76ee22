/*
 * http.h - HTTP/1.1 over TLS, by evhttp, on the loop given.
 *
 * Each request is first read by http_head.h: what is not plainly well-formed
 * is refused and its connection closed.  Bounds: connections, head, body,
 * bodies over HTTP_SMALL_BODY at a time, idle time, time for one whole
 * request.  evhttp buffers a body before the handler hears of it.
 *
 * All functions on the loop's thread.
 */
#ifndef SERVER_API_HTTP_H
#define SERVER_API_HTTP_H

#include "common/loop.h"
#include "proto/reason.h"
#include "server/api/http_head.h"

struct http_server;
struct http_request; /* from on_request() to http_reply() */

#define HTTP_BODY_MAX     (8u << 20)
#define HTTP_SMALL_BODY   (1u << 20)
#define HTTP_LARGE_MAX    16 /* large bodies under way */
#define HTTP_ADDRESS_SIZE 64

struct http_options {
	const char *address;
	uint16_t port;
	const char *cert_file, *key_file;
	uint32_t max_connections;
	uint32_t idle_ms;
	uint32_t request_ms;
};

/* Embed it in your own struct. */
struct http_handler {
	/* Answer now or later, exactly once, by http_reply(). */
	void (*on_request)(
	    struct http_handler *self, struct http_request *request);
};

struct http_header {
	const char *name, *value;
};

struct http_reply {
	int status;
	const char *content_type; /* NULL: no body */
	const void *body;
	size_t len;
	const struct http_header *headers; /* ends by a NULL name; or NULL */
	bool close;                        /* end the connection */
};

struct http_counts {
	uint64_t connections; /* now */
	uint64_t accepted;
	uint64_t requests;
	uint64_t refused; /* by the strict check */
	uint64_t waiting; /* requests not yet answered */
};

/* Bodies may hold keys: buffers are wiped when they are freed, by every loop of
 * this process.  Before the first of them is made. */
void http_wipe_what_is_freed(void);

/* RC_IO, RC_CRYPTO: *fault says which address or file. */
MUST_CHECK enum rc http_server_new(struct loop *loop,
    const struct http_options *options, struct http_handler *handler,
    struct http_server **out, struct fault *fault);
/* All requests must have been answered; not from inside loop_run().  NULL is
 * fine. */
void http_server_free(struct http_server *server);
/* Accept no more; what is open goes on. */
void http_server_stop_accepting(struct http_server *server);
uint16_t http_server_port(const struct http_server *server);
/* Read certificate and key again; on failure the old ones stay. */
MUST_CHECK enum rc http_server_reload(
    struct http_server *server, struct fault *fault);
void http_server_count(
    const struct http_server *server, struct http_counts *out);

/* Valid inside on_request() only: copy what is needed longer. */
const struct http_head *http_request_head(const struct http_request *request);
/* NULL when empty.  Valid inside on_request() only. */
const uint8_t *http_request_body(struct http_request *request, size_t *len);
/* "10.0.0.3:51234", or "". */
const char *http_request_peer(const struct http_request *request);

/* Frees request; its connection may be gone by then, which is fine. */
void http_reply(struct http_request *request, const struct http_reply *reply);

#endif

/*
 * http_head.h - the strict check of a request before anything acts on it.
 *
 *     bytes as they arrive -> http_scan_feed() -> a whole head or a refusal
 *     a whole head         -> http_head_parse() -> method, path, lengths
 *
 * evhttp accepts more than a proxy before it might (bare LF, folded lines, two
 * framing headers), and what two parsers read differently is how requests are
 * smuggled.  So the raw bytes are looked at first and whatever is not plainly
 * well-formed is refused.  Pure: no libevent, no allocation.  One thread.
 */
#ifndef SERVER_API_HTTP_HEAD_H
#define SERVER_API_HTTP_HEAD_H

#include "proto/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX   16384 /* bytes of request line and headers */
#define HTTP_TARGET_MAX 2048  /* bytes of path and query */
#define HTTP_FIELDS_MAX 64    /* header lines */

enum http_method {
	HTTP_METHOD_GET,
	HTTP_METHOD_HEAD,
	HTTP_METHOD_POST,
	HTTP_METHOD_PUT,
	HTTP_METHOD_DELETE,
	HTTP_METHOD_COUNT
};

/* A range of the head; ptr NULL: the header was not sent. */
struct http_text {
	const char *ptr;
	size_t len;
};

struct http_head {
	enum http_method method;
	char
	    path[HTTP_TARGET_MAX + 1]; /* decoded; no empty, "." or ".." part */
	char query[HTTP_TARGET_MAX + 1]; /* as sent, after '?'; may be "" */
	uint64_t content_length;         /* 0: no body */
	struct http_text authorization;
	struct http_text content_type;
	struct http_text idempotency_key;
	struct http_text if_match;
	int status; /* what to answer when the check fails, e.g. 400 */
};

enum http_scan_state {
	HTTP_SCAN_HEAD, /* the head is not complete yet */
	HTTP_SCAN_DONE, /* head holds it; what follows is body */
	HTTP_SCAN_BAD   /* not HTTP as we accept it: refuse and close */
};

struct http_scan {
	enum http_scan_state state;
	const char *why; /* HTTP_SCAN_BAD only: what was wrong */
	int status;      /* HTTP_SCAN_BAD only: 400 or 431 */
	size_t len;      /* bytes of head, with the empty line at its end */
	char head[HTTP_HEAD_MAX];
};

/* "GET"...  Never NULL. */
const char *http_method_name(enum http_method method);

/* Begin with the next request of a connection. */
void http_scan_reset(struct http_scan *scan);

/*
 * Take more bytes of the connection; returns how many belonged to the head.
 * Once the state is not HTTP_SCAN_HEAD nothing more is taken.
 */
size_t http_scan_feed(struct http_scan *scan, const uint8_t *data, size_t len);

/*
 * Check a whole head (request line, header lines, empty line; CRLF each) and
 * fill *out, whose texts borrow from head.  RC_PROTO: refused, out->status and
 * *fault say how to answer.
 */
MUST_CHECK enum rc http_head_parse(
    const char *head, size_t len, struct http_head *out, struct fault *fault);

/*
 * Decode %XX (and, when plus_is_space, '+') of text into out (size bytes with
 * the NUL).  RC_PROTO: a bad escape, or a control character; RC_LIMIT: too
 * long.
 */
MUST_CHECK enum rc http_unescape(
    struct http_text text, bool plus_is_space, char *out, size_t size);

#endif

#include "common/link_internal.h"

#include <errno.h>
#include <sys/socket.h>

static const char http_answer[] =
    "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n"
    "Connection: close\r\n\r\n"
    "This port speaks the longarm protocol over TLS, not HTTP.\n";

static void on_step(void *arg, const struct handshake_result *result)
{
	struct link *link = arg;

	if (result->out.len > 0) {
		link_write(link, result->out.p, result->out.len);
		link_await_peer(link);
	}
	if (link->state == LINK_ST_CLOSED || result->rc == RC_AGAIN)
		return;
	if (result->rc != RC_OK) {
		link_fail(link,
		    result->fault->code == REASON_NONE ? REASON_TLS
						       : result->fault->code,
		    "%s", result->fault->text);
		return;
	}
	link->tls = result->tls;
	link_ready(link);
	if (result->rest.len > 0 && link->state != LINK_ST_CLOSED)
		link_feed(link, result->rest.p, result->rest.len);
	handshake_free(link->handshake);
	link->handshake = NULL;
	link_kick(link);
}

enum rc link_handshake_begin(struct link *link, const struct tls_expect *expect)
{
	struct link_net *net = link->net;
	struct tls *tls;
	enum rc rc;

	if (net->contexts == NULL)
		return RC_STATE;
	rc = tls_new(net->contexts,
	    link->role == MUX_DIALLER ? TLS_LINK_DIAL : TLS_LINK_ACCEPT, expect,
	    &tls);
	if (rc != RC_OK)
		return rc;
	return handshake_new(net->pool, tls, on_step, link, &link->handshake);
}

/*
 * Who waited in the kernel's queue for too long has hung up: a handshake with
 * it would only keep the next ones waiting, until they hang up as well.
 */
static bool has_left(const struct link *link)
{
	uint8_t byte;
	ssize_t n = recv(link->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

void link_handshake_input(struct link *link, const uint8_t *data, size_t len)
{
	if (link->role == MUX_ACCEPTOR && !link->spoke &&
	    tls_looks_like_http(data, len)) {
		link_write(link, (const uint8_t *)http_answer,
		    sizeof(http_answer) - 1);
		link_fail(link, REASON_PROTOCOL, "speaks plain HTTP");
		return;
	}
	if (link->role == MUX_ACCEPTOR && !link->spoke && has_left(link)) {
		link_fail(link, REASON_CONNECT_TIMEOUT,
		    "closed the connection before it was its turn");
		return;
	}
	link->spoke = true;
	handshake_feed(link->handshake, data, len);
}

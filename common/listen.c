#include "common/listen.h"

#include "common/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 4096
/* New connections taken in one turn of the loop. */
#define ACCEPT_MAX 32
/* Without descriptors, accepting rests for so long. */
#define REST_MS 200
/* And so long while there are handshakes enough to compute. */
#define SWAMPED_MS 10

struct listener {
	struct link_net *net;
	struct loop_io *io;
	struct loop_timer *rest;
	int fd;
	char address[ADDRESS_TEXT_MAX];
};

static void on_rested(void *arg)
{
	struct listener *l = arg;

	loop_io_want(l->io, LOOP_READ);
}

static void take(struct listener *l, int fd, const struct address *from)
{
	char text[ADDRESS_TEXT_MAX];
	enum rc rc;

	(void)address_text(from, text, sizeof(text));
	rc = link_arrive(l->net, fd, text);
	if (rc != RC_OK && rc != RC_LIMIT)
		log_warn("listen", text, "connection dropped: %s", rc_name(rc));
}

static void rest(struct listener *l, uint64_t ms)
{
	loop_io_want(l->io, 0);
	loop_timer_set(l->rest, ms);
}

static void on_connections(void *arg, unsigned ready)
{
	struct listener *l = arg;

	(void)ready;
	if (link_net_is_swamped(l->net)) {
		rest(l, SWAMPED_MS);
		return;
	}
	for (int i = 0; i < ACCEPT_MAX; i++) {
		struct address from = { .len = sizeof(from.sa) };
		int fd = accept4(l->fd, (struct sockaddr *)&from.sa, &from.len,
		    SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			take(l, fd, &from);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
		    errno == ENOBUFS) {
			log_error("listen", l->address, "cannot accept: %s",
			    strerrordesc_np(errno));
			rest(l, REST_MS);
			return;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
	}
}

static int open_socket(const struct addrinfo *ai)
{
	const int on = 1, off = 0;
	int fd = socket(ai->ai_family,
	    ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, ai->ai_protocol);

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (ai->ai_family == AF_INET6)
		(void)setsockopt(
		    fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 ||
	    listen(fd, BACKLOG) != 0) {
		int saved = errno;

		(void)close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static int bind_any(const struct config_endpoint *where, char *why, size_t size)
{
	const struct addrinfo hints = {
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM,
	};
	const char *host = where->host[0] != '\0' ? where->host : NULL;
	struct addrinfo *list, *ai;
	char port[8];
	int error, fd = -1;

	(void)snprintf(port, sizeof(port), "%u", (unsigned)where->port);
	error = getaddrinfo(host, port, &hints, &list);
	if (error != 0) {
		(void)snprintf(why, size, "%s", gai_strerror(error));
		return -1;
	}
	/* The IPv6 wildcard takes IPv4 too, so try it first. */
	for (ai = list; ai != NULL && fd < 0; ai = ai->ai_next) {
		if (ai->ai_family == AF_INET6)
			fd = open_socket(ai);
	}
	for (ai = list; ai != NULL && fd < 0; ai = ai->ai_next) {
		if (ai->ai_family == AF_INET)
			fd = open_socket(ai);
	}
	if (fd < 0)
		(void)snprintf(why, size, "%s", strerrordesc_np(errno));
	freeaddrinfo(list);
	return fd;
}

enum rc listener_new(struct link_net *net, const struct config_endpoint *where,
    struct listener **out, struct fault *fault)
{
	struct listener *l = calloc(1, sizeof(*l));
	struct address got = { .len = sizeof(got.sa) };
	char why[128];
	enum rc rc;

	if (l == NULL)
		return RC_NOMEM;
	l->net = net;
	l->fd = bind_any(where, why, sizeof(why));
	if (l->fd < 0) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "cannot listen at %s:%u: %s", where->host,
		    (unsigned)where->port, why);
		listener_free(l);
		return RC_IO;
	}
	if (getsockname(l->fd, (struct sockaddr *)&got.sa, &got.len) == 0)
		(void)address_text(&got, l->address, sizeof(l->address));
	rc = loop_io_new(link_net_loop(net), l->fd, on_connections, l, &l->io);
	if (rc == RC_OK)
		rc = loop_timer_new(link_net_loop(net), on_rested, l, &l->rest);
	if (rc != RC_OK) {
		listener_free(l);
		return rc;
	}
	loop_io_want(l->io, LOOP_READ);
	*out = l;
	return RC_OK;
}

void listener_free(struct listener *l)
{
	if (l == NULL)
		return;
	loop_io_free(l->io);
	loop_timer_free(l->rest);
	if (l->fd >= 0)
		(void)close(l->fd);
	free(l);
}

const char *listener_address(const struct listener *l)
{
	return l->address;
}

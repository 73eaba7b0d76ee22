#include "common/link_internal.h"

#include "common/log.h"
#include "common/random.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 *   HANDSHAKE --TLS open--> HELLO --both accepted--> UP
 *       |                     |                      |
 *       +---------------------+------> CLOSED <------+
 */

/* --- Life of a link ------------------------------------------------------ */

static void tell(struct link *link, const struct link_event *event)
{
	link->net->ops->event(link->net->owner, link, event);
}

/* Every stream ends with its link, and its user is told why. */
static void break_streams(struct link *link, const struct fault *fault)
{
	uint32_t stream = 0;

	/* The link is closed: no call of a user changes the mux any more. */
	while ((stream = mux_next_stream(link->mux, stream)) != 0) {
		struct stream_user *user = mux_owner(link->mux, stream);
		const struct mux_event event = {
			.type = MUX_BROKEN,
			.stream = stream,
			.owner = user,
			.reason = fault->code,
			.text = fault->text,
		};

		if (user != NULL)
			user->event(user, link, &event);
	}
}

static void shut(struct link *link, const struct fault *fault)
{
	const struct link_event event = { .type = LINK_DOWN, .fault = fault };

	if (link->state == LINK_ST_CLOSED)
		return;
	link->state = LINK_ST_CLOSED;
	link_leave_handshake(link);
	link_leave_strangers(link);
	if (link->is_dirty)
		TAILQ_REMOVE(&link->net->dirty, link, dirty);
	link->is_dirty = false;
	link_io_stop(link);
	TAILQ_REMOVE(&link->net->links, link, all);
	break_streams(link, fault);
	tell(link, &event);
	if (link->down != NULL)
		link->down(link->down_arg, link, fault);
	TAILQ_INSERT_TAIL(&link->net->closed, link, all);
	loop_timer_set(link->net->flush, 0);
}

void link_fail(struct link *link, enum reason code, const char *format, ...)
{
	struct fault fault;
	char text[FAULT_TEXT_MAX];
	va_list args;
	bool at;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* Where the peer came from says little; where we went, much. */
	at = link->role == MUX_DIALLER &&
	     strcmp(link->label, link->address) != 0;
	fault_set(&fault, code, link->net->name, "%s: %s%s%s%s", link->label,
	    text, at ? " (at " : "", at ? link->address : "", at ? ")" : "");
	link_close(link, &fault);
}

static void say_goaway(struct link *link, const struct fault *fault)
{
	const struct msg_goaway goaway = {
		.last = mux_last_peer_id(link->mux),
		.fault = *fault,
		.retry_ms = link->net->retry_ms,
	};
	struct packbuf pack;
	enum rc rc;

	packbuf_init(&pack, FRAME_PAYLOAD_MAX);
	rc = msg_goaway_encode(&goaway, &pack);
	if (rc == RC_OK)
		rc = mux_goaway(link->mux, packbuf_bytes(&pack));
	packbuf_fini(&pack);
	if (rc != RC_OK)
		log_debug("link", link->address, "no GOAWAY: %s", rc_name(rc));
}

void link_close(struct link *link, const struct fault *fault)
{
	if (link->state == LINK_ST_CLOSED || link->closing)
		return;
	link->closing = true;
	if (link->state == LINK_ST_UP && mux_failure(link->mux) == NULL)
		say_goaway(link, fault);
	if ((link->tls != NULL || link->plain) &&
	    link->state != LINK_ST_HANDSHAKE)
		link_flush(link);
	shut(link, fault);
}

void link_drain(struct link *link, const struct fault *fault)
{
	if (link->state != LINK_ST_UP || link->draining) {
		link_close(link, fault);
		return;
	}
	link->draining = true;
	say_goaway(link, fault);
	link_kick(link);
	if (mux_next_stream(link->mux, 0) == 0)
		link_close(link, fault);
}

/* --- Beginning ----------------------------------------------------------- */

static void set_label(struct link *link)
{
	if (link->labelled)
		return;
	if (link->peer.role == ROLE_ANONYMOUS)
		(void)snprintf(
		    link->label, sizeof(link->label), "%s", link->address);
	else
		(void)snprintf(link->label, sizeof(link->label), "%s %s",
		    link->peer.role == ROLE_TENTACLE
			? "machine"
			: role_name(link->peer.role),
		    link->peer.id.name);
}

void link_ready(struct link *link)
{
	link->peer = *tls_peer(link->tls);
	set_label(link);
	link->state = LINK_ST_HELLO;
	link_await_peer(link); /* it says HELLO first, if it dialled */
	if (link->net->ops->known != NULL)
		link->net->ops->known(link->net->owner, link);
	else if (link->role == MUX_DIALLER)
		link_hello_send(link, NULL);
}

void link_is_now_up(struct link *link)
{
	const struct link_event event = { .type = LINK_UP };
	uint64_t now = loop_now_us(link->net->loop);

	link->state = LINK_ST_UP;
	link->was_up = true;
	link->up_us = now;
	link_note_usual(link);
	link_leave_handshake(link);
	if (link->peer.role == ROLE_ANONYMOUS && link->role == MUX_ACCEPTOR)
		link_enter_strangers(link);
	link->last_recv_us = now;
	if (link->peer.role != ROLE_ANONYMOUS)
		link_ping(link, now); /* measures the round trip */
	loop_timer_set(link->timer, link->net->config->ping_busy_ms / 2 + 1);
	log_debug("link", link->address, "up with %s", link_label(link));
	tell(link, &event);
	if (link->state == LINK_ST_UP && link->risen != NULL)
		link->risen(link->life_arg, link);
}

static void set_socket_options(const struct link *link)
{
	const int on = 1;
	const unsigned timeout = link->net->config->user_timeout_ms;

	(void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(
	    link->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
}

static MUST_CHECK enum rc begin_handshake(
    struct link *link, const struct tls_expect *expect)
{
	set_socket_options(link);
	return link->plain ? RC_OK : link_handshake_begin(link, expect);
}

static MUST_CHECK enum rc prepare(
    struct link *link, const struct tls_expect *expect)
{
	struct link_net *net = link->net;
	struct mux_limits limits = net->mux_limits;
	enum rc rc;

	random_bytes(&limits.hash_seed, sizeof(limits.hash_seed));
	rc = mux_new(link->role, &limits, &link->mux);
	if (rc != RC_OK)
		return rc;
	rc = begin_handshake(link, expect);
	if (rc != RC_OK)
		return rc;
	rc = loop_timer_new(net->loop, link_timer_fired, link, &link->timer);
	return rc == RC_OK ? link_io_start(link) : rc;
}

static MUST_CHECK enum rc begin(
    struct link *link, const struct tls_expect *expect)
{
	struct link_net *net = link->net;
	enum rc rc;

	link->started_us = link->awaited_us = loop_now_us(net->loop);
	set_label(link);
	rc = prepare(link, expect);
	if (rc == RC_OK && link->role == MUX_DIALLER && !link->plain)
		rc = handshake_start(link->handshake);
	if (rc != RC_OK) {
		link_io_stop(link);
		mux_free(link->mux);
		free(link);
		return rc;
	}
	/* Whom we dial is our own choice: strangers must not prevent it. */
	if (link->role == MUX_ACCEPTOR && !link->plain)
		link_enter_handshake(link);
	TAILQ_INSERT_TAIL(&net->links, link, all);
	loop_timer_set(link->timer, net->config->handshake_ms);
	return RC_OK;
}

static struct link *new_link(
    struct link_net *net, int fd, enum mux_role role, const char *address)
{
	struct link *link = calloc(1, sizeof(*link));

	if (link == NULL) {
		(void)close(fd);
		return NULL;
	}
	link->net = net;
	link->fd = fd;
	link->role = role;
	(void)snprintf(link->address, sizeof(link->address), "%s", address);
	return link;
}

enum rc link_accepted(struct link_net *net, int fd,
    const uint8_t source[LINK_SOURCE_SIZE], const char *address,
    uint32_t waited_ms)
{
	struct link *link = new_link(net, fd, MUX_ACCEPTOR, address);
	enum rc rc;

	if (link == NULL)
		return RC_NOMEM;
	memcpy(link->source, source, sizeof(link->source));
	rc = begin(link, NULL);
	/* It counts from when it knocked. */
	if (rc == RC_OK && waited_ms < net->config->handshake_ms)
		loop_timer_set(
		    link->timer, net->config->handshake_ms - waited_ms);
	return rc;
}

enum rc link_new(struct link_net *net, int fd, const struct tls_expect *expect,
    const char *address, struct link **out)
{
	struct link *link = new_link(net, fd, MUX_DIALLER, address);
	enum rc rc;

	if (link == NULL)
		return RC_NOMEM;
	rc = begin(link, expect);
	if (rc == RC_OK)
		*out = link;
	return rc;
}

enum rc link_plain(struct link_net *net, int fd, enum mux_role role,
    const struct peer *peer, struct link **out)
{
	struct link *link = new_link(net, fd, role, "this machine");
	enum rc rc;

	if (link == NULL)
		return RC_NOMEM;
	link->plain = true;
	link->peer = *peer;
	rc = begin(link, NULL);
	if (rc != RC_OK)
		return rc;
	*out = link;
	link->state = LINK_ST_HELLO;
	if (role == MUX_DIALLER)
		link_hello_send(link, NULL);
	return RC_OK;
}

/* --- Events of the mux --------------------------------------------------- */

static void on_opened(struct link *link, const struct mux_event *event)
{
	struct msg_open open;
	struct fault fault;
	const struct link_event told = {
		.type = LINK_OPENED,
		.stream = event->stream,
		.open = &open,
	};

	if (msg_open_decode(event->data, &open, &fault) != RC_OK) {
		link_reset(link, event->stream, &fault, false);
		return;
	}
	if (link->peer.role == ROLE_ANONYMOUS &&
	    (open.kind != KIND_ENROL || link->enrols)) {
		fault_set(&fault, REASON_NOT_PERMITTED, link->net->name,
		    "without a certificate only one enrolment is possible");
		link_reset(link, event->stream, &fault, false);
		return;
	}
	link->enrols = open.kind == KIND_ENROL;
	tell(link, &told);
}

static void on_accepted(struct link *link, const struct mux_event *event)
{
	struct stream_user *user = event->owner;
	struct msg_accept accept;
	struct fault fault;

	if (msg_accept_decode(event->data, &accept, &fault) != RC_OK) {
		link_fail(link, REASON_PROTOCOL, "%s", fault.text);
		return;
	}
	if (mux_add_credit(link->mux, event->stream, accept.credit) != RC_OK) {
		link_fail(link, REASON_PROTOCOL, "%s", mux_failure(link->mux));
		return;
	}
	if (user != NULL)
		user->event(user, link, event);
}

static void on_goaway(struct link *link, const struct mux_event *event)
{
	struct msg_goaway goaway;
	struct fault fault;
	const struct link_event told = {
		.type = LINK_GOAWAY,
		.goaway = &goaway,
	};

	if (msg_goaway_decode(event->data, &goaway, &fault) != RC_OK) {
		link_fail(link, REASON_PROTOCOL, "%s", fault.text);
		return;
	}
	(void)snprintf(
	    link->farewell, sizeof(link->farewell), "%s", goaway.fault.text);
	link->left = goaway.fault.code == REASON_DRAINING;
	link->retry_ms = goaway.retry_ms;
	mux_abandon(link->mux, goaway.last);
	tell(link, &told);
}

static void on_tell(struct link *link, const struct mux_event *event)
{
	struct msg_tell message;
	struct fault fault;
	const struct link_event told = { .type = LINK_TELL, .tell = &message };

	if (msg_tell_decode(event->data, &message, &fault) != RC_OK)
		return;
	if (message.kind == TELL_RENEWED)
		link_renew(link);
	tell(link, &told);
}

void link_on_event(struct link *link, const struct mux_event *event)
{
	struct stream_user *user = event->owner;

	switch (event->type) {
	case MUX_HELLO:
		link_hello_received(link, event->data);
		break;
	case MUX_OPENED:
		on_opened(link, event);
		break;
	case MUX_ACCEPTED:
		on_accepted(link, event);
		break;
	case MUX_PONG:
		link_pong(link, event);
		break;
	case MUX_GOAWAY:
		on_goaway(link, event);
		break;
	case MUX_TELL:
		on_tell(link, event);
		break;
	case MUX_DATA:
	case MUX_END:
	case MUX_RESET:
	case MUX_BROKEN:
	case MUX_CLOSED:
	case MUX_WRITABLE:
		if (user != NULL)
			user->event(user, link, event);
		break;
	}
}

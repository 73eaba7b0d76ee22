#include "common/seal.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/handshake.h"
#include "common/link_watch.h"
#include "proto/lenframe.h"

#include <openssl/crypto.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Ciphertext that waits for credit; above it no new message is taken. */
#define SEAL_UNSENT_MARK ((size_t)128 * 1024)
#define SEAL_PLAIN_MAX   (32 * 1024)
/* How often an open seal looks at its peer's certificate. */
#define SEAL_CHECK_MS 30000

enum seal_state {
	SEAL_ST_HANDSHAKE,
	SEAL_ST_OPEN,
	SEAL_ST_ENDING, /* closed by us; what is unsent goes out */
	SEAL_ST_CLOSED,
};

struct seal {
	struct stream_user user; /* first: see common/link.h */
	enum seal_state state;
	struct link_watch watch;
	struct link_net *watched; /* by this net; NULL: not yet */
	struct link *link;
	uint32_t stream;
	struct tls *tls;
	struct handshake *handshake;
	struct loop_timer *timer;
	struct seal_user owner;
	struct lenframe frames;
	struct packbuf pack;
	uint8_t *out; /* ciphertext not yet taken by the stream */
	size_t out_len, out_at, out_cap;
	unsigned busy; /* calls on the stack: freed when it is 0 */
	size_t held;   /* received in the handshake: credit not given back */
	bool full;     /* owes SEAL_WRITABLE */
};

static void destroy(struct seal *s)
{
	if (s->watched != NULL)
		link_net_unwatch(s->watched, &s->watch);
	handshake_free(s->handshake);
	tls_free(s->tls);
	loop_timer_free(s->timer);
	lenframe_fini(&s->frames);
	packbuf_fini(&s->pack);
	free(s->out);
	free(s);
}

/* Every entry holds the seal, and lets go as its last act. */
static void hold(struct seal *s)
{
	s->busy++;
}

static void let_go(struct seal *s)
{
	if (--s->busy == 0 && s->state == SEAL_ST_CLOSED)
		destroy(s);
}

static void tell(struct seal *s, const struct seal_event *event)
{
	if (s->state != SEAL_ST_ENDING && s->state != SEAL_ST_CLOSED)
		s->owner.fn(s->owner.arg, s, event);
}

/* The stream is gone already, or is reset here.  The seal must be held. */
static void end(struct seal *s, const struct fault *fault, bool done, bool gone)
{
	const struct seal_event event = {
		.type = SEAL_CLOSED,
		.fault = fault,
		.done = done,
	};

	if (s->state == SEAL_ST_CLOSED)
		return;
	if (!gone)
		link_reset(s->link, s->stream, fault, done);
	tell(s, &event);
	s->state = SEAL_ST_CLOSED;
	loop_timer_stop(s->timer);
}

static void fail(struct seal *s, enum reason code, const char *text)
{
	struct fault fault;

	fault_set(
	    &fault, code, link_net_name(link_net_of(s->link)), "%s", text);
	end(s, &fault, true, false);
}

/* A closed seal whose far end takes nothing more is reset after as long as TCP
 * would wait for it. */
static void linger(struct seal *s)
{
	loop_timer_set(
	    s->timer, link_net_config(link_net_of(s->link))->user_timeout_ms);
}

/* --- Out ---------------------------------------------------------------- */

static void push(struct seal *s)
{
	size_t taken = 0;

	while (s->out_at < s->out_len) {
		if (link_send(s->link, s->stream, s->out + s->out_at,
			s->out_len - s->out_at, &taken) != RC_OK)
			return; /* its end is on the way */
		s->out_at += taken;
		if (taken == 0)
			return;
		if (s->state == SEAL_ST_ENDING)
			linger(s);
	}
	s->out_at = s->out_len = 0;
	if (s->state == SEAL_ST_ENDING) {
		link_end(s->link, s->stream);
		return;
	}
	/* An idle seal keeps no buffer. */
	free(s->out);
	s->out = NULL;
	s->out_cap = 0;
}

static MUST_CHECK enum rc reserve(struct seal *s, size_t room)
{
	uint8_t *grown;

	if (s->out_at > 0) {
		memmove(s->out, s->out + s->out_at, s->out_len - s->out_at);
		s->out_len -= s->out_at;
		s->out_at = 0;
	}
	if (s->out_cap - s->out_len >= room)
		return RC_OK;
	grown = realloc(s->out, s->out_len + room);
	if (grown == NULL)
		return RC_NOMEM;
	s->out = grown;
	s->out_cap = s->out_len + room;
	return RC_OK;
}

static MUST_CHECK enum rc append(struct seal *s, struct bytes wire)
{
	enum rc rc;

	if (wire.len == 0)
		return RC_OK;
	rc = reserve(s, wire.len);
	if (rc != RC_OK)
		return rc;
	memcpy(s->out + s->out_len, wire.p, wire.len);
	s->out_len += wire.len;
	push(s);
	return RC_OK;
}

static MUST_CHECK enum rc seal_bytes(struct seal *s, struct bytes plain)
{
	size_t records = plain.len / TLS_SEAL_FRAGMENT + 1;
	struct tls_out out;
	size_t taken;
	enum rc rc;

	rc = reserve(s, plain.len + records * TLS_OVERHEAD + TLS_ROOM);
	if (rc != RC_OK)
		return rc;
	while (plain.len > 0) {
		out = (struct tls_out){
			.p = s->out, .len = s->out_len, .cap = s->out_cap
		};
		rc = tls_send(s->tls, plain.p, plain.len, &out, &taken);
		if (rc != RC_OK)
			return rc;
		s->out_len = out.len;
		plain.p += taken;
		plain.len -= taken;
		if (taken == 0) {
			rc = reserve(s, plain.len + (size_t)2 * TLS_ROOM);
			if (rc != RC_OK)
				return rc;
		}
	}
	return RC_OK;
}

enum rc seal_send(struct seal *s, struct bytes message)
{
	size_t mark;
	enum rc rc;

	if (s->state != SEAL_ST_OPEN)
		return RC_STATE;
	if (s->out_len - s->out_at > SEAL_UNSENT_MARK) {
		s->full = true;
		return RC_AGAIN;
	}
	packbuf_clear(&s->pack);
	mark = lenframe_begin(&s->pack);
	packbuf_append(&s->pack, message);
	rc = lenframe_end(&s->pack, mark, s->owner.message_max);
	if (rc == RC_OK)
		rc = seal_bytes(s, packbuf_bytes(&s->pack));
	/* It may have been a secret. */
	if (s->pack.data != NULL)
		OPENSSL_cleanse(s->pack.data, s->pack.len);
	packbuf_fini(&s->pack);
	if (rc == RC_OK)
		push(s);
	return rc;
}

size_t seal_unsent(const struct seal *s)
{
	return s->out_len - s->out_at +
	       mux_unsent(link_mux(s->link), s->stream);
}

/* --- In ----------------------------------------------------------------- */

static void hand_out(struct seal *s, struct bytes plain)
{
	struct seal_event event = { .type = SEAL_MESSAGE };
	struct fault fault;
	enum rc rc;

	do {
		rc = lenframe_feed(&s->frames, &plain, &fault);
		while (rc == RC_OK && s->state == SEAL_ST_OPEN &&
		       lenframe_next(&s->frames, &event.message) == RC_OK)
			tell(s, &event);
	} while (rc == RC_OK && s->state == SEAL_ST_OPEN && plain.len > 0);
	if (rc != RC_OK && s->state == SEAL_ST_OPEN)
		fail(s, rc == RC_NOMEM ? REASON_MEMORY : fault.code,
		    rc == RC_NOMEM ? "out of memory" : fault.text);
}

static void open_bytes(struct seal *s, const uint8_t *data, size_t len)
{
	static _Thread_local uint8_t plain[SEAL_PLAIN_MAX];
	uint8_t alert[TLS_ROOM];
	struct tls_in in = { .p = data, .len = len };
	size_t got = 0;
	enum rc rc;

	do {
		struct tls_out out = { .p = alert, .cap = sizeof(alert) };

		rc = tls_recv(s->tls, &in, &out, plain, sizeof(plain), &got);
		if (out.len > 0 && append(s, bytes_of(out.p, out.len)) != RC_OK)
			rc = RC_NOMEM;
		if (got > 0)
			hand_out(s, bytes_of(plain, got));
		OPENSSL_cleanse(plain, got);
	} while (rc == RC_OK && got > 0 && s->state == SEAL_ST_OPEN);
	if (s->state != SEAL_ST_OPEN)
		return;
	if (rc == RC_DENIED)
		end(s, tls_fault(s->tls), true, false);
	else if (rc != RC_OK)
		fail(s, REASON_MEMORY, "out of memory");
}

static void on_timer(void *arg)
{
	struct seal *s = arg;
	struct fault fault;

	hold(s);
	if (s->state == SEAL_ST_OPEN)
		tls_rest(s->tls);
	if (s->state == SEAL_ST_HANDSHAKE)
		fail(s, REASON_DEADLINE, "no answer in time");
	else if (s->state == SEAL_ST_OPEN &&
		 tls_recheck(s->tls, clock_wall_ms() / 1000, &fault) != RC_OK)
		end(s, &fault, true, false);
	else if (s->state == SEAL_ST_ENDING)
		fail(s, REASON_DEADLINE, "closed, and its far end did not end");
	else
		loop_timer_set(s->timer, SEAL_CHECK_MS);
	let_go(s);
}

static void on_recheck(struct link_watch *watch)
{
	struct seal *s = (struct seal *)(void *)((char *)watch -
						 offsetof(struct seal, watch));
	struct fault fault;

	hold(s);
	if (s->state == SEAL_ST_OPEN &&
	    tls_recheck(s->tls, clock_wall_ms() / 1000, &fault) != RC_OK)
		end(s, &fault, true, false);
	let_go(s);
}

static void on_step(void *arg, const struct handshake_result *result)
{
	const struct seal_event event = { .type = SEAL_OPEN };
	struct seal *s = arg;

	hold(s);
	if (append(s, result->out) != RC_OK) {
		fail(s, REASON_MEMORY, "out of memory");
	} else if (result->rc == RC_OK) {
		s->tls = result->tls;
		s->state = SEAL_ST_OPEN;
		loop_timer_set(s->timer, SEAL_CHECK_MS);
		tell(s, &event);
		if (s->state == SEAL_ST_OPEN && result->rest.len > 0)
			open_bytes(s, result->rest.p, result->rest.len);
		if (s->state != SEAL_ST_CLOSED)
			link_consumed(s->link, s->stream, s->held);
		handshake_free(s->handshake);
		s->handshake = NULL;
	} else if (result->rc != RC_AGAIN) {
		end(s, result->fault, true, false);
	}
	let_go(s);
}

static void on_data(struct seal *s, const struct mux_event *event)
{
	if (s->state == SEAL_ST_HANDSHAKE) {
		/* A handshake fits the initial credit; what a hasty peer sends
		 * behind it waits at the peer, not here. */
		s->held += event->data.len;
		handshake_feed(s->handshake, event->data.p, event->data.len);
		return;
	}
	if (s->state == SEAL_ST_OPEN)
		open_bytes(s, event->data.p, event->data.len);
	if (s->state != SEAL_ST_CLOSED)
		link_consumed(s->link, s->stream, event->data.len);
}

static void on_writable(struct seal *s)
{
	const struct seal_event event = { .type = SEAL_WRITABLE };

	push(s);
	if (s->full && s->out_len - s->out_at <= SEAL_UNSENT_MARK / 2) {
		s->full = false;
		tell(s, &event);
	}
}

static void on_stream(
    struct stream_user *user, struct link *link, const struct mux_event *event)
{
	struct seal *s = (struct seal *)user;
	struct fault fault = { .code = REASON_NONE };
	bool done = true;

	hold(s);
	switch (event->type) {
	case MUX_DATA:
		on_data(s, event);
		break;
	case MUX_WRITABLE:
		on_writable(s);
		break;
	case MUX_END:
		/* The peer has said all; so have we, then. */
		end(s, &fault, true, false);
		break;
	case MUX_RESET:
	case MUX_BROKEN:
		link_stream_fault(link, event, &fault, &done);
		end(s, &fault, done, true);
		break;
	case MUX_CLOSED:
		end(s, &fault, true, true);
		break;
	case MUX_ACCEPTED:
	case MUX_HELLO:
	case MUX_OPENED:
	case MUX_PONG:
	case MUX_GOAWAY:
	case MUX_TELL:
		break;
	}
	let_go(s);
}

/* --- Beginning and end --------------------------------------------------- */

static MUST_CHECK enum rc make(struct link *link, const struct seal_far *far,
    const struct seal_user *user, struct seal **out)
{
	struct link_net *net = link_net_of(link);
	struct seal *s = calloc(1, sizeof(*s));
	struct tls *tls;
	enum rc rc;

	if (s == NULL)
		return RC_NOMEM;
	s->user.event = on_stream;
	s->link = link;
	s->owner = *user;
	lenframe_init(&s->frames, user->message_max);
	packbuf_init(&s->pack, user->message_max + LENFRAME_HEADER);
	rc = loop_timer_new(link_net_loop(net), on_timer, s, &s->timer);
	if (rc == RC_OK)
		rc = tls_new(far->contexts != NULL ? far->contexts
						   : link_net_contexts(net),
		    far->kind, &far->expect, &tls);
	if (rc == RC_OK)
		rc = handshake_new(
		    link_net_pool(net), tls, on_step, s, &s->handshake);
	if (rc != RC_OK) {
		destroy(s);
		return rc;
	}
	loop_timer_set(s->timer, user->open_ms);
	s->watch.recheck = on_recheck;
	s->watched = net;
	link_net_watch(net, &s->watch);
	*out = s;
	return RC_OK;
}

enum rc seal_dial(struct link *link, const struct msg_open *open,
    const struct seal_far *far, const struct seal_user *user, struct seal **out)
{
	struct fault fault;
	struct seal *s;
	enum rc rc = make(link, far, user, &s);

	if (rc != RC_OK)
		return rc;
	rc = link_open(link, open, &s->user, &s->stream);
	if (rc != RC_OK) {
		destroy(s);
		return rc;
	}
	rc = handshake_start(s->handshake);
	if (rc != RC_OK) {
		fault_set(&fault, REASON_TOO_MANY,
		    link_net_name(link_net_of(link)), "no seal: %s",
		    rc_name(rc));
		link_reset(link, s->stream, &fault, false);
		destroy(s);
		return rc;
	}
	*out = s;
	return RC_OK;
}

enum rc seal_accept(struct link *link, uint32_t stream, enum stream_class class,
    enum tls_kind kind, const struct seal_user *user, struct seal **out)
{
	const struct msg_accept accept = { .credit = 0 };
	const struct seal_far far = { .kind = kind };
	struct fault fault;
	struct seal *s = NULL;
	enum rc rc = make(link, &far, user, &s);

	if (rc == RC_OK) {
		s->stream = stream;
		rc = link_accept(link, stream, class, &accept, &s->user);
	}
	if (rc != RC_OK) {
		fault_set(&fault, REASON_MEMORY,
		    link_net_name(link_net_of(link)), "no seal: %s",
		    rc_name(rc));
		link_reset(link, stream, &fault, false);
		if (s != NULL)
			destroy(s);
		return rc;
	}
	*out = s;
	return RC_OK;
}

static void end_softly(struct seal *s)
{
	struct tls_out out;

	s->state = SEAL_ST_ENDING;
	linger(s);
	/* The stream lives on until the rest is sent and the peer ends too. */
	if (reserve(s, TLS_ROOM) == RC_OK) {
		out = (struct tls_out){
			.p = s->out, .len = s->out_len, .cap = s->out_cap
		};
		tls_close(s->tls, &out);
		s->out_len = out.len;
	}
	push(s);
}

void seal_close(struct seal *s, const struct fault *fault)
{
	const struct fault none = { .code = REASON_NONE };

	if (s == NULL || s->state == SEAL_ST_CLOSED ||
	    s->state == SEAL_ST_ENDING)
		return;
	hold(s);
	if (fault == NULL && s->state == SEAL_ST_OPEN) {
		end_softly(s);
	} else {
		s->state = SEAL_ST_ENDING; /* no event */
		end(s, fault != NULL ? fault : &none, true, false);
	}
	let_go(s);
}

const struct peer *seal_peer(const struct seal *s)
{
	return tls_peer(s->tls);
}

EVP_PKEY *seal_peer_key(const struct seal *s)
{
	return s->tls != NULL ? tls_peer_key(s->tls) : NULL;
}

struct link *seal_link(const struct seal *s)
{
	return s->link;
}

/*
 * seal.h - end-to-end TLS inside a stream, carrying whole messages.
 *
 * A seal is what a relay can neither read nor forge: a node and a relay or
 * tentacle, or a joiner and a node, talk through it over any number of hops.
 * Messages are msgpack (proto/message*.h) behind a length (proto/lenframe.h);
 * greet, welcome and confirm are the business of who uses it.
 *
 * Loop's thread; handshakes run on workers.  A seal that tells SEAL_CLOSED
 * frees itself afterwards.
 */
#ifndef COMMON_SEAL_H
#define COMMON_SEAL_H

#include "common/link.h"
#include "common/tls.h"
#include "proto/bytes.h"
#include "proto/pack.h"

struct seal;

enum seal_event_type {
	SEAL_OPEN,     /* the handshake is over: seal_peer() is known */
	SEAL_MESSAGE,  /* message: valid during the call */
	SEAL_WRITABLE, /* after RC_AGAIN: seal_send() takes messages again */
	SEAL_CLOSED,   /* fault says why (NONE: the peer ended it) */
};

struct seal_event {
	enum seal_event_type type;
	struct bytes message;
	const struct fault *fault;
	bool done; /* SEAL_CLOSED: the target may have seen the stream */
};

/* May call seal_close(). */
typedef void (*seal_fn)(
    void *arg, struct seal *seal, const struct seal_event *event);

struct seal_user {
	seal_fn fn;
	void *arg;
	size_t message_max; /* LENFRAME_*_MAX */
	uint32_t open_ms;   /* until SEAL_OPEN */
};

struct seal_far {
	enum tls_kind kind;            /* TLS_SEAL_CLIENT, TLS_ENROL_CLIENT */
	struct tls_contexts *contexts; /* NULL: the net's */
	struct tls_expect expect;      /* who must answer at the far end */
};

/*
 * Open a stream on link and a seal in it.  Errors of link_open(), and RC_LIMIT
 * when too many handshakes wait for a worker.  No event before it returns.
 */
MUST_CHECK enum rc seal_dial(struct link *link, const struct msg_open *open,
    const struct seal_far *far, const struct seal_user *user,
    struct seal **out);
/*
 * Accept the stream of LINK_OPENED.  kind: TLS_SEAL_SERVER, TLS_ENROL_SERVER.
 * On an error the stream was reset.
 */
MUST_CHECK enum rc seal_accept(struct link *link, uint32_t stream,
    enum stream_class class, enum tls_kind kind, const struct seal_user *user,
    struct seal **out);

/*
 * Send one message (the bytes of a packbuf, without a length).  RC_AGAIN: so
 * much is unsent that this one was not taken, SEAL_WRITABLE follows; RC_STATE:
 * not open (any more); RC_LIMIT: longer than message_max; RC_NOMEM.
 */
MUST_CHECK enum rc seal_send(struct seal *seal, struct bytes message);
/* End it: fault NULL half-closes after what was sent (and gives that up when
 * the far end takes none of it for user_timeout_ms), else the stream is reset.
 * No event follows.  NULL is fine. */
void seal_close(struct seal *seal, const struct fault *fault);

/* After SEAL_OPEN. */
const struct peer *seal_peer(const struct seal *seal);
/* See tls_peer_key(). */
EVP_PKEY *seal_peer_key(const struct seal *seal);
struct link *seal_link(const struct seal *seal);
/* Unsent bytes. */
size_t seal_unsent(const struct seal *seal);

#endif

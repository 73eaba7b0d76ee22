/*
 * link.h - one connection between two processes: TCP, TLS, and a multiplexer.
 *
 *     common/dial.h, common/listen.h -> a socket -> struct link -> streams
 *
 * After HELLO a link is symmetric.  What all links of a program have in common
 * is its struct link_net.  A link belongs to its net and frees itself after
 * LINK_DOWN: keep no pointer to it beyond that event.  Streams are mux handles;
 * their events go to the stream's user.
 *
 * Everything here runs on the loop's thread, but for TLS handshakes, which run
 * on workers.  Output is collected and written once per turn of the loop.
 */
#ifndef COMMON_LINK_H
#define COMMON_LINK_H

#include "common/loop.h"
#include "common/proxy.h"
#include "common/tls.h"
#include "common/worker.h"
#include "proto/hello.h"
#include "proto/mux.h"
#include "proto/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct link;
struct link_net;

/* Who gets the events of one stream; embed it as the first member. */
struct stream_user {
	/*
	 * Every event of proto/mux.h for a stream; MUX_ACCEPTED's credit has
	 * been added already.  After MUX_RESET, MUX_BROKEN and MUX_CLOSED the
	 * stream is gone.
	 */
	void (*event)(struct stream_user *user, struct link *link,
	    const struct mux_event *event);
};

enum link_event_type {
	LINK_UP,     /* HELLO was accepted on both sides */
	LINK_OPENED, /* the peer opens a stream: link_accept() or link_reset()
	              */
	LINK_GOAWAY, /* the peer takes no new streams */
	LINK_TELL,
	LINK_DOWN, /* fault says why; the last event */
};

struct link_event {
	enum link_event_type type;
	uint32_t stream;                 /* LINK_OPENED */
	const struct msg_open *open;     /* LINK_OPENED */
	const struct msg_goaway *goaway; /* LINK_GOAWAY */
	const struct msg_tell *tell;     /* LINK_TELL */
	const struct fault *fault;       /* LINK_DOWN */
};

/* Times in milliseconds; link_config_default() gives docs/protocol.md's. */
struct link_config {
	uint32_t ping_idle_ms;    /* PING after so long without a byte */
	uint32_t ping_busy_ms;    /* and so often while bytes flow */
	uint32_t dead_ms;         /* after an unanswered PING */
	uint32_t connect_ms;      /* TCP */
	uint32_t handshake_ms;    /* TLS and HELLO */
	uint32_t anonymous_ms;    /* life of a link without a certificate */
	uint32_t user_timeout_ms; /* TCP_USER_TIMEOUT */
	uint32_t handshakes_max;  /* accepted and not up yet, all together */
	uint32_t waiting_max;     /* accepted, and no room for that yet */
	uint32_t anonymous_max;   /* accepted without a certificate, the same */
	/* Of these, from one IPv4 address or one IPv6 /64. */
	uint32_t handshakes_per_address, anonymous_per_address;
	/* Windows of all streams on all links, beyond the initial ones, bytes
	 */
	uint64_t receive_budget;
	uint32_t backoff_min_ms, backoff_max_ms; /* between dials */
	uint32_t refresh_ms; /* a newer link, after a renewal: within this */
	/* The kernel may hold all that it takes: nothing is faster than the way
	 * to a process beside us. */
	bool unpaced;
	struct proxy_settings proxy; /* of whoever dials */
	struct mux_limits mux;
};

void link_config_default(struct link_config *config);

struct link_ops {
	/* Fill what only the program knows of its HELLO: instance, boot id,
	 * revocations.  peer may be anonymous. */
	void (*hello)(
	    void *owner, const struct peer *peer, struct msg_hello *hello);
	/* Judge a peer's HELLO.  RC_DENIED: refused with *fault. */
	enum rc (*admit)(void *owner, struct link *link,
	    const struct msg_hello *hello, struct fault *fault);
	void (*event)(
	    void *owner, struct link *link, const struct link_event *event);
	/*
	 * Only for who wants to know a peer and no more (common/probe.h): TLS
	 * is open, link_peer() is known, and HELLO is never sent.  NULL in
	 * programs that serve.
	 */
	void (*known)(void *owner, struct link *link);
};

/*
 * contexts may be replaced later; config and ops are borrowed while the net
 * lives.  name is this program's own, for faults ("relay dc2-a").
 */
MUST_CHECK enum rc link_net_new(struct loop *loop, struct worker_pool *pool,
    const struct link_config *config, const struct link_ops *ops, void *owner,
    struct link_net **out);
/* Ends all links (LINK_DOWN is told) and frees the net. */
void link_net_free(struct link_net *net);
/* For links from now on; takes a reference. */
void link_net_set_contexts(struct link_net *net, struct tls_contexts *contexts);
/*
 * Trust has changed (revocations): look at the peers of all links, and of all
 * seals on them, from the loop but at once; those not good any more are closed.
 */
void link_net_recheck(struct link_net *net);
/*
 * Our own certificate is newer, and set as a context: have all links opened
 * anew, each within config.refresh_ms, beside the old ones, which end when
 * their last stream has.
 */
void link_net_renewed(struct link_net *net);
void link_net_set_name(struct link_net *net, const char *name);
/*
 * Have we more handshakes to compute than is good?  Who accepts leaves new
 * connections to the kernel meanwhile: first come, first served costs a fleet
 * less than to be turned away and to try again.
 */
bool link_net_is_swamped(const struct link_net *net);
/* The program is about to end all links: each peer is told to come back within
 * a time that grows with how many they are. */
void link_net_leaving(struct link_net *net);
struct loop *link_net_loop(const struct link_net *net);
struct worker_pool *link_net_pool(const struct link_net *net);
struct tls_contexts *link_net_contexts(const struct link_net *net);
const struct link_config *link_net_config(const struct link_net *net);
const char *link_net_name(const struct link_net *net);
/* Any link of the net after this one; NULL: the first, or no more. */
struct link *link_next(const struct link_net *net, const struct link *after);

/*
 * A link over a socket that we connected, which it takes over (also on
 * failure).  expect (may be NULL) is who must answer.  RC_LIMIT: too many
 * handshakes wait for a worker; RC_NOMEM, RC_IO.  No event is told before it
 * returns.
 */
MUST_CHECK enum rc link_new(struct link_net *net, int fd,
    const struct tls_expect *expect, const char *address, struct link **out);
/*
 * The same for a connection that was accepted: at once, or as soon as there is
 * room for its handshake.  RC_LIMIT: too many wait.
 */
MUST_CHECK enum rc link_arrive(
    struct link_net *net, int fd, const char *address);
/*
 * A link between two processes of one machine: fd is one end of a socket pair,
 * which it takes over (also on failure).  No TLS, and HELLO only for form: who
 * holds the other end is known, and peer says who that is.  It is never
 * renewed, nor looked at again.
 */
MUST_CHECK enum rc link_plain(struct link_net *net, int fd, enum mux_role role,
    const struct peer *peer, struct link **out);
/* End it at once, telling the peer; LINK_DOWN follows before this returns,
 * unless it is called by an event of a link that is closing already. */
void link_close(struct link *link, const struct fault *fault);
/* Take no new streams; the link ends when the last stream has. */
void link_drain(struct link *link, const struct fault *fault);

bool link_is_up(const struct link *link);
bool link_was_up(const struct link *link); /* ever */
/* How long it is up, or was; 0: never.  Milliseconds. */
uint64_t link_up_ms(const struct link *link);
/* The peer said good-bye, or refused us, and to come back within so long; 0: it
 * did not say so. */
uint32_t link_retry_ms(const struct link *link);
const struct peer *link_peer(const struct link *link);
enum mux_role link_role(const struct link *link);
const char *link_address(const struct link *link);
/* "relay dc2-a", "machine 7f3a...", "10.0.0.9:40112" while not known. */
const char *link_label(const struct link *link);
/* What people call the peer ("web-03"), for faults and logs from now on. */
void link_set_label(struct link *link, const char *label);
struct link_net *link_net_of(const struct link *link);
/* The peer's HELLO; valid from LINK_UP on.  version points into the link. */
const struct msg_hello *link_hello(const struct link *link);
/* Did it say that our certificate counts no more (expired, or its authority was
 * retired)?  Then we may open an enrol stream, and nothing else. */
bool link_we_expired(const struct link *link);
uint32_t link_rtt_us(const struct link *link); /* 0: not measured yet */
struct mux *link_mux(struct link *link);
/* Who made the link is told when it is down, after the net's owner. */
typedef void (*link_down_fn)(
    void *arg, struct link *link, const struct fault *fault);
void link_on_down(struct link *link, link_down_fn fn, void *arg);
/* For diallers: told when it is up, after the net's owner; and when a newer
 * link to this peer is wanted, since a certificate of either end is newer. */
typedef void (*link_life_fn)(void *arg, struct link *link);
void link_on_life(
    struct link *link, link_life_fn risen, link_life_fn renew, void *arg);
/* The dialler's word, before HELLO: it shall take the place of another. */
void link_set_beside(struct link *link);
/* It was said of this link that the one before it is alive: who sees its peer
 * dial twice lets that one end by itself. */
bool link_is_beside(const struct link *link);
/* One pointer for the owner of the net. */
void link_set_data(struct link *link, void *data);
void *link_data(const struct link *link);

/* --- Streams: as in proto/mux.h; errors of a dead link are RC_STATE ------- */

MUST_CHECK enum rc link_open(struct link *link, const struct msg_open *open,
    struct stream_user *user, uint32_t *stream);
MUST_CHECK enum rc link_accept(struct link *link, uint32_t stream,
    enum stream_class class, const struct msg_accept *accept,
    struct stream_user *user);
MUST_CHECK enum rc link_send(struct link *link, uint32_t stream,
    const uint8_t *data, size_t len, size_t *taken);
/*
 * For splicing: data is what an event of another link of this net has just
 * brought; send it as it lies there, with a header of ours in the place of the
 * one that it came with, when it could be the next to go out.  true: it has
 * gone.  false: link_send().
 */
bool link_pass(struct link *link, uint32_t stream, struct bytes data);
void link_end(struct link *link, uint32_t stream);
/* done: the target may have seen the stream.  No event follows, not even when
 * the link is going down. */
void link_reset(
    struct link *link, uint32_t stream, const struct fault *fault, bool done);
/* Pass an undecoded RESET payload on. */
void link_reset_raw(struct link *link, uint32_t stream, struct bytes payload);
void link_consumed(struct link *link, uint32_t stream, size_t len);
/* Decode what ended a stream: from RESET, or the reason of MUX_BROKEN. */
void link_stream_fault(struct link *link, const struct mux_event *event,
    struct fault *out, bool *done);
/* Something was queued by way of link_mux(): write it this turn. */
void link_kick(struct link *link);

#endif

/*
 * mux.h - many byte streams over one ordered byte pipe.  Sans-I/O.
 *
 *     bytes from the peer  -> mux_recv() -> one event at a time
 *     open, send, end, ... -> mux_pull() -> frames for the peer, best first
 *     what else happened   -> mux_next_event(): room to send, streams closed
 *
 * The mux owns no socket, clock, thread or callback: it never calls out, so
 * no call can re-enter it.  Times are microseconds of any clock that does not
 * go back.  One mux belongs to one thread at a time.
 *
 * Payloads of OPEN, ACCEPT, RESET, GOAWAY, HELLO and TELL are opaque here.
 *
 * Streams are named by handles: usable as soon as mux_open() returns, though
 * the number on the wire is given only when OPEN is written.  A stale handle
 * is RC_NOTFOUND.  MUX_RESET, MUX_BROKEN and MUX_CLOSED are a stream's last
 * event: its handle is gone, and event.owner says whose it was.
 *
 * Once RC_PROTO was returned the mux is dead: mux_pull() still gives a final
 * GOAWAY, mux_next_stream() and mux_owner() find who must be told; nothing
 * else works (RC_STATE).
 *
 * Memory: an idle stream costs under 300 bytes; queued output is held in
 * chunks of 4 KiB, at most queue_max (mux_set_queue_max) for each stream.
 */
#ifndef PROTO_MUX_H
#define PROTO_MUX_H

#include "proto/bytes.h"
#include "proto/frame.h"
#include "proto/kind.h"
#include "proto/mux_limits.h"
#include "proto/rc.h"
#include "proto/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUX_INITIAL_CREDIT 16384 /* each stream and direction, bytes */

struct mux; /* opaque; proto/mux_internal.h */

enum mux_role {
	MUX_DIALLER, /* odd stream numbers; its HELLO comes first */
	MUX_ACCEPTOR
};

enum mux_event_type {
	MUX_HELLO,    /* data: the payload; the first event of every mux */
	MUX_OPENED,   /* data: payload; answer with mux_accept or mux_reset */
	MUX_ACCEPTED, /* data: payload; then mux_add_credit() with its credit */
	MUX_DATA,     /* data: bytes; mux_consumed() when they have gone on */
	MUX_END,      /* the peer sends no more */
	MUX_RESET,    /* data: payload; last */
	MUX_BROKEN,   /* ended by this mux: reason and text say why; last */
	MUX_CLOSED,   /* both sides have ended; last; from mux_next_event */
	MUX_WRITABLE, /* sent: bytes that left the queue; from mux_next_event */
	MUX_PONG,     /* data: the 8 bytes of our mux_ping() */
	MUX_GOAWAY,   /* data: payload; then mux_abandon() with its `last` */
	MUX_TELL,     /* data: payload */
};

struct mux_event {
	enum mux_event_type type;
	uint32_t stream;    /* handle; 0 for events of the link */
	void *owner;        /* of the stream; see mux_set_owner() */
	struct bytes data;  /* borrowed from mux_recv()'s input */
	size_t sent;        /* MUX_WRITABLE and MUX_CLOSED */
	enum reason reason; /* MUX_BROKEN */
	const char *text;   /* MUX_BROKEN: static */
};

/* What one mux_pull() wrote. */
struct mux_batch {
	size_t len;                    /* all of it, bytes */
	size_t control_len;            /* frames other than DATA */
	size_t class_len[CLASS_COUNT]; /* DATA frames, by class */
};

/* RC_NOMEM; RC_STATE: a limit out of its range.  mux_free(NULL) is fine. */
MUST_CHECK enum rc mux_new(
    enum mux_role role, const struct mux_limits *limits, struct mux **out);
void mux_free(struct mux *m);

/*
 * Decode one event from *data (*len bytes) and advance both past what was
 * used.  RC_AGAIN: no whole frame there; call again with more bytes appended
 * to what is left (never more than FRAME_LEN_MAX - 1).  RC_PROTO: the mux is
 * dead, mux_failure() says why.
 */
MUST_CHECK enum rc mux_recv(struct mux *m, uint64_t now_us,
    const uint8_t **data, size_t *len, struct mux_event *event);
/* What mux_recv() does not say; false when there is no more. */
bool mux_next_event(struct mux *m, struct mux_event *event);
/* Why the mux died: a static string, or NULL while it lives. */
const char *mux_failure(const struct mux *m);

/*
 * Write whole frames into out, at most cap bytes (FRAME_LEN_MAX is enough for
 * all), the most urgent first; DATA only of streams up to lowest (CLASS_CONTROL
 * ... CLASS_BULK for everything).  A frame that does not fit what is left
 * waits for the next call, so that one record of FRAME_LEN_MAX holds either
 * small frames or one full one.
 */
void mux_pull(struct mux *m, uint64_t now_us, enum stream_class lowest,
    uint8_t *out, size_t cap, struct mux_batch *batch);
/*
 * For splicing, without a copy: may a DATA frame with these len bytes be the
 * very next, as nothing at all waits here, the stream has the credit, and its
 * class is not below lowest?  Then
 * it counts as written, its header is in head, and the caller writes both
 * before it pulls again.  No MUX_WRITABLE follows.  false: mux_send().
 */
bool mux_pass(struct mux *m, uint32_t stream, enum stream_class lowest,
    size_t len, uint8_t head[FRAME_HEADER_LEN]);
/* Would mux_pull() write something? */
bool mux_has_output(const struct mux *m, enum stream_class lowest);
/* Largest DATA frame with header, bytes; kept within 1024..FRAME_LEN_MAX. */
void mux_set_frame_max(struct mux *m, uint32_t bytes);
/* The link's round trip; windows double while they bind within two of them. */
void mux_set_rtt(struct mux *m, uint32_t rtt_us);
/* Less under pressure: then grants are withheld until windows are smaller. */
void mux_set_recv_budget(struct mux *m, uint64_t bytes);

/* Frames of the link.  Data is copied; at most FRAME_PAYLOAD_MAX (RC_LIMIT). */
MUST_CHECK enum rc mux_hello(struct mux *m, struct bytes payload);
MUST_CHECK enum rc mux_tell(struct mux *m, struct bytes payload);
MUST_CHECK enum rc mux_ping(struct mux *m, const uint8_t opaque[8]);
/* From now on the peer's OPENs are dropped; mux_last_peer_id() is `last`. */
MUST_CHECK enum rc mux_goaway(struct mux *m, struct bytes payload);
uint32_t mux_last_peer_id(const struct mux *m);
/* The peer takes up none of our streams above last: each is MUX_BROKEN. */
void mux_abandon(struct mux *m, uint32_t last);

/*
 * Open a stream.  RC_LIMIT: max_streams are open, the numbers are used up
 * (mux_ids_left() is 0: send GOAWAY, move to a new link), or the payload is
 * too long.  RC_STATE: the peer or we said GOAWAY.  RC_NOMEM.
 */
MUST_CHECK enum rc mux_open(struct mux *m, enum stream_class class, void *owner,
    struct bytes payload, uint32_t *stream);
uint32_t mux_ids_left(const struct mux *m);
/*
 * Answer MUX_OPENED.  credit is what the payload says is added for the peer:
 * RC_LIMIT when window or budget forbid it (0 is always possible).
 */
MUST_CHECK enum rc mux_accept(struct mux *m, uint32_t stream,
    enum stream_class class, uint32_t credit, struct bytes payload);
/* What MUX_ACCEPTED granted us.  RC_PROTO: above 2^31-1; the mux is dead. */
MUST_CHECK enum rc mux_add_credit(
    struct mux *m, uint32_t stream, uint32_t credit);

/*
 * Queue up to len bytes, copied; *taken says how many the stream's queue took.
 * When less than len, MUX_WRITABLE follows once half the queue is free.
 * RC_NOMEM: *taken may be above 0. RC_STATE: not accepted yet by us, or already
 * ended.
 */
MUST_CHECK enum rc mux_send(struct mux *m, uint32_t stream, const uint8_t *data,
    size_t len, size_t *taken);
/* Half-close: END follows the queued data. */
MUST_CHECK enum rc mux_end(struct mux *m, uint32_t stream);
/* End both ways at once, dropping queued data.  No event follows. */
MUST_CHECK enum rc mux_reset(
    struct mux *m, uint32_t stream, struct bytes payload);
/* len received bytes have gone on: the peer may send more. */
void mux_consumed(struct mux *m, uint32_t stream, size_t len);
/*
 * The stream of this class that has most of what came and has not gone on, and
 * how much, bytes; 0: none has anything.
 */
uint32_t mux_heaviest(
    const struct mux *m, enum stream_class class, uint32_t *held);
/* End it for want of memory: the peer gets limits.memory, its owner MUX_BROKEN.
 * Errors of mux_reset(). */
MUST_CHECK enum rc mux_shed(struct mux *m, uint32_t stream);
/* Unsent bytes of the stream's queue; 0 for an unknown stream. */
size_t mux_unsent(const struct mux *m, uint32_t stream);

/*
 * For splicing: with queue_max at least the other stream's window, mux_send()
 * takes everything that arrives there; with every_send, MUX_WRITABLE comes
 * whenever bytes have left, and event.sent is what to give mux_consumed().
 */
void mux_set_queue_max(
    struct mux *m, uint32_t stream, uint32_t queue_max, bool every_send);
/*
 * One pointer for each stream, untouched here.  Who shares a mux among several
 * users makes it point to a struct that begins with what it is.
 */
void mux_set_owner(struct mux *m, uint32_t stream, void *owner);
void *mux_owner(const struct mux *m, uint32_t stream);
/* The number on the wire, for logs; 0 while OPEN is not written. */
uint32_t mux_wire_id(const struct mux *m, uint32_t stream);
/* Walk all streams: begin with 0; 0 after the last. */
uint32_t mux_next_stream(const struct mux *m, uint32_t stream);
void mux_stats(const struct mux *m, struct mux_stats *out);

#endif

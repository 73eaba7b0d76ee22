/*
 * link_internal.h - the inside of a link, for its own files only:
 *
 *     link.c            beginning, end, and what the mux tells
 *     link_room.c       how many at once, and from one address
 *     link_lobby.c      who waits for room
 *     link_pressure.c   what ends when memory is short
 *     link_net.c        what all links of a program share
 *     link_handshake.c  TLS, on workers
 *     link_hello.c      HELLO and its verdict
 *     link_io.c         bytes in and out of the socket
 *     link_pace.c       how much bulk goes to the kernel, and when
 *     link_pass.c       frames that go on from link to link without a copy
 *     link_keepalive.c  PING, PONG, and who is given up
 *     link_renew.c      a newer link beside an older one
 *     link_streams.c    the interface for streams
 */
#ifndef COMMON_LINK_INTERNAL_H
#define COMMON_LINK_INTERNAL_H

#include "common/handshake.h"
#include "common/link.h"
#include "common/link_watch.h"
#include "common/send_cap.h"

#include <sys/queue.h>
#include <sys/socket.h>

/* At once from one link; all that are busy share the first in a turn. */
#define LINK_READ_MAX  ((size_t)256 * 1024)
#define LINK_READ_MIN  ((size_t)64 * 1024)
#define LINK_PLAIN_MAX ((size_t)512 * 1024)
#define LINK_BATCH_MAX ((size_t)16 * FRAME_LEN_MAX)
#define LINK_WIRE_MAX  (LINK_BATCH_MAX + (size_t)2 * TLS_ROOM)
/* What health may have in the kernel beyond bulk's limit. */
#define LINK_AHEAD_MAX   ((size_t)64 * 1024)
#define LINK_SOURCE_SIZE 16
/* A peer is slow after this part of its limit, and this many times what others
 * need. */
#define LINK_SLOW_PART  10
#define LINK_SLOW_TIMES 4
/* More than this part of all places waits for our workers: we are swamped. */
#define LINK_SWAMPED_PART 4
/* What a peer may make us owe without reading it. */
#define LINK_UNSENT_MAX ((size_t)1024 * 1024)

enum link_state {
	LINK_ST_HANDSHAKE,
	LINK_ST_HELLO,
	LINK_ST_UP,
	LINK_ST_CLOSED, /* LINK_DOWN was told; freed at the end of the turn */
};

struct link {
	TAILQ_ENTRY(link) all;
	TAILQ_ENTRY(link) dirty;
	TAILQ_ENTRY(link) pending; /* while counted, or a stranger */
	struct link_net *net;
	uint64_t recheck_round; /* looked at in this one */
	enum link_state state;
	enum mux_role role;
	bool is_dirty;
	bool draining;
	bool closing; /* the last words are being written */
	bool was_up;
	bool labelled;     /* by link_set_label() */
	bool counted;      /* among the net's handshakes */
	bool stranger;     /* among the net's strangers */
	uint32_t retry_ms; /* as the peer told when it sent us away */
	bool enrols;       /* a stranger's one stream was opened */
	bool we_expired;   /* to the peer we are a stranger */
	bool beside;       /* another, which it shall replace */
	bool plain;        /* no TLS: within the machine */
	int fd;
	struct loop_io *io;
	struct loop_timer *timer;
	struct tls *tls; /* NULL until the handshake is over */
	struct mux *mux;
	struct handshake *handshake; /* until TLS is open */
	bool spoke;                  /* the peer has sent something */
	struct peer peer;
	struct msg_hello hello;
	uint8_t hello_version[MSG_VERSION_MAX];
	char address[ADDRESS_TEXT_MAX];
	uint8_t source[LINK_SOURCE_SIZE]; /* of an accepted one */
	char label[96];
	void *data;
	link_down_fn down;
	void *down_arg;
	link_life_fn risen, renew; /* of the dialler */
	void *life_arg;
	uint64_t started_us, awaited_us, up_us, last_recv_us, ping_sent_us,
	    rtt_seen_us;
	uint64_t ping_mark_us; /* the same moment by a finer clock */
	uint32_t rtt_us;
	bool ping_waits;
	char farewell[FAULT_TEXT_MAX]; /* of the peer's GOAWAY */
	bool left;                     /* and its reason: draining */
	/* Part of a frame. */
	uint8_t *rest;
	size_t rest_len;
	/* Ciphertext that the kernel did not take. */
	uint8_t *unsent;
	size_t unsent_len, unsent_at;
	bool lost; /* no memory for more of it: the link cannot go on */
	struct send_cap cap;
	struct loop_timer *pace; /* there will be room for bulk */
};

/* What may go to the kernel in this turn, bytes; control always may. */
struct link_room {
	size_t bulk;     /* bulk and deploy together */
	size_t health;   /* and all of them */
	size_t held;     /* what it holds, sent or not */
	uint64_t now_us; /* 0: there was nothing to send */
};

/*
 * What is passed on to one link while frames of another are handed out: first
 * encrypted frames, then some that are not yet and lie side by side.
 */
struct link_passing {
	struct link *link; /* NULL: nothing */
	struct link_room room;
	uint8_t *plain;
	size_t plain_len, wire_len;
	uint8_t wire[LINK_WIRE_MAX];
};

struct link_guest;

TAILQ_HEAD(link_list, link);
TAILQ_HEAD(link_guest_list, link_guest);
TAILQ_HEAD(link_watch_list, link_watch);

struct link_net {
	struct loop *loop;
	struct worker_pool *pool;
	const struct link_config *config;
	const struct link_ops *ops;
	void *owner;
	struct tls_contexts *contexts;
	char name[80];
	struct link_list links, dirty, closed;
	/* Accepted and not up yet; whose peer is awaited longest is first. */
	struct link_list pending;
	struct link_list strangers; /* accepted, up, without a certificate */
	struct loop_timer *flush, *recheck;
	uint32_t busy, was_busy; /* links with more to read; in the last turn */
	struct link_watch_list watches;
	uint64_t recheck_round;
	uint32_t handshakes;           /* how many are pending */
	uint32_t retry_ms;             /* told in GOAWAY; 0: nothing */
	struct link_guest_list guests; /* that wait for room, oldest first */
	uint32_t guest_count;
	uint32_t dropped; /* since dropped_us */
	uint64_t dropped_us;
	struct loop_timer *lobby;
	uint32_t stranger_count;
	/* How long those take that come up, and as of when. */
	uint64_t usual_us, usual_at_us;
	uint8_t protocol_reset[256], too_many_reset[256], memory_reset[256];
	struct mux_limits mux_limits;
	struct mux_budget receive_budget; /* of all links */
	struct loop_timer *relief;
	/* Shared by all links: one is read or written at a time. */
	uint8_t recv_buf[LINK_READ_MAX];
	uint8_t plain_buf[LINK_PLAIN_MAX];
	uint8_t batch_buf[LINK_BATCH_MAX];
	uint8_t wire_buf[LINK_WIRE_MAX];
	struct link_passing passing;
};

/* link_room.c */
/* Where a connection comes from: an IPv4 address, or the /64 of an IPv6 one;
 * all zero for a socket that has none. */
void link_source_of(const struct sockaddr *from, uint8_t out[LINK_SOURCE_SIZE]);
void link_find_source(int fd, uint8_t out[LINK_SOURCE_SIZE]);
/*
 * May one more that was accepted begin?  Who has let us wait for long gives
 * way, first those of its own address.  But nobody gives way at once, or for
 * what our own workers have yet to do, or a returning fleet would displace
 * itself for ever.
 */
bool link_has_room(
    struct link_net *net, const uint8_t source[LINK_SOURCE_SIZE]);
void link_enter_handshake(struct link *link);
void link_leave_handshake(struct link *link);
/* We have answered: from now on what it takes is the peer's time. */
void link_await_peer(struct link *link);
/* It is up: so long did it take. */
void link_note_usual(const struct link *link);
bool link_stranger_has_room(
    const struct link_net *net, const uint8_t source[LINK_SOURCE_SIZE]);
void link_enter_strangers(struct link *link);
void link_leave_strangers(struct link *link);

/* link_io.c */
MUST_CHECK enum rc link_io_start(struct link *link);
void link_io_stop(struct link *link);
/* Decrypt what arrived and hand out its events; the link may be closed then. */
void link_feed(struct link *link, const uint8_t *data, size_t len);
/* Hand out what mux_recv() does not say. */
void link_drain_events(struct link *link);
/* Send ciphertext, or keep it until the kernel takes it. */
void link_write(struct link *link, const uint8_t *data, size_t len);
/* The same, but the link is not closed before the end of the turn. */
void link_write_frames(struct link *link, const uint8_t *data, size_t len);
/* Encrypt frames of at most one record; false: the session is dead. */
MUST_CHECK bool link_put(
    struct link *link, const uint8_t *frames, size_t len, struct tls_out *out);
/* Write what can be written now. */
void link_flush(struct link *link);

/* link_pace.c */
struct link_room link_pace_room(struct link *link);
/* The same when nothing waits yet. */
struct link_room link_pace_look(struct link *link);
/* After the turn: come again when there is room for what is left. */
void link_pace_wait(struct link *link, const struct link_room *room);

/* link_pass.c */
/* Write what is being passed on, if it is to this link; NULL: to any. */
void link_pass_flush(struct link_net *net, const struct link *link);
/* It is closed: nothing goes to it any more. */
void link_pass_forget(struct link *link);

/* link_handshake.c */
MUST_CHECK enum rc link_handshake_begin(
    struct link *link, const struct tls_expect *expect);
void link_handshake_input(struct link *link, const uint8_t *data, size_t len);

/* link_hello.c */
void link_hello_send(struct link *link, const struct fault *refused);
void link_hello_received(struct link *link, struct bytes payload);

/* link_keepalive.c */
void link_timer_fired(void *arg);
void link_ping(struct link *link, uint64_t now_us);
void link_pong(struct link *link, const struct mux_event *event);

/* link_recheck.c */
void link_recheck_all(void *arg); /* timer; the net */
void link_check_peer(struct link *link);

/* link_renew.c */
/* Its dialler shall dial once more. */
void link_renew(struct link *link);

/* link_pressure.c */
/* Bytes have come: is it too much by now? */
void link_feel_pressure(struct link_net *net);
/* A timer's: end a stream when it has been too much all the time. */
void link_relieve(void *arg);

/* link_lobby.c */
void link_look_into_lobby(void *arg); /* timer; the net */
void link_empty_lobby(struct link_net *net);

/* link.c */
/* A link of an accepted connection that has room; it takes fd over. */
MUST_CHECK enum rc link_accepted(struct link_net *net, int fd,
    const uint8_t source[LINK_SOURCE_SIZE], const char *address,
    uint32_t waited_ms);
void link_ready(struct link *link); /* TLS is open: HELLO is next */
void link_is_now_up(struct link *link);
void link_fail(struct link *link, enum reason code, const char *format, ...)
    PRINTF_LIKE(3, 4);
void link_on_event(struct link *link, const struct mux_event *event);

#endif

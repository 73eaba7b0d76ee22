/*
 * mux_internal.h - what the mux's own files share.  Nobody else includes it.
 *
 *     mux.c          the interface, and what it checks
 *     mux_stream.c   handles, numbers on the wire, a stream's life
 *     mux_control.c  frames other than DATA, on their way out
 *     mux_credit.c   what the peer may send
 *     mux_sched.c    whose DATA goes next; mux_pull
 *     mux_recv.c     what the peer sent
 *     mux_late.c     what it sent for streams that are gone
 */
#ifndef PROTO_MUX_INTERNAL_H
#define PROTO_MUX_INTERNAL_H

#include "proto/bucket.h"
#include "proto/byte_queue.h"
#include "proto/mux.h"

#include <sys/queue.h>

#define MUX_ID_MAX     UINT32_C(0x7fffffff)
#define MUX_CREDIT_MAX UINT32_C(0x7fffffff)

/*
 *   mux_open -> UNSENT -> OPENING --ACCEPT--> OPEN -> OVER
 *   peer's OPEN -> OFFERED --mux_accept--------^
 *
 * Any of them may be dropped at once by a RESET, or be OVER when the mux ends
 * the stream itself.  OVER: off the wire, only its last event is missing.
 */
enum stream_phase {
	PHASE_UNSENT,
	PHASE_OPENING,
	PHASE_OFFERED,
	PHASE_OPEN,
	PHASE_OVER
};

/* One direction of a stream. */
enum stream_half {
	HALF_OPEN,
	HALF_ENDING, /* END is queued: to the peer, or to our caller */
	HALF_ENDED
};

/* A frame that waits to be written. */
struct control {
	TAILQ_ENTRY(control) entry;
	struct mux_stream *stream; /* OPEN, CREDIT: whose; else NULL */
	const uint8_t *payload;
	uint32_t id;
	uint16_t len;
	uint8_t type; /* enum frame_type */
	bool queued;  /* CREDIT only: it lives in its stream */
};
TAILQ_HEAD(control_list, control);

struct mux_stream {
	TAILQ_ENTRY(mux_stream) ready_entry;
	TAILQ_ENTRY(mux_stream) notice_entry;
	struct mux_stream *hash_next;
	void *owner;
	struct control credit; /* the CREDIT frame that will be written */
	struct control *open;  /* the OPEN frame while not written */
	struct byte_queue out;
	size_t sent;         /* bytes gone since the last MUX_WRITABLE */
	const char *text;    /* why it is OVER, or NULL: closed */
	uint64_t granted_us; /* last grant, or the beginning */
	uint32_t handle;
	uint32_t id; /* on the wire; 0: not given yet */
	uint32_t send_credit;
	uint32_t queue_max;
	uint32_t deficit;     /* may still be sent in this turn, bytes */
	uint64_t measured_us; /* since when it is measured, see mux_credit.c */
	uint64_t gone;        /* bytes that have gone on since then */
	uint32_t useful;      /* a larger window would only be a queue */
	uint32_t window;      /* what we want the peer to have */
	uint32_t recv_credit; /* what the peer still has of it */
	uint32_t recv_held;   /* came, and mux_consumed() is still due */
	enum stream_phase phase;
	enum stream_half local, remote;
	enum stream_class class;
	enum reason reason;
	bool is_ours;    /* opened by this side */
	bool peer_left;  /* its RESET came: nothing may follow */
	bool is_ready;   /* in the ready list of its class */
	bool in_turn;    /* got its quantum, not used up */
	bool is_noticed; /* in the list of notices */
	bool wants_room; /* mux_send() was short */
	bool every_send;
};
TAILQ_HEAD(ready_list, mux_stream);
TAILQ_HEAD(notice_list, mux_stream);

/* Handles are a slot's number + 1 and, above it, the slot's generation. */
struct slot {
	struct mux_stream *stream; /* NULL: free */
	uint32_t next_free;
	uint16_t generation;
};

struct stream_table {
	struct slot *slots;
	uint32_t slot_count, slot_max;
	uint32_t first_free, last_free; /* oldest first: handles stay stale */
	struct mux_stream **buckets;    /* by number on the wire */
	uint32_t bucket_count;          /* a power of two */
	uint32_t hashed;
};

struct mux {
	struct mux_limits limits;
	enum mux_role role;
	const char *failure; /* dead, and why */
	uint64_t now_us;     /* of the last call that brought a time */
	struct stream_table table;
	uint32_t own_count, peer_count; /* streams by opener */
	uint32_t unsent_count;
	uint32_t next_id;                  /* of ours */
	uint32_t peer_highest, peer_taken; /* numbers of the peer's */
	bool leaving, peer_leaving;        /* GOAWAY made, received */
	bool hello_written, hello_received;

	struct control *hello; /* not written yet */
	bool owes_pong;
	uint8_t pong[8];
	struct control_list link_frames;   /* PING, GOAWAY, TELL */
	struct control_list stream_frames; /* OPEN, ACCEPT, RESET, CREDIT */
	size_t control_queued;             /* both, bytes with headers */
	size_t answers_queued;             /* RESET and TELL only */

	struct chunk_pool pool;
	struct ready_list ready[CLASS_COUNT];
	uint32_t ready_count[CLASS_COUNT];
	struct bucket control_bucket;     /* class control goes first */
	int32_t health_lead, deploy_lead; /* see mux_sched.c */
	uint32_t middle_turn;
	uint32_t frame_max;
	struct notice_list notices;

	uint32_t rtt_us;
	uint64_t recv_budget;
	struct bucket opens, resets, controls, violations;
	/* What may still come for streams that are gone; see mux_late.c. */
	uint64_t late_credit, late_frames;
	uint32_t ended_stream; /* END came with DATA: say so next */
	struct mux_stats stats;
};

/* Where mux_pull() writes. */
struct writer {
	uint8_t *out;
	size_t room;
	struct mux_batch *batch;
};

/* The mux is dead; text is static. */
void mux_kill(struct mux *m, const char *text);

static inline enum rc mux_fail(struct mux *m, const char *text)
{
	mux_kill(m, text);
	return RC_PROTO;
}

/* mux_stream.c */
MUST_CHECK enum rc mux_table_init(struct stream_table *t, uint32_t max);
void mux_table_fini(struct stream_table *t);
struct mux_stream *mux_stream_of(const struct mux *m, uint32_t handle);
struct mux_stream *mux_stream_by_id(const struct mux *m, uint32_t id);
/* A stream in its first phase, with handle, and id unless UNSENT. */
MUST_CHECK enum rc mux_stream_new(struct mux *m, enum stream_phase phase,
    uint32_t id, struct mux_stream **out);
/* The only way from phase to phase. */
void mux_stream_enter(
    struct mux *m, struct mux_stream *s, enum stream_phase next);
/* Off the wire and freed; no event. */
void mux_stream_drop(struct mux *m, struct mux_stream *s);
/* OVER when both halves have ended. */
void mux_stream_close_if_done(struct mux *m, struct mux_stream *s);
/* Let mux_next_event() speak of it. */
void mux_notice(struct mux *m, struct mux_stream *s);

/* mux_control.c */
MUST_CHECK enum rc mux_control_new(enum frame_type type, uint32_t id,
    struct bytes payload, struct control **out);
void mux_control_push(struct mux *m, struct control *c);
/* RESET and TELL: RC_PROTO when too many wait to be read. */
MUST_CHECK enum rc mux_control_push_answer(struct mux *m, struct control *c);
/* Not written after all: taken off the list and freed. */
void mux_control_cancel(struct mux *m, struct control *c);
void mux_control_clear(struct mux *m);
/* Both false when something did not fit, or must wait: no DATA then. */
bool mux_control_write(struct mux *m, struct writer *w);
bool mux_control_waits(const struct mux *m);
/* HELLO went both ways and the mux lives. */
bool mux_is_up(const struct mux *m);

/* mux_credit.c */
void mux_credit_start(struct mux *m, struct mux_stream *s);
/* Take what a DATA frame costs; false when the peer has not got it. */
bool mux_credit_charge(struct mux *m, struct mux_stream *s, uint32_t payload);
/* So much of what came has gone on. */
void mux_credit_release(struct mux *m, struct mux_stream *s, size_t len);
/* Queue a CREDIT frame when half the window has gone on. */
void mux_credit_review(struct mux *m, struct mux_stream *s);
/* Called when CREDIT is about to be written: the increment, or 0 for none. */
uint32_t mux_credit_grant(struct mux *m, struct mux_stream *s);
MUST_CHECK enum rc mux_credit_add_window(
    struct mux *m, struct mux_stream *s, uint32_t credit);
/* The stream is going: its share of the budget is free. */
void mux_credit_stop(struct mux *m, struct mux_stream *s);

/* mux_late.c */
/* A number leaves the wire: the peer may not know yet, and had this credit. */
void mux_late_expect(struct mux *m, uint32_t credit);
/* A frame for a stream that is gone: false when the peer knew, or must have. */
bool mux_late_forgive(struct mux *m, const struct frame *f);

/* mux_sched.c */
/* In or out of its ready list, as its data and credit say. */
void mux_sched_review(struct mux *m, struct mux_stream *s);
void mux_sched_remove(struct mux *m, struct mux_stream *s);

#endif

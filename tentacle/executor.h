/*
 * executor.h - the tentacle that obeys: who this machine is, the seals of
 * servers, and the operations behind them.
 *
 *     executor.c  beginning, end, and what the network side asks for
 *     session.c   one seal: greet, requests to the operations, and answers
 *     follow.c    attach: a ticket's output as it grows, then its result
 *     staging.c   stage: a blob, piece by piece
 *
 * It obeys only a seal whose far end proved to be a server; what a relay, or
 * its own network side, is or says changes nothing.  Loop's thread.
 */
#ifndef TENTACLE_EXECUTOR_H
#define TENTACLE_EXECUTOR_H

#include "common/member.h"
#include "common/seal.h"
#include "proto/message_deploy.h"
#include "tentacle/operations.h"
#include "tentacle/settings.h"

#include <sys/queue.h>

#define SESSIONS_MAX 256 /* seals at once */
/* By way of one peer, where nobody has proven to be a server yet. */
#define SESSIONS_OPENING_MAX 32

struct session;
TAILQ_HEAD(session_list, session);

/* Who carries our seals.  May change while there is no session. */
struct executor_carrier {
	struct link_net *net; /* of the links that seals come in on */
	/* In the same process: the peers are others now. */
	struct loop_timer *peers_changed;
	/* In another: a server's word on trust, certificate or peers, that it
	 * shall take as well. */
	void (*upkeep)(void *arg, struct bytes message);
	/* And: this is our life from now on. */
	void (*life)(void *arg);
	void *arg;
};

struct executor {
	struct loop *loop;
	struct worker_pool *pool, *own_pool; /* the second may be NULL */
	struct member *member;
	struct operations *operations;
	struct executor_carrier carrier;
	struct session_list sessions;
	size_t session_count;
	const struct agent_settings *settings;
	bool failed; /* the disk did: stop at once */
	/* Told to be a copy: another life is not begun before, and then. */
	uint64_t contest_us, contest_wait_us;
};

/* settings are borrowed.  RC_NOTFOUND: not joined; RC_EXISTS: it runs. */
MUST_CHECK enum rc executor_new(struct loop *loop,
    const struct agent_settings *settings, struct executor **out,
    struct fault *fault);
void executor_carry(struct executor *e, const struct executor_carrier *carrier);
/* All sessions end, telling servers why; no carrier from now on. */
void executor_leave(struct executor *e);
/* After executor_leave().  NULL is fine. */
void executor_free(struct executor *e);

/* As struct agent_inside has them. */
void executor_opened(void *executor, struct link *link, uint32_t stream,
    const struct msg_open *open);
void executor_contested(void *executor);

/* --- session.c -------------------------------------------------------------
 */

enum session_state {
	SESSION_OPENING,
	SESSION_GREETED,
	SESSION_OPEN,
};

struct follow;
struct staging;

struct session {
	TAILQ_ENTRY(session) all;
	struct executor *executor;
	struct seal *seal;
	struct loop_timer *deadline; /* for what the server owes us */
	enum session_state state;
	enum stream_class class;
	struct msg_incarnation incarnation; /* as it was welcomed */
	char from[NAME_SIZE];               /* the peer by which it came */
	char node[NAME_SIZE];
	char trace[TRACE_MAX + 1]; /* the opener's id of this seal */
	struct follow *follow;     /* attach */
	struct staging *staging;   /* stage */
};

void session_accept(struct executor *e, struct link *link, uint32_t stream,
    const struct msg_open *open);
/* The server must say something within ms, or it ends; 0: no limit. */
void session_expect(struct session *s, uint32_t ms);
/* End it, telling the server why; it is gone afterwards. */
void session_end(struct session *s, const struct fault *fault);
/* Send what packbuf holds, and empty it. */
MUST_CHECK enum rc session_send(
    struct session *s, enum rc encoded, struct packbuf *pack);
/* Answer with a fault message, then end. */
void session_refuse(struct session *s, const struct fault *fault);
void sessions_close(struct executor *e);

/* --- follow.c, staging.c ---------------------------------------------------
 */

/* These may end the session. */
void follow_begin(struct session *s, struct bytes message);
void follow_writable(struct session *s);
void follow_free(struct follow *f); /* NULL is fine */

void staging_begin(struct session *s, struct bytes message);
void staging_piece(struct session *s, struct bytes message);
void staging_free(struct staging *t); /* NULL is fine */

#endif

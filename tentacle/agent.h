/*
 * agent.h - the tentacle on the network: its links, and the seals of servers.
 *
 *     agent.c     HELLO, links up and down, who may open what
 *     uplinks.c   the servers and relays that it dials
 *     session.c   one seal: greet, requests to the operations, and answers
 *     follow.c    attach: a ticket's output as it grows, then its result
 *     staging.c   stage: a blob, piece by piece
 *
 * It obeys only a seal whose far end proved to be a server; what a relay is or
 * says changes nothing.  Loop's thread.
 */
#ifndef TENTACLE_AGENT_H
#define TENTACLE_AGENT_H

#include "common/dial.h"
#include "common/listen.h"
#include "common/member_late.h"
#include "common/seal.h"
#include "proto/message_deploy.h"
#include "tentacle/operations.h"

#include <sys/queue.h>

#define SESSIONS_MAX 256 /* seals at once */
/* Of one link, where nobody has proven to be a server yet. */
#define SESSIONS_OPENING_MAX 32

struct agent_settings {
	const char *state_dir;
	const char *apps_dir;
	const char *home;
	const char *guardian; /* as operations_config's */
	struct config_endpoint listen;
	bool listens;
	bool dials;       /* the nodes and relays among its peers */
	unsigned workers; /* threads of its own; */
	/* or, not NULL: several agents of one loop share these threads.  Free
	 * the pool first, then the agents. */
	struct worker_pool *pool;
	uint32_t follow_ms; /* how often a followed log is looked at */
	uint64_t grace_ms;
	uint64_t log_max;
	size_t running_max, open_max;
	struct link_config link;
};

struct session;
TAILQ_HEAD(session_list, session);

/* A peer that we dial. */
struct uplink {
	TAILQ_ENTRY(uplink) all;
	struct msg_peer peer;
	struct dialler *dialler;
	bool seen; /* while the peers are followed */
};
TAILQ_HEAD(uplink_list, uplink);

struct agent {
	struct loop *loop;
	struct worker_pool *pool, *own_pool; /* the second may be NULL */
	struct member *member;
	struct link_net *net;
	struct member_late late;
	struct listener *listener;
	struct operations *operations;
	struct uplink_list uplinks;
	struct loop_timer *peers_changed; /* follow them, this turn */
	struct session_list sessions;
	size_t session_count;
	const struct agent_settings *settings;
	bool failed; /* the disk did: stop at once */
	/* Told to be a copy: another life is not begun before, and then. */
	uint64_t contest_us, contest_wait_us;
};

MUST_CHECK enum rc agent_new(struct loop *loop,
    const struct agent_settings *settings, struct agent **out,
    struct fault *fault);
void agent_free(struct agent *a);

/* --- uplinks.c -------------------------------------------------------------
 */

/* Dial all peers that have an address, and no others; agent.  A timer's. */
void uplinks_follow(void *agent);
/* One of them is going to leave: be there by the others. */
void uplinks_hurry(struct agent *a);
void uplinks_free(struct agent *a, const struct fault *fault);

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
	struct agent *agent;
	struct link *link; /* while state is SESSION_OPENING */
	struct seal *seal;
	struct loop_timer *deadline; /* for what the server owes us */
	enum session_state state;
	enum stream_class class;
	char node[NAME_SIZE];
	char trace[TRACE_MAX + 1]; /* the opener's id of this seal */
	struct follow *follow;     /* attach */
	struct staging *staging;   /* stage */
};

void session_accept(struct agent *a, struct link *link, uint32_t stream,
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
void sessions_close(struct agent *a);

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

/*
 * relay.h - the relay as a whole: its neighbours, its slice of the route
 * table, and what it does with a stream that somebody opens.
 *
 *     relay.c       HELLO, links up and down, start and stop
 *     neighbours.c  one per (role, name): its link, its dialler
 *     drain.c       stopping without failing anything
 *     waits.c       streams that come before their route
 *     opens.c       who may open what, and where it goes
 *     control.c     control sessions: the table comes in, presence goes out
 *     bridge.c      two streams spliced
 *     trace.c       what we say of the way beyond us
 *     table.c       the slice; table_file.c: its copy on disk
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "common/bridge.h"
#include "common/dial.h"
#include "common/link.h"
#include "common/listen.h"
#include "common/member_late.h"
#include "relay/table.h"
#include "relay/table_file.h"

#include <sys/queue.h>

struct control;
struct relay;
struct wait;

TAILQ_HEAD(neighbour_list, neighbour);
TAILQ_HEAD(control_list, control);
TAILQ_HEAD(wait_list, wait);

struct neighbour {
	struct lookup_item item; /* first; by key */
	char key[TARGET_SIZE];   /* "tentacle/<id>" */
	TAILQ_ENTRY(neighbour) all;
	struct relay *relay;
	enum peer_role role;
	char name[NAME_SIZE];  /* from its certificate */
	char label[NAME_SIZE]; /* as people call it */
	struct link *link;     /* up; NULL: none */
	uint64_t links;        /* so many, up to this one */
	uint64_t start;        /* of the instance on that link, */
	char nonce[ID_SIZE];   /* and which of several copies it is */
	struct dialler *dialler;
	struct endpoint endpoint; /* the dialler's */
	struct fault fault;       /* why there is no link */
};

struct relay_settings {
	const char *state_dir;
	struct config_endpoint listen;
	bool listens;
	char serves[ENDPOINT_SIZE]; /* where those behind dial us; "" */
	bool dials_up; /* dial the nodes and relays that we joined through */
	uint32_t streams_max;
	uint32_t enrols_max;
	uint32_t presence_ms;
	uint32_t stale_ms;  /* a stream waits so long for the route table */
	uint32_t drain_ms;  /* streams may leave so long when it stops */
	const char *record; /* file for every payload byte; NULL: none */
	unsigned workers;
	struct link_config link;
};

struct relay {
	struct loop *loop;
	struct worker_pool *pool;
	struct member *member;
	struct link_net *net;
	struct member_late late;
	struct listener *listener;
	struct table *table;
	struct table_file *table_file;
	struct bridges *bridges;
	struct bridges *enrols; /* a small pool of their own */
	struct neighbour_list neighbours;
	struct lookup neighbours_by_key;
	struct control_list controls;
	struct wait_list waits;
	size_t wait_count;
	uint64_t wait_round; /* of looks at them */
	const struct relay_settings *settings;
	uint64_t started_us;
	int record_fd;
	unsigned traces;                      /* under way */
	struct loop_timer *peers_changed;     /* follow them, this turn */
	uint64_t contest_us, contest_wait_us; /* see contested() */
	bool drained;  /* an operator moves its streams elsewhere */
	bool draining; /* it stops soon */
	bool stopping;
};

/* relay.c */
MUST_CHECK enum rc relay_new(struct loop *loop,
    const struct relay_settings *settings, struct relay **out,
    struct fault *fault);
void relay_free(struct relay *r);
const char *relay_name(const struct relay *r);

/* drain.c */
/* Run on, until what it carries has left it, or its time is over. */
void relay_drain(struct relay *r);
/* A server says so, as an operator wants it. */
void relay_drain_told(struct relay *r, bool stop);

/* neighbours.c */
struct neighbour *neighbour_find(
    const struct relay *r, enum peer_role role, const char *name);
/* Finds or makes; NULL: out of memory. */
struct neighbour *neighbour_get(
    struct relay *r, enum peer_role role, const char *name);
/* Take its link, of this instance; the link before is closed. */
void neighbour_link_up(
    struct neighbour *n, struct link *link, const struct msg_hello *hello);
void neighbour_link_down(
    struct neighbour *n, struct link *link, const struct fault *fault);
/* Dial it at endpoint from now on; NULL: it dials us. */
void neighbour_dial(struct neighbour *n, const struct endpoint *endpoint);
/* Its entry in the table is gone, or leads elsewhere now. */
void neighbour_unroute(struct relay *r, struct table_entry *e);
/* Its link goes, and so does it. */
void neighbour_free(struct neighbour *n, const struct fault *fault);
/* After the table or the peers changed: dial and drop accordingly.  Of the
 * table, only what changed is looked at. */
void neighbours_follow_table(struct relay *r);
void neighbours_follow_peers(struct relay *r);
/* Why nothing can be opened to it now. */
void neighbour_fault(const struct neighbour *n, struct fault *out);

/* opens.c */
void relay_opened(struct relay *r, struct link *link, uint32_t stream,
    const struct msg_open *open);

/* Where a stream goes from here. */
struct onward {
	struct table_entry *entry; /* of its target */
	struct neighbour *to;      /* the next hop; linked or not */
	struct msg_open next;      /* what is opened there */
};

/* May this neighbour open to this target in this way, as the slice says? */
bool relay_onward(struct relay *r, struct link *link,
    const struct msg_open *open, struct onward *out, struct fault *fault);
/* Splice it; false: it was reset with the reason. */
bool relay_pass(struct relay *r, struct link *link, uint32_t stream,
    const struct onward *on);
void relay_refuse(struct link *link, uint32_t stream,
    const struct msg_open *open, const struct fault *fault);
/* Is there a link that takes streams?  If not it is dialled now. */
bool relay_is_linked(const struct neighbour *n, struct fault *fault);

/* waits.c */
/* Refused with stale-route: wait a while first; false: it cannot. */
bool relay_wait(struct relay *r, struct link *link, uint32_t stream,
    const struct msg_open *open, const struct fault *fault);
/* Something of the table, or a control session, has come. */
void relay_waits_look(struct relay *r);
void relay_waits_free(struct relay *r);

/* trace.c */
/* A trace ends here: say who we are. */
void trace_answer(struct relay *r, struct link *link, uint32_t stream);
/* Say what we know of the next link, and pass on what comes from beyond. */
void trace_pass(struct relay *r, struct link *link, uint32_t stream,
    const struct onward *on);

/* control.c */
void control_accept(struct relay *r, struct link *link, uint32_t stream,
    const struct msg_open *open);
/* Something about this target changed: tell the nodes, soon. */
void controls_presence(struct relay *r, const struct neighbour *n);
/* Is there a session whose server told us the newest lists of revoked keys? */
bool controls_told_revoked(const struct relay *r);
/* Tell all servers that we stop soon. */
void controls_drain(struct relay *r);
void controls_close(struct relay *r);

#endif

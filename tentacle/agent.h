/*
 * agent.h - the tentacle on the network: its links, and what comes in on them.
 *
 *     agent.c     HELLO, links up and down, who may open what
 *     uplinks.c   the servers and relays that it dials
 *
 * A seal ends inside (executor.h): here its bytes are only carried, and nothing
 * that comes in can make this side obey.  Loop's thread.
 */
#ifndef TENTACLE_AGENT_H
#define TENTACLE_AGENT_H

#include "common/dial.h"
#include "common/listen.h"
#include "common/member_late.h"
#include "tentacle/settings.h"

#include <sys/queue.h>

/* A peer that we dial. */
struct uplink {
	TAILQ_ENTRY(uplink) all;
	struct msg_peer peer;
	struct dialler *dialler;
	bool seen; /* while the peers are followed */
};
TAILQ_HEAD(uplink_list, uplink);

/* The side that obeys, be it in this process or in another. */
struct agent_inside {
	/* Take this stream, a seal for this machine, or reset it;
	 * open->passed names the peer that it came from. */
	void (*opened)(void *arg, struct link *link, uint32_t stream,
	    const struct msg_open *open);
	/* A later life than ours is connected. */
	void (*contested)(void *arg);
	/* Our expired certificate was renewed, in member. */
	void (*renewed)(void *arg);
	void *arg;
};

struct agent {
	struct loop *loop;
	struct worker_pool *pool, *own_pool; /* the second may be NULL */
	struct member *member;               /* borrowed */
	struct agent_inside inside;
	struct link_net *net;
	struct member_late late;
	struct listener *listener;
	struct uplink_list uplinks;
	struct loop_timer *peers_changed; /* follow them, this turn */
	const struct agent_settings *settings;
};

/* settings and member are borrowed. */
MUST_CHECK enum rc agent_new(struct loop *loop,
    const struct agent_settings *settings, struct member *member,
    const struct agent_inside *inside, struct agent **out, struct fault *fault);
/* Sessions that are on its links must have ended. */
void agent_free(struct agent *a); /* NULL is fine */

/* --- uplinks.c -------------------------------------------------------------
 */

/* Dial all peers that have an address, and no others; agent.  A timer's. */
void uplinks_follow(void *agent);
/* One of them is going to leave: be there by the others. */
void uplinks_hurry(struct agent *a);
void uplinks_free(struct agent *a, const struct fault *fault);

#endif

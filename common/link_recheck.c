#include "common/clock.h"
#include "common/link_internal.h"

void link_net_watch(struct link_net *net, struct link_watch *watch)
{
	watch->round = net->recheck_round;
	TAILQ_INSERT_TAIL(&net->watches, watch, all);
}

void link_net_unwatch(struct link_net *net, struct link_watch *watch)
{
	TAILQ_REMOVE(&net->watches, watch, all);
}

void link_check_peer(struct link *link)
{
	struct fault fault;

	if (link->plain)
		return;
	if (tls_recheck(link->tls, clock_wall_ms() / 1000, &fault) != RC_OK)
		link_fail(link, fault.code, "%s", fault.text);
}

void link_net_recheck(struct link_net *net)
{
	/* Not now: whoever asks may be in an event of one of them. */
	loop_timer_set(net->recheck, 0);
}

/*
 * Closing one may end others, so no place in the lists can be kept: each goes
 * to the end when it has been looked at, until all have.
 */
static void recheck_watches(struct link_net *net)
{
	struct link_watch *w;

	while ((w = TAILQ_FIRST(&net->watches)) != NULL &&
	       w->round != net->recheck_round) {
		w->round = net->recheck_round;
		TAILQ_REMOVE(&net->watches, w, all);
		TAILQ_INSERT_TAIL(&net->watches, w, all);
		w->recheck(w);
	}
}

static void recheck_links(struct link_net *net)
{
	struct link *link;

	while ((link = TAILQ_FIRST(&net->links)) != NULL &&
	       link->recheck_round != net->recheck_round) {
		link->recheck_round = net->recheck_round;
		TAILQ_REMOVE(&net->links, link, all);
		TAILQ_INSERT_TAIL(&net->links, link, all);
		/* In a handshake, the rules of now apply at its end. */
		if (link->state != LINK_ST_HANDSHAKE)
			link_check_peer(link);
	}
}

void link_recheck_all(void *arg)
{
	struct link_net *net = arg;

	net->recheck_round++;
	recheck_watches(net);
	recheck_links(net);
}

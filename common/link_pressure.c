#include "common/link_internal.h"

#include "common/log.h"

/*
 * What peers have under way to this program is bounded by what was granted, and
 * by 16 KiB for each of their streams, which nobody has granted.  When all of
 * that stays here for longer than a moment, since it finds no way on, streams
 * end for want of memory: those of the least urgent class first, of these the
 * one that holds most.  Control goes on whatever happens: it is needed to see
 * what is wrong, and there is little of it.
 */

#define PRESSURE_MS 1000
/* Between two: what a reset frees at the other link has to be seen. */
#define NEXT_MS 20

static bool is_too_much(const struct link_net *net)
{
	return net->receive_budget.held > net->receive_budget.bytes;
}

void link_feel_pressure(struct link_net *net)
{
	if (!is_too_much(net) || loop_timer_pending(net->relief))
		return;
	net->receive_budget.was_relieved = false;
	loop_timer_set(net->relief, PRESSURE_MS);
}

static struct link *heaviest(
    struct link_net *net, enum stream_class class, uint32_t *stream)
{
	struct link *link, *found = NULL;
	uint32_t most = 0;

	TAILQ_FOREACH(link, &net->links, all)
	{
		uint32_t held, candidate;

		if (link->state != LINK_ST_UP)
			continue;
		candidate = mux_heaviest(link->mux, class, &held);
		if (candidate == 0 || held <= most)
			continue;
		most = held;
		found = link;
		*stream = candidate;
	}
	return found;
}

static void shed(struct link *link, uint32_t stream, enum stream_class class)
{
	struct link_net *net = link->net;

	log_warn_with("link", link_label(link),
	    LOG_FIELDS(LOG_TEXT("class", class_name(class)),
		LOG_NUMBER("held", (int64_t)net->receive_budget.held),
		LOG_NUMBER("budget", (int64_t)net->receive_budget.bytes)),
	    "a stream is ended, as the memory for what peers have under way is "
	    "used up (link.receive-budget)");
	if (mux_shed(link->mux, stream) != RC_OK)
		link_fail(link, REASON_MEMORY, "out of memory");
	if (link->state == LINK_ST_CLOSED)
		return;
	link_drain_events(link);
	link_kick(link);
}

void link_relieve(void *arg)
{
	static const enum stream_class order[] = { CLASS_BULK, CLASS_DEPLOY,
		CLASS_HEALTH };
	struct link_net *net = arg;
	struct link *link = NULL;
	uint32_t stream = 0;

	if (!is_too_much(net))
		return;
	if (net->receive_budget.was_relieved) { /* and again too much */
		link_feel_pressure(net);
		return;
	}
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]) && link == NULL;
	     i++) {
		link = heaviest(net, order[i], &stream);
		if (link != NULL)
			shed(link, stream, order[i]);
	}
	if (link != NULL && is_too_much(net))
		loop_timer_set(net->relief, NEXT_MS);
	else
		link_feel_pressure(net);
}

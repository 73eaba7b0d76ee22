#include "common/log.h"
#include "server/fleet/fleet_private.h"

#include <stdio.h>
#include <time.h>

/*
 * Which of a target's routes is taken first: in the operator's order, but those
 * last that are known to be down, and before them those that lead through what
 * is being drained, or comes and goes.  A relay that is drained is left by
 * what can go another way.
 */

static uint64_t now_ms(const struct fleet *f)
{
	return loop_now_us(f->parts.loop) / 1000;
}

/* "12:03:10Z" of a time on the loop's clock. */
static void clock_text(
    const struct fleet *f, uint64_t at_ms, char *out, size_t size)
{
	time_t at = (time_t)((fleet_wall_ms() + at_ms - now_ms(f)) / 1000);
	struct tm tm;

	if (gmtime_r(&at, &tm) == NULL ||
	    strftime(out, size, "%H:%M:%SZ", &tm) == 0)
		(void)snprintf(out, size, "?");
}

static bool is_flapping(
    const struct station *t, const struct flap *flap, struct fault *why)
{
	uint64_t until = flap_until(flap, now_ms(t->fleet));
	char text[16];

	if (until == 0)
		return false;
	clock_text(t->fleet, until, text, sizeof(text));
	fault_set(why,
	    t->role == ROLE_RELAY ? REASON_RELAY_DOWN : REASON_AGENT_DOWN,
	    t->fleet->at,
	    "%s: comes and goes (%u times within %u s); not preferred until "
	    "%s",
	    t->name, t->fleet->settings->flap.falls,
	    t->fleet->settings->flap.window_ms / 1000, text);
	return true;
}

static bool is_leaving(const struct station *relay, struct fault *why)
{
	if (!relay->draining && !relay->leaving)
		return false;
	fault_set(why, REASON_DRAINING, relay->fleet->at, "%s: %s", relay->name,
	    relay->leaving ? "is stopping"
			   : "is drained by an operator; to use it again: "
			     "longarm relay resume");
	return true;
}

/* Do both begin with the same relays, count of them? */
static bool begins_alike(
    const struct path *a, const struct path *b, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(a->names[i], b->names[i]) != 0)
			return false;
	}
	return true;
}

/* The relay is number i of the path.  Is it known not to be reached from the
 * one before it? */
static bool hop_is_down(
    const struct station *relay, const struct path *path, size_t i)
{
	for (size_t k = 0; k < relay->route_total; k++) {
		if (relay->routes[k].path.count == i &&
		    begins_alike(&relay->routes[k].path, path, i))
			return relay->route_states[k].state == ROUTE_DOWN;
	}
	return false;
}

static enum route_rank worse(enum route_rank a, enum route_rank b)
{
	return a > b ? a : b;
}

static enum route_rank rank_hop(const struct station *t,
    const struct path *path, size_t i, struct fault *why)
{
	const struct station *relay =
	    station_find(t->fleet, ROLE_RELAY, path->names[i]);

	if (relay == NULL)
		return RANK_GOOD;
	if (relay->hold[0] != '\0' || hop_is_down(relay, path, i))
		return RANK_DOWN;
	return is_leaving(relay, why) || is_flapping(relay, &relay->flap, why)
	           ? RANK_AVOID
	           : RANK_GOOD;
}

enum route_rank station_route_rank(
    const struct station *t, size_t route, struct fault *why)
{
	const struct path *path = &t->routes[route].path;
	enum route_rank rank = RANK_GOOD;
	struct fault unused;

	if (why == NULL)
		why = &unused;
	fault_clear(why);
	if (t->route_states[route].state == ROUTE_DOWN)
		return RANK_DOWN;
	for (size_t i = 0; i < path->count; i++)
		rank = worse(rank, rank_hop(t, path, i, why));
	if (rank == RANK_GOOD &&
	    is_flapping(t, &t->route_states[route].flap, why))
		rank = RANK_AVOID;
	return rank;
}

void station_fell(struct station *t, struct flap *flap)
{
	bool was = flap_until(flap, now_ms(t->fleet)) != 0;
	struct fault why;

	if (t->fleet->stopping)
		return;
	flap_fell(flap, &t->fleet->settings->flap, now_ms(t->fleet));
	if (!was && is_flapping(t, flap, &why))
		log_warn("fleet", t->name, "%s", why.text);
}

/* --- Away from a relay -----------------------------------------------------
 */

static bool leads_through(
    const struct station *t, size_t route, const char *relay)
{
	return route < t->route_total &&
	       path_has(&t->routes[route].path, relay);
}

bool station_best_route(const struct station *t, size_t *out)
{
	for (size_t i = 0; i < t->route_count; i++) {
		if (t->route_states[i].state != ROUTE_UP ||
		    station_linked(t, i) == NULL ||
		    station_route_rank(t, i, NULL) != RANK_GOOD)
			continue;
		*out = i;
		return true;
	}
	return false;
}

static bool has_better(const struct station *t)
{
	size_t best;

	return station_best_route(t, &best);
}

static unsigned move_all(struct station *t, const char *relay)
{
	unsigned moved = 0;
	struct way *w;

	TAILQ_FOREACH(w, &t->ways, of_station)
	{
		if (w->state == WAY_CLOSED || w->state == WAY_FAILED ||
		    w->kind->ops.move == NULL ||
		    !leads_through(t, w->route, relay))
			continue;
		w->kind->ops.move(w, has_better(t));
		moved++;
	}
	return moved;
}

void station_leave(struct station *relay)
{
	struct station *t;
	struct fault why;
	unsigned moved = 0;

	if (!is_leaving(relay, &why))
		return;
	TAILQ_FOREACH(t, &relay->fleet->stations, all)
	moved += move_all(t, relay->id);
	log_info("fleet", relay->name, "%s (%u streams)", why.text, moved);
}

size_t station_streams(const struct station *relay)
{
	const struct station *t;
	const struct way *w;
	size_t count = 0;

	TAILQ_FOREACH(t, &relay->fleet->stations, all)
	{
		TAILQ_FOREACH(w, &t->ways, of_station)
		{
			if (w->state != WAY_CLOSED && w->state != WAY_FAILED &&
			    leads_through(t, w->route, relay->id))
				count++;
		}
	}
	return count;
}

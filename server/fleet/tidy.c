#include "common/log.h"
#include "server/fleet/fleet_private.h"

/*
 * Open ways that would go better otherwise: on a link that a newer one has
 * replaced, here or further on, or by a route that is not the preferred one any
 * more.  The first kind moves soon; the second when the better route has been
 * good for as long as what comes and goes must be quiet (flap.stable_ms).  They
 * move as when a relay is drained: what runs goes on where it was.  Never many
 * at a time, since each costs a handshake.
 */

#define TIDY_MS 1000
/* In one round: a fleet of 10,000 takes some minutes. */
#define TIDY_MOVES 50
/* A better route that keeps nobody is tried ever less often. */
#define TIDY_WAIT_MAX_MS (3600 * 1000ULL)

static uint64_t now_ms(const struct fleet *f)
{
	return loop_now_us(f->parts.loop) / 1000;
}

static bool is_open(const struct way *w)
{
	return w->state == WAY_READY && w->kind->ops.move != NULL;
}

static bool may_move(const struct way *w)
{
	return w->kind->ops.is_busy == NULL || !w->kind->ops.is_busy(w);
}

/* Has a hop of its route got another link since it was opened? */
static bool was_relinked(const struct way *w)
{
	const struct station *t = w->station;
	const struct path *path = &t->routes[w->route].path;

	if (path->count > 0 && t->relinked_us > w->opened_us)
		return true;
	for (size_t i = 1; i < path->count; i++) {
		const struct station *relay =
		    station_find(t->fleet, ROLE_RELAY, path->names[i]);

		if (relay != NULL && relay->relinked_us > w->opened_us)
			return true;
	}
	return false;
}

static bool is_on_old_link(const struct way *w)
{
	const struct station *t = w->station;
	const struct link *now;

	if (w->route >= t->route_total)
		return false;
	now = station_linked(t, w->route);
	return now != NULL && (now != seal_link(w->seal) || was_relinked(w));
}

/* best: a route's number. */
static bool is_worse(const struct way *w, size_t best)
{
	const struct station *t = w->station;

	if (w->route == best)
		return false;
	return w->route > best ||
	       station_route_rank(t, w->route, NULL) != RANK_GOOD;
}

static bool move(struct way *w)
{
	if (!may_move(w))
		return false;
	w->kind->ops.move(w, true);
	return true;
}

static unsigned leave_old_links(struct station *t)
{
	unsigned moved = 0;
	struct way *w;

	TAILQ_FOREACH(w, &t->ways, of_station)
	{
		if (is_open(w) && is_on_old_link(w) && move(w))
			moved++;
	}
	return moved;
}

struct found {
	unsigned worse, best; /* open ways that go by which route */
};

static struct found look(const struct station *t, size_t best)
{
	struct found found = { .worse = 0 };
	const struct way *w;

	TAILQ_FOREACH(w, &t->ways, of_station)
	{
		if (is_open(w) && is_worse(w, best))
			found.worse++;
		else if (is_open(w))
			found.best++;
	}
	return found;
}

/* Has the better route been good for long enough? */
static bool is_time(struct station *t)
{
	uint64_t now = now_ms(t->fleet);

	if (t->better_ms == 0)
		t->better_ms = now;
	if (t->better_wait_ms == 0)
		t->better_wait_ms = t->fleet->settings->flap.stable_ms;
	return now - t->better_ms >= t->better_wait_ms;
}

static unsigned take_better(struct station *t, size_t best)
{
	unsigned moved = 0;
	struct way *w;

	TAILQ_FOREACH(w, &t->ways, of_station)
	{
		if (is_open(w) && is_worse(w, best) && move(w))
			moved++;
	}
	if (moved == 0)
		return 0;
	log_info(
	    "fleet", t->name, "%u streams go back to a preferred route", moved);
	t->better_ms = 0;
	t->better_wait_ms *= 2;
	if (t->better_wait_ms > TIDY_WAIT_MAX_MS)
		t->better_wait_ms = TIDY_WAIT_MAX_MS;
	return moved;
}

static unsigned tidy(struct station *t)
{
	unsigned moved = leave_old_links(t);
	struct found found = { .worse = 0 };
	size_t best;

	if (station_best_route(t, &best))
		found = look(t, best);
	if (found.worse > 0)
		return moved + (is_time(t) ? take_better(t, best) : 0);
	t->better_ms = 0;
	if (found.best > 0)
		t->better_wait_ms = 0;
	return moved;
}

void fleet_tidy(void *fleet)
{
	struct fleet *f = fleet;
	struct station *t;
	unsigned moved = 0;

	TAILQ_FOREACH(t, &f->stations, all)
	{
		if (!TAILQ_EMPTY(&t->ways) && moved < TIDY_MOVES)
			moved += tidy(t);
	}
	loop_timer_set(f->tidy, TIDY_MS);
}

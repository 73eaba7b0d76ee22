#include "server/fleet/fleet_private.h"

#include <stdio.h>
#include <string.h>

/* The route that a seal goes by now, and its round trip. */
static void view_way(
    const struct way *way, char route[PATH_SIZE], uint32_t *rtt_us)
{
	struct path path;

	if (way == NULL || !way_path(way, &path))
		return;
	path_format(&path, route);
	*rtt_us = way_rtt_us(way);
}

enum rc fleet_machine_state(
    const struct fleet *f, const char *machine, struct fleet_machine_state *out)
{
	const struct station *t = station_find(f, ROLE_TENTACLE, machine);
	const struct way *way;

	if (t == NULL)
		return RC_NOTFOUND;
	*out = (struct fleet_machine_state){
		.presence = t->presence,
		.last_seen_ms = t->presence == STORE_PRESENCE_ONLINE
		                    ? fleet_wall_ms()
		                    : t->last_seen_ms,
		.asks = standing_asks(t),
		.fault = t->fault,
	};
	memcpy(out->name, t->name, sizeof(out->name));
	memcpy(out->version, t->version, sizeof(out->version));
	memcpy(out->hold, t->hold, sizeof(out->hold));
	way = standing_way(t);
	view_way(way, out->route, &out->rtt_us);
	return RC_OK;
}

enum rc fleet_relay_state(
    const struct fleet *f, const char *relay, struct fleet_relay_state *out)
{
	const struct station *t = station_find(f, ROLE_RELAY, relay);

	if (t == NULL)
		return RC_NOTFOUND;
	*out = (struct fleet_relay_state){
		.presence = t->presence,
		.linked = t->link != NULL,
		.last_seen_ms = t->presence == STORE_PRESENCE_ONLINE
		                    ? fleet_wall_ms()
		                    : t->last_seen_ms,
		.table_seq = control_acked_seq(t->control),
		.table_want = f->route_seq,
		.fault = t->fault,
	};
	memcpy(out->version, t->version, sizeof(out->version));
	view_way(control_way(t->control), out->route, &out->rtt_us);
	return RC_OK;
}

size_t fleet_relay_streams(const struct fleet *f, const char *relay)
{
	const struct station *t = station_find(f, ROLE_RELAY, relay);

	return t != NULL ? station_streams(t) : 0;
}

/* --- Routes in words -------------------------------------------------------
 */

static const char *state_word(enum route_state state)
{
	switch (state) {
	case ROUTE_UP:
		return "up";
	case ROUTE_DOWN:
		return "down";
	case ROUTE_UNKNOWN:
		break;
	}
	return "unknown";
}

static MUST_CHECK enum rc explain_hop(
    const struct fleet *f, const char *name, struct buf *out)
{
	const struct station *relay = station_find(f, ROLE_RELAY, name);
	enum rc rc;

	if (relay == NULL)
		return buf_printf(out, "     relay %s: does not exist\n", name);
	rc = buf_printf(out, "     relay %s: %s", name,
	    store_presence_name(relay->presence));
	if (rc == RC_OK && relay->link != NULL)
		rc = buf_printf(out, ", linked from %s, rtt %u us",
		    link_address(relay->link), link_rtt_us(relay->link));
	if (rc == RC_OK && relay->fault.text[0] != '\0')
		rc = buf_printf(out, " (%s)", relay->fault.text);
	return rc == RC_OK ? buf_printf(out, "\n") : rc;
}

static MUST_CHECK enum rc explain_route(
    const struct station *t, size_t i, struct buf *out)
{
	const struct fleet_route *route = &t->routes[i];
	const struct way *way = standing_way(t);
	struct fault avoid;
	char path[PATH_SIZE];
	enum rc rc;

	path_format(&route->path, path);
	rc = buf_printf(out, "  %zu. %s, %s%s: %s%s", i + 1, path,
	    route->endpoint[0] != '\0' ? "dialled at " : "it dials",
	    route->endpoint, state_word(t->route_states[i].state),
	    way != NULL && way->route == i ? ", in use" : "");
	if (rc == RC_OK && t->route_states[i].fault.text[0] != '\0')
		rc = buf_printf(out, " (%s)", t->route_states[i].fault.text);
	if (rc == RC_OK && station_route_rank(t, i, &avoid) == RANK_AVOID)
		rc = buf_printf(out, ", not preferred (%s)", avoid.text);
	if (rc == RC_OK)
		rc = buf_printf(out, "\n");
	for (size_t k = 0; k < route->path.count && rc == RC_OK; k++)
		rc = explain_hop(t->fleet, route->path.names[k], out);
	return rc;
}

enum rc fleet_explain(
    const struct fleet *f, const char *machine, struct buf *out)
{
	const struct station *t = station_find(f, ROLE_TENTACLE, machine);
	struct fault held;
	enum rc rc;

	if (t == NULL)
		return RC_NOTFOUND;
	rc = buf_printf(
	    out, "%s: %s\n", t->name, store_presence_name(t->presence));
	if (rc == RC_OK && station_is_held(t, &held))
		rc = buf_printf(out, "  %s\n", held.text);
	if (rc == RC_OK && t->route_count == 0)
		rc = buf_printf(out, "  it has no route\n");
	for (size_t i = 0; i < t->route_count && rc == RC_OK; i++)
		rc = explain_route(t, i, out);
	return rc;
}

void fleet_machine_hop(
    const struct fleet *f, const char *machine, char out[NAME_SIZE])
{
	const struct station *t = station_find(f, ROLE_TENTACLE, machine);
	enum route_rank rank, best = RANK_COUNT;
	size_t route = 0;

	out[0] = '\0';
	if (t == NULL || t->route_count == 0)
		return;
	for (size_t i = 0; i < t->route_count; i++) {
		rank = station_route_rank(t, i, NULL);
		if (rank >= best)
			continue;
		best = rank;
		route = i;
	}
	if (t->routes[route].path.count > 0)
		memcpy(out, t->routes[route].path.names[0], NAME_SIZE);
}

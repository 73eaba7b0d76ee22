#include "server/fleet/slices.h"

#include <stdio.h>
#include <string.h>

/* Where the relay stands in the path; count: it is not in it. */
static size_t position(const struct path *path, const char *relay)
{
	size_t i = 0;

	while (i < path->count && strcmp(path->names[i], relay) != 0)
		i++;
	return i;
}

/* How the route goes on behind its relay number i. */
static void go_on(
    const struct fleet_route *route, size_t i, struct msg_table_entry *m)
{
	if (i + 1 < route->path.count) {
		m->how = ROUTE_VIA;
		(void)snprintf(
		    m->via, sizeof(m->via), "%s", route->path.names[i + 1]);
	} else if (route->endpoint[0] != '\0') {
		m->how = ROUTE_DIAL;
		(void)snprintf(
		    m->endpoint, sizeof(m->endpoint), "%s", route->endpoint);
	} else {
		m->how = ROUTE_DIALS_ME;
	}
}

static bool goes_on_alike(
    const struct msg_table_entry *a, const struct msg_table_entry *b)
{
	return a->how == b->how && strcmp(a->via, b->via) == 0 &&
	       strcmp(a->endpoint, b->endpoint) == 0;
}

static void add_from(
    struct slice_entry *e, enum peer_role role, const char *name)
{
	for (size_t i = 0; i < e->entry.from_count; i++) {
		if (e->from[i].role == role &&
		    strcmp(e->from[i].name, name) == 0)
			return;
	}
	/* Never full: a target has at most 8 routes, each adds one. */
	if (e->entry.from_count == TABLE_FROM_MAX)
		return;
	e->from[e->entry.from_count].role = role;
	(void)snprintf(e->from[e->entry.from_count].name,
	    sizeof(e->from[0].name), "%s", name);
	e->entry.from_count++;
}

bool slice_make(const struct slice_target *target, const char *relay,
    const char *node, struct slice_entry *out)
{
	struct msg_table_entry *m = &out->entry;

	memset(out, 0, sizeof(*out));
	m->from = out->from;
	m->seq = target->seq;
	(void)snprintf(m->target, sizeof(m->target), "%s", target->text);
	for (size_t i = 0; i < target->route_count; i++) {
		const struct fleet_route *route = &target->routes[i];
		size_t at = position(&route->path, relay);
		struct msg_table_entry this = { .gone = false };

		if (at == route->path.count)
			continue;
		go_on(route, at, &this);
		if (m->from_count == 0) {
			m->how = this.how;
			memcpy(m->via, this.via, sizeof(m->via));
			memcpy(m->endpoint, this.endpoint, sizeof(m->endpoint));
		} else if (!goes_on_alike(m, &this)) {
			continue;
		}
		if (at == 0)
			add_from(out, ROLE_SERVER, node);
		else
			add_from(out, ROLE_RELAY, route->path.names[at - 1]);
	}
	m->gone = m->from_count == 0;
	if (!m->gone)
		(void)snprintf(m->name, sizeof(m->name), "%s", target->name);
	return !m->gone;
}

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

/* One list of neighbours, each once. */
static void add_to(struct msg_neighbour *list, size_t *count, size_t most,
    enum peer_role role, const char *name)
{
	for (size_t i = 0; i < *count; i++) {
		if (list[i].role == role && strcmp(list[i].name, name) == 0)
			return;
	}
	/* Never: a target has at most 8 routes, and 8 that it leaves. */
	if (*count == most)
		return;
	list[*count].role = role;
	(void)snprintf(
	    list[*count].name, sizeof(list[*count].name), "%s", name);
	(*count)++;
}

/* The relay's own link to the target; false: there is another one already. */
static bool take_link(
    struct msg_table_entry *m, const struct msg_table_entry *this, bool *linked)
{
	if (*linked)
		return m->how == this->how &&
		       strcmp(m->endpoint, this->endpoint) == 0;
	*linked = true;
	m->how = this->how;
	memcpy(m->endpoint, this->endpoint, sizeof(m->endpoint));
	return true;
}

/* No link of its own: the relay that comes next in the first route. */
static void take_via(struct slice_entry *e)
{
	struct msg_table_entry *m = &e->entry;

	m->how = ROUTE_VIA;
	memcpy(m->via, e->also[0].name, sizeof(m->via));
	m->also_count--;
	memmove(e->also, e->also + 1, m->also_count * sizeof(*e->also));
}

bool slice_make(const struct slice_target *target, const char *relay,
    const char *node, struct slice_entry *out)
{
	struct msg_table_entry *m = &out->entry;
	bool linked = false;

	memset(out, 0, sizeof(*out));
	m->from = out->from;
	m->also = out->also;
	m->seq = target->seq;
	(void)snprintf(m->target, sizeof(m->target), "%s", target->text);
	for (size_t i = 0; i < target->route_count; i++) {
		const struct fleet_route *route = &target->routes[i];
		size_t at = position(&route->path, relay);
		struct msg_table_entry this = { .gone = false };

		if (at == route->path.count)
			continue;
		go_on(route, at, &this);
		if (this.how == ROUTE_VIA)
			add_to(out->also, &m->also_count, TABLE_ALSO_MAX,
			    ROLE_RELAY, this.via);
		else if (!take_link(m, &this, &linked))
			continue;
		add_to(out->from, &m->from_count, TABLE_FROM_MAX,
		    at == 0 ? ROLE_SERVER : ROLE_RELAY,
		    at == 0 ? node : route->path.names[at - 1]);
	}
	if (!linked && m->also_count > 0)
		take_via(out);
	m->gone = m->from_count == 0;
	if (!m->gone)
		(void)snprintf(m->name, sizeof(m->name), "%s", target->name);
	return !m->gone;
}

#include "common/log.h"
#include "server/fleet/fleet_private.h"

#include <stdio.h>
#include <string.h>

/* --- Links -----------------------------------------------------------------
 */

static void set_direct_state(
    struct station *t, enum route_state state, const struct fault *fault)
{
	for (size_t i = 0; i < t->route_total; i++) {
		if (t->routes[i].path.count == 0)
			station_route_state(t, i, state, fault);
	}
	station_judge(t);
}

void station_link_up(struct station *t, struct link *link)
{
	const struct msg_instance *instance = &link_hello(link)->instance;
	struct link *old = t->link;
	bool sibling = link_is_beside(link) &&
	               t->link_instance.start == instance->start &&
	               strcmp(t->link_instance.nonce, instance->nonce) == 0;
	struct fault fault;

	t->link = link;
	t->link_instance = *instance;
	link_set_data(link, t);
	if (old != NULL) {
		/* The newest wins: the old one may be half open, unless they
		 * are siblings. */
		link_set_data(old, NULL);
		fault_set(&fault, REASON_RELAY_DOWN, t->fleet->at,
		    "%s: replaced by a newer link", t->name);
		if (!sibling)
			link_close(old, &fault);
	}
	log_info_with("fleet", t->name,
	    LOG_FIELDS(LOG_TEXT("role", role_name(t->role)),
		LOG_TEXT("address", link_address(link))),
	    "connected");
	set_direct_state(t, ROUTE_UP, NULL);
	upkeep_saw_instance(t, instance->start, instance->nonce);
	if (t->role == ROLE_RELAY)
		controls_kick(t->fleet, t->id);
}

void station_link_down(
    struct station *t, struct link *link, const struct fault *fault)
{
	struct fault named;

	if (t->link != link)
		return;
	t->link = NULL;
	station_name_fault(t, fault, &named);
	log_info("fleet", t->name, "disconnected: %s", named.text);
	set_direct_state(t, ROUTE_DOWN, &named);
}

static void on_dial_failed(void *arg, struct dialler *d)
{
	struct station *t = arg;
	struct fault named;

	if (t->fleet->stopping || t->link != NULL)
		return;
	station_name_fault(t, dial_fault(d), &named);
	set_direct_state(t, ROUTE_DOWN, &named);
}

/* The endpoint to dial: of its direct route; "": none. */
static const char *wanted_endpoint(const struct station *t)
{
	for (size_t i = 0; i < t->route_total; i++) {
		if (t->routes[i].path.count == 0)
			return t->routes[i].endpoint;
	}
	return "";
}

static void close_unwanted_link(struct station *t)
{
	struct link *link = t->link;
	struct fault fault;

	if (link == NULL || station_is_direct(t))
		return;
	t->link = NULL;
	link_set_data(link, NULL);
	fault_set(&fault, REASON_NO_ROUTE, t->fleet->at,
	    "%s: has no direct route any more", t->name);
	link_close(link, &fault);
}

void station_dial(struct station *t)
{
	const char *wanted = wanted_endpoint(t);
	struct endpoint endpoint;
	struct fault fault;
	struct dial_spec spec = {
		.label = t->name,
		.expect = { .roles = TRUST_ROLE(t->role), .name = t->id },
		.endpoints = &endpoint,
		.count = 1,
		.changed = on_dial_failed,
		.arg = t,
	};

	close_unwanted_link(t);
	if (strcmp(wanted, t->dialled) == 0)
		return;
	fault_set(&fault, REASON_DRAINING, t->fleet->at,
	    "%s: its address changed", t->name);
	dial_free(t->dialler, &fault);
	t->dialler = NULL;
	(void)snprintf(t->dialled, sizeof(t->dialled), "%s", wanted);
	if (wanted[0] == '\0' ||
	    endpoint_parse(wanted, 0, &endpoint, &fault) != RC_OK)
		return;
	if (dial_new(t->fleet->net, &spec, &t->dialler) != RC_OK)
		log_error("fleet", t->name, "cannot dial: out of memory");
}

/* --- Routes ----------------------------------------------------------------
 */

static struct link *direct_link(
    const struct station *t, size_t route, struct fault *fault)
{
	const struct fault *known = &t->route_states[route].fault;

	if (t->link != NULL && link_is_up(t->link))
		return t->link;
	if (t->dialler != NULL)
		dial_now(t->dialler);
	if (known->code != REASON_NONE)
		*fault = *known;
	else
		fault_set(fault,
		    t->role == ROLE_RELAY ? REASON_RELAY_DOWN
					  : REASON_AGENT_DOWN,
		    t->fleet->at, "%s: %s", t->name,
		    t->dialler != NULL
			? "not connected yet"
			: "it dials this server, and has not done so yet");
	return NULL;
}

struct link *station_linked(const struct station *t, size_t route)
{
	const struct path *path = &t->routes[route].path;
	const struct station *first = t;

	if (path->count > 0)
		first = station_find(t->fleet, ROLE_RELAY, path->names[0]);
	return first != NULL && first->link != NULL && link_is_up(first->link)
	           ? first->link
	           : NULL;
}

struct link *station_route_link(
    const struct station *t, size_t route, struct fault *fault)
{
	const struct path *path = &t->routes[route].path;
	const struct station *relay;

	if (path->count == 0)
		return direct_link(t, route, fault);
	relay = station_find(t->fleet, ROLE_RELAY, path->names[0]);
	if (relay == NULL) {
		fault_set(fault, REASON_NO_ROUTE, t->fleet->at,
		    "%s: there is no relay %s", t->name, path->names[0]);
		return NULL;
	}
	if (station_is_held(relay, fault))
		return NULL;
	if (relay->link != NULL && link_is_up(relay->link))
		return relay->link;
	if (relay->dialler != NULL)
		dial_now(relay->dialler);
	fault_set(fault,
	    relay->fault.code == REASON_DRAINING ? REASON_DRAINING
						 : REASON_RELAY_DOWN,
	    t->fleet->at, "%s: relay %s is not connected%s%s", t->name,
	    relay->name, relay->fault.text[0] != '\0' ? ": " : "",
	    relay->fault.text);
	return NULL;
}

/* --- Do those on the way know? ---------------------------------------------
 */

enum knows {
	KNOW_ALL,
	KNOW_SOON,
	KNOW_AWAY
};

/* Have all relays of the route confirmed it?  One that is away hears of it
 * when it is back. */
static enum knows relays_of(
    const struct station *t, const struct path *path, uint64_t mark)
{
	enum knows all = KNOW_ALL;

	for (size_t k = 0; k < path->count; k++) {
		const struct station *relay =
		    station_find(t->fleet, ROLE_RELAY, path->names[k]);

		if (relay == NULL || control_has(relay->control, mark))
			continue;
		if (!control_is_open(relay->control))
			return KNOW_AWAY;
		all = KNOW_SOON;
	}
	return all;
}

/* By one route at least, and by all whose relays are there. */
bool station_is_told(const struct station *t, uint64_t mark)
{
	bool any = t->route_count == 0;

	for (size_t i = 0; i < t->route_count; i++) {
		enum knows know = relays_of(t, &t->routes[i].path, mark);

		if (know == KNOW_SOON)
			return false;
		any = any || know == KNOW_ALL;
	}
	return any;
}

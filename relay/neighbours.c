#include "relay/relay.h"

#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct neighbour *neighbour_find(
    const struct relay *r, enum peer_role role, const char *name)
{
	struct neighbour *n;

	TAILQ_FOREACH(n, &r->neighbours, all)
	{
		if (n->role == role && strcmp(n->name, name) == 0)
			return n;
	}
	return NULL;
}

struct neighbour *neighbour_get(
    struct relay *r, enum peer_role role, const char *name)
{
	struct neighbour *n = neighbour_find(r, role, name);

	if (n != NULL)
		return n;
	n = calloc(1, sizeof(*n));
	if (n == NULL)
		return NULL;
	n->relay = r;
	n->role = role;
	(void)snprintf(n->name, sizeof(n->name), "%s", name);
	(void)snprintf(n->label, sizeof(n->label), "%s", name);
	TAILQ_INSERT_TAIL(&r->neighbours, n, all);
	return n;
}

void neighbour_link_up(
    struct neighbour *n, struct link *link, const struct msg_hello *hello)
{
	struct fault fault;
	struct link *old = n->link;

	if (old != NULL && n->start > hello->instance.start) {
		fault_set(&fault, REASON_CLONE, relay_name(n->relay),
		    "%s: a newer instance is connected", n->label);
		link_close(link, &fault);
		return;
	}
	n->link = link;
	n->start = hello->instance.start;
	link_set_data(link, n);
	if (old != NULL) {
		/* The newest wins: the old one may be half open. */
		link_set_data(old, NULL);
		fault_set(&fault, REASON_RELAY_DOWN, relay_name(n->relay),
		    "%s: replaced by a newer link", n->label);
		link_close(old, &fault);
	}
	log_info_with("relay", n->label,
	    LOG_FIELDS(LOG_TEXT("role", role_name(n->role)),
		LOG_TEXT("address", link_address(link))),
	    "connected");
	controls_presence(n->relay, n);
}

void neighbour_link_down(
    struct neighbour *n, struct link *link, const struct fault *fault)
{
	if (n->link != link)
		return;
	n->link = NULL;
	n->fault = *fault;
	log_info("relay", n->label, "disconnected: %s", fault->text);
	controls_presence(n->relay, n);
}

static void on_dial_failed(void *arg, struct dialler *d)
{
	struct neighbour *n = arg;

	n->fault = *dial_fault(d);
	controls_presence(n->relay, n);
}

void neighbour_dial(struct neighbour *n, const struct endpoint *endpoint)
{
	struct fault fault;
	struct dial_spec spec = {
		.label = n->label,
		.expect = { .roles = TRUST_ROLE(n->role), .name = n->name },
		.endpoints = endpoint,
		.count = 1,
		.changed = on_dial_failed,
		.arg = n,
	};

	if (n->dialler != NULL && endpoint != NULL &&
	    strcmp(endpoint->host, n->endpoint.host) == 0 &&
	    endpoint->port == n->endpoint.port)
		return;
	fault_set(&fault, REASON_DRAINING, relay_name(n->relay),
	    "%s: its address changed", n->label);
	dial_free(n->dialler, &fault);
	n->dialler = NULL;
	if (endpoint == NULL)
		return;
	n->endpoint = *endpoint;
	if (dial_new(n->relay->net, &spec, &n->dialler) != RC_OK)
		log_error("relay", n->label, "cannot dial: out of memory");
}

void neighbour_free(struct neighbour *n, const struct fault *fault)
{
	struct relay *r = n->relay;

	dial_free(n->dialler, fault);
	n->dialler = NULL;
	if (n->link != NULL) {
		struct link *link = n->link;

		link_set_data(link, NULL);
		n->link = NULL;
		link_close(link, fault);
	}
	TAILQ_REMOVE(&r->neighbours, n, all);
	free(n);
}

void neighbours_follow_table(struct relay *r)
{
	struct table_entry *e;

	for (size_t i = 0; (e = table_at(r->table, i)) != NULL; i++) {
		enum peer_role role = e->target.kind == TARGET_MACHINE
		                          ? ROLE_TENTACLE
		                          : ROLE_RELAY;
		struct neighbour *n;

		if (e->how == ROUTE_VIA)
			continue;
		n = neighbour_get(r, role, e->target.name);
		if (n == NULL)
			return;
		(void)snprintf(n->label, sizeof(n->label), "%s", e->name);
		e->owner = n;
		neighbour_dial(n, e->how == ROUTE_DIAL ? &e->endpoint : NULL);
	}
}

void neighbours_follow_peers(struct relay *r)
{
	const struct member *m = r->member;

	for (size_t i = 0; i < m->peer_count; i++) {
		const struct msg_peer *p = &m->peers[i];
		struct endpoint endpoint;
		struct neighbour *n = neighbour_get(r, p->role, p->name);
		struct fault fault;

		if (n == NULL)
			return;
		if (p->endpoint[0] != '\0' && r->settings->dials_up &&
		    endpoint_parse(p->endpoint, 0, &endpoint, &fault) == RC_OK)
			neighbour_dial(n, &endpoint);
	}
}

void neighbour_fault(const struct neighbour *n, struct fault *out)
{
	bool machine = n->role == ROLE_TENTACLE;

	if (n->fault.code != REASON_NONE) {
		*out = n->fault;
		return;
	}
	fault_set(out, machine ? REASON_AGENT_DOWN : REASON_RELAY_DOWN,
	    relay_name(n->relay), "%s: %s", n->label,
	    n->dialler != NULL
		? "not connected yet"
		: "it dials this relay, and has not done so yet");
}

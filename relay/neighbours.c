#include "relay/relay.h"

#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void key_of(enum peer_role role, const char *name, char out[TARGET_SIZE])
{
	(void)snprintf(out, TARGET_SIZE, "%s/%s", role_name(role), name);
}

struct neighbour *neighbour_find(
    const struct relay *r, enum peer_role role, const char *name)
{
	char key[TARGET_SIZE];

	key_of(role, name, key);
	return (struct neighbour *)lookup_find(&r->neighbours_by_key, key);
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
	key_of(role, name, n->key);
	TAILQ_INSERT_TAIL(&r->neighbours, n, all);
	lookup_add(&r->neighbours_by_key, &n->item, n->key);
	return n;
}

void neighbour_link_up(
    struct neighbour *n, struct link *link, const struct msg_hello *hello)
{
	struct link *old = n->link;
	bool same = n->start == hello->instance.start &&
	            strcmp(n->nonce, hello->instance.nonce) == 0;
	struct fault fault;

	n->link = link;
	n->links++;
	n->start = hello->instance.start;
	memcpy(n->nonce, hello->instance.nonce, sizeof(n->nonce));
	if (n->role == ROLE_TENTACLE)
		link_set_label(link, n->label);
	link_set_data(link, n);
	if (old != NULL) {
		/* The newest wins: the old one may be half open, unless they
		 * are siblings. */
		link_set_data(old, NULL);
		fault_set(&fault, REASON_RELAY_DOWN, relay_name(n->relay),
		    "%s: replaced by a newer link", n->label);
		if (!same || !link_is_beside(link))
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
	char label[NAME_SIZE + 8];
	struct fault fault;
	struct dial_spec spec = {
		.label = n->role == ROLE_TENTACLE ? n->label : label,
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
	(void)snprintf(
	    label, sizeof(label), "%s %s", role_name(n->role), n->label);
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
	lookup_remove(&r->neighbours_by_key, &n->item);
	free(n);
}

void neighbour_unroute(struct relay *r, struct table_entry *e)
{
	struct neighbour *n = e->owner;
	struct fault fault;

	e->owner = NULL;
	if (n == NULL)
		return;
	fault_set(&fault, REASON_NO_ROUTE, relay_name(r),
	    "%s: its route through relay %s was removed", e->name,
	    relay_name(r));
	/* A relay may also be one of those that we joined through. */
	if (!member_has_peer(r->member, n->role, n->name))
		neighbour_free(n, &fault);
}

/* Where our peers say that it is dialled; false: not by us. */
static bool peer_endpoint(const struct neighbour *n, struct endpoint *out)
{
	const struct member *m = n->relay->member;
	struct fault fault;

	for (size_t i = 0; i < m->peer_count && n->relay->settings->dials_up;
	     i++) {
		const struct msg_peer *p = &m->peers[i];

		if (p->role == n->role && strcmp(p->name, n->name) == 0)
			return p->endpoint[0] != '\0' &&
			       endpoint_parse(p->endpoint, 0, out, &fault) ==
			           RC_OK;
	}
	return false;
}

static void follow_entry(struct neighbour *n, struct table_entry *e)
{
	struct endpoint endpoint;

	(void)snprintf(n->label, sizeof(n->label), "%s", e->name);
	e->owner = n;
	if (e->how == ROUTE_DIAL)
		neighbour_dial(n, &e->endpoint);
	else
		neighbour_dial(
		    n, peer_endpoint(n, &endpoint) ? &endpoint : NULL);
}

void neighbours_follow_table(struct relay *r)
{
	struct table_entry *e;

	while ((e = table_take_fresh(r->table)) != NULL) {
		enum peer_role role = e->target.kind == TARGET_MACHINE
		                          ? ROLE_TENTACLE
		                          : ROLE_RELAY;
		struct neighbour *n = e->owner;

		if (e->how == ROUTE_VIA) {
			neighbour_unroute(r, e);
			continue;
		}
		if (n == NULL)
			n = neighbour_get(r, role, e->target.name);
		if (n == NULL) {
			log_error("relay", e->name, "out of memory");
			return;
		}
		follow_entry(n, e);
	}
}

/* Does the table say that it is dialled? */
static bool is_dialled_by_table(const struct neighbour *n)
{
	struct target target = {
		.kind =
		    n->role == ROLE_TENTACLE ? TARGET_MACHINE : TARGET_RELAY,
	};
	const struct table_entry *e;

	memcpy(target.name, n->name, sizeof(target.name));
	e = n->role == ROLE_SERVER ? NULL
	                           : table_find(n->relay->table, &target);
	return e != NULL && e->how == ROUTE_DIAL;
}

void neighbours_follow_peers(struct relay *r)
{
	const struct member *m = r->member;
	struct endpoint endpoint;
	struct neighbour *n;

	for (size_t i = 0; i < m->peer_count; i++) {
		n = neighbour_get(r, m->peers[i].role, m->peers[i].name);
		if (n == NULL) {
			log_error("relay", m->peers[i].name, "out of memory");
			return;
		}
	}
	TAILQ_FOREACH(n, &r->neighbours, all)
	{
		if (is_dialled_by_table(n))
			continue;
		neighbour_dial(
		    n, peer_endpoint(n, &endpoint) ? &endpoint : NULL);
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

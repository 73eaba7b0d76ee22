#include "tentacle/agent.h"

#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static MUST_CHECK enum rc dial_peer(
    struct agent *a, const struct msg_peer *p, struct uplink **out)
{
	struct uplink *u;
	struct endpoint endpoint;
	struct fault fault;
	char label[NAME_SIZE + 8];
	struct dial_spec spec = {
		.label = label,
		.endpoints = &endpoint,
		.count = 1,
	};
	enum rc rc;

	*out = NULL;
	rc = endpoint_parse(p->endpoint, 0, &endpoint, &fault);
	if (rc != RC_OK)
		return RC_OK; /* it dials us, or nobody told where it is */
	u = calloc(1, sizeof(*u));
	if (u == NULL)
		return RC_NOMEM;
	u->peer = *p;
	(void)snprintf(
	    label, sizeof(label), "%s %s", role_name(p->role), p->name);
	spec.expect = (struct tls_expect){
		.roles = TRUST_ROLE(p->role),
		.name = u->peer.name,
	};
	rc = dial_new(a->net, &spec, &u->dialler);
	if (rc != RC_OK) {
		free(u);
		return rc;
	}
	TAILQ_INSERT_TAIL(&a->uplinks, u, all);
	*out = u;
	return RC_OK;
}

static struct uplink *find(const struct agent *a, const struct msg_peer *p)
{
	struct uplink *u;

	TAILQ_FOREACH(u, &a->uplinks, all)
	{
		if (u->peer.role == p->role &&
		    strcmp(u->peer.name, p->name) == 0 &&
		    strcmp(u->peer.endpoint, p->endpoint) == 0)
			return u;
	}
	return NULL;
}

/* What runs on its link may end; nothing new comes. */
static void leave(struct agent *a, struct uplink *u)
{
	struct link *link = dial_take_link(u->dialler);
	struct fault fault;

	fault_set(&fault, REASON_DRAINING, link_net_name(a->net),
	    "%s: is no peer of %s any more", u->peer.name, a->member->name);
	log_info("agent", u->peer.name, "no peer any more");
	if (link != NULL)
		link_drain(link, &fault);
	TAILQ_REMOVE(&a->uplinks, u, all);
	dial_free(u->dialler, &fault);
	free(u);
}

static void leave_unseen(struct agent *a)
{
	struct uplink *u, *next;

	for (u = TAILQ_FIRST(&a->uplinks); u != NULL; u = next) {
		next = TAILQ_NEXT(u, all);
		if (!u->seen)
			leave(a, u);
	}
}

void uplinks_follow(void *agent)
{
	struct agent *a = agent;
	const struct member *m = a->member;
	struct uplink *u;
	enum rc rc = RC_OK;

	TAILQ_FOREACH(u, &a->uplinks, all) u->seen = false;
	for (size_t i = 0; i < m->peer_count && a->settings->dials; i++) {
		u = find(a, &m->peers[i]);
		if (u == NULL)
			rc = dial_peer(a, &m->peers[i], &u);
		if (rc != RC_OK)
			log_error("agent", m->peers[i].name,
			    "cannot be dialled: %s", rc_name(rc));
		if (u != NULL)
			u->seen = true;
	}
	leave_unseen(a);
}

void uplinks_hurry(struct agent *a)
{
	struct uplink *u;

	TAILQ_FOREACH(u, &a->uplinks, all) dial_now(u->dialler);
}

void uplinks_free(struct agent *a, const struct fault *fault)
{
	struct uplink *u, *next;

	for (u = TAILQ_FIRST(&a->uplinks); u != NULL; u = next) {
		next = TAILQ_NEXT(u, all);
		TAILQ_REMOVE(&a->uplinks, u, all);
		dial_free(u->dialler, fault);
		free(u);
	}
}

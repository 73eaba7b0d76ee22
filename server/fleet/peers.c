#include "common/log.h"
#include "proto/message_control.h"
#include "server/fleet/fleet_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A relay or machine is told whom it may accept, and whom it dials: its last
 * hops, as its routes say.  It keeps the list on its disk, so this is told once
 * in this server's life when there is a seal anyway, and at once when an
 * operator has changed something.
 */

static struct msg_peer *peer_named(struct msg_peer *peers, size_t *count,
    enum peer_role role, const char *name)
{
	struct msg_peer *peer;

	for (size_t i = 0; i < *count; i++) {
		if (peers[i].role == role && strcmp(peers[i].name, name) == 0)
			return &peers[i];
	}
	peer = &peers[(*count)++];
	*peer = (struct msg_peer){ .role = role };
	(void)snprintf(peer->name, sizeof(peer->name), "%s", name);
	return peer;
}

size_t peers_of(const struct station *t, struct msg_peer *peers)
{
	const struct fleet *f = t->fleet;
	size_t count = 0;

	/* Always: its seals are ours. */
	(void)peer_named(peers, &count, ROLE_SERVER, f->node);
	for (size_t i = 0; i < t->route_count; i++) {
		const char *hop = station_last_hop(t, i);
		const struct station *relay;
		struct msg_peer *peer;
		const char *address = f->settings->advertise;

		peer = hop == NULL ? &peers[0]
		                   : peer_named(peers, &count, ROLE_RELAY, hop);
		if (t->routes[i].endpoint[0] != '\0')
			continue; /* it is dialled */
		if (hop != NULL) {
			relay = station_find(f, ROLE_RELAY, hop);
			address = relay != NULL ? relay->listen : "";
		}
		peer->dial = true;
		(void)snprintf(
		    peer->endpoint, sizeof(peer->endpoint), "%s", address);
	}
	return count;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
	for (; *text != '\0'; text++)
		hash = (hash ^ (uint8_t)*text) * 1099511628211ULL; /* FNV-1a */
	return (hash ^ 0xff) * 1099511628211ULL;
}

/* Never 0. */
static uint64_t hash_of(const struct station *t)
{
	struct msg_peer peers[STORE_ROUTES_MAX + 1];
	size_t count = peers_of(t, peers);
	uint64_t hash = 14695981039346656037ULL;

	for (size_t i = 0; i < count; i++) {
		hash = hash_text(hash, role_name(peers[i].role));
		hash = hash_text(hash, peers[i].name);
		hash = hash_text(hash, peers[i].dial ? "dial" : "");
		hash = hash_text(hash, peers[i].endpoint);
	}
	return hash | 1;
}

static bool has_seal(const struct station *t)
{
	return t->role == ROLE_RELAY ? control_is_open(t->control)
	                             : standing_way(t) != NULL;
}

bool peers_are_due(const struct station *t)
{
	const struct station_upkeep *u = &t->upkeep;

	if (!has_seal(t) && !u->peers_changed && u->peers_told == 0)
		return false;
	return hash_of(t) != u->peers_told;
}

enum rc peers_encode(struct station *t, uint32_t id, struct packbuf *out)
{
	struct msg_peer peers[STORE_ROUTES_MAX + 1];
	const struct msg_peers m = {
		.id = id,
		.peers = peers,
		.peer_count = peers_of(t, peers),
	};

	t->upkeep.peers_sent = hash_of(t);
	return msg_peers_encode(&m, out);
}

void peers_enrolled(struct station *t)
{
	t->upkeep.peers_sent = hash_of(t);
	peers_told(t);
}

void peers_told(struct station *t)
{
	t->upkeep.peers_told = t->upkeep.peers_sent;
	t->upkeep.peers_changed = false;
	station_routes_told(t);
}

enum rc peers_answered(
    struct station *t, struct bytes message, struct fault *why)
{
	struct msg_peers_reply reply;
	enum rc rc = msg_peers_reply_decode(message, &reply, why);

	if (rc != RC_OK)
		return rc;
	if (reply.reply.fault.code != REASON_NONE) {
		*why = reply.reply.fault;
		rc = RC_DENIED;
	} else {
		peers_told(t);
		if (reply.undialled > 0)
			log_warn("fleet", t->name,
			    "nobody told it where to dial %u of its peers: "
			    "longarm relay set-listen RELAY HOST:PORT",
			    reply.undialled);
	}
	msg_peers_reply_clear(&reply);
	return rc;
}

/* --- Where a relay is dialled, as it says itself ---------------------------
 */

struct listen_job {
	struct fleet_job base;
	char relay[NAME_SIZE];
	char listen[ENDPOINT_SIZE];
};

static enum rc write_listen(struct db *db, struct store_job *job)
{
	const struct listen_job *l =
	    CONTAINER_OF(job, struct listen_job, base.job);

	return store_relay_set_listen(db, l->relay, l->listen, NULL);
}

static void drop_listen(struct fleet_job *job)
{
	free(CONTAINER_OF(job, struct listen_job, base));
}

static void wrote_listen(struct fleet_job *job, enum rc rc)
{
	const struct listen_job *l = CONTAINER_OF(job, struct listen_job, base);

	if (rc == RC_OK)
		fleet_changed(job->fleet, FLEET_RELAY, l->relay);
	else
		log_warn("fleet", l->relay, "its address is not noted: %s",
		    rc_name(rc));
	drop_listen(job);
}

void peers_greeted(struct station *relay, const char *listen)
{
	struct listen_job *l;

	if (listen[0] == '\0' || strcmp(listen, relay->listen) == 0)
		return;
	l = calloc(1, sizeof(*l));
	if (l == NULL)
		return;
	l->base.done = wrote_listen;
	l->base.drop = drop_listen;
	memcpy(l->relay, relay->id, sizeof(l->relay));
	(void)snprintf(l->listen, sizeof(l->listen), "%s", listen);
	log_info("fleet", relay->name, "is dialled at %s, it says", listen);
	if (fleet_submit(relay->fleet, &l->base, write_listen) != RC_OK)
		drop_listen(&l->base);
}

/* All that dial this relay, and perhaps somewhere else now. */
void peers_moved(struct station *relay)
{
	struct station *t;

	TAILQ_FOREACH(t, &relay->fleet->stations, all)
	{
		for (size_t i = 0; i < t->route_count; i++) {
			const char *hop = station_last_hop(t, i);

			if (hop == NULL || strcmp(hop, relay->id) != 0)
				continue;
			t->upkeep.peers_changed = true;
			upkeep_want(t);
			break;
		}
	}
}

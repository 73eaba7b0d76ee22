#include "relay/relay.h"

#include "common/log.h"

#include <stdio.h>
#include <string.h>

#define HOP_PART 16 /* of the time that is left */

/* The opener's trace id leads through the logs of all hops. */
void relay_refuse(struct link *link, uint32_t stream,
    const struct msg_open *open, const struct fault *fault)
{
	log_info_with("relay", open->trace,
	    LOG_FIELDS(LOG_TEXT("from", link_label(link)),
		LOG_TEXT("kind", kind_name(open->kind))),
	    "stream refused: %s", fault->text);
	link_reset(link, stream, fault, false);
}

/* --- Enrolment: upwards, unread ------------------------------------------ */

/* The first upstream that is up and was not passed yet. */
static struct neighbour *upstream(
    const struct relay *r, const struct path *passed)
{
	const struct member *m = r->member;

	for (size_t i = 0; i < m->peer_count; i++) {
		struct neighbour *n =
		    neighbour_find(r, m->peers[i].role, m->peers[i].name);

		if (n != NULL && n->link != NULL && link_is_up(n->link) &&
		    !(n->role == ROLE_RELAY && path_has(passed, n->name)))
			return n;
	}
	return NULL;
}

static void open_enrol(struct relay *r, struct link *link, uint32_t stream,
    const struct msg_open *open)
{
	struct msg_open next = *open;
	struct neighbour *n;
	struct fault fault;

	if (path_append(&next.passed, relay_name(r)) != RC_OK) {
		fault_set(&fault, REASON_NO_ROUTE, relay_name(r),
		    "enrolment went in a circle, or through more than %d relays",
		    PATH_NAMES_MAX);
		relay_refuse(link, stream, open, &fault);
		return;
	}
	n = upstream(r, &next.passed);
	if (n == NULL) {
		fault_set(&fault, REASON_RELAY_DOWN, relay_name(r),
		    "relay %s has no link to a server now", relay_name(r));
		relay_refuse(link, stream, open, &fault);
		return;
	}
	next.to = (struct target){ .kind = TARGET_SERVER };
	next.path.count = 0;
	next.service_class = CLASS_HEALTH;
	if (bridge_new(r->enrols, link, stream, n->link, "the server", &next) ==
	    RC_OK)
		log_info_with("relay", open->trace,
		    LOG_FIELDS(LOG_TEXT("from", link_label(link)),
			LOG_TEXT("to", link_label(n->link))),
		    "enrolment passed on");
}

/* --- Seals: downwards, as the slice permits --------------------------------
 */

/* Does the opener know a newer route than we do? */
static bool opener_is_ahead(const struct relay *r, const struct table_entry *e,
    const struct msg_open *open, struct fault *fault)
{
	const struct msg_version *theirs = &open->version;
	uint64_t life = table_life(r->table);
	/* Not in the slice: it may be in what comes next. */
	uint64_t seq = e != NULL ? e->seq : table_seq(r->table);
	char text[TARGET_SIZE];

	if (theirs->incarnation < life ||
	    (theirs->incarnation == life && theirs->seq <= seq))
		return false;
	target_format(&open->to, text);
	fault_set(fault, REASON_STALE_ROUTE, relay_name(r),
	    "%s: relay %s knows its route as of %llu, asked for %llu",
	    e != NULL ? e->name : text, relay_name(r), (unsigned long long)seq,
	    (unsigned long long)theirs->seq);
	return true;
}

/* The entry, when this neighbour may open to it in this way. */
static struct table_entry *permitted(struct relay *r, struct link *link,
    const struct msg_open *open, struct fault *fault)
{
	const struct peer *opener = link_peer(link);
	struct table_entry *e = table_find(r->table, &open->to);

	if (opener_is_ahead(r, e, open, fault))
		return NULL;
	if (e == NULL) {
		char text[TARGET_SIZE];

		target_format(&open->to, text);
		fault_set(fault, REASON_NO_ROUTE, relay_name(r),
		    "relay %s has no route to %s (table %llu)", relay_name(r),
		    text, (unsigned long long)table_seq(r->table));
		return NULL;
	}
	if (!table_permits(e, opener->role, opener->id.name)) {
		fault_set(fault, REASON_NOT_PERMITTED, relay_name(r),
		    "%s: %s may not open streams to it through relay %s, as of "
		    "%llu",
		    e->name, link_label(link), relay_name(r),
		    (unsigned long long)e->seq);
		return NULL;
	}
	return e;
}

static bool next_hop(struct relay *r, struct table_entry *e,
    struct msg_open *next, struct neighbour **out, struct fault *fault)
{
	char name[NAME_SIZE] = "";

	if (path_shift(&next->path, name)) {
		if (!table_leads_by(e, name)) {
			fault_set(fault, REASON_NO_ROUTE, relay_name(r),
			    "%s: relay %s does not reach it by relay %s",
			    e->name, relay_name(r), name);
			return false;
		}
		*out = neighbour_find(r, ROLE_RELAY, name);
	} else if (e->how != ROUTE_VIA) {
		*out = e->owner;
	} else {
		fault_set(fault, REASON_NO_ROUTE, relay_name(r),
		    "%s: relay %s reaches it only by relay %s", e->name,
		    relay_name(r), e->via);
		return false;
	}
	if (*out == NULL && name[0] != '\0')
		fault_set(fault, REASON_RELAY_DOWN, relay_name(r),
		    "relay %s is not connected to relay %s", name,
		    relay_name(r));
	else if (*out == NULL)
		fault_set(fault, REASON_STALE_ROUTE, relay_name(r),
		    "%s: relay %s is still being told how to reach it", e->name,
		    relay_name(r));
	return *out != NULL;
}

bool relay_onward(struct relay *r, struct link *link,
    const struct msg_open *open, struct onward *out, struct fault *fault)
{
	out->next = *open;
	/* Who is further away gives up a little earlier, and can say why. */
	out->next.deadline_ms -= open->deadline_ms / HOP_PART;
	/* Cut off or started anew, it may believe somebody who was revoked. */
	if (!controls_told_revoked(r)) {
		fault_set(fault, REASON_STALE_ROUTE, relay_name(r),
		    "relay %s carries nothing before a server has told it "
		    "which keys were revoked",
		    relay_name(r));
		return false;
	}
	out->entry = permitted(r, link, open, fault);
	return out->entry != NULL &&
	       next_hop(r, out->entry, &out->next, &out->to, fault);
}

bool relay_is_linked(const struct neighbour *n, struct fault *fault)
{
	if (n->link != NULL && link_is_up(n->link))
		return true;
	neighbour_fault(n, fault);
	if (n->dialler != NULL)
		dial_now(n->dialler);
	return false;
}

bool relay_pass(struct relay *r, struct link *link, uint32_t stream,
    const struct onward *on)
{
	const char *name = on->entry->name;
	struct fault fault;

	if (!relay_is_linked(on->to, &fault)) {
		relay_refuse(link, stream, &on->next, &fault);
		return false;
	}
	if (bridge_new(r->bridges, link, stream, on->to->link, name,
		&on->next) != RC_OK) {
		log_warn("relay", on->next.trace, "%s: cannot bridge", name);
		return false;
	}
	log_debug_with("relay", on->next.trace,
	    LOG_FIELDS(LOG_TEXT("from", link_label(link)), LOG_TEXT("to", name),
		LOG_TEXT("class", class_name(on->next.service_class))),
	    "stream passed on");
	return true;
}

static void open_seal(struct relay *r, struct link *link, uint32_t stream,
    const struct msg_open *open)
{
	struct onward on;
	struct fault fault;

	if (relay_onward(r, link, open, &on, &fault)) {
		(void)relay_pass(r, link, stream, &on);
		return;
	}
	if (fault.code != REASON_STALE_ROUTE ||
	    !relay_wait(r, link, stream, open, &fault))
		relay_refuse(link, stream, open, &fault);
}

static void open_trace(struct relay *r, struct link *link, uint32_t stream,
    const struct msg_open *open)
{
	struct onward on;
	struct fault fault;

	if (!relay_onward(r, link, open, &on, &fault))
		relay_refuse(link, stream, open, &fault);
	else
		trace_pass(r, link, stream, &on);
}

static bool is_for_us(const struct relay *r, const struct msg_open *open)
{
	return open->to.kind == TARGET_RELAY && open->path.count == 0 &&
	       strcmp(open->to.name, relay_name(r)) == 0;
}

/* A class comes from the kind: a lower one may be asked, a higher one not. */
static bool class_is_too_high(const struct msg_open *open)
{
	return open->service_class == CLASS_CONTROL &&
	       (open->kind == KIND_ENROL ||
		   (open->kind != KIND_TRACE &&
		       open->to.kind == TARGET_MACHINE));
}

/*
 * Who may open what (docs/protocol.md, section 3): enrol from anybody but
 * tentacles with a certificate, seals and traces from nodes and relays.  All
 * else is refused.
 */
void relay_opened(struct relay *r, struct link *link, uint32_t stream,
    const struct msg_open *open)
{
	enum peer_role role = link_peer(link)->role;
	bool from_above = role == ROLE_SERVER || role == ROLE_RELAY;
	struct fault fault;

	if (class_is_too_high(open)) {
		fault_set(&fault, REASON_NOT_PERMITTED, relay_name(r),
		    "class control carries no stream of kind %s to %s",
		    kind_name(open->kind),
		    open->to.kind == TARGET_MACHINE ? "a machine"
						    : "the server");
		relay_refuse(link, stream, open, &fault);
		return;
	}
	if (open->kind == KIND_ENROL &&
	    (role == ROLE_ANONYMOUS || role == ROLE_RELAY)) {
		open_enrol(r, link, stream, open);
		return;
	}
	if (open->kind == KIND_SEAL && from_above && is_for_us(r, open)) {
		control_accept(r, link, stream, open);
		return;
	}
	if (open->kind == KIND_SEAL && from_above) {
		open_seal(r, link, stream, open);
		return;
	}
	if (open->kind == KIND_TRACE && from_above && is_for_us(r, open)) {
		trace_answer(r, link, stream);
		return;
	}
	if (open->kind == KIND_TRACE && from_above) {
		open_trace(r, link, stream, open);
		return;
	}
	fault_set(&fault, REASON_NOT_PERMITTED, relay_name(r),
	    "%s may not open a stream of kind %s at relay %s", link_label(link),
	    kind_name(open->kind), relay_name(r));
	relay_refuse(link, stream, open, &fault);
}

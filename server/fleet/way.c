#include "server/fleet/way.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"
#include "server/fleet/fleet_private.h"

#include <stdio.h>
#include <string.h>

/* --- Which route next ------------------------------------------------------
 */

/* May another route help, after this? */
static bool is_trouble_of_the_way(enum reason code)
{
	switch (code) {
	case REASON_NO_ROUTE:
	case REASON_STALE_ROUTE:
	case REASON_NOT_PERMITTED:
	case REASON_DNS:
	case REASON_REFUSED:
	case REASON_CONNECT_TIMEOUT:
	case REASON_PROXY:
	case REASON_RELAY_DOWN:
	case REASON_AGENT_DOWN:
	case REASON_DEADLINE:
	case REASON_TOO_MANY:
	case REASON_MEMORY:
	case REASON_DRAINING:
	case REASON_PROTOCOL:
		return true;
	case REASON_NONE:
	case REASON_TLS:
	case REASON_CLOCK:
	case REASON_WRONG_IDENTITY:
	case REASON_REVOKED:
	case REASON_CLONE:
	case REASON_JOURNAL:
	case REASON_SUPERSEDED:
	case REASON_VERSION:
	case REASON_TOKEN:
	case REASON_EXPIRED:
	case REASON_NO_SPACE:
	case REASON_CANCELLED:
	case REASON_NOT_FOUND:
	case REASON_CONFLICT:
	case REASON_BAD_PACKAGE:
	case REASON_BAD_CONFIG:
	case REASON_SCRIPT_FAILED:
	case REASON_TIMED_OUT:
	case REASON_UNKNOWN:
	case REASON_INTERNAL:
	case REASON_OUT_OF_MEMORY:
	case REASON_COUNT:
		break;
	}
	return false;
}

/* The first not tried of those that rank best. */
static bool next_route(const struct way *w, size_t *out)
{
	const struct station *t = w->station;
	enum route_rank best = RANK_COUNT;

	for (size_t i = 0; i < t->route_total; i++) {
		enum route_rank rank;

		if ((w->tried & (1U << i)) != 0)
			continue;
		rank = station_route_rank(t, i, NULL);
		if (rank >= best)
			continue;
		best = rank;
		*out = i;
	}
	return best != RANK_COUNT;
}

static void on_seal(
    void *arg, struct seal *seal, const struct seal_event *event);

void way_address(const struct station *t, size_t route, struct msg_open *open)
{
	char first[NAME_SIZE];

	open->path = t->routes[route].path;
	open->version = (struct msg_version){
		.incarnation = t->fleet->parts.incarnation.secs,
		.seq = t->route_seq,
	};
	open->to.kind = t->role == ROLE_RELAY ? TARGET_RELAY : TARGET_MACHINE;
	memcpy(open->to.name, t->id, sizeof(open->to.name));
	/* The link's own end is not named any more. */
	(void)path_shift(&open->path, first);
}

static MUST_CHECK enum rc dial(struct way *w, struct link *link)
{
	const struct station *t = w->station;
	uint32_t open_ms = w->fleet->settings->open_ms;
	struct msg_open open = {
		.kind = KIND_SEAL,
		.service_class = w->kind->service_class,
		.deadline_ms = open_ms,
	};
	const struct seal_far far = {
		.kind = TLS_SEAL_CLIENT,
		.expect = { .roles = TRUST_ROLE(t->role), .name = t->id },
	};
	const struct seal_user user = {
		.fn = on_seal,
		.arg = w,
		.message_max = w->kind->message_max,
		.open_ms = open_ms,
	};
	enum rc rc;

	way_address(t, w->route, &open);
	w->seen = t->life;
	w->gave = false;
	random_hex(open.trace, WAY_TRACE_BYTES);
	memcpy(w->trace, open.trace, sizeof(w->trace));
	rc = seal_dial(link, &open, &far, &user, &w->seal);
	if (rc == RC_OK)
		log_debug("fleet", open.trace, "%s: opening a %s seal on %s",
		    t->name, class_name(w->kind->service_class),
		    link_label(link));
	return rc;
}

static bool try_next(struct way *w)
{
	const struct station *t = w->station;

	while (next_route(w, &w->route)) {
		struct link *link;
		enum rc rc;

		w->tried |= 1U << w->route;
		link = station_route_link(t, w->route, &w->fault);
		if (link == NULL)
			continue;
		rc = dial(w, link);
		if (rc == RC_OK) {
			w->state = WAY_OPENING;
			loop_timer_set(w->timer, w->fleet->settings->open_ms);
			return true;
		}
		w->seal = NULL;
		fault_set(&w->fault,
		    rc == RC_NOMEM ? REASON_MEMORY : REASON_TOO_MANY,
		    w->fleet->at,
		    "%s: cannot open a stream on the link to %s (%s)", t->name,
		    link_label(link), rc_name(rc));
	}
	return false;
}

/* --- The end ---------------------------------------------------------------
 */

/* Who is held is for this server to say, not for whoever is on the way. */
static void check_claim(const struct station *t, struct fault *fault)
{
	if ((fault->code == REASON_CLONE || fault->code == REASON_JOURNAL) &&
	    t->hold[0] == '\0')
		fault->code = REASON_AGENT_DOWN;
}

/* A relay lags behind, and waited in vain: has it what it should have? */
static void on_stale(const struct way *w, const struct fault *fault)
{
	const struct station *relay =
	    station_find(w->fleet, ROLE_RELAY, fault->at);

	if (relay == NULL || w->station == NULL)
		return;
	if (control_acked_seq(relay->control) >= w->station->route_seq)
		control_doubt(relay->control);
	else
		controls_push(w->fleet);
}

/*
 * Until the far end has proven who it is, whatever went wrong may be the deed
 * or the word of a relay: another route may do without it.
 */
static bool may_be_the_relay(const struct way *w)
{
	return w->state == WAY_OPENING &&
	       w->station->routes[w->route].path.count > 0;
}

/* Somebody else answered for the machine. */
static void tell_incident(struct way *w)
{
	const struct station *t = w->station;
	char object[FAULT_AT_MAX], who[STORE_WHO_SIZE], path[PATH_SIZE];

	station_label(t, object);
	path_format(&t->routes[w->route].path, path);
	(void)snprintf(who, sizeof(who), "route %.100s", path);
	fleet_incident(w->fleet, &(struct incident){ .who = who,
				     .from = "",
				     .action = "seal.refused",
				     .object = object,
				     .fault = &w->fault });
}

void way_accuse(const struct way *w, const char *action, const char *object,
    const struct fault *fault)
{
	char who[FAULT_AT_MAX], via[STORE_WHO_SIZE];

	station_label(w->station, who);
	way_via(w, via, sizeof(via));
	fleet_incident(w->fleet, &(struct incident){ .who = who,
				     .from = via,
				     .action = action,
				     .object = object,
				     .fault = fault });
}

/* The seal is gone.  The last act of its caller. */
static void lost(struct way *w, const struct fault *fault)
{
	struct fault named;

	w->seal = NULL;
	greeting_leave(w);
	loop_timer_stop(w->timer);
	station_name_fault(w->station, fault, &w->fault);
	check_claim(w->station, &w->fault);
	if (w->state != WAY_READY && fault->code != REASON_NONE)
		log_info("fleet", w->trace, "not opened: %s", w->fault.text);
	if (fault->code == REASON_STALE_ROUTE)
		on_stale(w, fault);
	if (w->state != WAY_READY && fault->code == REASON_WRONG_IDENTITY)
		tell_incident(w);
	if (w->state != WAY_READY &&
	    (is_trouble_of_the_way(fault->code) || may_be_the_relay(w)) &&
	    try_next(w))
		return;
	w->state = WAY_CLOSED;
	named = w->fault;
	w->kind->ops.closed(w, &named);
}

static void give_up(struct way *w, const struct fault *fault)
{
	seal_close(w->seal, fault);
	lost(w, fault);
}

void way_close(struct way *w, const struct fault *fault)
{
	seal_close(w->seal, fault);
	w->seal = NULL;
	greeting_leave(w);
	if (w->timer != NULL)
		loop_timer_stop(w->timer);
	w->state = WAY_CLOSED;
}

void way_fail(struct way *w, const struct fault *fault)
{
	way_close(w, fault);
	w->fault = *fault;
	w->state = WAY_FAILED;
	loop_timer_set(w->timer, 0);
}

static void on_timer(void *arg)
{
	struct way *w = arg;
	struct fault fault;

	if (w->state == WAY_FAILED) {
		w->state = WAY_CLOSED;
		fault = w->fault;
		w->kind->ops.closed(w, &fault);
		return;
	}
	fault_set(&fault, REASON_DEADLINE, w->fleet->at,
	    "%s: no answer within %u s", w->station->name,
	    w->fleet->settings->open_ms / 1000);
	give_up(w, &fault);
}

/* --- What the seal tells ---------------------------------------------------
 */

static void check_key(struct way *w)
{
	static const uint8_t none[STORE_SHA256_SIZE];
	const struct station *t = w->station;
	struct fault fault;

	w->state = WAY_GREETING;
	w->station->upkeep.not_after_s = seal_peer(w->seal)->not_after_s;
	if (memcmp(t->spki, none, sizeof(none)) == 0 ||
	    memcmp(t->spki, seal_peer(w->seal)->key_hash, sizeof(t->spki)) == 0)
		return;
	fault_set(&fault, REASON_WRONG_IDENTITY, w->fleet->at,
	    "%s: its key is not the one that it joined with", t->name);
	give_up(w, &fault);
}

void way_greeted(struct way *w, const struct fault *fault)
{
	if (fault != NULL) {
		give_up(w, fault);
		return;
	}
	w->state = WAY_CONFIRMING;
	w->welcomed_us = clock_monotonic_us();
	w->quickest_us = 0;
}

static void greeted(struct way *w, struct bytes message)
{
	struct fault fault;
	enum rc rc = station_greeted(w, message, &fault);

	if (rc == RC_OK)
		way_greeted(w, NULL);
	else if (rc != RC_AGAIN)
		way_greeted(w, &fault);
}

static void confirmed(struct way *w, struct bytes message)
{
	struct msg_confirm confirm;
	struct fault fault;
	enum rc rc = msg_confirm_decode(message, &confirm, &fault);

	if (rc != RC_OK) {
		give_up(w, &fault);
		return;
	}
	msg_confirm_clear(&confirm);
	loop_timer_stop(w->timer);
	w->state = WAY_READY;
	w->opened_us = loop_now_us(w->fleet->parts.loop);
	way_heard(w, w->welcomed_us);
	greeting_confirmed(w);
	w->kind->ops.ready(w);
}

static void on_seal(
    void *arg, struct seal *seal, const struct seal_event *event)
{
	struct way *w = arg;

	if (seal != w->seal)
		return;
	if (event->type == SEAL_OPEN)
		check_key(w);
	else if (event->type == SEAL_MESSAGE && w->state == WAY_GREETING &&
		 w->greeting == NULL)
		greeted(w, event->message);
	else if (event->type == SEAL_MESSAGE && w->state == WAY_CONFIRMING)
		confirmed(w, event->message);
	else if (event->type == SEAL_MESSAGE && w->state == WAY_READY)
		w->kind->ops.message(w, event->message);
	else if (event->type == SEAL_WRITABLE && w->state == WAY_READY)
		w->kind->ops.writable(w);
	else if (event->type == SEAL_CLOSED)
		lost(w, event->fault);
}

/* --- The owner's calls -----------------------------------------------------
 */

enum rc way_init(struct way *w, struct fleet *f, struct station *station,
    const struct way_kind *kind)
{
	enum rc rc;

	*w = (struct way){ .fleet = f, .station = station, .kind = kind };
	rc = loop_timer_new(f->parts.loop, on_timer, w, &w->timer);
	if (rc == RC_OK && station != NULL)
		TAILQ_INSERT_TAIL(&station->ways, w, of_station);
	return rc;
}

void way_fini(struct way *w, const struct fault *fault)
{
	way_close(w, fault);
	loop_timer_free(w->timer);
	w->timer = NULL;
	if (w->station != NULL)
		TAILQ_REMOVE(&w->station->ways, w, of_station);
	w->station = NULL;
}

void way_open(struct way *w)
{
	struct fault fault;

	if (w->state != WAY_CLOSED)
		return;
	w->tried = 0;
	if (w->station == NULL) {
		fault_set(&fault, REASON_NOT_FOUND, w->fleet->at,
		    "there is no such machine (any more)");
		way_fail(w, &fault);
		return;
	}
	if (station_is_held(w->station, &fault)) {
		way_fail(w, &fault);
		return;
	}
	fault_set(&w->fault, REASON_NO_ROUTE, w->fleet->at, "%s: has no route",
	    w->station->name);
	if (!try_next(w)) {
		fault = w->fault;
		way_fail(w, &fault);
	}
}

void way_heard(struct way *w, uint64_t sent_us)
{
	uint64_t us = clock_monotonic_us() - sent_us;

	if (us == 0 || us > UINT32_MAX)
		return;
	if (w->quickest_us == 0 || us < w->quickest_us)
		w->quickest_us = (uint32_t)us;
}

bool way_path(const struct way *w, struct path *out)
{
	if (w->state != WAY_READY || w->station == NULL ||
	    w->route >= w->station->route_count)
		return false;
	*out = w->station->routes[w->route].path;
	return true;
}

uint32_t way_rtt_us(const struct way *w)
{
	struct path path;

	if (!way_path(w, &path))
		return 0;
	return path.count == 0 ? link_rtt_us(seal_link(w->seal))
	                       : w->quickest_us;
}

void way_reopen(struct way *w)
{
	struct fault fault;

	fault_set(&fault, REASON_DRAINING, w->fleet->at,
	    "%s: goes on by another route or link", w->station->name);
	way_close(w, &fault);
	way_open(w);
}

enum rc way_send(struct way *w, enum rc rc, struct packbuf *pack)
{
	if (rc == RC_OK)
		rc = w->state == WAY_READY
		         ? seal_send(w->seal, packbuf_bytes(pack))
		         : RC_STATE;
	packbuf_fini(pack);
	return rc;
}

void way_via(const struct way *w, char *out, size_t size)
{
	const struct station *t = w->station;
	char path[PATH_SIZE] = "direct";

	if (w->route < t->route_count)
		path_format(&t->routes[w->route].path, path);
	if (strcmp(path, "direct") == 0)
		(void)snprintf(
		    out, size, "%s", link_address(seal_link(w->seal)));
	else
		(void)snprintf(out, size, "relay %.240s", path);
}

void way_read_refusal(
    const struct way *w, struct bytes message, struct fault *out)
{
	struct msg_fault refusal;

	/* A message that cannot be read is a fault, too: *out says which. */
	if (msg_fault_decode(message, &refusal, out) == RC_OK) {
		station_name_fault(w->station, &refusal.fault, out);
		msg_fault_clear(&refusal);
	}
	if (out->at[0] == '\0')
		station_label(w->station, out->at);
}

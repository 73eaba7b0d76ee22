#include "common/log.h"
#include "server/fleet/expand.h"
#include "server/fleet/fleet_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Old routes of a machine work so long; less once it knows its new ones. */
#define FAREWELL_MS 15000
#define TOLD_MS     1000

/* --- Names -----------------------------------------------------------------
 */

static void text_of(enum peer_role role, const char *id, char out[TARGET_SIZE])
{
	(void)snprintf(out, TARGET_SIZE, "%s/%s",
	    role == ROLE_RELAY ? "relay" : "machine", id);
}

struct station *station_find(
    const struct fleet *f, enum peer_role role, const char *id)
{
	char text[TARGET_SIZE];

	text_of(role, id, text);
	return (struct station *)lookup_find(&f->by_text, text);
}

void station_label(const struct station *t, char out[FAULT_AT_MAX])
{
	(void)snprintf(out, FAULT_AT_MAX, "%s %.50s",
	    t->role == ROLE_RELAY ? "relay" : "machine", t->name);
}

/* What follows prefix, when the text begins with it; NULL. */
static const char *behind(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

void station_name_fault(
    const struct station *t, const struct fault *in, struct fault *out)
{
	struct fault fault = *in; /* may be the same */
	const struct station *relay =
	    station_find(t->fleet, ROLE_RELAY, fault.at);
	char label[TARGET_SIZE + 2];
	const char *rest;

	if (relay != NULL) /* relays call themselves by their name alone */
		station_label(relay, fault.at);
	*out = fault;
	if (fault.code == REASON_NONE) {
		fault_set(out,
		    t->role == ROLE_RELAY ? REASON_RELAY_DOWN
					  : REASON_AGENT_DOWN,
		    fault.at, "%s: ended the conversation", t->name);
		return;
	}
	rest = behind(fault.text, t->name);
	if (rest != NULL && *rest == ':')
		return;
	/* Links know a machine only by its id. */
	(void)snprintf(label, sizeof(label),
	    "%s %s: ", t->role == ROLE_RELAY ? "relay" : "machine", t->id);
	rest = behind(fault.text, label);
	fault_set(out, fault.code, fault.at, "%s: %s", t->name,
	    rest != NULL ? rest : fault.text);
}

/* --- Routes ----------------------------------------------------------------
 */

bool station_is_direct(const struct station *t)
{
	for (size_t i = 0; i < t->route_total; i++) {
		if (t->routes[i].path.count == 0)
			return true;
	}
	return false;
}

const char *station_last_hop(const struct station *t, size_t route)
{
	const struct path *path = &t->routes[route].path;

	return path->count > 0 ? path->names[path->count - 1] : NULL;
}

static MUST_CHECK enum rc parse_routes(const struct store_route *rows,
    size_t count, struct fleet_route **out, size_t *out_count)
{
	struct fleet_route *routes = calloc(count + 1, sizeof(*routes));
	size_t n = 0;

	if (routes == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < count; i++) {
		struct fault fault;

		if (path_parse(rows[i].path, &routes[n].path, &fault) !=
			RC_OK ||
		    (rows[i].endpoint[0] != '\0' &&
			!endpoint_is_valid(rows[i].endpoint))) {
			log_error("fleet", rows[i].path,
			    "a route that cannot be read is left out");
			continue;
		}
		(void)snprintf(routes[n].endpoint, sizeof(routes[n].endpoint),
		    "%s", rows[i].endpoint);
		n++;
	}
	*out = routes;
	*out_count = n;
	return RC_OK;
}

static bool same_route(const struct fleet_route *a, const struct fleet_route *b)
{
	if (a->path.count != b->path.count ||
	    strcmp(a->endpoint, b->endpoint) != 0)
		return false;
	for (size_t i = 0; i < a->path.count; i++) {
		if (strcmp(a->path.names[i], b->path.names[i]) != 0)
			return false;
	}
	return true;
}

/* What was known of a route that stays is kept. */
static void keep_states(const struct station *t,
    const struct fleet_route *routes, size_t count,
    struct station_route *states)
{
	for (size_t i = 0; i < count && t->routes != NULL; i++) {
		for (size_t k = 0; k < t->route_count; k++) {
			if (same_route(&routes[i], &t->routes[k]))
				states[i] = t->route_states[k];
		}
	}
}

/* SIZE_MAX: it is not among them. */
static size_t number_among(const struct fleet_route *routes, size_t count,
    const struct fleet_route *route)
{
	for (size_t i = 0; i < count; i++) {
		if (same_route(&routes[i], route))
			return i;
	}
	return SIZE_MAX;
}

static void on_farewell(void *arg);

/* The routes that it has now, and not any more, behind the new ones: over them
 * it hears of those. */
static MUST_CHECK enum rc add_leaving(
    struct station *t, struct fleet_route **routes, size_t count, size_t *total)
{
	struct fleet_route *all;

	*total = count;
	if (t->role != ROLE_TENTACLE || t->routes == NULL ||
	    t->presence != STORE_PRESENCE_ONLINE)
		return RC_OK;
	if (t->farewell == NULL && loop_timer_new(t->fleet->parts.loop,
				       on_farewell, t, &t->farewell) != RC_OK)
		return RC_NOMEM;
	all = realloc(*routes, (count + t->route_count + 1) * sizeof(*all));
	if (all == NULL)
		return RC_NOMEM;
	*routes = all;
	for (size_t i = 0; i < t->route_count; i++) {
		if (number_among(all, count, &t->routes[i]) == SIZE_MAX)
			all[(*total)++] = t->routes[i];
	}
	if (*total > count)
		loop_timer_set(t->farewell, FAREWELL_MS);
	return RC_OK;
}

static struct expand_given given_of(void *arg, const char *relay)
{
	const struct station *t = station_find(arg, ROLE_RELAY, relay);

	if (t == NULL)
		return (struct expand_given){ .count = 0 };
	return (struct expand_given){ t->given, t->given_count };
}

/* All ways, by what was given. */
static MUST_CHECK enum rc find_ways(const struct station *t,
    const struct store_route *rows, size_t count, struct fleet_route **out,
    size_t *out_count)
{
	const struct expand how = { .given = given_of, .arg = t->fleet };
	struct fleet_route *given, *routes;
	size_t n;
	enum rc rc = parse_routes(rows, count, &given, &n);

	if (rc != RC_OK)
		return rc;
	routes = calloc(EXPAND_MAX, sizeof(*routes));
	if (routes != NULL) {
		*out_count = expand_routes(
		    &how, &(struct expand_given){ given, n }, routes);
		*out = routes;
	}
	free(given);
	return routes != NULL ? RC_OK : RC_NOMEM;
}

static MUST_CHECK enum rc set_routes(
    struct station *t, const struct store_route *rows, size_t count)
{
	struct fleet_route *routes;
	struct station_route *states = NULL;
	struct way *w;
	size_t n, total;
	enum rc rc = find_ways(t, rows, count, &routes, &n);

	if (rc != RC_OK)
		return rc;
	rc = add_leaving(t, &routes, n, &total);
	if (rc == RC_OK) {
		states = calloc(total + 1, sizeof(*states));
		rc = states == NULL ? RC_NOMEM : RC_OK;
	}
	if (rc != RC_OK) {
		free(routes);
		return rc;
	}
	keep_states(t, routes, total, states);
	/* Open seals stay; a route that has gone has no number any more. */
	TAILQ_FOREACH(w, &t->ways, of_station)
	{
		if (t->routes != NULL && w->route < t->route_total)
			w->route =
			    number_among(routes, total, &t->routes[w->route]);
	}
	free(t->routes);
	free(t->route_states);
	t->routes = routes;
	t->route_states = states;
	t->route_count = n;
	t->route_total = total;
	return RC_OK;
}

/* --- Changes ---------------------------------------------------------------
 */

static void mark_changed(struct station *t)
{
	struct fleet *f = t->fleet;

	TAILQ_REMOVE(&f->changes, t->change, all);
	TAILQ_INSERT_TAIL(&f->changes, t->change, all);
	t->change->mark = ++f->mark;
	controls_push(f);
}

static void on_farewell(void *arg)
{
	struct station *t = arg;
	struct way *w;

	if (t->route_total == t->route_count)
		return;
	log_info("fleet", t->name, "is not reached by its old routes any more");
	t->route_total = t->route_count;
	TAILQ_FOREACH(w, &t->ways, of_station)
	{
		if (w->route >= t->route_count)
			w->route = SIZE_MAX;
	}
	mark_changed(t);
	station_dial(t);
	station_judge(t);
}

void station_routes_told(struct station *t)
{
	if (t->route_total > t->route_count)
		loop_timer_set(t->farewell, TOLD_MS);
}

/* Only so many that have gone are remembered. */
static void forget_gone(struct fleet *f)
{
	struct change *c, *next;

	for (c = TAILQ_FIRST(&f->changes);
	     c != NULL && f->gone_count > FLEET_GONE_MAX; c = next) {
		next = TAILQ_NEXT(c, all);
		if (c->station != NULL)
			continue;
		f->mark_floor = c->mark;
		if (f->seq_floor < c->seq)
			f->seq_floor = c->seq;
		f->gone_count--;
		TAILQ_REMOVE(&f->changes, c, all);
		free(c);
	}
}

/* Its place in the changes stays, for relays that still know it. */
static void leave_changes(struct station *t)
{
	struct fleet *f = t->fleet;
	struct change *c = t->change;

	mark_changed(t);
	c->seq = f->route_seq > t->route_seq ? f->route_seq : t->route_seq;
	c->station = NULL;
	t->change = NULL;
	f->gone_count++;
	forget_gone(f);
}

enum rc station_add_gone(struct fleet *f, const char *text, uint64_t seq)
{
	struct change *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return RC_NOMEM;
	c->mark = ++f->mark;
	c->seq = seq;
	(void)snprintf(c->text, sizeof(c->text), "%s", text);
	TAILQ_INSERT_TAIL(&f->changes, c, all);
	f->gone_count++;
	forget_gone(f);
	return RC_OK;
}

/* --- Life ------------------------------------------------------------------
 */

static void free_fields(struct station *t)
{
	struct fleet *f = t->fleet;

	/* Here, because the end of its links and seals was news once more. */
	if (t->dirty != 0)
		TAILQ_REMOVE(&f->dirty, t, dirty_next);
	if (t->has_moved)
		TAILQ_REMOVE(&f->moved, t, moved_next);
	loop_timer_free(t->farewell);
	free(t->given);
	free(t->routes);
	free(t->route_states);
	free(t->change);
	free(t);
}

static struct station *make(
    struct fleet *f, enum peer_role role, const char *id)
{
	struct station *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->fleet = f;
	t->role = role;
	TAILQ_INIT(&t->ways);
	(void)snprintf(t->id, sizeof(t->id), "%s", id);
	text_of(role, id, t->text);
	t->change = calloc(1, sizeof(*t->change));
	if (t->change == NULL ||
	    (role == ROLE_RELAY && control_new(t, &t->control) != RC_OK)) {
		free_fields(t);
		return NULL;
	}
	t->change->station = t;
	memcpy(t->change->text, t->text, sizeof(t->text));
	lookup_add(&f->by_text, &t->item, t->text);
	TAILQ_INSERT_TAIL(&f->stations, t, all);
	if (role == ROLE_RELAY)
		TAILQ_INSERT_TAIL(&f->relays, t, relay_next);
	TAILQ_INSERT_TAIL(&f->changes, t->change, all);
	return t;
}

/* Nobody finds it any more. */
static void unlist(struct station *t)
{
	struct fleet *f = t->fleet;

	upkeep_forget(t);
	lookup_remove(&f->by_text, &t->item);
	TAILQ_REMOVE(&f->stations, t, all);
	if (t->role == ROLE_RELAY)
		TAILQ_REMOVE(&f->relays, t, relay_next);
}

static void drop_links(struct station *t, const struct fault *fault)
{
	struct link *link = t->link;

	dial_free(t->dialler, fault);
	t->dialler = NULL;
	/* The dialler's own is gone by now. */
	if (link != NULL && t->link == link) {
		t->link = NULL;
		link_set_data(link, NULL);
		link_close(link, fault);
	}
}

void station_free(struct station *t)
{
	struct fault fault;
	struct fleet *f = t->fleet;

	fault_set(&fault, REASON_DRAINING, f->at, "the server is stopping");
	unlist(t);
	control_free(t->control, &fault);
	t->control = NULL; /* the links' ends still look at it */
	standing_free(t, NULL);
	drop_links(t, &fault);
	if (t->change != NULL)
		TAILQ_REMOVE(&f->changes, t->change, all);
	free_fields(t);
}

void station_remove(struct station *t)
{
	struct fleet *f = t->fleet;
	struct fault fault;
	struct way *w;

	fault_set(&fault, REASON_NOT_FOUND, f->at, "%s: was removed", t->name);
	log_info("fleet", t->name, "removed");
	unlist(t);
	leave_changes(t);
	control_free(t->control, &fault);
	t->control = NULL;
	standing_free(t, &fault);
	while ((w = TAILQ_FIRST(&t->ways)) != NULL) {
		way_fail(w, &fault);
		TAILQ_REMOVE(&t->ways, w, of_station);
		w->station = NULL;
	}
	drop_links(t, &fault);
	free_fields(t);
}

static struct station *get(struct fleet *f, enum peer_role role, const char *id)
{
	struct station *t = station_find(f, role, id);

	return t != NULL ? t : make(f, role, id);
}

/* Routes and their number; those who must know are told. */
static MUST_CHECK enum rc apply_routes(struct station *t, uint64_t seq,
    const struct store_route *rows, size_t count)
{
	enum rc rc = RC_OK;

	/* Alone, it says nothing about the numbers below it: see reload.c. */
	if (seq == t->fleet->route_seq + 1)
		t->fleet->route_seq = seq;
	if (t->route_seq != seq || t->routes == NULL) {
		t->upkeep.peers_changed = t->routes != NULL;
		rc = set_routes(t, rows, count);
		if (rc == RC_OK)
			mark_changed(t);
	}
	if (rc != RC_OK)
		return rc;
	t->route_seq = seq;
	station_dial(t);
	station_judge(t);
	upkeep_want(t);
	return RC_OK;
}

/*
 * Rows come in the order in which they were written, so the newest one counts;
 * but counters are written late.  An operator who releases a machine believes
 * its journal as it is now.
 */
static void apply_instance(
    struct station *t, const char *hold, const struct store_instance *row)
{
	bool released = t->hold[0] != '\0' && hold[0] == '\0';
	uint64_t counter = t->life.counter;

	if (!released && strcmp(t->life.journal, row->journal) == 0 &&
	    counter > row->counter) {
		t->life = *row;
		t->life.counter = counter;
	} else {
		t->life = *row;
	}
	(void)snprintf(t->hold, sizeof(t->hold), "%s", hold);
}

/* What its own greet has told is newer than the row. */
static void apply_seen(
    struct station *t, const char *version, uint64_t last_seen_ms)
{
	t->seen = true;
	if (t->version[0] == '\0')
		(void)snprintf(t->version, sizeof(t->version), "%s", version);
	if (t->last_seen_ms < last_seen_ms)
		t->last_seen_ms = last_seen_ms;
}

struct station *station_apply_machine(struct fleet *f,
    const struct store_machine *row, const struct store_instance *instance)
{
	struct station *t = get(f, ROLE_TENTACLE, row->id);

	if (t == NULL)
		return NULL;
	apply_seen(t, row->version, row->last_seen_ms);
	(void)snprintf(t->name, sizeof(t->name), "%s", row->name);
	/* Joined anew: what it was asked before is forgotten. */
	if (t->life.journal[0] != '\0' &&
	    memcmp(t->spki, row->spki, sizeof(t->spki)) != 0)
		station_lost_word(t);
	memcpy(t->spki, row->spki, sizeof(t->spki));
	apply_instance(
	    t, (t->dirty & DIRTY_HOLD) != 0 ? t->hold : row->hold, instance);
	if (apply_routes(t, row->route_seq, row->routes, row->route_count) !=
	    RC_OK)
		return NULL;
	if (row->presence != t->presence)
		station_dirty(t, DIRTY_PRESENCE);
	return t;
}

/* What is released goes on at once. */
static void apply_hold(struct station *relay, const char *hold,
    const struct store_instance *instance)
{
	bool released = relay->hold[0] != '\0' && hold[0] == '\0';

	apply_instance(relay, hold, instance);
	if (released)
		control_kick(relay->control);
}

static void apply_listen(struct station *relay, const char *listen)
{
	bool moved =
	    relay->routes != NULL && strcmp(relay->listen, listen) != 0;

	(void)snprintf(relay->listen, sizeof(relay->listen), "%s", listen);
	if (moved)
		peers_moved(relay);
}

static void apply_draining(struct station *relay, bool draining)
{
	if (relay->draining == draining)
		return;
	relay->draining = draining;
	control_drain(relay->control);
	station_leave(relay);
}

enum rc station_note_routes(struct fleet *f, const struct store_relay *row)
{
	struct station *t = get(f, ROLE_RELAY, row->name);
	struct fleet_route *given;
	size_t n;
	enum rc rc =
	    t == NULL ? RC_NOMEM
		      : parse_routes(row->routes, row->route_count, &given, &n);

	if (rc != RC_OK)
		return rc;
	free(t->given);
	t->given = given;
	t->given_count = n;
	return RC_OK;
}

struct station *station_apply_relay(struct fleet *f,
    const struct store_relay *row, const struct store_instance *instance)
{
	struct station *t = get(f, ROLE_RELAY, row->name);

	if (t == NULL)
		return NULL;
	apply_seen(t, row->version, row->last_seen_ms);
	(void)snprintf(t->name, sizeof(t->name), "%s", row->name);
	apply_listen(t, row->listen);
	apply_hold(t, row->hold, instance);
	memcpy(t->spki, row->spki, sizeof(t->spki));
	if (apply_routes(t, row->route_seq, row->routes, row->route_count) !=
	    RC_OK)
		return NULL;
	apply_draining(t, row->draining);
	if (row->presence != t->presence)
		station_dirty(t, DIRTY_PRESENCE);
	return t;
}

#include "server/fleet/trace.h"

#include "common/clock.h"
#include "common/random.h"
#include "common/trace.h"
#include "server/fleet/fleet_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of one route; hops wait a little less each (relay/trace.c). */
#define WAIT_MS 8000

struct fleet_trace {
	TAILQ_ENTRY(fleet_trace) all;
	struct fleet *fleet;
	struct fleet_trace_user user;
	char machine[NAME_SIZE]; /* id */
	struct loop_timer *step; /* the next route, from the loop */
	size_t route;            /* the next one */
	/* The route that is asked now. */
	struct tracer *tracer; /* NULL: none */
	struct path path;
	size_t place;   /* on the path, of who spoke last; its count: machine */
	bool concluded; /* the machine answered, or somebody said why not */
	bool in_use;
	char id[TRACE_MAX + 1];
	uint64_t asked_us;
};

static void destroy(struct fleet_trace *t)
{
	struct fleet *f = t->fleet;

	TAILQ_REMOVE(&f->traces, t, all);
	f->trace_count--;
	loop_timer_free(t->step);
	free(t);
}

static struct station *machine_of(const struct fleet_trace *t)
{
	return station_find(t->fleet, ROLE_TENTACLE, t->machine);
}

static void done(struct fleet_trace *t, const struct fault *fault)
{
	struct fleet_trace_user user = t->user;

	destroy(t);
	user.done(user.arg, fault);
}

static void next_route(struct fleet_trace *t)
{
	t->tracer = NULL;
	loop_timer_set(t->step, 0);
}

/* --- What is told ----------------------------------------------------------
 */

static void begin_hop(const struct fleet_trace *t, struct fleet_hop *hop)
{
	*hop = (struct fleet_hop){ .route = (unsigned)t->route,
		.in_use = t->in_use };
	memcpy(hop->id, t->id, sizeof(hop->id));
	path_format(&t->path, hop->path);
	(void)snprintf(hop->by, sizeof(hop->by), "%s", t->fleet->at);
}

/* "relay/dc2-a" -> "relay dc2-a"; machines by their names. */
static void label_target(
    const struct fleet *f, const char *text, char out[FAULT_AT_MAX])
{
	struct target target;
	const struct station *t = NULL;

	if (target_parse(text, &target, NULL) == RC_OK)
		t = station_find(f,
		    target.kind == TARGET_RELAY ? ROLE_RELAY : ROLE_TENTACLE,
		    target.name);
	if (t != NULL)
		station_label(t, out);
	else
		(void)snprintf(
		    out, FAULT_AT_MAX, "%.*s", FAULT_AT_MAX - 1, text);
}

static void tell_fault(struct fleet_trace *t, const struct fault *fault)
{
	const struct station *machine = machine_of(t);
	struct fleet_hop hop;

	begin_hop(t, &hop);
	hop.after_us = clock_monotonic_us() - t->asked_us;
	hop.fault = *fault;
	if (machine != NULL)
		station_name_fault(machine, fault, &hop.fault);
	t->concluded = true;
	t->user.hop(t->user.arg, &hop);
}

/* --- What comes from beyond ------------------------------------------------
 */

/* Where on the way is who says this?  false: nowhere beyond the last one. */
static bool find_place(struct fleet_trace *t, const char *by)
{
	struct target target;

	if (target_parse(by, &target, NULL) != RC_OK)
		return false;
	if (target.kind == TARGET_MACHINE) {
		t->place = t->path.count;
		return strcmp(target.name, t->machine) == 0;
	}
	for (size_t i = t->place; i < t->path.count; i++) {
		if (target.kind == TARGET_RELAY &&
		    strcmp(t->path.names[i], target.name) == 0) {
			t->place = i;
			return true;
		}
	}
	return false;
}

static void tell_hop(struct fleet_trace *t, const struct msg_hop *said)
{
	const struct station *machine = machine_of(t);
	struct fleet_hop hop;

	begin_hop(t, &hop);
	label_target(t->fleet, said->by, hop.by);
	hop.after_us = clock_monotonic_us() - t->asked_us;
	hop.version = said->version;
	hop.expires_s = said->expires_s;
	hop.has_link = said->has_link && t->place < t->path.count;
	if (hop.has_link) {
		hop.link = said->link;
		label_target(t->fleet, said->link.to, hop.to);
	}
	if (said->fault.code != REASON_NONE && machine != NULL)
		station_name_fault(machine, &said->fault, &hop.fault);
	hop.arrived =
	    t->place == t->path.count && hop.fault.code == REASON_NONE;
	if (hop.arrived || hop.fault.code != REASON_NONE)
		t->concluded = true;
	t->user.hop(t->user.arg, &hop);
}

static void on_hop(void *arg, struct bytes message)
{
	struct fleet_trace *t = arg;
	struct msg_hop said;
	struct fault fault;

	if (t->concluded)
		return;
	if (msg_hop_decode(message, &said, &fault) != RC_OK) {
		tell_fault(t, &fault);
		return;
	}
	if (find_place(t, said.by)) {
		tell_hop(t, &said);
	} else {
		fault_set(&fault, REASON_PROTOCOL, t->fleet->at,
		    "%s has answered, which is not on this way", said.by);
		tell_fault(t, &fault);
	}
	msg_hop_clear(&said);
}

static void on_end(void *arg, const struct fault *fault)
{
	struct fleet_trace *t = arg;
	struct fault silent = *fault;

	if (silent.code == REASON_NONE)
		fault_set(&silent, REASON_PROTOCOL, t->fleet->at,
		    "the answers ended before the machine's own");
	if (!t->concluded)
		tell_fault(t, &silent);
	next_route(t);
}

/* --- Our own hop ------------------------------------------------------------
 */

/* The first hop by this route; NULL: no such relay. */
static const struct station *first_hop(
    const struct station *machine, const struct path *path)
{
	return path->count == 0
	           ? machine
	           : station_find(machine->fleet, ROLE_RELAY, path->names[0]);
}

static void tell_own(struct fleet_trace *t, const struct station *machine,
    struct link *link, const struct fault *fault)
{
	const struct identity *identity = t->fleet->parts.identity;
	const struct station *first = first_hop(machine, &t->path);
	int64_t expires_s = identity_not_after_s(identity);
	struct fleet_hop hop;

	begin_hop(t, &hop);
	hop.version = bytes_text(LONGARM_VERSION);
	hop.expires_s = expires_s > 0 ? (uint64_t)expires_s : 0;
	hop.has_link = first != NULL;
	if (first != NULL)
		station_label(first, hop.to);
	if (link != NULL) {
		hop_link_fill(link, &hop.link);
	} else if (first != NULL) {
		hop.link.dialled = first->dialler != NULL;
		memcpy(
		    hop.link.address, first->dialled, sizeof(hop.link.address));
	}
	if (link == NULL)
		hop.fault = *fault;
	t->concluded = link == NULL;
	t->user.hop(t->user.arg, &hop);
}

static MUST_CHECK enum rc ask(
    struct fleet_trace *t, const struct station *machine, struct link *link)
{
	const struct tracer_user user = {
		.hop = on_hop, .end = on_end, .arg = t
	};
	struct msg_open open = {
		.kind = KIND_TRACE,
		.service_class = CLASS_CONTROL,
		.deadline_ms = WAIT_MS,
	};

	way_address(machine, t->route - 1, &open);
	memcpy(open.trace, t->id, sizeof(open.trace));
	t->asked_us = clock_monotonic_us();
	return tracer_open(
	    link, &open, first_hop(machine, &t->path)->name, &user, &t->tracer);
}

static void trace_route(struct fleet_trace *t, const struct station *machine)
{
	const struct way *way = standing_way(machine);
	struct fault fault = { .code = REASON_NONE };
	struct link *link;
	enum rc rc;

	t->path = machine->routes[t->route].path;
	t->in_use = way != NULL && way->route == t->route;
	t->place = 0;
	random_hex(t->id, WAY_TRACE_BYTES);
	link = station_route_link(machine, t->route, &fault);
	t->route++;
	tell_own(t, machine, link, &fault);
	if (link == NULL) {
		next_route(t);
		return;
	}
	rc = ask(t, machine, link);
	if (rc == RC_OK)
		return;
	fault_set(&fault, rc == RC_NOMEM ? REASON_MEMORY : REASON_TOO_MANY,
	    t->fleet->at, "cannot open a stream on the link to %s (%s)",
	    link_label(link), rc_name(rc));
	tell_fault(t, &fault);
	next_route(t);
}

static void on_step(void *arg)
{
	struct fleet_trace *t = arg;
	const struct station *machine = machine_of(t);
	struct fault fault = { .code = REASON_NONE };

	if (machine != NULL && t->route < machine->route_count) {
		trace_route(t, machine);
		return;
	}
	if (machine == NULL)
		fault_set(&fault, REASON_NOT_FOUND, t->fleet->at,
		    "there is no such machine (any more)");
	else if (machine->route_count == 0)
		fault_set(&fault, REASON_NO_ROUTE, t->fleet->at,
		    "%s: has no route", machine->name);
	else if (!station_is_held(machine, &fault))
		fault_clear(&fault);
	done(t, &fault);
}

/* --- For others ------------------------------------------------------------
 */

enum rc fleet_trace(struct fleet *f, const char *machine,
    const struct fleet_trace_user *user, struct fleet_trace **out)
{
	struct fleet_trace *t;

	if (f->trace_count >= FLEET_TRACES_MAX)
		return RC_LIMIT;
	t = calloc(1, sizeof(*t));
	if (t == NULL ||
	    loop_timer_new(f->parts.loop, on_step, t, &t->step) != RC_OK) {
		free(t);
		return RC_NOMEM;
	}
	t->fleet = f;
	t->user = *user;
	(void)snprintf(t->machine, sizeof(t->machine), "%s", machine);
	TAILQ_INSERT_TAIL(&f->traces, t, all);
	f->trace_count++;
	next_route(t);
	*out = t;
	return RC_OK;
}

void fleet_trace_cancel(struct fleet_trace *t)
{
	if (t == NULL)
		return;
	tracer_free(t->tracer);
	destroy(t);
}

void fleet_traces_free(struct fleet *f)
{
	struct fleet_trace *t, *next;

	for (t = TAILQ_FIRST(&f->traces); t != NULL; t = next) {
		next = TAILQ_NEXT(t, all);
		fleet_trace_cancel(t);
	}
}

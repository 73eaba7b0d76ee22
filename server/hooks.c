#include "server/hooks.h"
#include "server/lock_ask.h"

#include "common/clock.h"
#include "common/failpoint.h"
#include "common/join_file.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "server/api/sign.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPLAIN_MAX (256u << 10)

enum told {
	TOLD_CREATED,
	TOLD_CANCEL,
	TOLD_DECIDED,
	TOLD_MACHINE,
	TOLD_RELAY,
	TOLD_CA
};

struct note {
	struct server_hooks *hooks;
	enum told what;
	uint64_t number;
	char text[STORE_WHO_SIZE];
};

/* ---- on the main loop ---- */

static void take_note(void *arg)
{
	struct note *n = arg;
	struct server_hooks *h = n->hooks;

	if (h->stopping)
		goto out;
	switch (n->what) {
	case TOLD_CREATED:
		failpoint("task.committed");
		dispatch_task_created(h->dispatch, n->number);
		break;
	case TOLD_CANCEL:
		dispatch_task_cancel(h->dispatch, n->number, n->text);
		break;
	case TOLD_DECIDED:
		dispatch_task_decided(h->dispatch, n->number);
		break;
	case TOLD_MACHINE:
		fleet_changed(h->fleet, FLEET_MACHINE, n->text);
		dispatch_machine_changed(h->dispatch, n->text);
		break;
	case TOLD_RELAY:
		fleet_changed(h->fleet, FLEET_RELAY, n->text);
		break;
	case TOLD_CA:
		if (h->keeper != NULL)
			keeper_poke(h->keeper);
		fleet_changed(h->fleet, FLEET_ALL, "");
		break;
	}
out:
	free(n);
}

static void put(json_t *o, const char *key, json_t *value)
{
	if (o != NULL && value != NULL)
		(void)json_object_set_new(o, key, value);
}

static void put_fault(json_t *o, const struct fault *fault)
{
	if (fault->code == REASON_NONE)
		return;
	put(o, "reason", json_string(reason_name(fault->code)));
	put(o, "text", json_string(fault->text));
	put(o, "advice", json_string(reason_advice(fault->code)));
}

static json_t *rtt_json(uint32_t rtt_us)
{
	return rtt_us > 0 ? json_integer((json_int_t)rtt_us) : json_null();
}

static json_t *status_json(const struct server_hooks *h)
{
	struct dispatch_counts counts;

	dispatch_count(h->dispatch, &counts);
	return json_pack("{s:s, s:I, s:I}", "link_address",
	    fleet_listen_address(h->fleet), "open_tasks",
	    (json_int_t)counts.tasks, "runs_in_flight",
	    (json_int_t)counts.in_flight);
}

static enum rc route_json(
    const struct server_hooks *h, const char *machine, json_t **out)
{
	struct fleet_machine_state state;
	struct buf text;
	json_t *o, *lines;
	char *next, *line;
	enum rc rc = fleet_machine_state(h->fleet, machine, &state);

	if (rc != RC_OK)
		return rc;
	buf_init(&text, EXPLAIN_MAX);
	rc = fleet_explain(h->fleet, machine, &text);
	lines = json_array();
	next = rc == RC_OK && text.len > 0 ? (char *)text.data : NULL;
	while ((line = strsep(&next, "\n")) != NULL) {
		if (*line != '\0')
			(void)json_array_append_new(lines, json_string(line));
	}
	buf_fini(&text);
	o = json_pack("{s:s, s:s, s:I, s:s, s:o}", "live_presence",
	    store_presence_name(state.presence), "route", state.route, "rtt_us",
	    (json_int_t)state.rtt_us, "tentacle_version", state.version,
	    "explain", lines);
	put_fault(o, &state.fault);
	*out = o;
	return rc;
}

/* The rows follow within a second: who has just answered is there now. */
static void put_presence(
    json_t *o, enum store_presence presence, const struct fault *fault)
{
	const char *now = store_presence_name(presence);
	const char *row = json_string_value(json_object_get(o, "presence"));

	if (row == NULL || strcmp(row, now) == 0)
		return;
	put(o, "presence", json_string(now));
	put(o, "presence_text", json_string(fault->text));
	put(o, "presence_at_ms", json_integer(clock_wall_ms()));
}

/* What the rows cannot know: the route in use, its round trip, this moment. */
static void add_machine(const struct server_hooks *h, json_t *o)
{
	const char *id = json_string_value(json_object_get(o, "id"));
	struct fleet_machine_state state;

	if (id == NULL || fleet_machine_state(h->fleet, id, &state) != RC_OK)
		return;
	put_presence(o, state.presence, &state.fault);
	put(o, "last_seen_ms", json_integer((json_int_t)state.last_seen_ms));
	put(o, "route", json_string(state.route));
	put(o, "rtt_us", rtt_json(state.rtt_us));
}

static void add_relay(const struct server_hooks *h, json_t *o)
{
	const char *name = json_string_value(json_object_get(o, "name"));
	struct fleet_relay_state state;

	if (name == NULL || fleet_relay_state(h->fleet, name, &state) != RC_OK)
		return;
	put_presence(o, state.presence, &state.fault);
	put(o, "last_seen_ms", json_integer((json_int_t)state.last_seen_ms));
	put(o, "route", json_string(state.route));
	put(o, "rtt_us", rtt_json(state.rtt_us));
}

static enum rc relay_json(
    const struct server_hooks *h, const char *relay, json_t **out)
{
	struct fleet_relay_state state;
	enum rc rc = fleet_relay_state(h->fleet, relay, &state);

	if (rc != RC_OK)
		return rc;
	*out = json_pack("{s:s, s:s, s:b, s:o?, s:I, s:I}", "name", relay,
	    "live_presence", store_presence_name(state.presence), "linked",
	    state.linked ? 1 : 0, "rtt_us", rtt_json(state.rtt_us), "table_seq",
	    (json_int_t)state.table_seq, "table_want",
	    (json_int_t)state.table_want);
	add_relay(h, *out);
	put(*out, "streams",
	    json_integer((json_int_t)fleet_relay_streams(h->fleet, relay)));
	put_fault(*out, &state.fault);
	return RC_OK;
}

static json_t *machine_json(const struct server_hooks *h, const char *id)
{
	json_t *o = json_pack("{s:s}", "id", id);

	add_machine(h, o);
	return o;
}

static json_t *items_json(const struct server_hooks *h,
    const struct api_live *live,
    void (*add)(const struct server_hooks *h, json_t *o))
{
	json_t *one;
	size_t i;

	json_array_foreach(live->items, i, one)
	{
		add(h, one);
	}
	return json_object();
}

struct question {
	struct server_hooks *hooks;
	struct api_live *live;
};

/* Asked and answered in one turn. */
static void answer_now(const struct server_hooks *h, struct api_live *live)
{
	switch (live->kind) {
	case API_LIVE_STATUS:
		live->answer = status_json(h);
		break;
	case API_LIVE_ROUTE:
		live->rc = route_json(h, live->name, &live->answer);
		break;
	case API_LIVE_RELAY:
		live->rc = relay_json(h, live->name, &live->answer);
		break;
	case API_LIVE_MACHINE:
		live->answer = machine_json(h, live->name);
		break;
	case API_LIVE_MACHINES:
		live->answer = items_json(h, live, add_machine);
		break;
	case API_LIVE_RELAYS:
		live->answer = items_json(h, live, add_relay);
		break;
	case API_LIVE_TRACE_START:
	case API_LIVE_TRACE:
	case API_LIVE_LOCKS:
	case API_LIVE_LOCK_BREAK:
	case API_LIVE_SIGN:
		break; /* see answer() */
	}
	/* A row that the fleet has not read yet is no error. */
	if (live->rc == RC_NOTFOUND) {
		live->rc = RC_OK;
		live->answer = json_object();
	}
	if (live->rc == RC_OK && live->answer == NULL)
		live->rc = RC_NOMEM;
	api_live_answer(live);
}

/* ---- signing ---- */

struct signature {
	struct server_hooks *hooks;
	struct api_live *live;
};

static void on_signed(void *arg, const struct fault *fault, const char *name,
    struct bytes enrolled)
{
	struct signature *s = arg;
	struct api_live *live = s->live;
	char *text = NULL;

	if (fault != NULL) {
		live->rc = RC_DENIED;
		live->fault = *fault;
	} else {
		live->rc = join_answer_format(name, enrolled, &text);
	}
	if (live->rc == RC_OK)
		live->answer =
		    json_pack("{s:s, s:s}", "name", name, "answer", text);
	free(text);
	if (s->hooks->stopping)
		api_live_drop(live);
	else
		api_live_answer(live);
	free(s);
}

static void sign(struct server_hooks *h, struct api_live *live)
{
	struct signature *s = xcalloc(1, sizeof(*s));
	const struct fleet_signing signing = {
		.who = live->sign->who,
		.done = on_signed,
		.arg = s,
	};
	struct fault fault;
	enum rc rc;

	s->hooks = h;
	s->live = live;
	rc = fleet_sign(
	    h->fleet, &live->sign->request, &signing, &live->sign->grant);
	if (rc == RC_OK)
		return;
	fault_set(&fault, REASON_TOO_MANY, "",
	    "too many join at once; try again soon");
	on_signed(s, &fault, "", (struct bytes){ NULL, 0 });
}

static void answer(void *arg)
{
	struct question *q = arg;
	struct server_hooks *h = q->hooks;
	struct api_live *live = q->live;

	if (h->stopping)
		api_live_drop(live);
	else if (live->kind == API_LIVE_TRACE_START)
		traces_start(h->traces, live);
	else if (live->kind == API_LIVE_TRACE)
		traces_more(h->traces, live);
	else if (live->kind == API_LIVE_LOCKS ||
		 live->kind == API_LIVE_LOCK_BREAK)
		lock_ask(h, live);
	else if (live->kind == API_LIVE_SIGN)
		sign(h, live);
	else
		answer_now(h, live);
	free(q);
}

/* ---- on the HTTP thread ---- */

static void post_note(
    void *ctx, enum told what, uint64_t number, const char *text)
{
	struct server_hooks *h = ctx;
	struct note *n = xcalloc(1, sizeof(*n));

	n->hooks = h;
	n->what = what;
	n->number = number;
	(void)snprintf(n->text, sizeof(n->text), "%s", text);
	if (loop_post(h->loop, take_note, n) == RC_OK)
		return;
	/* It would wait until the next start. */
	log_error("server", NULL, "out of memory");
	abort();
}

static void task_created(void *ctx, uint64_t number)
{
	post_note(ctx, TOLD_CREATED, number, "");
}

static void task_cancel(void *ctx, uint64_t number, const char *who)
{
	post_note(ctx, TOLD_CANCEL, number, who);
}

static void task_decided(void *ctx, uint64_t number)
{
	post_note(ctx, TOLD_DECIDED, number, "");
}

static void machine_changed(void *ctx, const char *id)
{
	post_note(ctx, TOLD_MACHINE, 0, id);
}

static void relay_changed(void *ctx, const char *name)
{
	post_note(ctx, TOLD_RELAY, 0, name);
}

static void ca_changed(void *ctx)
{
	post_note(ctx, TOLD_CA, 0, "");
}

static void live(void *ctx, struct api_live *question)
{
	struct server_hooks *h = ctx;
	struct question *q = xcalloc(1, sizeof(*q));

	q->hooks = h;
	q->live = question;
	if (loop_post(h->loop, answer, q) == RC_OK)
		return;
	log_error("server", NULL, "out of memory");
	abort();
}

void server_hooks_fill(struct server_hooks *hooks, struct api_hooks *out)
{
	*out = (struct api_hooks){ .ctx = hooks,
		.task_created = task_created,
		.task_cancel = task_cancel,
		.task_decided = task_decided,
		.machine_changed = machine_changed,
		.relay_changed = relay_changed,
		.ca_changed = ca_changed,
		.live = live };
}

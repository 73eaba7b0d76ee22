#include "server/traces.h"

#include "common/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define TRACES_MAX  64U    /* kept, with those that have ended */
#define KEEP_MS     60000U /* after the end */
#define QUESTION_MS 4000U  /* a question waits so long for an answer */

struct trace {
	TAILQ_ENTRY(trace) all;
	struct traces *traces;
	char id[ID_SIZE];
	char machine[NAME_SIZE];
	struct fleet_trace *fleet; /* NULL: it has ended */
	json_t *hops;
	struct fault fault; /* after the end: why no work is given */
	struct api_live *waiting;
	size_t waiting_after;
	struct loop_timer *timer; /* answer what there is; later: forget */
};

TAILQ_HEAD(trace_list, trace);

struct traces {
	struct loop *loop;
	struct fleet *fleet;
	struct trace_list list; /* oldest first */
	size_t count;
};

static void forget(struct trace *t)
{
	TAILQ_REMOVE(&t->traces->list, t, all);
	t->traces->count--;
	fleet_trace_cancel(t->fleet);
	if (t->waiting != NULL)
		api_live_drop(t->waiting);
	loop_timer_free(t->timer);
	json_decref(t->hops);
	free(t);
}

/* ---- answers ---- */

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
	put(o, "at", json_string(fault->at));
	put(o, "text", json_string(fault->text));
	put(o, "advice", json_string(reason_advice(fault->code)));
}

static void answer(struct trace *t, struct api_live *question, size_t after)
{
	json_t *hops = json_array();

	for (size_t i = after; i < json_array_size(t->hops); i++)
		(void)json_array_append(hops, json_array_get(t->hops, i));
	question->answer = json_pack("{s:s, s:o, s:b}", "trace", t->id, "hops",
	    hops, "done", t->fleet == NULL ? 1 : 0);
	if (t->fleet == NULL)
		put_fault(question->answer, &t->fault);
	question->rc = question->answer != NULL ? RC_OK : RC_NOMEM;
	api_live_answer(question);
}

static void answer_waiting(struct trace *t)
{
	struct api_live *question = t->waiting;

	t->waiting = NULL;
	if (question != NULL)
		answer(t, question, t->waiting_after);
}

static void on_timer(void *arg)
{
	struct trace *t = arg;

	answer_waiting(t);
	if (t->fleet == NULL)
		forget(t);
}

/* ---- what the fleet tells ---- */

static json_t *bytes_json(struct bytes text)
{
	return json_stringn((const char *)text.p, text.len);
}

static json_t *link_json(const struct fleet_hop *hop)
{
	const struct msg_hop_link *l = &hop->link;
	json_t *queued = json_object();

	for (int c = 0; c < CLASS_COUNT; c++)
		put(queued, class_name((enum stream_class)c),
		    json_integer((json_int_t)l->queued[c]));
	return json_pack("{s:s, s:s, s:b, s:s, s:I, s:I, s:o, s:I, s:o?}", "to",
	    hop->to, "state", l->up ? "up" : "down", "dialled",
	    l->dialled ? 1 : 0, "address", l->address, "rtt_us",
	    (json_int_t)l->rtt_us, "up_ms", (json_int_t)l->up_ms, "queued",
	    queued, "certificate_expires_ms", (json_int_t)l->expires_s * 1000,
	    "version", bytes_json(l->version));
}

static void on_hop(void *arg, const struct fleet_hop *hop)
{
	struct trace *t = arg;
	json_t *o = json_pack("{s:I, s:s, s:b, s:s, s:s, s:I, s:b, s:o?, s:I}",
	    "route", (json_int_t)hop->route, "path", hop->path, "in_use",
	    hop->in_use ? 1 : 0, "id", hop->id, "by", hop->by, "after_us",
	    (json_int_t)hop->after_us, "arrived", hop->arrived ? 1 : 0,
	    "version", bytes_json(hop->version), "certificate_expires_ms",
	    (json_int_t)hop->expires_s * 1000);

	if (hop->has_link)
		put(o, "link", link_json(hop));
	if (o != NULL)
		put_fault(o, &hop->fault);
	(void)json_array_append_new(t->hops, o);
	answer_waiting(t);
}

static void on_done(void *arg, const struct fault *fault)
{
	struct trace *t = arg;

	t->fleet = NULL;
	t->fault = *fault;
	answer_waiting(t);
	loop_timer_set(t->timer, KEEP_MS);
}

/* ---- questions ---- */

/* Room for one more, by forgetting the oldest that has ended. */
static bool has_room(struct traces *all)
{
	struct trace *t;

	if (all->count < TRACES_MAX)
		return true;
	TAILQ_FOREACH(t, &all->list, all)
	{
		if (t->fleet == NULL) {
			forget(t);
			return true;
		}
	}
	return false;
}

static MUST_CHECK enum rc begin(struct traces *all, struct trace *t)
{
	const struct fleet_trace_user user = {
		.hop = on_hop, .done = on_done, .arg = t
	};
	enum rc rc = t->hops != NULL ? RC_OK : RC_NOMEM;

	if (rc == RC_OK)
		rc = loop_timer_new(all->loop, on_timer, t, &t->timer);
	if (rc == RC_OK)
		rc = fleet_trace(all->fleet, t->machine, &user, &t->fleet);
	return rc;
}

static void refuse(struct api_live *question, enum rc rc)
{
	question->rc = rc;
	if (rc == RC_LIMIT)
		fault_set(&question->fault, REASON_TOO_MANY, "",
		    "%d traces are under way already", FLEET_TRACES_MAX);
	api_live_answer(question);
}

void traces_start(struct traces *all, struct api_live *question)
{
	struct trace *t = has_room(all) ? calloc(1, sizeof(*t)) : NULL;
	enum rc rc;

	if (t == NULL) {
		refuse(question, RC_LIMIT);
		return;
	}
	t->traces = all;
	t->hops = json_array();
	random_hex(t->id, ID_BYTES);
	(void)snprintf(t->machine, sizeof(t->machine), "%s", question->name);
	TAILQ_INSERT_TAIL(&all->list, t, all);
	all->count++;
	rc = begin(all, t);
	if (rc == RC_OK) {
		answer(t, question, 0);
		return;
	}
	forget(t);
	refuse(question, rc);
}

void traces_more(struct traces *all, struct api_live *question)
{
	size_t after =
	    question->after < SIZE_MAX ? (size_t)question->after : SIZE_MAX;
	struct trace *t;

	TAILQ_FOREACH(t, &all->list, all)
	{
		if (strcmp(t->id, question->trace) == 0 &&
		    strcmp(t->machine, question->name) == 0)
			break;
	}
	if (t == NULL) {
		fault_set(&question->fault, REASON_NOT_FOUND, "",
		    "there is no such trace (any more)");
		refuse(question, RC_NOTFOUND);
		return;
	}
	if (t->fleet == NULL || json_array_size(t->hops) > after) {
		answer(t, question, after);
		return;
	}
	/* One at a time waits: another one takes its place. */
	answer_waiting(t);
	t->waiting = question;
	t->waiting_after = after;
	loop_timer_set(t->timer, QUESTION_MS);
}

/* ---- life ---- */

enum rc traces_new(struct loop *loop, struct fleet *fleet, struct traces **out)
{
	struct traces *all = calloc(1, sizeof(*all));

	if (all == NULL)
		return RC_NOMEM;
	all->loop = loop;
	all->fleet = fleet;
	TAILQ_INIT(&all->list);
	*out = all;
	return RC_OK;
}

void traces_free(struct traces *all)
{
	struct trace *t, *next;

	if (all == NULL)
		return;
	for (t = TAILQ_FIRST(&all->list); t != NULL; t = next) {
		next = TAILQ_NEXT(t, all);
		forget(t);
	}
	free(all);
}

#include "relay/relay.h"

#include "common/log.h"
#include "common/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Traces that a person waits for: a handful at a time. */
#define TRACES_MAX 32
/* Each hop waits a little less, so that the last that lives tells first. */
#define WAIT_PARTS 4
#define WAIT_MS    10000U

struct trace {
	struct relay *relay;
	struct answer *answer;
	struct tracer *tracer; /* NULL: over */
};

static void fill_own(const struct relay *r, struct msg_hop *hop)
{
	const struct member *m = r->member;
	int64_t expires_s = identity_not_after_s(m->identity);

	*hop = (struct msg_hop){
		.version = bytes_text(LONGARM_VERSION),
		.expires_s = expires_s > 0 ? (uint64_t)expires_s : 0,
	};
	(void)snprintf(hop->by, sizeof(hop->by), "relay/%s", relay_name(r));
}

/* The link to the next hop, or what is known without one. */
static void fill_link(const struct onward *on, struct msg_hop *hop)
{
	const struct neighbour *n = on->to;
	const char *role = n->role == ROLE_RELAY ? "relay" : "machine";

	hop->has_link = true;
	(void)snprintf(
	    hop->link.to, sizeof(hop->link.to), "%s/%s", role, n->name);
	if (n->link != NULL) {
		hop_link_fill(n->link, &hop->link);
		return;
	}
	hop->link.dialled = n->dialler != NULL;
	if (n->dialler != NULL)
		endpoint_format(&n->endpoint, hop->link.address);
}

static void finish(struct trace *t)
{
	t->relay->traces--;
	free(t);
}

static void on_hop(void *arg, struct bytes message)
{
	const struct trace *t = arg;

	answer_pass(t->answer, message);
}

static void on_end(void *arg, const struct fault *fault)
{
	struct trace *t = arg;
	struct msg_hop hop;

	if (fault->code != REASON_NONE) {
		fill_own(t->relay, &hop);
		hop.fault = *fault;
		answer_say(t->answer, &hop);
	}
	answer_end(t->answer);
	finish(t);
}

static void on_gone(void *arg)
{
	struct trace *t = arg;

	tracer_free(t->tracer);
	finish(t);
}

void trace_answer(struct relay *r, struct link *link, uint32_t stream)
{
	struct answer *answer;
	struct msg_hop hop;

	if (answer_new(link, stream, NULL, NULL, &answer) != RC_OK)
		return;
	fill_own(r, &hop);
	answer_say(answer, &hop);
	answer_end(answer);
}

static struct trace *trace_new(
    struct relay *r, struct link *link, uint32_t stream)
{
	struct trace *t = r->traces < TRACES_MAX ? calloc(1, sizeof(*t)) : NULL;
	struct fault fault;

	if (t == NULL) {
		fault_set(&fault, REASON_TOO_MANY, relay_name(r),
		    "relay %s answers %u traces already", relay_name(r),
		    r->traces);
		link_reset(link, stream, &fault, false);
		return NULL;
	}
	t->relay = r;
	if (answer_new(link, stream, on_gone, t, &t->answer) != RC_OK) {
		free(t);
		return NULL;
	}
	r->traces++;
	return t;
}

/* Ask the next hop; what goes wrong with it is said. */
static void ask_beyond(struct trace *t, const struct onward *on)
{
	const struct tracer_user user = {
		.hop = on_hop, .end = on_end, .arg = t
	};
	struct msg_open open = on->next;
	struct fault fault;
	enum rc rc;

	if (open.deadline_ms > WAIT_MS)
		open.deadline_ms = WAIT_MS;
	open.deadline_ms -= open.deadline_ms / WAIT_PARTS;
	open.service_class = CLASS_CONTROL;
	rc = tracer_open(on->to->link, &open, on->to->label, &user, &t->tracer);
	if (rc == RC_OK)
		return;
	fault_set(&fault, rc == RC_LIMIT ? REASON_TOO_MANY : REASON_MEMORY,
	    relay_name(t->relay),
	    "%s: cannot open another stream on the link to it (%s)",
	    on->to->label, rc_name(rc));
	on_end(t, &fault);
}

void trace_pass(struct relay *r, struct link *link, uint32_t stream,
    const struct onward *on)
{
	struct trace *t = trace_new(r, link, stream);
	struct msg_hop hop;
	bool linked;

	if (t == NULL)
		return;
	fill_own(r, &hop);
	linked = relay_is_linked(on->to, &hop.fault);
	fill_link(on, &hop);
	answer_say(t->answer, &hop);
	log_debug("relay", on->next.trace, "traced to %s", on->to->label);
	if (linked) {
		ask_beyond(t, on);
		return;
	}
	answer_end(t->answer);
	finish(t);
}

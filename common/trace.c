#include "common/trace.h"

#include "proto/frame.h"
#include "proto/lenframe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Asking --------------------------------------------------------------- */

struct tracer {
	struct stream_user stream_user; /* first: see common/link.h */
	struct link *link;
	uint32_t stream;
	struct tracer_user user;
	struct lenframe frames;
	struct loop_timer *deadline;
	uint32_t deadline_ms;
	unsigned hops;
	bool ended; /* all was said: what follows is of no interest */
	char label[NAME_SIZE + 8];
};

static void destroy(struct tracer *t)
{
	loop_timer_free(t->deadline);
	lenframe_fini(&t->frames);
	free(t);
}

/* The stream is gone already. */
static void finish(struct tracer *t, const struct fault *fault)
{
	struct tracer_user user = t->user;
	struct fault copy = *fault;

	destroy(t);
	user.end(user.arg, &copy);
}

/* It is not: end it. */
static void give_up(struct tracer *t, const struct fault *fault)
{
	link_reset(t->link, t->stream, fault, true);
	finish(t, fault);
}

static void on_deadline(void *arg)
{
	struct tracer *t = arg;
	struct fault fault;

	fault_set(&fault, REASON_DEADLINE, link_net_name(link_net_of(t->link)),
	    "%s: is connected, but gave no answer within %u.%u s", t->label,
	    t->deadline_ms / 1000, t->deadline_ms % 1000 / 100);
	give_up(t, &fault);
}

/* Hand out whole messages.  RC_OK: more may come. */
static MUST_CHECK enum rc take(
    struct tracer *t, struct bytes input, struct fault *fault)
{
	struct bytes message;
	enum rc rc;

	do {
		rc = lenframe_feed(&t->frames, &input, fault);
		while (rc == RC_OK &&
		       lenframe_next(&t->frames, &message) == RC_OK) {
			if (t->hops++ >= TRACE_HOPS_MAX) {
				fault_set(fault, REASON_PROTOCOL,
				    link_net_name(link_net_of(t->link)),
				    "%s: says more than %d hops", t->label,
				    TRACE_HOPS_MAX);
				return RC_PROTO;
			}
			t->user.hop(t->user.arg, message);
		}
	} while (rc == RC_OK && input.len > 0);
	if (rc == RC_NOMEM)
		fault_set(fault, REASON_MEMORY,
		    link_net_name(link_net_of(t->link)), "out of memory");
	return rc;
}

static void on_traced(
    struct stream_user *user, struct link *link, const struct mux_event *event)
{
	struct tracer *t = (struct tracer *)user;
	struct fault fault;
	bool done;

	switch (event->type) {
	case MUX_ACCEPTED:
		link_end(link, t->stream); /* nothing is asked but by OPEN */
		break;
	case MUX_DATA:
		if (take(t, event->data, &fault) != RC_OK)
			give_up(t, &fault);
		else
			link_consumed(link, t->stream, event->data.len);
		break;
	case MUX_RESET:
	case MUX_BROKEN:
		link_stream_fault(link, event, &fault, &done);
		finish(t, &fault);
		break;
	case MUX_CLOSED:
		fault_clear(&fault);
		finish(t, &fault);
		break;
	case MUX_END:
	case MUX_WRITABLE:
	case MUX_HELLO:
	case MUX_OPENED:
	case MUX_PONG:
	case MUX_GOAWAY:
	case MUX_TELL:
		break;
	}
}

enum rc tracer_open(struct link *link, const struct msg_open *open,
    const char *label, const struct tracer_user *user, struct tracer **out)
{
	struct tracer *t = calloc(1, sizeof(*t));
	enum rc rc;

	if (t == NULL)
		return RC_NOMEM;
	t->stream_user.event = on_traced;
	t->link = link;
	t->user = *user;
	t->deadline_ms = open->deadline_ms;
	(void)snprintf(t->label, sizeof(t->label), "%s", label);
	lenframe_init(&t->frames, TRACE_MESSAGE_MAX);
	rc = loop_timer_new(
	    link_net_loop(link_net_of(link)), on_deadline, t, &t->deadline);
	if (rc == RC_OK)
		rc = link_open(link, open, &t->stream_user, &t->stream);
	if (rc != RC_OK) {
		destroy(t);
		return rc;
	}
	loop_timer_set(t->deadline, open->deadline_ms);
	*out = t;
	return RC_OK;
}

void tracer_free(struct tracer *t)
{
	struct fault fault;

	if (t == NULL)
		return;
	fault_set(&fault, REASON_CANCELLED, link_net_name(link_net_of(t->link)),
	    "nobody waits for it");
	link_reset(t->link, t->stream, &fault, true);
	destroy(t);
}

/* --- Answering ------------------------------------------------------------ */

struct answer {
	struct stream_user stream_user; /* first */
	struct link *link;
	uint32_t stream;
	answer_gone_fn gone; /* NULL: answer_end() was called */
	void *arg;
};

static void on_answered(
    struct stream_user *user, struct link *link, const struct mux_event *event)
{
	struct answer *a = (struct answer *)user;
	answer_gone_fn gone = a->gone;
	void *arg = a->arg;

	if (event->type == MUX_DATA) /* of no interest */
		link_consumed(link, a->stream, event->data.len);
	if (event->type != MUX_RESET && event->type != MUX_BROKEN &&
	    event->type != MUX_CLOSED)
		return;
	free(a);
	if (gone != NULL)
		gone(arg);
}

enum rc answer_new(struct link *link, uint32_t stream, answer_gone_fn gone,
    void *arg, struct answer **out)
{
	const struct msg_accept accept = { .credit = 0 };
	struct answer *a = calloc(1, sizeof(*a));
	struct fault fault;
	enum rc rc = a != NULL ? RC_OK : RC_NOMEM;

	if (rc == RC_OK) {
		a->stream_user.event = on_answered;
		a->link = link;
		a->stream = stream;
		a->gone = gone;
		a->arg = arg;
		rc = link_accept(
		    link, stream, CLASS_CONTROL, &accept, &a->stream_user);
	}
	if (rc == RC_OK) {
		*out = a;
		return RC_OK;
	}
	fault_set(&fault, REASON_MEMORY, link_net_name(link_net_of(link)),
	    "cannot answer a trace (%s)", rc_name(rc));
	link_reset(link, stream, &fault, false);
	free(a);
	return rc;
}

/* Few and small: a stream's queue holds more than all of them. */
static void send_framed(struct answer *a, const uint8_t *data, size_t len)
{
	size_t taken;

	if (link_send(a->link, a->stream, data, len, &taken) != RC_OK)
		return; /* the link is going; gone() is on its way */
}

void answer_say(struct answer *a, const struct msg_hop *hop)
{
	struct packbuf pack;
	size_t mark;

	packbuf_init(&pack, TRACE_MESSAGE_MAX + LENFRAME_HEADER);
	mark = lenframe_begin(&pack);
	if (msg_hop_encode(hop, &pack) == RC_OK &&
	    lenframe_end(&pack, mark, TRACE_MESSAGE_MAX) == RC_OK)
		send_framed(a, pack.data, pack.len);
	packbuf_fini(&pack);
}

void answer_pass(struct answer *a, struct bytes message)
{
	uint8_t framed[LENFRAME_HEADER + TRACE_MESSAGE_MAX];

	if (message.len > TRACE_MESSAGE_MAX)
		return;
	frame_store_u32(framed, (uint32_t)message.len);
	memcpy(framed + LENFRAME_HEADER, message.p, message.len);
	send_framed(a, framed, LENFRAME_HEADER + message.len);
}

void answer_end(struct answer *a)
{
	a->gone = NULL;
	link_end(a->link, a->stream);
}

/* --- What a hop says of a link ---------------------------------------------
 */

static uint32_t narrow(uint64_t number)
{
	return number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
}

void hop_link_fill(struct link *link, struct msg_hop_link *out)
{
	const struct msg_hello *hello = link_hello(link);
	const struct peer *peer = link_peer(link);
	struct mux_stats stats;

	mux_stats(link_mux(link), &stats);
	out->up = link_is_up(link);
	out->dialled = link_role(link) == MUX_DIALLER;
	if (endpoint_is_valid(link_address(link)))
		(void)snprintf(out->address, sizeof(out->address), "%s",
		    link_address(link));
	out->rtt_us = link_rtt_us(link);
	out->up_ms = link_up_ms(link);
	for (int c = 0; c < CLASS_COUNT; c++)
		out->queued[c] = narrow(stats.queued[c]);
	out->queued[CLASS_CONTROL] =
	    narrow(stats.queued[CLASS_CONTROL] + stats.control_queued);
	out->expires_s =
	    peer->not_after_s > 0 ? (uint64_t)peer->not_after_s : 0;
	out->version = hello->version;
}

#include "common/bridge.h"

#include <stdio.h>
#include <stdlib.h>

struct half {
	struct stream_user user; /* first: see common/link.h */
	struct bridge *bridge;
	struct half *other;
	struct link *link; /* NULL: this side is over */
	uint32_t stream;
};

struct bridge {
	struct bridges *all;
	struct half in;              /* towards the opener */
	struct half out;             /* towards the target */
	struct loop_timer *deadline; /* until ACCEPT, then of its life */
	bool accepted;
	enum stream_class class;
	char label[NAME_SIZE];
};

struct bridges {
	struct loop *loop;
	char name[NAME_SIZE + 16];
	bool hidden; /* from `via` */
	uint32_t count, max;
	uint32_t life_ms; /* 0: no limit */
	bridge_tap_fn tap;
	void *tap_arg;
};

enum rc bridges_new(
    struct loop *loop, const char *name, uint32_t max, struct bridges **out)
{
	struct bridges *all = calloc(1, sizeof(*all));

	if (all == NULL)
		return RC_NOMEM;
	all->loop = loop;
	all->max = max;
	(void)snprintf(all->name, sizeof(all->name), "%s", name);
	*out = all;
	return RC_OK;
}

void bridges_free(struct bridges *all)
{
	free(all);
}

void bridges_set_life(struct bridges *all, uint32_t ms)
{
	all->life_ms = ms;
}

void bridges_hide(struct bridges *all)
{
	all->hidden = true;
}

void bridges_tap(struct bridges *all, bridge_tap_fn fn, void *arg)
{
	all->tap = fn;
	all->tap_arg = arg;
}

uint32_t bridges_count(const struct bridges *all)
{
	return all->count;
}

/* One side is over; the bridge goes with the second. */
static void leave(struct half *half)
{
	struct bridge *b = half->bridge;

	half->link = NULL;
	if (half->other->link != NULL)
		return;
	loop_timer_free(b->deadline);
	b->all->count--;
	free(b);
}

static void reset_other(struct half *half, const struct fault *fault, bool done)
{
	struct half *other = half->other;
	struct link *link = other->link;

	if (link != NULL) {
		other->link = NULL;
		link_reset(link, other->stream, fault, done);
	}
	leave(half);
}

static void on_data(struct half *half, const struct mux_event *event)
{
	struct half *other = half->other;
	struct bridges *all = half->bridge->all;
	struct fault fault;
	size_t taken = 0;

	if (other->link == NULL)
		return;
	if (all->tap != NULL)
		all->tap(all->tap_arg, event->data.p, event->data.len);
	if (link_pass(other->link, other->stream, event->data)) {
		link_consumed(half->link, half->stream, event->data.len);
		return;
	}
	/* Its queue holds a whole window, so it takes all that we granted. */
	if (link_send(other->link, other->stream, event->data.p,
		event->data.len, &taken) == RC_OK &&
	    taken == event->data.len)
		return;
	if (half->link == NULL || other->link == NULL)
		return; /* its last event came meanwhile */
	fault_set(&fault, REASON_MEMORY, all->name,
	    "%s: no memory to forward its data", half->bridge->label);
	link_reset(half->link, half->stream, &fault, true);
	reset_other(half, &fault, true);
}

static void add_to_way(const struct bridges *all,
    const struct msg_accept *beyond, struct msg_accept *out)
{
	const char *name = all->hidden ? "" : all->name;
	bool both = name[0] != '\0' && beyond->via[0] != '\0';

	/* A way that is too long to be told is only longer, not wrong. */
	if (snprintf(out->via, sizeof(out->via), "%s%s%s", name,
		both ? "/" : "", beyond->via) >= (int)sizeof(out->via))
		out->via[0] = '\0';
}

static void on_accepted(struct half *half, const struct mux_event *event)
{
	struct bridge *b = half->bridge;
	struct msg_accept beyond, accept = { .credit = 0 };
	struct fault fault;

	b->accepted = true;
	if (b->all->life_ms > 0)
		loop_timer_set(b->deadline, b->all->life_ms);
	else
		loop_timer_stop(b->deadline);
	if (b->in.link == NULL ||
	    msg_accept_decode(event->data, &beyond, &fault) != RC_OK)
		return;
	add_to_way(b->all, &beyond, &accept);
	if (link_accept(b->in.link, b->in.stream, b->class, &accept,
		&b->in.user) != RC_OK) {
		fault_set(&fault, REASON_MEMORY, b->all->name,
		    "%s: no memory to accept", b->label);
		link_reset(half->link, half->stream, &fault, true);
		reset_other(half, &fault, true);
		return;
	}
	mux_set_queue_max(link_mux(b->in.link), b->in.stream,
	    link_net_config(link_net_of(half->link))->mux.max_window, true);
}

static void on_stream(
    struct stream_user *user, struct link *link, const struct mux_event *event)
{
	struct half *half = (struct half *)user;
	struct fault fault;
	bool done;

	switch (event->type) {
	case MUX_DATA:
		on_data(half, event);
		break;
	case MUX_WRITABLE:
		if (half->other->link != NULL)
			link_consumed(half->other->link, half->other->stream,
			    event->sent);
		break;
	case MUX_ACCEPTED:
		on_accepted(half, event);
		break;
	case MUX_END:
		if (half->other->link != NULL)
			link_end(half->other->link, half->other->stream);
		break;
	case MUX_RESET:
	case MUX_BROKEN:
		link_stream_fault(link, event, &fault, &done);
		reset_other(half, &fault, done);
		break;
	case MUX_CLOSED:
		leave(half);
		break;
	case MUX_HELLO:
	case MUX_OPENED:
	case MUX_PONG:
	case MUX_GOAWAY:
	case MUX_TELL:
		break;
	}
}

static void on_deadline(void *arg)
{
	struct bridge *b = arg;
	struct fault fault;

	fault_set(&fault, REASON_DEADLINE, b->all->name,
	    b->accepted ? "%s: the stream took too long"
			: "%s: did not accept the stream in time",
	    b->label);
	if (b->out.link != NULL)
		link_reset(b->out.link, b->out.stream, &fault, b->accepted);
	reset_other(&b->out, &fault, b->accepted);
}

static MUST_CHECK enum rc connect_halves(
    struct bridge *b, struct link *to, const struct msg_open *open)
{
	enum rc rc = loop_timer_new(b->all->loop, on_deadline, b, &b->deadline);

	if (rc == RC_OK)
		rc = link_open(to, open, &b->out.user, &b->out.stream);
	if (rc != RC_OK)
		return rc;
	b->out.link = to;
	mux_set_owner(link_mux(b->in.link), b->in.stream, &b->in.user);
	mux_set_queue_max(link_mux(to), b->out.stream,
	    link_net_config(link_net_of(to))->mux.max_window, true);
	loop_timer_set(b->deadline, open->deadline_ms);
	return RC_OK;
}

enum rc bridge_new(struct bridges *all, struct link *from, uint32_t stream,
    struct link *to, const char *to_label, const struct msg_open *open)
{
	struct bridge *b = NULL;
	struct fault fault;
	enum rc rc = all->count >= all->max ? RC_LIMIT : RC_OK;

	if (rc == RC_OK) {
		b = calloc(1, sizeof(*b));
		rc = b == NULL ? RC_NOMEM : RC_OK;
	}
	if (rc == RC_OK) {
		b->all = all;
		b->class = open->service_class;
		(void)snprintf(b->label, sizeof(b->label), "%s", to_label);
		b->in = (struct half){ .user.event = on_stream,
			.bridge = b,
			.other = &b->out,
			.link = from,
			.stream = stream };
		b->out = (struct half){
			.user.event = on_stream, .bridge = b, .other = &b->in
		};
		rc = connect_halves(b, to, open);
	}
	if (rc == RC_OK) {
		all->count++;
		return RC_OK;
	}
	if (rc == RC_STATE)
		fault_set(&fault, REASON_DRAINING, all->name,
		    "%s: the link to it is being closed", to_label);
	else
		fault_set(&fault,
		    rc == RC_LIMIT ? REASON_TOO_MANY : REASON_MEMORY, all->name,
		    "%s: cannot open another stream on the link to it (%s)",
		    to_label, rc_name(rc));
	link_reset(from, stream, &fault, false);
	if (b != NULL)
		loop_timer_free(b->deadline);
	free(b);
	return rc;
}

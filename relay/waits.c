#include "relay/relay.h"

#include "common/log.h"

#include <stdlib.h>
#include <string.h>

/*
 * Streams whose opener knows a newer route table than this relay: the pages are
 * most likely on their way.  Each waits for so long, with what came behind its
 * OPEN, and is then opened or refused.
 */

#define WAITS_MAX 256

struct wait {
	struct stream_user user; /* first: see common/link.h */
	TAILQ_ENTRY(wait) all;
	uint64_t round; /* looked at in this one */
	struct relay *relay;
	struct link *link;
	uint32_t stream;
	struct msg_open open;
	struct loop_timer *deadline;
	uint64_t since_us;
	struct fault fault; /* why it waits */
	uint8_t *data;      /* MUX_INITIAL_CREDIT bytes; NULL: nothing came */
	size_t len;
	bool ended; /* the opener has nothing more to say */
};

static void forget(struct relay *r, struct wait *w)
{
	TAILQ_REMOVE(&r->waits, w, all);
	r->wait_count--;
	loop_timer_free(w->deadline);
	free(w->data);
	free(w);
}

static void give_up(struct wait *w, const struct fault *fault)
{
	struct link *link = w->link;
	struct msg_open open = w->open;
	uint32_t stream = w->stream;

	forget(w->relay, w);
	relay_refuse(link, stream, &open, fault);
}

static void on_deadline(void *arg)
{
	struct wait *w = arg;
	struct fault fault = w->fault;

	give_up(w, &fault);
}

static void keep(struct wait *w, struct bytes data)
{
	struct fault fault;

	if (w->data == NULL)
		w->data = malloc(MUX_INITIAL_CREDIT);
	if (w->data == NULL || data.len > MUX_INITIAL_CREDIT - w->len) {
		fault_set(&fault, REASON_MEMORY, relay_name(w->relay),
		    "no memory for what comes while the route table is awaited");
		give_up(w, &fault);
		return;
	}
	memcpy(w->data + w->len, data.p, data.len);
	w->len += data.len;
}

static void on_stream(
    struct stream_user *user, struct link *link, const struct mux_event *event)
{
	struct wait *w = (struct wait *)user;

	(void)link;
	switch (event->type) {
	case MUX_DATA:
		keep(w, event->data);
		break;
	case MUX_END:
		w->ended = true;
		break;
	case MUX_RESET:
	case MUX_BROKEN:
	case MUX_CLOSED:
		forget(w->relay, w);
		break;
	case MUX_HELLO:
	case MUX_OPENED:
	case MUX_ACCEPTED:
	case MUX_WRITABLE:
	case MUX_PONG:
	case MUX_GOAWAY:
	case MUX_TELL:
		break;
	}
}

bool relay_wait(struct relay *r, struct link *link, uint32_t stream,
    const struct msg_open *open, const struct fault *fault)
{
	uint32_t ms = r->settings->stale_ms;
	struct wait *w;

	if (ms == 0 || r->wait_count >= WAITS_MAX)
		return false;
	w = calloc(1, sizeof(*w));
	if (w == NULL ||
	    loop_timer_new(r->loop, on_deadline, w, &w->deadline) != RC_OK) {
		free(w);
		return false;
	}
	w->user.event = on_stream;
	w->relay = r;
	w->link = link;
	w->stream = stream;
	w->open = *open;
	w->since_us = loop_now_us(r->loop);
	w->fault = *fault;
	TAILQ_INSERT_TAIL(&r->waits, w, all);
	r->wait_count++;
	mux_set_owner(link_mux(link), stream, &w->user);
	loop_timer_set(
	    w->deadline, open->deadline_ms < ms ? open->deadline_ms : ms);
	return true;
}

/* Hand what came meanwhile to whom the stream belongs now. */
static void replay(const struct wait *w)
{
	struct mux *mux = link_mux(w->link);
	struct mux_event event = { .type = MUX_DATA,
		.stream = w->stream,
		.data = bytes_of(w->data, w->len) };
	struct stream_user *user = mux_owner(mux, w->stream);

	if (user != NULL && w->len > 0)
		user->event(user, w->link, &event);
	user = mux_owner(mux, w->stream);
	event.type = MUX_END;
	event.data = bytes_of(NULL, 0);
	if (user != NULL && w->ended)
		user->event(user, w->link, &event);
}

static void go_on(struct wait *w, struct onward *on)
{
	uint64_t ms = (loop_now_us(w->relay->loop) - w->since_us) / 1000;

	on->next.deadline_ms =
	    on->next.deadline_ms > ms ? on->next.deadline_ms - (uint32_t)ms : 1;
	mux_set_owner(link_mux(w->link), w->stream, NULL);
	log_debug("relay", w->open.trace, "%s: the route table has come",
	    on->entry->name);
	if (relay_pass(w->relay, w->link, w->stream, on))
		replay(w);
	forget(w->relay, w);
}

/* One that was not looked at in this round; NULL: no more. */
static struct wait *next_of_round(const struct relay *r)
{
	struct wait *w;

	TAILQ_FOREACH(w, &r->waits, all)
	{
		if (w->round != r->wait_round)
			return w;
	}
	return NULL;
}

/* What one of them does may end another. */
void relay_waits_look(struct relay *r)
{
	struct wait *w;
	struct onward on;
	struct fault fault;

	r->wait_round++;
	while ((w = next_of_round(r)) != NULL) {
		w->round = r->wait_round;
		if (relay_onward(r, w->link, &w->open, &on, &fault))
			go_on(w, &on);
		else if (fault.code == REASON_STALE_ROUTE)
			w->fault = fault;
		else
			give_up(w, &fault);
	}
}

void relay_waits_free(struct relay *r)
{
	struct wait *w, *next;

	for (w = TAILQ_FIRST(&r->waits); w != NULL; w = next) {
		next = TAILQ_NEXT(w, all);
		forget(r, w);
	}
}

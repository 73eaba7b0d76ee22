#include "common/backoff.h"
#include "common/log.h"
#include "proto/lenframe.h"
#include "server/fleet/fleet_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct control {
	struct way way; /* first */
	struct station *relay;
	struct loop_timer *retry;
	struct backoff backoff;
	bool needs_full;  /* what it has cannot be built upon */
	bool compared;    /* in this session: it has what acked_* say */
	uint64_t ahead;   /* it has this number, and we do not; 0: no */
	bool subscribed;  /* presence comes */
	bool was_open;    /* the session that ends */
	bool moving;      /* another one follows it at once */
	bool doubted;     /* in this session: it was sent the whole again */
	bool pushing;     /* pages are out, the ack is not in */
	bool pushed_full; /* they were the whole table */
	uint64_t acked_mark, acked_seq;
	uint64_t push_mark, push_seq;
	struct pages *pages; /* not yet taken by the seal */
};

bool control_is_open(const struct control *c)
{
	return c != NULL && c->way.state == WAY_READY;
}

bool control_is_moving(const struct control *c)
{
	return c != NULL && c->moving;
}

bool control_has(const struct control *c, uint64_t mark)
{
	return control_is_open(c) && c->acked_mark >= mark;
}

uint64_t control_acked_seq(const struct control *c)
{
	return c != NULL ? c->acked_seq : 0;
}

enum rc control_send(struct control *c, enum rc rc, struct packbuf *pack)
{
	return way_send(&c->way, rc, pack);
}

const struct way *control_way(const struct control *c)
{
	return control_is_open(c) ? &c->way : NULL;
}

const struct seal *control_seal(const struct control *c)
{
	return control_is_open(c) ? c->way.seal : NULL;
}

/* --- Tables down -----------------------------------------------------------
 */

/* End the session and begin again later. */
static void fail(struct control *c, enum reason code, const char *text)
{
	struct fault fault;

	fault_set(
	    &fault, code, c->relay->fleet->at, "%s: %s", c->relay->name, text);
	way_fail(&c->way, &fault);
}

static void send_pages(struct control *c)
{
	struct bytes page;

	while (c->pages != NULL) {
		enum rc rc;

		page = pages_next(c->pages);
		if (page.len == 0) {
			pages_free(c->pages);
			c->pages = NULL;
			return;
		}
		rc = seal_send(c->way.seal, page);
		if (rc == RC_AGAIN)
			return;
		if (rc != RC_OK) {
			fail(c, REASON_INTERNAL, "its table is not sent");
			return;
		}
		pages_sent(c->pages);
	}
}

static void push(struct control *c)
{
	const struct fleet *f = c->relay->fleet;
	struct pages_want want = {
		.fleet = f,
		.relay = c->relay->id,
		.full = c->needs_full || c->acked_seq == 0 ||
		        c->acked_seq < f->seq_floor,
		.by_seq = !c->compared || c->acked_mark < f->mark_floor,
		.mark = c->acked_mark,
		.from_seq = c->acked_seq,
	};
	enum rc rc;

	if (c->way.state != WAY_READY || c->pushing || f->route_seq < c->ahead)
		return;
	if (c->compared && !want.full && c->acked_mark == f->mark)
		return;
	rc = pages_make(&want, &c->pages);
	if (rc == RC_NOTFOUND) {
		c->acked_mark = f->mark; /* nothing of it is this relay's */
		return;
	}
	if (rc != RC_OK) {
		fail(c, REASON_MEMORY, "its table cannot be made");
		return;
	}
	c->pushing = true;
	c->pushed_full = want.full;
	c->push_mark = f->mark;
	c->push_seq = f->route_seq;
	log_debug("fleet", c->relay->name, "sending its table (%s, %llu)",
	    want.full ? "all" : "changes", (unsigned long long)c->push_seq);
	send_pages(c);
}

void control_doubt(struct control *c)
{
	if (c->way.state != WAY_READY || c->doubted || c->pushing ||
	    !c->compared)
		return;
	c->doubted = true;
	log_warn("fleet", c->relay->name,
	    "does not know routes that it has confirmed; sending all of them");
	c->needs_full = true;
	push(c);
}

void fleet_push_changes(void *fleet)
{
	struct fleet *f = fleet;
	struct station *t;

	TAILQ_FOREACH(t, &f->relays, relay_next)
	{
		if (t->control != NULL)
			push(t->control);
	}
	enrols_check(f);
}

void controls_push(struct fleet *f)
{
	if (!f->stopping && f->push != NULL)
		loop_timer_set(f->push, 0);
}

static void subscribe(struct control *c)
{
	const struct msg_presence_sub sub = { .reserved = 0 };
	struct packbuf pack;

	packbuf_init(&pack, 256);
	if (way_send(&c->way, msg_presence_sub_encode(&sub, &pack), &pack) ==
	    RC_OK)
		c->subscribed = true;
}

static void on_ack(struct control *c, struct bytes message)
{
	struct msg_table_ack ack;
	struct fault fault;

	if (msg_table_ack_decode(message, &ack, &fault) != RC_OK) {
		fail(c, fault.code, fault.text);
		return;
	}
	if (!c->pushing)
		return;
	c->pushing = false;
	if (ack.seq > c->push_seq && c->pushed_full) {
		/* Of this very database, and newer: another node was faster, or
		 * the database was set back. */
		c->needs_full = true;
		c->ahead = ack.seq;
		log_warn("fleet", c->relay->name,
		    "has the route table of %llu, and this server that of %llu",
		    (unsigned long long)ack.seq,
		    (unsigned long long)c->push_seq);
		fleet_catch_up(c->relay->fleet, ack.seq);
		return;
	}
	if (ack.seq != c->push_seq && c->pushed_full) {
		fail(c, REASON_STALE_ROUTE, "does not take its table");
		return;
	}
	if (ack.seq != c->push_seq) {
		c->needs_full = true;
		push(c);
		return;
	}
	c->needs_full = false;
	c->compared = true;
	c->ahead = 0;
	c->acked_seq = ack.seq;
	c->acked_mark = c->push_mark;
	if (!c->subscribed)
		subscribe(c);
	push(c);
	controls_kick(c->relay->fleet, c->relay->id);
	/* Those who wait for this relay go on from the loop. */
	controls_push(c->relay->fleet);
}

/* --- Presence up -----------------------------------------------------------
 */

static bool is_last_hop(
    const struct station *t, size_t route, const char *relay)
{
	const char *last = station_last_hop(t, route);

	return last != NULL && strcmp(last, relay) == 0;
}

/* All that only this relay could tell. */
static void forget_presence(struct control *c, const struct fault *why)
{
	struct station *t;

	TAILQ_FOREACH(t, &c->relay->fleet->stations, all)
	{
		bool any = false;

		for (size_t i = 0; i < t->route_total; i++) {
			if (!is_last_hop(t, i, c->relay->id))
				continue;
			station_route_state(t, i, ROUTE_UNKNOWN, why);
			any = true;
		}
		if (any && why != NULL)
			station_judge(t);
	}
}

static void say_who_says(const struct control *c, const struct station *t,
    const struct msg_presence_change *change, struct fault *out)
{
	struct fault named;
	char at[FAULT_AT_MAX];

	if (change->reason.code == REASON_NONE)
		fault_set(&named, REASON_AGENT_DOWN, "", "%s: not connected",
		    t->name);
	else
		station_name_fault(t, &change->reason, &named);
	station_label(c->relay, at);
	fault_set(out, named.code, at, "%s says: %s", at, named.text);
}

static struct station *find_station(const struct fleet *f, const char *text)
{
	struct target target;
	struct fault fault;

	if (target_parse(text, &target, &fault) != RC_OK)
		return NULL;
	return station_find(f,
	    target.kind == TARGET_RELAY ? ROLE_RELAY : ROLE_TENTACLE,
	    target.name);
}

/* Streams opened before are on the link before. */
static void take_link(
    struct station *t, struct station_route *route, uint64_t link)
{
	if (link == 0 || link == route->link)
		return;
	if (route->link != 0)
		t->relinked_us = loop_now_us(t->fleet->parts.loop);
	route->link = link;
}

static void on_change(
    struct control *c, const struct msg_presence_change *change)
{
	struct station *t = find_station(c->relay->fleet, change->target);
	struct fault fault;

	if (t == NULL)
		return;
	if (!change->up)
		say_who_says(c, t, change, &fault);
	for (size_t i = 0; i < t->route_total; i++) {
		if (!is_last_hop(t, i, c->relay->id))
			continue;
		station_route_state(t, i, change->up ? ROUTE_UP : ROUTE_DOWN,
		    change->up ? NULL : &fault);
		take_link(t, &t->route_states[i], change->link);
	}
	station_judge(t);
	if (change->up)
		upkeep_saw_instance(t, change->start, NULL);
	if (change->up && t->control != NULL)
		control_kick(t->control);
}

static void on_presence(struct control *c, struct bytes message)
{
	struct msg_presence presence;
	struct fault fault;

	if (msg_presence_decode(message, &presence, &fault) != RC_OK) {
		fail(c, fault.code, fault.text);
		return;
	}
	if (presence.whole)
		forget_presence(c, NULL);
	for (size_t i = 0; i < presence.change_count; i++)
		on_change(c, &presence.changes[i]);
	msg_presence_clear(&presence);
}

/* --- It is going to stop, or to be stopped ---------------------------------
 */

static void on_drain(struct control *c, struct bytes message)
{
	struct msg_drain drain;
	struct fault fault;

	if (msg_drain_decode(message, &drain, &fault) != RC_OK) {
		fail(c, fault.code, fault.text);
		return;
	}
	c->relay->leaving = !drain.stop;
	msg_drain_clear(&drain);
	station_leave(c->relay);
}

void control_drain(struct control *c)
{
	const struct msg_drain drain = { .stop = !c->relay->draining };
	struct packbuf pack;
	enum rc rc;

	if (c->way.state != WAY_READY)
		return;
	packbuf_init(&pack, 256);
	rc = way_send(&c->way, msg_drain_encode(&drain, &pack), &pack);
	if (rc != RC_OK) /* we see to it ourselves */
		log_debug("fleet", c->relay->name,
		    "not told that it is drained: %s", rc_name(rc));
}

/* --- The session -----------------------------------------------------------
 */

static struct control *control_of(struct way *w)
{
	return (struct control *)w;
}

static void drop_pages(struct control *c)
{
	pages_free(c->pages);
	c->pages = NULL;
	c->pushing = false;
	c->subscribed = false;
}

static void on_ready(struct way *w)
{
	struct control *c = control_of(w);

	backoff_reset(&c->backoff);
	/* Whether it is of this database shows when it takes what follows. */
	c->compared = c->needs_full = false;
	c->ahead = 0;
	c->acked_seq = w->table_version;
	if (c->acked_seq > c->relay->fleet->route_seq)
		c->needs_full = true;
	c->was_open = true;
	c->moving = false;
	c->doubted = false;
	c->relay->leaving = false; /* else it says so again */
	if (c->relay->draining)
		control_drain(c);
	log_info("fleet", c->relay->name, "control session open");
	station_judge(c->relay);
	upkeep_want(c->relay);
	push(c);
	if (!c->pushing && !c->subscribed)
		subscribe(c);
}

static void on_message(struct way *w, struct bytes message)
{
	struct control *c = control_of(w);
	struct msg_head head;
	struct fault fault;
	enum rc rc = msg_peek(message, &head, &fault);

	if (rc != RC_OK && rc != RC_NOTFOUND)
		fail(c, fault.code, fault.text);
	else if (rc == RC_OK && head.op == OP_TABLE_ACK)
		on_ack(c, message);
	else if (rc == RC_OK && head.op == OP_PRESENCE)
		on_presence(c, message);
	else if (rc == RC_OK && head.op == OP_DRAIN)
		on_drain(c, message);
	else if (rc == RC_OK && head.is_reply &&
		 (head.op == OP_REVOKED || head.op == OP_CERTIFICATE ||
		     head.op == OP_TRUST))
		upkeep_answered(c->relay, message);
	/* Else it is of a newer relay, or nothing that we asked. */
}

static void on_writable(struct way *w)
{
	send_pages(control_of(w));
}

static void on_closed(struct way *w, const struct fault *fault)
{
	struct control *c = control_of(w);
	struct station *relay = c->relay;
	const struct link_config *link = &relay->fleet->settings->link;
	struct fault why;

	drop_pages(c);
	upkeep_lost(relay);
	log_info("fleet", relay->name, "no control session: %s", fault->text);
	loop_timer_set(c->retry, backoff_next(&c->backoff, link->backoff_min_ms,
				     link->backoff_max_ms));
	/* One that meant to go is not told to be unsteady. */
	if (c->was_open && !relay->leaving && fault->code != REASON_DRAINING)
		station_fell(relay, &relay->flap);
	c->was_open = c->moving = false;
	fault_set(&why,
	    fault->code == REASON_DRAINING ? REASON_DRAINING
					   : REASON_RELAY_DOWN,
	    relay->fleet->at, "relay %s is not connected: %s", relay->name,
	    fault->text);
	forget_presence(c, &why);
	station_judge(relay);
}

/* By another route: what is behind the relay is there all the time. */
static void on_move(struct way *w, bool has_better)
{
	struct control *c = control_of(w);

	if (!has_better || w->state != WAY_READY)
		return;
	drop_pages(c);
	upkeep_lost(c->relay);
	c->was_open = false;
	c->moving = true;
	way_reopen(w);
}

static bool is_busy(const struct way *w)
{
	const struct control *c = (const struct control *)w;

	return c->pushing || c->relay->upkeep.busy;
}

static const struct way_kind control_kind = {
	.ops = { .ready = on_ready,
	    .message = on_message,
	    .writable = on_writable,
	    .move = on_move,
	    .is_busy = is_busy,
	    .closed = on_closed },
	.service_class = CLASS_CONTROL,
	.message_max = LENFRAME_CONTROL_MAX,
};

static void on_retry(void *arg)
{
	struct control *c = arg;

	way_open(&c->way);
}

void control_kick(struct control *c)
{
	if (c->relay->fleet->stopping || c->way.state != WAY_CLOSED)
		return;
	/* From the loop: the link that has come may still be in its event. */
	loop_timer_set(c->retry, 0);
}

void controls_kick(struct fleet *f, const char *relay)
{
	struct station *t;

	TAILQ_FOREACH(t, &f->relays, relay_next)
	{
		for (size_t i = 0; i < t->route_total; i++) {
			if (strcmp(t->id, relay) == 0 ||
			    path_has(&t->routes[i].path, relay))
				control_kick(t->control);
		}
	}
}

enum rc control_new(struct station *relay, struct control **out)
{
	struct loop *loop = relay->fleet->parts.loop;
	struct control *c = calloc(1, sizeof(*c));
	enum rc rc;

	if (c == NULL)
		return RC_NOMEM;
	c->relay = relay;
	rc = loop_timer_new(loop, on_retry, c, &c->retry);
	if (rc == RC_OK)
		rc = way_init(&c->way, relay->fleet, relay, &control_kind);
	if (rc != RC_OK) {
		loop_timer_free(c->retry);
		free(c);
		return rc;
	}
	*out = c;
	return RC_OK;
}

void control_free(struct control *c, const struct fault *fault)
{
	if (c == NULL)
		return;
	drop_pages(c);
	loop_timer_free(c->retry);
	way_fini(&c->way, fault);
	free(c);
}

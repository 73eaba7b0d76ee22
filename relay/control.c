#include "relay/relay.h"

#include "common/log.h"
#include "common/member_upkeep.h"
#include "common/seal.h"
#include "proto/lenframe.h"

#include <stdlib.h>
#include <string.h>

/* Proven servers only: TLS_SEAL_SERVER sees to that. */
#define CONTROLS_MAX 64
/* Of one link, where nobody has proven anything yet. */
#define OPENING_MAX 8
#define OPEN_MS_MAX 60000
#define WELCOME_MS  30000

enum control_state {
	CONTROL_OPENING,
	CONTROL_GREETED,  /* we have told who we are; welcome is next */
	CONTROL_WELCOMED, /* orders are obeyed */
};

struct control {
	TAILQ_ENTRY(control) all;
	struct relay *relay;
	struct seal *seal;
	enum control_state state;
	struct loop_timer *deadline; /* until it is welcomed */
	bool busy;                   /* its event is being handled */
	bool gone;                   /* dropped: freed when that is over */
	char node[NAME_SIZE];
	struct msg_revocations newest; /* lists of revoked keys, as it told */
	bool owes_ack;                 /* of this number */
	uint64_t ack_seq;
	bool refused; /* pages that did not follow; said so already */
	bool subscribed;
	/* Presence: the table keeps its entries in the order of their news, so
	 * nothing waits here but the number up to which all was told. */
	struct loop_timer *presence;
	uint64_t told;
	uint64_t told_us;
	bool whole; /* the next message is the first of a whole one */
};

static void drop(struct control *c)
{
	TAILQ_REMOVE(&c->relay->controls, c, all);
	loop_timer_free(c->deadline);
	loop_timer_free(c->presence);
	c->gone = true;
	if (!c->busy)
		free(c);
}

static void end(struct control *c, enum reason code, const char *text)
{
	struct fault fault;

	if (c->gone)
		return;
	fault_set(&fault, code, relay_name(c->relay), "%s", text);
	log_warn("control", c->node, "session ended: %s", text);
	seal_close(c->seal, &fault);
	drop(c);
}

/* --- Out ------------------------------------------------------------------ */

/* RC_AGAIN: the seal is full, SEAL_WRITABLE follows. */
static MUST_CHECK enum rc send_packed(
    struct control *c, enum rc rc, struct packbuf *pack)
{
	if (rc == RC_OK && !c->gone)
		rc = seal_send(c->seal, packbuf_bytes(pack));
	if (rc != RC_OK && rc != RC_AGAIN)
		log_warn(
		    "control", c->node, "message not sent: %s", rc_name(rc));
	packbuf_fini(pack);
	return rc;
}

static void describe(
    const struct table_entry *e, struct msg_presence_change *out)
{
	const struct neighbour *n = e->owner;

	*out = (struct msg_presence_change){ 0 };
	memcpy(out->target, e->text, sizeof(out->target));
	out->up = n->link != NULL;
	out->start = n->link != NULL ? n->start : 0;
	out->link = n->link != NULL ? n->links : 0;
	if (!out->up)
		neighbour_fault(n, &out->reason);
}

/* At most PRESENCE_CHANGES_MAX fit; a fault's text can be long, so fewer. */
#define PRESENCE_BATCH 200

/* The next ones; *told: the news up to which they tell. */
static size_t gather(const struct control *c,
    struct msg_presence_change changes[PRESENCE_BATCH], uint64_t *told)
{
	struct table_entry *e = table_news(c->relay->table, c->told);
	size_t n = 0;

	*told = c->told;
	for (; e != NULL && n < PRESENCE_BATCH; e = table_next(e)) {
		*told = e->news;
		if (e->owner != NULL)
			describe(e, &changes[n++]);
	}
	return n;
}

/* Tell one batch.  RC_NOTFOUND: all is told; RC_AGAIN: the seal is full. */
static MUST_CHECK enum rc send_batch(
    struct control *c, struct msg_presence_change changes[PRESENCE_BATCH])
{
	struct msg_presence message = { .whole = c->whole, .changes = changes };
	struct packbuf pack;
	uint64_t told;
	enum rc rc;

	message.change_count = gather(c, changes, &told);
	if (message.change_count == 0 && !c->whole) {
		c->told = told;
		return RC_NOTFOUND;
	}
	packbuf_init(&pack, LENFRAME_CONTROL_MAX);
	rc = send_packed(c, msg_presence_encode(&message, &pack), &pack);
	if (rc != RC_OK)
		return rc;
	c->told = told;
	c->told_us = loop_now_us(c->relay->loop);
	c->whole = false;
	return RC_OK;
}

/* As much as the seal takes; the rest when it is writable. */
static void tell_presence(struct control *c)
{
	struct msg_presence_change *changes;
	enum rc rc = RC_OK;

	if (!c->subscribed || c->gone ||
	    (!c->whole && table_news(c->relay->table, c->told) == NULL))
		return;
	changes = calloc(PRESENCE_BATCH, sizeof(*changes));
	if (changes == NULL)
		rc = RC_NOMEM;
	while (rc == RC_OK)
		rc = send_batch(c, changes);
	free(changes);
	if (rc != RC_AGAIN && rc != RC_NOTFOUND)
		end(c, REASON_MEMORY, "no memory to tell who is there");
}

static void on_presence_timer(void *arg)
{
	tell_presence(arg);
}

static void schedule(struct control *c)
{
	uint64_t since = (loop_now_us(c->relay->loop) - c->told_us) / 1000;
	uint64_t every = c->relay->settings->presence_ms;

	if (!loop_timer_pending(c->presence))
		loop_timer_set(c->presence, since >= every ? 0 : every - since);
}

static void schedule_all(struct relay *r)
{
	struct control *c;

	TAILQ_FOREACH(c, &r->controls, all)
	{
		if (c->subscribed)
			schedule(c);
	}
}

void controls_presence(struct relay *r, const struct neighbour *n)
{
	struct target target = {
		.kind =
		    n->role == ROLE_TENTACLE ? TARGET_MACHINE : TARGET_RELAY,
	};
	struct table_entry *e;

	memcpy(target.name, n->name, sizeof(target.name));
	e = table_find(r->table, &target);
	if (e == NULL || e->owner == NULL)
		return;
	table_touch(r->table, e);
	schedule_all(r);
}

/* --- In ------------------------------------------------------------------- */

static void tell_seq(struct control *c, uint64_t seq)
{
	const struct msg_table_ack ack = { .seq = seq };
	struct packbuf pack;

	c->ack_seq = seq;
	packbuf_init(&pack, 4096);
	c->owes_ack = send_packed(c, msg_table_ack_encode(&ack, &pack),
			  &pack) == RC_AGAIN;
}

/* The server learns what we have, once for all pages that do not follow. */
static void on_refused_page(struct control *c,
    const struct msg_table_page *page, const struct fault *fault)
{
	if (c->refused && page->page > 0)
		return;
	log_warn("control", c->node, "%s", fault->text);
	c->refused = true;
	/* The numbers of another life would look as if it had been taken. */
	tell_seq(c, table_seq_of(c->relay->table, &page->incarnation));
}

static void on_whole_table(struct control *c)
{
	struct relay *r = c->relay;

	log_info_with("control", c->node,
	    LOG_FIELDS(LOG_NUMBER("seq", (int64_t)table_seq(r->table)),
		LOG_NUMBER("targets", (int64_t)table_count(r->table))),
	    "route table");
	tell_seq(c, table_seq(r->table));
	schedule_all(r); /* what is new or leads elsewhere */
}

static void on_table_page(struct control *c, struct bytes message)
{
	struct relay *r = c->relay;
	struct msg_table_page page;
	struct fault fault;
	bool whole = false;
	enum rc rc = msg_table_page_decode(message, &page, &fault);

	if (rc != RC_OK) {
		end(c, REASON_PROTOCOL, fault.text);
		return;
	}
	rc = table_apply(r->table, &page, &whole, &fault);
	if (rc == RC_OK) {
		c->refused = false;
		table_file_add(r->table_file, r->table, &page, message);
		neighbours_follow_table(r);
		relay_waits_look(r);
	}
	if (rc == RC_STATE)
		on_refused_page(c, &page, &fault);
	else if (rc != RC_OK)
		end(c, REASON_MEMORY, rc_name(rc));
	else if (whole)
		on_whole_table(c);
	msg_table_page_clear(&page);
}

static uint32_t count_links(const struct relay *r)
{
	uint32_t count = 0;

	for (struct link *l = link_next(r->net, NULL); l != NULL;
	     l = link_next(r->net, l))
		count++;
	return count;
}

static void on_status(struct control *c, uint32_t id)
{
	struct relay *r = c->relay;
	struct msg_status_reply status = {
		.reply.id = id,
		.links = count_links(r),
		.streams = bridges_count(r->bridges),
		.uptime_s = (loop_now_us(r->loop) - r->started_us) / 1000000,
		.version = bytes_text(LONGARM_VERSION),
		.table_seq = table_seq(r->table),
	};
	struct packbuf pack;

	memcpy(status.reply.journal, r->member->instance.journal, ID_SIZE);
	packbuf_init(&pack, 4096);
	if (send_packed(c, msg_status_reply_encode(&status, &pack), &pack) !=
	    RC_OK)
		log_warn("control", c->node, "status not told");
}

static void tell_drain(struct control *c)
{
	const struct msg_drain drain = { .stop = false };
	struct packbuf pack;

	packbuf_init(&pack, 256);
	/* Not taken, the end of the session says the same. */
	if (send_packed(c, msg_drain_encode(&drain, &pack), &pack) != RC_OK)
		log_debug("control", c->node, "not told that we stop");
}

static void on_drain(struct control *c, struct bytes message)
{
	struct msg_drain drain;
	struct fault fault;

	if (msg_drain_decode(message, &drain, &fault) != RC_OK) {
		end(c, REASON_PROTOCOL, fault.text);
		return;
	}
	relay_drain_told(c->relay, drain.stop);
	msg_drain_clear(&drain);
}

static void on_welcome(struct control *c, struct bytes message)
{
	struct msg_welcome welcome;
	struct fault fault;

	if (member_welcomed(c->relay->member, c->seal, message, &welcome, 0,
		&fault) != RC_OK) {
		end(c, REASON_PROTOCOL, fault.text);
		return;
	}
	c->state = CONTROL_WELCOMED;
	c->newest = welcome.revocations;
	loop_timer_stop(c->deadline);
	log_info("control", c->node, "session open");
	if (c->relay->draining)
		tell_drain(c);
	relay_waits_look(c->relay);
}

static void on_upkeep(
    struct control *c, const struct msg_head *head, struct bytes message)
{
	const struct member_user user = {
		.member = c->relay->member,
		.net = c->relay->net,
		.seal = c->seal,
		.peers_changed = c->relay->peers_changed,
	};
	struct fault fault;
	enum rc rc = member_upkeep(&user, head, message, &fault);

	if (rc == RC_PROTO)
		end(c, REASON_PROTOCOL, fault.text);
	else if (rc == RC_NOTFOUND)
		log_debug("control", c->node, "%s is not understood here",
		    msg_op_name(head->op));
	else if (rc != RC_OK)
		log_warn("control", c->node, "an answer was not sent: %s",
		    rc_name(rc));
	relay_waits_look(c->relay); /* perhaps it told who was revoked */
}

bool controls_told_revoked(const struct relay *r)
{
	const struct msg_revocations ours = member_revocations(r->member);
	const struct control *c;

	TAILQ_FOREACH(c, &r->controls, all)
	{
		if (!c->gone && c->state == CONTROL_WELCOMED &&
		    ours.agents >= c->newest.agents &&
		    ours.nodes >= c->newest.nodes)
			return true;
	}
	return false;
}

static void on_order(
    struct control *c, const struct msg_head *head, struct bytes message)
{
	if (head->op == OP_TABLE_PAGE) {
		on_table_page(c, message);
	} else if (head->op == OP_PRESENCE_SUB) {
		c->subscribed = c->whole = true;
		c->told = 0;
		tell_presence(c);
	} else if (head->op == OP_DRAIN) {
		on_drain(c, message);
	} else if (head->op == OP_STATUS) {
		on_status(c, head->id);
	} else {
		on_upkeep(c, head, message);
	}
}

static void on_message(struct control *c, struct bytes message)
{
	struct msg_head head;
	struct fault fault;
	enum rc rc = msg_peek(message, &head, &fault);

	if (rc == RC_NOTFOUND)
		return; /* a newer server's */
	if (rc != RC_OK)
		end(c, REASON_PROTOCOL, fault.text);
	else if (c->state == CONTROL_GREETED && head.op == OP_WELCOME)
		on_welcome(c, message);
	else if (c->state == CONTROL_WELCOMED)
		on_order(c, &head, message);
	else
		end(c, REASON_PROTOCOL, "a message before its welcome");
}

static void on_deadline(void *arg)
{
	end(arg, REASON_DEADLINE, "no welcome in time");
}

static void on_writable(struct control *c)
{
	if (c->owes_ack)
		tell_seq(c, c->ack_seq);
	if (!c->owes_ack)
		tell_presence(c);
}

static void handle(
    struct control *c, struct seal *seal, const struct seal_event *event)
{
	switch (event->type) {
	case SEAL_OPEN:
		memcpy(c->node, seal_peer(seal)->id.name, sizeof(c->node));
		c->state = CONTROL_GREETED;
		loop_timer_set(c->deadline, WELCOME_MS);
		if (member_greet(c->relay->member, seal, 0,
			table_seq(c->relay->table)) != RC_OK)
			end(c, REASON_MEMORY, "cannot greet");
		break;
	case SEAL_MESSAGE:
		on_message(c, event->message);
		break;
	case SEAL_WRITABLE:
		on_writable(c);
		break;
	case SEAL_CLOSED:
		log_info("control", c->node, "session closed: %s",
		    event->fault->text);
		if (!c->gone)
			drop(c);
		break;
	}
}

/* Table orders may close the very link that the session came by. */
static void on_seal(
    void *arg, struct seal *seal, const struct seal_event *event)
{
	struct control *c = arg;
	bool nested = c->busy;

	c->busy = true;
	handle(c, seal, event);
	if (nested)
		return;
	c->busy = false;
	if (c->gone)
		free(c);
}

/* Whoever may open streams to us could otherwise fill the list with streams in
 * which nobody proves anything. */
static bool has_room(
    const struct relay *r, const struct link *link, unsigned *count)
{
	struct control *c;
	unsigned opening = 0;

	*count = 0;
	TAILQ_FOREACH(c, &r->controls, all)
	{
		(*count)++;
		if (c->state == CONTROL_OPENING && seal_link(c->seal) == link)
			opening++;
	}
	return *count < CONTROLS_MAX && opening < OPENING_MAX;
}

void control_accept(struct relay *r, struct link *link, uint32_t stream,
    const struct msg_open *open)
{
	struct control *c = calloc(1, sizeof(*c));
	struct seal_user user = {
		.fn = on_seal,
		.arg = c,
		.message_max = LENFRAME_CONTROL_MAX,
		.open_ms = open->deadline_ms < OPEN_MS_MAX ? open->deadline_ms
		                                           : OPEN_MS_MAX,
	};
	struct fault fault;
	unsigned count;

	if (!has_room(r, link, &count) || c == NULL ||
	    loop_timer_new(r->loop, on_presence_timer, c, &c->presence) !=
		RC_OK ||
	    loop_timer_new(r->loop, on_deadline, c, &c->deadline) != RC_OK) {
		if (c != NULL)
			loop_timer_free(c->presence);
		free(c);
		fault_set(&fault, REASON_TOO_MANY, relay_name(r),
		    "relay %s has %u control sessions already", relay_name(r),
		    count);
		link_reset(link, stream, &fault, false);
		return;
	}
	c->relay = r;
	TAILQ_INSERT_TAIL(&r->controls, c, all);
	if (seal_accept(link, stream, CLASS_CONTROL, TLS_SEAL_SERVER, &user,
		&c->seal) != RC_OK)
		drop(c);
}

void controls_drain(struct relay *r)
{
	struct control *c;

	TAILQ_FOREACH(c, &r->controls, all)
	{
		if (c->state == CONTROL_WELCOMED)
			tell_drain(c);
	}
}

void controls_close(struct relay *r)
{
	struct control *c, *next;
	struct fault fault;

	fault_set(&fault, REASON_DRAINING, relay_name(r),
	    "relay %s is shutting down", relay_name(r));
	for (c = TAILQ_FIRST(&r->controls); c != NULL; c = next) {
		next = TAILQ_NEXT(c, all);
		seal_close(c->seal, &fault);
		drop(c);
	}
}

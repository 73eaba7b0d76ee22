#include "common/clock.h"
#include "common/log.h"
#include "proto/lenframe.h"
#include "server/fleet/fleet_private.h"

#include <stdlib.h>
#include <string.h>

/*
 * The standing seal of a machine, and the requests on it.  Requests wait in
 * `queued` until the seal is READY, then in `sent` for their replies.
 */

enum ask_state {
	ASK_QUEUED, /* in its standing's queue */
	ASK_SENT,   /* in its standing's sent list */
	ASK_RIPE,   /* failed; in the fleet's list */
};

struct fleet_ask {
	TAILQ_ENTRY(fleet_ask) all; /* in the list that state says */
	struct fleet *fleet;
	struct standing *standing; /* NULL: ripe */
	enum ask_state state;
	uint32_t id; /* on the wire */
	uint64_t sent_us;
	enum msg_op op;
	struct loop_timer *deadline;
	uint32_t deadline_ms;
	struct fleet_request user; /* machine is not kept */
	struct fault fault;        /* ASK_RIPE */
	bool may_have_arrived;
};

/* In which list of the fleet. */
enum standing_place {
	STANDING_NOWHERE,
	STANDING_IDLE,
	STANDING_WAITING,
};

struct standing {
	struct way way; /* first */
	TAILQ_ENTRY(standing) all;
	enum standing_place place;
	bool counted; /* in the fleet's budget */
	bool moving;  /* to another route, when the replies have come */
	struct ask_list queued, sent;
	size_t ask_count;
	uint32_t last_id;
	bool was_ready; /* the seal was open, until it is closed */
};

static const struct way_kind standing_kind;

static void move(struct standing *s, enum standing_place place)
{
	struct fleet *f = s->way.fleet;

	if (s->place == STANDING_IDLE)
		TAILQ_REMOVE(&f->idle, s, all);
	else if (s->place == STANDING_WAITING)
		TAILQ_REMOVE(&f->waiting, s, all);
	if (place == STANDING_IDLE)
		TAILQ_INSERT_TAIL(&f->idle, s, all);
	else if (place == STANDING_WAITING)
		TAILQ_INSERT_TAIL(&f->waiting, s, all);
	s->place = place;
}

/* --- Asks ------------------------------------------------------------------
 */

static void ask_free(struct fleet_ask *ask)
{
	ask->fleet->ask_count--;
	loop_timer_free(ask->deadline);
	free(ask);
}

static void leave_list(struct fleet_ask *ask)
{
	struct standing *s = ask->standing;

	if (ask->state == ASK_RIPE)
		TAILQ_REMOVE(&ask->fleet->ripe, ask, all);
	else if (ask->state == ASK_SENT)
		TAILQ_REMOVE(&s->sent, ask, all);
	else
		TAILQ_REMOVE(&s->queued, ask, all);
	if (s != NULL)
		s->ask_count--;
	ask->standing = NULL;
}

/* Nobody asks on it any more: it may make room for others. */
static void rest_if_unused(struct standing *s)
{
	if (s->ask_count == 0 && s->way.state == WAY_READY)
		move(s, STANDING_IDLE);
	else if (s->ask_count == 0 && s->place == STANDING_WAITING)
		move(s, STANDING_NOWHERE);
}

/* Tell it from the loop. */
static void ripen(
    struct fleet_ask *ask, const struct fault *fault, bool may_have_arrived)
{
	struct fleet *f = ask->fleet;

	leave_list(ask);
	loop_timer_stop(ask->deadline);
	ask->state = ASK_RIPE;
	ask->fault = *fault;
	ask->may_have_arrived = may_have_arrived;
	TAILQ_INSERT_TAIL(&f->ripe, ask, all);
	loop_timer_set(f->ripen, 0);
}

/* One a turn: the callback may do anything. */
void fleet_tell_ripe(void *fleet)
{
	struct fleet *f = fleet;
	struct fleet_ask *ask = TAILQ_FIRST(&f->ripe);
	struct fleet_request user;
	struct fault fault;
	struct fleet_reply reply = { .fault = &fault };

	if (ask == NULL)
		return;
	if (TAILQ_NEXT(ask, all) != NULL)
		loop_timer_set(f->ripen, 0);
	user = ask->user;
	fault = ask->fault;
	reply.may_have_arrived = ask->may_have_arrived;
	leave_list(ask);
	ask_free(ask);
	user.reply(user.arg, &reply);
}

static void fail_all(
    struct ask_list *list, const struct fault *fault, bool may_have_arrived)
{
	struct fleet_ask *ask;

	while ((ask = TAILQ_FIRST(list)) != NULL)
		ripen(ask, fault, may_have_arrived);
}

static void settle(struct standing *s);

static void on_deadline(void *arg)
{
	struct fleet_ask *ask = arg;
	struct standing *s = ask->standing;
	struct fault fault;

	fault_set(&fault, REASON_DEADLINE, ask->fleet->at,
	    "%s: no answer to %s within %u s", s->way.station->name,
	    msg_op_name(ask->op), ask->deadline_ms / 1000);
	ripen(ask, &fault, ask->state == ASK_SENT);
	settle(s);
}

/* --- Sending ---------------------------------------------------------------
 */

static MUST_CHECK enum rc send_ask(struct standing *s, struct fleet_ask *ask)
{
	const struct station *t = s->way.station;
	const struct fleet_call call = {
		.id = s->last_id + 1,
		.journal = t->life.journal,
		.counter = t->life.counter,
		.features = t->features,
		.incarnation = &s->way.fleet->parts.incarnation,
	};
	struct packbuf pack;
	enum rc rc;

	/* Before the encoder is called, as that is done but once. */
	if (seal_unsent(s->way.seal) > LENFRAME_STANDING_MAX)
		return RC_AGAIN;
	packbuf_init(&pack, LENFRAME_STANDING_MAX);
	rc = ask->user.encode(ask->user.arg, &call, &pack);
	rc = way_send(&s->way, rc, &pack);
	if (rc != RC_OK)
		return rc == RC_AGAIN ? RC_LIMIT : rc;
	s->last_id = call.id;
	ask->id = call.id;
	ask->sent_us = clock_monotonic_us();
	TAILQ_REMOVE(&s->queued, ask, all);
	ask->state = ASK_SENT;
	TAILQ_INSERT_TAIL(&s->sent, ask, all);
	return RC_OK;
}

static void pump(struct standing *s)
{
	struct fleet_ask *ask;
	struct fault fault;

	while (s->way.state == WAY_READY && !s->moving &&
	       (ask = TAILQ_FIRST(&s->queued)) != NULL) {
		enum rc rc = send_ask(s, ask);

		if (rc == RC_AGAIN)
			return;
		if (rc == RC_OK)
			continue;
		fault_set(&fault,
		    rc == RC_NOMEM ? REASON_MEMORY : REASON_INTERNAL,
		    s->way.fleet->at, "%s: the request %s cannot be sent: %s",
		    s->way.station->name, msg_op_name(ask->op), rc_name(rc));
		ripen(ask, &fault, false);
	}
}

/* --- The budget of open seals ----------------------------------------------
 */

static void close_standing(struct standing *s, const struct fault *fault)
{
	struct fleet *f = s->way.fleet;

	way_close(&s->way, fault);
	s->was_ready = false;
	s->moving = false;
	if (s->counted)
		f->standing_count--;
	s->counted = false;
	move(s, STANDING_NOWHERE);
}

static void open_or_wait(struct standing *s)
{
	struct fleet *f = s->way.fleet;
	struct standing *oldest = TAILQ_FIRST(&f->idle);

	if (s->way.state != WAY_CLOSED)
		return;
	if (f->standing_count >= f->settings->standing_max && oldest != NULL)
		close_standing(oldest, NULL);
	if (f->standing_count >= f->settings->standing_max) {
		if (s->place != STANDING_WAITING)
			move(s, STANDING_WAITING);
		return;
	}
	move(s, STANDING_NOWHERE);
	f->standing_count++;
	s->counted = true;
	way_open(&s->way);
}

/* One is closed or idle: the one that waits longest is next. */
static void next_waiting(struct fleet *f)
{
	struct standing *s = TAILQ_FIRST(&f->waiting);

	if (s != NULL && !f->stopping)
		open_or_wait(s);
}

/* --- What the way tells ----------------------------------------------------
 */

/* All that was asked by the old route is answered. */
static void go_elsewhere(struct standing *s)
{
	struct fleet *f = s->way.fleet;

	close_standing(s, NULL);
	if (!TAILQ_EMPTY(&s->queued) && !f->stopping)
		open_or_wait(s);
	next_waiting(f);
}

static void on_move(struct way *w, bool has_better)
{
	struct standing *s = (struct standing *)w;

	if (s->ask_count == 0 || (has_better && w->state != WAY_READY))
		go_elsewhere(s);
	else if (has_better)
		s->moving = true;
	if (s->moving && TAILQ_EMPTY(&s->sent))
		go_elsewhere(s);
}

/* What was asked shall be answered first; what waits need not wait for that. */
static bool is_busy(const struct way *w)
{
	const struct standing *s = (const struct standing *)w;

	return !TAILQ_EMPTY(&s->sent);
}

static void settle(struct standing *s)
{
	struct fleet *f = s->way.fleet;

	if (s->moving && TAILQ_EMPTY(&s->sent)) {
		go_elsewhere(s);
		return;
	}
	rest_if_unused(s);
	if (s->place == STANDING_IDLE)
		next_waiting(f);
}

static void on_ready(struct way *w)
{
	struct standing *s = (struct standing *)w;

	log_debug("fleet", w->station->name, "standing seal open");
	upkeep_want(w->station);
	s->was_ready = true;
	pump(s);
	settle(s);
}

static struct fleet_ask *find_sent(struct standing *s, uint32_t id)
{
	struct fleet_ask *ask;

	TAILQ_FOREACH(ask, &s->sent, all)
	{
		if (ask->id == id)
			return ask;
	}
	return NULL;
}

/* It answers what nobody has asked it (yet): no delay can bring that about, so
 * it speaks about what is not its own. */
static void on_lie(struct standing *s, const struct msg_head *head)
{
	struct way *w = &s->way;
	struct fault fault;

	fault_set(&fault, REASON_PROTOCOL, w->fleet->at,
	    "%s: answers %s %u, which it was never asked", w->station->name,
	    msg_op_name(head->op), head->id);
	way_accuse(w, "answer.refused", msg_op_name(head->op), &fault);
	way_fail(w, &fault);
}

static void on_message(struct way *w, struct bytes message)
{
	struct standing *s = (struct standing *)w;
	struct fleet_reply reply = { .message = message };
	struct fleet_request user;
	struct fleet_ask *ask;
	struct msg_head head;
	struct fault fault;
	enum rc rc = msg_peek(message, &head, &fault);

	if (rc == RC_NOTFOUND)
		return;
	if (rc == RC_OK && head.is_reply && head.id > s->last_id) {
		on_lie(s, &head);
		return;
	}
	ask = rc == RC_OK && head.is_reply ? find_sent(s, head.id) : NULL;
	if (ask == NULL)
		return; /* too late, or nonsense of one machine about itself */
	way_heard(w, ask->sent_us);
	user = ask->user;
	leave_list(ask);
	ask_free(ask);
	settle(s);
	user.reply(user.arg, &reply);
}

static void on_writable(struct way *w)
{
	pump((struct standing *)w);
}

static void on_closed(struct way *w, const struct fault *fault)
{
	struct standing *s = (struct standing *)w;
	struct fleet *f = w->fleet;

	log_info(
	    "fleet", w->station->name, "no standing seal: %s", fault->text);
	if (s->was_ready)
		station_lost_seal(w->station);
	close_standing(s, NULL);
	fail_all(&s->sent, fault, true);
	fail_all(&s->queued, fault, false);
	next_waiting(f);
}

static const struct way_kind standing_kind = {
	.ops = { .ready = on_ready,
	    .message = on_message,
	    .writable = on_writable,
	    .move = on_move,
	    .is_busy = is_busy,
	    .closed = on_closed },
	.service_class = CLASS_HEALTH,
	.message_max = LENFRAME_STANDING_MAX,
};

/* --- For others ------------------------------------------------------------
 */

static MUST_CHECK enum rc get_standing(
    struct station *machine, struct standing **out)
{
	struct standing *s = machine->standing;
	enum rc rc;

	if (s == NULL) {
		s = calloc(1, sizeof(*s));
		if (s == NULL)
			return RC_NOMEM;
		TAILQ_INIT(&s->queued);
		TAILQ_INIT(&s->sent);
		rc = way_init(&s->way, machine->fleet, machine, &standing_kind);
		if (rc != RC_OK) {
			free(s);
			return rc;
		}
		machine->standing = s;
	}
	*out = s;
	return RC_OK;
}

static void fail_unknown(struct fleet_ask *ask)
{
	struct fleet *f = ask->fleet;

	ask->state = ASK_RIPE;
	fault_set(&ask->fault, REASON_NOT_FOUND, f->at,
	    "there is no such machine (any more)");
	TAILQ_INSERT_TAIL(&f->ripe, ask, all);
	loop_timer_set(f->ripen, 0);
}

static void enqueue(struct standing *s, struct fleet_ask *ask)
{
	ask->standing = s;
	ask->state = ASK_QUEUED;
	TAILQ_INSERT_TAIL(&s->queued, ask, all);
	s->ask_count++;
	loop_timer_set(ask->deadline, ask->deadline_ms);
	if (s->place == STANDING_IDLE)
		move(s, STANDING_NOWHERE);
	if (s->way.state == WAY_READY)
		pump(s);
	else
		open_or_wait(s);
}

enum rc fleet_request(struct fleet *f, const struct fleet_request *request,
    struct fleet_ask **out)
{
	struct station *t = station_find(f, ROLE_TENTACLE, request->machine);
	struct standing *s = NULL;
	struct fleet_ask *ask;
	enum rc rc = RC_OK;

	if (f->ask_count >= f->settings->asks_max)
		return RC_LIMIT;
	if (t != NULL)
		rc = get_standing(t, &s);
	if (rc != RC_OK)
		return rc;
	ask = calloc(1, sizeof(*ask));
	if (ask == NULL)
		return RC_NOMEM;
	ask->fleet = f;
	ask->user = *request;
	ask->user.machine = NULL;
	ask->op = request->op;
	ask->deadline_ms = request->deadline_ms > 0 ? request->deadline_ms
	                                            : f->settings->request_ms;
	rc = loop_timer_new(f->parts.loop, on_deadline, ask, &ask->deadline);
	if (rc != RC_OK) {
		free(ask);
		return rc;
	}
	f->ask_count++;
	*out = ask;
	if (s != NULL)
		enqueue(s, ask);
	else
		fail_unknown(ask);
	return RC_OK;
}

void fleet_request_cancel(struct fleet_ask *ask)
{
	struct standing *s;

	if (ask == NULL)
		return;
	s = ask->standing;
	leave_list(ask);
	ask_free(ask);
	if (s != NULL)
		settle(s);
}

void fleet_saw_reply(
    struct fleet *f, const char *machine, const struct msg_reply *reply)
{
	struct station *t = station_find(f, ROLE_TENTACLE, machine);

	if (t != NULL && reply->journal[0] != '\0')
		station_saw_counter(t, reply->journal, reply->counter);
}

static void drop_all(struct ask_list *list)
{
	struct fleet_ask *ask, *next;

	for (ask = TAILQ_FIRST(list); ask != NULL; ask = next) {
		next = TAILQ_NEXT(ask, all);
		leave_list(ask);
		ask_free(ask);
	}
}

void standing_free(struct station *machine, const struct fault *fault)
{
	struct standing *s = machine->standing;

	if (s == NULL)
		return;
	if (fault != NULL) {
		fail_all(&s->sent, fault, true);
		fail_all(&s->queued, fault, false);
	}
	drop_all(&s->sent);
	drop_all(&s->queued);
	close_standing(s, fault);
	way_fini(&s->way, fault);
	machine->standing = NULL;
	free(s);
}

void asks_free(struct fleet *f)
{
	drop_all(&f->ripe);
}

size_t standing_asks(const struct station *machine)
{
	return machine->standing != NULL ? machine->standing->ask_count : 0;
}

const struct way *standing_way(const struct station *machine)
{
	const struct standing *s = machine->standing;

	return s != NULL && s->way.state == WAY_READY ? &s->way : NULL;
}

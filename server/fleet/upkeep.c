#include "server/fleet/upkeep.h"

#include "common/log.h"
#include "common/revocation_list.h"
#include "proto/lenframe.h"
#include "server/fleet/fleet_private.h"
#include "server/store/token.h"

#include <stdlib.h>
#include <string.h>

#define UPKEEP_BUSY_MAX 64 /* machines at a time */
/* Tried again after so long, doubled with each failure so often. */
#define UPKEEP_AGAIN_MS     3000ULL
#define UPKEEP_FAILURES_MAX 5U
/* More than this ahead of us is nonsense of a stolen key. */
#define UPKEEP_AHEAD_MAX 1000000U

/* --- What there is to tell -------------------------------------------------
 */

static const struct ca *signer_of(
    const struct fleet *f, enum revocation_kind kind)
{
	return kind == REVOKED_AGENTS ? f->parts.issuer.agents
	                              : f->parts.issuer.nodes;
}

static void sign(struct fleet *f, enum revocation_kind kind,
    const struct revocation_list *list, struct bytes kept)
{
	struct fleet_upkeep *u = &f->upkeep;
	const struct ca *ca = signer_of(f, kind);
	enum rc rc = RC_STATE;

	packbuf_clear(&u->list[kind]);
	u->number[kind] = 0;
	if (ca != NULL)
		rc = revocation_list_sign(ca, kind, list,
		    (int64_t)(fleet_wall_ms() / 1000), &u->list[kind]);
	else if (kind == REVOKED_NODES)
		rc = kept_list_use(f, kept, list->number, &u->list[kind]);
	if (rc == RC_OK && ca != NULL && kind == REVOKED_NODES)
		kept_list_write(f, packbuf_bytes(&u->list[kind]));
	if (rc == RC_OK)
		u->number[kind] = list->number;
	else
		log_error("fleet", revocation_kind_name(kind),
		    "the list of revoked keys cannot be signed: %s",
		    rc_name(rc));
}

void upkeep_set_lists(struct fleet *f,
    const struct revocation_list lists[REVOKED_COUNT], struct bytes kept)
{
	bool changed = false;

	for (unsigned i = 0; i < REVOKED_COUNT; i++) {
		if (lists[i].number == f->upkeep.number[i])
			continue;
		sign(f, (enum revocation_kind)i, &lists[i], kept);
		changed = true;
	}
	if (changed) {
		link_net_recheck(f->net);
		f->upkeep.soon = true;
		loop_timer_set(f->upkeep.walk, 0);
	}
}

/* OP_COUNT: it knows all. */
static enum msg_op next_for(const struct station *t, enum revocation_kind *list)
{
	const struct fleet_upkeep *u = &t->fleet->upkeep;

	/* First, so that what else comes can be verified. */
	*list = REVOKED_AGENTS;
	if (t->fleet->parts.issuer.bundle_number > t->upkeep.trust)
		return OP_TRUST;
	for (unsigned i = 0; i < REVOKED_COUNT; i++) {
		*list = (enum revocation_kind)i;
		if (u->number[i] > t->upkeep.known[i])
			return OP_REVOKED;
	}
	if (renewal_is_due(t))
		return OP_CERTIFICATE;
	return peers_are_due(t) ? OP_PEERS : OP_COUNT;
}

static bool is_wanted(const struct station *t)
{
	enum revocation_kind list;

	/* One that is held is not talked to at all. */
	return t->presence == STORE_PRESENCE_ONLINE && t->hold[0] == '\0' &&
	       !t->upkeep.busy &&
	       (t->upkeep.unseen || next_for(t, &list) != OP_COUNT);
}

static bool must_wait(const struct station *t)
{
	return t->upkeep.wait_us > loop_now_us(t->fleet->parts.loop);
}

/* The next walk comes soon. */
static void walk_soon(struct fleet *f, uint64_t ms)
{
	if (f->upkeep.soon)
		return;
	f->upkeep.soon = true;
	loop_timer_set(f->upkeep.walk, ms);
}

/* --- The queue -------------------------------------------------------------
 */

void upkeep_want(struct station *t)
{
	struct fleet *f = t->fleet;
	struct fleet_upkeep *u = &f->upkeep;

	if (f->stopping || t->upkeep.queued || !is_wanted(t))
		return;
	if (must_wait(t)) {
		walk_soon(f, UPKEEP_AGAIN_MS);
		return;
	}
	t->upkeep.queued = true;
	/* Relays first: they keep out what is revoked. */
	if (t->role == ROLE_RELAY)
		TAILQ_INSERT_HEAD(&u->queue, t, upkeep.next);
	else
		TAILQ_INSERT_TAIL(&u->queue, t, upkeep.next);
	loop_timer_set(u->pump, 0);
}

static void leave_queue(struct station *t)
{
	if (t->upkeep.queued)
		TAILQ_REMOVE(&t->fleet->upkeep.queue, t, upkeep.next);
	t->upkeep.queued = false;
}

/* Look at all of them. */
static void on_walk(void *arg)
{
	struct fleet *f = arg;
	struct station *t;

	f->upkeep.soon = false;
	loop_timer_set(f->upkeep.walk, renewal_period_ms(f));
	TAILQ_FOREACH(t, &f->stations, all) upkeep_want(t);
}

/* --- Requests --------------------------------------------------------------
 */

static MUST_CHECK enum rc encode_piece(
    struct station *t, uint32_t id, struct packbuf *out)
{
	const struct fleet_upkeep *u = &t->fleet->upkeep;
	struct station_upkeep *s = &t->upkeep;
	struct bytes whole = packbuf_bytes(&u->list[s->list]);
	struct msg_revoked m = { .id = id, .list = s->list };

	/* A newer list begins anew. */
	if (s->number != u->number[s->list] || s->offset >= whole.len)
		s->offset = 0;
	s->number = u->number[s->list];
	s->sent = whole.len - s->offset;
	if (s->sent > REVOKED_PIECE_MAX)
		s->sent = REVOKED_PIECE_MAX;
	m.number = s->number;
	m.size = whole.len;
	m.offset = s->offset;
	m.piece = bytes_of(whole.p + s->offset, s->sent);
	return msg_revoked_encode(&m, out);
}

/* RC_EXISTS: it greeted, and knows all already. */
static MUST_CHECK enum rc encode_next(
    struct station *t, uint32_t id, struct packbuf *out)
{
	t->upkeep.op = next_for(t, &t->upkeep.list);
	if (t->upkeep.op == OP_REVOKED)
		return encode_piece(t, id, out);
	if (t->upkeep.op == OP_CERTIFICATE)
		return renewal_encode(t, id, out);
	/* Relays do not answer it: their session keeps what was sent. */
	if (t->upkeep.op == OP_PEERS)
		return peers_encode(t, t->role == ROLE_RELAY ? 0 : id, out);
	if (t->upkeep.op == OP_TRUST)
		return trust_push_encode(t, id, out);
	return RC_EXISTS;
}

static void take_numbers(struct station *t, const struct msg_revocations *known)
{
	t->upkeep.known[REVOKED_AGENTS] = known->agents;
	t->upkeep.known[REVOKED_NODES] = known->nodes;
}

/* Its answer to the piece that was sent; RC_DENIED: *why says why not. */
static MUST_CHECK enum rc on_revoked(
    struct station *t, struct bytes message, struct fault *why)
{
	struct station_upkeep *s = &t->upkeep;
	struct msg_revoked_reply reply;
	enum rc rc = msg_revoked_reply_decode(message, &reply, why);

	if (rc != RC_OK)
		return rc;
	if (reply.reply.fault.code != REASON_NONE) {
		*why = reply.reply.fault;
		msg_revoked_reply_clear(&reply);
		return RC_DENIED;
	}
	take_numbers(t, &reply.revocations);
	msg_revoked_reply_clear(&reply);
	s->offset += s->sent;
	if (s->known[s->list] >= s->number) {
		log_debug("fleet", t->name, "knows revoked %s %llu",
		    revocation_kind_name(s->list),
		    (unsigned long long)s->number);
		s->offset = 0;
	} else if (s->offset >= t->fleet->upkeep.list[s->list].len) {
		fault_set(why, REASON_INTERNAL, "", "it holds an older list");
		return RC_DENIED;
	}
	return RC_OK;
}

/* The request that was out is over; why: it failed. */
static void done(struct station *t, const struct fault *why)
{
	struct fleet_upkeep *u = &t->fleet->upkeep;

	if (t->upkeep.busy && t->role == ROLE_TENTACLE)
		u->busy--;
	t->upkeep.busy = false;
	t->upkeep.ask = NULL;
	t->upkeep.op = OP_COUNT;
	if (!TAILQ_EMPTY(&u->queue))
		loop_timer_set(u->pump, 0);
	if (why == NULL) {
		t->upkeep.failures = 0;
		upkeep_want(t);
		return;
	}
	t->upkeep.offset = 0;
	t->upkeep.wait_us = loop_now_us(t->fleet->parts.loop) +
	                    ((UPKEEP_AGAIN_MS * 1000) << t->upkeep.failures);
	if (t->upkeep.failures < UPKEEP_FAILURES_MAX)
		t->upkeep.failures++;
	log_info("fleet", t->name, "has not taken its lists or certificate: %s",
	    why->text);
	walk_soon(t->fleet, UPKEEP_AGAIN_MS);
}

static void answered(struct station *t, struct bytes message)
{
	struct fault why;
	enum rc rc;

	if (t->upkeep.op == OP_CERTIFICATE)
		rc = renewal_answered(t, message, &why);
	else if (t->upkeep.op == OP_PEERS)
		rc = peers_answered(t, message, &why);
	else if (t->upkeep.op == OP_TRUST)
		rc = trust_push_answered(t, message, &why);
	else
		rc = on_revoked(t, message, &why);
	done(t, rc == RC_OK ? NULL : &why);
}

static enum rc encode_for_machine(
    void *arg, const struct fleet_call *call, struct packbuf *out)
{
	struct station *t = arg;

	t->upkeep.unseen = false; /* somebody has greeted */
	return encode_next(t, call->id, out);
}

static void machine_replied(void *arg, const struct fleet_reply *reply)
{
	struct station *t = arg;
	enum revocation_kind list;

	if (reply->fault == NULL)
		answered(t, reply->message);
	else if (!t->upkeep.unseen && next_for(t, &list) == OP_COUNT)
		done(t, NULL); /* it greeted, and knew all */
	else
		done(t, reply->fault);
}

static void ask_machine(struct station *t)
{
	const struct fleet_request request = {
		.machine = t->id,
		.op = OP_REVOKED,
		.encode = encode_for_machine,
		.reply = machine_replied,
		.arg = t,
	};
	struct fault why;

	t->upkeep.busy = true;
	t->upkeep.op = OP_COUNT;
	t->fleet->upkeep.busy++;
	if (fleet_request(t->fleet, &request, &t->upkeep.ask) == RC_OK)
		return;
	fault_set(&why, REASON_TOO_MANY, "", "too much to do");
	done(t, &why);
}

static void ask_relay(struct station *t)
{
	struct packbuf pack;
	struct fault why;
	enum rc rc;

	packbuf_init(&pack, LENFRAME_CONTROL_MAX);
	rc = control_send(t->control, encode_next(t, 1, &pack), &pack);
	if (rc == RC_OK && t->upkeep.op == OP_PEERS) {
		peers_told(t);
		done(t, NULL);
		return;
	}
	t->upkeep.busy = rc == RC_OK;
	if (rc == RC_OK)
		return;
	fault_set(&why, REASON_INTERNAL, "", "%s", rc_name(rc));
	done(t, &why);
}

static void on_pump(void *arg)
{
	struct fleet *f = arg;
	struct station *t;

	while (f->upkeep.busy < UPKEEP_BUSY_MAX &&
	       (t = TAILQ_FIRST(&f->upkeep.queue)) != NULL) {
		leave_queue(t);
		if (!is_wanted(t))
			continue;
		if (t->role == ROLE_RELAY)
			ask_relay(t);
		else
			ask_machine(t);
	}
}

/* --- What others tell ------------------------------------------------------
 */

/*
 * A database that was set back counts anew from a number that others have seen
 * already, with other keys: go beyond it, or they would not listen.
 */
struct raise_job {
	struct fleet_job base;
	enum revocation_kind kind;
	uint64_t number;
};

static enum rc raise_number(struct db *db, struct store_job *job)
{
	const struct raise_job *r =
	    CONTAINER_OF(job, struct raise_job, base.job);

	return store_revocations_raise(db, r->kind == REVOKED_NODES, r->number);
}

static void raise_drop(struct fleet_job *job)
{
	free(CONTAINER_OF(job, struct raise_job, base));
}

static void raised(struct fleet_job *job, enum rc rc)
{
	const struct raise_job *r = CONTAINER_OF(job, struct raise_job, base);
	struct fleet *f = job->fleet;

	if (rc == RC_OK)
		fleet_changed(f, FLEET_ALL, "");
	else
		f->upkeep.raised[r->kind] = 0;
	raise_drop(job);
}

static void catch_up(const struct station *t, enum revocation_kind kind)
{
	struct fleet_upkeep *u = &t->fleet->upkeep;
	uint64_t known = t->upkeep.known[kind];
	struct raise_job *r;

	if (known <= u->number[kind] || known <= u->raised[kind])
		return;
	log_error("fleet", t->name,
	    "knows list %llu of revoked %s, and this server %llu: was its "
	    "database set back?",
	    (unsigned long long)known, revocation_kind_name(kind),
	    (unsigned long long)u->number[kind]);
	if (known - u->number[kind] > UPKEEP_AHEAD_MAX ||
	    signer_of(t->fleet, kind) == NULL)
		return;
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return;
	r->base.done = raised;
	r->base.drop = raise_drop;
	r->kind = kind;
	r->number = known + 1;
	u->raised[kind] = known;
	if (fleet_submit(t->fleet, &r->base, raise_number) == RC_OK)
		return;
	u->raised[kind] = 0;
	raise_drop(&r->base);
}

void upkeep_greeted(
    struct station *t, const struct msg_greet *greet, const struct peer *peer)
{
	t->upkeep.unseen = false;
	take_numbers(t, &greet->revocations);
	t->upkeep.trust = greet->trust;
	memcpy(
	    t->upkeep.authority, peer->authority, sizeof(t->upkeep.authority));
	trust_note(t);
	for (unsigned i = 0; i < REVOKED_COUNT; i++)
		catch_up(t, (enum revocation_kind)i);
	upkeep_want(t);
}

void upkeep_saw_instance(struct station *t, uint64_t start, const char *nonce)
{
	if (t->role != ROLE_TENTACLE || start == 0 ||
	    (start == t->life.start &&
		(nonce == NULL || strcmp(nonce, t->life.nonce) == 0)))
		return;
	t->upkeep.unseen = true;
	t->upkeep.wait_us = 0;
	upkeep_want(t);
}

void upkeep_answered(struct station *t, struct bytes message)
{
	if (t->upkeep.busy)
		answered(t, message);
}

static void stop(struct station *t)
{
	fleet_request_cancel(t->upkeep.ask);
	t->upkeep.ask = NULL;
	if (t->upkeep.busy && t->role == ROLE_TENTACLE)
		t->fleet->upkeep.busy--;
	t->upkeep.busy = false;
	t->upkeep.offset = 0;
}

void upkeep_lost(struct station *t)
{
	stop(t);
}

void upkeep_forget(struct station *t)
{
	leave_queue(t);
	stop(t);
	if (!t->fleet->stopping)
		loop_timer_set(t->fleet->upkeep.pump, 0);
}

enum rc upkeep_init(struct fleet *f)
{
	struct fleet_upkeep *u = &f->upkeep;
	enum rc rc = loop_timer_new(f->parts.loop, on_pump, f, &u->pump);

	TAILQ_INIT(&u->queue);
	for (unsigned i = 0; i < REVOKED_COUNT; i++)
		packbuf_init(&u->list[i], REVOKED_SIGNED_MAX + 65536);
	if (rc == RC_OK)
		rc = loop_timer_new(f->parts.loop, on_walk, f, &u->walk);
	if (rc == RC_OK)
		loop_timer_set(u->walk, renewal_period_ms(f));
	u->started_s = (int64_t)(fleet_wall_ms() / 1000);
	return rc;
}

void upkeep_fini(struct fleet *f)
{
	struct fleet_upkeep *u = &f->upkeep;

	loop_timer_free(u->pump);
	loop_timer_free(u->walk);
	for (unsigned i = 0; i < REVOKED_COUNT; i++)
		packbuf_fini(&u->list[i]);
}

#include "proto/mux_internal.h"

/*
 * Whose DATA goes next.  Class control first, while its bucket lasts; without
 * it control's streams take turns with deploy's.  Then two balances, each the
 * bytes by which the favoured side is ahead of its share:
 *
 *     health_lead   health : all others = 1 : 1
 *     deploy_lead   deploy : bulk       = 3 : 1
 *
 * so health gets up to half, deploy at least 3/8 and bulk at least 1/8 of a
 * full link.  Who was idle may catch up BEHIND_MAX bytes, and who had the link
 * for itself owes at most AHEAD_MAX: that is how health overtakes bulk.
 */
#define AHEAD_MAX       16384
#define BEHIND_MAX      65536
#define DEPLOY_PER_BULK 3

#define TURN_MIN 1024 /* less is left of a turn: the next stream's turn */

static bool wants_turn(const struct mux_stream *s)
{
	if (s->phase == PHASE_OFFERED || s->phase == PHASE_OVER)
		return false;
	if (s->out.len > 0)
		return s->send_credit > FRAME_HEADER_LEN;
	return s->local == HALF_ENDING && s->send_credit >= FRAME_HEADER_LEN;
}

void mux_sched_remove(struct mux *m, struct mux_stream *s)
{
	if (!s->is_ready)
		return;
	TAILQ_REMOVE(&m->ready[s->class], s, ready_entry);
	m->ready_count[s->class]--;
	s->is_ready = false;
	s->in_turn = false;
	s->deficit = 0;
}

void mux_sched_review(struct mux *m, struct mux_stream *s)
{
	bool wants = wants_turn(s);

	if (!wants)
		mux_sched_remove(m, s);
	if (!wants || s->is_ready)
		return;
	TAILQ_INSERT_TAIL(&m->ready[s->class], s, ready_entry);
	m->ready_count[s->class]++;
	s->is_ready = true;
}

/* Between deploy's streams and those of class control, one turn each. */
static enum stream_class choose_middle(const struct mux *m)
{
	uint32_t deploy = m->ready_count[CLASS_DEPLOY];
	uint32_t control = m->ready_count[CLASS_CONTROL];

	if (control == 0)
		return CLASS_DEPLOY;
	return m->middle_turn % (deploy + control) < control ? CLASS_CONTROL
	                                                     : CLASS_DEPLOY;
}

/* What the other classes are served as; CLASS_COUNT: nothing is ready. */
static enum stream_class choose_turn(
    const struct mux *m, enum stream_class lowest)
{
	bool health =
	    lowest >= CLASS_HEALTH && m->ready_count[CLASS_HEALTH] > 0;
	bool middle =
	    lowest >= CLASS_DEPLOY && (m->ready_count[CLASS_DEPLOY] > 0 ||
					  m->ready_count[CLASS_CONTROL] > 0);
	bool bulk = lowest >= CLASS_BULK && m->ready_count[CLASS_BULK] > 0;

	if (m->ready_count[CLASS_CONTROL] > 0 && bucket_has(&m->control_bucket))
		return CLASS_CONTROL;
	if (health && ((!middle && !bulk) || m->health_lead <= 0))
		return CLASS_HEALTH;
	if (middle && (!bulk || m->deploy_lead <= 0))
		return CLASS_DEPLOY;
	return bulk ? CLASS_BULK : CLASS_COUNT;
}

static int32_t add_lead(int32_t lead, int32_t bytes)
{
	lead += bytes;
	if (lead > AHEAD_MAX)
		return AHEAD_MAX;
	return lead < -BEHIND_MAX ? -BEHIND_MAX : lead;
}

static void account(struct mux *m, enum stream_class turn, uint32_t cost)
{
	switch (turn) {
	case CLASS_CONTROL:
		bucket_spend(&m->control_bucket, cost);
		break;
	case CLASS_HEALTH:
		m->health_lead = add_lead(m->health_lead, (int32_t)cost);
		break;
	case CLASS_DEPLOY:
		m->middle_turn++;
		m->health_lead = add_lead(m->health_lead, -(int32_t)cost);
		m->deploy_lead = add_lead(m->deploy_lead, (int32_t)cost);
		break;
	case CLASS_BULK:
		m->health_lead = add_lead(m->health_lead, -(int32_t)cost);
		m->deploy_lead =
		    add_lead(m->deploy_lead, -(int32_t)cost * DEPLOY_PER_BULK);
		break;
	case CLASS_COUNT:
		break;
	}
}

static uint32_t least(uint32_t a, size_t b)
{
	return b < a ? (uint32_t)b : a;
}

/*
 * How much of the stream goes into the next frame; false: it does not fit and
 * must wait for the next call.
 */
static bool cut_frame(
    const struct mux *m, struct mux_stream *s, struct writer *w, uint32_t *len)
{
	uint32_t n = m->frame_max - FRAME_HEADER_LEN;

	if (!s->in_turn) {
		s->in_turn = true;
		s->deficit += m->frame_max;
	}
	n = least(n, s->out.len);
	n = least(n, s->send_credit - FRAME_HEADER_LEN);
	n = least(n, s->deficit - FRAME_HEADER_LEN);
	if (n + FRAME_HEADER_LEN > w->room) {
		/* A small buffer of its own gets what fits it. */
		if (w->batch->len > 0 || w->room <= FRAME_HEADER_LEN)
			return false;
		n = (uint32_t)(w->room - FRAME_HEADER_LEN);
	}
	*len = n;
	return true;
}

static void end_turn(struct mux *m, struct mux_stream *s)
{
	if (!s->is_ready || s->deficit >= TURN_MIN)
		return;
	TAILQ_REMOVE(&m->ready[s->class], s, ready_entry);
	TAILQ_INSERT_TAIL(&m->ready[s->class], s, ready_entry);
	s->in_turn = false;
}

/* The bytes are out: what follows for the stream. */
static void after_frame(struct mux *m, struct mux_stream *s, uint32_t len)
{
	s->send_credit -= len + FRAME_HEADER_LEN;
	s->deficit -= len + FRAME_HEADER_LEN;
	s->sent += len;
	m->stats.queued[s->class] -= len;
	if (s->every_send ? len > 0
			  : s->wants_room && s->out.len <= s->queue_max / 2)
		mux_notice(m, s);
	mux_sched_review(m, s);
	end_turn(m, s);
	mux_stream_close_if_done(m, s);
}

static bool write_data(
    struct mux *m, struct mux_stream *s, struct writer *w, uint32_t *cost)
{
	struct frame f = { .type = FRAME_DATA, .id = s->id };
	uint32_t len;

	if (!cut_frame(m, s, w, &len))
		return false;
	if (s->local == HALF_ENDING && len == s->out.len) {
		f.flags = FRAME_FLAG_END;
		s->local = HALF_ENDED;
	}
	f.len = (uint16_t)len;
	frame_encode(&f, w->out);
	byte_queue_get(&s->out, &m->pool, w->out + FRAME_HEADER_LEN, len);
	*cost = len + FRAME_HEADER_LEN;
	w->out += *cost;
	w->room -= *cost;
	w->batch->len += *cost;
	w->batch->class_len[s->class] += *cost;
	m->stats.frames_out++;
	m->stats.bytes_out += *cost;
	after_frame(m, s, len);
	return true;
}

static bool is_quiet(const struct mux *m)
{
	for (int class = 0; class < CLASS_COUNT; class ++) {
		if (m->ready_count[class] > 0)
			return false;
	}
	return mux_is_up(m) && !mux_control_waits(m);
}

bool mux_pass(struct mux *m, uint32_t stream, enum stream_class lowest,
    size_t len, uint8_t head[FRAME_HEADER_LEN])
{
	struct mux_stream *s = mux_stream_of(m, stream);
	const uint32_t cost = (uint32_t)len + FRAME_HEADER_LEN;
	struct frame f = { .type = FRAME_DATA, .len = (uint16_t)len };

	/* Class control is limited by a bucket, which is the queue's matter. */
	if (s == NULL || s->phase != PHASE_OPEN || s->local != HALF_OPEN ||
	    s->class == CLASS_CONTROL || s->class > lowest || s->out.len > 0 ||
	    !is_quiet(m))
		return false;
	if (len == 0 || len > m->frame_max - FRAME_HEADER_LEN ||
	    cost > s->send_credit)
		return false;
	f.id = s->id;
	frame_encode(&f, head);
	s->send_credit -= cost;
	m->stats.frames_out++;
	m->stats.bytes_out += cost;
	account(m, s->class, cost);
	return true;
}

/* One DATA frame; false when there is none, or none that fits. */
static bool serve_one(struct mux *m, enum stream_class lowest, struct writer *w)
{
	enum stream_class turn = choose_turn(m, lowest);
	enum stream_class from = turn;
	uint32_t cost;

	if (turn == CLASS_COUNT)
		return false;
	if (turn == CLASS_DEPLOY)
		from = choose_middle(m);
	if (!write_data(m, TAILQ_FIRST(&m->ready[from]), w, &cost))
		return false;
	account(m, turn, cost);
	return true;
}

void mux_pull(struct mux *m, uint64_t now_us, enum stream_class lowest,
    uint8_t *out, size_t cap, struct mux_batch *batch)
{
	struct writer w = { .out = out, .room = cap, .batch = batch };

	*batch = (struct mux_batch){ 0 };
	m->now_us = now_us;
	bucket_fill(&m->control_bucket, now_us);
	if (!mux_control_write(m, &w))
		return;
	while (serve_one(m, lowest, &w))
		;
}

bool mux_has_output(const struct mux *m, enum stream_class lowest)
{
	if (mux_control_waits(m))
		return true;
	return mux_is_up(m) && choose_turn(m, lowest) != CLASS_COUNT;
}

#include "proto/mux_internal.h"

#include <string.h>

/* A CREDIT below this is not worth its frame: our own are at least 8 KiB. */
#define CREDIT_TINY 4096

/*
 * Handlers return RC_OK with *ev filled, RC_AGAIN when there is nothing to
 * tell, RC_PROTO when the mux has died.
 */

static void about(
    struct mux_event *ev, enum mux_event_type type, const struct mux_stream *s)
{
	ev->type = type;
	if (s != NULL) {
		ev->stream = s->handle;
		ev->owner = s->owner;
	}
}

/* RC_AGAIN: counted, and still bearable. */
static enum rc violation(struct mux *m, const char *text)
{
	m->stats.violations++;
	if (bucket_take(&m->violations, m->now_us))
		return RC_AGAIN;
	return mux_fail(m, text);
}

/* Say RESET for a number; RC_AGAIN, or RC_PROTO. */
static enum rc answer_reset(struct mux *m, uint32_t id, struct bytes payload)
{
	struct control *c;

	if (mux_control_new(FRAME_RESET, id, payload, &c) != RC_OK)
		return mux_fail(m, "out of memory");
	return mux_control_push_answer(m, c) == RC_OK ? RC_AGAIN : RC_PROTO;
}

/* The peer broke the rules of one stream: it ends, and its owner is told. */
static enum rc break_stream(
    struct mux *m, struct mux_stream *s, const char *text, struct mux_event *ev)
{
	about(ev, MUX_BROKEN, s);
	ev->reason = REASON_PROTOCOL;
	ev->text = text;
	if (answer_reset(m, s->id, m->limits.protocol) == RC_PROTO)
		return RC_PROTO;
	mux_stream_drop(m, s);
	return violation(m, text) == RC_PROTO ? RC_PROTO : RC_OK;
}

static enum rc count_control(struct mux *m)
{
	if (bucket_take(&m->controls, m->now_us))
		return RC_AGAIN;
	return violation(
	    m, "too many control frames or empty ones in a second");
}

static bool is_ours(const struct mux *m, uint32_t id)
{
	return (id & 1) == (m->role == MUX_DIALLER ? 1U : 0U);
}

/* It is dropped; beyond what the peer may not have known it is counted. */
static enum rc late(struct mux *m, const struct frame *f)
{
	m->stats.late_frames++;
	if (mux_late_forgive(m, f))
		return RC_AGAIN;
	if (f->type != FRAME_DATA || f->len == 0)
		return count_control(m);
	return violation(m, "too many bytes for streams that are gone");
}

/*
 * The stream of a frame, or NULL with *rc: RC_AGAIN, it is gone and the frame
 * came late; RC_PROTO, there never was one.
 */
static struct mux_stream *find_stream(
    struct mux *m, const struct frame *f, enum rc *rc)
{
	struct mux_stream *s = mux_stream_by_id(m, f->id);

	if (s != NULL)
		return s;
	if (f->id == 0) {
		*rc = mux_fail(m, "a stream's frame with stream number 0");
	} else if (is_ours(m, f->id) ? f->id >= m->next_id
				     : f->id > m->peer_highest) {
		*rc = mux_fail(m, "a frame for a stream that was never opened");
	} else {
		*rc = late(m, f);
	}
	return NULL;
}

static enum rc on_data(struct mux *m, const struct frame *f,
    const uint8_t *payload, struct mux_event *ev)
{
	bool end = (f->flags & FRAME_FLAG_END) != 0;
	enum rc rc;
	struct mux_stream *s = find_stream(m, f, &rc);

	if (s == NULL)
		return rc;
	if (s->phase == PHASE_OPENING)
		return break_stream(m, s, "DATA came before ACCEPT", ev);
	if (s->remote != HALF_OPEN)
		return break_stream(m, s, "DATA came after END", ev);
	if (!mux_credit_charge(m, s, f->len))
		return break_stream(m, s, "DATA came beyond the credit", ev);
	if (end) {
		s->remote = HALF_ENDING;
		m->ended_stream = s->handle;
	}
	mux_credit_review(m, s);
	if (f->len == 0)
		return end ? RC_AGAIN : count_control(m);
	about(ev, MUX_DATA, s);
	ev->data = (struct bytes){ payload, f->len };
	return RC_OK;
}

static enum rc tell_end(struct mux *m, struct mux_event *ev)
{
	struct mux_stream *s = mux_stream_of(m, m->ended_stream);

	m->ended_stream = 0;
	if (s == NULL || s->phase == PHASE_OVER)
		return RC_AGAIN;
	s->remote = HALF_ENDED;
	about(ev, MUX_END, s);
	mux_stream_close_if_done(m, s);
	return RC_OK;
}

static enum rc refuse_open(struct mux *m, uint32_t id, struct bytes payload)
{
	m->stats.refused++;
	mux_late_expect(m, MUX_INITIAL_CREDIT);
	return answer_reset(m, id, payload);
}

static enum rc on_open(struct mux *m, const struct frame *f,
    const uint8_t *payload, struct mux_event *ev)
{
	struct mux_stream *s;

	if (f->id == 0 || f->id > MUX_ID_MAX || is_ours(m, f->id))
		return mux_fail(m, "OPEN with a number that is not the peer's");
	if (f->id <= m->peer_highest)
		return mux_fail(m, "OPEN with a number that does not rise");
	m->peer_highest = f->id;
	if (m->leaving) { /* GOAWAY said that this one is not taken up */
		m->stats.late_frames++;
		mux_late_expect(m, MUX_INITIAL_CREDIT);
		return bucket_take(&m->opens, m->now_us)
		           ? RC_AGAIN
		           : violation(m, "too many OPENs in a second");
	}
	m->peer_taken = f->id;
	if (!bucket_take(&m->opens, m->now_us)) {
		if (refuse_open(m, f->id, m->limits.too_many) == RC_PROTO)
			return RC_PROTO;
		return violation(m, "too many OPENs in a second");
	}
	if (m->peer_count >= m->limits.max_streams)
		return refuse_open(m, f->id, m->limits.too_many);
	if (mux_stream_new(m, PHASE_OFFERED, f->id, &s) != RC_OK)
		return refuse_open(m, f->id, m->limits.memory);
	about(ev, MUX_OPENED, s);
	ev->data = (struct bytes){ payload, f->len };
	return RC_OK;
}

static enum rc on_accept(struct mux *m, const struct frame *f,
    const uint8_t *payload, struct mux_event *ev)
{
	enum rc rc;
	struct mux_stream *s = find_stream(m, f, &rc);

	if (s == NULL)
		return rc;
	if (s->phase != PHASE_OPENING)
		return break_stream(m, s, "ACCEPT came unasked", ev);
	mux_stream_enter(m, s, PHASE_OPEN);
	about(ev, MUX_ACCEPTED, s);
	ev->data = (struct bytes){ payload, f->len };
	return RC_OK;
}

static enum rc on_credit(struct mux *m, const struct frame *f,
    const uint8_t *payload, struct mux_event *ev)
{
	struct mux_stream *s;
	uint32_t credit;
	enum rc rc;

	if (f->len != 4)
		return mux_fail(m, "CREDIT of a wrong length");
	credit = frame_load_u32(payload);
	if (credit < CREDIT_TINY && count_control(m) == RC_PROTO)
		return RC_PROTO;
	s = find_stream(m, f, &rc);
	if (s == NULL)
		return rc;
	if (s->phase == PHASE_OPENING)
		return break_stream(m, s, "CREDIT came before ACCEPT", ev);
	rc = mux_add_credit(m, s->handle, credit);
	return rc == RC_OK ? RC_AGAIN : rc;
}

static enum rc on_reset(struct mux *m, const struct frame *f,
    const uint8_t *payload, struct mux_event *ev)
{
	struct mux_stream *s;
	enum rc rc;

	if (!bucket_take(&m->resets, m->now_us) &&
	    violation(m, "too many RESETs in a second") == RC_PROTO)
		return RC_PROTO;
	s = find_stream(m, f, &rc);
	if (s == NULL)
		return rc;
	about(ev, MUX_RESET, s);
	ev->data = (struct bytes){ payload, f->len };
	s->peer_left = true;
	mux_stream_drop(m, s);
	return RC_OK;
}

static enum rc on_stream_frame(struct mux *m, const struct frame *f,
    const uint8_t *payload, struct mux_event *ev)
{
	switch (f->type) {
	case FRAME_DATA:
		return on_data(m, f, payload, ev);
	case FRAME_OPEN:
		return on_open(m, f, payload, ev);
	case FRAME_ACCEPT:
		return on_accept(m, f, payload, ev);
	case FRAME_CREDIT:
		return on_credit(m, f, payload, ev);
	default:
		return on_reset(m, f, payload, ev);
	}
}

static enum rc on_ping(
    struct mux *m, const struct frame *f, const uint8_t *payload)
{
	if (f->len != sizeof(m->pong))
		return mux_fail(m, "PING of a wrong length");
	/* Who asks again before the answer could go gets the newer one. */
	memcpy(m->pong, payload, sizeof(m->pong));
	m->owes_pong = true;
	return RC_AGAIN;
}

static enum rc link_event(struct mux_event *ev, enum mux_event_type type,
    const struct frame *f, const uint8_t *payload)
{
	about(ev, type, NULL);
	ev->data = (struct bytes){ payload, f->len };
	return RC_OK;
}

static enum rc on_hello(struct mux *m, const struct frame *f,
    const uint8_t *payload, struct mux_event *ev)
{
	if (f->type != FRAME_HELLO || f->id != 0)
		return mux_fail(m, "the first frame was not HELLO");
	if (m->role == MUX_DIALLER && !m->hello_written)
		return mux_fail(m, "HELLO came before ours");
	m->hello_received = true;
	return link_event(ev, MUX_HELLO, f, payload);
}

static enum rc on_link_frame(struct mux *m, const struct frame *f,
    const uint8_t *payload, struct mux_event *ev)
{
	if (f->id != 0)
		return mux_fail(m, "a frame of the link with a stream number");
	if (count_control(m) == RC_PROTO)
		return RC_PROTO;
	switch (f->type) {
	case FRAME_PING:
		return on_ping(m, f, payload);
	case FRAME_PONG:
		if (f->len != sizeof(m->pong))
			return mux_fail(m, "PONG of a wrong length");
		return link_event(ev, MUX_PONG, f, payload);
	case FRAME_GOAWAY:
		m->peer_leaving = true;
		return link_event(ev, MUX_GOAWAY, f, payload);
	case FRAME_TELL:
		return link_event(ev, MUX_TELL, f, payload);
	default:
		return mux_fail(m, "HELLO came twice");
	}
}

static enum rc dispatch(struct mux *m, const struct frame *f,
    const uint8_t *payload, struct mux_event *ev)
{
	if (!m->hello_received)
		return on_hello(m, f, payload, ev);
	/* The dialler waits for the verdict. */
	if (!m->hello_written)
		return mux_fail(m, "the peer did not wait for our HELLO");
	if (f->type <= FRAME_RESET)
		return on_stream_frame(m, f, payload, ev);
	if (f->type < FRAME_TYPE_COUNT)
		return on_link_frame(m, f, payload, ev);
	if ((f->flags & FRAME_FLAG_MAY_IGNORE) == 0)
		return mux_fail(m, "a frame of an unknown type");
	return count_control(m);
}

enum rc mux_recv(struct mux *m, uint64_t now_us, const uint8_t **data,
    size_t *len, struct mux_event *event)
{
	if (m->failure != NULL)
		return RC_STATE;
	m->now_us = now_us;
	for (;;) {
		const uint8_t *payload;
		struct frame f;
		enum rc rc;

		*event = (struct mux_event){ 0 };
		if (m->ended_stream != 0 && tell_end(m, event) == RC_OK)
			return RC_OK;
		rc = frame_decode(*data, *len, &f);
		if (rc == RC_PROTO)
			return mux_fail(m, "a frame above the largest length");
		if (rc != RC_OK)
			return rc;
		payload = *data + FRAME_HEADER_LEN;
		*data = payload + f.len;
		*len -= (size_t)FRAME_HEADER_LEN + f.len;
		m->stats.frames_in++;
		m->stats.bytes_in += (size_t)FRAME_HEADER_LEN + f.len;
		rc = dispatch(m, &f, payload, event);
		if (rc != RC_AGAIN)
			return rc;
	}
}

bool mux_next_event(struct mux *m, struct mux_event *event)
{
	struct mux_stream *s = TAILQ_FIRST(&m->notices);

	if (s == NULL || m->failure != NULL)
		return false;
	*event = (struct mux_event){ 0 };
	TAILQ_REMOVE(&m->notices, s, notice_entry);
	s->is_noticed = false;
	if (s->phase != PHASE_OVER) {
		about(event, MUX_WRITABLE, s);
		event->sent = s->sent;
		s->sent = 0;
		s->wants_room = false;
		return true;
	}
	about(event, s->text == NULL ? MUX_CLOSED : MUX_BROKEN, s);
	event->sent = s->sent;
	event->reason = s->reason;
	event->text = s->text;
	mux_stream_drop(m, s);
	return true;
}

#include "proto/mux_internal.h"

#include <stdlib.h>
#include <string.h>

enum rc mux_control_new(enum frame_type type, uint32_t id, struct bytes payload,
    struct control **out)
{
	struct control *c;
	uint8_t *copy;

	if (payload.len > FRAME_PAYLOAD_MAX)
		return RC_LIMIT;
	c = malloc(sizeof(*c) + payload.len);
	if (c == NULL)
		return RC_NOMEM;
	*c = (struct control){
		.id = id, .len = (uint16_t)payload.len, .type = (uint8_t)type
	};
	copy = (uint8_t *)(c + 1);
	if (payload.len > 0)
		memcpy(copy, payload.p, payload.len);
	c->payload = copy;
	*out = c;
	return RC_OK;
}

static bool is_of_link(const struct control *c)
{
	return c->type == FRAME_PING || c->type == FRAME_GOAWAY ||
	       c->type == FRAME_TELL;
}

/* Those whose number only the peer's reading bounds. */
static bool is_answer(const struct control *c)
{
	return c->type == FRAME_RESET || c->type == FRAME_TELL;
}

static struct control_list *list_of(struct mux *m, const struct control *c)
{
	return is_of_link(c) ? &m->link_frames : &m->stream_frames;
}

void mux_control_push(struct mux *m, struct control *c)
{
	TAILQ_INSERT_TAIL(list_of(m, c), c, entry);
	c->queued = true;
	m->control_queued += FRAME_HEADER_LEN + c->len;
	if (is_answer(c))
		m->answers_queued += sizeof(*c) + c->len;
}

enum rc mux_control_push_answer(struct mux *m, struct control *c)
{
	mux_control_push(m, c);
	if (m->answers_queued > m->limits.control_max)
		return mux_fail(m, "the peer does not read our answers");
	return RC_OK;
}

/* Off its list already. */
static void dispose(struct mux *m, struct control *c)
{
	c->queued = false;
	m->control_queued -= FRAME_HEADER_LEN + c->len;
	if (is_answer(c))
		m->answers_queued -= sizeof(*c) + c->len;
	/* CREDIT is part of its stream. */
	if (c->type != FRAME_CREDIT)
		free(c);
}

void mux_control_cancel(struct mux *m, struct control *c)
{
	TAILQ_REMOVE(list_of(m, c), c, entry);
	dispose(m, c);
}

static void clear_list(struct mux *m, struct control_list *list)
{
	struct control *c = TAILQ_FIRST(list), *next;

	TAILQ_INIT(list);
	for (; c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->type == FRAME_OPEN)
			c->stream->open = NULL;
		dispose(m, c);
	}
}

void mux_control_clear(struct mux *m)
{
	free(m->hello);
	m->hello = NULL;
	m->owes_pong = false;
	clear_list(m, &m->link_frames);
	clear_list(m, &m->stream_frames);
}

bool mux_is_up(const struct mux *m)
{
	return m->failure == NULL && m->hello_written && m->hello_received;
}

/* The dialler speaks first, and then waits for the verdict. */
static bool may_write_hello(const struct mux *m)
{
	return m->hello != NULL && m->failure == NULL &&
	       (m->role == MUX_DIALLER || m->hello_received);
}

/* A dead mux still says GOAWAY: all that mux_fail() lets into the list. */
static bool may_write_link(const struct mux *m)
{
	return m->hello_written && m->hello_received;
}

static bool write_frame(struct mux *m, struct writer *w, enum frame_type type,
    uint32_t id, struct bytes payload)
{
	const struct frame f = {
		.len = (uint16_t)payload.len, .type = (uint8_t)type, .id = id
	};
	size_t len = FRAME_HEADER_LEN + payload.len;

	if (len > w->room)
		return false;
	frame_encode(&f, w->out);
	if (payload.len > 0)
		memcpy(w->out + FRAME_HEADER_LEN, payload.p, payload.len);
	w->out += len;
	w->room -= len;
	w->batch->len += len;
	w->batch->control_len += len;
	m->stats.frames_out++;
	m->stats.bytes_out += len;
	return true;
}

static bool write_control(
    struct mux *m, struct writer *w, const struct control *c)
{
	return write_frame(m, w, (enum frame_type)c->type, c->id,
	    (struct bytes){ c->payload, c->len });
}

static bool write_hello(struct mux *m, struct writer *w)
{
	if (!write_control(m, w, m->hello))
		return false;
	free(m->hello);
	m->hello = NULL;
	m->hello_written = true;
	return true;
}

static bool write_link_frames(struct mux *m, struct writer *w)
{
	struct control *c, *next;

	if (may_write_hello(m) && !write_hello(m, w))
		return false;
	if (!may_write_link(m))
		return false;
	if (m->owes_pong) {
		if (!write_frame(m, w, FRAME_PONG, 0,
			(struct bytes){ m->pong, sizeof(m->pong) }))
			return false;
		m->owes_pong = false;
	}
	for (c = TAILQ_FIRST(&m->link_frames); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (!write_control(m, w, c))
			return false;
		mux_control_cancel(m, c);
	}
	return true;
}

static bool write_open(struct mux *m, struct writer *w, struct control *c)
{
	struct mux_stream *s = c->stream;

	c->id = m->next_id;
	if (!write_control(m, w, c))
		return false;
	m->next_id += 2;
	s->id = c->id;
	s->open = NULL;
	mux_control_cancel(m, c);
	mux_stream_enter(m, s, PHASE_OPENING);
	return true;
}

static bool write_credit(struct mux *m, struct writer *w, struct control *c)
{
	struct mux_stream *s = c->stream;
	uint8_t payload[4];
	uint32_t grant;

	if (w->room < FRAME_HEADER_LEN + sizeof(payload))
		return false;
	grant = mux_credit_grant(m, s);
	mux_control_cancel(m, c);
	if (grant == 0)
		return true;
	frame_store_u32(payload, grant);
	return write_frame(m, w, FRAME_CREDIT, s->id,
	    (struct bytes){ payload, sizeof(payload) });
}

static bool write_stream_frame(
    struct mux *m, struct writer *w, struct control *c)
{
	if (c->type == FRAME_OPEN)
		return write_open(m, w, c);
	if (c->type == FRAME_CREDIT)
		return write_credit(m, w, c);
	if (!write_control(m, w, c))
		return false;
	mux_control_cancel(m, c);
	return true;
}

bool mux_control_write(struct mux *m, struct writer *w)
{
	struct control *c, *next;

	if (!write_link_frames(m, w) || !mux_is_up(m))
		return false;
	for (c = TAILQ_FIRST(&m->stream_frames); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (!write_stream_frame(m, w, c))
			return false;
	}
	return true;
}

bool mux_control_waits(const struct mux *m)
{
	if (may_write_hello(m))
		return true;
	if (!may_write_link(m))
		return false;
	return m->owes_pong || !TAILQ_EMPTY(&m->link_frames) ||
	       (m->failure == NULL && !TAILQ_EMPTY(&m->stream_frames));
}

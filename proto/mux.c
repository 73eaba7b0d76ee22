#include "proto/mux_internal.h"

#include <stdlib.h>
#include <string.h>

#define SECOND_US     1000000
#define BURST_S       4
#define MAX_STREAMS   32767
#define RESET_LEN_MAX 1024
#define FRAME_MIN     1024

void mux_limits_default(struct mux_limits *limits)
{
	*limits = (struct mux_limits){
		.max_streams = 16384,
		.opens_per_s = 1000,
		.resets_per_s = 1000,
		.control_per_s = 200,
		.violations_max = 10,
		.max_window = 8 << 20,
		.recv_budget = 64 << 20,
		.queue_max = 64 << 10,
		.control_max = 1 << 20,
		.control_rate = 64 << 10,
		.control_burst = 256 << 10,
	};
}

static uint32_t first_id(enum mux_role role, const struct mux_limits *l)
{
	if (l->first_id != 0)
		return l->first_id;
	return role == MUX_DIALLER ? 1 : 2;
}

static bool limits_fit(enum mux_role role, const struct mux_limits *l)
{
	uint32_t id = first_id(role, l);

	return l->max_streams >= 1 && l->max_streams <= MAX_STREAMS &&
	       l->max_window >= MUX_INITIAL_CREDIT &&
	       l->max_window <= MUX_CREDIT_MAX && l->queue_max >= 1 &&
	       l->control_burst <= MUX_CREDIT_MAX && id <= MUX_ID_MAX &&
	       (id & 1) == (role == MUX_DIALLER ? 1U : 0U) &&
	       l->opens_per_s <= SECOND_US && l->resets_per_s <= SECOND_US &&
	       l->control_per_s <= SECOND_US &&
	       l->protocol.len <= RESET_LEN_MAX &&
	       l->too_many.len <= RESET_LEN_MAX &&
	       l->memory.len <= RESET_LEN_MAX;
}

static void init_buckets(struct mux *m)
{
	const struct mux_limits *l = &m->limits;

	bucket_init(
	    &m->opens, l->opens_per_s, SECOND_US, l->opens_per_s * BURST_S);
	bucket_init(
	    &m->resets, l->resets_per_s, SECOND_US, l->resets_per_s * BURST_S);
	bucket_init(&m->controls, l->control_per_s, SECOND_US,
	    l->control_per_s * BURST_S);
	bucket_init(&m->violations, l->violations_max, 60 * SECOND_US,
	    l->violations_max);
	bucket_init(
	    &m->control_bucket, l->control_rate, SECOND_US, l->control_burst);
}

enum rc mux_new(
    enum mux_role role, const struct mux_limits *limits, struct mux **out)
{
	struct mux *m;

	if (!limits_fit(role, limits))
		return RC_STATE;
	m = calloc(1, sizeof(*m));
	if (m == NULL)
		return RC_NOMEM;
	if (mux_table_init(&m->table, limits->max_streams * 2) != RC_OK) {
		free(m);
		return RC_NOMEM;
	}
	m->limits = *limits;
	m->role = role;
	m->next_id = first_id(role, limits);
	m->frame_max = FRAME_LEN_MAX;
	m->recv_budget = limits->recv_budget;
	TAILQ_INIT(&m->link_frames);
	TAILQ_INIT(&m->stream_frames);
	TAILQ_INIT(&m->notices);
	for (unsigned c = 0; c < CLASS_COUNT; c++)
		TAILQ_INIT(&m->ready[c]);
	init_buckets(m);
	*out = m;
	return RC_OK;
}

void mux_free(struct mux *m)
{
	uint32_t handle;

	if (m == NULL)
		return;
	while ((handle = mux_next_stream(m, 0)) != 0)
		mux_stream_drop(m, mux_stream_of(m, handle));
	mux_control_clear(m);
	chunk_pool_fini(&m->pool);
	mux_table_fini(&m->table);
	free(m);
}

void mux_kill(struct mux *m, const char *text)
{
	if (m->failure == NULL)
		m->failure = text;
	mux_control_clear(m);
}

const char *mux_failure(const struct mux *m)
{
	return m->failure;
}

void mux_set_frame_max(struct mux *m, uint32_t bytes)
{
	if (bytes < FRAME_MIN)
		bytes = FRAME_MIN;
	m->frame_max = bytes > FRAME_LEN_MAX ? FRAME_LEN_MAX : bytes;
}

void mux_set_rtt(struct mux *m, uint32_t rtt_us)
{
	m->rtt_us = rtt_us;
}

void mux_set_recv_budget(struct mux *m, uint64_t bytes)
{
	m->recv_budget = bytes;
}

enum rc mux_hello(struct mux *m, struct bytes payload)
{
	if (m->failure != NULL || m->hello != NULL || m->hello_written)
		return RC_STATE;
	return mux_control_new(FRAME_HELLO, 0, payload, &m->hello);
}

enum rc mux_tell(struct mux *m, struct bytes payload)
{
	struct control *c;
	enum rc rc;

	if (m->failure != NULL)
		return RC_STATE;
	rc = mux_control_new(FRAME_TELL, 0, payload, &c);
	return rc == RC_OK ? mux_control_push_answer(m, c) : rc;
}

enum rc mux_ping(struct mux *m, const uint8_t opaque[8])
{
	struct control *c;
	enum rc rc;

	if (m->failure != NULL)
		return RC_STATE;
	rc = mux_control_new(FRAME_PING, 0, (struct bytes){ opaque, 8 }, &c);
	if (rc == RC_OK)
		mux_control_push(m, c);
	return rc;
}

enum rc mux_goaway(struct mux *m, struct bytes payload)
{
	struct control *c;
	enum rc rc = mux_control_new(FRAME_GOAWAY, 0, payload, &c);

	if (rc != RC_OK)
		return rc;
	mux_control_push(m, c);
	m->leaving = true;
	return RC_OK;
}

uint32_t mux_last_peer_id(const struct mux *m)
{
	return m->peer_taken;
}

void mux_abandon(struct mux *m, uint32_t last)
{
	uint32_t handle = 0;

	while ((handle = mux_next_stream(m, handle)) != 0) {
		struct mux_stream *s = mux_stream_of(m, handle);

		if (!s->is_ours || s->phase == PHASE_OVER ||
		    (s->phase != PHASE_UNSENT && s->id <= last))
			continue;
		s->reason = REASON_DRAINING;
		s->text = "the peer is leaving and did not take up the stream";
		mux_stream_enter(m, s, PHASE_OVER);
		mux_notice(m, s);
	}
}

uint32_t mux_ids_left(const struct mux *m)
{
	uint32_t left;

	if (m->next_id > MUX_ID_MAX)
		return 0;
	left = (MUX_ID_MAX - m->next_id) / 2 + 1;
	return left > m->unsent_count ? left - m->unsent_count : 0;
}

enum rc mux_open(struct mux *m, enum stream_class class, void *owner,
    struct bytes payload, uint32_t *stream)
{
	struct mux_stream *s;
	struct control *c;
	enum rc rc;

	if (m->failure != NULL || m->leaving || m->peer_leaving)
		return RC_STATE;
	if (m->own_count >= m->limits.max_streams || mux_ids_left(m) == 0)
		return RC_LIMIT;
	rc = mux_control_new(FRAME_OPEN, 0, payload, &c);
	if (rc != RC_OK)
		return rc;
	rc = mux_stream_new(m, PHASE_UNSENT, 0, &s);
	if (rc != RC_OK) {
		free(c);
		return rc;
	}
	s->class = class;
	s->owner = owner;
	s->open = c;
	c->stream = s;
	m->stats.streams[class]++;
	mux_control_push(m, c);
	*stream = s->handle;
	return RC_OK;
}

/* A live stream of a live mux; RC_STATE, RC_NOTFOUND. */
static enum rc find(struct mux *m, uint32_t handle, struct mux_stream **out)
{
	struct mux_stream *s = mux_stream_of(m, handle);

	if (m->failure != NULL)
		return RC_STATE;
	if (s == NULL)
		return RC_NOTFOUND;
	*out = s;
	return RC_OK;
}

enum rc mux_accept(struct mux *m, uint32_t stream, enum stream_class class,
    uint32_t credit, struct bytes payload)
{
	struct mux_stream *s;
	struct control *c;
	enum rc rc = find(m, stream, &s);

	if (rc != RC_OK)
		return rc;
	if (s->phase != PHASE_OFFERED)
		return RC_STATE;
	rc = mux_control_new(FRAME_ACCEPT, s->id, payload, &c);
	if (rc != RC_OK)
		return rc;
	s->class = class;
	rc = mux_credit_add_window(m, s, credit);
	if (rc != RC_OK) {
		s->class = CLASS_CONTROL; /* uncounted, until it is accepted */
		free(c);
		return rc;
	}
	mux_control_push(m, c);
	mux_stream_enter(m, s, PHASE_OPEN);
	mux_credit_review(m, s);
	return RC_OK;
}

enum rc mux_add_credit(struct mux *m, uint32_t stream, uint32_t credit)
{
	struct mux_stream *s;
	enum rc rc = find(m, stream, &s);

	if (rc != RC_OK)
		return rc;
	if (credit > MUX_CREDIT_MAX - s->send_credit)
		return mux_fail(m, "credit above 2^31-1");
	s->send_credit += credit;
	mux_sched_review(m, s);
	return RC_OK;
}

enum rc mux_send(struct mux *m, uint32_t stream, const uint8_t *data,
    size_t len, size_t *taken)
{
	struct mux_stream *s;
	size_t room;
	enum rc rc = find(m, stream, &s);

	*taken = 0;
	if (rc != RC_OK)
		return rc;
	if (s->phase == PHASE_OFFERED || s->phase == PHASE_OVER ||
	    s->local != HALF_OPEN)
		return RC_STATE;
	room = s->out.len < s->queue_max ? s->queue_max - s->out.len : 0;
	if (room < len)
		s->wants_room = true;
	rc = byte_queue_put(
	    &s->out, &m->pool, data, len < room ? len : room, taken);
	m->stats.queued[s->class] += *taken;
	mux_sched_review(m, s);
	return rc;
}

enum rc mux_end(struct mux *m, uint32_t stream)
{
	struct mux_stream *s;
	enum rc rc = find(m, stream, &s);

	if (rc != RC_OK)
		return rc;
	if (s->phase == PHASE_OFFERED || s->phase == PHASE_OVER ||
	    s->local != HALF_OPEN)
		return RC_STATE;
	s->local = HALF_ENDING;
	mux_sched_review(m, s);
	return RC_OK;
}

enum rc mux_reset(struct mux *m, uint32_t stream, struct bytes payload)
{
	struct mux_stream *s;
	struct control *c = NULL;
	enum rc rc = find(m, stream, &s);

	if (rc != RC_OK)
		return rc;
	/* The peer knows nothing of it, or knows that it is over. */
	if (s->phase != PHASE_UNSENT && s->phase != PHASE_OVER) {
		rc = mux_control_new(FRAME_RESET, s->id, payload, &c);
		if (rc != RC_OK)
			return rc;
	}
	mux_stream_drop(m, s);
	return c == NULL ? RC_OK : mux_control_push_answer(m, c);
}

void mux_consumed(struct mux *m, uint32_t stream, size_t len)
{
	struct mux_stream *s;

	if (find(m, stream, &s) != RC_OK || s->phase == PHASE_OVER)
		return;
	mux_credit_release(m, s, len);
	mux_credit_review(m, s);
}

uint32_t mux_heaviest(
    const struct mux *m, enum stream_class class, uint32_t *held)
{
	uint32_t handle = 0, found = 0;

	*held = 0;
	while ((handle = mux_next_stream(m, handle)) != 0) {
		const struct mux_stream *s = mux_stream_of(m, handle);

		if (s->phase == PHASE_OPEN && s->class == class &&
		    s->recv_held > *held) {
			*held = s->recv_held;
			found = handle;
		}
	}
	return found;
}

enum rc mux_shed(struct mux *m, uint32_t stream)
{
	struct mux_stream *s;
	struct control *c;
	enum rc rc = find(m, stream, &s);

	if (rc == RC_OK && s->phase != PHASE_OPEN)
		rc = RC_STATE;
	if (rc == RC_OK)
		rc = mux_control_new(FRAME_RESET, s->id, m->limits.memory, &c);
	if (rc != RC_OK)
		return rc;
	s->reason = REASON_MEMORY;
	s->text = "the memory for what peers may have under way is used up";
	mux_stream_enter(m, s, PHASE_OVER);
	mux_notice(m, s);
	return mux_control_push_answer(m, c);
}

size_t mux_unsent(const struct mux *m, uint32_t stream)
{
	const struct mux_stream *s = mux_stream_of(m, stream);

	return s == NULL ? 0 : s->out.len;
}

void mux_set_queue_max(
    struct mux *m, uint32_t stream, uint32_t queue_max, bool every_send)
{
	struct mux_stream *s = mux_stream_of(m, stream);

	if (s == NULL)
		return;
	s->queue_max = queue_max;
	s->every_send = every_send;
}

void mux_set_owner(struct mux *m, uint32_t stream, void *owner)
{
	struct mux_stream *s = mux_stream_of(m, stream);

	if (s != NULL)
		s->owner = owner;
}

void *mux_owner(const struct mux *m, uint32_t stream)
{
	const struct mux_stream *s = mux_stream_of(m, stream);

	return s == NULL ? NULL : s->owner;
}

uint32_t mux_wire_id(const struct mux *m, uint32_t stream)
{
	const struct mux_stream *s = mux_stream_of(m, stream);

	return s == NULL ? 0 : s->id;
}

void mux_stats(const struct mux *m, struct mux_stats *out)
{
	*out = m->stats;
	out->control_queued = (uint32_t)m->control_queued;
}

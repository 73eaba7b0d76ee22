#include "proto/mux_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* What proto/mux.h says an idle stream costs, with its slot and bucket. */
static_assert(sizeof(struct mux_stream) + sizeof(struct slot) +
		      sizeof(struct mux_stream *) <=
		  300,
    "an idle stream has become dearer than promised");

#define NO_SLOT       UINT32_MAX
#define FIRST_SLOTS   16
#define FIRST_BUCKETS 16

/* The peer chooses its numbers, but not the seed. */
static uint32_t bucket_of(const struct mux *m, uint32_t id)
{
	uint32_t h = id ^ m->limits.hash_seed;

	h ^= h >> 16;
	h *= UINT32_C(0x85ebca6b);
	h ^= h >> 13;
	h *= UINT32_C(0xc2b2ae35);
	h ^= h >> 16;
	return h & (m->table.bucket_count - 1);
}

enum rc mux_table_init(struct stream_table *t, uint32_t max)
{
	*t = (struct stream_table){ .slot_max = max,
		.first_free = NO_SLOT,
		.last_free = NO_SLOT,
		.bucket_count = FIRST_BUCKETS };
	t->buckets = calloc(t->bucket_count, sizeof(struct mux_stream *));
	return t->buckets == NULL ? RC_NOMEM : RC_OK;
}

void mux_table_fini(struct stream_table *t)
{
	free(t->slots);
	free(t->buckets);
}

/* Twice the buckets; without memory the chains just stay longer. */
static void grow_buckets(struct mux *m)
{
	struct stream_table *t = &m->table;
	uint32_t old_count = t->bucket_count;
	struct mux_stream **old = t->buckets;
	struct mux_stream **bigger =
	    calloc((size_t)old_count * 2, sizeof(struct mux_stream *));

	if (bigger == NULL)
		return;
	t->buckets = bigger;
	t->bucket_count = old_count * 2;
	for (uint32_t i = 0; i < old_count; i++) {
		while (old[i] != NULL) {
			struct mux_stream *s = old[i];
			uint32_t b = bucket_of(m, s->id);

			old[i] = s->hash_next;
			s->hash_next = bigger[b];
			bigger[b] = s;
		}
	}
	free(old);
}

static void hash_insert(struct mux *m, struct mux_stream *s)
{
	struct stream_table *t = &m->table;
	uint32_t b;

	if (t->hashed >= t->bucket_count)
		grow_buckets(m);
	b = bucket_of(m, s->id);
	s->hash_next = t->buckets[b];
	t->buckets[b] = s;
	t->hashed++;
}

static void hash_remove(struct mux *m, struct mux_stream *s)
{
	struct mux_stream **p = &m->table.buckets[bucket_of(m, s->id)];

	while (*p != s)
		p = &(*p)->hash_next;
	*p = s->hash_next;
	m->table.hashed--;
}

struct mux_stream *mux_stream_by_id(const struct mux *m, uint32_t id)
{
	struct mux_stream *s = m->table.buckets[bucket_of(m, id)];

	while (s != NULL && s->id != id)
		s = s->hash_next;
	return s;
}

static void free_slot(struct stream_table *t, uint32_t i)
{
	t->slots[i].stream = NULL;
	t->slots[i].generation++;
	t->slots[i].next_free = NO_SLOT;
	if (t->last_free == NO_SLOT)
		t->first_free = i;
	else
		t->slots[t->last_free].next_free = i;
	t->last_free = i;
}

static enum rc grow_slots(struct stream_table *t)
{
	uint32_t count = t->slot_count == 0 ? FIRST_SLOTS : t->slot_count * 2;
	struct slot *bigger;

	if (count > t->slot_max)
		count = t->slot_max;
	bigger = realloc(t->slots, count * sizeof(*bigger));
	if (bigger == NULL)
		return RC_NOMEM;
	t->slots = bigger;
	for (uint32_t i = t->slot_count; i < count; i++) {
		t->slots[i] = (struct slot){ 0 };
		free_slot(t, i);
	}
	t->slot_count = count;
	return RC_OK;
}

/* RC_NOMEM.  The callers keep the number of streams within slot_max. */
static enum rc take_slot(struct stream_table *t, struct mux_stream *s)
{
	uint32_t i;

	if (t->first_free == NO_SLOT) {
		assert(t->slot_count < t->slot_max);
		if (grow_slots(t) != RC_OK)
			return RC_NOMEM;
	}
	i = t->first_free;
	t->first_free = t->slots[i].next_free;
	if (t->first_free == NO_SLOT)
		t->last_free = NO_SLOT;
	t->slots[i].stream = s;
	s->handle = (uint32_t)t->slots[i].generation << 16 | (i + 1);
	return RC_OK;
}

struct mux_stream *mux_stream_of(const struct mux *m, uint32_t handle)
{
	uint32_t i = (handle & 0xffff) - 1;
	struct mux_stream *s;

	if (i >= m->table.slot_count)
		return NULL;
	s = m->table.slots[i].stream;
	return s != NULL && s->handle == handle ? s : NULL;
}

uint32_t mux_next_stream(const struct mux *m, uint32_t stream)
{
	for (uint32_t i = stream & 0xffff; i < m->table.slot_count; i++) {
		if (m->table.slots[i].stream != NULL)
			return m->table.slots[i].stream->handle;
	}
	return 0;
}

enum rc mux_stream_new(struct mux *m, enum stream_phase phase, uint32_t id,
    struct mux_stream **out)
{
	struct mux_stream *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return RC_NOMEM;
	if (take_slot(&m->table, s) != RC_OK) {
		free(s);
		return RC_NOMEM;
	}
	s->phase = phase;
	s->id = id;
	s->is_ours = phase == PHASE_UNSENT;
	s->send_credit = MUX_INITIAL_CREDIT;
	s->queue_max = m->limits.queue_max;
	s->credit.type = FRAME_CREDIT;
	s->credit.stream = s;
	s->credit.len = 4;
	mux_credit_start(m, s);
	if (s->is_ours) {
		m->own_count++;
		m->unsent_count++;
	} else {
		m->peer_count++;
		m->stats.unanswered++;
		hash_insert(m, s);
	}
	*out = s;
	return RC_OK;
}

/* Nothing more is sent or received for it. */
static void leave_wire(struct mux *m, struct mux_stream *s)
{
	mux_sched_remove(m, s);
	mux_credit_stop(m, s);
	if (s->credit.queued)
		mux_control_cancel(m, &s->credit);
	if (s->open != NULL)
		mux_control_cancel(m, s->open);
	s->open = NULL;
	m->stats.queued[s->class] -= s->out.len;
	byte_queue_clear(&s->out, &m->pool);
	if (s->id == 0)
		return;
	hash_remove(m, s);
	if (!s->peer_left)
		mux_late_expect(m, s->remote == HALF_OPEN ? s->recv_credit : 0);
}

#define BIT(phase) (1U << (phase))

/* The whole machine on one screen: where each phase may come from. */
static const unsigned may_come_from[] = {
	[PHASE_UNSENT] = 0,
	[PHASE_OPENING] = BIT(PHASE_UNSENT),
	[PHASE_OFFERED] = 0,
	[PHASE_OPEN] = BIT(PHASE_OPENING) | BIT(PHASE_OFFERED),
	[PHASE_OVER] = BIT(PHASE_UNSENT) | BIT(PHASE_OPENING) |
	               BIT(PHASE_OFFERED) | BIT(PHASE_OPEN),
};

void mux_stream_enter(
    struct mux *m, struct mux_stream *s, enum stream_phase next)
{
	assert(may_come_from[next] & BIT(s->phase));
	if (s->phase == PHASE_UNSENT)
		m->unsent_count--;
	if (s->phase == PHASE_OFFERED)
		m->stats.unanswered--;
	if (next == PHASE_OPENING)
		hash_insert(m, s);
	if (s->phase == PHASE_OFFERED && next == PHASE_OPEN)
		m->stats.streams[s->class]++;
	if (next == PHASE_OVER) {
		if (s->phase != PHASE_OFFERED)
			m->stats.streams[s->class]--;
		leave_wire(m, s);
	}
	s->phase = next;
}

void mux_stream_drop(struct mux *m, struct mux_stream *s)
{
	if (s->phase != PHASE_OVER)
		mux_stream_enter(m, s, PHASE_OVER);
	if (s->is_noticed)
		TAILQ_REMOVE(&m->notices, s, notice_entry);
	if (s->is_ours)
		m->own_count--;
	else
		m->peer_count--;
	free_slot(&m->table, (s->handle & 0xffff) - 1);
	free(s);
}

void mux_notice(struct mux *m, struct mux_stream *s)
{
	if (s->is_noticed)
		return;
	s->is_noticed = true;
	TAILQ_INSERT_TAIL(&m->notices, s, notice_entry);
}

void mux_stream_close_if_done(struct mux *m, struct mux_stream *s)
{
	if (s->phase != PHASE_OPEN || s->local != HALF_ENDED ||
	    s->remote != HALF_ENDED)
		return;
	mux_stream_enter(m, s, PHASE_OVER);
	mux_notice(m, s);
}

/*
 * mux_pair.h - two muxes joined by memory, and what each of them said.
 */
#ifndef TEST_PROTO_MUX_PAIR_H
#define TEST_PROTO_MUX_PAIR_H

#include "proto/mux.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define SEEN_MAX 512

struct seen {
	enum mux_event_type type;
	uint32_t stream;
	void *owner;
	size_t len;
	size_t sent;
	enum reason reason;
	const char *text;
	uint8_t data[32]; /* the beginning */
};

struct side {
	struct mux *m;
	uint64_t now_us;
	size_t step;  /* bytes for each mux_recv(); 0: all at once */
	bool consume; /* what comes has gone on at once */
	uint8_t in[2 * FRAME_LEN_MAX];
	size_t in_len;
	size_t data_len; /* payload of all DATA */
	struct seen seen[SEEN_MAX];
	size_t seen_count;
};

struct pair {
	struct side a, b; /* dialler, acceptor */
};

static inline struct bytes text(const char *s)
{
	return (struct bytes){ (const uint8_t *)s, strlen(s) };
}

static inline void note(struct side *s, const struct mux_event *ev)
{
	struct seen *seen = &s->seen[s->seen_count];

	if (ev->type == MUX_DATA) {
		s->data_len += ev->data.len;
		if (s->consume)
			mux_consumed(s->m, ev->stream, ev->data.len);
	}
	if (s->seen_count == SEEN_MAX)
		return;
	s->seen_count++;
	*seen = (struct seen){ .type = ev->type,
		.stream = ev->stream,
		.owner = ev->owner,
		.len = ev->data.len,
		.sent = ev->sent,
		.reason = ev->reason,
		.text = ev->text };
	if (ev->data.len > 0)
		memcpy(seen->data, ev->data.p,
		    ev->data.len < sizeof(seen->data) ? ev->data.len
						      : sizeof(seen->data));
}

static inline void forget_seen(struct pair *p)
{
	p->a.seen_count = 0;
	p->b.seen_count = 0;
}

static inline enum rc drain_input(struct side *s)
{
	const uint8_t *data = s->in;
	size_t len = s->in_len;
	struct mux_event ev;
	enum rc rc;

	while ((rc = mux_recv(s->m, s->now_us, &data, &len, &ev)) == RC_OK)
		note(s, &ev);
	memmove(s->in, data, len);
	s->in_len = len;
	while (mux_next_event(s->m, &ev))
		note(s, &ev);
	return rc;
}

/* RC_AGAIN, or what killed the mux. */
static inline enum rc feed(struct side *s, const uint8_t *data, size_t len)
{
	size_t step = s->step == 0 ? FRAME_LEN_MAX : s->step;
	enum rc rc = RC_AGAIN;

	while (len > 0 && rc == RC_AGAIN) {
		size_t n = len < step ? len : step;

		assert_true(s->in_len + n <= sizeof(s->in));
		memcpy(s->in + s->in_len, data, n);
		s->in_len += n;
		data += n;
		len -= n;
		rc = drain_input(s);
	}
	return rc;
}

static inline enum rc feed_frame(struct side *s, unsigned type, unsigned flags,
    uint32_t id, struct bytes payload)
{
	const struct frame f = { .len = (uint16_t)payload.len,
		.type = (uint8_t)type,
		.flags = (uint8_t)flags,
		.id = id };
	uint8_t bytes[FRAME_LEN_MAX];

	frame_encode(&f, bytes);
	if (payload.len > 0)
		memcpy(bytes + FRAME_HEADER_LEN, payload.p, payload.len);
	return feed(s, bytes, FRAME_HEADER_LEN + payload.len);
}

/* One batch from one side to the other; the bytes that went. */
static inline size_t carry(struct side *from, struct side *to)
{
	uint8_t out[FRAME_LEN_MAX];
	struct mux_batch batch;
	struct mux_event ev;

	mux_pull(from->m, from->now_us, CLASS_BULK, out, sizeof(out), &batch);
	while (mux_next_event(from->m, &ev))
		note(from, &ev);
	if (batch.len > 0)
		assert_int_equal(feed(to, out, batch.len), RC_AGAIN);
	return batch.len;
}

static inline void settle(struct pair *p)
{
	while (carry(&p->a, &p->b) + carry(&p->b, &p->a) > 0)
		;
}

static inline const struct seen *last_of(
    const struct side *s, enum mux_event_type type)
{
	for (size_t i = s->seen_count; i > 0; i--) {
		if (s->seen[i - 1].type == type)
			return &s->seen[i - 1];
	}
	return NULL;
}

static inline size_t count_of(const struct side *s, enum mux_event_type type)
{
	size_t n = 0;

	for (size_t i = 0; i < s->seen_count; i++)
		n += s->seen[i].type == type;
	return n;
}

static inline void side_init(
    struct side *s, enum mux_role role, const struct mux_limits *limits)
{
	memset(s, 0, sizeof(*s));
	s->now_us = 1000000;
	s->consume = true;
	assert_int_equal(mux_new(role, limits, &s->m), RC_OK);
	assert_int_equal(mux_hello(s->m, text("hello")), RC_OK);
}

/* A mux that has said and heard HELLO; its peer is written by hand. */
static inline void lone_acceptor(struct side *s, const struct mux_limits *l)
{
	uint8_t out[FRAME_LEN_MAX];
	struct mux_batch batch;

	side_init(s, MUX_ACCEPTOR, l);
	assert_int_equal(
	    feed_frame(s, FRAME_HELLO, 0, 0, text("hi")), RC_AGAIN);
	mux_pull(s->m, s->now_us, CLASS_BULK, out, sizeof(out), &batch);
	assert_true(batch.len > 0);
	s->seen_count = 0;
}

/* Both HELLOs have gone. */
static inline struct pair *pair_new(
    const struct mux_limits *a, const struct mux_limits *b)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	side_init(&p->a, MUX_DIALLER, a);
	side_init(&p->b, MUX_ACCEPTOR, b);
	settle(p);
	assert_int_equal(count_of(&p->a, MUX_HELLO), 1);
	assert_int_equal(count_of(&p->b, MUX_HELLO), 1);
	forget_seen(p);
	return p;
}

static inline struct mux_limits usual_limits(void)
{
	struct mux_limits l;

	mux_limits_default(&l);
	l.protocol = text("RESET protocol");
	l.too_many = text("RESET too-many");
	l.memory = text("RESET memory");
	return l;
}

static inline struct pair *usual_pair(void)
{
	const struct mux_limits l = usual_limits();

	return pair_new(&l, &l);
}

static inline void pair_free(struct pair *p)
{
	mux_free(p->a.m);
	mux_free(p->b.m);
	free(p);
}

/* A stream that b has accepted; *far is b's handle. */
static inline uint32_t opened(
    struct pair *p, enum stream_class class, uint32_t *far)
{
	uint32_t near = 0;
	const struct seen *seen;

	forget_seen(p); /* the log may be full */
	assert_int_equal(
	    mux_open(p->a.m, class, NULL, text("open"), &near), RC_OK);
	settle(p);
	seen = last_of(&p->b, MUX_OPENED);
	assert_non_null(seen);
	*far = seen->stream;
	assert_int_equal(
	    mux_accept(p->b.m, *far, class, 0, text("accept")), RC_OK);
	settle(p);
	assert_non_null(last_of(&p->a, MUX_ACCEPTED));
	return near;
}

/* Queue len bytes of one value, all of which must be taken. */
static inline void send_bytes(
    struct side *s, uint32_t stream, uint8_t value, size_t len)
{
	uint8_t *data = malloc(len + 1);
	size_t taken;

	assert_non_null(data);
	memset(data, value, len);
	assert_int_equal(mux_send(s->m, stream, data, len, &taken), RC_OK);
	assert_int_equal(taken, len);
	free(data);
}

/* Fill the stream's queue. */
static inline void fill(struct side *s, uint32_t stream)
{
	static const uint8_t zeros[FRAME_LEN_MAX];
	size_t taken;

	do {
		assert_int_equal(
		    mux_send(s->m, stream, zeros, sizeof(zeros), &taken),
		    RC_OK);
	} while (taken == sizeof(zeros));
}

/* Traffic to b whose every byte goes on at once; what b's windows are then. */
static inline uint64_t grow(
    struct pair *p, uint32_t near, int turns, uint64_t pause)
{
	struct mux_stats stats;

	for (int i = 0; i < turns; i++) {
		p->a.now_us += pause;
		p->b.now_us += pause;
		fill(&p->a, near);
		(void)carry(&p->a, &p->b);
		(void)carry(&p->b, &p->a);
	}
	mux_stats(p->b.m, &stats);
	return stats.recv_windows;
}

#endif

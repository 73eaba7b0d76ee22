/* fuzz: proto */
/* about: proto/mux*.c proto/byte_queue.c proto/bucket.c proto/frame.c */

/*
 * The first byte chooses the play.  Even: the rest is what a hostile peer
 * sends, while our side answers everything.  Odd: the rest is a script for two
 * muxes joined by memory; then no rule may ever be broken, and every byte that
 * was taken must arrive, unless a stream was reset.
 */
#include "proto/mux.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct half {
	struct mux *m;
	uint8_t in[2 * FRAME_LEN_MAX];
	size_t in_len;
	uint64_t taken, arrived;
};

static const uint8_t bytes[40000];

static struct bytes some(size_t len)
{
	return (struct bytes){ bytes, len };
}

static void half_init(struct half *h, enum mux_role role)
{
	struct mux_limits l;

	memset(h, 0, sizeof(*h));
	mux_limits_default(&l);
	l.max_streams = 40;
	l.max_window = 200000;
	l.recv_budget = 1 << 20;
	l.protocol = some(5);
	if (mux_new(role, &l, &h->m) != RC_OK ||
	    mux_hello(h->m, some(4)) != RC_OK)
		abort();
}

/* Any live stream, chosen by a byte; 0 when there is none. */
static uint32_t pick(const struct mux *m, uint8_t which)
{
	uint32_t stream = 0;

	for (unsigned i = 0; i <= which % 8U; i++)
		stream = mux_next_stream(m, stream);
	return stream != 0 ? stream : mux_next_stream(m, 0);
}

/* What a quick and helpful owner does. */
static void answer(struct half *h, const struct mux_event *ev, uint8_t mood)
{
	size_t taken = 0;

	if (ev->type == MUX_OPENED) {
		if (mood % 7 == 0)
			(void)!mux_reset(h->m, ev->stream, some(3));
		else
			(void)!mux_accept(h->m, ev->stream,
			    (enum stream_class)(mood % CLASS_COUNT), 0,
			    some(2));
	} else if (ev->type == MUX_DATA) {
		h->arrived += ev->data.len;
		mux_consumed(h->m, ev->stream, ev->data.len);
		if (mood % 3 == 0)
			(void)!mux_send(
			    h->m, ev->stream, ev->data.p, ev->data.len, &taken);
	} else if (ev->type == MUX_END) {
		(void)!mux_end(h->m, ev->stream);
	} else if (ev->type == MUX_GOAWAY && mood % 2 == 0) {
		mux_abandon(h->m, mood);
	}
	h->taken += taken;
}

static void check(const struct mux *m)
{
	struct mux_stats stats;
	uint64_t unsent = 0, queued = 0;
	uint32_t stream = 0;

	mux_stats(m, &stats);
	while ((stream = mux_next_stream(m, stream)) != 0)
		unsent += mux_unsent(m, stream);
	for (unsigned c = 0; c < CLASS_COUNT; c++)
		queued += stats.queued[c];
	assert(unsent == queued);
	assert(stats.recv_windows <= 1 << 20);
}

static enum rc take(struct half *h, uint64_t now_us, uint8_t mood)
{
	const uint8_t *data = h->in;
	struct mux_event ev;
	enum rc rc;

	while ((rc = mux_recv(h->m, now_us, &data, &h->in_len, &ev)) == RC_OK)
		answer(h, &ev, mood);
	memmove(h->in, data, h->in_len);
	while (mux_next_event(h->m, &ev))
		answer(h, &ev, mood);
	check(h->m);
	return rc;
}

/* Frames without the tedium: type, flags, id, length and one filling byte. */
static void hostile(const uint8_t *data, size_t size)
{
	uint8_t out[FRAME_LEN_MAX];
	struct mux_batch batch;
	struct half h;
	uint64_t now_us = 0;
	uint32_t opened = 0;
	enum rc rc = RC_AGAIN;

	half_init(&h, MUX_ACCEPTOR);
	for (; size >= 6 && rc == RC_AGAIN; data += 6, size -= 6) {
		struct frame f = { .len = (uint16_t)(data[3] << 8 | data[4]),
			.type = data[0],
			.flags = data[1],
			.id = data[2] };

		now_us += data[5] * 1000U;
		if (f.type == FRAME_PING || f.type == FRAME_PONG)
			f.len = 8;
		if (f.type == FRAME_CREDIT)
			f.len = 4;
		frame_encode(&f, h.in + h.in_len);
		f.len %= FRAME_LEN_MAX;
		memset(h.in + h.in_len + FRAME_HEADER_LEN, data[5], f.len);
		h.in_len += FRAME_HEADER_LEN + (size_t)f.len;
		if (data[5] % 5 == 0 && opened++ < 40) {
			uint32_t stream;

			(void)!mux_open(
			    h.m, CLASS_DEPLOY, NULL, some(9), &stream);
		}
		rc = take(&h, now_us, data[5]);
		mux_pull(h.m, now_us,
		    (enum stream_class)(data[5] % CLASS_COUNT), out,
		    sizeof(out), &batch);
	}
	assert(rc == RC_AGAIN || mux_failure(h.m) != NULL);
	mux_free(h.m);
}

static void carry(struct half *from, struct half *to, uint64_t now_us,
    uint8_t mood, size_t cap)
{
	struct mux_batch batch;

	mux_pull(from->m, now_us,
	    cap == FRAME_LEN_MAX ? CLASS_BULK
				 : (enum stream_class)(mood % CLASS_COUNT),
	    to->in + to->in_len, cap, &batch);
	assert(batch.len <= cap);
	to->in_len += batch.len;
	if (take(to, now_us, mood) == RC_PROTO)
		abort(); /* our own side never breaks a rule */
}

/* True when a stream was ended in a way that loses bytes. */
static bool act(struct half *h, const uint8_t *step)
{
	uint32_t stream = pick(h->m, step[2]);
	size_t taken = 0;

	switch (step[0] % 10) {
	case 0:
	case 1:
		(void)!mux_open(h->m,
		    (enum stream_class)(step[2] % CLASS_COUNT), NULL,
		    some(step[1]), &stream);
		return false;
	case 2:
	case 3:
	case 4:
		(void)!mux_send(h->m, stream, bytes,
		    (size_t)step[1] * step[2] % sizeof(bytes), &taken);
		h->taken += taken;
		return false;
	case 5:
		(void)!mux_end(h->m, stream);
		return false;
	case 6:
		return mux_reset(h->m, stream, some(step[1])) == RC_OK;
	case 7:
		(void)!mux_ping(h->m, bytes);
		mux_set_frame_max(h->m, step[1] * 256U);
		return false;
	case 8:
		mux_set_rtt(h->m, step[1] * 1000U);
		mux_set_recv_budget(h->m, step[2] * 4096U);
		return false;
	default:
		mux_set_queue_max(h->m, stream, step[1] * 512U, step[2] & 1);
		return false;
	}
}

static void joined(const uint8_t *data, size_t size)
{
	struct half a, b;
	uint64_t now_us = 0;
	struct mux_stats stats;
	bool lossy = false;

	half_init(&a, MUX_DIALLER);
	half_init(&b, MUX_ACCEPTOR);
	for (; size >= 4; data += 4, size -= 4) {
		/* Slow enough for the limits on control frames. */
		now_us += 20000 + data[3] * 100U;
		lossy |= act(data[0] & 0x80 ? &a : &b, data);
		/* A refusal loses what followed OPEN. */
		lossy |= data[3] % 7 == 0;
		carry(&a, &b, now_us, data[3], data[1] * 64U);
		carry(&b, &a, now_us, data[3], data[2] * 64U);
	}
	for (int i = 0; i < 2000; i++) {
		now_us += 20000;
		if (!mux_has_output(a.m, CLASS_BULK) &&
		    !mux_has_output(b.m, CLASS_BULK))
			break;
		carry(&a, &b, now_us, 1, FRAME_LEN_MAX);
		carry(&b, &a, now_us, 1, FRAME_LEN_MAX);
	}
	mux_stats(a.m, &stats);
	assert(stats.violations == 0);
	mux_stats(b.m, &stats);
	assert(stats.violations == 0 &&
	       (lossy || stats.refused > 0 || a.taken == b.arrived));
	assert(lossy || stats.refused > 0 || b.taken == a.arrived);
	mux_free(a.m);
	mux_free(b.m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 1)
		joined(data + 1, size - 1);
	else
		hostile(data + 1, size - 1);
	return 0;
}

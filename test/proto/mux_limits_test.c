#include "test/proto/mux_pair.h"

static const struct bytes none;

/* The first frame that s writes now, and the beginning of its payload. */
static struct frame next_out(struct side *s, char said[32])
{
	uint8_t out[FRAME_LEN_MAX];
	struct mux_batch batch;
	struct frame f = { .type = 99 };

	memset(said, 0, 32);
	mux_pull(s->m, s->now_us, CLASS_BULK, out, sizeof(out), &batch);
	if (batch.len == 0)
		return f;
	assert_int_equal(frame_decode(out, batch.len, &f), RC_OK);
	memcpy(said, out + FRAME_HEADER_LEN, f.len < 31 ? f.len : 31);
	return f;
}

static void test_hostile_frames_end_the_link_with_a_reason(void **state)
{
	static const uint8_t zeros[9];
	static const struct {
		unsigned type, flags;
		uint32_t id;
		size_t len;
		const char *why;
	} cases[] = {
		{ FRAME_DATA, 0, 0, 1, "stream number 0" },
		{ FRAME_DATA, 0, 7, 1, "never opened" },
		{ FRAME_DATA, 0, 2, 1, "never opened" },
		{ FRAME_DATA, 0, 0xffffffff, 1, "never opened" },
		{ FRAME_ACCEPT, 0, 4, 1, "never opened" },
		{ FRAME_RESET, 0, 4, 1, "never opened" },
		{ FRAME_OPEN, 0, 0, 1, "not the peer's" },
		{ FRAME_OPEN, 0, 4, 1, "not the peer's" },
		{ FRAME_OPEN, 0, 0x80000001, 1, "not the peer's" },
		{ FRAME_OPEN, 0, 5, 1, "does not rise" },
		{ FRAME_OPEN, 0, 3, 1, "does not rise" },
		{ FRAME_CREDIT, 0, 5, 3, "CREDIT of a wrong length" },
		{ FRAME_PING, 0, 0, 7, "PING of a wrong length" },
		{ FRAME_PONG, 0, 0, 9, "PONG of a wrong length" },
		{ FRAME_PING, 0, 1, 8, "with a stream number" },
		{ FRAME_HELLO, 0, 0, 1, "twice" },
		{ 10, 0, 0, 1, "unknown type" },
		{ 255, 0x7f, 0, 1, "unknown type" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct mux_limits l = usual_limits();
		const uint8_t *data = zeros;
		size_t len = sizeof(zeros);
		struct mux_event ev;
		struct side s;
		char said[32];

		lone_acceptor(&s, &l);
		assert_int_equal(
		    feed_frame(&s, FRAME_OPEN, 0, 5, text("o")), RC_AGAIN);
		assert_null(mux_failure(s.m));
		assert_int_equal(
		    feed_frame(&s, cases[i].type, cases[i].flags, cases[i].id,
			(struct bytes){ zeros, cases[i].len }),
		    RC_PROTO);
		assert_non_null(strstr(mux_failure(s.m), cases[i].why));
		/* Dead: only a last GOAWAY. */
		assert_int_equal(mux_recv(s.m, 0, &data, &len, &ev), RC_STATE);
		assert_int_equal(mux_tell(s.m, none), RC_STATE);
		assert_int_equal(mux_ping(s.m, zeros), RC_STATE);
		assert_false(mux_has_output(s.m, CLASS_BULK));
		assert_int_not_equal(mux_next_stream(s.m, 0), 0);
		assert_int_equal(mux_goaway(s.m, text("bye")), RC_OK);
		assert_true(mux_has_output(s.m, CLASS_BULK));
		assert_int_equal(next_out(&s, said).type, FRAME_GOAWAY);
		mux_free(s.m);
	}
}

static void test_a_length_above_the_limit_ends_the_link(void **state)
{
	const struct mux_limits l = usual_limits();
	const uint8_t bytes[2] = { 0x40, 0 };
	struct side s;

	(void)state;
	lone_acceptor(&s, &l);
	assert_int_equal(feed(&s, bytes, 2), RC_PROTO);
	assert_non_null(strstr(mux_failure(s.m), "largest length"));
	mux_free(s.m);
}

static void test_nothing_comes_before_hello(void **state)
{
	const struct mux_limits l = usual_limits();
	struct side s;

	(void)state;
	side_init(&s, MUX_ACCEPTOR, &l);
	assert_int_equal(feed_frame(&s, FRAME_OPEN, 0, 1, text("o")), RC_PROTO);
	assert_non_null(strstr(mux_failure(s.m), "not HELLO"));
	mux_free(s.m);
	side_init(&s, MUX_ACCEPTOR, &l);
	assert_int_equal(
	    feed_frame(&s, FRAME_HELLO, 0, 0, text("h")), RC_AGAIN);
	/* The verdict was not waited for. */
	assert_int_equal(feed_frame(&s, FRAME_OPEN, 0, 1, text("o")), RC_PROTO);
	assert_non_null(strstr(mux_failure(s.m), "did not wait"));
	mux_free(s.m);
	side_init(&s, MUX_DIALLER, &l);
	assert_int_equal(
	    feed_frame(&s, FRAME_HELLO, 0, 0, text("h")), RC_PROTO);
	assert_non_null(strstr(mux_failure(s.m), "before ours"));
	mux_free(s.m);
}

/* Each breaks one stream, and only that. */
static void test_what_breaks_a_stream_leaves_the_link(void **state)
{
	static const uint8_t full[FRAME_PAYLOAD_MAX];
	const struct mux_limits l = usual_limits();
	const struct bytes frame = { full, sizeof(full) };
	const uint8_t credit[4] = { 0, 0, 0x40, 0 };
	char said[32];
	struct side s;
	struct mux_stats stats;
	uint32_t ours;

	(void)state;
	lone_acceptor(&s, &l);
	s.consume = false;
	/* Beyond the credit. */
	assert_int_equal(feed_frame(&s, FRAME_OPEN, 0, 1, text("o")), RC_AGAIN);
	assert_int_equal(feed_frame(&s, FRAME_DATA, 0, 1, frame), RC_AGAIN);
	assert_null(last_of(&s, MUX_BROKEN));
	assert_int_equal(feed_frame(&s, FRAME_DATA, 0, 1, none), RC_AGAIN);
	assert_int_equal(last_of(&s, MUX_BROKEN)->reason, REASON_PROTOCOL);
	assert_non_null(strstr(last_of(&s, MUX_BROKEN)->text, "credit"));
	assert_int_equal(next_out(&s, said).type, FRAME_RESET);
	assert_string_equal(said, "RESET protocol");
	/* After END. */
	assert_int_equal(feed_frame(&s, FRAME_OPEN, 0, 3, text("o")), RC_AGAIN);
	assert_int_equal(
	    feed_frame(&s, FRAME_DATA, FRAME_FLAG_END, 3, none), RC_AGAIN);
	assert_int_equal(feed_frame(&s, FRAME_DATA, 0, 3, none), RC_AGAIN);
	assert_non_null(strstr(last_of(&s, MUX_BROKEN)->text, "after END"));
	/* ACCEPT for the peer's own stream. */
	assert_int_equal(feed_frame(&s, FRAME_OPEN, 0, 5, text("o")), RC_AGAIN);
	assert_int_equal(feed_frame(&s, FRAME_ACCEPT, 0, 5, none), RC_AGAIN);
	assert_non_null(strstr(last_of(&s, MUX_BROKEN)->text, "unasked"));
	/* Anything but ACCEPT or RESET as the answer to OPEN. */
	for (uint32_t id = 2; id <= 4; id += 2) {
		assert_int_equal(
		    mux_open(s.m, CLASS_BULK, NULL, text("o"), &ours), RC_OK);
		(void)next_out(&s, said);
		assert_int_equal(mux_wire_id(s.m, ours), id);
		assert_int_equal(
		    id == 2 ? feed_frame(&s, FRAME_DATA, 0, id, text("x"))
			    : feed_frame(&s, FRAME_CREDIT, 0, id,
				  (struct bytes){ credit, 4 }),
		    RC_AGAIN);
		assert_int_equal(last_of(&s, MUX_BROKEN)->stream, ours);
		assert_int_equal(next_out(&s, said).type, FRAME_RESET);
	}
	mux_stats(s.m, &stats);
	assert_int_equal(stats.violations, 5);
	assert_int_equal(stats.unanswered, 0);
	assert_null(mux_failure(s.m));
	mux_free(s.m);
}

static void test_ten_violations_a_minute_end_the_link(void **state)
{
	struct mux_limits l = usual_limits();
	struct side s;
	uint32_t id = 1;

	(void)state;
	lone_acceptor(&s, &l);
	for (int i = 0; i < 11; i++, id += 2) {
		enum rc want = i < 10 ? RC_AGAIN : RC_PROTO;

		assert_int_equal(
		    feed_frame(&s, FRAME_OPEN, 0, id, text("o")), RC_AGAIN);
		assert_int_equal(
		    feed_frame(&s, FRAME_ACCEPT, 0, id, none), want);
	}
	assert_non_null(strstr(mux_failure(s.m), "unasked"));
	mux_free(s.m);
	/* Slowly, they do not. */
	lone_acceptor(&s, &l);
	for (id = 1; id < 100; id += 2) {
		s.now_us += 6000000;
		assert_int_equal(
		    feed_frame(&s, FRAME_OPEN, 0, id, text("o")), RC_AGAIN);
		assert_int_equal(
		    feed_frame(&s, FRAME_ACCEPT, 0, id, none), RC_AGAIN);
	}
	mux_free(s.m);
}

static void test_streams_above_the_limit_are_refused(void **state)
{
	struct mux_limits l = usual_limits();
	struct mux_stats stats;
	struct side s;
	char said[32];
	uint32_t ours;

	(void)state;
	l.max_streams = 2;
	lone_acceptor(&s, &l);
	for (uint32_t id = 1; id <= 5; id += 2)
		assert_int_equal(
		    feed_frame(&s, FRAME_OPEN, 0, id, text("o")), RC_AGAIN);
	assert_int_equal(count_of(&s, MUX_OPENED), 2);
	assert_int_equal(next_out(&s, said).id, 5);
	assert_string_equal(said, "RESET too-many");
	mux_stats(s.m, &stats);
	assert_int_equal(stats.refused, 1);
	assert_int_equal(stats.violations, 0);
	/* Our own are counted apart. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(
		    mux_open(s.m, CLASS_BULK, NULL, text("o"), &ours),
		    i < 2 ? RC_OK : RC_LIMIT);
	mux_free(s.m);
}

static void test_opens_come_at_a_limited_rate(void **state)
{
	struct mux_limits l = usual_limits();
	struct mux_stats stats;
	struct side s;
	uint32_t id = 1;

	(void)state;
	l.opens_per_s = 10;
	lone_acceptor(&s, &l);
	for (; id < 80; id += 2)
		assert_int_equal(
		    feed_frame(&s, FRAME_OPEN, 0, id, text("o")), RC_AGAIN);
	mux_stats(s.m, &stats);
	assert_int_equal(stats.refused, 0);
	for (; id < 80 + 20; id += 2)
		assert_int_equal(
		    feed_frame(&s, FRAME_OPEN, 0, id, text("o")), RC_AGAIN);
	mux_stats(s.m, &stats);
	assert_int_equal(stats.refused, 10);
	s.now_us += 500000;
	for (int i = 0; i < 5; i++, id += 2)
		assert_int_equal(
		    feed_frame(&s, FRAME_OPEN, 0, id, text("o")), RC_AGAIN);
	assert_int_equal(
	    feed_frame(&s, FRAME_OPEN, 0, id, text("o")), RC_PROTO);
	assert_non_null(strstr(mux_failure(s.m), "too many OPENs"));
	mux_free(s.m);
}

static void test_resets_come_at_a_limited_rate(void **state)
{
	struct mux_limits l = usual_limits();
	struct side s;
	enum rc rc = RC_AGAIN;
	uint32_t id = 1;

	(void)state;
	l.resets_per_s = 5;
	lone_acceptor(&s, &l);
	for (; id < 200 && rc == RC_AGAIN; id += 2) {
		assert_int_equal(
		    feed_frame(&s, FRAME_OPEN, 0, id, text("o")), RC_AGAIN);
		rc = feed_frame(&s, FRAME_RESET, 0, id, none);
	}
	assert_int_equal(rc, RC_PROTO);
	assert_int_equal(id, 1 + 2 * (20 + 10 + 1));
	assert_non_null(strstr(mux_failure(s.m), "too many RESETs"));
	mux_free(s.m);
}

/* Each kind of frame that costs us more than it costs the peer. */
static void test_empty_work_comes_at_a_limited_rate(void **state)
{
	static const uint8_t one[8] = { 0, 0, 0, 1 };
	static const struct {
		unsigned type, flags;
		uint32_t id;
		size_t len;
	} cases[] = {
		{ FRAME_PING, 0, 0, 8 },
		{ FRAME_PONG, 0, 0, 8 },
		{ FRAME_TELL, 0, 0, 1 },
		{ FRAME_GOAWAY, 0, 0, 1 },
		{ FRAME_DATA, 0, 3, 0 },
		{ FRAME_DATA, 0, 1, 0 }, /* gone */
		{ FRAME_CREDIT, 0, 3, 4 },
		{ 99, FRAME_FLAG_MAY_IGNORE, 0, 4 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mux_limits l = usual_limits();
		enum rc rc = RC_AGAIN;
		struct side s;
		size_t n;

		l.control_per_s = 25;
		lone_acceptor(&s, &l);
		assert_int_equal(
		    feed_frame(&s, FRAME_OPEN, 0, 1, text("o")), RC_AGAIN);
		assert_int_equal(
		    feed_frame(&s, FRAME_RESET, 0, 1, none), RC_AGAIN);
		assert_int_equal(
		    feed_frame(&s, FRAME_OPEN, 0, 3, text("o")), RC_AGAIN);
		for (n = 0; n < 1000 && rc == RC_AGAIN; n++)
			rc = feed_frame(&s, cases[i].type, cases[i].flags,
			    cases[i].id, (struct bytes){ one, cases[i].len });
		assert_int_equal(rc, RC_PROTO);
		assert_int_equal(n, 100 + 10 + 1);
		assert_non_null(strstr(mux_failure(s.m), "control frames"));
		mux_free(s.m);
	}
}

static void test_answers_that_nobody_reads_end_the_link(void **state)
{
	struct mux_limits l = usual_limits();
	enum rc rc = RC_AGAIN;
	struct side s;
	uint32_t id;

	(void)state;
	l.max_streams = 1;
	l.control_max = 8000;
	lone_acceptor(&s, &l);
	for (id = 1; id < 2000 && rc == RC_AGAIN; id += 2)
		rc = feed_frame(&s, FRAME_OPEN, 0, id, text("o"));
	assert_int_equal(rc, RC_PROTO);
	assert_non_null(strstr(mux_failure(s.m), "does not read"));
	mux_free(s.m);
}

static void test_numbers_end_at_the_top(void **state)
{
	const struct mux_limits far_limits = usual_limits();
	struct mux_limits l = usual_limits();
	struct pair *p;
	uint32_t stream, far;

	(void)state;
	l.first_id = 0x7ffffffb;
	p = pair_new(&l, &far_limits);
	assert_int_equal(mux_ids_left(p->a.m), 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(
		    mux_open(p->a.m, CLASS_BULK, NULL, text("o"), &stream),
		    RC_OK);
	assert_int_equal(mux_ids_left(p->a.m), 0);
	assert_int_equal(
	    mux_open(p->a.m, CLASS_BULK, NULL, text("o"), &far), RC_LIMIT);
	/* One that was never written gives its number back. */
	assert_int_equal(mux_reset(p->a.m, stream, none), RC_OK);
	assert_int_equal(
	    mux_open(p->a.m, CLASS_BULK, NULL, text("o"), &stream), RC_OK);
	settle(p);
	assert_int_equal(mux_wire_id(p->a.m, stream), 0x7fffffff);
	assert_int_equal(mux_ids_left(p->a.m), 0);
	assert_int_equal(mux_last_peer_id(p->b.m), 0x7fffffff);
	assert_int_equal(
	    mux_open(p->a.m, CLASS_BULK, NULL, text("o"), &far), RC_LIMIT);
	pair_free(p);
}

static void test_credit_above_the_top_ends_the_link(void **state)
{
	struct pair *p = usual_pair();
	uint32_t near, far;
	const uint8_t most[4] = { 0x7f, 0xff, 0xff, 0xff };

	(void)state;
	near = opened(p, CLASS_BULK, &far);
	assert_int_equal(
	    mux_add_credit(p->a.m, near, 0x7fffffff - MUX_INITIAL_CREDIT),
	    RC_OK);
	assert_int_equal(mux_add_credit(p->a.m, near, 1), RC_PROTO);
	assert_non_null(strstr(mux_failure(p->a.m), "2^31-1"));
	assert_int_equal(mux_end(p->a.m, near), RC_STATE);
	assert_int_equal(
	    feed_frame(&p->b, FRAME_CREDIT, 0, 1, (struct bytes){ most, 4 }),
	    RC_PROTO);
	pair_free(p);
}

static void test_a_window_that_binds_doubles_up_to_its_limit(void **state)
{
	struct mux_limits l = usual_limits();
	struct pair *p;
	uint32_t near, far;

	(void)state;
	l.max_window = 1 << 20;
	p = pair_new(&l, &l);
	near = opened(p, CLASS_HEALTH, &far);
	mux_set_rtt(p->b.m, 20000);
	assert_int_equal(
	    grow(p, near, 1000, 100), (1 << 20) - MUX_INITIAL_CREDIT);
	assert_int_equal(mux_reset(p->b.m, far, none), RC_OK);
	assert_int_equal(grow(p, opened(p, CLASS_HEALTH, &far), 0, 0), 0);
	pair_free(p);
}

static void test_a_window_that_does_not_bind_stays(void **state)
{
	struct pair *p = usual_pair();
	uint32_t near, far;

	(void)state;
	near = opened(p, CLASS_BULK, &far);
	mux_set_rtt(p->b.m, 20000);
	assert_int_equal(grow(p, near, 100, 50000), 0);
	pair_free(p);
}

/* What a late reader takes in bursts says nothing of how much is useful. */
static void test_a_window_is_not_a_queue_for_a_late_reader(void **state)
{
	struct pair *p = usual_pair();
	uint32_t near, far;

	(void)state;
	near = opened(p, CLASS_HEALTH, &far);
	mux_set_rtt(p->b.m, 500);
	for (int i = 0; i < 50; i++) {
		(void)grow(p, near, 40, 0);
		assert_in_range(grow(p, near, 1, 20000), 200000, 1 << 19);
	}
	/* One who keeps up gets more, and less when he is late again. */
	assert_in_range(grow(p, near, 10000, 40), 600000, 8 << 20);
	for (int i = 0; i < 50; i++) {
		(void)grow(p, near, 40, 0);
		(void)grow(p, near, 1, 20000);
	}
	assert_in_range(grow(p, near, 1, 20000), 200000, 1 << 19);
	pair_free(p);
}

static void test_windows_stay_within_the_budget_of_their_class(void **state)
{
	struct mux_limits l = usual_limits();
	struct pair *p;
	uint32_t near, far;
	uint64_t windows;

	(void)state;
	l.recv_budget = 1 << 20;
	p = pair_new(&l, &l);
	near = opened(p, CLASS_BULK, &far);
	mux_set_rtt(p->b.m, 20000);
	windows = grow(p, near, 1000, 100);
	assert_in_range(windows, 100000, 1 << 19);
	near = opened(p, CLASS_DEPLOY, &far);
	windows = grow(p, near, 1000, 100);
	assert_in_range(windows, 1 << 18, 3 << 18);
	/* Under pressure they shrink again. */
	mux_set_recv_budget(p->b.m, 0);
	assert_true(grow(p, near, 1000, 100) < windows);
	pair_free(p);
}

static void test_credit_comes_only_for_what_has_gone_on(void **state)
{
	struct pair *p = usual_pair();
	uint32_t near, far;

	(void)state;
	near = opened(p, CLASS_BULK, &far);
	p->b.now_us += 1000000; /* the window is not what binds */
	p->b.consume = false;
	fill(&p->a, near);
	settle(p);
	assert_int_equal(p->b.data_len, FRAME_PAYLOAD_MAX);
	mux_consumed(p->b.m, far, 8000); /* less than half: not yet */
	settle(p);
	assert_int_equal(p->b.data_len, FRAME_PAYLOAD_MAX);
	mux_consumed(p->b.m, far, 200);
	assert_int_equal(carry(&p->b, &p->a), FRAME_HEADER_LEN + 4);
	settle(p);
	assert_int_equal(p->b.data_len, FRAME_PAYLOAD_MAX + 8200);
	mux_consumed(p->b.m, far, SIZE_MAX); /* more than came is harmless */
	settle(p);
	pair_free(p);
}

static void test_accept_may_add_credit_within_the_window(void **state)
{
	struct mux_limits l = usual_limits();
	struct pair *p;
	uint32_t near, far;

	(void)state;
	l.max_window = 100000;
	p = pair_new(&l, &l);
	assert_int_equal(
	    mux_open(p->a.m, CLASS_BULK, NULL, text("o"), &near), RC_OK);
	settle(p);
	far = last_of(&p->b, MUX_OPENED)->stream;
	assert_int_equal(
	    mux_accept(p->b.m, far, CLASS_BULK, 100000, text("a")), RC_LIMIT);
	assert_int_equal(
	    mux_accept(p->b.m, far, CLASS_BULK, 50000, text("a")), RC_OK);
	settle(p);
	assert_int_equal(mux_add_credit(p->a.m, near, 50000), RC_OK);
	p->b.consume = false;
	fill(&p->a, near);
	settle(p);
	fill(&p->a, near);
	settle(p);
	assert_int_equal(p->b.data_len + 8 * count_of(&p->b, MUX_DATA),
	    50000 + MUX_INITIAL_CREDIT);
	assert_null(last_of(&p->b, MUX_BROKEN));
	pair_free(p);
}

static void test_limits_out_of_range_are_refused(void **state)
{
	struct mux *m = NULL;
	struct mux_limits l = usual_limits();

	(void)state;
	l.max_streams = 0;
	assert_int_equal(mux_new(MUX_DIALLER, &l, &m), RC_STATE);
	l.max_streams = 32768;
	assert_int_equal(mux_new(MUX_DIALLER, &l, &m), RC_STATE);
	l = usual_limits();
	l.max_window = MUX_INITIAL_CREDIT - 1;
	assert_int_equal(mux_new(MUX_DIALLER, &l, &m), RC_STATE);
	l = usual_limits();
	l.first_id = 2; /* even: the acceptor's */
	assert_int_equal(mux_new(MUX_DIALLER, &l, &m), RC_STATE);
	assert_null(m);
	mux_free(NULL);
}

static void test_payloads_longer_than_a_frame_are_refused(void **state)
{
	static const uint8_t zeros[FRAME_LEN_MAX];
	const struct bytes big = { zeros, FRAME_PAYLOAD_MAX + 1 };
	struct pair *p = usual_pair();
	uint32_t near, far, other;

	(void)state;
	near = opened(p, CLASS_BULK, &far);
	assert_int_equal(mux_tell(p->a.m, big), RC_LIMIT);
	assert_int_equal(mux_goaway(p->a.m, big), RC_LIMIT);
	assert_int_equal(
	    mux_open(p->a.m, CLASS_BULK, NULL, big, &other), RC_LIMIT);
	assert_int_equal(mux_reset(p->a.m, near, big), RC_LIMIT);
	send_bytes(&p->a, near, 'x', 1); /* it is still there */
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_hostile_frames_end_the_link_with_a_reason),
		cmocka_unit_test(test_a_length_above_the_limit_ends_the_link),
		cmocka_unit_test(test_nothing_comes_before_hello),
		cmocka_unit_test(test_what_breaks_a_stream_leaves_the_link),
		cmocka_unit_test(test_ten_violations_a_minute_end_the_link),
		cmocka_unit_test(test_streams_above_the_limit_are_refused),
		cmocka_unit_test(test_opens_come_at_a_limited_rate),
		cmocka_unit_test(test_resets_come_at_a_limited_rate),
		cmocka_unit_test(test_empty_work_comes_at_a_limited_rate),
		cmocka_unit_test(test_answers_that_nobody_reads_end_the_link),
		cmocka_unit_test(test_numbers_end_at_the_top),
		cmocka_unit_test(test_credit_above_the_top_ends_the_link),
		cmocka_unit_test(
		    test_a_window_that_binds_doubles_up_to_its_limit),
		cmocka_unit_test(test_a_window_that_does_not_bind_stays),
		cmocka_unit_test(
		    test_a_window_is_not_a_queue_for_a_late_reader),
		cmocka_unit_test(
		    test_windows_stay_within_the_budget_of_their_class),
		cmocka_unit_test(test_credit_comes_only_for_what_has_gone_on),
		cmocka_unit_test(test_accept_may_add_credit_within_the_window),
		cmocka_unit_test(test_limits_out_of_range_are_refused),
		cmocka_unit_test(test_payloads_longer_than_a_frame_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

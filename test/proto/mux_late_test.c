#include "test/proto/mux_pair.h"

static const struct bytes none;

static uint64_t violations(const struct side *s)
{
	struct mux_stats stats;

	mux_stats(s->m, &stats);
	return stats.violations;
}

/* One DATA frame that costs so much credit, for stream 1. */
static enum rc send_late(struct side *s, uint32_t cost)
{
	static const uint8_t zeros[FRAME_LEN_MAX];
	const struct bytes payload = { zeros, cost - FRAME_HEADER_LEN };

	return feed_frame(s, FRAME_DATA, 0, 1, payload);
}

/* The peer opened stream 1; now it is gone. */
static void lone_with_gone(struct side *s, const struct mux_limits *l)
{
	const struct seen *seen;

	lone_acceptor(s, l);
	assert_int_equal(feed_frame(s, FRAME_OPEN, 0, 1, text("o")), RC_AGAIN);
	seen = last_of(s, MUX_OPENED);
	assert_non_null(seen);
	assert_int_equal(mux_reset(s->m, seen->stream, text("why")), RC_OK);
}

static void test_what_a_peer_had_credit_for_may_come_late(void **state)
{
	const struct mux_limits l = usual_limits();
	struct side s;

	(void)state;
	lone_with_gone(&s, &l);
	assert_int_equal(send_late(&s, 10000), RC_AGAIN);
	assert_int_equal(send_late(&s, MUX_INITIAL_CREDIT - 10000), RC_AGAIN);
	assert_int_equal(
	    feed_frame(&s, FRAME_DATA, FRAME_FLAG_END, 1, none), RC_AGAIN);
	assert_int_equal(violations(&s), 0);
	assert_int_equal(send_late(&s, 9), RC_AGAIN);
	assert_int_equal(violations(&s), 1);
	mux_free(s.m);
}

static void test_what_it_used_before_is_not_forgiven_again(void **state)
{
	const struct mux_limits l = usual_limits();
	struct side s;

	(void)state;
	lone_acceptor(&s, &l);
	s.consume = false;
	assert_int_equal(feed_frame(&s, FRAME_OPEN, 0, 1, text("o")), RC_AGAIN);
	assert_int_equal(send_late(&s, 12000), RC_AGAIN); /* in time */
	assert_int_equal(
	    mux_reset(s.m, last_of(&s, MUX_OPENED)->stream, none), RC_OK);
	assert_int_equal(send_late(&s, 4384), RC_AGAIN);
	assert_int_equal(violations(&s), 0);
	assert_int_equal(send_late(&s, 9), RC_AGAIN);
	assert_int_equal(violations(&s), 1);
	mux_free(s.m);
}

static void test_bytes_beyond_it_end_the_link(void **state)
{
	const struct mux_limits l = usual_limits();
	enum rc rc = RC_AGAIN;
	struct side s;
	size_t n;

	(void)state;
	lone_with_gone(&s, &l);
	for (n = 0; n < 100 && rc == RC_AGAIN; n++)
		rc = send_late(&s, MUX_INITIAL_CREDIT);
	assert_int_equal(rc, RC_PROTO);
	assert_int_equal(n, 1 + 10 + 1);
	assert_non_null(strstr(mux_failure(s.m), "streams that are gone"));
	mux_free(s.m);
}

static void test_after_its_own_reset_nothing_is_forgiven(void **state)
{
	const struct mux_limits l = usual_limits();
	struct side s;

	(void)state;
	lone_acceptor(&s, &l);
	assert_int_equal(feed_frame(&s, FRAME_OPEN, 0, 1, text("o")), RC_AGAIN);
	assert_int_equal(feed_frame(&s, FRAME_RESET, 0, 1, none), RC_AGAIN);
	assert_int_equal(send_late(&s, 9), RC_AGAIN);
	assert_int_equal(violations(&s), 1);
	mux_free(s.m);
}

static void test_credit_for_streams_that_are_gone_is_limited(void **state)
{
	static const uint8_t much[4] = { 0, 0, 0x80, 0 };
	struct mux_limits l = usual_limits();
	enum rc rc = RC_AGAIN;
	struct side s;
	size_t n;

	(void)state;
	l.control_per_s = 25;
	lone_with_gone(&s, &l);
	for (n = 0; n < 1000 && rc == RC_AGAIN; n++)
		rc = feed_frame(
		    &s, FRAME_CREDIT, 0, 1, (struct bytes){ much, 4 });
	assert_int_equal(rc, RC_PROTO);
	assert_int_equal(n, 8 + 100 + 10 + 1);
	mux_free(s.m);
}

/* Its OPEN was refused, or crossed our GOAWAY: it learns that later. */
static void test_a_refused_stream_may_have_sent_what_all_begin_with(
    void **state)
{
	struct mux_limits l = usual_limits();
	struct side s;

	(void)state;
	l.max_streams = 1;
	for (int leaving = 0; leaving < 2; leaving++) {
		lone_acceptor(&s, &l);
		if (leaving)
			assert_int_equal(mux_goaway(s.m, text("bye")), RC_OK);
		else
			assert_int_equal(
			    feed_frame(&s, FRAME_OPEN, 0, 3, text("o")),
			    RC_AGAIN);
		assert_int_equal(
		    feed_frame(&s, FRAME_OPEN, 0, 5, text("o")), RC_AGAIN);
		for (int i = 0; i < 2; i++) {
			static const uint8_t zeros[8184];

			assert_int_equal(
			    feed_frame(&s, FRAME_DATA, 0, 5,
				(struct bytes){ zeros, sizeof(zeros) }),
			    RC_AGAIN);
			assert_int_equal(violations(&s), 0);
		}
		assert_int_equal(
		    feed_frame(&s, FRAME_DATA, 0, 5, text("more")), RC_AGAIN);
		assert_int_equal(violations(&s), 1);
		mux_free(s.m);
	}
}

/* It may be over already. */
static void leave(struct side *s, uint32_t stream, bool gently)
{
	enum rc rc =
	    gently ? mux_end(s->m, stream) : mux_reset(s->m, stream, text("x"));

	assert_true(rc == RC_OK || rc == RC_NOTFOUND || rc == RC_STATE);
}

/* Whatever two honest ends do to each other's streams, nobody is blamed. */
static void test_honest_ends_never_blame_each_other(void **state)
{
	struct pair *p = usual_pair();
	uint32_t seed = 1, near, far;

	(void)state;
	for (int round = 0; round < 400; round++) {
		struct side *one = (round & 1) != 0 ? &p->a : &p->b;

		near = opened(p, CLASS_BULK, &far);
		fill(&p->a, near);
		fill(&p->b, far);
		seed = seed * 1103515245 + 12345;
		for (unsigned i = 0; i < (seed >> 16) % 6; i++) {
			(void)carry(&p->a, &p->b);
			if ((seed >> (20 + i)) % 2 == 0)
				(void)carry(&p->b, &p->a);
		}
		leave(one, one == &p->a ? near : far, round % 3 == 0);
		/* what is under way then comes too late */
		while (carry(&p->b, &p->a) > 0)
			;
		settle(p);
		leave(&p->a, near, false);
		leave(&p->b, far, false);
		p->a.now_us += 10000;
		p->b.now_us += 10000;
	}
	settle(p);
	assert_int_equal(violations(&p->a), 0);
	assert_int_equal(violations(&p->b), 0);
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_peer_had_credit_for_may_come_late),
		cmocka_unit_test(
		    test_what_it_used_before_is_not_forgiven_again),
		cmocka_unit_test(test_bytes_beyond_it_end_the_link),
		cmocka_unit_test(test_after_its_own_reset_nothing_is_forgiven),
		cmocka_unit_test(
		    test_credit_for_streams_that_are_gone_is_limited),
		cmocka_unit_test(
		    test_a_refused_stream_may_have_sent_what_all_begin_with),
		cmocka_unit_test(test_honest_ends_never_blame_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

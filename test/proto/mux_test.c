#include "test/proto/mux_pair.h"
#include "test/support/alloc.h"

static void test_a_stream_opens_talks_and_closes(void **state)
{
	struct pair *p = usual_pair();
	struct mux_stats stats;
	uint32_t far, near;

	(void)state;
	near = opened(p, CLASS_HEALTH, &far);
	assert_memory_equal(last_of(&p->b, MUX_OPENED)->data, "open", 4);
	assert_memory_equal(last_of(&p->a, MUX_ACCEPTED)->data, "accept", 6);
	assert_int_equal(mux_wire_id(p->a.m, near), 1);
	assert_int_equal(mux_wire_id(p->b.m, far), 1);
	send_bytes(&p->a, near, 'x', 5);
	settle(p);
	assert_memory_equal(last_of(&p->b, MUX_DATA)->data, "xxxxx", 5);
	assert_int_equal(mux_end(p->a.m, near), RC_OK);
	settle(p);
	assert_int_equal(last_of(&p->b, MUX_END)->stream, far);
	assert_null(last_of(&p->b, MUX_CLOSED));
	send_bytes(&p->b, far, 'y', 3); /* the other half is still open */
	assert_int_equal(mux_end(p->b.m, far), RC_OK);
	settle(p);
	assert_int_equal(last_of(&p->a, MUX_DATA)->len, 3);
	assert_int_equal(last_of(&p->a, MUX_CLOSED)->stream, near);
	assert_int_equal(last_of(&p->b, MUX_CLOSED)->stream, far);
	assert_int_equal(mux_end(p->a.m, near), RC_NOTFOUND);
	mux_stats(p->a.m, &stats);
	assert_int_equal(stats.streams[CLASS_HEALTH], 0);
	assert_int_equal(stats.queued[CLASS_HEALTH], 0);
	assert_int_equal(stats.recv_windows, 0);
	pair_free(p);
}

static void test_data_may_follow_open_at_once(void **state)
{
	struct pair *p = usual_pair();
	uint32_t near;
	struct bytes none = { 0 };

	(void)state;
	assert_int_equal(
	    mux_open(p->a.m, CLASS_DEPLOY, NULL, text("o"), &near), RC_OK);
	send_bytes(&p->a, near, 'q', 100);
	assert_int_equal(mux_end(p->a.m, near), RC_OK);
	settle(p);
	assert_int_equal(p->b.seen[0].type, MUX_OPENED);
	assert_int_equal(p->b.seen[1].type, MUX_DATA);
	assert_int_equal(p->b.seen[2].type, MUX_END);
	/* The acceptor says nothing else before ACCEPT. */
	{
		size_t taken;
		const uint8_t byte = 0;

		assert_int_equal(
		    mux_send(p->b.m, p->b.seen[0].stream, &byte, 1, &taken),
		    RC_STATE);
		assert_int_equal(
		    mux_end(p->b.m, p->b.seen[0].stream), RC_STATE);
	}
	assert_int_equal(
	    mux_accept(p->b.m, p->b.seen[0].stream, CLASS_DEPLOY, 0, none),
	    RC_OK);
	assert_int_equal(mux_end(p->b.m, p->b.seen[0].stream), RC_OK);
	settle(p);
	assert_non_null(last_of(&p->a, MUX_CLOSED));
	assert_non_null(last_of(&p->b, MUX_CLOSED));
	pair_free(p);
}

static void test_the_dialler_writes_hello_and_waits(void **state)
{
	const struct mux_limits l = usual_limits();
	struct side a, b;
	uint8_t out[FRAME_LEN_MAX];
	struct mux_batch batch;
	uint32_t near;

	(void)state;
	side_init(&a, MUX_DIALLER, &l);
	side_init(&b, MUX_ACCEPTOR, &l);
	assert_int_equal(
	    mux_open(a.m, CLASS_HEALTH, NULL, text("o"), &near), RC_OK);
	assert_false(mux_has_output(b.m, CLASS_BULK));
	mux_pull(b.m, 0, CLASS_BULK, out, sizeof(out), &batch);
	assert_int_equal(batch.len, 0);
	assert_true(mux_has_output(a.m, CLASS_BULK));
	mux_pull(a.m, 0, CLASS_BULK, out, sizeof(out), &batch);
	assert_int_equal(batch.len, FRAME_HEADER_LEN + 5);
	assert_int_equal(batch.control_len, batch.len);
	assert_false(mux_has_output(a.m, CLASS_BULK));
	assert_int_equal(feed(&b, out, batch.len), RC_AGAIN);
	assert_true(carry(&b, &a) > 0);
	assert_true(carry(&a, &b) > 0);
	assert_non_null(last_of(&b, MUX_OPENED));
	assert_int_equal(mux_hello(a.m, text("again")), RC_STATE);
	mux_free(a.m);
	mux_free(b.m);
}

static void test_both_sides_number_their_own_streams(void **state)
{
	struct pair *p = usual_pair();
	uint32_t a1, a2, b1;

	(void)state;
	assert_int_equal(
	    mux_open(p->a.m, CLASS_BULK, NULL, text("1"), &a1), RC_OK);
	assert_int_equal(
	    mux_open(p->a.m, CLASS_BULK, NULL, text("2"), &a2), RC_OK);
	assert_int_equal(
	    mux_open(p->b.m, CLASS_BULK, NULL, text("3"), &b1), RC_OK);
	assert_int_equal(mux_wire_id(p->a.m, a1), 0);
	settle(p);
	assert_int_equal(mux_wire_id(p->a.m, a1), 1);
	assert_int_equal(mux_wire_id(p->a.m, a2), 3);
	assert_int_equal(mux_wire_id(p->b.m, b1), 2);
	assert_int_equal(mux_last_peer_id(p->b.m), 3);
	pair_free(p);
}

static void test_a_stream_reset_before_its_open_is_forgotten(void **state)
{
	struct pair *p = usual_pair();
	uint32_t first, second;

	(void)state;
	assert_int_equal(
	    mux_open(p->a.m, CLASS_BULK, NULL, text("1"), &first), RC_OK);
	send_bytes(&p->a, first, 'x', 9);
	assert_int_equal(
	    mux_open(p->a.m, CLASS_BULK, NULL, text("2"), &second), RC_OK);
	assert_int_equal(mux_reset(p->a.m, first, text("r")), RC_OK);
	settle(p);
	assert_int_equal(p->b.seen_count, 1);
	assert_memory_equal(p->b.seen[0].data, "2", 1);
	assert_int_equal(mux_wire_id(p->a.m, second), 1);
	pair_free(p);
}

static void test_reset_drops_queued_data_and_tells_the_owner(void **state)
{
	struct pair *p = usual_pair();
	struct mux_stats stats;
	uint32_t far, near;
	int thing;

	(void)state;
	near = opened(p, CLASS_BULK, &far);
	mux_set_owner(p->b.m, far, &thing);
	assert_ptr_equal(mux_owner(p->b.m, far), &thing);
	forget_seen(p);
	send_bytes(&p->a, near, 'x', 30000);
	assert_int_equal(mux_unsent(p->a.m, near), 30000);
	assert_int_equal(mux_reset(p->a.m, near, text("why")), RC_OK);
	assert_int_equal(mux_unsent(p->a.m, near), 0);
	settle(p);
	assert_int_equal(p->b.seen_count, 1);
	assert_int_equal(p->b.seen[0].type, MUX_RESET);
	assert_ptr_equal(p->b.seen[0].owner, &thing);
	assert_memory_equal(p->b.seen[0].data, "why", 3);
	assert_null(mux_owner(p->b.m, far));
	assert_int_equal(p->a.seen_count, 0); /* a RESET is never answered */
	mux_stats(p->a.m, &stats);
	assert_int_equal(stats.queued[CLASS_BULK], 0);
	assert_int_equal(mux_reset(p->a.m, near, text("x")), RC_NOTFOUND);
	pair_free(p);
}

static void test_late_frames_are_dropped_and_counted(void **state)
{
	struct pair *p = usual_pair();
	struct mux_stats stats;
	uint32_t far, near;
	uint8_t credit[4] = { 0, 0, 0x40, 0 };

	(void)state;
	near = opened(p, CLASS_BULK, &far);
	assert_int_equal(mux_reset(p->a.m, near, text("why")), RC_OK);
	forget_seen(p);
	assert_int_equal(
	    feed_frame(&p->a, FRAME_DATA, 0, 1, text("late")), RC_AGAIN);
	assert_int_equal(feed_frame(&p->a, FRAME_DATA, FRAME_FLAG_END, 1,
			     (struct bytes){ 0 }),
	    RC_AGAIN);
	assert_int_equal(
	    feed_frame(&p->a, FRAME_ACCEPT, 0, 1, text("late")), RC_AGAIN);
	assert_int_equal(
	    feed_frame(&p->a, FRAME_RESET, 0, 1, text("late")), RC_AGAIN);
	assert_int_equal(
	    feed_frame(&p->a, FRAME_CREDIT, 0, 1, (struct bytes){ credit, 4 }),
	    RC_AGAIN);
	assert_int_equal(p->a.seen_count, 0);
	mux_stats(p->a.m, &stats);
	assert_int_equal(stats.late_frames, 5);
	pair_free(p);
}

static void test_ping_is_answered_ahead_of_data(void **state)
{
	struct pair *p = usual_pair();
	const uint8_t opaque[8] = "12345678";
	uint8_t out[FRAME_LEN_MAX];
	struct mux_batch batch;
	struct frame f;
	uint32_t far;

	(void)state;
	(void)opened(p, CLASS_BULK, &far);
	forget_seen(p);
	fill(&p->b, far);
	assert_int_equal(mux_ping(p->a.m, opaque), RC_OK);
	(void)carry(&p->a, &p->b);
	mux_pull(p->b.m, 1, CLASS_BULK, out, sizeof(out), &batch);
	assert_int_equal(frame_decode(out, batch.len, &f), RC_OK);
	assert_int_equal(f.type, FRAME_PONG);
	assert_int_equal(feed(&p->a, out, batch.len), RC_AGAIN);
	assert_memory_equal(last_of(&p->a, MUX_PONG)->data, opaque, 8);
	pair_free(p);
}

static void test_tell_and_goaway_carry_their_payload(void **state)
{
	struct pair *p = usual_pair();
	struct mux_stats stats;
	uint32_t far, near, late;

	(void)state;
	near = opened(p, CLASS_BULK, &far);
	assert_int_equal(
	    mux_open(p->a.m, CLASS_BULK, NULL, text("late"), &late), RC_OK);
	assert_int_equal(mux_tell(p->b.m, text("psst")), RC_OK);
	assert_int_equal(mux_last_peer_id(p->b.m), 1);
	assert_int_equal(mux_goaway(p->b.m, text("bye")), RC_OK);
	/* a's OPEN crosses b's GOAWAY. */
	assert_true(carry(&p->a, &p->b) > 0);
	settle(p);
	assert_int_equal(mux_wire_id(p->a.m, late), 3);
	assert_int_equal(count_of(&p->b, MUX_OPENED), 1);
	assert_memory_equal(last_of(&p->a, MUX_TELL)->data, "psst", 4);
	assert_memory_equal(last_of(&p->a, MUX_GOAWAY)->data, "bye", 3);
	mux_stats(p->b.m, &stats);
	assert_int_equal(stats.late_frames, 1);
	mux_abandon(p->a.m, 1);
	settle(p);
	assert_int_equal(count_of(&p->a, MUX_BROKEN), 1);
	assert_int_equal(last_of(&p->a, MUX_BROKEN)->stream, late);
	assert_int_equal(last_of(&p->a, MUX_BROKEN)->reason, REASON_DRAINING);
	/* What runs goes on; nothing new begins. */
	send_bytes(&p->a, near, 'x', 10);
	settle(p);
	assert_int_equal(p->b.data_len, 10);
	assert_int_equal(
	    mux_open(p->a.m, CLASS_BULK, NULL, text("o"), &late), RC_STATE);
	assert_int_equal(
	    mux_open(p->b.m, CLASS_BULK, NULL, text("o"), &late), RC_STATE);
	pair_free(p);
}

static void test_an_unwritten_open_is_abandoned_too(void **state)
{
	struct pair *p = usual_pair();
	struct mux_event ev;
	uint32_t one, two;

	(void)state;
	assert_int_equal(
	    mux_open(p->a.m, CLASS_BULK, &one, text("1"), &one), RC_OK);
	assert_int_equal(
	    mux_open(p->a.m, CLASS_BULK, &two, text("2"), &two), RC_OK);
	send_bytes(&p->a, one, 'x', 10);
	mux_abandon(p->a.m, 99);
	assert_false(mux_has_output(p->a.m, CLASS_BULK));
	/* Its owner may be quicker than the event. */
	assert_int_equal(mux_reset(p->a.m, two, text("r")), RC_OK);
	assert_true(mux_next_event(p->a.m, &ev));
	assert_int_equal(ev.type, MUX_BROKEN);
	assert_ptr_equal(ev.owner, &one);
	assert_false(mux_next_event(p->a.m, &ev));
	assert_int_equal(mux_next_stream(p->a.m, 0), 0);
	pair_free(p);
}

static void test_writable_comes_when_half_the_queue_has_gone(void **state)
{
	struct pair *p = usual_pair();
	uint32_t far, near;

	(void)state;
	near = opened(p, CLASS_BULK, &far);
	forget_seen(p);
	p->b.consume = false;
	fill(&p->a, near);
	assert_int_equal(mux_unsent(p->a.m, near), 64 << 10);
	settle(p);
	/* One frame of credit is not half the queue. */
	assert_int_equal(p->b.data_len, FRAME_PAYLOAD_MAX);
	assert_null(last_of(&p->a, MUX_WRITABLE));
	p->b.consume = true;
	mux_consumed(p->b.m, far, FRAME_PAYLOAD_MAX);
	settle(p);
	assert_int_equal(p->b.data_len, 64 << 10);
	assert_int_equal(count_of(&p->a, MUX_WRITABLE), 1);
	assert_int_equal(last_of(&p->a, MUX_WRITABLE)->stream, near);
	pair_free(p);
}

static void test_a_splice_learns_of_every_byte_that_left(void **state)
{
	struct pair *p = usual_pair();
	uint32_t far, near;
	size_t sent = 0;

	(void)state;
	near = opened(p, CLASS_BULK, &far);
	mux_set_queue_max(p->a.m, near, 1 << 20, true);
	forget_seen(p);
	send_bytes(&p->a, near, 'x', 1 << 20);
	settle(p);
	for (size_t i = 0; i < p->a.seen_count; i++)
		sent += p->a.seen[i].sent;
	assert_int_equal(sent, 1 << 20);
	assert_int_equal(p->b.data_len, 1 << 20);
	pair_free(p);
}

/* A small life of two streams; every run must end the same way. */
static void play(size_t step)
{
	struct pair *p = usual_pair();
	uint32_t far, near, far2, near2;

	p->a.step = step;
	p->b.step = step;
	near = opened(p, CLASS_HEALTH, &far);
	near2 = opened(p, CLASS_BULK, &far2);
	send_bytes(&p->a, near, 'h', 700);
	send_bytes(&p->a, near2, 'b', 40000);
	assert_int_equal(mux_end(p->a.m, near2), RC_OK);
	assert_int_equal(mux_end(p->b.m, far2), RC_OK);
	settle(p);
	assert_int_equal(p->b.data_len, 40700);
	assert_int_equal(last_of(&p->b, MUX_CLOSED)->stream, far2);
	assert_int_equal(mux_reset(p->b.m, far, text("r")), RC_OK);
	settle(p);
	assert_int_equal(last_of(&p->a, MUX_RESET)->stream, near);
	pair_free(p);
}

static void test_one_byte_at_a_time_says_the_same(void **state)
{
	(void)state;
	play(0);
	play(1);
	play(7);
}

static void test_input_may_be_cut_at_every_byte(void **state)
{
	uint8_t bytes[512], *end = bytes;
	const struct mux_limits l = usual_limits();
	const struct frame frames[] = {
		{ .len = 5, .type = FRAME_HELLO },
		{ .len = 4, .type = FRAME_OPEN, .id = 1 },
		{ .len = 30, .type = FRAME_DATA, .id = 1 },
		{ .len = 8, .type = FRAME_PING },
		{ .len = 3, .type = 77, .flags = FRAME_FLAG_MAY_IGNORE },
		{ .len = 2, .type = FRAME_DATA, .flags = 1, .id = 1 },
		{ .len = 9, .type = FRAME_RESET, .id = 1 },
	};

	(void)state;
	memset(bytes, 'z', sizeof(bytes));
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		frame_encode(&frames[i], end);
		end += FRAME_HEADER_LEN + frames[i].len;
	}
	for (const uint8_t *cut = bytes; cut <= end; cut++) {
		const size_t hello_len = FRAME_HEADER_LEN + 5;
		uint8_t out[64];
		struct mux_batch batch;
		struct side b;
		size_t first = (size_t)(cut - bytes);

		if (first < hello_len)
			first = hello_len;
		side_init(&b, MUX_ACCEPTOR, &l);
		assert_int_equal(feed(&b, bytes, hello_len), RC_AGAIN);
		mux_pull(b.m, 0, CLASS_BULK, out, sizeof(out), &batch);
		assert_int_equal(
		    feed(&b, bytes + hello_len, first - hello_len), RC_AGAIN);
		assert_int_equal(
		    feed(&b, bytes + first, (size_t)(end - bytes) - first),
		    RC_AGAIN);
		assert_int_equal(b.seen_count, 6);
		assert_int_equal(b.seen[2].len, 30);
		assert_int_equal(b.seen[3].len, 2);
		assert_int_equal(b.seen[4].type, MUX_END);
		assert_int_equal(b.seen[5].type, MUX_RESET);
		assert_int_equal(b.in_len, 0);
		mux_free(b.m);
	}
}

/* RC_OK or RC_NOMEM; whatever fails, all must be freed. */
static enum rc life_of_one(const struct mux_limits *l)
{
	uint8_t data[6000] = { 0 }, out[FRAME_LEN_MAX];
	struct mux *m = NULL;
	struct mux_batch batch;
	uint32_t s[20];
	size_t taken;
	enum rc rc = mux_new(MUX_ACCEPTOR, l, &m);

	if (rc == RC_OK)
		rc = mux_hello(m, text("hello"));
	if (rc == RC_OK)
		rc = mux_tell(m, text("t"));
	if (rc == RC_OK)
		rc = mux_ping(m, data);
	for (size_t i = 0; rc == RC_OK && i < 20; i++)
		rc = mux_open(m, CLASS_BULK, NULL, text("open"), &s[i]);
	if (rc == RC_OK)
		rc = mux_send(m, s[3], data, sizeof(data), &taken);
	if (rc == RC_OK)
		rc = mux_goaway(m, text("bye"));
	if (m != NULL)
		mux_pull(m, 0, CLASS_BULK, out, sizeof(out), &batch);
	mux_free(m);
	return rc;
}

static void test_any_allocation_may_fail_on_our_side(void **state)
{
	const struct mux_limits l = usual_limits();
	size_t n;

	(void)state;
	for (n = 0;; n++) {
		enum rc rc;

		alloc_fail_at(n);
		rc = life_of_one(&l);
		if (!alloc_failed())
			break;
		assert_int_equal(rc, RC_NOMEM);
	}
	alloc_never_fail();
	assert_true(n > 20);
}

/* Refused, or the link ends; never worse. */
static void test_any_allocation_may_fail_for_the_peer(void **state)
{
	(void)state;
	for (size_t n = 0;; n++) {
		struct pair *p = usual_pair();
		uint8_t out[FRAME_LEN_MAX];
		struct mux_batch batch;

		alloc_fail_at(n);
		for (uint32_t id = 1; id < 100; id += 2) {
			if (feed_frame(&p->b, FRAME_OPEN, 0, id,
				text("open")) != RC_AGAIN)
				break;
		}
		mux_pull(p->b.m, 0, CLASS_BULK, out, sizeof(out), &batch);
		if (!alloc_failed()) {
			pair_free(p);
			break;
		}
		pair_free(p);
	}
	alloc_never_fail();
}

static void test_stale_handles_name_nothing(void **state)
{
	struct pair *p = usual_pair();
	uint32_t first, next;
	size_t taken;
	const uint8_t byte = 0;

	(void)state;
	assert_int_equal(
	    mux_open(p->a.m, CLASS_BULK, NULL, text("1"), &first), RC_OK);
	assert_int_equal(mux_reset(p->a.m, first, text("")), RC_OK);
	for (int i = 0; i < 40; i++) {
		assert_int_equal(
		    mux_open(p->a.m, CLASS_BULK, NULL, text("1"), &next),
		    RC_OK);
		assert_int_not_equal(first, next);
	}
	assert_int_equal(
	    mux_send(p->a.m, first, &byte, 1, &taken), RC_NOTFOUND);
	assert_int_equal(
	    mux_accept(p->a.m, first, CLASS_BULK, 0, text("")), RC_NOTFOUND);
	assert_int_equal(mux_add_credit(p->a.m, 0, 1), RC_NOTFOUND);
	mux_consumed(p->a.m, 77, 1);
	mux_set_owner(p->a.m, first, NULL);
	mux_set_queue_max(p->a.m, first, 1, true);
	assert_int_equal(mux_wire_id(p->a.m, first), 0);
	assert_int_equal(
	    mux_accept(p->a.m, next, CLASS_BULK, 0, text("")), RC_STATE);
	pair_free(p);
}

static void test_a_thousand_streams_keep_apart(void **state)
{
	struct pair *p = usual_pair();
	static uint32_t near[1000];
	uint32_t far = 0, count = 0;

	(void)state;
	for (size_t i = 0; i < 1000; i++) {
		assert_int_equal(mux_open(p->a.m, CLASS_DEPLOY, &near[i],
				     text("o"), &near[i]),
		    RC_OK);
	}
	settle(p);
	while ((far = mux_next_stream(p->b.m, far)) != 0) {
		count++;
		assert_int_equal(
		    mux_accept(p->b.m, far, CLASS_DEPLOY, 0, text("")), RC_OK);
		send_bytes(&p->b, far, 'x', mux_wire_id(p->b.m, far));
	}
	assert_int_equal(count, 1000);
	p->a.seen_count = 0;
	settle(p);
	for (size_t i = 0; i < p->a.seen_count; i++) {
		const struct seen *seen = &p->a.seen[i];

		assert_int_equal(*(uint32_t *)seen->owner, seen->stream);
		if (seen->type == MUX_DATA)
			assert_int_equal(
			    seen->len, mux_wire_id(p->a.m, seen->stream));
	}
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_stream_opens_talks_and_closes),
		cmocka_unit_test(test_data_may_follow_open_at_once),
		cmocka_unit_test(test_the_dialler_writes_hello_and_waits),
		cmocka_unit_test(test_both_sides_number_their_own_streams),
		cmocka_unit_test(
		    test_a_stream_reset_before_its_open_is_forgotten),
		cmocka_unit_test(
		    test_reset_drops_queued_data_and_tells_the_owner),
		cmocka_unit_test(test_late_frames_are_dropped_and_counted),
		cmocka_unit_test(test_ping_is_answered_ahead_of_data),
		cmocka_unit_test(test_tell_and_goaway_carry_their_payload),
		cmocka_unit_test(test_an_unwritten_open_is_abandoned_too),
		cmocka_unit_test(
		    test_writable_comes_when_half_the_queue_has_gone),
		cmocka_unit_test(test_a_splice_learns_of_every_byte_that_left),
		cmocka_unit_test(test_one_byte_at_a_time_says_the_same),
		cmocka_unit_test(test_input_may_be_cut_at_every_byte),
		cmocka_unit_test(test_any_allocation_may_fail_on_our_side),
		cmocka_unit_test(test_any_allocation_may_fail_for_the_peer),
		cmocka_unit_test(test_stale_handles_name_nothing),
		cmocka_unit_test(test_a_thousand_streams_keep_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Frames that go on from link to link without waiting in a queue. */
#include "test/proto/mux_pair.h"

#define LEN 100

static bool pass(struct side *s, uint32_t stream, size_t len)
{
	uint8_t head[FRAME_HEADER_LEN];

	return mux_pass(s->m, stream, CLASS_BULK, len, head);
}

static void test_a_frame_that_passes_is_one_of_the_stream(void **state)
{
	struct pair *p = usual_pair();
	uint32_t far, near = opened(p, CLASS_BULK, &far);
	uint8_t frame[FRAME_HEADER_LEN + LEN];
	struct mux_stats stats;

	(void)state;
	memset(frame, 'x', sizeof(frame));
	assert_true(mux_pass(p->a.m, near, CLASS_BULK, LEN, frame));
	assert_int_equal(feed(&p->b, frame, sizeof(frame)), RC_AGAIN);
	assert_int_equal(last_of(&p->b, MUX_DATA)->stream, far);
	assert_int_equal(last_of(&p->b, MUX_DATA)->len, LEN);
	assert_int_equal(last_of(&p->b, MUX_DATA)->data[0], 'x');
	mux_stats(p->a.m, &stats);
	assert_int_equal(stats.queued[CLASS_BULK], 0);
	/* And what is queued afterwards comes after it. */
	send_bytes(&p->a, near, 'y', LEN);
	settle(p);
	assert_int_equal(last_of(&p->b, MUX_DATA)->data[0], 'y');
	assert_null(last_of(&p->a, MUX_WRITABLE));
	pair_free(p);
}

static void test_nothing_passes_beyond_the_credit(void **state)
{
	struct pair *p = usual_pair();
	uint32_t far, near = opened(p, CLASS_HEALTH, &far);
	const size_t half = MUX_INITIAL_CREDIT / 2 - FRAME_HEADER_LEN;

	(void)state;
	assert_true(pass(&p->a, near, half));
	assert_false(pass(&p->a, near, half + 1));
	assert_true(pass(&p->a, near, half));
	assert_false(pass(&p->a, near, 1));
	assert_int_equal(mux_add_credit(p->a.m, near, 9), RC_OK);
	assert_false(pass(&p->a, near, 2));
	assert_true(pass(&p->a, near, 1));
	pair_free(p);
}

static void test_nothing_passes_what_waits(void **state)
{
	const uint8_t opaque[8] = { 0 };
	struct pair *p = usual_pair();
	uint32_t far, bulk = opened(p, CLASS_BULK, &far);
	uint32_t health = opened(p, CLASS_HEALTH, &far);

	(void)state;
	send_bytes(&p->a, bulk, 'q', LEN);
	assert_false(pass(&p->a, bulk, LEN));
	assert_false(pass(&p->a, health, LEN));
	settle(p);
	assert_true(pass(&p->a, bulk, LEN));
	assert_int_equal(mux_ping(p->a.m, opaque), RC_OK);
	assert_false(pass(&p->a, bulk, LEN));
	settle(p);
	assert_true(pass(&p->a, bulk, LEN));
	pair_free(p);
}

/* Without the credit to go, it does not wait for the link. */
static void test_a_queue_without_credit_lets_others_pass(void **state)
{
	struct pair *p = usual_pair();
	uint32_t far, stuck = opened(p, CLASS_BULK, &far);
	uint32_t other = opened(p, CLASS_BULK, &far);

	(void)state;
	p->b.consume = false;
	fill(&p->a, stuck);
	settle(p);
	assert_true(mux_unsent(p->a.m, stuck) > 0);
	assert_false(pass(&p->a, stuck, LEN));
	assert_true(pass(&p->a, other, LEN));
	pair_free(p);
}

static void test_only_an_open_stream_takes_what_passes(void **state)
{
	struct pair *p = usual_pair();
	uint32_t far, near = opened(p, CLASS_BULK, &far), fresh;

	(void)state;
	assert_false(pass(&p->a, near, 0));
	assert_false(pass(&p->a, near + 77, LEN));
	assert_int_equal(
	    mux_open(p->a.m, CLASS_BULK, NULL, text("open"), &fresh), RC_OK);
	assert_false(pass(&p->a, fresh, LEN));
	settle(p);
	/* Written, but not accepted yet. */
	assert_false(pass(&p->a, fresh, LEN));
	assert_false(pass(&p->b, last_of(&p->b, MUX_OPENED)->stream, LEN));
	assert_int_equal(mux_end(p->a.m, near), RC_OK);
	settle(p);
	assert_false(pass(&p->a, near, LEN));
	pair_free(p);
}

static void test_class_control_and_frames_above_the_cut_are_queued(void **state)
{
	struct pair *p = usual_pair();
	uint32_t far, control = opened(p, CLASS_CONTROL, &far);
	uint32_t bulk = opened(p, CLASS_BULK, &far);

	(void)state;
	assert_false(pass(&p->a, control, LEN));
	mux_set_frame_max(p->a.m, 1024);
	assert_false(pass(&p->a, bulk, 1024 - FRAME_HEADER_LEN + 1));
	assert_true(pass(&p->a, bulk, 1024 - FRAME_HEADER_LEN));
	pair_free(p);
}

static void test_only_the_classes_asked_for_pass(void **state)
{
	struct pair *p = usual_pair();
	uint32_t far, bulk = opened(p, CLASS_BULK, &far);
	uint32_t health = opened(p, CLASS_HEALTH, &far);
	uint8_t head[FRAME_HEADER_LEN];

	(void)state;
	assert_false(mux_pass(p->a.m, bulk, CLASS_HEALTH, LEN, head));
	assert_true(mux_pass(p->a.m, health, CLASS_HEALTH, LEN, head));
	assert_true(mux_pass(p->a.m, bulk, CLASS_BULK, LEN, head));
	pair_free(p);
}

/* The class that is next, when both wait. */
static enum stream_class next_of(struct pair *p, uint32_t bulk, uint32_t health)
{
	uint8_t out[LEN + 2 * FRAME_HEADER_LEN];
	struct mux_batch batch;

	send_bytes(&p->a, bulk, 'b', LEN);
	send_bytes(&p->a, health, 'h', LEN);
	mux_pull(p->a.m, p->a.now_us, CLASS_BULK, out, sizeof(out), &batch);
	return batch.class_len[CLASS_BULK] > 0 ? CLASS_BULK : CLASS_HEALTH;
}

/* Else who passes would have had the link for nothing. */
static void test_what_passes_counts_for_the_shares(void **state)
{
	for (int with_bulk = 0; with_bulk < 2; with_bulk++) {
		struct pair *p = usual_pair();
		uint32_t far, bulk = opened(p, CLASS_BULK, &far);
		uint32_t health = opened(p, CLASS_HEALTH, &far);

		(void)state;
		assert_true(pass(&p->a, health, LEN));
		if (with_bulk)
			assert_true(pass(&p->a, bulk, LEN));
		assert_int_equal(next_of(p, bulk, health),
		    with_bulk ? CLASS_HEALTH : CLASS_BULK);
		pair_free(p);
	}
}

static void test_nothing_passes_through_a_dead_mux(void **state)
{
	struct pair *p = usual_pair();
	uint32_t far, near = opened(p, CLASS_BULK, &far);

	(void)state;
	assert_int_equal(
	    feed_frame(&p->a, FRAME_HELLO, 0, 0, text("again")), RC_PROTO);
	assert_false(pass(&p->a, near, LEN));
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_frame_that_passes_is_one_of_the_stream),
		cmocka_unit_test(test_nothing_passes_beyond_the_credit),
		cmocka_unit_test(test_nothing_passes_what_waits),
		cmocka_unit_test(test_a_queue_without_credit_lets_others_pass),
		cmocka_unit_test(test_only_an_open_stream_takes_what_passes),
		cmocka_unit_test(
		    test_class_control_and_frames_above_the_cut_are_queued),
		cmocka_unit_test(test_only_the_classes_asked_for_pass),
		cmocka_unit_test(test_what_passes_counts_for_the_shares),
		cmocka_unit_test(test_nothing_passes_through_a_dead_mux),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

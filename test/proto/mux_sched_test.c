#include "test/proto/mux_pair.h"

#define HUGE (64 << 20)

static const uint8_t block[FRAME_LEN_MAX];

/* A stream of class with endless credit, whose queue is kept full. */
static uint32_t endless(struct pair *p, enum stream_class class)
{
	uint32_t far, near = opened(p, class, &far);

	assert_int_equal(mux_add_credit(p->a.m, near, 1 << 30), RC_OK);
	mux_set_queue_max(p->a.m, near, 4 * FRAME_LEN_MAX, false);
	return near;
}

static void top_up(struct mux *m, uint32_t stream)
{
	size_t taken;

	do {
		assert_int_equal(
		    mux_send(m, stream, block, sizeof(block), &taken), RC_OK);
	} while (taken == sizeof(block));
}

struct shares {
	size_t all, class[CLASS_COUNT];
};

/* Pull `total` bytes with these streams always full. */
static struct shares run(struct pair *p, const uint32_t *streams, size_t count,
    enum stream_class lowest, size_t total)
{
	uint8_t out[FRAME_LEN_MAX];
	struct shares shares = { 0 };
	struct mux_batch batch;

	while (shares.all < total) {
		for (size_t i = 0; i < count; i++)
			top_up(p->a.m, streams[i]);
		mux_pull(p->a.m, p->a.now_us, lowest, out, sizeof(out), &batch);
		assert_true(batch.len <= sizeof(out));
		if (batch.len == 0)
			break;
		shares.all += batch.len;
		for (size_t c = 0; c < CLASS_COUNT; c++)
			shares.class[c] += batch.class_len[c];
	}
	return shares;
}

static size_t percent(const struct shares *s, enum stream_class class)
{
	return s->class[class] * 100 / s->all;
}

static void test_three_full_classes_share_as_promised(void **state)
{
	struct pair *p = usual_pair();
	const uint32_t streams[] = { endless(p, CLASS_BULK),
		endless(p, CLASS_DEPLOY), endless(p, CLASS_HEALTH) };
	struct shares s = run(p, streams, 3, CLASS_BULK, HUGE);

	(void)state;
	assert_in_range(percent(&s, CLASS_HEALTH), 45, 51);
	assert_in_range(percent(&s, CLASS_DEPLOY), 30, 45);
	assert_in_range(percent(&s, CLASS_BULK), 10, 20);
	pair_free(p);
}

static void test_two_full_classes_share_as_promised(void **state)
{
	struct pair *p = usual_pair();
	const uint32_t bulk = endless(p, CLASS_BULK);
	const uint32_t deploy = endless(p, CLASS_DEPLOY);
	const uint32_t health = endless(p, CLASS_HEALTH);
	const uint32_t health_bulk[] = { health, bulk };
	const uint32_t deploy_bulk[] = { deploy, bulk };
	struct shares s = run(p, health_bulk, 2, CLASS_BULK, HUGE);

	(void)state;
	assert_in_range(percent(&s, CLASS_HEALTH), 48, 52);
	assert_int_equal(mux_reset(p->a.m, health, text("r")), RC_OK);
	s = run(p, deploy_bulk, 2, CLASS_BULK, HUGE);
	assert_in_range(percent(&s, CLASS_DEPLOY), 70, 78);
	pair_free(p);
}

static void test_one_class_alone_gets_everything(void **state)
{
	struct pair *p = usual_pair();
	const uint32_t bulk = endless(p, CLASS_BULK);
	struct shares s = run(p, &bulk, 1, CLASS_BULK, 1 << 20);

	(void)state;
	assert_int_equal(s.class[CLASS_BULK], s.all);
	assert_true(s.all >= 1 << 20);
	pair_free(p);
}

static void test_streams_of_a_class_share_evenly(void **state)
{
	struct pair *p = usual_pair();
	uint32_t streams[4];
	size_t got[4] = { 0 };
	uint8_t out[FRAME_LEN_MAX];
	struct mux_batch batch;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		streams[i] = endless(p, CLASS_BULK);
	for (size_t n = 0; n < 4000; n++) {
		struct frame f;

		for (size_t i = 0; i < 4; i++)
			top_up(p->a.m, streams[i]);
		/* Small buffers cut every other frame: deficits make up. */
		mux_pull(p->a.m, 1, CLASS_BULK, out,
		    n % 2 == 0 ? FRAME_LEN_MAX : 4000, &batch);
		assert_int_equal(frame_decode(out, batch.len, &f), RC_OK);
		for (size_t i = 0; i < 4; i++) {
			if (f.id == mux_wire_id(p->a.m, streams[i]))
				got[i] += batch.len;
		}
	}
	for (size_t i = 1; i < 4; i++)
		assert_in_range(got[i], got[0] - FRAME_LEN_MAX * 4,
		    got[0] + FRAME_LEN_MAX * 4);
	pair_free(p);
}

static void test_health_overtakes_bulk(void **state)
{
	struct pair *p = usual_pair();
	const uint32_t bulk = endless(p, CLASS_BULK);
	const uint32_t health = endless(p, CLASS_HEALTH);
	struct shares s = run(p, &bulk, 1, CLASS_BULK, HUGE);
	uint8_t out[FRAME_LEN_MAX];
	struct mux_batch batch;
	struct frame f;

	(void)state;
	assert_int_equal(percent(&s, CLASS_HEALTH), 0);
	send_bytes(&p->a, health, 'h', 300);
	mux_pull(p->a.m, 1, CLASS_BULK, out, sizeof(out), &batch);
	assert_int_equal(frame_decode(out, batch.len, &f), RC_OK);
	assert_int_equal(f.id, mux_wire_id(p->a.m, health));
	/* The full frame behind it starts a record of its own. */
	assert_int_equal(batch.len, 308);
	pair_free(p);
}

static void test_only_the_classes_asked_for_are_served(void **state)
{
	struct pair *p = usual_pair();
	const uint32_t bulk = endless(p, CLASS_BULK);
	const uint32_t deploy = endless(p, CLASS_DEPLOY);
	const uint32_t health = endless(p, CLASS_HEALTH);
	struct shares s;

	(void)state;
	top_up(p->a.m, bulk);
	assert_true(mux_has_output(p->a.m, CLASS_BULK));
	assert_false(mux_has_output(p->a.m, CLASS_DEPLOY));
	top_up(p->a.m, deploy);
	assert_true(mux_has_output(p->a.m, CLASS_DEPLOY));
	assert_false(mux_has_output(p->a.m, CLASS_HEALTH));
	top_up(p->a.m, health);
	s = run(p, NULL, 0, CLASS_HEALTH, HUGE);
	assert_int_equal(percent(&s, CLASS_HEALTH), 100);
	assert_int_equal(mux_unsent(p->a.m, deploy), 4 * FRAME_LEN_MAX);
	/* Frames that are not DATA always go. */
	assert_int_equal(mux_tell(p->a.m, text("t")), RC_OK);
	assert_true(mux_has_output(p->a.m, CLASS_CONTROL));
	pair_free(p);
}

static void test_control_goes_first_until_its_bucket_is_empty(void **state)
{
	struct pair *p = usual_pair();
	const uint32_t control = endless(p, CLASS_CONTROL);
	const uint32_t health = endless(p, CLASS_HEALTH);
	const uint32_t deploy = endless(p, CLASS_DEPLOY);
	const uint32_t all[] = { control, health, deploy };
	struct shares s = run(p, all, 3, CLASS_BULK, 200 << 10);

	(void)state;
	assert_int_equal(percent(&s, CLASS_CONTROL), 100);
	/* Then it is a stream of deploy: half of deploy's half. */
	s = run(p, all, 3, CLASS_BULK, HUGE);
	assert_in_range(percent(&s, CLASS_CONTROL), 22, 28);
	assert_in_range(percent(&s, CLASS_HEALTH), 48, 52);
	assert_in_range(percent(&s, CLASS_DEPLOY), 22, 28);
	/* A second later it may go first for 64 KiB again. */
	p->a.now_us += 1000000;
	s = run(p, all, 3, CLASS_BULK, 64 << 10);
	assert_int_equal(percent(&s, CLASS_CONTROL), 100);
	pair_free(p);
}

static void test_control_alone_is_not_slowed(void **state)
{
	struct pair *p = usual_pair();
	const uint32_t control = endless(p, CLASS_CONTROL);
	struct shares s = run(p, &control, 1, CLASS_BULK, HUGE);

	(void)state;
	assert_int_equal(percent(&s, CLASS_CONTROL), 100);
	pair_free(p);
}

static void test_frames_are_cut_as_the_link_says(void **state)
{
	struct pair *p = usual_pair();
	const uint32_t bulk = endless(p, CLASS_BULK);
	uint8_t out[FRAME_LEN_MAX];
	struct mux_batch batch;
	const struct {
		uint32_t asked, len;
	} cases[] = { { 2000, 2000 }, { 1, 1024 }, { 1 << 20, 16384 } };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct frame f;

		mux_set_frame_max(p->a.m, cases[i].asked);
		/* The turn that had begun is cut as it was. */
		for (int turn = 0; turn < 2; turn++) {
			top_up(p->a.m, bulk);
			mux_pull(
			    p->a.m, 1, CLASS_BULK, out, sizeof(out), &batch);
		}
		top_up(p->a.m, bulk);
		mux_pull(p->a.m, 1, CLASS_BULK, out, sizeof(out), &batch);
		assert_int_equal(frame_decode(out, batch.len, &f), RC_OK);
		assert_int_equal(f.len + FRAME_HEADER_LEN, cases[i].len);
	}
	pair_free(p);
}

static void test_a_small_buffer_is_never_overrun(void **state)
{
	struct pair *p = usual_pair();
	const uint32_t bulk = endless(p, CLASS_BULK);
	uint8_t out[64];
	struct mux_batch batch;

	(void)state;
	for (size_t cap = 0; cap <= sizeof(out); cap++) {
		top_up(p->a.m, bulk);
		mux_pull(p->a.m, 1, CLASS_BULK, out, cap, &batch);
		assert_true(batch.len == (cap <= FRAME_HEADER_LEN ? 0 : cap));
		assert_int_equal(mux_ping(p->a.m, out), RC_OK);
		assert_int_equal(mux_tell(p->a.m, text("tell")), RC_OK);
		mux_pull(p->a.m, 1, CLASS_BULK, out, cap, &batch);
		assert_true(batch.len <= cap);
		do {
			mux_pull(
			    p->a.m, 1, CLASS_CONTROL, out, sizeof(out), &batch);
		} while (batch.len > 0);
	}
	pair_free(p);
}

static void test_small_frames_share_a_record(void **state)
{
	struct pair *p = usual_pair();
	uint32_t streams[10];
	uint8_t out[FRAME_LEN_MAX];
	struct mux_batch batch;

	(void)state;
	for (size_t i = 0; i < 10; i++)
		streams[i] = endless(p, CLASS_DEPLOY);
	for (size_t i = 0; i < 10; i++) {
		send_bytes(&p->a, streams[i], 'x', 100);
		assert_int_equal(mux_end(p->a.m, streams[i]), RC_OK);
	}
	mux_pull(p->a.m, 1, CLASS_BULK, out, sizeof(out), &batch);
	assert_int_equal(batch.len, 10 * 108); /* END rides on the data */
	assert_int_equal(batch.class_len[CLASS_DEPLOY], batch.len);
	assert_int_equal(batch.control_len, 0);
	pair_free(p);
}

static void test_control_frames_keep_their_order_ahead_of_data(void **state)
{
	struct pair *p = usual_pair();
	const uint32_t bulk = endless(p, CLASS_BULK);
	uint8_t out[FRAME_LEN_MAX], *at = out;
	struct mux_batch batch;
	struct frame f;
	uint32_t opened_first;

	(void)state;
	top_up(p->a.m, bulk);
	assert_int_equal(
	    mux_open(p->a.m, CLASS_BULK, NULL, text("o"), &opened_first),
	    RC_OK);
	assert_int_equal(mux_reset(p->a.m, bulk, text("r")), RC_OK);
	send_bytes(&p->a, opened_first, 'd', 5);
	mux_pull(p->a.m, 1, CLASS_BULK, out, sizeof(out), &batch);
	for (unsigned i = 0; i < 3; i++) {
		const unsigned order[] = { FRAME_OPEN, FRAME_RESET,
			FRAME_DATA };

		assert_int_equal(
		    frame_decode(at, batch.len - (size_t)(at - out), &f),
		    RC_OK);
		assert_int_equal(f.type, order[i]);
		at += FRAME_HEADER_LEN + f.len;
	}
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_three_full_classes_share_as_promised),
		cmocka_unit_test(test_two_full_classes_share_as_promised),
		cmocka_unit_test(test_one_class_alone_gets_everything),
		cmocka_unit_test(test_streams_of_a_class_share_evenly),
		cmocka_unit_test(test_health_overtakes_bulk),
		cmocka_unit_test(test_only_the_classes_asked_for_are_served),
		cmocka_unit_test(
		    test_control_goes_first_until_its_bucket_is_empty),
		cmocka_unit_test(test_control_alone_is_not_slowed),
		cmocka_unit_test(test_frames_are_cut_as_the_link_says),
		cmocka_unit_test(test_a_small_buffer_is_never_overrun),
		cmocka_unit_test(test_small_frames_share_a_record),
		cmocka_unit_test(
		    test_control_frames_keep_their_order_ahead_of_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * mux_budget_test.c - what several links grant together.
 */
#include "test/proto/mux_pair.h"

#define SHARED (1 << 20)

static uint64_t open_and_grow(struct pair *p, enum stream_class class)
{
	uint32_t far, near = opened(p, class, &far);

	mux_set_rtt(p->b.m, 20000);
	return grow(p, near, 1000, 100);
}

static void test_what_all_links_grant_fits_one_budget(void **state)
{
	struct mux_budget budget = { .bytes = SHARED };
	const struct mux_limits near = usual_limits();
	struct mux_limits far = near;
	struct pair *one, *other;
	uint64_t first, second;

	(void)state;
	far.shared_budget = &budget;
	one = pair_new(&near, &far);
	other = pair_new(&near, &far);
	first = open_and_grow(one, CLASS_BULK);
	assert_in_range(first, 100000, SHARED / 2);
	assert_int_equal(budget.used, first);
	/* Bulk has its half; another link's bulk gets little more. */
	second = open_and_grow(other, CLASS_BULK);
	assert_true(first + second <= SHARED / 2);
	/* What deploys and health checks need is still there. */
	second = open_and_grow(other, CLASS_DEPLOY);
	assert_in_range(first + second, SHARED / 2, SHARED / 4 * 3);
	second = open_and_grow(other, CLASS_HEALTH);
	assert_in_range(first + second, SHARED / 4 * 3, SHARED);
	assert_int_equal(budget.used, first + second);
	/* A link that goes gives all of it back. */
	pair_free(other);
	assert_int_equal(budget.used, first);
	pair_free(one);
	assert_int_equal(budget.used, 0);
}

static void test_when_it_is_overdrawn_windows_shrink(void **state)
{
	struct mux_budget budget = { .bytes = SHARED };
	const struct mux_limits near = usual_limits();
	struct mux_limits far = near;
	uint32_t stream, other;
	struct pair *p;
	uint64_t before;

	(void)state;
	far.shared_budget = &budget;
	p = pair_new(&near, &far);
	stream = opened(p, CLASS_HEALTH, &other);
	mux_set_rtt(p->b.m, 20000);
	before = grow(p, stream, 1000, 100);
	assert_true(before > SHARED / 4);
	budget.bytes = 0;
	assert_int_equal(grow(p, stream, 1000, 100), 0);
	assert_int_equal(budget.used, 0);
	pair_free(p);
}

static void test_credit_with_accept_is_within_it_too(void **state)
{
	struct mux_budget budget = { .bytes = 1000 };
	const struct mux_limits near = usual_limits();
	struct mux_limits far = near;
	uint32_t stream;
	struct pair *p;

	(void)state;
	far.shared_budget = &budget;
	p = pair_new(&near, &far);
	assert_int_equal(
	    mux_open(p->a.m, CLASS_HEALTH, NULL, text("o"), &stream), RC_OK);
	settle(p);
	stream = last_of(&p->b, MUX_OPENED)->stream;
	assert_int_equal(
	    mux_accept(p->b.m, stream, CLASS_HEALTH, 1001, text("a")),
	    RC_LIMIT);
	assert_int_equal(
	    mux_accept(p->b.m, stream, CLASS_HEALTH, 1000, text("a")), RC_OK);
	assert_int_equal(budget.used, 1000);
	pair_free(p);
	assert_int_equal(budget.used, 0);
}

static void test_what_stays_counts_from_the_first_byte(void **state)
{
	struct mux_budget budget = { .bytes = SHARED };
	const struct mux_limits near = usual_limits();
	struct mux_limits far = near;
	uint32_t stream, other, second, unused;
	struct pair *p;

	(void)state;
	far.shared_budget = &budget;
	p = pair_new(&near, &far);
	stream = opened(p, CLASS_BULK, &other);
	second = opened(p, CLASS_HEALTH, &unused);
	p->b.consume = false;
	send_bytes(&p->a, stream, 1, 10000);
	send_bytes(&p->a, second, 1, 500);
	settle(p);
	assert_int_equal(budget.used, 0);
	assert_int_equal(budget.held, 10500);
	mux_consumed(p->b.m, other, 4000);
	assert_int_equal(budget.held, 6500);
	assert_true(budget.was_relieved);
	/* Whoever ends it. */
	assert_int_equal(mux_reset(p->a.m, stream, text("r")), RC_OK);
	settle(p);
	assert_int_equal(budget.held, 500);
	pair_free(p);
	assert_int_equal(budget.held, 0);
}

static void test_who_holds_most_of_a_class_is_shed(void **state)
{
	struct mux_budget budget = { .bytes = 15000 };
	const struct mux_limits near = usual_limits();
	struct mux_limits far = near;
	uint32_t streams[3], others[3], held;
	const struct seen *seen;
	struct pair *p;

	(void)state;
	far.shared_budget = &budget;
	p = pair_new(&near, &far);
	p->b.consume = false;
	for (unsigned i = 0; i < 3; i++) {
		streams[i] =
		    opened(p, i < 2 ? CLASS_BULK : CLASS_DEPLOY, &others[i]);
		send_bytes(&p->a, streams[i], 1, 3000 * (i + 1));
		settle(p);
	}
	assert_int_equal(mux_heaviest(p->b.m, CLASS_HEALTH, &held), 0);
	assert_int_equal(mux_heaviest(p->b.m, CLASS_BULK, &held), others[1]);
	assert_int_equal(held, 6000);
	budget.was_relieved = false;
	assert_int_equal(mux_shed(p->b.m, others[1]), RC_OK);
	assert_int_equal(mux_shed(p->b.m, others[1]), RC_STATE);
	assert_true(budget.was_relieved);
	assert_int_equal(budget.held, 12000);
	settle(p);
	seen = last_of(&p->b, MUX_BROKEN);
	assert_non_null(seen);
	assert_int_equal(seen->stream, others[1]);
	assert_int_equal(seen->reason, REASON_MEMORY);
	seen = last_of(&p->a, MUX_RESET);
	assert_non_null(seen);
	assert_int_equal(seen->stream, streams[1]);
	assert_memory_equal(seen->data, "RESET memory", seen->len);
	assert_int_equal(mux_shed(p->b.m, others[1]), RC_NOTFOUND);
	/* What was under way to it harms nobody. */
	assert_int_equal(mux_heaviest(p->b.m, CLASS_BULK, &held), others[0]);
	assert_null(mux_failure(p->b.m));
	pair_free(p);
}

static void test_windows_shrink_while_too_much_stays(void **state)
{
	struct mux_budget budget = { .bytes = SHARED };
	const struct mux_limits near = usual_limits();
	struct mux_limits far = near;
	uint32_t stream, other;
	struct pair *p;

	(void)state;
	far.shared_budget = &budget;
	p = pair_new(&near, &far);
	stream = opened(p, CLASS_HEALTH, &other);
	mux_set_rtt(p->b.m, 20000);
	assert_true(grow(p, stream, 1000, 100) > SHARED / 4);
	budget.held += 2ull * SHARED; /* another link's */
	assert_int_equal(grow(p, stream, 1000, 100), 0);
	budget.held -= 2ull * SHARED;
	pair_free(p);
	assert_int_equal(budget.held, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_all_links_grant_fits_one_budget),
		cmocka_unit_test(test_when_it_is_overdrawn_windows_shrink),
		cmocka_unit_test(test_credit_with_accept_is_within_it_too),
		cmocka_unit_test(test_what_stays_counts_from_the_first_byte),
		cmocka_unit_test(test_who_holds_most_of_a_class_is_shed),
		cmocka_unit_test(test_windows_shrink_while_too_much_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * When machines are checked, and how many at once, with a clock and a chance
 * of our own.
 */
#include "server/dispatch/checks.h"
#include "server/dispatch/pace.h"

#include "test/support/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MANY     10000
#define INTERVAL 300000
#define FIRST    30000
#define SOON     500

/* --- When ------------------------------------------------------------------
 */

struct world {
	struct checks_random random; /* first */
	uint64_t state;
	struct checks checks;
	struct check *all;
	size_t count;
};

static uint64_t below(struct checks_random *self, uint64_t bound)
{
	struct world *w = (struct world *)self;

	w->state = w->state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (w->state >> 33) % bound;
}

static struct world *world_new(size_t count, bool known)
{
	const struct checks_limits limits = {
		.interval_ms = INTERVAL, .first_ms = FIRST, .soon_ms = SOON
	};
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->random.below = below;
	w->state = 42;
	w->count = count;
	w->all = calloc(count, sizeof(*w->all));
	assert_non_null(w->all);
	assert_int_equal(checks_init(&w->checks, &limits, &w->random), RC_OK);
	for (size_t i = 0; i < count; i++) {
		char id[STORE_ID_SIZE];

		(void)snprintf(id, sizeof(id), "%032zx", i);
		assert_int_equal(
		    checks_add(&w->checks, &w->all[i], id, known, 0), RC_OK);
	}
	return w;
}

static void world_free(struct world *w)
{
	for (size_t i = 0; i < w->count; i++)
		checks_remove(&w->checks, &w->all[i]);
	assert_int_equal(checks_next_ms(&w->checks), UINT64_MAX);
	checks_fini(&w->checks);
	free(w->all);
	free(w);
}

/* All that are due by then, answered at once; how many. */
static size_t run_until(struct world *w, uint64_t until_ms)
{
	struct check *check;
	uint64_t now_ms;
	size_t n = 0;

	while ((now_ms = checks_next_ms(&w->checks)) <= until_ms) {
		check = checks_take(&w->checks, now_ms);
		assert_non_null(check);
		checks_done(&w->checks, check, now_ms);
		n++;
	}
	return n;
}

static void test_each_is_checked_once_in_each_interval(void **state)
{
	struct world *w = world_new(MANY, true);
	static uint64_t last[MANY];
	static unsigned rounds[MANY];
	uint64_t now_ms;

	(void)state;
	while ((now_ms = checks_next_ms(&w->checks)) <= 5 * INTERVAL) {
		struct check *check = checks_take(&w->checks, now_ms);
		size_t i = (size_t)(check - w->all);

		if (rounds[i]++ > 0)
			assert_in_range(
			    now_ms - last[i], INTERVAL * 9 / 10, INTERVAL);
		else
			assert_in_range(now_ms, 0, FIRST);
		last[i] = now_ms;
		checks_done(&w->checks, check, now_ms);
	}
	for (size_t i = 0; i < MANY; i++)
		assert_in_range(rounds[i], 5, 6);
	world_free(w);
}

/* The most in any second, once they have had time to drift apart. */
static void test_checks_of_a_fleet_are_spread(void **state)
{
	struct world *w = world_new(MANY, true);
	size_t most = 0;

	(void)state;
	(void)run_until(w, 40ULL * INTERVAL);
	for (uint64_t s = 1; s <= INTERVAL / 1000; s++) {
		size_t n = run_until(w, 40ULL * INTERVAL + s * 1000);

		most = n > most ? n : most;
	}
	/* Evenly, it is 33 a second, and all at once 10,000. */
	assert_in_range(most, 34, 120);
	world_free(w);
}

static void test_those_that_came_back_together_do_not_stay_together(
    void **state)
{
	struct world *w = world_new(MANY, true);
	size_t most = 0, n;
	uint64_t now_ms;

	(void)state;
	(void)run_until(w, INTERVAL);
	for (size_t i = 0; i < MANY; i++)
		checks_soon(&w->checks, &w->all[i], INTERVAL);
	assert_int_equal(run_until(w, INTERVAL + SOON), MANY);
	for (uint64_t s = 1; s <= INTERVAL / 1000; s++) {
		now_ms = INTERVAL + SOON + s * 1000;
		n = run_until(w, now_ms);
		most = n > most ? n : most;
		if (s < INTERVAL / 2000 - 1)
			assert_int_equal(n, 0);
	}
	assert_in_range(most, 60, 140);
	world_free(w);
}

static void test_who_comes_back_is_checked_once_and_soon(void **state)
{
	struct world *w = world_new(2, true);

	(void)state;
	(void)run_until(w, FIRST);
	for (unsigned i = 0; i < 10; i++)
		checks_soon(&w->checks, &w->all[1], FIRST);
	assert_int_equal(run_until(w, FIRST + SOON), 1);
	assert_int_equal(run_until(w, INTERVAL / 2), 0);
	world_free(w);
}

static void test_who_comes_and_goes_is_not_checked_all_the_time(void **state)
{
	struct world *w = world_new(1, true);
	uint64_t now = FIRST;
	unsigned checks = 0;

	(void)state;
	w->checks.limits.again_ms = 2000;
	/* It comes back each 50 ms, and its check takes 10. */
	for (; now < FIRST + 60000; now += 50) {
		struct check *check;

		checks_soon(&w->checks, &w->all[0], now);
		check = checks_take(&w->checks, now);
		if (check == NULL)
			continue;
		checks++;
		checks_soon(&w->checks, check, now + 5);
		checks_done(&w->checks, check, now + 10);
	}
	assert_in_range(checks, 60000 / (2000 + SOON), 1 + 60000 / 2000);
	world_free(w);
}

static void test_a_check_in_vain_is_repeated_soon(void **state)
{
	struct world *w = world_new(1, false);
	struct check *check;

	(void)state;
	w->checks.limits.retry_ms = 10000;
	check = checks_take(&w->checks, SOON);
	checks_failed(&w->checks, check, 1000);
	assert_in_range(checks_next_ms(&w->checks), 6000, 11000);
	/* It came back meanwhile: sooner. */
	check = checks_take(&w->checks, 11000);
	checks_soon(&w->checks, check, 11500);
	checks_failed(&w->checks, check, 12000);
	assert_in_range(checks_next_ms(&w->checks), 12000, 12000 + SOON);
	world_free(w);
}

static void test_who_comes_back_during_its_check_is_checked_again(void **state)
{
	struct world *w = world_new(1, false);
	struct check *check;

	(void)state;
	check = checks_take(&w->checks, SOON);
	assert_ptr_equal(check, &w->all[0]);
	checks_soon(&w->checks, check, 1000);
	assert_null(checks_take(&w->checks, 2000));
	checks_done(&w->checks, check, 2000);
	assert_in_range(checks_next_ms(&w->checks), 2000, 2000 + SOON);
	check = checks_take(&w->checks, 2000 + SOON);
	assert_ptr_equal(check, &w->all[0]);
	checks_done(&w->checks, check, 3000);
	assert_true(checks_next_ms(&w->checks) > INTERVAL / 2);
	world_free(w);
}

static void test_a_check_slower_than_the_interval_is_not_missed(void **state)
{
	struct world *w = world_new(1, true);
	struct check *check = checks_take(&w->checks, FIRST);

	(void)state;
	assert_ptr_equal(check, &w->all[0]);
	checks_done(&w->checks, check, 3 * INTERVAL);
	assert_in_range(
	    checks_next_ms(&w->checks), 3 * INTERVAL, 3 * INTERVAL + SOON);
	world_free(w);
}

static void test_any_may_be_removed_at_any_time(void **state)
{
	struct world *w = world_new(100, true);
	struct check *check;
	uint64_t last = 0;

	(void)state;
	check = checks_take(&w->checks, FIRST);
	for (size_t i = 0; i < 100; i += 2)
		checks_remove(&w->checks, &w->all[i]);
	for (size_t i = 1; i < 100; i += 2)
		assert_ptr_equal(
		    checks_find(&w->checks, w->all[i].id), &w->all[i].item);
	if ((check - w->all) % 2 == 1)
		checks_done(&w->checks, check, FIRST);
	for (unsigned i = 0; i < 50; i++) {
		uint64_t due_ms = checks_next_ms(&w->checks);

		assert_true(due_ms >= last);
		last = due_ms;
		check = checks_take(&w->checks, due_ms);
		assert_int_equal((check - w->all) % 2, 1);
	}
	assert_int_equal(checks_next_ms(&w->checks), UINT64_MAX);
	for (size_t i = 1; i < 100; i += 2)
		checks_remove(&w->checks, &w->all[i]);
	w->count = 0;
	world_free(w);
}

static void test_without_memory_a_check_is_not_added(void **state)
{
	struct world *w = world_new(64, true);
	struct check more = { .place = 0 };

	(void)state;
	alloc_fail_at(0);
	assert_int_equal(checks_add(&w->checks, &more, "x", true, 0), RC_NOMEM);
	alloc_never_fail();
	assert_null(checks_find(&w->checks, "x"));
	world_free(w);
}

/* --- How many --------------------------------------------------------------
 */

static struct pace *pace_of(uint32_t total, uint32_t per_hop)
{
	const struct pace_limits limits = { .total = total,
		.per_hop = per_hop };
	struct pace *p;

	assert_int_equal(pace_new(&limits, &p), RC_OK);
	return p;
}

static void enter(struct pace *p, struct pace_item *items, size_t count,
    const char *hop, enum pace_class class)
{
	for (size_t i = 0; i < count; i++)
		assert_int_equal(pace_enter(p, &items[i], hop, class), RC_OK);
}

static size_t count_state(
    const struct pace_item *items, size_t count, enum pace_state wanted)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		n += items[i].state == wanted;
	return n;
}

static size_t grant_all(struct pace *p)
{
	size_t n = 0;

	while (pace_next(p) != NULL)
		n++;
	return n;
}

static void leave_all(struct pace *p, struct pace_item *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		pace_leave(p, &items[i]);
}

static void test_no_relay_and_no_server_has_more_than_its_budget(void **state)
{
	struct pace *p = pace_of(10, 4);
	static struct pace_item a[100], b[100], c[100];

	(void)state;
	enter(p, a, 100, "dc2-a", PACE_PLANNED);
	assert_int_equal(grant_all(p), 4);
	enter(p, b, 100, "dc2-b", PACE_ASKED);
	enter(p, c, 100, "", PACE_PLANNED);
	assert_int_equal(grant_all(p), 6);
	assert_int_equal(pace_running(p), 10);
	assert_int_equal(count_state(a, 100, PACE_RUNNING), 4);
	assert_int_equal(count_state(b, 100, PACE_RUNNING), 3);
	assert_int_equal(count_state(c, 100, PACE_RUNNING), 3);
	/* What ends at one relay makes room there, in order. */
	pace_leave(p, &a[0]);
	pace_leave(p, &a[1]);
	assert_int_equal(grant_all(p), 2);
	leave_all(p, a, 100);
	leave_all(p, b, 100);
	leave_all(p, c, 100);
	assert_int_equal(pace_running(p), 0);
	pace_free(p);
}

static void test_a_site_of_thousands_does_not_keep_one_of_ten_waiting(
    void **state)
{
	struct pace *p = pace_of(8, 8);
	static struct pace_item big[MANY], small[10];
	size_t grants = 0;

	(void)state;
	enter(p, big, MANY, "big", PACE_PLANNED);
	enter(p, small, 10, "small", PACE_PLANNED);
	while (count_state(small, 10, PACE_WAITING) > 0) {
		struct pace_item *item = pace_next(p);

		assert_non_null(item);
		pace_leave(p, item);
		assert_true(++grants < 30);
	}
	leave_all(p, big, MANY);
	leave_all(p, small, 10);
	pace_free(p);
}

static void test_what_is_asked_for_goes_first_but_not_for_ever(void **state)
{
	struct pace *p = pace_of(1, 1);
	static struct pace_item planned[10], asked[40];
	size_t before = 0;

	(void)state;
	enter(p, planned, 10, "dc2-a", PACE_PLANNED);
	enter(p, asked, 40, "dc2-a", PACE_ASKED);
	for (unsigned i = 0; i < 40; i++) {
		struct pace_item *item = pace_next(p);

		assert_non_null(item);
		before += item->class == PACE_PLANNED;
		if (i < 3)
			assert_int_equal(item->class, PACE_ASKED);
		pace_leave(p, item);
	}
	assert_int_equal(before, 10);
	leave_all(p, asked, 40);
	leave_all(p, planned, 10);
	pace_free(p);
}

static void test_who_does_not_want_any_more_takes_nobodys_turn(void **state)
{
	struct pace *p = pace_of(1, 1);
	static struct pace_item items[3];

	(void)state;
	enter(p, items, 3, "dc2-a", PACE_ASKED);
	pace_leave(p, &items[0]);
	pace_leave(p, &items[0]); /* twice is fine */
	assert_ptr_equal(pace_next(p), &items[1]);
	assert_null(pace_next(p));
	pace_leave(p, &items[1]);
	assert_ptr_equal(pace_next(p), &items[2]);
	pace_leave(p, &items[2]);
	pace_free(p);
}

/* Ten thousand by one relay, in rounds as long as the slowest of a round. */
static void test_a_sweep_takes_as_long_as_its_budget_says(void **state)
{
	struct pace *p = pace_of(512, 128);
	static struct pace_item items[MANY];
	size_t rounds = 0;

	(void)state;
	enter(p, items, MANY, "dc2-a", PACE_ASKED);
	while (grant_all(p) > 0) {
		assert_in_range(pace_running(p), 1, 128);
		for (size_t i = 0; i < MANY; i++) {
			if (items[i].state == PACE_RUNNING)
				pace_leave(p, &items[i]);
		}
		rounds++;
	}
	assert_int_equal(rounds, (MANY + 127) / 128);
	pace_free(p);
}

static void test_without_memory_nobody_enters(void **state)
{
	struct pace *p = pace_of(1, 1);
	struct pace_item item = { .state = PACE_OUT };

	(void)state;
	alloc_fail_at(0);
	assert_int_equal(pace_enter(p, &item, "dc2-a", PACE_ASKED), RC_NOMEM);
	alloc_never_fail();
	assert_int_equal(item.state, PACE_OUT);
	pace_leave(p, &item);
	pace_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_is_checked_once_in_each_interval),
		cmocka_unit_test(test_checks_of_a_fleet_are_spread),
		cmocka_unit_test(
		    test_those_that_came_back_together_do_not_stay_together),
		cmocka_unit_test(test_a_check_in_vain_is_repeated_soon),
		cmocka_unit_test(test_who_comes_back_is_checked_once_and_soon),
		cmocka_unit_test(
		    test_who_comes_and_goes_is_not_checked_all_the_time),
		cmocka_unit_test(
		    test_who_comes_back_during_its_check_is_checked_again),
		cmocka_unit_test(
		    test_a_check_slower_than_the_interval_is_not_missed),
		cmocka_unit_test(test_any_may_be_removed_at_any_time),
		cmocka_unit_test(test_without_memory_a_check_is_not_added),
		cmocka_unit_test(
		    test_no_relay_and_no_server_has_more_than_its_budget),
		cmocka_unit_test(
		    test_a_site_of_thousands_does_not_keep_one_of_ten_waiting),
		cmocka_unit_test(
		    test_what_is_asked_for_goes_first_but_not_for_ever),
		cmocka_unit_test(
		    test_who_does_not_want_any_more_takes_nobodys_turn),
		cmocka_unit_test(test_a_sweep_takes_as_long_as_its_budget_says),
		cmocka_unit_test(test_without_memory_nobody_enters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

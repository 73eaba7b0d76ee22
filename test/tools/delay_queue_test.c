#include "test/tools/delay_queue.h"

#include "test/support/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct delay_queue *queue(const struct delay_rules *rules)
{
	struct delay_queue *q;

	assert_int_equal(delay_queue_new(rules, &q), RC_OK);
	return q;
}

static void push(struct delay_queue *q, uint8_t id, size_t len, uint64_t now)
{
	uint8_t packet[1500] = { id };

	assert_int_equal(delay_queue_push(q, packet, len, now), RC_OK);
}

/* The id of the packet that comes out, or -1. */
static int pop(struct delay_queue *q, uint64_t now)
{
	size_t len;
	const uint8_t *packet = delay_queue_pop(q, now, &len);

	return packet != NULL ? packet[0] : -1;
}

static void test_a_packet_comes_out_after_the_delay(void **state)
{
	const struct delay_rules rules = { .delay_us = 50000 };
	struct delay_queue *q = queue(&rules);

	(void)state;
	assert_int_equal(pop(q, UINT64_MAX), -1);
	push(q, 7, 100, 1000);
	push(q, 8, 100, 1000);
	assert_int_equal(delay_queue_next_us(q), 51000);
	assert_int_equal(pop(q, 50999), -1);
	assert_int_equal(pop(q, 51000), 7);
	assert_int_equal(pop(q, 51000), 8);
	assert_int_equal(pop(q, 51000), -1);
	delay_queue_free(q);
}

static void test_jitter_keeps_the_order_and_reordering_does_not(void **state)
{
	struct delay_rules rules = {
		.delay_us = 1000, .jitter_us = 5000, .seed = 4
	};
	struct delay_queue *q = queue(&rules);
	int last = -1, behind = 0;

	(void)state;
	for (uint8_t i = 0; i < 100; i++)
		push(q, i, 100, (uint64_t)i * 100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(pop(q, 1000000), i);
	delay_queue_free(q);
	rules.reorder_ppm = 200000;
	q = queue(&rules);
	for (uint8_t i = 0; i < 100; i++)
		push(q, i, 100, (uint64_t)i * 100);
	for (int i = 0; i < 100; i++) {
		int id = pop(q, 1000000);

		behind += id < last;
		last = id;
	}
	assert_in_range(behind, 5, 40);
	delay_queue_free(q);
}

static void test_the_rate_spreads_packets_and_a_full_queue_drops(void **state)
{
	const struct delay_rules rules = { .rate = 1000000,
		.queue_bytes = 10000 };
	struct delay_queue *q = queue(&rules);
	struct delay_stats stats;

	(void)state;
	for (uint8_t i = 0; i < 20; i++)
		push(q, i, 1000, 0);
	delay_queue_stats(q, &stats);
	assert_int_equal(stats.dropped, 10);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(
		    delay_queue_next_us(q), (uint64_t)(i + 1) * 1000);
		assert_int_equal(pop(q, (uint64_t)(i + 1) * 1000), i);
	}
	push(q, 99, 1000, 20000);
	assert_int_equal(delay_queue_next_us(q), 21000);
	delay_queue_free(q);
}

static void test_loss_is_as_told_and_the_same_for_a_seed(void **state)
{
	struct delay_rules rules = { .loss_ppm = 100000, .seed = 1 };
	struct delay_stats a, b;
	struct delay_queue *q = queue(&rules);

	(void)state;
	for (int i = 0; i < 10000; i++)
		push(q, 0, 10, 0);
	delay_queue_stats(q, &a);
	delay_queue_free(q);
	assert_in_range(a.lost, 900, 1100);
	q = queue(&rules);
	for (int i = 0; i < 10000; i++)
		push(q, 0, 10, 0);
	delay_queue_stats(q, &b);
	delay_queue_free(q);
	assert_int_equal(a.lost, b.lost);
}

static void test_a_failing_allocation_is_told_and_leaks_nothing(void **state)
{
	const struct delay_rules rules = { .delay_us = 1 };
	const uint8_t packet[10] = { 0 };
	struct delay_queue *q = queue(&rules);

	(void)state;
	for (size_t n = 0; n < 2; n++) {
		alloc_fail_at(n);
		assert_int_equal(
		    delay_queue_push(q, packet, sizeof(packet), 0), RC_NOMEM);
	}
	alloc_never_fail();
	delay_queue_free(q);
}

static void test_settings_are_read(void **state)
{
	struct delay_rules r = { 0 };

	(void)state;
	assert_int_equal(delay_rules_set(&r, "delay_us=50000"), RC_OK);
	assert_int_equal(
	    delay_rules_set(&r, "seed=18446744073709551615"), RC_OK);
	assert_int_equal(r.delay_us, 50000);
	assert_true(r.seed == UINT64_MAX);
	assert_int_equal(delay_rules_set(&r, "rate=4294967296"), RC_PROTO);
	assert_int_equal(delay_rules_set(&r, "rate=1k"), RC_PROTO);
	assert_int_equal(delay_rules_set(&r, "delay"), RC_PROTO);
	assert_int_equal(delay_rules_set(&r, "haste=1"), RC_PROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_packet_comes_out_after_the_delay),
		cmocka_unit_test(
		    test_jitter_keeps_the_order_and_reordering_does_not),
		cmocka_unit_test(
		    test_the_rate_spreads_packets_and_a_full_queue_drops),
		cmocka_unit_test(test_loss_is_as_told_and_the_same_for_a_seed),
		cmocka_unit_test(
		    test_a_failing_allocation_is_told_and_leaks_nothing),
		cmocka_unit_test(test_settings_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

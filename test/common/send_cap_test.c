/*
 * The cap against a made-up path: a bottleneck with a rate, a queue and a round
 * trip, in steps of 100 us, and a sender that always has bulk.
 */
#include "common/send_cap.h"

#include "proto/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define STEP_US  100
#define FLIGHT   8192 /* steps that acknowledgements may be under way */
#define MBIT_100 12500000u
#define GBIT     125000000u

struct path {
	struct send_cap cap;
	uint64_t now_us, rate, acked, held, queued, others, sent;
	uint32_t rtt_us, srtt_us, min_rtt_us;
	uint32_t jitter_us;        /* up to so much longer, each time another */
	uint64_t wake_us, late_us; /* we wake so much later than we want */
	uint64_t arriving[FLIGHT]; /* bytes acknowledged at a step */
	uint64_t queue_sum, looks;
	bool sends;
};

static struct path path_of(uint64_t rate, uint32_t rtt_us)
{
	struct path p = { .rate = rate, .rtt_us = rtt_us, .sends = true };

	send_cap_init(&p.cap);
	p.now_us = 5000000;
	p.min_rtt_us = p.srtt_us = rtt_us; /* of the handshake */
	return p;
}

/* Who shares the bottleneck keeps `others` bytes in its queue. */
static void step(struct path *p)
{
	uint64_t share = p->rate / ((uint64_t)1000000 / STEP_US);
	uint64_t queue = p->queued + p->others;
	uint64_t served = queue < share ? queue : share;
	uint64_t ours = queue > 0 ? served * p->queued / queue : 0;
	uint64_t delay = p->rtt_us + queue * 1000000 / p->rate;
	size_t at = (p->now_us / STEP_US) % FLIGHT;
	uint64_t arrived = p->arriving[at];
	uint32_t longer =
	    p->jitter_us > 0 ? (uint32_t)(p->now_us * 7919 % p->jitter_us) : 0;

	p->arriving[at] = 0;
	p->queued -= ours;
	delay += longer;
	p->arriving[(at + (p->rtt_us + longer) / STEP_US + 1) % FLIGHT] += ours;
	p->acked += arrived;
	p->held -= arrived;
	if (arrived > 0) {
		p->srtt_us = p->srtt_us == 0
		                 ? (uint32_t)delay
		                 : (uint32_t)((p->srtt_us * 7ull + delay) / 8);
		if (delay < p->min_rtt_us)
			p->min_rtt_us = (uint32_t)delay;
	}
	p->queue_sum += p->queued;
	p->looks++;
}

static void send_some(struct path *p)
{
	size_t room;

	if (p->srtt_us > 0 && send_cap_is_due(&p->cap, p->now_us)) {
		const struct send_sample s = { .acked = p->acked,
			.srtt_us = p->srtt_us,
			.min_rtt_us = p->min_rtt_us };

		send_cap_measure(&p->cap, p->now_us, &s);
	}
	send_cap_see(&p->cap, p->held);
	room = send_cap_room(&p->cap, p->held);
	room -= room % p->cap.frame;
	p->held += room;
	p->queued += room;
	p->sent += room;
	send_cap_note(&p->cap, p->now_us, true);
	p->wake_us =
	    p->now_us + send_cap_wait_us(&p->cap, p->held) + p->late_us;
}

static void run(struct path *p, uint32_t ms)
{
	const uint64_t end = p->now_us + (uint64_t)ms * 1000;

	p->queue_sum = p->looks = 0;
	for (; p->now_us < end; p->now_us += STEP_US) {
		step(p);
		if (p->sends && p->now_us >= p->wake_us)
			send_some(p);
	}
}

/* Of what the path can carry, in percent; and the mean delay of our own queue.
 */
static unsigned used(struct path *p, uint32_t ms)
{
	uint64_t before = p->acked;

	run(p, ms);
	return (unsigned)((p->acked - before) * 100 / (p->rate * ms / 1000));
}

static unsigned queue_us(const struct path *p)
{
	return (unsigned)(p->queue_sum / p->looks * 1000000 / p->rate);
}

static void test_a_short_path_is_full_and_its_queue_short(void **state)
{
	static const uint64_t rates[] = { MBIT_100, GBIT };

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct path p = path_of(rates[i], 500);

		run(&p, 1000);
		assert_in_range(used(&p, 2000), 95, 101);
		assert_in_range(queue_us(&p), 0, 4500);
	}
}

static void test_a_long_path_is_full_after_few_round_trips(void **state)
{
	struct path p = path_of(MBIT_100, 80000);

	(void)state;
	run(&p, 3000);
	assert_in_range(used(&p, 2000), 98, 101);
	assert_in_range(queue_us(&p), 0, 30000);
}

static void test_a_long_path_is_filled_soon(void **state)
{
	struct path p = path_of(MBIT_100, 80000);

	(void)state;
	assert_in_range(used(&p, 2000), 45, 101);
}

static void test_round_trips_that_differ_do_not_starve_us(void **state)
{
	struct path p = path_of(MBIT_100, 10000);

	(void)state;
	p.jitter_us = 6000;
	run(&p, 3000);
	assert_in_range(used(&p, 5000), 95, 101);
	assert_in_range(queue_us(&p), 0, 10000);
	/* More than what is planned for. */
	p.jitter_us = 20000;
	run(&p, 10000);
	assert_in_range(used(&p, 5000), 80, 101);
}

/* Frames are cut, and still they take 20 ms: no reason to queue more. */
static void test_a_slow_path_is_not_taken_for_a_long_one(void **state)
{
	struct path p = path_of(1000000, 500);

	(void)state;
	for (int i = 0; i < 6; i++) {
		assert_in_range(used(&p, 10000), 95, 101);
		assert_in_range(queue_us(&p), 0, 24000);
	}
}

static void test_a_path_that_becomes_slower_or_faster_is_followed(void **state)
{
	struct path p = path_of(GBIT, 500);

	(void)state;
	run(&p, 2000);
	p.rate = MBIT_100;
	run(&p, 300);
	assert_in_range(used(&p, 1000), 95, 101);
	assert_in_range(queue_us(&p), 0, 4500);
	p.rate = GBIT;
	run(&p, 500);
	assert_in_range(used(&p, 1000), 95, 101);
}

/* On a busy machine.  When that is over the queue is short again. */
static void test_who_is_woken_late_does_not_starve_himself(void **state)
{
	struct path p = path_of(GBIT, 500);

	(void)state;
	p.late_us = 3000;
	run(&p, 2000);
	assert_in_range(used(&p, 2000), 80, 101);
	p.late_us = 0;
	run(&p, 2000);
	assert_in_range(used(&p, 2000), 95, 101);
	assert_in_range(queue_us(&p), 0, 4500);
}

/* The least round trip that the kernel knows is of the old route. */
static void test_a_route_that_becomes_longer_does_not_starve_us(void **state)
{
	struct path p = path_of(MBIT_100, 1000);

	(void)state;
	run(&p, 2000);
	p.rtt_us = 80000;
	run(&p, 6000);
	assert_in_range(used(&p, 5000), 80, 101);
	p.rtt_us = 1000;
	run(&p, 15000);
	assert_in_range(used(&p, 2000), 95, 101);
	assert_in_range(queue_us(&p), 0, 5000);
}

static void test_others_in_the_queue_do_not_starve_us(void **state)
{
	struct path p = path_of(MBIT_100, 1000);

	(void)state;
	run(&p, 2000);
	p.others = 500000;
	assert_in_range(used(&p, 500), 5, 20);
	run(&p, 15000);
	for (int i = 0; i < 10; i++)
		assert_in_range(used(&p, 4000), 35, 101);
	/* When they are gone the queue would be ours: it ends too. */
	p.others = 0;
	run(&p, 15000);
	assert_in_range(used(&p, 2000), 95, 101);
	assert_in_range(queue_us(&p), 0, 5000);
}

static void test_a_time_without_bulk_tells_nothing(void **state)
{
	struct path p = path_of(GBIT, 2000);
	uint64_t rate;

	(void)state;
	run(&p, 2000);
	rate = p.cap.rate;
	for (int i = 0; i < 100; i++) {
		send_cap_note(&p.cap, p.now_us, false);
		p.sends = false;
		run(&p, 50);
		p.sends = true;
		run(&p, 1);
	}
	assert_int_equal(p.cap.rate, rate);
}

static void test_a_full_connection_says_when_to_come_again(void **state)
{
	struct send_cap c;

	(void)state;
	send_cap_init(&c);
	assert_int_equal(send_cap_room(&c, 0), c.limit);
	assert_int_equal(
	    send_cap_room(&c, c.limit - FRAME_LEN_MAX), FRAME_LEN_MAX);
	assert_int_equal(send_cap_room(&c, c.limit - FRAME_LEN_MAX + 1), 0);
	assert_int_equal(send_cap_room(&c, c.limit + 1), 0);
	assert_int_equal(send_cap_room(&c, SIZE_MAX), 0);
	assert_int_equal(send_cap_wait_us(&c, c.limit), 250);
	c.rate = MBIT_100;
	assert_int_equal(send_cap_wait_us(&c, 0), 100);
	assert_int_equal(send_cap_wait_us(&c, c.limit),
	    FRAME_LEN_MAX * 1000000ull / MBIT_100);
	assert_int_equal(send_cap_wait_us(&c, 10 * c.limit), 5000);
}

/* A kernel that says anything at all makes no limit out of bounds. */
static void test_wild_samples_keep_the_limit_in_bounds(void **state)
{
	struct send_cap c;
	uint64_t now = 1, x = 1;

	(void)state;
	send_cap_init(&c);
	for (int i = 0; i < 100000; i++) {
		struct send_sample s;

		x = x * 6364136223846793005u + 1442695040888963407u;
		s.acked = i % 7 == 0 ? x : x >> 40;
		s.srtt_us = (uint32_t)(x >> (i % 40));
		s.min_rtt_us = (uint32_t)(x >> (i % 33));
		now += x >> (44 + i % 16);
		send_cap_measure(&c, now, &s);
		send_cap_note(&c, now, x % 3 != 0);
		assert_in_range(c.limit, 8 << 10, 8 << 20);
		assert_in_range(c.frame, 1024, FRAME_LEN_MAX);
		assert_in_range(
		    send_cap_wait_us(&c, (size_t)(x >> 40)), 100, 5000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_short_path_is_full_and_its_queue_short),
		cmocka_unit_test(
		    test_a_long_path_is_full_after_few_round_trips),
		cmocka_unit_test(test_a_long_path_is_filled_soon),
		cmocka_unit_test(test_a_slow_path_is_not_taken_for_a_long_one),
		cmocka_unit_test(
		    test_a_path_that_becomes_slower_or_faster_is_followed),
		cmocka_unit_test(test_round_trips_that_differ_do_not_starve_us),
		cmocka_unit_test(
		    test_who_is_woken_late_does_not_starve_himself),
		cmocka_unit_test(
		    test_a_route_that_becomes_longer_does_not_starve_us),
		cmocka_unit_test(test_others_in_the_queue_do_not_starve_us),
		cmocka_unit_test(test_a_time_without_bulk_tells_nothing),
		cmocka_unit_test(
		    test_a_full_connection_says_when_to_come_again),
		cmocka_unit_test(test_wild_samples_keep_the_limit_in_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

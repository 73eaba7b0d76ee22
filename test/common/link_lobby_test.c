/*
 * Connections that wait for room for their handshake: a fleet that returns at
 * once is let in one after the other, and nobody waits for ever.
 */
#include "test/support/link_world.h"

#include "common/link_internal.h"

#define FLEET 12

static bool all_are_in(struct world *w)
{
	assert_true(w->far.net->handshakes <= w->config.handshakes_max);
	return w->far.ups == FLEET && w->near.ups == FLEET;
}

static void test_a_fleet_that_returns_at_once_is_let_in_in_turn(void **state)
{
	const struct fault bye = { .code = REASON_DRAINING };
	struct dialler *fleet[FLEET];
	struct world w;

	(void)state;
	world_new(&w);
	w.config.handshakes_max = 2;
	relay_and_machine(&w);
	for (unsigned i = 0; i < FLEET; i++) {
		dial_to(&w, listener_address(w.listener),
		    TRUST_ROLE(ROLE_RELAY), "dc2-a");
		fleet[i] = w.dialler;
	}
	w.dialler = NULL;
	run_until(&w, all_are_in);
	/* Nobody was sent away, to come again later. */
	for (unsigned i = 0; i < FLEET; i++) {
		assert_int_equal(dial_failures(fleet[i]), 0);
		dial_free(fleet[i], &bye);
	}
	assert_int_equal(w.far.net->guest_count, 0);
	world_free(&w);
}

static bool four_wait(struct world *w)
{
	return w->far.net->guest_count == 4;
}

static bool three_wait(struct world *w)
{
	return w->far.net->guest_count == 3;
}

static bool one_pending(struct world *w)
{
	return w->far.net->handshakes == 1;
}

static void test_one_address_does_not_take_all_the_room_to_wait(void **state)
{
	struct world w;
	int held[5];

	(void)state;
	world_new(&w);
	w.config.handshakes_max = 1;
	w.config.waiting_max = 4;
	w.config.handshake_ms = 600000;
	relay_and_machine(&w);
	poll_too(&w);
	held[0] = connect_raw(&w, "127.0.0.2");
	run_until(&w, one_pending);
	for (unsigned i = 1; i < 4; i++)
		held[i] = connect_raw(&w, "127.0.0.2");
	run_until(&w, three_wait);
	w.raw = connect_raw(&w, "127.0.0.2");
	run_until(&w, raw_was_closed);
	held[4] = connect_raw(&w, "127.0.0.3");
	run_until(&w, four_wait);
	/* Now it is full for everybody. */
	(void)close(w.raw);
	w.raw_closed = false;
	w.raw = connect_raw(&w, "127.0.0.4");
	run_until(&w, raw_was_closed);
	for (unsigned i = 0; i < 5; i++)
		(void)close(held[i]);
	world_free(&w);
}

static bool was_sent_away(struct world *w)
{
	return w->raw_closed && w->far.downs == 0;
}

/* While the one that is at it is not slow enough to give way. */
static void test_who_waits_too_long_is_sent_away(void **state)
{
	struct world w;
	int held;

	(void)state;
	world_new(&w);
	w.config.handshakes_max = 1;
	w.config.handshake_ms = 600000;
	relay_and_machine(&w);
	poll_too(&w);
	held = connect_raw(&w, "127.0.0.2");
	run_until(&w, one_pending);
	TAILQ_FIRST(&w.far.net->pending)->awaited_us += 1000000000;
	w.config.handshake_ms = 20;
	w.raw = connect_raw(&w, "127.0.0.3");
	run_until(&w, was_sent_away);
	assert_int_equal(w.far.net->guest_count, 0);
	(void)close(held);
	world_free(&w);
}

static bool one_waits(struct world *w)
{
	return w->far.net->guest_count == 1;
}

static void test_those_that_wait_end_with_the_program(void **state)
{
	struct world w;
	int held[2];

	(void)state;
	world_new(&w);
	w.config.handshakes_max = 1;
	w.config.waiting_max = 3;
	w.config.handshake_ms = 600000;
	relay_and_machine(&w);
	poll_too(&w);
	held[0] = connect_raw(&w, "127.0.0.2");
	run_until(&w, one_pending);
	held[1] = connect_raw(&w, "127.0.0.2");
	run_until(&w, one_waits);
	world_free(&w);
	(void)close(held[0]);
	(void)close(held[1]);
}

struct farewell {
	bool over;
	uint32_t retry_ms;
};

static struct farewell farewell;

static void on_farewell(void *arg, struct link *link, const struct fault *fault)
{
	struct farewell *f = arg;

	(void)fault;
	f->retry_ms = link_retry_ms(link);
	f->over = true;
}

static bool has_said_farewell(struct world *w)
{
	(void)w;
	return farewell.over;
}

static void test_a_program_that_leaves_says_when_to_come_back(void **state)
{
	struct fault bye;
	struct world w;

	(void)state;
	world_new(&w);
	relay_and_machine(&w);
	poll_too(&w);
	dial_to(
	    &w, listener_address(w.listener), TRUST_ROLE(ROLE_RELAY), "dc2-a");
	run_until(&w, both_up);
	link_on_down(dial_take_link(w.dialler), on_farewell, &farewell);
	link_net_leaving(w.far.net);
	fault_set(&bye, REASON_DRAINING, "far", "shutting down");
	link_close(w.far.up, &bye);
	run_until(&w, has_said_farewell);
	assert_in_range(farewell.retry_ms, 100, 10000);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_a_fleet_that_returns_at_once_is_let_in_in_turn),
		cmocka_unit_test(
		    test_one_address_does_not_take_all_the_room_to_wait),
		cmocka_unit_test(test_who_waits_too_long_is_sent_away),
		cmocka_unit_test(test_those_that_wait_end_with_the_program),
		cmocka_unit_test(
		    test_a_program_that_leaves_says_when_to_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * How links end, what strangers may do, and who is dialled again when: with two
 * nets on one loop.
 */
#include "test/support/link_world.h"

#include "common/link_internal.h"
#include "proto/mux_internal.h"

#include <semaphore.h>

static void start(struct world *w)
{
	listen_far(w, &w->pki, ROLE_RELAY, "dc2-a");
	side_new(w, &w->near, &w->pki,
	    pki_identity(&w->pki, ROLE_TENTACLE, MACHINE), "near");
	dial_to(
	    w, listener_address(w->listener), TRUST_ROLE(ROLE_RELAY), "dc2-a");
}

static void test_a_drained_link_without_streams_ends(void **state)
{
	struct world w;
	const struct fault why = { .code = REASON_DRAINING, .text = "bye" };

	(void)state;
	world_new(&w);
	start(&w);
	run_until(&w, both_up);
	link_drain(w.near.up, &why);
	assert_int_equal(w.near.downs, 1);
	assert_int_equal(w.near.down.code, REASON_DRAINING);
	world_free(&w);
}

struct user {
	struct stream_user base;
	struct user *other;
	uint32_t stream;
	unsigned events;
};

static void on_user(
    struct stream_user *base, struct link *link, const struct mux_event *event)
{
	struct user *u = (struct user *)base;
	const struct fault why = { .code = REASON_INTERNAL };

	u->events++;
	assert_int_equal(event->type, MUX_BROKEN);
	/* Whoever owns both may free the other one after this. */
	link_reset(link, u->other->stream, &why, true);
}

static void test_a_stream_that_its_user_reset_says_nothing_more(void **state)
{
	struct world w;
	struct user a = { .base.event = on_user }, b = a;
	const struct msg_open open = {
		.kind = KIND_SEAL,
		.to = { .kind = TARGET_RELAY, .name = "dc2-a" },
		.service_class = CLASS_HEALTH,
		.deadline_ms = 1000,
	};
	const struct fault why = { .code = REASON_DRAINING };

	(void)state;
	world_new(&w);
	start(&w);
	a.other = &b;
	b.other = &a;
	run_until(&w, both_up);
	assert_int_equal(
	    link_open(w.near.up, &open, &a.base, &a.stream), RC_OK);
	assert_int_equal(
	    link_open(w.near.up, &open, &b.base, &b.stream), RC_OK);
	link_close(w.near.up, &why);
	assert_int_equal(a.events + b.events, 1);
	world_free(&w);
}

static bool ping_waits(struct world *w)
{
	return w->near.up->ping_waits;
}

/* It said something after our PING, and then nothing any more. */
static void test_a_peer_that_stops_after_a_late_byte_is_given_up(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	w.config.ping_idle_ms = w.config.ping_busy_ms = 40;
	w.config.dead_ms = 100;
	start(&w);
	poll_too(&w);
	run_until(&w, both_up);
	loop_timer_stop(w.far.up->timer);
	loop_io_want(w.far.up->io, 0);
	run_until(&w, ping_waits);
	w.near.up->last_recv_us = w.near.up->ping_sent_us + 1;
	run_until(&w, near_down);
	assert_int_equal(w.near.down.code, REASON_RELAY_DOWN);
	assert_non_null(strstr(w.near.down.text, "relay dc2-a: no answer"));
	assert_non_null(strstr(w.near.down.text, "127.0.0.1:"));
	world_free(&w);
}

static void test_a_mux_that_died_of_its_own_queue_takes_its_link_along(
    void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	start(&w);
	run_until(&w, both_up);
	mux_kill(w.near.up->mux, "the peer does not read our answers");
	link_kick(w.near.up);
	run_until(&w, near_down);
	assert_non_null(strstr(w.near.down.text, "does not read"));
	world_free(&w);
}

/* --- Strangers ------------------------------------------------------------ */

static void start_stranger(struct world *w)
{
	listen_far(w, &w->pki, ROLE_RELAY, "dc2-a");
	side_new_stranger(w);
	dial_to(
	    w, listener_address(w->listener), TRUST_ROLE(ROLE_RELAY), "dc2-a");
}

static void test_strangers_are_few(void **state)
{
	struct world w;
	struct dialler *first;

	(void)state;
	world_new(&w);
	w.config.anonymous_max = 1;
	start_stranger(&w);
	run_until(&w, both_up);
	first = w.dialler;
	dial_to(
	    &w, listener_address(w.listener), TRUST_ROLE(ROLE_RELAY), "dc2-a");
	run_until(&w, near_down);
	assert_int_equal(w.near.down.code, REASON_TOO_MANY);
	assert_non_null(w.near.up);
	dial_free(first, &w.near.down);
	/* Its place is free again. */
	run_until(&w, again_up);
	world_free(&w);
}

static bool two_answered(struct world *w)
{
	return w->opened + w->resets >= 2;
}

static void on_reset(
    struct stream_user *base, struct link *link, const struct mux_event *event)
{
	struct user *u = (struct user *)base;
	struct world *w = (struct world *)(void *)u->other;
	struct fault fault;
	bool done;

	if (event->type != MUX_RESET)
		return;
	link_stream_fault(link, event, &fault, &done);
	assert_int_equal(fault.code, REASON_NOT_PERMITTED);
	w->resets++;
	check(w);
}

static void test_a_stranger_opens_one_enrolment_and_no_more(void **state)
{
	struct world w;
	struct user u = { .base.event = on_reset };
	const struct msg_open open = {
		.kind = KIND_ENROL,
		.to = { .kind = TARGET_SERVER },
		.service_class = CLASS_HEALTH,
		.deadline_ms = 1000,
	};

	(void)state;
	world_new(&w);
	start_stranger(&w);
	u.other = (struct user *)(void *)&w;
	run_until(&w, both_up);
	for (int i = 0; i < 2; i++)
		assert_int_equal(
		    link_open(w.near.up, &open, &u.base, &u.stream), RC_OK);
	run_until(&w, two_answered);
	assert_int_equal(w.opened, 1);
	assert_int_equal(w.resets, 1);
	world_free(&w);
}

static void test_strangers_at_the_door_do_not_keep_us_from_dialling(
    void **state)
{
	const struct config_endpoint any = { .host = "127.0.0.1" };
	struct listener *door, *far;
	struct fault fault;
	struct world w;

	(void)state;
	world_new(&w);
	w.config.handshakes_max = 1;
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-a");
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	assert_int_equal(listener_new(w.near.net, &any, &door, &fault), RC_OK);
	far = w.listener;
	w.listener = door;
	dial_raw(&w); /* and says nothing */
	w.listener = far;
	dial_to(&w, listener_address(far), TRUST_ROLE(ROLE_RELAY), "dc2-a");
	run_until(&w, both_up);
	listener_free(door);
	world_free(&w);
}

/* --- Dialling ------------------------------------------------------------- */

static void block(void *arg)
{
	(void)sem_wait(arg);
}

static void unblocked(void *arg)
{
	(void)arg;
}

static void test_a_dial_that_finds_no_worker_is_tried_again(void **state)
{
	struct world w;
	sem_t sem;

	(void)state;
	world_new(&w);
	assert_int_equal(sem_init(&sem, 0, 0), 0);
	worker_pool_free(w.pool);
	assert_int_equal(worker_pool_new(w.loop, 1, 1, &w.pool), RC_OK);
	start(&w);
	/* One runs, one waits: the queue is full. */
	assert_int_equal(worker_submit(w.pool, block, unblocked, &sem), RC_OK);
	/* Also after the worker has taken the first one. */
	for (int i = 0; i < 20; i++) {
		while (worker_submit(w.pool, block, unblocked, &sem) == RC_OK)
			;
		(void)usleep(5000);
	}
	poll_too(&w);
	run_until(&w, dial_failed);
	assert_null(dial_link(w.dialler));
	assert_int_equal(w.near.downs, 0);
	for (int i = 0; i < 100; i++)
		(void)sem_post(&sem);
	run_until(&w, both_up);
	world_free(&w);
	(void)sem_destroy(&sem);
}

static void stop(void *arg)
{
	loop_stop(arg);
}

static bool throw_out(struct world *w)
{
	const struct fault why = { .code = REASON_CLONE, .text = "not you" };

	if (w->far.up != NULL)
		link_close(w->far.up, &why);
	return false;
}

static void test_who_is_thrown_out_at_once_comes_back_ever_later(void **state)
{
	struct loop_timer *second;
	struct world w;

	(void)state;
	world_new(&w);
	w.config.backoff_min_ms = 10;
	w.config.backoff_max_ms = 60000;
	start(&w);
	w.until = throw_out;
	assert_int_equal(loop_timer_new(w.loop, stop, w.loop, &second), RC_OK);
	loop_timer_set(second, 1000);
	loop_run(w.loop);
	assert_in_range(w.near.ups, 1, 20);
	loop_timer_free(second);
	world_free(&w);
}

static void test_another_address_is_tried_when_somebody_else_answers(
    void **state)
{
	const struct config_endpoint any = { .host = "127.0.0.1" };
	struct endpoint to[2];
	struct listener *wrong;
	struct side stranger = { 0 };
	struct fault fault;
	struct world w;
	const struct dial_spec spec = {
		.label = "relay dc2-a",
		.expect = { .roles = TRUST_ROLE(ROLE_RELAY), .name = "dc2-a" },
		.endpoints = to,
		.count = 2,
	};

	(void)state;
	world_new(&w);
	w.config.backoff_min_ms = w.config.backoff_max_ms = 60000;
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-a");
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	side_new(&w, &stranger, &w.pki,
	    pki_identity(&w.pki, ROLE_RELAY, "dc2-b"), "stranger");
	assert_int_equal(
	    listener_new(stranger.net, &any, &wrong, &fault), RC_OK);
	assert_int_equal(
	    endpoint_parse(listener_address(wrong), 0, &to[0], &fault), RC_OK);
	assert_int_equal(
	    endpoint_parse(listener_address(w.listener), 0, &to[1], &fault),
	    RC_OK);
	assert_int_equal(dial_new(w.near.net, &spec, &w.dialler), RC_OK);
	run_until(&w, both_up);
	listener_free(wrong);
	side_free(&stranger);
	world_free(&w);
}

static void test_the_most_telling_failure_of_a_round_is_kept(void **state)
{
	struct endpoint to[2];
	struct fault fault;
	struct world w;
	const struct dial_spec spec = {
		.label = "relay dc2-a",
		.expect = { .roles = TRUST_ROLE(ROLE_RELAY), .name = "dc2-a" },
		.endpoints = to,
		.count = 2,
	};
	char expected[160];

	(void)state;
	world_new(&w);
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-b");
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	assert_int_equal(
	    endpoint_parse(listener_address(w.listener), 0, &to[0], &fault),
	    RC_OK);
	/* Nobody listens at port 1. */
	assert_int_equal(endpoint_parse("127.0.0.1:1", 0, &to[1], &fault), 0);
	assert_int_equal(dial_new(w.near.net, &spec, &w.dialler), RC_OK);
	poll_too(&w);
	run_until(&w, dial_failed);
	assert_int_equal(dial_fault(w.dialler)->code, REASON_WRONG_IDENTITY);
	(void)snprintf(expected, sizeof(expected), "(at %s)",
	    listener_address(w.listener));
	assert_non_null(strstr(dial_fault(w.dialler)->text, "relay dc2-a: "));
	assert_non_null(strstr(dial_fault(w.dialler)->text, expected));
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_drained_link_without_streams_ends),
		cmocka_unit_test(
		    test_a_stream_that_its_user_reset_says_nothing_more),
		cmocka_unit_test(
		    test_a_peer_that_stops_after_a_late_byte_is_given_up),
		cmocka_unit_test(
		    test_a_mux_that_died_of_its_own_queue_takes_its_link_along),
		cmocka_unit_test(test_strangers_are_few),
		cmocka_unit_test(
		    test_a_stranger_opens_one_enrolment_and_no_more),
		cmocka_unit_test(
		    test_strangers_at_the_door_do_not_keep_us_from_dialling),
		cmocka_unit_test(
		    test_a_dial_that_finds_no_worker_is_tried_again),
		cmocka_unit_test(
		    test_who_is_thrown_out_at_once_comes_back_ever_later),
		cmocka_unit_test(
		    test_another_address_is_tried_when_somebody_else_answers),
		cmocka_unit_test(
		    test_the_most_telling_failure_of_a_round_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

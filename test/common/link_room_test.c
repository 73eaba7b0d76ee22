/*
 * link_room_test.c - how many may knock at once, in all and from one address.
 */
#include "test/support/link_world.h"

#include "common/link_internal.h"

static bool one_pending(struct world *w)
{
	return w->far.net->handshakes >= 1;
}

static bool two_pending(struct world *w)
{
	return w->far.net->handshakes >= 2;
}

static void test_one_address_never_has_all_the_places(void **state)
{
	struct world w;
	int held[2];

	(void)state;
	world_new(&w);
	w.config.handshakes_max = 3;
	w.config.handshakes_per_address = 2;
	w.config.waiting_max = 0;
	relay_and_machine(&w);
	held[0] = connect_raw(&w, "127.0.0.2");
	held[1] = connect_raw(&w, "127.0.0.2");
	poll_too(&w);
	run_until(&w, two_pending);
	/* a third from there is dropped at once ... */
	w.raw = connect_raw(&w, "127.0.0.2");
	run_until(&w, raw_was_closed);
	assert_int_equal(w.far.net->handshakes, 2);
	assert_int_equal(w.far.downs, 0);
	/* ... and who comes from elsewhere has room */
	dial_to(
	    &w, listener_address(w.listener), TRUST_ROLE(ROLE_RELAY), "dc2-a");
	run_until(&w, both_up);
	assert_int_equal(w.far.net->handshakes, 2);
	(void)close(held[0]);
	(void)close(held[1]);
	world_free(&w);
}

static bool one_gave_way(struct world *w)
{
	return w->far.downs == 1;
}

static void test_the_slow_one_that_gives_way_is_of_the_same_address(
    void **state)
{
	struct link *link;
	struct world w;
	int other, slow, next;

	(void)state;
	world_new(&w);
	w.config.handshakes_max = 10;
	w.config.handshakes_per_address = 1;
	w.config.handshake_ms = 5000;
	relay_and_machine(&w);
	other = connect_raw(&w, "127.0.0.2");
	slow = connect_raw(&w, "127.0.0.3");
	poll_too(&w);
	run_until(&w, two_pending);
	/* make them slow ones, without waiting for it */
	TAILQ_FOREACH(link, &w.far.net->pending, pending)
	link->awaited_us -= 1000000;
	next = connect_raw(&w, "127.0.0.3");
	run_until(&w, one_gave_way);
	assert_non_null(strstr(w.far.down.text, "127.0.0.3"));
	assert_non_null(strstr(w.far.down.text, "handshakes-per-address"));
	assert_int_equal(w.far.net->handshakes, 2);
	(void)close(other);
	(void)close(slow);
	(void)close(next);
	world_free(&w);
}

static void test_when_all_are_slow_nobody_gives_way(void **state)
{
	struct link *link;
	struct world w;
	int slow, next;

	(void)state;
	world_new(&w);
	w.config.handshakes_max = 1;
	w.config.waiting_max = 0;
	w.config.handshake_ms = 5000;
	relay_and_machine(&w);
	slow = connect_raw(&w, "127.0.0.2");
	poll_too(&w);
	run_until(&w, one_pending);
	/* Others need a second now. */
	w.far.net->usual_us = 1000000;
	w.far.net->usual_at_us = loop_now_us(w.loop);
	link = TAILQ_FIRST(&w.far.net->pending);
	link->awaited_us -= 1000000;
	w.raw = connect_raw(&w, "127.0.0.3");
	run_until(&w, raw_was_closed);
	assert_int_equal(w.far.downs, 0);
	/* That was long ago. */
	w.far.net->usual_at_us -= 60 * 1000000;
	next = connect_raw(&w, "127.0.0.3");
	run_until(&w, one_gave_way);
	assert_non_null(strstr(w.far.down.text, "link.handshakes"));
	(void)close(slow);
	(void)close(next);
	world_free(&w);
}

static void test_who_was_answered_just_now_is_not_the_slow_one(void **state)
{
	struct link *link;
	struct world w;
	int ours, other;

	(void)state;
	world_new(&w);
	w.config.handshakes_max = 2;
	w.config.handshake_ms = 5000;
	relay_and_machine(&w);
	ours = connect_raw(&w, "127.0.0.2");
	other = connect_raw(&w, "127.0.0.3");
	poll_too(&w);
	run_until(&w, two_pending);
	TAILQ_FOREACH(link, &w.far.net->pending, pending)
	link->awaited_us -= 1000000;
	/* The first has been answered just now. */
	link = TAILQ_FIRST(&w.far.net->pending);
	link_await_peer(link);
	w.raw = connect_raw(&w, "127.0.0.4");
	run_until(&w, one_gave_way);
	assert_non_null(strstr(w.far.down.text, "127.0.0.3"));
	assert_ptr_equal(link, TAILQ_FIRST(&w.far.net->pending));
	(void)close(ours);
	(void)close(other);
	world_free(&w);
}

static void test_strangers_of_one_address_are_few(void **state)
{
	const struct fault bye = { .code = REASON_DRAINING };
	struct dialler *first;
	struct world w;

	(void)state;
	world_new(&w);
	w.config.anonymous_per_address = 1;
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-a");
	side_new_stranger(&w);
	dial_to(
	    &w, listener_address(w.listener), TRUST_ROLE(ROLE_RELAY), "dc2-a");
	run_until(&w, both_up);
	assert_int_equal(w.far.net->stranger_count, 1);
	first = w.dialler;
	dial_to(
	    &w, listener_address(w.listener), TRUST_ROLE(ROLE_RELAY), "dc2-a");
	run_until(&w, near_down);
	assert_int_equal(w.near.down.code, REASON_TOO_MANY);
	dial_free(first, &bye);
	world_free(&w);
}

static void source_of(const char *text, uint8_t out[LINK_SOURCE_SIZE])
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = 7 };

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
		link_source_of((struct sockaddr *)&v4, out);
		return;
	}
	assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
	link_source_of((struct sockaddr *)&v6, out);
}

static void test_an_ipv6_network_counts_as_one_address(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
		{ "10.0.0.1", "10.0.0.1", true },
		{ "10.0.0.1", "10.0.0.2", false },
		{ "10.0.0.1", "::ffff:10.0.0.1", true },
		{ "::ffff:10.0.0.1", "::ffff:10.0.0.2", false },
		{ "2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true },
		{ "2001:db8:1:2::1", "2001:db8:1:3::1", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t a[LINK_SOURCE_SIZE], b[LINK_SOURCE_SIZE];

		source_of(cases[i].a, a);
		source_of(cases[i].b, b);
		assert_int_equal(memcmp(a, b, sizeof(a)) == 0, cases[i].same);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_address_never_has_all_the_places),
		cmocka_unit_test(
		    test_the_slow_one_that_gives_way_is_of_the_same_address),
		cmocka_unit_test(test_when_all_are_slow_nobody_gives_way),
		cmocka_unit_test(
		    test_who_was_answered_just_now_is_not_the_slow_one),
		cmocka_unit_test(test_strangers_of_one_address_are_few),
		cmocka_unit_test(test_an_ipv6_network_counts_as_one_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Links between two nets on one loop, over loopback sockets: who is believed,
 * what a person is told, and what garbage costs.
 */
#include "test/support/link_world.h"

static void test_a_link_comes_up_and_returns_after_it_broke(void **state)
{
	struct world w;
	const struct fault why = { .code = REASON_DRAINING };

	(void)state;
	world_new(&w);
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-a");
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	dial_to(
	    &w, listener_address(w.listener), TRUST_ROLE(ROLE_RELAY), "dc2-a");
	run_until(&w, both_up);
	assert_string_equal(link_label(w.near.up), "relay dc2-a");
	assert_string_equal(link_label(w.far.up), "machine " MACHINE);
	link_close(w.far.up, &why);
	run_until(&w, again_up);
	world_free(&w);
}

static bool far_down_again(struct world *w)
{
	return w->far.downs > 1;
}

static void test_revoking_a_key_ends_its_links_and_keeps_it_out(void **state)
{
	struct world w;
	struct revocation_list lists[REVOKED_COUNT] = { { .number = 0 } };
	struct revocations *r = NULL;

	(void)state;
	world_new(&w);
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-a");
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	dial_to(
	    &w, listener_address(w.listener), TRUST_ROLE(ROLE_RELAY), "dc2-a");
	run_until(&w, both_up);
	/* A list that names nobody here changes nothing... */
	lists[REVOKED_AGENTS] =
	    (struct revocation_list){ 1, (const uint8_t[32]){ 1 }, 1 };
	assert_int_equal(revocations_new(lists, &r), RC_OK);
	trust_set_revocations(w.pki.trust, r);
	revocations_unref(r);
	link_net_recheck(w.far.net);
	link_net_recheck(w.far.net);
	/* ... and the next one closes the link at once. */
	lists[REVOKED_AGENTS].number = 2;
	lists[REVOKED_AGENTS].hashes = identity_key_hash(w.near.identity);
	assert_int_equal(revocations_new(lists, &r), RC_OK);
	trust_set_revocations(w.pki.trust, r);
	revocations_unref(r);
	link_net_recheck(w.far.net);
	run_until(&w, far_down);
	assert_int_equal(w.far.down.code, REASON_REVOKED);
	/* It comes back, and is refused. */
	run_until(&w, far_down_again);
	assert_int_equal(w.far.down.code, REASON_REVOKED);
	assert_int_equal(w.far.ups, 1);
	world_free(&w);
}

static void test_a_refused_connection_says_who_and_where(void **state)
{
	struct world w;
	char address[ADDRESS_TEXT_MAX], expected[160];

	(void)state;
	world_new(&w);
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-a");
	strcpy(address, listener_address(w.listener));
	listener_free(w.listener);
	w.listener = NULL;
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	dial_to(&w, address, TRUST_ROLE(ROLE_RELAY), "dc2-a");
	poll_too(&w);
	run_until(&w, dial_failed);
	(void)snprintf(expected, sizeof(expected),
	    "relay dc2-a: connection refused at %s", address);
	assert_string_equal(dial_fault(w.dialler)->text, expected);
	assert_int_equal(dial_fault(w.dialler)->code, REASON_REFUSED);
	world_free(&w);
}

static void test_another_program_at_the_address_is_a_wrong_identity(
    void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-b");
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	dial_to(
	    &w, listener_address(w.listener), TRUST_ROLE(ROLE_RELAY), "dc2-a");
	run_until(&w, near_down);
	assert_int_equal(w.near.down.code, REASON_WRONG_IDENTITY);
	assert_non_null(strstr(w.near.down.text, "dc2-b"));
	world_free(&w);
}

static void test_another_cluster_is_not_believed(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	listen_far(&w, &w.other_pki, ROLE_RELAY, "dc2-a");
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	dial_to(
	    &w, listener_address(w.listener), TRUST_ROLE(ROLE_RELAY), "dc2-a");
	run_until(&w, near_down);
	assert_int_equal(w.near.ups, 0);
	assert_int_not_equal(w.near.down.code, REASON_NONE);
	world_free(&w);
}

static void test_the_reason_of_a_refusal_reaches_the_dialler(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-a");
	w.far.refuse = "no route names this machine";
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	dial_to(
	    &w, listener_address(w.listener), TRUST_ROLE(ROLE_RELAY), "dc2-a");
	run_until(&w, near_down);
	assert_int_equal(w.near.down.code, REASON_NOT_PERMITTED);
	assert_non_null(strstr(w.near.down.text, w.far.refuse));
	world_free(&w);
}

/* --- Peers that are none of ours --------------------------------------------
 */

static void test_a_browser_is_told_what_this_port_is(void **state)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	struct world w;

	(void)state;
	world_new(&w);
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-a");
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	dial_raw(&w);
	assert_int_equal(send(w.raw, request, sizeof(request) - 1, 0),
	    (ssize_t)sizeof(request) - 1);
	run_until(&w, raw_was_closed);
	assert_non_null(strstr(w.answer, "longarm protocol over TLS"));
	world_free(&w);
}

static void test_garbage_is_dropped_and_named(void **state)
{
	static const uint8_t garbage[] = "\x16\x03\x01\xff\xffgarbage garbage";
	struct world w;

	(void)state;
	world_new(&w);
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-a");
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	dial_raw(&w);
	assert_int_equal(
	    send(w.raw, garbage, sizeof(garbage), 0), (ssize_t)sizeof(garbage));
	run_until(&w, far_down);
	assert_int_equal(w.far.ups, 0);
	assert_int_equal(w.far.down.code, REASON_TLS);
	world_free(&w);
}

static void test_a_peer_that_says_nothing_is_given_up(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	w.config.handshake_ms = 50;
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-a");
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	dial_raw(&w);
	run_until(&w, far_down);
	assert_int_equal(w.far.down.code, REASON_CONNECT_TIMEOUT);
	world_free(&w);
}

static bool raw_closed_by_limit(struct world *w)
{
	return w->raw_closed && w->far.downs == 0;
}

static void test_too_many_handshakes_are_dropped_at_once(void **state)
{
	struct world w;
	int first;

	(void)state;
	world_new(&w);
	w.config.handshakes_max = 1;
	w.config.waiting_max = 0;
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-a");
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	dial_raw(&w);
	first = w.raw;
	loop_timer_free(w.poll);
	dial_raw(&w);
	run_until(&w, raw_closed_by_limit);
	(void)close(first);
	world_free(&w);
}

static void test_a_slow_handshake_gives_way_to_an_honest_one(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	w.config.handshakes_max = 1;
	w.config.handshake_ms = 3000;
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-a");
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	dial_raw(&w);
	dial_to(
	    &w, listener_address(w.listener), TRUST_ROLE(ROLE_RELAY), "dc2-a");
	run_until(&w, both_up);
	assert_non_null(strstr(w.far.down.text, "the room is needed"));
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_a_link_comes_up_and_returns_after_it_broke),
		cmocka_unit_test(
		    test_revoking_a_key_ends_its_links_and_keeps_it_out),
		cmocka_unit_test(test_a_refused_connection_says_who_and_where),
		cmocka_unit_test(
		    test_another_program_at_the_address_is_a_wrong_identity),
		cmocka_unit_test(test_another_cluster_is_not_believed),
		cmocka_unit_test(
		    test_the_reason_of_a_refusal_reaches_the_dialler),
		cmocka_unit_test(test_a_browser_is_told_what_this_port_is),
		cmocka_unit_test(test_garbage_is_dropped_and_named),
		cmocka_unit_test(test_a_peer_that_says_nothing_is_given_up),
		cmocka_unit_test(test_too_many_handshakes_are_dropped_at_once),
		cmocka_unit_test(
		    test_a_slow_handshake_gives_way_to_an_honest_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

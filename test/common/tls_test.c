/* A session: its handshake, its records, its end. */
#include "test/support/tls_pair.h"

static void test_both_ends_of_a_link_learn_who_the_other_is(void **state)
{
	struct world *w = *state;
	struct tls_expect expect = { .roles = TRUST_ROLE(ROLE_RELAY),
		.name = RELAY_A };
	struct pair *p = pair_new(
	    w->node, TLS_LINK_DIAL, w->relay, TLS_LINK_ACCEPT, &expect);

	assert_int_equal(tls_peer(p->a.t)->role, ROLE_ANONYMOUS);
	shake(p);
	assert_int_equal(p->a.rc, RC_OK);
	assert_int_equal(p->b.rc, RC_OK);
	assert_int_equal(tls_state(p->a.t), TLS_OPEN);
	assert_int_equal(tls_peer(p->a.t)->role, ROLE_RELAY);
	assert_string_equal(tls_peer(p->a.t)->id.name, RELAY_A);
	assert_int_equal(tls_peer(p->b.t)->role, ROLE_SERVER);
	assert_string_equal(tls_peer(p->b.t)->id.name, "node-a");
	assert_int_equal(tls_fault(p->a.t)->code, REASON_NONE);
	pair_free(p);
}

static void test_a_handshake_works_one_byte_at_a_time(void **state)
{
	struct world *w = *state;
	struct pair *p =
	    pair_new(w->node, TLS_SEAL_CLIENT, w->relay, TLS_SEAL_SERVER, NULL);
	uint8_t plain[16];
	size_t taken = 0;

	shake_in(p, 1);
	assert_int_equal(p->a.rc, RC_OK);
	assert_int_equal(p->b.rc, RC_OK);
	assert_int_equal(
	    tls_send(p->a.t, (const uint8_t *)"hello", 5, &p->a.out, &taken),
	    RC_OK);
	assert_int_equal(hear(&p->b, &p->a, plain, sizeof(plain)), 5);
	assert_memory_equal(plain, "hello", 5);
	pair_free(p);
}

/* Output with hardly any room: the handshake waits and goes on. */
static void test_a_handshake_goes_on_after_its_output_was_full(void **state)
{
	struct world *w = *state;
	struct pair *p =
	    pair_new(w->node, TLS_LINK_DIAL, w->relay, TLS_LINK_ACCEPT, NULL);
	int i;

	p->a.out.cap = 7;
	p->b.out.cap = 7;
	for (i = 0; i < 5000 && (p->a.rc == RC_AGAIN || p->b.rc == RC_AGAIN);
	     i++) {
		(void)step(&p->a, &p->b, SIZE_MAX);
		(void)step(&p->b, &p->a, SIZE_MAX);
	}
	assert_int_equal(p->a.rc, RC_OK);
	assert_int_equal(p->b.rc, RC_OK);
	pair_free(p);
}

static void test_data_arrives_byte_by_byte_and_in_order(void **state)
{
	struct pair *p = open_seal(*state);
	uint8_t plain[64];
	size_t taken = 0, got = 0, i, n = 0;

	for (i = 0; i < 3; i++)
		assert_int_equal(tls_send(p->b.t, (const uint8_t *)"0123456789",
				     10, &p->b.out, &taken),
		    RC_OK);
	assert_int_equal(p->b.out.len, 3 * (10 + TLS_OVERHEAD));
	for (i = 0; i < p->b.out.len; i++) {
		struct tls_in in = { .p = p->b.sent + i, .len = 1 };

		assert_int_equal(tls_recv(p->a.t, &in, &p->a.out, plain + got,
				     sizeof(plain) - got, &n),
		    RC_OK);
		assert_int_equal(in.len, 0);
		got += n;
	}
	assert_int_equal(got, 30);
	assert_memory_equal(plain, "012345678901234567890123456789", 30);
	pair_free(p);
}

static void test_many_records_are_read_in_one_call(void **state)
{
	struct pair *p = open_seal(*state);
	static uint8_t data[100000], plain[100000];
	struct tls_in in;
	size_t taken = 0, got = 0, i;

	for (i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 >> 3);
	assert_int_equal(
	    tls_send(p->a.t, data, sizeof(data), &p->a.out, &taken), RC_OK);
	assert_int_equal(taken, sizeof(data));
	in = (struct tls_in){ .p = p->a.sent, .len = p->a.out.len };
	assert_int_equal(
	    tls_recv(p->b.t, &in, &p->b.out, plain, sizeof(plain), &got),
	    RC_OK);
	assert_int_equal(got, sizeof(data));
	assert_int_equal(in.len, 0);
	assert_memory_equal(plain, data, sizeof(data));
	pair_free(p);
}

/* Also in the middle of a record. */
static void test_a_session_that_rests_loses_nothing(void **state)
{
	struct pair *p = open_seal(*state);
	static uint8_t data[100000], plain[100000];
	size_t taken = 0, got = 0, more = 0, cut = 50000;
	struct tls_in in = { .p = p->a.sent };

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 >> 3);
	for (int again = 0; again < 2; again++) {
		p->a.out.len = 0;
		assert_int_equal(
		    tls_send(p->a.t, data, sizeof(data), &p->a.out, &taken),
		    RC_OK);
		tls_rest(p->a.t);
		in = (struct tls_in){ .p = p->a.sent, .len = cut };
		assert_int_equal(tls_recv(p->b.t, &in, &p->b.out, plain,
				     sizeof(plain), &got),
		    RC_OK);
		tls_rest(p->b.t);
		in = (struct tls_in){ .p = p->a.sent + cut,
			.len = p->a.out.len - cut };
		assert_int_equal(tls_recv(p->b.t, &in, &p->b.out, plain + got,
				     sizeof(plain) - got, &more),
		    RC_OK);
		assert_int_equal(got + more, sizeof(data));
		assert_memory_equal(plain, data, sizeof(data));
		tls_rest(p->b.t);
	}
	pair_free(p);
}

static void test_one_full_seal_record_fills_one_frame(void **state)
{
	struct pair *p = open_seal(*state);
	static uint8_t data[TLS_SEAL_FRAGMENT + 1];
	size_t taken = 0;

	assert_int_equal(
	    tls_send(p->a.t, data, TLS_SEAL_FRAGMENT, &p->a.out, &taken),
	    RC_OK);
	assert_int_equal(p->a.out.len, 16376);
	p->a.out.len = 0;
	assert_int_equal(
	    tls_send(p->a.t, data, sizeof(data), &p->a.out, &taken), RC_OK);
	assert_int_equal(p->a.out.len, 16376 + 1 + TLS_OVERHEAD);
	pair_free(p);
}

static void test_one_full_frame_is_one_link_record(void **state)
{
	struct world *w = *state;
	struct pair *p =
	    pair_new(w->relay, TLS_LINK_DIAL, w->node, TLS_LINK_ACCEPT, NULL);
	static uint8_t data[TLS_LINK_FRAGMENT];
	size_t taken = 0;

	shake(p);
	assert_int_equal(
	    tls_send(p->a.t, data, sizeof(data), &p->a.out, &taken), RC_OK);
	assert_int_equal(taken, sizeof(data));
	assert_int_equal(p->a.out.len, sizeof(data) + TLS_OVERHEAD);
	assert_true(p->a.out.len <= TLS_ROOM);
	pair_free(p);
}

static void test_sending_stops_when_the_output_is_full(void **state)
{
	struct pair *p = open_seal(*state);
	static uint8_t data[3 * TLS_SEAL_FRAGMENT];
	size_t taken = 0;

	p->a.out.cap = 2 * (size_t)TLS_ROOM;
	assert_int_equal(
	    tls_send(p->a.t, data, sizeof(data), &p->a.out, &taken), RC_OK);
	assert_int_equal(taken, 2 * TLS_SEAL_FRAGMENT);
	p->a.out.len = p->a.out.cap;
	assert_int_equal(
	    tls_send(p->a.t, data, sizeof(data), &p->a.out, &taken), RC_OK);
	assert_int_equal(taken, 0);
	pair_free(p);
}

static void test_a_full_reader_leaves_the_rest_for_the_next_call(void **state)
{
	struct pair *p = open_seal(*state);
	static uint8_t data[40000], plain[40000];
	struct tls_in in;
	size_t taken = 0, got = 0, n = 0, i;

	for (i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i >> 5);
	assert_int_equal(
	    tls_send(p->a.t, data, sizeof(data), &p->a.out, &taken), RC_OK);
	in = (struct tls_in){ .p = p->a.sent, .len = p->a.out.len };
	do {
		size_t room =
		    sizeof(plain) - got < 1000 ? sizeof(plain) - got : 1000;

		assert_int_equal(
		    tls_recv(p->b.t, &in, &p->b.out, plain + got, room, &n),
		    RC_OK);
		got += n;
	} while (n > 0);
	assert_int_equal(got, sizeof(data));
	assert_memory_equal(plain, data, sizeof(data));
	pair_free(p);
}

static void test_sixteen_mebibytes_pass_both_ways(void **state)
{
	struct pair *p = open_seal(*state);
	static uint8_t data[65536], plain[65536];
	size_t taken = 0, i;

	for (i = 0; i < 256; i++) {
		struct end *from = i % 2 == 0 ? &p->a : &p->b;
		struct end *to = i % 2 == 0 ? &p->b : &p->a;

		memset(data, (int)i, sizeof(data));
		assert_int_equal(
		    tls_send(from->t, data, sizeof(data), &from->out, &taken),
		    RC_OK);
		assert_int_equal(taken, sizeof(data));
		assert_int_equal(
		    hear(to, from, plain, sizeof(plain)), sizeof(plain));
		assert_memory_equal(plain, data, sizeof(data));
	}
	pair_free(p);
}

static void test_a_changed_byte_ends_the_session(void **state)
{
	struct pair *p = open_seal(*state);
	uint8_t plain[64];
	struct tls_in in;
	size_t taken = 0, got = 0;

	assert_int_equal(
	    tls_send(p->a.t, (const uint8_t *)"first", 5, &p->a.out, &taken),
	    RC_OK);
	assert_int_equal(
	    tls_send(p->a.t, (const uint8_t *)"second", 6, &p->a.out, &taken),
	    RC_OK);
	p->a.sent[p->a.out.len - 1] ^= 1;
	in = (struct tls_in){ .p = p->a.sent, .len = p->a.out.len };
	assert_int_equal(
	    tls_recv(p->b.t, &in, &p->b.out, plain, sizeof(plain), &got),
	    RC_DENIED);
	assert_int_equal(got, 5); /* what was good before */
	assert_int_equal(tls_state(p->b.t), TLS_FAILED);
	assert_int_equal(tls_fault(p->b.t)->code, REASON_TLS);
	assert_int_equal(tls_peer(p->b.t)->role, ROLE_ANONYMOUS);
	assert_int_equal(
	    tls_recv(p->b.t, &in, &p->b.out, plain, sizeof(plain), &got),
	    RC_DENIED);
	assert_int_equal(
	    tls_send(p->b.t, plain, 1, &p->b.out, &taken), RC_DENIED);
	pair_free(p);
}

static void test_a_close_is_told_and_the_other_way_stays_open(void **state)
{
	struct pair *p = open_seal(*state);
	uint8_t plain[16];
	size_t taken = 0;

	assert_int_equal(
	    tls_send(p->a.t, (const uint8_t *)"bye", 3, &p->a.out, &taken),
	    RC_OK);
	tls_close(p->a.t, &p->a.out);
	tls_close(p->a.t, &p->a.out); /* once is enough */
	assert_int_equal(
	    tls_send(p->a.t, (const uint8_t *)"x", 1, &p->a.out, &taken),
	    RC_STATE);
	assert_int_equal(hear(&p->b, &p->a, plain, sizeof(plain)), 3);
	assert_int_equal(tls_state(p->b.t), TLS_PEER_CLOSED);
	assert_int_equal(
	    tls_send(p->b.t, (const uint8_t *)"last", 4, &p->b.out, &taken),
	    RC_OK);
	assert_int_equal(taken, 4);
	assert_int_equal(hear(&p->a, &p->b, plain, sizeof(plain)), 4);
	tls_close(p->b.t, &p->b.out);
	assert_int_equal(hear(&p->a, &p->b, plain, sizeof(plain)), 0);
	assert_int_equal(tls_state(p->a.t), TLS_PEER_CLOSED);
	pair_free(p);
}

static void test_nothing_is_sent_or_read_before_the_handshake(void **state)
{
	struct world *w = *state;
	struct pair *p =
	    pair_new(w->node, TLS_SEAL_CLIENT, w->relay, TLS_SEAL_SERVER, NULL);
	struct tls_in in = { .p = (const uint8_t *)"x", .len = 1 };
	uint8_t plain[4];
	size_t n = 0;

	assert_int_equal(tls_send(p->a.t, plain, 1, &p->a.out, &n), RC_STATE);
	assert_int_equal(
	    tls_recv(p->a.t, &in, &p->a.out, plain, 4, &n), RC_STATE);
	tls_close(p->a.t, &p->a.out);
	assert_int_equal(p->a.out.len, 0);
	pair_free(p);
}

/* Contexts outlive their maker as long as a session needs them. */
static void test_a_session_keeps_its_contexts(void **state)
{
	struct world *w = *state;
	struct tls_contexts *relay = relay_valid(w, 0, DAY);
	struct pair *p =
	    pair_new(w->node, TLS_LINK_DIAL, relay, TLS_LINK_ACCEPT, NULL);

	tls_contexts_unref(relay);
	shake(p);
	assert_int_equal(p->b.rc, RC_OK);
	pair_free(p);
}

/* Who shows it must prove that the key is its own. */
static void test_a_certificate_without_its_key_is_refused(void **state)
{
	struct world *w = *state;
	struct pair *p = pair_new(
	    w->node, TLS_SEAL_CLIENT, w->tentacle, TLS_SEAL_SERVER, NULL);

	/* change a byte in the last flight, which holds the proof */
	(void)step(&p->a, &p->b, SIZE_MAX);
	(void)step(&p->b, &p->a, SIZE_MAX);
	(void)step(&p->a, &p->b, SIZE_MAX);
	p->a.sent[p->a.out.len - 60] ^= 1;
	(void)step(&p->b, &p->a, SIZE_MAX);
	assert_int_equal(p->b.rc, RC_DENIED);
	assert_int_equal(tls_peer(p->b.t)->role, ROLE_ANONYMOUS);
	pair_free(p);
}

static void test_plain_http_is_recognised_from_its_first_byte(void **state)
{
	(void)state;
	assert_true(tls_looks_like_http((const uint8_t *)"G", 1));
	assert_true(tls_looks_like_http((const uint8_t *)"GET / HT", 8));
	assert_true(tls_looks_like_http((const uint8_t *)"POST /x", 7));
	assert_false(tls_looks_like_http((const uint8_t *)"GOT /", 5));
	assert_false(tls_looks_like_http((const uint8_t *)"\x16\x03", 2));
	assert_false(tls_looks_like_http((const uint8_t *)"", 0));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_both_ends_of_a_link_learn_who_the_other_is),
		cmocka_unit_test(test_a_handshake_works_one_byte_at_a_time),
		cmocka_unit_test(
		    test_a_handshake_goes_on_after_its_output_was_full),
		cmocka_unit_test(test_data_arrives_byte_by_byte_and_in_order),
		cmocka_unit_test(test_many_records_are_read_in_one_call),
		cmocka_unit_test(test_a_session_that_rests_loses_nothing),
		cmocka_unit_test(test_one_full_seal_record_fills_one_frame),
		cmocka_unit_test(test_one_full_frame_is_one_link_record),
		cmocka_unit_test(test_sending_stops_when_the_output_is_full),
		cmocka_unit_test(
		    test_a_full_reader_leaves_the_rest_for_the_next_call),
		cmocka_unit_test(test_sixteen_mebibytes_pass_both_ways),
		cmocka_unit_test(test_a_changed_byte_ends_the_session),
		cmocka_unit_test(
		    test_a_close_is_told_and_the_other_way_stays_open),
		cmocka_unit_test(
		    test_nothing_is_sent_or_read_before_the_handshake),
		cmocka_unit_test(test_a_session_keeps_its_contexts),
		cmocka_unit_test(test_a_certificate_without_its_key_is_refused),
		cmocka_unit_test(
		    test_plain_http_is_recognised_from_its_first_byte),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

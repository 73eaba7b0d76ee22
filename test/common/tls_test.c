#include "test/support/pki.h"

#include "common/tls.h"

#include <stdio.h>

#define RELAY_A "dc2-a"

/* A cluster with one of each, and a joiner that knows only the root's hash. */
struct world {
	struct pki pki;
	struct trust *pinned;
	struct tls_contexts *node, *relay, *tentacle, *joiner;
};

static struct tls_contexts *contexts_of(struct identity *id, struct trust *t)
{
	struct tls_contexts *contexts = NULL;
	struct fault fault = { 0 };

	if (tls_contexts_new(id, t, &contexts, &fault) != RC_OK)
		fail_msg("%s", fault.text);
	identity_free(id);
	return contexts;
}

static int set_up(void **state)
{
	static struct world w;
	uint8_t hash[KEY_HASH_SIZE];

	pki_init(&w.pki, CLUSTER);
	assert_int_equal(
	    certs_key_hash(ca_chain(w.pki.root)->cert[0], hash), RC_OK);
	assert_int_equal(trust_new_pinned(CLUSTER, hash, &w.pinned), RC_OK);
	w.node = contexts_of(
	    pki_identity(&w.pki, ROLE_SERVER, "node-a"), w.pki.trust);
	w.relay =
	    contexts_of(pki_identity(&w.pki, ROLE_RELAY, RELAY_A), w.pki.trust);
	w.tentacle = contexts_of(
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), w.pki.trust);
	w.joiner = contexts_of(NULL, w.pinned);
	*state = &w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	tls_contexts_unref(w->node);
	tls_contexts_unref(w->relay);
	tls_contexts_unref(w->tentacle);
	tls_contexts_unref(w->joiner);
	trust_unref(w->pinned);
	pki_fini(&w->pki);
	return 0;
}

/* One end, and what it has said but the other has not heard. */
struct end {
	struct tls *t;
	uint8_t sent[256 * 1024];
	struct tls_out out;
	enum rc rc; /* of its handshake */
};

struct pair {
	struct end a, b; /* a dials */
};

static void end_init(struct end *e, struct tls_contexts *contexts,
    enum tls_kind kind, const struct tls_expect *expect)
{
	memset(e, 0, sizeof(*e));
	e->out = (struct tls_out){ .p = e->sent, .cap = sizeof(e->sent) };
	assert_int_equal(tls_new(contexts, kind, expect, &e->t), RC_OK);
	e->rc = RC_AGAIN;
}

static struct pair *pair_new(struct tls_contexts *a, enum tls_kind a_kind,
    struct tls_contexts *b, enum tls_kind b_kind,
    const struct tls_expect *expect)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	end_init(&p->a, a, a_kind, expect);
	end_init(&p->b, b, b_kind, NULL);
	return p;
}

static void pair_free(struct pair *p)
{
	tls_free(p->a.t);
	tls_free(p->b.t);
	free(p);
}

/* Let e hear up to chunk bytes of what the other said; false: all was silent.
 */
static bool step(struct end *e, struct end *other, size_t chunk)
{
	struct tls_in in = { .p = other->sent, .len = other->out.len };
	size_t before = e->out.len, used;

	if (in.len > chunk)
		in.len = chunk;
	used = in.len;
	if (e->rc == RC_AGAIN)
		e->rc = tls_handshake(e->t, &in, &e->out);
	used -= in.len;
	memmove(other->sent, other->sent + used, other->out.len - used);
	other->out.len -= used;
	return used > 0 || e->out.len > before;
}

static void shake_in(struct pair *p, size_t chunk)
{
	bool moved;

	do {
		moved = step(&p->a, &p->b, chunk);
		moved |= step(&p->b, &p->a, chunk);
	} while (moved);
}

static void shake(struct pair *p)
{
	shake_in(p, SIZE_MAX);
}

/* What the far end got of what e said; everything must arrive. */
static size_t hear(struct end *e, struct end *from, uint8_t *plain, size_t cap)
{
	struct tls_in in = { .p = from->sent, .len = from->out.len };
	size_t got = 0, n = 0;

	do {
		assert_int_equal(
		    tls_recv(e->t, &in, &e->out, plain + got, cap - got, &n),
		    RC_OK);
		got += n;
	} while (n > 0 && got < cap);
	memmove(from->sent, in.p, in.len);
	from->out.len = in.len;
	return got;
}

static struct pair *open_seal(struct world *w)
{
	struct pair *p = pair_new(
	    w->node, TLS_SEAL_CLIENT, w->tentacle, TLS_SEAL_SERVER, NULL);

	shake(p);
	assert_int_equal(p->a.rc, RC_OK);
	assert_int_equal(p->b.rc, RC_OK);
	return p;
}

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

static void test_a_joiner_meets_a_relay_and_enrols_at_a_node(void **state)
{
	struct world *w = *state;
	struct tls_expect outer = { .roles = TRUST_ROLE(ROLE_SERVER) |
		                             TRUST_ROLE(ROLE_RELAY) };
	struct pair *link = pair_new(
	    w->joiner, TLS_LINK_DIAL, w->relay, TLS_LINK_ACCEPT, &outer);
	struct pair *enrol = pair_new(
	    w->joiner, TLS_ENROL_CLIENT, w->node, TLS_ENROL_SERVER, NULL);

	shake(link);
	assert_int_equal(link->a.rc, RC_OK);
	assert_int_equal(link->b.rc, RC_OK);
	assert_int_equal(tls_peer(link->a.t)->role, ROLE_RELAY);
	assert_int_equal(tls_peer(link->b.t)->role, ROLE_ANONYMOUS);
	assert_false(tls_peer(link->b.t)->expired);
	shake(enrol);
	assert_int_equal(enrol->a.rc, RC_OK);
	assert_int_equal(enrol->b.rc, RC_OK);
	assert_int_equal(tls_peer(enrol->a.t)->role, ROLE_SERVER);
	assert_int_equal(tls_peer(enrol->b.t)->role, ROLE_ANONYMOUS);
	pair_free(link);
	pair_free(enrol);
}

static void test_a_joiner_refuses_a_node_of_another_root(void **state)
{
	struct world *w = *state;
	struct pki other;
	struct tls_contexts *node;
	struct pair *p;

	pki_init(&other, CLUSTER);
	node = contexts_of(
	    pki_identity(&other, ROLE_SERVER, "node-a"), other.trust);
	p = pair_new(w->joiner, TLS_ENROL_CLIENT, node, TLS_ENROL_SERVER, NULL);
	shake(p);
	assert_int_equal(p->a.rc, RC_DENIED);
	assert_int_equal(tls_fault(p->a.t)->code, REASON_WRONG_IDENTITY);
	assert_non_null(strstr(tls_fault(p->a.t)->text, "join token"));
	assert_int_equal(p->b.rc, RC_DENIED);
	pair_free(p);
	tls_contexts_unref(node);
	pki_fini(&other);
}

static void test_a_joiner_enrols_only_at_a_node(void **state)
{
	struct world *w = *state;
	struct pair *p = pair_new(
	    w->joiner, TLS_ENROL_CLIENT, w->relay, TLS_ENROL_SERVER, NULL);

	shake(p);
	assert_int_equal(p->a.rc, RC_DENIED);
	assert_int_equal(tls_fault(p->a.t)->code, REASON_WRONG_IDENTITY);
	pair_free(p);
}

static void test_a_joiner_has_neither_seals_nor_ports(void **state)
{
	static const enum tls_kind kinds[] = { TLS_LINK_ACCEPT, TLS_SEAL_CLIENT,
		TLS_SEAL_SERVER, TLS_ENROL_SERVER };
	struct world *w = *state;
	struct tls *t = NULL;
	size_t i;

	for (i = 0; i < 4; i++)
		assert_int_equal(
		    tls_new(w->joiner, kinds[i], NULL, &t), RC_STATE);
	assert_null(t);
}

/* Shake a with b and expect that end a refuses with this reason. */
static void expect_refusal(struct pair *p, enum reason code, const char *words)
{
	shake(p);
	assert_int_equal(p->a.rc, RC_DENIED);
	if (tls_fault(p->a.t)->code != code ||
	    strstr(tls_fault(p->a.t)->text, words) == NULL)
		fail_msg("%s: %s", reason_name(tls_fault(p->a.t)->code),
		    tls_fault(p->a.t)->text);
	assert_int_equal(tls_peer(p->a.t)->role, ROLE_ANONYMOUS);
	pair_free(p);
}

static void test_another_machine_than_expected_is_refused_by_name(void **state)
{
	struct world *w = *state;
	struct tls_expect expect = { .roles = TRUST_ROLE(ROLE_RELAY),
		.name = "dc2-b" };

	expect_refusal(pair_new(w->node, TLS_SEAL_CLIENT, w->relay,
			   TLS_SEAL_SERVER, &expect),
	    REASON_WRONG_IDENTITY, "relay dc2-a answered, not dc2-b");
	expect.roles = TRUST_ROLE(ROLE_TENTACLE);
	expect_refusal(pair_new(w->node, TLS_SEAL_CLIENT, w->relay,
			   TLS_SEAL_SERVER, &expect),
	    REASON_WRONG_IDENTITY, "relay dc2-a answered");
}

static void test_a_seal_is_always_between_a_node_and_someone_else(void **state)
{
	struct world *w = *state;
	struct pair *p;

	expect_refusal(
	    pair_new(w->node, TLS_SEAL_CLIENT, w->node, TLS_SEAL_SERVER, NULL),
	    REASON_WRONG_IDENTITY, "server node-a answered");
	p = pair_new(
	    w->relay, TLS_SEAL_CLIENT, w->tentacle, TLS_SEAL_SERVER, NULL);
	shake(p);
	assert_int_equal(p->b.rc, RC_DENIED);
	assert_int_equal(tls_fault(p->b.t)->code, REASON_WRONG_IDENTITY);
	pair_free(p);
}

static void test_tentacles_do_not_link_to_each_other(void **state)
{
	struct world *w = *state;

	expect_refusal(pair_new(w->tentacle, TLS_LINK_DIAL, w->tentacle,
			   TLS_LINK_ACCEPT, NULL),
	    REASON_WRONG_IDENTITY, "tentacle");
}

static void test_an_expectation_that_nobody_can_meet_is_a_mistake(void **state)
{
	struct world *w = *state;
	struct tls_expect expect = { .roles = TRUST_ROLE(ROLE_SERVER) };
	struct tls *t = NULL;

	assert_int_equal(
	    tls_new(w->node, TLS_SEAL_CLIENT, &expect, &t), RC_STATE);
	assert_null(t);
}

static struct tls_contexts *relay_valid(
    struct world *w, int64_t start_s, int64_t life_s)
{
	return contexts_of(
	    pki_identity_at(&w->pki, ROLE_RELAY, "late", start_s, life_s),
	    w->pki.trust);
}

static void test_an_expired_peer_is_anonymous_on_a_link_and_refused_in_a_seal(
    void **state)
{
	struct world *w = *state;
	struct tls_contexts *late = relay_valid(w, -2 * DAY, DAY);
	struct pair *p =
	    pair_new(late, TLS_LINK_DIAL, w->node, TLS_LINK_ACCEPT, NULL);

	shake(p);
	assert_int_equal(p->a.rc, RC_OK);
	assert_int_equal(p->b.rc, RC_OK);
	assert_int_equal(tls_peer(p->b.t)->role, ROLE_ANONYMOUS);
	assert_true(tls_peer(p->b.t)->expired);
	assert_string_equal(tls_peer(p->b.t)->id.name, "late");
	pair_free(p);
	p = pair_new(late, TLS_ENROL_CLIENT, w->node, TLS_ENROL_SERVER, NULL);
	shake(p);
	assert_int_equal(p->b.rc, RC_OK);
	assert_true(tls_peer(p->b.t)->expired);
	pair_free(p);
	expect_refusal(
	    pair_new(w->node, TLS_SEAL_CLIENT, late, TLS_SEAL_SERVER, NULL),
	    REASON_EXPIRED, "relay late expired");
	tls_contexts_unref(late);
}

static void test_a_certificate_from_the_future_is_a_matter_of_clocks(
    void **state)
{
	struct world *w = *state;
	struct tls_contexts *early = relay_valid(w, 3600, DAY);

	expect_refusal(
	    pair_new(w->node, TLS_LINK_DIAL, early, TLS_LINK_ACCEPT, NULL),
	    REASON_CLOCK, "relay late is valid from");
	tls_contexts_unref(early);
}

static void test_the_refused_end_is_told_why(void **state)
{
	struct world *w = *state;
	struct tls_contexts *late = relay_valid(w, -2 * DAY, DAY);
	struct pair *p =
	    pair_new(w->node, TLS_SEAL_CLIENT, late, TLS_SEAL_SERVER, NULL);

	shake(p);
	assert_int_equal(p->b.rc, RC_DENIED);
	assert_int_equal(tls_fault(p->b.t)->code, REASON_EXPIRED);
	assert_non_null(
	    strstr(tls_fault(p->b.t)->text, "our certificate has expired"));
	pair_free(p);
	tls_contexts_unref(late);
}

static void test_a_revoked_peer_is_refused_and_open_sessions_learn_of_it(
    void **state)
{
	struct world *w = *state;
	struct revocation_list lists[REVOKED_COUNT] = { 0 };
	struct revocations *revoked = NULL;
	struct fault fault = { 0 };
	struct pair *p = open_seal(w);

	assert_int_equal(tls_recheck(p->a.t, w->pki.now_s, &fault), RC_OK);
	lists[REVOKED_AGENTS].hashes = tls_peer(p->a.t)->key_hash;
	lists[REVOKED_AGENTS].count = 1;
	assert_int_equal(revocations_new(lists, &revoked), RC_OK);
	trust_set_revocations(w->pki.trust, revoked);
	revocations_unref(revoked);
	assert_int_equal(tls_recheck(p->a.t, w->pki.now_s, &fault), RC_DENIED);
	assert_int_equal(fault.code, REASON_REVOKED);
	pair_free(p);
	expect_refusal(pair_new(w->node, TLS_SEAL_CLIENT, w->tentacle,
			   TLS_SEAL_SERVER, NULL),
	    REASON_REVOKED, "was revoked");
	trust_set_revocations(w->pki.trust, NULL);
}

static void test_another_cluster_is_refused_by_both(void **state)
{
	struct world *w = *state;
	struct pki other;
	struct tls_contexts *relay;

	pki_init(&other, CLUSTER_2);
	relay =
	    contexts_of(pki_identity(&other, ROLE_RELAY, "dc9-a"), other.trust);
	expect_refusal(
	    pair_new(w->node, TLS_LINK_DIAL, relay, TLS_LINK_ACCEPT, NULL),
	    REASON_WRONG_IDENTITY, "is of cluster " CLUSTER_2);
	tls_contexts_unref(relay);
	pki_fini(&other);
}

static void test_the_wrong_protocol_is_refused_by_both(void **state)
{
	struct world *w = *state;
	struct pair *p =
	    pair_new(w->node, TLS_SEAL_CLIENT, w->relay, TLS_LINK_ACCEPT, NULL);

	shake(p);
	assert_int_equal(p->a.rc, RC_DENIED);
	assert_int_equal(p->b.rc, RC_DENIED);
	assert_int_equal(tls_fault(p->a.t)->code, REASON_WRONG_IDENTITY);
	assert_int_equal(tls_fault(p->b.t)->code, REASON_WRONG_IDENTITY);
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
		cmocka_unit_test(
		    test_a_joiner_meets_a_relay_and_enrols_at_a_node),
		cmocka_unit_test(test_a_joiner_refuses_a_node_of_another_root),
		cmocka_unit_test(test_a_joiner_enrols_only_at_a_node),
		cmocka_unit_test(test_a_joiner_has_neither_seals_nor_ports),
		cmocka_unit_test(
		    test_another_machine_than_expected_is_refused_by_name),
		cmocka_unit_test(
		    test_a_seal_is_always_between_a_node_and_someone_else),
		cmocka_unit_test(test_tentacles_do_not_link_to_each_other),
		cmocka_unit_test(
		    test_an_expectation_that_nobody_can_meet_is_a_mistake),
		cmocka_unit_test(
		    test_an_expired_peer_is_anonymous_on_a_link_and_refused_in_a_seal),
		cmocka_unit_test(
		    test_a_certificate_from_the_future_is_a_matter_of_clocks),
		cmocka_unit_test(test_the_refused_end_is_told_why),
		cmocka_unit_test(
		    test_a_revoked_peer_is_refused_and_open_sessions_learn_of_it),
		cmocka_unit_test(test_another_cluster_is_refused_by_both),
		cmocka_unit_test(test_the_wrong_protocol_is_refused_by_both),
		cmocka_unit_test(test_a_session_keeps_its_contexts),
		cmocka_unit_test(test_a_certificate_without_its_key_is_refused),
		cmocka_unit_test(
		    test_plain_http_is_recognised_from_its_first_byte),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

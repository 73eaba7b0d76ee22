/* Who is believed to be who, and what the others are told. */
#include "test/support/tls_pair.h"

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

int main(void)
{
	static const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

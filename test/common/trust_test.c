#include "test/support/pki.h"

#include <stdio.h>

#define WEB    "spiffe://" CLUSTER "/tentacle/" MACHINE
#define NODE_A "spiffe://" CLUSTER "/server/node-a"

struct outcome {
	enum rc rc;
	struct peer peer;
	struct fault fault;
};

static struct outcome judge_with(
    struct pki *p, const struct certs *shown, struct trust_check check)
{
	struct outcome o = { 0 };

	if (check.now_s == 0)
		check.now_s = p->now_s;
	o.rc = trust_verify(p->trust, shown, &check, &o.peer, &o.fault);
	if (o.rc != RC_OK)
		assert_int_equal(o.peer.role, ROLE_ANONYMOUS);
	return o;
}

static struct outcome judge(struct pki *p, const struct certs *shown)
{
	return judge_with(p, shown, (struct trust_check){ 0 });
}

/* Forge as described, judge, and expect a refusal with these words. */
static void refuse(struct pki *p, const struct ca *issuer,
    struct x509_build build, enum key_kind kind, const char *words)
{
	struct certs chain;
	struct outcome o;
	EVP_PKEY *key;

	if (build.not_after_s == 0) {
		build.not_before_s = p->now_s - 60;
		build.not_after_s = p->now_s + DAY;
	}
	certs_init(&chain);
	key = pki_forge(issuer, &build, kind, &chain);
	o = judge(p, &chain);
	assert_int_equal(o.rc, RC_DENIED);
	if (strstr(o.fault.text, words) == NULL)
		fail_msg("'%s' does not say '%s'", o.fault.text, words);
	EVP_PKEY_free(key);
	certs_fini(&chain);
}

static void test_each_role_is_believed_when_its_own_authority_signed(
    void **state)
{
	static const enum peer_role roles[] = { ROLE_SERVER, ROLE_RELAY,
		ROLE_TENTACLE };
	struct pki *p = *state;
	size_t i;

	for (i = 0; i < 3; i++) {
		struct identity *id = pki_identity(p, roles[i], MACHINE);
		struct outcome o = judge(p, identity_chain(id));

		assert_int_equal(o.rc, RC_OK);
		assert_int_equal(o.peer.role, roles[i]);
		assert_string_equal(o.peer.id.name, MACHINE);
		assert_string_equal(o.peer.id.cluster, CLUSTER);
		assert_memory_equal(
		    o.peer.key_hash, identity_key_hash(id), KEY_HASH_SIZE);
		assert_true(o.peer.not_after_s == identity_not_after_s(id));
		identity_free(id);
	}
}

static void test_a_tentacle_certificate_that_claims_server_is_refused(
    void **state)
{
	struct pki *p = *state;

	refuse(p, p->agents,
	    (struct x509_build){ .uri = NODE_A, .client = true }, KEY_ED25519,
	    "not issued by the authority 'nodes'");
	refuse(p, p->nodes, (struct x509_build){ .uri = WEB, .client = true },
	    KEY_ED25519, "not issued by the authority 'agents'");
	refuse(p, p->root, (struct x509_build){ .uri = NODE_A, .client = true },
	    KEY_ED25519, "not issued by the authority 'nodes'");
}

static void test_another_cluster_is_named(void **state)
{
	struct pki *p = *state, other;
	struct identity *id;
	struct outcome o;

	pki_init(&other, CLUSTER_2);
	id = pki_identity(&other, ROLE_RELAY, "dc2-a");
	o = judge(p, identity_chain(id));
	assert_int_equal(o.rc, RC_DENIED);
	assert_int_equal(o.fault.code, REASON_WRONG_IDENTITY);
	assert_non_null(strstr(o.fault.text, "relay dc2-a is of cluster"));
	identity_free(id);
	pki_fini(&other);
}

static void test_a_chain_to_another_root_of_the_same_cluster_id_is_refused(
    void **state)
{
	struct pki *p = *state, other;
	struct identity *id;
	struct outcome o;

	pki_init(&other, CLUSTER);
	id = pki_identity(&other, ROLE_SERVER, "node-a");
	o = judge(p, identity_chain(id));
	assert_int_equal(o.rc, RC_DENIED);
	assert_int_equal(o.fault.code, REASON_TLS);
	identity_free(id);
	pki_fini(&other);
}

static void test_an_expired_certificate_is_refused_with_its_date(void **state)
{
	struct pki *p = *state;
	struct identity *id =
	    pki_identity_at(p, ROLE_RELAY, "dc2-a", -2 * DAY, DAY);
	struct outcome o = judge(p, identity_chain(id));

	assert_int_equal(o.rc, RC_DENIED);
	assert_int_equal(o.fault.code, REASON_EXPIRED);
	assert_non_null(strstr(o.fault.text, "relay dc2-a expired 20"));
	identity_free(id);
}

static void test_who_accepts_expired_peers_gets_an_anonymous_one(void **state)
{
	struct pki *p = *state;
	struct identity *id =
	    pki_identity_at(p, ROLE_RELAY, "dc2-a", -2 * DAY, DAY);
	struct outcome o = judge_with(p, identity_chain(id),
	    (struct trust_check){ .accept_expired = true });

	assert_int_equal(o.rc, RC_OK);
	assert_int_equal(o.peer.role, ROLE_ANONYMOUS);
	assert_true(o.peer.expired);
	assert_int_equal(o.peer.id.role, ROLE_RELAY);
	assert_true(o.peer.not_after_s == identity_not_after_s(id));
	assert_int_equal(o.fault.code, REASON_NONE);
	identity_free(id);
}

static void test_five_minutes_of_skew_pass_and_six_do_not(void **state)
{
	struct pki *p = *state;
	struct identity *id = pki_identity_at(p, ROLE_RELAY, "dc2-a", 0, DAY);
	int64_t from = identity_not_before_s(id);
	int64_t until = identity_not_after_s(id);
	struct outcome o;

	o = judge_with(
	    p, identity_chain(id), (struct trust_check){ .now_s = from - 300 });
	assert_int_equal(o.rc, RC_OK);
	o = judge_with(p, identity_chain(id),
	    (struct trust_check){ .now_s = until + 300 });
	assert_int_equal(o.rc, RC_OK);
	assert_false(o.peer.expired);
	o = judge_with(
	    p, identity_chain(id), (struct trust_check){ .now_s = from - 360 });
	assert_int_equal(o.rc, RC_DENIED);
	assert_int_equal(o.fault.code, REASON_CLOCK);
	assert_non_null(strstr(o.fault.text, "this machine's clock says"));
	o = judge_with(p, identity_chain(id),
	    (struct trust_check){ .now_s = until + 360 });
	assert_int_equal(o.fault.code, REASON_EXPIRED);
	identity_free(id);
}

static void test_an_authority_that_expired_takes_its_peers_along(void **state)
{
	struct pki *p = *state;
	struct identity *id = pki_identity_at(
	    p, ROLE_RELAY, "dc2-a", 0, 20 * CA_YEAR_S); /* cut to its end */
	struct outcome o = judge_with(p, identity_chain(id),
	    (struct trust_check){
		.now_s = p->now_s + 16 * CA_YEAR_S, .accept_expired = true });

	assert_true(identity_not_after_s(id) < p->now_s + CA_SUB_LIFE_S);
	assert_int_equal(o.rc, RC_DENIED);
	assert_int_equal(o.fault.code, REASON_EXPIRED);
	identity_free(id);
}

static void test_names_that_are_not_exactly_one_spiffe_uri_are_refused(
    void **state)
{
	static const char *const hosts[] = { "server.example" };
	struct pki *p = *state;

	refuse(p, p->agents,
	    (struct x509_build){
		.uri = WEB, .second_uri = NODE_A, .client = true },
	    KEY_ED25519, "2 alternative names");
	refuse(p, p->agents,
	    (struct x509_build){
		.uri = WEB, .names = hosts, .name_count = 1, .client = true },
	    KEY_ED25519, "2 alternative names");
	refuse(p, p->nodes,
	    (struct x509_build){
		.names = hosts, .name_count = 1, .client = true },
	    KEY_ED25519, "not a short URI");
	refuse(p, p->nodes, (struct x509_build){ .client = true }, KEY_ED25519,
	    "0 alternative names");
	refuse(p, p->agents,
	    (struct x509_build){ .uri = "https://example/", .client = true },
	    KEY_ED25519, "not of the form");
	refuse(p, p->agents,
	    (struct x509_build){ .uri = WEB "/more", .client = true },
	    KEY_ED25519, "not of the form");
}

static void test_usage_for_only_one_side_or_none_is_refused(void **state)
{
	struct pki *p = *state;

	refuse(p, p->agents, (struct x509_build){ .uri = WEB }, KEY_ED25519,
	    "not good");
	refuse(p, p->agents,
	    (struct x509_build){ .uri = WEB, .client = true, .no_usage = true },
	    KEY_ED25519, "not for TLS clients and servers");
}

static void test_an_authority_is_no_peer(void **state)
{
	struct pki *p = *state;
	struct outcome o = judge(p, ca_chain(p->nodes));

	assert_int_equal(o.rc, RC_DENIED);
	refuse(p, p->agents,
	    (struct x509_build){ .uri = WEB, .client = true, .is_ca = true },
	    KEY_ED25519, "certificate");
}

/* A relay that signs with its own certificate, as if it were an authority. */
static void test_an_issuer_that_is_no_authority_is_refused(void **state)
{
	struct pki *p = *state;
	struct identity *relay = pki_identity(p, ROLE_RELAY, "dc2-a");
	struct x509_build b = { .organisation = "x",
		.name = "x",
		.uri = WEB,
		.not_before_s = p->now_s,
		.not_after_s = p->now_s + DAY,
		.client = true,
		.issuer = identity_chain(relay)->cert[0],
		.issuer_key = identity_key(relay) };
	struct certs chain;
	struct outcome o;
	X509 *cert = NULL;
	EVP_PKEY *key = NULL;

	certs_init(&chain);
	assert_int_equal(key_generate(KEY_ED25519, &key), RC_OK);
	b.key = key;
	assert_int_equal(x509_build(&b, &cert), RC_OK);
	assert_int_equal(certs_add(&chain, cert), RC_OK);
	assert_int_equal(
	    certs_add(&chain, identity_chain(relay)->cert[0]), RC_OK);
	assert_int_equal(
	    certs_add(&chain, identity_chain(relay)->cert[1]), RC_OK);
	o = judge(p, &chain);
	assert_int_equal(o.rc, RC_DENIED);
	assert_int_equal(o.fault.code, REASON_TLS);
	X509_free(cert);
	EVP_PKEY_free(key);
	certs_fini(&chain);
	identity_free(relay);
}

static void test_a_self_signed_certificate_is_refused(void **state)
{
	struct pki *p = *state;
	struct x509_build b = { .organisation = "x",
		.name = "x",
		.uri = NODE_A,
		.not_before_s = p->now_s,
		.not_after_s = p->now_s + DAY,
		.client = true };
	struct certs chain;
	X509 *cert = NULL;
	EVP_PKEY *key = NULL;
	struct outcome o;

	certs_init(&chain);
	assert_int_equal(key_generate(KEY_ED25519, &key), RC_OK);
	b.key = key;
	b.issuer_key = key;
	assert_int_equal(x509_build(&b, &cert), RC_OK);
	assert_int_equal(certs_add(&chain, cert), RC_OK);
	o = judge(p, &chain);
	assert_int_equal(o.rc, RC_DENIED);
	certs_fini(&chain);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void test_the_https_certificate_is_no_peer(void **state)
{
	static const char *const hosts[] = { "localhost" };
	struct pki *p = *state;
	struct ca_https request = { .names = hosts,
		.name_count = 1,
		.now_s = p->now_s,
		.life_s = DAY };
	struct certs chain;
	struct outcome o;

	certs_init(&chain);
	assert_int_equal(key_generate(KEY_P256, &request.key), RC_OK);
	assert_int_equal(
	    ca_issue_https(p->root, &request, &chain, NULL), RC_OK);
	o = judge(p, &chain);
	assert_int_equal(o.rc, RC_DENIED);
	EVP_PKEY_free(request.key);
	certs_fini(&chain);
}

static void test_a_revoked_key_is_refused_at_once_and_on_a_second_look(
    void **state)
{
	struct pki *p = *state;
	struct identity *id = pki_identity(p, ROLE_RELAY, "dc2-a");
	struct revocation_list lists[REVOKED_COUNT] = { 0 };
	struct revocations *revoked = NULL;
	struct fault fault = { 0 };
	struct outcome o = judge(p, identity_chain(id));

	assert_int_equal(o.rc, RC_OK);
	assert_int_equal(
	    trust_recheck(p->trust, &o.peer, p->now_s, &fault), RC_OK);
	lists[REVOKED_AGENTS].number = 7;
	lists[REVOKED_AGENTS].hashes = identity_key_hash(id);
	lists[REVOKED_AGENTS].count = 1;
	assert_int_equal(revocations_new(lists, &revoked), RC_OK);
	trust_set_revocations(p->trust, revoked);
	revocations_unref(revoked);
	assert_int_equal(
	    trust_recheck(p->trust, &o.peer, p->now_s, &fault), RC_DENIED);
	assert_int_equal(fault.code, REASON_REVOKED);
	o = judge(p, identity_chain(id));
	assert_int_equal(o.rc, RC_DENIED);
	assert_int_equal(o.fault.code, REASON_REVOKED);
	trust_set_revocations(p->trust, NULL);
	o = judge(p, identity_chain(id));
	assert_int_equal(o.rc, RC_OK);
	identity_free(id);
}

static void test_a_peer_that_expired_meanwhile_fails_the_second_look(
    void **state)
{
	struct pki *p = *state;
	struct identity *id = pki_identity(p, ROLE_TENTACLE, MACHINE);
	struct outcome o = judge(p, identity_chain(id));
	struct fault fault = { 0 };

	assert_int_equal(trust_recheck(p->trust, &o.peer,
			     o.peer.not_after_s + TRUST_SKEW_S + 1, &fault),
	    RC_DENIED);
	assert_int_equal(fault.code, REASON_EXPIRED);
	identity_free(id);
}

static void test_someone_else_than_expected_is_named(void **state)
{
	struct pki *p = *state;
	struct identity *id = pki_identity(p, ROLE_RELAY, "dc2-b");
	struct outcome o = judge_with(
	    p, identity_chain(id), (struct trust_check){ .name = "dc2-a" });

	assert_int_equal(o.fault.code, REASON_WRONG_IDENTITY);
	assert_string_equal(o.fault.text, "relay dc2-b answered, not dc2-a");
	o = judge_with(p, identity_chain(id),
	    (struct trust_check){ .roles = TRUST_ROLE(ROLE_SERVER) });
	assert_int_equal(o.fault.code, REASON_WRONG_IDENTITY);
	assert_non_null(strstr(o.fault.text, "relay dc2-b answered"));
	identity_free(id);
}

static void test_a_pinned_root_must_be_shown_and_be_the_one(void **state)
{
	struct pki *p = *state;
	struct identity *id = pki_identity(p, ROLE_SERVER, "node-a");
	struct trust_check check = { .now_s = p->now_s };
	uint8_t hash[KEY_HASH_SIZE];
	struct trust *pinned = NULL, *wrong = NULL;
	struct certs shown;
	struct peer peer;
	struct fault fault = { 0 };

	certs_init(&shown);
	assert_int_equal(
	    certs_key_hash(ca_chain(p->root)->cert[0], hash), RC_OK);
	assert_int_equal(trust_new_pinned(CLUSTER, hash, &pinned), RC_OK);
	hash[0] ^= 1;
	assert_int_equal(trust_new_pinned(CLUSTER, hash, &wrong), RC_OK);
	assert_int_equal(
	    trust_verify(pinned, identity_chain(id), &check, &peer, &fault),
	    RC_DENIED);
	assert_int_equal(certs_copy(&shown, identity_chain(id)), RC_OK);
	assert_int_equal(certs_add(&shown, ca_chain(p->root)->cert[0]), RC_OK);
	assert_int_equal(
	    trust_verify(pinned, &shown, &check, &peer, &fault), RC_OK);
	assert_int_equal(peer.role, ROLE_SERVER);
	assert_int_equal(
	    trust_verify(wrong, &shown, &check, &peer, &fault), RC_DENIED);
	assert_int_equal(fault.code, REASON_WRONG_IDENTITY);
	trust_unref(pinned);
	trust_unref(wrong);
	certs_fini(&shown);
	identity_free(id);
}

/* An intermediate of another cluster id under our own root. */
static void test_an_authority_marked_for_another_cluster_is_refused(
    void **state)
{
	struct pki *p = *state;
	struct x509_build sub = { .uri = "longarm://" CLUSTER_2 "/ca/nodes",
		.is_ca = true,
		.not_before_s = p->now_s - 60,
		.not_after_s = p->now_s + DAY };
	struct certs chain, shown;
	char pem[KEY_PEM_MAX];
	size_t len = 0;
	struct ca *ca = NULL;
	EVP_PKEY *key;

	certs_init(&chain);
	certs_init(&shown);
	key = pki_forge(p->root, &sub, KEY_ED25519, &chain);
	assert_int_equal(key_to_pem(key, pem, &len), RC_OK);
	assert_int_equal(ca_load(&chain, pem, len, &ca, NULL), RC_OK);
	refuse(p, ca, (struct x509_build){ .uri = NODE_A, .client = true },
	    KEY_ED25519, "not issued by the authority 'nodes'");
	ca_free(ca);
	EVP_PKEY_free(key);
	certs_fini(&chain);
	certs_fini(&shown);
}

static void test_no_certificate_at_all_is_refused(void **state)
{
	struct certs none;
	struct outcome o;

	certs_init(&none);
	o = judge(*state, &none);
	assert_int_equal(o.rc, RC_DENIED);
	assert_int_equal(o.fault.code, REASON_TLS);
}

static void test_trust_without_a_root_is_none(void **state)
{
	struct certs none;
	struct trust *trust = NULL;

	(void)state;
	certs_init(&none);
	assert_int_equal(trust_new(CLUSTER, &none, &trust), RC_CRYPTO);
	assert_null(trust);
}

static int set_up(void **state)
{
	static struct pki p;

	pki_init(&p, CLUSTER);
	*state = &p;
	return 0;
}

static int tear_down(void **state)
{
	pki_fini(*state);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_each_role_is_believed_when_its_own_authority_signed),
		cmocka_unit_test(
		    test_a_tentacle_certificate_that_claims_server_is_refused),
		cmocka_unit_test(test_another_cluster_is_named),
		cmocka_unit_test(
		    test_a_chain_to_another_root_of_the_same_cluster_id_is_refused),
		cmocka_unit_test(
		    test_an_expired_certificate_is_refused_with_its_date),
		cmocka_unit_test(
		    test_who_accepts_expired_peers_gets_an_anonymous_one),
		cmocka_unit_test(test_five_minutes_of_skew_pass_and_six_do_not),
		cmocka_unit_test(
		    test_an_authority_that_expired_takes_its_peers_along),
		cmocka_unit_test(
		    test_names_that_are_not_exactly_one_spiffe_uri_are_refused),
		cmocka_unit_test(
		    test_usage_for_only_one_side_or_none_is_refused),
		cmocka_unit_test(test_an_authority_is_no_peer),
		cmocka_unit_test(
		    test_an_issuer_that_is_no_authority_is_refused),
		cmocka_unit_test(test_a_self_signed_certificate_is_refused),
		cmocka_unit_test(test_the_https_certificate_is_no_peer),
		cmocka_unit_test(
		    test_a_revoked_key_is_refused_at_once_and_on_a_second_look),
		cmocka_unit_test(
		    test_a_peer_that_expired_meanwhile_fails_the_second_look),
		cmocka_unit_test(test_someone_else_than_expected_is_named),
		cmocka_unit_test(
		    test_a_pinned_root_must_be_shown_and_be_the_one),
		cmocka_unit_test(
		    test_an_authority_marked_for_another_cluster_is_refused),
		cmocka_unit_test(test_no_certificate_at_all_is_refused),
		cmocka_unit_test(test_trust_without_a_root_is_none),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

#include "test/support/alloc.h"
#include "test/support/pki.h"

#include <openssl/x509v3.h>

static void test_an_authority_comes_back_from_its_key_and_chain(void **state)
{
	struct pki *p = *state;
	const struct ca *all[] = { p->root, p->nodes, p->agents };
	size_t i;

	for (i = 0; i < 3; i++) {
		char pem[KEY_PEM_MAX];
		struct ca *again = NULL;
		size_t len = 0;

		assert_int_equal(ca_key_pem(all[i], pem, &len), RC_OK);
		assert_int_equal(
		    ca_load(ca_chain(all[i]), pem, len, &again, NULL), RC_OK);
		assert_int_equal(ca_kind_of(again), ca_kind_of(all[i]));
		assert_string_equal(ca_cluster(again), CLUSTER);
		ca_free(again);
	}
}

static void test_a_key_of_another_authority_is_refused(void **state)
{
	struct pki *p = *state;
	char pem[KEY_PEM_MAX];
	struct ca *ca = NULL;
	size_t len = 0;
	struct fault fault = { 0 };

	assert_int_equal(ca_key_pem(p->agents, pem, &len), RC_OK);
	assert_int_equal(
	    ca_load(ca_chain(p->nodes), pem, len, &ca, &fault), RC_CRYPTO);
	assert_non_null(strstr(fault.text, "/ca/nodes"));
	assert_int_equal(
	    ca_load(ca_chain(p->nodes), "x", 1, &ca, &fault), RC_CRYPTO);
}

static void test_a_peer_is_no_authority(void **state)
{
	struct pki *p = *state;
	struct identity *id = pki_identity(p, ROLE_RELAY, "dc2-a");
	char pem[KEY_PEM_MAX];
	struct ca *ca = NULL;
	size_t len = 0;

	assert_int_equal(key_to_pem(identity_key(id), pem, &len), RC_OK);
	assert_int_equal(
	    ca_load(identity_chain(id), pem, len, &ca, NULL), RC_CRYPTO);
	identity_free(id);
}

static void test_no_authority_signs_the_others_roles(void **state)
{
	struct pki *p = *state;
	struct identity *id = pki_identity(p, ROLE_RELAY, "dc2-a");
	struct ca_request request = { .id = { .cluster = CLUSTER, .name = "x" },
		.now_s = p->now_s,
		.life_s = DAY };
	struct certs chain;
	struct fault fault = { 0 };
	uint8_t *csr = NULL;

	certs_init(&chain);
	assert_int_equal(identity_csr(id, &csr, &request.csr_len), RC_OK);
	request.csr = csr;
	request.id.role = ROLE_SERVER;
	assert_int_equal(
	    ca_issue(p->agents, &request, &chain, &fault), RC_STATE);
	assert_int_equal(ca_issue(p->root, &request, &chain, &fault), RC_STATE);
	request.id.role = ROLE_TENTACLE;
	assert_int_equal(
	    ca_issue(p->nodes, &request, &chain, &fault), RC_STATE);
	request.id.role = ROLE_ANONYMOUS;
	assert_int_equal(
	    ca_issue(p->agents, &request, &chain, &fault), RC_STATE);
	request.id.role = ROLE_RELAY;
	strcpy(request.id.cluster, CLUSTER_2);
	assert_int_equal(
	    ca_issue(p->agents, &request, &chain, &fault), RC_STATE);
	assert_int_equal(chain.count, 0);
	free(csr);
	identity_free(id);
}

static void test_a_request_is_proven_and_hostile_ones_are_refused(void **state)
{
	struct pki *p = *state;
	struct ca_request request = {
		.id = { .cluster = CLUSTER, .role = ROLE_RELAY, .name = "x" },
		.now_s = p->now_s,
		.life_s = DAY
	};
	struct certs chain;
	struct fault fault = { 0 };
	uint8_t *csr = NULL;
	size_t i, len = 0;
	EVP_PKEY *key = NULL;

	certs_init(&chain);
	assert_int_equal(key_generate(KEY_ED25519, &key), RC_OK);
	assert_int_equal(key_make_csr(key, &csr, &len), RC_OK);
	request.csr = csr;
	for (i = 0; i < len; i++) { /* cut at every byte */
		request.csr_len = i;
		assert_int_equal(
		    ca_issue(p->agents, &request, &chain, &fault), RC_PROTO);
	}
	request.csr_len = len;
	csr[len - 1] ^= 1; /* the signature */
	assert_int_equal(
	    ca_issue(p->agents, &request, &chain, &fault), RC_CRYPTO);
	assert_non_null(strstr(fault.text, "does not prove"));
	csr[len - 1] ^= 1;
	assert_int_equal(ca_issue(p->agents, &request, &chain, &fault), RC_OK);
	assert_int_equal(chain.count, 2);
	certs_fini(&chain);
	free(csr);
	EVP_PKEY_free(key);
	assert_int_equal(key_generate(KEY_P256, &key), RC_OK);
	assert_int_equal(key_make_csr(key, &csr, &request.csr_len), RC_OK);
	request.csr = csr;
	assert_int_equal(
	    ca_issue(p->agents, &request, &chain, &fault), RC_CRYPTO);
	assert_non_null(strstr(fault.text, "not Ed25519"));
	free(csr);
	EVP_PKEY_free(key);
}

static void test_an_rsa_key_is_refused(void **state)
{
	struct fault fault = { 0 };
	EVP_PKEY *rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	EVP_PKEY *p384 = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
	EVP_PKEY *out = NULL;
	char pem[KEY_PEM_MAX];
	uint8_t *csr = NULL;
	size_t len = 0;

	(void)state;
	assert_non_null(rsa);
	assert_non_null(p384);
	assert_false(key_is_allowed(rsa));
	assert_false(key_is_allowed(p384));
	assert_int_equal(key_to_pem(p384, pem, &len), RC_CRYPTO);
	assert_int_equal(key_make_csr(rsa, &csr, &len), RC_OK);
	assert_int_equal(key_from_csr(csr, len, &out, &fault), RC_CRYPTO);
	assert_non_null(strstr(fault.text, "neither Ed25519 nor P-256"));
	free(csr);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(p384);
}

static void test_the_https_certificate_holds_its_names(void **state)
{
	static const char *const names[] = { "server.example", "10.0.0.1",
		"fd00::1" };
	struct pki *p = *state;
	struct ca_https request = { .names = names,
		.name_count = 3,
		.now_s = p->now_s,
		.life_s = CA_HTTPS_LIFE_S };
	struct certs chain;

	certs_init(&chain);
	assert_int_equal(key_generate(KEY_P256, &request.key), RC_OK);
	assert_int_equal(
	    ca_issue_https(p->root, &request, &chain, NULL), RC_OK);
	assert_int_equal(chain.count, 2);
	assert_int_equal(
	    X509_check_host(chain.cert[0], "server.example", 0, 0, NULL), 1);
	assert_int_equal(
	    X509_check_host(chain.cert[0], "other.example", 0, 0, NULL), 0);
	assert_int_equal(X509_check_ip_asc(chain.cert[0], "10.0.0.1", 0), 1);
	assert_int_equal(X509_check_ip_asc(chain.cert[0], "fd00::1", 0), 1);
	assert_int_equal(
	    X509_verify(chain.cert[0], X509_get0_pubkey(chain.cert[1])), 1);
	assert_int_equal(
	    ca_issue_https(p->nodes, &request, &chain, NULL), RC_STATE);
	certs_fini(&chain);
	EVP_PKEY_free(request.key);
}

static void test_https_names_that_are_none_are_refused(void **state)
{
	static const char *const bad[] = { "", "a b", "*.example", "-x",
		"a,DNS:b", "http://x" };
	struct pki *p = *state;
	struct ca_https request = {
		.name_count = 1, .now_s = p->now_s, .life_s = DAY
	};
	struct certs chain;
	size_t i;

	certs_init(&chain);
	assert_int_equal(key_generate(KEY_P256, &request.key), RC_OK);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		request.names = &bad[i];
		assert_int_equal(
		    ca_issue_https(p->root, &request, &chain, NULL), RC_PROTO);
	}
	request.name_count = 0;
	assert_int_equal(
	    ca_issue_https(p->root, &request, &chain, NULL), RC_PROTO);
	EVP_PKEY_free(request.key);
}

static void test_only_the_root_makes_intermediates(void **state)
{
	struct pki *p = *state;
	struct ca *ca = NULL;

	assert_int_equal(
	    ca_create_sub(p->nodes, CA_AGENTS, p->now_s, &ca), RC_STATE);
	assert_int_equal(
	    ca_create_sub(p->root, CA_ROOT, p->now_s, &ca), RC_STATE);
	assert_int_equal(
	    ca_create_root("no cluster id", p->now_s, &ca), RC_PROTO);
	assert_null(ca);
}

static void test_a_list_of_certificates_has_an_end(void **state)
{
	struct pki *p = *state;
	struct certs list, copy;
	char *pem = NULL;
	uint8_t *der = NULL;
	size_t i, len = 0;
	struct fault fault = { 0 };

	certs_init(&list);
	certs_init(&copy);
	assert_int_equal(certs_der(ca_chain(p->nodes), 0, &der, &len), RC_OK);
	for (i = 0; i < len; i++)
		assert_int_equal(
		    certs_add_der(&list, der, i, &fault), RC_PROTO);
	for (i = 0; i < CERTS_MAX; i++)
		assert_int_equal(certs_add_der(&list, der, len, &fault), RC_OK);
	assert_int_equal(certs_add_der(&list, der, len, &fault), RC_LIMIT);
	free(der);
	assert_int_equal(certs_pem(&list, &pem, &len), RC_OK);
	assert_int_equal(certs_add_pem(&copy, pem, len, &fault), RC_OK);
	assert_int_equal(copy.count, CERTS_MAX);
	assert_int_equal(certs_add_pem(&copy, pem, len, &fault), RC_LIMIT);
	assert_int_equal(certs_add_pem(&copy, "x", 1, &fault), RC_PROTO);
	free(pem);
	certs_fini(&list);
	certs_fini(&copy);
}

static void test_every_failed_allocation_is_an_error_and_leaks_nothing(
    void **state)
{
	struct pki *p = *state;
	struct ca *ca = NULL;
	struct identity *id = NULL;
	struct trust *trust = NULL;
	uint8_t *csr = NULL;
	size_t n, len = 0;
	enum rc rc = RC_NOMEM;

	for (n = 0; rc == RC_NOMEM; n++) {
		alloc_fail_at(n);
		rc = ca_create_sub(p->root, CA_AGENTS, p->now_s, &ca);
		if (rc == RC_OK)
			rc = identity_generate(&id);
		if (rc == RC_OK)
			rc = identity_csr(id, &csr, &len);
		if (rc == RC_OK)
			rc = trust_new(CLUSTER, ca_chain(p->root), &trust);
		assert_int_equal(rc, alloc_failed() ? RC_NOMEM : RC_OK);
		alloc_never_fail();
		ca_free(ca);
		identity_free(id);
		trust_unref(trust);
		free(csr);
		ca = NULL;
		id = NULL;
		trust = NULL;
		csr = NULL;
	}
	assert_true(n > 3);
}

static void test_revoked_hashes_are_found_in_both_lists(void **state)
{
	uint8_t hashes[3][KEY_HASH_SIZE] = { { 9 }, { 1 }, { 5 } };
	uint8_t other[KEY_HASH_SIZE] = { 1, 1 };
	struct revocation_list lists[REVOKED_COUNT] = {
		[REVOKED_AGENTS] = { 4, hashes[0], 2 },
		[REVOKED_NODES] = { 8, hashes[2], 1 },
	};
	struct revocations *r = NULL;
	size_t i;

	(void)state;
	assert_false(revocations_has(NULL, hashes[0]));
	assert_int_equal(revocations_number(NULL, REVOKED_NODES), 0);
	assert_int_equal(revocations_new(lists, &r), RC_OK);
	for (i = 0; i < 3; i++)
		assert_true(revocations_has(r, hashes[i]));
	assert_false(revocations_has(r, other));
	assert_int_equal(revocations_number(r, REVOKED_AGENTS), 4);
	assert_int_equal(revocations_number(r, REVOKED_NODES), 8);
	revocations_unref(revocations_ref(r));
	revocations_unref(r);
	lists[0].count = REVOCATIONS_MAX + 1;
	assert_int_equal(revocations_new(lists, &r), RC_LIMIT);
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
		    test_an_authority_comes_back_from_its_key_and_chain),
		cmocka_unit_test(test_a_key_of_another_authority_is_refused),
		cmocka_unit_test(test_a_peer_is_no_authority),
		cmocka_unit_test(test_no_authority_signs_the_others_roles),
		cmocka_unit_test(
		    test_a_request_is_proven_and_hostile_ones_are_refused),
		cmocka_unit_test(test_an_rsa_key_is_refused),
		cmocka_unit_test(test_the_https_certificate_holds_its_names),
		cmocka_unit_test(test_https_names_that_are_none_are_refused),
		cmocka_unit_test(test_only_the_root_makes_intermediates),
		cmocka_unit_test(test_a_list_of_certificates_has_an_end),
		cmocka_unit_test(
		    test_every_failed_allocation_is_an_error_and_leaks_nothing),
		cmocka_unit_test(test_revoked_hashes_are_found_in_both_lists),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

/*
 * Signed lists of revoked keys: who may sign which, what is believed, and that
 * no list goes back.
 */
#include "common/revocation_list.h"

#include "test/support/pki.h"

static const uint8_t hashes[2 * KEY_HASH_SIZE] = { 1, 2, 3, [32] = 4, 5, 6 };

static struct packbuf sign(const struct ca *ca, enum revocation_kind kind,
    uint64_t number, size_t count)
{
	const struct revocation_list list = {
		.number = number, .hashes = hashes, .count = count
	};
	struct packbuf out;

	packbuf_init(&out, REVOKED_SIGNED_MAX + 65536);
	assert_int_equal(
	    revocation_list_sign(ca, kind, &list, 1700000000, &out), RC_OK);
	return out;
}

static void refuse(
    struct pki *p, struct bytes bytes, enum rc rc, const char *words)
{
	struct revocation_list_read out;
	struct fault fault = { 0 };

	assert_int_equal(
	    revocation_list_verify(p->trust, bytes, p->now_s, &out, &fault),
	    rc);
	if (strstr(fault.text, words) == NULL)
		fail_msg("'%s' does not say '%s'", fault.text, words);
}

static void test_what_was_signed_is_read(void **state)
{
	struct pki *p = *state;
	const struct ca *signers[] = { p->agents, p->nodes };

	for (unsigned kind = 0; kind < REVOKED_COUNT; kind++) {
		struct packbuf b =
		    sign(signers[kind], (enum revocation_kind)kind, 7, 2);
		struct revocation_list_read out;
		struct fault fault = { 0 };

		if (revocation_list_verify(p->trust, packbuf_bytes(&b),
			p->now_s, &out, &fault) != RC_OK)
			fail_msg("%s", fault.text);
		assert_int_equal(out.kind, kind);
		assert_true(out.list.number == 7 && out.made_s == 1700000000);
		assert_true(out.list.count == 2);
		assert_memory_equal(out.list.hashes, hashes, sizeof(hashes));
		packbuf_fini(&b);
	}
}

static void test_no_authority_signs_the_list_of_the_other(void **state)
{
	struct pki *p = *state;
	const struct revocation_list list = { .number = 1 };
	struct packbuf out;

	packbuf_init(&out, 65536);
	assert_int_equal(
	    revocation_list_sign(p->agents, REVOKED_NODES, &list, 1, &out),
	    RC_STATE);
	assert_int_equal(
	    revocation_list_sign(p->nodes, REVOKED_AGENTS, &list, 1, &out),
	    RC_STATE);
	assert_int_equal(
	    revocation_list_sign(p->root, REVOKED_AGENTS, &list, 1, &out),
	    RC_STATE);
	packbuf_fini(&out);
}

/* The signed list with other parts. */
static struct packbuf forge(struct bytes bytes, const struct certs *signer,
    size_t signers, struct bytes body)
{
	struct msg_signed_list m;
	struct bytes items[2] = { { NULL, 0 } }, *own;
	uint8_t *der[2] = { NULL, NULL };
	struct fault fault;
	struct packbuf out;
	size_t len = 0;

	packbuf_init(&out, 65536);
	assert_int_equal(msg_signed_list_decode(bytes, &m, &fault), RC_OK);
	own = m.chain.items;
	for (size_t i = 0; i < signers; i++) {
		assert_int_equal(certs_der(signer, i, &der[i], &len), RC_OK);
		items[i] = bytes_of(der[i], len);
	}
	if (signers > 0)
		m.chain = (struct msg_blob_list){ items, signers };
	if (body.len > 0)
		m.body = body;
	assert_int_equal(msg_signed_list_encode(&m, &out), RC_OK);
	m.chain.items = own;
	msg_signed_list_clear(&m);
	free(der[0]);
	free(der[1]);
	return out;
}

static void test_another_signer_is_refused(void **state)
{
	struct pki *p = *state, other;
	struct identity *relay = pki_identity(p, ROLE_RELAY, "dc2-a");
	struct packbuf good = sign(p->agents, REVOKED_AGENTS, 7, 2), bad;
	const struct bytes same = { NULL, 0 };

	pki_init(&other, CLUSTER);
	/* Signed by the agents of another root. */
	bad = sign(other.agents, REVOKED_AGENTS, 7, 2);
	refuse(p, packbuf_bytes(&bad), RC_DENIED, "not good for this cluster");
	packbuf_fini(&bad);
	/* By ours, but showing another authority, the root, a mere peer. */
	bad = forge(packbuf_bytes(&good), ca_chain(p->nodes), 1, same);
	refuse(p, packbuf_bytes(&bad), RC_DENIED, "the authority 'agents'");
	packbuf_fini(&bad);
	bad = forge(packbuf_bytes(&good), ca_chain(p->root), 1, same);
	refuse(p, packbuf_bytes(&bad), RC_DENIED, "the authority 'agents'");
	packbuf_fini(&bad);
	bad = forge(packbuf_bytes(&good), identity_chain(relay), 2, same);
	refuse(p, packbuf_bytes(&bad), RC_DENIED, "the authority 'agents'");
	packbuf_fini(&bad);
	packbuf_fini(&good);
	identity_free(relay);
	pki_fini(&other);
}

static void test_a_list_of_another_cluster_is_refused(void **state)
{
	struct pki *p = *state, other;
	struct packbuf b;

	pki_init(&other, CLUSTER_2);
	b = sign(other.agents, REVOKED_AGENTS, 7, 1);
	refuse(p, packbuf_bytes(&b), RC_DENIED, "is of cluster " CLUSTER_2);
	packbuf_fini(&b);
	pki_fini(&other);
}

static void test_another_body_under_a_good_signature_is_refused(void **state)
{
	struct pki *p = *state;
	struct packbuf good = sign(p->agents, REVOKED_AGENTS, 7, 2), body, bad;
	struct msg_revocation_list m = { .list = REVOKED_AGENTS, .number = 8 };

	strcpy(m.cluster, CLUSTER);
	packbuf_init(&body, 65536);
	assert_int_equal(msg_revocation_list_encode(&m, &body), RC_OK);
	bad = forge(packbuf_bytes(&good), NULL, 0, packbuf_bytes(&body));
	refuse(p, packbuf_bytes(&bad), RC_DENIED, "signature");
	packbuf_fini(&bad);
	packbuf_fini(&body);
	packbuf_fini(&good);
}

static void test_any_damaged_byte_is_refused(void **state)
{
	struct pki *p = *state;
	struct packbuf b = sign(p->agents, REVOKED_AGENTS, 7, 2);
	struct bytes whole = packbuf_bytes(&b);
	uint8_t *copy = malloc(whole.len);

	assert_non_null(copy);
	memcpy(copy, whole.p, whole.len);
	for (size_t i = 0; i < whole.len; i++) {
		struct revocation_list_read out;
		struct fault fault;

		copy[i] ^= 0x20;
		assert_int_not_equal(
		    revocation_list_verify(p->trust, bytes_of(copy, whole.len),
			p->now_s, &out, &fault),
		    RC_OK);
		copy[i] ^= 0x20;
		assert_int_not_equal(
		    revocation_list_verify(
			p->trust, bytes_of(copy, i), p->now_s, &out, &fault),
		    RC_OK);
	}
	free(copy);
	packbuf_fini(&b);
}

static void test_a_number_never_goes_back(void **state)
{
	struct pki *p = *state;
	struct revocation_book book = { .held = { { .number = 0 } } };
	struct packbuf older = sign(p->agents, REVOKED_AGENTS, 6, 1),
		       newer = sign(p->agents, REVOKED_AGENTS, 7, 2),
		       nodes = sign(p->nodes, REVOKED_NODES, 3, 0);
	struct packbuf *order[] = { &newer, &nodes, &older, &newer };
	const enum rc expect[] = { RC_OK, RC_OK, RC_STATE, RC_OK };
	const bool changes[] = { true, true, false, false };
	struct revocations *r;

	for (size_t i = 0; i < 4; i++) {
		enum revocation_kind kind;
		struct fault fault;
		bool changed;

		assert_int_equal(
		    revocation_book_take(&book, p->trust,
			&(struct revocation_take){
			    packbuf_bytes(order[i]), p->now_s, &changed },
			&kind, &fault),
		    expect[i]);
		assert_int_equal(changed, changes[i]);
	}
	r = trust_revocations(p->trust);
	assert_true(revocations_number(r, REVOKED_AGENTS) == 7);
	assert_true(revocations_number(r, REVOKED_NODES) == 3);
	assert_true(revocations_has(r, hashes));
	assert_true(revocations_has(r, hashes + KEY_HASH_SIZE));
	revocations_unref(r);
	trust_set_revocations(p->trust, NULL);
	revocation_book_fini(&book);
	packbuf_fini(&older);
	packbuf_fini(&newer);
	packbuf_fini(&nodes);
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
		cmocka_unit_test(test_what_was_signed_is_read),
		cmocka_unit_test(test_no_authority_signs_the_list_of_the_other),
		cmocka_unit_test(test_another_signer_is_refused),
		cmocka_unit_test(test_a_list_of_another_cluster_is_refused),
		cmocka_unit_test(
		    test_another_body_under_a_good_signature_is_refused),
		cmocka_unit_test(test_any_damaged_byte_is_refused),
		cmocka_unit_test(test_a_number_never_goes_back),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

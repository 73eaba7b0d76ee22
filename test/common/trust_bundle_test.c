/*
 * Trust that moves from one root to the next: who signs bundles, what is
 * believed before, during and after, and what a member keeps of it.
 */
#include "common/trust_bundle.h"

#include "test/support/pki.h"

#include "common/fs.h"
#include "common/member.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct world {
	struct pki pki;
	struct ca *root, *agents, *nodes; /* those that follow */
	char top[64], dir[96];
	struct member *member;
	struct fault fault;
};

static void hash_of(const struct ca *ca, uint8_t out[KEY_HASH_SIZE])
{
	assert_int_equal(certs_key_hash(ca_chain(ca)->cert[0], out), RC_OK);
}

static void add_root(struct trust_bundle *b, const struct ca *root)
{
	assert_int_equal(certs_add(&b->roots, ca_chain(root)->cert[0]), RC_OK);
}

static void retire(struct trust_bundle *b, const struct ca *ca)
{
	uint8_t hash[KEY_HASH_SIZE];

	hash_of(ca, hash);
	assert_int_equal(trust_bundle_retire(b, hash), RC_OK);
}

/* Signed; the bundle is done with. */
static struct packbuf sign(
    struct world *w, const struct ca *signer, struct trust_bundle *b)
{
	struct packbuf out;

	packbuf_init(&out, TRUST_BUNDLE_MAX);
	assert_int_equal(
	    trust_bundle_sign(signer, b, w->pki.now_s, &out), RC_OK);
	certs_fini(&b->roots);
	return out;
}

/* Number 1, both roots, by the old one. */
static struct packbuf sign_both(struct world *w)
{
	struct trust_bundle b = { .number = 1 };

	add_root(&b, w->pki.root);
	add_root(&b, w->root);
	return sign(w, w->pki.root, &b);
}

/* Number 2, the new root alone, by itself. */
static struct packbuf sign_after(struct world *w)
{
	struct trust_bundle b = { .number = 2 };

	add_root(&b, w->root);
	retire(&b, w->pki.agents);
	retire(&b, w->pki.nodes);
	return sign(w, w->root, &b);
}

static void refuse(struct world *w, struct bytes bytes, const char *words)
{
	struct trust_bundle out;
	enum rc rc = trust_bundle_verify(
	    CLUSTER, ca_chain(w->pki.root), bytes, &out, &w->fault);

	assert_true(rc == RC_DENIED || rc == RC_PROTO);
	assert_int_equal(out.roots.count, 0);
	if (strstr(w->fault.text, words) == NULL)
		fail_msg("'%s' does not say '%s'", w->fault.text, words);
}

static void test_what_a_root_signed_is_read(void **state)
{
	struct world *w = *state;
	struct trust_bundle b = { .number = 7 }, out;
	struct packbuf p;

	add_root(&b, w->pki.root);
	add_root(&b, w->root);
	retire(&b, w->pki.agents);
	retire(&b, w->pki.agents); /* once is enough */
	p = sign(w, w->pki.root, &b);
	assert_int_equal(trust_bundle_verify(CLUSTER, ca_chain(w->pki.root),
			     packbuf_bytes(&p), &out, &w->fault),
	    RC_OK);
	assert_true(out.number == 7 && out.roots.count == 2);
	assert_int_equal(out.retired_count, 1);
	hash_of(w->pki.agents, b.retired[0]);
	assert_memory_equal(out.retired[0], b.retired[0], KEY_HASH_SIZE);
	certs_fini(&out.roots);
	packbuf_fini(&p);
}

static void test_only_a_root_that_is_trusted_signs(void **state)
{
	struct world *w = *state;
	struct trust_bundle b = { .number = 1 };
	struct packbuf p;

	packbuf_init(&p, TRUST_BUNDLE_MAX);
	add_root(&b, w->root);
	assert_int_equal(trust_bundle_sign(w->pki.nodes, &b, 1, &p), RC_STATE);
	packbuf_fini(&p);
	p = sign(w, w->root, &b); /* by itself, not by the old one */
	refuse(w, packbuf_bytes(&p), "not signed by a root");
	packbuf_fini(&p);
}

static void test_any_damaged_byte_of_a_bundle_is_refused(void **state)
{
	struct world *w = *state;
	struct packbuf p = sign_both(w);
	size_t read = 0;

	for (size_t i = 0; i < p.len; i++) {
		struct trust_bundle out;

		p.data[i] ^= 1;
		if (trust_bundle_verify(CLUSTER, ca_chain(w->pki.root),
			packbuf_bytes(&p), &out, &w->fault) == RC_OK) {
			read++;
			assert_true(out.number == 1 && out.roots.count == 2);
		}
		certs_fini(&out.roots);
		p.data[i] ^= 1;
	}
	/* The signer's certificate is only a name for its key: bytes of it
	 * that are not of the key may be anything. */
	assert_true(read < p.len / 2);
	refuse(w, bytes_of(p.data, p.len - 1), "");
	packbuf_fini(&p);
}

static void test_what_is_no_root_of_ours_is_not_brought_in(void **state)
{
	struct world *w = *state;
	struct trust_bundle b = { .number = 1 };
	struct pki other;
	struct packbuf p;

	add_root(&b, w->pki.agents);
	p = sign(w, w->pki.root, &b);
	refuse(w, packbuf_bytes(&p), "no root of this cluster");
	packbuf_fini(&p);
	pki_init(&other, CLUSTER_2);
	add_root(&b, other.root);
	p = sign(w, w->pki.root, &b);
	refuse(w, packbuf_bytes(&p), "no root of this cluster");
	packbuf_fini(&p);
	add_root(&b, other.root);
	p = sign(w, other.root, &b);
	assert_int_equal(trust_bundle_verify(CLUSTER, ca_chain(other.root),
			     packbuf_bytes(&p), &b, &w->fault),
	    RC_DENIED);
	assert_non_null(strstr(w->fault.text, CLUSTER_2));
	packbuf_fini(&p);
	pki_fini(&other);
}

/* --- Who believes whom -----------------------------------------------------
 */

static void issue(struct world *w, const struct ca *ca, enum peer_role role,
    struct certs *chain)
{
	struct ca_request r = {
		.id = { .role = role }, .now_s = w->pki.now_s, .life_s = DAY
	};

	memcpy(r.id.cluster, CLUSTER, ID_SIZE);
	strcpy(r.id.name, role == ROLE_SERVER ? "n1" : MACHINE);
	assert_int_equal(key_generate(KEY_ED25519, &r.key), RC_OK);
	certs_init(chain);
	assert_int_equal(ca_issue(ca, &r, chain, &w->fault), RC_OK);
	EVP_PKEY_free(r.key);
}

static enum rc judge(struct world *w, struct trust *trust,
    const struct certs *shown, struct peer *peer)
{
	const struct trust_check check = { .now_s = w->pki.now_s };

	return trust_verify(trust, shown, &check, peer, &w->fault);
}

static void use(struct world *w, struct trust *trust, struct packbuf p,
    const struct certs *roots)
{
	struct trust_bundle b;

	if (trust_bundle_verify(
		CLUSTER, roots, packbuf_bytes(&p), &b, &w->fault) != RC_OK)
		fail_msg("%s", w->fault.text);
	assert_int_equal(
	    trust_replace(trust, &b.roots, &b.retired[0][0], b.retired_count),
	    RC_OK);
	certs_fini(&b.roots);
	packbuf_fini(&p);
}

static void test_old_and_new_are_believed_until_the_old_is_retired(void **state)
{
	struct world *w = *state;
	struct trust *trust = w->pki.trust;
	struct certs old, new;
	struct peer peer, before;
	uint8_t hash[KEY_HASH_SIZE];

	issue(w, w->pki.agents, ROLE_TENTACLE, &old);
	issue(w, w->agents, ROLE_TENTACLE, &new);
	/* Who knows only the old root finds the new authority through it. */
	assert_int_equal(judge(w, trust, &old, &before), RC_OK);
	if (judge(w, trust, &new, &peer) != RC_OK)
		fail_msg("%s", w->fault.text);
	hash_of(w->agents, hash);
	assert_memory_equal(peer.authority, hash, sizeof(hash));
	use(w, trust, sign_both(w), ca_chain(w->pki.root));
	assert_int_equal(judge(w, trust, &old, &peer), RC_OK);
	assert_int_equal(judge(w, trust, &new, &peer), RC_OK);
	assert_int_equal(
	    trust_recheck(trust, &before, w->pki.now_s, &w->fault), RC_OK);
	use(w, trust, sign_after(w), ca_chain(w->root));
	assert_int_equal(judge(w, trust, &old, &peer), RC_DENIED);
	assert_int_equal(judge(w, trust, &new, &peer), RC_OK);
	assert_int_equal(
	    trust_recheck(trust, &before, w->pki.now_s, &w->fault), RC_DENIED);
	assert_non_null(strstr(w->fault.text, "was retired"));
	assert_int_equal(
	    trust_recheck(trust, &peer, w->pki.now_s, &w->fault), RC_OK);
	certs_fini(&old);
	certs_fini(&new);
}

static void test_a_retired_authoritys_peer_is_as_one_that_expired(void **state)
{
	struct world *w = *state;
	struct trust *trust = w->pki.trust;
	struct trust_check check = { .now_s = w->pki.now_s,
		.accept_expired = true };
	struct trust_bundle b = { .number = 1 };
	struct certs old, node;
	struct peer peer;

	issue(w, w->pki.agents, ROLE_TENTACLE, &old);
	issue(w, w->pki.nodes, ROLE_SERVER, &node);
	add_root(&b, w->pki.root);
	retire(&b, w->pki.agents);
	use(w, trust, sign(w, w->pki.root, &b), ca_chain(w->pki.root));
	assert_int_equal(judge(w, trust, &old, &peer), RC_DENIED);
	assert_int_equal(w->fault.code, REASON_EXPIRED);
	assert_int_equal(
	    trust_verify(trust, &old, &check, &peer, &w->fault), RC_OK);
	assert_int_equal(peer.role, ROLE_ANONYMOUS);
	assert_true(peer.expired);
	assert_string_equal(peer.id.name, MACHINE);
	/* The other authority of that root goes on. */
	assert_int_equal(judge(w, trust, &node, &peer), RC_OK);
	assert_int_equal(trust_verify_authority(trust, ca_chain(w->pki.agents),
			     CA_AGENTS, w->pki.now_s, &w->fault),
	    RC_DENIED);
	assert_int_equal(trust_verify_authority(trust, ca_chain(w->pki.nodes),
			     CA_NODES, w->pki.now_s, &w->fault),
	    RC_OK);
	certs_fini(&old);
	certs_fini(&node);
}

/* A server in the middle shows both roots: tokens of before and of now. */
static void test_a_token_may_name_the_old_root_or_the_new(void **state)
{
	struct world *w = *state;
	const struct ca *roots[] = { w->pki.root, w->root };
	struct certs shown;
	struct peer peer;

	issue(w, w->nodes, ROLE_SERVER, &shown);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(
		    certs_add(&shown, ca_chain(roots[i])->cert[0]), RC_OK);
	for (size_t i = 0; i < 2; i++) {
		uint8_t hash[KEY_HASH_SIZE];
		struct trust *pinned;

		hash_of(roots[i], hash);
		assert_int_equal(
		    trust_new_pinned(CLUSTER, hash, &pinned), RC_OK);
		if (judge(w, pinned, &shown, &peer) != RC_OK)
			fail_msg("%zu: %s", i, w->fault.text);
		trust_unref(pinned);
	}
	certs_fini(&shown);
}

/* --- A member --------------------------------------------------------------
 */

static void take(struct world *w, struct packbuf p, enum rc want, bool change)
{
	bool changed = false;

	if (member_take_trust(
		w->member, packbuf_bytes(&p), &changed, &w->fault) != want)
		fail_msg("%s", w->fault.text);
	assert_int_equal(changed, change);
	packbuf_fini(&p);
}

static void open_again(struct world *w)
{
	member_close(w->member);
	w->member = NULL;
	if (member_open(w->dir, &w->member, &w->fault) != RC_OK)
		fail_msg("%s", w->fault.text);
}

static void renew(struct world *w)
{
	struct ca_request r = { .id = *identity_spiffe(w->member->identity),
		.key = identity_key(w->member->identity),
		.now_s = w->pki.now_s,
		.life_s = 2 * DAY };
	struct certs chain;
	bool changed = false;

	certs_init(&chain);
	assert_int_equal(ca_issue(w->agents, &r, &chain, &w->fault), RC_OK);
	if (member_renew(
		w->member, &chain, w->pki.now_s, &changed, &w->fault) != RC_OK)
		fail_msg("%s", w->fault.text);
	assert_true(changed);
	certs_fini(&chain);
}

static void test_a_member_moves_to_the_new_root(void **state)
{
	struct world *w = *state;

	take(w, sign_both(w), RC_OK, true);
	take(w, sign_both(w), RC_OK, false); /* the same again */
	assert_true(w->member->trust_number == 1);
	open_again(w);
	assert_true(w->member->trust_number == 1);
	assert_int_equal(identity_roots(w->member->identity)->count, 2);
	renew(w);
	take(w, sign_after(w), RC_OK, true);
	open_again(w);
	assert_true(w->member->trust_number == 2);
	assert_int_equal(identity_roots(w->member->identity)->count, 1);
	/* What came before does not come back: nobody vouches for it. */
	take(w, sign_both(w), RC_DENIED, false);
}

static void test_a_member_keeps_a_trust_that_believes_itself(void **state)
{
	struct world *w = *state;

	take(w, sign_both(w), RC_OK, true);
	take(w, sign_after(w), RC_DENIED, false); /* not renewed yet */
	assert_true(w->member->trust_number == 1);
	assert_non_null(strstr(w->fault.text, "retires"));
	open_again(w);
	assert_int_equal(identity_roots(w->member->identity)->count, 2);
}

static void test_the_crash_between_roots_and_bundle_is_mended(void **state)
{
	struct world *w = *state;
	char path[160];

	take(w, sign_both(w), RC_OK, true);
	(void)snprintf(path, sizeof(path), "%s/trust", w->dir);
	assert_int_equal(unlink(path), 0);
	open_again(w);
	assert_true(w->member->trust_number == 0);
	assert_int_equal(identity_roots(w->member->identity)->count, 2);
	take(w, sign_both(w), RC_OK, true);
	assert_int_equal(access(path, F_OK), 0);
}

static int set_up(void **state)
{
	static struct world w;
	const struct member_new n = { .identity = NULL, .name = "web-01" };
	struct member_new made = n;
	struct identity *id;
	struct certs above;
	X509 *cross = NULL;

	memset(&w, 0, sizeof(w));
	pki_init(&w.pki, CLUSTER);
	assert_int_equal(ca_create_root(CLUSTER, w.pki.now_s, &w.root), RC_OK);
	assert_int_equal(
	    ca_create_sub(w.root, CA_AGENTS, w.pki.now_s, &w.agents), RC_OK);
	assert_int_equal(
	    ca_create_sub(w.root, CA_NODES, w.pki.now_s, &w.nodes), RC_OK);
	assert_int_equal(
	    ca_cross_sign(w.pki.root, w.root, w.pki.now_s, &cross), RC_OK);
	certs_init(&above);
	assert_int_equal(certs_add(&above, cross), RC_OK);
	assert_int_equal(
	    certs_add(&above, ca_chain(w.pki.root)->cert[0]), RC_OK);
	assert_int_equal(ca_set_above(w.agents, &above), RC_OK);
	assert_int_equal(ca_set_above(w.nodes, &above), RC_OK);
	assert_int_equal(ca_set_above(w.pki.agents, &above), RC_CRYPTO);
	X509_free(cross);
	certs_fini(&above);
	strcpy(w.top, "/tmp/longarm-trust-XXXXXX");
	assert_non_null(mkdtemp(w.top));
	(void)snprintf(w.dir, sizeof(w.dir), "%s/state", w.top);
	id = pki_identity(&w.pki, ROLE_TENTACLE, MACHINE);
	made.identity = id;
	assert_int_equal(member_create(w.dir, &made, &w.fault), RC_OK);
	identity_free(id);
	assert_int_equal(member_open(w.dir, &w.member, &w.fault), RC_OK);
	*state = &w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY);

	member_close(w->member);
	assert_int_equal(
	    fs_remove_tree(tmp, w->top + strlen("/tmp/"), &w->fault), RC_OK);
	(void)close(tmp);
	ca_free(w->root);
	ca_free(w->agents);
	ca_free(w->nodes);
	pki_fini(&w->pki);
	return 0;
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		EACH(test_what_a_root_signed_is_read),
		EACH(test_only_a_root_that_is_trusted_signs),
		EACH(test_any_damaged_byte_of_a_bundle_is_refused),
		EACH(test_what_is_no_root_of_ours_is_not_brought_in),
		EACH(test_old_and_new_are_believed_until_the_old_is_retired),
		EACH(test_a_retired_authoritys_peer_is_as_one_that_expired),
		EACH(test_a_token_may_name_the_old_root_or_the_new),
		EACH(test_a_member_moves_to_the_new_root),
		EACH(test_a_member_keeps_a_trust_that_believes_itself),
		EACH(test_the_crash_between_roots_and_bundle_is_mended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

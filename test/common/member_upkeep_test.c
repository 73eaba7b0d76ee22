/*
 * What servers ask of every member: lists of revoked keys in pieces, kept over
 * restarts.
 */
#include "common/member_upkeep.h"

#include "test/support/pki.h"

#include "common/fs.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define MANY 4000 /* hashes: more than two pieces */

struct world {
	struct pki pki;
	char top[64], dir[96];
	struct member *member;
	uint8_t hashes[MANY * KEY_HASH_SIZE];
	bool changed;
	struct fault fault;
};

static struct packbuf sign(struct world *w, uint64_t number, size_t count)
{
	const struct revocation_list list = {
		.number = number, .hashes = w->hashes, .count = count
	};
	struct packbuf out;

	packbuf_init(&out, REVOKED_SIGNED_MAX + 65536);
	assert_int_equal(revocation_list_sign(w->pki.agents, REVOKED_AGENTS,
			     &list, w->pki.now_s, &out),
	    RC_OK);
	return out;
}

static enum rc send_piece(
    struct world *w, struct bytes whole, uint64_t number, size_t from)
{
	size_t len = whole.len - from;
	struct msg_revoked m = {
		.number = number, .size = whole.len, .offset = from
	};

	if (len > REVOKED_PIECE_MAX)
		len = REVOKED_PIECE_MAX;
	m.piece = bytes_of(whole.p + from, len);
	return member_revoked(w->member, &m, &w->changed, &w->fault);
}

static void send_all(struct world *w, struct bytes whole, uint64_t number)
{
	for (size_t at = 0; at < whole.len; at += REVOKED_PIECE_MAX)
		assert_int_equal(send_piece(w, whole, number, at), RC_OK);
}

static bool refuses(const struct world *w, size_t i)
{
	struct revocations *r = trust_revocations(w->member->trust);
	bool has = revocations_has(r, w->hashes + i * KEY_HASH_SIZE);

	revocations_unref(r);
	return has;
}

static void test_a_list_in_pieces_counts_when_it_is_whole(void **state)
{
	struct world *w = *state;
	struct packbuf b = sign(w, 5, MANY);
	struct bytes whole = packbuf_bytes(&b);

	assert_true(whole.len > 2 * (size_t)REVOKED_PIECE_MAX);
	assert_int_equal(send_piece(w, whole, 5, 0), RC_OK);
	assert_false(w->changed);
	assert_false(refuses(w, 0));
	send_all(w, whole, 5); /* from the beginning again */
	assert_true(w->changed);
	assert_true(refuses(w, 0) && refuses(w, MANY - 1));
	assert_true(member_revocations(w->member).agents == 5);
	packbuf_fini(&b);
}

static void test_pieces_that_do_not_follow_are_refused(void **state)
{
	struct world *w = *state;
	struct packbuf b = sign(w, 5, MANY);
	struct bytes whole = packbuf_bytes(&b);

	assert_int_equal(send_piece(w, whole, 5, REVOKED_PIECE_MAX), RC_STATE);
	assert_int_equal(send_piece(w, whole, 5, 0), RC_OK);
	assert_int_equal(
	    send_piece(w, whole, 5, 2 * (size_t)REVOKED_PIECE_MAX), RC_STATE);
	assert_int_equal(send_piece(w, whole, 5, 0), RC_OK);
	assert_int_equal(send_piece(w, whole, 6, REVOKED_PIECE_MAX), RC_STATE);
	assert_false(refuses(w, 0));
	packbuf_fini(&b);
}

static void test_a_list_outlives_a_restart(void **state)
{
	struct world *w = *state;
	struct packbuf b = sign(w, 5, 2);

	send_all(w, packbuf_bytes(&b), 5);
	member_close(w->member);
	w->member = NULL;
	assert_int_equal(member_open(w->dir, &w->member, &w->fault), RC_OK);
	assert_true(refuses(w, 1));
	assert_true(member_revocations(w->member).agents == 5);
	packbuf_fini(&b);
}

static void test_an_older_list_changes_nothing(void **state)
{
	struct world *w = *state;
	struct packbuf newer = sign(w, 5, 2), older = sign(w, 4, 0);

	send_all(w, packbuf_bytes(&newer), 5);
	send_all(w, packbuf_bytes(&older), 4);
	assert_false(w->changed);
	member_close(w->member);
	w->member = NULL;
	assert_int_equal(member_open(w->dir, &w->member, &w->fault), RC_OK);
	assert_true(refuses(w, 1));
	packbuf_fini(&newer);
	packbuf_fini(&older);
}

static void test_a_damaged_file_is_told_again(void **state)
{
	struct world *w = *state;
	struct packbuf b = sign(w, 5, 2);
	char path[128];

	send_all(w, packbuf_bytes(&b), 5);
	member_close(w->member);
	w->member = NULL;
	(void)snprintf(path, sizeof(path), "%s/revoked-agents", w->dir);
	assert_int_equal(truncate(path, 20), 0);
	assert_int_equal(member_open(w->dir, &w->member, &w->fault), RC_OK);
	assert_true(member_revocations(w->member).agents == 0);
	send_all(w, packbuf_bytes(&b), 5);
	assert_true(w->changed && refuses(w, 0));
	packbuf_fini(&b);
}

/* A chain for id's key, to that name, from start_s on for life_s. */
static void issue(struct world *w, struct identity *id, const char *name,
    int64_t start_s, int64_t life_s, struct certs *chain)
{
	struct ca_request request = {
		.id = { .role = ROLE_TENTACLE },
		.key = identity_key(id),
		.now_s = w->pki.now_s + start_s,
		.life_s = life_s,
	};

	strcpy(request.id.cluster, CLUSTER);
	strcpy(request.id.name, name);
	certs_init(chain);
	assert_int_equal(
	    ca_issue(w->pki.agents, &request, chain, &w->fault), RC_OK);
}

static enum rc renew(struct world *w, struct certs *chain)
{
	enum rc rc = member_renew(
	    w->member, chain, w->pki.now_s, &w->changed, &w->fault);

	certs_fini(chain);
	return rc;
}

static int64_t ends_after_restart(struct world *w)
{
	member_close(w->member);
	w->member = NULL;
	assert_int_equal(member_open(w->dir, &w->member, &w->fault), RC_OK);
	return identity_not_after_s(w->member->identity) - w->pki.now_s;
}

static void test_a_later_certificate_counts_and_is_on_the_disk(void **state)
{
	struct world *w = *state;
	struct tls_contexts *before = tls_contexts_ref(w->member->contexts);
	struct certs chain;

	issue(w, w->member->identity, MACHINE, -300, 10 * DAY, &chain);
	assert_int_equal(renew(w, &chain), RC_OK);
	assert_true(w->changed);
	assert_ptr_not_equal(w->member->contexts, before);
	tls_contexts_unref(before);
	assert_true(ends_after_restart(w) == 10 * DAY - 300);
}

static void test_the_same_or_an_older_certificate_changes_nothing(void **state)
{
	struct world *w = *state;
	struct tls_contexts *before;
	struct certs chain;

	issue(w, w->member->identity, MACHINE, -300, 10 * DAY, &chain);
	assert_int_equal(renew(w, &chain), RC_OK);
	before = w->member->contexts;
	issue(w, w->member->identity, MACHINE, -300, 10 * DAY, &chain);
	assert_int_equal(renew(w, &chain), RC_OK);
	assert_false(w->changed);
	issue(w, w->member->identity, MACHINE, -300, 5 * DAY, &chain);
	assert_int_equal(renew(w, &chain), RC_OK);
	assert_false(w->changed);
	assert_ptr_equal(w->member->contexts, before);
	assert_true(ends_after_restart(w) == 10 * DAY - 300);
}

static void test_a_certificate_for_somebody_else_is_refused(void **state)
{
	struct world *w = *state;
	struct identity *other = NULL;
	struct certs chain;

	issue(w, w->member->identity, "7f000000000000000000000000000002", 0,
	    10 * DAY, &chain);
	assert_int_equal(renew(w, &chain), RC_DENIED);
	assert_non_null(strstr(w->fault.text, "not for tentacle " MACHINE));
	assert_int_equal(identity_generate(&other), RC_OK);
	issue(w, other, MACHINE, 0, 10 * DAY, &chain);
	assert_int_equal(renew(w, &chain), RC_CRYPTO);
	identity_free(other);
	assert_true(ends_after_restart(w) < DAY);
}

static void test_a_certificate_that_is_not_valid_now_is_refused(void **state)
{
	struct world *w = *state;
	struct certs chain;

	issue(w, w->member->identity, MACHINE, 3600, 10 * DAY, &chain);
	assert_int_equal(renew(w, &chain), RC_DENIED);
	assert_int_equal(w->fault.code, REASON_CLOCK);
	assert_true(ends_after_restart(w) < DAY);
}

static int set_up(void **state)
{
	static struct world w;
	struct identity *id;
	struct member_new n = { .name = "web-01" };

	memset(&w, 0, sizeof(w));
	for (size_t i = 0; i < sizeof(w.hashes); i++)
		w.hashes[i] = (uint8_t)((i * 31) ^ (i >> 8));
	pki_init(&w.pki, CLUSTER);
	strcpy(w.top, "/tmp/member-XXXXXX");
	assert_non_null(mkdtemp(w.top));
	(void)snprintf(w.dir, sizeof(w.dir), "%s/state", w.top);
	id = pki_identity(&w.pki, ROLE_TENTACLE, MACHINE);
	n.identity = id;
	assert_int_equal(member_create(w.dir, &n, &w.fault), RC_OK);
	identity_free(id);
	assert_int_equal(member_open(w.dir, &w.member, &w.fault), RC_OK);
	*state = &w;
	return 0;
}

static enum rc take_peers(
    struct world *w, struct msg_peer *peers, size_t count, uint32_t *undialled)
{
	const struct msg_peers m = { .peers = peers, .peer_count = count };

	return member_take_peers(
	    w->member, &m, undialled, &w->changed, &w->fault);
}

static void test_a_peer_keeps_the_address_that_the_server_does_not_know(
    void **state)
{
	struct world *w = *state;
	struct msg_peer peers[] = {
		{ ROLE_SERVER, "n1", "", false },
		{ ROLE_RELAY, "dc2-a", "10.2.0.1:10953", true },
		{ ROLE_RELAY, "dc2-b", "", true },
	};
	uint32_t undialled;

	assert_int_equal(take_peers(w, peers, 3, &undialled), RC_OK);
	assert_true(w->changed);
	assert_int_equal(undialled, 1);
	assert_string_equal(w->member->peers[2].endpoint, "");
	peers[1].endpoint[0] = '\0';
	(void)snprintf(peers[2].endpoint, ENDPOINT_SIZE, "10.2.0.2:10953");
	assert_int_equal(take_peers(w, peers, 3, &undialled), RC_OK);
	assert_int_equal(undialled, 0);
	assert_string_equal(w->member->peers[1].endpoint, "10.2.0.1:10953");
	assert_string_equal(w->member->peers[2].endpoint, "10.2.0.2:10953");
	/* Not dialled any more: it dials us. */
	peers[1].dial = false;
	assert_int_equal(take_peers(w, peers, 3, &undialled), RC_OK);
	assert_string_equal(w->member->peers[1].endpoint, "");
	assert_int_equal(take_peers(w, peers, 3, &undialled), RC_OK);
	assert_false(w->changed);
}

static void test_peers_outlive_a_restart(void **state)
{
	struct world *w = *state;
	struct msg_peer peers[] = {
		{ ROLE_RELAY, "dc2-b", "10.2.0.2:10953", true },
	};
	uint32_t undialled;

	assert_int_equal(take_peers(w, peers, 1, &undialled), RC_OK);
	member_close(w->member);
	w->member = NULL;
	assert_int_equal(member_open(w->dir, &w->member, &w->fault), RC_OK);
	assert_int_equal(w->member->peer_count, 1);
	assert_string_equal(w->member->peers[0].endpoint, "10.2.0.2:10953");
	assert_true(member_has_peer(w->member, ROLE_RELAY, "dc2-b"));
}

static int tear_down(void **state)
{
	struct world *w = *state;
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY);

	member_close(w->member);
	assert_int_equal(
	    fs_remove_tree(tmp, w->top + strlen("/tmp/"), &w->fault), RC_OK);
	(void)close(tmp);
	pki_fini(&w->pki);
	return 0;
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		EACH(test_a_list_in_pieces_counts_when_it_is_whole),
		EACH(test_pieces_that_do_not_follow_are_refused),
		EACH(test_a_list_outlives_a_restart),
		EACH(test_an_older_list_changes_nothing),
		EACH(test_a_damaged_file_is_told_again),
		EACH(test_a_later_certificate_counts_and_is_on_the_disk),
		EACH(test_the_same_or_an_older_certificate_changes_nothing),
		EACH(test_a_certificate_for_somebody_else_is_refused),
		EACH(test_a_certificate_that_is_not_valid_now_is_refused),
		EACH(
		    test_a_peer_keeps_the_address_that_the_server_does_not_know),
		EACH(test_peers_outlive_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * bad_peers_test.c - everybody who may not be let in, against every end that
 * could let them in: one table, in memory.  Each is refused in words before
 * one byte of what it says is read; the only exceptions are those that the
 * protocol names: who shows no certificate, or one that has expired, may be a
 * stranger where strangers enrol.
 */
#include "test/support/rogue.h"

#include <stdio.h>

#define NODE    "node-a"
#define STRANGE "spiffe://" CLUSTER "/relay/dc2-z"

/* Our ends. */
enum end {
	END_LINK_ACCEPTOR,
	END_LINK_DIALLER,
	END_SEAL_OF_NODE,
	END_SEAL_OF_MACHINE,
	END_ENROLLING_NODE,
	END_JOINER,
	END_COUNT
};
#define AT(end)    (1U << (end))
#define DIALS      (AT(END_LINK_DIALLER) | AT(END_SEAL_OF_NODE) | AT(END_JOINER))
#define EVERYWHERE (AT(END_COUNT) - 1)

struct world {
	struct pki pki, other; /* other: another root of the same cluster */
	struct trust *pinned;
	struct tls_contexts *node, *relay, *tentacle, *joiner;
};

/* One bad peer in the making: who it says it is, and what it shows. */
struct rig {
	struct world *w;
	enum peer_role role;
	char uri[CERTS_URI_SIZE];
	const struct ca *issuer; /* who may sign that role */
	struct x509_build build;
	struct certs chain;
	struct rogue rogue;
};

/* --- What they show ------------------------------------------------------- */

static void keep(struct rig *rig, X509 *cert)
{
	assert_int_equal(certs_add(&rig->chain, cert), RC_OK);
	X509_free(cert);
}

static void keep_all(struct rig *rig, const struct certs *above)
{
	size_t i;

	for (i = 0; i < above->count; i++)
		assert_int_equal(certs_add(&rig->chain, above->cert[i]), RC_OK);
}

/* rig->build, signed by that authority, and what is above it. */
static void show(struct rig *rig, const struct ca *issuer)
{
	rig->rogue.key =
	    pki_forge(issuer, &rig->build, KEY_ED25519, &rig->chain);
}

static void show_good(struct rig *rig)
{
	show(rig, rig->issuer);
}

static void show_nothing(struct rig *rig)
{
	(void)rig;
}

static X509 *signed_by(
    struct rig *rig, struct x509_build build, X509 *issuer, EVP_PKEY *key)
{
	X509 *cert = NULL;

	build.organisation = build.name = "forged";
	build.issuer = issuer;
	build.issuer_key = key;
	build.not_before_s = rig->w->pki.now_s - 60;
	build.not_after_s = rig->w->pki.now_s + DAY;
	assert_int_equal(x509_build(&build, &cert), RC_OK);
	return cert;
}

static void show_self_signed(struct rig *rig)
{
	assert_int_equal(key_generate(KEY_ED25519, &rig->rogue.key), RC_OK);
	rig->build.key = rig->rogue.key;
	keep(rig, signed_by(rig, rig->build, NULL, rig->rogue.key));
}

static void show_expired(struct rig *rig)
{
	rig->build.not_before_s -= 10 * DAY;
	rig->build.not_after_s -= 10 * DAY;
	show_good(rig);
}

static void show_future(struct rig *rig)
{
	rig->build.not_before_s += 3600;
	show_good(rig);
}

static void show_other_root(struct rig *rig)
{
	show(rig, rig->role == ROLE_SERVER ? rig->w->other.nodes
					   : rig->w->other.agents);
}

static void show_server_only_usage(struct rig *rig)
{
	rig->build.client = false;
	show_good(rig);
}

static void show_no_usage(struct rig *rig)
{
	rig->build.no_usage = true;
	show_good(rig);
}

static void show_host_name(struct rig *rig)
{
	static const char *const host[] = { "node-a.example" };

	rig->build.uri = NULL;
	rig->build.names = host;
	rig->build.name_count = 1;
	show_good(rig);
}

static void show_no_name(struct rig *rig)
{
	rig->build.uri = NULL;
	show_good(rig);
}

static void show_two_names(struct rig *rig)
{
	rig->build.second_uri = STRANGE;
	show_good(rig);
}

static void show_another_cluster(struct rig *rig)
{
	memcpy(strstr(rig->uri, CLUSTER), CLUSTER_2, strlen(CLUSTER_2));
	show_good(rig);
}

/* Who may sign servers signs others, and the reverse. */
static void show_wrong_authority(struct rig *rig)
{
	show(rig,
	    rig->role == ROLE_SERVER ? rig->w->pki.agents : rig->w->pki.nodes);
}

static void show_authority(struct rig *rig)
{
	rig->build.is_ca = true;
	show_good(rig);
}

/* A member's own certificate signs another. */
static void show_signed_by_member(struct rig *rig)
{
	struct identity *member =
	    pki_identity(&rig->w->pki, ROLE_TENTACLE, MACHINE);

	assert_int_equal(key_generate(KEY_ED25519, &rig->rogue.key), RC_OK);
	rig->build.key = rig->rogue.key;
	keep(rig, signed_by(rig, rig->build, identity_chain(member)->cert[0],
		      identity_key(member)));
	keep_all(rig, identity_chain(member));
	keep_all(rig, ca_chain(rig->w->pki.root));
	identity_free(member);
}

/* The authority's mark, whoever signs and with whatever key. */
static struct x509_build authority(
    const struct rig *rig, char uri[CA_URI_SIZE], EVP_PKEY *key)
{
	ca_uri(CLUSTER, rig->role == ROLE_SERVER ? CA_NODES : CA_AGENTS, uri);
	return (struct x509_build){ .uri = uri, .key = key, .is_ca = true };
}

/* A leaf below an authority of this key that the true root has signed. */
static void show_below(struct rig *rig, EVP_PKEY *ca_key, bool sha1)
{
	char uri[CA_URI_SIZE];
	const struct x509_build build = authority(rig, uri, ca_key);
	X509 *root = ca_chain(rig->w->pki.root)->cert[0];
	EVP_PKEY *root_key = pki_ca_key(rig->w->pki.root);
	X509 *ca = signed_by(rig, build, root, root_key);

	if (sha1)
		assert_true(X509_sign(ca, root_key, EVP_sha1()) > 0);
	assert_int_equal(key_generate(KEY_ED25519, &rig->rogue.key), RC_OK);
	rig->build.key = rig->rogue.key;
	keep(rig, signed_by(rig, rig->build, ca, ca_key));
	keep(rig, ca);
	keep_all(rig, ca_chain(rig->w->pki.root));
	EVP_PKEY_free(root_key);
	EVP_PKEY_free(ca_key);
}

static void show_sha1(struct rig *rig)
{
	EVP_PKEY *key = NULL;

	assert_int_equal(key_generate(KEY_ED25519, &key), RC_OK);
	show_below(rig, key, true);
}

static void show_rsa_1024(struct rig *rig)
{
	show_below(
	    rig, EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024), false);
}

/* A sub-authority of `nodes` or `agents`, which may have none. */
static void show_longer_path(struct rig *rig)
{
	char uri[CA_URI_SIZE];
	EVP_PKEY *key = NULL, *above = pki_ca_key(rig->issuer);
	X509 *ca;

	assert_int_equal(key_generate(KEY_ED25519, &key), RC_OK);
	assert_int_equal(key_generate(KEY_ED25519, &rig->rogue.key), RC_OK);
	ca = signed_by(rig, authority(rig, uri, key),
	    ca_chain(rig->issuer)->cert[0], above);
	rig->build.key = rig->rogue.key;
	keep(rig, signed_by(rig, rig->build, ca, key));
	keep(rig, ca);
	keep_all(rig, ca_chain(rig->issuer));
	EVP_PKEY_free(key);
	EVP_PKEY_free(above);
}

static void show_tampered(struct rig *rig)
{
	struct certs bad;
	uint8_t *der = NULL;
	size_t len = 0, i;

	show_good(rig);
	certs_init(&bad);
	assert_int_equal(certs_der(&rig->chain, 0, &der, &len), RC_OK);
	der[len - 9] ^= 1; /* its signature is last */
	assert_int_equal(certs_add_der(&bad, der, len, NULL), RC_OK);
	for (i = 1; i < rig->chain.count; i++)
		assert_int_equal(certs_add(&bad, rig->chain.cert[i]), RC_OK);
	certs_fini(&rig->chain);
	rig->chain = bad;
	free(der);
}

static void show_https(struct rig *rig)
{
	static const char *const names[] = { "localhost" };
	struct ca_https request = { .names = names,
		.name_count = 1,
		.now_s = rig->w->pki.now_s - 60,
		.life_s = DAY };
	struct fault fault;

	assert_int_equal(key_generate(KEY_P256, &rig->rogue.key), RC_OK);
	request.key = rig->rogue.key;
	assert_int_equal(
	    ca_issue_https(rig->w->pki.root, &request, &rig->chain, &fault),
	    RC_OK);
}

/* A good one, whose key has been revoked. */
static void show_revoked(struct rig *rig)
{
	struct revocation_list lists[REVOKED_COUNT] = { 0 };
	struct revocations *revoked = NULL;
	uint8_t hash[KEY_HASH_SIZE];

	show_good(rig);
	assert_int_equal(certs_key_hash(rig->chain.cert[0], hash), RC_OK);
	lists[REVOKED_AGENTS].hashes = hash;
	lists[REVOKED_AGENTS].count = 1;
	assert_int_equal(revocations_new(lists, &revoked), RC_OK);
	trust_set_revocations(rig->w->pki.trust, revoked);
	trust_set_revocations(rig->w->pinned, revoked);
	revocations_unref(revoked);
}

/* --- The table ------------------------------------------------------------ */

#define HTTP     "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
#define SSH      "SSH-2.0-OpenSSH_9.2\r\n"
#define RECORD   "\x16\x03\x01\xff\xff garbage"
#define HELLO    "\x16\x03\x01\x00\x05\x01\xff\xff\xff\xff"
#define BYTES(b) .bytes = (b), .bytes_len = sizeof(b) - 1

static const struct bad_peer {
	const char *name;
	void (*show)(struct rig *rig);
	const char *words;       /* of our refusal */
	const char *other_words; /* where else is meant; NULL: the same */
	unsigned elsewhere;      /* AT()s with other_words */
	unsigned stranger; /* AT()s that let it in as one that may only enrol */
	unsigned not_at;   /* AT()s where it cannot be played */
	enum rogue_trick trick;
	int version, group;
	const char *protocol; /* "": none; NULL: the one of this end */
	const char *bytes;
	size_t bytes_len;
} bad_peers[] = {
	{ .name = "no certificate",
	    .show = show_nothing,
	    .words = "showed no certificate",
	    .other_words = "the peer ended TLS",
	    .elsewhere = DIALS,
	    .stranger = AT(END_LINK_ACCEPTOR) | AT(END_ENROLLING_NODE) },
	{ .name = "self-signed",
	    .show = show_self_signed,
	    .words = "self-signed certificate",
	    .other_words = "does not contain the root",
	    .elsewhere = AT(END_JOINER) },
	{ .name = "expired",
	    .show = show_expired,
	    .words = "expired",
	    .stranger = AT(END_LINK_ACCEPTOR) | AT(END_LINK_DIALLER) |
	                AT(END_ENROLLING_NODE) },
	{ .name = "from the future",
	    .show = show_future,
	    .words = "is valid from" },
	{ .name = "another root",
	    .show = show_other_root,
	    .words = "not good for this cluster",
	    .other_words = "does not contain the root",
	    .elsewhere = AT(END_JOINER) },
	{ .name = "usage: servers only",
	    .show = show_server_only_usage,
	    .words = "certificate purpose" },
	{ .name = "no extended usage",
	    .show = show_no_usage,
	    .words = "is not for TLS clients and servers" },
	{ .name = "a host name",
	    .show = show_host_name,
	    .words = "not a short URI" },
	{ .name = "no name but the subject's",
	    .show = show_no_name,
	    .words = "0 alternative names" },
	{ .name = "two names",
	    .show = show_two_names,
	    .words = "2 alternative names" },
	{ .name = "another cluster",
	    .show = show_another_cluster,
	    .words = "is of cluster " CLUSTER_2 },
	{ .name = "the wrong authority",
	    .show = show_wrong_authority,
	    .words = "not issued by the authority" },
	{ .name = "an authority itself",
	    .show = show_authority,
	    .words = "not good for this cluster" },
	{ .name = "signed by a member",
	    .show = show_signed_by_member,
	    .words = "not good for this cluster: " },
	{ .name = "SHA-1",
	    .show = show_sha1,
	    .words = "CA signature digest algorithm too weak" },
	{ .name = "RSA of 1024 bits",
	    .show = show_rsa_1024,
	    .words = "CA certificate key too weak" },
	{ .name = "a longer path",
	    .show = show_longer_path,
	    .words = "path length constraint exceeded" },
	{ .name = "a changed signature",
	    .show = show_tampered,
	    .words = "certificate signature failure" },
	{ .name = "the HTTPS certificate",
	    .show = show_https,
	    /* of a kind that we do not ask for: it shows none */
	    .words = "showed no certificate",
	    .other_words = "the peer ended TLS",
	    .elsewhere = DIALS,
	    .stranger = AT(END_LINK_ACCEPTOR) | AT(END_ENROLLING_NODE) },
	{ .name = "revoked", .show = show_revoked, .words = "was revoked" },
	{ .name = "revoked, resuming",
	    .show = show_revoked,
	    .words = "was revoked",
	    .trick = ROGUE_RESUMES,
	    .not_at = DIALS },
	{ .name = "early data",
	    .show = show_good,
	    .words = "early data",
	    .trick = ROGUE_EARLY_DATA,
	    .not_at = DIALS },
	{ .name = "renegotiation",
	    .show = show_good,
	    .words = "unexpected message",
	    .trick = ROGUE_RENEGOTIATES },
	{ .name = "TLS 1.2",
	    .show = show_good,
	    .words = "TLS 1.3",
	    .version = TLS1_2_VERSION },
	{ .name = "another group",
	    .show = show_good,
	    .words = "TLS failed",
	    .other_words = "speaks no algorithm of ours",
	    .elsewhere = DIALS,
	    .group = NID_secp521r1 },
	{ .name = "no protocol",
	    .show = show_good,
	    .words = "does not speak longarm",
	    .protocol = "" },
	{ .name = "HTTP/2",
	    .show = show_good,
	    .words = "does not speak longarm",
	    .other_words = "TLS failed",
	    .elsewhere = DIALS,
	    .protocol = "h2" },
	{ .name = "a longer protocol's name",
	    .show = show_good,
	    .words = "does not speak longarm",
	    .other_words = "TLS failed",
	    .elsewhere = DIALS,
	    .protocol = "longarm/10" },
	{ .name = "plain HTTP", BYTES(HTTP), .words = "does not speak TLS" },
	{ .name = "SSH", BYTES(SSH), .words = "does not speak TLS" },
	{ .name = "an endless record", BYTES(RECORD), .words = "TLS failed" },
	{ .name = "a cut ClientHello",
	    BYTES(HELLO),
	    .words = "TLS failed",
	    .not_at = 0 },
};

/* --- Our ends ------------------------------------------------------------- */

static const struct end_info {
	enum tls_kind kind;
	enum peer_role role; /* who is awaited: what the bad one claims to be */
	const char *protocol;
} ends[END_COUNT] = {
	[END_LINK_ACCEPTOR] = { TLS_LINK_ACCEPT, ROLE_TENTACLE, "longarm/1" },
	[END_LINK_DIALLER] = { TLS_LINK_DIAL, ROLE_SERVER, "longarm/1" },
	[END_SEAL_OF_NODE] = { TLS_SEAL_CLIENT, ROLE_TENTACLE,
	    "longarm-seal/1" },
	[END_SEAL_OF_MACHINE] = { TLS_SEAL_SERVER, ROLE_SERVER,
	    "longarm-seal/1" },
	[END_ENROLLING_NODE] = { TLS_ENROL_SERVER, ROLE_TENTACLE,
	    "longarm-enrol/1" },
	[END_JOINER] = { TLS_ENROL_CLIENT, ROLE_SERVER, "longarm-enrol/1" },
};

static struct tls_contexts *ours_at(struct world *w, enum end end)
{
	switch (end) {
	case END_LINK_ACCEPTOR:
		return w->relay;
	case END_LINK_DIALLER:
	case END_SEAL_OF_MACHINE:
		return w->tentacle;
	case END_JOINER:
		return w->joiner;
	case END_SEAL_OF_NODE:
	case END_ENROLLING_NODE:
	case END_COUNT:
		break;
	}
	return w->node;
}

static struct rogue_meeting meet(
    struct world *w, const struct bad_peer *bad, enum end end)
{
	const struct end_info *info = &ends[end];
	struct rig rig = { .w = w, .role = info->role };
	struct rogue_meeting m;

	rig.issuer = info->role == ROLE_SERVER ? w->pki.nodes : w->pki.agents;
	(void)snprintf(rig.uri, sizeof(rig.uri), "spiffe://%s/%s/%s", CLUSTER,
	    role_name(info->role), info->role == ROLE_SERVER ? NODE : MACHINE);
	rig.build = (struct x509_build){ .uri = rig.uri,
		.not_before_s = w->pki.now_s - 60,
		.not_after_s = w->pki.now_s + DAY,
		.client = true };
	certs_init(&rig.chain);
	rig.rogue = (struct rogue){ .protocol = info->protocol,
		.chain = &rig.chain,
		.trick = bad->trick,
		.version = bad->version,
		.group = bad->group,
		.bytes = bad->bytes,
		.bytes_len = bad->bytes_len };
	if (bad->protocol != NULL)
		rig.rogue.protocol =
		    bad->protocol[0] != '\0' ? bad->protocol : NULL;
	if (bad->show != NULL)
		bad->show(&rig);
	m = rogue_meet(&rig.rogue, ours_at(w, end), info->kind, NULL);
	EVP_PKEY_free(rig.rogue.key);
	certs_fini(&rig.chain);
	trust_set_revocations(w->pki.trust, NULL);
	trust_set_revocations(w->pinned, NULL);
	return m;
}

static void expect_refusal(
    const struct bad_peer *bad, enum end end, const struct rogue_meeting *m)
{
	const char *words =
	    (bad->elsewhere & AT(end)) != 0 ? bad->other_words : bad->words;

	if (m->rc != RC_DENIED || m->got != 0 || m->role != ROLE_ANONYMOUS)
		fail_msg("%s at %d: let in (%s, %zu bytes)", bad->name,
		    (int)end, rc_name(m->rc), m->got);
	if (strstr(m->fault.text, words) == NULL)
		fail_msg("%s at %d: '%s' does not say '%s'", bad->name,
		    (int)end, m->fault.text, words);
	assert_int_not_equal(m->fault.code, REASON_NONE);
	assert_int_not_equal(m->fault.code, REASON_INTERNAL);
}

/* Everybody in the table knocks at this end. */
static void refuse_all(struct world *w, enum end end)
{
	const struct bad_peer good = { .name = "good", .show = show_good };
	struct rogue_meeting m = meet(w, &good, end);
	size_t i;

	/* the same with nothing wrong is let in and heard */
	assert_int_equal(m.rc, RC_OK);
	assert_int_equal(m.role, ends[end].role);
	assert_int_equal(m.got % strlen(ROGUE_WORDS), 0);
	assert_true(m.got > 0);
	for (i = 0; i < sizeof(bad_peers) / sizeof(bad_peers[0]); i++) {
		const struct bad_peer *bad = &bad_peers[i];

		if ((bad->not_at & AT(end)) != 0)
			continue;
		m = meet(w, bad, end);
		if ((bad->stranger & AT(end)) == 0) {
			expect_refusal(bad, end, &m);
			continue;
		}
		if (m.rc != RC_OK || m.role != ROLE_ANONYMOUS)
			fail_msg(
			    "%s at %d: %s", bad->name, (int)end, m.fault.text);
		assert_int_equal(m.expired, bad->show == show_expired);
	}
}

static void test_a_link_acceptor_refuses_every_bad_peer(void **state)
{
	refuse_all(*state, END_LINK_ACCEPTOR);
}

static void test_a_link_dialler_refuses_every_bad_peer(void **state)
{
	refuse_all(*state, END_LINK_DIALLER);
}

static void test_a_nodes_seal_refuses_every_bad_peer(void **state)
{
	refuse_all(*state, END_SEAL_OF_NODE);
}

static void test_a_machines_seal_refuses_every_bad_peer(void **state)
{
	refuse_all(*state, END_SEAL_OF_MACHINE);
}

static void test_an_enrolling_node_refuses_every_bad_peer(void **state)
{
	refuse_all(*state, END_ENROLLING_NODE);
}

static void test_a_joiner_refuses_every_bad_peer(void **state)
{
	refuse_all(*state, END_JOINER);
}

/*
 * What OpenSSL would not have shown for us: the same certificates, judged
 * without TLS around them.
 */
static void test_weak_keys_are_refused_whoever_shows_them(void **state)
{
	struct world *w = *state;
	const struct trust_check check = { .now_s = w->pki.now_s };
	EVP_PKEY *rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)3072);
	EVP_PKEY *signer = pki_ca_key(w->pki.nodes);
	struct rig rig = { .w = w };
	struct x509_build build = {
		.uri = "spiffe://" CLUSTER "/server/" NODE,
		.key = rsa,
		.client = true,
	};
	struct fault fault = { 0 };
	struct peer peer = { 0 };

	certs_init(&rig.chain);
	keep(&rig,
	    signed_by(&rig, build, ca_chain(w->pki.nodes)->cert[0], signer));
	keep_all(&rig, ca_chain(w->pki.nodes));
	assert_int_equal(
	    trust_verify(w->pki.trust, &rig.chain, &check, &peer, &fault),
	    RC_DENIED);
	assert_non_null(strstr(fault.text, "neither Ed25519 nor P-256"));
	certs_fini(&rig.chain);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(signer);
}

/* --- The world ------------------------------------------------------------ */

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
	pki_init(&w.other, CLUSTER);
	assert_int_equal(
	    certs_key_hash(ca_chain(w.pki.root)->cert[0], hash), RC_OK);
	assert_int_equal(trust_new_pinned(CLUSTER, hash, &w.pinned), RC_OK);
	w.node =
	    contexts_of(pki_identity(&w.pki, ROLE_SERVER, NODE), w.pki.trust);
	w.relay =
	    contexts_of(pki_identity(&w.pki, ROLE_RELAY, "dc2-a"), w.pki.trust);
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
	pki_fini(&w->other);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_link_acceptor_refuses_every_bad_peer),
		cmocka_unit_test(test_a_link_dialler_refuses_every_bad_peer),
		cmocka_unit_test(test_a_nodes_seal_refuses_every_bad_peer),
		cmocka_unit_test(test_a_machines_seal_refuses_every_bad_peer),
		cmocka_unit_test(test_an_enrolling_node_refuses_every_bad_peer),
		cmocka_unit_test(test_a_joiner_refuses_every_bad_peer),
		cmocka_unit_test(test_weak_keys_are_refused_whoever_shows_them),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

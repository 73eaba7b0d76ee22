/*
 * join, against servers and relays of our own making in another thread: what
 * is on disk when it is cut short, and who gets to see the secret.
 */
#include "common/join.h"

#include "common/fs.h"
#include "common/listen.h"
#include "common/member.h"
#include "common/seal.h"
#include "proto/lenframe.h"

#include "test/support/pki.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum answer {
	ANSWER_ENROLLED,
	ANSWER_NOTHING, /* it is lost on the way */
	ANSWER_REFUSAL,
};

struct world {
	struct pki pki, other_pki;
	char dir[64];
	struct token token;
	/* The far side: its thread's own, but before and after it runs. */
	struct loop *loop;
	struct worker_pool *pool;
	struct link_config config;
	struct link_net *net;
	struct identity *identity, *inner_identity;
	struct tls_contexts *contexts, *inner;
	struct listener *listener;
	pthread_t thread;
	enum answer answer;
	enum tls_kind inner_kind;
	bool opened; /* the inner TLS: its far end believed us */
	unsigned requests;
	uint8_t csr[2][1024];
	size_t csr_len[2];
	struct seal *seal;
};

static void fill_hello(
    void *owner, const struct peer *peer, struct msg_hello *hello)
{
	(void)owner;
	(void)peer;
	hello->has_instance = true;
	memset(hello->instance.journal, 'a', ID_SIZE - 1);
	memset(hello->instance.nonce, 'b', ID_SIZE - 1);
}

static enum rc admit(void *owner, struct link *link,
    const struct msg_hello *hello, struct fault *fault)
{
	(void)owner;
	(void)link;
	(void)hello;
	(void)fault;
	return RC_OK;
}

static void send_packed(struct seal *seal, enum rc rc, struct packbuf *pack)
{
	assert_int_equal(rc, RC_OK);
	assert_int_equal(seal_send(seal, packbuf_bytes(pack)), RC_OK);
	packbuf_fini(pack);
}

static struct msg_blob_list ders_of(const struct certs *certs)
{
	struct msg_blob_list list = { .count = certs->count };

	list.items = calloc(certs->count, sizeof(*list.items));
	assert_non_null(list.items);
	for (size_t i = 0; i < certs->count; i++) {
		uint8_t *der = NULL;
		int len = i2d_X509(certs->cert[i], &der);

		assert_true(len > 0);
		list.items[i] = bytes_of(der, (size_t)len);
	}
	return list;
}

static void free_ders(struct msg_blob_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		OPENSSL_free((void *)(uintptr_t)list->items[i].p);
	free(list->items);
}

static void enrol(struct world *w, const struct msg_enrol *m)
{
	struct ca_request request = {
		.id = { .role = m->role, .name = MACHINE },
		.csr = m->csr.p,
		.csr_len = m->csr.len,
		.now_s = w->pki.now_s,
		.life_s = DAY,
	};
	struct msg_enrolled answer = { .id = MACHINE, .name = "web-03" };
	struct certs chain;
	struct packbuf pack;
	struct fault fault;

	strcpy(request.id.cluster, CLUSTER);
	strcpy(answer.cluster, CLUSTER);
	certs_init(&chain);
	assert_int_equal(
	    ca_issue(w->pki.agents, &request, &chain, &fault), RC_OK);
	answer.chain = ders_of(&chain);
	answer.roots = ders_of(ca_chain(w->pki.root));
	packbuf_init(&pack, LENFRAME_ENROL_MAX);
	send_packed(w->seal, msg_enrolled_encode(&answer, &pack), &pack);
	free_ders(&answer.chain);
	free_ders(&answer.roots);
	certs_fini(&chain);
}

static void answer(struct world *w, struct bytes message)
{
	const struct fault lost = { .code = REASON_RELAY_DOWN };
	struct msg_enrol m;
	struct fault fault;

	assert_int_equal(msg_enrol_decode(message, &m, &fault), RC_OK);
	assert_in_range(w->requests, 0, 1);
	memcpy(w->csr[w->requests], m.csr.p, m.csr.len);
	w->csr_len[w->requests++] = m.csr.len;
	if (w->answer == ANSWER_ENROLLED) {
		enrol(w, &m);
	} else if (w->answer == ANSWER_REFUSAL) {
		struct msg_fault no = { 0 };
		struct packbuf pack;

		fault_set(&no.fault, REASON_TOKEN, "", "the token is used up");
		packbuf_init(&pack, 4096);
		send_packed(w->seal, msg_fault_encode(&no, &pack), &pack);
	} else {
		seal_close(w->seal, &lost);
		w->seal = NULL;
	}
	msg_enrol_clear(&m);
}

static void on_seal(
    void *arg, struct seal *seal, const struct seal_event *event)
{
	struct world *w = arg;

	(void)seal;
	if (event->type == SEAL_OPEN)
		w->opened = true;
	else if (event->type == SEAL_MESSAGE)
		answer(w, event->message);
	else if (event->type == SEAL_CLOSED)
		w->seal = NULL;
}

static void on_link(
    void *owner, struct link *link, const struct link_event *event)
{
	struct world *w = owner;
	const struct seal_user user = {
		.fn = on_seal,
		.arg = w,
		.message_max = LENFRAME_ENROL_MAX,
		.open_ms = 10000,
	};

	if (event->type != LINK_OPENED)
		return;
	/* A relay that ends the inner TLS itself. */
	if (w->inner != NULL)
		link_net_set_contexts(w->net, w->inner);
	assert_int_equal(seal_accept(link, event->stream, CLASS_HEALTH,
			     w->inner_kind, &user, &w->seal),
	    RC_OK);
	link_net_set_contexts(w->net, w->contexts);
}

static const struct link_ops ops = {
	.hello = fill_hello,
	.admit = admit,
	.event = on_link,
};

static void *serve(void *arg)
{
	struct world *w = arg;

	loop_run(w->loop);
	return NULL;
}

static void world_new(struct world *w, enum peer_role role, const char *name)
{
	const struct config_endpoint any = { .host = "127.0.0.1" };
	struct fault fault;

	memset(w, 0, sizeof(*w));
	w->inner_kind = TLS_ENROL_SERVER;
	pki_init(&w->pki, CLUSTER);
	pki_init(&w->other_pki, CLUSTER);
	strcpy(w->dir, "/tmp/longarm-join-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(loop_new(&w->loop), RC_OK);
	assert_int_equal(worker_pool_new(w->loop, 1, 100, &w->pool), RC_OK);
	link_config_default(&w->config);
	w->identity = pki_identity(&w->pki, role, name);
	assert_int_equal(
	    tls_contexts_new(w->identity, w->pki.trust, &w->contexts, &fault),
	    RC_OK);
	assert_int_equal(
	    link_net_new(w->loop, w->pool, &w->config, &ops, w, &w->net),
	    RC_OK);
	link_net_set_contexts(w->net, w->contexts);
	assert_int_equal(
	    listener_new(w->net, &any, &w->listener, &fault), RC_OK);
}

static void world_start(struct world *w)
{
	uint8_t hash[KEY_HASH_SIZE];
	EVP_PKEY *key = X509_get0_pubkey(ca_chain(w->pki.root)->cert[0]);

	assert_int_equal(key_hash(key, hash), RC_OK);
	assert_int_equal(token_generate(CLUSTER, hash, &w->token), RC_OK);
	assert_int_equal(pthread_create(&w->thread, NULL, serve, w), 0);
}

static void world_free(struct world *w)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY);
	struct fault fault;

	loop_stop(w->loop);
	assert_int_equal(pthread_join(w->thread, NULL), 0);
	listener_free(w->listener);
	link_net_free(w->net);
	worker_pool_free(w->pool);
	loop_free(w->loop);
	tls_contexts_unref(w->contexts);
	tls_contexts_unref(w->inner);
	identity_free(w->identity);
	identity_free(w->inner_identity);
	pki_fini(&w->pki);
	pki_fini(&w->other_pki);
	token_fini(&w->token);
	assert_int_equal(
	    fs_remove_tree(tmp, w->dir + strlen("/tmp/"), &fault), RC_OK);
	(void)close(tmp);
}

static enum rc join(struct world *w, struct fault *fault)
{
	struct endpoint to;
	struct joined joined;
	struct join join = {
		.role = ROLE_TENTACLE,
		.state_dir = w->dir,
		.token = &w->token,
		.endpoints = &to,
		.endpoint_count = 1,
		.listen = "",
		.timeout_ms = 20000,
		.link = w->config,
	};

	assert_int_equal(
	    endpoint_parse(listener_address(w->listener), 0, &to, fault),
	    RC_OK);
	fault_clear(fault);
	return join_run(&join, &joined, fault);
}

static bool has(const struct world *w, const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	return access(path, F_OK) == 0;
}

static void test_joining_leaves_a_member_and_no_second_key(void **state)
{
	struct world w;
	struct fault fault;
	struct stat st;
	char path[128];

	(void)state;
	world_new(&w, ROLE_SERVER, "n1");
	world_start(&w);
	assert_int_equal(join(&w, &fault), RC_OK);
	assert_true(member_exists(w.dir));
	assert_false(has(&w, "joining"));
	(void)snprintf(path, sizeof(path), "%s/identity/key.pem", w.dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(join(&w, &fault), RC_EXISTS);
	assert_int_equal(w.requests, 1);
	world_free(&w);
}

static void test_a_lost_answer_is_asked_for_again_with_the_same_key(
    void **state)
{
	struct world w;
	struct fault fault;

	(void)state;
	world_new(&w, ROLE_SERVER, "n1");
	w.answer = ANSWER_NOTHING;
	world_start(&w);
	assert_int_equal(join(&w, &fault), RC_DENIED);
	assert_true(has(&w, "joining/key.pem"));
	assert_false(member_exists(w.dir));
	w.answer = ANSWER_ENROLLED; /* its thread waits in epoll */
	assert_int_equal(join(&w, &fault), RC_OK);
	assert_int_equal(w.requests, 2);
	/* Requests end with the key's own signature: the same key, the same. */
	assert_int_equal(w.csr_len[0], w.csr_len[1]);
	assert_memory_equal(w.csr[0], w.csr[1], w.csr_len[0]);
	assert_false(has(&w, "joining"));
	world_free(&w);
}

static void test_a_refusal_reaches_the_person(void **state)
{
	struct world w;
	struct fault fault;

	(void)state;
	world_new(&w, ROLE_SERVER, "n1");
	w.answer = ANSWER_REFUSAL;
	world_start(&w);
	assert_int_equal(join(&w, &fault), RC_DENIED);
	assert_int_equal(fault.code, REASON_TOKEN);
	assert_non_null(strstr(fault.text, "used up"));
	world_free(&w);
}

/* What is left when it is killed after the last file and before the end. */
static void test_a_join_that_was_cut_short_at_its_end_is_tidied_up(void **state)
{
	struct world w;
	struct fault fault;
	struct identity *left;
	char path[128];

	(void)state;
	world_new(&w, ROLE_SERVER, "n1");
	world_start(&w);
	assert_int_equal(join(&w, &fault), RC_OK);
	(void)snprintf(path, sizeof(path), "%s/joining", w.dir);
	assert_int_equal(identity_generate(&left), RC_OK);
	assert_int_equal(identity_save(left, path, &fault), RC_OK);
	assert_int_equal(join(&w, &fault), RC_EXISTS);
	assert_false(has(&w, "joining"));
	assert_int_equal(identity_save(left, path, &fault), RC_OK);
	identity_free(left);
	/* Who leaves leaves no key behind, and the next join makes a new one.
	 */
	assert_int_equal(member_remove(w.dir, &fault), RC_OK);
	assert_false(has(&w, "joining"));
	assert_false(has(&w, "identity"));
	world_free(&w);
}

static void test_two_joins_at_once_do_not_mix(void **state)
{
	struct world w;
	struct fault fault;
	char path[128];
	int lock;

	(void)state;
	world_new(&w, ROLE_SERVER, "n1");
	world_start(&w);
	(void)snprintf(path, sizeof(path), "%s/lock", w.dir);
	assert_int_equal(fs_lock(path, &lock, &fault), RC_OK);
	assert_int_equal(join(&w, &fault), RC_EXISTS);
	assert_int_equal(w.requests, 0);
	fs_unlock(lock);
	assert_int_equal(join(&w, &fault), RC_OK);
	world_free(&w);
}

/*
 * A genuine relay of the cluster that answers the inner TLS itself, with what a
 * thief could have: nothing of the token is shown to it, nor anything else.
 */
struct impostor {
	const char *what;
	enum peer_role role;
	const char *name;
	bool other_root, other_cluster;
	enum tls_kind kind;
	enum rc rc;
};

static void play(const struct impostor *i)
{
	struct pki foreign, *pki;
	struct world w;
	struct fault fault;

	pki_init(&foreign, "0123456789abcdef0123456789abcdef");
	world_new(&w, ROLE_RELAY, "dc2-a");
	pki = i->other_cluster ? &foreign
	      : i->other_root  ? &w.other_pki
	                       : &w.pki;
	w.inner_identity = pki_identity(pki, i->role, i->name);
	w.inner_kind = i->kind;
	assert_int_equal(
	    tls_contexts_new(w.inner_identity, pki->trust, &w.inner, &fault),
	    RC_OK);
	world_start(&w);
	if (join(&w, &fault) != i->rc)
		fail_msg("%s: %s", i->what, fault.text);
	if (w.opened != (i->rc == RC_OK) || w.requests != w.opened)
		fail_msg("%s: it was believed", i->what);
	assert_int_equal(member_exists(w.dir), i->rc == RC_OK);
	assert_true(i->rc == RC_OK || fault.text[0] != '\0');
	world_free(&w);
	pki_fini(&foreign);
}

static void test_a_relay_that_plays_the_server_sees_no_secret(void **state)
{
	const struct impostor all[] = {
		/* The same in all but that: it is a server that it has. */
		{ "a server behind it", ROLE_SERVER, "n1", false, false,
		    TLS_ENROL_SERVER, RC_OK },
		{ "its own certificate", ROLE_RELAY, "dc2-a", false, false,
		    TLS_ENROL_SERVER, RC_DENIED },
		{ "a machine's", ROLE_TENTACLE, MACHINE, false, false,
		    TLS_ENROL_SERVER, RC_DENIED },
		{ "a root of its own", ROLE_SERVER, "n1", true, false,
		    TLS_ENROL_SERVER, RC_DENIED },
		{ "another cluster", ROLE_SERVER, "n1", false, true,
		    TLS_ENROL_SERVER, RC_DENIED },
		{ "a seal's protocol", ROLE_SERVER, "n1", false, false,
		    TLS_SEAL_SERVER, RC_DENIED },
		{ "a link's protocol", ROLE_SERVER, "n1", false, false,
		    TLS_LINK_ACCEPT, RC_DENIED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		play(&all[i]);
}

/* It is not even the cluster's relay. */
static void test_somebody_else_at_the_address_is_not_talked_to(void **state)
{
	struct world w;
	struct fault fault;

	(void)state;
	world_new(&w, ROLE_RELAY, "dc2-a");
	world_start(&w);
	w.token.root_hash[0] ^= 1;
	assert_int_equal(join(&w, &fault), RC_DENIED);
	assert_int_equal(w.requests, 0);
	assert_non_null(strstr(fault.text, listener_address(w.listener)));
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_joining_leaves_a_member_and_no_second_key),
		cmocka_unit_test(
		    test_a_lost_answer_is_asked_for_again_with_the_same_key),
		cmocka_unit_test(test_a_refusal_reaches_the_person),
		cmocka_unit_test(
		    test_a_join_that_was_cut_short_at_its_end_is_tidied_up),
		cmocka_unit_test(test_two_joins_at_once_do_not_mix),
		cmocka_unit_test(
		    test_a_relay_that_plays_the_server_sees_no_secret),
		cmocka_unit_test(
		    test_somebody_else_at_the_address_is_not_talked_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

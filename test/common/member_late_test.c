/*
 * A member whose certificate has expired: what it asks, of whom, and what
 * becomes of it.  Its server is one of our own making.
 */
#include "common/member_late.h"

#include "test/support/link_world.h"

#include "common/fs.h"
#include "common/seal.h"
#include "proto/lenframe.h"

#include <fcntl.h>

struct late_world {
	struct world w;
	char top[64], dir[96];
	struct member *member;
	struct member_late late;
	struct seal *seal; /* the server's */
	int64_t life_s;    /* of what it answers; 0: it refuses */
	unsigned asked, strangers, known;
	struct fault fault;
};

static void encode_enrolled(
    struct late_world *l, const struct msg_enrol *m, struct packbuf *pack)
{
	struct ca_request request = {
		.id = { .role = ROLE_TENTACLE, .name = MACHINE },
		.csr = m->csr.p,
		.csr_len = m->csr.len,
		.now_s = l->w.pki.now_s - 60,
		.life_s = l->life_s,
	};
	struct bytes items[2], root;
	struct msg_enrolled out = { .chain = { items, 2 },
		.roots = { &root, 1 },
		.id = MACHINE,
		.name = "web-01",
		.cluster = CLUSTER };
	struct certs chain;
	uint8_t *der[3];
	size_t len;

	certs_init(&chain);
	memcpy(request.id.cluster, CLUSTER, sizeof(CLUSTER));
	assert_int_equal(
	    ca_issue(l->w.pki.agents, &request, &chain, &l->fault), RC_OK);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(certs_der(&chain, i, &der[i], &len), RC_OK);
		items[i] = bytes_of(der[i], len);
	}
	assert_int_equal(
	    certs_der(ca_chain(l->w.pki.root), 0, &der[2], &len), RC_OK);
	root = bytes_of(der[2], len);
	assert_int_equal(msg_enrolled_encode(&out, pack), RC_OK);
	for (size_t i = 0; i < 3; i++)
		free(der[i]);
	certs_fini(&chain);
}

static void answer(struct late_world *l, struct bytes message)
{
	const struct msg_fault refusal = { .fault = { REASON_REVOKED, "",
					       "this key was revoked" } };
	struct msg_enrol m;
	struct packbuf pack;

	assert_int_equal(msg_enrol_decode(message, &m, &l->fault), RC_OK);
	assert_true(m.secret.len == 0 && m.role == ROLE_TENTACLE);
	l->asked++;
	packbuf_init(&pack, LENFRAME_ENROL_MAX);
	if (l->life_s > 0)
		encode_enrolled(l, &m, &pack);
	else
		assert_int_equal(msg_fault_encode(&refusal, &pack), RC_OK);
	assert_int_equal(seal_send(l->seal, packbuf_bytes(&pack)), RC_OK);
	packbuf_fini(&pack);
	msg_enrol_clear(&m);
}

static void on_seal(
    void *arg, struct seal *seal, const struct seal_event *event)
{
	struct late_world *l = arg;

	assert_ptr_equal(seal, l->seal);
	if (event->type == SEAL_MESSAGE)
		answer(l, event->message);
	else if (event->type == SEAL_CLOSED)
		l->seal = NULL;
	check(&l->w);
}

static void on_late_link(
    void *owner, struct link *link, const struct link_event *event)
{
	struct late_world *l = owner;
	bool near = link_net_of(link) == l->w.near.net;
	const struct seal_user user = {
		.fn = on_seal,
		.arg = l,
		.message_max = LENFRAME_ENROL_MAX,
		.open_ms = 10000,
	};

	if (event->type == LINK_UP && near)
		member_late_link_up(&l->late, link);
	else if (event->type == LINK_UP &&
		 link_peer(link)->role == ROLE_ANONYMOUS)
		l->strangers++;
	else if (event->type == LINK_UP)
		l->known++;
	else if (event->type == LINK_OPENED)
		assert_int_equal(seal_accept(link, event->stream, CLASS_HEALTH,
				     TLS_ENROL_SERVER, &user, &l->seal),
		    RC_OK);
	check(&l->w);
}

static enum rc admit_late(void *owner, struct link *link,
    const struct msg_hello *hello, struct fault *fault)
{
	(void)owner;
	(void)link;
	(void)hello;
	(void)fault;
	return RC_OK;
}

static const struct link_ops late_ops = {
	.hello = fill_hello,
	.admit = admit_late,
	.event = on_late_link,
};

static void make_member(struct late_world *l, int64_t start_s, int64_t life_s)
{
	struct identity *id =
	    pki_identity_at(&l->w.pki, ROLE_TENTACLE, MACHINE, start_s, life_s);
	const struct member_new n = { .name = "web-01", .identity = id };

	(void)snprintf(l->top, sizeof(l->top), "/tmp/late-XXXXXX");
	assert_non_null(mkdtemp(l->top));
	(void)snprintf(l->dir, sizeof(l->dir), "%s/state", l->top);
	assert_int_equal(member_create(l->dir, &n, &l->fault), RC_OK);
	identity_free(id);
	assert_int_equal(member_open(l->dir, &l->member, &l->fault), RC_OK);
}

static void make_net(
    struct late_world *l, struct side *side, struct tls_contexts *contexts)
{
	assert_int_equal(link_net_new(l->w.loop, l->w.pool, &l->w.config,
			     &late_ops, l, &side->net),
	    RC_OK);
	link_net_set_contexts(side->net, contexts);
}

static void late_new(struct late_world *l, int64_t start_s, int64_t life_s)
{
	const struct config_endpoint any = { .host = "127.0.0.1" };
	struct side *far = &l->w.far;

	memset(l, 0, sizeof(*l));
	world_new(&l->w);
	make_member(l, start_s, life_s);
	far->identity = pki_identity(&l->w.pki, ROLE_SERVER, "n1");
	assert_int_equal(tls_contexts_new(far->identity, l->w.pki.trust,
			     &far->contexts, &l->fault),
	    RC_OK);
	make_net(l, far, far->contexts);
	make_net(l, &l->w.near, l->member->contexts);
	member_late_init(&l->late, l->member, l->w.near.net);
	assert_int_equal(
	    listener_new(far->net, &any, &l->w.listener, &l->fault), RC_OK);
	dial_to(&l->w, listener_address(l->w.listener), TRUST_ROLE(ROLE_SERVER),
	    "n1");
}

static void late_free(struct late_world *l)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY);

	member_late_fini(&l->late);
	world_free(&l->w);
	member_close(l->member);
	assert_int_equal(
	    fs_remove_tree(tmp, l->top + strlen("/tmp/"), &l->fault), RC_OK);
	(void)close(tmp);
}

static bool is_known(struct world *w)
{
	return ((struct late_world *)w)->known > 0;
}

static bool was_answered(struct world *w)
{
	const struct late_world *l = (struct late_world *)w;

	return l->asked > 0 && l->seal == NULL;
}

static void test_an_expired_member_gets_another_certificate(void **state)
{
	static struct late_world l;
	int64_t until;

	(void)state;
	late_new(&l, -2 * DAY, DAY);
	l.life_s = DAY;
	run_until(&l.w, is_known);
	assert_int_equal(l.asked, 1);
	assert_true(l.strangers >= 1);
	until = identity_not_after_s(l.member->identity);
	assert_true(until > l.w.pki.now_s);
	late_free(&l);
}

static void test_a_refused_one_goes_on_as_it_is(void **state)
{
	static struct late_world l;

	(void)state;
	late_new(&l, -2 * DAY, DAY);
	run_until(&l.w, was_answered);
	assert_null(l.late.seal);
	assert_int_equal(l.known, 0);
	assert_true(identity_not_after_s(l.member->identity) < l.w.pki.now_s);
	late_free(&l);
}

static void test_one_that_has_not_expired_asks_nothing(void **state)
{
	static struct late_world l;

	(void)state;
	/* Within the skew: the others still believe it. */
	late_new(&l, -DAY, DAY - 60);
	run_until(&l.w, is_known);
	assert_null(l.late.seal);
	assert_int_equal(l.asked, 0);
	late_free(&l);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_an_expired_member_gets_another_certificate),
		cmocka_unit_test(test_a_refused_one_goes_on_as_it_is),
		cmocka_unit_test(test_one_that_has_not_expired_asks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

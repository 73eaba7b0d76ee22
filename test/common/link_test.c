/*
 * Links between two nets on one loop, over loopback sockets: who is believed,
 * what a person is told, and what garbage costs.
 */
#include "common/dial.h"
#include "common/link.h"
#include "common/listen.h"

#include "test/support/pki.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

struct world;

struct side {
	struct world *world;
	struct link_net *net;
	struct identity *identity;
	struct tls_contexts *contexts;
	struct link *up;
	unsigned ups, downs;
	struct fault down;
	const char *refuse; /* admit says no with these words */
};

struct world {
	struct pki pki, other_pki;
	struct loop *loop;
	struct worker_pool *pool;
	struct link_config config;
	struct side near, far; /* near dials, far listens */
	struct listener *listener;
	struct dialler *dialler;
	struct loop_timer *guard;
	struct loop_timer *poll;
	bool (*until)(struct world *w);
	int raw; /* a peer of our own making */
	char answer[256];
	size_t answer_len;
	bool raw_closed;
};

static void check(struct world *w)
{
	if (w->until != NULL && w->until(w))
		loop_stop(w->loop);
}

static void too_late(void *arg)
{
	struct world *w = arg;

	fail_msg("not in 30 s; near: %s; far: %s", w->near.down.text,
	    w->far.down.text);
}

static void run_until(struct world *w, bool (*until)(struct world *w))
{
	w->until = until;
	if (!until(w)) {
		loop_timer_set(w->guard, 30000);
		loop_run(w->loop);
	}
	loop_timer_stop(w->guard);
	w->until = NULL;
}

static void fill_hello(
    void *owner, const struct peer *peer, struct msg_hello *hello)
{
	(void)owner;
	(void)peer;
	hello->has_instance = true;
	hello->instance.start = 1;
	memset(hello->instance.journal, 'a', ID_SIZE - 1);
	memset(hello->instance.nonce, 'b', ID_SIZE - 1);
}

static enum rc admit(void *owner, struct link *link,
    const struct msg_hello *hello, struct fault *fault)
{
	const struct side *side = owner;

	(void)link;
	(void)hello;
	if (side->refuse == NULL)
		return RC_OK;
	fault_set(fault, REASON_NOT_PERMITTED, "far", "%s", side->refuse);
	return RC_DENIED;
}

static void on_link(
    void *owner, struct link *link, const struct link_event *event)
{
	struct side *side = owner;

	if (event->type == LINK_UP) {
		side->up = link;
		side->ups++;
	} else if (event->type == LINK_DOWN) {
		side->downs++;
		side->down = *event->fault;
		if (side->up == link)
			side->up = NULL;
	}
	check(side->world);
}

static const struct link_ops ops = {
	.hello = fill_hello,
	.admit = admit,
	.event = on_link,
};

static void side_new(struct world *w, struct side *side, struct pki *pki,
    struct identity *identity, const char *name)
{
	struct fault fault;

	side->world = w;
	side->identity = identity;
	assert_int_equal(
	    tls_contexts_new(identity, pki->trust, &side->contexts, &fault),
	    RC_OK);
	assert_int_equal(
	    link_net_new(w->loop, w->pool, &w->config, &ops, side, &side->net),
	    RC_OK);
	link_net_set_contexts(side->net, side->contexts);
	link_net_set_name(side->net, name);
}

static void side_free(struct side *side)
{
	link_net_free(side->net);
	tls_contexts_unref(side->contexts);
	identity_free(side->identity);
}

static void world_new(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->raw = -1;
	pki_init(&w->pki, CLUSTER);
	pki_init(&w->other_pki, CLUSTER_2);
	assert_int_equal(loop_new(&w->loop), RC_OK);
	assert_int_equal(worker_pool_new(w->loop, 1, 100, &w->pool), RC_OK);
	assert_int_equal(
	    loop_timer_new(w->loop, too_late, w, &w->guard), RC_OK);
	link_config_default(&w->config);
	w->config.backoff_min_ms = 10;
	w->config.backoff_max_ms = 50;
}

static void world_free(struct world *w)
{
	const struct fault bye = { .code = REASON_DRAINING };

	w->until = NULL;
	dial_free(w->dialler, &bye);
	listener_free(w->listener);
	side_free(&w->near);
	side_free(&w->far);
	if (w->raw >= 0)
		(void)close(w->raw);
	loop_timer_free(w->poll);
	loop_timer_free(w->guard);
	worker_pool_free(w->pool);
	loop_free(w->loop);
	pki_fini(&w->pki);
	pki_fini(&w->other_pki);
}

static void listen_far(
    struct world *w, struct pki *pki, enum peer_role role, const char *name)
{
	const struct config_endpoint any = { .host = "127.0.0.1" };
	struct fault fault;

	side_new(w, &w->far, pki, pki_identity(pki, role, name), "far");
	assert_int_equal(
	    listener_new(w->far.net, &any, &w->listener, &fault), RC_OK);
}

static void dial_to(
    struct world *w, const char *address, unsigned roles, const char *name)
{
	struct endpoint to;
	struct fault fault;
	const struct dial_spec spec = {
		.label = "relay dc2-a",
		.expect = { .roles = roles, .name = name },
		.endpoints = &to,
		.count = 1,
	};

	assert_int_equal(endpoint_parse(address, 0, &to, &fault), RC_OK);
	assert_int_equal(dial_new(w->near.net, &spec, &w->dialler), RC_OK);
}

static bool both_up(struct world *w)
{
	return w->near.up != NULL && w->far.up != NULL;
}

static bool near_down(struct world *w)
{
	return w->near.downs > 0;
}

static bool far_down(struct world *w)
{
	return w->far.downs > 0;
}

static bool again_up(struct world *w)
{
	return w->near.ups >= 2 && both_up(w);
}

static bool dial_failed(struct world *w)
{
	return dial_failures(w->dialler) > 0;
}

/* Dial failures before a link exists are no event of the net. */
static void on_poll(void *arg)
{
	struct world *w = arg;
	ssize_t got;

	if (w->raw >= 0 && !w->raw_closed) {
		got = recv(w->raw, w->answer + w->answer_len,
		    sizeof(w->answer) - 1 - w->answer_len, MSG_DONTWAIT);
		if (got > 0)
			w->answer_len += (size_t)got;
		else if (got == 0)
			w->raw_closed = true;
	}
	check(w);
	loop_timer_set(w->poll, 5);
}

static void poll_too(struct world *w)
{
	assert_int_equal(loop_timer_new(w->loop, on_poll, w, &w->poll), RC_OK);
	loop_timer_set(w->poll, 5);
}

static void test_a_link_comes_up_and_returns_after_it_broke(void **state)
{
	struct world w;
	const struct fault why = { .code = REASON_DRAINING };

	(void)state;
	world_new(&w);
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-a");
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	dial_to(
	    &w, listener_address(w.listener), TRUST_ROLE(ROLE_RELAY), "dc2-a");
	run_until(&w, both_up);
	assert_string_equal(link_label(w.near.up), "relay dc2-a");
	assert_string_equal(link_label(w.far.up), "machine " MACHINE);
	link_close(w.far.up, &why);
	run_until(&w, again_up);
	world_free(&w);
}

static void test_a_refused_connection_says_who_and_where(void **state)
{
	struct world w;
	char address[ADDRESS_TEXT_MAX], expected[160];

	(void)state;
	world_new(&w);
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-a");
	strcpy(address, listener_address(w.listener));
	listener_free(w.listener);
	w.listener = NULL;
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	dial_to(&w, address, TRUST_ROLE(ROLE_RELAY), "dc2-a");
	poll_too(&w);
	run_until(&w, dial_failed);
	(void)snprintf(expected, sizeof(expected),
	    "relay dc2-a: connection refused at %s", address);
	assert_string_equal(dial_fault(w.dialler)->text, expected);
	assert_int_equal(dial_fault(w.dialler)->code, REASON_REFUSED);
	world_free(&w);
}

static void test_another_program_at_the_address_is_a_wrong_identity(
    void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-b");
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	dial_to(
	    &w, listener_address(w.listener), TRUST_ROLE(ROLE_RELAY), "dc2-a");
	run_until(&w, near_down);
	assert_int_equal(w.near.down.code, REASON_WRONG_IDENTITY);
	assert_non_null(strstr(w.near.down.text, "dc2-b"));
	world_free(&w);
}

static void test_another_cluster_is_not_believed(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	listen_far(&w, &w.other_pki, ROLE_RELAY, "dc2-a");
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	dial_to(
	    &w, listener_address(w.listener), TRUST_ROLE(ROLE_RELAY), "dc2-a");
	run_until(&w, near_down);
	assert_int_equal(w.near.ups, 0);
	assert_int_not_equal(w.near.down.code, REASON_NONE);
	world_free(&w);
}

static void test_the_reason_of_a_refusal_reaches_the_dialler(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-a");
	w.far.refuse = "no route names this machine";
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	dial_to(
	    &w, listener_address(w.listener), TRUST_ROLE(ROLE_RELAY), "dc2-a");
	run_until(&w, near_down);
	assert_int_equal(w.near.down.code, REASON_NOT_PERMITTED);
	assert_non_null(strstr(w.near.down.text, w.far.refuse));
	world_free(&w);
}

/* --- Peers that are none of ours --------------------------------------------
 */

static void dial_raw(struct world *w)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	unsigned port;

	assert_int_equal(
	    sscanf(listener_address(w->listener), "127.0.0.1:%u", &port), 1);
	to.sin_port = htons((uint16_t)port);
	assert_int_equal(inet_pton(AF_INET, "127.0.0.1", &to.sin_addr), 1);
	w->raw = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
	    connect(w->raw, (struct sockaddr *)&to, sizeof(to)), 0);
	poll_too(w);
}

static bool raw_is_closed(struct world *w)
{
	return w->raw_closed;
}

static void test_a_browser_is_told_what_this_port_is(void **state)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	struct world w;

	(void)state;
	world_new(&w);
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-a");
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	dial_raw(&w);
	assert_int_equal(send(w.raw, request, sizeof(request) - 1, 0),
	    (ssize_t)sizeof(request) - 1);
	run_until(&w, raw_is_closed);
	assert_non_null(strstr(w.answer, "longarm protocol over TLS"));
	world_free(&w);
}

static void test_garbage_is_dropped_and_named(void **state)
{
	static const uint8_t garbage[] = "\x16\x03\x01\xff\xffgarbage garbage";
	struct world w;

	(void)state;
	world_new(&w);
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-a");
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	dial_raw(&w);
	assert_int_equal(
	    send(w.raw, garbage, sizeof(garbage), 0), (ssize_t)sizeof(garbage));
	run_until(&w, far_down);
	assert_int_equal(w.far.ups, 0);
	assert_int_equal(w.far.down.code, REASON_TLS);
	world_free(&w);
}

static void test_a_peer_that_says_nothing_is_given_up(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	w.config.handshake_ms = 50;
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-a");
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	dial_raw(&w);
	run_until(&w, far_down);
	assert_int_equal(w.far.down.code, REASON_CONNECT_TIMEOUT);
	world_free(&w);
}

static bool raw_closed_by_limit(struct world *w)
{
	return w->raw_closed && w->far.downs == 0;
}

static void test_too_many_handshakes_are_dropped_at_once(void **state)
{
	struct world w;
	int first;

	(void)state;
	world_new(&w);
	w.config.handshakes_max = 1;
	listen_far(&w, &w.pki, ROLE_RELAY, "dc2-a");
	side_new(&w, &w.near, &w.pki,
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), "near");
	dial_raw(&w);
	first = w.raw;
	loop_timer_free(w.poll);
	dial_raw(&w);
	run_until(&w, raw_closed_by_limit);
	(void)close(first);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_a_link_comes_up_and_returns_after_it_broke),
		cmocka_unit_test(test_a_refused_connection_says_who_and_where),
		cmocka_unit_test(
		    test_another_program_at_the_address_is_a_wrong_identity),
		cmocka_unit_test(test_another_cluster_is_not_believed),
		cmocka_unit_test(
		    test_the_reason_of_a_refusal_reaches_the_dialler),
		cmocka_unit_test(test_a_browser_is_told_what_this_port_is),
		cmocka_unit_test(test_garbage_is_dropped_and_named),
		cmocka_unit_test(test_a_peer_that_says_nothing_is_given_up),
		cmocka_unit_test(test_too_many_handshakes_are_dropped_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

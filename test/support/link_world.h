/*
 * link_world.h - two nets on one loop over loopback sockets, near dials and far
 * listens.  In a header, all static, because it uses common.
 */
#ifndef TEST_SUPPORT_LINK_WORLD_H
#define TEST_SUPPORT_LINK_WORLD_H

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
	unsigned opened, resets;
};

static UNUSED void check(struct world *w)
{
	if (w->until != NULL && w->until(w))
		loop_stop(w->loop);
}

static UNUSED void too_late(void *arg)
{
	struct world *w = arg;

	fail_msg("not in 30 s; near: %s; far: %s", w->near.down.text,
	    w->far.down.text);
}

static UNUSED void run_until(struct world *w, bool (*until)(struct world *w))
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

static UNUSED void on_link(
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
	} else if (event->type == LINK_OPENED) {
		side->world->opened++;
	}
	check(side->world);
}

static const struct link_ops ops = {
	.hello = fill_hello,
	.admit = admit,
	.event = on_link,
};

static UNUSED void side_new(struct world *w, struct side *side, struct pki *pki,
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

static UNUSED void side_free(struct side *side)
{
	link_net_free(side->net);
	tls_contexts_unref(side->contexts);
	identity_free(side->identity);
}

static UNUSED void world_new(struct world *w)
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

static UNUSED void world_free(struct world *w)
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

static UNUSED void listen_far(
    struct world *w, struct pki *pki, enum peer_role role, const char *name)
{
	const struct config_endpoint any = { .host = "127.0.0.1" };
	struct fault fault;

	side_new(w, &w->far, pki, pki_identity(pki, role, name), "far");
	assert_int_equal(
	    listener_new(w->far.net, &any, &w->listener, &fault), RC_OK);
}

/* far is the relay dc2-a and listens, near a machine that has not dialled. */
static UNUSED void relay_and_machine(struct world *w)
{
	listen_far(w, &w->pki, ROLE_RELAY, "dc2-a");
	side_new(w, &w->near, &w->pki,
	    pki_identity(&w->pki, ROLE_TENTACLE, MACHINE), "near");
}

static UNUSED bool raw_was_closed(struct world *w)
{
	return w->raw_closed;
}

/* near has no certificate. */
static UNUSED void side_new_stranger(struct world *w)
{
	struct fault fault;

	w->near.world = w;
	assert_int_equal(
	    tls_contexts_new(NULL, w->pki.trust, &w->near.contexts, &fault),
	    RC_OK);
	assert_int_equal(link_net_new(w->loop, w->pool, &w->config, &ops,
			     &w->near, &w->near.net),
	    RC_OK);
	link_net_set_contexts(w->near.net, w->near.contexts);
}

static UNUSED void dial_to(
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

static UNUSED bool both_up(struct world *w)
{
	return w->near.up != NULL && w->far.up != NULL;
}

static UNUSED bool near_down(struct world *w)
{
	return w->near.downs > 0;
}

static UNUSED bool far_down(struct world *w)
{
	return w->far.downs > 0;
}

static UNUSED bool again_up(struct world *w)
{
	return w->near.ups >= 2 && both_up(w);
}

static UNUSED bool dial_failed(struct world *w)
{
	return dial_failures(w->dialler) > 0;
}

/* Dial failures before a link exists are no event of the net. */
static UNUSED void on_poll(void *arg)
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

static UNUSED void poll_too(struct world *w)
{
	assert_int_equal(loop_timer_new(w->loop, on_poll, w, &w->poll), RC_OK);
	loop_timer_set(w->poll, 5);
}

/* Bound to an address of our own: NULL for any. */
static UNUSED int connect_raw(struct world *w, const char *own)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	struct sockaddr_in to = { .sin_family = AF_INET };
	unsigned port;
	int fd;

	assert_int_equal(
	    sscanf(listener_address(w->listener), "127.0.0.1:%u", &port), 1);
	to.sin_port = htons((uint16_t)port);
	assert_int_equal(inet_pton(AF_INET, "127.0.0.1", &to.sin_addr), 1);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (own != NULL) {
		assert_int_equal(inet_pton(AF_INET, own, &from.sin_addr), 1);
		assert_int_equal(
		    bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	}
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static UNUSED void dial_raw(struct world *w)
{
	w->raw = connect_raw(w, NULL);
	poll_too(w);
}

#endif

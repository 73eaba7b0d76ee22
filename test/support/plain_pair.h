/*
 * plain_pair.h - two nets on one loop, joined by a link over a socket pair, as
 * between two processes of one machine.  In a header, all static, because it
 * uses common.
 */
#ifndef TEST_SUPPORT_PLAIN_PAIR_H
#define TEST_SUPPORT_PLAIN_PAIR_H

#include "test/support/link_world.h"

static const struct peer plain_self = { .role = ROLE_TENTACLE,
	.id.name = MACHINE };

/* Both nets, each with its own settings, and the link, up.  world_new() before,
 * world_free() after. */
static UNUSED void plain_pair_join(struct world *w,
    const struct link_config *far_config, const struct link_ops *far_ops)
{
	struct link *near, *far;
	int fds[2];

	w->near.world = w->far.world = w;
	assert_int_equal(
	    socketpair(
		AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
	    0);
	assert_int_equal(link_net_new(w->loop, w->pool, &w->config, &ops,
			     &w->near, &w->near.net),
	    RC_OK);
	assert_int_equal(link_net_new(w->loop, w->pool, far_config, far_ops,
			     &w->far, &w->far.net),
	    RC_OK);
	assert_int_equal(
	    link_plain(w->near.net, fds[0], MUX_DIALLER, &plain_self, &near),
	    RC_OK);
	assert_int_equal(
	    link_plain(w->far.net, fds[1], MUX_ACCEPTOR, &plain_self, &far),
	    RC_OK);
	run_until(w, both_up);
	assert_ptr_equal(w->near.up, near);
	assert_ptr_equal(w->far.up, far);
}

#endif

/*
 * A link between two processes of one machine, over a socket pair: here two
 * nets on one loop, of which the far one sends back what it gets.
 */
#include "test/support/plain_pair.h"

#include "common/link_internal.h"

#define TOTAL (3U << 20)

struct echo {
	struct stream_user user;
	struct world *world;
	struct link *link;
	uint32_t stream;
	size_t sent, got;
	bool closed;
};

struct pair {
	struct world world;
	struct echo near, far;
};

static uint8_t byte_at(size_t at)
{
	return (uint8_t)(at * 31 + at / 251);
}

static void push(struct echo *e)
{
	uint8_t piece[4096];
	size_t taken = 1;

	while (e->sent < TOTAL && taken > 0) {
		size_t len = TOTAL - e->sent;

		len = len < sizeof(piece) ? len : sizeof(piece);
		for (size_t i = 0; i < len; i++)
			piece[i] = byte_at(e->sent + i);
		assert_int_equal(
		    link_send(e->link, e->stream, piece, len, &taken), RC_OK);
		e->sent += taken;
	}
	if (e->sent == TOTAL) {
		e->sent++;
		link_end(e->link, e->stream);
	}
}

static void on_near(
    struct stream_user *user, struct link *link, const struct mux_event *event)
{
	struct echo *e = (struct echo *)user;

	if (event->type == MUX_ACCEPTED || event->type == MUX_WRITABLE)
		push(e);
	if (event->type == MUX_DATA) {
		for (size_t i = 0; i < event->data.len; i++)
			assert_int_equal(event->data.p[i], byte_at(e->got + i));
		e->got += event->data.len;
		link_consumed(link, event->stream, event->data.len);
	}
	e->closed |= event->type == MUX_CLOSED;
	check(e->world);
}

static void on_far(
    struct stream_user *user, struct link *link, const struct mux_event *event)
{
	struct echo *e = (struct echo *)user;
	size_t taken;

	if (event->type == MUX_DATA) {
		assert_int_equal(link_send(link, event->stream, event->data.p,
				     event->data.len, &taken),
		    RC_OK);
		assert_int_equal(taken, event->data.len);
	} else if (event->type == MUX_WRITABLE) {
		link_consumed(link, event->stream, event->sent);
	} else if (event->type == MUX_END) {
		link_end(link, event->stream);
	}
	e->closed |= event->type == MUX_CLOSED || event->type == MUX_BROKEN;
	check(e->world);
}

static void on_far_link(
    void *owner, struct link *link, const struct link_event *event)
{
	const struct side *side = owner;
	struct pair *p = (struct pair *)side->world;
	const struct msg_accept accept = { .credit = 0 };

	if (event->type == LINK_OPENED) {
		p->far.link = link;
		assert_string_equal(event->open->passed.names[0], "dc2-a");
		assert_int_equal(link_accept(link, event->stream, CLASS_BULK,
				     &accept, &p->far.user),
		    RC_OK);
		mux_set_queue_max(link_mux(link), event->stream,
		    p->world.config.mux.max_window, true);
	}
	on_link(owner, link, event);
}

static const struct link_ops far_ops = {
	.hello = fill_hello,
	.admit = admit,
	.event = on_far_link,
};

static void pair_new(struct pair *p)
{
	struct world *w = &p->world;

	memset(p, 0, sizeof(*p));
	world_new(w);
	w->config.unpaced = true;
	p->near = (struct echo){ .user.event = on_near, .world = w };
	p->far = (struct echo){ .user.event = on_far, .world = w };
	plain_pair_join(w, &w->config, &far_ops);
}

static bool echoed(struct world *w)
{
	const struct pair *p = (struct pair *)w;

	return p->near.closed && p->far.closed;
}

static bool opened(struct world *w)
{
	return ((struct pair *)w)->near.got > 0;
}

static void open_echo(struct pair *p)
{
	const struct msg_open open = {
		.kind = KIND_SEAL,
		.to = { .kind = TARGET_MACHINE, .name = MACHINE },
		.passed = { .count = 1, .names = { "dc2-a" } },
		.service_class = CLASS_BULK,
		.deadline_ms = 10000,
	};

	p->near.link = p->world.near.up;
	assert_int_equal(
	    link_open(p->near.link, &open, &p->near.user, &p->near.stream),
	    RC_OK);
}

static void test_what_goes_in_comes_back_whole(void **state)
{
	struct pair p;

	(void)state;
	pair_new(&p);
	open_echo(&p);
	run_until(&p.world, echoed);
	assert_int_equal(p.near.got, TOTAL);
	world_free(&p.world);
}

static void test_neither_new_trust_nor_a_new_certificate_touches_it(
    void **state)
{
	struct pair p;

	(void)state;
	pair_new(&p);
	link_net_recheck(p.world.near.net);
	link_net_recheck(p.world.far.net);
	link_net_renewed(p.world.near.net);
	link_net_renewed(p.world.far.net);
	open_echo(&p);
	run_until(&p.world, echoed);
	assert_int_equal(p.world.near.downs + p.world.far.downs, 0);
	world_free(&p.world);
}

/* Longer than any link is quiet before it lets go of what it does not need. */
static void test_it_stays_when_nothing_is_said(void **state)
{
	struct pair p;

	(void)state;
	pair_new(&p);
	p.world.near.up->last_recv_us = 1; /* long ago */
	link_timer_fired(p.world.near.up);
	assert_int_equal(p.world.near.downs, 0);
	open_echo(&p);
	run_until(&p.world, echoed);
	world_free(&p.world);
}

static void test_when_one_end_goes_the_other_one_and_its_streams_end(
    void **state)
{
	const struct fault why = { .code = REASON_DRAINING, .text = "bye" };
	struct pair p;

	(void)state;
	pair_new(&p);
	open_echo(&p);
	run_until(&p.world, opened);
	link_close(p.world.near.up, &why);
	run_until(&p.world, far_down);
	assert_true(p.far.closed);
	assert_non_null(strstr(p.world.far.down.text, "bye"));
	world_free(&p.world);
}

static void test_garbage_ends_it(void **state)
{
	struct world w;
	struct link *far;
	int fds[2];

	(void)state;
	world_new(&w);
	w.near.world = w.far.world = &w;
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(link_net_new(w.loop, w.pool, &w.config, &far_ops,
			     &w.far, &w.far.net),
	    RC_OK);
	assert_int_equal(
	    link_plain(w.far.net, fds[1], MUX_ACCEPTOR, &plain_self, &far),
	    RC_OK);
	assert_int_equal(write(fds[0], "GET / HTTP/1.0\r\n\r\n", 18), 18);
	run_until(&w, far_down);
	assert_int_equal(w.far.down.code, REASON_PROTOCOL);
	(void)close(fds[0]);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_goes_in_comes_back_whole),
		cmocka_unit_test(
		    test_neither_new_trust_nor_a_new_certificate_touches_it),
		cmocka_unit_test(test_it_stays_when_nothing_is_said),
		cmocka_unit_test(
		    test_when_one_end_goes_the_other_one_and_its_streams_end),
		cmocka_unit_test(test_garbage_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Three links of one net: what comes in on the first is passed on to the second
 * or the third where that is possible, and by the queue where it is not. Either
 * way every byte arrives, in order.
 */
#include "common/link_internal.h"

#include "test/support/link_world.h"

#define TOTAL   (4U << 20)
#define STREAMS 3 /* two to the second link, one to the third */

static const struct peer self = { .role = ROLE_TENTACLE, .id.name = MACHINE };

struct chain;

/* One stream: its beginning, its way through the middle, its end. */
struct run {
	struct stream_user source, in, out, sink; /* in this order: run_of() */
	struct chain *chain;
	unsigned number;
	enum stream_class class;
	struct link *from, *to;
	uint32_t stream, from_stream, to_stream;
	size_t sent, got;
	bool ready, ended;
	unsigned straight, queued, close_after;
};

struct chain {
	struct world world;
	struct run runs[STREAMS];
	struct link *start, *links[3];
	size_t forwarded; /* to the second link */
};

static const struct fault bye = { .code = REASON_DRAINING, .text = "bye" };

/* The run whose user-th user this is. */
static struct run *run_of(struct stream_user *user, int which)
{
	return (struct run *)(void *)(user - which);
}

static struct run *run_named(struct side *side, const char *name)
{
	struct chain *c = (struct chain *)side->world;

	return &c->runs[name[1] - '0'];
}

static uint8_t byte_at(const struct run *r, size_t at)
{
	return (uint8_t)(at * 31 + at / 251 + (size_t)r->number * 7);
}

static void push(struct run *r)
{
	static uint8_t piece[FRAME_PAYLOAD_MAX];
	size_t taken = 1;

	while (r->sent < TOTAL && taken > 0) {
		size_t len = TOTAL - r->sent;

		len = len < sizeof(piece) ? len : sizeof(piece);
		for (size_t i = 0; i < len; i++)
			piece[i] = byte_at(r, r->sent + i);
		assert_int_equal(
		    link_send(r->chain->start, r->stream, piece, len, &taken),
		    RC_OK);
		r->sent += taken;
	}
	if (r->sent == TOTAL) {
		r->sent++;
		link_end(r->chain->start, r->stream);
	}
}

static void on_source(
    struct stream_user *user, struct link *link, const struct mux_event *event)
{
	(void)link;
	if (event->type == MUX_ACCEPTED || event->type == MUX_WRITABLE)
		push(run_of(user, 0));
}

static void on_in(
    struct stream_user *user, struct link *link, const struct mux_event *event)
{
	struct run *r = run_of(user, 1);
	size_t taken;

	if (r->to == NULL)
		return;
	if (event->type == MUX_END)
		link_end(r->to, r->to_stream);
	if (event->type != MUX_DATA)
		return;
	if (link_pass(r->to, r->to_stream, event->data)) {
		struct link_net *net = r->chain->world.far.net;

		r->straight++;
		assert_in_range(net->passing.wire_len + net->passing.plain_len,
		    1, r->to->cap.limit);
		/* Nothing is encrypted that the kernel cannot take yet. */
		assert_in_range(r->to->unsent_len, 0, LINK_WIRE_MAX);
		link_consumed(link, event->stream, event->data.len);
		if (r->number < 2)
			r->chain->forwarded += event->data.len;
		if (r->straight == r->close_after)
			link_close(r->to, &bye);
		return;
	}
	r->queued++;
	assert_int_equal(link_send(r->to, r->to_stream, event->data.p,
			     event->data.len, &taken),
	    RC_OK);
	assert_int_equal(taken, event->data.len);
}

static void on_out(
    struct stream_user *user, struct link *link, const struct mux_event *event)
{
	struct run *r = run_of(user, 2);

	(void)link;
	if (event->type == MUX_BROKEN)
		r->to = NULL; /* and freed soon */
	r->ready |= event->type == MUX_ACCEPTED;
	if (event->type == MUX_WRITABLE)
		link_consumed(r->from, r->from_stream, event->sent);
	check(&r->chain->world);
}

static void on_sink(
    struct stream_user *user, struct link *link, const struct mux_event *event)
{
	struct run *r = run_of(user, 3);

	if (event->type == MUX_DATA) {
		for (size_t i = 0; i < event->data.len; i++)
			assert_int_equal(
			    event->data.p[i], byte_at(r, r->got + i));
		r->got += event->data.len;
		link_consumed(link, event->stream, event->data.len);
	}
	r->ended |= event->type == MUX_END;
	check(&r->chain->world);
}

static void take(
    struct link *link, const struct link_event *event, struct stream_user *user)
{
	const struct msg_accept accept = { .credit = 0 };

	assert_int_equal(link_accept(link, event->stream,
			     event->open->service_class, &accept, user),
	    RC_OK);
}

static void on_middle(
    void *owner, struct link *link, const struct link_event *event)
{
	if (event->type == LINK_OPENED) {
		struct run *r = run_named(owner, event->open->to.name);

		r->from = link;
		r->from_stream = event->stream;
		take(link, event, &r->in);
	}
	on_link(owner, link, event);
}

static void on_end(
    void *owner, struct link *link, const struct link_event *event)
{
	if (event->type == LINK_OPENED)
		take(
		    link, event, &run_named(owner, event->open->to.name)->sink);
	on_link(owner, link, event);
}

static const struct link_ops middle_ops = {
	.hello = fill_hello,
	.admit = admit,
	.event = on_middle,
};
static const struct link_ops end_ops = {
	.hello = fill_hello,
	.admit = admit,
	.event = on_end,
};

static void open_for(struct run *r, struct link *link, struct stream_user *user,
    uint32_t *stream)
{
	struct msg_open open = {
		.kind = KIND_SEAL,
		.to = { .kind = TARGET_RELAY },
		.passed = { .count = 1, .names = { "dc2-a" } },
		.service_class = r->class,
		.deadline_ms = 10000,
	};

	(void)snprintf(open.to.name, sizeof(open.to.name), "s%u", r->number);
	assert_int_equal(link_open(link, &open, user, stream), RC_OK);
}

static bool all_up(struct world *w)
{
	return w->near.ups == 3 && w->far.ups == 3;
}

static bool all_ready(struct world *w)
{
	const struct chain *c = (const struct chain *)w;

	return c->runs[0].ready && c->runs[1].ready && c->runs[2].ready;
}

static bool all_ended(struct world *w)
{
	const struct chain *c = (const struct chain *)w;

	return c->runs[0].ended && c->runs[1].ended && c->runs[2].ended;
}

/* A link from the middle to the ends. */
static void join(struct chain *c, int i, int buffer)
{
	struct link *end;
	int fds[2];

	assert_int_equal(
	    socketpair(
		AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
	    0);
	if (buffer > 0)
		(void)setsockopt(
		    fds[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	assert_int_equal(link_plain(c->world.far.net, fds[0], MUX_DIALLER,
			     &self, &c->links[i]),
	    RC_OK);
	assert_int_equal(
	    link_plain(c->world.near.net, fds[1], MUX_ACCEPTOR, &self, &end),
	    RC_OK);
	if (i == 0)
		c->start = end;
}

static void chain_new(struct chain *c, int buffer)
{
	struct world *w = &c->world;

	memset(c, 0, sizeof(*c));
	world_new(w);
	w->near.world = w->far.world = w;
	assert_int_equal(link_net_new(w->loop, w->pool, &w->config, &end_ops,
			     &w->near, &w->near.net),
	    RC_OK);
	assert_int_equal(link_net_new(w->loop, w->pool, &w->config, &middle_ops,
			     &w->far, &w->far.net),
	    RC_OK);
	for (int i = 0; i < 3; i++)
		join(c, i, i == 0 ? 0 : buffer);
	for (unsigned i = 0; i < STREAMS; i++)
		c->runs[i] = (struct run){ .source.event = on_source,
			.in.event = on_in,
			.out.event = on_out,
			.sink.event = on_sink,
			.chain = c,
			.number = i,
			.class = i == 1 ? CLASS_DEPLOY : CLASS_BULK,
			.to = c->links[i < 2 ? 1 : 2] };
	run_until(w, all_up);
}

static void open_all(struct chain *c)
{
	for (int i = 0; i < STREAMS; i++) {
		struct run *r = &c->runs[i];

		open_for(r, r->to, &r->out, &r->to_stream);
		mux_set_queue_max(link_mux(r->to), r->to_stream,
		    c->world.config.mux.max_window, true);
	}
	run_until(&c->world, all_ready);
	for (int i = 0; i < STREAMS; i++) {
		struct run *r = &c->runs[i];

		open_for(r, c->start, &r->source, &r->stream);
	}
}

static void run_all(struct chain *c)
{
	open_all(c);
	run_until(&c->world, all_ended);
	for (int i = 0; i < STREAMS; i++)
		assert_int_equal(c->runs[i].got, TOTAL);
}

static unsigned straight(const struct chain *c)
{
	return c->runs[0].straight + c->runs[1].straight + c->runs[2].straight;
}

static unsigned queued(const struct chain *c)
{
	return c->runs[0].queued + c->runs[1].queued + c->runs[2].queued;
}

static void test_straight_or_queued_every_byte_arrives_in_order(void **state)
{
	struct chain c;

	(void)state;
	chain_new(&c, 0);
	run_all(&c);
	assert_true(straight(&c) > 0);
	assert_true(queued(&c) > 0);
	world_free(&c.world);
}

/* What the kernel does not take whole is nothing to write past. */
static void test_a_socket_that_takes_little_keeps_the_order(void **state)
{
	struct chain c;

	(void)state;
	chain_new(&c, 4096);
	run_all(&c);
	world_free(&c.world);
}

static void test_no_more_goes_straight_than_the_kernel_shall_hold(void **state)
{
	struct chain c;

	(void)state;
	chain_new(&c, 0);
	for (int i = 0; i < 3; i++)
		c.links[i]->cap.limit = 24 << 10;
	run_all(&c);
	assert_true(straight(&c) > 0);
	world_free(&c.world);
}

static void test_what_goes_back_goes_straight_too(void **state)
{
	struct chain c;

	(void)state;
	chain_new(&c, 0);
	c.runs[2].to = c.links[0];
	run_all(&c);
	world_free(&c.world);
}

static bool closed(struct world *w)
{
	return w->near.downs > 0;
}

/* The last words come after what was forwarded before. */
static void test_a_close_loses_nothing_that_went_straight(void **state)
{
	struct chain c;

	(void)state;
	chain_new(&c, 0);
	c.runs[0].close_after = 3;
	open_all(&c);
	run_until(&c.world, closed);
	assert_true(c.runs[0].straight >= 3);
	assert_true(c.runs[0].got + c.runs[1].got >= c.forwarded);
	world_free(&c.world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_straight_or_queued_every_byte_arrives_in_order),
		cmocka_unit_test(
		    test_a_socket_that_takes_little_keeps_the_order),
		cmocka_unit_test(
		    test_no_more_goes_straight_than_the_kernel_shall_hold),
		cmocka_unit_test(test_what_goes_back_goes_straight_too),
		cmocka_unit_test(test_a_close_loses_nothing_that_went_straight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

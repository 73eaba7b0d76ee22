/*
 * What a link gives to the kernel when the far end takes nothing: bulk waits in
 * the mux, where it can be overtaken, and health goes on.
 */
#include "test/support/link_world.h"

#include <sys/ioctl.h>

#define FIRST 60000U /* nearly all that is given to the kernel unmeasured */
#define MORE  10000U
#define LIGHT 1000U

struct reader {
	struct stream_user user;
	struct two *two;
	size_t got;
	bool accepted;
};

/* Two nets on loops of their own, so that the far one can stand still. */
struct two {
	struct world world; /* near's */
	struct loop *far_loop;
	struct link_net *far_net;
	int far_fd;
	struct reader bulk, health, far_bulk, far_health;
	uint32_t bulk_stream, health_stream;
};

static void stop(void *arg)
{
	loop_stop(arg);
}

/* All that is there for it to do now. */
static void turn(struct loop *loop)
{
	struct loop_timer *t;

	assert_int_equal(loop_timer_new(loop, stop, loop, &t), RC_OK);
	loop_timer_set(t, 5);
	loop_run(loop);
	loop_timer_free(t);
}

static size_t queued(const struct two *t)
{
	int bytes = 0;

	assert_int_equal(ioctl(t->far_fd, FIONREAD, &bytes), 0);
	return (size_t)bytes;
}

static void on_stream(
    struct stream_user *user, struct link *link, const struct mux_event *event)
{
	struct reader *r = (struct reader *)user;

	r->accepted |= event->type == MUX_ACCEPTED;
	if (event->type == MUX_DATA) {
		r->got += event->data.len;
		link_consumed(link, event->stream, event->data.len);
	}
}

static void on_far_link(
    void *owner, struct link *link, const struct link_event *event)
{
	struct two *t = owner;
	const struct msg_accept accept = { .credit = 1U << 20 };
	bool bulk;

	if (event->type != LINK_OPENED)
		return;
	bulk = event->open->service_class == CLASS_BULK;
	assert_int_equal(
	    link_accept(link, event->stream, event->open->service_class,
		&accept, bulk ? &t->far_bulk.user : &t->far_health.user),
	    RC_OK);
}

static const struct link_ops far_ops = {
	.hello = fill_hello,
	.admit = admit,
	.event = on_far_link,
};

static uint32_t open_as(
    struct two *t, enum stream_class class, struct reader *r)
{
	const struct msg_open open = {
		.kind = KIND_SEAL,
		.to = { .kind = TARGET_MACHINE, .name = MACHINE },
		.service_class = class,
		.deadline_ms = 10000,
	};
	uint32_t stream;

	r->user.event = on_stream;
	assert_int_equal(
	    link_open(t->world.near.up, &open, &r->user, &stream), RC_OK);
	return stream;
}

static void two_new(struct two *t)
{
	static const struct peer self = { .role = ROLE_TENTACLE,
		.id.name = MACHINE };
	const int room = 65536;
	struct world *w = &t->world;
	struct link *near, *far;
	int fds[2];

	memset(t, 0, sizeof(*t));
	world_new(w);
	w->near.world = w;
	t->far_bulk.user.event = t->far_health.user.event = on_stream;
	assert_int_equal(loop_new(&t->far_loop), RC_OK);
	assert_int_equal(
	    socketpair(
		AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
	    0);
	assert_int_equal(
	    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
	t->far_fd = fds[1];
	assert_int_equal(link_net_new(w->loop, w->pool, &w->config, &ops,
			     &w->near, &w->near.net),
	    RC_OK);
	assert_int_equal(link_net_new(t->far_loop, w->pool, &w->config,
			     &far_ops, t, &t->far_net),
	    RC_OK);
	assert_int_equal(
	    link_plain(w->near.net, fds[0], MUX_DIALLER, &self, &near), RC_OK);
	assert_int_equal(
	    link_plain(t->far_net, fds[1], MUX_ACCEPTOR, &self, &far), RC_OK);
}

static void two_free(struct two *t)
{
	link_net_free(t->far_net);
	loop_free(t->far_loop);
	world_free(&t->world);
}

static void go_on(struct two *t, const bool *until)
{
	for (int i = 0; i < 1000 && !*until; i++) {
		turn(t->world.loop);
		turn(t->far_loop);
	}
	assert_true(*until);
}

static void give(struct two *t, uint32_t stream, size_t len)
{
	static const uint8_t bytes[FIRST];
	size_t taken = 0;

	assert_int_equal(
	    link_send(t->world.near.up, stream, bytes, len, &taken), RC_OK);
	assert_int_equal(taken, len);
	turn(t->world.loop);
}

static void test_bulk_waits_where_it_can_be_overtaken(void **state)
{
	struct two t;
	size_t before;

	(void)state;
	two_new(&t);
	while (t.world.near.up == NULL) {
		turn(t.world.loop);
		turn(t.far_loop);
	}
	t.bulk_stream = open_as(&t, CLASS_BULK, &t.bulk);
	t.health_stream = open_as(&t, CLASS_HEALTH, &t.health);
	go_on(&t, &t.health.accepted);
	go_on(&t, &t.bulk.accepted);
	assert_int_equal(queued(&t), 0);
	give(&t, t.bulk_stream, FIRST);
	before = queued(&t);
	assert_in_range(before, FIRST, FIRST + 100);
	give(&t, t.bulk_stream, MORE);
	assert_int_equal(queued(&t), before);
	give(&t, t.health_stream, LIGHT);
	assert_in_range(queued(&t), before + LIGHT, before + LIGHT + 20);
	/* Nothing of it is lost. */
	for (int i = 0; i < 1000 && t.far_bulk.got < FIRST + MORE; i++) {
		turn(t.far_loop);
		turn(t.world.loop);
	}
	assert_int_equal(t.far_bulk.got, FIRST + MORE);
	assert_int_equal(t.far_health.got, LIGHT);
	two_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bulk_waits_where_it_can_be_overtaken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

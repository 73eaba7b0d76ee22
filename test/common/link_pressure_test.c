/*
 * What a program does when more stays in it than its budget: streams end, the
 * least urgent class first and control never, until it fits again.
 */
#include "test/support/plain_pair.h"

#define STREAMS 6
#define BUDGET  20000

static const struct {
	enum stream_class class;
	size_t len;
} plan[STREAMS] = {
	{ CLASS_HEALTH, 9000 },
	{ CLASS_BULK, 1000 },
	{ CLASS_DEPLOY, 12000 },
	{ CLASS_BULK, 14000 },
	{ CLASS_CONTROL, 9000 },
	{ CLASS_HEALTH, 8000 },
};

struct end {
	struct stream_user user;
	struct pressed *pressed;
	size_t got;
	uint32_t stream; /* handle on this side */
	struct fault fault;
};

struct pressed {
	struct world world;
	struct link_config far_config;
	struct end near[STREAMS], far[STREAMS];
	unsigned taken, ended;
	unsigned order[STREAMS]; /* in which they ended */
	unsigned wanted;
};

static void on_near(
    struct stream_user *user, struct link *link, const struct mux_event *event)
{
	static const uint8_t bytes[16384];
	struct end *e = (struct end *)user;
	struct pressed *p = e->pressed;
	size_t i = (size_t)(e - p->near), taken;
	bool done;

	if (event->type == MUX_ACCEPTED) {
		assert_int_equal(
		    link_send(link, event->stream, bytes, plan[i].len, &taken),
		    RC_OK);
		assert_int_equal(taken, plan[i].len);
	}
	if (event->type == MUX_RESET) {
		link_stream_fault(link, event, &e->fault, &done);
		p->order[p->ended++] = (unsigned)i;
	}
	check(&p->world);
}

/* It goes no further. */
static void on_far(
    struct stream_user *user, struct link *link, const struct mux_event *event)
{
	struct end *e = (struct end *)user;
	bool done;

	if (event->type == MUX_DATA)
		e->got += event->data.len;
	if (event->type == MUX_BROKEN)
		link_stream_fault(link, event, &e->fault, &done);
	check(&e->pressed->world);
}

static void on_far_link(
    void *owner, struct link *link, const struct link_event *event)
{
	const struct side *side = owner;
	struct pressed *p = (struct pressed *)side->world;
	const struct msg_accept accept = { .credit = 0 };
	struct end *e;

	if (event->type == LINK_OPENED) {
		e = &p->far[p->taken++];
		e->user.event = on_far;
		e->pressed = p;
		e->stream = event->stream;
		assert_int_equal(
		    link_accept(link, event->stream, event->open->service_class,
			&accept, &e->user),
		    RC_OK);
	}
	on_link(owner, link, event);
}

static const struct link_ops far_ops = {
	.hello = fill_hello,
	.admit = admit,
	.event = on_far_link,
};

static void pressed_new(struct pressed *p, uint64_t budget)
{
	struct world *w = &p->world;

	memset(p, 0, sizeof(*p));
	world_new(w);
	p->far_config = w->config;
	p->far_config.receive_budget = budget;
	plain_pair_join(w, &p->far_config, &far_ops);
	for (unsigned i = 0; i < STREAMS; i++) {
		const struct msg_open open = {
			.kind = KIND_SEAL,
			.to = { .kind = TARGET_MACHINE, .name = MACHINE },
			.service_class = plan[i].class,
			.deadline_ms = 10000,
		};

		p->near[i].user.event = on_near;
		p->near[i].pressed = p;
		assert_int_equal(link_open(w->near.up, &open, &p->near[i].user,
				     &p->near[i].stream),
		    RC_OK);
	}
}

static bool all_came(struct world *w)
{
	const struct pressed *p = (struct pressed *)w;
	size_t want = 0, got = 0;

	for (unsigned i = 0; i < STREAMS; i++) {
		want += plan[i].len;
		got += p->far[i].got;
	}
	return got == want;
}

static bool enough_ended(struct world *w)
{
	const struct pressed *p = (struct pressed *)w;

	return p->ended == p->wanted;
}

static void test_the_least_urgent_and_of_them_the_heaviest_ends_first(
    void **state)
{
	/* 53,000 in all: until 20,000 are left. */
	static const unsigned order[] = { 3, 1, 2, 0 };
	struct pressed p;

	(void)state;
	pressed_new(&p, BUDGET);
	p.wanted = sizeof(order) / sizeof(order[0]);
	run_until(&p.world, all_came);
	run_until(&p.world, enough_ended);
	for (unsigned i = 0; i < p.wanted; i++) {
		assert_int_equal(p.order[i], order[i]);
		assert_int_equal(p.near[order[i]].fault.code, REASON_MEMORY);
		assert_non_null(strstr(p.near[order[i]].fault.text, "memory"));
	}
	/* Its users are told as well. */
	for (unsigned i = 0, told = 0; i < STREAMS; i++) {
		told += p.far[i].fault.code == REASON_MEMORY;
		assert_true(i + 1 < STREAMS || told == p.wanted);
	}
	assert_true(both_up(&p.world));
	world_free(&p.world);
}

/* Control keeps what it has. */
static void test_control_goes_on_whatever_happens(void **state)
{
	struct pressed p;

	(void)state;
	pressed_new(&p, 1);
	p.wanted = STREAMS - 1;
	run_until(&p.world, enough_ended);
	for (unsigned i = 0; i < p.ended; i++)
		assert_int_not_equal(plan[p.order[i]].class, CLASS_CONTROL);
	assert_int_equal(p.order[p.ended - 1], 5);
	assert_true(both_up(&p.world));
	world_free(&p.world);
}

static void stop(void *arg)
{
	loop_stop(arg);
}

/* Too much for a moment is everyday life, also again and again. */
static void test_what_goes_on_in_time_ends_nothing(void **state)
{
	static const uint8_t bytes[16384];
	struct loop_timer *later;
	struct pressed p;
	size_t taken;

	(void)state;
	pressed_new(&p, BUDGET);
	run_until(&p.world, all_came);
	for (unsigned i = 0; i < STREAMS; i++) {
		link_consumed(
		    p.world.far.up, p.far[i].stream, p.far[i].got - 100);
		assert_int_equal(link_send(p.world.near.up, p.near[i].stream,
				     bytes, plan[i].len, &taken),
		    RC_OK);
	}
	assert_int_equal(
	    loop_timer_new(p.world.loop, stop, p.world.loop, &later), RC_OK);
	loop_timer_set(later, 1400);
	loop_run(p.world.loop);
	assert_true(p.far[3].got > plan[3].len);
	assert_int_equal(p.ended, 0);
	loop_timer_free(later);
	world_free(&p.world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_the_least_urgent_and_of_them_the_heaviest_ends_first),
		cmocka_unit_test(test_control_goes_on_whatever_happens),
		cmocka_unit_test(test_what_goes_on_in_time_ends_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

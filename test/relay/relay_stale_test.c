/*
 * Streams whose opener is ahead of the relay's route table: they wait for it,
 * with what they have said, but not for ever, and not all of them.
 */
#include "test/support/relay_world.h"

#define LIFE 1 /* of the table that relay_world.h sends; its number is 7 */

static void start_waiting(struct world *w, uint32_t stale_ms)
{
	start(w);
	w->settings.stale_ms = stale_ms;
	join_tentacle(w);
	run_until(w, machine_is_up);
	w->secret = "";
}

static bool one_waits(struct world *w)
{
	return w->relay->wait_count == 1;
}

static bool none_waits(struct world *w)
{
	return w->relay->wait_count == 0;
}

struct ticker {
	struct world *world;
	struct loop_timer *timer;
};

static void tick(void *arg)
{
	struct ticker *t = arg;

	loop_timer_set(t->timer, 5);
	check(t->world);
}

/* What is waited for is told to nobody: look now and then. */
static void look_until(struct world *w, bool (*until)(struct world *w))
{
	struct ticker t = { .world = w };

	assert_int_equal(loop_timer_new(w->loop, tick, &t, &t.timer), RC_OK);
	loop_timer_set(t.timer, 0);
	run_until(w, until);
	loop_timer_free(t.timer);
}

static void send_newer(struct world *w, const char *from)
{
	struct msg_neighbour neighbour = { .role = ROLE_SERVER };
	struct msg_table_entry entry = {
		.target = "machine/" MACHINE,
		.seq = 8,
		.name = "web-03",
		.how = ROUTE_DIALS_ME,
		.from = &neighbour,
		.from_count = 1,
	};
	struct msg_table_page page = {
		.from_seq = 7,
		.seq = 8,
		.last = true,
		.entries = &entry,
		.entry_count = 1,
	};

	(void)snprintf(neighbour.name, sizeof(neighbour.name), "%s", from);
	send_page(w, &page);
}

static void test_a_stream_that_is_ahead_waits_and_loses_nothing(void **state)
{
	struct world w;

	(void)state;
	start_waiting(&w, 20000);
	open_near_as_of(&w, CLASS_BULK, (struct msg_version){ LIFE, 8 });
	look_until(&w, one_waits);
	assert_null(w.far);
	send_newer(&w, "n1");
	run_until(&w, all_arrived);
	assert_int_equal(w.relay->wait_count, 0);
	world_free(&w);
}

static void test_one_that_the_newer_route_does_not_permit_is_refused(
    void **state)
{
	struct world w;

	(void)state;
	start_waiting(&w, 20000);
	open_near_as_of(&w, CLASS_HEALTH, (struct msg_version){ LIFE, 8 });
	look_until(&w, one_waits);
	send_newer(&w, "n2");
	run_until(&w, seal_failed);
	assert_int_equal(w.near_fault.code, REASON_NOT_PERMITTED);
	assert_non_null(strstr(w.near_fault.text, "as of 8"));
	world_free(&w);
}

static void refused(struct world *w, struct msg_version version)
{
	open_near_as_of(w, CLASS_HEALTH, version);
	run_until(w, seal_failed);
	assert_int_equal(w->near_fault.code, REASON_STALE_ROUTE);
	assert_non_null(strstr(w->near_fault.text, "as of 7"));
}

static void test_it_waits_no_longer_than_it_may(void **state)
{
	struct world w;

	(void)state;
	start_waiting(&w, 50);
	refused(&w, (struct msg_version){ LIFE, 8 });
	/* A newer life of the database is newer, whatever its numbers. */
	refused(&w, (struct msg_version){ LIFE + 1, 1 });
	world_free(&w);
}

static void test_who_is_behind_is_served_by_the_newer_route(void **state)
{
	struct world w;

	(void)state;
	start_waiting(&w, 20000);
	open_near_as_of(&w, CLASS_BULK, (struct msg_version){ LIFE - 1, 99 });
	run_until(&w, all_arrived);
	/* Who is further away has less time to answer. */
	assert_in_range(w.far_deadline_ms, 8000, 9999);
	world_free(&w);
}

static void test_an_opener_that_leaves_is_not_waited_for(void **state)
{
	const struct fault bye = { .code = REASON_CANCELLED };
	struct world w;

	(void)state;
	start_waiting(&w, 20000);
	open_near_as_of(&w, CLASS_HEALTH, (struct msg_version){ LIFE, 8 });
	look_until(&w, one_waits);
	seal_close(w.near, &bye);
	w.near = NULL;
	look_until(&w, none_waits);
	open_near_as_of(&w, CLASS_HEALTH, (struct msg_version){ LIFE, 8 });
	look_until(&w, one_waits);
	link_close(w.node.link, &bye);
	look_until(&w, none_waits);
	world_free(&w);
}

static void ignore(
    struct stream_user *user, struct link *link, const struct mux_event *event)
{
	(void)user;
	(void)link;
	(void)event;
}

static bool many_wait(struct world *w)
{
	return w->relay->wait_count == 256;
}

static void test_only_so_many_wait(void **state)
{
	const struct msg_open open = {
		.kind = KIND_SEAL,
		.to = { .kind = TARGET_MACHINE, .name = MACHINE },
		.service_class = CLASS_HEALTH,
		.version = { LIFE, 8 },
		.deadline_ms = 20000,
	};
	struct stream_user user = { .event = ignore };
	struct world w;
	uint32_t stream;

	(void)state;
	start_waiting(&w, 20000);
	for (int i = 0; i < 256; i++)
		assert_int_equal(
		    link_open(w.node.link, &open, &user, &stream), RC_OK);
	look_until(&w, many_wait);
	refused(&w, (struct msg_version){ LIFE, 8 });
	assert_true(many_wait(&w));
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_a_stream_that_is_ahead_waits_and_loses_nothing),
		cmocka_unit_test(
		    test_one_that_the_newer_route_does_not_permit_is_refused),
		cmocka_unit_test(test_it_waits_no_longer_than_it_may),
		cmocka_unit_test(
		    test_who_is_behind_is_served_by_the_newer_route),
		cmocka_unit_test(test_an_opener_that_leaves_is_not_waited_for),
		cmocka_unit_test(test_only_so_many_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

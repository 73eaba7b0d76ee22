/*
 * A real relay between a fake node and a fake tentacle, all on one loop: the
 * table goes down, presence comes up, and a seal passes through unread.
 */
#include "test/support/relay_world.h"

#include "common/clock.h"

static void test_a_seal_passes_unread_and_whole(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	join_tentacle(&w);
	run_until(&w, machine_is_up);
	w.secret = "the password is swordfish";
	open_near(&w, CLASS_BULK);
	run_until(&w, all_arrived);
	assert_false(w.seen);
	world_free(&w);
}

static bool nothing_is_carried(struct world *w)
{
	return bridges_count(w->relay->bridges) == 0;
}

struct look {
	struct world *world;
	struct loop_timer *timer;
};

/* What the relay lets go of is no event of an end. */
static void look_again(void *arg)
{
	struct look *l = arg;

	check(l->world);
	loop_timer_set(l->timer, 5);
}

/* Whoever ends it: the other end hears of it, and the relay keeps nothing. */
static void test_the_end_of_a_seal_passes_too(void **state)
{
	for (int by_node = 0; by_node < 2; by_node++) {
		struct world w;
		struct look l = { .world = &w };

		(void)state;
		start(&w);
		join_tentacle(&w);
		run_until(&w, machine_is_up);
		w.secret = "";
		open_near(&w, CLASS_HEALTH);
		run_until(&w, all_arrived);
		assert_int_equal(bridges_count(w.relay->bridges), 1);
		seal_close(by_node ? w.near : w.far, NULL);
		if (by_node)
			w.near = NULL;
		else
			w.far = NULL;
		assert_int_equal(
		    loop_timer_new(w.loop, look_again, &l, &l.timer), RC_OK);
		loop_timer_set(l.timer, 5);
		run_until(&w, nothing_is_carried);
		assert_null(w.far);
		assert_true(by_node || w.near_closed);
		assert_int_equal(w.near_fault.code, REASON_NONE);
		loop_timer_free(l.timer);
		world_free(&w);
	}
}

static void test_a_machine_that_is_not_there_is_named_at_once(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	w.secret = "";
	open_near(&w, CLASS_HEALTH);
	run_until(&w, seal_failed);
	assert_int_equal(w.near_fault.code, REASON_AGENT_DOWN);
	assert_string_equal(w.near_fault.at, "dc2-a");
	assert_non_null(strstr(w.near_fault.text, "web-03"));
	world_free(&w);
}

static void test_a_machine_not_in_the_table_has_no_route(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	send_table(&w, false);
	run_until(&w, has_no_machine);
	w.secret = "";
	open_near(&w, CLASS_HEALTH);
	run_until(&w, seal_failed);
	assert_int_equal(w.near_fault.code, REASON_NO_ROUTE);
	world_free(&w);
}

static void test_presence_goes_when_the_link_does(void **state)
{
	struct world w;
	const struct fault bye = { .code = REASON_DRAINING };

	(void)state;
	start(&w);
	join_tentacle(&w);
	run_until(&w, machine_is_up);
	w.secret = "";
	open_near(&w, CLASS_HEALTH);
	run_until(&w, all_arrived);
	dial_free(w.tentacle.dialler, &bye);
	w.tentacle.dialler = NULL;
	run_until(&w, machine_is_down);
	run_until(&w, seal_failed);
	assert_int_equal(w.near_fault.code, REASON_AGENT_DOWN);
	world_free(&w);
}

static bool one_more_message(struct world *w)
{
	return w->presence_messages > 0;
}

/* However often it comes and goes: once in so long, and how it is then. */
static void test_changes_of_presence_are_told_together(void **state)
{
	struct world w;
	struct neighbour *n;
	uint64_t told_us;

	(void)state;
	start(&w);
	join_tentacle(&w);
	run_until(&w, machine_is_up);
	w.settings.presence_ms = 300;
	n = neighbour_find(w.relay, ROLE_TENTACLE, MACHINE);
	w.presence_messages = 0;
	controls_presence(w.relay, n);
	run_until(&w, one_more_message);
	told_us = clock_monotonic_us();
	w.presence_messages = 0;
	w.told = 0;
	for (int i = 0; i < 50; i++)
		controls_presence(w.relay, n);
	run_until(&w, one_more_message);
	/* A clock that is coarse may say so a little early. */
	assert_true(clock_monotonic_us() - told_us > 250000);
	assert_int_equal(w.presence_messages, 1);
	assert_int_equal(w.told, 1);
	world_free(&w);
}

static void test_the_table_survives_a_restart(void **state)
{
	struct target target = { .kind = TARGET_MACHINE, .name = MACHINE };
	struct world w;
	struct table_file *file;
	struct table *t;
	struct fault fault;
	char path[128];

	(void)state;
	start(&w);
	(void)snprintf(path, sizeof(path), "%s/table", w.dir);
	assert_int_equal(table_new(&t), RC_OK);
	assert_int_equal(table_file_open(path, t, &file, &fault), RC_OK);
	assert_int_equal(table_seq(t), 7);
	assert_non_null(table_find(t, &target));
	assert_string_equal(table_find(t, &target)->name, "web-03");
	assert_true(table_permits(table_find(t, &target), ROLE_SERVER, "n1"));
	assert_false(table_permits(table_find(t, &target), ROLE_SERVER, "n2"));
	table_file_close(file);
	table_free(t);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_end_of_a_seal_passes_too),
		cmocka_unit_test(test_a_seal_passes_unread_and_whole),
		cmocka_unit_test(
		    test_a_machine_that_is_not_there_is_named_at_once),
		cmocka_unit_test(test_a_machine_not_in_the_table_has_no_route),
		cmocka_unit_test(test_presence_goes_when_the_link_does),
		cmocka_unit_test(test_changes_of_presence_are_told_together),
		cmocka_unit_test(test_the_table_survives_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

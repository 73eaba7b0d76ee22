#include "server/fleet/slices.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MACHINE "machine/7f000000000000000000000000000001"

static struct fleet_route route(const char *path, const char *endpoint)
{
	struct fleet_route r = { .path.count = 0 };

	assert_int_equal(path_parse(path, &r.path, NULL), RC_OK);
	(void)snprintf(r.endpoint, sizeof(r.endpoint), "%s", endpoint);
	return r;
}

static bool make(const struct fleet_route *routes, size_t count,
    const char *relay, struct slice_entry *out)
{
	const struct slice_target target = {
		.text = MACHINE,
		.name = "web-01",
		.seq = 7,
		.routes = routes,
		.route_count = count,
	};

	return slice_make(&target, relay, "n1", out);
}

static void assert_from(const struct slice_entry *e, size_t i,
    enum peer_role role, const char *name)
{
	assert_true(i < e->entry.from_count);
	assert_ptr_equal(e->entry.from, e->from);
	assert_int_equal(e->from[i].role, role);
	assert_string_equal(e->from[i].name, name);
}

static void test_a_machine_behind_one_relay_dials_it(void **state)
{
	const struct fleet_route r = route("dc2-a", "");
	struct slice_entry e;

	(void)state;
	assert_true(make(&r, 1, "dc2-a", &e));
	assert_string_equal(e.entry.target, MACHINE);
	assert_string_equal(e.entry.name, "web-01");
	assert_int_equal(e.entry.seq, 7);
	assert_int_equal(e.entry.how, ROUTE_DIALS_ME);
	assert_int_equal(e.entry.from_count, 1);
	assert_from(&e, 0, ROLE_SERVER, "n1");
}

static void test_a_relay_dials_a_machine_with_an_endpoint(void **state)
{
	const struct fleet_route r = route("dc2-a", "10.0.0.3:10933");
	struct slice_entry e;

	(void)state;
	assert_true(make(&r, 1, "dc2-a", &e));
	assert_int_equal(e.entry.how, ROUTE_DIAL);
	assert_string_equal(e.entry.endpoint, "10.0.0.3:10933");
}

static void test_each_relay_of_a_chain_knows_its_own_part(void **state)
{
	const struct fleet_route r = route("a/b/c", "10.0.0.3:10933");
	struct slice_entry e;

	(void)state;
	assert_true(make(&r, 1, "a", &e));
	assert_int_equal(e.entry.how, ROUTE_VIA);
	assert_string_equal(e.entry.via, "b");
	assert_string_equal(e.entry.endpoint, "");
	assert_from(&e, 0, ROLE_SERVER, "n1");
	assert_true(make(&r, 1, "b", &e));
	assert_int_equal(e.entry.how, ROUTE_VIA);
	assert_string_equal(e.entry.via, "c");
	assert_from(&e, 0, ROLE_RELAY, "a");
	assert_true(make(&r, 1, "c", &e));
	assert_int_equal(e.entry.how, ROUTE_DIAL);
	assert_from(&e, 0, ROLE_RELAY, "b");
}

static void test_a_relay_on_no_route_is_told_that_it_is_gone(void **state)
{
	const struct fleet_route routes[2] = { route("direct", ""),
		route("b", "") };
	struct slice_entry e;

	(void)state;
	assert_false(make(routes, 2, "a", &e));
	assert_true(e.entry.gone);
	assert_string_equal(e.entry.target, MACHINE);
	assert_int_equal(e.entry.seq, 7);
	assert_string_equal(e.entry.name, "");
	assert_false(make(NULL, 0, "a", &e));
	assert_true(e.entry.gone);
}

static void test_a_relay_knows_each_relay_that_may_come_next(void **state)
{
	const struct fleet_route routes[4] = { route("x/a/c", ""),
		route("x/b/c", ""), route("y/x/b/c", ""), route("y/c", "") };
	struct slice_entry e;

	(void)state;
	assert_true(make(routes, 4, "x", &e));
	assert_int_equal(e.entry.how, ROUTE_VIA);
	assert_string_equal(e.entry.via, "a");
	assert_int_equal(e.entry.also_count, 1);
	assert_int_equal(e.also[0].role, ROLE_RELAY);
	assert_string_equal(e.also[0].name, "b");
	assert_int_equal(e.entry.from_count, 2);
	assert_from(&e, 0, ROLE_SERVER, "n1");
	assert_from(&e, 1, ROLE_RELAY, "y");
	assert_true(make(routes, 4, "y", &e));
	assert_string_equal(e.entry.via, "x");
	assert_string_equal(e.also[0].name, "c");
	assert_true(make(routes, 4, "c", &e));
	assert_int_equal(e.entry.how, ROUTE_DIALS_ME);
	assert_int_equal(e.entry.also_count, 0);
	assert_int_equal(e.entry.from_count, 3);
}

static void test_a_link_of_its_own_counts_before_another_relay(void **state)
{
	const struct fleet_route routes[3] = { route("a/b", "10.0.0.3:1"),
		route("a", "10.0.0.3:2"), route("c/a", "10.0.0.3:3") };
	struct slice_entry e;

	(void)state;
	assert_true(make(routes, 3, "a", &e));
	assert_int_equal(e.entry.how, ROUTE_DIAL);
	assert_string_equal(e.entry.endpoint, "10.0.0.3:2");
	assert_string_equal(e.entry.via, "");
	assert_int_equal(e.entry.also_count, 1);
	assert_string_equal(e.also[0].name, "b");
	/* It cannot be dialled in two places. */
	assert_int_equal(e.entry.from_count, 1);
}

static void test_routes_that_go_on_alike_share_an_entry(void **state)
{
	const struct fleet_route routes[3] = { route("a", ""), route("b/a", ""),
		route("a/c", "") };
	struct slice_entry e;

	(void)state;
	assert_true(make(routes, 3, "a", &e));
	assert_int_equal(e.entry.how, ROUTE_DIALS_ME);
	assert_string_equal(e.also[0].name, "c");
	assert_int_equal(e.entry.from_count, 2);
	assert_from(&e, 0, ROLE_SERVER, "n1");
	assert_from(&e, 1, ROLE_RELAY, "b");
}

static void test_nobody_is_named_twice(void **state)
{
	const struct fleet_route routes[2] = { route("a/b", ""),
		route("a/b", "") };
	struct slice_entry e;

	(void)state;
	assert_true(make(routes, 2, "a", &e));
	assert_int_equal(e.entry.from_count, 1);
}

static void test_an_entry_can_be_sent(void **state)
{
	const struct fleet_route r = route("a/b", "[fd00::1]:10933");
	struct msg_table_page page = {
		.incarnation = { .secs = 1,
		    .random = "00000000000000000000000000000001" },
		.seq = 7,
		.last = true,
	};
	struct slice_entry e;
	struct packbuf pack;

	(void)state;
	packbuf_init(&pack, TABLE_PAGE_BYTES_MAX);
	assert_true(make(&r, 1, "b", &e));
	page.entries = &e.entry;
	page.entry_count = 1;
	assert_int_equal(msg_table_page_encode(&page, &pack), RC_OK);
	assert_false(make(&r, 1, "c", &e));
	assert_int_equal(msg_table_page_encode(&page, &pack), RC_OK);
	packbuf_fini(&pack);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_machine_behind_one_relay_dials_it),
		cmocka_unit_test(test_a_relay_dials_a_machine_with_an_endpoint),
		cmocka_unit_test(test_each_relay_of_a_chain_knows_its_own_part),
		cmocka_unit_test(
		    test_a_relay_on_no_route_is_told_that_it_is_gone),
		cmocka_unit_test(
		    test_a_relay_knows_each_relay_that_may_come_next),
		cmocka_unit_test(
		    test_a_link_of_its_own_counts_before_another_relay),
		cmocka_unit_test(test_routes_that_go_on_alike_share_an_entry),
		cmocka_unit_test(test_nobody_is_named_twice),
		cmocka_unit_test(test_an_entry_can_be_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

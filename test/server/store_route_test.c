/* Routes in the rows: their numbers rise, their order stays, no ring of relays.
 */
#include "test/support/store_rows.h"

static void test_every_route_change_raises_the_number(void **state)
{
	const struct store_route routes[] = { { "dc2-a", "10.0.0.3:10933" },
		{ "dc2-a/dc2-c", "" } };
	struct store_gone *gone = NULL;
	struct store_machine m = { 0 };
	struct fault fault = { 0 };
	uint64_t before = 0, seq = 0;
	struct tempdb t;
	size_t n = 0;

	(void)state;
	tempdb_open(&t);
	add_environment(t.db, "prod");
	add_relay(t.db, "dc2-a", "direct");
	add_relay(t.db, "dc2-c", "dc2-a");
	add_machine(t.db, WEB, "web-01", "prod", "web");
	assert_int_equal(store_route_seq(t.db, &before), RC_OK);
	assert_int_equal(
	    store_machine_set_routes(t.db, WEB, routes, 2, &seq, NULL), RC_OK);
	assert_int_equal(seq, before + 1);
	assert_int_equal(store_machine_get(t.db, WEB, &m, NULL), RC_OK);
	assert_int_equal(m.route_count, 2);
	assert_int_equal(m.route_seq, seq);
	assert_string_equal(m.routes[1].path, "dc2-a/dc2-c");
	store_machine_clear(&m);
	/* The relay is used now, by name. */
	assert_int_equal(store_relay_delete(t.db, "dc2-c", &fault), RC_STATE);
	assert_non_null(strstr(fault.text, "machine web-01"));
	assert_int_equal(store_machine_delete(t.db, WEB, NULL), RC_OK);
	assert_int_equal(store_relay_delete(t.db, "dc2-c", NULL), RC_OK);
	assert_int_equal(store_route_gone(t.db, seq, 10, &gone, &n), RC_OK);
	assert_int_equal(n, 2);
	assert_string_equal(gone[0].target, "machine/" WEB);
	assert_string_equal(gone[1].target, "relay/dc2-c");
	free(gone);
	/* One that comes back is gone no more. */
	add_machine(t.db, WEB, "web-01", "prod", "web");
	assert_int_equal(store_route_gone(t.db, 0, 10, &gone, &n), RC_OK);
	assert_int_equal(n, 1);
	free(gone);
	tempdb_close(&t);
}

/* Its number is told; "" for no second route. */
static enum rc set_relay(struct db *db, const char *name, const char *first,
    const char *second, uint64_t *seq, struct fault *fault)
{
	struct store_relay r = { .route_count = *second != '\0' ? 2 : 1 };

	(void)snprintf(r.name, sizeof(r.name), "%s", name);
	(void)snprintf(r.routes[0].path, sizeof(r.routes[0].path), "%s", first);
	(void)snprintf(
	    r.routes[1].path, sizeof(r.routes[1].path), "%s", second);
	return store_relay_set_routes(db, &r, seq, fault);
}

static void test_relays_never_form_a_ring(void **state)
{
	struct fault fault = { 0 };
	struct tempdb t;
	uint64_t seq;

	(void)state;
	tempdb_open(&t);
	add_relay(t.db, "a", "direct");
	add_relay(t.db, "b", "a");
	add_relay(t.db, "c", "b");
	assert_int_equal(set_relay(t.db, "a", "c", "", &seq, &fault), RC_STATE);
	assert_non_null(strstr(fault.text, "reached through it"));
	db_rollback(t.db);
	assert_int_equal(set_relay(t.db, "a", "a", "", &seq, NULL), RC_STATE);
	/* Not by its second route either. */
	fault_clear(&fault);
	assert_int_equal(
	    set_relay(t.db, "a", "direct", "c", &seq, &fault), RC_STATE);
	assert_non_null(strstr(fault.text, "reached through it"));
	tempdb_close(&t);
}

static void test_a_relay_keeps_its_routes_in_order(void **state)
{
	struct store_relay r, *rows = NULL;
	struct fault fault = { 0 };
	struct tempdb t;
	uint64_t seq;
	size_t n = 0;

	(void)state;
	tempdb_open(&t);
	add_relay(t.db, "a", "direct");
	add_relay(t.db, "b", "direct");
	add_relay(t.db, "c", "a");
	assert_int_equal(set_relay(t.db, "c", "b", "a", &seq, NULL), RC_OK);
	assert_int_equal(store_relay_get(t.db, "c", &r, NULL), RC_OK);
	assert_int_equal(r.route_count, 2);
	assert_string_equal(r.routes[0].path, "b");
	assert_string_equal(r.routes[1].path, "a");
	assert_int_equal(r.route_seq, seq);
	assert_int_equal(store_relay_list(t.db, &whole, &rows, &n), RC_OK);
	assert_int_equal(n, 3);
	assert_int_equal(rows[2].route_count, 2);
	assert_string_equal(rows[2].routes[1].path, "a");
	free(rows);
	/* Whatever a route leads through is in use. */
	assert_int_equal(store_relay_delete(t.db, "b", NULL), RC_STATE);
	assert_int_equal(
	    set_relay(t.db, "c", "a", "a", &seq, &fault), RC_EXISTS);
	assert_string_equal(fault.text, "route a: given twice");
	assert_int_equal(
	    set_relay(t.db, "c", "a", "nowhere", &seq, &fault), RC_NOTFOUND);
	tempdb_close(&t);
}

static uint64_t number_of(struct db *db, const char *target)
{
	struct store_gone *rows = NULL;
	uint64_t seq = 0;
	size_t n = 0;

	assert_int_equal(store_route_changed(db, 0, 100, &rows, &n), RC_OK);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(rows[i].target, target) == 0)
			seq = rows[i].seq;
	}
	free(rows);
	assert_int_not_equal(seq, 0);
	return seq;
}

static void test_what_is_behind_a_relay_gets_a_number_above_its_own(
    void **state)
{
	const struct store_route by_d = { .path = "a/c/d" };
	uint64_t seq = 0, aside;
	struct tempdb t;

	(void)state;
	tempdb_open(&t);
	add_environment(t.db, "prod");
	add_relay(t.db, "a", "direct");
	add_relay(t.db, "b", "direct");
	add_relay(t.db, "c", "a");
	add_relay(t.db, "d", "a/c");
	add_machine(t.db, WEB, "web-01", "prod", "web");
	assert_int_equal(
	    store_machine_set_routes(t.db, WEB, &by_d, 1, &seq, NULL), RC_OK);
	add_machine(t.db, DBM, "db-01", "prod", "db");
	aside = number_of(t.db, "machine/" DBM);
	assert_int_equal(set_relay(t.db, "c", "a", "b", &seq, NULL), RC_OK);
	assert_int_equal(number_of(t.db, "relay/c"), seq);
	assert_true(number_of(t.db, "relay/d") > seq);
	assert_true(number_of(t.db, "machine/" WEB) > seq);
	assert_int_equal(number_of(t.db, "machine/" DBM), aside);
	assert_true(number_of(t.db, "relay/a") < seq);
	tempdb_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_route_change_raises_the_number),
		cmocka_unit_test(test_relays_never_form_a_ring),
		cmocka_unit_test(test_a_relay_keeps_its_routes_in_order),
		cmocka_unit_test(
		    test_what_is_behind_a_relay_gets_a_number_above_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

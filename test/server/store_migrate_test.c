/* From empty to today, never back, and nothing by halves. */
#include "test/support/tempdb.h"

#include "server/store/relay.h"

static const char *const one[] = { "CREATE TABLE a (x INTEGER) STRICT;", NULL };
static const char *const one_changed[] = { "CREATE TABLE a (y TEXT) STRICT;",
	NULL };
static const char *const two[] = { "CREATE TABLE b (x INTEGER) STRICT;",
	"INSERT INTO b VALUES (1);", NULL };
static const char *const broken[] = { "CREATE TABLE c (x INTEGER) STRICT;",
	"INSERT INTO nowhere VALUES (1);", NULL };

static bool has_table(struct db *db, const char *name)
{
	struct query q;
	enum rc rc;

	query_start(&q, db, "SELECT 1 FROM sqlite_schema WHERE name = ?");
	query_text(&q, name);
	rc = query_step(&q);
	query_end(&q);
	return rc == RC_OK;
}

static void open_empty(struct tempdb *t)
{
	tempdb_dir(t);
	assert_int_equal(db_open(t->path, &t->db, NULL), RC_OK);
}

static void test_an_empty_database_gets_the_whole_schema(void **state)
{
	uint32_t version = 0, count;
	struct tempdb t;

	(void)state;
	tempdb_open(&t);
	(void)migrations(&count);
	assert_int_equal(migrate_version(t.db, &version), RC_OK);
	assert_int_equal(version, count);
	assert_true(has_table(t.db, "machine"));
	assert_true(has_table(t.db, "run"));
	/* Again: nothing to do. */
	assert_int_equal(
	    migrate(t.db, migrations(&count), count, NULL, NULL), RC_OK);
	tempdb_close(&t);
}

static void test_a_relay_of_before_keeps_its_way(void **state)
{
	static const char before[] =
	    "INSERT INTO relay(name, path, endpoint, enabled, route_seq,"
	    " created_ms) VALUES ('a', 'direct', '', 1, 1, 1),"
	    " ('c', 'a', '10.0.0.3:10953', 1, 2, 1);"
	    "INSERT INTO relay_hop(relay, position, via) VALUES ('c', 0, 'a')";
	struct store_relay r;
	struct fault fault;
	struct tempdb t;
	uint32_t count;

	(void)state;
	open_empty(&t);
	(void)migrations(&count);
	assert_int_equal(
	    migrate(t.db, migrations(&count), 4, NULL, NULL), RC_OK);
	assert_int_equal(db_exec(t.db, before), RC_OK);
	assert_int_equal(
	    migrate(t.db, migrations(&count), count, NULL, NULL), RC_OK);
	assert_int_equal(store_relay_get(t.db, "c", &r, NULL), RC_OK);
	assert_int_equal(r.route_count, 1);
	assert_string_equal(r.routes[0].path, "a");
	assert_string_equal(r.routes[0].endpoint, "10.0.0.3:10953");
	assert_int_equal(store_relay_get(t.db, "a", &r, NULL), RC_OK);
	assert_string_equal(r.routes[0].path, "direct");
	/* What leads through it is still known. */
	assert_int_equal(store_relay_delete(t.db, "a", &fault), RC_STATE);
	assert_non_null(strstr(fault.text, "relay c"));
	tempdb_close(&t);
}

static void test_a_newer_schema_is_refused_untouched(void **state)
{
	const struct migration steps[] = { { "one", one }, { "two", two } };
	struct fault fault = { 0 };
	uint32_t version = 0;
	struct tempdb t;

	(void)state;
	open_empty(&t);
	assert_int_equal(migrate(t.db, steps, 2, NULL, &fault), RC_OK);
	assert_int_equal(migrate(t.db, steps, 1, NULL, &fault), RC_STATE);
	assert_int_equal(fault.code, REASON_VERSION);
	assert_non_null(strstr(fault.text, "has schema 2"));
	assert_non_null(strstr(fault.text, "up to 1"));
	assert_int_equal(migrate_version(t.db, &version), RC_OK);
	assert_int_equal(version, 2);
	tempdb_close(&t);
}

static void test_a_changed_migration_is_refused(void **state)
{
	const struct migration before[] = { { "one", one } };
	const struct migration after[] = { { "one", one_changed },
		{ "two", two } };
	struct fault fault = { 0 };
	struct tempdb t;

	(void)state;
	open_empty(&t);
	assert_int_equal(migrate(t.db, before, 1, NULL, &fault), RC_OK);
	assert_int_equal(migrate(t.db, after, 2, NULL, &fault), RC_STATE);
	assert_non_null(strstr(fault.text, "migration 1"));
	assert_false(has_table(t.db, "b"));
	tempdb_close(&t);
}

static void test_a_migration_that_fails_leaves_the_one_before(void **state)
{
	const struct migration steps[] = { { "one", one },
		{ "broken", broken } };
	struct fault fault = { 0 };
	uint32_t version = 0;
	struct tempdb t;

	(void)state;
	open_empty(&t);
	assert_int_equal(migrate(t.db, steps, 2, NULL, &fault), RC_IO);
	assert_non_null(strstr(fault.text, "migration 2"));
	assert_non_null(strstr(fault.text, "nowhere"));
	assert_true(has_table(t.db, "a"));
	assert_false(has_table(t.db, "c"));
	assert_int_equal(migrate_version(t.db, &version), RC_OK);
	assert_int_equal(version, 1);
	tempdb_close(&t);
}

static void test_what_was_there_is_copied_before_a_migration(void **state)
{
	const struct migration steps[] = { { "one", one }, { "two", two } };
	struct db *copy = NULL;
	char backup[160];
	struct tempdb t;

	(void)state;
	open_empty(&t);
	(void)snprintf(backup, sizeof(backup), "%s.before-2", t.path);
	/* Nothing to save in an empty one. */
	assert_int_equal(migrate(t.db, steps, 1, backup, NULL), RC_OK);
	assert_int_equal(access(backup, F_OK), -1);
	assert_int_equal(migrate(t.db, steps, 2, backup, NULL), RC_OK);
	assert_true(has_table(t.db, "b"));
	assert_int_equal(db_open(backup, &copy, NULL), RC_OK);
	assert_true(has_table(copy, "a"));
	assert_false(has_table(copy, "b"));
	db_close(copy);
	tempdb_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_empty_database_gets_the_whole_schema),
		cmocka_unit_test(test_a_relay_of_before_keeps_its_way),
		cmocka_unit_test(test_a_newer_schema_is_refused_untouched),
		cmocka_unit_test(test_a_changed_migration_is_refused),
		cmocka_unit_test(
		    test_a_migration_that_fails_leaves_the_one_before),
		cmocka_unit_test(
		    test_what_was_there_is_copied_before_a_migration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

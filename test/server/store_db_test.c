/* The query layer: errors with their meaning, statements that nest, memory
 * that runs out, files that are not ours. */
#include "test/support/alloc.h"
#include "test/support/full_disk.h"
#include "test/support/tempdb.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void make_tables(struct db *db)
{
	assert_int_equal(
	    db_exec(db, "CREATE TABLE parent (name TEXT PRIMARY KEY NOT NULL,"
			" n INTEGER CHECK (n < 10)) STRICT;"
			"CREATE TABLE child (parent TEXT NOT NULL"
			" REFERENCES parent(name)) STRICT;"),
	    RC_OK);
}

static enum rc insert(struct db *db, const char *name, uint64_t n)
{
	struct query q;

	query_start(&q, db, "INSERT INTO parent(name, n) VALUES (?, ?)");
	query_text(&q, name);
	query_u64(&q, n);
	return query_run(&q, NULL);
}

static void test_a_new_database_is_ours_private_and_safe(void **state)
{
	struct tempdb t;
	struct stat st;
	struct query q;

	(void)state;
	tempdb_open(&t);
	assert_int_equal(stat(t.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	query_start(&q, t.db, "PRAGMA journal_mode");
	assert_int_equal(query_step(&q), RC_OK);
	assert_string_equal(query_get_text(&q, 0), "wal");
	query_end(&q);
	query_start(&q, t.db, "PRAGMA synchronous");
	assert_int_equal(query_step(&q), RC_OK);
	assert_int_equal(query_get_int(&q, 0), 2); /* FULL */
	query_end(&q);
	query_start(&q, t.db, "PRAGMA application_id");
	assert_int_equal(query_step(&q), RC_OK);
	assert_int_equal(query_get_int(&q, 0), DB_APPLICATION_ID);
	query_end(&q);
	tempdb_close(&t);
}

static void test_errors_say_what_they_mean(void **state)
{
	struct fault fault = { 0 };
	struct tempdb t;
	struct query q;

	(void)state;
	tempdb_open(&t);
	make_tables(t.db);
	assert_int_equal(insert(t.db, "a", 1), RC_OK);
	assert_int_equal(
	    db_fault(t.db, insert(t.db, "a", 1), &fault, "environment %s", "a"),
	    RC_EXISTS);
	assert_string_equal(fault.text, "environment a: exists already");
	assert_int_equal(fault.code, REASON_CONFLICT);
	/* What was said first stays. */
	assert_int_equal(
	    db_fault(t.db, RC_NOTFOUND, &fault, "other"), RC_NOTFOUND);
	assert_string_equal(fault.text, "environment a: exists already");
	assert_int_equal(insert(t.db, "b", 11), RC_LIMIT);
	assert_int_equal(insert(t.db, "b", UINT64_MAX), RC_LIMIT);
	query_start(&q, t.db, "INSERT INTO child(parent) VALUES ('nobody')");
	assert_int_equal(query_run(&q, NULL), RC_STATE);
	query_start(&q, t.db, "SELECT no_such_column FROM parent");
	query_text(&q, "ignored");
	assert_int_equal(query_step(&q), RC_IO);
	assert_string_equal(query_get_text(&q, 0), "");
	query_end(&q);
	assert_non_null(strstr(db_error(t.db), "no_such_column"));
	assert_false(db_broken(t.db));
	tempdb_close(&t);
}

static void test_a_full_disk_is_named_with_its_directory(void **state)
{
	struct fault fault = { .code = REASON_NONE };
	struct tempdb t;
	enum rc rc;

	(void)state;
	tempdb_open(&t);
	full_disk_set(true);
	assert_int_equal(db_begin(t.db), RC_OK);
	assert_false(db_full(t.db));
	rc = db_exec(t.db, "CREATE TABLE filler (x ANY) STRICT");
	if (rc == RC_OK)
		rc = db_exec(t.db, "COMMIT");
	full_disk_set(false);
	assert_int_equal(rc, RC_IO);
	assert_true(db_full(t.db));
	assert_false(db_broken(t.db));
	assert_int_equal(db_fault(t.db, rc, &fault, "environment prod"), RC_IO);
	assert_int_equal(fault.code, REASON_NO_SPACE);
	assert_non_null(strstr(fault.text, t.dir));
	db_rollback(t.db);
	assert_int_equal(db_begin(t.db), RC_OK);
	assert_false(db_full(t.db));
	assert_int_equal(
	    db_exec(t.db, "CREATE TABLE filler (x ANY) STRICT"), RC_OK);
	assert_int_equal(db_exec(t.db, "COMMIT"), RC_OK);
	tempdb_close(&t);
}

static void test_values_come_back_as_they_went_in(void **state)
{
	static const uint8_t bytes[4] = { 0, 1, 2, 255 };
	uint8_t four[4], eight[8];
	char small[4], *text = NULL;
	struct tempdb t;
	struct query q;

	(void)state;
	tempdb_open(&t);
	query_start(&q, t.db, "SELECT ?, ?, ?, ?, ?, ?");
	query_text(&q, "ab\xc3\xa9");
	query_u64(&q, INT64_MAX);
	query_int(&q, -5);
	query_blob(&q, bytes, sizeof(bytes));
	query_null(&q);
	query_blob(&q, bytes, 0);
	assert_int_equal(query_step(&q), RC_OK);
	query_copy_text(&q, 0, small, sizeof(small));
	assert_string_equal(small, "ab"); /* not half a character */
	assert_int_equal(query_dup_text(&q, 0, &text), RC_OK);
	assert_string_equal(text, "ab\xc3\xa9");
	assert_int_equal(query_get_u64(&q, 1), INT64_MAX);
	assert_int_equal(query_get_int(&q, 2), -5);
	assert_int_equal(query_get_u64(&q, 2), 0);
	query_copy_blob(&q, 3, four, sizeof(four));
	assert_memory_equal(four, bytes, sizeof(four));
	query_copy_blob(&q, 3, eight, sizeof(eight));
	assert_int_equal(eight[3], 0);
	assert_string_equal(query_get_text(&q, 4), "");
	assert_false(query_get_bool(&q, 4));
	query_copy_blob(&q, 5, four, sizeof(four));
	assert_int_equal(four[3], 0);
	query_end(&q);
	query_end(&q);
	free(text);
	tempdb_close(&t);
}

static int count_nested(struct db *db, int depth)
{
	struct query q;
	int rows = 0;

	query_start(&q, db, "SELECT name FROM parent ORDER BY name");
	while (query_step(&q) == RC_OK)
		rows += depth == 0 ? 1 : count_nested(db, depth - 1);
	query_end(&q);
	return rows;
}

static void test_the_same_statement_may_run_inside_itself(void **state)
{
	struct tempdb t;

	(void)state;
	tempdb_open(&t);
	make_tables(t.db);
	assert_int_equal(insert(t.db, "a", 1), RC_OK);
	assert_int_equal(insert(t.db, "b", 1), RC_OK);
	assert_int_equal(count_nested(t.db, 2), 8);
	assert_int_equal(count_nested(t.db, 2), 8);
	tempdb_close(&t);
}

static void test_changes_are_counted(void **state)
{
	struct tempdb t;
	struct query q;

	(void)state;
	tempdb_open(&t);
	make_tables(t.db);
	query_start(&q, t.db, "UPDATE parent SET n = 2");
	assert_int_equal(query_change(&q), RC_NOTFOUND);
	assert_int_equal(insert(t.db, "a", 1), RC_OK);
	query_start(&q, t.db, "UPDATE parent SET n = 2");
	assert_int_equal(query_change(&q), RC_OK);
	tempdb_close(&t);
}

static enum rc use_everything(const char *path)
{
	struct db *db = NULL;
	struct query q, inner;
	char *text = NULL;
	enum rc rc = db_open(path, &db, NULL);

	if (rc != RC_OK)
		return rc;
	query_start(&q, db, "SELECT 'text'");
	rc = query_step(&q);
	query_start(&inner, db, "SELECT 'text'");
	if (rc == RC_OK)
		rc = query_step(&inner);
	if (rc == RC_OK)
		rc = query_dup_text(&inner, 0, &text);
	query_end(&inner);
	query_end(&q);
	db_close(db);
	free(text);
	return rc;
}

static void test_every_allocation_may_fail(void **state)
{
	struct tempdb t;
	size_t n;

	(void)state;
	tempdb_dir(&t);
	for (n = 0;; n++) {
		enum rc rc;

		alloc_fail_at(n);
		rc = use_everything(t.path);
		if (!alloc_failed()) {
			assert_int_equal(rc, RC_OK);
			break;
		}
		assert_int_equal(rc, RC_NOMEM);
	}
	alloc_never_fail();
	assert_true(n >= 3);
	tempdb_close(&t);
}

static void test_another_programs_database_is_refused(void **state)
{
	struct fault fault = { 0 };
	sqlite3 *other = NULL;
	struct tempdb t;

	(void)state;
	tempdb_dir(&t);
	assert_int_equal(sqlite3_open(t.path, &other), SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(other, "CREATE TABLE x (y)", NULL, NULL, NULL),
	    SQLITE_OK);
	sqlite3_close(other);
	assert_int_equal(db_open(t.path, &t.db, &fault), RC_IO);
	assert_non_null(strstr(fault.text, "another program"));
	tempdb_close(&t);
}

static void test_a_file_that_is_no_database_is_refused(void **state)
{
	static const char text[] = "this is no database, but a longer text";
	struct fault fault = { 0 };
	struct tempdb t;
	int fd;

	(void)state;
	tempdb_dir(&t);
	fd = open(t.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, text, sizeof(text)), sizeof(text));
	close(fd);
	assert_int_equal(db_open(t.path, &t.db, &fault), RC_IO);
	assert_non_null(strstr(fault.text, "not a database"));
	tempdb_close(&t);
}

/* A child writes and dies without closing: its WAL stays. */
static void leave_uncleanly(const char *path)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct db *db = NULL;
		enum rc rc = db_open(path, &db, NULL);

		if (rc == RC_OK)
			rc = db_exec(db,
			    "BEGIN; CREATE TABLE big (x BLOB);"
			    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
			    " SELECT i + 1 FROM n WHERE i < 200)"
			    " INSERT INTO big SELECT randomblob(900) FROM n;"
			    "CREATE INDEX big_x ON big(x); COMMIT;");
		_exit(rc == RC_OK ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_after_an_unclean_stop_all_is_there(void **state)
{
	struct tempdb t;
	struct query q;

	(void)state;
	tempdb_dir(&t);
	leave_uncleanly(t.path);
	assert_int_equal(db_open(t.path, &t.db, NULL), RC_OK);
	query_start(&q, t.db, "SELECT count(*) FROM big");
	assert_int_equal(query_step(&q), RC_OK);
	assert_int_equal(query_get_int(&q, 0), 200);
	query_end(&q);
	tempdb_close(&t);
}

static void test_damage_is_found_after_an_unclean_stop(void **state)
{
	struct fault fault = { 0 };
	uint8_t junk[4096];
	struct tempdb t;
	int fd;

	(void)state;
	tempdb_dir(&t);
	leave_uncleanly(t.path);
	/* Everything into the main file, then hurt that, then a WAL again. */
	assert_int_equal(db_open(t.path, &t.db, NULL), RC_OK);
	db_close(t.db);
	t.db = NULL;
	memset(junk, 0x5a, sizeof(junk));
	fd = open(t.path, O_WRONLY | O_CLOEXEC);
	for (off_t page = 3; page < 30; page++)
		assert_int_equal(
		    pwrite(fd, junk, sizeof(junk), page * 4096), 4096);
	close(fd);
	{
		char wal[160];

		(void)snprintf(wal, sizeof(wal), "%s-wal", t.path);
		fd = open(wal, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_int_equal(write(fd, junk, 64), 64);
		close(fd);
	}
	assert_int_equal(db_open(t.path, &t.db, &fault), RC_IO);
	assert_non_null(strstr(fault.text, "damaged"));
	tempdb_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_new_database_is_ours_private_and_safe),
		cmocka_unit_test(test_errors_say_what_they_mean),
		cmocka_unit_test(test_a_full_disk_is_named_with_its_directory),
		cmocka_unit_test(test_values_come_back_as_they_went_in),
		cmocka_unit_test(test_the_same_statement_may_run_inside_itself),
		cmocka_unit_test(test_changes_are_counted),
		cmocka_unit_test(test_every_allocation_may_fail),
		cmocka_unit_test(test_another_programs_database_is_refused),
		cmocka_unit_test(test_a_file_that_is_no_database_is_refused),
		cmocka_unit_test(test_after_an_unclean_stop_all_is_there),
		cmocka_unit_test(test_damage_is_found_after_an_unclean_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

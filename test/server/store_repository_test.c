/* The nouns: what goes in comes out, what is used stays, and each refusal says
 * why in a user's words. */
#include "server/store/audit.h"
#include "server/store/package.h"
#include "server/store/project.h"
#include "server/store/setting.h"
#include "server/store/variable.h"
#include "test/support/store_rows.h"

static void test_an_environment_in_use_stays(void **state)
{
	struct store_environment *rows = NULL, e = { .name = "prod" };
	struct fault fault = { 0 };
	struct tempdb t;
	size_t n = 0;

	(void)state;
	tempdb_open(&t);
	add_environment(t.db, "prod");
	add_environment(t.db, "dev");
	assert_int_equal(store_environment_create(t.db, &e, &fault), RC_EXISTS);
	assert_string_equal(fault.text, "environment prod: exists already");
	add_machine(t.db, WEB, "web-01", "prod", "web");
	assert_int_equal(
	    store_environment_list(t.db, &whole, &rows, &n), RC_OK);
	assert_int_equal(n, 2);
	assert_string_equal(rows[0].name, "dev");
	assert_int_equal(rows[1].machines, 1);
	free(rows);
	fault_clear(&fault);
	assert_int_equal(
	    store_environment_delete(t.db, "prod", &fault), RC_STATE);
	assert_non_null(strstr(fault.text, "1 machines are still in it"));
	assert_int_equal(store_environment_delete(t.db, "dev", NULL), RC_OK);
	fault_clear(&fault);
	assert_int_equal(
	    store_environment_delete(t.db, "dev", &fault), RC_NOTFOUND);
	assert_string_equal(fault.text, "environment dev: not found");
	tempdb_close(&t);
}

static void test_a_list_comes_in_pages(void **state)
{
	struct store_environment *rows = NULL;
	struct page page = { .limit = 2 };
	struct tempdb t;
	size_t n = 0;

	(void)state;
	tempdb_open(&t);
	add_environment(t.db, "c");
	add_environment(t.db, "a");
	add_environment(t.db, "b");
	assert_int_equal(store_environment_list(t.db, &page, &rows, &n), RC_OK);
	assert_int_equal(n, 2);
	assert_string_equal(rows[1].name, "b");
	free(rows);
	page.after = "b";
	assert_int_equal(store_environment_list(t.db, &page, &rows, &n), RC_OK);
	assert_int_equal(n, 1);
	assert_string_equal(rows[0].name, "c");
	free(rows);
	tempdb_close(&t);
}

static void test_a_machine_is_found_by_name_and_by_id(void **state)
{
	struct store_machine m = { 0 };
	struct fault fault = { 0 };
	struct tempdb t;

	(void)state;
	tempdb_open(&t);
	add_environment(t.db, "prod");
	add_machine(t.db, WEB, "web-01", "prod", "web");
	assert_int_equal(store_machine_get(t.db, "web-01", &m, NULL), RC_OK);
	assert_string_equal(m.id, WEB);
	assert_true(m.enabled);
	assert_int_equal(m.health, MACHINE_HEALTH_UNKNOWN);
	assert_int_equal(m.presence, STORE_PRESENCE_UNKNOWN);
	assert_string_equal(m.environments.at[0], "prod");
	assert_string_equal(m.roles.at[0], "web");
	assert_int_equal(m.route_count, 1);
	assert_string_equal(m.routes[0].endpoint, "10.0.0.3:10933");
	assert_string_equal(m.facts, "");
	store_machine_clear(&m);
	assert_int_equal(store_machine_get(t.db, WEB, &m, NULL), RC_OK);
	store_machine_clear(&m);
	assert_int_equal(
	    store_machine_get(t.db, "web-02", &m, &fault), RC_NOTFOUND);
	assert_string_equal(fault.text, "machine web-02: not found");
	tempdb_close(&t);
}

static void test_machines_are_listed_by_environment_and_role(void **state)
{
	struct store_machine_filter filter = { 0 };
	struct store_machine_counts counts;
	struct store_machine *rows = NULL;
	struct tempdb t;
	size_t n = 0;

	(void)state;
	tempdb_open(&t);
	add_environment(t.db, "prod");
	add_environment(t.db, "dev");
	add_machine(t.db, WEB, "web-01", "prod", "web");
	add_machine(t.db, DBM, "db-01", "dev", "db");
	assert_int_equal(
	    store_machine_list(t.db, &filter, &whole, &rows, &n), RC_OK);
	assert_int_equal(n, 2);
	assert_string_equal(rows[0].name, "db-01");
	store_machines_free(rows, n);
	filter.environment = "prod";
	filter.role = "web";
	assert_int_equal(
	    store_machine_list(t.db, &filter, &whole, &rows, &n), RC_OK);
	assert_int_equal(n, 1);
	store_machines_free(rows, n);
	filter.role = "db";
	assert_int_equal(
	    store_machine_list(t.db, &filter, &whole, &rows, &n), RC_OK);
	assert_int_equal(n, 0);
	store_machines_free(rows, n);
	assert_int_equal(store_machine_enable(t.db, WEB, false, NULL), RC_OK);
	assert_int_equal(store_machine_count(t.db, &counts), RC_OK);
	assert_int_equal(counts.all, 2);
	assert_int_equal(counts.enabled, 1);
	assert_int_equal(counts.health[MACHINE_HEALTH_UNKNOWN], 2);
	tempdb_close(&t);
}

static void test_an_unknown_environment_or_relay_is_named(void **state)
{
	struct store_machine m = { .id = WEB, .name = "web-01" };
	const struct store_route route = { .path = "dc2-a" };
	struct fault fault = { 0 };
	struct tempdb t;
	uint64_t seq = 0;

	(void)state;
	tempdb_open(&t);
	assert_int_equal(names_add(&m.environments, "nowhere"), RC_OK);
	assert_int_equal(store_machine_create(t.db, &m, &fault), RC_NOTFOUND);
	assert_string_equal(fault.text, "environment nowhere: not found");
	store_machine_clear(&m);
	add_environment(t.db, "prod");
	add_machine(t.db, DBM, "db-01", "prod", "db");
	fault_clear(&fault);
	assert_int_equal(
	    store_machine_set_routes(t.db, DBM, &route, 1, &seq, &fault),
	    RC_NOTFOUND);
	assert_string_equal(fault.text, "route dc2-a: relay dc2-a: not found");
	tempdb_close(&t);
}

static void test_presence_and_health_are_two_things(void **state)
{
	struct store_machine m = { 0 };
	struct tempdb t;

	(void)state;
	tempdb_open(&t);
	add_environment(t.db, "prod");
	add_machine(t.db, WEB, "web-01", "prod", "web");
	assert_int_equal(store_machine_set_presence(
			     t.db, WEB, STORE_PRESENCE_ONLINE, "", 100),
	    RC_OK);
	assert_int_equal(store_machine_set_presence(
			     t.db, WEB, STORE_PRESENCE_ONLINE, "", 200),
	    RC_OK);
	assert_int_equal(
	    store_machine_set_health(t.db, WEB, MACHINE_HEALTH_WARNINGS,
		"disk 91 %", "{\"os\":\"debian\"}", 210),
	    RC_OK);
	assert_int_equal(
	    store_machine_set_presence(t.db, WEB, STORE_PRESENCE_OFFLINE,
		"dc2-a says: link closed", 300),
	    RC_OK);
	/* An unanswered check keeps the facts of the one before. */
	assert_int_equal(store_machine_set_health(t.db, WEB,
			     MACHINE_HEALTH_UNAVAILABLE, "offline", "", 310),
	    RC_OK);
	assert_int_equal(store_machine_get(t.db, WEB, &m, NULL), RC_OK);
	assert_int_equal(m.presence, STORE_PRESENCE_OFFLINE);
	assert_int_equal(m.presence_at_ms, 300);
	assert_int_equal(m.last_seen_ms, 200);
	assert_string_equal(m.presence_text, "dc2-a says: link closed");
	assert_int_equal(m.health, MACHINE_HEALTH_UNAVAILABLE);
	assert_string_equal(m.facts, "{\"os\":\"debian\"}");
	store_machine_clear(&m);
	assert_int_equal(
	    store_machine_set_presence(t.db, DBM, STORE_PRESENCE_ONLINE, "", 1),
	    RC_NOTFOUND);
	tempdb_close(&t);
}

static struct store_package a_package(const char *version, char digit)
{
	struct store_package p = {
		.name = "shop-web", .size = 10, .created_ms = 1
	};

	(void)snprintf(p.version, sizeof(p.version), "%s", version);
	memset(p.digest, digit, STORE_SHA256_HEX - 1);
	p.created_ms = (uint64_t)digit;
	return p;
}

static void test_a_package_is_pushed_once_and_kept_while_used(void **state)
{
	struct store_package one = a_package("1.0", 'a'), two;
	struct store_project project = { .name = "shop",
		.process = (char *)(uintptr_t) "steps: []" };
	struct store_release release = { .project = "shop",
		.version = "1.0",
		.snapshot = (char *)(uintptr_t) "{}",
		.package_count = 1,
		.packages = { { "shop-web", "1.0" } } };
	struct store_release *releases = NULL;
	struct store_package *rows = NULL;
	struct fault fault = { 0 };
	struct tempdb t;
	size_t n = 0;

	(void)state;
	tempdb_open(&t);
	assert_int_equal(store_package_create(t.db, &one, NULL), RC_OK);
	assert_int_equal(store_package_create(t.db, &one, NULL), RC_OK);
	two = a_package("1.0", 'b');
	assert_int_equal(store_package_create(t.db, &two, &fault), RC_EXISTS);
	assert_non_null(strstr(fault.text, "other content"));
	two = a_package("1.1", 'b');
	assert_int_equal(store_package_create(t.db, &two, NULL), RC_OK);
	assert_int_equal(
	    store_package_get(t.db, "shop-web", NULL, &two, NULL), RC_OK);
	assert_string_equal(two.version, "1.1");
	assert_int_equal(
	    store_package_list(t.db, "", &whole, &rows, &n), RC_OK);
	assert_int_equal(n, 2);
	free(rows);
	fault_clear(&fault);
	assert_int_equal(
	    store_release_create(t.db, &release, &fault), RC_STATE);
	assert_string_equal(fault.text, "project shop: not found");
	assert_int_equal(store_project_create(t.db, &project, NULL), RC_OK);
	assert_int_equal(store_release_create(t.db, &release, NULL), RC_OK);
	assert_int_equal(store_release_create(t.db, &release, NULL), RC_EXISTS);
	assert_int_equal(
	    store_package_delete(t.db, "shop-web", "1.0", NULL), RC_STATE);
	assert_int_equal(store_project_delete(t.db, "shop", NULL), RC_STATE);
	(void)snprintf(release.version, sizeof(release.version), "1.1");
	assert_int_equal(store_release_create(t.db, &release, NULL), RC_OK);
	assert_int_equal(
	    store_release_list(t.db, "shop", &whole, &releases, &n), RC_OK);
	assert_int_equal(n, 2);
	assert_string_equal(releases[0].version, "1.1");
	assert_string_equal(releases[0].packages[0].version, "1.0");
	store_releases_free(releases, n);
	assert_int_equal(store_release_list(t.db, "shop",
			     &(struct page){ .after = "1.1" }, &releases, &n),
	    RC_OK);
	assert_int_equal(n, 1);
	store_releases_free(releases, n);
	assert_int_equal(
	    store_release_get(t.db, "shop", "1.0", &release, NULL), RC_OK);
	assert_string_equal(release.snapshot, "{}");
	store_release_clear(&release);
	fault_clear(&fault);
	assert_int_equal(
	    store_release_get(t.db, "shop", "2.0", &release, &fault),
	    RC_NOTFOUND);
	assert_string_equal(fault.text,
	    "release 2.0 of shop: not found: longarm release list shop");
	fault_clear(&fault);
	assert_int_equal(
	    store_release_get(t.db, "shpo", "1.0", &release, &fault),
	    RC_NOTFOUND);
	assert_int_equal(fault.code, REASON_NOT_FOUND);
	assert_string_equal(
	    fault.text, "project shpo: not found: longarm project list");
	tempdb_close(&t);
}

static void test_a_process_is_not_overwritten_unseen(void **state)
{
	struct store_project p = { .name = "shop",
		.process = (char *)(uintptr_t) "a" };
	struct store_project got = { 0 };
	struct fault fault = { 0 };
	struct tempdb t;

	(void)state;
	tempdb_open(&t);
	assert_int_equal(store_project_create(t.db, &p, NULL), RC_OK);
	p.process = (char *)(uintptr_t) "b";
	assert_int_equal(
	    store_project_set_process(t.db, &p, 1, 9, NULL), RC_OK);
	assert_int_equal(
	    store_project_set_process(t.db, &p, 1, 9, &fault), RC_STATE);
	assert_non_null(strstr(fault.text, "version 2 by now, not 1"));
	assert_int_equal(
	    store_project_set_process(t.db, &p, 0, 9, NULL), RC_OK);
	assert_int_equal(store_project_get(t.db, "shop", &got, NULL), RC_OK);
	assert_int_equal(got.version, 3);
	assert_string_equal(got.process, "b");
	store_project_clear(&got);
	tempdb_close(&t);
}

static void test_a_variable_is_one_per_name_and_scope(void **state)
{
	uint8_t wrapped[] = { 1, 0, 2 };
	struct store_variable v = { .name = "Greeting",
		.value = (char *)(uintptr_t) "hi" };
	struct store_variable secret = { .project = "shop",
		.name = "Password",
		.sensitive = true,
		.secret = wrapped,
		.secret_len = sizeof(wrapped) };
	struct store_project p = { .name = "shop" };
	struct store_variable *rows = NULL;
	struct tempdb t;
	size_t n = 0;

	(void)state;
	tempdb_open(&t);
	assert_int_equal(store_variable_set(t.db, &secret, NULL), RC_NOTFOUND);
	assert_int_equal(store_project_create(t.db, &p, NULL), RC_OK);
	assert_int_equal(store_variable_set(t.db, &secret, NULL), RC_OK);
	assert_int_equal(store_variable_set(t.db, &v, NULL), RC_OK);
	v.value = (char *)(uintptr_t) "hello";
	assert_int_equal(store_variable_set(t.db, &v, NULL), RC_OK);
	(void)snprintf(v.environment, sizeof(v.environment), "prod");
	assert_int_equal(store_variable_set(t.db, &v, NULL), RC_OK);
	assert_int_equal(store_variable_list(t.db, "shop", &rows, &n), RC_OK);
	assert_int_equal(n, 3);
	assert_string_equal(rows[0].value, "hello");
	assert_string_equal(rows[1].environment, "prod");
	assert_true(rows[2].sensitive);
	assert_string_equal(rows[2].value, "");
	assert_int_equal(rows[2].secret_len, 3);
	assert_memory_equal(rows[2].secret, wrapped, 3);
	store_variables_free(rows, n);
	assert_int_equal(store_variable_list(t.db, "", &rows, &n), RC_OK);
	assert_int_equal(n, 2);
	store_variables_free(rows, n);
	assert_int_equal(store_variable_delete(t.db, &v, NULL), RC_OK);
	assert_int_equal(store_variable_delete(t.db, &v, NULL), RC_NOTFOUND);
	tempdb_close(&t);
}

static void test_a_repeat_is_answered_from_the_record(void **state)
{
	uint8_t request[32] = { 1 }, other[32] = { 2 };
	struct store_idempotency k = { .who = "apikey ci",
		.key = "k1",
		.request = request,
		.now_ms = 100 };
	struct fault fault = { 0 };
	char *response = NULL;
	struct tempdb t;
	int status = 0;

	(void)state;
	tempdb_open(&t);
	assert_int_equal(
	    store_idempotency_find(t.db, &k, &status, &response, NULL),
	    RC_NOTFOUND);
	assert_int_equal(
	    store_idempotency_keep(t.db, &k, 201, "{}", 1000), RC_OK);
	assert_int_equal(
	    store_idempotency_find(t.db, &k, &status, &response, NULL), RC_OK);
	assert_int_equal(status, 201);
	assert_string_equal(response, "{}");
	free(response);
	k.request = other;
	assert_int_equal(
	    store_idempotency_find(t.db, &k, &status, &response, &fault),
	    RC_EXISTS);
	assert_non_null(strstr(fault.text, "another request"));
	k.now_ms = 1100;
	assert_int_equal(
	    store_idempotency_find(t.db, &k, &status, &response, NULL),
	    RC_NOTFOUND);
	assert_int_equal(
	    store_idempotency_keep(t.db, &k, 200, "", 1000), RC_OK);
	tempdb_close(&t);
}

static void test_the_audit_is_read_from_the_newest(void **state)
{
	struct store_audit a = { .who = "apikey ci", .object = "x" };
	struct store_audit *rows = NULL;
	struct page page = { .limit = 2 };
	char after[24];
	struct tempdb t;
	size_t n = 0;

	(void)state;
	tempdb_open(&t);
	for (uint64_t i = 1; i <= 3; i++) {
		a.at_ms = i;
		assert_int_equal(store_audit_add(t.db, &a), RC_OK);
	}
	assert_int_equal(store_audit_list(t.db, &page, &rows, &n), RC_OK);
	assert_int_equal(n, 2);
	assert_int_equal(rows[0].at_ms, 3);
	(void)snprintf(
	    after, sizeof(after), "%llu", (unsigned long long)rows[1].id);
	store_audits_free(rows, n);
	page.after = after;
	assert_int_equal(store_audit_list(t.db, &page, &rows, &n), RC_OK);
	assert_int_equal(n, 1);
	assert_int_equal(rows[0].at_ms, 1);
	store_audits_free(rows, n);
	tempdb_close(&t);
}

static void test_settings_and_sequences(void **state)
{
	uint64_t number = 9;
	char *value = NULL;
	struct tempdb t;
	size_t len = 0;

	(void)state;
	tempdb_open(&t);
	assert_int_equal(
	    store_setting_get(t.db, "x", &value, &len), RC_NOTFOUND);
	assert_int_equal(store_setting_set(t.db, "x", "a\0b", 3), RC_OK);
	assert_int_equal(store_setting_add(t.db, "x", "c", 1), RC_EXISTS);
	assert_int_equal(store_setting_get(t.db, "x", &value, &len), RC_OK);
	assert_int_equal(len, 3);
	assert_memory_equal(value, "a\0b", 4);
	free(value);
	assert_int_equal(store_sequence_last(t.db, "s", &number), RC_OK);
	assert_int_equal(number, 0);
	assert_int_equal(store_sequence_next(t.db, "s", &number), RC_OK);
	assert_int_equal(store_sequence_next(t.db, "s", &number), RC_OK);
	assert_int_equal(number, 2);
	tempdb_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_environment_in_use_stays),
		cmocka_unit_test(test_a_list_comes_in_pages),
		cmocka_unit_test(test_a_machine_is_found_by_name_and_by_id),
		cmocka_unit_test(
		    test_machines_are_listed_by_environment_and_role),
		cmocka_unit_test(test_an_unknown_environment_or_relay_is_named),
		cmocka_unit_test(test_presence_and_health_are_two_things),
		cmocka_unit_test(
		    test_a_package_is_pushed_once_and_kept_while_used),
		cmocka_unit_test(test_a_process_is_not_overwritten_unseen),
		cmocka_unit_test(test_a_variable_is_one_per_name_and_scope),
		cmocka_unit_test(test_a_repeat_is_answered_from_the_record),
		cmocka_unit_test(test_the_audit_is_read_from_the_newest),
		cmocka_unit_test(test_settings_and_sequences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

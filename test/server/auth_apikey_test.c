/* Keys: shown once, verified by hash, denied by default. */
#include "server/auth/apikey.h"
#include "server/store/environment.h"
#include "test/support/tempdb.h"

static void add_environment(struct db *db, const char *name)
{
	struct store_environment e = { 0 };

	(void)snprintf(e.name, sizeof(e.name), "%s", name);
	assert_int_equal(store_environment_create(db, &e, NULL), RC_OK);
}

static void make_key(
    struct db *db, const struct apikey_wish *wish, char text[APIKEY_TEXT_SIZE])
{
	struct fault fault = { 0 };

	if (apikey_create(db, wish, text, &fault) != RC_OK)
		fail_msg("%s", fault.text);
}

static void test_a_key_is_verified_and_nothing_else(void **state)
{
	const struct apikey_wish wish = {
		.name = "ci", .permissions = PERM_BIT(PERM_DEPLOY), .now_ms = 1
	};
	char text[APIKEY_TEXT_SIZE], bad[APIKEY_TEXT_SIZE + 8];
	struct fault fault = { 0 };
	struct caller c;
	struct tempdb t;

	(void)state;
	tempdb_open(&t);
	make_key(t.db, &wish, text);
	assert_memory_equal(text, "lk1.", 4);
	assert_int_equal(strlen(text), APIKEY_TEXT_SIZE - 1);
	assert_int_equal(apikey_verify(t.db, text, 2, &c, NULL), RC_OK);
	assert_string_equal(c.who, "apikey ci");
	assert_int_equal(c.permissions, PERM_BIT(PERM_DEPLOY));
	caller_clear(&c);
	/* Each character counts; upper-case digits of the secret do not. */
	for (size_t i = 0; text[i] != '\0'; i++) {
		(void)snprintf(bad, sizeof(bad), "%s", text);
		bad[i] = bad[i] == '0' ? '1' : '0';
		assert_int_equal(
		    apikey_verify(t.db, bad, 2, &c, &fault), RC_DENIED);
		assert_non_null(strstr(fault.text, "not known here"));
	}
	for (size_t i = 0; text[i] != '\0'; i++) {
		(void)snprintf(bad, sizeof(bad), "%s", text);
		bad[i] = '\0';
		assert_int_equal(
		    apikey_verify(t.db, bad, 2, &c, NULL), RC_DENIED);
	}
	(void)snprintf(bad, sizeof(bad), "%s0", text);
	assert_int_equal(apikey_verify(t.db, bad, 2, &c, NULL), RC_DENIED);
	assert_int_equal(apikey_create(t.db, &wish, bad, NULL), RC_EXISTS);
	tempdb_close(&t);
}

static void test_a_key_expires_and_can_be_deleted(void **state)
{
	const struct apikey_wish wish = { .name = "ci", .expires_ms = 100 };
	char text[APIKEY_TEXT_SIZE];
	struct fault fault = { 0 };
	struct store_apikey *rows = NULL;
	struct caller c;
	struct tempdb t;
	size_t n = 0;

	(void)state;
	tempdb_open(&t);
	make_key(t.db, &wish, text);
	assert_int_equal(apikey_verify(t.db, text, 99, &c, NULL), RC_OK);
	assert_int_equal(c.permissions, 0);
	assert_int_equal(
	    caller_may(&c, PERM_STATUS_VIEW, NULL, NULL), RC_DENIED);
	caller_clear(&c);
	assert_int_equal(apikey_verify(t.db, text, 100, &c, &fault), RC_DENIED);
	assert_string_equal(fault.text, "API key ci: has expired");
	assert_int_equal(
	    store_apikey_list(t.db, &(struct page){ 0 }, &rows, &n), RC_OK);
	assert_int_equal(n, 1);
	store_apikeys_free(rows, n);
	assert_int_equal(store_apikey_delete(t.db, "ci", NULL), RC_OK);
	assert_int_equal(apikey_verify(t.db, text, 99, &c, NULL), RC_DENIED);
	tempdb_close(&t);
}

static void test_the_secret_is_not_in_the_database(void **state)
{
	const struct apikey_wish wish = { .name = "ci" };
	char text[APIKEY_TEXT_SIZE];
	struct store_apikey *rows = NULL;
	char hex[2 * STORE_SHA256_SIZE + 1];
	struct tempdb t;
	size_t n = 0;

	(void)state;
	tempdb_open(&t);
	make_key(t.db, &wish, text);
	assert_int_equal(
	    store_apikey_list(t.db, &(struct page){ 0 }, &rows, &n), RC_OK);
	for (size_t i = 0; i < STORE_SHA256_SIZE; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", rows[0].secret[i]);
	assert_string_not_equal(hex, text + 21);
	store_apikeys_free(rows, n);
	tempdb_close(&t);
}

static void test_a_confined_key_stays_in_its_environments(void **state)
{
	struct names staging = { 0 };
	struct apikey_wish wish = {
		.name = "ci", .permissions = PERM_ALL, .environments = &staging
	};
	char text[APIKEY_TEXT_SIZE];
	struct fault fault = { 0 };
	struct caller c;
	struct tempdb t;

	(void)state;
	tempdb_open(&t);
	add_environment(t.db, "staging");
	assert_int_equal(names_add(&staging, "staging"), RC_OK);
	make_key(t.db, &wish, text);
	assert_int_equal(apikey_verify(t.db, text, 1, &c, NULL), RC_OK);
	assert_int_equal(caller_may(&c, PERM_DEPLOY, "staging", NULL), RC_OK);
	assert_int_equal(
	    caller_may(&c, PERM_DEPLOY, "prod", &fault), RC_DENIED);
	assert_string_equal(
	    fault.text, "apikey ci: is not for environment prod");
	assert_int_equal(
	    caller_may(&c, PERM_APIKEY_EDIT, NULL, NULL), RC_DENIED);
	assert_int_equal(
	    caller_may(&c, PERM_SERVER_ADMIN, NULL, NULL), RC_DENIED);
	assert_int_equal(caller_may(&c, PERM_TASK_VIEW, NULL, NULL), RC_OK);
	assert_int_equal(caller_may(&c, PERM_PACKAGE_PUSH, NULL, NULL), RC_OK);
	assert_false(caller_sees(&c, "prod"));
	caller_clear(&c);
	/* Its environment cannot vanish and so set it free. */
	assert_int_equal(
	    store_environment_delete(t.db, "staging", NULL), RC_STATE);
	names_clear(&staging);
	tempdb_close(&t);
}

static void test_a_name_that_is_none_is_refused(void **state)
{
	const struct apikey_wish wish = { .name = "no such\nname" };
	char text[APIKEY_TEXT_SIZE];
	struct tempdb t;

	(void)state;
	tempdb_open(&t);
	assert_int_not_equal(apikey_create(t.db, &wish, text, NULL), RC_OK);
	tempdb_close(&t);
}

static void test_permissions_are_written_and_read_as_words(void **state)
{
	char text[600], again[600], tiny[16];
	permission_set set = 0, back = 0;
	struct fault fault = { 0 };

	(void)state;
	assert_int_equal(permission_set_parse("all", &set, NULL), RC_OK);
	assert_true(set == PERM_ALL);
	permission_set_format(set, text, sizeof(text));
	assert_int_equal(permission_set_parse(text, &back, NULL), RC_OK);
	assert_true(back == PERM_ALL);
	permission_set_format(back, again, sizeof(again));
	assert_string_equal(text, again);
	assert_int_equal(permission_set_parse("", &set, NULL), RC_OK);
	assert_true(set == 0);
	assert_int_equal(
	    permission_set_parse("view,deploy", &set, NULL), RC_OK);
	assert_true((set & PERM_BIT(PERM_DEPLOY)) != 0);
	assert_true((set & PERM_BIT(PERM_TASK_VIEW)) != 0);
	assert_true((set & PERM_BIT(PERM_AUDIT_VIEW)) == 0);
	assert_int_equal(
	    permission_set_parse("view,rule", &set, &fault), RC_NOTFOUND);
	assert_non_null(strstr(fault.text, "permission rule"));
	assert_int_equal(
	    permission_set_parse(text + 1, &set, NULL), RC_NOTFOUND);
	permission_set_format(PERM_ALL, tiny, sizeof(tiny));
	assert_true(strlen(tiny) < sizeof(tiny));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_key_is_verified_and_nothing_else),
		cmocka_unit_test(test_a_key_expires_and_can_be_deleted),
		cmocka_unit_test(test_the_secret_is_not_in_the_database),
		cmocka_unit_test(test_a_confined_key_stays_in_its_environments),
		cmocka_unit_test(test_a_name_that_is_none_is_refused),
		cmocka_unit_test(
		    test_permissions_are_written_and_read_as_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

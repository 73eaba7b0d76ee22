/* Who may come in, and who is who: tokens, joiners, instances, revoked keys. */
#include "server/store/joining.h"
#include "server/store/token.h"
#include "test/support/store_rows.h"

#include <openssl/evp.h>

static void test_an_instance_changes_by_compare_and_set(void **state)
{
	struct store_instance now = { 0 }, first,
			      next = {
				      .start = 2, .nonce = "n2", .journal = "j"
			      };
	struct tempdb t;

	(void)state;
	tempdb_open(&t);
	add_environment(t.db, "prod");
	add_machine(t.db, WEB, "web-01", "prod", "web");
	assert_int_equal(store_instance_get(t.db, &web, &now), RC_OK);
	first = now;
	memset(next.succession, 7, sizeof(next.succession));
	assert_int_equal(store_instance_swap(t.db, &web, &first, &next), RC_OK);
	assert_int_equal(
	    store_instance_swap(t.db, &web, &first, &next), RC_STATE);
	assert_int_equal(store_instance_swap(t.db, &web, &next, &next), RC_OK);
	assert_int_equal(store_instance_counter(t.db, WEB, "j", 9), RC_OK);
	assert_int_equal(store_instance_counter(t.db, WEB, "j", 4), RC_OK);
	assert_int_equal(
	    store_instance_counter(t.db, WEB, "other", 10), RC_STATE);
	assert_int_equal(store_instance_get(t.db, &web, &now), RC_OK);
	assert_int_equal(now.counter, 9);
	assert_int_equal(now.succession[31], 7);
	tempdb_close(&t);
}

#define NONCE_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1"
#define NONCE_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb2"

static void fork_web(struct db *db)
{
	const struct store_instance first = { .start = 0 }, row = { .start = 5,
		.counter = 40,
		.nonce = NONCE_A,
		.journal = "j",
		.succession = { 1 } };
	const struct store_copy known = { .nonce = NONCE_A,
		.start = 5,
		.succession = { 1 },
		.via = "relay dc2-a",
		.known = true };
	const struct store_copy other = { .nonce = NONCE_B,
		.start = 3,
		.journal = "k",
		.succession = { 2 } };
	struct store_machine m = { .facts = NULL };

	assert_int_equal(store_instance_forget(db, &web), RC_OK);
	assert_int_equal(store_instance_swap(db, &web, &first, &row), RC_OK);
	assert_int_equal(store_instance_fork(db, &web, &known, &other), RC_OK);
	assert_int_equal(store_machine_get(db, WEB, &m, NULL), RC_OK);
	assert_string_equal(m.hold, "clone");
	store_machine_clear(&m);
}

static void expect_released(struct db *db, const char *copy, uint64_t start,
    const char *nonce, uint8_t token)
{
	struct store_copy copies[STORE_COPIES_MAX];
	struct store_machine m = { .facts = NULL };
	struct store_instance now;
	size_t count;

	fork_web(db);
	assert_int_equal(
	    store_instance_copies(db, &web, copies, &count), RC_OK);
	assert_int_equal(count, 2);
	assert_string_equal(copies[0].via, "relay dc2-a");
	assert_int_equal(copies[1].start, 3);
	assert_int_equal(store_instance_release(db, &web, copy, NULL), RC_OK);
	assert_int_equal(store_machine_get(db, WEB, &m, NULL), RC_OK);
	assert_string_equal(m.hold, "");
	store_machine_clear(&m);
	assert_int_equal(store_instance_get(db, &web, &now), RC_OK);
	assert_int_equal(now.start, start);
	assert_string_equal(now.nonce, nonce);
	assert_int_equal(now.succession[0], token);
	assert_int_equal(now.counter, 0); /* its journal is believed */
	assert_int_equal(
	    store_instance_copies(db, &web, copies, &count), RC_OK);
	assert_int_equal(count, 0);
}

static void test_one_of_two_copies_is_let_go_on(void **state)
{
	struct fault fault = { 0 };
	struct tempdb t;

	(void)state;
	tempdb_open(&t);
	add_environment(t.db, "prod");
	add_machine(t.db, WEB, "web-01", "prod", "web");
	expect_released(t.db, "aaaaaaaa", 5, NONCE_A, 1);
	expect_released(t.db, NONCE_B, 3, NONCE_B, 2);
	/* None is named: whoever comes next. */
	expect_released(t.db, NULL, 0, "", 0);
	fork_web(t.db);
	assert_int_equal(store_instance_release(t.db, &web, "cccccccc", &fault),
	    RC_NOTFOUND);
	assert_non_null(strstr(fault.text, "aaaaaaaa and bbbbbbbb"));
	assert_int_equal(
	    store_instance_release(t.db, &web, "", NULL), RC_NOTFOUND);
	tempdb_close(&t);
}

static void add_joining(
    struct db *db, uint8_t key, const char *name, uint64_t now_ms)
{
	struct store_joining j = { .spki = { key, 0xab, 0xcd, 0xef },
		.role = STORE_ROLE_TENTACLE,
		.hostname = "localhost",
		.created_ms = now_ms,
		.seen_ms = now_ms };

	(void)snprintf(j.name, sizeof(j.name), "%s", name);
	assert_int_equal(store_joining_add(db, &j, NULL), RC_OK);
}

static void test_who_waits_is_found_by_name_or_key_and_forgotten(void **state)
{
	const uint64_t now = 2 * STORE_JOINING_LIFE_MS;
	struct fault fault = { 0 };
	struct store_joining j, *rows;
	struct tempdb t;
	size_t count;

	(void)state;
	tempdb_open(&t);
	add_joining(t.db, 1, "web-01", now);
	add_joining(t.db, 2, "web-02", now + 1);
	assert_int_equal(
	    store_joining_find(t.db, STORE_ROLE_TENTACLE, "web-02", &j, &fault),
	    RC_OK);
	assert_int_equal(j.spki[0], 2);
	assert_int_equal(store_joining_find(
			     t.db, STORE_ROLE_TENTACLE, "01abcdef", &j, &fault),
	    RC_OK);
	assert_string_equal(j.name, "web-01");
	/* Both are called so; and too few digits; and another role. */
	assert_int_equal(store_joining_find(t.db, STORE_ROLE_TENTACLE,
			     "localhost", &j, &fault),
	    RC_STATE);
	assert_int_equal(
	    store_joining_find(t.db, STORE_ROLE_TENTACLE, "01abcde", &j, NULL),
	    RC_NOTFOUND);
	assert_int_equal(
	    store_joining_find(t.db, STORE_ROLE_RELAY, "web-01", &j, NULL),
	    RC_NOTFOUND);
	/* One asks on, one does not. */
	assert_int_equal(store_joining_seen(t.db, j.spki, now + 1000), RC_OK);
	assert_int_equal(
	    store_joining_expire(t.db, now + STORE_JOINING_LIFE_MS + 500),
	    RC_OK);
	assert_int_equal(
	    store_joining_list(t.db, STORE_ROLE_TENTACLE, &rows, &count),
	    RC_OK);
	assert_int_equal(count, 1);
	assert_string_equal(rows[0].name, "web-01");
	free(rows);
	tempdb_close(&t);
}

static void test_a_token_lets_in_as_often_as_it_says(void **state)
{
	const uint8_t secret[32] = "0123456789abcdef0123456789abcde";
	uint8_t wrong[32] = { 0 };
	struct store_token token = { .id = "abc",
		.uses_left = 1,
		.expires_ms = 1000,
		.who = "operator",
		.route_count = 1,
		.routes = { { "direct", "" } } };
	struct store_token got = { 0 };
	struct store_token_shown shown = {
		.id = "abc", .secret = secret, .now_ms = 500
	};
	struct fault fault = { 0 };
	struct tempdb t;

	(void)state;
	tempdb_open(&t);
	add_environment(t.db, "prod");
	assert_int_equal(
	    EVP_Digest(secret, 32, token.secret, NULL, EVP_sha256(), NULL), 1);
	assert_int_equal(names_add(&token.environments, "prod"), RC_OK);
	assert_int_equal(names_add(&token.roles, "web"), RC_OK);
	assert_int_equal(store_token_create(t.db, &token, NULL), RC_OK);
	shown.secret = wrong;
	assert_int_equal(
	    store_token_use(t.db, &shown, &got, &fault), RC_DENIED);
	assert_string_equal(fault.text, "token: not known here");
	shown.secret = secret;
	shown.role = STORE_ROLE_RELAY;
	assert_int_equal(store_token_use(t.db, &shown, &got, NULL), RC_DENIED);
	shown.role = STORE_ROLE_TENTACLE;
	shown.now_ms = 1000;
	fault_clear(&fault);
	assert_int_equal(
	    store_token_use(t.db, &shown, &got, &fault), RC_DENIED);
	assert_int_equal(fault.code, REASON_EXPIRED);
	shown.now_ms = 500;
	assert_int_equal(store_token_use(t.db, &shown, &got, NULL), RC_OK);
	assert_string_equal(got.environments.at[0], "prod");
	assert_string_equal(got.roles.at[0], "web");
	assert_string_equal(got.routes[0].path, "direct");
	store_token_clear(&got);
	fault_clear(&fault);
	assert_int_equal(
	    store_token_use(t.db, &shown, &got, &fault), RC_DENIED);
	assert_non_null(strstr(fault.text, "used up"));
	assert_int_equal(store_token_expire(t.db, 2000), RC_OK);
	assert_int_equal(store_token_get(t.db, "abc", &got, NULL), RC_NOTFOUND);
	store_token_clear(&token);
	tempdb_close(&t);
}

static void test_a_revoked_key_is_listed_until_it_expires(void **state)
{
	struct store_revocation r = {
		.name = "web-01", .at_ms = 10, .expires_ms = 100
	};
	struct store_revocation *rows = NULL;
	uint64_t number = 0;
	struct tempdb t;
	bool yes = false;
	size_t n = 0;

	(void)state;
	tempdb_open(&t);
	memset(r.spki, 1, sizeof(r.spki));
	assert_int_equal(store_revoked(t.db, r.spki, &yes), RC_OK);
	assert_false(yes);
	assert_int_equal(store_revoke(t.db, &r), RC_OK);
	assert_int_equal(store_revoke(t.db, &r), RC_OK);
	assert_int_equal(
	    store_revocation_list(t.db, false, 50, &rows, &n, &number), RC_OK);
	assert_int_equal(n, 1);
	assert_int_equal(number, 1);
	free(rows);
	assert_int_equal(
	    store_revocation_list(t.db, true, 50, &rows, &n, &number), RC_OK);
	assert_int_equal(n, 0);
	assert_int_equal(number, 0);
	free(rows);
	assert_int_equal(
	    store_revocation_list(t.db, false, 100, &rows, &n, &number), RC_OK);
	assert_int_equal(n, 0);
	free(rows);
	assert_int_equal(store_revoked(t.db, r.spki, &yes), RC_OK);
	assert_true(yes);
	tempdb_close(&t);
}

static void test_a_list_is_raised_and_never_lowered(void **state)
{
	struct store_revocation *rows = NULL;
	struct tempdb t;
	uint64_t number = 0;
	size_t count = 0;

	(void)state;
	tempdb_open(&t);
	assert_int_equal(store_revocations_raise(t.db, false, 7), RC_OK);
	assert_int_equal(store_revocations_raise(t.db, false, 5), RC_OK);
	assert_int_equal(
	    store_revocation_list(t.db, false, 1, &rows, &count, &number),
	    RC_OK);
	assert_true(number == 7 && count == 0);
	free(rows);
	tempdb_close(&t);
}

static void test_an_enrolment_is_found_again_by_its_key(void **state)
{
	struct store_enrolment e = { .id = WEB, .token = "abc", .at_ms = 5 };
	struct store_enrolment got = { 0 };
	struct tempdb t;

	(void)state;
	tempdb_open(&t);
	memset(e.spki, 3, sizeof(e.spki));
	assert_int_equal(store_enrolment_get(t.db, e.spki, &got), RC_NOTFOUND);
	assert_int_equal(store_enrolment_add(t.db, &e, NULL), RC_OK);
	assert_int_equal(store_enrolment_add(t.db, &e, NULL), RC_EXISTS);
	assert_int_equal(store_enrolment_get(t.db, e.spki, &got), RC_OK);
	assert_string_equal(got.id, WEB);
	tempdb_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_instance_changes_by_compare_and_set),
		cmocka_unit_test(test_one_of_two_copies_is_let_go_on),
		cmocka_unit_test(
		    test_who_waits_is_found_by_name_or_key_and_forgotten),
		cmocka_unit_test(test_a_token_lets_in_as_often_as_it_says),
		cmocka_unit_test(test_a_revoked_key_is_listed_until_it_expires),
		cmocka_unit_test(test_a_list_is_raised_and_never_lowered),
		cmocka_unit_test(test_an_enrolment_is_found_again_by_its_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

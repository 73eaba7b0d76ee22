/* What becomes of a key that asks for a certificate without a token. */
#include "server/fleet/enrolment.h"
#include "server/store/joining.h"

#include "test/support/tempdb.h"

#define DAY_MS (24ULL * 3600 * 1000)

static const uint8_t key[STORE_SHA256_SIZE] = { 7 };

/* A relay that joined at joined_ms by this key. */
static void add_member(struct db *db, uint64_t joined_ms)
{
	struct store_relay r = { .enabled = true, .created_ms = joined_ms };
	struct store_enrolment e = {
		.role = STORE_ROLE_RELAY, .token = "abc", .at_ms = joined_ms
	};

	(void)snprintf(r.name, sizeof(r.name), "dc2-a");
	r.route_count = 1;
	(void)snprintf(r.routes[0].path, sizeof(r.routes[0].path), "direct");
	memcpy(r.spki, key, sizeof(key));
	assert_int_equal(store_relay_create(db, &r, NULL), RC_OK);
	memcpy(e.spki, key, sizeof(key));
	(void)snprintf(e.id, sizeof(e.id), "dc2-a");
	assert_int_equal(store_enrolment_add(db, &e, NULL), RC_OK);
}

static bool waits; /* the last one that asked */

static enum rc ask(struct db *db, uint64_t now_ms, struct fault *fault)
{
	struct enrol_rows rows = { .role = ROLE_RELAY, .now_ms = now_ms };
	enum rc rc;

	memcpy(rows.key_hash, key, sizeof(key));
	rc = enrol_write_rows(db, &rows);
	*fault = rows.fault;
	waits = rows.waits;
	enrol_rows_fini(&rows);
	return rc;
}

static void test_a_key_that_comes_too_late_needs_a_person(void **state)
{
	struct store_joining joining;
	struct tempdb t;
	struct fault fault;

	(void)state;
	tempdb_open(&t);
	add_member(t.db, DAY_MS);
	/* Each certificate lives 14 days, and 30 more are allowed. */
	assert_int_equal(ask(t.db, 44 * DAY_MS, &fault), RC_OK);
	/* It has a newer one now. */
	assert_int_equal(ask(t.db, 87 * DAY_MS, &fault), RC_OK);
	assert_int_equal(
	    store_enrolment_renewed(t.db, key, 100 * DAY_MS), RC_OK);
	assert_int_equal(ask(t.db, 143 * DAY_MS, &fault), RC_OK);
	assert_false(waits);
	assert_int_equal(ask(t.db, 188 * DAY_MS, &fault), RC_OK);
	assert_true(waits);
	assert_int_equal(ask(t.db, 189 * DAY_MS, &fault), RC_OK);
	assert_true(waits);
	assert_int_equal(
	    store_joining_find(t.db, STORE_ROLE_RELAY, "dc2-a", &joining, NULL),
	    RC_OK);
	assert_int_equal(
	    store_joining_decide(t.db, joining.spki, JOINING_REJECTED), RC_OK);
	assert_int_equal(ask(t.db, 190 * DAY_MS, &fault), RC_DENIED);
	assert_int_equal(fault.code, REASON_NOT_PERMITTED);
	assert_int_equal(
	    store_joining_decide(t.db, joining.spki, JOINING_APPROVED), RC_OK);
	assert_int_equal(ask(t.db, 191 * DAY_MS, &fault), RC_OK);
	assert_false(waits);
	/* That was good once. */
	assert_int_equal(ask(t.db, 260 * DAY_MS, &fault), RC_OK);
	assert_true(waits);
	tempdb_close(&t);
}

static void test_a_revoked_key_gets_nothing_however_early(void **state)
{
	const struct store_revoke_key revoke = {
		.role = STORE_ROLE_RELAY,
		.name = "dc2-a",
		.reason = "stolen",
		.spki = key,
		.now_ms = 2 * DAY_MS,
	};
	struct tempdb t;
	struct fault fault;

	(void)state;
	tempdb_open(&t);
	add_member(t.db, DAY_MS);
	assert_int_equal(store_revoke_key(t.db, &revoke), RC_OK);
	assert_int_equal(ask(t.db, 3 * DAY_MS, &fault), RC_DENIED);
	assert_int_equal(fault.code, REASON_REVOKED);
	/* Also when it has left the list, years later. */
	assert_int_equal(ask(t.db, 1000 * DAY_MS, &fault), RC_DENIED);
	assert_int_equal(fault.code, REASON_REVOKED);
	tempdb_close(&t);
}

static void test_a_key_that_never_joined_needs_a_token(void **state)
{
	struct tempdb t;
	struct fault fault;

	(void)state;
	tempdb_open(&t);
	assert_int_equal(ask(t.db, DAY_MS, &fault), RC_DENIED);
	assert_int_equal(fault.code, REASON_TOKEN);
	tempdb_close(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_key_that_comes_too_late_needs_a_person),
		cmocka_unit_test(test_a_revoked_key_gets_nothing_however_early),
		cmocka_unit_test(test_a_key_that_never_joined_needs_a_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Rows of rotations: the newest counts, phases go forward once, and who is
 * missing is known by name. */
#include "server/store/machine.h"
#include "server/store/relay.h"
#include "server/store/rotation.h"
#include "test/support/tempdb.h"

#define WEB "11111111111111111111111111111111"

static const uint8_t old_ca[32] = { 1 }, new_ca[32] = { 2 }, key[32] = { 3 };

static void add_members(struct db *db)
{
	struct store_relay r = { .enabled = true, .name = "dc2-a" };
	struct store_machine m = { .enabled = true,
		.id = WEB,
		.name = "web-01",
		.route_count = 1,
		.routes = { { "direct", "" } } };

	r.route_count = 1;
	(void)snprintf(r.routes[0].path, sizeof(r.routes[0].path), "direct");
	memcpy(r.spki, key, sizeof(r.spki));
	memcpy(m.spki, key, sizeof(m.spki));
	assert_int_equal(store_relay_create(db, &r, NULL), RC_OK);
	assert_int_equal(store_machine_create(db, &m, NULL), RC_OK);
	/* One that was added and has not joined is not waited for. */
	(void)snprintf(r.name, sizeof(r.name), "dc2-b");
	memset(r.spki, 0, sizeof(r.spki));
	assert_int_equal(store_relay_create(db, &r, NULL), RC_OK);
}

static uint64_t missing(struct db *db, uint64_t bundle, const uint8_t *ca,
    struct store_missing *first)
{
	const struct rotation_goal goal = { bundle, ca };
	struct store_missing *rows = NULL;
	uint64_t count = 0;
	size_t n = 0;

	assert_int_equal(
	    store_rotation_missing(db, &goal, 1, &rows, &n, &count), RC_OK);
	assert_int_equal(n, count > 0 ? 1 : 0);
	if (n > 0)
		*first = rows[0];
	free(rows);
	return count;
}

static void saw(struct db *db, enum store_role role, const char *id,
    uint64_t bundle, const uint8_t *ca)
{
	struct store_member_trust m = {
		.role = role, .bundle = bundle, .at_ms = 9
	};

	(void)snprintf(m.id, sizeof(m.id), "%s", id);
	memcpy(m.authority, ca, sizeof(m.authority));
	assert_int_equal(store_member_trust_set(db, &m), RC_OK);
}

static void test_who_is_not_there_yet_is_named(void **state)
{
	struct store_missing first;
	struct tempdb t;

	(void)state;
	tempdb_open(&t);
	add_members(t.db);
	assert_int_equal(missing(t.db, 3, NULL, &first), 2);
	assert_string_equal(first.name, "dc2-a");
	saw(t.db, STORE_ROLE_RELAY, "dc2-a", 3, old_ca);
	assert_int_equal(missing(t.db, 3, NULL, &first), 1);
	assert_string_equal(first.name, "web-01");
	assert_int_equal(first.role, STORE_ROLE_TENTACLE);
	saw(t.db, STORE_ROLE_TENTACLE, WEB, 2, new_ca);
	assert_int_equal(missing(t.db, 3, NULL, &first), 1);
	assert_int_equal(missing(t.db, 0, new_ca, &first), 1);
	assert_string_equal(first.name, "dc2-a");
	saw(t.db, STORE_ROLE_RELAY, "dc2-a", 3, new_ca);
	saw(t.db, STORE_ROLE_TENTACLE, WEB, 4, new_ca);
	assert_int_equal(missing(t.db, 3, new_ca, &first), 0);
	tempdb_close(&t);
}

static void test_a_phase_is_left_once(void **state)
{
	uint8_t during[] = "during", after[] = "after", chain[] = "chain";
	struct store_rotation in = { .kind = ROTATION_ROOT,
		.number = 5,
		.who = "apikey operator",
		.started_ms = 7,
		.changed_ms = 7,
		.bundle_during = { during, 6 },
		.bundle_after = { after, 5 },
		.agents_chain = { chain, 5 } };
	struct rotation_step step = { .id = 1,
		.from = ROTATION_SPREADING,
		.to = ROTATION_ISSUING,
		.left_out = "web-03\n",
		.now_ms = 8 };
	struct store_rotation out;
	struct tempdb t;

	(void)state;
	tempdb_open(&t);
	assert_int_equal(store_rotation_last(t.db, &out), RC_NOTFOUND);
	assert_int_equal(store_rotation_add(t.db, &in), RC_OK);
	assert_int_equal(store_rotation_move(t.db, &step), RC_OK);
	assert_int_equal(store_rotation_move(t.db, &step), RC_NOTFOUND);
	assert_int_equal(store_rotation_last(t.db, &out), RC_OK);
	assert_int_equal(out.phase, ROTATION_ISSUING);
	assert_int_equal(out.kind, ROTATION_ROOT);
	assert_true(out.number == 5 && out.changed_ms == 8);
	assert_string_equal(out.left_out, "web-03\n");
	assert_int_equal(out.bundle_after.len, 5);
	assert_memory_equal(out.agents_chain.data, "chain", 5);
	assert_int_equal(out.agents_key.len, 0);
	store_rotation_clear(&out);
	in.kind = ROTATION_AGENTS;
	assert_int_equal(store_rotation_add(t.db, &in), RC_OK);
	assert_int_equal(store_rotation_last(t.db, &out), RC_OK);
	assert_int_equal(out.kind, ROTATION_AGENTS);
	store_rotation_clear(&out);
	tempdb_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_is_not_there_yet_is_named),
		cmocka_unit_test(test_a_phase_is_left_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Rows of rotations: the newest counts, phases go forward once, and who is
 * missing is known by name. */
#include "server/store/machine.h"
#include "server/store/node.h"
#include "server/store/relay.h"
#include "server/store/rotation.h"
#include "server/store/token.h"
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

static void see_key(struct db *db, uint8_t first, uint64_t now_ms)
{
	struct store_node n = { .name = "n2",
		.spki = { first },
		.version = "0.1.0",
		.not_after_ms = now_ms + 1000,
		.seen_ms = now_ms };

	assert_int_equal(store_node_seen(db, &n), RC_OK);
}

static void test_a_servers_only_key_is_found_by_its_name(void **state)
{
	static const uint8_t second[STORE_SHA256_SIZE] = { 2 };
	static const uint64_t day_ms = 24ULL * 3600 * 1000;
	struct store_revocation r = { .role = STORE_ROLE_SERVER, .name = "n2" };
	struct store_node n, *rows = NULL;
	struct fault fault;
	struct tempdb t;
	size_t count = 0;

	(void)state;
	tempdb_open(&t);
	assert_int_equal(
	    store_node_find(t.db, "n2", NULL, &n, &fault), RC_NOTFOUND);
	see_key(t.db, 1, 5000);
	see_key(t.db, 1, 6000);
	assert_int_equal(store_node_find(t.db, "n2", NULL, &n, &fault), RC_OK);
	assert_int_equal(n.first_ms, 5000);
	assert_int_equal(n.seen_ms, 6000);
	assert_int_equal(n.not_after_ms, 7000);
	see_key(t.db, 2, 8000);
	assert_int_equal(
	    store_node_find(t.db, "n2", NULL, &n, &fault), RC_STATE);
	assert_non_null(strstr(fault.text, "has 2 keys"));
	/* That of the server that is asked is not meant. */
	assert_int_equal(
	    store_node_find(t.db, "n2", second, &n, &fault), RC_OK);
	assert_int_equal(n.spki[0], 1);
	assert_int_equal(
	    store_node_find(t.db, "n1", NULL, &n, &fault), RC_NOTFOUND);
	r.spki[0] = 1;
	assert_int_equal(store_revoke(t.db, &r), RC_OK);
	assert_int_equal(store_node_find(t.db, "n2", NULL, &n, &fault), RC_OK);
	assert_int_equal(n.spki[0], 2);
	/* Old ones are forgotten in the end. */
	see_key(t.db, 3, 200 * day_ms);
	assert_int_equal(store_node_list(t.db, &rows, &count), RC_OK);
	assert_int_equal(count, 1);
	assert_int_equal(rows[0].spki[0], 3);
	free(rows);
	tempdb_close(&t);
}

static void test_a_key_of_another_server_is_not_taken_for_this_ones(
    void **state)
{
	static const uint8_t seen[STORE_SHA256_SIZE] = { 1 };
	static const uint8_t unseen[STORE_SHA256_SIZE] = { 9 };
	struct fault fault;
	struct tempdb t;

	(void)state;
	tempdb_open(&t);
	see_key(t.db, 1, 5000);
	assert_int_equal(store_node_check(t.db, "n2", seen, &fault), RC_OK);
	assert_int_equal(store_node_check(t.db, "n1", unseen, &fault), RC_OK);
	assert_int_equal(store_node_check(t.db, "n1", seen, &fault), RC_STATE);
	assert_int_equal(fault.code, REASON_CONFLICT);
	assert_non_null(strstr(fault.text, "node n2"));
	tempdb_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_servers_only_key_is_found_by_its_name),
		cmocka_unit_test(
		    test_a_key_of_another_server_is_not_taken_for_this_ones),
		cmocka_unit_test(test_who_is_not_there_yet_is_named),
		cmocka_unit_test(test_a_phase_is_left_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

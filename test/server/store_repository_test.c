/* The nouns: what goes in comes out, what is used stays, and each refusal says
 * why in a user's words. */
#include "server/store/apikey.h"
#include "server/store/audit.h"
#include "server/store/environment.h"
#include "server/store/instance.h"
#include "server/store/joining.h"
#include "server/store/package.h"
#include "server/store/project.h"
#include "server/store/relay.h"
#include "server/store/setting.h"
#include "server/store/token.h"
#include "server/store/variable.h"
#include "test/support/tempdb.h"

#include <openssl/evp.h>

#define WEB "11111111111111111111111111111111"
#define DBM "22222222222222222222222222222222"

static const struct page whole = { 0 };
static const struct store_member web = { STORE_ROLE_TENTACLE, WEB };

static void add_environment(struct db *db, const char *name)
{
	struct store_environment e = { .created_ms = 5 };

	(void)snprintf(e.name, sizeof(e.name), "%s", name);
	assert_int_equal(store_environment_create(db, &e, NULL), RC_OK);
}

static void add_relay(struct db *db, const char *name, const char *path)
{
	struct store_relay r = {
		.enabled = true, .route_count = 1, .created_ms = 5
	};

	(void)snprintf(r.name, sizeof(r.name), "%s", name);
	(void)snprintf(r.routes[0].path, sizeof(r.routes[0].path), "%s", path);
	assert_int_equal(store_relay_create(db, &r, NULL), RC_OK);
}

static void add_machine(struct db *db, const char *id, const char *name,
    const char *environment, const char *role)
{
	struct store_machine m = { .enabled = true,
		.created_ms = 7,
		.route_count = 1,
		.routes = { { "direct", "10.0.0.3:10933" } } };

	(void)snprintf(m.id, sizeof(m.id), "%s", id);
	(void)snprintf(m.name, sizeof(m.name), "%s", name);
	assert_int_equal(names_add(&m.environments, environment), RC_OK);
	assert_int_equal(names_add(&m.roles, role), RC_OK);
	assert_int_equal(store_machine_create(db, &m, NULL), RC_OK);
	store_machine_clear(&m);
}

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
		cmocka_unit_test(test_every_route_change_raises_the_number),
		cmocka_unit_test(test_relays_never_form_a_ring),
		cmocka_unit_test(test_a_relay_keeps_its_routes_in_order),
		cmocka_unit_test(
		    test_what_is_behind_a_relay_gets_a_number_above_its_own),
		cmocka_unit_test(test_an_instance_changes_by_compare_and_set),
		cmocka_unit_test(test_one_of_two_copies_is_let_go_on),
		cmocka_unit_test(
		    test_who_waits_is_found_by_name_or_key_and_forgotten),
		cmocka_unit_test(test_a_token_lets_in_as_often_as_it_says),
		cmocka_unit_test(test_a_revoked_key_is_listed_until_it_expires),
		cmocka_unit_test(test_a_list_is_raised_and_never_lowered),
		cmocka_unit_test(test_an_enrolment_is_found_again_by_its_key),
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

/*
 * A node follows a rotation whatever the disk looks like when it starts: killed
 * before, between and after each file that is put in its place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/fs.h"
#include "server/ca/ca_files.h"
#include "server/ca/rotation.h"
#include "server/init.h"
#include "server/keys.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In the order in which they are put in place. */
static const char *const moves[][2] = {
	{ "ca/next/root.key", "ca/root.key" },
	{ "ca/next/root.crt", "ca/root.crt" },
	{ "ca/next/https.crt", "https/cert.pem" },
	{ "ca/next/nodes.key", "ca/nodes.key" },
	{ "ca/next/nodes.crt", "ca/nodes.crt" },
	{ "ca/next/agents.crt", "ca/agents.crt" },
};
#define MOVES (sizeof(moves) / sizeof(moves[0]))

struct place {
	char parent[64], state[96];
	struct server_settings settings;
	struct store *store;
	struct fault fault;
};

struct order {
	struct store_job job;
	struct place *p;
	struct rotation_order order;
	struct fault fault;
};

static enum rc run_order(struct db *db, struct store_job *job)
{
	struct order *o = CONTAINER_OF(job, struct order, job);

	return rotation_order(db, &o->order, &o->fault);
}

static enum rc order(struct place *p, enum rotation_kind kind, bool force,
    const struct wrap_key *master)
{
	struct order o = { .job.run = run_order,
		.order = { .state = p->state,
		    .master = master,
		    .kind = kind,
		    .who = "test",
		    .now_ms = (uint64_t)clock_wall_ms(),
		    .force = force } };
	enum rc rc = store_call(p->store, &o.job);

	p->fault = o.fault;
	return rc;
}

static void load(struct place *p, struct server_keys *keys)
{
	p->fault.code = REASON_NONE;
	if (server_keys_load(&p->settings, p->store, keys, &p->fault) != RC_OK)
		fail_msg("%s", p->fault.text);
}

/* The node believes itself and signs what it believes. */
static void check(struct server_keys *k, size_t roots)
{
	const struct trust_check now = { .now_s = clock_wall_ms() / 1000 };
	struct peer peer;
	struct fault fault;

	if (trust_verify(k->trust, identity_chain(k->identity), &now, &peer,
		&fault) != RC_OK)
		fail_msg("%s", fault.text);
	if (trust_verify_authority(k->trust, ca_chain(k->agents), CA_AGENTS,
		now.now_s, &fault) != RC_OK)
		fail_msg("%s", fault.text);
	assert_non_null(k->nodes);
	assert_int_equal(identity_roots(k->identity)->count, roots);
}

static void hash_of(const struct ca *ca, uint8_t out[KEY_HASH_SIZE])
{
	assert_int_equal(certs_key_hash(ca_chain(ca)->cert[0], out), RC_OK);
}

static void move(struct place *p, size_t i)
{
	char from[160], to[160];

	(void)snprintf(from, sizeof(from), "%s/%s", p->state, moves[i][0]);
	(void)snprintf(to, sizeof(to), "%s/%s", p->state, moves[i][1]);
	assert_int_equal(rename(from, to), 0);
}

static void test_a_node_killed_between_any_two_files_goes_on(void **state)
{
	struct place *p = *state;
	uint8_t before[KEY_HASH_SIZE], after[KEY_HASH_SIZE];
	struct server_keys k;

	load(p, &k);
	for (size_t done = 0; done <= MOVES; done++) {
		hash_of(k.agents, before);
		assert_int_equal(
		    order(p, ROTATION_ROOT, false, &k.master), RC_OK);
		server_keys_fini(&k);
		load(p, &k); /* spreading: both roots, the old ones sign */
		check(&k, 2);
		hash_of(k.agents, after);
		assert_memory_equal(before, after, sizeof(before));
		assert_int_equal(
		    order(p, ROTATION_ROOT, true, &k.master), RC_OK);
		server_keys_fini(&k);
		for (size_t i = 0; i < done; i++)
			move(p, i);
		load(p, &k); /* issuing, as far as the files got */
		check(&k, 2);
		hash_of(k.agents, after);
		assert_memory_not_equal(before, after, sizeof(before));
		assert_false(ca_files_prepared(p->state, "agents", after));
		assert_int_equal(
		    order(p, ROTATION_ROOT, true, &k.master), RC_OK);
		server_keys_fini(&k);
		load(p, &k); /* done */
		check(&k, 1);
	}
	server_keys_fini(&k);
}

/* Two phases ended before the node followed the first. */
static void test_a_node_may_come_late_to_all_phases(void **state)
{
	struct place *p = *state;
	uint8_t before[KEY_HASH_SIZE], after[KEY_HASH_SIZE];
	struct server_keys k;

	load(p, &k);
	memcpy(before, identity_key_hash(k.identity), sizeof(before));
	assert_int_equal(order(p, ROTATION_ROOT, false, &k.master), RC_OK);
	assert_int_equal(order(p, ROTATION_ROOT, true, &k.master), RC_OK);
	assert_int_equal(order(p, ROTATION_ROOT, true, &k.master), RC_OK);
	server_keys_fini(&k);
	load(p, &k);
	check(&k, 1);
	memcpy(after, identity_key_hash(k.identity), sizeof(after));
	assert_memory_not_equal(before, after, sizeof(before));
	assert_true(k.bundle_number == 2 && k.phase == ROTATION_DONE);
	server_keys_fini(&k);
}

/* What a rotation that was never committed has left is not taken. */
static void test_what_was_prepared_in_vain_is_left_alone(void **state)
{
	struct place *p = *state;
	uint8_t before[KEY_HASH_SIZE], after[KEY_HASH_SIZE];
	struct server_keys k;
	struct ca *other = NULL, *root = NULL;

	load(p, &k);
	assert_int_equal(order(p, ROTATION_AGENTS, false, &k.master), RC_OK);
	server_keys_fini(&k);
	load(p, &k);
	hash_of(k.agents, before);
	assert_int_equal(
	    ca_files_load(p->state, "root", &root, &p->fault), RC_OK);
	assert_int_equal(ca_create_sub(root, CA_AGENTS, 1, &other), RC_OK);
	assert_int_equal(ca_files_begin(p->state, &p->fault), RC_OK);
	assert_int_equal(
	    ca_files_prepare(p->state, "agents", other, false, &p->fault),
	    RC_OK);
	server_keys_fini(&k);
	load(p, &k);
	hash_of(k.agents, after);
	assert_memory_equal(before, after, sizeof(before));
	server_keys_fini(&k);
	ca_free(other);
	ca_free(root);
}

static void test_a_key_that_is_away_is_asked_for(void **state)
{
	struct place *p = *state;
	struct server_keys k;
	char path[160];
	bool changed = false;

	load(p, &k);
	(void)snprintf(path, sizeof(path), "%s/ca/root.key", p->state);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(
	    order(p, ROTATION_NODES, false, &k.master), RC_NOTFOUND);
	assert_non_null(strstr(p->fault.text, "--root-key"));
	/* Half of its life is over by any measure. */
	assert_int_equal(server_keys_renew(&p->settings, &k, 2 * CA_NODE_LIFE_S,
			     &changed, &p->fault),
	    RC_OK);
	assert_true(changed);
	check(&k, 1);
	(void)snprintf(path, sizeof(path), "%s/ca/nodes.key", p->state);
	assert_int_equal(unlink(path), 0);
	server_keys_fini(&k);
	load(p, &k);
	assert_null(k.nodes);
	assert_int_equal(server_keys_renew(&p->settings, &k, 4 * CA_NODE_LIFE_S,
			     &changed, &p->fault),
	    RC_NOTFOUND);
	assert_false(changed);
	server_keys_fini(&k);
}

static void test_one_rotation_at_a_time(void **state)
{
	struct place *p = *state;
	struct server_keys k;

	load(p, &k);
	assert_int_equal(order(p, ROTATION_AGENTS, false, &k.master), RC_OK);
	assert_int_equal(order(p, ROTATION_AGENTS, false, &k.master), RC_OK);
	assert_int_equal(order(p, ROTATION_ROOT, false, &k.master), RC_STATE);
	assert_non_null(strstr(p->fault.text, "agents --force"));
	server_keys_fini(&k);
}

static int set_up(void **state)
{
	static const char *const names[] = { "longarm.example" };
	struct place *p = calloc(1, sizeof(*p));
	const struct init_request request = { .settings = &p->settings,
		.node = "alpha",
		.http_names = names,
		.http_name_count = 1 };
	struct init_report report;

	assert_non_null(p);
	(void)snprintf(
	    p->parent, sizeof(p->parent), "/tmp/longarm-keys-XXXXXX");
	assert_non_null(mkdtemp(p->parent));
	(void)snprintf(p->state, sizeof(p->state), "%s/state", p->parent);
	p->settings.state = p->state;
	p->settings.http.port = 8443;
	assert_int_equal(server_init(&request, &report, &p->fault), RC_OK);
	assert_int_equal(
	    store_open(p->state, NULL, &p->store, &p->fault), RC_OK);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY);

	store_close(p->store);
	assert_int_equal(fs_remove_tree(fd, p->parent + 5, &p->fault), RC_OK);
	(void)close(fd);
	free(p);
	return 0;
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		EACH(test_a_node_killed_between_any_two_files_goes_on),
		EACH(test_a_node_may_come_late_to_all_phases),
		EACH(test_what_was_prepared_in_vain_is_left_alone),
		EACH(test_a_key_that_is_away_is_asked_for),
		EACH(test_one_rotation_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

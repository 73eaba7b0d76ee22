/*
 * fleet_world.h - a real fleet on a loopback socket, its store and authorities,
 * and members that join and connect to it: relays and tentacles whose business
 * is the test's.  In a header, all static, because it uses server and common.
 *
 * Everything runs on one loop; a test waits for conditions by world_until().
 */
#ifndef TEST_SUPPORT_FLEET_WORLD_H
#define TEST_SUPPORT_FLEET_WORLD_H

#include "test/support/pki.h"

#include "common/fs.h"
#include "common/join.h"
#include "common/log.h"
#include "common/member.h"
#include "common/random.h"
#include "common/seal.h"
#include "common/token.h"
#include "proto/lenframe.h"
#include "server/fleet/fleet.h"
#include "server/store/token.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define GIVE_UP_MS 60000

struct world {
	char dir[64];
	struct pki pki;
	struct loop *loop;
	struct worker_pool *pool;
	struct store *store;
	struct fleet *fleet;
	struct fleet_settings settings;
	struct identity *node;
	struct loop_timer *give_up, *look;
	bool (*wanted)(void *arg);
	void *wanted_arg;
	bool gave_up;
	unsigned ups, downs, forgot, set_backs;
	char last_up[NAME_SIZE];
	struct fault last_down, last_forgot;
};

/* --- Waiting ---------------------------------------------------------------
 */

static UNUSED void world_gave_up(void *arg)
{
	struct world *w = arg;

	w->gave_up = true;
	loop_stop(w->loop);
}

/* Conditions may come true in a callback that nobody told us of. */
static UNUSED void world_look(void *arg)
{
	struct world *w = arg;

	if (w->wanted != NULL && w->wanted(w->wanted_arg))
		loop_stop(w->loop);
	else
		loop_timer_set(w->look, 1);
}

static UNUSED void world_until(
    struct world *w, bool (*wanted)(void *arg), void *arg)
{
	if (wanted(arg))
		return;
	w->wanted = wanted;
	w->wanted_arg = arg;
	loop_timer_set(w->give_up, GIVE_UP_MS);
	loop_timer_set(w->look, 0);
	loop_run(w->loop);
	loop_timer_stop(w->give_up);
	loop_timer_stop(w->look);
	w->wanted = NULL;
	if (w->gave_up)
		fail_msg("what the test waits for does not come");
}

/* --- The store, from the test ----------------------------------------------
 */

struct world_job {
	struct store_job job;
	enum rc (*fn)(struct db *db, void *arg);
	void *arg;
};

static UNUSED enum rc world_run_job(struct db *db, struct store_job *job)
{
	struct world_job *j = CONTAINER_OF(job, struct world_job, job);

	return j->fn(db, j->arg);
}

static UNUSED void world_store(
    struct world *w, enum rc (*fn)(struct db *db, void *arg), void *arg)
{
	struct world_job j = { .job.run = world_run_job, .fn = fn, .arg = arg };

	assert_int_equal(store_call(w->store, &j.job), RC_OK);
}

/* --- Life ------------------------------------------------------------------
 */

static UNUSED void world_up(void *owner, const char *machine)
{
	struct world *w = owner;

	w->ups++;
	(void)snprintf(w->last_up, sizeof(w->last_up), "%s", machine);
}

static UNUSED void world_down(
    void *owner, const char *machine, const struct fault *fault)
{
	struct world *w = owner;

	(void)machine;
	w->downs++;
	w->last_down = *fault;
}

static UNUSED void world_forgot(
    void *owner, const char *machine, const struct fault *fault)
{
	struct world *w = owner;

	(void)machine;
	w->forgot++;
	w->last_forgot = *fault;
}

static UNUSED void world_set_back(void *owner, const struct fault *fault)
{
	struct world *w = owner;

	w->set_backs++;
	w->last_forgot = *fault;
}

static const UNUSED struct fleet_ops world_ops = {
	.machine_up = world_up,
	.machine_down = world_down,
	.machine_forgot = world_forgot,
	.set_back = world_set_back,
};

static UNUSED void world_start_fleet(struct world *w)
{
	struct fleet_parts parts = {
		.loop = w->loop,
		.pool = w->pool,
		.store = w->store,
		.settings = &w->settings,
		.identity = w->node,
		.trust = w->pki.trust,
		.issuer = { .agents = w->pki.agents,
		    .roots = ca_chain(w->pki.root) },
		.incarnation = { .secs = 1700000000,
		    .random = "0123456789abcdef0123456789abcdef" },
		.ops = &world_ops,
		.owner = w,
	};
	struct fault fault;

	if (fleet_new(&parts, &w->fleet, &fault) != RC_OK)
		fail_msg("%s", fault.text);
}

static UNUSED void world_init(struct world *w)
{
	struct fault fault;

	memset(w, 0, sizeof(*w));
	log_set_level(
	    getenv("LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/longarm-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	pki_init(&w->pki, CLUSTER);
	w->node = pki_identity(&w->pki, ROLE_SERVER, "n1");
	assert_int_equal(loop_new(&w->loop), RC_OK);
	assert_int_equal(worker_pool_new(w->loop, 2, 1024, &w->pool), RC_OK);
	if (store_open(w->dir, store_post_to_loop, &w->store, &fault) != RC_OK)
		fail_msg("%s", fault.text);
	assert_int_equal(
	    loop_timer_new(w->loop, world_gave_up, w, &w->give_up), RC_OK);
	assert_int_equal(
	    loop_timer_new(w->loop, world_look, w, &w->look), RC_OK);
	fleet_settings_default(&w->settings);
	(void)snprintf(w->settings.listen.host, sizeof(w->settings.listen.host),
	    "127.0.0.1");
	w->settings.listen.port = 0;
	w->settings.presence_ms = 1;
	w->settings.link.backoff_min_ms = 1;
	w->settings.link.backoff_max_ms = 20;
	world_start_fleet(w);
}

static UNUSED void world_stop_loop(void *arg)
{
	loop_stop(((struct world *)arg)->loop);
}

static UNUSED void world_fini(struct world *w)
{
	struct fault fault;
	int tmp;

	fleet_free(w->fleet);
	store_close(w->store);
	worker_pool_free(w->pool);
	/* What the store has posted finds that nobody waits any more. */
	assert_int_equal(loop_post(w->loop, world_stop_loop, w), RC_OK);
	loop_run(w->loop);
	loop_timer_free(w->give_up);
	loop_timer_free(w->look);
	loop_free(w->loop);
	identity_free(w->node);
	pki_fini(&w->pki);
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(tmp >= 0);
	assert_int_equal(fs_remove_tree(tmp, w->dir + 5, &fault), RC_OK);
	(void)close(tmp);
}

/* --- Joining ---------------------------------------------------------------
 */

struct world_token {
	struct token token;
	struct store_token row;
};

static UNUSED enum rc world_add_token(struct db *db, void *arg)
{
	struct world_token *t = arg;

	return store_token_create(db, &t->row, NULL);
}

/* name, path: "" for none. */
static UNUSED void world_token(struct world *w, enum store_role role,
    const char *name, const char *path, struct token *out)
{
	struct world_token t = { .row.role = role };
	uint8_t root_hash[KEY_HASH_SIZE];

	assert_int_equal(
	    certs_key_hash(ca_chain(w->pki.root)->cert[0], root_hash), RC_OK);
	assert_int_equal(token_generate(CLUSTER, root_hash, &t.token), RC_OK);
	assert_int_equal(
	    token_secret_hash(t.token.secret, t.row.secret), RC_OK);
	(void)snprintf(t.row.id, sizeof(t.row.id), "%s", t.token.id);
	(void)snprintf(t.row.name, sizeof(t.row.name), "%s", name);
	(void)snprintf(
	    t.row.routes[0].path, sizeof(t.row.routes[0].path), "%s", path);
	t.row.route_count = path[0] != '\0';
	t.row.uses_left = 1;
	t.row.expires_ms = (uint64_t)(w->pki.now_s + DAY) * 1000;
	world_store(w, world_add_token, &t);
	*out = t.token;
}

struct world_join {
	struct join join;
	struct joined joined;
	struct endpoint endpoint;
	char dir[128];
	struct fault fault;
	enum rc rc;
	atomic_bool over;
	pthread_t thread;
};

static UNUSED void *world_join_thread(void *arg)
{
	struct world_join *j = arg;

	j->rc = join_run(&j->join, &j->joined, &j->fault);
	atomic_store(&j->over, true);
	return NULL;
}

static UNUSED bool world_join_over(void *arg)
{
	return atomic_load(&((struct world_join *)arg)->over);
}

/* Join in a thread of its own, as the real programs do. */
static UNUSED void world_join_with(struct world *w, struct world_join *j,
    enum peer_role role, const struct token *token)
{
	j->join = (struct join){
		.role = role,
		.state_dir = j->dir,
		.token = token,
		.endpoints = &j->endpoint,
		.endpoint_count = 1,
		.listen = "",
		.timeout_ms = GIVE_UP_MS,
	};
	link_config_default(&j->join.link);
	assert_int_equal(endpoint_parse(fleet_listen_address(w->fleet), 0,
			     &j->endpoint, &j->fault),
	    RC_OK);
	atomic_store(&j->over, false);
	assert_int_equal(
	    pthread_create(&j->thread, NULL, world_join_thread, j), 0);
	world_until(w, world_join_over, j);
	assert_int_equal(pthread_join(j->thread, NULL), 0);
}

#endif

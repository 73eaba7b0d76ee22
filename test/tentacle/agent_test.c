/*
 * A real tentacle that others dial: who may link to it, and who may open what.
 */
#include "common/fs.h"

#include "test/support/guardian.h"
#include "test/support/one_process.h"
#include "test/support/pki.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct world {
	struct pki pki;
	char dir[64], apps[80], guardian[4096];
	struct loop *loop;
	struct worker_pool *pool;
	struct link_config config;
	struct agent_settings settings;
	struct one_process sides;
	struct loop_timer *guard;
	/* Who dials it. */
	struct link_net *net;
	struct identity *identity;
	struct tls_contexts *contexts;
	struct dialler *dialler;
	struct link *link;
	unsigned downs;
	struct fault down;
	unsigned accepted, refused;
	enum reason code; /* of the last refusal */
};

static void check(struct world *w)
{
	loop_stop(w->loop);
}

static void too_late(void *arg)
{
	const struct world *w = arg;

	fail_msg("not in 30 s: %s", w->down.text);
}

/* One thing more happens. */
static void step(struct world *w)
{
	loop_timer_set(w->guard, 30000);
	loop_run(w->loop);
	loop_timer_stop(w->guard);
}

static void fill_hello(
    void *owner, const struct peer *peer, struct msg_hello *hello)
{
	(void)owner;
	(void)peer;
	hello->has_instance = true;
	memset(hello->instance.journal, 'a', ID_SIZE - 1);
	memset(hello->instance.nonce, 'b', ID_SIZE - 1);
}

static enum rc admit(void *owner, struct link *link,
    const struct msg_hello *hello, struct fault *fault)
{
	(void)owner;
	(void)link;
	(void)hello;
	(void)fault;
	return RC_OK;
}

static void on_link(
    void *owner, struct link *link, const struct link_event *event)
{
	struct world *w = owner;

	if (event->type == LINK_UP) {
		w->link = link;
	} else if (event->type == LINK_DOWN) {
		w->link = NULL;
		w->downs++;
		w->down = *event->fault;
	}
	check(w);
}

static const struct link_ops ops = {
	.hello = fill_hello,
	.admit = admit,
	.event = on_link,
};

static void world_new(struct world *w)
{
	struct msg_peer relay = { .role = ROLE_RELAY, .name = "dc2-a" };
	struct member_new member = {
		.name = "web-03",
		.peers = &relay,
		.peer_count = 1,
	};
	struct identity *identity;
	struct fault fault = { 0 };

	memset(w, 0, sizeof(*w));
	pki_init(&w->pki, CLUSTER);
	strcpy(w->dir, "/tmp/longarm-agent-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->apps, sizeof(w->apps), "%s/apps", w->dir);
	identity = pki_identity(&w->pki, ROLE_TENTACLE, MACHINE);
	member.identity = identity;
	assert_int_equal(member_create(w->dir, &member, &fault), RC_OK);
	identity_free(identity);
	assert_int_equal(loop_new(&w->loop), RC_OK);
	assert_int_equal(worker_pool_new(w->loop, 1, 100, &w->pool), RC_OK);
	assert_int_equal(
	    loop_timer_new(w->loop, too_late, w, &w->guard), RC_OK);
	link_config_default(&w->config);
	w->settings = (struct agent_settings){
		.state_dir = w->dir,
		.apps_dir = w->apps,
		.home = w->dir,
		.guardian = guardian_path(w->guardian),
		.listen = { .host = "127.0.0.1" },
		.listens = true,
		.workers = 1,
		.follow_ms = 10,
		.grace_ms = 100,
		.log_max = 1000000,
		.link = w->config,
	};
	assert_int_equal(
	    one_process_new(w->loop, &w->settings, &w->sides, &fault), RC_OK);
}

static void dial_as(struct world *w, enum peer_role role, const char *name)
{
	struct endpoint to;
	struct fault fault;
	const struct dial_spec spec = {
		.label = "web-03",
		.expect = { .roles = TRUST_ROLE(ROLE_TENTACLE),
		    .name = MACHINE },
		.endpoints = &to,
		.count = 1,
	};

	w->identity = pki_identity(&w->pki, role, name);
	assert_int_equal(
	    tls_contexts_new(w->identity, w->pki.trust, &w->contexts, &fault),
	    RC_OK);
	assert_int_equal(
	    link_net_new(w->loop, w->pool, &w->config, &ops, w, &w->net),
	    RC_OK);
	link_net_set_contexts(w->net, w->contexts);
	assert_int_equal(
	    endpoint_parse(
		listener_address(w->sides.agent->listener), 0, &to, &fault),
	    RC_OK);
	assert_int_equal(dial_new(w->net, &spec, &w->dialler), RC_OK);
	while (w->link == NULL && w->downs == 0)
		step(w);
}

static void world_free(struct world *w)
{
	const struct fault bye = { .code = REASON_DRAINING };
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY);
	struct fault fault;

	dial_free(w->dialler, &bye);
	link_net_free(w->net);
	tls_contexts_unref(w->contexts);
	identity_free(w->identity);
	one_process_free(&w->sides);
	loop_timer_free(w->guard);
	worker_pool_free(w->pool);
	loop_free(w->loop);
	pki_fini(&w->pki);
	assert_int_equal(
	    fs_remove_tree(tmp, w->dir + strlen("/tmp/"), &fault), RC_OK);
	(void)close(tmp);
}

/* --- Links ------------------------------------------------------------------
 */

static void test_servers_and_its_own_relays_may_link_and_nobody_else(
    void **state)
{
	static const struct caller {
		enum peer_role role;
		const char *name;
		bool admitted;
	} callers[] = {
		{ ROLE_SERVER, "n1", true }, { ROLE_RELAY, "dc2-a", true },
		{ ROLE_RELAY, "dc2-b", false },
		/* Machines and joiners cannot even dial one: common/tls.h. */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(callers) / sizeof(callers[0]); i++) {
		struct world w;

		world_new(&w);
		dial_as(&w, callers[i].role, callers[i].name);
		assert_int_equal(w.link != NULL, callers[i].admitted);
		if (!callers[i].admitted) {
			assert_int_equal(w.down.code, REASON_NOT_PERMITTED);
			assert_non_null(strstr(w.down.text, "web-03"));
		}
		world_free(&w);
	}
}

/* --- Streams ----------------------------------------------------------------
 */

struct probe {
	struct stream_user user;
	struct world *world;
};

static void on_probe(
    struct stream_user *user, struct link *link, const struct mux_event *event)
{
	struct world *w = ((struct probe *)user)->world;
	struct fault fault;
	bool done;

	if (event->type == MUX_ACCEPTED) {
		w->accepted++;
	} else if (event->type == MUX_RESET) {
		link_stream_fault(link, event, &fault, &done);
		w->refused++;
		w->code = fault.code;
	}
	check(w);
}

static void open_stream(
    struct world *w, struct probe *p, const struct msg_open *open)
{
	unsigned before = w->accepted + w->refused;
	uint32_t stream;

	p->user.event = on_probe;
	p->world = w;
	assert_int_equal(link_open(w->link, open, &p->user, &stream), RC_OK);
	while (w->accepted + w->refused == before)
		step(w);
}

static void test_only_seals_and_traces_to_itself_are_taken_from_whomever(
    void **state)
{
	static const struct msg_open refused[] = {
		{ .kind = KIND_SEAL,
		    .to = { .kind = TARGET_MACHINE, .name = MACHINE },
		    .service_class = CLASS_CONTROL },
		{ .kind = KIND_SEAL,
		    .to = { .kind = TARGET_MACHINE,
			.name = "7f000000000000000000000000000002" },
		    .service_class = CLASS_HEALTH },
		{ .kind = KIND_SEAL,
		    .to = { .kind = TARGET_MACHINE, .name = MACHINE },
		    .path = { .count = 1, .names = { "dc2-z" } },
		    .service_class = CLASS_HEALTH },
		{ .kind = KIND_SEAL,
		    .to = { .kind = TARGET_RELAY, .name = "dc2-a" },
		    .service_class = CLASS_CONTROL },
		{ .kind = KIND_ENROL,
		    .to = { .kind = TARGET_SERVER },
		    .service_class = CLASS_HEALTH },
		{ .kind = KIND_CHUNKS,
		    .to = { .kind = TARGET_SERVER },
		    .service_class = CLASS_BULK },
		{ .kind = KIND_TRACE,
		    .to = { .kind = TARGET_MACHINE,
			.name = "7f000000000000000000000000000002" },
		    .service_class = CLASS_CONTROL },
		{ .kind = KIND_TRACE,
		    .to = { .kind = TARGET_MACHINE, .name = MACHINE },
		    .path = { .count = 1, .names = { "dc2-z" } },
		    .service_class = CLASS_CONTROL },
		{ .kind = KIND_PEER,
		    .to = { .kind = TARGET_MACHINE, .name = MACHINE },
		    .service_class = CLASS_HEALTH },
	};
	const struct msg_open good = {
		.kind = KIND_SEAL,
		.to = { .kind = TARGET_MACHINE, .name = MACHINE },
		.service_class = CLASS_HEALTH,
		.deadline_ms = 10000,
	};
	const struct msg_open trace = {
		.kind = KIND_TRACE,
		.to = { .kind = TARGET_MACHINE, .name = MACHINE },
		.service_class = CLASS_CONTROL,
		.deadline_ms = 10000,
	};

	(void)state;
	for (int by_relay = 0; by_relay < 2; by_relay++) {
		struct world w;
		struct probe p, q;

		world_new(&w);
		dial_as(&w, by_relay ? ROLE_RELAY : ROLE_SERVER,
		    by_relay ? "dc2-a" : "n1");
		for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]);
		     i++) {
			struct msg_open open = refused[i];

			open.deadline_ms = 10000;
			open_stream(&w, &p, &open);
			assert_int_equal(w.refused, i + 1);
			assert_int_equal(w.code, REASON_NOT_PERMITTED);
		}
		open_stream(&w, &p, &good);
		assert_int_equal(w.accepted, 1);
		open_stream(&w, &q, &trace);
		assert_int_equal(w.accepted, 2);
		world_free(&w);
	}
}

static void test_a_relay_cannot_take_all_places_with_unproven_seals(
    void **state)
{
	const struct msg_open open = {
		.kind = KIND_SEAL,
		.to = { .kind = TARGET_MACHINE, .name = MACHINE },
		.service_class = CLASS_HEALTH,
		.deadline_ms = UINT32_MAX,
	};
	struct world w;
	struct probe p;

	(void)state;
	world_new(&w);
	dial_as(&w, ROLE_RELAY, "dc2-a");
	while (w.refused == 0)
		open_stream(&w, &p, &open);
	assert_int_equal(w.code, REASON_TOO_MANY);
	assert_int_equal(w.accepted, SESSIONS_OPENING_MAX);
	assert_true(w.sides.executor->session_count < SESSIONS_MAX);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_servers_and_its_own_relays_may_link_and_nobody_else),
		cmocka_unit_test(
		    test_only_seals_and_traces_to_itself_are_taken_from_whomever),
		cmocka_unit_test(
		    test_a_relay_cannot_take_all_places_with_unproven_seals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

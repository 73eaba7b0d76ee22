/*
 * relay_world.h - a real relay between a fake node and a fake tentacle, all on
 * one loop.  In a header, all static, because it uses common and relay.
 */
#ifndef TEST_SUPPORT_RELAY_WORLD_H
#define TEST_SUPPORT_RELAY_WORLD_H

#include "relay/relay.h"

#include "test/support/alloc.h"
#include "test/support/pki.h"

#include "common/fs.h"
#include "common/seal.h"
#include "common/trace.h"
#include "proto/lenframe.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define BULK_MESSAGES 200
#define BULK_LEN      16000

struct world;

struct end {
	struct world *world;
	struct link_net *net;
	struct identity *identity;
	struct tls_contexts *contexts;
	struct listener *listener;
	struct dialler *dialler;
	struct link *link; /* up */
	unsigned downs;
	struct fault down;
	char nonce;     /* of its instance */
	uint64_t start; /* the same */
};

struct world {
	struct pki pki;
	char dir[64];
	struct loop *loop;
	struct worker_pool *pool;
	struct link_config config;
	struct relay_settings settings;
	struct relay *relay;
	struct end node, tentacle, other;
	struct seal *control, *near, *far; /* near: the node's end */
	bool welcomed, acked, machine_up;
	uint64_t revoked; /* number of the list that welcome tells of */
	uint64_t ack;
	struct fault near_fault;
	bool near_closed;
	size_t got; /* bulk messages at the tentacle */
	size_t sent;
	const char *secret; /* what must not be seen on the way */
	bool seen;
	struct answer *answer;   /* the tentacle's, to a trace */
	bool answer_fails;       /* it has no memory for one */
	struct seal *far_health; /* a second one, for class health */
	bool health_open;
	uint32_t far_deadline_ms;
	size_t told; /* changes of presence that the node got */
	unsigned presence_messages;
	bool whole_told; /* and the first of them were whole */
	bool (*until)(struct world *w);
	struct loop_timer *guard;
};

static UNUSED void check(struct world *w)
{
	if (w->until != NULL && w->until(w))
		loop_stop(w->loop);
}

static UNUSED void too_late(void *arg)
{
	struct world *w = arg;

	fail_msg("not in 30 s: sent %zu, got %zu, near: %s", w->sent, w->got,
	    w->near_fault.text);
}

static UNUSED void run_until(struct world *w, bool (*until)(struct world *w))
{
	w->until = until;
	if (!until(w)) {
		loop_timer_set(w->guard, 30000);
		loop_run(w->loop);
	}
	loop_timer_stop(w->guard);
	w->until = NULL;
}

static UNUSED void fill_hello(
    void *owner, const struct peer *peer, struct msg_hello *hello)
{
	const struct end *end = owner;

	(void)peer;
	hello->has_instance = true;
	hello->instance.start = end->start;
	memset(hello->instance.journal, 'a', ID_SIZE - 1);
	memset(hello->instance.nonce, end->nonce, ID_SIZE - 1);
}

static UNUSED enum rc admit(void *owner, struct link *link,
    const struct msg_hello *hello, struct fault *fault)
{
	(void)owner;
	(void)link;
	(void)hello;
	(void)fault;
	return RC_OK;
}

static UNUSED void on_far(
    void *arg, struct seal *seal, const struct seal_event *event)
{
	struct world *w = arg;

	(void)seal;
	if (event->type == SEAL_MESSAGE)
		w->got++;
	else if (event->type == SEAL_CLOSED)
		w->far = NULL;
	check(w);
}

static UNUSED void on_far_health(
    void *arg, struct seal *seal, const struct seal_event *event)
{
	struct world *w = arg;

	(void)seal;
	if (event->type == SEAL_CLOSED)
		w->far_health = NULL;
	check(w);
}

static UNUSED void on_answer_gone(void *arg)
{
	struct world *w = arg;

	w->answer = NULL;
	check(w);
}

static UNUSED void open_answer(
    struct world *w, struct link *link, uint32_t stream)
{
	enum rc rc;

	if (w->answer_fails)
		alloc_fail_at(0);
	rc = answer_new(link, stream, on_answer_gone, w, &w->answer);
	alloc_never_fail();
	assert_int_equal(rc, w->answer_fails ? RC_NOMEM : RC_OK);
}

static UNUSED void on_link(
    void *owner, struct link *link, const struct link_event *event)
{
	struct end *end = owner;

	if (event->type == LINK_UP) {
		end->link = link;
	} else if (event->type == LINK_DOWN) {
		end->down = *event->fault;
		end->downs++;
		if (end->link == link)
			end->link = NULL;
	} else if (event->type == LINK_OPENED &&
		   event->open->kind == KIND_TRACE) {
		assert_int_equal(event->open->service_class, CLASS_CONTROL);
		open_answer(end->world, link, event->stream);
	} else if (event->type == LINK_OPENED) {
		struct world *w = end->world;
		/* The first is the bulk, or the only one. */
		bool second = w->far != NULL;
		const struct seal_user user = { .fn = second ? on_far_health
			                                     : on_far,
			.arg = end->world,
			.message_max = LENFRAME_STANDING_MAX,
			.open_ms = 10000 };

		w->far_deadline_ms = event->open->deadline_ms;
		assert_int_equal(event->open->path.count, 0);
		assert_int_equal(
		    seal_accept(link, event->stream, event->open->service_class,
			TLS_SEAL_SERVER, &user,
			second ? &w->far_health : &w->far),
		    RC_OK);
	}
	check(end->world);
}

static const struct link_ops ops = {
	.hello = fill_hello,
	.admit = admit,
	.event = on_link,
};

static UNUSED void end_new(
    struct world *w, struct end *end, enum peer_role role, const char *name)
{
	struct fault fault;

	end->world = w;
	end->nonce = end->nonce != 0 ? end->nonce : 'b';
	end->start = end->start != 0 ? end->start : 1;
	end->identity = pki_identity(&w->pki, role, name);
	assert_int_equal(tls_contexts_new(end->identity, w->pki.trust,
			     &end->contexts, &fault),
	    RC_OK);
	assert_int_equal(
	    link_net_new(w->loop, w->pool, &w->config, &ops, end, &end->net),
	    RC_OK);
	link_net_set_contexts(end->net, end->contexts);
	link_net_set_name(end->net, name);
}

static UNUSED void end_free(struct end *end)
{
	const struct fault bye = { .code = REASON_DRAINING };

	dial_free(end->dialler, &bye);
	listener_free(end->listener);
	link_net_free(end->net);
	tls_contexts_unref(end->contexts);
	identity_free(end->identity);
}

/* What the relay sees of the payload. */
static UNUSED void tap(void *arg, const uint8_t *data, size_t len)
{
	struct world *w = arg;

	if (w->secret != NULL &&
	    memmem(data, len, w->secret, strlen(w->secret)) != NULL)
		w->seen = true;
}

static UNUSED void world_new(struct world *w)
{
	const struct config_endpoint any = { .host = "127.0.0.1" };
	struct identity *relay_identity;
	struct member_new member = { .name = "dc2-a" };
	struct msg_peer server = { .role = ROLE_SERVER, .name = "n1" };
	struct fault fault = { 0 };

	memset(w, 0, sizeof(*w));
	pki_init(&w->pki, CLUSTER);
	strcpy(w->dir, "/tmp/longarm-relay-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(loop_new(&w->loop), RC_OK);
	assert_int_equal(worker_pool_new(w->loop, 1, 100, &w->pool), RC_OK);
	assert_int_equal(
	    loop_timer_new(w->loop, too_late, w, &w->guard), RC_OK);
	link_config_default(&w->config);
	w->config.backoff_min_ms = 10;
	w->config.backoff_max_ms = 50;
	end_new(w, &w->node, ROLE_SERVER, "n1");
	assert_int_equal(
	    listener_new(w->node.net, &any, &w->node.listener, &fault), RC_OK);

	relay_identity = pki_identity(&w->pki, ROLE_RELAY, "dc2-a");
	strcpy(server.endpoint, listener_address(w->node.listener));
	member.identity = relay_identity;
	member.peers = &server;
	member.peer_count = 1;
	assert_int_equal(member_create(w->dir, &member, &fault), RC_OK);
	identity_free(relay_identity);
	w->settings = (struct relay_settings){
		.state_dir = w->dir,
		.listen = any,
		.listens = true,
		.dials_up = true,
		.streams_max = 100,
		.enrols_max = 4,
		.presence_ms = 10,
		.workers = 1,
		.link = w->config,
	};
	assert_int_equal(
	    relay_new(w->loop, &w->settings, &w->relay, &fault), RC_OK);
	bridges_tap(w->relay->bridges, tap, w);
}

static UNUSED void world_free(struct world *w)
{
	const struct fault bye = { .code = REASON_DRAINING };

	w->until = NULL;
	seal_close(w->control, &bye);
	seal_close(w->near, &bye);
	seal_close(w->far, &bye);
	seal_close(w->far_health, &bye);
	end_free(&w->other);
	end_free(&w->tentacle);
	end_free(&w->node);
	relay_free(w->relay);
	loop_timer_free(w->guard);
	worker_pool_free(w->pool);
	loop_free(w->loop);
	pki_fini(&w->pki);
	{
		struct fault fault;
		int tmp = open("/tmp", O_RDONLY | O_DIRECTORY);

		assert_int_equal(
		    fs_remove_tree(tmp, w->dir + strlen("/tmp/"), &fault),
		    RC_OK);
		(void)close(tmp);
	}
}

/* --- The node's control session --------------------------------------------
 */

static UNUSED void send_packed(
    struct seal *seal, enum rc rc, struct packbuf *pack)
{
	assert_int_equal(rc, RC_OK);
	assert_int_equal(seal_send(seal, packbuf_bytes(pack)), RC_OK);
	packbuf_fini(pack);
}

static UNUSED void send_table(struct world *w, bool with_machine)
{
	struct msg_neighbour from = { .role = ROLE_SERVER, .name = "n1" };
	struct msg_table_entry entry = {
		.target = "machine/" MACHINE,
		.seq = with_machine ? 7 : 8,
		.gone = !with_machine,
		.name = "web-03",
		.how = ROUTE_DIALS_ME,
		.from = &from,
		.from_count = 1,
	};
	struct msg_table_page page = {
		.incarnation = { .secs = 1 },
		.from_seq = with_machine ? 0 : 7,
		.seq = entry.seq,
		.last = true,
		.entries = &entry,
		.entry_count = 1,
	};
	struct packbuf pack;

	if (!with_machine) {
		entry.name[0] = '\0';
		entry.from_count = 0;
	}
	memset(page.incarnation.random, 'c', ID_SIZE - 1);
	packbuf_init(&pack, LENFRAME_CONTROL_MAX);
	send_packed(w->control, msg_table_page_encode(&page, &pack), &pack);
}

static UNUSED void send_page(struct world *w, struct msg_table_page *page)
{
	struct packbuf pack;

	page->incarnation.secs = 1;
	memset(page->incarnation.random, 'c', ID_SIZE - 1);
	packbuf_init(&pack, LENFRAME_CONTROL_MAX);
	send_packed(w->control, msg_table_page_encode(page, &pack), &pack);
}

/* As if it had come in an earlier session. */
static UNUSED void apply_page(struct world *w, struct msg_table_page *page)
{
	struct fault fault;
	bool changed;

	page->incarnation.secs = 1;
	memset(page->incarnation.random, 'c', ID_SIZE - 1);
	assert_int_equal(
	    table_apply(w->relay->table, page, &changed, &fault), RC_OK);
}

/* Another relay comes (8) and goes (9) in a delta. */
static UNUSED void send_other_relay(struct world *w, bool there)
{
	struct msg_neighbour from = { .role = ROLE_SERVER, .name = "n1" };
	struct msg_table_entry entry = {
		.target = "relay/dc2-b",
		.seq = there ? 8 : 9,
		.gone = !there,
		.how = ROUTE_DIALS_ME,
		.from = &from,
		.from_count = there ? 1 : 0,
	};
	struct msg_table_page page = {
		.from_seq = there ? 7 : 8,
		.seq = entry.seq,
		.last = true,
		.entries = &entry,
		.entry_count = 1,
	};

	send_page(w, &page);
}

/* Machines, numbered from 1, as many pages as it takes. */
static UNUSED void send_many(struct world *w, unsigned count,
    void (*put)(struct world *w, struct msg_table_page *page))
{
	struct msg_neighbour from = { .role = ROLE_SERVER, .name = "n1" };
	static struct msg_table_entry entries[100];
	unsigned sent = 0;

	for (uint32_t number = 0; sent < count; number++) {
		struct msg_table_page page = {
			.seq = count,
			.page = number,
			.entries = entries,
		};

		while (page.entry_count < 100 && sent < count) {
			struct msg_table_entry *e =
			    &entries[page.entry_count++];

			*e = (struct msg_table_entry){
				.seq = ++sent,
				.how = ROUTE_DIALS_ME,
				.from = &from,
				.from_count = 1,
			};
			(void)snprintf(e->target, sizeof(e->target),
			    "machine/7f%030u", sent);
			(void)snprintf(
			    e->name, sizeof(e->name), "web-%u", sent);
		}
		page.last = sent == count;
		put(w, &page);
	}
}

/* One machine more than send_many(w, 300) sent. */
static UNUSED void send_delta(struct world *w)
{
	struct msg_neighbour from = { .role = ROLE_SERVER, .name = "n1" };
	struct msg_table_entry entry = {
		.target = "machine/" MACHINE,
		.seq = 301,
		.name = "web-301",
		.how = ROUTE_DIALS_ME,
		.from = &from,
		.from_count = 1,
	};
	struct msg_table_page page = {
		.from_seq = 300,
		.seq = 301,
		.last = true,
		.entries = &entry,
		.entry_count = 1,
	};

	entry.target[strlen(entry.target) - 1] = '9';
	entry.target[strlen(entry.target) - 2] = '9';
	entry.target[strlen(entry.target) - 3] = '9';
	send_page(w, &page);
}

static UNUSED void welcome(struct world *w)
{
	struct msg_welcome m = { .node = "n1",
		.incarnation.secs = 1,
		.revocations.agents = w->revoked };
	const struct msg_presence_sub sub = { 0 };
	struct packbuf pack;

	memset(m.incarnation.random, 'c', ID_SIZE - 1);
	packbuf_init(&pack, 4096);
	send_packed(w->control, msg_welcome_encode(&m, &pack), &pack);
	packbuf_init(&pack, 4096);
	send_packed(w->control, msg_presence_sub_encode(&sub, &pack), &pack);
}

static UNUSED void on_presence(struct world *w, struct bytes message)
{
	struct msg_presence m;
	struct fault fault;

	assert_int_equal(msg_presence_decode(message, &m, &fault), RC_OK);
	if (m.whole) {
		w->told = 0;
		w->whole_told = true;
	}
	w->told += m.change_count;
	w->presence_messages++;
	for (size_t i = 0; i < m.change_count; i++) {
		if (strcmp(m.changes[i].target, "machine/" MACHINE) == 0)
			w->machine_up = m.changes[i].up;
	}
	msg_presence_clear(&m);
}

static UNUSED void on_control(
    void *arg, struct seal *seal, const struct seal_event *event)
{
	struct world *w = arg;
	struct msg_head head;
	struct msg_table_ack ack;
	struct fault fault;

	(void)seal;
	if (event->type == SEAL_CLOSED) {
		w->control = NULL;
	} else if (event->type == SEAL_MESSAGE) {
		assert_int_equal(
		    msg_peek(event->message, &head, &fault), RC_OK);
		if (head.op == OP_GREET)
			welcome(w);
		else if (head.op == OP_CONFIRM)
			w->welcomed = true;
		else if (head.op == OP_PRESENCE)
			on_presence(w, event->message);
		else if (head.op == OP_TABLE_ACK) {
			assert_int_equal(
			    msg_table_ack_decode(event->message, &ack, &fault),
			    RC_OK);
			w->ack = ack.seq;
		}
	}
	check(w);
}

static UNUSED void open_control_by(struct world *w, struct link *link)
{
	struct msg_open open = {
		.kind = KIND_SEAL,
		.to = { .kind = TARGET_RELAY, .name = "dc2-a" },
		.service_class = CLASS_CONTROL,
		.deadline_ms = 10000,
	};
	const struct seal_far far = {
		.kind = TLS_SEAL_CLIENT,
		.contexts = w->node.contexts,
		.expect = { .roles = TRUST_ROLE(ROLE_RELAY), .name = "dc2-a" },
	};
	const struct seal_user user = { .fn = on_control,
		.arg = w,
		.message_max = LENFRAME_CONTROL_MAX,
		.open_ms = 10000 };

	assert_int_equal(
	    seal_dial(link, &open, &far, &user, &w->control), RC_OK);
}

static UNUSED void open_control(struct world *w)
{
	open_control_by(w, w->node.link);
}

/* --- The node's seal to the machine -----------------------------------------
 */

static UNUSED void on_near(
    void *arg, struct seal *seal, const struct seal_event *event)
{
	struct world *w = arg;

	(void)seal;
	if (event->type == SEAL_CLOSED) {
		w->near = NULL;
		w->near_closed = true;
		w->near_fault = *event->fault;
	} else if (event->type == SEAL_OPEN || event->type == SEAL_WRITABLE) {
		uint8_t message[BULK_LEN];

		memset(message, 'x', sizeof(message));
		memcpy(message + 5000, w->secret, strlen(w->secret));
		while (w->sent < BULK_MESSAGES &&
		       seal_send(w->near, bytes_of(message, sizeof(message))) ==
			   RC_OK)
			w->sent++;
	}
	check(w);
}

static UNUSED void open_near_as_of(
    struct world *w, enum stream_class class, struct msg_version version)
{
	struct msg_open open = {
		.kind = KIND_SEAL,
		.to = { .kind = TARGET_MACHINE, .name = MACHINE },
		.service_class = class,
		.version = version,
		.deadline_ms = 10000,
	};
	const struct seal_far far = {
		.kind = TLS_SEAL_CLIENT,
		.expect = { .roles = TRUST_ROLE(ROLE_TENTACLE),
		    .name = MACHINE },
	};
	const struct seal_user user = { .fn = on_near,
		.arg = w,
		.message_max = LENFRAME_STANDING_MAX,
		.open_ms = 10000 };

	w->near_closed = false;
	assert_int_equal(
	    seal_dial(w->node.link, &open, &far, &user, &w->near), RC_OK);
}

static UNUSED void open_near(struct world *w, enum stream_class class)
{
	open_near_as_of(w, class, (struct msg_version){ 0, 0 });
}

static UNUSED bool node_linked(struct world *w)
{
	return w->node.link != NULL;
}

static UNUSED bool is_welcomed(struct world *w)
{
	return w->welcomed;
}

static UNUSED bool has_table(struct world *w)
{
	return w->ack == 7;
}

static UNUSED bool has_other_relay(struct world *w)
{
	return w->ack == 8;
}

static UNUSED bool has_delta(struct world *w)
{
	return w->ack == 301;
}

static UNUSED bool something_told(struct world *w)
{
	return w->told > 0;
}

static UNUSED bool has_no_machine(struct world *w)
{
	return w->ack == 8;
}

static UNUSED bool machine_is_up(struct world *w)
{
	return w->machine_up;
}

static UNUSED bool machine_is_down(struct world *w)
{
	return !w->machine_up;
}

static UNUSED bool all_arrived(struct world *w)
{
	return w->got == BULK_MESSAGES;
}

static UNUSED bool seal_failed(struct world *w)
{
	return w->near_closed;
}

static UNUSED void start(struct world *w)
{
	world_new(w);
	run_until(w, node_linked);
	open_control(w);
	run_until(w, is_welcomed);
	send_table(w, true);
	run_until(w, has_table);
}

static UNUSED void join_tentacle_at(struct world *w, const char *address)
{
	struct endpoint to;
	struct fault fault;
	const struct dial_spec spec = {
		.label = "relay dc2-a",
		.expect = { .roles = TRUST_ROLE(ROLE_RELAY), .name = "dc2-a" },
		.endpoints = &to,
		.count = 1,
	};

	assert_int_equal(endpoint_parse(address, 0, &to, &fault), RC_OK);
	end_new(w, &w->tentacle, ROLE_TENTACLE, MACHINE);
	assert_int_equal(
	    dial_new(w->tentacle.net, &spec, &w->tentacle.dialler), RC_OK);
}

static UNUSED void join_tentacle(struct world *w)
{
	join_tentacle_at(w, listener_address(w->relay->listener));
}

#endif

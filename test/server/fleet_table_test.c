/*
 * What a server tells a relay of the route table when either of them was away:
 * only what is new to it, by the number that the relay greets with.  The relay
 * is a fake one with a real member's identity: it keeps the number of the last
 * page, refuses what is older, and counts what it is told.
 */
#include "test/support/fleet_world.h"

#include "common/dial.h"
#include "proto/message_control.h"
#include "server/store/machine.h"
#include "server/store/relay.h"

#define MACHINES 250
#define RELAY    "dc2-a"

struct fake {
	struct world w;
	struct world_join j;
	struct member *member;
	struct link_net *net;
	struct link_config config;
	struct dialler *dialler;
	struct seal *seal;
	bool greeted;
	/* Its table. */
	struct msg_incarnation life;
	uint64_t seq;
	uint64_t expected; /* the least that the store has */
	/* What it was told since it last was cleared. */
	unsigned pages, entries, gone, full, acks;
	uint64_t page_seq;
};

/* --- The relay -------------------------------------------------------------
 */

static void send_packed(struct fake *k, enum rc rc, struct packbuf *pack)
{
	assert_int_equal(rc, RC_OK);
	assert_int_equal(seal_send(k->seal, packbuf_bytes(pack)), RC_OK);
	packbuf_fini(pack);
}

static void ack(struct fake *k, uint64_t seq)
{
	const struct msg_table_ack m = { .seq = seq };
	struct packbuf pack;

	k->acks++;
	packbuf_init(&pack, 1024);
	send_packed(k, msg_table_ack_encode(&m, &pack), &pack);
}

static bool is_refused(const struct fake *k, const struct msg_table_page *p)
{
	bool same = p->incarnation.secs == k->life.secs;

	return (same && p->seq < k->seq) ||
	       (p->from_seq > 0 && (!same || p->from_seq > k->seq));
}

static void on_page(struct fake *k, struct bytes message)
{
	struct msg_table_page p;

	assert_int_equal(msg_table_page_decode(message, &p, NULL), RC_OK);
	assert_true(message.len <= TABLE_PAGE_BYTES_MAX);
	k->pages++;
	k->page_seq = p.seq;
	k->full += p.from_seq == 0;
	for (size_t i = 0; i < p.entry_count; i++) {
		k->gone += p.entries[i].gone;
		k->entries += !p.entries[i].gone;
	}
	if (is_refused(k, &p)) {
		if (p.page == 0)
			ack(k, p.incarnation.secs == k->life.secs ? k->seq : 0);
	} else if (p.last) {
		k->seq = p.seq;
		k->life = p.incarnation;
		ack(k, k->seq);
	}
	msg_table_page_clear(&p);
}

static void on_seal(
    void *arg, struct seal *seal, const struct seal_event *event)
{
	struct fake *k = arg;
	struct msg_welcome welcome;
	struct msg_head head;
	struct fault fault;

	if (event->type == SEAL_OPEN) {
		k->greeted = false;
		assert_int_equal(
		    member_greet(k->member, seal, 0, k->seq), RC_OK);
	} else if (event->type == SEAL_CLOSED) {
		k->seal = NULL;
	} else if (event->type == SEAL_MESSAGE && !k->greeted) {
		k->greeted = true;
		assert_int_equal(member_welcomed(k->member, seal,
				     event->message, &welcome, 0, &fault),
		    RC_OK);
	} else if (event->type == SEAL_MESSAGE) {
		assert_int_equal(msg_peek(event->message, &head, NULL), RC_OK);
		if (head.op == OP_TABLE_PAGE)
			on_page(k, event->message);
	}
}

static void fake_hello(
    void *owner, const struct peer *peer, struct msg_hello *hello)
{
	struct fake *k = owner;

	(void)peer;
	member_hello(k->member, hello);
}

static enum rc fake_admit(void *owner, struct link *link,
    const struct msg_hello *hello, struct fault *fault)
{
	(void)owner;
	(void)link;
	(void)hello;
	(void)fault;
	return RC_OK;
}

static void fake_on_link(
    void *owner, struct link *link, const struct link_event *event)
{
	struct fake *k = owner;
	const struct seal_user user = {
		.fn = on_seal,
		.arg = k,
		.message_max = LENFRAME_CONTROL_MAX,
		.open_ms = GIVE_UP_MS,
	};

	if (event->type != LINK_OPENED)
		return;
	assert_null(k->seal);
	assert_int_equal(
	    seal_accept(link, event->stream, event->open->service_class,
		TLS_SEAL_SERVER, &user, &k->seal),
	    RC_OK);
}

static const struct link_ops fake_ops = {
	.hello = fake_hello,
	.admit = fake_admit,
	.event = fake_on_link,
};

static void connect_relay(struct fake *k)
{
	struct endpoint server;
	const struct dial_spec spec = {
		.label = "server",
		.expect.roles = TRUST_ROLE(ROLE_SERVER),
		.endpoints = &server,
		.count = 1,
	};

	k->pages = k->entries = k->gone = k->full = k->acks = 0;
	assert_int_equal(
	    endpoint_parse(fleet_listen_address(k->w.fleet), 0, &server, NULL),
	    RC_OK);
	assert_int_equal(dial_new(k->net, &spec, &k->dialler), RC_OK);
}

static bool has_no_seal(void *arg)
{
	return ((struct fake *)arg)->seal == NULL;
}

static void disconnect_relay(struct fake *k)
{
	struct fault bye;

	fault_set(&bye, REASON_DRAINING, "", "the test pulls the plug");
	dial_free(k->dialler, &bye);
	k->dialler = NULL;
	world_until(&k->w, has_no_seal, k);
}

/* --- The rows --------------------------------------------------------------
 */

static void make_machine(struct db *db, unsigned number)
{
	struct store_machine m = { .enabled = true, .route_count = 1 };

	(void)snprintf(m.id, sizeof(m.id), "%032x", number);
	(void)snprintf(m.name, sizeof(m.name), "web-%u", number);
	(void)snprintf(m.routes[0].path, sizeof(m.routes[0].path), "%s", RELAY);
	assert_int_equal(store_machine_create(db, &m, NULL), RC_OK);
}

static enum rc make_machines(struct db *db, void *arg)
{
	(void)arg;
	for (unsigned i = 1; i <= MACHINES; i++)
		make_machine(db, i);
	return RC_OK;
}

static enum rc make_another(struct db *db, void *arg)
{
	(void)arg;
	make_machine(db, MACHINES + 1);
	return RC_OK;
}

static enum rc make_two_more(struct db *db, void *arg)
{
	(void)arg;
	make_machine(db, MACHINES + 1);
	make_machine(db, MACHINES + 2);
	return RC_OK;
}

static enum rc delete_one(struct db *db, void *arg)
{
	char id[STORE_ID_SIZE];

	(void)arg;
	(void)snprintf(id, sizeof(id), "%032x", 7u);
	return store_machine_delete(db, id, NULL);
}

static enum rc read_seq(struct db *db, void *arg)
{
	return store_route_seq(db, arg);
}

static uint64_t seq_of_store(struct fake *k)
{
	uint64_t seq = 0;

	world_store(&k->w, read_seq, &seq);
	return seq;
}

/* --- Setup -----------------------------------------------------------------
 */

static bool is_told_all(void *arg)
{
	struct fake *k = arg;
	struct fleet_relay_state now;

	return k->acks > 0 && k->seq >= k->expected &&
	       fleet_relay_state(k->w.fleet, RELAY, &now) == RC_OK &&
	       now.presence == STORE_PRESENCE_ONLINE &&
	       now.table_seq == k->seq && now.table_want == k->seq;
}

static int setup(void **state)
{
	struct fake *k = calloc(1, sizeof(*k));
	struct token token;
	struct fault fault;

	assert_non_null(k);
	world_init(&k->w);
	(void)snprintf(k->j.dir, sizeof(k->j.dir), "%s/relay", k->w.dir);
	world_token(&k->w, STORE_ROLE_RELAY, RELAY, "", &token);
	world_join_with(&k->w, &k->j, ROLE_RELAY, &token);
	assert_int_equal(k->j.rc, RC_OK);
	world_store(&k->w, make_machines, NULL);
	fleet_changed(k->w.fleet, FLEET_ALL, NULL);
	k->expected = seq_of_store(k);
	link_config_default(&k->config);
	k->config.backoff_min_ms = 1;
	k->config.backoff_max_ms = 20;
	assert_int_equal(member_open(k->j.dir, &k->member, &fault), RC_OK);
	assert_int_equal(link_net_new(k->w.loop, k->w.pool, &k->config,
			     &fake_ops, k, &k->net),
	    RC_OK);
	link_net_set_name(k->net, "the fake");
	link_net_set_contexts(k->net, k->member->contexts);
	connect_relay(k);
	world_until(&k->w, is_told_all, k);
	assert_int_equal(k->seq, seq_of_store(k));
	*state = k;
	return 0;
}

static int teardown(void **state)
{
	struct fake *k = *state;

	disconnect_relay(k);
	link_net_free(k->net);
	member_close(k->member);
	world_fini(&k->w);
	free(k);
	return 0;
}

/* The relay goes, and the server too; then what the test did meanwhile. */
static void restart(struct fake *k, enum rc (*fn)(struct db *db, void *arg))
{
	disconnect_relay(k);
	fleet_free(k->w.fleet);
	if (fn != NULL)
		world_store(&k->w, fn, NULL);
	world_start_fleet(&k->w);
	k->expected = seq_of_store(k);
	connect_relay(k);
	world_until(&k->w, is_told_all, k);
	assert_int_equal(k->seq, seq_of_store(k));
}

/* --- Tests -----------------------------------------------------------------
 */

static void test_a_new_relay_is_told_all_in_pages(void **state)
{
	const struct fake *k = *state;

	assert_int_equal(k->entries, MACHINES);
	assert_true(k->pages >= 3);
}

static void test_an_unchanged_relay_needs_no_push_after_the_servers_restart(
    void **state)
{
	struct fake *k = *state;

	restart(k, NULL);
	assert_int_equal(k->pages, 1);
	assert_int_equal(k->full, 0);
	assert_int_equal(k->entries + k->gone, 0);
}

static void test_after_the_servers_restart_only_what_is_new_is_told(
    void **state)
{
	struct fake *k = *state;

	restart(k, make_another);
	assert_int_equal(k->full, 0);
	assert_int_equal(k->entries, 1);
	assert_int_equal(k->gone, 0);
}

static void test_who_left_while_nobody_looked_is_told(void **state)
{
	struct fake *k = *state;

	restart(k, delete_one);
	assert_int_equal(k->full, 0);
	assert_int_equal(k->gone, 1);
	assert_int_equal(k->entries, 0);
}

static void test_a_relay_whose_log_lost_its_tail_gets_that(void **state)
{
	struct fake *k = *state;

	disconnect_relay(k);
	k->seq -= 10;
	connect_relay(k);
	world_until(&k->w, is_told_all, k);
	assert_int_equal(k->full, 0);
	assert_int_equal(k->entries, 10);
}

static bool is_told_afresh(void *arg)
{
	return ((struct fake *)arg)->acks >= 2 && is_told_all(arg);
}

static void test_a_table_of_another_database_is_replaced(void **state)
{
	struct fake *k = *state;

	disconnect_relay(k);
	k->life.secs--; /* and of the same number */
	connect_relay(k);
	world_until(&k->w, is_told_afresh, k);
	assert_true(k->full > 0);
	assert_int_equal(k->entries, MACHINES);
	assert_int_equal(k->life.secs, 1700000000);
}

static bool is_told_two(void *arg)
{
	return ((struct fake *)arg)->entries >= 2 && is_told_all(arg);
}

/* The row of the second is noticed first: the number of the first must not be
 * passed over. */
static void test_notices_out_of_order_leave_no_gap(void **state)
{
	struct fake *k = *state;
	char id[STORE_ID_SIZE];

	k->entries = 0;
	world_store(&k->w, make_two_more, NULL);
	k->expected = seq_of_store(k);
	(void)snprintf(id, sizeof(id), "%032x", MACHINES + 2u);
	fleet_changed(k->w.fleet, FLEET_MACHINE, id);
	world_until(&k->w, is_told_all, k);
	world_until(&k->w, is_told_two, k);
	assert_int_equal(k->seq, seq_of_store(k));
	assert_int_equal(k->entries, 2);
}

/* A file copied back over the database: what relays know must not win for
 * ever, nor may their numbers be given out again. */
static void test_a_database_set_back_rises_above_what_its_relays_know(
    void **state)
{
	struct fake *k = *state;
	uint64_t before = k->seq;

	disconnect_relay(k);
	k->seq += 100;
	connect_relay(k);
	world_until(&k->w, is_told_all, k);
	assert_true(k->seq > before + 100);
	assert_true(k->page_seq > before + 100);
	assert_int_equal(k->seq, seq_of_store(k));
	assert_true(k->entries >= MACHINES);
}

static bool was_pushed(void *arg)
{
	return ((struct fake *)arg)->acks > 0;
}

static void test_a_number_out_of_all_reason_raises_nothing(void **state)
{
	struct fake *k = *state;
	uint64_t before = seq_of_store(k);

	disconnect_relay(k);
	k->seq += (uint64_t)1 << 40;
	connect_relay(k);
	world_until(&k->w, was_pushed, k);
	assert_int_equal(seq_of_store(k), before);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_new_relay_is_told_all_in_pages),
		TEST(
		    test_an_unchanged_relay_needs_no_push_after_the_servers_restart),
		TEST(test_after_the_servers_restart_only_what_is_new_is_told),
		TEST(test_who_left_while_nobody_looked_is_told),
		TEST(test_a_relay_whose_log_lost_its_tail_gets_that),
		TEST(test_a_table_of_another_database_is_replaced),
		TEST(test_notices_out_of_order_leave_no_gap),
		TEST(test_a_database_set_back_rises_above_what_its_relays_know),
		TEST(test_a_number_out_of_all_reason_raises_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The fleet against members that connect for real, on a loopback socket. */
#include "test/support/fleet_world.h"

#include "common/dial.h"
#include "proto/feature.h"
#include "proto/message_control.h"
#include "server/store/audit.h"
#include "server/store/instance.h"
#include "server/store/relay.h"

#define SEALS_MAX 16
#define TICKET    "0000000000000000000000000000000a"
#define DIGEST                                                                 \
	"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* --- A member that does what the test says ---------------------------------
 */

enum fake_state {
	FAKE_FREE,
	FAKE_TLS,
	FAKE_GREETED,
	FAKE_OPEN,
};

struct fake;

struct fake_seal {
	struct fake *fake;
	struct seal *seal;
	enum fake_state state;
	enum stream_class service_class;
};

struct fake {
	struct world *w;
	struct member *member;
	struct link_net *net;
	struct dialler *dialler;
	struct link *link; /* up */
	struct link_config config;
	struct fake_seal seals[SEALS_MAX];
	unsigned accepted; /* seals, ever */
	uint64_t counter;  /* of its journal */
	/* How it behaves. */
	bool silent;        /* does not answer requests */
	unsigned hold_back; /* answers so many requests together, last first */
	uint32_t held[8];
	unsigned held_count;
	uint64_t stage_from;
	bool stage_refused;
	bool half_file;
	/* What it got. */
	unsigned requests;
	uint8_t *blob;
	uint64_t blob_len, blob_want;
	uint64_t attached_from;
	struct fake_seal *control;
	uint64_t table_seq;
	unsigned pages, entries, gone;
	bool subscribed;
	struct msg_table_entry last_entry;
	struct msg_neighbour last_from;
};

static void fake_send(struct seal *seal, enum rc rc, struct packbuf *pack)
{
	assert_int_equal(rc, RC_OK);
	assert_int_equal(seal_send(seal, packbuf_bytes(pack)), RC_OK);
	packbuf_fini(pack);
}

static void fake_answer_health(struct fake_seal *s, uint32_t id)
{
	struct msg_health_reply reply = {
		.reply.id = id,
		.state = HEALTH_WARNINGS,
		.exit_code = 7,
		.output = bytes_text("disk is nearly full"),
	};
	struct packbuf pack;

	memcpy(reply.reply.journal, s->fake->member->instance.journal, ID_SIZE);
	reply.reply.counter = s->fake->counter;
	packbuf_init(&pack, LENFRAME_STANDING_MAX);
	fake_send(s->seal, msg_health_reply_encode(&reply, &pack), &pack);
}

static void fake_health(struct fake_seal *s, uint32_t id)
{
	struct fake *k = s->fake;

	k->requests++;
	if (k->silent)
		return;
	k->held[k->held_count++] = id;
	if (k->held_count < k->hold_back)
		return;
	while (k->held_count > 0)
		fake_answer_health(s, k->held[--k->held_count]);
}

/* An artifact that is announced, and comes in part. */
static void fake_half_file(struct fake_seal *s)
{
	const struct msg_note note = { .number = 1,
		.kind = NOTE_ARTIFACT,
		.name = bytes_text("report"),
		.size = 10,
		.digest = DIGEST };
	const struct msg_piece piece = { .data = bytes_text("half") };
	struct packbuf pack;

	packbuf_init(&pack, LENFRAME_DEPLOY_MAX);
	fake_send(s->seal, msg_note_encode(&note, &pack), &pack);
	packbuf_init(&pack, LENFRAME_DEPLOY_MAX);
	fake_send(s->seal, msg_piece_encode(&piece, &pack), &pack);
}

static void fake_attach(struct fake_seal *s, struct bytes message)
{
	struct msg_attach attach;
	struct msg_output output = { .data = bytes_text("hello ") };
	struct msg_result result = {
		.state = TICKET_EXITED, .exit_code = 3, .log_size = 11
	};
	struct packbuf pack;

	assert_int_equal(msg_attach_decode(message, &attach, NULL), RC_OK);
	assert_string_equal(attach.ticket, TICKET);
	assert_string_equal(attach.task, "task-9");
	assert_int_equal(attach.epoch, 4);
	s->fake->attached_from = attach.offset;
	packbuf_init(&pack, LENFRAME_DEPLOY_MAX);
	output.offset = attach.offset;
	fake_send(s->seal, msg_output_encode(&output, &pack), &pack);
	output.offset += output.data.len;
	output.data = bytes_text("world");
	packbuf_init(&pack, LENFRAME_DEPLOY_MAX);
	fake_send(s->seal, msg_output_encode(&output, &pack), &pack);
	if (s->fake->half_file)
		fake_half_file(s);
	packbuf_init(&pack, LENFRAME_DEPLOY_MAX);
	fake_send(s->seal, msg_result_encode(&result, &pack), &pack);
}

static void fake_stage(struct fake_seal *s, struct bytes message)
{
	struct fake *k = s->fake;
	struct msg_stage_from from = { .offset = k->stage_from };
	struct msg_fault refusal = { .fault.code = REASON_NO_SPACE };
	struct msg_stage stage;
	struct packbuf pack;

	assert_int_equal(msg_stage_decode(message, &stage, NULL), RC_OK);
	assert_string_equal(stage.digest, DIGEST);
	packbuf_init(&pack, LENFRAME_DEPLOY_MAX);
	if (k->stage_refused) {
		(void)snprintf(refusal.fault.text, sizeof(refusal.fault.text),
		    "the disk is full");
		fake_send(s->seal, msg_fault_encode(&refusal, &pack), &pack);
		return;
	}
	k->blob = calloc(1, stage.size);
	assert_non_null(k->blob);
	k->blob_want = stage.size;
	k->blob_len = k->stage_from;
	fake_send(s->seal, msg_stage_from_encode(&from, &pack), &pack);
}

static void fake_piece(struct fake_seal *s, struct bytes message)
{
	struct fake *k = s->fake;
	struct msg_staged staged = { .digest = DIGEST };
	struct msg_piece piece;
	struct packbuf pack;

	assert_int_equal(msg_piece_decode(message, &piece, NULL), RC_OK);
	assert_int_equal(piece.offset, k->blob_len);
	assert_true(piece.data.len <= k->blob_want - k->blob_len);
	memcpy(k->blob + k->blob_len, piece.data.p, piece.data.len);
	k->blob_len += piece.data.len;
	if (k->blob_len < k->blob_want)
		return;
	packbuf_init(&pack, LENFRAME_DEPLOY_MAX);
	fake_send(s->seal, msg_staged_encode(&staged, &pack), &pack);
}

static void fake_table(struct fake_seal *s, struct bytes message)
{
	struct fake *k = s->fake;
	struct msg_table_page page;
	struct msg_table_ack ack;
	struct packbuf pack;

	assert_int_equal(msg_table_page_decode(message, &page, NULL), RC_OK);
	k->pages++;
	for (size_t i = 0; i < page.entry_count; i++) {
		if (page.entries[i].gone) {
			k->gone++;
			continue;
		}
		k->entries++;
		k->last_entry = page.entries[i];
		if (page.entries[i].from_count > 0)
			k->last_from = page.entries[i].from[0];
	}
	if (page.last) {
		ack.seq = k->table_seq = page.seq;
		packbuf_init(&pack, 1024);
		fake_send(s->seal, msg_table_ack_encode(&ack, &pack), &pack);
	}
	msg_table_page_clear(&page);
}

static void fake_request(struct fake_seal *s, struct bytes message)
{
	struct msg_head head;

	assert_int_equal(msg_peek(message, &head, NULL), RC_OK);
	if (head.op == OP_HEALTH)
		fake_health(s, head.id);
	else if (head.op == OP_ATTACH)
		fake_attach(s, message);
	else if (head.op == OP_STAGE)
		fake_stage(s, message);
	else if (head.op == OP_PIECE)
		fake_piece(s, message);
	else if (head.op == OP_TABLE_PAGE)
		fake_table(s, message);
	else if (head.op == OP_PRESENCE_SUB)
		s->fake->subscribed = true;
}

static void fake_on_seal(
    void *arg, struct seal *seal, const struct seal_event *event)
{
	struct fake_seal *s = arg;
	struct fake *k = s->fake;
	struct msg_welcome welcome;
	struct fault fault;

	if (event->type == SEAL_CLOSED) {
		if (k->control == s)
			k->control = NULL;
		s->state = FAKE_FREE;
	} else if (event->type == SEAL_OPEN) {
		s->state = FAKE_GREETED;
		assert_int_equal(
		    member_greet(k->member, seal, k->counter, k->table_seq),
		    RC_OK);
	} else if (event->type == SEAL_MESSAGE && s->state == FAKE_GREETED) {
		assert_int_equal(
		    member_welcomed(k->member, seal, event->message, &welcome,
			k->counter, &fault),
		    RC_OK);
		assert_string_equal(welcome.node, "n1");
		s->state = FAKE_OPEN;
		if (s->service_class == CLASS_CONTROL)
			k->control = s;
	} else if (event->type == SEAL_MESSAGE) {
		fake_request(s, event->message);
	}
}

static void fake_opened(
    struct fake *k, struct link *link, const struct link_event *event)
{
	struct seal_user user = {
		.fn = fake_on_seal,
		.message_max = LENFRAME_CONTROL_MAX,
		.open_ms = GIVE_UP_MS,
	};
	struct fake_seal *s = k->seals;

	while (s->state != FAKE_FREE)
		assert_true(++s < k->seals + SEALS_MAX);
	s->fake = k;
	s->state = FAKE_TLS;
	s->service_class = event->open->service_class;
	k->accepted++;
	user.arg = s;
	assert_int_equal(event->open->kind, KIND_SEAL);
	assert_int_equal(event->open->path.count, 0);
	assert_int_equal(seal_accept(link, event->stream, s->service_class,
			     TLS_SEAL_SERVER, &user, &s->seal),
	    RC_OK);
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
	(void)fault;
	assert_true(link_peer(link)->role == ROLE_SERVER ||
		    link_peer(link)->role == ROLE_RELAY);
	assert_true(hello->has_instance);
	return RC_OK;
}

static void fake_on_link(
    void *owner, struct link *link, const struct link_event *event)
{
	struct fake *k = owner;

	if (event->type == LINK_UP)
		k->link = link;
	else if (event->type == LINK_OPENED)
		fake_opened(k, link, event);
	else if (event->type == LINK_DOWN && k->link == link)
		k->link = NULL;
}

static const struct link_ops fake_ops = {
	.hello = fake_hello,
	.admit = fake_admit,
	.event = fake_on_link,
};

static void fake_connect(struct fake *k)
{
	struct endpoint server;
	struct dial_spec spec = {
		.label = "server",
		.expect.roles = TRUST_ROLE(ROLE_SERVER),
		.endpoints = &server,
		.count = 1,
	};

	assert_int_equal(
	    endpoint_parse(fleet_listen_address(k->w->fleet), 0, &server, NULL),
	    RC_OK);
	assert_int_equal(dial_new(k->net, &spec, &k->dialler), RC_OK);
}

static void fake_disconnect(struct fake *k)
{
	struct fault bye;

	fault_set(&bye, REASON_DRAINING, "", "the test pulls the plug");
	dial_free(k->dialler, &bye);
	k->dialler = NULL;
}

static void fake_start(struct fake *k, struct world *w, const char *dir)
{
	struct fault fault;

	memset(k, 0, sizeof(*k));
	k->w = w;
	link_config_default(&k->config);
	k->config.backoff_min_ms = 1;
	k->config.backoff_max_ms = 20;
	if (member_open(dir, &k->member, &fault) != RC_OK)
		fail_msg("%s", fault.text);
	assert_int_equal(
	    link_net_new(w->loop, w->pool, &k->config, &fake_ops, k, &k->net),
	    RC_OK);
	link_net_set_name(k->net, "the fake");
	link_net_set_contexts(k->net, k->member->contexts);
	fake_connect(k);
}

static void fake_stop(struct fake *k)
{
	fake_disconnect(k);
	link_net_free(k->net);
	member_close(k->member);
	free(k->blob);
}

/* --- Worlds with members ---------------------------------------------------
 */

static void join_as(struct world *w, struct world_join *j, enum peer_role role,
    const char *name)
{
	struct token token;

	memset(j, 0, sizeof(*j));
	(void)snprintf(j->dir, sizeof(j->dir), "%s/%s", w->dir, name);
	world_token(w,
	    role == ROLE_RELAY ? STORE_ROLE_RELAY : STORE_ROLE_TENTACLE, name,
	    "", &token);
	world_join_with(w, j, role, &token);
	if (j->rc != RC_OK)
		fail_msg("%s", j->fault.text);
	assert_string_equal(j->joined.name, name);
}

static bool machine_is_up(void *arg)
{
	return ((struct world *)arg)->ups > 0;
}

/* One machine, joined and connected. */
struct one {
	struct world w;
	struct world_join j;
	struct fake k;
	bool held; /* as the store says */
};

static int one_setup(void **state)
{
	struct one *o = calloc(1, sizeof(*o));

	assert_non_null(o);
	world_init(&o->w);
	join_as(&o->w, &o->j, ROLE_TENTACLE, "web-01");
	fake_start(&o->k, &o->w, o->j.dir);
	world_until(&o->w, machine_is_up, &o->w);
	*state = o;
	return 0;
}

static int one_teardown(void **state)
{
	struct one *o = *state;

	fake_stop(&o->k);
	world_fini(&o->w);
	free(o);
	return 0;
}

/* --- Requests --------------------------------------------------------------
 */

struct answer {
	unsigned number;
	bool came;
	enum health_state state;
	int exit_code;
	struct fault fault;
	bool may_have_arrived;
	unsigned *order;
};

static enum rc encode_health(
    void *arg, const struct fleet_call *call, struct packbuf *out)
{
	const struct msg_health health = { .id = call->id, .timeout_ms = 1000 };

	(void)arg;
	assert_true(id_is_valid(call->journal));
	assert_int_equal(call->features, FEATURE_ALL); /* it greeted */
	return msg_health_encode(&health, out);
}

static void on_reply(void *arg, const struct fleet_reply *reply)
{
	struct answer *a = arg;
	struct msg_health_reply m;

	assert_false(a->came);
	a->came = true;
	a->may_have_arrived = reply->may_have_arrived;
	if (a->order != NULL)
		a->number = ++*a->order;
	if (reply->fault != NULL) {
		a->fault = *reply->fault;
		assert_int_equal(reply->message.len, 0);
		return;
	}
	assert_int_equal(
	    msg_health_reply_decode(reply->message, &m, &a->fault), RC_OK);
	a->state = m.state;
	a->exit_code = m.exit_code;
	msg_health_reply_clear(&m);
}

static bool answer_came(void *arg)
{
	return ((struct answer *)arg)->came;
}

static struct fleet_ask *ask_health(
    struct world *w, const char *machine, struct answer *a)
{
	const struct fleet_request request = {
		.machine = machine,
		.op = OP_HEALTH,
		.encode = encode_health,
		.reply = on_reply,
		.arg = a,
	};
	struct fleet_ask *ask = NULL;

	assert_int_equal(fleet_request(w->fleet, &request, &ask), RC_OK);
	assert_false(a->came);
	return ask;
}

static void test_a_machine_joins_connects_and_answers(void **state)
{
	struct one *o = *state;
	struct answer a = { 0 };
	struct fleet_machine_state now;

	assert_string_equal(o->w.last_up, o->j.joined.id);
	ask_health(&o->w, o->j.joined.id, &a);
	world_until(&o->w, answer_came, &a);
	assert_int_equal(a.state, HEALTH_WARNINGS);
	assert_int_equal(a.exit_code, 7);
	assert_int_equal(
	    fleet_machine_state(o->w.fleet, o->j.joined.id, &now), RC_OK);
	assert_int_equal(now.presence, STORE_PRESENCE_ONLINE);
	assert_string_equal(now.name, "web-01");
	assert_string_equal(now.route, "direct");
	assert_string_equal(now.version, LONGARM_VERSION);
	assert_int_equal(now.asks, 0);
	assert_int_equal(o->k.accepted, 1);
}

static void test_many_requests_share_a_seal_and_come_in_any_order(void **state)
{
	struct one *o = *state;
	unsigned order = 0;
	struct answer a[4];

	o->k.hold_back = 4;
	for (int i = 0; i < 4; i++) {
		a[i] = (struct answer){ .order = &order };
		ask_health(&o->w, o->j.joined.id, &a[i]);
	}
	world_until(&o->w, answer_came, &a[0]);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(a[i].came);
		assert_int_equal(a[i].number, 4 - i);
	}
	assert_int_equal(o->k.accepted, 1);
}

static void test_an_unknown_machine_is_not_found(void **state)
{
	struct one *o = *state;
	struct answer a = { 0 };

	ask_health(&o->w, MACHINE, &a);
	world_until(&o->w, answer_came, &a);
	assert_int_equal(a.fault.code, REASON_NOT_FOUND);
	assert_false(a.may_have_arrived);
}

static bool request_arrived(void *arg)
{
	return ((struct fake *)arg)->requests > 0;
}

static bool machine_is_down(void *arg)
{
	return ((struct world *)arg)->downs > 0;
}

static void test_a_request_lost_with_its_link_may_have_arrived(void **state)
{
	struct one *o = *state;
	struct fleet_machine_state now;
	struct answer a = { 0 }, b = { 0 };

	o->k.silent = true;
	ask_health(&o->w, o->j.joined.id, &a);
	world_until(&o->w, request_arrived, &o->k);
	fake_disconnect(&o->k);
	world_until(&o->w, answer_came, &a);
	assert_true(a.may_have_arrived);
	assert_non_null(strstr(a.fault.text, "web-01: "));
	world_until(&o->w, machine_is_down, &o->w);
	assert_int_equal(
	    fleet_machine_state(o->w.fleet, o->j.joined.id, &now), RC_OK);
	assert_int_equal(now.presence, STORE_PRESENCE_OFFLINE);
	assert_non_null(strstr(now.fault.text, "web-01: "));
	ask_health(&o->w, o->j.joined.id, &b);
	world_until(&o->w, answer_came, &b);
	assert_false(b.may_have_arrived);
	/* And back again. */
	o->w.ups = 0;
	o->k.silent = false;
	fake_connect(&o->k);
	world_until(&o->w, machine_is_up, &o->w);
	b = (struct answer){ 0 };
	ask_health(&o->w, o->j.joined.id, &b);
	world_until(&o->w, answer_came, &b);
	assert_int_equal(b.fault.code, REASON_NONE);
}

static void test_a_request_has_a_deadline_and_can_be_cancelled(void **state)
{
	struct one *o = *state;
	struct answer a = { 0 }, cancelled = { 0 };
	const struct fleet_request request = {
		.machine = o->j.joined.id,
		.op = OP_HEALTH,
		.deadline_ms = 1000,
		.encode = encode_health,
		.reply = on_reply,
		.arg = &a,
	};
	struct fleet_ask *ask = NULL;

	o->k.silent = true;
	assert_int_equal(fleet_request(o->w.fleet, &request, &ask), RC_OK);
	ask = ask_health(&o->w, o->j.joined.id, &cancelled);
	fleet_request_cancel(ask);
	world_until(&o->w, answer_came, &a);
	assert_int_equal(a.fault.code, REASON_DEADLINE);
	assert_true(a.may_have_arrived);
	assert_false(cancelled.came);
	assert_int_equal(o->k.requests, 1);
}

static enum rc release_machine(struct db *db, void *arg)
{
	const struct store_member of = { STORE_ROLE_TENTACLE,
		((struct one *)arg)->j.joined.id };

	return store_instance_release(db, &of, NULL, NULL);
}

static enum rc read_hold(struct db *db, void *arg)
{
	struct one *o = arg;
	struct store_machine m = { .facts = NULL };

	assert_int_equal(
	    store_machine_get(db, o->j.joined.id, &m, NULL), RC_OK);
	o->held = m.hold[0] != '\0';
	store_machine_clear(&m);
	return RC_OK;
}

static bool hold_is_stored(void *arg)
{
	struct one *o = arg;

	world_store(&o->w, read_hold, o);
	return o->held;
}

static bool is_not_held(void *arg)
{
	struct one *o = arg;
	struct fleet_machine_state now;

	return fleet_machine_state(o->w.fleet, o->j.joined.id, &now) == RC_OK &&
	       now.hold[0] == '\0';
}

/* It comes again, is held, and works when an operator has released it. */
static void check_hold(struct one *o)
{
	struct fleet_machine_state now;
	struct answer a = { 0 };

	o->w.ups = o->w.forgot = 0;
	fake_disconnect(&o->k);
	fake_connect(&o->k);
	world_until(&o->w, machine_is_up, &o->w);
	ask_health(&o->w, o->j.joined.id, &a);
	world_until(&o->w, answer_came, &a);
	assert_int_equal(a.fault.code, REASON_JOURNAL);
	assert_false(a.may_have_arrived);
	assert_int_equal(
	    fleet_machine_state(o->w.fleet, o->j.joined.id, &now), RC_OK);
	assert_string_equal(now.hold, "journal");
	a = (struct answer){ 0 };
	ask_health(&o->w, o->j.joined.id, &a);
	world_until(&o->w, answer_came, &a);
	assert_int_equal(a.fault.code, REASON_JOURNAL);
	assert_string_equal(a.fault.at, "server n1");
	/* What it had begun is told to be unknown, also what waits. */
	assert_int_equal(o->w.forgot, 1);
	assert_int_equal(o->w.last_forgot.code, REASON_JOURNAL);
	/* Until an operator says that it is all right. */
	world_until(&o->w, hold_is_stored, o);
	world_store(&o->w, release_machine, o);
	fleet_changed(o->w.fleet, FLEET_MACHINE, o->j.joined.id);
	world_until(&o->w, is_not_held, o);
	a = (struct answer){ 0 };
	ask_health(&o->w, o->j.joined.id, &a);
	world_until(&o->w, answer_came, &a);
	assert_int_equal(a.fault.code, REASON_NONE);
}

static void ask_once(struct one *o)
{
	struct answer a = { 0 };

	ask_health(&o->w, o->j.joined.id, &a);
	world_until(&o->w, answer_came, &a);
	assert_int_equal(a.fault.code, REASON_NONE);
}

static void test_a_journal_that_went_back_holds_the_machine(void **state)
{
	struct one *o = *state;

	o->k.counter = 10;
	ask_once(o);
	o->k.counter = 9;
	check_hold(o);
	/* From now on this is how far it is. */
	o->k.counter = 8;
	check_hold(o);
}

static void test_another_journal_holds_the_machine(void **state)
{
	struct one *o = *state;

	o->k.counter = 10;
	ask_once(o);
	memset(o->k.member->instance.journal, 'e', ID_SIZE - 1);
	o->k.counter = 20;
	check_hold(o);
	o->k.counter = 19;
	check_hold(o);
}

static void test_in_quarantine_the_journal_that_was_known_stays_so(void **state)
{
	struct one *o = *state;
	struct fleet_machine_state now;
	char journal[ID_SIZE];

	o->k.counter = 10;
	ask_once(o);
	memcpy(journal, o->k.member->instance.journal, ID_SIZE);
	memset(o->k.member->instance.journal, 'e', ID_SIZE - 1);
	o->k.member->quarantine = true;
	o->k.member->instance.start++;
	o->k.counter = 0;
	o->w.ups = 0;
	fake_disconnect(&o->k);
	fake_connect(&o->k);
	world_until(&o->w, machine_is_up, &o->w);
	ask_once(o);
	assert_int_equal(
	    fleet_machine_state(o->w.fleet, o->j.joined.id, &now), RC_OK);
	assert_string_equal(now.hold, "");
	/* An older copy of the true one comes back. */
	memcpy(o->k.member->instance.journal, journal, ID_SIZE);
	o->k.member->quarantine = false;
	o->k.member->instance.start++;
	o->k.counter = 9;
	check_hold(o);
}

/* --- Following -------------------------------------------------------------
 */

struct followed {
	char text[64];
	size_t len;
	uint64_t next;
	bool ended;
	int exit_code;
	struct fault fault;
};

static void on_output(void *arg, uint64_t offset, struct bytes data)
{
	struct followed *f = arg;

	assert_int_equal(offset, f->next);
	assert_true(f->len + data.len < sizeof(f->text));
	memcpy(f->text + f->len, data.p, data.len);
	f->len += data.len;
	f->next += data.len;
}

static void on_result(void *arg, const struct msg_result *result)
{
	struct followed *f = arg;

	f->ended = true;
	f->exit_code = result->exit_code;
}

static void on_lost(void *arg, const struct fault *fault)
{
	struct followed *f = arg;

	f->ended = true;
	f->fault = *fault;
}

static bool has_ended(void *arg)
{
	return ((struct followed *)arg)->ended;
}

static void test_a_ticket_is_followed_from_an_offset_to_its_result(void **state)
{
	struct one *o = *state;
	struct followed got = { .next = 100 };
	const struct fleet_attach attach = {
		.machine = o->j.joined.id,
		.ticket = TICKET,
		.task = "task-9",
		.epoch = 4,
		.offset = 100,
		.output = on_output,
		.result = on_result,
		.down = on_lost,
		.arg = &got,
	};
	struct fleet_follow *follow;

	assert_int_equal(fleet_attach(o->w.fleet, &attach, &follow), RC_OK);
	world_until(&o->w, has_ended, &got);
	assert_int_equal(got.fault.code, REASON_NONE);
	assert_int_equal(o->k.attached_from, 100);
	assert_string_equal(got.text, "hello world");
	assert_int_equal(got.exit_code, 3);
}

static void on_half_note(void *arg, const struct msg_note *note)
{
	(void)arg;
	assert_int_equal(note->kind, NOTE_ARTIFACT);
}

static void on_half_piece(void *arg, uint64_t offset, struct bytes data)
{
	(void)arg;
	assert_int_equal(offset, 0);
	assert_int_equal(data.len, 4);
}

static void test_a_result_in_the_middle_of_a_file_is_not_taken(void **state)
{
	struct one *o = *state;
	struct followed got = { .exit_code = -1 };
	const struct fleet_attach attach = {
		.machine = o->j.joined.id,
		.ticket = TICKET,
		.task = "task-9",
		.epoch = 4,
		.output = on_output,
		.note = on_half_note,
		.piece = on_half_piece,
		.result = on_result,
		.down = on_lost,
		.arg = &got,
	};
	struct fleet_follow *follow;

	o->k.half_file = true;
	assert_int_equal(fleet_attach(o->w.fleet, &attach, &follow), RC_OK);
	world_until(&o->w, has_ended, &got);
	assert_int_equal(got.fault.code, REASON_PROTOCOL);
	assert_int_equal(got.exit_code, -1);
}

static void test_following_nobody_is_told_as_down(void **state)
{
	struct one *o = *state;
	struct followed got = { .next = 0 };
	const struct fleet_attach attach = {
		.machine = MACHINE,
		.ticket = TICKET,
		.task = "task-9",
		.output = on_output,
		.result = on_result,
		.down = on_lost,
		.arg = &got,
	};
	struct fleet_follow *follow;

	assert_int_equal(fleet_attach(o->w.fleet, &attach, &follow), RC_OK);
	assert_false(got.ended);
	world_until(&o->w, has_ended, &got);
	assert_int_equal(got.fault.code, REASON_NOT_FOUND);
	assert_int_equal(fleet_attach(o->w.fleet, &attach, &follow), RC_OK);
	fleet_detach(follow);
}

static void test_scripts_are_followed_whatever_packages_are_on_their_way(
    void **state)
{
	struct one *o = *state;
	struct followed got = { .next = 0 };
	const struct fleet_attach attach = {
		.machine = MACHINE,
		.ticket = TICKET,
		.task = "task-9",
		.output = on_output,
		.result = on_result,
		.down = on_lost,
		.arg = &got,
	};
	const struct fleet_stage stage = {
		.machine = MACHINE,
		.digest = "",
		.size = 1,
		.name = "",
		.version = "",
		.fd = open("/dev/null", O_RDONLY | O_CLOEXEC),
	};
	struct fleet_follow *one, *other;
	struct fleet_bring *bring;

	o->w.settings.deploy_max = 1;
	assert_int_equal(fleet_stage(o->w.fleet, &stage, &bring), RC_OK);
	assert_int_equal(fleet_attach(o->w.fleet, &attach, &one), RC_OK);
	assert_int_equal(fleet_attach(o->w.fleet, &attach, &other), RC_LIMIT);
	fleet_detach(one);
	assert_int_equal(fleet_attach(o->w.fleet, &attach, &other), RC_OK);
	fleet_detach(other);
	fleet_stage_cancel(bring);
}

/* --- Staging ---------------------------------------------------------------
 */

#define BLOB_SIZE ((size_t)1500000)

struct staged {
	bool ended;
	uint64_t told;
	struct fault fault;
};

static void on_progress(void *arg, uint64_t sent, uint64_t size)
{
	struct staged *s = arg;

	assert_true(sent >= s->told && sent <= size);
	s->told = sent;
}

static void on_staged(void *arg, const struct fault *fault)
{
	struct staged *s = arg;

	s->ended = true;
	if (fault != NULL)
		s->fault = *fault;
}

static bool staging_ended(void *arg)
{
	return ((struct staged *)arg)->ended;
}

static int blob_file(struct world *w, uint8_t *data)
{
	char path[128];
	int fd;

	for (size_t i = 0; i < BLOB_SIZE; i++)
		data[i] = (uint8_t)(i * 7919 >> 5);
	(void)snprintf(path, sizeof(path), "%s/blob", w->dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, data, BLOB_SIZE), RC_OK);
	return fd;
}

static struct staged stage(struct one *o, int fd)
{
	struct staged got = { 0 };
	const struct fleet_stage stage = {
		.machine = o->j.joined.id,
		.digest = DIGEST,
		.size = BLOB_SIZE,
		.name = "web",
		.version = "1.0",
		.fd = fd,
		.progress = on_progress,
		.done = on_staged,
		.arg = &got,
	};
	struct fleet_bring *bring;

	assert_int_equal(fleet_stage(o->w.fleet, &stage, &bring), RC_OK);
	world_until(&o->w, staging_ended, &got);
	return got;
}

static void test_a_blob_is_brought_from_where_it_stopped(void **state)
{
	struct one *o = *state;
	uint8_t *data = malloc(BLOB_SIZE);
	struct staged got;

	assert_non_null(data);
	o->k.stage_from = 123457;
	got = stage(o, blob_file(&o->w, data));
	if (got.fault.code != REASON_NONE)
		fail_msg("%s", got.fault.text);
	assert_int_equal(got.told, BLOB_SIZE);
	assert_int_equal(o->k.blob_len, BLOB_SIZE);
	assert_memory_equal(o->k.blob + o->k.stage_from, data + o->k.stage_from,
	    BLOB_SIZE - o->k.stage_from);
	free(data);
}

static void test_what_a_machine_refuses_is_told_in_its_words(void **state)
{
	struct one *o = *state;
	uint8_t *data = malloc(BLOB_SIZE);
	struct staged got;

	assert_non_null(data);
	o->k.stage_refused = true;
	got = stage(o, blob_file(&o->w, data));
	assert_int_equal(got.fault.code, REASON_NO_SPACE);
	assert_string_equal(got.fault.text, "web-01: the disk is full");
	assert_string_equal(got.fault.at, "machine web-01");
	free(data);
}

/* --- Joining ---------------------------------------------------------------
 */

static void test_a_wrong_token_is_refused_with_words(void **state)
{
	struct world w;
	struct world_join j;
	struct token token;

	(void)state;
	world_init(&w);
	memset(&j, 0, sizeof(j));
	(void)snprintf(j.dir, sizeof(j.dir), "%s/bad", w.dir);
	world_token(&w, STORE_ROLE_TENTACLE, "", "", &token);
	token.secret[0] ^= 1;
	world_join_with(&w, &j, ROLE_TENTACLE, &token);
	assert_int_equal(j.rc, RC_DENIED);
	assert_int_equal(j.fault.code, REASON_TOKEN);
	assert_non_null(strstr(j.fault.text, "not known"));
	/* The right one, for another role. */
	token.secret[0] ^= 1;
	world_join_with(&w, &j, ROLE_RELAY, &token);
	assert_int_equal(j.fault.code, REASON_TOKEN);
	/* And right. */
	world_join_with(&w, &j, ROLE_TENTACLE, &token);
	if (j.rc != RC_OK)
		fail_msg("%s", j.fault.text);
	assert_true(name_is_valid(j.joined.name));
	/* It is used up. */
	(void)snprintf(j.dir, sizeof(j.dir), "%s/second", w.dir);
	world_join_with(&w, &j, ROLE_TENTACLE, &token);
	assert_int_equal(j.rc, RC_DENIED);
	world_fini(&w);
}

static enum rc read_rows(struct db *db, void *arg)
{
	struct one *o = arg;
	struct store_machine m = { .facts = NULL };
	struct store_instance instance;
	struct store_audit *audit = NULL;
	const struct page page = { .limit = 10 };
	uint8_t none[STORE_SHA256_SIZE] = { 0 };
	size_t count;

	assert_int_equal(store_machine_get(db, "web-01", &m, NULL), RC_OK);
	assert_string_equal(m.id, o->j.joined.id);
	assert_int_equal(m.route_count, 1);
	assert_string_equal(m.routes[0].path, "direct");
	assert_string_equal(m.routes[0].endpoint, "");
	store_machine_clear(&m);
	assert_int_equal(
	    store_instance_get(db,
		&(struct store_member){ STORE_ROLE_TENTACLE, m.id }, &instance),
	    RC_OK);
	assert_memory_not_equal(instance.succession, none, sizeof(none));
	assert_true(o->k.member->has_succession);
	assert_memory_equal(instance.succession, o->k.member->succession,
	    sizeof(instance.succession));
	assert_int_equal(store_audit_list(db, &page, &audit, &count), RC_OK);
	assert_int_equal(count, 1);
	assert_string_equal(audit[0].action, "machine.enrol");
	assert_string_equal(audit[0].object, "machine web-01");
	store_audits_free(audit, count);
	return RC_OK;
}

static void test_what_joined_is_in_the_store_and_in_the_audit(void **state)
{
	struct one *o = *state;

	world_store(&o->w, read_rows, o);
}

static void test_a_fleet_that_starts_again_knows_its_machines(void **state)
{
	struct one *o = *state;
	struct answer a = { 0 };
	char address[ADDRESS_TEXT_MAX];

	(void)snprintf(
	    address, sizeof(address), "%s", fleet_listen_address(o->w.fleet));
	fleet_free(o->w.fleet);
	o->w.fleet = NULL;
	o->w.ups = 0;
	o->w.settings.listen.port =
	    (uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10);
	world_start_fleet(&o->w);
	/* The machine dials until it is there again. */
	world_until(&o->w, machine_is_up, &o->w);
	ask_health(&o->w, o->j.joined.id, &a);
	world_until(&o->w, answer_came, &a);
	assert_int_equal(a.fault.code, REASON_NONE);
}

static enum rc delete_machine(struct db *db, void *arg)
{
	struct one *o = arg;

	return store_machine_delete(db, o->j.joined.id, NULL);
}

static bool link_is_gone(void *arg)
{
	return ((struct fake *)arg)->link == NULL;
}

static void test_a_machine_that_is_removed_is_cut_off(void **state)
{
	struct one *o = *state;
	struct answer a = { 0 };

	o->k.silent = true;
	ask_health(&o->w, o->j.joined.id, &a);
	world_until(&o->w, request_arrived, &o->k);
	world_store(&o->w, delete_machine, o);
	fleet_changed(o->w.fleet, FLEET_MACHINE, o->j.joined.id);
	world_until(&o->w, answer_came, &a);
	assert_int_equal(a.fault.code, REASON_NOT_FOUND);
	world_until(&o->w, link_is_gone, &o->k);
}

/* --- Relays ----------------------------------------------------------------
 */

/* What a joiner does, on a stream that the relay's link carries. */
struct inner {
	struct world *w;
	struct identity *identity;
	struct trust *trust;
	struct tls_contexts *contexts;
	struct token token;
	struct seal *seal;
	bool over;
	struct msg_head head;
	char id[NAME_SIZE];
	unsigned entries_then; /* that the relay had when the answer came */
	struct fake *relay;
	struct fault fault;
};

static void inner_ask(struct inner *i)
{
	struct msg_enrol m = {
		.secret = bytes_of(i->token.secret, sizeof(i->token.secret)),
		.role = ROLE_TENTACLE,
		.hostname = bytes_text("web 01!"),
		.version = bytes_text("0.1.0"),
	};
	struct packbuf pack;
	uint8_t *csr;

	assert_int_equal(identity_csr(i->identity, &csr, &m.csr.len), RC_OK);
	m.csr.p = csr;
	(void)snprintf(m.token_id, sizeof(m.token_id), "%s", i->token.id);
	packbuf_init(&pack, LENFRAME_ENROL_MAX);
	fake_send(i->seal, msg_enrol_encode(&m, &pack), &pack);
	free(csr);
}

static void inner_on_seal(
    void *arg, struct seal *seal, const struct seal_event *event)
{
	struct inner *i = arg;
	struct msg_enrolled m;

	(void)seal;
	if (event->type == SEAL_OPEN) {
		inner_ask(i);
	} else if (event->type == SEAL_MESSAGE) {
		assert_int_equal(
		    msg_peek(event->message, &i->head, NULL), RC_OK);
		i->entries_then = i->relay->entries;
		if (i->head.op == OP_ENROLLED) {
			assert_int_equal(
			    msg_enrolled_decode(event->message, &m, &i->fault),
			    RC_OK);
			memcpy(i->id, m.id, sizeof(i->id));
			assert_string_equal(m.name, "web-01-");
			assert_int_equal(m.peer_count, 2);
			assert_int_equal(m.peers[1].role, ROLE_RELAY);
			assert_string_equal(m.peers[1].name, "dc2-a");
			msg_enrolled_clear(&m);
		}
		i->over = true;
	} else if (event->type == SEAL_CLOSED) {
		i->seal = NULL;
		i->over = true;
		i->fault = *event->fault;
	}
}

static bool inner_is_over(void *arg)
{
	return ((struct inner *)arg)->over;
}

static void enrol_through(struct inner *i, const char *passed)
{
	struct msg_open open = {
		.kind = KIND_ENROL,
		.to = { .kind = TARGET_SERVER },
		.service_class = CLASS_HEALTH,
		.deadline_ms = GIVE_UP_MS,
	};
	struct seal_far far = {
		.kind = TLS_ENROL_CLIENT,
		.expect = { .roles = TRUST_ROLE(ROLE_SERVER) },
	};
	const struct seal_user user = {
		.fn = inner_on_seal,
		.arg = i,
		.message_max = LENFRAME_ENROL_MAX,
		.open_ms = GIVE_UP_MS,
	};

	assert_int_equal(identity_generate(&i->identity), RC_OK);
	world_token(i->w, STORE_ROLE_TENTACLE, "", "", &i->token);
	assert_int_equal(
	    trust_new_pinned(CLUSTER, i->token.root_hash, &i->trust), RC_OK);
	assert_int_equal(
	    tls_contexts_new(NULL, i->trust, &i->contexts, NULL), RC_OK);
	far.contexts = i->contexts;
	assert_int_equal(path_append(&open.passed, passed), RC_OK);
	assert_int_equal(
	    seal_dial(i->relay->link, &open, &far, &user, &i->seal), RC_OK);
	world_until(i->w, inner_is_over, i);
}

static void inner_fini(struct inner *i)
{
	seal_close(i->seal, NULL);
	tls_contexts_unref(i->contexts);
	trust_unref(i->trust);
	identity_free(i->identity);
}

static bool relay_is_ready(void *arg)
{
	return ((struct fake *)arg)->subscribed;
}

static bool relay_is_online(void *arg)
{
	struct world *w = arg;
	struct fleet_relay_state now;

	return fleet_relay_state(w->fleet, "dc2-a", &now) == RC_OK &&
	       now.presence == STORE_PRESENCE_ONLINE &&
	       now.table_seq == now.table_want;
}

static int relay_setup(void **state)
{
	struct one *o = calloc(1, sizeof(*o));

	assert_non_null(o);
	world_init(&o->w);
	join_as(&o->w, &o->j, ROLE_RELAY, "dc2-a");
	fake_start(&o->k, &o->w, o->j.dir);
	world_until(&o->w, relay_is_ready, &o->k);
	world_until(&o->w, relay_is_online, &o->w);
	*state = o;
	return 0;
}

static void tell_presence(struct fake *k, const char *machine, bool up)
{
	struct msg_presence_change change = { .up = up, .start = 1 };
	const struct msg_presence presence = { .changes = &change,
		.change_count = 1 };
	struct packbuf pack;

	(void)snprintf(
	    change.target, sizeof(change.target), "machine/%s", machine);
	if (!up)
		fault_set(&change.reason, REASON_REFUSED, "dc2-a",
		    "web-01-: connection refused at 10.0.0.3:10933");
	packbuf_init(&pack, LENFRAME_CONTROL_MAX);
	fake_send(
	    k->control->seal, msg_presence_encode(&presence, &pack), &pack);
}

static void test_a_machine_behind_a_relay_joins_after_its_route_is_known(
    void **state)
{
	struct one *o = *state;
	struct inner i = { .w = &o->w, .relay = &o->k };
	struct fleet_machine_state now;
	struct buf text;

	enrol_through(&i, "dc2-a");
	if (i.head.op != OP_ENROLLED)
		fail_msg("%s", i.fault.text);
	assert_int_equal(i.entries_then, 1);
	assert_int_equal(o->k.last_entry.how, ROUTE_DIALS_ME);
	assert_string_equal(o->k.last_entry.name, "web-01-");
	assert_int_equal(o->k.last_from.role, ROLE_SERVER);
	assert_string_equal(o->k.last_from.name, "n1");
	/* Presence as the relay tells it. */
	tell_presence(&o->k, i.id, true);
	world_until(&o->w, machine_is_up, &o->w);
	tell_presence(&o->k, i.id, false);
	world_until(&o->w, machine_is_down, &o->w);
	assert_string_equal(o->w.last_down.text,
	    "relay dc2-a says: web-01-: connection refused at "
	    "10.0.0.3:10933");
	buf_init(&text, 4096);
	assert_int_equal(fleet_explain(o->w.fleet, i.id, &text), RC_OK);
	assert_non_null(strstr((char *)text.data, "1. dc2-a"));
	assert_non_null(strstr((char *)text.data, "connection refused"));
	buf_fini(&text);
	/* Without the relay nothing is known. */
	tell_presence(&o->k, i.id, true);
	o->w.ups = o->w.downs = 0;
	world_until(&o->w, machine_is_up, &o->w);
	fake_disconnect(&o->k);
	world_until(&o->w, machine_is_down, &o->w);
	assert_int_equal(fleet_machine_state(o->w.fleet, i.id, &now), RC_OK);
	assert_int_equal(now.presence, STORE_PRESENCE_UNKNOWN);
	inner_fini(&i);
}

static void test_a_way_that_is_told_wrong_is_refused(void **state)
{
	struct one *o = *state;
	struct inner i = { .w = &o->w, .relay = &o->k };

	enrol_through(&i, "dc2-b");
	assert_int_equal(i.fault.code, REASON_NO_ROUTE);
	inner_fini(&i);
}

static enum rc delete_inner(struct db *db, void *arg)
{
	return store_machine_delete(db, ((struct inner *)arg)->id, NULL);
}

static bool relay_heard_gone(void *arg)
{
	return ((struct fake *)arg)->gone > 0;
}

static void test_a_relay_that_comes_back_gets_only_what_changed(void **state)
{
	struct one *o = *state;
	struct inner i = { .w = &o->w, .relay = &o->k };
	unsigned entries;

	enrol_through(&i, "dc2-a");
	assert_int_equal(i.head.op, OP_ENROLLED);
	world_until(&o->w, relay_is_online, &o->w);
	inner_fini(&i);
	entries = o->k.entries;
	fake_disconnect(&o->k);
	o->k.subscribed = false;
	world_until(&o->w, link_is_gone, &o->k);
	world_store(&o->w, delete_inner, &i);
	fleet_changed(o->w.fleet, FLEET_MACHINE, i.id);
	fake_connect(&o->k);
	world_until(&o->w, relay_heard_gone, &o->k);
	assert_int_equal(o->k.entries, entries);
	assert_int_equal(o->k.gone, 1);
}

static bool relay_is_not_linked(void *arg)
{
	struct world *w = arg;
	struct fleet_relay_state now;

	return fleet_relay_state(w->fleet, "dc2-a", &now) == RC_OK &&
	       !now.linked;
}

static void test_a_request_without_its_relay_says_so(void **state)
{
	struct one *o = *state;
	struct inner i = { .w = &o->w, .relay = &o->k };
	struct answer a = { 0 };

	enrol_through(&i, "dc2-a");
	inner_fini(&i);
	fake_disconnect(&o->k);
	world_until(&o->w, relay_is_not_linked, &o->w);
	ask_health(&o->w, i.id, &a);
	world_until(&o->w, answer_came, &a);
	assert_int_equal(a.fault.code, REASON_DRAINING); /* it said so */
	assert_non_null(
	    strstr(a.fault.text, "web-01-: relay dc2-a is not connected"));
	assert_false(a.may_have_arrived);
}

#define MACHINE_TEST(f)                                                        \
	cmocka_unit_test_setup_teardown(f, one_setup, one_teardown)
#define RELAY_TEST(f)                                                          \
	cmocka_unit_test_setup_teardown(f, relay_setup, one_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MACHINE_TEST(test_a_machine_joins_connects_and_answers),
		MACHINE_TEST(
		    test_many_requests_share_a_seal_and_come_in_any_order),
		MACHINE_TEST(test_an_unknown_machine_is_not_found),
		MACHINE_TEST(
		    test_a_request_lost_with_its_link_may_have_arrived),
		MACHINE_TEST(
		    test_a_request_has_a_deadline_and_can_be_cancelled),
		MACHINE_TEST(test_a_journal_that_went_back_holds_the_machine),
		MACHINE_TEST(test_another_journal_holds_the_machine),
		MACHINE_TEST(
		    test_in_quarantine_the_journal_that_was_known_stays_so),
		MACHINE_TEST(
		    test_a_ticket_is_followed_from_an_offset_to_its_result),
		MACHINE_TEST(
		    test_a_result_in_the_middle_of_a_file_is_not_taken),
		MACHINE_TEST(test_following_nobody_is_told_as_down),
		MACHINE_TEST(
		    test_scripts_are_followed_whatever_packages_are_on_their_way),
		MACHINE_TEST(test_a_blob_is_brought_from_where_it_stopped),
		MACHINE_TEST(test_what_a_machine_refuses_is_told_in_its_words),
		cmocka_unit_test(test_a_wrong_token_is_refused_with_words),
		MACHINE_TEST(test_what_joined_is_in_the_store_and_in_the_audit),
		MACHINE_TEST(test_a_fleet_that_starts_again_knows_its_machines),
		MACHINE_TEST(test_a_machine_that_is_removed_is_cut_off),
		RELAY_TEST(
		    test_a_machine_behind_a_relay_joins_after_its_route_is_known),
		RELAY_TEST(test_a_way_that_is_told_wrong_is_refused),
		RELAY_TEST(test_a_relay_that_comes_back_gets_only_what_changed),
		RELAY_TEST(test_a_request_without_its_relay_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

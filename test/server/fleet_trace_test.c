/*
 * A trace as the server sees it: what an honest relay says, and what one says
 * that lies, mumbles, refuses or falls silent.
 */
#include "test/support/fleet_world.h"

#include "common/dial.h"
#include "server/fleet/trace.h"
#include "server/store/machine.h"
#include "server/store/relay.h"

#define HEARD_MAX 32

struct heard {
	unsigned count, done;
	struct fleet_hop hops[HEARD_MAX]; /* without their borrowed texts */
	char version[MSG_VERSION_MAX + 1];
	struct fault end;
};

struct stage {
	struct world w;
	struct link_net *net;
	struct identity *identity;
	struct tls_contexts *contexts;
	struct dialler *dialler;
	struct link *link; /* of the relay that we play */
	bool closes;       /* it refuses traces */
	uint32_t stream;   /* that it was asked on; 0: none */
	struct stream_user user;
	struct heard heard;
	struct fleet_trace *trace;
};

static void fill_hello(
    void *owner, const struct peer *peer, struct msg_hello *hello)
{
	(void)owner;
	(void)peer;
	hello->has_instance = true;
	hello->instance.start = 1;
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

static void on_stream(
    struct stream_user *user, struct link *link, const struct mux_event *event)
{
	struct stage *s = CONTAINER_OF(user, struct stage, user);

	(void)link;
	if (event->type == MUX_RESET || event->type == MUX_BROKEN ||
	    event->type == MUX_CLOSED)
		s->stream = 0;
}

static void on_opened(
    struct stage *s, struct link *link, const struct link_event *event)
{
	const struct msg_accept accept = { .credit = 0 };
	struct fault fault;

	if (event->open->kind != KIND_TRACE || s->closes) {
		fault_set(&fault, REASON_NOT_PERMITTED, "dc2-a", "not by me");
		link_reset(link, event->stream, &fault, false);
		return;
	}
	assert_int_equal(event->open->service_class, CLASS_CONTROL);
	assert_int_equal(event->open->path.count, 0);
	assert_string_equal(event->open->to.name, MACHINE);
	s->stream = event->stream;
	assert_int_equal(
	    link_accept(link, event->stream, CLASS_CONTROL, &accept, &s->user),
	    RC_OK);
}

static void on_link(
    void *owner, struct link *link, const struct link_event *event)
{
	struct stage *s = owner;

	if (event->type == LINK_UP)
		s->link = link;
	else if (event->type == LINK_OPENED)
		on_opened(s, link, event);
	else if (event->type == LINK_DOWN && s->link == link)
		s->link = NULL;
}

static const struct link_ops ops = {
	.hello = fill_hello,
	.admit = admit,
	.event = on_link,
};

static enum rc add_rows(struct db *db, void *arg)
{
	struct store_relay r = { .name = "dc2-a", .enabled = true };
	struct store_machine m = { .name = "web-03",
		.id = MACHINE,
		.enabled = true,
		.route_count = 1 };
	enum rc rc;

	(void)arg;
	r.route_count = 1;
	strcpy(r.routes[0].path, "direct");
	strcpy(m.routes[0].path, "dc2-a");
	strcpy(m.routes[0].endpoint, "10.0.0.3:10933");
	rc = store_relay_create(db, &r, NULL);
	return rc == RC_OK ? store_machine_create(db, &m, NULL) : rc;
}

static bool relay_is_linked(void *arg)
{
	struct stage *s = arg;
	struct fleet_relay_state state;

	return s->link != NULL &&
	       fleet_relay_state(s->w.fleet, "dc2-a", &state) == RC_OK &&
	       state.linked;
}

static void stage_net(struct stage *s)
{
	struct endpoint to;
	struct fault fault;
	const struct dial_spec spec = {
		.label = "server n1", .endpoints = &to, .count = 1
	};

	s->user.event = on_stream;
	s->identity = pki_identity(&s->w.pki, ROLE_RELAY, "dc2-a");
	assert_int_equal(
	    tls_contexts_new(s->identity, s->w.pki.trust, &s->contexts, &fault),
	    RC_OK);
	assert_int_equal(link_net_new(s->w.loop, s->w.pool, &s->w.settings.link,
			     &ops, s, &s->net),
	    RC_OK);
	link_net_set_contexts(s->net, s->contexts);
	assert_int_equal(
	    endpoint_parse(fleet_listen_address(s->w.fleet), 0, &to, &fault),
	    RC_OK);
	assert_int_equal(dial_new(s->net, &spec, &s->dialler), RC_OK);
}

static int setup(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	world_init(&s->w);
	world_store(&s->w, add_rows, NULL);
	fleet_changed(s->w.fleet, FLEET_ALL, "");
	stage_net(s);
	world_until(&s->w, relay_is_linked, s);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	const struct fault bye = { .code = REASON_DRAINING };
	struct stage *s = *state;

	dial_free(s->dialler, &bye);
	link_net_free(s->net);
	tls_contexts_unref(s->contexts);
	identity_free(s->identity);
	world_fini(&s->w);
	free(s);
	return 0;
}

/* --- Asking and saying ------------------------------------------------------
 */

static void on_hop(void *arg, const struct fleet_hop *hop)
{
	struct heard *h = arg;

	assert_true(h->count < HEARD_MAX);
	(void)snprintf(h->version, sizeof(h->version), "%.*s",
	    (int)hop->version.len, (const char *)hop->version.p);
	h->hops[h->count++] = *hop;
}

static void on_done(void *arg, const struct fault *fault)
{
	struct heard *h = arg;

	h->done++;
	h->end = *fault;
}

static bool is_asked(void *arg)
{
	return ((struct stage *)arg)->stream != 0;
}

static bool is_let_go(void *arg)
{
	return ((struct stage *)arg)->stream == 0;
}

static bool is_done(void *arg)
{
	return ((struct stage *)arg)->heard.done > 0;
}

static void ask(struct stage *s)
{
	const struct fleet_trace_user user = {
		.hop = on_hop, .done = on_done, .arg = &s->heard
	};

	s->heard = (struct heard){ .count = 0 };
	assert_int_equal(
	    fleet_trace(s->w.fleet, MACHINE, &user, &s->trace), RC_OK);
	assert_int_equal(s->heard.count, 0);
	if (!s->closes)
		world_until(&s->w, is_asked, s);
}

static void send_bytes(struct stage *s, const uint8_t *data, size_t len)
{
	size_t taken;

	assert_int_equal(
	    link_send(s->link, s->stream, data, len, &taken), RC_OK);
	assert_int_equal(taken, len);
}

static void say(struct stage *s, const struct msg_hop *hop)
{
	struct packbuf pack;
	size_t mark;

	packbuf_init(&pack, TRACE_MESSAGE_MAX + LENFRAME_HEADER);
	mark = lenframe_begin(&pack);
	assert_int_equal(msg_hop_encode(hop, &pack), RC_OK);
	assert_int_equal(lenframe_end(&pack, mark, TRACE_MESSAGE_MAX), RC_OK);
	send_bytes(s, pack.data, pack.len);
	packbuf_fini(&pack);
}

static void end(struct stage *s)
{
	link_end(s->link, s->stream);
	world_until(&s->w, is_done, s);
}

static const struct msg_hop relay_hop = { .by = "relay/dc2-a",
	.has_link = true,
	.link = { .to = "machine/" MACHINE,
	    .up = true,
	    .rtt_us = 7,
	    .queued = { 1, 2, 3, 4 } } };

static struct msg_hop machine_hop(void)
{
	return (struct msg_hop){ .by = "machine/" MACHINE,
		.version = bytes_text("1.2.3") };
}

static const struct fault *last_fault(const struct stage *s)
{
	assert_true(s->heard.count > 0);
	return &s->heard.hops[s->heard.count - 1].fault;
}

/* --- Tests ------------------------------------------------------------------
 */

static void test_hops_are_told_by_names_and_the_machine_last(void **state)
{
	struct stage *s = *state;
	struct msg_hop machine = machine_hop();
	const struct fleet_hop *hops = s->heard.hops;

	ask(s);
	say(s, &relay_hop);
	say(s, &machine);
	end(s);
	assert_int_equal(s->heard.end.code, REASON_NONE);
	assert_int_equal(s->heard.count, 3);
	assert_string_equal(hops[0].by, "server n1");
	assert_string_equal(hops[0].to, "relay dc2-a");
	assert_true(hops[0].link.up);
	assert_string_equal(hops[1].by, "relay dc2-a");
	assert_string_equal(hops[1].to, "machine web-03");
	assert_int_equal(hops[1].link.rtt_us, 7);
	assert_int_equal(hops[1].link.queued[CLASS_BULK], 4);
	assert_string_equal(hops[2].by, "machine web-03");
	assert_true(hops[2].arrived && !hops[2].has_link);
	assert_string_equal(s->heard.version, "1.2.3");
	assert_string_equal(hops[2].path, "dc2-a");
	assert_int_equal(hops[2].route, 1);
}

static void test_what_comes_a_byte_at_a_time_is_the_same(void **state)
{
	struct stage *s = *state;
	struct msg_hop machine = machine_hop();
	struct packbuf pack;
	size_t mark;

	ask(s);
	packbuf_init(&pack, TRACE_MESSAGE_MAX);
	mark = lenframe_begin(&pack);
	assert_int_equal(msg_hop_encode(&machine, &pack), RC_OK);
	assert_int_equal(lenframe_end(&pack, mark, TRACE_MESSAGE_MAX), RC_OK);
	for (size_t i = 0; i < pack.len; i++)
		send_bytes(s, pack.data + i, 1);
	packbuf_fini(&pack);
	end(s);
	assert_int_equal(s->heard.count, 2);
	assert_true(s->heard.hops[1].arrived);
}

static void test_a_reason_is_told_in_the_machines_name(void **state)
{
	struct stage *s = *state;
	struct msg_hop hop = relay_hop;

	hop.link.up = false;
	fault_set(&hop.fault, REASON_REFUSED, "dc2-a",
	    "machine " MACHINE ": connection refused at 10.0.0.3:10933");
	ask(s);
	say(s, &hop);
	end(s);
	assert_int_equal(last_fault(s)->code, REASON_REFUSED);
	assert_string_equal(last_fault(s)->at, "relay dc2-a");
	assert_string_equal(last_fault(s)->text,
	    "web-03: connection refused at 10.0.0.3:10933");
}

static void test_who_is_not_on_the_way_is_not_believed(void **state)
{
	static const char *const liars[] = { "relay/dc9-x",
		"machine/7f000000000000000000000000000009", "server" };
	struct stage *s = *state;

	for (size_t i = 0; i < 3; i++) {
		struct msg_hop hop = { .version = bytes_text("9") };
		struct msg_hop machine = machine_hop();

		(void)snprintf(hop.by, sizeof(hop.by), "%s", liars[i]);
		ask(s);
		say(s, &hop);
		say(s, &machine); /* nothing that follows counts */
		end(s);
		assert_int_equal(s->heard.count, 2);
		assert_int_equal(last_fault(s)->code, REASON_PROTOCOL);
		assert_false(s->heard.hops[1].arrived);
		world_until(&s->w, is_let_go, s);
	}
}

static void test_a_relay_behind_the_machine_is_not_believed(void **state)
{
	struct stage *s = *state;
	struct msg_hop refused = machine_hop();

	/* It says more than who it is: that is no arrival. */
	refused.has_link = true;
	refused.link = relay_hop.link;
	ask(s);
	say(s, &refused);
	say(s, &relay_hop);
	end(s);
	assert_int_equal(s->heard.count, 2);
	assert_false(s->heard.hops[1].has_link);
}

static void test_nonsense_and_silence_are_told_as_what_they_are(void **state)
{
	static const uint8_t nonsense[] = { 0, 0, 0, 3, 0x93, 1, 2 };
	static const uint8_t too_long[] = { 0, 1, 0, 0 };
	struct stage *s = *state;

	ask(s);
	send_bytes(s, nonsense, sizeof(nonsense));
	end(s);
	assert_int_equal(last_fault(s)->code, REASON_PROTOCOL);
	world_until(&s->w, is_let_go, s);
	ask(s);
	send_bytes(s, too_long, sizeof(too_long));
	world_until(&s->w, is_done, s);
	assert_int_equal(last_fault(s)->code, REASON_PROTOCOL);
	world_until(&s->w, is_let_go, s);
	ask(s);
	say(s, &relay_hop);
	end(s);
	assert_int_equal(last_fault(s)->code, REASON_PROTOCOL);
	assert_non_null(strstr(last_fault(s)->text, "ended before"));
}

static void test_a_refusal_says_who_refused(void **state)
{
	struct stage *s = *state;

	s->closes = true;
	ask(s);
	world_until(&s->w, is_done, s);
	assert_int_equal(s->heard.count, 2);
	assert_int_equal(last_fault(s)->code, REASON_NOT_PERMITTED);
	assert_string_equal(last_fault(s)->at, "relay dc2-a");
	assert_string_equal(last_fault(s)->text, "web-03: not by me");
}

static void test_a_lost_link_ends_it(void **state)
{
	const struct fault bye = { .code = REASON_DRAINING };
	struct stage *s = *state;

	ask(s);
	dial_free(s->dialler, &bye);
	s->dialler = NULL;
	world_until(&s->w, is_done, s);
	assert_int_not_equal(last_fault(s)->code, REASON_NONE);
	/* And without a link nobody needs to be asked. */
	s->closes = true;
	ask(s);
	world_until(&s->w, is_done, s);
	assert_int_equal(s->heard.count, 1);
	/* Whether its farewell was read before the end of the link varies. */
	assert_true(last_fault(s)->code == REASON_DRAINING ||
		    last_fault(s)->code == REASON_RELAY_DOWN);
	assert_false(s->heard.hops[0].link.up);
}

static void test_a_cancelled_trace_lets_go_and_says_nothing_more(void **state)
{
	struct stage *s = *state;

	ask(s);
	fleet_trace_cancel(s->trace);
	world_until(&s->w, is_let_go, s);
	assert_int_equal(s->heard.count, 1);
	assert_int_equal(s->heard.done, 0);
	/* The fleet may end under one, too. */
	ask(s);
}

static void test_only_so_many_are_under_way(void **state)
{
	const struct fleet_trace_user user = { .hop = on_hop,
		.done = on_done,
		.arg = &((struct stage *)*state)->heard };
	struct stage *s = *state;
	struct fleet_trace *traces[FLEET_TRACES_MAX], *more;

	for (int i = 0; i < FLEET_TRACES_MAX; i++)
		assert_int_equal(
		    fleet_trace(s->w.fleet, MACHINE, &user, &traces[i]), RC_OK);
	assert_int_equal(
	    fleet_trace(s->w.fleet, MACHINE, &user, &more), RC_LIMIT);
	for (int i = 0; i < FLEET_TRACES_MAX; i++)
		fleet_trace_cancel(traces[i]);
	ask(s);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_hops_are_told_by_names_and_the_machine_last),
		T(test_what_comes_a_byte_at_a_time_is_the_same),
		T(test_a_reason_is_told_in_the_machines_name),
		T(test_who_is_not_on_the_way_is_not_believed),
		T(test_a_relay_behind_the_machine_is_not_believed),
		T(test_nonsense_and_silence_are_told_as_what_they_are),
		T(test_a_refusal_says_who_refused),
		T(test_a_lost_link_ends_it),
		T(test_a_cancelled_trace_lets_go_and_says_nothing_more),
		T(test_only_so_many_are_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * What a relay lets nobody do: who may open what, copies of a machine, streams
 * in which nobody proves anything, orders that cut the branch they came by.
 */
#include "test/support/relay_world.h"

/* --- Who may open what -----------------------------------------------------
 */

struct probe {
	struct stream_user user;
	struct world *world;
	bool answered;
	enum reason code; /* NONE: not refused, or refused by the far end */
};

static struct probe *waited_for;

static bool probe_answered(struct world *w)
{
	(void)w;
	return waited_for->answered;
}

static void on_probe(
    struct stream_user *user, struct link *link, const struct mux_event *event)
{
	struct probe *p = (struct probe *)user;
	struct fault fault = { .code = REASON_NONE };
	bool done;

	if (event->type == MUX_RESET)
		link_stream_fault(link, event, &fault, &done);
	else if (event->type != MUX_ACCEPTED)
		return;
	p->answered = true;
	p->code = fault.code;
	if (event->type == MUX_ACCEPTED)
		link_reset(link, event->stream, &fault, true);
	check(p->world);
}

static void hold_open(
    struct stream_user *user, struct link *link, const struct mux_event *event)
{
	(void)user;
	(void)link;
	(void)event;
}

static enum reason probe(
    struct world *w, struct link *link, const struct msg_open *open)
{
	struct probe p = { .user.event = on_probe, .world = w };
	uint32_t stream;

	assert_int_equal(link_open(link, open, &p.user, &stream), RC_OK);
	waited_for = &p;
	run_until(w, probe_answered);
	return p.code;
}

static bool other_linked(struct world *w)
{
	return w->other.link != NULL;
}

static bool other_down(struct world *w)
{
	return w->other.downs > 0;
}

/* Somebody else at the relay's door; name NULL: without a certificate. */
static void join_other(struct world *w, enum peer_role role, const char *name)
{
	struct endpoint to;
	struct fault fault;
	const struct dial_spec spec = {
		.label = "relay dc2-a",
		.expect = { .roles = TRUST_ROLE(ROLE_RELAY) },
		.endpoints = &to,
		.count = 1,
	};

	assert_int_equal(endpoint_parse(listener_address(w->relay->listener), 0,
			     &to, &fault),
	    RC_OK);
	if (name != NULL) {
		end_new(w, &w->other, role, name);
	} else {
		w->other.world = w;
		w->other.nonce = 'b';
		assert_int_equal(tls_contexts_new(NULL, w->pki.trust,
				     &w->other.contexts, &fault),
		    RC_OK);
		assert_int_equal(link_net_new(w->loop, w->pool, &w->config,
				     &ops, &w->other, &w->other.net),
		    RC_OK);
		link_net_set_contexts(w->other.net, w->other.contexts);
	}
	assert_int_equal(
	    dial_new(w->other.net, &spec, &w->other.dialler), RC_OK);
}

enum opener {
	BY_STRANGER,
	BY_SERVER,
	BY_RELAY,
	BY_MACHINE,
	OPENERS
};

/* What is asked for, and the answer to each opener. */
static const struct rule {
	const char *what;
	struct msg_open open;
	enum reason answer[OPENERS];
} rules[] = {
#define NO REASON_NOT_PERMITTED
	{ "a seal to the relay",
	    { .kind = KIND_SEAL,
		.to = { .kind = TARGET_RELAY, .name = "dc2-a" },
		.service_class = CLASS_CONTROL },
	    { NO, REASON_NONE, REASON_NONE, NO } },
	{ "a seal to a machine",
	    { .kind = KIND_SEAL,
		.to = { .kind = TARGET_MACHINE, .name = MACHINE },
		.service_class = CLASS_HEALTH },
	    { NO, REASON_NONE, NO, NO } },
	{ "a seal to a machine, before all others",
	    { .kind = KIND_SEAL,
		.to = { .kind = TARGET_MACHINE, .name = MACHINE },
		.service_class = CLASS_CONTROL },
	    { NO, NO, NO, NO } },
	{ "a seal to a machine that is not in the table",
	    { .kind = KIND_SEAL,
		.to = { .kind = TARGET_MACHINE,
		    .name = "7f000000000000000000000000000009" },
		.service_class = CLASS_HEALTH },
	    { NO, REASON_NO_ROUTE, REASON_NO_ROUTE, NO } },
	{ "a seal to a relay that is not in the table",
	    { .kind = KIND_SEAL,
		.to = { .kind = TARGET_RELAY, .name = "dc2-z" },
		.service_class = CLASS_CONTROL },
	    { NO, REASON_NO_ROUTE, REASON_NO_ROUTE, NO } },
	{ "a seal to the server",
	    { .kind = KIND_SEAL,
		.to = { .kind = TARGET_SERVER },
		.service_class = CLASS_HEALTH },
	    { NO, REASON_NO_ROUTE, REASON_NO_ROUTE, NO } },
	{ "enrolment",
	    { .kind = KIND_ENROL,
		.to = { .kind = TARGET_SERVER },
		.service_class = CLASS_HEALTH },
	    { REASON_NONE, NO, REASON_NONE, NO } },
	{ "enrolment, before all others",
	    { .kind = KIND_ENROL,
		.to = { .kind = TARGET_SERVER },
		.service_class = CLASS_CONTROL },
	    { NO, NO, NO, NO } },
	{ "chunks",
	    { .kind = KIND_CHUNKS,
		.to = { .kind = TARGET_SERVER },
		.service_class = CLASS_BULK },
	    { NO, NO, NO, NO } },
	{ "a trace",
	    { .kind = KIND_TRACE,
		.to = { .kind = TARGET_MACHINE, .name = MACHINE },
		.service_class = CLASS_CONTROL },
	    { NO, REASON_NONE, NO, NO } },
	{ "a trace to a machine that is not in the table",
	    { .kind = KIND_TRACE,
		.to = { .kind = TARGET_MACHINE,
		    .name = "7f000000000000000000000000000009" },
		.service_class = CLASS_CONTROL },
	    { NO, REASON_NO_ROUTE, REASON_NO_ROUTE, NO } },
	{ "a trace to the relay",
	    { .kind = KIND_TRACE,
		.to = { .kind = TARGET_RELAY, .name = "dc2-a" },
		.service_class = CLASS_CONTROL },
	    { NO, REASON_NONE, REASON_NONE, NO } },
	{ "a peer's seal",
	    { .kind = KIND_PEER,
		.to = { .kind = TARGET_MACHINE, .name = MACHINE },
		.service_class = CLASS_HEALTH },
	    { NO, NO, NO, NO } },
#undef NO
};

static void probe_all(struct world *w, struct link *link, enum opener opener)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		struct msg_open open = rules[i].open;
		enum reason code;

		open.deadline_ms = 10000;
		code = probe(w, link, &open);
		if (code != rules[i].answer[opener])
			fail_msg("%s by %d: %s, not %s", rules[i].what, opener,
			    reason_name(code),
			    reason_name(rules[i].answer[opener]));
	}
}

/* The machine and another relay are in the table, from the server only. */
static void start_full(struct world *w)
{
	start(w);
	send_other_relay(w, true);
	run_until(w, has_other_relay);
	join_tentacle(w);
	run_until(w, machine_is_up);
	w->secret = "";
}

static void test_the_server_may_open_seals_as_the_table_says(void **state)
{
	struct world w;

	(void)state;
	start_full(&w);
	probe_all(&w, w.node.link, BY_SERVER);
	world_free(&w);
}

/* The server's control session ends, and another one begins. */
static void control_again(struct world *w, uint64_t revoked)
{
	const struct fault bye = { .code = REASON_DRAINING };

	seal_close(w->control, &bye);
	w->control = NULL;
	w->welcomed = false;
	w->revoked = revoked;
	open_control(w);
	run_until(w, is_welcomed);
}

static void test_nothing_is_carried_before_it_is_told_what_was_revoked(
    void **state)
{
	static const struct msg_open trace = { .kind = KIND_TRACE,
		.to = { .kind = TARGET_MACHINE, .name = MACHINE },
		.service_class = CLASS_CONTROL,
		.deadline_ms = 10000 };
	static const struct msg_open open = { .kind = KIND_SEAL,
		.to = { .kind = TARGET_MACHINE, .name = MACHINE },
		.service_class = CLASS_HEALTH,
		.deadline_ms = 10000 };
	const struct fault bye = { .code = REASON_DRAINING };
	struct world w;

	(void)state;
	start_full(&w);
	assert_int_equal(probe(&w, w.node.link, &open), REASON_NONE);
	seal_close(w.control, &bye);
	w.control = NULL;
	assert_int_equal(probe(&w, w.node.link, &open), REASON_STALE_ROUTE);
	assert_int_equal(probe(&w, w.node.link, &trace), REASON_STALE_ROUTE);
	/* There is a list that it has not got. */
	control_again(&w, 1);
	assert_int_equal(probe(&w, w.node.link, &open), REASON_STALE_ROUTE);
	control_again(&w, 0);
	assert_int_equal(probe(&w, w.node.link, &open), REASON_NONE);
	world_free(&w);
}

static void test_a_machine_may_open_nothing(void **state)
{
	struct world w;

	(void)state;
	start_full(&w);
	probe_all(&w, w.tentacle.link, BY_MACHINE);
	world_free(&w);
}

static void test_another_relay_may_enrol_and_carry_what_the_table_says(
    void **state)
{
	struct world w;

	(void)state;
	start_full(&w);
	join_other(&w, ROLE_RELAY, "dc2-b");
	run_until(&w, other_linked);
	probe_all(&w, w.other.link, BY_RELAY);
	world_free(&w);
}

static void test_a_stranger_may_enrol_and_nothing_else(void **state)
{
	struct world w;

	(void)state;
	start_full(&w);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		struct msg_open open = rules[i].open;
		const struct fault bye = { .code = REASON_DRAINING };
		enum reason code;

		open.deadline_ms = 10000;
		join_other(&w, ROLE_ANONYMOUS, NULL);
		run_until(&w, other_linked);
		code = probe(&w, w.other.link, &open);
		if (code != rules[i].answer[BY_STRANGER])
			fail_msg("%s: %s", rules[i].what, reason_name(code));
		dial_free(w.other.dialler, &bye);
		w.other.dialler = NULL;
		end_free(&w.other);
		memset(&w.other, 0, sizeof(w.other));
	}
	world_free(&w);
}

static void test_a_relay_or_machine_of_no_route_is_refused_by_name(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	join_other(&w, ROLE_RELAY, "dc2-x");
	run_until(&w, other_down);
	assert_int_equal(w.other.down.code, REASON_NO_ROUTE);
	assert_non_null(strstr(w.other.down.text, "relay dc2-x"));
	world_free(&w);
}

/* --- Copies ----------------------------------------------------------------
 */

static void test_a_copied_machine_does_not_replace_the_first(void **state)
{
	struct world w;
	struct link *first;

	(void)state;
	start(&w);
	join_tentacle(&w);
	run_until(&w, machine_is_up);
	first = w.tentacle.link;
	w.other.nonce = 'c';
	join_other(&w, ROLE_TENTACLE, MACHINE);
	run_until(&w, other_down);
	assert_int_equal(w.other.down.code, REASON_CLONE);
	assert_ptr_equal(w.tentacle.link, first);
	assert_int_equal(w.tentacle.downs, 0);
	world_free(&w);
}

static bool replaced(struct world *w)
{
	return w->other.link != NULL && w->tentacle.downs > 0;
}

/* The relay still believes in its first link; nobody has closed it. */
static void replace_by(uint64_t start_number, char nonce)
{
	const struct fault bye = { .code = REASON_DRAINING };
	struct world w;

	start(&w);
	w.config.backoff_min_ms = w.config.backoff_max_ms = 60000;
	join_tentacle(&w);
	run_until(&w, machine_is_up);
	w.other.start = start_number;
	w.other.nonce = nonce;
	join_other(&w, ROLE_TENTACLE, MACHINE);
	run_until(&w, replaced);
	assert_non_null(strstr(w.tentacle.down.text, "newer link"));
	dial_free(w.tentacle.dialler, &bye);
	w.tentacle.dialler = NULL;
	world_free(&w);
}

static void test_the_same_instance_replaces_its_half_open_link(void **state)
{
	(void)state;
	replace_by(1, 'b');
}

static void test_a_later_start_replaces_the_half_open_link_of_one_before(
    void **state)
{
	(void)state;
	replace_by(2, 'c');
}

/* --- Control sessions -------------------------------------------------------
 */

static void test_streams_without_proof_do_not_keep_the_server_out(void **state)
{
	struct msg_open open = {
		.kind = KIND_SEAL,
		.to = { .kind = TARGET_RELAY, .name = "dc2-a" },
		.service_class = CLASS_CONTROL,
		.deadline_ms = UINT32_MAX,
	};
	struct probe held = { .user.event = hold_open };
	struct world w;
	uint32_t stream;

	(void)state;
	start(&w);
	send_other_relay(&w, true);
	run_until(&w, has_other_relay);
	join_other(&w, ROLE_RELAY, "dc2-b");
	run_until(&w, other_linked);
	/* Accepted, and then nothing is ever said in them. */
	held.world = &w;
	for (int i = 0; i < 100; i++)
		assert_int_equal(
		    link_open(w.other.link, &open, &held.user, &stream), RC_OK);
	assert_int_equal(probe(&w, w.other.link, &open), REASON_TOO_MANY);
	assert_int_equal(probe(&w, w.node.link, &open), REASON_NONE);
	world_free(&w);
}

static bool control_is_gone(struct world *w)
{
	return w->control == NULL;
}

/* Its own order removes the relay through which the session came. */
static void test_a_session_may_cut_the_branch_that_it_sits_on(void **state)
{
	const struct fault bye = { .code = REASON_DRAINING };
	struct world w;

	(void)state;
	start(&w);
	send_other_relay(&w, true);
	run_until(&w, has_other_relay);
	join_other(&w, ROLE_RELAY, "dc2-b");
	run_until(&w, other_linked);
	seal_close(w.control, &bye);
	open_control_by(&w, w.other.link);
	w.welcomed = false;
	run_until(&w, is_welcomed);
	send_other_relay(&w, false);
	run_until(&w, control_is_gone);
	run_until(&w, other_down);
	assert_non_null(strstr(w.other.down.text, "route"));
	assert_int_equal(table_seq(w.relay->table), 9);
	world_free(&w);
}

#define MANY 3000

static bool knows_many(struct world *w)
{
	return w->told == MANY;
}

static void test_who_is_there_is_told_whole_however_many_there_are(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	run_until(&w, node_linked);
	send_many(&w, MANY, apply_page);
	neighbours_follow_table(w.relay);
	open_control(&w);
	run_until(&w, knows_many);
	assert_true(w.whole_told);
	world_free(&w);
}

static bool knows_three_hundred(struct world *w)
{
	return w->told == 300;
}

static void test_only_what_is_new_in_the_table_is_told_again(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	run_until(&w, node_linked);
	open_control(&w);
	run_until(&w, is_welcomed);
	send_many(&w, 300, send_page);
	run_until(&w, knows_three_hundred);
	w.told = 0;
	send_delta(&w);
	run_until(&w, has_delta);
	run_until(&w, something_told);
	assert_int_equal(w.told, 1);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_the_server_may_open_seals_as_the_table_says),
		cmocka_unit_test(
		    test_nothing_is_carried_before_it_is_told_what_was_revoked),
		cmocka_unit_test(test_a_machine_may_open_nothing),
		cmocka_unit_test(
		    test_another_relay_may_enrol_and_carry_what_the_table_says),
		cmocka_unit_test(test_a_stranger_may_enrol_and_nothing_else),
		cmocka_unit_test(
		    test_a_relay_or_machine_of_no_route_is_refused_by_name),
		cmocka_unit_test(
		    test_a_copied_machine_does_not_replace_the_first),
		cmocka_unit_test(
		    test_the_same_instance_replaces_its_half_open_link),
		cmocka_unit_test(
		    test_a_later_start_replaces_the_half_open_link_of_one_before),
		cmocka_unit_test(
		    test_streams_without_proof_do_not_keep_the_server_out),
		cmocka_unit_test(
		    test_a_session_may_cut_the_branch_that_it_sits_on),
		cmocka_unit_test(
		    test_who_is_there_is_told_whole_however_many_there_are),
		cmocka_unit_test(
		    test_only_what_is_new_in_the_table_is_told_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

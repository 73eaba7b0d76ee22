/*
 * What a relay says when a way is traced: its link to the next hop, then what
 * comes from beyond; and the precise reason where nothing comes.
 */
#include "test/support/relay_world.h"

#define HEARD_MAX 64

struct heard {
	struct world *world;
	struct tracer *tracer; /* NULL: over */
	size_t count;
	struct msg_hop hops[HEARD_MAX]; /* without their borrowed texts */
	char version[MSG_VERSION_MAX + 1];
	struct fault end;
};

static struct heard heard;

static void on_hop(void *arg, struct bytes message)
{
	struct heard *h = arg;
	struct fault fault;
	struct msg_hop hop;

	assert_true(h->count < HEARD_MAX);
	if (msg_hop_decode(message, &hop, &fault) != RC_OK)
		fail_msg("%s", fault.text);
	(void)snprintf(h->version, sizeof(h->version), "%.*s",
	    (int)hop.version.len, (const char *)hop.version.p);
	h->hops[h->count++] = hop;
	check(h->world);
}

static void on_end(void *arg, const struct fault *fault)
{
	struct heard *h = arg;

	h->tracer = NULL;
	h->end = *fault;
	check(h->world);
}

static void ask(struct world *w, uint32_t deadline_ms)
{
	const struct tracer_user user = {
		.hop = on_hop, .end = on_end, .arg = &heard
	};
	const struct msg_open open = {
		.kind = KIND_TRACE,
		.to = { .kind = TARGET_MACHINE, .name = MACHINE },
		.service_class = CLASS_CONTROL,
		.deadline_ms = deadline_ms,
	};

	heard = (struct heard){ .world = w };
	assert_int_equal(tracer_open(w->node.link, &open, "relay dc2-a", &user,
			     &heard.tracer),
	    RC_OK);
}

static bool is_over(struct world *w)
{
	(void)w;
	return heard.tracer == NULL;
}

static bool is_asked(struct world *w)
{
	return w->answer != NULL;
}

static bool is_let_go(struct world *w)
{
	return w->answer == NULL;
}

static bool one_heard(struct world *w)
{
	(void)w;
	return heard.count == 1;
}

static void start_with_machine(struct world *w)
{
	start(w);
	join_tentacle(w);
	run_until(w, machine_is_up);
}

/* As the tentacle does. */
static void answer_for_machine(struct world *w)
{
	const struct msg_hop hop = { .by = "machine/" MACHINE,
		.version = bytes_text("1.2.3"),
		.expires_s = 1700000000 };

	answer_say(w->answer, &hop);
	answer_end(w->answer);
}

static void test_each_hop_is_heard_in_order(void **state)
{
	struct world w;
	const struct msg_hop *relay = &heard.hops[0];
	const struct msg_hop *machine = &heard.hops[1];

	(void)state;
	start_with_machine(&w);
	ask(&w, 10000);
	run_until(&w, one_heard);
	assert_non_null(heard.tracer); /* told before the machine answers */
	assert_string_equal(heard.version, LONGARM_VERSION);
	run_until(&w, is_asked);
	answer_for_machine(&w);
	run_until(&w, is_over);
	assert_int_equal(heard.end.code, REASON_NONE);
	assert_int_equal(heard.count, 2);
	assert_string_equal(relay->by, "relay/dc2-a");
	assert_true(relay->expires_s > 0);
	assert_true(relay->has_link && relay->link.up);
	assert_string_equal(relay->link.to, "machine/" MACHINE);
	assert_true(endpoint_is_valid(relay->link.address));
	assert_true(relay->link.expires_s > 0);
	assert_int_equal(relay->fault.code, REASON_NONE);
	assert_string_equal(machine->by, "machine/" MACHINE);
	assert_false(machine->has_link);
	assert_int_equal(machine->expires_s, 1700000000);
	assert_string_equal(heard.version, "1.2.3");
	assert_int_equal(w.relay->traces, 0);
	world_free(&w);
}

static void test_a_machine_that_is_not_there_ends_it_with_the_reason(
    void **state)
{
	struct world w;

	(void)state;
	start(&w);
	ask(&w, 10000);
	run_until(&w, is_over);
	assert_int_equal(heard.end.code, REASON_NONE);
	assert_int_equal(heard.count, 1);
	assert_true(heard.hops[0].has_link);
	assert_false(heard.hops[0].link.up);
	assert_int_equal(heard.hops[0].fault.code, REASON_AGENT_DOWN);
	assert_non_null(strstr(heard.hops[0].fault.text, "web-03"));
	world_free(&w);
}

static void test_a_hop_that_is_silent_is_told_by_the_one_before(void **state)
{
	struct world w;

	(void)state;
	start_with_machine(&w);
	/* The relay waits for less than we do. */
	ask(&w, 400);
	run_until(&w, is_over);
	assert_int_equal(heard.end.code, REASON_NONE);
	assert_int_equal(heard.count, 2);
	assert_true(heard.hops[0].link.up);
	assert_string_equal(heard.hops[1].by, "relay/dc2-a");
	assert_false(heard.hops[1].has_link);
	assert_int_equal(heard.hops[1].fault.code, REASON_DEADLINE);
	assert_non_null(strstr(heard.hops[1].fault.text, "web-03"));
	run_until(&w, is_let_go);
	assert_int_equal(w.relay->traces, 0);
	world_free(&w);
}

static void test_a_refusal_from_beyond_is_told(void **state)
{
	struct world w;

	(void)state;
	start_with_machine(&w);
	ask(&w, 10000);
	run_until(&w, is_asked);
	link_close(w.tentacle.link,
	    &(struct fault){ .code = REASON_DRAINING, .text = "bye" });
	run_until(&w, is_over);
	assert_int_equal(heard.count, 2);
	assert_int_not_equal(heard.hops[1].fault.code, REASON_NONE);
	assert_int_equal(w.relay->traces, 0);
	world_free(&w);
}

static void test_nobody_who_waits_lets_go_of_all_hops(void **state)
{
	struct world w;

	(void)state;
	start_with_machine(&w);
	ask(&w, 10000);
	run_until(&w, is_asked);
	tracer_free(heard.tracer);
	run_until(&w, is_let_go);
	assert_int_equal(w.relay->traces, 0);
	/* And so does a link that is lost. */
	ask(&w, 10000);
	run_until(&w, is_asked);
	link_close(w.node.link, &(struct fault){ .code = REASON_DRAINING });
	run_until(&w, is_let_go);
	assert_int_equal(w.relay->traces, 0);
	assert_null(heard.tracer);
	world_free(&w);
}

/* It knows no end: more than any way has hops. */
static void test_a_hop_that_talks_for_ever_is_cut_off(void **state)
{
	const struct msg_hop hop = { .by = "machine/" MACHINE };
	struct world w;

	(void)state;
	start_with_machine(&w);
	ask(&w, 10000);
	run_until(&w, is_asked);
	for (int i = 0; i < TRACE_HOPS_MAX + 1; i++)
		answer_say(w.answer, &hop);
	run_until(&w, is_over);
	assert_int_equal(heard.end.code, REASON_PROTOCOL);
	assert_true(heard.count <= TRACE_HOPS_MAX);
	run_until(&w, is_let_go);
	assert_int_equal(w.relay->traces, 0);
	world_free(&w);
}

/* The machine cannot answer; what comes back says who, and why. */
static void test_a_hop_without_memory_says_so(void **state)
{
	struct world w;
	const struct fault *why = &heard.hops[1].fault;

	(void)state;
	start_with_machine(&w);
	w.answer_fails = true;
	ask(&w, 10000);
	run_until(&w, is_over);
	assert_int_equal(heard.end.code, REASON_NONE);
	assert_int_equal(heard.count, 2);
	assert_string_equal(heard.hops[1].by, "relay/dc2-a");
	assert_int_equal(why->code, REASON_MEMORY);
	assert_string_equal(why->at, MACHINE); /* as that end calls itself */
	world_free(&w);
}

static void test_only_so_many_are_answered_at_a_time(void **state)
{
	struct world w;

	(void)state;
	start_with_machine(&w);
	w.relay->traces = 32;
	ask(&w, 10000);
	run_until(&w, is_over);
	assert_int_equal(heard.count, 0);
	assert_int_equal(heard.end.code, REASON_TOO_MANY);
	w.relay->traces = 0;
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_hop_is_heard_in_order),
		cmocka_unit_test(
		    test_a_machine_that_is_not_there_ends_it_with_the_reason),
		cmocka_unit_test(
		    test_a_hop_that_is_silent_is_told_by_the_one_before),
		cmocka_unit_test(test_a_refusal_from_beyond_is_told),
		cmocka_unit_test(test_nobody_who_waits_lets_go_of_all_hops),
		cmocka_unit_test(test_a_hop_that_talks_for_ever_is_cut_off),
		cmocka_unit_test(test_a_hop_without_memory_says_so),
		cmocka_unit_test(test_only_so_many_are_answered_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

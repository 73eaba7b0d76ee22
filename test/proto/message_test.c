#include "test/support/alloc.h"
#include "test/support/recode.h"
#include "test/support/samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ID_A "0123456789abcdef0123456789abcdef"
#define MAX  (64 * 1024)

static const struct recoder *recoder_of(const struct sample *sample)
{
	for (size_t i = 0; i < RECODER_COUNT; i++) {
		if (strcmp(recoders[i].name, sample->name) == 0)
			return &recoders[i];
	}
	fail_msg("no message %s", sample->name);
	return NULL;
}

static struct packbuf encode(const struct sample *sample)
{
	struct packbuf b;

	packbuf_init(&b, MAX);
	assert_int_equal(sample->encode(&b), RC_OK);
	return b;
}

static void test_every_message_survives_a_round_trip(void **state)
{
	(void)state;
	for (size_t i = 0; i < sample_count; i++) {
		struct packbuf first = encode(&samples[i]), again;
		const struct recoder *r = recoder_of(&samples[i]);
		struct fault fault = { 0 };

		packbuf_init(&again, MAX);
		if (r->recode(packbuf_bytes(&first), &again, &fault) != RC_OK)
			fail_msg("%s: %s", samples[i].name, fault.text);
		if (!bytes_equal(packbuf_bytes(&first), packbuf_bytes(&again)))
			fail_msg("%s: not what went in", samples[i].name);
		packbuf_fini(&again);
		packbuf_fini(&first);
	}
}

static void test_a_message_cut_at_any_byte_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sample_count; i++) {
		struct packbuf whole = encode(&samples[i]), out;
		const struct recoder *r = recoder_of(&samples[i]);

		packbuf_init(&out, MAX);
		for (size_t len = 0; len < whole.len; len++) {
			struct fault fault = { 0 };
			/* Of its own size: ASan sees a read past the end. */
			uint8_t *cut = malloc(len > 0 ? len : 1);

			assert_non_null(cut);
			memcpy(cut, whole.data, len);
			assert_int_equal(
			    r->recode(bytes_of(cut, len), &out, &fault),
			    RC_PROTO);
			assert_int_equal(fault.code, REASON_PROTOCOL);
			free(cut);
		}
		packbuf_fini(&out);
		packbuf_fini(&whole);
	}
}

static void test_any_failing_allocation_is_reported(void **state)
{
	(void)state;
	for (size_t i = 0; i < sample_count; i++) {
		struct packbuf whole = encode(&samples[i]);
		const struct recoder *r = recoder_of(&samples[i]);

		for (size_t n = 0;; n++) {
			struct packbuf out;
			enum rc rc;

			packbuf_init(&out, MAX);
			alloc_fail_at(n);
			rc = r->recode(packbuf_bytes(&whole), &out, NULL);
			packbuf_fini(&out);
			if (!alloc_failed())
				break;
			assert_int_equal(rc, RC_NOMEM);
		}
		alloc_never_fail();
		packbuf_fini(&whole);
	}
}

/* What was read from a damaged message means the same when sent on. */
static void check_damaged(const struct recoder *r, struct bytes damaged)
{
	struct packbuf first, second;

	packbuf_init(&first, MAX);
	packbuf_init(&second, MAX);
	if (r->recode(damaged, &first, NULL) == RC_OK) {
		assert_int_equal(
		    r->recode(packbuf_bytes(&first), &second, NULL), RC_OK);
		assert_true(
		    bytes_equal(packbuf_bytes(&first), packbuf_bytes(&second)));
	}
	packbuf_fini(&first);
	packbuf_fini(&second);
}

static void test_any_damaged_byte_is_refused_or_read_stably(void **state)
{
	(void)state;
	for (size_t i = 0; i < sample_count; i++) {
		struct packbuf whole = encode(&samples[i]);

		for (size_t bit = 0; bit < 8 * whole.len; bit++) {
			uint8_t flip = (uint8_t)(1U << bit % 8);

			whole.data[bit / 8] ^= flip;
			check_damaged(
			    recoder_of(&samples[i]), packbuf_bytes(&whole));
			whole.data[bit / 8] ^= flip;
		}
		packbuf_fini(&whole);
	}
}

static void test_a_message_is_not_taken_for_another(void **state)
{
	(void)state;
	for (size_t i = 0; i < sample_count; i++) {
		struct packbuf whole = encode(&samples[i]), out;

		packbuf_init(&out, MAX);
		for (size_t j = 6; j < RECODER_COUNT; j++) { /* 0-5: frames */
			if (strcmp(samples[i].name, recoders[j].name) != 0)
				assert_int_equal(
				    recoders[j].recode(
					packbuf_bytes(&whole), &out, NULL),
				    RC_PROTO);
		}
		packbuf_fini(&out);
		packbuf_fini(&whole);
	}
}

static void test_a_buffer_that_overflows_is_left_as_it_was(void **state)
{
	(void)state;
	for (size_t i = 0; i < sample_count; i++) {
		struct packbuf whole = encode(&samples[i]);

		for (size_t max = 3; max < 3 + whole.len; max++) {
			struct packbuf b;

			packbuf_init(&b, max);
			packbuf_append(&b, bytes_text("abc"));
			assert_int_equal(samples[i].encode(&b), RC_LIMIT);
			assert_int_equal(packbuf_rc(&b), RC_OK);
			assert_true(
			    bytes_equal(packbuf_bytes(&b), bytes_text("abc")));
			packbuf_fini(&b);
		}
		packbuf_fini(&whole);
	}
}

/* All keys kept, each value nil but for what the message is. */
static void test_values_of_the_wrong_type_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sample_count; i++) {
		struct packbuf whole = encode(&samples[i]), out, nils;
		struct pack_message *m;
		struct pack_value root, value;
		struct bytes key;

		packbuf_init(&out, MAX);
		packbuf_init(&nils, MAX);
		assert_int_equal(
		    pack_open(packbuf_bytes(&whole), &m, NULL), RC_OK);
		root = pack_root(m);
		pack_map(&nils, root.count);
		for (size_t k = 0; k < root.count; k++) {
			pack_pair(&root, k, &key, &value);
			pack_text(&nils, key);
			if (k == 0 && value.type == PACK_TEXT)
				pack_text(&nils, value.bytes);
			else
				packbuf_append(&nils, bytes_of("\xc0", 1));
		}
		if (root.count > 1)
			assert_int_equal(
			    recoder_of(&samples[i])
				->recode(packbuf_bytes(&nils), &out, NULL),
			    RC_PROTO);
		pack_close(m);
		packbuf_fini(&nils);
		packbuf_fini(&out);
		packbuf_fini(&whole);
	}
}

static void test_peek_tells_request_from_reply(void **state)
{
	const struct msg_cancel cancel = { 7, ID_A, "task-1", 1 };
	const struct msg_reply refused = { 8, "", 0,
		{ REASON_TOO_MANY, "", "" } };
	struct msg_cancel_reply reply;
	struct msg_head head;
	struct packbuf b;

	(void)state;
	packbuf_init(&b, 1024);
	assert_int_equal(msg_cancel_encode(&cancel, &b), RC_OK);
	assert_int_equal(msg_peek(packbuf_bytes(&b), &head, NULL), RC_OK);
	assert_int_equal(head.op, OP_CANCEL);
	assert_int_equal(head.id, 7);
	assert_false(head.is_reply);

	packbuf_clear(&b);
	assert_int_equal(msg_refusal_encode(OP_CANCEL, &refused, &b), RC_OK);
	assert_int_equal(msg_peek(packbuf_bytes(&b), &head, NULL), RC_OK);
	assert_int_equal(head.op, OP_CANCEL);
	assert_int_equal(head.id, 8);
	assert_true(head.is_reply);
	assert_int_equal(
	    msg_cancel_reply_decode(packbuf_bytes(&b), &reply, NULL), RC_OK);
	assert_int_equal(reply.reply.fault.code, REASON_TOO_MANY);
	packbuf_fini(&b);
}

static void test_an_unknown_request_can_be_answered(void **state)
{
	struct msg_head head = { 0 };
	struct fault fault;
	struct packbuf b;

	(void)state;
	packbuf_init(&b, 1024);
	pack_map(&b, 2);
	pack_key(&b, "op");
	pack_key(&b, "make-tea");
	pack_key(&b, "id");
	pack_u64(&b, 9);
	assert_int_equal(
	    msg_peek(packbuf_bytes(&b), &head, &fault), RC_NOTFOUND);
	assert_int_equal(head.id, 9);
	assert_int_equal(fault.code, REASON_VERSION);
	assert_non_null(strstr(fault.text, "make-tea"));
	packbuf_clear(&b);
	pack_map(&b, 0);
	assert_int_equal(msg_peek(packbuf_bytes(&b), &head, &fault), RC_PROTO);
	packbuf_fini(&b);
}

static void test_unknown_keys_are_skipped(void **state)
{
	struct msg_ack m;
	struct packbuf b;

	(void)state;
	packbuf_init(&b, 1024);
	pack_map(&b, 3);
	pack_key(&b, "new");
	pack_array(&b, 1);
	pack_map(&b, 0);
	pack_key(&b, "offset");
	pack_u64(&b, 4);
	pack_key(&b, "op");
	pack_key(&b, "ack");
	assert_int_equal(msg_ack_decode(packbuf_bytes(&b), &m, NULL), RC_OK);
	assert_int_equal(m.offset, 4);
	packbuf_fini(&b);
}

/* {"op": "attach", "ticket": T, "offset": O}, by hand. */
static enum rc attach_of(
    struct bytes ticket, bool as_bytes, int64_t offset, struct fault *fault)
{
	struct msg_attach m;
	struct packbuf b;
	enum rc rc;

	packbuf_init(&b, 1024);
	pack_map(&b, 3);
	pack_key(&b, "op");
	pack_key(&b, "attach");
	pack_key(&b, "ticket");
	if (as_bytes)
		pack_bytes(&b, ticket);
	else
		pack_text(&b, ticket);
	pack_key(&b, "offset");
	pack_i64(&b, offset);
	rc = msg_attach_decode(packbuf_bytes(&b), &m, fault);
	packbuf_fini(&b);
	return rc;
}

static void test_a_fault_names_the_key_that_is_wrong(void **state)
{
	const struct bytes id = bytes_text(ID_A);
	struct fault fault;

	(void)state;
	assert_int_equal(attach_of(id, false, 0, &fault), RC_OK);
	assert_int_equal(attach_of(id, true, 0, &fault), RC_PROTO);
	assert_non_null(strstr(fault.text, "'ticket'"));
	assert_int_equal(
	    attach_of(bytes_text(ID_A "0"), false, 0, &fault), RC_PROTO);
	assert_non_null(strstr(fault.text, "'ticket'"));
	assert_non_null(strstr(fault.text, "32"));
	assert_int_equal(
	    attach_of(bytes_of("\0" ID_A, 32), false, 0, &fault), RC_PROTO);
	assert_int_equal(attach_of(bytes_text(""), false, 0, &fault), RC_PROTO);
	assert_int_equal(attach_of(id, false, -1, &fault), RC_PROTO);
	assert_non_null(strstr(fault.text, "'offset'"));
}

static void test_encoders_refuse_what_decoders_would(void **state)
{
	struct msg_attach attach = { .ticket = "not an id" };
	struct msg_piece piece = { 0, { NULL, 0 } };
	struct msg_start start = {
		.ticket = ID_A, .task = "t", .incarnation = { 1, ID_A }
	};
	struct msg_pair twice[] = { { bytes_text("A"), bytes_text("1") },
		{ bytes_text("A"), bytes_text("2") } };
	struct msg_reset reset = { { REASON_COUNT, "", "" }, false };
	struct msg_stage stage = { ID_A ID_A, 1, bytes_text("a\x1b[2J"),
		bytes_text("1") };
	uint8_t big[PIECE_MAX + 1] = { 0 };
	struct packbuf b;

	(void)state;
	packbuf_init(&b, MAX);
	assert_int_equal(msg_attach_encode(&attach, &b), RC_PROTO);
	assert_int_equal(msg_piece_encode(&piece, &b), RC_PROTO);
	piece.data = bytes_of(big, sizeof(big));
	assert_int_equal(msg_piece_encode(&piece, &b), RC_LIMIT);
	assert_int_equal(msg_start_encode(&start, &b), RC_PROTO);
	start.action = ACTION_SCRIPT;
	start.script.name = bytes_text("x");
	assert_int_equal(msg_start_encode(&start, &b), RC_PROTO);
	start.script.body = bytes_text("true");
	assert_int_equal(msg_start_encode(&start, &b), RC_OK);
	start.script.environment.items = twice;
	start.script.environment.count = 2;
	assert_int_equal(msg_start_encode(&start, &b), RC_PROTO);
	twice[1].name = bytes_text("not a variable");
	assert_int_equal(msg_start_encode(&start, &b), RC_PROTO);
	assert_int_equal(msg_reset_encode(&reset, &b), RC_PROTO);
	assert_int_equal(msg_stage_encode(&stage, &b), RC_PROTO);
	packbuf_fini(&b);
}

static void test_two_actions_in_one_start_are_refused(void **state)
{
	struct msg_start start = { .ticket = ID_A,
		.task = "t",
		.incarnation = { 1, ID_A },
		.action = ACTION_ACTIVATE,
		.activate = { .project = "p",
		    .package = "w",
		    .version = "1",
		    .digest = ID_A ID_A } };
	struct msg_start out;
	struct packbuf b;
	struct fault fault;

	(void)state;
	packbuf_init(&b, MAX);
	assert_int_equal(msg_start_encode(&start, &b), RC_OK);
	b.data[0]++; /* one pair more in a map of less than 15 */
	pack_key(&b, "script");
	pack_map(&b, 2);
	pack_key(&b, "name");
	pack_key(&b, "n");
	pack_key(&b, "body");
	pack_bytes(&b, bytes_text("true"));
	assert_int_equal(
	    msg_start_decode(packbuf_bytes(&b), &out, &fault), RC_PROTO);
	assert_non_null(strstr(fault.text, "beside another"));
	packbuf_fini(&b);
}

static void test_a_route_that_contradicts_itself_is_refused(void **state)
{
	struct msg_table_entry entry = { "machine/" ID_A, 1, false, "",
		ROUTE_DIAL, "", "", NULL, 0, NULL, 0 };
	struct msg_table_page page = { { 1, ID_A }, 0, 1, 0, true, &entry, 1 };
	struct msg_neighbour also = { ROLE_RELAY, "dc2-c" };
	struct packbuf b;

	(void)state;
	packbuf_init(&b, MAX);
	assert_int_equal(msg_table_page_encode(&page, &b), RC_PROTO);
	memcpy(entry.endpoint, "h:1", 4);
	assert_int_equal(msg_table_page_encode(&page, &b), RC_OK);
	memcpy(entry.via, "dc2", 4);
	assert_int_equal(msg_table_page_encode(&page, &b), RC_PROTO);
	entry.how = ROUTE_VIA;
	assert_int_equal(msg_table_page_encode(&page, &b), RC_PROTO);
	entry.endpoint[0] = '\0';
	assert_int_equal(msg_table_page_encode(&page, &b), RC_OK);
	entry.also = &also;
	entry.also_count = 1;
	assert_int_equal(msg_table_page_encode(&page, &b), RC_OK);
	also.role = ROLE_SERVER;
	assert_int_equal(msg_table_page_encode(&page, &b), RC_PROTO);
	entry.also_count = 0;
	memcpy(entry.target, "server", 7);
	assert_int_equal(msg_table_page_encode(&page, &b), RC_PROTO);
	packbuf_fini(&b);
}

static void test_damaged_output_is_noticed(void **state)
{
	struct msg_output m = { 0, bytes_text("Hello"), 0 };
	struct fault fault;
	struct packbuf b;

	(void)state;
	assert_int_equal(crc32_of(bytes_text("123456789")), 0xcbf43926);
	packbuf_init(&b, 1024);
	assert_int_equal(msg_output_encode(&m, &b), RC_OK);
	for (size_t i = 0; i < b.len; i++) {
		if (b.data[i] == 'H')
			b.data[i] = 'J';
	}
	assert_int_equal(
	    msg_output_decode(packbuf_bytes(&b), &m, &fault), RC_PROTO);
	assert_non_null(strstr(fault.text, "damaged"));
	packbuf_fini(&b);
}

static void test_a_newer_peers_reason_and_hint_are_read(void **state)
{
	struct msg_fault m;
	struct msg_tell tell;
	struct packbuf b;

	(void)state;
	packbuf_init(&b, 2048);
	pack_map(&b, 2);
	pack_key(&b, "op");
	pack_key(&b, "fault");
	pack_key(&b, "fault");
	pack_map(&b, 2);
	pack_key(&b, "code");
	pack_key(&b, "solar-flare");
	pack_key(&b, "text");
	pack_key(&b, "a\x1b[2Jb");
	assert_int_equal(msg_fault_decode(packbuf_bytes(&b), &m, NULL), RC_OK);
	assert_int_equal(m.fault.code, REASON_INTERNAL);
	assert_string_equal(m.fault.text, "a?[2Jb");
	packbuf_clear(&b);
	pack_map(&b, 2);
	pack_key(&b, "tell");
	pack_key(&b, "weather");
	pack_key(&b, "revocations");
	pack_map(&b, 2);
	pack_key(&b, "agents");
	pack_u64(&b, 0);
	pack_key(&b, "nodes");
	pack_u64(&b, 0);
	assert_int_equal(
	    msg_tell_decode(packbuf_bytes(&b), &tell, NULL), RC_OK);
	assert_int_equal(tell.kind, TELL_NONE);
	packbuf_fini(&b);
}

static void test_names_of_states_are_read_back(void **state)
{
	enum ticket_state ticket;
	enum route_how how;

	(void)state;
	for (int i = 0; i < TICKET_STATE_COUNT; i++) {
		const char *name = ticket_state_name((enum ticket_state)i);

		assert_int_equal(ticket_state_parse(name, &ticket), RC_OK);
		assert_int_equal(ticket, i);
	}
	assert_int_equal(ticket_state_parse("asleep", &ticket), RC_NOTFOUND);
	for (int i = 0; i < ROUTE_HOW_COUNT; i++) {
		const char *name = route_how_name((enum route_how)i);

		assert_int_equal(route_how_parse(name, &how), RC_OK);
		assert_int_equal(how, i);
	}
	assert_int_equal(route_how_parse("walk", &how), RC_NOTFOUND);
	assert_true(ticket_state_has_ended(TICKET_EXITED));
	assert_false(ticket_state_has_ended(TICKET_UNKNOWN));
	assert_string_equal(health_state_name(HEALTH_WARNINGS), "warnings");
	assert_string_equal(msg_op_name(OP_COUNT), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_message_survives_a_round_trip),
		cmocka_unit_test(test_a_message_cut_at_any_byte_is_refused),
		cmocka_unit_test(test_any_failing_allocation_is_reported),
		cmocka_unit_test(
		    test_any_damaged_byte_is_refused_or_read_stably),
		cmocka_unit_test(test_a_message_is_not_taken_for_another),
		cmocka_unit_test(
		    test_a_buffer_that_overflows_is_left_as_it_was),
		cmocka_unit_test(test_values_of_the_wrong_type_are_refused),
		cmocka_unit_test(test_peek_tells_request_from_reply),
		cmocka_unit_test(test_an_unknown_request_can_be_answered),
		cmocka_unit_test(test_unknown_keys_are_skipped),
		cmocka_unit_test(test_a_fault_names_the_key_that_is_wrong),
		cmocka_unit_test(test_encoders_refuse_what_decoders_would),
		cmocka_unit_test(test_two_actions_in_one_start_are_refused),
		cmocka_unit_test(
		    test_a_route_that_contradicts_itself_is_refused),
		cmocka_unit_test(test_damaged_output_is_noticed),
		cmocka_unit_test(test_a_newer_peers_reason_and_hint_are_read),
		cmocka_unit_test(test_names_of_states_are_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

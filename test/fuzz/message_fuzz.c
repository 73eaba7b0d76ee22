/* fuzz: proto */
/* about: proto/message*.c proto/pack.c proto/[hlnst]*.c */
/*
 * The first byte selects a decoder.  What it reads must be encodable, and
 * reading that again must change nothing.
 */
#include "proto/lenframe.h"
#include "test/support/recode.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Feed the input as a stream, in two pieces. */
static void fuzz_lenframe(struct bytes input)
{
	struct bytes parts[2] = { input, input };
	struct lenframe f;
	enum rc rc = RC_OK;

	parts[0].len = input.len / 2;
	if (input.len > 0)
		parts[1].p += parts[0].len;
	parts[1].len -= parts[0].len;
	lenframe_init(&f, 64);
	for (size_t i = 0; i < 2; i++) {
		struct bytes message;

		while (rc == RC_OK && parts[i].len > 0) {
			rc = lenframe_feed(&f, &parts[i], NULL);
			while (
			    rc == RC_OK && lenframe_next(&f, &message) == RC_OK)
				assert(message.len > 0 && message.len <= 64);
		}
	}
	(void)lenframe_is_empty(&f);
	lenframe_fini(&f);
}

/* Texts are not fuzzed by the messages alone: they stop at the first error. */
static void fuzz_names(struct bytes input)
{
	char text[600], again[600];
	struct target target;
	struct path path;
	struct endpoint endpoint;
	struct spiffe spiffe;
	enum ticket_state state;
	enum route_how how;

	if (input.len >= sizeof(text))
		return;
	memcpy(text, input.p, input.len);
	text[input.len] = '\0';
	if (ticket_state_parse(text, &state) == RC_OK)
		assert(strcmp(text, ticket_state_name(state)) == 0);
	if (route_how_parse(text, &how) == RC_OK)
		assert(strcmp(text, route_how_name(how)) == 0);
	if (target_parse(text, &target, NULL) == RC_OK) {
		target_format(&target, again);
		assert(strcmp(text, again) == 0);
	}
	if (path_parse(text, &path, NULL) == RC_OK) {
		path_format(&path, again);
		assert(strcmp(text, again) == 0);
	}
	if (endpoint_parse(text, 0, &endpoint, NULL) == RC_OK) {
		endpoint_format(&endpoint, again);
		assert(strcmp(text, again) == 0);
	}
	if (spiffe_parse(text, &spiffe, NULL) == RC_OK) {
		spiffe_format(&spiffe, again);
		assert(strcmp(text, again) == 0);
	}
}

/* Any request that can be told apart can be refused. */
static void fuzz_refusal(struct bytes input)
{
	struct msg_reply reply = { .fault.code = REASON_TOO_MANY };
	struct msg_head head;
	struct packbuf b;
	struct fault fault;
	size_t mark;

	if (msg_peek(input, &head, &fault) != RC_OK)
		return;
	reply.id = head.id;
	packbuf_init(&b, 1024);
	mark = lenframe_begin(&b);
	assert(msg_refusal_encode(head.op, &reply, &b) == RC_OK);
	assert(lenframe_end(&b, mark, 1024) == RC_OK);
	packbuf_clear(&b);
	packbuf_fini(&b);
}

static void fuzz_message(const struct recoder *r, struct bytes input)
{
	struct packbuf first, second;
	struct fault fault;

	fuzz_refusal(input);
	packbuf_init(&first, 1 << 20);
	packbuf_init(&second, 1 << 20);
	if (r->recode(input, &first, &fault) == RC_OK) {
		assert(
		    r->recode(packbuf_bytes(&first), &second, &fault) == RC_OK);
		assert(
		    bytes_equal(packbuf_bytes(&first), packbuf_bytes(&second)));
	}
	packbuf_fini(&first);
	packbuf_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct bytes input;

	if (len == 0)
		return 0;
	input = bytes_of(data + 1, len - 1);
	if (data[0] < RECODER_COUNT)
		fuzz_message(&recoders[data[0]], input);
	else if (data[0] == 0xff)
		fuzz_lenframe(input);
	else if (data[0] == 0xfe)
		fuzz_names(input);
	return 0;
}

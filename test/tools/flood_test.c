#include "test/tools/flood.h"

#include "proto/frame.h"
#include "proto/mux.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void say_hello(struct mux *m)
{
	const struct frame hello = { .type = FRAME_HELLO };
	uint8_t out[FRAME_LEN_MAX];
	const uint8_t *p = out;
	size_t len = FRAME_HEADER_LEN;
	struct mux_event event;
	struct mux_batch batch;

	frame_encode(&hello, out);
	assert_int_equal(mux_recv(m, 0, &p, &len, &event), RC_OK);
	assert_int_equal(mux_hello(m, (struct bytes){ out, 1 }), RC_OK);
	mux_pull(m, 0, CLASS_BULK, out, sizeof(out), &batch);
}

/* What an acceptor makes of it, all in one moment; frames until it ends. */
static uint64_t frames_until_the_end(const char *kind)
{
	static uint8_t out[FRAME_LEN_MAX];
	struct mux_limits limits;
	struct mux_event event;
	struct mux_batch batch;
	struct flood f;
	struct mux *m;
	enum rc rc = RC_AGAIN;

	mux_limits_default(&limits);
	assert_int_equal(mux_new(MUX_ACCEPTOR, &limits, &m), RC_OK);
	say_hello(m);
	assert_int_equal(flood_init(&f, kind, NULL), RC_OK);
	if (flood_needs_stream(&f)) {
		/* One that it opened and that is gone will do. */
		uint32_t stream;

		assert_int_equal(mux_open(m, CLASS_HEALTH, NULL,
				     (struct bytes){ out, 1 }, &stream),
		    RC_OK);
		mux_pull(m, 0, CLASS_BULK, out, sizeof(out), &batch);
		f.stream = mux_wire_id(m, stream);
		assert_int_equal(
		    mux_reset(m, stream, (struct bytes){ out, 1 }), RC_OK);
	}
	while (rc != RC_PROTO) {
		const uint8_t *p = out;
		size_t len = flood_fill(&f, out, sizeof(out));

		assert_in_range(f.frames, 1, 100000);
		do {
			rc = mux_recv(m, 0, &p, &len, &event);
			if (rc == RC_OK && event.type == MUX_OPENED)
				assert_int_equal(mux_reset(m, event.stream,
						     (struct bytes){ out, 1 }),
				    RC_OK);
		} while (rc == RC_OK);
		mux_pull(m, 0, CLASS_BULK, out, sizeof(out), &batch);
	}
	assert_non_null(mux_failure(m));
	mux_free(m);
	return f.frames;
}

static void test_every_flood_ends_its_link(void **state)
{
	(void)state;
	assert_in_range(frames_until_the_end("open"), 4000, 5000);
	assert_in_range(frames_until_the_end("reset"), 8000, 10000);
	assert_in_range(frames_until_the_end("ping"), 800, 2500);
	assert_in_range(frames_until_the_end("empty"), 800, 3500);
	assert_in_range(frames_until_the_end("credit"), 800, 2500);
	assert_in_range(frames_until_the_end("tell"), 800, 3500);
	assert_in_range(frames_until_the_end("late"), 10, 3500);
	assert_in_range(frames_until_the_end("unknown"), 800, 3500);
}

static void test_a_flood_has_a_name(void **state)
{
	struct flood f;

	(void)state;
	assert_int_equal(flood_init(&f, "deluge", NULL), RC_NOTFOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_flood_ends_its_link),
		cmocka_unit_test(test_a_flood_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What a machine answers about its locks, right and wrong, becomes the answer
 * to who asked.  This file stands in for the fleet. */
#include "server/lock_ask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct fleet_request asked;
static unsigned answers;

enum rc fleet_request(struct fleet *f, const struct fleet_request *request,
    struct fleet_ask **out)
{
	(void)f;
	(void)out;
	asked = *request;
	return RC_OK;
}

void api_live_answer(struct api_live *live)
{
	(void)live;
	answers++;
}

void api_live_drop(struct api_live *live)
{
	(void)live;
	fail_msg("dropped");
}

static void answer(struct api_live *live, struct bytes message)
{
	struct server_hooks hooks = { .stopping = false };
	const struct fleet_reply reply = { .message = message };

	answers = 0;
	lock_ask(&hooks, live);
	asked.reply(asked.arg, &reply);
	assert_int_equal(answers, 1);
}

static void test_the_locks_of_a_machine_are_the_answer(void **state)
{
	struct api_live live = { .kind = API_LIVE_LOCKS };
	struct msg_lock lock = { .lock = "disk",
		.held = true,
		.ticket = "0123456789abcdef0123456789abcdef",
		.task = "task-1" };
	const struct msg_locks_reply m = {
		.reply.id = 1, .items = &lock, .count = 1
	};
	struct packbuf pack;

	(void)state;
	packbuf_init(&pack, 1 << 16);
	assert_int_equal(msg_locks_reply_encode(&m, &pack), RC_OK);
	answer(&live, packbuf_bytes(&pack));
	packbuf_fini(&pack);
	assert_int_equal(live.rc, RC_OK);
	assert_int_equal(
	    json_array_size(json_object_get(live.answer, "items")), 1);
	json_decref(live.answer);
}

static void test_what_is_not_understood_is_the_machines_fault(void **state)
{
	static const enum api_live_kind kinds[] = { API_LIVE_LOCKS,
		API_LIVE_LOCK_BREAK };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct api_live live = { .kind = kinds[i] };

		answer(&live, bytes_text("no message"));
		assert_int_equal(live.rc, RC_STATE);
		assert_int_not_equal(live.fault.code, REASON_NONE);
		assert_null(live.answer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_locks_of_a_machine_are_the_answer),
		cmocka_unit_test(
		    test_what_is_not_understood_is_the_machines_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

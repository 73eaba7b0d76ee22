/* The answer to `start` that waits a little: what it saves, and who need not
 * wait. */
#include "test/tentacle/operations_world.h"

/* As start(), but the answer may come later. */
static void ask(const struct msg_start *m)
{
	struct packbuf b;

	packbuf_init(&b, LENFRAME_STANDING_MAX);
	assert_int_equal(msg_start_encode(m, &b), RC_OK);
	request(&b);
}

static struct msg_start_reply answer(void)
{
	struct msg_start_reply r;

	wait_until(has_reply);
	assert_int_equal(
	    msg_start_reply_decode(bytes_of(reply, reply_len), &r, NULL),
	    RC_OK);
	return r;
}

static void hold(uint64_t ms)
{
	shut_down();
	config.hold_ms = ms;
	start_up();
}

static void test_a_quick_script_is_answered_with_its_end(void **state)
{
	struct msg_start m = script(1, "exit 3\n");
	struct msg_start_reply r;

	(void)state;
	hold(60000);
	ask(&m);
	assert_int_equal(reply_len, 0);
	r = answer();
	assert_int_equal(r.reply.id, 1);
	assert_int_equal(r.state, TICKET_EXITED);
	assert_true(r.has_result);
	assert_int_equal(r.result.exit_code, 3);
	assert_int_equal(r.result.log_size, 0);
	/* Known already: at once. */
	ask(&m);
	assert_int_equal(answer().state, TICKET_EXITED);
}

static void test_who_says_something_is_answered_before_its_end(void **state)
{
	struct msg_start m = script(1,
	    "echo here\nwhile [ ! -e $LONGARM_RUN_DIR/../../../go ]; do sleep "
	    "0.01; done\n");
	struct msg_start_reply r;
	char path[FS_PATH_MAX];

	(void)state;
	hold(60000);
	ask(&m);
	r = answer();
	assert_int_equal(r.state, TICKET_RUNNING);
	assert_false(r.has_result);
	(void)snprintf(path, sizeof(path), "%s/go", state_dir);
	assert_int_equal(fs_write_atomic(path, "", 0, 0600, NULL), RC_OK);
	assert_int_equal(finish(1).exit_code, 0);
}

static void test_who_is_silent_and_slow_is_answered_in_time(void **state)
{
	struct msg_start m = script(1, "sleep 60\n");

	(void)state;
	hold(20);
	ask(&m);
	assert_int_equal(reply_len, 0);
	assert_int_equal(answer().state, TICKET_RUNNING);
	(void)cancel(1);
	assert_int_equal(finish(1).state, TICKET_CANCELLED);
}

static void test_who_waits_for_his_turn_is_answered_at_once(void **state)
{
	struct msg_start first = script(1, "sleep 60\n");
	struct msg_start second = script(2, "true\n");

	(void)state;
	config.running_max = 1;
	hold(60000);
	ask(&first);
	assert_int_equal(reply_len, 0);
	ask(&second);
	assert_int_equal(answer().state, TICKET_ACCEPTED);
	/* Whose end is an answer, too. */
	(void)cancel(1);
	assert_int_equal(finish(1).state, TICKET_CANCELLED);
	wait_until(has_reply);
	assert_int_equal(finish(2).exit_code, 0);
}

static void test_nothing_is_sent_to_a_seal_that_is_gone(void **state)
{
	struct msg_start m = script(1, "true\n");

	(void)state;
	hold(60000);
	ask(&m);
	operations_caller_gone(ops, NULL);
	assert_int_equal(finish(1).exit_code, 0);
	assert_int_equal(reply_len, 0);
	/* Nor when all ends first. */
	m = script(2, "true\n");
	ask(&m);
	shut_down();
	assert_int_equal(reply_len, 0);
	start_up();
	assert_int_equal(finish(2).exit_code, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_quick_script_is_answered_with_its_end),
		TEST(test_who_says_something_is_answered_before_its_end),
		TEST(test_who_is_silent_and_slow_is_answered_in_time),
		TEST(test_who_waits_for_his_turn_is_answered_at_once),
		TEST(test_nothing_is_sent_to_a_seal_that_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

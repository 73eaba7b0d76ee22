/*
 * Words between the two processes: who may say which, and the socket that
 * carries them.
 */
#include "tentacle/port.h"

#include "proto/message_control.h"
#include "proto/message_seal.h"
#include "proto/message_upkeep.h"
#include "test/support/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ID_A "0123456789abcdef0123456789abcdef"

/* --- Words ------------------------------------------------------------------
 */

static const struct msg_port_life life = { { ID_A, 7, ID_A } };
static const struct msg_port_ready ready = { "10.0.0.3:10933" };
static const struct msg_port_contest contest = { 7 };
static const struct msg_trust trust = { 1, { (const uint8_t *)"b", 1 } };
static const struct msg_revoked revoked = {
	.id = 1, .number = 1, .size = 2, .piece = { (const uint8_t *)"b", 1 }
};
static struct bytes der = { (const uint8_t *)"b", 1 };
static const struct msg_certificate certificate = { .id = 1,
	.chain = { &der, 1 } };
static const struct msg_peers peers = { .id = 1 };
static const struct msg_trust_reply reply = { .reply.id = 1 };

#define WRITE(X)                                                               \
	static enum rc write_##X(struct packbuf *out)                          \
	{                                                                      \
		return msg_##X##_encode(&X, out);                              \
	}
WRITE(trust)
WRITE(revoked)
WRITE(certificate)
WRITE(peers)

static enum rc write_life(struct packbuf *out)
{
	return msg_port_life_encode(&life, out);
}

static enum rc write_ready(struct packbuf *out)
{
	return msg_port_ready_encode(&ready, out);
}

static enum rc write_contest(struct packbuf *out)
{
	return msg_port_contest_encode(&contest, out);
}

static enum rc write_reply(struct packbuf *out)
{
	return msg_trust_reply_encode(&reply, out);
}

static enum rc write_confirm(struct packbuf *out)
{
	const struct msg_confirm confirm = { .counter = 1 };

	return msg_confirm_encode(&confirm, out);
}

static const struct {
	enum rc (*write)(struct packbuf *out);
	bool exec, net; /* may say it */
	enum port_kind kind;
} words[] = {
	{ write_life, true, false, PORT_LIFE },
	{ write_ready, false, true, PORT_READY },
	{ write_contest, false, true, PORT_CONTEST },
	{ write_trust, true, false, PORT_UPKEEP },
	{ write_revoked, true, false, PORT_UPKEEP },
	{ write_certificate, true, true, PORT_UPKEEP },
	{ write_peers, true, false, PORT_UPKEEP },
	{ write_reply, false, false, PORT_UPKEEP },
	{ write_confirm, false, false, PORT_UPKEEP },
};

#define WORD_COUNT (sizeof(words) / sizeof(words[0]))

static void test_each_side_says_its_own_words_and_no_others(void **state)
{
	(void)state;
	for (size_t i = 0; i < WORD_COUNT; i++) {
		struct packbuf pack;
		struct port_word word;
		struct fault fault;
		enum rc by_exec, by_net;

		packbuf_init(&pack, PORT_MESSAGE_MAX);
		if (words[i].write(&pack) != RC_OK)
			fail_msg("word %zu cannot be written", i);
		by_exec =
		    port_read(PORT_EXEC, packbuf_bytes(&pack), &word, &fault);
		by_net =
		    port_read(PORT_NET, packbuf_bytes(&pack), &word, &fault);
		assert_int_equal(by_exec, words[i].exec ? RC_OK : RC_PROTO);
		assert_int_equal(by_net, words[i].net ? RC_OK : RC_PROTO);
		if (words[i].exec || words[i].net)
			assert_int_equal(word.kind, words[i].kind);
		packbuf_fini(&pack);
	}
}

static void test_a_word_that_is_cut_anywhere_is_none(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct packbuf pack;
		struct port_word word;
		struct fault fault;

		packbuf_init(&pack, PORT_MESSAGE_MAX);
		assert_int_equal(words[i].write(&pack), RC_OK);
		for (size_t len = 0; len < pack.len; len++) {
			assert_int_equal(
			    port_read(PORT_EXEC, bytes_of(pack.data, len),
				&word, &fault),
			    RC_PROTO);
			assert_int_equal(
			    port_read(PORT_NET, bytes_of(pack.data, len), &word,
				&fault),
			    RC_PROTO);
		}
		packbuf_fini(&pack);
	}
}

/* --- The socket -------------------------------------------------------------
 */

struct world {
	struct loop *loop;
	struct loop_timer *guard;
	struct port *near, *far;
	int near_fd;
	int raw; /* the far end, where nobody speaks as we do */
	unsigned wanted, got;
	bool gone;
};

static uint8_t big[PORT_MESSAGE_MAX + 1];

static void too_late(void *arg)
{
	(void)arg;
	fail_msg("not in 30 s");
}

static void on_far(void *arg, struct bytes message)
{
	struct world *w = arg;

	if (message.p == NULL) {
		w->gone = true;
		loop_stop(w->loop);
		return;
	}
	assert_int_equal(message.len, PORT_MESSAGE_MAX - w->got % 3);
	assert_int_equal(message.p[0], (uint8_t)w->got);
	if (++w->got == w->wanted)
		loop_stop(w->loop);
}

static void on_near(void *arg, struct bytes message)
{
	(void)arg;
	(void)message;
}

static void world_new(struct world *w, bool raw)
{
	int fds[2];

	memset(w, 0, sizeof(*w));
	w->raw = -1;
	assert_int_equal(loop_new(&w->loop), RC_OK);
	assert_int_equal(
	    loop_timer_new(w->loop, too_late, w, &w->guard), RC_OK);
	assert_int_equal(
	    socketpair(
		AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
	    0);
	w->near_fd = fds[0];
	if (raw)
		w->raw = fds[0];
	else
		assert_int_equal(
		    port_new(w->loop, fds[0], on_near, w, &w->near), RC_OK);
	assert_int_equal(port_new(w->loop, fds[1], on_far, w, &w->far), RC_OK);
	loop_timer_set(w->guard, 30000);
}

static void world_free(struct world *w)
{
	port_free(w->near);
	port_free(w->far);
	if (w->raw >= 0)
		(void)close(w->raw);
	loop_timer_free(w->guard);
	loop_free(w->loop);
}

static enum rc send_nth(struct world *w, unsigned n)
{
	big[0] = (uint8_t)n;
	return port_send(w->near, bytes_of(big, PORT_MESSAGE_MAX - n % 3));
}

static void test_messages_arrive_whole_and_in_order(void **state)
{
	struct world w;

	(void)state;
	world_new(&w, false);
	w.wanted = 50; /* more than the kernel holds */
	for (unsigned i = 0; i < w.wanted; i++)
		assert_int_equal(send_nth(&w, i), RC_OK);
	loop_run(w.loop);
	assert_int_equal(w.got, w.wanted);
	world_free(&w);
}

static void test_what_nobody_reads_is_held_up_to_a_limit(void **state)
{
	struct world w;
	enum rc rc = RC_OK;
	unsigned n = 0;

	(void)state;
	world_new(&w, false);
	while (rc == RC_OK && n < 1000)
		rc = send_nth(&w, n++);
	assert_int_equal(rc, RC_LIMIT);
	assert_in_range(n, PORT_UNSENT_MAX / PORT_MESSAGE_MAX,
	    2 * PORT_UNSENT_MAX / PORT_MESSAGE_MAX);
	world_free(&w);
}

static void test_a_message_that_is_too_long_or_empty_is_not_sent(void **state)
{
	struct world w;

	(void)state;
	world_new(&w, false);
	assert_int_equal(
	    port_send(w.near, bytes_of(big, sizeof(big))), RC_PROTO);
	assert_int_equal(port_send(w.near, bytes_of(big, 0)), RC_PROTO);
	world_free(&w);
}

/* It is not said to be sent: then who waits for an answer would for ever. */
static void test_what_the_socket_has_no_room_for_is_told(void **state)
{
	int small = 1;
	struct world w;

	(void)state;
	world_new(&w, false);
	assert_int_equal(
	    setsockopt(w.near_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)),
	    0);
	assert_int_equal(
	    port_send(w.near, bytes_of(big, PORT_MESSAGE_MAX)), RC_PROTO);
	assert_int_equal(port_send(w.near, bytes_of(big, 100)), RC_OK);
	world_free(&w);
}

static void test_a_message_that_is_too_long_ends_the_port(void **state)
{
	struct world w;

	(void)state;
	world_new(&w, true);
	assert_int_equal(
	    send(w.raw, big, sizeof(big), 0), (ssize_t)sizeof(big));
	loop_run(w.loop);
	assert_true(w.gone);
	assert_int_equal(w.got, 0);
	world_free(&w);
}

static void test_the_end_of_the_other_process_is_told_once(void **state)
{
	struct world w;

	(void)state;
	world_new(&w, false);
	assert_int_equal(send_nth(&w, 0), RC_OK);
	port_free(w.near);
	w.near = NULL;
	loop_run(w.loop);
	assert_true(w.gone);
	assert_int_equal(w.got, 1);
	world_free(&w);
}

static void test_without_memory_it_says_so(void **state)
{
	struct world w;
	enum rc rc = RC_OK;
	unsigned n = 0;

	(void)state;
	world_new(&w, false);
	alloc_fail_at(0);
	while (rc == RC_OK && n < 1000)
		rc = send_nth(&w, n++);
	alloc_never_fail();
	assert_int_equal(rc, RC_NOMEM);
	assert_int_equal(send_nth(&w, n - 1), RC_OK);
	w.wanted = n;
	loop_run(w.loop);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_each_side_says_its_own_words_and_no_others),
		cmocka_unit_test(test_a_word_that_is_cut_anywhere_is_none),
		cmocka_unit_test(test_messages_arrive_whole_and_in_order),
		cmocka_unit_test(test_what_nobody_reads_is_held_up_to_a_limit),
		cmocka_unit_test(
		    test_a_message_that_is_too_long_or_empty_is_not_sent),
		cmocka_unit_test(test_what_the_socket_has_no_room_for_is_told),
		cmocka_unit_test(test_a_message_that_is_too_long_ends_the_port),
		cmocka_unit_test(
		    test_the_end_of_the_other_process_is_told_once),
		cmocka_unit_test(test_without_memory_it_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

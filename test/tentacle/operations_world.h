/*
 * operations_world.h - a tentacle's operations in a directory of their own,
 * with real scripts, for tests.
 */
#ifndef TEST_TENTACLE_OPERATIONS_WORLD_H
#define TEST_TENTACLE_OPERATIONS_WORLD_H

#include "common/fs.h"
#include "proto/lenframe.h"
#include "proto/message_standing.h"
#include "tentacle/operations.h"
#include "test/support/guardian.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char top[64], state_dir[80], apps[80], guardian[FS_PATH_MAX];
static struct loop *loop;
static struct worker_pool *workers;
static struct operations *ops;
static struct operations_config config;

/* The last reply. */
static uint8_t reply[LENFRAME_STANDING_MAX];
static size_t reply_len;

static inline void on_send(void *arg, struct bytes message)
{
	(void)arg;
	assert_true(message.len <= sizeof(reply));
	memcpy(reply, message.p, message.len);
	reply_len = message.len;
}

static const struct operations_caller caller = { on_send, NULL };

static inline void start_up(void)
{
	struct fault f = { 0 };
	enum rc rc;

	assert_int_equal(loop_new(&loop), RC_OK);
	assert_int_equal(worker_pool_new(loop, 1, 10, &workers), RC_OK);
	rc = operations_open(loop, workers, &config, &ops, &f);
	if (rc != RC_OK)
		fail_msg("operations_open: %s", f.text);
}

static inline void shut_down(void)
{
	worker_pool_free(workers);
	operations_close(ops);
	loop_free(loop);
	ops = NULL;
}

static inline int set_up(void **state)
{
	(void)state;
	(void)snprintf(top, sizeof(top), "/tmp/longarm-ops-XXXXXX");
	assert_non_null(mkdtemp(top));
	(void)snprintf(state_dir, sizeof(state_dir), "%s/state", top);
	(void)snprintf(apps, sizeof(apps), "%s/apps", top);
	config = (struct operations_config){ OPERATIONS_CONFIG_DEFAULT,
		.state = state_dir, .apps = apps,
		.machine = { "cccccccccccccccccccccccccccccccc", "web-01" },
		.grace_ms = 2000, .guardian = guardian_path(guardian) };
	config.keep_free = config.unpack.keep_free = 0;
	config.hold_ms = 0;
	start_up();
	return 0;
}

static inline int tear_down(void **state)
{
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY);

	(void)state;
	shut_down();
	assert_int_equal(fs_remove_tree(fd, top + 5, NULL), RC_OK);
	(void)close(fd);
	return 0;
}

/* --- Talking to it ------------------------------------------------------ */

static inline void request(struct packbuf *b)
{
	struct fault f = { 0 };

	assert_int_equal(packbuf_rc(b), RC_OK);
	reply_len = 0;
	if (operations_request(ops, packbuf_bytes(b), caller, &f) != RC_OK)
		fail_msg("operations_request: %s", f.text);
	packbuf_fini(b);
}

static inline void ticket_id(char *out, unsigned n)
{
	(void)snprintf(out, ID_SIZE, "%032x", n);
}

static inline struct msg_start order(unsigned n)
{
	struct msg_start m = { .id = n, .epoch = 1, .timeout_ms = 20000 };

	ticket_id(m.ticket, n);
	(void)snprintf(m.task, sizeof(m.task), "tasks-1");
	m.incarnation.secs = 1000;
	memset(m.incarnation.random, 'd', ID_SIZE - 1);
	return m;
}

static inline struct msg_start script(unsigned n, const char *body)
{
	struct msg_start m = order(n);

	m.action = ACTION_SCRIPT;
	m.script.name = bytes_text("test");
	m.script.body = bytes_text(body);
	return m;
}

static inline struct msg_start_reply start(const struct msg_start *m)
{
	struct msg_start_reply r;
	struct packbuf b;

	packbuf_init(&b, LENFRAME_STANDING_MAX);
	assert_int_equal(msg_start_encode(m, &b), RC_OK);
	request(&b);
	assert_int_equal(
	    msg_start_reply_decode(bytes_of(reply, reply_len), &r, NULL),
	    RC_OK);
	assert_int_equal(r.reply.id, m->id);
	return r;
}

static inline struct msg_cancel_reply cancel(unsigned n)
{
	struct msg_cancel m = { .id = n, .epoch = 1 };
	struct msg_cancel_reply r;
	struct packbuf b;

	ticket_id(m.ticket, n);
	(void)snprintf(m.task, sizeof(m.task), "tasks-1");
	packbuf_init(&b, LENFRAME_STANDING_MAX);
	assert_int_equal(msg_cancel_encode(&m, &b), RC_OK);
	request(&b);
	assert_int_equal(
	    msg_cancel_reply_decode(bytes_of(reply, reply_len), &r, NULL),
	    RC_OK);
	return r;
}

/* --- Waiting ------------------------------------------------------------ */

struct wait {
	bool (*done)(void);
	struct loop_timer *timer;
	unsigned left;
};

static unsigned waited_for;
static const char *waited_text;

static inline void on_wait(void *arg)
{
	struct wait *w = arg;

	if (w->done() || w->left-- == 0)
		loop_stop(loop);
	else
		loop_timer_set(w->timer, 5);
}

static inline void wait_until(bool (*done)(void))
{
	struct wait w = { .done = done, .left = 4000 };

	assert_int_equal(loop_timer_new(loop, on_wait, &w, &w.timer), RC_OK);
	loop_timer_set(w.timer, 0);
	loop_run(loop);
	loop_timer_free(w.timer);
	assert_true(done());
}

static inline bool has_ended(void)
{
	struct msg_result r;
	char id[ID_SIZE];

	ticket_id(id, waited_for);
	/* The secrets go right after the end is on the disk. */
	return operations_result(ops, id, &r) == RC_OK;
}

static char log_text[8192];

static inline void read_log(unsigned n)
{
	struct runlog_range range = { .size = 7 };
	char id[ID_SIZE];
	bool ended;

	ticket_id(id, n);
	do {
		range.out = (uint8_t *)log_text + range.offset;
		if (operations_read(ops, id, &range, &ended) != RC_OK)
			break;
		range.offset += range.got;
	} while (range.got > 0 && range.offset + 8 < sizeof(log_text));
	log_text[range.offset] = '\0';
}

static inline bool has_text(void)
{
	read_log(waited_for);
	return strstr(log_text, waited_text) != NULL;
}

static inline struct msg_result finish(unsigned n)
{
	struct msg_result r;
	char id[ID_SIZE];

	waited_for = n;
	wait_until(has_ended);
	ticket_id(id, n);
	assert_int_equal(operations_result(ops, id, &r), RC_OK);
	read_log(n);
	assert_int_equal(strlen(log_text), r.log_size);
	return r;
}

static inline bool has_reply(void)
{
	return reply_len > 0;
}

static inline void wait_text(unsigned n, const char *text)
{
	waited_for = n;
	waited_text = text;
	wait_until(has_text);
}

#endif

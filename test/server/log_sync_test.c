/*
 * Logs on their way to the disk: the result is told when both are kept.  This
 * file stands in for the rest of the dispatcher, so the linker takes no other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/api/api.h"
#include "server/dispatch/work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
	loop_fn work, done;
	void *arg;
	struct store_job *job;
	unsigned ended, changed;
} seen;

/* ---- the rest of the dispatcher ---- */

enum rc worker_submit_first(
    struct worker_pool *pool, loop_fn work, loop_fn done, void *arg)
{
	(void)pool;
	seen.work = work;
	seen.done = done;
	seen.arg = arg;
	return RC_OK;
}

void work_submit(struct dispatch *d, struct store_job *job)
{
	(void)d;
	seen.job = job;
}

bool work_closed(struct dispatch *d)
{
	(void)d;
	return false;
}

void work_broken(struct dispatch *d, const char *what, const char *why)
{
	(void)d;
	fail_msg("%s: %s", what, why);
}

bool store_broken(struct store *s)
{
	(void)s;
	return false;
}

void loop_timer_set(struct loop_timer *t, uint64_t ms)
{
	(void)t;
	(void)ms;
}

bool loop_timer_pending(const struct loop_timer *t)
{
	(void)t;
	return false;
}

void fleet_follow_ack(struct fleet_follow *follow, uint64_t offset)
{
	(void)follow;
	(void)offset;
}

void run_follow(struct work_run *run)
{
	(void)run;
}

void run_settle(struct work_run *run)
{
	(void)run;
}

void run_ended(struct work_run *run)
{
	run->has_result = false;
	seen.ended++;
}

enum rc api_log_path(
    const char *dir, const struct run_key *key, char *out, size_t size)
{
	(void)dir;
	(void)key;
	(void)snprintf(out, size, "/none");
	return RC_OK;
}

static void task_changed(void *owner, uint64_t number)
{
	(void)owner;
	(void)number;
	seen.changed++;
}

/* ---- one log ---- */

struct desk {
	struct dispatch_ops ops;
	struct dispatch dispatch;
	struct work_task task;
	struct work_run run;
};

static void open_desk(struct desk *d)
{
	char path[] = "/tmp/longarm-sync-XXXXXX";

	memset(&seen, 0, sizeof(seen));
	*d = (struct desk){ .ops.task_changed = task_changed };
	d->dispatch.parts.ops = &d->ops;
	TAILQ_INIT(&d->dispatch.dirty);
	d->task.dispatch = &d->dispatch;
	d->run.task = &d->task;
	d->run.fd = mkstemp(path);
	assert_true(d->run.fd >= 0);
	(void)unlink(path);
	assert_int_equal(write(d->run.fd, "hello\n", 6), 6);
	d->run.written = 6;
	d->run.has_result = true;
	d->run.result.log_size = 6;
}

static void close_desk(struct desk *d)
{
	(void)close(d->run.fd);
}

/* Begin a batch, and take it as far as its commit. */
static void sync_begin(struct desk *d)
{
	run_mark_dirty(&d->run);
	work_sync(&d->dispatch);
	seen.work(seen.arg);
	seen.done(seen.arg);
	assert_non_null(seen.job);
}

static void sync_end(void)
{
	seen.job->done(seen.job, RC_OK);
}

static void test_the_end_is_told_when_all_is_kept(void **state)
{
	struct desk d;

	(void)state;
	open_desk(&d);
	d.run.noting = 1;
	sync_begin(&d);
	sync_end();
	assert_int_equal(seen.ended, 0);
	d.run.noting = 0;
	sync_begin(&d);
	sync_end();
	assert_int_equal(seen.ended, 1);
	assert_int_equal(d.run.committed, 6);
	close_desk(&d);
}

static void test_a_result_that_was_given_up_meanwhile_is_not_told(void **state)
{
	struct desk d;

	(void)state;
	open_desk(&d);
	d.run.noting = 1;
	sync_begin(&d);
	/* A note could not be kept: all is asked for again. */
	d.run.noting = 0;
	d.run.has_result = false;
	sync_end();
	assert_int_equal(seen.ended, 0);
	close_desk(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_end_is_told_when_all_is_kept),
		cmocka_unit_test(
		    test_a_result_that_was_given_up_meanwhile_is_not_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

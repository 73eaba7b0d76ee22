#include "common/loop.h"
#include "common/worker.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct seen {
	struct loop *loop;
	int count;
};

static void note_and_stop(void *arg)
{
	struct seen *seen = arg;

	seen->count++;
	loop_stop(seen->loop);
}

static void test_a_timer_fires_once(void **state)
{
	struct seen seen = { 0 };
	struct loop_timer *t;

	(void)state;
	assert_int_equal(loop_new(&seen.loop), RC_OK);
	assert_int_equal(
	    loop_timer_new(seen.loop, note_and_stop, &seen, &t), RC_OK);
	assert_false(loop_timer_pending(t));
	loop_timer_set(t, 1);
	assert_true(loop_timer_pending(t));
	loop_run(seen.loop);
	assert_int_equal(seen.count, 1);
	assert_false(loop_timer_pending(t));
	loop_timer_free(t);
	loop_free(seen.loop);
}

struct order {
	struct loop_timer *soon, *zero;
	struct seen seen;
	int soon_was; /* how many had fired before it */
};

static void on_soon(void *arg)
{
	struct order *o = arg;

	o->soon_was = o->seen.count;
}

static void set_both(void *arg)
{
	struct order *o = arg;

	loop_timer_set(o->zero, 0);
	loop_timer_soon(o->soon);
	assert_true(loop_timer_pending(o->soon));
}

static void test_soon_is_before_any_timer_that_is_set_now(void **state)
{
	struct order o = { .soon_was = -1 };

	(void)state;
	assert_int_equal(loop_new(&o.seen.loop), RC_OK);
	assert_int_equal(
	    loop_timer_new(o.seen.loop, on_soon, &o, &o.soon), RC_OK);
	assert_int_equal(
	    loop_timer_new(o.seen.loop, note_and_stop, &o.seen, &o.zero),
	    RC_OK);
	assert_int_equal(loop_post(o.seen.loop, set_both, &o), RC_OK);
	loop_run(o.seen.loop);
	assert_int_equal(o.soon_was, 0);
	assert_false(loop_timer_pending(o.soon));
	/* Stopped, it does not come. */
	o.soon_was = -1;
	loop_timer_soon(o.soon);
	loop_timer_stop(o.soon);
	assert_false(loop_timer_pending(o.soon));
	loop_timer_set(o.zero, 0);
	loop_run(o.seen.loop);
	assert_int_equal(o.soon_was, -1);
	loop_timer_free(o.soon);
	loop_timer_free(o.zero);
	loop_free(o.seen.loop);
}

static void *post_from_thread(void *arg)
{
	struct seen *seen = arg;

	assert_int_equal(loop_post(seen->loop, note_and_stop, seen), RC_OK);
	return NULL;
}

static void test_another_thread_wakes_the_loop(void **state)
{
	struct seen seen = { 0 };
	pthread_t thread;

	(void)state;
	assert_int_equal(loop_new(&seen.loop), RC_OK);
	assert_int_equal(
	    pthread_create(&thread, NULL, post_from_thread, &seen), 0);
	loop_run(seen.loop);
	assert_int_equal(seen.count, 1);
	(void)pthread_join(thread, NULL);
	loop_free(seen.loop);
}

static void on_address(
    void *arg, const struct address *a, size_t count, const char *error)
{
	char text[ADDRESS_TEXT_MAX];
	int *calls = arg;

	(*calls)++;
	assert_null(error);
	assert_int_equal(count, 1);
	assert_string_equal(
	    address_text(a, text, sizeof(text)), "[fd00::1]:10933");
}

static void test_a_numeric_host_is_answered_at_once(void **state)
{
	struct loop_lookup *lookup;
	struct loop *loop;
	int calls = 0;

	(void)state;
	assert_int_equal(loop_new(&loop), RC_OK);
	assert_int_equal(
	    loop_lookup(loop, "fd00::1", 10933, on_address, &calls, &lookup),
	    RC_OK);
	assert_int_equal(calls, 1);
	assert_null(lookup);
	loop_free(loop);
}

struct sum {
	struct loop *loop;
	pthread_t worker;
	int left;
};

static void work(void *arg)
{
	struct sum *sum = arg;

	sum->worker = pthread_self();
}

static void done(void *arg)
{
	struct sum *sum = arg;

	assert_false(pthread_equal(sum->worker, pthread_self()));
	if (--sum->left == 0)
		loop_stop(sum->loop);
}

static void test_work_runs_on_a_worker_and_is_done_on_the_loop(void **state)
{
	struct sum sum = { .left = 1 };
	struct worker_pool *pool;

	(void)state;
	assert_int_equal(loop_new(&sum.loop), RC_OK);
	assert_int_equal(worker_pool_new(sum.loop, 1, 10, &pool), RC_OK);
	assert_int_equal(worker_submit(pool, work, done, &sum), RC_OK);
	loop_run(sum.loop);
	assert_int_equal(sum.left, 0);
	worker_pool_free(pool);
	loop_free(sum.loop);
}

static void test_who_came_by_ipv4_is_shown_so(void **state)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	struct address a = { .len = sizeof(v6) };
	char text[ADDRESS_TEXT_MAX];

	(void)state;
	v6.sin6_port = htons(10933);
	assert_int_equal(
	    inet_pton(AF_INET6, "::ffff:10.0.0.3", &v6.sin6_addr), 1);
	memcpy(&a.sa, &v6, sizeof(v6));
	assert_string_equal(
	    address_text(&a, text, sizeof(text)), "10.0.0.3:10933");
	assert_int_equal(inet_pton(AF_INET6, "fd00::1", &v6.sin6_addr), 1);
	memcpy(&a.sa, &v6, sizeof(v6));
	assert_string_equal(
	    address_text(&a, text, sizeof(text)), "[fd00::1]:10933");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_came_by_ipv4_is_shown_so),
		cmocka_unit_test(test_a_timer_fires_once),
		cmocka_unit_test(test_soon_is_before_any_timer_that_is_set_now),
		cmocka_unit_test(test_another_thread_wakes_the_loop),
		cmocka_unit_test(test_a_numeric_host_is_answered_at_once),
		cmocka_unit_test(
		    test_work_runs_on_a_worker_and_is_done_on_the_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

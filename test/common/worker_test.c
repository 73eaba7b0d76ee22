/* Whose turn it is among the jobs that wait for a worker. */
#include "common/worker.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
	struct loop *loop;
	struct worker_pool *pool; /* one thread */
	pthread_mutex_t gate;     /* the worker waits for it */
	char ran[8];              /* the worker's, until all are done */
	unsigned done;
};

struct task {
	struct fixture *f;
	char name;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(pthread_mutex_init(&f->gate, NULL), 0);
	assert_int_equal(loop_new(&f->loop), RC_OK);
	assert_int_equal(worker_pool_new(f->loop, 1, 4, &f->pool), RC_OK);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	worker_pool_free(f->pool);
	loop_free(f->loop);
	(void)pthread_mutex_destroy(&f->gate);
	free(f);
	return 0;
}

static void work(void *arg)
{
	const struct task *t = arg;

	(void)pthread_mutex_lock(&t->f->gate);
	t->f->ran[strlen(t->f->ran)] = t->name;
	(void)pthread_mutex_unlock(&t->f->gate);
}

static void done(void *arg)
{
	const struct task *t = arg;

	if (++t->f->done == 5)
		loop_stop(t->f->loop);
}

static void test_what_is_put_first_runs_before_what_waits(void **state)
{
	struct fixture *f = *state;
	struct task t[] = { { f, 'a' }, { f, 'b' }, { f, 'c' }, { f, 'F' },
		{ f, 'd' } };
	const char *first;

	(void)pthread_mutex_lock(&f->gate);
	for (int i = 0; i < 3; i++)
		assert_int_equal(
		    worker_submit(f->pool, work, done, &t[i]), RC_OK);
	assert_int_equal(
	    worker_submit_first(f->pool, work, done, &t[3]), RC_OK);
	(void)pthread_mutex_unlock(&f->gate);
	while (worker_submit(f->pool, work, done, &t[4]) == RC_LIMIT)
		;
	loop_run(f->loop);
	first = strchr(f->ran, 'F');
	assert_non_null(first);
	/* Ahead of all but the one that had begun. */
	assert_true(first - f->ran <= 1);
	assert_true(
	    strcmp(f->ran, "aFbcd") == 0 || strcmp(f->ran, "Fabcd") == 0);
}

static void test_first_into_an_empty_queue_does_not_lose_its_end(void **state)
{
	struct fixture *f = *state;
	struct task t[] = { { f, 'a' }, { f, 'b' }, { f, 'c' }, { f, 'd' },
		{ f, 'e' } };

	assert_int_equal(
	    worker_submit_first(f->pool, work, done, &t[0]), RC_OK);
	for (int i = 1; i < 5; i++)
		while (worker_submit(f->pool, work, done, &t[i]) == RC_LIMIT)
			;
	loop_run(f->loop);
	assert_string_equal(f->ran, "abcde");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_what_is_put_first_runs_before_what_waits, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    test_first_into_an_empty_queue_does_not_lose_its_end,
		    set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

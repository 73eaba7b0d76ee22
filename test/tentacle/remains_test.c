#include "tentacle/remains.h"

#include "common/fs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char top[64], runs[80], worlds[80];
static struct loop *loop;
static struct worker_pool *workers;
static struct remains *remains;

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(top, sizeof(top), "/tmp/longarm-remains-XXXXXX");
	assert_non_null(mkdtemp(top));
	(void)snprintf(runs, sizeof(runs), "%s/runs", top);
	(void)snprintf(worlds, sizeof(worlds), "%s/worlds", top);
	assert_int_equal(mkdir(runs, 0700), 0);
	assert_int_equal(mkdir(worlds, 0700), 0);
	assert_int_equal(loop_new(&loop), RC_OK);
	assert_int_equal(worker_pool_new(loop, 1, 10, &workers), RC_OK);
	assert_int_equal(remains_new(workers, runs, worlds, &remains), RC_OK);
	return 0;
}

static int tear_down(void **state)
{
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY);

	(void)state;
	worker_pool_free(workers);
	remains_free(remains);
	loop_free(loop);
	assert_int_equal(fs_remove_tree(fd, top + 5, NULL), RC_OK);
	(void)close(fd);
	return 0;
}

static void make(const char *dir, const char *name, int files)
{
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(mkdir(path, 0700), 0);
	for (int i = 0; i < files; i++) {
		int fd;

		(void)snprintf(path, sizeof(path), "%s/%s/%d", dir, name, i);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		(void)close(fd);
	}
}

static bool is_there(const char *dir, const char *name)
{
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

/* An empty directory can be removed. */
static bool is_empty(const char *dir)
{
	if (rmdir(dir) != 0)
		return false;
	assert_int_equal(mkdir(dir, 0700), 0);
	return true;
}

static struct loop_timer *timer;
static const char *expected;
static unsigned left;

static void on_timer(void *arg)
{
	(void)arg;
	if (is_empty(expected) || left-- == 0)
		loop_stop(loop);
	else
		loop_timer_set(timer, 5);
}

static void wait_empty(const char *dir)
{
	expected = dir;
	left = 4000;
	assert_int_equal(loop_timer_new(loop, on_timer, NULL, &timer), RC_OK);
	loop_timer_set(timer, 0);
	loop_run(loop);
	loop_timer_free(timer);
	assert_true(is_empty(dir));
}

static void test_a_directory_is_gone_at_once_and_removed_in_parts(void **state)
{
	(void)state;
	make(worlds, "ticket", 12000);
	remains_add(remains, worlds, "ticket");
	assert_false(is_there(worlds, "ticket"));
	assert_false(is_empty(worlds));
	/* Its name is free. */
	make(worlds, "ticket", 1);
	remains_add(remains, worlds, "ticket");
	make(runs, "other", 1);
	remains_add(remains, runs, "other");
	wait_empty(worlds);
	wait_empty(runs);
}

static void test_what_an_earlier_life_left_is_removed(void **state)
{
	(void)state;
	make(worlds, ".gone-ticket-1234", 3);
	make(worlds, "ticket", 3);
	remains_look(remains);
	/* What is not gone stays. */
	make(runs, ".gone-x", 0);
	remains_look(remains);
	wait_empty(runs);
	assert_true(is_there(worlds, "ticket/2"));
	assert_false(is_there(worlds, ".gone-ticket-1234"));
}

static void test_what_is_not_there_is_fine(void **state)
{
	(void)state;
	remains_add(remains, worlds, "ticket");
	remains_add(remains, "", "ticket");
	assert_true(is_empty(worlds));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_directory_is_gone_at_once_and_removed_in_parts),
		TEST(test_what_an_earlier_life_left_is_removed),
		TEST(test_what_is_not_there_is_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * What a script of another user needs is on the disk before it is marked as
 * begun.  Needs root: skipped elsewhere.
 */
#include "tentacle/run.h"

#include "common/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char top[64], dir[80], world[96];
static char synced[32][FS_PATH_MAX]; /* what was, as it is called then */
static size_t synced_count;
static const char *fails; /* the end of the name that cannot be synced */

/* Takes the place of libc's. */
int fsync(int fd)
{
	char link[32], *at = synced[synced_count];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, at, FS_PATH_MAX - 1);
	assert_true(n > 0 && synced_count < 31);
	at[n] = '\0';
	synced_count++;
	if (fails == NULL || (size_t)n < strlen(fails) ||
	    strcmp(at + n - strlen(fails), fails) != 0)
		return 0;
	errno = EIO;
	return -1;
}

static int set_up(void **state)
{
	(void)state;
	synced_count = 0;
	fails = NULL;
	(void)snprintf(top, sizeof(top), "/tmp/longarm-rsync-XXXXXX");
	assert_non_null(mkdtemp(top));
	(void)snprintf(dir, sizeof(dir), "%s/ticket", top);
	(void)snprintf(world, sizeof(world), "%s/.worlds/ticket", top);
	return 0;
}

static int tear_down(void **state)
{
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY);

	(void)state;
	assert_int_equal(fs_remove_tree(fd, top + 5, NULL), RC_OK);
	(void)close(fd);
	return 0;
}

static enum rc prepare(const char *user)
{
	static const struct msg_pair secret = { { (const uint8_t *)"key", 3 },
		{ (const uint8_t *)"hunter22", 8 } };
	const struct run_spec spec = { .dir = dir,
		.name = "script",
		.guardian = -1,
		.ticket = "",
		.machine = { "", "" },
		.secrets = &secret,
		.secret_count = 1,
		.user = user,
		.world = world,
		.body = bytes_text("exit 0") };

	return run_prepare(&spec, NULL);
}

static bool was_synced(const char *base, const char *name)
{
	char path[FS_PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s%s", base, name);
	for (size_t i = 0; i < synced_count; i++) {
		if (strcmp(synced[i], path) == 0)
			return true;
	}
	return false;
}

static void test_a_script_of_another_user_is_synced(void **state)
{
	char worlds[96];

	(void)state;
	if (geteuid() != 0)
		skip();
	(void)snprintf(worlds, sizeof(worlds), "%s/.worlds", top);
	assert_int_equal(prepare("nobody"), RC_OK);
	assert_true(was_synced(world, "/.script"));
	assert_true(was_synced(world, "/.secrets/key"));
	assert_true(was_synced(world, "/.secrets"));
	assert_true(was_synced(world, ""));
	assert_true(was_synced(worlds, ""));
}

static void test_one_that_cannot_be_synced_is_not_run(void **state)
{
	static const char *const names[] = { "/.script", "/.secrets/key",
		"/.secrets", "/.worlds/ticket", "/.worlds" };

	(void)state;
	if (geteuid() != 0)
		skip();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		synced_count = 0;
		fails = names[i];
		assert_int_equal(prepare("nobody"), RC_IO);
	}
}

/* Its names are made before the script's, with which they are synced. */
static void test_the_ticket_s_directory_is_synced_when_all_is_there(
    void **state)
{
	char path[FS_PATH_MAX];
	struct stat st;

	(void)state;
	fails = dir;
	/* The first sync of the directory itself is with the script. */
	assert_int_equal(prepare(NULL), RC_IO);
	(void)snprintf(path, sizeof(path), "%s/run-script", dir);
	assert_int_equal(stat(path, &st), 0);
	(void)snprintf(path, sizeof(path), "%s/" RUN_WORK, dir);
	assert_int_equal(stat(path, &st), 0);
	(void)snprintf(path, sizeof(path), "%s/output", dir);
	assert_int_equal(stat(path, &st), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_script_of_another_user_is_synced),
		TEST(test_one_that_cannot_be_synced_is_not_run),
		TEST(test_the_ticket_s_directory_is_synced_when_all_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

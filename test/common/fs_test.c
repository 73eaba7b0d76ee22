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

static char top[64];
static int top_fd;

static int setup(void **state)
{
	(void)state;
	memcpy(top, "/tmp/longarm-fs-XXXXXX", 23);
	if (mkdtemp(top) == NULL)
		return 1;
	top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return top_fd < 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)close(top_fd);
	return rmdir(top);
}

/* A path below the test's directory. */
static const char *at(const char *name)
{
	static char path[4][256];
	static unsigned next;
	char *p = path[next++ % 4];

	(void)snprintf(p, sizeof(path[0]), "%s/%s", top, name);
	return p;
}

static void test_private_directories_are_made_with_their_parents(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(fs_make_private_dir(at("a/b/c"), NULL), RC_OK);
	assert_int_equal(stat(at("a/b"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(fs_make_private_dir(at("a/b/c"), NULL), RC_OK);
	assert_int_equal(fs_make_private_dir(at("a//b/d/"), NULL), RC_OK);
	assert_int_equal(fs_remove_tree(top_fd, "a", NULL), RC_OK);
}

static void test_a_directory_open_to_others_is_refused(void **state)
{
	struct fault fault;

	(void)state;
	assert_int_equal(mkdir(at("open"), 0700), 0);
	assert_int_equal(chmod(at("open"), 0750), 0);
	assert_int_equal(fs_make_private_dir(at("open"), &fault), RC_DENIED);
	assert_non_null(strstr(fault.text, "mode 750"));
	assert_non_null(strstr(fault.text, "chmod 700"));
	assert_int_equal(fs_remove_tree(top_fd, "open", NULL), RC_OK);
}

static void test_a_file_in_the_way_of_a_directory_is_named(void **state)
{
	struct fault fault;

	(void)state;
	assert_int_equal(fs_write_atomic(at("f"), "x", 1, 0600, NULL), RC_OK);
	assert_int_equal(fs_make_private_dir(at("f"), &fault), RC_DENIED);
	assert_non_null(strstr(fault.text, "not a directory"));
	assert_int_equal(fs_make_private_dir(at("f/g"), &fault), RC_IO);
	assert_int_equal(unlink(at("f")), 0);
}

static void test_an_atomic_write_replaces_content_and_mode(void **state)
{
	struct stat st;
	uint8_t *data;
	size_t len;

	(void)state;
	assert_int_equal(
	    fs_write_atomic(at("f"), "old content", 11, 0600, NULL), RC_OK);
	assert_int_equal(fs_write_atomic(at("f"), "new", 3, 0644, NULL), RC_OK);
	assert_int_equal(fs_read_file(at("f"), 3, &data, &len, NULL), RC_OK);
	assert_int_equal(len, 3);
	assert_string_equal((char *)data, "new");
	free(data);
	assert_int_equal(stat(at("f"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	/* Only the file: nothing is left beside it. */
	assert_int_equal(unlink(at("f")), 0);
}

static void test_a_failed_write_says_where(void **state)
{
	struct fault fault;

	(void)state;
	assert_int_equal(
	    fs_write_atomic(at("no/f"), "x", 1, 0600, &fault), RC_IO);
	assert_non_null(strstr(fault.text, "no/f: No such file"));
}

static void test_a_full_disk_is_told_as_no_space(void **state)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, "x", 1), RC_IO);
	assert_int_equal(errno, ENOSPC);
	(void)close(fd);
}

static void test_a_file_longer_than_the_limit_is_refused(void **state)
{
	static char big[9000];
	struct fault fault;
	uint8_t *data = NULL;
	size_t len;

	(void)state;
	memset(big, 'x', sizeof(big));
	assert_int_equal(
	    fs_write_atomic(at("f"), big, sizeof(big), 0600, NULL), RC_OK);
	assert_int_equal(
	    fs_read_file(at("f"), 8999, &data, &len, &fault), RC_LIMIT);
	assert_non_null(strstr(fault.text, "limit of 8999 bytes"));
	assert_null(data);
	assert_int_equal(fs_read_file(at("f"), 9000, &data, &len, NULL), RC_OK);
	assert_int_equal(len, 9000);
	free(data);
	assert_int_equal(unlink(at("f")), 0);
	assert_int_equal(
	    fs_read_file(at("f"), 9, &data, &len, &fault), RC_NOTFOUND);
	assert_int_equal(fs_read_file(top, 9, &data, &len, &fault), RC_IO);
}

static void test_a_second_lock_is_refused_with_the_pid(void **state)
{
	struct fault fault;
	char pid[24];
	int fd, other;

	(void)state;
	assert_int_equal(fs_lock(at("lock"), &fd, NULL), RC_OK);
	assert_int_equal(fs_lock(at("lock"), &other, &fault), RC_EXISTS);
	(void)snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
	assert_non_null(strstr(fault.text, pid));
	fs_unlock(fd);
	assert_int_equal(fs_lock(at("lock"), &fd, NULL), RC_OK);
	fs_unlock(fd);
	assert_int_equal(unlink(at("lock")), 0);
}

static void test_removing_a_tree_does_not_follow_links(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(fs_make_private_dir(at("keep"), NULL), RC_OK);
	assert_int_equal(
	    fs_write_atomic(at("keep/f"), "x", 1, 0600, NULL), RC_OK);
	assert_int_equal(fs_make_private_dir(at("t/a/b"), NULL), RC_OK);
	assert_int_equal(
	    fs_write_atomic(at("t/a/f"), "x", 1, 0400, NULL), RC_OK);
	assert_int_equal(symlink("../../keep", at("t/a/link")), 0);
	assert_int_equal(symlink("/nowhere", at("t/dangling")), 0);
	assert_int_equal(chmod(at("t/a"), 0500), 0);
	assert_int_equal(fs_remove_tree(top_fd, "t", NULL), RC_OK);
	assert_int_equal(lstat(at("t"), &st), -1);
	assert_int_equal(stat(at("keep/f"), &st), 0);
	assert_int_equal(symlink("keep", at("link")), 0);
	assert_int_equal(fs_remove_tree(top_fd, "link", NULL), RC_OK);
	assert_int_equal(stat(at("keep/f"), &st), 0);
	assert_int_equal(fs_remove_tree(top_fd, "keep", NULL), RC_OK);
	assert_int_equal(fs_remove_tree(top_fd, "keep", NULL), RC_OK);
}

static void test_a_name_that_leaves_the_directory_is_not_removed(void **state)
{
	static const char *const names[] = { "", ".", "..", "a/b", "/tmp" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(
		    fs_remove_tree(top_fd, names[i], NULL), RC_DENIED);
}

/* Open directories are far fewer than that. */
static void test_a_tree_of_any_depth_is_removed(void **state)
{
	int fd = dup(top_fd);

	(void)state;
	for (int i = 0; i < 1500; i++) {
		int next;

		assert_int_equal(mkdirat(fd, "d", 0700), 0);
		if (i % 50 == 0)
			assert_int_equal(mkdirat(fd, "side", 0700), 0);
		next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		(void)close(fd);
		fd = next;
	}
	(void)close(fd);
	assert_int_equal(unlinkat(top_fd, "side", AT_REMOVEDIR), 0);
	assert_int_equal(fs_remove_tree(top_fd, "d", NULL), RC_OK);
	assert_int_equal(faccessat(top_fd, "d", F_OK, 0), -1);
}

static void test_a_tree_is_removed_in_parts(void **state)
{
	uint64_t budget = 20;
	char name[32];
	int rounds = 0;

	(void)state;
	assert_int_equal(mkdir(at("d"), 0700), 0);
	for (int i = 0; i < 50; i++) {
		(void)snprintf(name, sizeof(name), "d/%d", i);
		assert_int_equal(mkdir(at(name), 0700), 0);
	}
	while (fs_remove_some(top_fd, "d", &budget, NULL) == RC_AGAIN) {
		assert_int_equal(budget, 0);
		budget = 20;
		rounds++;
	}
	assert_true(rounds >= 3 && rounds < 20);
	assert_int_equal(faccessat(top_fd, "d", F_OK, 0), -1);
}

static void test_free_space_is_known(void **state)
{
	uint64_t bytes = 0;

	(void)state;
	assert_int_equal(fs_free_bytes(top, &bytes), RC_OK);
	assert_true(bytes > 0);
	assert_int_equal(fs_free_bytes("/nowhere", &bytes), RC_IO);
}

static void test_a_path_that_does_not_fit_is_refused(void **state)
{
	char path[8];

	(void)state;
	assert_int_equal(fs_join(path, sizeof(path), "/a", "b"), RC_OK);
	assert_string_equal(path, "/a/b");
	assert_int_equal(fs_join(path, sizeof(path), "/abcd", "ef"), RC_LIMIT);
}

static void test_a_relative_path_is_made_absolute(void **state)
{
	char here[FS_PATH_MAX], path[FS_PATH_MAX], expect[FS_PATH_MAX];
	struct fault fault;

	(void)state;
	assert_non_null(getcwd(here, sizeof(here)));
	assert_int_equal(fs_join(expect, sizeof(expect), here, "a/b"), RC_OK);
	assert_int_equal(fs_absolute(path, sizeof(path), "a/b", &fault), RC_OK);
	assert_string_equal(path, expect);
	assert_int_equal(fs_absolute(path, sizeof(path), "/c", &fault), RC_OK);
	assert_string_equal(path, "/c");
	assert_int_equal(fs_absolute(path, 2, "/c", &fault), RC_LIMIT);
	assert_int_equal(fault.code, REASON_BAD_CONFIG);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_private_directories_are_made_with_their_parents),
		T(test_a_directory_open_to_others_is_refused),
		T(test_a_file_in_the_way_of_a_directory_is_named),
		T(test_an_atomic_write_replaces_content_and_mode),
		T(test_a_failed_write_says_where),
		T(test_a_full_disk_is_told_as_no_space),
		T(test_a_file_longer_than_the_limit_is_refused),
		T(test_a_second_lock_is_refused_with_the_pid),
		T(test_removing_a_tree_does_not_follow_links),
		T(test_a_name_that_leaves_the_directory_is_not_removed),
		T(test_a_tree_of_any_depth_is_removed),
		T(test_a_tree_is_removed_in_parts),
		T(test_free_space_is_known),
		T(test_a_path_that_does_not_fit_is_refused),
		T(test_a_relative_path_is_made_absolute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

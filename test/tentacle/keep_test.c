#include "tentacle/keep.h"

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

static char top[64], from[80], to[80], digest[DIGEST_SIZE];
static uint64_t size;
static const struct run_user we = { .other = false };

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(top, sizeof(top), "/tmp/longarm-keep-XXXXXX");
	assert_non_null(mkdtemp(top));
	(void)snprintf(from, sizeof(from), "%s/from", top);
	(void)snprintf(to, sizeof(to), "%s/to", top);
	assert_int_equal(
	    fs_write_atomic(from, "twelve bytes", 12, 0600, NULL), RC_OK);
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

static enum rc copy(uint64_t at_most)
{
	int fd = keep_open(&we, top, "from");
	enum rc rc;

	assert_true(fd >= 0);
	rc = keep_copy(fd, to, at_most, &size, digest);
	(void)close(fd);
	return rc;
}

static void assert_content(const char *path, const char *text)
{
	uint8_t *data = NULL;
	size_t len = 0;

	assert_int_equal(fs_read_file(path, 100, &data, &len, NULL), RC_OK);
	assert_string_equal((char *)data, text);
	free(data);
}

static void test_a_copy_has_the_bytes_and_their_digest(void **state)
{
	(void)state;
	assert_int_equal(copy(12), RC_OK);
	assert_int_equal(size, 12);
	assert_string_equal(digest, "d4ce2c527afe674c7a086bd74e256019"
				    "e3d5dcdb31eeb6eaadef5ada8c4383b9");
	assert_content(to, "twelve bytes");
}

/* It grew after it was looked at. */
static void test_more_than_the_limit_is_not_copied(void **state)
{
	(void)state;
	assert_int_equal(copy(11), RC_LIMIT);
	assert_int_not_equal(access(to, F_OK), 0);
}

static void test_what_is_in_the_way_is_replaced_and_not_written_to(void **state)
{
	char other[80];

	(void)state;
	(void)snprintf(other, sizeof(other), "%s/other", top);
	assert_int_equal(fs_write_atomic(other, "other", 5, 0600, NULL), RC_OK);
	assert_int_equal(symlink(other, to), 0);
	assert_int_equal(copy(100), RC_OK);
	assert_content(other, "other");
	assert_content(to, "twelve bytes");
	/* One file under both names. */
	assert_int_equal(unlink(to), 0);
	assert_int_equal(link(from, to), 0);
	assert_int_equal(copy(100), RC_OK);
	assert_content(from, "twelve bytes");
	assert_content(to, "twelve bytes");
}

static void test_nothing_leads_out_of_the_directory(void **state)
{
	char path[160];
	int fd;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/sub", top);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(keep_open(&we, path, "../from"), -1);
	assert_int_equal(keep_open(&we, path, from), -1);
	(void)snprintf(path, sizeof(path), "%s/sub/link", top);
	assert_int_equal(symlink(from, path), 0);
	assert_int_equal(keep_open(&we, top, "sub/link"), -1);
	fd = keep_open(&we, top, from);
	assert_true(fd >= 0);
	(void)close(fd);
}

static void put(const char *name, mode_t mode, uid_t uid, gid_t gid)
{
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/%s", top, name);
	assert_int_equal(fs_write_atomic(path, "x", 1, 0600, NULL), RC_OK);
	assert_int_equal(chown(path, uid, gid), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static bool can(const struct run_user *user, const char *name)
{
	int fd = keep_open(user, top, name);

	if (fd >= 0)
		(void)close(fd);
	else
		assert_int_equal(errno, EACCES);
	return fd >= 0;
}

/* Not by our rights, and not by less than its own. */
static void test_a_file_is_opened_with_its_user_s_rights(void **state)
{
	static const struct run_user user = {
		.other = true,
		.uid = 60001,
		.gid = 60002,
		.group_count = 2,
		.groups = { 60002, 60003 },
	};
	char path[160];

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(top, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/shut", top);
	assert_int_equal(mkdir(path, 0700), 0);
	put("shut/all", 0644, 0, 0);
	put("root", 0600, 0, 0);
	put("roots", 0640, 0, 0);
	put("all", 0644, 0, 0);
	put("own", 0400, 60001, 0);
	put("group", 0640, 0, 60002);
	put("other", 0640, 0, 60003);
	assert_false(can(&user, "shut/all"));
	assert_false(can(&user, "root"));
	assert_false(can(&user, "roots"));
	assert_true(can(&user, "all"));
	assert_true(can(&user, "own"));
	assert_true(can(&user, "group"));
	assert_true(can(&user, "other"));
	/* And we are who we were. */
	assert_true(can(&we, "shut/all"));
	assert_true(can(&we, "root"));
}

static void test_no_other_file_system_is_entered(void **state)
{
	(void)state;
	assert_int_equal(keep_open(&we, "/", "proc/version"), -1);
	assert_int_equal(errno, EXDEV);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_copy_has_the_bytes_and_their_digest),
		TEST(test_more_than_the_limit_is_not_copied),
		TEST(test_what_is_in_the_way_is_replaced_and_not_written_to),
		TEST(test_nothing_leads_out_of_the_directory),
		TEST(test_a_file_is_opened_with_its_user_s_rights),
		TEST(test_no_other_file_system_is_entered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

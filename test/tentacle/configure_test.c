#include "tentacle/configure.h"

#include "common/fs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define TEXT(s)                                                                \
	{                                                                      \
		(const uint8_t *)(s), sizeof(s) - 1                            \
	}

static const struct msg_pair variables[] = {
	{ TEXT("port"), TEXT("8080") },
	{ TEXT("App:Name"), TEXT("shop ${port}") },
	{ TEXT("empty"), TEXT("") },
	{ TEXT("token"), TEXT("plain") },
};
static const struct msg_pair secrets[] = {
	{ TEXT("token"), TEXT("t0psecret") },
};
static const struct configure_values values = { variables, 4, secrets, 1 };

static enum rc put_in(
    const char *text, struct buf *out, bool *secret, struct fault *f)
{
	buf_init(out, CONFIGURE_FILE_MAX);
	return configure_text(
	    bytes_text(text), &values, "nginx.conf", out, secret, f);
}

static void becomes(const char *text, const char *want)
{
	struct fault f = { 0 };
	struct buf out;
	bool secret;

	assert_int_equal(put_in(text, &out, &secret, &f), RC_OK);
	assert_int_equal(out.len, strlen(want));
	assert_memory_equal(out.len > 0 ? (char *)out.data : "", want, out.len);
	buf_fini(&out);
}

static void fails(const char *text, const char *want)
{
	struct fault f = { 0 };
	struct buf out;
	bool secret;

	assert_int_equal(put_in(text, &out, &secret, &f), RC_PROTO);
	assert_int_equal(f.code, REASON_BAD_CONFIG);
	if (strstr(f.text, want) == NULL)
		fail_msg("'%s' is not in '%s'", want, f.text);
	buf_fini(&out);
}

static void test_values_are_put_in_once(void **state)
{
	(void)state;
	becomes("listen ${port};\n", "listen 8080;\n");
	becomes("${App:Name}", "shop ${port}");
	becomes("[${empty}]", "[]");
	becomes("", "");
	becomes("${port}${port}", "80808080");
}

static void test_an_escaped_brace_and_a_lone_dollar_stay(void **state)
{
	(void)state;
	becomes("$${port} $port $ $$ {port}", "${port} $port $ $$ {port}");
	becomes("$$${port}", "$${port}");
}

static void test_an_unset_variable_is_an_error_with_file_and_line(void **state)
{
	(void)state;
	fails("a\nb\n  ${nope}", "nginx.conf:3: variable nope is not set");
	fails("${nope}\n${never}\n${not}",
	    "nginx.conf:1: variable nope is not set (and 2 more)");
}

static void test_a_brace_not_closed_is_an_error_with_its_line(void **state)
{
	(void)state;
	fails("x\n${port", "nginx.conf:2:");
	fails("x\n${po\nrt}", "nginx.conf:2:");
	fails("${}", "nginx.conf:1:");
	fails("${a b}", "$${");
	fails("${", "nginx.conf:1:");
}

static void test_a_secret_goes_before_a_variable_and_is_told(void **state)
{
	struct buf out;
	bool secret;

	(void)state;
	assert_int_equal(put_in("${token}", &out, &secret, NULL), RC_OK);
	assert_true(secret);
	assert_memory_equal(out.data, "t0psecret", 9);
	buf_fini(&out);
	assert_int_equal(put_in("${port}", &out, &secret, NULL), RC_OK);
	assert_false(secret);
	buf_fini(&out);
}

static void test_a_binary_file_is_refused(void **state)
{
	struct fault f = { 0 };
	struct buf out;
	bool secret;

	(void)state;
	buf_init(&out, 100);
	assert_int_equal(configure_text(bytes_of("a\0b", 3), &values, "x", &out,
			     &secret, &f),
	    RC_PROTO);
	assert_non_null(strstr(f.text, "binary"));
	buf_fini(&out);
}

/* --- Trees -------------------------------------------------------------- */

static char dir[64];
static int dir_fd;

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/longarm-configure-XXXXXX");
	assert_non_null(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
	assert_true(dir_fd >= 0);
	return 0;
}

static int tear_down(void **state)
{
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY);

	(void)state;
	(void)close(dir_fd);
	assert_int_equal(fs_remove_tree(fd, dir + 5, NULL), RC_OK);
	(void)close(fd);
	return 0;
}

static void put(const char *name, const char *text)
{
	char path[FS_PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(
	    fs_write_atomic(path, text, strlen(text), 0644, NULL), RC_OK);
}

static void make_dir(const char *name)
{
	assert_int_equal(mkdirat(dir_fd, name, 0755), 0);
}

static void holds(const char *name, const char *want)
{
	char path[FS_PATH_MAX];
	uint8_t *data = NULL;
	size_t len;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(fs_read_file(path, 4096, &data, &len, NULL), RC_OK);
	assert_string_equal((char *)data, want);
	free(data);
}

static enum rc configure(
    const char *const *patterns, size_t *count, struct fault *f)
{
	struct bytes list[8];
	size_t n = 0;

	for (; patterns[n] != NULL; n++)
		list[n] = bytes_text(patterns[n]);
	return configure_tree(dir_fd, list, n, &values, count, f);
}

static void test_files_that_match_are_rewritten_once(void **state)
{
	const char *const patterns[] = { "config/*.json", "config/a.json",
		"nginx.conf", NULL };
	size_t count;

	(void)state;
	make_dir("config");
	put("config/a.json", "${port} $${x}");
	put("config/b.json", "${port}");
	put("config/c.txt", "${port}");
	put("config/.hidden.json", "${nope}");
	put("nginx.conf", "plain");
	assert_int_equal(configure(patterns, &count, NULL), RC_OK);
	assert_int_equal(count, 3);
	holds("config/a.json", "8080 ${x}");
	holds("config/b.json", "8080");
	holds("config/c.txt", "${port}");
}

static void test_two_stars_match_any_depth(void **state)
{
	const char *const patterns[] = { "**/*.conf", NULL };
	size_t count;

	(void)state;
	make_dir("a");
	make_dir("a/b");
	put("x.conf", "${port}");
	put("a/x.conf", "${port}");
	put("a/b/x.conf", "${port}");
	put("a/b/x.txt", "${nope}");
	assert_int_equal(configure(patterns, &count, NULL), RC_OK);
	assert_int_equal(count, 3);
	holds("a/b/x.conf", "8080");
	holds("x.conf", "8080");
}

static void test_a_pattern_without_a_match_is_an_error(void **state)
{
	const char *const patterns[] = { "config/*.json", NULL };
	struct fault f = { 0 };
	size_t count;

	(void)state;
	assert_int_equal(configure(patterns, &count, &f), RC_NOTFOUND);
	assert_non_null(strstr(f.text, "config/*.json"));
}

static void test_patterns_that_leave_the_tree_are_refused(void **state)
{
	static const char *const bad[] = { "/etc/passwd", "../x", "a/../../x",
		"", ".", "**/a/**/b" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct fault f = { 0 };

		assert_int_equal(configure_check_pattern(bad[i], &f), RC_PROTO);
		assert_int_equal(f.code, REASON_BAD_CONFIG);
	}
	assert_int_equal(configure_check_pattern("a/**/*.json", NULL), RC_OK);
}

static void test_symbolic_links_are_not_followed(void **state)
{
	const char *const named[] = { "link.conf", NULL };
	const char *const through[] = { "dir/x.conf", NULL };
	const char *const any[] = { "*.conf", NULL };
	struct fault f = { 0 };
	size_t count;

	(void)state;
	make_dir("real");
	put("real/x.conf", "${port}");
	put("x.conf", "${port}");
	assert_int_equal(symlinkat("real/x.conf", dir_fd, "link.conf"), 0);
	assert_int_equal(symlinkat("real", dir_fd, "dir"), 0);
	assert_int_equal(configure(named, &count, &f), RC_PROTO);
	assert_non_null(strstr(f.text, "symbolic link"));
	assert_int_equal(configure(through, &count, &f), RC_PROTO);
	assert_int_equal(configure(any, &count, &f), RC_OK);
	assert_int_equal(count, 1);
	holds("real/x.conf", "${port}");
	holds("x.conf", "8080");
}

static void test_a_file_with_a_secret_is_closed_to_others(void **state)
{
	const char *const patterns[] = { "*.conf", NULL };
	struct stat st;
	size_t count;

	(void)state;
	put("a.conf", "${token}");
	put("b.conf", "${port}");
	assert_int_equal(fchmodat(dir_fd, "a.conf", 0755, 0), 0);
	assert_int_equal(fchmodat(dir_fd, "b.conf", 0755, 0), 0);
	assert_int_equal(configure(patterns, &count, NULL), RC_OK);
	assert_int_equal(fstatat(dir_fd, "a.conf", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0750);
	assert_int_equal(fstatat(dir_fd, "b.conf", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
}

static void test_a_hard_link_elsewhere_keeps_its_content(void **state)
{
	const char *const patterns[] = { "a.conf", NULL };
	size_t count;

	(void)state;
	put("a.conf", "${port}");
	assert_int_equal(linkat(dir_fd, "a.conf", dir_fd, "other", 0), 0);
	assert_int_equal(configure(patterns, &count, NULL), RC_OK);
	holds("a.conf", "8080");
	holds("other", "${port}");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_are_put_in_once),
		cmocka_unit_test(test_an_escaped_brace_and_a_lone_dollar_stay),
		cmocka_unit_test(
		    test_an_unset_variable_is_an_error_with_file_and_line),
		cmocka_unit_test(
		    test_a_brace_not_closed_is_an_error_with_its_line),
		cmocka_unit_test(
		    test_a_secret_goes_before_a_variable_and_is_told),
		cmocka_unit_test(test_a_binary_file_is_refused),
		TEST(test_files_that_match_are_rewritten_once),
		TEST(test_two_stars_match_any_depth),
		TEST(test_a_pattern_without_a_match_is_an_error),
		TEST(test_patterns_that_leave_the_tree_are_refused),
		TEST(test_symbolic_links_are_not_followed),
		TEST(test_a_file_with_a_secret_is_closed_to_others),
		TEST(test_a_hard_link_elsewhere_keeps_its_content),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

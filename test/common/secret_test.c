#include "common/log.h"
#include "common/secret.h"
#include "test/support/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int log_fd;
static char path[32];

static int setup(void **state)
{
	struct log_options options = LOG_OPTIONS_DEFAULT;
	int fd;

	(void)state;
	log_fd = memfd_create("log", MFD_CLOEXEC);
	options.fd = log_fd;
	log_setup(&options);
	memcpy(path, "/tmp/longarm-secret-XXXXXX", 27);
	fd = mkstemp(path);
	if (fd < 0)
		return 1;
	return close(fd);
}

static int teardown(void **state)
{
	(void)state;
	(void)close(log_fd);
	return unlink(path);
}

static void fill(const char *text, mode_t mode)
{
	FILE *f;

	assert_int_equal(chmod(path, 0600), 0);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static bool something_was_logged(void)
{
	return lseek(log_fd, 0, SEEK_END) > 0;
}

static void test_a_file_gives_its_content_without_the_newline(void **state)
{
	struct secret *s;

	(void)state;
	fill("hunter2\r\n", 0600);
	assert_int_equal(secret_read(path, 7, &s, NULL), RC_OK);
	assert_int_equal(secret_len(s), 7);
	assert_string_equal((const char *)secret_data(s), "hunter2");
	assert_true(secret_equals_bytes(s, "hunter2", 7));
	assert_false(secret_equals_bytes(s, "hunter3", 7));
	assert_false(secret_equals_bytes(s, "hunter", 6));
	secret_free(s);
	assert_false(something_was_logged());
}

static void test_a_file_open_to_others_is_taken_with_a_warning(void **state)
{
	struct secret *s;

	(void)state;
	fill("x", 0644);
	assert_int_equal(secret_read(path, 7, &s, NULL), RC_OK);
	secret_free(s);
	assert_true(something_was_logged());
}

static void test_a_secret_longer_than_the_limit_is_refused(void **state)
{
	struct secret *s = NULL;
	struct fault fault;

	(void)state;
	fill("12345678", 0600);
	assert_int_equal(secret_read(path, 7, &s, &fault), RC_LIMIT);
	assert_null(s);
	assert_non_null(strstr(fault.text, "limit of 7 bytes"));
	fill("a secret of any length whatsoever", 0600);
	assert_int_equal(secret_read(path, 7, &s, &fault), RC_LIMIT);
}

static void test_an_empty_or_missing_file_is_refused(void **state)
{
	struct secret *s = NULL;
	struct fault fault;

	(void)state;
	fill("\n", 0600);
	assert_int_equal(secret_read(path, 7, &s, &fault), RC_PROTO);
	assert_non_null(strstr(fault.text, "is empty"));
	assert_int_equal(secret_read("/nowhere/x", 7, &s, &fault), RC_IO);
	assert_non_null(strstr(fault.text, "/nowhere/x"));
	assert_int_equal(secret_read("/tmp", 7, &s, &fault), RC_IO);
}

static void test_standard_input_is_read_when_the_path_is_a_dash(void **state)
{
	struct secret *s;
	int pipe_fds[2];
	int saved = dup(STDIN_FILENO);

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(write(pipe_fds[1], "abc\n", 4), 4);
	(void)close(pipe_fds[1]);
	assert_int_equal(dup2(pipe_fds[0], STDIN_FILENO), STDIN_FILENO);
	(void)close(pipe_fds[0]);
	assert_int_equal(secret_read("-", 100, &s, NULL), RC_OK);
	assert_true(secret_equals_bytes(s, "abc", 3));
	secret_free(s);
	(void)dup2(saved, STDIN_FILENO);
	(void)close(saved);
}

static void test_a_secret_equals_its_own_bytes_only(void **state)
{
	struct secret *a;

	(void)state;
	assert_int_equal(secret_new("abc", 3, &a), RC_OK);
	assert_true(secret_equals_bytes(a, "abc", 3));
	assert_false(secret_equals_bytes(a, "abd", 3));
	assert_false(secret_equals_bytes(a, "abcd", 4));
	secret_free(a);
	secret_free(NULL);
	assert_int_equal(secret_new("x", SECRET_MAX + 1, &a), RC_LIMIT);
}

static void test_without_memory_it_says_so(void **state)
{
	struct secret *s;
	enum rc rc;

	(void)state;
	fill("abc", 0600);
	for (size_t n = 0;; n++) {
		alloc_fail_at(n);
		rc = secret_read(path, 100, &s, NULL);
		if (!alloc_failed())
			break;
		assert_int_equal(rc, RC_NOMEM);
	}
	alloc_never_fail();
	assert_int_equal(rc, RC_OK);
	secret_free(s);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_a_file_gives_its_content_without_the_newline),
		T(test_a_file_open_to_others_is_taken_with_a_warning),
		T(test_a_secret_longer_than_the_limit_is_refused),
		T(test_an_empty_or_missing_file_is_refused),
		T(test_standard_input_is_read_when_the_path_is_a_dash),
		T(test_a_secret_equals_its_own_bytes_only),
		T(test_without_memory_it_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

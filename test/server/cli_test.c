/* The commands' pure parts: logins, durations, exit codes, lines of output. */
#include "common/fs.h"
#include "server/cli/cli.h"
#include "server/cli/follow.h"
#include "server/cli/pack_dir.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void expect_url(const char *text, const char *want)
{
	char out[LOGIN_URL_SIZE];
	struct fault fault = { 0 };
	enum rc rc = login_parse_url(text, out, &fault);

	assert_int_equal(rc, want != NULL ? RC_OK : RC_PROTO);
	if (want != NULL)
		assert_string_equal(out, want);
	else
		assert_true(fault.text[0] != '\0');
}

static void test_urls_are_https_with_a_port(void **state)
{
	(void)state;
	expect_url("https://a", "https://a:8443");
	expect_url("https://a:1/", "https://a:1");
	expect_url("https://[fd00::1]", "https://[fd00::1]:8443");
	expect_url("https://[fd00::1]:9", "https://[fd00::1]:9");
	expect_url("http://a", NULL);
	expect_url("https://", NULL);
	expect_url("https://a/b", NULL);
	expect_url("https://u@a", NULL);
	expect_url("a", NULL);
}

static void expect_login(const char *text, bool good)
{
	struct login login = { 0 };
	struct fault fault = { 0 };
	enum rc rc = login_parse(text, strlen(text), &login, &fault);

	assert_int_equal(rc, good ? RC_OK : RC_PROTO);
	/* The key is never told, not even a wrong one. */
	assert_null(strstr(fault.text, "lk1"));
	login_clear(&login);
}

static void test_login_files_are_checked(void **state)
{
	(void)state;
	expect_login("{\"url\":\"https://a\",\"key\":\"lk1.a.b\"}", true);
	expect_login("{\"url\":\"https://a\",\"key\":\"lk1.a.b\",\"ca_pin\":"
		     "\"sha256:0123456789abcdef0123456789abcdef0123456789abcde"
		     "f0123456789abcdef\"}",
	    true);
	expect_login("{\"url\":\"https://a\",\"key\":\"lk1.a.b\",\"ca_pin\":"
		     "\"sha256:0123\"}",
	    false);
	expect_login(
	    "{\"url\":\"https://a\",\"key\":\"lk1 a\\r\\nX: y\"}", false);
	expect_login("{\"url\":\"https://a\"}", false);
	expect_login("{\"key\":\"lk1.a.b\"}", false);
	expect_login("", false);
	expect_login("[]", false);
}

static void test_durations_have_units(void **state)
{
	uint64_t s;

	(void)state;
	assert_int_equal(seconds_parse("90", &s), RC_OK);
	assert_int_equal(s, 90);
	assert_int_equal(seconds_parse("5m", &s), RC_OK);
	assert_int_equal(s, 300);
	assert_int_equal(seconds_parse("2h", &s), RC_OK);
	assert_int_equal(s, 7200);
	assert_int_equal(seconds_parse("7d", &s), RC_OK);
	assert_int_equal(s, 604800);
	assert_int_equal(seconds_parse("", &s), RC_PROTO);
	assert_int_equal(seconds_parse("-1", &s), RC_PROTO);
	assert_int_equal(seconds_parse("5x", &s), RC_PROTO);
	assert_int_equal(seconds_parse("5mm", &s), RC_PROTO);
	assert_int_equal(seconds_parse("9999999999", &s), RC_PROTO);
}

static void test_statuses_have_exit_codes(void **state)
{
	(void)state;
	assert_int_equal(exit_of_status(200, REASON_NONE), COMMAND_OK);
	assert_int_equal(exit_of_status(400, REASON_BAD_CONFIG), COMMAND_ERROR);
	assert_int_equal(
	    exit_of_status(401, REASON_NOT_PERMITTED), COMMAND_NOT_PERMITTED);
	assert_int_equal(
	    exit_of_status(403, REASON_NOT_PERMITTED), COMMAND_NOT_PERMITTED);
	assert_int_equal(
	    exit_of_status(404, REASON_NOT_FOUND), COMMAND_NOT_FOUND);
	assert_int_equal(exit_of_status(500, REASON_INTERNAL), COMMAND_ERROR);
	assert_int_equal(
	    exit_of_status(0, REASON_REFUSED), COMMAND_SERVER_UNREACHABLE);
	assert_int_equal(
	    exit_of_status(0, REASON_CANCELLED), COMMAND_INTERRUPTED);
	/* What is not there may be something that the request only names. */
	assert_int_equal(
	    exit_of_status(409, REASON_NOT_FOUND), COMMAND_NOT_FOUND);
	assert_int_equal(exit_of_status(409, REASON_CONFLICT), COMMAND_ERROR);
}

static void test_a_machine_that_was_not_reached_is_told_apart(void **state)
{
	(void)state;
	assert_int_equal(exit_of_status(409, REASON_AGENT_DOWN),
	    COMMAND_MACHINE_UNREACHABLE);
	assert_int_equal(exit_of_status(409, REASON_RELAY_DOWN),
	    COMMAND_MACHINE_UNREACHABLE);
	assert_int_equal(
	    exit_of_status(409, REASON_NO_ROUTE), COMMAND_MACHINE_UNREACHABLE);
	assert_int_equal(
	    exit_of_status(409, REASON_TLS), COMMAND_MACHINE_UNREACHABLE);
	/* A relay drains, or nobody answered in time. */
	assert_int_equal(
	    exit_of_status(409, REASON_DRAINING), COMMAND_MACHINE_UNREACHABLE);
	assert_int_equal(
	    exit_of_status(409, REASON_DEADLINE), COMMAND_MACHINE_UNREACHABLE);
	/* The same words of the server are about itself. */
	assert_int_equal(
	    exit_of_status(503, REASON_DRAINING), COMMAND_SERVER_UNREACHABLE);
	assert_int_equal(exit_of_status(503, REASON_DEADLINE), COMMAND_ERROR);
	assert_int_equal(exit_of_status(429, REASON_TOO_MANY), COMMAND_ERROR);
}

static void expect_end(const char *text, enum command_exit want)
{
	json_t *task = json_loads(text, 0, NULL);

	assert_non_null(task);
	assert_int_equal(exit_of_task(task), want);
	json_decref(task);
}

static void test_ends_of_tasks_have_exit_codes(void **state)
{
	(void)state;
	expect_end("{\"state\":\"succeeded\",\"partial\":false}", COMMAND_OK);
	expect_end(
	    "{\"state\":\"succeeded\",\"partial\":true}", COMMAND_PARTIAL);
	expect_end("{\"state\":\"failed\",\"partial\":true}", COMMAND_PARTIAL);
	expect_end(
	    "{\"state\":\"failed\",\"fault\":null}", COMMAND_TASK_FAILED);
	expect_end("{\"state\":\"failed\",\"fault\":{\"code\":"
		   "\"script-failed\"}}",
	    COMMAND_TASK_FAILED);
	expect_end("{\"state\":\"failed\",\"fault\":{\"code\":"
		   "\"relay-down\"}}",
	    COMMAND_MACHINE_UNREACHABLE);
	expect_end("{\"state\":\"failed\",\"fault\":{\"code\":"
		   "\"draining\"}}",
	    COMMAND_MACHINE_UNREACHABLE);
	expect_end("{\"state\":\"cancelled\"}", COMMAND_CANCELLED);
	expect_end("{\"state\":\"running\"}", COMMAND_ERROR);
}

static void test_lines_of_runs_do_not_mix(void **state)
{
	struct line_joiner *j = line_joiner_new();
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	line_joiner_add(j, "0-0-0", "web-01 install", "one\r\ntw", out);
	line_joiner_add(j, "0-1-0", "web-02 install", "else\n", out);
	line_joiner_add(j, "0-0-0", "web-01 install", "o\nthree", out);
	line_joiner_end(j, out);
	(void)fclose(out);
	assert_string_equal(text, "web-01 install | one\n"
				  "web-02 install | else\n"
				  "web-01 install | two\n"
				  "web-01 install | three\n");
	free(text);
	line_joiner_free(j);
}

static void test_a_line_without_end_is_cut(void **state)
{
	struct line_joiner *j = line_joiner_new();
	char *text = NULL, *big = calloc(1, 200001);
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	memset(big, 'x', 200000);
	line_joiner_add(j, "r", "m s", big, out);
	line_joiner_end(j, out);
	(void)fclose(out);
	assert_int_equal(len, 200000 + 4 * strlen("m s | \n"));
	free(text);
	free(big);
	line_joiner_free(j);
}

static void test_names_are_escaped_in_paths(void **state)
{
	char *path = session_path("/api/v1/machines/%s", "../a b?");

	(void)state;
	assert_string_equal(path, "/api/v1/machines/..%2Fa%20b%3F");
	free(path);
}

static void test_every_command_can_run(void **state)
{
	const struct command *c;
	size_t count = 0;

	(void)state;
	for (; (c = cli_command(count)) != NULL; count++) {
		assert_non_null(c->run);
		assert_non_null(c->help);
	}
	assert_true(count > 30);
}

/* The same files give the same bytes, whenever and in whatever order. */
static off_t pack_tree(const char *dir, bool reversed, const char *to)
{
	static const char *const names[] = { "b", "a", "c" };
	char path[256];
	int fd;
	struct stat st;

	assert_int_equal(mkdir(dir, 0700), 0);
	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir,
		    names[reversed ? 2 - i : i]);
		fd = open(path, O_CREAT | O_WRONLY, reversed ? 0600 : 0644);
		assert_int_equal(write(fd, path + strlen(dir), 2), 2);
		(void)close(fd);
	}
	fd = open(to, O_CREAT | O_RDWR | O_TRUNC, 0600);
	assert_int_equal(pack_dir(dir, fd, NULL), RC_OK);
	assert_int_equal(fstat(fd, &st), 0);
	(void)close(fd);
	return st.st_size;
}

static void test_a_directory_packs_to_the_same_bytes(void **state)
{
	char dir[] = "/tmp/cli_test_XXXXXX", one[64], two[64], out[64], in[64];
	char a[4096], b[4096];
	off_t size;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(one, sizeof(one), "%s/one", dir);
	(void)snprintf(two, sizeof(two), "%s/two", dir);
	(void)snprintf(out, sizeof(out), "%s/1", dir);
	(void)snprintf(in, sizeof(in), "%s/2", dir);
	size = pack_tree(one, false, out);
	assert_int_equal(pack_tree(two, true, in), size);
	assert_true(size > 0 && size < 4096);
	fd = open(out, O_RDONLY);
	assert_int_equal(read(fd, a, sizeof(a)), size);
	(void)close(fd);
	fd = open(in, O_RDONLY);
	assert_int_equal(read(fd, b, sizeof(b)), size);
	(void)close(fd);
	assert_memory_equal(a, b, (size_t)size);
	fd = open("/tmp", O_RDONLY | O_DIRECTORY);
	assert_int_equal(fs_remove_tree(fd, dir + 5, NULL), RC_OK);
	(void)close(fd);
}

static bool is_command(const char *words, size_t len)
{
	const struct command *c;

	for (size_t i = 0; (c = cli_command(i)) != NULL; i++) {
		if (strlen(c->name) == len && memcmp(c->name, words, len) == 0)
			return true;
	}
	return false;
}

/* Advice that names a command names one that there is. */
static void test_advice_names_only_commands_that_exist(void **state)
{
	static const char program[] = "longarm ";
	size_t named = 0;

	(void)state;
	for (int code = 0; code < REASON_COUNT; code++) {
		const char *advice = reason_advice((enum reason)code);

		while ((advice = strstr(advice, program)) != NULL) {
			size_t noun, verb;

			advice += strlen(program);
			noun = strcspn(advice, " .,");
			verb = noun + (advice[noun] == ' ') +
			       strcspn(advice + noun + (advice[noun] == ' '),
				   " .,");
			if (!is_command(advice, noun) &&
			    !is_command(advice, verb))
				fail_msg("%s: no such command: %s",
				    reason_name((enum reason)code), advice);
			named++;
		}
	}
	assert_true(named > 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls_are_https_with_a_port),
		cmocka_unit_test(test_login_files_are_checked),
		cmocka_unit_test(test_durations_have_units),
		cmocka_unit_test(test_statuses_have_exit_codes),
		cmocka_unit_test(
		    test_a_machine_that_was_not_reached_is_told_apart),
		cmocka_unit_test(test_ends_of_tasks_have_exit_codes),
		cmocka_unit_test(test_lines_of_runs_do_not_mix),
		cmocka_unit_test(test_a_line_without_end_is_cut),
		cmocka_unit_test(test_names_are_escaped_in_paths),
		cmocka_unit_test(test_every_command_can_run),
		cmocka_unit_test(test_a_directory_packs_to_the_same_bytes),
		cmocka_unit_test(test_advice_names_only_commands_that_exist),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

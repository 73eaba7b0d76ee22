#include "common/config.h"
#include "common/fs.h"
#include "common/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const struct config_option options[] = {
	{ .section = "server",
	    .key = "listen",
	    .type = CONFIG_ENDPOINT,
	    .initial = ":8443",
	    .flag = "listen",
	    .help = "Where to listen" },
	{ .section = "server",
	    .key = "state",
	    .type = CONFIG_PATH,
	    .initial = "/var/lib/x",
	    .help = "State" },
	{ .section = "server",
	    .key = "token",
	    .type = CONFIG_STRING,
	    .secret = true,
	    .help = "Token" },
	{ .section = "log",
	    .key = "level",
	    .type = CONFIG_STRING,
	    .initial = "info",
	    .choices = "error|warn|info|debug",
	    .help = "Level" },
	{ .section = "tentacle",
	    .key = "lock",
	    .type = CONFIG_STRING,
	    .is_name = true,
	    .initial = "",
	    .help = "Lock" },
	{ .section = "link",
	    .key = "keep-alive",
	    .type = CONFIG_DURATION,
	    .initial = "15s",
	    .min = 100,
	    .max = 3600000,
	    .help = "Interval" },
	{ .section = "link",
	    .key = "window",
	    .type = CONFIG_SIZE,
	    .initial = "256K",
	    .min = 1024,
	    .max = 1 << 30,
	    .help = "Window" },
	{ .section = "link",
	    .key = "retries",
	    .type = CONFIG_INT,
	    .initial = "3",
	    .min = -1,
	    .max = 10,
	    .help = "Retries" },
	{ .section = "link",
	    .key = "fast",
	    .type = CONFIG_BOOL,
	    .help = "Fast" },
	{ .section = "link",
	    .key = "upstream",
	    .type = CONFIG_LIST,
	    .help = "Upstream" },
};

#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))

static char top[64], file[128];
static int log_fd;
static struct config *config;
static struct config_errors *errors;

static int setup(void **state)
{
	struct log_options log = LOG_OPTIONS_DEFAULT;

	(void)state;
	log_fd = memfd_create("log", MFD_CLOEXEC);
	log.fd = log_fd;
	log_setup(&log);
	memcpy(top, "/tmp/longarm-config-XXXXXX", 27);
	if (mkdtemp(top) == NULL)
		return 1;
	(void)snprintf(file, sizeof(file), "%s/server.conf", top);
	config = NULL;
	errors = NULL;
	return 0;
}

static int teardown(void **state)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum rc rc = fs_remove_tree(tmp, top + strlen("/tmp/"), NULL);

	(void)state;
	config_free(config);
	config_errors_free(errors);
	(void)close(tmp);
	(void)close(log_fd);
	return rc != RC_OK;
}

static void write_text(const char *name, const void *text, size_t len)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", top, name);
	assert_int_equal(fs_write_atomic(path, text, len, 0600, NULL), RC_OK);
}

static enum rc load_with(
    char *const *environment, const char *const *flags, size_t flag_count)
{
	const struct config_source source = {
		.program = "server",
		.options = options,
		.option_count = OPTION_COUNT,
		.file = file,
		.environment = environment,
		.flags = flags,
		.flag_count = flag_count,
	};

	config_free(config);
	config = NULL;
	config_errors_free(errors);
	return config_load(&source, &config, &errors);
}

static enum rc load(const char *text)
{
	write_text("server.conf", text, strlen(text));
	return load_with(NULL, NULL, 0);
}

/* The one error is "FILE" and then this. */
static void expect_error(const char *text, const char *error)
{
	const char *found;

	assert_int_equal(load(text), RC_PROTO);
	assert_int_equal(config_errors_count(errors), 1);
	found = config_errors_text(errors, 0);
	assert_memory_equal(found, file, strlen(file));
	assert_string_equal(found + strlen(file), error);
}

static void test_without_a_file_there_are_defaults(void **state)
{
	struct config_endpoint listen;
	size_t count;

	(void)state;
	assert_int_equal(load_with(NULL, NULL, 0), RC_OK);
	assert_int_equal(
	    config_endpoint(config, "server", "listen", &listen), RC_OK);
	assert_string_equal(listen.host, "");
	assert_int_equal(listen.port, 8443);
	assert_int_equal(
	    config_duration_ms(config, "link", "keep-alive"), 15000);
	assert_int_equal(config_size(config, "link", "window"), 262144);
	assert_false(config_bool(config, "link", "fast"));
	assert_false(config_is_set(config, "link", "fast"));
	assert_null(config_string(config, "server", "token"));
	(void)config_list(config, "link", "upstream", &count);
	assert_int_equal(count, 0);
}

static void test_a_file_gives_every_type(void **state)
{
	struct config_endpoint listen;
	const char *const *upstream;
	size_t count;

	(void)state;
	assert_int_equal(load("\xef\xbb\xbf# comment\r\n"
			      "[server]\r\n"
			      "listen=[fe80::1%eth0]:0 ; any\n"
			      "  state = /srv/a b\t# blanks within\n"
			      "token = \"a#b \\\"c\\\"\\\\\\t\" # secret\n"
			      "[ link ]\n"
			      "keep-alive = 500ms\n"
			      "retries = -1\n"
			      "fast = on\n"
			      "upstream = a:1, b:2\n"
			      "upstream = c:3\n"
			      "[log]\n"
			      "level = debug"),
	    RC_OK);
	assert_int_equal(
	    config_endpoint(config, "server", "listen", &listen), RC_OK);
	assert_string_equal(listen.host, "fe80::1%eth0");
	assert_int_equal(listen.port, 0);
	assert_string_equal(config_path(config, "server", "state"), "/srv/a b");
	assert_string_equal(
	    config_string(config, "server", "token"), "a#b \"c\"\\\t");
	assert_int_equal(config_duration_ms(config, "link", "keep-alive"), 500);
	assert_int_equal(config_int(config, "link", "retries"), -1);
	assert_true(config_bool(config, "link", "fast"));
	upstream = config_list(config, "link", "upstream", &count);
	assert_int_equal(count, 3);
	assert_string_equal(upstream[1], "b:2");
	assert_string_equal(upstream[2], "c:3");
	assert_string_equal(config_string(config, "log", "level"), "debug");
}

static void test_flag_beats_environment_beats_drop_in_beats_file(void **state)
{
	char drop_ins[256], one[] = "LONGARM_SERVER_LINK_KEEP_ALIVE=4s";
	char other[] = "LONGARM_RELAY_LINK_RETRIES=9";
	char *environment[] = { one, other, NULL };
	const char *flags[] = { "link.keep-alive=5s", "link.retries=7" };

	(void)state;
	(void)snprintf(drop_ins, sizeof(drop_ins), "%s.d", file);
	assert_int_equal(mkdir(drop_ins, 0700), 0);
	assert_int_equal(load("[link]\nkeep-alive = 1s\nretries = 1\n"), RC_OK);
	assert_int_equal(
	    config_duration_ms(config, "link", "keep-alive"), 1000);
	write_text("server.conf.d/10-a.conf", "[link]\nkeep-alive=2s\n", 21);
	write_text("server.conf.d/09-b.conf", "[link]\nkeep-alive=3s\n", 21);
	write_text("server.conf.d/99-c.conf~", "rubbish", 7);
	assert_int_equal(load_with(NULL, NULL, 0), RC_OK);
	assert_int_equal(
	    config_duration_ms(config, "link", "keep-alive"), 2000);
	assert_int_equal(config_int(config, "link", "retries"), 1);
	assert_int_equal(load_with(environment, NULL, 0), RC_OK);
	assert_int_equal(
	    config_duration_ms(config, "link", "keep-alive"), 4000);
	assert_int_equal(load_with(environment, flags, 2), RC_OK);
	assert_int_equal(
	    config_duration_ms(config, "link", "keep-alive"), 5000);
	assert_int_equal(config_int(config, "link", "retries"), 7);
	assert_int_equal(lseek(log_fd, 0, SEEK_END), 0);
}

static void test_a_name_has_no_other_letters_and_is_never_cut(void **state)
{
	const char *good[] = { "tentacle.lock=deploy-1" };
	const char *none[] = { "tentacle.lock=" };
	const char *space[] = { "tentacle.lock=two words" };
	const char *longer[] = { "tentacle.lock="
				 "0123456789012345678901234567890123456789"
				 "012345678901234567890123" };

	(void)state;
	assert_int_equal(load_with(NULL, good, 1), RC_OK);
	assert_string_equal(
	    config_string(config, "tentacle", "lock"), "deploy-1");
	assert_int_equal(load_with(NULL, none, 1), RC_OK);
	assert_int_not_equal(load_with(NULL, space, 1), RC_OK);
	assert_int_not_equal(load_with(NULL, longer, 1), RC_OK);
}

static void test_origins_are_told_and_secrets_masked(void **state)
{
	char token[] = "LONGARM_SERVER_SERVER_TOKEN=hunter2";
	char *environment[] = { token, NULL };
	const char *flags[] = { "link.fast=yes" };
	char origin[256];

	(void)state;
	write_text("server.conf", "\n[log]\nlevel = warn\n", 20);
	assert_int_equal(load_with(environment, flags, 1), RC_OK);
	assert_int_equal(config_item_count(config), OPTION_COUNT);
	assert_string_equal(config_item_at(config, 0).origin, "default");
	assert_string_equal(config_item_at(config, 2).value, "********");
	assert_string_equal(config_item_at(config, 2).origin,
	    "environment LONGARM_SERVER_SERVER_TOKEN");
	(void)snprintf(origin, sizeof(origin), "%s:3", file);
	assert_string_equal(config_item_at(config, 3).origin, origin);
	assert_string_equal(config_item_at(config, 8).origin, "flag");
	assert_string_equal(
	    config_string(config, "server", "token"), "hunter2");
}

static void test_an_unknown_key_names_the_nearest(void **state)
{
	(void)state;
	expect_error("[server]\nlisen = :1\n",
	    ":2:1: unknown key 'lisen' in [server]; did you mean 'listen'?");
	expect_error(
	    "[server]\n\n  quux = 1\n", ":3:3: unknown key 'quux' in [server]");
	expect_error("[sever]\nlisten = :1\n",
	    ":2:1: unknown section [sever]; did you mean [server]?");
}

static void test_bad_values_are_refused_with_their_column(void **state)
{
	(void)state;
	expect_error("[server]\nlisten =  8443\n",
	    ":2:11: server.listen: '8443' must be HOST:PORT, [ADDRESS]:PORT "
	    "or :PORT");
	expect_error("[server]\nlisten = :65536\n",
	    ":2:10: server.listen: ':65536' must be HOST:PORT, [ADDRESS]:PORT "
	    "or :PORT");
	expect_error("[server]\nlisten = a b:1\n",
	    ":2:10: server.listen: 'a b:1' must be HOST:PORT, [ADDRESS]:PORT "
	    "or :PORT");
	expect_error(
	    "[server]\nstate =\n", ":2:8: server.state: '' must be a path");
	expect_error("[log]\nlevel = loud\n",
	    ":2:9: log.level: 'loud' must be error|warn|info|debug");
	expect_error("[link]\nkeep-alive = 10\n",
	    ":2:14: link.keep-alive: '10' must be a duration such as 500ms, "
	    "10s, 5m, 2h or 1d");
	expect_error("[link]\nkeep-alive = 50ms\n",
	    ":2:14: link.keep-alive: '50ms' must be between 100ms and 1h");
	expect_error("[link]\nwindow = 1023\n",
	    ":2:10: link.window: '1023' must be between 1K and 1G");
	expect_error("[link]\nwindow = 9999999999T\n",
	    ":2:10: link.window: '9999999999T' must be a size such as 512, "
	    "64K, 10M or 2G");
	expect_error("[link]\nretries = 11\n",
	    ":2:11: link.retries: '11' must be between -1 and 10");
	expect_error("[link]\nretries = 0x1\n",
	    ":2:11: link.retries: '0x1' must be a whole number");
	expect_error("[link]\nfast = maybe\n",
	    ":2:8: link.fast: 'maybe' must be true or false");
}

static void test_broken_lines_are_refused_with_their_column(void **state)
{
	(void)state;
	expect_error(
	    "listen = :1\n", ":1:1: 'listen' stands in no (valid) [section]");
	expect_error("[server\n", ":1:8: expected ']' after the section name");
	expect_error("[]\n", ":1:2: expected a section name of small letters, "
			     "digits, '-' and '_'");
	expect_error("[server] x\n", ":1:10: unexpected text after ']'");
	expect_error("[server]\nlisten\n", ":2:7: expected '=' after 'listen'");
	expect_error("[server]\nListen = 1\n",
	    ":2:1: expected a key of small letters, digits, '-' and '_'");
	expect_error(
	    "[server]\ntoken = \"a\n", ":2:9: the closing quote is missing");
	expect_error("[server]\ntoken = \"a\" b\n",
	    ":2:13: unexpected text after the quote");
	expect_error("[server]\ntoken = \"\\q\"\n",
	    ":2:10: unknown escape; known are \\\" \\\\ \\n \\t");
	expect_error("[server]\ntoken = a\x1b[m\n",
	    ":2:10: control character 0x1b; settings are plain text");
	expect_error("[server]\ntoken = a\ntoken = b\n",
	    ":3:9: 'token' in [server] was set in line 2 already");
}

static void test_a_nul_byte_is_refused(void **state)
{
	(void)state;
	write_text("server.conf", "[log]\nlevel = in\0fo\n", 20);
	assert_int_equal(load_with(NULL, NULL, 0), RC_PROTO);
	assert_non_null(strstr(
	    config_errors_text(errors, 0), ":2:11: control character 0x00"));
}

static void test_a_secret_is_not_repeated_in_an_error(void **state)
{
	static const struct config_option secret[] = { { .section = "a",
	    .key = "pin",
	    .type = CONFIG_INT,
	    .secret = true,
	    .help = "" } };
	const char *flags[] = { "a.pin=hunter2", "hunter3" };
	const struct config_source source = { .program = "x",
		.options = secret,
		.option_count = 1,
		.flags = flags,
		.flag_count = 1 };

	(void)state;
	assert_int_equal(config_load(&source, &config, &errors), RC_PROTO);
	assert_string_equal(config_errors_text(errors, 0),
	    "flag: a.pin must be a whole number");
}

static void test_a_line_longer_than_the_limit_is_refused(void **state)
{
	static char text[6000];

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	memcpy(text, "[server]\ntoken = ", 17);
	text[9 + 4097] = '\0';
	expect_error(text,
	    ":2:4097: the line has 4097 bytes, more than the limit of 4096");
	text[9 + 4096] = '\0';
	assert_int_equal(load(text), RC_OK);
	assert_int_equal(
	    strlen(config_string(config, "server", "token")), 4096 - 8);
}

static void test_a_file_longer_than_the_limit_is_refused(void **state)
{
	size_t len = CONFIG_FILE_MAX + 1;
	char *text = malloc(len);

	(void)state;
	assert_non_null(text);
	memset(text, '\n', len);
	write_text("server.conf", text, len);
	free(text);
	assert_int_equal(load_with(NULL, NULL, 0), RC_PROTO);
	assert_non_null(
	    strstr(config_errors_text(errors, 0), "larger than the limit"));
}

static void test_all_errors_are_found_in_one_run(void **state)
{
	const char *flags[] = { "nonsense", "link.retires=1", "link.fast=2" };

	(void)state;
	write_text("server.conf", "[server]\nx\n[log]\nlevel=9\n[link\n", 31);
	assert_int_equal(load_with(NULL, flags, 3), RC_PROTO);
	assert_int_equal(config_errors_count(errors), 6);
	assert_string_equal(config_errors_text(errors, 3),
	    "flag: expected SECTION.KEY=VALUE, not 'nonsense'");
	assert_string_equal(config_errors_text(errors, 4),
	    "flag: unknown key 'retires' in [link]; did you mean 'retries'?");
	assert_string_equal(config_errors_text(errors, 5),
	    "flag: link.fast: '2' must be true or false");
}

static void test_thousands_of_errors_are_cut(void **state)
{
	static char text[4001];

	(void)state;
	for (size_t i = 0; i < 2000; i++)
		memcpy(text + 2 * i, "?\n", 2);
	assert_int_equal(load(text), RC_PROTO);
	assert_int_equal(config_errors_count(errors), CONFIG_ERRORS_MAX);
}

static void test_a_list_has_a_limit(void **state)
{
	static char text[1000] = "[link]\nupstream = a";
	size_t count;

	(void)state;
	for (int i = 1; i < 256; i++)
		memcpy(text + strlen(text), ",a", 3);
	assert_int_equal(load(text), RC_OK);
	(void)config_list(config, "link", "upstream", &count);
	assert_int_equal(count, 256);
	memcpy(text + strlen(text), ",a", 3);
	assert_int_equal(load(text), RC_PROTO);
}

static void test_a_required_key_is_missed(void **state)
{
	static const struct config_option required[] = { { .section = "a",
	    .key = "name",
	    .type = CONFIG_STRING,
	    .required = true,
	    .help = "The name" } };
	const struct config_source source = { .program = "x",
		.options = required,
		.option_count = 1,
		.file = "/nowhere/x.conf" };
	struct config_source strict = source;

	(void)state;
	assert_int_equal(config_load(&source, &config, &errors), RC_PROTO);
	assert_string_equal(config_errors_text(errors, 0),
	    "/nowhere/x.conf: 'name' in [a] is required: The name");
	config_errors_free(errors);
	strict.file_required = true;
	assert_int_equal(config_load(&strict, &config, &errors), RC_PROTO);
	assert_non_null(strstr(
	    config_errors_text(errors, 0), "cannot open /nowhere/x.conf"));
}

static void test_a_variable_that_is_no_setting_is_told(void **state)
{
	char stray[] = "LONGARM_SERVER_LOG_LEVLE=debug";
	char *environment[] = { stray, NULL };
	char text[512] = "";

	(void)state;
	assert_int_equal(load_with(environment, NULL, 0), RC_OK);
	assert_true(pread(log_fd, text, sizeof(text) - 1, 0) > 0);
	assert_non_null(
	    strstr(text, "variable LONGARM_SERVER_LOG_LEVLE is no setting"));
}

static void test_a_reload_shows_what_differs(void **state)
{
	struct config *before;
	size_t at;

	(void)state;
	assert_int_equal(load("[link]\nfast = yes\n"), RC_OK);
	before = config;
	config = NULL;
	assert_int_equal(
	    load("[link]\nfast = yes\nretries = 4\n[log]\nlevel=warn\n"),
	    RC_OK);
	at = config_diff(before, config, 0);
	assert_string_equal(config_item_at(config, at).option->key, "level");
	at = config_diff(before, config, at + 1);
	assert_string_equal(config_item_at(config, at).option->key, "retries");
	assert_int_equal(config_diff(before, config, at + 1), OPTION_COUNT);
	config_free(before);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_without_a_file_there_are_defaults),
		T(test_a_file_gives_every_type),
		T(test_flag_beats_environment_beats_drop_in_beats_file),
		T(test_a_name_has_no_other_letters_and_is_never_cut),
		T(test_origins_are_told_and_secrets_masked),
		T(test_an_unknown_key_names_the_nearest),
		T(test_bad_values_are_refused_with_their_column),
		T(test_broken_lines_are_refused_with_their_column),
		T(test_a_nul_byte_is_refused),
		T(test_a_secret_is_not_repeated_in_an_error),
		T(test_a_line_longer_than_the_limit_is_refused),
		T(test_a_file_longer_than_the_limit_is_refused),
		T(test_all_errors_are_found_in_one_run),
		T(test_thousands_of_errors_are_cut),
		T(test_a_list_has_a_limit),
		T(test_a_required_key_is_missed),
		T(test_a_variable_that_is_no_setting_is_told),
		T(test_a_reload_shows_what_differs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "common/log.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static int log_fd;
static char captured[1 << 20];

/* Everything logged since setup(). */
static const char *lines(void)
{
	ssize_t n = pread(log_fd, captured, sizeof(captured) - 1, 0);

	assert_true(n >= 0);
	captured[n] = '\0';
	return captured;
}

static void use(enum log_format format, uint32_t burst)
{
	struct log_options options = LOG_OPTIONS_DEFAULT;

	options.format = format;
	options.burst = burst;
	options.window_ms = 3600 * 1000;
	options.fd = log_fd;
	log_setup(&options);
}

static int setup(void **state)
{
	(void)state;
	log_fd = memfd_create("log", MFD_CLOEXEC);
	use(LOG_FORMAT_LOGFMT, 50);
	return log_fd < 0;
}

static int teardown(void **state)
{
	(void)state;
	log_flush();
	return close(log_fd);
}

/* The line after its time, which is checked for its shape. */
static const char *after_time(const char *line)
{
	assert_int_equal(strspn(line, "0123456789-T:.Z"), 24);
	assert_int_equal(line[24], ' ');
	return line + 25;
}

static void test_a_line_has_time_level_subsystem_id_and_fields(void **state)
{
	(void)state;
	log_info_with("link", "7f3a",
	    LOG_FIELDS(LOG_TEXT("peer", "dc2-a"), LOG_NUMBER("rtt_us", -12)),
	    "connected in %d ms", 5);
	assert_string_equal(after_time(lines()),
	    "info link 7f3a: connected in 5 ms peer=dc2-a rtt_us=-12\n");
}

static void test_without_an_id_there_is_none(void **state)
{
	(void)state;
	log_warn("config", NULL, "odd");
	assert_string_equal(after_time(lines()), "warn config: odd\n");
}

static void test_lines_above_the_level_are_not_written(void **state)
{
	(void)state;
	log_debug("link", "", "unseen");
	assert_string_equal(lines(), "");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("link", "", "seen");
	assert_string_equal(after_time(lines()), "debug link: seen\n");
}

static void test_control_characters_and_broken_utf8_are_escaped(void **state)
{
	(void)state;
	log_error_with("x", "a\nb",
	    LOG_FIELDS(
		LOG_TEXT("k", "a b=\"c\"\x1b[31m\\"), LOG_TEXT("empty", "")),
	    "%s", "one\ntwo\r\t\x7f \xff \xc2\x9b \xc3\xa9 \xc0\x80");
	assert_string_equal(after_time(lines()),
	    "error x a\\nb: one\\ntwo\\r\\t\\x7f \\xff \\xc2\\x9b \xc3\xa9 "
	    "\\xc0\\x80 k=\"a b=\\\"c\\\"\\x1b[31m\\\\\" empty=\"\"\n");
}

static void test_json_lines_parse_whatever_is_in_them(void **state)
{
	json_t *line;

	(void)state;
	use(LOG_FORMAT_JSON, 0);
	log_info_with("x", "id\"1",
	    LOG_FIELDS(LOG_TEXT("k", "v\x1b\n\"\xff"), LOG_NUMBER("n", 7)),
	    "m\\\x01 %s", "\xe2\x82\xac");
	line = json_loads(lines(), 0, NULL);
	assert_non_null(line);
	assert_string_equal(json_string_value(json_object_get(line, "message")),
	    "m\\\x01 \xe2\x82\xac");
	assert_string_equal(
	    json_string_value(json_object_get(line, "id")), "id\"1");
	assert_int_equal(json_integer_value(json_object_get(line, "n")), 7);
	json_decref(line);
}

static void test_a_line_is_cut_at_its_limit_and_stays_whole_json(void **state)
{
	static char text[5000];
	size_t sizes[] = { 900, 1000, 2000, 2040, 2047, 4999 };

	(void)state;
	use(LOG_FORMAT_JSON, 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		json_t *line;
		const char *last;

		memset(text, i % 2 == 0 ? '\x01' : 'a', sizes[i]);
		text[sizes[i]] = '\0';
		log_info_with("x", text,
		    LOG_FIELDS(LOG_TEXT("a", text), LOG_TEXT("b", text),
			LOG_TEXT("c", text), LOG_TEXT("d", text)),
		    "%s", text);
		last = lines();
		assert_true(strlen(last) <= LOG_LINE_MAX);
		assert_non_null(strstr(last, "..."));
		line = json_loads(last, 0, NULL);
		assert_non_null(line);
		json_decref(line);
		assert_int_equal(ftruncate(log_fd, 0), 0);
		assert_int_equal(lseek(log_fd, 0, SEEK_SET), 0);
	}
}

static void test_a_call_site_is_limited_and_the_rest_is_counted(void **state)
{
	size_t count = 0;

	(void)state;
	use(LOG_FORMAT_LOGFMT, 3);
	for (int i = 0; i < 10; i++)
		log_info("flood", NULL, "line %d", i);
	log_info("other", NULL, "another site is not touched");
	log_flush();
	for (const char *at = lines(); (at = strchr(at, '\n')) != NULL; at++)
		count++;
	assert_int_equal(count, 5);
	assert_non_null(strstr(lines(), "line 2\n"));
	assert_null(strstr(lines(), "line 3\n"));
	assert_non_null(
	    strstr(lines(), "warn log flood: 7 lines like this suppressed\n"));
}

static void test_errno_survives_a_log_line(void **state)
{
	(void)state;
	errno = ENOENT;
	log_info("x", NULL, "y");
	assert_int_equal(errno, ENOENT);
}

static void test_levels_have_names(void **state)
{
	enum log_level level;

	(void)state;
	assert_int_equal(log_level_parse("debug", &level), RC_OK);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
	assert_int_equal(log_level_parse("loud", &level), RC_NOTFOUND);
}

static void *write_many(void *unused)
{
	(void)unused;
	for (int i = 0; i < 500; i++)
		log_info("thread", NULL, "0123456789");
	return NULL;
}

static void test_lines_of_several_threads_do_not_mix(void **state)
{
	pthread_t threads[4];
	size_t count = 0;

	(void)state;
	use(LOG_FORMAT_LOGFMT, 0);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(
		    pthread_create(&threads[i], NULL, write_many, NULL), 0);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (const char *at = lines(); *at != '\0'; count++) {
		const char *end = strchr(at, '\n');

		assert_non_null(end);
		assert_int_equal(end - at, 25 + 13 + 10);
		at = end + 1;
	}
	assert_int_equal(count, 2000);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_a_line_has_time_level_subsystem_id_and_fields),
		T(test_without_an_id_there_is_none),
		T(test_lines_above_the_level_are_not_written),
		T(test_control_characters_and_broken_utf8_are_escaped),
		T(test_json_lines_parse_whatever_is_in_them),
		T(test_a_line_is_cut_at_its_limit_and_stays_whole_json),
		T(test_a_call_site_is_limited_and_the_rest_is_counted),
		T(test_errno_survives_a_log_line),
		T(test_levels_have_names),
		T(test_lines_of_several_threads_do_not_mix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

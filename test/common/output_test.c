#include "common/config_command.h"
#include "common/output.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct output_column columns[] = {
	{ "name", "NAME", false },
	{ "roles", "ROLES", false },
	{ "count", "COUNT", true },
	{ "healthy", "HEALTHY", false },
	{ "seen", "LAST SEEN", false },
};

static struct output *t;
static char *printed;

static int setup(void **state)
{
	static const char *const roles[] = { "web", "db" };

	(void)state;
	printed = NULL;
	if (output_new(columns, 5, &t) != RC_OK)
		return 1;
	output_row(t);
	output_text(t, "web-01");
	output_texts(t, roles, 2);
	output_number(t, -5);
	output_bool(t, true);
	output_time(t, 1782898200125);
	output_row(t);
	output_text(t, "m\xc3\xbcller \xe6\x97\xa5");
	output_texts(t, roles, 0);
	output_number(t, INT64_MAX);
	output_bool(t, false);
	output_time(t, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	output_free(t);
	free(printed);
	return 0;
}

static const char *print(enum output_format format, bool one)
{
	size_t len;
	FILE *f;

	free(printed);
	printed = NULL;
	f = open_memstream(&printed, &len);
	assert_non_null(f);
	assert_int_equal(
	    one ? output_print_one(t, format, f) : output_print(t, format, f),
	    RC_OK);
	assert_int_equal(fclose(f), 0);
	return printed;
}

static void test_a_table_is_as_wide_as_its_content(void **state)
{
	(void)state;
	assert_string_equal(print(OUTPUT_TABLE, false),
	    "NAME       ROLES   HEALTHY  LAST SEEN\n"
	    "web-01     web,db  yes      2026-07-01T09:30:00.125Z\n"
	    "m\xc3\xbcller \xe6\x97\xa5  -       no       -\n");
}

static void test_a_wide_table_shows_all_columns(void **state)
{
	(void)state;
	assert_string_equal(print(OUTPUT_WIDE, false),
	    "NAME       ROLES   COUNT                HEALTHY  LAST SEEN\n"
	    "web-01     web,db  -5                   yes      "
	    "2026-07-01T09:30:00.125Z\n"
	    "m\xc3\xbcller \xe6\x97\xa5  -       9223372036854775807  no       "
	    "-\n");
}

static void test_json_has_every_column_with_its_type(void **state)
{
	(void)state;
	assert_string_equal(print(OUTPUT_JSON, false),
	    "[{\"name\":\"web-01\",\"roles\":[\"web\",\"db\"],\"count\":-5,"
	    "\"healthy\":true,\"seen\":\"2026-07-01T09:30:00.125Z\"},\n"
	    " {\"name\":\"m\xc3\xbcller \xe6\x97\xa5\",\"roles\":[],"
	    "\"count\":9223372036854775807,\"healthy\":false,\"seen\":null}]\n");
}

static void test_jsonl_has_an_object_a_line(void **state)
{
	size_t lines = 0;

	(void)state;
	for (const char *at = print(OUTPUT_JSONL, false); *at != '\0'; at++)
		lines += *at == '\n';
	assert_int_equal(lines, 2);
	assert_memory_equal(printed, "{\"name\":\"web-01\",", 17);
}

static void test_names_stand_alone(void **state)
{
	(void)state;
	assert_string_equal(
	    print(OUTPUT_NAME, false), "web-01\nm\xc3\xbcller \xe6\x97\xa5\n");
}

static void test_one_row_is_printed_as_a_record(void **state)
{
	(void)state;
	assert_string_equal(print(OUTPUT_TABLE, true),
	    "NAME:       web-01\n"
	    "ROLES:      web,db\n"
	    "COUNT:      -5\n"
	    "HEALTHY:    yes\n"
	    "LAST SEEN:  2026-07-01T09:30:00.125Z\n");
	assert_int_equal(print(OUTPUT_JSON, true)[0], '{');
	assert_string_equal(print(OUTPUT_NAME, true), "web-01\n");
}

static void test_a_hostile_name_does_not_reach_the_terminal(void **state)
{
	json_t *array;

	(void)state;
	output_free(t);
	assert_int_equal(output_new(columns, 1, &t), RC_OK);
	output_row(t);
	output_text(t, "a\x1b[31m\nb\xff\xc2\x9b\x7f\"\\");
	assert_string_equal(
	    print(OUTPUT_TABLE, false), "NAME\na?[31m b????\"\\\n");
	array = json_loads(print(OUTPUT_JSON, false), 0, NULL);
	assert_non_null(array);
	assert_string_equal(json_string_value(json_object_get(
				json_array_get(array, 0), "name")),
	    "a\x1b[31m\nb\xef\xbf\xbd\xc2\x9b\x7f\"\\");
	json_decref(array);
}

static void test_no_rows_are_a_header_or_an_empty_array(void **state)
{
	(void)state;
	output_free(t);
	assert_int_equal(output_new(columns, 1, &t), RC_OK);
	assert_string_equal(print(OUTPUT_TABLE, false), "NAME\n");
	assert_string_equal(print(OUTPUT_JSON, false), "[]\n");
	assert_string_equal(print(OUTPUT_JSONL, false), "");
	assert_string_equal(print(OUTPUT_NAME, false), "");
}

static void test_a_full_disk_is_an_error(void **state)
{
	FILE *f = fopen("/dev/full", "we");

	(void)state;
	assert_non_null(f);
	assert_int_equal(output_print(t, OUTPUT_JSON, f), RC_IO);
	(void)fclose(f);
}

static void test_colour_stays_out_of_files(void **state)
{
	size_t len;
	FILE *f = open_memstream(&printed, &len);

	(void)state;
	assert_non_null(f);
	output_colour(f, OUTPUT_RED, "%d failed", 3);
	assert_int_equal(fclose(f), 0);
	assert_string_equal(printed, "3 failed");
}

static void test_thousands_of_rows_are_fine(void **state)
{
	size_t lines = 0;

	(void)state;
	output_free(t);
	assert_int_equal(output_new(columns, 2, &t), RC_OK);
	for (int i = 0; i < 5000; i++) {
		output_row(t);
		output_number(t, i);
		output_null(t);
	}
	for (const char *at = print(OUTPUT_TABLE, false); *at != '\0'; at++)
		lines += *at == '\n';
	assert_int_equal(lines, 5001);
}

static const struct config_option settings[] = {
	{ .section = "log",
	    .key = "level",
	    .type = CONFIG_STRING,
	    .initial = "info",
	    .flag = "log-level",
	    .help = "How much" },
	{ .section = "a", .key = "n", .type = CONFIG_INT, .help = "A number" },
};

static const struct config_program program = { "test", "/nowhere/test.conf",
	settings, 2 };

static struct config *shown;
static enum rc loaded;

static enum command_exit show(const struct command_line *line)
{
	loaded = config_from_command(&program, line, &shown);
	return config_check(&program, line);
}

/* Words are split at blanks. */
static int run(const struct command_table *table, const char *words)
{
	char text[128], *argv[10];
	char *at = text;
	int argc = 0;

	(void)snprintf(text, sizeof(text), "test %s", words);
	while (argc < 10 && (argv[argc] = strsep(&at, " ")) != NULL)
		argc++;
	return command_main(table, argc, argv);
}

static void test_flags_of_a_command_reach_the_settings(void **state)
{
	static const struct command_option options[] = {
		CONFIG_COMMAND_OPTIONS,
		{ .name = "log-level",
		    .argument = "LEVEL",
		    .help = "How much" },
		OUTPUT_COMMAND_OPTION,
	};
	static const struct command command = { .name = "run",
		.help = "Run",
		.options = options,
		.option_count = 4,
		.run = show };
	static const struct command_table table = { .program = "test",
		.about = "tests",
		.commands = &command,
		.command_count = 1 };
	(void)state;
	assert_int_equal(
	    run(&table,
		"run --set log.level=warn --set a.n=5 --log-level debug"),
	    COMMAND_OK);
	assert_int_equal(loaded, RC_OK);
	assert_string_equal(config_string(shown, "log", "level"), "debug");
	assert_int_equal(config_int(shown, "a", "n"), 5);
	config_free(shown);
	assert_int_equal(run(&table, "run --set a.n=five"), COMMAND_ERROR);
	assert_int_equal(loaded, RC_PROTO);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_a_table_is_as_wide_as_its_content),
		T(test_a_wide_table_shows_all_columns),
		T(test_json_has_every_column_with_its_type),
		T(test_jsonl_has_an_object_a_line),
		T(test_names_stand_alone),
		T(test_one_row_is_printed_as_a_record),
		T(test_a_hostile_name_does_not_reach_the_terminal),
		T(test_no_rows_are_a_header_or_an_empty_array),
		T(test_a_full_disk_is_an_error),
		T(test_colour_stays_out_of_files),
		T(test_thousands_of_rows_are_fine),
		T(test_flags_of_a_command_reach_the_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

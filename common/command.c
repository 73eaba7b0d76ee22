/* The table, the parsed line, and main(). */
#include "common/command.h"

#include "common/command_parse.h"
#include "common/command_private.h"

#include <stdlib.h>
#include <string.h>

size_t command_option_total(
    const struct command_table *table, const struct command *command)
{
	return table->option_count +
	       (command == NULL ? 0 : command->option_count);
}

const struct command_option *command_option_at(
    const struct command_table *table, const struct command *command,
    size_t index)
{
	size_t own = command == NULL ? 0 : command->option_count;

	return index < own ? &command->options[index]
	                   : &table->options[index - own];
}

bool command_name_within(const char *name, const char *prefix)
{
	size_t len = prefix == NULL ? 0 : strlen(prefix);

	if (len == 0)
		return true;
	return strncmp(name, prefix, len) == 0 &&
	       (name[len] == ' ' || name[len] == '\0');
}

void command_line_free(struct command_line *line)
{
	if (line == NULL)
		return;
	free(line->values);
	free((void *)line->arguments);
	free(line);
}

const struct command *command_line_command(const struct command_line *line)
{
	return line->command;
}

const struct command_table *command_line_table(const struct command_line *line)
{
	return line->table;
}

bool command_has(const struct command_line *line, const char *option)
{
	return command_value_count(line, option) > 0;
}

const char *command_value(const struct command_line *line, const char *option)
{
	size_t count = command_value_count(line, option);

	return count == 0 ? NULL : command_value_at(line, option, count - 1);
}

size_t command_value_count(const struct command_line *line, const char *option)
{
	size_t count = 0;

	for (size_t i = 0; i < line->value_count; i++)
		count += strcmp(line->values[i].option->name, option) == 0;
	return count;
}

const char *command_value_at(
    const struct command_line *line, const char *option, size_t index)
{
	for (size_t i = 0; i < line->value_count; i++) {
		if (strcmp(line->values[i].option->name, option) == 0 &&
		    index-- == 0)
			return line->values[i].text;
	}
	return NULL;
}

size_t command_argument_count(const struct command_line *line)
{
	return line->argument_count;
}

const char *command_argument(const struct command_line *line, size_t index)
{
	return index < line->argument_count ? line->arguments[index] : NULL;
}

/* Did the data reach standard output?  A full disk must not look like 0. */
static int finish(const struct command_table *table, int code)
{
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return code;
	(void)fprintf(
	    stderr, "%s: cannot write to standard output\n", table->program);
	return code == COMMAND_OK ? COMMAND_ERROR : code;
}

static int usage_error(const struct command_table *table, const char *text)
{
	(void)fprintf(stderr, "%s: %s\n", table->program, text);
	(void)fprintf(stderr, "Try '%s --help'.\n", table->program);
	return COMMAND_USAGE;
}

/* The words after `help` as one prefix. */
static int show_help(const struct command_table *table, int argc, char **argv)
{
	char prefix[128] = "";
	size_t len = 0;

	for (int i = 0; i < argc && argv[i][0] != '-'; i++) {
		int n = snprintf(prefix + len, sizeof(prefix) - len, "%s%s",
		    len > 0 ? " " : "", argv[i]);

		if (n < 0 || (size_t)n >= sizeof(prefix) - len)
			return usage_error(table, "no such command");
		len += (size_t)n;
	}
	for (size_t i = 0; i < table->command_count; i++) {
		if (command_name_within(table->commands[i].name, prefix)) {
			command_print_help(table, prefix, stdout);
			return finish(table, COMMAND_OK);
		}
	}
	return usage_error(table, "no such command");
}

static int show_completion(
    const struct command_table *table, int argc, char **argv)
{
	if (argc != 1 ||
	    command_print_completion(table, argv[0], stdout) != RC_OK)
		return usage_error(
		    table, "completion needs one of bash, zsh, fish");
	return finish(table, COMMAND_OK);
}

static int show_version(const struct command_table *table)
{
	(void)printf("%s %s\n", table->program, LONGARM_VERSION);
	return finish(table, COMMAND_OK);
}

/* Verbs that every program has; -1: none of them. */
static int run_builtin(const struct command_table *table, int argc, char **argv)
{
	if (argc < 2)
		return -1;
	if (strcmp(argv[1], "help") == 0)
		return show_help(table, argc - 2, argv + 2);
	if (strcmp(argv[1], "version") == 0 && argc == 2)
		return show_version(table);
	if (strcmp(argv[1], "completion") == 0)
		return show_completion(table, argc - 2, argv + 2);
	if (strcmp(argv[1], "man") == 0 && argc == 2) {
		command_print_man(table, stdout);
		return finish(table, COMMAND_OK);
	}
	return -1;
}

int command_main(const struct command_table *table, int argc, char **argv)
{
	struct command_line *line = NULL;
	struct fault fault = { 0 };
	int code = run_builtin(table, argc, argv);

	if (code >= 0)
		return code;
	if (argc < 2) {
		command_print_help(table, NULL, stderr);
		return COMMAND_USAGE;
	}
	if (command_parse(table, argc, argv, &line, &fault) != RC_OK)
		return usage_error(table, fault.text);
	switch (line->wish) {
	case COMMAND_WISH_RUN:
		code = (int)line->command->run(line);
		code = finish(table, code);
		break;
	case COMMAND_WISH_HELP:
		command_print_help(table, line->help_prefix, stdout);
		code = finish(table, COMMAND_OK);
		break;
	case COMMAND_WISH_VERSION:
		code = show_version(table);
		break;
	}
	command_line_free(line);
	return code;
}

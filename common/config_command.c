#include "common/config_command.h"

#include "common/output.h"
#include "common/xalloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Every --set, then the options that have a flag of their own. */
static char **collect_flags(const struct config_program *program,
    const struct command_line *line, size_t *count)
{
	size_t sets = command_value_count(line, "set");
	char **flags =
	    (char **)xcalloc(sets + program->option_count, sizeof(*flags));

	for (*count = 0; *count < sets; (*count)++)
		flags[*count] = xstrdup(command_value_at(line, "set", *count));
	for (size_t i = 0; i < program->option_count; i++) {
		const struct config_option *o = &program->options[i];

		if (o->flag == NULL || !command_has(line, o->flag))
			continue;
		flags[(*count)++] = xprintf("%s.%s=%s", o->section, o->key,
		    command_value(line, o->flag));
	}
	return flags;
}

enum rc config_from_command(const struct config_program *program,
    const struct command_line *line, struct config **out)
{
	const char *file = command_value(line, "config");
	struct config_errors *errors = NULL;
	size_t count;
	char **flags = collect_flags(program, line, &count);
	const struct config_source source = {
		.program = program->program,
		.options = program->options,
		.option_count = program->option_count,
		.file = file != NULL ? file : program->file,
		.file_required = file != NULL,
		.environment = environ,
		.flags = (const char *const *)flags,
		.flag_count = count,
	};
	enum rc rc = config_load(&source, out, &errors);

	for (size_t i = 0; i < config_errors_count(errors); i++) {
		output_safe(stderr, config_errors_text(errors, i));
		(void)fputc('\n', stderr);
	}
	config_errors_free(errors);
	for (size_t i = 0; i < count; i++)
		free(flags[i]);
	free((void *)flags);
	return rc;
}

bool config_print_same(const struct command_line *line, FILE *out)
{
	static const char *const options[][2] = { { "config", "-c" },
		{ "state", "--state" } };
	bool any = false;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		const char *value = command_value(line, options[i][0]);

		if (value == NULL)
			continue;
		(void)fprintf(out, " %s ", options[i][1]);
		output_safe(out, value);
		any = true;
	}
	return any;
}

enum command_exit config_check(
    const struct config_program *program, const struct command_line *line)
{
	struct config *config;

	if (config_from_command(program, line, &config) != RC_OK)
		return COMMAND_ERROR;
	config_free(config);
	(void)puts("ok");
	return COMMAND_OK;
}

enum command_exit config_show(
    const struct config_program *program, const struct command_line *line)
{
	static const struct output_column columns[] = {
		{ "key", "KEY", false },
		{ "value", "VALUE", false },
		{ "origin", "ORIGIN", false },
		{ "default", "DEFAULT", true },
		{ "reload", "RELOAD", true },
		{ "help", "MEANING", true },
	};
	struct config *config = NULL;
	struct output *t = NULL;
	enum rc rc = config_from_command(program, line, &config);

	if (rc == RC_OK)
		rc = output_new(
		    columns, sizeof(columns) / sizeof(columns[0]), &t);
	for (size_t i = 0; rc == RC_OK && i < config_item_count(config); i++) {
		struct config_item item = config_item_at(config, i);
		char *key =
		    xprintf("%s.%s", item.option->section, item.option->key);

		output_row(t);
		output_text(t, key);
		output_text(t, item.value);
		output_text(t, item.origin);
		output_text(t, item.option->initial);
		output_bool(t, !item.option->needs_restart);
		output_text(t, item.option->help);
		free(key);
	}
	if (rc == RC_OK)
		rc = output_print(t, output_format_of(line), stdout);
	output_free(t);
	config_free(config);
	return rc == RC_OK ? COMMAND_OK : COMMAND_ERROR;
}

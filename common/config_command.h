/*
 * config_command.h - settings and commands meet: --config, --set and flags of
 * their own become a loaded config; `config check` and `config show`.
 *
 * A command that takes settings lists CONFIG_COMMAND_OPTIONS among its options,
 * and one option for each config_option with a flag.
 */
#ifndef COMMON_CONFIG_COMMAND_H
#define COMMON_CONFIG_COMMAND_H

#include "common/command.h"
#include "common/config.h"

#include <stdio.h>

#define CONFIG_COMMAND_OPTIONS                                                 \
	{ .name = "config",                                                    \
		.letter = 'c',                                                 \
		.argument = "FILE",                                            \
		.help = "Settings file instead of the usual one" },            \
	{                                                                      \
		.name = "set", .argument = "SECTION.KEY=VALUE",                \
		.repeated = true, .help = "One setting, above all files"       \
	}

struct config_program {
	const char *program; /* "server" */
	const char *file;    /* "/etc/longarm/server.conf" */
	const struct config_option *options;
	size_t option_count;
};

/*
 * Load from file, environment and the flags of line; errors are printed on
 * standard error, one per line.
 */
MUST_CHECK enum rc config_from_command(const struct config_program *program,
    const struct command_line *line, struct config **out);
/*
 * For a next command that people copy: " -c FILE --state DIR" as this one had
 * them; false: it had neither.
 */
bool config_print_same(const struct command_line *line, FILE *out);
/* `config check`: exit code 0, or 1 with every error on standard error. */
enum command_exit config_check(
    const struct config_program *program, const struct command_line *line);
/* `config show`: each setting, its value and origin; -o is obeyed. */
enum command_exit config_show(
    const struct config_program *program, const struct command_line *line);

#endif

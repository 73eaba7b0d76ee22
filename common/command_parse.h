/* command_parse.h - inside of a parsed command line; for command*.c only. */
#ifndef COMMON_COMMAND_PARSE_H
#define COMMON_COMMAND_PARSE_H

#include "common/command.h"

enum command_wish {
	COMMAND_WISH_RUN,
	COMMAND_WISH_HELP,
	COMMAND_WISH_VERSION,
};

struct command_given {
	const struct command_option *option;
	const char *text; /* "" for a switch */
};

struct command_line {
	const struct command_table *table;
	const struct command *command; /* NULL only with WISH_HELP, _VERSION */
	enum command_wish wish;
	char help_prefix[128]; /* for WISH_HELP: "" is the whole program */
	struct command_given *values;
	size_t value_count;
	const char **arguments;
	size_t argument_count;
};

#endif

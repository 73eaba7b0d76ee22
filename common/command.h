/*
 * command.h - one table of commands makes parsing, --help, completion scripts
 * and man pages.
 *
 *     longarm machine list --environment prod -o json
 *             ^ noun verb  ^ options            (before or after arguments)
 *     longarm run --role web -- uptime -p       (after --: arguments only)
 *
 * The table is static const data of a program; nothing here is global.
 */
#ifndef COMMON_COMMAND_H
#define COMMON_COMMAND_H

#include "proto/rc.h"
#include "proto/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define COMMAND_VALUES_MAX                                                     \
	4096 /* options and arguments of one command line                      \
	      */

/* Exit codes of all programs; part of the interface. */
enum command_exit {
	COMMAND_OK = 0,
	COMMAND_ERROR = 1,
	COMMAND_USAGE = 2,
	COMMAND_NOT_FOUND = 3,
	COMMAND_NOT_PERMITTED = 4,
	COMMAND_TASK_FAILED = 5,
	COMMAND_CANCELLED = 6,
	COMMAND_WAIT_TIMED_OUT = 7,
	COMMAND_SERVER_UNREACHABLE = 8,
	COMMAND_MACHINE_UNREACHABLE = 9, /* or a relay */
	COMMAND_PARTIAL = 10,            /* some succeeded, some did not */
	COMMAND_INTERRUPTED = 130,
};

struct command_option {
	const char *name;     /* "role" for --role */
	char letter;          /* 'r' for -r, or 0 */
	const char *argument; /* "ROLE"; NULL: a switch */
	const char *choices;  /* "table|json": nothing else is taken; or NULL */
	bool repeated;        /* may be given more than once */
	bool required;
	const char *help; /* one line */
};

struct command_line;

struct command {
	const char *name; /* "machine list", "serve" */
	/*
	 * "MACHINE [NAME] FILE..." or "[MACHINE...]": ... only on the last
	 * word; a word "--" is shown in the usage and means nothing to the
	 * parser. NULL: none.
	 */
	const char *arguments;
	const char *help;     /* one line, no full stop */
	const char *details;  /* paragraphs, or NULL */
	const char *examples; /* lines as typed, or NULL */
	const struct command_option *options;
	size_t option_count;
	bool hidden;
	enum command_exit (*run)(const struct command_line *line);
};

struct command_table {
	const char *program; /* "longarm-server" */
	const char *about;   /* one line */
	const struct command *commands;
	size_t command_count;
	const struct command_option *options; /* understood by every command */
	size_t option_count;
};

/*
 * The whole of main(): parse, answer --help, -h, --version, `version`, `help
 * [COMMAND]`, `completion bash|zsh|fish` and `man`, or run the command.
 * Errors go to standard error with the nearest name; returns the exit code.
 */
int command_main(const struct command_table *table, int argc, char **argv);

/*
 * Only parse.  RC_PROTO: fault says what to mend (exit code 2).  argv and table
 * are borrowed until command_line_free().
 */
MUST_CHECK enum rc command_parse(const struct command_table *table, int argc,
    char **argv, struct command_line **out, struct fault *fault);
void command_line_free(struct command_line *line);

const struct command *command_line_command(const struct command_line *line);
const struct command_table *command_line_table(const struct command_line *line);
/* Was it given?  For switches, and for "given or default". */
bool command_has(const struct command_line *line, const char *option);
/* The last value given; NULL: not given, or no such option. */
const char *command_value(const struct command_line *line, const char *option);
size_t command_value_count(const struct command_line *line, const char *option);
const char *command_value_at(
    const struct command_line *line, const char *option, size_t index);
size_t command_argument_count(const struct command_line *line);
/* NULL beyond the end. */
const char *command_argument(const struct command_line *line, size_t index);

/* Usage of one command; prefix "machine" or NULL: a list of commands. */
void command_print_help(
    const struct command_table *table, const char *prefix, FILE *out);
/* RC_NOTFOUND: not bash, zsh or fish. */
MUST_CHECK enum rc command_print_completion(
    const struct command_table *table, const char *shell, FILE *out);
/* A man page in roff for the whole program. */
void command_print_man(const struct command_table *table, FILE *out);

#endif

/*
 * cli.h - the operator's commands: everything they do goes over the HTTP API.
 *
 * cli_main() is the whole of `longarm`.  longarm-server offers the same
 * commands beside its own: append cli_commands() to its table.
 */
#ifndef SERVER_CLI_CLI_H
#define SERVER_CLI_CLI_H

#include "common/command.h"

/* Parse, run; returns the exit code.  SIGPIPE should be ignored. */
int cli_main(int argc, char **argv);
/* Command number i; NULL beyond the end. */
const struct command *cli_command(size_t i);
/* Options that every command of cli_main() understands. */
extern const struct command_option cli_options[];
extern const size_t cli_option_count;

#endif

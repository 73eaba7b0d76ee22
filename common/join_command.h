/*
 * join_command.h - what `join`, `status` and `leave` have in common for relays
 * and tentacles.
 */
#ifndef COMMON_JOIN_COMMAND_H
#define COMMON_JOIN_COMMAND_H

#include "common/command.h"
#include "common/config.h"
#include "proto/kind.h"

#define JOIN_COMMAND_OPTIONS                                                   \
	{ .name = "token-file",                                                \
		.argument = "FILE",                                            \
		.required = true,                                              \
		.help = "The token; - reads standard input" },                 \
	{                                                                      \
		.name = "timeout", .argument = "DURATION",                     \
		.help = "Limit of one attempt (default 30s)"                   \
	}

struct member_command {
	enum peer_role role;
	const char *program; /* "longarm-tentacle" */
	const char *state_dir;
	const char *advertise; /* where others dial it; "" when nobody does */
	const struct config *config;
};

/* HOST:PORT... of line are servers or relays. */
enum command_exit join_command(
    const struct member_command *m, const struct command_line *line);
enum command_exit status_command(
    const struct member_command *m, const struct command_line *line);
enum command_exit leave_command(const struct member_command *m);

#endif

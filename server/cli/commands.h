/* commands.h - the tables of the nouns; each ends with a NULL name. */
#ifndef SERVER_CLI_COMMANDS_H
#define SERVER_CLI_COMMANDS_H

#include "server/cli/session.h"

extern const struct command access_commands[];
extern const struct command fleet_commands[];
extern const struct command project_commands[];
extern const struct command push_commands[];
extern const struct command route_commands[];
extern const struct command task_commands[];

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
/* A struct cells of two static arrays. */
#define CELLS(columns, types)                                                  \
	{                                                                      \
		(columns), (types), COUNT_OF(columns)                          \
	}

/* "direct=web-01:10933", "dc2-a/dc2-c": {path, endpoint}; NULL: said why. */
json_t *route_of(struct session *s, const char *text);

/* File to send: a file as it is, a directory as a deterministic tar.zst.
 * An open temporary or the file itself; -1: said why. */
int open_package(struct session *s, const char *path);

#endif

/* commands.h - the tables of the nouns; each ends with a NULL name. */
#ifndef SERVER_CLI_COMMANDS_H
#define SERVER_CLI_COMMANDS_H

#include "server/cli/session.h"

extern const struct command access_commands[];
extern const struct command ca_commands[];
extern const struct command fleet_commands[];
extern const struct command join_commands[];
extern const struct command lock_commands[];
extern const struct command note_commands[];
extern const struct command project_commands[];
extern const struct command push_commands[];
extern const struct command relay_commands[];
extern const struct command route_commands[];
extern const struct command task_commands[];
extern const struct command work_commands[];

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define TIMEOUT_OPTION                                                         \
	{                                                                      \
		.name = "timeout", .argument = "TIME",                         \
		.help = "Wait no longer than this (exit 7); the task goes on"  \
	}
/* A struct cells of two static arrays. */
#define CELLS(columns, types)                                                  \
	{                                                                      \
		(columns), (types), COUNT_OF(columns)                          \
	}

/* "direct=web-01:10933", "dc2-a/dc2-c": {path, endpoint}; NULL: said why. */
json_t *route_of(struct session *s, const char *text);

#define ENVIRONMENTS_OPTION                                                    \
	{                                                                      \
		.name = "environment", .letter = 'e', .argument = "ENV",       \
		.repeated = true, .help = "Where it stands"                    \
	}
#define ROLES_OPTION                                                           \
	{                                                                      \
		.name = "role", .letter = 'r', .argument = "ROLE",             \
		.repeated = true, .help = "What it does"                       \
	}
#define ROUTES_OPTION                                                          \
	{                                                                      \
		.name = "route", .argument = "ROUTE", .repeated = true,        \
		.help = "direct=HOST:PORT, RELAY, RELAY/RELAY=HOST:PORT; the " \
			"preferred first"                                      \
	}

/* "routes" of a body, from the option --route. */
void set_routes(struct session *s, json_t *body);
/* DELETE of the thing that the first argument names, below a path. */
enum command_exit remove_one(
    const struct command_line *line, const char *below);
/* Revoke the key of one of these ("relays"), and show what it is then. */
enum command_exit revoke_one(const struct command_line *line, const char *noun,
    const struct cells *cells);
/* Let one of these work again that is held as a copy; the same. */
enum command_exit release_one(const struct command_line *line, const char *noun,
    const struct cells *cells);
/* Why it is held, and what to do, to stderr; nothing if it is not. */
void explain_hold(const json_t *held);
extern const struct cells machine_cells;
extern const struct cells task_cells;
/* "task-7" of a task; never NULL. */
const char *task_id_of(const json_t *task);

/* File to send: a file as it is, a directory as a deterministic tar.zst.
 * An open temporary or the file itself; -1: said why. */
int open_package(struct session *s, const char *path);

#endif

/*
 * session.h - what every command needs: the server, answers, tables.
 *
 * A command opens a session, makes calls, and returns session_close()'s exit
 * code.  The first failure is printed and kept; later calls do nothing.
 */
#ifndef SERVER_CLI_SESSION_H
#define SERVER_CLI_SESSION_H

#include "common/buf.h"
#include "common/output.h"
#include "server/cli/client.h"

struct session {
	const struct command_line *line;
	struct client *client;
	enum command_exit failed; /* COMMAND_OK: nothing did */
};

/* Log in by file and environment; false: said why. */
bool session_open(struct session *s, const struct command_line *line);
enum command_exit session_close(struct session *s);
/* Print the fault and note the exit code; returns it. */
enum command_exit session_fail(
    struct session *s, enum command_exit code, const struct fault *fault);
/* The same from a message of ours: usage (exit 2). */
enum command_exit session_usage(struct session *s, const char *format, ...)
    PRINTF_LIKE(2, 3);

/* "/api/v1/machines/" + escaped name + rest; the caller frees it. */
char *session_path(const char *format, ...) PRINTF_LIKE(1, 2);

/*
 * One request; body is given away (may be NULL).  The answer's body, which
 * the caller owns, or NULL: failed and said (204: an empty object).
 */
json_t *session_call(
    struct session *s, const char *method, const char *path, json_t *body);
/* As session_call() by POST, and done once, however often the connection
 * breaks: for what would be done twice by a second call. */
json_t *session_create(struct session *s, const char *path, json_t *body);
/* The bytes of a GET as they are; buf_fini() in any case. */
bool session_bytes(struct session *s, const char *path, struct buf *out);
/* All pages of a list: an array that the caller owns, or NULL. */
json_t *session_list(struct session *s, const char *path);

enum cell {
	CELL_TEXT, /* "" is shown as nothing */
	CELL_NUMBER,
	CELL_BOOL,
	CELL_TIME,  /* ms */
	CELL_TEXTS, /* array of texts */
	CELL_ROUTES /* array of {path, endpoint} */
};

/* A column of a table: JSON member column.name. */
struct cells {
	const struct output_column *columns;
	const enum cell *types;
	size_t count;
};
/* Print items (given away) as -o says. */
void session_print(struct session *s, const struct cells *cells, json_t *items);
/* One record (given away); NULL is fine. */
void session_print_one(
    struct session *s, const struct cells *cells, json_t *item);

/* Option value, or NULL. */
const char *session_option(const struct session *s, const char *name);
/* Set a member from an option that was given. */
void session_text(const struct session *s, json_t *body, const char *member,
    const char *option);
void session_texts(const struct session *s, json_t *body, const char *member,
    const char *option);
/* Seconds from "90s", "5m"...; false: said why. */
bool session_seconds(
    struct session *s, json_t *body, const char *member, const char *option);
/* A whole number; false: said why. */
bool session_number(
    struct session *s, json_t *body, const char *member, const char *option);

/* A size such as 256MiB, as bytes; false: said why. */
bool session_size(
    struct session *s, json_t *body, const char *member, const char *option);

/* Text of a file or standard input ("-"); the caller frees it. */
char *session_read(struct session *s, const char *path, size_t limit);
/* "90", "90s", "5m", "2h", "7d" -> seconds; RC_PROTO. */
MUST_CHECK enum rc seconds_parse(const char *text, uint64_t *out);

#endif

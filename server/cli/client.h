/*
 * client.h - requests to the HTTP API by libcurl, and what their failures mean.
 *
 * One thread.  SIGINT ends a request under way (client_interrupted()).
 */
#ifndef SERVER_CLI_CLIENT_H
#define SERVER_CLI_CLIENT_H

#include "common/command.h"
#include "server/cli/login.h"

#include <jansson.h>

struct buf;
struct client;

struct client_request {
	const char *method; /* "GET" */
	const char *path;   /* "/api/v1/tasks", escaped already */
	json_t *body;       /* borrowed; NULL: none */
	const void *part;   /* instead of body: bytes as they are */
	size_t part_len;
	/* Of a POST that is repeated for 30 s when its connection breaks; or
	 * NULL. */
	const char *idempotency_key;
	struct buf *bytes; /* where a good answer goes, instead of JSON */
	long timeout_s;    /* 0: 60 */
};

struct client_answer {
	int status; /* HTTP; 0: never got there */
	json_t *body;
	struct fault fault; /* when the status is not 2xx */
};

/* login is taken over (its key moves). */
MUST_CHECK enum rc client_new(
    struct login *login, struct client **out, struct fault *fault);
void client_free(struct client *client); /* NULL is fine */

/*
 * RC_OK: 2xx.  Else answer->fault is set; status tells which exit code fits
 * (client_exit()).  client_answer_clear() in any case.
 */
MUST_CHECK enum rc client_call(struct client *client,
    const struct client_request *request, struct client_answer *answer);
void client_answer_clear(struct client_answer *answer);
/* The exit code of a failed call. */
enum command_exit client_exit(const struct client_answer *answer);
/* The same by its parts; pure. */
enum command_exit exit_of_status(int status, enum reason code);
/* Does this say that a machine or relay was not reached?  Pure. */
bool exit_is_unreachable(enum reason code);

/* SIGINT is counted from now on; true: it came. */
void client_catch_interrupts(void);
bool client_interrupted(void);

/* Append text with everything but unreserved characters as %XX. */
MUST_CHECK enum rc client_escape(struct buf *to, const char *text);

#endif

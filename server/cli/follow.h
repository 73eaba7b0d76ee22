/*
 * follow.h - wait for a task, with its output, and turn its end into an exit
 * code.
 */
#ifndef SERVER_CLI_FOLLOW_H
#define SERVER_CLI_FOLLOW_H

#include "server/cli/session.h"

struct follow_options {
	bool log;           /* print "machine step | text" lines */
	bool once;          /* what there is now: do not wait for the end */
	uint64_t timeout_s; /* 0: for ever; else exit 7 */
};

/*
 * Follow until the task has ended.  SIGINT detaches: says how to come back,
 * exit 130; the task goes on.  A server that is away for a while (a restart)
 * is waited for.
 */
enum command_exit follow_task(
    struct session *s, const char *id, const struct follow_options *options);
/* The exit code of a task that has ended (JSON of the API).  Pure. */
enum command_exit exit_of_task(const json_t *task);

/* What a run has written so far without a newline.  Pure. */
struct line_joiner;
struct line_joiner *line_joiner_new(void);
void line_joiner_free(struct line_joiner *j);
/* Print the whole lines of text, and keep the rest for next time. */
void line_joiner_add(struct line_joiner *j, const char *run, const char *prefix,
    const char *text, FILE *out);
/* Print what is left. */
void line_joiner_end(struct line_joiner *j, FILE *out);

#endif

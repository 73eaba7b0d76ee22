/*
 * run.h - one script as a process of its own session.
 *
 *     run_prepare()    files in the ticket's directory, synced
 *     (the journal's EXEC mark is synced)
 *     run_start()      the process; never called twice for one mark
 *     run_tick()       when run_fd() is readable or the time it asked for came
 *     run_end()        how it ended
 *
 * This is the one place where a script's process lives: guardians that outlive
 * the tentacle will take it over behind this interface.
 *
 *     dir/NAME          the script, 0700; run by its own "#!" line or /bin/sh
 *     dir/output        stdout and stderr in the order written, 0600
 *     dir/secrets/X     secret X, 0600; LONGARM_SECRETS_DIR names the place
 *
 * Times are milliseconds of one clock that never goes back.  One thread.
 */
#ifndef TENTACLE_RUN_H
#define TENTACLE_RUN_H

#include "proto/message.h"

#define RUN_TIMEOUT_DEFAULT_MS 1800000
#define RUN_GRACE_MS           10000 /* between SIGTERM and SIGKILL */
#define RUN_OUTPUT_MAX         (64ull * 1024 * 1024)
#define RUN_PATH               "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct run_spec {
	const char *dir;  /* of the ticket; made 0700 when missing */
	const char *name; /* "script", "before", "after" */
	struct bytes body;
	const char *workdir; /* NULL: dir */
	const char *ticket;
	const char *machine; /* its id; may be "" */
	const char *home;    /* NULL: HOME of the user's record is not looked
	                      * up, "/" is used */
	const char *package_dir, *previous_dir; /* NULL: none */
	const struct msg_pair *environment;
	size_t environment_count;
	const struct msg_pair *secrets;
	size_t secret_count;
	uint64_t timeout_ms; /* 0: RUN_TIMEOUT_DEFAULT_MS */
	uint64_t grace_ms;   /* 0: RUN_GRACE_MS */
	uint64_t output_max; /* bytes of the output file; 0: RUN_OUTPUT_MAX */
};

enum run_state {
	RUN_ALIVE,
	RUN_ENDING, /* SIGTERM was sent; SIGKILL follows after the grace */
	RUN_KILLED, /* SIGKILL was sent */
	RUN_OVER
};

struct run_end {
	enum ticket_state state; /* exited or cancelled */
	int32_t exit_code;       /* when signal is 0 */
	uint32_t signal;
	/* REASON_NONE: exit code 0.  Else script-failed, timed-out, cancelled,
	 * with a text. */
	struct fault cause;
};

struct run; /* opaque */

/* Write script and secrets and make the output file.  Blocks on the disk. */
MUST_CHECK enum rc run_prepare(
    const struct run_spec *spec, struct fault *fault);
/*
 * Start it.  spec is not needed afterwards.  A script that cannot be started
 * (no such interpreter) is no error here: it is over at once, exit code 127.
 */
MUST_CHECK enum rc run_start(const struct run_spec *spec, uint64_t now_ms,
    struct run **out, struct fault *fault);
/* Readable once the process has ended; -1: it never began.  Borrowed. */
int run_fd(const struct run *r);
/* SIGTERM to its session's group now, SIGKILL after the grace. */
void run_cancel(struct run *r, uint64_t now_ms);
/*
 * Time limit, grace, size of the output, end.  RC_AGAIN: call again when
 * run_fd() is readable, at *wake_ms at the latest.  RC_OK: over.
 */
MUST_CHECK enum rc run_tick(struct run *r, uint64_t now_ms, uint64_t *wake_ms);
/* Once over. */
const struct run_end *run_end(const struct run *r);
/* A process that still lives is killed and reaped: its end is lost. */
void run_free(struct run *r); /* NULL is fine */

#endif

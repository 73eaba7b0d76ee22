/*
 * run.h - one script as a process of its own session, watched by guardians.
 *
 *     run_prepare()    files in the ticket's directory
 *     (the journal's EXEC mark is synced)
 *     run_start()      its guardians, which start it; once for each mark
 *     run_tick()       when run_fd() is readable or the time it asked for came
 *     run_end()        how it ended
 *
 *     run_adopt()      after a restart, instead of the first three
 *
 * The guardians (tentacle/guardian/guard.h) outlive this program and need
 * nothing of it: time limit, output limit and the record of the end are
 * theirs.  What is here starts them, tells them to stop, and reads what they
 * wrote.
 *
 *     dir/NAME          the script, 0700; run by its own "#!" line or /bin/sh
 *     dir/output        stdout and stderr in the order written, 0600
 *     dir/secrets/X     secret X, 0600; LONGARM_SECRETS_DIR names the place
 *     dir/run-NAME/     order, and record (locked while a guardian lives)
 *     dir/work/         its working directory and LONGARM_RUN_DIR: nothing of
 *                       ours is in there, so no name that it chooses meets one
 *
 * A script that runs as another user cannot look into dir, which is ours.  It
 * has a directory of its own, world (0700, its user's), instead of dir/work,
 * with copies of the script (world/.NAME) and of its secrets
 * (world/.secrets/X).
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
#define RUN_WORK               "work"
/* Launches of guardians that end before their script could begin. */
#define RUN_ATTEMPTS 3

/* Who we are, for scripts; "" is fine. */
struct run_machine {
	const char *id;
	const char *name; /* as people call it */
};

struct run_spec {
	const char *dir;  /* of the ticket; made 0700 when missing */
	const char *name; /* "script", "before", "after" */
	int guardian;     /* of run_open_guardian() */
	bool passing; /* nobody asks after a crash: guardians sync nothing */
	/* If the machine stops before it began, run_prepare() is done again: so
	 * only names are synced here, not what is in the files. */
	bool again;
	struct bytes body;
	const char *workdir; /* NULL: dir/work */
	const char *ticket;
	struct run_machine machine;
	const char *home; /* NULL: HOME of the user's record is not looked
	                   * up, "/" is used */
	const char *package_dir, *previous_dir; /* NULL: none */
	const struct msg_pair *environment;
	size_t environment_count;
	const struct msg_pair *secrets;
	size_t secret_count;
	uint64_t timeout_ms; /* 0: RUN_TIMEOUT_DEFAULT_MS */
	uint64_t grace_ms;   /* 0: RUN_GRACE_MS */
	uint64_t output_max; /* bytes of the output file; 0: RUN_OUTPUT_MAX */
	const char *helpers; /* directory in front of PATH; NULL, "": none */
	const char *user;    /* NULL or "": as we are */
	const char *world;   /* needed with another user; made when missing */
	uint64_t memory;     /* bytes, of all that it starts; 0: no limit */
	uint32_t processes;  /* 0: no limit */
};

struct run_end {
	/* Exited or cancelled; unknown: nobody can know how it ended, and cause
	 * says why. */
	enum ticket_state state;
	int32_t exit_code; /* when signal is 0 */
	uint32_t signal;
	/* REASON_NONE: exit code 0.  Else script-failed, out-of-memory,
	 * timed-out, cancelled, not-permitted (its limits cannot be kept: it
	 * never ran), unknown, with a text. */
	struct fault cause;
};

struct run; /* opaque */

/*
 * Open the guardians' program, so that an upgrade of the file changes nothing
 * for us: it is always this file that is executed.  path NULL: the one beside
 * our own program or in ../lib/longarm.  RC_NOTFOUND with a fault.  The caller
 * closes *out.
 */
MUST_CHECK enum rc run_open_guardian(
    const char *path, int *out, struct fault *fault);

/* Write script, secrets, order and record, make the output file.  Blocks.
 * RC_DENIED, RC_NOTFOUND: it cannot run as the user named. */
MUST_CHECK enum rc run_prepare(
    const struct run_spec *spec, struct fault *fault);
/*
 * Start it; of spec only dir, name and guardian are read.  A script that cannot
 * be executed is no error here: it ends with exit code 127.  RC_EXISTS: its
 * guardians live already; RC_IO.
 */
MUST_CHECK enum rc run_start(const struct run_spec *spec, uint64_t now_ms,
    struct run **out, struct fault *fault);
/*
 * Take up what an earlier life of this program started or was about to start:
 * run_tick() then says.  A script of which it is certain that it never began is
 * started; RC_STATE: by run_prepare() and run_start(), for spec->again is set,
 * the machine has stopped since and its files may not be whole.  RC_NOTFOUND,
 * RC_PROTO: there is no record that could be read.  Of spec only dir, name,
 * guardian and again are read.
 */
MUST_CHECK enum rc run_adopt(
    const struct run_spec *spec, struct run **out, struct fault *fault);
/* Readable once no guardian lives any more; -1: nothing tells (yet, or any
 * more).  Borrowed; the same as long as run_tick() was not called. */
int run_fd(const struct run *r);
/* Have it ended: SIGTERM to its group now, SIGKILL to all after the grace. */
void run_cancel(struct run *r, uint64_t now_ms);
/*
 * RC_AGAIN: call again when run_fd() is readable, at *wake_ms at the latest.
 * RC_OK: over.
 */
MUST_CHECK enum rc run_tick(struct run *r, uint64_t now_ms, uint64_t *wake_ms);
/* Once over. */
const struct run_end *run_end(const struct run *r);
/* What still runs goes on, watched by its guardians. */
void run_free(struct run *r); /* NULL is fine */
/* Remove the empty control groups of all runs in the directory of a ticket. */
void run_clear_groups(const char *dir);

#endif

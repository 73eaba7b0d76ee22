/*
 * guard.h - the guardians of one script: two processes that outlive the
 * tentacle, in a session of their own.
 *
 *     tentacle -> supervisor -> shim -> script
 *
 * The shim is the script's parent.  It keeps its limits (time, output), stops
 * it when told to, and when it ends writes the exit record, synced, before the
 * script's remains are reaped.  The supervisor only waits for the shim: it
 * inherits the script when the shim is killed (both are subreapers), and then
 * does all that the shim did.  A supervisor that is killed leaves a shim that
 * does all by itself.  Only when both are killed is the end unknown.
 *
 * Started with (others are closed):
 *     GUARD_FD_DIR      directory with order and record; script's output is in
 *                       the one above it
 *     GUARD_FD_RECORD   the record, open for reading and writing, locked
 *     GUARD_FD_ALIVE    a pipe's end for writing: whoever reads it sees its end
 *                       when both guardians have ended
 * SIGCHLD, from whomever, has one look at once whether it is to stop.
 */
#ifndef TENTACLE_GUARDIAN_GUARD_H
#define TENTACLE_GUARDIAN_GUARD_H

#include "tentacle/guardian/cgroup.h"
#include "tentacle/guardian/order.h"
#include "tentacle/guardian/record.h"

#include <stdbool.h>
#include <sys/types.h>

#define GUARD_FD_DIR    3
#define GUARD_FD_RECORD 4
#define GUARD_FD_ALIVE  5

/* How often output, time and orders to stop are looked at. */
#define GUARD_TICK_MS 500

/* Exit codes of a guardian; people see them in tests only. */
enum guard_code {
	GUARD_DONE = 0,
	GUARD_BAD_ORDER = 64,
	GUARD_FAILED = 70,  /* no process, no memory */
	GUARD_NO_SYNC = 74, /* the disk: what it wrote is not to be trusted */
};

enum guard_state {
	GUARD_WATCHING,
	GUARD_ENDING, /* SIGTERM was sent; SIGKILL follows after the grace */
	GUARD_KILLING /* SIGKILL was sent */
};

/* One guardian. */
struct guard {
	struct guard_order order;
	struct guard_record record; /* as last read from the file */
	struct cgroup cgroup;
	enum guard_by by; /* who we are */
	enum guard_state state;
	uint64_t kill_at_ms; /* GUARD_ENDING; CLOCK_BOOTTIME */
	pid_t script;        /* 0: not known (yet) */
	int output, signals;
	char oom_score[16]; /* as it was before we protected ourselves */
	bool unlimited;     /* its limits cannot be kept: it must not run */
};

/* The supervisor's whole life, from its start to its exit code. */
int guard_main(void);

/* guard_record.c: slots of our own file.  RC_IO: not written, or not synced. */
MUST_CHECK enum rc guard_put(struct guard *g, enum guard_slot slot);
MUST_CHECK enum rc guard_put_synced(struct guard *g, enum guard_slot slot);
/* Read the slot again; false: not valid. */
bool guard_look(struct guard *g, enum guard_slot slot);

/* guard_child.c: the shim's child, up to execve.  Does not return. */
_Noreturn void guard_child(struct guard *g);

/* guard_watch.c: be the script's parent until its end is recorded. */
int guard_watch(struct guard *g);

#endif

/*
 * process.h - who a process is, whether it lives, and signals that never reach
 * a stranger; and the lock that says that a guardian lives.
 *
 * A number is looked at again once a pidfd holds the process: same start time,
 * same boot.  Any thread.
 */
#ifndef TENTACLE_GUARDIAN_PROCESS_H
#define TENTACLE_GUARDIAN_PROCESS_H

#include "tentacle/guardian/record.h"

#include <sys/types.h>

/* CLOCK_BOOTTIME. */
uint64_t guard_now_ms(void);
/* Of this run of the kernel. */
void guard_boot_id(char out[GUARD_BOOT_SIZE]);
/* RC_NOTFOUND: there is no such process. */
MUST_CHECK enum rc guard_who_is(pid_t pid, struct guard_who *out);
/* The same process, and not only its remains (a zombie). */
bool guard_is_alive(const struct guard_who *who);
/*
 * Send a signal to this very process, and with group to the group that it
 * leads.  RC_NOTFOUND: it is gone.
 */
MUST_CHECK enum rc guard_signal(
    const struct guard_who *who, int signo, bool group);

/*
 * The lock belongs to the open file: it is inherited, and free when the last
 * process with it has ended or executed something else.  RC_EXISTS: taken.
 */
MUST_CHECK enum rc guard_lock(int fd);
/* By another open file.  Also true when nobody can tell. */
bool guard_is_locked(int fd);

/*
 * Kill all descendants of this process, but keep (0: none); how many were found
 * alive.  Those of which nobody else is the parent any more are ours when we
 * are a subreaper.
 */
unsigned guard_kill_descendants(pid_t keep);

/* All of the file, at an offset.  RC_IO with errno. */
MUST_CHECK enum rc guard_write_at(
    int fd, const void *data, size_t len, size_t offset);
MUST_CHECK enum rc guard_read_at(
    int fd, void *data, size_t len, size_t offset, size_t *got);

#endif

/*
 * failing.h - what the failing set of programs (build/<cc>/failing) has in
 * place of common/failpoint.c, and in front of the C library.
 *
 * A program is told by files in the directory LONGARM_FAILPOINTS; guardians,
 * whose environment is empty, look into `failpoints` in the tentacle's state
 * directory.  Nothing there: they are as those that are shipped.
 *
 *     NAME              what to do at failpoint(NAME): "abort" or "pause", and
 *                       behind it at which time ("abort 3"; the first)
 *     fsync             "fail 3 journal": from the third sync of a file with
 *                       this in its path on all syncs fail; path left out: any
 *     clock             milliseconds that the wall clock is ahead
 *     boot_id           the boot id in place of the kernel's
 *     mutant.SAFEGUARD  this safeguard is off (mutants.c)
 *
 * abort: NAME is removed, NAME.reached holds the pid, and the process is killed
 * by SIGKILL.  pause: NAME.reached is there while the thread waits for the end
 * of NAME.  Power is lost with each kill: what was written to a journal and not
 * synced is gone then (disk.c).
 */
#ifndef TEST_FAILING_FAILING_H
#define TEST_FAILING_FAILING_H

#include <stdbool.h>
#include <stddef.h>

#define FAILING_PATH 4352

/* Where name would be; false: nobody asks this process for anything. */
bool failing_path(const char *name, char out[FAILING_PATH]);
/* The text of the file name; false: there is none. */
bool failing_read(const char *name, char *out, size_t size);
/*
 * The file name holds "WORD [N] ..." and this is the N-th call: true, with what
 * stands behind WORD in *more if that is not NULL.  It is counted down to 1.
 */
bool failing_is_turn(const char *name, const char *word);
bool failing_has_mutant(const char *safeguard);

#endif

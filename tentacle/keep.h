/*
 * keep.h - take a copy of a file that a script named.
 *
 * The tentacle may read more than the script's user may, and the script goes on
 * changing what is there: so nothing is followed out of the directory, and all
 * that is read is bounded.  Blocks; any thread.
 */
#ifndef TENTACLE_KEEP_H
#define TENTACLE_KEEP_H

#include "proto/name.h"
#include "proto/rc.h"
#include "tentacle/run_base.h"

#include <stdint.h>

/*
 * Open path (absolute beneath base, or relative to it) for reading, with the
 * rights of this user: no component of it is a link, and it does not lead out
 * of base nor of its file system.  -1 with errno.  It may be anything: look
 * before you read.
 */
int keep_open(const struct run_user *user, const char *base, const char *path);

/*
 * Copy all of the open file to a new, synced file at path; what was there is
 * replaced.  size and digest (hex of SHA-256) are of what was copied.
 * RC_LIMIT: it has more than at_most bytes; RC_IO; RC_NOMEM.  Then nothing is
 * left at path.
 */
MUST_CHECK enum rc keep_copy(int from, const char *path, uint64_t at_most,
    uint64_t *size, char digest[DIGEST_SIZE]);

#endif

/*
 * runlog.h - a run's output as others may see it.
 *
 * While a script runs its raw output is on disk, beside its secrets; what is
 * read here is masked on the way.  When it has ended the file itself is masked,
 * and the secrets are removed: offsets stay, because masking keeps lengths.
 */
#ifndef TENTACLE_RUNLOG_H
#define TENTACLE_RUNLOG_H

#include "proto/name.h"
#include "tentacle/mask.h"

#include <stdbool.h>

#define RUNLOG_READ_MAX 65536

/* The secrets of the ticket's directory; an empty mask when there are none. */
MUST_CHECK enum rc runlog_load_mask(
    const char *dir, struct mask **out, struct fault *fault);

/* A piece of a log that somebody wants to read. */
struct runlog_range {
	uint64_t offset;
	uint8_t *out;
	size_t size; /* of out; at most RUNLOG_READ_MAX is used */
	size_t got;  /* bytes that are now there; 0: none yet, or the end */
};

/*
 * Read masked bytes of dir/output.  complete: nothing follows what is there;
 * else the last bytes are held back while they may be the beginning of a
 * secret.  RC_NOTFOUND: no output; RC_IO.
 */
MUST_CHECK enum rc runlog_read(const char *dir, const struct mask *mask,
    bool complete, struct runlog_range *range);

/*
 * The script has ended: mask the file in place, sync it, tell its size and
 * SHA-256 (hex).  May be done again after a crash.  Blocks.
 */
MUST_CHECK enum rc runlog_seal(const char *dir, const struct mask *mask,
    uint64_t *size, char sha256[DIGEST_SIZE], struct fault *fault);

/* Add one line of our own ("longarm: ...") to the output. */
void runlog_note(const char *dir, const char *format, ...) PRINTF_LIKE(2, 3);

#endif

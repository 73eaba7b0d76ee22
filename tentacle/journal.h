/*
 * journal.h - what this machine promised, on disk before the answer goes out.
 *
 *     journal_open() -> journal_replay() until the end
 *     journal_append()... -> journal_sync() -> now tell the server
 *
 * Append-only; the bytes are in journal_record.h.  The counter rises by one
 * with each record, also over compaction, and together with the id it shows a
 * server that a machine was set back to an older state of its disk.
 *
 * When a write or sync fails nobody knows what the disk holds: the journal
 * then refuses everything for good and the program must end.  One thread.
 */
#ifndef TENTACLE_JOURNAL_H
#define TENTACLE_JOURNAL_H

#include "tentacle/journal_record.h"

#include <stdbool.h>

#define JOURNAL_FILE_MAX 268435456 /* bytes; compact long before */

struct journal; /* opaque */

/*
 * Open or create `journal` in dir (a private directory).  RC_PROTO with
 * REASON_JOURNAL: broken in the middle or not a journal; it is left as it is
 * and the machine is in quarantine until a person decides.  RC_IO.
 */
MUST_CHECK enum rc journal_open(
    const char *dir, struct journal **out, struct fault *fault);
void journal_close(struct journal *j);

/*
 * Next record of what was on disk at journal_open(); RC_NOTFOUND: that was
 * all (and the memory is given back).  Before the first append.
 */
MUST_CHECK enum rc journal_replay(struct journal *j, struct journal_record *r);

const char *journal_id(const struct journal *j); /* 32 hex digits */
/* Of the last synced record. */
uint64_t journal_counter(const struct journal *j);
/* Bytes of the file. */
uint64_t journal_size(const struct journal *j);
/* Did this open cut a torn tail off?  Bytes; 0: no. */
uint64_t journal_torn(const struct journal *j);
/* A write or sync failed: end the program. */
bool journal_has_failed(const struct journal *j);

/*
 * Put a record into the next frame; nothing is written yet.  RC_LIMIT: the
 * frame is full, sync first.  RC_IO: the journal has failed.
 */
MUST_CHECK enum rc journal_append(
    struct journal *j, const struct journal_record *r);
/* Forget what was appended since the last sync. */
void journal_drop(struct journal *j);
/*
 * Write what was appended as one frame and wait until the disk has it.  RC_IO
 * with a fault: failed for good.
 */
MUST_CHECK enum rc journal_sync(struct journal *j, struct fault *fault);
/*
 * The same without waiting for the disk: for what may be forgotten when the
 * machine stops.  It is synced with the next; journal_counter() counts it only
 * then.
 */
MUST_CHECK enum rc journal_write(struct journal *j, struct fault *fault);
/*
 * Reserve room on the disk, so that records of what was accepted still fit
 * when it is full.  RC_LIMIT with REASON_NO_SPACE: there is none.
 */
MUST_CHECK enum rc journal_reserve(
    struct journal *j, uint64_t bytes, struct fault *fault);

/*
 * Compaction: after journal_rewrite_begin() the appended records (any number)
 * make a new file, which journal_rewrite_end() puts in place of the old one.
 * Same id, and the counter goes on.  Failing before the rename leaves the old
 * file and is not fatal (RC_NOMEM, RC_IO with journal_has_failed() false).
 */
MUST_CHECK enum rc journal_rewrite_begin(struct journal *j);
MUST_CHECK enum rc journal_rewrite_end(struct journal *j, struct fault *fault);
/* Instead of the end: nothing changes. */
void journal_rewrite_abandon(struct journal *j);

#endif

/*
 * notes.h - what a script has said of itself in its output, found while the
 * output is read.
 *
 *     notes_feed() each byte once, in order -> notes_end()
 *
 * A value that is set as sensitive is put into the mask as soon as its line is
 * whole, from that line on; what holds a value of the mask is sensitive without
 * having been called so.  Bytes before notes_decided() are masked as they will
 * be for ever.  Feeding the same bytes again gives the same notes.
 *
 * What cannot be read stays plain text, and counts as a warning.  All is
 * bounded; what is too much is counted and dropped.  One thread at a time.
 */
#ifndef TENTACLE_NOTES_H
#define TENTACLE_NOTES_H

#include "tentacle/mask.h"
#include "tentacle/note_line.h"

#define NOTES_OUTPUTS_MAX   100
#define NOTES_WARNINGS_MAX  50
#define NOTES_ARTIFACTS_MAX 20
#define NOTES_MAX           (NOTES_OUTPUTS_MAX + NOTES_WARNINGS_MAX + NOTES_ARTIFACTS_MAX)
#define NOTES_BYTES_MAX     262144 /* of values and texts */

struct notes; /* opaque; wiped when freed */

/* mask is borrowed and outlives it. */
MUST_CHECK enum rc notes_new(struct mask *mask, struct notes **out);
void notes_free(struct notes *n); /* NULL is fine */

/* RC_NOMEM: feed the same bytes to a new one. */
MUST_CHECK enum rc notes_feed(struct notes *n, struct bytes data);
/* No more will come: what has no newline is a line too. */
MUST_CHECK enum rc notes_end(struct notes *n);
/* Bytes fed so far. */
uint64_t notes_offset(const struct notes *n);
uint64_t notes_decided(const struct notes *n);

/* Outputs and warnings, in order; number is 1... and does not change. */
size_t notes_count(const struct notes *n);
/* Borrowed until the next change. */
void notes_get(const struct notes *n, size_t number, struct msg_note *out);
/* As it is now; *version rises with each change. */
void notes_state(
    const struct notes *n, struct msg_note *out, uint32_t *version);

/* Files that were named; their names are paths until they are collected. */
size_t notes_file_count(const struct notes *n);
const char *notes_file_path(const struct notes *n, size_t i);
const char *notes_file_title(const struct notes *n, size_t i);
/* Its bytes are kept: it becomes the next note. */
MUST_CHECK enum rc notes_add_artifact(struct notes *n, const char *title,
    uint64_t size, const char digest[DIGEST_SIZE]);
/* Ours; masked. */
MUST_CHECK enum rc notes_warn(struct notes *n, const char *format, ...)
    PRINTF_LIKE(2, 3);

/* All of it, for the file that outlives the raw log; and back.  RC_PROTO. */
MUST_CHECK enum rc notes_save(
    const struct notes *n, const char *path, struct fault *fault);
MUST_CHECK enum rc notes_load(
    struct mask *mask, const char *path, struct notes **out);

#endif

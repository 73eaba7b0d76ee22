/*
 * mask.h - blank secret values out of bytes that leave this machine.
 *
 * Every byte that belongs to an occurrence of a value becomes '*', so offsets
 * and sizes never change.  A value is also searched without the newlines at its
 * end, and each of its longer lines by itself.  Values shorter than
 * MASK_VALUE_MIN are not masked: they would blank half of any text.
 *
 * A value that became secret while the log was written is masked from there on:
 * what came before may have been sent already, and must stay as it was.
 *
 * Where a value cannot be kept as one (there are too many, or nobody can tell
 * where it ends), a range of the log is blanked whole.
 *
 * Whether a byte is masked depends only on MASK_CONTEXT bytes around it, so any
 * range of a file can be masked alone.  One thread; linear time.
 */
#ifndef TENTACLE_MASK_H
#define TENTACLE_MASK_H

#include "proto/bytes.h"
#include "proto/rc.h"

#include <stdbool.h>

#define MASK_VALUE_MIN   4
#define MASK_VALUE_MAX   32768
#define MASK_LINE_MIN    12  /* of a value with several lines */
#define MASK_PATTERN_MAX 512 /* values and lines in all */
#define MASK_BLANKS_MAX  64  /* ranges; with more, all is blank from there on */

struct mask; /* opaque; wiped when freed */

MUST_CHECK enum rc mask_new(struct mask **out);
void mask_free(struct mask *m); /* NULL is fine */
/* RC_LIMIT: longer than MASK_VALUE_MAX, or too many patterns. */
MUST_CHECK enum rc mask_add(struct mask *m, struct bytes value);
/* Only where it begins at this offset or behind it. */
MUST_CHECK enum rc mask_add_from(
    struct mask *m, struct bytes value, uint64_t from);

/*
 * Every byte of the log from `from` up to `to` is masked; UINT64_MAX: to its
 * end.  One that begins at the same place is replaced.
 */
void mask_blank(struct mask *m, uint64_t from, uint64_t to);
/* A value could not be taken in: all is blank from here on, for ever. */
void mask_blank_rest(struct mask *m, uint64_t from);
/* That was done: what does not come from us may hold such a value. */
bool mask_is_full(const struct mask *m);

/* Bytes before (and after) a range that must be read to mask it. */
size_t mask_context(const struct mask *m);
/*
 * out (as long as raw) becomes raw, which is at this offset of the log, masked.
 * Returns how many bytes at the end
 * may be the beginning of a value: hold them back while more may follow.
 */
size_t mask_copy_at(
    const struct mask *m, uint64_t offset, struct bytes raw, uint8_t *out);
/* The same for what is no part of the log: all values count, no ranges. */
size_t mask_copy(const struct mask *m, struct bytes raw, uint8_t *out);
/* Is any of them in there that is masked at this offset? */
bool mask_finds(const struct mask *m, struct bytes raw, uint64_t offset);

#endif

/*
 * mask.h - blank secret values out of bytes that leave this machine.
 *
 * Every byte that belongs to an occurrence of a value becomes '*', so offsets
 * and sizes never change.  A value is also searched without the newlines at its
 * end, and each of its longer lines by itself.  Values shorter than
 * MASK_VALUE_MIN are not masked: they would blank half of any text.
 *
 * Whether a byte is masked depends only on MASK_CONTEXT bytes around it, so any
 * range of a file can be masked alone.  One thread; linear time.
 */
#ifndef TENTACLE_MASK_H
#define TENTACLE_MASK_H

#include "proto/bytes.h"
#include "proto/rc.h"

#define MASK_VALUE_MIN   4
#define MASK_VALUE_MAX   32768
#define MASK_LINE_MIN    12  /* of a value with several lines */
#define MASK_PATTERN_MAX 512 /* values and lines in all */

struct mask; /* opaque; wiped when freed */

MUST_CHECK enum rc mask_new(struct mask **out);
void mask_free(struct mask *m); /* NULL is fine */
/* RC_LIMIT: longer than MASK_VALUE_MAX, or too many patterns. */
MUST_CHECK enum rc mask_add(struct mask *m, struct bytes value);

/* Bytes before (and after) a range that must be read to mask it. */
size_t mask_context(const struct mask *m);
/*
 * out (as long as raw) becomes raw, masked.  Returns how many bytes at the end
 * may be the beginning of a value: hold them back while more may follow.
 */
size_t mask_copy(const struct mask *m, struct bytes raw, uint8_t *out);

#endif

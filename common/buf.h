/*
 * buf.h - bytes that grow up to a limit.
 *
 *     struct buf b;
 *     buf_init(&b, 1 << 20);
 *     rc = buf_add(&b, data, len);
 *     buf_fini(&b);
 *
 * After a failed call the buffer is as before.  One thread.
 */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include "proto/rc.h"

#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data; /* a NUL follows the len bytes; NULL before the first */
	size_t len, size, limit;
};

void buf_init(struct buf *b, size_t limit);
void buf_fini(struct buf *b);
/* RC_LIMIT, RC_NOMEM. */
MUST_CHECK enum rc buf_add(struct buf *b, const void *data, size_t len);
MUST_CHECK enum rc buf_add_text(struct buf *b, const char *text);
MUST_CHECK enum rc buf_printf(struct buf *b, const char *format, ...)
    PRINTF_LIKE(2, 3);
void buf_clear(struct buf *b);
/* The content as text, never NULL; the caller frees it.  NULL: no memory. */
char *buf_take(struct buf *b);

#endif

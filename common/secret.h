/*
 * secret.h - bytes that must not be seen.
 *
 * Opaque, so that no format string can print one; wiped before it is freed;
 * compared in constant time.  Comes from files, standard input or the random
 * source, never from argv.  One owner, one thread at a time.
 */
#ifndef COMMON_SECRET_H
#define COMMON_SECRET_H

#include "proto/rc.h"
#include "proto/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECRET_MAX (1 << 20) /* bytes */

struct secret;

/* A copy of data; the caller wipes its own.  RC_LIMIT: above SECRET_MAX. */
MUST_CHECK enum rc secret_new(
    const void *data, size_t len, struct secret **out);
/*
 * The content of a file ("-": standard input) without its last newline.  A file
 * that others may read is taken, but logged as a warning with the remedy.
 * RC_LIMIT: longer than limit bytes; RC_IO: cannot be read; RC_PROTO: empty.
 */
MUST_CHECK enum rc secret_read(
    const char *path, size_t limit, struct secret **out, struct fault *fault);
/* Wipes.  NULL is fine. */
void secret_free(struct secret *s);

/* Borrowed until secret_free(); a NUL byte follows the len bytes. */
const uint8_t *secret_data(const struct secret *s);
size_t secret_len(const struct secret *s);
/* Constant time for equal lengths. */
bool secret_equals_bytes(const struct secret *a, const void *data, size_t len);
/* For buffers that held one for a moment. */
void secret_wipe(void *data, size_t len);

#endif

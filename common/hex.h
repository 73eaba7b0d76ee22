/* hex.h - bytes as lower-case hexadecimal digits.  Any thread. */
#ifndef COMMON_HEX_H
#define COMMON_HEX_H

#include "proto/rc.h"

#include <stddef.h>

/* Writes 2 * len digits and a NUL: out needs 2 * len + 1 bytes. */
void hex_encode(const void *data, size_t len, char *out);
/*
 * Exactly len bytes from exactly 2 * len digits of either case; text ends
 * there. RC_PROTO: anything else; out may be partly written then.
 */
MUST_CHECK enum rc hex_decode(const char *text, void *out, size_t len);

#endif

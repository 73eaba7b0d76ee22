/* utf8.h - take text from strangers apart.  Any thread. */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stddef.h>
#include <stdint.h>

/*
 * Bytes of the character at text (1-4), which ends with NUL; 0 when it is
 * broken (overlong forms and surrogates too) or a C1 control, which terminals
 * obey. ASCII, control characters included, and the NUL itself are 1.
 */
size_t utf8_len(const char *text);
/* The code point of a character of len bytes, as utf8_len() gave it. */
uint32_t utf8_decode(const char *text, size_t len);

#endif

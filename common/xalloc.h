/*
 * xalloc.h - small allocations of fixed size, which do not fail: without memory
 * the program says so and aborts.  What a peer or a file can make large goes
 * through calloc() and a limit.
 */
#ifndef COMMON_XALLOC_H
#define COMMON_XALLOC_H

#include <stddef.h>

void *xcalloc(size_t count, size_t size) __attribute__((returns_nonnull));
void *xrealloc(void *p, size_t count, size_t size)
    __attribute__((returns_nonnull));
char *xstrdup(const char *text) __attribute__((returns_nonnull));
/* printf into fresh memory. */
char *xprintf(const char *format, ...)
    __attribute__((returns_nonnull, format(printf, 1, 2)));

#endif

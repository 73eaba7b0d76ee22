/*
 * bytes.h - a range of bytes that somebody else owns.
 */
#ifndef PROTO_BYTES_H
#define PROTO_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* p may be NULL only when len is 0.  Never NUL-terminated. */
struct bytes {
	const uint8_t *p;
	size_t len;
};

static inline struct bytes bytes_of(const void *p, size_t len)
{
	return (struct bytes){ (const uint8_t *)p, len };
}

/* The bytes of a C string, without its NUL. */
static inline struct bytes bytes_text(const char *text)
{
	return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

#endif

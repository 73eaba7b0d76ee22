#include "common/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t limit)
{
	*b = (struct buf){ .limit = limit };
}

void buf_fini(struct buf *b)
{
	free(b->data);
	buf_init(b, b->limit);
}

/* Room for more bytes and a NUL. */
static enum rc make_room(struct buf *b, size_t more)
{
	size_t size = b->size == 0 ? 256 : b->size;
	uint8_t *data;

	if (more > b->limit || b->len > b->limit - more)
		return RC_LIMIT;
	if (b->len + more < b->size)
		return RC_OK;
	while (size <= b->len + more) {
		if (size > SIZE_MAX / 2)
			return RC_LIMIT;
		size *= 2;
	}
	data = realloc(b->data, size);
	if (data == NULL)
		return RC_NOMEM;
	b->data = data;
	b->size = size;
	return RC_OK;
}

enum rc buf_add(struct buf *b, const void *data, size_t len)
{
	enum rc rc = make_room(b, len);

	if (rc != RC_OK)
		return rc;
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
	return RC_OK;
}

enum rc buf_add_text(struct buf *b, const char *text)
{
	return buf_add(b, text, strlen(text));
}

enum rc buf_printf(struct buf *b, const char *format, ...)
{
	va_list args, again;
	enum rc rc = RC_IO;
	int len;

	va_start(args, format);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, args);
	if (len < 0)
		goto out;
	rc = make_room(b, (size_t)len);
	if (rc != RC_OK)
		goto out;
	(void)vsnprintf(
	    (char *)b->data + b->len, (size_t)len + 1, format, again);
	b->len += (size_t)len;
out:
	va_end(again);
	va_end(args);
	return rc;
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	if (b->data != NULL)
		b->data[0] = '\0';
}

char *buf_take(struct buf *b)
{
	char *text;

	if (b->data == NULL)
		return calloc(1, 1);
	text = (char *)b->data;
	buf_init(b, b->limit);
	return text;
}

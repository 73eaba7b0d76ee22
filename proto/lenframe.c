#include "proto/lenframe.h"

#include <stdlib.h>

void lenframe_init(struct lenframe *f, size_t max)
{
	*f = (struct lenframe){ .max = max };
}

void lenframe_fini(struct lenframe *f)
{
	free(f->data);
	lenframe_init(f, f->max);
}

static size_t load_length(const uint8_t *p)
{
	return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 |
	       p[3];
}

/* Bytes that the present message still needs; 0: it is complete. */
static size_t missing(const struct lenframe *f)
{
	if (f->len < LENFRAME_HEADER)
		return LENFRAME_HEADER - f->len;
	return LENFRAME_HEADER + load_length(f->data) - f->len;
}

/* Room for add bytes more: what has come so far decides, not the length that
 * the peer announced. */
static enum rc reserve(struct lenframe *f, size_t add)
{
	size_t capacity = f->capacity > 0 ? f->capacity : 512;
	uint8_t *data;

	if (f->len + add <= f->capacity)
		return RC_OK;
	while (capacity < f->len + add)
		capacity *= 2;
	if (capacity > f->max + LENFRAME_HEADER)
		capacity = f->max + LENFRAME_HEADER;
	data = realloc(f->data, capacity);
	if (data == NULL)
		return RC_NOMEM;
	f->data = data;
	f->capacity = capacity;
	return RC_OK;
}

static enum rc check_length(const struct lenframe *f, struct fault *fault)
{
	size_t length;

	if (f->len != LENFRAME_HEADER)
		return RC_OK;
	length = load_length(f->data);
	if (length > 0 && length <= f->max)
		return RC_OK;
	fault_set(fault, REASON_PROTOCOL, NULL,
	    "a message of %zu bytes; 1 to %zu are allowed here", length,
	    f->max);
	return RC_PROTO;
}

enum rc lenframe_feed(
    struct lenframe *f, struct bytes *input, struct fault *fault)
{
	if (f->taken > 0)
		f->len = f->taken = 0;
	while (input->len > 0 && missing(f) > 0) {
		size_t take = missing(f) < input->len ? missing(f) : input->len;
		enum rc rc = reserve(f, take);

		if (rc != RC_OK)
			return rc;
		memcpy(f->data + f->len, input->p, take);
		f->len += take;
		input->p += take;
		input->len -= take;
		rc = check_length(f, fault);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

enum rc lenframe_next(struct lenframe *f, struct bytes *message)
{
	if (f->taken > 0 || missing(f) > 0)
		return RC_AGAIN;
	f->taken = f->len;
	*message =
	    bytes_of(f->data + LENFRAME_HEADER, f->len - LENFRAME_HEADER);
	return RC_OK;
}

bool lenframe_is_empty(const struct lenframe *f)
{
	return f->len == f->taken;
}

size_t lenframe_begin(struct packbuf *b)
{
	static const uint8_t later[LENFRAME_HEADER] = { 0 };
	size_t mark = b->len;

	packbuf_append(b, bytes_of(later, sizeof(later)));
	return mark;
}

enum rc lenframe_end(struct packbuf *b, size_t mark, size_t max)
{
	enum rc rc = packbuf_rc(b);
	size_t length;

	if (rc == RC_OK && (b->len <= mark + LENFRAME_HEADER ||
			       b->len - mark - LENFRAME_HEADER > max))
		rc = RC_LIMIT;
	if (rc != RC_OK) {
		if (b->len > mark)
			b->len = mark;
		b->rc = RC_OK;
		return rc;
	}
	length = b->len - mark - LENFRAME_HEADER;
	for (size_t i = 0; i < LENFRAME_HEADER; i++)
		b->data[mark + i] = (uint8_t)(length >> (24 - 8 * i));
	return RC_OK;
}

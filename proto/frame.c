#include "proto/frame.h"

static uint16_t load_u16(const uint8_t *p)
{
	return (uint16_t)((unsigned)p[0] << 8 | p[1]);
}

uint32_t frame_load_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

void frame_store_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

enum rc frame_decode(const uint8_t *data, size_t len, struct frame *out)
{
	/* A bad length is known from two bytes: do not wait for the rest. */
	if (len >= 2 && load_u16(data) > FRAME_PAYLOAD_MAX)
		return RC_PROTO;
	if (len < FRAME_HEADER_LEN)
		return RC_AGAIN;
	out->len = load_u16(data);
	out->type = data[2];
	out->flags = data[3];
	out->id = frame_load_u32(data + 4);
	return len - FRAME_HEADER_LEN >= out->len ? RC_OK : RC_AGAIN;
}

void frame_encode(const struct frame *f, uint8_t out[FRAME_HEADER_LEN])
{
	out[0] = (uint8_t)(f->len >> 8);
	out[1] = (uint8_t)f->len;
	out[2] = f->type;
	out[3] = f->flags;
	frame_store_u32(out + 4, f->id);
}

const char *frame_type_name(unsigned type)
{
	static const char *const names[FRAME_TYPE_COUNT] = {
		[FRAME_DATA] = "DATA",
		[FRAME_OPEN] = "OPEN",
		[FRAME_ACCEPT] = "ACCEPT",
		[FRAME_CREDIT] = "CREDIT",
		[FRAME_RESET] = "RESET",
		[FRAME_PING] = "PING",
		[FRAME_PONG] = "PONG",
		[FRAME_GOAWAY] = "GOAWAY",
		[FRAME_HELLO] = "HELLO",
		[FRAME_TELL] = "TELL",
	};

	return type < FRAME_TYPE_COUNT ? names[type] : "unknown";
}

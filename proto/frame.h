/*
 * frame.h - the eight bytes in front of everything on a link.
 *
 *     0        2      3       4               8
 *     | length | type | flags | stream id     | payload       big-endian
 *
 * length counts the payload only, 0..FRAME_PAYLOAD_MAX: a full frame fills one
 * TLS record.  Here only the header is read and written; what a type demands
 * of its stream id and payload is the mux's business (proto/mux.h).
 */
#ifndef PROTO_FRAME_H
#define PROTO_FRAME_H

#include "proto/rc.h"

#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER_LEN  8
#define FRAME_LEN_MAX     16384
#define FRAME_PAYLOAD_MAX (FRAME_LEN_MAX - FRAME_HEADER_LEN)

enum frame_type {
	FRAME_DATA,
	FRAME_OPEN,
	FRAME_ACCEPT,
	FRAME_CREDIT,
	FRAME_RESET,
	FRAME_PING,
	FRAME_PONG,
	FRAME_GOAWAY,
	FRAME_HELLO,
	FRAME_TELL,
	FRAME_TYPE_COUNT
};

#define FRAME_FLAG_END        0x01 /* DATA: the sender's half is done */
#define FRAME_FLAG_MAY_IGNORE 0x80 /* who does not know the type skips it */

struct frame {
	uint16_t len; /* of the payload, bytes */
	uint8_t type; /* enum frame_type, or one that we do not know */
	uint8_t flags;
	uint32_t id; /* 0: the link itself */
};

/*
 * Read the header at data (len bytes are there).  RC_AGAIN: the header or its
 * payload is not complete; *out is set once the header is.  RC_PROTO: the
 * length is above FRAME_PAYLOAD_MAX.
 */
MUST_CHECK enum rc frame_decode(
    const uint8_t *data, size_t len, struct frame *out);
/* Write the FRAME_HEADER_LEN bytes of *f. */
void frame_encode(const struct frame *f, uint8_t out[FRAME_HEADER_LEN]);

/* Big-endian numbers, as in frames. */
uint32_t frame_load_u32(const uint8_t *p);
void frame_store_u32(uint8_t *p, uint32_t v);
/* "DATA"...; "unknown" for a type that we do not know.  Never NULL. */
const char *frame_type_name(unsigned type);

#endif

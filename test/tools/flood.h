/*
 * flood.h - frames that a peer may send, but not so many of them.  Pure.
 */
#ifndef TEST_TOOLS_FLOOD_H
#define TEST_TOOLS_FLOOD_H

#include "proto/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum flood_kind {
	FLOOD_OPEN,  /* streams that nobody permitted */
	FLOOD_RESET, /* each opened and reset at once */
	FLOOD_PING,
	FLOOD_EMPTY,  /* DATA without a byte, on an open stream */
	FLOOD_CREDIT, /* one byte of credit, again and again */
	FLOOD_TELL,
	FLOOD_LATE,    /* DATA and CREDIT for a stream that it has reset */
	FLOOD_UNKNOWN, /* a type of the future that may be ignored */
	FLOOD_KIND_COUNT
};

#define FLOOD_OPEN_MAX 256

struct flood {
	enum flood_kind kind;
	uint32_t next_id; /* of streams that it opens: odd, a dialler's */
	uint32_t stream;  /* an open one, for EMPTY and CREDIT */
	uint64_t frames;  /* made so far */
	uint8_t open[FLOOD_OPEN_MAX];
	size_t open_len;
};

/* machine: the id of one that it may open a seal to; NULL: none.
 * RC_NOTFOUND: no such kind; RC_LIMIT, RC_NOMEM. */
MUST_CHECK enum rc flood_init(
    struct flood *f, const char *kind, const char *machine);
/* One OPEN, by which it gets the stream that it needs; bytes, at most
 * FLOOD_OPEN_MAX and a header. */
size_t flood_ask(struct flood *f, uint8_t *out);
/* Does it need an open stream? */
bool flood_needs_stream(const struct flood *f);
/* Fill out with whole frames; bytes. */
size_t flood_fill(struct flood *f, uint8_t *out, size_t cap);

#endif

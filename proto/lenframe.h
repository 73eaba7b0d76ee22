/*
 * lenframe.h - whole messages inside a seal: u32 length (big-endian), bytes.
 *
 *     bytes as they come -> lenframe_feed() -> lenframe_next() -> a message
 *     lenframe_begin(), encode, lenframe_end() -> bytes to send
 *
 * Sans-I/O.  Memory: at most max + 4 bytes, and no more than have arrived.
 */
#ifndef PROTO_LENFRAME_H
#define PROTO_LENFRAME_H

#include "proto/bytes.h"
#include "proto/pack.h"
#include "proto/rc.h"
#include "proto/reason.h"

#define LENFRAME_HEADER       4
#define LENFRAME_STANDING_MAX 65536
#define LENFRAME_CONTROL_MAX  327680 /* 320 KiB: a table page is under 256 */
#define LENFRAME_DEPLOY_MAX   32768  /* one piece and its frame */
#define LENFRAME_ENROL_MAX    65536

/* One direction of one seal. */
struct lenframe {
	size_t max; /* longest message, bytes */
	uint8_t *data;
	size_t len, capacity;
	size_t taken; /* of data: the message given out last */
};

void lenframe_init(struct lenframe *f, size_t max);
void lenframe_fini(struct lenframe *f);

/*
 * Take up to input->len bytes: what one message needs, no more; *input is
 * advanced past what was used.  RC_PROTO: the length is 0 or above max (the
 * seal is dead; the fault, which may be NULL, says so); RC_NOMEM.
 */
MUST_CHECK enum rc lenframe_feed(
    struct lenframe *f, struct bytes *input, struct fault *fault);
/*
 * The next whole message, valid until the next lenframe_feed().
 * RC_AGAIN: not all of it is there yet.  Typical use:
 *
 *     do {
 *             rc = lenframe_feed(f, &input, &fault);
 *             while (rc == RC_OK && lenframe_next(f, &message) == RC_OK)
 *                     rc = handle(message);
 *     } while (rc == RC_OK && input.len > 0);
 */
MUST_CHECK enum rc lenframe_next(struct lenframe *f, struct bytes *message);
/* True: the peer may close here, no message is half there. */
bool lenframe_is_empty(const struct lenframe *f);

/* Append a header to fill in later; returns the mark for lenframe_end(). */
size_t lenframe_begin(struct packbuf *b);
/* RC_OK: the message behind the mark is complete.  Else it was taken off
 * again: RC_NOMEM, or RC_LIMIT (it is empty, or longer than max). */
MUST_CHECK enum rc lenframe_end(struct packbuf *b, size_t mark, size_t max);

#endif

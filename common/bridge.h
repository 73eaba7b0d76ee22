/*
 * bridge.h - splice two streams: what comes in on one goes out on the other.
 *
 * Payloads are not looked at.  Credit is hop by hop: bytes are acknowledged to
 * the sender only when they have left for the receiver, so a slow end stalls
 * nothing but its own stream.  END, RESET and loss of either link are carried
 * over.  Loop's thread.
 */
#ifndef COMMON_BRIDGE_H
#define COMMON_BRIDGE_H

#include "common/link.h"

struct bridge;
struct bridges;

/* For tests of blindness: sees every payload byte, in either direction. */
typedef void (*bridge_tap_fn)(void *arg, const uint8_t *data, size_t len);

/* name: this relay's, for `via` and faults.  max: bridges at once. */
MUST_CHECK enum rc bridges_new(
    struct loop *loop, const char *name, uint32_t max, struct bridges **out);
void bridges_free(struct bridges *all); /* the links must be gone */
/* From now on every bridge ends so long after it was accepted; 0: never. */
void bridges_set_life(struct bridges *all, uint32_t ms);
/* Our name is in no `via`: we are no relay, only a part of the target. */
void bridges_hide(struct bridges *all);
void bridges_tap(struct bridges *all, bridge_tap_fn fn, void *arg);
uint32_t bridges_count(const struct bridges *all);

/*
 * Open `open` on the link `to` and splice it with the stream that came in on
 * `from`.  to_label is what people call the far end ("web-03").  On an error
 * the incoming stream was reset with the reason.
 */
MUST_CHECK enum rc bridge_new(struct bridges *all, struct link *from,
    uint32_t stream, struct link *to, const char *to_label,
    const struct msg_open *open);

#endif

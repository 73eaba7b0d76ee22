/*
 * send_cap.h - how much of a connection's bulk the kernel may hold.
 *
 * What has been handed to the kernel can be overtaken by nothing.  So a link
 * hands over only what keeps the path busy: the product of its rate and its
 * round trip, and a little more.  The rate is our own measurement of what was
 * acknowledged (tcpi_delivery_rate jumps with the sizes of segments), the round
 * trip is the least that the kernel has seen.
 *
 *     limit = rate x (base + more + slack) + 2 frames
 *     more  = base / 4, at least 4 ms or the base; while growing the base
 *     frame = rate x 10 ms, at most a whole one
 *
 * The slack is half a millisecond, for who comes in time with more.  On a busy
 * machine we come later and find that the kernel's queue has run dry.  A rate
 * that is our own doing does not count then, or the limit would become smaller
 * and smaller; and while that happens in most windows the slack grows.
 *
 * The base is not always the least round trip: the route may have become
 * longer, round trips may differ, or others fill the queue in front of the
 * bottleneck.  A limit for the least would starve us then, and on a path of
 * more than 2 ms we cannot see that we do it ourselves.  So a greater base is
 * tried for some windows, less and less often, and kept when it made us faster;
 * and every ten seconds the least is tried again and kept when it made us no
 * slower.
 *
 * Pure: no clock, no socket.  Microseconds, bytes, bytes per second.
 * Source: the model of a path in BBR (Cardwell et al., 2016), here as a bound
 * in user space; the congestion control stays the kernel's.
 */
#ifndef COMMON_SEND_CAP_H
#define COMMON_SEND_CAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEND_CAP_RECENT 4 /* windows whose best is the rate */

enum send_cap_state {
	SEND_CAP_STEADY,
	SEND_CAP_TRYING_MORE, /* a greater base */
	SEND_CAP_TRYING_LEAST,
};

struct send_cap {
	enum send_cap_state state;
	uint64_t rate; /* 0: not known yet */
	size_t limit;
	uint32_t frame; /* largest that is wanted, with its header */
	uint32_t base_us, min_rtt_us;
	/* The window that is being measured. */
	uint32_t slack_us;
	bool dry; /* the queue was, while bulk waited */
	uint64_t began_us, began_acked, waited_us, looked_us, noted_us;
	bool waits; /* bulk does */
	uint64_t recent[SEND_CAP_RECENT];
	unsigned windows; /* counted */
	unsigned growing; /* windows left of the greater k */
	unsigned high;    /* windows in a row with far too long a round trip */
	/* The trial of another base, and the next ones. */
	unsigned left; /* windows */
	uint32_t base_before;
	uint64_t rate_before;
	uint64_t more_at_us, more_pause_us, least_at_us;
};

/* What the kernel says of a connection (TCP_INFO). */
struct send_sample {
	uint64_t acked; /* bytes, since it began */
	uint32_t srtt_us, min_rtt_us;
};

void send_cap_init(struct send_cap *c);
/* Is a sample wanted?  Only asked while there is bulk. */
bool send_cap_is_due(const struct send_cap *c, uint64_t now_us);
void send_cap_measure(
    struct send_cap *c, uint64_t now_us, const struct send_sample *sample);
/* The kernel holds so much now, before more is written. */
void send_cap_see(struct send_cap *c, size_t held);
/* Is there bulk that finds no room?  Windows in which it did not wait tell
 * nothing of the path. */
void send_cap_note(struct send_cap *c, uint64_t now_us, bool waits);
/* Bytes of bulk that may be written while the kernel holds `held`, sent or not;
 * 0 also when there is too little room to be worth a call. */
size_t send_cap_room(const struct send_cap *c, size_t held);
/* How long until there is room; 100 to 5,000 us. */
uint32_t send_cap_wait_us(const struct send_cap *c, size_t held);

#endif

#include "proto/mux_internal.h"

/*
 * A stream may be gone for us while the peer has not heard: until then it
 * rightly sends DATA within the credit that it had, and a few frames more.
 * Nobody remembers the streams; the sum of what all of them left open is what
 * may come late.  It is never more than was granted while they lived, so who
 * sends late frames gets no further than who sends them in time.
 */

/* ACCEPT, END, RESET, and CREDIT for what we had sent. */
#define FRAMES_EACH 8

void mux_late_expect(struct mux *m, uint32_t credit)
{
	m->late_credit += credit;
	m->late_frames += FRAMES_EACH;
}

bool mux_late_forgive(struct mux *m, const struct frame *f)
{
	uint32_t cost = (uint32_t)FRAME_HEADER_LEN + f->len;

	if (f->type == FRAME_DATA && f->len > 0) {
		if (m->late_credit < cost)
			return false;
		m->late_credit -= cost;
		return true;
	}
	if (m->late_frames == 0)
		return false;
	m->late_frames--;
	return true;
}

#include "common/link_internal.h"

#include "common/clock.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

/* What is no TCP has no such figures: its first limit stays. */
static void measure(struct link *link, uint64_t now_us)
{
	struct tcp_info info = { .tcpi_rtt = 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(link->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0) {
		const struct send_sample sample = {
			.acked = info.tcpi_bytes_acked,
			.srtt_us = info.tcpi_rtt,
			.min_rtt_us = info.tcpi_min_rtt,
		};

		send_cap_measure(&link->cap, now_us, &sample);
		mux_set_frame_max(link->mux, link->cap.frame);
	}
}

struct link_room link_pace_look(struct link *link)
{
	struct link_room room = { .held = 0 };
	int held = 0;

	if (link->net->config->unpaced) {
		room.bulk = room.health = SIZE_MAX;
		return room;
	}
	room.now_us = clock_monotonic_us();
	if (send_cap_is_due(&link->cap, room.now_us))
		measure(link, room.now_us);
	if (ioctl(link->fd, SIOCOUTQ, &held) == 0 && held > 0)
		room.held = (size_t)held;
	send_cap_see(&link->cap, room.held);
	room.bulk = send_cap_room(&link->cap, room.held);
	if (room.held < link->cap.limit + LINK_AHEAD_MAX)
		room.health = link->cap.limit + LINK_AHEAD_MAX - room.held;
	return room;
}

struct link_room link_pace_room(struct link *link)
{
	if (mux_has_output(link->mux, CLASS_BULK))
		return link_pace_look(link);
	return (struct link_room){ .held = 0 };
}

void link_pace_wait(struct link *link, const struct link_room *room)
{
	bool waits = mux_has_output(link->mux, CLASS_BULK);
	uint32_t wait_us = 0;

	if (link->net->config->unpaced || (!waits && room->now_us == 0))
		return;
	send_cap_note(&link->cap, room->now_us, waits);
	/* Ciphertext in front of it: then the socket says when. */
	if (!waits || link->unsent != NULL)
		return;
	if (send_cap_room(&link->cap, room->held) == 0)
		wait_us = send_cap_wait_us(&link->cap, room->held);
	loop_timer_set_us(link->pace, wait_us);
}

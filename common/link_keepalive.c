#include "common/clock.h"
#include "common/link_internal.h"

#define QUIET_MS 1000 /* whoever sends is answered with credit, too */

static uint64_t ms_since(uint64_t then_us, uint64_t now_us)
{
	return now_us > then_us ? (now_us - then_us) / 1000 : 0;
}

void link_ping(struct link *link, uint64_t now)
{
	/* The loop's clock is too coarse for round trips within a site. */
	uint64_t mark = clock_monotonic_us();
	uint8_t opaque[8];

	for (size_t i = 0; i < sizeof(opaque); i++)
		opaque[i] = (uint8_t)(mark >> (8 * i));
	if (mux_ping(link->mux, opaque) != RC_OK)
		return;
	link->ping_waits = true;
	link->ping_sent_us = now;
	link->ping_mark_us = mark;
	link_kick(link);
}

/*
 * Given up so long after an unanswered PING, or after the last byte that came
 * since: who sends other things lives, who has stopped doing so does not.
 */
static bool is_dead(const struct link *link, uint64_t now)
{
	uint64_t since = link->last_recv_us > link->ping_sent_us
	                     ? link->last_recv_us
	                     : link->ping_sent_us;

	return link->ping_waits &&
	       ms_since(since, now) >= link->net->config->dead_ms;
}

static bool ping_is_due(const struct link *link, uint64_t now)
{
	const struct link_config *config = link->net->config;
	uint64_t quiet = ms_since(link->last_recv_us, now);
	uint32_t every = quiet < config->ping_busy_ms ? config->ping_busy_ms
	                                              : config->ping_idle_ms;

	return !link->ping_waits &&
	       (quiet >= config->ping_idle_ms ||
		   ms_since(link->ping_sent_us, now) >= every);
}

static void end_stranger(struct link *link)
{
	if (link->peer.expired)
		link_fail(link, REASON_EXPIRED,
		    "its certificate has expired; it must join again");
	else
		link_fail(link, REASON_DEADLINE,
		    "a link without a certificate lives %u s",
		    link->net->config->anonymous_ms / 1000);
}

static void keep_alive(struct link *link, uint64_t now)
{
	const struct link_config *config = link->net->config;

	if (link->peer.role == ROLE_ANONYMOUS &&
	    ms_since(link->started_us, now) >= config->anonymous_ms) {
		end_stranger(link);
		return;
	}
	if (is_dead(link, now)) {
		link_fail(link,
		    link->peer.role == ROLE_TENTACLE ? REASON_AGENT_DOWN
						     : REASON_RELAY_DOWN,
		    "no answer for %u s",
		    (unsigned)(ms_since(link->last_recv_us, now) / 1000));
		return;
	}
	if (ping_is_due(link, now))
		link_ping(link, now);
	link_check_peer(link);
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

void link_timer_fired(void *arg)
{
	struct link *link = arg;
	const struct link_config *config = link->net->config;
	uint64_t now = loop_now_us(link->net->loop);
	uint32_t step;

	if (link->state != LINK_ST_UP) {
		link_fail(link, REASON_CONNECT_TIMEOUT,
		    "no handshake within %u s", config->handshake_ms / 1000);
		return;
	}
	keep_alive(link, now);
	if (link->state == LINK_ST_CLOSED)
		return;
	if (!link->plain && ms_since(link->last_recv_us, now) >= QUIET_MS)
		tls_rest(link->tls);
	step = least(
	    config->dead_ms, least(config->ping_busy_ms, config->ping_idle_ms));
	loop_timer_set(link->timer, step / 2 > 0 ? step / 2 : 1);
}

void link_pong(struct link *link, const struct mux_event *event)
{
	uint64_t now = clock_monotonic_us(), sent = 0, rtt;

	for (size_t i = 0; i < 8 && i < event->data.len; i++)
		sent |= (uint64_t)event->data.p[i] << (8 * i);
	link->ping_waits = false;
	if (sent != link->ping_mark_us || now < sent)
		return;
	rtt = now - sent;
	/* The lowest of the last minute. */
	if (link->rtt_us == 0 || rtt < link->rtt_us ||
	    ms_since(link->rtt_seen_us, now) > 60000) {
		link->rtt_us = rtt < UINT32_MAX ? (uint32_t)rtt : UINT32_MAX;
		link->rtt_seen_us = now;
		link->rtt_us = link->rtt_us > 0 ? link->rtt_us : 1;
		mux_set_rtt(link->mux, link->rtt_us);
	}
}

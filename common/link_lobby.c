#include "common/link_internal.h"

#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Where connections wait for room for their handshake: a socket and its
 * address, nothing else.  A fleet that returns at once is let in as fast as the
 * workers go, first come first served, instead of being sent away to come again
 * later and later.  No address has more than three quarters of the places; who
 * has waited for half of what a handshake may take is sent away, since the
 * peer's patience is as long.
 */

struct link_guest {
	TAILQ_ENTRY(link_guest) next;
	int fd;
	uint64_t came_us;
	uint8_t source[LINK_SOURCE_SIZE];
	char address[ADDRESS_TEXT_MAX];
};

/* While somebody waits, slow ones that would give way are looked for. */
#define LOOK_MS 20
/* Addresses that have no room are remembered while looking; then it ends. */
#define REFUSED_MAX 16
#define DROP_LOG_US 1000000

static void say_dropped(struct link_net *net, const char *address)
{
	uint64_t now_us = loop_now_us(net->loop);

	net->dropped++;
	if (net->dropped_us != 0 && now_us - net->dropped_us < DROP_LOG_US)
		return;
	log_warn("listen", address,
	    "connection dropped, as too many wait for their handshake, or of "
	    "that address (%u since this was last said)",
	    net->dropped);
	net->dropped = 0;
	net->dropped_us = now_us;
}

static uint32_t guests_from(
    const struct link_net *net, const uint8_t source[LINK_SOURCE_SIZE])
{
	const struct link_guest *g;
	uint32_t n = 0;

	TAILQ_FOREACH(g, &net->guests, next)
	n += memcmp(g->source, source, LINK_SOURCE_SIZE) == 0;
	return n;
}

static MUST_CHECK enum rc wait_for_room(
    struct link_net *net, int fd, const uint8_t *source, const char *address)
{
	struct link_guest *g = calloc(1, sizeof(*g));

	if (g == NULL) {
		(void)close(fd);
		return RC_NOMEM;
	}
	g->fd = fd;
	g->came_us = loop_now_us(net->loop);
	memcpy(g->source, source, sizeof(g->source));
	(void)snprintf(g->address, sizeof(g->address), "%s", address);
	TAILQ_INSERT_TAIL(&net->guests, g, next);
	net->guest_count++;
	if (!loop_timer_pending(net->lobby))
		loop_timer_set(net->lobby, LOOK_MS);
	return RC_OK;
}

enum rc link_arrive(struct link_net *net, int fd, const char *address)
{
	uint32_t most = net->config->waiting_max, same;
	uint8_t source[LINK_SOURCE_SIZE];
	bool is_next;

	link_find_source(fd, source);
	same = guests_from(net, source);
	is_next =
	    same == 0 && (net->guest_count == 0 ||
			     net->handshakes < net->config->handshakes_max);
	if (is_next && link_has_room(net, source))
		return link_accepted(net, fd, source, address, 0);
	if (net->guest_count < most && same < most - most / 4)
		return wait_for_room(net, fd, source, address);
	(void)close(fd);
	say_dropped(net, address);
	return RC_LIMIT;
}

static void leave(struct link_net *net, struct link_guest *g)
{
	TAILQ_REMOVE(&net->guests, g, next);
	net->guest_count--;
	free(g);
}

static void drop_impatient(struct link_net *net)
{
	uint64_t most_us = (uint64_t)net->config->handshake_ms * 1000 / 2;
	uint64_t now_us = loop_now_us(net->loop);
	struct link_guest *g, *next;

	for (g = TAILQ_FIRST(&net->guests);
	     g != NULL && now_us - g->came_us >= most_us; g = next) {
		next = TAILQ_NEXT(g, next);
		(void)close(g->fd);
		say_dropped(net, g->address);
		leave(net, g);
	}
}

static void let_in(struct link_net *net, struct link_guest *g)
{
	uint64_t waited_us = loop_now_us(net->loop) - g->came_us;
	enum rc rc = link_accepted(
	    net, g->fd, g->source, g->address, (uint32_t)(waited_us / 1000));

	if (rc != RC_OK)
		log_warn("listen", g->address, "no link: %s", rc_name(rc));
	leave(net, g);
}

struct refused {
	uint8_t source[REFUSED_MAX][LINK_SOURCE_SIZE];
	unsigned count;
};

static bool was_refused(const struct refused *r, const struct link_guest *g)
{
	for (unsigned i = 0; i < r->count; i++) {
		if (memcmp(r->source[i], g->source, LINK_SOURCE_SIZE) == 0)
			return true;
	}
	return false;
}

void link_look_into_lobby(void *arg)
{
	struct link_net *net = arg;
	struct refused refused = { .count = 0 };
	struct link_guest *g, *next;

	drop_impatient(net);
	for (g = TAILQ_FIRST(&net->guests);
	     g != NULL && refused.count < REFUSED_MAX; g = next) {
		next = TAILQ_NEXT(g, next);
		if (was_refused(&refused, g))
			continue;
		if (link_has_room(net, g->source))
			let_in(net, g);
		else
			memcpy(refused.source[refused.count++], g->source,
			    LINK_SOURCE_SIZE);
	}
	if (!TAILQ_EMPTY(&net->guests))
		loop_timer_set(net->lobby, LOOK_MS);
}

void link_empty_lobby(struct link_net *net)
{
	struct link_guest *g, *next;

	for (g = TAILQ_FIRST(&net->guests); g != NULL; g = next) {
		next = TAILQ_NEXT(g, next);
		(void)close(g->fd);
		leave(net, g);
	}
}

#include "common/link_internal.h"

#include <netinet/in.h>
#include <string.h>

/*
 * Who is let in how often.  Few are ever in these lists (settings bound them),
 * so they are counted by walking.
 */

void link_source_of(const struct sockaddr *from, uint8_t out[LINK_SOURCE_SIZE])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	const struct sockaddr_in6 *v6 = (const void *)from;
	const struct sockaddr_in *v4 = (const void *)from;

	memset(out, 0, LINK_SOURCE_SIZE);
	if (from->sa_family == AF_INET) {
		memcpy(out, mapped, sizeof(mapped));
		memcpy(out + sizeof(mapped), &v4->sin_addr, 4);
	} else if (from->sa_family == AF_INET6) {
		/* a network of its own costs nobody more than one address */
		memcpy(out, &v6->sin6_addr,
		    IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) ? 16 : 8);
	}
}

void link_find_source(int fd, uint8_t out[LINK_SOURCE_SIZE])
{
	union {
		struct sockaddr any;
		struct sockaddr_storage room;
	} from = { .room = { 0 } };
	socklen_t len = sizeof(from);

	if (getpeername(fd, &from.any, &len) != 0)
		from.any.sa_family = AF_UNSPEC;
	link_source_of(&from.any, out);
}

/* Is its peer slow, and not we? */
static bool is_awaited(const struct link *link)
{
	return link->handshake == NULL || !handshake_is_busy(link->handshake);
}

/* How many of a list come from there; *first: the one of them that we wait for
 * longest. */
static uint32_t count_from(const struct link_list *list,
    const uint8_t source[LINK_SOURCE_SIZE], struct link **first)
{
	struct link *link;
	uint32_t n = 0;

	*first = NULL;
	TAILQ_FOREACH(link, list, pending)
	{
		if (memcmp(link->source, source, LINK_SOURCE_SIZE) != 0)
			continue;
		n++;
		if (*first == NULL && is_awaited(link))
			*first = link;
	}
	return n;
}

void link_note_usual(const struct link *link)
{
	struct link_net *net = link->net;

	/* Only those who proved who they are count. */
	if (!link->counted || link->peer.role == ROLE_ANONYMOUS)
		return;
	net->usual_us =
	    (net->usual_us * 7 + link->up_us - link->started_us) / 8;
	net->usual_at_us = link->up_us;
}

/*
 * An honest handshake takes milliseconds.  When all are slow, as a fleet is
 * that comes back at once, nobody is; but only for as long as it goes on.
 */
static uint64_t slow_us(const struct link_net *net)
{
	uint64_t least =
	    (uint64_t)net->config->handshake_ms * 1000 / LINK_SLOW_PART;
	uint64_t age =
	    (loop_now_us(net->loop) - net->usual_at_us) / (least + 1);
	uint64_t usual = age < 32 ? LINK_SLOW_TIMES * net->usual_us >> age : 0;

	return usual > least ? usual : least;
}

static bool give_way(struct link *longest, uint32_t count, const char *setting)
{
	const struct link_net *net = longest->net;

	if (loop_now_us(net->loop) < longest->awaited_us + slow_us(net))
		return false;
	link_fail(longest, REASON_CONNECT_TIMEOUT,
	    "slow, and the room is needed: %u handshakes at once (link.%s)",
	    count, setting);
	return true;
}

static struct link *longest_awaited(const struct link_net *net)
{
	struct link *link;

	TAILQ_FOREACH(link, &net->pending, pending)
	{
		if (is_awaited(link))
			return link;
	}
	return NULL;
}

bool link_has_room(struct link_net *net, const uint8_t source[LINK_SOURCE_SIZE])
{
	const struct link_config *c = net->config;
	struct link *longest;
	uint32_t count = count_from(&net->pending, source, &longest);

	if (count >= c->handshakes_per_address &&
	    (longest == NULL ||
		!give_way(longest, count, "handshakes-per-address")))
		return false;
	if (net->handshakes < c->handshakes_max)
		return true;
	longest = longest_awaited(net);
	return longest != NULL &&
	       give_way(longest, net->handshakes, "handshakes");
}

bool link_net_is_swamped(const struct link_net *net)
{
	const struct link *link;
	uint32_t busy = 0;

	TAILQ_FOREACH(link, &net->pending, pending)
	{
		if (!is_awaited(link))
			busy++;
	}
	return busy > net->config->handshakes_max / LINK_SWAMPED_PART;
}

void link_enter_handshake(struct link *link)
{
	link->counted = true;
	link->net->handshakes++;
	TAILQ_INSERT_TAIL(&link->net->pending, link, pending);
}

void link_await_peer(struct link *link)
{
	link->awaited_us = loop_now_us(link->net->loop);
	if (!link->counted)
		return;
	TAILQ_REMOVE(&link->net->pending, link, pending);
	TAILQ_INSERT_TAIL(&link->net->pending, link, pending);
}

void link_leave_handshake(struct link *link)
{
	if (!link->counted)
		return;
	TAILQ_REMOVE(&link->net->pending, link, pending);
	link->net->handshakes--;
	link->counted = false;
	if (!TAILQ_EMPTY(&link->net->guests))
		loop_timer_set(link->net->lobby, 0);
}

bool link_stranger_has_room(
    const struct link_net *net, const uint8_t source[LINK_SOURCE_SIZE])
{
	struct link *oldest;

	return net->stranger_count < net->config->anonymous_max &&
	       count_from(&net->strangers, source, &oldest) <
	           net->config->anonymous_per_address;
}

void link_enter_strangers(struct link *link)
{
	link->stranger = true;
	link->net->stranger_count++;
	TAILQ_INSERT_TAIL(&link->net->strangers, link, pending);
}

void link_leave_strangers(struct link *link)
{
	if (!link->stranger)
		return;
	TAILQ_REMOVE(&link->net->strangers, link, pending);
	link->net->stranger_count--;
	link->stranger = false;
}

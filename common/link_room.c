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

/* How many of a list come from there; *first: the oldest of them. */
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
		if (n++ == 0)
			*first = link;
	}
	return n;
}

/* An honest handshake takes milliseconds: who is at it for long gives way. */
static bool give_way(struct link *oldest, uint32_t count, const char *setting)
{
	const struct link_net *net = oldest->net;
	uint64_t slow_us =
	    (uint64_t)net->config->handshake_ms * 1000 / LINK_SLOW_PART;

	if (loop_now_us(net->loop) < oldest->started_us + slow_us)
		return false;
	link_fail(oldest, REASON_CONNECT_TIMEOUT,
	    "slow, and the room is needed: %u handshakes at once (link.%s)",
	    count, setting);
	return true;
}

bool link_has_room(struct link_net *net, const uint8_t source[LINK_SOURCE_SIZE])
{
	const struct link_config *c = net->config;
	struct link *oldest;
	uint32_t count = count_from(&net->pending, source, &oldest);

	if (count >= c->handshakes_per_address && oldest != NULL &&
	    !give_way(oldest, count, "handshakes-per-address"))
		return false;
	if (net->handshakes < c->handshakes_max)
		return true;
	oldest = TAILQ_FIRST(&net->pending);
	return oldest != NULL &&
	       give_way(oldest, net->handshakes, "handshakes");
}

void link_enter_handshake(struct link *link)
{
	link->counted = true;
	link->net->handshakes++;
	TAILQ_INSERT_TAIL(&link->net->pending, link, pending);
}

void link_leave_handshake(struct link *link)
{
	if (!link->counted)
		return;
	TAILQ_REMOVE(&link->net->pending, link, pending);
	link->net->handshakes--;
	link->counted = false;
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

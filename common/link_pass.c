#include "common/link_internal.h"

/* Written at once: four full records. */
#define WIRE_USUAL (LINK_BATCH_MAX + (size_t)TLS_ROOM / 2)

/* One record of all frames that lie side by side. */
static void encrypt_plain(struct link_passing *p)
{
	struct tls_out out = {
		.p = p->wire, .len = p->wire_len, .cap = sizeof(p->wire)
	};

	if (p->plain_len == 0)
		return;
	/* Else the session is dead: reading tells why. */
	if (link_put(p->link, p->plain, p->plain_len, &out))
		p->wire_len = out.len;
	p->plain_len = 0;
}

void link_pass_flush(struct link_net *net, const struct link *link)
{
	struct link_passing *p = &net->passing;
	struct link *to = p->link;

	if (to == NULL || (link != NULL && link != to))
		return;
	encrypt_plain(p);
	p->link = NULL;
	if (p->wire_len > 0)
		link_write_frames(to, p->wire, p->wire_len);
	p->wire_len = 0;
}

void link_pass_forget(struct link *link)
{
	struct link_passing *p = &link->net->passing;

	if (p->link != link)
		return;
	p->link = NULL;
	p->plain_len = p->wire_len = 0;
}

/* Where its header was, while the batch that it came with is handed out. */
static uint8_t *find_head(struct link_net *net, struct bytes data)
{
	const uint8_t *first = net->plain_buf + FRAME_HEADER_LEN;
	const uint8_t *end = net->plain_buf + sizeof(net->plain_buf);

	if (data.p < first || data.p >= end ||
	    data.len > (size_t)(end - data.p))
		return NULL;
	return net->plain_buf + (data.p - first);
}

/* Is there a link that can take it, and room for this in its kernel's queue? */
static bool choose(struct link *link, size_t len)
{
	struct link_passing *p = &link->net->passing;

	if (link->state != LINK_ST_UP || link->closing || link->lost ||
	    link->unsent != NULL)
		return false;
	if (p->link == link && p->wire_len + p->plain_len + len > WIRE_USUAL)
		link_pass_flush(link->net, link);
	if (p->link != link) {
		link_pass_flush(link->net, NULL);
		if (link->lost || link->unsent != NULL)
			return false;
		p->link = link;
		p->room = link_pace_look(link);
	}
	return true;
}

static size_t less(size_t from, size_t amount)
{
	return amount < from ? from - amount : 0;
}

bool link_pass(struct link *link, uint32_t stream, struct bytes data)
{
	struct link_passing *p = &link->net->passing;
	uint8_t *head = find_head(link->net, data);
	size_t len = FRAME_HEADER_LEN + data.len;

	if (head == NULL || !choose(link, len) || p->room.health < len ||
	    !mux_pass(link->mux, stream,
		p->room.bulk < len ? CLASS_HEALTH : CLASS_BULK, data.len, head))
		return false;
	if (p->plain_len > 0 && (p->plain + p->plain_len != head ||
				    p->plain_len + len > FRAME_LEN_MAX))
		encrypt_plain(p);
	if (p->plain_len == 0)
		p->plain = head;
	p->plain_len += len;
	p->room.bulk = less(p->room.bulk, len);
	p->room.health = less(p->room.health, len);
	return true;
}

#include "common/link_internal.h"

#include <stdio.h>

bool link_is_up(const struct link *link)
{
	return link->state == LINK_ST_UP && !link->draining;
}

bool link_was_up(const struct link *link)
{
	return link->was_up;
}

uint64_t link_up_ms(const struct link *link)
{
	uint64_t now = loop_now_us(link->net->loop);

	return link->was_up && now > link->up_us ? (now - link->up_us) / 1000
	                                         : 0;
}

uint32_t link_retry_ms(const struct link *link)
{
	return link->retry_ms;
}

const struct peer *link_peer(const struct link *link)
{
	return &link->peer;
}

enum mux_role link_role(const struct link *link)
{
	return link->role;
}

const char *link_address(const struct link *link)
{
	return link->address;
}

const char *link_label(const struct link *link)
{
	return link->label;
}

void link_set_label(struct link *link, const char *label)
{
	(void)snprintf(link->label, sizeof(link->label), "%s", label);
	link->labelled = true;
}

struct link_net *link_net_of(const struct link *link)
{
	return link->net;
}

const struct msg_hello *link_hello(const struct link *link)
{
	return &link->hello;
}

bool link_we_expired(const struct link *link)
{
	return link->we_expired;
}

uint32_t link_rtt_us(const struct link *link)
{
	return link->rtt_us;
}

struct mux *link_mux(struct link *link)
{
	return link->mux;
}

void link_on_down(struct link *link, link_down_fn fn, void *arg)
{
	link->down = fn;
	link->down_arg = arg;
}

void link_set_data(struct link *link, void *data)
{
	link->data = data;
}

void *link_data(const struct link *link)
{
	return link->data;
}

enum rc link_open(struct link *link, const struct msg_open *open,
    struct stream_user *user, uint32_t *stream)
{
	struct packbuf pack;
	enum rc rc;

	if (!link_is_up(link))
		return RC_STATE;
	packbuf_init(&pack, FRAME_PAYLOAD_MAX);
	rc = msg_open_encode(open, &pack);
	if (rc == RC_OK)
		rc = mux_open(link->mux, open->service_class, user,
		    packbuf_bytes(&pack), stream);
	packbuf_fini(&pack);
	link_kick(link);
	return rc;
}

enum rc link_accept(struct link *link, uint32_t stream, enum stream_class class,
    const struct msg_accept *accept, struct stream_user *user)
{
	struct packbuf pack;
	enum rc rc;

	if (link->state != LINK_ST_UP)
		return RC_STATE;
	packbuf_init(&pack, FRAME_PAYLOAD_MAX);
	rc = msg_accept_encode(accept, &pack);
	if (rc == RC_OK)
		rc = mux_accept(link->mux, stream, class, accept->credit,
		    packbuf_bytes(&pack));
	packbuf_fini(&pack);
	if (rc == RC_OK)
		mux_set_owner(link->mux, stream, user);
	link_kick(link);
	return rc;
}

enum rc link_send(struct link *link, uint32_t stream, const uint8_t *data,
    size_t len, size_t *taken)
{
	*taken = 0;
	if (link->state != LINK_ST_UP)
		return RC_STATE;
	link_kick(link);
	return mux_send(link->mux, stream, data, len, taken);
}

void link_end(struct link *link, uint32_t stream)
{
	if (link->state != LINK_ST_UP)
		return;
	/* A stream that is gone has ended. */
	if (mux_end(link->mux, stream) == RC_OK)
		link_kick(link);
}

void link_reset_raw(struct link *link, uint32_t stream, struct bytes payload)
{
	/* Whatever becomes of the stream: its user may be freed now. */
	mux_set_owner(link->mux, stream, NULL);
	if (link->state != LINK_ST_UP)
		return;
	if (mux_reset(link->mux, stream, payload) != RC_NOTFOUND)
		link_kick(link);
}

void link_reset(
    struct link *link, uint32_t stream, const struct fault *fault, bool done)
{
	struct msg_reset reset = { .fault = *fault, .done = done };
	struct packbuf pack;

	packbuf_init(&pack, FRAME_PAYLOAD_MAX);
	if (msg_reset_encode(&reset, &pack) == RC_OK)
		link_reset_raw(link, stream, packbuf_bytes(&pack));
	else
		link_reset_raw(link, stream, link->net->mux_limits.protocol);
	packbuf_fini(&pack);
}

void link_consumed(struct link *link, uint32_t stream, size_t len)
{
	if (link->state != LINK_ST_UP)
		return;
	mux_consumed(link->mux, stream, len);
	link_kick(link);
}

void link_stream_fault(struct link *link, const struct mux_event *event,
    struct fault *out, bool *done)
{
	struct msg_reset reset;

	*done = true;
	if (event->type == MUX_RESET &&
	    msg_reset_decode(event->data, &reset, out) == RC_OK) {
		*out = reset.fault;
		*done = reset.done;
	} else if (event->type == MUX_BROKEN) {
		fault_set(
		    out, event->reason, link->net->name, "%s", event->text);
	} else if (event->type != MUX_RESET) {
		fault_set(out, REASON_PROTOCOL, link->net->name,
		    "%s ended the stream", link_label(link));
	}
}

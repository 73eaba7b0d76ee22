#include "common/link_internal.h"

#include "common/log.h"

#include <string.h>

#define FULL_PART 10 /* of the time that a stranger has at most */

void link_hello_send(struct link *link, const struct fault *refused)
{
	struct msg_hello hello = {
		.proto_min = HELLO_PROTO_MIN,
		.proto_max = HELLO_PROTO_MAX,
		.version = bytes_text(LONGARM_VERSION),
		.limits = {
			.streams = link->net->config->mux.max_streams,
			.window_bytes = link->net->config->mux.max_window,
		},
	};
	struct bytes features[2];
	struct packbuf pack;
	enum rc rc;

	hello.features = (struct msg_text_list){ features, 0 };
	if (link->peer.expired)
		features[hello.features.count++] = bytes_text(HELLO_EXPIRED);
	if (link->beside && link->role == MUX_DIALLER)
		features[hello.features.count++] = bytes_text(HELLO_BESIDE);
	link->net->ops->hello(link->net->owner, &link->peer, &hello);
	if (refused != NULL)
		hello.refused = *refused;
	/* A place is free again soon, if not at once. */
	if (refused != NULL && refused->code == REASON_TOO_MANY)
		hello.retry_ms = link->net->config->anonymous_ms / FULL_PART;
	packbuf_init(&pack, FRAME_PAYLOAD_MAX);
	rc = msg_hello_encode(&hello, &pack);
	if (rc == RC_OK)
		rc = mux_hello(link->mux, packbuf_bytes(&pack));
	packbuf_fini(&pack);
	if (rc != RC_OK)
		link_fail(link, REASON_INTERNAL, "HELLO: %s", rc_name(rc));
	else
		link_kick(link);
}

static bool says(const struct msg_hello *hello, const char *feature)
{
	const struct bytes wanted = bytes_text(feature);

	for (size_t i = 0; i < hello->features.count; i++) {
		const struct bytes *f = &hello->features.items[i];

		if (f->len == wanted.len &&
		    memcmp(f->p, wanted.p, wanted.len) == 0)
			return true;
	}
	return false;
}

/* The message borrows from the input: keep what must live longer. */
static void keep_hello(struct link *link, const struct msg_hello *hello)
{
	if (says(hello, HELLO_EXPIRED))
		link->we_expired = true;
	if (link->role == MUX_ACCEPTOR)
		link->beside = says(hello, HELLO_BESIDE);
	link->hello = *hello;
	link->hello.features = (struct msg_text_list){ 0 };
	memcpy(link->hello_version, hello->version.p, hello->version.len);
	link->hello.version = bytes_of(link->hello_version, hello->version.len);
}

static MUST_CHECK enum rc judge(
    struct link *link, const struct msg_hello *hello, struct fault *fault)
{
	if (hello->proto_min > HELLO_PROTO_MAX ||
	    hello->proto_max < HELLO_PROTO_MIN) {
		fault_set(fault, REASON_VERSION, link->net->name,
		    "%s speaks protocol %u to %u, this program %d to %d",
		    link_label(link), hello->proto_min, hello->proto_max,
		    HELLO_PROTO_MIN, HELLO_PROTO_MAX);
		return RC_DENIED;
	}
	if (link->role == MUX_ACCEPTOR && link->peer.role == ROLE_ANONYMOUS &&
	    !link_stranger_has_room(link->net, link->source)) {
		fault_set(fault, REASON_TOO_MANY, link->net->name,
		    "%u others are joining here; try again in %u s",
		    link->net->stranger_count,
		    link->net->config->anonymous_ms / 1000);
		return RC_DENIED;
	}
	return link->net->ops->admit(link->net->owner, link, hello, fault);
}

static void refuse(struct link *link, const struct fault *fault)
{
	log_info("link", link->address, "refused %s: %s", link_label(link),
	    fault->text);
	link_hello_send(link, fault);
	if (link->state == LINK_ST_CLOSED)
		return;
	link_flush(link);
	link_close(link, fault);
}

void link_hello_received(struct link *link, struct bytes payload)
{
	struct msg_hello hello;
	struct fault fault;
	enum rc rc;

	if (msg_hello_decode(payload, &hello, &fault) != RC_OK) {
		link_fail(link, REASON_PROTOCOL, "%s", fault.text);
		return;
	}
	keep_hello(link, &hello);
	msg_hello_clear(&hello);
	if (link->hello.refused.code != REASON_NONE) {
		link->retry_ms = link->hello.retry_ms;
		link_fail(link, link->hello.refused.code, "%s",
		    link->hello.refused.text);
		return;
	}
	rc = judge(link, &link->hello, &fault);
	if (rc != RC_OK && link->role == MUX_ACCEPTOR) {
		refuse(link, &fault);
		return;
	}
	if (rc != RC_OK) {
		link_close(link, &fault);
		return;
	}
	if (link->role == MUX_ACCEPTOR)
		link_hello_send(link, NULL);
	if (link->state != LINK_ST_CLOSED)
		link_is_now_up(link);
}

#include "proto/message_trace.h"

#include "proto/shape.h"

static const struct field link_fields[] = {
	{ SHAPE_NAME("to", msg_hop_link, to, target_is_valid) },
	{ SHAPE_BOOL("up", msg_hop_link, up), .optional = true },
	{ SHAPE_BOOL("dialled", msg_hop_link, dialled), .optional = true },
	{ SHAPE_NAME("address", msg_hop_link, address, endpoint_is_valid),
	    .optional = true },
	{ SHAPE_U32("rtt_us", msg_hop_link, rtt_us), .optional = true },
	{ SHAPE_U64("up_ms", msg_hop_link, up_ms), .optional = true },
	{ SHAPE_U32S("queued", msg_hop_link, queued, CLASS_COUNT) },
	{ SHAPE_U64("expires_s", msg_hop_link, expires_s), .optional = true },
	{ SHAPE_TEXT("version", msg_hop_link, version, MSG_VERSION_MAX),
	    .optional = true },
};

static const struct shape hop_link = SHAPE_PART(msg_hop_link, link_fields);

static const struct field hop_fields[] = {
	{ SHAPE_NAME("by", msg_hop, by, target_is_valid) },
	{ SHAPE_TEXT("version", msg_hop, version, MSG_VERSION_MAX),
	    .optional = true },
	{ SHAPE_U64("expires_s", msg_hop, expires_s), .optional = true },
	{ SHAPE_MAYBE("link", msg_hop, link, has_link, &hop_link) },
	{ SHAPE_FAULT("fault", msg_hop, fault) },
};

static const struct shape hop = SHAPE(msg_hop, OP_HOP, hop_fields);
MSG_DEFINE(hop, hop)

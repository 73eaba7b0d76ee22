#include "proto/message_port.h"

#include "proto/message_parts.h"

static const struct field life_fields[] = {
	{ SHAPE_STRUCT("instance", msg_port_life, instance, &part_instance) },
};

static const struct shape life =
    SHAPE(msg_port_life, OP_PORT_LIFE, life_fields);
MSG_DEFINE(port_life, life)

static const struct field ready_fields[] = {
	{ SHAPE_NAME("address", msg_port_ready, address, endpoint_is_valid),
	    .optional = true },
};

static const struct shape ready =
    SHAPE(msg_port_ready, OP_PORT_READY, ready_fields);
MSG_DEFINE(port_ready, ready)

static const struct field contest_fields[] = {
	{ SHAPE_U64("start", msg_port_contest, start) },
};

static const struct shape contest =
    SHAPE(msg_port_contest, OP_PORT_CONTEST, contest_fields);
MSG_DEFINE(port_contest, contest)

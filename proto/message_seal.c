#include "proto/message_seal.h"

#include "proto/message_parts.h"

static const struct field greet_fields[] = {
	{ SHAPE_STRUCT("instance", msg_greet, instance, &part_instance) },
	{ SHAPE_U64("counter", msg_greet, counter) },
	{ SHAPE_BYTES("succession", msg_greet, succession, SUCCESSION_LEN),
	    .exact = true, .optional = true },
	{ SHAPE_STRUCT(
	    "revocations", msg_greet, revocations, &part_revocations) },
	{ SHAPE_TEXT("version", msg_greet, version, MSG_VERSION_MAX) },
	{ SHAPE_LIST("features", msg_greet, features.items, features.count,
	      GREET_FEATURES_MAX, &part_text),
	    .optional = true },
	{ SHAPE_U64("table_version", msg_greet, table_version),
	    .optional = true },
	{ SHAPE_U64("trust", msg_greet, trust), .optional = true },
	{ SHAPE_NAME("listen", msg_greet, listen, endpoint_is_valid),
	    .optional = true },
	{ SHAPE_BOOL("quarantine", msg_greet, quarantine), .optional = true },
	{ SHAPE_BYTES("term", msg_greet, term, TERM_LEN), .exact = true,
	    .optional = true },
};

static const struct shape greet = SHAPE(msg_greet, OP_GREET, greet_fields);
MSG_DEFINE(greet, greet)

static const struct field welcome_fields[] = {
	{ SHAPE_NAME("node", msg_welcome, node, name_is_valid) },
	{ SHAPE_STRUCT(
	    "incarnation", msg_welcome, incarnation, &part_incarnation) },
	{ SHAPE_STRUCT(
	    "revocations", msg_welcome, revocations, &part_revocations) },
	{ SHAPE_BYTES("succession", msg_welcome, succession, SUCCESSION_LEN),
	    .exact = true, .optional = true },
	{ SHAPE_BYTES("term", msg_welcome, term, TERM_LEN), .exact = true,
	    .optional = true },
};

static const struct shape welcome =
    SHAPE(msg_welcome, OP_WELCOME, welcome_fields);
MSG_DEFINE(welcome, welcome)

static const struct field confirm_fields[] = {
	{ SHAPE_U64("counter", msg_confirm, counter) },
};

static const struct shape confirm =
    SHAPE(msg_confirm, OP_CONFIRM, confirm_fields);
MSG_DEFINE(confirm, confirm)

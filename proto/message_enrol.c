#include "proto/message_enrol.h"

#include "proto/message_parts.h"

static const struct field peer_fields[] = {
	{ SHAPE_ENUM("role", msg_peer, role, part_role, ROLE_COUNT),
	    .enum_mask = ROLES_OF_PEERS },
	{ SHAPE_NAME("name", msg_peer, name, name_is_valid) },
	{ SHAPE_NAME("endpoint", msg_peer, endpoint, endpoint_is_valid),
	    .optional = true },
	{ SHAPE_BOOL("dial", msg_peer, dial), .optional = true },
};

const struct shape part_peer = SHAPE_PART(msg_peer, peer_fields);

static const struct field enrol_fields[] = {
	{ SHAPE_NAME("token_id", msg_enrol, token_id, name_is_valid) },
	{ SHAPE_BYTES("secret", msg_enrol, secret, ENROL_SECRET_LEN),
	    .exact = true, .optional = true },
	{ SHAPE_ENUM("role", msg_enrol, role, part_role, ROLE_COUNT),
	    .enum_mask = ROLES_OF_JOINERS },
	{ SHAPE_BYTES("csr", msg_enrol, csr, ENROL_CSR_MAX) },
	{ SHAPE_TEXT("hostname", msg_enrol, hostname, MSG_TEXT_MAX),
	    .optional = true },
	{ SHAPE_TEXT("version", msg_enrol, version, MSG_TEXT_MAX),
	    .optional = true },
	{ SHAPE_TEXT("os", msg_enrol, os, MSG_TEXT_MAX), .optional = true },
	{ SHAPE_NAME("listen", msg_enrol, listen, endpoint_is_valid),
	    .optional = true },
};

static const struct shape enrol = SHAPE(msg_enrol, OP_ENROL, enrol_fields);
MSG_DEFINE(enrol, enrol)

static const struct field certificate_fields[] = {
	{ .key = NULL, .type = FIELD_BYTES, .max = ENROL_CERT_MAX },
};

const struct shape part_certificate = { .name = "certificate",
	.size = sizeof(struct bytes),
	SHAPE_FIELDS(certificate_fields) };

static const struct field enrolled_fields[] = {
	{ SHAPE_LIST("chain", msg_enrolled, chain.items, chain.count,
	    ENROL_CHAIN_MAX, &part_certificate) },
	{ SHAPE_LIST("roots", msg_enrolled, roots.items, roots.count,
	    ENROL_ROOTS_MAX, &part_certificate) },
	{ SHAPE_NAME("id", msg_enrolled, id, name_is_valid) },
	{ SHAPE_NAME("name", msg_enrolled, name, name_is_valid) },
	{ SHAPE_NAME("cluster", msg_enrolled, cluster, id_is_valid) },
	{ SHAPE_LIST(
	      "peers", msg_enrolled, peers, peer_count, PEERS_MAX, &part_peer),
	    .optional = true },
	{ SHAPE_BYTES("succession", msg_enrolled, succession, SUCCESSION_LEN),
	    .exact = true, .optional = true },
};

static const struct shape enrolled =
    SHAPE(msg_enrolled, OP_ENROLLED, enrolled_fields);
MSG_DEFINE(enrolled, enrolled)

static const struct field pending_fields[] = {
	{ SHAPE_U32("retry_ms", msg_pending, retry_ms) },
	{ SHAPE_NAME("name", msg_pending, name, name_is_valid),
	    .optional = true },
};

static const struct shape pending =
    SHAPE(msg_pending, OP_PENDING, pending_fields);
MSG_DEFINE(pending, pending)

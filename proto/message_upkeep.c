#include "proto/message_upkeep.h"

#include "proto/message_parts.h"

static const char *const kind_names[REVOKED_COUNT] = {
	[REVOKED_AGENTS] = "agents",
	[REVOKED_NODES] = "nodes",
};

const char *revocation_kind_name(enum revocation_kind kind)
{
	return (unsigned)kind < REVOKED_COUNT ? kind_names[kind] : "?";
}

static const char *part_revocation_kind(unsigned kind)
{
	return revocation_kind_name((enum revocation_kind)kind);
}

/* --- revoked */

static const struct field revoked_fields[] = {
	{ SHAPE_U32("id", msg_revoked, id) },
	{ SHAPE_ENUM(
	    "list", msg_revoked, list, part_revocation_kind, REVOKED_COUNT) },
	{ SHAPE_U64("number", msg_revoked, number) },
	{ SHAPE_U64("size", msg_revoked, size) },
	{ SHAPE_U64("offset", msg_revoked, offset) },
	{ SHAPE_BYTES("piece", msg_revoked, piece, REVOKED_PIECE_MAX) },
};

static const char *revoked_problem(const void *message)
{
	const struct msg_revoked *m = message;

	if (m->size > REVOKED_SIGNED_MAX)
		return "is longer than any list of revoked keys";
	if (m->offset >= m->size || m->piece.len > m->size - m->offset ||
	    m->piece.len == 0)
		return "has a piece that is not within the list";
	return NULL;
}

static const struct shape revoked = { .name = "msg_revoked",
	.size = sizeof(struct msg_revoked),
	.has_op = true,
	.op = OP_REVOKED,
	.problem = revoked_problem,
	SHAPE_FIELDS(revoked_fields) };
MSG_DEFINE(revoked, revoked)

static const struct field revoked_reply_fields[] = {
	SHAPE_REPLY_FRONT(msg_revoked_reply),
	{ SHAPE_STRUCT(
	    "revocations", msg_revoked_reply, revocations, &part_revocations) },
};

static const struct shape revoked_reply =
    SHAPE_REPLY(msg_revoked_reply, OP_REVOKED, revoked_reply_fields);
MSG_DEFINE(revoked_reply, revoked_reply)

/* --- certificate */

static const struct field certificate_fields[] = {
	{ SHAPE_U32("id", msg_certificate, id) },
	{ SHAPE_LIST("chain", msg_certificate, chain.items, chain.count,
	    ENROL_CHAIN_MAX, &part_certificate) },
};

static const struct shape certificate =
    SHAPE(msg_certificate, OP_CERTIFICATE, certificate_fields);
MSG_DEFINE(certificate, certificate)

static const struct field certificate_reply_fields[] = {
	SHAPE_REPLY_FRONT(msg_certificate_reply),
	{ SHAPE_U64("not_after_s", msg_certificate_reply, not_after_s) },
};

static const struct shape certificate_reply = SHAPE_REPLY(
    msg_certificate_reply, OP_CERTIFICATE, certificate_reply_fields);
MSG_DEFINE(certificate_reply, certificate_reply)

/* --- trust */

static const struct field trust_fields[] = {
	{ SHAPE_U32("id", msg_trust, id) },
	{ SHAPE_BYTES("bundle", msg_trust, bundle, TRUST_BUNDLE_MAX) },
};

static const struct shape trust = SHAPE(msg_trust, OP_TRUST, trust_fields);
MSG_DEFINE(trust, trust)

static const struct field trust_reply_fields[] = {
	SHAPE_REPLY_FRONT(msg_trust_reply),
	{ SHAPE_U64("number", msg_trust_reply, number) },
};

static const struct shape trust_reply =
    SHAPE_REPLY(msg_trust_reply, OP_TRUST, trust_reply_fields);
MSG_DEFINE(trust_reply, trust_reply)

static const struct field bundle_fields[] = {
	{ SHAPE_NAME("cluster", msg_trust_bundle, cluster, id_is_valid) },
	{ SHAPE_U64("number", msg_trust_bundle, number) },
	{ SHAPE_U64("made_s", msg_trust_bundle, made_s) },
	{ SHAPE_LIST("roots", msg_trust_bundle, roots.items, roots.count,
	    TRUST_ROOTS_MAX, &part_certificate) },
	{ SHAPE_BYTES("retired", msg_trust_bundle, retired,
	      (size_t)TRUST_RETIRED_MAX *REVOKED_HASH_LEN),
	    .optional = true },
};

static const char *bundle_problem(const void *message)
{
	const struct msg_trust_bundle *m = message;

	if (m->number == 0)
		return "has the number 0";
	if (m->roots.count == 0)
		return "has no root";
	if (m->retired.len % REVOKED_HASH_LEN != 0)
		return "has a part of a hash";
	return NULL;
}

static const struct shape trust_bundle = { .name = "msg_trust_bundle",
	.size = sizeof(struct msg_trust_bundle),
	.problem = bundle_problem,
	SHAPE_FIELDS(bundle_fields) };
MSG_DEFINE(trust_bundle, trust_bundle)

/* --- the signed list */

static const struct field list_fields[] = {
	{ SHAPE_NAME("cluster", msg_revocation_list, cluster, id_is_valid) },
	{ SHAPE_ENUM("list", msg_revocation_list, list, part_revocation_kind,
	    REVOKED_COUNT) },
	{ SHAPE_U64("number", msg_revocation_list, number) },
	{ SHAPE_U64("made_s", msg_revocation_list, made_s) },
	{ SHAPE_BYTES("hashes", msg_revocation_list, hashes,
	      (size_t)REVOCATIONS_MAX *REVOKED_HASH_LEN),
	    .optional = true },
};

static const char *list_problem(const void *message)
{
	const struct msg_revocation_list *m = message;

	if (m->number == 0)
		return "has the number 0";
	if (m->hashes.len % REVOKED_HASH_LEN != 0)
		return "has a part of a hash";
	return NULL;
}

static const struct shape list = { .name = "msg_revocation_list",
	.size = sizeof(struct msg_revocation_list),
	.problem = list_problem,
	SHAPE_FIELDS(list_fields) };
MSG_DEFINE(revocation_list, list)

static const struct field signed_fields[] = {
	{ SHAPE_BYTES("body", msg_signed_list, body, REVOKED_SIGNED_MAX) },
	{ SHAPE_BYTES(
	    "signature", msg_signed_list, signature, REVOKED_SIGNATURE_MAX) },
	{ SHAPE_LIST("chain", msg_signed_list, chain.items, chain.count,
	    ENROL_CHAIN_MAX, &part_certificate) },
};

static const struct shape signed_list =
    SHAPE_PART(msg_signed_list, signed_fields);
MSG_DEFINE(signed_list, signed_list)

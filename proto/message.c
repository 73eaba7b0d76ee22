#include "proto/message.h"

#include "proto/message_parts.h"
#include "proto/scan.h"
#include "proto/shape.h"

#include <string.h>

static const char *const op_names[OP_COUNT] = {
	[OP_GREET] = "greet",
	[OP_WELCOME] = "welcome",
	[OP_CONFIRM] = "confirm",
	[OP_HEALTH] = "health",
	[OP_START] = "start",
	[OP_CANCEL] = "cancel",
	[OP_TICKETS] = "tickets",
	[OP_FORGET] = "forget",
	[OP_STAGE_QUERY] = "stage-query",
	[OP_LOCKS] = "locks",
	[OP_LOCK_BREAK] = "lock-break",
	[OP_ATTACH] = "attach",
	[OP_OUTPUT] = "output",
	[OP_RESULT] = "result",
	[OP_ACK] = "ack",
	[OP_STAGE] = "stage",
	[OP_STAGE_FROM] = "stage-from",
	[OP_PIECE] = "piece",
	[OP_STAGED] = "staged",
	[OP_NOTE] = "note",
	[OP_ENROL] = "enrol",
	[OP_ENROLLED] = "enrolled",
	[OP_PENDING] = "pending",
	[OP_TABLE_PAGE] = "table-page",
	[OP_TABLE_ACK] = "table-ack",
	[OP_PRESENCE_SUB] = "presence-sub",
	[OP_PRESENCE] = "presence",
	[OP_PEERS] = "peers",
	[OP_DRAIN] = "drain",
	[OP_STATUS] = "status",
	[OP_REVOKED] = "revoked",
	[OP_CERTIFICATE] = "certificate",
	[OP_TRUST] = "trust",
	[OP_HOP] = "hop",
	[OP_PORT_LIFE] = "port-life",
	[OP_PORT_READY] = "port-ready",
	[OP_PORT_CONTEST] = "port-contest",
	[OP_FAULT] = "fault",
};

const char *msg_op_name(enum msg_op op)
{
	return (unsigned)op < OP_COUNT ? op_names[op] : "?";
}

static enum rc op_parse(struct bytes name, enum msg_op *out)
{
	for (unsigned i = 0; i < OP_COUNT; i++) {
		if (bytes_equal(name, bytes_text(op_names[i]))) {
			*out = (enum msg_op)i;
			return RC_OK;
		}
	}
	return RC_NOTFOUND;
}

enum rc msg_peek(struct bytes frame, struct msg_head *head, struct fault *fault)
{
	struct msg_head h = { .op = OP_COUNT };
	struct pack_message *packed = NULL;
	struct pack_value root, op, re, id;
	bool has_op;
	enum rc rc;

	rc = pack_open(frame, &packed, fault);
	if (rc != RC_OK)
		return rc;
	root = pack_root(packed);
	has_op = pack_find(&root, "op", &op);
	h.is_reply = pack_find(&root, "re", &re);
	if (pack_find(&root, "id", &id) && id.type == PACK_UINT &&
	    id.number <= UINT32_MAX)
		h.id = (uint32_t)id.number;
	if (h.is_reply)
		op = re;
	if (has_op == h.is_reply || op.type != PACK_TEXT) {
		fault_set(fault, REASON_PROTOCOL, NULL,
		    "a message needs either 'op' or 're', as text");
		rc = RC_PROTO;
	} else {
		rc = op_parse(op.bytes, &h.op);
		if (rc == RC_NOTFOUND)
			fault_set(fault, REASON_VERSION, NULL,
			    "a message '%.*s' is not known here",
			    (int)(op.bytes.len < 40 ? op.bytes.len : 40),
			    (const char *)op.bytes.p);
		*head = h;
	}
	pack_close(packed);
	return rc;
}

static const char *const ticket_names[TICKET_STATE_COUNT] = {
	[TICKET_UNKNOWN] = "unknown",
	[TICKET_ACCEPTED] = "accepted",
	[TICKET_RUNNING] = "running",
	[TICKET_EXITED] = "exited",
	[TICKET_CANCELLED] = "cancelled",
	[TICKET_REFUSED] = "refused",
};

const char *ticket_state_name(enum ticket_state state)
{
	return (unsigned)state < TICKET_STATE_COUNT ? ticket_names[state] : "?";
}

enum rc ticket_state_parse(const char *name, enum ticket_state *out)
{
	for (unsigned i = 0; i < TICKET_STATE_COUNT; i++) {
		if (strcmp(name, ticket_names[i]) == 0) {
			*out = (enum ticket_state)i;
			return RC_OK;
		}
	}
	return RC_NOTFOUND;
}

bool ticket_state_has_ended(enum ticket_state state)
{
	return state == TICKET_EXITED || state == TICKET_CANCELLED ||
	       state == TICKET_REFUSED;
}

/* --- tables that several messages share: proto/message_parts.h */

const char *part_ticket_state(unsigned state)
{
	return ticket_state_name((enum ticket_state)state);
}

const char *part_role(unsigned role)
{
	return role_name((enum peer_role)role);
}

const char *part_reason(unsigned reason)
{
	return reason_name((enum reason)reason);
}

static const struct field instance_fields[] = {
	{ SHAPE_NAME("journal", msg_instance, journal, id_is_valid) },
	{ SHAPE_U64("start", msg_instance, start) },
	{ SHAPE_NAME("nonce", msg_instance, nonce, id_is_valid) },
};

const struct shape part_instance = SHAPE_PART(msg_instance, instance_fields);

static const struct field incarnation_fields[] = {
	{ SHAPE_U64("secs", msg_incarnation, secs) },
	{ SHAPE_NAME("random", msg_incarnation, random, id_is_valid) },
};

const struct shape part_incarnation =
    SHAPE_PART(msg_incarnation, incarnation_fields);

static const struct field revocations_fields[] = {
	{ SHAPE_U64("agents", msg_revocations, agents) },
	{ SHAPE_U64("nodes", msg_revocations, nodes) },
};

const struct shape part_revocations =
    SHAPE_PART(msg_revocations, revocations_fields);

static const struct field text_fields[] = {
	{ .key = NULL, .type = FIELD_TEXT, .max = MSG_TEXT_MAX },
};

const struct shape part_text = {
	.name = "text", .size = sizeof(struct bytes), SHAPE_FIELDS(text_fields)
};

static const struct field id_fields[] = {
	{ SHAPE_NAME(NULL, msg_id, text, id_is_valid) },
};

const struct shape part_id = SHAPE_PART(msg_id, id_fields);

static const struct field result_fields[] = {
	{ SHAPE_ENUM("state", msg_result, state, part_ticket_state,
	    TICKET_STATE_COUNT) },
	{ SHAPE_I32("exit_code", msg_result, exit_code), .optional = true },
	{ SHAPE_U32("signal", msg_result, signal), .optional = true },
	{ SHAPE_FAULT("cause", msg_result, cause) },
	{ SHAPE_U64("log_size", msg_result, log_size), .optional = true },
	{ SHAPE_NAME("log_sha256", msg_result, log_sha256, digest_is_valid),
	    .optional = true },
	{ SHAPE_U64("started_ms", msg_result, started_ms), .optional = true },
	{ SHAPE_U64("ended_ms", msg_result, ended_ms), .optional = true },
	{ SHAPE_PAIRS("outputs", msg_result, outputs, RESULT_OUTPUTS_MAX) },
};

const struct shape part_result = SHAPE_PART(msg_result, result_fields);

/* --- messages of any seal */

static const struct field fault_fields[] = {
	{ SHAPE_FAULT("fault", msg_fault, fault) },
};

static const char *fault_problem(const void *message)
{
	const struct msg_fault *m = message;

	return m->fault.code == REASON_NONE ? "has no fault" : NULL;
}

static const struct shape fault_shape = { .name = "msg_fault",
	.size = sizeof(struct msg_fault),
	.has_op = true,
	.op = OP_FAULT,
	.problem = fault_problem,
	SHAPE_FIELDS(fault_fields) };

MSG_DEFINE(fault, fault_shape)

/* So that the macro for replies fits. */
struct refusal {
	struct msg_reply reply;
};

static const struct field refusal_fields[] = {
	SHAPE_REPLY_FRONT(refusal),
};

enum rc msg_refusal_encode(
    enum msg_op op, const struct msg_reply *reply, struct packbuf *out)
{
	const struct refusal m = { *reply };
	const struct shape shape = SHAPE_REPLY(refusal, op, refusal_fields);

	if (reply->fault.code == REASON_NONE)
		return RC_PROTO;
	return shape_encode(&shape, &m, out);
}

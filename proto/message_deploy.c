#include "proto/message_deploy.h"

#include "proto/message_parts.h"

static const struct field attach_fields[] = {
	{ SHAPE_NAME("ticket", msg_attach, ticket, id_is_valid) },
	{ SHAPE_U64("offset", msg_attach, offset) },
	{ SHAPE_NAME("task", msg_attach, task, task_is_valid),
	    .optional = true },
	{ SHAPE_U64("epoch", msg_attach, epoch), .optional = true },
	{ SHAPE_U32("notes", msg_attach, notes), .optional = true },
};

static const struct shape attach = SHAPE(msg_attach, OP_ATTACH, attach_fields);
MSG_DEFINE(attach, attach)

uint32_t crc32_of(struct bytes data)
{
	/* Half a byte at a time: small, and fast enough for logs. */
	static const uint32_t table[16] = { 0x00000000, 0x1db71064, 0x3b6e20c8,
		0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0,
		0x86d3d2d4, 0xa00ae278, 0xbdbdf21c };
	uint32_t crc = 0xffffffff;

	for (size_t i = 0; i < data.len; i++) {
		crc ^= data.p[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

static const struct field output_fields[] = {
	{ SHAPE_U64("offset", msg_output, offset) },
	{ SHAPE_BYTES("data", msg_output, data, PIECE_MAX) },
	{ SHAPE_U32("crc32", msg_output, crc32) },
};

static const char *output_problem(const void *message)
{
	const struct msg_output *m = message;

	return m->crc32 == crc32_of(m->data) ? NULL
	                                     : "has data that were damaged";
}

static const struct shape output = { .name = "msg_output",
	.size = sizeof(struct msg_output),
	.has_op = true,
	.op = OP_OUTPUT,
	.problem = output_problem,
	SHAPE_FIELDS(output_fields) };

enum rc msg_output_encode(const struct msg_output *m, struct packbuf *out)
{
	struct msg_output summed = *m;

	summed.crc32 = crc32_of(m->data);
	return shape_encode(&output, &summed, out);
}

enum rc msg_output_decode(
    struct bytes in, struct msg_output *m, struct fault *fault)
{
	return shape_decode(&output, in, m, fault);
}

void msg_output_clear(struct msg_output *m)
{
	shape_clear(&output, m);
}

static const char *const note_names[NOTE_KIND_COUNT] = {
	[NOTE_STATE] = "state",
	[NOTE_OUTPUT] = "output",
	[NOTE_WARNING] = "warning",
	[NOTE_ARTIFACT] = "artifact",
};

const char *note_kind_name(enum note_kind kind)
{
	return (unsigned)kind < NOTE_KIND_COUNT ? note_names[kind] : "?";
}

static const char *kind_of_note(unsigned kind)
{
	return note_kind_name((enum note_kind)kind);
}

static const struct field note_fields[] = {
	{ SHAPE_U32("number", msg_note, number), .optional = true },
	{ SHAPE_ENUM("kind", msg_note, kind, kind_of_note, NOTE_KIND_COUNT) },
	{ SHAPE_TEXT("name", msg_note, name, MSG_TEXT_MAX), .optional = true },
	{ SHAPE_BYTES("text", msg_note, text, NOTE_TEXT_MAX),
	    .optional = true },
	{ SHAPE_BOOL("sensitive", msg_note, sensitive), .optional = true },
	{ SHAPE_U32("percent", msg_note, percent), .optional = true },
	{ SHAPE_U32("warnings", msg_note, warnings), .optional = true },
	{ SHAPE_U64("from", msg_note, from), .optional = true },
	{ SHAPE_U64("size", msg_note, size), .optional = true },
	{ SHAPE_NAME("digest", msg_note, digest, digest_is_valid),
	    .optional = true },
};

static const char *note_problem(const void *message)
{
	const struct msg_note *m = message;

	if ((m->kind == NOTE_STATE) != (m->number == 0))
		return "has a number that does not suit its kind";
	if (m->percent > 100)
		return "has more than 100 percent";
	if ((m->kind == NOTE_OUTPUT || m->kind == NOTE_ARTIFACT) &&
	    m->name.len == 0)
		return "has no name";
	return (m->kind == NOTE_ARTIFACT) == (m->digest[0] != '\0')
	           ? NULL
	           : "has no digest, or one too many";
}

static const struct shape note = { .name = "msg_note",
	.size = sizeof(struct msg_note),
	.has_op = true,
	.op = OP_NOTE,
	.problem = note_problem,
	SHAPE_FIELDS(note_fields) };
MSG_DEFINE(note, note)

/* A message of its own here, a part of the reply to start: one table. */
static struct shape result_message(void)
{
	struct shape shape = part_result;

	shape.has_op = true;
	shape.op = OP_RESULT;
	return shape;
}

enum rc msg_result_encode(const struct msg_result *m, struct packbuf *out)
{
	const struct shape shape = result_message();

	return shape_encode(&shape, m, out);
}

enum rc msg_result_decode(
    struct bytes in, struct msg_result *m, struct fault *fault)
{
	const struct shape shape = result_message();

	return shape_decode(&shape, in, m, fault);
}

void msg_result_clear(struct msg_result *m)
{
	shape_clear(&part_result, m);
}

static const struct field ack_fields[] = {
	{ SHAPE_U64("offset", msg_ack, offset) },
};

static const struct shape ack = SHAPE(msg_ack, OP_ACK, ack_fields);
MSG_DEFINE(ack, ack)

static const struct field stage_fields[] = {
	{ SHAPE_NAME("digest", msg_stage, digest, digest_is_valid) },
	{ SHAPE_U64("size", msg_stage, size) },
	{ SHAPE_TEXT("name", msg_stage, name, MSG_TEXT_MAX), .optional = true },
	{ SHAPE_TEXT("version", msg_stage, version, MSG_VERSION_MAX),
	    .optional = true },
};

static const struct shape stage = SHAPE(msg_stage, OP_STAGE, stage_fields);
MSG_DEFINE(stage, stage)

static const struct field stage_from_fields[] = {
	{ SHAPE_U64("offset", msg_stage_from, offset) },
	{ SHAPE_BOOL("complete", msg_stage_from, complete) },
};

static const struct shape stage_from =
    SHAPE(msg_stage_from, OP_STAGE_FROM, stage_from_fields);
MSG_DEFINE(stage_from, stage_from)

static const struct field piece_fields[] = {
	{ SHAPE_U64("offset", msg_piece, offset) },
	{ SHAPE_BYTES("data", msg_piece, data, PIECE_MAX) },
};

static const struct shape piece = SHAPE(msg_piece, OP_PIECE, piece_fields);
MSG_DEFINE(piece, piece)

static const struct field staged_fields[] = {
	{ SHAPE_NAME("digest", msg_staged, digest, digest_is_valid) },
};

static const struct shape staged = SHAPE(msg_staged, OP_STAGED, staged_fields);
MSG_DEFINE(staged, staged)

/*
 * shape.h - messages as tables: which key holds which field of a struct, and
 * what it may hold.  For proto/message*.c and hello.c only.
 *
 *     static const struct field ack_fields[] = {
 *             { SHAPE_U64("offset", msg_ack, offset) },
 *     };
 *     static const struct shape ack = SHAPE(msg_ack, OP_ACK, ack_fields);
 *     MSG_DEFINE(ack, ack)
 *
 * One encoder and one decoder walk the tables, so each bound is checked in
 * one place, in both directions.  A field is required unless .optional = true
 * stands beside it; an optional field that is zero, empty or false is left
 * out.  The macros refuse to compile when a member has another type.
 */
#ifndef PROTO_SHAPE_H
#define PROTO_SHAPE_H

#include "proto/message.h"

enum field_type {
	FIELD_U32,
	FIELD_U32S, /* uint32_t[max] */
	FIELD_U64,
	FIELD_I32,
	FIELD_BOOL,
	FIELD_ENUM,   /* as text */
	FIELD_NAME,   /* char[max + 1], checked by .check when not empty */
	FIELD_TEXT,   /* struct bytes: one line */
	FIELD_BYTES,  /* struct bytes: anything */
	FIELD_FAULT,  /* struct fault */
	FIELD_TARGET, /* struct target */
	FIELD_PATH,   /* struct path */
	FIELD_PAIRS,  /* struct msg_pairs; values of at most max bytes */
	FIELD_STRUCT, /* by .shape */
	FIELD_MAYBE,  /* by .shape; there when the bool at .aside is true */
	FIELD_CASE,   /* by .shape, in a union; there when the enum at .aside
	                 is .tag */
	FIELD_LIST    /* pointer to at most max items of .item_size bytes, each
	                 by .shape; their count is at .aside */
};

struct field {
	const char *key; /* NULL: the only field of a list's plain items */
	enum field_type type;
	bool optional;
	bool exact;       /* FIELD_BYTES: max bytes, or empty if optional */
	bool stops;       /* FIELD_FAULT: when there, nothing follows */
	bool may_be_none; /* FIELD_ENUM: unknown text reads as .tag */
	size_t offset;    /* of the member */
	size_t aside;     /* offset of the member that belongs to it */
	size_t max;
	size_t item_size;
	unsigned tag;
	bool (*check)(const char *text);
	const char *(*enum_name)(unsigned value);
	unsigned enum_count;
	unsigned enum_mask; /* bits of the values allowed; 0: all */
	const struct shape *shape;
};

struct shape {
	const char *name; /* for faults */
	size_t size;      /* of the struct */
	bool has_op;
	bool is_reply;
	enum msg_op op;
	const struct field *fields;
	size_t field_count;
	/* What else is wrong with the struct, for a person; NULL: nothing. */
	const char *(*problem)(const void *message);
};

MUST_CHECK enum rc shape_encode(
    const struct shape *shape, const void *message, struct packbuf *out);
MUST_CHECK enum rc shape_decode(const struct shape *shape, struct bytes in,
    void *message, struct fault *fault);
void shape_clear(const struct shape *shape, void *message);

/* The three functions of a message, from its shape. */
#define MSG_DEFINE(X, shape)                                                   \
	enum rc msg_##X##_encode(const struct msg_##X *m, struct packbuf *out) \
	{                                                                      \
		return shape_encode(&(shape), m, out);                         \
	}                                                                      \
	enum rc msg_##X##_decode(                                              \
	    struct bytes in, struct msg_##X *m, struct fault *fault)           \
	{                                                                      \
		return shape_decode(&(shape), in, m, fault);                   \
	}                                                                      \
	void msg_##X##_clear(struct msg_##X *m)                                \
	{                                                                      \
		shape_clear(&(shape), m);                                      \
	}

#define SHAPE_FIELDS(array)                                                    \
	.fields = (array), .field_count = sizeof(array) / sizeof((array)[0])
/* A part of messages, or a frame's payload. */
#define SHAPE_PART(S, array)                                                   \
	{                                                                      \
		.name = #S, .size = sizeof(struct S), SHAPE_FIELDS(array)      \
	}
#define SHAPE(S, op_, array)                                                   \
	{                                                                      \
		.name = #S, .size = sizeof(struct S), .has_op = true,          \
		.op = (op_), SHAPE_FIELDS(array)                               \
	}
#define SHAPE_REPLY(S, op_, array)                                             \
	{                                                                      \
		.name = #S, .size = sizeof(struct S), .has_op = true,          \
		.is_reply = true, .op = (op_), SHAPE_FIELDS(array)             \
	}

#define SHAPE_MEMBER(S, m) (((struct S *)0)->m)
/* offsetof, and an error unless the condition about the member holds. */
#define SHAPE_OFFSET_IF(S, m, condition)                                       \
	(offsetof(struct S, m) + sizeof(char[(condition) ? 1 : -1]) - 1)
#define SHAPE_OFFSET(S, m, T)                                                  \
	SHAPE_OFFSET_IF(S, m,                                                  \
	    __builtin_types_compatible_p(__typeof__(SHAPE_MEMBER(S, m)), T))

#define SHAPE_NUMBER(k, S, m, T, ft)                                           \
	.key = (k), .type = (ft), .offset = SHAPE_OFFSET(S, m, T)
#define SHAPE_U32(k, S, m)  SHAPE_NUMBER(k, S, m, uint32_t, FIELD_U32)
#define SHAPE_U64(k, S, m)  SHAPE_NUMBER(k, S, m, uint64_t, FIELD_U64)
#define SHAPE_I32(k, S, m)  SHAPE_NUMBER(k, S, m, int32_t, FIELD_I32)
#define SHAPE_BOOL(k, S, m) SHAPE_NUMBER(k, S, m, bool, FIELD_BOOL)
#define SHAPE_U32S(k, S, m, n)                                                 \
	SHAPE_NUMBER(k, S, m, uint32_t[n], FIELD_U32S), .max = (n)
#define SHAPE_ENUM(k, S, m, name_of, count)                                    \
	.key = (k), .type = FIELD_ENUM,                                        \
	.offset = SHAPE_OFFSET_IF(                                             \
	    S, m, sizeof(SHAPE_MEMBER(S, m)) == sizeof(unsigned)),             \
	.enum_name = (name_of), .enum_count = (count)
#define SHAPE_NAME(k, S, m, check_)                                            \
	.key = (k), .type = FIELD_NAME,                                        \
	.offset = SHAPE_OFFSET_IF(S, m, sizeof(SHAPE_MEMBER(S, m)) > 8),       \
	.max = sizeof(SHAPE_MEMBER(S, m)) - 1, .check = (check_)
#define SHAPE_TEXT(k, S, m, max_)                                              \
	SHAPE_NUMBER(k, S, m, struct bytes, FIELD_TEXT), .max = (max_)
#define SHAPE_BYTES(k, S, m, max_)                                             \
	SHAPE_NUMBER(k, S, m, struct bytes, FIELD_BYTES), .max = (max_)
#define SHAPE_FAULT(k, S, m)                                                   \
	SHAPE_NUMBER(k, S, m, struct fault, FIELD_FAULT), .optional = true
#define SHAPE_TARGET(k, S, m) SHAPE_NUMBER(k, S, m, struct target, FIELD_TARGET)
#define SHAPE_PATH(k, S, m)                                                    \
	SHAPE_NUMBER(k, S, m, struct path, FIELD_PATH), .optional = true
#define SHAPE_PAIRS(k, S, m, max_)                                             \
	SHAPE_NUMBER(k, S, m, struct msg_pairs, FIELD_PAIRS), .max = (max_),   \
							      .optional = true
#define SHAPE_STRUCT(k, S, m, shape_)                                          \
	.key = (k), .type = FIELD_STRUCT, .offset = offsetof(struct S, m),     \
	.shape = (shape_)
#define SHAPE_MAYBE(k, S, m, has, shape_)                                      \
	.key = (k), .type = FIELD_MAYBE, .offset = offsetof(struct S, m),      \
	.aside = SHAPE_OFFSET(S, has, bool), .shape = (shape_),                \
	.optional = true
#define SHAPE_CASE(k, S, m, tag_member, tag_, shape_)                          \
	.key = (k), .type = FIELD_CASE, .offset = offsetof(struct S, m),       \
	.aside = offsetof(struct S, tag_member), .tag = (tag_),                \
	.shape = (shape_), .optional = true
#define SHAPE_LIST(k, S, items, count, max_, shape_)                           \
	.key = (k), .type = FIELD_LIST,                                        \
	.offset =                                                              \
	    SHAPE_OFFSET(S, items, __typeof__(&*SHAPE_MEMBER(S, items))),      \
	.item_size = sizeof(*SHAPE_MEMBER(S, items)),                          \
	.aside = SHAPE_OFFSET(S, count, size_t), .max = (max_),                \
	.shape = (shape_)

/* The front of every reply. */
#define SHAPE_REPLY_FRONT(S)                                                   \
	{ SHAPE_U32("id", S, reply.id) },                                      \
	    { SHAPE_NAME("journal", S, reply.journal, id_is_valid),            \
		    .optional = true },                                        \
	    { SHAPE_U64("counter", S, reply.counter), .optional = true },      \
	{                                                                      \
		SHAPE_FAULT("fault", S, reply.fault), .stops = true            \
	}

#endif

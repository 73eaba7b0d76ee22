#include "proto/shape.h"
#include "proto/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct decoder {
	const char *message; /* its name, for faults */
	const char *key;     /* where we are */
	struct fault *fault;
};

/* Tables nest but none holds itself: see shape_encode.c. */
/* NOLINTBEGIN(misc-no-recursion) */

static void *member(void *base, size_t offset)
{
	return (unsigned char *)base + offset;
}

static enum rc refuse(const struct decoder *d, const char *why)
{
	fault_set(d->fault, REASON_PROTOCOL, NULL, "message %s: '%s' %s",
	    d->message, d->key, why);
	return RC_PROTO;
}

static enum rc refuse_above(
    const struct decoder *d, const char *unit, size_t has, size_t max)
{
	fault_set(d->fault, REASON_PROTOCOL, NULL,
	    "message %s: '%s' has %zu %s; at most %zu are allowed", d->message,
	    d->key, has, unit, max);
	return RC_PROTO;
}

static enum rc decode_u64(const struct decoder *d, const struct pack_value *v,
    uint64_t max, uint64_t *out)
{
	if (v->type != PACK_UINT)
		return refuse(d, "is not a number of 0 or more");
	if (v->number > max)
		return refuse(d, "is too large");
	*out = v->number;
	return RC_OK;
}

static enum rc decode_u32(
    const struct decoder *d, const struct pack_value *v, uint32_t *out)
{
	uint64_t number;
	enum rc rc = decode_u64(d, v, UINT32_MAX, &number);

	if (rc == RC_OK)
		*out = (uint32_t)number;
	return rc;
}

static enum rc decode_i32(
    const struct decoder *d, const struct pack_value *v, int32_t *out)
{
	if (v->type == PACK_UINT && v->number <= INT32_MAX)
		*out = (int32_t)v->number;
	else if (v->type == PACK_INT && v->negative >= INT32_MIN)
		*out = (int32_t)v->negative;
	else
		return refuse(d, "is not a number of 32 bits");
	return RC_OK;
}

static enum rc decode_u32s(const struct decoder *d, const struct field *f,
    const struct pack_value *v, uint32_t *out)
{
	enum rc rc = RC_OK;

	if (v->type != PACK_ARRAY || v->count != f->max)
		return refuse(d, "is not a list of the right length");
	for (size_t i = 0; i < f->max && rc == RC_OK; i++) {
		struct pack_value item = pack_item(v, i);

		rc = decode_u32(d, &item, &out[i]);
	}
	return rc;
}

static enum rc decode_bool(
    const struct decoder *d, const struct pack_value *v, bool *out)
{
	if (v->type != PACK_BOOL)
		return refuse(d, "is not true or false");
	*out = v->flag;
	return RC_OK;
}

static enum rc decode_enum(const struct decoder *d, const struct field *f,
    const struct pack_value *v, unsigned *out)
{
	if (v->type != PACK_TEXT)
		return refuse(d, "is not text");
	for (unsigned i = 0; i < f->enum_count; i++) {
		if (!bytes_equal(v->bytes, bytes_text(f->enum_name(i))))
			continue;
		if (f->enum_mask != 0 && (f->enum_mask >> i & 1) == 0)
			return refuse(d, "has a value not allowed here");
		*out = i;
		return RC_OK;
	}
	if (!f->may_be_none)
		return refuse(d, "has an unknown value");
	*out = f->tag;
	return RC_OK;
}

/* Copy text that has no NUL into out[size]. */
static bool copy_text(const struct pack_value *v, char *out, size_t size)
{
	if (v->type != PACK_TEXT || v->bytes.len >= size ||
	    (v->bytes.len > 0 && memchr(v->bytes.p, 0, v->bytes.len) != NULL))
		return false;
	if (v->bytes.len > 0)
		memcpy(out, v->bytes.p, v->bytes.len);
	out[v->bytes.len] = '\0';
	return true;
}

static enum rc decode_name(const struct decoder *d, const struct field *f,
    const struct pack_value *v, char *out)
{
	if (v->type != PACK_TEXT)
		return refuse(d, "is not text");
	if (v->bytes.len == 0 && f->optional)
		return RC_OK;
	if (v->bytes.len > f->max)
		return refuse_above(d, "bytes", v->bytes.len, f->max);
	if (!copy_text(v, out, f->max + 1) || !f->check(out))
		return refuse(d, "is not a valid name or id");
	return RC_OK;
}

static enum rc decode_bytes(const struct decoder *d, const struct field *f,
    const struct pack_value *v, struct bytes *out)
{
	enum pack_type type = f->type == FIELD_TEXT ? PACK_TEXT : PACK_BYTES;

	if (v->type != type)
		return refuse(
		    d, type == PACK_TEXT ? "is not text" : "is not bytes");
	if (v->bytes.len > f->max)
		return refuse_above(d, "bytes", v->bytes.len, f->max);
	if (v->bytes.len == 0 && !f->optional)
		return refuse(d, "is empty");
	if (f->exact && v->bytes.len > 0 && v->bytes.len != f->max)
		return refuse(d, "is too short");
	if (type == PACK_TEXT && !text_is_line(v->bytes))
		return refuse(d, "is not one line of UTF-8");
	*out = v->bytes;
	return RC_OK;
}

/* Text of a fault is cut, not refused: it explains something else. */
static enum rc decode_fault(
    const struct decoder *d, const struct pack_value *v, struct fault *out)
{
	struct pack_value code, at, text;
	char name[32], where[FAULT_AT_MAX];
	enum reason reason;

	if (v->type != PACK_MAP || !pack_find(v, "code", &code) ||
	    !copy_text(&code, name, sizeof(name)))
		return refuse(d, "is not a reason with a code");
	if (reason_parse(name, &reason) != RC_OK)
		reason = REASON_INTERNAL; /* a newer peer's */
	if (reason == REASON_NONE)
		return refuse(d, "has the code 'none'");
	if (!pack_find(v, "at", &at) || at.type != PACK_TEXT)
		at.bytes = bytes_text("");
	if (!pack_find(v, "text", &text) || text.type != PACK_TEXT)
		text.bytes = bytes_text("");
	if (text.bytes.len >= FAULT_TEXT_MAX)
		text.bytes.len = FAULT_TEXT_MAX - 1;
	if (at.bytes.len >= FAULT_AT_MAX)
		at.bytes.len = FAULT_AT_MAX - 1;
	(void)snprintf(
	    where, sizeof(where), "%.*s", (int)at.bytes.len, at.bytes.p);
	fault_set(out, reason, where, "%.*s", (int)text.bytes.len,
	    (const char *)text.bytes.p);
	return RC_OK;
}

static enum rc decode_target(
    const struct decoder *d, const struct pack_value *v, struct target *out)
{
	char text[TARGET_SIZE];

	if (!copy_text(v, text, sizeof(text)) ||
	    target_parse(text, out, NULL) != RC_OK)
		return refuse(d, "is not machine/<id>, relay/<name> or server");
	return RC_OK;
}

static enum rc decode_path(
    const struct decoder *d, const struct pack_value *v, struct path *out)
{
	if (v->type != PACK_ARRAY)
		return refuse(d, "is not a list");
	if (v->count > PATH_NAMES_MAX)
		return refuse_above(d, "relays", v->count, PATH_NAMES_MAX);
	for (size_t i = 0; i < v->count; i++) {
		struct pack_value item = pack_item(v, i);
		char name[NAME_SIZE];

		if (!copy_text(&item, name, sizeof(name)) ||
		    path_append(out, name) != RC_OK)
			return refuse(d, "is not a list of different names");
	}
	return RC_OK;
}

static enum rc decode_pairs(const struct decoder *d, const struct field *f,
    const struct pack_value *v, struct msg_pairs *out)
{
	if (v->type != PACK_MAP)
		return refuse(d, "is not a map");
	if (v->count == 0)
		return RC_OK;
	out->items = calloc(v->count, sizeof(*out->items));
	if (out->items == NULL)
		return RC_NOMEM;
	out->count = v->count;
	for (size_t i = 0; i < v->count; i++) {
		struct msg_pair *pair = &out->items[i];
		char name[VARIABLE_SIZE];
		struct pack_value key = { .type = PACK_TEXT }, value;

		pack_pair(v, i, &pair->name, &value);
		key.bytes = pair->name;
		if (!copy_text(&key, name, sizeof(name)) ||
		    !variable_is_valid(name))
			return refuse(d, "has a name that is not allowed");
		if (value.type != PACK_BYTES)
			return refuse(d, "has a value that is not bytes");
		if (value.bytes.len > f->max)
			return refuse_above(
			    d, "bytes in a value", value.bytes.len, f->max);
		pair->value = value.bytes;
	}
	return RC_OK;
}

static enum rc decode_part(struct decoder *d, const struct shape *shape,
    const struct pack_value *v, void *base);

static enum rc decode_list(struct decoder *d, const struct field *f,
    const struct pack_value *v, void *base)
{
	unsigned char *items;
	size_t *count = member(base, f->aside);
	const char *key = d->key;
	enum rc rc = RC_OK;

	if (v->type != PACK_ARRAY)
		return refuse(d, "is not a list");
	if (v->count > f->max)
		return refuse_above(d, "items", v->count, f->max);
	if (v->count == 0)
		return f->optional ? RC_OK : refuse(d, "is empty");
	items = calloc(v->count, f->item_size);
	if (items == NULL)
		return RC_NOMEM;
	memcpy(member(base, f->offset), &items, sizeof(items));
	*count = v->count;
	for (size_t i = 0; i < v->count && rc == RC_OK; i++) {
		struct pack_value item = pack_item(v, i);

		d->key = key;
		rc = decode_part(d, f->shape, &item, items + i * f->item_size);
	}
	return rc;
}

/* The tag is set first, so that a clear after a failure knows the case. */
static enum rc decode_case(struct decoder *d, const struct field *f,
    const struct pack_value *v, void *base)
{
	unsigned *tag = member(base, f->aside);

	if (*tag != 0)
		return refuse(d, "is there beside another");
	*tag = f->tag;
	return decode_part(d, f->shape, v, member(base, f->offset));
}

static enum rc decode_field(struct decoder *d, const struct field *f,
    const struct pack_value *v, void *base)
{
	void *p = member(base, f->offset);

	switch (f->type) {
	case FIELD_U32:
		return decode_u32(d, v, p);
	case FIELD_U32S:
		return decode_u32s(d, f, v, p);
	case FIELD_U64:
		return decode_u64(d, v, UINT64_MAX, p);
	case FIELD_I32:
		return decode_i32(d, v, p);
	case FIELD_BOOL:
		return decode_bool(d, v, p);
	case FIELD_ENUM:
		return decode_enum(d, f, v, p);
	case FIELD_NAME:
		return decode_name(d, f, v, p);
	case FIELD_TEXT:
	case FIELD_BYTES:
		return decode_bytes(d, f, v, p);
	case FIELD_FAULT:
		return decode_fault(d, v, p);
	case FIELD_TARGET:
		return decode_target(d, v, p);
	case FIELD_PATH:
		return decode_path(d, v, p);
	case FIELD_PAIRS:
		return decode_pairs(d, f, v, p);
	case FIELD_STRUCT:
		return decode_part(d, f->shape, v, p);
	case FIELD_MAYBE:
		*(bool *)member(base, f->aside) = true;
		return decode_part(d, f->shape, v, p);
	case FIELD_CASE:
		return decode_case(d, f, v, base);
	case FIELD_LIST:
		return decode_list(d, f, v, base);
	}
	return refuse(d, "cannot be read");
}

static enum rc decode_part(struct decoder *d, const struct shape *shape,
    const struct pack_value *v, void *base)
{
	const char *key = d->key, *problem;

	if (shape->fields[0].key == NULL)
		return decode_field(d, &shape->fields[0], v, base);
	if (v->type != PACK_MAP)
		return refuse(d, "is not a map");
	for (size_t i = 0; i < shape->field_count; i++) {
		const struct field *f = &shape->fields[i];
		struct pack_value value;
		enum rc rc;

		d->key = f->key;
		if (!pack_find(v, f->key, &value)) {
			if (f->optional)
				continue;
			return refuse(d, "is missing");
		}
		rc = decode_field(d, f, &value, base);
		if (rc != RC_OK)
			return rc;
		if (f->stops)
			return RC_OK;
	}
	d->key = key;
	problem = shape->problem != NULL ? shape->problem(base) : NULL;
	return problem == NULL ? RC_OK : refuse(d, problem);
}

/* What a message says that it is must be what the caller took it for. */
static enum rc check_op(const struct decoder *d, const struct shape *shape,
    const struct pack_value *root)
{
	struct pack_value op;

	if (!shape->has_op)
		return RC_OK;
	if (pack_find(root, shape->is_reply ? "re" : "op", &op) &&
	    op.type == PACK_TEXT &&
	    bytes_equal(op.bytes, bytes_text(msg_op_name(shape->op))))
		return RC_OK;
	return refuse(d, "says that it is another message");
}

static void clear_part(const struct shape *shape, void *base);

static void clear_list(const struct field *f, void *base)
{
	unsigned char *items;
	const size_t *count = member(base, f->aside);

	memcpy(&items, member(base, f->offset), sizeof(items));
	for (size_t i = 0; i < *count; i++)
		clear_part(f->shape, items + i * f->item_size);
	free(items);
}

static void clear_part(const struct shape *shape, void *base)
{
	for (size_t i = 0; i < shape->field_count; i++) {
		const struct field *f = &shape->fields[i];
		struct msg_pairs *pairs = member(base, f->offset);
		const unsigned *tag = member(base, f->aside);

		if (f->type == FIELD_LIST)
			clear_list(f, base);
		else if (f->type == FIELD_PAIRS)
			free(pairs->items);
		else if (f->type == FIELD_STRUCT || f->type == FIELD_MAYBE ||
			 (f->type == FIELD_CASE && *tag == f->tag))
			clear_part(f->shape, member(base, f->offset));
	}
}

/* NOLINTEND(misc-no-recursion) */

enum rc shape_decode(const struct shape *shape, struct bytes in, void *message,
    struct fault *fault)
{
	struct decoder d = { shape->name, "op", fault };
	struct pack_message *packed = NULL;
	struct pack_value root;
	enum rc rc;

	memset(message, 0, shape->size);
	rc = pack_open(in, &packed, fault);
	if (rc != RC_OK)
		return rc;
	root = pack_root(packed);
	rc = check_op(&d, shape, &root);
	if (rc == RC_OK)
		rc = decode_part(&d, shape, &root, message);
	if (rc != RC_OK)
		shape_clear(shape, message);
	pack_close(packed);
	return rc;
}

void shape_clear(const struct shape *shape, void *message)
{
	clear_part(shape, message);
	memset(message, 0, shape->size);
}

#include "proto/scan.h"
#include "proto/shape.h"
#include "proto/text.h"

#include <string.h>

/*
 * Tables nest but none holds itself: the recursion below is as deep as the
 * deepest message, four levels.
 */
/* NOLINTBEGIN(misc-no-recursion) */

static const void *member(const void *base, size_t offset)
{
	return (const unsigned char *)base + offset;
}

static uint64_t load_number(const struct field *f, const void *base)
{
	const void *p = member(base, f->offset);

	if (f->type == FIELD_U64)
		return *(const uint64_t *)p;
	if (f->type == FIELD_BOOL)
		return *(const bool *)p ? 1 : 0;
	/* U32, I32, ENUM: only asked whether it is 0, or unsigned. */
	return *(const uint32_t *)p;
}

static size_t list_count(const struct field *f, const void *base)
{
	return *(const size_t *)member(base, f->aside);
}

/* False: an optional field that is left out. */
static bool is_there(const struct field *f, const void *base)
{
	const void *p = member(base, f->offset);

	if (!f->optional)
		return true;
	switch (f->type) {
	case FIELD_U32:
	case FIELD_U64:
	case FIELD_I32:
	case FIELD_BOOL:
		return load_number(f, base) != 0;
	case FIELD_NAME:
		return *(const char *)p != '\0';
	case FIELD_TEXT:
	case FIELD_BYTES:
		return ((const struct bytes *)p)->len > 0;
	case FIELD_FAULT:
		return ((const struct fault *)p)->code != REASON_NONE;
	case FIELD_PATH:
		return ((const struct path *)p)->count > 0;
	case FIELD_PAIRS:
		return ((const struct msg_pairs *)p)->count > 0;
	case FIELD_MAYBE:
		return *(const bool *)member(base, f->aside);
	case FIELD_CASE:
		return *(const unsigned *)member(base, f->aside) == f->tag;
	case FIELD_LIST:
		return list_count(f, base) > 0;
	case FIELD_ENUM:
	case FIELD_U32S:
	case FIELD_TARGET:
	case FIELD_STRUCT:
		break;
	}
	return true;
}

static enum rc encode_enum(
    const struct field *f, unsigned value, struct packbuf *out)
{
	if (value >= f->enum_count ||
	    (f->enum_mask != 0 && (f->enum_mask >> value & 1) == 0))
		return RC_PROTO;
	pack_key(out, f->enum_name(value));
	return RC_OK;
}

static enum rc encode_name(
    const struct field *f, const char *text, struct packbuf *out)
{
	size_t len = strnlen(text, f->max + 1);

	if (len > f->max || !f->check(text))
		return RC_PROTO;
	pack_text(out, bytes_of(text, len));
	return RC_OK;
}

static enum rc encode_bytes(
    const struct field *f, const struct bytes *v, struct packbuf *out)
{
	if (v->len > f->max)
		return RC_LIMIT;
	if ((v->len == 0 && !f->optional) || (f->exact && v->len != f->max))
		return RC_PROTO;
	if (f->type == FIELD_BYTES) {
		pack_bytes(out, *v);
		return RC_OK;
	}
	if (!text_is_line(*v))
		return RC_PROTO;
	pack_text(out, *v);
	return RC_OK;
}

static enum rc encode_fault(const struct fault *fault, struct packbuf *out)
{
	struct fault clean;
	bool has_at, has_text;

	if (fault->code == REASON_NONE || fault->code >= REASON_COUNT)
		return RC_PROTO;
	/* Filled in by hand perhaps: cut and scrub as for every fault. */
	fault_set(&clean, fault->code, fault->at, "%s", fault->text);
	has_at = clean.at[0] != '\0';
	has_text = clean.text[0] != '\0';
	pack_map(out, 1 + (has_at ? 1U : 0) + (has_text ? 1U : 0));
	pack_key(out, "code");
	pack_key(out, reason_name(clean.code));
	if (has_at) {
		pack_key(out, "at");
		pack_key(out, clean.at);
	}
	if (has_text) {
		pack_key(out, "text");
		pack_key(out, clean.text);
	}
	return RC_OK;
}

static enum rc encode_target(const struct target *target, struct packbuf *out)
{
	char text[TARGET_SIZE];

	target_format(target, text);
	if (!target_is_valid(text))
		return RC_PROTO;
	pack_key(out, text);
	return RC_OK;
}

static enum rc encode_path(const struct path *path, struct packbuf *out)
{
	struct path checked = { 0 };

	if (path->count > PATH_NAMES_MAX)
		return RC_LIMIT;
	pack_array(out, path->count);
	for (size_t i = 0; i < path->count; i++) {
		if (path_append(&checked, path->names[i]) != RC_OK)
			return RC_PROTO;
		pack_key(out, path->names[i]);
	}
	return RC_OK;
}

static bool pair_name_is_valid(struct bytes name)
{
	char text[VARIABLE_SIZE];

	if (name.len >= sizeof(text))
		return false;
	memcpy(text, name.p, name.len);
	text[name.len] = '\0';
	return strlen(text) == name.len && variable_is_valid(text);
}

/* A name that is there twice is what the receiver's scan refuses. */
static bool is_in(const struct msg_pairs *pairs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (bytes_equal(pairs->items[i].name, pairs->items[count].name))
			return true;
	}
	return false;
}

static enum rc encode_pairs(
    const struct field *f, const struct msg_pairs *pairs, struct packbuf *out)
{
	if (pairs->count > SCAN_PAIRS_MAX)
		return RC_LIMIT;
	pack_map(out, pairs->count);
	for (size_t i = 0; i < pairs->count; i++) {
		const struct msg_pair *pair = &pairs->items[i];

		if (pair->value.len > f->max)
			return RC_LIMIT;
		if (!pair_name_is_valid(pair->name) || is_in(pairs, i))
			return RC_PROTO;
		pack_text(out, pair->name);
		pack_bytes(out, pair->value);
	}
	return RC_OK;
}

static enum rc encode_part(
    const struct shape *shape, const void *base, struct packbuf *out);

static enum rc encode_list(
    const struct field *f, const void *base, struct packbuf *out)
{
	const unsigned char *items;
	size_t count = list_count(f, base);
	enum rc rc = RC_OK;

	memcpy(&items, member(base, f->offset), sizeof(items));
	if (count > f->max)
		return RC_LIMIT;
	if (count == 0 && !f->optional)
		return RC_PROTO;
	pack_array(out, count);
	for (size_t i = 0; i < count && rc == RC_OK; i++)
		rc = encode_part(f->shape, items + i * f->item_size, out);
	return rc;
}

static enum rc encode_u32s(
    const struct field *f, const uint32_t *numbers, struct packbuf *out)
{
	pack_array(out, f->max);
	for (size_t i = 0; i < f->max; i++)
		pack_u64(out, numbers[i]);
	return RC_OK;
}

static enum rc encode_field(
    const struct field *f, const void *base, struct packbuf *out)
{
	const void *p = member(base, f->offset);

	switch (f->type) {
	case FIELD_U32:
	case FIELD_U64:
		pack_u64(out, load_number(f, base));
		return RC_OK;
	case FIELD_I32:
		pack_i64(out, *(const int32_t *)p);
		return RC_OK;
	case FIELD_BOOL:
		pack_bool(out, *(const bool *)p);
		return RC_OK;
	case FIELD_U32S:
		return encode_u32s(f, p, out);
	case FIELD_ENUM:
		return encode_enum(f, *(const unsigned *)p, out);
	case FIELD_NAME:
		return encode_name(f, p, out);
	case FIELD_TEXT:
	case FIELD_BYTES:
		return encode_bytes(f, p, out);
	case FIELD_FAULT:
		return encode_fault(p, out);
	case FIELD_TARGET:
		return encode_target(p, out);
	case FIELD_PATH:
		return encode_path(p, out);
	case FIELD_PAIRS:
		return encode_pairs(f, p, out);
	case FIELD_STRUCT:
	case FIELD_MAYBE:
	case FIELD_CASE:
		return encode_part(f->shape, p, out);
	case FIELD_LIST:
		return encode_list(f, base, out);
	}
	return RC_PROTO;
}

/* How many of the fields the receiver reads, and how many pairs they make. */
static size_t count_pairs(
    const struct shape *shape, const void *base, size_t *fields)
{
	size_t pairs = shape->has_op ? 1 : 0;

	for (size_t i = 0; i < shape->field_count; i++) {
		const struct field *f = &shape->fields[i];

		if (!is_there(f, base))
			continue;
		pairs++;
		if (f->stops) {
			*fields = i + 1;
			return pairs;
		}
	}
	*fields = shape->field_count;
	return pairs;
}

static enum rc encode_part(
    const struct shape *shape, const void *base, struct packbuf *out)
{
	size_t fields, pairs;
	enum rc rc = RC_OK;

	if (shape->fields[0].key == NULL)
		return encode_field(&shape->fields[0], base, out);
	pairs = count_pairs(shape, base, &fields);
	if (fields == shape->field_count && shape->problem != NULL &&
	    shape->problem(base) != NULL)
		return RC_PROTO;
	pack_map(out, pairs);
	if (shape->has_op) {
		pack_key(out, shape->is_reply ? "re" : "op");
		pack_key(out, msg_op_name(shape->op));
	}
	for (size_t i = 0; i < fields && rc == RC_OK; i++) {
		if (!is_there(&shape->fields[i], base))
			continue;
		pack_key(out, shape->fields[i].key);
		rc = encode_field(&shape->fields[i], base, out);
	}
	return rc;
}

/* NOLINTEND(misc-no-recursion) */

enum rc shape_encode(
    const struct shape *shape, const void *message, struct packbuf *out)
{
	size_t before = out->len;
	enum rc rc;

	if (packbuf_rc(out) != RC_OK)
		return packbuf_rc(out);
	rc = encode_part(shape, message, out);
	if (rc == RC_OK)
		rc = packbuf_rc(out);
	if (rc != RC_OK) {
		out->len = before;
		out->rc = RC_OK;
	}
	return rc;
}

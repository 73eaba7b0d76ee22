#include "proto/pack.h"

#include "proto/scan.h"

#include <msgpack.h>
#include <stdlib.h>

#define FIRST_CAPACITY 256

void packbuf_init(struct packbuf *b, size_t max)
{
	*b = (struct packbuf){ .max = max };
}

void packbuf_fini(struct packbuf *b)
{
	free(b->data);
	packbuf_init(b, b->max);
}

void packbuf_clear(struct packbuf *b)
{
	b->len = 0;
	b->rc = RC_OK;
}

enum rc packbuf_rc(const struct packbuf *b)
{
	return b->rc;
}

struct bytes packbuf_bytes(const struct packbuf *b)
{
	return bytes_of(b->data, b->len);
}

/* needed <= max.  Doubles, so that n appends cost n. */
static bool grow(struct packbuf *b, size_t needed)
{
	size_t capacity = b->capacity > 0 ? b->capacity : FIRST_CAPACITY;
	uint8_t *data;

	while (capacity < needed)
		capacity = capacity > b->max / 2 ? b->max : capacity * 2;
	data = realloc(b->data, capacity);
	if (data == NULL)
		return false;
	b->data = data;
	b->capacity = capacity;
	return true;
}

void packbuf_append(struct packbuf *b, struct bytes raw)
{
	if (b->rc != RC_OK || raw.len == 0)
		return;
	if (raw.len > b->max || b->len > b->max - raw.len) {
		b->rc = RC_LIMIT;
		return;
	}
	if (b->len + raw.len > b->capacity && !grow(b, b->len + raw.len)) {
		b->rc = RC_NOMEM;
		return;
	}
	memcpy(b->data + b->len, raw.p, raw.len);
	b->len += raw.len;
}

/* msgpack-c writes through this; the failure is kept in the packbuf. */
static int append(void *data, const char *raw, size_t len)
{
	struct packbuf *b = data;

	packbuf_append(b, bytes_of(raw, len));
	return b->rc == RC_OK ? 0 : -1;
}

static msgpack_packer packer(struct packbuf *b)
{
	msgpack_packer p;

	msgpack_packer_init(&p, b, append);
	return p;
}

void pack_map(struct packbuf *b, size_t pairs)
{
	msgpack_packer p = packer(b);

	(void)msgpack_pack_map(&p, pairs);
}

void pack_array(struct packbuf *b, size_t items)
{
	msgpack_packer p = packer(b);

	(void)msgpack_pack_array(&p, items);
}

void pack_u64(struct packbuf *b, uint64_t v)
{
	msgpack_packer p = packer(b);

	(void)msgpack_pack_uint64(&p, v);
}

void pack_i64(struct packbuf *b, int64_t v)
{
	msgpack_packer p = packer(b);

	(void)msgpack_pack_int64(&p, v);
}

void pack_bool(struct packbuf *b, bool v)
{
	msgpack_packer p = packer(b);

	(void)(v ? msgpack_pack_true(&p) : msgpack_pack_false(&p));
}

void pack_text(struct packbuf *b, struct bytes text)
{
	msgpack_packer p = packer(b);

	(void)msgpack_pack_str(&p, text.len);
	packbuf_append(b, text);
}

void pack_bytes(struct packbuf *b, struct bytes v)
{
	msgpack_packer p = packer(b);

	(void)msgpack_pack_bin(&p, v.len);
	packbuf_append(b, v);
}

void pack_key(struct packbuf *b, const char *key)
{
	pack_text(b, bytes_text(key));
}

struct pack_message {
	msgpack_unpacked unpacked;
};

enum rc pack_open(
    struct bytes frame, struct pack_message **out, struct fault *fault)
{
	struct pack_message *m;
	msgpack_unpack_return result;
	size_t offset = 0;
	enum rc rc;

	rc = scan_message(frame, fault);
	if (rc != RC_OK)
		return rc;
	m = calloc(1, sizeof(*m));
	if (m == NULL)
		return RC_NOMEM;
	msgpack_unpacked_init(&m->unpacked);
	result = msgpack_unpack_next(
	    &m->unpacked, (const char *)frame.p, frame.len, &offset);
	if (result == MSGPACK_UNPACK_SUCCESS) {
		*out = m;
		return RC_OK;
	}
	pack_close(m);
	if (result == MSGPACK_UNPACK_NOMEM_ERROR)
		return RC_NOMEM;
	fault_set(fault, REASON_PROTOCOL, NULL, "malformed message");
	return RC_PROTO;
}

void pack_close(struct pack_message *m)
{
	if (m == NULL)
		return;
	msgpack_unpacked_destroy(&m->unpacked);
	free(m);
}

static struct pack_value value_of(const msgpack_object *o)
{
	struct pack_value v = { .type = PACK_NIL, .object = o };

	switch (o->type) {
	case MSGPACK_OBJECT_BOOLEAN:
		v.type = PACK_BOOL;
		v.flag = o->via.boolean;
		break;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		v.type = PACK_UINT;
		v.number = o->via.u64;
		break;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		v.type = PACK_INT;
		v.negative = o->via.i64;
		break;
	case MSGPACK_OBJECT_STR:
		v.type = PACK_TEXT;
		v.bytes = bytes_of(o->via.str.ptr, o->via.str.size);
		break;
	case MSGPACK_OBJECT_BIN:
		v.type = PACK_BYTES;
		v.bytes = bytes_of(o->via.bin.ptr, o->via.bin.size);
		break;
	case MSGPACK_OBJECT_ARRAY:
		v.type = PACK_ARRAY;
		v.count = o->via.array.size;
		break;
	case MSGPACK_OBJECT_MAP:
		v.type = PACK_MAP;
		v.count = o->via.map.size;
		break;
	case MSGPACK_OBJECT_NIL:
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
	case MSGPACK_OBJECT_EXT:
		break; /* the scan lets only nil through */
	}
	return v;
}

struct pack_value pack_root(const struct pack_message *m)
{
	return value_of(&m->unpacked.data);
}

struct pack_value pack_item(const struct pack_value *array, size_t i)
{
	if (array->type != PACK_ARRAY || i >= array->count)
		return (struct pack_value){ .type = PACK_NIL };
	return value_of(&array->object->via.array.ptr[i]);
}

void pack_pair(const struct pack_value *map, size_t i, struct bytes *key,
    struct pack_value *value)
{
	const msgpack_object_kv *pair;

	*key = (struct bytes){ NULL, 0 };
	*value = (struct pack_value){ .type = PACK_NIL };
	if (map->type != PACK_MAP || i >= map->count)
		return;
	pair = &map->object->via.map.ptr[i];
	*key = value_of(&pair->key).bytes;
	*value = value_of(&pair->val);
}

bool pack_find(
    const struct pack_value *map, const char *key, struct pack_value *value)
{
	struct bytes wanted = bytes_text(key), found;

	for (size_t i = 0; i < map->count; i++) {
		pack_pair(map, i, &found, value);
		if (bytes_equal(found, wanted))
			return true;
	}
	return false;
}

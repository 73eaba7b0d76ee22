/*
 * pack.h - write msgpack into a growing buffer, read it back bounded.
 *
 * The only module that knows msgpack-c.  Messages are described in
 * proto/shape.h and rarely need this directly.
 */
#ifndef PROTO_PACK_H
#define PROTO_PACK_H

#include "proto/bytes.h"
#include "proto/rc.h"
#include "proto/reason.h"

struct msgpack_object;

/*
 * A growing buffer.  A failed write sticks: later ones do nothing, and
 * packbuf_rc() tells at the end.  Plain data: data[0..len) may be read, and
 * len may be set back to drop what was appended.
 */
struct packbuf {
	uint8_t *data;
	size_t len;      /* bytes */
	size_t capacity; /* bytes */
	size_t max;      /* bytes; never grows beyond */
	enum rc rc;      /* first failure */
};

void packbuf_init(struct packbuf *b, size_t max);
/* Frees the bytes; the buffer is empty and usable again. */
void packbuf_fini(struct packbuf *b);
/* Keeps the memory, forgets the content and the failure. */
void packbuf_clear(struct packbuf *b);
/* RC_OK, RC_NOMEM, or RC_LIMIT (more than max). */
MUST_CHECK enum rc packbuf_rc(const struct packbuf *b);
/* Valid until the next write. */
struct bytes packbuf_bytes(const struct packbuf *b);
/* Raw bytes, without a msgpack header. */
void packbuf_append(struct packbuf *b, struct bytes raw);

void pack_map(struct packbuf *b, size_t pairs);
void pack_array(struct packbuf *b, size_t items);
void pack_u64(struct packbuf *b, uint64_t v);
void pack_i64(struct packbuf *b, int64_t v);
void pack_bool(struct packbuf *b, bool v);
void pack_text(struct packbuf *b, struct bytes text); /* msgpack str */
void pack_bytes(struct packbuf *b, struct bytes v);   /* msgpack bin */
/* The key of a pair, or any C string. */
void pack_key(struct packbuf *b, const char *key);

enum pack_type {
	PACK_NIL,
	PACK_BOOL,
	PACK_UINT, /* 0 and above */
	PACK_INT,  /* below 0 */
	PACK_TEXT,
	PACK_BYTES,
	PACK_ARRAY,
	PACK_MAP
};

/* One value inside an unpacked message; borrowed from it. */
struct pack_value {
	enum pack_type type;
	bool flag;          /* PACK_BOOL */
	uint64_t number;    /* PACK_UINT */
	int64_t negative;   /* PACK_INT */
	struct bytes bytes; /* PACK_TEXT, PACK_BYTES: point into the frame */
	size_t count;       /* PACK_ARRAY: items, PACK_MAP: pairs */
	const struct msgpack_object *object;
};

/* A whole message, scanned and unpacked. */
struct pack_message; /* opaque */

/*
 * The frame is borrowed: values point into it.  RC_PROTO: scan_message() or
 * the library refused it; RC_NOMEM.
 */
MUST_CHECK enum rc pack_open(
    struct bytes frame, struct pack_message **out, struct fault *fault);
void pack_close(struct pack_message *m);
/* Always a map. */
struct pack_value pack_root(const struct pack_message *m);

/* i < count; of the wrong type: a PACK_NIL value. */
struct pack_value pack_item(const struct pack_value *array, size_t i);
void pack_pair(const struct pack_value *map, size_t i, struct bytes *key,
    struct pack_value *value);
/* False: no such key. */
bool pack_find(
    const struct pack_value *map, const char *key, struct pack_value *value);

#endif

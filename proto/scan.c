#include "proto/scan.h"

#include <string.h>

enum item_type {
	ITEM_PLAIN, /* nil, bool, integer */
	ITEM_TEXT,
	ITEM_BYTES,
	ITEM_ARRAY,
	ITEM_MAP
};

/* What one header byte and the length behind it say. */
struct item {
	enum item_type type;
	size_t len;   /* bytes that belong to it, behind the header */
	size_t count; /* ITEM_ARRAY: items, ITEM_MAP: pairs */
};

/* A map or array that is not complete yet. */
struct level {
	bool is_map;
	size_t left;      /* values still to come; a map's keys count too */
	size_t keys_from; /* scan.keys: its first key */
};

struct scan {
	const uint8_t *start, *p, *end;
	size_t objects, depth, key_count;
	struct level levels[SCAN_DEPTH_MAX];
	struct bytes keys[SCAN_KEYS_MAX]; /* of the open maps */
	struct fault *fault;
};

static enum rc refuse(const struct scan *s, const char *why)
{
	fault_set(s->fault, REASON_PROTOCOL, NULL,
	    "malformed message: %s at byte %zu of %zu", why,
	    (size_t)(s->p - s->start), (size_t)(s->end - s->start));
	return RC_PROTO;
}

/* The big-endian number behind the header byte, which is not taken. */
static bool read_length(const struct scan *s, size_t width, size_t *out)
{
	size_t value = 0;

	if ((size_t)(s->end - s->p) < 1 + width)
		return false;
	for (size_t i = 1; i <= width; i++)
		value = value << 8 | s->p[i];
	*out = value;
	return true;
}

/* Headers of one byte that hold their count or value. */
static bool read_short(uint8_t c, struct item *item)
{
	if (c < 0x80 || c >= 0xe0 || c == 0xc0 || c == 0xc2 || c == 0xc3)
		return true;
	if (c < 0x90) {
		item->type = ITEM_MAP;
		item->count = c & 15;
	} else if (c < 0xa0) {
		item->type = ITEM_ARRAY;
		item->count = c & 15;
	} else if (c < 0xc0) {
		item->type = ITEM_TEXT;
		item->len = c & 31;
	} else {
		return false;
	}
	return true;
}

/* Take one header off.  Its payload is not checked yet. */
static enum rc read_item(struct scan *s, struct item *item)
{
	static const struct {
		uint8_t from,
		    to; /* header bytes; each next one twice as wide */
		enum item_type type;
		size_t width;
	} long_items[] = {
		{ 0xc4, 0xc6, ITEM_BYTES, 1 },
		{ 0xd9, 0xdb, ITEM_TEXT, 1 },
		{ 0xdc, 0xdd, ITEM_ARRAY, 2 },
		{ 0xde, 0xdf, ITEM_MAP, 2 },
	};
	uint8_t c = *s->p;
	size_t width;

	*item = (struct item){ .type = ITEM_PLAIN };
	if (read_short(c, item)) {
		s->p++;
		return RC_OK;
	}
	if (c >= 0xcc && c <= 0xd3) { /* uint8 to uint64, int8 to int64 */
		item->len = (size_t)1 << (c & 3);
		s->p++;
		return RC_OK;
	}
	for (size_t i = 0; i < sizeof(long_items) / sizeof(*long_items); i++) {
		if (c < long_items[i].from || c > long_items[i].to)
			continue;
		width = long_items[i].width << (c - long_items[i].from);
		item->type = long_items[i].type;
		if (!read_length(s, width,
			item->type <= ITEM_BYTES ? &item->len : &item->count))
			return refuse(s, "cut short");
		s->p += 1 + width;
		return RC_OK;
	}
	if (c == 0xca || c == 0xcb)
		return refuse(s, "a floating-point number");
	return refuse(s, "an extension type");
}

/* A map key was read; its text begins at s->p. */
static enum rc add_key(struct scan *s, const struct item *item)
{
	struct bytes key = bytes_of(s->p, item->len);
	const struct level *level = &s->levels[s->depth - 1];

	if (item->type != ITEM_TEXT)
		return refuse(s, "a key that is not text");
	for (size_t i = level->keys_from; i < s->key_count; i++) {
		if (bytes_equal(s->keys[i], key))
			return refuse(s, "a key that is there twice");
	}
	if (s->key_count == SCAN_KEYS_MAX)
		return refuse(s, "too many keys in maps inside each other");
	s->keys[s->key_count++] = key;
	return RC_OK;
}

static enum rc open_level(struct scan *s, const struct item *item)
{
	bool is_map = item->type == ITEM_MAP;
	size_t values = is_map ? 2 * item->count : item->count;

	if (item->count > (size_t)(s->end - s->p) ||
	    values > (size_t)(s->end - s->p))
		return refuse(s, "more items announced than bytes are there");
	if (is_map && item->count > SCAN_PAIRS_MAX)
		return refuse(s, "more than 512 pairs in a map");
	if (s->depth == SCAN_DEPTH_MAX)
		return refuse(s, "nested deeper than 16");
	s->levels[s->depth++] = (struct level){
		.is_map = is_map, .left = values, .keys_from = s->key_count
	};
	return RC_OK;
}

/* One value is complete, and so may be those around it. */
static void close_levels(struct scan *s)
{
	while (s->depth > 0 && s->levels[s->depth - 1].left == 0) {
		s->depth--;
		s->key_count = s->levels[s->depth].keys_from;
	}
}

static enum rc scan_value(struct scan *s)
{
	bool is_key = false;
	struct item item;
	enum rc rc;

	if (s->p == s->end)
		return refuse(s, "cut short");
	if (++s->objects > SCAN_OBJECTS_MAX)
		return refuse(s, "more than 65536 values");
	rc = read_item(s, &item);
	if (rc != RC_OK)
		return rc;
	if (item.len > (size_t)(s->end - s->p))
		return refuse(s, "cut short");
	if (s->depth > 0) {
		struct level *level = &s->levels[s->depth - 1];

		is_key = level->is_map && level->left % 2 == 0;
		level->left--;
	}
	if (is_key) {
		rc = add_key(s, &item);
		s->p += item.len;
	} else if (item.type == ITEM_ARRAY || item.type == ITEM_MAP) {
		rc = open_level(s, &item);
	} else {
		s->p += item.len;
	}
	if (rc == RC_OK)
		close_levels(s);
	return rc;
}

enum rc scan_message(struct bytes frame, struct fault *fault)
{
	struct scan s;
	enum rc rc;

	/* The arrays need no initial value. */
	s.start = s.p = frame.p;
	s.end = frame.len > 0 ? frame.p + frame.len : frame.p;
	s.objects = s.depth = s.key_count = 0;
	s.fault = fault;
	if (frame.len == 0)
		return refuse(&s, "empty");
	if ((*s.p & 0xf0) != 0x80 && *s.p != 0xde && *s.p != 0xdf)
		return refuse(&s, "not a map");
	do {
		rc = scan_value(&s);
	} while (rc == RC_OK && s.depth > 0);
	if (rc == RC_OK && s.p != s.end)
		return refuse(&s, "something behind the message");
	return rc;
}

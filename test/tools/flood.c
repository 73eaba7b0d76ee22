#include "test/tools/flood.h"

#include "proto/frame.h"
#include "proto/hello.h"

#include <stdio.h>
#include <string.h>

#define TYPE_OF_THE_FUTURE 0x70
#define PAYLOAD_OF_PING    8

static const char *const names[FLOOD_KIND_COUNT] = {
	[FLOOD_OPEN] = "open",
	[FLOOD_RESET] = "reset",
	[FLOOD_PING] = "ping",
	[FLOOD_EMPTY] = "empty",
	[FLOOD_CREDIT] = "credit",
	[FLOOD_TELL] = "tell",
	[FLOOD_LATE] = "late",
	[FLOOD_UNKNOWN] = "unknown",
};

static MUST_CHECK enum rc encode_open(struct flood *f, const char *machine)
{
	struct msg_open open = {
		.kind = KIND_SEAL,
		.to = { .kind = TARGET_SERVER },
		.service_class = CLASS_HEALTH,
		.deadline_ms = 1000,
	};
	struct packbuf pack;
	enum rc rc;

	if (machine != NULL) {
		open.to.kind = TARGET_MACHINE;
		(void)snprintf(
		    open.to.name, sizeof(open.to.name), "%s", machine);
	}
	packbuf_init(&pack, sizeof(f->open));
	rc = msg_open_encode(&open, &pack);
	if (rc == RC_OK) {
		memcpy(f->open, pack.data, pack.len);
		f->open_len = pack.len;
	}
	packbuf_fini(&pack);
	return rc;
}

enum rc flood_init(struct flood *f, const char *kind, const char *machine)
{
	memset(f, 0, sizeof(*f));
	f->next_id = 1;
	for (int k = 0; k < FLOOD_KIND_COUNT; k++) {
		if (strcmp(names[k], kind) == 0) {
			f->kind = (enum flood_kind)k;
			return encode_open(f, machine);
		}
	}
	return RC_NOTFOUND;
}

bool flood_needs_stream(const struct flood *f)
{
	return f->kind == FLOOD_EMPTY || f->kind == FLOOD_CREDIT;
}

static size_t put(
    struct flood *f, uint8_t *out, struct frame head, const uint8_t *payload)
{
	frame_encode(&head, out);
	if (head.len > 0)
		memcpy(out + FRAME_HEADER_LEN, payload, head.len);
	f->frames++;
	return (size_t)FRAME_HEADER_LEN + head.len;
}

static size_t put_open(struct flood *f, uint8_t *out)
{
	const struct frame head = { .len = (uint16_t)f->open_len,
		.type = FRAME_OPEN,
		.id = f->next_id };

	f->next_id += 2;
	return put(f, out, head, f->open);
}

static size_t put_open_and_reset(struct flood *f, uint8_t *out)
{
	static const uint8_t empty_map[1] = { 0x80 };
	size_t len = put_open(f, out);

	return len + put(f, out + len,
			 (struct frame){ .len = sizeof(empty_map),
			     .type = FRAME_RESET,
			     .id = f->next_id - 2 },
			 empty_map);
}

/* As good a credit as any, and a little DATA, by turns. */
static size_t put_late(struct flood *f, uint8_t *out)
{
	static const uint8_t much[4] = { 0, 0, 0x80, 0 };

	if (f->next_id == 1)
		return put_open_and_reset(f, out);
	return put(f, out,
	    (struct frame){ .len = sizeof(much),
		.type = f->frames % 2 == 0 ? FRAME_CREDIT : FRAME_DATA,
		.id = 1 },
	    much);
}

/* One frame, or two; never more than FLOOD_OPEN_MAX and two headers. */
static size_t put_next(struct flood *f, uint8_t *out)
{
	static const uint8_t one[4] = { 0, 0, 0, 1 };
	static const uint8_t empty_map[1] = { 0x80 };
	static const uint8_t nothing[1] = { 0 };
	const uint8_t ping[PAYLOAD_OF_PING] = { 0 };

	switch (f->kind) {
	case FLOOD_OPEN:
		return put_open(f, out);
	case FLOOD_RESET:
		return put_open_and_reset(f, out);
	case FLOOD_PING:
		return put(f, out,
		    (struct frame){ .len = sizeof(ping), .type = FRAME_PING },
		    ping);
	case FLOOD_EMPTY:
		return put(f, out,
		    (struct frame){ .type = FRAME_DATA, .id = f->stream },
		    nothing);
	case FLOOD_CREDIT:
		return put(f, out,
		    (struct frame){ .len = sizeof(one),
			.type = FRAME_CREDIT,
			.id = f->stream },
		    one);
	case FLOOD_TELL:
		return put(f, out,
		    (struct frame){
			.len = sizeof(empty_map), .type = FRAME_TELL },
		    empty_map);
	case FLOOD_LATE:
		return put_late(f, out);
	case FLOOD_UNKNOWN:
	case FLOOD_KIND_COUNT:
		break;
	}
	return put(f, out,
	    (struct frame){
		.type = TYPE_OF_THE_FUTURE, .flags = FRAME_FLAG_MAY_IGNORE },
	    nothing);
}

size_t flood_ask(struct flood *f, uint8_t *out)
{
	size_t len = put_open(f, out);

	f->frames = 0;
	return len;
}

size_t flood_fill(struct flood *f, uint8_t *out, size_t cap)
{
	const size_t room = FLOOD_OPEN_MAX + 2 * (FRAME_HEADER_LEN + 4);
	size_t len = 0;

	while (cap - len >= room)
		len += put_next(f, out + len);
	return len;
}

#include "test/tools/claims.h"

#include "proto/hello.h"

#include <stdio.h>
#include <string.h>

#define FRAME_MAX 1024

/* Of somebody else's: machine, relay, server; the class is as high as may be.
 * (A relay may pass an enrolment on, so that is no claim.) */
static const struct claim {
	enum stream_kind kind;
	enum target_kind to;
	enum stream_class service_class;
	const char *path;
} claims[] = {
	{ KIND_SEAL, TARGET_MACHINE, CLASS_HEALTH, "direct" },
	{ KIND_SEAL, TARGET_MACHINE, CLASS_DEPLOY, "direct" },
	{ KIND_SEAL, TARGET_MACHINE, CLASS_CONTROL, "direct" },
	{ KIND_SEAL, TARGET_MACHINE, CLASS_HEALTH, "dc2-a" },
	{ KIND_SEAL, TARGET_RELAY, CLASS_CONTROL, "direct" },
	{ KIND_SEAL, TARGET_SERVER, CLASS_CONTROL, "direct" },
	{ KIND_CHUNKS, TARGET_SERVER, CLASS_BULK, "direct" },
	{ KIND_TRACE, TARGET_MACHINE, CLASS_CONTROL, "direct" },
	{ KIND_PEER, TARGET_MACHINE, CLASS_HEALTH, "direct" },
};
#define CLAIMS (sizeof(claims) / sizeof(claims[0]))

static size_t put(
    const struct claims *c, const struct claim *what, uint32_t id, uint8_t *out)
{
	struct msg_open open = {
		.kind = what->kind,
		.to = { .kind = what->to },
		.service_class = what->service_class,
		.deadline_ms = 5000,
	};
	struct frame head = { .type = FRAME_OPEN, .id = id };
	struct packbuf pack;
	size_t len = 0;

	if (what->to != TARGET_SERVER)
		(void)snprintf(open.to.name, sizeof(open.to.name), "%s",
		    what->to == TARGET_MACHINE ? c->machine : "dc2-a");
	packbuf_init(&pack, FRAME_MAX - FRAME_HEADER_LEN);
	if (path_parse(what->path, &open.path, NULL) == RC_OK &&
	    msg_open_encode(&open, &pack) == RC_OK) {
		head.len = (uint16_t)pack.len;
		frame_encode(&head, out);
		memcpy(out + FRAME_HEADER_LEN, pack.data, pack.len);
		len = FRAME_HEADER_LEN + pack.len;
	}
	packbuf_fini(&pack);
	return len;
}

size_t claims_fill(struct claims *c, uint8_t *out, size_t cap)
{
	size_t len = 0;

	for (size_t i = 0; i < CLAIMS && cap - len >= FRAME_MAX; i++) {
		len += put(c, &claims[i], c->asked * 2 + 1, out + len);
		c->asked++;
	}
	return len;
}

void claims_heard(
    struct claims *c, const struct frame *f, const uint8_t *payload)
{
	struct msg_reset reset;
	struct fault fault;

	if (f->id % 2 == 0 || f->id > c->asked * 2)
		return;
	if (f->type == FRAME_ACCEPT)
		c->permitted++;
	if (f->type != FRAME_RESET)
		return;
	if (msg_reset_decode(bytes_of(payload, f->len), &reset, &fault) !=
	    RC_OK) {
		c->otherwise++;
		return;
	}
	if (reset.fault.code == REASON_NOT_PERMITTED)
		c->refused++;
	else
		c->otherwise++;
	msg_reset_clear(&reset);
}

#include "common/log.h"
#include "proto/lenframe.h"
#include "server/fleet/fleet_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_US 250000

enum bring_state {
	BRING_ASKING,  /* stage is sent, or will be */
	BRING_SENDING, /* pieces from offset on */
	BRING_SENT,    /* all of it; staged is awaited */
};

struct fleet_bring {
	struct way way; /* first */
	TAILQ_ENTRY(fleet_bring) all;
	struct fleet_stage user; /* its texts are not kept */
	enum bring_state state;
	char digest[DIGEST_SIZE];
	char name[MSG_TEXT_MAX + 1], version[MSG_VERSION_MAX + 1];
	uint64_t offset; /* of the next piece */
	uint64_t told_us;
	struct loop_timer *idle; /* nothing moves */
};

static void bring_free(struct fleet_bring *b, const struct fault *fault)
{
	struct fleet *f = b->way.fleet;

	way_fini(&b->way, fault);
	loop_timer_free(b->idle);
	TAILQ_REMOVE(&f->brings, b, all);
	f->bring_count--;
	(void)close(b->user.fd);
	free(b);
}

/* The last act. */
static void end(struct fleet_bring *b, const struct fault *fault)
{
	const struct fleet_stage user = b->user;
	struct fault why = { .code = REASON_NONE };

	if (fault != NULL)
		why = *fault;
	bring_free(b, fault != NULL ? &why : NULL);
	user.done(user.arg, fault != NULL ? &why : NULL);
}

static void fail(struct fleet_bring *b, enum reason code, const char *text)
{
	struct fault fault;

	fault_set(&fault, code, b->way.fleet->at, "%s: %s",
	    b->way.station->name, text);
	end(b, &fault);
}

static void on_idle(void *arg)
{
	struct fleet_bring *b = arg;

	if (b->way.state == WAY_READY) /* else on_closed() is coming */
		fail(b, REASON_DEADLINE, "takes no more of the package");
}

/* --- Pieces ----------------------------------------------------------------
 */

static void tell_progress(struct fleet_bring *b)
{
	uint64_t now = loop_now_us(b->way.fleet->parts.loop);

	loop_timer_set(b->idle, b->way.fleet->settings->idle_ms);
	if (b->user.progress == NULL ||
	    (now - b->told_us < PROGRESS_US && b->offset < b->user.size))
		return;
	b->told_us = now;
	b->user.progress(b->user.arg, b->offset, b->user.size);
}

/* RC_AGAIN: the seal is full. */
static MUST_CHECK enum rc send_piece(struct fleet_bring *b)
{
	uint8_t data[PIECE_MAX];
	uint64_t left = b->user.size - b->offset;
	size_t want = left < sizeof(data) ? (size_t)left : sizeof(data);
	ssize_t got = pread(b->user.fd, data, want, (off_t)b->offset);
	struct msg_piece piece = { .offset = b->offset };
	struct packbuf pack;
	enum rc rc;

	if (got != (ssize_t)want)
		return RC_IO;
	piece.data = bytes_of(data, want);
	packbuf_init(&pack, LENFRAME_DEPLOY_MAX);
	rc = way_send(&b->way, msg_piece_encode(&piece, &pack), &pack);
	if (rc == RC_OK)
		b->offset += want;
	return rc;
}

static void pump(struct fleet_bring *b)
{
	enum rc rc = RC_OK;

	while (rc == RC_OK && b->offset < b->user.size)
		rc = send_piece(b);
	if (rc == RC_IO) {
		fail(b, REASON_INTERNAL, "its package cannot be read here");
		return;
	}
	if (rc != RC_OK && rc != RC_AGAIN) {
		fail(b, REASON_MEMORY, "a piece of its package is not sent");
		return;
	}
	if (b->offset == b->user.size)
		b->state = BRING_SENT;
	tell_progress(b);
}

/* --- Messages --------------------------------------------------------------
 */

static void on_from(struct fleet_bring *b, struct bytes message)
{
	struct msg_stage_from from;
	struct fault fault;

	if (msg_stage_from_decode(message, &from, &fault) != RC_OK) {
		end(b, &fault);
		return;
	}
	if (b->state != BRING_ASKING || from.offset > b->user.size) {
		fail(b, REASON_PROTOCOL, "asks for what the package has not");
		return;
	}
	if (from.complete) {
		end(b, NULL);
		return;
	}
	b->state = BRING_SENDING;
	b->offset = from.offset;
	pump(b);
}

static void on_staged(struct fleet_bring *b, struct bytes message)
{
	struct msg_staged staged;
	struct fault fault;

	if (msg_staged_decode(message, &staged, &fault) != RC_OK)
		end(b, &fault);
	else if (strcmp(staged.digest, b->digest) != 0)
		fail(b, REASON_BAD_PACKAGE, "has verified another package");
	else
		end(b, NULL);
}

static void on_refused(struct fleet_bring *b, struct bytes message)
{
	struct fault fault;

	way_read_refusal(&b->way, message, &fault);
	end(b, &fault);
}

static void on_message(struct way *way, struct bytes message)
{
	struct fleet_bring *b = (struct fleet_bring *)way;
	struct msg_head head;
	struct fault fault;
	enum rc rc = msg_peek(message, &head, &fault);

	if (rc == RC_NOTFOUND)
		return;
	if (rc != RC_OK)
		end(b, &fault);
	else if (head.op == OP_STAGE_FROM)
		on_from(b, message);
	else if (head.op == OP_STAGED)
		on_staged(b, message);
	else if (head.op == OP_FAULT)
		on_refused(b, message);
}

static void on_ready(struct way *way)
{
	struct fleet_bring *b = (struct fleet_bring *)way;
	struct msg_stage stage = {
		.size = b->user.size,
		.name = bytes_text(b->name),
		.version = bytes_text(b->version),
	};
	struct packbuf pack;

	memcpy(stage.digest, b->digest, sizeof(stage.digest));
	packbuf_init(&pack, 4096);
	if (way_send(way, msg_stage_encode(&stage, &pack), &pack) != RC_OK) {
		fail(b, REASON_MEMORY, "cannot announce the package");
		return;
	}
	loop_timer_set(b->idle, way->fleet->settings->idle_ms);
}

static void on_writable(struct way *way)
{
	struct fleet_bring *b = (struct fleet_bring *)way;

	if (b->state == BRING_SENDING)
		pump(b);
}

static void on_closed(struct way *way, const struct fault *fault)
{
	end((struct fleet_bring *)way, fault);
}

/* By another route, from where the machine says that it has got to. */
static void on_move(struct way *way, bool has_better)
{
	struct fleet_bring *b = (struct fleet_bring *)way;

	if (!has_better)
		return;
	b->state = BRING_ASKING;
	way_reopen(way);
}

static const struct way_kind bring_kind = {
	.ops = { .ready = on_ready,
	    .message = on_message,
	    .writable = on_writable,
	    .move = on_move,
	    .closed = on_closed },
	.service_class = CLASS_BULK,
	.message_max = LENFRAME_DEPLOY_MAX,
};

/* --- For others ------------------------------------------------------------
 */

static MUST_CHECK enum rc init(
    struct fleet_bring *b, struct fleet *f, const char *machine)
{
	enum rc rc = loop_timer_new(f->parts.loop, on_idle, b, &b->idle);

	if (rc == RC_OK)
		rc = way_init(&b->way, f,
		    station_find(f, ROLE_TENTACLE, machine), &bring_kind);
	if (rc != RC_OK)
		loop_timer_free(b->idle);
	return rc;
}

enum rc fleet_stage(
    struct fleet *f, const struct fleet_stage *stage, struct fleet_bring **out)
{
	struct fleet_bring *b = NULL;
	enum rc rc = RC_LIMIT;

	if (f->bring_count < f->settings->deploy_max) {
		b = calloc(1, sizeof(*b));
		rc = b != NULL ? init(b, f, stage->machine) : RC_NOMEM;
	}
	if (rc != RC_OK) {
		(void)close(stage->fd);
		free(b);
		return rc;
	}
	b->user = *stage;
	b->user.machine = b->user.digest = NULL;
	b->user.name = b->user.version = NULL;
	(void)snprintf(b->digest, sizeof(b->digest), "%s", stage->digest);
	(void)snprintf(b->name, sizeof(b->name), "%s", stage->name);
	(void)snprintf(b->version, sizeof(b->version), "%s", stage->version);
	TAILQ_INSERT_TAIL(&f->brings, b, all);
	f->bring_count++;
	way_open(&b->way);
	*out = b;
	return RC_OK;
}

void fleet_stage_cancel(struct fleet_bring *b)
{
	struct fault fault;

	if (b == NULL)
		return;
	fault_set(&fault, REASON_CANCELLED, b->way.fleet->at,
	    "the transfer was cancelled");
	bring_free(b, &fault);
}

void brings_free(struct fleet *f)
{
	struct fleet_bring *b, *next;

	for (b = TAILQ_FIRST(&f->brings); b != NULL; b = next) {
		next = TAILQ_NEXT(b, all);
		bring_free(b, NULL);
	}
}

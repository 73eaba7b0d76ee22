#include "tentacle/executor.h"

#include "common/log.h"

#include <stdlib.h>
#include <string.h>

/* The server sends piece after piece: silence is the end of it. */
#define IDLE_MS 300000

struct staging {
	struct session *session; /* NULL: orphan, a worker still verifies */
	struct blob_writer *writer;
	struct blob_digest digest;
	char text[DIGEST_SIZE];
	uint64_t size;
	bool verifying;
	enum rc rc;
	struct fault fault;
};

static void destroy(struct staging *t)
{
	blob_writer_free(t->writer);
	free(t);
}

void staging_free(struct staging *t)
{
	if (t == NULL)
		return;
	t->session = NULL;
	if (!t->verifying)
		destroy(t);
}

static void fail(struct session *s, enum reason code, const char *text)
{
	struct fault fault;

	fault_set(&fault, code, s->executor->member->name, "%s: %s",
	    s->executor->member->name, text);
	session_refuse(s, &fault);
}

static void fail_with(struct session *s, const struct fault *why)
{
	fail(s, why->code != REASON_NONE ? why->code : REASON_INTERNAL,
	    why->text);
}

static void say_staged(struct session *s)
{
	struct msg_staged staged;
	struct packbuf pack;

	memcpy(staged.digest, s->staging->text, sizeof(staged.digest));
	packbuf_init(&pack, 4096);
	if (session_send(s, msg_staged_encode(&staged, &pack), &pack) != RC_OK)
		log_warn("session", s->node, "staged, but cannot say so");
	session_end(s, NULL);
}

/* Hashing a large file takes long: a worker does it. */
static void verify(void *arg)
{
	struct staging *t = arg;

	t->rc = blob_write_finish(t->writer, NULL, NULL, &t->fault);
}

static void verified(void *arg)
{
	struct staging *t = arg;
	struct session *s = t->session;

	t->verifying = false;
	if (s == NULL) {
		destroy(t);
		return;
	}
	if (t->rc == RC_OK) {
		log_info("stage", t->text, "complete and verified");
		say_staged(s);
	} else {
		fail_with(s, &t->fault);
	}
}

/* The workers went first: sessions have ended before them. */
static void dropped(void *arg)
{
	struct staging *t = arg;

	t->verifying = false;
	if (t->session == NULL)
		destroy(t);
}

static void finish(struct session *s)
{
	struct staging *t = s->staging;

	t->verifying = true;
	session_expect(s, 0);
	if (worker_submit_owned(
		s->executor->pool, verify, verified, dropped, t) != RC_OK) {
		t->verifying = false;
		fail(s, REASON_TOO_MANY, "too much to verify at once");
	}
}

static void say_from(struct session *s, bool complete)
{
	struct staging *t = s->staging;
	const struct msg_stage_from from = {
		.offset = complete ? t->size : blob_writer_offset(t->writer),
		.complete = complete,
	};
	struct packbuf pack;
	struct fault fault;

	if (complete)
		blob_touch(
		    operations_blobs(s->executor->operations), &t->digest);
	packbuf_init(&pack, 4096);
	if (session_send(s, msg_stage_from_encode(&from, &pack), &pack) !=
	    RC_OK) {
		fault_set(&fault, REASON_MEMORY, "", "out of memory");
		session_end(s, &fault);
		return;
	}
	if (complete)
		session_end(s, NULL);
	else if (from.offset == t->size)
		finish(s);
	else
		session_expect(s, IDLE_MS);
}

void staging_begin(struct session *s, struct bytes message)
{
	struct blob_store *blobs = operations_blobs(s->executor->operations);
	struct msg_stage stage;
	struct fault fault;
	struct staging *t;
	enum rc rc;

	if (s->follow != NULL || s->staging != NULL ||
	    msg_stage_decode(message, &stage, &fault) != RC_OK ||
	    blobs == NULL) {
		fail(s, REASON_PROTOCOL, "nothing can be staged here");
		return;
	}
	t = calloc(1, sizeof(*t));
	if (t == NULL) {
		fail(s, REASON_MEMORY, "out of memory");
		return;
	}
	t->session = s;
	t->size = stage.size;
	memcpy(t->text, stage.digest, sizeof(t->text));
	s->staging = t;
	rc = blob_digest_parse(t->text, &t->digest);
	if (rc == RC_OK)
		rc = blob_write_begin(
		    blobs, &t->digest, t->size, &t->writer, &fault);
	if (rc == RC_OK || rc == RC_EXISTS)
		say_from(s, rc == RC_EXISTS);
	else if (rc == RC_STATE)
		fail(s, REASON_TOO_MANY, "it is being staged already");
	else
		fail_with(s, &fault);
}

void staging_piece(struct session *s, struct bytes message)
{
	struct staging *t = s->staging;
	struct msg_piece piece;
	struct fault fault;
	enum rc rc;

	if (t == NULL || t->writer == NULL || t->verifying) {
		fail(s, REASON_PROTOCOL, "a piece that nobody asked for");
		return;
	}
	rc = msg_piece_decode(message, &piece, &fault);
	if (rc == RC_OK)
		rc = blob_write_at(t->writer, piece.offset, piece.data.p,
		    piece.data.len, &fault);
	if (rc != RC_OK)
		fail_with(s, &fault);
	else if (blob_writer_offset(t->writer) == t->size)
		finish(s);
	else
		session_expect(s, IDLE_MS);
}

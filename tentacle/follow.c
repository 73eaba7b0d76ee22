#include "tentacle/executor.h"

#include "common/log.h"
#include "proto/lenframe.h"

#include <stdlib.h>
#include <string.h>

/* Pieces sent before the loop gets its turn again. */
#define FOLLOW_BURST 16

struct follow {
	struct session *session;
	struct loop_timer *timer;
	char ticket[ID_SIZE];
	uint64_t offset;
	uint8_t piece[PIECE_MAX];
};

void follow_free(struct follow *f)
{
	if (f == NULL)
		return;
	loop_timer_free(f->timer);
	free(f);
}

static void fail(struct session *s, enum reason code, const char *text)
{
	struct fault fault;

	fault_set(&fault, code, s->executor->member->name, "%s: %s",
	    s->executor->member->name, text);
	session_refuse(s, &fault);
}

/* RC_OK: sent, the session has ended; RC_AGAIN: no result yet. */
static MUST_CHECK enum rc send_result(struct session *s)
{
	struct msg_result result;
	struct packbuf pack;
	enum rc rc = operations_result(
	    s->executor->operations, s->follow->ticket, &result);

	if (rc != RC_OK)
		return rc;
	packbuf_init(&pack, LENFRAME_DEPLOY_MAX);
	rc = session_send(s, msg_result_encode(&result, &pack), &pack);
	if (rc == RC_OK)
		session_end(s, NULL);
	return rc;
}

static MUST_CHECK enum rc send_piece(struct follow *f, size_t len)
{
	const struct msg_output output = {
		.offset = f->offset,
		.data = bytes_of(f->piece, len),
	};
	struct packbuf pack;
	enum rc rc;

	packbuf_init(&pack, LENFRAME_DEPLOY_MAX);
	rc = session_send(f->session, msg_output_encode(&output, &pack), &pack);
	if (rc == RC_OK)
		f->offset += len;
	return rc;
}

/* RC_OK: look again later; RC_AGAIN: the seal is full; else it failed. */
static MUST_CHECK enum rc pump(struct follow *f, bool *ended)
{
	struct operations *ops = f->session->executor->operations;
	enum rc rc = RC_OK;

	*ended = false;
	for (int i = 0; i < FOLLOW_BURST && rc == RC_OK && !*ended; i++) {
		struct runlog_range range = {
			.offset = f->offset,
			.out = f->piece,
			.size = sizeof(f->piece),
		};

		rc = operations_read(ops, f->ticket, &range, ended);
		if (rc == RC_NOTFOUND) {
			*ended = true; /* no log: only a result, if any */
			rc = RC_OK;
		}
		if (rc == RC_OK && range.got > 0) {
			rc = send_piece(f, range.got);
			*ended = false;
		} else if (rc == RC_OK && !*ended) {
			break;
		}
	}
	return rc;
}

static void look(struct session *s)
{
	struct follow *f = s->follow;
	bool ended;
	enum rc rc = pump(f, &ended);

	if (rc == RC_OK && ended) {
		rc = send_result(s);
		if (rc == RC_OK)
			return;
	}
	if (rc == RC_OK || rc == RC_AGAIN)
		loop_timer_set(f->timer, s->executor->settings->follow_ms);
	else
		fail(s, REASON_INTERNAL, "its log cannot be read");
}

static void on_timer(void *arg)
{
	struct follow *f = arg;

	look(f->session);
}

void follow_writable(struct session *s)
{
	look(s);
}

void follow_begin(struct session *s, struct bytes message)
{
	struct msg_attach attach;
	struct fault fault;
	struct follow *f;

	if (s->follow != NULL || s->staging != NULL ||
	    msg_attach_decode(message, &attach, &fault) != RC_OK) {
		fail(s, REASON_PROTOCOL, "one request for each deploy seal");
		return;
	}
	if (operations_attach(s->executor->operations, &attach, &fault) !=
	    RC_OK) {
		session_refuse(s, &fault);
		return;
	}
	f = calloc(1, sizeof(*f));
	if (f == NULL || loop_timer_new(s->executor->loop, on_timer, f,
			     &f->timer) != RC_OK) {
		free(f);
		fail(s, REASON_MEMORY, "out of memory");
		return;
	}
	f->session = s;
	f->offset = attach.offset;
	memcpy(f->ticket, attach.ticket, sizeof(f->ticket));
	s->follow = f;
	look(s);
}

#include "tentacle/executor.h"

#include "common/clock.h"
#include "common/log.h"
#include "proto/lenframe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Pieces sent before the loop gets its turn again. */
#define FOLLOW_BURST 16
#define TURN_MS      30 /* the same, where many values are masked */
#define STATE_MS     500
#define READS_FAILED 20 /* looks, before the rest of a log is given up */

struct follow {
	struct session *session;
	struct loop_timer *timer;
	char ticket[ID_SIZE];
	uint64_t offset;
	uint32_t note;    /* the next one to tell */
	uint32_t version; /* of the state that was told */
	uint64_t told_ms; /* when; monotonic */
	uint64_t file;    /* bytes of the artifact at hand that are told */
	uint64_t size;    /* of that artifact */
	bool in_file;     /* its note is told, not yet all of its bytes */
	bool marked;      /* it was told that the rest of the log is lost */
	unsigned failed;  /* looks at a log that has ended */
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

/* Less came from the disk than was there at its end: the result must go out
 * all the same, and it counts what was told. */
static MUST_CHECK enum rc tell_lost(struct follow *f, struct msg_result *result)
{
	uint64_t lost = result->log_size - f->offset;
	enum rc rc = RC_OK;
	int len;

	if (!f->marked) {
		log_error("job", f->ticket,
		    "%llu bytes of its log cannot be read any more",
		    (unsigned long long)lost);
		len = snprintf((char *)f->piece, sizeof(f->piece),
		    "\n[longarm: %llu bytes of output from here on are lost]\n",
		    (unsigned long long)lost);
		rc = send_piece(f, (size_t)len);
		f->marked = rc == RC_OK;
	}
	result->log_size = f->offset;
	result->log_sha256[0] = '\0';
	return rc;
}

/* RC_OK: sent, the session has ended; RC_AGAIN: no result yet. */
static MUST_CHECK enum rc send_result(struct session *s)
{
	struct msg_result result;
	struct packbuf pack;
	enum rc rc = operations_result(
	    s->executor->operations, s->follow->ticket, &result);

	if (rc == RC_OK &&
	    (s->follow->marked || result.log_size > s->follow->offset))
		rc = tell_lost(s->follow, &result);
	if (rc != RC_OK)
		return rc;
	packbuf_init(&pack, LENFRAME_DEPLOY_MAX);
	rc = session_send(s, msg_result_encode(&result, &pack), &pack);
	if (rc == RC_OK)
		session_end(s, NULL);
	return rc;
}

/* Perhaps it passes, as a lack of descriptors does. */
static enum rc read_failed(struct follow *f, bool ended, enum rc rc)
{
	if (rc != RC_IO || !ended)
		return rc;
	return ++f->failed < READS_FAILED ? RC_AGAIN : RC_NOTFOUND;
}

/* RC_OK: look again later; RC_AGAIN: the seal is full; else it failed. */
static MUST_CHECK enum rc pump(struct follow *f, bool *ended)
{
	struct operations *ops = f->session->executor->operations;
	uint64_t until = clock_monotonic_ms() + TURN_MS;
	enum rc rc = RC_OK;

	*ended = false;
	for (int i = 0; i < FOLLOW_BURST && rc == RC_OK && !*ended; i++) {
		struct runlog_range range = {
			.offset = f->offset,
			.out = f->piece,
			.size = sizeof(f->piece),
		};

		rc = operations_read(ops, f->ticket, &range, ended);
		rc = read_failed(f, *ended, rc);
		if (rc == RC_NOTFOUND) {
			*ended = true; /* no log: only a result, if any */
			rc = RC_OK;
		}
		if (rc == RC_OK && range.got > 0) {
			rc = send_piece(f, range.got);
			*ended = false;
			if (clock_monotonic_ms() >= until)
				break;
		} else if (rc == RC_OK && !*ended) {
			break;
		}
	}
	return rc;
}

/* --- What it says of itself --------------------------------------------- */

static MUST_CHECK enum rc send_note(
    struct follow *f, const struct msg_note *note)
{
	struct packbuf pack;

	packbuf_init(&pack, LENFRAME_DEPLOY_MAX);
	return session_send(f->session, msg_note_encode(note, &pack), &pack);
}

/* RC_NOTFOUND: it has no more bytes. */
static MUST_CHECK enum rc send_file_piece(struct follow *f)
{
	struct runlog_range range = {
		.offset = f->file, .out = f->piece, .size = sizeof(f->piece)
	};
	struct msg_piece piece = { .offset = f->file };
	struct packbuf pack;
	enum rc rc;

	operations_artifact(f->session->executor->operations, f->ticket,
	    f->note, f->size, &range);
	if (range.got == 0)
		return RC_NOTFOUND;
	piece.data = bytes_of(f->piece, range.got);
	packbuf_init(&pack, LENFRAME_DEPLOY_MAX);
	rc = session_send(f->session, msg_piece_encode(&piece, &pack), &pack);
	if (rc == RC_OK)
		f->file += range.got;
	return rc;
}

/* RC_NOTFOUND: there will be no more; RC_AGAIN: the seal is full, or not yet:
 * then *later. */
static MUST_CHECK enum rc send_next_note(struct follow *f, bool *later)
{
	struct operations *ops = f->session->executor->operations;
	struct msg_note note;
	enum rc rc;

	if (f->in_file) {
		rc = send_file_piece(f);
		if (rc != RC_NOTFOUND)
			return rc;
		f->in_file = false;
		f->note++;
	}
	rc = operations_note(ops, f->ticket, f->note, &note);
	*later = rc == RC_AGAIN;
	if (rc == RC_OK)
		rc = send_note(f, &note);
	if (rc != RC_OK)
		return rc;
	f->in_file = note.kind == NOTE_ARTIFACT;
	f->file = 0;
	f->size = note.size;
	f->note += f->in_file ? 0 : 1;
	return RC_OK;
}

/* As it is now, and not more often than people look. */
static MUST_CHECK enum rc send_state(struct follow *f, bool last)
{
	uint64_t now = clock_monotonic_ms();
	uint32_t version = f->version;
	struct msg_note note;
	enum rc rc;

	if ((!last && now < f->told_ms + STATE_MS) ||
	    !operations_state(
		f->session->executor->operations, f->ticket, &version, &note))
		return RC_OK;
	rc = send_note(f, &note);
	if (rc == RC_OK) {
		f->version = version;
		f->told_ms = now;
	}
	return rc;
}

/* RC_OK: look again later; RC_NOTFOUND: all is told, for ever. */
static MUST_CHECK enum rc pump_notes(struct follow *f, bool ended)
{
	bool later = false;
	enum rc rc = send_state(f, ended);

	for (int i = 0; i < FOLLOW_BURST && rc == RC_OK; i++)
		rc = send_next_note(f, &later);
	return later ? RC_OK : rc;
}

static void look(struct session *s)
{
	struct follow *f = s->follow;
	bool ended;
	enum rc rc = pump(f, &ended);

	if (rc == RC_OK) {
		rc = pump_notes(f, ended);
		ended = ended && rc == RC_NOTFOUND;
		if (rc == RC_NOTFOUND)
			rc = RC_OK;
	}
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
	f->note = attach.notes < UINT32_MAX ? attach.notes + 1 : attach.notes;
	memcpy(f->ticket, attach.ticket, sizeof(f->ticket));
	s->follow = f;
	look(s);
}

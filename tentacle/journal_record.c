#include "tentacle/journal_record.h"

#include "proto/crc.h"

#include <string.h>

static const uint8_t magic[8] = { 'L', 'G', 'J', 'R', 'N', 'L', '\n', 0 };
static const uint8_t mark[4] = { 'L', 'g', 'F', '1' };

/* --- Writing ------------------------------------------------------------ */

/* Into a buffer that is known to be large enough for every valid record. */
struct writer {
	uint8_t *p;
	size_t len, size;
	bool bad;
};

static void put(struct writer *w, const void *data, size_t len)
{
	if (len > w->size - w->len) {
		w->bad = true;
		return;
	}
	memcpy(w->p + w->len, data, len);
	w->len += len;
}

static void put_number(struct writer *w, uint64_t v, size_t bytes)
{
	uint8_t le[8];

	for (size_t i = 0; i < bytes; i++)
		le[i] = (uint8_t)(v >> (8 * i));
	put(w, le, bytes);
}

static void put_text(struct writer *w, const char *text, size_t max)
{
	size_t len = strnlen(text, max);

	if (len == max) {
		w->bad = true;
		return;
	}
	put_number(w, len, 2);
	put(w, text, len);
}

static void put_id(struct writer *w, const char *id)
{
	uint8_t raw[ID_BYTES] = { 0 };

	if (!id_is_valid(id) || hex_parse(id, raw, sizeof(raw)) != RC_OK)
		w->bad = true;
	put(w, raw, sizeof(raw));
}

static void put_accepted(struct writer *w, const struct journal_accepted *a)
{
	put_text(w, a->task, sizeof(a->task));
	put_number(w, a->epoch, 8);
	put_number(w, (uint64_t)a->action, 1);
	put_text(w, a->project, sizeof(a->project));
	put_number(w, a->deployment, 8);
	put(w, a->spec, sizeof(a->spec));
	if (a->supersedes_count > JOURNAL_SUPERSEDES_MAX) {
		w->bad = true;
		return;
	}
	put_number(w, a->supersedes_count, 2);
	for (size_t i = 0; i < a->supersedes_count; i++)
		put_id(w, a->supersedes[i]);
}

static void put_result(struct writer *w, const struct journal_result *r)
{
	put_number(w, (uint64_t)r->state, 1);
	put_number(w, (uint32_t)r->exit_code, 4);
	put_number(w, r->signal, 4);
	put_text(w, reason_name(r->cause), FAULT_TEXT_MAX);
	put_text(w, r->text, sizeof(r->text));
	put_number(w, r->log_size, 8);
	put_text(w, r->log_sha256, sizeof(r->log_sha256));
	put_number(w, r->started_ms, 8);
	put_number(w, r->ended_ms, 8);
}

static void put_fields(struct writer *w, const struct journal_record *r)
{
	switch (r->type) {
	case JOURNAL_ACCEPTED:
		put_accepted(w, &r->accepted);
		break;
	case JOURNAL_EXEC:
	case JOURNAL_PASSED:
		put_number(w, (uint64_t)r->phase, 1);
		break;
	case JOURNAL_ENDED:
		put_result(w, &r->result);
		break;
	case JOURNAL_TOMBSTONE:
		put_text(w, r->task, sizeof(r->task));
		break;
	case JOURNAL_FORGOTTEN:
	case JOURNAL_UNLOCKED:
		break;
	case JOURNAL_SETTLED:
		put_number(w, r->settled, 8);
		break;
	case JOURNAL_EPOCH:
		put_text(w, r->epoch.task, sizeof(r->epoch.task));
		put_number(w, r->epoch.epoch, 8);
		break;
	case JOURNAL_DEPLOYMENT:
		put_text(
		    w, r->deployment.project, sizeof(r->deployment.project));
		put_number(w, r->deployment.number, 8);
		break;
	case JOURNAL_INCARNATION:
		put_number(w, r->incarnation.secs, 8);
		put_id(w, r->incarnation.random);
		break;
	}
}

static bool has_ticket(enum journal_type type)
{
	return type <= JOURNAL_FORGOTTEN || type == JOURNAL_UNLOCKED;
}

enum rc journal_record_encode(
    const struct journal_record *r, uint8_t *out, size_t *len)
{
	struct writer w = { out, 2, JOURNAL_RECORD_MAX, false };
	size_t body;

	put_number(&w, (uint64_t)r->type, 1);
	put_number(&w, r->at_ms, 8);
	if (has_ticket(r->type))
		put_id(&w, r->ticket);
	put_fields(&w, r);
	if (w.bad)
		return RC_PROTO;
	body = w.len - 2;
	out[0] = (uint8_t)body;
	out[1] = (uint8_t)(body >> 8);
	*len = w.len;
	return RC_OK;
}

static uint32_t frame_crc(uint64_t counter, struct bytes records)
{
	uint8_t le[8];

	for (size_t i = 0; i < 8; i++)
		le[i] = (uint8_t)(counter >> (8 * i));
	return crc32_more(
	    crc32_more(0, le, sizeof(le)), records.p, records.len);
}

void journal_frame_encode(
    uint64_t counter, struct bytes records, uint8_t out[JOURNAL_FRAME_HEAD])
{
	struct writer w = { out, 0, JOURNAL_FRAME_HEAD, false };

	put(&w, mark, sizeof(mark));
	put_number(&w, records.len, 4);
	put_number(&w, counter, 8);
	put_number(&w, frame_crc(counter, records), 4);
}

void journal_header_encode(
    const struct journal_header *h, uint8_t out[JOURNAL_HEADER_LEN])
{
	struct writer w = { out, 0, JOURNAL_HEADER_LEN, false };

	put(&w, magic, sizeof(magic));
	put_number(&w, h->version, 4);
	put_id(&w, h->id);
	put_number(&w, h->counter, 8);
	put_number(&w, crc32_more(0, out, w.len), 4);
}

/* --- Reading ------------------------------------------------------------ */

struct reader {
	const uint8_t *p;
	size_t left;
	bool bad;
};

static const uint8_t *take(struct reader *r, size_t len)
{
	const uint8_t *p = r->p;

	if (r->bad || len > r->left) {
		r->bad = true;
		return NULL;
	}
	r->p += len;
	r->left -= len;
	return p;
}

static uint64_t take_number(struct reader *r, size_t bytes)
{
	const uint8_t *p = take(r, bytes);
	uint64_t v = 0;

	for (size_t i = 0; p != NULL && i < bytes; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static void take_text(struct reader *r, char *out, size_t size)
{
	size_t len = (size_t)take_number(r, 2);
	const uint8_t *p;

	out[0] = '\0';
	if (len >= size) {
		r->bad = true;
		return;
	}
	p = take(r, len);
	if (p == NULL)
		return;
	if (len > 0 && memchr(p, 0, len) != NULL) {
		r->bad = true;
		return;
	}
	if (len > 0)
		memcpy(out, p, len);
	out[len] = '\0';
}

static void take_id(struct reader *r, char out[ID_SIZE])
{
	const uint8_t *p = take(r, ID_BYTES);

	out[0] = '\0';
	if (p != NULL)
		hex_format(p, ID_BYTES, out);
}

static void take_accepted(struct reader *r, struct journal_accepted *a)
{
	const uint8_t *spec;
	uint64_t action;

	take_text(r, a->task, sizeof(a->task));
	a->epoch = take_number(r, 8);
	action = take_number(r, 1);
	a->action = action == 1 ? ACTION_SCRIPT : ACTION_ACTIVATE;
	r->bad |= action != 1 && action != 2;
	take_text(r, a->project, sizeof(a->project));
	a->deployment = take_number(r, 8);
	spec = take(r, sizeof(a->spec));
	if (spec != NULL)
		memcpy(a->spec, spec, sizeof(a->spec));
	a->supersedes_count = (size_t)take_number(r, 2);
	if (a->supersedes_count > JOURNAL_SUPERSEDES_MAX) {
		r->bad = true;
		return;
	}
	for (size_t i = 0; i < a->supersedes_count; i++)
		take_id(r, a->supersedes[i]);
}

static void take_result(struct reader *r, struct journal_result *out)
{
	uint64_t state = take_number(r, 1);
	char cause[FAULT_TEXT_MAX];

	r->bad |= state >= TICKET_STATE_COUNT;
	out->state = (enum ticket_state)state;
	out->exit_code = (int32_t)(uint32_t)take_number(r, 4);
	out->signal = (uint32_t)take_number(r, 4);
	take_text(r, cause, sizeof(cause));
	/* Of a newer version: it was a failure in any case. */
	if (reason_parse(cause, &out->cause) != RC_OK)
		out->cause = REASON_INTERNAL;
	take_text(r, out->text, sizeof(out->text));
	out->log_size = take_number(r, 8);
	take_text(r, out->log_sha256, sizeof(out->log_sha256));
	out->started_ms = take_number(r, 8);
	out->ended_ms = take_number(r, 8);
}

static enum run_phase take_phase(struct reader *r)
{
	uint64_t phase = take_number(r, 1);

	r->bad |= phase == 0 || phase >= PHASE_COUNT;
	return (enum run_phase)phase;
}

static void take_fields(struct reader *in, struct journal_record *r)
{
	switch (r->type) {
	case JOURNAL_ACCEPTED:
		take_accepted(in, &r->accepted);
		break;
	case JOURNAL_EXEC:
	case JOURNAL_PASSED:
		r->phase = take_phase(in);
		break;
	case JOURNAL_ENDED:
		take_result(in, &r->result);
		break;
	case JOURNAL_TOMBSTONE:
		if (in->left > 0)
			take_text(in, r->task, sizeof(r->task));
		break;
	case JOURNAL_FORGOTTEN:
	case JOURNAL_UNLOCKED:
		break;
	case JOURNAL_SETTLED:
		r->settled = take_number(in, 8);
		break;
	case JOURNAL_EPOCH:
		take_text(in, r->epoch.task, sizeof(r->epoch.task));
		r->epoch.epoch = take_number(in, 8);
		break;
	case JOURNAL_DEPLOYMENT:
		take_text(
		    in, r->deployment.project, sizeof(r->deployment.project));
		r->deployment.number = take_number(in, 8);
		break;
	case JOURNAL_INCARNATION:
		r->incarnation.secs = take_number(in, 8);
		take_id(in, r->incarnation.random);
		break;
	}
}

/* One record off the frame; *known is false for a type of a newer version. */
static bool take_record(
    struct journal_cursor *c, struct journal_record *r, bool *known)
{
	struct reader in = { c->frame.p, c->frame.len, false };
	size_t len = (size_t)take_number(&in, 2);
	const uint8_t *body = take(&in, len);
	uint64_t type;

	if (body == NULL)
		return false;
	c->frame = bytes_of(in.p, in.left);
	in = (struct reader){ body, len, false };
	type = take_number(&in, 1);
	*known = (type >= JOURNAL_ACCEPTED && type <= JOURNAL_SETTLED) ||
	         type == JOURNAL_UNLOCKED;
	if (!*known) {
		c->newer = type < JOURNAL_SKIPPABLE ? (unsigned)type : 0;
		return !in.bad && c->newer == 0;
	}
	memset(r, 0, sizeof(*r));
	r->type = (enum journal_type)type;
	r->at_ms = take_number(&in, 8);
	if (has_ticket(r->type))
		take_id(&in, r->ticket);
	take_fields(&in, r);
	return !in.bad;
}

struct frame_head {
	size_t len;
	uint64_t counter;
	uint32_t crc;
};

/* A whole, unbroken frame at this offset? */
static bool frame_at(
    struct bytes file, size_t offset, struct frame_head *h, struct bytes *out)
{
	struct reader r = { file.p + offset, file.len - offset, false };
	const uint8_t *m = take(&r, sizeof(mark));
	const uint8_t *records;

	if (m == NULL || memcmp(m, mark, sizeof(mark)) != 0)
		return false;
	h->len = (size_t)take_number(&r, 4);
	h->counter = take_number(&r, 8);
	h->crc = (uint32_t)take_number(&r, 4);
	if (r.bad || h->len > JOURNAL_FRAME_MAX)
		return false;
	records = take(&r, h->len);
	if (records == NULL)
		return false;
	*out = bytes_of(records, h->len);
	return frame_crc(h->counter, *out) == h->crc;
}

/*
 * The frame at c->offset is broken.  When a whole one follows anywhere, this
 * one was synced before it and is rot; else it is a torn end.
 */
static enum rc judge_tail(struct journal_cursor *c, struct fault *fault)
{
	struct frame_head h;
	struct bytes frame;

	for (size_t at = c->offset + 1; at < c->file.len; at++) {
		if (frame_at(c->file, at, &h, &frame)) {
			fault_set(fault, REASON_JOURNAL, "",
			    "the journal is broken from byte %zu to byte %zu",
			    c->offset, at);
			return RC_PROTO;
		}
	}
	return RC_AGAIN;
}

static enum rc next_frame(struct journal_cursor *c, struct fault *fault)
{
	struct frame_head h;

	if (c->offset == c->file.len)
		return RC_NOTFOUND;
	if (!frame_at(c->file, c->offset, &h, &c->frame))
		return judge_tail(c, fault);
	if (h.counter <= c->counter) {
		fault_set(fault, REASON_JOURNAL, "",
		    "the journal's counter goes back at byte %zu", c->offset);
		c->frame.len = 0;
		return RC_PROTO;
	}
	c->counter = h.counter;
	c->offset += JOURNAL_FRAME_HEAD + h.len;
	return RC_OK;
}

void journal_cursor_init(
    struct journal_cursor *c, struct bytes file, uint64_t counter)
{
	*c = (struct journal_cursor){
		.file = file, .offset = JOURNAL_HEADER_LEN, .counter = counter
	};
}

static void tell_unreadable(const struct journal_cursor *c, struct fault *fault)
{
	if (c->newer != 0)
		fault_set(fault, REASON_VERSION, "",
		    "the journal holds a record of type %u, which a newer "
		    "longarm-tentacle has written: go on with that one",
		    c->newer);
	else
		/* Its checksum holds: written wrong, not rot. */
		fault_set(fault, REASON_JOURNAL, "",
		    "the journal holds a record that cannot be read, before "
		    "byte %zu",
		    c->offset);
}

enum rc journal_cursor_next(
    struct journal_cursor *c, struct journal_record *r, struct fault *fault)
{
	for (;;) {
		bool known = false;

		if (c->frame.len == 0) {
			enum rc rc = next_frame(c, fault);

			if (rc != RC_OK)
				return rc;
			continue;
		}
		if (!take_record(c, r, &known)) {
			tell_unreadable(c, fault);
			c->frame.len = 0;
			return RC_PROTO;
		}
		if (known)
			return RC_OK;
	}
}

enum rc journal_header_decode(
    struct bytes in, struct journal_header *h, struct fault *fault)
{
	struct reader r = { in.p, in.len, false };
	const uint8_t *m = take(&r, sizeof(magic));
	uint32_t crc;

	if (m == NULL || memcmp(m, magic, sizeof(magic)) != 0) {
		fault_set(fault, REASON_JOURNAL, "",
		    "this file is not the journal of a tentacle");
		return RC_PROTO;
	}
	h->version = (uint32_t)take_number(&r, 4);
	take_id(&r, h->id);
	h->counter = take_number(&r, 8);
	crc = (uint32_t)take_number(&r, 4);
	if (r.bad || crc != crc32_more(0, in.p, JOURNAL_HEADER_LEN - 4)) {
		fault_set(fault, REASON_JOURNAL, "",
		    "the header of the journal is broken");
		return RC_PROTO;
	}
	if (h->version != JOURNAL_VERSION) {
		fault_set(fault, REASON_VERSION, "",
		    "the journal has version %u, this longarm-tentacle reads "
		    "%d: go on with the one that has written it",
		    h->version, JOURNAL_VERSION);
		return RC_PROTO;
	}
	return RC_OK;
}

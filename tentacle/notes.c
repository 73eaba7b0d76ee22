#include "tentacle/notes.h"

#include "common/fs.h"
#include "common/secret.h"
#include "proto/lenframe.h"
#include "proto/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX  2097152
#define NOTE_ROOM (NOTE_TEXT_MAX + 2048) /* one of them, encoded */

struct note {
	enum note_kind kind;
	bool sensitive;
	uint64_t from, size;
	char *name;
	uint8_t *text;
	size_t text_len;
	char digest[DIGEST_SIZE];
};

struct file {
	char *path, *title;
};

/* Where in a line we are. */
enum place {
	PLACE_BEGIN, /* so far it is as NOTE_LINE_BEGIN */
	PLACE_NOTE,  /* it began so: kept until its end */
	PLACE_TEXT   /* anything else, up to the newline */
};

struct notes {
	struct mask *mask;
	struct note notes[NOTES_MAX];
	size_t count, outputs, warnings_kept;
	struct file files[NOTES_ARTIFACTS_MAX];
	size_t file_count;
	size_t bytes;
	uint32_t percent, warnings, version;
	char text[MSG_TEXT_MAX + 1];
	enum place place;
	uint64_t offset, line_at;
	uint8_t *line; /* NOTE_LINE_MAX + 1 */
	size_t line_len;
};

enum rc notes_new(struct mask *mask, struct notes **out)
{
	struct notes *n = calloc(1, sizeof(*n));

	if (n == NULL)
		return RC_NOMEM;
	n->mask = mask;
	n->line = malloc(NOTE_LINE_MAX + 1);
	if (n->line == NULL) {
		free(n);
		return RC_NOMEM;
	}
	*out = n;
	return RC_OK;
}

static void note_clear(struct note *note)
{
	if (note->text != NULL)
		secret_wipe(note->text, note->text_len);
	free(note->text);
	free(note->name);
}

void notes_free(struct notes *n)
{
	if (n == NULL)
		return;
	for (size_t i = 0; i < n->count; i++)
		note_clear(&n->notes[i]);
	for (size_t i = 0; i < n->file_count; i++) {
		free(n->files[i].path);
		free(n->files[i].title);
	}
	secret_wipe(n->line, NOTE_LINE_MAX + 1);
	free(n->line);
	free(n);
}

/* --- Adding ------------------------------------------------------------- */

static enum rc add(struct notes *n, const struct note *from, const char *name,
    struct bytes text)
{
	struct note note = *from;

	note.name = strdup(name);
	note.text = malloc(text.len + 1);
	if (note.name == NULL || note.text == NULL) {
		free(note.name);
		free(note.text);
		return RC_NOMEM;
	}
	if (text.len > 0)
		memcpy(note.text, text.p, text.len);
	note.text_len = text.len;
	n->bytes += text.len;
	n->notes[n->count++] = note;
	return RC_OK;
}

/* Counted always, kept while there is room. */
static enum rc add_warning(struct notes *n, struct bytes text)
{
	const struct note note = { .kind = NOTE_WARNING, .from = n->line_at };
	uint8_t clean[NOTE_TEXT_MAX];

	n->warnings++;
	n->version++;
	if (n->warnings_kept >= NOTES_WARNINGS_MAX ||
	    n->bytes + text.len > NOTES_BYTES_MAX)
		return RC_OK;
	n->warnings_kept++;
	(void)mask_copy(n->mask, text, clean);
	return add(n, &note, "", bytes_of(clean, text.len));
}

enum rc notes_warn(struct notes *n, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return add_warning(n, bytes_text(text));
}

static enum rc set_output(struct notes *n, const struct note_line *l)
{
	const struct bytes text = bytes_of(l->text, l->text_len);
	struct note note = { .kind = NOTE_OUTPUT,
		.sensitive = l->sensitive || mask_finds(n->mask, text),
		.from = n->line_at };
	enum rc rc = RC_OK;

	if (n->outputs >= NOTES_OUTPUTS_MAX ||
	    n->bytes + text.len > NOTES_BYTES_MAX)
		return notes_warn(n,
		    "output variable %s was dropped: at most %d of %d bytes "
		    "together",
		    l->name, NOTES_OUTPUTS_MAX, NOTES_BYTES_MAX);
	/* As it is written in its own line, and as others will print it. */
	if (note.sensitive)
		rc = mask_add_from(n->mask, l->raw_text, n->line_at);
	if (note.sensitive && rc == RC_OK)
		rc = mask_add_from(n->mask, text, n->line_at);
	if (rc == RC_LIMIT)
		return notes_warn(n,
		    "output variable %s was dropped: too many values to mask",
		    l->name);
	if (rc == RC_OK)
		rc = add(n, &note, l->name, text);
	if (rc == RC_OK)
		n->outputs++;
	return rc;
}

static enum rc set_state(struct notes *n, const struct note_line *l)
{
	size_t len = l->text_len < MSG_TEXT_MAX ? l->text_len : MSG_TEXT_MAX;

	n->percent = l->percent;
	n->version++;
	(void)mask_copy(n->mask, bytes_of(l->text, len), (uint8_t *)n->text);
	n->text[len] = '\0';
	return RC_OK;
}

static enum rc name_file(struct notes *n, const struct note_line *l)
{
	struct file *f = &n->files[n->file_count];

	if (n->file_count >= NOTES_ARTIFACTS_MAX)
		return notes_warn(n, "artifact %.200s was dropped: at most %d",
		    l->title, NOTES_ARTIFACTS_MAX);
	f->path = strdup(l->name);
	f->title = strdup(l->title);
	if (f->path == NULL || f->title == NULL) {
		free(f->path);
		free(f->title);
		return RC_NOMEM;
	}
	(void)mask_copy(n->mask, bytes_text(l->title), (uint8_t *)f->title);
	text_scrub(f->title);
	n->file_count++;
	return RC_OK;
}

enum rc notes_add_artifact(struct notes *n, const char *title, uint64_t size,
    const char digest[DIGEST_SIZE])
{
	struct note note = { .kind = NOTE_ARTIFACT, .size = size };

	memcpy(note.digest, digest, sizeof(note.digest));
	return n->count < NOTES_MAX ? add(n, &note, title, bytes_text(""))
	                            : RC_LIMIT;
}

/* --- Lines -------------------------------------------------------------- */

static enum rc take_line(struct notes *n)
{
	struct note_line *l = malloc(sizeof(*l));
	struct fault why = { 0 };
	size_t len = n->line_len;
	enum rc rc;

	if (l == NULL)
		return RC_NOMEM;
	/* What passed through a terminal or Windows. */
	if (len > 0 && n->line[len - 1] == '\r')
		len--;
	rc = note_line_parse(bytes_of(n->line, len), l, &why);
	if (rc != RC_OK)
		rc = notes_warn(
		    n, "a line of " NOTE_LINE_BEGIN "...] %s", why.text);
	else if (l->kind == NOTE_OUTPUT)
		rc = set_output(n, l);
	else if (l->kind == NOTE_STATE)
		rc = set_state(n, l);
	else if (l->kind == NOTE_ARTIFACT)
		rc = name_file(n, l);
	else
		rc = add_warning(n, bytes_of(l->text, l->text_len));
	secret_wipe(l, sizeof(*l));
	free(l);
	return rc;
}

static enum rc begin_line(struct notes *n)
{
	enum rc rc = n->place == PLACE_NOTE ? take_line(n) : RC_OK;

	n->place = PLACE_BEGIN;
	n->line_len = 0;
	return rc;
}

/* One byte of a line that may be a note, or is one. */
static void take_byte(struct notes *n, uint8_t byte)
{
	static const char begin[] = NOTE_LINE_BEGIN;

	if (n->line_len == 0)
		n->line_at = n->offset;
	if (n->place == PLACE_BEGIN && byte != (uint8_t)begin[n->line_len]) {
		n->place = PLACE_TEXT;
		return;
	}
	if (n->line_len <= NOTE_LINE_MAX)
		n->line[n->line_len++] = byte;
	if (n->place == PLACE_BEGIN && n->line_len == sizeof(begin) - 1)
		n->place = PLACE_NOTE;
}

enum rc notes_feed(struct notes *n, struct bytes data)
{
	size_t at = 0;

	while (at < data.len) {
		const uint8_t *end = NULL;
		size_t len = 1;

		if (data.p[at] == '\n') {
			enum rc rc = begin_line(n);

			if (rc != RC_OK)
				return rc;
		} else if (n->place == PLACE_TEXT) {
			end = memchr(data.p + at, '\n', data.len - at);
			len = end != NULL ? (size_t)(end - data.p) - at
			                  : data.len - at;
		} else {
			take_byte(n, data.p[at]);
		}
		at += len;
		n->offset += len;
	}
	return RC_OK;
}

enum rc notes_end(struct notes *n)
{
	return begin_line(n);
}

uint64_t notes_offset(const struct notes *n)
{
	return n->offset;
}

uint64_t notes_decided(const struct notes *n)
{
	/* What is longer than any note can be is text. */
	return n->place == PLACE_TEXT || n->line_len == 0 ||
	               n->line_len > NOTE_LINE_MAX
	           ? n->offset
	           : n->line_at;
}

/* --- Reading ------------------------------------------------------------ */

size_t notes_count(const struct notes *n)
{
	return n->count;
}

void notes_get(const struct notes *n, size_t number, struct msg_note *out)
{
	const struct note *note = &n->notes[number - 1];

	*out = (struct msg_note){ .number = (uint32_t)number,
		.kind = note->kind,
		.name = bytes_text(note->name),
		.text = bytes_of(note->text, note->text_len),
		.sensitive = note->sensitive,
		.from = note->from,
		.size = note->size };
	memcpy(out->digest, note->digest, sizeof(out->digest));
}

void notes_state(const struct notes *n, struct msg_note *out, uint32_t *version)
{
	*out = (struct msg_note){ .kind = NOTE_STATE,
		.text = bytes_text(n->text),
		.percent = n->percent,
		.warnings = n->warnings };
	*version = n->version;
}

size_t notes_file_count(const struct notes *n)
{
	return n->file_count;
}

const char *notes_file_path(const struct notes *n, size_t i)
{
	return n->files[i].path;
}

const char *notes_file_title(const struct notes *n, size_t i)
{
	return n->files[i].title;
}

/* --- The file ----------------------------------------------------------- */

static enum rc put(uint8_t **at, const uint8_t *end, const struct msg_note *m)
{
	struct packbuf pack;
	struct bytes bytes;
	enum rc rc;

	packbuf_init(&pack, NOTE_ROOM);
	rc = msg_note_encode(m, &pack);
	if (rc == RC_OK)
		rc = packbuf_rc(&pack);
	bytes = packbuf_bytes(&pack);
	if (rc == RC_OK && bytes.len + 4 > (size_t)(end - *at))
		rc = RC_LIMIT;
	if (rc == RC_OK) {
		for (int i = 0; i < 4; i++)
			(*at)[i] = (uint8_t)(bytes.len >> (8 * i));
		memcpy(*at + 4, bytes.p, bytes.len);
		*at += 4 + bytes.len;
	}
	packbuf_fini(&pack);
	return rc;
}

enum rc notes_save(const struct notes *n, const char *path, struct fault *fault)
{
	uint8_t *data = malloc(FILE_MAX), *at = data;
	struct msg_note m;
	uint32_t version;
	enum rc rc = RC_NOMEM;

	if (data == NULL)
		return RC_NOMEM;
	notes_state(n, &m, &version);
	rc = put(&at, data + FILE_MAX, &m);
	for (size_t i = 1; rc == RC_OK && i <= n->count; i++) {
		notes_get(n, i, &m);
		rc = put(&at, data + FILE_MAX, &m);
	}
	if (rc == RC_OK)
		rc = fs_write_atomic(
		    path, data, (size_t)(at - data), 0600, fault);
	secret_wipe(data, (size_t)(at - data));
	free(data);
	return rc;
}

static size_t escape(struct bytes text, uint8_t *out)
{
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.p[i];

		if (c == '\n' || c == '\r' || c == '|' || c == '\'')
			out[len++] = '|';
		if (c == '\n')
			c = 'n';
		else if (c == '\r')
			c = 'r';
		out[len++] = c;
	}
	return len;
}

static enum rc restore(struct notes *n, const struct msg_note *m)
{
	struct note note = { .kind = m->kind,
		.sensitive = m->sensitive,
		.from = m->from,
		.size = m->size };
	uint8_t raw[2 * NOTE_TEXT_MAX];
	char name[MSG_TEXT_MAX + 1];
	enum rc rc = RC_OK;

	if (m->kind == NOTE_STATE) {
		n->percent = m->percent;
		n->warnings = m->warnings;
		n->version = 1;
		(void)snprintf(n->text, sizeof(n->text), "%.*s",
		    (int)m->text.len, (const char *)m->text.p);
		return RC_OK;
	}
	if (n->count == NOTES_MAX || m->number != n->count + 1)
		return RC_PROTO;
	memcpy(note.digest, m->digest, sizeof(note.digest));
	(void)snprintf(name, sizeof(name), "%.*s", (int)m->name.len,
	    (const char *)m->name.p);
	if (m->sensitive)
		rc = mask_add_from(
		    n->mask, bytes_of(raw, escape(m->text, raw)), m->from);
	if (m->sensitive && rc == RC_OK)
		rc = mask_add_from(n->mask, m->text, m->from);
	secret_wipe(raw, sizeof(raw));
	return rc == RC_OK ? add(n, &note, name, m->text) : rc;
}

static enum rc restore_all(struct notes *n, struct bytes file)
{
	enum rc rc = RC_OK;

	while (rc == RC_OK && file.len > 0) {
		struct msg_note m;
		size_t len;

		if (file.len < 4)
			return RC_PROTO;
		len = (size_t)file.p[0] | (size_t)file.p[1] << 8 |
		      (size_t)file.p[2] << 16 | (size_t)file.p[3] << 24;
		if (len > file.len - 4)
			return RC_PROTO;
		rc = msg_note_decode(bytes_of(file.p + 4, len), &m, NULL);
		if (rc != RC_OK)
			return rc;
		rc = restore(n, &m);
		msg_note_clear(&m);
		file = bytes_of(file.p + 4 + len, file.len - 4 - len);
	}
	return rc;
}

enum rc notes_load(struct mask *mask, const char *path, struct notes **out)
{
	struct notes *n = NULL;
	uint8_t *data = NULL;
	size_t len = 0;
	enum rc rc = fs_read_file(path, FILE_MAX, &data, &len, NULL);

	if (rc == RC_OK)
		rc = notes_new(mask, &n);
	if (rc == RC_OK)
		rc = restore_all(n, bytes_of(data, len));
	if (data != NULL)
		secret_wipe(data, len);
	free(data);
	if (rc != RC_OK) {
		notes_free(n);
		return rc;
	}
	*out = n;
	return RC_OK;
}

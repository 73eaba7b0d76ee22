#include "tentacle/notes_base.h"

#include "common/secret.h"
#include "proto/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

enum rc notes_add(struct notes *n, const struct note *from, const char *name,
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

/* Something from this line on is masked of which the file will not tell. */
static void leave_unsaved(struct notes *n)
{
	if (n->unsaved == 0)
		n->unsaved = n->line_at + 1;
}

/* What the script said, for others: masked before it is cut anywhere. */
static void clean_text(const struct notes *n, struct bytes text, uint8_t *out)
{
	(void)mask_copy(n->mask, text, out);
	if (mask_is_full(n->mask) && text.len > 0)
		memset(out, '*', text.len);
}

/* Counted always, kept while there is room; text is masked. */
static enum rc add_warning(struct notes *n, struct bytes text)
{
	const struct note note = { .kind = NOTE_WARNING, .from = n->line_at };

	n->warnings++;
	n->version++;
	if (n->warnings_kept >= NOTES_WARNINGS_MAX ||
	    n->bytes + text.len > NOTES_BYTES_MAX)
		return RC_OK;
	n->warnings_kept++;
	return notes_add(n, &note, "", text);
}

enum rc notes_warn(struct notes *n, const char *format, ...)
{
	uint8_t clean[512];
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void)mask_copy(n->mask, bytes_text(text), clean);
	return add_warning(n, bytes_of(clean, strlen(text)));
}

static enum rc take_warning(struct notes *n, const struct note_line *l)
{
	uint8_t clean[NOTE_TEXT_MAX];

	clean_text(n, bytes_of(l->text, l->text_len), clean);
	return add_warning(n, bytes_of(clean, l->text_len));
}

/* Into the mask first, whatever becomes of the variable. */
static enum rc mask_output(struct notes *n, const struct note_line *l)
{
	enum rc rc;

	/* As it is written in its own line, and as others will print it. */
	rc = mask_add_from(n->mask, l->raw_text, n->line_at);
	if (rc == RC_OK)
		rc = mask_add_from(
		    n->mask, bytes_of(l->text, l->text_len), n->line_at);
	if (rc != RC_LIMIT)
		return rc;
	mask_blank_rest(n->mask, n->line_at);
	leave_unsaved(n);
	rc = notes_warn(n,
	    "output variable %s was dropped: too many values to mask; all that "
	    "follows is masked",
	    l->name);
	return rc == RC_OK ? RC_LIMIT : rc;
}

static enum rc set_output(struct notes *n, const struct note_line *l)
{
	const struct bytes text = bytes_of(l->text, l->text_len);
	const struct note note = { .kind = NOTE_OUTPUT,
		.sensitive = l->sensitive || mask_is_full(n->mask) ||
		             mask_finds(n->mask, text, n->line_at),
		.from = n->line_at };
	enum rc rc = note.sensitive ? mask_output(n, l) : RC_OK;

	if (rc == RC_LIMIT)
		return RC_OK;
	if (rc != RC_OK)
		return rc;
	if (n->outputs >= NOTES_OUTPUTS_MAX ||
	    n->bytes + text.len > NOTES_BYTES_MAX) {
		if (note.sensitive)
			leave_unsaved(n);
		return notes_warn(n,
		    "output variable %s was dropped: at most %d of %d bytes "
		    "together",
		    l->name, NOTES_OUTPUTS_MAX, NOTES_BYTES_MAX);
	}
	rc = notes_add(n, &note, l->name, text);
	if (rc == RC_OK)
		n->outputs++;
	return rc;
}

/* As much as fits, and no character in part. */
static size_t cut(const uint8_t *text, size_t len, size_t max)
{
	if (len <= max)
		return len;
	while (max > 0 && (text[max] & 0xc0) == 0x80)
		max--;
	return max;
}

static enum rc set_state(struct notes *n, const struct note_line *l)
{
	uint8_t clean[NOTE_TEXT_MAX];
	size_t len;

	n->percent = l->percent;
	n->version++;
	clean_text(n, bytes_of(l->text, l->text_len), clean);
	len = cut(clean, l->text_len, MSG_TEXT_MAX);
	memcpy(n->text, clean, len);
	n->text[len] = '\0';
	return RC_OK;
}

static enum rc name_file(struct notes *n, const struct note_line *l)
{
	struct file *f = &n->files[n->file_count];
	char title[sizeof(l->title)] = "";

	clean_text(n, bytes_text(l->title), (uint8_t *)title);
	text_scrub(title);
	if (n->file_count >= NOTES_ARTIFACTS_MAX)
		return notes_warn(n, "artifact %.200s was dropped: at most %d",
		    title, NOTES_ARTIFACTS_MAX);
	f->path = strdup(l->name);
	f->title = strdup(title);
	if (f->path == NULL || f->title == NULL) {
		free(f->path);
		free(f->title);
		return RC_NOMEM;
	}
	n->file_count++;
	return RC_OK;
}

enum rc notes_add_artifact(struct notes *n, const char *title, uint64_t size,
    const char digest[DIGEST_SIZE])
{
	struct note note = { .kind = NOTE_ARTIFACT, .size = size };

	memcpy(note.digest, digest, sizeof(note.digest));
	return n->count < NOTES_MAX ? notes_add(n, &note, title, bytes_text(""))
	                            : RC_LIMIT;
}

/* --- Lines -------------------------------------------------------------- */

/* "set " behind the beginning, and sensitive='yes', or what may be that. */
static bool may_be_sensitive(struct bytes line)
{
	static const char set[] = NOTE_LINE_BEGIN "set ", key[] = "sensitive=";
	const uint8_t *at = line.p, *end = line.p + line.len;

	if (line.len < sizeof(set) - 1 ||
	    memcmp(line.p, set, sizeof(set) - 1) != 0)
		return false;
	if (line.len > NOTE_LINE_MAX)
		return true;
	while ((at = memmem(at, (size_t)(end - at), key, sizeof(key) - 1)) !=
	       NULL) {
		at += sizeof(key) - 1;
		if (end - at < 4 || memcmp(at, "'no'", 4) != 0)
			return true;
	}
	return false;
}

/* What is told of it is read from it when it is masked: it is cut there. */
static enum rc take_unreadable(
    struct notes *n, struct bytes line, struct note_line *l)
{
	struct fault why = { 0 };
	uint8_t *clean;
	enum rc rc;

	if (may_be_sensitive(line)) {
		mask_blank(n->mask, n->line_at, n->offset);
		leave_unsaved(n);
		return notes_warn(n,
		    "a line of " NOTE_LINE_BEGIN "set...] cannot be read: as "
		    "its value may be a secret, the line is masked");
	}
	clean = malloc(line.len + 1);
	if (clean == NULL)
		return RC_NOMEM;
	clean_text(n, line, clean);
	memcpy(clean, NOTE_LINE_BEGIN, sizeof(NOTE_LINE_BEGIN) - 1);
	if (note_line_parse(bytes_of(clean, line.len), l, &why) == RC_OK)
		why.text[0] = '\0';
	rc = notes_warn(n, "a line of " NOTE_LINE_BEGIN "...] %s",
	    why.text[0] != '\0' ? why.text : "cannot be read");
	secret_wipe(clean, line.len);
	free(clean);
	return rc;
}

static enum rc take_line(struct notes *n)
{
	struct note_line *l = malloc(sizeof(*l));
	struct bytes line = bytes_of(n->line, n->line_len);
	enum rc rc;

	if (l == NULL)
		return RC_NOMEM;
	/* What passed through a terminal or Windows. */
	if (line.len > 0 && line.p[line.len - 1] == '\r')
		line.len--;
	rc = note_line_parse(line, l, NULL);
	if (rc != RC_OK)
		rc = take_unreadable(n, line, l);
	else if (l->kind == NOTE_OUTPUT)
		rc = set_output(n, l);
	else if (l->kind == NOTE_STATE)
		rc = set_state(n, l);
	else if (l->kind == NOTE_ARTIFACT)
		rc = name_file(n, l);
	else
		rc = take_warning(n, l);
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
	if (n->line_len <= NOTE_LINE_MAX) {
		n->line[n->line_len++] = byte;
		/* From here on it is shown as it comes: to its end, masked. */
		if (n->line_len > NOTE_LINE_MAX &&
		    may_be_sensitive(bytes_of(n->line, n->line_len)))
			mask_blank(n->mask, n->line_at, UINT64_MAX);
	}
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

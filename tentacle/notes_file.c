/* Notes in the file that outlives the raw log. */
#include "tentacle/notes_base.h"

#include "common/fs.h"
#include "common/secret.h"
#include "proto/lenframe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX  2097152
#define NOTE_ROOM (NOTE_TEXT_MAX + 2048) /* one of them, encoded */

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
	m.from = n->unsaved;
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
		n->unsaved = m->from;
		/* A log that was not masked yet when the power went. */
		if (m->from > 0)
			mask_blank_rest(n->mask, m->from - 1);
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
	return rc == RC_OK ? notes_add(n, &note, name, m->text) : rc;
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

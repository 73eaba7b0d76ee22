/*
 * notes_base.h - the inside of notes: for notes*.c only.
 */
#ifndef TENTACLE_NOTES_BASE_H
#define TENTACLE_NOTES_BASE_H

#include "tentacle/notes.h"

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
	uint64_t
	    unsaved; /* first offset, + 1, of a mask that is not in the file */
	uint8_t *line; /* NOTE_LINE_MAX + 1 */
	size_t line_len;
};

/* One more, of copies; there is room.  RC_NOMEM. */
MUST_CHECK enum rc notes_add(struct notes *n, const struct note *from,
    const char *name, struct bytes text);

#endif

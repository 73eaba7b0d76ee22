/*
 * note.h - what scripts said of themselves: outputs, warnings, artifacts, and
 * how far they are.  SQL thread only.
 */
#ifndef SERVER_STORE_NOTE_H
#define SERVER_STORE_NOTE_H

#include "proto/message_deploy.h"
#include "server/engine/task.h"
#include "server/store/db.h"
#include "server/store/types.h"

struct store_note {
	struct run_key key;
	char ticket[TASK_TICKET_SIZE];
	uint32_t number; /* 1... */
	enum note_kind kind;
	char name[MSG_TEXT_MAX + 1];
	bool sensitive;
	uint8_t *text; /* wrapped when sensitive; never NULL when read */
	size_t text_len;
	uint64_t size;            /* artifact: bytes */
	char digest[DIGEST_SIZE]; /* artifact: of the blob */
	uint64_t at_ms;
	/* For people; filled when read. */
	char machine_id[TASK_MACHINE_SIZE], machine[TASK_MACHINE_SIZE];
	char action[TASK_NAME_SIZE];
};

void store_notes_free(struct store_note *rows, size_t count);

/* Again with the same number is fine.  Those of an earlier ticket of this run
 * go; one of an earlier ticket than the run has now is let go of itself. */
MUST_CHECK enum rc store_note_put(struct db *db, const struct store_note *note);
struct store_note_place {
	struct run_key key;
	uint32_t number;
};
struct store_note_filter {
	uint64_t task;
	enum note_kind kind;                  /* NOTE_KIND_COUNT: all */
	const struct store_note_place *after; /* NULL: from the start */
	uint32_t limit; /* STORE_PAGE_MAX at most; 0: so many */
};
/* By run and number.  The caller frees the rows. */
MUST_CHECK enum rc store_note_list(struct db *db,
    const struct store_note_filter *filter, struct store_note **rows,
    size_t *count);
/* The blob of an artifact.  RC_NOTFOUND: the note is none, or is not there. */
MUST_CHECK enum rc store_note_artifact(struct db *db,
    const struct store_note_place *place, char digest[DIGEST_SIZE]);

/* How far a run is; the last word counts. */
struct store_progress {
	struct run_key key;
	char ticket[TASK_TICKET_SIZE];
	uint32_t percent, warnings;
	char text[MSG_TEXT_MAX + 1];
};
MUST_CHECK enum rc store_progress_put(
    struct db *db, const struct store_progress *p);

#endif

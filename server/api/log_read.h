/*
 * log_read.h - where a reader of a task's log is, as a cursor.
 *
 * The log of a task is the logs of its runs.  A cursor says for each run how
 * much was read; it is short because runs are numbered in the plan's order
 * (block, target, action), all those below `done` are over, and the rest are
 * ranges that are over or single runs with an offset:
 *
 *     2x3.5x2~6~7-9.12_4096
 *     ^ blocks: targets x actions   ^ done ^ over 7 to 9, run 12 at 4096
 *
 * Opaque to clients.  Pure.
 */
#ifndef SERVER_API_LOG_READ_H
#define SERVER_API_LOG_READ_H

#include "proto/rc.h"
#include "server/engine/task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_CURSOR_TEXT  1900        /* with the NUL: fits a query */
#define LOG_CURSOR_MARKS 60          /* the longest fit into the text */
#define LOG_PIECES_MAX   64          /* in one answer */
#define LOG_PIECE_MAX    (64u << 10) /* bytes of one run in one answer */
#define LOG_ANSWER_MAX   (512u << 10)

struct log_mark {
	uint64_t first, last; /* run numbers */
	uint64_t offset;      /* first == last and not over: bytes read */
	bool over;
};

struct log_cursor {
	uint32_t block_count;
	struct {
		uint32_t targets, actions;
	} blocks[TASK_BLOCKS_MAX];
	uint64_t done;
	size_t count;
	struct log_mark marks[LOG_CURSOR_MARKS]; /* sorted, apart */
};

/* RC_PROTO: not a cursor. */
MUST_CHECK enum rc log_cursor_parse(const char *text, struct log_cursor *out);
/* RC_LIMIT: size is below LOG_CURSOR_TEXT. */
MUST_CHECK enum rc log_cursor_format(
    const struct log_cursor *cursor, char *out, size_t size);
/* RC_PROTO: no such run in this task. */
MUST_CHECK enum rc log_cursor_index(const struct log_cursor *cursor,
    const struct run_key *key, uint64_t *index);
/* The key of the run before `done`; false: there is none. */
bool log_cursor_before(const struct log_cursor *cursor, struct run_key *key);
/* How much of a run was read; *over: all of it, and it has ended. */
uint64_t log_cursor_offset(
    const struct log_cursor *cursor, uint64_t index, bool *over);
/* Note it.  RC_LIMIT: no room for one more mark; unchanged. */
MUST_CHECK enum rc log_cursor_set(
    struct log_cursor *cursor, uint64_t index, uint64_t offset, bool over);
/* Has every run been read to its end? */
bool log_cursor_is_done(const struct log_cursor *cursor);

/*
 * Make valid UTF-8 of len bytes for JSON: NUL and broken bytes become '?'.
 * Unless `end`, bytes of a character cut at the end are left for next time.
 * out has len bytes; *used says how many bytes were taken; returns how many
 * were written.
 */
size_t log_clean(
    const uint8_t *data, size_t len, bool end, char *out, size_t *used);

#endif

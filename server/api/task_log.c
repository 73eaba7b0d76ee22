#include "server/api/task_log.h"

#include "common/clock.h"
#include "common/log.h"
#include "server/api/api_base.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RUNS_PAGE   500
#define SETTLE_MS   3000 /* a run that ended without a log's end */
#define LOOK_AT_MAX 20000

struct log_piece {
	struct run_key key;
	uint64_t index, offset, size;
	bool over; /* nothing follows after size */
	char machine[TASK_MACHINE_SIZE];
	char block[TASK_NAME_SIZE];
	char step[TASK_NAME_SIZE];
};

struct log_read {
	struct log_cursor cursor;
	struct store_task task;
	uint64_t until_ms; /* monotonic */
	uint32_t waiting;  /* for so many people when it was asked */
	size_t count;
	uint64_t bytes;
	size_t fresh; /* pieces that need a new mark */
	struct log_piece pieces[LOG_PIECES_MAX];
};

void log_read_free(struct log_read *log)
{
	free(log);
}

static enum rc begin_cursor(struct api_call *call, struct db *db)
{
	struct log_cursor *cursor = &call->log->cursor;
	struct store_task_rows rows = { 0 };
	enum rc rc = store_task_load(db, call->number, &rows, &call->fault);

	*cursor = (struct log_cursor){ 0 };
	if (rc != RC_OK)
		return rc;
	for (uint32_t i = 0; i < rows.plan->block_count && i < TASK_BLOCKS_MAX;
	     i++) {
		cursor->blocks[i].targets = rows.plan->blocks[i].target_count;
		cursor->blocks[i].actions = rows.plan->blocks[i].action_count;
		cursor->block_count = i + 1;
	}
	store_task_rows_clear(&rows);
	return RC_OK;
}

static enum rc begin(struct api_call *call, struct db *db, uint32_t waiting)
{
	const char *after = call_query(call, "after");

	if (call->log != NULL)
		return RC_OK; /* looking again: the cursor goes on */
	call->log = calloc(1, sizeof(*call->log));
	if (call->log == NULL)
		return RC_NOMEM;
	call->log->waiting = waiting;
	call->log->until_ms =
	    clock_monotonic_ms() + call_number(call, "wait", 0) * 1000;
	if (after == NULL || *after == '\0')
		return begin_cursor(call, db);
	if (log_cursor_parse(after, &call->log->cursor) != RC_OK)
		return call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
		    "after: not a cursor of ours");
	return RC_OK;
}

static bool is_over(const struct api_call *call, const struct store_run *run)
{
	int64_t ended_ms = (int64_t)run->row.ended_ms;

	if (!run_state_is_final(run->row.state) ||
	    run->row.decision == DECISION_WAITING ||
	    run->row.decision == DECISION_RETRY)
		return false;
	return run->log_ended || run->row.state == RUN_SKIPPED ||
	       task_state_is_final(call->log->task.row.state) ||
	       ended_ms + SETTLE_MS < clock_wall_ms();
}

static void look_at(struct api_call *call, const struct store_run *run)
{
	struct log_read *log = call->log;
	struct log_piece *piece = &log->pieces[log->count];
	bool over = false, ends = is_over(call, run);
	uint64_t index, offset;

	if (log_cursor_index(&log->cursor, &run->row.key, &index) != RC_OK)
		return;
	offset = log_cursor_offset(&log->cursor, index, &over);
	if (over)
		return;
	if (run->log_size <= offset) {
		if (ends && log->cursor.count + log->fresh < LOG_CURSOR_MARKS)
			(void)!log_cursor_set(
			    &log->cursor, index, offset, true);
		return;
	}
	if (offset == 0 && log->cursor.count + log->fresh >= LOG_CURSOR_MARKS)
		return; /* when others are over */
	if (log->count == LOG_PIECES_MAX || log->bytes >= LOG_ANSWER_MAX)
		return;
	*piece = (struct log_piece){ .key = run->row.key,
		.index = index,
		.offset = offset,
		.size = run->log_size - offset,
		.over = ends };
	if (piece->size > LOG_PIECE_MAX) {
		piece->size = LOG_PIECE_MAX;
		piece->over = false;
	}
	wire_copy(piece->machine, sizeof(piece->machine), run->machine);
	wire_copy(piece->block, sizeof(piece->block), run->block);
	wire_copy(piece->step, sizeof(piece->step), run->action);
	log->bytes += piece->size;
	log->fresh += offset == 0 ? 1 : 0;
	log->count++;
}

enum rc task_log_look(struct api_call *call, struct db *db)
{
	struct store_task task;
	struct run_key after = { 0 };
	size_t count = RUNS_PAGE, looked = 0;
	bool some;
	enum rc rc = task_load(call, db, &task);

	if (rc == RC_OK)
		rc = begin(call, db, task.row.waiting);
	if (rc != RC_OK)
		return rc;
	call->log->task = task;
	call->log->count = 0;
	call->log->bytes = 0;
	call->log->fresh = 0;
	some = log_cursor_before(&call->log->cursor, &after);
	after.task = call->number;
	while (count == RUNS_PAGE && looked < LOOK_AT_MAX) {
		struct store_run *rows = NULL;

		count = 0;
		rc = store_run_list(db, call->number, some ? &after : NULL,
		    RUNS_PAGE, &rows, &count);
		if (rc != RC_OK)
			return rc;
		for (size_t i = 0; i < count; i++)
			look_at(call, &rows[i]);
		if (count > 0)
			after = rows[count - 1].row.key;
		some = true;
		looked += count;
		free(rows);
	}
	return RC_OK;
}

/* Up to size bytes at offset; 0 when the file is not there. */
static size_t read_file(
    const struct api_call *call, const struct log_piece *piece, uint8_t *data)
{
	char path[4096];
	size_t got = 0;
	int fd;

	if (api_log_path(call->options->log_dir, &piece->key, path,
		sizeof(path)) != RC_OK)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		log_warn("api", call->route->operation, "cannot read %s", path);
		return 0;
	}
	while (got < piece->size) {
		ssize_t n = pread(fd, data + got, piece->size - got,
		    (off_t)(piece->offset + got));

		if (n <= 0)
			break;
		got += (size_t)n;
	}
	(void)close(fd);
	return got;
}

static json_t *segment(const struct api_call *call,
    const struct log_piece *piece, uint8_t *data, char *clean, size_t *used)
{
	size_t got = read_file(call, piece, data);
	size_t len = log_clean(data, got, piece->over, clean, used);
	char id[48];

	(void)snprintf(id, sizeof(id), "%u-%u-%u", piece->key.block,
	    piece->key.target, piece->key.action);
	return json_pack("{s:s, s:o, s:o, s:o, s:I, s:o}", "run", id, "machine",
	    json_safe(piece->machine), "block", json_safe(piece->block), "step",
	    json_safe(piece->step), "offset", (json_int_t)piece->offset, "text",
	    json_stringn(clean, len));
}

static enum rc add_segments(struct api_call *call, json_t *segments)
{
	struct log_read *log = call->log;
	uint8_t *data = malloc(LOG_PIECE_MAX);
	char *clean = malloc(LOG_PIECE_MAX);
	enum rc rc = data != NULL && clean != NULL ? RC_OK : RC_NOMEM;

	for (size_t i = 0; i < log->count && rc == RC_OK; i++) {
		const struct log_piece *piece = &log->pieces[i];
		size_t used;
		json_t *one = segment(call, piece, data, clean, &used);

		if (used == 0)
			json_decref(one);
		else if (json_array_append_new(segments, one) != 0)
			rc = RC_NOMEM;
		else
			rc = log_cursor_set(&log->cursor, piece->index,
			    piece->offset + used,
			    piece->over && used == piece->size);
	}
	free(data);
	free(clean);
	return rc;
}

enum rc task_log_answer(struct api_call *call)
{
	struct log_read *log = call->log;
	bool final = task_state_is_final(log->task.row.state);
	char cursor[LOG_CURSOR_TEXT];
	json_t *segments;
	size_t count = log->count;
	enum rc rc;

	if (count == 0 && !final && log->task.row.waiting == log->waiting &&
	    clock_monotonic_ms() < log->until_ms && !call->api->stopping &&
	    call->api->parked_count < API_PARKED_MAX) {
		api_park(call, API_PARKED_LOG, API_RECHECK_MS);
		return RC_AGAIN;
	}
	segments = json_array();
	rc = add_segments(call, segments);
	if (rc == RC_OK &&
	    log_cursor_format(&log->cursor, cursor, sizeof(cursor)) != RC_OK)
		rc = RC_LIMIT;
	if (rc != RC_OK) {
		json_decref(segments);
		return rc;
	}
	return call_answer(call, 200,
	    json_pack("{s:o, s:s, s:b, s:o}", "segments", segments, "cursor",
		cursor, "done", final && count == 0 ? 1 : 0, "task",
		wire_task(&log->task)));
}

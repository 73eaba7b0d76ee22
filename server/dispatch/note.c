/*
 * note.c - what a script says of itself: into rows, its files into blobs, its
 * variables to where later steps find them (outputs.c).  The result of a run is
 * told to the engine only after its notes are committed; what cannot be kept
 * for now, for want of room above all, the machine is asked to tell again.
 */
#include "server/dispatch/work.h"

#include "common/log.h"
#include "common/secret.h"
#include "common/wrap.h"
#include "common/xalloc.h"
#include "proto/text.h"
#include "server/store/note.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARTIFACT_MAX (UINT64_C(64) << 20)

struct note_job {
	struct store_job job;
	struct dispatch *dispatch;
	struct work_run *run;
	struct store_note note; /* text as it is kept */
	uint8_t *plain;         /* an output's value */
	size_t plain_len;
	struct blob_writer *writer; /* an artifact's, complete */
	enum rc finished;           /* of the writer */
	struct blob_digest digest;
	struct fault fault; /* of the writer */
};

static void job_free(struct note_job *j)
{
	if (j->plain != NULL)
		secret_wipe(j->plain, j->plain_len);
	free(j->plain);
	free(j->note.text);
	blob_writer_free(j->writer);
	free(j);
}

/* ---- into the rows ---- */

static enum rc write_note(struct db *db, struct store_job *job)
{
	return store_note_put(
	    db, &CONTAINER_OF(job, struct note_job, job)->note);
}

/* All that it said is kept, or not and must be told again. */
static void settle(struct work_run *run)
{
	struct fault fault;

	if (run->noting > 0)
		return;
	if (run->note_failed) {
		fault_set(&fault,
		    run->note_full ? REASON_NO_SPACE : REASON_INTERNAL,
		    "server", "what %s said could not be kept%s; asking again",
		    run->machine->name,
		    run->note_full ? ": the disk is full" : "");
		run->note_failed = false;
		run->note_full = false;
		run_give_up(run, &fault);
	} else if (run->has_result) {
		run_mark_dirty(run);
	}
}

/* From this one on it is to be told again. */
static void tell_again(struct note_job *j, bool full, const char *why)
{
	struct work_run *run = j->run;

	log_error("dispatch", run->ticket, "%s of %s is not kept: %s",
	    note_kind_name(j->note.kind), run->machine->name, why);
	run->note_failed = true;
	run->note_full = run->note_full || full;
	if (run->notes >= j->note.number)
		run->notes = j->note.number - 1;
}

/* Not an attempt that was let go of while this was written. */
static bool is_current(const struct work_run *run)
{
	struct run_row row;

	return engine_run_row(run->task->dispatch->engine, &run->key, &row) ==
	           RC_OK &&
	       strcmp(row.ticket, run->ticket) == 0;
}

static void on_noted(struct store_job *job, enum rc rc)
{
	struct note_job *j = CONTAINER_OF(job, struct note_job, job);
	struct work_run *run = j->run;

	if (work_closed(j->dispatch)) {
		job_free(j);
		return;
	}
	run->noting--;
	if (rc != RC_OK) {
		tell_again(
		    j, job->full, job->full ? "the disk is full" : rc_name(rc));
	} else if (j->plain != NULL && is_current(run)) {
		work_output_add(run->task, &j->note, j->plain, j->plain_len);
	}
	job_free(j);
	settle(run);
	run_settle(run);
}

static void submit(struct note_job *j)
{
	j->job.run = write_note;
	j->job.done = on_noted;
	work_submit(j->dispatch, &j->job);
}

/* It stays a line for people. */
static void make_warning(struct note_job *j, const char *why)
{
	char text[MSG_TEXT_MAX + 200];

	(void)snprintf(text, sizeof(text), "%s %s is not kept: %s",
	    note_kind_name(j->note.kind), j->note.name, why);
	free(j->note.text);
	j->note.text = (uint8_t *)xstrdup(text);
	j->note.text_len = strlen(text);
	j->note.kind = NOTE_WARNING;
	j->note.name[0] = '\0';
	j->note.digest[0] = '\0';
	j->note.size = 0;
	j->note.sensitive = false;
}

static struct note_job *new_job(
    struct work_run *run, const struct msg_note *note)
{
	struct note_job *j = xcalloc(1, sizeof(*j));

	j->dispatch = run->task->dispatch;
	j->run = run;
	j->note = (struct store_note){ .key = run->key,
		.number = note->number,
		.kind = note->kind,
		.sensitive = note->sensitive,
		.size = note->size,
		.at_ms = work_now_ms() };
	memcpy(j->note.ticket, run->ticket, sizeof(j->note.ticket));
	memcpy(j->note.digest, note->digest, sizeof(j->note.digest));
	(void)snprintf(j->note.name, sizeof(j->note.name), "%.*s",
	    (int)note->name.len, (const char *)note->name.p);
	j->note.text = xcalloc(1, note->text.len + 1);
	j->note.text_len = note->text.len;
	if (note->text.len > 0)
		memcpy(j->note.text, note->text.p, note->text.len);
	run->noting++;
	return j;
}

static void wrap_text(struct note_job *j)
{
	const struct wrap_key *master = j->dispatch->parts.master;
	size_t len = j->note.text_len + WRAP_OVERHEAD;
	uint8_t *wrapped = xcalloc(1, len);
	char context[WORK_CONTEXT_SIZE];

	work_output_context(&j->note.key, j->note.name, context);
	if (master == NULL || wrap_seal(master, context, j->note.text,
				  j->note.text_len, wrapped) != RC_OK) {
		free(wrapped);
		secret_wipe(j->note.text, j->note.text_len);
		make_warning(j, "its value could not be wrapped");
		return;
	}
	secret_wipe(j->note.text, j->note.text_len);
	free(j->note.text);
	j->note.text = wrapped;
	j->note.text_len = len;
}

static void keep_output(struct work_run *run, const struct msg_note *note)
{
	struct note_job *j = new_job(run, note);
	const char *full = work_output_room(run->task, &run->key);

	if (full != NULL) {
		log_warn("dispatch", run->ticket, "%s: variable %s: %s",
		    run->machine->name, j->note.name, full);
		secret_wipe(j->note.text, j->note.text_len);
		make_warning(j, full);
		submit(j);
		return;
	}
	j->plain = xcalloc(1, note->text.len + 1);
	j->plain_len = note->text.len;
	if (note->text.len > 0)
		memcpy(j->plain, note->text.p, note->text.len);
	if (j->note.sensitive)
		wrap_text(j);
	submit(j);
}

/* ---- how far it is ---- */

struct progress_job {
	struct store_job job;
	struct dispatch *dispatch;
	struct store_progress progress;
};

static enum rc write_progress(struct db *db, struct store_job *job)
{
	return store_progress_put(
	    db, &CONTAINER_OF(job, struct progress_job, job)->progress);
}

/* The next one says it better anyway. */
static void on_progress_written(struct store_job *job, enum rc rc)
{
	struct progress_job *j = CONTAINER_OF(job, struct progress_job, job);

	if (!work_closed(j->dispatch) && rc != RC_OK)
		log_debug("dispatch", NULL, "progress: %s", rc_name(rc));
	free(j);
}

static void keep_progress(struct work_run *run, const struct msg_note *note)
{
	struct progress_job *j = xcalloc(1, sizeof(*j));

	j->dispatch = run->task->dispatch;
	j->progress = (struct store_progress){ .key = run->key,
		.percent = note->percent,
		.warnings = note->warnings };
	memcpy(j->progress.ticket, run->ticket, sizeof(j->progress.ticket));
	(void)snprintf(j->progress.text, sizeof(j->progress.text), "%.*s",
	    (int)(note->text.len < MSG_TEXT_MAX ? note->text.len
						: MSG_TEXT_MAX),
	    (const char *)note->text.p);
	text_scrub(j->progress.text);
	j->job.run = write_progress;
	j->job.done = on_progress_written;
	work_submit(j->dispatch, &j->job);
	run->has_state = note->percent > 0 || note->text.len > 0;
	run->stale_state = false;
}

void run_drop_stale_state(struct work_run *run)
{
	const struct msg_note none = { .kind = NOTE_STATE };

	if (run->stale_state)
		keep_progress(run, &none);
}

/* ---- files ---- */

static void finish_file(void *arg)
{
	struct note_job *j = arg;

	j->finished = blob_write_finish(j->writer, &j->digest, NULL, &j->fault);
}

/* It has no room, or no luck, here and now: not what the script is to lose. */
static void give_file_up(struct note_job *j)
{
	struct work_run *run = j->run;

	tell_again(j, j->fault.code == REASON_NO_SPACE, j->fault.text);
	if (run->file == j)
		run->file = NULL;
	run->noting--;
	job_free(j);
	settle(run);
}

static void on_file_finished(void *arg)
{
	struct note_job *j = arg;
	struct work_run *run = j->run;
	char digest[DIGEST_SIZE];

	if (work_closed(j->dispatch)) {
		job_free(j);
		return;
	}
	if (j->finished != RC_OK) {
		give_file_up(j);
		run_settle(run);
		return;
	}
	blob_digest_format(&j->digest, digest);
	if (strcmp(digest, j->note.digest) != 0)
		make_warning(j, "other bytes came than were told");
	blob_writer_free(j->writer);
	j->writer = NULL;
	submit(j);
}

static void end_file(struct work_run *run)
{
	struct note_job *j = run->file;
	struct dispatch *d = j->dispatch;

	run->file = NULL;
	run->notes = j->note.number;
	if (j->writer == NULL) {
		submit(j);
		return;
	}
	d->jobs++;
	if (worker_submit(d->parts.pool, finish_file, on_file_finished, j) !=
	    RC_OK) {
		finish_file(j);
		on_file_finished(j);
	}
}

static void begin_file(struct work_run *run, const struct msg_note *note)
{
	struct note_job *j = new_job(run, note);

	run->file = j;
	run->file_left = note->size;
	if (note->size > ARTIFACT_MAX) {
		make_warning(j, "it is above 64 MiB");
	} else if (blob_write_new(j->dispatch->parts.blobs, note->size,
		       &j->writer, &j->fault) != RC_OK) {
		give_file_up(j);
		return;
	}
	if (run->file_left == 0)
		end_file(run);
}

void run_take_piece(void *arg, uint64_t offset, struct bytes data)
{
	struct work_run *run = arg;
	struct note_job *j = run->file;

	if (j == NULL || data.len > run->file_left)
		return;
	if (j->writer != NULL && blob_write_at(j->writer, offset, data.p,
				     data.len, &j->fault) != RC_OK) {
		give_file_up(j);
		return;
	}
	run->file_left -= data.len;
	if (run->file_left == 0)
		end_file(run);
}

void run_drop_file(struct work_run *run)
{
	if (run->file == NULL)
		return;
	job_free(run->file);
	run->file = NULL;
	run->noting--;
}

void run_take_note(void *arg, const struct msg_note *note)
{
	struct work_run *run = arg;

	run_drop_file(run); /* begun anew on another way */
	if (run->note_failed)
		return; /* it will all be told again from there on */
	if (note->kind == NOTE_STATE) {
		keep_progress(run, note);
		return;
	}
	if (note->number <= run->notes)
		return;
	if (note->kind == NOTE_ARTIFACT) {
		begin_file(run, note);
		return;
	}
	run->notes = note->number;
	if (note->kind == NOTE_OUTPUT)
		keep_output(run, note);
	else
		submit(new_job(run, note));
}

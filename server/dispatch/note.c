/*
 * note.c - what a script says of itself: into rows, its files into blobs, its
 * variables to where later steps find them.  The result of a run is told to
 * the engine only after its notes are committed.
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

#define ARTIFACT_MAX  (UINT64_C(64) << 20)
#define OUTPUTS_MAX   10000 /* of one task, for later steps */
#define LOAD_ROWS_MAX 20000
#define CONTEXT_SIZE  256

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

/* ---- variables for later steps ---- */

static void context_of(
    const struct run_key *key, const char *name, char out[CONTEXT_SIZE])
{
	(void)snprintf(out, CONTEXT_SIZE, "output/task-%llu/%u-%u-%u/%.100s",
	    (unsigned long long)key->task, key->block, key->target, key->action,
	    name);
}

static bool same_run(const struct run_key *a, const struct run_key *b)
{
	return a->block == b->block && a->target == b->target &&
	       a->action == b->action;
}

static void output_end(struct work_output *o)
{
	secret_wipe(o->value, strlen(o->value));
	free(o->value);
	free(o);
}

static void output_free(struct work_task *task, struct work_output *o)
{
	TAILQ_REMOVE(&task->outputs, o, link);
	task->output_count--;
	output_end(o);
}

void work_outputs_free(struct work_task *task)
{
	struct work_output *o, *next;

	for (o = TAILQ_FIRST(&task->outputs); o != NULL; o = next) {
		next = TAILQ_NEXT(o, link);
		output_end(o);
	}
	TAILQ_INIT(&task->outputs);
	task->output_count = 0;
}

/* The last word on a name counts. */
static void add_output(struct work_task *task, const struct store_note *note,
    const uint8_t *value, size_t len)
{
	struct work_output *o, *next;

	for (o = TAILQ_FIRST(&task->outputs); o != NULL; o = next) {
		next = TAILQ_NEXT(o, link);
		if (same_run(&o->key, &note->key) &&
		    (strcmp(o->name, note->name) == 0 ||
			strcmp(o->ticket, note->ticket) != 0))
			output_free(task, o);
	}
	if (task->output_count >= OUTPUTS_MAX ||
	    !variable_is_valid(note->name) || memchr(value, '\0', len) != NULL)
		return;
	o = xcalloc(1, sizeof(*o));
	o->key = note->key;
	(void)snprintf(o->name, sizeof(o->name), "%.40s", note->name);
	memcpy(o->ticket, note->ticket, sizeof(o->ticket));
	o->sensitive = note->sensitive;
	o->value = xcalloc(1, len + 1);
	memcpy(o->value, value, len);
	TAILQ_INSERT_TAIL(&task->outputs, o, link);
	task->output_count++;
}

/* Steps may be called anything; variables may not. */
static void name_output(
    const struct task_action *action, const char *name, char *out, size_t size)
{
	char step[TASK_NAME_SIZE];
	size_t i;

	for (i = 0; action->name[i] != '\0'; i++) {
		char c = action->name[i];
		bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		            (c >= '0' && c <= '9') || c == '_' || c == '-';

		step[i] = '-';
		if (fine)
			step[i] = c;
	}
	step[i] = '\0';
	(void)snprintf(out, size, "Steps.%s.Output.%s", step, name);
}

/* What was said on this machine, and by steps of one machine alone. */
static bool applies(const struct work_run *run, const struct work_output *o)
{
	const struct task_plan *plan = run->task->rows.plan;
	const struct task_block *block = &plan->blocks[o->key.block];

	return block->target_count == 1 ||
	       &plan->machines[block->targets[o->key.target]] == run->machine;
}

enum rc work_outputs_join(
    const struct work_run *run, struct variable_set *set, struct fault *fault)
{
	const struct task_plan *plan = run->task->rows.plan;
	const struct work_output *o;

	TAILQ_FOREACH(o, &run->task->outputs, link)
	{
		const struct task_block *block = &plan->blocks[o->key.block];
		char name[2 * TASK_NAME_SIZE + 32];
		struct variable v = { .name = name,
			.value = o->value,
			.sensitive = o->sensitive };
		enum rc rc;

		if (!applies(run, o))
			continue;
		name_output(&block->actions[o->key.action], o->name, name,
		    sizeof(name));
		if (!variable_name_is_valid(name)) {
			log_warn("dispatch", o->ticket,
			    "%.150s is too long for a variable: a shorter "
			    "name of the step would help",
			    name);
			continue;
		}
		rc = variable_set_add(set, &v, fault);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

/* ---- from the rows ---- */

static enum rc open_text(const struct dispatch *d, const struct store_note *n,
    uint8_t **out, size_t *len)
{
	char context[CONTEXT_SIZE];
	struct fault why;
	enum rc rc;

	if (n->text_len < WRAP_OVERHEAD || d->parts.master == NULL)
		return RC_PROTO;
	*len = n->text_len - WRAP_OVERHEAD;
	*out = malloc(*len + 1);
	if (*out == NULL)
		return RC_NOMEM;
	context_of(&n->key, n->name, context);
	rc = wrap_open(
	    d->parts.master, context, n->text, n->text_len, *out, &why);
	if (rc != RC_OK) {
		log_error("dispatch", n->ticket, "%s: %s", n->name, why.text);
		free(*out);
	}
	return rc;
}

static void take_row(const struct dispatch *d, struct work_task *task,
    const struct store_note *n)
{
	uint8_t *plain = NULL;
	size_t len = 0;

	if (!n->sensitive) {
		add_output(task, n, n->text, n->text_len);
	} else if (open_text(d, n, &plain, &len) == RC_OK) {
		add_output(task, n, plain, len);
		secret_wipe(plain, len);
		free(plain);
	}
}

enum rc work_outputs_load(struct db *db, struct work_task *task)
{
	struct store_note_place after = { .number = 0 };
	struct store_note *rows = NULL;
	size_t count, all = 0;
	bool some = false;
	enum rc rc;

	do {
		rc = store_note_list(db, task->rows.task.row.number,
		    NOTE_OUTPUT, some ? &after : NULL, &rows, &count);
		if (rc != RC_OK)
			return rc;
		for (size_t i = 0; i < count; i++)
			take_row(task->dispatch, task, &rows[i]);
		if (count > 0) {
			after.key = rows[count - 1].key;
			after.number = rows[count - 1].number;
		}
		some = true;
		all += count;
		store_notes_free(rows, count);
	} while (count == STORE_PAGE_MAX && all < LOAD_ROWS_MAX);
	return RC_OK;
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
		fault_set(&fault, REASON_INTERNAL, "server",
		    "what %s said could not be kept; asking again",
		    run->machine->name);
		run->note_failed = false;
		run_give_up(run, &fault);
	} else if (run->has_result) {
		run_mark_dirty(run);
	}
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
		log_error("dispatch", run->ticket, "a note is not kept: %s",
		    rc_name(rc));
		run->note_failed = true;
		if (run->notes >= j->note.number)
			run->notes = j->note.number - 1;
	} else if (j->plain != NULL) {
		add_output(run->task, &j->note, j->plain, j->plain_len);
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
	char context[CONTEXT_SIZE];

	context_of(&j->note.key, j->note.name, context);
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

	j->finished = blob_write_finish(j->writer, &j->digest, NULL, NULL);
}

static void on_file_finished(void *arg)
{
	struct note_job *j = arg;
	char digest[DIGEST_SIZE];

	if (work_closed(j->dispatch)) {
		job_free(j);
		return;
	}
	blob_digest_format(&j->digest, digest);
	if (j->finished != RC_OK)
		make_warning(j, "it could not be written");
	else if (strcmp(digest, j->note.digest) != 0)
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
	struct fault fault = { .code = REASON_NONE };

	run->file = j;
	run->file_left = note->size;
	if (note->size > ARTIFACT_MAX)
		make_warning(j, "it is above 64 MiB");
	else if (blob_write_new(j->dispatch->parts.blobs, note->size,
		     &j->writer, &fault) != RC_OK)
		make_warning(j, fault.text);
	if (run->file_left == 0)
		end_file(run);
}

void run_take_piece(void *arg, uint64_t offset, struct bytes data)
{
	struct work_run *run = arg;
	struct note_job *j = run->file;
	struct fault fault = { .code = REASON_NONE };

	if (j == NULL || data.len > run->file_left)
		return;
	if (j->writer != NULL && blob_write_at(j->writer, offset, data.p,
				     data.len, &fault) != RC_OK) {
		make_warning(j, fault.text);
		blob_writer_free(j->writer);
		j->writer = NULL;
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

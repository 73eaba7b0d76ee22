/*
 * What scripts say, on its way into rows, files and variables.  This file
 * stands in for the rest of the dispatcher, so the linker takes no other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/hex.h"
#include "common/xalloc.h"
#include "server/dispatch/work.h"
#include "server/store/note.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICKET    "0123456789abcdef0123456789abcdef"
#define FILE_TEXT "the report"

/* What was written, as text: "kind number name", and what became of the run. */
struct desk {
	char dir[64];
	struct blob_store *blobs;
	struct dispatch dispatch;
	struct work_task task;
	struct task_plan plan;
	struct task_machine machine;
	struct task_block block;
	struct task_action action;
	uint32_t target;
	struct work_run run;
	struct store_job *jobs[8]; /* not yet answered */
	size_t job_count;
};

static struct desk *desk; /* of the test that runs */
static struct {
	char rows[512];
	unsigned given_up;
	enum reason why;
	enum rc store_says;
	bool store_full;
} seen;

/* ---- the rest of the dispatcher ---- */

uint64_t work_now_ms(void)
{
	return 1;
}

bool work_closed(struct dispatch *d)
{
	(void)d;
	return false;
}

void work_submit(struct dispatch *d, struct store_job *job)
{
	(void)d;
	assert_true(desk->job_count < 8);
	desk->jobs[desk->job_count++] = job;
}

void run_give_up(struct work_run *run, const struct fault *fault)
{
	run_drop_file(run);
	run->has_result = false;
	seen.given_up++;
	seen.why = fault->code;
}

void run_mark_dirty(struct work_run *run)
{
	(void)run;
}

void run_settle(struct work_run *run)
{
	(void)run;
}

enum rc engine_run_row(
    const struct engine *e, const struct run_key *key, struct run_row *out)
{
	(void)e;
	*out = (struct run_row){ .key = *key, .ticket = TICKET };
	return RC_OK;
}

enum rc worker_submit(
    struct worker_pool *pool, loop_fn work, loop_fn done, void *arg)
{
	(void)pool;
	(void)work;
	(void)done;
	(void)arg;
	return RC_LIMIT; /* then it is done at once */
}

enum rc store_note_put(struct db *db, const struct store_note *note)
{
	size_t len = strlen(seen.rows);

	(void)db;
	(void)snprintf(seen.rows + len, sizeof(seen.rows) - len, "%s %u %s;",
	    note_kind_name(note->kind), note->number, note->name);
	return RC_OK;
}

enum rc store_note_list(struct db *db, const struct store_note_filter *filter,
    struct store_note **rows, size_t *count)
{
	(void)db;
	(void)filter;
	(void)rows;
	(void)count;
	return RC_IO;
}

void store_notes_free(struct store_note *rows, size_t count)
{
	(void)rows;
	(void)count;
}

enum rc store_progress_put(struct db *db, const struct store_progress *p)
{
	(void)db;
	(void)p;
	return RC_OK;
}

/* ---- a run that talks ---- */

static int set_up(void **state)
{
	struct desk *d = xcalloc(1, sizeof(*d));
	struct fault fault;

	memset(&seen, 0, sizeof(seen));
	desk = d;
	(void)snprintf(d->dir, sizeof(d->dir), "/tmp/longarm-note-XXXXXX");
	assert_non_null(mkdtemp(d->dir));
	assert_int_equal(blob_store_open(d->dir, &d->blobs, &fault), RC_OK);
	blob_store_set_reserve(d->blobs, 0);
	d->dispatch.parts.blobs = d->blobs;
	d->action.type = ACTION_TYPE_SCRIPT;
	d->block = (struct task_block){ .action_count = 1,
		.actions = &d->action,
		.target_count = 1,
		.targets = &d->target };
	d->plan = (struct task_plan){ .number = 1,
		.machine_count = 1,
		.machines = &d->machine,
		.block_count = 1,
		.blocks = &d->block };
	d->task.dispatch = &d->dispatch;
	d->task.rows.plan = &d->plan;
	d->run.task = &d->task;
	d->run.key.task = 1;
	d->run.machine = &d->machine;
	d->run.action = &d->action;
	memcpy(d->run.ticket, TICKET, sizeof(TICKET));
	*state = d;
	return 0;
}

static int tear_down(void **state)
{
	struct desk *d = *state;
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY);

	run_drop_file(&d->run);
	work_outputs_free(&d->task);
	blob_store_close(d->blobs);
	assert_int_equal(fs_remove_tree(fd, d->dir + 5, NULL), RC_OK);
	(void)close(fd);
	free(d);
	return 0;
}

static void say(struct desk *d, uint32_t number, enum note_kind kind,
    const char *name, const char *text)
{
	const struct msg_note note = { .number = number,
		.kind = kind,
		.name = bytes_text(name),
		.text = bytes_text(text) };

	run_take_note(&d->run, &note);
}

/* An artifact, whole; its digest is that of FILE_TEXT. */
static void send_file(struct desk *d, uint32_t number, const char *text)
{
	struct msg_note note = { .number = number,
		.kind = NOTE_ARTIFACT,
		.name = bytes_text("report"),
		.size = strlen(text) };
	struct blob_digest digest;

	assert_int_equal(
	    blob_digest_of(FILE_TEXT, strlen(FILE_TEXT), &digest), RC_OK);
	blob_digest_format(&digest, note.digest);
	run_take_note(&d->run, &note);
	run_take_piece(&d->run, 0, bytes_text(text));
}

/* What was submitted is written, or as the store says. */
static void commit(struct desk *d)
{
	for (size_t i = 0; i < d->job_count; i++) {
		struct store_job *job = d->jobs[i];
		enum rc rc = seen.store_says;

		job->full = seen.store_full;
		if (rc == RC_OK)
			rc = job->run(NULL, job);
		job->done(job, rc);
	}
	d->job_count = 0;
}

/* ---- tests ---- */

static void test_what_is_said_is_kept_in_order(void **state)
{
	struct desk *d = *state;

	say(d, 1, NOTE_OUTPUT, "Url", "http://x");
	say(d, 2, NOTE_WARNING, "", "careful");
	send_file(d, 3, FILE_TEXT);
	commit(d);
	assert_string_equal(
	    seen.rows, "output 1 Url;warning 2 ;artifact 3 report;");
	assert_int_equal(seen.given_up, 0);
	assert_int_equal(d->run.noting, 0);
	assert_int_equal(d->run.notes, 3);
	/* On another way it is told again. */
	say(d, 2, NOTE_WARNING, "", "careful");
	assert_int_equal(d->job_count, 0);
}

static void test_a_file_without_room_is_told_again(void **state)
{
	struct desk *d = *state;

	say(d, 1, NOTE_WARNING, "", "careful");
	blob_store_set_reserve(d->blobs, UINT64_MAX / 2);
	send_file(d, 2, FILE_TEXT);
	/* What follows would hide that one is missing. */
	say(d, 3, NOTE_WARNING, "", "more");
	commit(d);
	assert_int_equal(seen.given_up, 1);
	assert_int_equal(seen.why, REASON_NO_SPACE);
	assert_int_equal(d->run.notes, 1);
	assert_string_equal(seen.rows, "warning 1 ;");
	blob_store_set_reserve(d->blobs, 0);
	send_file(d, 2, FILE_TEXT);
	say(d, 3, NOTE_WARNING, "", "more");
	commit(d);
	assert_string_equal(
	    seen.rows, "warning 1 ;artifact 2 report;warning 3 ;");
	assert_int_equal(seen.given_up, 1);
}

static void test_a_row_without_room_is_told_again(void **state)
{
	struct desk *d = *state;

	say(d, 1, NOTE_OUTPUT, "Url", "http://x");
	d->run.has_result = true;
	seen.store_says = RC_IO;
	seen.store_full = true;
	commit(d);
	assert_int_equal(seen.given_up, 1);
	assert_int_equal(seen.why, REASON_NO_SPACE);
	assert_int_equal(d->run.notes, 0);
	assert_false(d->run.has_result);
}

static void test_other_bytes_than_told_and_too_many_are_a_warning(void **state)
{
	struct desk *d = *state;
	const struct msg_note large = { .number = 2,
		.kind = NOTE_ARTIFACT,
		.name = bytes_text("core"),
		.size = UINT64_C(1) << 40 };

	send_file(d, 1, "some other");
	commit(d);
	run_take_note(&d->run, &large);
	assert_string_equal(seen.rows, "warning 1 ;");
	assert_int_equal(seen.given_up, 0);
	run_drop_file(&d->run);
}

static void test_a_variable_too_many_is_a_warning_with_words(void **state)
{
	struct desk *d = *state;

	for (unsigned i = 1; i <= 1001; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "V%u", i);
		seen.rows[0] = '\0';
		say(d, i, NOTE_OUTPUT, name, "x");
		commit(d);
	}
	assert_string_equal(seen.rows, "warning 1001 ;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_what_is_said_is_kept_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_a_file_without_room_is_told_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_a_row_without_room_is_told_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_other_bytes_than_told_and_too_many_are_a_warning,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_a_variable_too_many_is_a_warning_with_words, set_up,
		    tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A result goes out, whatever a script or a disk did to the files of its
 * ticket. */
#include "test/tentacle/operations_world.h"

#include <sys/stat.h>

static char path[FS_PATH_MAX];

/* A file of the ticket's directory. */
static const char *file_of(const struct msg_start *m, const char *name)
{
	(void)snprintf(
	    path, sizeof(path), "%s/runs/%s/%s", state_dir, m->ticket, name);
	return path;
}

static struct msg_note note_of(const struct msg_start *m, uint32_t number)
{
	struct msg_note note;

	assert_int_equal(operations_note(ops, m->ticket, number, &note), RC_OK);
	return note;
}

static void assert_warned(
    const struct msg_start *m, uint32_t number, const char *part)
{
	const struct msg_note note = note_of(m, number);

	assert_int_equal(note.kind, NOTE_WARNING);
	if (memmem(note.text.p, note.text.len, part, strlen(part)) == NULL)
		fail_msg("%.*s", (int)note.text.len, (const char *)note.text.p);
}

static void restart(void)
{
	shut_down();
	start_up();
}

static void test_files_named_as_ours_are_the_scripts_own(void **state)
{
	static struct msg_pair secrets[1];
	struct msg_start m = script(1,
	    "for f in notes output secrets spec script run-script; do\n"
	    "echo mine >$f || exit 9; done\n"
	    "mkdir artifacts; echo body >artifacts/2; pwd\n"
	    "longarm-step artifact artifacts/2\n"
	    "longarm-step set A b; cat $LONGARM_SECRETS_DIR/key\n"
	    "test $(pwd) = $LONGARM_RUN_DIR\n");
	struct runlog_range range = { .out = (uint8_t *)log_text, .size = 64 };
	struct msg_result r;

	(void)state;
	secrets[0] =
	    (struct msg_pair){ bytes_text("key"), bytes_text("hunter22") };
	m.script.secrets.items = secrets;
	m.script.secrets.count = 1;
	start(&m);
	r = finish(1);
	assert_int_equal(r.cause.code, REASON_NONE);
	assert_null(strstr(log_text, "hunter22"));
	assert_non_null(strstr(log_text, "********"));
	for (int life = 0; life < 2; life++) {
		assert_true(bytes_equal(note_of(&m, 1).name, bytes_text("A")));
		assert_int_equal(note_of(&m, 2).kind, NOTE_ARTIFACT);
		assert_int_equal(note_of(&m, 2).size, 5);
		operations_artifact(ops, m.ticket, 2, 5, &range);
		assert_int_equal(range.got, 5);
		assert_memory_equal(log_text, "body\n", 5);
		restart();
	}
}

/* Its variables are lost, so it did not succeed; its log is masked and told. */
static void test_notes_that_cannot_be_saved_are_told_as_a_cause(void **state)
{
	static struct msg_pair secrets[1];
	struct msg_start m =
	    script(2, "mkdir $LONGARM_RUN_DIR/../notes; longarm-step set A b\n"
		      "cat $LONGARM_SECRETS_DIR/key\n");
	struct msg_result r;

	(void)state;
	secrets[0] =
	    (struct msg_pair){ bytes_text("key"), bytes_text("hunter22") };
	m.script.secrets.items = secrets;
	m.script.secrets.count = 1;
	start(&m);
	r = finish(2);
	assert_int_equal(r.state, TICKET_EXITED);
	assert_int_not_equal(r.cause.code, REASON_NONE);
	assert_non_null(strstr(r.cause.text, "/notes"));
	assert_true(r.log_size > 0 && r.log_sha256[0] != '\0');
	assert_non_null(strstr(log_text, "********"));
	assert_null(strstr(log_text, "hunter22"));
	restart();
	assert_warned(&m, 1, "cannot be read");
}

static void test_notes_that_cannot_be_read_are_a_warning(void **state)
{
	struct msg_start m = script(3, "longarm-step set A b\n");
	struct msg_note note;

	(void)state;
	start(&m);
	assert_int_equal(finish(3).cause.code, REASON_NONE);
	assert_int_equal(note_of(&m, 1).kind, NOTE_OUTPUT);
	assert_int_equal(
	    fs_write_atomic(file_of(&m, "notes"), "garbage", 7, 0600, NULL),
	    RC_OK);
	restart();
	assert_warned(&m, 1, "cannot be read");
	assert_int_equal(operations_note(ops, m.ticket, 2, &note), RC_NOTFOUND);
}

static void test_a_run_goes_on_when_its_notes_cannot_be_read(void **state)
{
	struct msg_start m =
	    script(4, "echo x >$LONGARM_RUN_DIR/../notes; echo up\n"
		      "while [ ! -e stop ]; do sleep 0.02; done\n"
		      "longarm-step set A b\n");

	(void)state;
	start(&m);
	wait_text(4, "up\n");
	restart();
	wait_text(4, "up\n");
	assert_int_equal(
	    fs_write_atomic(file_of(&m, "work/stop"), "", 0, 0600, NULL),
	    RC_OK);
	assert_int_equal(finish(4).cause.code, REASON_NONE);
	assert_warned(&m, 1, "cannot be read");
	assert_true(bytes_equal(note_of(&m, 2).name, bytes_text("A")));
}

static void test_files_that_cannot_be_kept_are_warnings(void **state)
{
	struct msg_start m = script(5,
	    "umask 022; mkdir $LONGARM_RUN_DIR/../artifacts; echo x >file\n"
	    "longarm-step artifact file; longarm-step set A b\n");

	(void)state;
	start(&m);
	assert_int_equal(finish(5).cause.code, REASON_NONE);
	assert_true(bytes_equal(note_of(&m, 1).name, bytes_text("A")));
	assert_warned(&m, 2, "artifact file: not kept: ");
}

static void test_a_kept_file_that_is_gone_is_a_warning(void **state)
{
	struct msg_start m =
	    script(6, "echo one >1; echo two >2; longarm-step artifact 1\n"
		      "longarm-step artifact 2; longarm-step artifact 1 3\n");
	struct runlog_range range = { .out = (uint8_t *)log_text, .size = 3 };

	(void)state;
	start(&m);
	assert_int_equal(finish(6).cause.code, REASON_NONE);
	assert_int_equal(unlink(file_of(&m, "artifacts/1")), 0);
	assert_int_equal(truncate(file_of(&m, "artifacts/2"), 3), 0);
	assert_warned(&m, 1, "artifact 1: ");
	assert_warned(&m, 2, "artifact 2: ");
	/* Told to be there, and gone in mid-course: as many bytes come. */
	assert_int_equal(note_of(&m, 3).kind, NOTE_ARTIFACT);
	operations_artifact(ops, m.ticket, 3, 4, &range);
	assert_memory_equal(log_text, "one", range.got);
	assert_int_equal(unlink(file_of(&m, "artifacts/3")), 0);
	range.offset += range.got;
	operations_artifact(ops, m.ticket, 3, 4, &range);
	assert_int_equal(range.got, 1);
	assert_int_equal(log_text[0], '\0');
	range.offset += range.got;
	operations_artifact(ops, m.ticket, 3, 4, &range);
	assert_int_equal(range.got, 0);
}

/* Nothing of what it printed may be told, and its end is. */
static void test_a_run_without_its_mask_ends_as_unknown(void **state)
{
	struct msg_start m = script(7,
	    "cd ..; rm spec; mkdir secrets secrets/y; echo >secrets/x\n"
	    "echo up; while [ -d secrets ]; do sleep 0.02; done\n");
	struct msg_result r;

	(void)state;
	start(&m);
	wait_text(7, "up\n");
	restart();
	r = finish(7);
	assert_int_equal(r.state, TICKET_UNKNOWN);
	assert_int_equal(r.log_size, 0);
}

static void forget(const struct msg_start *m)
{
	struct msg_forget forget = { .id = 99 };
	struct packbuf b;
	struct msg_id id;

	memcpy(id.text, m->ticket, sizeof(id.text));
	forget.tickets.items = &id;
	forget.tickets.count = 1;
	packbuf_init(&b, LENFRAME_STANDING_MAX);
	assert_int_equal(msg_forget_encode(&forget, &b), RC_OK);
	request(&b);
}

static bool is_gone(void)
{
	return access(path, F_OK) != 0;
}

/* It is cancelled, told and forgotten before its worker has sealed it. */
static void test_a_ticket_forgotten_at_work_leaves_nothing(void **state)
{
	struct msg_start m =
	    script(8, "echo up; while :; do sleep 0.02; done\n");

	(void)state;
	shut_down();
	config.running_max = 1;
	start_up();
	start(&m);
	m = script(9, "echo never\n");
	start(&m);
	wait_text(8, "up\n");
	assert_int_equal(cancel(9).state, TICKET_CANCELLED);
	forget(&m);
	(void)file_of(&m, "");
	assert_false(is_gone());
	wait_until(is_gone);
	cancel(8);
	assert_int_equal(finish(8).state, TICKET_CANCELLED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_files_named_as_ours_are_the_scripts_own),
		TEST(test_notes_that_cannot_be_saved_are_told_as_a_cause),
		TEST(test_notes_that_cannot_be_read_are_a_warning),
		TEST(test_a_run_goes_on_when_its_notes_cannot_be_read),
		TEST(test_files_that_cannot_be_kept_are_warnings),
		TEST(test_a_kept_file_that_is_gone_is_a_warning),
		TEST(test_a_run_without_its_mask_ends_as_unknown),
		TEST(test_a_ticket_forgotten_at_work_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tentacle/notes.h"

#include "common/fs.h"
#include "test/support/alloc.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct mask *mask;
static struct notes *notes;

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(mask_new(&mask), RC_OK);
	assert_int_equal(mask_add(mask, bytes_text("hunter22")), RC_OK);
	assert_int_equal(notes_new(mask, &notes), RC_OK);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	notes_free(notes);
	mask_free(mask);
	return 0;
}

static void feed(const char *text)
{
	assert_int_equal(notes_feed(notes, bytes_text(text)), RC_OK);
}

static struct msg_note get(size_t number)
{
	struct msg_note m;

	assert_true(number <= notes_count(notes));
	notes_get(notes, number, &m);
	return m;
}

static void assert_note(
    size_t number, enum note_kind kind, const char *name, const char *text)
{
	const struct msg_note m = get(number);

	assert_int_equal(m.kind, kind);
	assert_true(bytes_equal(m.name, bytes_text(name)));
	if (!bytes_equal(m.text, bytes_text(text)))
		fail_msg("'%.*s', not '%s'", (int)m.text.len,
		    (const char *)m.text.p, text);
}

static uint32_t warnings(void)
{
	struct msg_note m;
	uint32_t version;

	notes_state(notes, &m, &version);
	return m.warnings;
}

/* --- Lines -------------------------------------------------------------- */

static void test_each_verb_is_read(void **state)
{
	struct msg_note m;
	uint32_t version;

	(void)state;
	feed("plain\n"
	     "##longarm[set name='Url' value='http://x']\n"
	     "##longarm[warning text='low disk']\r\n"
	     "##longarm[progress percent='40' text='copying']\n"
	     "##longarm[artifact path='out/report.html']\n"
	     "##longarm[artifact path='a' name='b']\n");
	assert_int_equal(notes_count(notes), 2);
	assert_note(1, NOTE_OUTPUT, "Url", "http://x");
	assert_int_equal(get(1).from, 6);
	assert_false(get(1).sensitive);
	assert_note(2, NOTE_WARNING, "", "low disk");
	notes_state(notes, &m, &version);
	assert_int_equal(m.percent, 40);
	assert_true(bytes_equal(m.text, bytes_text("copying")));
	assert_int_equal(m.warnings, 1);
	assert_int_equal(notes_file_count(notes), 2);
	assert_string_equal(notes_file_path(notes, 0), "out/report.html");
	assert_string_equal(notes_file_title(notes, 0), "report.html");
	assert_string_equal(notes_file_title(notes, 1), "b");
}

static void test_escapes_are_undone(void **state)
{
	(void)state;
	feed("##longarm[set name='V' value='a||b|'c|nd|re]']\n");
	assert_note(1, NOTE_OUTPUT, "V", "a|b'c\nd\re]");
}

static void test_what_is_no_note_stays_text_and_is_a_warning(void **state)
{
	static const char *const wrong[] = {
		"##longarm[]\n",
		"##longarm[fly to='moon']\n",
		"##longarm[set name='X']\n",
		"##longarm[set name='9' value='x']\n",
		"##longarm[set name='X' value='x' extra='x']\n",
		"##longarm[set name='X' name='Y' value='x']\n",
		"##longarm[set name='X' value='x' sensitive='maybe']\n",
		"##longarm[set name='X' value='|x']\n",
		"##longarm[set name='X' value='x\n",
		"##longarm[set name='X' value='x'] and more\n",
		"##longarm[set  name='X' value='x']\n",
		"##longarm[progress percent='101']\n",
		"##longarm[progress percent='-1']\n",
		"##longarm[progress percent='4 0']\n",
		"##longarm[artifact path='']\n",
		"##longarm[artifact path='x/']\n",
		"##longarm[artifact path='x' name='../x']\n",
		"##longarm[artifact path='x' name='.ssh']\n",
		"##longarm[set name='X' value='a\x1b']\n",
		("##longarm[set name='Steps.other.Output.X.and.so.on.for.ever.on'"
		 " value='x']\n"),
	};
	const size_t count = sizeof(wrong) / sizeof(wrong[0]);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		feed(wrong[i]);
		assert_int_equal(warnings(), i + 1);
	}
	feed("##longarm [set name='X' value='x']\n"
	     " ##longarm[set name='X' value='x']\n##longar\n");
	assert_int_equal(warnings(), count);
	for (size_t i = 1; i <= notes_count(notes); i++)
		assert_int_equal(get(i).kind, NOTE_WARNING);
	assert_int_equal(notes_file_count(notes), 0);
}

static void test_it_is_the_same_fed_byte_by_byte(void **state)
{
	static const char text[] = "a\n##longarm[set name='V' value='w']\n"
				   "##longarm[warning text='x']";

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		assert_int_equal(
		    notes_feed(notes, bytes_of((const uint8_t *)text + i, 1)),
		    RC_OK);
		assert_int_equal(notes_offset(notes), i + 1);
	}
	assert_int_equal(notes_count(notes), 1);
	assert_int_equal(notes_end(notes), RC_OK);
	assert_int_equal(notes_count(notes), 2);
	assert_note(2, NOTE_WARNING, "", "x");
}

/* --- Secrets ------------------------------------------------------------ */

static void test_a_sensitive_value_is_masked_from_its_line_on(void **state)
{
	static const char text[] =
	    "pass word\n##longarm[set name='P' value='pass word' "
	    "sensitive='yes']\npass word\n";
	static const char masked[] =
	    "pass word\n##longarm[set name='P' value='*********' "
	    "sensitive='yes']\n*********\n";
	char out[sizeof(text)] = "";

	(void)state;
	feed(text);
	assert_true(get(1).sensitive);
	(void)mask_copy_at(mask, 0, bytes_text(text), (uint8_t *)out);
	assert_string_equal(out, masked);
	/* Any part of it alone. */
	for (size_t at = 0; at < sizeof(text) - 1; at++) {
		memset(out, 0, sizeof(out));
		(void)mask_copy_at(
		    mask, at, bytes_text(text + at), (uint8_t *)out);
		if (at <= 10)
			assert_string_equal(out + (10 - at), masked + 10);
	}
}

static void test_an_escaped_value_is_masked_as_it_is_written(void **state)
{
	static const char text[] =
	    "##longarm[set name='P' value='it|'s|nme!' sensitive='yes']\n";
	char out[sizeof(text)] = "";

	(void)state;
	feed(text);
	(void)mask_copy_at(mask, 0, bytes_text(text), (uint8_t *)out);
	assert_null(strstr(out, "it|'s"));
	assert_null(strstr(out, "me!"));
}

static void test_what_holds_a_secret_is_one(void **state)
{
	(void)state;
	feed("##longarm[set name='P' value='x-hunter22-y']\n"
	     "##longarm[warning text='it is hunter22']\n"
	     "##longarm[progress percent='1' text='hunter22']\n"
	     "##longarm[artifact path='hunter22']\n");
	assert_true(get(1).sensitive);
	assert_note(1, NOTE_OUTPUT, "P", "x-hunter22-y");
	assert_note(2, NOTE_WARNING, "", "it is ********");
	assert_string_equal(notes_file_title(notes, 0), "********");
}

static void test_a_line_that_is_not_whole_holds_back(void **state)
{
	(void)state;
	feed("text");
	assert_int_equal(notes_decided(notes), 4);
	feed("\n##lon");
	assert_int_equal(notes_decided(notes), 5);
	feed("garm[set name='P' value='secret");
	assert_int_equal(notes_decided(notes), 5);
	feed("' sensitive='yes']\n");
	assert_int_equal(notes_decided(notes), notes_offset(notes));
	feed("##longer");
	assert_int_equal(notes_decided(notes), notes_offset(notes));
}

/* --- Limits ------------------------------------------------------------- */

static void test_a_flood_is_counted_and_dropped(void **state)
{
	(void)state;
	for (int i = 0; i < 5000; i++)
		feed("##longarm[set name='A' value='b']\n"
		     "##longarm[warning text='w']\n"
		     "##longarm[artifact path='f']\n");
	assert_true(notes_count(notes) <= NOTES_MAX);
	assert_int_equal(notes_file_count(notes), NOTES_ARTIFACTS_MAX);
	assert_true(warnings() >= 5000);
}

static void test_a_line_without_an_end_is_let_through(void **state)
{
	(void)state;
	feed("##longarm[warning text='");
	for (int i = 0; i < NOTE_LINE_MAX / 10 + 10; i++)
		feed("xxxxxxxxxx");
	assert_int_equal(notes_decided(notes), notes_offset(notes));
	feed("']\n");
	assert_int_equal(warnings(), 1);
	assert_non_null(strstr((const char *)get(1).text.p, "too long"));
}

static void test_values_that_cannot_be_masked_are_not_set(void **state)
{
	char line[128];

	(void)state;
	for (int i = 0; i < 300; i++) {
		(void)snprintf(line, sizeof(line), "pattern-number-%d", i);
		assert_int_equal(mask_add(mask, bytes_text(line)), RC_OK);
	}
	for (int i = 0; i < 300; i++) {
		(void)snprintf(line, sizeof(line),
		    "##longarm[set name='A' value='secret-value-%d' "
		    "sensitive='yes']\n",
		    i);
		feed(line);
	}
	for (size_t i = 1; i <= notes_count(notes); i++) {
		const struct msg_note m = get(i);

		assert_true(m.kind != NOTE_OUTPUT ||
			    mask_finds(mask, m.text, UINT64_MAX));
	}
}

/* --- The file ----------------------------------------------------------- */

static void test_what_was_saved_is_there_again_with_its_mask(void **state)
{
	char path[] = "/tmp/longarm-notes-XXXXXX", out[64] = "";
	struct mask *other = NULL;
	struct notes *back = NULL;
	struct msg_note m;
	uint32_t version;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	(void)close(fd);
	feed("##longarm[set name='A' value='plain']\n"
	     "##longarm[set name='P' value='pa|'ss' sensitive='yes']\n"
	     "##longarm[progress percent='9' text='on']\n");
	assert_int_equal(notes_add_artifact(notes, "file", 7,
			     "00112233445566778899aabbccddeeff"
			     "00112233445566778899aabbccddeeff"),
	    RC_OK);
	assert_int_equal(notes_save(notes, path, NULL), RC_OK);
	assert_int_equal(mask_new(&other), RC_OK);
	assert_int_equal(notes_load(other, path, &back), RC_OK);
	assert_int_equal(notes_count(back), 3);
	notes_get(back, 2, &m);
	assert_true(m.sensitive);
	assert_true(bytes_equal(m.text, bytes_text("pa'ss")));
	(void)mask_copy_at(
	    other, 38, bytes_text("value='pa|'ss' pa'ss"), (uint8_t *)out);
	assert_string_equal(out, "value='******' *****");
	notes_get(back, 3, &m);
	assert_int_equal(m.kind, NOTE_ARTIFACT);
	assert_int_equal(m.size, 7);
	notes_state(back, &m, &version);
	assert_int_equal(m.percent, 9);
	notes_free(back);
	mask_free(other);
	assert_int_equal(unlink(path), 0);
}

static void test_a_broken_file_is_refused(void **state)
{
	char path[] = "/tmp/longarm-notes-XXXXXX";
	struct notes *back = NULL;
	uint8_t *data = NULL;
	size_t len = 0;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	(void)close(fd);
	feed("##longarm[set name='A' value='plain']\n");
	assert_int_equal(notes_save(notes, path, NULL), RC_OK);
	assert_int_equal(fs_read_file(path, 65536, &data, &len, NULL), RC_OK);
	for (size_t cut = 1; cut < len; cut++) {
		enum rc rc;

		assert_int_equal(
		    fs_write_atomic(path, data, cut, 0600, NULL), RC_OK);
		rc = notes_load(mask, path, &back);
		if (rc == RC_OK) {
			assert_int_equal(notes_count(back), 0);
			notes_free(back);
		}
	}
	free(data);
	assert_int_equal(unlink(path), 0);
}

static void test_without_memory_it_says_so(void **state)
{
	(void)state;
	for (size_t n = 0;; n++) {
		struct notes *other = NULL;
		bool failed;
		enum rc rc;

		assert_int_equal(notes_new(mask, &other), RC_OK);
		alloc_fail_at(n);
		rc = notes_feed(other,
		    bytes_text("##longarm[set name='A' value='long enough' "
			       "sensitive='yes']\n"));
		failed = alloc_failed();
		alloc_never_fail();
		notes_free(other);
		if (!failed)
			break;
		assert_int_equal(rc, RC_NOMEM);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_each_verb_is_read),
		T(test_escapes_are_undone),
		T(test_what_is_no_note_stays_text_and_is_a_warning),
		T(test_it_is_the_same_fed_byte_by_byte),
		T(test_a_sensitive_value_is_masked_from_its_line_on),
		T(test_an_escaped_value_is_masked_as_it_is_written),
		T(test_what_holds_a_secret_is_one),
		T(test_a_line_that_is_not_whole_holds_back),
		T(test_a_flood_is_counted_and_dropped),
		T(test_a_line_without_an_end_is_let_through),
		T(test_values_that_cannot_be_masked_are_not_set),
		T(test_what_was_saved_is_there_again_with_its_mask),
		T(test_a_broken_file_is_refused),
		T(test_without_memory_it_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

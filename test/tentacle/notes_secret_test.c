/* What a script calls a secret is one, also where it is no variable. */
#include "tentacle/notes.h"

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

static char shown[32768];

static const char *show(const char *text)
{
	size_t len = strlen(text);

	assert_true(len < sizeof(shown));
	(void)mask_copy_at(mask, 0, bytes_text(text), (uint8_t *)shown);
	shown[len] = '\0';
	return shown;
}

static bool is_told(const char *part)
{
	for (size_t i = 1; i <= notes_count(notes); i++) {
		const struct msg_note m = get(i);

		if (memmem(m.text.p, m.text.len, part, strlen(part)) != NULL)
			return true;
	}
	return false;
}

static void test_a_secret_too_many_is_masked_and_dropped(void **state)
{
	static const char text[] = "before s3cret\n"
				   "##longarm[set name='P' value='s3cret' "
				   "sensitive='yes']\ns3cret\n";

	(void)state;
	feed(text);
	for (int i = 1; i < NOTES_OUTPUTS_MAX; i++)
		feed("##longarm[set name='A' value='plain']\n");
	feed("##longarm[set name='Q' value='0ther' sensitive='yes']\n");
	assert_int_equal(get(notes_count(notes)).kind, NOTE_WARNING);
	assert_true(mask_finds(mask, bytes_text("0ther"), UINT64_MAX));
	assert_non_null(strstr(show(text), "before s3cret\n"));
}

static void fill_mask(void)
{
	char line[64];

	for (int i = 0; i < MASK_PATTERN_MAX - 1; i++) {
		(void)snprintf(line, sizeof(line), "pattern-number-%d", i);
		assert_int_equal(mask_add(mask, bytes_text(line)), RC_OK);
	}
}

static void test_with_too_many_values_all_that_follows_is_masked(void **state)
{
	static const char text[] =
	    "before\n##longarm[set name='P' value='s3cret' "
	    "sensitive='yes']\ns3cret\n"
	    "##longarm[warning text='it is s3cret']\n"
	    "##longarm[progress percent='1' text='s3cret']\n"
	    "##longarm[artifact path='s3cret']\n"
	    "##longarm[set name='Q' value='has s3cret']\n"
	    "##longarm[s3cret]\n";
	struct msg_note m;
	uint32_t version;

	(void)state;
	fill_mask();
	feed(text);
	assert_int_equal(strspn(show(text) + 7, "*"), strlen(text) - 7);
	assert_memory_equal(shown, "before\n", 7);
	assert_true(is_told("output variable P was dropped: too many"));
	assert_false(is_told("s3cret"));
	notes_state(notes, &m, &version);
	assert_true(bytes_equal(m.text, bytes_text("******")));
	assert_string_equal(notes_file_title(notes, 0), "******");
	for (size_t i = 1; i <= notes_count(notes); i++)
		assert_int_equal(get(i).kind, NOTE_WARNING);
}

static void test_a_sensitive_line_that_cannot_be_read_is_masked(void **state)
{
	static const char *const lines[] = {
		"set name='P' value='it's s3cret' sensitive='yes']",
		"set name='P' value='it' s3cret' sensitive='yes']",
		"set name='1' value='s3cret' sensitive='yes']",
		"set name='P' value='s3cret' sensitive=\"yes\"]",
		"set sensitive='no' sensitive='yes' name='P' value='s3cret']",
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		(void)snprintf(text, sizeof(text),
		    "before\n##longarm[%s\nafter\n", lines[i]);
		notes_free(notes);
		mask_free(mask);
		assert_int_equal(set_up(NULL), 0);
		feed(text);
		assert_memory_equal(show(text), "before\n**********", 17);
		assert_non_null(strstr(shown, "*\nafter\n"));
		assert_null(strstr(shown, "s3cret"));
		assert_int_equal(notes_count(notes), 1);
		assert_true(is_told("may be a secret"));
		assert_false(is_told("s3cret"));
	}
	/* That is none, and stays as it is. */
	feed("##longarm[set name='1' value='open' sensitive='no']\n");
	assert_true(is_told("bad value of name"));
}

static void test_a_value_without_an_end_is_masked_to_the_line_s(void **state)
{
	static char text[2 * NOTE_LINE_MAX];
	size_t len = (size_t)snprintf(
	    text, sizeof(text), "before\n##longarm[set name='P' value='");

	(void)state;
	memset(text + len, 's', NOTE_LINE_MAX);
	(void)snprintf(
	    text + len + NOTE_LINE_MAX, 64, "' sensitive='yes']\nafter\n");
	for (size_t at = 0; text[at] != '\0'; at += 100) {
		size_t left = strlen(text + at), decided;

		assert_int_equal(
		    notes_feed(notes, bytes_of((uint8_t *)text + at,
					  left < 100 ? left : 100)),
		    RC_OK);
		decided = (size_t)notes_decided(notes);
		(void)mask_copy_at(mask, 0, bytes_of((uint8_t *)text, decided),
		    (uint8_t *)shown);
		assert_null(memmem(shown, decided, "sss", 3));
	}
	assert_non_null(strstr(show(text), "*\nafter\n"));
	assert_null(strstr(shown, "sss"));
}

static void test_texts_are_masked_before_they_are_cut(void **state)
{
	char line[512], many[256];
	struct msg_note m;
	uint32_t version;

	(void)state;
	memset(many, 'a', sizeof(many));
	(void)snprintf(line, sizeof(line),
	    "##longarm[progress percent='1' text='%.251shunter22']\n", many);
	feed(line);
	notes_state(notes, &m, &version);
	assert_int_equal(m.text.len, MSG_TEXT_MAX);
	assert_memory_equal(m.text.p + 250, "a****", 5);
	/* Nor is a character. */
	(void)snprintf(line, sizeof(line),
	    "##longarm[progress percent='1' text='%.254s\xc3\xa9']\n", many);
	feed(line);
	notes_state(notes, &m, &version);
	assert_int_equal(m.text.len, MSG_TEXT_MAX - 1);
	(void)snprintf(line, sizeof(line),
	    "##longarm[artifact path='p' name='/%.55shunter22']\n"
	    "##longarm[hunter22]\n##longarm[set hunter22='1']\n",
	    many);
	feed(line);
	assert_true(is_told("what is no name"));
	assert_true(is_told("none of set"));
	assert_true(is_told("unknown key"));
	assert_false(is_told("hunt"));
}

static void test_what_is_read_again_is_the_same(void **state)
{
	static const char text[] =
	    "##longarm[set name='A' value='not a s3cret']\n"
	    "##longarm[set name='P' value='s3cret' sensitive='yes']\n"
	    "##longarm[set name='B' value='a s3cret']\n"
	    "##longarm[set name='C' value='x' sensitive=yes]\nafter\n";

	(void)state;
	for (int i = 0; i < 2; i++) {
		feed(text);
		assert_false(get(1).sensitive);
		assert_true(get(2).sensitive);
		assert_true(get(3).sensitive);
		assert_int_equal(get(4).kind, NOTE_WARNING);
		assert_non_null(strstr(show(text), "*\nafter\n"));
		/* With the mask as it is by now. */
		notes_free(notes);
		assert_int_equal(notes_new(mask, &notes), RC_OK);
	}
}

/* A power loss before the log is masked. */
static void test_what_the_file_cannot_tell_is_masked_again(void **state)
{
	static const char text[] = "before\n##longarm[set name='P' value='it's "
				   "s3cret' sensitive='yes']\nafter\n";
	char path[] = "/tmp/longarm-notes-XXXXXX";
	struct notes *back = NULL;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	(void)close(fd);
	feed(text);
	assert_int_equal(notes_save(notes, path, NULL), RC_OK);
	mask_free(mask);
	assert_int_equal(mask_new(&mask), RC_OK);
	assert_int_equal(notes_load(mask, path, &back), RC_OK);
	assert_memory_equal(show(text), "before\n****", 11);
	assert_null(strstr(shown, "s3cret"));
	notes_free(back);
	assert_int_equal(unlink(path), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_a_secret_too_many_is_masked_and_dropped),
		T(test_with_too_many_values_all_that_follows_is_masked),
		T(test_a_sensitive_line_that_cannot_be_read_is_masked),
		T(test_a_value_without_an_end_is_masked_to_the_line_s),
		T(test_texts_are_masked_before_they_are_cut),
		T(test_what_is_read_again_is_the_same),
		T(test_what_the_file_cannot_tell_is_masked_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

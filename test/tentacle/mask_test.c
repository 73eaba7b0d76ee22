#include "tentacle/mask.h"
#include "tentacle/runlog.h"

#include "common/fs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct mask *mask_of(const char *const *values)
{
	struct mask *m = NULL;

	assert_int_equal(mask_new(&m), RC_OK);
	for (; *values != NULL; values++)
		assert_int_equal(mask_add(m, bytes_text(*values)), RC_OK);
	return m;
}

static size_t mask_text(
    const char *const *values, const char *text, const char *want)
{
	struct mask *m = mask_of(values);
	char out[200] = "";
	size_t hold = mask_copy(m, bytes_text(text), (uint8_t *)out);

	assert_string_equal(out, want);
	mask_free(m);
	return hold;
}

static const char *const none[] = { NULL };
static const char *const one[] = { "s3cret", NULL };

static void test_every_occurrence_becomes_stars_of_the_same_length(void **state)
{
	(void)state;
	mask_text(one, "a s3cret b s3crets3cret", "a ****** b ************");
	mask_text(none, "a s3cret", "a s3cret");
	mask_text(one, "", "");
}

static void test_values_that_overlap_are_all_masked(void **state)
{
	const char *const values[] = { "abcd", "cdef", "aaaa", NULL };

	(void)state;
	mask_text(values, "xabcdefx", "x******x");
	mask_text(values, "aaaaaaax", "*******x");
}

static void test_newlines_at_the_end_and_single_lines_count(void **state)
{
	const char *const values[] = { "hunter22\n",
		"-----BEGIN-----\nlongsecretline\nx\n", NULL };

	(void)state;
	mask_text(values, "is hunter22.", "is ********.");
	mask_text(values, "> longsecretline <", "> ************** <");
	mask_text(values, "x", "x");
}

static void test_very_short_values_are_left(void **state)
{
	const char *const values[] = { "abc", "", NULL };

	(void)state;
	mask_text(values, "abcabc", "abcabc");
}

static void test_the_beginning_of_a_value_at_the_end_is_held_back(void **state)
{
	(void)state;
	assert_int_equal(mask_text(one, "see s3cr", "see s3cr"), 4);
	assert_int_equal(mask_text(one, "see s3cret", "see ******"), 0);
	assert_int_equal(mask_text(one, "see s", "see s"), 1);
	assert_int_equal(mask_text(one, "see", "see"), 0);
}

/* --- On disk ------------------------------------------------------------ */

static char dir[64];

static int set_up(void **state)
{
	char path[FS_PATH_MAX];

	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/longarm-mask-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/secrets", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/secrets/one", dir);
	assert_int_equal(
	    fs_write_atomic(path, "s3cret\n", 7, 0600, NULL), RC_OK);
	return 0;
}

static int tear_down(void **state)
{
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY);

	(void)state;
	assert_int_equal(fs_remove_tree(fd, dir + 5, NULL), RC_OK);
	(void)close(fd);
	return 0;
}

static void set_output(const char *data, size_t len)
{
	char path[FS_PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/output", dir);
	assert_int_equal(fs_write_atomic(path, data, len, 0600, NULL), RC_OK);
}

static struct mask *load(void)
{
	struct mask *m = NULL;

	assert_int_equal(runlog_load_mask(dir, &m, NULL), RC_OK);
	return m;
}

static size_t read_range(
    const struct mask *m, bool complete, size_t from, size_t size, uint8_t *out)
{
	struct runlog_range range = { from, out, size, 0 };

	assert_int_equal(runlog_read(dir, m, complete, &range), RC_OK);
	return range.got;
}

static void test_any_chunk_from_any_offset_is_masked_alike(void **state)
{
	static const char text[] = "one s3cret, s3crets3cret end s3cre";
	static const char want[] = "one ******, ************ end s3cre";
	const size_t len = sizeof(text) - 1;
	struct mask *m = load();
	uint8_t out[64];
	size_t got;

	(void)state;
	set_output(text, len);
	for (size_t from = 0; from <= len; from++) {
		for (size_t size = 1; size <= len; size++) {
			size_t end = from + size < len ? from + size : len;

			got = read_range(m, true, from, size, out);
			assert_int_equal(got, end - from);
			assert_memory_equal(out, want + from, got);
			/* While it runs, the last five are not told. */
			got = read_range(m, false, from, size, out);
			assert_true(from + got <= len - 5 || got == 0);
			assert_memory_equal(out, want + from, got);
		}
	}
	mask_free(m);
}

static void test_a_log_written_byte_by_byte_never_shows_a_secret(void **state)
{
	static const char text[] = "a s3cret b s3s3cret c";
	static const char want[] = "a ****** b s3****** c";
	struct mask *m = load();
	uint8_t seen[64];
	size_t have = 0;

	(void)state;
	for (size_t len = 0; len < sizeof(text); len++) {
		set_output(text, len);
		have += read_range(
		    m, false, have, sizeof(seen) - have, seen + have);
		assert_memory_equal(seen, want, have);
	}
	assert_int_equal(have, sizeof(text) - 1);
	mask_free(m);
}

static void test_sealing_masks_the_file_over_the_edges_of_blocks(void **state)
{
	const size_t len = 3 * RUNLOG_READ_MAX + 100;
	char *text = malloc(len + 1);
	char path[FS_PATH_MAX], sha[DIGEST_SIZE], again[DIGEST_SIZE];
	struct mask *m = load();
	uint8_t *file = NULL;
	uint64_t size;
	size_t got;

	(void)state;
	assert_non_null(text);
	memset(text, '.', len);
	/* So close together that any border of blocks cuts one. */
	for (size_t at = 0; at + 6 <= len; at += 7)
		memcpy(text + at, "s3cret", 6);
	set_output(text, len);
	assert_int_equal(runlog_seal(dir, m, &size, sha, NULL), RC_OK);
	assert_int_equal(size, len);
	(void)snprintf(path, sizeof(path), "%s/output", dir);
	assert_int_equal(fs_read_file(path, 1 << 20, &file, &got, NULL), RC_OK);
	assert_int_equal(got, len);
	assert_null(memmem(file, got, "s3cret", 6));
	for (size_t i = 0; i + 7 <= len; i++)
		assert_int_equal(file[i], i % 7 == 6 ? '.' : '*');
	/* After a crash it is done again, with the same outcome. */
	assert_int_equal(runlog_seal(dir, m, &size, again, NULL), RC_OK);
	assert_string_equal(sha, again);
	free(file);
	free(text);
	mask_free(m);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_every_occurrence_becomes_stars_of_the_same_length),
		cmocka_unit_test(test_values_that_overlap_are_all_masked),
		cmocka_unit_test(
		    test_newlines_at_the_end_and_single_lines_count),
		cmocka_unit_test(test_very_short_values_are_left),
		cmocka_unit_test(
		    test_the_beginning_of_a_value_at_the_end_is_held_back),
		TEST(test_any_chunk_from_any_offset_is_masked_alike),
		TEST(test_a_log_written_byte_by_byte_never_shows_a_secret),
		TEST(test_sealing_masks_the_file_over_the_edges_of_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "common/blob.h"

#include "common/clock.h"
#include "common/fs.h"
#include "test/support/alloc.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

static char top[64];
static struct blob_store *store;
static char content[200000];
static struct blob_digest digest;

static int setup(void **state)
{
	(void)state;
	memcpy(top, "/tmp/longarm-blob-XXXXXX", 25);
	if (mkdtemp(top) == NULL || blob_store_open(top, &store, NULL) != RC_OK)
		return 1;
	blob_store_set_reserve(store, 0);
	for (size_t i = 0; i < sizeof(content); i++)
		content[i] = (char)(i * 7 + i / 251);
	return blob_digest_of(content, sizeof(content), &digest) != RC_OK;
}

static int teardown(void **state)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum rc rc = fs_remove_tree(tmp, top + strlen("/tmp/"), NULL);

	(void)state;
	blob_store_close(store);
	(void)close(tmp);
	return rc != RC_OK;
}

static struct blob_writer *begin(void)
{
	struct blob_writer *w = NULL;

	assert_int_equal(
	    blob_write_begin(store, &digest, sizeof(content), &w, NULL), RC_OK);
	return w;
}

/* Store the whole content. */
static void fill(void)
{
	struct blob_writer *w = begin();

	assert_int_equal(
	    blob_write_at(w, 0, content, sizeof(content), NULL), RC_OK);
	assert_int_equal(blob_write_finish(w, NULL, NULL, NULL), RC_OK);
	blob_writer_free(w);
}

/* Are there files that are being written? */
static bool has_partials(void)
{
	char dir[128];
	struct dirent **names;
	int count;

	(void)snprintf(dir, sizeof(dir), "%s/partial", top);
	count = scandir(dir, &names, NULL, alphasort);
	assert_true(count >= 2);
	for (int i = 0; i < count; i++)
		free(names[i]);
	free(names);
	return count > 2;
}

static void test_what_was_written_is_found_by_its_digest(void **state)
{
	char back[sizeof(content)];
	uint64_t size;
	int fd;

	(void)state;
	assert_false(blob_has(store, &digest));
	fill();
	assert_true(blob_has(store, &digest));
	assert_int_equal(blob_open(store, &digest, &fd, &size), RC_OK);
	assert_int_equal(size, sizeof(content));
	assert_int_equal(read(fd, back, sizeof(back)), sizeof(back));
	assert_memory_equal(back, content, sizeof(back));
	(void)close(fd);
	assert_int_equal(blob_verify(store, &digest), RC_OK);
}

static void test_a_blob_is_private(void **state)
{
	char path[256], hex[BLOB_HEX_MAX];
	struct stat st;

	(void)state;
	fill();
	blob_digest_format(&digest, hex);
	(void)snprintf(path, sizeof(path), "%s/%.2s/%s", top, hex, hex + 2);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_false(has_partials());
}

static void test_a_writer_resumes_where_another_stopped(void **state)
{
	struct blob_writer *w = begin();
	struct blob_digest found;
	uint64_t size;

	(void)state;
	assert_int_equal(blob_write_at(w, 0, content, 70001, NULL), RC_OK);
	blob_writer_free(w);
	blob_store_close(store);
	assert_int_equal(blob_store_open(top, &store, NULL), RC_OK);
	blob_store_set_reserve(store, 0);
	w = begin();
	assert_int_equal(blob_writer_offset(w), 70001);
	assert_int_equal(blob_write_finish(w, NULL, NULL, NULL), RC_STATE);
	assert_int_equal(blob_write_at(w, 70001, content + 70001,
			     sizeof(content) - 70001, NULL),
	    RC_OK);
	assert_int_equal(blob_write_finish(w, &found, &size, NULL), RC_OK);
	assert_true(blob_digest_equal(&found, &digest));
	assert_int_equal(size, sizeof(content));
	blob_writer_free(w);
	assert_false(has_partials());
}

static void test_pieces_may_repeat_but_not_leave_a_gap(void **state)
{
	struct blob_writer *w = begin();

	(void)state;
	assert_int_equal(blob_write_at(w, 0, content, 1000, NULL), RC_OK);
	assert_int_equal(blob_write_at(w, 0, content, 1000, NULL), RC_OK);
	assert_int_equal(
	    blob_write_at(w, 500, content + 500, 1000, NULL), RC_OK);
	assert_int_equal(blob_writer_offset(w), 1500);
	assert_int_equal(
	    blob_write_at(w, 1501, content + 1501, 1, NULL), RC_STATE);
	assert_int_equal(blob_write_at(w, 1500, content + 1500,
			     sizeof(content) - 1500, NULL),
	    RC_OK);
	assert_int_equal(
	    blob_write_at(w, sizeof(content), "x", 1, NULL), RC_LIMIT);
	assert_int_equal(blob_write_finish(w, NULL, NULL, NULL), RC_OK);
	blob_writer_free(w);
}

static void test_other_content_than_announced_is_thrown_away(void **state)
{
	struct blob_writer *w = begin();
	struct fault fault;

	(void)state;
	content[100] ^= 1;
	assert_int_equal(
	    blob_write_at(w, 0, content, sizeof(content), NULL), RC_OK);
	assert_int_equal(blob_write_finish(w, NULL, NULL, &fault), RC_CRYPTO);
	assert_int_equal(fault.code, REASON_BAD_PACKAGE);
	blob_writer_free(w);
	assert_false(blob_has(store, &digest));
	assert_false(has_partials());
}

static void test_one_content_has_one_writer(void **state)
{
	struct blob_writer *w = begin(), *second = NULL;

	(void)state;
	assert_int_equal(
	    blob_write_begin(store, &digest, sizeof(content), &second, NULL),
	    RC_STATE);
	blob_writer_free(w);
	blob_writer_free(begin());
	fill();
	assert_int_equal(
	    blob_write_begin(store, &digest, sizeof(content), &second, NULL),
	    RC_EXISTS);
	assert_null(second);
}

static void test_a_full_disk_is_refused_before_the_first_byte(void **state)
{
	struct blob_writer *w = NULL;
	struct fault fault;

	(void)state;
	blob_store_set_reserve(store, UINT64_MAX / 2);
	assert_int_equal(
	    blob_write_begin(store, &digest, sizeof(content), &w, &fault),
	    RC_IO);
	assert_int_equal(fault.code, REASON_NO_SPACE);
	assert_non_null(strstr(fault.text, "kept in reserve"));
	assert_int_equal(blob_write_new(store, 10, &w, &fault), RC_IO);
	blob_store_set_reserve(store, 0);
	assert_int_equal(
	    blob_write_begin(store, &digest, UINT64_MAX, &w, &fault), RC_IO);
	assert_int_equal(fault.code, REASON_NO_SPACE);
	assert_null(w);
}

static void test_a_new_blob_tells_its_digest(void **state)
{
	struct blob_writer *w;
	struct blob_digest found;
	uint64_t size;

	(void)state;
	assert_int_equal(
	    blob_write_new(store, sizeof(content), &w, NULL), RC_OK);
	assert_int_equal(
	    blob_write_at(w, 0, content, sizeof(content), NULL), RC_OK);
	assert_int_equal(
	    blob_write_at(w, sizeof(content), "x", 1, NULL), RC_LIMIT);
	assert_int_equal(blob_write_finish(w, &found, &size, NULL), RC_OK);
	blob_writer_free(w);
	assert_true(blob_digest_equal(&found, &digest));
	assert_int_equal(size, sizeof(content));
	assert_true(blob_has(store, &digest));
}

static void test_a_new_blob_that_is_given_up_leaves_nothing(void **state)
{
	struct blob_writer *w;

	(void)state;
	assert_int_equal(blob_write_new(store, 10, &w, NULL), RC_OK);
	assert_int_equal(blob_write_at(w, 0, "abc", 3, NULL), RC_OK);
	assert_true(has_partials());
	blob_writer_free(w);
	assert_false(has_partials());
}

static void test_rot_on_the_disk_is_found(void **state)
{
	char path[256], hex[BLOB_HEX_MAX];
	int fd;

	(void)state;
	fill();
	blob_digest_format(&digest, hex);
	(void)snprintf(path, sizeof(path), "%s/%.2s/%s", top, hex, hex + 2);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "rot", 3, 12345), 3);
	(void)close(fd);
	assert_int_equal(blob_verify(store, &digest), RC_CRYPTO);
	assert_int_equal(blob_delete(store, &digest), RC_OK);
	assert_int_equal(blob_verify(store, &digest), RC_NOTFOUND);
	assert_int_equal(blob_delete(store, &digest), RC_OK);
}

static void test_a_file_is_imported_once(void **state)
{
	int fd = memfd_create("import", MFD_CLOEXEC);
	struct blob_digest found;
	uint64_t size;

	(void)state;
	assert_int_equal(write(fd, content, sizeof(content)), sizeof(content));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(
		    blob_import(store, fd, &found, &size, NULL), RC_OK);
		assert_int_equal(size, sizeof(content));
		assert_true(blob_digest_equal(&found, &digest));
	}
	(void)close(fd);
}

static void test_old_partial_files_are_pruned(void **state)
{
	struct blob_writer *w = begin();

	(void)state;
	assert_int_equal(blob_write_at(w, 0, content, 10, NULL), RC_OK);
	blob_writer_free(w);
	blob_prune(store, 3600);
	assert_true(has_partials());
	blob_prune(store, 0);
	assert_false(has_partials());
}

/* A blob of this size, last used so many seconds ago. */
static struct blob_digest old_blob(size_t size, int64_t age_s)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
		{ .tv_sec = clock_wall_ms() / 1000 - age_s } };
	char hex[BLOB_HEX_MAX], path[512];
	struct blob_digest d;
	uint8_t *bytes = calloc(1, size + 1);
	struct blob_writer *w;

	memset(bytes, (int)(age_s & 0xff), size);
	assert_int_equal(blob_write_new(store, size, &w, NULL), RC_OK);
	assert_int_equal(blob_write_at(w, 0, bytes, size, NULL), RC_OK);
	assert_int_equal(blob_write_finish(w, &d, NULL, NULL), RC_OK);
	blob_writer_free(w);
	blob_digest_format(&d, hex);
	(void)snprintf(path, sizeof(path), "%s/%.2s/%s", top, hex, hex + 2);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	free(bytes);
	return d;
}

static void test_blobs_used_longest_ago_go_first(void **state)
{
	const struct blob_digest a = old_blob(100, 5000),
				 b = old_blob(100, 4000),
				 c = old_blob(100, 3000);
	struct blob_budget budget = { .bytes = 250, .age_s = UINT64_MAX };
	struct blob_shrunk out;

	(void)state;
	assert_int_equal(blob_shrink(store, &budget, &out), RC_OK);
	assert_int_equal(out.count, 1);
	assert_int_equal(out.bytes, 100);
	assert_int_equal(out.left, 200);
	assert_false(blob_has(store, &a));
	assert_true(blob_has(store, &b) && blob_has(store, &c));
	/* Used again: now another one is the oldest. */
	blob_touch(store, &b);
	budget.bytes = 150;
	assert_int_equal(blob_shrink(store, &budget, &out), RC_OK);
	assert_true(blob_has(store, &b));
	assert_false(blob_has(store, &c));
}

static const struct blob_digest *used_meanwhile;

/* Takes the place of libc's. */
int unlinkat(int dir, const char *name, int flags)
{
	if (used_meanwhile != NULL)
		blob_touch(store, used_meanwhile);
	return (int)syscall(SYS_unlinkat, dir, name, flags);
}

static void test_a_blob_that_is_used_meanwhile_stays(void **state)
{
	const struct blob_digest a = old_blob(100, 5000),
				 b = old_blob(100, 4000);
	struct blob_budget budget = { .bytes = 0, .age_s = UINT64_MAX };
	struct blob_shrunk out;

	(void)state;
	used_meanwhile = &b;
	assert_int_equal(blob_shrink(store, &budget, &out), RC_OK);
	used_meanwhile = NULL;
	assert_int_equal(out.count, 1);
	assert_int_equal(out.left, 100);
	assert_false(blob_has(store, &a));
	assert_true(blob_has(store, &b));
}

static void test_blobs_in_use_and_young_ones_stay(void **state)
{
	const struct blob_digest a = old_blob(100, 5000),
				 b = old_blob(100, 4000), c = old_blob(100, 10);
	struct blob_budget budget = { .bytes = 0,
		.age_s = 100,
		.young_s = 60,
		.keep = &a,
		.keep_count = 1 };
	struct blob_shrunk out;

	(void)state;
	assert_int_equal(blob_shrink(store, &budget, &out), RC_OK);
	assert_true(blob_has(store, &a));
	assert_false(blob_has(store, &b));
	assert_true(blob_has(store, &c));
	/* Within the budget age alone decides. */
	budget = (struct blob_budget){ .bytes = UINT64_MAX, .age_s = 100 };
	assert_int_equal(blob_shrink(store, &budget, &out), RC_OK);
	assert_false(blob_has(store, &a));
	assert_true(blob_has(store, &c));
}

static void test_an_empty_blob_is_a_blob(void **state)
{
	struct blob_digest empty;
	struct blob_writer *w;

	(void)state;
	assert_int_equal(blob_digest_of("", 0, &empty), RC_OK);
	assert_int_equal(blob_write_begin(store, &empty, 0, &w, NULL), RC_OK);
	assert_int_equal(blob_write_finish(w, NULL, NULL, NULL), RC_OK);
	blob_writer_free(w);
	assert_true(blob_has(store, &empty));
}

static void test_digests_are_64_lower_case_digits(void **state)
{
	char hex[BLOB_HEX_MAX];
	struct blob_digest back;

	(void)state;
	blob_digest_format(&digest, hex);
	assert_int_equal(blob_digest_parse(hex, &back), RC_OK);
	assert_true(blob_digest_equal(&back, &digest));
	hex[0] = 'A';
	assert_int_equal(blob_digest_parse(hex, &back), RC_PROTO);
	assert_int_equal(blob_digest_parse(hex + 1, &back), RC_PROTO);
	assert_int_equal(
	    blob_digest_parse("../../etc/passwd", &back), RC_PROTO);
}

static void test_without_memory_it_says_so(void **state)
{
	struct blob_writer *w = NULL;
	enum rc rc;

	(void)state;
	w = begin();
	assert_int_equal(blob_write_at(w, 0, content, 10, NULL), RC_OK);
	blob_writer_free(w);
	for (size_t n = 0;; n++) {
		alloc_fail_at(n);
		rc =
		    blob_write_begin(store, &digest, sizeof(content), &w, NULL);
		if (!alloc_failed())
			break;
		assert_int_equal(rc, RC_NOMEM);
	}
	alloc_never_fail();
	assert_int_equal(rc, RC_OK);
	blob_writer_free(w);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_what_was_written_is_found_by_its_digest),
		T(test_a_blob_is_private),
		T(test_a_writer_resumes_where_another_stopped),
		T(test_pieces_may_repeat_but_not_leave_a_gap),
		T(test_other_content_than_announced_is_thrown_away),
		T(test_one_content_has_one_writer),
		T(test_a_full_disk_is_refused_before_the_first_byte),
		T(test_a_new_blob_tells_its_digest),
		T(test_a_new_blob_that_is_given_up_leaves_nothing),
		T(test_rot_on_the_disk_is_found),
		T(test_a_file_is_imported_once),
		T(test_old_partial_files_are_pruned),
		T(test_blobs_used_longest_ago_go_first),
		T(test_blobs_in_use_and_young_ones_stay),
		T(test_a_blob_that_is_used_meanwhile_stays),
		T(test_an_empty_blob_is_a_blob),
		T(test_digests_are_64_lower_case_digits),
		T(test_without_memory_it_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

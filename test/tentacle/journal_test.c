#include "tentacle/journal.h"

#include "common/fs.h"
#include "test/support/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

/* The test's own, found before that of libc: lets a sync fail. */
static bool syncs_fail;
int fdatasync(int fd)
{
	if (syncs_fail) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

static char dir[64], path[80];

static int set_up(void **state)
{
	(void)state;
	syncs_fail = false;
	(void)snprintf(dir, sizeof(dir), "/tmp/longarm-journal-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/journal", dir);
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

static struct journal_record accepted(unsigned n)
{
	struct journal_record r = { .type = JOURNAL_ACCEPTED,
		.at_ms = 1000 + n };

	(void)snprintf(r.ticket, sizeof(r.ticket), "%032x", n);
	(void)snprintf(r.accepted.task, sizeof(r.accepted.task), "tasks-%u", n);
	r.accepted.epoch = 7;
	r.accepted.action = ACTION_ACTIVATE;
	(void)snprintf(r.accepted.project, sizeof(r.accepted.project), "shop");
	r.accepted.deployment = 42;
	memset(r.accepted.spec, (int)n, sizeof(r.accepted.spec));
	r.accepted.supersedes_count = 2;
	(void)snprintf(
	    r.accepted.supersedes[0], ID_SIZE, "%032x", 0xabc000 + n);
	(void)snprintf(
	    r.accepted.supersedes[1], ID_SIZE, "%032x", 0xdef000 + n);
	return r;
}

static struct journal_record ended(unsigned n)
{
	struct journal_record r = { .type = JOURNAL_ENDED, .at_ms = 5 };

	(void)snprintf(r.ticket, sizeof(r.ticket), "%032x", n);
	r.result.state = TICKET_EXITED;
	r.result.exit_code = -3;
	r.result.signal = 9;
	r.result.cause = REASON_SCRIPT_FAILED;
	(void)snprintf(r.result.text, sizeof(r.result.text), "exit code -3");
	r.result.log_size = 1ull << 40;
	memset(r.result.log_sha256, 'a', DIGEST_SIZE - 1);
	r.result.started_ms = 11;
	r.result.ended_ms = 22;
	return r;
}

static struct journal *reopen(void)
{
	struct journal *j = NULL;
	struct fault f = { 0 };
	enum rc rc = journal_open(dir, &j, &f);

	if (rc != RC_OK)
		print_message("journal_open: %s\n", f.text);
	assert_int_equal(rc, RC_OK);
	return j;
}

static void append(struct journal *j, struct journal_record r)
{
	assert_int_equal(journal_append(j, &r), RC_OK);
}

static unsigned replay_count(struct journal *j)
{
	struct journal_record r;
	unsigned n = 0;
	enum rc rc;

	while ((rc = journal_replay(j, &r)) == RC_OK)
		n++;
	assert_int_equal(rc, RC_NOTFOUND);
	return n;
}

static void test_what_was_synced_is_read_back(void **state)
{
	struct journal *j = reopen();
	struct journal_record r, want;
	char id[ID_SIZE];

	(void)state;
	assert_int_equal(replay_count(j), 0);
	memcpy(id, journal_id(j), sizeof(id));
	append(j, accepted(1));
	append(j, ended(1));
	assert_int_equal(journal_counter(j), 0);
	assert_int_equal(journal_sync(j, NULL), RC_OK);
	assert_int_equal(journal_counter(j), 2);
	append(j, ended(2)); /* never synced */
	journal_close(j);

	j = reopen();
	assert_string_equal(journal_id(j), id);
	assert_int_equal(journal_counter(j), 2);
	assert_int_equal(journal_replay(j, &r), RC_OK);
	want = accepted(1);
	assert_memory_equal(&r, &want, sizeof(r));
	assert_int_equal(journal_replay(j, &r), RC_OK);
	want = ended(1);
	assert_memory_equal(&r, &want, sizeof(r));
	assert_int_equal(journal_replay(j, &r), RC_NOTFOUND);
	journal_close(j);
}

static void test_all_types_of_records_survive(void **state)
{
	struct journal_record all[] = {
		{ .type = JOURNAL_EXEC, .phase = PHASE_AFTER },
		{ .type = JOURNAL_PASSED, .phase = PHASE_BEFORE },
		{ .type = JOURNAL_TOMBSTONE, .task = "task-5" },
		{ .type = JOURNAL_TOMBSTONE },
		{ .type = JOURNAL_SETTLED, .settled = 77 },
		{ .type = JOURNAL_FORGOTTEN },
		{ .type = JOURNAL_EPOCH, .epoch = { "tasks-9", 99 } },
		{ .type = JOURNAL_DEPLOYMENT, .deployment = { "shop", 12 } },
		{ .type = JOURNAL_INCARNATION, .incarnation = { .secs = 5 } },
		{ .type = JOURNAL_UNLOCKED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct journal_record r;
		struct journal *j;

		if (all[i].type <= JOURNAL_FORGOTTEN ||
		    all[i].type == JOURNAL_UNLOCKED)
			memset(all[i].ticket, 'b', ID_SIZE - 1);
		if (all[i].type == JOURNAL_INCARNATION)
			memset(all[i].incarnation.random, 'c', ID_SIZE - 1);
		j = reopen();
		assert_int_equal(replay_count(j), i);
		append(j, all[i]);
		assert_int_equal(journal_sync(j, NULL), RC_OK);
		journal_close(j);
		j = reopen();
		for (size_t n = 0; n <= i; n++)
			assert_int_equal(journal_replay(j, &r), RC_OK);
		assert_memory_equal(&r, &all[i], sizeof(r));
		journal_close(j);
	}
}

static void write_file(const uint8_t *data, size_t len)
{
	assert_int_equal(fs_write_atomic(path, data, len, 0600, NULL), RC_OK);
}

static void test_a_file_cut_at_any_byte_loses_only_the_last_frame(void **state)
{
	struct journal *j = reopen();
	uint8_t *file = NULL;
	size_t whole, first;

	(void)state;
	append(j, accepted(1));
	assert_int_equal(journal_sync(j, NULL), RC_OK);
	first = (size_t)journal_size(j);
	append(j, accepted(2));
	append(j, ended(2));
	assert_int_equal(journal_sync(j, NULL), RC_OK);
	journal_close(j);
	assert_int_equal(
	    fs_read_file(path, 1 << 20, &file, &whole, NULL), RC_OK);

	for (size_t cut = first; cut < whole; cut++) {
		write_file(file, cut);
		j = reopen();
		assert_int_equal(replay_count(j), 1);
		assert_int_equal(journal_counter(j), 1);
		assert_int_equal(journal_torn(j), cut - first);
		/* And it goes on from there. */
		append(j, ended(1));
		assert_int_equal(journal_sync(j, NULL), RC_OK);
		journal_close(j);
		j = reopen();
		assert_int_equal(replay_count(j), 2);
		journal_close(j);
	}
	/* Within the first frame, or the header. */
	for (size_t cut = JOURNAL_HEADER_LEN; cut < first; cut++) {
		write_file(file, cut);
		j = reopen();
		assert_int_equal(replay_count(j), 0);
		journal_close(j);
	}
	for (size_t cut = 0; cut < JOURNAL_HEADER_LEN; cut++) {
		struct fault f = { 0 };

		write_file(file, cut);
		assert_int_equal(journal_open(dir, &j, &f), RC_PROTO);
		assert_int_equal(f.code, REASON_JOURNAL);
	}
	free(file);
}

static void test_a_flipped_bit_in_the_middle_is_quarantine(void **state)
{
	struct journal *j = reopen();
	uint8_t *file = NULL;
	size_t whole, first;

	(void)state;
	append(j, accepted(1));
	assert_int_equal(journal_sync(j, NULL), RC_OK);
	first = (size_t)journal_size(j);
	append(j, accepted(2));
	assert_int_equal(journal_sync(j, NULL), RC_OK);
	journal_close(j);
	assert_int_equal(
	    fs_read_file(path, 1 << 20, &file, &whole, NULL), RC_OK);
	for (size_t at = JOURNAL_HEADER_LEN; at < first; at++) {
		struct fault f = { 0 };
		uint8_t *now = NULL;
		size_t len;

		file[at] ^= 0x10;
		write_file(file, whole);
		assert_int_equal(journal_open(dir, &j, &f), RC_PROTO);
		assert_int_equal(f.code, REASON_JOURNAL);
		/* It is left as it is, for a person. */
		assert_int_equal(
		    fs_read_file(path, 1 << 20, &now, &len, NULL), RC_OK);
		assert_int_equal(len, whole);
		assert_memory_equal(now, file, len);
		free(now);
		file[at] ^= 0x10;
	}
	free(file);
}

static void test_what_is_written_without_a_sync_counts_with_the_next(
    void **state)
{
	struct journal *j = reopen();
	uint64_t size;

	(void)state;
	append(j, accepted(1));
	assert_int_equal(journal_sync(j, NULL), RC_OK);
	size = journal_size(j);
	append(j, ended(1));
	assert_int_equal(journal_write(j, NULL), RC_OK);
	/* A server that was told 2 would take the loss for an older disk. */
	assert_int_equal(journal_counter(j), 1);
	assert_true(journal_size(j) > size);
	syncs_fail = true;
	assert_int_equal(journal_write(j, NULL), RC_OK);
	syncs_fail = false;
	append(j, accepted(2));
	assert_int_equal(journal_sync(j, NULL), RC_OK);
	assert_int_equal(journal_counter(j), 3);
	append(j, ended(2));
	assert_int_equal(journal_write(j, NULL), RC_OK);
	assert_int_equal(journal_sync(j, NULL), RC_OK);
	assert_int_equal(journal_counter(j), 4);
	append(j, accepted(3));
	assert_int_equal(journal_write(j, NULL), RC_OK);
	size = journal_size(j);
	journal_close(j);
	j = reopen();
	assert_int_equal(replay_count(j), 5);
	assert_int_equal(journal_counter(j), 5);
	append(j, ended(3));
	assert_int_equal(journal_write(j, NULL), RC_OK);
	/* Compaction takes along what was not synced, and syncs it. */
	assert_int_equal(journal_rewrite_begin(j), RC_OK);
	append(j, accepted(4));
	assert_int_equal(journal_rewrite_end(j, NULL), RC_OK);
	assert_int_equal(journal_counter(j), 7);
	journal_close(j);
	j = reopen();
	assert_int_equal(replay_count(j), 1);
	assert_int_equal(journal_counter(j), 7);
	journal_close(j);
}

static void test_a_tail_of_zeros_is_cut_off(void **state)
{
	struct journal *j = reopen();
	uint64_t size;

	(void)state;
	append(j, accepted(1));
	assert_int_equal(journal_sync(j, NULL), RC_OK);
	size = journal_size(j);
	journal_close(j);
	assert_int_equal(truncate(path, (off_t)size + 4096), 0);
	j = reopen();
	assert_int_equal(journal_torn(j), 4096);
	assert_int_equal(replay_count(j), 1);
	journal_close(j);
}

static void test_a_failed_sync_stops_the_journal_for_good(void **state)
{
	struct journal *j = reopen();
	struct journal_record r = ended(1);

	(void)state;
	append(j, accepted(1));
	syncs_fail = true;
	assert_int_equal(journal_sync(j, NULL), RC_IO);
	assert_true(journal_has_failed(j));
	syncs_fail = false;
	assert_int_equal(journal_append(j, &r), RC_IO);
	assert_int_equal(journal_sync(j, NULL), RC_IO);
	assert_int_equal(journal_counter(j), 0);
	journal_close(j);
}

static void test_compaction_keeps_the_id_and_never_lowers_the_counter(
    void **state)
{
	struct journal *j = reopen();
	char id[ID_SIZE];

	(void)state;
	memcpy(id, journal_id(j), sizeof(id));
	for (unsigned i = 0; i < 50; i++) {
		append(j, accepted(i));
		assert_int_equal(journal_sync(j, NULL), RC_OK);
	}
	assert_int_equal(journal_rewrite_begin(j), RC_OK);
	/* More than one frame takes. */
	for (unsigned i = 0; i < 2000; i++)
		append(j, accepted(i));
	assert_int_equal(journal_rewrite_end(j, NULL), RC_OK);
	assert_int_equal(journal_counter(j), 2050);
	append(j, ended(1));
	assert_int_equal(journal_sync(j, NULL), RC_OK);
	journal_close(j);
	j = reopen();
	assert_string_equal(journal_id(j), id);
	assert_int_equal(journal_counter(j), 2051);
	assert_int_equal(replay_count(j), 2001);
	journal_close(j);
}

static void test_a_record_with_a_bad_name_is_refused_and_nothing_written(
    void **state)
{
	struct journal *j = reopen();
	struct journal_record r = accepted(1);

	(void)state;
	r.ticket[3] = 'x';
	assert_int_equal(journal_append(j, &r), RC_PROTO);
	assert_int_equal(journal_sync(j, NULL), RC_OK);
	assert_int_equal(journal_counter(j), 0);
	journal_close(j);
}

static void test_a_newer_version_is_refused(void **state)
{
	struct journal_header h = { .version = 2, .counter = 3 };
	uint8_t raw[JOURNAL_HEADER_LEN];
	struct journal *j;
	struct fault f = { 0 };

	(void)state;
	memset(h.id, 'a', ID_SIZE - 1);
	journal_header_encode(&h, raw);
	write_file(raw, sizeof(raw));
	assert_int_equal(journal_open(dir, &j, &f), RC_PROTO);
	assert_int_equal(f.code, REASON_VERSION);
}

/* A frame of two records: one of a type that we do not have, one that we do. */
static enum rc open_with_type(uint8_t type, struct fault *f, unsigned *count)
{
	struct journal_header h = { .version = JOURNAL_VERSION };
	struct journal_record r = accepted(1);
	uint8_t file[JOURNAL_HEADER_LEN + JOURNAL_FRAME_HEAD + 8 +
		     JOURNAL_RECORD_MAX];
	uint8_t *records = file + JOURNAL_HEADER_LEN + JOURNAL_FRAME_HEAD;
	const uint8_t newer[] = { 4, 0, type, 1, 2, 3 };
	struct journal *j = NULL;
	size_t len;
	enum rc rc;

	memset(h.id, 'a', ID_SIZE - 1);
	journal_header_encode(&h, file);
	memcpy(records, newer, sizeof(newer));
	assert_int_equal(
	    journal_record_encode(&r, records + sizeof(newer), &len), RC_OK);
	len += sizeof(newer);
	journal_frame_encode(
	    2, bytes_of(records, len), file + JOURNAL_HEADER_LEN);
	write_file(file, JOURNAL_HEADER_LEN + JOURNAL_FRAME_HEAD + len);
	rc = journal_open(dir, &j, f);
	if (rc == RC_OK)
		*count = replay_count(j);
	journal_close(j);
	return rc;
}

static void test_newer_records_are_skipped_only_where_they_may_be(void **state)
{
	struct fault f = { 0 };
	unsigned count = 0;

	(void)state;
	assert_int_equal(open_with_type(JOURNAL_SKIPPABLE, &f, &count), RC_OK);
	assert_int_equal(count, 1);
	assert_int_equal(
	    open_with_type(JOURNAL_SKIPPABLE - 1, &f, &count), RC_PROTO);
	assert_int_equal(f.code, REASON_VERSION);
	assert_non_null(strstr(f.text, "type 127"));
}

static void test_no_allocation_that_fails_is_missed(void **state)
{
	(void)state;
	journal_close(reopen());
	for (size_t n = 0;; n++) {
		struct journal *j = NULL;
		enum rc rc;

		alloc_fail_at(n);
		rc = journal_open(dir, &j, NULL);
		if (!alloc_failed()) {
			alloc_never_fail();
			assert_int_equal(rc, RC_OK);
			journal_close(j);
			return;
		}
		assert_int_equal(rc, RC_NOMEM);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_was_synced_is_read_back),
		TEST(test_all_types_of_records_survive),
		TEST(test_a_file_cut_at_any_byte_loses_only_the_last_frame),
		TEST(test_a_flipped_bit_in_the_middle_is_quarantine),
		TEST(test_what_is_written_without_a_sync_counts_with_the_next),
		TEST(test_a_tail_of_zeros_is_cut_off),
		TEST(test_a_failed_sync_stops_the_journal_for_good),
		TEST(test_compaction_keeps_the_id_and_never_lowers_the_counter),
		TEST(
		    test_a_record_with_a_bad_name_is_refused_and_nothing_written),
		TEST(test_a_newer_version_is_refused),
		TEST(test_newer_records_are_skipped_only_where_they_may_be),
		TEST(test_no_allocation_that_fails_is_missed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

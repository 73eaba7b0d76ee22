/*
 * The slice of the route table, in memory and on disk: lower versions never
 * win, a change costs its own bytes, and whatever is left of the file after a
 * power loss is a table that was true once.
 */
#include "relay/table_file.h"

#include "test/support/alloc.h"

#include "common/fs.h"
#include "common/log.h"
#include "proto/lenframe.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MANY 10000
#define PAGE 100

static struct msg_neighbour from_n1 = { .role = ROLE_SERVER, .name = "n1" };

static struct msg_table_entry entry(unsigned number, uint64_t seq)
{
	struct msg_table_entry e = {
		.seq = seq,
		.how = ROUTE_DIALS_ME,
		.from = &from_n1,
		.from_count = 1,
	};

	(void)snprintf(e.target, sizeof(e.target), "machine/7f%030u", number);
	(void)snprintf(e.name, sizeof(e.name), "web-%u", number);
	return e;
}

static struct msg_table_entry gone(unsigned number, uint64_t seq)
{
	struct msg_table_entry e = entry(number, seq);

	e.gone = true;
	e.name[0] = '\0';
	e.from_count = 0;
	return e;
}

/* One page of the life n of the database. */
static struct msg_table_page page_of(
    unsigned life, uint64_t from, uint64_t seq, struct msg_table_entry *entries)
{
	struct msg_table_page p = {
		.incarnation = { .secs = life },
		.from_seq = from,
		.seq = seq,
		.last = true,
		.entries = entries,
		.entry_count = entries != NULL,
	};

	memset(p.incarnation.random, 'c', ID_SIZE - 1);
	return p;
}

static struct table *new_table(void)
{
	struct table *t;

	assert_int_equal(table_new(&t), RC_OK);
	return t;
}

static enum rc apply(struct table *t, const struct msg_table_page *p)
{
	struct fault fault;
	bool changed;

	return table_apply(t, p, &changed, &fault);
}

static const struct table_entry *at(const struct table *t, unsigned number)
{
	struct target target = { .kind = TARGET_MACHINE };

	(void)snprintf(target.name, sizeof(target.name), "7f%030u", number);
	return table_find(t, &target);
}

/* A full table of the machines 1 to count, each with its number as version. */
static void fill(struct table *t, unsigned count, uint64_t seq,
    void (*put)(struct table *t, struct msg_table_page *p, void *arg),
    void *arg)
{
	struct msg_table_entry entries[PAGE];
	unsigned sent = 0;

	for (uint32_t number = 0; sent < count; number++) {
		struct msg_table_page p = page_of(1, 0, seq, entries);

		p.page = number;
		p.entry_count = 0;
		while (p.entry_count < PAGE && sent < count) {
			sent++;
			entries[p.entry_count++] = entry(sent, sent);
		}
		p.last = sent == count;
		put(t, &p, arg);
	}
}

static void put_it(struct table *t, struct msg_table_page *p, void *arg)
{
	(void)arg;
	assert_int_equal(apply(t, p), RC_OK);
}

static size_t take_all_fresh(struct table *t)
{
	size_t n = 0;

	while (table_take_fresh(t) != NULL)
		n++;
	return n;
}

static size_t count_news(const struct table *t, uint64_t after)
{
	size_t n = 0;

	for (const struct table_entry *e = table_news(t, after); e != NULL;
	     e = table_next(e))
		n++;
	return n;
}

static uint64_t newest(const struct table *t)
{
	const struct table_entry *e = table_first(t);
	uint64_t news = 0;

	for (; e != NULL; e = table_next(e))
		news = e->news;
	return news;
}

/* --- Versions --------------------------------------------------------------
 */

static void test_a_lower_version_of_an_entry_never_wins(void **state)
{
	struct table *t = new_table();
	struct msg_table_entry e = entry(1, 7);
	struct msg_table_page p = page_of(1, 0, 7, &e);

	(void)state;
	assert_int_equal(apply(t, &p), RC_OK);
	e = entry(1, 6);
	(void)snprintf(e.name, sizeof(e.name), "older");
	p = page_of(1, 7, 8, &e);
	assert_int_equal(apply(t, &p), RC_OK);
	assert_string_equal(at(t, 1)->name, "web-1");
	assert_int_equal(at(t, 1)->seq, 7);
	e = gone(1, 6);
	p = page_of(1, 8, 9, &e);
	assert_int_equal(apply(t, &p), RC_OK);
	assert_non_null(at(t, 1));
	e = gone(1, 7);
	p = page_of(1, 9, 10, &e);
	assert_int_equal(apply(t, &p), RC_OK);
	assert_null(at(t, 1));
	table_free(t);
}

static void test_a_lower_version_of_the_table_never_wins(void **state)
{
	struct table *t = new_table();
	struct msg_table_entry e = entry(1, 7);
	struct msg_table_page p = page_of(1, 0, 7, &e);

	(void)state;
	assert_int_equal(apply(t, &p), RC_OK);
	/* A full one, as from a node that lags behind. */
	e = entry(2, 5);
	p = page_of(1, 0, 6, &e);
	assert_int_equal(apply(t, &p), RC_STATE);
	assert_int_equal(table_seq(t), 7);
	assert_non_null(at(t, 1));
	assert_null(at(t, 2));
	/* A delta to before, and one from beyond. */
	p = page_of(1, 5, 6, &e);
	assert_int_equal(apply(t, &p), RC_STATE);
	p = page_of(1, 8, 9, &e);
	assert_int_equal(apply(t, &p), RC_STATE);
	/* Its further pages do not follow either. */
	p.page = 1;
	assert_int_equal(apply(t, &p), RC_STATE);
	assert_int_equal(table_seq(t), 7);
	table_free(t);
}

static void test_another_life_of_the_database_counts_anew(void **state)
{
	struct table *t = new_table();
	struct msg_table_entry e = entry(1, 700);
	struct msg_table_page p = page_of(1, 0, 700, &e);

	(void)state;
	assert_int_equal(apply(t, &p), RC_OK);
	e = entry(1, 3);
	p = page_of(2, 700, 701, &e); /* a delta cannot build on it */
	assert_int_equal(apply(t, &p), RC_STATE);
	assert_int_equal(table_seq_of(t, &p.incarnation), 0);
	assert_int_equal(table_seq(t), 700);
	p = page_of(2, 0, 4, &e);
	p.last = false;
	assert_int_equal(apply(t, &p), RC_OK);
	/* Cut off here, it must ask for all again. */
	assert_int_equal(table_seq(t), 0);
	assert_int_equal(at(t, 1)->seq, 3);
	table_free(t);
}

static void test_a_database_that_was_replaced_is_not_believed_again(
    void **state)
{
	struct table *t = new_table();
	struct msg_table_entry e = entry(1, 7);
	struct msg_table_page p = page_of(2, 0, 7, &e);
	struct fault fault;
	bool changed;

	(void)state;
	assert_int_equal(apply(t, &p), RC_OK);
	p = page_of(1, 0, 900, NULL);
	assert_int_equal(table_apply(t, &p, &changed, &fault), RC_STATE);
	assert_int_equal(fault.code, REASON_SUPERSEDED);
	/* Born in the same second, it is another one all the same. */
	p = page_of(2, 0, 900, NULL);
	p.incarnation.random[0] = 'd';
	assert_int_equal(apply(t, &p), RC_STATE);
	assert_int_equal(table_seq(t), 7);
	assert_non_null(at(t, 1));
	table_free(t);
}

static void test_targets_stay_reachable_while_a_full_table_comes(void **state)
{
	struct table *t = new_table();
	struct msg_table_entry e = entry(1, 7);
	struct msg_table_page p = page_of(1, 0, 7, &e);

	(void)state;
	assert_int_equal(apply(t, &p), RC_OK);
	e = entry(2, 8);
	p = page_of(1, 0, 8, &e);
	p.last = false;
	assert_int_equal(apply(t, &p), RC_OK);
	assert_int_equal(at(t, 1)->seq, 7);
	/* The session ends; what is asked for builds on what was whole. */
	assert_int_equal(table_seq(t), 7);
	e = entry(3, 9);
	p = page_of(1, 7, 9, &e);
	assert_int_equal(apply(t, &p), RC_OK);
	assert_non_null(at(t, 1));
	/* And a full one drops what it does not name. */
	p = page_of(1, 0, 10, &e);
	assert_int_equal(apply(t, &p), RC_OK);
	assert_int_equal(table_count(t), 1);
	assert_non_null(at(t, 3));
	table_free(t);
}

static void test_each_relay_that_leads_to_a_target_is_kept(void **state)
{
	struct msg_neighbour also = { .role = ROLE_RELAY, .name = "dc2-c" };
	struct table *t = new_table(), *copy = new_table();
	struct table_export x = { .page = 0 };
	struct msg_table_entry e = entry(1, 7);
	struct msg_table_page p = page_of(1, 0, 7, &e);
	struct fault fault;
	struct packbuf pack;
	bool changed;

	(void)state;
	e.how = ROUTE_VIA;
	(void)snprintf(e.via, sizeof(e.via), "dc2-b");
	assert_int_equal(apply(t, &p), RC_OK);
	assert_int_equal(take_all_fresh(t), 1);
	assert_false(table_leads_by(at(t, 1), "dc2-c"));
	e.seq = 8;
	e.also = &also;
	e.also_count = 1;
	p = page_of(1, 7, 8, &e);
	assert_int_equal(apply(t, &p), RC_OK);
	assert_int_equal(take_all_fresh(t), 1);
	/* As on the disk. */
	packbuf_init(&pack, 1 << 20);
	assert_int_equal(table_export_page(t, &x, &pack), RC_OK);
	assert_int_equal(
	    msg_table_page_decode(packbuf_bytes(&pack), &p, &fault), RC_OK);
	assert_int_equal(table_apply(copy, &p, &changed, &fault), RC_OK);
	msg_table_page_clear(&p);
	packbuf_fini(&pack);
	assert_true(table_leads_by(at(copy, 1), "dc2-b"));
	assert_true(table_leads_by(at(copy, 1), "dc2-c"));
	assert_false(table_leads_by(at(copy, 1), "dc2-d"));
	table_free(copy);
	table_free(t);
}

static void test_the_fullest_page_is_within_its_limit(void **state)
{
	struct table *t = new_table();
	struct msg_neighbour from[TABLE_FROM_MAX];
	struct msg_table_entry entries[PAGE];
	struct msg_table_page p = page_of(1, 0, UINT64_MAX / 4, entries);
	struct table_export x = { .page = 0 };
	struct packbuf pack;

	(void)state;
	for (unsigned i = 0; i < TABLE_FROM_MAX; i++) {
		from[i] = (struct msg_neighbour){ .role = ROLE_RELAY };
		memset(from[i].name, 'a' + (int)i, NAME_SIZE - 1);
		from[i].name[NAME_SIZE - 1] = '\0';
	}
	for (unsigned i = 0; i < PAGE; i++) {
		struct msg_table_entry *e = &entries[i];

		*e = entry(i, UINT64_MAX / 4);
		e->how = ROUTE_DIAL;
		memset(e->name, 'n', NAME_SIZE - 1);
		memset(e->endpoint, 'h', 253);
		memcpy(e->endpoint + 253, ":10933", sizeof(":10933"));
		memset(e->endpoint + 63, '.', 1);
		memset(e->endpoint + 127, '.', 1);
		memset(e->endpoint + 191, '.', 1);
		e->from = from;
		e->from_count = TABLE_FROM_MAX;
		e->also = from;
		e->also_count = TABLE_ALSO_MAX;
	}
	p.entry_count = PAGE;
	assert_int_equal(apply(t, &p), RC_OK);
	packbuf_init(&pack, 1 << 20);
	assert_int_equal(table_export_page(t, &x, &pack), RC_OK);
	assert_true(x.done);
	assert_in_range(pack.len, 100000, TABLE_PAGE_BYTES_MAX);
	packbuf_fini(&pack);
	table_free(t);
}

/* --- News, and what is fresh -----------------------------------------------
 */

static void test_only_what_changed_is_fresh_and_news(void **state)
{
	struct table *t = new_table();
	struct msg_table_entry e;
	struct msg_table_page p;
	uint64_t told;

	(void)state;
	fill(t, MANY, MANY, put_it, NULL);
	assert_int_equal(table_count(t), MANY);
	assert_int_equal(take_all_fresh(t), MANY);
	assert_int_equal(count_news(t, 0), MANY);
	told = newest(t);
	/* The same again, as after the server's restart. */
	fill(t, MANY, MANY, put_it, NULL);
	assert_int_equal(take_all_fresh(t), 0);
	assert_int_equal(count_news(t, told), 0);
	e = entry(77, MANY + 1);
	e.how = ROUTE_VIA;
	(void)snprintf(e.via, sizeof(e.via), "dc2-b");
	p = page_of(1, MANY, MANY + 1, &e);
	assert_int_equal(apply(t, &p), RC_OK);
	assert_int_equal(take_all_fresh(t), 1);
	assert_int_equal(count_news(t, told), 1);
	assert_string_equal(table_news(t, told)->text, e.target);
	table_free(t);
}

static void test_something_that_flaps_is_one_piece_of_news(void **state)
{
	struct table *t = new_table();
	struct target target = { .kind = TARGET_MACHINE };
	uint64_t told;

	(void)state;
	fill(t, 300, 300, put_it, NULL);
	told = newest(t);
	for (unsigned i = 0; i < 1000; i++) {
		(void)snprintf(target.name, sizeof(target.name), "7f%030u",
		    i % 2 == 0 ? 5u : 6u);
		table_touch(t, table_find(t, &target));
	}
	assert_int_equal(count_news(t, told), 2);
	table_free(t);
}

static void on_gone(void *arg, struct table_entry *e)
{
	unsigned *count = arg;

	(void)e;
	(*count)++;
}

static void test_fresh_entries_may_go_before_they_are_taken(void **state)
{
	struct table *t = new_table();
	struct msg_table_entry e = entry(1, 7);
	struct msg_table_page p = page_of(1, 0, 7, &e);
	unsigned count = 0;

	(void)state;
	table_on_gone(t, on_gone, &count);
	assert_int_equal(apply(t, &p), RC_OK);
	e = gone(1, 8);
	p = page_of(1, 7, 8, &e);
	assert_int_equal(apply(t, &p), RC_OK);
	assert_int_equal(count, 1);
	assert_null(table_take_fresh(t));
	assert_null(table_news(t, 0));
	table_free(t);
}

/* --- On disk ---------------------------------------------------------------
 */

struct disk {
	char dir[64], path[96];
	struct table *t;
	struct table_file *file;
};

static void disk_open(struct disk *d)
{
	struct fault fault;

	d->t = new_table();
	assert_int_equal(
	    table_file_open(d->path, d->t, &d->file, &fault), RC_OK);
}

static void disk_close(struct disk *d)
{
	table_file_close(d->file);
	table_free(d->t);
}

static void disk_again(struct disk *d)
{
	disk_close(d);
	disk_open(d);
}

static void disk_init(struct disk *d)
{
	log_set_level(LOG_LEVEL_ERROR);
	(void)snprintf(d->dir, sizeof(d->dir), "/tmp/longarm-table-XXXXXX");
	assert_non_null(mkdtemp(d->dir));
	(void)snprintf(d->path, sizeof(d->path), "%s/table", d->dir);
	disk_open(d);
}

static void disk_fini(struct disk *d)
{
	disk_close(d);
	(void)unlink(d->path);
	assert_int_equal(rmdir(d->dir), 0);
}

static void put_on_disk(struct table *t, struct msg_table_page *p, void *arg)
{
	struct disk *d = arg;
	struct packbuf pack;

	assert_int_equal(apply(t, p), RC_OK);
	packbuf_init(&pack, LENFRAME_CONTROL_MAX);
	assert_int_equal(msg_table_page_encode(p, &pack), RC_OK);
	assert_true(pack.len <= TABLE_PAGE_BYTES_MAX);
	table_file_add(d->file, t, p, packbuf_bytes(&pack));
	packbuf_fini(&pack);
}

static void put_delta(struct disk *d, struct msg_table_entry e)
{
	struct msg_table_page p = page_of(1, table_seq(d->t), e.seq, &e);

	put_on_disk(d->t, &p, d);
}

static void test_a_table_is_there_again_after_a_restart(void **state)
{
	struct disk d;

	(void)state;
	disk_init(&d);
	assert_int_equal(table_seq(d.t), 0);
	fill(d.t, 250, 250, put_on_disk, &d);
	put_delta(&d, entry(251, 251));
	put_delta(&d, gone(3, 252));
	disk_again(&d);
	assert_int_equal(table_seq(d.t), 252);
	assert_int_equal(table_count(d.t), 250);
	assert_null(at(d.t, 3));
	assert_int_equal(at(d.t, 251)->seq, 251);
	assert_true(table_permits(at(d.t, 251), ROLE_SERVER, "n1"));
	/* And it goes on from there. */
	put_delta(&d, entry(252, 253));
	disk_again(&d);
	assert_int_equal(table_seq(d.t), 253);
	disk_fini(&d);
}

static void test_a_change_costs_its_own_bytes(void **state)
{
	struct disk d;
	size_t full;

	(void)state;
	disk_init(&d);
	fill(d.t, MANY, MANY, put_on_disk, &d);
	full = table_file_size(d.file);
	assert_int_equal(table_file_rewrites(d.file), 1);
	for (unsigned i = 1; i <= 1000; i++)
		put_delta(&d, entry(i, MANY + i));
	assert_int_equal(table_file_rewrites(d.file), 1);
	assert_in_range(table_file_size(d.file), full, full + 1000 * 512);
	disk_fini(&d);
}

static void test_a_log_that_has_outgrown_its_table_is_written_anew(void **state)
{
	struct disk d;
	struct stat st;
	unsigned n = 0;

	(void)state;
	disk_init(&d);
	fill(d.t, 10, 10, put_on_disk, &d);
	while (table_file_rewrites(d.file) == 1 && n < 20000)
		put_delta(&d, entry(5, 11 + n++));
	assert_int_equal(table_file_rewrites(d.file), 2);
	assert_in_range(table_file_size(d.file), 1, 10000);
	assert_int_equal(stat(d.path, &st), 0);
	assert_int_equal(st.st_size, table_file_size(d.file));
	disk_again(&d);
	assert_int_equal(table_seq(d.t), 10 + n);
	assert_int_equal(table_count(d.t), 10);
	disk_fini(&d);
}

/* Whatever byte the power loss stops at: a table that was true once, to which
 * more can be added. */
static void test_a_log_cut_at_any_byte_is_an_earlier_table(void **state)
{
	struct disk d;
	size_t first, all;
	uint8_t *bytes;
	struct fault fault;

	(void)state;
	disk_init(&d);
	fill(d.t, 3, 3, put_on_disk, &d);
	first = table_file_size(d.file);
	put_delta(&d, entry(4, 4));
	put_delta(&d, gone(1, 5));
	assert_int_equal(
	    fs_read_file(d.path, 1 << 20, &bytes, &all, &fault), RC_OK);
	for (size_t cut = 0; cut <= all; cut++) {
		int fd = open(d.path, O_WRONLY | O_TRUNC | O_CLOEXEC);

		assert_true(fd >= 0);
		assert_int_equal(fs_write_all(fd, bytes, cut), RC_OK);
		(void)close(fd);
		disk_again(&d);
		if (cut < first)
			assert_int_equal(table_seq(d.t), 0);
		else
			assert_in_range(table_seq(d.t), 3, 5);
		assert_int_equal(table_count(d.t), table_seq(d.t) == 0   ? 0
						   : table_seq(d.t) == 4 ? 4
									 : 3);
		if (cut < first)
			fill(d.t, 3, 3, put_on_disk, &d);
		put_delta(&d, entry(9, 9));
		disk_again(&d);
		assert_int_equal(table_seq(d.t), 9);
		assert_non_null(at(d.t, 9));
	}
	free(bytes);
	disk_fini(&d);
}

static void test_a_byte_that_flipped_ends_what_is_believed(void **state)
{
	struct disk d;
	size_t first, all;
	uint8_t *bytes;
	struct fault fault;

	(void)state;
	disk_init(&d);
	fill(d.t, 3, 3, put_on_disk, &d);
	first = table_file_size(d.file);
	put_delta(&d, entry(4, 4));
	assert_int_equal(
	    fs_read_file(d.path, 1 << 20, &bytes, &all, &fault), RC_OK);
	for (size_t i = 0; i < all; i++) {
		int fd = open(d.path, O_WRONLY | O_TRUNC | O_CLOEXEC);

		bytes[i] ^= 0x10;
		assert_int_equal(fs_write_all(fd, bytes, all), RC_OK);
		(void)close(fd);
		bytes[i] ^= 0x10;
		disk_again(&d);
		assert_int_equal(table_seq(d.t), i < first ? 0 : 3);
	}
	free(bytes);
	disk_fini(&d);
}

static void test_without_memory_nothing_is_lost_but_time(void **state)
{
	struct disk d;

	(void)state;
	disk_init(&d);
	fill(d.t, 3, 3, put_on_disk, &d);
	for (size_t n = 0; n < 50; n++) {
		struct table *t;
		struct table_file *file;
		struct fault fault;
		enum rc rc;

		alloc_fail_at(n);
		rc = table_new(&t);
		if (rc == RC_OK) {
			rc = table_file_open(d.path, t, &file, &fault);
			if (rc == RC_OK) {
				assert_int_equal(table_seq(t), 3);
				table_file_close(file);
			}
			table_free(t);
		}
		if (!alloc_failed())
			break;
		assert_true(rc == RC_NOMEM || rc == RC_OK);
	}
	alloc_never_fail();
	disk_fini(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_lower_version_of_an_entry_never_wins),
		cmocka_unit_test(test_a_lower_version_of_the_table_never_wins),
		cmocka_unit_test(test_another_life_of_the_database_counts_anew),
		cmocka_unit_test(
		    test_a_database_that_was_replaced_is_not_believed_again),
		cmocka_unit_test(
		    test_targets_stay_reachable_while_a_full_table_comes),
		cmocka_unit_test(
		    test_each_relay_that_leads_to_a_target_is_kept),
		cmocka_unit_test(test_the_fullest_page_is_within_its_limit),
		cmocka_unit_test(test_only_what_changed_is_fresh_and_news),
		cmocka_unit_test(
		    test_something_that_flaps_is_one_piece_of_news),
		cmocka_unit_test(
		    test_fresh_entries_may_go_before_they_are_taken),
		cmocka_unit_test(test_a_table_is_there_again_after_a_restart),
		cmocka_unit_test(test_a_change_costs_its_own_bytes),
		cmocka_unit_test(
		    test_a_log_that_has_outgrown_its_table_is_written_anew),
		cmocka_unit_test(
		    test_a_log_cut_at_any_byte_is_an_earlier_table),
		cmocka_unit_test(
		    test_a_byte_that_flipped_ends_what_is_believed),
		cmocka_unit_test(test_without_memory_nothing_is_lost_but_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

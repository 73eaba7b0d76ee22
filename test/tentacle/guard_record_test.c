#include "tentacle/guardian/record.h"

#include "tentacle/guardian/order.h"
#include "test/support/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BOOT "0f6bd3e0-92a1-4b0e-8f6a-6e5a1f0c9d11"

/* --- Records ------------------------------------------------------------ */

static struct guard_record sample(void)
{
	struct guard_record r = { .dropped = UINT64_MAX };

	r.header.attempt = 2;
	r.header.until_ms = 123456789;
	memcpy(r.header.boot, BOOT, sizeof(BOOT));
	r.supervisor = (struct guard_who){ 2, UINT64_MAX, BOOT };
	r.shim = (struct guard_who){ INT32_MAX, 0, BOOT };
	r.exec = (struct guard_who){ 4711, 77, BOOT };
	r.noexec.step = STEP_WORKDIR;
	r.noexec.error = 13;
	r.stop.why = WHY_TIMED_OUT;
	r.stop.forced = true;
	r.exit = (struct guard_exit){ .how = HOW_KILLED,
		.by = BY_SUPERVISOR,
		.code = 255,
		.signal = 64,
		.step = STEP_EXEC,
		.error = 2147483647,
		.why = WHY_CANCELLED,
		.forced = true,
		.oom = UINT64_MAX,
		.output = UINT64_MAX,
		.at_ms = UINT64_MAX,
		.refused = UINT64_MAX };
	(void)snprintf(r.tree[0], GUARD_TREE_SIZE, "/sys/fs/cgroup/a b/c=d");
	memset(r.tree[1], 'x', 640);
	r.tree[1][0] = '/';
	(void)snprintf(r.tree[2], GUARD_TREE_SIZE, "/pids");
	return r;
}

static void fill(const struct guard_record *r, uint8_t *file)
{
	guard_record_encode(r, file);
	for (int i = 0; i < GUARD_SLOTS; i++) {
		enum guard_slot slot = (enum guard_slot)i;

		assert_int_equal(
		    guard_slot_encode(r, slot, file + guard_slot_offset(slot)),
		    RC_OK);
	}
}

static void assert_same(
    const struct guard_record *a, const struct guard_record *b)
{
	assert_int_equal(a->header.attempt, b->header.attempt);
	assert_int_equal(a->header.until_ms, b->header.until_ms);
	assert_string_equal(a->header.boot, b->header.boot);
	assert_int_equal(a->supervisor.pid, b->supervisor.pid);
	assert_int_equal(a->supervisor.start, b->supervisor.start);
	assert_int_equal(a->shim.pid, b->shim.pid);
	assert_int_equal(a->exec.pid, b->exec.pid);
	assert_int_equal(a->exec.start, b->exec.start);
	assert_string_equal(a->exec.boot, b->exec.boot);
	assert_int_equal(a->noexec.step, b->noexec.step);
	assert_int_equal(a->noexec.error, b->noexec.error);
	assert_int_equal(a->stop.why, b->stop.why);
	assert_int_equal(a->stop.forced, b->stop.forced);
	assert_int_equal(a->dropped, b->dropped);
	assert_int_equal(a->exit.how, b->exit.how);
	assert_int_equal(a->exit.by, b->exit.by);
	assert_int_equal(a->exit.code, b->exit.code);
	assert_int_equal(a->exit.signal, b->exit.signal);
	assert_int_equal(a->exit.step, b->exit.step);
	assert_int_equal(a->exit.error, b->exit.error);
	assert_int_equal(a->exit.why, b->exit.why);
	assert_int_equal(a->exit.forced, b->exit.forced);
	assert_int_equal(a->exit.oom, b->exit.oom);
	assert_int_equal(a->exit.output, b->exit.output);
	assert_int_equal(a->exit.at_ms, b->exit.at_ms);
	assert_int_equal(a->exit.refused, b->exit.refused);
	assert_string_equal(a->tree[0], b->tree[0]);
	assert_string_equal(a->tree[1], b->tree[1]);
	assert_string_equal(a->tree[2], b->tree[2]);
}

static void test_what_is_written_is_read_again(void **state)
{
	const struct guard_record r = sample();
	struct guard_record back;
	uint8_t file[GUARD_RECORD_SIZE];

	(void)state;
	fill(&r, file);
	assert_int_equal(
	    guard_record_decode(bytes_of(file, sizeof(file)), &back), RC_OK);
	for (int i = 0; i < GUARD_SLOTS; i++)
		assert_int_equal(back.state[i], SLOT_VALID);
	assert_same(&r, &back);
}

static void test_a_new_record_is_blank_but_for_its_header(void **state)
{
	const struct guard_record r = sample();
	struct guard_record back;
	uint8_t file[GUARD_RECORD_SIZE];

	(void)state;
	guard_record_encode(&r, file);
	assert_int_equal(
	    guard_record_decode(bytes_of(file, sizeof(file)), &back), RC_OK);
	assert_int_equal(back.state[GUARD_HEADER], SLOT_VALID);
	for (int i = 1; i < GUARD_SLOTS; i++)
		assert_int_equal(back.state[i], SLOT_BLANK);
}

static void test_slots_lie_within_a_page_and_apart(void **state)
{
	size_t end = 0;

	(void)state;
	for (int i = 0; i < GUARD_SLOTS; i++) {
		enum guard_slot slot = (enum guard_slot)i;

		assert_true(guard_slot_offset(slot) >= end);
		end = guard_slot_offset(slot) + guard_slot_size(slot);
		assert_true(end <= GUARD_RECORD_SIZE);
	}
}

/*
 * What a torn write or a bad disk leaves is never taken for "it never ran", nor
 * for another end.
 */
static void test_no_damage_is_taken_for_blank_or_for_valid(void **state)
{
	static const enum guard_slot slots[] = { GUARD_EXEC, GUARD_EXIT };
	const struct guard_record r = sample();
	uint8_t whole[GUARD_SLOT_SIZE], cut[GUARD_SLOT_SIZE];
	struct guard_record back;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(guard_slot_encode(&r, slots[i], whole), RC_OK);
		for (size_t at = 1; at < sizeof(whole); at++) {
			memset(cut, ' ', sizeof(cut) - 1);
			cut[sizeof(cut) - 1] = '\n';
			memcpy(cut, whole, at);
			guard_slot_decode(
			    &back, slots[i], bytes_of(cut, sizeof(cut)));
			if (memcmp(cut, whole, sizeof(cut)) != 0)
				assert_int_equal(
				    back.state[slots[i]], SLOT_DAMAGED);
		}
		for (size_t bit = 0; bit < 8 * (sizeof(whole) - 1); bit++) {
			memcpy(cut, whole, sizeof(cut));
			cut[bit / 8] ^= (uint8_t)(1u << bit % 8);
			guard_slot_decode(
			    &back, slots[i], bytes_of(cut, sizeof(cut)));
			assert_int_equal(back.state[slots[i]], SLOT_DAMAGED);
		}
	}
	/* A block that came back as zeros. */
	memset(cut, 0, sizeof(cut));
	guard_slot_decode(&back, GUARD_EXEC, bytes_of(cut, sizeof(cut)));
	assert_int_equal(back.state[GUARD_EXEC], SLOT_DAMAGED);
}

static void test_a_file_of_another_size_or_without_header_is_refused(
    void **state)
{
	const struct guard_record r = sample();
	uint8_t file[GUARD_RECORD_SIZE];
	struct guard_record back;

	(void)state;
	guard_record_encode(&r, file);
	for (size_t len = 0; len < sizeof(file); len += 17)
		assert_int_equal(
		    guard_record_decode(bytes_of(file, len), &back), RC_PROTO);
	file[3] ^= 1;
	assert_int_equal(
	    guard_record_decode(bytes_of(file, sizeof(file)), &back), RC_PROTO);
}

/* A line as a later version might write it, with its checksum. */
static enum guard_slot_state read_line(
    enum guard_slot slot, const char *text, struct guard_record *back)
{
	uint8_t bytes[GUARD_SLOT_SIZE];
	char line[GUARD_SLOT_SIZE];
	uint32_t crc = 0xffffffffu;

	for (const char *c = text; *c != '\0'; c++) {
		crc ^= (uint8_t)*c;
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1)));
	}
	(void)snprintf(line, sizeof(line), "%s crc=%08x", text, (unsigned)~crc);
	memset(bytes, ' ', sizeof(bytes) - 1);
	bytes[sizeof(bytes) - 1] = '\n';
	memcpy(bytes, line, strlen(line));
	guard_slot_decode(back, slot, bytes_of(bytes, sizeof(bytes)));
	return back->state[slot];
}

static void test_what_a_later_version_adds_is_skipped(void **state)
{
	struct guard_record back = { .dropped = 0 };

	(void)state;
	assert_int_equal(
	    read_line(GUARD_EXEC,
		"exec version=1 mood=good pid=5 start=6 more=x boot=" BOOT,
		&back),
	    SLOT_VALID);
	assert_int_equal(back.exec.pid, 5);
	assert_int_equal(back.exec.start, 6);
	/* What it changed is not guessed at. */
	assert_int_equal(read_line(GUARD_EXEC,
			     "exec version=2 pid=5 start=6 boot=" BOOT, &back),
	    SLOT_DAMAGED);
}

static void test_values_out_of_range_are_damage(void **state)
{
	static const char *const lines[] = {
		"exec version=1 pid=1 start=6 boot=" BOOT,
		"exec version=1 pid=-5 start=6 boot=" BOOT,
		"exec version=1 pid=2147483648 start=6 boot=" BOOT,
		"exec version=1 pid=5 start=18446744073709551616 boot=" BOOT,
		"exec version=1 pid=5x start=6 boot=" BOOT,
		"exec version=1 pid= start=6 boot=" BOOT,
		"exec version=1 pid=5 start=6 boot=short",
		"exec version=1 pid=5 start=6",
		"shim version=1 pid=5 start=6 boot=" BOOT,
		"execpid version=1 pid=5 start=6 boot=" BOOT,
	};
	struct guard_record back = { .dropped = 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_int_equal(
		    read_line(GUARD_EXEC, lines[i], &back), SLOT_DAMAGED);
	assert_int_equal(
	    read_line(GUARD_STOP, "stop version=1 why=none forced=0", &back),
	    SLOT_DAMAGED);
	assert_int_equal(
	    read_line(GUARD_STOP, "stop version=1 why=bored forced=0", &back),
	    SLOT_DAMAGED);
	assert_int_equal(
	    read_line(GUARD_TREE_1, "tree version=1 path=/x", &back),
	    SLOT_DAMAGED); /* of another size */
}

static void test_a_path_that_does_not_fit_is_not_written(void **state)
{
	struct guard_record r = sample();
	uint8_t out[GUARD_TREE_SIZE];

	(void)state;
	memset(r.tree[0], 'x', GUARD_TREE_SIZE - 1);
	assert_int_equal(guard_slot_encode(&r, GUARD_TREE_1, out), RC_LIMIT);
	(void)snprintf(r.tree[0], GUARD_TREE_SIZE, "/a\nexit");
	assert_int_equal(guard_slot_encode(&r, GUARD_TREE_1, out), RC_LIMIT);
}

/* --- Orders ------------------------------------------------------------- */

static char shell[] = "/bin/sh", script[] = "/x/script", one[] = "A=1",
	    two[] = "B=two words", empty[] = "";
static char *const env[] = { one, two, empty, NULL };

static struct guard_order order(void)
{
	return (struct guard_order){ .ticket = "",
		.name = "script",
		.workdir = "/opt/x",
		.arg_count = 2,
		.args = { shell, script },
		.env_count = 3,
		.env = env,
		.timeout_ms = UINT32_MAX,
		.grace_ms = 0,
		.output_max = 1ull << 40,
		.passing = true,
		.memory = 1ull << 50,
		.processes = 64,
		.has_user = true,
		.uid = UINT32_MAX - 1,
		.gid = 33,
		.group_count = 2,
		.groups = { 33, 4 } };
}

/* An older guardian skips what it does not know: the user, too. */
static void test_an_order_with_a_user_or_limits_has_its_own_number(void **state)
{
	struct guard_order orders[4], back;
	uint8_t *data = NULL;
	size_t len;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		orders[i] = order();
		orders[i].has_user = i == 1;
		orders[i].memory = i == 2 ? 1 : 0;
		orders[i].processes = i == 3 ? 1 : 0;
		assert_int_equal(
		    guard_order_encode(&orders[i], &data, &len), RC_OK);
		assert_memory_equal(data, i == 0 ? "LGORDER1" : "LGORDER2", 8);
		/* What was written before there was another. */
		data[7] = '1';
		assert_int_equal(guard_order_decode(data, len, &back), RC_OK);
		assert_int_equal(back.has_user, i == 1);
		guard_order_clear(&back);
		data[7] = '3';
		assert_int_equal(
		    guard_order_decode(data, len, &back), RC_PROTO);
		free(data);
	}
}

static void test_an_order_is_read_as_it_was_written(void **state)
{
	const struct guard_order o = order();
	struct guard_order back;
	uint8_t *data = NULL;
	size_t len;

	(void)state;
	assert_int_equal(guard_order_encode(&o, &data, &len), RC_OK);
	assert_int_equal(guard_order_decode(data, len, &back), RC_OK);
	assert_string_equal(back.ticket, "");
	assert_string_equal(back.name, "script");
	assert_string_equal(back.workdir, "/opt/x");
	assert_int_equal(back.arg_count, 2);
	assert_string_equal(back.args[0], "/bin/sh");
	assert_string_equal(back.args[1], "/x/script");
	assert_null(back.args[2]);
	assert_int_equal(back.env_count, 3);
	assert_string_equal(back.env[1], "B=two words");
	assert_string_equal(back.env[2], "");
	assert_null(back.env[3]);
	assert_int_equal(back.timeout_ms, UINT32_MAX);
	assert_int_equal(back.output_max, 1ull << 40);
	assert_true(back.passing);
	assert_int_equal(back.memory, 1ull << 50);
	assert_int_equal(back.processes, 64);
	assert_true(back.has_user);
	assert_int_equal(back.uid, UINT32_MAX - 1);
	assert_int_equal(back.gid, 33);
	assert_int_equal(back.group_count, 2);
	assert_int_equal(back.groups[1], 4);
	guard_order_clear(&back);
	free(data);
}

static void test_an_order_cut_or_changed_anywhere_is_refused(void **state)
{
	const struct guard_order o = order();
	struct guard_order back;
	uint8_t *data = NULL;
	size_t len;

	(void)state;
	assert_int_equal(guard_order_encode(&o, &data, &len), RC_OK);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(
		    guard_order_decode(data, cut, &back), RC_PROTO);
	for (size_t at = 0; at < len; at++) {
		data[at] ^= 0x41;
		assert_int_equal(
		    guard_order_decode(data, len, &back), RC_PROTO);
		data[at] ^= 0x41;
	}
	free(data);
}

static void test_an_order_without_a_place_or_a_word_is_refused(void **state)
{
	struct guard_order o = order(), back;
	uint8_t *data = NULL;
	size_t len;

	(void)state;
	o.workdir = "relative";
	assert_int_equal(guard_order_encode(&o, &data, &len), RC_OK);
	assert_int_equal(guard_order_decode(data, len, &back), RC_PROTO);
	free(data);
	o = order();
	o.name = "../up";
	assert_int_equal(guard_order_encode(&o, &data, &len), RC_OK);
	assert_int_equal(guard_order_decode(data, len, &back), RC_PROTO);
	free(data);
	o = order();
	o.arg_count = 0;
	assert_int_equal(guard_order_encode(&o, &data, &len), RC_OK);
	assert_int_equal(guard_order_decode(data, len, &back), RC_PROTO);
	free(data);
}

static void test_a_user_that_is_nobody_is_refused(void **state)
{
	struct guard_order o = order(), back;
	uint8_t *data = NULL;
	size_t len;

	(void)state;
	o.uid = UINT32_MAX; /* the kernel would leave it as it is: root */
	assert_int_equal(guard_order_encode(&o, &data, &len), RC_OK);
	assert_int_equal(guard_order_decode(data, len, &back), RC_PROTO);
	free(data);
	o = order();
	o.group_count = GUARD_GROUPS_MAX + 1;
	assert_int_equal(guard_order_encode(&o, &data, &len), RC_LIMIT);
}

static void test_an_order_needs_memory(void **state)
{
	const struct guard_order o = order();
	struct guard_order back;
	uint8_t *data = NULL;
	size_t len;

	(void)state;
	alloc_fail_at(0);
	assert_int_equal(guard_order_encode(&o, &data, &len), RC_NOMEM);
	alloc_never_fail();
	assert_int_equal(guard_order_encode(&o, &data, &len), RC_OK);
	alloc_fail_at(0);
	assert_int_equal(guard_order_decode(data, len, &back), RC_NOMEM);
	alloc_never_fail();
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_written_is_read_again),
		cmocka_unit_test(test_a_new_record_is_blank_but_for_its_header),
		cmocka_unit_test(test_slots_lie_within_a_page_and_apart),
		cmocka_unit_test(
		    test_no_damage_is_taken_for_blank_or_for_valid),
		cmocka_unit_test(
		    test_a_file_of_another_size_or_without_header_is_refused),
		cmocka_unit_test(test_what_a_later_version_adds_is_skipped),
		cmocka_unit_test(test_values_out_of_range_are_damage),
		cmocka_unit_test(test_a_path_that_does_not_fit_is_not_written),
		cmocka_unit_test(
		    test_an_order_with_a_user_or_limits_has_its_own_number),
		cmocka_unit_test(test_an_order_is_read_as_it_was_written),
		cmocka_unit_test(
		    test_an_order_cut_or_changed_anywhere_is_refused),
		cmocka_unit_test(
		    test_an_order_without_a_place_or_a_word_is_refused),
		cmocka_unit_test(test_a_user_that_is_nobody_is_refused),
		cmocka_unit_test(test_an_order_needs_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Variables that steps set for later ones: whose they are, and which count. */
#include "server/dispatch/work.h"
#include "server/store/note.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MACHINES 10000u
#define FIRST    "0123456789abcdef0123456789abcdef"
#define SECOND   "fedcba9876543210fedcba9876543210"

/* One block of all machines, and one of the first alone. */
struct desk {
	struct task_machine *machines;
	uint32_t *targets;
	struct task_action action;
	struct task_block blocks[2];
	struct task_plan plan;
	struct work_task task;
};

static void open_desk(struct desk *d, uint32_t machines)
{
	*d = (struct desk){ .action = { .name = "find out" } };
	d->machines = calloc(machines, sizeof(*d->machines));
	d->targets = calloc(machines, sizeof(*d->targets));
	assert_true(d->machines != NULL && d->targets != NULL);
	for (uint32_t i = 0; i < machines; i++)
		d->targets[i] = i;
	for (int i = 0; i < 2; i++)
		d->blocks[i] = (struct task_block){ .action_count = 1,
			.actions = &d->action,
			.target_count = i == 0 ? machines : 1,
			.targets = d->targets };
	d->plan = (struct task_plan){ .number = 1,
		.machine_count = machines,
		.machines = d->machines,
		.block_count = 2,
		.blocks = d->blocks };
	d->task.rows.plan = &d->plan;
}

static void close_desk(struct desk *d)
{
	work_outputs_free(&d->task);
	free(d->machines);
	free(d->targets);
}

static void set(struct desk *d, uint32_t block, uint32_t target,
    const char *ticket, const char *name, const char *value)
{
	struct store_note note = { .key = { 1, block, target, 0 },
		.kind = NOTE_OUTPUT };

	memcpy(note.ticket, ticket, sizeof(note.ticket));
	(void)snprintf(note.name, sizeof(note.name), "%s", name);
	work_output_add(&d->task, &note, (const uint8_t *)value, strlen(value));
}

/* "name=value;..." that a step on this machine finds. */
static const char *found_on(struct desk *d, uint32_t machine)
{
	static char text[512];
	const struct work_run run = { .task = &d->task,
		.key = { 1, 0, machine, 0 },
		.machine = &d->machines[machine] };
	struct variable_set set = { .items = NULL };
	struct fault fault;
	size_t len = 0;

	text[0] = '\0';
	assert_int_equal(work_outputs_join(&run, &set, &fault), RC_OK);
	for (size_t i = 0; i < set.count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    "%s=%s;", set.items[i].name, set.items[i].value);
	variable_set_clear(&set);
	return text;
}

static void test_each_machine_finds_its_own_and_those_for_all(void **state)
{
	struct desk d;

	(void)state;
	open_desk(&d, 3);
	assert_string_equal(found_on(&d, 0), "");
	set(&d, 0, 1, FIRST, "Own", "one");
	set(&d, 1, 0, FIRST, "All", "x");
	set(&d, 0, 1, FIRST, "Later", "two");
	assert_string_equal(found_on(&d, 2), "Steps.find-out.Output.All=x;");
	assert_string_equal(found_on(&d, 1),
	    "Steps.find-out.Output.Own=one;Steps.find-out.Output.All=x;"
	    "Steps.find-out.Output.Later=two;");
	set(&d, 0, 1, FIRST, "Own", "three"); /* the last word counts */
	assert_non_null(strstr(found_on(&d, 1), "Own=three"));
	assert_null(strstr(found_on(&d, 1), "Own=one"));
	close_desk(&d);
}

static void test_what_an_earlier_attempt_has_set_is_gone(void **state)
{
	const struct run_key key = { 1, 0, 1, 0 };
	struct desk d;

	(void)state;
	open_desk(&d, 3);
	work_outputs_drop(&d.task, &key, SECOND); /* nothing was said yet */
	set(&d, 0, 1, FIRST, "Own", "one");
	set(&d, 0, 2, FIRST, "Own", "other");
	work_outputs_drop(&d.task, &key, FIRST);
	assert_non_null(strstr(found_on(&d, 1), "Own=one"));
	work_outputs_drop(&d.task, &key, SECOND);
	assert_string_equal(found_on(&d, 1), "");
	assert_non_null(strstr(found_on(&d, 2), "Own=other"));
	close_desk(&d);
}

static void test_ten_thousand_machines_set_theirs(void **state)
{
	struct desk d;

	(void)state;
	open_desk(&d, MACHINES);
	for (uint32_t i = 0; i < MACHINES; i++) {
		const struct run_key key = { 1, 0, i, 0 };

		set(&d, 0, i, FIRST, "A", "x");
		set(&d, 0, i, FIRST, "B", "y");
		assert_null(work_output_room(&d.task, &key));
	}
	assert_string_equal(found_on(&d, MACHINES - 1),
	    "Steps.find-out.Output.A=x;Steps.find-out.Output.B=y;");
	close_desk(&d);
}

static void test_one_machine_fills_its_own_list_only(void **state)
{
	const struct run_key first = { 1, 0, 0, 0 }, second = { 1, 0, 1, 0 };
	struct desk d;

	(void)state;
	open_desk(&d, 2);
	for (int i = 0; i < 1000; i++) {
		char name[16];

		assert_null(work_output_room(&d.task, &first));
		(void)snprintf(name, sizeof(name), "V%d", i);
		set(&d, 0, 0, FIRST, name, "x");
	}
	assert_non_null(work_output_room(&d.task, &first));
	assert_null(work_output_room(&d.task, &second));
	close_desk(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_each_machine_finds_its_own_and_those_for_all),
		cmocka_unit_test(test_what_an_earlier_attempt_has_set_is_gone),
		cmocka_unit_test(test_ten_thousand_machines_set_theirs),
		cmocka_unit_test(test_one_machine_fills_its_own_list_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

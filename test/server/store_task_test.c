/* Tasks as rows: a plan comes back as it went in, and only its owner writes. */
#include "server/store/note.h"
#include "server/store/task.h"
#include "test/support/alloc.h"
#include "test/support/tempdb.h"

#define TICKET "0123456789abcdef0123456789abcdef"

static struct task_machine machines[] = { { "id-1", "web-01" },
	{ "id-2", "web-02" } };
static uint32_t targets[] = { 1, 0 };
static struct task_action actions[] = {
	{ .name = "drain", .type = ACTION_TYPE_SCRIPT, .timeout_ms = 5 },
	{ .name = "install",
	    .type = ACTION_TYPE_ACTIVATE,
	    .queue_ms = 7,
	    .payload = 1 }
};
static struct task_block blocks[] = { { .name = "roll out",
    .window = 2,
    .max_failures = TASK_ANY_FAILURES,
    .action_count = 2,
    .actions = actions,
    .target_count = 2,
    .targets = targets } };
static const char *const payloads[] = { "{\"run\":\"x\"}", "{}" };

static uint64_t add_task(struct db *db, enum task_kind kind, uint64_t *number)
{
	struct store_task task = { .kind = kind,
		.title = "shop 1.0 to prod",
		.project = "shop",
		.release = "1.0",
		.environment = "prod",
		.who = "apikey ci",
		.created_ms = 10 };
	struct task_plan plan = { .kind = kind,
		.deadline_ms = 99,
		.lane = "shop/prod",
		.machine_count = 2,
		.machines = machines,
		.block_count = 1,
		.blocks = blocks };
	struct store_task_new n = { &task, &plan, payloads, 2 };
	struct fault fault = { 0 };

	if (store_task_create(db, &n, &fault) != RC_OK)
		fail_msg("%s", fault.text);
	assert_int_equal(plan.number, task.row.number);
	*number = task.row.number;
	return task.deployment;
}

static struct store_owner claim(struct db *db, uint64_t number)
{
	struct store_owner me = { "node-1/7", "1-a", 0 };

	assert_int_equal(store_task_claim(db, number, &me, &me.epoch), RC_OK);
	return me;
}

static void test_a_plan_comes_back_as_it_went_in(void **state)
{
	struct store_task_rows rows;
	struct tempdb t;
	uint64_t number = 0;

	(void)state;
	tempdb_open(&t);
	assert_int_equal(add_task(t.db, TASK_DEPLOY, &number), 1);
	assert_int_equal(store_task_load(t.db, number, &rows, NULL), RC_OK);
	assert_int_equal(rows.plan->number, number);
	assert_int_equal(rows.plan->deadline_ms, 99);
	assert_string_equal(rows.plan->lane, "shop/prod");
	assert_int_equal(rows.plan->machine_count, 2);
	assert_string_equal(rows.plan->machines[1].name, "web-02");
	assert_int_equal(rows.plan->block_count, 1);
	assert_int_equal(rows.plan->blocks[0].targets[0], 1);
	assert_int_equal(rows.plan->blocks[0].max_failures, TASK_ANY_FAILURES);
	assert_int_equal(
	    rows.plan->blocks[0].actions[1].type, ACTION_TYPE_ACTIVATE);
	assert_int_equal(rows.plan->blocks[0].actions[1].queue_ms, 7);
	assert_int_equal(rows.payload_count, 2);
	assert_string_equal(rows.payloads[0], "{\"run\":\"x\"}");
	assert_int_equal(rows.run_count, 0);
	assert_int_equal(rows.task.row.state, TASK_QUEUED);
	assert_string_equal(rows.task.who, "apikey ci");
	store_task_rows_clear(&rows);
	assert_int_equal(
	    store_task_load(t.db, number + 1, &rows, NULL), RC_NOTFOUND);
	tempdb_close(&t);
}

static void test_deployments_are_numbered_per_project_and_environment(
    void **state)
{
	struct tempdb t;
	uint64_t number = 0, next = 0;

	(void)state;
	tempdb_open(&t);
	assert_int_equal(add_task(t.db, TASK_DEPLOY, &number), 1);
	assert_int_equal(add_task(t.db, TASK_RUN, &number), 0);
	assert_int_equal(add_task(t.db, TASK_DEPLOY, &number), 2);
	assert_int_equal(number, 3);
	assert_int_equal(
	    store_deployment_next(t.db, "shop", "prod", &next), RC_OK);
	assert_int_equal(next, 3);
	assert_int_equal(
	    store_deployment_next(t.db, "shop", "dev", &next), RC_OK);
	assert_int_equal(next, 1);
	tempdb_close(&t);
}

static void test_a_plan_that_contradicts_itself_is_refused(void **state)
{
	struct store_task task = { .kind = TASK_RUN };
	uint32_t beyond[] = { 9 };
	struct task_block block = blocks[0];
	struct task_plan plan = { .machine_count = 2,
		.machines = machines,
		.block_count = 1,
		.blocks = &block };
	struct store_task_new n = { &task, &plan, NULL, 0 };
	struct fault fault = { 0 };
	struct tempdb t;

	(void)state;
	tempdb_open(&t);
	block.targets = beyond;
	block.target_count = 1;
	assert_int_not_equal(store_task_create(t.db, &n, &fault), RC_OK);
	assert_int_not_equal(fault.code, REASON_NONE);
	tempdb_close(&t);
}

/* Everything that the engine may say of a run, in one row. */
static struct engine_change a_run(uint64_t number)
{
	struct engine_change c = { .type = CHANGE_RUN };
	struct run_row *r = &c.row.run;

	r->key = (struct run_key){ number, 0, 1, 1 };
	r->state = RUN_FAILED;
	(void)snprintf(r->ticket, sizeof(r->ticket), "%s", TICKET);
	r->sent = true;
	r->tries = 3;
	r->starting_ms = 11;
	r->running_ms = 12;
	r->ended_ms = 13;
	r->exit_code = -1;
	r->signal = 9;
	r->health = MACHINE_HEALTH_UNHEALTHY;
	fault_set(&r->fault, REASON_SCRIPT_FAILED, "web-01", "exit 1");
	return c;
}

static struct engine_change a_task(uint64_t number, enum task_state state)
{
	struct engine_change c = { .type = CHANGE_TASK };

	c.row.task.number = number;
	c.row.task.state = state;
	c.row.task.started_ms = 11;
	c.row.task.ok_count = 1;
	c.row.task.failed_count = 1;
	c.row.task.partial = true;
	return c;
}

static void test_changes_and_facts_are_written_together(void **state)
{
	struct store_fact facts[2] = { { .type = "accepted", .at_ms = 12 },
		{ .type = "ended", .of_run = true, .json = "{\"exit\":1}" } };
	struct engine_change changes[2];
	struct store_fact_row *kept = NULL;
	struct store_task_rows rows;
	struct store_batch batch = { .facts = facts,
		.fact_count = 2,
		.changes = changes,
		.change_count = 2 };
	struct tempdb t;
	size_t n = 0;

	(void)state;
	tempdb_open(&t);
	(void)add_task(t.db, TASK_DEPLOY, &batch.number);
	batch.who = claim(t.db, batch.number);
	changes[0] = a_task(batch.number, TASK_RUNNING);
	changes[1] = a_run(batch.number);
	facts[1].key = changes[1].row.run.key;
	assert_int_equal(store_task_apply(t.db, &batch), RC_OK);
	/* An upsert: the same again changes nothing. */
	assert_int_equal(store_task_apply(t.db, &batch), RC_OK);
	assert_int_equal(
	    store_task_load(t.db, batch.number, &rows, NULL), RC_OK);
	assert_int_equal(rows.run_count, 1);
	assert_int_equal(rows.runs[0].key.target, 1);
	assert_int_equal(rows.runs[0].state, RUN_FAILED);
	assert_string_equal(rows.runs[0].ticket, TICKET);
	assert_true(rows.runs[0].sent);
	assert_int_equal(rows.runs[0].exit_code, -1);
	assert_int_equal(rows.runs[0].signal, 9);
	assert_int_equal(rows.runs[0].health, MACHINE_HEALTH_UNHEALTHY);
	assert_int_equal(rows.runs[0].fault.code, REASON_SCRIPT_FAILED);
	assert_string_equal(rows.runs[0].fault.text, "exit 1");
	assert_int_equal(rows.task.row.state, TASK_RUNNING);
	assert_int_equal(rows.task.row.epoch, batch.who.epoch);
	assert_true(rows.task.row.partial);
	assert_int_equal(rows.task.fact_seq, 4);
	store_task_rows_clear(&rows);
	assert_int_equal(
	    store_fact_list(t.db, batch.number, 0, 0, &kept, &n), RC_OK);
	assert_int_equal(n, 4);
	assert_int_equal(kept[0].seq, 1);
	assert_false(kept[0].of_run);
	assert_true(kept[1].of_run);
	assert_int_equal(kept[1].key.target, 1);
	assert_string_equal(kept[1].json, "{\"exit\":1}");
	store_facts_free(kept, n);
	tempdb_close(&t);
}

static size_t notes_of(struct db *db, uint64_t number)
{
	const struct store_note_filter all = { .task = number,
		.kind = NOTE_KIND_COUNT };
	struct store_note *notes = NULL;
	size_t n = 0;

	assert_int_equal(store_note_list(db, &all, &notes, &n), RC_OK);
	store_notes_free(notes, n);
	return n;
}

static void test_what_an_attempt_said_goes_with_it(void **state)
{
	struct engine_change change;
	struct store_batch batch = { .changes = &change, .change_count = 1 };
	struct store_note note = {
		.number = 1, .kind = NOTE_OUTPUT, .name = "Url"
	};
	struct store_progress progress = { .percent = 40, .text = "copying" };
	struct store_run run;
	struct tempdb t;

	(void)state;
	tempdb_open(&t);
	(void)add_task(t.db, TASK_DEPLOY, &batch.number);
	batch.who = claim(t.db, batch.number);
	change = a_run(batch.number);
	assert_int_equal(store_task_apply(t.db, &batch), RC_OK);
	note.key = change.row.run.key;
	progress.key = note.key;
	memcpy(note.ticket, TICKET, sizeof(note.ticket));
	memcpy(progress.ticket, TICKET, sizeof(progress.ticket));
	assert_int_equal(store_note_put(t.db, &note), RC_OK);
	assert_int_equal(store_progress_put(t.db, &progress), RC_OK);
	/* The same attempt again: all stays. */
	change.row.run.attempt = 1;
	assert_int_equal(store_task_apply(t.db, &batch), RC_OK);
	assert_int_equal(notes_of(t.db, batch.number), 1);
	change.row.run.attempt = 2;
	change.row.run.ticket[0] = 'f';
	assert_int_equal(store_task_apply(t.db, &batch), RC_OK);
	assert_int_equal(notes_of(t.db, batch.number), 0);
	assert_int_equal(store_run_get(t.db, &note.key, &run), RC_OK);
	assert_int_equal(run.percent, 0);
	/* What comes late of the first one is not written any more. */
	assert_int_equal(store_note_put(t.db, &note), RC_OK);
	assert_int_equal(store_progress_put(t.db, &progress), RC_OK);
	assert_int_equal(notes_of(t.db, batch.number), 0);
	assert_int_equal(store_run_get(t.db, &note.key, &run), RC_OK);
	assert_int_equal(run.percent, 0);
	tempdb_close(&t);
}

static void test_a_run_is_found_by_its_key(void **state)
{
	struct run_row runs[3 * 4 * 5];
	const struct store_task_rows rows = { .runs = runs,
		.run_count = sizeof(runs) / sizeof(runs[0]) };
	const struct run_key missing = { 1, 1, 4, 0 };
	size_t n = 0, index;

	(void)state;
	for (uint32_t b = 0; b < 3; b++)
		for (uint32_t t = 0; t < 4; t++)
			for (uint32_t a = 0; a < 5; a++)
				runs[n++] =
				    (struct run_row){ .key = { 1, b, t, a } };
	for (size_t i = 0; i < n; i++) {
		assert_true(store_task_rows_find(&rows, &runs[i].key, &index));
		assert_int_equal(index, i);
	}
	assert_false(store_task_rows_find(&rows, &missing, &index));
}

static void test_who_lost_a_task_writes_nothing(void **state)
{
	struct store_owner other = { "node-2/1", "1-a", 0 };
	struct engine_change change;
	struct store_batch batch = { .changes = &change, .change_count = 1 };
	struct store_task task;
	struct tempdb t;

	(void)state;
	tempdb_open(&t);
	(void)add_task(t.db, TASK_RUN, &batch.number);
	batch.who = claim(t.db, batch.number);
	change = a_task(batch.number, TASK_FAILED);
	assert_int_equal(
	    store_task_claim(t.db, batch.number, &other, &other.epoch), RC_OK);
	assert_int_equal(other.epoch, batch.who.epoch + 1);
	assert_int_equal(store_task_apply(t.db, &batch), RC_STATE);
	assert_int_equal(
	    store_task_get(t.db, batch.number, &task, NULL), RC_OK);
	assert_int_equal(task.row.state, TASK_QUEUED);
	batch.who = other;
	assert_int_equal(store_task_apply(t.db, &batch), RC_OK);
	/* It has ended: nobody takes it any more. */
	assert_int_equal(
	    store_task_claim(t.db, batch.number, &other, &other.epoch),
	    RC_NOTFOUND);
	tempdb_close(&t);
}

static void test_a_row_of_another_task_is_refused(void **state)
{
	struct engine_change change;
	struct store_batch batch = { .changes = &change, .change_count = 1 };
	struct tempdb t;

	(void)state;
	tempdb_open(&t);
	(void)add_task(t.db, TASK_RUN, &batch.number);
	batch.who = claim(t.db, batch.number);
	change = a_run(batch.number + 1);
	assert_int_equal(store_task_apply(t.db, &batch), RC_PROTO);
	change = a_run(batch.number);
	change.row.run.key.target = 2; /* not in the plan */
	assert_int_equal(store_task_apply(t.db, &batch), RC_STATE);
	tempdb_close(&t);
}

static void test_a_log_grows_by_compare_and_set(void **state)
{
	const uint8_t sha256[32] = { 0xab };
	struct engine_change change;
	struct store_batch batch = { .changes = &change, .change_count = 1 };
	struct store_run *runs = NULL, one;
	struct run_key key, found;
	struct store_log log;
	struct tempdb t;
	uint64_t now = 0;
	size_t n = 0;

	(void)state;
	tempdb_open(&t);
	(void)add_task(t.db, TASK_RUN, &batch.number);
	batch.who = claim(t.db, batch.number);
	change = a_run(batch.number);
	key = change.row.run.key;
	log = (struct store_log){ .key = key, .ticket = change.row.run.ticket };
	assert_int_equal(
	    store_run_log_grow(t.db, &log, 0, 5, &now), RC_NOTFOUND);
	assert_int_equal(store_task_apply(t.db, &batch), RC_OK);
	assert_int_equal(store_run_log_grow(t.db, &log, 0, 5, &now), RC_OK);
	assert_int_equal(store_run_log_grow(t.db, &log, 0, 9, &now), RC_STATE);
	assert_int_equal(now, 5);
	assert_int_equal(store_run_log_grow(t.db, &log, 5, 9, &now), RC_OK);
	/* The engine's upsert leaves the log alone. */
	assert_int_equal(store_task_apply(t.db, &batch), RC_OK);
	assert_int_equal(store_run_log_end(t.db, &log, 9, sha256), RC_OK);
	assert_int_equal(store_run_log_grow(t.db, &log, 9, 10, &now), RC_STATE);
	assert_int_equal(
	    store_run_list(t.db, batch.number, NULL, 0, &runs, &n), RC_OK);
	assert_int_equal(n, 1);
	assert_int_equal(runs[0].log_size, 9);
	assert_true(runs[0].log_ended);
	assert_memory_equal(runs[0].log_sha256, "ab00", 4);
	assert_string_equal(runs[0].machine, "web-01");
	assert_string_equal(runs[0].block, "roll out");
	assert_string_equal(runs[0].action, "install");
	assert_int_equal(runs[0].type, ACTION_TYPE_ACTIVATE);
	free(runs);
	assert_int_equal(
	    store_run_list(t.db, batch.number, &key, 0, &runs, &n), RC_OK);
	assert_int_equal(n, 0);
	free(runs);
	assert_int_equal(store_run_get(t.db, &key, &one), RC_OK);
	assert_int_equal(store_run_by_ticket(t.db, TICKET, &found), RC_OK);
	assert_int_equal(found.action, 1);
	tempdb_close(&t);
}

static void test_the_first_who_cancels_is_on_record(void **state)
{
	struct engine_change change;
	struct store_batch batch = { .changes = &change, .change_count = 1 };
	struct store_task task;
	struct fault fault = { 0 };
	struct tempdb t;

	(void)state;
	tempdb_open(&t);
	(void)add_task(t.db, TASK_RUN, &batch.number);
	assert_int_equal(
	    store_task_cancel(t.db, batch.number, "anna", NULL), RC_OK);
	assert_int_equal(
	    store_task_cancel(t.db, batch.number, "ben", NULL), RC_OK);
	assert_int_equal(
	    store_task_get(t.db, batch.number, &task, NULL), RC_OK);
	assert_string_equal(task.cancel_who, "anna");
	batch.who = claim(t.db, batch.number);
	change = a_task(batch.number, TASK_CANCELLED);
	assert_int_equal(store_task_apply(t.db, &batch), RC_OK);
	assert_int_equal(
	    store_task_cancel(t.db, batch.number, "ben", &fault), RC_STATE);
	assert_string_equal(fault.text, "task-1: has ended (cancelled)");
	tempdb_close(&t);
}

static void test_tasks_are_listed_newest_first(void **state)
{
	struct store_task_filter filter = { .kind = TASK_KIND_COUNT,
		.state = TASK_STATE_COUNT };
	struct store_task_page page = { 0 };
	struct engine_change change;
	struct store_batch batch = { .changes = &change, .change_count = 1 };
	struct store_task *rows = NULL;
	uint64_t *open = NULL, number = 0;
	struct tempdb t;
	size_t n = 0;

	(void)state;
	tempdb_open(&t);
	(void)add_task(t.db, TASK_RUN, &batch.number);
	(void)add_task(t.db, TASK_DEPLOY, &number);
	batch.who = claim(t.db, batch.number);
	change = a_task(batch.number, TASK_SUCCEEDED);
	assert_int_equal(store_task_apply(t.db, &batch), RC_OK);
	assert_int_equal(
	    store_task_list(t.db, &filter, &page, &rows, &n), RC_OK);
	assert_int_equal(n, 2);
	assert_int_equal(rows[0].row.number, 2);
	free(rows);
	page.before = 2;
	assert_int_equal(
	    store_task_list(t.db, &filter, &page, &rows, &n), RC_OK);
	assert_int_equal(n, 1);
	assert_int_equal(rows[0].row.state, TASK_SUCCEEDED);
	free(rows);
	page.before = 0;
	filter.open_only = true;
	filter.kind = TASK_DEPLOY;
	filter.project = "shop";
	assert_int_equal(
	    store_task_list(t.db, &filter, &page, &rows, &n), RC_OK);
	assert_int_equal(n, 1);
	free(rows);
	assert_int_equal(store_task_open(t.db, 0, 0, &open, &n), RC_OK);
	assert_int_equal(n, 1);
	assert_int_equal(open[0], 2);
	free(open);
	tempdb_close(&t);
}

static void test_loading_survives_every_failed_allocation(void **state)
{
	struct engine_change change;
	struct store_batch batch = { .changes = &change, .change_count = 1 };
	struct store_task_rows rows;
	struct tempdb t;
	size_t n;

	(void)state;
	tempdb_open(&t);
	(void)add_task(t.db, TASK_RUN, &batch.number);
	batch.who = claim(t.db, batch.number);
	change = a_run(batch.number);
	assert_int_equal(store_task_apply(t.db, &batch), RC_OK);
	for (n = 0;; n++) {
		enum rc rc;

		alloc_fail_at(n);
		rc = store_task_load(t.db, batch.number, &rows, NULL);
		if (!alloc_failed()) {
			assert_int_equal(rc, RC_OK);
			break;
		}
		assert_int_equal(rc, RC_NOMEM);
	}
	alloc_never_fail();
	store_task_rows_clear(&rows);
	assert_true(n >= 9);
	tempdb_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_plan_comes_back_as_it_went_in),
		cmocka_unit_test(
		    test_deployments_are_numbered_per_project_and_environment),
		cmocka_unit_test(
		    test_a_plan_that_contradicts_itself_is_refused),
		cmocka_unit_test(test_changes_and_facts_are_written_together),
		cmocka_unit_test(test_what_an_attempt_said_goes_with_it),
		cmocka_unit_test(test_a_run_is_found_by_its_key),
		cmocka_unit_test(test_who_lost_a_task_writes_nothing),
		cmocka_unit_test(test_a_row_of_another_task_is_refused),
		cmocka_unit_test(test_a_log_grows_by_compare_and_set),
		cmocka_unit_test(test_the_first_who_cancels_is_on_record),
		cmocka_unit_test(test_tasks_are_listed_newest_first),
		cmocka_unit_test(test_loading_survives_every_failed_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

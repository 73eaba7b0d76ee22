/* What people decide, as rows: once for each attempt, for all that wait, and
 * after the end in the place of what was said before. */
#include "server/store/decision.h"
#include "test/support/tempdb.h"

#define MACHINES (STORE_DECISIONS_MAX + 5)

struct desk {
	struct tempdb t;
	struct store_owner me;
	uint64_t number;
	struct task_machine *machines;
	uint32_t *targets;
};

static void open_desk(struct desk *d, uint32_t machines)
{
	struct task_action action = { .name = "drain",
		.type = ACTION_TYPE_SCRIPT };
	struct task_block block = { .name = "roll out",
		.max_failures = TASK_ANY_FAILURES,
		.action_count = 1,
		.actions = &action,
		.target_count = machines };
	struct store_task task = {
		.kind = TASK_RUN, .title = "x", .who = "anna", .created_ms = 1
	};
	struct task_plan plan = { .kind = TASK_RUN,
		.machine_count = machines,
		.block_count = 1,
		.blocks = &block };
	const char *const payloads[] = { "{}" };
	struct store_task_new n = { &task, &plan, payloads, 1 };
	struct fault fault = { 0 };

	d->machines = calloc(machines, sizeof(*d->machines));
	d->targets = calloc(machines, sizeof(*d->targets));
	assert_true(d->machines != NULL && d->targets != NULL);
	for (uint32_t i = 0; i < machines; i++) {
		d->targets[i] = i;
		(void)snprintf(
		    d->machines[i].id, TASK_MACHINE_SIZE, "id-%u", i);
		(void)snprintf(
		    d->machines[i].name, TASK_MACHINE_SIZE, "web-%u", i);
	}
	plan.machines = d->machines;
	block.targets = d->targets;
	tempdb_open(&d->t);
	if (store_task_create(d->t.db, &n, &fault) != RC_OK)
		fail_msg("%s", fault.text);
	d->number = task.row.number;
	d->me = (struct store_owner){ "node-1/7", "1-a", 0 };
	assert_int_equal(
	    store_task_claim(d->t.db, d->number, &d->me, &d->me.epoch), RC_OK);
}

static void close_desk(struct desk *d)
{
	tempdb_close(&d->t);
	free(d->machines);
	free(d->targets);
}

static void write_change(struct desk *d, struct engine_change *c)
{
	const struct store_batch batch = { .number = d->number,
		.who = d->me,
		.changes = c,
		.change_count = 1 };

	assert_int_equal(store_task_apply(d->t.db, &batch), RC_OK);
}

static void put_run(struct desk *d, uint32_t target, enum run_state state,
    enum run_decision decision)
{
	struct engine_change c = { .type = CHANGE_RUN,
		.row.run = { .key = { d->number, 0, target, 0 },
		    .state = state,
		    .sent = true,
		    .attempt = 1,
		    .ended_ms = 5 + target,
		    .decision = decision } };
	struct fault *f = &c.row.run.fault;

	(void)snprintf(c.row.run.ticket, TASK_TICKET_SIZE, "%032x", target + 1);
	if (state == RUN_FAILED)
		fault_set(f, REASON_SCRIPT_FAILED, "", "exit code 3");
	else if (state == RUN_UNKNOWN)
		fault_set(f, REASON_UNKNOWN, "", "nobody can say");
	write_change(d, &c);
}

static void put_task(struct desk *d, enum task_state state)
{
	struct engine_change c = { .type = CHANGE_TASK,
		.row.task = { .number = d->number, .state = state } };

	if (state == TASK_FAILED)
		fault_set(&c.row.task.fault, REASON_UNKNOWN, "",
		    "web-0: drain: nobody can say");
	write_change(d, &c);
}

static struct store_verdict verdict(
    const struct desk *d, enum task_verb verb, const char *machine)
{
	return (struct store_verdict){ .number = d->number,
		.verb = verb,
		.machine = machine,
		.who = "bob",
		.note = "saw it",
		.at_ms = 9 };
}

static enum rc say(
    struct desk *d, enum task_verb verb, const char *machine, uint32_t *count)
{
	const struct store_verdict v = verdict(d, verb, machine);
	struct fault fault = { .code = REASON_NONE };

	return store_decide(d->t.db, &v, count, &fault);
}

static enum rc settle(
    struct desk *d, enum task_verb verb, const char *machine, uint32_t *count)
{
	const struct store_verdict v = verdict(d, verb, machine);
	struct fault fault = { .code = REASON_NONE };
	bool ended = false;
	enum rc rc = store_resolve(d->t.db, &v, count, &ended, &fault);

	assert_true(ended);
	return rc;
}

static void test_what_is_decided_already_keeps_nobody_from_the_rest(
    void **state)
{
	struct desk d;
	uint32_t count;

	(void)state;
	open_desk(&d, 3);
	put_task(&d, TASK_RUNNING);
	for (uint32_t i = 0; i < 3; i++)
		put_run(&d, i, RUN_FAILED, DECISION_WAITING);
	assert_int_equal(say(&d, VERB_RETRY, "web-1", &count), RC_OK);
	assert_int_equal(count, 1);
	assert_int_equal(say(&d, VERB_IGNORE, NULL, &count), RC_OK);
	assert_int_equal(count, 2);
	/* The engine has heard of none: they wait, and all are decided. */
	assert_int_equal(say(&d, VERB_FAIL, NULL, &count), RC_STATE);
	close_desk(&d);
}

static void test_more_than_fit_one_word_are_told_as_left(void **state)
{
	struct store_verdict v;
	struct desk d;
	uint32_t count, left;

	(void)state;
	open_desk(&d, MACHINES);
	put_task(&d, TASK_RUNNING);
	for (uint32_t i = 0; i < MACHINES; i++)
		put_run(&d, i, RUN_FAILED, DECISION_WAITING);
	v = verdict(&d, VERB_IGNORE, NULL);
	assert_int_equal(say(&d, VERB_IGNORE, NULL, &count), RC_OK);
	assert_int_equal(count, STORE_DECISIONS_MAX);
	assert_int_equal(store_verdict_left(d.t.db, &v, false, &left), RC_OK);
	assert_int_equal(left, 5);
	assert_int_equal(say(&d, VERB_IGNORE, NULL, &count), RC_OK);
	assert_int_equal(count, 5);
	assert_int_equal(store_verdict_left(d.t.db, &v, false, &left), RC_OK);
	assert_int_equal(left, 0);
	close_desk(&d);
}

static void test_the_newest_are_shown_and_the_open_ones_told(void **state)
{
	struct store_decision *rows = NULL;
	uint64_t total = 0;
	struct desk d;
	uint32_t count;
	size_t n = 0;

	(void)state;
	open_desk(&d, 150);
	put_task(&d, TASK_RUNNING);
	for (uint32_t i = 0; i < 150; i++)
		put_run(&d, i, RUN_FAILED, DECISION_WAITING);
	assert_int_equal(say(&d, VERB_IGNORE, NULL, &count), RC_OK);
	assert_int_equal(
	    store_decision_last(d.t.db, d.number, &rows, &n, &total), RC_OK);
	assert_int_equal(total, 150);
	assert_int_equal(n, STORE_DECISIONS_SHOWN);
	assert_int_equal(rows[0].key.target, 50);
	assert_int_equal(rows[n - 1].key.target, 149);
	free(rows);
	/* The engine has taken all but one. */
	for (uint32_t i = 0; i < 149; i++)
		put_run(&d, i, RUN_FAILED, DECISION_IGNORED);
	assert_int_equal(
	    store_decision_open(d.t.db, d.number, &rows, &n), RC_OK);
	assert_int_equal(n, 1);
	assert_int_equal(rows[0].key.target, 149);
	assert_string_equal(rows[0].who, "bob");
	free(rows);
	close_desk(&d);
}

static void test_an_approval_is_open_until_it_is_taken(void **state)
{
	struct engine_change c = { .type = CHANGE_TASK };
	struct store_decision *rows = NULL;
	struct desk d;
	uint32_t count;
	size_t n = 0;

	(void)state;
	open_desk(&d, 1);
	c.row.task = (struct task_row){ .number = d.number,
		.state = TASK_RUNNING,
		.approval = 1,
		.waiting = 1 };
	write_change(&d, &c);
	assert_int_equal(say(&d, VERB_APPROVE, NULL, &count), RC_OK);
	assert_int_equal(
	    store_decision_open(d.t.db, d.number, &rows, &n), RC_OK);
	assert_int_equal(n, 1);
	assert_int_equal(rows[0].verb, VERB_APPROVE);
	free(rows);
	c.row.task.approval = 0;
	c.row.task.approved = 1;
	write_change(&d, &c);
	assert_int_equal(
	    store_decision_open(d.t.db, d.number, &rows, &n), RC_OK);
	assert_int_equal(n, 0);
	free(rows);
	close_desk(&d);
}

static struct store_task task_of(struct desk *d)
{
	struct store_task task;

	assert_int_equal(
	    store_task_get(d->t.db, d->number, &task, NULL), RC_OK);
	return task;
}

static void test_what_was_decided_can_be_resolved_after_the_end(void **state)
{
	struct store_decision *rows = NULL;
	struct desk d;
	uint32_t count;
	size_t n = 0;

	(void)state;
	open_desk(&d, 2);
	put_task(&d, TASK_RUNNING);
	put_run(&d, 0, RUN_UNKNOWN, DECISION_WAITING);
	put_run(&d, 1, RUN_UNKNOWN, DECISION_NONE);
	assert_int_equal(say(&d, VERB_FAIL, NULL, &count), RC_OK);
	put_run(&d, 0, RUN_UNKNOWN, DECISION_NONE);
	put_task(&d, TASK_FAILED);
	assert_int_equal(settle(&d, VERB_SUCCEEDED, NULL, &count), RC_OK);
	assert_int_equal(count, 2);
	assert_int_equal(task_of(&d).row.state, TASK_SUCCEEDED);
	assert_int_equal(
	    store_decision_list(d.t.db, d.number, &rows, &n), RC_OK);
	assert_int_equal(n, 2);
	assert_int_equal(rows[0].verb, VERB_SUCCEEDED);
	free(rows);
	close_desk(&d);
}

static void test_who_resolves_it_takes_the_unknown_from_the_rows(void **state)
{
	struct store_run run;
	struct desk d;
	uint32_t count;

	(void)state;
	open_desk(&d, 3);
	put_run(&d, 0, RUN_UNKNOWN, DECISION_NONE);
	put_run(&d, 1, RUN_UNKNOWN, DECISION_NONE);
	put_run(&d, 2, RUN_FAILED, DECISION_NONE);
	put_task(&d, TASK_FAILED);
	assert_int_equal(settle(&d, VERB_SUCCEEDED, "web-0", &count), RC_OK);
	/* One is left of which nobody knows. */
	assert_int_equal(task_of(&d).row.fault.code, REASON_UNKNOWN);
	assert_int_equal(settle(&d, VERB_FAILED, "web-1", &count), RC_OK);
	assert_int_equal(task_of(&d).row.state, TASK_FAILED);
	assert_int_equal(task_of(&d).row.fault.code, REASON_SCRIPT_FAILED);
	assert_string_equal(
	    task_of(&d).row.fault.text, "web-1: drain: " TASK_RESOLVED_FAILED);
	for (uint32_t i = 0; i < 2; i++) {
		const struct run_key key = { d.number, 0, i, 0 };

		assert_int_equal(store_run_get(d.t.db, &key, &run), RC_OK);
		assert_int_equal(run.row.fault.code,
		    i == 0 ? REASON_NONE : REASON_SCRIPT_FAILED);
	}
	close_desk(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_what_is_decided_already_keeps_nobody_from_the_rest),
		cmocka_unit_test(test_more_than_fit_one_word_are_told_as_left),
		cmocka_unit_test(
		    test_the_newest_are_shown_and_the_open_ones_told),
		cmocka_unit_test(test_an_approval_is_open_until_it_is_taken),
		cmocka_unit_test(
		    test_what_was_decided_can_be_resolved_after_the_end),
		cmocka_unit_test(
		    test_who_resolves_it_takes_the_unknown_from_the_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What follows a run that did not succeed, and what people say to that: each
 * story once straight on, and once with a restart from the rows before each
 * step. */
#include "server/engine/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MACHINES 2u
#define BLOCKS   3u
#define RUNS     (BLOCKS * MACHINES * 2u)

struct desk {
	struct engine_random random; /* first */
	uint8_t next_byte;
	struct task_plan plan;
	struct task_machine machines[MACHINES];
	struct task_block blocks[BLOCKS];
	struct task_action actions[2];
	uint32_t targets[MACHINES];
	/* The database. */
	struct task_row task;
	struct run_row runs[RUNS];
	bool has[RUNS];
	struct engine *engine;
	bool restarts;
	uint64_t now_ms;
	struct engine_command commands[32]; /* not yet carried out */
	size_t count;
};

static void fill(struct engine_random *self, uint8_t *bytes, size_t len)
{
	struct desk *d = (struct desk *)self;

	for (size_t i = 0; i < len; i++)
		bytes[i] = d->next_byte++;
}

static void setup(struct desk *d, bool restarts)
{
	*d = (struct desk){ .random = { fill },
		.restarts = restarts,
		.now_ms = 1000,
		.task = { .number = 1, .epoch = 1 } };
	for (uint32_t i = 0; i < MACHINES; i++) {
		(void)snprintf(d->machines[i].id, TASK_MACHINE_SIZE, "id%u", i);
		(void)snprintf(
		    d->machines[i].name, TASK_MACHINE_SIZE, "web-%u", i);
		d->targets[i] = i;
		d->actions[i] =
		    (struct task_action){ .type = ACTION_TYPE_SCRIPT,
			    .queue_ms = 1000 };
		(void)snprintf(
		    d->actions[i].name, TASK_NAME_SIZE, "action %u", i);
	}
	for (uint32_t b = 0; b < BLOCKS; b++)
		d->blocks[b] = (struct task_block){ .name = "block",
			.window = 1,
			.action_count = 2,
			.actions = d->actions,
			.target_count = 1,
			.targets = d->targets };
	d->plan = (struct task_plan){ .number = 1,
		.machine_count = 1,
		.machines = d->machines,
		.block_count = 1,
		.blocks = d->blocks,
		.guided = true };
}

static void load(struct desk *d)
{
	const struct engine_limits limits = engine_limits_default();
	struct run_row rows[RUNS];
	size_t count = 0;

	engine_free(d->engine);
	d->count = 0;
	assert_int_equal(engine_new(&limits, &d->random, &d->engine), RC_OK);
	for (size_t i = 0; i < RUNS; i++) {
		if (d->has[i])
			rows[count++] = d->runs[i];
	}
	if (!task_state_is_final(d->task.state))
		assert_int_equal(engine_task_add(d->engine, &d->plan, &d->task,
				     rows, count, NULL),
		    RC_OK);
}

static size_t at(const struct run_key *key)
{
	return (key->block * (size_t)MACHINES + key->target) * 2 + key->action;
}

/* Commit, and keep the commands. */
static void turn(struct desk *d)
{
	struct engine_change change;

	(void)engine_tick(d->engine, d->now_ms);
	while (engine_next_change(d->engine, &change)) {
		if (change.type == CHANGE_TASK) {
			d->task = change.row.task;
			continue;
		}
		d->runs[at(&change.row.run.key)] = change.row.run;
		d->has[at(&change.row.run.key)] = true;
	}
	while (engine_next_command(d->engine, &d->commands[d->count]))
		d->count++;
}

static void step(struct desk *d)
{
	if (d->restarts || d->engine == NULL)
		load(d);
	turn(d);
}

/* The next start that goes out, time passing until then. */
static struct engine_command next_start(struct desk *d)
{
	for (int tries = 0; tries < 20; tries++) {
		step(d);
		for (size_t i = 0; i < d->count; i++) {
			if (d->commands[i].type != COMMAND_START)
				continue;
			d->count = 0;
			return d->commands[i];
		}
		d->now_ms = engine_tick(d->engine, d->now_ms);
		assert_true(d->now_ms < UINT64_MAX);
	}
	fail_msg("no start");
	return d->commands[0];
}

static void end(
    struct desk *d, const struct engine_command *c, enum run_state state)
{
	struct engine_fact fact = { .type = FACT_ENDED, .key = c->key };

	memcpy(fact.ticket, c->ticket, sizeof(fact.ticket));
	fact.result.state = state;
	fact.result.exit_code = state == RUN_FAILED ? 3 : 0;
	assert_true(engine_fact(d->engine, &fact, d->now_ms));
	turn(d);
	if (d->restarts)
		load(d);
}

/* The machine says it knows nothing of the ticket that it had taken. */
static void lose(struct desk *d, const struct engine_command *c)
{
	struct engine_fact fact = { .type = FACT_ACCEPTED, .key = c->key };

	memcpy(fact.ticket, c->ticket, sizeof(fact.ticket));
	assert_true(engine_fact(d->engine, &fact, d->now_ms));
	turn(d);
	fact.type = FACT_UNKNOWN;
	assert_true(engine_fact(d->engine, &fact, d->now_ms));
	turn(d);
	if (d->restarts)
		load(d);
}

static void refuse(struct desk *d, const struct engine_command *c)
{
	struct engine_fact fact = {
		.type = FACT_REFUSED, .key = c->key, .command = COMMAND_START
	};

	memcpy(fact.ticket, c->ticket, sizeof(fact.ticket));
	fault_set(&fact.fault, REASON_SUPERSEDED, "", "it is exited");
	assert_true(engine_fact(d->engine, &fact, d->now_ms));
	turn(d);
	if (d->restarts)
		load(d);
}

static bool say_of(struct desk *d, const struct engine_command *c,
    enum task_verb verb, uint32_t attempt)
{
	const struct engine_fact fact = { .type = FACT_DECISION,
		.key = c->key,
		.verb = verb,
		.attempt = attempt,
		.fault = { .text = "bob: looks wrong" } };
	bool taken = engine_fact(d->engine, &fact, d->now_ms);

	turn(d);
	return taken;
}

static void say(
    struct desk *d, const struct engine_command *c, enum task_verb verb)
{
	assert_int_equal(d->runs[at(&c->key)].decision, DECISION_WAITING);
	assert_int_equal(d->task.waiting, 1);
	assert_true(say_of(d, c, verb, d->runs[at(&c->key)].attempt));
	/* Nobody can decide it twice. */
	assert_false(say_of(d, c, verb, d->runs[at(&c->key)].attempt));
	assert_int_equal(d->task.waiting, 0);
}

typedef void (*story)(struct desk *d);

static void tell_twice(story s)
{
	for (int restarts = 0; restarts < 2; restarts++) {
		struct desk d;

		setup(&d, restarts == 1);
		s(&d);
		engine_free(d.engine);
	}
}

#define TOLD_TWICE(name)                                                       \
	static void name(void **state)                                         \
	{                                                                      \
		(void)state;                                                   \
		tell_twice(story_##name);                                      \
	}

static void story_test_a_failure_waits_for_a_person_who_has_it_tried_again(
    struct desk *d)
{
	struct engine_command first = next_start(d), second;

	end(d, &first, RUN_FAILED);
	step(d);
	assert_int_equal(d->task.state, TASK_RUNNING);
	assert_int_equal(d->task.failed_count, 0);
	assert_false(say_of(d, &first, VERB_SUCCEEDED, 1)); /* not unknown */
	say(d, &first, VERB_RETRY);
	second = next_start(d);
	assert_int_equal(second.attempt, 2);
	assert_memory_equal(&second.key, &first.key, sizeof(first.key));
	assert_string_not_equal(second.ticket, first.ticket);
	/* It has ended for sure: the new one need not replace it. */
	assert_int_equal(d->runs[at(&first.key)].former_count, 0);
	end(d, &second, RUN_SUCCEEDED);
	second = next_start(d);
	end(d, &second, RUN_SUCCEEDED);
	assert_int_equal(d->task.state, TASK_SUCCEEDED);
	assert_int_equal(d->task.ok_count, 1);
	assert_false(d->task.partial);
}
TOLD_TWICE(test_a_failure_waits_for_a_person_who_has_it_tried_again)

static void story_test_an_ignored_failure_counts_as_done(struct desk *d)
{
	struct engine_command c = next_start(d);

	end(d, &c, RUN_FAILED);
	step(d);
	say(d, &c, VERB_IGNORE);
	c = next_start(d);
	assert_int_equal(c.key.action, 1);
	end(d, &c, RUN_SUCCEEDED);
	assert_int_equal(d->runs[0].state, RUN_FAILED);
	assert_int_equal(d->runs[0].decision, DECISION_IGNORED);
	assert_int_equal(d->task.state, TASK_SUCCEEDED);
	assert_int_equal(d->task.ok_count, 1);
}
TOLD_TWICE(test_an_ignored_failure_counts_as_done)

static void story_test_a_failure_that_stays_one_ends_that_machine(
    struct desk *d)
{
	struct engine_command c = next_start(d);

	end(d, &c, RUN_FAILED);
	step(d);
	say(d, &c, VERB_FAIL);
	assert_int_equal(d->runs[1].state, RUN_SKIPPED);
	assert_int_equal(d->task.state, TASK_FAILED);
	assert_int_equal(d->task.failed_count, 1);
	assert_non_null(strstr(d->task.fault.text, "exit code 3"));
}
TOLD_TWICE(test_a_failure_that_stays_one_ends_that_machine)

static void story_test_an_excluded_machine_is_no_failure_but_no_success(
    struct desk *d)
{
	struct engine_command c;

	d->plan.machine_count = 2;
	d->plan.block_count = 2;
	d->blocks[0].target_count = 2;
	d->blocks[1].target_count = 2;
	c = next_start(d);
	assert_int_equal(c.key.target, 0);
	end(d, &c, RUN_FAILED);
	step(d);
	say(d, &c, VERB_EXCLUDE);
	while (!task_state_is_final(d->task.state)) {
		c = next_start(d);
		assert_int_equal(c.key.target, 1);
		end(d, &c, RUN_SUCCEEDED);
	}
	assert_int_equal(d->task.state, TASK_SUCCEEDED);
	assert_int_equal(d->task.ok_count, 1);
	assert_int_equal(d->task.failed_count, 0);
	assert_true(d->task.partial);
}
TOLD_TWICE(test_an_excluded_machine_is_no_failure_but_no_success)

static void story_test_a_task_of_excluded_machines_alone_has_failed(
    struct desk *d)
{
	struct engine_command c = next_start(d);

	end(d, &c, RUN_FAILED);
	step(d);
	say(d, &c, VERB_EXCLUDE);
	assert_int_equal(d->task.state, TASK_FAILED);
	assert_non_null(strstr(d->task.fault.text, "excluded"));
}
TOLD_TWICE(test_a_task_of_excluded_machines_alone_has_failed)

static void story_test_a_step_is_retried_as_often_as_it_says(struct desk *d)
{
	struct engine_command c;

	d->plan.guided = false;
	d->actions[0].retries = 2;
	for (uint32_t attempt = 1; attempt <= 3; attempt++) {
		c = next_start(d);
		assert_int_equal(c.attempt, attempt);
		assert_int_equal(d->task.waiting, 0);
		end(d, &c, RUN_FAILED);
	}
	step(d);
	assert_int_equal(d->task.state, TASK_FAILED);
	assert_int_equal(d->runs[0].attempt, 3);
}
TOLD_TWICE(test_a_step_is_retried_as_often_as_it_says)

static void story_test_what_nobody_knows_runs_again_only_if_it_may(
    struct desk *d)
{
	struct engine_command first, second;

	d->plan.guided = false;
	d->actions[0].rerun_safe = true;
	d->actions[1].retries = 5;
	first = next_start(d);
	lose(d, &first);
	second = next_start(d);
	assert_int_equal(second.attempt, 2);
	assert_int_equal(d->runs[0].former_count, 1);
	assert_string_equal(d->runs[0].former[0], first.ticket);
	end(d, &second, RUN_SUCCEEDED);
	assert_int_equal(d->runs[0].former_count, 0);
	assert_false(d->runs[0].doubt);
	/* The second action may be retried when it failed, no more. */
	second = next_start(d);
	lose(d, &second);
	step(d);
	assert_int_equal(d->task.state, TASK_FAILED);
	assert_int_equal(d->task.fault.code, REASON_UNKNOWN);
}
TOLD_TWICE(test_what_nobody_knows_runs_again_only_if_it_may)

static void story_test_an_attempt_that_did_not_run_leaves_it_unknown(
    struct desk *d)
{
	struct engine_command c;

	d->plan.guided = false;
	d->actions[0].rerun_safe = true;
	c = next_start(d);
	lose(d, &c);
	for (uint32_t attempt = 2; attempt <= TASK_RERUNS_MAX + 1; attempt++) {
		c = next_start(d);
		assert_int_equal(c.attempt, attempt);
		refuse(d, &c);
	}
	step(d);
	assert_int_equal(d->runs[0].state, RUN_UNKNOWN);
	assert_int_equal(d->task.state, TASK_FAILED);
	assert_int_equal(d->task.fault.code, REASON_UNKNOWN);
	assert_non_null(strstr(d->task.fault.text, "it is exited"));
}
TOLD_TWICE(test_an_attempt_that_did_not_run_leaves_it_unknown)

static void story_test_earlier_tickets_are_never_dropped_from_a_start(
    struct desk *d)
{
	struct engine_command c = next_start(d);

	lose(d, &c);
	for (uint32_t i = 1; i < TASK_FORMER_MAX; i++) {
		step(d);
		say(d, &c, VERB_RETRY);
		c = next_start(d);
		assert_int_equal(d->runs[0].former_count, i);
		refuse(d, &c);
	}
	/* No room for one more: a person must say how it ended. */
	step(d);
	assert_int_equal(d->runs[0].former_count, TASK_FORMER_MAX);
	assert_false(say_of(d, &c, VERB_RETRY, d->runs[0].attempt));
	say(d, &c, VERB_SUCCEEDED);
	assert_int_equal(d->runs[0].state, RUN_SUCCEEDED);
}
TOLD_TWICE(test_earlier_tickets_are_never_dropped_from_a_start)

static void story_test_a_cancel_leaves_nothing_waiting_and_unknown_unknown(
    struct desk *d)
{
	const struct engine_fact cancel = { .type = FACT_CANCEL,
		.key = { .task = 1 } };
	struct engine_command c = next_start(d);

	lose(d, &c);
	step(d);
	assert_int_equal(d->task.waiting, 1);
	assert_true(engine_fact(d->engine, &cancel, d->now_ms));
	turn(d);
	assert_int_equal(d->task.waiting, 0);
	assert_int_equal(d->runs[0].state, RUN_UNKNOWN);
	assert_int_equal(d->runs[0].decision, DECISION_NONE);
	assert_int_equal(d->task.state, TASK_FAILED);
}
TOLD_TWICE(test_a_cancel_leaves_nothing_waiting_and_unknown_unknown)

static void story_test_a_cancel_before_the_next_attempt_keeps_the_last(
    struct desk *d)
{
	const struct engine_fact cancel = { .type = FACT_CANCEL,
		.key = { .task = 1 } };
	struct engine_command c;

	d->actions[0].retries = 1;
	c = next_start(d);
	end(d, &c, RUN_FAILED);
	assert_int_equal(d->runs[0].decision, DECISION_RETRY);
	assert_true(engine_fact(d->engine, &cancel, d->now_ms));
	turn(d);
	assert_int_equal(d->runs[0].state, RUN_FAILED);
	assert_int_equal(d->runs[0].exit_code, 3);
	assert_int_equal(d->runs[0].decision, DECISION_NONE);
	assert_true(task_state_is_final(d->task.state));
}
TOLD_TWICE(test_a_cancel_before_the_next_attempt_keeps_the_last)

static void ask_before_the_second_block(struct desk *d)
{
	d->plan.block_count = 3;
	d->blocks[1] = (struct task_block){ .name = "sign-off",
		.approve = "Are the backups done?" };
	for (int i = 0; i < 2; i++) {
		struct engine_command c = next_start(d);

		end(d, &c, RUN_SUCCEEDED);
	}
	step(d);
	assert_int_equal(d->task.state, TASK_RUNNING);
	assert_int_equal(d->task.approval, 2);
	assert_int_equal(d->task.waiting, 1);
}

static void story_test_a_task_goes_on_only_when_it_is_approved(struct desk *d)
{
	const struct engine_command sign_off = { .key = { 1, 1, 0, 0 } },
				    other = { .key = { 1, 2, 0, 0 } };
	struct engine_command c;

	ask_before_the_second_block(d);
	assert_false(say_of(d, &other, VERB_APPROVE, 0));
	assert_false(say_of(d, &sign_off, VERB_RETRY, 1));
	assert_true(say_of(d, &sign_off, VERB_APPROVE, 0));
	assert_int_equal(d->task.approved, 1);
	assert_int_equal(d->task.approval, 0);
	assert_int_equal(d->task.waiting, 0);
	assert_false(say_of(d, &sign_off, VERB_APPROVE, 0));
	c = next_start(d);
	assert_memory_equal(&c.key, &other.key, sizeof(c.key));
	end(d, &c, RUN_SUCCEEDED);
	c = next_start(d);
	end(d, &c, RUN_SUCCEEDED);
	assert_int_equal(d->task.state, TASK_SUCCEEDED);
}
TOLD_TWICE(test_a_task_goes_on_only_when_it_is_approved)

static void story_test_a_task_that_is_not_approved_has_failed(struct desk *d)
{
	const struct engine_command sign_off = { .key = { 1, 1, 0, 0 } };

	ask_before_the_second_block(d);
	assert_true(say_of(d, &sign_off, VERB_REJECT, 0));
	assert_int_equal(d->task.state, TASK_FAILED);
	assert_int_equal(d->task.waiting, 0);
	assert_int_equal(d->task.approval, 0);
	assert_int_equal(d->task.fault.code, REASON_NOT_PERMITTED);
	assert_string_equal(
	    d->task.fault.text, "not approved: bob: looks wrong");
	assert_int_equal(d->runs[4 * MACHINES].state, RUN_SKIPPED);
}
TOLD_TWICE(test_a_task_that_is_not_approved_has_failed)

static void story_test_a_task_ends_at_its_time_limit_even_while_it_waits(
    struct desk *d)
{
	d->plan.limit_ms = 60000;
	ask_before_the_second_block(d);
	assert_int_equal(engine_tick(d->engine, d->now_ms), 61000);
	d->now_ms = 61000;
	step(d);
	assert_int_equal(d->task.state, TASK_FAILED);
	assert_int_equal(d->task.fault.code, REASON_DEADLINE);
	assert_int_equal(d->task.waiting, 0);
}
TOLD_TWICE(test_a_task_ends_at_its_time_limit_even_while_it_waits)

static void accept(struct desk *d, const struct engine_command *c)
{
	struct engine_fact fact = { .type = FACT_ACCEPTED, .key = c->key };

	memcpy(fact.ticket, c->ticket, sizeof(fact.ticket));
	assert_true(engine_fact(d->engine, &fact, d->now_ms));
	turn(d);
}

static void story_test_what_a_limit_cancelled_has_failed(struct desk *d)
{
	struct engine_command c;

	d->plan.guided = false;
	d->actions[0].timeout_ms = 60000;
	c = next_start(d);
	accept(d, &c);
	d->now_ms += 1000000;
	turn(d);
	assert_int_equal(d->commands[d->count - 1].type, COMMAND_CANCEL);
	step(d);
	end(d, &c, RUN_CANCELLED);
	assert_int_equal(d->runs[0].state, RUN_FAILED);
	assert_int_equal(d->runs[0].fault.code, REASON_TIMED_OUT);
	assert_int_equal(d->task.state, TASK_FAILED);
	assert_int_equal(d->task.failed_count, 1);
}
TOLD_TWICE(test_what_a_limit_cancelled_has_failed)

static void story_test_what_was_cancelled_though_its_task_was_not_has_failed(
    struct desk *d)
{
	struct engine_command c = next_start(d);

	accept(d, &c);
	step(d);
	end(d, &c, RUN_CANCELLED);
	step(d);
	say(d, &c, VERB_FAIL);
	assert_int_equal(d->task.state, TASK_FAILED);
	assert_int_equal(d->runs[0].fault.code, REASON_CANCELLED);
	assert_non_null(strstr(d->task.fault.text, "its task was not"));
}
TOLD_TWICE(test_what_was_cancelled_though_its_task_was_not_has_failed)

/* From rows that an earlier version left. */
static void test_a_task_of_which_nothing_is_done_has_not_succeeded(void **state)
{
	const struct engine_command c = { .key = { 1, 0, 0, 0 } };
	struct desk d;

	(void)state;
	setup(&d, false);
	d.task.state = TASK_RUNNING;
	d.has[0] = true;
	d.runs[0] = (struct run_row){ .key = c.key,
		.state = RUN_CANCELLED,
		.sent = true,
		.attempt = 1,
		.decision = DECISION_WAITING };
	memset(d.runs[0].ticket, 'a', TASK_TICKET_SIZE - 1);
	step(&d);
	assert_true(say_of(&d, &c, VERB_FAIL, 1));
	assert_int_equal(d.task.state, TASK_FAILED);
	assert_int_not_equal(d.task.fault.code, REASON_NONE);
	engine_free(d.engine);
}

static void story_test_who_resolves_it_takes_the_unknown_away(struct desk *d)
{
	struct engine_command c = next_start(d);

	lose(d, &c);
	step(d);
	assert_int_equal(d->runs[0].fault.code, REASON_UNKNOWN);
	say(d, &c, VERB_SUCCEEDED);
	assert_int_equal(d->runs[0].state, RUN_SUCCEEDED);
	assert_int_equal(d->runs[0].fault.code, REASON_NONE);
	c = next_start(d);
	lose(d, &c);
	step(d);
	say(d, &c, VERB_FAILED);
	assert_int_equal(d->runs[1].state, RUN_FAILED);
	assert_int_equal(d->runs[1].fault.code, REASON_SCRIPT_FAILED);
	assert_int_equal(d->task.state, TASK_FAILED);
	assert_int_equal(d->task.fault.code, REASON_SCRIPT_FAILED);
	assert_non_null(strstr(d->task.fault.text, TASK_RESOLVED_FAILED));
}
TOLD_TWICE(test_who_resolves_it_takes_the_unknown_away)

static void story_test_nobody_is_asked_when_no_machine_is_left(struct desk *d)
{
	struct engine_command c;

	d->plan.guided = false;
	d->plan.block_count = 3;
	d->blocks[0].max_failures = TASK_ANY_FAILURES;
	d->blocks[1] = (struct task_block){ .name = "sign-off",
		.approve = "Are the backups done?" };
	c = next_start(d);
	end(d, &c, RUN_FAILED);
	step(d);
	assert_int_equal(d->task.approval, 0);
	assert_int_equal(d->task.waiting, 0);
	assert_int_equal(d->task.state, TASK_FAILED);
	assert_int_equal(d->runs[4 * MACHINES].state, RUN_SKIPPED);
}
TOLD_TWICE(test_nobody_is_asked_when_no_machine_is_left)

static void test_each_attempt_by_itself_waits_longer(void **state)
{
	const struct engine_limits limits = engine_limits_default();
	struct engine_command c;
	struct desk d;

	(void)state;
	setup(&d, false);
	d.actions[0].retries = 6;
	c = next_start(&d);
	for (uint32_t attempt = 1; attempt <= 6; attempt++) {
		uint64_t most = limits.retry_first_ms << (attempt - 1);
		uint64_t ended_ms = d.now_ms;

		end(&d, &c, RUN_FAILED);
		c = next_start(&d);
		assert_int_equal(c.attempt, attempt + 1);
		assert_true(d.now_ms - ended_ms >= most / 2);
		assert_true(d.now_ms - ended_ms <= most);
	}
	engine_free(d.engine);
}

static void test_an_order_to_forget_names_the_ticket_that_ended(void **state)
{
	struct engine_command c;
	struct desk d;

	(void)state;
	setup(&d, false);
	d.plan.guided = false;
	d.actions[0].retries = 1;
	c = next_start(&d);
	/* The fact comes, and the tick only when the next attempt is due. */
	{
		struct engine_fact fact = { .type = FACT_ENDED,
			.key = c.key,
			.result = { .state = RUN_FAILED } };

		memcpy(fact.ticket, c.ticket, sizeof(fact.ticket));
		assert_true(engine_fact(d.engine, &fact, d.now_ms));
	}
	d.now_ms += 100000;
	turn(&d);
	assert_int_equal(d.count, 1);
	assert_int_equal(d.commands[0].type, COMMAND_FORGET);
	assert_string_equal(d.commands[0].ticket, c.ticket);
	assert_int_equal(next_start(&d).attempt, 2);
	engine_free(d.engine);
}

static void test_every_word_can_be_read_back(void **state)
{
	enum run_decision decision;
	enum task_verb verb;

	(void)state;
	for (int i = 0; i < DECISION_COUNT; i++) {
		assert_int_equal(
		    run_decision_parse(
			run_decision_name((enum run_decision)i), &decision),
		    RC_OK);
		assert_int_equal(decision, i);
	}
	for (int i = 0; i < VERB_COUNT; i++) {
		assert_int_equal(
		    task_verb_parse(task_verb_name((enum task_verb)i), &verb),
		    RC_OK);
		assert_int_equal(verb, i);
	}
	assert_int_equal(task_verb_parse("shrug", &verb), RC_NOTFOUND);
	assert_int_equal(run_decision_parse("shrug", &decision), RC_NOTFOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_a_failure_waits_for_a_person_who_has_it_tried_again),
		cmocka_unit_test(test_an_ignored_failure_counts_as_done),
		cmocka_unit_test(
		    test_a_failure_that_stays_one_ends_that_machine),
		cmocka_unit_test(
		    test_an_excluded_machine_is_no_failure_but_no_success),
		cmocka_unit_test(
		    test_a_task_of_excluded_machines_alone_has_failed),
		cmocka_unit_test(test_a_step_is_retried_as_often_as_it_says),
		cmocka_unit_test(
		    test_what_nobody_knows_runs_again_only_if_it_may),
		cmocka_unit_test(
		    test_an_attempt_that_did_not_run_leaves_it_unknown),
		cmocka_unit_test(
		    test_earlier_tickets_are_never_dropped_from_a_start),
		cmocka_unit_test(
		    test_a_cancel_leaves_nothing_waiting_and_unknown_unknown),
		cmocka_unit_test(
		    test_a_cancel_before_the_next_attempt_keeps_the_last),
		cmocka_unit_test(test_a_task_goes_on_only_when_it_is_approved),
		cmocka_unit_test(test_a_task_that_is_not_approved_has_failed),
		cmocka_unit_test(
		    test_a_task_ends_at_its_time_limit_even_while_it_waits),
		cmocka_unit_test(test_what_a_limit_cancelled_has_failed),
		cmocka_unit_test(
		    test_what_was_cancelled_though_its_task_was_not_has_failed),
		cmocka_unit_test(
		    test_a_task_of_which_nothing_is_done_has_not_succeeded),
		cmocka_unit_test(test_who_resolves_it_takes_the_unknown_away),
		cmocka_unit_test(test_nobody_is_asked_when_no_machine_is_left),
		cmocka_unit_test(test_each_attempt_by_itself_waits_longer),
		cmocka_unit_test(
		    test_an_order_to_forget_names_the_ticket_that_ended),
		cmocka_unit_test(test_every_word_can_be_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

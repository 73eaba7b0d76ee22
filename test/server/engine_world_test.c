/* A whole fleet in memory: machines that answer late, twice or not at all, and
 * a server that forgets everything but its rows, again and again. */
#include "server/engine/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ACTIONS 4u
#define NUMBER  7u

struct dice {
	struct engine_random random; /* first: fill() goes from it to dice */
	uint64_t state;
};

static uint32_t roll(struct dice *dice, uint32_t sides)
{
	dice->state ^= dice->state << 13;
	dice->state ^= dice->state >> 7;
	dice->state ^= dice->state << 17;
	return (uint32_t)((dice->state >> 16) % sides);
}

static void fill(struct engine_random *self, uint8_t *bytes, size_t len)
{
	struct dice *dice = (struct dice *)self;

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)roll(dice, 256);
}

enum remote_state {
	REMOTE_NONE,
	REMOTE_RUNS,
	REMOTE_ENDED,
	REMOTE_CANCELLED
};

/* What the machine knows of one run. */
struct remote {
	char ticket[TASK_TICKET_SIZE];
	enum remote_state state;
	uint32_t started;
};

struct message {
	enum engine_command_type type;
	struct run_key key;
	char ticket[TASK_TICKET_SIZE];
};

struct world {
	struct dice dice;
	struct engine_limits limits;
	struct engine *engine;
	struct task_plan plan;
	uint32_t machine_count;
	uint64_t now_ms, wake_ms;
	/* The database. */
	struct task_row task;
	struct run_row *runs;
	uint8_t *inside; /* per block and target: 0 outside, 1, 2 done */
	uint32_t *inside_count, *failures; /* per block */
	/* The network. */
	struct message *messages;
	size_t message_count, message_room;
	struct remote *remotes;
	/* What may go wrong, in percent. */
	uint32_t lose, broken, twice;
	uint32_t restarts;
	size_t keep; /* messages that outlive a restart */
};

static size_t run_index(const struct world *w, const struct run_key *key)
{
	return ((size_t)key->block * w->machine_count + key->target) * ACTIONS +
	       key->action;
}

static void make_block(struct world *w, struct task_block *block)
{
	static const enum action_type types[ACTIONS] = { ACTION_TYPE_STAGE,
		ACTION_TYPE_SCRIPT, ACTION_TYPE_ACTIVATE, ACTION_TYPE_SCRIPT };

	block->action_count = ACTIONS;
	block->target_count = w->machine_count;
	block->actions = calloc(ACTIONS, sizeof(*block->actions));
	block->targets = calloc(w->machine_count, sizeof(uint32_t));
	assert_true(block->actions != NULL && block->targets != NULL);
	for (uint32_t i = 0; i < w->machine_count; i++)
		block->targets[i] = i;
	for (uint32_t i = 0; i < ACTIONS; i++) {
		block->actions[i] = (struct task_action){ .type = types[i],
			.timeout_ms = 600000,
			.queue_ms = UINT64_C(100000000) };
		(void)snprintf(
		    block->actions[i].name, TASK_NAME_SIZE, "action %u", i);
	}
}

static void make_plan(
    struct world *w, uint32_t blocks, uint32_t window, uint32_t max_failures)
{
	struct task_plan *plan = &w->plan;

	*plan = (struct task_plan){ .number = NUMBER,
		.kind = TASK_DEPLOY,
		.machine_count = w->machine_count,
		.block_count = blocks };
	plan->machines = calloc(w->machine_count, sizeof(*plan->machines));
	plan->blocks = calloc(blocks, sizeof(*plan->blocks));
	assert_true(plan->machines != NULL && plan->blocks != NULL);
	for (uint32_t i = 0; i < w->machine_count; i++) {
		struct task_machine *machine = &plan->machines[i];

		(void)snprintf(machine->id, sizeof(machine->id), "%032x", i);
		(void)snprintf(
		    machine->name, sizeof(machine->name), "web-%u", i);
	}
	for (uint32_t b = 0; b < blocks; b++) {
		struct task_block *block = &plan->blocks[b];

		(void)snprintf(block->name, sizeof(block->name), "block %u", b);
		block->window = window;
		block->max_failures = max_failures;
		make_block(w, block);
	}
}

static void start_engine(struct world *w)
{
	size_t count = 0, all = (size_t)w->plan.block_count * w->machine_count;
	struct run_row *rows = calloc(all * ACTIONS, sizeof(*rows));

	assert_non_null(rows);
	for (size_t i = 0; i < all * ACTIONS; i++) {
		if (w->runs[i].state != RUN_WAITING)
			rows[count++] = w->runs[i];
	}
	assert_int_equal(
	    engine_new(&w->limits, &w->dice.random, &w->engine), RC_OK);
	if (!task_state_is_final(w->task.state))
		assert_int_equal(engine_task_add(w->engine, &w->plan, &w->task,
				     rows, count, NULL),
		    RC_OK);
	free(rows);
}

static void make_world(struct world *w, uint32_t machines, uint32_t blocks,
    uint32_t window, uint32_t max_failures)
{
	size_t all = (size_t)blocks * machines;

	*w = (struct world){
		.machine_count = machines, .now_ms = 1000, .keep = machines
	};
	w->dice = (struct dice){ .random = { fill },
		.state = UINT64_C(0x9e3779b97f4a7c15) };
	w->limits = engine_limits_default();
	make_plan(w, blocks, window, max_failures);
	w->task = (struct task_row){ .number = NUMBER, .epoch = 3 };
	w->runs = calloc(all * ACTIONS, sizeof(*w->runs));
	w->remotes = calloc(all * ACTIONS, sizeof(*w->remotes));
	w->inside = calloc(all, 1);
	w->inside_count = calloc(blocks, sizeof(uint32_t));
	w->failures = calloc(blocks, sizeof(uint32_t));
	assert_true(w->runs != NULL && w->remotes != NULL);
	assert_true(w->inside != NULL && w->inside_count != NULL &&
		    w->failures != NULL);
}

static void end_world(struct world *w)
{
	engine_free(w->engine);
	for (uint32_t i = 0; i < w->plan.block_count; i++) {
		free(w->plan.blocks[i].actions);
		free(w->plan.blocks[i].targets);
	}
	free(w->plan.blocks);
	free(w->plan.machines);
	free(w->runs);
	free(w->remotes);
	free(w->inside);
	free(w->inside_count);
	free(w->failures);
	free(w->messages);
}

/* Who is inside is read from the rows alone, not asked of the engine. */
static void watch_window(struct world *w, const struct run_key *key)
{
	const struct task_block *block = &w->plan.blocks[key->block];
	struct run_key first = *key;
	const struct run_row *rows;
	uint32_t final = 0, started = 0, bad = 0;
	uint8_t
	    *place =
		&w->inside[(size_t)key->block * w->machine_count + key->target],
	    was = *place;

	first.action = 0;
	rows = &w->runs[run_index(w, &first)];
	for (uint32_t i = 0; i < ACTIONS; i++) {
		enum run_state state = rows[i].state;

		final += run_state_is_final(state);
		started += state != RUN_WAITING && state != RUN_SKIPPED;
		bad += state == RUN_FAILED || state == RUN_UNKNOWN;
	}
	if (final == ACTIONS || bad > 0) /* skips follow in the same batch */
		*place = 2;
	else
		*place = started > 0 ? 1 : 0;
	if (was == 0 && started > 0) {
		w->inside_count[key->block]++;
		assert_true(w->failures[key->block] <= block->max_failures);
	}
	if (was == 1 && *place == 2) {
		w->inside_count[key->block]--;
		w->failures[key->block] += bad;
	}
}

static void store_run(struct world *w, const struct run_row *row)
{
	struct run_row *old = &w->runs[run_index(w, &row->key)];

	assert_false(run_state_is_final(old->state));
	if (old->state != RUN_WAITING && old->state != row->state)
		assert_true(run_state_may_become(old->state, row->state));
	if (old->ticket[0] != '\0')
		assert_string_equal(old->ticket, row->ticket);
	*old = *row;
	watch_window(w, &row->key);
}

static void post(struct world *w, const struct engine_command *command)
{
	struct message *m;

	if (w->message_count == w->message_room) {
		w->message_room = w->message_room * 2 + 64;
		w->messages = realloc(
		    w->messages, w->message_room * sizeof(*w->messages));
		assert_non_null(w->messages);
	}
	m = &w->messages[w->message_count++];
	m->type = command->type;
	m->key = command->key;
	memcpy(m->ticket, command->ticket, sizeof(m->ticket));
}

/* Tick, commit, send. */
static void turn(struct world *w)
{
	struct engine_change change;
	struct engine_command command;

	w->wake_ms = engine_tick(w->engine, w->now_ms);
	while (engine_next_change(w->engine, &change)) {
		if (change.type == CHANGE_TASK)
			w->task = change.row.task;
		else
			store_run(w, &change.row.run);
	}
	for (uint32_t b = 0; b < w->plan.block_count; b++) {
		uint32_t window = w->plan.blocks[b].window;

		if (window != TASK_ALL_AT_ONCE)
			assert_true(w->inside_count[b] <= window);
	}
	while (engine_next_command(w->engine, &command)) {
		assert_int_equal(command.epoch, 3);
		post(w, &command);
	}
}

/* Much of what is on its way is still delivered: the network does not restart.
 * Not all: each restart asks again for everything that is open. */
static void restart(struct world *w)
{
	engine_free(w->engine);
	w->restarts++;
	while (w->message_count > w->keep ||
	       (w->message_count > 0 && roll(&w->dice, 4) == 0)) {
		size_t i = roll(&w->dice, (uint32_t)w->message_count);

		w->messages[i] = w->messages[--w->message_count];
	}
	start_engine(w);
	turn(w);
}

static void tell(struct world *w, struct engine_fact *fact,
    const struct message *m, enum engine_fact_type type)
{
	fact->type = type;
	fact->key = m->key;
	fact->command = m->type;
	memcpy(fact->ticket, m->ticket, sizeof(fact->ticket));
	(void)engine_fact(w->engine, fact, w->now_ms);
	if (roll(&w->dice, 100) < w->twice)
		(void)engine_fact(w->engine, fact, w->now_ms);
}

/* The machine's side: a script starts once per ticket, and only one ticket is
 * ever seen for one run. */
static void remote_start(struct remote *remote, const struct message *m)
{
	if (remote->state == REMOTE_NONE) {
		memcpy(remote->ticket, m->ticket, sizeof(remote->ticket));
		remote->state = REMOTE_RUNS;
		remote->started++;
	} else if (remote->started > 0) {
		assert_string_equal(remote->ticket, m->ticket);
	}
}

static bool fails(const struct world *w, const struct run_key *key)
{
	return w->broken > 0 && key->action == 3 &&
	       key->target % 100 < w->broken;
}

static void tell_end(struct world *w, const struct message *m)
{
	enum remote_state state = w->remotes[run_index(w, &m->key)].state;
	struct engine_fact fact = { .result = { .state = RUN_SUCCEEDED } };

	if (state == REMOTE_CANCELLED)
		fact.result.state = RUN_CANCELLED;
	else if (fails(w, &m->key))
		fact.result = (struct engine_result){ .state = RUN_FAILED,
			.exit_code = 9 };
	tell(w, &fact, m, FACT_ENDED);
}

static void deliver_start(struct world *w, const struct message *m, bool answer)
{
	struct remote *remote = &w->remotes[run_index(w, &m->key)];
	struct engine_fact fact = { .fault = { .code = REASON_NONE } };

	remote_start(remote, m);
	if (answer && remote->state == REMOTE_RUNS)
		tell(w, &fact, m, FACT_ACCEPTED);
	else if (answer)
		tell_end(w, m);
}

/* Deliver one message and answer it, unless the answer is lost. */
static void deliver(struct world *w, const struct message *m, bool answer)
{
	struct remote *remote = &w->remotes[run_index(w, &m->key)];
	struct engine_fact fact = { .health = MACHINE_HEALTH_HEALTHY };

	switch (m->type) {
	case COMMAND_START:
		deliver_start(w, m, answer);
		break;
	case COMMAND_ATTACH:
		assert_int_not_equal(remote->state, REMOTE_NONE);
		if (remote->state == REMOTE_RUNS)
			remote->state = REMOTE_ENDED;
		if (answer)
			tell_end(w, m);
		break;
	case COMMAND_CANCEL:
		if (remote->state != REMOTE_ENDED)
			remote->state = REMOTE_CANCELLED;
		if (answer)
			tell_end(w, m);
		break;
	case COMMAND_STAGE:
		if (answer)
			tell(w, &fact, m, FACT_STAGED);
		break;
	case COMMAND_HEALTH:
		if (answer)
			tell(w, &fact, m, FACT_HEALTH);
		break;
	case COMMAND_FORGET:
		/* Only once the result is in a row. */
		assert_true(
		    run_state_is_final(w->runs[run_index(w, &m->key)].state));
		break;
	case COMMAND_TYPE_COUNT:
		break;
	}
}

/* One random thing happens; false: nothing is left to happen. */
static bool step(struct world *w)
{
	struct engine_fact fact = { .may_have_arrived = false };
	struct message m;
	size_t i;

	if (w->message_count == 0) {
		if (w->wake_ms == UINT64_MAX)
			return false;
		w->now_ms = w->wake_ms > w->now_ms ? w->wake_ms : w->now_ms;
		turn(w);
		return true;
	}
	i = roll(&w->dice, (uint32_t)w->message_count);
	m = w->messages[i];
	w->messages[i] = w->messages[--w->message_count];
	w->now_ms++;
	if (roll(&w->dice, 100) >= w->lose) {
		deliver(w, &m, true);
	} else {
		fact.may_have_arrived = roll(&w->dice, 2) == 0;
		fault_set(&fact.fault, REASON_AGENT_DOWN, "", "no link");
		if (fact.may_have_arrived && roll(&w->dice, 2) == 0)
			deliver(w, &m, false);
		tell(w, &fact, &m, FACT_UNREACHABLE);
	}
	turn(w);
	return true;
}

static uint32_t count_runs(const struct world *w, enum run_state state)
{
	size_t all = (size_t)w->plan.block_count * w->machine_count * ACTIONS;
	uint32_t count = 0;

	for (size_t i = 0; i < all; i++)
		count += w->runs[i].state == state;
	return count;
}

static uint32_t count_open(const struct world *w)
{
	return count_runs(w, RUN_WAITING) + count_runs(w, RUN_STARTING) +
	       count_runs(w, RUN_RUNNING);
}

static void assert_each_script_ran_once(const struct world *w)
{
	size_t all = (size_t)w->plan.block_count * w->machine_count * ACTIONS;

	for (size_t i = 0; i < all; i++)
		assert_int_equal(
		    w->remotes[i].started, i % ACTIONS == 0 ? 0 : 1);
}

/* What was called cancelled, failed before its time or skipped never ran, and
 * never will: nothing on its way may start it any more. */
static void assert_rows_tell_the_truth(struct world *w)
{
	size_t all = (size_t)w->plan.block_count * w->machine_count * ACTIONS;

	for (size_t i = 0; i < all; i++) {
		enum remote_state remote = w->remotes[i].state;

		if (w->runs[i].state == RUN_SKIPPED)
			assert_int_equal(remote, REMOTE_NONE);
		else if (w->runs[i].state == RUN_CANCELLED)
			assert_true(remote == REMOTE_NONE ||
				    remote == REMOTE_CANCELLED);
		else if (w->runs[i].state == RUN_SUCCEEDED && i % ACTIONS != 0)
			assert_int_equal(remote, REMOTE_ENDED);
	}
}

static void test_ten_thousand_machines_with_two_hundred_restarts(void **state)
{
	struct world w;
	uint32_t steps = 0;

	(void)state;
	make_world(&w, 10000, 1, 300, 0);
	w.lose = 5;
	w.twice = 5;
	start_engine(&w);
	turn(&w);
	do {
		if (++steps % 430 == 0 && w.restarts < 200)
			restart(&w);
	} while (step(&w));
	assert_int_equal(w.restarts, 200);
	assert_int_equal(w.task.state, TASK_SUCCEEDED);
	assert_int_equal(w.task.ok_count, 10000);
	assert_false(w.task.partial);
	assert_int_equal(count_runs(&w, RUN_SUCCEEDED), 10000 * ACTIONS);
	assert_each_script_ran_once(&w);
	end_world(&w);
}

static void test_fifty_machines_with_a_restart_at_every_fact(void **state)
{
	struct world w;

	(void)state;
	for (uint32_t lose = 0; lose < 60; lose += 20) {
		make_world(&w, 50, 2, 7, 0);
		w.lose = lose;
		w.twice = 20;
		start_engine(&w);
		turn(&w);
		while (step(&w))
			restart(&w);
		assert_int_equal(w.task.state, TASK_SUCCEEDED);
		assert_int_equal(w.task.ok_count, 50);
		assert_int_equal(
		    count_runs(&w, RUN_SUCCEEDED), 2 * 50 * ACTIONS);
		assert_each_script_ran_once(&w);
		end_world(&w);
	}
}

static void test_all_at_once_keeps_to_the_engine_limit(void **state)
{
	struct world w;

	(void)state;
	make_world(&w, 10000, 1, TASK_ALL_AT_ONCE, 0);
	w.limits.max_in_flight = 100;
	start_engine(&w);
	turn(&w);
	while (step(&w))
		assert_true(engine_in_flight(w.engine) <= 100);
	assert_int_equal(w.task.state, TASK_SUCCEEDED);
	end_world(&w);
}

static void test_failures_stop_the_roll_out_also_over_restarts(void **state)
{
	struct world w;
	uint32_t steps = 0;

	(void)state;
	make_world(&w, 1000, 2, 10, 5);
	w.broken = 10; /* in each hundred */
	w.lose = 10;
	start_engine(&w);
	turn(&w);
	do {
		if (++steps % 3 == 0)
			restart(&w);
	} while (step(&w));
	assert_int_equal(w.task.state, TASK_FAILED);
	assert_true(w.failures[0] > 5);
	assert_true(w.failures[0] <= 5 + 10);
	assert_int_equal(w.task.failed_count, w.failures[0]);
	assert_int_equal(w.task.ok_count, 0); /* nobody saw block 2 */
	assert_int_equal(count_open(&w), 0);
	assert_non_null(strstr(w.task.fault.text, "exit code 9"));
	end_world(&w);
}

static void test_a_cancel_at_any_moment_ends_every_run(void **state)
{
	struct engine_fact cancel = { .type = FACT_CANCEL,
		.key = { .task = NUMBER } };
	struct world w;

	(void)state;
	for (uint32_t at = 0; at < 400; at += 7) {
		uint32_t steps = 0;

		make_world(&w, 20, 1, 5, 0);
		w.dice.state += at;
		w.lose = at % 50;
		start_engine(&w);
		if (at > 0)
			turn(&w);
		while (steps < at && step(&w))
			steps++;
		(void)engine_fact(w.engine, &cancel, w.now_ms);
		turn(&w);
		if (at % 2 == 1)
			restart(&w);
		while (step(&w))
			;
		assert_true(w.task.state == TASK_CANCELLED ||
			    w.task.state == TASK_SUCCEEDED);
		assert_int_equal(count_open(&w), 0);
		assert_int_equal(count_runs(&w, RUN_FAILED), 0);
		assert_rows_tell_the_truth(&w);
		end_world(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_ten_thousand_machines_with_two_hundred_restarts),
		cmocka_unit_test(
		    test_fifty_machines_with_a_restart_at_every_fact),
		cmocka_unit_test(test_all_at_once_keeps_to_the_engine_limit),
		cmocka_unit_test(
		    test_failures_stop_the_roll_out_also_over_restarts),
		cmocka_unit_test(test_a_cancel_at_any_moment_ends_every_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

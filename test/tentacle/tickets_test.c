#include "tentacle/tickets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OURS  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define NOW   (200ull * 24 * 3600 * 1000)

static struct tickets *t;
static struct ticket_plan plan;
static const struct ticket_side side = {
	.journal = OURS, .counter = 10, .now_ms = NOW
};

/* Number of the task of all orders. */
#define TASK 7ull

static int set_up(void **state)
{
	const struct ticket_limits limits = { .open_max = 3, .known_max = 6 };

	(void)state;
	assert_int_equal(tickets_new(&limits, &t), RC_OK);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tickets_free(t);
	return 0;
}

static void name_ticket(char *out, unsigned n)
{
	(void)snprintf(out, ID_SIZE, "%032x", n * 0x01010101u);
}

static struct msg_start order(unsigned n)
{
	struct msg_start m = { .epoch = 5, .action = ACTION_SCRIPT };

	name_ticket(m.ticket, n);
	(void)snprintf(m.task, sizeof(m.task), "task-7");
	m.incarnation.secs = 1000;
	memset(m.incarnation.random, 'c', ID_SIZE - 1);
	return m;
}

static void judge(const struct msg_start *m)
{
	tickets_judge_start(t, m, &side, &plan);
}

static void apply_plan(void)
{
	for (size_t i = 0; i < plan.record_count; i++)
		assert_int_equal(tickets_apply(t, &plan.records[i]), RC_OK);
}

static void apply(unsigned n, enum journal_type type, enum run_phase phase)
{
	struct journal_record r = { .type = type, .at_ms = NOW };

	name_ticket(r.ticket, n);
	if (type == JOURNAL_ENDED) {
		r.result.state = TICKET_EXITED;
		r.result.started_ms = NOW;
	} else if (type == JOURNAL_EXEC || type == JOURNAL_PASSED) {
		r.phase = phase;
	}
	assert_int_equal(tickets_apply(t, &r), RC_OK);
}

static void accept(unsigned n)
{
	const struct msg_start m = order(n);

	judge(&m);
	assert_int_equal(plan.verdict, VERDICT_ACCEPT);
	apply_plan();
}

static void assert_refused(const struct msg_start *m, enum reason reason)
{
	judge(m);
	assert_int_equal(plan.verdict, VERDICT_REFUSE);
	assert_int_equal(plan.fault.code, reason);
	assert_true(plan.fault.text[0] != '\0');
	assert_int_equal(plan.record_count, 0);
}

static enum ticket_state state_of(unsigned n)
{
	char id[ID_SIZE];
	const struct ticket *k;

	name_ticket(id, n);
	k = tickets_find(t, id);
	assert_non_null(k);
	return k->state;
}

static void cancel(unsigned n, uint64_t epoch)
{
	struct msg_cancel m = { .epoch = epoch };

	name_ticket(m.ticket, n);
	(void)snprintf(m.task, sizeof(m.task), "task-7");
	tickets_judge_cancel(t, &m, NOW, &plan);
}

static void test_a_known_ticket_is_never_accepted_again(void **state)
{
	const struct msg_start m = order(1);

	(void)state;
	accept(1);
	judge(&m);
	assert_int_equal(plan.verdict, VERDICT_KNOWN);
	assert_int_equal(plan.ticket->state, TICKET_ACCEPTED);
	assert_int_equal(plan.record_count, 0);
	apply(1, JOURNAL_EXEC, PHASE_SCRIPT);
	judge(&m);
	assert_int_equal(plan.ticket->state, TICKET_RUNNING);
	apply(1, JOURNAL_ENDED, PHASE_NONE);
	apply(1, JOURNAL_FORGOTTEN, PHASE_NONE);
	judge(&m);
	assert_int_equal(plan.verdict, VERDICT_KNOWN);
	assert_int_equal(plan.ticket->state, TICKET_EXITED);
}

static void test_another_journal_or_a_lower_counter_is_refused(void **state)
{
	struct msg_start m = order(1);

	(void)state;
	memcpy(m.journal, OTHER, ID_SIZE);
	assert_refused(&m, REASON_JOURNAL);
	memcpy(m.journal, OURS, ID_SIZE);
	m.counter = 11;
	assert_refused(&m, REASON_JOURNAL);
	m.counter = 10;
	judge(&m);
	assert_int_equal(plan.verdict, VERDICT_ACCEPT);
}

static void test_an_older_life_of_the_database_is_refused(void **state)
{
	struct msg_start m = order(2);

	(void)state;
	accept(1);
	m.incarnation.secs = 999;
	assert_refused(&m, REASON_SUPERSEDED);
	m.incarnation.secs = 1000;
	m.incarnation.random[0] = 'd'; /* another of the same second */
	assert_refused(&m, REASON_SUPERSEDED);
	m.incarnation.secs = 1001;
	judge(&m);
	assert_int_equal(plan.verdict, VERDICT_ACCEPT);
	assert_int_equal(plan.records[0].type, JOURNAL_INCARNATION);
}

static void test_a_newer_life_of_the_database_counts_anew(void **state)
{
	struct journal_record life = { .type = JOURNAL_INCARNATION,
		.at_ms = NOW };
	struct msg_start m = order(1);

	(void)state;
	m.epoch = 9;
	m.action = ACTION_ACTIVATE;
	m.activate.deployment = 7;
	(void)snprintf(m.activate.project, sizeof(m.activate.project), "shop");
	judge(&m);
	assert_int_equal(plan.verdict, VERDICT_ACCEPT);
	apply_plan();
	/* The same task and a lower deployment, of a database put back. */
	name_ticket(m.ticket, 2);
	m.epoch = 1;
	m.activate.deployment = 3;
	assert_refused(&m, REASON_SUPERSEDED);
	m.incarnation.secs++;
	judge(&m);
	assert_int_equal(plan.verdict, VERDICT_ACCEPT);
	/* And when it was welcomed first. */
	life.incarnation = m.incarnation;
	assert_int_equal(tickets_apply(t, &life), RC_OK);
	judge(&m);
	assert_int_equal(plan.verdict, VERDICT_ACCEPT);
	apply_plan();
	name_ticket(m.ticket, 3);
	m.activate.deployment = 2;
	assert_refused(&m, REASON_SUPERSEDED);
	/* Known tickets stay so. */
	name_ticket(m.ticket, 1);
	judge(&m);
	assert_int_equal(plan.verdict, VERDICT_KNOWN);
}

static void test_a_lower_epoch_is_refused_and_a_higher_one_noted(void **state)
{
	struct msg_start m = order(1);

	(void)state;
	accept(1);
	m.epoch = 4;
	assert_refused(&m, REASON_SUPERSEDED);
	cancel(1, 4);
	assert_int_equal(plan.verdict, VERDICT_REFUSE);
	/* The same ticket after adoption, with the new epoch. */
	m.epoch = 6;
	judge(&m);
	assert_int_equal(plan.verdict, VERDICT_KNOWN);
	assert_int_equal(plan.record_count, 1);
	assert_int_equal(plan.records[0].type, JOURNAL_EPOCH);
	apply_plan();
	m.epoch = 5;
	assert_refused(&m, REASON_SUPERSEDED);
}

static void test_who_follows_a_ticket_owns_its_task(void **state)
{
	struct msg_attach m = { .epoch = 6, .task = "task-7" };
	struct msg_start again = order(1);

	(void)state;
	accept(1);
	/* Adopted while the script runs: no order has to say so. */
	tickets_judge_attach(t, &m, NOW, &plan);
	assert_int_equal(plan.verdict, VERDICT_KNOWN);
	assert_int_equal(plan.record_count, 1);
	apply_plan();
	cancel(1, 5);
	assert_int_equal(plan.verdict, VERDICT_REFUSE);
	assert_refused(&again, REASON_SUPERSEDED);
	tickets_judge_attach(t, &m, NOW, &plan);
	assert_int_equal(plan.record_count, 0);
	m.epoch = 5;
	tickets_judge_attach(t, &m, NOW, &plan);
	assert_int_equal(plan.verdict, VERDICT_REFUSE);
	assert_int_equal(plan.fault.code, REASON_SUPERSEDED);
	/* An older server does not tell, and is believed as ever. */
	m = (struct msg_attach){ .epoch = 0 };
	tickets_judge_attach(t, &m, NOW, &plan);
	assert_int_equal(plan.verdict, VERDICT_KNOWN);
	assert_int_equal(plan.record_count, 0);
}

static void test_cancel_of_an_unknown_ticket_leaves_a_tombstone(void **state)
{
	const struct msg_start m = order(1);

	(void)state;
	cancel(1, 5);
	assert_int_equal(plan.verdict, VERDICT_ACCEPT);
	apply_plan();
	judge(&m);
	assert_int_equal(plan.verdict, VERDICT_KNOWN);
	assert_int_equal(plan.ticket->state, TICKET_CANCELLED);
	assert_int_equal(tickets_open(t), 0);
}

static void test_cancel_before_the_script_ends_the_ticket_at_once(void **state)
{
	(void)state;
	accept(1);
	accept(2);
	apply(2, JOURNAL_EXEC, PHASE_SCRIPT);
	cancel(1, 5);
	assert_int_equal(plan.records[0].type, JOURNAL_ENDED);
	apply_plan();
	assert_int_equal(state_of(1), TICKET_CANCELLED);
	/* One that runs ends when its process does. */
	cancel(2, 5);
	assert_int_equal(plan.verdict, VERDICT_KNOWN);
	assert_int_equal(plan.record_count, 0);
	assert_int_equal(tickets_open(t), 1);
}

static void test_the_first_end_counts(void **state)
{
	(void)state;
	accept(1);
	cancel(1, 5);
	apply_plan();
	apply(1, JOURNAL_ENDED, PHASE_NONE);
	assert_int_equal(state_of(1), TICKET_CANCELLED);
	assert_int_equal(tickets_open(t), 0);
}

static void test_what_a_ticket_replaces_must_not_have_run(void **state)
{
	struct msg_id old[2];
	struct msg_start m = order(3);

	(void)state;
	name_ticket(old[0].text, 1);
	name_ticket(old[1].text, 2);
	m.supersedes.items = old;
	m.supersedes.count = 2;
	accept(1);
	apply(1, JOURNAL_EXEC, PHASE_SCRIPT);
	assert_refused(&m, REASON_SUPERSEDED);
	apply(1, JOURNAL_ENDED, PHASE_NONE);
	assert_refused(&m, REASON_SUPERSEDED);
	/* Only 2, which never came: a tombstone, in the same record. */
	m.supersedes.items = old + 1;
	m.supersedes.count = 1;
	judge(&m);
	assert_int_equal(plan.verdict, VERDICT_ACCEPT);
	assert_int_equal(plan.record_count, 1);
	apply_plan();
	assert_int_equal(state_of(2), TICKET_CANCELLED);
	assert_int_equal(state_of(3), TICKET_ACCEPTED);
	/* And one that waits is replaced too. */
	name_ticket(old[0].text, 3);
	m = order(4);
	m.supersedes.items = old;
	m.supersedes.count = 1;
	judge(&m);
	assert_int_equal(plan.verdict, VERDICT_ACCEPT);
	apply_plan();
	assert_int_equal(state_of(3), TICKET_CANCELLED);
	assert_int_equal(tickets_open(t), 1);
	/* Not itself. */
	name_ticket(old[0].text, 5);
	m = order(5);
	m.supersedes.items = old;
	m.supersedes.count = 1;
	assert_refused(&m, REASON_PROTOCOL);
}

static void test_a_lower_deployment_of_a_project_is_refused(void **state)
{
	struct msg_start m = order(1);

	(void)state;
	m.action = ACTION_ACTIVATE;
	(void)snprintf(m.activate.project, NAME_SIZE, "shop");
	m.activate.deployment = 7;
	judge(&m);
	apply_plan();
	name_ticket(m.ticket, 2);
	m.activate.deployment = 6;
	assert_refused(&m, REASON_SUPERSEDED);
	m.activate.deployment = 7; /* another step of it */
	judge(&m);
	assert_int_equal(plan.verdict, VERDICT_ACCEPT);
	(void)snprintf(m.activate.project, NAME_SIZE, "blog");
	m.activate.deployment = 1;
	judge(&m);
	assert_int_equal(plan.verdict, VERDICT_ACCEPT);
}

static void test_too_many_open_tickets_are_refused(void **state)
{
	const struct msg_start m = order(4);

	(void)state;
	accept(1);
	accept(2);
	accept(3);
	assert_refused(&m, REASON_TOO_MANY);
	apply(1, JOURNAL_ENDED, PHASE_NONE);
	judge(&m);
	assert_int_equal(plan.verdict, VERDICT_ACCEPT);
}

static void settle(uint64_t below)
{
	struct journal_record r;

	assert_true(tickets_judge_settled(t, below, NOW, &r));
	assert_int_equal(tickets_apply(t, &r), RC_OK);
	assert_false(tickets_judge_settled(t, below, NOW, &r));
}

static void test_tombstones_are_bounded_and_go_with_their_task(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= 12; n++) {
		cancel(n, 5);
		assert_int_equal(plan.verdict, VERDICT_ACCEPT);
		apply_plan();
	}
	cancel(13, 5); /* a cancel is taken up to twice the limit */
	assert_int_equal(plan.verdict, VERDICT_REFUSE);
	assert_int_equal(plan.fault.code, REASON_TOO_MANY);
	settle(TASK);
	assert_non_null(tickets_next(t, NULL));
	/* Who is full looks at once. */
	settle(TASK + 1);
	assert_null(tickets_next(t, NULL));
}

/* An activation that was cancelled may hold its lock for longer. */
static void test_the_lock_of_a_ticket_that_is_gone_can_be_broken(void **state)
{
	(void)state;
	accept(1);
	apply(1, JOURNAL_ENDED, PHASE_NONE);
	apply(1, JOURNAL_FORGOTTEN, PHASE_NONE);
	settle(TASK + 1);
	tickets_expire(t);
	assert_null(tickets_next(t, NULL));
	apply(1, JOURNAL_UNLOCKED, PHASE_NONE);
	assert_null(tickets_next(t, NULL));
}

/* What was forgotten would otherwise be taken for new. */
static void test_nothing_is_ordered_for_a_task_that_is_over(void **state)
{
	struct msg_start m = order(1);

	(void)state;
	accept(1);
	apply(1, JOURNAL_ENDED, PHASE_NONE);
	apply(1, JOURNAL_FORGOTTEN, PHASE_NONE);
	settle(TASK + 1);
	judge(&m); /* it is still known */
	assert_int_equal(plan.verdict, VERDICT_KNOWN);
	tickets_expire(t);
	assert_null(tickets_find(t, m.ticket));
	assert_refused(&m, REASON_SUPERSEDED);
	cancel(1, 9);
	assert_int_equal(plan.verdict, VERDICT_REFUSE);
	/* Others are. */
	(void)snprintf(m.task, sizeof(m.task), "task-%llu", TASK + 1);
	judge(&m);
	assert_int_equal(plan.verdict, VERDICT_ACCEPT);
}

/* Whatever the clock says, and however old they are. */
static void test_an_open_ticket_is_never_forgotten(void **state)
{
	(void)state;
	accept(1);
	accept(2);
	apply(2, JOURNAL_ENDED, PHASE_NONE); /* the server has not got it */
	settle(TASK + 1000);
	tickets_expire(t);
	assert_int_equal(state_of(1), TICKET_ACCEPTED);
	assert_int_equal(state_of(2), TICKET_EXITED);
}

static void test_only_the_owner_of_a_task_may_say_forget(void **state)
{
	struct fault fault;

	(void)state;
	accept(1);
	assert_true(tickets_owner_fits(t, order(1).task, 5, &fault));
	assert_false(tickets_owner_fits(t, order(1).task, 4, &fault));
	assert_int_equal(fault.code, REASON_SUPERSEDED);
}

static void test_a_record_about_an_unknown_ticket_is_a_contradiction(
    void **state)
{
	struct journal_record r = { .type = JOURNAL_EXEC,
		.phase = PHASE_SCRIPT };

	(void)state;
	name_ticket(r.ticket, 9);
	assert_int_equal(tickets_apply(t, &r), RC_PROTO);
}

static void test_a_dump_makes_the_same_index_again(void **state)
{
	const struct ticket_limits limits = { .open_max = 3, .known_max = 6 };
	struct tickets *copy = NULL;
	struct ticket_dump dump = { 0 };
	struct journal_record r;
	struct msg_start m = order(9);
	size_t known = 0;

	(void)state;
	accept(1);
	apply(1, JOURNAL_EXEC, PHASE_SCRIPT);
	accept(2);
	apply(2, JOURNAL_EXEC, PHASE_BEFORE);
	apply(2, JOURNAL_PASSED, PHASE_BEFORE);
	accept(3);
	apply(3, JOURNAL_ENDED, PHASE_NONE);
	apply(3, JOURNAL_FORGOTTEN, PHASE_NONE);
	settle(TASK - 1);
	cancel(4, 5);
	apply_plan();
	m.action = ACTION_ACTIVATE;
	(void)snprintf(m.activate.project, NAME_SIZE, "shop");
	m.activate.deployment = 7;
	judge(&m);
	apply_plan();

	assert_int_equal(tickets_new(&limits, &copy), RC_OK);
	while (tickets_dump(t, &dump, &r) == RC_OK)
		assert_int_equal(tickets_apply(copy, &r), RC_OK);
	assert_int_equal(tickets_open(copy), tickets_open(t));
	for (const struct ticket *k = tickets_next(t, NULL); k != NULL;
	     k = tickets_next(t, k)) {
		const struct ticket *c = tickets_find(copy, k->id);

		known++;
		assert_non_null(c);
		assert_int_equal(c->state, k->state);
		assert_int_equal(c->exec, k->exec);
		assert_int_equal(c->passed, k->passed);
		assert_int_equal(c->forgotten, k->forgotten);
		assert_int_equal(c->tombstone, k->tombstone);
	}
	assert_int_equal(known, 5);
	tickets_free(t);
	t = copy;
	m.activate.deployment = 6;
	name_ticket(m.ticket, 10);
	assert_refused(&m, REASON_SUPERSEDED);
	m = order(11);
	m.epoch = 4;
	assert_refused(&m, REASON_SUPERSEDED);
	m.epoch = 5;
	(void)snprintf(m.task, sizeof(m.task), "task-%llu", TASK - 2);
	assert_refused(&m, REASON_SUPERSEDED);
	assert_non_null(strstr(plan.fault.text, "is over"));
	(void)snprintf(m.task, sizeof(m.task), "task-%llu", TASK);
	/* Also a tombstone still knows its task. */
	settle(TASK + 1);
	tickets_expire(t);
	name_ticket(m.ticket, 4);
	assert_null(tickets_find(t, m.ticket));
	assert_int_equal(state_of(2), TICKET_RUNNING);
	m = order(11);
	m.incarnation.secs = 1;
	assert_refused(&m, REASON_SUPERSEDED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_known_ticket_is_never_accepted_again),
		TEST(test_another_journal_or_a_lower_counter_is_refused),
		TEST(test_an_older_life_of_the_database_is_refused),
		TEST(test_a_newer_life_of_the_database_counts_anew),
		TEST(test_a_lower_epoch_is_refused_and_a_higher_one_noted),
		TEST(test_who_follows_a_ticket_owns_its_task),
		TEST(test_cancel_of_an_unknown_ticket_leaves_a_tombstone),
		TEST(test_cancel_before_the_script_ends_the_ticket_at_once),
		TEST(test_the_first_end_counts),
		TEST(test_what_a_ticket_replaces_must_not_have_run),
		TEST(test_a_lower_deployment_of_a_project_is_refused),
		TEST(test_too_many_open_tickets_are_refused),
		TEST(test_tombstones_are_bounded_and_go_with_their_task),
		TEST(test_the_lock_of_a_ticket_that_is_gone_can_be_broken),
		TEST(test_nothing_is_ordered_for_a_task_that_is_over),
		TEST(test_an_open_ticket_is_never_forgotten),
		TEST(test_only_the_owner_of_a_task_may_say_forget),
		TEST(test_a_record_about_an_unknown_ticket_is_a_contradiction),
		TEST(test_a_dump_makes_the_same_index_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

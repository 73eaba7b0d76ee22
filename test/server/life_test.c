/* Which greets go on with a life, and which are copies of it. */
#include "server/fleet/life.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* What one disk and one process hold. */
struct disk {
	uint64_t start;
	uint8_t token[SUCCESSION_LEN];
	bool has_token;
	char nonce[ID_SIZE];
	uint8_t given; /* by the server, not yet written; 0: nothing */
};

struct server {
	struct store_instance row;
	uint8_t last; /* token that was given */
};

static void begin(struct disk *d, char nonce)
{
	d->start++;
	memset(d->nonce, nonce, sizeof(d->nonce) - 1);
	d->nonce[sizeof(d->nonce) - 1] = '\0';
	d->given = 0;
}

static enum life_verdict greet(struct server *s, struct disk *d)
{
	struct life_shown shown = {
		.instance.start = d->start,
		.has_token = d->has_token,
	};
	uint8_t fresh[SUCCESSION_LEN];
	struct store_instance next;
	enum life_verdict verdict;

	memcpy(shown.instance.nonce, d->nonce, sizeof(d->nonce));
	memcpy(shown.token, d->token, sizeof(d->token));
	memset(fresh, s->last + 1, sizeof(fresh));
	verdict = life_judge(&s->row, &shown);
	if (verdict == LIFE_FORK)
		return verdict;
	if (life_is_settled(&s->row, &shown))
		return verdict;
	d->given = 0;
	if (life_follow(&s->row, &shown, fresh, &next)) {
		d->given = next.succession[0];
		s->last = next.succession[0];
	}
	s->row = next;
	return verdict;
}

/* The welcome arrived, and is on the disk. */
static void sync_token(struct disk *d)
{
	if (d->given == 0)
		return;
	memset(d->token, d->given, sizeof(d->token));
	d->has_token = true;
}

static void confirm(struct server *s)
{
	life_confirm(&s->row);
}

static void settle(struct server *s, struct disk *d, char nonce)
{
	begin(d, nonce);
	assert_int_equal(greet(s, d), LIFE_NEXT);
	sync_token(d);
	confirm(s);
}

static void test_an_honest_machine_goes_on_wherever_it_is_killed(void **state)
{
	(void)state;
	/* Killed: 0 before the welcome arrives, 1 before its confirm does,
	 * 2 after; three starts in a row, each way, with and without a token
	 * at first. */
	for (unsigned way = 0; way < 54; way++) {
		struct server s = { .last = 1 };
		struct disk d = { .has_token = way >= 27 };
		unsigned w = way % 27;

		if (d.has_token) {
			memset(d.token, 1, sizeof(d.token));
			memset(s.row.succession, 1, sizeof(d.token));
		}
		for (unsigned i = 0; i < 3; i++, w /= 3) {
			begin(&d, (char)('a' + i));
			assert_int_equal(greet(&s, &d), LIFE_NEXT);
			/* A second seal of the same instance. */
			assert_int_equal(greet(&s, &d), LIFE_SAME);
			if (w % 3 > 0)
				sync_token(&d);
			if (w % 3 > 1)
				confirm(&s);
		}
		begin(&d, 'z');
		assert_int_equal(greet(&s, &d), LIFE_NEXT);
	}
}

static void test_one_that_has_settled_gets_nothing_new(void **state)
{
	struct server s = { .last = 1 };
	struct disk d = { .start = 0 };

	(void)state;
	settle(&s, &d, 'a');
	assert_int_equal(greet(&s, &d), LIFE_SAME);
	assert_int_equal(d.given, 2);
	/* To show it is to confirm it. */
	begin(&d, 'b');
	assert_int_equal(greet(&s, &d), LIFE_NEXT);
	assert_int_equal(s.row.succession_before[0], 2);
	sync_token(&d);
	assert_int_equal(greet(&s, &d), LIFE_SAME);
	assert_int_equal(s.row.succession_before[0], 0);
}

static void test_a_copy_beside_the_original_is_found(void **state)
{
	struct server s = { .last = 1 };
	struct disk d = { .start = 0 }, copy;

	(void)state;
	settle(&s, &d, 'a');
	copy = d;
	/* It passes for the next start, until the original speaks. */
	settle(&s, &copy, 'b');
	assert_int_equal(greet(&s, &d), LIFE_FORK);
	/* A later start does not help it: its token is an old one. */
	begin(&d, 'c');
	begin(&d, 'd');
	assert_int_equal(greet(&s, &d), LIFE_FORK);
	assert_int_equal(greet(&s, &copy), LIFE_SAME);
}

static void test_the_same_start_of_somebody_else_is_a_copy(void **state)
{
	struct server s = { .last = 1 };
	struct disk d = { .start = 0 }, copy;

	(void)state;
	begin(&d, 'a');
	copy = d;
	assert_int_equal(greet(&s, &d), LIFE_NEXT);
	memset(copy.nonce, 'b', sizeof(copy.nonce) - 1);
	assert_int_equal(greet(&s, &copy), LIFE_FORK);
}

static void test_a_disk_that_was_set_back_is_found(void **state)
{
	struct server s = { .last = 1 };
	struct disk d = { .start = 0 }, snapshot;

	(void)state;
	settle(&s, &d, 'a');
	snapshot = d;
	settle(&s, &d, 'b');
	settle(&s, &d, 'c');
	begin(&snapshot, 'd');
	assert_int_equal(greet(&s, &snapshot), LIFE_FORK);
	/* However often it starts alone. */
	snapshot.start += 100;
	assert_int_equal(greet(&s, &snapshot), LIFE_FORK);
}

static void test_a_memory_that_was_set_back_is_found(void **state)
{
	struct server s = { .last = 1 };
	struct disk d = { .start = 0 }, before;

	(void)state;
	settle(&s, &d, 'a');
	begin(&d, 'b');
	before = d;
	assert_int_equal(greet(&s, &d), LIFE_NEXT);
	sync_token(&d);
	confirm(&s);
	assert_int_equal(greet(&s, &before), LIFE_FORK);
}

static void test_without_its_token_nobody_goes_on(void **state)
{
	struct server s = { .last = 1 };
	struct disk d = { .start = 0 };

	(void)state;
	settle(&s, &d, 'a');
	begin(&d, 'b');
	d.has_token = false;
	assert_int_equal(greet(&s, &d), LIFE_FORK);
	d.has_token = true;
	d.token[31] ^= 1;
	assert_int_equal(greet(&s, &d), LIFE_FORK);
	d.token[31] ^= 1;
	assert_int_equal(greet(&s, &d), LIFE_NEXT);
}

static void test_what_a_journal_says_counts_unless_it_cannot_be_read(
    void **state)
{
	const uint8_t fresh[SUCCESSION_LEN] = { 1 };
	struct store_instance row = { .counter = 7 }, next;
	struct life_shown shown = { .instance = { "aa", 1, "n1" },
		.counter = 9 };

	(void)state;
	/* The first one that is shown. */
	assert_false(life_lost_journal(&row, &shown));
	(void)life_follow(&row, &shown, fresh, &next);
	assert_string_equal(next.journal, "aa");
	assert_int_equal(next.counter, 9);
	row = next;
	shown.counter = 8;
	(void)life_follow(&row, &shown, fresh, &next);
	assert_int_equal(next.counter, 9);
	/* Another one. */
	memcpy(shown.instance.journal, "bb", 3);
	assert_true(life_lost_journal(&row, &shown));
	/* None that could be read. */
	shown.quarantine = true;
	shown.counter = 100;
	assert_false(life_lost_journal(&row, &shown));
	(void)life_follow(&row, &shown, fresh, &next);
	assert_string_equal(next.journal, "aa");
	assert_int_equal(next.counter, 9);
	assert_string_equal(next.nonce, "n1");
}

static void test_an_instance_without_a_known_journal_has_not_settled(
    void **state)
{
	struct server s = { .last = 1 };
	struct disk d = { .start = 0 };
	struct life_shown shown = { .has_token = true };

	(void)state;
	settle(&s, &d, 'a');
	shown.instance.start = d.start;
	memcpy(shown.instance.nonce, d.nonce, sizeof(d.nonce));
	memcpy(shown.token, d.token, sizeof(d.token));
	assert_true(life_is_settled(&s.row, &shown));
	/* As after a release. */
	memcpy(shown.instance.journal, "aa", 3);
	assert_false(life_is_settled(&s.row, &shown));
	memcpy(s.row.journal, "aa", 3);
	assert_true(life_is_settled(&s.row, &shown));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_an_honest_machine_goes_on_wherever_it_is_killed),
		cmocka_unit_test(test_one_that_has_settled_gets_nothing_new),
		cmocka_unit_test(test_a_copy_beside_the_original_is_found),
		cmocka_unit_test(
		    test_the_same_start_of_somebody_else_is_a_copy),
		cmocka_unit_test(test_a_disk_that_was_set_back_is_found),
		cmocka_unit_test(test_a_memory_that_was_set_back_is_found),
		cmocka_unit_test(test_without_its_token_nobody_goes_on),
		cmocka_unit_test(
		    test_what_a_journal_says_counts_unless_it_cannot_be_read),
		cmocka_unit_test(
		    test_an_instance_without_a_known_journal_has_not_settled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Proofs of a server's term: ours, and everything that is not. */
#include "server/fleet/term.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct wrap_key master = { .key = { 1, 2, 3 } };
static const struct msg_incarnation life = { 1000, "aaaa" };
static const uint8_t id[TERM_ID_LEN] = { 9, 8, 7 };

static bool is_ours(const uint8_t *term)
{
	return term_is_ours(&master, &life, bytes_of(term, TERM_LEN));
}

static void test_a_term_begins_with_its_id_and_is_ours(void **state)
{
	uint8_t term[TERM_LEN];

	(void)state;
	assert_int_equal(term_make(&master, &life, id, term), RC_OK);
	assert_memory_equal(term, id, TERM_ID_LEN);
	assert_true(is_ours(term));
}

static void test_nobody_can_make_one_up(void **state)
{
	uint8_t term[TERM_LEN];

	(void)state;
	assert_int_equal(term_make(&master, &life, id, term), RC_OK);
	for (size_t i = 0; i < TERM_LEN; i++) {
		term[i] ^= 1;
		assert_false(is_ours(term));
		term[i] ^= 1;
	}
	assert_false(term_is_ours(&master, &life, bytes_of(term, 31)));
	assert_false(term_is_ours(&master, &life, bytes_of(NULL, 0)));
}

static void test_one_of_another_life_or_cluster_proves_nothing(void **state)
{
	const struct wrap_key other_key = { .key = { 1, 2, 4 } };
	const struct msg_incarnation later = { 1001, "aaaa" };
	const struct msg_incarnation other = { 1000, "aaab" };
	uint8_t term[TERM_LEN];

	(void)state;
	assert_int_equal(term_make(&other_key, &life, id, term), RC_OK);
	assert_false(is_ours(term));
	assert_int_equal(term_make(&master, &later, id, term), RC_OK);
	assert_false(is_ours(term));
	assert_int_equal(term_make(&master, &other, id, term), RC_OK);
	assert_false(is_ours(term));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_term_begins_with_its_id_and_is_ours),
		cmocka_unit_test(test_nobody_can_make_one_up),
		cmocka_unit_test(
		    test_one_of_another_life_or_cluster_proves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "common/wiping.h"
#include "test/support/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* That what is freed is wiped shows where memory may be looked at: in
 * test/scenario/rotate_test.py. */
static void test_a_block_that_moves_keeps_what_was_in_it(void **state)
{
	char *block = wiping_realloc(NULL, 8);

	(void)state;
	assert_non_null(block);
	memcpy(block, "1234567", 8);
	block = wiping_realloc(block, 100000);
	assert_non_null(block);
	assert_string_equal(block, "1234567");
	memset(block + 8, 'x', 100000 - 8);
	block = wiping_realloc(block, 4);
	assert_non_null(block);
	assert_memory_equal(block, "1234", 4);
	wiping_free(block);
	wiping_free(NULL);
}

static void test_without_memory_the_block_stays_as_it_is(void **state)
{
	char *block = wiping_realloc(NULL, 8);

	(void)state;
	assert_non_null(block);
	memcpy(block, "1234567", 8);
	alloc_fail_at(0);
	assert_null(wiping_realloc(block, 100));
	alloc_never_fail();
	assert_string_equal(block, "1234567");
	wiping_free(block);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_block_that_moves_keeps_what_was_in_it),
		cmocka_unit_test(test_without_memory_the_block_stays_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

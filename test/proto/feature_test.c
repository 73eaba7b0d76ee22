/* What a tentacle says that it can do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/feature.h"

static void test_what_is_named_is_read_again(void **state)
{
	struct bytes names[FEATURE_COUNT];
	struct msg_text_list list;

	(void)state;
	features_list(names, &list);
	assert_int_equal(list.count, FEATURE_COUNT);
	assert_int_equal(features_read(&list), FEATURE_ALL);
	list.count = 1;
	assert_int_equal(features_read(&list), FEATURE_BIT(FEATURE_USER));
}

static void test_names_of_newer_programs_are_ignored(void **state)
{
	struct bytes names[] = { bytes_text("teleport"), bytes_text("limit"),
		bytes_text("locks"), bytes_text("") };
	const struct msg_text_list list = { names, 4 };

	(void)state;
	assert_int_equal(features_read(&list), FEATURE_BIT(FEATURE_LOCKS));
}

static void test_who_names_nothing_has_nothing(void **state)
{
	const struct msg_text_list none = { NULL, 0 };

	(void)state;
	assert_int_equal(features_read(&none), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_named_is_read_again),
		cmocka_unit_test(test_names_of_newer_programs_are_ignored),
		cmocka_unit_test(test_who_names_nothing_has_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

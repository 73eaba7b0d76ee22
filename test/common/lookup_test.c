#include "common/lookup.h"

#include "test/support/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MANY 10000

struct thing {
	struct lookup_item item; /* first */
	char name[16];
};

static struct thing things[MANY];

static void fill(struct lookup *l)
{
	for (unsigned i = 0; i < MANY; i++) {
		(void)snprintf(
		    things[i].name, sizeof(things[i].name), "web-%u", i);
		lookup_add(l, &things[i].item, things[i].name);
	}
}

static size_t longest_chain(const struct lookup *l)
{
	size_t longest = 0;

	for (size_t i = 0; i < l->bucket_count; i++) {
		size_t n = 0;

		for (const struct lookup_item *it = l->buckets[i]; it != NULL;
		     it = it->next)
			n++;
		longest = n > longest ? n : longest;
	}
	return longest;
}

static void test_each_of_many_is_found_and_nobody_else(void **state)
{
	struct lookup l;

	(void)state;
	assert_int_equal(lookup_init(&l), RC_OK);
	assert_null(lookup_find(&l, "web-0"));
	fill(&l);
	assert_int_equal(lookup_count(&l), MANY);
	for (unsigned i = 0; i < MANY; i++)
		assert_ptr_equal(
		    lookup_find(&l, things[i].name), &things[i].item);
	assert_null(lookup_find(&l, "web-"));
	assert_null(lookup_find(&l, "web-10000"));
	assert_null(lookup_find(&l, ""));
	lookup_fini(&l);
}

/* The cost, counted: with equal chances, chains of 10 have odds of 1 : 1000000.
 */
static void test_chains_stay_short_with_ten_thousand(void **state)
{
	struct lookup l;

	(void)state;
	assert_int_equal(lookup_init(&l), RC_OK);
	fill(&l);
	assert_true(l.bucket_count >= MANY);
	assert_in_range(longest_chain(&l), 1, 20);
	lookup_fini(&l);
}

static void test_what_is_removed_is_not_found_and_the_rest_is(void **state)
{
	struct lookup l;

	(void)state;
	assert_int_equal(lookup_init(&l), RC_OK);
	fill(&l);
	for (unsigned i = 0; i < MANY; i += 2)
		lookup_remove(&l, &things[i].item);
	assert_int_equal(lookup_count(&l), MANY / 2);
	for (unsigned i = 0; i < MANY; i++)
		assert_ptr_equal(lookup_find(&l, things[i].name),
		    i % 2 == 0 ? NULL : &things[i].item);
	lookup_fini(&l);
}

static void test_without_memory_for_buckets_it_is_only_slower(void **state)
{
	struct lookup l;

	(void)state;
	alloc_fail_at(0);
	assert_int_equal(lookup_init(&l), RC_NOMEM);
	alloc_never_fail();
	lookup_fini(&l);
	assert_int_equal(lookup_init(&l), RC_OK);
	alloc_fail_at(0);
	fill(&l);
	assert_true(alloc_failed());
	alloc_never_fail();
	assert_int_equal(lookup_count(&l), MANY);
	assert_non_null(lookup_find(&l, "web-77"));
	lookup_fini(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_of_many_is_found_and_nobody_else),
		cmocka_unit_test(test_chains_stay_short_with_ten_thousand),
		cmocka_unit_test(
		    test_what_is_removed_is_not_found_and_the_rest_is),
		cmocka_unit_test(
		    test_without_memory_for_buckets_it_is_only_slower),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

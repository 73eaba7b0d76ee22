/* How the network process is begun, where it cannot be. */
#include "tentacle/carrier.h"
#include "tentacle/spawn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static void test_without_descriptors_it_says_so_and_nothing_is_left(
    void **state)
{
	struct rlimit before, none;
	struct member member = { .name = "web-01" };
	struct executor executor = { .member = &member };
	struct carrier *carrier = NULL;
	struct fault fault = { 0 };
	enum rc rc;

	(void)state;
	TAILQ_INIT(&executor.sessions);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	rc = carrier_new(&executor, NULL, &carrier, &fault);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(rc, RC_IO);
	assert_non_null(strstr(fault.text, "/proc/self/exe"));
}

/* Where a child's own ends go, dup2() would close it. */
static void test_our_program_is_above_the_descriptors_of_a_child(void **state)
{
	int fd = -1;

	(void)state;
	assert_int_equal(spawn_open_self(&fd, NULL), RC_OK);
	assert_true(fd > CARRIER_FD_LINK && fd > CARRIER_FD_PORT);
	assert_int_equal(close(fd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_without_descriptors_it_says_so_and_nothing_is_left),
		cmocka_unit_test(
		    test_our_program_is_above_the_descriptors_of_a_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

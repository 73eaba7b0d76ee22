/*
 * A disk that fails under the guardians' hands.  Their code runs here in a
 * process of our own, whose fdatasync() is the one below.
 */
#include "tentacle/guardian/guard.h"
#include "tentacle/run_base.h"

#include "common/fs.h"
#include "test/support/guardian.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

/* Shared by all processes of a test. */
static struct shared {
	int calls;   /* of fdatasync */
	int fail_at; /* this one fails; 0: none */
} * shared;

static char top[64], dir[80];

/* Takes the place of libc's. */
int fdatasync(int fd)
{
	(void)fd;
	if (++shared->calls != shared->fail_at)
		return 0;
	errno = EIO;
	return -1;
}

static int set_up(void **state)
{
	(void)state;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(shared, MAP_FAILED);
	(void)snprintf(top, sizeof(top), "/tmp/longarm-sync-XXXXXX");
	assert_non_null(mkdtemp(top));
	(void)snprintf(dir, sizeof(dir), "%s/ticket", top);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	return 0;
}

static int tear_down(void **state)
{
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY);

	(void)state;
	while (waitpid(-1, NULL, 0) > 0)
		continue;
	assert_int_equal(fs_remove_tree(fd, top + 5, NULL), RC_OK);
	(void)close(fd);
	(void)munmap(shared, sizeof(*shared));
	return 0;
}

static void move(int from, int to)
{
	int up = fcntl(from, F_DUPFD_CLOEXEC, 20);

	if (up < 0 || dup2(up, to) < 0)
		_exit(99);
}

/* The supervisor, as run_start() would have started it. */
static _Noreturn void be_supervisor(void)
{
	char path[FS_PATH_MAX];
	int place, record;

	(void)snprintf(path, sizeof(path), "%s/run-script", dir);
	place = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	record = openat(place, "record", O_RDWR | O_CLOEXEC);
	move(place, GUARD_FD_DIR);
	move(record, GUARD_FD_RECORD);
	move(record, GUARD_FD_ALIVE);
	_exit(guard_main());
}

static int guard(const char *body, int fail_at, struct guard_record *record)
{
	const struct run_spec spec = { .dir = dir,
		.name = "script",
		.guardian = -1,
		.ticket = "",
		.machine = { "", "" },
		.body = bytes_text(body) };
	struct fault f = { 0 };
	int status = 0;
	pid_t pid;

	if (run_prepare(&spec, &f) != RC_OK)
		fail_msg("%s", f.text);
	shared->calls = 0;
	shared->fail_at = fail_at;
	pid = fork();
	if (pid == 0)
		be_supervisor();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_true(guardian_record(dir, "script", record));
	return WEXITSTATUS(status);
}

static bool has_run(void)
{
	char path[FS_PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/ran", dir);
	return access(path, F_OK) == 0;
}

#define SCRIPT "echo x >>$LONGARM_RUN_DIR/../ran; exit 42\n"

static void test_a_run_is_synced_twice_before_it_and_after_it(void **state)
{
	struct guard_record r;

	(void)state;
	assert_int_equal(guard(SCRIPT, 0, &r), GUARD_DONE);
	assert_true(has_run());
	assert_int_equal(r.exit.code, 42);
	assert_int_equal(shared->calls, 2);
}

static void test_a_mark_that_cannot_be_synced_starts_nothing(void **state)
{
	struct guard_record r;

	(void)state;
	assert_int_equal(guard(SCRIPT, 1, &r), GUARD_DONE);
	assert_false(has_run());
	assert_int_equal(r.state[GUARD_EXIT], SLOT_VALID);
	assert_int_equal(r.exit.how, HOW_NOEXEC);
	assert_int_equal(r.exit.step, STEP_MARK);
	assert_int_equal(r.exit.error, EIO);
}

static void test_a_failed_sync_of_the_end_is_never_tried_again(void **state)
{
	struct guard_record r;

	(void)state;
	assert_int_equal(guard(SCRIPT, 2, &r), GUARD_NO_SYNC);
	assert_true(has_run());
	assert_int_equal(shared->calls, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_run_is_synced_twice_before_it_and_after_it),
		TEST(test_a_mark_that_cannot_be_synced_starts_nothing),
		TEST(test_a_failed_sync_of_the_end_is_never_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

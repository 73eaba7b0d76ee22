/*
 * Guardians killed at random moments, again and again: LONGARM_KILLS of each
 * kind (default 12; `make soak` takes 3000); who was not there yet, or not any
 * more, counts as none.  A script that was started
 * writes one line and ends with 42: never two lines, never another end, and
 * "unknown" only when both guardians were killed.
 */
#include "tentacle/run.h"

#include "common/clock.h"
#include "common/fs.h"
#include "test/support/guardian.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#define KILLS_DEFAULT     12
#define ROUNDS_MAX(kills) (20 * (kills) + 100)
#define MEASURED          5 /* rounds without a kill, to know how long one is */

enum victim {
	VICTIM_NONE,
	VICTIM_SUPERVISOR,
	VICTIM_SHIM,
	VICTIM_BOTH,
	VICTIM_SCRIPT
};

static char top[64], dir[80];
static int guardian = -1;

static struct tally {
	unsigned rounds, kills, known, unknown, killed, again;
	uint64_t took_us; /* the last one, from its start to its end */
} tally;

static int set_up(void **state)
{
	const char *where = getenv("TMPDIR"); /* another file system */
	char program[FS_PATH_MAX];

	(void)state;
	tally = (struct tally){ .rounds = 0 };
	(void)snprintf(top, sizeof(top), "%.40s/longarm-kill-XXXXXX",
	    where != NULL ? where : "/tmp");
	assert_non_null(mkdtemp(top));
	assert_int_equal(
	    run_open_guardian(guardian_path(program), &guardian, NULL), RC_OK);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(rmdir(top), 0);
	(void)close(guardian);
	return 0;
}

static unsigned random_below(unsigned *seed, unsigned max)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 8) % max;
}

static void sleep_us(long us)
{
	const struct timespec t = { .tv_nsec = us * 1000 };

	(void)nanosleep(&t, NULL);
}

/* The first child of a process; 0: none. */
static pid_t child_of(pid_t pid)
{
	char path[64], text[32] = "";
	size_t got = 0;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children",
	    (int)pid, (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (guard_read_at(fd, text, sizeof(text) - 1, 0, &got) != RC_OK)
		got = 0;
	(void)close(fd);
	return (pid_t)strtol(text, NULL, 10);
}

static bool kill_pid(pid_t pid)
{
	return pid > 0 && kill(pid, SIGKILL) == 0;
}

/* Our only child is the supervisor; its only one the shim; then the script.
 * Was all of the victim there? */
static bool kill_one(enum victim victim)
{
	pid_t supervisor = child_of(getpid());
	pid_t shim = supervisor > 0 ? child_of(supervisor) : 0;
	pid_t script = shim > 0 ? child_of(shim) : 0;

	bool hit = victim != VICTIM_NONE;

	if (victim == VICTIM_SUPERVISOR || victim == VICTIM_BOTH)
		hit = kill_pid(supervisor) && hit;
	if (victim == VICTIM_SHIM || victim == VICTIM_BOTH)
		hit = kill_pid(shim) && hit;
	if (victim == VICTIM_SCRIPT)
		hit = kill_pid(script) && hit;
	return hit;
}

static size_t lines_written(void)
{
	char path[FS_PATH_MAX];
	uint8_t *data = NULL;
	size_t len = 0;

	(void)snprintf(path, sizeof(path), "%s/ran", dir);
	if (fs_read_file(path, 4096, &data, &len, NULL) != RC_OK)
		return 0;
	free(data);
	return len / 2; /* "x\n" */
}

static struct run_end wait_end(struct run *r)
{
	struct run_end end;
	uint64_t wake;

	while (run_tick(r, clock_monotonic_ms(), &wake) == RC_AGAIN) {
		struct pollfd p = { .fd = run_fd(r), .events = POLLIN };

		(void)poll(&p, 1, run_fd(r) >= 0 ? 200 : 5);
		/* What came to us when its guardians ended. */
		if (run_fd(r) < 0)
			while (waitpid(-1, NULL, WNOHANG) > 0)
				continue;
	}
	end = *run_end(r);
	run_free(r);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		continue;
	return end;
}

static void judge(enum victim victim, const struct run_end *end)
{
	size_t lines = lines_written();
	struct guard_record record;

	assert_true(lines <= 1);
	assert_true(guardian_record(dir, "script", &record));
	tally.again += record.header.attempt > 1;
	if (end->state == TICKET_UNKNOWN) {
		assert_int_equal(victim, VICTIM_BOTH);
		tally.unknown++;
		return;
	}
	assert_int_equal(end->state, TICKET_EXITED);
	if (end->signal != 0) {
		assert_int_equal(victim, VICTIM_SCRIPT);
		assert_int_equal(end->signal, SIGKILL);
		tally.killed++;
		return;
	}
	if (end->exit_code != 42)
		fail_msg("exit code %d: %s", end->exit_code, end->cause.text);
	assert_int_equal(lines, 1);
	tally.known++;
}

/* delay_us: from the start to the kill. */
static void one_round(enum victim victim, unsigned n, long delay_us)
{
	struct fault f = { 0 };
	struct run_spec spec = { .dir = dir,
		.name = "script",
		.guardian = guardian,
		.ticket = "cccccccccccccccccccccccccccccccc",
		.machine = { "", "" },
		.body = bytes_text("echo x >>$LONGARM_RUN_DIR/../ran\n"
				   "exit 42\n") };
	struct run *r = NULL;
	struct run_end end;
	uint64_t began;
	char name[16];
	int fd;

	(void)snprintf(dir, sizeof(dir), "%s/%u", top, n);
	if (run_prepare(&spec, &f) != RC_OK)
		fail_msg("%s", f.text);
	began = clock_monotonic_us();
	if (run_start(&spec, clock_monotonic_ms(), &r, &f) != RC_OK)
		fail_msg("%s", f.text);
	sleep_us(delay_us);
	tally.kills += kill_one(victim);
	end = wait_end(r);
	tally.took_us = clock_monotonic_us() - began;
	tally.rounds += victim != VICTIM_NONE;
	judge(victim, &end);
	(void)snprintf(name, sizeof(name), "%u", n);
	fd = open(top, O_RDONLY | O_DIRECTORY);
	assert_int_equal(fs_remove_tree(fd, name, NULL), RC_OK);
	(void)close(fd);
}

/* A little longer than the shortest life of a script, in microseconds. */
static unsigned measure(void)
{
	uint64_t least = UINT64_MAX;

	for (unsigned n = 0; n < MEASURED; n++) {
		one_round(VICTIM_NONE, n, 0);
		if (tally.took_us < least)
			least = tally.took_us;
	}
	tally = (struct tally){ .rounds = 0 };
	return (unsigned)(least + least / 8);
}

static void kill_again_and_again(enum victim victim, const char *what)
{
	const char *word = getenv("LONGARM_KILLS");
	unsigned kills =
	    word != NULL ? (unsigned)strtoul(word, NULL, 10) : KILLS_DEFAULT;
	unsigned seed = (unsigned)getpid() + (unsigned)clock_monotonic_us();
	unsigned span = measure();

	print_message("%s: seed %u, within %u us\n", what, seed, span);
	while (tally.kills < kills) {
		/* Or it never finds them. */
		assert_true(tally.rounds < ROUNDS_MAX(kills));
		one_round(
		    victim, tally.rounds, (long)random_below(&seed, span));
	}
	print_message("%s: %u kills in %u rounds: %u known, %u unknown, %u "
		      "killed themselves, %u started again after it was proven "
		      "that nothing had run; 0 violations\n",
	    what, tally.kills, tally.rounds, tally.known, tally.unknown,
	    tally.killed, tally.again);
}

static void test_a_killed_supervisor_never_costs_an_end(void **state)
{
	(void)state;
	kill_again_and_again(VICTIM_SUPERVISOR, "supervisor");
}

static void test_a_killed_shim_never_costs_an_end(void **state)
{
	(void)state;
	kill_again_and_again(VICTIM_SHIM, "shim");
}

static void test_both_killed_never_make_a_second_run(void **state)
{
	(void)state;
	kill_again_and_again(VICTIM_BOTH, "both");
}

static void test_a_killed_script_is_never_unknown(void **state)
{
	(void)state;
	kill_again_and_again(VICTIM_SCRIPT, "script");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_killed_supervisor_never_costs_an_end),
		TEST(test_a_killed_shim_never_costs_an_end),
		TEST(test_both_killed_never_make_a_second_run),
		TEST(test_a_killed_script_is_never_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

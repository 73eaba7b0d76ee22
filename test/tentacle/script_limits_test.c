/* Real scripts within limits, and as other users.  What needs root, or control
 * groups, is skipped where there are none. */
#include "tentacle/run.h"

#include "common/clock.h"
#include "common/fs.h"
#include "tentacle/guardian/cgroup.h"
#include "test/support/guardian.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)

static char top[64], dir[80], world[96], program[FS_PATH_MAX];
static int guardian = -1;
static struct run_spec spec;
static struct run_end end;
static struct guard_record record;
static char output[8192];
static struct msg_pair secret;

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(top, sizeof(top), "/tmp/longarm-limit-XXXXXX");
	assert_non_null(mkdtemp(top));
	(void)snprintf(dir, sizeof(dir), "%s/ticket", top);
	(void)snprintf(world, sizeof(world), "%s/.worlds/ticket", top);
	assert_int_equal(
	    run_open_guardian(guardian_path(program), &guardian, NULL), RC_OK);
	spec = (struct run_spec){ .dir = dir,
		.name = "script",
		.guardian = guardian,
		.ticket = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		.machine = { "", "" },
		.world = world,
		.passing = true,
		.timeout_ms = 60000,
		.grace_ms = 5000 };
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	return 0;
}

static int tear_down(void **state)
{
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY);

	(void)state;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		continue;
	assert_int_equal(fs_remove_tree(fd, top + 5, NULL), RC_OK);
	(void)close(fd);
	(void)close(guardian);
	return 0;
}

static void run(const char *body)
{
	char path[FS_PATH_MAX];
	struct run *r = NULL;
	struct fault f = { 0 };
	uint8_t *data = NULL;
	uint64_t wake;
	size_t len = 0;

	spec.body = bytes_text(body);
	if (run_prepare(&spec, &f) != RC_OK ||
	    run_start(&spec, clock_monotonic_ms(), &r, &f) != RC_OK)
		fail_msg("%s", f.text);
	while (run_tick(r, clock_monotonic_ms(), &wake) == RC_AGAIN) {
		struct pollfd p = { .fd = run_fd(r), .events = POLLIN };
		uint64_t now = clock_monotonic_ms();

		(void)poll(&p, 1, wake > now ? (int)(wake - now) : 0);
	}
	end = *run_end(r);
	run_free(r);
	assert_true(guardian_record(dir, "script", &record));
	(void)snprintf(path, sizeof(path), "%s/output", dir);
	assert_int_equal(
	    fs_read_file(path, sizeof(output) - 1, &data, &len, NULL), RC_OK);
	memcpy(output, data, len + 1);
	free(data);
}

/* This machine has no control groups for us: then nothing may have run. */
static void skip_if_not_kept(void)
{
	if (end.cause.code != REASON_NOT_PERMITTED)
		return;
	assert_string_equal(output, "");
	assert_int_equal(record.exit.step, STEP_LIMITS);
	skip();
}

static void assert_no_groups(void)
{
	for (int i = 0; i < GUARD_TREES; i++) {
		if (record.state[GUARD_TREE_1 + i] == SLOT_VALID)
			assert_int_not_equal(access(record.tree[i], F_OK), 0);
	}
}

/* --- Memory ------------------------------------------------------------- */

static void test_a_script_over_its_memory_is_killed_and_told(void **state)
{
	(void)state;
	spec.memory = 16 * MIB;
	run("exec tail /dev/zero\n");
	skip_if_not_kept();
	assert_int_equal(end.state, TICKET_EXITED);
	assert_int_equal(end.signal, SIGKILL);
	assert_int_equal(end.cause.code, REASON_OUT_OF_MEMORY);
	assert_string_equal(
	    end.cause.text, "killed: out of memory (limit 16 MiB)");
	assert_no_groups();
}

static void test_a_script_that_outlives_its_largest_part_is_no_success(
    void **state)
{
	(void)state;
	spec.memory = 16 * MIB;
	run("tail /dev/zero || true\nexit 0\n");
	skip_if_not_kept();
	assert_int_equal(end.cause.code, REASON_OUT_OF_MEMORY);
}

static void test_after_a_part_of_it_was_killed_the_rest_is_ended(void **state)
{
	uint64_t began = clock_monotonic_ms();

	(void)state;
	spec.memory = 16 * MIB;
	run("setsid sh -c 'trap \"\" TERM; sleep 300' &\n"
	    "tail /dev/zero\nsleep 300\n");
	skip_if_not_kept();
	assert_int_equal(end.cause.code, REASON_OUT_OF_MEMORY);
	assert_true(clock_monotonic_ms() - began < 30000);
	assert_no_groups();
}

static void test_within_its_memory_nothing_happens(void **state)
{
	(void)state;
	spec.memory = 256 * MIB;
	spec.processes = 64;
	run("echo fine\n");
	skip_if_not_kept();
	assert_int_equal(end.cause.code, REASON_NONE);
	assert_string_equal(output, "fine\n");
}

/* --- Processes ---------------------------------------------------------- */

static void test_a_fork_bomb_stays_in_its_box_and_ends_with_it(void **state)
{
	uint64_t began = clock_monotonic_ms();

	(void)state;
	spec.processes = 20;
	spec.timeout_ms = 2000;
	spec.grace_ms = 100;
	run("bomb() { bomb | bomb & bomb; }\nbomb 2>/dev/null\n");
	skip_if_not_kept();
	assert_int_not_equal(end.cause.code, REASON_NONE);
	assert_true(record.exit.refused > 0);
	assert_true(clock_monotonic_ms() - began < 30000);
	assert_no_groups();
}

static void test_who_fails_at_his_limit_is_told_so(void **state)
{
	(void)state;
	spec.processes = 4;
	run("for i in 1 2 3 4 5 6 7 8; do sleep 300 & done\n");
	skip_if_not_kept();
	assert_int_equal(end.cause.code, REASON_SCRIPT_FAILED);
	assert_non_null(strstr(end.cause.text, "limit of 4 processes"));
	assert_no_groups();
}

/* --- What is written into version 2 ------------------------------------- */

static void make(const char *name)
{
	char path[FS_PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", top, name);
	assert_int_equal(fs_write_atomic(path, "", 0, 0600, NULL), RC_OK);
}

static void assert_file(const char *name, const char *text)
{
	char path[FS_PATH_MAX];
	uint8_t *data = NULL;
	size_t len = 0;

	(void)snprintf(path, sizeof(path), "%s/%s", top, name);
	assert_int_equal(fs_read_file(path, 100, &data, &len, NULL), RC_OK);
	assert_string_equal((const char *)data, text);
	free(data);
}

static void test_version_2_gets_its_files(void **state)
{
	const struct cgroup_limits limits = { 256 * MIB, 64 };
	struct cgroup_limits kept = { 0 };

	(void)state;
	make("memory.max");
	make("memory.swap.max");
	make("memory.oom.group");
	make("pids.max");
	cgroup_limit(top, &limits, &kept);
	assert_file("memory.max", "268435456");
	assert_file("memory.swap.max", "0");
	assert_file("memory.oom.group", "1");
	assert_file("pids.max", "64");
	assert_int_equal(kept.memory, limits.memory);
	assert_int_equal(kept.processes, limits.processes);
}

static void test_a_group_without_the_controller_keeps_nothing(void **state)
{
	const struct cgroup_limits limits = { 256 * MIB, 64 };
	struct cgroup_limits kept = { 0 };

	(void)state;
	make("pids.max");
	cgroup_limit(top, &limits, &kept);
	assert_int_equal(kept.memory, 0);
	assert_int_equal(kept.processes, 64);
}

/* A process that waits in that group; orphan: who started it is gone. */
static void put_into(const char *group, bool orphan)
{
	char path[FS_PATH_MAX], byte = 'x';
	int ready[2], fd;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid > 0) {
		(void)close(ready[1]);
		assert_int_equal(read(ready[0], &byte, 1), 1);
		(void)close(ready[0]);
		if (orphan)
			assert_int_equal(waitpid(pid, NULL, 0), pid);
		return;
	}
	if (orphan && fork() != 0)
		_exit(0);
	(void)alarm(60); /* where nobody kills it */
	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, "0", 1) != 1 || write(ready[1], &byte, 1) != 1)
		_exit(1);
	(void)close(ready[1]);
	(void)pause();
	_exit(0);
}

/* The number of the group that understands cgroup.kill; -1: none does. */
static int that_kills(const struct cgroup *c)
{
	char path[FS_PATH_MAX];

	for (int i = 0; i < GUARD_TREES; i++) {
		(void)snprintf(
		    path, sizeof(path), "%s/cgroup.kill", c->path[i]);
		if (c->path[i][0] != '\0' && access(path, W_OK) == 0)
			return i;
	}
	return -1;
}

/* Signals one by one go to those in the group itself, so who is beneath it, and
 * nobody's child, dies by cgroup.kill alone. */
static void test_version_2_kills_all_that_is_beneath_at_once(void **state)
{
	const struct cgroup_limits none = { 0, 0 };
	struct cgroup c = { .oom_before = 0 }, second = c;
	char name[32], inner[FS_PATH_MAX];
	unsigned dead = 0;
	int at;

	(void)state;
	(void)snprintf(name, sizeof(name), "longarm-test-%d", (int)getpid());
	assert_int_equal(cgroup_make(&c, name, &none), RC_OK);
	at = that_kills(&c);
	if (at < 0) {
		cgroup_remove(&c);
		skip();
	}
	memcpy(second.path[0], c.path[at], sizeof(second.path[0]));
	(void)snprintf(inner, sizeof(inner), "%s/inner", second.path[0]);
	assert_int_equal(mkdir(inner, 0755), 0);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	put_into(second.path[0], false);
	put_into(inner, true);
	assert_int_equal(cgroup_kill(&second), 1);
	for (int i = 0; i < 1000 && dead < 2; i++) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			dead++;
		(void)poll(NULL, 0, 10);
	}
	assert_int_equal(dead, 2);
	assert_int_equal(rmdir(inner), 0);
	cgroup_remove(&c);
}

/* --- Users -------------------------------------------------------------- */

static void need_root(void)
{
	if (geteuid() != 0)
		skip();
}

static void test_it_runs_as_the_user_and_as_nobody_else(void **state)
{
	struct stat st;

	(void)state;
	need_root();
	assert_int_equal(chmod(top, 0711), 0);
	spec.user = "nobody";
	secret = (struct msg_pair){ bytes_text("Key"), bytes_text("open") };
	spec.secrets = &secret;
	spec.secret_count = 1;
	run("id -un; id -G; pwd; echo $USER\ncat $LONGARM_SECRETS_DIR/Key\n"
	    "touch mine; cat ../../ticket/output 2>&1 | head -c 1000\n"
	    "ls /proc/self/fd | wc -l\n");
	assert_int_equal(end.cause.code, REASON_NONE);
	assert_non_null(strstr(output, "nobody\n65534\n"));
	assert_non_null(strstr(output, world));
	assert_non_null(strstr(output, "open"));
	assert_non_null(strstr(output, "Permission denied"));
	assert_int_equal(stat(world, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(st.st_uid, 65534);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_uid, 0);
}

static void test_a_link_of_the_users_is_not_followed(void **state)
{
	char path[FS_PATH_MAX], victim[FS_PATH_MAX];

	(void)state;
	need_root();
	assert_int_equal(chmod(top, 0711), 0);
	spec.user = "nobody";
	run("ln -sf ../../victim .script\n");
	make("victim");
	run("echo second\n");
	assert_string_equal(strstr(output, "second"), "second\n");
	assert_file("victim", "");
	(void)snprintf(path, sizeof(path), "%s/.script", world);
	assert_true(readlink(path, victim, sizeof(victim)) < 0);
}

static void test_an_unknown_user_is_named(void **state)
{
	struct fault f = { 0 };

	(void)state;
	spec.user = "no-such-user";
	spec.body = bytes_text("true\n");
	assert_int_equal(run_prepare(&spec, &f), RC_NOTFOUND);
	assert_non_null(strstr(f.text, "no-such-user"));
	assert_int_not_equal(access(dir, F_OK), 0);
}

/* In a child: who has given it up cannot be root again. */
static void test_without_root_there_is_no_other_user(void **state)
{
	struct fault f = { 0 };
	int status = 0;
	pid_t pid;

	(void)state;
	need_root();
	spec.user = "root";
	spec.body = bytes_text("true\n");
	pid = fork();
	if (pid == 0) {
		if (setresuid(65534, 65534, 65534) != 0)
			_exit(1);
		if (run_prepare(&spec, &f) != RC_DENIED)
			_exit(2);
		_exit(strstr(f.text, "is not root") != NULL ? 0 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_ones_own_user_needs_no_root(void **state)
{
	(void)state;
	need_root();
	spec.user = "root";
	run("id -un; echo $HOME\n");
	assert_string_equal(output, "root\n/root\n");
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_a_script_over_its_memory_is_killed_and_told),
		T(test_a_script_that_outlives_its_largest_part_is_no_success),
		T(test_after_a_part_of_it_was_killed_the_rest_is_ended),
		T(test_within_its_memory_nothing_happens),
		T(test_a_fork_bomb_stays_in_its_box_and_ends_with_it),
		T(test_who_fails_at_his_limit_is_told_so),
		T(test_version_2_gets_its_files),
		T(test_version_2_kills_all_that_is_beneath_at_once),
		T(test_a_group_without_the_controller_keeps_nothing),
		T(test_it_runs_as_the_user_and_as_nobody_else),
		T(test_a_link_of_the_users_is_not_followed),
		T(test_an_unknown_user_is_named),
		T(test_without_root_there_is_no_other_user),
		T(test_ones_own_user_needs_no_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

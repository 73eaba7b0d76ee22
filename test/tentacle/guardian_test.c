/* Real guardians and real scripts, and whatever is killed of them. */
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
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static char top[64], dir[80], program[FS_PATH_MAX];
static int guardian = -1;
static struct run_spec spec;
static struct run *the_run;
static struct run_end end;
static struct guard_record record;
static char output[8192];

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(top, sizeof(top), "/tmp/longarm-guard-XXXXXX");
	assert_non_null(mkdtemp(top));
	(void)snprintf(dir, sizeof(dir), "%s/ticket", top);
	assert_int_equal(
	    run_open_guardian(guardian_path(program), &guardian, NULL), RC_OK);
	spec = (struct run_spec){ .dir = dir,
		.name = "script",
		.guardian = guardian,
		.ticket = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		.machine = { "", "" },
		.timeout_ms = 60000,
		.grace_ms = 5000 };
	/* What its guardians leave comes to us and not to whoever is first. */
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	return 0;
}

static int tear_down(void **state)
{
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY);

	(void)state;
	run_free(the_run);
	the_run = NULL;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		continue;
	assert_int_equal(fs_remove_tree(fd, top + 5, NULL), RC_OK);
	(void)close(fd);
	(void)close(guardian);
	return 0;
}

/* --- Steps -------------------------------------------------------------- */

static void prepare(const char *body)
{
	struct fault f = { 0 };

	spec.body = bytes_text(body);
	if (run_prepare(&spec, &f) != RC_OK)
		fail_msg("run_prepare: %s", f.text);
}

static void begin(const char *body)
{
	struct fault f = { 0 };

	prepare(body);
	if (run_start(&spec, clock_monotonic_ms(), &the_run, &f) != RC_OK)
		fail_msg("run_start: %s", f.text);
}

/* The tentacle dies: nothing of it is left. */
static void forget_run(void)
{
	run_free(the_run);
	the_run = NULL;
}

static void adopt(void)
{
	assert_int_equal(run_adopt(&spec, &the_run, NULL), RC_OK);
}

static enum rc tick(void)
{
	uint64_t wake;

	return run_tick(the_run, clock_monotonic_ms(), &wake);
}

static void wait_end(void)
{
	uint64_t wake;

	while (run_tick(the_run, clock_monotonic_ms(), &wake) == RC_AGAIN) {
		struct pollfd p = { .fd = run_fd(the_run), .events = POLLIN };
		uint64_t now = clock_monotonic_ms();

		(void)poll(&p, 1, wake > now ? (int)(wake - now) : 0);
	}
	end = *run_end(the_run);
	assert_true(guardian_record(dir, "script", &record));
}

static void touch(const char *name)
{
	char path[FS_PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(fs_write_atomic(path, "", 0, 0600, NULL), RC_OK);
}

static void read_output(void)
{
	char path[FS_PATH_MAX];
	uint8_t *data = NULL;
	size_t len = 0;

	(void)snprintf(path, sizeof(path), "%s/output", dir);
	assert_int_equal(
	    fs_read_file(path, sizeof(output) - 1, &data, &len, NULL), RC_OK);
	memcpy(output, data, len + 1);
	free(data);
}

static void wait_output(const char *text)
{
	uint64_t until_ms = clock_monotonic_ms() + 60000;

	do {
		guardian_pause();
		read_output();
		assert_true(clock_monotonic_ms() < until_ms);
		assert_true(guardian_record(dir, "script", &record));
		/* It may be the output of the run before in this directory. */
	} while (strstr(output, text) == NULL ||
		 record.state[GUARD_EXEC] != SLOT_VALID);
}

/* Says "up", waits for touch("go"), says "late", exits with 42. */
#define GATED                                                                  \
	"echo up\n"                                                            \
	"while [ ! -e $LONGARM_RUN_DIR/../go ]; do sleep 0.01; done\n"         \
	"echo late; exit 42\n"

static void assert_whole(void)
{
	assert_int_equal(end.state, TICKET_EXITED);
	assert_int_equal(end.exit_code, 42);
	read_output();
	assert_string_equal(output, "up\nlate\n");
}

/* --- Killing ------------------------------------------------------------ */

static void test_a_killed_supervisor_is_not_missed(void **state)
{
	(void)state;
	begin(GATED);
	wait_output("up\n");
	guardian_kill(&record.supervisor);
	assert_int_equal(tick(), RC_AGAIN);
	touch("go");
	wait_end();
	assert_whole();
	assert_int_equal(record.exit.by, BY_SHIM);
}

static void test_a_killed_shim_leaves_the_script_to_the_supervisor(void **state)
{
	(void)state;
	begin(GATED);
	wait_output("up\n");
	guardian_kill(&record.shim);
	assert_int_equal(tick(), RC_AGAIN);
	touch("go");
	wait_end();
	assert_whole();
	assert_int_equal(record.exit.by, BY_SUPERVISOR);
}

static void kill_both(void)
{
	guardian_kill(&record.supervisor);
	guardian_kill(&record.shim);
}

static void test_both_killed_is_running_and_then_unknown(void **state)
{
	(void)state;
	begin(GATED);
	wait_output("up\n");
	kill_both();
	assert_int_equal(tick(), RC_AGAIN);
	assert_int_equal(run_fd(the_run), -1);
	touch("go");
	wait_end();
	assert_int_equal(end.state, TICKET_UNKNOWN);
	assert_int_equal(end.cause.code, REASON_UNKNOWN);
	assert_non_null(strstr(end.cause.text, "both guardians"));
	read_output();
	assert_string_equal(output, "up\nlate\n");
	/* And for ever: it is never started again. */
	forget_run();
	adopt();
	wait_end();
	assert_int_equal(end.state, TICKET_UNKNOWN);
}

static void test_a_script_without_guardians_can_still_be_ended(void **state)
{
	(void)state;
	spec.grace_ms = 50;
	begin("trap '' TERM\necho up\nwhile :; do sleep 0.01; done\n");
	wait_output("up\n");
	kill_both();
	forget_run();
	adopt();
	assert_int_equal(tick(), RC_AGAIN);
	run_cancel(the_run, clock_monotonic_ms());
	wait_end();
	assert_int_equal(end.state, TICKET_UNKNOWN);
	assert_non_null(strstr(end.cause.text, "being cancelled"));
	assert_false(guard_is_alive(&record.exec));
}

static void test_a_script_without_guardians_keeps_its_time_limit(void **state)
{
	(void)state;
	/* Long enough to be killed before, on a busy machine. */
	spec.timeout_ms = 1500;
	begin("echo up\nwhile :; do sleep 0.01; done\n");
	wait_output("up\n");
	kill_both();
	wait_end();
	assert_int_equal(end.state, TICKET_UNKNOWN);
	assert_non_null(strstr(end.cause.text, "over its time limit"));
	assert_false(guard_is_alive(&record.exec));
}

static void test_signals_that_end_others_do_not_end_guardians(void **state)
{
	static const int signals[] = { SIGTERM, SIGHUP, SIGINT, SIGUSR1,
		SIGPIPE, SIGQUIT };

	(void)state;
	begin(GATED);
	wait_output("up\n");
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		(void)kill((pid_t)record.supervisor.pid, signals[i]);
		(void)kill((pid_t)record.shim.pid, signals[i]);
	}
	touch("go");
	wait_end();
	assert_whole();
	assert_int_equal(record.exit.by, BY_SHIM);
}

static void test_a_killed_script_is_a_definite_end(void **state)
{
	(void)state;
	begin(GATED);
	wait_output("up\n");
	guardian_kill(&record.exec);
	wait_end();
	assert_int_equal(end.state, TICKET_EXITED);
	assert_int_equal(end.signal, SIGKILL);
	assert_non_null(strstr(end.cause.text, "signal 9"));
	assert_null(strstr(end.cause.text, "memory"));
}

/* --- Without the tentacle ------------------------------------------------- */

static void test_an_end_that_nobody_saw_is_read_from_the_record(void **state)
{
	(void)state;
	begin(GATED);
	wait_output("up\n");
	forget_run();
	touch("go");
	do {
		guardian_pause();
		assert_true(guardian_record(dir, "script", &record));
	} while (record.state[GUARD_EXIT] != SLOT_VALID);
	adopt();
	wait_end();
	assert_whole();
	assert_int_equal(record.exit.output, 8);
}

static void test_the_time_limit_needs_no_tentacle(void **state)
{
	(void)state;
	spec.timeout_ms = 1000;
	spec.grace_ms = 50;
	begin("trap '' TERM\necho up\nwhile :; do sleep 0.01; done\n");
	forget_run();
	do {
		guardian_pause();
		assert_true(guardian_record(dir, "script", &record));
	} while (record.state[GUARD_EXIT] != SLOT_VALID);
	adopt();
	wait_end();
	assert_int_equal(end.state, TICKET_EXITED);
	assert_int_equal(end.cause.code, REASON_TIMED_OUT);
	assert_int_equal(end.signal, SIGKILL);
	assert_true(record.exit.forced);
}

/* Whichever of the two is left keeps limits and obeys. */
static void limit_with_one_killed(bool kill_shim, bool cancel)
{
	spec.timeout_ms = cancel ? 60000 : 1500;
	begin("echo up\nwhile :; do sleep 0.01; done\n");
	wait_output("up\n");
	guardian_kill(kill_shim ? &record.shim : &record.supervisor);
	forget_run();
	adopt();
	if (cancel)
		run_cancel(the_run, clock_monotonic_ms());
	wait_end();
	assert_int_equal(
	    end.cause.code, cancel ? REASON_CANCELLED : REASON_TIMED_OUT);
	assert_int_equal(end.state, cancel ? TICKET_CANCELLED : TICKET_EXITED);
	assert_int_equal(record.exit.by, kill_shim ? BY_SUPERVISOR : BY_SHIM);
}

static void test_one_guardian_alone_keeps_the_time_limit(void **state)
{
	(void)state;
	limit_with_one_killed(true, false);
	forget_run();
	limit_with_one_killed(false, false);
}

static void test_one_guardian_alone_obeys(void **state)
{
	(void)state;
	limit_with_one_killed(true, true);
	forget_run();
	limit_with_one_killed(false, true);
}

static void test_the_output_limit_is_kept_by_whoever_is_left(void **state)
{
	(void)state;
	spec.output_max = 100;
	begin("i=0; while [ $i -lt 50 ]; do echo 0123456789; i=$((i+1)); done\n"
	      "echo up\n" GATED);
	do {
		guardian_pause();
		assert_true(guardian_record(dir, "script", &record));
	} while (record.state[GUARD_OUTPUT] != SLOT_VALID);
	guardian_kill(&record.shim);
	touch("go");
	wait_end();
	assert_int_equal(end.exit_code, 42);
	read_output();
	assert_non_null(strstr(output, "[longarm: the output was cut here"));
}

/* --- What never began ----------------------------------------------------- */

static void test_what_was_prepared_and_never_began_is_started_once(void **state)
{
	(void)state;
	prepare("echo x >>$LONGARM_RUN_DIR/../ran\necho up\nexit 42\n");
	adopt();
	assert_int_equal(tick(), RC_AGAIN);
	wait_end();
	assert_int_equal(end.exit_code, 42);
	assert_int_equal(record.header.attempt, 1);
	forget_run();
	adopt();
	wait_end();
	assert_int_equal(end.exit_code, 42);
	read_output();
	assert_string_equal(output, "up\n");
}

/* As if guardians had been killed again and again before they came to it. */
static void put_header(uint32_t attempt)
{
	char path[FS_PATH_MAX];
	uint8_t bytes[GUARD_RECORD_SIZE];

	assert_true(guardian_record(dir, "script", &record));
	record.header.attempt = attempt;
	guard_record_encode(&record, bytes);
	(void)snprintf(path, sizeof(path), "%s/run-script/record", dir);
	assert_int_equal(
	    fs_write_atomic(path, bytes, sizeof(bytes), 0600, NULL), RC_OK);
}

static void test_guardians_that_never_come_to_it_are_tried_three_times(
    void **state)
{
	(void)state;
	prepare("echo never\n");
	put_header(RUN_ATTEMPTS);
	adopt();
	wait_end();
	assert_int_equal(end.state, TICKET_EXITED);
	assert_int_equal(end.exit_code, 127);
	assert_non_null(strstr(end.cause.text, "never began"));
	read_output();
	assert_string_equal(output, "");
	forget_run();
	prepare("echo once; exit 42\n");
	put_header(RUN_ATTEMPTS - 1);
	adopt();
	wait_end();
	assert_int_equal(end.exit_code, 42);
}

static void test_what_is_cancelled_before_it_began_never_begins(void **state)
{
	(void)state;
	prepare("echo never\n");
	adopt();
	run_cancel(the_run, clock_monotonic_ms());
	wait_end();
	assert_int_equal(end.state, TICKET_CANCELLED);
	assert_non_null(strstr(end.cause.text, "never began"));
	read_output();
	assert_string_equal(output, "");
}

static void test_a_script_is_never_given_to_two_pairs_of_guardians(void **state)
{
	struct run *second = NULL;
	struct fault f = { 0 };

	(void)state;
	begin(GATED);
	wait_output("up\n");
	assert_int_equal(
	    run_start(&spec, clock_monotonic_ms(), &second, &f), RC_EXISTS);
	touch("go");
	wait_end();
	assert_whole();
}

/* --- Records of another life --------------------------------------------- */

static void rewrite(enum guard_slot slot)
{
	char path[FS_PATH_MAX];
	uint8_t bytes[GUARD_TREE_SIZE];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/run-script/record", dir);
	fd = open(path, O_WRONLY);
	assert_int_equal(guard_slot_encode(&record, slot, bytes), RC_OK);
	assert_int_equal(guard_write_at(fd, bytes, guard_slot_size(slot),
			     guard_slot_offset(slot)),
	    RC_OK);
	(void)close(fd);
}

static void move_to_another_boot(void)
{
	memset(record.header.boot, 'a', GUARD_BOOT_SIZE - 1);
	memset(record.exec.boot, 'a', GUARD_BOOT_SIZE - 1);
	rewrite(GUARD_HEADER);
}

static void test_a_machine_that_stopped_in_mid_script_is_unknown(void **state)
{
	(void)state;
	prepare("echo never\n");
	assert_true(guardian_record(dir, "script", &record));
	/* Even though a process of that number and age lives now. */
	assert_int_equal(guard_who_is(getpid(), &record.exec), RC_OK);
	move_to_another_boot();
	rewrite(GUARD_EXEC);
	adopt();
	wait_end();
	assert_int_equal(end.state, TICKET_UNKNOWN);
	assert_non_null(strstr(end.cause.text, "the machine stopped"));
	read_output();
	assert_string_equal(output, "");
}

static void test_a_machine_that_stopped_before_the_mark_starts_it(void **state)
{
	(void)state;
	prepare("exit 42\n");
	assert_true(guardian_record(dir, "script", &record));
	move_to_another_boot();
	adopt();
	wait_end();
	assert_int_equal(end.exit_code, 42);
}

/* Cut, and filled up with NULs, as a file system may leave what was not synced.
 */
static void spoil(const char *name, off_t keep, off_t size)
{
	char path[FS_PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/run-script/%s", dir, name);
	assert_int_equal(truncate(path, keep), 0);
	assert_int_equal(truncate(path, size), 0);
}

static void assert_prepared_again(void)
{
	assert_int_equal(run_adopt(&spec, &the_run, NULL), RC_STATE);
	assert_null(the_run);
	prepare("echo x >>$LONGARM_RUN_DIR/ran\nexit 42\n");
	assert_int_equal(
	    run_start(&spec, clock_monotonic_ms(), &the_run, NULL), RC_OK);
	wait_end();
	assert_int_equal(end.exit_code, 42);
	forget_run();
}

static void test_what_was_not_synced_is_prepared_again(void **state)
{
	(void)state;
	spec.again = true;
	prepare("echo never\n");
	assert_true(guardian_record(dir, "script", &record));
	move_to_another_boot();
	assert_prepared_again();
	prepare("echo never\n");
	spoil("record", 0, 0);
	assert_prepared_again();
	prepare("echo never\n");
	spoil("record", 0, GUARD_RECORD_SIZE);
	assert_prepared_again();
	/* The machine did not stop: what was prepared is whole. */
	prepare("exit 43\n");
	adopt();
	wait_end();
	assert_int_equal(end.exit_code, 43);
	forget_run();
	/* A part of the record is no state in which a sync leaves it. */
	prepare("echo never\n");
	spoil("record", 300, 300);
	assert_int_equal(run_adopt(&spec, &the_run, NULL), RC_PROTO);
	read_output();
	assert_string_equal(output, "");
}

static void test_what_was_cancelled_is_not_prepared_again(void **state)
{
	(void)state;
	spec.again = true;
	prepare("echo never\n");
	adopt();
	run_cancel(the_run, clock_monotonic_ms());
	forget_run();
	assert_true(guardian_record(dir, "script", &record));
	move_to_another_boot();
	adopt();
	wait_end();
	assert_int_equal(end.state, TICKET_CANCELLED);
}

static void test_an_end_is_told_also_without_the_order(void **state)
{
	(void)state;
	spec.again = true;
	begin("exit 42\n");
	wait_end();
	forget_run();
	assert_true(guardian_record(dir, "script", &record));
	move_to_another_boot();
	spoil("order", 0, 0);
	adopt();
	wait_end();
	assert_int_equal(end.exit_code, 42);
	assert_int_equal(end.state, TICKET_EXITED);
}

static void test_a_mark_that_cannot_be_read_is_a_mark(void **state)
{
	char path[FS_PATH_MAX];
	int fd;

	(void)state;
	prepare("echo never\n");
	(void)snprintf(path, sizeof(path), "%s/run-script/record", dir);
	fd = open(path, O_WRONLY);
	assert_int_equal(
	    guard_write_at(fd, "x", 1, guard_slot_offset(GUARD_EXEC) + 9),
	    RC_OK);
	(void)close(fd);
	adopt();
	wait_end();
	assert_int_equal(end.state, TICKET_UNKNOWN);
	read_output();
	assert_string_equal(output, "");
}

static void test_output_that_a_stop_of_the_machine_took_is_told(void **state)
{
	(void)state;
	begin("echo up\nexit 42\n");
	wait_end();
	assert_int_equal(end.exit_code, 42);
	forget_run();
	record.exit.output += 1000;
	rewrite(GUARD_EXIT);
	adopt();
	wait_end();
	assert_int_equal(end.exit_code, 42);
	read_output();
	assert_non_null(strstr(output, "1000 bytes of output"));
}

static void test_no_stranger_is_signalled(void **state)
{
	struct guard_who who;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		(void)pause();
		_exit(0);
	}
	assert_int_equal(guard_who_is(pid, &who), RC_OK);
	assert_true(guard_is_alive(&who));
	/* The number was used again: another start, or another boot. */
	who.start--;
	assert_false(guard_is_alive(&who));
	assert_int_equal(guard_signal(&who, SIGKILL, true), RC_NOTFOUND);
	who.start++;
	who.boot[0] = who.boot[0] == 'a' ? 'b' : 'a';
	assert_int_equal(guard_signal(&who, SIGKILL, false), RC_NOTFOUND);
	assert_int_equal(kill(pid, 0), 0);
	assert_int_equal(guard_who_is(pid, &who), RC_OK);
	assert_int_equal(guard_signal(&who, SIGKILL, false), RC_OK);
	/* Remains are nobody that lives. */
	while (guard_is_alive(&who))
		guardian_pause();
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(guard_signal(&who, 0, false), RC_NOTFOUND);
}

/* --- What a script starts --------------------------------------------------
 */

#define DAEMON                                                                 \
	"setsid sh -c 'echo $$ >$LONGARM_RUN_DIR/../daemon; "                  \
	"while :; do sleep 0.05; done' &\n"                                    \
	"while [ ! -s $LONGARM_RUN_DIR/../daemon ]; do sleep 0.01; done\n"

static pid_t daemon_pid(void)
{
	char path[FS_PATH_MAX];
	uint8_t *text = NULL;
	size_t len = 0;
	pid_t pid;

	(void)snprintf(path, sizeof(path), "%s/daemon", dir);
	assert_int_equal(fs_read_file(path, 20, &text, &len, NULL), RC_OK);
	pid = (pid_t)strtol((const char *)text, NULL, 10);
	free(text);
	return pid;
}

static void test_a_daemon_that_holds_the_output_delays_nothing(void **state)
{
	struct guard_who who;
	uint64_t began = clock_monotonic_ms();

	(void)state;
	begin(DAEMON "exit 42\n");
	wait_end();
	assert_int_equal(end.exit_code, 42);
	assert_true(clock_monotonic_ms() - began < 5000);
	/* What a script that ended well leaves behind is its own affair. */
	assert_int_equal(guard_who_is(daemon_pid(), &who), RC_OK);
	assert_true(guard_is_alive(&who));
	guardian_kill(&who);
	run_clear_groups(dir);
}

static void test_a_cancelled_script_leaves_no_daemon(void **state)
{
	struct guard_who who;

	(void)state;
	begin(DAEMON GATED);
	wait_output("up\n");
	assert_int_equal(guard_who_is(daemon_pid(), &who), RC_OK);
	run_cancel(the_run, clock_monotonic_ms());
	wait_end();
	assert_int_equal(end.state, TICKET_CANCELLED);
	assert_false(guard_is_alive(&who));
	for (int i = 0; i < GUARD_TREES; i++) {
		if (record.state[GUARD_TREE_1 + i] == SLOT_VALID)
			assert_int_not_equal(access(record.tree[i], F_OK), 0);
	}
}

static void test_without_control_groups_subreapers_find_a_daemon(void **state)
{
	struct guard_who who;
	pid_t daemon;

	(void)state;
	/* Ours, as the guardians' are theirs: through two generations. */
	daemon = fork();
	if (daemon == 0) {
		pid_t child = fork();

		if (child == 0) {
			(void)setsid();
			for (;;)
				(void)pause();
		}
		_exit(guard_who_is(child, &who) == RC_OK ? 0 : 1);
	}
	assert_int_equal(waitpid(daemon, NULL, 0), daemon);
	assert_true(guard_kill_descendants(0) >= 1);
	while (guard_kill_descendants(0) > 0)
		guardian_pause();
	/* Killed is not yet gone. */
	while (waitpid(-1, NULL, 0) > 0)
		continue;
	assert_int_equal(errno, ECHILD);
}

/* Only where a memory controller can be had: version 1 here. */
static void test_lack_of_memory_is_told_apart_from_a_kill(void **state)
{
	char path[FS_PATH_MAX];
	int fd;

	(void)state;
	begin("echo up\nwhile [ ! -e $LONGARM_RUN_DIR/../go ]; do sleep 0.01; "
	      "done\nexec tail /dev/zero\n");
	wait_output("up\n");
	(void)snprintf(path, sizeof(path), "%s/memory.limit_in_bytes",
	    record.state[GUARD_TREE_2] == SLOT_VALID ? record.tree[1] : "/-");
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, "16777216", 8) != 8) {
		if (fd >= 0)
			(void)close(fd);
		run_cancel(the_run, clock_monotonic_ms());
		wait_end();
		skip();
	}
	(void)close(fd);
	touch("go");
	wait_end();
	assert_int_equal(end.signal, SIGKILL);
	assert_true(record.exit.oom > 0);
	assert_int_equal(end.cause.code, REASON_OUT_OF_MEMORY);
	assert_non_null(strstr(end.cause.text, "the machine had none left"));
}

/* --- A full disk ------------------------------------------------------------
 */

static void test_the_end_is_recorded_on_a_full_disk(void **state)
{
	char small[80], script[256];

	(void)state;
	(void)snprintf(small, sizeof(small), "%s/small", top);
	assert_int_equal(mkdir(small, 0700), 0);
	if (mount("none", small, "tmpfs", 0, "size=256k,mode=700") != 0)
		skip(); /* not root */
	(void)snprintf(dir, sizeof(dir), "%.64s/ticket", small);
	(void)snprintf(script, sizeof(script),
	    "cat /dev/zero >$LONGARM_RUN_DIR/../fill 2>$LONGARM_RUN_DIR/../why\n"
	    "echo x >>$LONGARM_RUN_DIR/../more && exit 1\nexit 42\n");
	begin(script);
	wait_end();
	forget_run();
	/* What is new is refused, and says why. */
	spec.name = "after";
	assert_int_equal(run_prepare(&spec, NULL), RC_IO);
	assert_int_equal(umount(small), 0);
	assert_int_equal(end.exit_code, 42);
	assert_int_equal(record.exit.how, HOW_EXITED);
}

/* --- Upgrades ------------------------------------------------------------- */

static void test_a_replaced_program_changes_nothing_for_those_that_have_it(
    void **state)
{
	char path[FS_PATH_MAX];
	uint8_t *data = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(
	    fs_read_file(program, 1u << 27, &data, &len, NULL), RC_OK);
	(void)snprintf(path, sizeof(path), "%s/program", top);
	assert_int_equal(fs_write_atomic(path, data, len, 0755, NULL), RC_OK);
	free(data);
	(void)close(guardian);
	assert_int_equal(run_open_guardian(path, &guardian, NULL), RC_OK);
	spec.guardian = guardian;
	begin(GATED);
	wait_output("up\n");
	assert_int_equal(fs_write_atomic(path, "broken", 6, 0755, NULL), RC_OK);
	guardian_kill(&record.shim);
	touch("go");
	wait_end();
	assert_whole();
	/* And what is started later comes from the file that was opened. */
	forget_run();
	begin("exit 7\n");
	wait_end();
	assert_int_equal(end.exit_code, 7);
}

static void test_a_program_that_is_missing_is_named(void **state)
{
	struct fault f = { 0 };
	int fd;

	(void)state;
	assert_int_equal(
	    run_open_guardian("/no/such/guardian", &fd, &f), RC_NOTFOUND);
	assert_non_null(strstr(f.text, "/no/such/guardian"));
	assert_non_null(strstr(f.text, "longarm-tentacle"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_killed_supervisor_is_not_missed),
		TEST(test_a_killed_shim_leaves_the_script_to_the_supervisor),
		TEST(test_both_killed_is_running_and_then_unknown),
		TEST(test_a_script_without_guardians_can_still_be_ended),
		TEST(test_a_script_without_guardians_keeps_its_time_limit),
		TEST(test_signals_that_end_others_do_not_end_guardians),
		TEST(test_a_killed_script_is_a_definite_end),
		TEST(test_an_end_that_nobody_saw_is_read_from_the_record),
		TEST(test_the_time_limit_needs_no_tentacle),
		TEST(test_one_guardian_alone_keeps_the_time_limit),
		TEST(test_one_guardian_alone_obeys),
		TEST(test_the_output_limit_is_kept_by_whoever_is_left),
		TEST(test_what_was_prepared_and_never_began_is_started_once),
		TEST(
		    test_guardians_that_never_come_to_it_are_tried_three_times),
		TEST(test_what_is_cancelled_before_it_began_never_begins),
		TEST(test_a_script_is_never_given_to_two_pairs_of_guardians),
		TEST(test_a_machine_that_stopped_in_mid_script_is_unknown),
		TEST(test_a_machine_that_stopped_before_the_mark_starts_it),
		TEST(test_what_was_not_synced_is_prepared_again),
		TEST(test_what_was_cancelled_is_not_prepared_again),
		TEST(test_an_end_is_told_also_without_the_order),
		TEST(test_a_mark_that_cannot_be_read_is_a_mark),
		TEST(test_output_that_a_stop_of_the_machine_took_is_told),
		TEST(test_no_stranger_is_signalled),
		TEST(test_a_daemon_that_holds_the_output_delays_nothing),
		TEST(test_a_cancelled_script_leaves_no_daemon),
		TEST(test_without_control_groups_subreapers_find_a_daemon),
		TEST(test_lack_of_memory_is_told_apart_from_a_kill),
		TEST(test_the_end_is_recorded_on_a_full_disk),
		TEST(
		    test_a_replaced_program_changes_nothing_for_those_that_have_it),
		TEST(test_a_program_that_is_missing_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

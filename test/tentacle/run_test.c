#include "tentacle/run.h"

#include "common/clock.h"
#include "common/fs.h"
#include "tentacle/environment.h"
#include "tentacle/health.h"
#include "test/support/guardian.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char top[64], dir[80];
static struct run_spec spec;
static struct run_end end;
static char output[8192];

static int guardian = -1;

static int set_up(void **state)
{
	char path[FS_PATH_MAX];

	(void)state;
	(void)snprintf(top, sizeof(top), "/tmp/longarm-run-XXXXXX");
	assert_non_null(mkdtemp(top));
	(void)snprintf(dir, sizeof(dir), "%s/ticket", top);
	if (guardian < 0)
		assert_int_equal(
		    run_open_guardian(guardian_path(path), &guardian, NULL),
		    RC_OK);
	spec = (struct run_spec){ .dir = dir,
		.guardian = guardian,
		.name = "script",
		.ticket = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		.machine = { "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "web-01" },
		.timeout_ms = 20000,
		.grace_ms = 5000 };
	return 0;
}

static int tear_down(void **state)
{
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY);

	(void)state;
	assert_int_equal(fs_remove_tree(fd, top + 5, NULL), RC_OK);
	(void)close(fd);
	return 0;
}

static uint64_t now(void)
{
	return clock_monotonic_ms();
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

static struct run *begin(const char *body)
{
	struct run *r = NULL;
	struct fault f = { 0 };
	enum rc rc;

	spec.body = bytes_text(body);
	assert_int_equal(run_prepare(&spec, &f), RC_OK);
	rc = run_start(&spec, now(), &r, &f);
	if (rc != RC_OK)
		fail_msg("run_start: %s", f.text);
	return r;
}

static void wait_end(struct run *r)
{
	uint64_t wake;

	while (run_tick(r, now(), &wake) == RC_AGAIN) {
		struct pollfd p = { .fd = run_fd(r), .events = POLLIN };
		uint64_t t = now();

		(void)poll(&p, 1, wake > t ? (int)(wake - t) : 0);
	}
	end = *run_end(r);
	run_free(r);
	read_output();
}

static void run(const char *body)
{
	wait_end(begin(body));
}

/* Until the script has written this; the test's own time limit ends it. */
static void wait_output(struct run *r, const char *text)
{
	do {
		struct pollfd p = { .fd = run_fd(r), .events = POLLIN };

		(void)poll(&p, 1, 5);
		read_output();
	} while (strstr(output, text) == NULL);
}

static void test_output_and_exit_code_are_those_of_the_script(void **state)
{
	(void)state;
	run("echo out; echo err >&2; exit 7\n");
	assert_string_equal(output, "out\nerr\n");
	assert_int_equal(end.state, TICKET_EXITED);
	assert_int_equal(end.exit_code, 7);
	assert_int_equal(end.cause.code, REASON_SCRIPT_FAILED);
	assert_string_equal(end.cause.text, "exit code 7");
	run("exit 0\n");
	assert_int_equal(end.cause.code, REASON_NONE);
}

static void test_any_interpreter_may_be_named(void **state)
{
	(void)state;
	run("#!/usr/bin/awk -f\nBEGIN { print \"from awk\"; exit 3 }\n");
	assert_string_equal(output, "from awk\n");
	assert_int_equal(end.exit_code, 3);
}

static void test_a_missing_interpreter_is_named(void **state)
{
	(void)state;
	run("#!/no/such/thing\nx\n");
	assert_int_equal(end.exit_code, 127);
	assert_int_equal(end.cause.code, REASON_SCRIPT_FAILED);
	assert_non_null(strstr(end.cause.text, "/no/such/thing"));
	run("#!/bin/sh\r\nexit 0\r\n");
	assert_int_equal(end.exit_code, 127);
	assert_non_null(strstr(end.cause.text, "Windows line ends"));
}

static void test_only_the_listed_environment_is_there(void **state)
{
	static const struct msg_pair given[] = {
		{ { (const uint8_t *)"App.Name", 8 },
		    { (const uint8_t *)"a b\"$(x)", 8 } },
	};

	(void)state;
	assert_int_equal(setenv("LONGARM_TEST_LEAK", "x", 1), 0);
	spec.environment = given;
	spec.environment_count = 1;
	run("/usr/bin/env | sort | grep -v '^_=' | grep -v '^PWD='\n"
	    "echo \"[$App_Name]\"\n");
	assert_null(strstr(output, "LEAK"));
	assert_non_null(strstr(output, "[a b\"$(x)]\n"));
	assert_non_null(strstr(output, "PATH=" RUN_PATH "\n"));
	assert_non_null(strstr(
	    output, "LONGARM_TICKET=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"));
	assert_non_null(strstr(output, "LONGARM_MACHINE=web-01\n"));
	assert_non_null(strstr(
	    output, "LONGARM_MACHINE_ID=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n"));
	assert_non_null(strstr(output, "HOME=/\n"));
	assert_non_null(strstr(output, "LANG=C.UTF-8\n"));
}

static void test_dangerous_and_reserved_names_are_refused(void **state)
{
	static const char *const names[] = { "LD_PRELOAD", "BASH_ENV", "ENV",
		"IFS", "PATH", "LONGARM_TICKET", "BASH_FUNC_x", "SHELLOPTS",
		"LD.PRELOAD" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct msg_pair pair = { bytes_text(names[i]),
			bytes_text("x") };
		struct environment *e = NULL;
		struct fault f = { 0 };

		assert_int_equal(environment_new(&e), RC_OK);
		assert_int_equal(environment_add(e, &pair, &f), RC_DENIED);
		assert_int_equal(f.code, REASON_BAD_CONFIG);
		environment_free(e);
	}
}

static void test_two_names_that_become_one_are_refused(void **state)
{
	const struct msg_pair a = { bytes_text("A.B"), bytes_text("1") };
	const struct msg_pair b = { bytes_text("A:B"), bytes_text("2") };
	const struct msg_pair nul = { bytes_text("N"), bytes_of("a\0b", 3) };
	struct environment *e = NULL;

	(void)state;
	assert_int_equal(environment_new(&e), RC_OK);
	assert_int_equal(environment_add(e, &a, NULL), RC_OK);
	assert_int_equal(environment_add(e, &b, NULL), RC_EXISTS);
	assert_int_equal(environment_add(e, &nul, NULL), RC_PROTO);
	assert_string_equal(environment_list(e)[0], "A_B=1");
	assert_null(environment_list(e)[1]);
	environment_free(e);
}

static void test_secrets_are_files_and_nothing_else(void **state)
{
	static const struct msg_pair secrets[] = {
		{ { (const uint8_t *)"db.password", 11 },
		    { (const uint8_t *)"hunter22", 8 } },
	};

	(void)state;
	spec.secrets = secrets;
	spec.secret_count = 1;
	run("cat $LONGARM_SECRETS_DIR/db.password; echo\n"
	    "stat -c %a $LONGARM_SECRETS_DIR/db.password $LONGARM_SECRETS_DIR "
	    "$LONGARM_RUN_DIR/../script\n"
	    "env | grep -c hunter || true\n");
	assert_string_equal(output, "hunter22\n600\n700\n700\n0\n");
}

static void test_it_has_no_file_of_ours_and_its_own_session(void **state)
{
	int leak = open("/dev/null", O_RDONLY); /* without CLOEXEC */

	(void)state;
	spec.workdir = "/usr";
	run("ls /proc/self/fd | tr '\\n' ' '; pwd\n"
	    "test $(ps -o sid= -p $$ 2>/dev/null || "
	    "cut -d' ' -f6 /proc/$$/stat) = $$ && echo leader\n");
	assert_non_null(strstr(output, "/usr\n"));
	assert_non_null(strstr(output, "leader\n"));
	/* ls itself opens one for the directory. */
	assert_non_null(strstr(output, "0 1 2 3 /usr"));
	(void)close(leak);
}

static void test_a_signal_is_told_apart(void **state)
{
	(void)state;
	run("kill -9 $$\n");
	assert_int_equal(end.signal, SIGKILL);
	assert_int_equal(end.cause.code, REASON_SCRIPT_FAILED);
	assert_non_null(strstr(end.cause.text, "signal 9"));
}

static void test_a_time_limit_ends_the_whole_group(void **state)
{
	(void)state;
	/* Long enough to begin, on a busy machine. */
	spec.timeout_ms = 1000;
	run("sleep 60 & sleep 60\n");
	assert_int_equal(end.state, TICKET_EXITED);
	assert_int_equal(end.cause.code, REASON_TIMED_OUT);
	assert_int_equal(end.signal, SIGTERM);
}

static void test_cancel_lets_it_clean_up(void **state)
{
	struct run *r = begin("trap 'echo bye; exit 4' TERM\necho up\n"
			      "while :; do sleep 0.05; done\n");

	(void)state;
	wait_output(r, "up\n");
	run_cancel(r, now());
	wait_end(r);
	assert_int_equal(end.state, TICKET_CANCELLED);
	assert_int_equal(end.cause.code, REASON_CANCELLED);
	assert_non_null(strstr(output, "bye\n"));
}

static void test_what_ignores_sigterm_is_killed_after_the_grace(void **state)
{
	struct run *r;

	(void)state;
	spec.grace_ms = 50;
	r = begin("trap '' TERM\necho up\nwhile :; do sleep 0.05; done\n");
	wait_output(r, "up\n");
	run_cancel(r, now());
	wait_end(r);
	assert_int_equal(end.state, TICKET_CANCELLED);
	assert_non_null(strstr(end.cause.text, "SIGKILL"));
	assert_int_equal(end.signal, SIGKILL);
}

static void test_too_much_output_is_cut_with_a_mark(void **state)
{
	(void)state;
	spec.output_max = 100;
	run("i=0; while [ $i -lt 100 ]; do echo 0123456789; i=$((i+1)); done\n");
	assert_memory_equal(output, "0123456789\n", 11);
	assert_non_null(strstr(output + 100, "[longarm: the output was cut"));
	assert_true(strlen(output) < 300);
	assert_int_equal(end.exit_code, 0);
}

/* --- Health ------------------------------------------------------------- */

static enum health_state check(
    const char *script, uint32_t timeout_ms, struct msg_health_reply *reply)
{
	const struct health_place place = { dir, { "", "" }, { 0, 0 },
		guardian };
	const struct msg_health m = { .script = bytes_text(script),
		.timeout_ms = timeout_ms,
		.facts = true };
	static struct health *h;
	uint64_t wake;

	health_free(h);
	h = NULL;
	assert_int_equal(health_start(&place, &m, now(), &h, NULL), RC_OK);
	while (health_tick(h, now(), &wake) == RC_AGAIN) {
		struct pollfd p = { .fd = health_fd(h), .events = POLLIN };

		(void)poll(&p, 1, 20);
	}
	reply->reply.id = 5;
	health_reply(h, reply);
	memset(output, 0, sizeof(output));
	memcpy(output, reply->output.p,
	    reply->output.len < 8000 ? reply->output.len : 8000);
	health_free(h);
	h = NULL;
	return reply->state;
}

static void test_a_check_script_decides_by_its_exit_code(void **state)
{
	struct msg_health_reply reply = { .exit_code = 0 };

	(void)state;
	assert_int_equal(check("echo fine\n", 5000, &reply), HEALTH_HEALTHY);
	assert_string_equal(output, "fine\n");
	assert_int_equal(reply.reply.id, 5);
	assert_int_equal(check("exit 2\n", 5000, &reply), HEALTH_WARNINGS);
	assert_int_equal(check("exit 1\n", 5000, &reply), HEALTH_UNHEALTHY);
	assert_int_equal(check("kill -9 $$\n", 5000, &reply), HEALTH_UNHEALTHY);
	assert_int_equal(check("", 5000, &reply), HEALTH_HEALTHY);
	/* Nothing stays on the disk. */
	assert_int_not_equal(access(dir, F_OK), 0);
}

static void test_a_check_has_a_hard_deadline_and_bounded_output(void **state)
{
	struct msg_health_reply reply = { .exit_code = 0 };

	(void)state;
	assert_int_equal(
	    check("trap '' TERM\nsleep 60\n", 50, &reply), HEALTH_UNHEALTHY);
	assert_non_null(strstr(output, "longer than its limit"));
	assert_int_equal(
	    check("head -c 100000 /dev/zero\n", 5000, &reply), HEALTH_HEALTHY);
	assert_int_equal(reply.output.len, HEALTH_OUTPUT_MAX);
	assert_true(reply.truncated);
}

static void test_a_check_whose_end_nobody_knows_is_no_good_sign(void **state)
{
	struct run_end e = { .state = TICKET_EXITED };

	(void)state;
	assert_int_equal(health_of_end(&e), HEALTH_HEALTHY);
	e.state = TICKET_UNKNOWN;
	assert_int_equal(health_of_end(&e), HEALTH_UNHEALTHY);
}

static void test_low_disk_and_memory_are_warnings(void **state)
{
	struct msg_disk disks[] = {
		{ bytes_text("/"), 1000ull << 20, 500ull << 20 },
		{ bytes_text("/var"), 1000ull << 20, 49ull << 20 },
	};
	struct msg_facts f = { .disks = disks,
		.disk_count = 2,
		.memory_total = 100ull << 20,
		.memory_available = 50ull << 20 };
	const struct health_limits limits = HEALTH_LIMITS_DEFAULT;
	char text[HEALTH_WARNING_MAX];

	(void)state;
	assert_int_equal(health_of_facts(&f, &limits, text), HEALTH_WARNINGS);
	assert_non_null(strstr(text, "/var: 49 of 1000 MiB"));
	disks[1].free = 51ull << 20;
	assert_int_equal(health_of_facts(&f, &limits, text), HEALTH_HEALTHY);
	f.memory_available = 1ull << 20;
	assert_int_equal(health_of_facts(&f, &limits, text), HEALTH_WARNINGS);
}

static void test_facts_are_read_from_the_kernels_text(void **state)
{
	struct msg_facts f = { .uptime_s = 0 };
	struct facts *all = calloc(1, sizeof(*all));
	char os[64];

	(void)state;
	facts_parse_meminfo("MemTotal:  100 kB\nMemAvailable:  7 kB\n", &f);
	assert_int_equal(f.memory_total, 102400);
	assert_int_equal(f.memory_available, 7168);
	facts_parse_loadavg("0.52 12.07 0.00 1/2 3\n", &f);
	assert_int_equal(f.load_milli[0], 520);
	assert_int_equal(f.load_milli[1], 12070);
	assert_int_equal(f.load_milli[2], 0);
	facts_parse_os("ID=x\nPRETTY_NAME=\"Debian 12\"\n", os, sizeof(os));
	assert_string_equal(os, "Debian 12");
	facts_parse_os("", os, sizeof(os));
	assert_string_equal(os, "unknown");
	assert_non_null(all);
	facts_collect(all);
	assert_true(all->msg.memory_total > 0);
	assert_true(all->msg.disk_count > 0);
	assert_true(all->msg.clock_ms > 0);
	free(all);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_output_and_exit_code_are_those_of_the_script),
		TEST(test_any_interpreter_may_be_named),
		TEST(test_a_missing_interpreter_is_named),
		TEST(test_only_the_listed_environment_is_there),
		TEST(test_dangerous_and_reserved_names_are_refused),
		TEST(test_two_names_that_become_one_are_refused),
		TEST(test_secrets_are_files_and_nothing_else),
		TEST(test_it_has_no_file_of_ours_and_its_own_session),
		TEST(test_a_signal_is_told_apart),
		TEST(test_a_time_limit_ends_the_whole_group),
		TEST(test_cancel_lets_it_clean_up),
		TEST(test_what_ignores_sigterm_is_killed_after_the_grace),
		TEST(test_too_much_output_is_cut_with_a_mark),
		TEST(test_a_check_script_decides_by_its_exit_code),
		TEST(test_a_check_has_a_hard_deadline_and_bounded_output),
		TEST(test_a_check_whose_end_nobody_knows_is_no_good_sign),
		TEST(test_low_disk_and_memory_are_warnings),
		TEST(test_facts_are_read_from_the_kernels_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

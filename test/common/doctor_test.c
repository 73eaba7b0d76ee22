#include "test/support/pki.h"

#include "common/clock.h"
#include "common/fs.h"
#include "common/member.h"
#include "common/member_program.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * What a scenario cannot have without changing the clock.  All the rest is in
 * test/scenario/doctor_test.py.
 */

static const struct config_option options[] = {
	SETTINGS_LOG,
	SETTINGS_LINK,
	{ .section = "relay",
	    .key = "state",
	    .type = CONFIG_PATH,
	    .flag = "state",
	    .help = "State directory" },
	{ .section = "relay",
	    .key = "dial",
	    .type = CONFIG_BOOL,
	    .initial = "yes",
	    .help = "Dial" },
};

static const struct member_program program = {
	.role = ROLE_RELAY,
	.name = "longarm-relay",
	.config = {
		.program = "relay",
		.file = "/nonexistent/relay.conf",
		.options = options,
		.option_count = sizeof(options) / sizeof(options[0]),
	},
};

static const struct command_option doctor_options[] = {
	CONFIG_COMMAND_OPTIONS,
	MEMBER_STATE_OPTION,
	OUTPUT_COMMAND_OPTION,
};

static const struct command commands[] = {
	{ .name = "doctor",
	    .help = "Look",
	    .options = doctor_options,
	    .option_count =
		sizeof(doctor_options) / sizeof(doctor_options[0]) },
};

static const struct command_table table = {
	.program = "longarm-relay",
	.about = "test",
	.commands = commands,
	.command_count = 1,
};

struct bed {
	char top[64], dir[96], out[96];
	struct pki pki;
	char said[8192];
};

static void bed_new(struct bed *b)
{
	memset(b, 0, sizeof(*b));
	strcpy(b->top, "/tmp/doctor-test-XXXXXX");
	assert_non_null(mkdtemp(b->top));
	(void)snprintf(b->dir, sizeof(b->dir), "%s/state", b->top);
	(void)snprintf(b->out, sizeof(b->out), "%s/out", b->top);
	pki_init(&b->pki, CLUSTER);
}

static void bed_free(struct bed *b)
{
	char command[128];

	(void)unlink(b->out);
	assert_int_equal(member_remove(b->dir, NULL), RC_OK);
	(void)snprintf(command, sizeof(command), "%s/lock", b->dir);
	(void)unlink(command);
	(void)rmdir(b->dir);
	(void)rmdir(b->top);
	pki_fini(&b->pki);
}

static void join(struct bed *b, int64_t start_s, int64_t life_s)
{
	struct identity *id =
	    pki_identity_at(&b->pki, ROLE_RELAY, "dc2-a", start_s, life_s);
	const struct msg_peer peer = { .role = ROLE_SERVER, .name = "n1" };
	const struct member_new n = {
		.identity = id,
		.name = "dc2-a",
		.peers = &peer,
		.peer_count = 1,
	};
	struct fault fault;

	assert_int_equal(member_create(b->dir, &n, &fault), RC_OK);
	identity_free(id);
}

static enum command_exit doctor(struct bed *b)
{
	char name[] = "longarm-relay", verb[] = "doctor", flag[] = "--state";
	char *argv[] = { name, verb, flag, b->dir, NULL };
	struct command_line *line = NULL;
	struct fault fault;
	int before = dup(1);
	FILE *file;
	size_t len;
	enum command_exit code;

	assert_int_equal(command_parse(&table, 4, argv, &line, &fault), RC_OK);
	(void)fflush(stdout);
	assert_non_null(freopen(b->out, "w", stdout));
	code = member_doctor(&program, line);
	(void)fflush(stdout);
	(void)dup2(before, 1);
	(void)close(before);
	command_line_free(line);
	file = fopen(b->out, "r");
	assert_non_null(file);
	len = fread(b->said, 1, sizeof(b->said) - 1, file);
	b->said[len] = '\0';
	(void)fclose(file);
	return code;
}

static void says(const struct bed *b, const char *words)
{
	if (strstr(b->said, words) == NULL)
		fail_msg("'%s' is not in:\n%s", words, b->said);
}

static void test_a_member_that_is_well_is_found_well(void **state)
{
	struct bed b;

	(void)state;
	bed_new(&b);
	join(&b, -3600, DAY);
	assert_int_equal(doctor(&b), COMMAND_OK);
	says(&b, "ok   identity: relay dc2-a of cluster " CLUSTER);
	says(&b, "ok   peer: server n1 dials us");
	bed_free(&b);
}

static void test_a_clock_before_the_certificate_is_the_clock(void **state)
{
	struct bed b;

	(void)state;
	bed_new(&b);
	join(&b, 2 * DAY, DAY);
	assert_int_equal(doctor(&b), COMMAND_ERROR);
	says(&b, "FAIL clock: ");
	says(&b, reason_advice(REASON_CLOCK));
	bed_free(&b);
}

static void test_an_expired_certificate_is_told_with_its_day(void **state)
{
	struct bed b;
	char day[CERTS_DATE_SIZE];

	(void)state;
	bed_new(&b);
	join(&b, -3 * DAY, DAY);
	assert_int_equal(doctor(&b), COMMAND_ERROR);
	says(&b, "ok   clock: ");
	says(&b, "FAIL identity: ");
	certs_date(b.pki.now_s - 2 * DAY, day);
	day[strlen("2026-10-01")] = '\0';
	says(&b, day);
	says(&b, reason_advice(REASON_EXPIRED));
	bed_free(&b);
}

static void test_looking_changes_no_start_number(void **state)
{
	struct bed b;
	struct member *m;
	struct fault fault;

	(void)state;
	bed_new(&b);
	join(&b, -3600, DAY);
	assert_int_equal(member_open(b.dir, &m, &fault), RC_OK);
	/* While it runs, and holds its lock. */
	assert_int_equal(doctor(&b), COMMAND_OK);
	assert_int_equal(m->instance.start, 1);
	member_close(m);
	assert_int_equal(member_look(b.dir, &m, &fault), RC_OK);
	assert_int_equal(m->instance.start, 1);
	member_close(m);
	bed_free(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_member_that_is_well_is_found_well),
		cmocka_unit_test(
		    test_a_clock_before_the_certificate_is_the_clock),
		cmocka_unit_test(
		    test_an_expired_certificate_is_told_with_its_day),
		cmocka_unit_test(test_looking_changes_no_start_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

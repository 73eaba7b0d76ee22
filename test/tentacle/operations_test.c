#include "test/tentacle/operations_world.h"
#include "test/tentacle/tarball.h"

#include <sys/stat.h>

/* --- Scripts ------------------------------------------------------------ */

static void test_a_script_runs_once_however_often_it_is_ordered(void **state)
{
	struct msg_start m =
	    script(1, "echo $LONGARM_TICKET >>$LONGARM_RUN_DIR/../../../ran\n");
	struct msg_start_reply r = start(&m);
	struct msg_result result;
	char path[FS_PATH_MAX];
	uint8_t *ran = NULL;
	size_t len;

	(void)state;
	assert_int_equal(r.reply.fault.code, REASON_NONE);
	assert_string_equal(r.reply.journal, operations_journal(ops));
	assert_true(r.reply.counter >= 2);
	start(&m);
	result = finish(1);
	assert_int_equal(result.state, TICKET_EXITED);
	assert_int_equal(result.exit_code, 0);
	assert_int_equal(result.cause.code, REASON_NONE);
	assert_true(result.started_ms > 0);
	r = start(&m);
	assert_int_equal(r.state, TICKET_EXITED);
	assert_true(r.has_result);
	/* Also by the next life of the program. */
	shut_down();
	start_up();
	r = start(&m);
	assert_int_equal(r.state, TICKET_EXITED);
	(void)snprintf(path, sizeof(path), "%s/ran", state_dir);
	assert_int_equal(fs_read_file(path, 4096, &ran, &len, NULL), RC_OK);
	assert_int_equal(len, 33);
	free(ran);
}

static void test_secrets_are_masked_while_it_runs_and_after(void **state)
{
	static struct msg_pair secrets[1];
	struct msg_start m = script(2,
	    "cat $LONGARM_SECRETS_DIR/key; echo; echo go\n"
	    "while [ ! -e $LONGARM_RUN_DIR/../stop ]; do sleep 0.02; done\n"
	    "cat $LONGARM_SECRETS_DIR/key; exit 3\n");
	char path[FS_PATH_MAX];
	struct msg_result r;
	uint8_t *raw = NULL;
	size_t len;

	(void)state;
	secrets[0] =
	    (struct msg_pair){ bytes_text("key"), bytes_text("hunter22") };
	m.script.secrets.items = secrets;
	m.script.secrets.count = 1;
	start(&m);
	wait_text(2, "go\n");
	assert_string_equal(log_text, "********\ngo\n");
	(void)snprintf(
	    path, sizeof(path), "%s/runs/%s/stop", state_dir, m.ticket);
	assert_int_equal(fs_write_atomic(path, "", 0, 0600, NULL), RC_OK);
	r = finish(2);
	assert_int_equal(r.exit_code, 3);
	assert_int_equal(r.cause.code, REASON_SCRIPT_FAILED);
	assert_string_equal(log_text, "********\ngo\n********");
	/* And nothing of it stays on the disk. */
	(void)snprintf(
	    path, sizeof(path), "%s/runs/%s/output", state_dir, m.ticket);
	assert_int_equal(fs_read_file(path, 4096, &raw, &len, NULL), RC_OK);
	assert_null(strstr((char *)raw, "hunter22"));
	free(raw);
	(void)snprintf(
	    path, sizeof(path), "%s/runs/%s/spec", state_dir, m.ticket);
	assert_int_not_equal(access(path, F_OK), 0);
	(void)snprintf(
	    path, sizeof(path), "%s/runs/%s/secrets", state_dir, m.ticket);
	assert_int_not_equal(access(path, F_OK), 0);
}

static const char noting[] =
    "longarm-step set Plain \"it's\"\n"
    "printf 'deep\\nsecret' | longarm-step set --sensitive Deep -\n"
    "longarm-step progress 50% half; longarm-step warning 'take | care'\n"
    "echo content >file; longarm-step artifact file; ln -s spec link\n"
    "longarm-step artifact link; longarm-step artifact ../../journal\n"
    "echo up\n"
    "while [ ! -e $LONGARM_RUN_DIR/../stop ]; do sleep 0.02; done\n"
    "printf 'deep\\nsecret'; echo\n";

static void assert_noted(
    const char *id, uint32_t number, const char *name, const char *text)
{
	struct msg_note m;

	assert_int_equal(operations_note(ops, id, number, &m), RC_OK);
	assert_true(bytes_equal(m.name, bytes_text(name)));
	assert_int_equal(m.text.len, strlen(text));
	assert_memory_equal(m.text.p, text, m.text.len);
}

static void test_what_a_script_says_is_told_now_and_after(void **state)
{
	struct msg_start m = script(3, noting);
	struct runlog_range range = { .out = (uint8_t *)log_text, .size = 64 };
	char path[FS_PATH_MAX], live[sizeof(log_text)];
	uint32_t version = 0;
	struct msg_note note;

	(void)state;
	start(&m);
	wait_text(3, "\nup\n");
	memcpy(live, log_text, sizeof(live));
	assert_noted(m.ticket, 1, "Plain", "it's");
	assert_noted(m.ticket, 2, "Deep", "deep\nsecret");
	assert_noted(m.ticket, 3, "", "take | care");
	assert_int_equal(operations_note(ops, m.ticket, 4, &note), RC_AGAIN);
	assert_true(operations_state(ops, m.ticket, &version, &note));
	assert_int_equal(note.percent, 50);
	assert_false(operations_state(ops, m.ticket, &version, &note));
	/* The next life reads it all again, and masks alike. */
	shut_down();
	start_up();
	(void)snprintf(
	    path, sizeof(path), "%s/runs/%s/stop", state_dir, m.ticket);
	assert_int_equal(fs_write_atomic(path, "", 0, 0600, NULL), RC_OK);
	(void)finish(3);
	assert_memory_equal(live, log_text, strlen(live));
	assert_null(strstr(log_text, "deep\nsecret"));
	assert_null(strstr(log_text, "deep|nsecret"));
	assert_noted(m.ticket, 2, "Deep", "deep\nsecret");
	assert_noted(m.ticket, 3, "", "take | care");
	assert_int_equal(operations_note(ops, m.ticket, 4, &note), RC_OK);
	assert_int_equal(note.kind, NOTE_ARTIFACT);
	assert_int_equal(note.size, 8);
	operations_artifact(ops, m.ticket, 4, note.size, &range);
	assert_int_equal(range.got, 8);
	assert_memory_equal(log_text, "content\n", 8);
	/* What leads elsewhere is not kept. */
	for (uint32_t i = 5; i <= 6; i++) {
		assert_int_equal(
		    operations_note(ops, m.ticket, i, &note), RC_OK);
		assert_int_equal(note.kind, NOTE_WARNING);
	}
	assert_int_equal(operations_note(ops, m.ticket, 7, &note), RC_NOTFOUND);
}

static void test_cancel_ends_what_runs_and_what_waits(void **state)
{
	struct msg_start m;
	struct msg_result r;

	(void)state;
	shut_down();
	config.running_max = 1;
	start_up();
	m = script(1, "echo up; while :; do sleep 0.02; done\n");
	start(&m);
	m = script(2, "echo never\n");
	assert_int_equal(start(&m).state, TICKET_ACCEPTED);
	wait_text(1, "up\n");
	assert_int_equal(cancel(2).state, TICKET_CANCELLED);
	assert_int_equal(cancel(1).state, TICKET_RUNNING);
	r = finish(1);
	assert_int_equal(r.state, TICKET_CANCELLED);
	assert_int_equal(r.cause.code, REASON_CANCELLED);
	r = finish(2);
	assert_int_equal(r.state, TICKET_CANCELLED);
	assert_int_equal(r.started_ms, 0);
	/* The place is free again. */
	m = script(3, "exit 0\n");
	start(&m);
	assert_int_equal(finish(3).state, TICKET_EXITED);
	/* And one that was cancelled before it came never runs. */
	cancel(4);
	m = script(4, "echo never\n");
	assert_int_equal(start(&m).state, TICKET_CANCELLED);
}

/* A script that waits for open_gate(). */
static const char gated[] =
    "echo up; while [ ! -e $LONGARM_RUN_DIR/../../../go ]; do sleep 0.02; done\n"
    "echo once >>$LONGARM_RUN_DIR/../../../ran; echo late; exit 3\n";

static void open_gate(void)
{
	char path[FS_PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/go", state_dir);
	assert_int_equal(fs_write_atomic(path, "", 0, 0600, NULL), RC_OK);
}

static size_t times_ran(void)
{
	char path[FS_PATH_MAX];
	uint8_t *data = NULL;
	size_t len = 0;

	(void)snprintf(path, sizeof(path), "%s/ran", state_dir);
	if (fs_read_file(path, 4096, &data, &len, NULL) != RC_OK)
		return 0;
	free(data);
	return len / 5; /* "once\n" */
}

static struct guard_record record_of(unsigned n)
{
	struct guard_record r = { .dropped = 0 };
	char dir[FS_PATH_MAX], id[ID_SIZE];

	ticket_id(id, n);
	(void)snprintf(dir, sizeof(dir), "%s/runs/%s", state_dir, id);
	assert_true(guardian_record(dir, "script", &r));
	return r;
}

static void test_a_run_goes_on_without_the_tentacle_and_is_adopted(void **state)
{
	struct msg_start m = script(1, gated);
	struct msg_result r;

	(void)state;
	start(&m);
	wait_text(1, "up\n");
	shut_down(); /* as if killed: no end is journalled */
	start_up();
	assert_int_equal(start(&m).state, TICKET_RUNNING);
	wait_text(1, "up\n");
	shut_down();
	start_up();
	open_gate();
	r = finish(1);
	assert_int_equal(r.state, TICKET_EXITED);
	assert_int_equal(r.exit_code, 3);
	assert_string_equal(log_text, "up\nlate\n");
	assert_int_equal(times_ran(), 1);
}

static void test_a_run_that_ended_meanwhile_is_told(void **state)
{
	struct msg_start m = script(1, gated);
	struct msg_result r;

	(void)state;
	start(&m);
	wait_text(1, "up\n");
	shut_down();
	open_gate();
	while (record_of(1).state[GUARD_EXIT] != SLOT_VALID)
		guardian_pause();
	start_up();
	r = finish(1);
	assert_int_equal(r.exit_code, 3);
	assert_string_equal(log_text, "up\nlate\n");
	shut_down();
	start_up();
	assert_int_equal(start(&m).state, TICKET_EXITED);
	assert_int_equal(times_ran(), 1);
}

static void test_all_that_runs_is_adopted_whatever_may_run_at_once(void **state)
{
	enum {
		MANY = 20
	};
	static char bodies[MANY + 1][160];
	struct msg_start m;

	(void)state;
	shut_down();
	config.running_max = MANY;
	start_up();
	for (unsigned n = 1; n <= MANY; n++) {
		(void)snprintf(bodies[n], sizeof(bodies[n]),
		    "echo up; while [ ! -e $LONGARM_RUN_DIR/../../../go ]; do "
		    "sleep 0.05; done; exit %u\n",
		    n);
		m = script(n, bodies[n]);
		start(&m);
	}
	for (unsigned n = 1; n <= MANY; n++)
		wait_text(n, "up\n");
	shut_down();
	config.running_max = 1;
	start_up();
	open_gate();
	for (unsigned n = 1; n <= MANY; n++)
		assert_int_equal(finish(n).exit_code, (int)n);
}

static void test_an_adopted_run_can_be_cancelled(void **state)
{
	struct msg_start m = script(1, gated);

	(void)state;
	start(&m);
	wait_text(1, "up\n");
	shut_down();
	start_up();
	assert_int_equal(cancel(1).state, TICKET_RUNNING);
	assert_int_equal(finish(1).state, TICKET_CANCELLED);
	assert_int_equal(times_ran(), 0);
}

static void test_a_run_without_guardians_is_unknown_and_not_repeated(
    void **state)
{
	static struct msg_pair secrets[1];
	struct msg_start m =
	    script(1, "cat $LONGARM_SECRETS_DIR/key; echo; echo up\n"
		      "while :; do sleep 0.02; done\n");
	struct guard_record record;
	struct msg_result r;

	(void)state;
	secrets[0] =
	    (struct msg_pair){ bytes_text("key"), bytes_text("hunter22") };
	m.script.secrets.items = secrets;
	m.script.secrets.count = 1;
	start(&m);
	wait_text(1, "up\n");
	shut_down();
	record = record_of(1);
	guardian_kill(&record.supervisor);
	guardian_kill(&record.shim);
	start_up();
	/* It lives, and is told so, until it has gone. */
	assert_int_equal(start(&m).state, TICKET_RUNNING);
	guardian_kill(&record.exec);
	r = finish(1);
	assert_int_equal(r.state, TICKET_UNKNOWN);
	assert_int_equal(r.cause.code, REASON_UNKNOWN);
	assert_string_equal(log_text, "********\nup\n");
	assert_int_equal(start(&m).state, TICKET_UNKNOWN);
	assert_int_equal(operations_open_tickets(ops), 0);
}

static void test_a_marked_ticket_without_a_record_is_unknown(void **state)
{
	const struct ticket_limits limits = TICKET_LIMITS_DEFAULT;
	struct msg_start m = script(1, gated);
	struct ledger *l = NULL;

	(void)state;
	shut_down();
	config.running_max = 0; /* accepts, begins nothing */
	start_up();
	start(&m);
	shut_down();
	assert_int_equal(ledger_open(state_dir, &limits, &l, NULL), RC_OK);
	assert_int_equal(
	    ledger_mark(l, m.ticket, JOURNAL_EXEC, PHASE_SCRIPT, NULL), RC_OK);
	ledger_close(l);
	config.running_max = 1;
	start_up();
	assert_int_equal(finish(1).state, TICKET_UNKNOWN);
	assert_int_equal(times_ran(), 0);
}

static void test_a_ticket_accepted_and_never_begun_runs_after_a_crash(
    void **state)
{
	struct msg_start m;

	(void)state;
	shut_down();
	config.running_max = 1;
	start_up();
	m = script(1, gated);
	start(&m);
	m = script(2, "echo ran\n");
	start(&m);
	wait_text(1, "up\n");
	shut_down();
	start_up();
	open_gate();
	assert_int_equal(finish(1).exit_code, 3);
	assert_int_equal(finish(2).state, TICKET_EXITED);
	assert_string_equal(log_text, "ran\n");
}

static void test_too_many_tickets_are_refused_with_their_limit(void **state)
{
	struct msg_start m;
	struct msg_start_reply r;

	(void)state;
	shut_down();
	config.tickets.open_max = 1;
	start_up();
	m = script(1, "while :; do sleep 0.02; done\n");
	start(&m);
	m = script(2, "exit 0\n");
	r = start(&m);
	assert_int_equal(r.reply.fault.code, REASON_TOO_MANY);
	cancel(1);
	finish(1);
	assert_int_equal(start(&m).reply.fault.code, REASON_NONE);
	finish(2);
}

static void test_a_broken_journal_refuses_orders_but_answers_health(
    void **state)
{
	struct msg_start m = script(1, "exit 0\n");
	struct msg_health h = { .id = 9, .facts = true };
	struct msg_health_reply hr;
	struct msg_start_reply r;
	struct packbuf b;
	char path[FS_PATH_MAX];
	int fd;

	(void)state;
	start(&m);
	finish(1);
	shut_down();
	(void)snprintf(path, sizeof(path), "%s/journal", state_dir);
	fd = open(path, O_WRONLY);
	assert_int_equal(
	    fs_pwrite_all(fd, "x", 1, JOURNAL_HEADER_LEN + 30), RC_OK);
	(void)close(fd);
	start_up();
	assert_int_equal(operations_quarantine(ops)->code, REASON_JOURNAL);
	m = script(2, "exit 0\n");
	r = start(&m);
	assert_int_equal(r.reply.fault.code, REASON_JOURNAL);
	packbuf_init(&b, LENFRAME_STANDING_MAX);
	assert_int_equal(msg_health_encode(&h, &b), RC_OK);
	request(&b);
	assert_int_equal(
	    msg_health_reply_decode(bytes_of(reply, reply_len), &hr, NULL),
	    RC_OK);
	assert_int_equal(hr.reply.id, 9);
	assert_true(hr.facts.memory_total > 0);
	msg_health_reply_clear(&hr);
}

/* Its directory is evidence: it is neither swept away nor run again. */
static void test_a_missing_journal_beside_tickets_refuses_orders(void **state)
{
	struct msg_start m = script(1, "exit 0\n"), other;
	struct msg_start_reply r;
	char path[FS_PATH_MAX], was[ID_SIZE];

	(void)state;
	start(&m);
	finish(1);
	memcpy(was, operations_journal(ops), sizeof(was));
	shut_down();
	(void)snprintf(path, sizeof(path), "%s/journal", state_dir);
	assert_int_equal(unlink(path), 0);
	start_up();
	assert_int_equal(operations_quarantine(ops)->code, REASON_JOURNAL);
	assert_non_null(strstr(operations_quarantine(ops)->text, "1 tickets"));
	r = start(&m);
	assert_int_equal(r.reply.fault.code, REASON_JOURNAL);
	other = script(2, "exit 0\n");
	r = start(&other);
	assert_int_equal(r.reply.fault.code, REASON_JOURNAL);
	assert_int_not_equal(access(path, F_OK), 0);
	(void)snprintf(path, sizeof(path), "%s/runs/%s", state_dir, m.ticket);
	assert_int_equal(access(path, F_OK), 0);
}

static void test_a_health_check_with_a_script_answers_later(void **state)
{
	struct msg_health h = { .id = 3,
		.script = bytes_text("echo hm; exit 1\n"),
		.timeout_ms = 5000 };
	struct msg_health_reply hr;
	struct packbuf b;

	(void)state;
	packbuf_init(&b, LENFRAME_STANDING_MAX);
	assert_int_equal(msg_health_encode(&h, &b), RC_OK);
	request(&b);
	wait_until(has_reply);
	assert_int_equal(
	    msg_health_reply_decode(bytes_of(reply, reply_len), &hr, NULL),
	    RC_OK);
	assert_int_equal(hr.state, HEALTH_UNHEALTHY);
	assert_int_equal(hr.exit_code, 1);
	assert_memory_equal(hr.output.p, "hm\n", 3);
	msg_health_reply_clear(&hr);
}

static void test_tickets_are_listed_until_they_are_forgotten(void **state)
{
	struct msg_start m = script(1, "exit 5\n");
	struct msg_tickets ask = { .id = 1 };
	struct msg_forget forget = { .id = 2 };
	struct msg_tickets_reply list;
	struct msg_id id;
	struct packbuf b;
	char path[FS_PATH_MAX];

	(void)state;
	start(&m);
	finish(1);
	packbuf_init(&b, LENFRAME_STANDING_MAX);
	assert_int_equal(msg_tickets_encode(&ask, &b), RC_OK);
	request(&b);
	assert_int_equal(
	    msg_tickets_reply_decode(bytes_of(reply, reply_len), &list, NULL),
	    RC_OK);
	assert_int_equal(list.count, 1);
	assert_string_equal(list.items[0].ticket, m.ticket);
	assert_int_equal(list.items[0].exit_code, 5);
	msg_tickets_reply_clear(&list);

	ticket_id(id.text, 1);
	forget.tickets.items = &id;
	forget.tickets.count = 1;
	packbuf_init(&b, LENFRAME_STANDING_MAX);
	assert_int_equal(msg_forget_encode(&forget, &b), RC_OK);
	request(&b);
	packbuf_init(&b, LENFRAME_STANDING_MAX);
	assert_int_equal(msg_tickets_encode(&ask, &b), RC_OK);
	request(&b);
	assert_int_equal(
	    msg_tickets_reply_decode(bytes_of(reply, reply_len), &list, NULL),
	    RC_OK);
	assert_int_equal(list.count, 0);
	msg_tickets_reply_clear(&list);
	(void)snprintf(path, sizeof(path), "%s/runs/%s", state_dir, m.ticket);
	assert_int_not_equal(access(path, F_OK), 0);
	/* Known all the same. */
	assert_int_equal(start(&m).state, TICKET_EXITED);
}

/* --- Activation --------------------------------------------------------- */

static char digest[DIGEST_SIZE];

static void stage(const char *config_text)
{
	static struct tarball tar;
	struct blob_digest d;
	char path[FS_PATH_MAX];
	uint64_t size;
	int fd;

	tar.len = 0;
	tarball_file(&tar, "package/package.json", "{}");
	tarball_file(&tar, "package/app.conf", config_text);
	tarball_end(&tar);
	(void)snprintf(path, sizeof(path), "%s/package", top);
	assert_int_equal(
	    fs_write_atomic(path, tar.data, tar.len, 0600, NULL), RC_OK);
	fd = open(path, O_RDONLY);
	assert_int_equal(
	    blob_import(operations_blobs(ops), fd, &d, &size, NULL), RC_OK);
	(void)close(fd);
	blob_digest_format(&d, digest);
}

static struct bytes patterns[1];
static struct msg_pair variables[1];

static struct msg_start activation(unsigned n, uint64_t deployment,
    const char *version, const char *before, const char *after)
{
	struct msg_start m = order(n);
	struct msg_activate *a = &m.activate;

	m.action = ACTION_ACTIVATE;
	(void)snprintf(a->project, sizeof(a->project), "shop");
	(void)snprintf(a->package, sizeof(a->package), "web");
	(void)snprintf(a->version, sizeof(a->version), "%s", version);
	(void)snprintf(a->digest, sizeof(a->digest), "%s", digest);
	a->deployment = deployment;
	patterns[0] = bytes_text("*.conf");
	a->configure.items = patterns;
	a->configure.count = 1;
	variables[0] =
	    (struct msg_pair){ bytes_text("port"), bytes_text("8080") };
	a->variables.items = variables;
	a->variables.count = 1;
	a->before = bytes_text(before);
	a->after = bytes_text(after);
	a->keep = 1;
	return m;
}

static void live_holds(const char *name, const char *want)
{
	char path[FS_PATH_MAX];
	uint8_t *data = NULL;
	size_t len;

	(void)snprintf(
	    path, sizeof(path), "%s/shop/web/current/%s", apps, name);
	assert_int_equal(fs_read_file(path, 4096, &data, &len, NULL), RC_OK);
	assert_string_equal((char *)data, want);
	free(data);
}

static bool has_version(const char *tree)
{
	char path[FS_PATH_MAX];

	(void)snprintf(
	    path, sizeof(path), "%s/shop/web/versions/%s", apps, tree);
	return access(path, F_OK) == 0;
}

static void assert_live(const char *tree)
{
	char path[FS_PATH_MAX], want[100], target[100] = "";

	(void)snprintf(path, sizeof(path), "%s/shop/web/current", apps);
	(void)snprintf(want, sizeof(want), "versions/%s", tree);
	assert_true(readlink(path, target, sizeof(target) - 1) > 0);
	assert_string_equal(target, want);
}

static void test_a_package_is_activated_between_its_scripts(void **state)
{
	struct msg_start m;
	struct msg_result r;

	(void)state;
	stage("port ${port}\n");
	m = activation(1, 7, "1.0", "cat app.conf; pwd >mark\n",
	    "echo after $(basename $LONGARM_PACKAGE_DIR) "
	    "[$LONGARM_PREVIOUS_DIR] $(readlink ../../current)\n");
	assert_int_equal(start(&m).reply.fault.code, REASON_NONE);
	r = finish(1);
	assert_int_equal(r.cause.code, REASON_NONE);
	assert_int_equal(r.state, TICKET_EXITED);
	live_holds("app.conf", "port 8080\n");
	assert_live("1.0-7");
	assert_non_null(strstr(log_text, "port 8080\n"));
	assert_non_null(strstr(log_text, "after 1.0-7 [] versions/1.0-7\n"));

	m = activation(
	    2, 8, "1.1", "", "echo was $(basename $LONGARM_PREVIOUS_DIR)\n");
	start(&m);
	assert_int_equal(finish(2).cause.code, REASON_NONE);
	assert_live("1.1-8");
	assert_non_null(strstr(log_text, "was 1.0-7\n"));
	/* A script of the same project runs in the live version. */
	m = script(3, "cat app.conf\n");
	(void)snprintf(m.script.project, NAME_SIZE, "shop");
	(void)snprintf(m.script.package, NAME_SIZE, "web");
	m.script.deployment = 8;
	start(&m);
	finish(3);
	assert_string_equal(log_text, "port 8080\n");
	/* An older deployment comes too late. */
	m = activation(4, 7, "1.0", "", "");
	assert_int_equal(start(&m).reply.fault.code, REASON_SUPERSEDED);
}

static void test_a_failing_after_script_brings_the_version_before_back(
    void **state)
{
	struct msg_start m;
	struct msg_result r;

	(void)state;
	stage("port ${port}\n");
	m = activation(1, 1, "1.0", "", "exit 9\n");
	start(&m);
	r = finish(1);
	assert_int_equal(r.exit_code, 9);
	assert_int_equal(r.cause.code, REASON_SCRIPT_FAILED);
	assert_non_null(strstr(r.cause.text, "none is live"));
	m = activation(2, 2, "1.0", "", "");
	start(&m);
	assert_int_equal(finish(2).cause.code, REASON_NONE);
	m = activation(3, 3, "1.1", "", "exit 9\n");
	start(&m);
	r = finish(3);
	assert_non_null(strstr(r.cause.text, "is live again"));
	assert_live("1.0-2");
}

static void test_a_failing_before_script_leaves_the_live_version(void **state)
{
	struct msg_start m;
	struct msg_result r;

	(void)state;
	stage("port ${port}\n");
	m = activation(1, 1, "1.0", "", "");
	start(&m);
	finish(1);
	m = activation(2, 2, "1.1", "exit 4\n", "echo never\n");
	start(&m);
	r = finish(2);
	assert_int_equal(r.exit_code, 4);
	assert_non_null(strstr(r.cause.text, "before: exit code 4"));
	assert_live("1.0-1");
	assert_null(strstr(log_text, "never"));
}

static void test_an_unset_variable_changes_nothing(void **state)
{
	struct msg_start m;
	struct msg_result r;

	(void)state;
	stage("a\nport ${nope}\n");
	m = activation(1, 1, "1.0", "echo never\n", "");
	start(&m);
	r = finish(1);
	assert_int_equal(r.state, TICKET_REFUSED);
	assert_int_equal(r.cause.code, REASON_BAD_CONFIG);
	assert_non_null(strstr(r.cause.text, "app.conf:2: variable nope"));
	assert_false(has_version("1.0-1"));
	assert_int_equal(r.started_ms, 0);
}

static void test_a_package_not_staged_is_named(void **state)
{
	struct msg_start m;
	struct msg_result r;

	(void)state;
	memset(digest, 'e', sizeof(digest) - 1);
	m = activation(1, 1, "1.0", "", "");
	start(&m);
	r = finish(1);
	assert_int_equal(r.state, TICKET_REFUSED);
	assert_int_equal(r.cause.code, REASON_NOT_FOUND);
	assert_non_null(strstr(r.cause.text, "web 1.0"));
}

/* As if nobody had used it for long. */
static void age_package(void)
{
	const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	char path[FS_PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/blobs/%.2s/%s", state_dir,
	    digest, digest + 2);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static bool is_staged(void)
{
	struct blob_digest d;

	return blob_digest_parse(digest, &d) == RC_OK &&
	       blob_has(operations_blobs(ops), &d);
}

static char kept_digest[DIGEST_SIZE];

static bool other_is_gone(void)
{
	struct blob_digest d;

	return blob_digest_parse(kept_digest, &d) == RC_OK &&
	       !blob_has(operations_blobs(ops), &d);
}

static void test_staged_packages_go_when_nobody_needs_them(void **state)
{
	struct msg_start m;
	char path[FS_PATH_MAX];

	(void)state;
	stage("one\n");
	age_package();
	memcpy(kept_digest, digest, sizeof(kept_digest));
	stage("port ${port}\n");
	m = activation(1, 1, "1.0",
	    "echo b; while [ ! -e $LONGARM_RUN_DIR/../../../go ]; do sleep 0.02; "
	    "done",
	    "");
	start(&m);
	wait_text(1, "b\n");
	age_package();
	/* One goes; the other is that of a ticket which is open. */
	shut_down();
	config.blobs_max = 1;
	start_up();
	wait_until(other_is_gone);
	assert_true(is_staged());
	(void)snprintf(path, sizeof(path), "%s/go", state_dir);
	assert_int_equal(fs_write_atomic(path, "", 0, 0600, NULL), RC_OK);
	assert_int_equal(finish(1).cause.code, REASON_NONE);
	age_package();
	memcpy(kept_digest, digest, sizeof(kept_digest));
	shut_down();
	start_up();
	wait_until(other_is_gone);
}

static void test_old_versions_go_but_never_the_one_before(void **state)
{
	struct msg_start m;

	(void)state;
	stage("port ${port}\n");
	for (unsigned n = 1; n <= 4; n++) {
		char version[16];

		(void)snprintf(version, sizeof(version), "1.%u", n);
		m = activation(n, n, version, "", "");
		start(&m);
		assert_int_equal(finish(n).cause.code, REASON_NONE);
	}
	assert_live("1.4-4");
	assert_true(has_version("1.3-3"));
	assert_false(has_version("1.2-2"));
	assert_false(has_version("1.1-1"));
	m = activation(5, 5, "1.5", "", "");
	m.activate.keep = 0;
	start(&m);
	finish(5);
	assert_true(has_version("1.4-4"));
	assert_false(has_version("1.3-3"));
}

static void test_an_activation_is_adopted_in_each_of_its_scripts(void **state)
{
	struct msg_start m;
	struct msg_result r;

	(void)state;
	stage("port ${port}\n");
	m = activation(1, 1, "1.0", "", "");
	start(&m);
	finish(1);
	m = activation(2, 2, "1.1",
	    "echo b1; while [ ! -e $LONGARM_RUN_DIR/../../../go ]; do sleep 0.02; "
	    "done; rm $LONGARM_RUN_DIR/../../../go; echo b2\n",
	    "echo a1; while [ ! -e $LONGARM_RUN_DIR/../../../go ]; do sleep 0.02; "
	    "done; echo a2; exit 9\n");
	start(&m);
	wait_text(2, "b1\n");
	shut_down();
	start_up();
	open_gate();
	wait_text(2, "a1\n");
	assert_live("1.1-2");
	shut_down();
	start_up();
	open_gate();
	r = finish(2);
	assert_int_equal(r.exit_code, 9);
	assert_non_null(strstr(log_text, "b1\nb2\n"));
	assert_non_null(strstr(log_text, "a1\na2\n"));
	assert_live("1.0-1");
}

static void test_an_activation_cut_after_its_first_script_goes_on(void **state)
{
	struct msg_start m;
	struct ledger *l = NULL;
	const struct ticket_limits limits = TICKET_LIMITS_DEFAULT;

	(void)state;
	stage("port ${port}\n");
	shut_down();
	config.running_max = 0; /* accepts, begins nothing */
	start_up();
	m = activation(1, 1, "1.0", "echo one\n", "echo two\n");
	start(&m);
	shut_down();
	/* What a crash between the marks would have left. */
	assert_int_equal(ledger_open(state_dir, &limits, &l, NULL), RC_OK);
	assert_int_equal(
	    ledger_mark(l, m.ticket, JOURNAL_EXEC, PHASE_BEFORE, NULL), RC_OK);
	assert_int_equal(
	    ledger_mark(l, m.ticket, JOURNAL_PASSED, PHASE_BEFORE, NULL),
	    RC_OK);
	ledger_close(l);
	config.running_max = 1;
	/* Its tree is not there: told, not made up. */
	start_up();
	assert_int_equal(finish(1).cause.code, REASON_NOT_FOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_script_runs_once_however_often_it_is_ordered),
		TEST(test_secrets_are_masked_while_it_runs_and_after),
		TEST(test_what_a_script_says_is_told_now_and_after),
		TEST(test_cancel_ends_what_runs_and_what_waits),
		TEST(test_a_run_goes_on_without_the_tentacle_and_is_adopted),
		TEST(test_a_run_that_ended_meanwhile_is_told),
		TEST(test_all_that_runs_is_adopted_whatever_may_run_at_once),
		TEST(test_an_adopted_run_can_be_cancelled),
		TEST(test_a_run_without_guardians_is_unknown_and_not_repeated),
		TEST(test_a_marked_ticket_without_a_record_is_unknown),
		TEST(test_a_ticket_accepted_and_never_begun_runs_after_a_crash),
		TEST(test_too_many_tickets_are_refused_with_their_limit),
		TEST(test_a_broken_journal_refuses_orders_but_answers_health),
		TEST(test_a_missing_journal_beside_tickets_refuses_orders),
		TEST(test_a_health_check_with_a_script_answers_later),
		TEST(test_tickets_are_listed_until_they_are_forgotten),
		TEST(test_a_package_is_activated_between_its_scripts),
		TEST(
		    test_a_failing_after_script_brings_the_version_before_back),
		TEST(test_a_failing_before_script_leaves_the_live_version),
		TEST(test_an_unset_variable_changes_nothing),
		TEST(test_a_package_not_staged_is_named),
		TEST(test_staged_packages_go_when_nobody_needs_them),
		TEST(test_old_versions_go_but_never_the_one_before),
		TEST(test_an_activation_is_adopted_in_each_of_its_scripts),
		TEST(test_an_activation_cut_after_its_first_script_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

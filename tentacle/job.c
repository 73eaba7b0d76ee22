#include "tentacle/job.h"

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/secret.h"
#include "tentacle/configure.h"
#include "tentacle/install.h"
#include "tentacle/run.h"
#include "tentacle/runlog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPEC_MAX        1048576
#define SCRIPT_BLOB_MAX 16777216

enum job_state {
	JOB_QUEUED,
	JOB_BUILDING, /* a worker has it */
	JOB_SCRIPT,   /* a process runs */
	JOB_SEALING,  /* a worker has it */
	JOB_DONE
};

struct job {
	const struct job_place *place;
	job_done_fn done;
	void *arg;
	enum job_state state;
	char ticket[ID_SIZE];
	char dir[FS_PATH_MAX];
	char workdir[FS_PATH_MAX]; /* of an action script; "": dir */
	uint8_t *spec;             /* what m borrows from */
	size_t spec_len;
	struct msg_start m;
	uint8_t *blob_body; /* a script that came as a blob */
	size_t blob_len;
	struct mask *mask;
	struct install *install; /* activate */
	enum run_phase phase;    /* JOB_SCRIPT: which */
	enum run_phase passed;   /* the last that is over */
	atomic_bool cancel;
	struct run *run;
	struct loop_io *io;
	struct loop_timer *timer;
	struct journal_result result;
	/* What a worker leaves behind. */
	enum rc work_rc;
	struct fault work_fault;
};

static void next_step(struct job *job);
static void finish(struct job *job);

static uint64_t wall_ms(void)
{
	int64_t now = clock_wall_ms();

	return now > 0 ? (uint64_t)now : 0;
}

static uint64_t boot_ms(void)
{
	return clock_boottime_us() / 1000;
}

/* --- Making ------------------------------------------------------------- */

static enum rc load_spec(
    struct job *job, const struct ticket *ticket, struct fault *fault)
{
	struct blob_digest sha;
	char path[FS_PATH_MAX];
	enum rc rc = fs_join(path, sizeof(path), job->dir, "spec");

	if (rc == RC_OK)
		rc = fs_read_file(
		    path, SPEC_MAX, &job->spec, &job->spec_len, fault);
	if (rc == RC_OK)
		rc = blob_digest_of(job->spec, job->spec_len, &sha);
	if (rc != RC_OK)
		return rc;
	if (memcmp(sha.bytes, ticket->accepted.spec, DIGEST_BYTES) != 0) {
		fault_set(fault, REASON_INTERNAL, "",
		    "the spec on disk is not the one that was accepted");
		return RC_PROTO;
	}
	return msg_start_decode(
	    bytes_of(job->spec, job->spec_len), &job->m, fault);
}

static void on_timer(void *arg);

enum rc job_new(const struct job_place *place, const struct ticket *ticket,
    job_done_fn done, void *arg, struct job **out, struct fault *fault)
{
	struct job *job = calloc(1, sizeof(*job));
	enum rc rc;

	if (job == NULL)
		return RC_NOMEM;
	job->place = place;
	job->done = done;
	job->arg = arg;
	job->passed = ticket->passed;
	job->result.started_ms =
	    ticket->passed != PHASE_NONE ? ticket->changed_ms : 0;
	memcpy(job->ticket, ticket->id, sizeof(job->ticket));
	rc = fs_join(job->dir, sizeof(job->dir), place->runs, ticket->id);
	if (rc == RC_OK)
		rc = load_spec(job, ticket, fault);
	if (rc == RC_OK)
		rc = loop_timer_new(place->loop, on_timer, job, &job->timer);
	if (rc != RC_OK) {
		job_free(job);
		return rc;
	}
	*out = job;
	return RC_OK;
}

static void end_run(struct job *job)
{
	loop_io_free(job->io);
	job->io = NULL;
	if (job->timer != NULL)
		loop_timer_stop(job->timer);
	run_free(job->run);
	job->run = NULL;
}

void job_free(struct job *job)
{
	if (job == NULL)
		return;
	end_run(job);
	loop_timer_free(job->timer);
	install_close(job->install);
	mask_free(job->mask);
	msg_start_clear(&job->m);
	if (job->spec != NULL)
		secret_wipe(job->spec, job->spec_len);
	free(job->spec);
	free(job->blob_body);
	free(job);
}

const char *job_ticket(const struct job *job)
{
	return job->ticket;
}

bool job_has_begun(const struct job *job)
{
	return job->state != JOB_QUEUED;
}

const struct mask *job_mask(const struct job *job)
{
	return job->mask;
}

/* --- Ending ------------------------------------------------------------- */

static void set_result(
    struct job *job, enum ticket_state state, const struct fault *cause)
{
	job->result.state = state;
	job->result.cause = cause->code;
	(void)snprintf(
	    job->result.text, sizeof(job->result.text), "%s", cause->text);
}

/* It could not go on: refused when nothing was changed yet. */
static void fail(struct job *job, const struct fault *cause)
{
	struct fault f = *cause;

	if (f.code == REASON_NONE)
		fault_set(&f, REASON_INTERNAL, "", "no memory, or worse");
	if (f.code == REASON_CANCELLED)
		set_result(job, TICKET_CANCELLED, &f);
	else
		set_result(job,
		    job->result.started_ms == 0 ? TICKET_REFUSED
						: TICKET_EXITED,
		    &f);
	if (job->result.exit_code == 0 && job->result.signal == 0)
		job->result.exit_code = 1;
	runlog_note(job->dir, "longarm: %s", f.text);
	finish(job);
}

static void work_seal(void *arg)
{
	struct job *job = arg;
	struct fault ignored;

	/* Old versions that stay are no failure of this one. */
	if (job->install != NULL && job->result.cause == REASON_NONE &&
	    install_prune(job->install, job->m.activate.keep, &ignored) !=
		RC_OK)
		runlog_note(job->dir, "longarm: %s", ignored.text);
	job->work_rc = runlog_seal(job->dir, job->mask, &job->result.log_size,
	    job->result.log_sha256, &job->work_fault);
}

static void sealed(void *arg)
{
	struct job *job = arg;
	const struct ticket *t;
	struct fault fault = { 0 };
	enum rc rc = RC_OK;

	if (job->work_rc != RC_OK)
		log_error("job", job->ticket, "%s", job->work_fault.text);
	job->result.ended_ms = wall_ms();
	job->state = JOB_DONE;
	t = tickets_find(ledger_tickets(job->place->ledger), job->ticket);
	/* Cancelled before it ran: that record was first, and it counts. */
	if (t != NULL && !t->ended)
		rc = ledger_end(
		    job->place->ledger, job->ticket, &job->result, &fault);
	if (rc == RC_OK)
		job_remove_secrets(job->place->runs, job->ticket);
	else
		log_error("job", job->ticket, "%s", fault.text);
	job->done(job->arg, job);
}

static void finish(struct job *job)
{
	struct fault fault;

	end_run(job);
	job->state = JOB_SEALING;
	job->work_rc = RC_OK;
	/* Without a mask the log cannot be shown to anybody. */
	if (job->mask == NULL &&
	    runlog_load_mask(job->dir, &job->mask, &fault) != RC_OK) {
		log_error("job", job->ticket, "%s", fault.text);
		job->work_rc = RC_IO;
		sealed(job);
		return;
	}
	if (worker_submit(job->place->workers, work_seal, sealed, job) !=
	    RC_OK) {
		work_seal(job);
		sealed(job);
	}
}

/* --- Scripts ------------------------------------------------------------ */

static void on_run(struct job *job);

static void on_timer(void *arg)
{
	on_run(arg);
}

static void on_io(void *arg, unsigned ready)
{
	(void)ready;
	on_run(arg);
}

static struct bytes body_of(const struct job *job, enum run_phase phase)
{
	if (phase == PHASE_BEFORE)
		return job->m.activate.before;
	if (phase == PHASE_AFTER)
		return job->m.activate.after;
	if (job->blob_body != NULL)
		return bytes_of(job->blob_body, job->blob_len);
	return job->m.script.body;
}

static struct run_spec spec_of(const struct job *job, enum run_phase phase)
{
	const struct msg_script *s = &job->m.script;
	const struct msg_activate *a = &job->m.activate;
	struct run_spec spec = { .dir = job->dir,
		.name = phase == PHASE_BEFORE  ? "before"
		        : phase == PHASE_AFTER ? "after"
		                               : "script",
		.body = body_of(job, phase),
		.ticket = job->ticket,
		.machine = job->place->machine,
		.home = job->place->home,
		.timeout_ms = job->m.timeout_ms,
		.grace_ms = job->place->grace_ms,
		.output_max = job->place->output_max };

	if (phase == PHASE_SCRIPT) {
		spec.workdir = job->workdir[0] != '\0' ? job->workdir : NULL;
		spec.package_dir = spec.workdir;
		spec.environment = s->environment.items;
		spec.environment_count = s->environment.count;
		spec.secrets = s->secrets.items;
		spec.secret_count = s->secrets.count;
	} else {
		spec.workdir = install_dir(job->install);
		spec.package_dir = spec.workdir;
		spec.previous_dir = install_previous_dir(job->install);
		spec.environment = a->variables.items;
		spec.environment_count = a->variables.count;
		spec.secrets = a->secrets.items;
		spec.secret_count = a->secrets.count;
	}
	return spec;
}

/* The mark, then the process: in this order and never twice. */
static enum rc start_script(
    struct job *job, enum run_phase phase, struct fault *fault)
{
	const struct run_spec spec = spec_of(job, phase);
	enum rc rc = run_prepare(&spec, fault);

	if (rc == RC_OK && job->mask == NULL)
		rc = runlog_load_mask(job->dir, &job->mask, fault);
	if (rc == RC_OK)
		rc = ledger_mark(job->place->ledger, job->ticket, JOURNAL_EXEC,
		    phase, fault);
	if (rc != RC_OK)
		return rc;
	if (job->result.started_ms == 0)
		job->result.started_ms = wall_ms();
	rc = run_start(&spec, boot_ms(), &job->run, fault);
	if (rc == RC_OK && run_fd(job->run) >= 0)
		rc = loop_io_new(
		    job->place->loop, run_fd(job->run), on_io, job, &job->io);
	if (rc != RC_OK)
		return rc;
	if (job->io != NULL)
		loop_io_want(job->io, LOOP_READ);
	job->state = JOB_SCRIPT;
	job->phase = phase;
	loop_timer_set(job->timer, 0);
	return RC_OK;
}

/* A failing `after` must not leave its version live. */
static void undo_switch(struct job *job, struct fault *cause)
{
	const char *previous = install_previous_dir(job->install);
	struct fault why = *cause, fault;

	if (install_switch_back(job->install, &fault) != RC_OK)
		fault_set(cause, why.code, "",
		    "after: %.100s; and the version before could not be made "
		    "live again: %.80s",
		    why.text, fault.text);
	else if (previous[0] != '\0')
		fault_set(cause, why.code, "",
		    "after: %.100s; the version before is live again",
		    why.text);
	else
		fault_set(cause, why.code, "",
		    "after: %.100s; there was no version before, so none is "
		    "live",
		    why.text);
}

static void script_failed(struct job *job, const struct run_end *end)
{
	struct fault cause = end->cause;

	job->result.exit_code = end->exit_code;
	job->result.signal = end->signal;
	if (job->phase == PHASE_AFTER)
		undo_switch(job, &cause);
	else if (job->phase == PHASE_BEFORE)
		fault_set(&cause, end->cause.code, "", "before: %.200s",
		    end->cause.text);
	set_result(job, end->state, &cause);
	if (job->phase != PHASE_SCRIPT)
		runlog_note(job->dir, "longarm: %s", cause.text);
	finish(job);
}

static void on_run(struct job *job)
{
	struct fault fault = { 0 };
	struct run_end end;
	uint64_t now = boot_ms(), wake;

	if (job->state != JOB_SCRIPT)
		return;
	if (run_tick(job->run, now, &wake) == RC_AGAIN) {
		loop_timer_set(job->timer, wake - now);
		return;
	}
	end = *run_end(job->run);
	end_run(job);
	if (end.cause.code != REASON_NONE) {
		script_failed(job, &end);
		return;
	}
	job->passed = job->phase;
	/* The end itself is the mark of the last one. */
	if (job->phase == PHASE_BEFORE &&
	    ledger_mark(job->place->ledger, job->ticket, JOURNAL_PASSED,
		job->phase, &fault) != RC_OK) {
		fail(job, &fault);
		return;
	}
	next_step(job);
}

/* --- Activation --------------------------------------------------------- */

static enum rc open_install(struct job *job, struct fault *fault)
{
	const struct msg_activate *a = &job->m.activate;
	const struct install_id id = { .project = a->project,
		.package = a->package,
		.version = a->version,
		.deployment = a->deployment };

	return install_open(job->place->apps, &id, &job->install, fault);
}

static enum rc open_package(struct job *job, int *fd, struct fault *fault)
{
	const struct msg_activate *a = &job->m.activate;
	struct blob_digest digest;
	uint64_t size;
	enum rc rc = blob_digest_parse(a->digest, &digest);

	if (rc == RC_OK)
		rc = blob_open(job->place->blobs, &digest, fd, &size);
	if (rc != RC_OK)
		fault_set(fault, REASON_NOT_FOUND, "",
		    "package %s %s (%.12s...) is not staged on this machine",
		    a->package, a->version, a->digest);
	return rc;
}

static void work_build(void *arg)
{
	struct job *job = arg;
	const struct msg_activate *a = &job->m.activate;
	const struct configure_values values = { a->variables.items,
		a->variables.count, a->secrets.items, a->secrets.count };
	struct unpack_report report;
	int fd = -1;

	job->work_rc = open_package(job, &fd, &job->work_fault);
	if (job->work_rc == RC_OK) {
		const struct install_source from = { .archive_fd = fd,
			.limits = &job->place->unpack,
			.patterns = a->configure.items,
			.pattern_count = a->configure.count,
			.values = &values,
			.cancel = &job->cancel };

		job->work_rc = install_build(
		    job->install, &from, &report, &job->work_fault);
	}
	if (fd >= 0)
		(void)close(fd);
	if (job->work_rc == RC_OK)
		runlog_note(job->dir,
		    "longarm: %s %s: %llu entries, %llu bytes in %s",
		    a->package, a->version, (unsigned long long)report.entries,
		    (unsigned long long)report.bytes,
		    install_dir(job->install));
}

static void built(void *arg)
{
	struct job *job = arg;

	if (job->work_rc != RC_OK) {
		fail(job, &job->work_fault);
		return;
	}
	job->state = JOB_SCRIPT; /* no worker has it any more */
	next_step(job);
}

static void build(struct job *job)
{
	job->state = JOB_BUILDING;
	if (worker_submit(job->place->workers, work_build, built, job) == RC_OK)
		return;
	job->work_rc = RC_LIMIT;
	fault_set(&job->work_fault, REASON_TOO_MANY, "",
	    "too much is being unpacked on this machine");
	built(job);
}

static enum rc make_live(struct job *job, struct fault *fault)
{
	struct ledger *l = job->place->ledger;
	enum rc rc =
	    ledger_mark(l, job->ticket, JOURNAL_EXEC, PHASE_SWITCH, fault);

	if (rc != RC_OK)
		return rc;
	if (job->result.started_ms == 0)
		job->result.started_ms = wall_ms();
	rc = install_switch(job->install, fault);
	if (rc == RC_OK)
		rc = ledger_mark(
		    l, job->ticket, JOURNAL_PASSED, PHASE_SWITCH, fault);
	if (rc == RC_OK) {
		job->passed = PHASE_SWITCH;
		runlog_note(job->dir, "longarm: %s %s is live",
		    job->m.activate.package, job->m.activate.version);
	}
	return rc;
}

/* --- The order of steps ------------------------------------------------- */

static bool was_cancelled(struct job *job)
{
	struct fault f;

	if (!atomic_load(&job->cancel))
		return false;
	fault_set(&f, REASON_CANCELLED, "", "cancelled between its steps");
	if (job->passed == PHASE_SWITCH)
		undo_switch(job, &f);
	fail(job, &f);
	return true;
}

static void succeed(struct job *job)
{
	const struct fault none = { .code = REASON_NONE };

	set_result(job, TICKET_EXITED, &none);
	finish(job);
}

/* What is next for an activation, from the last step that is over. */
static enum rc activate_step(struct job *job, struct fault *fault)
{
	const struct msg_activate *a = &job->m.activate;
	enum rc rc = RC_OK;

	if (job->passed == PHASE_NONE && a->before.len > 0)
		return start_script(job, PHASE_BEFORE, fault);
	if (job->passed < PHASE_SWITCH)
		rc = make_live(job, fault);
	if (rc != RC_OK)
		return rc;
	if (job->passed == PHASE_SWITCH && a->after.len > 0)
		return start_script(job, PHASE_AFTER, fault);
	succeed(job);
	return RC_OK;
}

static void next_step(struct job *job)
{
	struct fault fault = { 0 };

	if (job->passed == PHASE_SCRIPT || job->passed == PHASE_AFTER) {
		succeed(job);
		return;
	}
	if (was_cancelled(job))
		return;
	if (activate_step(job, &fault) != RC_OK)
		fail(job, &fault);
}

static enum rc read_blob(struct job *job, struct fault *fault)
{
	struct blob_digest digest;
	uint64_t size;
	int fd = -1;
	enum rc rc = blob_digest_parse(job->m.script.blob, &digest);

	if (rc == RC_OK)
		rc = blob_open(job->place->blobs, &digest, &fd, &size);
	if (rc == RC_OK)
		rc = fs_read_fd(
		    fd, SCRIPT_BLOB_MAX, &job->blob_body, &job->blob_len);
	if (rc != RC_OK)
		fault_set(fault, REASON_NOT_FOUND, "",
		    "the script %.12s... is not staged on this machine",
		    job->m.script.blob);
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

static enum rc begin_script(struct job *job, struct fault *fault)
{
	const struct msg_script *s = &job->m.script;
	enum rc rc = RC_OK;

	if (s->body.len == 0 && s->blob[0] != '\0')
		rc = read_blob(job, fault);
	if (rc == RC_OK && s->package[0] != '\0') {
		rc = install_live_dir(job->place->apps, s->project, s->package,
		    job->workdir, sizeof(job->workdir), fault);
		/* What comes before the first `deploy` step, the first time. */
		if (rc == RC_NOTFOUND) {
			job->workdir[0] = '\0';
			rc = RC_OK;
		}
	}
	if (rc == RC_OK)
		rc = start_script(job, PHASE_SCRIPT, fault);
	return rc;
}

static enum rc begin_activate(struct job *job, struct fault *fault)
{
	enum rc rc = open_install(job, fault);

	if (rc != RC_OK)
		return rc;
	if (job->passed == PHASE_NONE) {
		build(job);
	} else {
		job->state = JOB_SCRIPT;
		next_step(job);
	}
	return RC_OK;
}

void job_begin(struct job *job)
{
	struct fault fault = { 0 };
	enum rc rc;

	if (job->state != JOB_QUEUED)
		return;
	job->state = JOB_SCRIPT;
	rc = job->m.action == ACTION_ACTIVATE ? begin_activate(job, &fault)
	                                      : begin_script(job, &fault);
	if (rc != RC_OK)
		fail(job, &fault);
}

void job_cancel(struct job *job)
{
	struct fault f;

	atomic_store(&job->cancel, true);
	if (job->state == JOB_QUEUED) {
		fault_set(&f, REASON_CANCELLED, "", "cancelled before it ran");
		fail(job, &f);
	} else if (job->run != NULL) {
		run_cancel(job->run, boot_ms());
		loop_timer_set(job->timer, 0);
	}
}

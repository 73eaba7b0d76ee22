/* The scripts of a job: started, watched, adopted. */
#include "tentacle/job_base.h"

#include "common/failpoint.h"
#include "common/log.h"
#include "tentacle/runlog.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SCRIPT_BLOB_MAX 16777216

/* --- Scripts ------------------------------------------------------------ */

static void on_run(struct job *job);

void job_on_timer(void *arg)
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

static const char *name_of(enum run_phase phase)
{
	if (phase == PHASE_BEFORE)
		return "before";
	return phase == PHASE_AFTER ? "after" : "script";
}

static struct run_spec spec_of(const struct job *job, enum run_phase phase)
{
	const struct msg_script *s = &job->m.script;
	const struct msg_activate *a = &job->m.activate;
	struct run_spec spec = { .dir = job->dir,
		.name = name_of(phase),
		.guardian = job->place->guardian,
		.again = phase == PHASE_SCRIPT,
		.body = body_of(job, phase),
		.ticket = job->ticket,
		.machine = job->place->machine,
		.home = job->place->home,
		.timeout_ms = job->m.timeout_ms,
		.grace_ms = job->place->grace_ms,
		.output_max = job->place->output_max,
		.helpers = job->place->helpers,
		.user = job->m.user,
		.world = job->world,
		.memory = job->m.memory,
		.processes = job->m.processes };

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

/* Without a watcher its end is noticed all the same, only later.  Only one that
 * we have started, perhaps not until now, tells of its end. */
static void watch_end(struct job *job)
{
	int fd = run_fd(job->run);

	if (fd < 0) {
		loop_io_free(job->io);
		job->io = NULL;
	} else if (job->io == NULL) {
		if (loop_io_new(job->place->loop, fd, on_io, job, &job->io) ==
		    RC_OK)
			loop_io_want(job->io, LOOP_READ);
		else
			job->io = NULL;
	}
}

static void watch(struct job *job, enum run_phase phase)
{
	job->state = JOB_SCRIPT;
	job->phase = phase;
	watch_end(job);
	loop_timer_set(job->timer, 0);
}

enum rc job_start_script(
    struct job *job, enum run_phase phase, struct fault *fault)
{
	const struct run_spec spec = spec_of(job, phase);
	enum rc rc = run_prepare(&spec, fault);

	if (rc == RC_OK && job->mask == NULL)
		rc = runlog_load_mask(job->dir, &job->mask, fault);
	if (rc == RC_OK)
		rc = job_watch_output(job, fault);
	failpoint("script.prepared");
	if (rc == RC_OK)
		rc = ledger_mark(job->place->ledger, job->ticket, JOURNAL_EXEC,
		    phase, fault);
	if (rc != RC_OK)
		return rc;
	failpoint("script.marked");
	if (job->result.started_ms == 0)
		job->result.started_ms = job_wall_ms();
	rc = run_start(&spec, job_boot_ms(), &job->run, fault);
	failpoint("script.guarded");
	if (rc == RC_OK)
		watch(job, phase);
	return rc;
}

/* The machine stopped before it began, and what was prepared may be lost. */
static void prepare_again(struct job *job)
{
	struct fault fault = { 0 };

	log_info("job", job->ticket, "it never began, and is prepared again");
	if (job_begin_script(job, &fault) != RC_OK)
		job_fail(job, &fault);
}

void job_adopt_script(struct job *job)
{
	const struct run_spec spec = { .dir = job->dir,
		.name = name_of(job->adopted),
		.guardian = job->place->guardian,
		.again = job->adopted == PHASE_SCRIPT };
	struct fault fault = { 0 };
	enum rc rc = run_adopt(&spec, &job->run, &fault);

	if (rc == RC_STATE) {
		prepare_again(job);
		return;
	}
	/* Until the end it can also be read without: then nobody sees it. */
	if (runlog_load_mask(job->dir, &job->mask, &fault) != RC_OK ||
	    job_watch_output(job, &fault) != RC_OK)
		log_warn("job", job->ticket, "%s", fault.text);
	if (rc == RC_OK) {
		log_info("job", job->ticket, "taken up again");
		watch(job, job->adopted);
		return;
	}
	log_error("job", job->ticket, "%s", fault.text);
	fault_set(&fault, REASON_UNKNOWN, "",
	    "a script of this ticket may have run, and its record cannot be "
	    "read; nobody knows how it ended, and it is not started again");
	job_set_result(job, TICKET_UNKNOWN, &fault);
	job_finish(job);
}

static void script_failed(struct job *job, const struct run_end *end)
{
	struct fault cause = end->cause;

	job->result.exit_code = end->exit_code;
	job->result.signal = end->signal;
	/* Perhaps all went well: that is for a person to decide. */
	if (job->phase == PHASE_AFTER && end->state != TICKET_UNKNOWN)
		job_undo_switch(job, &cause);
	else if (job->phase == PHASE_BEFORE)
		fault_set(&cause, end->cause.code, "", "before: %.200s",
		    end->cause.text);
	job_set_result(job, end->state, &cause);
	if (job->phase != PHASE_SCRIPT)
		runlog_note(job->dir, "longarm: %s", cause.text);
	job_finish(job);
}

static void on_run(struct job *job)
{
	struct fault fault = { 0 };
	struct run_end end;
	uint64_t now = job_boot_ms(), wake;

	if (job->state != JOB_SCRIPT)
		return;
	if (run_tick(job->run, now, &wake) == RC_AGAIN) {
		watch_end(job);
		loop_timer_set(job->timer, wake - now);
		return;
	}
	end = *run_end(job->run);
	failpoint("script.over");
	job_end_run(job);
	if (end.cause.code != REASON_NONE) {
		script_failed(job, &end);
		return;
	}
	job->passed = job->phase;
	/* The end itself is the mark of the last one. */
	if (job->phase == PHASE_BEFORE &&
	    ledger_mark(job->place->ledger, job->ticket, JOURNAL_PASSED,
		job->phase, &fault) != RC_OK) {
		job_fail(job, &fault);
		return;
	}
	job_next_step(job);
}

/* --- Beginning ---------------------------------------------------------- */

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

enum rc job_begin_script(struct job *job, struct fault *fault)
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
		rc = job_start_script(job, PHASE_SCRIPT, fault);
	return rc;
}

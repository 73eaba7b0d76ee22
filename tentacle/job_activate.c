/* An activation: build, before, switch, after. */
#include "tentacle/job_base.h"

#include "tentacle/runlog.h"

#include <stdio.h>
#include <unistd.h>

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
	if (rc == RC_OK)
		blob_touch(job->place->blobs, &digest);
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
		job_fail(job, &job->work_fault);
		return;
	}
	job->state = JOB_SCRIPT; /* no worker has it any more */
	job_next_step(job);
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
		job->result.started_ms = job_wall_ms();
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

/* A failing `after` must not leave its version live. */
void job_undo_switch(struct job *job, struct fault *cause)
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

/* --- The order of steps ------------------------------------------------- */

static bool was_cancelled(struct job *job)
{
	struct fault f;

	if (!atomic_load(&job->cancel))
		return false;
	fault_set(&f, REASON_CANCELLED, "", "cancelled between its steps");
	if (job->passed == PHASE_SWITCH)
		job_undo_switch(job, &f);
	job_fail(job, &f);
	return true;
}

static void succeed(struct job *job)
{
	const struct fault none = { .code = REASON_NONE };

	job_set_result(job, TICKET_EXITED, &none);
	job_finish(job);
}

/* What is next for an activation, from the last step that is over. */
static enum rc activate_step(struct job *job, struct fault *fault)
{
	const struct msg_activate *a = &job->m.activate;
	enum rc rc = RC_OK;

	if (job->passed == PHASE_NONE && a->before.len > 0)
		return job_start_script(job, PHASE_BEFORE, fault);
	if (job->passed < PHASE_SWITCH)
		rc = make_live(job, fault);
	if (rc != RC_OK)
		return rc;
	if (job->passed == PHASE_SWITCH && a->after.len > 0)
		return job_start_script(job, PHASE_AFTER, fault);
	succeed(job);
	return RC_OK;
}

void job_next_step(struct job *job)
{
	struct fault fault = { 0 };

	if (job->passed == PHASE_SCRIPT || job->passed == PHASE_AFTER) {
		succeed(job);
		return;
	}
	if (was_cancelled(job))
		return;
	if (activate_step(job, &fault) != RC_OK)
		job_fail(job, &fault);
}

enum rc job_begin_activate(struct job *job, struct fault *fault)
{
	enum rc rc = open_install(job, fault);

	if (rc != RC_OK)
		return rc;
	if (job->adopted != PHASE_NONE) {
		job_adopt_script(job);
	} else if (job->passed == PHASE_NONE) {
		build(job);
	} else {
		job->state = JOB_SCRIPT;
		job_next_step(job);
	}
	return RC_OK;
}

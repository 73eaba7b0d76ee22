#include "tentacle/job_base.h"

#include "common/clock.h"
#include "common/failpoint.h"
#include "common/log.h"
#include "common/secret.h"
#include "tentacle/runlog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPEC_MAX 1048576

uint64_t job_wall_ms(void)
{
	int64_t now = clock_wall_ms();

	return now > 0 ? (uint64_t)now : 0;
}

uint64_t job_boot_ms(void)
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
	job->since_ms = ticket->accepted_ms;
	job->begun_before =
	    ticket->exec != PHASE_NONE || ticket->passed != PHASE_NONE;
	job->unlocked = ticket->unlocked;
	/* Switching can be done again; a script is looked for. */
	if (ticket->exec != PHASE_SWITCH)
		job->adopted = ticket->exec;
	if (ticket->passed != PHASE_NONE || ticket->exec != PHASE_NONE)
		job->result.started_ms = ticket->changed_ms;
	memcpy(job->ticket, ticket->id, sizeof(job->ticket));
	rc = fs_join(job->dir, sizeof(job->dir), place->runs, ticket->id);
	if (rc == RC_OK)
		rc = fs_join(
		    job->world, sizeof(job->world), place->worlds, ticket->id);
	if (rc == RC_OK)
		rc = load_spec(job, ticket, fault);
	if (rc == RC_OK)
		rc =
		    loop_timer_new(place->loop, job_on_timer, job, &job->timer);
	if (rc != RC_OK) {
		job_free(job);
		return rc;
	}
	*out = job;
	return RC_OK;
}

void job_end_run(struct job *job)
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
	job_end_run(job);
	loop_timer_free(job->timer);
	install_close(job->install);
	notes_free(job->notes);
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

bool job_is_adopted(const struct job *job)
{
	return job->adopted != PHASE_NONE;
}

const char *job_lock(const struct job *job, bool *shared)
{
	const char *lock = job->m.lock;

	*shared = job->m.lock_shared;
	if (lock[0] == '\0' && job->place->lock != NULL) {
		lock = job->place->lock;
		*shared = false;
	}
	return lock[0] != '\0' && !job->unlocked ? lock : NULL;
}

bool job_holds_lock(const struct job *job)
{
	return job->begun_before || job_has_begun(job);
}

void job_unlock(struct job *job)
{
	job->unlocked = true;
}

const char *job_task(const struct job *job)
{
	return job->m.task;
}

const char *job_blob(const struct job *job)
{
	return job->m.action == ACTION_ACTIVATE ? job->m.activate.digest
	                                        : job->m.script.blob;
}

uint64_t job_since_ms(const struct job *job)
{
	return job->since_ms;
}

bool job_has_begun(const struct job *job)
{
	return job->state != JOB_QUEUED;
}

bool job_is_script(const struct job *job)
{
	return job->m.action != ACTION_ACTIVATE;
}

const struct mask *job_mask(const struct job *job)
{
	return job->mask;
}

/* --- Ending ------------------------------------------------------------- */

void job_set_result(
    struct job *job, enum ticket_state state, const struct fault *cause)
{
	job->result.state = state;
	job->result.cause = cause->code;
	(void)snprintf(
	    job->result.text, sizeof(job->result.text), "%s", cause->text);
}

/* It could not go on: refused when nothing was changed yet. */
void job_fail(struct job *job, const struct fault *cause)
{
	struct fault f = *cause;

	if (f.code == REASON_NONE)
		fault_set(&f, REASON_INTERNAL, "", "no memory, or worse");
	if (f.code == REASON_CANCELLED)
		job_set_result(job, TICKET_CANCELLED, &f);
	else
		job_set_result(job,
		    job->result.started_ms == 0 ? TICKET_REFUSED
						: TICKET_EXITED,
		    &f);
	if (job->result.exit_code == 0 && job->result.signal == 0)
		job->result.exit_code = 1;
	runlog_note(job->dir, "longarm: %s", f.text);
	job_finish(job);
}

/* The log is masked, whatever became of the notes. */
static void work_seal(void *arg)
{
	struct job *job = arg;
	struct fault ignored;
	enum rc rc;

	/* Old versions that stay are no failure of this one. */
	if (job->install != NULL && job->result.cause == REASON_NONE &&
	    install_prune(job->install, job->m.activate.keep, &ignored) !=
		RC_OK)
		runlog_note(job->dir, "longarm: %s", ignored.text);
	job->work_rc = job_seal_notes(job, &job->work_fault);
	rc = runlog_seal(job->dir, job->mask, &job->result.log_size,
	    job->result.log_sha256,
	    job->work_rc == RC_OK ? &job->work_fault : &ignored);
	if (job->work_rc == RC_OK)
		job->work_rc = rc;
}

/* It may have gone well, but not all that it said can be told. */
static void tell_loss(struct job *job)
{
	if (job->work_fault.code == REASON_NONE)
		fault_set(&job->work_fault, REASON_INTERNAL, "",
		    "what the script said cannot be kept: %s",
		    rc_name(job->work_rc));
	log_error("job", job->ticket, "%s", job->work_fault.text);
	if (job->result.cause == REASON_NONE)
		job_set_result(job, job->result.state, &job->work_fault);
}

static void sealed(void *arg)
{
	struct job *job = arg;
	const struct ticket *t;
	struct fault fault = { 0 };
	enum rc rc = RC_OK;

	if (job->work_rc != RC_OK)
		tell_loss(job);
	job->result.ended_ms = job_wall_ms();
	job->state = JOB_DONE;
	t = tickets_find(ledger_tickets(job->place->ledger), job->ticket);
	/* Cancelled before it ran: that record was first, and it counts. */
	if (t != NULL && !t->ended)
		rc = ledger_end(
		    job->place->ledger, job->ticket, &job->result, &fault);
	failpoint("result.recorded");
	if (rc == RC_OK)
		job_remove_secrets(job->place, job->ticket);
	else
		log_error("job", job->ticket, "%s", fault.text);
	job->done(job->arg, job);
}

void job_finish(struct job *job)
{
	job_end_run(job);
	job->state = JOB_SEALING;
	job->work_rc = RC_OK;
	job->work_fault = (struct fault){ .code = REASON_NONE };
	/* Without a mask the log cannot be shown to anybody. */
	if (job->mask == NULL)
		job->work_rc =
		    runlog_load_mask(job->dir, &job->mask, &job->work_fault);
	if (job->work_rc != RC_OK) {
		sealed(job);
		return;
	}
	if (worker_submit(job->place->workers, work_seal, sealed, job) !=
	    RC_OK) {
		work_seal(job);
		sealed(job);
	}
}

void job_begin(struct job *job)
{
	struct fault fault = { 0 };
	enum rc rc;

	if (job->state != JOB_QUEUED)
		return;
	job->state = JOB_SCRIPT;
	if (job->m.action == ACTION_ACTIVATE) {
		rc = job_begin_activate(job, &fault);
	} else if (job->adopted != PHASE_NONE) {
		job_adopt_script(job);
		rc = RC_OK;
	} else {
		rc = job_begin_script(job, &fault);
	}
	if (rc != RC_OK)
		job_fail(job, &fault);
}

void job_cancel(struct job *job)
{
	struct fault f;

	atomic_store(&job->cancel, true);
	if (job->state == JOB_QUEUED) {
		fault_set(&f, REASON_CANCELLED, "", "cancelled before it ran");
		job_fail(job, &f);
	} else if (job->run != NULL) {
		run_cancel(job->run, job_boot_ms());
		loop_timer_set(job->timer, 0);
	}
}

/*
 * job.h - the life of one accepted ticket, from its spec to its result.
 *
 *     QUEUED -> BUILDING -> SCRIPT <-> (marks) -> SEALING -> DONE
 *
 * script:   EXEC script ENDED
 * activate: (build on a worker) EXEC before PASSED, EXEC switch PASSED,
 *           EXEC after PASSED, ENDED
 *
 * Before anything changes the machine its EXEC mark is synced.  A ticket with a
 * mark for a script, and no end, is adopted from its guardians after a restart:
 * it runs, has ended, never began (only then it is started), or nobody can
 * know.  A failing `after` script makes the version before live again.  All on
 * the loop's thread but building and sealing, which own the job meanwhile.
 */
#ifndef TENTACLE_JOB_H
#define TENTACLE_JOB_H

#include "common/blob.h"
#include "common/loop.h"
#include "common/worker.h"
#include "tentacle/archive.h"
#include "tentacle/ledger.h"
#include "tentacle/mask.h"
#include "tentacle/notes.h"
#include "tentacle/remains.h"
#include "tentacle/run.h"

/* What all jobs share; borrowed, outlives them. */
struct job_place {
	struct loop *loop;
	struct worker_pool *workers;
	struct ledger *ledger;
	struct blob_store *blobs;
	const char *runs; /* directory of the tickets' directories */
	const char *apps;
	struct run_machine machine;
	const char *home;        /* of scripts */
	const char *lock;        /* of those that name none; NULL, "": none */
	const char *helpers;     /* directory of what scripts may call; or "" */
	const char *worlds;      /* of scripts that run as other users */
	struct remains *remains; /* where their directories go */
	int guardian;            /* program: run_open_guardian() */
	struct unpack_limits unpack;
	uint64_t output_max; /* bytes; 0: default */
	uint64_t grace_ms;   /* 0: default */
};

struct job; /* opaque */

/* Called once, on the loop, when the job is done; it may free the job. */
typedef void (*job_done_fn)(void *arg, struct job *job);

/*
 * For an accepted ticket whose start message is in the spec file of its
 * directory.  RC_PROTO with a fault: the spec is not the one accepted.
 */
MUST_CHECK enum rc job_new(const struct job_place *place,
    const struct ticket *ticket, job_done_fn done, void *arg, struct job **out,
    struct fault *fault);
/* Not while building or sealing: free the workers first.  A script that runs
 * goes on, and is adopted by the next job_new() of its ticket. */
void job_free(struct job *job);

const char *job_ticket(const struct job *job);
/* Go on from where the journal says that it is. */
void job_begin(struct job *job);
/* job_begin() adopts a script of an earlier life: it cannot wait its turn. */
bool job_is_adopted(const struct job *job);
bool job_has_begun(const struct job *job);
bool job_is_script(const struct job *job); /* no activation */
/* The lock that it needs while it runs; NULL: none (any more). */
const char *job_lock(const struct job *job, bool *shared);
/* It has it: it began, also in an earlier life. */
bool job_holds_lock(const struct job *job);
void job_unlock(struct job *job);
const char *job_task(const struct job *job);
/* The staged blob that it needs: 64 digits, or "". */
const char *job_blob(const struct job *job);
uint64_t job_since_ms(const struct job *job); /* unix time: accepted */
/* Ends it as soon as it can be; done follows (also when not begun). */
void job_cancel(struct job *job);
/* For reading its output meanwhile; NULL before it began. */
const struct mask *job_mask(const struct job *job);
/*
 * Look at its output as far as it goes, or some of it; bytes up to this offset
 * may be read with the mask as it is then.  0: none yet, or a worker has it.
 */
uint64_t job_readable(struct job *job);
/* NULL: none (yet), or a worker has them. */
const struct notes *job_notes(const struct job *job);
/* Those of the ticket whose directory this is: saved, or none yet. */
MUST_CHECK enum rc notes_open(const char *dir, struct mask *mask,
    struct notes **out, bool *saved, struct fault *fault);
/* For a ticket without a job: read what its output says, and save it. */
MUST_CHECK enum rc notes_seal(
    const char *dir, struct mask *mask, struct fault *fault);

/* The spec file: written before the ticket is accepted. */
MUST_CHECK enum rc job_write_spec(const char *runs, const char *ticket,
    struct bytes message, uint8_t digest[DIGEST_BYTES], struct fault *fault);
/* Ended: remove what is secret.  Forgotten: remove all.  What is a script's own
 * is renamed now, and removed soon. */
void job_remove_secrets(const struct job_place *place, const char *ticket);
void job_remove_all(const struct job_place *place, const char *ticket);
/*
 * Nobody can know how this ticket's script ended, and not even its spec can be
 * read: mask its log and journal that.
 */
MUST_CHECK enum rc job_end_unknown(const struct job_place *place,
    const struct ticket *ticket, struct fault *fault);

#endif

/*
 * job_base.h - the inside of jobs: for job*.c only.
 */
#ifndef TENTACLE_JOB_BASE_H
#define TENTACLE_JOB_BASE_H

#include "common/fs.h"
#include "tentacle/install.h"
#include "tentacle/job.h"
#include "tentacle/run_base.h"

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
	uint64_t since_ms; /* accepted; unix time */
	bool begun_before; /* by an earlier life of ours */
	bool unlocked;
	char dir[FS_PATH_MAX];
	char workdir[FS_PATH_MAX]; /* of an action script; "": dir */
	char world[FS_PATH_MAX];   /* for a script of another user */
	uint8_t *spec;             /* what m borrows from */
	size_t spec_len;
	struct msg_start m;
	uint8_t *blob_body; /* a script that came as a blob */
	size_t blob_len;
	struct mask *mask;
	struct notes *notes;       /* what it says in its output */
	bool notes_saved;          /* in a file: the log may be masked */
	struct run_user kept_user; /* whose files are kept */
	struct install *install;   /* activate */
	enum run_phase phase;      /* JOB_SCRIPT: which */
	enum run_phase passed;     /* the last that is over */
	enum run_phase adopted;    /* was started by an earlier life of ours */
	atomic_bool cancel;
	struct run *run;
	struct loop_io *io;
	struct loop_timer *timer;
	struct journal_result result;
	/* What a worker leaves behind. */
	enum rc work_rc;
	struct fault work_fault;
};

uint64_t job_wall_ms(void);
uint64_t job_boot_ms(void);

/* job.c: the ways to the end. */
void job_set_result(
    struct job *job, enum ticket_state state, const struct fault *cause);
/* It could not go on: refused when nothing was changed yet. */
void job_fail(struct job *job, const struct fault *cause);
/* The result is set: seal the log, journal it, done. */
void job_finish(struct job *job);
/* No run is watched any more. */
void job_end_run(struct job *job);

/* job_script.c */
MUST_CHECK enum rc job_begin_script(struct job *job, struct fault *fault);
/* The mark, then the process. */
MUST_CHECK enum rc job_start_script(
    struct job *job, enum run_phase phase, struct fault *fault);
/* Watch what runs, or find how it ended, or that it never began. */
void job_adopt_script(struct job *job);
void job_on_timer(void *arg);

/* job_notes.c */
/* From here on its output is looked at; job->mask is there. */
MUST_CHECK enum rc job_watch_output(struct job *job, struct fault *fault);
/* On a worker, before the log is masked: read the rest, keep files, save. */
MUST_CHECK enum rc job_seal_notes(struct job *job, struct fault *fault);

/* job_activate.c */
MUST_CHECK enum rc job_begin_activate(struct job *job, struct fault *fault);
/* What is next after the last step that is over. */
void job_next_step(struct job *job);
/* A failing `after` must not leave its version live; adds to *cause. */
void job_undo_switch(struct job *job, struct fault *cause);

#endif

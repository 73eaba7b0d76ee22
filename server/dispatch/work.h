/*
 * work.h - the dispatcher's own structs, and who does what with them.  Only
 * for the .c files of this directory.
 *
 *     dispatch.c  life; what the rest of the server tells it
 *     batch.c     facts in, one transaction, commands out
 *     load.c      a task from its rows, with its variables
 *     decide.c    what people decided, from the rows to the engine
 *     command.c   what each command asks of the fleet, and the answers
 *     forget.c    tickets whose end is committed, until the machine knows
 *     start.c     the message that starts a script or an activation
 *     follow.c    attach, output, result
 *     note.c      what scripts say: into rows and files
 *     outputs.c   what of it are variables for later steps
 *     log_sync.c  log files: synced in batches, then told in the rows
 *     health.c    one check and what it says
 *     schedule.c  checks on a schedule, all of them under one budget
 *     checks.c    when each is due; pace.c: how many at once (both pure)
 *
 * A work_run exists while something of a run is under way here.  It goes when
 * the engine calls it final and nothing is left under way (run_release()).
 */
#ifndef SERVER_DISPATCH_WORK_H
#define SERVER_DISPATCH_WORK_H

#include "proto/message_deploy.h"
#include "server/dispatch/dispatch.h"
#include "server/dispatch/pace.h"
#include "server/process/planner.h"
#include "server/store/decision.h"
#include "server/store/task.h"
#include "server/store/types.h"

#include <sys/queue.h>

struct log_sync;
struct note_job;
struct schedule;
struct work_task;
struct work_outputs;
struct store_note;
struct batch;
struct forget;
struct load;

/* What waits for its turn under the budget of checks, and then begins; from
 * the loop, and begin() may leave at once. */
struct paced {
	struct pace_item item; /* first */
	void (*begin)(struct paced *paced);
};

struct work_run {
	TAILQ_ENTRY(work_run) link;
	TAILQ_ENTRY(work_run) dirty_link;
	struct work_task *task;
	struct run_key key;
	char ticket[TASK_TICKET_SIZE];
	const struct task_machine *machine;
	const struct task_action *action;
	const struct plan_payload *payload;

	struct fleet_ask *ask; /* start or health */
	uint32_t lacks;        /* FEATURE_BIT(): why its start was not sent */
	struct fleet_ask *cancel;
	struct fleet_follow *follow;
	struct fleet_bring *bring; /* a package, or a long script's body */
	struct paced paced;        /* a check */
	struct resolved_variables variables; /* until the start is answered */
	char body_blob[DIGEST_SIZE]; /* "": the body is in the message */

	int fd;             /* of the log; -1: not opened */
	bool fresh;         /* its name is not synced yet */
	uint64_t base;      /* where this attempt begins in the file */
	uint64_t written;   /* bytes in the file, with those before */
	uint64_t committed; /* bytes that the row tells of */
	bool dirty;         /* in the dirty list */
	bool syncing;       /* a log_sync holds it */
	bool has_result;    /* told as soon as the log is committed */
	bool refetched;     /* the log was fetched twice: take it as it is */
	bool told_attached;
	struct msg_result result; /* without outputs */

	bool has_state;   /* how far it is, or what it waits for, is shown */
	bool stale_state; /* and this follow has not said so */
	uint32_t notes;   /* of what it says: begun to be kept */
	unsigned noting;  /* of these, not committed */
	bool note_failed; /* some must be told again */
	bool note_full;   /* for want of room */
	struct note_job *file; /* its bytes are coming */
	uint64_t file_left;
};

TAILQ_HEAD(work_run_list, work_run);

struct work_task {
	TAILQ_ENTRY(work_task) link;
	struct dispatch *dispatch;
	struct store_task_rows rows;
	struct plan_payload *payloads;
	size_t payload_count;
	struct names *roles; /* per machine of the plan */
	struct variable_set variables;
	struct store_decision *decisions; /* of before it was loaded */
	size_t decision_count;
	struct fault fault; /* code NONE, or why nothing of it can be started */
	struct work_run_list runs;
	struct work_outputs *outputs; /* of its steps; NULL: none yet */
	bool gone; /* final, or another node's: only cleaning up */
};

TAILQ_HEAD(work_task_list, work_task);

/* A fact that changed something, until its commit. */
struct work_fact {
	struct store_fact fact;
	char *json;
	size_t order;
};

struct dispatch {
	struct dispatch_parts parts;
	struct engine_random random;
	struct engine *engine;
	struct work_task_list tasks;
	uint64_t boot_at_ms; /* unix time: work_task_ms() */
	uint64_t settled; /* tasks below this number have ended; 0: unknown */
	struct work_fact *facts; /* those of the next batch */
	size_t fact_count, fact_room;
	struct batch *batch; /* the one under way */
	struct loop_timer *turn;
	struct work_run_list dirty;
	struct log_sync *sync; /* the one under way */
	struct loop_timer *sync_timer;
	struct schedule *schedule;
	TAILQ_HEAD(forget_list, forget) forgets;
	STAILQ_HEAD(load_list, load) loads; /* not submitted yet */
	size_t loading;
	size_t jobs; /* store jobs and worker jobs that will still answer */
	bool closing;
};

/* ---- dispatch.c ---- */

/* For people. */
uint64_t work_now_ms(void);
/*
 * For the engine, whose deadlines are in rows and outlive this process: the
 * wall clock.  When that is set while anything is under way, what is open is
 * moved with it (engine_shift()).
 */
uint64_t work_task_ms(struct dispatch *d);
struct work_task *work_task_find(const struct dispatch *d, uint64_t number);
/* Stop, once for all. */
void work_broken(struct dispatch *d, const char *what, const char *why);
/* A job has answered; true: dispatch_close() was called, only clean up. */
bool work_closed(struct dispatch *d);
/* Submit a job; when that fails for now, done() is called with RC_AGAIN. */
void work_submit(struct dispatch *d, struct store_job *job);

/* ---- load.c ---- */

void work_load(struct dispatch *d, uint64_t number);
/* Those that wait for their turn. */
void work_loads_free(struct dispatch *d);
void work_task_free(struct work_task *task);
/* Free a task that is gone and has no runs any more. */
void work_task_sweep(struct work_task *task);

/* ---- decide.c ---- */

/* Tell the engine; what it has taken already it ignores. */
void work_tell_decisions(
    struct dispatch *d, const struct store_decision *rows, size_t count);

/* ---- batch.c ---- */

/* Tell the engine; what changed something is recorded. */
void work_tell(struct dispatch *d, const struct engine_fact *fact);
/* Soon: let the engine decide, commit, carry out. */
void work_turn_soon(struct dispatch *d);
void work_turn(void *dispatch);
void work_batch_free(struct dispatch *d);

/* ---- command.c ---- */

/* What is kept of a command until its commit. */
struct work_command {
	enum engine_command_type type;
	struct run_key key;
	char ticket[TASK_TICKET_SIZE];
	uint32_t attempt;
	/* Of a second attempt and later ones; known after the commit. */
	uint64_t log_base, log_size;
};
void work_carry_out(struct dispatch *d, const struct work_command *command);
/* Ask what it remembers though its end is committed here, and tell it to
 * forget that: the first time the word was lost. */
void work_forget_again(struct dispatch *d, const char *machine);
/* Its end is committed; nobody waits for the answer. */
void work_forget(struct work_run *run, const char *ticket);
/* Requests to forget that are under way. */
void work_forgets_drop(struct dispatch *d);
/* Free it when it is final and nothing is under way. */
void run_release(struct work_run *run);
/* In all cases; what is under way was let go of. */
void run_free(struct work_run *run);
/* The same, at the end of an answer: its task may go too. */
void run_settle(struct work_run *run);
/* Drop what is under way with the fleet. */
void run_let_go(struct work_run *run);
/* Its command was not carried out, and why. */
void run_tell_refused(struct work_run *run, enum engine_command_type command,
    const struct fault *fault);
void run_tell_unreachable(struct work_run *run,
    enum engine_command_type command, const struct fault *fault, bool maybe);
void run_tell_busy(
    struct work_run *run, enum engine_command_type command, enum rc rc);
/* A fact about run; the caller fills in the rest. */
struct engine_fact run_fact(
    const struct work_run *run, enum engine_fact_type type);
/* Copies fault; a place that is not named is the machine. */
void run_set_fault(
    const struct work_run *run, struct fault *to, const struct fault *fault);

/* ---- start.c ---- */

/* Resolve the run's variables.  The fault says what is wrong. */
MUST_CHECK enum rc start_prepare(struct work_run *run, struct fault *fault);
/* The body must go as a blob first. */
bool start_needs_blob(const struct work_run *run);
/* RC_DENIED: run->lacks says what the machine cannot do. */
MUST_CHECK enum rc start_encode(
    void *run, const struct fleet_call *call, struct packbuf *out);
/* That, in words; run->lacks is not 0. */
void start_lacks(const struct work_run *run, struct fault *fault);

/* ---- follow.c ---- */

void run_follow(struct work_run *run);
/* It had ended when its start was answered: without output that is all. */
void run_take_quick_end(struct work_run *run, const struct msg_result *result);
/* Lost: it is to be attached to again. */
void run_give_up(struct work_run *run, const struct fault *fault);
/* The log, and then the result, are on the disk: tell the engine. */
void run_ended(struct work_run *run);

/* ---- note.c ---- */

/* For fleet_attach; arg is the run. */
void run_take_note(void *arg, const struct msg_note *note);
/* It has ended, and in this follow said nothing of how far it is. */
void run_drop_stale_state(struct work_run *run);
void run_take_piece(void *arg, uint64_t offset, struct bytes data);
/* A file that came in part only. */
void run_drop_file(struct work_run *run);

/* ---- outputs.c ---- */

/* On the SQL thread. */
MUST_CHECK enum rc work_outputs_load(struct db *db, struct work_task *task);
void work_outputs_free(struct work_task *task);
/* May this run set one more?  NULL: yes; else why not. */
const char *work_output_room(
    const struct work_task *task, const struct run_key *key);
/* What note says, its value in the clear.  One that is no variable is passed
 * over. */
void work_output_add(struct work_task *task, const struct store_note *note,
    const uint8_t *value, size_t len);
/* What other attempts of this run have set does not count any more. */
void work_outputs_drop(
    struct work_task *task, const struct run_key *key, const char *ticket);
/* Add what earlier steps have set for this one. */
MUST_CHECK enum rc work_outputs_join(
    const struct work_run *run, struct variable_set *set, struct fault *fault);
/* Of a secret one, for the master key. */
#define WORK_CONTEXT_SIZE 256
void work_output_context(
    const struct run_key *key, const char *name, char out[WORK_CONTEXT_SIZE]);

/* ---- log_sync.c ---- */

MUST_CHECK enum rc run_open_log(struct work_run *run, struct fault *fault);
void run_mark_dirty(struct work_run *run);
void work_sync(void *dispatch);

/* ---- health.c ---- */

struct health_question {
	const char *script; /* NULL or "": none */
	uint64_t timeout_ms;
};
MUST_CHECK enum rc health_encode(const struct health_question *question,
    const struct fleet_call *call, struct packbuf *out);
/*
 * What a reply says; kept in the machine's row too.  *fault has a code when
 * there was no proper answer (then the result is UNAVAILABLE), else at most a
 * text: what the check printed.
 */
enum machine_health health_take(struct dispatch *d, const char *machine,
    const struct fleet_reply *reply, struct fault *fault);
/* The check that a task asks for, when it is its turn. */
void run_check(struct work_run *run);

/* ---- schedule.c ---- */

MUST_CHECK enum rc schedule_new(struct dispatch *d, struct schedule **out);
void schedule_free(struct schedule *s);
void schedule_start(struct schedule *s);
/* It came back: check it soon. */
void schedule_soon(struct schedule *s, const char *machine);
/* Its row changed; NULL: any may have. */
void schedule_changed(struct schedule *s, const char *machine);
/* Begin when the budget has room, also by way of this machine's relay. */
MUST_CHECK enum rc schedule_enter(struct schedule *s, struct paced *paced,
    const char *machine, enum pace_class class);
/* It is over, or not wanted any more; the next may begin.  OUT is fine. */
void schedule_leave(struct schedule *s, struct paced *paced);

#endif

/*
 * engine.h - decides what happens next on which machine.  Pure.
 *
 *     facts  -> engine_fact() --+-> engine_next_change()   rows to commit
 *     time   -> engine_tick() --+-> engine_next_command()  to carry out after
 *                                                          that commit
 *
 * It knows no database, socket, clock or random numbers of its own; it never
 * calls out (except for random bytes) and after engine_task_add() it never
 * allocates, so taking a fact cannot fail.
 *
 * The caller's loop: take in one or many facts, engine_tick(), drain BOTH
 * queues, write the changes in the transaction that records the facts, commit,
 * carry out the commands.  A change holds the whole row as it is now (an
 * upsert by key).  Commands are idempotent by ticket.  After a restart: load
 * plan, task row and run rows of every task that is not final, add them, tick,
 * go on.  What was asked for but not answered is asked for again, with the
 * same ticket.
 *
 * Rules: never more than `window` machines inside a block; when more than
 * max_failures machines of a block have failed nobody else enters, the
 * machines inside finish their actions, the task fails.  A failed run skips
 * the machine's later runs, in later blocks too.  A start that cannot be
 * delivered is sent again with back-off for the action's queue_ms; once it may
 * have arrived it is only failed after the machine has confirmed that the
 * ticket never ran.  Once accepted it is only attached to.
 *
 * A run that failed, or of which nobody knows how it ended, gets another
 * attempt by itself as its action allows; else, in a guided task, it waits for
 * a person (FACT_DECISION).  Each attempt has its own ticket, and its start
 * names those of earlier attempts that may still run: a machine that has begun
 * one of them refuses, and the run is unknown.
 *
 * One thread at a time.  Times: Unix milliseconds, from the caller.
 */
#ifndef SERVER_ENGINE_ENGINE_H
#define SERVER_ENGINE_ENGINE_H

#include "server/engine/task.h"

struct engine; /* opaque */

struct engine_limits {
	uint32_t max_in_flight;  /* runs starting or running at once, 1.. */
	uint64_t retry_first_ms; /* back-off after the first failed delivery */
	uint64_t retry_max_ms;
	uint64_t overdue_ms; /* added to a timeout before we cancel: the
	                      * machine keeps the time limit itself */
	uint64_t answer_ms;  /* a command without any answer: unreachable */
	uint64_t lost_ms;    /* after a cancel: how long to wait for a word
	                      * before the run is called unknown */
};

/* 500 in flight, 1 s to 60 s, 15 s, 2 min, 1 h. */
struct engine_limits engine_limits_default(void);

/* Embed it in your own struct; fill must not fail. */
struct engine_random {
	void (*fill)(struct engine_random *self, uint8_t *bytes, size_t len);
};

enum engine_command_type {
	COMMAND_START,  /* script or activate; answer ACCEPTED, ENDED, REFUSED,
	                 * UNREACHABLE */
	COMMAND_STAGE,  /* answer [ACCEPTED,] STAGED, REFUSED, UNREACHABLE */
	COMMAND_HEALTH, /* answer HEALTH, REFUSED, UNREACHABLE */
	COMMAND_ATTACH, /* nothing to do when attached already; answer
	                 * [ACCEPTED when attached,] ENDED, UNKNOWN,
	                 * UNREACHABLE also when the stream breaks */
	COMMAND_CANCEL, /* answer as for ATTACH; no answer while it runs on;
	                 * for STAGE and HEALTH: drop it, no answer needed */
	COMMAND_FORGET, /* its result is committed; no answer */
	COMMAND_TYPE_COUNT
};

enum engine_fact_type {
	FACT_CANCEL,   /* task: somebody asked; fault says who, or NONE */
	FACT_DECISION, /* task or run that waits for a person: verb */
	FACT_ACCEPTED, /* run: the machine took the ticket (or stage began) */
	FACT_ENDED,    /* run: result */
	FACT_REFUSED,  /* run: the machine will not start it; fault */
	FACT_UNREACHABLE, /* run: command not answered; fault, may_have_arrived
	                   */
	FACT_UNKNOWN,     /* run: the machine does not know an accepted ticket,
	                   * or cannot say how it ended; fault */
	FACT_STAGED,      /* stage run: complete and verified */
	FACT_HEALTH,      /* health run: health */
	FACT_TYPE_COUNT
};

/* What became of a script, as the machine recorded it. */
struct engine_result {
	enum run_state state; /* SUCCEEDED, FAILED, CANCELLED or UNKNOWN */
	int32_t exit_code, signal;
};

struct engine_fact {
	enum engine_fact_type type;
	struct run_key key; /* FACT_CANCEL: only key.task; FACT_DECISION that
	                     * approves or rejects: key.block too */
	/* From the command that this answers: an answer with another ticket
	 * is ignored.  Unused for FACT_CANCEL and FACT_DECISION. */
	char ticket[TASK_TICKET_SIZE];
	struct fault fault;
	struct engine_result result; /* FACT_ENDED */
	enum machine_health health;  /* FACT_HEALTH */
	/* FACT_DECISION.  attempt: of the run that it is about; fault.text:
	 * who and why, for VERB_REJECT. */
	enum task_verb verb;
	uint32_t attempt;
	/* FACT_REFUSED, FACT_UNREACHABLE: the command that this is about. */
	enum engine_command_type command;
	/* FACT_UNREACHABLE: false only when the machine surely never saw it. */
	bool may_have_arrived;
};

struct engine_command {
	enum engine_command_type type;
	struct run_key key;
	char ticket[TASK_TICKET_SIZE];
	uint64_t epoch;
	uint32_t attempt;
	const struct task_plan *plan; /* borrowed: valid until the next */
	const struct task_machine
	    *machine; /* call that adds or removes a task */
	const struct task_action *action;
};

enum engine_change_type {
	CHANGE_TASK,
	CHANGE_RUN
};

struct engine_change {
	enum engine_change_type type;
	union {
		struct task_row task;
		struct run_row run;
	} row;
};

/* Both structs are copied but random stays the caller's and must outlive the
 * engine.  RC_NOMEM. */
MUST_CHECK enum rc engine_new(const struct engine_limits *limits,
    struct engine_random *random, struct engine **out);
void engine_free(struct engine *e); /* NULL is fine */

/*
 * Take a task in any state that is not final.  plan and row are copied; runs
 * are the rows kept of it (those missing are waiting), in any order.  Commands
 * that follow come from the next engine_tick().
 * RC_EXISTS; RC_LIMIT, RC_PROTO: plan or rows contradict themselves, fault
 * (may be NULL) says how; RC_STATE: the task is final; RC_NOMEM.  On error
 * nothing was added.
 */
MUST_CHECK enum rc engine_task_add(struct engine *e,
    const struct task_plan *plan, const struct task_row *row,
    const struct run_row *runs, size_t run_count, struct fault *fault);
/* Let go of a task, in any state; its undrained changes are lost. */
void engine_task_remove(struct engine *e, uint64_t number);

/* Take in one fact.  Late, repeated, wrong and unknown ones are ignored and
 * false is returned: nothing changed. */
bool engine_fact(
    struct engine *e, const struct engine_fact *fact, uint64_t now_ms);

/* Start, repeat and expire what is due; returns when to call again at the
 * latest, or UINT64_MAX for "only after a fact or a new task". */
uint64_t engine_tick(struct engine *e, uint64_t now_ms);

/*
 * The clock of now_ms was set: from now on it says that many ms more.  What is
 * open goes with it, as if it had begun by the new clock, so that no limit ends
 * sooner or later than it would have; the rows say so, too.  A deadline of a
 * plan is a moment by the clock, and stays.
 */
void engine_shift(struct engine *e, int64_t by_ms);

/* Pop one; false when there is none.  Drain both before the next batch. */
bool engine_next_change(struct engine *e, struct engine_change *out);
bool engine_next_command(struct engine *e, struct engine_command *out);

/* The row as it is now; RC_NOTFOUND. */
MUST_CHECK enum rc engine_task_row(
    const struct engine *e, uint64_t number, struct task_row *out);
MUST_CHECK enum rc engine_run_row(
    const struct engine *e, const struct run_key *key, struct run_row *out);
/* Runs that hold a place under max_in_flight. */
uint32_t engine_in_flight(const struct engine *e);
/* Machines inside the block that task is at; 0 when unknown or not running. */
uint32_t engine_inside(const struct engine *e, uint64_t number);

#endif

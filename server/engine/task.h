/*
 * task.h - what a task is: the plan that never changes, and the rows that do.
 *
 * A task is a list of blocks, done one after the other.  A block takes its
 * targets (machines, in order) through its actions (in order), at most
 * `window` machines at a time.  One action on one target is a run; it has one
 * ticket, and its script is started at most once.
 *
 *     task      queued -> running -> succeeded | failed
 *               queued | running -> cancelling -> cancelled | failed | ...
 *     run       waiting -> starting -> running -> succeeded | failed |
 *               cancelled | unknown;   waiting -> skipped
 *
 * A run that did not succeed may get another attempt, with a ticket of its own:
 * by itself (action.retries, action.rerun_safe) or because a person says so.
 * The row then begins again with attempt + 1.  An attempt of which nobody knows
 * the end stays in doubt until a later one has run: it is never called failed
 * or cancelled.
 *
 * Everything here is plain data.  A task_row or run_row is what the database
 * keeps; a run without a row is waiting.  Times are Unix milliseconds of the
 * server's clock, given by the caller; 0 means "not yet".
 */
#ifndef SERVER_ENGINE_TASK_H
#define SERVER_ENGINE_TASK_H

#include "proto/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TASK_NAME_SIZE    128 /* bytes with the NUL: block and action names */
#define TASK_MACHINE_SIZE 64  /* machine id or name */
#define TASK_TICKET_SIZE  33  /* 32 lower hex digits and the NUL */
#define TASK_LANE_SIZE    160
#define TASK_ASK_SIZE     208 /* what a person is asked to approve */

/* More than these: RC_LIMIT from engine_task_add(). */
#define TASK_MACHINES_MAX 100000u
#define TASK_BLOCKS_MAX   64u
#define TASK_ACTIONS_MAX  64u      /* in one block */
#define TASK_RUNS_MAX     1000000u /* in one task */

#define TASK_ATTEMPTS_MAX 100u /* of one run */
#define TASK_RERUNS_MAX   3u   /* by itself, when nobody knows the end */
#define TASK_FORMER_MAX   4u   /* earlier tickets that may still run */

/* Why a run failed that was in unknown until somebody resolved it. */
#define TASK_RESOLVED_FAILED "a person says that it failed"

#define TASK_ANY_FAILURES UINT32_MAX /* max_failures: never stop early */
#define TASK_ALL_AT_ONCE  0u         /* window: no limit of its own */

enum task_kind {
	TASK_DEPLOY,
	TASK_RUN,
	TASK_HEALTH,
	TASK_KIND_COUNT
};

enum task_state {
	TASK_QUEUED,
	TASK_RUNNING,
	TASK_CANCELLING, /* somebody asked, or its deadline passed */
	TASK_SUCCEEDED,
	TASK_FAILED,
	TASK_CANCELLED,
	TASK_STATE_COUNT
};

enum action_type {
	ACTION_TYPE_SCRIPT,
	ACTION_TYPE_STAGE,    /* idempotent: asked again as often as needed */
	ACTION_TYPE_ACTIVATE, /* as a script: a ticket that lasts */
	ACTION_TYPE_HEALTH,   /* idempotent */
	ACTION_TYPE_COUNT
};

enum run_state {
	RUN_WAITING,
	RUN_STARTING, /* a command went out, or waits to be sent again */
	RUN_RUNNING,  /* accepted by the machine */
	RUN_SUCCEEDED,
	RUN_FAILED,
	RUN_CANCELLED,
	RUN_UNKNOWN, /* nobody can know */
	RUN_SKIPPED, /* never started and never will be */
	RUN_STATE_COUNT
};

/* How it goes on after a run that did not succeed. */
enum run_decision {
	DECISION_NONE,     /* as its state says */
	DECISION_WAITING,  /* a person is asked */
	DECISION_RETRY,    /* another attempt is due */
	DECISION_IGNORED,  /* the machine goes on as if it had succeeded */
	DECISION_EXCLUDED, /* the machine is out of the task */
	DECISION_COUNT
};

/* What a person may say to a task that waits. */
enum task_verb {
	VERB_RETRY,
	VERB_IGNORE,
	VERB_FAIL, /* this machine has failed */
	VERB_EXCLUDE,
	VERB_APPROVE,
	VERB_REJECT,
	VERB_SUCCEEDED, /* of a run in unknown: how it ended */
	VERB_FAILED,
	VERB_COUNT
};

enum machine_health {
	MACHINE_HEALTH_UNKNOWN, /* not checked */
	MACHINE_HEALTH_HEALTHY,
	MACHINE_HEALTH_WARNINGS,
	MACHINE_HEALTH_UNHEALTHY,
	MACHINE_HEALTH_UNAVAILABLE,
	MACHINE_HEALTH_COUNT
};

/* ---- the plan: fixed when the task is made, borrowed by its readers ---- */

struct task_machine {
	char id[TASK_MACHINE_SIZE];
	char name[TASK_MACHINE_SIZE]; /* for people; may equal id */
};

struct task_action {
	char name[TASK_NAME_SIZE];
	enum action_type type;
	uint64_t timeout_ms; /* of one run once accepted; 0: none */
	uint64_t queue_ms;   /* how long delivery may be tried; 0: once */
	uint32_t payload;    /* index into the planner's payloads */
	uint32_t retries;    /* attempts by itself after a failure */
	bool rerun_safe;     /* also when nobody knows how it ended */
};

struct task_block {
	char name[TASK_NAME_SIZE];
	/* Not "": a person is asked this; no targets and no actions. */
	char approve[TASK_ASK_SIZE];
	uint32_t window;       /* machines inside at a time */
	uint32_t max_failures; /* more failed machines: nobody else enters */
	uint32_t action_count;
	struct task_action *actions;
	uint32_t target_count;
	uint32_t *targets; /* indexes into task_plan.machines */
};

struct task_plan {
	uint64_t number; /* "task-<number>" */
	enum task_kind kind;
	uint64_t deadline_ms;      /* absolute; 0: none */
	uint64_t limit_ms;         /* from its start; 0: none */
	bool guided;               /* a failure waits for a person */
	char lane[TASK_LANE_SIZE]; /* tasks of one lane run one after the
	                            * other, by number; "": beside all others */
	uint32_t machine_count;
	struct task_machine *machines;
	uint32_t block_count;
	struct task_block *blocks;
};

/* ---- the rows ---- */

struct task_row {
	uint64_t number;
	enum task_state state;
	uint64_t epoch; /* goes out with every command */
	uint64_t started_ms, ended_ms;
	/* Why it failed or was cancelled; code NONE while there is nothing. */
	struct fault fault;
	/* Machines so far: done with everything, and failed. */
	uint32_t ok_count, failed_count;
	bool partial;      /* ended; some machines did well and some did not */
	uint32_t approved; /* blocks that a person has approved */
	uint32_t approval; /* 1 + the block that waits for it; 0: none */
	uint32_t waiting;  /* runs and approvals that wait for a person */
};

/* Names one run for ever; block, target and action are indexes in the plan. */
struct run_key {
	uint64_t task;
	uint32_t block, target, action;
};

struct run_row {
	struct run_key key;
	enum run_state state;
	char ticket[TASK_TICKET_SIZE]; /* "" while waiting or when skipped */
	/* A start may have reached the machine: from here on the same ticket
	 * is asked about, never thought of as not started. */
	bool sent;
	uint32_t attempt; /* from 1; 0: as 1 */
	enum run_decision decision;
	bool doubt; /* how an attempt ended is not known */
	/* Tickets of earlier attempts that may still run, or be started: the
	 * next start replaces them. */
	uint32_t former_count;
	char former[TASK_FORMER_MAX][TASK_TICKET_SIZE];
	uint32_t tries; /* commands sent so far, of this attempt */
	uint64_t starting_ms, running_ms, ended_ms;
	int32_t exit_code, signal;
	enum machine_health health; /* ACTION_TYPE_HEALTH only */
	struct fault fault;         /* last trouble or final cause */
};

/* Lower-case names as in the API and the database.  Never NULL. */
const char *task_kind_name(enum task_kind kind);
const char *task_state_name(enum task_state state);
const char *action_type_name(enum action_type type);
const char *run_state_name(enum run_state state);
const char *machine_health_name(enum machine_health state);
const char *run_decision_name(enum run_decision decision); /* NONE: "" */
const char *task_verb_name(enum task_verb verb);
/* RC_NOTFOUND: the text names none. */
MUST_CHECK enum rc task_kind_parse(const char *name, enum task_kind *out);
MUST_CHECK enum rc task_state_parse(const char *name, enum task_state *out);
MUST_CHECK enum rc action_type_parse(const char *name, enum action_type *out);
MUST_CHECK enum rc run_state_parse(const char *name, enum run_state *out);
MUST_CHECK enum rc machine_health_parse(
    const char *name, enum machine_health *out);

MUST_CHECK enum rc run_decision_parse(const char *name, enum run_decision *out);
MUST_CHECK enum rc task_verb_parse(const char *name, enum task_verb *out);

/* Of a run: may there be another attempt, ever? */
bool run_may_retry(uint32_t attempt, uint32_t former_count);

/* May it not change any more? */
bool task_state_is_final(enum task_state state);
bool run_state_is_final(enum run_state state);
/* The tables of allowed edges. */
bool task_state_may_become(enum task_state from, enum task_state to);
bool run_state_may_become(enum run_state from, enum run_state to);

/* A deep copy in one owner's hands; RC_NOMEM leaves *out untouched. */
MUST_CHECK enum rc task_plan_copy(
    const struct task_plan *plan, struct task_plan **out);
void task_plan_free(struct task_plan *plan); /* NULL is fine */
/*
 * Are counts, indexes and names in order?  RC_LIMIT or RC_PROTO with the
 * fault (may be NULL) naming what is wrong.
 */
MUST_CHECK enum rc task_plan_check(
    const struct task_plan *plan, struct fault *fault);

#endif

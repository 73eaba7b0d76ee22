/*
 * state.h - the engine's own structs, and the functions that change them.
 * Only for the .c files of this directory.
 *
 * target.c moves one machine through one block; decide.c says how it goes on
 * after a run; flow.c moves a task through its blocks; facts.c turns facts and
 * expired timers into calls of those; load.c builds a task from its rows;
 * engine.c is the public side.
 *
 * Phase of a target (of its current run):
 *
 *     idle -> ready -> asked -> following -> idle (ended) -> ready ...
 *               ^        |         |
 *               +-- back-off <-----+        any but idle -> cancelling -> idle
 *
 * A target that waits for a person is idle inside its block.
 */
#ifndef SERVER_ENGINE_STATE_H
#define SERVER_ENGINE_STATE_H

#include "server/engine/engine.h"
#include "server/engine/timers.h"

#include <sys/queue.h>

#define ENGINE_BUCKETS 256u

struct task;
struct block;
struct target;

/* Could the machine have seen a start with this ticket? */
enum sent {
	SENT_NO,
	SENT_ASKED, /* one is on its way */
	SENT_MAYBE, /* yes, from now on */
};

enum phase {
	PHASE_IDLE,       /* outside, or done */
	PHASE_READY,      /* wants a place under max_in_flight */
	PHASE_ASKED,      /* start, stage or health went out */
	PHASE_BACKOFF,    /* not reached; waits to try again */
	PHASE_FOLLOWING,  /* accepted; waits for the result */
	PHASE_CANCELLING, /* waits for the machine to confirm */
	PHASE_COUNT
};

enum place {
	PLACE_OUTSIDE, /* has not entered the block */
	PLACE_INSIDE,
	PLACE_DONE,
};

struct run {
	struct target *target;
	uint32_t action;
	enum run_state state;
	enum sent sent;
	uint32_t asked; /* bit per engine_command_type; != 0: in asked list */
	bool changed;   /* in changed list */
	char ticket[TASK_TICKET_SIZE];
	uint32_t attempt; /* from 1 */
	enum run_decision decision;
	bool doubt;
	uint8_t former_count;
	char former[TASK_FORMER_MAX][TASK_TICKET_SIZE];
	uint32_t tries;
	uint64_t starting_ms, running_ms, ended_ms;
	int32_t exit_code, signal;
	enum machine_health health;
	TAILQ_ENTRY(run) asked_link, changed_link;
};

struct target {
	struct timer timer; /* first: facts.c goes from timer to target */
	struct block *block;
	uint32_t index;   /* in the plan's block */
	uint32_t current; /* action it is at; action_count when done */
	enum place place;
	enum phase phase;
	uint32_t retries;  /* in a row without an answer */
	uint64_t again_ms; /* BACKOFF, CANCELLING: when to ask again */
	uint64_t limit_ms; /* when this phase is over at the latest */
	/* Last trouble, and whose: runs before `fault_action` had none. */
	struct fault fault;
	uint32_t fault_action;
	struct run *runs; /* one per action; part of block->runs */
	TAILQ_ENTRY(target) ready_link;
};

TAILQ_HEAD(target_list, target);
TAILQ_HEAD(run_list, run);
TAILQ_HEAD(task_list, task);

struct block {
	struct task *task;
	const struct task_block *plan;
	uint32_t index;
	uint32_t approvals; /* blocks before it that ask a person */
	uint32_t next;      /* first target that has not entered */
	uint32_t inside;    /* targets inside now */
	uint32_t failures;  /* targets that failed here */
	struct target *targets;
	struct run *runs;
};

/* What became of a machine over the whole task. */
enum machine_fate {
	FATE_OPEN,
	FATE_OK,
	FATE_FAILED,
	FATE_CUT,      /* stopped before its last action, without a failure */
	FATE_EXCLUDED, /* a person took it out */
};

struct machine {
	enum machine_fate fate;
	uint32_t open_targets; /* blocks that it still has to go through */
};

struct task {
	struct task_plan *plan;
	struct task_row row;
	bool changed; /* in changed list */
	bool fresh;   /* added, not yet resumed by a tick */
	struct block *blocks;
	uint32_t current; /* block that it is at */
	struct machine *machines;
	uint32_t unknown_count, cut_count; /* targets */
	uint32_t excluded_count;
	struct target_list ready; /* in the engine's list if filled */
	size_t timer_room;
	TAILQ_ENTRY(task) link, bucket_link, ready_link, changed_link;
};

struct engine {
	struct engine_limits limits;
	struct engine_random *random;
	struct timers timers;
	size_t timer_room; /* sum of the tasks' */
	uint32_t in_flight;
	bool lanes_moved; /* a queued task may have become free to run */
	struct task_list tasks, ready, changed_tasks;
	struct run_list asked, changed_runs;
	struct task_list buckets[ENGINE_BUCKETS];
};

/* ---- small things ---- */

static inline struct run *target_run(const struct target *t)
{
	return &t->runs[t->current];
}

static inline const struct task_action *run_action(const struct run *r)
{
	return &r->target->block->plan->actions[r->action];
}

static inline bool action_lasts(const struct task_action *action)
{
	return action->type == ACTION_TYPE_SCRIPT ||
	       action->type == ACTION_TYPE_ACTIVATE;
}

static inline uint64_t time_add(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* ---- target.c ---- */

void task_touch(struct engine *e, struct task *task);
void run_touch(struct engine *e, struct run *r);
void run_ask(struct engine *e, struct run *r, enum engine_command_type type);
/* Take it back if it was not handed out yet. */
void run_unask(struct engine *e, struct run *r, enum engine_command_type type);
/* Changes a run's state along the edges of its table.  Beside them only another
 * attempt begins anew (run_begin()), and a person resolves what is unknown. */
void run_enter(
    struct engine *e, struct run *r, enum run_state next, uint64_t now_ms);
/* The only place that changes a target's phase; clears its timer. */
void target_move(struct engine *e, struct target *t, enum phase next);
void target_arm(
    struct engine *e, struct target *t, uint64_t again_ms, uint64_t limit_ms);
/* How long to wait before asking once more; longer each time. */
uint64_t target_back_off_ms(struct engine *e, struct target *t);
/* The last trouble of the current run; none: NULL. */
void target_blame(struct target *t, const struct fault *fault);
/* READY -> ASKED: hand out the command of the current run. */
void target_start(struct engine *e, struct target *t, uint64_t now_ms);
/* The machine has it: FOLLOWING, or on with CANCELLING. */
void target_follow(struct engine *e, struct target *t, uint64_t now_ms);
/* Not reached: try again later, or give up. */
void target_retry(struct engine *e, struct target *t, uint64_t now_ms);
/* End the current run without the machine's word where that is possible, else
 * ask it to cancel. */
void target_give_up(struct engine *e, struct target *t, uint64_t now_ms);
/* The current attempt ended; decide.c says how it goes on. */
void target_end_run(
    struct engine *e, struct target *t, enum run_state state, uint64_t now_ms);
/* The last attempt of the current run ended: leave the block. */
void target_leave(
    struct engine *e, struct target *t, enum run_state last, uint64_t now_ms);
/* Skip what is left of this target. */
void target_skip_rest(struct engine *e, struct target *t, uint64_t now_ms);

/* ---- decide.c ---- */

/* The only place that changes a run's decision. */
void run_decide(struct engine *e, struct run *r, enum run_decision next);
/* Its ticket may still run, or be started, whatever we call it now. */
void run_leave_former(struct run *r);
/* The machine said how this attempt ended, so it replaced the earlier ones. */
void run_settle_former(struct run *r);
/* An attempt was made: the first, or one more. */
void run_begin(struct engine *e, struct run *r, uint64_t now_ms);
/* The current run has ended: next action, another attempt, a person, or out. */
void target_go_on(struct engine *e, struct target *t, uint64_t now_ms);
/* It waits for a person or for another attempt: neither will come. */
void target_undecide(struct engine *e, struct target *t, uint64_t now_ms);
/* FACT_DECISION. */
bool task_decide(
    struct engine *e, const struct engine_fact *fact, uint64_t now_ms);

/* ---- flow.c ---- */

/* The only place that changes a task's state. */
void task_enter(
    struct engine *e, struct task *task, enum task_state next, uint64_t now_ms);
/* Let machines enter, go to the next block, or end the task. */
void task_advance(struct engine *e, struct task *task, uint64_t now_ms);
/* Start, or go on after a restart. */
void task_resume(struct engine *e, struct task *task, uint64_t now_ms);
void task_cancel(struct engine *e, struct task *task, const struct fault *why,
    uint64_t now_ms);
/* A target is done: counts it. */
void task_target_done(struct engine *e, struct target *t, enum run_state last);

/* ---- facts.c ---- */

void target_expire(struct engine *e, struct target *t, uint64_t now_ms);

/* ---- load.c ---- */

MUST_CHECK enum rc task_build(const struct task_plan *plan,
    const struct task_row *row, const struct run_row *runs, size_t run_count,
    struct task **out, struct fault *fault);
void task_destroy(struct task *task); /* NULL is fine */

/* ---- engine.c ---- */

struct task *engine_find(const struct engine *e, uint64_t number);

#endif

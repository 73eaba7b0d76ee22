/*
 * decision.h - what people decide about tasks that wait for them, and about
 * runs of which nobody knows how they ended.  SQL thread only.
 *
 * A decision names the attempt that it is about, and each attempt is decided
 * at most once while its task goes on: a decision is a fact that may be told to
 * the engine as often as need be.  After the end, how an attempt in unknown
 * ended takes the place of what was decided about it.
 */
#ifndef SERVER_STORE_DECISION_H
#define SERVER_STORE_DECISION_H

#include "server/store/task.h"

#define STORE_NOTE_SIZE 512
/* Runs that one decision may be about. */
#define STORE_DECISIONS_MAX 1000u

struct store_decision {
	struct run_key key; /* an approval: task and block */
	uint32_t attempt;   /* 0: an approval */
	enum task_verb verb;
	char who[STORE_WHO_SIZE];
	char note[STORE_NOTE_SIZE]; /* "": none */
	uint64_t at_ms;
};

/* All about a task, in their order.  free(*rows). */
MUST_CHECK enum rc store_decision_list(struct db *db, uint64_t number,
    struct store_decision **rows, size_t *count);
/* Those that may not have come to the engine: what they are about waits. */
MUST_CHECK enum rc store_decision_open(struct db *db, uint64_t number,
    struct store_decision **rows, size_t *count);
/* The newest, STORE_DECISIONS_SHOWN at most; *total: how many there are. */
#define STORE_DECISIONS_SHOWN 100u
MUST_CHECK enum rc store_decision_last(struct db *db, uint64_t number,
    struct store_decision **rows, size_t *count, uint64_t *total);

/* Which runs, what, and by whom. */
struct store_verdict {
	uint64_t number; /* the task */
	enum task_verb verb;
	const char *machine; /* name or id; NULL: any */
	const char *step;    /* NULL: any */
	const char *who;
	const char *note; /* NULL: none */
	uint64_t at_ms;
};
/*
 * Write it down for every run that waits and fits and is not decided, or for
 * the approval that the task waits for; *count: how many, STORE_DECISIONS_MAX
 * at most.  RC_STATE: none waits, or it cannot be (a retry too many; resolving
 * what is known), or all of it is decided already.
 */
MUST_CHECK enum rc store_decide(struct db *db, const struct store_verdict *v,
    uint32_t *count, struct fault *fault);
/*
 * VERB_SUCCEEDED or VERB_FAILED: how runs in unknown ended, in the person's
 * word.  Of a task that goes on: as store_decide().  Of one that has ended the
 * rows are corrected here, and a task in which nothing else went wrong has
 * succeeded; *ended says which.
 */
MUST_CHECK enum rc store_resolve(struct db *db, const struct store_verdict *v,
    uint32_t *count, bool *ended, struct fault *fault);
/* Runs that a verdict would still be about, after it. */
MUST_CHECK enum rc store_verdict_left(
    struct db *db, const struct store_verdict *v, bool ended, uint32_t *left);

/* What a task waits for.  Of one that has ended: its runs in unknown. */
struct store_waiting {
	bool approval; /* only block and text are set */
	struct store_run run;
	char block[TASK_NAME_SIZE];
	char text[TASK_ASK_SIZE]; /* what is to be approved */
};
/* At most limit; free(*rows). */
MUST_CHECK enum rc store_waiting_list(struct db *db,
    const struct store_task *task, uint32_t limit, struct store_waiting **rows,
    size_t *count);

#endif

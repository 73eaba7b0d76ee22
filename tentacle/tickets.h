/*
 * tickets.h - which runs this machine knows, and what may be answered to a
 * request about one.  No I/O: decisions are pure, facts are journal records.
 *
 *     tickets_apply()        every record of the journal, at start and later
 *     tickets_judge_start()  -> a plan: refuse, answer from what is known, or
 *     tickets_judge_cancel()    accept; with the records to sync first
 *
 *              ACCEPTED -> EXEC -> [PASSED -> EXEC] -> ENDED -> FORGOTTEN
 *     unknown -> TOMBSTONE (cancelled or replaced before it came)
 *
 * A script is started at most once per ticket: a ticket known in any way is
 * never accepted again.  Those of tasks that are over for the server (its low
 * water mark) may be forgotten: from then on no order for such a task is taken.
 * No clock decides about that.  One thread.
 */
#ifndef TENTACLE_TICKETS_H
#define TENTACLE_TICKETS_H

#include "proto/message_deploy.h"
#include "tentacle/journal_record.h"

struct ticket_limits {
	size_t open_max;  /* accepted or running; default 64 */
	size_t known_max; /* remembered, tombstones included; default 200000.
	                   * Cancels are taken up to twice as many. */
};

#define TICKET_LIMITS_DEFAULT                                                  \
	{                                                                      \
		.open_max = 64, .known_max = 200000                            \
	}

/* One ticket as the journal knows it.  Changed only by tickets_apply(). */
struct ticket {
	char id[ID_SIZE];
	enum ticket_state state; /* unknown: it ended so, nobody can know how */
	bool ended;
	bool forgotten;        /* the server has the result */
	bool tombstone;        /* was never accepted */
	bool unlocked;         /* a person took its lock away */
	enum run_phase exec;   /* its script may be running; PHASE_NONE: none */
	enum run_phase passed; /* the last script that ended well */
	uint64_t accepted_ms, changed_ms; /* unix time */
	struct journal_accepted accepted; /* without supersedes */
	struct journal_result result;     /* once ended */
	struct ticket *next;              /* of tickets.c */
};

struct floor;
struct tickets; /* opaque */

MUST_CHECK enum rc tickets_new(
    const struct ticket_limits *limits, struct tickets **out);
void tickets_free(struct tickets *t);

/*
 * Take a record in: from the journal at start, or after its sync.  RC_PROTO:
 * it contradicts what is known (a record about a ticket never accepted).
 */
MUST_CHECK enum rc tickets_apply(
    struct tickets *t, const struct journal_record *r);

/* NULL: not known.  Valid until the next tickets_apply(). */
const struct ticket *tickets_find(const struct tickets *t, const char *id);
/* Accepted or running. */
size_t tickets_open(const struct tickets *t);
/* Ended, and the server has not said that it knows. */
size_t tickets_ended(const struct tickets *t);
/* All that are known, one after the other, in no order; begin with NULL. */
const struct ticket *tickets_next(
    const struct tickets *t, const struct ticket *after);

/*
 * May a server of this life give orders?  RC_DENIED with REASON_SUPERSEDED: a
 * newer one has been here.  RC_NOTFOUND: it is newer: journal it first.
 */
MUST_CHECK enum rc tickets_check_incarnation(const struct tickets *t,
    const struct msg_incarnation *in, struct fault *fault);

enum ticket_verdict {
	VERDICT_REFUSE, /* plan.fault says why; nothing changes */
	VERDICT_KNOWN,  /* answer from plan.ticket; never start it */
	VERDICT_ACCEPT  /* start: run it; cancel: a tombstone was left */
};

#define PLAN_RECORDS_MAX 3

struct ticket_plan {
	enum ticket_verdict verdict;
	const struct ticket *ticket; /* VERDICT_KNOWN */
	struct fault fault;          /* VERDICT_REFUSE */
	/* To append, sync and apply before the answer, whatever the verdict. */
	size_t record_count;
	struct journal_record records[PLAN_RECORDS_MAX];
};

/* What we are when an order comes. */
struct ticket_side {
	const char *journal; /* id */
	uint64_t counter;
	uint64_t now_ms;            /* unix time */
	uint8_t spec[DIGEST_BYTES]; /* SHA-256 of the spec that is kept */
};

/*
 * The checks in order: journal, incarnation, epoch, known ticket, superseded
 * tickets that ran, deployment number, limits.
 */
void tickets_judge_start(const struct tickets *t, const struct msg_start *m,
    const struct ticket_side *side, struct ticket_plan *plan);
/*
 * KNOWN: plan.ticket is as it was; when accepted and never started, the plan's
 * record ends it as cancelled; when running, the caller ends the run.
 */
void tickets_judge_cancel(const struct tickets *t, const struct msg_cancel *m,
    uint64_t now_ms, struct ticket_plan *plan);

/* KNOWN: whoever follows owns the task, or REFUSE: somebody does who came
 * later. */
void tickets_judge_attach(const struct tickets *t, const struct msg_attach *m,
    uint64_t now_ms, struct ticket_plan *plan);

/*
 * The server says that tasks below this number are over.  True: that is news,
 * and *r is to be committed.
 */
bool tickets_judge_settled(const struct tickets *t, uint64_t below,
    uint64_t now_ms, struct journal_record *r);
/* May the owner of this epoch say something of the task?  Else *fault. */
bool tickets_owner_fits(const struct tickets *t, const char *task,
    uint64_t epoch, struct fault *fault);

/* Forget tombstones and forgotten tickets of tasks that are over. */
void tickets_expire(struct tickets *t);

/*
 * Everything known as records, for compaction; *d begins as all zero and t
 * must not change meanwhile.  RC_NOTFOUND: that was all.
 */
struct ticket_dump {
	const struct ticket *ticket;
	unsigned stage;
	const struct floor *floor; /* of tickets.c */
};
MUST_CHECK enum rc tickets_dump(
    const struct tickets *t, struct ticket_dump *d, struct journal_record *r);

#endif

/* What must hold, always and at the end. */
#include "test/sim/sim.h"

#include <stdio.h>
#include <string.h>

struct deed *deed_of(struct world *w, const char *ticket)
{
	for (size_t i = 0; i < w->deed_count; i++) {
		if (strcmp(w->deeds[i].ticket, ticket) == 0)
			return &w->deeds[i];
	}
	return NULL;
}

/* Not memcmp(): there is padding. */
bool is_same_run(const struct run_key *a, const struct run_key *b)
{
	return a->task == b->task && a->block == b->block &&
	       a->target == b->target && a->action == b->action;
}

static const struct task_action *action_at(
    const struct book *b, const struct run_key *key)
{
	return &b->plan.blocks[key->block].actions[key->action];
}

/* May a second ticket of a run begin after this one did? */
static bool may_begin_after(
    struct world *w, const struct deed *earlier, const struct deed *d)
{
	const struct book *b = book_of(w, d->key.task);
	const struct task_action *action = action_at(b, &d->key);

	if (b->people_retried[run_index(&d->key)] > 0 || action->rerun_safe)
		return true;
	/* It may have been killed at our own time limit. */
	return action->retries > 0 && earlier->state == DEED_ENDED &&
	       earlier->truth != RUN_SUCCEEDED;
}

void check_begin(struct world *w, const struct deed *d)
{
	if (d->executions > 0)
		sim_break(
		    w, "the script of ticket %.6s is started again", d->ticket);
	for (size_t i = 0; i < w->deed_count; i++) {
		const struct deed *other = &w->deeds[i];

		if (other == d || !is_same_run(&other->key, &d->key) ||
		    other->executions == 0)
			continue;
		if (other->state == DEED_RUNS)
			sim_break(w,
			    "ticket %.6s begins while %.6s of the same run "
			    "is running",
			    d->ticket, other->ticket);
		else if (other->attempt > d->attempt)
			sim_break(w, "ticket %.6s begins after a later one",
			    d->ticket);
		else if (!may_begin_after(w, other, d))
			sim_break(w,
			    "ticket %.6s begins after %.6s, and nobody said "
			    "that it may",
			    d->ticket, other->ticket);
	}
}

void check_commit(struct world *w, struct book *b, const struct run_row *next)
{
	const struct run_row *old = &b->runs[run_index(&next->key)];
	const struct run_key *key = &next->key;
	bool person = old->decision == DECISION_WAITING;

	if (next->attempt > 1)
		w->out->attempts++;
	if (strstr(next->fault.text, "did not confirm") != NULL)
		b->gave_up[run_index(key)] = true;
	if (!b->has[run_index(key)] || next->attempt == old->attempt + 1)
		return;
	if (next->attempt != old->attempt)
		sim_break(w, "run %u-%u-%u of task-%llu: attempt %u after %u",
		    key->block, key->target, key->action,
		    (unsigned long long)key->task, next->attempt, old->attempt);
	if (old->ticket[0] != '\0' && strcmp(old->ticket, next->ticket) != 0)
		sim_break(w,
		    "run %u-%u-%u of task-%llu: another ticket, but "
		    "no new attempt",
		    key->block, key->target, key->action,
		    (unsigned long long)key->task);
	if (run_state_is_final(old->state) && old->state != next->state &&
	    !(person && old->state == RUN_UNKNOWN))
		sim_break(w, "run %u-%u-%u of task-%llu: %s became %s",
		    key->block, key->target, key->action,
		    (unsigned long long)key->task, run_state_name(old->state),
		    run_state_name(next->state));
}

/* ---- the end ---- */

struct truth {
	const struct deed *last; /* of the row's ticket */
	uint32_t begun;          /* tickets whose script began */
	bool lost;               /* one of them died with the power */
};

static struct truth truth_of(struct world *w, const struct run_row *row)
{
	struct truth t = { .last = deed_of(w, row->ticket) };

	for (size_t i = 0; i < w->deed_count; i++) {
		const struct deed *d = &w->deeds[i];

		if (!is_same_run(&d->key, &row->key))
			continue;
		t.begun += d->executions > 0;
		t.lost = t.lost || d->state == DEED_LOST;
	}
	return t;
}

/* NULL: the row says what was. */
static const char *lie_of(
    struct world *w, const struct book *b, const struct run_row *row)
{
	const struct truth t = truth_of(w, row);
	const struct deed *d = t.last;
	bool ran = d != NULL && d->executions > 0;

	switch (row->state) {
	case RUN_SUCCEEDED:
		return ran && d->state == DEED_ENDED &&
		               d->truth == RUN_SUCCEEDED
		           ? NULL
		           : "its script did not succeed";
	case RUN_FAILED:
		if (!ran)
			return NULL; /* never reached, or refused */
		if (d->state == DEED_LOST)
			return "nobody can know that";
		if (d->truth == RUN_SUCCEEDED)
			return "its script succeeded";
		if (d->truth == RUN_FAILED && row->exit_code != d->exit_code)
			return "its exit code was another";
		return NULL;
	case RUN_CANCELLED:
		return !ran || d->truth == RUN_CANCELLED
		           ? NULL
		           : "its script ended by itself";
	case RUN_UNKNOWN:
		w->out->unknowns++;
		return t.lost || b->gave_up[run_index(&row->key)]
		           ? NULL
		           : "nothing explains that";
	case RUN_SKIPPED:
		return t.begun == 0 ? NULL : "and yet it ran";
	case RUN_WAITING:
	case RUN_STARTING:
	case RUN_RUNNING:
	case RUN_STATE_COUNT:
		break;
	}
	return "the task has ended before";
}

static bool lasts(const struct task_action *action)
{
	return action->type == ACTION_TYPE_SCRIPT ||
	       action->type == ACTION_TYPE_ACTIVATE;
}

static void check_book(struct world *w, const struct book *b)
{
	if (!task_state_is_final(b->row.state))
		sim_break(w, "task-%llu never ends: %s",
		    (unsigned long long)b->plan.number,
		    task_state_name(b->row.state));
	if (b->row.waiting != 0 || b->row.approval != 0)
		sim_break(w, "task-%llu has ended, and waits for people",
		    (unsigned long long)b->plan.number);
	for (size_t i = 0; i < SIM_RUNS; i++) {
		const struct run_row *row = &b->runs[i];
		const char *lie;

		if (!b->has[i] || !lasts(action_at(b, &row->key)) ||
		    b->people_resolved[i])
			continue;
		lie = lie_of(w, b, row);
		if (lie != NULL)
			sim_break(w,
			    "run %u-%u-%u of task-%llu (%.6s, attempt %u) is "
			    "called %s: %s (%.120s)",
			    row->key.block, row->key.target, row->key.action,
			    (unsigned long long)row->key.task, row->ticket,
			    row->attempt, run_state_name(row->state), lie,
			    row->fault.text);
	}
}

void check_end(struct world *w)
{
	for (uint32_t i = 0; i < w->book_count; i++)
		check_book(w, &w->books[i]);
}

#include "tentacle/ledger.h"

#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMPACT_MIN      1048576  /* bytes */
#define RESERVE_A_TICKET 16384ull /* its records and their frames */

struct ledger {
	struct journal *journal;
	struct tickets *tickets;
	uint64_t compact_at; /* bytes */
};

static uint64_t now_ms(void)
{
	int64_t now = clock_wall_ms();

	return now > 0 ? (uint64_t)now : 0;
}

static enum rc replay(struct ledger *l, struct fault *fault)
{
	struct journal_record *r = calloc(1, sizeof(*r));
	enum rc rc = RC_OK;

	if (r == NULL)
		return RC_NOMEM;
	while (rc == RC_OK) {
		rc = journal_replay(l->journal, r);
		if (rc == RC_OK)
			rc = tickets_apply(l->tickets, r);
		else if (rc == RC_NOTFOUND)
			break;
	}
	free(r);
	if (rc == RC_PROTO)
		fault_set(fault, REASON_JOURNAL, "",
		    "the journal contradicts itself");
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc ledger_open(const char *dir, const struct ticket_limits *limits,
    struct ledger **out, struct fault *fault)
{
	struct ledger *l = calloc(1, sizeof(*l));
	enum rc rc;

	if (l == NULL)
		return RC_NOMEM;
	l->compact_at = COMPACT_MIN;
	rc = tickets_new(limits, &l->tickets);
	if (rc == RC_OK)
		rc = journal_open(dir, &l->journal, fault);
	if (rc == RC_OK)
		rc = replay(l, fault);
	if (rc != RC_OK) {
		ledger_close(l);
		return rc;
	}
	if (journal_torn(l->journal) > 0)
		log_warn("journal", journal_id(l->journal),
		    "a torn end of %llu bytes was cut off",
		    (unsigned long long)journal_torn(l->journal));
	*out = l;
	return RC_OK;
}

void ledger_close(struct ledger *l)
{
	if (l == NULL)
		return;
	journal_close(l->journal);
	tickets_free(l->tickets);
	free(l);
}

const struct tickets *ledger_tickets(const struct ledger *l)
{
	return l->tickets;
}

const char *ledger_id(const struct ledger *l)
{
	return journal_id(l->journal);
}

uint64_t ledger_counter(const struct ledger *l)
{
	return journal_counter(l->journal);
}

bool ledger_has_failed(const struct ledger *l)
{
	return journal_has_failed(l->journal);
}

/* Forget what is old, write what is left; trying again later is fine. */
static void compact(struct ledger *l)
{
	struct journal_record *r = calloc(1, sizeof(*r));
	struct ticket_dump dump = { 0 };
	struct fault fault = { 0 };
	enum rc rc = RC_NOMEM;

	if (r != NULL)
		rc = journal_rewrite_begin(l->journal);
	if (rc == RC_OK) {
		tickets_expire(l->tickets);
		while (rc == RC_OK) {
			rc = tickets_dump(l->tickets, &dump, r);
			if (rc == RC_OK)
				rc = journal_append(l->journal, r);
		}
		if (rc == RC_NOTFOUND)
			rc = journal_rewrite_end(l->journal, &fault);
		else
			journal_rewrite_abandon(l->journal);
	}
	if (rc != RC_OK)
		log_warn("journal", journal_id(l->journal),
		    "could not be compacted: %s", fault.text);
	free(r);
	l->compact_at = 2 * journal_size(l->journal);
	if (l->compact_at < COMPACT_MIN)
		l->compact_at = COMPACT_MIN;
}

static enum rc commit(struct ledger *l, const struct journal_record *records,
    size_t count, bool synced, struct fault *fault)
{
	enum rc rc = RC_OK;

	if (count == 0)
		return RC_OK;
	for (size_t i = 0; rc == RC_OK && i < count; i++)
		rc = journal_append(l->journal, &records[i]);
	if (rc != RC_OK) {
		journal_drop(l->journal);
		fault_set(fault, REASON_INTERNAL, "",
		    "the journal does not take a record: %s", rc_name(rc));
		return rc;
	}
	rc = synced ? journal_sync(l->journal, fault)
	            : journal_write(l->journal, fault);
	for (size_t i = 0; rc == RC_OK && i < count; i++)
		rc = tickets_apply(l->tickets, &records[i]);
	if (rc == RC_OK && journal_size(l->journal) >= l->compact_at)
		compact(l);
	return rc;
}

enum rc ledger_commit(struct ledger *l, const struct journal_record *records,
    size_t count, struct fault *fault)
{
	return commit(l, records, count, true, fault);
}

enum rc ledger_reserve(struct ledger *l, struct fault *fault)
{
	return journal_reserve(l->journal,
	    RESERVE_A_TICKET * (tickets_open(l->tickets) + 1), fault);
}

static enum rc commit_one(struct ledger *l, struct journal_record *r,
    const char *ticket, struct fault *fault)
{
	(void)snprintf(r->ticket, sizeof(r->ticket), "%s", ticket);
	r->at_ms = now_ms();
	return ledger_commit(l, r, 1, fault);
}

enum rc ledger_mark(struct ledger *l, const char *ticket,
    enum journal_type type, enum run_phase phase, struct fault *fault)
{
	struct journal_record r = { .type = type };

	/* FORGOTTEN has no phase. */
	if (type == JOURNAL_EXEC || type == JOURNAL_PASSED)
		r.phase = phase;
	return commit_one(l, &r, ticket, fault);
}

enum rc ledger_forget(struct ledger *l, const char *ticket, struct fault *fault)
{
	struct journal_record r = { .type = JOURNAL_FORGOTTEN,
		.at_ms = now_ms() };

	(void)snprintf(r.ticket, sizeof(r.ticket), "%s", ticket);
	return commit(l, &r, 1, false, fault);
}

enum rc ledger_end(struct ledger *l, const char *ticket,
    const struct journal_result *result, struct fault *fault)
{
	struct journal_record r = { .type = JOURNAL_ENDED, .result = *result };

	return commit_one(l, &r, ticket, fault);
}

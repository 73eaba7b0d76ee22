/*
 * ledger.h - journal and index as one: a fact is on disk before it counts.
 *
 * After a failure of the disk every commit fails; end the program then.  One
 * thread.
 */
#ifndef TENTACLE_LEDGER_H
#define TENTACLE_LEDGER_H

#include "tentacle/journal.h"
#include "tentacle/tickets.h"

struct ledger; /* opaque */

/*
 * Open the journal in dir and replay it.  RC_PROTO with REASON_JOURNAL: it
 * cannot be trusted (quarantine).
 */
MUST_CHECK enum rc ledger_open(const char *dir,
    const struct ticket_limits *limits, struct ledger **out,
    struct fault *fault);
void ledger_close(struct ledger *l); /* NULL is fine */

const struct tickets *ledger_tickets(const struct ledger *l);
const char *ledger_id(const struct ledger *l);
uint64_t ledger_counter(const struct ledger *l);
/* The disk failed: end the program. */
bool ledger_has_failed(const struct ledger *l);

/* Sync the records, then let them count.  Compacts when it is time to. */
MUST_CHECK enum rc ledger_commit(struct ledger *l,
    const struct journal_record *records, size_t count, struct fault *fault);
/* Room on the disk for the records that follow when this is accepted. */
MUST_CHECK enum rc ledger_reserve(struct ledger *l, struct fault *fault);

/* Records of one ticket, at this moment of the wall clock. */
MUST_CHECK enum rc ledger_mark(struct ledger *l, const char *ticket,
    enum journal_type type, enum run_phase phase, struct fault *fault);
/* Not synced: when the machine stops, the server has to say it once more. */
MUST_CHECK enum rc ledger_forget(
    struct ledger *l, const char *ticket, struct fault *fault);
MUST_CHECK enum rc ledger_end(struct ledger *l, const char *ticket,
    const struct journal_result *result, struct fault *fault);

#endif

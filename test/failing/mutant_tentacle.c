/*
 * Mutant no-dedupe: an order for a ticket that is known is taken for a new one.
 * Its ticket is not closed again, but its script runs.
 */
#include "common/random.h"
#include "tentacle/tickets.h"
#include "test/failing/failing.h"

#include <stdint.h>
#include <string.h>

void __real_tickets_judge_start(const struct tickets *t,
    const struct msg_start *m, const struct ticket_side *side,
    struct ticket_plan *plan);
void __wrap_tickets_judge_start(const struct tickets *t,
    const struct msg_start *m, const struct ticket_side *side,
    struct ticket_plan *plan);

void __wrap_tickets_judge_start(const struct tickets *t,
    const struct msg_start *m, const struct ticket_side *side,
    struct ticket_plan *plan)
{
	struct msg_start again = *m;
	struct ticket *known;

	__real_tickets_judge_start(t, m, side, plan);
	if (plan->verdict != VERDICT_KNOWN || !failing_has_mutant("no-dedupe"))
		return;
	/* As if nothing had been done for it. */
	known = (struct ticket *)(uintptr_t)plan->ticket;
	memcpy(known->accepted.spec, side->spec, sizeof(side->spec));
	known->exec = known->passed = PHASE_NONE;
	random_hex(again.ticket, ID_BYTES);
	again.supersedes.count = 0;
	__real_tickets_judge_start(t, &again, side, plan);
}

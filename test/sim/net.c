/* Orders and facts on their way. */
#include "test/sim/sim.h"

#include <string.h>

static uint64_t delay(struct world *w)
{
	if (fault_chance(w, w->chances.slow))
		return between(w, 1, 90 * SECOND);
	return between(w, 1, 50);
}

static void fill_fact(const struct order *o, struct engine_fact *fact)
{
	fact->key = o->key;
	fact->command = o->type;
	memcpy(fact->ticket, o->ticket, sizeof(fact->ticket));
}

static struct event *fact_at(struct world *w, const struct order *o,
    const struct engine_fact *fact, uint64_t at)
{
	struct event *e = event_at(w, at, EVENT_FACT);

	e->machine = o->machine;
	e->life = o->server_life;
	e->fact = *fact;
	e->order = *o;
	return e;
}

void net_break(struct world *w, const struct order *o, bool may_have_arrived)
{
	struct engine_fact fact = { .type = FACT_UNREACHABLE,
		.may_have_arrived = may_have_arrived };

	if (o->type == COMMAND_FORGET)
		return;
	/* A broken stream is always noticed, an answer may just not come. */
	if (o->type != COMMAND_ATTACH && fault_chance(w, w->chances.silent))
		return;
	fill_fact(o, &fact);
	fault_set(&fact.fault, REASON_AGENT_DOWN, "", "no link");
	(void)fact_at(w, o, &fact, w->now + between(w, 1, 30 * SECOND));
}

void net_send(struct world *w, const struct order *o)
{
	if (!w->machines[o->machine].up && chance(w, 50)) {
		net_break(w, o, false);
		return;
	}
	if (fault_chance(w, w->chances.lose)) {
		w->out->lost_messages++;
		net_break(w, o, true);
		return;
	}
	event_at(w, w->now + delay(w), EVENT_ORDER)->order = *o;
	/* A copy that was stuck somewhere.  One of a start that never arrived
	 * itself cannot be: there is one link at a time, and what is on it
	 * arrives once; net_again() has those that were taken. */
	if (o->type != COMMAND_START && fault_chance(w, w->chances.copy))
		event_at(w, w->now + between(w, 1, 90 * MINUTE), EVENT_ORDER)
		    ->order = *o;
}

void net_again(struct world *w, const struct order *o)
{
	struct event *e;

	if (o->copied || !fault_chance(w, w->chances.copy))
		return;
	e = event_at(w, w->now + between(w, 1, 90 * MINUTE), EVENT_ORDER);
	e->order = *o;
	e->order.copied = true;
}

void net_reply(struct world *w, const struct order *o, uint64_t counter,
    struct engine_fact fact)
{
	struct event *e;

	fill_fact(o, &fact);
	if (fault_chance(w, w->chances.lose)) {
		w->out->lost_messages++;
		net_break(w, o, true);
		return;
	}
	e = fact_at(w, o, &fact, w->now + delay(w));
	e->counter = counter;
	if (fault_chance(w, w->chances.copy)) {
		e = fact_at(w, o, &fact, w->now + between(w, 1, 10 * MINUTE));
		e->counter = counter;
	}
}

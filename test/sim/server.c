/* The database, the engine's loop, and people. */
#include "test/sim/sim.h"

#include <stdlib.h>
#include <string.h>

struct book *book_of(struct world *w, uint64_t number)
{
	return &w->books[number - 1];
}

size_t run_index(const struct run_key *key)
{
	return ((size_t)key->block * SIM_MACHINES + key->target) * SIM_ACTIONS +
	       key->action;
}

bool all_final(const struct world *w)
{
	for (uint32_t i = 0; i < w->book_count; i++) {
		if (!task_state_is_final(w->books[i].row.state))
			return false;
	}
	return true;
}

static uint64_t server_now(const struct world *w)
{
	return w->now + (uint64_t)w->server.skew_ms;
}

/* ---- commands out ---- */

static struct order order_of(
    const struct world *w, const struct engine_command *c)
{
	const struct server *s = &w->server;
	const struct task_block *block = &c->plan->blocks[c->key.block];
	struct run_row row;
	struct order o = { .type = c->type,
		.action = c->action->type,
		.machine = block->targets[c->key.target],
		.server_life = s->life,
		.attempt = c->attempt,
		.key = c->key,
		.epoch = c->epoch };

	memcpy(o.ticket, c->ticket, sizeof(o.ticket));
	o.counter = s->seen[o.machine];
	memcpy(o.journal, s->journals[o.machine], sizeof(o.journal));
	if (c->type == COMMAND_START &&
	    engine_run_row(s->engine, &c->key, &row) == RC_OK) {
		o.former_count = row.former_count;
		memcpy(o.former, row.former, sizeof(o.former));
	}
	return o;
}

/* As store_task_settled(). */
static uint64_t settled(const struct world *w)
{
	uint32_t i = 0;

	while (i < w->book_count && task_state_is_final(w->books[i].row.state))
		i++;
	return i + 1;
}

static void send_orders(struct world *w)
{
	struct server *s = &w->server;

	for (size_t i = 0; i < s->order_count; i++) {
		const struct order *o = &s->orders[i];
		bool lasts = o->action == ACTION_TYPE_SCRIPT ||
		             o->action == ACTION_TYPE_ACTIVATE;

		if (o->type == COMMAND_FORGET)
			s->orders[i].settled = settled(w);
		if (o->type != COMMAND_CANCEL || lasts)
			net_send(w, o);
	}
	s->order_count = 0;
}

/* ---- a turn: tick, changes, commit, commands ---- */

static void tick_at(struct world *w, uint64_t next_ms)
{
	struct server *s = &w->server;
	uint64_t at;

	if (next_ms == UINT64_MAX)
		return;
	at = next_ms - (uint64_t)s->skew_ms;
	if (at <= w->now)
		at = w->now + 1;
	if (s->tick_at > w->now && s->tick_at <= at)
		return; /* one that comes sooner is under way */
	s->tick_at = at;
	event_at(w, at, EVENT_TICK)->life = s->life;
}

static void drain(struct world *w)
{
	struct server *s = &w->server;
	struct engine_command command;
	struct engine_change change;

	while (engine_next_change(s->engine, &change)) {
		s->changes = sim_grow(s->changes, s->change_count,
		    &s->change_room, sizeof(*s->changes));
		s->changes[s->change_count++] = change;
	}
	while (engine_next_command(s->engine, &command)) {
		s->orders = sim_grow(s->orders, s->order_count, &s->order_room,
		    sizeof(*s->orders));
		s->orders[s->order_count++] = order_of(w, &command);
	}
}

static void turn(struct world *w)
{
	struct server *s = &w->server;

	if (!s->up || s->committing)
		return;
	tick_at(w, engine_tick(s->engine, server_now(w)));
	drain(w);
	if (w->options->mutant == MUTANT_SEND_EARLY)
		send_orders(w);
	if (s->change_count == 0) {
		send_orders(w);
		return;
	}
	s->committing = true;
	event_at(w, w->now + between(w, 1, 20), EVENT_COMMIT)->life = s->life;
}

static void write_rows(struct world *w)
{
	struct server *s = &w->server;

	for (size_t i = 0; i < s->change_count; i++) {
		const struct engine_change *c = &s->changes[i];
		const struct run_row *run = &c->row.run;

		if (c->type == CHANGE_TASK) {
			book_of(w, c->row.task.number)->row = c->row.task;
			continue;
		}
		check_commit(w, book_of(w, run->key.task), run);
		book_of(w, run->key.task)->runs[run_index(&run->key)] = *run;
		book_of(w, run->key.task)->has[run_index(&run->key)] = true;
	}
	s->change_count = 0;
	w->out->commits++;
}

static void server_dies(struct world *w)
{
	struct server *s = &w->server;

	if (!s->up)
		return;
	w->out->crashes++;
	sim_tell(w, "server: killed");
	engine_free(s->engine);
	s->engine = NULL;
	s->up = false;
	s->committing = false;
	s->change_count = 0;
	s->order_count = 0;
	event_at(w, w->now + between(w, 1, 60 * SECOND), EVENT_SERVER_UP);
}

static void committed(struct world *w)
{
	struct server *s = &w->server;

	s->committing = false;
	write_rows(w);
	if (fault_chance(w, w->chances.failpoint)) {
		server_dies(w); /* between the commit and what follows */
		return;
	}
	send_orders(w);
	for (uint32_t i = 0; i < w->book_count; i++) {
		if (task_state_is_final(w->books[i].row.state))
			engine_task_remove(s->engine, i + 1);
	}
	turn(w);
}

/* ---- people ---- */

static void tell_decision(struct world *w, const struct decision *d)
{
	struct engine_fact fact = { .type = FACT_DECISION,
		.key = d->key,
		.attempt = d->attempt,
		.verb = d->verb };

	fault_set(&fact.fault, REASON_NONE, "", "bob");
	(void)engine_fact(w->server.engine, &fact, server_now(w));
}

static void tell_cancel(struct world *w, uint64_t number)
{
	const struct engine_fact fact = { .type = FACT_CANCEL,
		.key = { .task = number } };

	(void)engine_fact(w->server.engine, &fact, server_now(w));
}

/* As store_decide(): each attempt once. */
static void decide(struct world *w, struct book *b, const struct decision *d)
{
	for (size_t i = 0; i < b->decision_count; i++) {
		const struct decision *old = &b->decisions[i];

		if (is_same_run(&old->key, &d->key) &&
		    old->attempt == d->attempt)
			return;
	}
	if (b->decision_count == SIM_DECISIONS) {
		sim_break(w, "people are asked for ever");
		return;
	}
	b->decisions[b->decision_count++] = *d;
	w->out->decisions++;
	sim_tell(w, "a person says %s to task-%llu, run %u-%u-%u",
	    task_verb_name(d->verb), (unsigned long long)d->key.task,
	    d->key.block, d->key.target, d->key.action);
	if (d->verb == VERB_RETRY)
		b->people_retried[run_index(&d->key)]++;
	if (d->verb == VERB_SUCCEEDED || d->verb == VERB_FAILED)
		b->people_resolved[run_index(&d->key)] = true;
	if (w->server.up)
		tell_decision(w, d);
}

static void look_at_run(
    struct world *w, struct book *b, const struct run_row *row)
{
	static const enum task_verb verbs[] = { VERB_RETRY, VERB_RETRY,
		VERB_IGNORE, VERB_FAIL, VERB_EXCLUDE, VERB_SUCCEEDED,
		VERB_FAILED };
	struct decision d = { .key = row->key, .attempt = row->attempt };

	d.verb = verbs[roll(w, sizeof(verbs) / sizeof(verbs[0]))];
	if (row->state != RUN_UNKNOWN && d.verb >= VERB_SUCCEEDED)
		d.verb = VERB_FAIL;
	if (d.verb == VERB_RETRY &&
	    (!run_may_retry(row->attempt, row->former_count) ||
		row->attempt > 8))
		d.verb = VERB_FAIL;
	decide(w, b, &d);
}

static void look_at_task(struct world *w, struct book *b)
{
	struct decision approval = { .key = { .task = b->plan.number } };

	if (b->row.approval != 0 && chance(w, 50)) {
		approval.key.block = b->row.approval - 1;
		approval.verb = chance(w, 85) ? VERB_APPROVE : VERB_REJECT;
		decide(w, b, &approval);
	}
	for (size_t i = 0; i < SIM_RUNS; i++) {
		if (b->has[i] && b->runs[i].decision == DECISION_WAITING &&
		    chance(w, 50))
			look_at_run(w, b, &b->runs[i]);
	}
}

void person_event(struct world *w, const struct event *e)
{
	if (e->type == EVENT_CANCEL) {
		struct book *b = book_of(w, e->task);

		if (task_state_is_final(b->row.state))
			return;
		sim_tell(
		    w, "task-%llu is cancelled", (unsigned long long)e->task);
		b->cancelled = true;
		if (w->server.up)
			tell_cancel(w, e->task);
		turn(w);
		return;
	}
	for (uint32_t i = 0; i < w->book_count; i++) {
		if (!task_state_is_final(w->books[i].row.state))
			look_at_task(w, &w->books[i]);
	}
	turn(w);
	if (!all_final(w))
		event_at(w, w->now + between(w, 1, 90) * SECOND, EVENT_PERSON);
}

/* ---- life ---- */

static void plan_death(struct world *w)
{
	uint64_t every = w->chances.server_every, at;

	if (every == 0)
		return;
	at = w->now + between(w, 1, 2 * every);
	if (at < w->quiet_at)
		event_at(w, at, EVENT_SERVER_DIES);
}

static void load_task(struct world *w, struct book *b)
{
	struct run_row rows[SIM_RUNS];
	struct fault fault = { .text = "" };
	size_t count = 0;

	b->row.epoch++;
	for (size_t i = 0; i < SIM_RUNS; i++) {
		if (b->has[i])
			rows[count++] = b->runs[i];
	}
	if (engine_task_add(w->server.engine, &b->plan, &b->row, rows, count,
		&fault) != RC_OK)
		sim_break(w, "task-%llu cannot be loaded: %s",
		    (unsigned long long)b->plan.number, fault.text);
	for (size_t i = 0; i < b->decision_count; i++)
		tell_decision(w, &b->decisions[i]);
	if (b->cancelled)
		tell_cancel(w, b->plan.number);
}

static void server_up(struct world *w)
{
	struct server *s = &w->server;

	s->up = true;
	s->life++;
	s->tick_at = 0;
	sim_tell(w, "server: up");
	if (engine_new(&w->limits, &w->dice.random, &s->engine) != RC_OK)
		abort();
	for (uint32_t i = 0; i < w->book_count && !w->out->broken; i++) {
		if (!task_state_is_final(w->books[i].row.state))
			load_task(w, &w->books[i]);
	}
	turn(w);
}

void server_open(struct world *w)
{
	server_up(w);
	plan_death(w);
}

void server_close(struct world *w)
{
	engine_free(w->server.engine);
	free(w->server.changes);
	free(w->server.orders);
}

/* ---- what comes ---- */

/* A broken safeguard: whatever is said of the run is taken as news. */
static void take_any_ticket(const struct world *w, struct engine_fact *fact)
{
	struct run_row row;

	if (engine_run_row(w->server.engine, &fact->key, &row) == RC_OK)
		memcpy(fact->ticket, row.ticket, sizeof(fact->ticket));
}

void server_fact(struct world *w, const struct event *e)
{
	struct server *s = &w->server;
	struct engine_fact fact = e->fact;
	struct order attach;

	if (!s->up || e->life != s->life)
		return;
	if (e->counter > s->seen[e->machine])
		s->seen[e->machine] = e->counter;
	memcpy(s->journals[e->machine], w->machines[e->machine].journal,
	    sizeof(s->journals[0]));
	if (w->options->mutant == MUTANT_ANY_TICKET)
		take_any_ticket(w, &fact);
	(void)engine_fact(s->engine, &fact, server_now(w));
	/* As the dispatcher: how it ends is then followed. */
	if (e->order.type == COMMAND_CANCEL && fact.type == FACT_ACCEPTED) {
		attach = e->order;
		attach.type = COMMAND_ATTACH;
		net_send(w, &attach);
	}
	turn(w);
}

void server_event(struct world *w, const struct event *e)
{
	struct server *s = &w->server;

	switch ((int)e->type) {
	case EVENT_SERVER_DIES:
		server_dies(w);
		plan_death(w);
		break;
	case EVENT_SERVER_UP:
		if (!s->up)
			server_up(w);
		break;
	case EVENT_COMMIT:
		if (s->up && e->life == s->life)
			committed(w);
		break;
	case EVENT_TICK:
		if (s->up && e->life == s->life)
			turn(w);
		break;
	case EVENT_CLOCK:
		s->skew_ms = (int64_t)between(w, 0, 20 * MINUTE) -
		             (int64_t)(10 * MINUTE);
		turn(w);
		if (w->now < w->quiet_at)
			event_at(w, w->now + between(w, 1, 20 * MINUTE),
			    EVENT_CLOCK);
		break;
	default:
		break;
	}
}

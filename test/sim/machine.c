/* A machine: its agent, which is the real tickets and the real journal bytes
 * on a played disk, and its guardians, who are played. */
#include "test/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DISK_MAX (4u << 20)

/* ---- the disk ---- */

static void disk_write(struct machine *m, const void *bytes, size_t len)
{
	while (m->len + len > m->room)
		m->disk = sim_grow(m->disk, m->room, &m->room, 1);
	memcpy(m->disk + m->len, bytes, len);
	m->len += len;
}

static uint64_t machine_now(const struct world *w, const struct machine *m)
{
	return w->now + (uint64_t)m->skew_ms;
}

static size_t encode(
    const struct journal_record *records, size_t count, uint8_t *out)
{
	size_t used = 0, len;

	for (size_t i = 0; i < count; i++) {
		if (journal_record_encode(&records[i], out + used, &len) !=
		    RC_OK)
			abort();
		used += len;
	}
	return used;
}

static void agent_dies(struct world *w, struct machine *m, bool power);

/* The frame is on its way to the disk, or there; and then nobody. */
static bool fails_here(struct world *w, struct machine *m)
{
	if (!fault_chance(w, w->chances.failpoint))
		return false;
	agent_dies(w, m, chance(w, 50));
	return true;
}

/* Everything known, written anew beside the old file and put in its place. */
static void compact(struct machine *m)
{
	struct journal_header header = { .version = JOURNAL_VERSION,
		.counter = m->counter };
	static struct journal_record r;
	uint8_t head[JOURNAL_HEADER_LEN], raw[JOURNAL_RECORD_MAX];
	uint8_t frame[JOURNAL_FRAME_HEAD];
	struct ticket_dump dump = { 0 };

	tickets_expire(m->tickets);
	memcpy(header.id, m->journal, sizeof(header.id));
	journal_header_encode(&header, head);
	m->len = 0;
	disk_write(m, head, sizeof(head));
	while (tickets_dump(m->tickets, &dump, &r) == RC_OK) {
		size_t len = encode(&r, 1, raw);

		m->counter++;
		journal_frame_encode(m->counter, bytes_of(raw, len), frame);
		disk_write(m, frame, sizeof(frame));
		disk_write(m, raw, len);
	}
	m->synced = m->len;
}

/* False: the agent died in the middle. */
static bool commit(struct world *w, struct machine *m,
    const struct journal_record *records, size_t count)
{
	uint8_t raw[PLAN_RECORDS_MAX * JOURNAL_RECORD_MAX];
	uint8_t frame[JOURNAL_FRAME_HEAD];
	size_t len;

	if (count == 0)
		return true;
	len = encode(records, count, raw);
	journal_frame_encode(m->counter + count, bytes_of(raw, len), frame);
	disk_write(m, frame, sizeof(frame));
	disk_write(m, raw, len);
	if (m->len > DISK_MAX)
		sim_break(w, "machine %u: its journal has no end", m->index);
	if (fails_here(w, m))
		return false;
	if (w->options->mutant != MUTANT_NO_SYNC)
		m->synced = m->len;
	m->counter += count;
	if (fails_here(w, m))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (tickets_apply(m->tickets, &records[i]) != RC_OK)
			sim_break(w,
			    "machine %u: a record of type %d does not "
			    "fit what is known",
			    m->index, (int)records[i].type);
	}
	if (roll(w, 60) == 0 && w->options->mutant != MUTANT_NO_SYNC)
		compact(m);
	return true;
}

static struct journal_record record_of(const struct world *w,
    const struct machine *m, enum journal_type type, const char *ticket)
{
	struct journal_record r = { .type = type, .at_ms = machine_now(w, m) };

	(void)snprintf(r.ticket, sizeof(r.ticket), "%s", ticket);
	return r;
}

/* ---- scripts ---- */

static const struct task_action *action_of(
    struct world *w, const struct deed *d)
{
	return &book_of(w, d->key.task)
	            ->plan.blocks[d->key.block]
	            .actions[d->key.action];
}

static void script_end_at(
    struct world *w, const struct deed *d, uint64_t ms, bool killed)
{
	struct event *e = event_at(w, w->now + ms, EVENT_SCRIPT_END);

	e->machine = d->machine;
	e->life = w->machines[d->machine].boot;
	e->deed = (size_t)(d - w->deeds);
	e->killed = killed;
}

/* The guardians start it; they keep its time limit too. */
static void execute(struct world *w, struct deed *d)
{
	uint64_t limit = action_of(w, d)->timeout_ms;
	uint64_t lasts = chance(w, 80) ? between(w, 1, 20 * SECOND)
	                               : between(w, 1, 15 * MINUTE);

	check_begin(w, d);
	w->out->scripts++;
	d->executions++;
	d->state = DEED_RUNS;
	d->stopping = false;
	d->truth = chance(w, 75) ? RUN_SUCCEEDED : RUN_FAILED;
	d->exit_code = d->truth == RUN_FAILED ? 3 : 0;
	if (limit > 0 && lasts > limit) {
		lasts = limit;
		d->truth = RUN_FAILED;
		d->exit_code = 143;
	}
	sim_tell(w, "machine %u: script of %.6s (attempt %u) begins",
	    d->machine, d->ticket, d->attempt);
	script_end_at(w, d, lasts, false);
}

static void stop_script(struct world *w, const char *ticket)
{
	struct deed *d = deed_of(w, ticket);

	if (d == NULL || d->state != DEED_RUNS || d->stopping)
		return;
	d->stopping = true;
	script_end_at(w, d, between(w, 0, 10 * SECOND), true);
}

/* ---- results ---- */

static struct engine_fact fact_of(const struct journal_result *r)
{
	struct engine_fact fact = { .type = FACT_ENDED,
		.result = {
		    .exit_code = r->exit_code, .signal = (int32_t)r->signal } };

	if (r->state == TICKET_EXITED)
		fact.result.state = r->exit_code == 0 && r->cause == REASON_NONE
		                        ? RUN_SUCCEEDED
		                        : RUN_FAILED;
	else if (r->state == TICKET_CANCELLED)
		fact.result.state = RUN_CANCELLED;
	else
		fact.result.state = RUN_UNKNOWN;
	fault_set(&fact.fault, r->cause, "", "%s", r->text);
	return fact;
}

/* Its result is in the journal: who follows hears of it. */
static void tell_followers(
    struct world *w, struct machine *m, const char *ticket)
{
	const struct ticket *k = tickets_find(m->tickets, ticket);
	size_t kept = 0;

	for (size_t i = 0; i < m->follower_count; i++) {
		if (strcmp(m->followers[i].ticket, ticket) == 0)
			net_reply(w, &m->followers[i].order, m->counter,
			    fact_of(&k->result));
		else
			m->followers[kept++] = m->followers[i];
	}
	m->follower_count = kept;
}

/* Into the journal, by what the guardians left. */
static bool end_ticket(struct world *w, struct machine *m, struct deed *d)
{
	struct journal_record r = record_of(w, m, JOURNAL_ENDED, d->ticket);

	r.result = (struct journal_result){ .state = TICKET_EXITED,
		.exit_code = d->exit_code,
		.started_ms = 1,
		.ended_ms = 2 };
	if (d->state == DEED_LOST && w->options->mutant == MUTANT_REAP_EARLY) {
		r.result.exit_code = 0;
	} else if (d->state == DEED_LOST) {
		r.result.state = TICKET_UNKNOWN;
		r.result.cause = REASON_UNKNOWN;
	} else if (d->truth == RUN_CANCELLED) {
		r.result.state = TICKET_CANCELLED;
		r.result.cause = REASON_CANCELLED;
	} else if (d->truth == RUN_FAILED) {
		r.result.cause = REASON_SCRIPT_FAILED;
	}
	if (!commit(w, m, &r, 1))
		return false;
	tell_followers(w, m, d->ticket);
	return true;
}

static void script_ends(struct world *w, const struct event *e)
{
	struct machine *m = &w->machines[e->machine];
	struct deed *d = &w->deeds[e->deed];

	if (e->life != m->boot || d->state != DEED_RUNS)
		return;
	d->state = DEED_ENDED;
	if (e->killed) {
		d->truth = RUN_CANCELLED;
		d->exit_code = 0;
	}
	sim_tell(w, "machine %u: script of %.6s ends: %s", m->index, d->ticket,
	    run_state_name(d->truth));
	if (m->up)
		(void)end_ticket(w, m, d);
}

/* Its mark first, then the guardians. */
static void begin(struct world *w, const struct event *e)
{
	struct machine *m = &w->machines[e->machine];
	struct deed *d = &w->deeds[e->deed];
	struct journal_record r;
	const struct ticket *k;

	if (!m->up || e->life != m->life)
		return;
	k = tickets_find(m->tickets, d->ticket);
	if (k == NULL || k->ended || k->exec != PHASE_NONE)
		return;
	r = record_of(w, m, JOURNAL_EXEC, d->ticket);
	r.phase = PHASE_SCRIPT;
	if (commit(w, m, &r, 1))
		execute(w, d);
}

static void begin_at(struct world *w, const struct deed *d, uint64_t ms)
{
	struct event *e = event_at(w, w->now + ms, EVENT_BEGIN);

	e->machine = d->machine;
	e->life = w->machines[d->machine].life;
	e->deed = (size_t)(d - w->deeds);
}

/* ---- orders ---- */

static struct msg_incarnation the_incarnation(void)
{
	struct msg_incarnation i = { .secs = 1 };

	memset(i.random, 'a', sizeof(i.random) - 1);
	return i;
}

static struct msg_start start_of(const struct world *w, const struct order *o)
{
	struct msg_start m = { .epoch = o->epoch,
		.incarnation = the_incarnation(),
		.counter = o->counter,
		.action = ACTION_SCRIPT };

	memcpy(m.ticket, o->ticket, sizeof(m.ticket));
	memcpy(m.journal, o->journal, sizeof(m.journal));
	(void)snprintf(m.task, sizeof(m.task), "task-%llu",
	    (unsigned long long)o->key.task);
	/* Those of one lane come in the order of their numbers. */
	if (w->books[0].plan.lane[0] != '\0') {
		(void)snprintf(
		    m.script.project, sizeof(m.script.project), "shop");
		m.script.deployment = o->key.task;
	}
	if (w->options->mutant == MUTANT_NO_EPOCH)
		m.epoch = UINT32_MAX;
	return m;
}

/* The spec is on the disk before the ticket is. */
static struct deed *write_spec(struct world *w, const struct order *o)
{
	struct deed *d = deed_of(w, o->ticket);

	if (d != NULL)
		return d;
	w->deeds =
	    sim_grow(w->deeds, w->deed_count, &w->deed_room, sizeof(*w->deeds));
	d = &w->deeds[w->deed_count++];
	*d = (struct deed){
		.key = o->key, .machine = o->machine, .attempt = o->attempt
	};
	memcpy(d->ticket, o->ticket, sizeof(d->ticket));
	return d;
}

/* Whoever gave a later order owns the task: nobody before is obeyed. */
static bool obey(struct world *w, struct machine *m, const struct order *o,
    const struct ticket_plan *plan)
{
	if (o->epoch < m->obeyed[o->key.task])
		sim_break(w,
		    "machine %u obeyed epoch %llu of task-%llu after %llu "
		    "(order %d of %.6s)",
		    m->index, (unsigned long long)o->epoch,
		    (unsigned long long)o->key.task,
		    (unsigned long long)m->obeyed[o->key.task], (int)o->type,
		    o->ticket);
	if (!commit(w, m, plan->records, plan->record_count)) {
		net_break(w, o, true);
		return false;
	}
	m->obeyed[o->key.task] = o->epoch;
	return true;
}

static void refuse(struct world *w, struct machine *m, const struct order *o,
    const struct fault *why)
{
	sim_tell(
	    w, "machine %u: refuses %.6s: %s", m->index, o->ticket, why->text);
	net_reply(w, o, m->counter,
	    (struct engine_fact){ .type = FACT_REFUSED, .fault = *why });
}

static void accept(struct world *w, struct machine *m, const struct order *o,
    const struct ticket_plan *plan)
{
	const struct engine_fact yes = { .type = FACT_ACCEPTED };
	const struct deed *d;
	struct fault full;

	if (fault_chance(w, w->chances.refuse)) {
		fault_set(&full, REASON_NO_SPACE, "", "the disk is full");
		refuse(w, m, o, &full);
		return;
	}
	if (w->options->mutant == MUTANT_ACK_EARLY)
		net_reply(w, o, m->counter, yes);
	d = write_spec(w, o);
	if (!obey(w, m, o, plan))
		return;
	for (uint32_t i = 0; i < o->former_count; i++)
		stop_script(w, o->former[i]);
	begin_at(w, d, between(w, 0, 2 * SECOND));
	if (w->options->mutant != MUTANT_ACK_EARLY)
		net_reply(w, o, m->counter, yes);
}

static void on_start(struct world *w, struct machine *m, const struct order *o)
{
	static struct ticket_plan plan;
	const struct ticket_side side = { .journal = m->journal,
		.counter = m->counter,
		.now_ms = machine_now(w, m) };
	struct msg_id former[TASK_FORMER_MAX];
	struct msg_start start = start_of(w, o);
	struct deed *d;

	for (uint32_t i = 0; i < o->former_count; i++)
		memcpy(former[i].text, o->former[i], sizeof(former[i].text));
	start.supersedes.items = former;
	start.supersedes.count = o->former_count;
	if (w->options->mutant == MUTANT_NO_SUPERSEDE)
		start.supersedes.count = 0;
	if (w->options->mutant == MUTANT_NO_MARK)
		start.task[0] = 'T'; /* a name without a number */
	tickets_judge_start(m->tickets, &start, &side, &plan);
	if (plan.verdict == VERDICT_REFUSE) {
		refuse(w, m, o, &plan.fault);
		return;
	}
	if (plan.verdict == VERDICT_ACCEPT) {
		accept(w, m, o, &plan);
		return;
	}
	d = deed_of(w, o->ticket);
	if (w->options->mutant == MUTANT_NO_DEDUPE && d != NULL &&
	    d->state == DEED_ENDED)
		execute(w, d);
	if (obey(w, m, o, &plan))
		net_reply(w, o, m->counter,
		    (struct engine_fact){ .type = FACT_ACCEPTED });
}

static void follow(struct world *w, struct machine *m, const struct order *o)
{
	const struct ticket *k = tickets_find(m->tickets, o->ticket);
	struct engine_fact fact = { .type = FACT_UNKNOWN };
	struct follower *f;

	if (k == NULL) {
		net_reply(w, o, m->counter, fact);
		return;
	}
	if (k->ended) {
		net_reply(w, o, m->counter, fact_of(&k->result));
		return;
	}
	for (size_t i = 0; i < m->follower_count; i++) {
		f = &m->followers[i];
		if (strcmp(f->ticket, o->ticket) == 0 &&
		    f->order.server_life == o->server_life)
			return; /* one stream is enough */
	}
	if (m->follower_count == SIM_FOLLOWERS) {
		net_break(w, o, true);
		return;
	}
	f = &m->followers[m->follower_count++];
	memcpy(f->ticket, o->ticket, sizeof(f->ticket));
	f->order = *o;
	fact.type = FACT_ACCEPTED;
	net_reply(w, o, m->counter, fact);
}

static void on_attach(struct world *w, struct machine *m, const struct order *o)
{
	static struct ticket_plan plan;
	struct msg_attach attach = { .epoch = o->epoch };

	(void)snprintf(attach.task, sizeof(attach.task), "task-%llu",
	    (unsigned long long)o->key.task);
	if (w->options->mutant == MUTANT_NO_EPOCH)
		attach.epoch = UINT32_MAX;
	tickets_judge_attach(m->tickets, &attach, machine_now(w, m), &plan);
	if (plan.verdict == VERDICT_REFUSE) {
		refuse(w, m, o, &plan.fault);
		return;
	}
	if (obey(w, m, o, &plan))
		follow(w, m, o);
}

static void on_cancel(struct world *w, struct machine *m, const struct order *o)
{
	static struct ticket_plan plan;
	struct msg_cancel cancel = { .epoch = o->epoch };

	memcpy(cancel.ticket, o->ticket, sizeof(cancel.ticket));
	(void)snprintf(cancel.task, sizeof(cancel.task), "task-%llu",
	    (unsigned long long)o->key.task);
	if (w->options->mutant == MUTANT_NO_EPOCH)
		cancel.epoch = UINT32_MAX;
	tickets_judge_cancel(m->tickets, &cancel, machine_now(w, m), &plan);
	if (plan.verdict == VERDICT_REFUSE) {
		refuse(w, m, o, &plan.fault);
		return;
	}
	if (!obey(w, m, o, &plan))
		return;
	stop_script(w, o->ticket);
	/* The server then follows it to its end. */
	follow(w, m, o);
}

static void on_forget(struct world *w, struct machine *m, const struct order *o)
{
	const struct ticket *k = tickets_find(m->tickets, o->ticket);
	const struct run_row *row =
	    &book_of(w, o->key.task)->runs[run_index(&o->key)];
	struct journal_record r;

	if (strcmp(row->ticket, o->ticket) == 0 &&
	    !run_state_is_final(row->state))
		sim_break(w,
		    "machine %u was told to forget %.6s, whose result "
		    "is nowhere else",
		    m->index, o->ticket);
	if (k != NULL && k->ended && !k->forgotten && !k->tombstone) {
		r = record_of(w, m, JOURNAL_FORGOTTEN, o->ticket);
		if (!commit(w, m, &r, 1))
			return;
	}
	if (tickets_judge_settled(
		m->tickets, o->settled, machine_now(w, m), &r))
		(void)commit(w, m, &r, 1);
}

static void on_check(struct world *w, struct machine *m, const struct order *o)
{
	struct engine_fact fact = { .type = FACT_STAGED };

	if (o->type == COMMAND_HEALTH) {
		fact.type = FACT_HEALTH;
		fact.health = chance(w, 90) ? MACHINE_HEALTH_HEALTHY
		                            : MACHINE_HEALTH_UNHEALTHY;
	}
	net_reply(w, o, m->counter, fact);
}

void machine_order(struct world *w, const struct order *o)
{
	struct machine *m = &w->machines[o->machine];

	if (!m->up) {
		net_break(w, o, true);
		return;
	}
	switch (o->type) {
	case COMMAND_START:
		on_start(w, m, o);
		/* One that was refused leaves nothing: only who has the
		 * server's key could say it again. */
		if (m->up && tickets_find(m->tickets, o->ticket) != NULL)
			net_again(w, o);
		break;
	case COMMAND_ATTACH:
		on_attach(w, m, o);
		break;
	case COMMAND_CANCEL:
		on_cancel(w, m, o);
		break;
	case COMMAND_FORGET:
		on_forget(w, m, o);
		break;
	case COMMAND_STAGE:
	case COMMAND_HEALTH:
		on_check(w, m, o);
		break;
	case COMMAND_TYPE_COUNT:
		break;
	}
}

/* ---- life and death ---- */

static void plan_death(
    struct world *w, struct machine *m, enum event_type how, uint64_t every)
{
	struct event *e;
	uint64_t at;

	if (every == 0)
		return;
	at = w->now + between(w, 1, 2 * every);
	if (at >= w->quiet_at)
		return;
	e = event_at(w, at, how);
	e->machine = m->index;
}

static void agent_dies(struct world *w, struct machine *m, bool power)
{
	struct event *up;

	if (!m->up)
		return;
	w->out->crashes++;
	sim_tell(w, "machine %u: %s", m->index,
	    power ? "the power fails" : "the agent is killed");
	m->up = false;
	m->life++;
	tickets_free(m->tickets);
	m->tickets = NULL;
	for (size_t i = 0; i < m->follower_count; i++)
		net_break(w, &m->followers[i].order, true);
	m->follower_count = 0;
	if (power) {
		m->boot++;
		m->len = between(w, m->synced, m->len);
		for (size_t i = 0; i < w->deed_count; i++) {
			struct deed *d = &w->deeds[i];

			if (d->machine == m->index && d->state == DEED_RUNS)
				d->state = DEED_LOST;
		}
	}
	up = event_at(w,
	    w->now + (chance(w, 90) ? between(w, 1, 30 * SECOND)
				    : between(w, 1, 25 * MINUTE)),
	    EVENT_MACHINE_UP);
	up->machine = m->index;
}

static void read_journal(struct world *w, struct machine *m)
{
	const struct ticket_limits limits = { .open_max = 5,
		.known_max = 2000 };
	static struct journal_record r;
	struct journal_header header;
	struct journal_cursor cursor;
	struct fault fault = { .text = "" };
	enum rc rc;

	if (tickets_new(&limits, &m->tickets) != RC_OK)
		abort();
	if (journal_header_decode(bytes_of(m->disk, m->len), &header, &fault) !=
	    RC_OK) {
		sim_break(w, "machine %u: %s", m->index, fault.text);
		return;
	}
	journal_cursor_init(&cursor, bytes_of(m->disk, m->len), header.counter);
	while ((rc = journal_cursor_next(&cursor, &r, &fault)) == RC_OK) {
		if (tickets_apply(m->tickets, &r) != RC_OK)
			sim_break(w,
			    "machine %u: its journal contradicts "
			    "itself",
			    m->index);
	}
	if (rc != RC_NOTFOUND && rc != RC_AGAIN)
		sim_break(w, "machine %u: %s", m->index, fault.text);
	m->len = cursor.offset;
	/* What a killed agent wrote may never have reached the disk. */
	if (w->options->mutant != MUTANT_NO_SYNC &&
	    w->options->mutant != MUTANT_TRUST_READ)
		m->synced = m->len;
	m->counter = cursor.counter;
}

/* As tentacle/operations.c and run.c do after a restart. */
static bool recover_one(struct world *w, struct machine *m, struct deed *d)
{
	const struct ticket *k = tickets_find(m->tickets, d->ticket);

	if (k == NULL || k->ended)
		return true;
	if (k->exec == PHASE_NONE) {
		begin_at(w, d, between(w, 0, SECOND));
		return true;
	}
	switch (d->state) {
	case DEED_NONE: /* no mark of the guardians': it never ran */
		execute(w, d);
		return true;
	case DEED_RUNS:
		return true;
	case DEED_LOST:
		if (w->options->mutant == MUTANT_RERUN_LOST) {
			execute(w, d);
			return true;
		}
		return end_ticket(w, m, d);
	case DEED_ENDED:
		return end_ticket(w, m, d);
	}
	return true;
}

/* Each seal begins with the welcome of the server, which says whose orders
 * these are. */
static bool welcome(struct world *w, struct machine *m)
{
	struct journal_record r = record_of(w, m, JOURNAL_INCARNATION, "");
	struct fault fault;

	r.incarnation = the_incarnation();
	return tickets_check_incarnation(m->tickets, &r.incarnation, &fault) !=
	           RC_NOTFOUND ||
	       commit(w, m, &r, 1);
}

static void machine_up(struct world *w, struct machine *m)
{
	m->up = true;
	sim_tell(w, "machine %u: up", m->index);
	m->skew_ms = (int64_t)between(w, 0, 48 * 60 * MINUTE) -
	             (int64_t)(24 * 60 * MINUTE);
	read_journal(w, m);
	if (w->out->broken || !welcome(w, m))
		return;
	for (size_t i = 0; i < w->deed_count && !w->out->broken; i++) {
		if (w->deeds[i].machine == m->index &&
		    !recover_one(w, m, &w->deeds[i]))
			return;
	}
}

void machine_open(struct world *w, struct machine *m)
{
	struct journal_header header = { .version = JOURNAL_VERSION };
	uint8_t head[JOURNAL_HEADER_LEN];

	for (size_t i = 0; i + 1 < sizeof(m->journal); i++)
		m->journal[i] = "0123456789abcdef"[roll(w, 16)];
	memcpy(header.id, m->journal, sizeof(header.id));
	journal_header_encode(&header, head);
	disk_write(m, head, sizeof(head));
	m->synced = m->len;
	machine_up(w, m);
	plan_death(w, m, EVENT_AGENT_DIES, w->chances.agent_every);
	plan_death(w, m, EVENT_POWER_FAILS, w->chances.power_every);
}

void machine_close(struct machine *m)
{
	tickets_free(m->tickets);
	free(m->disk);
}

void machine_event(struct world *w, const struct event *e)
{
	struct machine *m = &w->machines[e->machine];

	if (e->type == EVENT_BEGIN) {
		begin(w, e);
	} else if (e->type == EVENT_SCRIPT_END) {
		script_ends(w, e);
	} else if (e->type == EVENT_AGENT_DIES) {
		agent_dies(w, m, false);
		plan_death(w, m, EVENT_AGENT_DIES, w->chances.agent_every);
	} else if (e->type == EVENT_POWER_FAILS) {
		agent_dies(w, m, true);
		plan_death(w, m, EVENT_POWER_FAILS, w->chances.power_every);
	} else if (!m->up) {
		machine_up(w, m);
	}
}

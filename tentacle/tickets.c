#include "tentacle/tickets.h"

#include "tentacle/floors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICKET_BUCKETS 4096

struct tickets {
	struct ticket_limits limits;
	size_t open, known;
	size_t kept; /* ended and not forgotten */
	struct ticket *buckets[TICKET_BUCKETS];
	struct floors epochs;      /* by task */
	struct floors deployments; /* by project */
	struct msg_incarnation incarnation;
	uint64_t settled; /* tasks below this number are over */
	size_t expire_at; /* so many known: look for what may be forgotten */
};

#define EXPIRE_FIRST 1024

/* --- The index ---------------------------------------------------------- */

enum rc tickets_new(const struct ticket_limits *limits, struct tickets **out)
{
	struct tickets *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return RC_NOMEM;
	t->limits = *limits;
	t->expire_at = EXPIRE_FIRST;
	*out = t;
	return RC_OK;
}

void tickets_free(struct tickets *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < TICKET_BUCKETS; i++) {
		while (t->buckets[i] != NULL) {
			struct ticket *next = t->buckets[i]->next;

			free(t->buckets[i]);
			t->buckets[i] = next;
		}
	}
	floors_free(&t->epochs);
	floors_free(&t->deployments);
	free(t);
}

/* Ids are random, so their first three digits spread well. */
static size_t bucket_of(const char *id)
{
	size_t n = 0;

	for (size_t i = 0; i < 3 && id[i] != '\0'; i++) {
		unsigned char c = (unsigned char)id[i];
		size_t digit =
		    c <= '9' ? (size_t)(c - '0') : (size_t)((c - 'a') + 10);

		n = n * 16 + (digit & 15);
	}
	return n;
}

static struct ticket *find(const struct tickets *t, const char *id)
{
	struct ticket *at = t->buckets[bucket_of(id)];

	while (at != NULL && strcmp(at->id, id) != 0)
		at = at->next;
	return at;
}

const struct ticket *tickets_find(const struct tickets *t, const char *id)
{
	return find(t, id);
}

size_t tickets_open(const struct tickets *t)
{
	return t->open;
}

size_t tickets_ended(const struct tickets *t)
{
	return t->kept;
}

const struct ticket *tickets_next(
    const struct tickets *t, const struct ticket *after)
{
	size_t bucket = 0;

	if (after != NULL) {
		if (after->next != NULL)
			return after->next;
		bucket = bucket_of(after->id) + 1;
	}
	for (; bucket < TICKET_BUCKETS; bucket++) {
		if (t->buckets[bucket] != NULL)
			return t->buckets[bucket];
	}
	return NULL;
}

static enum rc add(struct tickets *t, const char *id, struct ticket **out)
{
	struct ticket *new = calloc(1, sizeof(*new));
	size_t bucket = bucket_of(id);

	if (new == NULL)
		return RC_NOMEM;
	(void)snprintf(new->id, sizeof(new->id), "%s", id);
	new->next = t->buckets[bucket];
	t->buckets[bucket] = new;
	t->known++;
	*out = new;
	return RC_OK;
}

/* --- Facts -------------------------------------------------------------- */

/* The end of every ticket; result may come from the journal or be made. */
static void end_ticket(
    struct tickets *t, struct ticket *k, const struct journal_result *result)
{
	if (k->ended)
		return; /* the first durable record wins */
	if (!k->tombstone) {
		t->open--;
		t->kept++;
	}
	k->ended = true;
	k->exec = PHASE_NONE;
	k->result = *result;
	k->state = result->state;
}

static struct journal_result cancelled_result(uint64_t at_ms, const char *text)
{
	struct journal_result r = { .state = TICKET_CANCELLED,
		.cause = REASON_CANCELLED,
		.ended_ms = at_ms };

	(void)snprintf(r.text, sizeof(r.text), "%s", text);
	return r;
}

static enum rc apply_tombstone(struct tickets *t,
    const struct journal_record *from, const char *id, const char *text)
{
	uint64_t at_ms = from->at_ms;
	const struct journal_result r = cancelled_result(at_ms, text);
	const char *task =
	    from->type == JOURNAL_ACCEPTED ? from->accepted.task : from->task;
	struct ticket *k = find(t, id);

	if (k == NULL) {
		enum rc rc = add(t, id, &k);

		if (rc != RC_OK)
			return rc;
		k->tombstone = true;
		(void)snprintf(
		    k->accepted.task, sizeof(k->accepted.task), "%s", task);
		k->accepted_ms = at_ms;
	}
	k->changed_ms = at_ms;
	end_ticket(t, k, &r);
	return RC_OK;
}

static enum rc apply_accepted(struct tickets *t, const struct journal_record *r)
{
	const struct journal_accepted *a = &r->accepted;
	struct ticket *k;
	enum rc rc;

	if (find(t, r->ticket) != NULL)
		return RC_PROTO;
	for (size_t i = 0; i < a->supersedes_count; i++) {
		rc = apply_tombstone(t, r, a->supersedes[i],
		    "replaced by a newer ticket before it started");
		if (rc != RC_OK)
			return rc;
	}
	rc = floor_raise(&t->epochs, a->task, a->epoch, r->at_ms);
	if (rc == RC_OK && a->deployment > 0)
		rc = floor_raise(
		    &t->deployments, a->project, a->deployment, r->at_ms);
	if (rc == RC_OK)
		rc = add(t, r->ticket, &k);
	if (rc != RC_OK)
		return rc;
	k->state = TICKET_ACCEPTED;
	k->accepted = *a;
	k->accepted.supersedes_count = 0;
	k->accepted_ms = k->changed_ms = r->at_ms;
	t->open++;
	return RC_OK;
}

static enum rc apply_known(struct tickets *t, const struct journal_record *r)
{
	struct ticket *k = find(t, r->ticket);

	/* A lock may be held by what was cancelled, and forgotten since. */
	if (r->type == JOURNAL_UNLOCKED && (k == NULL || k->tombstone))
		return RC_OK;
	if (k == NULL)
		return RC_PROTO;
	/* It says when its script began, until it has ended. */
	if (r->type != JOURNAL_UNLOCKED)
		k->changed_ms = r->at_ms;
	if (r->type == JOURNAL_FORGOTTEN) {
		if (k->ended && !k->forgotten && !k->tombstone)
			t->kept--;
		k->forgotten = k->ended;
		return k->ended ? RC_OK : RC_PROTO;
	}
	if (k->tombstone)
		return RC_PROTO;
	if (r->type == JOURNAL_UNLOCKED) {
		k->unlocked = true;
	} else if (r->type == JOURNAL_ENDED) {
		end_ticket(t, k, &r->result);
	} else if (!k->ended && r->type == JOURNAL_EXEC) {
		k->exec = r->phase;
		k->state = TICKET_RUNNING;
	} else if (!k->ended && r->type == JOURNAL_PASSED) {
		k->exec = PHASE_NONE;
		k->passed = r->phase;
		k->state = TICKET_RUNNING;
	}
	return RC_OK;
}

/* --- Tasks that are over ------------------------------------------------ */

/* "task-12": 12; 0: it has no number. */
static uint64_t number_of(const char *task)
{
	static const char front[] = "task-";
	uint64_t n = 0;

	if (strncmp(task, front, sizeof(front) - 1) != 0)
		return 0;
	for (const char *p = task + sizeof(front) - 1; *p != '\0'; p++) {
		if (*p < '0' || *p > '9' || n > UINT64_MAX / 10 - 1)
			return 0;
		n = n * 10 + (uint64_t)(*p - '0');
	}
	return n;
}

static bool is_over(const char *task, uint64_t below)
{
	uint64_t n = number_of(task);

	return n > 0 && n < below;
}

void tickets_expire(struct tickets *t)
{
	for (size_t i = 0; i < TICKET_BUCKETS; i++) {
		struct ticket **link = &t->buckets[i];

		while (*link != NULL) {
			struct ticket *k = *link;

			if (!(k->tombstone || k->forgotten) ||
			    !is_over(k->accepted.task, t->settled)) {
				floor_keep(&t->epochs, k->accepted.task);
				link = &k->next;
				continue;
			}
			*link = k->next;
			free(k);
			t->known--;
		}
	}
	floors_expire(&t->epochs, is_over, t->settled);
	t->expire_at = 2 * t->known + EXPIRE_FIRST;
}

static void apply_settled(struct tickets *t, uint64_t below)
{
	if (below > t->settled)
		t->settled = below;
	if (t->known >= t->expire_at || t->known >= t->limits.known_max)
		tickets_expire(t);
}

enum rc tickets_apply(struct tickets *t, const struct journal_record *r)
{
	switch (r->type) {
	case JOURNAL_ACCEPTED:
		return apply_accepted(t, r);
	case JOURNAL_EXEC:
	case JOURNAL_PASSED:
	case JOURNAL_ENDED:
	case JOURNAL_FORGOTTEN:
	case JOURNAL_UNLOCKED:
		return apply_known(t, r);
	case JOURNAL_TOMBSTONE:
		return apply_tombstone(
		    t, r, r->ticket, "cancelled before it came");
	case JOURNAL_EPOCH:
		return floor_raise(
		    &t->epochs, r->epoch.task, r->epoch.epoch, r->at_ms);
	case JOURNAL_DEPLOYMENT:
		return floor_raise(&t->deployments, r->deployment.project,
		    r->deployment.number, r->at_ms);
	case JOURNAL_INCARNATION:
		/* Numbers of tasks and deployments begin again where the copy
		 * was made; who still counts from before is refused by his
		 * incarnation. */
		if (r->incarnation.secs > t->incarnation.secs) {
			t->settled = 0;
			floors_free(&t->epochs);
			floors_free(&t->deployments);
		}
		t->incarnation = r->incarnation;
		return RC_OK;
	case JOURNAL_SETTLED:
		apply_settled(t, r->settled);
		return RC_OK;
	}
	return RC_PROTO;
}

/* --- Decisions ---------------------------------------------------------- */

enum rc tickets_check_incarnation(const struct tickets *t,
    const struct msg_incarnation *in, struct fault *fault)
{
	const struct msg_incarnation *known = &t->incarnation;

	if (in->secs == known->secs &&
	    (in->secs == 0 || strcmp(in->random, known->random) == 0))
		return RC_OK;
	if (in->secs > known->secs)
		return RC_NOTFOUND;
	fault_set(fault, REASON_SUPERSEDED, "",
	    "the server's database was replaced at %llu; this order is of the "
	    "one of %llu",
	    (unsigned long long)known->secs, (unsigned long long)in->secs);
	return RC_DENIED;
}

static void refuse(struct ticket_plan *plan)
{
	plan->verdict = VERDICT_REFUSE;
	plan->record_count = 0;
}

static struct journal_record *plan_record(
    struct ticket_plan *plan, enum journal_type type, uint64_t now_ms)
{
	struct journal_record *r = &plan->records[plan->record_count++];

	memset(r, 0, sizeof(*r));
	r->type = type;
	r->at_ms = now_ms;
	return r;
}

/* Is this the disk that the server knows? */
static bool journal_fits(const struct msg_start *m,
    const struct ticket_side *side, struct ticket_plan *plan)
{
	const char *journal = side->journal;
	uint64_t counter = side->counter;

	if (m->journal[0] == '\0')
		return true;
	if (strcmp(m->journal, journal) != 0) {
		fault_set(&plan->fault, REASON_JOURNAL, "",
		    "the server knows journal %.8s..., this one is %.8s...",
		    m->journal, journal);
		return false;
	}
	if (counter < m->counter) {
		fault_set(&plan->fault, REASON_JOURNAL, "",
		    "the journal is at %llu, the server has seen %llu: the "
		    "disk was set back",
		    (unsigned long long)counter,
		    (unsigned long long)m->counter);
		return false;
	}
	return true;
}

/* The order is of a newer life of the database: its numbers begin anew. */
static bool begins_life(const struct ticket_plan *plan)
{
	return plan->record_count > 0 &&
	       plan->records[0].type == JOURNAL_INCARNATION;
}

bool tickets_owner_fits(const struct tickets *t, const char *task,
    uint64_t epoch, struct fault *fault)
{
	uint64_t known = floor_of(&t->epochs, task);

	if (epoch >= known)
		return true;
	fault_set(fault, REASON_SUPERSEDED, "",
	    "task %s has a newer owner: epoch %llu, not %llu", task,
	    (unsigned long long)known, (unsigned long long)epoch);
	return false;
}

/* Refuses a former owner of the task; notes a new one. */
static bool epoch_fits(const struct tickets *t, const char *task,
    uint64_t epoch, uint64_t now_ms, struct ticket_plan *plan)
{
	bool anew = begins_life(plan);
	struct journal_record *r;

	if (!anew && !tickets_owner_fits(t, task, epoch, &plan->fault))
		return false;
	if (anew || epoch > floor_of(&t->epochs, task)) {
		r = plan_record(plan, JOURNAL_EPOCH, now_ms);
		(void)snprintf(
		    r->epoch.task, sizeof(r->epoch.task), "%s", task);
		r->epoch.epoch = epoch;
	}
	return true;
}

/* What this one replaces must not have run. */
static bool supersedes_fit(const struct tickets *t, const struct msg_start *m,
    struct ticket_plan *plan)
{
	if (m->supersedes.count > JOURNAL_SUPERSEDES_MAX) {
		fault_set(&plan->fault, REASON_TOO_MANY, "",
		    "the order replaces %zu tickets, the limit is %d",
		    m->supersedes.count, JOURNAL_SUPERSEDES_MAX);
		return false;
	}
	for (size_t i = 0; i < m->supersedes.count; i++) {
		const char *id = m->supersedes.items[i].text;
		const struct ticket *k = find(t, id);

		if (strcmp(id, m->ticket) == 0) {
			fault_set(&plan->fault, REASON_PROTOCOL, "",
			    "ticket %s replaces itself", id);
			return false;
		}
		/* A script of it ran, or may be running. */
		if (k != NULL && !k->tombstone &&
		    (k->exec != PHASE_NONE || k->passed != PHASE_NONE ||
			(k->ended && k->result.started_ms > 0))) {
			fault_set(&plan->fault, REASON_SUPERSEDED, "",
			    "ticket %s, which this one replaces, is %s; nothing "
			    "was started",
			    id, ticket_state_name(k->state));
			return false;
		}
	}
	return true;
}

static void scope_of(
    const struct msg_start *m, const char **project, uint64_t *deployment)
{
	*project = "";
	*deployment = 0;
	if (m->action == ACTION_SCRIPT) {
		*project = m->script.project;
		*deployment = m->script.deployment;
	} else if (m->action == ACTION_ACTIVATE) {
		*project = m->activate.project;
		*deployment = m->activate.deployment;
	}
}

static bool deployment_fits(const struct tickets *t, const struct msg_start *m,
    struct ticket_plan *plan)
{
	const char *project;
	uint64_t number, known;

	scope_of(m, &project, &number);
	if (number == 0 || begins_life(plan))
		return true;
	known = floor_of(&t->deployments, project);
	if (number >= known)
		return true;
	fault_set(&plan->fault, REASON_SUPERSEDED, "",
	    "deployment %llu of project %s was here already; this is %llu",
	    (unsigned long long)known, project, (unsigned long long)number);
	return false;
}

static bool memory_fits(
    const struct tickets *t, size_t most, struct ticket_plan *plan)
{
	if (t->known < most)
		return true;
	fault_set(&plan->fault, REASON_TOO_MANY, "",
	    "%zu tickets are remembered on this machine, the limit is %zu; "
	    "they are kept for the oldest task that is open on the server: end "
	    "that one",
	    t->known, most);
	return false;
}

/* What is forgotten of a task that is over must not be taken for new. */
static bool task_is_open(
    const struct tickets *t, const char *task, struct ticket_plan *plan)
{
	if (begins_life(plan) || !is_over(task, t->settled))
		return true;
	fault_set(&plan->fault, REASON_SUPERSEDED, "",
	    "%s is over: the server has said so of all before task-%llu", task,
	    (unsigned long long)t->settled);
	return false;
}

static bool limits_fit(const struct tickets *t, struct ticket_plan *plan)
{
	if (t->open >= t->limits.open_max) {
		fault_set(&plan->fault, REASON_TOO_MANY, "",
		    "%zu tickets are open on this machine, the limit is %zu "
		    "(tentacle.open)",
		    t->open, t->limits.open_max);
		return false;
	}
	return memory_fits(t, t->limits.known_max, plan);
}

static void plan_accept(const struct msg_start *m,
    const struct ticket_side *side, struct ticket_plan *plan)
{
	struct journal_record *r =
	    plan_record(plan, JOURNAL_ACCEPTED, side->now_ms);
	struct journal_accepted *a = &r->accepted;
	const char *project;

	scope_of(m, &project, &a->deployment);
	memcpy(r->ticket, m->ticket, sizeof(r->ticket));
	memcpy(a->task, m->task, sizeof(a->task));
	a->epoch = m->epoch;
	a->action = m->action;
	(void)snprintf(a->project, sizeof(a->project), "%s", project);
	memcpy(a->spec, side->spec, sizeof(a->spec));
	for (size_t i = 0; i < m->supersedes.count; i++)
		memcpy(a->supersedes[i], m->supersedes.items[i].text, ID_SIZE);
	a->supersedes_count = m->supersedes.count;
	plan->verdict = VERDICT_ACCEPT;
}

/* May this server, on this disk, order something for this task? */
static bool order_fits(const struct tickets *t, const struct msg_start *m,
    const struct ticket_side *side, struct ticket_plan *plan)
{
	enum rc rc;

	if (!journal_fits(m, side, plan))
		return false;
	rc = tickets_check_incarnation(t, &m->incarnation, &plan->fault);
	if (rc == RC_DENIED)
		return false;
	if (rc == RC_NOTFOUND)
		plan_record(plan, JOURNAL_INCARNATION, side->now_ms)
		    ->incarnation = m->incarnation;
	return epoch_fits(t, m->task, m->epoch, side->now_ms, plan);
}

void tickets_judge_start(const struct tickets *t, const struct msg_start *m,
    const struct ticket_side *side, struct ticket_plan *plan)
{
	memset(plan, 0, sizeof(*plan));
	if (!order_fits(t, m, side, plan)) {
		refuse(plan);
		return;
	}
	plan->ticket = find(t, m->ticket);
	if (plan->ticket != NULL)
		plan->verdict = VERDICT_KNOWN;
	else if (task_is_open(t, m->task, plan) && supersedes_fit(t, m, plan) &&
		 deployment_fits(t, m, plan) && limits_fit(t, plan))
		plan_accept(m, side, plan);
	else
		refuse(plan);
}

void tickets_judge_cancel(const struct tickets *t, const struct msg_cancel *m,
    uint64_t now_ms, struct ticket_plan *plan)
{
	struct journal_record *r;

	memset(plan, 0, sizeof(*plan));
	if (!epoch_fits(t, m->task, m->epoch, now_ms, plan)) {
		refuse(plan);
		return;
	}
	plan->ticket = find(t, m->ticket);
	if (plan->ticket == NULL) {
		if (!task_is_open(t, m->task, plan) ||
		    !memory_fits(t, 2 * t->limits.known_max, plan)) {
			refuse(plan);
			return;
		}
		r = plan_record(plan, JOURNAL_TOMBSTONE, now_ms);
		memcpy(r->ticket, m->ticket, sizeof(r->ticket));
		memcpy(r->task, m->task, sizeof(r->task));
		plan->verdict = VERDICT_ACCEPT;
		return;
	}
	plan->verdict = VERDICT_KNOWN;
	if (plan->ticket->state == TICKET_ACCEPTED && !plan->ticket->ended) {
		r = plan_record(plan, JOURNAL_ENDED, now_ms);
		memcpy(r->ticket, m->ticket, sizeof(r->ticket));
		r->result = cancelled_result(now_ms, "cancelled before it ran");
	}
}

void tickets_judge_attach(const struct tickets *t, const struct msg_attach *m,
    uint64_t now_ms, struct ticket_plan *plan)
{
	memset(plan, 0, sizeof(*plan));
	plan->verdict = VERDICT_KNOWN;
	/* Who owned a task that is over is forgotten. */
	if (m->task[0] != '\0' &&
	    ((floor_of(&t->epochs, m->task) == 0 &&
		 !task_is_open(t, m->task, plan)) ||
		!epoch_fits(t, m->task, m->epoch, now_ms, plan)))
		refuse(plan);
}

bool tickets_judge_settled(const struct tickets *t, uint64_t below,
    uint64_t now_ms, struct journal_record *r)
{
	if (below <= t->settled)
		return false;
	memset(r, 0, sizeof(*r));
	r->type = JOURNAL_SETTLED;
	r->at_ms = now_ms;
	r->settled = below;
	return true;
}

/* --- Compaction --------------------------------------------------------- */

/* The records of one ticket, in the order in which they once came. */
static bool dump_ticket(
    const struct ticket *k, unsigned stage, struct journal_record *r)
{
	memset(r, 0, sizeof(*r));
	memcpy(r->ticket, k->id, sizeof(r->ticket));
	r->at_ms = stage == 0 ? k->accepted_ms : k->changed_ms;
	switch (stage) {
	case 0:
		r->type = k->tombstone ? JOURNAL_TOMBSTONE : JOURNAL_ACCEPTED;
		if (k->tombstone)
			memcpy(r->task, k->accepted.task, sizeof(r->task));
		else
			r->accepted = k->accepted;
		return true;
	case 1:
		r->type = JOURNAL_PASSED;
		r->phase = k->passed;
		return k->passed != PHASE_NONE;
	case 2:
		r->type = JOURNAL_EXEC;
		r->phase = k->exec;
		return k->exec != PHASE_NONE;
	case 3:
		r->type = JOURNAL_ENDED;
		r->result = k->result;
		return k->ended && !k->tombstone;
	case 4:
		r->type = JOURNAL_UNLOCKED;
		return k->unlocked && !k->ended;
	default:
		r->type = JOURNAL_FORGOTTEN;
		return k->forgotten;
	}
}

#define TICKET_STAGES 6

static bool dump_floor(const struct tickets *t, struct ticket_dump *d,
    enum journal_type type, struct journal_record *r)
{
	bool epochs = type == JOURNAL_EPOCH;

	d->floor = floor_next(epochs ? &t->epochs : &t->deployments, d->floor);
	if (d->floor == NULL)
		return false;
	memset(r, 0, sizeof(*r));
	r->type = type;
	r->at_ms = d->floor->at_ms;
	if (epochs) {
		(void)snprintf(
		    r->epoch.task, sizeof(r->epoch.task), "%s", d->floor->name);
		r->epoch.epoch = d->floor->value;
	} else {
		(void)snprintf(r->deployment.project,
		    sizeof(r->deployment.project), "%.*s", NAME_LEN_MAX,
		    d->floor->name);
		r->deployment.number = d->floor->value;
	}
	return true;
}

enum {
	DUMP_INCARNATION,
	DUMP_SETTLED,
	DUMP_EPOCHS,
	DUMP_DEPLOYMENTS,
	DUMP_TICKETS
};

/* d->stage: what is being told, then which record of d->ticket. */
static enum rc dump_tickets(
    const struct tickets *t, struct ticket_dump *d, struct journal_record *r)
{
	if (d->stage == DUMP_TICKETS)
		d->ticket = tickets_next(t, NULL);
	while (d->ticket != NULL) {
		while (d->stage < DUMP_TICKETS + TICKET_STAGES) {
			unsigned stage = d->stage++ - DUMP_TICKETS;

			if (dump_ticket(d->ticket, stage, r))
				return RC_OK;
		}
		d->ticket = tickets_next(t, d->ticket);
		if (d->ticket != NULL)
			d->stage = DUMP_TICKETS + 1;
		if (d->ticket != NULL && dump_ticket(d->ticket, 0, r))
			return RC_OK;
	}
	return RC_NOTFOUND;
}

enum rc tickets_dump(
    const struct tickets *t, struct ticket_dump *d, struct journal_record *r)
{
	if (d->stage == DUMP_INCARNATION) {
		d->stage = DUMP_SETTLED;
		memset(r, 0, sizeof(*r));
		r->type = JOURNAL_INCARNATION;
		r->incarnation = t->incarnation;
		if (t->incarnation.secs > 0)
			return RC_OK;
	}
	if (d->stage == DUMP_SETTLED) {
		d->stage = DUMP_EPOCHS;
		memset(r, 0, sizeof(*r));
		r->type = JOURNAL_SETTLED;
		r->settled = t->settled;
		if (t->settled > 0)
			return RC_OK;
	}
	if (d->stage == DUMP_EPOCHS) {
		if (dump_floor(t, d, JOURNAL_EPOCH, r))
			return RC_OK;
		d->stage = DUMP_DEPLOYMENTS;
	}
	if (d->stage == DUMP_DEPLOYMENTS) {
		if (dump_floor(t, d, JOURNAL_DEPLOYMENT, r))
			return RC_OK;
		d->stage = DUMP_TICKETS;
	}
	return dump_tickets(t, d, r);
}

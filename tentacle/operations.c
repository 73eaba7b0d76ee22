#include "tentacle/operations_base.h"

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "proto/lenframe.h"
#include "tentacle/guardian/cgroup.h"
#include "tentacle/runlog.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

uint64_t operations_wall_ms(void)
{
	int64_t now = clock_wall_ms();

	return now > 0 ? (uint64_t)now : 0;
}

uint64_t operations_boot_ms(void)
{
	return clock_boottime_us() / 1000;
}

/* The disk failed: what we would answer from here on is worth nothing. */
bool operations_check_fatal(struct operations *ops)
{
	if (ops->ledger == NULL || !ledger_has_failed(ops->ledger))
		return false;
	if (!ops->told_fatal && ops->config.fatal != NULL)
		ops->config.fatal(ops->config.fatal_arg);
	ops->told_fatal = true;
	return true;
}

/* --- Jobs --------------------------------------------------------------- */

struct entry *operations_find_job(const struct operations *ops, const char *id)
{
	struct entry *e;

	TAILQ_FOREACH(e, &ops->jobs, link)
	{
		if (strcmp(job_ticket(e->job), id) == 0)
			return e;
	}
	return NULL;
}

/* Begin what waits, oldest first. */
void operations_begin_jobs(struct operations *ops)
{
	struct entry *e = TAILQ_FIRST(&ops->jobs);

	while (e != NULL && ops->running < ops->config.running_max) {
		/* A job may be over at once and leave the list. */
		if (!job_has_begun(e->job) &&
		    operations_blocker(ops, e) == NULL) {
			ops->running++;
			job_begin(e->job);
			e = TAILQ_FIRST(&ops->jobs);
			continue;
		}
		e = TAILQ_NEXT(e, link);
	}
}

static void on_begin(void *arg)
{
	struct operations *ops = arg;

	operations_begin_jobs(ops);
	(void)operations_check_fatal(ops);
}

static void job_done(void *arg, struct job *job)
{
	struct entry *e = arg;
	struct operations *ops = e->ops;
	const struct ticket *t = operations_find_ticket(ops, job_ticket(job));
	char ticket[ID_SIZE];

	memcpy(ticket, job_ticket(job), sizeof(ticket));
	TAILQ_REMOVE(&ops->jobs, e, link);
	if (ops->running > 0)
		ops->running--;
	/* Forgotten while it was at work there. */
	if (t == NULL || t->forgotten)
		job_remove_all(&ops->place, job_ticket(job));
	job_free(job);
	free(e);
	if (operations_check_fatal(ops) || ops->closing)
		return;
	operations_answer_held(ops, ticket);
	/* Not from within the job that is just over. */
	if (loop_post(ops->place.loop, on_begin, ops) != RC_OK)
		operations_begin_jobs(ops);
}

enum rc operations_add_job(
    struct operations *ops, const struct ticket *ticket, struct fault *fault)
{
	struct entry *e = calloc(1, sizeof(*e));
	enum rc rc;

	if (e == NULL)
		return RC_NOMEM;
	e->ops = ops;
	rc = job_new(&ops->place, ticket, job_done, e, &e->job, fault);
	if (rc != RC_OK) {
		free(e);
		return rc;
	}
	TAILQ_INSERT_TAIL(&ops->jobs, e, link);
	return RC_OK;
}

void operations_cancel_job(struct operations *ops, const char *id)
{
	struct entry *e = operations_find_job(ops, id);

	if (e == NULL)
		return;
	/* Its end is counted like that of one that ran. */
	if (!job_has_begun(e->job))
		ops->running++;
	job_cancel(e->job);
}

/* --- Start of the program ----------------------------------------------- */

static bool may_have_run(const struct ticket *t)
{
	return t->exec != PHASE_NONE && t->exec != PHASE_SWITCH;
}

/* Without its spec it cannot be run, and it never was. */
enum rc operations_end_lost(
    struct operations *ops, const struct ticket *t, const struct fault *why)
{
	struct journal_result r = { .state = TICKET_REFUSED,
		.cause = why->code != REASON_NONE ? why->code : REASON_INTERNAL,
		.ended_ms = operations_wall_ms() };
	struct fault fault;

	(void)snprintf(r.text, sizeof(r.text), "%s", why->text);
	return ledger_end(ops->ledger, t->id, &r, &fault);
}

static enum rc end_unreadable(
    struct operations *ops, const struct ticket *t, struct fault *fault)
{
	enum rc rc;

	log_error("job", t->id, "%s", fault->text);
	if (!may_have_run(t))
		return operations_end_lost(ops, t, fault);
	rc = job_end_unknown(&ops->place, t, fault);
	if (rc != RC_OK)
		log_error("job", t->id, "%s", fault->text);
	return rc;
}

static enum rc recover_one(struct operations *ops, const struct ticket *t)
{
	struct fault fault = { 0 };
	enum rc rc = operations_add_job(ops, t, &fault);

	return rc == RC_OK ? RC_OK : end_unreadable(ops, t, &fault);
}

/* They run already, so they do not wait for their turn. */
static void begin_adopted(struct operations *ops)
{
	struct entry *e = TAILQ_FIRST(&ops->jobs);

	while (e != NULL) {
		struct entry *next = TAILQ_NEXT(e, link);

		/* A job may be over at once and leave the list. */
		if (job_is_adopted(e->job) && !job_has_begun(e->job)) {
			ops->running++;
			job_begin(e->job);
		}
		e = next;
	}
}

struct open_ticket {
	const struct ticket *ticket;
};

static int oldest_first(const void *a, const void *b)
{
	const struct ticket *x = ((const struct open_ticket *)a)->ticket;
	const struct ticket *y = ((const struct open_ticket *)b)->ticket;

	if (x->accepted_ms != y->accepted_ms)
		return x->accepted_ms < y->accepted_ms ? -1 : 1;
	return strcmp(x->id, y->id);
}

static enum rc recover(struct operations *ops)
{
	const struct tickets *all = ledger_tickets(ops->ledger);
	struct open_ticket *open;
	size_t count = 0, max = tickets_open(all);
	enum rc rc = RC_OK;

	open = calloc(max + 1, sizeof(*open));
	if (open == NULL)
		return RC_NOMEM;
	for (const struct ticket *t = tickets_next(all, NULL);
	     t != NULL && count < max; t = tickets_next(all, t)) {
		if (!t->ended)
			open[count++].ticket = t;
	}
	qsort(open, count, sizeof(*open), oldest_first);
	for (size_t i = 0; rc == RC_OK && i < count; i++)
		rc = recover_one(ops, open[i].ticket);
	free(open);
	return rc;
}

static bool is_open(const struct operations *ops, const char *id)
{
	const struct ticket *t = tickets_find(ledger_tickets(ops->ledger), id);

	return t != NULL && !t->ended;
}

static void sweep_worlds(struct operations *ops)
{
	struct dirent **names = NULL;
	int count = scandir(ops->worlds, &names, NULL, NULL);

	for (int i = 0; i < count; i++) {
		const char *id = names[i]->d_name;

		if (id_is_valid(id) && !is_open(ops, id))
			job_remove_secrets(&ops->place, id);
		free(names[i]);
	}
	free(names);
}

/* What a crash left of tickets never accepted, ended or forgotten. */
static void sweep_runs(struct operations *ops)
{
	const struct tickets *all = ledger_tickets(ops->ledger);
	struct dirent **names = NULL;
	int count = scandir(ops->runs, &names, NULL, NULL);

	sweep_worlds(ops);
	for (int i = 0; i < count; i++) {
		const char *id = names[i]->d_name;
		const struct ticket *t = tickets_find(all, id);

		if (id_is_valid(id)) {
			if (t == NULL || t->forgotten || t->tombstone)
				job_remove_all(&ops->place, id);
			else if (t->ended)
				job_remove_secrets(&ops->place, id);
		}
		free(names[i]);
	}
	free(names);
}

/* Beside the guardians' program, wherever that was found. */
static void find_helpers(struct operations *ops)
{
	char link[48], *slash;
	ssize_t n;

	(void)snprintf(
	    link, sizeof(link), "/proc/self/fd/%d", ops->place.guardian);
	n = readlink(link, ops->helpers, sizeof(ops->helpers) - 1);
	ops->helpers[n > 0 ? n : 0] = '\0';
	slash = strrchr(ops->helpers, '/');
	if (slash != NULL)
		*slash = '\0';
	/* It would end the entry of PATH. */
	if (strchr(ops->helpers, ':') != NULL)
		ops->helpers[0] = '\0';
}

static enum rc make_places(struct operations *ops, struct fault *fault)
{
	const char *state = ops->config.state;
	char blobs[FS_PATH_MAX];
	enum rc rc = fs_make_private_dir(state, fault);

	if (rc == RC_OK)
		rc = fs_join(ops->runs, sizeof(ops->runs), state, "runs");
	if (rc == RC_OK)
		rc = fs_join(ops->checks, sizeof(ops->checks), state, "checks");
	if (rc == RC_OK)
		rc = fs_join(blobs, sizeof(blobs), state, "blobs");
	if (rc == RC_OK)
		rc = fs_make_private_dir(ops->runs, fault);
	if (rc == RC_OK)
		rc = fs_make_private_dir(ops->checks, fault);
	if (rc == RC_OK)
		rc = blob_store_open(blobs, &ops->blobs, fault);
	if (rc == RC_OK)
		rc = run_open_guardian(
		    ops->config.guardian, &ops->place.guardian, fault);
	if (rc == RC_OK)
		find_helpers(ops);
	return rc;
}

/* So that an operator need not find out by a step that is refused. */
static void tell_limits(void)
{
	const struct cgroup_limits limits = { .memory = 64 << 20,
		.processes = 64 };
	struct cgroup c = { .oom_before = 0 };
	char name[32];

	(void)snprintf(name, sizeof(name), "probe-%d", (int)getpid());
	if (cgroup_make(&c, name, &limits) == RC_OK)
		log_debug("run", "", "scripts can have limits here");
	else
		log_warn("run", "",
		    "no control groups for memory and processes can be made "
		    "here: a script that asks for such a limit is refused");
	cgroup_remove(&c);
}

static void copy_config(struct operations *ops, struct loop *loop,
    struct worker_pool *workers, const struct operations_config *config)
{
	ops->config = *config;
	(void)snprintf(ops->apps, sizeof(ops->apps), "%s", config->apps);
	(void)snprintf(ops->lock, sizeof(ops->lock), "%s",
	    config->lock != NULL ? config->lock : "");
	/* No project has such a name. */
	if (snprintf(ops->worlds, sizeof(ops->worlds), "%s/.worlds",
		config->apps) >= (int)sizeof(ops->worlds))
		ops->worlds[0] = '\0';
	(void)snprintf(
	    ops->machine_id, sizeof(ops->machine_id), "%s", config->machine.id);
	(void)snprintf(ops->machine_name, sizeof(ops->machine_name), "%s",
	    config->machine.name);
	(void)snprintf(ops->home, sizeof(ops->home), "%s",
	    config->home != NULL ? config->home : "/");
	ops->place = (struct job_place){ .loop = loop,
		.workers = workers,
		.runs = ops->runs,
		.apps = ops->apps,
		.machine = { ops->machine_id, ops->machine_name },
		.home = ops->home,
		.worlds = ops->worlds,
		.helpers = ops->helpers,
		.lock = ops->lock,
		.guardian = -1,
		.unpack = config->unpack,
		.output_max = config->output_max,
		.grace_ms = config->grace_ms };
}

/* Tickets were accepted here, and what was promised with them is gone. */
static bool has_lost_journal(const struct operations *ops, struct fault *why)
{
	struct dirent **names = NULL;
	char path[FS_PATH_MAX];
	size_t tickets = 0;
	int count;

	if (fs_join(path, sizeof(path), ops->config.state, "journal") !=
		RC_OK ||
	    access(path, F_OK) == 0 || errno != ENOENT)
		return false;
	count = scandir(ops->runs, &names, NULL, NULL);
	for (int i = 0; i < count; i++) {
		tickets += id_is_valid(names[i]->d_name) ? 1 : 0;
		free(names[i]);
	}
	free(names);
	if (tickets > 0)
		fault_set(why, REASON_JOURNAL, "",
		    "%.120s is missing, but runs/ beside it holds %zu "
		    "tickets: put it back, or move runs/ away too",
		    path, tickets);
	return tickets > 0;
}

static enum rc open_ledger(struct operations *ops, struct fault *fault)
{
	struct fault why = { 0 };
	enum rc rc = RC_PROTO;

	if (!has_lost_journal(ops, &why))
		rc = ledger_open(ops->config.state, &ops->config.tickets,
		    &ops->ledger, &why);

	if (rc == RC_PROTO) {
		log_error("journal", "", "quarantine: %s", why.text);
		ops->quarantine = why;
		return RC_OK;
	}
	if (rc != RC_OK) {
		if (fault != NULL)
			*fault = why;
		return rc;
	}
	ops->place.ledger = ops->ledger;
	rc = recover(ops);
	if (rc != RC_OK)
		fault_set(fault, REASON_INTERNAL, "",
		    "the open tickets could not be taken up again: %s",
		    rc_name(rc));
	else
		sweep_runs(ops);
	return rc;
}

enum rc operations_open(struct loop *loop, struct worker_pool *workers,
    const struct operations_config *config, struct operations **out,
    struct fault *fault)
{
	struct operations *ops = calloc(1, sizeof(*ops));
	enum rc rc;

	if (ops == NULL)
		return RC_NOMEM;
	TAILQ_INIT(&ops->jobs);
	TAILQ_INIT(&ops->held);
	copy_config(ops, loop, workers, config);
	rc = make_places(ops, fault);
	ops->place.blobs = ops->blobs;
	if (rc == RC_OK)
		rc = remains_new(
		    workers, ops->runs, ops->worlds, &ops->place.remains);
	if (rc == RC_OK)
		rc = open_ledger(ops, fault);
	if (rc != RC_OK) {
		operations_close(ops);
		return rc;
	}
	tell_limits();
	rc = operations_prune_begin(ops);
	if (rc != RC_OK) {
		operations_close(ops);
		return rc;
	}
	begin_adopted(ops);
	operations_begin_jobs(ops);
	*out = ops;
	return RC_OK;
}

void operations_close(struct operations *ops)
{
	struct entry *e;

	if (ops == NULL)
		return;
	ops->closing = true;
	operations_drop_held(ops, NULL);
	while ((e = TAILQ_FIRST(&ops->jobs)) != NULL) {
		TAILQ_REMOVE(&ops->jobs, e, link);
		job_free(e->job);
		free(e);
	}
	for (size_t i = 0; i < OPERATIONS_HEALTH_MAX; i++)
		operations_check_free(&ops->health[i]);
	operations_prune_end(ops);
	operations_notes_drop(ops);
	remains_free(ops->place.remains);
	blob_store_close(ops->blobs);
	if (ops->place.guardian >= 0)
		(void)close(ops->place.guardian);
	ledger_close(ops->ledger);
	free(ops);
}

/* --- Small answers ------------------------------------------------------ */

const struct fault *operations_quarantine(const struct operations *ops)
{
	return ops->ledger == NULL ? &ops->quarantine : NULL;
}

const char *operations_journal(const struct operations *ops)
{
	return ops->ledger != NULL ? ledger_id(ops->ledger) : "";
}

uint64_t operations_counter(const struct operations *ops)
{
	return ops->ledger != NULL ? ledger_counter(ops->ledger) : 0;
}

struct blob_store *operations_blobs(struct operations *ops)
{
	return ops->blobs;
}

size_t operations_open_tickets(const struct operations *ops)
{
	return ops->ledger != NULL ? tickets_open(ledger_tickets(ops->ledger))
	                           : 0;
}

enum rc operations_welcome(struct operations *ops,
    const struct msg_incarnation *incarnation, struct fault *fault)
{
	struct journal_record r = { .type = JOURNAL_INCARNATION,
		.at_ms = operations_wall_ms(),
		.incarnation = *incarnation };
	enum rc rc;

	if (ops->ledger == NULL)
		return RC_OK; /* health only, and nothing can be synced */
	rc = tickets_check_incarnation(
	    ledger_tickets(ops->ledger), incarnation, fault);
	if (rc == RC_NOTFOUND)
		rc = ledger_commit(ops->ledger, &r, 1, fault);
	(void)operations_check_fatal(ops);
	return rc;
}

/* --- Logs and results --------------------------------------------------- */

void operations_fill_result(
    const struct journal_result *r, struct msg_result *out)
{
	*out = (struct msg_result){ .state = r->state,
		.exit_code = r->exit_code,
		.signal = r->signal,
		.log_size = r->log_size,
		.started_ms = r->started_ms,
		.ended_ms = r->ended_ms };
	if (r->cause != REASON_NONE)
		fault_set(&out->cause, r->cause, "", "%s", r->text);
	memcpy(out->log_sha256, r->log_sha256, sizeof(out->log_sha256));
}

const struct ticket *operations_find_ticket(
    const struct operations *ops, const char *id)
{
	return ops->ledger != NULL
	           ? tickets_find(ledger_tickets(ops->ledger), id)
	           : NULL;
}

enum rc operations_result(
    const struct operations *ops, const char *ticket, struct msg_result *out)
{
	const struct ticket *t = operations_find_ticket(ops, ticket);

	*out = (struct msg_result){ .state = TICKET_UNKNOWN };
	if (t == NULL) {
		fault_set(&out->cause, REASON_UNKNOWN, "",
		    "this machine does not know the ticket");
		return RC_OK;
	}
	if (!t->ended)
		return RC_AGAIN;
	operations_fill_result(&t->result, out);
	return RC_OK;
}

/* Masked on the disk when it ended; what was written later is not told. */
static enum rc read_ended(
    const char *dir, const struct ticket *t, struct runlog_range *range)
{
	struct runlog_range cut = *range;
	struct mask *empty = NULL;
	enum rc rc;

	if (range->offset >= t->result.log_size)
		return RC_OK;
	if (cut.size > t->result.log_size - range->offset)
		cut.size = (size_t)(t->result.log_size - range->offset);
	rc = mask_new(&empty);
	if (rc == RC_OK)
		rc = runlog_read(dir, empty, true, &cut);
	range->got = cut.got;
	mask_free(empty);
	return rc;
}

enum rc operations_read(struct operations *ops, const char *ticket,
    struct runlog_range *range, bool *ended)
{
	const struct ticket *t = operations_find_ticket(ops, ticket);
	const struct entry *e = operations_find_job(ops, ticket);
	char dir[FS_PATH_MAX];
	uint64_t readable;

	range->got = 0;
	*ended = t == NULL || t->ended;
	if (t == NULL || fs_join(dir, sizeof(dir), ops->runs, ticket) != RC_OK)
		return RC_NOTFOUND;
	if (t->ended)
		return read_ended(dir, t, range);
	/* Before it began there is nothing, and nothing to mask by. */
	readable = e != NULL ? job_readable(e->job) : 0;
	if (readable <= range->offset)
		return RC_OK;
	if (range->size > readable - range->offset)
		range->size = (size_t)(readable - range->offset);
	return runlog_read(dir, job_mask(e->job), false, range);
}

/*
 * What nobody needs any more: what tickets left, and staged packages.  Of
 * those, what open tickets name stays, and what was used within a day: a task
 * may have staged it, and wait for a person before it goes on.
 */
#include "tentacle/operations_base.h"

#include "common/log.h"

#include <stdlib.h>
#include <string.h>

#define PRUNE_MS  3600000
#define YOUNG_S   86400
#define PARTIAL_S (UINT64_C(7) * 86400) /* half a package */

struct prune {
	struct operations *ops;
	struct blob_store *blobs;
	struct blob_budget budget;
	struct blob_digest *keep;
	struct blob_shrunk done;
	enum rc rc;
};

static void prune_free(struct prune *p)
{
	if (p == NULL)
		return;
	free(p->keep);
	free(p);
}

static void work(void *arg)
{
	struct prune *p = arg;

	blob_prune(p->blobs, PARTIAL_S);
	p->rc = blob_shrink(p->blobs, &p->budget, &p->done);
}

static void worked(void *arg)
{
	struct prune *p = arg;
	struct operations *ops = p->ops;

	if (p->rc != RC_OK)
		log_warn("ops", "", "staged packages: %s", rc_name(p->rc));
	else if (p->done.count > 0)
		log_info("ops", "",
		    "staged packages: removed %llu with %llu bytes, %llu stay",
		    (unsigned long long)p->done.count,
		    (unsigned long long)p->done.bytes,
		    (unsigned long long)p->done.left);
	ops->prune = NULL;
	prune_free(p);
	loop_timer_set(ops->prune_timer, PRUNE_MS);
}

static size_t count_jobs(const struct operations *ops)
{
	const struct entry *e;
	size_t n = 0;

	TAILQ_FOREACH(e, &ops->jobs, link)
	n++;
	return n;
}

static void begin(void *arg)
{
	struct operations *ops = arg;
	const struct entry *e;
	struct prune *p;

	loop_timer_set(ops->prune_timer, PRUNE_MS);
	remains_look(ops->place.remains);
	/* One that takes more than an hour. */
	if (ops->prune != NULL)
		return;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return;
	p->ops = ops;
	p->blobs = ops->blobs;
	p->keep = calloc(count_jobs(ops) + 1, sizeof(*p->keep));
	if (p->keep == NULL) {
		prune_free(p);
		return;
	}
	p->budget = (struct blob_budget){ .bytes = ops->config.blobs_max,
		.age_s = ops->config.blobs_age_s,
		.young_s = YOUNG_S,
		.keep = p->keep };
	TAILQ_FOREACH(e, &ops->jobs, link)
	{
		if (blob_digest_parse(job_blob(e->job),
			&p->keep[p->budget.keep_count]) == RC_OK)
			p->budget.keep_count++;
	}
	ops->prune = p;
	if (worker_submit(ops->place.workers, work, worked, p) != RC_OK) {
		ops->prune = NULL;
		prune_free(p);
	}
}

enum rc operations_prune_begin(struct operations *ops)
{
	enum rc rc =
	    loop_timer_new(ops->place.loop, begin, ops, &ops->prune_timer);

	if (rc == RC_OK)
		begin(ops);
	return rc;
}

void operations_prune_end(struct operations *ops)
{
	loop_timer_free(ops->prune_timer);
	prune_free(ops->prune);
}

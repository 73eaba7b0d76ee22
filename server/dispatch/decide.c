/* decide.c - what people decided about tasks that wait: from the rows to the
 * engine, which knows what of it is still to be done. */
#include "server/dispatch/work.h"

#include "common/log.h"
#include "common/xalloc.h"

#include <stdlib.h>

struct decided {
	struct store_job job;
	struct dispatch *dispatch;
	uint64_t number;
	struct store_decision *rows;
	size_t count;
};

void work_tell_decisions(
    struct dispatch *d, const struct store_decision *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct store_decision *row = &rows[i];
		struct engine_fact fact = { .type = FACT_DECISION,
			.key = row->key,
			.verb = row->verb,
			.attempt = row->attempt };

		fault_set(&fact.fault, REASON_NONE, "", "%.60s%s%.180s",
		    row->who, row->note[0] != '\0' ? ": " : "", row->note);
		work_tell(d, &fact);
	}
}

static enum rc read_rows(struct db *db, struct store_job *job)
{
	struct decided *a = CONTAINER_OF(job, struct decided, job);

	return store_decision_open(db, a->number, &a->rows, &a->count);
}

static void have_rows(struct store_job *job, enum rc rc)
{
	struct decided *a = CONTAINER_OF(job, struct decided, job);
	struct dispatch *d = a->dispatch;

	/* One that is not here yet reads them when it is loaded. */
	if (!work_closed(d) && rc == RC_OK)
		work_tell_decisions(d, a->rows, a->count);
	else if (rc != RC_OK)
		log_error("dispatch", NULL,
		    "the decisions about task-%llu cannot be read: %s",
		    (unsigned long long)a->number, rc_name(rc));
	free(a->rows);
	free(a);
}

void dispatch_task_decided(struct dispatch *d, uint64_t number)
{
	struct decided *a = xcalloc(1, sizeof(*a));

	a->dispatch = d;
	a->number = number;
	a->job.run = read_rows;
	a->job.done = have_rows;
	work_submit(d, &a->job);
}

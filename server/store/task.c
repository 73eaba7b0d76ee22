#include "server/store/task.h"
#include "server/store/list.h"
#include "server/store/task_read.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS                                                                \
	"SELECT id, kind, state, title, project, release, environment,"        \
	" deployment, who, cancel_who, epoch, owner, incarnation, fact_seq,"   \
	" reason, reason_at, reason_text, machine_count, ok_count,"            \
	" failed_count, partial, created_ms, started_ms, ended_ms, waiting,"   \
	" approved, approval, guided FROM task"

void task_read_fault(struct query *q, int column, struct fault *f)
{
	fault_clear(f);
	if (reason_parse(query_get_text(q, column), &f->code) != RC_OK)
		f->code = REASON_INTERNAL;
	query_copy_text(q, column + 1, f->at, sizeof(f->at));
	query_copy_text(q, column + 2, f->text, sizeof(f->text));
}

static void read_words(struct query *q, struct store_task *t)
{
	if (task_kind_parse(query_get_text(q, 1), &t->kind) != RC_OK)
		t->kind = TASK_RUN;
	if (task_state_parse(query_get_text(q, 2), &t->row.state) != RC_OK)
		t->row.state = TASK_FAILED;
	query_copy_text(q, 3, t->title, sizeof(t->title));
	query_copy_text(q, 4, t->project, sizeof(t->project));
	query_copy_text(q, 5, t->release, sizeof(t->release));
	query_copy_text(q, 6, t->environment, sizeof(t->environment));
	query_copy_text(q, 8, t->who, sizeof(t->who));
	query_copy_text(q, 9, t->cancel_who, sizeof(t->cancel_who));
	query_copy_text(q, 11, t->owner, sizeof(t->owner));
	query_copy_text(q, 12, t->incarnation, sizeof(t->incarnation));
	task_read_fault(q, 14, &t->row.fault);
}

static void read_row(struct query *q, struct store_task *t)
{
	*t = (struct store_task){ .row.number = query_get_u64(q, 0) };
	read_words(q, t);
	t->deployment = query_get_u64(q, 7);
	t->row.epoch = query_get_u64(q, 10);
	t->fact_seq = query_get_u64(q, 13);
	t->machine_count = (uint32_t)query_get_u64(q, 17);
	t->row.ok_count = (uint32_t)query_get_u64(q, 18);
	t->row.failed_count = (uint32_t)query_get_u64(q, 19);
	t->row.partial = query_get_bool(q, 20);
	t->created_ms = query_get_u64(q, 21);
	t->row.started_ms = query_get_u64(q, 22);
	t->row.ended_ms = query_get_u64(q, 23);
	t->row.waiting = (uint32_t)query_get_u64(q, 24);
	t->row.approved = (uint32_t)query_get_u64(q, 25);
	t->row.approval = (uint32_t)query_get_u64(q, 26);
	t->guided = query_get_bool(q, 27);
}

static unsigned long long number_of(uint64_t number)
{
	return (unsigned long long)number;
}

enum rc store_task_get(
    struct db *db, uint64_t number, struct store_task *out, struct fault *fault)
{
	struct query q;
	enum rc rc;

	query_start(&q, db, COLUMNS " WHERE id = ?");
	query_u64(&q, number);
	rc = query_step(&q);
	if (rc == RC_OK)
		read_row(&q, out);
	query_end(&q);
	return db_fault(db, rc, fault, "task-%llu", number_of(number));
}

#define OPEN_STATES "('queued', 'running', 'cancelling')"
#define FILTERED                                                               \
	" WHERE id < ?1 AND (?2 = '' OR project = ?2)"                         \
	" AND (?3 = '' OR environment = ?3) AND (?4 = '' OR kind = ?4)"        \
	" AND (?5 = '' OR state = ?5)"                                         \
	" AND (?6 = 0 OR state IN " OPEN_STATES ") ORDER BY id DESC LIMIT ?7"

enum rc store_task_list(struct db *db, const struct store_task_filter *filter,
    const struct store_task_page *page, struct store_task **rows, size_t *count)
{
	uint32_t limit = list_limit(page->limit);
	struct store_task *all = calloc(limit, sizeof(*all));
	struct query q;
	size_t n = 0;
	enum rc rc;

	if (all == NULL)
		return RC_NOMEM;
	query_start(&q, db, COLUMNS FILTERED);
	query_u64(&q, page->before == 0 ? INT64_MAX : page->before);
	query_text(&q, text_or_empty(filter->project));
	query_text(&q, text_or_empty(filter->environment));
	query_text(&q, filter->kind == TASK_KIND_COUNT
			   ? ""
			   : task_kind_name(filter->kind));
	query_text(&q, filter->state == TASK_STATE_COUNT
			   ? ""
			   : task_state_name(filter->state));
	query_int(&q, filter->open_only);
	query_int(&q, limit);
	while (n < limit && query_step(&q) == RC_OK)
		read_row(&q, &all[n++]);
	rc = list_end(&q, q.rc);
	if (rc != RC_OK) {
		free(all);
		return rc;
	}
	*rows = all;
	*count = n;
	return RC_OK;
}

enum rc store_task_open(struct db *db, uint64_t after, uint32_t limit,
    uint64_t **numbers, size_t *count)
{
	uint32_t most = list_limit(limit);
	uint64_t *all = calloc(most, sizeof(*all));
	struct query q;
	size_t n = 0;
	enum rc rc;

	if (all == NULL)
		return RC_NOMEM;
	query_start(&q, db,
	    "SELECT id FROM task WHERE state IN " OPEN_STATES
	    " AND id > ? ORDER BY id LIMIT ?");
	query_u64(&q, after);
	query_int(&q, most);
	while (n < most && query_step(&q) == RC_OK)
		all[n++] = query_get_u64(&q, 0);
	rc = list_end(&q, q.rc);
	if (rc != RC_OK) {
		free(all);
		return rc;
	}
	*numbers = all;
	*count = n;
	return RC_OK;
}

enum rc store_task_claim(struct db *db, uint64_t number,
    const struct store_owner *who, uint64_t *epoch)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "UPDATE task SET owner = ?, incarnation = ?, epoch = epoch + 1"
	    " WHERE id = ? AND state IN " OPEN_STATES " RETURNING epoch");
	query_text(&q, who->owner);
	query_text(&q, who->incarnation);
	query_u64(&q, number);
	rc = query_step(&q);
	if (rc == RC_OK) {
		*epoch = query_get_u64(&q, 0);
		return query_run(&q, NULL);
	}
	query_end(&q);
	return rc;
}

enum rc store_task_cancel(
    struct db *db, uint64_t number, const char *who, struct fault *fault)
{
	struct store_task t = { 0 };
	struct query q;
	enum rc rc = store_task_get(db, number, &t, fault);

	if (rc != RC_OK)
		return rc;
	if (task_state_is_final(t.row.state)) {
		fault_set(fault, REASON_CONFLICT, "",
		    "task-%llu: has ended (%s)", number_of(number),
		    task_state_name(t.row.state));
		return RC_STATE;
	}
	/* The first who asked stays on record. */
	query_start(&q, db,
	    "UPDATE task SET cancel_who = CASE cancel_who WHEN '' THEN ?"
	    " ELSE cancel_who END WHERE id = ?");
	query_text(&q, who);
	query_u64(&q, number);
	return db_fault(
	    db, query_change(&q), fault, "task-%llu", number_of(number));
}

enum rc store_task_settled(struct db *db, uint64_t *below)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "SELECT coalesce((SELECT id FROM task"
	    "  WHERE state IN ('queued', 'running', 'cancelling')"
	    "  ORDER BY id LIMIT 1),"
	    " (SELECT id + 1 FROM task ORDER BY id DESC LIMIT 1), 1)");
	rc = query_step(&q);
	if (rc == RC_OK)
		*below = query_get_u64(&q, 0);
	query_end(&q);
	return rc;
}

#include "server/store/project.h"
#include "server/store/list.h"

#include <stdlib.h>

void store_project_clear(struct store_project *p)
{
	free(p->process);
	p->process = NULL;
}

enum rc store_project_create(
    struct db *db, const struct store_project *p, struct fault *fault)
{
	struct query q;

	query_start(&q, db,
	    "INSERT INTO project(name, description, version, process,"
	    " created_ms, updated_ms) VALUES (?1, ?2, 1, ?3, ?4, ?4)");
	query_text(&q, p->name);
	query_text(&q, p->description);
	query_text(&q, text_or_empty(p->process));
	query_u64(&q, p->created_ms);
	return db_fault(db, query_run(&q, NULL), fault, "project %s", p->name);
}

#define COLUMNS "SELECT name, description, version, created_ms, updated_ms"

static void read_row(struct query *q, struct store_project *p)
{
	query_copy_text(q, 0, p->name, sizeof(p->name));
	query_copy_text(q, 1, p->description, sizeof(p->description));
	p->version = query_get_u64(q, 2);
	p->created_ms = query_get_u64(q, 3);
	p->updated_ms = query_get_u64(q, 4);
}

enum rc store_project_get(struct db *db, const char *name,
    struct store_project *out, struct fault *fault)
{
	struct store_project p = { 0 };
	struct query q;
	enum rc rc;

	query_start(&q, db, COLUMNS ", process FROM project WHERE name = ?");
	query_text(&q, name);
	rc = query_step(&q);
	if (rc == RC_OK) {
		read_row(&q, &p);
		rc = query_dup_text(&q, 5, &p.process);
	}
	query_end(&q);
	if (rc == RC_OK)
		*out = p;
	return db_fault(db, rc, fault, "project %s", name);
}

enum rc store_project_check(
    struct db *db, const char *name, struct fault *fault)
{
	struct store_project p = { 0 };
	enum rc rc = store_project_get(db, name, &p, NULL);

	store_project_clear(&p);
	if (rc == RC_NOTFOUND)
		fault_set(fault, REASON_NOT_FOUND, "",
		    "project %s: not found: longarm project list", name);
	return db_fault(db, rc, fault, "project %s", name);
}

enum rc store_project_list(struct db *db, const struct page *page,
    struct store_project **rows, size_t *count)
{
	uint32_t limit = list_limit(page->limit);
	struct store_project *all = calloc(limit, sizeof(*all));
	struct query q;
	size_t n = 0;
	enum rc rc;

	if (all == NULL)
		return RC_NOMEM;
	query_start(&q, db,
	    COLUMNS " FROM project WHERE name > ? ORDER BY name LIMIT ?");
	query_text(&q, list_after(page));
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

enum rc store_project_set_process(struct db *db, const struct store_project *p,
    uint64_t if_version, uint64_t now_ms, struct fault *fault)
{
	struct store_project there = { 0 };
	struct query q;
	enum rc rc = store_project_get(db, p->name, &there, fault);

	store_project_clear(&there);
	if (rc != RC_OK)
		return rc;
	if (if_version != 0 && if_version != there.version) {
		fault_set(fault, REASON_CONFLICT, "",
		    "project %s: is at version %llu by now, not %llu; read it "
		    "again",
		    p->name, (unsigned long long)there.version,
		    (unsigned long long)if_version);
		return RC_STATE;
	}
	query_start(&q, db,
	    "UPDATE project SET process = ?, description = ?,"
	    " version = version + 1, updated_ms = ? WHERE name = ?");
	query_text(&q, text_or_empty(p->process));
	query_text(&q, p->description);
	query_u64(&q, now_ms);
	query_text(&q, p->name);
	return db_fault(db, query_change(&q), fault, "project %s", p->name);
}

enum rc store_project_delete(
    struct db *db, const char *name, struct fault *fault)
{
	enum rc rc =
	    list_change(db, "DELETE FROM project WHERE name = ?", name);

	if (rc == RC_STATE)
		fault_set(fault, REASON_CONFLICT, "",
		    "project %s: it has releases; delete them first", name);
	return db_fault(db, rc, fault, "project %s", name);
}

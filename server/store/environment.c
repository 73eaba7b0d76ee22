#include "server/store/environment.h"
#include "server/store/list.h"

#include <stdlib.h>

enum rc store_environment_create(
    struct db *db, const struct store_environment *e, struct fault *fault)
{
	struct query q;

	query_start(&q, db,
	    "INSERT INTO environment(name, description, created_ms)"
	    " VALUES (?, ?, ?)");
	query_text(&q, e->name);
	query_text(&q, e->description);
	query_u64(&q, e->created_ms);
	return db_fault(
	    db, query_run(&q, NULL), fault, "environment %s", e->name);
}

#define COLUMNS                                                                \
	"SELECT e.name, e.description, e.created_ms,"                          \
	" (SELECT count(*) FROM machine_environment m"                         \
	"  WHERE m.environment = e.name) FROM environment e"

static void read_row(struct query *q, struct store_environment *out)
{
	query_copy_text(q, 0, out->name, sizeof(out->name));
	query_copy_text(q, 1, out->description, sizeof(out->description));
	out->created_ms = query_get_u64(q, 2);
	out->machines = query_get_u64(q, 3);
}

enum rc store_environment_get(struct db *db, const char *name,
    struct store_environment *out, struct fault *fault)
{
	struct query q;
	enum rc rc;

	query_start(&q, db, COLUMNS " WHERE e.name = ?");
	query_text(&q, name);
	rc = query_step(&q);
	if (rc == RC_OK)
		read_row(&q, out);
	query_end(&q);
	return db_fault(db, rc, fault, "environment %s", name);
}

enum rc store_environment_list(struct db *db, const struct page *page,
    struct store_environment **rows, size_t *count)
{
	uint32_t limit = list_limit(page->limit);
	struct store_environment *all = calloc(limit, sizeof(*all));
	struct query q;
	size_t n = 0;
	enum rc rc;

	if (all == NULL)
		return RC_NOMEM;
	query_start(
	    &q, db, COLUMNS " WHERE e.name > ? ORDER BY e.name LIMIT ?");
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

/* Variables and keys that name it would otherwise come back to life with the
 * next environment of that name; a key would lose its confinement. */
enum rc store_environment_delete(
    struct db *db, const char *name, struct fault *fault)
{
	struct store_environment e = { 0 };
	enum rc rc = store_environment_get(db, name, &e, fault);

	if (rc != RC_OK)
		return rc;
	if (e.machines > 0) {
		fault_set(fault, REASON_CONFLICT, "",
		    "environment %s: %llu machines are still in it; move or "
		    "remove them first",
		    name, (unsigned long long)e.machines);
		return RC_STATE;
	}
	rc = list_change(db, "DELETE FROM environment WHERE name = ?", name);
	if (rc == RC_STATE)
		fault_set(fault, REASON_CONFLICT, "",
		    "environment %s: API keys are confined to it; delete them "
		    "first",
		    name);
	return db_fault(db, rc, fault, "environment %s", name);
}

#include "server/store/package.h"
#include "server/store/list.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS                                                                \
	"SELECT name, version, digest, size, created_ms, who FROM package"

static void read_row(struct query *q, struct store_package *p)
{
	query_copy_text(q, 0, p->name, sizeof(p->name));
	query_copy_text(q, 1, p->version, sizeof(p->version));
	query_copy_text(q, 2, p->digest, sizeof(p->digest));
	p->size = query_get_u64(q, 3);
	p->created_ms = query_get_u64(q, 4);
	query_copy_text(q, 5, p->who, sizeof(p->who));
}

static enum rc insert(struct db *db, const struct store_package *p)
{
	struct query q;

	query_start(&q, db,
	    "INSERT INTO package(name, version, digest, size, created_ms, who)"
	    " VALUES (?, ?, ?, ?, ?, ?)");
	query_text(&q, p->name);
	query_text(&q, p->version);
	query_text(&q, p->digest);
	query_u64(&q, p->size);
	query_u64(&q, p->created_ms);
	query_text(&q, p->who);
	return query_run(&q, NULL);
}

enum rc store_package_create(
    struct db *db, const struct store_package *p, struct fault *fault)
{
	struct store_package there = { 0 };
	enum rc rc = insert(db, p);

	if (rc != RC_EXISTS)
		return db_fault(
		    db, rc, fault, "package %s %s", p->name, p->version);
	rc = store_package_get(db, p->name, p->version, &there, fault);
	if (rc != RC_OK || strcmp(there.digest, p->digest) == 0)
		return rc;
	fault_set(fault, REASON_CONFLICT, "",
	    "package %s %s: exists already with other content; push it under "
	    "a new version",
	    p->name, p->version);
	return RC_EXISTS;
}

enum rc store_package_get(struct db *db, const char *name, const char *version,
    struct store_package *out, struct fault *fault)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    COLUMNS " WHERE name = ?1 AND (?2 = '' OR version = ?2)"
		    " ORDER BY created_ms DESC, version DESC LIMIT 1");
	query_text(&q, name);
	query_text(&q, text_or_empty(version));
	rc = query_step(&q);
	if (rc == RC_OK)
		read_row(&q, out);
	query_end(&q);
	return db_fault(
	    db, rc, fault, "package %s %s", name, text_or_empty(version));
}

enum rc store_package_list(struct db *db, const char *name,
    const struct page *page, struct store_package **rows, size_t *count)
{
	uint32_t limit = list_limit(page->limit);
	struct store_package *all = calloc(limit, sizeof(*all));
	struct query q;
	size_t n = 0;
	enum rc rc;

	if (all == NULL)
		return RC_NOMEM;
	/* Neither a name nor a version holds a blank, which sorts first. */
	query_start(&q, db,
	    COLUMNS " WHERE (?1 = '' OR name = ?1)"
		    " AND name || ' ' || version > ?2"
		    " ORDER BY name || ' ' || version LIMIT ?3");
	query_text(&q, text_or_empty(name));
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

enum rc store_package_delete(
    struct db *db, const char *name, const char *version, struct fault *fault)
{
	struct query q;
	enum rc rc;

	query_start(
	    &q, db, "DELETE FROM package WHERE name = ? AND version = ?");
	query_text(&q, name);
	query_text(&q, version);
	rc = query_change(&q);
	if (rc == RC_STATE)
		fault_set(fault, REASON_CONFLICT, "",
		    "package %s %s: a release uses it; delete that first", name,
		    version);
	return db_fault(db, rc, fault, "package %s %s", name, version);
}

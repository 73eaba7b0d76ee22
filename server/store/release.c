#include "server/store/list.h"
#include "server/store/project.h"

#include <stdlib.h>

void store_release_clear(struct store_release *r)
{
	free(r->snapshot);
	r->snapshot = NULL;
}

void store_releases_free(struct store_release *rows, size_t count)
{
	for (size_t i = 0; rows != NULL && i < count; i++)
		store_release_clear(&rows[i]);
	free(rows);
}

static enum rc insert_packages(struct db *db, const struct store_release *r,
    int64_t release, struct fault *fault)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < r->package_count; i++) {
		const struct store_release_package *p = &r->packages[i];
		struct query q;

		query_start(&q, db,
		    "INSERT INTO release_package(release, package, version)"
		    " VALUES (?, ?, ?)");
		query_int(&q, release);
		query_text(&q, p->name);
		query_text(&q, p->version);
		rc = query_run(&q, NULL);
		if (rc == RC_STATE)
			fault_set(fault, REASON_NOT_FOUND, "",
			    "package %s %s: not found; push it first", p->name,
			    p->version);
		if (rc == RC_EXISTS)
			fault_set(fault, REASON_CONFLICT, "",
			    "package %s: named twice", p->name);
	}
	return rc;
}

enum rc store_release_create(
    struct db *db, const struct store_release *r, struct fault *fault)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "INSERT INTO release(project, version, project_version, snapshot,"
	    " created_ms, who) VALUES (?, ?, ?, ?, ?, ?)");
	query_text(&q, r->project);
	query_text(&q, r->version);
	query_u64(&q, r->project_version);
	query_text(&q, text_or_empty(r->snapshot));
	query_u64(&q, r->created_ms);
	query_text(&q, r->who);
	rc = query_run(&q, NULL);
	if (rc == RC_STATE)
		fault_set(fault, REASON_NOT_FOUND, "", "project %s: not found",
		    r->project);
	if (rc == RC_OK)
		rc = insert_packages(db, r, db_last_id(db), fault);
	return db_fault(
	    db, rc, fault, "release %s of %s", r->version, r->project);
}

#define COLUMNS "SELECT id, project, version, project_version, created_ms, who"

static int64_t read_row(struct query *q, struct store_release *r)
{
	query_copy_text(q, 1, r->project, sizeof(r->project));
	query_copy_text(q, 2, r->version, sizeof(r->version));
	r->project_version = query_get_u64(q, 3);
	r->created_ms = query_get_u64(q, 4);
	query_copy_text(q, 5, r->who, sizeof(r->who));
	return query_get_int(q, 0);
}

static enum rc load_packages(
    struct db *db, int64_t release, struct store_release *r)
{
	struct query q;

	query_start(&q, db,
	    "SELECT package, version FROM release_package WHERE release = ?"
	    " ORDER BY package");
	query_int(&q, release);
	while (
	    r->package_count < STORE_PACKAGES_MAX && query_step(&q) == RC_OK) {
		struct store_release_package *p =
		    &r->packages[r->package_count++];

		query_copy_text(&q, 0, p->name, sizeof(p->name));
		query_copy_text(&q, 1, p->version, sizeof(p->version));
	}
	return list_end(&q, q.rc);
}

/* There is no such release: is there such a project? */
static enum rc not_found(struct db *db, const char *project,
    const char *version, struct fault *fault)
{
	enum rc rc = store_project_check(db, project, fault);

	if (rc != RC_OK)
		return rc;
	fault_set(fault, REASON_NOT_FOUND, "",
	    "release %s of %s: not found: longarm release list %s", version,
	    project, project);
	return RC_NOTFOUND;
}

enum rc store_release_get(struct db *db, const char *project,
    const char *version, struct store_release *out, struct fault *fault)
{
	struct store_release *r = calloc(1, sizeof(*r));
	struct query q;
	int64_t id = 0;
	enum rc rc;

	if (r == NULL)
		return RC_NOMEM;
	query_start(&q, db,
	    COLUMNS ", snapshot FROM release"
		    " WHERE project = ? AND version = ?");
	query_text(&q, project);
	query_text(&q, version);
	rc = query_step(&q);
	if (rc == RC_OK) {
		id = read_row(&q, r);
		rc = query_dup_text(&q, 6, &r->snapshot);
	}
	query_end(&q);
	if (rc == RC_OK)
		rc = load_packages(db, id, r);
	if (rc == RC_OK) {
		*out = *r;
		r->snapshot = NULL;
	}
	store_releases_free(r, 1);
	if (rc == RC_NOTFOUND)
		return not_found(db, project, version, fault);
	return db_fault(db, rc, fault, "release %s of %s", version, project);
}

struct listing {
	struct store_release *rows;
	int64_t *ids;
	size_t count;
};

static enum rc list_rows(struct db *db, const char *project,
    const struct page *page, struct listing *out)
{
	uint32_t limit = list_limit(page->limit);
	struct query q;

	query_start(&q, db,
	    COLUMNS " FROM release WHERE project = ?1 AND (?2 = '' OR id <"
		    " (SELECT id FROM release WHERE project = ?1"
		    "  AND version = ?2)) ORDER BY id DESC LIMIT ?3");
	query_text(&q, project);
	query_text(&q, list_after(page));
	query_int(&q, limit);
	while (out->count < limit && query_step(&q) == RC_OK) {
		out->ids[out->count] = read_row(&q, &out->rows[out->count]);
		out->count++;
	}
	return list_end(&q, q.rc);
}

enum rc store_release_list(struct db *db, const char *project,
    const struct page *page, struct store_release **rows, size_t *count)
{
	uint32_t limit = list_limit(page->limit);
	struct listing all = {
		.rows = calloc(limit, sizeof(*all.rows)),
		.ids = calloc(limit, sizeof(*all.ids)),
	};
	enum rc rc = RC_NOMEM;

	if (all.rows != NULL && all.ids != NULL)
		rc = list_rows(db, project, page, &all);
	for (size_t i = 0; rc == RC_OK && i < all.count; i++)
		rc = load_packages(db, all.ids[i], &all.rows[i]);
	if (rc == RC_OK) {
		*rows = all.rows;
		*count = all.count;
		all.rows = NULL;
	}
	store_releases_free(all.rows, all.count);
	free(all.ids);
	return rc;
}

enum rc store_release_delete(struct db *db, const char *project,
    const char *version, struct fault *fault)
{
	struct query q;

	query_start(
	    &q, db, "DELETE FROM release WHERE project = ? AND version = ?");
	query_text(&q, project);
	query_text(&q, version);
	return db_fault(
	    db, query_change(&q), fault, "release %s of %s", version, project);
}

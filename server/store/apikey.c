#include "server/store/apikey.h"
#include "server/store/list.h"

#include <stdlib.h>
#include <string.h>

void store_apikey_clear(struct store_apikey *k)
{
	names_clear(&k->environments);
}

void store_apikeys_free(struct store_apikey *rows, size_t count)
{
	for (size_t i = 0; rows != NULL && i < count; i++)
		store_apikey_clear(&rows[i]);
	free(rows);
}

enum rc store_apikey_create(
    struct db *db, const struct store_apikey *k, struct fault *fault)
{
	const struct names_insert how = {
		.sql = "INSERT INTO apikey_environment(apikey, environment)"
		       " VALUES (?, ?)",
		.key = k->id,
		.what = "environment",
	};
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "INSERT INTO apikey(id, name, secret, permissions, expires_ms,"
	    " created_ms) VALUES (?, ?, ?, ?, ?, ?)");
	query_text(&q, k->id);
	query_text(&q, k->name);
	query_blob(&q, k->secret, sizeof(k->secret));
	query_u64(&q, k->permissions);
	query_u64(&q, k->expires_ms);
	query_u64(&q, k->created_ms);
	rc = query_run(&q, NULL);
	if (rc == RC_OK)
		rc = list_insert(db, &how, &k->environments, fault);
	return db_fault(db, rc, fault, "API key %s", k->name);
}

#define COLUMNS                                                                \
	"SELECT id, name, secret, permissions, expires_ms, last_used_ms,"      \
	" created_ms FROM apikey"

static void read_row(struct query *q, struct store_apikey *k)
{
	query_copy_text(q, 0, k->id, sizeof(k->id));
	query_copy_text(q, 1, k->name, sizeof(k->name));
	query_copy_blob(q, 2, k->secret, sizeof(k->secret));
	k->permissions = query_get_u64(q, 3);
	k->expires_ms = query_get_u64(q, 4);
	k->last_used_ms = query_get_u64(q, 5);
	k->created_ms = query_get_u64(q, 6);
}

static enum rc load_environments(struct db *db, struct store_apikey *k)
{
	struct query q;

	query_start(&q, db,
	    "SELECT environment FROM apikey_environment WHERE apikey = ?"
	    " ORDER BY environment");
	query_text(&q, k->id);
	return list_names(&q, &k->environments);
}

enum rc store_apikey_get(
    struct db *db, const char *id, struct store_apikey *out)
{
	struct store_apikey k = { 0 };
	struct query q;
	enum rc rc;

	query_start(&q, db, COLUMNS " WHERE id = ?");
	query_text(&q, id);
	rc = query_step(&q);
	if (rc == RC_OK)
		read_row(&q, &k);
	query_end(&q);
	if (rc == RC_OK)
		rc = load_environments(db, &k);
	if (rc != RC_OK) {
		/* A key must never lose its confinement by an error. */
		store_apikey_clear(&k);
		return rc;
	}
	*out = k;
	return RC_OK;
}

enum rc store_apikey_list(struct db *db, const struct page *page,
    struct store_apikey **rows, size_t *count)
{
	uint32_t limit = list_limit(page->limit);
	struct store_apikey *all = calloc(limit, sizeof(*all));
	struct query q;
	size_t n = 0;
	enum rc rc;

	if (all == NULL)
		return RC_NOMEM;
	query_start(&q, db, COLUMNS " WHERE name > ? ORDER BY name LIMIT ?");
	query_text(&q, list_after(page));
	query_int(&q, limit);
	while (n < limit && query_step(&q) == RC_OK)
		read_row(&q, &all[n++]);
	rc = list_end(&q, q.rc);
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		rc = load_environments(db, &all[i]);
	if (rc != RC_OK) {
		store_apikeys_free(all, n);
		return rc;
	}
	*rows = all;
	*count = n;
	return RC_OK;
}

enum rc store_apikey_delete(
    struct db *db, const char *name_or_id, struct fault *fault)
{
	return db_fault(db,
	    list_change(db,
		"DELETE FROM apikey WHERE id = (SELECT id FROM apikey"
		" WHERE id = ?1 OR name = ?1 ORDER BY name = ?1 DESC LIMIT 1)",
		name_or_id),
	    fault, "API key %s", name_or_id);
}

enum rc store_apikey_used(struct db *db, const char *id, uint64_t now_ms)
{
	struct query q;

	query_start(&q, db,
	    "UPDATE apikey SET last_used_ms = ?1"
	    " WHERE id = ?2 AND last_used_ms + 60000 < ?1");
	query_u64(&q, now_ms);
	query_text(&q, id);
	return query_run(&q, NULL);
}

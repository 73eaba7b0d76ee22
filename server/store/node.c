#include "server/store/node.h"
#include "server/store/list.h"

#include <stdlib.h>
#include <string.h>

/* Of keys whose certificate has ended. */
#define KEPT_MS (90ULL * 24 * 3600 * 1000)

enum rc store_node_seen(struct db *db, const struct store_node *node)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "INSERT INTO node_key(spki, name, version, not_after_ms, first_ms,"
	    " seen_ms) VALUES (?, ?, ?, ?, ?, ?)"
	    " ON CONFLICT (spki) DO UPDATE SET name = excluded.name,"
	    " version = excluded.version, not_after_ms = excluded.not_after_ms,"
	    " seen_ms = excluded.seen_ms");
	query_blob(&q, node->spki, sizeof(node->spki));
	query_text(&q, node->name);
	query_text(&q, node->version);
	query_u64(&q, node->not_after_ms);
	query_u64(&q, node->seen_ms);
	query_u64(&q, node->seen_ms);
	rc = query_run(&q, NULL);
	if (rc != RC_OK || node->seen_ms < KEPT_MS)
		return rc;
	query_start(&q, db,
	    "DELETE FROM node_key WHERE not_after_ms < ?1 AND seen_ms < ?1");
	query_u64(&q, node->seen_ms - KEPT_MS);
	return query_run(&q, NULL);
}

static void read_row(struct query *q, struct store_node *n)
{
	query_copy_text(q, 0, n->name, sizeof(n->name));
	query_copy_blob(q, 1, n->spki, sizeof(n->spki));
	query_copy_text(q, 2, n->version, sizeof(n->version));
	n->not_after_ms = query_get_u64(q, 3);
	n->first_ms = query_get_u64(q, 4);
	n->seen_ms = query_get_u64(q, 5);
	n->revoked = query_get_bool(q, 6);
}

enum rc store_node_list(struct db *db, struct store_node **rows, size_t *count)
{
	struct store_node *all = calloc(STORE_NODES_MAX, sizeof(*all));
	struct query q;
	size_t n = 0;
	enum rc rc;

	if (all == NULL)
		return RC_NOMEM;
	query_start(&q, db,
	    "SELECT name, spki, version, not_after_ms, first_ms, seen_ms,"
	    " EXISTS (SELECT 1 FROM revocation r WHERE r.spki = node_key.spki)"
	    " FROM node_key ORDER BY name, first_ms, spki LIMIT ?");
	query_int(&q, STORE_NODES_MAX);
	while (n < STORE_NODES_MAX && query_step(&q) == RC_OK)
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

static bool is_meant(
    const struct store_node *n, const char *name, const uint8_t *but)
{
	return strcmp(n->name, name) == 0 && !n->revoked &&
	       (but == NULL || memcmp(n->spki, but, sizeof(n->spki)) != 0);
}

enum rc store_node_find(struct db *db, const char *name, const uint8_t *but,
    struct store_node *out, struct fault *fault)
{
	struct store_node *rows = NULL;
	size_t count = 0, found = 0;
	enum rc rc = store_node_list(db, &rows, &count);

	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; i < count; i++) {
		if (!is_meant(&rows[i], name, but))
			continue;
		*out = rows[i];
		found++;
	}
	free(rows);
	if (found == 1)
		return RC_OK;
	if (found == 0)
		fault_set(fault, REASON_NOT_FOUND, "",
		    "node %s: no key of it is known that could be revoked: "
		    "longarm node list",
		    name);
	else
		fault_set(fault, REASON_CONFLICT, "",
		    "node %s: has %zu keys; say which one by --key: longarm "
		    "node list",
		    name, found);
	return found == 0 ? RC_NOTFOUND : RC_STATE;
}

enum rc store_node_check(struct db *db, const char *name,
    const uint8_t key[STORE_SHA256_SIZE], struct fault *fault)
{
	struct store_node *rows = NULL;
	size_t count = 0, i = 0;
	enum rc rc = store_node_list(db, &rows, &count);

	if (rc != RC_OK)
		return rc;
	while (i < count && memcmp(rows[i].spki, key, STORE_SHA256_SIZE) != 0)
		i++;
	if (i < count && strcmp(rows[i].name, name) != 0) {
		fault_set(fault, REASON_CONFLICT, "",
		    "this is a key of node %s, not of %s: longarm node list",
		    rows[i].name, name);
		rc = RC_STATE;
	}
	free(rows);
	return rc;
}

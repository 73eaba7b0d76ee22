#include "server/store/audit.h"
#include "server/store/list.h"

#include <stdlib.h>
#include <string.h>

void store_audits_free(struct store_audit *rows, size_t count)
{
	for (size_t i = 0; rows != NULL && i < count; i++)
		free(rows[i].detail);
	free(rows);
}

enum rc store_audit_add(struct db *db, const struct store_audit *a)
{
	struct query q;

	query_start(&q, db,
	    "INSERT INTO audit(at_ms, who, source, action, object, detail)"
	    " VALUES (?, ?, ?, ?, ?, ?)");
	query_u64(&q, a->at_ms);
	query_text(&q, a->who);
	query_text(&q, a->from);
	query_text(&q, a->action);
	query_text(&q, a->object);
	query_text(&q, text_or_empty(a->detail));
	return query_run(&q, NULL);
}

static enum rc read_row(struct query *q, struct store_audit *a)
{
	a->id = query_get_u64(q, 0);
	a->at_ms = query_get_u64(q, 1);
	query_copy_text(q, 2, a->who, sizeof(a->who));
	query_copy_text(q, 3, a->from, sizeof(a->from));
	query_copy_text(q, 4, a->action, sizeof(a->action));
	query_copy_text(q, 5, a->object, sizeof(a->object));
	return query_dup_text(q, 6, &a->detail);
}

/* Digits only; anything else starts from the newest. */
static uint64_t cursor(const char *after)
{
	uint64_t n = 0;

	for (; *after >= '0' && *after <= '9' && n < INT64_MAX / 10; after++)
		n = n * 10 + (uint64_t)(*after - '0');
	return n == 0 ? INT64_MAX : n;
}

enum rc store_audit_list(struct db *db, const struct page *page,
    struct store_audit **rows, size_t *count)
{
	uint32_t limit = list_limit(page->limit);
	struct store_audit *all = calloc(limit, sizeof(*all));
	struct query q;
	size_t n = 0;
	enum rc rc = RC_OK;

	if (all == NULL)
		return RC_NOMEM;
	query_start(&q, db,
	    "SELECT id, at_ms, who, source, action, object, detail FROM audit"
	    " WHERE id < ? ORDER BY id DESC LIMIT ?");
	query_u64(&q, cursor(list_after(page)));
	query_int(&q, limit);
	while (rc == RC_OK && n < limit) {
		rc = query_step(&q);
		if (rc == RC_OK)
			rc = read_row(&q, &all[n++]);
	}
	rc = list_end(&q, rc);
	if (rc != RC_OK) {
		store_audits_free(all, n);
		return rc;
	}
	*rows = all;
	*count = n;
	return RC_OK;
}

/* ---- answers for repeats ---- */

enum rc store_idempotency_find(struct db *db, const struct store_idempotency *k,
    int *status, char **response, struct fault *fault)
{
	uint8_t request[STORE_SHA256_SIZE];
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "SELECT request, status, response FROM idempotency"
	    " WHERE who = ? AND key = ? AND expires_ms > ?");
	query_text(&q, k->who);
	query_text(&q, k->key);
	query_u64(&q, k->now_ms);
	rc = query_step(&q);
	if (rc != RC_OK) {
		query_end(&q);
		return rc;
	}
	query_copy_blob(&q, 0, request, sizeof(request));
	if (memcmp(request, k->request, sizeof(request)) != 0) {
		fault_set(fault, REASON_CONFLICT, "",
		    "Idempotency-Key %s: was used for another request; make a "
		    "new one",
		    k->key);
		rc = RC_EXISTS;
	} else {
		*status = (int)query_get_int(&q, 1);
		rc = query_dup_text(&q, 2, response);
	}
	query_end(&q);
	return rc;
}

enum rc store_idempotency_keep(struct db *db, const struct store_idempotency *k,
    int status, const char *response, uint64_t ttl_ms)
{
	struct query q;
	enum rc rc;

	/* A few at a time: no request pays for all. */
	query_start(&q, db,
	    "DELETE FROM idempotency WHERE rowid IN (SELECT rowid"
	    " FROM idempotency WHERE expires_ms <= ? LIMIT 20)");
	query_u64(&q, k->now_ms);
	rc = query_run(&q, NULL);
	if (rc != RC_OK)
		return rc;
	query_start(&q, db,
	    "INSERT INTO idempotency(who, key, request, status, response,"
	    " expires_ms) VALUES (?, ?, ?, ?, ?, ?)"
	    " ON CONFLICT (who, key) DO UPDATE SET"
	    " request = excluded.request, status = excluded.status,"
	    " response = excluded.response, expires_ms = excluded.expires_ms");
	query_text(&q, k->who);
	query_text(&q, k->key);
	query_blob(&q, k->request, STORE_SHA256_SIZE);
	query_int(&q, status);
	query_text(&q, text_or_empty(response));
	query_u64(&q, k->now_ms + ttl_ms);
	return query_run(&q, NULL);
}

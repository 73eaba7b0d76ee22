#include "server/store/token.h"
#include "server/store/list.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

void store_token_clear(struct store_token *t)
{
	names_clear(&t->environments);
	names_clear(&t->roles);
}

void store_tokens_free(struct store_token *rows, size_t count)
{
	for (size_t i = 0; rows != NULL && i < count; i++)
		store_token_clear(&rows[i]);
	free(rows);
}

/* ---- write ---- */

/* Names that do not exist are told now, not when somebody joins. */
static enum rc check_environments(
    struct db *db, const struct names *environments, struct fault *fault)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < environments->count; i++) {
		struct query q;

		query_start(&q, db, "SELECT 1 FROM environment WHERE name = ?");
		query_text(&q, environments->at[i]);
		rc = query_step(&q);
		query_end(&q);
		(void)db_fault(
		    db, rc, fault, "environment %s", environments->at[i]);
	}
	return rc;
}

struct item {
	const char *token;
	const char *kind;
	const char *value;
	const char *endpoint;
	size_t ordinal;
};

static enum rc insert_item(struct db *db, const struct item *i)
{
	struct query q;

	query_start(&q, db,
	    "INSERT INTO token_item(token, kind, ordinal, value, endpoint)"
	    " VALUES (?, ?, ?, ?, ?)");
	query_text(&q, i->token);
	query_text(&q, i->kind);
	query_u64(&q, i->ordinal);
	query_text(&q, i->value);
	query_text(&q, i->endpoint);
	return query_run(&q, NULL);
}

static enum rc insert_names(struct db *db, const char *token, const char *kind,
    const struct names *names)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < names->count; i++)
		rc = insert_item(
		    db, &(struct item){ token, kind, names->at[i], "", i });
	return rc;
}

static enum rc insert_items(struct db *db, const struct store_token *t)
{
	enum rc rc = insert_names(db, t->id, "environment", &t->environments);

	if (rc == RC_OK)
		rc = insert_names(db, t->id, "role", &t->roles);
	for (size_t i = 0; rc == RC_OK && i < t->route_count; i++)
		rc = insert_item(
		    db, &(struct item){ t->id, "route", t->routes[i].path,
			    t->routes[i].endpoint, i });
	return rc;
}

enum rc store_token_create(
    struct db *db, const struct store_token *t, struct fault *fault)
{
	struct query q;
	enum rc rc = check_environments(db, &t->environments, fault);

	if (rc != RC_OK)
		return rc;
	query_start(&q, db,
	    "INSERT INTO token(id, secret, role, name, uses_left, expires_ms,"
	    " created_ms, who, approval) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
	query_text(&q, t->id);
	query_blob(&q, t->secret, sizeof(t->secret));
	query_text(&q, store_role_name(t->role));
	query_text(&q, t->name);
	query_int(&q, t->uses_left);
	query_u64(&q, t->expires_ms);
	query_u64(&q, t->created_ms);
	query_text(&q, t->who);
	query_int(&q, t->approval);
	rc = query_run(&q, NULL);
	if (rc == RC_OK)
		rc = insert_items(db, t);
	return db_fault(db, rc, fault, "token %s", t->id);
}

enum rc store_token_delete(struct db *db, const char *id, struct fault *fault)
{
	return db_fault(db,
	    list_change(db, "DELETE FROM token WHERE id = ?", id), fault,
	    "token %s", id);
}

enum rc store_token_expire(struct db *db, uint64_t now_ms)
{
	struct query q;

	query_start(&q, db, "DELETE FROM token WHERE expires_ms < ?");
	query_u64(&q, now_ms);
	return query_run(&q, NULL);
}

/* ---- read ---- */

#define COLUMNS                                                                \
	"SELECT id, secret, role, name, uses_left, expires_ms, created_ms,"    \
	" who, approval FROM token"

static void read_row(struct query *q, struct store_token *t)
{
	query_copy_text(q, 0, t->id, sizeof(t->id));
	query_copy_blob(q, 1, t->secret, sizeof(t->secret));
	if (store_role_parse(query_get_text(q, 2), &t->role) != RC_OK)
		t->role = STORE_ROLE_TENTACLE;
	query_copy_text(q, 3, t->name, sizeof(t->name));
	t->uses_left = (uint32_t)query_get_u64(q, 4);
	t->expires_ms = query_get_u64(q, 5);
	t->created_ms = query_get_u64(q, 6);
	query_copy_text(q, 7, t->who, sizeof(t->who));
	t->approval = query_get_bool(q, 8);
}

static enum rc load_names(
    struct db *db, const char *token, const char *kind, struct names *out)
{
	struct query q;

	query_start(&q, db,
	    "SELECT value FROM token_item WHERE token = ? AND kind = ?"
	    " ORDER BY ordinal");
	query_text(&q, token);
	query_text(&q, kind);
	return list_names(&q, out);
}

static enum rc load_routes(struct db *db, struct store_token *t)
{
	struct query q;

	query_start(&q, db,
	    "SELECT value, endpoint FROM token_item"
	    " WHERE token = ? AND kind = 'route' ORDER BY ordinal");
	query_text(&q, t->id);
	while (t->route_count < STORE_ROUTES_MAX && query_step(&q) == RC_OK) {
		struct store_route *r = &t->routes[t->route_count++];

		query_copy_text(&q, 0, r->path, sizeof(r->path));
		query_copy_text(&q, 1, r->endpoint, sizeof(r->endpoint));
	}
	return list_end(&q, q.rc);
}

static enum rc load_items(struct db *db, struct store_token *t)
{
	enum rc rc = load_names(db, t->id, "environment", &t->environments);

	if (rc == RC_OK)
		rc = load_names(db, t->id, "role", &t->roles);
	return rc == RC_OK ? load_routes(db, t) : rc;
}

enum rc store_token_get(
    struct db *db, const char *id, struct store_token *out, struct fault *fault)
{
	struct store_token t = { 0 };
	struct query q;
	enum rc rc;

	query_start(&q, db, COLUMNS " WHERE id = ?");
	query_text(&q, id);
	rc = query_step(&q);
	if (rc == RC_OK)
		read_row(&q, &t);
	query_end(&q);
	if (rc == RC_OK)
		rc = load_items(db, &t);
	if (rc == RC_OK) {
		*out = t;
		return RC_OK;
	}
	store_token_clear(&t);
	return db_fault(db, rc, fault, "token %s", id);
}

enum rc store_token_list(struct db *db, const struct page *page,
    struct store_token **rows, size_t *count)
{
	uint32_t limit = list_limit(page->limit);
	struct store_token *all = calloc(limit, sizeof(*all));
	struct query q;
	size_t n = 0;
	enum rc rc;

	if (all == NULL)
		return RC_NOMEM;
	query_start(&q, db, COLUMNS " WHERE id > ? ORDER BY id LIMIT ?");
	query_text(&q, list_after(page));
	query_int(&q, limit);
	while (n < limit && query_step(&q) == RC_OK)
		read_row(&q, &all[n++]);
	rc = list_end(&q, q.rc);
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		rc = load_items(db, &all[i]);
	if (rc != RC_OK) {
		store_tokens_free(all, n);
		return rc;
	}
	*rows = all;
	*count = n;
	return RC_OK;
}

/* ---- use ---- */

static enum rc judge(const struct store_token_shown *shown,
    const struct store_token *t, struct fault *fault)
{
	uint8_t hash[STORE_SHA256_SIZE];
	unsigned len = 0;

	if (EVP_Digest(shown->secret, STORE_SHA256_SIZE, hash, &len,
		EVP_sha256(), NULL) != 1)
		return RC_CRYPTO;
	if (CRYPTO_memcmp(hash, t->secret, sizeof(hash)) != 0) {
		fault_set(fault, REASON_TOKEN, "", "token: not known here");
		return RC_DENIED;
	}
	if (t->role != shown->role) {
		fault_set(fault, REASON_TOKEN, "",
		    "token %s: is for a %s, not for a %s", t->id,
		    store_role_name(t->role), store_role_name(shown->role));
		return RC_DENIED;
	}
	if (t->expires_ms <= shown->now_ms) {
		fault_set(
		    fault, REASON_EXPIRED, "", "token %s: has expired", t->id);
		return RC_DENIED;
	}
	if (t->uses_left == 0) {
		fault_set(
		    fault, REASON_TOKEN, "", "token %s: is used up", t->id);
		return RC_DENIED;
	}
	return RC_OK;
}

enum rc store_token_use(struct db *db, const struct store_token_shown *shown,
    struct store_token *out, struct fault *fault)
{
	struct store_token t = { 0 };
	struct query q;
	enum rc rc = store_token_get(db, shown->id, &t, NULL);

	if (rc == RC_NOTFOUND) {
		fault_set(fault, REASON_TOKEN, "", "token: not known here");
		return RC_DENIED;
	}
	if (rc == RC_OK)
		rc = judge(shown, &t, fault);
	if (rc != RC_OK)
		goto out;
	query_start(&q, db,
	    "UPDATE token SET uses_left = uses_left - 1"
	    " WHERE id = ? AND uses_left > 0");
	query_text(&q, shown->id);
	rc = query_change(&q);
	if (rc != RC_OK)
		goto out;
	t.uses_left--;
	*out = t;
	t = (struct store_token){ 0 };
out:
	store_token_clear(&t);
	return db_fault(db, rc, fault, "token %s", shown->id);
}

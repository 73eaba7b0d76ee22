#include "server/store/types.h"
#include "server/store/list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_STEP 8

static const char *const presences[STORE_PRESENCE_COUNT] = {
	[STORE_PRESENCE_UNKNOWN] = "unknown",
	[STORE_PRESENCE_ONLINE] = "online",
	[STORE_PRESENCE_OFFLINE] = "offline",
};

static const char *const roles[STORE_ROLE_COUNT] = {
	[STORE_ROLE_TENTACLE] = "tentacle",
	[STORE_ROLE_RELAY] = "relay",
	[STORE_ROLE_SERVER] = "server",
};

const char *store_presence_name(enum store_presence p)
{
	return (unsigned)p < STORE_PRESENCE_COUNT ? presences[p] : "unknown";
}

const char *store_role_name(enum store_role r)
{
	return (unsigned)r < STORE_ROLE_COUNT ? roles[r] : "none";
}

enum rc store_presence_parse(const char *name, enum store_presence *out)
{
	for (unsigned i = 0; i < STORE_PRESENCE_COUNT; i++) {
		if (strcmp(name, presences[i]) == 0) {
			*out = (enum store_presence)i;
			return RC_OK;
		}
	}
	return RC_NOTFOUND;
}

enum rc store_role_parse(const char *name, enum store_role *out)
{
	for (unsigned i = 0; i < STORE_ROLE_COUNT; i++) {
		if (strcmp(name, roles[i]) == 0) {
			*out = (enum store_role)i;
			return RC_OK;
		}
	}
	return RC_NOTFOUND;
}

void names_clear(struct names *n)
{
	free(n->at);
	*n = (struct names){ 0 };
}

enum rc names_add(struct names *n, const char *name)
{
	size_t len = strlen(name);

	if (n->count >= STORE_NAMES_MAX || len >= sizeof(n->at[0]))
		return RC_LIMIT;
	if (n->count % NAMES_STEP == 0) {
		void *grown =
		    realloc(n->at, (n->count + NAMES_STEP) * sizeof(n->at[0]));

		if (grown == NULL)
			return RC_NOMEM;
		n->at = grown;
	}
	memcpy(n->at[n->count++], name, len + 1);
	return RC_OK;
}

/* ---- for the repositories ---- */

uint32_t list_limit(uint32_t wanted)
{
	return wanted == 0 || wanted > STORE_PAGE_MAX ? STORE_PAGE_MAX : wanted;
}

const char *list_after(const struct page *page)
{
	return text_or_empty(page->after);
}

const char *text_or_empty(const char *text)
{
	return text == NULL ? "" : text;
}

enum rc list_end(struct query *q, enum rc rc)
{
	if (rc == RC_NOTFOUND || rc == RC_OK)
		rc = q->rc == RC_NOTFOUND ? RC_OK : q->rc;
	query_end(q);
	return rc;
}

enum rc list_names(struct query *q, struct names *out)
{
	enum rc rc;

	while ((rc = query_step(q)) == RC_OK) {
		rc = names_add(out, query_get_text(q, 0));
		if (rc != RC_OK)
			break;
	}
	return list_end(q, rc);
}

enum rc list_insert(struct db *db, const struct names_insert *how,
    const struct names *names, struct fault *fault)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && names != NULL && i < names->count;
	     i++) {
		struct query q;

		query_start(&q, db, how->sql);
		query_text(&q, how->key);
		query_text(&q, names->at[i]);
		rc = query_run(&q, NULL);
		if (rc == RC_STATE) {
			fault_set(fault, REASON_NOT_FOUND, "",
			    "%s %s: not found", how->what, names->at[i]);
			rc = RC_NOTFOUND;
		} else if (rc == RC_EXISTS) {
			rc = RC_OK; /* named twice */
		}
		(void)db_fault(db, rc, fault, "%s %s", how->what, names->at[i]);
	}
	return rc;
}

enum rc list_run(struct db *db, const char *sql, const char *key)
{
	struct query q;

	query_start(&q, db, sql);
	query_text(&q, key);
	return query_run(&q, NULL);
}

enum rc list_change(struct db *db, const char *sql, const char *key)
{
	struct query q;

	query_start(&q, db, sql);
	query_text(&q, key);
	return query_change(&q);
}

void query_key(struct query *q, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != 0) {
			query_blob(q, bytes, len);
			return;
		}
	}
	query_null(q);
}

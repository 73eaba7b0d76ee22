/*
 * audit.h - who did what through the API, and answers kept for repeats.
 * SQL thread only.
 */
#ifndef SERVER_STORE_AUDIT_H
#define SERVER_STORE_AUDIT_H

#include "server/store/db.h"
#include "server/store/types.h"

struct store_audit {
	uint64_t id;
	uint64_t at_ms;
	char who[STORE_WHO_SIZE];
	char from[STORE_ENDPOINT_SIZE]; /* address of the asker, or "" */
	char action[STORE_NAME_SIZE];   /* "machine.disable" */
	char object[STORE_TEXT_SIZE];   /* "machine web-01" */
	char *detail;                   /* JSON without secrets; "" */
};
void store_audits_free(struct store_audit *rows, size_t count);

/* id is ignored; detail may be NULL. */
MUST_CHECK enum rc store_audit_add(struct db *db, const struct store_audit *a);
/* Newest first; the cursor is an id as text. */
MUST_CHECK enum rc store_audit_list(struct db *db, const struct page *page,
    struct store_audit **rows, size_t *count);

#define STORE_IDEMPOTENCY_KEY_MAX 128
#define STORE_RESPONSE_MAX        (1u << 20)

struct store_idempotency {
	const char *who; /* keys of different people never meet */
	const char *key;
	const uint8_t *request; /* 32: SHA-256 of method, path and body */
	uint64_t now_ms;
};
/*
 * RC_OK: this was answered before: *status and *response (free it).
 * RC_NOTFOUND: it is new.  RC_EXISTS and fault: the key was used for another
 * request.
 */
MUST_CHECK enum rc store_idempotency_find(struct db *db,
    const struct store_idempotency *k, int *status, char **response,
    struct fault *fault);
/* Keep an answer for ttl_ms; also forgets some that have expired. */
MUST_CHECK enum rc store_idempotency_keep(struct db *db,
    const struct store_idempotency *k, int status, const char *response,
    uint64_t ttl_ms);

#endif

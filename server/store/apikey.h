/*
 * apikey.h - the keys of people and programs that use the HTTP API.
 *
 * Only the SHA-256 of a key is kept; server/auth makes and verifies them.
 * SQL thread only.
 */
#ifndef SERVER_STORE_APIKEY_H
#define SERVER_STORE_APIKEY_H

#include "server/store/db.h"
#include "server/store/types.h"

struct store_apikey {
	char id[STORE_ID_SIZE];
	char name[STORE_NAME_SIZE];
	uint8_t secret[STORE_SHA256_SIZE];
	uint64_t permissions;  /* bits by server/auth/permission.h */
	uint64_t expires_ms;   /* 0: never */
	uint64_t last_used_ms; /* 0: never; kept to the minute */
	uint64_t created_ms;
	struct names environments; /* none: all of them */
};

void store_apikey_clear(struct store_apikey *k);
void store_apikeys_free(struct store_apikey *rows, size_t count);

MUST_CHECK enum rc store_apikey_create(
    struct db *db, const struct store_apikey *k, struct fault *fault);
/* By id.  RC_NOTFOUND without a fault: say no more than "denied". */
MUST_CHECK enum rc store_apikey_get(
    struct db *db, const char *id, struct store_apikey *out);
/* Sorted by name. */
MUST_CHECK enum rc store_apikey_list(struct db *db, const struct page *page,
    struct store_apikey **rows, size_t *count);
/* By name or id. */
MUST_CHECK enum rc store_apikey_delete(
    struct db *db, const char *name_or_id, struct fault *fault);
/* Writes only when the last note is over a minute old. */
MUST_CHECK enum rc store_apikey_used(
    struct db *db, const char *id, uint64_t now_ms);

#endif

/* environment.h - where machines stand and releases go.  SQL thread only. */
#ifndef SERVER_STORE_ENVIRONMENT_H
#define SERVER_STORE_ENVIRONMENT_H

#include "server/store/db.h"
#include "server/store/types.h"

struct store_environment {
	char name[STORE_NAME_SIZE];
	char description[STORE_TEXT_SIZE];
	uint64_t created_ms;
	uint64_t machines; /* told by get and list */
};

MUST_CHECK enum rc store_environment_create(
    struct db *db, const struct store_environment *e, struct fault *fault);
MUST_CHECK enum rc store_environment_get(struct db *db, const char *name,
    struct store_environment *out, struct fault *fault);
/* Sorted by name; free(*rows). */
MUST_CHECK enum rc store_environment_list(struct db *db,
    const struct page *page, struct store_environment **rows, size_t *count);
/* RC_STATE: machines are still in it. */
MUST_CHECK enum rc store_environment_delete(
    struct db *db, const char *name, struct fault *fault);

#endif

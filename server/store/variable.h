/*
 * variable.h - values by name and scope, of one project or of all.
 *
 * A sensitive one holds bytes wrapped by the master key, which the store can
 * not read.  SQL thread only.
 */
#ifndef SERVER_STORE_VARIABLE_H
#define SERVER_STORE_VARIABLE_H

#include "server/store/db.h"
#include "server/store/types.h"

#define STORE_VARIABLE_NAME_SIZE 101
#define STORE_VARIABLE_MAX       (64u << 10) /* bytes of a value */
#define STORE_VARIABLES_MAX      2000u       /* of one project */

struct store_variable {
	uint64_t id;
	char project[STORE_NAME_SIZE]; /* "": of all projects */
	char name[STORE_VARIABLE_NAME_SIZE];
	/* Scope: "" is any; all that are given must hold. */
	char environment[STORE_NAME_SIZE];
	char machine[STORE_NAME_SIZE]; /* a machine's name */
	char role[STORE_VERSION_SIZE];
	bool sensitive;
	char *value;     /* "" when sensitive */
	uint8_t *secret; /* wrapped; NULL when not sensitive */
	size_t secret_len;
	uint64_t updated_ms;
};
void store_variable_clear(struct store_variable *v);
void store_variables_free(struct store_variable *rows, size_t count);

/* Insert, or replace the value of the same project, name and scope. */
MUST_CHECK enum rc store_variable_set(
    struct db *db, const struct store_variable *v, struct fault *fault);
/* All that project sees: its own and those of all projects ("": only
 * these), by name.  RC_LIMIT: over STORE_VARIABLES_MAX. */
MUST_CHECK enum rc store_variable_list(struct db *db, const char *project,
    struct store_variable **rows, size_t *count);
MUST_CHECK enum rc store_variable_delete(
    struct db *db, const struct store_variable *v, struct fault *fault);

#endif

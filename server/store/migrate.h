/*
 * migrate.h - bring a database to this program's schema, and never back.
 *
 * Migrations are numbered from 1, embedded, and recorded with their SHA-256;
 * each runs in one transaction.  user_version holds the newest number.
 */
#ifndef SERVER_STORE_MIGRATE_H
#define SERVER_STORE_MIGRATE_H

#include "server/store/db.h"

/* One step: statements, ended by NULL, hashed one after the other. */
struct migration {
	const char *name;
	const char *const *statements;
};

/* All of this program's, in order; *count is how many. */
const struct migration *migrations(uint32_t *count);

/*
 * Apply what is missing.  RC_STATE and fault, nothing written: the database
 * is newer than this program (exit 78), or an applied migration is not the one
 * that this program knows.  Before a database that holds something is changed
 * it is copied to backup (a path that must not exist; NULL: no copy).
 */
MUST_CHECK enum rc migrate(struct db *db, const struct migration *steps,
    uint32_t count, const char *backup, struct fault *fault);

/* The schema number in the file; 0: empty. */
MUST_CHECK enum rc migrate_version(struct db *db, uint32_t *out);

#endif

/*
 * db.h - one database connection and its questions, thinly typed.
 *
 *     struct query q;
 *
 *     query_start(&q, db, "SELECT name FROM machine WHERE enabled = ?");
 *     query_int(&q, 1);
 *     while ((rc = query_step(&q)) == RC_OK)
 *             use(query_get_text(&q, 0));
 *     query_end(&q);
 *     if (rc != RC_NOTFOUND)
 *             it failed: db_fault(db, rc, fault, "machines")
 *
 * An error sticks to its query: binding and reading go on harmlessly, and
 * query_step() or query_run() tells it.  Prepared statements are cached by
 * their text, which must be a literal or live as long as the connection.
 *
 * A connection belongs to one thread at a time; in the server that is the SQL
 * thread (server/store/store.h).  Nothing outside server/store writes SQL.
 */
#ifndef SERVER_STORE_DB_H
#define SERVER_STORE_DB_H

#include "proto/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;        /* opaque; fields live in db.c */
struct db_cached; /* a prepared statement; db.c's own */

/* "Lnga": tells our files from other SQLite databases. */
#define DB_APPLICATION_ID 0x4c6e6761

/*
 * Open or create the file (0600) with WAL, synchronous=FULL, exclusive
 * locking and foreign keys on, and check it (quick_check) when the last stop
 * was not clean.  Does not migrate: see migrate.h.  RC_IO and fault: not a
 * database, not ours, damaged, locked by another process.
 */
MUST_CHECK enum rc db_open(
    const char *path, struct db **out, struct fault *fault);
/* Checkpoints and closes; NULL is fine.  No query may be under way. */
void db_close(struct db *db);

/* One or several statements without parameters or rows. */
MUST_CHECK enum rc db_exec(struct db *db, const char *sql);
/* A transaction that writes. */
MUST_CHECK enum rc db_begin(struct db *db);
/* For clean-up: ends the transaction, if one is open, and tells nothing. */
void db_rollback(struct db *db);
/* Is a transaction open?  False after SQLite rolled back by itself. */
bool db_in_transaction(const struct db *db);
/* Did the disk fail under us (not: is it full)?  Then stop, never retry. */
bool db_broken(const struct db *db);
/* Was there no room on the disk for something since the last db_begin()?  What
 * failed for that is RC_IO, changed nothing, and may be tried again. */
bool db_full(const struct db *db);
/* The text of the last error of this connection.  Never NULL. */
const char *db_error(const struct db *db);

/*
 * Say in a user's words what rc means for the thing named, e.g. RC_EXISTS and
 * "environment prod": "environment prod: exists already".  Returns rc.  A
 * fault that is set already is left alone; fault may be NULL.
 */
enum rc db_fault(struct db *db, enum rc rc, struct fault *fault,
    const char *format, ...) PRINTF_LIKE(4, 5);

/* A statement being bound or read.  On the stack; end it in all cases. */
struct query {
	struct db *db;
	struct db_cached *cached;
	int bound;
	bool busy;
	bool loose; /* not in the cache: freed by query_end() */
	enum rc rc;
};

void query_start(struct query *q, struct db *db, const char *sql);
/* Bind the next parameter.  Texts and blobs must live until query_end(). */
void query_text(struct query *q, const char *text); /* NULL binds NULL */
void query_int(struct query *q, int64_t value);
void query_u64(struct query *q, uint64_t value); /* over 2^63-1: RC_LIMIT */
void query_blob(struct query *q, const void *data, size_t len);
void query_null(struct query *q);

/* RC_OK: a row is there; RC_NOTFOUND: no more; else the error. */
MUST_CHECK enum rc query_step(struct query *q);
/* Forget the rows; the statement goes back to the cache.  Twice is fine. */
void query_end(struct query *q);
/*
 * Step to the end and end: for statements that change rows.  *changed (may be
 * NULL): how many.  RC_EXISTS: a unique key is taken.  RC_STATE: a foreign key
 * does not hold (something named does not exist, or is still used).
 * RC_LIMIT: a CHECK or the size of a value said no.
 */
MUST_CHECK enum rc query_run(struct query *q, uint64_t *changed);
/* query_run(); RC_NOTFOUND when no row was changed. */
MUST_CHECK enum rc query_change(struct query *q);

/* Columns of the current row, from 0. */
int64_t query_get_int(struct query *q, int column);
uint64_t query_get_u64(struct query *q, int column); /* negative reads as 0 */
bool query_get_bool(struct query *q, int column);
/* Until the next step.  NULL reads as "". */
const char *query_get_text(struct query *q, int column);
/* Cut at size - 1 bytes: only for columns whose CHECK bounds them. */
void query_copy_text(struct query *q, int column, char *out, size_t size);
/* Until the next step; NULL when empty. */
const uint8_t *query_get_blob(struct query *q, int column, size_t *len);
/* Exactly size bytes, else zeros (NULL column). */
void query_copy_blob(struct query *q, int column, uint8_t *out, size_t size);
/* A fresh copy that the caller frees; NULL column reads as "". */
MUST_CHECK enum rc query_dup_text(struct query *q, int column, char **out);
MUST_CHECK enum rc query_dup_blob(
    struct query *q, int column, uint8_t **out, size_t *len);
/* The row id that the last INSERT made. */
int64_t db_last_id(const struct db *db);

#endif

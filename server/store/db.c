#include "server/store/db.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CACHE_SLOTS     512 /* a power of two */
#define CACHE_FULL      384 /* more are prepared each time */
#define VALUE_BYTES_MAX (16 << 20)
#define ERROR_TEXT_SIZE 256

struct db_cached {
	const char *sql;
	sqlite3_stmt *stmt;
	bool busy;
};

struct db {
	sqlite3 *sqlite;
	struct db_cached cache[CACHE_SLOTS];
	size_t cached;
	bool broken;
	bool full; /* since the last db_begin() */
	char error[ERROR_TEXT_SIZE];
};

static enum rc constraint_rc(int extended)
{
	switch (extended) {
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_ROWID:
		return RC_EXISTS;
	case SQLITE_CONSTRAINT_FOREIGNKEY:
	case SQLITE_CONSTRAINT_TRIGGER: /* how RESTRICT is told */
		return RC_STATE;
	default:
		return RC_LIMIT;
	}
}

/* Remembers the text, and that the disk failed, for what is an error. */
static enum rc rc_of(struct db *db, int code)
{
	int primary = code & 0xff;

	if (code == SQLITE_OK || code == SQLITE_ROW)
		return RC_OK;
	if (code == SQLITE_DONE)
		return RC_NOTFOUND;
	(void)snprintf(db->error, sizeof(db->error), "%s",
	    db->sqlite == NULL ? sqlite3_errstr(code)
			       : sqlite3_errmsg(db->sqlite));
	if (code == SQLITE_IOERR_NOMEM || primary == SQLITE_NOMEM)
		return RC_NOMEM;
	if (primary == SQLITE_TOOBIG)
		return RC_LIMIT;
	if (primary == SQLITE_CONSTRAINT)
		return constraint_rc(sqlite3_extended_errcode(db->sqlite));
	if (primary == SQLITE_IOERR || primary == SQLITE_CORRUPT)
		db->broken = true;
	if (primary == SQLITE_FULL)
		db->full = true;
	return RC_IO;
}

const char *db_error(const struct db *db)
{
	return db->error[0] == '\0' ? "no error" : db->error;
}

bool db_broken(const struct db *db)
{
	return db->broken;
}

bool db_full(const struct db *db)
{
	return db->full && !db->broken;
}

bool db_in_transaction(const struct db *db)
{
	return sqlite3_get_autocommit(db->sqlite) == 0;
}

int64_t db_last_id(const struct db *db)
{
	return sqlite3_last_insert_rowid(db->sqlite);
}

enum rc db_exec(struct db *db, const char *sql)
{
	return rc_of(db, sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL));
}

enum rc db_begin(struct db *db)
{
	db->full = false;
	return db_exec(db, "BEGIN IMMEDIATE");
}

void db_rollback(struct db *db)
{
	if (db_in_transaction(db))
		(void)sqlite3_exec(db->sqlite, "ROLLBACK", NULL, NULL, NULL);
}

static void no_space(const struct db *db, struct fault *f, const char *what)
{
	const char *path = sqlite3_db_filename(db->sqlite, "main");
	const char *slash = path != NULL ? strrchr(path, '/') : NULL;
	int len = slash != NULL ? (int)(slash - path) : 0;

	fault_set(f, REASON_NO_SPACE, "server",
	    "%s: not written: the disk of the database is full: free space "
	    "in %.*s",
	    what, len, path != NULL ? path : "");
}

static void fault_text(
    struct db *db, enum rc rc, struct fault *f, const char *what)
{
	switch (rc) {
	case RC_EXISTS:
		fault_set(f, REASON_CONFLICT, "", "%s: exists already", what);
		break;
	case RC_NOTFOUND:
		fault_set(f, REASON_NOT_FOUND, "", "%s: not found", what);
		break;
	case RC_STATE:
		fault_set(f, REASON_CONFLICT, "",
		    "%s: something it names does not exist, or it is still "
		    "in use",
		    what);
		break;
	case RC_LIMIT:
		fault_set(f, REASON_TOO_MANY, "",
		    "%s: a value is too long, too many or not allowed (%s)",
		    what, db_error(db));
		break;
	case RC_NOMEM:
		fault_set(f, REASON_MEMORY, "", "%s: out of memory", what);
		break;
	case RC_OK:
	case RC_AGAIN:
	case RC_PROTO:
	case RC_DENIED:
	case RC_IO:
	case RC_CRYPTO:
		if (rc == RC_IO && db_full(db))
			no_space(db, f, what);
		else
			fault_set(f, REASON_INTERNAL, "", "%s: database: %s",
			    what, db_error(db));
		break;
	}
}

enum rc db_fault(
    struct db *db, enum rc rc, struct fault *fault, const char *format, ...)
{
	char what[FAULT_TEXT_MAX];
	va_list args;

	if (rc == RC_OK || fault == NULL || fault->code != REASON_NONE)
		return rc;
	va_start(args, format);
	(void)vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	fault_text(db, rc, fault, what);
	return rc;
}

/* ---- open and close ---- */

/* Exclusive locking before WAL: then no shared memory file is needed, and the
 * WAL-reset bug of SQLite 3.7 to 3.51 (two connections) cannot happen. */
static const char set_up[] = "PRAGMA locking_mode=EXCLUSIVE;"
			     "PRAGMA journal_mode=WAL;"
			     "PRAGMA synchronous=FULL;"
			     "PRAGMA foreign_keys=ON;"
			     "PRAGMA trusted_schema=OFF;"
			     "PRAGMA cell_size_check=ON;"
			     "PRAGMA temp_store=MEMORY;"
			     "PRAGMA wal_autocheckpoint=2000;"
			     "PRAGMA journal_size_limit=67108864;";

/* A WAL with content means that nobody closed the file. */
static bool was_stopped_uncleanly(const char *path)
{
	char wal[PATH_MAX];
	struct stat st;
	int n = snprintf(wal, sizeof(wal), "%s-wal", path);

	return n > 0 && (size_t)n < sizeof(wal) && stat(wal, &st) == 0 &&
	       st.st_size > 0;
}

static enum rc read_number(struct db *db, const char *pragma, int64_t *out)
{
	struct query q;
	enum rc rc;

	query_start(&q, db, pragma);
	rc = query_step(&q);
	if (rc == RC_OK)
		*out = query_get_int(&q, 0);
	query_end(&q);
	return rc == RC_NOTFOUND ? RC_IO : rc;
}

/* Ours, or empty: then it becomes ours. */
static enum rc claim_file(struct db *db, const char *path, struct fault *f)
{
	int64_t id = 0, tables = 0;
	enum rc rc = read_number(db, "PRAGMA application_id", &id);

	if (rc != RC_OK || id == DB_APPLICATION_ID)
		return rc;
	rc = read_number(db, "SELECT count(*) FROM sqlite_schema", &tables);
	if (rc != RC_OK)
		return rc;
	if (id != 0 || tables != 0) {
		fault_set(f, REASON_BAD_CONFIG, "",
		    "%s: is the database of another program", path);
		return RC_IO;
	}
	_Static_assert(DB_APPLICATION_ID == 1282303841, "as below");
	return db_exec(db, "PRAGMA application_id=1282303841");
}

static enum rc quick_check(struct db *db, const char *path, struct fault *f)
{
	struct query q;
	enum rc rc;

	query_start(&q, db, "PRAGMA quick_check(1)");
	rc = query_step(&q);
	if (rc == RC_OK && strcmp(query_get_text(&q, 0), "ok") != 0) {
		fault_set(f, REASON_INTERNAL, "",
		    "%s: is damaged (%s); restore a backup", path,
		    query_get_text(&q, 0));
		rc = RC_IO;
	}
	query_end(&q);
	return rc;
}

static enum rc open_sqlite(struct db *db, const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	enum rc rc;

	/* SQLite would create it by our umask. */
	if (fd < 0) {
		(void)snprintf(db->error, sizeof(db->error), "cannot open: %s",
		    strerrordesc_np(errno));
		return RC_IO;
	}
	close(fd);
	rc = rc_of(db, sqlite3_open_v2(path, &db->sqlite,
			   SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
			       SQLITE_OPEN_EXRESCODE,
			   NULL));
	if (rc != RC_OK)
		return rc;
	(void)sqlite3_db_config(
	    db->sqlite, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
	(void)sqlite3_db_config(
	    db->sqlite, SQLITE_DBCONFIG_DQS_DML, 0, (int *)NULL);
	(void)sqlite3_db_config(
	    db->sqlite, SQLITE_DBCONFIG_DQS_DDL, 0, (int *)NULL);
	(void)sqlite3_limit(db->sqlite, SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX);
	(void)sqlite3_limit(db->sqlite, SQLITE_LIMIT_ATTACHED, 1);
	return db_exec(db, set_up);
}

enum rc db_open(const char *path, struct db **out, struct fault *fault)
{
	struct db *db = calloc(1, sizeof(*db));
	bool unclean = was_stopped_uncleanly(path);
	enum rc rc;

	if (db == NULL)
		return RC_NOMEM;
	rc = open_sqlite(db, path);
	if (rc == RC_OK)
		rc = claim_file(db, path, fault);
	if (rc == RC_OK && unclean)
		rc = quick_check(db, path, fault);
	if (rc != RC_OK) {
		(void)db_fault(db, rc, fault, "%s", path);
		goto out;
	}
	*out = db;
	db = NULL;
out:
	db_close(db);
	return rc;
}

void db_close(struct db *db)
{
	if (db == NULL)
		return;
	for (size_t i = 0; i < CACHE_SLOTS; i++)
		(void)sqlite3_finalize(db->cache[i].stmt);
	(void)sqlite3_close(db->sqlite);
	free(db);
}

/* ---- statements ---- */

static size_t slot_of(const char *sql)
{
	uint32_t hash = 2166136261u;

	for (; *sql != '\0'; sql++)
		hash = (hash ^ (uint8_t)*sql) * 16777619u;
	return hash & (CACHE_SLOTS - 1);
}

/* The statement's place, or the free one where it would go. */
static struct db_cached *find_slot(struct db *db, const char *sql)
{
	size_t i = slot_of(sql);

	while (db->cache[i].sql != NULL && strcmp(db->cache[i].sql, sql) != 0)
		i = (i + 1) & (CACHE_SLOTS - 1);
	return &db->cache[i];
}

static enum rc compile(
    struct db *db, const char *sql, unsigned flags, sqlite3_stmt **out)
{
	return rc_of(
	    db, sqlite3_prepare_v3(db->sqlite, sql, -1, flags, out, NULL));
}

/* One that is only for this query: its twin is busy, or the cache is full. */
static enum rc prepare_loose(struct query *q, const char *sql)
{
	struct db_cached *c = calloc(1, sizeof(*c));
	enum rc rc;

	if (c == NULL)
		return RC_NOMEM;
	rc = compile(q->db, sql, 0, &c->stmt);
	if (rc != RC_OK) {
		free(c);
		return rc;
	}
	q->loose = true;
	q->cached = c;
	return RC_OK;
}

static enum rc prepare(struct query *q, const char *sql)
{
	struct db_cached *c = find_slot(q->db, sql);
	enum rc rc;

	if (c->busy || (c->sql == NULL && q->db->cached >= CACHE_FULL))
		return prepare_loose(q, sql);
	if (c->sql == NULL) {
		rc = compile(q->db, sql, SQLITE_PREPARE_PERSISTENT, &c->stmt);
		if (rc != RC_OK)
			return rc;
		c->sql = sql;
		q->db->cached++;
	}
	q->cached = c;
	return RC_OK;
}

void query_start(struct query *q, struct db *db, const char *sql)
{
	*q = (struct query){ .db = db };
	q->rc = prepare(q, sql);
	if (q->rc != RC_OK)
		return;
	q->cached->busy = true;
	q->busy = true;
}

void query_end(struct query *q)
{
	struct db_cached *c = q->cached;

	if (!q->busy)
		return;
	q->busy = false;
	q->cached = NULL;
	if (q->loose) {
		(void)sqlite3_finalize(c->stmt);
		free(c);
		return;
	}
	(void)sqlite3_reset(c->stmt);
	(void)sqlite3_clear_bindings(c->stmt);
	c->busy = false;
}

static void bound(struct query *q, int code)
{
	if (code != SQLITE_OK)
		q->rc = rc_of(q->db, code);
}

void query_text(struct query *q, const char *text)
{
	if (q->rc == RC_OK)
		bound(q, sqlite3_bind_text(q->cached->stmt, ++q->bound, text,
			     -1, SQLITE_STATIC));
}

void query_int(struct query *q, int64_t value)
{
	if (q->rc == RC_OK)
		bound(
		    q, sqlite3_bind_int64(q->cached->stmt, ++q->bound, value));
}

void query_u64(struct query *q, uint64_t value)
{
	if (value <= INT64_MAX) {
		query_int(q, (int64_t)value);
		return;
	}
	if (q->rc == RC_OK)
		q->rc = rc_of(q->db, SQLITE_TOOBIG);
}

void query_blob(struct query *q, const void *data, size_t len)
{
	if (q->rc == RC_OK && len == 0)
		bound(q, sqlite3_bind_zeroblob(q->cached->stmt, ++q->bound, 0));
	else if (q->rc == RC_OK)
		bound(q, sqlite3_bind_blob64(q->cached->stmt, ++q->bound, data,
			     len, SQLITE_STATIC));
}

void query_null(struct query *q)
{
	if (q->rc == RC_OK)
		bound(q, sqlite3_bind_null(q->cached->stmt, ++q->bound));
}

enum rc query_step(struct query *q)
{
	if (q->rc == RC_OK)
		q->rc = rc_of(q->db, sqlite3_step(q->cached->stmt));
	return q->rc;
}

enum rc query_run(struct query *q, uint64_t *changed)
{
	enum rc rc;

	do
		rc = query_step(q);
	while (rc == RC_OK);
	if (rc == RC_NOTFOUND) {
		rc = RC_OK;
		if (changed != NULL)
			*changed = (uint64_t)sqlite3_changes64(q->db->sqlite);
	}
	query_end(q);
	return rc;
}

enum rc query_change(struct query *q)
{
	uint64_t changed = 0;
	enum rc rc = query_run(q, &changed);

	return rc == RC_OK && changed == 0 ? RC_NOTFOUND : rc;
}

/* ---- columns ---- */

int64_t query_get_int(struct query *q, int column)
{
	return q->rc == RC_OK ? sqlite3_column_int64(q->cached->stmt, column)
	                      : 0;
}

uint64_t query_get_u64(struct query *q, int column)
{
	int64_t value = query_get_int(q, column);

	return value < 0 ? 0 : (uint64_t)value;
}

bool query_get_bool(struct query *q, int column)
{
	return query_get_int(q, column) != 0;
}

const char *query_get_text(struct query *q, int column)
{
	const char *text;

	if (q->rc != RC_OK)
		return "";
	text = (const char *)sqlite3_column_text(q->cached->stmt, column);
	if (text != NULL)
		return text;
	if (sqlite3_column_type(q->cached->stmt, column) != SQLITE_NULL)
		q->rc = rc_of(q->db, SQLITE_NOMEM);
	return "";
}

void query_copy_text(struct query *q, int column, char *out, size_t size)
{
	int n = snprintf(out, size, "%s", query_get_text(q, column));
	size_t end = size - 1;

	if (n < 0 || (size_t)n < size)
		return;
	/* Never half of a character: others expect UTF-8. */
	while (end > 0 && ((uint8_t)out[end - 1] & 0xc0) == 0x80)
		end--;
	if (end > 0 && ((uint8_t)out[end - 1] & 0x80) != 0)
		out[end - 1] = '\0';
}

const uint8_t *query_get_blob(struct query *q, int column, size_t *len)
{
	const uint8_t *data;

	*len = 0;
	if (q->rc != RC_OK)
		return NULL;
	data = sqlite3_column_blob(q->cached->stmt, column);
	*len = (size_t)sqlite3_column_bytes(q->cached->stmt, column);
	if (data == NULL && *len > 0) {
		q->rc = rc_of(q->db, SQLITE_NOMEM);
		*len = 0;
	}
	return data;
}

void query_copy_blob(struct query *q, int column, uint8_t *out, size_t size)
{
	size_t len = 0;
	const uint8_t *data = query_get_blob(q, column, &len);

	memset(out, 0, size);
	if (data != NULL && len == size)
		memcpy(out, data, size);
}

enum rc query_dup_text(struct query *q, int column, char **out)
{
	const char *text = query_get_text(q, column);

	if (q->rc != RC_OK)
		return q->rc;
	*out = malloc(strlen(text) + 1);
	if (*out == NULL)
		return RC_NOMEM;
	memcpy(*out, text, strlen(text) + 1);
	return RC_OK;
}

enum rc query_dup_blob(struct query *q, int column, uint8_t **out, size_t *len)
{
	const uint8_t *data = query_get_blob(q, column, len);

	if (q->rc != RC_OK)
		return q->rc;
	*out = malloc(*len + 1);
	if (*out == NULL)
		return RC_NOMEM;
	if (*len > 0)
		memcpy(*out, data, *len);
	(*out)[*len] = 0;
	return RC_OK;
}

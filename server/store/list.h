/*
 * list.h - what the repositories share inside server/store: pages, arrays of
 * rows, lists of names by key.  Not for others.
 */
#ifndef SERVER_STORE_LIST_H
#define SERVER_STORE_LIST_H

#include "server/store/db.h"
#include "server/store/types.h"

/* 1 to STORE_PAGE_MAX. */
uint32_t list_limit(uint32_t wanted);
/* Never NULL. */
const char *list_after(const struct page *page);
/* NULL becomes "". */
const char *text_or_empty(const char *text);

/* Appends column 0 of all rows of q to out and ends q. */
MUST_CHECK enum rc list_names(struct query *q, struct names *out);
/*
 * For each name run `sql`, whose parameters are the key and the name.  what
 * ("environment") is for the fault of a name that does not exist.
 */
struct names_insert {
	const char *sql;
	const char *key;
	const char *what;
};
MUST_CHECK enum rc list_insert(struct db *db, const struct names_insert *how,
    const struct names *names, struct fault *fault);
/* One statement with one text parameter; RC_NOTFOUND: changed nothing. */
MUST_CHECK enum rc list_change(struct db *db, const char *sql, const char *key);
/* The same, changing nothing is fine. */
MUST_CHECK enum rc list_run(struct db *db, const char *sql, const char *key);
/*
 * End q after a loop of query_step() calls whose last was rc: RC_NOTFOUND is
 * the good end.  An error while reading columns is found too.
 */
MUST_CHECK enum rc list_end(struct query *q, enum rc rc);

/* All zeros stand for NULL in the columns of keys. */
void query_key(struct query *q, const uint8_t *bytes, size_t len);

#endif

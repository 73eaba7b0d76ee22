/*
 * table.h - the relay's slice of the route table: which targets it serves, how
 * each is reached, and which neighbours may open streams to it.
 *
 * The server owns it and sends it down the control session in pages; here it
 * is kept in memory and on disk.  A target that is not in it does not exist.
 * The codec and the rules are pure; only table_load() and table_save() touch
 * the disk.  Loop's thread.
 */
#ifndef RELAY_TABLE_H
#define RELAY_TABLE_H

#include "proto/message_control.h"

struct table;

struct table_entry {
	struct target target;
	char text[TARGET_SIZE]; /* the target as text */
	uint64_t seq;
	char name[NAME_SIZE]; /* as people call it; never empty */
	enum route_how how;
	struct endpoint endpoint; /* ROUTE_DIAL */
	char via[NAME_SIZE];      /* ROUTE_VIA */
	struct msg_neighbour from[TABLE_FROM_MAX];
	size_t from_count;
	void *owner; /* the relay's neighbour of this target, or NULL */
};

MUST_CHECK enum rc table_new(struct table **out);
void table_free(struct table *t);

/* The number after the last whole page set; 0: empty, ask for everything. */
uint64_t table_seq(const struct table *t);
size_t table_count(const struct table *t);
/* NULL: not in the slice. */
struct table_entry *table_find(
    const struct table *t, const struct target *target);
/* Walk all: index from 0; NULL after the last. */
struct table_entry *table_at(const struct table *t, size_t index);

/*
 * Take one page.  Entries of a delta are applied as they come; a full table
 * replaces the old one when its last page is there, and what it does not name
 * is gone.  *changed says whether entries may have changed.  RC_STATE: the page
 * does not follow what we have (fault says so; the server must send all);
 * RC_PROTO, RC_NOMEM.  A lower number never wins over a higher one.
 */
MUST_CHECK enum rc table_apply(struct table *t,
    const struct msg_table_page *page, bool *changed, struct fault *fault);

/* RC_NOTFOUND: there is no file. */
MUST_CHECK enum rc table_load(
    struct table *t, const char *path, struct fault *fault);
MUST_CHECK enum rc table_save(
    const struct table *t, const char *path, struct fault *fault);

/* May this neighbour open streams to the entry's target? */
bool table_permits(const struct table_entry *entry, enum peer_role role,
    const char *neighbour);

/* Called for each entry that is about to vanish. */
typedef void (*table_gone_fn)(void *arg, struct table_entry *entry);
void table_on_gone(struct table *t, table_gone_fn fn, void *arg);

#endif

/*
 * table.h - the relay's slice of the route table: which targets it serves, how
 * each is reached, and which neighbours may open streams to it.
 *
 * The server owns it and sends it down the control session in pages; here it
 * is kept in memory, and a copy on disk (relay/table_file.h).  A target that
 * is not in it does not exist.  Pure; the cost of a page is that of its
 * entries, however many others there are.  Loop's thread.
 *
 * A lower version never wins: neither an entry's nor the table's, unless the
 * database lives a new life (a later incarnation), whose numbers count anew.
 */
#ifndef RELAY_TABLE_H
#define RELAY_TABLE_H

#include "common/lookup.h"
#include "proto/message_control.h"

#include <sys/queue.h>

struct table;

struct table_entry {
	struct lookup_item item; /* first; the table's own */
	TAILQ_ENTRY(table_entry) all, fresh_next;
	bool fresh;
	uint64_t round; /* of the full table that named it last */
	uint64_t news;  /* see table_touch() */
	struct target target;
	char text[TARGET_SIZE]; /* the target as text */
	uint64_t seq;
	char name[NAME_SIZE]; /* as people call it; never empty */
	enum route_how how;
	struct endpoint endpoint;   /* ROUTE_DIAL */
	char via[NAME_SIZE];        /* ROUTE_VIA */
	struct msg_neighbour *from; /* most have one: memory for no more */
	size_t from_count;
	struct msg_neighbour *also; /* other relays by which it is reached */
	size_t also_count;
	void *owner; /* the relay's neighbour of this target, or NULL */
};

MUST_CHECK enum rc table_new(struct table **out);
void table_free(struct table *t);
/* Forget all of it. */
void table_clear(struct table *t);

/* The number after the last whole page set; 0: empty, ask for everything. */
uint64_t table_seq(const struct table *t);
/* The same, when it is of this life of the database; else 0. */
uint64_t table_seq_of(
    const struct table *t, const struct msg_incarnation *life);
/* Seconds of the life of the database that it is of; 0: of none yet. */
uint64_t table_life(const struct table *t);
size_t table_count(const struct table *t);
/* NULL: not in the slice. */
struct table_entry *table_find(
    const struct table *t, const struct target *target);

/*
 * Take one page.  Entries are applied as they come; when the last page of a
 * full table is there, what it did not name is gone.  *changed: the page was
 * the last, and table_seq() is its number.  RC_STATE: the page does not follow
 * what we have, or is older (fault says so; the server must send all);
 * RC_PROTO, RC_LIMIT, RC_NOMEM.
 */
MUST_CHECK enum rc table_apply(struct table *t,
    const struct msg_table_page *page, bool *changed, struct fault *fault);
/* Any entry that is new or leads elsewhere since it was taken; NULL: none. */
struct table_entry *table_take_fresh(struct table *t);

/*
 * News of entries, for those who are told: the table changed, or the caller
 * says that something else did.  Entries are kept in the order of their last
 * news; each listener remembers the number up to which it was told.
 */
void table_touch(struct table *t, struct table_entry *e);
/* The entry with the oldest news after this number; NULL: none. */
struct table_entry *table_news(const struct table *t, uint64_t after);
/* All entries, in the order of their news; NULL: no more. */
struct table_entry *table_first(const struct table *t);
struct table_entry *table_next(const struct table_entry *e);

/* May this neighbour open streams to the entry's target? */
bool table_permits(const struct table_entry *entry, enum peer_role role,
    const char *neighbour);

/* Is it reached by this relay? */
bool table_leads_by(const struct table_entry *entry, const char *relay);

/* Called for each entry that is about to vanish. */
typedef void (*table_gone_fn)(void *arg, struct table_entry *entry);
void table_on_gone(struct table *t, table_gone_fn fn, void *arg);

/* The table as pages of a full one.  Begin with all zero; nothing may change
 * until it is done. */
struct table_export {
	struct table_entry *next;
	uint32_t page;
	bool done;
};
/* Append one page's message to out. */
MUST_CHECK enum rc table_export_page(
    const struct table *t, struct table_export *x, struct packbuf *out);

#endif

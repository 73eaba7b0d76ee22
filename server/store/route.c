#include "server/store/route.h"
#include "proto/name.h"
#include "server/store/list.h"
#include "server/store/relay.h"
#include "server/store/setting.h"

#include <stdio.h>
#include <stdlib.h>

#define SEQUENCE "route"

enum rc route_next_seq(struct db *db, uint64_t *out)
{
	return store_sequence_next(db, SEQUENCE, out);
}

enum rc store_route_seq(struct db *db, uint64_t *out)
{
	return store_sequence_last(db, SEQUENCE, out);
}

enum rc route_add_gone(struct db *db, const char *kind, const char *name)
{
	char target[sizeof(((struct store_gone *)0)->target)];
	struct query q;
	uint64_t seq = 0;
	enum rc rc = route_next_seq(db, &seq);

	if (rc != RC_OK)
		return rc;
	(void)snprintf(target, sizeof(target), "%s/%s", kind, name);
	query_start(&q, db,
	    "INSERT INTO route_gone(target, seq) VALUES (?, ?)"
	    " ON CONFLICT (target) DO UPDATE SET seq = excluded.seq");
	query_text(&q, target);
	query_u64(&q, seq);
	return query_run(&q, NULL);
}

enum rc route_remove_gone(struct db *db, const char *kind, const char *name)
{
	char target[sizeof(((struct store_gone *)0)->target)];

	(void)snprintf(target, sizeof(target), "%s/%s", kind, name);
	return list_run(db, "DELETE FROM route_gone WHERE target = ?", target);
}

static enum rc list_numbered(struct db *db, const char *sql, uint64_t after,
    struct store_gone *rows, uint32_t most, size_t *count)
{
	struct query q;

	query_start(&q, db, sql);
	query_u64(&q, after);
	query_int(&q, most);
	while (*count < most && query_step(&q) == RC_OK) {
		struct store_gone *r = &rows[(*count)++];

		query_copy_text(&q, 0, r->target, sizeof(r->target));
		r->seq = query_get_u64(&q, 1);
	}
	return list_end(&q, q.rc);
}

static enum rc list_new(struct db *db, const char *sql, uint64_t after,
    uint32_t limit, struct store_gone **rows, size_t *count)
{
	uint32_t most = list_limit(limit);
	struct store_gone *all = calloc(most, sizeof(*all));
	size_t n = 0;
	enum rc rc;

	if (all == NULL)
		return RC_NOMEM;
	rc = list_numbered(db, sql, after, all, most, &n);
	if (rc != RC_OK) {
		free(all);
		return rc;
	}
	*rows = all;
	*count = n;
	return RC_OK;
}

enum rc store_route_gone(struct db *db, uint64_t after, uint32_t limit,
    struct store_gone **rows, size_t *count)
{
	return list_new(db,
	    "SELECT target, seq FROM route_gone WHERE seq > ?1"
	    " ORDER BY seq LIMIT ?2",
	    after, limit, rows, count);
}

enum rc store_route_changed(struct db *db, uint64_t after, uint32_t limit,
    struct store_gone **rows, size_t *count)
{
	return list_new(db,
	    "SELECT 'machine/' || id AS target, route_seq AS seq FROM machine"
	    " WHERE route_seq > ?1 UNION ALL"
	    " SELECT 'relay/' || name, route_seq FROM relay"
	    " WHERE route_seq > ?1 ORDER BY seq LIMIT ?2",
	    after, limit, rows, count);
}

static enum rc set_numbers(struct db *db, const char *sql, uint64_t seq)
{
	struct query q;

	query_start(&q, db, sql);
	query_u64(&q, seq);
	return query_run(&q, NULL);
}

enum rc store_route_raise(struct db *db, uint64_t seq)
{
	uint64_t last = 0, top;
	enum rc rc = store_route_seq(db, &last);

	if (rc != RC_OK || last >= seq)
		return rc;
	/* Those that have gone keep numbers of their own: they are read in
	 * pages. */
	top = seq + 1 + last;
	rc = set_numbers(db, "UPDATE route_gone SET seq = seq + ?1", seq + 1);
	if (rc == RC_OK)
		rc = set_numbers(db, "UPDATE machine SET route_seq = ?1", top);
	if (rc == RC_OK)
		rc = set_numbers(db, "UPDATE relay SET route_seq = ?1", top);
	if (rc == RC_OK)
		rc = set_numbers(db,
		    "INSERT INTO sequence(name, value) VALUES ('" SEQUENCE
		    "', ?1) ON CONFLICT (name) DO UPDATE"
		    " SET value = excluded.value",
		    top);
	return rc;
}

/* The statements of a kind of owner. */
struct route_sql {
	const char *insert, *insert_hop, *drop, *load, *noun;
};

static const struct route_sql *sql_of(const struct route_owner *owner)
{
	static const struct route_sql machine = {
		.insert = "INSERT INTO route(machine, ordinal, path, endpoint)"
			  " VALUES (?, ?, ?, ?)",
		.insert_hop = "INSERT INTO route_hop(machine, ordinal,"
			      " position, via) VALUES (?, ?, ?, ?)",
		.drop = "DELETE FROM route WHERE machine = ?",
		.load = "SELECT path, endpoint FROM route WHERE machine = ?"
			" ORDER BY ordinal",
		.noun = "machine",
	};
	static const struct route_sql relay = {
		.insert = "INSERT INTO relay_route(relay, ordinal, path,"
			  " endpoint) VALUES (?, ?, ?, ?)",
		.insert_hop = "INSERT INTO relay_route_hop(relay, ordinal,"
			      " position, via) VALUES (?, ?, ?, ?)",
		.drop = "DELETE FROM relay_route WHERE relay = ?",
		.load = "SELECT path, endpoint FROM relay_route WHERE relay = ?"
			" ORDER BY ordinal",
		.noun = "relay",
	};

	return owner->role == STORE_ROLE_RELAY ? &relay : &machine;
}

static enum rc insert_hops(struct db *db, const struct route_owner *owner,
    int ordinal, const char *path, struct fault *fault)
{
	struct path hops;
	enum rc rc = path_parse(path, &hops, fault);

	for (size_t i = 0; rc == RC_OK && i < hops.count; i++) {
		struct query q;

		query_start(&q, db, sql_of(owner)->insert_hop);
		query_text(&q, owner->id);
		query_int(&q, ordinal);
		query_int(&q, (int64_t)i);
		query_text(&q, hops.names[i]);
		rc = query_run(&q, NULL);
		if (rc == RC_STATE) {
			fault_set(fault, REASON_NOT_FOUND, "",
			    "route %s: relay %s: not found", path,
			    hops.names[i]);
			rc = RC_NOTFOUND;
		}
	}
	return rc;
}

static enum rc insert_one(struct db *db, const struct route_owner *owner,
    int ordinal, const struct store_route *r, struct fault *fault)
{
	struct query q;
	enum rc rc;

	query_start(&q, db, sql_of(owner)->insert);
	query_text(&q, owner->id);
	query_int(&q, ordinal);
	query_text(&q, r->path);
	query_text(&q, r->endpoint);
	rc = query_run(&q, NULL);
	if (rc == RC_EXISTS)
		fault_set(fault, REASON_CONFLICT, "", "route %s: given twice",
		    r->path);
	if (rc == RC_OK)
		rc = insert_hops(db, owner, ordinal, r->path, fault);
	return db_fault(db, rc, fault, "route %s", r->path);
}

enum rc route_insert_all(struct db *db, const struct route_owner *owner,
    const struct store_route *routes, size_t count, struct fault *fault)
{
	enum rc rc = RC_OK;

	if (count > STORE_ROUTES_MAX) {
		fault_set(fault, REASON_TOO_MANY, "",
		    "a %s has at most %d routes", sql_of(owner)->noun,
		    STORE_ROUTES_MAX);
		return RC_LIMIT;
	}
	for (size_t i = 0; rc == RC_OK && i < count; i++)
		rc = insert_one(db, owner, (int)i, &routes[i], fault);
	return rc;
}

enum rc route_delete_all(struct db *db, const struct route_owner *owner)
{
	return list_run(db, sql_of(owner)->drop, owner->id);
}

enum rc route_load_all(struct db *db, const struct route_owner *owner,
    struct store_route out[STORE_ROUTES_MAX], size_t *count)
{
	struct query q;

	query_start(&q, db, sql_of(owner)->load);
	query_text(&q, owner->id);
	*count = 0;
	while (*count < STORE_ROUTES_MAX && query_step(&q) == RC_OK) {
		struct store_route *r = &out[(*count)++];

		query_copy_text(&q, 0, r->path, sizeof(r->path));
		query_copy_text(&q, 1, r->endpoint, sizeof(r->endpoint));
	}
	return list_end(&q, q.rc);
}

#define BEHIND                                                                 \
	"WITH RECURSIVE behind(name) AS (SELECT ?1"                            \
	" UNION SELECT h.relay FROM relay_route_hop h JOIN behind"             \
	"  ON h.via = behind.name) "

static enum rc set_number_behind(
    struct db *db, const char *sql, const char *relay, uint64_t seq)
{
	struct query q;

	query_start(&q, db, sql);
	query_text(&q, relay);
	query_u64(&q, seq);
	return query_run(&q, NULL);
}

/* One number for all: they change together. */
enum rc route_touch_behind(struct db *db, const char *relay)
{
	uint64_t seq = 0;
	enum rc rc = route_next_seq(db, &seq);

	if (rc == RC_OK)
		rc = set_number_behind(db,
		    BEHIND "UPDATE relay SET route_seq = ?2 WHERE name <> ?1"
			   " AND name IN (SELECT name FROM behind)",
		    relay, seq);
	if (rc == RC_OK)
		rc = set_number_behind(db,
		    BEHIND "UPDATE machine SET route_seq = ?2 WHERE id IN"
			   " (SELECT h.machine FROM route_hop h JOIN behind"
			   "  ON h.via = behind.name)",
		    relay, seq);
	return rc;
}

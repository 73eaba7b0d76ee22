#include "server/store/relay.h"
#include "proto/name.h"
#include "server/store/list.h"
#include "server/store/route.h"

#include <stdlib.h>

#define COLUMNS                                                                \
	"SELECT name, enabled, draining, presence, presence_at_ms,"            \
	" presence_text, last_seen_ms, version, listen, spki, hold,"           \
	" route_seq, created_ms FROM relay"

static void read_row(struct query *q, struct store_relay *r)
{
	query_copy_text(q, 0, r->name, sizeof(r->name));
	r->enabled = query_get_bool(q, 1);
	r->draining = query_get_bool(q, 2);
	if (store_presence_parse(query_get_text(q, 3), &r->presence) != RC_OK)
		r->presence = STORE_PRESENCE_UNKNOWN;
	r->presence_at_ms = query_get_u64(q, 4);
	query_copy_text(q, 5, r->presence_text, sizeof(r->presence_text));
	r->last_seen_ms = query_get_u64(q, 6);
	query_copy_text(q, 7, r->version, sizeof(r->version));
	query_copy_text(q, 8, r->listen, sizeof(r->listen));
	query_copy_blob(q, 9, r->spki, sizeof(r->spki));
	query_copy_text(q, 10, r->hold, sizeof(r->hold));
	r->route_seq = query_get_u64(q, 11);
	r->created_ms = query_get_u64(q, 12);
}

static MUST_CHECK enum rc load_routes(struct db *db, struct store_relay *r)
{
	const struct route_owner owner = { STORE_ROLE_RELAY, r->name };

	return route_load_all(db, &owner, r->routes, &r->route_count);
}

enum rc store_relay_get(struct db *db, const char *name,
    struct store_relay *out, struct fault *fault)
{
	struct query q;
	enum rc rc;

	query_start(&q, db, COLUMNS " WHERE name = ?");
	query_text(&q, name);
	rc = query_step(&q);
	if (rc == RC_OK)
		read_row(&q, out);
	query_end(&q);
	if (rc == RC_OK)
		rc = load_routes(db, out);
	return db_fault(db, rc, fault, "relay %s", name);
}

enum rc store_relay_list(struct db *db, const struct page *page,
    struct store_relay **rows, size_t *count)
{
	uint32_t limit = list_limit(page->limit);
	struct store_relay *all = calloc(limit, sizeof(*all));
	struct query q;
	size_t n = 0;
	enum rc rc;

	if (all == NULL)
		return RC_NOMEM;
	query_start(&q, db, COLUMNS " WHERE name > ? ORDER BY name LIMIT ?");
	query_text(&q, list_after(page));
	query_int(&q, limit);
	while (n < limit && query_step(&q) == RC_OK)
		read_row(&q, &all[n++]);
	rc = list_end(&q, q.rc);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = load_routes(db, &all[i]);
	if (rc != RC_OK) {
		free(all);
		return rc;
	}
	*rows = all;
	*count = n;
	return RC_OK;
}

/* Is name reached, from the hops of start, over hops of hops...? */
static enum rc check_no_cycle(
    struct db *db, const char *name, struct fault *fault)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "WITH RECURSIVE above(name) AS ("
	    " SELECT via FROM relay_route_hop WHERE relay = ?1"
	    " UNION SELECT h.via FROM relay_route_hop h JOIN above"
	    "  ON h.relay = above.name)"
	    " SELECT 1 FROM above WHERE name = ?1");
	query_text(&q, name);
	rc = query_step(&q);
	query_end(&q);
	if (rc == RC_NOTFOUND)
		return RC_OK;
	if (rc != RC_OK)
		return rc;
	fault_set(fault, REASON_CONFLICT, "",
	    "relay %s: this route leads through relays that are themselves "
	    "reached through it",
	    name);
	return RC_STATE;
}

static MUST_CHECK enum rc insert_routes(
    struct db *db, const struct store_relay *r, struct fault *fault)
{
	const struct route_owner owner = { STORE_ROLE_RELAY, r->name };
	enum rc rc = RC_OK;

	for (size_t i = 0; i < r->route_count && rc == RC_OK; i++) {
		struct path hops;

		rc = path_parse(r->routes[i].path, &hops, fault);
		if (rc != RC_OK || !path_has(&hops, r->name))
			continue;
		fault_set(fault, REASON_CONFLICT, "",
		    "relay %s: its own route %s leads through it", r->name,
		    r->routes[i].path);
		rc = RC_STATE;
	}
	if (rc == RC_OK)
		rc = route_insert_all(
		    db, &owner, r->routes, r->route_count, fault);
	return rc == RC_OK ? check_no_cycle(db, r->name, fault) : rc;
}

enum rc store_relay_create(
    struct db *db, struct store_relay *r, struct fault *fault)
{
	struct query q;
	enum rc rc = route_next_seq(db, &r->route_seq);

	if (rc != RC_OK)
		return db_fault(db, rc, fault, "relay %s", r->name);
	query_start(&q, db,
	    "INSERT INTO relay(name, enabled, version, listen, spki,"
	    " route_seq, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?)");
	query_text(&q, r->name);
	query_int(&q, r->enabled);
	query_text(&q, r->version);
	query_text(&q, r->listen);
	query_key(&q, r->spki, sizeof(r->spki));
	query_u64(&q, r->route_seq);
	query_u64(&q, r->created_ms);
	rc = query_run(&q, NULL);
	if (rc == RC_OK)
		rc = insert_routes(db, r, fault);
	if (rc == RC_OK)
		rc = route_remove_gone(db, "relay", r->name);
	return db_fault(db, rc, fault, "relay %s", r->name);
}

/* Says which machine or relay is in the way. */
static void tell_user(struct db *db, const char *name, struct fault *fault)
{
	struct query q;

	query_start(&q, db,
	    "SELECT 'machine ' || m.name FROM route_hop h JOIN machine m"
	    " ON m.id = h.machine WHERE h.via = ?1"
	    " UNION ALL SELECT 'relay ' || relay FROM relay_route_hop"
	    " WHERE via = ?1 LIMIT 1");
	query_text(&q, name);
	if (query_step(&q) == RC_OK)
		fault_set(fault, REASON_CONFLICT, "",
		    "relay %s: a route of %s leads through it; change that "
		    "first",
		    name, query_get_text(&q, 0));
	query_end(&q);
}

enum rc store_relay_delete(struct db *db, const char *name, struct fault *fault)
{
	enum rc rc = list_change(db, "DELETE FROM relay WHERE name = ?", name);

	if (rc == RC_STATE)
		tell_user(db, name, fault);
	if (rc == RC_OK)
		rc = route_add_gone(db, "relay", name);
	return db_fault(db, rc, fault, "relay %s", name);
}

enum rc store_relay_set_routes(struct db *db, const struct store_relay *r,
    uint64_t *seq, struct fault *fault)
{
	const struct route_owner owner = { STORE_ROLE_RELAY, r->name };
	struct query q;
	enum rc rc = route_next_seq(db, seq);

	if (rc != RC_OK)
		return db_fault(db, rc, fault, "relay %s", r->name);
	query_start(&q, db, "UPDATE relay SET route_seq = ? WHERE name = ?");
	query_u64(&q, *seq);
	query_text(&q, r->name);
	rc = query_change(&q);
	if (rc == RC_OK)
		rc = route_delete_all(db, &owner);
	if (rc == RC_OK)
		rc = insert_routes(db, r, fault);
	if (rc == RC_OK)
		rc = route_touch_behind(db, r->name);
	return db_fault(db, rc, fault, "relay %s", r->name);
}

enum rc store_relay_set_flags(struct db *db, const char *name, bool enabled,
    bool draining, struct fault *fault)
{
	struct query q;

	query_start(&q, db,
	    "UPDATE relay SET enabled = ?, draining = ? WHERE name = ?");
	query_int(&q, enabled);
	query_int(&q, draining);
	query_text(&q, name);
	return db_fault(db, query_change(&q), fault, "relay %s", name);
}

enum rc store_relay_set_listen(
    struct db *db, const char *name, const char *listen, struct fault *fault)
{
	struct query q;

	query_start(&q, db, "UPDATE relay SET listen = ? WHERE name = ?");
	query_text(&q, listen);
	query_text(&q, name);
	return db_fault(db, query_change(&q), fault, "relay %s", name);
}

enum rc store_relay_set_presence(struct db *db, const char *name,
    enum store_presence presence, const char *text, uint64_t now_ms)
{
	struct query q;

	query_start(&q, db,
	    "UPDATE relay SET presence = ?1, presence_text = ?2,"
	    " presence_at_ms = CASE presence WHEN ?1 THEN presence_at_ms"
	    "  ELSE ?3 END,"
	    " last_seen_ms = CASE WHEN ?1 = 'online' AND last_seen_ms < ?3"
	    "  THEN ?3 ELSE last_seen_ms END WHERE name = ?4");
	query_text(&q, store_presence_name(presence));
	query_text(&q, text_or_empty(text));
	query_u64(&q, now_ms);
	query_text(&q, name);
	return query_change(&q);
}

enum rc store_relay_set_version(
    struct db *db, const char *name, const char *version)
{
	struct query q;

	query_start(&q, db, "UPDATE relay SET version = ? WHERE name = ?");
	query_text(&q, version);
	query_text(&q, name);
	return query_change(&q);
}

enum rc store_relay_set_spki(
    struct db *db, const char *name, const uint8_t spki[STORE_SHA256_SIZE])
{
	struct query q;

	query_start(&q, db, "UPDATE relay SET spki = ? WHERE name = ?");
	query_key(&q, spki, STORE_SHA256_SIZE);
	query_text(&q, name);
	return query_change(&q);
}

#include "server/store/machine.h"
#include "server/store/list.h"
#include "server/store/route.h"

#include <stdlib.h>

void store_machine_clear(struct store_machine *m)
{
	free(m->facts);
	m->facts = NULL;
	names_clear(&m->environments);
	names_clear(&m->roles);
}

void store_machines_free(struct store_machine *rows, size_t count)
{
	for (size_t i = 0; rows != NULL && i < count; i++)
		store_machine_clear(&rows[i]);
	free(rows);
}

#define COLUMNS                                                                \
	"SELECT id, name, enabled, presence, presence_at_ms, presence_text,"   \
	" last_seen_ms, health, health_at_ms, health_text, version, hold,"     \
	" spki, route_seq, created_ms, facts FROM machine"

static enum rc read_row(struct query *q, struct store_machine *m)
{
	query_copy_text(q, 0, m->id, sizeof(m->id));
	query_copy_text(q, 1, m->name, sizeof(m->name));
	m->enabled = query_get_bool(q, 2);
	if (store_presence_parse(query_get_text(q, 3), &m->presence) != RC_OK)
		m->presence = STORE_PRESENCE_UNKNOWN;
	m->presence_at_ms = query_get_u64(q, 4);
	query_copy_text(q, 5, m->presence_text, sizeof(m->presence_text));
	m->last_seen_ms = query_get_u64(q, 6);
	if (machine_health_parse(query_get_text(q, 7), &m->health) != RC_OK)
		m->health = MACHINE_HEALTH_UNKNOWN;
	m->health_at_ms = query_get_u64(q, 8);
	query_copy_text(q, 9, m->health_text, sizeof(m->health_text));
	query_copy_text(q, 10, m->version, sizeof(m->version));
	query_copy_text(q, 11, m->hold, sizeof(m->hold));
	query_copy_blob(q, 12, m->spki, sizeof(m->spki));
	m->route_seq = query_get_u64(q, 13);
	m->created_ms = query_get_u64(q, 14);
	return query_dup_text(q, 15, &m->facts);
}

/* What is in other tables, once the row's query has ended. */
static enum rc load_lists(struct db *db, struct store_machine *m)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "SELECT environment FROM machine_environment WHERE machine = ?"
	    " ORDER BY environment");
	query_text(&q, m->id);
	rc = list_names(&q, &m->environments);
	if (rc != RC_OK)
		return rc;
	query_start(&q, db,
	    "SELECT role FROM machine_role WHERE machine = ? ORDER BY role");
	query_text(&q, m->id);
	rc = list_names(&q, &m->roles);
	if (rc == RC_OK)
		rc = route_load_all(db,
		    &(struct route_owner){ STORE_ROLE_TENTACLE, m->id },
		    m->routes, &m->route_count);
	return rc;
}

enum rc store_machine_get(struct db *db, const char *name_or_id,
    struct store_machine *out, struct fault *fault)
{
	struct store_machine m = { 0 };
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    COLUMNS " WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC"
		    " LIMIT 1");
	query_text(&q, name_or_id);
	rc = query_step(&q);
	if (rc == RC_OK)
		rc = read_row(&q, &m);
	query_end(&q);
	if (rc == RC_OK)
		rc = load_lists(db, &m);
	if (rc == RC_OK) {
		*out = m;
		return RC_OK;
	}
	store_machine_clear(&m);
	return db_fault(db, rc, fault, "machine %s", name_or_id);
}

#define FILTERED                                                               \
	" WHERE name > ?1"                                                     \
	" AND (?2 = '' OR EXISTS (SELECT 1 FROM machine_environment e"         \
	"  WHERE e.machine = machine.id AND e.environment = ?2))"              \
	" AND (?3 = '' OR EXISTS (SELECT 1 FROM machine_role r"                \
	"  WHERE r.machine = machine.id AND r.role = ?3))"                     \
	" AND (?4 = 0 OR enabled = 1) ORDER BY name LIMIT ?5"

static enum rc list_rows(
    struct query *q, struct store_machine *rows, uint32_t limit, size_t *count)
{
	enum rc rc = RC_OK;

	while (rc == RC_OK && *count < limit) {
		rc = query_step(q);
		if (rc == RC_OK)
			rc = read_row(q, &rows[(*count)++]);
	}
	return list_end(q, rc);
}

enum rc store_machine_list(struct db *db,
    const struct store_machine_filter *filter, const struct page *page,
    struct store_machine **rows, size_t *count)
{
	uint32_t limit = list_limit(page->limit);
	struct store_machine *all = calloc(limit, sizeof(*all));
	struct query q;
	size_t n = 0;
	enum rc rc;

	if (all == NULL)
		return RC_NOMEM;
	query_start(&q, db, COLUMNS FILTERED);
	query_text(&q, list_after(page));
	query_text(&q, text_or_empty(filter->environment));
	query_text(&q, text_or_empty(filter->role));
	query_int(&q, filter->enabled_only);
	query_int(&q, limit);
	rc = list_rows(&q, all, limit, &n);
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		rc = load_lists(db, &all[i]);
	if (rc != RC_OK) {
		store_machines_free(all, n);
		return rc;
	}
	*rows = all;
	*count = n;
	return RC_OK;
}

static enum rc insert_lists(
    struct db *db, const struct store_machine *m, struct fault *fault)
{
	enum rc rc =
	    store_machine_set_environments(db, m->id, &m->environments, fault);

	if (rc == RC_OK)
		rc = store_machine_set_roles(db, m->id, &m->roles, fault);
	if (rc == RC_OK)
		rc = route_insert_all(db,
		    &(struct route_owner){ STORE_ROLE_TENTACLE, m->id },
		    m->routes, m->route_count, fault);
	return rc;
}

enum rc store_machine_create(
    struct db *db, struct store_machine *m, struct fault *fault)
{
	struct query q;
	enum rc rc = route_next_seq(db, &m->route_seq);

	if (rc != RC_OK)
		return db_fault(db, rc, fault, "machine %s", m->name);
	query_start(&q, db,
	    "INSERT INTO machine(id, name, enabled, version, spki, route_seq,"
	    " created_ms) VALUES (?, ?, ?, ?, ?, ?, ?)");
	query_text(&q, m->id);
	query_text(&q, m->name);
	query_int(&q, m->enabled);
	query_text(&q, m->version);
	query_key(&q, m->spki, sizeof(m->spki));
	query_u64(&q, m->route_seq);
	query_u64(&q, m->created_ms);
	rc = query_run(&q, NULL);
	if (rc == RC_OK)
		rc = route_remove_gone(db, "machine", m->id);
	if (rc == RC_OK)
		rc = insert_lists(db, m, fault);
	return db_fault(db, rc, fault, "machine %s", m->name);
}

enum rc store_machine_delete(struct db *db, const char *id, struct fault *fault)
{
	enum rc rc = list_change(db, "DELETE FROM machine WHERE id = ?", id);

	if (rc == RC_OK)
		rc = route_add_gone(db, "machine", id);
	return db_fault(db, rc, fault, "machine %s", id);
}

/* ---- counts ---- */

static enum rc count_presence(struct db *db, struct store_machine_counts *out)
{
	struct query q;

	query_start(&q, db,
	    "SELECT presence, count(*), sum(enabled) FROM machine"
	    " GROUP BY presence");
	while (query_step(&q) == RC_OK) {
		enum store_presence p;

		if (store_presence_parse(query_get_text(&q, 0), &p) == RC_OK)
			out->presence[p] = query_get_u64(&q, 1);
		out->all += query_get_u64(&q, 1);
		out->enabled += query_get_u64(&q, 2);
	}
	return list_end(&q, q.rc);
}

static enum rc count_health(struct db *db, struct store_machine_counts *out)
{
	struct query q;

	query_start(
	    &q, db, "SELECT health, count(*) FROM machine GROUP BY health");
	while (query_step(&q) == RC_OK) {
		enum machine_health h;

		if (machine_health_parse(query_get_text(&q, 0), &h) == RC_OK)
			out->health[h] = query_get_u64(&q, 1);
	}
	return list_end(&q, q.rc);
}

enum rc store_machine_count(struct db *db, struct store_machine_counts *out)
{
	enum rc rc;

	*out = (struct store_machine_counts){ 0 };
	rc = count_presence(db, out);
	return rc == RC_OK ? count_health(db, out) : rc;
}

#include "server/store/list.h"
#include "server/store/machine.h"
#include "server/store/route.h"

enum rc store_machine_enable(
    struct db *db, const char *id, bool enabled, struct fault *fault)
{
	struct query q;

	query_start(&q, db, "UPDATE machine SET enabled = ? WHERE id = ?");
	query_int(&q, enabled);
	query_text(&q, id);
	return db_fault(db, query_change(&q), fault, "machine %s", id);
}

static enum rc check_exists(struct db *db, const char *id, struct fault *fault)
{
	struct query q;
	enum rc rc;

	query_start(&q, db, "SELECT 1 FROM machine WHERE id = ?");
	query_text(&q, id);
	rc = query_step(&q);
	query_end(&q);
	return db_fault(db, rc, fault, "machine %s", id);
}

enum rc store_machine_set_environments(struct db *db, const char *id,
    const struct names *environments, struct fault *fault)
{
	const struct names_insert how = {
		.sql = "INSERT INTO machine_environment(machine, environment)"
		       " VALUES (?, ?)",
		.key = id,
		.what = "environment",
	};
	enum rc rc = check_exists(db, id, fault);

	if (rc == RC_OK)
		rc = list_run(db,
		    "DELETE FROM machine_environment WHERE machine = ?", id);
	if (rc == RC_OK)
		rc = list_insert(db, &how, environments, fault);
	return db_fault(db, rc, fault, "machine %s", id);
}

enum rc store_machine_set_roles(struct db *db, const char *id,
    const struct names *roles, struct fault *fault)
{
	const struct names_insert how = {
		.sql = "INSERT INTO machine_role(machine, role) VALUES (?, ?)",
		.key = id,
		.what = "role",
	};
	enum rc rc = check_exists(db, id, fault);

	if (rc == RC_OK)
		rc = list_run(
		    db, "DELETE FROM machine_role WHERE machine = ?", id);
	if (rc == RC_OK)
		rc = list_insert(db, &how, roles, fault);
	return db_fault(db, rc, fault, "machine %s", id);
}

enum rc store_machine_set_routes(struct db *db, const char *id,
    const struct store_route *routes, size_t count, uint64_t *seq,
    struct fault *fault)
{
	const struct route_owner owner = { STORE_ROLE_TENTACLE, id };
	struct query q;
	enum rc rc = route_next_seq(db, seq);

	if (rc != RC_OK)
		return db_fault(db, rc, fault, "machine %s", id);
	query_start(&q, db, "UPDATE machine SET route_seq = ? WHERE id = ?");
	query_u64(&q, *seq);
	query_text(&q, id);
	rc = query_change(&q);
	if (rc == RC_OK)
		rc = route_delete_all(db, &owner);
	if (rc == RC_OK)
		rc = route_insert_all(db, &owner, routes, count, fault);
	return db_fault(db, rc, fault, "machine %s", id);
}

enum rc store_machine_set_presence(struct db *db, const char *id,
    enum store_presence presence, const char *text, uint64_t now_ms)
{
	const char *word = store_presence_name(presence);
	struct query q;

	query_start(&q, db,
	    "UPDATE machine SET presence = ?1, presence_text = ?2,"
	    " presence_at_ms = CASE presence WHEN ?1 THEN presence_at_ms"
	    "  ELSE ?3 END,"
	    " last_seen_ms = CASE WHEN ?1 = 'online' AND last_seen_ms < ?3"
	    "  THEN ?3 ELSE last_seen_ms END WHERE id = ?4");
	query_text(&q, word);
	query_text(&q, text_or_empty(text));
	query_u64(&q, now_ms);
	query_text(&q, id);
	return query_change(&q);
}

enum rc store_machine_set_health(struct db *db, const char *id,
    enum machine_health health, const char *text, const char *facts,
    uint64_t now_ms)
{
	struct query q;

	query_start(&q, db,
	    "UPDATE machine SET health = ?1, health_text = ?2,"
	    " facts = CASE ?3 WHEN '' THEN facts ELSE ?3 END,"
	    " health_at_ms = ?4 WHERE id = ?5");
	query_text(&q, machine_health_name(health));
	query_text(&q, text_or_empty(text));
	query_text(&q, text_or_empty(facts));
	query_u64(&q, now_ms);
	query_text(&q, id);
	return query_change(&q);
}

enum rc store_machine_set_version(
    struct db *db, const char *id, const char *version)
{
	struct query q;

	query_start(&q, db, "UPDATE machine SET version = ? WHERE id = ?");
	query_text(&q, version);
	query_text(&q, id);
	return query_change(&q);
}

enum rc store_machine_hold(struct db *db, const char *id, const char *reason)
{
	struct query q;

	query_start(&q, db, "UPDATE machine SET hold = ? WHERE id = ?");
	query_text(&q, reason);
	query_text(&q, id);
	return query_change(&q);
}

enum rc store_machine_set_spki(
    struct db *db, const char *id, const uint8_t spki[STORE_SHA256_SIZE])
{
	struct query q;

	query_start(&q, db, "UPDATE machine SET spki = ? WHERE id = ?");
	query_key(&q, spki, STORE_SHA256_SIZE);
	query_text(&q, id);
	return query_change(&q);
}

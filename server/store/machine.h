/*
 * machine.h - deployment targets and how they are reached.
 *
 * SQL thread only.  RC_NOTFOUND, RC_EXISTS, RC_STATE (still used, or names
 * something that does not exist) come with a fault in a user's words.
 */
#ifndef SERVER_STORE_MACHINE_H
#define SERVER_STORE_MACHINE_H

#include "server/engine/task.h"
#include "server/store/db.h"
#include "server/store/types.h"

#define STORE_ROUTES_MAX 8
#define STORE_HOPS_MAX   8

/* One way to a machine, in order of preference. */
struct store_route {
	char path[STORE_PATH_SIZE]; /* "direct" or relay names: "dc2-a/dc2-c" */
	char endpoint[STORE_ENDPOINT_SIZE]; /* the last hop dials it; "": the
	                                       machine dials the last hop */
};

struct store_machine {
	char id[STORE_ID_SIZE];
	char name[STORE_NAME_SIZE];
	bool enabled;
	enum store_presence presence;
	uint64_t presence_at_ms;             /* since when */
	char presence_text[STORE_TEXT_SIZE]; /* "dc2-a says: ..." */
	uint64_t last_seen_ms;
	enum machine_health health;
	uint64_t health_at_ms;
	char health_text[STORE_TEXT_SIZE];
	char version[STORE_NAME_SIZE];   /* of its tentacle; "" unknown */
	char hold[STORE_NAME_SIZE];      /* "", "clone", "journal": no work */
	uint8_t spki[STORE_SHA256_SIZE]; /* zeros: not enrolled */
	uint64_t route_seq;              /* of any change of its routes */
	uint64_t created_ms;
	char *facts; /* JSON of the last health check; "" when none */
	struct names environments;
	struct names roles;
	struct store_route routes[STORE_ROUTES_MAX];
	size_t route_count;
};

/* "" or NULL: any.  All given conditions must hold. */
struct store_machine_filter {
	const char *environment;
	const char *role;
	bool enabled_only;
};

/* Frees what m owns (not m). */
void store_machine_clear(struct store_machine *m);
/* Frees the rows of a list. */
void store_machines_free(struct store_machine *rows, size_t count);

/* By id or by name.  The caller clears *out. */
MUST_CHECK enum rc store_machine_get(struct db *db, const char *name_or_id,
    struct store_machine *out, struct fault *fault);
/* Sorted by name, whole records; the cursor is a name. */
MUST_CHECK enum rc store_machine_list(struct db *db,
    const struct store_machine_filter *filter, const struct page *page,
    struct store_machine **rows, size_t *count);
/*
 * Inserts id, name, enabled, version, spki, environments, roles, routes,
 * created_ms; the rest starts unknown.  Sets m->route_seq.
 */
MUST_CHECK enum rc store_machine_create(
    struct db *db, struct store_machine *m, struct fault *fault);
/* Its past runs stay.  The route table gets a "gone". */
MUST_CHECK enum rc store_machine_delete(
    struct db *db, const char *id, struct fault *fault);

MUST_CHECK enum rc store_machine_enable(
    struct db *db, const char *id, bool enabled, struct fault *fault);
MUST_CHECK enum rc store_machine_set_environments(struct db *db, const char *id,
    const struct names *environments, struct fault *fault);
MUST_CHECK enum rc store_machine_set_roles(struct db *db, const char *id,
    const struct names *roles, struct fault *fault);
/* Replaces all routes and raises route_seq, which is told in *seq. */
MUST_CHECK enum rc store_machine_set_routes(struct db *db, const char *id,
    const struct store_route *routes, size_t count, uint64_t *seq,
    struct fault *fault);

/* last_seen_ms is raised to now_ms when presence is online. */
MUST_CHECK enum rc store_machine_set_presence(struct db *db, const char *id,
    enum store_presence presence, const char *text, uint64_t now_ms);
/* facts: JSON, "" keeps the ones before; version too. */
MUST_CHECK enum rc store_machine_set_health(struct db *db, const char *id,
    enum machine_health health, const char *text, const char *facts,
    uint64_t now_ms);
MUST_CHECK enum rc store_machine_set_version(
    struct db *db, const char *id, const char *version);
/* "" releases it. */
MUST_CHECK enum rc store_machine_hold(
    struct db *db, const char *id, const char *reason);
MUST_CHECK enum rc store_machine_set_spki(
    struct db *db, const char *id, const uint8_t spki[STORE_SHA256_SIZE]);
/* How many: all, and per presence and health. */
struct store_machine_counts {
	uint64_t all;
	uint64_t enabled;
	uint64_t presence[STORE_PRESENCE_COUNT];
	uint64_t health[MACHINE_HEALTH_COUNT];
};
MUST_CHECK enum rc store_machine_count(
    struct db *db, struct store_machine_counts *out);

#endif

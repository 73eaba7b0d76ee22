/*
 * store_rows.h - rows that tests of the store begin with.  In a header, all
 * inline, so that only they link the store.
 */
#ifndef TEST_SUPPORT_STORE_ROWS_H
#define TEST_SUPPORT_STORE_ROWS_H

#include "server/store/environment.h"
#include "server/store/instance.h"
#include "server/store/machine.h"
#include "server/store/relay.h"
#include "test/support/tempdb.h"

#define WEB "11111111111111111111111111111111"
#define DBM "22222222222222222222222222222222"

static const struct page whole = { 0 };
static const struct store_member web = { STORE_ROLE_TENTACLE, WEB };

static inline void add_environment(struct db *db, const char *name)
{
	struct store_environment e = { .created_ms = 5 };

	(void)snprintf(e.name, sizeof(e.name), "%s", name);
	assert_int_equal(store_environment_create(db, &e, NULL), RC_OK);
}

static inline void add_relay(struct db *db, const char *name, const char *path)
{
	struct store_relay r = {
		.enabled = true, .route_count = 1, .created_ms = 5
	};

	(void)snprintf(r.name, sizeof(r.name), "%s", name);
	(void)snprintf(r.routes[0].path, sizeof(r.routes[0].path), "%s", path);
	assert_int_equal(store_relay_create(db, &r, NULL), RC_OK);
}

static inline void add_machine(struct db *db, const char *id, const char *name,
    const char *environment, const char *role)
{
	struct store_machine m = { .enabled = true,
		.created_ms = 7,
		.route_count = 1,
		.routes = { { "direct", "10.0.0.3:10933" } } };

	(void)snprintf(m.id, sizeof(m.id), "%s", id);
	(void)snprintf(m.name, sizeof(m.name), "%s", name);
	assert_int_equal(names_add(&m.environments, environment), RC_OK);
	assert_int_equal(names_add(&m.roles, role), RC_OK);
	assert_int_equal(store_machine_create(db, &m, NULL), RC_OK);
	store_machine_clear(&m);
}

#endif

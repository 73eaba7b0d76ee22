/* api_machines.c - deployment targets: environments, roles, routes, state. */
#include "common/random.h"
#include "server/api/held.h"
#include "server/api/routes.h"
#include "server/api/wire.h"
#include "server/store/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *machine_json(const struct store_machine *m, bool with_facts)
{
	static const uint8_t none[STORE_SHA256_SIZE];
	json_t *facts = NULL;

	if (with_facts && m->facts != NULL && *m->facts != '\0')
		facts = json_loads(m->facts, 0, NULL);
	return json_pack("{s:o, s:o, s:b, s:b, s:s, s:o, s:I, s:I, s:s, s:o, "
			 "s:I, s:o, s:o, s:o, s:o, s:o, s:I, s:o}",
	    "name", json_safe(m->name), "id", json_safe(m->id), "enabled",
	    m->enabled ? 1 : 0, "enrolled",
	    memcmp(m->spki, none, sizeof(none)) != 0 ? 1 : 0, "presence",
	    store_presence_name(m->presence), "presence_text",
	    json_safe(m->presence_text), "presence_at_ms",
	    (json_int_t)m->presence_at_ms, "last_seen_ms",
	    (json_int_t)m->last_seen_ms, "health",
	    machine_health_name(m->health), "health_text",
	    json_safe(m->health_text), "health_at_ms",
	    (json_int_t)m->health_at_ms, "version", json_safe(m->version),
	    "hold", json_safe(m->hold), "environments",
	    json_names(&m->environments), "roles", json_names(&m->roles),
	    "routes", wire_routes(m->routes, m->route_count), "created_ms",
	    (json_int_t)m->created_ms, "facts",
	    facts != NULL ? facts : json_null());
}

static enum rc list(struct api_call *call, struct db *db)
{
	const struct store_machine_filter filter = {
		.environment = call_query(call, "environment"),
		.role = call_query(call, "role"),
	};
	struct store_machine *rows = NULL;
	struct page page;
	size_t count = 0;
	json_t *items = json_array();
	enum rc rc = call_page(call, &page, 100);

	if (rc == RC_OK)
		rc = store_machine_list(db, &filter, &page, &rows, &count);
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		if (!api_sees(call, &rows[i].environments))
			continue;
		if (json_array_append_new(
			items, machine_json(&rows[i], false)) != 0)
			rc = RC_NOMEM;
	}
	if (rc == RC_OK)
		rc = call_answer_list(call, json_incref(items),
		    count == page.limit ? rows[count - 1].name : NULL);
	json_decref(items);
	store_machines_free(rows, count);
	return rc;
}

static enum rc show(struct api_call *call, struct db *db)
{
	struct store_machine m = { 0 };
	enum rc rc =
	    store_machine_get(db, call_param(call, 0), &m, &call->fault);

	if (rc != RC_OK)
		return rc;
	if (api_sees(call, &m.environments))
		rc = call_answer(call, 200,
		    held_explain(db,
			&(struct held){
			    { STORE_ROLE_TENTACLE, m.id }, m.name, m.hold },
			machine_json(&m, true)));
	else
		rc = call_fail(call, RC_NOTFOUND, REASON_NOT_FOUND,
		    "machine %s: not found", call_param(call, 0));
	store_machine_clear(&m);
	return rc;
}

/* What a body says about environments, roles and routes. */
static enum rc read_place(struct api_call *call, struct store_machine *m)
{
	enum rc rc = names_from_json("environment",
	    call_member(call, "environments"), &m->environments, &call->fault);

	if (rc == RC_OK)
		rc = names_from_json("role", call_member(call, "roles"),
		    &m->roles, &call->fault);
	if (rc == RC_OK)
		rc = wire_read_routes(call_member(call, "routes"),
		    STORE_ROLE_TENTACLE, m->routes, &m->route_count,
		    &call->fault);
	return rc;
}

void machine_changed(struct api_call *call, const struct store_machine *m)
{
	call->event = API_EVENT_MACHINE_CHANGED;
	wire_copy(call->name, sizeof(call->name), m->id);
	(void)snprintf(
	    call->object, sizeof(call->object), "machine %s", m->name);
}

static enum rc add(struct api_call *call, struct db *db)
{
	struct store_machine m = { .enabled = call_bool(call, "enabled", true),
		.created_ms = (uint64_t)call->now_ms };
	const char *name = call_text(call, "name");
	enum rc rc = name_check("machine", name, &call->fault);

	if (rc == RC_OK)
		rc = read_place(call, &m);
	if (rc == RC_OK)
		rc = api_may_all(call, &m.environments);
	if (rc != RC_OK)
		goto out;
	wire_copy(m.name, sizeof(m.name), name);
	random_hex(m.id, ID_BYTES);
	rc = store_machine_create(db, &m, &call->fault);
	if (rc != RC_OK)
		goto out;
	machine_changed(call, &m);
	rc = call_answer(call, 201, machine_json(&m, false));
out:
	store_machine_clear(&m);
	return rc;
}

/* Whoever moves a machine must be at home where it was and where it goes. */
static enum rc apply(struct api_call *call, struct db *db,
    const struct store_machine *old, const struct store_machine *next)
{
	uint64_t seq;
	enum rc rc = RC_OK;

	if (call_member(call, "environments") != NULL) {
		rc = api_may_all(call, &next->environments);
		if (rc == RC_OK)
			rc = store_machine_set_environments(
			    db, old->id, &next->environments, &call->fault);
	}
	if (rc == RC_OK && call_member(call, "roles") != NULL)
		rc = store_machine_set_roles(
		    db, old->id, &next->roles, &call->fault);
	if (rc == RC_OK && call_member(call, "routes") != NULL)
		rc = store_machine_set_routes(db, old->id, next->routes,
		    next->route_count, &seq, &call->fault);
	if (rc == RC_OK && call_member(call, "enabled") != NULL)
		rc = store_machine_enable(db, old->id,
		    call_bool(call, "enabled", true), &call->fault);
	return rc;
}

static enum rc edit(struct api_call *call, struct db *db)
{
	struct store_machine old = { 0 }, next = { 0 }, now = { 0 };
	enum rc rc =
	    store_machine_get(db, call_param(call, 0), &old, &call->fault);

	if (rc == RC_OK)
		rc = api_may_all(call, &old.environments);
	if (rc == RC_OK)
		rc = read_place(call, &next);
	if (rc == RC_OK)
		rc = apply(call, db, &old, &next);
	if (rc == RC_OK)
		rc = store_machine_get(db, old.id, &now, &call->fault);
	if (rc == RC_OK) {
		machine_changed(call, &now);
		rc = call_answer(call, 200, machine_json(&now, false));
	}
	store_machine_clear(&old);
	store_machine_clear(&next);
	store_machine_clear(&now);
	return rc;
}

static enum rc revoke_key(struct api_call *call, struct db *db,
    const struct store_machine *m, const char *reason)
{
	const struct store_revoke_key key = {
		.role = STORE_ROLE_TENTACLE,
		.name = m->name,
		.reason = reason,
		.spki = m->spki,
		.now_ms = (uint64_t)call->now_ms,
	};

	return store_revoke_key(db, &key);
}

/* Its key is not believed any more; the machine may join with another one. */
static enum rc revoke(struct api_call *call, struct db *db)
{
	const char *why = call_text(call, "reason");
	static const uint8_t none[STORE_SHA256_SIZE];
	struct store_machine m = { 0 };
	enum rc rc =
	    store_machine_get(db, call_param(call, 0), &m, &call->fault);

	if (rc == RC_OK)
		rc = api_may_all(call, &m.environments);
	if (rc == RC_OK && memcmp(m.spki, none, sizeof(none)) == 0)
		rc = call_fail(call, RC_STATE, REASON_CONFLICT,
		    "machine %s: has no key (any more); there is nothing to "
		    "revoke",
		    m.name);
	if (rc == RC_OK)
		rc = revoke_key(
		    call, db, &m, why != NULL ? why : "revoked by an operator");
	if (rc == RC_OK)
		rc = store_machine_set_spki(db, m.id, none);
	if (rc == RC_OK) {
		memcpy(m.spki, none, sizeof(none));
		machine_changed(call, &m);
		rc = call_answer(call, 200, machine_json(&m, false));
	}
	store_machine_clear(&m);
	return rc;
}

static enum rc drop(struct api_call *call, struct db *db)
{
	struct store_machine m = { 0 };
	enum rc rc =
	    store_machine_get(db, call_param(call, 0), &m, &call->fault);

	if (rc == RC_OK)
		rc = api_may_all(call, &m.environments);
	if (rc == RC_OK)
		rc = revoke_key(call, db, &m, "the machine was removed");
	if (rc == RC_OK)
		rc = store_machine_delete(db, m.id, &call->fault);
	if (rc == RC_OK)
		machine_changed(call, &m);
	call->status = 204;
	store_machine_clear(&m);
	return rc;
}

static enum rc explain(struct api_call *call)
{
	const char *id = json_string_value(json_object_get(call->answer, "id"));
	enum rc rc = api_ask(call, API_LIVE_ROUTE, id != NULL ? id : "");

	return rc == RC_STATE ? RC_OK : rc;
}

static enum rc show_live(struct api_call *call)
{
	const char *id = json_string_value(json_object_get(call->answer, "id"));
	enum rc rc = api_ask(call, API_LIVE_MACHINE, id != NULL ? id : "");

	return rc == RC_STATE ? RC_OK : rc;
}

/* The trace's own answer, not the machine's. */
static enum rc ask_trace(struct api_call *call, struct api_live *about)
{
	const char *id = json_string_value(json_object_get(call->answer, "id"));

	wire_copy(about->name, sizeof(about->name), id != NULL ? id : "");
	json_decref(call->answer);
	call->answer = NULL;
	return api_can_ask(call) ? api_ask_about(call, about)
	                         : call_fail(call, RC_STATE, REASON_CONFLICT,
				       "this server has no links");
}

/* It makes traffic, as a health check does. */
static enum rc may_trace(struct api_call *call, struct db *db)
{
	struct store_machine m = { 0 };
	enum rc rc =
	    store_machine_get(db, call_param(call, 0), &m, &call->fault);

	if (rc == RC_OK)
		rc = api_may_all(call, &m.environments);
	if (rc == RC_OK)
		rc = call_answer(call, 201, machine_json(&m, false));
	store_machine_clear(&m);
	return rc;
}

static enum rc trace_start(struct api_call *call)
{
	struct api_live about = { .kind = API_LIVE_TRACE_START };

	return ask_trace(call, &about);
}

static enum rc trace_more(struct api_call *call)
{
	struct api_live about = { .kind = API_LIVE_TRACE };
	const char *after = call_query(call, "after");

	wire_copy(about.trace, sizeof(about.trace), call_param(call, 1));
	about.after = after != NULL ? strtoull(after, NULL, 10) : 0;
	return ask_trace(call, &about);
}

static enum rc list_live(struct api_call *call)
{
	return api_ask_items(call, API_LIVE_MACHINES);
}

static const struct route_field trace_query[] = {
	{ "after", ROUTE_NUMBER, false, 1000,
	    "How many hops are known already; waits for more", NULL },
	{ .name = NULL },
};

static const struct route_field list_query[] = {
	{ "environment", ROUTE_TEXT, false, LIMIT_NAME, "Only its machines",
	    NULL },
	{ "role", ROUTE_TEXT, false, LIMIT_VERSION, "Only those with it",
	    NULL },
	{ .name = NULL },
};

#define PLACE_FIELDS                                                           \
	{ "environments", ROUTE_TEXTS, false, STORE_NAMES_MAX,                 \
		"Where it stands", NULL },                                     \
	    { "roles", ROUTE_TEXTS, false, STORE_NAMES_MAX, "What it does",    \
		    NULL },                                                    \
	    { "routes", ROUTE_OBJECTS, false, STORE_ROUTES_MAX,                \
		    "Ways to it, the preferred first", route_members },        \
	{                                                                      \
		"enabled", ROUTE_BOOL, false, 0, "Takes work", NULL            \
	}

static const struct route_field revoke_fields[] = {
	{ "reason", ROUTE_TEXT, false, STORE_TEXT_SIZE - 1, "For the record",
	    NULL },
	{ .name = NULL },
};

static const struct route_field add_fields[] = {
	{ "name", ROUTE_TEXT, true, LIMIT_NAME, NAME_RULE, NULL },
	PLACE_FIELDS,
	{ .name = NULL },
};

static const struct route_field edit_fields[] = {
	PLACE_FIELDS,
	{ .name = NULL },
};

const struct route machine_routes[] = {
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/machines",
	    .operation = "machine.list",
	    .summary = "List machines",
	    .access = ROUTE_KEY,
	    .permission = PERM_MACHINE_VIEW,
	    .query = list_query,
	    .paged = true,
	    .handler = list,
	    .after = list_live },
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/machines",
	    .operation = "machine.add",
	    .summary = "Add a machine that will join later",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_MACHINE_EDIT,
	    .body = ROUTE_JSON,
	    .fields = add_fields,
	    .handler = add },
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/machines/{name}",
	    .operation = "machine.show",
	    .summary = "Show a machine by name or id",
	    .access = ROUTE_KEY,
	    .permission = PERM_MACHINE_VIEW,
	    .handler = show,
	    .after = show_live },
	{ .method = HTTP_METHOD_PUT,
	    .pattern = "/api/v1/machines/{name}",
	    .operation = "machine.edit",
	    .summary = "Change what is given: environments, roles, routes, "
		       "enabled",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_MACHINE_EDIT,
	    .body = ROUTE_JSON,
	    .fields = edit_fields,
	    .handler = edit },
	{ .method = HTTP_METHOD_DELETE,
	    .pattern = "/api/v1/machines/{name}",
	    .operation = "machine.remove",
	    .summary = "Remove a machine; its past stays",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_MACHINE_EDIT,
	    .handler = drop },
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/machines/{name}/revoke",
	    .operation = "machine.revoke",
	    .summary = "Revoke a machine's key: it is cut off at once, and may "
		       "join again with a new one",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_MACHINE_EDIT,
	    .body = ROUTE_JSON,
	    .fields = revoke_fields,
	    .handler = revoke },
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/machines/{name}/route",
	    .operation = "route.explain",
	    .summary = "How a machine is reached now, hop by hop",
	    .access = ROUTE_KEY,
	    .permission = PERM_MACHINE_VIEW,
	    .handler = show,
	    .after = explain },
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/machines/{name}/traces",
	    .operation = "route.trace",
	    .summary = "Ask each hop on the ways to a machine; read what they "
		       "say by the trace's id",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_HEALTH_RUN,
	    .body = ROUTE_JSON,
	    .quiet = true,
	    .handler = may_trace,
	    .after = trace_start },
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/machines/{name}/traces/{trace}",
	    .operation = "route.traced",
	    .summary = "What the hops have said so far; waits a few seconds "
		       "for more",
	    .access = ROUTE_KEY,
	    .permission = PERM_MACHINE_VIEW,
	    .query = trace_query,
	    .handler = show,
	    .after = trace_more },
	{ .pattern = NULL },
};

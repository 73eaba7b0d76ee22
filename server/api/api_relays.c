/* api_relays.c - relays: where they stand, how they are reached. */
#include "server/api/held.h"
#include "server/api/routes.h"
#include "server/api/wire.h"
#include "server/store/relay.h"
#include "server/store/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *relay_json(const struct store_relay *r)
{
	static const uint8_t none[STORE_SHA256_SIZE];

	return json_pack(
	    "{s:o, s:o, s:o, s:s, s:b, s:b, s:b, s:s, s:o, s:I, s:I, "
	    "s:o, s:I}",
	    "name", json_safe(r->name), "routes",
	    wire_routes(r->routes, r->route_count), "listen",
	    json_safe(r->listen), "hold", r->hold, "enabled",
	    r->enabled ? 1 : 0, "draining", r->draining ? 1 : 0, "enrolled",
	    memcmp(r->spki, none, sizeof(none)) != 0 ? 1 : 0, "presence",
	    store_presence_name(r->presence), "presence_text",
	    json_safe(r->presence_text), "presence_at_ms",
	    (json_int_t)r->presence_at_ms, "last_seen_ms",
	    (json_int_t)r->last_seen_ms, "version", json_safe(r->version),
	    "created_ms", (json_int_t)r->created_ms);
}

static enum rc list(struct api_call *call, struct db *db)
{
	struct store_relay *rows = NULL;
	struct page page;
	size_t count = 0;
	json_t *items = json_array();
	enum rc rc = call_page(call, &page, 100);

	if (rc == RC_OK)
		rc = store_relay_list(db, &page, &rows, &count);
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		if (json_array_append_new(items, relay_json(&rows[i])) != 0)
			rc = RC_NOMEM;
	}
	if (rc == RC_OK)
		rc = call_answer_list(call, json_incref(items),
		    count == page.limit ? rows[count - 1].name : NULL);
	json_decref(items);
	free(rows);
	return rc;
}

static enum rc show(struct api_call *call, struct db *db)
{
	struct store_relay r;
	enum rc rc = store_relay_get(db, call_param(call, 0), &r, &call->fault);

	return rc == RC_OK
	           ? call_answer(call, 200,
			 held_explain(db,
			     &(struct held){
				 { STORE_ROLE_RELAY, r.name }, r.name, r.hold },
			     relay_json(&r)))
	           : rc;
}

static enum rc ask(struct api_call *call)
{
	enum rc rc = api_ask(call, API_LIVE_RELAY, call_param(call, 0));

	return rc == RC_STATE ? RC_OK : rc;
}

static enum rc list_live(struct api_call *call)
{
	return api_ask_items(call, API_LIVE_RELAYS);
}

void relay_changed(struct api_call *call, const char *name)
{
	call->event = API_EVENT_RELAY_CHANGED;
	wire_copy(call->name, sizeof(call->name), name);
	(void)snprintf(
	    call->object, sizeof(call->object), "relay %.200s", name);
}

static enum rc read_listen(
    struct api_call *call, struct store_relay *r, const char *text)
{
	struct endpoint e;
	char formatted[ENDPOINT_SIZE];
	enum rc rc;

	if (text == NULL || *text == '\0')
		return RC_OK;
	rc = endpoint_parse(text, 10953, &e, &call->fault);
	if (rc != RC_OK)
		return rc;
	endpoint_format(&e, formatted);
	wire_copy(r->listen, sizeof(r->listen), formatted);
	return RC_OK;
}

static enum rc add(struct api_call *call, struct db *db)
{
	struct store_relay r = { .enabled = true,
		.created_ms = (uint64_t)call->now_ms };
	const char *name = call_text(call, "name");
	enum rc rc = name_check("relay", name, &call->fault);

	if (rc == RC_OK)
		rc = wire_read_routes(call_member(call, "routes"),
		    STORE_ROLE_RELAY, r.routes, &r.route_count, &call->fault);
	if (rc == RC_OK && r.route_count == 0)
		wire_copy(r.routes[r.route_count++].path,
		    sizeof(r.routes[0].path), "direct");
	if (rc == RC_OK)
		rc = read_listen(call, &r, call_text(call, "listen"));
	if (rc != RC_OK)
		return rc;
	wire_copy(r.name, sizeof(r.name), name);
	rc = store_relay_create(db, &r, &call->fault);
	if (rc != RC_OK)
		return rc;
	relay_changed(call, name);
	return call_answer(call, 201, relay_json(&r));
}

static enum rc edit_routes(
    struct api_call *call, struct db *db, struct store_relay *r)
{
	const json_t *routes = call_member(call, "routes");
	uint64_t seq;
	enum rc rc;

	if (routes == NULL)
		return RC_OK;
	rc = wire_read_routes(
	    routes, STORE_ROLE_RELAY, r->routes, &r->route_count, &call->fault);
	if (rc == RC_OK && r->route_count == 0)
		rc = call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
		    "relay %s: needs a route: direct, or the relays before it",
		    r->name);
	return rc == RC_OK ? store_relay_set_routes(db, r, &seq, &call->fault)
	                   : rc;
}

static enum rc edit_listen(
    struct api_call *call, struct db *db, struct store_relay *r)
{
	const char *text = call_text(call, "listen");
	enum rc rc;

	if (text == NULL)
		return RC_OK;
	r->listen[0] = '\0';
	rc = read_listen(call, r, text);
	if (rc != RC_OK)
		return rc;
	return store_relay_set_listen(db, r->name, r->listen, &call->fault);
}

static enum rc edit(struct api_call *call, struct db *db)
{
	const char *name = call_param(call, 0);
	struct store_relay r;
	enum rc rc = store_relay_get(db, name, &r, &call->fault);

	if (rc == RC_OK)
		rc = edit_routes(call, db, &r);
	if (rc == RC_OK)
		rc = edit_listen(call, db, &r);
	if (rc == RC_OK)
		rc = store_relay_set_flags(db, name,
		    call_bool(call, "enabled", r.enabled),
		    call_bool(call, "draining", r.draining), &call->fault);
	if (rc == RC_OK)
		rc = store_relay_get(db, name, &r, &call->fault);
	if (rc != RC_OK)
		return rc;
	relay_changed(call, name);
	return call_answer(call, 200, relay_json(&r));
}

static enum rc revoke_key(struct api_call *call, struct db *db,
    const struct store_relay *r, const char *reason)
{
	const struct store_revoke_key key = {
		.role = STORE_ROLE_RELAY,
		.name = r->name,
		.reason = reason,
		.spki = r->spki,
		.now_ms = (uint64_t)call->now_ms,
	};

	return store_revoke_key(db, &key);
}

/* Its key is not believed any more; the relay may join with another one. */
static enum rc revoke(struct api_call *call, struct db *db)
{
	const char *why = call_text(call, "reason");
	static const uint8_t none[STORE_SHA256_SIZE];
	const char *name = call_param(call, 0);
	struct store_relay r;
	enum rc rc = store_relay_get(db, name, &r, &call->fault);

	if (rc == RC_OK && memcmp(r.spki, none, sizeof(none)) == 0)
		rc = call_fail(call, RC_STATE, REASON_CONFLICT,
		    "relay %s: has no key (any more); there is nothing to "
		    "revoke",
		    name);
	if (rc == RC_OK)
		rc = revoke_key(
		    call, db, &r, why != NULL ? why : "revoked by an operator");
	if (rc == RC_OK)
		rc = store_relay_set_spki(db, name, none);
	if (rc != RC_OK)
		return rc;
	memcpy(r.spki, none, sizeof(none));
	relay_changed(call, name);
	return call_answer(call, 200, relay_json(&r));
}

static enum rc drop(struct api_call *call, struct db *db)
{
	struct store_relay r;
	enum rc rc = store_relay_get(db, call_param(call, 0), &r, &call->fault);

	if (rc == RC_OK)
		rc = revoke_key(call, db, &r, "the relay was removed");
	if (rc == RC_OK)
		rc = store_relay_delete(db, call_param(call, 0), &call->fault);

	relay_changed(call, call_param(call, 0));
	call->status = 204;
	return rc;
}

static const struct route_field revoke_fields[] = {
	{ "reason", ROUTE_TEXT, false, STORE_TEXT_SIZE - 1, "For the record",
	    NULL },
	{ .name = NULL },
};

static const struct route_field add_fields[] = {
	{ "name", ROUTE_TEXT, true, LIMIT_NAME, NAME_RULE, NULL },
	{ "routes", ROUTE_OBJECTS, false, STORE_ROUTES_MAX,
	    "Ways to it, the preferred first; none: it dials this server",
	    route_members },
	{ "listen", ROUTE_TEXT, false, STORE_ENDPOINT_SIZE - 1,
	    "host:port where its tentacles find it", NULL },
	{ .name = NULL },
};

static const struct route_field edit_fields[] = {
	{ "routes", ROUTE_OBJECTS, false, STORE_ROUTES_MAX,
	    "Ways to it, the preferred first", route_members },
	{ "listen", ROUTE_TEXT, false, STORE_ENDPOINT_SIZE - 1,
	    "host:port where those behind it find it", NULL },
	{ "enabled", ROUTE_BOOL, false, 0, "Takes streams", NULL },
	{ "draining", ROUTE_BOOL, false, 0, "Streams leave it for other routes",
	    NULL },
	{ .name = NULL },
};

const struct route relay_routes[] = {
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/relays",
	    .operation = "relay.list",
	    .summary = "List relays",
	    .access = ROUTE_KEY,
	    .permission = PERM_MACHINE_VIEW,
	    .paged = true,
	    .handler = list,
	    .after = list_live },
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/relays",
	    .operation = "relay.add",
	    .summary = "Add a relay that will join later",
	    .access = ROUTE_KEY,
	    .permission = PERM_MACHINE_EDIT,
	    .body = ROUTE_JSON,
	    .fields = add_fields,
	    .handler = add },
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/relays/{name}",
	    .operation = "relay.show",
	    .summary = "Show a relay and what its control session says",
	    .access = ROUTE_KEY,
	    .permission = PERM_MACHINE_VIEW,
	    .handler = show,
	    .after = ask },
	{ .method = HTTP_METHOD_PUT,
	    .pattern = "/api/v1/relays/{name}",
	    .operation = "relay.edit",
	    .summary = "Change what is given: routes, listen, enabled, "
		       "draining",
	    .access = ROUTE_KEY,
	    .permission = PERM_MACHINE_EDIT,
	    .body = ROUTE_JSON,
	    .fields = edit_fields,
	    .handler = edit },
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/relays/{name}/revoke",
	    .operation = "relay.revoke",
	    .summary = "Revoke a relay's key: it is cut off at once, and may "
		       "join again with a new one",
	    .access = ROUTE_KEY,
	    .permission = PERM_MACHINE_EDIT,
	    .body = ROUTE_JSON,
	    .fields = revoke_fields,
	    .handler = revoke },
	{ .method = HTTP_METHOD_DELETE,
	    .pattern = "/api/v1/relays/{name}",
	    .operation = "relay.remove",
	    .summary = "Remove a relay that no route uses",
	    .access = ROUTE_KEY,
	    .permission = PERM_MACHINE_EDIT,
	    .handler = drop },
	{ .pattern = NULL },
};

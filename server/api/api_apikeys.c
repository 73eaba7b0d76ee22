/* api_apikeys.c - keys of people and programs. */
#include "common/secret.h"
#include "server/api/routes.h"
#include "server/api/wire.h"

#include <stdlib.h>

#define PERMISSIONS_TEXT 600
#define TTL_MAX_S        (10ULL * 365 * 24 * 3600)

static json_t *apikey_json(const struct store_apikey *k)
{
	char permissions[PERMISSIONS_TEXT];

	permission_set_format(k->permissions, permissions, sizeof(permissions));
	return json_pack("{s:o, s:o, s:s, s:I, s:I, s:I, s:o}", "name",
	    json_safe(k->name), "id", json_safe(k->id), "permissions",
	    permissions, "created_ms", (json_int_t)k->created_ms, "expires_ms",
	    (json_int_t)k->expires_ms, "last_used_ms",
	    (json_int_t)k->last_used_ms, "environments",
	    json_names(&k->environments));
}

static enum rc list(struct api_call *call, struct db *db)
{
	struct store_apikey *rows = NULL;
	struct page page;
	size_t count = 0;
	json_t *items = json_array();
	enum rc rc = call_page(call, &page, 100);

	if (rc == RC_OK)
		rc = store_apikey_list(db, &page, &rows, &count);
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		if (json_array_append_new(items, apikey_json(&rows[i])) != 0)
			rc = RC_NOMEM;
	}
	if (rc == RC_OK)
		rc = call_answer_list(call, json_incref(items),
		    count == page.limit ? rows[count - 1].name : NULL);
	json_decref(items);
	store_apikeys_free(rows, count);
	return rc;
}

/* Nobody hands out more than they have. */
static enum rc check_wish(struct api_call *call, const struct apikey_wish *w)
{
	if ((w->permissions & ~call->caller.permissions) != 0)
		return call_fail(call, RC_DENIED, REASON_NOT_PERMITTED,
		    "a key cannot give permissions that it lacks itself");
	if (w->permissions == 0)
		return call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
		    "permissions: none given");
	return api_may_all(call, w->environments);
}

static enum rc create(struct api_call *call, struct db *db)
{
	struct names environments = { 0 };
	uint64_t ttl_s = call_number(call, "ttl_s", 0);
	struct apikey_wish wish = { .name = call_text(call, "name"),
		.environments = &environments,
		.now_ms = (uint64_t)call->now_ms };
	char text[APIKEY_TEXT_SIZE] = "";
	enum rc rc = name_check("key", wish.name, &call->fault);

	if (rc == RC_OK)
		rc = permission_set_parse(call_text(call, "permissions"),
		    &wish.permissions, &call->fault);
	if (rc == RC_NOTFOUND)
		rc = RC_PROTO; /* a wrong word, not a missing thing */
	if (rc == RC_OK)
		rc = names_from_json("environment",
		    call_member(call, "environments"), &environments,
		    &call->fault);
	if (rc == RC_OK)
		rc = check_wish(call, &wish);
	if (rc != RC_OK)
		goto out;
	if (ttl_s > 0)
		wish.expires_ms = wish.now_ms + ttl_s * 1000;
	wire_copy(call->object, sizeof(call->object), wish.name);
	rc = apikey_create(db, &wish, text, &call->fault);
	if (rc == RC_OK)
		rc = call_answer(call, 201,
		    json_pack("{s:s, s:s, s:I}", "name", wish.name, "key", text,
			"expires_ms", (json_int_t)wish.expires_ms));
out:
	secret_wipe(text, sizeof(text));
	names_clear(&environments);
	return rc;
}

static enum rc revoke(struct api_call *call, struct db *db)
{
	call->status = 204;
	return store_apikey_delete(db, call_param(call, 0), &call->fault);
}

static const struct route_field create_fields[] = {
	{ "name", ROUTE_TEXT, true, LIMIT_NAME, NAME_RULE, NULL },
	{ "permissions", ROUTE_TEXT, true, PERMISSIONS_TEXT,
	    "all, view, deployer, or names separated by commas", NULL },
	{ "environments", ROUTE_TEXTS, false, STORE_NAMES_MAX, "Only in these",
	    NULL },
	{ "ttl_s", ROUTE_NUMBER, false, TTL_MAX_S, "Seconds; none: for ever",
	    NULL },
	{ .name = NULL },
};

const struct route apikey_routes[] = {
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/apikeys",
	    .operation = "apikey.list",
	    .summary = "List API keys, without their secrets",
	    .access = ROUTE_KEY,
	    .permission = PERM_APIKEY_EDIT,
	    .paged = true,
	    .handler = list },
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/apikeys",
	    .operation = "apikey.create",
	    .summary = "Create an API key; its text is shown this once",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_APIKEY_EDIT,
	    .body = ROUTE_JSON,
	    .fields = create_fields,
	    .secret_answer = true,
	    .handler = create },
	{ .method = HTTP_METHOD_DELETE,
	    .pattern = "/api/v1/apikeys/{name}",
	    .operation = "apikey.revoke",
	    .summary = "Revoke an API key by name or id",
	    .access = ROUTE_KEY,
	    .permission = PERM_APIKEY_EDIT,
	    .handler = revoke },
	{ .pattern = NULL },
};

/* api_tokens.c - tokens by which relays and tentacles join. */
#include "common/token.h"

#include "common/secret.h"
#include "server/api/api_base.h"
#include "server/api/routes.h"
#include "server/api/wire.h"
#include "server/store/token.h"

#include <stdlib.h>

#define TTL_S     (24ULL * 3600)
#define TTL_MAX_S (90ULL * 24 * 3600)
#define USES_MAX  10000
/* Of tokens that have expired. */
#define REMEMBER_MS (7ULL * 24 * 3600 * 1000)

static json_t *token_json(const struct store_token *t)
{
	return json_pack(
	    "{s:o, s:s, s:o, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:b}", "id",
	    json_safe(t->id), "role", store_role_name(t->role), "name",
	    json_safe(t->name), "uses_left", (json_int_t)t->uses_left,
	    "expires_ms", (json_int_t)t->expires_ms, "created_ms",
	    (json_int_t)t->created_ms, "who", json_safe(t->who), "environments",
	    json_names(&t->environments), "roles", json_names(&t->roles),
	    "routes", wire_routes(t->routes, t->route_count), "approval",
	    t->approval ? 1 : 0);
}

static enum rc list(struct api_call *call, struct db *db)
{
	struct store_token *rows = NULL;
	struct page page;
	size_t count = 0;
	json_t *items = json_array();
	enum rc rc = call_page(call, &page, 100);

	if (rc == RC_OK)
		rc = store_token_list(db, &page, &rows, &count);
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		if (json_array_append_new(items, token_json(&rows[i])) != 0)
			rc = RC_NOMEM;
	}
	if (rc == RC_OK)
		rc = call_answer_list(call, json_incref(items),
		    count == page.limit ? rows[count - 1].id : NULL);
	json_decref(items);
	store_tokens_free(rows, count);
	return rc;
}

static enum rc read_token(struct api_call *call, struct store_token *t)
{
	const char *role = call_text(call, "role");
	uint64_t ttl_s = call_number(call, "ttl_s", TTL_S);
	enum rc rc = store_role_parse(role, &t->role);

	if (rc != RC_OK || t->role == STORE_ROLE_SERVER)
		return call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
		    "role must be tentacle or relay");
	rc = wire_read_grant(call, t);
	if (rc != RC_OK)
		return rc;
	t->uses_left = (uint32_t)call_number(call, "uses", 1);
	t->approval = call_bool(call, "approval", false);
	t->created_ms = (uint64_t)call->now_ms;
	t->expires_ms = t->created_ms + ttl_s * 1000;
	wire_copy(t->who, sizeof(t->who), call->caller.who);
	if (t->uses_left == 0 || ttl_s == 0)
		return call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
		    "uses and ttl_s must be at least 1");
	return RC_OK;
}

/* The secret leaves once, in this answer. */
static enum rc answer_token(struct api_call *call,
    const struct store_token *row, const struct token *token)
{
	char text[TOKEN_TEXT_SIZE];
	json_t *answer = token_json(row);
	enum rc rc;

	token_format(token, text);
	if (json_object_set_new(answer, "token", json_string(text)) != 0) {
		json_decref(answer);
		answer = NULL;
	}
	secret_wipe(text, sizeof(text));
	rc = call_answer(call, 201, answer);
	wire_copy(call->object, sizeof(call->object), row->id);
	return rc;
}

/* For a while a joiner is told that its token has expired. */
static enum rc forget_old(const struct api_call *call, struct db *db)
{
	uint64_t now_ms = (uint64_t)call->now_ms;

	return now_ms < REMEMBER_MS
	           ? RC_OK
	           : store_token_expire(db, now_ms - REMEMBER_MS);
}

static enum rc create(struct api_call *call, struct db *db)
{
	struct store_token row = { 0 };
	struct token token = { 0 };
	uint8_t root[KEY_HASH_SIZE];
	enum rc rc = read_token(call, &row);

	if (rc == RC_OK)
		rc = api_may_all(call, &row.environments);
	api_root_hash(call->api, root);
	if (rc == RC_OK)
		rc = token_generate(call->options->cluster, root, &token);
	if (rc == RC_OK)
		rc = token_secret_hash(token.secret, row.secret);
	if (rc != RC_OK)
		goto out;
	wire_copy(row.id, sizeof(row.id), token.id);
	rc = forget_old(call, db);
	if (rc != RC_OK)
		goto out;
	rc = store_token_create(db, &row, &call->fault);
	if (rc == RC_OK)
		rc = answer_token(call, &row, &token);
out:
	token_fini(&token);
	store_token_clear(&row);
	return rc;
}

static enum rc revoke(struct api_call *call, struct db *db)
{
	struct store_token row = { 0 };
	enum rc rc =
	    store_token_get(db, call_param(call, 0), &row, &call->fault);

	if (rc == RC_OK)
		rc = api_may_all(call, &row.environments);
	if (rc == RC_OK)
		rc = store_token_delete(db, row.id, &call->fault);
	call->status = 204;
	store_token_clear(&row);
	return rc;
}

static const struct route_field create_fields[] = {
	{ "role", ROUTE_TEXT, true, 16, "tentacle or relay", NULL },
	{ "name", ROUTE_TEXT, false, LIMIT_NAME,
	    "Name of the joiner; none: it chooses", NULL },
	{ "environments", ROUTE_TEXTS, false, STORE_NAMES_MAX,
	    "Where the machine will stand", NULL },
	{ "roles", ROUTE_TEXTS, false, STORE_NAMES_MAX,
	    "What the machine will do", NULL },
	{ "routes", ROUTE_OBJECTS, false, STORE_ROUTES_MAX,
	    "Ways to it; none: the one that it joins through", route_members },
	{ "uses", ROUTE_NUMBER, false, USES_MAX, "How often; 1", NULL },
	{ "ttl_s", ROUTE_NUMBER, false, TTL_MAX_S, "Seconds; a day", NULL },
	{ "approval", ROUTE_BOOL, false, 0, "A person approves each joiner",
	    NULL },
	{ .name = NULL },
};

const struct route token_routes[] = {
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/tokens",
	    .operation = "token.list",
	    .summary = "List tokens, without their secrets",
	    .access = ROUTE_KEY,
	    .permission = PERM_TOKEN_EDIT,
	    .paged = true,
	    .handler = list },
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/tokens",
	    .operation = "token.create",
	    .summary = "Create a token; its text is shown this once",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_TOKEN_EDIT,
	    .body = ROUTE_JSON,
	    .fields = create_fields,
	    .secret_answer = true,
	    .handler = create },
	{ .method = HTTP_METHOD_DELETE,
	    .pattern = "/api/v1/tokens/{id}",
	    .operation = "token.revoke",
	    .summary = "Revoke a token; who has joined stays",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_TOKEN_EDIT,
	    .handler = revoke },
	{ .pattern = NULL },
};

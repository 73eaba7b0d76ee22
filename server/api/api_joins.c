/* api_joins.c - keys that wait to join, and what people decide about them. */
#include "common/hex.h"
#include "server/api/routes.h"
#include "server/api/wire.h"
#include "server/store/joining.h"
#include "server/store/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *joining_json(const struct store_joining *j)
{
	char key[STORE_SHA256_HEX];

	hex_encode(j->spki, sizeof(j->spki), key);
	return json_pack("{s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:I, s:I}",
	    "name", json_safe(j->name), "role", store_role_name(j->role), "key",
	    key, "hostname", json_safe(j->hostname), "address",
	    json_safe(j->address), "version", json_safe(j->version), "token",
	    json_safe(j->token), "state", joining_state_name(j->state),
	    "created_ms", (json_int_t)j->created_ms, "seen_ms",
	    (json_int_t)j->seen_ms);
}

static enum rc read_role(
    struct api_call *call, const char *text, enum store_role *out)
{
	if (text != NULL && store_role_parse(text, out) == RC_OK &&
	    *out != STORE_ROLE_SERVER)
		return RC_OK;
	return call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
	    "role must be tentacle or relay");
}

/* The environments of its token; one that joined long ago: none.  *out is
 * cleared by the caller. */
static enum rc load_token(
    struct db *db, const struct store_joining *j, struct store_token *out)
{
	enum rc rc;

	if (j->token[0] == '\0')
		return RC_OK;
	rc = store_token_get(db, j->token, out, NULL);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc list(struct api_call *call, struct db *db)
{
	struct store_joining *rows = NULL;
	enum store_role role = STORE_ROLE_TENTACLE;
	size_t count = 0;
	json_t *items = json_array();
	enum rc rc = read_role(call, call_query(call, "role"), &role);

	if (rc == RC_OK)
		rc = store_joining_expire(db, (uint64_t)call->now_ms);
	if (rc == RC_OK)
		rc = store_joining_list(db, role, &rows, &count);
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		if (json_array_append_new(items, joining_json(&rows[i])) != 0)
			rc = RC_NOMEM;
	}
	if (rc == RC_OK)
		rc = call_answer_list(call, json_incref(items), NULL);
	json_decref(items);
	free(rows);
	return rc;
}

/* Deciding the same twice is fine. */
static enum rc decide(
    struct api_call *call, struct db *db, enum joining_state state)
{
	struct store_token token = { .uses_left = 0 };
	struct store_joining j;
	enum store_role role = STORE_ROLE_TENTACLE;
	enum rc rc = read_role(call, call_text(call, "role"), &role);

	if (rc == RC_OK)
		rc = store_joining_find(
		    db, role, call_param(call, 0), &j, &call->fault);
	if (rc == RC_OK)
		rc = load_token(db, &j, &token);
	if (rc == RC_OK)
		rc = api_may_all(call, &token.environments);
	if (rc == RC_OK)
		rc = store_joining_decide(db, j.spki, state);
	if (rc == RC_OK) {
		j.state = state;
		(void)snprintf(call->object, sizeof(call->object), "%s %s",
		    role == STORE_ROLE_RELAY ? "relay" : "machine", j.name);
		rc = call_answer(call, 200, joining_json(&j));
	}
	store_token_clear(&token);
	return rc;
}

static enum rc approve(struct api_call *call, struct db *db)
{
	return decide(call, db, JOINING_APPROVED);
}

static enum rc reject(struct api_call *call, struct db *db)
{
	return decide(call, db, JOINING_REJECTED);
}

static const struct route_field list_query[] = {
	{ "role", ROUTE_TEXT, true, 16, "tentacle or relay", NULL },
	{ .name = NULL },
};

static const struct route_field decide_fields[] = {
	{ "role", ROUTE_TEXT, true, 16, "tentacle or relay", NULL },
	{ .name = NULL },
};

const struct route join_routes[] = {
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/joins",
	    .operation = "join.list",
	    .summary = "List keys that wait to join, or were decided about",
	    .access = ROUTE_KEY,
	    .permission = PERM_TOKEN_EDIT,
	    .query = list_query,
	    .handler = list },
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/joins/{name}/approve",
	    .operation = "join.approve",
	    .summary = "Let one join, by name or first digits of its key",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_TOKEN_EDIT,
	    .body = ROUTE_JSON,
	    .fields = decide_fields,
	    .handler = approve },
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/joins/{name}/reject",
	    .operation = "join.reject",
	    .summary = "Turn one away",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_TOKEN_EDIT,
	    .body = ROUTE_JSON,
	    .fields = decide_fields,
	    .handler = reject },
	{ .pattern = NULL },
};

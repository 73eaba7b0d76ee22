/* api_joins.c - keys that wait to join, and what people decide about them. */
#include "common/hex.h"
#include "server/api/routes.h"
#include "server/api/sign.h"
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

/* ---- requests that people bring ---- */

void api_sign_free(struct api_sign *sign)
{
	if (sign == NULL)
		return;
	store_token_clear(&sign->grant);
	free(sign);
}

static enum rc read_request(
    struct api_call *call, struct api_sign *sign, enum store_role role)
{
	const char *text = call_text(call, "request");
	enum peer_role want =
	    role == STORE_ROLE_RELAY ? ROLE_RELAY : ROLE_TENTACLE;
	enum rc rc = join_request_parse(
	    text, strlen(text), &sign->request, &call->fault);

	if (rc != RC_OK || sign->request.role == want)
		return rc;
	return call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
	    "this request is of a %s, not of a %s",
	    role_name(sign->request.role), role_name(want));
}

/* The fleet does it, and is asked when this is committed. */
static enum rc sign(struct api_call *call, struct db *db)
{
	struct api_sign *s = calloc(1, sizeof(*s));
	enum store_role role = STORE_ROLE_TENTACLE;
	enum rc rc;

	(void)db;
	if (s == NULL)
		return RC_NOMEM;
	rc = read_role(call, call_text(call, "role"), &role);
	s->grant.role = role;
	if (rc == RC_OK)
		rc = read_request(call, s, role);
	if (rc == RC_OK)
		rc = wire_read_grant(call, &s->grant);
	if (rc == RC_OK)
		rc = api_may_all(call, &s->grant.environments);
	if (rc == RC_OK && role == STORE_ROLE_RELAY && s->grant.name[0] == '\0')
		rc = call_fail(
		    call, RC_PROTO, REASON_BAD_CONFIG, "a relay needs a name");
	if (rc == RC_OK && !api_can_ask(call))
		rc = RC_STATE;
	if (rc != RC_OK) {
		api_sign_free(s);
		return rc;
	}
	wire_copy(s->who, sizeof(s->who), call->caller.who);
	(void)snprintf(call->object, sizeof(call->object), "%s %.200s",
	    role == STORE_ROLE_RELAY ? "relay" : "machine",
	    s->grant.name[0] != '\0' ? s->grant.name : s->request.hostname);
	call->sign = s;
	return call_answer(call, 200, json_object());
}

static enum rc ask_fleet(struct api_call *call)
{
	struct api_live about = { .kind = API_LIVE_SIGN };

	about.sign = call->sign;
	call->sign = NULL;
	return api_ask_about(call, &about);
}

static const struct route_field list_query[] = {
	{ "role", ROUTE_TEXT, true, 16, "tentacle or relay", NULL },
	{ .name = NULL },
};

static const struct route_field decide_fields[] = {
	{ "role", ROUTE_TEXT, true, 16, "tentacle or relay", NULL },
	{ .name = NULL },
};

static const struct route_field sign_fields[] = {
	{ "request", ROUTE_TEXT, true, JOIN_REQUEST_MAX, "The file", NULL },
	{ "role", ROUTE_TEXT, true, 16, "tentacle or relay", NULL },
	{ "name", ROUTE_TEXT, false, LIMIT_NAME,
	    "Its name; a machine without one is called as its host", NULL },
	{ "environments", ROUTE_TEXTS, false, STORE_NAMES_MAX,
	    "Where the machine will stand", NULL },
	{ "roles", ROUTE_TEXTS, false, STORE_NAMES_MAX,
	    "What the machine will do", NULL },
	{ "routes", ROUTE_OBJECTS, false, STORE_ROUTES_MAX,
	    "Ways to it; none: direct", route_members },
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
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/joins",
	    .operation = "join.sign",
	    .summary = "Sign a request to join that was brought as a file; "
		       "the answer goes back the same way",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_TOKEN_EDIT,
	    .body = ROUTE_JSON,
	    .fields = sign_fields,
	    .secret_answer = true,
	    .handler = sign,
	    .after = ask_fleet },
	{ .pattern = NULL },
};

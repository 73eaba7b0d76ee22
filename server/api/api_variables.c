/* api_variables.c - values by name and scope; sensitive ones are wrapped. */
#include "common/secret.h"
#include "server/api/routes.h"
#include "server/api/wire.h"
#include "server/process/variables.h"
#include "server/store/project.h"
#include "server/store/variable.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Hex of the wrapped value must fit VARIABLE_VALUE_MAX in a snapshot. */
#define SENSITIVE_MAX (VARIABLE_VALUE_MAX / 2 - 64)

static json_t *variable_json(const struct store_variable *v)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:I}", "project",
	    json_safe(v->project), "name", json_safe(v->name), "environment",
	    json_safe(v->environment), "machine", json_safe(v->machine), "role",
	    json_safe(v->role), "sensitive", v->sensitive ? 1 : 0, "value",
	    v->sensitive || v->value == NULL ? json_null()
					     : json_safe(v->value),
	    "updated_ms", (json_int_t)v->updated_ms);
}

static enum rc list(struct api_call *call, struct db *db)
{
	const char *project = call_query(call, "project");
	struct store_variable *rows = NULL;
	size_t count = 0;
	json_t *items = json_array();
	enum rc rc = store_variable_list(
	    db, project != NULL ? project : "", &rows, &count);

	if (rc == RC_OK && count == 0 && project != NULL && *project != '\0')
		rc = store_project_check(db, project, &call->fault);
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		if (rows[i].environment[0] != '\0' &&
		    !caller_sees(&call->caller, rows[i].environment))
			continue;
		if (json_array_append_new(items, variable_json(&rows[i])) != 0)
			rc = RC_NOMEM;
	}
	if (rc == RC_OK)
		rc = call_answer_list(call, json_incref(items), NULL);
	json_decref(items);
	store_variables_free(rows, count);
	return rc;
}

/* Where it is set, from the body or the query. */
static enum rc read_place(struct api_call *call, struct store_variable *v)
{
	const char *const names[] = { "project", "name", "environment",
		"machine", "role" };
	char *const to[] = { v->project, v->name, v->environment, v->machine,
		v->role };
	const size_t sizes[] = { sizeof(v->project), sizeof(v->name),
		sizeof(v->environment), sizeof(v->machine), sizeof(v->role) };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *text = call_text(call, names[i]);

		if (text == NULL)
			text = call_query(call, names[i]);
		if (text != NULL && strlen(text) >= sizes[i])
			return RC_LIMIT;
		wire_copy(to[i], sizes[i], text);
	}
	if (!variable_name_is_valid(v->name) ||
	    variable_name_is_built_in(v->name))
		return call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
		    "name %.64s: 1 to 100 letters, digits, '_', '.', ':' or "
		    "'-', and none that is built in",
		    v->name);
	(void)snprintf(call->object, sizeof(call->object), "%s %s %s",
	    v->project, v->name, v->environment);
	return api_may(call, v->environment[0] != '\0' ? v->environment : NULL);
}

static enum rc wrap_value(
    struct api_call *call, struct store_variable *v, const char *value)
{
	char context[API_VARIABLE_CONTEXT_SIZE];
	size_t len = strlen(value);

	if (len > SENSITIVE_MAX)
		return call_fail(call, RC_PROTO, REASON_TOO_MANY,
		    "a sensitive value may have %zu bytes", SENSITIVE_MAX);
	if (call->options->master == NULL)
		return call_fail(call, RC_STATE, REASON_BAD_CONFIG,
		    "this server has no master key");
	api_variable_context(v->name, context);
	v->secret = malloc(len + WRAP_OVERHEAD);
	if (v->secret == NULL)
		return RC_NOMEM;
	v->secret_len = len + WRAP_OVERHEAD;
	return wrap_seal(call->options->master, context, (const uint8_t *)value,
	    len, v->secret);
}

static enum rc set(struct api_call *call, struct db *db)
{
	const char *value = call_text(call, "value");
	struct store_variable v = { .sensitive =
					call_bool(call, "sensitive", false),
		.updated_ms = (uint64_t)call->now_ms };
	enum rc rc = read_place(call, &v);

	if (rc != RC_OK)
		return rc;
	v.value = strdup(v.sensitive ? "" : value);
	if (v.value == NULL)
		return RC_NOMEM;
	if (v.sensitive)
		rc = wrap_value(call, &v, value);
	if (rc == RC_OK)
		rc = store_variable_set(db, &v, &call->fault);
	if (rc == RC_OK)
		rc = call_answer(call, 200, variable_json(&v));
	store_variable_clear(&v);
	return rc;
}

static enum rc drop(struct api_call *call, struct db *db)
{
	struct store_variable v = { 0 };
	enum rc rc = read_place(call, &v);

	call->status = 204;
	return rc == RC_OK ? store_variable_delete(db, &v, &call->fault) : rc;
}

#define PLACE_FIELDS                                                           \
	{ "project", ROUTE_TEXT, false, LIMIT_NAME, "None: of all", NULL },    \
	    { "name", ROUTE_TEXT, true, VARIABLE_NAME_MAX, "Its name", NULL }, \
	    { "environment", ROUTE_TEXT, false, LIMIT_NAME, "Only there",      \
		    NULL },                                                    \
	    { "machine", ROUTE_TEXT, false, LIMIT_NAME, "Only there", NULL },  \
	{                                                                      \
		"role", ROUTE_TEXT, false, LIMIT_VERSION, "Only there", NULL   \
	}

static const struct route_field list_query[] = {
	{ "project", ROUTE_TEXT, false, LIMIT_NAME,
	    "What it sees; none: those of all projects", NULL },
	{ .name = NULL },
};

static const struct route_field place_query[] = {
	PLACE_FIELDS,
	{ .name = NULL },
};

static const struct route_field set_fields[] = {
	PLACE_FIELDS,
	{ "value", ROUTE_TEXT, true, VARIABLE_VALUE_MAX, "Its value", NULL },
	{ "sensitive", ROUTE_BOOL, false, 0, "Keep it secret", NULL },
	{ .name = NULL },
};

const struct route variable_routes[] = {
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/variables",
	    .operation = "variable.list",
	    .summary = "List variables; sensitive values are never shown",
	    .access = ROUTE_KEY,
	    .permission = PERM_VARIABLE_VIEW,
	    .query = list_query,
	    .handler = list },
	{ .method = HTTP_METHOD_PUT,
	    .pattern = "/api/v1/variables",
	    .operation = "variable.set",
	    .summary = "Set a variable in one scope",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_VARIABLE_EDIT,
	    .body = ROUTE_JSON,
	    .fields = set_fields,
	    .handler = set },
	{ .method = HTTP_METHOD_DELETE,
	    .pattern = "/api/v1/variables",
	    .operation = "variable.delete",
	    .summary = "Delete a variable in one scope",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_VARIABLE_EDIT,
	    .query = place_query,
	    .handler = drop },
	{ .pattern = NULL },
};

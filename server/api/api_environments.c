/* api_environments.c - where machines stand and releases go. */
#include "server/api/call.h"
#include "server/api/routes.h"
#include "server/store/environment.h"

#include <stdio.h>
#include <stdlib.h>

static json_t *environment_json(const struct store_environment *e)
{
	return json_pack("{s:o, s:o, s:I, s:I}", "name", json_safe(e->name),
	    "description", json_safe(e->description), "machines",
	    (json_int_t)e->machines, "created_ms", (json_int_t)e->created_ms);
}

static enum rc list(struct api_call *call, struct db *db)
{
	struct store_environment *rows = NULL;
	struct page page;
	size_t count = 0;
	json_t *items = json_array();
	enum rc rc = call_page(call, &page, 100);

	if (rc == RC_OK)
		rc = store_environment_list(db, &page, &rows, &count);
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		if (!caller_sees(&call->caller, rows[i].name))
			continue;
		if (json_array_append_new(items, environment_json(&rows[i])) !=
		    0)
			rc = RC_NOMEM;
	}
	if (rc == RC_OK)
		rc = call_answer_list(call, json_incref(items),
		    count == page.limit ? rows[count - 1].name : NULL);
	json_decref(items);
	free(rows);
	return rc;
}

static enum rc create(struct api_call *call, struct db *db)
{
	struct store_environment e = { .created_ms = (uint64_t)call->now_ms };
	const char *name = call_text(call, "name");
	const char *about = call_text(call, "description");
	enum rc rc = name_check("environment", name, &call->fault);

	if (rc != RC_OK)
		return rc;
	(void)snprintf(e.name, sizeof(e.name), "%s", name);
	(void)snprintf(e.description, sizeof(e.description), "%s",
	    about != NULL ? about : "");
	(void)snprintf(call->object, sizeof(call->object), "%s", name);
	rc = store_environment_create(db, &e, &call->fault);
	return rc == RC_OK ? call_answer(call, 201, environment_json(&e)) : rc;
}

static enum rc show(struct api_call *call, struct db *db)
{
	struct store_environment e;
	enum rc rc = api_may(call, call_param(call, 0));

	if (rc == RC_OK)
		rc = store_environment_get(
		    db, call_param(call, 0), &e, &call->fault);
	return rc == RC_OK ? call_answer(call, 200, environment_json(&e)) : rc;
}

static enum rc drop(struct api_call *call, struct db *db)
{
	call->status = 204;
	return store_environment_delete(db, call_param(call, 0), &call->fault);
}

static const struct route_field create_fields[] = {
	{ "name", ROUTE_TEXT, true, LIMIT_NAME, NAME_RULE, NULL },
	{ "description", ROUTE_TEXT, false, LIMIT_TEXT, "One line", NULL },
	{ .name = NULL },
};

const struct route environment_routes[] = {
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/environments",
	    .operation = "environment.list",
	    .summary = "List environments",
	    .access = ROUTE_KEY,
	    .permission = PERM_STATUS_VIEW,
	    .paged = true,
	    .handler = list },
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/environments",
	    .operation = "environment.create",
	    .summary = "Create an environment",
	    .access = ROUTE_KEY,
	    .permission = PERM_ENVIRONMENT_EDIT,
	    .body = ROUTE_JSON,
	    .fields = create_fields,
	    .handler = create },
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/environments/{name}",
	    .operation = "environment.show",
	    .summary = "Show an environment",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_STATUS_VIEW,
	    .handler = show },
	{ .method = HTTP_METHOD_DELETE,
	    .pattern = "/api/v1/environments/{name}",
	    .operation = "environment.delete",
	    .summary = "Delete an environment without machines",
	    .access = ROUTE_KEY,
	    .permission = PERM_ENVIRONMENT_EDIT,
	    .handler = drop },
	{ .pattern = NULL },
};

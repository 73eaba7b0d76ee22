/* api_projects.c - projects and their process files. */
#include "server/api/routes.h"
#include "server/api/wire.h"
#include "server/process/process.h"
#include "server/store/project.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *project_json(const struct store_project *p)
{
	json_t *one = json_pack("{s:o, s:o, s:I, s:I, s:I}", "name",
	    json_safe(p->name), "description", json_safe(p->description),
	    "version", (json_int_t)p->version, "created_ms",
	    (json_int_t)p->created_ms, "updated_ms", (json_int_t)p->updated_ms);

	if (p->process != NULL &&
	    json_object_set_new(one, "process", json_safe(p->process)) != 0) {
		json_decref(one);
		return NULL;
	}
	return one;
}

static enum rc list(struct api_call *call, struct db *db)
{
	struct store_project *rows = NULL;
	struct page page;
	size_t count = 0;
	json_t *items = json_array();
	enum rc rc = call_page(call, &page, 100);

	if (rc == RC_OK)
		rc = store_project_list(db, &page, &rows, &count);
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		if (json_array_append_new(items, project_json(&rows[i])) != 0)
			rc = RC_NOMEM;
	}
	if (rc == RC_OK)
		rc = call_answer_list(call, json_incref(items),
		    count == page.limit ? rows[count - 1].name : NULL);
	json_decref(items);
	free(rows);
	return rc;
}

static enum rc answer_project(
    struct api_call *call, struct db *db, const char *name, int status)
{
	struct store_project p = { 0 };
	enum rc rc = store_project_get(db, name, &p, &call->fault);

	if (rc == RC_OK) {
		call->etag = p.version;
		rc = call_answer(call, status, project_json(&p));
	}
	store_project_clear(&p);
	return rc;
}

static enum rc show(struct api_call *call, struct db *db)
{
	return answer_project(call, db, call_param(call, 0), 200);
}

static enum rc create(struct api_call *call, struct db *db)
{
	struct store_project p = { .created_ms = (uint64_t)call->now_ms,
		.process = (char[]){ "" } };
	const char *name = call_text(call, "name");
	enum rc rc = name_check("project", name, &call->fault);

	if (rc != RC_OK)
		return rc;
	wire_copy(p.name, sizeof(p.name), name);
	wire_copy(p.description, sizeof(p.description),
	    call_text(call, "description"));
	wire_copy(call->object, sizeof(call->object), name);
	rc = store_project_create(db, &p, &call->fault);
	return rc == RC_OK ? answer_project(call, db, name, 201) : rc;
}

/* The file must be right, and about the project of the path, if it has one. */
static enum rc check_process(
    struct api_call *call, const char *text, char name[STORE_NAME_SIZE])
{
	const char *file = call_text(call, "file");
	const char *want = call_param(call, 0);
	struct process *process = NULL;
	enum rc rc = process_parse(file != NULL ? file : "process.yaml", text,
	    strlen(text), &process, &call->fault);

	if (rc == RC_OK && *want != '\0' && strcmp(process->project, want) != 0)
		rc = call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
		    "the file is about project %.63s, not %.63s",
		    process->project, want);
	if (rc == RC_OK)
		wire_copy(name, STORE_NAME_SIZE, process->project);
	process_free(process);
	return rc;
}

/* Create or replace; the same text again changes nothing. */
static enum rc apply(struct api_call *call, struct db *db)
{
	struct store_project p = { 0 }, old = { 0 };
	const char *text = call_text(call, "process");
	uint64_t now_ms = (uint64_t)call->now_ms;
	int status = 200;
	enum rc rc = check_process(call, text, p.name);

	if (rc != RC_OK)
		return rc;
	p.process = strdup(text);
	if (p.process == NULL)
		return RC_NOMEM;
	p.created_ms = now_ms;
	wire_copy(call->object, sizeof(call->object), p.name);
	rc = store_project_get(db, p.name, &old, &call->fault);
	if (rc == RC_NOTFOUND && call->if_version == 0) {
		fault_clear(&call->fault);
		status = 201;
		rc = store_project_create(db, &p, &call->fault);
	} else if (rc == RC_OK && strcmp(old.process, text) != 0) {
		rc = store_project_set_process(
		    db, &p, call->if_version, now_ms, &call->fault);
	}
	if (rc == RC_OK)
		rc = answer_project(call, db, p.name, status);
	store_project_clear(&p);
	store_project_clear(&old);
	return rc;
}

static enum rc drop(struct api_call *call, struct db *db)
{
	call->status = 204;
	return store_project_delete(db, call_param(call, 0), &call->fault);
}

static const struct route_field create_fields[] = {
	{ "name", ROUTE_TEXT, true, LIMIT_NAME, NAME_RULE, NULL },
	{ "description", ROUTE_TEXT, false, LIMIT_TEXT, "One line", NULL },
	{ .name = NULL },
};

static const struct route_field apply_fields[] = {
	{ "process", ROUTE_TEXT, true, PROCESS_BYTES_MAX,
	    "The process file, YAML", NULL },
	{ "file", ROUTE_TEXT, false, LIMIT_TEXT, "Its name, for messages",
	    NULL },
	{ .name = NULL },
};

const struct route project_routes[] = {
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/projects",
	    .operation = "project.list",
	    .summary = "List projects",
	    .access = ROUTE_KEY,
	    .permission = PERM_PROJECT_VIEW,
	    .paged = true,
	    .handler = list },
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/projects",
	    .operation = "project.create",
	    .summary = "Create an empty project",
	    .access = ROUTE_KEY,
	    .permission = PERM_PROJECT_EDIT,
	    .body = ROUTE_JSON,
	    .fields = create_fields,
	    .handler = create },
	{ .method = HTTP_METHOD_PUT,
	    .pattern = "/api/v1/projects",
	    .operation = "project.apply",
	    .summary = "As below, for the project that the file names",
	    .access = ROUTE_KEY,
	    .permission = PERM_PROJECT_EDIT,
	    .body = ROUTE_JSON,
	    .fields = apply_fields,
	    .handler = apply },
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/projects/{name}",
	    .operation = "project.show",
	    .summary = "Show a project with its process",
	    .access = ROUTE_KEY,
	    .permission = PERM_PROJECT_VIEW,
	    .handler = show },
	{ .method = HTTP_METHOD_PUT,
	    .pattern = "/api/v1/projects/{name}",
	    .operation = "project.replace",
	    .summary = "Create a project or replace its process (If-Match)",
	    .access = ROUTE_KEY,
	    .permission = PERM_PROJECT_EDIT,
	    .body = ROUTE_JSON,
	    .fields = apply_fields,
	    .handler = apply },
	{ .method = HTTP_METHOD_DELETE,
	    .pattern = "/api/v1/projects/{name}",
	    .operation = "project.delete",
	    .summary = "Delete a project without releases",
	    .access = ROUTE_KEY,
	    .permission = PERM_PROJECT_EDIT,
	    .handler = drop },
	{ .pattern = NULL },
};

/* api_releases.c - releases: process, variables and packages, frozen. */
#include "common/hex.h"
#include "server/api/routes.h"
#include "server/api/wire.h"
#include "server/process/release_snapshot.h"
#include "server/store/package.h"
#include "server/store/project.h"
#include "server/store/variable.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *release_json(const struct store_release *r)
{
	json_t *packages = json_object();

	for (size_t i = 0; i < r->package_count; i++) {
		if (json_object_set_new(packages, r->packages[i].name,
			json_safe(r->packages[i].version)) != 0) {
			json_decref(packages);
			return NULL;
		}
	}
	return json_pack("{s:o, s:o, s:o, s:I, s:I, s:o}", "project",
	    json_safe(r->project), "version", json_safe(r->version), "packages",
	    packages, "project_version", (json_int_t)r->project_version,
	    "created_ms", (json_int_t)r->created_ms, "who", json_safe(r->who));
}

static enum rc list(struct api_call *call, struct db *db)
{
	struct store_release *rows = NULL;
	struct page page;
	size_t count = 0;
	json_t *items = json_array();
	enum rc rc = call_page(call, &page, 100);

	if (rc == RC_OK)
		rc = store_release_list(
		    db, call_param(call, 0), &page, &rows, &count);
	if (rc == RC_OK && count == 0)
		rc = store_project_check(db, call_param(call, 0), &call->fault);
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		if (json_array_append_new(items, release_json(&rows[i])) != 0)
			rc = RC_NOMEM;
	}
	if (rc == RC_OK)
		rc = call_answer_list(call, json_incref(items),
		    count == page.limit ? rows[count - 1].version : NULL);
	json_decref(items);
	store_releases_free(rows, count);
	return rc;
}

static enum rc show(struct api_call *call, struct db *db)
{
	struct store_release r = { 0 };
	enum rc rc = store_release_get(
	    db, call_param(call, 0), call_param(call, 1), &r, &call->fault);

	if (rc == RC_OK)
		rc = call_answer(call, 200, release_json(&r));
	store_release_clear(&r);
	return rc;
}

/* ---- making one ---- */

/* Stored variables into the snapshot; sensitive ones stay wrapped, in hex. */
static enum rc take_variable(struct release_snapshot *snapshot,
    const struct store_variable *v, struct fault *fault)
{
	struct store_variable copy = *v;
	struct variable one = { .name = copy.name,
		.value = copy.value,
		.sensitive = v->sensitive,
		.wrapped = v->sensitive,
		.environment = *copy.environment ? copy.environment : NULL,
		.machine = *copy.machine ? copy.machine : NULL,
		.role = *copy.role ? copy.role : NULL };
	char *hex = NULL;
	enum rc rc;

	if (v->sensitive) {
		hex = malloc(2 * v->secret_len + 1);
		if (hex == NULL)
			return RC_NOMEM;
		hex_encode(v->secret, v->secret_len, hex);
		one.value = hex;
	}
	rc = variable_set_add(&snapshot->variables, &one, fault);
	free(hex);
	return rc;
}

static enum rc take_variables(
    struct api_call *call, struct db *db, struct release_snapshot *snapshot)
{
	struct store_variable *rows = NULL;
	size_t count = 0;
	enum rc rc = store_variable_list(db, snapshot->project, &rows, &count);

	/* Those of all projects first: the project's own come later and win. */
	for (int own = 0; own < 2; own++) {
		for (size_t i = 0; i < count && rc == RC_OK; i++) {
			if ((rows[i].project[0] != '\0') == (own == 1))
				rc = take_variable(
				    snapshot, &rows[i], &call->fault);
		}
	}
	store_variables_free(rows, count);
	return rc;
}

static enum rc take_packages(struct api_call *call, struct db *db,
    const struct process *process, struct release_snapshot *snapshot)
{
	json_t *chosen = call_member(call, "packages");
	size_t count = process->packages.count;

	snapshot->packages = calloc(count + 1, sizeof(*snapshot->packages));
	if (snapshot->packages == NULL)
		return RC_NOMEM;
	if (count > STORE_PACKAGES_MAX)
		return RC_LIMIT;
	for (size_t i = 0; i < count; i++) {
		struct release_package *to = &snapshot->packages[i];
		const char *name = process->packages.items[i];
		struct store_package p;
		enum rc rc = store_package_get(db, name,
		    json_string_value(json_object_get(chosen, name)), &p,
		    &call->fault);

		if (rc != RC_OK)
			return rc;
		to->name = strdup(p.name);
		to->version = strdup(p.version);
		to->digest = strdup(p.digest);
		to->size = p.size;
		snapshot->package_count = i + 1;
		if (to->name == NULL || to->version == NULL ||
		    to->digest == NULL)
			return RC_NOMEM;
	}
	return RC_OK;
}

/* Everything chosen must be in the process: a typing error would be silent. */
static enum rc check_chosen(
    struct api_call *call, const struct process *process)
{
	json_t *chosen = call_member(call, "packages");

	for (void *at = json_object_iter(chosen); at != NULL;
	     at = json_object_iter_next(chosen, at)) {
		const char *name = json_object_iter_key(at);
		size_t i = 0;

		while (i < process->packages.count &&
		       strcmp(process->packages.items[i], name) != 0)
			i++;
		if (i == process->packages.count)
			return call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
			    "the process of %s uses no package %.63s",
			    process->project, name);
	}
	return RC_OK;
}

static enum rc build(
    struct api_call *call, struct db *db, struct release_snapshot *snapshot)
{
	struct process *process = NULL;
	enum rc rc = process_parse("process.yaml", snapshot->process,
	    strlen(snapshot->process), &process, &call->fault);

	if (rc == RC_OK)
		rc = check_chosen(call, process);
	if (rc == RC_OK)
		rc = take_packages(call, db, process, snapshot);
	if (rc == RC_OK)
		rc = take_variables(call, db, snapshot);
	if (rc == RC_OK)
		rc = release_snapshot_check(snapshot, process, &call->fault);
	process_free(process);
	return rc;
}

static enum rc write_release(struct api_call *call, struct db *db,
    const struct store_project *project, struct release_snapshot *snapshot)
{
	struct store_release r = { .created_ms = (uint64_t)call->now_ms,
		.project_version = project->version };
	enum rc rc = release_snapshot_build(snapshot, &r.snapshot);

	if (rc != RC_OK)
		return rc;
	wire_copy(r.project, sizeof(r.project), snapshot->project);
	wire_copy(r.version, sizeof(r.version), snapshot->version);
	wire_copy(r.who, sizeof(r.who), call->caller.who);
	for (size_t i = 0; i < snapshot->package_count; i++) {
		wire_copy(r.packages[i].name, sizeof(r.packages[i].name),
		    snapshot->packages[i].name);
		wire_copy(r.packages[i].version, sizeof(r.packages[i].version),
		    snapshot->packages[i].version);
	}
	r.package_count = snapshot->package_count;
	rc = store_release_create(db, &r, &call->fault);
	if (rc == RC_OK)
		rc = call_answer(call, 201, release_json(&r));
	store_release_clear(&r);
	return rc;
}

static enum rc create(struct api_call *call, struct db *db)
{
	struct store_project project = { 0 };
	struct release_snapshot *snapshot = NULL;
	const char *version = call_text(call, "version");
	enum rc rc;

	if (!version_is_valid(version))
		return call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
		    "version %.80s: 1 to 63 letters, digits, '.', '_', '-' "
		    "or '+'",
		    version);
	rc = store_project_get(db, call_param(call, 0), &project, &call->fault);
	if (rc != RC_OK)
		goto out;
	if (project.process == NULL || project.process[0] == '\0') {
		rc = call_fail(call, RC_STATE, REASON_BAD_CONFIG,
		    "project %s has no process yet: longarm project apply",
		    project.name);
		goto out;
	}
	rc = RC_NOMEM;
	snapshot = calloc(1, sizeof(*snapshot));
	if (snapshot == NULL)
		goto out;
	snapshot->project = strdup(project.name);
	snapshot->version = strdup(version);
	snapshot->process = strdup(project.process);
	if (snapshot->project == NULL || snapshot->version == NULL ||
	    snapshot->process == NULL)
		goto out;
	(void)snprintf(
	    call->object, sizeof(call->object), "%s %s", project.name, version);
	rc = build(call, db, snapshot);
	if (rc == RC_OK)
		rc = write_release(call, db, &project, snapshot);
out:
	release_snapshot_free(snapshot);
	store_project_clear(&project);
	return rc;
}

static enum rc drop(struct api_call *call, struct db *db)
{
	call->status = 204;
	return store_release_delete(
	    db, call_param(call, 0), call_param(call, 1), &call->fault);
}

static const struct route_field create_fields[] = {
	{ "version", ROUTE_TEXT, true, LIMIT_VERSION, "1.4.0", NULL },
	{ "packages", ROUTE_MAP, false, STORE_PACKAGES_MAX,
	    "Package to version; of others the last that was pushed", NULL },
	{ .name = NULL },
};

const struct route release_routes[] = {
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/projects/{project}/releases",
	    .operation = "release.list",
	    .summary = "List the releases of a project, newest first",
	    .access = ROUTE_KEY,
	    .permission = PERM_PROJECT_VIEW,
	    .paged = true,
	    .handler = list },
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/projects/{project}/releases",
	    .operation = "release.create",
	    .summary = "Freeze process, variables and packages as a release",
	    .access = ROUTE_KEY,
	    .permission = PERM_PROJECT_EDIT,
	    .body = ROUTE_JSON,
	    .fields = create_fields,
	    .handler = create },
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/projects/{project}/releases/{version}",
	    .operation = "release.show",
	    .summary = "Show a release",
	    .access = ROUTE_KEY,
	    .permission = PERM_PROJECT_VIEW,
	    .handler = show },
	{ .method = HTTP_METHOD_DELETE,
	    .pattern = "/api/v1/projects/{project}/releases/{version}",
	    .operation = "release.delete",
	    .summary = "Delete a release",
	    .access = ROUTE_KEY,
	    .permission = PERM_PROJECT_EDIT,
	    .handler = drop },
	{ .pattern = NULL },
};

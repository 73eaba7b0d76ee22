#include "server/process/release_snapshot.h"

#include "proto/name.h"
#include "server/process/json_read.h"
#include "server/process/process_read.h"

#include <stdlib.h>
#include <string.h>

#define FORMAT 1

static json_t *scope_to_json(const struct variable *v)
{
	json_t *o = json_object();
	bool ok = o != NULL &&
	          json_write_text(o, "environment", v->environment) &&
	          json_write_text(o, "machine", v->machine) &&
	          json_write_text(o, "role", v->role);

	if (ok)
		return o;
	json_decref(o);
	return NULL;
}

static json_t *variable_to_json(const struct variable *v)
{
	json_t *o = json_object();
	bool ok = o != NULL && json_write_text(o, "name", v->name) &&
	          json_write_text(o, "value", v->value);

	ok = ok && json_object_set_new(
		       o, "sensitive", json_boolean(v->sensitive)) == 0;
	ok = ok &&
	     json_object_set_new(o, "wrapped", json_boolean(v->wrapped)) == 0;
	ok = ok && json_object_set_new(o, "scope", scope_to_json(v)) == 0;
	if (ok)
		return o;
	json_decref(o);
	return NULL;
}

static json_t *package_to_json(const struct release_package *package)
{
	json_t *o = json_object();
	bool ok = o != NULL && json_write_text(o, "name", package->name) &&
	          json_write_text(o, "version", package->version) &&
	          json_write_text(o, "digest", package->digest);

	ok = ok && json_object_set_new(
		       o, "size", json_integer((json_int_t)package->size)) == 0;
	if (ok)
		return o;
	json_decref(o);
	return NULL;
}

/* Takes what can be NULL for lack of memory. */
static bool append(json_t *array, json_t *item)
{
	return array != NULL && json_array_append_new(array, item) == 0;
}

static bool add_lists(json_t *o, const struct release_snapshot *snapshot)
{
	json_t *variables = json_array(), *packages = json_array();
	bool ok = variables != NULL && packages != NULL;

	for (size_t i = 0; ok && i < snapshot->variables.count; i++)
		ok = append(
		    variables, variable_to_json(&snapshot->variables.items[i]));
	for (size_t i = 0; ok && i < snapshot->package_count; i++)
		ok = append(packages, package_to_json(&snapshot->packages[i]));
	if (!ok) {
		json_decref(variables);
		json_decref(packages);
		return false;
	}
	/* Both calls eat their value, whatever happens. */
	ok = json_object_set_new(o, "variables", variables) == 0;
	return json_object_set_new(o, "packages", packages) == 0 && ok;
}

enum rc release_snapshot_build(
    const struct release_snapshot *snapshot, char **out)
{
	json_t *o;
	bool ok;

	for (size_t i = 0; i < snapshot->variables.count; i++) {
		const struct variable *v = &snapshot->variables.items[i];

		if (v->sensitive && v->value != NULL && !v->wrapped)
			return RC_DENIED;
	}
	o = json_object();
	ok = o != NULL &&
	     json_object_set_new(o, "format", json_integer(FORMAT)) == 0 &&
	     json_write_text(o, "project", snapshot->project) &&
	     json_write_text(o, "version", snapshot->version) &&
	     json_write_text(o, "process", snapshot->process) &&
	     add_lists(o, snapshot);
	if (!ok) {
		json_decref(o);
		return RC_NOMEM;
	}
	return json_write(o, out);
}

static enum rc read_variable(
    const json_t *o, struct variable_set *set, struct fault *fault)
{
	const json_t *scope = json_object_get(o, "scope");
	struct variable v = { .name = NULL };
	enum rc rc = json_read_text(o, "name", true, &v.name, fault);

	if (rc == RC_OK)
		rc = json_read_text(o, "value", false, &v.value, fault);
	if (rc == RC_OK)
		rc = json_read_boolean(o, "sensitive", &v.sensitive, fault);
	if (rc == RC_OK)
		rc = json_read_boolean(o, "wrapped", &v.wrapped, fault);
	if (rc == RC_OK)
		rc = json_read_text(
		    scope, "environment", false, &v.environment, fault);
	if (rc == RC_OK)
		rc = json_read_text(scope, "machine", false, &v.machine, fault);
	if (rc == RC_OK)
		rc = json_read_text(scope, "role", false, &v.role, fault);
	if (rc == RC_OK)
		rc = variable_set_add(set, &v, fault);
	free(v.name);
	free(v.value);
	free(v.environment);
	free(v.machine);
	free(v.role);
	return rc;
}

static enum rc read_package(
    const json_t *o, struct release_package *package, struct fault *fault)
{
	enum rc rc = json_read_text(o, "name", true, &package->name, fault);

	if (rc == RC_OK)
		rc = json_read_text(
		    o, "version", true, &package->version, fault);
	if (rc == RC_OK)
		rc = json_read_text(o, "digest", true, &package->digest, fault);
	if (rc == RC_OK)
		rc = json_read_number(o, "size", &package->size, fault);
	if (rc == RC_OK && (!name_is_valid(package->name) ||
			       !version_is_valid(package->version) ||
			       !digest_is_valid(package->digest))) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "the package '%.63s' has a bad name, version or digest",
		    package->name);
		rc = RC_PROTO;
	}
	return rc;
}

static enum rc read_lists(
    const json_t *o, struct release_snapshot *snapshot, struct fault *fault)
{
	const json_t *variables = json_object_get(o, "variables");
	const json_t *packages = json_object_get(o, "packages");
	size_t count = json_array_size(packages);
	enum rc rc = RC_OK;

	if (!json_is_array(variables) || !json_is_array(packages) ||
	    count > PROCESS_LIST_MAX) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "\"variables\" and \"packages\" must be lists, and at most "
		    "%u packages",
		    PROCESS_LIST_MAX);
		return RC_PROTO;
	}
	for (size_t i = 0; i < json_array_size(variables) && rc == RC_OK; i++)
		rc = read_variable(
		    json_array_get(variables, i), &snapshot->variables, fault);
	if (rc != RC_OK || count == 0)
		return rc;
	snapshot->packages = calloc(count, sizeof(*snapshot->packages));
	if (snapshot->packages == NULL)
		return RC_NOMEM;
	while (snapshot->package_count < count && rc == RC_OK) {
		size_t i = snapshot->package_count++;

		rc = read_package(
		    json_array_get(packages, i), &snapshot->packages[i], fault);
	}
	return rc;
}

static enum rc read_snapshot(
    const json_t *o, struct release_snapshot *snapshot, struct fault *fault)
{
	uint64_t format;
	enum rc rc = json_read_number(o, "format", &format, fault);

	if (rc != RC_OK)
		return rc;
	if (format != FORMAT) {
		fault_set(fault, REASON_VERSION, "",
		    "the release has format %llu, this server reads %d",
		    (unsigned long long)format, FORMAT);
		return RC_PROTO;
	}
	rc = json_read_text(o, "project", true, &snapshot->project, fault);
	if (rc == RC_OK)
		rc = json_read_text(
		    o, "version", true, &snapshot->version, fault);
	if (rc == RC_OK)
		rc = json_read_text(
		    o, "process", true, &snapshot->process, fault);
	if (rc == RC_OK)
		rc = read_lists(o, snapshot, fault);
	return rc;
}

enum rc release_snapshot_parse(const char *text, size_t len,
    struct release_snapshot **out, struct fault *fault)
{
	struct release_snapshot *snapshot = NULL;
	json_t *o = NULL;
	enum rc rc;

	if (len > SNAPSHOT_BYTES_MAX) {
		fault_set(fault, REASON_TOO_MANY, "",
		    "a release has at most %zu bytes", SNAPSHOT_BYTES_MAX);
		return RC_LIMIT;
	}
	rc = json_read(text, len, "a release", &o, fault);
	if (rc != RC_OK)
		return rc;
	snapshot = calloc(1, sizeof(*snapshot));
	rc = snapshot != NULL ? read_snapshot(o, snapshot, fault) : RC_NOMEM;
	if (rc == RC_OK) {
		*out = snapshot;
		snapshot = NULL; /* now the caller's */
	}
	release_snapshot_free(snapshot);
	json_decref(o);
	return rc;
}

void release_snapshot_free(struct release_snapshot *snapshot)
{
	if (snapshot == NULL)
		return;
	for (size_t i = 0; i < snapshot->package_count; i++) {
		free(snapshot->packages[i].name);
		free(snapshot->packages[i].version);
		free(snapshot->packages[i].digest);
	}
	free(snapshot->packages);
	variable_set_clear(&snapshot->variables);
	free(snapshot->project);
	free(snapshot->version);
	free(snapshot->process);
	free(snapshot);
}

static bool has_package(
    const struct release_snapshot *snapshot, const char *name)
{
	for (size_t i = 0; i < snapshot->package_count; i++) {
		if (strcmp(snapshot->packages[i].name, name) == 0)
			return true;
	}
	return false;
}

enum rc release_snapshot_check(const struct release_snapshot *snapshot,
    const struct process *process, struct fault *fault)
{
	for (size_t i = 0; i < process->packages.count; i++) {
		const char *name = process->packages.items[i];

		if (has_package(snapshot, name))
			continue;
		fault_set(fault, REASON_NOT_FOUND, "",
		    "no version of the package %s is chosen: --package "
		    "%s=VERSION",
		    name, name);
		return RC_PROTO;
	}
	for (size_t i = 0; i < snapshot->package_count; i++) {
		const char *name = snapshot->packages[i].name;

		if (text_list_has(&process->packages, name))
			continue;
		fault_set(fault, REASON_NOT_FOUND, "",
		    "the project %s does not use the package %s",
		    process->project, name);
		return RC_PROTO;
	}
	return RC_OK;
}

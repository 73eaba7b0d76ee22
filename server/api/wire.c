#include "server/api/wire.h"

#include "server/api/routes.h"
#include "server/store/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct route_field route_members[] = {
	{ "path", ROUTE_TEXT, true, STORE_PATH_SIZE - 1,
	    "\"direct\" or relay names: dc2-a/dc2-c", NULL },
	{ "endpoint", ROUTE_TEXT, false, STORE_ENDPOINT_SIZE - 1,
	    "host:port that the last hop dials; none: the machine dials it",
	    NULL },
	{ .name = NULL },
};

void wire_copy(char *out, size_t size, const char *text)
{
	(void)snprintf(out, size, "%s", text != NULL ? text : "");
}

json_t *wire_routes(const struct store_route *routes, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++) {
		json_t *one =
		    json_pack("{s:o, s:o}", "path", json_safe(routes[i].path),
			"endpoint", json_safe(routes[i].endpoint));

		if (json_array_append_new(array, one) != 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static enum rc read_route(const char *path, const char *endpoint,
    enum store_role role, struct store_route *out, struct fault *fault)
{
	uint16_t port = role == STORE_ROLE_RELAY ? 10953 : 10933;

	struct path parsed;
	struct endpoint e;
	char text[ENDPOINT_SIZE];
	char path_text[PATH_SIZE];
	enum rc rc = path_parse(path, &parsed, fault);

	if (rc != RC_OK)
		return rc;
	*out = (struct store_route){ 0 };
	path_format(&parsed, path_text);
	wire_copy(out->path, sizeof(out->path), path_text);
	if (endpoint == NULL || *endpoint == '\0')
		return RC_OK;
	rc = endpoint_parse(endpoint, port, &e, fault);
	if (rc != RC_OK)
		return rc;
	endpoint_format(&e, text);
	wire_copy(out->endpoint, sizeof(out->endpoint), text);
	return RC_OK;
}

enum rc wire_read_routes(const json_t *array, enum store_role role,
    struct store_route routes[STORE_ROUTES_MAX], size_t *count,
    struct fault *fault)
{
	json_t *one;
	size_t i;
	enum rc rc;

	*count = 0;
	if (json_array_size(array) > STORE_ROUTES_MAX) {
		fault_set(fault, REASON_TOO_MANY, "", "at most %d routes",
		    STORE_ROUTES_MAX);
		return RC_PROTO;
	}
	json_array_foreach(array, i, one)
	{
		rc = read_route(json_string_value(json_object_get(one, "path")),
		    json_string_value(json_object_get(one, "endpoint")), role,
		    &routes[i], fault);
		if (rc != RC_OK)
			return rc;
		*count = i + 1;
	}
	return RC_OK;
}

json_t *wire_fault(const struct fault *fault)
{
	if (fault->code == REASON_NONE)
		return json_null();
	return json_pack("{s:s, s:o, s:o, s:s}", "code",
	    reason_name(fault->code), "text", json_safe(fault->text), "at",
	    json_safe(fault->at), "advice", reason_advice(fault->code));
}

json_t *wire_task(const struct store_task *t)
{
	char id[32];

	(void)snprintf(
	    id, sizeof(id), "task-%llu", (unsigned long long)t->row.number);
	return json_pack("{s:s, s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:I, s:o, "
			 "s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:o}",
	    "id", id, "kind", task_kind_name(t->kind), "state",
	    task_state_name(t->row.state), "partial", t->row.partial ? 1 : 0,
	    "title", json_safe(t->title), "project", json_safe(t->project),
	    "release", json_safe(t->release), "environment",
	    json_safe(t->environment), "deployment", (json_int_t)t->deployment,
	    "who", json_safe(t->who), "cancelled_by", json_safe(t->cancel_who),
	    "machines", (json_int_t)t->machine_count, "ok",
	    (json_int_t)t->row.ok_count, "failed",
	    (json_int_t)t->row.failed_count, "created_ms",
	    (json_int_t)t->created_ms, "started_ms",
	    (json_int_t)t->row.started_ms, "ended_ms",
	    (json_int_t)t->row.ended_ms, "guided", t->guided ? 1 : 0, "waiting",
	    (json_int_t)t->row.waiting, "fault", wire_fault(&t->row.fault));
}

enum rc wire_task_number(struct api_call *call, uint64_t *out)
{
	const char *text = call_param(call, 0);
	const char *digits = text;
	char *end;

	if (strncmp(text, "task-", 5) == 0)
		digits += 5;
	*out = strtoull(digits, &end, 10);
	if (*digits < '0' || *digits > '9' || *end != '\0' ||
	    strlen(digits) > 18)
		return call_fail(call, RC_NOTFOUND, REASON_NOT_FOUND,
		    "%s: no such task; ids look like task-7", text);
	return RC_OK;
}

enum rc wire_read_grant(struct api_call *call, struct store_token *t)
{
	const char *name = call_text(call, "name");
	enum rc rc = RC_OK;

	if (name != NULL)
		rc = name_check("name", name, &call->fault);
	if (rc == RC_OK)
		rc = names_from_json("environment",
		    call_member(call, "environments"), &t->environments,
		    &call->fault);
	if (rc == RC_OK)
		rc = names_from_json("role", call_member(call, "roles"),
		    &t->roles, &call->fault);
	if (rc == RC_OK)
		rc = wire_read_routes(call_member(call, "routes"), t->role,
		    t->routes, &t->route_count, &call->fault);
	wire_copy(t->name, sizeof(t->name), name);
	return rc;
}

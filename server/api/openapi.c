/* openapi.c - the table of routes as an OpenAPI 3.1 document. */
#include "server/api/route.h"

#include <stdio.h>
#include <string.h>

static json_t *object_schema(const struct route_field *fields);

static json_t *limited(const char *type, const char *limit, uint64_t value)
{
	return json_pack("{s:s, s:I}", "type", type, limit, (json_int_t)value);
}

/* NOLINTNEXTLINE(misc-no-recursion): two levels, by static tables */
static json_t *schema(const struct route_field *f)
{
	json_t *s = NULL;

	switch (f->type) {
	case ROUTE_TEXT:
		s = limited("string", "maxLength", f->limit);
		break;
	case ROUTE_NUMBER:
		s = limited("integer", "maximum", f->limit);
		if (json_object_set_new(s, "minimum", json_integer(0)) != 0)
			return NULL;
		break;
	case ROUTE_BOOL:
		s = json_pack("{s:s}", "type", "boolean");
		break;
	case ROUTE_TEXTS:
		s = json_pack("{s:s, s:I, s:{s:s}}", "type", "array",
		    "maxItems", (json_int_t)f->limit, "items", "type",
		    "string");
		break;
	case ROUTE_OBJECTS:
		s = json_pack("{s:s, s:I, s:o}", "type", "array", "maxItems",
		    (json_int_t)f->limit, "items", object_schema(f->fields));
		break;
	case ROUTE_MAP:
		s = json_pack("{s:s, s:I, s:{s:s}}", "type", "object",
		    "maxProperties", (json_int_t)f->limit,
		    "additionalProperties", "type", "string");
		break;
	}
	if (f->help != NULL)
		(void)json_object_set_new(
		    s, "description", json_string(f->help));
	return s;
}

/* NOLINTNEXTLINE(misc-no-recursion): two levels, by static tables */
static json_t *object_schema(const struct route_field *fields)
{
	json_t *properties = json_object(), *required = json_array();

	for (; fields != NULL && fields->name != NULL; fields++) {
		(void)json_object_set_new(
		    properties, fields->name, schema(fields));
		if (fields->required)
			(void)json_array_append_new(
			    required, json_string(fields->name));
	}
	return json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties",
	    properties, "required", required, "additionalProperties", 0);
}

static void add_parameter(json_t *list, const char *where, const char *name,
    json_t *one, bool required)
{
	(void)json_array_append_new(
	    list, json_pack("{s:s, s:s, s:b, s:o}", "name", name, "in", where,
		      "required", required ? 1 : 0, "schema", one));
}

static json_t *parameters(const struct route *route)
{
	json_t *list = json_array();
	const char *p = route->pattern;
	const struct route_field *f = route->query;

	while ((p = strchr(p, '{')) != NULL) {
		char name[64];
		size_t len = strcspn(++p, "}");

		(void)snprintf(name, sizeof(name), "%.*s", (int)len, p);
		add_parameter(list, "path", name,
		    limited("string", "maxLength", ROUTE_PARAM_SIZE - 1), true);
	}
	for (; f != NULL && f->name != NULL; f++)
		add_parameter(list, "query", f->name, schema(f), f->required);
	if (route->paged) {
		add_parameter(list, "query", "cursor",
		    json_pack("{s:s}", "type", "string"), false);
		add_parameter(list, "query", "limit",
		    limited("integer", "maximum", 500), false);
	}
	if (route->method == HTTP_METHOD_POST && !route->secret_answer &&
	    route->after == NULL)
		add_parameter(list, "header", "Idempotency-Key",
		    limited("string", "maxLength", 128), false);
	return list;
}

static json_t *body(const struct route *route)
{
	if (route->body == ROUTE_JSON)
		return json_pack("{s:{s:{s:o}}}", "content", "application/json",
		    "schema", object_schema(route->fields));
	return json_pack("{s:{s:{s:{s:s, s:s}}}}", "content",
	    "application/octet-stream", "schema", "type", "string", "format",
	    "binary");
}

static json_t *operation(const struct route *route)
{
	json_t *security = json_array();
	json_t *one;

	if (route->access != ROUTE_OPEN)
		(void)json_array_append_new(
		    security, json_pack("{s:[]}", "key"));
	one = json_pack("{s:s, s:s, s:o, s:o, s:{s:{s:s}, s:{s:s}}}",
	    "operationId", route->operation, "summary", route->summary,
	    "parameters", parameters(route), "security", security, "responses",
	    "2XX", "description", "Done", "default", "description",
	    "A problem (application/problem+json)");
	if (route->access != ROUTE_OPEN)
		(void)json_object_set_new(one, "x-permission",
		    json_string(permission_name(route->permission)));
	if (route->body != ROUTE_NO_BODY)
		(void)json_object_set_new(one, "requestBody", body(route));
	return one;
}

json_t *openapi_document(void)
{
	json_t *paths = json_object();
	const struct route *route;

	for (size_t i = 0; (route = route_at(i)) != NULL; i++) {
		json_t *path = json_object_get(paths, route->pattern);
		char method[8];
		size_t n = 0;

		for (const char *m = http_method_name(route->method);
		     *m != '\0' && n + 1 < sizeof(method); m++)
			method[n++] = (char)(*m - 'A' + 'a');
		method[n] = '\0';
		if (path == NULL) {
			path = json_object();
			(void)json_object_set_new(paths, route->pattern, path);
		}
		(void)json_object_set_new(path, method, operation(route));
	}
	return json_pack("{s:s, s:{s:s, s:s}, s:{s:{s:{s:s, s:s}}}, s:o}",
	    "openapi", "3.1.0", "info", "title", "Longarm", "version",
	    LONGARM_VERSION, "components", "securitySchemes", "key", "type",
	    "http", "scheme", "bearer", "paths", paths);
}

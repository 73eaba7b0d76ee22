#include "server/api/route.h"

#include "common/nearest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUERY_PAIRS_MAX 32

/* ---- finding a route ---- */

/* What may stand for {name}: a name, a version, an id, a variable. */
static bool param_is_plain(const char *text, size_t len)
{
	if (len == 0 || len >= ROUTE_PARAM_SIZE)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
			(c >= 'a' && c <= 'z') || strchr("._-+:", c) != NULL))
			return false;
	}
	return true;
}

static bool part_matches(const char *want, size_t want_len, const char *got,
    size_t got_len, struct route_match *out)
{
	char *param;

	if (want[0] != '{')
		return want_len == got_len && memcmp(want, got, got_len) == 0;
	if (out->param_count == ROUTE_PARAMS_MAX ||
	    !param_is_plain(got, got_len))
		return false;
	param = out->params[out->param_count++];
	memcpy(param, got, got_len);
	param[got_len] = '\0';
	return true;
}

static bool path_matches(
    const char *pattern, const char *path, struct route_match *out)
{
	out->param_count = 0;
	while (*pattern == '/' && *path == '/') {
		size_t want_len = strcspn(++pattern, "/");
		size_t got_len = strcspn(++path, "/");

		if (!part_matches(pattern, want_len, path, got_len, out))
			return false;
		pattern += want_len;
		path += got_len;
	}
	return *pattern == '\0' && *path == '\0';
}

void route_match(
    enum http_method method, const char *path, struct route_match *out)
{
	const struct route *route;

	if (method == HTTP_METHOD_HEAD)
		method = HTTP_METHOD_GET;
	*out = (struct route_match){ 0 };
	for (size_t i = 0; (route = route_at(i)) != NULL; i++) {
		if (!path_matches(route->pattern, path, out))
			continue;
		out->path_known = true;
		if (route->method == method) {
			out->route = route;
			return;
		}
	}
}

/* ---- bodies ---- */

/* NOLINTNEXTLINE(misc-no-recursion): depth bounds it */
static bool is_plain_json(json_t *value, unsigned depth)
{
	const char *key;
	json_t *member;
	size_t i;

	if (depth > ROUTE_JSON_DEPTH_MAX)
		return false;
	if (json_is_real(value))
		return false;
	if (json_is_object(value)) {
		void *at = json_object_iter(value);

		for (; at != NULL; at = json_object_iter_next(value, at)) {
			key = json_object_iter_key(at);
			member = json_object_iter_value(at);
			if (*key == '\0' || !is_plain_json(member, depth + 1))
				return false;
		}
	}
	json_array_foreach(value, i, member)
	{
		if (!is_plain_json(member, depth + 1))
			return false;
	}
	return true;
}

enum rc route_parse_body(
    const uint8_t *data, size_t len, json_t **out, struct fault *fault)
{
	json_error_t error;
	json_t *body;

	if (len > ROUTE_JSON_MAX) {
		fault_set(fault, REASON_TOO_MANY, "",
		    "the body is over %u bytes", ROUTE_JSON_MAX);
		return RC_LIMIT;
	}
	body =
	    json_loadb((const char *)data, len, JSON_REJECT_DUPLICATES, &error);
	if (body == NULL) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "the body is not JSON: line %d: %.180s", error.line,
		    error.text);
		return RC_PROTO;
	}
	if (!json_is_object(body) || !is_plain_json(body, 0)) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "the body must be one JSON object, at most %u deep, "
		    "without fractions",
		    ROUTE_JSON_DEPTH_MAX);
		json_decref(body);
		return RC_PROTO;
	}
	*out = body;
	return RC_OK;
}

static enum rc wrong(
    struct fault *fault, const struct route_field *field, const char *want)
{
	fault_set(
	    fault, REASON_BAD_CONFIG, "", "%s must be %s", field->name, want);
	return RC_PROTO;
}

static enum rc over_limit(struct fault *fault, const struct route_field *field)
{
	fault_set(fault, REASON_BAD_CONFIG, "", "%s is over the limit of %llu",
	    field->name, (unsigned long long)field->limit);
	return RC_PROTO;
}

static enum rc check_number(
    const struct route_field *field, const json_t *value, struct fault *fault)
{
	json_int_t n;

	if (!json_is_integer(value))
		return wrong(fault, field, "a whole number");
	n = json_integer_value(value);
	if (n < 0)
		return wrong(fault, field, "a number from 0");
	return (uint64_t)n <= field->limit ? RC_OK : over_limit(fault, field);
}

/* NOLINTNEXTLINE(misc-no-recursion): the tables are two levels deep */
static enum rc check_array(
    const struct route_field *field, json_t *value, struct fault *fault)
{
	json_t *member;
	size_t i;
	enum rc rc;

	if (!json_is_array(value))
		return wrong(fault, field, "an array");
	if (json_array_size(value) > field->limit)
		return over_limit(fault, field);
	json_array_foreach(value, i, member)
	{
		if (field->type == ROUTE_TEXTS && !json_is_string(member))
			return wrong(fault, field, "an array of texts");
		if (field->type != ROUTE_OBJECTS)
			continue;
		if (!json_is_object(member))
			return wrong(fault, field, "an array of objects");
		rc = route_check_body(field->fields, member, fault);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

static enum rc check_map(
    const struct route_field *field, json_t *value, struct fault *fault)
{
	json_t *object = value;

	if (!json_is_object(value))
		return wrong(fault, field, "an object");
	if (json_object_size(value) > field->limit)
		return over_limit(fault, field);
	for (void *at = json_object_iter(object); at != NULL;
	     at = json_object_iter_next(object, at)) {
		if (!json_is_string(json_object_iter_value(at)))
			return wrong(fault, field, "an object of texts");
	}
	return RC_OK;
}

/* NOLINTNEXTLINE(misc-no-recursion): as above */
static enum rc check_value(
    const struct route_field *field, json_t *value, struct fault *fault)
{
	switch (field->type) {
	case ROUTE_TEXT:
		if (!json_is_string(value))
			return wrong(fault, field, "a text");
		if (json_string_length(value) > field->limit)
			return over_limit(fault, field);
		/* jansson lets \u0000 through only when asked to. */
		return RC_OK;
	case ROUTE_NUMBER:
		return check_number(field, value, fault);
	case ROUTE_BOOL:
		return json_is_boolean(value)
		           ? RC_OK
		           : wrong(fault, field, "true or false");
	case ROUTE_TEXTS:
	case ROUTE_OBJECTS:
		return check_array(field, value, fault);
	case ROUTE_MAP:
		return check_map(field, value, fault);
	}
	return RC_PROTO;
}

static const struct route_field *find_field(
    const struct route_field *fields, const char *name)
{
	for (; fields != NULL && fields->name != NULL; fields++) {
		if (strcmp(fields->name, name) == 0)
			return fields;
	}
	return NULL;
}

static enum rc unknown_field(const struct route_field *fields, const char *what,
    const char *name, struct fault *fault)
{
	struct nearest nearest;
	const char *best;

	nearest_init(&nearest, name);
	for (; fields != NULL && fields->name != NULL; fields++)
		nearest_consider(&nearest, fields->name);
	best = nearest_name(&nearest);
	if (best != NULL)
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "unknown %s: %.64s; did you mean %s?", what, name, best);
	else
		fault_set(fault, REASON_BAD_CONFIG, "", "unknown %s: %.64s",
		    what, name);
	return RC_PROTO;
}

/* NOLINTNEXTLINE(misc-no-recursion): as above */
enum rc route_check_body(
    const struct route_field *fields, json_t *body, struct fault *fault)
{
	json_t *object = body;

	for (void *at = json_object_iter(object); at != NULL;
	     at = json_object_iter_next(object, at)) {
		const char *name = json_object_iter_key(at);
		const struct route_field *field = find_field(fields, name);
		enum rc rc;

		if (field == NULL)
			return unknown_field(fields, "member", name, fault);
		rc = check_value(field, json_object_iter_value(at), fault);
		if (rc != RC_OK)
			return rc;
	}
	for (; fields != NULL && fields->name != NULL; fields++) {
		if (fields->required &&
		    json_object_get(body, fields->name) == NULL) {
			fault_set(fault, REASON_BAD_CONFIG, "",
			    "%s is missing (%s)", fields->name, fields->help);
			return RC_PROTO;
		}
	}
	return RC_OK;
}

/* ---- queries ---- */

static const struct route_field page_fields[] = {
	{ .name = "cursor", .type = ROUTE_TEXT, .limit = 256 },
	{ .name = "limit", .type = ROUTE_NUMBER, .limit = 500 },
	{ .name = NULL },
};

/* One name=value; *text is moved past it and its '&'. */
static enum rc parse_pair(const struct route *route, const char **text,
    json_t *query, struct fault *fault)
{
	size_t len = strcspn(*text, "&");
	const char *equals = memchr(*text, '=', len);
	size_t name_len = equals != NULL ? (size_t)(equals - *text) : len;
	struct http_text value = { *text + name_len, 0 };
	const struct route_field *field;
	char name[65], plain[HTTP_TARGET_MAX + 1];

	if (equals != NULL)
		value = (struct http_text){ equals + 1, len - name_len - 1 };
	if (http_unescape((struct http_text){ *text, name_len }, true, name,
		sizeof(name)) != RC_OK ||
	    http_unescape(value, true, plain, sizeof(plain)) != RC_OK) {
		fault_set(fault, REASON_BAD_CONFIG, "", "a malformed query");
		return RC_PROTO;
	}
	*text += len + ((*text)[len] == '&' ? 1 : 0);
	field = find_field(route->query, name);
	if (field == NULL && route->paged)
		field = find_field(page_fields, name);
	if (field == NULL)
		return unknown_field(
		    route->query, "query parameter", name, fault);
	if (field->type == ROUTE_TEXT && strlen(plain) > field->limit)
		return over_limit(fault, field);
	if (json_object_get(query, name) != NULL) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "the query has %s twice", name);
		return RC_PROTO;
	}
	if (json_object_set_new(query, name, json_string(plain)) != 0) {
		fault_set(
		    fault, REASON_BAD_CONFIG, "", "%s is not UTF-8", name);
		return RC_PROTO;
	}
	return RC_OK;
}

static enum rc check_query_number(
    const struct route_field *field, const char *text, struct fault *fault)
{
	char *end;
	unsigned long long n;

	if (field->type != ROUTE_NUMBER || text == NULL)
		return RC_OK;
	n = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || strlen(text) > 19)
		return wrong(fault, field, "a number from 0");
	return n <= field->limit ? RC_OK : over_limit(fault, field);
}

static enum rc check_query(
    const struct route_field *fields, const json_t *query, struct fault *fault)
{
	for (; fields != NULL && fields->name != NULL; fields++) {
		const char *text =
		    json_string_value(json_object_get(query, fields->name));
		enum rc rc = check_query_number(fields, text, fault);

		if (rc != RC_OK)
			return rc;
		if (fields->required && text == NULL) {
			fault_set(fault, REASON_BAD_CONFIG, "",
			    "the query needs %s (%s)", fields->name,
			    fields->help);
			return RC_PROTO;
		}
	}
	return RC_OK;
}

enum rc route_parse_query(const struct route *route, const char *query,
    json_t **out, struct fault *fault)
{
	json_t *object = json_object();
	enum rc rc = object != NULL ? RC_OK : RC_NOMEM;

	while (rc == RC_OK && *query != '\0') {
		if (json_object_size(object) >= QUERY_PAIRS_MAX)
			rc = RC_PROTO;
		else
			rc = parse_pair(route, &query, object, fault);
	}
	if (rc == RC_OK)
		rc = check_query(route->query, object, fault);
	if (rc == RC_OK && route->paged)
		rc = check_query(page_fields, object, fault);
	if (rc != RC_OK) {
		json_decref(object);
		return rc;
	}
	*out = object;
	return RC_OK;
}

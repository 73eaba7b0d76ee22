/* payload.c - a plan's payload as JSON. */
#include "server/process/json_read.h"
#include "server/process/planner.h"
#include "server/process/process_read.h"

#include <stdlib.h>
#include <string.h>

static json_t *list_to_json(const struct text_list *list)
{
	json_t *array = json_array();

	for (size_t i = 0; array != NULL && i < list->count; i++) {
		if (json_array_append_new(array, json_string(list->items[i])) !=
		    0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

enum rc plan_payload_to_json(const struct plan_payload *payload, char **out)
{
	json_t *o = json_object();
	bool ok = o != NULL &&
	          json_write_text(o, "type", action_type_name(payload->type));

	ok = ok && json_write_text(o, "name", payload->name);
	ok = ok && json_write_text(o, "script", payload->script);
	ok = ok && json_write_text(o, "package", payload->package);
	ok = ok && json_write_text(o, "version", payload->version);
	ok = ok && json_write_text(o, "digest", payload->digest);
	ok = ok && json_object_set_new(
		       o, "size", json_integer((json_int_t)payload->size)) == 0;
	if (payload->configure.count > 0)
		ok = ok && json_object_set_new(o, "configure",
			       list_to_json(&payload->configure)) == 0;
	ok = ok && json_write_text(o, "before", payload->before);
	ok = ok && json_write_text(o, "after", payload->after);
	ok = ok && json_object_set_new(o, "timeout_ms",
		       json_integer((json_int_t)payload->timeout_ms)) == 0;
	ok = ok && script_world_to_json(&payload->world, o);
	if (!ok) {
		json_decref(o);
		return RC_NOMEM;
	}
	return json_write(o, out);
}

static enum rc read_type(
    const json_t *o, enum action_type *out, struct fault *fault)
{
	const char *name = json_string_value(json_object_get(o, "type"));

	if (name == NULL || action_type_parse(name, out) != RC_OK) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "\"type\" must be script, stage, activate or health");
		return RC_PROTO;
	}
	return RC_OK;
}

static enum rc read_configure(
    const json_t *o, struct text_list *out, struct fault *fault)
{
	const json_t *array = json_object_get(o, "configure");
	size_t count = json_array_size(array);

	if (array == NULL)
		return RC_OK;
	if (count == 0 || count > PROCESS_LIST_MAX)
		goto bad;
	out->items = calloc(count, sizeof(char *));
	if (out->items == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < count; i++) {
		const char *text = json_string_value(json_array_get(array, i));

		if (text == NULL)
			goto bad;
		out->items[i] = strdup(text);
		if (out->items[i] == NULL)
			return RC_NOMEM;
		out->count++;
	}
	return RC_OK;
bad:
	fault_set(fault, REASON_BAD_CONFIG, "",
	    "\"configure\" must be a list of 1 to %u texts", PROCESS_LIST_MAX);
	return RC_PROTO;
}

/* What each type cannot do without. */
static enum rc check(const struct plan_payload *payload, struct fault *fault)
{
	bool package = payload->package != NULL && payload->version != NULL &&
	               payload->digest != NULL;
	bool ok = true;

	if (payload->type == ACTION_TYPE_SCRIPT)
		ok = payload->script != NULL;
	else if (payload->type != ACTION_TYPE_HEALTH)
		ok = package;
	if (ok)
		return RC_OK;
	fault_set(fault, REASON_BAD_CONFIG, "", "a payload of type %s lacks %s",
	    action_type_name(payload->type),
	    package ? "its script" : "its script or package");
	return RC_PROTO;
}

enum rc plan_payload_from_json(
    const char *text, size_t len, struct plan_payload *out, struct fault *fault)
{
	json_t *o = NULL;
	enum rc rc = json_read(text, len, "a payload", &o, fault);

	*out = (struct plan_payload){ .name = NULL };
	if (rc == RC_OK)
		rc = read_type(o, &out->type, fault);
	if (rc == RC_OK)
		rc = json_read_text(o, "name", true, &out->name, fault);
	if (rc == RC_OK)
		rc = json_read_text(o, "script", false, &out->script, fault);
	if (rc == RC_OK)
		rc = json_read_text(o, "package", false, &out->package, fault);
	if (rc == RC_OK)
		rc = json_read_text(o, "version", false, &out->version, fault);
	if (rc == RC_OK)
		rc = json_read_text(o, "digest", false, &out->digest, fault);
	if (rc == RC_OK)
		rc = json_read_number(o, "size", &out->size, fault);
	if (rc == RC_OK)
		rc = read_configure(o, &out->configure, fault);
	if (rc == RC_OK)
		rc = json_read_text(o, "before", false, &out->before, fault);
	if (rc == RC_OK)
		rc = json_read_text(o, "after", false, &out->after, fault);
	if (rc == RC_OK)
		rc = json_read_number(o, "timeout_ms", &out->timeout_ms, fault);
	if (rc == RC_OK)
		rc = script_world_from_json(o, &out->world, fault);
	if (rc == RC_OK)
		rc = check(out, fault);
	if (rc != RC_OK)
		plan_payload_fini(out);
	json_decref(o);
	return rc;
}

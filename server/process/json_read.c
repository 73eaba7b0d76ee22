#include "server/process/json_read.h"

#include <stdlib.h>
#include <string.h>

enum rc json_read(const char *text, size_t len, const char *what, json_t **out,
    struct fault *fault)
{
	json_error_t error;
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);

	if (root == NULL && json_error_code(&error) == json_error_out_of_memory)
		return RC_NOMEM;
	if (!json_is_object(root)) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "%s must be a JSON object: %s in line %d", what,
		    root == NULL ? error.text : "something else",
		    root == NULL ? error.line : 1);
		json_decref(root);
		return RC_PROTO;
	}
	*out = root;
	return RC_OK;
}

static enum rc bad(struct fault *fault, const char *key, const char *type)
{
	fault_set(fault, REASON_BAD_CONFIG, "", "\"%s\" must be %s", key, type);
	return RC_PROTO;
}

enum rc json_read_text(const json_t *object, const char *key, bool required,
    char **out, struct fault *fault)
{
	const json_t *value = json_object_get(object, key);

	*out = NULL;
	if (value == NULL || json_is_null(value))
		return required ? bad(fault, key, "there") : RC_OK;
	if (!json_is_string(value) ||
	    strlen(json_string_value(value)) != json_string_length(value))
		return bad(fault, key, "text");
	*out = strdup(json_string_value(value));
	return *out != NULL ? RC_OK : RC_NOMEM;
}

enum rc json_read_number(
    const json_t *object, const char *key, uint64_t *out, struct fault *fault)
{
	const json_t *value = json_object_get(object, key);

	*out = 0;
	if (value == NULL)
		return RC_OK;
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return bad(fault, key, "a whole number, not negative");
	*out = (uint64_t)json_integer_value(value);
	return RC_OK;
}

enum rc json_read_boolean(
    const json_t *object, const char *key, bool *out, struct fault *fault)
{
	const json_t *value = json_object_get(object, key);

	*out = json_is_true(value);
	if (value != NULL && !json_is_boolean(value))
		return bad(fault, key, "true or false");
	return RC_OK;
}

bool json_write_text(json_t *object, const char *key, const char *text)
{
	return text == NULL ||
	       json_object_set_new(object, key, json_string(text)) == 0;
}

enum rc json_write(json_t *object, char **out)
{
	char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	if (text == NULL)
		return RC_NOMEM;
	*out = text;
	return RC_OK;
}

#include "server/api/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *call_param(const struct api_call *call, size_t i)
{
	return i < call->match.param_count ? call->match.params[i] : "";
}

const char *call_query(const struct api_call *call, const char *name)
{
	return json_string_value(json_object_get(call->query, name));
}

const char *call_text(const struct api_call *call, const char *name)
{
	return json_string_value(json_object_get(call->body, name));
}

uint64_t call_number(
    const struct api_call *call, const char *name, uint64_t otherwise)
{
	const json_t *value = json_object_get(call->body, name);
	const char *text = call_query(call, name);

	if (json_is_integer(value))
		return (uint64_t)json_integer_value(value);
	return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

bool call_bool(const struct api_call *call, const char *name, bool otherwise)
{
	const json_t *value = json_object_get(call->body, name);

	return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

json_t *call_member(const struct api_call *call, const char *name)
{
	return json_object_get(call->body, name);
}

enum rc call_page(struct api_call *call, struct page *out, uint32_t standard)
{
	uint64_t limit = call_number(call, "limit", standard);

	if (limit == 0)
		return call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
		    "limit must be at least 1");
	out->after = call_query(call, "cursor");
	out->limit = (uint32_t)limit;
	return RC_OK;
}

enum rc api_may(struct api_call *call, const char *environment)
{
	call->asked_may = true;
	return caller_may(
	    &call->caller, call->route->permission, environment, &call->fault);
}

enum rc api_may_all(struct api_call *call, const struct names *environments)
{
	enum rc rc = RC_OK;

	if (environments->count == 0)
		return api_may(call, NULL);
	for (size_t i = 0; i < environments->count && rc == RC_OK; i++)
		rc = api_may(call, environments->at[i]);
	return rc;
}

bool api_sees(const struct api_call *call, const struct names *environments)
{
	if (call->caller.environments.count == 0)
		return true;
	for (size_t i = 0; i < environments->count; i++) {
		if (caller_sees(&call->caller, environments->at[i]))
			return true;
	}
	return false;
}

enum rc call_answer(struct api_call *call, int status, json_t *answer)
{
	if (answer == NULL)
		return RC_NOMEM;
	json_decref(call->answer);
	call->status = status;
	call->answer = answer;
	return RC_OK;
}

enum rc call_answer_list(struct api_call *call, json_t *items, const char *next)
{
	json_t *answer = json_object();

	if (json_object_set_new(answer, "items", items) != 0 ||
	    json_object_set_new(answer, "next",
		next != NULL ? json_safe(next) : json_null()) != 0) {
		json_decref(answer);
		return RC_NOMEM;
	}
	return call_answer(call, 200, answer);
}

enum rc call_fail(struct api_call *call, enum rc rc, enum reason code,
    const char *format, ...)
{
	char text[FAULT_TEXT_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fault_set(&call->fault, code, "", "%s", text);
	return rc;
}

json_t *json_safe(const char *text)
{
	json_t *value = json_string(text);
	char *copy;

	if (value != NULL)
		return value;
	copy = strdup(text);
	if (copy == NULL)
		return NULL;
	for (char *c = copy; *c != '\0'; c++) {
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	}
	value = json_string(copy);
	free(copy);
	return value;
}

json_t *json_names(const struct names *names)
{
	json_t *array = json_array();

	for (size_t i = 0; i < names->count; i++) {
		if (json_array_append_new(array, json_safe(names->at[i])) !=
		    0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

enum rc names_from_json(const char *what, const json_t *array,
    struct names *out, struct fault *fault)
{
	json_t *member;
	size_t i;
	enum rc rc = RC_OK;

	json_array_foreach(array, i, member)
	{
		const char *text = json_string_value(member);

		rc = name_check(what, text != NULL ? text : "", fault);
		if (rc == RC_OK)
			rc = names_add(out, text);
		if (rc != RC_OK)
			return rc;
	}
	return rc;
}

int status_of(enum rc rc, const struct fault *fault)
{
	switch (rc) {
	case RC_OK:
		return 200;
	case RC_AGAIN:
	case RC_NOMEM:
		return 503;
	case RC_LIMIT:
		return fault->code == REASON_TOO_MANY ? 429 : 400;
	case RC_PROTO:
		return 400;
	case RC_STATE:
	case RC_EXISTS:
		return 409;
	case RC_NOTFOUND:
		return 404;
	case RC_DENIED:
		return 403;
	case RC_IO:
		return fault->code == REASON_NO_SPACE ? 507 : 500;
	case RC_CRYPTO:
		return fault->code == REASON_BAD_PACKAGE ? 400 : 500;
	}
	return 500;
}

static const char *title_of(int status)
{
	switch (status) {
	case 400:
		return "The request is wrong";
	case 401:
		return "A valid key is needed";
	case 403:
		return "Not permitted";
	case 404:
		return "Not found";
	case 405:
		return "Not this method";
	case 409:
		return "Not in this state";
	case 413:
		return "Too large";
	case 415:
		return "Not this type";
	case 429:
		return "Too many";
	case 503:
		return "Not now";
	case 504:
		return "It took too long";
	case 507:
		return "The disk is full";
	default:
		return "The server failed";
	}
}

json_t *problem_document(
    int status, const struct fault *fault, const char *instance)
{
	enum reason code = fault->code;
	const char *text = fault->text;

	if (code == REASON_NONE)
		code = status == 404                    ? REASON_NOT_FOUND
		       : status == 403 || status == 401 ? REASON_NOT_PERMITTED
		                                        : REASON_INTERNAL;
	if (*text == '\0')
		text = title_of(status);
	return json_pack("{s:s, s:s, s:i, s:o, s:s, s:s, s:o, s:o}", "type",
	    "about:blank", "title", title_of(status), "status", status,
	    "detail", json_safe(text), "code", reason_name(code), "advice",
	    reason_advice(code), "at", json_safe(fault->at), "instance",
	    json_safe(instance));
}

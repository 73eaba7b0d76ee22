/* Text to numbers, durations, sizes, endpoints and lists. */
#include "common/config_private.h"

#include "common/xalloc.h"
#include "proto/name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit durations[] = { { "ms", 1 }, { "s", 1000 },
	{ "m", 60000 }, { "h", 3600000 }, { "d", 86400000 }, { NULL, 0 } };
static const struct unit sizes[] = { { "", 1 }, { "B", 1 }, { "K", 1024 },
	{ "KiB", 1024 }, { "M", 1048576 }, { "MiB", 1048576 },
	{ "G", 1073741824 }, { "GiB", 1073741824 }, { "T", 1099511627776 },
	{ "TiB", 1099511627776 }, { NULL, 0 } };
static const struct unit plain[] = { { "", 1 }, { NULL, 0 } };

/* Digits and one of the units; a '-' only when without unit. */
static enum rc parse_number(
    const char *text, const struct unit *units, int64_t *out)
{
	bool negative = *text == '-' && units == plain;
	const char *at = text + negative;
	int64_t value = 0;

	if (*at < '0' || *at > '9')
		return RC_PROTO;
	for (; *at >= '0' && *at <= '9'; at++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, *at - '0', &value))
			return RC_PROTO;
	}
	for (; units->name != NULL; units++) {
		if (strcmp(at, units->name) != 0)
			continue;
		if (__builtin_mul_overflow(value, units->factor, &value))
			return RC_PROTO;
		*out = negative ? -value : value;
		return RC_OK;
	}
	return RC_PROTO;
}

enum rc config_parse_duration(const char *text, int64_t *ms)
{
	if (strcmp(text, "0") == 0) {
		*ms = 0;
		return RC_OK;
	}
	return parse_number(text, durations, ms);
}

enum rc config_parse_size(const char *text, int64_t *bytes)
{
	return parse_number(text, sizes, bytes);
}

static enum rc parse_bool(const char *text, int64_t *out)
{
	static const char *const words[] = { "false", "true", "no", "yes",
		"off", "on" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(text, words[i]) == 0) {
			*out = (int64_t)(i % 2);
			return RC_OK;
		}
	}
	return RC_PROTO;
}

/* Letters, digits, '-', '.', '_'; or with v6 also ':' and '%'. */
static bool is_host(const char *host, size_t len, bool v6)
{
	for (size_t i = 0; i < len; i++) {
		char c = host[i];
		bool plain_char =
		    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';

		if (!plain_char && !(v6 && (c == ':' || c == '%')))
			return false;
	}
	return true;
}

enum rc config_parse_endpoint(const char *text, struct config_endpoint *out)
{
	const char *colon = strrchr(text, ':');
	const char *host = text;
	bool v6 = *text == '[';
	size_t len;
	int64_t port;

	if (colon == NULL || parse_number(colon + 1, plain, &port) != RC_OK ||
	    port < 0 || port > 65535)
		return RC_PROTO;
	len = (size_t)(colon - text);
	if (v6) {
		if (len < 4 || text[len - 1] != ']')
			return RC_PROTO;
		host = text + 1;
		len -= 2;
	}
	if (len >= sizeof(out->host) || !is_host(host, len, v6))
		return RC_PROTO;
	memset(out, 0, sizeof(*out));
	memcpy(out->host, host, len);
	out->port = (uint16_t)port;
	return RC_OK;
}

/* Split at commas into a copy of text; blanks around items are dropped. */
static enum rc parse_list(struct config_value *value, const char *text)
{
	size_t count = 1, used = 0;
	char *at, *rest;

	for (const char *p = text; *p != '\0'; p++)
		count += *p == ',';
	if (count > CONFIG_LIST_MAX)
		return RC_LIMIT;
	value->items = (char **)xcalloc(count, sizeof(*value->items));
	value->block = at = xstrdup(text);
	while ((rest = strsep(&at, ",")) != NULL) {
		size_t len;

		rest += strspn(rest, " \t");
		len = strlen(rest);
		while (
		    len > 0 && (rest[len - 1] == ' ' || rest[len - 1] == '\t'))
			rest[--len] = '\0';
		if (len > 0)
			value->items[used++] = rest;
	}
	value->item_count = used;
	return RC_OK;
}

static bool is_choice(const char *choices, const char *text)
{
	size_t len = strlen(text);

	for (const char *at = choices; len > 0; at++) {
		const char *end = strchrnul(at, '|');

		if ((size_t)(end - at) == len && memcmp(at, text, len) == 0)
			return true;
		if (*end == '\0')
			break;
		at = end;
	}
	return false;
}

static enum rc convert(struct config_value *value,
    const struct config_option *option, const char *text)
{
	switch (option->type) {
	case CONFIG_STRING:
		if (option->is_name && *text != '\0' && !name_is_valid(text))
			return RC_PROTO;
		return option->choices == NULL ||
		               is_choice(option->choices, text)
		           ? RC_OK
		           : RC_PROTO;
	case CONFIG_PATH:
		return *text != '\0' ? RC_OK : RC_PROTO;
	case CONFIG_INT:
		return parse_number(text, plain, &value->number);
	case CONFIG_DURATION:
		return config_parse_duration(text, &value->number);
	case CONFIG_SIZE:
		return config_parse_size(text, &value->number);
	case CONFIG_BOOL:
		return parse_bool(text, &value->number);
	case CONFIG_ENDPOINT:
		return config_parse_endpoint(text, &value->endpoint);
	case CONFIG_PROXY:
		return proxy_parse(text, &value->proxy, NULL);
	case CONFIG_LIST:
		return parse_list(value, text);
	}
	return RC_PROTO;
}

static const char *expectation(const struct config_option *option)
{
	switch (option->type) {
	case CONFIG_STRING:
		return option->choices != NULL
		           ? option->choices
		           : "a name: up to 63 letters, digits, '.', '_' and "
		             "'-', the first a letter or digit";
	case CONFIG_PATH:
		return "a path";
	case CONFIG_INT:
		return "a whole number";
	case CONFIG_DURATION:
		return "a duration such as 500ms, 10s, 5m, 2h or 1d";
	case CONFIG_SIZE:
		return "a size such as 512, 64K, 10M or 2G";
	case CONFIG_BOOL:
		return "true or false";
	case CONFIG_ENDPOINT:
		return "HOST:PORT, [ADDRESS]:PORT or :PORT";
	case CONFIG_PROXY:
		return "http://HOST:PORT or socks5://HOST:PORT";
	case CONFIG_LIST:
		return "at most 256 items, separated by commas";
	}
	return "something else";
}

static void format_bound(
    const struct config_option *option, int64_t n, char *out, size_t size)
{
	const struct unit *units = option->type == CONFIG_DURATION ? durations
	                           : option->type == CONFIG_SIZE   ? sizes
	                                                           : plain;
	const struct unit *best = &units[0];

	for (; units->name != NULL && n != 0; units++) {
		if (n % units->factor == 0 && units->factor > best->factor)
			best = units;
	}
	(void)snprintf(
	    out, size, "%lld%s", (long long)(n / best->factor), best->name);
}

static enum rc check_range(const struct config_value *value,
    const struct config_option *option, char *why, size_t why_size)
{
	int64_t max =
	    option->min == 0 && option->max == 0 ? INT64_MAX : option->max;
	char low[32], high[32];

	if (option->type != CONFIG_INT && option->type != CONFIG_DURATION &&
	    option->type != CONFIG_SIZE)
		return RC_OK;
	if (value->number >= option->min && value->number <= max)
		return RC_OK;
	format_bound(option, option->min, low, sizeof(low));
	format_bound(option, max, high, sizeof(high));
	if (max == INT64_MAX)
		(void)snprintf(why, why_size, "must be at least %s", low);
	else
		(void)snprintf(
		    why, why_size, "must be between %s and %s", low, high);
	return RC_PROTO;
}

enum rc config_value_set(struct config_value *value,
    const struct config_option *option, const char *text, char *why,
    size_t why_size)
{
	struct config_value fresh = { 0 };
	enum rc rc = convert(&fresh, option, text);

	if (rc != RC_OK) {
		(void)snprintf(
		    why, why_size, "must be %s", expectation(option));
		return RC_PROTO;
	}
	rc = check_range(&fresh, option, why, why_size);
	if (rc != RC_OK)
		return rc;
	fresh.text = xstrdup(text);
	config_value_fini(value);
	*value = fresh;
	return RC_OK;
}

void config_value_fini(struct config_value *value)
{
	/* A secret must not stay in freed memory. */
	if (value->text != NULL)
		explicit_bzero(value->text, strlen(value->text));
	free(value->block);
	free((void *)value->items);
	free(value->text);
	free(value->origin);
	memset(value, 0, sizeof(*value));
}

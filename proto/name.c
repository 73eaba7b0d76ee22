#include "proto/name.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS  "0123456789"

static_assert(
    PATH_SIZE == PATH_NAMES_MAX * NAME_SIZE, "each name with a slash or NUL");

static const char hex_digits[] = "0123456789abcdef";

static bool is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* 1 to max characters of rest, the first of them of first. */
static bool matches(
    const char *text, const char *first, const char *rest, size_t max)
{
	size_t len = 0;

	if (!is_one_of(text[0], first))
		return false;
	while (len <= max && is_one_of(text[len], rest))
		len++;
	return len <= max && text[len] == '\0';
}

bool name_is_valid(const char *text)
{
	return matches(
	    text, LETTERS DIGITS, LETTERS DIGITS "._-", NAME_LEN_MAX);
}

bool version_is_valid(const char *text)
{
	return matches(
	    text, LETTERS DIGITS, LETTERS DIGITS "._+-", NAME_LEN_MAX);
}

bool variable_is_valid(const char *text)
{
	return matches(
	    text, LETTERS "_", LETTERS DIGITS "_.:-", VARIABLE_SIZE - 1);
}

bool user_is_valid(const char *text)
{
	return matches(
	    text, LETTERS DIGITS "_", LETTERS DIGITS "._-", USER_SIZE - 1);
}

bool task_is_valid(const char *text)
{
	return matches(
	    text, LETTERS DIGITS, LETTERS DIGITS "._-/", TASK_SIZE - 1);
}

static bool is_hex(const char *text, size_t digits)
{
	return matches(text, hex_digits, hex_digits, digits) &&
	       strlen(text) == digits;
}

bool id_is_valid(const char *text)
{
	return is_hex(text, ID_SIZE - 1);
}

bool digest_is_valid(const char *text)
{
	return is_hex(text, DIGEST_SIZE - 1);
}

enum rc name_check(const char *what, const char *text, struct fault *fault)
{
	if (name_is_valid(text))
		return RC_OK;
	fault_set(fault, REASON_BAD_CONFIG, NULL,
	    "%s: '%.80s' is not a name: use " NAME_RULE, what, text);
	return RC_PROTO;
}

void hex_format(const uint8_t *bytes, size_t len, char *out)
{
	for (size_t i = 0; i < len; i++) {
		out[2 * i] = hex_digits[bytes[i] >> 4];
		out[2 * i + 1] = hex_digits[bytes[i] & 15];
	}
	out[2 * len] = '\0';
}

enum rc hex_parse(const char *text, uint8_t *bytes, size_t len)
{
	if (len == 0 || !is_hex(text, 2 * len))
		return RC_PROTO;
	for (size_t i = 0; i < len; i++) {
		const char *high = strchr(hex_digits, text[2 * i]);
		const char *low = strchr(hex_digits, text[2 * i + 1]);

		bytes[i] =
		    (uint8_t)((high - hex_digits) << 4 | (low - hex_digits));
	}
	return RC_OK;
}

/* len < size. */
static void copy_text(char *out, const char *text, size_t len)
{
	memcpy(out, text, len);
	out[len] = '\0';
}

/* The text behind a prefix, or NULL. */
static const char *behind(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

enum rc target_parse(const char *text, struct target *out, struct fault *fault)
{
	struct target t = { .kind = TARGET_SERVER };
	const char *machine = behind(text, "machine/");
	const char *relay = behind(text, "relay/");
	bool ok;

	if (machine != NULL) {
		t.kind = TARGET_MACHINE;
		ok = id_is_valid(machine);
	} else if (relay != NULL) {
		t.kind = TARGET_RELAY;
		ok = name_is_valid(relay);
	} else {
		ok = strcmp(text, "server") == 0;
	}
	if (!ok) {
		fault_set(fault, REASON_BAD_CONFIG, NULL,
		    "'%.80s' is not a target: use machine/<32 hex digits>, "
		    "relay/<name> or server",
		    text);
		return RC_PROTO;
	}
	if (t.kind != TARGET_SERVER) {
		const char *name = machine != NULL ? machine : relay;

		copy_text(t.name, name, strlen(name));
	}
	*out = t;
	return RC_OK;
}

bool target_is_valid(const char *text)
{
	struct target ignored;

	return target_parse(text, &ignored, NULL) == RC_OK;
}

void target_format(const struct target *target, char out[TARGET_SIZE])
{
	switch (target->kind) {
	case TARGET_SERVER:
		(void)snprintf(out, TARGET_SIZE, "server");
		break;
	case TARGET_RELAY:
		(void)snprintf(out, TARGET_SIZE, "relay/%s", target->name);
		break;
	case TARGET_MACHINE:
		(void)snprintf(out, TARGET_SIZE, "machine/%s", target->name);
		break;
	}
}

enum rc path_append(struct path *path, const char *name)
{
	if (!name_is_valid(name))
		return RC_PROTO;
	if (path_has(path, name))
		return RC_EXISTS;
	if (path->count >= PATH_NAMES_MAX)
		return RC_LIMIT;
	copy_text(path->names[path->count], name, strlen(name));
	path->count++;
	return RC_OK;
}

static enum rc path_fault(struct fault *fault, enum rc rc, const char *name)
{
	if (rc == RC_EXISTS)
		fault_set(fault, REASON_BAD_CONFIG, NULL,
		    "path: relay '%s' is in it twice", name);
	else if (rc == RC_LIMIT)
		fault_set(fault, REASON_BAD_CONFIG, NULL,
		    "path: more than %d relays", PATH_NAMES_MAX);
	else
		fault_set(fault, REASON_BAD_CONFIG, NULL,
		    "path: '%.80s' is not a relay's name: use " NAME_RULE,
		    name);
	return rc;
}

enum rc path_parse(const char *text, struct path *out, struct fault *fault)
{
	struct path path = { 0 };

	if (strcmp(text, "direct") == 0) {
		*out = path;
		return RC_OK;
	}
	for (;;) {
		/* One more than fits, so that a longer one is no name. */
		char name[NAME_SIZE + 1];
		const char *slash = strchr(text, '/');
		size_t len =
		    slash != NULL ? (size_t)(slash - text) : strlen(text);
		enum rc rc;

		copy_text(
		    name, text, len < sizeof(name) ? len : sizeof(name) - 1);
		rc = path_append(&path, name);
		if (rc != RC_OK)
			return path_fault(fault, rc, name);
		if (slash == NULL)
			break;
		text = slash + 1;
	}
	*out = path;
	return RC_OK;
}

void path_format(const struct path *path, char out[PATH_SIZE])
{
	size_t used = 0;

	if (path->count == 0)
		(void)snprintf(out, PATH_SIZE, "direct");
	for (size_t i = 0; i < path->count; i++) {
		size_t len = strlen(path->names[i]);

		if (i > 0)
			out[used++] = '/';
		copy_text(out + used, path->names[i], len);
		used += len;
	}
}

bool path_has(const struct path *path, const char *name)
{
	for (size_t i = 0; i < path->count; i++) {
		if (strcmp(path->names[i], name) == 0)
			return true;
	}
	return false;
}

bool path_shift(struct path *path, char out[NAME_SIZE])
{
	if (path->count == 0)
		return false;
	memcpy(out, path->names[0], NAME_SIZE);
	path->count--;
	memmove(path->names[0], path->names[1], path->count * NAME_SIZE);
	memset(path->names[path->count], 0, NAME_SIZE);
	return true;
}

/* 1 to 65535 in decimal, no sign, no leading zero. */
static bool parse_port(const char *text, uint16_t *out)
{
	uint32_t port = 0;

	if (!matches(text, "123456789", DIGITS, 5))
		return false;
	for (; *text != '\0'; text++)
		port = port * 10 + (uint32_t)(*text - '0');
	if (port > UINT16_MAX)
		return false;
	*out = (uint16_t)port;
	return true;
}

static bool host_is_valid(const char *host, bool bracketed)
{
	if (bracketed)
		return strchr(host, ':') != NULL &&
		       matches(host, ":" DIGITS "abcdefABCDEF",
			   ":." DIGITS "abcdefABCDEF", 45);
	return matches(
	    host, LETTERS DIGITS, LETTERS DIGITS "._-", HOST_SIZE - 1);
}

/* Cut text into host and port; port is NULL when there is none. */
static bool split_endpoint(
    const char *text, const char **host, size_t *host_len, const char **port)
{
	const char *end;

	if (text[0] == '[') {
		end = strchr(text, ']');
		if (end == NULL || (end[1] != ':' && end[1] != '\0'))
			return false;
		*host = text + 1;
		*host_len = (size_t)(end - *host);
		*port = end[1] == ':' ? end + 2 : NULL;
		return true;
	}
	end = strchr(text, ':');
	*host = text;
	*host_len = end != NULL ? (size_t)(end - text) : strlen(text);
	*port = end != NULL ? end + 1 : NULL;
	return true;
}

enum rc endpoint_parse(const char *text, uint16_t default_port,
    struct endpoint *out, struct fault *fault)
{
	struct endpoint e = { .port = default_port };
	const char *host, *port;
	size_t host_len;

	if (!split_endpoint(text, &host, &host_len, &port) ||
	    host_len >= sizeof(e.host))
		goto bad;
	copy_text(e.host, host, host_len);
	if (!host_is_valid(e.host, text[0] == '['))
		goto bad;
	if (port != NULL ? !parse_port(port, &e.port) : default_port == 0)
		goto bad;
	*out = e;
	return RC_OK;
bad:
	fault_set(fault, REASON_BAD_CONFIG, NULL,
	    "'%.80s' is not an address: use host:port or [IPv6 "
	    "address]:port, with a port from 1 to 65535",
	    text);
	return RC_PROTO;
}

bool endpoint_is_valid(const char *text)
{
	struct endpoint ignored;

	return endpoint_parse(text, 0, &ignored, NULL) == RC_OK;
}

void endpoint_format(const struct endpoint *e, char out[ENDPOINT_SIZE])
{
	bool brackets = strchr(e->host, ':') != NULL;

	(void)snprintf(out, ENDPOINT_SIZE, "%s%s%s:%u", brackets ? "[" : "",
	    e->host, brackets ? "]" : "", (unsigned)e->port);
}

static bool read_spiffe(const char *text, struct spiffe *out)
{
	const char *cluster = behind(text, "spiffe://"), *role, *name;
	char role_text[16];

	if (cluster == NULL)
		return false;
	role = strchr(cluster, '/');
	if (role == NULL || role - cluster != ID_SIZE - 1)
		return false;
	copy_text(out->cluster, cluster, ID_SIZE - 1);
	role++;
	name = strchr(role, '/');
	if (name == NULL || (size_t)(name - role) >= sizeof(role_text))
		return false;
	copy_text(role_text, role, (size_t)(name - role));
	name++;
	if (!id_is_valid(out->cluster) || !name_is_valid(name) ||
	    role_parse(role_text, &out->role) != RC_OK)
		return false;
	copy_text(out->name, name, strlen(name));
	return out->role != ROLE_ANONYMOUS &&
	       (out->role != ROLE_TENTACLE || id_is_valid(out->name));
}

enum rc spiffe_parse(const char *text, struct spiffe *out, struct fault *fault)
{
	struct spiffe id = { .role = ROLE_ANONYMOUS };

	if (!read_spiffe(text, &id)) {
		fault_set(fault, REASON_WRONG_IDENTITY, NULL,
		    "'%.120s' is not an identity of a Longarm certificate "
		    "(spiffe://<cluster>/<role>/<name>)",
		    text);
		return RC_PROTO;
	}
	*out = id;
	return RC_OK;
}

void spiffe_format(const struct spiffe *id, char out[SPIFFE_SIZE])
{
	(void)snprintf(out, SPIFFE_SIZE, "spiffe://%s/%s/%s", id->cluster,
	    role_name(id->role), id->name);
}

#include "tentacle/environment.h"

#include "common/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct environment {
	char *list[ENVIRONMENT_MAX + 1]; /* ends with NULL */
	size_t count;
	size_t bytes;
};

enum rc environment_new(struct environment **out)
{
	struct environment *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return RC_NOMEM;
	*out = e;
	return RC_OK;
}

void environment_free(struct environment *e)
{
	if (e == NULL)
		return;
	for (size_t i = 0; i < e->count; i++) {
		secret_wipe(e->list[i], strlen(e->list[i]));
		free(e->list[i]);
	}
	free(e);
}

static bool has(const struct environment *e, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < e->count; i++) {
		if (strncmp(e->list[i], name, len) == 0 &&
		    e->list[i][len] == '=')
			return true;
	}
	return false;
}

static enum rc put(struct environment *e, const char *name, struct bytes value)
{
	size_t name_len = strlen(name);
	size_t size = name_len + value.len + 2;
	char *line;

	if (e->count == ENVIRONMENT_MAX || value.len > ENVIRONMENT_VALUE_MAX ||
	    size > ENVIRONMENT_BYTES_MAX - e->bytes)
		return RC_LIMIT;
	line = malloc(size);
	if (line == NULL)
		return RC_NOMEM;
	memcpy(line, name, name_len);
	line[name_len] = '=';
	if (value.len > 0)
		memcpy(line + name_len + 1, value.p, value.len);
	line[size - 1] = '\0';
	e->list[e->count++] = line;
	e->bytes += size;
	return RC_OK;
}

enum rc environment_set(
    struct environment *e, const char *name, const char *value)
{
	return put(e, name, bytes_text(value));
}

/* With '*' at the end: all that begin so. */
static const char *const refused[] = { "PATH", "HOME", "_", "LONGARM_*", "LD_*",
	"BASH_ENV", "BASH_FUNC_*", "BASHOPTS", "SHELLOPTS", "ENV", "IFS", "PS4",
	"GCONV_PATH", "GLIBC_TUNABLES", "MALLOC_*", "NLSPATH", "LOCPATH",
	"RES_OPTIONS", "HOSTALIASES", "TMPDIR" };

static bool is_refused(const char *name)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		size_t len = strlen(refused[i]);

		if (refused[i][len - 1] == '*') {
			if (strncmp(name, refused[i], len - 1) == 0)
				return true;
		} else if (strcmp(name, refused[i]) == 0) {
			return true;
		}
	}
	return false;
}

/* RC_PROTO: no variable's name. */
static enum rc shell_name(struct bytes given, char *out)
{
	if (given.len >= VARIABLE_SIZE)
		return RC_PROTO;
	if (given.len > 0)
		memcpy(out, given.p, given.len);
	out[given.len] = '\0';
	if (!variable_is_valid(out))
		return RC_PROTO;
	for (char *c = out; *c != '\0'; c++) {
		if (*c == '.' || *c == ':' || *c == '-')
			*c = '_';
	}
	return RC_OK;
}

enum rc environment_add(
    struct environment *e, const struct msg_pair *pair, struct fault *fault)
{
	char name[VARIABLE_SIZE];
	enum rc rc = shell_name(pair->name, name);

	if (rc != RC_OK) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "a variable for a script has no valid name");
		return rc;
	}
	if (is_refused(name)) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "variable %s cannot be given to a script: the name is "
		    "reserved; set it in the script",
		    name);
		return RC_DENIED;
	}
	if (has(e, name)) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "two variables become %s in a script's environment", name);
		return RC_EXISTS;
	}
	if (pair->value.len > 0 &&
	    memchr(pair->value.p, 0, pair->value.len) != NULL) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "the value of variable %s holds a NUL byte", name);
		return RC_PROTO;
	}
	rc = put(e, name, pair->value);
	if (rc == RC_LIMIT)
		fault_set(fault, REASON_TOO_MANY, "",
		    "variable %s: more than %d variables, %d bytes in one or "
		    "%d in all",
		    name, ENVIRONMENT_MAX, ENVIRONMENT_VALUE_MAX,
		    ENVIRONMENT_BYTES_MAX);
	return rc;
}

char *const *environment_list(const struct environment *e)
{
	return e->list;
}

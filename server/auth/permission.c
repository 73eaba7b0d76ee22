#include "server/auth/permission.h"

#include <stdio.h>
#include <string.h>

#define WORD_SIZE 32

static const char *const names[PERM_COUNT] = {
	[PERM_STATUS_VIEW] = "status.view",
	[PERM_MACHINE_VIEW] = "machine.view",
	[PERM_MACHINE_EDIT] = "machine.edit",
	[PERM_ENVIRONMENT_EDIT] = "environment.edit",
	[PERM_TOKEN_EDIT] = "token.edit",
	[PERM_PROJECT_VIEW] = "project.view",
	[PERM_PROJECT_EDIT] = "project.edit",
	[PERM_PACKAGE_PUSH] = "package.push",
	[PERM_VARIABLE_VIEW] = "variable.view",
	[PERM_VARIABLE_EDIT] = "variable.edit",
	[PERM_TASK_VIEW] = "task.view",
	[PERM_DEPLOY] = "deploy",
	[PERM_RUN_SCRIPT] = "run.script",
	[PERM_HEALTH_RUN] = "health.run",
	[PERM_APIKEY_EDIT] = "apikey.edit",
	[PERM_AUDIT_VIEW] = "audit.view",
	[PERM_SERVER_ADMIN] = "server.admin",
	[PERM_TASK_APPROVE] = "task.approve",
};

/* Without the audit, which tells who else works here. */
#define PERM_VIEW                                                              \
	(PERM_BIT(PERM_STATUS_VIEW) | PERM_BIT(PERM_MACHINE_VIEW) |            \
	    PERM_BIT(PERM_PROJECT_VIEW) | PERM_BIT(PERM_VARIABLE_VIEW) |       \
	    PERM_BIT(PERM_TASK_VIEW))
#define PERM_DEPLOYER                                                          \
	(PERM_VIEW | PERM_BIT(PERM_PROJECT_EDIT) |                             \
	    PERM_BIT(PERM_PACKAGE_PUSH) | PERM_BIT(PERM_DEPLOY) |              \
	    PERM_BIT(PERM_HEALTH_RUN))

static const struct {
	const char *name;
	permission_set set;
} sets[] = {
	{ "all", PERM_ALL },
	{ "view", PERM_VIEW },
	{ "deployer", PERM_DEPLOYER },
};

const char *permission_name(enum permission p)
{
	return (unsigned)p < PERM_COUNT ? names[p] : "none";
}

enum rc permission_parse(const char *name, enum permission *out)
{
	for (unsigned i = 0; i < PERM_COUNT; i++) {
		if (strcmp(name, names[i]) == 0) {
			*out = (enum permission)i;
			return RC_OK;
		}
	}
	return RC_NOTFOUND;
}

static enum rc add_word(const char *word, permission_set *out)
{
	enum permission p;

	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		if (strcmp(word, sets[i].name) == 0) {
			*out |= sets[i].set;
			return RC_OK;
		}
	}
	if (permission_parse(word, &p) != RC_OK)
		return RC_NOTFOUND;
	*out |= PERM_BIT(p);
	return RC_OK;
}

enum rc permission_set_parse(
    const char *text, permission_set *out, struct fault *fault)
{
	permission_set set = 0;
	char word[WORD_SIZE];

	while (*text != '\0') {
		size_t len = strcspn(text, ",");

		(void)snprintf(word, sizeof(word), "%.*s",
		    (int)(len < sizeof(word) ? len : sizeof(word)), text);
		if (len >= sizeof(word) || add_word(word, &set) != RC_OK) {
			fault_set(fault, REASON_NOT_FOUND, "",
			    "permission %s: there is none of this name; use "
			    "all, view, deployer or names like machine.view",
			    word);
			return RC_NOTFOUND;
		}
		text += len;
		if (*text == ',')
			text++;
	}
	*out = set;
	return RC_OK;
}

void permission_set_format(permission_set set, char *out, size_t size)
{
	size_t used = 0;

	if (size > 0)
		out[0] = '\0';
	for (unsigned i = 0; i < PERM_COUNT; i++) {
		int n;

		if ((set & PERM_BIT(i)) == 0)
			continue;
		n = snprintf(out + used, size - used, "%s%s",
		    used == 0 ? "" : ",", names[i]);
		if (n < 0 || (size_t)n >= size - used)
			return;
		used += (size_t)n;
	}
}

/* variables.c - names and sets of variables; resolving is in resolve.c. */
#include "server/process/variables.h"

#include "common/secret.h"
#include "proto/name.h"

#include <stdlib.h>
#include <string.h>

static const char *const built_in[] = { "Deployment", "Environment", "Machine",
	"Project", "Release", "Role", "Task", "Version" };

bool variable_name_is_valid(const char *name)
{
	return variable_is_valid(name);
}

bool variable_name_is_built_in(const char *name)
{
	for (size_t i = 0; i < sizeof(built_in) / sizeof(built_in[0]); i++) {
		if (strcmp(built_in[i], name) == 0)
			return true;
	}
	return false;
}

static void variable_fini(struct variable *v)
{
	if (v->value != NULL)
		secret_wipe(v->value, strlen(v->value));
	free(v->name);
	free(v->value);
	free(v->environment);
	free(v->machine);
	free(v->role);
	*v = (struct variable){ .name = NULL };
}

/* *out NULL for NULL. */
static bool copy_text(const char *text, char **out)
{
	*out = text != NULL ? strdup(text) : NULL;
	return text == NULL || *out != NULL;
}

static bool copy_variable(const struct variable *from, struct variable *to)
{
	bool ok;

	*to = (struct variable){ .sensitive = from->sensitive,
		.wrapped = from->wrapped,
		.line = from->line };
	ok = copy_text(from->name, &to->name);
	ok = copy_text(from->value, &to->value) && ok;
	ok = copy_text(from->environment, &to->environment) && ok;
	ok = copy_text(from->machine, &to->machine) && ok;
	ok = copy_text(from->role, &to->role) && ok;
	if (!ok)
		variable_fini(to);
	return ok;
}

static enum rc check(const struct variable *v, struct fault *fault)
{
	if (v->name == NULL || !variable_name_is_valid(v->name)) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "'%.40s' is no name for a variable: use 1 to %u letters, "
		    "digits and _ . : -, beginning with a letter or _",
		    v->name != NULL ? v->name : "", VARIABLE_NAME_MAX);
		return RC_PROTO;
	}
	if (variable_name_is_built_in(v->name)) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "%s is set by Longarm itself; choose another name",
		    v->name);
		return RC_PROTO;
	}
	if (v->value != NULL && strlen(v->value) > VARIABLE_VALUE_MAX) {
		fault_set(fault, REASON_TOO_MANY, "",
		    "the value of %s is longer than %zu bytes; put it in the "
		    "package or a file",
		    v->name, VARIABLE_VALUE_MAX);
		return RC_PROTO;
	}
	return RC_OK;
}

enum rc variable_set_add(struct variable_set *set,
    const struct variable *variable, struct fault *fault)
{
	struct variable *items;
	enum rc rc = check(variable, fault);

	if (rc != RC_OK)
		return rc;
	if (set->count >= VARIABLES_MAX) {
		fault_set(fault, REASON_TOO_MANY, "",
		    "more than %u variables; the limit counts each scope",
		    VARIABLES_MAX);
		return RC_LIMIT;
	}
	items = realloc(set->items, (set->count + 1) * sizeof(*items));
	if (items == NULL)
		return RC_NOMEM;
	set->items = items;
	if (!copy_variable(variable, &items[set->count]))
		return RC_NOMEM;
	set->count++;
	return RC_OK;
}

enum rc variable_set_join(struct variable_set *set,
    const struct variable_set *other, struct fault *fault)
{
	size_t before = set->count;

	for (size_t i = 0; i < other->count; i++) {
		enum rc rc = variable_set_add(set, &other->items[i], fault);

		if (rc == RC_OK)
			continue;
		while (set->count > before)
			variable_fini(&set->items[--set->count]);
		return rc;
	}
	return RC_OK;
}

void variable_set_clear(struct variable_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		variable_fini(&set->items[i]);
	free(set->items);
	*set = (struct variable_set){ .items = NULL };
}

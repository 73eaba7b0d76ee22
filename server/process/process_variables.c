/* process_variables.c - the reader of `variables:`. */
#include "server/process/process_read.h"

#include <stdlib.h>
#include <string.h>

enum value_key {
	VALUE_VALUE,
	VALUE_SENSITIVE,
	VALUE_SCOPE,
	VALUE_COUNT
};

static const char *const value_names[VALUE_COUNT] = {
	[VALUE_VALUE] = "value",
	[VALUE_SENSITIVE] = "sensitive",
	[VALUE_SCOPE] = "scope",
};

enum scope_key {
	SCOPE_ENVIRONMENT,
	SCOPE_MACHINE,
	SCOPE_ROLE,
	SCOPE_COUNT
};

static const char *const scope_names[SCOPE_COUNT] = {
	[SCOPE_ENVIRONMENT] = "environment",
	[SCOPE_MACHINE] = "machine",
	[SCOPE_ROLE] = "role",
};

/* A value may be empty, unlike other texts. */
static enum rc read_value(
    struct yaml_file *y, const yaml_node_t *node, char **out)
{
	if (node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0) {
		*out = strdup("");
		return *out != NULL ? RC_OK : RC_NOMEM;
	}
	return read_copy(y, node, "value", VARIABLE_VALUE_MAX, out);
}

static enum rc read_scope(
    struct yaml_file *y, const yaml_node_t *node, struct variable *v)
{
	static const struct yaml_keys keys = {
		.what = "a scope", .names = scope_names, .count = SCOPE_COUNT
	};
	const yaml_node_t *values[SCOPE_COUNT];
	char **const parts[SCOPE_COUNT] = {
		[SCOPE_ENVIRONMENT] = &v->environment,
		[SCOPE_MACHINE] = &v->machine,
		[SCOPE_ROLE] = &v->role,
	};
	enum rc rc = yaml_file_map(y, node, &keys, values);

	for (size_t i = 0; i < SCOPE_COUNT && rc == RC_OK; i++) {
		if (values[i] != NULL)
			rc = read_name(y, values[i], scope_names[i], parts[i]);
	}
	return rc;
}

static enum rc read_fields(
    struct yaml_file *y, const yaml_node_t *node, struct variable *v)
{
	static const struct yaml_keys keys = {
		.what = "a variable", .names = value_names, .count = VALUE_COUNT
	};
	const yaml_node_t *values[VALUE_COUNT];
	enum rc rc = yaml_file_map(y, node, &keys, values);

	if (rc == RC_OK && values[VALUE_SENSITIVE] != NULL)
		rc = read_flag(
		    y, values[VALUE_SENSITIVE], "sensitive", &v->sensitive);
	if (rc == RC_OK && values[VALUE_SCOPE] != NULL)
		rc = read_scope(y, values[VALUE_SCOPE], v);
	if (rc != RC_OK)
		return rc;
	if (v->sensitive && values[VALUE_VALUE] != NULL)
		return yaml_file_fail(y, values[VALUE_VALUE],
		    "%s is sensitive: keep its value out of this file and set "
		    "it with longarm variable set",
		    v->name);
	if (values[VALUE_VALUE] != NULL)
		return read_value(y, values[VALUE_VALUE], &v->value);
	if (!v->sensitive)
		return yaml_file_fail(
		    y, node, "%s needs `value:` or `sensitive: true`", v->name);
	return RC_OK;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool is_there(const struct variable_set *set, const struct variable *v)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct variable *other = &set->items[i];

		if (strcmp(other->name, v->name) == 0 &&
		    same_text(other->environment, v->environment) &&
		    same_text(other->machine, v->machine) &&
		    same_text(other->role, v->role))
			return true;
	}
	return false;
}

/* One value of one name: a plain text, or its fields. */
static enum rc read_one(struct yaml_file *y, char *name,
    const yaml_node_t *node, struct variable_set *out)
{
	struct variable v = { .name = name, .line = yaml_node_line(node) };
	struct fault why = { .code = REASON_NONE };
	enum rc rc;

	if (node->type == YAML_SCALAR_NODE)
		rc = read_value(y, node, &v.value);
	else
		rc = read_fields(y, node, &v);
	if (rc != RC_OK)
		goto out;
	if (is_there(out, &v)) {
		rc = yaml_file_fail(
		    y, node, "%s has a value for the same scope already", name);
		goto out;
	}
	rc = variable_set_add(out, &v, &why);
	if (rc == RC_PROTO || rc == RC_LIMIT)
		rc = yaml_file_fail(y, node, "%s", why.text);
out:
	free(v.value);
	free(v.environment);
	free(v.machine);
	free(v.role);
	return rc;
}

static enum rc read_values(struct yaml_file *y, char *name,
    const yaml_node_t *node, struct variable_set *out)
{
	size_t count = yaml_node_count(node);
	enum rc rc = RC_OK;

	if (node->type != YAML_SEQUENCE_NODE)
		return read_one(y, name, node, out);
	if (count == 0)
		return yaml_file_fail(y, node, "%s has no value", name);
	for (size_t i = 0; i < count && rc == RC_OK; i++)
		rc = read_one(y, name,
		    yaml_file_node(y, node->data.sequence.items.start[i]), out);
	return rc;
}

static bool has_name(const struct variable_set *set, const char *name)
{
	for (size_t i = 0; i < set->count; i++) {
		if (strcmp(set->items[i].name, name) == 0)
			return true;
	}
	return false;
}

enum rc read_variables(
    struct yaml_file *y, const yaml_node_t *node, struct variable_set *out)
{
	const yaml_node_pair_t *pair;
	enum rc rc = RC_OK;

	if (node->type != YAML_MAPPING_NODE)
		return yaml_file_fail(
		    y, node, "variables must be `Name: value` lines");
	for (pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top && rc == RC_OK; pair++) {
		const yaml_node_t *key = yaml_file_node(y, pair->key);
		char *name = NULL;

		rc = read_copy(y, key, "a variable's name", 200, &name);
		if (rc == RC_OK && has_name(out, name))
			rc = yaml_file_fail(y, key,
			    "'%.70s' is there twice; give its values as a list",
			    name);
		if (rc == RC_OK)
			rc = read_values(
			    y, name, yaml_file_node(y, pair->value), out);
		free(name);
	}
	return rc;
}

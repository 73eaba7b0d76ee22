/* process.c - a process file as a whole; steps are in process_steps.c. */
#include "server/process/process.h"

#include "common/nearest.h"
#include "proto/name.h"
#include "server/process/process_read.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum rc read_copy(struct yaml_file *y, const yaml_node_t *node, const char *key,
    size_t max, char **out)
{
	const char *text;
	enum rc rc = yaml_file_text(y, node, key, max, &text);

	if (rc != RC_OK)
		return rc;
	*out = strdup(text);
	return *out != NULL ? RC_OK : RC_NOMEM;
}

enum rc read_name(
    struct yaml_file *y, const yaml_node_t *node, const char *key, char **out)
{
	const char *text;
	enum rc rc = yaml_file_text(y, node, key, PROCESS_TEXT_MAX, &text);

	if (rc != RC_OK)
		return rc;
	if (!name_is_valid(text))
		return yaml_file_fail(
		    y, node, "%s '%.70s' is not a name: " NAME_RULE, key, text);
	*out = strdup(text);
	return *out != NULL ? RC_OK : RC_NOMEM;
}

enum rc read_line(struct yaml_file *y, const yaml_node_t *node, const char *key,
    size_t max, char **out)
{
	enum rc rc = read_copy(y, node, key, max, out);

	for (const char *p = *out; rc == RC_OK && *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			rc = yaml_file_fail(
			    y, node, "%s must be one line of text", key);
	}
	return rc;
}

enum rc read_flag(
    struct yaml_file *y, const yaml_node_t *node, const char *key, bool *out)
{
	const char *text;
	enum rc rc;

	if (node == NULL)
		return RC_OK;
	rc = yaml_file_text(y, node, key, 10, &text);
	if (rc != RC_OK)
		return rc;
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return yaml_file_fail(
		    y, node, "%s must be true or false, not '%s'", key, text);
	*out = text[0] == 't';
	return RC_OK;
}

enum rc read_duration(struct yaml_file *y, const yaml_node_t *node,
    const char *key, uint64_t *out)
{
	const char *text;
	enum rc rc;

	if (node == NULL)
		return RC_OK;
	rc = yaml_file_text(y, node, key, 20, &text);
	if (rc == RC_OK && process_duration_parse(text, out) != RC_OK)
		rc = yaml_file_fail(y, node,
		    "%s '%s' is not a time from 1s to 7d, such as 90s, 5m or "
		    "2h",
		    key, text);
	return rc;
}

void text_list_clear(struct text_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct text_list){ .items = NULL };
}

bool text_list_has(const struct text_list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i], text) == 0)
			return true;
	}
	return false;
}

static enum rc read_item(struct yaml_file *y, const yaml_node_t *node,
    const char *key, bool names, struct text_list *out)
{
	char *text = NULL;
	enum rc rc;

	if (names)
		rc = read_name(y, node, key, &text);
	else
		rc = read_copy(y, node, key, PROCESS_TEXT_MAX, &text);
	if (rc != RC_OK)
		return rc;
	if (text_list_has(out, text)) {
		rc = yaml_file_fail(y, node, "'%.70s' is there twice", text);
		free(text);
		return rc;
	}
	out->items[out->count++] = text;
	return RC_OK;
}

enum rc read_list(struct yaml_file *y, const yaml_node_t *node, const char *key,
    bool names, struct text_list *out)
{
	bool one = node->type == YAML_SCALAR_NODE;
	size_t count = one ? 1 : yaml_node_count(node);
	enum rc rc = RC_OK;

	if (node->type == YAML_MAPPING_NODE || count == 0 ||
	    count > PROCESS_LIST_MAX)
		return yaml_file_fail(y, node,
		    "%s must be a list of 1 to %u texts", key,
		    PROCESS_LIST_MAX);
	out->items = calloc(count, sizeof(char *));
	if (out->items == NULL)
		return RC_NOMEM;
	if (one)
		return read_item(y, node, key, names, out);
	for (size_t i = 0; i < count && rc == RC_OK; i++)
		rc = read_item(y,
		    yaml_file_node(y, node->data.sequence.items.start[i]), key,
		    names, out);
	return rc;
}

enum top_key {
	TOP_PROJECT,
	TOP_PACKAGE,
	TOP_PACKAGES,
	TOP_GUIDED,
	TOP_TIME_LIMIT,
	TOP_STEPS,
	TOP_VARIABLES,
	TOP_COUNT
};

static const char *const top_names[TOP_COUNT] = {
	[TOP_PROJECT] = "project",
	[TOP_PACKAGE] = "package",
	[TOP_PACKAGES] = "packages",
	[TOP_GUIDED] = "guided",
	[TOP_TIME_LIMIT] = "time_limit",
	[TOP_STEPS] = "steps",
	[TOP_VARIABLES] = "variables",
};

static enum rc read_packages(
    struct yaml_file *y, const yaml_node_t **top, struct process *process)
{
	if (top[TOP_PACKAGE] != NULL && top[TOP_PACKAGES] != NULL)
		return yaml_file_fail(
		    y, top[TOP_PACKAGES], "say either `package` or `packages`");
	if (top[TOP_PACKAGE] != NULL)
		return read_list(
		    y, top[TOP_PACKAGE], "package", true, &process->packages);
	if (top[TOP_PACKAGES] != NULL)
		return read_list(
		    y, top[TOP_PACKAGES], "packages", true, &process->packages);
	return RC_OK;
}

static enum rc read_steps(
    struct yaml_file *y, const yaml_node_t *node, struct process *process)
{
	size_t count = yaml_node_count(node);

	if (node->type != YAML_SEQUENCE_NODE || count == 0 ||
	    count > PROCESS_BLOCKS_MAX)
		return yaml_file_fail(y, node,
		    "steps must be a list of 1 to %u steps, each beginning "
		    "with `- name:`",
		    PROCESS_BLOCKS_MAX);
	process->blocks = calloc(count, sizeof(*process->blocks));
	if (process->blocks == NULL)
		return RC_NOMEM;
	while (process->block_count < count) {
		const yaml_node_t *item = yaml_file_node(
		    y, node->data.sequence.items.start[process->block_count]);
		struct process_block *block =
		    &process->blocks[process->block_count++];
		enum rc rc = read_block(y, item, process, block);

		if (rc != RC_OK)
			return rc;
		for (const struct process_block *other = process->blocks;
		     other < block; other++) {
			if (strcmp(other->name, block->name) == 0)
				return yaml_file_fail(y, item,
				    "there is a step named '%s' already in "
				    "line %u",
				    block->name, other->line);
		}
		if (block->approve != NULL && process->block_count == count)
			return yaml_file_fail(y, item,
			    "'%s' asks for an approval, but no step comes "
			    "after it",
			    block->name);
	}
	return RC_OK;
}

static enum rc read_top(struct yaml_file *y, struct process *process)
{
	static const struct yaml_keys keys = {
		.what = "a process file", .names = top_names, .count = TOP_COUNT
	};
	const yaml_node_t *top[TOP_COUNT], *root = yaml_file_root(y);
	enum rc rc;

	if (root == NULL) {
		fault_set(y->fault, REASON_BAD_CONFIG, "",
		    "%s:1:1: the file is empty; it needs `project:` and "
		    "`steps:`",
		    y->name);
		return RC_PROTO;
	}
	rc = yaml_file_map(y, root, &keys, top);
	if (rc != RC_OK)
		return rc;
	if (top[TOP_PROJECT] == NULL || top[TOP_STEPS] == NULL)
		return yaml_file_fail(y, root, "`%s:` is missing",
		    top_names[top[TOP_PROJECT] == NULL ? TOP_PROJECT
						       : TOP_STEPS]);
	rc = read_name(y, top[TOP_PROJECT], "project", &process->project);
	if (rc == RC_OK)
		rc = read_packages(y, top, process);
	if (rc == RC_OK)
		rc = read_flag(y, top[TOP_GUIDED], "guided", &process->guided);
	if (rc == RC_OK)
		rc = read_duration(y, top[TOP_TIME_LIMIT], "time_limit",
		    &process->time_limit_ms);
	if (rc == RC_OK)
		rc = read_steps(y, top[TOP_STEPS], process);
	if (rc == RC_OK && top[TOP_VARIABLES] != NULL)
		rc = read_variables(y, top[TOP_VARIABLES], &process->variables);
	return rc;
}

enum rc process_parse(const char *file, const char *text, size_t len,
    struct process **out, struct fault *fault)
{
	static const struct yaml_limits limits = { .bytes = PROCESS_BYTES_MAX,
		.depth = PROCESS_DEPTH_MAX,
		.nodes = PROCESS_NODES_MAX };
	struct yaml_file y = { .name = file, .fault = fault };
	struct process *process;
	enum rc rc = yaml_file_load(&y, text, len, &limits);

	if (rc != RC_OK)
		return rc;
	process = calloc(1, sizeof(*process));
	if (process == NULL) {
		rc = RC_NOMEM;
		goto out;
	}
	rc = read_top(&y, process);
	if (rc != RC_OK)
		goto out;
	*out = process;
	process = NULL; /* now the caller's */
out:
	process_free(process);
	yaml_file_fini(&y);
	return rc;
}

void process_free(struct process *process)
{
	if (process == NULL)
		return;
	for (size_t i = 0; i < process->block_count; i++)
		process_block_fini(&process->blocks[i]);
	free(process->blocks);
	free(process->project);
	text_list_clear(&process->packages);
	variable_set_clear(&process->variables);
	free(process);
}

enum rc process_script_body(
    const char *text, const char *interpreter, char **out)
{
	size_t size = strlen(text) + 512;
	char *body;

	if (strncmp(text, "#!", 2) == 0) {
		*out = strdup(text);
		return *out != NULL ? RC_OK : RC_NOMEM;
	}
	body = malloc(size);
	if (body == NULL)
		return RC_NOMEM;
	(void)snprintf(body, size, "#!%.400s\n%s",
	    interpreter != NULL ? interpreter : "/bin/sh -e", text);
	*out = body;
	return RC_OK;
}

enum rc process_duration_parse(const char *text, uint64_t *out_ms)
{
	static const struct {
		const char *unit;
		uint64_t seconds;
	} units[] = { { "", 1 }, { "s", 1 }, { "m", 60 }, { "h", 3600 },
		{ "d", UINT64_C(24) * 3600 } };
	uint64_t n = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++) {
		n = n * 10 + (uint64_t)(*p - '0');
		if (n > PROCESS_TIMEOUT_MAX_S)
			return RC_PROTO;
	}
	if (p == text || n == 0)
		return RC_PROTO;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(p, units[i].unit) != 0)
			continue;
		n *= units[i].seconds;
		if (n > PROCESS_TIMEOUT_MAX_S)
			return RC_PROTO;
		*out_ms = n * 1000;
		return RC_OK;
	}
	return RC_PROTO;
}

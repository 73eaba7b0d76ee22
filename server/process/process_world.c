/* process_world.c - the reader of a step's user, limits and lock. */
#include "server/process/process_read.h"

#include "common/config.h"

#include <stdio.h>
#include <string.h>

static enum rc read_word(struct yaml_file *y, const yaml_node_t *node,
    const char *key, char *out, size_t size)
{
	const char *text;
	enum rc rc;

	if (node == NULL)
		return RC_OK;
	rc = yaml_file_text(y, node, key, size - 1, &text);
	if (rc == RC_OK)
		(void)snprintf(out, size, "%s", text);
	return rc;
}

static enum rc read_memory(
    struct yaml_file *y, const yaml_node_t *node, uint64_t *out)
{
	const char *text;
	int64_t bytes;
	enum rc rc;

	if (node == NULL)
		return RC_OK;
	rc = yaml_file_text(y, node, "memory", 24, &text);
	if (rc != RC_OK)
		return rc;
	if (config_parse_size(text, &bytes) != RC_OK || bytes <= 0)
		return yaml_file_fail(y, node,
		    "memory '%s' is not a size, such as 256MiB or 2GiB", text);
	*out = (uint64_t)bytes;
	return RC_OK;
}

static enum rc read_processes(
    struct yaml_file *y, const yaml_node_t *node, uint32_t *out)
{
	enum rc rc;

	if (node == NULL)
		return RC_OK;
	rc = yaml_file_number(y, node, "processes", WORLD_PROCESSES_MAX, out);
	if (rc == RC_OK && *out == 0)
		rc = yaml_file_fail(y, node, "processes must be at least 1");
	return rc;
}

/* A name, or {name: x, shared: true}. */
static enum rc read_lock(
    struct yaml_file *y, const yaml_node_t *node, struct script_world *out)
{
	static const char *const names[] = { "name", "shared" };
	static const struct yaml_keys keys = {
		.what = "a lock", .names = names, .count = 2
	};
	const yaml_node_t *values[2] = { node, NULL };
	enum rc rc = RC_OK;

	if (node == NULL)
		return RC_OK;
	if (node->type == YAML_MAPPING_NODE)
		rc = yaml_file_map(y, node, &keys, values);
	if (rc == RC_OK && values[0] == NULL)
		rc = yaml_file_fail(y, node, "a lock needs a `name:`");
	if (rc == RC_OK)
		rc = read_word(
		    y, values[0], "lock", out->lock, sizeof(out->lock));
	return rc == RC_OK
	           ? read_flag(y, values[1], "shared", &out->lock_shared)
	           : rc;
}

enum rc read_world(struct yaml_file *y, const yaml_node_t *step,
    const struct world_nodes *nodes, struct script_world *out)
{
	struct fault why;
	enum rc rc =
	    read_word(y, nodes->user, "user", out->user, sizeof(out->user));

	if (rc == RC_OK)
		rc = read_memory(y, nodes->memory, &out->memory);
	if (rc == RC_OK)
		rc = read_processes(y, nodes->processes, &out->processes);
	if (rc == RC_OK)
		rc = read_lock(y, nodes->lock, out);
	if (rc == RC_OK && script_world_check(out, &why) != RC_OK)
		rc = yaml_file_fail(y, step, "%s", why.text);
	return rc;
}

/* process_steps.c - the reader of `steps:`: blocks and their steps. */
#include "server/process/process_read.h"

#include "common/nearest.h"

#include <stdlib.h>
#include <string.h>

enum step_key {
	STEP_NAME,
	STEP_RUN,
	STEP_DEPLOY,
	STEP_PACKAGE,
	STEP_CONFIGURE,
	STEP_BEFORE,
	STEP_AFTER,
	STEP_TIMEOUT,
	STEP_RERUN_SAFE,
	STEP_RETRIES,
	STEP_INTERPRETER,
	STEP_USER,
	STEP_MEMORY,
	STEP_PROCESSES,
	STEP_LOCK,
	STEP_APPROVE,
	STEP_ROLES,
	STEP_ROLLING,
	STEP_MAX_FAILURES,
	STEP_STEPS,
	STEP_COUNT
};

static const char *const step_names[STEP_COUNT] = {
	[STEP_NAME] = "name",
	[STEP_RUN] = "run",
	[STEP_DEPLOY] = "deploy",
	[STEP_PACKAGE] = "package",
	[STEP_CONFIGURE] = "configure",
	[STEP_BEFORE] = "before",
	[STEP_AFTER] = "after",
	[STEP_TIMEOUT] = "timeout",
	[STEP_RERUN_SAFE] = "rerun-safe",
	[STEP_RETRIES] = "retries",
	[STEP_INTERPRETER] = "interpreter",
	[STEP_USER] = "user",
	[STEP_MEMORY] = "memory",
	[STEP_PROCESSES] = "processes",
	[STEP_LOCK] = "lock",
	[STEP_APPROVE] = "approve",
	[STEP_ROLES] = "roles",
	[STEP_ROLLING] = "rolling",
	[STEP_MAX_FAILURES] = "max_failures",
	[STEP_STEPS] = "steps",
};

/* Only in a block or in a step that is a block of its own. */
static bool is_block_key(size_t key)
{
	return key == STEP_APPROVE || key == STEP_ROLES ||
	       key == STEP_ROLLING || key == STEP_MAX_FAILURES ||
	       key == STEP_STEPS;
}

static bool is_deploy_key(size_t key)
{
	return key == STEP_CONFIGURE || key == STEP_BEFORE || key == STEP_AFTER;
}

static enum rc read_map(
    struct yaml_file *y, const yaml_node_t *node, const yaml_node_t **values)
{
	static const struct yaml_keys keys = {
		.what = "a step", .names = step_names, .count = STEP_COUNT
	};
	enum rc rc = yaml_file_map(y, node, &keys, values);

	if (rc == RC_OK && values[STEP_NAME] == NULL)
		rc = yaml_file_fail(y, node, "a step needs a `name:`");
	return rc;
}

/* It becomes the first line of the script: one line, an absolute path. */
static enum rc read_interpreter(
    struct yaml_file *y, const yaml_node_t *node, char **out)
{
	enum rc rc;

	if (node == NULL)
		return RC_OK;
	rc = read_copy(y, node, "interpreter", PROCESS_INTERPRETER_MAX, out);
	if (rc == RC_OK && ((*out)[0] != '/' || strpbrk(*out, "\n\r") != NULL))
		rc = yaml_file_fail(y, node,
		    "interpreter must be an absolute path, such as "
		    "/usr/bin/python3");
	return rc;
}

static enum rc read_package(struct yaml_file *y, const yaml_node_t *node,
    const struct process *process, const char *key, char **out)
{
	struct nearest nearest;
	const char *other;
	enum rc rc = read_name(y, node, key, out);

	if (rc != RC_OK || text_list_has(&process->packages, *out))
		return rc;
	nearest_init(&nearest, *out);
	for (size_t i = 0; i < process->packages.count; i++)
		nearest_consider(&nearest, process->packages.items[i]);
	other = nearest_name(&nearest);
	if (other != NULL)
		return yaml_file_fail(y, node,
		    "'%s' is not a package of this project; did you mean "
		    "'%s'?",
		    *out, other);
	return yaml_file_fail(y, node,
	    "'%s' is not a package of this project; name it in `packages:`",
	    *out);
}

/* A directory for the script: what it says, else the first package's. */
static enum rc read_directory(struct yaml_file *y, const yaml_node_t *node,
    const struct process *process, struct process_step *step)
{
	if (node != NULL)
		return read_package(
		    y, node, process, "package", &step->package);
	if (process->packages.count == 0)
		return RC_OK;
	step->package = strdup(process->packages.items[0]);
	return step->package != NULL ? RC_OK : RC_NOMEM;
}

static enum rc read_run(struct yaml_file *y, const yaml_node_t **values,
    const struct process *process, struct process_step *step)
{
	enum rc rc;

	for (size_t key = 0; key < STEP_COUNT; key++) {
		if (values[key] != NULL && is_deploy_key(key))
			return yaml_file_fail(y, values[key],
			    "`%s` needs `deploy`, not `run`", step_names[key]);
	}
	step->type = PROCESS_STEP_RUN;
	rc = read_copy(
	    y, values[STEP_RUN], "run", PROCESS_SCRIPT_MAX, &step->run);
	if (rc == RC_OK)
		rc = read_directory(y, values[STEP_PACKAGE], process, step);
	return rc;
}

static enum rc read_deploy(struct yaml_file *y, const yaml_node_t **values,
    const struct process *process, struct process_step *step)
{
	enum rc rc;

	if (values[STEP_PACKAGE] != NULL)
		return yaml_file_fail(y, values[STEP_PACKAGE],
		    "`deploy` names the package already");
	step->type = PROCESS_STEP_DEPLOY;
	rc = read_package(
	    y, values[STEP_DEPLOY], process, "deploy", &step->package);
	if (rc == RC_OK && values[STEP_CONFIGURE] != NULL)
		rc = read_list(y, values[STEP_CONFIGURE], "configure", false,
		    &step->configure);
	if (rc == RC_OK && values[STEP_BEFORE] != NULL)
		rc = read_copy(y, values[STEP_BEFORE], "before",
		    PROCESS_HOOK_MAX, &step->before);
	if (rc == RC_OK && values[STEP_AFTER] != NULL)
		rc = read_copy(y, values[STEP_AFTER], "after", PROCESS_HOOK_MAX,
		    &step->after);
	return rc;
}

/* values: of the step's own map. */
static enum rc read_step(struct yaml_file *y, const yaml_node_t *node,
    const yaml_node_t **values, const struct process *process,
    struct process_step *step)
{
	const struct world_nodes nodes = { .user = values[STEP_USER],
		.memory = values[STEP_MEMORY],
		.processes = values[STEP_PROCESSES],
		.lock = values[STEP_LOCK] };
	enum rc rc = read_line(
	    y, values[STEP_NAME], "name", PROCESS_NAME_MAX, &step->name);

	step->timeout_ms = PROCESS_TIMEOUT_MS;
	step->line = yaml_node_line(node);
	if (rc != RC_OK)
		return rc;
	if ((values[STEP_RUN] == NULL) == (values[STEP_DEPLOY] == NULL))
		return yaml_file_fail(y, node,
		    "step '%s' must say either `run:`, `deploy:` or "
		    "`approve:`",
		    step->name);
	rc = read_duration(
	    y, values[STEP_TIMEOUT], "timeout", &step->timeout_ms);
	if (rc == RC_OK)
		rc = read_flag(y, values[STEP_RERUN_SAFE], "rerun-safe",
		    &step->rerun_safe);
	if (rc == RC_OK && values[STEP_RETRIES] != NULL)
		rc = yaml_file_number(y, values[STEP_RETRIES], "retries",
		    PROCESS_RETRIES_MAX, &step->retries);
	if (rc == RC_OK)
		rc = read_interpreter(
		    y, values[STEP_INTERPRETER], &step->interpreter);
	if (rc == RC_OK)
		rc = read_world(y, node, &nodes, &step->world);
	if (rc != RC_OK)
		return rc;
	return values[STEP_RUN] != NULL ? read_run(y, values, process, step)
	                                : read_deploy(y, values, process, step);
}

static enum rc read_inner(struct yaml_file *y, const yaml_node_t *node,
    const struct process *process, struct process_block *block)
{
	const yaml_node_t *values[STEP_COUNT];
	struct process_step *step = &block->steps[block->step_count++];
	enum rc rc = read_map(y, node, values);

	if (rc != RC_OK)
		return rc;
	for (size_t key = 0; key < STEP_COUNT; key++) {
		if (values[key] != NULL && is_block_key(key))
			return yaml_file_fail(y, values[key],
			    "`%s` is for the step around this one",
			    step_names[key]);
	}
	rc = read_step(y, node, values, process, step);
	if (rc != RC_OK)
		return rc;
	for (const struct process_step *other = block->steps; other < step;
	     other++) {
		if (strcmp(other->name, step->name) == 0)
			return yaml_file_fail(y, node,
			    "there is a step named '%s' already in line %u",
			    step->name, other->line);
	}
	return RC_OK;
}

static enum rc read_inner_steps(struct yaml_file *y, const yaml_node_t **values,
    const struct process *process, struct process_block *block)
{
	const yaml_node_t *list = values[STEP_STEPS];
	size_t count = yaml_node_count(list);
	enum rc rc = RC_OK;

	for (size_t key = STEP_RUN; key <= STEP_LOCK; key++) {
		if (values[key] != NULL)
			return yaml_file_fail(y, values[key],
			    "`%s` is for the steps inside, not for the block "
			    "around them",
			    step_names[key]);
	}
	if (list->type != YAML_SEQUENCE_NODE || count == 0 ||
	    count > PROCESS_STEPS_MAX)
		return yaml_file_fail(y, list,
		    "steps must be a list of 1 to %u steps", PROCESS_STEPS_MAX);
	block->steps = calloc(count, sizeof(*block->steps));
	if (block->steps == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < count && rc == RC_OK; i++)
		rc = read_inner(y,
		    yaml_file_node(y, list->data.sequence.items.start[i]),
		    process, block);
	return rc;
}

/* Nothing runs there: a person is asked, and the task waits. */
static enum rc read_approve(struct yaml_file *y, const yaml_node_t **values,
    struct process_block *block)
{
	for (size_t key = 0; key < STEP_COUNT; key++) {
		if (values[key] != NULL && key != STEP_NAME &&
		    key != STEP_APPROVE)
			return yaml_file_fail(y, values[key],
			    "`%s` does not go with `approve`", step_names[key]);
	}
	return read_line(y, values[STEP_APPROVE], "approve",
	    PROCESS_APPROVE_MAX, &block->approve);
}

static enum rc read_rolling(
    struct yaml_file *y, const yaml_node_t *node, uint32_t *out)
{
	const char *text;
	enum rc rc;

	if (node == NULL)
		return RC_OK;
	rc = yaml_file_text(y, node, "rolling", 10, &text);
	if (rc != RC_OK)
		return rc;
	if (strcmp(text, "all") == 0) {
		*out = 0;
		return RC_OK;
	}
	rc = yaml_file_number(y, node, "rolling", PROCESS_ROLLING_MAX, out);
	if (rc == RC_OK && *out == 0)
		rc = yaml_file_fail(
		    y, node, "rolling must be at least 1, or `all`");
	return rc;
}

enum rc read_block(struct yaml_file *y, const yaml_node_t *node,
    const struct process *process, struct process_block *block)
{
	const yaml_node_t *values[STEP_COUNT];
	enum rc rc = read_map(y, node, values);

	if (rc != RC_OK)
		return rc;
	block->line = yaml_node_line(node);
	block->rolling = values[STEP_STEPS] != NULL ? 1 : 0;
	rc = read_line(
	    y, values[STEP_NAME], "name", PROCESS_NAME_MAX, &block->name);
	if (rc == RC_OK && values[STEP_APPROVE] != NULL)
		return read_approve(y, values, block);
	if (rc == RC_OK && values[STEP_ROLES] != NULL)
		rc = read_list(
		    y, values[STEP_ROLES], "roles", true, &block->roles);
	if (rc == RC_OK)
		rc = read_rolling(y, values[STEP_ROLLING], &block->rolling);
	if (rc == RC_OK && values[STEP_MAX_FAILURES] != NULL)
		rc = yaml_file_number(y, values[STEP_MAX_FAILURES],
		    "max_failures", PROCESS_ROLLING_MAX, &block->max_failures);
	if (rc != RC_OK)
		return rc;
	if (values[STEP_STEPS] != NULL)
		return read_inner_steps(y, values, process, block);
	block->steps = calloc(1, sizeof(*block->steps));
	if (block->steps == NULL)
		return RC_NOMEM;
	block->step_count = 1;
	return read_step(y, node, values, process, &block->steps[0]);
}

void process_block_fini(struct process_block *block)
{
	for (size_t i = 0; i < block->step_count; i++) {
		struct process_step *step = &block->steps[i];

		free(step->name);
		free(step->interpreter);
		free(step->package);
		free(step->run);
		free(step->before);
		free(step->after);
		text_list_clear(&step->configure);
	}
	free(block->steps);
	free(block->name);
	free(block->approve);
	text_list_clear(&block->roles);
}

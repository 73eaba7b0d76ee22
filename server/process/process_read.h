/*
 * process_read.h - the parts of the process file's reader.  Only for the .c
 * files of process_parse().
 */
#ifndef SERVER_PROCESS_PROCESS_READ_H
#define SERVER_PROCESS_PROCESS_READ_H

#include "server/process/process.h"
#include "server/process/yaml_file.h"

/* A copy of a text; script: up to PROCESS_SCRIPT_MAX. */
MUST_CHECK enum rc read_copy(struct yaml_file *y, const yaml_node_t *node,
    const char *key, size_t max, char **out);
/* A copy of a name (proto/name.h). */
MUST_CHECK enum rc read_name(
    struct yaml_file *y, const yaml_node_t *node, const char *key, char **out);
/* One line of text for people: no control characters. */
MUST_CHECK enum rc read_line(struct yaml_file *y, const yaml_node_t *node,
    const char *key, size_t max, char **out);
/* true or false; node NULL: *out stays. */
MUST_CHECK enum rc read_flag(
    struct yaml_file *y, const yaml_node_t *node, const char *key, bool *out);
/* "90s", "2h"... in ms; node NULL: *out stays. */
MUST_CHECK enum rc read_duration(struct yaml_file *y, const yaml_node_t *node,
    const char *key, uint64_t *out);
/* A sequence of texts, or one; names: each must be a name.  None twice. */
MUST_CHECK enum rc read_list(struct yaml_file *y, const yaml_node_t *node,
    const char *key, bool names, struct text_list *out);
void text_list_clear(struct text_list *list);
bool text_list_has(const struct text_list *list, const char *text);

/* One entry of the top `steps`.  Freed by process_free() even on error. */
MUST_CHECK enum rc read_block(struct yaml_file *y, const yaml_node_t *node,
    const struct process *process, struct process_block *block);
void process_block_fini(struct process_block *block);

/* What of a step says how its scripts run; each may be NULL. */
struct world_nodes {
	const yaml_node_t *user, *memory, *processes, *lock;
};
MUST_CHECK enum rc read_world(struct yaml_file *y, const yaml_node_t *step,
    const struct world_nodes *nodes, struct script_world *out);

/* The mapping `variables`. */
MUST_CHECK enum rc read_variables(
    struct yaml_file *y, const yaml_node_t *node, struct variable_set *out);

#endif

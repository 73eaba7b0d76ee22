/*
 * yaml_file.h - a YAML file as a tree of nodes with lines, behind limits.
 *
 * Only plain YAML is taken: one document, no anchors, aliases or tags, so that
 * nothing in it can grow.  Every complaint reads "FILE:LINE:COLUMN: what".
 */
#ifndef SERVER_PROCESS_YAML_FILE_H
#define SERVER_PROCESS_YAML_FILE_H

#include "proto/reason.h"

#include <stddef.h>
#include <stdint.h>
#include <yaml.h>

struct yaml_limits {
	size_t bytes;
	uint32_t depth, nodes;
};

struct yaml_file {
	const char *name; /* borrowed; for messages */
	struct fault *fault;
	yaml_document_t document;
};

/* RC_PROTO, RC_NOMEM.  On RC_OK the caller calls yaml_file_fini(). */
MUST_CHECK enum rc yaml_file_load(struct yaml_file *y, const char *text,
    size_t len, const struct yaml_limits *limits);
void yaml_file_fini(struct yaml_file *y);

/* NULL: the document is empty. */
const yaml_node_t *yaml_file_root(struct yaml_file *y);
const yaml_node_t *yaml_file_node(struct yaml_file *y, int id);
/* 1.. */
uint32_t yaml_node_line(const yaml_node_t *node);

/* Fill the fault; returns RC_PROTO. */
enum rc yaml_file_fail(const struct yaml_file *y, const yaml_node_t *node,
    const char *format, ...) PRINTF_LIKE(3, 4);

/*
 * The values of a mapping whose keys all stand in names[0..count-1]; absent
 * ones are NULL.  count is at most 32.  Unknown and repeated keys are refused.
 * what: "a step", for messages.
 */
struct yaml_keys {
	const char *what;
	const char *const *names;
	size_t count;
};
MUST_CHECK enum rc yaml_file_map(struct yaml_file *y, const yaml_node_t *node,
    const struct yaml_keys *keys, const yaml_node_t **values);

/* Text of 1 to max bytes, without NUL; borrowed.  key is for messages. */
MUST_CHECK enum rc yaml_file_text(struct yaml_file *y, const yaml_node_t *node,
    const char *key, size_t max, const char **out);
/* A decimal number from 0 to max. */
MUST_CHECK enum rc yaml_file_number(struct yaml_file *y,
    const yaml_node_t *node, const char *key, uint32_t max, uint32_t *out);
/* How many entries a sequence or mapping has. */
size_t yaml_node_count(const yaml_node_t *node);

#endif

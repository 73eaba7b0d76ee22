#include "server/process/yaml_file.h"

#include "common/nearest.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static enum rc fail_at(
    const struct yaml_file *y, const yaml_mark_t *mark, const char *text)
{
	fault_set(y->fault, REASON_BAD_CONFIG, "", "%s:%zu:%zu: %s", y->name,
	    mark->line + 1, mark->column + 1, text);
	return RC_PROTO;
}

enum rc yaml_file_fail(
    const struct yaml_file *y, const yaml_node_t *node, const char *format, ...)
{
	char text[FAULT_TEXT_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return fail_at(y, &node->start_mark, text);
}

static enum rc parser_failed(
    const struct yaml_file *y, const yaml_parser_t *parser)
{
	yaml_mark_t mark = parser->problem_mark;

	if (parser->error == YAML_MEMORY_ERROR)
		return RC_NOMEM;
	if (parser->error == YAML_READER_ERROR) /* has an offset, no mark */
		mark = parser->mark;
	return fail_at(
	    y, &mark, parser->problem != NULL ? parser->problem : "not YAML");
}

/* What the first pass has seen. */
struct census {
	uint32_t depth, nodes, documents;
};

static enum rc check_node(const struct yaml_file *y, const yaml_event_t *event,
    const unsigned char *anchor, const unsigned char *tag)
{
	if (anchor != NULL)
		return fail_at(y, &event->start_mark,
		    "anchors (&) and aliases (*) are not allowed; quote the "
		    "text if it begins so");
	if (tag != NULL)
		return fail_at(y, &event->start_mark,
		    "tags (!) are not allowed; quote the text if it begins so");
	return RC_OK;
}

static enum rc check_event(const struct yaml_file *y, const yaml_event_t *event,
    const struct yaml_limits *limits, struct census *census)
{
	const yaml_mark_t *mark = &event->start_mark;
	enum rc rc = RC_OK;

	switch (event->type) {
	case YAML_ALIAS_EVENT:
		return check_node(y, event, event->data.alias.anchor, NULL);
	case YAML_SCALAR_EVENT:
		census->nodes++;
		rc = check_node(y, event, event->data.scalar.anchor,
		    event->data.scalar.tag);
		break;
	case YAML_SEQUENCE_START_EVENT:
		census->nodes++;
		census->depth++;
		rc = check_node(y, event, event->data.sequence_start.anchor,
		    event->data.sequence_start.tag);
		break;
	case YAML_MAPPING_START_EVENT:
		census->nodes++;
		census->depth++;
		rc = check_node(y, event, event->data.mapping_start.anchor,
		    event->data.mapping_start.tag);
		break;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		census->depth--;
		break;
	case YAML_DOCUMENT_START_EVENT:
		if (++census->documents > 1)
			return fail_at(y, mark, "only one document is allowed");
		break;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		break;
	}
	if (rc == RC_OK && census->depth > limits->depth)
		rc = fail_at(y, mark, "nested too deep");
	if (rc == RC_OK && census->nodes > limits->nodes)
		rc = fail_at(y, mark, "too many values in one file");
	return rc;
}

/* First pass, event by event: refuses what could hurt the second. */
static enum rc check(const struct yaml_file *y, const char *text, size_t len,
    const struct yaml_limits *limits)
{
	struct census census = { .depth = 0 };
	yaml_parser_t parser;
	yaml_event_t event;
	bool end = false;
	enum rc rc = RC_OK;

	if (yaml_parser_initialize(&parser) == 0)
		return RC_NOMEM;
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	while (rc == RC_OK && !end) {
		if (yaml_parser_parse(&parser, &event) == 0) {
			rc = parser_failed(y, &parser);
			break;
		}
		end = event.type == YAML_STREAM_END_EVENT;
		rc = check_event(y, &event, limits, &census);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return rc;
}

enum rc yaml_file_load(struct yaml_file *y, const char *text, size_t len,
    const struct yaml_limits *limits)
{
	yaml_parser_t parser;
	enum rc rc;

	if (len > limits->bytes) {
		fault_set(y->fault, REASON_TOO_MANY, "",
		    "%s has %zu bytes; at most %zu are allowed", y->name, len,
		    limits->bytes);
		return RC_PROTO;
	}
	rc = check(y, text, len, limits);
	if (rc != RC_OK)
		return rc;
	if (yaml_parser_initialize(&parser) == 0)
		return RC_NOMEM;
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (yaml_parser_load(&parser, &y->document) == 0)
		rc = parser_failed(y, &parser);
	yaml_parser_delete(&parser);
	return rc;
}

void yaml_file_fini(struct yaml_file *y)
{
	yaml_document_delete(&y->document);
}

const yaml_node_t *yaml_file_root(struct yaml_file *y)
{
	return yaml_document_get_root_node(&y->document);
}

const yaml_node_t *yaml_file_node(struct yaml_file *y, int id)
{
	return yaml_document_get_node(&y->document, id);
}

uint32_t yaml_node_line(const yaml_node_t *node)
{
	return (uint32_t)node->start_mark.line + 1;
}

size_t yaml_node_count(const yaml_node_t *node)
{
	if (node->type == YAML_SEQUENCE_NODE)
		return (size_t)(node->data.sequence.items.top -
				node->data.sequence.items.start);
	if (node->type == YAML_MAPPING_NODE)
		return (size_t)(node->data.mapping.pairs.top -
				node->data.mapping.pairs.start);
	return 0;
}

static enum rc unknown_key(struct yaml_file *y, const yaml_node_t *key,
    const struct yaml_keys *keys, const char *name)
{
	struct nearest nearest;
	const char *other;

	nearest_init(&nearest, name);
	for (size_t i = 0; i < keys->count; i++)
		nearest_consider(&nearest, keys->names[i]);
	other = nearest_name(&nearest);
	if (other != NULL)
		return yaml_file_fail(y, key,
		    "%s has no key '%.40s'; did you mean '%s'?", keys->what,
		    name, other);
	return yaml_file_fail(
	    y, key, "%s has no key '%.40s'", keys->what, name);
}

enum rc yaml_file_map(struct yaml_file *y, const yaml_node_t *node,
    const struct yaml_keys *keys, const yaml_node_t **values)
{
	const yaml_node_pair_t *pair;

	for (size_t i = 0; i < keys->count; i++)
		values[i] = NULL;
	if (node->type != YAML_MAPPING_NODE)
		return yaml_file_fail(
		    y, node, "%s must be `key: value` lines", keys->what);
	for (pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_file_node(y, pair->key);
		const char *name = "";
		size_t i = 0;
		enum rc rc = yaml_file_text(y, key, "a key", 100, &name);

		if (rc != RC_OK)
			return rc;
		while (i < keys->count && strcmp(keys->names[i], name) != 0)
			i++;
		if (i == keys->count)
			return unknown_key(y, key, keys, name);
		if (values[i] != NULL)
			return yaml_file_fail(
			    y, key, "'%s' is there twice", name);
		values[i] = yaml_file_node(y, pair->value);
	}
	return RC_OK;
}

enum rc yaml_file_text(struct yaml_file *y, const yaml_node_t *node,
    const char *key, size_t max, const char **out)
{
	const char *text;
	size_t len;

	if (node->type != YAML_SCALAR_NODE)
		return yaml_file_fail(y, node, "%s must be text", key);
	/* libyaml puts a NUL behind each scalar. */
	text = (const char *)node->data.scalar.value;
	len = node->data.scalar.length;
	if (len == 0)
		return yaml_file_fail(y, node, "%s is empty", key);
	if (memchr(text, '\0', len) != NULL)
		return yaml_file_fail(y, node, "%s has a NUL in it", key);
	if (len > max)
		return yaml_file_fail(y, node,
		    "%s has %zu bytes; at most %zu are allowed", key, len, max);
	*out = text;
	return RC_OK;
}

enum rc yaml_file_number(struct yaml_file *y, const yaml_node_t *node,
    const char *key, uint32_t max, uint32_t *out)
{
	const char *text = "";
	uint64_t n = 0;
	enum rc rc = yaml_file_text(y, node, key, 10, &text);

	if (rc != RC_OK)
		return rc;
	for (const char *p = text; *p != '\0'; p++) {
		if (*p < '0' || *p > '9')
			n = UINT32_MAX;
		else
			n = n * 10 + (uint64_t)(*p - '0');
		if (n > max)
			return yaml_file_fail(y, node,
			    "%s must be a number from 0 to %u, not '%.20s'",
			    key, max, text);
	}
	*out = (uint32_t)n;
	return RC_OK;
}

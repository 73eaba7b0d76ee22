/* config_private.h - what the config_*.c files share; for nobody else. */
#ifndef COMMON_CONFIG_PRIVATE_H
#define COMMON_CONFIG_PRIVATE_H

#include "common/config.h"

#define CONFIG_ORIGIN_MAX 600

/* One option's value, checked and converted once. */
struct config_value {
	char *text;     /* as given; NULL: unset */
	char *origin;   /* "FILE:LINE", "environment"...; never NULL */
	int64_t number; /* INT, DURATION (ms), SIZE (bytes), BOOL */
	struct config_endpoint endpoint;
	struct proxy proxy;
	char **items; /* LIST; they point into block */
	char *block;
	size_t item_count;
	size_t layer; /* the source that gave it; 0: the default */
	size_t line;  /* in it, for "given twice" */
};

struct config {
	const struct config_option *options;
	size_t count;
	struct config_value *values; /* count */
};

/* Where a text came from, for errors and `config show`. */
struct config_place {
	const char *origin;  /* file name, "environment NAME", "flag" */
	size_t line, column; /* 0: not a file */
	size_t layer;
};

/* A sentence at a place; dropped beyond CONFIG_ERRORS_MAX. */
void config_errors_add(struct config_errors **errors,
    const struct config_place *place, const char *format, ...)
    PRINTF_LIKE(3, 4);
/*
 * Check text against the option and convert it into *value, freeing what was
 * there.  RC_PROTO: why (of why_size bytes) says what is wrong with it.
 */
MUST_CHECK enum rc config_value_set(struct config_value *value,
    const struct config_option *option, const char *text, char *why,
    size_t why_size);
void config_value_fini(struct config_value *value);

#endif

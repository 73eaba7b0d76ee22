/*
 * config.h - the settings of a program: a table declares them, files,
 * environment and flags give them, and afterwards they are const.
 *
 *     flag > environment > drop-in > file > default
 *
 * File: FILE, then the *.conf of FILE.d in lexical order.  Environment:
 * LONGARM_<PROGRAM>_<SECTION>_<KEY>, upper case, '-' as '_'.  Flags:
 * "section.key=value", from --set or a flag of its own (config_command.h).
 * Unknown keys, values out of range, keys given twice in one file are errors;
 * all of them are collected, each with file:line:column, before giving up.
 *
 * Reload: load a second struct config, config_diff() the two, then swap the
 * pointer or free the new one.  Nothing is ever changed in place.
 * A loaded config is read only and may be shared by threads.
 */
#ifndef COMMON_CONFIG_H
#define COMMON_CONFIG_H

#include "common/proxy.h"
#include "proto/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_FILE_MAX   (1 << 20) /* bytes of one file */
#define CONFIG_LIST_MAX   256       /* items of one list */
#define CONFIG_ERRORS_MAX 100

enum config_type {
	CONFIG_STRING,
	CONFIG_PATH,     /* absolute, or relative to the working directory */
	CONFIG_INT,      /* decimal */
	CONFIG_DURATION, /* "500ms", "10s", "5m", "2h", "1d"; kept in ms */
	CONFIG_SIZE,     /* "512", "64K", "10M", "2G" (1024s); kept in bytes */
	CONFIG_BOOL,     /* true|false|yes|no|on|off */
	CONFIG_ENDPOINT, /* HOST:PORT, [V6]:PORT or :PORT; port 0 allowed */
	CONFIG_PROXY,    /* http://HOST:PORT or socks5://HOST:PORT */
	CONFIG_LIST,     /* "a, b"; a key repeated in one file appends */
};

struct config_option {
	const char *section, *key;
	enum config_type type;
	const char *initial; /* the default as it would be typed; NULL: unset */
	int64_t min, max; /* INT, DURATION (ms), SIZE (bytes); 0, 0: any >= 0 */
	const char *choices; /* STRING: "a|b|c"; NULL: any */
	bool is_name;        /* STRING: name_is_valid(), or empty */
	bool required;
	bool secret; /* masked in `config show`, in errors and in diffs */
	bool needs_restart; /* a reload cannot apply it */
	const char *flag;   /* "listen" for --listen VALUE; NULL: only --set */
	const char *help;   /* one line */
};

struct config_source {
	const char *program; /* "server": the P of LONGARM_P_... */
	const struct config_option
	    *options; /* borrowed while the config lives */
	size_t option_count;
	const char *file;         /* NULL: none */
	bool file_required;       /* else a missing file is as an empty one */
	char *const *environment; /* environ, or NULL */
	const char *const *flags; /* "section.key=value" */
	size_t flag_count;
};

struct config;
struct config_errors;

/* host "" means every address. */
struct config_endpoint {
	char host[256];
	uint16_t port;
};

/*
 * RC_PROTO: *errors says what was wrong (also filled with RC_IO, RC_NOMEM).
 * *errors is always written (NULL when there is none) and is the caller's.
 */
MUST_CHECK enum rc config_load(const struct config_source *source,
    struct config **out, struct config_errors **errors);
void config_free(struct config *c);

size_t config_errors_count(const struct config_errors *e);
/* "server.conf:3:1: unknown key 'lisen' in [server]; did you mean 'listen'?" */
const char *config_errors_text(const struct config_errors *e, size_t index);
void config_errors_free(struct config_errors *e);

/*
 * Values.  The option must be in the table with that type: anything else is
 * our bug and asserts.  Unset: NULL, 0, false, an empty list, RC_NOTFOUND.
 * Returned strings live as long as the config.
 */
bool config_is_set(
    const struct config *c, const char *section, const char *key);
const char *config_string(
    const struct config *c, const char *section, const char *key);
const char *config_path(
    const struct config *c, const char *section, const char *key);
int64_t config_int(
    const struct config *c, const char *section, const char *key);
uint64_t config_duration_ms(
    const struct config *c, const char *section, const char *key);
uint64_t config_size(
    const struct config *c, const char *section, const char *key);
bool config_bool(const struct config *c, const char *section, const char *key);
MUST_CHECK enum rc config_endpoint(const struct config *c, const char *section,
    const char *key, struct config_endpoint *out);
MUST_CHECK enum rc config_proxy(const struct config *c, const char *section,
    const char *key, struct proxy *out);
const char *const *config_list(const struct config *c, const char *section,
    const char *key, size_t *count);

/* Parsers behind them, for use elsewhere.  RC_PROTO: not that. */
MUST_CHECK enum rc config_parse_duration(const char *text, int64_t *ms);
MUST_CHECK enum rc config_parse_size(const char *text, int64_t *bytes);
MUST_CHECK enum rc config_parse_endpoint(
    const char *text, struct config_endpoint *out);

/* One setting as shown to a person; secrets are "********". */
struct config_item {
	const struct config_option *option;
	const char *value;  /* NULL: unset */
	const char *origin; /* "default", "FILE:LINE", "environment", "flag" */
};
size_t config_item_count(const struct config *c);
struct config_item config_item_at(const struct config *c, size_t index);
/*
 * Index of the first option at or after `from` whose value differs; the option
 * count when there is none.  Both must come from the same table.
 */
size_t config_diff(
    const struct config *before, const struct config *after, size_t from);

#endif

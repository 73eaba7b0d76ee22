/*
 * log.h - one line per fact, for people and for machines.
 *
 *     2026-07-01T09:30:00.125Z info link 7f3a: connected peer=dc2-a rtt_us=1200
 *
 *     log_info("link", link->id, "connected");
 *     log_warn_with("link", id, LOG_FIELDS(LOG_TEXT("peer", name)), "slow");
 *
 * id is the trace id that goes through all hops, or what the line is about; ""
 * or NULL when there is none.  Text from peers is safe everywhere: control
 * characters, broken UTF-8 and (in values) blanks are escaped, lines are cut at
 * LOG_LINE_MAX.  A secret has no way in: struct secret cannot be formatted.
 *
 * Each call site may write `burst` lines per window; what is more is counted
 * and told later as "n lines like this suppressed".
 *
 * Thread safe.  This is the one global of the programs.  Before log_setup():
 * level info, logfmt, standard error.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include "proto/rc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_LINE_MAX 4096

enum log_level {
	LOG_LEVEL_ERROR, /* a person must act */
	LOG_LEVEL_WARN,  /* odd, but handled */
	LOG_LEVEL_INFO,  /* what the program does, at a readable rate */
	LOG_LEVEL_DEBUG,
};

enum log_format {
	LOG_FORMAT_LOGFMT,
	LOG_FORMAT_JSON, /* one object a line */
};

struct log_options {
	enum log_level level;
	enum log_format format;
	int fd;             /* borrowed; 2 is standard error */
	uint32_t burst;     /* lines per call site and window; 0: no limit */
	uint32_t window_ms; /* > 0 */
};

#define LOG_OPTIONS_DEFAULT                                                    \
	{                                                                      \
		.level = LOG_LEVEL_INFO, .format = LOG_FORMAT_LOGFMT, .fd = 2, \
		.burst = 50, .window_ms = 5000                                 \
	}

/* One key=value; the array ends with an empty one. */
struct log_field {
	const char *key;  /* [a-z0-9_]+ */
	const char *text; /* NULL: number counts */
	int64_t number;
};

#define LOG_TEXT(k, v)   ((struct log_field){ .key = (k), .text = (v) })
#define LOG_NUMBER(k, v) ((struct log_field){ .key = (k), .number = (v) })
#define LOG_FIELDS(...)  ((const struct log_field[]){ __VA_ARGS__, { 0 } })

/* Bookkeeping of one call site; only log.c looks inside. */
struct log_site {
	struct log_site *next; /* in the list of those with suppressed lines */
	const char *subsystem;
	uint64_t window_start_ms;
	uint32_t lines;
	uint32_t suppressed;
};

/* Take over the options (a copy). */
void log_setup(const struct log_options *options);
void log_set_level(enum log_level level);
/* Is it worth building this line? */
bool log_enabled(enum log_level level);
/* "error", "warn", "info", "debug".  RC_NOTFOUND: none of these. */
MUST_CHECK enum rc log_level_parse(const char *name, enum log_level *out);
/* Tell what is still suppressed; at the end of a program. */
void log_flush(void);

/* Behind the macros below.  site may be NULL: never suppressed. */
void log_write(struct log_site *site, enum log_level level,
    const char *subsystem, const char *id, const struct log_field *fields,
    const char *format, ...) __attribute__((format(printf, 6, 7)));

#define log_at(level, subsystem, id, fields, ...)                              \
	do {                                                                   \
		static struct log_site log_site_;                              \
		if (log_enabled(level))                                        \
			log_write(&log_site_, level, subsystem, id, fields,    \
			    __VA_ARGS__);                                      \
	} while (0)

#define log_error(subsystem, id, ...)                                          \
	log_at(LOG_LEVEL_ERROR, subsystem, id, NULL, __VA_ARGS__)
#define log_warn(subsystem, id, ...)                                           \
	log_at(LOG_LEVEL_WARN, subsystem, id, NULL, __VA_ARGS__)
#define log_info(subsystem, id, ...)                                           \
	log_at(LOG_LEVEL_INFO, subsystem, id, NULL, __VA_ARGS__)
#define log_debug(subsystem, id, ...)                                          \
	log_at(LOG_LEVEL_DEBUG, subsystem, id, NULL, __VA_ARGS__)

#define log_error_with(subsystem, id, fields, ...)                             \
	log_at(LOG_LEVEL_ERROR, subsystem, id, fields, __VA_ARGS__)
#define log_warn_with(subsystem, id, fields, ...)                              \
	log_at(LOG_LEVEL_WARN, subsystem, id, fields, __VA_ARGS__)
#define log_info_with(subsystem, id, fields, ...)                              \
	log_at(LOG_LEVEL_INFO, subsystem, id, fields, __VA_ARGS__)
#define log_debug_with(subsystem, id, fields, ...)                             \
	log_at(LOG_LEVEL_DEBUG, subsystem, id, fields, __VA_ARGS__)

#endif

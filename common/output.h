/*
 * output.h - what commands print: one model of rows, five ways to show it.
 *
 *     output_new(columns, count, &t);
 *     for each: output_row(t); output_text(t, name); output_number(t, n);
 *     output_print(t, format, stdout); output_free(t);
 *
 * table and wide are for people: no borders, columns as wide as their content,
 * control characters made harmless.  json (one array), jsonl (an object a line)
 * and name (the first column) are a contract.  Data goes to standard output,
 * all else to standard error; colour and progress only to a terminal.
 * One thread.
 */
#ifndef COMMON_OUTPUT_H
#define COMMON_OUTPUT_H

#include "common/command.h"
#include "proto/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum output_format {
	OUTPUT_TABLE,
	OUTPUT_WIDE,
	OUTPUT_JSON,
	OUTPUT_JSONL,
	OUTPUT_NAME,
};

#define OUTPUT_COMMAND_OPTION                                                  \
	{                                                                      \
		.name = "output", .letter = 'o', .argument = "FORMAT",         \
		.choices = "table|wide|json|jsonl|name",                       \
		.help = "How to print the result"                              \
	}

/* The first column is the name that -o name prints. */
struct output_column {
	const char *name;   /* JSON key */
	const char *header; /* "LAST SEEN" */
	bool wide_only;     /* not in table */
};

struct output;

/* From -o; table when it was not given. */
enum output_format output_format_of(const struct command_line *line);
/* columns are borrowed until output_free(). */
MUST_CHECK enum rc output_new(const struct output_column *columns,
    size_t column_count, struct output **out);
void output_free(struct output *t);

/* A new row; then one call per column.  Memory is short: the program ends. */
void output_row(struct output *t);
void output_text(struct output *t, const char *text); /* NULL: null */
void output_number(struct output *t, int64_t number);
void output_bool(struct output *t, bool yes);
void output_null(struct output *t);
/* Wall clock, ms since 1970; 0: null. */
void output_time(struct output *t, int64_t ms);
/* "a,b" for people, an array in JSON. */
void output_texts(struct output *t, const char *const *texts, size_t count);

/* RC_IO: the file took not all. */
MUST_CHECK enum rc output_print(
    const struct output *t, enum output_format format, FILE *file);
/* The first row alone: "Header: value" lines, or one JSON object. */
MUST_CHECK enum rc output_print_one(
    const struct output *t, enum output_format format, FILE *file);

enum output_colour {
	OUTPUT_PLAIN,
	OUTPUT_RED,
	OUTPUT_GREEN,
	OUTPUT_YELLOW,
	OUTPUT_DIM,
};

/* Is file a terminal, NO_COLOR unset or empty, and TERM not "dumb"? */
bool output_may_colour(FILE *file);
/* printf in a colour, where that is allowed. */
void output_colour(FILE *file, enum output_colour colour, const char *format,
    ...) PRINTF_LIKE(3, 4);
/*
 * One line on standard error that the next call overwrites; nothing when that
 * is no terminal.  output_progress_end() clears it.
 */
void output_progress(const char *format, ...) PRINTF_LIKE(1, 2);
void output_progress_end(void);
/* "longarm: ..." on standard error, and the advice for fault when it has one.
 */
void output_fault(const char *program, const struct fault *fault);

/* Write text without control characters; broken UTF-8 becomes '?'. */
void output_safe(FILE *file, const char *text);

#endif

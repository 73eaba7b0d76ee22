/* Rows, and how they are printed. */
#include "common/output.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/utf8.h"
#include "common/xalloc.h"

#include <assert.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define GAP 2 /* blanks between columns */

enum cell_type {
	CELL_NULL,
	CELL_TEXT,
	CELL_NUMBER,
	CELL_BOOL,
	CELL_TEXTS, /* text holds them, NUL after each; number counts them */
};

struct cell {
	enum cell_type type;
	int64_t number;
	char *text;
};

struct output {
	const struct output_column *columns;
	size_t column_count;
	struct cell *cells;
	size_t cell_count, cell_room;
};

enum output_format output_format_of(const struct command_line *line)
{
	static const char *const names[] = { "table", "wide", "json", "jsonl",
		"name" };
	const char *name = command_value(line, "output");

	for (size_t i = 0; name != NULL && i < sizeof(names) / sizeof(names[0]);
	     i++) {
		if (strcmp(name, names[i]) == 0)
			return (enum output_format)i;
	}
	return OUTPUT_TABLE;
}

enum rc output_new(const struct output_column *columns, size_t column_count,
    struct output **out)
{
	struct output *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return RC_NOMEM;
	assert(column_count > 0);
	t->columns = columns;
	t->column_count = column_count;
	*out = t;
	return RC_OK;
}

void output_free(struct output *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->cell_count; i++)
		free(t->cells[i].text);
	free(t->cells);
	free(t);
}

static bool row_is_whole(const struct output *t)
{
	return t->cell_count % t->column_count == 0;
}

void output_row(struct output *t)
{
	assert(row_is_whole(t));
	if (t->cell_count + t->column_count <= t->cell_room)
		return;
	t->cell_room = 2 * t->cell_room + 16 * t->column_count;
	t->cells = xrealloc(t->cells, t->cell_room, sizeof(*t->cells));
}

static void add(struct output *t, struct cell cell)
{
	assert(t->cell_count < t->cell_room);
	t->cells[t->cell_count++] = cell;
}

void output_text(struct output *t, const char *text)
{
	if (text == NULL)
		output_null(t);
	else
		add(t,
		    (struct cell){ .type = CELL_TEXT, .text = xstrdup(text) });
}

void output_number(struct output *t, int64_t number)
{
	add(t, (struct cell){ .type = CELL_NUMBER, .number = number });
}

void output_bool(struct output *t, bool yes)
{
	add(t, (struct cell){ .type = CELL_BOOL, .number = yes });
}

void output_null(struct output *t)
{
	add(t, (struct cell){ .type = CELL_NULL });
}

void output_time(struct output *t, int64_t ms)
{
	char text[CLOCK_TEXT_MAX];

	if (ms == 0) {
		output_null(t);
		return;
	}
	clock_format(ms, text);
	output_text(t, text);
}

void output_texts(struct output *t, const char *const *texts, size_t count)
{
	struct cell cell = { .type = CELL_TEXTS, .number = (int64_t)count };
	size_t size = 1;
	char *at;

	for (size_t i = 0; i < count; i++)
		size += strlen(texts[i]) + 1;
	cell.text = at = xcalloc(1, size);
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(texts[i]) + 1;

		memcpy(at, texts[i], len);
		at += len;
	}
	add(t, cell);
}

/* The cell as one word or phrase for people; the caller frees it. */
static char *phrase(const struct cell *cell)
{
	const char *item = cell->text;
	struct buf b;
	enum rc rc = RC_OK;
	char *text;

	switch (cell->type) {
	case CELL_NULL:
		return xstrdup("-");
	case CELL_TEXT:
		return xstrdup(cell->text);
	case CELL_NUMBER:
		return xprintf("%lld", (long long)cell->number);
	case CELL_BOOL:
		return xstrdup(cell->number != 0 ? "yes" : "no");
	case CELL_TEXTS:
		break;
	}
	if (cell->number == 0)
		return xstrdup("-");
	buf_init(&b, SIZE_MAX / 2);
	for (int64_t i = 0; i < cell->number && rc == RC_OK; i++) {
		rc = buf_printf(&b, "%s%s", i > 0 ? "," : "", item);
		item += strlen(item) + 1;
	}
	text = buf_take(&b);
	return text == NULL ? xstrdup("?") : text;
}

/* Columns of a terminal; what is not printable counts (and prints) as one. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	while (*text != '\0') {
		size_t len = utf8_len(text);
		int columns = 1;

		if (len > 1) {
			columns = wcwidth((wchar_t)utf8_decode(text, len));
			columns = columns < 0 ? 1 : columns;
		}
		width += (size_t)columns;
		text += len == 0 ? 1 : len;
	}
	return width;
}

void output_safe(FILE *file, const char *text)
{
	while (*text != '\0') {
		unsigned char c = (unsigned char)*text;
		size_t len = utf8_len(text);

		if (len > 1 || (c >= ' ' && c < 0x7f)) {
			(void)fwrite(text, 1, len, file);
			text += len;
			continue;
		}
		(void)fputc(c == '\n' || c == '\t' ? ' ' : '?', file);
		text++;
	}
}

static bool is_shown(
    const struct output *t, size_t column, enum output_format format)
{
	return format == OUTPUT_WIDE || !t->columns[column].wide_only;
}

static bool is_last_shown(
    const struct output *t, size_t column, enum output_format format)
{
	for (column++; column < t->column_count; column++) {
		if (is_shown(t, column, format))
			return false;
	}
	return true;
}

static void print_cell(FILE *file, const char *text, size_t width, bool last)
{
	output_safe(file, text);
	if (last)
		(void)fputc('\n', file);
	else
		(void)fprintf(
		    file, "%*s", (int)(width - width_of(text)) + GAP, "");
}

static void print_table(
    const struct output *t, enum output_format format, FILE *file)
{
	size_t *widths = xcalloc(t->column_count, sizeof(*widths));
	char **phrases = (char **)xcalloc(t->cell_count, sizeof(*phrases));

	for (size_t i = 0; i < t->column_count; i++)
		widths[i] = width_of(t->columns[i].header);
	for (size_t i = 0; i < t->cell_count; i++) {
		size_t width;

		phrases[i] = phrase(&t->cells[i]);
		width = width_of(phrases[i]);
		if (width > widths[i % t->column_count])
			widths[i % t->column_count] = width;
	}
	for (size_t i = 0; i < t->column_count; i++) {
		if (is_shown(t, i, format))
			print_cell(file, t->columns[i].header, widths[i],
			    is_last_shown(t, i, format));
	}
	for (size_t i = 0; i < t->cell_count; i++) {
		size_t column = i % t->column_count;

		if (is_shown(t, column, format))
			print_cell(file, phrases[i], widths[column],
			    is_last_shown(t, column, format));
		free(phrases[i]);
	}
	free((void *)phrases);
	free(widths);
}

static void json_text(FILE *file, const char *text)
{
	(void)fputc('"', file);
	while (*text != '\0') {
		unsigned char c = (unsigned char)*text;
		size_t len = utf8_len(text);

		if (c == '"' || c == '\\')
			(void)fprintf(file, "\\%c", c);
		else if (len == 0 && (c != 0xc2 || (text[1] & 0xe0) != 0x80))
			(void)fputs("\\ufffd", file);
		else if (len == 0)
			/* A C1 control is a character, if an odd one. */
			(void)fprintf(
			    file, "\\u%04x", (unsigned)(unsigned char)*++text);
		else if (c < ' ' || c == 0x7f)
			(void)fprintf(file, "\\u%04x", c);
		else
			(void)fwrite(text, 1, len, file);
		text += len == 0 ? 1 : len;
	}
	(void)fputc('"', file);
}

static void json_cell(FILE *file, const struct cell *cell)
{
	const char *item = cell->text;

	switch (cell->type) {
	case CELL_NULL:
		(void)fputs("null", file);
		break;
	case CELL_TEXT:
		json_text(file, cell->text);
		break;
	case CELL_NUMBER:
		(void)fprintf(file, "%lld", (long long)cell->number);
		break;
	case CELL_BOOL:
		(void)fputs(cell->number != 0 ? "true" : "false", file);
		break;
	case CELL_TEXTS:
		(void)fputc('[', file);
		for (int64_t i = 0; i < cell->number; i++) {
			if (i > 0)
				(void)fputc(',', file);
			json_text(file, item);
			item += strlen(item) + 1;
		}
		(void)fputc(']', file);
		break;
	}
}

static void json_row(const struct output *t, size_t row, FILE *file)
{
	const struct cell *cells = t->cells + row * t->column_count;

	(void)fputc('{', file);
	for (size_t i = 0; i < t->column_count; i++) {
		if (i > 0)
			(void)fputc(',', file);
		json_text(file, t->columns[i].name);
		(void)fputc(':', file);
		json_cell(file, &cells[i]);
	}
	(void)fputc('}', file);
}

static size_t row_count(const struct output *t)
{
	return t->cell_count / t->column_count;
}

static void print_json(const struct output *t, FILE *file)
{
	(void)fputc('[', file);
	for (size_t i = 0; i < row_count(t); i++) {
		(void)fputs(i > 0 ? ",\n " : "", file);
		json_row(t, i, file);
	}
	(void)fputs("]\n", file);
}

static void print_name(const struct output *t, size_t row, FILE *file)
{
	char *text = phrase(&t->cells[row * t->column_count]);

	output_safe(file, text);
	(void)fputc('\n', file);
	free(text);
}

static void print_as(
    const struct output *t, enum output_format format, FILE *file)
{
	switch (format) {
	case OUTPUT_TABLE:
	case OUTPUT_WIDE:
		print_table(t, format, file);
		break;
	case OUTPUT_JSON:
		print_json(t, file);
		break;
	case OUTPUT_JSONL:
		for (size_t i = 0; i < row_count(t); i++) {
			json_row(t, i, file);
			(void)fputc('\n', file);
		}
		break;
	case OUTPUT_NAME:
		for (size_t i = 0; i < row_count(t); i++)
			print_name(t, i, file);
		break;
	}
}

/* wcwidth() knows wide characters only in a UTF-8 locale: ours, for now. */
static locale_t enter_utf8(locale_t *before)
{
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);

	*before = utf8 == (locale_t)0 ? (locale_t)0 : uselocale(utf8);
	return utf8;
}

static void leave_utf8(locale_t utf8, locale_t before)
{
	if (utf8 == (locale_t)0)
		return;
	(void)uselocale(before);
	freelocale(utf8);
}

static enum rc finish(FILE *file)
{
	return fflush(file) == 0 && ferror(file) == 0 ? RC_OK : RC_IO;
}

enum rc output_print(
    const struct output *t, enum output_format format, FILE *file)
{
	locale_t before;
	locale_t utf8 = enter_utf8(&before);

	assert(row_is_whole(t));
	print_as(t, format, file);
	leave_utf8(utf8, before);
	return finish(file);
}

/* "Header:  value" lines, the values in one column. */
static void print_record(const struct output *t, FILE *file)
{
	locale_t before;
	locale_t utf8 = enter_utf8(&before);
	size_t widest = 0;

	for (size_t i = 0; i < t->column_count; i++) {
		size_t width = width_of(t->columns[i].header);

		widest = width > widest ? width : widest;
	}
	for (size_t i = 0; i < t->column_count; i++) {
		char *text = phrase(&t->cells[i]);

		(void)fprintf(file, "%s:%*s", t->columns[i].header,
		    (int)(widest - width_of(t->columns[i].header)) + GAP, "");
		output_safe(file, text);
		(void)fputc('\n', file);
		free(text);
	}
	leave_utf8(utf8, before);
}

enum rc output_print_one(
    const struct output *t, enum output_format format, FILE *file)
{
	assert(row_is_whole(t) && row_count(t) > 0);
	switch (format) {
	case OUTPUT_TABLE:
	case OUTPUT_WIDE:
		print_record(t, file);
		break;
	case OUTPUT_JSON:
	case OUTPUT_JSONL:
		json_row(t, 0, file);
		(void)fputc('\n', file);
		break;
	case OUTPUT_NAME:
		print_name(t, 0, file);
		break;
	}
	return finish(file);
}

#include "common/ini.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define BOM "\xef\xbb\xbf"

/* One line and the place in it. */
struct cursor {
	const char *start;
	size_t len, at;
};

void ini_init(struct ini *ini, const char *text, size_t len)
{
	memset(ini, 0, sizeof(*ini));
	ini->text = text;
	ini->len = len;
	if (len >= 3 && memcmp(text, BOM, 3) == 0)
		ini->at = 3;
}

static enum ini_event refuse(struct ini *ini, size_t at, const char *format,
    ...) __attribute__((format(printf, 3, 4)));

static enum ini_event refuse(
    struct ini *ini, size_t at, const char *format, ...)
{
	va_list args;

	ini->column = at + 1;
	va_start(args, format);
	(void)vsnprintf(ini->error, sizeof(ini->error), format, args);
	va_end(args);
	return INI_ERROR;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '_';
}

static char peek(const struct cursor *c)
{
	if (c->at >= c->len)
		return '\0';
	return c->start[c->at];
}

static void skip_blanks(struct cursor *c)
{
	while (c->at < c->len && is_blank(c->start[c->at]))
		c->at++;
}

/* Nothing more, or only a comment? */
static bool at_end(const struct cursor *c)
{
	char next = peek(c);

	return c->at >= c->len || next == '#' || next == ';';
}

static size_t take_name(struct cursor *c, char *out)
{
	size_t begin = c->at, len;

	while (c->at < c->len && is_name_char(c->start[c->at]))
		c->at++;
	len = c->at - begin;
	if (len > INI_NAME_MAX)
		return len;
	memcpy(out, c->start + begin, len);
	out[len] = '\0';
	return len;
}

static enum ini_event bad_name(
    struct ini *ini, const struct cursor *c, size_t len, const char *what)
{
	if (len > INI_NAME_MAX)
		return refuse(ini, c->at - len, "%s longer than %d characters",
		    what, INI_NAME_MAX);
	return refuse(ini, c->at,
	    "expected %s of small letters, digits, '-' and '_'", what);
}

/* [name]; INI_END stands for "no event, go on". */
static enum ini_event read_section(struct ini *ini, struct cursor *c)
{
	char name[INI_NAME_MAX + 1];
	size_t len;

	/* What follows must not land in the section before. */
	ini->section[0] = '\0';
	c->at++;
	skip_blanks(c);
	len = take_name(c, name);
	if (len == 0 || len > INI_NAME_MAX)
		return bad_name(ini, c, len, "a section name");
	skip_blanks(c);
	if (peek(c) != ']')
		return refuse(
		    ini, c->at, "expected ']' after the section name");
	c->at++;
	skip_blanks(c);
	if (!at_end(c))
		return refuse(ini, c->at, "unexpected text after ']'");
	memcpy(ini->section, name, len + 1);
	return INI_END;
}

/* "..." with \" \\ \n \t. */
static enum ini_event read_quoted(struct ini *ini, struct cursor *c)
{
	size_t used = 0, begin = c->at;

	for (c->at++; c->at < c->len && c->start[c->at] != '"'; c->at++) {
		char next = c->start[c->at];

		if (next == '\\') {
			static const char from[] = "\"\\nt", to[] = "\"\\\n\t";
			const char *found;

			c->at++;
			found = peek(c) == '\0' ? NULL : strchr(from, peek(c));
			if (found == NULL)
				return refuse(ini, c->at - 1,
				    "unknown escape; known are \\\" \\\\ \\n "
				    "\\t");
			next = to[found - from];
		}
		ini->value[used++] = next;
	}
	if (c->at >= c->len)
		return refuse(ini, begin, "the closing quote is missing");
	c->at++;
	ini->value[used] = '\0';
	skip_blanks(c);
	if (!at_end(c))
		return refuse(ini, c->at, "unexpected text after the quote");
	return INI_ENTRY;
}

/* Up to a comment or the line's end, without blanks around. */
static enum ini_event read_plain(struct ini *ini, struct cursor *c)
{
	size_t begin = c->at, end = c->at;

	for (; c->at < c->len; c->at++) {
		char next = c->start[c->at];

		if ((next == '#' || next == ';') &&
		    (c->at == begin || is_blank(c->start[c->at - 1])))
			break;
		if (!is_blank(next))
			end = c->at + 1;
	}
	memcpy(ini->value, c->start + begin, end - begin);
	ini->value[end - begin] = '\0';
	return INI_ENTRY;
}

static enum ini_event read_entry(struct ini *ini, struct cursor *c)
{
	size_t key_at = c->at;
	size_t len = take_name(c, ini->key);
	enum ini_event event;

	if (len == 0 || len > INI_NAME_MAX)
		return bad_name(ini, c, len, "a key");
	skip_blanks(c);
	if (peek(c) != '=')
		return refuse(ini, c->at, "expected '=' after '%s'", ini->key);
	if (ini->section[0] == '\0')
		return refuse(ini, key_at,
		    "'%s' stands in no (valid) [section]", ini->key);
	c->at++;
	skip_blanks(c);
	ini->value_column = c->at + 1;
	event = peek(c) == '"' ? read_quoted(ini, c) : read_plain(ini, c);
	if (event == INI_ENTRY)
		ini->column = key_at + 1;
	return event;
}

/* Control characters other than tab are no text. */
static bool find_control(const struct cursor *c, size_t *at)
{
	for (size_t i = 0; i < c->len; i++) {
		unsigned char byte = (unsigned char)c->start[i];

		if ((byte < ' ' && byte != '\t') || byte == 0x7f) {
			*at = i;
			return true;
		}
	}
	return false;
}

/* The next line without its end. */
static struct cursor take_line(struct ini *ini)
{
	struct cursor c = { .start = ini->text + ini->at };
	const char *end = memchr(c.start, '\n', ini->len - ini->at);

	c.len = end == NULL ? ini->len - ini->at : (size_t)(end - c.start);
	ini->at += c.len + (end != NULL);
	ini->line++;
	if (c.len > 0 && c.start[c.len - 1] == '\r')
		c.len--;
	return c;
}

static enum ini_event read_line(struct ini *ini, struct cursor *c)
{
	size_t at;

	if (c->len > INI_LINE_MAX)
		return refuse(ini, INI_LINE_MAX,
		    "the line has %zu bytes, more than the limit of %d", c->len,
		    INI_LINE_MAX);
	if (find_control(c, &at))
		return refuse(ini, at,
		    "control character 0x%02x; settings are plain text",
		    (unsigned)(unsigned char)c->start[at]);
	skip_blanks(c);
	if (at_end(c))
		return INI_END;
	if (peek(c) == '[')
		return read_section(ini, c);
	return read_entry(ini, c);
}

enum ini_event ini_next(struct ini *ini)
{
	while (ini->at < ini->len) {
		struct cursor c = take_line(ini);
		enum ini_event event = read_line(ini, &c);

		if (event != INI_END)
			return event;
	}
	return INI_END;
}

/*
 * ini.h - read sections, keys and values from text.  No files: see config.h.
 *
 *     [section]
 *     key = value            # a comment after a blank; also ;
 *     other = "a # \"quoted\" value\n"
 *
 * Keys and sections are [a-z0-9_-]+.  Lines end with LF or CR LF.  Refused with
 * line and column: lines above INI_LINE_MAX bytes, control and NUL bytes, keys
 * before the first section, bad escapes, anything after a closing quote.
 * After an error the reader goes on with the next line, so that one run finds
 * all errors.  No allocation, one thread.
 */
#ifndef COMMON_INI_H
#define COMMON_INI_H

#include <stddef.h>

#define INI_LINE_MAX 4096 /* bytes without the line's end */
#define INI_NAME_MAX 64   /* bytes of a section or key */

enum ini_event {
	INI_END,
	INI_ENTRY,
	INI_ERROR,
};

struct ini {
	const char *text;
	size_t len, at; /* bytes */
	size_t line;    /* of the last event; counts from 1 */
	size_t column;  /* INI_ENTRY: of the key; counts bytes from 1 */
	size_t value_column;
	char section[INI_NAME_MAX + 1];
	char key[INI_NAME_MAX + 1];
	char value[INI_LINE_MAX + 1];
	char error[160]; /* INI_ERROR: one sentence */
};

/* text is borrowed; need not end with NUL. */
void ini_init(struct ini *ini, const char *text, size_t len);
enum ini_event ini_next(struct ini *ini);

#endif

#include "server/api/log_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DIMENSION_MAX TASK_RUNS_MAX

/* ---- text ---- */

static bool parse_number(const char **text, uint64_t limit, uint64_t *out)
{
	uint64_t value = 0;
	const char *p = *text;

	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (value > limit / 10)
			return false;
		value = value * 10 + (uint64_t)(*p - '0');
	}
	*text = p;
	*out = value;
	return value <= limit;
}

static bool parse_char(const char **text, char c)
{
	if (**text != c)
		return false;
	(*text)++;
	return true;
}

static bool parse_blocks(const char **text, struct log_cursor *out)
{
	do {
		uint64_t targets, actions;

		if (out->block_count == TASK_BLOCKS_MAX ||
		    !parse_number(text, DIMENSION_MAX, &targets) ||
		    !parse_char(text, 'x') ||
		    !parse_number(text, TASK_ACTIONS_MAX, &actions))
			return false;
		out->blocks[out->block_count].targets = (uint32_t)targets;
		out->blocks[out->block_count].actions = (uint32_t)actions;
		out->block_count++;
	} while (parse_char(text, '.'));
	return true;
}

static bool parse_mark(const char **text, struct log_cursor *out)
{
	struct log_mark m = { .over = true };
	uint64_t least = out->done;

	if (out->count == LOG_CURSOR_MARKS)
		return false;
	if (out->count > 0)
		least = out->marks[out->count - 1].last + 1;
	if (!parse_number(text, UINT32_MAX * UINT64_C(64), &m.first))
		return false;
	m.last = m.first;
	if (parse_char(text, '_')) {
		m.over = false;
		if (!parse_number(text, INT64_MAX, &m.offset))
			return false;
	} else if (parse_char(text, '-') &&
		   !parse_number(text, UINT32_MAX * UINT64_C(64), &m.last)) {
		return false;
	}
	if (m.first < least || m.last < m.first)
		return false;
	out->marks[out->count++] = m;
	return true;
}

enum rc log_cursor_parse(const char *text, struct log_cursor *out)
{
	*out = (struct log_cursor){ 0 };
	if (!parse_blocks(&text, out) || !parse_char(&text, '~') ||
	    !parse_number(&text, UINT32_MAX * UINT64_C(64), &out->done) ||
	    !parse_char(&text, '~'))
		return RC_PROTO;
	if (*text == '\0')
		return RC_OK;
	do {
		if (!parse_mark(&text, out))
			return RC_PROTO;
	} while (parse_char(&text, '.'));
	return *text == '\0' ? RC_OK : RC_PROTO;
}

static bool put(char *out, size_t size, size_t *at, const char *text)
{
	size_t len = strlen(text);

	if (*at + len >= size)
		return false;
	memcpy(out + *at, text, len + 1);
	*at += len;
	return true;
}

static bool put_mark(
    const struct log_mark *m, char *out, size_t size, size_t *at)
{
	char text[64];

	if (!m->over)
		(void)snprintf(text, sizeof(text), "%" PRIu64 "_%" PRIu64,
		    m->first, m->offset);
	else if (m->first == m->last)
		(void)snprintf(text, sizeof(text), "%" PRIu64, m->first);
	else
		(void)snprintf(text, sizeof(text), "%" PRIu64 "-%" PRIu64,
		    m->first, m->last);
	return put(out, size, at, text);
}

enum rc log_cursor_format(
    const struct log_cursor *cursor, char *out, size_t size)
{
	char text[64];
	size_t at = 0;
	bool ok = true;

	for (uint32_t i = 0; i < cursor->block_count && ok; i++) {
		(void)snprintf(text, sizeof(text), "%s%ux%u", i > 0 ? "." : "",
		    cursor->blocks[i].targets, cursor->blocks[i].actions);
		ok = put(out, size, &at, text);
	}
	(void)snprintf(text, sizeof(text), "~%" PRIu64 "~", cursor->done);
	ok = ok && put(out, size, &at, text);
	for (size_t i = 0; i < cursor->count && ok; i++)
		ok = (i == 0 || put(out, size, &at, ".")) &&
		     put_mark(&cursor->marks[i], out, size, &at);
	return ok ? RC_OK : RC_LIMIT;
}

/* ---- runs and their numbers ---- */

static uint64_t total(const struct log_cursor *cursor)
{
	uint64_t runs = 0;

	for (uint32_t i = 0; i < cursor->block_count; i++)
		runs += (uint64_t)cursor->blocks[i].targets *
		        cursor->blocks[i].actions;
	return runs;
}

enum rc log_cursor_index(
    const struct log_cursor *cursor, const struct run_key *key, uint64_t *index)
{
	uint64_t base = 0;

	if (key->block >= cursor->block_count ||
	    key->target >= cursor->blocks[key->block].targets ||
	    key->action >= cursor->blocks[key->block].actions)
		return RC_PROTO;
	for (uint32_t i = 0; i < key->block; i++)
		base += (uint64_t)cursor->blocks[i].targets *
		        cursor->blocks[i].actions;
	*index = base +
	         (uint64_t)key->target * cursor->blocks[key->block].actions +
	         key->action;
	return RC_OK;
}

bool log_cursor_before(const struct log_cursor *cursor, struct run_key *key)
{
	uint64_t left;

	if (cursor->done == 0 || cursor->done > total(cursor))
		return false;
	left = cursor->done - 1;
	for (uint32_t i = 0; i < cursor->block_count; i++) {
		uint64_t actions = cursor->blocks[i].actions;
		uint64_t runs = cursor->blocks[i].targets * actions;

		if (left < runs) {
			key->block = i;
			key->target = (uint32_t)(left / actions);
			key->action = (uint32_t)(left % actions);
			return true;
		}
		left -= runs;
	}
	return false;
}

/* ---- marks ---- */

/* The first mark that ends at index or after it. */
static size_t find(const struct log_cursor *cursor, uint64_t index)
{
	size_t i = 0;

	while (i < cursor->count && cursor->marks[i].last < index)
		i++;
	return i;
}

uint64_t log_cursor_offset(
    const struct log_cursor *cursor, uint64_t index, bool *over)
{
	size_t i = find(cursor, index);

	*over = index < cursor->done;
	if (*over || i == cursor->count || cursor->marks[i].first > index)
		return 0;
	*over = cursor->marks[i].over;
	return cursor->marks[i].offset;
}

static void remove_mark(struct log_cursor *cursor, size_t i)
{
	memmove(&cursor->marks[i], &cursor->marks[i + 1],
	    (cursor->count - i - 1) * sizeof(cursor->marks[0]));
	cursor->count--;
}

/* Join ranges that touch, and let `done` swallow the first. */
static void tidy(struct log_cursor *cursor)
{
	for (size_t i = 0; i + 1 < cursor->count;) {
		struct log_mark *m = &cursor->marks[i];

		if (m[0].over && m[1].over && m[0].last + 1 == m[1].first) {
			m[0].last = m[1].last;
			remove_mark(cursor, i + 1);
		} else {
			i++;
		}
	}
	if (cursor->count > 0 && cursor->marks[0].over &&
	    cursor->marks[0].first == cursor->done) {
		cursor->done = cursor->marks[0].last + 1;
		remove_mark(cursor, 0);
	}
}

enum rc log_cursor_set(
    struct log_cursor *cursor, uint64_t index, uint64_t offset, bool over)
{
	size_t i = find(cursor, index);
	struct log_mark *m = &cursor->marks[i];

	if (index < cursor->done)
		return RC_OK;
	if (i == cursor->count || m->first > index) {
		if (cursor->count == LOG_CURSOR_MARKS)
			return RC_LIMIT;
		memmove(
		    m + 1, m, (cursor->count - i) * sizeof(cursor->marks[0]));
		*m = (struct log_mark){ .first = index, .last = index };
		cursor->count++;
	}
	if (m->over)
		return RC_OK;
	m->over = over;
	m->offset = over ? 0 : offset;
	tidy(cursor);
	return RC_OK;
}

bool log_cursor_is_done(const struct log_cursor *cursor)
{
	return cursor->done >= total(cursor);
}

/* ---- bytes ---- */

/* Bytes of the character that begins with c; 0: none does. */
static size_t length_of(uint8_t c)
{
	if (c < 0x80)
		return 1;
	if ((c & 0xe0) == 0xc0)
		return 2;
	if ((c & 0xf0) == 0xe0)
		return 3;
	return (c & 0xf8) == 0xf0 ? 4 : 0;
}

/* Not longer than needed, no surrogate, no more than there are. */
static bool is_code(uint32_t code, size_t len)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };

	return code >= least[len] && code <= 0x10ffff &&
	       (code < 0xd800 || code > 0xdfff);
}

/* Length of the character that begins here; 0: broken; 5: cut. */
static size_t character(const uint8_t *p, size_t len)
{
	size_t need = length_of(p[0]);
	uint32_t code;

	if (need <= 1)
		return need;
	code = p[0] & (0xffu >> (need + 1));
	for (size_t i = 1; i < need; i++) {
		if (i == len)
			return 5;
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3fu);
	}
	return is_code(code, need) ? need : 0;
}

size_t log_clean(
    const uint8_t *data, size_t len, bool end, char *out, size_t *used)
{
	size_t at = 0, written = 0;

	while (at < len) {
		size_t n = character(data + at, len - at);

		if (n == 5 && !end)
			break;
		if (n == 0 || n == 5 || data[at] == '\0') {
			out[written++] = '?';
			at++;
			continue;
		}
		memcpy(out + written, data + at, n);
		written += n;
		at += n;
	}
	*used = at;
	return written;
}

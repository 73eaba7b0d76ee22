#include "tentacle/mask.h"

#include "common/secret.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* For Knuth, Morris and Pratt: border[i] is the length of the longest proper
 * beginning of text[0..i] that is also its end. */
struct pattern {
	uint8_t *text;
	uint16_t *border;
	size_t len;
	uint64_t from;
};

struct blank {
	uint64_t from, to;
};

struct mask {
	struct pattern patterns[MASK_PATTERN_MAX];
	size_t count;
	size_t longest;
	struct blank blanks[MASK_BLANKS_MAX];
	size_t blank_count;
	uint64_t rest; /* from here on all is blank; UINT64_MAX: nowhere */
};

static_assert(MASK_VALUE_MAX <= UINT16_MAX, "border is 16 bits");

enum rc mask_new(struct mask **out)
{
	struct mask *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return RC_NOMEM;
	m->rest = UINT64_MAX;
	*out = m;
	return RC_OK;
}

void mask_free(struct mask *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->count; i++) {
		struct pattern *p = &m->patterns[i];

		secret_wipe(p->text, p->len);
		secret_wipe(p->border, p->len * sizeof(*p->border));
		free(p->text);
		free(p->border);
	}
	free(m);
}

/* How much of the pattern is matched after one more byte. */
static size_t advance(const struct pattern *p, size_t matched, uint8_t byte)
{
	while (matched == p->len || p->text[matched] != byte) {
		if (matched == 0)
			return 0;
		matched = p->border[matched - 1];
	}
	return matched + 1;
}

static bool is_known(struct mask *m, struct bytes value, uint64_t from)
{
	for (size_t i = 0; i < m->count; i++) {
		struct pattern *p = &m->patterns[i];

		if (!bytes_equal(bytes_of(p->text, p->len), value))
			continue;
		if (from < p->from)
			p->from = from;
		return true;
	}
	return false;
}

static enum rc add_pattern(struct mask *m, struct bytes value, uint64_t from)
{
	struct pattern p = { .len = value.len, .from = from };
	size_t matched = 0;

	if (value.len < MASK_VALUE_MIN || is_known(m, value, from))
		return RC_OK;
	if (m->count == MASK_PATTERN_MAX)
		return RC_LIMIT;
	p.text = malloc(value.len);
	p.border = calloc(value.len, sizeof(*p.border));
	if (p.text == NULL || p.border == NULL) {
		free(p.text);
		free(p.border);
		return RC_NOMEM;
	}
	memcpy(p.text, value.p, value.len);
	for (size_t i = 1; i < p.len; i++) {
		matched = advance(&p, matched, p.text[i]);
		p.border[i] = (uint16_t)matched;
	}
	if (p.len > m->longest)
		m->longest = p.len;
	m->patterns[m->count++] = p;
	return RC_OK;
}

static struct bytes without_newlines(struct bytes v)
{
	while (v.len > 0 && (v.p[v.len - 1] == '\n' || v.p[v.len - 1] == '\r'))
		v.len--;
	return v;
}

/* Programs indent, quote or sort what they print: lines count alone. */
static enum rc add_lines(struct mask *m, struct bytes value, uint64_t from)
{
	enum rc rc = RC_OK;

	while (rc == RC_OK && value.len > 0) {
		const uint8_t *end = memchr(value.p, '\n', value.len);
		size_t len = end != NULL ? (size_t)(end - value.p) : value.len;
		struct bytes line = without_newlines(bytes_of(value.p, len));

		if (line.len >= MASK_LINE_MIN)
			rc = add_pattern(m, line, from);
		len += end != NULL ? 1 : 0;
		value = bytes_of(value.p + len, value.len - len);
	}
	return rc;
}

enum rc mask_add(struct mask *m, struct bytes value)
{
	return mask_add_from(m, value, 0);
}

enum rc mask_add_from(struct mask *m, struct bytes value, uint64_t from)
{
	enum rc rc;

	if (value.len > MASK_VALUE_MAX)
		return RC_LIMIT;
	value = without_newlines(value);
	rc = add_pattern(m, value, from);
	if (rc == RC_OK)
		rc = add_lines(m, value, from);
	return rc;
}

/* --- Ranges ------------------------------------------------------------- */

void mask_blank(struct mask *m, uint64_t from, uint64_t to)
{
	size_t i = 0;

	while (i < m->blank_count && m->blanks[i].from != from)
		i++;
	if (i == MASK_BLANKS_MAX) {
		mask_blank_rest(m, from);
		return;
	}
	m->blanks[i] = (struct blank){ from, to };
	if (i == m->blank_count)
		m->blank_count++;
}

void mask_blank_rest(struct mask *m, uint64_t from)
{
	if (from < m->rest)
		m->rest = from;
}

bool mask_is_full(const struct mask *m)
{
	return m->rest != UINT64_MAX;
}

/* out is at this offset of the log. */
static void blank(
    const struct blank *b, uint64_t offset, uint8_t *out, size_t len)
{
	uint64_t end = offset + len;
	uint64_t from = b->from > offset ? b->from : offset;
	uint64_t to = b->to < end ? b->to : end;

	if (from < to)
		memset(out + (from - offset), '*', (size_t)(to - from));
}

/* --- Masking ------------------------------------------------------------ */

size_t mask_context(const struct mask *m)
{
	return m->longest > 0 ? m->longest - 1 : 0;
}

static bool is_in(const struct pattern *p, struct bytes raw)
{
	size_t matched = 0;

	for (size_t at = 0; at < raw.len; at++) {
		matched = advance(p, matched, raw.p[at]);
		if (matched == p->len)
			return true;
	}
	return false;
}

bool mask_finds(const struct mask *m, struct bytes raw, uint64_t offset)
{
	for (size_t i = 0; i < m->count; i++) {
		if (m->patterns[i].from <= offset &&
		    is_in(&m->patterns[i], raw))
			return true;
	}
	return false;
}

/* Returns how many bytes at the end may begin it. */
static size_t mask_one(
    const struct pattern *p, uint64_t offset, struct bytes raw, uint8_t *out)
{
	size_t matched = 0, masked_to = 0, at = 0;

	while (at < raw.len) {
		const uint8_t *first;
		size_t from;

		/* Most bytes begin no value: that is where time goes. */
		if (matched == 0) {
			first = memchr(raw.p + at, p->text[0], raw.len - at);
			if (first == NULL)
				return 0;
			at = (size_t)(first - raw.p);
		}
		matched = advance(p, matched, raw.p[at++]);
		if (matched < p->len)
			continue;
		from = at - p->len;
		if (offset + from < p->from)
			continue;
		if (from < masked_to)
			from = masked_to;
		memset(out + from, '*', at - from);
		masked_to = at;
	}
	return matched < p->len ? matched : 0;
}

static size_t mask_all(
    const struct mask *m, uint64_t offset, struct bytes raw, uint8_t *out)
{
	size_t hold = 0;

	if (raw.len > 0)
		memcpy(out, raw.p, raw.len);
	for (size_t i = 0; i < m->count; i++) {
		size_t begun = mask_one(&m->patterns[i], offset, raw, out);

		if (begun > hold)
			hold = begun;
	}
	return hold;
}

size_t mask_copy(const struct mask *m, struct bytes raw, uint8_t *out)
{
	return mask_all(m, UINT64_MAX - raw.len, raw, out);
}

size_t mask_copy_at(
    const struct mask *m, uint64_t offset, struct bytes raw, uint8_t *out)
{
	const struct blank rest = { m->rest, UINT64_MAX };
	size_t hold = mask_all(m, offset, raw, out);

	for (size_t i = 0; i < m->blank_count; i++)
		blank(&m->blanks[i], offset, out, raw.len);
	blank(&rest, offset, out, raw.len);
	return hold;
}

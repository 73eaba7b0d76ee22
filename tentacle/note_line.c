#include "tentacle/note_line.h"

#include "common/secret.h"

#include <stdio.h>
#include <string.h>

enum key {
	KEY_NAME,
	KEY_VALUE,
	KEY_SENSITIVE,
	KEY_PATH,
	KEY_PERCENT,
	KEY_TEXT,
	KEY_COUNT
};

#define BIT(key) (1u << (key))

static const char *const key_names[KEY_COUNT] = { "name", "value", "sensitive",
	"path", "percent", "text" };

static const struct {
	const char *name;
	enum note_kind kind;
	unsigned needs, may;
} verbs[] = {
	{ "set", NOTE_OUTPUT, BIT(KEY_NAME) | BIT(KEY_VALUE),
	    BIT(KEY_SENSITIVE) },
	{ "artifact", NOTE_ARTIFACT, BIT(KEY_PATH), BIT(KEY_NAME) },
	{ "progress", NOTE_STATE, BIT(KEY_PERCENT), BIT(KEY_TEXT) },
	{ "warning", NOTE_WARNING, BIT(KEY_TEXT), 0 },
};

#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

/* --- Reading ------------------------------------------------------------ */

struct reader {
	const uint8_t *p, *end;
};

static struct bytes read_word(struct reader *r)
{
	const uint8_t *begin = r->p;

	while (r->p < r->end && *r->p >= 'a' && *r->p <= 'z')
		r->p++;
	return bytes_of(begin, (size_t)(r->p - begin));
}

static bool take(struct reader *r, uint8_t byte)
{
	if (r->p == r->end || *r->p != byte)
		return false;
	r->p++;
	return true;
}

static int unescape(uint8_t byte)
{
	switch (byte) {
	case '|':
	case '\'':
		return byte;
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	default:
		return -1;
	}
}

/* Up to the quote that ends it.  RC_LIMIT: longer than size. */
static enum rc read_value(
    struct reader *r, uint8_t *out, size_t size, size_t *len, struct bytes *raw)
{
	const uint8_t *begin = r->p;

	*len = 0;
	while (r->p < r->end && *r->p != '\'') {
		int c = *r->p++;

		if (c == '|')
			c = r->p < r->end ? unescape(*r->p++) : -1;
		else if ((c < ' ' && c != '\t') || c == 0x7f)
			c = -1;
		if (c < 0)
			return RC_PROTO;
		if (*len == size)
			return RC_LIMIT;
		out[(*len)++] = (uint8_t)c;
	}
	*raw = bytes_of(begin, (size_t)(r->p - begin));
	return take(r, '\'') ? RC_OK : RC_PROTO;
}

/* --- Meaning ------------------------------------------------------------ */

static enum rc fail(struct fault *fault, const char *why, struct bytes what)
{
	fault_set(fault, REASON_PROTOCOL, "", "%s%s%.*s", why,
	    what.len > 0 ? " " : "", (int)(what.len < 60 ? what.len : 60),
	    (const char *)what.p);
	return RC_PROTO;
}

static bool to_text(char *out, size_t size, const uint8_t *value, size_t len)
{
	if (len == 0 || len >= size || memchr(value, '\n', len) != NULL)
		return false;
	memcpy(out, value, len);
	out[len] = '\0';
	return true;
}

static bool to_percent(const uint8_t *value, size_t len, uint32_t *out)
{
	*out = 0;
	if (len == 0 || len > 3)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (value[i] < '0' || value[i] > '9')
			return false;
		*out = *out * 10 + (uint32_t)(value[i] - '0');
	}
	return *out <= 100;
}

static bool to_flag(const uint8_t *value, size_t len, bool *out)
{
	*out = len == 3 && memcmp(value, "yes", 3) == 0;
	return *out || (len == 2 && memcmp(value, "no", 2) == 0);
}

/* One value is where it belongs. */
static bool keep(struct note_line *l, enum key key, const uint8_t *value,
    size_t len, struct bytes raw)
{
	switch (key) {
	case KEY_NAME:
		if (l->kind == NOTE_ARTIFACT)
			return to_text(l->title, sizeof(l->title), value, len);
		return to_text(l->name, NOTE_NAME_MAX + 1, value, len) &&
		       variable_is_valid(l->name);
	case KEY_PATH:
		return to_text(l->name, sizeof(l->name), value, len);
	case KEY_SENSITIVE:
		return to_flag(value, len, &l->sensitive);
	case KEY_PERCENT:
		return to_percent(value, len, &l->percent);
	case KEY_VALUE:
	case KEY_TEXT:
		if (memchr(value, '\0', len) != NULL)
			return false;
		memcpy(l->text, value, len);
		l->text_len = len;
		l->raw_text = raw;
		return true;
	case KEY_COUNT:
		break;
	}
	return false;
}

static bool find_key(struct bytes word, enum key *out)
{
	for (int i = 0; i < KEY_COUNT; i++) {
		if (bytes_equal(word, bytes_text(key_names[i]))) {
			*out = (enum key)i;
			return true;
		}
	}
	return false;
}

static enum rc read_pair(struct reader *r, size_t verb, unsigned *seen,
    struct note_line *l, struct fault *fault)
{
	unsigned allowed = verbs[verb].needs | verbs[verb].may;
	uint8_t value[NOTE_TEXT_MAX];
	struct bytes word = read_word(r), raw;
	enum key key;
	enum rc rc;
	size_t len;
	bool kept;

	if (!find_key(word, &key) || (allowed & BIT(key)) == 0)
		return fail(fault, "has an unknown key", word);
	if ((*seen & BIT(key)) != 0)
		return fail(fault, "names twice", word);
	*seen |= BIT(key);
	if (!take(r, '=') || !take(r, '\''))
		return fail(fault, "has no ='...' behind", word);
	rc = read_value(r, value, sizeof(value), &len, &raw);
	if (rc == RC_LIMIT)
		return fail(fault, "has too long a value of", word);
	kept = rc == RC_OK && keep(l, key, value, len, raw);
	secret_wipe(value, sizeof(value));
	return kept ? RC_OK : fail(fault, "has a bad value of", word);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

enum rc note_line_parse(
    struct bytes line, struct note_line *out, struct fault *fault)
{
	struct reader r = { line.p + sizeof(NOTE_LINE_BEGIN) - 1,
		line.p + line.len };
	struct bytes word;
	unsigned seen = 0;
	size_t verb = 0;

	memset(out, 0, sizeof(*out));
	if (line.len > NOTE_LINE_MAX)
		return fail(fault, "is too long", bytes_text(""));
	word = read_word(&r);
	while (verb < VERB_COUNT &&
	       !bytes_equal(word, bytes_text(verbs[verb].name)))
		verb++;
	if (verb == VERB_COUNT)
		return fail(fault,
		    "is none of set, artifact, progress, warning:", word);
	out->kind = verbs[verb].kind;
	while (take(&r, ' ')) {
		enum rc rc = read_pair(&r, verb, &seen, out, fault);

		if (rc != RC_OK)
			return rc;
	}
	if (!take(&r, ']') || r.p != r.end)
		return fail(fault, "does not end with ]", bytes_text(""));
	if ((seen & verbs[verb].needs) != verbs[verb].needs)
		return fail(fault, "lacks a key", bytes_text(""));
	if (out->kind == NOTE_ARTIFACT && out->title[0] == '\0')
		(void)snprintf(out->title, sizeof(out->title), "%.255s",
		    base_name(out->name));
	if (out->kind == NOTE_ARTIFACT &&
	    (out->title[0] == '\0' || out->title[0] == '.' ||
		strchr(out->title, '/') != NULL))
		return fail(fault,
		    "calls a file what is no name:", bytes_text(out->title));
	return RC_OK;
}

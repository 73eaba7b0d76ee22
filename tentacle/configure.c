#include "tentacle/configure.h"

#include <string.h>

struct scan {
	struct bytes text;
	size_t at;
	unsigned line;
	const struct configure_values *values;
	const char *name;
	struct buf *out;
	bool used_secret;
	struct fault *fault;
	unsigned unset; /* variables; the first is in *fault */
};

static const struct msg_pair *find_pair(
    const struct msg_pair *pairs, size_t count, struct bytes name)
{
	for (size_t i = 0; i < count; i++) {
		if (bytes_equal(pairs[i].name, name))
			return &pairs[i];
	}
	return NULL;
}

static const struct msg_pair *look_up(struct scan *s, struct bytes name)
{
	const struct configure_values *v = s->values;
	const struct msg_pair *pair =
	    find_pair(v->secrets, v->secret_count, name);

	if (pair != NULL) {
		s->used_secret = true;
		return pair;
	}
	return find_pair(v->variables, v->variable_count, name);
}

static enum rc too_long(struct scan *s)
{
	fault_set(s->fault, REASON_BAD_CONFIG, "",
	    "%.120s: longer than %d bytes with its values put in", s->name,
	    CONFIGURE_FILE_MAX);
	return RC_LIMIT;
}

static enum rc emit(struct scan *s, const uint8_t *p, size_t len)
{
	enum rc rc = len > 0 ? buf_add(s->out, p, len) : RC_OK;

	return rc == RC_LIMIT ? too_long(s) : rc;
}

static enum rc not_a_name(struct scan *s)
{
	fault_set(s->fault, REASON_BAD_CONFIG, "",
	    "%.120s:%u: \"${\" is not followed by a variable's name and \"}\" "
	    "(write \"$${\" for a plain \"${\")",
	    s->name, s->line);
	return RC_PROTO;
}

/* At "${": put the value in, or remember that there is none. */
static enum rc substitute(struct scan *s)
{
	const uint8_t *from = s->text.p + s->at + 2;
	size_t left = s->text.len - s->at - 2;
	char name[VARIABLE_SIZE] = "";
	const struct msg_pair *pair;
	size_t len = 0;

	while (len < left && len < sizeof(name) && from[len] != '}' &&
	       from[len] != '\n')
		len++;
	if (len == left || len == sizeof(name) || from[len] != '}')
		return not_a_name(s);
	memcpy(name, from, len);
	if (!variable_is_valid(name))
		return not_a_name(s);
	s->at += len + 3;
	pair = look_up(s, bytes_of(from, len));
	if (pair != NULL)
		return emit(s, pair->value.p, pair->value.len);
	if (s->unset++ == 0)
		fault_set(s->fault, REASON_BAD_CONFIG, "",
		    "%.100s:%u: variable %s is not set", s->name, s->line,
		    name);
	return RC_OK;
}

static bool follows(const struct scan *s, const char *what)
{
	size_t len = strlen(what);

	return s->text.len - s->at >= len &&
	       memcmp(s->text.p + s->at, what, len) == 0;
}

/* Up to the next '$', counting lines. */
static enum rc plain_run(struct scan *s)
{
	size_t from = s->at;

	do {
		s->line += s->text.p[s->at] == '\n';
		s->at++;
	} while (s->at < s->text.len && s->text.p[s->at] != '$');
	return emit(s, s->text.p + from, s->at - from);
}

static void tell_how_many(struct scan *s)
{
	const char *first;
	struct fault all;

	if (s->fault == NULL)
		return;
	first = s->fault->text;
	fault_set(&all, REASON_BAD_CONFIG, "", "%.220s (and %u more)", first,
	    s->unset - 1);
	*s->fault = all;
}

enum rc configure_text(struct bytes text, const struct configure_values *values,
    const char *name, struct buf *out, bool *used_secret, struct fault *fault)
{
	struct scan s = { .text = text,
		.line = 1,
		.values = values,
		.name = name,
		.out = out,
		.fault = fault };
	enum rc rc = RC_OK;

	if (text.len > 0 && memchr(text.p, 0, text.len) != NULL) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "%.120s: is binary; only text files can be configured",
		    name);
		return RC_PROTO;
	}
	while (rc == RC_OK && s.at < text.len) {
		if (follows(&s, "$${")) {
			rc = emit(&s, text.p + s.at + 1, 2);
			s.at += 3;
		} else if (follows(&s, "${")) {
			rc = substitute(&s);
		} else {
			rc = plain_run(&s);
		}
	}
	if (rc == RC_OK && s.unset > 1)
		tell_how_many(&s);
	*used_secret = s.used_secret;
	return rc == RC_OK && s.unset > 0 ? RC_PROTO : rc;
}

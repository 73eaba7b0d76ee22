#include "test/tools/fault_line.h"

#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 4
#define LINE_SIZE 128
#define RATE_US   1000000

static const char *const verbs[FAULT_VERB_COUNT] = {
	[FAULT_PASS] = "pass",
	[FAULT_CUT] = "cut",
	[FAULT_FREEZE] = "freeze",
	[FAULT_PAUSE] = "pause",
	[FAULT_RESUME] = "resume",
	[FAULT_HOLD] = "hold",
	[FAULT_RATE] = "rate",
	[FAULT_CLOSE] = "close",
	[FAULT_RESET] = "reset",
	[FAULT_STAT] = "stat",
};

static bool parse_verb(const char *word, enum fault_verb *out)
{
	for (int v = 0; v < FAULT_VERB_COUNT; v++) {
		if (strcmp(word, verbs[v]) == 0) {
			*out = (enum fault_verb)v;
			return true;
		}
	}
	return false;
}

static bool parse_dir(const char *word, struct fault_command *c)
{
	c->dir[FAULT_UP] = strcmp(word, "up") == 0 || strcmp(word, "both") == 0;
	c->dir[FAULT_DOWN] =
	    strcmp(word, "down") == 0 || strcmp(word, "both") == 0;
	return c->dir[FAULT_UP] || c->dir[FAULT_DOWN];
}

static bool parse_bytes(const char *word, uint32_t *out)
{
	char *end;
	unsigned long value;

	if (word[0] < '0' || word[0] > '9')
		return false;
	value = strtoul(word, &end, 10);
	if (*end != '\0' || value > FAULT_BYTES_MAX)
		return false;
	*out = (uint32_t)value;
	return true;
}

static size_t split(char *line, const char *words[WORDS_MAX + 1])
{
	size_t count = 0;
	char *save = NULL;

	for (char *w = strtok_r(line, " \t\r\n", &save);
	     w != NULL && count <= WORDS_MAX;
	     w = strtok_r(NULL, " \t\r\n", &save))
		words[count++] = w;
	return count;
}

/* The words behind the verb; why it is wrong, or NULL. */
static const char *parse_rest(
    struct fault_command *c, const char **words, size_t count)
{
	bool takes_bytes = c->verb == FAULT_CUT || c->verb == FAULT_FREEZE ||
	                   c->verb == FAULT_HOLD || c->verb == FAULT_RATE;
	bool takes_dir =
	    takes_bytes || c->verb == FAULT_PAUSE || c->verb == FAULT_RESUME;

	c->dir[FAULT_UP] = c->dir[FAULT_DOWN] = !takes_bytes;
	if (takes_dir && count > 0) {
		if (!parse_dir(words[0], c))
			return "the direction is up, down or both";
		words++;
		count--;
	}
	if (takes_bytes) {
		if (count == 0 || !parse_bytes(words[0], &c->bytes))
			return "bytes are a number up to 1000000000";
		words++;
		count--;
	}
	if (c->verb == FAULT_CUT && count == 1 &&
	    strcmp(words[0], "reset") == 0) {
		c->reset = true;
		count--;
	}
	if (c->verb == FAULT_HOLD && c->bytes > FAULT_HOLD_MAX)
		return "at most 32768 bytes can be held back";
	if ((c->verb == FAULT_CUT || c->verb == FAULT_FREEZE) &&
	    c->dir[FAULT_UP] && c->dir[FAULT_DOWN])
		return "one direction at a time: up or down";
	return count == 0 ? NULL : "words too many";
}

enum rc fault_command_parse(
    const char *text, struct fault_command *out, const char **why)
{
	struct fault_command c = { 0 };
	const char *words[WORDS_MAX + 1];
	char line[LINE_SIZE];
	size_t count;

	*why = "a command is too long";
	if (strlen(text) >= sizeof(line))
		return RC_PROTO;
	memcpy(line, text, strlen(text) + 1);
	count = split(line, words);
	*why = "no such command";
	if (count == 0 || !parse_verb(words[0], &c.verb))
		return RC_PROTO;
	*why = parse_rest(&c, words + 1, count - 1);
	if (*why != NULL)
		return RC_PROTO;
	*out = c;
	return RC_OK;
}

void fault_line_init(struct fault_line *l)
{
	memset(l, 0, sizeof(*l));
}

static void arm(
    struct fault_line *l, const struct fault_command *c, enum fault_trip trip)
{
	l->trip = trip;
	l->trip_at = l->carried + c->bytes;
}

void fault_line_apply(
    struct fault_line *l, enum fault_dir dir, const struct fault_command *c)
{
	if (!c->dir[dir])
		return;
	switch (c->verb) {
	case FAULT_PASS:
		l->trip = FAULT_TRIP_NONE;
		l->hold = 0;
		l->paused = l->limited = false;
		break;
	case FAULT_CUT:
		arm(l, c, c->reset ? FAULT_TRIP_RESET : FAULT_TRIP_CLOSE);
		break;
	case FAULT_FREEZE:
		arm(l, c, FAULT_TRIP_FREEZE);
		break;
	case FAULT_PAUSE:
	case FAULT_RESUME:
		l->paused = c->verb == FAULT_PAUSE;
		break;
	case FAULT_HOLD:
		l->hold = c->bytes;
		break;
	case FAULT_RATE:
		l->limited = c->bytes > 0;
		/* A tenth of a second's worth at once. */
		bucket_init(&l->rate, c->bytes, RATE_US, c->bytes / 10 + 1);
		break;
	case FAULT_CLOSE:
	case FAULT_RESET:
	case FAULT_STAT:
	case FAULT_VERB_COUNT:
		break;
	}
}

size_t fault_line_may(struct fault_line *l, size_t waiting, uint64_t now_us)
{
	size_t may = waiting > l->hold ? waiting - l->hold : 0;

	if (l->paused)
		return 0;
	if (l->trip != FAULT_TRIP_NONE && may > l->trip_at - l->carried)
		may = (size_t)(l->trip_at - l->carried);
	if (l->limited) {
		int64_t left;

		bucket_fill(&l->rate, now_us);
		left = l->rate.level / RATE_US;
		if (left <= 0)
			return 0;
		if (may > (size_t)left)
			may = (size_t)left;
	}
	return may;
}

enum fault_trip fault_line_carried(struct fault_line *l, size_t len)
{
	enum fault_trip trip = l->trip;

	l->carried += len;
	if (l->limited)
		bucket_spend(&l->rate, (uint32_t)len);
	if (trip == FAULT_TRIP_NONE || l->carried < l->trip_at)
		return FAULT_TRIP_NONE;
	l->trip = FAULT_TRIP_NONE;
	return trip;
}

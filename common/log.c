#include "common/log.h"

#include "common/clock.h"
#include "common/utf8.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Shares of a line's LOG_LINE_MAX, in bytes after escaping. */
#define MESSAGE_MAX 2048
#define VALUE_MAX   1024
#define ID_MAX      128
#define TAIL_ROOM   128 /* kept for what closes the line */

/* A line under construction; what does not fit is cut. */
struct line {
	char text[LOG_LINE_MAX];
	size_t len;
};

enum quoting {
	QUOTE_MESSAGE, /* blanks are fine */
	QUOTE_VALUE,   /* inside double quotes */
};

static struct {
	pthread_mutex_t lock; /* for all below */
	struct log_options options;
	struct log_site *suppressed_sites;
	_Atomic int level; /* also read without the lock */
} the = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.options = LOG_OPTIONS_DEFAULT,
	.level = LOG_LEVEL_INFO,
};

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

void log_setup(const struct log_options *options)
{
	(void)pthread_mutex_lock(&the.lock);
	the.options = *options;
	(void)pthread_mutex_unlock(&the.lock);
	log_set_level(options->level);
}

void log_set_level(enum log_level level)
{
	atomic_store(&the.level, (int)level);
}

bool log_enabled(enum log_level level)
{
	return (int)level <=
	       atomic_load_explicit(&the.level, memory_order_relaxed);
}

enum rc log_level_parse(const char *name, enum log_level *out)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]);
	     i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*out = (enum log_level)i;
			return RC_OK;
		}
	}
	return RC_NOTFOUND;
}

static void put(struct line *line, const char *text, size_t len)
{
	if (len < sizeof(line->text) - line->len) {
		memcpy(line->text + line->len, text, len);
		line->len += len;
	}
}

static void put_text(struct line *line, const char *text)
{
	put(line, text, strlen(text));
}

/* One byte that may not appear as it is. */
static void put_escape(struct line *line, unsigned char c, bool json)
{
	char text[8];
	const char *brief = NULL;

	switch (c) {
	case '\n':
		brief = "\\n";
		break;
	case '\t':
		brief = "\\t";
		break;
	case '\r':
		brief = "\\r";
		break;
	case '"':
		brief = "\\\"";
		break;
	case '\\':
		brief = "\\\\";
		break;
	default:
		(void)snprintf(
		    text, sizeof(text), json ? "\\u%04x" : "\\x%02x", c);
		brief = text;
	}
	put_text(line, brief);
}

/* At most max bytes, then "..."; no character or escape is cut in two. */
static void put_escaped(struct line *line, const char *text,
    enum quoting quoting, bool json, size_t max)
{
	size_t room = sizeof(line->text) - line->len;
	size_t end;

	if (room < max + TAIL_ROOM)
		max = room > TAIL_ROOM ? room - TAIL_ROOM : 0;
	end = line->len + max;
	while (*text != '\0') {
		unsigned char c = (unsigned char)*text;
		size_t len = utf8_len(text);
		bool plain = len > 1 || (c >= ' ' && c < 0x7f);

		if (line->len + 12 > end) {
			put_text(line, "...");
			return;
		}
		if (quoting == QUOTE_VALUE && (c == '"' || c == '\\'))
			plain = false;
		if (plain)
			put(line, text, len);
		else
			put_escape(line, c, json);
		text += plain ? len : 1;
	}
}

/* Can it stand in logfmt without quotes? */
static bool is_bare(const char *text, size_t max)
{
	if (*text == '\0' || strlen(text) > max)
		return false;
	for (; *text != '\0'; text++) {
		if (*text <= ' ' || *text == '"' || *text == '=' ||
		    *text == '\\' || (unsigned char)*text >= 0x7f)
			return false;
	}
	return true;
}

static void put_quoted(
    struct line *line, const char *text, bool json, size_t max)
{
	put(line, "\"", 1);
	put_escaped(line, text, QUOTE_VALUE, json, max);
	put(line, "\"", 1);
}

static void put_number(struct line *line, int64_t number)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%lld", (long long)number);
	put_text(line, text);
}

static void put_pair(
    struct line *line, const char *key, const char *text, size_t max)
{
	put_text(line, ",\"");
	put_text(line, key);
	put_text(line, "\":");
	put_quoted(line, text, true, max);
}

/* Is there another field, and room for all of it but a long value's end? */
static bool has_room_for(const struct line *line, const struct log_field *f)
{
	return f != NULL && f->key != NULL &&
	       line->len + strlen(f->key) + (size_t)2 * TAIL_ROOM <
	           sizeof(line->text);
}

static void build_json(struct line *line, enum log_level level,
    const char *subsystem, const char *id, const struct log_field *fields,
    const char *message)
{
	char now[CLOCK_TEXT_MAX];

	clock_format(clock_wall_ms(), now);
	put_text(line, "{\"time\":");
	put_quoted(line, now, true, ID_MAX);
	put_pair(line, "level", level_names[level], ID_MAX);
	put_pair(line, "subsystem", subsystem, ID_MAX);
	if (id != NULL && *id != '\0')
		put_pair(line, "id", id, ID_MAX);
	put_pair(line, "message", message, MESSAGE_MAX);
	for (; has_room_for(line, fields); fields++) {
		if (fields->text != NULL) {
			put_pair(line, fields->key, fields->text, VALUE_MAX);
		} else {
			put_text(line, ",\"");
			put_text(line, fields->key);
			put_text(line, "\":");
			put_number(line, fields->number);
		}
	}
	put_text(line, "}");
}

static void build_logfmt(struct line *line, enum log_level level,
    const char *subsystem, const char *id, const struct log_field *fields,
    const char *message)
{
	char now[CLOCK_TEXT_MAX];

	clock_format(clock_wall_ms(), now);
	put_text(line, now);
	put_text(line, " ");
	put_text(line, level_names[level]);
	put_text(line, " ");
	put_text(line, subsystem);
	if (id != NULL && *id != '\0') {
		put_text(line, " ");
		put_escaped(line, id, QUOTE_MESSAGE, false, ID_MAX);
	}
	put_text(line, ": ");
	put_escaped(line, message, QUOTE_MESSAGE, false, MESSAGE_MAX);
	for (; has_room_for(line, fields); fields++) {
		put_text(line, " ");
		put_text(line, fields->key);
		put_text(line, "=");
		if (fields->text == NULL)
			put_number(line, fields->number);
		else if (is_bare(fields->text, TAIL_ROOM))
			put_text(line, fields->text);
		else
			put_quoted(line, fields->text, false, VALUE_MAX);
	}
}

/* Needs the lock: lines of two threads never mix. */
static void emit(enum log_level level, const char *subsystem, const char *id,
    const struct log_field *fields, const char *message)
{
	struct line line;
	size_t done = 0;

	line.len = 0;
	if (the.options.format == LOG_FORMAT_JSON)
		build_json(&line, level, subsystem, id, fields, message);
	else
		build_logfmt(&line, level, subsystem, id, fields, message);
	line.text[line.len++] = '\n';
	while (done < line.len) {
		ssize_t n =
		    write(the.options.fd, line.text + done, line.len - done);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			break; /* nobody left to tell */
	}
}

static void tell_suppressed(struct log_site *site)
{
	char message[64];

	(void)snprintf(message, sizeof(message),
	    "%u lines like this suppressed", site->suppressed);
	emit(LOG_LEVEL_WARN, "log", site->subsystem, NULL, message);
	site->suppressed = 0;
}

/* Tell what was suppressed at sites whose window is over (or all). */
static void tell_ended_windows(uint64_t now_ms, bool all)
{
	struct log_site **link = &the.suppressed_sites;

	while (*link != NULL) {
		struct log_site *site = *link;

		if (!all &&
		    now_ms - site->window_start_ms < the.options.window_ms) {
			link = &site->next;
			continue;
		}
		*link = site->next;
		site->next = NULL;
		tell_suppressed(site);
	}
}

/* Count the line; may it be written? */
static bool may_write(
    struct log_site *site, const char *subsystem, uint64_t now_ms)
{
	if (the.options.burst == 0)
		return true;
	if (site->lines == 0 ||
	    now_ms - site->window_start_ms >= the.options.window_ms) {
		site->window_start_ms = now_ms;
		site->lines = 0;
	}
	if (site->lines < the.options.burst) {
		site->lines++;
		return true;
	}
	if (site->suppressed++ == 0) {
		site->subsystem = subsystem;
		site->next = the.suppressed_sites;
		the.suppressed_sites = site;
	}
	return false;
}

void log_write(struct log_site *site, enum log_level level,
    const char *subsystem, const char *id, const struct log_field *fields,
    const char *format, ...)
{
	uint64_t now_ms = clock_monotonic_ms();
	char message[MESSAGE_MAX];
	int error = errno;
	va_list args;

	va_start(args, format);
	if (vsnprintf(message, sizeof(message), format, args) < 0)
		message[0] = '\0';
	va_end(args);
	(void)pthread_mutex_lock(&the.lock);
	tell_ended_windows(now_ms, false);
	if (site == NULL || may_write(site, subsystem, now_ms))
		emit(level, subsystem, id, fields, message);
	(void)pthread_mutex_unlock(&the.lock);
	errno = error;
}

void log_flush(void)
{
	(void)pthread_mutex_lock(&the.lock);
	tell_ended_windows(0, true);
	(void)pthread_mutex_unlock(&the.lock);
}

#include "server/cli/session.h"

#include "common/buf.h"
#include "common/config.h"
#include "common/fs.h"
#include "common/random.h"
#include "common/xalloc.h"
#include "proto/name.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIST_MAX          1000000
#define PAGE_MAX          500        /* of all pages but the first */
#define SESSION_BYTES_MAX (4u << 20) /* of one answer */

static const char *program(const struct session *s)
{
	return command_line_table(s->line)->program;
}

enum command_exit session_fail(
    struct session *s, enum command_exit code, const struct fault *fault)
{
	output_progress_end();
	if (s->failed == COMMAND_OK) {
		output_fault(program(s), fault);
		s->failed = code;
	}
	return s->failed;
}

enum command_exit session_usage(struct session *s, const char *format, ...)
{
	struct fault fault = { 0 };
	char text[FAULT_TEXT_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fault_set(&fault, REASON_NONE, "", "%s", text);
	return session_fail(s, COMMAND_USAGE, &fault);
}

bool session_open(struct session *s, const struct command_line *line)
{
	struct login login = { 0 };
	struct fault fault = { 0 };

	*s = (struct session){ .line = line };
	if (login_load(&login, &fault) != RC_OK ||
	    client_new(&login, &s->client, &fault) != RC_OK) {
		(void)session_fail(s, COMMAND_ERROR, &fault);
		return false;
	}
	return true;
}

enum command_exit session_close(struct session *s)
{
	client_free(s->client);
	s->client = NULL;
	return s->failed;
}

/* ---- requests ---- */

/* As printf with only %s, each escaped. */
char *session_path(const char *format, ...)
{
	struct buf buf;
	va_list args;
	enum rc rc = RC_OK;

	buf_init(&buf, 16384);
	va_start(args, format);
	for (; *format != '\0' && rc == RC_OK; format++) {
		if (format[0] == '%' && format[1] == 's') {
			rc = client_escape(&buf, va_arg(args, const char *));
			format++;
		} else {
			rc = buf_add(&buf, format, 1);
		}
	}
	va_end(args);
	return buf_take(&buf);
}

static json_t *call(
    struct session *s, const struct client_request *request, json_t *body)
{
	struct client_answer answer = { 0 };
	json_t *result = NULL;

	if (s->failed != COMMAND_OK || request->path == NULL) {
		json_decref(body);
		return NULL;
	}
	if (client_call(s->client, request, &answer) != RC_OK)
		(void)session_fail(s, client_exit(&answer), &answer.fault);
	else
		result = answer.body != NULL ? json_incref(answer.body)
		                             : json_object();
	client_answer_clear(&answer);
	json_decref(body);
	return result;
}

json_t *session_call(
    struct session *s, const char *method, const char *path, json_t *body)
{
	const struct client_request request = {
		.method = method, .path = path, .body = body
	};

	return call(s, &request, body);
}

json_t *session_create(struct session *s, const char *path, json_t *body)
{
	char key[ID_SIZE];
	const struct client_request request = { .method = "POST",
		.path = path,
		.body = body,
		.idempotency_key = key };

	random_hex(key, ID_BYTES);
	return call(s, &request, body);
}

bool session_bytes(struct session *s, const char *path, struct buf *out)
{
	const struct client_request request = {
		.method = "GET", .path = path, .bytes = out
	};

	buf_init(out, SESSION_BYTES_MAX);
	json_decref(call(s, &request, NULL));
	return s->failed == COMMAND_OK;
}

json_t *session_list(struct session *s, const char *path)
{
	json_t *all = json_array();
	char *next = NULL;

	do {
		char *url = next == NULL
		                ? xprintf("%s", path)
		                : xprintf("%s%climit=%d&cursor=%s", path,
				      strchr(path, '?') != NULL ? '&' : '?',
				      PAGE_MAX, next);
		json_t *page = session_call(s, "GET", url, NULL);
		const char *cursor =
		    json_string_value(json_object_get(page, "next"));

		free(url);
		free(next);
		next = cursor != NULL ? session_path("%s", cursor) : NULL;
		(void)json_array_extend(all, json_object_get(page, "items"));
		json_decref(page);
	} while (next != NULL && json_array_size(all) < LIST_MAX);
	free(next);
	if (s->failed != COMMAND_OK) {
		json_decref(all);
		return NULL;
	}
	return all;
}

/* ---- tables ---- */

static void print_texts(struct output *t, const json_t *value)
{
	const char *texts[256];
	size_t count = 0;

	for (size_t i = 0; i < json_array_size(value) && count < 256; i++) {
		const char *text = json_string_value(json_array_get(value, i));

		if (text != NULL)
			texts[count++] = text;
	}
	output_texts(t, texts, count);
}

static void print_routes(struct output *t, const json_t *value)
{
	char *made[16];
	const char *texts[16];
	size_t count = 0;

	for (size_t i = 0; i < json_array_size(value) && count < 16; i++) {
		const json_t *one = json_array_get(value, i);
		const char *path =
		    json_string_value(json_object_get(one, "path"));
		const char *endpoint =
		    json_string_value(json_object_get(one, "endpoint"));

		made[count] = xprintf("%s%s%s", path != NULL ? path : "?",
		    endpoint != NULL && *endpoint != '\0' ? "=" : "",
		    endpoint != NULL ? endpoint : "");
		texts[count] = made[count];
		count++;
	}
	output_texts(t, texts, count);
	for (size_t i = 0; i < count; i++)
		free(made[i]);
}

static void print_cell(struct output *t, enum cell type, const json_t *value)
{
	const char *text = json_string_value(value);

	if (value == NULL || json_is_null(value)) {
		output_null(t);
		return;
	}
	switch (type) {
	case CELL_TEXT:
		output_text(t, text);
		break;
	case CELL_NUMBER:
		output_number(t, json_integer_value(value));
		break;
	case CELL_BOOL:
		output_bool(t, json_is_true(value));
		break;
	case CELL_TIME:
		output_time(t, json_integer_value(value));
		break;
	case CELL_TEXTS:
		print_texts(t, value);
		break;
	case CELL_ROUTES:
		print_routes(t, value);
		break;
	}
}

static void print_row(
    struct output *t, const struct cells *cells, const json_t *item)
{
	output_row(t);
	for (size_t i = 0; i < cells->count; i++)
		print_cell(t, cells->types[i],
		    json_object_get(item, cells->columns[i].name));
}

static void failed_to_print(struct session *s)
{
	struct fault fault = { 0 };

	fault_set(&fault, REASON_NONE, "", "cannot write to standard output");
	(void)session_fail(s, COMMAND_ERROR, &fault);
}

void session_print(struct session *s, const struct cells *cells, json_t *items)
{
	struct output *t = NULL;

	if (items == NULL)
		return;
	if (output_new(cells->columns, cells->count, &t) != RC_OK) {
		json_decref(items);
		return;
	}
	for (size_t i = 0; i < json_array_size(items); i++)
		print_row(t, cells, json_array_get(items, i));
	if (output_print(t, output_format_of(s->line), stdout) != RC_OK)
		failed_to_print(s);
	output_free(t);
	json_decref(items);
}

void session_print_one(
    struct session *s, const struct cells *cells, json_t *item)
{
	struct output *t = NULL;

	if (item == NULL)
		return;
	if (output_new(cells->columns, cells->count, &t) != RC_OK) {
		json_decref(item);
		return;
	}
	print_row(t, cells, item);
	if (output_print_one(t, output_format_of(s->line), stdout) != RC_OK)
		failed_to_print(s);
	output_free(t);
	json_decref(item);
}

/* ---- options ---- */

const char *session_option(const struct session *s, const char *name)
{
	return command_value(s->line, name);
}

void session_text(const struct session *s, json_t *body, const char *member,
    const char *option)
{
	const char *value = command_value(s->line, option);

	if (value != NULL)
		(void)json_object_set_new(body, member, json_string(value));
}

void session_texts(const struct session *s, json_t *body, const char *member,
    const char *option)
{
	size_t count = command_value_count(s->line, option);
	json_t *array;

	if (count == 0)
		return;
	array = json_array();
	for (size_t i = 0; i < count; i++)
		(void)json_array_append_new(
		    array, json_string(command_value_at(s->line, option, i)));
	(void)json_object_set_new(body, member, array);
}

enum rc seconds_parse(const char *text, uint64_t *out)
{
	uint64_t factor = 1, value = 0;
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 9)
		return RC_PROTO;
	for (size_t i = 0; i < digits; i++)
		value = value * 10 + (uint64_t)(text[i] - '0');
	switch (text[digits]) {
	case '\0':
	case 's':
		break;
	case 'm':
		factor = 60;
		break;
	case 'h':
		factor = 3600;
		break;
	case 'd':
		factor = UINT64_C(86400);
		break;
	default:
		return RC_PROTO;
	}
	if (text[digits] != '\0' && text[digits + 1] != '\0')
		return RC_PROTO;
	*out = value * factor;
	return RC_OK;
}

bool session_seconds(
    struct session *s, json_t *body, const char *member, const char *option)
{
	const char *value = command_value(s->line, option);
	uint64_t seconds;

	if (value == NULL)
		return true;
	if (seconds_parse(value, &seconds) != RC_OK) {
		(void)session_usage(s,
		    "--%s: %.40s is no duration; write 90s, 5m, 2h or 7d",
		    option, value);
		return false;
	}
	(void)json_object_set_new(
	    body, member, json_integer((json_int_t)seconds));
	return true;
}

bool session_number(
    struct session *s, json_t *body, const char *member, const char *option)
{
	const char *value = command_value(s->line, option);
	size_t len = value != NULL ? strlen(value) : 0;

	if (value == NULL)
		return true;
	if (len == 0 || len > 9 || strspn(value, "0123456789") != len) {
		(void)session_usage(
		    s, "--%s: %.40s is no whole number", option, value);
		return false;
	}
	(void)json_object_set_new(
	    body, member, json_integer(strtol(value, NULL, 10)));
	return true;
}

bool session_size(
    struct session *s, json_t *body, const char *member, const char *option)
{
	const char *value = command_value(s->line, option);
	int64_t bytes;

	if (value == NULL)
		return true;
	if (config_parse_size(value, &bytes) != RC_OK || bytes <= 0) {
		(void)session_usage(
		    s, "--%s: %.40s is no size, such as 256MiB", option, value);
		return false;
	}
	(void)json_object_set_new(
	    body, member, json_integer((json_int_t)bytes));
	return true;
}

char *session_read(struct session *s, const char *path, size_t limit)
{
	struct fault fault = { 0 };
	uint8_t *data = NULL;
	size_t len;
	enum rc rc;

	if (strcmp(path, "-") == 0) {
		rc = fs_read_fd(STDIN_FILENO, limit, &data, &len);
		if (rc != RC_OK)
			fault_set(&fault, REASON_NONE, "",
			    "standard input: %s (limit %zu bytes)", rc_name(rc),
			    limit);
	} else {
		rc = fs_read_file(path, limit, &data, &len, &fault);
	}
	if (rc == RC_OK && strlen((const char *)data) != len) {
		fault_set(&fault, REASON_NONE, "", "%.200s: not a text", path);
		free(data);
		rc = RC_PROTO;
	}
	if (rc != RC_OK) {
		(void)session_fail(s, COMMAND_ERROR, &fault);
		return NULL;
	}
	return (char *)data;
}

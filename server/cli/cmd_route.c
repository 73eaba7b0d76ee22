/* cmd_route.c - why a machine is reached, or is not. */
#include "server/cli/commands.h"

#include "common/clock.h"
#include "common/xalloc.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The lines that the server wrote for people; all else is in the JSON. */
static void print_explained(const json_t *one, enum output_format format)
{
	const json_t *lines = json_object_get(one, "explain");
	const char *advice = json_string_value(json_object_get(one, "advice"));
	const json_t *text;
	size_t i;

	if (format == OUTPUT_JSON || format == OUTPUT_JSONL || lines == NULL) {
		(void)json_dumpf(one, stdout,
		    format == OUTPUT_JSONL ? JSON_COMPACT : JSON_INDENT(2));
		(void)fputc('\n', stdout);
		return;
	}
	json_array_foreach(lines, i, text)
	{
		output_safe(stdout, json_string_value(text));
		(void)fputc('\n', stdout);
	}
	if (advice != NULL)
		(void)printf("%s\n", advice);
}

static enum command_exit run_route_explain(const struct command_line *line)
{
	struct session s;
	char *path;
	json_t *one;

	if (!session_open(&s, line))
		return session_close(&s);
	path = session_path(
	    "/api/v1/machines/%s/route", command_argument(line, 0));
	one = session_call(&s, "GET", path, NULL);
	free(path);
	if (one != NULL)
		print_explained(one, output_format_of(line));
	json_decref(one);
	return session_close(&s);
}

/* ---- trace ---- */

#define QUEUE_WIDTH 13

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text != NULL ? text : "";
}

static int64_t number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static bool is_json(const struct session *s)
{
	enum output_format format = output_format_of(s->line);

	return format == OUTPUT_JSON || format == OUTPUT_JSONL;
}

/* A word from the server or a relay, as wide as its column. */
static void put_cell(const char *text, int width)
{
	int wide = (int)strlen(text);

	output_safe(stdout, text);
	(void)printf("%*s", wide < width ? width - wide + 1 : 1, "");
}

static void print_route(const json_t *hop)
{
	(void)printf("%" PRId64 ". ", number_of(hop, "route"));
	output_safe(stdout, text_of(hop, "path"));
	(void)printf("%s\n",
	    json_is_true(json_object_get(hop, "in_use")) ? ", in use" : "");
}

/* "0/17/65536/0": what waits to go out, in bytes, by class. */
static void print_queue(const json_t *queued)
{
	static const char *const classes[] = { "control", "health", "deploy",
		"bulk" };
	char text[80];

	(void)snprintf(text, sizeof(text),
	    "%" PRId64 "/%" PRId64 "/%" PRId64 "/%" PRId64,
	    number_of(queued, classes[0]), number_of(queued, classes[1]),
	    number_of(queued, classes[2]), number_of(queued, classes[3]));
	put_cell(text, QUEUE_WIDTH);
}

static void print_ms(int64_t us, int width)
{
	char text[32] = "-";

	if (us > 0)
		(void)snprintf(text, sizeof(text),
		    "%" PRId64 ".%02" PRId64 " ms", us / 1000, us % 1000 / 10);
	put_cell(text, width);
}

static void print_until(int64_t ms)
{
	char text[CLOCK_TEXT_MAX] = "-";

	if (ms > 0)
		clock_format(ms, text);
	put_cell(text, 24);
}

/* "10.0.0.3:10933", "192.0.2.7:40112, it dials" */
static void print_address(const json_t *link)
{
	const char *address = text_of(link, "address");
	bool dialled = json_is_true(json_object_get(link, "dialled"));

	output_safe(stdout, address);
	if (!dialled)
		(void)printf("%sit dials", *address != '\0' ? ", " : "");
	(void)fputc('\n', stdout);
}

static void print_link(const json_t *hop, const json_t *link)
{
	bool up = strcmp(text_of(link, "state"), "up") == 0;
	const char *version = text_of(link, "version");

	put_cell(text_of(hop, "by"), 14);
	put_cell(text_of(link, "to"), 18);
	put_cell(text_of(link, "state"), 5);
	print_ms(number_of(link, "rtt_us"), 9);
	if (up)
		print_queue(json_object_get(link, "queued"));
	else
		put_cell("-", QUEUE_WIDTH);
	print_until(number_of(link, "certificate_expires_ms"));
	put_cell(*version != '\0' ? version : "-", 8);
	print_address(link);
}

static void print_why(const json_t *o, const char *says)
{
	(void)printf("   ");
	output_safe(stdout, text_of(o, "text"));
	(void)printf(" (%s%s", text_of(o, "reason"), *says != '\0' ? ", " : "");
	output_safe(stdout, says);
	(void)printf(
	    "%s)\n   %s\n", *says != '\0' ? " says" : "", text_of(o, "advice"));
}

struct tracing {
	struct session *session;
	int64_t route; /* whose hops are printed */
	bool arrived;  /* by one of the routes */
	json_t *all;   /* for -o json */
};

static void print_header(void)
{
	put_cell("FROM", 14);
	put_cell("TO", 18);
	put_cell("STATE", 5);
	put_cell("RTT", 9);
	put_cell("C/H/D/B BYTES", QUEUE_WIDTH);
	put_cell("CERTIFICATE UNTIL", 24);
	put_cell("VERSION", 8);
	(void)printf("AT\n");
}

static void print_hop(struct tracing *t, json_t *hop)
{
	const json_t *link = json_object_get(hop, "link");

	if (json_is_true(json_object_get(hop, "arrived")))
		t->arrived = true;
	(void)json_array_append(t->all, hop);
	if (is_json(t->session)) {
		if (output_format_of(t->session->line) != OUTPUT_JSONL)
			return;
		(void)json_dumpf(hop, stdout, JSON_COMPACT);
		(void)fputc('\n', stdout);
		return;
	}
	if (number_of(hop, "route") != t->route) {
		t->route = number_of(hop, "route");
		print_route(hop);
		print_header();
	}
	if (link != NULL)
		print_link(hop, link);
	if (json_is_true(json_object_get(hop, "arrived"))) {
		put_cell(text_of(hop, "by"), 14);
		(void)printf("answers after ");
		print_ms(number_of(hop, "after_us"), 0);
		(void)printf("version ");
		output_safe(stdout, text_of(hop, "version"));
		(void)fputc('\n', stdout);
	}
	if (json_object_get(hop, "reason") != NULL)
		print_why(hop, text_of(hop, "by"));
}

/* Print what has come; true: that was all. */
static bool take_hops(struct tracing *t, json_t *answer)
{
	bool done =
	    answer == NULL || json_is_true(json_object_get(answer, "done"));
	json_t *hop;
	size_t i;

	json_array_foreach(json_object_get(answer, "hops"), i, hop)
	{
		print_hop(t, hop);
	}
	(void)fflush(stdout); /* somebody watches */
	if (done && json_object_get(answer, "reason") != NULL &&
	    !is_json(t->session))
		print_why(answer, "");
	if (done && answer != NULL &&
	    output_format_of(t->session->line) == OUTPUT_JSON) {
		(void)json_object_set(answer, "hops", t->all);
		(void)json_dumpf(answer, stdout, JSON_INDENT(2));
		(void)fputc('\n', stdout);
	}
	return done;
}

static json_t *ask_more(struct tracing *t, const char *machine, const char *id)
{
	char *after = xprintf("%zu", json_array_size(t->all));
	char *path = session_path(
	    "/api/v1/machines/%s/traces/%s?after=%s", machine, id, after);
	json_t *answer = session_call(t->session, "GET", path, NULL);

	free(path);
	free(after);
	return answer;
}

static void follow_trace(struct tracing *t, const char *machine)
{
	char *path = session_path("/api/v1/machines/%s/traces", machine);
	json_t *answer = session_call(t->session, "POST", path, json_object());
	char *id = xprintf("%s", text_of(answer, "trace"));

	free(path);
	while (!take_hops(t, answer)) {
		json_decref(answer);
		answer = ask_more(t, machine, id);
	}
	json_decref(answer);
	free(id);
}

static enum command_exit run_route_trace(const struct command_line *line)
{
	struct session s;
	struct tracing t = { .session = &s, .all = json_array() };
	enum command_exit code;

	if (session_open(&s, line))
		follow_trace(&t, command_argument(line, 0));
	json_decref(t.all);
	code = session_close(&s);
	return code == COMMAND_OK && !t.arrived ? COMMAND_MACHINE_UNREACHABLE
	                                        : code;
}

const struct command route_commands[] = {
	{ .name = "route explain",
	    .arguments = "MACHINE",
	    .help = "Show what the server knows of the ways to a machine",
	    .run = run_route_explain },
	{ .name = "route trace",
	    .arguments = "MACHINE",
	    .help = "Ask each hop on the ways to a machine, now",
	    .run = run_route_trace },
	{ .name = NULL },
};

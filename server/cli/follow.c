#include "server/cli/follow.h"
#include "server/cli/commands.h"
#include "server/cli/waits.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/xalloc.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_S       20
#define AWAY_MS      120000 /* how long a server may be away */
#define LINE_MAX_LEN 65536
#define SAID_SIZE    256
#define WARNINGS_MAX 10    /* shown at the end */
#define LOOK_MS      10000 /* at what waits, though as much does as before */

/* ---- lines ---- */

struct pending {
	struct pending *next;
	char *run, *prefix;
	struct buf text;
};

struct line_joiner {
	struct pending *first;
	char said[SAID_SIZE];
};

struct line_joiner *line_joiner_new(void)
{
	return xcalloc(1, sizeof(struct line_joiner));
}

static struct pending *find(
    struct line_joiner *j, const char *run, const char *prefix)
{
	struct pending *p = j->first;

	while (p != NULL && strcmp(p->run, run) != 0)
		p = p->next;
	if (p != NULL)
		return p;
	p = xcalloc(1, sizeof(*p));
	p->run = xstrdup(run);
	p->prefix = xstrdup(prefix);
	buf_init(&p->text, LINE_MAX_LEN + 1);
	p->next = j->first;
	j->first = p;
	return p;
}

/*
 * What scripts say to the server is shown in other ways: how far they are in
 * said (of SAID_SIZE bytes), which is all that is done about it here.
 */
static bool is_said(const char *prefix, const char *line, char *said)
{
	static const char *const verbs[] = { "set ", "artifact ", "warning " };
	static const char begin[] = "##longarm[",
			  progress[] = "progress percent='";
	int percent, text;

	if (strncmp(line, begin, sizeof(begin) - 1) != 0)
		return false;
	line += sizeof(begin) - 1;
	for (size_t i = 0; i < COUNT_OF(verbs); i++) {
		if (strncmp(line, verbs[i], strlen(verbs[i])) == 0)
			return true;
	}
	if (strncmp(line, progress, sizeof(progress) - 1) != 0)
		return false;
	line += sizeof(progress) - 1;
	percent = (int)strspn(line, "0123456789");
	line += percent;
	text =
	    strncmp(line, "' text='", 8) == 0 ? (int)strcspn(line + 8, "'") : 0;
	(void)snprintf(said, SAID_SIZE, ", %.60s: %.*s%% %.*s", prefix, percent,
	    line - percent, text < 80 ? text : 80, text > 0 ? line + 8 : "");
	return true;
}

static void print_line(struct line_joiner *j, struct pending *p, FILE *out)
{
	const char *text =
	    p->text.data != NULL ? (const char *)p->text.data : "";

	if (is_said(p->prefix, text, j->said)) {
		buf_clear(&p->text);
		return;
	}
	if (out == NULL) {
		buf_clear(&p->text);
		return;
	}

	output_progress_end();
	(void)fprintf(out, "%s | ", p->prefix);
	output_safe(out, text);
	(void)fputc('\n', out);
	buf_clear(&p->text);
}

void line_joiner_add(struct line_joiner *j, const char *run, const char *prefix,
    const char *text, FILE *out)
{
	struct pending *p = find(j, run, prefix);

	while (*text != '\0') {
		size_t len = strcspn(text, "\n");
		size_t room = LINE_MAX_LEN - p->text.len;
		size_t take = len < room ? len : room;

		if (buf_add(&p->text, text, take) != RC_OK)
			return;
		text += take;
		if (*text == '\n') {
			/* Scripts from elsewhere write CR LF. */
			if (p->text.len > 0 &&
			    p->text.data[p->text.len - 1] == '\r')
				p->text.data[--p->text.len] = '\0';
			print_line(j, p, out);
			text++;
		} else if (p->text.len == LINE_MAX_LEN) {
			print_line(j, p, out);
		}
	}
}

void line_joiner_end(struct line_joiner *j, FILE *out)
{
	for (struct pending *p = j->first; p != NULL; p = p->next) {
		if (p->text.len > 0)
			print_line(j, p, out);
	}
	if (out != NULL)
		(void)fflush(out);
}

void line_joiner_free(struct line_joiner *j)
{
	struct pending *p, *next;

	if (j == NULL)
		return;
	for (p = j->first; p != NULL; p = next) {
		next = p->next;
		buf_fini(&p->text);
		free(p->run);
		free(p->prefix);
		free(p);
	}
	free(j);
}

/* ---- outcome ---- */

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

static bool is_unreachable(const char *name)
{
	enum reason code;

	return reason_parse(name, &code) == RC_OK && exit_is_unreachable(code);
}

enum command_exit exit_of_task(const json_t *task)
{
	const char *state = text_of(task, "state");
	const json_t *fault = json_object_get(task, "fault");

	if (strcmp(state, "succeeded") == 0)
		return json_is_true(json_object_get(task, "partial"))
		           ? COMMAND_PARTIAL
		           : COMMAND_OK;
	if (strcmp(state, "cancelled") == 0)
		return COMMAND_CANCELLED;
	if (strcmp(state, "failed") != 0)
		return COMMAND_ERROR;
	if (json_is_true(json_object_get(task, "partial")))
		return COMMAND_PARTIAL;
	if (is_unreachable(text_of(fault, "code")))
		return COMMAND_MACHINE_UNREACHABLE;
	return COMMAND_TASK_FAILED;
}

/* ---- following ---- */

struct follower {
	struct session *s;
	const struct follow_options *options;
	struct line_joiner *lines;
	const char *id;
	char *cursor;
	json_t *task;            /* as it was last seen */
	char *told;              /* what it waited for then */
	json_int_t told_waiting; /* how many, when that was asked */
	uint64_t told_ms;
	uint64_t begun_ms, away_since_ms;
	bool done;
};

static void print_segments(struct follower *f, const json_t *segments)
{
	for (size_t i = 0; i < json_array_size(segments); i++) {
		const json_t *one = json_array_get(segments, i);
		char *prefix = xprintf(
		    "%s %s", text_of(one, "machine"), text_of(one, "step"));

		line_joiner_add(f->lines, text_of(one, "run"), prefix,
		    text_of(one, "text"), f->options->log ? stdout : NULL);
		free(prefix);
	}
	(void)fflush(stdout);
}

static void show_progress(const struct follower *f)
{
	const json_t *t = f->task;

	output_progress("%s %s: %lld of %lld machines done, %lld failed%s",
	    f->id, text_of(t, "state"),
	    (long long)json_integer_value(json_object_get(t, "ok")),
	    (long long)json_integer_value(json_object_get(t, "machines")),
	    (long long)json_integer_value(json_object_get(t, "failed")),
	    f->lines->said);
}

/* A server that is being restarted: try again for a while. */
static bool is_away(struct follower *f, const struct client_answer *answer)
{
	uint64_t now_ms = clock_monotonic_ms();
	const struct timespec pause = { .tv_nsec = 500000000L };

	if (f->task == NULL || client_interrupted() ||
	    (answer->status != 0 && answer->status != 503) ||
	    answer->fault.code == REASON_WRONG_IDENTITY)
		return false;
	if (f->away_since_ms == 0) {
		f->away_since_ms = now_ms;
		output_progress(
		    "waiting for the server: %s", answer->fault.text);
	}
	if (now_ms - f->away_since_ms > AWAY_MS)
		return false;
	(void)nanosleep(&pause, NULL);
	return true;
}

static void take(struct follower *f, const json_t *answer)
{
	const char *cursor = text_of(answer, "cursor");

	f->away_since_ms = 0;
	print_segments(f, json_object_get(answer, "segments"));
	free(f->cursor);
	f->cursor = xstrdup(cursor);
	json_decref(f->task);
	f->task = json_incref(json_object_get(answer, "task"));
	f->done = json_is_true(json_object_get(answer, "done")) ||
	          (f->options->once && json_array_size(json_object_get(
					   answer, "segments")) == 0);
}

/* What is to be decided, and how; missed now, it is told with the next
 * answer. */
static void tell_waiting(struct follower *f)
{
	char *path = session_path("/api/v1/tasks/%s", f->id);
	const struct client_request request = {
		.method = "GET", .path = path, .timeout_s = WAIT_S
	};
	struct client_answer answer = { 0 };
	char *now = NULL;

	if (client_call(f->s->client, &request, &answer) == RC_OK)
		now = json_dumps(json_object_get(answer.body, "interruptions"),
		    JSON_COMPACT);
	if (now != NULL && (f->told == NULL || strcmp(now, f->told) != 0)) {
		output_progress_end();
		print_interruptions(answer.body, stderr);
	}
	if (now != NULL) {
		free(f->told);
		f->told = now;
	}
	client_answer_clear(&answer);
	free(path);
}

/* Not with each line of those that go on meanwhile. */
static void look_for_waiting(struct follower *f)
{
	json_int_t waiting =
	    json_integer_value(json_object_get(f->task, "waiting"));
	uint64_t now_ms = clock_monotonic_ms();

	if (waiting == 0 ||
	    (waiting == f->told_waiting && now_ms - f->told_ms < LOOK_MS)) {
		f->told_waiting = waiting;
		return;
	}
	f->told_waiting = waiting;
	f->told_ms = now_ms;
	tell_waiting(f);
}

static uint64_t wait_s(const struct follower *f)
{
	uint64_t limit_s = f->options->timeout_s;
	uint64_t gone_s = (clock_monotonic_ms() - f->begun_ms) / 1000;

	if (f->options->once)
		return 0;
	if (limit_s == 0 || limit_s > gone_s + WAIT_S)
		return WAIT_S;
	return limit_s > gone_s ? limit_s - gone_s : 0;
}

/* One question; false: failed for good. */
static bool step(struct follower *f)
{
	char *wait = xprintf("%llu", (unsigned long long)wait_s(f));
	char *path = session_path(
	    "/api/v1/tasks/%s/log?wait=%s&after=%s", f->id, wait, f->cursor);
	const struct client_request request = {
		.method = "GET", .path = path, .timeout_s = WAIT_S + 40
	};
	struct client_answer answer = { 0 };
	bool ok = client_call(f->s->client, &request, &answer) == RC_OK;

	if (ok) {
		take(f, answer.body);
		look_for_waiting(f);
		show_progress(f);
	} else if (!client_interrupted()) {
		ok = is_away(f, &answer);
		if (!ok)
			(void)session_fail(
			    f->s, client_exit(&answer), &answer.fault);
	}
	client_answer_clear(&answer);
	free(path);
	free(wait);
	return ok;
}

static void tell_detached(const struct follower *f)
{
	output_progress_end();
	(void)fprintf(stderr,
	    "\ndetached; %s goes on.  Come back: longarm task log -f %s\n"
	    "stop it: longarm task cancel %s\n",
	    f->id, f->id, f->id);
}

static enum command_exit tell_outcome(struct follower *f)
{
	const json_t *fault = json_object_get(f->task, "fault");
	enum command_exit code = exit_of_task(f->task);

	output_progress_end();
	(void)fprintf(stderr, "%s %s: ", f->id, text_of(f->task, "title"));
	output_colour(stderr, code == COMMAND_OK ? OUTPUT_GREEN : OUTPUT_RED,
	    "%s", text_of(f->task, "state"));
	(void)fprintf(stderr, " (%lld of %lld machines, %lld failed)\n",
	    (long long)json_integer_value(json_object_get(f->task, "ok")),
	    (long long)json_integer_value(json_object_get(f->task, "machines")),
	    (long long)json_integer_value(json_object_get(f->task, "failed")));
	if (code != COMMAND_OK && json_is_object(fault)) {
		(void)fputs("  ", stderr);
		if (*text_of(fault, "at") != '\0') {
			output_safe(stderr, text_of(fault, "at"));
			(void)fputs(" says: ", stderr);
		}
		output_safe(stderr, text_of(fault, "text"));
		(void)fprintf(stderr, "\n  %s\n", text_of(fault, "advice"));
		if (strcmp(text_of(fault, "code"), "unknown") == 0)
			tell_waiting(f);
	}
	return code;
}

/* They are no failure, and easily missed among the output. */
static void tell_warnings(struct follower *f)
{
	char *path = session_path("/api/v1/tasks/%s/notes?kind=warning", f->id);
	json_t *all = session_list(f->s, path);
	size_t count = json_array_size(all);

	free(path);
	for (size_t i = 0; i < count && i < WARNINGS_MAX; i++) {
		const json_t *one = json_array_get(all, i);

		(void)fprintf(stderr,
		    "  warning: %s %s: ", text_of(one, "machine"),
		    text_of(one, "step"));
		output_safe(stderr, text_of(one, "text"));
		(void)fputc('\n', stderr);
	}
	if (count > WARNINGS_MAX)
		(void)fprintf(
		    stderr, "  and %zu warnings more\n", count - WARNINGS_MAX);
	json_decref(all);
}

static bool is_late(const struct follower *f)
{
	return f->options->timeout_s != 0 &&
	       clock_monotonic_ms() - f->begun_ms >
	           f->options->timeout_s * 1000;
}

enum command_exit follow_task(
    struct session *s, const char *id, const struct follow_options *options)
{
	struct follower f = { .s = s,
		.options = options,
		.lines = line_joiner_new(),
		.id = id,
		.cursor = xstrdup(""),
		.begun_ms = clock_monotonic_ms() };
	enum command_exit code = COMMAND_OK;
	bool ok = s->failed == COMMAND_OK;

	client_catch_interrupts();
	while (ok && !f.done && !client_interrupted() && !is_late(&f))
		ok = step(&f);
	line_joiner_end(f.lines, options->log ? stdout : NULL);
	if (client_interrupted()) {
		tell_detached(&f);
		code = COMMAND_INTERRUPTED;
	} else if (!ok) {
		code = s->failed;
	} else if (!f.done) {
		output_progress_end();
		(void)fprintf(stderr, "%s is still %s; the wait timed out\n",
		    id, text_of(f.task, "state"));
		code = COMMAND_WAIT_TIMED_OUT;
	} else if (!options->once) {
		code = tell_outcome(&f);
		tell_warnings(&f);
	}
	output_progress_end();
	line_joiner_free(f.lines);
	free(f.cursor);
	free(f.told);
	json_decref(f.task);
	if (s->failed == COMMAND_OK)
		s->failed = code;
	return code;
}

/* cmd_task.c - tasks: list, show, follow, stop, and decide how they go on. */
#include "server/cli/commands.h"
#include "server/cli/follow.h"
#include "server/cli/waits.h"

#include "common/xalloc.h"

#include <stdlib.h>
#include <string.h>

static const struct output_column task_columns[] = {
	{ "id", "ID", false },
	{ "state", "STATE", false },
	{ "title", "TITLE", false },
	{ "ok", "OK", false },
	{ "failed", "FAILED", false },
	{ "machines", "MACHINES", false },
	{ "created_ms", "CREATED", false },
	{ "ended_ms", "ENDED", false },
	{ "kind", "KIND", true },
	{ "project", "PROJECT", true },
	{ "release", "RELEASE", true },
	{ "environment", "ENVIRONMENT", true },
	{ "who", "BY", true },
	{ "why", "WHY", true },
};
static const enum cell task_types[] = { CELL_TEXT, CELL_TEXT, CELL_TEXT,
	CELL_NUMBER, CELL_NUMBER, CELL_NUMBER, CELL_TIME, CELL_TIME, CELL_TEXT,
	CELL_TEXT, CELL_TEXT, CELL_TEXT, CELL_TEXT, CELL_TEXT };
const struct cells task_cells = CELLS(task_columns, task_types);

static const struct output_column run_columns[] = {
	{ "run", "RUN", false },
	{ "machine", "MACHINE", false },
	{ "block", "BLOCK", false },
	{ "step", "STEP", false },
	{ "state", "STATE", false },
	{ "exit_code", "EXIT", false },
	{ "starting_ms", "STARTED", false },
	{ "ended_ms", "ENDED", false },
	{ "why", "WHY", false },
	{ "said", "SAYS", false },
	{ "attempt", "ATTEMPT", true },
	{ "decision", "DECISION", true },
	{ "health", "HEALTH", true },
	{ "type", "TYPE", true },
	{ "log_size", "LOG", true },
	{ "ticket", "TICKET", true },
};
static const enum cell run_types[] = { CELL_TEXT, CELL_TEXT, CELL_TEXT,
	CELL_TEXT, CELL_TEXT, CELL_NUMBER, CELL_TIME, CELL_TIME, CELL_TEXT,
	CELL_TEXT, CELL_NUMBER, CELL_TEXT, CELL_TEXT, CELL_TEXT, CELL_NUMBER,
	CELL_TEXT };
static const struct cells run_cells = CELLS(run_columns, run_types);

/* fault.text as a member of its own, for the table. */
static void add_why(json_t *item)
{
	json_t *fault = json_object_get(item, "fault");
	json_t *text = json_object_get(fault, "text");

	if (text != NULL)
		(void)json_object_set(item, "why", text);
}

/* How far it is: of no interest when it has ended well. */
static char *done_of(const json_t *item, const json_t *progress)
{
	const char *state = json_string_value(json_object_get(item, "state"));
	const char *text = json_string_value(json_object_get(progress, "text"));
	long long percent =
	    (long long)json_integer_value(json_object_get(progress, "percent"));

	if (state != NULL && strcmp(state, "succeeded") == 0)
		return xstrdup("");
	if (percent == 0)
		return xstrdup(text != NULL ? text : "");
	return xprintf("%lld%% %s", percent, text != NULL ? text : "");
}

/* "40% copying, 2 warnings" */
static void add_said(json_t *item)
{
	const json_t *p = json_object_get(item, "progress");
	long long warnings =
	    (long long)json_integer_value(json_object_get(p, "warnings"));
	char *done, *said;

	if (!json_is_object(p))
		return;
	done = done_of(item, p);
	said = warnings > 0 ? xprintf("%s%s%lld warning%s", done,
				  *done != '\0' ? ", " : "", warnings,
				  warnings == 1 ? "" : "s")
	                    : xstrdup(done);
	(void)json_object_set_new(item, "said", json_string(said));
	free(done);
	free(said);
}

const char *task_id_of(const json_t *task)
{
	const char *id = json_string_value(json_object_get(task, "id"));

	return id != NULL ? id : "";
}

/* ---- tasks ---- */

/* A task that waits says so first. */
static void mark_waiting(json_t *task)
{
	if (json_integer_value(json_object_get(task, "waiting")) == 0)
		return;
	(void)json_object_set_new(task, "state", json_string("waiting"));
	(void)json_object_set_new(task, "why",
	    json_sprintf(
		"waits for a person: longarm task show %s", task_id_of(task)));
}

static enum command_exit run_task_list(const struct command_line *line)
{
	const char *state = command_has(line, "open") ? "open" : NULL;
	struct session s;
	char *path;
	json_t *items, *page;

	if (!session_open(&s, line))
		return session_close(&s);
	path = state != NULL ? session_path("/api/v1/tasks?state=%s", state)
	                     : session_path("/api/v1/tasks");
	if (command_has(line, "all")) {
		items = session_list(&s, path);
	} else {
		page = session_call(&s, "GET", path, NULL);
		items = json_incref(json_object_get(page, "items"));
		json_decref(page);
	}
	free(path);
	for (size_t i = 0; i < json_array_size(items); i++) {
		add_why(json_array_get(items, i));
		if (output_format_of(line) != OUTPUT_JSON)
			mark_waiting(json_array_get(items, i));
	}
	session_print(&s, &task_cells, items);
	return session_close(&s);
}

static enum command_exit run_task_show(const struct command_line *line)
{
	struct session s;
	char *path;
	json_t *task, *runs;

	if (!session_open(&s, line))
		return session_close(&s);
	path = session_path("/api/v1/tasks/%s", command_argument(line, 0));
	task = session_call(&s, "GET", path, NULL);
	free(path);
	path = session_path("/api/v1/tasks/%s/runs", command_argument(line, 0));
	runs = task != NULL ? session_list(&s, path) : NULL;
	free(path);
	for (size_t i = 0; i < json_array_size(runs); i++) {
		add_why(json_array_get(runs, i));
		add_said(json_array_get(runs, i));
	}
	if (task != NULL && runs != NULL &&
	    output_format_of(line) == OUTPUT_JSON) {
		(void)json_object_set_new(task, "runs", runs);
		(void)json_dumpf(task, stdout, JSON_INDENT(2));
		(void)fputc('\n', stdout);
		json_decref(task);
		return session_close(&s);
	}
	if (task != NULL)
		add_why(task);
	session_print_one(&s, &task_cells, json_incref(task));
	if (runs != NULL && (output_format_of(line) == OUTPUT_TABLE ||
				output_format_of(line) == OUTPUT_WIDE)) {
		(void)fputc('\n', stdout);
		session_print(&s, &run_cells, runs);
		print_decisions(task, stdout);
		print_interruptions(task, stdout);
	} else {
		json_decref(runs);
	}
	json_decref(task);
	return session_close(&s);
}

static enum command_exit run_task_log(const struct command_line *line)
{
	struct follow_options options = { .log = true,
		.once = !command_has(line, "follow") };
	struct session s;

	if (session_open(&s, line))
		(void)follow_task(&s, command_argument(line, 0), &options);
	return session_close(&s);
}

static enum command_exit run_task_wait(const struct command_line *line)
{
	struct follow_options options = { 0 };
	const char *limit = command_value(line, "timeout");
	struct session s;

	if (!session_open(&s, line))
		return session_close(&s);
	if (limit != NULL && seconds_parse(limit, &options.timeout_s) != RC_OK)
		(void)session_usage(
		    &s, "--timeout: %.40s is no duration", limit);
	else
		(void)follow_task(&s, command_argument(line, 0), &options);
	return session_close(&s);
}

static enum command_exit run_task_cancel(const struct command_line *line)
{
	struct session s;
	char *path;
	json_t *task;

	if (!session_open(&s, line))
		return session_close(&s);
	path =
	    session_path("/api/v1/tasks/%s/cancel", command_argument(line, 0));
	task = session_call(&s, "POST", path, json_object());
	free(path);
	if (task != NULL)
		(void)fprintf(stderr, "%s: asked to stop\n", task_id_of(task));
	json_decref(task);
	return session_close(&s);
}

/* ---- deciding ---- */

static void tell_decided(const json_t *task)
{
	json_int_t left = json_integer_value(json_object_get(task, "left"));

	(void)fprintf(stderr, "%s: decided for %lld", task_id_of(task),
	    (long long)json_integer_value(json_object_get(task, "decided")));
	if (left > 0)
		(void)fprintf(stderr, "; %lld more are left: say it once more",
		    (long long)left);
	(void)fputc('\n', stderr);
}

static enum command_exit post_decision(
    const struct command_line *line, const char *what, json_t *body)
{
	struct session s;
	json_t *task;
	char *path;

	if (!session_open(&s, line)) {
		json_decref(body);
		return session_close(&s);
	}
	session_text(&s, body, "machine", "machine");
	session_text(&s, body, "step", "step");
	session_text(&s, body, "note", "note");
	path = session_path(
	    "/api/v1/tasks/%s/%s", command_argument(line, 0), what);
	task = session_create(&s, path, body);
	free(path);
	if (task != NULL)
		tell_decided(task);
	json_decref(task);
	return session_close(&s);
}

static enum command_exit decide(
    const struct command_line *line, const char *verb)
{
	return post_decision(line, "decide", json_pack("{s:s}", "verb", verb));
}

static enum command_exit run_task_retry(const struct command_line *line)
{
	return decide(line, "retry");
}

static enum command_exit run_task_ignore(const struct command_line *line)
{
	return decide(line, "ignore");
}

static enum command_exit run_task_fail(const struct command_line *line)
{
	return decide(line, "fail");
}

static enum command_exit run_task_exclude(const struct command_line *line)
{
	return decide(line, "exclude");
}

static enum command_exit run_task_approve(const struct command_line *line)
{
	return post_decision(line, "approve",
	    json_pack("{s:b}", "reject", command_has(line, "reject") ? 1 : 0));
}

static enum command_exit run_task_resolve(const struct command_line *line)
{
	return post_decision(line, "resolve",
	    json_pack("{s:s}", "outcome", command_value(line, "as")));
}

/* ---- table ---- */

#define DECIDE_OPTIONS                                                         \
	{ .name = "machine",                                                   \
		.letter = 'm',                                                 \
		.argument = "MACHINE",                                         \
		.help = "Only there; else all that wait" },                    \
	{                                                                      \
		.name = "step", .argument = "STEP", .help = "Only this step"   \
	}
#define NOTE_OPTION                                                            \
	{                                                                      \
		.name = "note", .argument = "TEXT", .help = "Why; kept"        \
	}

static const struct command_option decide_options[] = {
	DECIDE_OPTIONS,
	NOTE_OPTION,
};

static const struct command_option approve_options[] = {
	{ .name = "reject", .help = "No: the task ends, failed" },
	NOTE_OPTION,
};

static const struct command_option resolve_options[] = {
	{ .name = "as",
	    .argument = "OUTCOME",
	    .required = true,
	    .help = "succeeded or failed" },
	DECIDE_OPTIONS,
	{ .name = "note",
	    .argument = "TEXT",
	    .required = true,
	    .help = "How you know; kept" },
};

static const struct command_option task_list_options[] = {
	{ .name = "open", .help = "Only those that have not ended" },
	{ .name = "all", .help = "All, not only the newest" },
};

static const struct command_option task_log_options[] = {
	{ .name = "follow", .letter = 'f', .help = "Go on until it ends" },
};

static const struct command_option task_wait_options[] = {
	TIMEOUT_OPTION,
};

const struct command task_commands[] = {
	{ .name = "task list",
	    .help = "List tasks, newest first",
	    .options = task_list_options,
	    .option_count = COUNT_OF(task_list_options),
	    .run = run_task_list },
	{ .name = "task show",
	    .arguments = "TASK",
	    .help = "Show a task and its runs",
	    .run = run_task_show },
	{ .name = "task log",
	    .arguments = "TASK",
	    .help = "Show a task's output",
	    .options = task_log_options,
	    .option_count = COUNT_OF(task_log_options),
	    .run = run_task_log },
	{ .name = "task wait",
	    .arguments = "TASK",
	    .help = "Wait for a task; its outcome is the exit code",
	    .options = task_wait_options,
	    .option_count = COUNT_OF(task_wait_options),
	    .run = run_task_wait },
	{ .name = "task cancel",
	    .arguments = "TASK",
	    .help = "Ask a task to stop",
	    .run = run_task_cancel },
	{ .name = "task retry",
	    .arguments = "TASK",
	    .help = "Try what failed once more",
	    .examples = "longarm task retry task-7 --machine web-03",
	    .options = decide_options,
	    .option_count = COUNT_OF(decide_options),
	    .run = run_task_retry },
	{ .name = "task ignore",
	    .arguments = "TASK",
	    .help = "Go on as if what failed had succeeded",
	    .options = decide_options,
	    .option_count = COUNT_OF(decide_options),
	    .run = run_task_ignore },
	{ .name = "task fail",
	    .arguments = "TASK",
	    .help = "Let what failed be a failure of its machine",
	    .options = decide_options,
	    .option_count = COUNT_OF(decide_options),
	    .run = run_task_fail },
	{ .name = "task exclude",
	    .arguments = "TASK",
	    .help = "Go on without the machine that failed",
	    .options = decide_options,
	    .option_count = COUNT_OF(decide_options),
	    .run = run_task_exclude },
	{ .name = "task approve",
	    .arguments = "TASK",
	    .help = "Let a task that asks go on, or not",
	    .examples = "longarm task approve task-7 --note 'backups are done'",
	    .options = approve_options,
	    .option_count = COUNT_OF(approve_options),
	    .run = run_task_approve },
	{ .name = "task resolve",
	    .arguments = "TASK",
	    .help = "Say how runs in unknown ended, when you know",
	    .examples = "longarm task resolve task-7 -m web-03 --as succeeded "
			"--note 'the new version answers'",
	    .options = resolve_options,
	    .option_count = COUNT_OF(resolve_options),
	    .run = run_task_resolve },
	{ .name = NULL },
};

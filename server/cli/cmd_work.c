/* cmd_work.c - deploy, run, health: what makes tasks. */
#include "server/cli/commands.h"
#include "server/cli/follow.h"

#include "common/buf.h"
#include "common/xalloc.h"

#include <stdlib.h>
#include <string.h>

#define SCRIPT_MAX (64u << 10)

/* Options of all that make a task: follow it, or tell how to. */
static void follow_or_tell(struct session *s, json_t *task, bool wait)
{
	struct follow_options options = { .log = true };
	const char *limit = command_value(s->line, "timeout");

	if (task == NULL)
		return;
	if (limit != NULL &&
	    seconds_parse(limit, &options.timeout_s) != RC_OK) {
		(void)session_usage(
		    s, "--timeout: %.40s is no duration", limit);
		wait = false;
	}
	if (wait) {
		(void)fprintf(stderr, "%s\n", task_id_of(task));
		(void)follow_task(s, task_id_of(task), &options);
	} else if (output_format_of(s->line) == OUTPUT_TABLE) {
		(void)printf("%s\n", task_id_of(task));
		(void)fprintf(stderr, "follow it: longarm task log -f %s\n",
		    task_id_of(task));
	} else {
		session_print_one(s, &task_cells, json_incref(task));
	}
	json_decref(task);
}

static void choose(struct session *s, json_t *body)
{
	session_text(s, body, "environment", "environment");
	session_text(s, body, "role", "role");
}

/* ---- deploy ---- */

static enum command_exit run_deploy(const struct command_line *line)
{
	struct session s;
	json_t *body;

	if (!session_open(&s, line))
		return session_close(&s);
	body =
	    json_pack("{s:s, s:s, s:s}", "project", command_argument(line, 0),
		"release", command_value(line, "release"), "environment",
		command_value(line, "to"));
	session_text(&s, body, "role", "role");
	session_texts(&s, body, "machines", "machine");
	(void)session_seconds(&s, body, "queue_s", "queue");
	if (command_has(line, "guided"))
		(void)json_object_set_new(body, "guided", json_true());
	follow_or_tell(&s, session_create(&s, "/api/v1/deployments", body),
	    command_has(line, "wait") || command_has(line, "timeout"));
	return session_close(&s);
}

/* ---- run ---- */

/* The words after --, joined by blanks, or a file. */
static char *script_of(struct session *s)
{
	const char *file = command_value(s->line, "file");
	size_t count = command_argument_count(s->line);
	struct buf buf;
	enum rc rc = RC_OK;

	if ((file == NULL) == (count == 0)) {
		(void)session_usage(
		    s, "give a command after --, or --file SCRIPT");
		return NULL;
	}
	if (file != NULL)
		return session_read(s, file, SCRIPT_MAX);
	buf_init(&buf, SCRIPT_MAX);
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		if (i > 0)
			rc = buf_add_text(&buf, " ");
		if (rc == RC_OK)
			rc = buf_add_text(&buf, command_argument(s->line, i));
	}
	if (rc == RC_OK)
		rc = buf_add_text(&buf, "\n");
	if (rc != RC_OK) {
		buf_fini(&buf);
		(void)session_usage(
		    s, "the script is over %u bytes", SCRIPT_MAX);
		return NULL;
	}
	return buf_take(&buf);
}

static bool names_machines(const struct command_line *line)
{
	return command_has(line, "environment") || command_has(line, "role") ||
	       command_has(line, "machine") || command_has(line, "all");
}

static enum command_exit run_run(const struct command_line *line)
{
	struct session s;
	json_t *body, *script;
	char *text;

	if (!session_open(&s, line))
		return session_close(&s);
	if (!names_machines(line)) {
		(void)session_usage(&s, "which machines?  --environment, "
					"--role, --machine, or --all");
		return session_close(&s);
	}
	text = script_of(&s);
	if (text == NULL)
		return session_close(&s);
	script = json_string(text);
	free(text);
	if (script == NULL) {
		(void)session_usage(&s, "the script is not UTF-8");
		return session_close(&s);
	}
	body = json_pack("{s:o}", "script", script);
	choose(&s, body);
	session_texts(&s, body, "machines", "machine");
	session_text(&s, body, "interpreter", "interpreter");
	(void)session_seconds(&s, body, "timeout_s", "script-timeout");
	(void)session_seconds(&s, body, "queue_s", "queue");
	(void)session_number(&s, body, "window", "window");
	session_text(&s, body, "user", "user");
	(void)session_size(&s, body, "memory", "memory");
	(void)session_number(&s, body, "processes", "processes");
	session_text(&s, body, "lock", "lock");
	if (command_has(line, "lock-shared"))
		(void)json_object_set_new(body, "lock_shared", json_true());
	follow_or_tell(&s, session_create(&s, "/api/v1/run", body),
	    !command_has(line, "detach"));
	return session_close(&s);
}

/* ---- health ---- */

static const struct output_column health_columns[] = {
	{ "name", "MACHINE", false },
	{ "health", "HEALTH", false },
	{ "presence", "PRESENCE", false },
	{ "health_text", "DETAIL", false },
	{ "health_at_ms", "CHECKED", false },
};
static const enum cell health_types[] = { CELL_TEXT, CELL_TEXT, CELL_TEXT,
	CELL_TEXT, CELL_TIME };
static const struct cells health_cells = CELLS(health_columns, health_types);

static bool is_named(const struct command_line *line, const json_t *machine)
{
	const char *name = json_string_value(json_object_get(machine, "name"));
	const char *id = json_string_value(json_object_get(machine, "id"));
	size_t count = command_argument_count(line);

	for (size_t i = 0; i < count; i++) {
		const char *want = command_argument(line, i);

		if ((name != NULL && strcmp(name, want) == 0) ||
		    (id != NULL && strcmp(id, want) == 0))
			return true;
	}
	return count == 0;
}

/* More than so many named machines are looked for in the list of all. */
#define ASK_EACH_MAX 20

/* A page of a large fleet costs the server more than a check. */
static json_t *ask_each(struct session *s)
{
	json_t *all = json_array();

	for (size_t i = 0; i < command_argument_count(s->line); i++) {
		char *path = session_path(
		    "/api/v1/machines/%s", command_argument(s->line, i));
		json_t *one = session_call(s, "GET", path, NULL);

		free(path);
		if (one != NULL)
			/* As in the list. */
			(void)json_object_set_new(one, "facts", json_null());
		(void)json_array_append_new(all, one);
	}
	return all;
}

static json_t *list_all(struct session *s)
{
	const char *environment = command_value(s->line, "environment");
	const char *role = command_value(s->line, "role");
	char *path;
	json_t *all;

	if (environment != NULL && role != NULL)
		path = session_path("/api/v1/machines?environment=%s&role=%s",
		    environment, role);
	else if (environment != NULL || role != NULL)
		path = environment != NULL
		           ? session_path(
				 "/api/v1/machines?environment=%s", environment)
		           : session_path("/api/v1/machines?role=%s", role);
	else
		path = session_path("/api/v1/machines");
	all = session_list(s, path);
	free(path);
	return all;
}

static void print_health(struct session *s)
{
	size_t count = command_argument_count(s->line);
	bool few = count > 0 && count <= ASK_EACH_MAX &&
	           !command_has(s->line, "environment") &&
	           !command_has(s->line, "role");
	json_t *all = few ? ask_each(s) : list_all(s);
	json_t *some = json_array();

	for (size_t i = 0; i < json_array_size(all); i++) {
		json_t *one = json_array_get(all, i);

		if (is_named(s->line, one))
			(void)json_array_append(some, one);
	}
	if (s->failed == COMMAND_OK)
		session_print(s, &health_cells, json_incref(some));
	json_decref(all);
	json_decref(some);
}

static void name_machines(const struct command_line *line, json_t *body)
{
	size_t count = command_argument_count(line);
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		(void)json_array_append_new(
		    array, json_string(command_argument(line, i)));
	if (count > 0)
		(void)json_object_set(body, "machines", array);
	json_decref(array);
}

static enum command_exit run_health_run(const struct command_line *line)
{
	struct follow_options options = { 0 };
	const char *file = command_value(line, "script");
	struct session s;
	char *script = NULL;
	json_t *body, *task;
	enum command_exit code;

	if (!session_open(&s, line))
		return session_close(&s);
	if (file != NULL) {
		script = session_read(&s, file, SCRIPT_MAX);
		if (script == NULL)
			return session_close(&s);
	}
	body = json_object();
	if (script != NULL)
		(void)json_object_set_new(body, "script", json_string(script));
	free(script);
	choose(&s, body);
	name_machines(line, body);
	task = session_create(&s, "/api/v1/health", body);
	if (task != NULL && !command_has(line, "detach")) {
		code = follow_task(&s, task_id_of(task), &options);
		/* The table tells more than the first failure. */
		s.failed = COMMAND_OK;
		if (code != COMMAND_INTERRUPTED &&
		    code != COMMAND_SERVER_UNREACHABLE)
			print_health(&s);
		s.failed = s.failed != COMMAND_OK ? s.failed : code;
	} else if (task != NULL) {
		(void)printf("%s\n", task_id_of(task));
	}
	json_decref(task);
	return session_close(&s);
}

static enum command_exit run_health_show(const struct command_line *line)
{
	struct session s;

	if (session_open(&s, line))
		print_health(&s);
	return session_close(&s);
}

/* ---- table ---- */

#define QUEUE_OPTION                                                           \
	{                                                                      \
		.name = "queue", .argument = "TIME",                           \
		.help = "How long an unreachable machine is tried"             \
	}
#define ENVIRONMENT_OPTION                                                     \
	{                                                                      \
		.name = "environment", .letter = 'e', .argument = "ENV",       \
		.help = "Its machines"                                         \
	}
#define ROLE_OPTION                                                            \
	{                                                                      \
		.name = "role", .letter = 'r', .argument = "ROLE",             \
		.help = "Those with this role"                                 \
	}
#define MACHINES_OPTION                                                        \
	{                                                                      \
		.name = "machine", .letter = 'm', .argument = "MACHINE",       \
		.repeated = true, .help = "This one"                           \
	}
#define DETACH_OPTION                                                          \
	{                                                                      \
		.name = "detach", .letter = 'd',                               \
		.help = "Print the task's id and do not wait"                  \
	}

static const struct command_option deploy_options[] = {
	{ .name = "release",
	    .argument = "VERSION",
	    .required = true,
	    .help = "Which release" },
	{ .name = "to",
	    .argument = "ENV",
	    .required = true,
	    .help = "Which environment" },
	ROLE_OPTION,
	MACHINES_OPTION,
	{ .name = "wait",
	    .letter = 'w',
	    .help = "Follow it to its end, with its output" },
	{ .name = "guided", .help = "A failure waits for a person" },
	TIMEOUT_OPTION,
	QUEUE_OPTION,
};

static const struct command_option run_options[] = {
	ENVIRONMENT_OPTION,
	ROLE_OPTION,
	MACHINES_OPTION,
	{ .name = "all", .help = "All machines" },
	{ .name = "file",
	    .letter = 'f',
	    .argument = "SCRIPT",
	    .help = "A script; - is standard input" },
	{ .name = "interpreter",
	    .argument = "PATH",
	    .help = "When the script has no #! line; /bin/sh -e" },
	{ .name = "window",
	    .argument = "N",
	    .help = "Machines at a time; all at once" },
	{ .name = "script-timeout",
	    .argument = "TIME",
	    .help = "Of one run; 30m" },
	{ .name = "user",
	    .argument = "USER",
	    .help = "Who runs it there; as the tentacle" },
	{ .name = "memory",
	    .argument = "SIZE",
	    .help = "Of all that it starts, such as 256MiB; no limit" },
	{ .name = "processes", .argument = "N", .help = "At once; no limit" },
	{ .name = "lock",
	    .argument = "NAME",
	    .help = "Held on the machine while it runs" },
	{ .name = "lock-shared", .help = "Beside others that share it" },
	DETACH_OPTION,
	TIMEOUT_OPTION,
	QUEUE_OPTION,
};

static const struct command_option health_run_options[] = {
	ENVIRONMENT_OPTION,
	ROLE_OPTION,
	{ .name = "script",
	    .argument = "FILE",
	    .help = "A check of your own, run there" },
	DETACH_OPTION,
};

static const struct command_option health_show_options[] = {
	ENVIRONMENT_OPTION,
	ROLE_OPTION,
};

const struct command work_commands[] = {
	{ .name = "deploy",
	    .arguments = "PROJECT",
	    .help = "Take a release to the machines of an environment",
	    .examples = "longarm deploy shop --release 1.4.0 --to prod --wait",
	    .options = deploy_options,
	    .option_count = COUNT_OF(deploy_options),
	    .run = run_deploy },
	{ .name = "run",
	    .arguments = "-- [COMMAND...]",
	    .help = "Run a script on machines and show its output",
	    .examples = "longarm run --role web --environment prod -- uptime\n"
			"longarm run -m web-01 --file check.sh",
	    .options = run_options,
	    .option_count = COUNT_OF(run_options),
	    .run = run_run },
	{ .name = "health run",
	    .arguments = "[MACHINE...]",
	    .help = "Check machines now and show how they are",
	    .options = health_run_options,
	    .option_count = COUNT_OF(health_run_options),
	    .run = run_health_run },
	{ .name = "health show",
	    .arguments = "[MACHINE...]",
	    .help = "Show what the last checks found",
	    .options = health_show_options,
	    .option_count = COUNT_OF(health_show_options),
	    .run = run_health_show },
	{ .name = NULL },
};

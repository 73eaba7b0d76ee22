/* cmd_project.c - projects, releases and the list of packages. */
#include "server/cli/commands.h"

#include "common/xalloc.h"

#include <stdlib.h>
#include <string.h>

#define PROCESS_MAX (256u << 10)

static const struct output_column project_columns[] = {
	{ "name", "NAME", false },
	{ "version", "VERSION", false },
	{ "description", "DESCRIPTION", false },
	{ "updated_ms", "CHANGED", false },
	{ "created_ms", "CREATED", true },
};
static const enum cell project_types[] = { CELL_TEXT, CELL_NUMBER, CELL_TEXT,
	CELL_TIME, CELL_TIME };
static const struct cells project_cells = CELLS(project_columns, project_types);

static enum command_exit run_project_create(const struct command_line *line)
{
	struct session s;
	json_t *body;

	if (!session_open(&s, line))
		return session_close(&s);
	body = json_pack("{s:s}", "name", command_argument(line, 0));
	session_text(&s, body, "description", "description");
	session_print_one(&s, &project_cells,
	    session_call(&s, "POST", "/api/v1/projects", body));
	return session_close(&s);
}

static enum command_exit run_project_apply(const struct command_line *line)
{
	const char *file = command_value(line, "file");
	struct session s;
	char *text;
	json_t *body, *process;

	if (!session_open(&s, line))
		return session_close(&s);
	text = session_read(&s, file, PROCESS_MAX);
	if (text == NULL)
		return session_close(&s);
	process = json_string(text);
	free(text);
	if (process == NULL) {
		(void)session_usage(&s, "%.200s: not UTF-8", file);
		return session_close(&s);
	}
	body = json_pack("{s:o}", "process", process);
	if (strcmp(file, "-") != 0 && strlen(file) <= 255)
		(void)json_object_set_new(body, "file", json_string(file));
	session_print_one(&s, &project_cells,
	    session_call(&s, "PUT", "/api/v1/projects", body));
	return session_close(&s);
}

static enum command_exit run_project_list(const struct command_line *line)
{
	struct session s;

	if (session_open(&s, line))
		session_print(
		    &s, &project_cells, session_list(&s, "/api/v1/projects"));
	return session_close(&s);
}

/* For people: the process file as it is. */
static enum command_exit run_project_show(const struct command_line *line)
{
	struct session s;
	const char *process;
	char *path;
	json_t *one;

	if (!session_open(&s, line))
		return session_close(&s);
	path = session_path("/api/v1/projects/%s", command_argument(line, 0));
	one = session_call(&s, "GET", path, NULL);
	free(path);
	process = json_string_value(json_object_get(one, "process"));
	if (process != NULL && output_format_of(line) == OUTPUT_TABLE) {
		(void)fputs(process, stdout);
		json_decref(one);
	} else {
		session_print_one(&s, &project_cells, one);
	}
	return session_close(&s);
}

/* ---- releases ---- */

static const struct output_column release_columns[] = {
	{ "version", "VERSION", false },
	{ "project", "PROJECT", false },
	{ "package_list", "PACKAGES", false },
	{ "created_ms", "CREATED", false },
	{ "who", "BY", false },
	{ "project_version", "PROCESS", true },
};
static const enum cell release_types[] = { CELL_TEXT, CELL_TEXT, CELL_TEXTS,
	CELL_TIME, CELL_TEXT, CELL_NUMBER };
static const struct cells release_cells = CELLS(release_columns, release_types);

/* {"shop-web": "1.4.0"} -> ["shop-web=1.4.0"] */
static void flatten(json_t *release)
{
	json_t *list = json_array();
	const char *name;
	json_t *version;

	json_object_foreach(json_object_get(release, "packages"), name, version)
	{
		char *text = xprintf("%s=%s", name, json_string_value(version));

		(void)json_array_append_new(list, json_string(text));
		free(text);
	}
	if (json_object_set_new(release, "package_list", list) != 0)
		return;
}

/* NAME=V options into {"NAME": "V"}. */
static bool set_packages(struct session *s, json_t *body)
{
	size_t count = command_value_count(s->line, "package");
	json_t *map = json_object();

	for (size_t i = 0; i < count; i++) {
		const char *text = command_value_at(s->line, "package", i);
		const char *equals = strchr(text, '=');

		if (equals == NULL || equals == text || equals[1] == '\0') {
			(void)session_usage(
			    s, "--package %.80s: write NAME=VERSION", text);
			json_decref(map);
			return false;
		}
		(void)json_object_setn_new(map, text, (size_t)(equals - text),
		    json_string(equals + 1));
	}
	(void)json_object_set_new(body, "packages", map);
	return true;
}

static enum command_exit run_release_create(const struct command_line *line)
{
	struct session s;
	char *path;
	json_t *body, *made;

	if (!session_open(&s, line))
		return session_close(&s);
	body = json_pack("{s:s}", "version", command_value(line, "version"));
	if (!set_packages(&s, body)) {
		json_decref(body);
		return session_close(&s);
	}
	path = session_path(
	    "/api/v1/projects/%s/releases", command_argument(line, 0));
	made = session_call(&s, "POST", path, body);
	free(path);
	if (made != NULL)
		flatten(made);
	session_print_one(&s, &release_cells, made);
	return session_close(&s);
}

static enum command_exit run_release_list(const struct command_line *line)
{
	struct session s;
	char *path;
	json_t *items;

	if (!session_open(&s, line))
		return session_close(&s);
	path = session_path(
	    "/api/v1/projects/%s/releases", command_argument(line, 0));
	items = session_list(&s, path);
	free(path);
	for (size_t i = 0; i < json_array_size(items); i++)
		flatten(json_array_get(items, i));
	session_print(&s, &release_cells, items);
	return session_close(&s);
}

static enum command_exit run_release_show(const struct command_line *line)
{
	struct session s;
	char *path;
	json_t *one;

	if (!session_open(&s, line))
		return session_close(&s);
	path = session_path("/api/v1/projects/%s/releases/%s",
	    command_argument(line, 0), command_argument(line, 1));
	one = session_call(&s, "GET", path, NULL);
	free(path);
	if (one != NULL)
		flatten(one);
	session_print_one(&s, &release_cells, one);
	return session_close(&s);
}

/* ---- packages ---- */

static enum command_exit run_package_list(const struct command_line *line)
{
	static const struct output_column columns[] = {
		{ "name", "NAME", false },
		{ "version", "VERSION", false },
		{ "size", "BYTES", false },
		{ "created_ms", "PUSHED", false },
		{ "who", "BY", false },
		{ "digest", "DIGEST", true },
	};
	static const enum cell types[] = { CELL_TEXT, CELL_TEXT, CELL_NUMBER,
		CELL_TIME, CELL_TEXT, CELL_TEXT };
	static const struct cells cells = CELLS(columns, types);
	const char *name = command_argument(line, 0);
	struct session s;
	char *path;

	if (!session_open(&s, line))
		return session_close(&s);
	path = name != NULL ? session_path("/api/v1/packages?name=%s", name)
	                    : session_path("/api/v1/packages");
	session_print(&s, &cells, session_list(&s, path));
	free(path);
	return session_close(&s);
}

static const struct command_option create_options[] = {
	{ .name = "description", .argument = "TEXT", .help = "One line" },
};

static const struct command_option apply_options[] = {
	{ .name = "file",
	    .letter = 'f',
	    .argument = "FILE",
	    .required = true,
	    .help = "The process file; - is standard input" },
};

static const struct command_option release_options[] = {
	{ .name = "version",
	    .letter = 'v',
	    .argument = "VERSION",
	    .required = true,
	    .help = "Of the release" },
	{ .name = "package",
	    .letter = 'p',
	    .argument = "NAME=VERSION",
	    .repeated = true,
	    .help = "Which version of a package; else the last pushed" },
};

const struct command project_commands[] = {
	{ .name = "project create",
	    .arguments = "NAME",
	    .help = "Create an empty project",
	    .options = create_options,
	    .option_count = COUNT_OF(create_options),
	    .run = run_project_create },
	{ .name = "project apply",
	    .help = "Create the project of a process file, or replace its "
		    "process",
	    .examples = "longarm project apply -f process.yaml",
	    .options = apply_options,
	    .option_count = COUNT_OF(apply_options),
	    .run = run_project_apply },
	{ .name = "project list",
	    .help = "List projects",
	    .run = run_project_list },
	{ .name = "project show",
	    .arguments = "PROJECT",
	    .help = "Show a project's process",
	    .run = run_project_show },
	{ .name = "release create",
	    .arguments = "PROJECT",
	    .help = "Freeze process, variables and packages as a release",
	    .examples = "longarm release create shop --version 1.4.0 "
			"--package shop-web=1.4.0",
	    .options = release_options,
	    .option_count = COUNT_OF(release_options),
	    .run = run_release_create },
	{ .name = "release list",
	    .arguments = "PROJECT",
	    .help = "List releases, newest first",
	    .run = run_release_list },
	{ .name = "release show",
	    .arguments = "PROJECT VERSION",
	    .help = "Show a release",
	    .run = run_release_show },
	{ .name = "package list",
	    .arguments = "[NAME]",
	    .help = "List packages and their versions",
	    .run = run_package_list },
	{ .name = NULL },
};

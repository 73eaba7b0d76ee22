/* cmd_fleet.c - environments and machines. */
#include "server/cli/commands.h"

#include "common/xalloc.h"

#include <stdlib.h>
#include <string.h>

json_t *route_of(struct session *s, const char *text)
{
	const char *equals = strchr(text, '=');
	size_t len = equals != NULL ? (size_t)(equals - text) : strlen(text);
	json_t *one;

	if (len == 0) {
		(void)session_usage(s,
		    "route %.80s: write direct=HOST:PORT, RELAY, or "
		    "RELAY/RELAY=HOST:PORT",
		    text);
		return NULL;
	}
	one = json_pack("{s:o}", "path", json_stringn(text, len));
	if (equals != NULL)
		(void)json_object_set_new(
		    one, "endpoint", json_string(equals + 1));
	return one;
}

void set_routes(struct session *s, json_t *body)
{
	size_t count = command_value_count(s->line, "route");
	json_t *array;

	if (count == 0)
		return;
	array = json_array();
	for (size_t i = 0; i < count; i++)
		(void)json_array_append_new(
		    array, route_of(s, command_value_at(s->line, "route", i)));
	(void)json_object_set_new(body, "routes", array);
}

/* DELETE of one thing by name. */
enum command_exit remove_one(const struct command_line *line, const char *below)
{
	const char *name = command_argument(line, 0);
	struct session s;
	char *escaped, *path;

	if (!session_open(&s, line))
		return session_close(&s);
	escaped = session_path("%s", name);
	path = xprintf("%s%s", below, escaped);
	json_decref(session_call(&s, "DELETE", path, NULL));
	free(path);
	free(escaped);
	return session_close(&s);
}

/* POST to one of these, with the text of an option, and show what it is then.
 */
static enum command_exit post_one(const struct command_line *line,
    const char *noun, const char *verb, const char *option,
    const struct cells *cells)
{
	struct session s;
	json_t *body;
	char *path;

	if (!session_open(&s, line))
		return session_close(&s);
	body = json_object();
	path = session_path(
	    "/api/v1/%s/%s/%s", noun, command_argument(line, 0), verb);
	session_text(&s, body, option, option);
	session_print_one(&s, cells, session_call(&s, "POST", path, body));
	free(path);
	return session_close(&s);
}

enum command_exit revoke_one(const struct command_line *line, const char *noun,
    const struct cells *cells)
{
	return post_one(line, noun, "revoke", "reason", cells);
}

enum command_exit release_one(const struct command_line *line, const char *noun,
    const struct cells *cells)
{
	return post_one(line, noun, "release", "instance", cells);
}

/* ---- environments ---- */

static const struct output_column environment_columns[] = {
	{ "name", "NAME", false },
	{ "machines", "MACHINES", false },
	{ "description", "DESCRIPTION", false },
	{ "created_ms", "CREATED", true },
};
static const enum cell environment_types[] = { CELL_TEXT, CELL_NUMBER,
	CELL_TEXT, CELL_TIME };
static const struct cells environment_cells =
    CELLS(environment_columns, environment_types);

static enum command_exit run_environment_create(const struct command_line *line)
{
	struct session s;
	json_t *body;

	if (!session_open(&s, line))
		return session_close(&s);
	body = json_pack("{s:s}", "name", command_argument(line, 0));
	session_text(&s, body, "description", "description");
	session_print_one(&s, &environment_cells,
	    session_call(&s, "POST", "/api/v1/environments", body));
	return session_close(&s);
}

static enum command_exit run_environment_list(const struct command_line *line)
{
	struct session s;

	if (session_open(&s, line))
		session_print(&s, &environment_cells,
		    session_list(&s, "/api/v1/environments"));
	return session_close(&s);
}

/* ---- machines ---- */

static const struct output_column machine_columns[] = {
	{ "name", "NAME", false },
	{ "presence", "PRESENCE", false },
	{ "health", "HEALTH", false },
	{ "last_seen_ms", "LAST SEEN", false },
	{ "route", "BY", false },
	{ "rtt_us", "RTT US", false },
	{ "environments", "ENVIRONMENTS", false },
	{ "roles", "ROLES", false },
	{ "routes", "ROUTES", true },
	{ "enabled", "ENABLED", true },
	{ "version", "VERSION", true },
	{ "health_at_ms", "CHECKED", true },
	{ "health_text", "DETAIL", true },
	{ "presence_text", "LINK", true },
	{ "hold", "HELD", true },
	{ "id", "ID", true },
};
static const enum cell machine_types[] = { CELL_TEXT, CELL_TEXT, CELL_TEXT,
	CELL_TIME, CELL_TEXT, CELL_NUMBER, CELL_TEXTS, CELL_TEXTS, CELL_ROUTES,
	CELL_BOOL, CELL_TEXT, CELL_TIME, CELL_TEXT, CELL_TEXT, CELL_TEXT,
	CELL_TEXT };
const struct cells machine_cells = CELLS(machine_columns, machine_types);

static enum command_exit run_machine_list(const struct command_line *line)
{
	const char *environment = command_value(line, "environment");
	const char *role = command_value(line, "role");
	struct session s;
	char *path;

	if (!session_open(&s, line))
		return session_close(&s);
	if (environment != NULL && role != NULL)
		path = session_path("/api/v1/machines?environment=%s&role=%s",
		    environment, role);
	else if (environment != NULL)
		path = session_path(
		    "/api/v1/machines?environment=%s", environment);
	else if (role != NULL)
		path = session_path("/api/v1/machines?role=%s", role);
	else
		path = session_path("/api/v1/machines");
	session_print(&s, &machine_cells, session_list(&s, path));
	free(path);
	return session_close(&s);
}

/* What no table can say. */
void explain_hold(const json_t *held)
{
	const char *advice =
	    json_string_value(json_object_get(held, "hold_advice"));
	json_t *copies = json_object_get(held, "instances"), *one;
	size_t i;

	if (advice == NULL || advice[0] == '\0')
		return;
	json_array_foreach(copies, i, one)
	{
		const char *via =
		    json_string_value(json_object_get(one, "via"));

		(void)fprintf(stderr, "instance %s: start %lld, seen at %s%s\n",
		    json_string_value(json_object_get(one, "instance")),
		    (long long)json_integer_value(
			json_object_get(one, "start")),
		    via != NULL && via[0] != '\0' ? via : "(not known)",
		    json_is_true(json_object_get(one, "known"))
			? ", had the work"
			: "");
	}
	(void)fprintf(stderr, "It is held: %s\n", advice);
}

static enum command_exit run_machine_show(const struct command_line *line)
{
	struct session s;
	char *path;
	json_t *one;

	if (!session_open(&s, line))
		return session_close(&s);
	path = session_path("/api/v1/machines/%s", command_argument(line, 0));
	one = session_call(&s, "GET", path, NULL);
	free(path);
	if (one != NULL && output_format_of(line) == OUTPUT_JSON) {
		/* With its facts, which no table can hold. */
		(void)json_dumpf(one, stdout, JSON_INDENT(2));
		(void)fputc('\n', stdout);
		json_decref(one);
	} else {
		explain_hold(one);
		session_print_one(&s, &machine_cells, one);
	}
	return session_close(&s);
}

static enum command_exit run_machine_add(const struct command_line *line)
{
	struct session s;
	json_t *body;

	if (!session_open(&s, line))
		return session_close(&s);
	body = json_pack("{s:s}", "name", command_argument(line, 0));
	session_texts(&s, body, "environments", "environment");
	session_texts(&s, body, "roles", "role");
	set_routes(&s, body);
	session_print_one(&s, &machine_cells,
	    session_call(&s, "POST", "/api/v1/machines", body));
	return session_close(&s);
}

static enum command_exit run_machine_remove(const struct command_line *line)
{
	return remove_one(line, "/api/v1/machines/");
}

static enum command_exit run_machine_revoke(const struct command_line *line)
{
	return revoke_one(line, "machines", &machine_cells);
}

static enum command_exit edit_machine(
    struct session *s, const char *name, json_t *body)
{
	char *path = session_path("/api/v1/machines/%s", name);

	session_print_one(
	    s, &machine_cells, session_call(s, "PUT", path, body));
	free(path);
	return session_close(s);
}

static enum command_exit set_enabled(
    const struct command_line *line, bool enabled)
{
	struct session s;

	if (!session_open(&s, line))
		return session_close(&s);
	return edit_machine(&s, command_argument(line, 0),
	    json_pack("{s:b}", "enabled", enabled ? 1 : 0));
}

static enum command_exit run_machine_enable(const struct command_line *line)
{
	return set_enabled(line, true);
}

static enum command_exit run_machine_disable(const struct command_line *line)
{
	return set_enabled(line, false);
}

static enum command_exit run_machine_set_route(const struct command_line *line)
{
	struct session s;
	json_t *routes = json_array();

	if (!session_open(&s, line)) {
		json_decref(routes);
		return session_close(&s);
	}
	for (size_t i = 1; i < command_argument_count(line); i++)
		(void)json_array_append_new(
		    routes, route_of(&s, command_argument(line, i)));
	return edit_machine(&s, command_argument(line, 0),
	    json_pack("{s:o}", "routes", routes));
}

/* ---- table ---- */

static const struct command_option revoke_options[] = {
	{ .name = "reason", .argument = "TEXT", .help = "For the record" },
};

static const struct command_option environment_options[] = {
	{ .name = "description", .argument = "TEXT", .help = "One line" },
};

static const struct command_option machine_list_options[] = {
	{ .name = "environment",
	    .letter = 'e',
	    .argument = "ENV",
	    .help = "Only its machines" },
	{ .name = "role",
	    .letter = 'r',
	    .argument = "ROLE",
	    .help = "Only those with it" },
};

static const struct command_option machine_add_options[] = {
	ENVIRONMENTS_OPTION,
	ROLES_OPTION,
	ROUTES_OPTION,
};

const struct command fleet_commands[] = {
	{ .name = "environment create",
	    .arguments = "NAME",
	    .help = "Create an environment",
	    .options = environment_options,
	    .option_count = COUNT_OF(environment_options),
	    .run = run_environment_create },
	{ .name = "environment list",
	    .help = "List environments",
	    .run = run_environment_list },
	{ .name = "machine list",
	    .help = "List machines",
	    .options = machine_list_options,
	    .option_count = COUNT_OF(machine_list_options),
	    .run = run_machine_list },
	{ .name = "machine show",
	    .arguments = "MACHINE",
	    .help = "Show a machine by name or id",
	    .run = run_machine_show },
	{ .name = "machine add",
	    .arguments = "NAME",
	    .help = "Add a machine that will join later",
	    .options = machine_add_options,
	    .option_count = COUNT_OF(machine_add_options),
	    .run = run_machine_add },
	{ .name = "machine remove",
	    .arguments = "MACHINE",
	    .help = "Remove a machine; its past stays",
	    .run = run_machine_remove },
	{ .name = "machine revoke",
	    .arguments = "MACHINE",
	    .help = "Revoke a machine's key; it may join again with a new one",
	    .options = revoke_options,
	    .option_count = COUNT_OF(revoke_options),
	    .run = run_machine_revoke },
	{ .name = "machine enable",
	    .arguments = "MACHINE",
	    .help = "Give a machine work again",
	    .run = run_machine_enable },
	{ .name = "machine disable",
	    .arguments = "MACHINE",
	    .help = "Give a machine no new work",
	    .run = run_machine_disable },
	{ .name = "machine set-route",
	    .arguments = "MACHINE ROUTE...",
	    .help = "Set the ways to a machine, the preferred first",
	    .examples = "longarm machine set-route web-01 dc2-a=web-01:10933",
	    .run = run_machine_set_route },
	{ .name = NULL },
};

/* cmd_relay.c - relays. */
#include "server/cli/commands.h"

#include <stdlib.h>

static const struct output_column relay_columns[] = {
	{ "name", "NAME", false },
	{ "presence", "PRESENCE", false },
	{ "last_seen_ms", "LAST SEEN", false },
	{ "route", "BY", false },
	{ "rtt_us", "RTT US", false },
	{ "routes", "ROUTES", false },
	{ "listen", "LISTEN", false },
	{ "version", "VERSION", false },
	{ "hold", "HELD", true },
	{ "enabled", "ENABLED", true },
	{ "draining", "DRAINING", true },
	{ "streams", "STREAMS", true },
	{ "presence_text", "LINK", true },
};
static const enum cell relay_types[] = { CELL_TEXT, CELL_TEXT, CELL_TIME,
	CELL_TEXT, CELL_NUMBER, CELL_ROUTES, CELL_TEXT, CELL_TEXT, CELL_TEXT,
	CELL_BOOL, CELL_BOOL, CELL_NUMBER, CELL_TEXT };
static const struct cells relay_cells = CELLS(relay_columns, relay_types);

static enum command_exit run_relay_list(const struct command_line *line)
{
	struct session s;

	if (session_open(&s, line))
		session_print(
		    &s, &relay_cells, session_list(&s, "/api/v1/relays"));
	return session_close(&s);
}

static enum command_exit run_relay_show(const struct command_line *line)
{
	struct session s;
	json_t *one;
	char *path;

	if (!session_open(&s, line))
		return session_close(&s);
	path = session_path("/api/v1/relays/%s", command_argument(line, 0));
	one = session_call(&s, "GET", path, NULL);
	free(path);
	if (one != NULL)
		explain_hold(one);
	session_print_one(&s, &relay_cells, one);
	return session_close(&s);
}

static enum command_exit run_relay_add(const struct command_line *line)
{
	struct session s;
	json_t *body;

	if (!session_open(&s, line))
		return session_close(&s);
	body = json_pack("{s:s}", "name", command_argument(line, 0));
	set_routes(&s, body);
	session_text(&s, body, "listen", "listen");
	session_print_one(
	    &s, &relay_cells, session_call(&s, "POST", "/api/v1/relays", body));
	return session_close(&s);
}

static enum command_exit edit_relay(
    const struct command_line *line, json_t *body)
{
	struct session s;
	char *path;

	if (!session_open(&s, line)) {
		json_decref(body);
		return session_close(&s);
	}
	path = session_path("/api/v1/relays/%s", command_argument(line, 0));
	session_print_one(
	    &s, &relay_cells, session_call(&s, "PUT", path, body));
	free(path);
	return session_close(&s);
}

static enum command_exit run_relay_drain(const struct command_line *line)
{
	return edit_relay(line, json_pack("{s:b}", "draining", 1));
}

static enum command_exit run_relay_resume(const struct command_line *line)
{
	return edit_relay(line, json_pack("{s:b}", "draining", 0));
}

static enum command_exit run_relay_set_listen(const struct command_line *line)
{
	return edit_relay(
	    line, json_pack("{s:s}", "listen", command_argument(line, 1)));
}

static enum command_exit run_relay_set_route(const struct command_line *line)
{
	struct session s;
	json_t *routes;
	char *path;

	if (!session_open(&s, line))
		return session_close(&s);
	routes = json_array();
	for (size_t i = 1; i < command_argument_count(line); i++)
		(void)json_array_append_new(
		    routes, route_of(&s, command_argument(line, i)));
	path = session_path("/api/v1/relays/%s", command_argument(line, 0));
	session_print_one(&s, &relay_cells,
	    session_call(
		&s, "PUT", path, json_pack("{s:o}", "routes", routes)));
	free(path);
	return session_close(&s);
}

static enum command_exit run_relay_release(const struct command_line *line)
{
	return release_one(line, "relays", &relay_cells);
}

static enum command_exit run_relay_remove(const struct command_line *line)
{
	return remove_one(line, "/api/v1/relays/");
}

static enum command_exit run_relay_revoke(const struct command_line *line)
{
	return revoke_one(line, "relays", &relay_cells);
}

/* ---- table ---- */

static const struct command_option revoke_options[] = {
	{ .name = "reason", .argument = "TEXT", .help = "For the record" },
};

static const struct command_option release_options[] = {
	{ .name = "instance",
	    .argument = "ID",
	    .help = "Of two copies the one that goes on; none: whichever "
		    "comes next" },
};

static const struct command_option relay_add_options[] = {
	{ .name = "route",
	    .argument = "ROUTE",
	    .repeated = true,
	    .help = "A way to it, best first: direct, dc2-a, dc2-a=HOST:PORT" },
	{ .name = "listen",
	    .argument = "HOST:PORT",
	    .help = "Where its tentacles find it" },
};

const struct command relay_commands[] = {
	{ .name = "relay list", .help = "List relays", .run = run_relay_list },
	{ .name = "relay show",
	    .arguments = "RELAY",
	    .help = "Show a relay",
	    .run = run_relay_show },
	{ .name = "relay add",
	    .arguments = "NAME",
	    .help = "Add a relay that will join later",
	    .options = relay_add_options,
	    .option_count = COUNT_OF(relay_add_options),
	    .run = run_relay_add },
	{ .name = "relay set-route",
	    .arguments = "RELAY ROUTE...",
	    .help = "Replace the ways to a relay, best first",
	    .examples = "longarm relay set-route dc2-c dc2-a dc2-b",
	    .run = run_relay_set_route },
	{ .name = "relay set-listen",
	    .arguments = "RELAY HOST:PORT",
	    .help = "Say where machines and relays behind a relay dial it",
	    .examples = "longarm relay set-listen dc2-b 10.2.0.1:10953",
	    .run = run_relay_set_listen },
	{ .name = "relay drain",
	    .arguments = "RELAY",
	    .help = "Move streams away from a relay, to other routes",
	    .run = run_relay_drain },
	{ .name = "relay resume",
	    .arguments = "RELAY",
	    .help = "Use a drained relay again",
	    .run = run_relay_resume },
	{ .name = "relay release",
	    .arguments = "RELAY",
	    .help = "Let a relay work again that is held as a copy",
	    .examples = "longarm relay release dc2-a --instance 3fa91b22",
	    .options = release_options,
	    .option_count = COUNT_OF(release_options),
	    .run = run_relay_release },
	{ .name = "relay remove",
	    .arguments = "RELAY",
	    .help = "Remove a relay that no route uses",
	    .run = run_relay_remove },
	{ .name = "relay revoke",
	    .arguments = "RELAY",
	    .help = "Revoke a relay's key; it may join again with a new one",
	    .options = revoke_options,
	    .option_count = COUNT_OF(revoke_options),
	    .run = run_relay_revoke },
	{ .name = NULL },
};

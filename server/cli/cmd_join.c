/* cmd_join.c - who may join, and which copy of a machine goes on. */
#include "server/cli/commands.h"

#include "common/fs.h"
#include "common/join_file.h"
#include "common/xalloc.h"

#include <stdlib.h>
#include <string.h>

/* ---- tokens ---- */

static const struct output_column token_columns[] = {
	{ "id", "ID", false },
	{ "role", "FOR", false },
	{ "name", "NAME", false },
	{ "uses_left", "USES", false },
	{ "expires_ms", "EXPIRES", false },
	{ "environments", "ENVIRONMENTS", false },
	{ "roles", "ROLES", false },
	{ "routes", "ROUTES", true },
	{ "who", "BY", true },
	{ "approval", "APPROVAL", true },
	{ "token", "TOKEN", true },
};
static const enum cell token_types[] = { CELL_TEXT, CELL_TEXT, CELL_TEXT,
	CELL_NUMBER, CELL_TIME, CELL_TEXTS, CELL_TEXTS, CELL_ROUTES, CELL_TEXT,
	CELL_BOOL, CELL_TEXT };
static const struct cells token_cells = CELLS(token_columns, token_types);

static void print_token(struct session *s, json_t *made)
{
	const char *text = json_string_value(json_object_get(made, "token"));
	const char *role = json_string_value(json_object_get(made, "role"));
	const char *file = command_value(s->line, "out");
	struct fault fault = { 0 };

	if (made == NULL)
		return;
	if (file != NULL && text != NULL) {
		char *with_newline = xprintf("%s\n", text);

		if (fs_write_atomic(file, with_newline, strlen(with_newline),
			0600, &fault) != RC_OK)
			(void)session_fail(s, COMMAND_ERROR, &fault);
		secret_wipe(with_newline, strlen(with_newline));
		free(with_newline);
		(void)json_object_del(made, "token");
	}
	if (output_format_of(s->line) != OUTPUT_TABLE) {
		session_print_one(s, &token_cells, made);
		return;
	}
	if (file == NULL && text != NULL)
		(void)printf("%s\n", text);
	(void)fprintf(stderr,
	    "On the machine: longarm-%s join --token-file %s HOST:PORT\n",
	    role != NULL ? role : "tentacle", file != NULL ? file : "FILE");
	json_decref(made);
}

static enum command_exit run_token_create(const struct command_line *line)
{
	struct session s;
	json_t *body;

	if (!session_open(&s, line))
		return session_close(&s);
	body = json_pack(
	    "{s:s}", "role", command_has(line, "relay") ? "relay" : "tentacle");
	session_text(&s, body, "name", "name");
	session_texts(&s, body, "environments", "environment");
	session_texts(&s, body, "roles", "role");
	set_routes(&s, body);
	if (command_has(line, "approval"))
		(void)json_object_set_new(body, "approval", json_true());
	(void)session_number(&s, body, "uses", "uses");
	(void)session_seconds(&s, body, "ttl_s", "expires");
	print_token(&s, session_call(&s, "POST", "/api/v1/tokens", body));
	return session_close(&s);
}

static enum command_exit run_token_list(const struct command_line *line)
{
	/* Without the token itself: that is never told again. */
	static const struct cells cells = { token_columns, token_types,
		COUNT_OF(token_columns) - 1 };
	struct session s;

	if (session_open(&s, line))
		session_print(&s, &cells, session_list(&s, "/api/v1/tokens"));
	return session_close(&s);
}

static enum command_exit run_token_revoke(const struct command_line *line)
{
	return remove_one(line, "/api/v1/tokens/");
}

/* ---- who waits ---- */

static const struct output_column joining_columns[] = {
	{ "name", "NAME", false },
	{ "state", "STATE", false },
	{ "key", "KEY", false },
	{ "hostname", "HOST", false },
	{ "address", "FROM", false },
	{ "token", "TOKEN", false },
	{ "created_ms", "SINCE", false },
	{ "seen_ms", "ASKED", true },
	{ "version", "VERSION", true },
};
static const enum cell joining_types[] = { CELL_TEXT, CELL_TEXT, CELL_TEXT,
	CELL_TEXT, CELL_TEXT, CELL_TEXT, CELL_TIME, CELL_TIME, CELL_TEXT };
static const struct cells joining_cells = CELLS(joining_columns, joining_types);

static enum command_exit list_pending(
    const struct command_line *line, const char *role)
{
	struct session s;
	char *path;

	if (!session_open(&s, line))
		return session_close(&s);
	path = session_path("/api/v1/joins?role=%s", role);
	session_print(&s, &joining_cells, session_list(&s, path));
	free(path);
	return session_close(&s);
}

static enum command_exit decide(
    const struct command_line *line, const char *role, const char *verb)
{
	struct session s;
	char *path;

	if (!session_open(&s, line))
		return session_close(&s);
	path = session_path(
	    "/api/v1/joins/%s/%s", command_argument(line, 0), verb);
	session_print_one(&s, &joining_cells,
	    session_call(&s, "POST", path, json_pack("{s:s}", "role", role)));
	free(path);
	return session_close(&s);
}

static enum command_exit run_machine_pending(const struct command_line *line)
{
	return list_pending(line, "tentacle");
}

static enum command_exit run_machine_approve(const struct command_line *line)
{
	return decide(line, "tentacle", "approve");
}

static enum command_exit run_machine_reject(const struct command_line *line)
{
	return decide(line, "tentacle", "reject");
}

static enum command_exit run_relay_pending(const struct command_line *line)
{
	return list_pending(line, "relay");
}

static enum command_exit run_relay_approve(const struct command_line *line)
{
	return decide(line, "relay", "approve");
}

static enum command_exit run_relay_reject(const struct command_line *line)
{
	return decide(line, "relay", "reject");
}

/* ---- files ---- */

static void write_answer(struct session *s, const char *text)
{
	const char *file = command_value(s->line, "out");
	struct fault fault = { 0 };

	if (file == NULL)
		(void)fputs(text, stdout);
	else if (fs_write_atomic(file, text, strlen(text), 0600, &fault) !=
		 RC_OK)
		(void)session_fail(s, COMMAND_ERROR, &fault);
}

static enum command_exit sign(const struct command_line *line, const char *role)
{
	struct session s;
	json_t *body, *made;
	char *request;

	if (!session_open(&s, line))
		return session_close(&s);
	request = session_read(&s, command_argument(line, 0), JOIN_REQUEST_MAX);
	if (request == NULL)
		return session_close(&s);
	body = json_pack("{s:s, s:s}", "role", role, "request", request);
	free(request);
	session_text(&s, body, "name", "name");
	session_texts(&s, body, "environments", "environment");
	session_texts(&s, body, "roles", "role");
	set_routes(&s, body);
	made = session_call(&s, "POST", "/api/v1/joins", body);
	if (made != NULL) {
		write_answer(
		    &s, json_string_value(json_object_get(made, "answer")));
		(void)fprintf(stderr,
		    "%s may join.  There: longarm-%s join --answer %s\n",
		    json_string_value(json_object_get(made, "name")), role,
		    command_value(line, "out") != NULL
			? command_value(line, "out")
			: "FILE");
	}
	json_decref(made);
	return session_close(&s);
}

static enum command_exit run_machine_sign(const struct command_line *line)
{
	return sign(line, "tentacle");
}

static enum command_exit run_relay_sign(const struct command_line *line)
{
	return sign(line, "relay");
}

/* ---- copies ---- */

static enum command_exit run_machine_release(const struct command_line *line)
{
	return release_one(line, "machines", &machine_cells);
}

/* ---- table ---- */

static const struct command_option token_options[] = {
	{ .name = "relay", .help = "For a relay; else for a tentacle" },
	{ .name = "name",
	    .letter = 'n',
	    .argument = "NAME",
	    .help = "Name of the joiner; none: it chooses" },
	ENVIRONMENTS_OPTION,
	ROLES_OPTION,
	ROUTES_OPTION,
	{ .name = "uses", .argument = "N", .help = "How often; 1" },
	{ .name = "expires", .argument = "TIME", .help = "12h, 7d; a day" },
	{ .name = "approval",
	    .help = "A person approves each joiner: machine pending, approve" },
	{ .name = "out",
	    .argument = "FILE",
	    .help = "Write the token there (0600), not to the screen" },
};

static const struct command_option sign_options[] = {
	{ .name = "name",
	    .letter = 'n',
	    .argument = "NAME",
	    .help = "Its name; a machine without one is called as its host" },
	ENVIRONMENTS_OPTION,
	ROLES_OPTION,
	ROUTES_OPTION,
	{ .name = "out",
	    .argument = "FILE",
	    .help = "Write the answer there, not to standard output" },
};

static const struct command_option release_options[] = {
	{ .name = "instance",
	    .argument = "ID",
	    .help = "Of two copies the one that goes on; none: whichever "
		    "comes next" },
};

const struct command join_commands[] = {
	{ .name = "token create",
	    .help = "Create a token by which a tentacle or relay joins",
	    .examples = "longarm token create --relay --name dc2-a --out t\n"
			"longarm token create -e prod -r web --route dc2-a "
			"--uses 3",
	    .options = token_options,
	    .option_count = COUNT_OF(token_options),
	    .run = run_token_create },
	{ .name = "token list",
	    .help = "List tokens, without their secrets",
	    .run = run_token_list },
	{ .name = "token revoke",
	    .arguments = "ID",
	    .help = "Revoke a token; who has joined stays",
	    .run = run_token_revoke },
	{ .name = "machine release",
	    .arguments = "MACHINE",
	    .help = "Let a machine work again that is held (see machine show)",
	    .examples = "longarm machine release web-01\n"
			"longarm machine release web-01 --instance 3fa91b22",
	    .options = release_options,
	    .option_count = COUNT_OF(release_options),
	    .run = run_machine_release },
	{ .name = "machine pending",
	    .help = "List machines that wait to be approved",
	    .run = run_machine_pending },
	{ .name = "machine approve",
	    .arguments = "NAME|KEY",
	    .help = "Let a machine join that waits",
	    .details = "Compare the key with what `join` prints on the "
		       "machine: names can be claimed by anybody.",
	    .run = run_machine_approve },
	{ .name = "machine reject",
	    .arguments = "NAME|KEY",
	    .help = "Turn away a machine that waits",
	    .run = run_machine_reject },
	{ .name = "machine sign",
	    .arguments = "FILE",
	    .help = "Let a machine join by the request that it wrote",
	    .details = "FILE is what longarm-tentacle join --request wrote; "
		       "carry the answer back.  The same file again has the "
		       "same answer.",
	    .examples = "longarm machine sign web.request --name web-04 -e "
			"prod --route dc2-a --out web.answer",
	    .options = sign_options,
	    .option_count = COUNT_OF(sign_options),
	    .run = run_machine_sign },
	{ .name = "relay sign",
	    .arguments = "FILE",
	    .help = "Let a relay join by the request that it wrote",
	    .examples = "longarm relay sign a.request --name dc2-a --route "
			"direct=10.0.0.3:10953 --out a.answer",
	    .options = sign_options,
	    .option_count = COUNT_OF(sign_options),
	    .run = run_relay_sign },
	{ .name = "relay pending",
	    .help = "List relays that wait to be approved",
	    .run = run_relay_pending },
	{ .name = "relay approve",
	    .arguments = "NAME|KEY",
	    .help = "Let a relay join that waits",
	    .run = run_relay_approve },
	{ .name = "relay reject",
	    .arguments = "NAME|KEY",
	    .help = "Turn away a relay that waits",
	    .run = run_relay_reject },
	{ .name = NULL },
};

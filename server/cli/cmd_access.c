/* cmd_access.c - login, status, keys and variables. */
#include "server/cli/commands.h"

#include "common/fs.h"
#include "common/xalloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY_MAX      512
#define VARIABLE_MAX (64u << 10)

/* ---- login ---- */

static bool read_login(struct session *s, struct login *login)
{
	const char *file = command_value(s->line, "file");
	const char *key = command_value(s->line, "key-file");
	const char *pin = command_value(s->line, "ca-pin");
	const char *url = command_argument(s->line, 0);
	struct fault fault = { 0 };
	enum rc rc = RC_OK;

	if ((file == NULL) == (url == NULL)) {
		(void)session_usage(s, "give either --file operator.login, or "
				       "a URL with --key-file");
		return false;
	}
	if (file != NULL)
		rc = login_read(file, login, &fault);
	else
		rc = login_parse_url(url, login->url, &fault);
	if (rc == RC_OK && pin != NULL) {
		rc = login_parse_pin(pin, login->pin, &fault);
		login->pinned = true;
	}
	if (rc == RC_OK && key != NULL) {
		secret_free(login->key);
		login->key = NULL;
		rc = secret_read(key, KEY_MAX, &login->key, &fault);
	}
	if (rc != RC_OK) {
		(void)session_fail(s, COMMAND_ERROR, &fault);
		return false;
	}
	if (login->key == NULL) {
		(void)session_usage(
		    s, "no API key: --key-file FILE, or - for standard input");
		return false;
	}
	return true;
}

/* Only a login that works is kept. */
static bool prove_login(struct session *s, const struct login *login)
{
	struct login copy = *login;
	struct fault fault = { 0 };
	json_t *status;

	copy.key = NULL;
	if (secret_new(secret_data(login->key), secret_len(login->key),
		&copy.key) != RC_OK ||
	    client_new(&copy, &s->client, &fault) != RC_OK) {
		(void)session_fail(s, COMMAND_ERROR, &fault);
		return false;
	}
	status = session_call(s, "GET", "/api/v1/status", NULL);
	json_decref(status);
	return status != NULL;
}

static enum command_exit run_login(const struct command_line *line)
{
	struct session s = { .line = line };
	struct login login = { 0 };
	struct fault fault = { 0 };
	char path[LOGIN_PATH_SIZE];

	if (read_login(&s, &login) && prove_login(&s, &login)) {
		if (login_path(path, &fault) != RC_OK ||
		    login_write(path, &login, &fault) != RC_OK)
			(void)session_fail(&s, COMMAND_ERROR, &fault);
		else
			(void)fprintf(stderr, "logged in to %s; kept in %s\n",
			    login.url, path);
	}
	login_clear(&login);
	return session_close(&s);
}

/* ---- status ---- */

static void print_attention(const json_t *status)
{
	const json_t *text;
	size_t i;

	json_array_foreach(json_object_get(status, "attention"), i, text)
	{
		(void)fputs("attention: ", stderr);
		output_safe(stderr, json_string_value(text));
		(void)fputc('\n', stderr);
	}
}

static enum command_exit run_status(const struct command_line *line)
{
	static const struct output_column columns[] = {
		{ "version", "VERSION", false },
		{ "cluster", "CLUSTER", true },
		{ "machines", "MACHINES", false },
		{ "online", "ONLINE", false },
		{ "offline", "OFFLINE", false },
		{ "healthy", "HEALTHY", false },
		{ "warnings", "WARNINGS", false },
		{ "unhealthy", "UNHEALTHY", false },
		{ "unavailable", "UNAVAILABLE", false },
		{ "draining", "DRAINING", false },
		{ "node_certificate_ends_ms", "NODE CERTIFICATE ENDS", true },
		{ "https_certificate_ends_ms", "HTTPS CERTIFICATE ENDS", true },
	};
	static const enum cell types[] = { CELL_TEXT, CELL_TEXT, CELL_NUMBER,
		CELL_NUMBER, CELL_NUMBER, CELL_NUMBER, CELL_NUMBER, CELL_NUMBER,
		CELL_NUMBER, CELL_BOOL, CELL_TIME, CELL_TIME };
	static const struct cells cells = CELLS(columns, types);
	struct session s;
	json_t *status;

	if (!session_open(&s, line))
		return session_close(&s);
	status = session_call(&s, "GET", "/api/v1/status", NULL);
	(void)json_object_update_missing(
	    status, json_object_get(status, "presence"));
	(void)json_object_update_missing(
	    status, json_object_get(status, "health"));
	print_attention(status);
	session_print_one(&s, &cells, status);
	return session_close(&s);
}

/* ---- keys ---- */

static enum command_exit run_apikey_create(const struct command_line *line)
{
	static const struct output_column columns[] = {
		{ "name", "NAME", false },
		{ "key", "KEY", false },
		{ "expires_ms", "EXPIRES", false },
	};
	static const enum cell types[] = { CELL_TEXT, CELL_TEXT, CELL_TIME };
	static const struct cells cells = CELLS(columns, types);
	struct session s;
	json_t *body, *made;

	if (!session_open(&s, line))
		return session_close(&s);
	body = json_pack("{s:s}", "name", command_argument(line, 0));
	session_text(&s, body, "permissions", "permissions");
	session_texts(&s, body, "environments", "environment");
	(void)session_seconds(&s, body, "ttl_s", "expires");
	made = session_call(&s, "POST", "/api/v1/apikeys", body);
	if (made != NULL && output_format_of(line) == OUTPUT_TABLE) {
		(void)printf(
		    "%s\n", json_string_value(json_object_get(made, "key")));
		(void)fprintf(stderr,
		    "This key is shown once: keep it in a file (0600) "
		    "for LONGARM_TOKEN_FILE.\n");
		json_decref(made);
	} else {
		session_print_one(&s, &cells, made);
	}
	return session_close(&s);
}

static enum command_exit run_apikey_list(const struct command_line *line)
{
	static const struct output_column columns[] = {
		{ "name", "NAME", false },
		{ "id", "ID", false },
		{ "permissions", "PERMISSIONS", true },
		{ "environments", "ENVIRONMENTS", false },
		{ "last_used_ms", "LAST USED", false },
		{ "expires_ms", "EXPIRES", false },
		{ "created_ms", "CREATED", true },
	};
	static const enum cell types[] = { CELL_TEXT, CELL_TEXT, CELL_TEXT,
		CELL_TEXTS, CELL_TIME, CELL_TIME, CELL_TIME };
	static const struct cells cells = CELLS(columns, types);
	struct session s;

	if (session_open(&s, line))
		session_print(&s, &cells, session_list(&s, "/api/v1/apikeys"));
	return session_close(&s);
}

static enum command_exit run_apikey_revoke(const struct command_line *line)
{
	struct session s;
	char *path;

	if (!session_open(&s, line))
		return session_close(&s);
	path = session_path("/api/v1/apikeys/%s", command_argument(line, 0));
	json_decref(session_call(&s, "DELETE", path, NULL));
	free(path);
	return session_close(&s);
}

/* ---- variables ---- */

static void set_place(const struct session *s, json_t *body)
{
	static const char *const names[] = { "project", "environment",
		"machine", "role" };

	for (size_t i = 0; i < COUNT_OF(names); i++)
		session_text(s, body, names[i], names[i]);
}

static enum command_exit run_variable_set(const struct command_line *line)
{
	struct session s;
	const char *name = command_argument(line, 0);
	const char *value = command_argument(line, 1);
	const char *file = command_value(line, "value-file");
	bool sensitive = command_has(line, "sensitive");
	char *text = NULL;
	json_t *body;
	size_t len;

	if (!session_open(&s, line))
		return session_close(&s);
	if (value != NULL && (sensitive || file != NULL)) {
		(void)session_usage(
		    &s, sensitive ? "a sensitive value is never an argument: "
				    "--value-file FILE, or - for standard input"
				  : "give VALUE or --value-file, not both");
		return session_close(&s);
	}
	if (value == NULL)
		text = session_read(
		    &s, file != NULL ? file : "-", VARIABLE_MAX + 1);
	if (value == NULL && text == NULL)
		return session_close(&s);
	/* An editor's or echo's last newline is not meant. */
	len = text != NULL ? strlen(text) : 0;
	if (len > 0 && text[len - 1] == '\n')
		text[len - 1] = '\0';
	body = json_pack("{s:s, s:s, s:b}", "name", name, "value",
	    text != NULL ? text : value, "sensitive", sensitive ? 1 : 0);
	if (text != NULL)
		secret_wipe(text, len);
	free(text);
	set_place(&s, body);
	json_decref(session_call(&s, "PUT", "/api/v1/variables", body));
	return session_close(&s);
}

static enum command_exit run_variable_list(const struct command_line *line)
{
	static const struct output_column columns[] = {
		{ "name", "NAME", false },
		{ "value", "VALUE", false },
		{ "sensitive", "SENSITIVE", false },
		{ "project", "PROJECT", false },
		{ "environment", "ENVIRONMENT", false },
		{ "machine", "MACHINE", false },
		{ "role", "ROLE", false },
		{ "updated_ms", "UPDATED", true },
	};
	static const enum cell types[] = { CELL_TEXT, CELL_TEXT, CELL_BOOL,
		CELL_TEXT, CELL_TEXT, CELL_TEXT, CELL_TEXT, CELL_TIME };
	static const struct cells cells = CELLS(columns, types);
	const char *project = command_value(line, "project");
	struct session s;
	char *path;

	if (!session_open(&s, line))
		return session_close(&s);
	path = project != NULL
	           ? session_path("/api/v1/variables?project=%s", project)
	           : session_path("/api/v1/variables");
	session_print(&s, &cells, session_list(&s, path));
	free(path);
	return session_close(&s);
}

/* ---- table ---- */

static const struct command_option login_options[] = {
	{ .name = "file",
	    .letter = 'f',
	    .argument = "FILE",
	    .help = "operator.login, as longarm-server init wrote it" },
	{ .name = "key-file",
	    .argument = "FILE",
	    .help = "API key; - reads standard input" },
	{ .name = "ca-pin",
	    .argument = "PIN",
	    .help = "sha256:... of the server's root; else the system's "
		    "certificates count" },
};

static const struct command_option apikey_options[] = {
	{ .name = "permissions",
	    .letter = 'p',
	    .argument = "LIST",
	    .required = true,
	    .help = "all, view, deployer, or names separated by commas" },
	{ .name = "environment",
	    .letter = 'e',
	    .argument = "ENV",
	    .repeated = true,
	    .help = "Only in this one" },
	{ .name = "expires", .argument = "TIME", .help = "90d, 12h; never" },
};

#define PLACE_OPTIONS                                                          \
	{ .name = "project",                                                   \
		.letter = 'p',                                                 \
		.argument = "PROJECT",                                         \
		.help = "Of this project; none: of all" },                     \
	    { .name = "environment",                                           \
		    .letter = 'e',                                             \
		    .argument = "ENV",                                         \
		    .help = "Only there" },                                    \
	    { .name = "machine",                                               \
		    .argument = "MACHINE",                                     \
		    .help = "Only there" },                                    \
	{                                                                      \
		.name = "role", .letter = 'r', .argument = "ROLE",             \
		.help = "Only there"                                           \
	}

static const struct command_option set_options[] = {
	PLACE_OPTIONS,
	{ .name = "sensitive", .help = "Keep it encrypted, never show it" },
	{ .name = "value-file",
	    .argument = "FILE",
	    .help = "Value from a file; - or none: standard input" },
};

static const struct command_option list_options[] = {
	{ .name = "project",
	    .letter = 'p',
	    .argument = "PROJECT",
	    .help = "What it sees" },
};

const struct command access_commands[] = {
	{ .name = "login",
	    .arguments = "[URL]",
	    .help = "Keep where the server is and the key for it",
	    .examples = "longarm login --file operator.login\n"
			"longarm login https://longarm.example:8443 "
			"--ca-pin sha256:9f86... --key-file -",
	    .options = login_options,
	    .option_count = COUNT_OF(login_options),
	    .run = run_login },
	{ .name = "status",
	    .help = "Show how server and machines are",
	    .run = run_status },
	{ .name = "apikey create",
	    .arguments = "NAME",
	    .help = "Create an API key; it is shown once",
	    .options = apikey_options,
	    .option_count = COUNT_OF(apikey_options),
	    .run = run_apikey_create },
	{ .name = "apikey list",
	    .help = "List API keys",
	    .run = run_apikey_list },
	{ .name = "apikey revoke",
	    .arguments = "KEY",
	    .help = "Revoke an API key by name or id",
	    .run = run_apikey_revoke },
	{ .name = "variable set",
	    .arguments = "NAME [VALUE]",
	    .help = "Set a variable in one scope",
	    .examples = "longarm variable set Greeting hello --project shop\n"
			"longarm variable set DbPassword --sensitive "
			"--project shop --environment prod < password",
	    .options = set_options,
	    .option_count = COUNT_OF(set_options),
	    .run = run_variable_set },
	{ .name = "variable list",
	    .help = "List variables; sensitive values are never shown",
	    .options = list_options,
	    .option_count = COUNT_OF(list_options),
	    .run = run_variable_list },
	{ .name = NULL },
};

/* cmd_ca.c - the cluster's authorities: look at them, let others follow. */
#include "server/cli/commands.h"

#include "common/key.h"
#include "common/secret.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_MS 500

/* ---- show ---- */

static const struct output_column authority_columns[] = {
	{ "name", "NAME", false },
	{ "not_after_ms", "VALID UNTIL", false },
	{ "key", "KEY", false },
	{ "key_sha256", "SHA-256 OF ITS KEY", false },
	{ "not_before_ms", "SINCE", true },
};
static const enum cell authority_types[] = { CELL_TEXT, CELL_TIME, CELL_TEXT,
	CELL_TEXT, CELL_TIME };
static const struct cells authority_cells =
    CELLS(authority_columns, authority_types);

static enum command_exit run_ca_show(const struct command_line *line)
{
	struct session s;
	json_t *ca;

	if (!session_open(&s, line))
		return session_close(&s);
	ca = session_call(&s, "GET", "/api/v1/ca", NULL);
	if (ca != NULL)
		session_print(&s, &authority_cells,
		    json_incref(json_object_get(ca, "authorities")));
	json_decref(ca);
	return session_close(&s);
}

/* ---- status ---- */

static const struct output_column rotation_columns[] = {
	{ "kind", "ROTATION", false },
	{ "phase", "PHASE", false },
	{ "there", "THERE", false },
	{ "missing_count", "MISSING", false },
	{ "started_ms", "STARTED", false },
	{ "changed_ms", "PHASE SINCE", false },
	{ "left_out", "LEFT OUT", false },
	{ "missing_names", "WHO IS MISSING", false },
	{ "who", "BY", true },
};
static const enum cell rotation_types[] = { CELL_TEXT, CELL_TEXT, CELL_NUMBER,
	CELL_NUMBER, CELL_TIME, CELL_TIME, CELL_TEXTS, CELL_TEXTS, CELL_TEXT };
static const struct cells rotation_cells =
    CELLS(rotation_columns, rotation_types);

static bool is_done(const json_t *rotation)
{
	const char *phase =
	    json_string_value(json_object_get(rotation, "phase"));

	return phase == NULL || strcmp(phase, "done") == 0;
}

/* Who is missing as lines, as in "machine web-03 (offline)". */
static json_t *missing_names(const json_t *rotation)
{
	const json_t *all = json_object_get(rotation, "missing"), *one;
	json_t *names = json_array();
	size_t i;

	json_array_foreach(all, i, one)
	{
		(void)json_array_append_new(names,
		    json_sprintf("%s %s (%s)",
			json_string_value(json_object_get(one, "what")),
			json_string_value(json_object_get(one, "name")),
			json_string_value(json_object_get(one, "presence"))));
	}
	return names;
}

static void print_rotation(struct session *s, json_t *ca)
{
	json_t *r = json_object_get(ca, "rotation");

	if (ca == NULL)
		return;
	if (!json_is_object(r)) {
		(void)fprintf(stderr, "no authority was ever rotated\n");
	} else if (output_format_of(s->line) == OUTPUT_JSON) {
		(void)json_dumpf(r, stdout, JSON_INDENT(2));
		(void)fputc('\n', stdout);
	} else {
		json_int_t members =
		    json_integer_value(json_object_get(r, "members"));
		json_int_t missing =
		    json_integer_value(json_object_get(r, "missing_count"));

		(void)json_object_set_new(
		    r, "there", json_integer(members - missing));
		(void)json_object_set_new(r, "missing_names", missing_names(r));
		session_print_one(s, &rotation_cells, json_incref(r));
	}
	json_decref(ca);
}

static enum command_exit run_ca_status(const struct command_line *line)
{
	struct session s;

	if (session_open(&s, line))
		print_rotation(&s, session_call(&s, "GET", "/api/v1/ca", NULL));
	return session_close(&s);
}

/* ---- rotate ---- */

/* Every change of what is missing is told, on stderr. */
static json_t *wait_for_end(struct session *s, json_t *ca)
{
	const struct timespec pause = { .tv_nsec = WAIT_MS * 1000000L };
	json_int_t told = -1;

	while (ca != NULL && !is_done(json_object_get(ca, "rotation")) &&
	       !client_interrupted()) {
		const json_t *r = json_object_get(ca, "rotation");
		json_int_t missing =
		    json_integer_value(json_object_get(r, "missing_count"));

		if (missing != told)
			(void)fprintf(stderr, "%s: %lld not there yet\n",
			    json_string_value(json_object_get(r, "phase")),
			    (long long)missing);
		told = missing;
		(void)nanosleep(&pause, NULL);
		json_decref(ca);
		ca = session_call(s, "GET", "/api/v1/ca", NULL);
	}
	return ca;
}

static bool add_root_key(struct session *s, json_t *body)
{
	const char *file = session_option(s, "root-key");
	char *pem;

	if (file == NULL)
		return true;
	pem = session_read(s, file, KEY_PEM_MAX);
	if (pem == NULL)
		return false;
	(void)json_object_set_new(body, "root_key", json_string(pem));
	secret_wipe(pem, strlen(pem));
	free(pem);
	return true;
}

static enum command_exit run_ca_rotate(const struct command_line *line)
{
	struct session s;
	json_t *body, *ca = NULL;

	if (!session_open(&s, line))
		return session_close(&s);
	body = json_pack("{s:s, s:b}", "kind", command_argument(line, 0),
	    "force", command_has(line, "force") ? 1 : 0);
	if (add_root_key(&s, body))
		ca = session_call(&s, "POST", "/api/v1/ca/rotations", body);
	else
		json_decref(body);
	if (command_has(line, "wait")) {
		client_catch_interrupts();
		ca = wait_for_end(&s, ca);
	}
	print_rotation(&s, ca);
	return session_close(&s);
}

/* ---- nodes ---- */

static const struct output_column node_columns[] = {
	{ "name", "NAME", false },
	{ "this", "THIS", false },
	{ "revoked", "REVOKED", false },
	{ "not_after_ms", "CERTIFICATE ENDS", false },
	{ "last_seen_ms", "LAST SEEN", false },
	{ "first_seen_ms", "FIRST SEEN", true },
	{ "version", "VERSION", true },
	{ "key_sha256", "SHA-256 OF ITS KEY", false },
};
static const enum cell node_types[] = { CELL_TEXT, CELL_BOOL, CELL_BOOL,
	CELL_TIME, CELL_TIME, CELL_TIME, CELL_TEXT, CELL_TEXT };
static const struct cells node_cells = CELLS(node_columns, node_types);

static enum command_exit run_node_list(const struct command_line *line)
{
	struct session s;

	if (session_open(&s, line))
		session_print(
		    &s, &node_cells, session_list(&s, "/api/v1/nodes"));
	return session_close(&s);
}

static enum command_exit run_node_revoke(const struct command_line *line)
{
	struct session s;
	json_t *body;
	char *path;

	if (!session_open(&s, line))
		return session_close(&s);
	body = json_object();
	path =
	    session_path("/api/v1/nodes/%s/revoke", command_argument(line, 0));
	session_text(&s, body, "key_sha256", "key");
	session_text(&s, body, "reason", "reason");
	session_print_one(
	    &s, &node_cells, session_call(&s, "POST", path, body));
	free(path);
	return session_close(&s);
}

static const struct command_option revoke_options[] = {
	{ .name = "key",
	    .argument = "SHA256",
	    .help = "Of its key, where it has several: longarm node list" },
	{ .name = "reason", .argument = "TEXT", .help = "For the record" },
};

static const struct command_option rotate_options[] = {
	{ .name = "root-key",
	    .argument = "FILE",
	    .help = "The root's key, when it is not on the server; - reads "
		    "standard input" },
	{ .name = "force",
	    .help = "One phase on, whoever is missing; they are named, and "
		    "left out" },
	{ .name = "wait", .help = "Until the old authorities are retired" },
};

const struct command ca_commands[] = {
	{ .name = "ca show",
	    .help = "Show authorities and where their keys are",
	    .run = run_ca_show },
	{ .name = "ca status",
	    .help = "Show how far the last rotation is, and who is missing",
	    .run = run_ca_status },
	{ .name = "ca rotate",
	    .arguments = "KIND",
	    .help = "Let authorities be followed by new ones (KIND: agents, "
		    "nodes, root); again: show how far it is",
	    .examples = "longarm ca rotate agents --wait\n"
			"longarm ca rotate root --root-key /media/usb/root.key",
	    .options = rotate_options,
	    .option_count = COUNT_OF(rotate_options),
	    .run = run_ca_rotate },
	{ .name = "node list",
	    .help = "List the keys of servers, and when their certificates end",
	    .run = run_node_list },
	{ .name = "node revoke",
	    .arguments = "NODE",
	    .help = "Revoke a key of a server: nobody obeys it any more",
	    .examples = "longarm node revoke n2\n"
			"longarm node revoke n2 --key 9f86d0...",
	    .options = revoke_options,
	    .option_count = COUNT_OF(revoke_options),
	    .run = run_node_revoke },
	{ .name = NULL },
};

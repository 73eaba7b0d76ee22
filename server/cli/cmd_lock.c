/* cmd_lock.c - named locks on machines. */
#include "server/cli/commands.h"

#include <stdlib.h>
#include <string.h>

static const struct output_column lock_columns[] = {
	{ "machine", "MACHINE", false },
	{ "lock", "LOCK", false },
	{ "mode", "MODE", false },
	{ "state", "STATE", false },
	{ "task", "TASK", false },
	{ "since_ms", "SINCE", false },
	{ "ticket", "TICKET", true },
};
static const enum cell lock_types[] = { CELL_TEXT, CELL_TEXT, CELL_TEXT,
	CELL_TEXT, CELL_TEXT, CELL_TIME, CELL_TEXT };
static const struct cells lock_cells = CELLS(lock_columns, lock_types);

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

/* What was asked, and how it went. */
struct asked {
	json_t *locks;
	size_t answered, failed;
	enum command_exit first; /* why the first of these did */
};

/* Then no other machine could be asked either. */
static bool is_hopeless(enum command_exit code)
{
	return code == COMMAND_SERVER_UNREACHABLE ||
	       code == COMMAND_INTERRUPTED;
}

static void add_locks(struct session *s, const char *machine, struct asked *to)
{
	char *path = session_path("/api/v1/machines/%s/locks", machine);
	json_t *answer = session_call(s, "GET", path, NULL);
	const json_t *items = json_object_get(answer, "items");

	free(path);
	for (size_t i = 0; i < json_array_size(items); i++) {
		json_t *one = json_array_get(items, i);
		bool shared = json_is_true(json_object_get(one, "shared"));
		bool held = json_is_true(json_object_get(one, "held"));

		(void)json_object_set_new(one, "machine", json_string(machine));
		(void)json_object_set_new(
		    one, "mode", json_string(shared ? "shared" : "exclusive"));
		(void)json_object_set_new(
		    one, "state", json_string(held ? "held" : "waits"));
		(void)json_array_append(to->locks, one);
	}
	to->answered += answer != NULL ? 1 : 0;
	json_decref(answer);
	if (s->failed == COMMAND_OK || is_hopeless(s->failed))
		return;
	if (to->failed++ == 0)
		to->first = s->failed;
	s->failed = COMMAND_OK; /* said; the others are asked */
}

/* All that are there: the others cannot be asked. */
static void add_all(struct session *s, struct asked *to)
{
	json_t *machines = session_list(s, "/api/v1/machines");

	for (size_t i = 0;
	     i < json_array_size(machines) && s->failed == COMMAND_OK; i++) {
		const json_t *one = json_array_get(machines, i);

		if (strcmp(text_of(one, "presence"), "online") == 0)
			add_locks(s, text_of(one, "name"), to);
	}
	json_decref(machines);
}

static enum command_exit run_list(const struct command_line *line)
{
	struct asked asked = { .locks = json_array() };
	size_t count = command_argument_count(line);
	struct session s;

	if (session_open(&s, line)) {
		for (size_t i = 0; i < count && s.failed == COMMAND_OK; i++)
			add_locks(&s, command_argument(line, i), &asked);
		if (count == 0)
			add_all(&s, &asked);
		if (s.failed == COMMAND_OK &&
		    (asked.failed == 0 || asked.answered > 0))
			session_print(
			    &s, &lock_cells, json_incref(asked.locks));
		if (s.failed == COMMAND_OK && asked.failed > 0)
			s.failed =
			    asked.answered > 0 ? COMMAND_PARTIAL : asked.first;
	}
	json_decref(asked.locks);
	return session_close(&s);
}

static enum command_exit run_break(const struct command_line *line)
{
	struct fault fault;
	struct session s;
	json_t *answer;
	char *path;

	if (!session_open(&s, line))
		return session_close(&s);
	path = session_path("/api/v1/machines/%s/locks/%s/break",
	    command_argument(line, 0), command_argument(line, 1));
	answer = session_call(&s, "POST", path, json_object());
	free(path);
	if (answer != NULL &&
	    json_integer_value(json_object_get(answer, "broken")) == 0) {
		fault_set(&fault, REASON_NOT_FOUND, "",
		    "nobody holds the lock %.60s on %.60s",
		    command_argument(line, 1), command_argument(line, 0));
		(void)session_fail(&s, COMMAND_NOT_FOUND, &fault);
	}
	json_decref(answer);
	return session_close(&s);
}

const struct command lock_commands[] = {
	{ .name = "lock list",
	    .arguments = "[MACHINE...]",
	    .help = "Show who holds a lock on machines, and who waits",
	    .run = run_list },
	{ .name = "lock break",
	    .arguments = "MACHINE LOCK",
	    .help = "Take a lock away from whoever holds it",
	    .run = run_break },
	{ .name = NULL },
};

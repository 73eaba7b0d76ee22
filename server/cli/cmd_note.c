/* cmd_note.c - what scripts said: variables, warnings, the files they kept. */
#include "server/cli/commands.h"

#include "common/buf.h"
#include "common/fs.h"
#include "common/xalloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct output_column output_columns[] = {
	{ "machine", "MACHINE", false },
	{ "step", "STEP", false },
	{ "name", "NAME", false },
	{ "text", "VALUE", false },
	{ "sensitive", "SENSITIVE", false },
	{ "run", "RUN", true },
};
static const enum cell output_types[] = { CELL_TEXT, CELL_TEXT, CELL_TEXT,
	CELL_TEXT, CELL_BOOL, CELL_TEXT };
static const struct cells output_cells = CELLS(output_columns, output_types);

static const struct output_column artifact_columns[] = {
	{ "id", "ID", false },
	{ "machine", "MACHINE", false },
	{ "step", "STEP", false },
	{ "name", "NAME", false },
	{ "size", "BYTES", false },
	{ "sha256", "SHA256", true },
	{ "run", "RUN", true },
};
static const enum cell artifact_types[] = { CELL_TEXT, CELL_TEXT, CELL_TEXT,
	CELL_TEXT, CELL_NUMBER, CELL_TEXT, CELL_TEXT };
static const struct cells artifact_cells =
    CELLS(artifact_columns, artifact_types);

static json_t *notes_of(struct session *s, const char *kind)
{
	char *path = session_path("/api/v1/tasks/%s/notes?kind=%s",
	    command_argument(s->line, 0), kind);
	json_t *all = session_list(s, path);

	free(path);
	return all;
}

static enum command_exit list(const struct command_line *line, const char *kind,
    const struct cells *cells)
{
	struct session s;
	json_t *all;

	if (!session_open(&s, line))
		return session_close(&s);
	all = notes_of(&s, kind);
	if (all != NULL)
		session_print(&s, cells, all);
	return session_close(&s);
}

static enum command_exit run_outputs(const struct command_line *line)
{
	return list(line, "output", &output_cells);
}

static enum command_exit run_artifacts(const struct command_line *line)
{
	return list(line, "artifact", &artifact_cells);
}

/* ---- download ---- */

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

/* MACHINE-NAME; whatever a server says, a file of this directory. */
static char *file_of(const json_t *one)
{
	char *name =
	    xprintf("%s-%s", text_of(one, "machine"), text_of(one, "name"));

	for (char *c = name; *c != '\0'; c++) {
		if (*c == '/' || (unsigned char)*c < ' ')
			*c = '_';
	}
	if (name[0] == '.')
		name[0] = '_';
	return name;
}

static bool fetch(struct session *s, const json_t *one, int fd)
{
	uint64_t size =
		     (uint64_t)json_integer_value(json_object_get(one, "size")),
		 at = 0;

	while (at < size) {
		char *offset = xprintf("%llu", (unsigned long long)at);
		char *path = session_path(
		    "/api/v1/tasks/%s/artifacts/%s?offset=%s",
		    command_argument(s->line, 0), text_of(one, "id"), offset);
		struct buf bytes;
		bool ok = session_bytes(s, path, &bytes);

		free(path);
		free(offset);
		ok = ok && bytes.len > 0 && bytes.len <= size - at &&
		     fs_write_all(fd, bytes.data, bytes.len) == RC_OK;
		at += bytes.len;
		buf_fini(&bytes);
		if (!ok)
			return false;
	}
	return true;
}

static void keep(struct session *s, const json_t *one, int dir)
{
	char *name = file_of(one);
	struct fault fault;
	int fd = openat(dir, name,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	bool ok = fd >= 0 && fetch(s, one, fd);

	if (fd >= 0 && close(fd) != 0)
		ok = false;
	if (ok) {
		(void)printf("%s\n", name);
	} else if (s->failed == COMMAND_OK) {
		fault_set(&fault, REASON_CONFLICT, "",
		    "%s: cannot be written: %s", name, strerrordesc_np(errno));
		(void)session_fail(s, COMMAND_ERROR, &fault);
	}
	if (!ok && fd >= 0)
		(void)unlinkat(dir, name, 0);
	free(name);
}

static bool is_wanted(const struct command_line *line, const json_t *one)
{
	const char *machine = command_value(line, "machine");
	size_t count = command_argument_count(line);

	if (machine != NULL && strcmp(text_of(one, "machine"), machine) != 0)
		return false;
	for (size_t i = 1; i < count; i++) {
		if (strcmp(text_of(one, "name"), command_argument(line, i)) ==
		    0)
			return true;
	}
	return count == 1;
}

static enum command_exit run_download(const struct command_line *line)
{
	const char *out = command_value(line, "out");
	struct fault fault;
	struct session s;
	size_t found = 0;
	json_t *all;
	int dir;

	if (!session_open(&s, line))
		return session_close(&s);
	all = notes_of(&s, "artifact");
	dir = open(out != NULL ? out : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		(void)session_usage(&s, "--out %.80s: %s",
		    out != NULL ? out : ".", strerrordesc_np(errno));
	for (size_t i = 0; dir >= 0 && i < json_array_size(all); i++) {
		const json_t *one = json_array_get(all, i);

		if (s.failed == COMMAND_OK && is_wanted(line, one)) {
			keep(&s, one, dir);
			found++;
		}
	}
	if (found == 0 && s.failed == COMMAND_OK) {
		fault_set(&fault, REASON_NOT_FOUND, "",
		    "no such artifact: longarm task artifacts %.60s",
		    command_argument(line, 0));
		(void)session_fail(&s, COMMAND_NOT_FOUND, &fault);
	}
	if (dir >= 0)
		(void)close(dir);
	json_decref(all);
	return session_close(&s);
}

static const struct command_option download_options[] = {
	{ .name = "machine",
	    .letter = 'm',
	    .argument = "MACHINE",
	    .help = "Only what this one kept" },
	{ .name = "out",
	    .argument = "DIR",
	    .help = "Where to; the current directory" },
};

const struct command note_commands[] = {
	{ .name = "task outputs",
	    .arguments = "TASK",
	    .help = "List the variables that its scripts have set",
	    .run = run_outputs },
	{ .name = "task artifacts",
	    .arguments = "TASK",
	    .help = "List the files that its scripts have kept",
	    .run = run_artifacts },
	{ .name = "task download",
	    .arguments = "TASK [NAME...]",
	    .help = "Fetch files that its scripts have kept",
	    .options = download_options,
	    .option_count = COUNT_OF(download_options),
	    .run = run_download },
	{ .name = NULL },
};

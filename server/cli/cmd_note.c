/* cmd_note.c - what scripts said: variables, warnings, the files they kept. */
#include "server/cli/commands.h"

#include "common/buf.h"
#include "common/fs.h"
#include "common/hex.h"
#include "common/xalloc.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
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

/* Whatever a server says, a file of this directory.  Level 0 is what
 * it is called; 1 and 2 tell two of one name from each other. */
static char *file_of(const json_t *one, int level)
{
	const char *machine = text_of(one, "machine");
	const char *name = text_of(one, "name");
	char *file =
	    level == 0 ? xprintf("%s-%s", machine, name)
	    : level == 1
		? xprintf("%s-%s-%s", machine, text_of(one, "step"), name)
		: xprintf("%s-%s-%s", machine, text_of(one, "id"), name);

	for (char *c = file; *c != '\0'; c++) {
		if (*c == '/' || (unsigned char)*c < ' ')
			*c = '_';
	}
	if (file[0] == '.')
		file[0] = '_';
	return file;
}

static bool is_alike(const json_t *a, const json_t *b, const char *member)
{
	return strcmp(text_of(a, member), text_of(b, member)) == 0;
}

/* Would another that is fetched now have the same name? */
static bool is_shared(const struct command_line *line, const json_t *all,
    const json_t *one, int level)
{
	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *other = json_array_get(all, i);

		if (other != one && is_alike(other, one, "name") &&
		    is_alike(other, one, "machine") &&
		    (level == 0 || is_alike(other, one, "step")) &&
		    is_wanted(line, other))
			return true;
	}
	return false;
}

/* MACHINE-NAME; MACHINE-STEP-NAME, or MACHINE-ID-NAME, where that is needed to
 * tell two from each other. */
static char *name_file(
    const struct command_line *line, const json_t *all, const json_t *one)
{
	int level = 0;

	while (level < 2 && is_shared(line, all, one, level))
		level++;
	return file_of(one, level);
}

/* One piece into the file and the hash; *at moves on. */
static bool fetch_piece(struct session *s, const json_t *one, int fd,
    EVP_MD_CTX *hash, uint64_t *at)
{
	uint64_t size =
	    (uint64_t)json_integer_value(json_object_get(one, "size"));
	char *offset = xprintf("%llu", (unsigned long long)*at);
	char *path = session_path("/api/v1/tasks/%s/artifacts/%s?offset=%s",
	    command_argument(s->line, 0), text_of(one, "id"), offset);
	struct fault fault = { .code = REASON_NONE };
	struct buf bytes;
	bool ok = session_bytes(s, path, &bytes);

	free(path);
	free(offset);
	if (ok && (bytes.len == 0 || bytes.len > size - *at))
		fault_set(&fault, REASON_INTERNAL, "",
		    "%s: the server has not all of its %llu bytes",
		    text_of(one, "name"), (unsigned long long)size);
	else if (ok && fs_write_all(fd, bytes.data, bytes.len) != RC_OK)
		fault_set(&fault, REASON_NO_SPACE, "",
		    "%s: cannot be written: %s", text_of(one, "name"),
		    strerrordesc_np(errno));
	else if (ok && EVP_DigestUpdate(hash, bytes.data, bytes.len) != 1)
		fault_set(&fault, REASON_MEMORY, "", "out of memory");
	*at += bytes.len;
	buf_fini(&bytes);
	if (ok && fault.code != REASON_NONE)
		(void)session_fail(s, COMMAND_ERROR, &fault);
	return ok && fault.code == REASON_NONE;
}

static bool is_right(struct session *s, const json_t *one, EVP_MD_CTX *hash)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	char hex[2 * EVP_MAX_MD_SIZE + 1];
	unsigned len = 0;
	struct fault fault;

	if (EVP_DigestFinal_ex(hash, digest, &len) == 1) {
		hex_encode(digest, len, hex);
		if (strcmp(hex, text_of(one, "sha256")) == 0)
			return true;
	}
	fault_set(&fault, REASON_INTERNAL, "",
	    "%s: other bytes came than its SHA-256 says", text_of(one, "name"));
	(void)session_fail(s, COMMAND_ERROR, &fault);
	return false;
}

static bool fetch(struct session *s, const json_t *one, int fd)
{
	uint64_t size =
		     (uint64_t)json_integer_value(json_object_get(one, "size")),
		 at = 0;
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	bool ok =
	    hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1;

	while (ok && at < size)
		ok = fetch_piece(s, one, fd, hash, &at);
	ok = ok && is_right(s, one, hash);
	EVP_MD_CTX_free(hash);
	return ok;
}

static void cannot_write(struct session *s, const char *name, int error)
{
	struct fault fault;

	fault_set(&fault, error == EEXIST ? REASON_CONFLICT : REASON_BAD_CONFIG,
	    "", "%s: cannot be written: %s%s", name, strerrordesc_np(error),
	    error == EEXIST ? "; say where else by --out" : "");
	(void)session_fail(s, COMMAND_ERROR, &fault);
}

/* It stays only when it is whole and right. */
static void keep(
    struct session *s, const json_t *one, int dir, const char *name)
{
	int fd = openat(dir, name,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	bool ok;

	if (fd < 0) {
		cannot_write(s, name, errno);
		return;
	}
	ok = fetch(s, one, fd);
	if (close(fd) != 0 && ok) {
		cannot_write(s, name, errno);
		ok = false;
	}
	if (ok)
		(void)printf("%s\n", name);
	else
		(void)unlinkat(dir, name, 0);
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
			char *name = name_file(line, all, one);

			keep(&s, one, dir, name);
			free(name);
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

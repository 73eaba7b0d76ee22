/* cmd_push.c - send a package in parts; repeated, it goes on where it was. */
#include "server/cli/commands.h"

#include "common/blob.h"
#include "common/xalloc.h"
#include "server/cli/pack_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PART_MAX (4u << 20)
#define TRIES    5

struct push {
	struct session *s;
	const char *name, *version;
	int fd;
	uint64_t size;
	char digest[BLOB_HEX_MAX];
	uint8_t *part;
};

/* A file without a name, gone when it is closed. */
static int temporary(void)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread */
	const char *dir = getenv("TMPDIR");

	return open(dir != NULL && *dir == '/' ? dir : "/tmp",
	    O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

int open_package(struct session *s, const char *path)
{
	struct fault fault = { 0 };
	struct stat st;
	int fd = -1;

	if (stat(path, &st) != 0) {
		fault_set(&fault, REASON_NONE, "", "%.200s: %s", path,
		    strerrordesc_np(errno));
	} else if (S_ISREG(st.st_mode)) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			fault_set(&fault, REASON_NONE, "", "%.200s: %s", path,
			    strerrordesc_np(errno));
	} else if (S_ISDIR(st.st_mode)) {
		fd = temporary();
		if (fd < 0) {
			fault_set(&fault, REASON_NONE, "",
			    "no temporary file (TMPDIR): %s",
			    strerrordesc_np(errno));
		} else if (pack_dir(path, fd, &fault) != RC_OK) {
			(void)close(fd);
			fd = -1;
		}
	} else {
		fault_set(&fault, REASON_NONE, "",
		    "%.200s: neither a file nor a directory", path);
	}
	if (fd < 0)
		(void)session_fail(s, COMMAND_ERROR, &fault);
	return fd;
}

static bool measure(struct push *p)
{
	struct blob_digest digest;
	struct fault fault = { 0 };

	if (blob_digest_of_fd(p->fd, &digest, &p->size) != RC_OK ||
	    p->size == 0) {
		fault_set(&fault, REASON_BAD_PACKAGE, "",
		    "the package is empty or cannot be read");
		(void)session_fail(p->s, COMMAND_ERROR, &fault);
		return false;
	}
	blob_digest_format(&digest, p->digest);
	return true;
}

static json_t *content(const struct push *p)
{
	return json_pack(
	    "{s:s, s:I}", "digest", p->digest, "size", (json_int_t)p->size);
}

/* Where to go on; false: failed and said. */
static bool begin(struct push *p, uint64_t *offset, bool *complete)
{
	char *path =
	    session_path("/api/v1/packages/%s/%s/upload", p->name, p->version);
	json_t *answer = session_call(p->s, "POST", path, content(p));

	free(path);
	if (answer == NULL)
		return false;
	*offset =
	    (uint64_t)json_integer_value(json_object_get(answer, "offset"));
	*complete = json_is_true(json_object_get(answer, "complete"));
	json_decref(answer);
	return true;
}

/* One part; on RC_OK *offset and *complete are as the server says. */
static enum rc send_part(struct push *p, uint64_t *offset, bool *complete,
    struct client_answer *answer)
{
	ssize_t n = pread(p->fd, p->part, PART_MAX, (off_t)*offset);
	char *where =
	    session_path("/api/v1/packages/%s/%s/upload", p->name, p->version);
	char *path = xprintf("%s?digest=%s&size=%" PRIu64 "&offset=%" PRIu64,
	    where, p->digest, p->size, *offset);
	const struct client_request request = { .method = "PUT",
		.path = path,
		.part = p->part,
		.part_len = n > 0 ? (size_t)n : 0 };
	enum rc rc = RC_IO;

	if (n > 0)
		rc = client_call(p->s->client, &request, answer);
	else
		fault_set(&answer->fault, REASON_BAD_PACKAGE, "",
		    "the file changed while it was sent");
	if (rc == RC_OK) {
		*offset = (uint64_t)json_integer_value(
		    json_object_get(answer->body, "offset"));
		*complete =
		    json_is_true(json_object_get(answer->body, "complete"));
	}
	free(path);
	free(where);
	return rc;
}

/* Lost connections and busy servers: ask where to go on, a few times. */
static bool send_all(struct push *p)
{
	const struct timespec pause = { .tv_sec = 1 };
	uint64_t offset = 0;
	bool complete = false;
	int tries = 0;

	if (!begin(p, &offset, &complete))
		return false;
	while (!complete) {
		struct client_answer answer = { 0 };
		enum rc rc = send_part(p, &offset, &complete, &answer);
		bool again = rc == RC_AGAIN || rc == RC_STATE ||
		             (rc == RC_IO && answer.status == 0);

		output_progress("%s %s: %" PRIu64 " of %" PRIu64 " bytes",
		    p->name, p->version, offset, p->size);
		if (rc == RC_OK) {
			tries = 0;
		} else if (again && ++tries < TRIES && !client_interrupted()) {
			(void)nanosleep(&pause, NULL);
			if (!begin(p, &offset, &complete))
				rc = RC_DENIED;
			else
				rc = RC_OK;
		}
		if (rc != RC_OK)
			(void)session_fail(
			    p->s, client_exit(&answer), &answer.fault);
		client_answer_clear(&answer);
		if (rc != RC_OK)
			return false;
	}
	output_progress_end();
	return true;
}

static enum command_exit run_push(const struct command_line *line)
{
	static const struct output_column columns[] = {
		{ "name", "NAME", false },
		{ "version", "VERSION", false },
		{ "size", "BYTES", false },
		{ "digest", "DIGEST", false },
	};
	static const enum cell types[] = { CELL_TEXT, CELL_TEXT, CELL_NUMBER,
		CELL_TEXT };
	static const struct cells cells = CELLS(columns, types);
	struct session s;
	struct push p = { .s = &s,
		.name = command_value(line, "name"),
		.version = command_value(line, "version"),
		.fd = -1 };
	char *path;

	if (!session_open(&s, line))
		return session_close(&s);
	p.part = xcalloc(1, PART_MAX);
	p.fd = open_package(&s, command_argument(line, 0));
	if (p.fd >= 0 && measure(&p) && send_all(&p)) {
		path =
		    session_path("/api/v1/packages/%s/%s", p.name, p.version);
		session_print_one(
		    &s, &cells, session_call(&s, "POST", path, content(&p)));
		free(path);
	}
	if (p.fd >= 0)
		(void)close(p.fd);
	free(p.part);
	return session_close(&s);
}

static const struct command_option push_options[] = {
	{ .name = "name",
	    .letter = 'n',
	    .argument = "NAME",
	    .required = true,
	    .help = "Of the package" },
	{ .name = "version",
	    .letter = 'v',
	    .argument = "VERSION",
	    .required = true,
	    .help = "Of the package" },
};

const struct command push_commands[] = {
	{ .name = "package push",
	    .arguments = "PATH",
	    .help = "Send an archive, or a directory as one",
	    .details = "An archive (tar, tar.gz, tar.xz, tar.zst, zip, nupkg, "
		       "npm's tgz) goes as it is; a directory becomes a "
		       "tar.zst, the same bytes for the same files.  Repeated "
		       "after a failure it goes on where it was.",
	    .examples = "longarm package push dist/ --name shop-web "
			"--version 1.4.0",
	    .options = push_options,
	    .option_count = COUNT_OF(push_options),
	    .run = run_push },
	{ .name = NULL },
};

#include "tentacle/journal.h"

#include "common/buf.h"
#include "common/fs.h"
#include "common/random.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REWRITE_MAX JOURNAL_FILE_MAX

struct journal {
	char dir[FS_PATH_MAX];
	struct journal_header header;
	int fd;
	uint64_t size;     /* bytes in the file; the next frame goes here */
	uint64_t counter;  /* of the last synced record */
	uint64_t written;  /* of the last in the file */
	uint64_t torn;     /* bytes cut off when it was opened */
	uint64_t reserved; /* the disk has room up to this size */
	struct buf pending;
	uint64_t pending_count; /* records */
	bool rewriting;
	bool failed;
	uint8_t *replay; /* the file as it was opened */
	struct journal_cursor cursor;
};

static const char journal_name[] = "journal";

/* --- Opening ------------------------------------------------------------ */

static enum rc io_fault(struct fault *fault, const char *what, const char *dir)
{
	int err = errno;

	fault_set(fault, err == ENOSPC ? REASON_NO_SPACE : REASON_INTERNAL, "",
	    "%s/%s: cannot %s: %s", dir, journal_name, what,
	    strerrordesc_np(err));
	errno = err;
	return RC_IO;
}

/* A new journal appears under its name only when its header is on the disk. */
static enum rc create(struct journal *j, struct fault *fault)
{
	uint8_t head[JOURNAL_HEADER_LEN];
	char path[FS_PATH_MAX];
	enum rc rc;

	j->header.version = JOURNAL_VERSION;
	j->header.counter = 0;
	random_hex(j->header.id, ID_BYTES);
	journal_header_encode(&j->header, head);
	rc = fs_join(path, sizeof(path), j->dir, journal_name);
	if (rc == RC_OK)
		rc = fs_write_atomic(path, head, sizeof(head), 0600, fault);
	return rc;
}

static int open_file(const char *dir)
{
	char path[FS_PATH_MAX];

	if (fs_join(path, sizeof(path), dir, journal_name) != RC_OK) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
}

/* Find the end of what is whole; the caller replays it again afterwards. */
static enum rc scan(struct journal *j, struct bytes file, struct fault *fault)
{
	struct journal_record *r = calloc(1, sizeof(*r));
	enum rc rc;

	if (r == NULL)
		return RC_NOMEM;
	rc = journal_header_decode(file, &j->header, fault);
	if (rc != RC_OK)
		goto out;
	journal_cursor_init(&j->cursor, file, j->header.counter);
	do {
		rc = journal_cursor_next(&j->cursor, r, fault);
	} while (rc == RC_OK);
	if (rc != RC_NOTFOUND && rc != RC_AGAIN)
		goto out;
	j->size = j->cursor.offset;
	j->torn = file.len - j->cursor.offset;
	j->counter = j->written = j->cursor.counter;
	file.len = j->cursor.offset;
	journal_cursor_init(&j->cursor, file, j->header.counter);
	rc = RC_OK;
out:
	free(r);
	return rc;
}

/*
 * What no answer ever rested on must not be found behind a new frame.  And what
 * was read may have come from memory only: written by a life of this program
 * that was killed before its sync, it would be gone with the power after we
 * have answered by it.
 */
static enum rc settle_tail(struct journal *j, struct fault *fault)
{
	if (j->torn > 0 && ftruncate(j->fd, (off_t)j->size) != 0)
		return io_fault(fault, "cut the torn end off", j->dir);
	if (fsync(j->fd) != 0)
		return io_fault(fault, "sync", j->dir);
	return RC_OK;
}

static enum rc load(struct journal *j, struct fault *fault)
{
	size_t len = 0;
	enum rc rc;

	j->fd = open_file(j->dir);
	if (j->fd < 0 && errno == ENOENT) {
		rc = create(j, fault);
		if (rc != RC_OK)
			return rc;
		j->fd = open_file(j->dir);
	}
	if (j->fd < 0)
		return io_fault(fault, "open", j->dir);
	rc = fs_read_fd(j->fd, JOURNAL_FILE_MAX, &j->replay, &len);
	if (rc != RC_OK) {
		if (rc == RC_IO)
			return io_fault(fault, "read", j->dir);
		fault_set(fault, REASON_JOURNAL, "",
		    "%s/%s is larger than %d bytes, the limit", j->dir,
		    journal_name, JOURNAL_FILE_MAX);
		return rc;
	}
	rc = scan(j, bytes_of(j->replay, len), fault);
	if (rc != RC_OK)
		return rc;
	return settle_tail(j, fault);
}

enum rc journal_open(const char *dir, struct journal **out, struct fault *fault)
{
	struct journal *j = calloc(1, sizeof(*j));
	enum rc rc;

	if (j == NULL)
		return RC_NOMEM;
	j->fd = -1;
	buf_init(&j->pending, JOURNAL_FRAME_MAX);
	if (strlen(dir) >= sizeof(j->dir) - sizeof(journal_name)) {
		rc = RC_LIMIT;
		goto out;
	}
	(void)snprintf(j->dir, sizeof(j->dir), "%s", dir);
	rc = load(j, fault);
	if (rc != RC_OK)
		goto out;
	*out = j;
	j = NULL;
out:
	journal_close(j);
	return rc;
}

void journal_close(struct journal *j)
{
	if (j == NULL)
		return;
	if (j->fd >= 0)
		(void)close(j->fd);
	buf_fini(&j->pending);
	free(j->replay);
	free(j);
}

enum rc journal_replay(struct journal *j, struct journal_record *r)
{
	enum rc rc;

	if (j->replay == NULL)
		return RC_NOTFOUND;
	rc = journal_cursor_next(&j->cursor, r, NULL);
	if (rc != RC_OK) {
		free(j->replay);
		j->replay = NULL;
	}
	return rc;
}

const char *journal_id(const struct journal *j)
{
	return j->header.id;
}

uint64_t journal_counter(const struct journal *j)
{
	return j->counter;
}

uint64_t journal_size(const struct journal *j)
{
	return j->size;
}

uint64_t journal_torn(const struct journal *j)
{
	return j->torn;
}

bool journal_has_failed(const struct journal *j)
{
	return j->failed;
}

/* --- Writing ------------------------------------------------------------ */

enum rc journal_append(struct journal *j, const struct journal_record *r)
{
	uint8_t raw[JOURNAL_RECORD_MAX];
	size_t len;
	enum rc rc;

	if (j->failed) {
		errno = EIO;
		return RC_IO;
	}
	rc = journal_record_encode(r, raw, &len);
	if (rc == RC_OK)
		rc = buf_add(&j->pending, raw, len);
	if (rc == RC_OK)
		j->pending_count++;
	return rc;
}

void journal_drop(struct journal *j)
{
	buf_clear(&j->pending);
	j->pending_count = 0;
}

static enum rc write_frame(
    int fd, uint64_t offset, uint64_t counter, struct bytes records)
{
	uint8_t head[JOURNAL_FRAME_HEAD];
	enum rc rc;

	journal_frame_encode(counter, records, head);
	rc = fs_pwrite_all(fd, head, sizeof(head), offset);
	if (rc == RC_OK)
		rc = fs_pwrite_all(
		    fd, records.p, records.len, offset + sizeof(head));
	return rc;
}

enum rc journal_write(struct journal *j, struct fault *fault)
{
	uint64_t counter = j->written + j->pending_count;

	if (j->failed || j->rewriting) {
		errno = EIO;
		fault_set(fault, REASON_INTERNAL, "",
		    "the journal failed earlier; nothing more is written");
		return RC_IO;
	}
	if (j->pending_count == 0)
		return RC_OK;
	if (write_frame(j->fd, j->size, counter,
		bytes_of(j->pending.data, j->pending.len)) != RC_OK) {
		j->failed = true;
		return io_fault(fault, "write", j->dir);
	}
	j->size += JOURNAL_FRAME_HEAD + j->pending.len;
	j->written = counter;
	journal_drop(j);
	return RC_OK;
}

enum rc journal_sync(struct journal *j, struct fault *fault)
{
	enum rc rc = journal_write(j, fault);

	if (rc != RC_OK || j->counter == j->written)
		return rc;
	if (fdatasync(j->fd) != 0) {
		j->failed = true;
		return io_fault(fault, "write", j->dir);
	}
	j->counter = j->written;
	return RC_OK;
}

enum rc journal_reserve(struct journal *j, uint64_t bytes, struct fault *fault)
{
	uint64_t end = j->size + bytes;

	if (end <= j->reserved)
		return RC_OK;
	/* More than asked, so that most calls find it done. */
	if (fallocate(j->fd, FALLOC_FL_KEEP_SIZE, (off_t)j->size,
		(off_t)(2 * bytes)) == 0) {
		j->reserved = j->size + 2 * bytes;
		return RC_OK;
	}
	if (errno == ENOSPC || errno == EDQUOT) {
		(void)io_fault(fault, "reserve room", j->dir);
		return RC_LIMIT;
	}
	return RC_OK; /* this file system cannot reserve */
}

/* --- Compaction --------------------------------------------------------- */

enum rc journal_rewrite_begin(struct journal *j)
{
	if (j->failed || j->pending_count > 0 || j->rewriting)
		return RC_STATE;
	j->rewriting = true;
	j->pending.limit = REWRITE_MAX;
	return RC_OK;
}

/* Bytes of whole records from `from` that fit one frame, and their number. */
static size_t frame_of(struct bytes all, size_t from, uint64_t *count)
{
	size_t len = 0;

	while (from + len < all.len) {
		const uint8_t *p = all.p + from + len;
		size_t record = 2 + (size_t)p[0] + ((size_t)p[1] << 8);

		if (len + record > JOURNAL_FRAME_MAX)
			break;
		len += record;
		(*count)++;
	}
	return len;
}

static enum rc write_all_frames(struct journal *j, int fd, uint64_t *size)
{
	struct journal_header header = j->header;
	struct bytes all = bytes_of(j->pending.data, j->pending.len);
	uint8_t head[JOURNAL_HEADER_LEN];
	uint64_t counter = j->written;
	size_t at = 0;
	enum rc rc;

	header.counter = j->written;
	journal_header_encode(&header, head);
	rc = fs_pwrite_all(fd, head, sizeof(head), 0);
	*size = sizeof(head);
	while (rc == RC_OK && at < all.len) {
		size_t len = frame_of(all, at, &counter);

		rc = write_frame(fd, *size, counter, bytes_of(all.p + at, len));
		*size += JOURNAL_FRAME_HEAD + len;
		at += len;
	}
	if (rc == RC_OK && fsync(fd) != 0)
		rc = RC_IO;
	return rc;
}

static enum rc replace(
    struct journal *j, const char *tmp, int *fd, struct fault *fault)
{
	char path[FS_PATH_MAX];
	uint64_t size = 0;
	enum rc rc = fs_join(path, sizeof(path), j->dir, journal_name);

	if (rc != RC_OK)
		return rc;
	rc = write_all_frames(j, *fd, &size);
	if (rc != RC_OK || rename(tmp, path) != 0)
		return io_fault(fault, "compact", j->dir);
	/* From here on the old file is gone: no way back. */
	(void)close(j->fd);
	j->fd = *fd;
	*fd = -1;
	j->header.counter = j->written;
	j->written += j->pending_count;
	j->counter = j->written;
	j->size = size;
	j->reserved = 0;
	if (fs_sync_dir(j->dir) != RC_OK) {
		j->failed = true;
		return io_fault(fault, "sync the directory of", j->dir);
	}
	return RC_OK;
}

void journal_rewrite_abandon(struct journal *j)
{
	j->rewriting = false;
	journal_drop(j);
	j->pending.limit = JOURNAL_FRAME_MAX;
}

enum rc journal_rewrite_end(struct journal *j, struct fault *fault)
{
	char tmp[FS_PATH_MAX];
	enum rc rc;
	int fd = -1;

	if (!j->rewriting)
		return RC_STATE;
	rc = fs_join(tmp, sizeof(tmp), j->dir, "journal.new");
	if (rc != RC_OK)
		goto out;
	(void)unlink(tmp);
	fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		rc = io_fault(fault, "compact", j->dir);
		goto out;
	}
	rc = replace(j, tmp, &fd, fault);
	if (fd >= 0)
		(void)unlink(tmp);
out:
	if (fd >= 0)
		(void)close(fd);
	journal_rewrite_abandon(j);
	return rc;
}

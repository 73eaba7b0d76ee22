#include "common/fs.h"

#include "common/random.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SUFFIX_BYTES 6 /* of the random name of a file being written */

static enum reason reason_of(int error)
{
	switch (error) {
	case ENOSPC:
	case EDQUOT:
		return REASON_NO_SPACE;
	case ENOENT:
		return REASON_NOT_FOUND;
	case EACCES:
	case EPERM:
	case EROFS:
	case EISDIR:
	case ENOTDIR:
	case ELOOP:
		return REASON_BAD_CONFIG; /* the path that somebody gave us */
	default:
		return REASON_INTERNAL;
	}
}

/* Tell what did not work; errno is kept for the caller. */
static enum rc io_fault(struct fault *fault, const char *what, const char *path)
{
	int error = errno;

	fault_set(fault, reason_of(error), "", "cannot %s %s: %s", what, path,
	    strerrordesc_np(error));
	errno = error;
	return error == ENOENT ? RC_NOTFOUND : RC_IO;
}

enum rc fs_join(char *out, size_t size, const char *dir, const char *name)
{
	int len = snprintf(out, size, "%s/%s", dir, name);

	return len >= 0 && (size_t)len < size ? RC_OK : RC_LIMIT;
}

enum rc fs_absolute(
    char *out, size_t size, const char *path, struct fault *fault)
{
	char here[FS_PATH_MAX];
	enum rc rc;
	int len;

	if (path[0] == '/') {
		len = snprintf(out, size, "%s", path);
		rc = len >= 0 && (size_t)len < size ? RC_OK : RC_LIMIT;
	} else if (getcwd(here, sizeof(here)) == NULL) {
		return io_fault(fault, "find", "the working directory");
	} else {
		rc = fs_join(out, size, here, path);
	}
	if (rc != RC_OK)
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "the path %.200s is longer than %zu bytes", path, size - 1);
	return rc;
}

enum rc fs_check_private(const char *path, struct fault *fault)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return io_fault(fault, "look at", path);
	if (!S_ISDIR(st.st_mode)) {
		fault_set(fault, REASON_BAD_CONFIG, "", "%s is not a directory",
		    path);
		return RC_DENIED;
	}
	if (st.st_uid != geteuid()) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "%s belongs to user %u, not to %u who runs this program",
		    path, (unsigned)st.st_uid, (unsigned)geteuid());
		return RC_DENIED;
	}
	if ((st.st_mode & 077) != 0) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "%s is open to other users (mode %03o); remedy: chmod 700",
		    path, (unsigned)(st.st_mode & 0777));
		return RC_DENIED;
	}
	return RC_OK;
}

enum rc fs_make_private_dir(const char *path, struct fault *fault)
{
	char part[FS_PATH_MAX];
	size_t len = strlen(path);

	if (len >= sizeof(part)) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "path longer than %d bytes", FS_PATH_MAX - 1);
		return RC_LIMIT;
	}
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return fs_check_private(path, fault);
	/* Each parent that is missing, then the whole. */
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0700) != 0 && errno != EEXIST &&
		    access(part, F_OK) != 0)
			return io_fault(fault, "make directory", part);
	}
	return fs_check_private(path, fault);
}

enum rc fs_write_all(int fd, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno != EINTR)
			return RC_IO;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
	return RC_OK;
}

enum rc fs_pwrite_all(int fd, const void *data, size_t len, uint64_t offset)
{
	const uint8_t *at = data;

	while (len > 0) {
		ssize_t n = pwrite(fd, at, len, (off_t)offset);

		if (n < 0 && errno != EINTR)
			return RC_IO;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
			offset += (uint64_t)n;
		}
	}
	return RC_OK;
}

/* The directory that path is in. */
static enum rc parent_of(const char *path, char *out, size_t size)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash == NULL ? 1 : (size_t)(slash - path);

	if (len >= size)
		return RC_LIMIT;
	if (slash == NULL)
		memcpy(out, ".", 2);
	else if (len == 0)
		memcpy(out, "/", 2);
	else {
		memcpy(out, path, len);
		out[len] = '\0';
	}
	return RC_OK;
}

enum rc fs_sync_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int failed, error;

	if (fd < 0)
		return RC_IO;
	failed = fsync(fd);
	error = errno;
	(void)close(fd);
	errno = error;
	return failed == 0 ? RC_OK : RC_IO;
}

/* Content and mode on the disk, under a name nobody looks for. */
static enum rc write_beside(
    const char *path, const void *data, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	enum rc rc = RC_IO;
	int error;

	if (fd < 0)
		return RC_IO;
	/* fchmod: the umask must not take away what the caller asked for. */
	if (fs_write_all(fd, data, len) == RC_OK && fchmod(fd, mode) == 0 &&
	    fsync(fd) == 0)
		rc = RC_OK;
	error = errno;
	if (close(fd) != 0 && rc == RC_OK)
		return RC_IO;
	errno = error;
	return rc;
}

enum rc fs_write_atomic(const char *path, const void *data, size_t len,
    mode_t mode, struct fault *fault)
{
	char beside[FS_PATH_MAX], dir[FS_PATH_MAX];
	char suffix[2 * SUFFIX_BYTES + 1];
	int error;

	random_hex(suffix, SUFFIX_BYTES);
	if ((size_t)snprintf(beside, sizeof(beside), "%s.%s.new", path,
		suffix) >= sizeof(beside) ||
	    parent_of(path, dir, sizeof(dir)) != RC_OK) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "path longer than %d bytes", FS_PATH_MAX - 1);
		return RC_LIMIT;
	}
	if (write_beside(beside, data, len, mode) != RC_OK ||
	    rename(beside, path) != 0) {
		error = errno;
		(void)unlink(beside);
		errno = error;
		(void)io_fault(fault, "write", path);
		return RC_IO;
	}
	if (fs_sync_dir(dir) != RC_OK) {
		(void)io_fault(fault, "sync directory", dir);
		return RC_IO;
	}
	return RC_OK;
}

enum rc fs_write_unsynced(const char *path, const void *data, size_t len,
    mode_t mode, struct fault *fault)
{
	int fd = open(
	    path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return io_fault(fault, "write", path);
	if (fs_write_all(fd, data, len) != RC_OK || fchmod(fd, mode) != 0) {
		(void)io_fault(fault, "write", path);
		(void)close(fd);
		return RC_IO;
	}
	return close(fd) == 0 ? RC_OK : io_fault(fault, "write", path);
}

enum rc fs_read_fd(int fd, size_t limit, uint8_t **out, size_t *len)
{
	size_t size = 0, used = 0;
	uint8_t *data = NULL;
	enum rc rc = RC_IO;
	ssize_t n = 0;

	do {
		if (used + 1 >= size) {
			uint8_t *more;

			size = size == 0 ? 4096 : 2 * size;
			more = realloc(data, size);
			if (more == NULL) {
				rc = RC_NOMEM;
				goto out;
			}
			data = more;
		}
		n = read(fd, data + used, size - used - 1);
		if (n < 0 && errno != EINTR)
			goto out;
		if (n > 0)
			used += (size_t)n;
		if (used > limit) {
			rc = RC_LIMIT;
			goto out;
		}
	} while (n != 0);
	data[used] = '\0';
	*out = data;
	*len = used;
	data = NULL;
	rc = RC_OK;
out:
	free(data);
	return rc;
}

enum rc fs_read_file(const char *path, size_t limit, uint8_t **out, size_t *len,
    struct fault *fault)
{
	/* O_NONBLOCK: a FIFO put in our way must not hang us. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	enum rc rc;
	int error;

	if (fd < 0)
		return io_fault(fault, "open", path);
	rc = fs_read_fd(fd, limit, out, len);
	error = errno;
	(void)close(fd);
	errno = error;
	if (rc == RC_LIMIT)
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "%s is larger than the limit of %zu bytes", path, limit);
	else if (rc == RC_IO)
		(void)io_fault(fault, "read", path);
	return rc;
}

/* Who holds the lock, from the file's content. */
static void lock_fault(struct fault *fault, int fd, const char *path)
{
	char pid[24];
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	pid[n > 0 ? n : 0] = '\0';
	pid[strcspn(pid, "\n")] = '\0';
	if (pid[0] == '\0')
		memcpy(pid, "unknown", 8);
	fault_set(fault, REASON_BAD_CONFIG, "",
	    "%s is locked by process %s; is this program running already?",
	    path, pid);
}

enum rc fs_lock(const char *path, int *out_fd, struct fault *fault)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	char pid[24];
	int len, error;

	if (fd < 0) {
		(void)io_fault(fault, "open lock file", path);
		return RC_IO;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		error = errno;
		if (error == EWOULDBLOCK)
			lock_fault(fault, fd, path);
		else
			(void)io_fault(fault, "lock", path);
		(void)close(fd);
		errno = error;
		return error == EWOULDBLOCK ? RC_EXISTS : RC_IO;
	}
	len = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) != 0 ||
	    fs_pwrite_all(fd, pid, (size_t)len, 0) != RC_OK) {
		(void)io_fault(fault, "write lock file", path);
		(void)close(fd);
		return RC_IO;
	}
	*out_fd = fd;
	return RC_OK;
}

void fs_unlock(int fd)
{
	if (fd < 0)
		return;
	/* Empty, so that a stale pid misleads nobody; not unlinked, as then two
	 * could hold "the" lock. */
	(void)!ftruncate(fd, 0);
	(void)close(fd);
}

enum rc fs_free_bytes(const char *path, uint64_t *out)
{
	struct statvfs st;

	if (statvfs(path, &st) != 0)
		return RC_IO;
	*out = (uint64_t)st.f_bavail * st.f_frsize;
	return RC_OK;
}

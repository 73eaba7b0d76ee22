/*
 * disk.c - a disk that loses what was not synced, and that fails.
 *
 * fsync(), fdatasync() and pwrite() come before the C library's, also for
 * SQLite.  What is written to a file called `journal` stays in our memory until
 * it is synced, so that a kill takes it as a power loss would.
 *
 * Mutants: no-sync    a sync does nothing
 *          ack-early  a sync returns before its bytes are there: they come with
 *                     the next one
 */
#include "test/failing/failing.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct unsynced {
	struct unsynced *next;
	int fd;
	bool late; /* a sync has returned without it: mutant ack-early */
	off_t offset;
	size_t len;
	unsigned char data[];
};

static struct unsynced *unsynced_first;
static pthread_mutex_t unsynced_lock = PTHREAD_MUTEX_INITIALIZER;

/* As the C library has them. */
int fsync(int fd);
int fdatasync(int fd);
ssize_t pwrite(int fd, const void *data, size_t len, off_t offset);

static ssize_t raw_pwrite(int fd, const void *data, size_t len, off_t offset)
{
	return (ssize_t)syscall(SYS_pwrite64, fd, data, len, offset);
}

static void path_of(int fd, char out[FAILING_PATH])
{
	char link[40];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out, FAILING_PATH - 1);
	out[n > 0 ? n : 0] = '\0';
}

static bool is_journal(int fd)
{
	char path[FAILING_PATH];
	const char *slash;
	int saved = errno;

	if (!failing_path("journal", path))
		return false;
	path_of(fd, path);
	errno = saved;
	slash = strrchr(path, '/');
	return slash != NULL && strcmp(slash, "/journal") == 0;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
	struct unsynced *u;
	struct unsynced **end = &unsynced_first;

	if (!is_journal(fd))
		return raw_pwrite(fd, data, len, offset);
	u = malloc(sizeof(*u) + len);
	if (u == NULL)
		abort();
	*u = (struct unsynced){ .fd = fd, .offset = offset, .len = len };
	memcpy(u->data, data, len);
	(void)pthread_mutex_lock(&unsynced_lock);
	while (*end != NULL)
		end = &(*end)->next;
	*end = u;
	(void)pthread_mutex_unlock(&unsynced_lock);
	return (ssize_t)len;
}

/* To the disk, with `early` only what is late; false: it is full, or worse. */
static bool flush(int fd, bool early)
{
	struct unsynced **at = &unsynced_first;
	bool ok = true;

	(void)pthread_mutex_lock(&unsynced_lock);
	while (*at != NULL) {
		struct unsynced *u = *at;

		if (u->fd != fd || (early && !u->late)) {
			u->late |= u->fd == fd;
			at = &u->next;
			continue;
		}
		ok = ok && raw_pwrite(fd, u->data, u->len, u->offset) ==
		               (ssize_t)u->len;
		*at = u->next;
		free(u);
	}
	(void)pthread_mutex_unlock(&unsynced_lock);
	return ok;
}

/* "fail N PATH" in the file `fsync`. */
static bool is_failing(int fd)
{
	char text[256], path[FAILING_PATH];
	char *want;

	if (!failing_read("fsync", text, sizeof(text)))
		return false;
	text[strcspn(text, "\n")] = '\0';
	want = strrchr(text, ' ');
	path_of(fd, path);
	if (want != NULL && strspn(want + 1, "0123456789") < strlen(want + 1) &&
	    strstr(path, want + 1) == NULL)
		return false;
	return failing_is_turn("fsync", "fail");
}

static int sync_by(long call, int fd)
{
	bool journal = is_journal(fd);

	if (is_failing(fd)) {
		errno = EIO;
		return -1;
	}
	if (failing_has_mutant("no-sync"))
		return 0;
	if (journal && !flush(fd, failing_has_mutant("ack-early"))) {
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(call, fd);
}

int fsync(int fd)
{
	return sync_by(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return sync_by(SYS_fdatasync, fd);
}

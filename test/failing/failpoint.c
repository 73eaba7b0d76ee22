#include "common/failpoint.h"

#include "test/failing/failing.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS 2000000

/* A guardian's environment is empty; its descriptor 3 is a directory of a
 * ticket: STATE/runs/TICKET/run-NAME. */
static const char *directory(void)
{
	if (strcmp(program_invocation_short_name, "longarm-guardian") == 0)
		return "/proc/self/fd/3/../../../failpoints";
	return getenv("LONGARM_FAILPOINTS");
}

bool failing_path(const char *name, char out[FAILING_PATH])
{
	const char *dir = directory();

	if (dir == NULL)
		return false;
	return snprintf(out, FAILING_PATH, "%s/%s", dir, name) < FAILING_PATH;
}

/* Not by open(): that is ours, too (machine.c). */
static int open_raw(const char *path, int flags)
{
	return (int)syscall(
	    SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600);
}

static bool read_raw(int fd, char *out, size_t size)
{
	ssize_t n = read(fd, out, size - 1);

	out[n > 0 ? n : 0] = '\0';
	return n >= 0;
}

bool failing_read(const char *name, char *out, size_t size)
{
	char path[FAILING_PATH];
	int saved = errno, fd = -1;
	bool ok = false;

	if (failing_path(name, path))
		fd = open_raw(path, O_RDONLY);
	if (fd >= 0) {
		ok = read_raw(fd, out, size);
		(void)close(fd);
	}
	errno = saved;
	return ok;
}

bool failing_has_mutant(const char *safeguard)
{
	char name[80], text[2];

	(void)snprintf(name, sizeof(name), "mutant.%s", safeguard);
	return failing_read(name, text, sizeof(text));
}

/* One less; whoever has no more to count takes the turn.  Locked by us. */
static bool count_down(int fd, const char *word)
{
	char text[256], left[256];
	unsigned long n;
	char *end;
	size_t len = strlen(word);

	if (!read_raw(fd, text, sizeof(text)) || strncmp(text, word, len) != 0)
		return false;
	n = strtoul(text + len, &end, 10);
	if (n <= 1)
		return true;
	(void)snprintf(left, sizeof(left), "%s %lu%s", word, n - 1, end);
	if (ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) != 0 ||
	    write(fd, left, strlen(left)) < 0)
		abort();
	return false;
}

bool failing_is_turn(const char *name, const char *word)
{
	char path[FAILING_PATH];
	struct stat st;
	int saved = errno, fd = -1;
	bool turn = false;

	if (failing_path(name, path))
		fd = open_raw(path, O_RDWR);
	if (fd >= 0 && flock(fd, LOCK_EX) == 0 && fstat(fd, &st) == 0 &&
	    st.st_nlink > 0)
		turn = count_down(fd, word);
	if (fd >= 0)
		(void)close(fd);
	errno = saved;
	return turn;
}

static void say_reached(const char *path, char reached[FAILING_PATH])
{
	char pid[32];
	int fd;

	(void)snprintf(reached, FAILING_PATH, "%.4300s.reached", path);
	(void)snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	fd = open_raw(reached, O_WRONLY | O_CREAT | O_TRUNC);
	if (fd < 0 || write(fd, pid, strlen(pid)) < 0)
		abort();
	(void)close(fd);
}

static void pause_at(const char *path)
{
	const struct timespec t = { .tv_nsec = LOOK_NS };
	char reached[FAILING_PATH];

	say_reached(path, reached);
	while (access(path, F_OK) == 0)
		(void)nanosleep(&t, NULL);
	(void)unlink(reached);
}

/* Of several processes that come here only one finds it to remove. */
static void abort_at(const char *path)
{
	char reached[FAILING_PATH];

	if (unlink(path) != 0)
		return;
	say_reached(path, reached);
	(void)kill(getpid(), SIGKILL);
	for (;;)
		(void)pause();
}

void failpoint(const char *name)
{
	char path[FAILING_PATH];
	int saved = errno;

	if (!failing_path(name, path) || access(path, F_OK) != 0)
		errno = saved;
	else if (failing_is_turn(name, "abort"))
		abort_at(path);
	else if (failing_is_turn(name, "pause"))
		pause_at(path);
	errno = saved;
}

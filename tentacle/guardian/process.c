#include "tentacle/guardian/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

uint64_t guard_now_ms(void)
{
	struct timespec t = { 0 };

	(void)clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- Files -------------------------------------------------------------- */

enum rc guard_write_at(int fd, const void *data, size_t len, size_t offset)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return RC_IO;
		p += n;
		offset += (size_t)n;
		len -= (size_t)n;
	}
	return RC_OK;
}

enum rc guard_read_at(
    int fd, void *data, size_t len, size_t offset, size_t *got)
{
	char *p = data;

	*got = 0;
	while (*got < len) {
		ssize_t n =
		    pread(fd, p + *got, len - *got, (off_t)(offset + *got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return RC_IO;
		if (n == 0)
			break;
		*got += (size_t)n;
	}
	return RC_OK;
}

/* A small file of the kernel's, as a string; "" when there is none. */
static void read_text(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t got = 0;

	if (fd >= 0) {
		if (guard_read_at(fd, out, size - 1, 0, &got) != RC_OK)
			got = 0;
		(void)close(fd);
	}
	out[got] = '\0';
}

/* --- Who ---------------------------------------------------------------- */

void guard_boot_id(char out[GUARD_BOOT_SIZE])
{
	static const char none[] = "00000000-0000-0000-0000-000000000000";

	read_text("/proc/sys/kernel/random/boot_id", out, GUARD_BOOT_SIZE);
	if (strspn(out, "0123456789abcdef-") != GUARD_BOOT_SIZE - 1)
		memcpy(out, none, sizeof(none));
}

/* What /proc says of a process; its name may hold anything. */
struct stat_line {
	char state;
	pid_t parent;
	uint64_t start;
};

static MUST_CHECK enum rc read_stat(pid_t pid, struct stat_line *out)
{
	char path[48], text[1024];
	char *at, *end;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	read_text(path, text, sizeof(text));
	at = strrchr(text, ')');
	if (at == NULL || at[1] != ' ' || at[2] == '\0')
		return RC_NOTFOUND;
	at += 2;
	out->state = *at++;
	out->parent = (pid_t)strtol(at, &end, 10);
	/* state is field 3, start time field 22. */
	at = end;
	for (int field = 5; field < 22 && at != NULL; field++)
		at = strchr(at + 1, ' ');
	if (at == NULL)
		return RC_NOTFOUND;
	out->start = strtoull(at, NULL, 10);
	return RC_OK;
}

enum rc guard_who_is(pid_t pid, struct guard_who *out)
{
	struct stat_line s;
	enum rc rc = read_stat(pid, &s);

	if (rc != RC_OK)
		return rc;
	out->pid = (int32_t)pid;
	out->start = s.start;
	guard_boot_id(out->boot);
	return RC_OK;
}

bool guard_is_alive(const struct guard_who *who)
{
	char boot[GUARD_BOOT_SIZE];
	struct stat_line s;

	guard_boot_id(boot);
	return strcmp(boot, who->boot) == 0 &&
	       read_stat((pid_t)who->pid, &s) == RC_OK &&
	       s.start == who->start && s.state != 'Z' && s.state != 'X';
}

enum rc guard_signal(const struct guard_who *who, int signo, bool group)
{
	enum rc rc = RC_NOTFOUND;
	int fd = pidfd_open((pid_t)who->pid, 0);

	if (fd < 0)
		return rc;
	/* From here on the number is this process's, or nobody's. */
	if (guard_is_alive(who)) {
		if (group)
			(void)kill(-(pid_t)who->pid, signo);
		if (pidfd_send_signal(fd, signo, NULL, 0) == 0)
			rc = RC_OK;
	}
	(void)close(fd);
	return rc;
}

/* --- The lock ----------------------------------------------------------- */

static struct flock whole_file(void)
{
	return (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET };
}

enum rc guard_lock(int fd)
{
	struct flock lock = whole_file();

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return RC_OK;
	return errno == EAGAIN || errno == EACCES ? RC_EXISTS : RC_IO;
}

bool guard_is_locked(int fd)
{
	struct flock lock = whole_file();

	return fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

/* --- Descendants -------------------------------------------------------- */

#define PROCESSES_MAX 65536

struct one {
	pid_t pid, parent;
	bool ours;
};

/* Everything that lives on this machine; how many. */
static size_t list_processes(struct one *all)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	size_t count = 0;

	if (proc == NULL)
		return 0;
	/* One thread reads this stream. */
	while (
	    count < PROCESSES_MAX &&
	    (d = readdir(proc)) != NULL) { /* NOLINT(concurrency-mt-unsafe) */
		struct stat_line s;
		long pid = strtol(d->d_name, NULL, 10);

		if (pid > 1 && read_stat((pid_t)pid, &s) == RC_OK &&
		    s.state != 'Z' && s.state != 'X')
			all[count++] = (struct one){ .pid = (pid_t)pid,
				.parent = s.parent };
	}
	(void)closedir(proc);
	return count;
}

/* Mark the children of those that are marked until nothing changes. */
static void mark_ours(struct one *all, size_t count, pid_t self)
{
	bool changed = true;

	while (changed) {
		changed = false;
		for (size_t i = 0; i < count; i++) {
			bool mine = all[i].parent == self;

			for (size_t k = 0; k < count && !mine; k++)
				mine =
				    all[k].ours && all[k].pid == all[i].parent;
			if (mine && !all[i].ours) {
				all[i].ours = true;
				changed = true;
			}
		}
	}
}

/* Only while it still is a child of the one that we saw. */
static void kill_child(const struct one *p)
{
	struct stat_line s;
	int fd = pidfd_open(p->pid, 0);

	if (fd < 0)
		return;
	if (read_stat(p->pid, &s) == RC_OK && s.parent == p->parent)
		(void)pidfd_send_signal(fd, SIGKILL, NULL, 0);
	(void)close(fd);
}

unsigned guard_kill_descendants(pid_t keep)
{
	struct one *all = calloc(PROCESSES_MAX, sizeof(*all));
	unsigned killed = 0;
	size_t count;

	if (all == NULL)
		return 0;
	count = list_processes(all);
	mark_ours(all, count, getpid());
	for (size_t i = 0; i < count; i++) {
		if (!all[i].ours || all[i].pid == keep)
			continue;
		kill_child(&all[i]);
		killed++;
	}
	free(all);
	return killed;
}

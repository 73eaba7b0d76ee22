#include "tentacle/spawn.h"

#include "tentacle/carrier.h"
#include "tentacle/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum rc spawn_open_self(int *out, struct fault *fault)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	/* Moved up, too: a child's ends go where it could be. */
	*out = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, PROGRAM_FD_ABOVE) : -1;
	if (fd >= 0)
		(void)close(fd);
	if (*out >= 0)
		return RC_OK;
	fault_set(fault, REASON_INTERNAL, "", "/proc/self/exe: %s",
	    strerrordesc_np(errno));
	return RC_IO;
}

/* The child's ends are moved up, where no dup2() meets them. */
static MUST_CHECK enum rc make_pair(int type, int *ours, int *theirs)
{
	int fds[2];

	if (socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) !=
	    0)
		return RC_IO;
	*ours = fds[0];
	*theirs = fcntl(fds[1], F_DUPFD_CLOEXEC, PROGRAM_FD_ABOVE);
	(void)close(fds[1]);
	if (*theirs >= 0)
		return RC_OK;
	(void)close(fds[0]);
	return RC_IO;
}

static bool is_left_out(const char *variable)
{
	static const char *const names[] = { "NOTIFY_SOCKET=", "WATCHDOG_",
		"LONGARM_TENTACLE_" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	}
	return false;
}

/* Borrows from environ; NULL: out of memory. */
static char **make_environment(void)
{
	size_t count = 0, kept = 0;
	char **out;

	while (environ[count] != NULL)
		count++;
	out = (char **)calloc(count + 1, sizeof(*out));
	for (size_t i = 0; out != NULL && i < count; i++) {
		if (!is_left_out(environ[i]))
			out[kept++] = environ[i];
	}
	return out;
}

static MUST_CHECK enum rc begin(struct spawned *out, int program,
    const char *const *args, const int ends[2], struct fault *fault)
{
	const struct program_fd fds[] = { { ends[0], CARRIER_FD_LINK },
		{ ends[1], CARRIER_FD_PORT } };
	char **environment = make_environment();
	const struct program p = { .fd = program,
		.args = args,
		.environment = (const char *const *)environment,
		.fds = fds,
		.fd_count = sizeof(fds) / sizeof(fds[0]) };
	int err = ENOMEM;

	*out = (struct spawned){ .fd = -1 };
	if (environment != NULL)
		err = program_start(&p, &out->pid);
	free((void *)environment);
	if (err == 0) {
		out->fd = pidfd_open(out->pid, 0);
		if (out->fd >= 0)
			return RC_OK;
		err = errno;
		(void)kill(out->pid, SIGKILL);
		(void)waitpid(out->pid, NULL, 0);
	}
	out->pid = 0;
	fault_set(fault, REASON_INTERNAL, "",
	    "the network process cannot be started: %s", strerrordesc_np(err));
	return RC_IO;
}

enum rc spawn_network(int program, const char *const *args, struct spawned *out,
    int *link_fd, int *port_fd, struct fault *fault)
{
	int ends[2] = { -1, -1 };
	enum rc rc;

	*link_fd = *port_fd = -1;
	rc = make_pair(SOCK_STREAM, link_fd, &ends[0]);
	if (rc == RC_OK)
		rc = make_pair(SOCK_SEQPACKET, port_fd, &ends[1]);
	if (rc != RC_OK)
		fault_set(fault, REASON_INTERNAL, "",
		    "no socket for the network process: %s",
		    strerrordesc_np(errno));
	else
		rc = begin(out, program, args, ends, fault);
	for (size_t i = 0; i < 2; i++) {
		if (ends[i] >= 0)
			(void)close(ends[i]);
	}
	if (rc == RC_OK)
		return RC_OK;
	if (*link_fd >= 0)
		(void)close(*link_fd);
	if (*port_fd >= 0)
		(void)close(*port_fd);
	return rc;
}

void spawn_kill(const struct spawned *s)
{
	if (s->pid > 0)
		(void)kill(s->pid, SIGKILL);
}

bool spawn_reap(struct spawned *s, char *how, size_t size)
{
	int status = 0;

	if (s->pid <= 0 || waitpid(s->pid, &status, WNOHANG) != s->pid)
		return false;
	s->pid = 0;
	if (WIFSIGNALED(status))
		(void)snprintf(
		    how, size, "was ended by signal %d", WTERMSIG(status));
	else
		(void)snprintf(
		    how, size, "ended with code %d", WEXITSTATUS(status));
	return true;
}

bool spawn_wait(struct spawned *s, int ms)
{
	struct pollfd end = { .fd = s->fd, .events = POLLIN };
	char how[64];

	if (s->pid <= 0)
		return true;
	(void)poll(&end, 1, ms);
	return spawn_reap(s, how, sizeof(how));
}

void spawn_forget(struct spawned *s)
{
	if (s->fd >= 0)
		(void)close(s->fd);
	*s = (struct spawned){ .fd = -1 };
}

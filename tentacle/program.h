/*
 * program.h - start a program that is open, with descriptors where it expects
 * them.
 */
#ifndef TENTACLE_PROGRAM_H
#define TENTACLE_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* None of ours shall be below, in the way of the child's: fcntl(F_DUPFD). */
#define PROGRAM_FD_ABOVE 10

struct program_fd {
	int from, to; /* in this order, one after the other */
};

struct program {
	int fd;                         /* of its file; inherited by nobody */
	const char *const *args;        /* NULL-ended, with its name */
	const char *const *environment; /* NULL-ended */
	const struct program_fd *fds;
	size_t fd_count;
	bool session; /* it leads one of its own */
};

/* All signals are as at the start of a process, 0 is /dev/null.  0, or an
 * errno. */
int program_start(const struct program *p, pid_t *pid);

#endif

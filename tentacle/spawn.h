/*
 * spawn.h - start the network process, and see it end (for carrier.c).
 */
#ifndef TENTACLE_SPAWN_H
#define TENTACLE_SPAWN_H

#include "proto/rc.h"
#include "proto/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A child; zeroed but for fd -1: none. */
struct spawned {
	pid_t pid;
	int fd; /* pidfd: readable when it has ended */
};

/* Our own program, kept open: an upgrade does not change what is started. */
MUST_CHECK enum rc spawn_open_self(int *out, struct fault *fault);
/*
 * Start program with args (NULL-ended) and our environment, but for settings,
 * which args hold.  It finds the other ends of link_fd (bytes) and port_fd
 * (whole messages) at CARRIER_FD_LINK and CARRIER_FD_PORT; ours do not block.
 */
MUST_CHECK enum rc spawn_network(int program, const char *const *args,
    struct spawned *out, int *link_fd, int *port_fd, struct fault *fault);
void spawn_kill(const struct spawned *s);
/* Has it ended?  Then it is reaped, and how says "ended with code 1". */
bool spawn_reap(struct spawned *s, char *how, size_t size);
/* Wait for its end; false: it still lives. */
bool spawn_wait(struct spawned *s, int ms);
void spawn_forget(struct spawned *s);

#endif

/*
 * confine.h - what the network process gives up before it hears a stranger:
 * root, and the system calls that it has no use for.
 *
 * Neither can be had back.  Threads: all those of the process, whenever they
 * began.
 */
#ifndef TENTACLE_CONFINE_H
#define TENTACLE_CONFINE_H

#include "proto/rc.h"
#include "proto/reason.h"

#include <sys/types.h>

struct confine_user {
	uid_t uid;
	gid_t gid;
};

/* Look a user up.  RC_NOTFOUND: there is none of this name; RC_IO with errno:
 * nobody can say now whether there is. */
MUST_CHECK enum rc confine_find_user(
    const char *name, struct confine_user *out);
/*
 * Become that user, with its group alone and without capabilities.  We must be
 * root.  RC_IO: *fault says what failed; the process must end then.
 */
MUST_CHECK enum rc confine_become(
    const struct confine_user *user, struct fault *fault);
/*
 * From now on EPERM: to run a program or to begin a process; to look into
 * another, to change its limits or to send it a signal; to open a file for
 * writing, or to make, shorten, rename or remove one; sockets of other families
 * than IPv4 and IPv6, and to listen; mounts, namespaces, users, modules,
 * clocks, keys.  RC_NOTFOUND: there is no such filter here (another kernel,
 * another processor, or a build with a sanitizer, which needs such calls).
 */
MUST_CHECK enum rc confine_calls(struct fault *fault);

#endif

/*
 * cgroup.h - the control groups of one script: what it started is in them,
 * wherever it moved in the tree of processes.
 *
 * Version 2 where it is mounted, and the memory controller of version 1 for
 * its count of processes killed for lack of memory.  Where we may make none
 * (no rights, no cgroups) all is empty and nothing fails: sessions and
 * subreapers are what remains.  Any thread.
 */
#ifndef TENTACLE_GUARDIAN_CGROUP_H
#define TENTACLE_GUARDIAN_CGROUP_H

#include "tentacle/guardian/record.h"

struct cgroup {
	char path[GUARD_TREES][GUARD_TREE_SIZE]; /* "": none */
	uint64_t oom_before; /* of the whole machine, when it was made */
};

/* Make groups of this name beneath our own. */
void cgroup_make(struct cgroup *c, const char *name);
/* The calling process goes in. */
void cgroup_enter(const struct cgroup *c);
/* Any process in it?  False when there are no groups. */
bool cgroup_is_populated(const struct cgroup *c);
/* SIGKILL to all that is in it; how many processes (at least) there were. */
unsigned cgroup_kill(const struct cgroup *c);
/*
 * Processes that the kernel killed for lack of memory, in these groups;
 * where they cannot tell: on the whole machine since cgroup_make().
 */
uint64_t cgroup_oom_kills(const struct cgroup *c);
/* Remove them; one with processes in it stays. */
void cgroup_remove(const struct cgroup *c);

#endif

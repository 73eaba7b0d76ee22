/*
 * cgroup.h - the control groups of one script: what it started is in them,
 * wherever it moved in the tree of processes, and they keep its limits.
 *
 * Version 2 where it is mounted, and of version 1 the controllers memory and
 * pids.  Where we may make none (no rights, no cgroups) all is empty and
 * nothing fails unless a limit was asked for: sessions and subreapers are what
 * remains.  Any thread.
 *
 * A group of version 2 that has processes of its own can give no limits to
 * those beneath it.  So a script with limits is put beside our own group when
 * that is called CGROUP_AGENT (DelegateSubgroup= of systemd), else beneath it,
 * else beneath CGROUP_SCRIPTS at the top of the tree.
 */
#ifndef TENTACLE_GUARDIAN_CGROUP_H
#define TENTACLE_GUARDIAN_CGROUP_H

#include "tentacle/guardian/record.h"

#define CGROUP_AGENT   "longarm-agent"
#define CGROUP_SCRIPTS "longarm-scripts"

struct cgroup_limits {
	uint64_t memory;    /* bytes, of all its processes; 0: none */
	uint32_t processes; /* at once, threads counted; 0: none */
};

struct cgroup {
	char path[GUARD_TREES][GUARD_TREE_SIZE]; /* "": none */
	uint64_t oom_before; /* of the whole machine, when it was made */
};

/*
 * Make groups of this name.  RC_DENIED: a limit cannot be kept here; the groups
 * that could be made are there all the same.
 */
MUST_CHECK enum rc cgroup_make(
    struct cgroup *c, const char *name, const struct cgroup_limits *limits);
/* Write limits into the directory of a group of version 1 or 2; of those that
 * it has controllers for.  Which ones it keeps now: *kept. */
void cgroup_limit(const char *dir, const struct cgroup_limits *limits,
    struct cgroup_limits *kept);
/* The calling process goes in.  RC_DENIED: not into all of them. */
MUST_CHECK enum rc cgroup_enter(const struct cgroup *c);
/* Any process in it?  False when there are no groups. */
bool cgroup_is_populated(const struct cgroup *c);
/* SIGKILL to all that is in it; how many processes (at least) there were. */
unsigned cgroup_kill(const struct cgroup *c);
/* Processes in these groups that the kernel killed for lack of memory; false:
 * they cannot tell. */
bool cgroup_oom_kills(const struct cgroup *c, uint64_t *out);
/* The same, on the whole machine since cgroup_make(). */
uint64_t cgroup_oom_kills_around(const struct cgroup *c);
/* How often a process more was refused. */
uint64_t cgroup_forks_refused(const struct cgroup *c);
/* Remove them; one with processes in it stays. */
void cgroup_remove(const struct cgroup *c);

#endif

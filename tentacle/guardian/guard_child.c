/* The child of the shim, from its birth to the script. */
#include "common/failpoint.h"
#include "tentacle/guardian/guard.h"
#include "tentacle/guardian/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* It never ran: say why, for the record of its end. */
static _Noreturn void give_up(struct guard *g, enum guard_step step, int error)
{
	g->record.noexec.step = step;
	g->record.noexec.error = error;
	/* Without it the end is that of a script with this exit code. */
	_exit(guard_put(g, GUARD_NOEXEC) == RC_OK ? 127 : 126);
}

/* As a fresh process at boot: no handler, nothing blocked. */
static void reset_signals(void)
{
	const struct sigaction by_default = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		(void)sigaction(s, &by_default, NULL);
	(void)sigemptyset(&none);
	(void)pthread_sigmask(SIG_SETMASK, &none, NULL);
}

static void restore_oom_score(const struct guard *g)
{
	int fd;

	if (g->oom_score[0] == '\0')
		return;
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	/* Then it is protected as we are. */
	if (write(fd, g->oom_score, strlen(g->oom_score)) < 0)
		errno = 0;
	(void)close(fd);
}

static void attach_output(struct guard *g)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(g->output, STDOUT_FILENO) < 0 ||
	    dup2(g->output, STDERR_FILENO) < 0)
		give_up(g, STEP_SETUP, errno);
}

/* Kernels before 5.11 know no such flag: one by one. */
static void close_at_exec(void)
{
	if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
		return;
	for (int fd = 3; fd < 256; fd++)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* Ours, and all that came with being ours, is given away for good. */
static void become_user(struct guard *g)
{
	gid_t groups[GUARD_GROUPS_MAX];
	const struct guard_order *o = &g->order;

	if (!o->has_user)
		return;
	for (size_t i = 0; i < o->group_count; i++)
		groups[i] = (gid_t)o->groups[i];
	if (setgroups(o->group_count, groups) != 0 ||
	    setresgid((gid_t)o->gid, (gid_t)o->gid, (gid_t)o->gid) != 0 ||
	    setresuid((uid_t)o->uid, (uid_t)o->uid, (uid_t)o->uid) != 0)
		give_up(g, STEP_USER, errno);
}

_Noreturn void guard_child(struct guard *g)
{
	/* A session and group of its own: signals to it reach nobody else. */
	if (setsid() < 0)
		give_up(g, STEP_SETUP, errno);
	restore_oom_score(g);
	if ((cgroup_enter(&g->cgroup) != RC_OK || g->unlimited) &&
	    (g->order.memory > 0 || g->order.processes > 0))
		give_up(g, STEP_LIMITS, EPERM);
	attach_output(g);
	close_at_exec();
	become_user(g);
	if (chdir(g->order.workdir) != 0)
		give_up(g, STEP_WORKDIR, errno);
	if (guard_who_is(getpid(), &g->record.exec) != RC_OK)
		give_up(g, STEP_SETUP, ESRCH);
	if (guard_look(g, GUARD_STOP))
		give_up(g, STEP_STOPPED, 0);
	reset_signals();
	failpoint("script.ready");
	/* From the moment that this is on the disk it may have run. */
	if (guard_put_synced(g, GUARD_EXEC) != RC_OK)
		give_up(g, STEP_MARK, errno);
	failpoint("script.begun");
	(void)execve(g->order.args[0], g->order.args, g->order.env);
	give_up(g, STEP_EXEC, errno);
}

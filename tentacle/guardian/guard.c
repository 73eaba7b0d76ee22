#include "tentacle/guardian/guard.h"

#include "common/failpoint.h"
#include "tentacle/guardian/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- Preparing ---------------------------------------------------------- */

static MUST_CHECK enum rc read_order(struct guard *g)
{
	int fd = openat(GUARD_FD_DIR, "order", O_RDONLY | O_CLOEXEC);
	uint8_t *data = NULL;
	struct stat st;
	size_t got = 0;
	enum rc rc = RC_IO;

	if (fd < 0)
		return RC_IO;
	if (fstat(fd, &st) == 0 && st.st_size >= 0 &&
	    st.st_size <= GUARD_ORDER_MAX)
		data = malloc((size_t)st.st_size + 1);
	if (data != NULL)
		rc = guard_read_at(fd, data, (size_t)st.st_size, 0, &got);
	if (rc == RC_OK)
		rc = guard_order_decode(data, got, &g->order);
	(void)close(fd);
	/* What the order says points into it: it stays as long as we do. */
	if (rc != RC_OK)
		free(data);
	return rc;
}

/* We go on whatever else ends; our children start with all of it undone. */
static MUST_CHECK enum rc set_signals(struct guard *g)
{
	static const int ignored[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM,
		SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGTSTP, SIGTTIN, SIGTTOU,
		SIGXFSZ };
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	const struct sigaction by_default = { .sa_handler = SIG_DFL };
	sigset_t set;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		(void)sigaction(ignored[i], &ignore, NULL);
	/* Ignored, the kernel would reap our children by itself. */
	(void)sigaction(SIGCHLD, &by_default, NULL);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	if (pthread_sigmask(SIG_SETMASK, &set, NULL) != 0)
		return RC_IO;
	g->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return g->signals >= 0 ? RC_OK : RC_IO;
}

/* The kernel shall not choose us when memory is short. */
static void protect(struct guard *g)
{
	static const char spared[] = "-900";
	int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	size_t got = 0;

	if (fd < 0)
		return;
	if (guard_read_at(
		fd, g->oom_score, sizeof(g->oom_score) - 1, 0, &got) != RC_OK)
		got = 0;
	g->oom_score[got] = '\0';
	/* Without the right to it we are as everybody. */
	if (write(fd, spared, sizeof(spared) - 1) < 0)
		g->oom_score[0] = '\0';
	(void)close(fd);
}

static MUST_CHECK enum rc open_files(struct guard *g)
{
	g->output = openat(GUARD_FD_DIR, "../output",
	    O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	return g->output >= 0 ? RC_OK : RC_IO;
}

static void make_cgroup(struct guard *g)
{
	const struct cgroup_limits limits = { .memory = g->order.memory,
		.processes = (uint32_t)g->order.processes };
	char name[160];

	/* With the pid: a copy of this machine's state has the same tickets. */
	(void)snprintf(name, sizeof(name), "%.64s%s%.64s-%d", g->order.ticket,
	    g->order.ticket[0] != '\0' ? "-" : "", g->order.name,
	    (int)getpid());
	g->unlimited = cgroup_make(&g->cgroup, name, &limits) != RC_OK;
	for (int i = 0; i < GUARD_TREES; i++) {
		memcpy(g->record.tree[i], g->cgroup.path[i],
		    sizeof(g->record.tree[i]));
		/* Unknown to the tentacle it would never be found again. */
		if (g->cgroup.path[i][0] != '\0' &&
		    guard_put(g, (enum guard_slot)(GUARD_TREE_1 + i)) != RC_OK)
			g->cgroup.path[i][0] = '\0';
	}
}

static MUST_CHECK enum rc prepare(struct guard *g)
{
	enum rc rc = read_order(g);

	if (rc == RC_OK && !guard_look(g, GUARD_HEADER))
		rc = RC_PROTO;
	if (rc == RC_OK)
		rc = guard_who_is(getpid(), &g->record.supervisor);
	if (rc == RC_OK)
		rc = set_signals(g);
	if (rc == RC_OK)
		rc = open_files(g);
	if (rc == RC_OK)
		rc = guard_put(g, GUARD_SUPERVISOR);
	if (rc != RC_OK)
		return rc;
	failpoint("supervisor.ready");
	protect(g);
	make_cgroup(g);
	return prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 ? RC_OK : RC_IO;
}

/* --- The shim ----------------------------------------------------------- */

static void show_role(const char *name)
{
	(void)prctl(PR_SET_NAME, name);
}

static int shim_main(struct guard *g)
{
	g->by = BY_SHIM;
	show_role("longarm-shim");
	/* Not inherited by fork. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 ||
	    guard_who_is(getpid(), &g->record.shim) != RC_OK ||
	    guard_put(g, GUARD_SHIM) != RC_OK)
		return GUARD_FAILED;
	failpoint("shim.ready");
	g->script = fork();
	if (g->script < 0)
		return GUARD_FAILED;
	if (g->script == 0)
		guard_child(g);
	failpoint("shim.watching");
	return guard_watch(g);
}

/* --- The supervisor ----------------------------------------------------- */

/* Until it has ended; its exit code, or -1: killed. */
static int wait_for(pid_t pid)
{
	siginfo_t info = { 0 };

	while (waitid(P_PID, (id_t)pid, &info, WEXITED) != 0) {
		if (errno != EINTR)
			return -1;
	}
	return info.si_code == CLD_EXITED ? info.si_status : -1;
}

/* What came to us when the shim ended, and is dead. */
static void reap_dead(void)
{
	siginfo_t info = { 0 };

	do {
		info.si_pid = 0;
	} while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0 &&
		 info.si_pid != 0);
}

static int supervise(struct guard *g, pid_t shim)
{
	int code = wait_for(shim);

	/* The disk failed it: what we would write is worth no more. */
	if (code == GUARD_NO_SYNC)
		return code;
	if (guard_look(g, GUARD_EXIT)) {
		/* Killed perhaps between writing and syncing it. */
		if (code != GUARD_DONE && !g->order.passing &&
		    fdatasync(GUARD_FD_RECORD) != 0)
			return GUARD_NO_SYNC;
		reap_dead();
		/* Else the shim has done that. */
		if (code != GUARD_DONE)
			cgroup_remove(&g->cgroup);
		return GUARD_DONE;
	}
	(void)guard_look(g, GUARD_OUTPUT);
	return guard_watch(g);
}

int guard_main(void)
{
	struct guard g = { .by = BY_SUPERVISOR };
	pid_t shim;

	show_role("longarm-superv.");
	if (prepare(&g) != RC_OK)
		return GUARD_BAD_ORDER;
	shim = fork();
	if (shim < 0)
		return GUARD_FAILED;
	if (shim == 0)
		return shim_main(&g);
	failpoint("supervisor.watching");
	return supervise(&g, shim);
}

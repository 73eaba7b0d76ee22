/* Being the script's parent: its limits, its end, the record of its end. */
#include "common/failpoint.h"
#include "tentacle/guardian/guard.h"
#include "tentacle/guardian/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KILL_ROUNDS   200
#define KILL_PAUSE_MS 10

/* --- Output ------------------------------------------------------------- */

/* The script writes by itself, so what is too much is cut off behind it. */
static void cap_output(struct guard *g)
{
	struct stat st;
	uint64_t max = g->order.output_max;

	if (fstat(g->output, &st) != 0 || (uint64_t)st.st_size <= max ||
	    ftruncate(g->output, (off_t)max) != 0)
		return;
	g->record.dropped += (uint64_t)st.st_size - max;
	/* Whoever takes our place goes on counting from there. */
	if (guard_put(g, GUARD_OUTPUT) != RC_OK)
		errno = 0;
}

static uint64_t mark_output(struct guard *g)
{
	char line[160];
	struct stat st;
	int len;

	cap_output(g);
	if (g->record.dropped > 0) {
		len = snprintf(line, sizeof(line),
		    "\n[longarm: the output was cut here: at least %llu bytes "
		    "above the limit of %llu were dropped]\n",
		    (unsigned long long)g->record.dropped,
		    (unsigned long long)g->order.output_max);
		/* Only a note: without it the size still tells. */
		if (len > 0 && write(g->output, line, (size_t)len) < len)
			errno = 0;
	}
	return fstat(g->output, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* --- Stopping ----------------------------------------------------------- */

static void pause_ms(long ms)
{
	const struct timespec t = { .tv_nsec = ms * 1000000 };

	(void)nanosleep(&t, NULL);
}

/* Those that are dead do not count; the script's own remains stay. */
static void reap_others(const struct guard *g)
{
	siginfo_t info = { 0 };

	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid != 0 && info.si_pid != g->script)
		(void)waitid(P_PID, (id_t)info.si_pid, &info, WEXITED);
}

static unsigned kill_once(const struct guard *g)
{
	unsigned n = cgroup_kill(&g->cgroup);

	n += guard_kill_descendants(0);
	/* Not reaped, so the number is still its own. */
	if (g->script > 0)
		(void)kill(-g->script, SIGKILL);
	return n;
}

/* All that it started, also what left its group; bounded in time. */
static void kill_all(const struct guard *g)
{
	for (int i = 0; i < KILL_ROUNDS && kill_once(g) > 0; i++) {
		reap_others(g);
		pause_ms(KILL_PAUSE_MS);
	}
}

static void begin_end(struct guard *g, uint64_t now)
{
	/* Not there yet: it looks by itself before it begins. */
	if (!guard_look(g, GUARD_EXEC))
		return;
	g->script = (pid_t)g->record.exec.pid;
	g->state = GUARD_ENDING;
	g->kill_at_ms = now + g->order.grace_ms;
	(void)kill(-g->script, SIGTERM);
}

static void check_time(struct guard *g, uint64_t now)
{
	if (now < g->record.header.until_ms || guard_look(g, GUARD_STOP))
		return;
	g->record.stop.why = WHY_TIMED_OUT;
	g->record.stop.forced = false;
	if (guard_put(g, GUARD_STOP) != RC_OK)
		errno = 0;
}

/* With a limit of its own it is ended as a whole: what is left of a script
 * after a part of it was killed can only do harm. */
static void check_memory(struct guard *g)
{
	uint64_t kills = 0;

	if (g->order.memory == 0 || g->state != GUARD_WATCHING ||
	    !cgroup_oom_kills(&g->cgroup, &kills) || kills == 0 ||
	    guard_look(g, GUARD_STOP))
		return;
	g->record.stop.why = WHY_MEMORY;
	g->record.stop.forced = true;
	if (guard_put(g, GUARD_STOP) != RC_OK)
		errno = 0;
	if (g->script == 0 && guard_look(g, GUARD_EXEC))
		g->script = (pid_t)g->record.exec.pid;
	g->state = GUARD_KILLING;
}

static void tick(struct guard *g)
{
	uint64_t now = guard_now_ms();

	cap_output(g);
	check_time(g, now);
	check_memory(g);
	if (g->state == GUARD_WATCHING && guard_look(g, GUARD_STOP))
		begin_end(g, now);
	if (g->state == GUARD_ENDING && now >= g->kill_at_ms) {
		g->state = GUARD_KILLING;
		g->record.stop.forced = true;
		if (guard_put(g, GUARD_STOP) != RC_OK)
			errno = 0;
	}
	if (g->state == GUARD_KILLING)
		(void)kill_once(g);
}

/* --- The end ------------------------------------------------------------ */

static uint64_t wall_ms(void)
{
	struct timespec t = { 0 };

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec > 0
	           ? (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000
	           : 0;
}

/* What waitid() says, in our words. */
static void describe(struct guard *g, const siginfo_t *info)
{
	struct guard_exit *e = &g->record.exit;

	*e = (struct guard_exit){ .by = g->by, .at_ms = wall_ms() };
	if (guard_look(g, GUARD_NOEXEC)) {
		e->how = HOW_NOEXEC;
		e->step = g->record.noexec.step;
		e->error = g->record.noexec.error;
	} else if (info->si_code == CLD_EXITED) {
		e->how = HOW_EXITED;
		e->code = info->si_status;
	} else {
		e->how = HOW_KILLED;
		e->signal = (uint32_t)info->si_status;
	}
	if (guard_look(g, GUARD_STOP)) {
		e->why = g->record.stop.why;
		e->forced = g->record.stop.forced;
	}
	/* Who was killed and is in no group may have been killed by that. */
	if (!cgroup_oom_kills(&g->cgroup, &e->oom) && e->how == HOW_KILLED &&
	    e->signal == SIGKILL)
		e->oom = cgroup_oom_kills_around(&g->cgroup);
	e->refused = cgroup_forks_refused(&g->cgroup);
}

/* What it started is its own affair, unless it has limits: then they are what
 * holds all that, and end with it. */
static bool takes_all_with_it(struct guard *g)
{
	return guard_look(g, GUARD_STOP) || g->order.memory > 0 ||
	       g->order.processes > 0;
}

/*
 * It has ended and is not reaped: who kills us now leaves the end to be read
 * by the next.  What is left over of a script that was stopped goes too.
 */
static int record_end(struct guard *g, const siginfo_t *info)
{
	bool shim = g->by == BY_SHIM;
	bool first = !guard_look(g, GUARD_EXIT);

	failpoint(shim ? "shim.ended" : "supervisor.ended");
	/* Killed before it could begin: that it never ran is all there is to
	 * say, and the record says so as it is. */
	if (!guard_look(g, GUARD_EXEC) && !guard_look(g, GUARD_NOEXEC))
		first = false;
	if (first) {
		/* Before its killing could make them lie. */
		describe(g, info);
		if (takes_all_with_it(g))
			kill_all(g);
		g->record.exit.output = mark_output(g);
		if (guard_put_synced(g, GUARD_EXIT) != RC_OK)
			return GUARD_NO_SYNC;
	}
	failpoint(shim ? "shim.recorded" : "supervisor.recorded");
	(void)waitid(P_PID, (id_t)info->si_pid, &(siginfo_t){ 0 }, WEXITED);
	cgroup_remove(&g->cgroup);
	return GUARD_DONE;
}

/* --- The loop ----------------------------------------------------------- */

/*
 * Is this dead child the script, or that which was to become it?  The
 * supervisor knows it only from its mark.
 */
static bool is_script(struct guard *g, pid_t pid)
{
	if (g->script == 0 && guard_look(g, GUARD_EXEC))
		g->script = (pid_t)g->record.exec.pid;
	if (g->script == 0 && guard_look(g, GUARD_NOEXEC))
		return true;
	return pid == g->script;
}

/* true: over, with *code.  Others' remains that came to us are cleared away. */
static bool collect(struct guard *g, int *code)
{
	siginfo_t info = { 0 };

	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
			/* No child at all: it never ran. */
			*code = GUARD_DONE;
			return errno == ECHILD;
		}
		if (info.si_pid == 0)
			return false;
		if (is_script(g, info.si_pid)) {
			*code = record_end(g, &info);
			return true;
		}
		(void)waitid(P_PID, (id_t)info.si_pid, &info, WEXITED);
	}
}

static void drain(int fd)
{
	char bytes[sizeof(struct signalfd_siginfo)];

	while (read(fd, bytes, sizeof(bytes)) > 0)
		continue;
}

static int wait_ms(const struct guard *g)
{
	uint64_t now = guard_now_ms(), at = now + GUARD_TICK_MS;

	if (g->state == GUARD_WATCHING && g->record.header.until_ms < at &&
	    g->record.state[GUARD_STOP] != SLOT_VALID)
		at = g->record.header.until_ms;
	if (g->state == GUARD_ENDING && g->kill_at_ms < at)
		at = g->kill_at_ms;
	if (g->state == GUARD_KILLING)
		at = now + KILL_PAUSE_MS;
	return at > now ? (int)(at - now) : 0;
}

int guard_watch(struct guard *g)
{
	int code = GUARD_DONE;

	while (!collect(g, &code)) {
		struct pollfd p = { .fd = g->signals, .events = POLLIN };

		(void)poll(&p, 1, wait_ms(g));
		if ((p.revents & POLLIN) != 0)
			drain(g->signals);
		tick(g);
	}
	return code;
}

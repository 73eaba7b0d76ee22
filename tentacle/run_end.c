/* How a script ended, in words. */
#include "tentacle/run_base.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What the "#!" line names; "/bin/sh" when there is none. */
static void interpreter_of(
    const char *dir, const char *name, char *out, size_t size)
{
	char path[FS_PATH_MAX], head[128] = "";
	size_t at = 2, len = 0, got = 0;
	int fd = -1;

	if (fs_join(path, sizeof(path), dir, name) == RC_OK)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0) {
		if (guard_read_at(fd, head, sizeof(head) - 1, 0, &got) != RC_OK)
			got = 0;
		(void)close(fd);
	}
	if (got < 2 || head[0] != '#' || head[1] != '!') {
		(void)snprintf(out, size, "/bin/sh");
		return;
	}
	while (at < got && (head[at] == ' ' || head[at] == '\t'))
		at++;
	while (
	    at < got && head[at] != '\n' && head[at] != ' ' && len + 1 < size)
		out[len++] = head[at++];
	out[len] = '\0';
}

/* An end like that of a shell that finds no command. */
static void describe_noexec(const struct guard_exit *e,
    const struct guard_order *o, const char *dir, struct run_end *out)
{
	char interpreter[100];

	out->exit_code = 127;
	if (e->step == STEP_STOPPED) {
		fault_set(&out->cause, REASON_SCRIPT_FAILED, "",
		    "%s was stopped before it began", o->name);
		return;
	}
	if (e->step == STEP_LIMITS) {
		fault_set(&out->cause, REASON_NOT_PERMITTED, "",
		    "%s was not started: this machine cannot keep its limits "
		    "of memory or processes (no control group with them may "
		    "be made here)",
		    o->name);
		return;
	}
	interpreter_of(dir, o->name, interpreter, sizeof(interpreter));
	fault_set(&out->cause, REASON_SCRIPT_FAILED, "",
	    "%s could not be started by '%s' in %.100s: %s: %s%s", o->name,
	    interpreter, o->workdir, guard_step_name(e->step),
	    strerrordesc_np(e->error) != NULL ? strerrordesc_np(e->error)
					      : "unknown error",
	    strchr(interpreter, '\r') != NULL
		? " (the script has Windows line ends)"
		: "");
}

static void describe_signal(const struct guard_exit *e, struct run_end *out)
{
	const char *name = sigdescr_np((int)e->signal);

	out->signal = e->signal;
	fault_set(&out->cause, REASON_SCRIPT_FAILED, "",
	    "ended by signal %u (%s)", (unsigned)e->signal,
	    name != NULL ? name : "unknown");
}

/* In the words of a person, with the limit that was his. */
static void describe_memory(const struct guard_exit *e,
    const struct guard_order *o, struct run_end *out)
{
	char left[100] = "";

	if (e->how == HOW_EXITED)
		(void)snprintf(left, sizeof(left),
		    "; the kernel killed %llu process%s of it, and it ended "
		    "with exit code %d",
		    (unsigned long long)e->oom, e->oom == 1 ? "" : "es",
		    (int)e->code);
	if (o->memory > 0)
		fault_set(&out->cause, REASON_OUT_OF_MEMORY, "",
		    "killed: out of memory (limit %llu MiB)%s",
		    (unsigned long long)(o->memory >> 20), left);
	else
		fault_set(&out->cause, REASON_OUT_OF_MEMORY, "",
		    "killed: out of memory (the machine had none left)%s",
		    left);
}

static void describe_code(const struct guard_exit *e,
    const struct guard_order *o, struct run_end *out)
{
	out->exit_code = e->code;
	if (e->code == 0)
		return;
	if (e->refused > 0)
		fault_set(&out->cause, REASON_SCRIPT_FAILED, "",
		    "exit code %d; it was at its limit of %llu processes "
		    "(%llu more refused)",
		    (int)e->code, (unsigned long long)o->processes,
		    (unsigned long long)e->refused);
	else
		fault_set(&out->cause, REASON_SCRIPT_FAILED, "", "exit code %d",
		    (int)e->code);
}

static bool is_memory(const struct guard_exit *e)
{
	return e->why == WHY_MEMORY ||
	       (e->oom > 0 && (e->how == HOW_EXITED || e->signal == SIGKILL));
}

void run_describe(const struct guard_exit *e, const struct guard_order *o,
    const char *dir, struct run_end *out)
{
	*out = (struct run_end){ .state = TICKET_EXITED };
	if (e->how == HOW_NOEXEC)
		describe_noexec(e, o, dir, out);
	else if (e->how == HOW_KILLED)
		describe_signal(e, out);
	else
		describe_code(e, o, out);
	if (e->how != HOW_NOEXEC && is_memory(e))
		describe_memory(e, o, out);
	if (e->why == WHY_CANCELLED) {
		out->state = TICKET_CANCELLED;
		fault_set(&out->cause, REASON_CANCELLED, "", "cancelled; %s",
		    e->how == HOW_NOEXEC ? "it never began"
		    : e->forced          ? "ended by SIGKILL after the grace"
					 : "ended by SIGTERM");
	} else if (e->why == WHY_TIMED_OUT) {
		fault_set(&out->cause, REASON_TIMED_OUT, "",
		    "it ran longer than its limit of %llu s",
		    (unsigned long long)(o->timeout_ms / 1000));
	}
}

void run_describe_unknown(
    const struct guard_record *r, bool rebooted, struct run_end *out)
{
	const bool stopped = r->state[GUARD_STOP] == SLOT_VALID;

	*out = (struct run_end){ .state = TICKET_UNKNOWN };
	fault_set(&out->cause, REASON_UNKNOWN, "",
	    "%s while a script of this ticket ran%s; nobody knows how it "
	    "ended, and it is not started again",
	    rebooted ? "the machine stopped" : "both guardians were killed",
	    !stopped                       ? ""
	    : r->stop.why == WHY_CANCELLED ? " and was being cancelled"
					   : " and was over its time limit");
}

void run_describe_unstarted(const struct guard_record *r, struct run_end *out)
{
	*out = (struct run_end){ .state = TICKET_EXITED, .exit_code = 127 };
	if (r->state[GUARD_STOP] == SLOT_VALID &&
	    r->stop.why == WHY_CANCELLED) {
		out->state = TICKET_CANCELLED;
		fault_set(&out->cause, REASON_CANCELLED, "",
		    "cancelled; it never began");
		return;
	}
	fault_set(&out->cause, REASON_SCRIPT_FAILED, "",
	    "it never began: its guardians ended %u times before they could "
	    "start it",
	    (unsigned)r->header.attempt);
}

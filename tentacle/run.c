#include "tentacle/run.h"

#include "common/fs.h"
#include "tentacle/environment.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE_CHECK_MS                                                          \
	500 /* how often a running script's output is measured                 \
	     */
#define NEVER UINT64_MAX

struct run {
	enum run_state state;
	pid_t pid; /* also its session and group */
	int pidfd;
	int output_fd;
	uint64_t timeout_at_ms;
	uint64_t kill_at_ms; /* RUN_ENDING */
	uint64_t grace_ms;
	uint64_t timeout_ms;
	uint64_t output_max;
	uint64_t dropped; /* bytes cut off the output */
	enum reason why;  /* cancelled, timed-out, or none: by itself */
	struct run_end end;
};

/* --- Files -------------------------------------------------------------- */

static enum rc spec_path(const struct run_spec *spec, const char *name,
    char out[FS_PATH_MAX], struct fault *fault)
{
	enum rc rc = fs_join(out, FS_PATH_MAX, spec->dir, name);

	if (rc != RC_OK)
		fault_set(fault, REASON_INTERNAL, "",
		    "the path of '%s' in %s "
		    "is too long",
		    name, spec->dir);
	return rc;
}

static bool has_shebang(struct bytes body)
{
	return body.len >= 2 && body.p[0] == '#' && body.p[1] == '!';
}

static enum rc write_secrets(const struct run_spec *spec, struct fault *fault)
{
	char dir[FS_PATH_MAX], path[FS_PATH_MAX], name[VARIABLE_SIZE];
	enum rc rc = spec_path(spec, "secrets", dir, fault);

	if (rc == RC_OK)
		rc = fs_make_private_dir(dir, fault);
	for (size_t i = 0; rc == RC_OK && i < spec->secret_count; i++) {
		const struct msg_pair *s = &spec->secrets[i];

		(void)snprintf(name, sizeof(name), "%.*s", (int)s->name.len,
		    (const char *)s->name.p);
		if (s->name.len >= sizeof(name) || !variable_is_valid(name)) {
			fault_set(fault, REASON_BAD_CONFIG, "",
			    "a secret for a script has no valid name");
			return RC_PROTO;
		}
		rc = fs_join(path, sizeof(path), dir, name);
		if (rc == RC_OK)
			rc = fs_write_atomic(
			    path, s->value.p, s->value.len, 0600, fault);
	}
	return rc;
}

static int open_output(const char *path)
{
	return open(
	    path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

enum rc run_prepare(const struct run_spec *spec, struct fault *fault)
{
	char path[FS_PATH_MAX];
	enum rc rc;
	int fd;

	rc = fs_make_private_dir(spec->dir, fault);
	if (rc == RC_OK)
		rc = write_secrets(spec, fault);
	if (rc == RC_OK)
		rc = spec_path(spec, spec->name, path, fault);
	if (rc == RC_OK)
		rc = fs_write_atomic(
		    path, spec->body.p, spec->body.len, 0700, fault);
	if (rc == RC_OK)
		rc = spec_path(spec, "output", path, fault);
	if (rc != RC_OK)
		return rc;
	fd = open_output(path);
	if (fd < 0) {
		fault_set(fault, REASON_INTERNAL, "", "%s: cannot create: %s",
		    path, strerrordesc_np(errno));
		return RC_IO;
	}
	(void)close(fd);
	return RC_OK;
}

/* --- Starting ----------------------------------------------------------- */

static enum rc set_if(
    struct environment *e, const char *name, const char *value)
{
	return value != NULL ? environment_set(e, name, value) : RC_OK;
}

static enum rc build_environment(
    const struct run_spec *spec, struct environment **out, struct fault *fault)
{
	char secrets[FS_PATH_MAX];
	struct environment *e = NULL;
	enum rc rc = spec_path(spec, "secrets", secrets, fault);

	if (rc == RC_OK)
		rc = environment_new(&e);
	const char *const ours[][2] = { { "PATH", RUN_PATH },
		{ "HOME", spec->home != NULL ? spec->home : "/" },
		{ "LONGARM_TICKET", spec->ticket },
		{ "LONGARM_MACHINE", spec->machine },
		{ "LONGARM_RUN_DIR", spec->dir },
		{ "LONGARM_SECRETS_DIR", secrets },
		{ "LONGARM_PACKAGE_DIR", spec->package_dir },
		{ "LONGARM_PREVIOUS_DIR", spec->previous_dir } };
	for (size_t i = 0; rc == RC_OK && i < sizeof(ours) / sizeof(*ours); i++)
		rc = set_if(e, ours[i][0], ours[i][1]);
	bool lang = false;
	for (size_t i = 0; rc == RC_OK && i < spec->environment_count; i++) {
		lang |=
		    bytes_equal(spec->environment[i].name, bytes_text("LANG"));
		rc = environment_add(e, &spec->environment[i], fault);
	}
	if (rc == RC_OK && !lang)
		rc = environment_set(e, "LANG", "C.UTF-8");
	if (rc != RC_OK) {
		environment_free(e);
		return rc;
	}
	*out = e;
	return RC_OK;
}

/* Only 0, 1 and 2 are open in the child, signals are as at boot. */
static int spawn(struct run *r, const struct run_spec *spec, char *const *argv,
    char *const *envp)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int err;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	err = posix_spawn_file_actions_init(&files);
	if (err != 0)
		return err;
	err = posix_spawnattr_init(&attr);
	if (err != 0) {
		(void)posix_spawn_file_actions_destroy(&files);
		return err;
	}
	if ((err = posix_spawn_file_actions_addopen(
		 &files, 0, "/dev/null", O_RDONLY, 0)) == 0 &&
	    (err = posix_spawn_file_actions_adddup2(&files, r->output_fd, 1)) ==
		0 &&
	    (err = posix_spawn_file_actions_adddup2(&files, 1, 2)) == 0 &&
	    (err = posix_spawn_file_actions_addclosefrom_np(&files, 3)) == 0 &&
	    (err = posix_spawn_file_actions_addchdir_np(&files,
		 spec->workdir != NULL ? spec->workdir : spec->dir)) == 0 &&
	    (err = posix_spawnattr_setsigmask(&attr, &none)) == 0 &&
	    (err = posix_spawnattr_setsigdefault(&attr, &all)) == 0 &&
	    (err = posix_spawnattr_setflags(
		 &attr, (short)(POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
				POSIX_SPAWN_SETSIGDEF))) == 0)
		err = posix_spawn(&r->pid, argv[0], &files, &attr, argv, envp);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&files);
	return err;
}

/* What the "#!" line names, for a message. */
static void interpreter_of(struct bytes body, char *out, size_t size)
{
	size_t at = 2, len = 0;

	while (at < body.len && (body.p[at] == ' ' || body.p[at] == '\t'))
		at++;
	while (at < body.len && body.p[at] != '\n' && body.p[at] != ' ' &&
	       len + 1 < size)
		out[len++] = (char)body.p[at++];
	out[len] = '\0';
}

/* It never ran: an end like that of a shell that finds no command. */
static void end_unstarted(struct run *r, const struct run_spec *spec, int err)
{
	char interpreter[100] = "/bin/sh";

	if (has_shebang(spec->body))
		interpreter_of(spec->body, interpreter, sizeof(interpreter));
	r->state = RUN_OVER;
	r->end = (struct run_end){ .state = TICKET_EXITED, .exit_code = 127 };
	fault_set(&r->end.cause, REASON_SCRIPT_FAILED, "",
	    "%s could not be started by '%s' in %.100s: %s%s", spec->name,
	    interpreter, spec->workdir != NULL ? spec->workdir : spec->dir,
	    strerrordesc_np(err),
	    strchr(interpreter, '\r') != NULL
		? " (the script has Windows line ends)"
		: "");
}

static enum rc launch(struct run *r, const struct run_spec *spec,
    const char *script, char *const *envp)
{
	char shell[] = "/bin/sh";
	char path[FS_PATH_MAX];
	char *argv[] = { shell, path, NULL };
	int err;

	(void)snprintf(path, sizeof(path), "%s", script);
	err = spawn(r, spec, has_shebang(spec->body) ? argv + 1 : argv, envp);
	if (err != 0) {
		end_unstarted(r, spec, err);
		return RC_OK;
	}
	r->pidfd = pidfd_open(r->pid, 0);
	if (r->pidfd >= 0)
		return RC_OK;
	/* Without it nobody would see the end. */
	(void)kill(-r->pid, SIGKILL);
	(void)waitpid(r->pid, NULL, 0);
	end_unstarted(r, spec, errno);
	return RC_OK;
}

static uint64_t or_default(uint64_t v, uint64_t other)
{
	return v != 0 ? v : other;
}

enum rc run_start(const struct run_spec *spec, uint64_t now_ms,
    struct run **out, struct fault *fault)
{
	char script[FS_PATH_MAX], output[FS_PATH_MAX];
	struct environment *e = NULL;
	struct run *r = calloc(1, sizeof(*r));
	enum rc rc;

	if (r == NULL)
		return RC_NOMEM;
	r->pidfd = r->output_fd = -1;
	r->grace_ms = or_default(spec->grace_ms, RUN_GRACE_MS);
	r->timeout_ms = or_default(spec->timeout_ms, RUN_TIMEOUT_DEFAULT_MS);
	r->timeout_at_ms = now_ms + r->timeout_ms;
	r->output_max = or_default(spec->output_max, RUN_OUTPUT_MAX);
	rc = spec_path(spec, spec->name, script, fault);
	if (rc == RC_OK)
		rc = spec_path(spec, "output", output, fault);
	if (rc == RC_OK)
		rc = build_environment(spec, &e, fault);
	if (rc != RC_OK)
		goto out;
	r->output_fd = open_output(output);
	if (r->output_fd < 0) {
		fault_set(fault, REASON_INTERNAL, "", "%s: cannot open: %s",
		    output, strerrordesc_np(errno));
		rc = RC_IO;
		goto out;
	}
	rc = launch(r, spec, script, environment_list(e));
	if (rc != RC_OK)
		goto out;
	*out = r;
	r = NULL;
out:
	environment_free(e);
	run_free(r);
	return rc;
}

int run_fd(const struct run *r)
{
	return r->pidfd;
}

/* --- Living ------------------------------------------------------------- */

/* The leader is not reaped yet, so its number is still its own. */
static void signal_group(const struct run *r, int signo)
{
	(void)kill(-r->pid, signo);
}

static void begin_end(struct run *r, enum reason why, uint64_t now_ms)
{
	if (r->state != RUN_ALIVE)
		return;
	r->why = why;
	r->state = RUN_ENDING;
	r->kill_at_ms = now_ms + r->grace_ms;
	signal_group(r, SIGTERM);
}

void run_cancel(struct run *r, uint64_t now_ms)
{
	begin_end(r, REASON_CANCELLED, now_ms);
}

/* The script writes by itself, so what is too much is cut off behind it. */
static void cap_output(struct run *r)
{
	struct stat st;

	if (fstat(r->output_fd, &st) != 0 ||
	    (uint64_t)st.st_size <= r->output_max)
		return;
	if (ftruncate(r->output_fd, (off_t)r->output_max) == 0)
		r->dropped += (uint64_t)st.st_size - r->output_max;
}

static void mark_output(struct run *r)
{
	char line[160];
	int len;

	cap_output(r);
	if (r->dropped == 0)
		return;
	len = snprintf(line, sizeof(line),
	    "\n[longarm: the output was cut here: at least %llu bytes above "
	    "the limit of %llu were dropped]\n",
	    (unsigned long long)r->dropped, (unsigned long long)r->output_max);
	/* Only a note: without it the size still tells. */
	if (len > 0 && fs_write_all(r->output_fd, line, (size_t)len) != RC_OK)
		return;
}

static void describe_end(struct run *r)
{
	struct run_end *e = &r->end;

	if (r->why == REASON_CANCELLED) {
		fault_set(&e->cause, REASON_CANCELLED, "",
		    "cancelled; ended by %s",
		    r->state == RUN_KILLED ? "SIGKILL after the grace"
					   : "SIGTERM");
		e->state = TICKET_CANCELLED;
	} else if (r->why == REASON_TIMED_OUT) {
		fault_set(&e->cause, REASON_TIMED_OUT, "",
		    "it ran longer than its limit of %llu s",
		    (unsigned long long)(r->timeout_ms / 1000));
	} else if (e->signal != 0) {
		fault_set(&e->cause, REASON_SCRIPT_FAILED, "",
		    "ended by signal %u (%s)", e->signal,
		    sigdescr_np((int)e->signal));
	} else if (e->exit_code != 0) {
		fault_set(&e->cause, REASON_SCRIPT_FAILED, "", "exit code %d",
		    e->exit_code);
	}
}

/* Look without reaping; then end what is left of the group; then reap. */
static bool collect(struct run *r)
{
	siginfo_t info = { 0 };

	if (waitid(P_PIDFD, (id_t)r->pidfd, &info,
		WEXITED | WNOHANG | WNOWAIT) != 0 ||
	    info.si_pid == 0)
		return false;
	if (r->why != REASON_NONE)
		signal_group(r, SIGKILL);
	r->end.state = TICKET_EXITED;
	if (info.si_code == CLD_EXITED)
		r->end.exit_code = info.si_status;
	else
		r->end.signal = (uint32_t)info.si_status;
	describe_end(r);
	mark_output(r);
	(void)waitid(P_PIDFD, (id_t)r->pidfd, &info, WEXITED);
	r->state = RUN_OVER;
	return true;
}

enum rc run_tick(struct run *r, uint64_t now_ms, uint64_t *wake_ms)
{
	*wake_ms = NEVER;
	if (r->state == RUN_OVER || collect(r))
		return RC_OK;
	cap_output(r);
	if (r->state == RUN_ALIVE && now_ms >= r->timeout_at_ms)
		begin_end(r, REASON_TIMED_OUT, now_ms);
	if (r->state == RUN_ENDING && now_ms >= r->kill_at_ms) {
		signal_group(r, SIGKILL);
		r->state = RUN_KILLED;
	}
	*wake_ms = now_ms + SIZE_CHECK_MS;
	if (r->state == RUN_ALIVE && r->timeout_at_ms < *wake_ms)
		*wake_ms = r->timeout_at_ms;
	if (r->state == RUN_ENDING && r->kill_at_ms < *wake_ms)
		*wake_ms = r->kill_at_ms;
	return RC_AGAIN;
}

const struct run_end *run_end(const struct run *r)
{
	return &r->end;
}

void run_free(struct run *r)
{
	if (r == NULL)
		return;
	if (r->pidfd >= 0 && r->state != RUN_OVER) {
		signal_group(r, SIGKILL);
		(void)waitpid(r->pid, NULL, 0);
	}
	if (r->pidfd >= 0)
		(void)close(r->pidfd);
	if (r->output_fd >= 0)
		(void)close(r->output_fd);
	free(r);
}

#include "tentacle/run_base.h"

#include "common/log.h"
#include "tentacle/guardian/cgroup.h"
#include "tentacle/guardian/guard.h"
#include "tentacle/program.h"
#include "tentacle/runlog.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_MS    1000 /* the lock is looked at, too */
#define ADOPTED_MS 100  /* the same where nobody tells of its end */

enum run_state {
	RUN_READY,    /* no guardian was started by us yet */
	RUN_GUARDED,  /* guardians live, or have just ended */
	RUN_DETACHED, /* both were killed; something of the script is alive */
	RUN_OVER
};

struct run {
	enum run_state state;
	char dir[FS_PATH_MAX]; /* of the ticket */
	int guardian;          /* its program; borrowed */
	int place_fd;          /* of its guardians' directory */
	int record_fd, alive_fd;
	int next_fd;      /* is alive_fd from the next tick on; -1: none */
	pid_t supervisor; /* 0: not our child, or reaped */
	uint8_t *order_bytes;
	struct guard_order order;
	struct guard_record record;
	uint64_t kill_at_ms; /* RUN_DETACHED and stopped; 0: not yet */
	struct run_end end;
};

/* --- The program --------------------------------------------------------- */

static int open_beside_us(const char *tail)
{
	char own[FS_PATH_MAX], path[FS_PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
	char *slash;

	if (n <= 0)
		return -1;
	own[n] = '\0';
	slash = strrchr(own, '/');
	if (slash == NULL)
		return -1;
	*slash = '\0';
	(void)snprintf(path, sizeof(path), "%s/%s", own, tail);
	return open(path, O_RDONLY | O_CLOEXEC);
}

enum rc run_open_guardian(const char *path, int *out, struct fault *fault)
{
	int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC)
	                      : open_beside_us("longarm-guardian");

	if (fd < 0 && path == NULL)
		fd = open_beside_us("../lib/longarm/longarm-guardian");
	if (fd < 0) {
		fault_set(fault, REASON_NOT_FOUND, "",
		    "%s: cannot open: %s; it is installed together with "
		    "longarm-tentacle",
		    path != NULL ? path : "longarm-guardian",
		    strerrordesc_np(errno));
		return RC_NOTFOUND;
	}
	*out = fd;
	return RC_OK;
}

/* --- Opening ------------------------------------------------------------ */

static enum rc load_record(struct run *r)
{
	uint8_t bytes[GUARD_RECORD_SIZE];
	size_t got = 0;
	enum rc rc = guard_read_at(r->record_fd, bytes, sizeof(bytes), 0, &got);

	return rc == RC_OK
	           ? guard_record_decode(bytes_of(bytes, got), &r->record)
	           : rc;
}

static enum rc load_order(struct run *r, const char *place)
{
	char path[FS_PATH_MAX];
	size_t len = 0;
	enum rc rc = fs_join(path, sizeof(path), place, "order");

	if (rc == RC_OK)
		rc = fs_read_file(
		    path, GUARD_ORDER_MAX, &r->order_bytes, &len, NULL);
	if (rc == RC_OK)
		rc = guard_order_decode(r->order_bytes, len, &r->order);
	return rc;
}

static enum rc open_place(struct run *r, const char *place)
{
	r->place_fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->place_fd < 0)
		return errno == ENOENT ? RC_NOTFOUND : RC_IO;
	r->record_fd =
	    openat(r->place_fd, "record", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (r->record_fd < 0)
		return errno == ENOENT ? RC_NOTFOUND : RC_IO;
	return RC_OK;
}

static bool is_filled(const uint8_t *bytes, size_t len, uint8_t with)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != with)
			return false;
	}
	return true;
}

/*
 * The mark is synced with all of the record before the script begins: so an
 * empty file, or a slot without it, tell that it never ran.  If the machine has
 * stopped since, what was not synced may be anything.
 */
static bool has_lost_its_files(const struct run *r)
{
	const size_t at = guard_slot_offset(GUARD_EXEC);
	uint8_t bytes[GUARD_RECORD_SIZE];
	struct guard_record record = { 0 };
	char boot[GUARD_BOOT_SIZE];
	size_t got = 0;
	bool whole;

	if (guard_is_locked(r->record_fd) ||
	    guard_read_at(r->record_fd, bytes, sizeof(bytes), 0, &got) != RC_OK)
		return false;
	if (got == 0)
		return true;
	if (got != sizeof(bytes))
		return false;
	whole = guard_record_decode(bytes_of(bytes, got), &record) == RC_OK;
	if (record.state[GUARD_EXEC] != SLOT_BLANK &&
	    !is_filled(bytes + at, guard_slot_size(GUARD_EXEC), 0))
		return false;
	if (!whole)
		return true;
	guard_boot_id(boot);
	return record.state[GUARD_STOP] != SLOT_VALID &&
	       strcmp(boot, record.header.boot) != 0;
}

/* Only for what people are told: the record has all that matters. */
static void do_without_order(struct run *r)
{
	static const char none[] = "";

	free(r->order_bytes);
	r->order_bytes = NULL;
	r->order = (struct guard_order){
		.ticket = none, .name = "the script", .workdir = none
	};
}

static enum rc load_all(
    struct run *r, const struct run_spec *spec, const char *place)
{
	enum rc rc;

	if (spec->again && has_lost_its_files(r))
		return RC_STATE;
	rc = load_record(r);
	if (rc != RC_OK)
		return rc;
	rc = load_order(r, place);
	if (rc != RC_OK && spec->again &&
	    r->record.state[GUARD_EXEC] != SLOT_BLANK) {
		do_without_order(r);
		rc = RC_OK;
	}
	return rc;
}

static enum rc open_run(
    const struct run_spec *spec, struct run **out, struct fault *fault)
{
	const char *dir = spec->dir, *name = spec->name;
	char place[FS_PATH_MAX];
	struct run *r = calloc(1, sizeof(*r));
	enum rc rc;

	if (r == NULL)
		return RC_NOMEM;
	r->guardian = spec->guardian;
	r->place_fd = r->record_fd = r->alive_fd = r->next_fd = -1;
	(void)snprintf(r->dir, sizeof(r->dir), "%s", dir);
	rc = run_place(dir, name, place);
	if (rc == RC_OK)
		rc = open_place(r, place);
	if (rc == RC_OK)
		rc = load_all(r, spec, place);
	if (rc != RC_OK) {
		fault_set(fault, REASON_INTERNAL, "",
		    "%.150s/run-%s: no record of this script that can be read "
		    "(%s)",
		    dir, name, rc_name(rc));
		run_free(r);
		return rc;
	}
	*out = r;
	return RC_OK;
}

/* --- Starting ----------------------------------------------------------- */

static int move_up(int fd)
{
	int up = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, PROGRAM_FD_ABOVE) : -1;

	if (fd >= 0)
		(void)close(fd);
	return up;
}

/* What the guardian is born with. */
struct birth {
	int place, record, alive, program;
};

static void birth_end(struct birth *b)
{
	const int fds[] = { b->place, b->record, b->alive, b->program };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
	}
}

/* Who reads it sees its end when the last guardian has ended. */
static int open_alive(struct run *r)
{
	int ends[2];

	if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0)
		return -1;
	if (r->next_fd >= 0)
		(void)close(r->next_fd);
	r->next_fd = -1;
	if (r->alive_fd < 0) {
		r->alive_fd = ends[0];
		return ends[1];
	}
	/* Somebody watches that of others, who have ended: until he has seen
	 * that there is none, it must not have the same number. */
	(void)close(r->alive_fd);
	r->alive_fd = -1;
	r->next_fd = ends[0];
	return ends[1];
}

static enum rc birth_begin(struct run *r, struct birth *b)
{
	b->place = move_up(dup(r->place_fd));
	/* Opened anew: the lock belongs to what the guardians inherit, and to
	 * nothing that we keep. */
	b->record = move_up(
	    openat(r->place_fd, "record", O_RDWR | O_CLOEXEC | O_NOFOLLOW));
	b->alive = move_up(open_alive(r));
	b->program = move_up(dup(r->guardian));
	if (b->place < 0 || b->record < 0 || b->alive < 0 || b->program < 0)
		return RC_IO;
	return guard_lock(b->record);
}

static int spawn(struct run *r, const struct birth *b)
{
	const char *const args[] = { "longarm-guardian", "guard",
		r->order.ticket, r->order.name, NULL };
	const char *const environment[] = { NULL };
	const struct program_fd fds[] = { { 0, 1 }, { 0, 2 },
		{ b->place, GUARD_FD_DIR }, { b->record, GUARD_FD_RECORD },
		{ b->alive, GUARD_FD_ALIVE } };
	const struct program p = { .fd = b->program,
		.args = args,
		.environment = environment,
		.fds = fds,
		.fd_count = sizeof(fds) / sizeof(fds[0]),
		.session = true };

	return program_start(&p, &r->supervisor);
}

/* The record begins anew: under the lock, and nobody was there before us. */
static enum rc renew_record(struct run *r, const struct birth *b)
{
	uint8_t bytes[GUARD_RECORD_SIZE];

	run_new_record(&r->record, r->record.header.attempt + 1,
	    r->order.timeout_ms, bytes);
	/* The mark's sync is that of all of it: until then it never ran. */
	return guard_write_at(b->record, bytes, sizeof(bytes), 0);
}

static enum rc launch(struct run *r, struct fault *fault)
{
	struct birth b;
	enum rc rc = birth_begin(r, &b);
	int err = 0;

	if (rc == RC_OK)
		rc = renew_record(r, &b);
	if (rc == RC_OK) {
		err = spawn(r, &b);
		errno = err;
		rc = err == 0 ? RC_OK : RC_IO;
	}
	if (rc != RC_OK)
		fault_set(fault, REASON_INTERNAL, "",
		    "the guardians of %s could not be started: %s",
		    r->order.name,
		    rc == RC_EXISTS ? "they live already"
				    : strerrordesc_np(errno));
	if (err != 0)
		r->supervisor = 0;
	birth_end(&b);
	if (rc == RC_OK)
		r->state = RUN_GUARDED;
	return rc;
}

enum rc run_start(const struct run_spec *spec, uint64_t now_ms,
    struct run **out, struct fault *fault)
{
	struct run *r = NULL;
	enum rc rc = open_run(spec, &r, fault);

	(void)now_ms;
	if (rc == RC_OK)
		rc = launch(r, fault);
	if (rc != RC_OK) {
		run_free(r);
		return rc;
	}
	*out = r;
	return RC_OK;
}

enum rc run_adopt(
    const struct run_spec *spec, struct run **out, struct fault *fault)
{
	enum rc rc = open_run(spec, out, fault);

	if (rc == RC_OK)
		(*out)->state = RUN_GUARDED;
	return rc;
}

int run_fd(const struct run *r)
{
	return r->state == RUN_DETACHED ? -1 : r->alive_fd;
}

/* --- Stopping ----------------------------------------------------------- */

/* Written once, by whoever is first: a word of ours or the guardians' own. */
static void put_stop(struct run *r, enum guard_why why, bool forced)
{
	uint8_t bytes[GUARD_TREE_SIZE];

	r->record.stop.why = why;
	r->record.stop.forced = forced;
	if (guard_slot_encode(&r->record, GUARD_STOP, bytes) != RC_OK ||
	    guard_write_at(r->record_fd, bytes, guard_slot_size(GUARD_STOP),
		guard_slot_offset(GUARD_STOP)) != RC_OK)
		return;
	r->record.state[GUARD_STOP] = SLOT_VALID;
}

/* They look by themselves too, only later: as if a child of theirs had ended.
 */
static void poke(const struct run *r)
{
	if (r->record.state[GUARD_SHIM] == SLOT_VALID &&
	    guard_signal(&r->record.shim, SIGCHLD, false) == RC_OK)
		return;
	if (r->record.state[GUARD_SUPERVISOR] == SLOT_VALID &&
	    guard_signal(&r->record.supervisor, SIGCHLD, false) != RC_OK)
		log_debug("run", r->order.ticket, "no guardian lives");
}

void run_cancel(struct run *r, uint64_t now_ms)
{
	(void)now_ms;
	if (r->state == RUN_OVER || load_record(r) != RC_OK)
		return;
	if (r->record.state[GUARD_STOP] != SLOT_VALID)
		put_stop(r, WHY_CANCELLED, false);
	poke(r);
}

/* --- Without guardians ---------------------------------------------------- */

static struct cgroup groups_of(const struct guard_record *record)
{
	struct cgroup c = { .oom_before = 0 };

	for (int i = 0; i < GUARD_TREES; i++) {
		if (record->state[GUARD_TREE_1 + i] == SLOT_VALID)
			memcpy(c.path[i], record->tree[i], sizeof(c.path[i]));
	}
	return c;
}

static bool lives(const struct run *r)
{
	const struct cgroup c = groups_of(&r->record);

	return guard_is_alive(&r->record.exec) || cgroup_is_populated(&c);
}

static void signal_script(const struct run *r, int signo)
{
	if (guard_signal(&r->record.exec, signo, true) != RC_OK)
		log_debug(
		    "run", r->order.ticket, "signal %d: gone already", signo);
}

/* Only its limits are kept: how it ends nobody will know. */
static void limit_detached(struct run *r, uint64_t now_ms)
{
	const struct cgroup c = groups_of(&r->record);

	if (r->record.state[GUARD_STOP] != SLOT_VALID &&
	    guard_now_ms() >= r->record.header.until_ms)
		put_stop(r, WHY_TIMED_OUT, false);
	if (r->record.state[GUARD_STOP] != SLOT_VALID)
		return;
	if (r->kill_at_ms == 0) {
		r->kill_at_ms = now_ms + r->order.grace_ms;
		signal_script(r, SIGTERM);
	} else if (now_ms >= r->kill_at_ms) {
		signal_script(r, SIGKILL);
		(void)cgroup_kill(&c);
	}
}

/* --- The end ------------------------------------------------------------ */

static enum rc over(struct run *r)
{
	const struct cgroup c = groups_of(&r->record);

	cgroup_remove(&c);
	r->state = RUN_OVER;
	return RC_OK;
}

/* What a power loss took of the output, which is not synced. */
static void note_lost_output(const struct run *r)
{
	struct stat st = { .st_size = 0 };

	if ((fstatat(r->place_fd, "../output", &st, AT_SYMLINK_NOFOLLOW) == 0 ||
		errno == ENOENT) &&
	    (uint64_t)st.st_size < r->record.exit.output)
		runlog_note(r->dir,
		    "\n[longarm: the machine stopped; %llu bytes of output "
		    "from here on are lost]",
		    (unsigned long long)(r->record.exit.output -
					 (uint64_t)st.st_size));
}

/* No mark: it never ran, and may be started without harm. */
static enum rc start_again(struct run *r)
{
	struct fault fault = { 0 };

	if (r->record.state[GUARD_STOP] != SLOT_VALID &&
	    r->record.header.attempt < RUN_ATTEMPTS) {
		if (launch(r, &fault) == RC_OK)
			return RC_AGAIN;
		runlog_note(r->dir, "longarm: %s", fault.text);
	}
	run_describe_unstarted(&r->record, &r->end);
	return over(r);
}

static enum rc settle_unknown(struct run *r)
{
	char boot[GUARD_BOOT_SIZE];
	bool rebooted;

	guard_boot_id(boot);
	rebooted = r->record.state[GUARD_HEADER] == SLOT_VALID &&
	           strcmp(boot, r->record.header.boot) != 0;
	if (!rebooted && r->record.state[GUARD_EXEC] == SLOT_VALID &&
	    lives(r)) {
		r->state = RUN_DETACHED;
		return RC_AGAIN;
	}
	run_describe_unknown(&r->record, rebooted, &r->end);
	return over(r);
}

/*
 * No guardian lives, so what the record says is final.  The order of the
 * questions matters: the lock was free before the record was read.
 */
static enum rc settle(struct run *r)
{
	const enum guard_slot_state *state = r->record.state;

	if (load_record(r) != RC_OK)
		return settle_unknown(r);
	if (state[GUARD_EXIT] == SLOT_VALID) {
		note_lost_output(r);
		run_describe(&r->record.exit, &r->order, r->dir, &r->end);
		return over(r);
	}
	if (state[GUARD_EXIT] == SLOT_BLANK &&
	    state[GUARD_NOEXEC] == SLOT_VALID) {
		const struct guard_exit e = { .how = HOW_NOEXEC,
			.step = r->record.noexec.step,
			.error = r->record.noexec.error,
			.why = r->record.stop.why };

		run_describe(&e, &r->order, r->dir, &r->end);
		return over(r);
	}
	if (state[GUARD_EXIT] == SLOT_BLANK && state[GUARD_EXEC] == SLOT_BLANK)
		return start_again(r);
	return settle_unknown(r);
}

/* Its remains are ours to clear away. */
static void reap(struct run *r, int options)
{
	if (r->supervisor > 0 &&
	    waitpid(r->supervisor, NULL, options) == r->supervisor)
		r->supervisor = 0;
}

static enum rc tick(struct run *r, uint64_t now_ms)
{
	if (r->state == RUN_DETACHED) {
		limit_detached(r, now_ms);
		return lives(r) ? RC_AGAIN : settle_unknown(r);
	}
	reap(r, WNOHANG);
	if (guard_is_locked(r->record_fd))
		return RC_AGAIN;
	/* It has let go of everything: it is ending at this moment. */
	reap(r, 0);
	return settle(r);
}

enum rc run_tick(struct run *r, uint64_t now_ms, uint64_t *wake_ms)
{
	*wake_ms = UINT64_MAX;
	if (r->next_fd >= 0) {
		r->alive_fd = r->next_fd;
		r->next_fd = -1;
	}
	if (r->state == RUN_OVER || tick(r, now_ms) == RC_OK)
		return RC_OK;
	if (r->state == RUN_DETACHED)
		*wake_ms = now_ms + GUARD_TICK_MS;
	else
		*wake_ms = now_ms + (r->alive_fd < 0 ? ADOPTED_MS : LOOK_MS);
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
	reap(r, WNOHANG);
	if (r->alive_fd >= 0)
		(void)close(r->alive_fd);
	if (r->next_fd >= 0)
		(void)close(r->next_fd);
	if (r->record_fd >= 0)
		(void)close(r->record_fd);
	if (r->place_fd >= 0)
		(void)close(r->place_fd);
	guard_order_clear(&r->order);
	free(r->order_bytes);
	free(r);
}

void run_clear_groups(const char *dir)
{
	static const char *const names[] = { "script", "before", "after" };
	struct run *r;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct run_spec spec = {
			.dir = dir, .name = names[i], .guardian = -1
		};

		if (open_run(&spec, &r, NULL) != RC_OK)
			continue;
		if (!guard_is_locked(r->record_fd)) {
			const struct cgroup c = groups_of(&r->record);

			cgroup_remove(&c);
		}
		run_free(r);
	}
}

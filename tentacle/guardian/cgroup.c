#include "tentacle/guardian/cgroup.h"

#include "tentacle/guardian/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOUNTS_MAX 262144 /* bytes of /proc/self/mountinfo that are read */
#define PROCS_MAX  65536  /* bytes of cgroup.procs that are read at once */
#define OWN_SIZE   (GUARD_TREE_SIZE - 192)

enum tree {
	TREE_UNIFIED, /* version 2 */
	TREE_MEMORY,  /* version 1 */
	TREE_PIDS     /* version 1 */
};

static const char *const controllers[GUARD_TREES] = {
	[TREE_MEMORY] = "memory", [TREE_PIDS] = "pids"
};

/* --- Small files -------------------------------------------------------- */

static bool file_in(const char *dir, const char *name, char *out, size_t size)
{
	int n = snprintf(out, size, "%s/%s", dir, name);

	return dir[0] != '\0' && n > 0 && (size_t)n < size;
}

/* Allocated, NUL-terminated; NULL when it cannot be read. */
static char *read_whole(const char *path, size_t max)
{
	char *text = malloc(max + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t got = 0;

	if (text == NULL || fd < 0 ||
	    guard_read_at(fd, text, max, 0, &got) != RC_OK) {
		free(text);
		text = NULL;
	} else {
		text[got] = '\0';
	}
	if (fd >= 0)
		(void)close(fd);
	return text;
}

static char *read_in(const char *dir, const char *name, size_t max)
{
	char path[GUARD_TREE_SIZE + 64];

	return file_in(dir, name, path, sizeof(path)) ? read_whole(path, max)
	                                              : NULL;
}

static bool write_in(const char *dir, const char *name, const char *text)
{
	char path[GUARD_TREE_SIZE + 64];
	bool ok;
	int fd;

	if (!file_in(dir, name, path, sizeof(path)))
		return false;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	(void)close(fd);
	return ok;
}

/* The number behind "key " at the beginning of a line. */
static bool number_after(const char *text, const char *key, uint64_t *out)
{
	size_t len = strlen(key);
	const char *at = text;

	while (at != NULL) {
		if (strncmp(at, key, len) == 0 && at[len] == ' ') {
			*out = strtoull(at + len, NULL, 10);
			return true;
		}
		at = strchr(at, '\n');
		if (at != NULL)
			at++;
	}
	return false;
}

/* --- Where our own group is --------------------------------------------- */

/* Is this word in a list with commas? */
static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; *at != '\0';) {
		size_t n = strcspn(at, ",");

		if (n == len && memcmp(at, word, n) == 0)
			return true;
		at += n + (at[n] == ',');
	}
	return false;
}

/*
 * "36 35 98:0 /root /mount/point rw,... - cgroup2 cgroup2 rw": the mount point
 * of a tree and which directory of it that is.
 */
static bool is_mount_of(
    char *line, enum tree tree, const char **root, const char **point)
{
	char *fields[5], *save = NULL, *dash = strstr(line, " - ");
	char *type, *options;

	if (dash == NULL)
		return false;
	*dash = '\0';
	for (int i = 0; i < 5; i++) {
		fields[i] = strtok_r(i == 0 ? line : NULL, " ", &save);
		if (fields[i] == NULL)
			return false;
	}
	*root = fields[3];
	*point = fields[4];
	type = strtok_r(dash + 3, " ", &save);
	(void)strtok_r(NULL, " ", &save);
	options = strtok_r(NULL, " ", &save);
	if (type == NULL)
		return false;
	if (tree == TREE_UNIFIED)
		return strcmp(type, "cgroup2") == 0;
	return strcmp(type, "cgroup") == 0 && options != NULL &&
	       has_word(options, controllers[tree]);
}

static bool find_mount(
    char *mounts, enum tree tree, const char **root, const char **point)
{
	char *save = NULL;

	for (char *line = strtok_r(mounts, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		if (is_mount_of(line, tree, root, point))
			return true;
	}
	return false;
}

/* "0::/path" or "4:memory:/path": the path. */
static const char *find_own(char *groups, enum tree tree)
{
	char *save = NULL;

	for (char *line = strtok_r(groups, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		char *list = strchr(line, ':');
		char *path = list != NULL ? strchr(list + 1, ':') : NULL;

		if (path == NULL)
			continue;
		*path++ = '\0';
		if (tree == TREE_UNIFIED
			? list[1] == '\0'
			: has_word(list + 1, controllers[tree]))
			return path;
	}
	return NULL;
}

/* What the kernel says of us; read once for all trees.  NULL: it does not. */
struct own {
	char *mounts, *groups;
};

static void own_begin(struct own *o)
{
	o->mounts = read_whole("/proc/self/mountinfo", MOUNTS_MAX);
	o->groups = read_whole("/proc/self/cgroup", 65536);
}

static void own_end(struct own *o)
{
	free(o->mounts);
	free(o->groups);
}

/* Our own group as a directory, and the top of its tree; "" when there is
 * none.  Both have OWN_SIZE bytes. */
static void own_dir(const struct own *o, enum tree tree, char *out, char *top)
{
	/* Looking cuts them into pieces. */
	char *mounts = o->mounts != NULL ? strdup(o->mounts) : NULL;
	char *groups = o->groups != NULL ? strdup(o->groups) : NULL;
	const char *root = NULL, *point = NULL, *own = NULL;
	int n = -1;

	out[0] = top[0] = '\0';
	if (mounts != NULL && groups != NULL &&
	    find_mount(mounts, tree, &root, &point))
		own = find_own(groups, tree);
	if (own != NULL) {
		size_t len = strlen(root);

		/* A part of the tree is mounted: the path begins with it. */
		if (len > 1 && strncmp(own, root, len) == 0)
			own += len;
		n = snprintf(out, OWN_SIZE, "%s%s", point,
		    strcmp(own, "/") == 0 ? "" : own);
		(void)snprintf(top, OWN_SIZE, "%s", point);
	}
	if (n < 0 || n >= OWN_SIZE)
		out[0] = top[0] = '\0';
	free(mounts);
	free(groups);
}

/* --- One script's groups ------------------------------------------------- */

/* In *path, of GUARD_TREE_SIZE bytes; "" when it cannot be made. */
static bool make_in(const char *base, const char *name, char *path)
{
	int n =
	    snprintf(path, GUARD_TREE_SIZE - 64, "%s/longarm-%s", base, name);

	if (base[0] != '\0' && n >= 0 && n < GUARD_TREE_SIZE - 64 &&
	    (mkdir(path, 0755) == 0 ||
		/* An empty one is a leftover; one with processes is somebody
	         * else's. */
		(errno == EEXIST && rmdir(path) == 0 &&
		    mkdir(path, 0755) == 0)))
		return true;
	path[0] = '\0';
	return false;
}

static bool write_number(const char *dir, const char *name, uint64_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	return write_in(dir, name, text);
}

void cgroup_limit(const char *dir, const struct cgroup_limits *limits,
    struct cgroup_limits *kept)
{
	if (limits->memory > 0 &&
	    (write_number(dir, "memory.max", limits->memory) ||
		write_number(dir, "memory.limit_in_bytes", limits->memory))) {
		kept->memory = limits->memory;
		/* No way out by swapping, where that is counted at all; and the
		 * kernel ends all of a script, not only its largest part. */
		if (!write_in(dir, "memory.swap.max", "0"))
			(void)write_number(
			    dir, "memory.memsw.limit_in_bytes", limits->memory);
		(void)write_in(dir, "memory.oom.group", "1");
	}
	if (limits->processes > 0 &&
	    write_number(dir, "pids.max", limits->processes))
		kept->processes = limits->processes;
}

static bool keeps(
    const struct cgroup_limits *kept, const struct cgroup_limits *limits)
{
	return kept->memory == limits->memory &&
	       kept->processes == limits->processes;
}

/* Groups beneath it can have limits, if the kernel and its owner let us. */
static void delegate(const char *dir)
{
	(void)write_in(dir, "cgroup.subtree_control", "+memory");
	(void)write_in(dir, "cgroup.subtree_control", "+pids");
}

/* Where the group of a script with limits may be; "": no such place. */
static void limited_base(
    int which, const char *own, const char *top, char out[OWN_SIZE])
{
	static const char agent[] = "/" CGROUP_AGENT;
	size_t len = strlen(own);
	int n = 0;

	out[0] = '\0';
	if (which == 0 && len >= sizeof(agent) &&
	    strcmp(own + len - (sizeof(agent) - 1), agent) == 0)
		n = snprintf(out, OWN_SIZE, "%.*s",
		    (int)(len - (sizeof(agent) - 1)), own);
	else if (which == 1)
		n = snprintf(out, OWN_SIZE, "%s", own);
	else if (which == 2 && top[0] != '\0' &&
		 file_in(top, CGROUP_SCRIPTS, out, OWN_SIZE)) {
		delegate(top);
		(void)mkdir(out, 0755);
	}
	if (n < 0 || n >= OWN_SIZE)
		out[0] = '\0';
}

static void make_unified(struct cgroup *c, const struct own *o,
    const char *name, const struct cgroup_limits *limits,
    struct cgroup_limits *kept)
{
	char own[OWN_SIZE], top[OWN_SIZE], base[OWN_SIZE];
	char *path = c->path[TREE_UNIFIED];

	own_dir(o, TREE_UNIFIED, own, top);
	for (int which = 0; which < 3 && !keeps(kept, limits); which++) {
		struct cgroup_limits now = *kept;

		limited_base(which, own, top, base);
		if (base[0] == '\0')
			continue;
		delegate(base);
		if (!make_in(base, name, path))
			continue;
		cgroup_limit(path, limits, &now);
		if (keeps(&now, limits)) {
			*kept = now;
			return;
		}
		(void)rmdir(path);
	}
	(void)make_in(own, name, path);
}

static uint64_t oom_of_machine(void)
{
	char *text = read_whole("/proc/vmstat", 65536);
	uint64_t n = 0;

	if (text == NULL || !number_after(text, "oom_kill", &n))
		n = 0;
	free(text);
	return n;
}

static void make_other(struct cgroup *c, const struct own *o, enum tree tree,
    const char *name, const struct cgroup_limits *limits,
    struct cgroup_limits *kept)
{
	char own[OWN_SIZE], top[OWN_SIZE];

	own_dir(o, tree, own, top);
	if (make_in(own, name, c->path[tree]))
		cgroup_limit(c->path[tree], limits, kept);
}

/* All in it are killed at once: nobody need keep them from multiplying. */
static bool kills_at_once(const struct cgroup *c)
{
	char path[GUARD_TREE_SIZE + 64];

	return file_in(
		   c->path[TREE_UNIFIED], "cgroup.kill", path, sizeof(path)) &&
	       access(path, W_OK) == 0;
}

enum rc cgroup_make(
    struct cgroup *c, const char *name, const struct cgroup_limits *limits)
{
	const bool limited = limits->memory > 0 || limits->processes > 0;
	struct cgroup_limits kept = { 0 };
	uint64_t kills;
	struct own o;

	own_begin(&o);
	make_other(c, &o, TREE_MEMORY, name, limits, &kept);
	if (limited)
		make_other(c, &o, TREE_PIDS, name, limits, &kept);
	make_unified(c, &o, name, limits, &kept);
	if (!limited && !kills_at_once(c))
		make_other(c, &o, TREE_PIDS, name, limits, &kept);
	own_end(&o);
	if (!cgroup_oom_kills(c, &kills))
		c->oom_before = oom_of_machine();
	return keeps(&kept, limits) ? RC_OK : RC_DENIED;
}

enum rc cgroup_enter(const struct cgroup *c)
{
	enum rc rc = RC_OK;

	for (int i = 0; i < GUARD_TREES; i++) {
		if (c->path[i][0] != '\0' &&
		    !write_in(c->path[i], "cgroup.procs", "0"))
			rc = RC_DENIED;
	}
	return rc;
}

static bool tree_is_populated(const char *path)
{
	char *events = read_in(path, "cgroup.events", 4096);
	uint64_t populated = 0;
	bool told =
	    events != NULL && number_after(events, "populated", &populated);
	char *procs = told ? NULL : read_in(path, "cgroup.procs", 32);

	/* Only version 2 tells, and of groups beneath it too. */
	if (procs != NULL && procs[0] >= '0' && procs[0] <= '9')
		populated = 1;
	free(events);
	free(procs);
	return populated != 0;
}

bool cgroup_is_populated(const struct cgroup *c)
{
	for (int i = 0; i < GUARD_TREES; i++) {
		if (tree_is_populated(c->path[i]))
			return true;
	}
	return false;
}

static bool lists(const char *procs, pid_t pid)
{
	for (const char *at = procs; at != NULL && *at != '\0';) {
		if (strtol(at, NULL, 10) == pid)
			return true;
		at = strchr(at, '\n');
		if (at != NULL)
			at++;
	}
	return false;
}

/* It is in the group before and after a pidfd holds it: no stranger. */
static void kill_member(const char *path, pid_t pid)
{
	int fd = pidfd_open(pid, 0);
	char *again;

	if (fd < 0)
		return;
	again = read_in(path, "cgroup.procs", PROCS_MAX);
	if (again != NULL && lists(again, pid))
		(void)pidfd_send_signal(fd, SIGKILL, NULL, 0);
	free(again);
	(void)close(fd);
}

static unsigned kill_tree(const char *path)
{
	char *procs = read_in(path, "cgroup.procs", PROCS_MAX);
	unsigned count = 0;
	bool at_once = procs != NULL && procs[0] != '\0' &&
	               write_in(path, "cgroup.kill", "1");

	for (const char *at = procs; at != NULL && *at >= '0' && *at <= '9';) {
		pid_t pid = (pid_t)strtol(at, NULL, 10);

		count++;
		if (!at_once && pid > 1 && pid != getpid())
			kill_member(path, pid);
		at = strchr(at, '\n');
		if (at != NULL)
			at++;
	}
	free(procs);
	return count;
}

unsigned cgroup_kill(const struct cgroup *c)
{
	unsigned count = 0;

	/* One by one would not keep up with those that only multiply. */
	for (int i = 0; i < GUARD_TREES; i++)
		(void)write_in(c->path[i], "pids.max", "0");
	for (int i = 0; i < GUARD_TREES; i++)
		count += kill_tree(c->path[i]);
	return count;
}

/* The number behind key in a file of the first group that has it. */
static bool first_number(
    const struct cgroup *c, const char *file, const char *key, uint64_t *out)
{
	bool told = false;

	for (int i = 0; i < GUARD_TREES && !told; i++) {
		char *text = read_in(c->path[i], file, 4096);

		told = text != NULL && number_after(text, key, out);
		free(text);
	}
	return told;
}

bool cgroup_oom_kills(const struct cgroup *c, uint64_t *out)
{
	return first_number(c, "memory.events", "oom_kill", out) ||
	       first_number(c, "memory.oom_control", "oom_kill", out);
}

uint64_t cgroup_oom_kills_around(const struct cgroup *c)
{
	uint64_t all = oom_of_machine();

	return all > c->oom_before ? all - c->oom_before : 0;
}

uint64_t cgroup_forks_refused(const struct cgroup *c)
{
	uint64_t n = 0;

	return first_number(c, "pids.events", "max", &n) ? n : 0;
}

void cgroup_remove(const struct cgroup *c)
{
	for (int i = 0; i < GUARD_TREES; i++) {
		/* What has processes in it refuses; a later run tries again. */
		if (c->path[i][0] != '\0')
			(void)rmdir(c->path[i]);
	}
}

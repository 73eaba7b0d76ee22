/* Scripts that run as another user than we. */
#include "tentacle/run_base.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_MAX 65536 /* bytes of a user's record */

/* --- Who ---------------------------------------------------------------- */

static enum rc find_groups(
    const struct passwd *pw, struct run_user *out, struct fault *fault)
{
	gid_t groups[GUARD_GROUPS_MAX];
	int count = GUARD_GROUPS_MAX;

	if (getgrouplist(pw->pw_name, pw->pw_gid, groups, &count) < 0) {
		fault_set(fault, REASON_TOO_MANY, "",
		    "user %s is in more than %d groups", out->name,
		    GUARD_GROUPS_MAX);
		return RC_LIMIT;
	}
	out->group_count = (size_t)count;
	for (int i = 0; i < count; i++)
		out->groups[i] = groups[i];
	return RC_OK;
}

static enum rc take_record(
    const struct passwd *pw, struct run_user *out, struct fault *fault)
{
	out->uid = pw->pw_uid;
	out->gid = pw->pw_gid;
	(void)snprintf(out->home, sizeof(out->home), "%s",
	    pw->pw_dir[0] == '/' ? pw->pw_dir : "/");
	if (pw->pw_uid == geteuid())
		return RC_OK;
	if (geteuid() != 0) {
		fault_set(fault, REASON_NOT_PERMITTED, "",
		    "this tentacle is not root, so it cannot run a script as "
		    "user %s, only as it runs itself (uid %u)",
		    out->name, (unsigned)geteuid());
		return RC_DENIED;
	}
	out->other = true;
	return find_groups(pw, out, fault);
}

enum rc run_user_find(
    const char *name, struct run_user *out, struct fault *fault)
{
	struct passwd pw, *found = NULL;
	enum rc rc;
	char *text;
	int err;

	*out = (struct run_user){ .other = false };
	if (name == NULL || name[0] == '\0')
		return RC_OK;
	(void)snprintf(out->name, sizeof(out->name), "%s", name);
	text = malloc(RECORD_MAX);
	if (text == NULL)
		return RC_NOMEM;
	err = getpwnam_r(out->name, &pw, text, RECORD_MAX, &found);
	if (found != NULL) {
		rc = take_record(found, out, fault);
	} else {
		rc = RC_NOTFOUND;
		fault_set(fault, REASON_NOT_FOUND, "",
		    "there is no user '%s' on this machine%s%s", out->name,
		    err != 0 ? ": " : "", err != 0 ? strerrordesc_np(err) : "");
	}
	free(text);
	return rc;
}

/* --- The directory of its own ------------------------------------------- */

enum rc run_user_places(const struct run_spec *spec,
    const struct run_user *user, struct run_places *out)
{
	const char *dir = user->other ? spec->world : spec->dir;
	char name[NAME_SIZE];
	enum rc rc;

	(void)snprintf(
	    name, sizeof(name), "%s%.60s", user->other ? "." : "", spec->name);
	rc = fs_join(out->script, sizeof(out->script), dir, name);
	if (rc == RC_OK)
		rc = fs_join(out->secrets, sizeof(out->secrets), dir,
		    user->other ? ".secrets" : "secrets");
	if (user->other)
		(void)snprintf(out->work, sizeof(out->work), "%s", dir);
	else if (rc == RC_OK)
		rc = fs_join(out->work, sizeof(out->work), dir, RUN_WORK);
	return rc;
}

/* The owner may write there, so a link may wait for us: follow none.  Synced,
 * or after a power loss an empty file would be run, and "succeed". */
static enum rc give_file(
    const struct run_user *user, int dir, const char *name, struct bytes body)
{
	mode_t mode = S_IRUSR | S_IXUSR;
	enum rc rc;
	int fd;

	if (unlinkat(dir, name, 0) != 0 && errno != ENOENT)
		return RC_IO;
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return RC_IO;
	rc = fs_write_all(fd, body.p, body.len);
	if (rc == RC_OK &&
	    (fchmod(fd, mode) != 0 ||
		fchown(fd, (uid_t)user->uid, (gid_t)user->gid) != 0 ||
		fsync(fd) != 0))
		rc = RC_IO;
	(void)close(fd);
	return rc;
}

static int give_dir(const struct run_user *user, int parent, const char *name)
{
	int fd;

	if (mkdirat(parent, name, 0700) != 0 && errno != EEXIST)
		return -1;
	fd = openat(
	    parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && (fchown(fd, (uid_t)user->uid, (gid_t)user->gid) != 0 ||
			   fchmod(fd, 0700) != 0)) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

static enum rc give_secrets(
    const struct run_spec *spec, const struct run_user *user, int world)
{
	char name[VARIABLE_SIZE];
	enum rc rc = RC_OK;
	int dir = give_dir(user, world, ".secrets");

	if (dir < 0)
		return RC_IO;
	for (size_t i = 0; rc == RC_OK && i < spec->secret_count; i++) {
		const struct msg_pair *s = &spec->secrets[i];

		(void)snprintf(name, sizeof(name), "%.*s", (int)s->name.len,
		    (const char *)s->name.p);
		rc = give_file(user, dir, name, s->value);
	}
	if (rc == RC_OK && fsync(dir) != 0)
		rc = RC_IO;
	(void)close(dir);
	return rc;
}

/* Those that are missing, open to all: packages will be installed there. */
static void make_above(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash != NULL;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0755) == 0 && chmod(path, 0755) != 0)
			errno = 0;
		*slash = '/';
	}
}

/* The place of all worlds can be passed, and not be listed. */
static int open_parent(const char *world, const char **name)
{
	char parent[FS_PATH_MAX];
	const char *slash = strrchr(world, '/');
	size_t len = slash != NULL ? (size_t)(slash - world) : 0;

	if (len == 0 || len >= sizeof(parent)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(parent, world, len);
	parent[len] = '\0';
	*name = slash + 1;
	make_above(parent);
	if (mkdir(parent, 0711) == 0 && chmod(parent, 0711) != 0)
		return -1;
	return open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

enum rc run_user_prepare(const struct run_spec *spec,
    const struct run_user *user, struct fault *fault)
{
	const char *name = NULL;
	char file[NAME_SIZE];
	enum rc rc = RC_IO;
	int parent = -1, world = -1;

	if (!user->other)
		return RC_OK;
	(void)snprintf(file, sizeof(file), ".%.60s", spec->name);
	parent = open_parent(spec->world, &name);
	if (parent >= 0)
		world = give_dir(user, parent, name);
	if (world >= 0)
		rc = give_file(user, world, file, spec->body);
	if (rc == RC_OK)
		rc = give_secrets(spec, user, world);
	if (rc == RC_OK && (fsync(world) != 0 || fsync(parent) != 0))
		rc = RC_IO;
	if (rc != RC_OK)
		fault_set(fault, REASON_INTERNAL, "",
		    "%s: cannot be made for user %s: %s", spec->world,
		    user->name, strerrordesc_np(errno));
	if (world >= 0)
		(void)close(world);
	if (parent >= 0)
		(void)close(parent);
	return rc;
}

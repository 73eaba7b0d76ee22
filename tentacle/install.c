#include "tentacle/install.h"

#include "common/fs.h"
#include "proto/name.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TREE_SIZE (NAME_SIZE + 24) /* VERSION-DEPLOYMENT */
#define LINK_SIZE (TREE_SIZE + 16) /* versions/... */
#define VERSIONS  "versions"
#define BUILDING  ".building-" /* names of unfinished trees */

struct install {
	char base[FS_PATH_MAX]; /* APPS/PROJECT/PACKAGE */
	char tree[TREE_SIZE];
	char building[TREE_SIZE + sizeof(BUILDING)];
	char dir[FS_PATH_MAX];
	char previous_dir[FS_PATH_MAX];
	char previous[LINK_SIZE]; /* as the link says; "": none */
	bool live;
	int base_fd, versions_fd;
};

static enum rc io_fault(
    struct fault *fault, const char *where, const char *what)
{
	int err = errno;

	fault_set(fault,
	    err == ENOSPC || err == EDQUOT ? REASON_NO_SPACE : REASON_INTERNAL,
	    "", "%.120s: cannot %s: %s", where, what, strerrordesc_np(err));
	errno = err;
	return RC_IO;
}

/* --- Opening ------------------------------------------------------------ */

static enum rc check_id(const struct install_id *id, struct fault *fault)
{
	enum rc rc = name_check("project", id->project, fault);

	if (rc == RC_OK)
		rc = name_check("package", id->package, fault);
	if (rc == RC_OK && !version_is_valid(id->version)) {
		fault_set(fault, REASON_BAD_PACKAGE, "",
		    "the version of package %s is not valid", id->package);
		rc = RC_PROTO;
	}
	return rc;
}

/* A directory that others may pass, and its descriptor. */
static enum rc open_dir(int at, const char *name, int *out)
{
	bool made = mkdirat(at, name, 0755) == 0;
	int fd;

	if (!made && errno != EEXIST)
		return RC_IO;
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return RC_IO;
	if (made && fchmod(fd, 0755) != 0) {
		(void)close(fd);
		return RC_IO;
	}
	*out = fd;
	return RC_OK;
}

static enum rc open_dirs(
    struct install *i, const char *apps, const struct install_id *id)
{
	int top = open(apps, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int project = -1;
	enum rc rc = RC_IO;

	if (top < 0 && errno == ENOENT && mkdir(apps, 0755) == 0 &&
	    chmod(apps, 0755) == 0)
		top = open(apps, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top >= 0)
		rc = open_dir(top, id->project, &project);
	if (rc == RC_OK)
		rc = open_dir(project, id->package, &i->base_fd);
	if (rc == RC_OK)
		rc = open_dir(i->base_fd, VERSIONS, &i->versions_fd);
	if (project >= 0)
		(void)close(project);
	if (top >= 0)
		(void)close(top);
	return rc;
}

/* "" when there is no such link, or it is not one of ours. */
static void read_link(int base_fd, const char *name, char out[LINK_SIZE])
{
	ssize_t n = readlinkat(base_fd, name, out, LINK_SIZE - 1);

	out[n > 0 ? n : 0] = '\0';
	if (strncmp(out, VERSIONS "/", sizeof(VERSIONS)) != 0 ||
	    strchr(out + sizeof(VERSIONS), '/') != NULL)
		out[0] = '\0';
}

static void find_previous(struct install *i)
{
	char live[LINK_SIZE];

	read_link(i->base_fd, "current", live);
	i->live = strcmp(live + (live[0] != '\0' ? sizeof(VERSIONS) : 0),
		      i->tree) == 0;
	if (i->live)
		read_link(i->base_fd, "previous", i->previous);
	else
		memcpy(i->previous, live, sizeof(live));
	i->previous_dir[0] = '\0';
	if (i->previous[0] != '\0' &&
	    fs_join(i->previous_dir, sizeof(i->previous_dir), i->base,
		i->previous) != RC_OK)
		i->previous_dir[0] = '\0';
}

static enum rc make_paths(
    struct install *i, const char *apps, const struct install_id *id)
{
	int n = snprintf(i->base, sizeof(i->base), "%s/%s/%s", apps,
	    id->project, id->package);

	(void)snprintf(i->tree, sizeof(i->tree), "%s-%llu", id->version,
	    (unsigned long long)id->deployment);
	(void)snprintf(
	    i->building, sizeof(i->building), BUILDING "%s", i->tree);
	/* Room for the tree's name behind it. */
	if (n < 0 || (size_t)n + LINK_SIZE + 2 > sizeof(i->base))
		return RC_LIMIT;
	return snprintf(i->dir, sizeof(i->dir), "%s/" VERSIONS "/%s", i->base,
		   i->tree) < (int)sizeof(i->dir)
	           ? RC_OK
	           : RC_LIMIT;
}

enum rc install_open(const char *apps, const struct install_id *id,
    struct install **out, struct fault *fault)
{
	struct install *i;
	enum rc rc = check_id(id, fault);

	if (rc != RC_OK)
		return rc;
	i = calloc(1, sizeof(*i));
	if (i == NULL)
		return RC_NOMEM;
	i->base_fd = i->versions_fd = -1;
	rc = make_paths(i, apps, id);
	if (rc == RC_OK)
		rc = open_dirs(i, apps, id);
	if (rc != RC_OK) {
		if (rc == RC_IO)
			(void)io_fault(fault, i->base, "open");
		install_close(i);
		return rc;
	}
	find_previous(i);
	*out = i;
	return RC_OK;
}

void install_close(struct install *i)
{
	if (i == NULL)
		return;
	if (i->versions_fd >= 0)
		(void)close(i->versions_fd);
	if (i->base_fd >= 0)
		(void)close(i->base_fd);
	free(i);
}

const char *install_dir(const struct install *i)
{
	return i->dir;
}

const char *install_previous_dir(const struct install *i)
{
	return i->previous_dir;
}

/* --- Building ----------------------------------------------------------- */

static enum rc clear_old(struct install *i, struct fault *fault)
{
	enum rc rc = fs_remove_tree(i->versions_fd, i->building, fault);

	if (rc == RC_OK)
		rc = fs_remove_tree(i->versions_fd, i->tree, fault);
	return rc;
}

enum rc install_build(struct install *i, const struct install_source *from,
    struct unpack_report *report, struct fault *fault)
{
	size_t configured;
	int fd = -1;
	enum rc rc;

	*report = (struct unpack_report){ .kind = UNPACK_PLAIN };
	if (i->live)
		return RC_OK;
	rc = clear_old(i, fault);
	if (rc != RC_OK)
		return rc;
	if (open_dir(i->versions_fd, i->building, &fd) != RC_OK)
		return io_fault(fault, i->dir, "create");
	rc = unpack(
	    from->archive_fd, fd, from->limits, from->cancel, report, fault);
	if (rc == RC_OK)
		rc = configure_tree(fd, from->patterns, from->pattern_count,
		    from->values, &configured, fault);
	/* All of the tree is on the disk before it has its name. */
	if (rc == RC_OK && syncfs(fd) != 0)
		rc = io_fault(fault, i->dir, "sync");
	(void)close(fd);
	if (rc == RC_OK &&
	    renameat(i->versions_fd, i->building, i->versions_fd, i->tree) != 0)
		rc = io_fault(fault, i->dir, "name");
	if (rc == RC_OK && fsync(i->versions_fd) != 0)
		rc = io_fault(fault, i->dir, "sync");
	if (rc != RC_OK &&
	    fs_remove_tree(i->versions_fd, i->building, NULL) != RC_OK)
		return rc; /* the first fault counts; prune tries again */
	return rc;
}

/* --- Switching ---------------------------------------------------------- */

/* A new link takes the place of the old one in one step. */
static enum rc set_link(
    struct install *i, const char *name, const char *target, struct fault *f)
{
	static const char tmp[] = ".link";

	if (unlinkat(i->base_fd, tmp, 0) != 0 && errno != ENOENT)
		return io_fault(f, i->base, "remove an old link");
	if (symlinkat(target, i->base_fd, tmp) != 0 ||
	    renameat(i->base_fd, tmp, i->base_fd, name) != 0)
		return io_fault(f, i->base, "set a link");
	if (fsync(i->base_fd) != 0)
		return io_fault(f, i->base, "sync");
	return RC_OK;
}

enum rc install_switch(struct install *i, struct fault *fault)
{
	char target[LINK_SIZE];
	struct stat st;
	enum rc rc = RC_OK;

	if (fstatat(i->versions_fd, i->tree, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
	    !S_ISDIR(st.st_mode)) {
		fault_set(fault, REASON_NOT_FOUND, "",
		    "%.150s is not there any more", i->dir);
		return RC_NOTFOUND;
	}
	if (i->live)
		return RC_OK;
	if (i->previous[0] != '\0')
		rc = set_link(i, "previous", i->previous, fault);
	(void)snprintf(target, sizeof(target), VERSIONS "/%s", i->tree);
	if (rc == RC_OK)
		rc = set_link(i, "current", target, fault);
	if (rc == RC_OK)
		i->live = true;
	return rc;
}

enum rc install_switch_back(struct install *i, struct fault *fault)
{
	if (i->previous[0] != '\0') {
		enum rc rc = set_link(i, "current", i->previous, fault);

		if (rc != RC_OK)
			return rc;
	} else {
		if (unlinkat(i->base_fd, "current", 0) != 0 && errno != ENOENT)
			return io_fault(fault, i->base, "remove the link");
		if (fsync(i->base_fd) != 0)
			return io_fault(fault, i->base, "sync");
	}
	i->live = false;
	return RC_OK;
}

/* --- Pruning ------------------------------------------------------------ */

static unsigned long long deployment_of(const char *tree)
{
	const char *dash = strrchr(tree, '-');

	return dash != NULL ? strtoull(dash + 1, NULL, 10) : 0;
}

static int newest_first(const struct dirent **a, const struct dirent **b)
{
	unsigned long long x = deployment_of((*a)->d_name);
	unsigned long long y = deployment_of((*b)->d_name);

	if (x != y)
		return x < y ? 1 : -1;
	return strcmp((*b)->d_name, (*a)->d_name);
}

static int is_entry(const struct dirent *d)
{
	return strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
}

static bool is_linked(const char *link, const char *tree)
{
	return link[0] != '\0' && strcmp(link + sizeof(VERSIONS), tree) == 0;
}

/* Is this one to go?  Counts those that are kept. */
static bool is_surplus(const char *tree, const char *live, const char *previous,
    uint32_t keep, uint32_t *kept)
{
	if (is_linked(live, tree))
		return false;
	if (tree[0] == '.')
		return true; /* unfinished, of a crash */
	if (*kept < keep) {
		(*kept)++;
		return false;
	}
	return !is_linked(previous, tree);
}

enum rc install_prune(struct install *i, uint32_t keep, struct fault *fault)
{
	char live[LINK_SIZE], previous[LINK_SIZE];
	struct dirent **names = NULL;
	uint32_t kept = 0;
	enum rc rc = RC_OK;
	int count =
	    scandirat(i->versions_fd, ".", &names, is_entry, newest_first);

	if (count < 0)
		return io_fault(fault, i->base, "read the directory");
	read_link(i->base_fd, "current", live);
	read_link(i->base_fd, "previous", previous);
	for (int n = 0; n < count; n++) {
		const char *tree = names[n]->d_name;

		if (rc == RC_OK &&
		    is_surplus(tree, live, previous, keep, &kept))
			rc = fs_remove_tree(i->versions_fd, tree, fault);
		free(names[n]);
	}
	free(names);
	return rc;
}

enum rc install_live_dir(const char *apps, const char *project,
    const char *package, char *out, size_t size, struct fault *fault)
{
	char base[FS_PATH_MAX], live[LINK_SIZE] = "";
	int fd;

	if (!name_is_valid(project) || !name_is_valid(package) ||
	    snprintf(base, sizeof(base), "%s/%s/%s", apps, project, package) >=
		(int)sizeof(base))
		return RC_LIMIT;
	fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		read_link(fd, "current", live);
		(void)close(fd);
	}
	if (live[0] == '\0') {
		fault_set(fault, REASON_NOT_FOUND, "",
		    "no version of package %s of project %s is live on this "
		    "machine",
		    package, project);
		return RC_NOTFOUND;
	}
	return fs_join(out, size, base, live);
}

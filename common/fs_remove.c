/*
 * Removing a tree that somebody else may be changing meanwhile.  Every step is
 * relative to an open directory and refuses to follow links, so the worst that
 * a race gives is an error.  No recursion: the tree's depth is not ours.  What
 * is deeper than a number of open directories is moved up, beneath the top of
 * the tree.
 */
#include "common/fs.h"

#include "common/random.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX    64 /* open directories at a time */
#define SUFFIX_BYTES 8

struct level {
	DIR *dir;
	char *name; /* within the level above */
};

struct removal {
	int root_fd;
	dev_t device;
	struct level *levels;
	size_t depth, size;
	bool moved;       /* something came up since the top was read */
	uint64_t *budget; /* entries; NULL: no bound */
};

static int fd_above(const struct removal *r)
{
	return r->depth == 0 ? r->root_fd : dirfd(r->levels[r->depth - 1].dir);
}

static enum rc make_room(struct removal *r)
{
	size_t size = r->size == 0 ? 8 : 2 * r->size;
	struct level *levels;

	if (r->depth < r->size)
		return RC_OK;
	levels = realloc(r->levels, size * sizeof(*levels));
	if (levels == NULL)
		return RC_NOMEM;
	r->levels = levels;
	r->size = size;
	return RC_OK;
}

/* It will be found again when the top is read anew. */
static enum rc move_up(struct removal *r, const char *name)
{
	char suffix[2 * SUFFIX_BYTES + 1], to[32];

	random_hex(suffix, SUFFIX_BYTES);
	(void)snprintf(to, sizeof(to), ".up-%s", suffix);
	if (renameat(fd_above(r), name, dirfd(r->levels[0].dir), to) != 0)
		return errno == ENOENT ? RC_OK : RC_IO;
	r->moved = true;
	return RC_OK;
}

static enum rc open_level(struct removal *r, int fd, const char *name)
{
	enum rc rc = make_room(r);
	struct level level = { 0 };

	if (rc != RC_OK) {
		(void)close(fd);
		return rc;
	}
	level.name = strdup(name);
	level.dir = fdopendir(fd);
	if (level.name == NULL || level.dir == NULL) {
		free(level.name);
		if (level.dir != NULL)
			(void)closedir(level.dir);
		else
			(void)close(fd);
		return RC_NOMEM;
	}
	r->levels[r->depth++] = level;
	return RC_OK;
}

/* Remove a file, or go into a directory. */
static enum rc remove_entry(struct removal *r, const char *name)
{
	int above = fd_above(r);
	struct stat st;
	int fd;

	if (unlinkat(above, name, 0) == 0 || errno == ENOENT)
		return RC_OK;
	if (errno != EISDIR && errno != EPERM)
		return RC_IO;
	if (fstatat(above, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return RC_IO;
	if (!S_ISDIR(st.st_mode) || (r->depth > 0 && st.st_dev != r->device)) {
		errno = S_ISDIR(st.st_mode) ? EXDEV : EPERM;
		return RC_IO;
	}
	r->device = st.st_dev;
	if (r->depth == DEPTH_MAX)
		return move_up(r, name);
	/* A package may hold directories without the right to write. */
	if ((st.st_mode & 0700) != 0700 &&
	    fchmodat(above, name, 0700, AT_SYMLINK_NOFOLLOW) != 0)
		return RC_IO;
	fd = openat(
	    above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? RC_IO : open_level(r, fd, name);
}

static void close_level(struct removal *r)
{
	r->depth--;
	(void)closedir(r->levels[r->depth].dir);
	free(r->levels[r->depth].name);
}

/* The innermost directory was read to its end: remove it. */
static enum rc leave_level(struct removal *r)
{
	struct level *level = &r->levels[r->depth - 1];
	int above =
	    r->depth == 1 ? r->root_fd : dirfd(r->levels[r->depth - 2].dir);
	enum rc rc = RC_OK;

	if (r->depth == 1 && r->moved) {
		r->moved = false;
		rewinddir(level->dir);
		return RC_OK;
	}
	if (unlinkat(above, level->name, AT_REMOVEDIR) != 0 &&
	    errno != ENOENT) {
		/* Somebody fills it meanwhile: only a budget ends that. */
		if (errno == ENOTEMPTY && r->budget != NULL) {
			rewinddir(level->dir);
			return RC_OK;
		}
		rc = RC_IO;
	}
	close_level(r);
	return rc;
}

static enum rc next_step(struct removal *r)
{
	struct level *level = &r->levels[r->depth - 1];
	const struct dirent *entry;

	if (r->budget != NULL) {
		if (*r->budget == 0)
			return RC_AGAIN;
		(*r->budget)--;
	}
	errno = 0;
	entry = readdir(level->dir); /* NOLINT: one thread owns this stream */
	if (entry == NULL)
		return errno != 0 ? RC_IO : leave_level(r);
	if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
		return RC_OK;
	return remove_entry(r, entry->d_name);
}

static enum rc remove_all(
    struct removal *r, const char *name, struct fault *fault)
{
	int error;
	enum rc rc;

	if (*name == '\0' || strchr(name, '/') != NULL ||
	    strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		fault_set(fault, REASON_INTERNAL, "",
		    "not a name within a directory: '%s'", name);
		return RC_DENIED;
	}
	rc = remove_entry(r, name);
	while (rc == RC_OK && r->depth > 0)
		rc = next_step(r);
	error = errno;
	if (rc != RC_OK && rc != RC_AGAIN)
		fault_set(fault, REASON_INTERNAL, "",
		    "cannot remove %s (at %s): %s", name,
		    r->depth > 0 ? r->levels[r->depth - 1].name : name,
		    rc == RC_IO ? strerrordesc_np(error) : rc_name(rc));
	while (r->depth > 0)
		close_level(r);
	free(r->levels);
	errno = error;
	return rc;
}

enum rc fs_remove_tree(int dir_fd, const char *name, struct fault *fault)
{
	struct removal r = { .root_fd = dir_fd };

	return remove_all(&r, name, fault);
}

enum rc fs_remove_some(
    int dir_fd, const char *name, uint64_t *budget, struct fault *fault)
{
	struct removal r = { .root_fd = dir_fd, .budget = budget };

	return remove_all(&r, name, fault);
}

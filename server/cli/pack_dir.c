#include "server/cli/pack_dir.h"

#include "common/xalloc.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MTIME 946684800 /* 2000-01-01: some programs dislike 1970 */

struct packer {
	struct archive *archive;
	struct fault *fault;
	uint32_t entries;
	uint8_t *buffer;
};

#define BUFFER (128u << 10)

static enum rc failed(struct packer *p, const char *path)
{
	fault_set(p->fault, REASON_BAD_PACKAGE, "", "%.180s: %s", path,
	    strerrordesc_np(errno));
	return RC_IO;
}

static enum rc archive_failed(struct packer *p, const char *path)
{
	const char *text = archive_error_string(p->archive);

	fault_set(p->fault, REASON_BAD_PACKAGE, "", "%.150s: %.80s", path,
	    text != NULL ? text : "cannot be packed");
	return RC_IO;
}

static enum rc write_content(
    struct packer *p, int fd, const char *path, uint64_t size)
{
	while (size > 0) {
		size_t want = size < BUFFER ? (size_t)size : BUFFER;
		ssize_t n = read(fd, p->buffer, want);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(p, path);
		if (n == 0) {
			fault_set(p->fault, REASON_BAD_PACKAGE, "",
			    "%.180s changed while it was packed", path);
			return RC_STATE;
		}
		if (archive_write_data(p->archive, p->buffer, (size_t)n) != n)
			return archive_failed(p, path);
		size -= (uint64_t)n;
	}
	return RC_OK;
}

static enum rc write_link(struct packer *p, struct archive_entry *entry,
    int dir_fd, const char *name, const char *path)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dir_fd, name, target, sizeof(target) - 1);

	if (n < 0)
		return failed(p, path);
	target[n] = '\0';
	archive_entry_set_filetype(entry, AE_IFLNK);
	archive_entry_set_perm(entry, 0777);
	archive_entry_set_symlink(entry, target);
	return archive_write_header(p->archive, entry) == ARCHIVE_OK
	           ? RC_OK
	           : archive_failed(p, path);
}

static enum rc write_file(struct packer *p, struct archive_entry *entry,
    int dir_fd, const char *name, const char *path)
{
	struct stat st;
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	enum rc rc = RC_OK;

	if (fd < 0 || fstat(fd, &st) != 0) {
		rc = failed(p, path);
		goto out;
	}
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, (st.st_mode & 0111) != 0 ? 0755 : 0644);
	archive_entry_set_size(entry, st.st_size);
	if (archive_write_header(p->archive, entry) != ARCHIVE_OK)
		rc = archive_failed(p, path);
	else
		rc = write_content(p, fd, path, (uint64_t)st.st_size);
out:
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

static int is_named(const struct dirent *d)
{
	return strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
}

/* By bytes, whatever the locale says. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static enum rc pack_entries(
    struct packer *p, int dir_fd, const char *prefix, unsigned depth);

/* NOLINTNEXTLINE(misc-no-recursion): PACK_DEPTH_MAX bounds it */
static enum rc pack_sub(struct packer *p, struct archive_entry *entry,
    int dir_fd, const char *name, const char *path, unsigned depth)
{
	int fd = openat(
	    dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	enum rc rc;

	if (fd < 0)
		return failed(p, path);
	archive_entry_set_filetype(entry, AE_IFDIR);
	archive_entry_set_perm(entry, 0755);
	if (archive_write_header(p->archive, entry) != ARCHIVE_OK)
		rc = archive_failed(p, path);
	else
		rc = pack_entries(p, fd, path, depth + 1);
	(void)close(fd);
	return rc;
}

/* NOLINTNEXTLINE(misc-no-recursion): PACK_DEPTH_MAX bounds it */
static enum rc pack_one(struct packer *p, int dir_fd, const char *name,
    const char *path, unsigned depth)
{
	struct archive_entry *entry = archive_entry_new();
	struct stat st;
	enum rc rc;

	if (entry == NULL)
		return RC_NOMEM;
	archive_entry_set_pathname(entry, path);
	archive_entry_set_mtime(entry, MTIME, 0);
	archive_entry_set_uid(entry, 0);
	archive_entry_set_gid(entry, 0);
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
		rc = failed(p, path);
	} else if (++p->entries > PACK_ENTRIES_MAX) {
		fault_set(p->fault, REASON_TOO_MANY, "", "over %u files",
		    PACK_ENTRIES_MAX);
		rc = RC_LIMIT;
	} else if (S_ISDIR(st.st_mode)) {
		rc = pack_sub(p, entry, dir_fd, name, path, depth);
	} else if (S_ISREG(st.st_mode)) {
		rc = write_file(p, entry, dir_fd, name, path);
	} else if (S_ISLNK(st.st_mode)) {
		rc = write_link(p, entry, dir_fd, name, path);
	} else {
		fault_set(p->fault, REASON_BAD_PACKAGE, "",
		    "%.180s is neither file, directory nor link", path);
		rc = RC_PROTO;
	}
	archive_entry_free(entry);
	return rc;
}

/* NOLINTNEXTLINE(misc-no-recursion): PACK_DEPTH_MAX bounds it */
static enum rc pack_entries(
    struct packer *p, int dir_fd, const char *prefix, unsigned depth)
{
	struct dirent **names = NULL;
	int count = -1;
	enum rc rc = RC_OK;

	if (depth > PACK_DEPTH_MAX) {
		fault_set(p->fault, REASON_TOO_MANY, "",
		    "%.180s: directories nest deeper than %d", prefix,
		    PACK_DEPTH_MAX);
		return RC_LIMIT;
	}
	count = scandirat(dir_fd, ".", &names, is_named, by_name);
	if (count < 0)
		return failed(p, *prefix != '\0' ? prefix : ".");
	for (int i = 0; i < count; i++) {
		if (rc == RC_OK) {
			char *path = xprintf("%s%s%s", prefix,
			    *prefix != '\0' ? "/" : "", names[i]->d_name);

			rc = pack_one(p, dir_fd, names[i]->d_name, path, depth);
			free(path);
		}
		free(names[i]);
	}
	free((void *)names);
	return rc;
}

static bool open_archive(struct archive *a, int fd)
{
	return archive_write_add_filter_zstd(a) == ARCHIVE_OK &&
	       archive_write_set_filter_option(
		   a, "zstd", "compression-level", "3") == ARCHIVE_OK &&
	       archive_write_set_format_pax_restricted(a) == ARCHIVE_OK &&
	       archive_write_open_fd(a, fd) == ARCHIVE_OK;
}

enum rc pack_dir(const char *dir, int fd, struct fault *fault)
{
	struct packer p = { .archive = archive_write_new(),
		.fault = fault,
		.buffer = malloc(BUFFER) };
	int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum rc rc;

	if (p.archive == NULL || p.buffer == NULL)
		rc = RC_NOMEM;
	else if (dir_fd < 0)
		rc = failed(&p, dir);
	else if (!open_archive(p.archive, fd))
		rc = archive_failed(&p, dir);
	else
		rc = pack_entries(&p, dir_fd, "", 0);
	if (rc == RC_OK && p.entries == 0) {
		fault_set(
		    fault, REASON_BAD_PACKAGE, "", "%.200s is empty", dir);
		rc = RC_PROTO;
	}
	if (rc == RC_OK && archive_write_close(p.archive) != ARCHIVE_OK)
		rc = archive_failed(&p, dir);
	if (p.archive != NULL)
		(void)archive_write_free(p.archive);
	if (dir_fd >= 0)
		(void)close(dir_fd);
	free(p.buffer);
	return rc;
}

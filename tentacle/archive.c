#include "tentacle/archive.h"

#include "common/fs.h"
#include "tentacle/tree.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define READ_BLOCK   65536
#define RATIO_FLOOR  (64ull << 20) /* small packages may compress well */
#define FREE_CHECK   (16ull << 20) /* look at the disk every so many bytes */
#define LINK_MAX_LEN 4096

/* One pass over the archive. */
struct pass {
	struct archive *archive;
	int dir_fd; /* -1: only looks */
	const struct unpack_limits *limits;
	const atomic_bool *cancel;
	struct unpack_report *report;
	struct fault *fault;
	uint64_t claimed;    /* bytes, while only looking */
	uint64_t next_check; /* of the free space, at this many bytes */
	/* What the names look like, for the kind. */
	bool all_in_package, has_package_json, has_content_types, has_nuspec;
};

static enum rc bad(struct pass *p, const char *name, const char *problem)
{
	fault_set(p->fault, REASON_BAD_PACKAGE, "", "entry '%.120s' %s", name,
	    problem);
	return RC_PROTO;
}

static enum rc above(
    struct pass *p, const char *name, const char *what, uint64_t limit)
{
	fault_set(p->fault, REASON_BAD_PACKAGE, "",
	    "entry '%.100s': %s, the limit is %llu", name, what,
	    (unsigned long long)limit);
	return RC_LIMIT;
}

static enum rc io_error(struct pass *p, const char *name, const char *what)
{
	int err = errno;

	fault_set(p->fault,
	    err == ENOSPC || err == EDQUOT ? REASON_NO_SPACE : REASON_INTERNAL,
	    "", "entry '%.100s': cannot %s: %s", name, what,
	    strerrordesc_np(err));
	errno = err;
	return RC_IO;
}

static enum rc library_error(struct pass *p, const char *what)
{
	const char *text = archive_error_string(p->archive);

	fault_set(p->fault, REASON_BAD_PACKAGE, "", "%s: %.150s", what,
	    text != NULL ? text : "unknown reason");
	return RC_PROTO;
}

static enum rc check_cancel(struct pass *p)
{
	if (p->cancel == NULL || !atomic_load(p->cancel))
		return RC_OK;
	fault_set(p->fault, REASON_CANCELLED, "", "unpacking was cancelled");
	return RC_STATE;
}

/* --- Names -------------------------------------------------------------- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* NuGet writes names as URLs.  An escape that is none stays as it is. */
static void decode_percent(char *name)
{
	char *out = name;

	while (*name != '\0') {
		int hi = name[0] == '%' ? hex_digit(name[1]) : -1;
		int lo = hi >= 0 ? hex_digit(name[2]) : -1;

		if (lo >= 0 && hi * 16 + lo > 0) {
			*out++ = (char)(hi * 16 + lo);
			name += 3;
		} else {
			*out++ = *name++;
		}
	}
	*out = '\0';
}

static bool starts_with(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool ends_with(const char *name, const char *suffix)
{
	size_t a = strlen(name), b = strlen(suffix);

	return a >= b && strcmp(name + a - b, suffix) == 0;
}

static bool is_packaging(const char *name)
{
	return strcmp(name, "[Content_Types].xml") == 0 ||
	       strcmp(name, "_rels") == 0 || starts_with(name, "_rels/") ||
	       strcmp(name, "package") == 0 || starts_with(name, "package/");
}

/*
 * The name at which an entry goes, clean and within the limits; "" when the
 * entry is not wanted.
 */
static enum rc place(struct pass *p, const char *raw, char *out)
{
	char name[TREE_NAME_MAX];
	enum tree_name_error error;
	const char *from;
	size_t depth;

	out[0] = '\0';
	if (strlen(raw) >= sizeof(name) || strlen(raw) > p->limits->name_bytes)
		return above(
		    p, raw, "its name is too long", p->limits->name_bytes);
	(void)snprintf(name, sizeof(name), "%s", raw);
	if (p->report->kind == UNPACK_NUPKG)
		decode_percent(name);
	error = tree_clean_name(name, out, TREE_NAME_MAX, &depth);
	if (error == TREE_NAME_EMPTY)
		return RC_OK; /* "./": the directory itself */
	if (error != TREE_NAME_OK) {
		out[0] = '\0';
		return bad(p, raw, tree_name_problem(error));
	}
	if (depth > p->limits->depth)
		return above(p, raw, "it is too deep", p->limits->depth);
	if (p->report->kind == UNPACK_NUPKG && is_packaging(out))
		out[0] = '\0';
	if (p->report->kind == UNPACK_NPM) {
		(void)snprintf(name, sizeof(name), "%s", out);
		from = starts_with(name, "package/") ? name + 8 : "";
		(void)snprintf(out, TREE_NAME_MAX, "%s", from);
	}
	return RC_OK;
}

/* Prefer UTF-8 names; else the bytes as they are. */
static const char *entry_name(struct archive_entry *e)
{
	const char *name = archive_entry_pathname_utf8(e);

	return name != NULL ? name : archive_entry_pathname(e);
}

static const char *entry_symlink(struct archive_entry *e)
{
	const char *target = archive_entry_symlink_utf8(e);

	return target != NULL ? target : archive_entry_symlink(e);
}

static const char *entry_hardlink(struct archive_entry *e)
{
	const char *target = archive_entry_hardlink_utf8(e);

	return target != NULL ? target : archive_entry_hardlink(e);
}

/* --- Limits ------------------------------------------------------------- */

/* Called before `more` bytes go to the disk, or are claimed by an entry. */
static enum rc check_bytes(
    struct pass *p, const char *name, uint64_t so_far, uint64_t more)
{
	const struct unpack_limits *l = p->limits;
	uint64_t packed, total;

	if (so_far > l->total_bytes || more > l->total_bytes - so_far)
		return above(p, name, "more bytes unpacked than allowed",
		    l->total_bytes);
	total = so_far + more;
	packed = (uint64_t)archive_filter_bytes(p->archive, -1);
	if (p->dir_fd >= 0 && total > RATIO_FLOOR &&
	    total / l->ratio > (packed > READ_BLOCK ? packed : READ_BLOCK))
		return above(p, name,
		    "it unpacks to more times its packed size than allowed",
		    l->ratio);
	return RC_OK;
}

static enum rc check_disk(struct pass *p, const char *name, uint64_t need)
{
	struct statvfs fs;
	uint64_t avail;

	if (fstatvfs(p->dir_fd, &fs) != 0)
		return io_error(p, name, "look at the free space");
	avail = (uint64_t)fs.f_bavail * (uint64_t)fs.f_frsize;
	if (avail >= p->limits->keep_free &&
	    avail - p->limits->keep_free >= need)
		return RC_OK;
	fault_set(p->fault, REASON_NO_SPACE, "",
	    "entry '%.80s' needs %llu bytes; %llu are free, of which %llu "
	    "must stay",
	    name, (unsigned long long)need, (unsigned long long)avail,
	    (unsigned long long)p->limits->keep_free);
	return RC_LIMIT;
}

/* --- Entries ------------------------------------------------------------ */

static enum rc open_place(
    struct pass *p, const char *name, int *parent, const char **base)
{
	enum rc rc = tree_open_parent(p->dir_fd, name, true, parent, base);

	if (rc == RC_DENIED)
		return bad(p, name,
		    "passes through a symbolic link or a file that the "
		    "archive put there");
	if (rc != RC_OK)
		return io_error(p, name, "make its directory");
	return RC_OK;
}

/* The next bytes of a file, perhaps after a hole. */
struct block {
	const void *data;
	size_t len;
	la_int64_t offset;
};

/* Count what the file grows by, up to `to`; *end is where it ends. */
static enum rc grow(
    struct pass *p, const char *name, la_int64_t to, uint64_t *end)
{
	enum rc rc;

	if (to < 0 || (uint64_t)to < *end)
		return bad(p, name, "has overlapping data");
	rc = check_bytes(p, name, p->report->bytes, (uint64_t)to - *end);
	if (rc != RC_OK)
		return rc;
	p->report->bytes += (uint64_t)to - *end;
	*end = (uint64_t)to;
	return RC_OK;
}

static enum rc copy_block(struct pass *p, const char *name, int fd,
    const struct block *b, uint64_t *end)
{
	enum rc rc = grow(p, name, b->offset, end);

	if (rc == RC_OK && b->len > INT64_MAX - *end)
		rc = bad(p, name, "claims an impossible size");
	if (rc == RC_OK)
		rc = grow(p, name, b->offset + (la_int64_t)b->len, end);
	if (rc != RC_OK)
		return rc;
	if (p->report->bytes >= p->next_check) {
		p->next_check = p->report->bytes + FREE_CHECK;
		rc = check_disk(p, name, b->len);
		if (rc != RC_OK)
			return rc;
	}
	if (fs_pwrite_all(fd, b->data, b->len, (uint64_t)b->offset) != RC_OK)
		return io_error(p, name, "write");
	return check_cancel(p);
}

/* A hole at the end is told by the offset of the end. */
static enum rc end_data(struct pass *p, const char *name, int fd,
    const struct block *b, uint64_t *end)
{
	enum rc rc;

	if (b->offset <= 0 || (uint64_t)b->offset <= *end)
		return RC_OK;
	rc = grow(p, name, b->offset, end);
	if (rc == RC_OK && ftruncate(fd, b->offset) != 0)
		rc = io_error(p, name, "extend");
	return rc;
}

static enum rc copy_data(struct pass *p, const char *name, int fd)
{
	uint64_t end = 0;
	enum rc rc = RC_OK;

	while (rc == RC_OK) {
		struct block b = { NULL, 0, 0 };
		int got = archive_read_data_block(
		    p->archive, &b.data, &b.len, &b.offset);

		if (got == ARCHIVE_EOF)
			return end_data(p, name, fd, &b, &end);
		rc = got == ARCHIVE_OK ? copy_block(p, name, fd, &b, &end)
		                       : library_error(p, name);
	}
	return rc;
}

static enum rc put_file(struct pass *p, const char *name, mode_t mode)
{
	const char *base;
	int parent = -1, fd = -1;
	enum rc rc = open_place(p, name, &parent, &base);

	if (rc != RC_OK)
		return rc;
	fd = openat(parent, base,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST) {
		rc = bad(p, name, "is there twice");
		goto out;
	}
	if (fd < 0) {
		rc = io_error(p, name, "create");
		goto out;
	}
	rc = copy_data(p, name, fd);
	if (rc == RC_OK && fchmod(fd, (mode & 0755) | 0600) != 0)
		rc = io_error(p, name, "set the mode");
out:
	if (fd >= 0)
		(void)close(fd);
	(void)close(parent);
	return rc;
}

static enum rc put_directory(struct pass *p, const char *name, mode_t mode)
{
	const char *base;
	struct stat st;
	int parent = -1;
	enum rc rc = open_place(p, name, &parent, &base);

	if (rc != RC_OK)
		return rc;
	if (mkdirat(parent, base, 0755) != 0 && errno != EEXIST)
		rc = io_error(p, name, "create");
	else if (fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) != 0)
		rc = io_error(p, name, "look at");
	else if (!S_ISDIR(st.st_mode))
		rc = bad(p, name, "is there twice");
	/* Just seen to be a directory, and nobody else writes here. */
	else if (fchmodat(parent, base, (mode & 0755) | 0700, 0) != 0)
		rc = io_error(p, name, "set the mode");
	(void)close(parent);
	return rc;
}

static enum rc put_symlink(struct pass *p, const char *name, const char *target)
{
	const char *base;
	int parent = -1;
	enum rc rc;

	if (target == NULL || strlen(target) >= LINK_MAX_LEN ||
	    !tree_link_is_inside(name, target))
		return bad(p, name,
		    "is a symbolic link that may lead out of the package");
	rc = open_place(p, name, &parent, &base);
	if (rc != RC_OK)
		return rc;
	if (symlinkat(target, parent, base) != 0)
		rc = errno == EEXIST ? bad(p, name, "is there twice")
		                     : io_error(p, name, "create");
	(void)close(parent);
	return rc;
}

/* The target is a file of this package: neither a link nor outside. */
static enum rc open_link_target(struct pass *p, const char *name,
    const char *target, int *parent, const char **base)
{
	struct stat st;
	enum rc rc = tree_open_parent(p->dir_fd, target, false, parent, base);

	if (rc == RC_IO)
		return io_error(p, name, "open its target");
	if (rc != RC_OK)
		return bad(
		    p, name, "is a hard link to no file unpacked before");
	if (fstatat(*parent, *base, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st.st_mode))
		return RC_OK;
	(void)close(*parent);
	*parent = -1;
	return bad(p, name, "is a hard link to no file unpacked before");
}

static enum rc put_hardlink(struct pass *p, const char *name, const char *raw)
{
	char target[TREE_NAME_MAX];
	const char *from_base, *to_base;
	int from = -1, to = -1;
	enum rc rc = place(p, raw, target);

	if (rc != RC_OK)
		return rc;
	if (target[0] == '\0')
		return bad(
		    p, name, "is a hard link to no file unpacked before");
	rc = open_link_target(p, name, target, &from, &from_base);
	if (rc == RC_OK)
		rc = open_place(p, name, &to, &to_base);
	if (rc == RC_OK && linkat(from, from_base, to, to_base, 0) != 0)
		rc = errno == EEXIST ? bad(p, name, "is there twice")
		                     : io_error(p, name, "link");
	if (from >= 0)
		(void)close(from);
	if (to >= 0)
		(void)close(to);
	return rc;
}

static enum rc put_entry(
    struct pass *p, const char *name, struct archive_entry *e)
{
	const char *hard = entry_hardlink(e);
	mode_t mode = archive_entry_perm(e);

	if (hard != NULL) {
		if (archive_entry_size(e) > 0)
			return bad(p, name, "is a hard link with content");
		return put_hardlink(p, name, hard);
	}
	switch (archive_entry_filetype(e)) {
	case AE_IFREG:
		return put_file(p, name, mode);
	case AE_IFDIR:
		return put_directory(p, name, mode);
	case AE_IFLNK:
		return put_symlink(p, name, entry_symlink(e));
	default:
		return bad(p, name,
		    "is a device, pipe or socket; a package may hold only "
		    "files, directories and links");
	}
}

/* --- Passes ------------------------------------------------------------- */

static void look_at(struct pass *p, const char *name, bool is_dir)
{
	if (!is_dir && !starts_with(name, "package/"))
		p->all_in_package = false;
	if (strcmp(name, "package/package.json") == 0)
		p->has_package_json = true;
	if (strcmp(name, "[Content_Types].xml") == 0)
		p->has_content_types = true;
	if (strchr(name, '/') == NULL && ends_with(name, ".nuspec"))
		p->has_nuspec = true;
}

static enum rc one_entry(struct pass *p, struct archive_entry *e)
{
	const char *raw = entry_name(e);
	char name[TREE_NAME_MAX];
	la_int64_t size = archive_entry_size(e);
	enum rc rc;

	if (raw == NULL)
		return bad(p, "?", "has a name that is no text");
	if (++p->report->entries > p->limits->entries)
		return above(p, raw, "too many entries", p->limits->entries);
	rc = place(p, raw, name);
	if (rc != RC_OK || name[0] == '\0')
		return rc;
	if (size > 0) {
		rc = check_bytes(p, name,
		    p->dir_fd < 0 ? p->claimed : p->report->bytes,
		    (uint64_t)size);
		if (rc != RC_OK)
			return rc;
	}
	if (p->dir_fd >= 0)
		return put_entry(p, name, e);
	p->claimed += size > 0 ? (uint64_t)size : 0;
	look_at(p, name, archive_entry_filetype(e) == AE_IFDIR);
	return RC_OK;
}

static enum rc open_archive(struct pass *p, int fd)
{
	struct archive *a = archive_read_new();

	p->archive = a;
	if (a == NULL)
		return RC_NOMEM;
	/* Exactly these; never a filter that is another program. */
	if (archive_read_support_filter_gzip(a) != ARCHIVE_OK ||
	    archive_read_support_filter_xz(a) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(a) != ARCHIVE_OK ||
	    archive_read_support_format_tar(a) != ARCHIVE_OK ||
	    archive_read_support_format_zip(a) != ARCHIVE_OK)
		return library_error(p, "libarchive lacks a format");
	if (lseek(fd, 0, SEEK_SET) != 0)
		return io_error(p, "", "read the package");
	if (archive_read_open_fd(a, fd, READ_BLOCK) != ARCHIVE_OK)
		return library_error(p,
		    "not a package (tar, tar.gz, tar.xz, tar.zst, zip, nupkg "
		    "or npm's tgz)");
	return RC_OK;
}

static enum rc run_pass(struct pass *p, int fd)
{
	enum rc rc = open_archive(p, fd);

	p->report->entries = 0;
	while (rc == RC_OK) {
		struct archive_entry *e = NULL;
		int got = archive_read_next_header(p->archive, &e);

		if (got == ARCHIVE_EOF)
			break;
		/* A warning is about a name's characters: see entry_name(). */
		if (got != ARCHIVE_OK && got != ARCHIVE_WARN)
			rc = library_error(p, "the package is broken");
		if (rc == RC_OK)
			rc = check_cancel(p);
		if (rc == RC_OK)
			rc = one_entry(p, e);
	}
	if (rc == RC_OK && p->report->entries == 0) {
		fault_set(
		    p->fault, REASON_BAD_PACKAGE, "", "the package is empty");
		rc = RC_PROTO;
	}
	(void)archive_read_free(p->archive);
	p->archive = NULL;
	return rc;
}

enum rc unpack(int archive_fd, int dir_fd, const struct unpack_limits *limits,
    const atomic_bool *cancel, struct unpack_report *report,
    struct fault *fault)
{
	struct pass look = { .dir_fd = -1,
		.limits = limits,
		.cancel = cancel,
		.report = report,
		.fault = fault,
		.all_in_package = true };
	struct pass write = look;
	enum rc rc;

	*report = (struct unpack_report){ .kind = UNPACK_PLAIN };
	/* First only the names: they decide the kind, and most bad packages
	 * are refused before a byte is written. */
	rc = run_pass(&look, archive_fd);
	if (rc != RC_OK)
		return rc;
	if (look.all_in_package && look.has_package_json)
		report->kind = UNPACK_NPM;
	else if (look.has_content_types && look.has_nuspec)
		report->kind = UNPACK_NUPKG;
	write.dir_fd = dir_fd;
	rc = check_disk(&write, "", look.claimed);
	if (rc == RC_OK)
		rc = run_pass(&write, archive_fd);
	return rc;
}

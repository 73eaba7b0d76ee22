/* The walk behind configure_tree(): patterns, files, replacement. */
#include "tentacle/configure.h"

#include "common/fs.h"
#include "common/secret.h"
#include "tentacle/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATTERN_SIZE 256
#define PARTS_MAX    16
#define ANY_DIRS     "**"
#define DEPTH_MAX    32

struct walk {
	int top_fd;
	const struct configure_values *values;
	char split[PATTERN_SIZE];
	const char *parts[PARTS_MAX]; /* into split */
	size_t part_count;
	char **names; /* files that match any pattern; owned */
	size_t count;
	size_t matched; /* by this pattern */
	struct fault *fault;
};

/* Where the walk is: an open directory and its name from the top. */
struct place {
	int fd;
	char name[TREE_NAME_MAX];
	size_t depth;
};

static enum rc walk_dir(struct walk *w, const struct place *at, size_t part);

/* --- Patterns ----------------------------------------------------------- */

static bool has_wildcard(const char *part)
{
	return strpbrk(part, "*?[\\") != NULL;
}

/* Clean text into parts; in place. */
static size_t split(char *p, const char **parts)
{
	size_t count = 0;

	while (p != NULL && count < PARTS_MAX) {
		parts[count++] = p;
		p = strchr(p, '/');
		if (p != NULL)
			*p++ = '\0';
	}
	return count;
}

static const char *pattern_problem(const char *pattern)
{
	char clean[PATTERN_SIZE];
	const char *parts[PARTS_MAX];
	size_t depth, any = 0;
	enum tree_name_error error =
	    tree_clean_name(pattern, clean, sizeof(clean), &depth);

	if (error != TREE_NAME_OK)
		return tree_name_problem(error);
	if (depth >= PARTS_MAX)
		return "is too deep";
	depth = split(clean, parts);
	for (size_t i = 0; i < depth; i++)
		any += strcmp(parts[i], ANY_DIRS) == 0;
	/* More would find each file in very many ways. */
	return any > 1 ? "has more than one \"" ANY_DIRS "\"" : NULL;
}

enum rc configure_check_pattern(const char *pattern, struct fault *fault)
{
	const char *problem = pattern_problem(pattern);

	if (problem == NULL)
		return RC_OK;
	fault_set(fault, REASON_BAD_CONFIG, "",
	    "configure: pattern '%.100s' %s", pattern, problem);
	return RC_PROTO;
}

static enum rc split_pattern(struct walk *w, struct bytes pattern)
{
	char text[PATTERN_SIZE];
	size_t depth;
	enum rc rc;

	if (pattern.len >= sizeof(text)) {
		fault_set(w->fault, REASON_BAD_CONFIG, "",
		    "configure: a pattern is longer than %d bytes",
		    PATTERN_SIZE - 1);
		return RC_LIMIT;
	}
	if (pattern.len > 0)
		memcpy(text, pattern.p, pattern.len);
	text[pattern.len] = '\0';
	rc = configure_check_pattern(text, w->fault);
	if (rc != RC_OK)
		return rc;
	(void)tree_clean_name(text, w->split, sizeof(w->split), &depth);
	w->part_count = split(w->split, w->parts);
	/* At the end it means all files below; there is room: see "too deep".
	 */
	if (strcmp(w->parts[w->part_count - 1], ANY_DIRS) == 0)
		w->parts[w->part_count++] = "*";
	return RC_OK;
}

/* --- One file ----------------------------------------------------------- */

static enum rc file_fault(struct walk *w, const char *name, const char *what)
{
	int err = errno;

	fault_set(w->fault, err == ENOSPC ? REASON_NO_SPACE : REASON_BAD_CONFIG,
	    "", "%.120s: cannot %s: %s", name, what, strerrordesc_np(err));
	errno = err;
	return RC_IO;
}

/* A new file beside the old one takes its place: hard links stay apart. */
static enum rc replace(struct walk *w, int dir_fd, const char *base,
    const struct buf *text, mode_t mode)
{
	static const char tmp[] = ".longarm-configure.tmp";
	int fd = -1;
	enum rc rc = RC_IO;

	if (unlinkat(dir_fd, tmp, 0) != 0 && errno != ENOENT)
		return file_fault(w, base, "write");
	fd = openat(dir_fd, tmp,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return file_fault(w, base, "write");
	if (fs_write_all(fd, text->data, text->len) == RC_OK &&
	    fchmod(fd, mode) == 0 && renameat(dir_fd, tmp, dir_fd, base) == 0)
		rc = RC_OK;
	else
		rc = file_fault(w, base, "write");
	(void)close(fd);
	if (rc != RC_OK)
		(void)unlinkat(dir_fd, tmp, 0);
	return rc;
}

static enum rc read_text(
    struct walk *w, int fd, const char *name, uint8_t **text, size_t *len)
{
	enum rc rc = fs_read_fd(fd, CONFIGURE_FILE_MAX, text, len);

	if (rc == RC_LIMIT)
		fault_set(w->fault, REASON_BAD_CONFIG, "",
		    "%.120s: longer than %d bytes, the limit for a file to "
		    "configure",
		    name, CONFIGURE_FILE_MAX);
	else if (rc == RC_IO)
		return file_fault(w, name, "read");
	return rc;
}

static enum rc configure_file(
    struct walk *w, int dir_fd, const char *base, const char *name)
{
	uint8_t *text = NULL;
	size_t len = 0;
	struct buf out;
	struct stat st;
	bool used_secret = false;
	enum rc rc = RC_OK;
	int fd = openat(
	    dir_fd, base, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	buf_init(&out, CONFIGURE_FILE_MAX);
	if (fd < 0 || fstat(fd, &st) != 0) {
		rc = file_fault(w, name, "open");
		goto out;
	}
	rc = read_text(w, fd, name, &text, &len);
	if (rc == RC_OK)
		rc = configure_text(bytes_of(text, len), w->values, name, &out,
		    &used_secret, w->fault);
	if (rc != RC_OK)
		goto out;
	/* Untouched when nothing was to be put in. */
	if (out.len != len || (len > 0 && memcmp(out.data, text, len) != 0))
		rc = replace(w, dir_fd, base, &out,
		    st.st_mode & (used_secret ? 0770 : 0777));
out:
	if (out.data != NULL)
		secret_wipe(out.data, out.len);
	buf_fini(&out);
	free(text);
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

/* Down into directories, at most DEPTH_MAX deep: see enter(). */
/* NOLINTBEGIN(misc-no-recursion) */

/* --- The walk ----------------------------------------------------------- */

static enum rc enter(
    struct walk *w, const struct place *at, const char *name, size_t part)
{
	struct place below = { .depth = at->depth + 1 };
	enum rc rc;

	if (below.depth > DEPTH_MAX ||
	    snprintf(below.name, sizeof(below.name), "%s%s/", at->name, name) >=
		(int)sizeof(below.name)) {
		fault_set(w->fault, REASON_BAD_CONFIG, "",
		    "configure: '%.100s%.100s' is too deep", at->name, name);
		return RC_LIMIT;
	}
	below.fd = openat(
	    at->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (below.fd < 0)
		return file_fault(w, below.name, "open");
	rc = walk_dir(w, &below, part);
	(void)close(below.fd);
	return rc;
}

static bool is_known(const struct walk *w, const char *name)
{
	for (size_t i = 0; i < w->count; i++) {
		if (strcmp(w->names[i], name) == 0)
			return true;
	}
	return false;
}

/* Only noted: a file that two patterns match is configured once. */
static enum rc found_file(
    struct walk *w, const struct place *at, const char *name)
{
	char whole[TREE_NAME_MAX];

	if (snprintf(whole, sizeof(whole), "%s%s", at->name, name) >=
	    (int)sizeof(whole)) {
		fault_set(w->fault, REASON_BAD_CONFIG, "",
		    "configure: the name of '%.100s' is too long", name);
		return RC_LIMIT;
	}
	w->matched++;
	if (is_known(w, whole))
		return RC_OK;
	if (w->count >= CONFIGURE_FILES) {
		fault_set(w->fault, REASON_BAD_CONFIG, "",
		    "configure: more than %d files match", CONFIGURE_FILES);
		return RC_LIMIT;
	}
	w->names[w->count] = strdup(whole);
	if (w->names[w->count] == NULL)
		return RC_NOMEM;
	w->count++;
	return RC_OK;
}

static enum rc literal_link(
    struct walk *w, const struct place *at, const char *name)
{
	fault_set(w->fault, REASON_BAD_CONFIG, "",
	    "configure: '%.100s%.100s' is a symbolic link, which is not "
	    "followed; name the file it points to",
	    at->name, name);
	return RC_PROTO;
}

/* name is in the directory at: does part `part` of the pattern match it? */
static enum rc visit(
    struct walk *w, const struct place *at, const char *name, size_t part)
{
	const char *pattern = w->parts[part];
	bool last = part + 1 == w->part_count;
	struct stat st;

	if (fnmatch(pattern, name, FNM_PERIOD) != 0)
		return RC_OK;
	if (fstatat(at->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? RC_OK : file_fault(w, name, "look at");
	if (S_ISLNK(st.st_mode) && !has_wildcard(pattern))
		return literal_link(w, at, name);
	if (last)
		return S_ISREG(st.st_mode) ? found_file(w, at, name) : RC_OK;
	return S_ISDIR(st.st_mode) ? enter(w, at, name, part + 1) : RC_OK;
}

/* "**" is no directory, or any directory and "**" again. */
static enum rc visit_below(
    struct walk *w, const struct place *at, const char *name, size_t part)
{
	struct stat st;

	if (fstatat(at->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
	    !S_ISDIR(st.st_mode) || name[0] == '.')
		return RC_OK;
	return enter(w, at, name, part);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static bool is_entry(const char *name)
{
	return strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static enum rc walk_dir(struct walk *w, const struct place *at, size_t part)
{
	struct dirent **names = NULL;
	enum rc rc = RC_OK;
	bool any = strcmp(w->parts[part], ANY_DIRS) == 0;
	int count;

	if (any) {
		rc = walk_dir(w, at, part + 1);
		if (rc != RC_OK)
			return rc;
	}
	/* In the order of names, so that the first error is always the same. */
	count = scandirat(at->fd, ".", &names, NULL, by_name);
	if (count < 0)
		return file_fault(w, at->name, "read the directory");
	for (int i = 0; i < count; i++) {
		const char *name = names[i]->d_name;

		if (rc == RC_OK && is_entry(name))
			rc = any ? visit_below(w, at, name, part)
			         : visit(w, at, name, part);
		free(names[i]);
	}
	free(names);
	return rc;
}

/* NOLINTEND(misc-no-recursion) */

static enum rc find_files(
    struct walk *w, const struct bytes *patterns, size_t pattern_count)
{
	const struct place top = { .fd = w->top_fd, .name = "" };

	for (size_t i = 0; i < pattern_count; i++) {
		struct bytes p = patterns[i];
		enum rc rc;

		w->matched = 0;
		rc = split_pattern(w, p);
		if (rc == RC_OK)
			rc = walk_dir(w, &top, 0);
		if (rc != RC_OK)
			return rc;
		if (w->matched == 0) {
			fault_set(w->fault, REASON_BAD_CONFIG, "",
			    "configure: no file of the package matches '%.*s'",
			    (int)p.len, (const char *)p.p);
			return RC_NOTFOUND;
		}
	}
	return RC_OK;
}

static enum rc configure_name(struct walk *w, const char *name)
{
	const char *base;
	int parent = -1;
	enum rc rc = tree_open_parent(w->top_fd, name, false, &parent, &base);

	if (rc != RC_OK)
		return file_fault(w, name, "open the directory of");
	rc = configure_file(w, parent, base, name);
	(void)close(parent);
	return rc;
}

enum rc configure_tree(int dir_fd, const struct bytes *patterns,
    size_t pattern_count, const struct configure_values *values, size_t *count,
    struct fault *fault)
{
	struct walk w = { .top_fd = dir_fd, .values = values, .fault = fault };
	enum rc rc;

	*count = 0;
	w.names = calloc(CONFIGURE_FILES, sizeof(*w.names));
	if (w.names == NULL)
		return RC_NOMEM;
	rc = find_files(&w, patterns, pattern_count);
	for (size_t i = 0; rc == RC_OK && i < w.count; i++)
		rc = configure_name(&w, w.names[i]);
	*count = w.count;
	for (size_t i = 0; i < w.count; i++)
		free(w.names[i]);
	free(w.names);
	return rc;
}

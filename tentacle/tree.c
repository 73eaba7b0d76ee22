#include "tentacle/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMPONENT_MAX 255

static bool is_dots(const char *part, size_t len)
{
	return len == 2 && part[0] == '.' && part[1] == '.';
}

static bool is_nothing(const char *part, size_t len)
{
	return len == 0 || (len == 1 && part[0] == '.');
}

static enum tree_name_error check_part(const char *part, size_t len)
{
	if (is_dots(part, len))
		return TREE_NAME_DOTS;
	if (len > COMPONENT_MAX)
		return TREE_NAME_LONG;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)part[i];

		if (c < 0x20 || c == 0x7f)
			return TREE_NAME_CHARACTERS;
	}
	return TREE_NAME_OK;
}

enum tree_name_error tree_clean_name(
    const char *name, char *out, size_t size, size_t *depth)
{
	size_t used = 0;

	*depth = 0;
	if (name[0] == '/')
		return TREE_NAME_ABSOLUTE;
	while (*name != '\0') {
		size_t len = strcspn(name, "/");
		enum tree_name_error error = check_part(name, len);

		if (error != TREE_NAME_OK)
			return error;
		if (used + len + 2 > size)
			return TREE_NAME_LONG;
		if (!is_nothing(name, len)) {
			if (used > 0)
				out[used++] = '/';
			memcpy(out + used, name, len);
			used += len;
			(*depth)++;
		}
		name += len;
		name += strspn(name, "/");
	}
	out[used] = '\0';
	return used > 0 ? TREE_NAME_OK : TREE_NAME_EMPTY;
}

const char *tree_name_problem(enum tree_name_error error)
{
	switch (error) {
	case TREE_NAME_OK:
		break;
	case TREE_NAME_EMPTY:
		return "is empty";
	case TREE_NAME_ABSOLUTE:
		return "is absolute";
	case TREE_NAME_DOTS:
		return "has a \"..\" in it";
	case TREE_NAME_LONG:
		return "is too long";
	case TREE_NAME_CHARACTERS:
		return "has control characters in it";
	}
	return "is fine";
}

/* One component down; what is in the way is an error, never followed. */
static enum rc step_down(int dir_fd, const char *part, bool make, int *out)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	bool made = false;
	int fd;

	if (make) {
		made = mkdirat(dir_fd, part, 0755) == 0;
		if (!made && errno != EEXIST)
			return RC_IO;
	}
	fd = openat(dir_fd, part, flags);
	if (fd < 0) {
		if (errno == ENOENT)
			return RC_NOTFOUND;
		return errno == ELOOP || errno == ENOTDIR ? RC_DENIED : RC_IO;
	}
	/* Whatever our umask is. */
	if (made && fchmod(fd, 0755) != 0) {
		(void)close(fd);
		return RC_IO;
	}
	*out = fd;
	return RC_OK;
}

enum rc tree_open_parent(
    int root_fd, const char *name, bool make, int *parent_fd, const char **base)
{
	int fd = fcntl(root_fd, F_DUPFD_CLOEXEC, 3);
	const char *slash;

	if (fd < 0)
		return RC_IO;
	while ((slash = strchr(name, '/')) != NULL) {
		size_t len = (size_t)(slash - name);
		char part[COMPONENT_MAX + 1];
		int next = -1;
		enum rc rc;

		if (len > COMPONENT_MAX) {
			(void)close(fd);
			return RC_NOTFOUND;
		}
		memcpy(part, name, len);
		part[len] = '\0';
		rc = step_down(fd, part, make, &next);
		(void)close(fd);
		if (rc != RC_OK)
			return rc;
		fd = next;
		name = slash + 1;
	}
	*parent_fd = fd;
	*base = name;
	return RC_OK;
}

bool tree_link_is_inside(const char *name, const char *target)
{
	size_t up = 0;
	bool leading = true;

	for (const char *c = name; *c != '\0'; c++)
		up += *c == '/';
	if (target[0] == '/' || target[0] == '\0')
		return false;
	while (*target != '\0') {
		size_t len = strcspn(target, "/");

		if (is_dots(target, len)) {
			if (!leading || up == 0)
				return false;
			up--;
		} else if (!is_nothing(target, len)) {
			leading = false;
		}
		target += len;
		target += strspn(target, "/");
	}
	return true;
}

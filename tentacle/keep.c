#include "tentacle/keep.h"

#include "common/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define CHUNK           65536
#define SELF_GROUPS_MAX 1024 /* that we are in */

/* Who this thread is, to files.  Other threads stay who they are, so these are
 * the kernel's calls, not libc's. */
struct self {
	gid_t groups[SELF_GROUPS_MAX];
	int group_count;
	gid_t gid;
};

static bool become(const struct run_user *user, struct self *self)
{
	gid_t groups[GUARD_GROUPS_MAX];

	for (size_t i = 0; i < user->group_count; i++)
		groups[i] = (gid_t)user->groups[i];
	self->gid = getegid();
	self->group_count = getgroups(SELF_GROUPS_MAX, self->groups);
	if (self->group_count < 0 ||
	    syscall(SYS_setgroups, user->group_count, groups) != 0)
		return false;
	/* They tell no error, but who it was. */
	(void)syscall(SYS_setfsgid, (gid_t)user->gid);
	(void)syscall(SYS_setfsuid, (uid_t)user->uid);
	return (gid_t)syscall(SYS_setfsgid, -1) == (gid_t)user->gid &&
	       (uid_t)syscall(SYS_setfsuid, -1) == (uid_t)user->uid;
}

/* A thread that stayed another one could not be trusted with anything. */
static void be_self_again(const struct self *self)
{
	int error = errno;

	(void)syscall(SYS_setfsuid, geteuid());
	(void)syscall(SYS_setfsgid, self->gid);
	if (self->group_count >= 0 &&
	    syscall(SYS_setgroups, self->group_count, self->groups) != 0)
		abort();
	if ((uid_t)syscall(SYS_setfsuid, -1) != geteuid() ||
	    (gid_t)syscall(SYS_setfsgid, -1) != self->gid)
		abort();
	errno = error;
}

static int open_beneath(int dir, const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
		           RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};

	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

int keep_open(const struct run_user *user, const char *base, const char *path)
{
	size_t len = strlen(base);
	int dir = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
	struct self self;

	if (dir < 0)
		return -1;
	if (strncmp(path, base, len) == 0 && path[len] == '/')
		path += len + 1;
	if (!user->other) {
		fd = open_beneath(dir, path);
	} else {
		if (become(user, &self))
			fd = open_beneath(dir, path);
		else
			errno = EPERM;
		be_self_again(&self);
	}
	(void)close(dir);
	return fd;
}

static enum rc copy_bytes(int from, int to, uint64_t at_most, EVP_MD_CTX *sha,
    uint8_t *chunk, uint64_t *size)
{
	*size = 0;
	for (;;) {
		ssize_t got = read(from, chunk, CHUNK);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return RC_IO;
		if (got == 0)
			return RC_OK;
		*size += (uint64_t)got;
		/* It grows while we read. */
		if (*size > at_most)
			return RC_LIMIT;
		if (EVP_DigestUpdate(sha, chunk, (size_t)got) != 1 ||
		    fs_write_all(to, chunk, (size_t)got) != RC_OK)
			return RC_IO;
	}
}

/* Whatever is there was not put there by us, or is of an earlier try. */
static int open_new(const char *path)
{
	if (unlink(path) != 0 && errno != ENOENT)
		return -1;
	return open(
	    path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

enum rc keep_copy(int from, const char *path, uint64_t at_most, uint64_t *size,
    char digest[DIGEST_SIZE])
{
	uint8_t bytes[DIGEST_BYTES], *chunk = malloc(CHUNK);
	EVP_MD_CTX *sha = EVP_MD_CTX_new();
	enum rc rc = RC_NOMEM;
	int to = -1;

	if (chunk == NULL || sha == NULL)
		goto out;
	rc = RC_IO;
	to = open_new(path);
	if (to < 0 || EVP_DigestInit_ex(sha, EVP_sha256(), NULL) != 1)
		goto out;
	rc = copy_bytes(from, to, at_most, sha, chunk, size);
	if (rc == RC_OK &&
	    (EVP_DigestFinal_ex(sha, bytes, NULL) != 1 || fsync(to) != 0))
		rc = RC_IO;
	if (rc == RC_OK)
		hex_format(bytes, sizeof(bytes), digest);
	else
		(void)unlink(path);
out:
	if (to >= 0)
		(void)close(to);
	EVP_MD_CTX_free(sha);
	free(chunk);
	return rc;
}

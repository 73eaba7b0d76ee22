/* Which blobs go when there are too many. */
#include "common/blob_private.h"

#include "common/clock.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOBS_MAX 1000000

struct one {
	struct blob_digest digest;
	uint64_t size;
	int64_t used_s;
};

struct all {
	struct one *items;
	size_t count, room;
	uint64_t bytes;
};

void blob_touch(
    const struct blob_store *store, const struct blob_digest *digest)
{
	char hex[BLOB_HEX_MAX], path[BLOB_HEX_MAX + 4];

	blob_digest_format(digest, hex);
	(void)snprintf(path, sizeof(path), "%.2s/%s", hex, hex + 2);
	/* One that is not there has no time of its own. */
	(void)utimensat(store->dir_fd, path, NULL, AT_SYMLINK_NOFOLLOW);
}

static enum rc add(struct all *all, const struct one *one)
{
	if (all->count == BLOBS_MAX)
		return RC_LIMIT;
	if (all->count == all->room) {
		size_t room = all->room > 0 ? 2 * all->room : 64;
		struct one *more = realloc(all->items, room * sizeof(*more));

		if (more == NULL)
			return RC_NOMEM;
		all->items = more;
		all->room = room;
	}
	all->items[all->count++] = *one;
	all->bytes += one->size;
	return RC_OK;
}

/* The blobs of one directory, whose name begins their digests. */
static enum rc list_dir(int store, const char *name, struct all *all)
{
	int fd = openat(
	    store, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	enum rc rc = RC_OK;

	if (dir == NULL) {
		if (fd >= 0)
			(void)close(fd);
		return RC_OK;
	}
	/* NOLINTNEXTLINE: one thread owns this stream */
	while (rc == RC_OK && (entry = readdir(dir)) != NULL) {
		char hex[BLOB_HEX_MAX + 8];
		struct stat st;
		struct one one;

		(void)snprintf(
		    hex, sizeof(hex), "%.2s%.65s", name, entry->d_name);
		if (blob_digest_parse(hex, &one.digest) != RC_OK ||
		    fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		one.size = (uint64_t)st.st_size;
		one.used_s = st.st_mtime;
		rc = add(all, &one);
	}
	(void)closedir(dir);
	return rc;
}

static int longest_ago_first(const void *a, const void *b)
{
	const struct one *x = a, *y = b;

	if (x->used_s != y->used_s)
		return x->used_s < y->used_s ? -1 : 1;
	return memcmp(&x->digest, &y->digest, sizeof(x->digest));
}

static bool is_kept(const struct blob_budget *b, const struct blob_digest *d)
{
	for (size_t i = 0; i < b->keep_count; i++) {
		if (blob_digest_equal(&b->keep[i], d))
			return true;
	}
	return false;
}

static bool may_go(const struct blob_budget *b, const struct one *one,
    uint64_t left, int64_t now_s)
{
	/* A clock that was set back makes all of them young. */
	uint64_t age =
	    now_s > one->used_s ? (uint64_t)(now_s - one->used_s) : 0;

	return age >= b->young_s && (left > b->bytes || age >= b->age_s) &&
	       !is_kept(b, &one->digest);
}

/* Somebody may have used it since it was listed, and been told it is there. */
static bool is_unused(const struct blob_store *store, const struct one *one)
{
	char name[BLOB_NAME_MAX];
	struct stat st;

	blob_name(&one->digest, name);
	return fstatat(store->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       st.st_mtime == one->used_s;
}

enum rc blob_shrink(struct blob_store *store, const struct blob_budget *budget,
    struct blob_shrunk *out)
{
	struct all all = { .items = NULL };
	int64_t now_s = clock_wall_ms() / 1000;
	enum rc rc = RC_OK;

	*out = (struct blob_shrunk){ .count = 0 };
	for (unsigned i = 0; rc == RC_OK && i < 256; i++) {
		char name[4];

		(void)snprintf(name, sizeof(name), "%02x", i);
		rc = list_dir(store->dir_fd, name, &all);
	}
	out->left = all.bytes;
	if (rc == RC_OK && all.count > 0)
		qsort(all.items, all.count, sizeof(*all.items),
		    longest_ago_first);
	for (size_t i = 0; rc == RC_OK && i < all.count; i++) {
		const struct one *one = &all.items[i];

		if (!may_go(budget, one, out->left, now_s) ||
		    !is_unused(store, one))
			continue;
		rc = blob_delete(store, &one->digest);
		if (rc != RC_OK)
			break;
		out->count++;
		out->bytes += one->size;
		out->left -= one->size;
	}
	free(all.items);
	return rc;
}

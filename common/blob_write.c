#include "common/blob_private.h"
#include "common/fs.h"
#include "common/random.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PIECE 65536

struct blob_writer {
	struct blob_store *store;
	int fd;
	EVP_MD_CTX *md;
	uint64_t offset; /* bytes written and hashed */
	uint64_t size;   /* in all; or the limit, when has_digest is false */
	bool has_digest;
	struct blob_digest digest;
	char partial[BLOB_NAME_MAX]; /* "" once it has its final name */
};

void blob_partial_name(const struct blob_digest *digest, char *out)
{
	char hex[BLOB_HEX_MAX];

	blob_digest_format(digest, hex);
	(void)snprintf(out, BLOB_NAME_MAX, "partial/%s", hex);
}

static enum rc io_fault(struct fault *fault, const char *what)
{
	int error = errno;

	fault_set(fault,
	    error == ENOSPC || error == EDQUOT ? REASON_NO_SPACE
					       : REASON_INTERNAL,
	    "", "cannot %s: %s", what, strerrordesc_np(error));
	errno = error;
	return RC_IO;
}

/* Would more bytes leave the reserve? */
static enum rc check_space(
    const struct blob_store *store, uint64_t more, struct fault *fault)
{
	struct statvfs st;
	uint64_t available;

	if (fstatvfs(store->dir_fd, &st) != 0)
		return io_fault(fault, "ask for free space");
	available = (uint64_t)st.f_bavail * st.f_frsize;
	if (more <= available && available - more >= store->reserve)
		return RC_OK;
	fault_set(fault, REASON_NO_SPACE, "",
	    "%llu MiB are needed, %llu MiB are free and %llu MiB of them are "
	    "kept in reserve",
	    (unsigned long long)(more >> 20),
	    (unsigned long long)(available >> 20),
	    (unsigned long long)(store->reserve >> 20));
	errno = ENOSPC;
	return RC_IO;
}

static enum rc writer_new(
    struct blob_store *store, uint64_t size, struct blob_writer **out)
{
	struct blob_writer *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return RC_NOMEM;
	w->store = store;
	w->size = size;
	w->fd = -1;
	w->md = EVP_MD_CTX_new();
	if (w->md == NULL ||
	    EVP_DigestInit_ex(w->md, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(w->md);
		free(w);
		return RC_CRYPTO;
	}
	*out = w;
	return RC_OK;
}

/* While we waited for the lock, did another writer finish or discard it? */
static bool is_still_there(const struct blob_writer *w)
{
	struct stat ours, named;

	return fstat(w->fd, &ours) == 0 &&
	       fstatat(w->store->dir_fd, w->partial, &named,
		   AT_SYMLINK_NOFOLLOW) == 0 &&
	       ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

static enum rc open_partial(
    struct blob_writer *w, int flags, struct fault *fault)
{
	w->fd = openat(w->store->dir_fd, w->partial,
	    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	if (w->fd < 0)
		return io_fault(fault, "open a partial file");
	/* Also keeps a second process out; goes away with us. */
	if (flock(w->fd, LOCK_EX | LOCK_NB) != 0 || !is_still_there(w)) {
		fault_set(fault, REASON_TOO_MANY, "",
		    "this content is being written already");
		return RC_STATE;
	}
	return RC_OK;
}

/* What an earlier writer left counts, if it can be the beginning. */
static enum rc resume(struct blob_writer *w, struct fault *fault)
{
	struct stat st;
	enum rc rc;

	if (fstat(w->fd, &st) != 0)
		return io_fault(fault, "look at a partial file");
	if ((uint64_t)st.st_size > w->size && ftruncate(w->fd, 0) != 0)
		return io_fault(fault, "empty a partial file");
	rc = blob_hash_fd(w->md, w->fd, &w->offset);
	return rc == RC_IO ? io_fault(fault, "read a partial file") : rc;
}

enum rc blob_write_begin(struct blob_store *store,
    const struct blob_digest *digest, uint64_t size, struct blob_writer **out,
    struct fault *fault)
{
	struct blob_writer *w = NULL;
	enum rc rc;

	if (blob_has(store, digest))
		return RC_EXISTS;
	rc = writer_new(store, size, &w);
	if (rc != RC_OK)
		return rc;
	w->has_digest = true;
	w->digest = *digest;
	blob_partial_name(digest, w->partial);
	rc = open_partial(w, 0, fault);
	if (rc == RC_OK)
		rc = resume(w, fault);
	if (rc == RC_OK)
		rc = check_space(store, w->size - w->offset, fault);
	if (rc == RC_OK) {
		*out = w;
		w = NULL;
	}
	blob_writer_free(w);
	return rc;
}

enum rc blob_write_new(struct blob_store *store, uint64_t limit,
    struct blob_writer **out, struct fault *fault)
{
	struct blob_writer *w = NULL;
	char name[2 * 16 + 1];
	enum rc rc = check_space(store, 0, fault);

	if (rc == RC_OK)
		rc = writer_new(store, limit, &w);
	if (rc != RC_OK)
		return rc;
	random_hex(name, 16);
	(void)snprintf(w->partial, sizeof(w->partial), "partial/new-%s", name);
	rc = open_partial(w, O_EXCL, fault);
	if (rc == RC_OK) {
		*out = w;
		w = NULL;
	}
	blob_writer_free(w);
	return rc;
}

uint64_t blob_writer_offset(const struct blob_writer *w)
{
	return w->offset;
}

enum rc blob_write_at(struct blob_writer *w, uint64_t offset, const void *data,
    size_t len, struct fault *fault)
{
	const uint8_t *at = data;
	uint64_t known;

	if (offset > w->offset)
		return RC_STATE;
	known = w->offset - offset;
	if (known >= len)
		return RC_OK;
	at += known;
	len -= (size_t)known;
	if (len > w->size - w->offset) {
		fault_set(fault, REASON_TOO_MANY, "",
		    "more than the announced or permitted %llu bytes",
		    (unsigned long long)w->size);
		return RC_LIMIT;
	}
	if (fs_pwrite_all(w->fd, at, len, w->offset) != RC_OK)
		return io_fault(fault, "write a blob");
	if (EVP_DigestUpdate(w->md, at, len) != 1)
		return RC_CRYPTO;
	w->offset += len;
	return RC_OK;
}

static void discard_partial(struct blob_writer *w)
{
	if (w->partial[0] == '\0')
		return;
	(void)unlinkat(w->store->dir_fd, w->partial, 0);
	w->partial[0] = '\0';
}

/* Is it what was promised?  Fills in the digest that was not. */
static enum rc check_digest(struct blob_writer *w, struct fault *fault)
{
	struct blob_digest found;

	if (EVP_DigestFinal_ex(w->md, found.bytes, NULL) != 1)
		return RC_CRYPTO;
	if (!w->has_digest) {
		w->digest = found;
		return RC_OK;
	}
	if (blob_digest_equal(&found, &w->digest))
		return RC_OK;
	fault_set(fault, REASON_BAD_PACKAGE, "",
	    "the content received is not the one announced (SHA-256 differs)");
	discard_partial(w);
	return RC_CRYPTO;
}

/* ab/cdef... exists, is whole, and stays so after a power cut. */
static enum rc give_name(struct blob_writer *w, struct fault *fault)
{
	char name[BLOB_NAME_MAX], dir[3];
	int top = w->store->dir_fd;
	int dir_fd, failed;

	blob_name(&w->digest, name);
	memcpy(dir, name, 2);
	dir[2] = '\0';
	if (mkdirat(top, dir, 0700) == 0) {
		if (fsync(top) != 0)
			return io_fault(fault, "sync the blob store");
	} else if (errno != EEXIST) {
		return io_fault(fault, "make a directory in the blob store");
	}
	if (renameat(top, w->partial, top, name) != 0)
		return io_fault(fault, "rename a blob");
	w->partial[0] = '\0';
	dir_fd = openat(top, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return io_fault(fault, "open a directory in the blob store");
	failed = fsync(dir_fd);
	(void)close(dir_fd);
	return failed == 0 ? RC_OK : io_fault(fault, "sync the blob store");
}

enum rc blob_write_finish(struct blob_writer *w, struct blob_digest *digest,
    uint64_t *size, struct fault *fault)
{
	enum rc rc;

	if (w->partial[0] == '\0' || (w->has_digest && w->offset < w->size))
		return RC_STATE;
	rc = check_digest(w, fault);
	if (rc != RC_OK)
		return rc;
	if (fsync(w->fd) != 0)
		return io_fault(fault, "sync a blob");
	rc = give_name(w, fault);
	if (rc != RC_OK)
		return rc;
	if (digest != NULL)
		*digest = w->digest;
	if (size != NULL)
		*size = w->offset;
	return RC_OK;
}

void blob_writer_free(struct blob_writer *w)
{
	if (w == NULL)
		return;
	/* Nobody could resume what has no digest to be asked for by. */
	if (!w->has_digest && w->fd >= 0)
		discard_partial(w);
	if (w->fd >= 0)
		(void)close(w->fd);
	EVP_MD_CTX_free(w->md);
	free(w);
}

static enum rc copy_in(struct blob_writer *w, int fd, struct fault *fault)
{
	uint8_t *piece = malloc(PIECE);
	uint64_t offset = 0;
	enum rc rc = RC_OK;

	if (piece == NULL)
		return RC_NOMEM;
	while (rc == RC_OK) {
		ssize_t n = pread(fd, piece, PIECE, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = io_fault(fault, "read the file to import");
		if (n <= 0)
			break;
		rc = blob_write_at(w, offset, piece, (size_t)n, fault);
		offset += (uint64_t)n;
	}
	free(piece);
	return rc;
}

enum rc blob_import(struct blob_store *store, int fd,
    struct blob_digest *digest, uint64_t *size, struct fault *fault)
{
	struct blob_writer *w = NULL;
	struct blob_digest found;
	uint64_t found_size = 0;
	enum rc rc = blob_digest_of_fd(fd, &found, &found_size);

	if (rc != RC_OK)
		return rc;
	rc = blob_write_begin(store, &found, found_size, &w, fault);
	if (rc == RC_OK)
		rc = copy_in(w, fd, fault);
	if (rc == RC_OK)
		rc = blob_write_finish(w, NULL, NULL, fault);
	blob_writer_free(w);
	if (rc != RC_OK && rc != RC_EXISTS)
		return rc;
	*digest = found;
	*size = found_size;
	return RC_OK;
}

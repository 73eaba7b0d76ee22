#include "common/blob.h"

#include "common/blob_private.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/hex.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESERVE_DEFAULT ((uint64_t)64 << 20)
#define PIECE           65536

enum rc blob_digest_of(const void *data, size_t len, struct blob_digest *out)
{
	unsigned digest_len = 0;

	if (EVP_Digest(
		data, len, out->bytes, &digest_len, EVP_sha256(), NULL) != 1)
		return RC_CRYPTO;
	return digest_len == BLOB_DIGEST_LEN ? RC_OK : RC_CRYPTO;
}

enum rc blob_hash_fd(EVP_MD_CTX *md, int fd, uint64_t *size)
{
	uint8_t *piece = malloc(PIECE);
	enum rc rc = RC_OK;
	uint64_t offset = 0;

	if (piece == NULL)
		return RC_NOMEM;
	for (;;) {
		ssize_t n = pread(fd, piece, PIECE, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			rc = n == 0 ? RC_OK : RC_IO;
			break;
		}
		if (EVP_DigestUpdate(md, piece, (size_t)n) != 1) {
			rc = RC_CRYPTO;
			break;
		}
		offset += (uint64_t)n;
	}
	free(piece);
	*size = offset;
	return rc;
}

enum rc blob_digest_of_fd(int fd, struct blob_digest *out, uint64_t *size)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	enum rc rc = RC_CRYPTO;

	if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		goto out;
	rc = blob_hash_fd(md, fd, size);
	if (rc == RC_OK && EVP_DigestFinal_ex(md, out->bytes, NULL) != 1)
		rc = RC_CRYPTO;
out:
	EVP_MD_CTX_free(md);
	return rc;
}

void blob_digest_format(const struct blob_digest *digest, char *out)
{
	hex_encode(digest->bytes, BLOB_DIGEST_LEN, out);
}

enum rc blob_digest_parse(const char *text, struct blob_digest *out)
{
	if (strspn(text, "0123456789abcdef") != (size_t)2 * BLOB_DIGEST_LEN)
		return RC_PROTO;
	return hex_decode(text, out->bytes, BLOB_DIGEST_LEN);
}

bool blob_digest_equal(const struct blob_digest *a, const struct blob_digest *b)
{
	return memcmp(a->bytes, b->bytes, BLOB_DIGEST_LEN) == 0;
}

enum rc blob_store_open(
    const char *dir, struct blob_store **out, struct fault *fault)
{
	char partial[FS_PATH_MAX];
	struct blob_store *store = NULL;
	enum rc rc = fs_join(partial, sizeof(partial), dir, "partial");

	if (rc == RC_OK)
		rc = fs_make_private_dir(dir, fault);
	if (rc == RC_OK)
		rc = fs_make_private_dir(partial, fault);
	if (rc != RC_OK)
		return rc;
	store = calloc(1, sizeof(*store));
	if (store == NULL)
		return RC_NOMEM;
	store->reserve = RESERVE_DEFAULT;
	store->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->dir_fd < 0) {
		fault_set(fault, REASON_INTERNAL, "", "cannot open %s: %s", dir,
		    strerrordesc_np(errno));
		free(store);
		return RC_IO;
	}
	*out = store;
	return RC_OK;
}

void blob_store_close(struct blob_store *store)
{
	if (store == NULL)
		return;
	(void)close(store->dir_fd);
	free(store);
}

void blob_store_set_reserve(struct blob_store *store, uint64_t bytes)
{
	store->reserve = bytes;
}

void blob_name(const struct blob_digest *digest, char *out)
{
	char hex[BLOB_HEX_MAX];

	blob_digest_format(digest, hex);
	(void)snprintf(out, BLOB_NAME_MAX, "%.2s/%s", hex, hex + 2);
}

bool blob_has(const struct blob_store *store, const struct blob_digest *digest)
{
	uint64_t size;

	return blob_size(store, digest, &size) == RC_OK;
}

enum rc blob_open(const struct blob_store *store,
    const struct blob_digest *digest, int *fd, uint64_t *size)
{
	char name[BLOB_NAME_MAX];
	struct stat st;
	int file;

	blob_name(digest, name);
	file = openat(store->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (file < 0)
		return errno == ENOENT ? RC_NOTFOUND : RC_IO;
	if (fstat(file, &st) != 0) {
		(void)close(file);
		return RC_IO;
	}
	if (size != NULL)
		*size = (uint64_t)st.st_size;
	*fd = file;
	return RC_OK;
}

enum rc blob_size(const struct blob_store *store,
    const struct blob_digest *digest, uint64_t *size)
{
	char name[BLOB_NAME_MAX];
	struct stat st;

	blob_name(digest, name);
	if (fstatat(store->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? RC_NOTFOUND : RC_IO;
	if (!S_ISREG(st.st_mode))
		return RC_IO;
	*size = (uint64_t)st.st_size;
	return RC_OK;
}

enum rc blob_delete(struct blob_store *store, const struct blob_digest *digest)
{
	char name[BLOB_NAME_MAX];

	blob_name(digest, name);
	if (unlinkat(store->dir_fd, name, 0) != 0 && errno != ENOENT)
		return RC_IO;
	blob_partial_name(digest, name);
	if (unlinkat(store->dir_fd, name, 0) != 0 && errno != ENOENT)
		return RC_IO;
	return RC_OK;
}

enum rc blob_verify(
    const struct blob_store *store, const struct blob_digest *digest)
{
	struct blob_digest found;
	uint64_t size;
	enum rc rc;
	int fd;

	rc = blob_open(store, digest, &fd, &size);
	if (rc != RC_OK)
		return rc;
	rc = blob_digest_of_fd(fd, &found, &size);
	(void)close(fd);
	if (rc == RC_OK && !blob_digest_equal(&found, digest))
		rc = RC_CRYPTO;
	return rc;
}

void blob_prune(struct blob_store *store, uint64_t max_age_s)
{
	int fd = openat(
	    store->dir_fd, "partial", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *entry;
	/* Not time(): it may be a tick behind what files are stamped with. */
	int64_t now = clock_wall_ms() / 1000;
	struct stat st;
	DIR *dir;

	if (fd < 0)
		return;
	dir = fdopendir(fd);
	if (dir == NULL) {
		(void)close(fd);
		return;
	}
	/* NOLINTNEXTLINE: one thread owns this stream */
	while ((entry = readdir(dir)) != NULL) {
		if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		if (now - st.st_mtime >= 0 &&
		    (uint64_t)(now - st.st_mtime) >= max_age_s)
			(void)unlinkat(fd, entry->d_name, 0);
	}
	(void)closedir(dir);
}

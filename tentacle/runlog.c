#include "tentacle/runlog.h"

#include "common/fs.h"
#include "common/secret.h"
#include "tentacle/guardian/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_output(const char *dir, int flags)
{
	char path[FS_PATH_MAX];

	if (fs_join(path, sizeof(path), dir, "output") != RC_OK) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* --- The mask ----------------------------------------------------------- */

static enum rc add_secret(
    struct mask *m, const char *dir, const char *name, struct fault *fault)
{
	char path[FS_PATH_MAX];
	uint8_t *data = NULL;
	size_t len = 0;
	enum rc rc = fs_join(path, sizeof(path), dir, name);

	if (rc == RC_OK)
		rc = fs_read_file(path, MASK_VALUE_MAX, &data, &len, fault);
	if (rc == RC_OK) {
		rc = mask_add(m, bytes_of(data, len));
		if (rc == RC_LIMIT)
			fault_set(fault, REASON_TOO_MANY, "",
			    "more than %d secrets (and lines of secrets)",
			    MASK_PATTERN_MAX);
	}
	if (data != NULL)
		secret_wipe(data, len);
	free(data);
	return rc;
}

static int is_file_name(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

enum rc runlog_load_mask(
    const char *dir, struct mask **out, struct fault *fault)
{
	char secrets[FS_PATH_MAX];
	struct dirent **names = NULL;
	struct mask *m = NULL;
	int count = 0;
	enum rc rc = fs_join(secrets, sizeof(secrets), dir, "secrets");

	if (rc == RC_OK)
		rc = mask_new(&m);
	if (rc != RC_OK)
		return rc;
	count = scandir(secrets, &names, is_file_name, alphasort);
	if (count < 0 && errno != ENOENT) {
		fault_set(fault, REASON_INTERNAL, "", "%s: cannot read: %s",
		    secrets, strerrordesc_np(errno));
		rc = RC_IO;
	}
	for (int i = 0; i < count; i++) {
		if (rc == RC_OK)
			rc = add_secret(m, secrets, names[i]->d_name, fault);
		free(names[i]);
	}
	free(names);
	if (rc != RC_OK) {
		mask_free(m);
		return rc;
	}
	*out = m;
	return RC_OK;
}

/* --- Reading ------------------------------------------------------------ */

/* A range of the file with enough around it to decide what is masked. */
struct window {
	uint8_t *raw, *clean;
	size_t size;   /* of both */
	size_t before; /* context in front of the range */
	size_t len;    /* read */
	size_t hold;   /* at the end: may begin a secret */
};

static enum rc window_new(
    struct window *w, const struct mask *mask, size_t size)
{
	*w = (struct window){ .size = size + 2 * mask_context(mask) };
	w->raw = malloc(w->size + 1);
	w->clean = malloc(w->size + 1);
	return w->raw != NULL && w->clean != NULL ? RC_OK : RC_NOMEM;
}

static void window_free(struct window *w)
{
	if (w->raw != NULL)
		secret_wipe(w->raw, w->size);
	free(w->raw);
	free(w->clean);
}

static enum rc window_read(
    struct window *w, const struct mask *mask, int fd, uint64_t offset)
{
	size_t context = mask_context(mask);
	enum rc rc;

	w->before = offset < context ? (size_t)offset : context;
	rc = guard_read_at(fd, w->raw, w->size, offset - w->before, &w->len);
	if (rc == RC_OK)
		w->hold = mask_copy_at(mask, offset - w->before,
		    bytes_of(w->raw, w->len), w->clean);
	return rc;
}

/* Bytes of the range that are decided: `after` says the file goes on. */
static size_t window_usable(const struct window *w, size_t size, bool complete)
{
	size_t end = w->len;

	/* A full window: what follows is not seen, but `context` bytes are
	 * behind the range, and no secret is longer. */
	if (w->len < w->size && !complete)
		end -= w->hold;
	if (end <= w->before)
		return 0;
	end -= w->before;
	return end < size ? end : size;
}

enum rc runlog_read(const char *dir, const struct mask *mask, bool complete,
    struct runlog_range *range)
{
	struct window w = { 0 };
	size_t size = range->size;
	int fd = open_output(dir, O_RDONLY);
	enum rc rc;

	range->got = 0;
	if (fd < 0)
		return errno == ENOENT ? RC_NOTFOUND : RC_IO;
	if (size > RUNLOG_READ_MAX)
		size = RUNLOG_READ_MAX;
	rc = window_new(&w, mask, size);
	if (rc == RC_OK)
		rc = window_read(&w, mask, fd, range->offset);
	if (rc == RC_OK) {
		range->got = window_usable(&w, size, complete);
		if (range->got > 0)
			memcpy(range->out, w.clean + w.before, range->got);
	}
	window_free(&w);
	(void)close(fd);
	return rc;
}

/* --- The end ------------------------------------------------------------ */

/*
 * Blocks are masked in place, so the context in front of the next one would be
 * masked already and a secret across the border be missed: keep it raw.
 */
static enum rc seal_blocks(int fd, const struct mask *mask, uint64_t size,
    struct window *w, EVP_MD_CTX *sha)
{
	size_t context = mask_context(mask);
	uint64_t done = 0;

	w->len = 0;
	w->before = 0;
	while (done < size) {
		size_t range, got;
		enum rc rc;

		/* raw holds: context in front, then what is not done yet */
		rc = guard_read_at(fd, w->raw + w->len, w->size - w->len,
		    done - w->before + w->len, &got);
		if (rc != RC_OK)
			return rc;
		w->len += got;
		(void)mask_copy_at(
		    mask, done - w->before, bytes_of(w->raw, w->len), w->clean);
		range = w->len - w->before;
		if (w->len == w->size)
			range -= context;
		if (range > size - done)
			range = (size_t)(size - done);
		if (range == 0)
			return RC_IO; /* it became shorter meanwhile */
		if (memcmp(w->raw + w->before, w->clean + w->before, range) !=
			0 &&
		    fs_pwrite_all(fd, w->clean + w->before, range, done) !=
			RC_OK)
			return RC_IO;
		if (EVP_DigestUpdate(sha, w->clean + w->before, range) != 1)
			return RC_CRYPTO;
		done += range;
		/* Slide: the new context and what was read ahead. */
		got = w->before + range;
		w->before = got < context ? got : context;
		w->len -= got - w->before;
		memmove(w->raw, w->raw + got - w->before, w->len);
	}
	return RC_OK;
}

static enum rc seal_file(
    int fd, const struct mask *mask, uint64_t *size, char sha256[DIGEST_SIZE])
{
	uint8_t digest[DIGEST_BYTES];
	EVP_MD_CTX *sha = EVP_MD_CTX_new();
	struct window w = { 0 };
	struct stat st;
	enum rc rc = RC_NOMEM;

	if (sha == NULL)
		goto out;
	rc = window_new(&w, mask, RUNLOG_READ_MAX);
	if (rc != RC_OK)
		goto out;
	rc = RC_CRYPTO;
	if (EVP_DigestInit_ex(sha, EVP_sha256(), NULL) != 1)
		goto out;
	rc = RC_IO;
	if (fstat(fd, &st) != 0)
		goto out;
	*size = (uint64_t)st.st_size;
	rc = seal_blocks(fd, mask, *size, &w, sha);
	/* Nothing in it can be lost. */
	if (rc == RC_OK && *size > 0 && fsync(fd) != 0)
		rc = RC_IO;
	if (rc == RC_OK && EVP_DigestFinal_ex(sha, digest, NULL) != 1)
		rc = RC_CRYPTO;
	if (rc == RC_OK)
		hex_format(digest, sizeof(digest), sha256);
out:
	window_free(&w);
	EVP_MD_CTX_free(sha);
	return rc;
}

enum rc runlog_seal(const char *dir, const struct mask *mask, uint64_t *size,
    char sha256[DIGEST_SIZE], struct fault *fault)
{
	int fd = open_output(dir, O_RDWR);
	enum rc rc;

	*size = 0;
	sha256[0] = '\0';
	if (fd < 0 && errno == ENOENT)
		return RC_OK; /* it never came to an output */
	rc = fd < 0 ? RC_IO : seal_file(fd, mask, size, sha256);
	if (rc != RC_OK) {
		fault_set(fault, REASON_INTERNAL, "",
		    "%s/output: cannot be read and masked: %s", dir,
		    rc == RC_IO ? strerrordesc_np(errno) : rc_name(rc));
		/* There may be secrets in it: none of it is told. */
		*size = 0;
		sha256[0] = '\0';
	}
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

void runlog_note(const char *dir, const char *format, ...)
{
	char line[512];
	va_list args;
	size_t len;
	int fd = open_output(dir, O_WRONLY | O_CREAT | O_APPEND);

	if (fd < 0)
		return;
	va_start(args, format);
	(void)vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	len = strlen(line);
	line[len++] = '\n';
	/* A note is for people: that it is missing changes nothing. */
	if (fs_write_all(fd, line, len) != RC_OK)
		errno = 0;
	(void)close(fd);
}

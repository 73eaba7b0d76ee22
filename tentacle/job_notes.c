/* What a script said in its output: read as it comes, kept at its end. */
#include "tentacle/job_base.h"

#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHUNK      65536
#define SCAN_ONCE  (1u << 20) /* bytes, while the loop waits */
#define FILE_MAX   (UINT64_C(64) << 20)
#define FILES_MAX  (UINT64_C(256) << 20) /* of one ticket, together */
#define LEAVE_FREE (UINT64_C(64) << 20)

/* --- Reading the output ------------------------------------------------- */

enum rc notes_open(const char *dir, struct mask *mask, struct notes **out,
    bool *saved, struct fault *fault)
{
	char path[FS_PATH_MAX];
	enum rc rc = fs_join(path, sizeof(path), dir, "notes");

	if (rc == RC_OK)
		rc = notes_load(mask, path, out);
	*saved = rc == RC_OK;
	if (rc == RC_NOTFOUND)
		rc = notes_new(mask, out);
	if (rc != RC_OK)
		fault_set(fault, REASON_INTERNAL, "",
		    "%.200s/notes: cannot be read: %s", dir, rc_name(rc));
	return rc;
}

/* RC_NOTFOUND: there is no output. */
static enum rc scan(
    struct notes *n, const char *dir, uint64_t to, uint64_t at_most)
{
	uint8_t *chunk = malloc(CHUNK);
	char path[FS_PATH_MAX];
	enum rc rc = fs_join(path, sizeof(path), dir, "output");
	int fd = -1;

	if (chunk == NULL)
		rc = RC_NOMEM;
	if (rc == RC_OK)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (rc == RC_OK && fd < 0)
		rc = errno == ENOENT ? RC_NOTFOUND : RC_IO;
	while (rc == RC_OK && notes_offset(n) < to && at_most > 0) {
		uint64_t left = to - notes_offset(n);
		size_t want = left < CHUNK ? (size_t)left : CHUNK;
		ssize_t got = pread(fd, chunk, want, (off_t)notes_offset(n));

		if (got < 0)
			rc = RC_IO;
		if (got <= 0)
			break;
		rc = notes_feed(n, bytes_of(chunk, (size_t)got));
		at_most -= (uint64_t)got < at_most ? (uint64_t)got : at_most;
	}
	if (fd >= 0)
		(void)close(fd);
	free(chunk);
	return rc;
}

enum rc job_watch_output(struct job *job, struct fault *fault)
{
	return job->notes != NULL ? RC_OK
	                          : notes_open(job->dir, job->mask, &job->notes,
					&job->notes_saved, fault);
}

uint64_t job_readable(struct job *job)
{
	uint64_t max = job->place->output_max;

	if (job->state == JOB_SEALING || job->notes == NULL)
		return 0;
	/* Sealed once already: what is on the disk is not raw any more. */
	if (job->notes_saved)
		return 0;
	/* What is above will be cut off, and other bytes come there. */
	if (max == 0)
		max = RUN_OUTPUT_MAX;
	if (scan(job->notes, job->dir, max, SCAN_ONCE) == RC_NOMEM) {
		/* In between two bytes: begin anew, with the same end. */
		notes_free(job->notes);
		job->notes = NULL;
		if (notes_new(job->mask, &job->notes) != RC_OK)
			return 0;
	}
	return notes_decided(job->notes);
}

const struct notes *job_notes(const struct job *job)
{
	return job->state != JOB_SEALING ? job->notes : NULL;
}

/* --- Files -------------------------------------------------------------- */

/* Nothing on the way to it is a link, and nothing leads out of base. */
static int open_beneath(const char *base, const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
		           RESOLVE_NO_MAGICLINKS,
	};
	size_t len = strlen(base);
	int dir = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;

	if (dir < 0)
		return -1;
	if (strncmp(path, base, len) == 0 && path[len] == '/')
		path += len + 1;
	fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	(void)close(dir);
	return fd;
}

struct kept {
	const struct run_user *user;
	uint64_t total;
	uint64_t size;
	char digest[DIGEST_SIZE];
	const char *why; /* it cannot be kept */
};

/* We may read what the script's user may not: then he does not get it. */
static bool may_be_read(const struct run_user *user, const struct stat *st)
{
	return !user->other || st->st_uid == user->uid ||
	       (st->st_mode & S_IROTH) != 0;
}

static bool check_file(struct kept *k, int fd, const char *dir)
{
	uint64_t avail = 0;
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		k->why = "it is no regular file";
	else if (!may_be_read(k->user, &st))
		k->why = "its user may not read it";
	else if ((uint64_t)st.st_size > FILE_MAX)
		k->why = "it is above 64 MiB";
	else if (k->total + (uint64_t)st.st_size > FILES_MAX)
		k->why = "all together are above 256 MiB";
	else if (fs_free_bytes(dir, &avail) != RC_OK ||
		 avail < (uint64_t)st.st_size + LEAVE_FREE)
		k->why = "the disk has no room for it";
	else
		return true;
	return false;
}

static enum rc copy_bytes(
    struct kept *k, int from, int to, EVP_MD_CTX *sha, uint8_t *chunk)
{
	k->size = 0;
	for (;;) {
		ssize_t got = read(from, chunk, CHUNK);

		if (got < 0)
			return RC_IO;
		if (got == 0)
			return RC_OK;
		k->size += (uint64_t)got;
		/* It grows while we read. */
		if (k->size > FILE_MAX)
			return RC_LIMIT;
		if (EVP_DigestUpdate(sha, chunk, (size_t)got) != 1 ||
		    fs_write_all(to, chunk, (size_t)got) != RC_OK)
			return RC_IO;
	}
}

static enum rc copy_file(struct kept *k, int from, const char *path)
{
	int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint8_t digest[DIGEST_BYTES], *chunk = malloc(CHUNK);
	EVP_MD_CTX *sha = EVP_MD_CTX_new();
	enum rc rc = RC_IO;

	if (to >= 0 && chunk != NULL && sha != NULL &&
	    EVP_DigestInit_ex(sha, EVP_sha256(), NULL) == 1)
		rc = copy_bytes(k, from, to, sha, chunk);
	if (rc == RC_OK &&
	    (EVP_DigestFinal_ex(sha, digest, NULL) != 1 || fsync(to) != 0))
		rc = RC_IO;
	if (rc == RC_OK)
		hex_format(digest, sizeof(digest), k->digest);
	else
		k->why = "it could not be copied";
	if (to >= 0)
		(void)close(to);
	EVP_MD_CTX_free(sha);
	free(chunk);
	return rc;
}

static int open_named(const struct job *job, const char *path)
{
	const char *own = job->kept_user.other ? job->world : job->dir;
	const char *first = own;
	int fd;

	if (job->install != NULL)
		first = install_dir(job->install);
	else if (job->workdir[0] != '\0')
		first = job->workdir;
	fd = open_beneath(first, path);
	return fd >= 0 || first == own ? fd : open_beneath(own, path);
}

static enum rc keep_one(struct job *job, size_t i, struct kept *k)
{
	const char *title = notes_file_title(job->notes, i);
	char name[64], path[FS_PATH_MAX];
	int fd = open_named(job, notes_file_path(job->notes, i));
	enum rc rc;

	k->why = fd < 0 ? strerrordesc_np(errno) : NULL;
	(void)snprintf(
	    name, sizeof(name), "artifacts/%zu", notes_count(job->notes) + 1);
	rc = fs_join(path, sizeof(path), job->dir, name);
	if (rc == RC_OK && fd >= 0 && check_file(k, fd, job->dir) &&
	    copy_file(k, fd, path) == RC_OK) {
		k->total += k->size;
		rc = notes_add_artifact(job->notes, title, k->size, k->digest);
	} else if (rc == RC_OK) {
		rc = notes_warn(job->notes, "artifact %.200s: not kept: %s",
		    title, k->why != NULL ? k->why : "unknown");
	}
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

static enum rc keep_files(struct job *job, struct fault *fault)
{
	struct kept k = { .user = &job->kept_user };
	char path[FS_PATH_MAX];
	enum rc rc = RC_OK;

	if (notes_file_count(job->notes) == 0)
		return RC_OK;
	rc = run_user_find(job->m.user, &job->kept_user, fault);
	if (rc == RC_OK)
		rc = fs_join(path, sizeof(path), job->dir, "artifacts");
	if (rc == RC_OK)
		rc = fs_make_private_dir(path, fault);
	for (size_t i = 0; rc == RC_OK && i < notes_file_count(job->notes); i++)
		rc = keep_one(job, i, &k);
	return rc;
}

/* --- The end ------------------------------------------------------------ */

static enum rc save(struct notes *n, const char *dir, struct fault *fault)
{
	struct msg_note state;
	char path[FS_PATH_MAX];
	uint32_t version;
	enum rc rc = fs_join(path, sizeof(path), dir, "notes");

	notes_state(n, &state, &version);
	/* Most scripts say nothing, and there is no file to sync. */
	if (notes_count(n) == 0 && version == 0)
		return RC_OK;
	return rc == RC_OK ? notes_save(n, path, fault) : rc;
}

static enum rc scan_to_end(struct notes *n, const char *dir)
{
	enum rc rc = scan(n, dir, UINT64_MAX, UINT64_MAX);

	if (rc == RC_NOTFOUND)
		rc = RC_OK;
	return rc == RC_OK ? notes_end(n) : rc;
}

enum rc notes_seal(const char *dir, struct mask *mask, struct fault *fault)
{
	struct notes *n = NULL;
	bool saved;
	enum rc rc = notes_open(dir, mask, &n, &saved, fault);

	if (rc == RC_OK && !saved)
		rc = scan_to_end(n, dir);
	if (rc == RC_OK && !saved)
		rc = save(n, dir, fault);
	notes_free(n);
	return rc;
}

enum rc job_seal_notes(struct job *job, struct fault *fault)
{
	enum rc rc = job_watch_output(job, fault);

	if (rc != RC_OK || job->notes_saved)
		return rc;
	rc = scan_to_end(job->notes, job->dir);
	if (rc == RC_OK)
		rc = keep_files(job, fault);
	if (rc == RC_OK)
		rc = save(job->notes, job->dir, fault);
	if (rc != RC_OK && fault->code == REASON_NONE)
		fault_set(fault, REASON_INTERNAL, "",
		    "%.200s/output: what it says cannot be kept: %s", job->dir,
		    rc_name(rc));
	job->notes_saved = rc == RC_OK;
	return rc;
}

/* What a script said in its output: read as it comes, kept at its end. */
#include "tentacle/job_base.h"

#include "common/log.h"
#include "tentacle/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK      65536
#define SCAN_ONCE  (1u << 20) /* bytes, while the loop waits */
#define FILE_MAX   (UINT64_C(64) << 20)
#define FILES_MAX  (UINT64_C(256) << 20) /* of one ticket, together */
#define LEAVE_FREE (UINT64_C(64) << 20)
#define NOT_KEPT   "artifact %.200s: not kept: %.200s"

/* --- Reading the output ------------------------------------------------- */

enum rc notes_open(const char *dir, struct mask *mask, struct notes **out,
    bool *saved, struct fault *fault)
{
	char path[FS_PATH_MAX];
	enum rc lost, rc = fs_join(path, sizeof(path), dir, "notes");

	if (rc == RC_OK)
		rc = notes_load(mask, path, out);
	*saved = rc == RC_OK;
	if (rc == RC_OK)
		return RC_OK;
	lost = rc;
	if (rc != RC_NOMEM)
		rc = notes_new(mask, out);
	/* Whatever became of it: the result must go out. */
	if (rc == RC_OK && lost != RC_NOTFOUND) {
		rc = notes_warn(*out,
		    "what the script said before is lost: the file `notes` of "
		    "its ticket cannot be read: %s",
		    rc_name(lost));
		if (rc != RC_OK)
			notes_free(*out);
	}
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

struct kept {
	char place[FS_PATH_MAX]; /* where they go */
	uint64_t total, size;
	char digest[DIGEST_SIZE];
	const char *why; /* this one cannot be kept */
};

static bool check_file(struct kept *k, int fd)
{
	uint64_t avail = 0;
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		k->why = "it is no regular file";
	else if ((uint64_t)st.st_size > FILE_MAX)
		k->why = "it is above 64 MiB";
	else if (k->total + (uint64_t)st.st_size > FILES_MAX)
		k->why = "all together are above 256 MiB";
	else if (fs_free_bytes(k->place, &avail) != RC_OK ||
		 avail < (uint64_t)st.st_size + LEAVE_FREE)
		k->why = "the disk has no room for it";
	else
		return true;
	return false;
}

static bool copy_file(struct kept *k, int fd, size_t number)
{
	uint64_t left = FILES_MAX - k->total;
	char name[24], path[FS_PATH_MAX];
	enum rc rc;

	(void)snprintf(name, sizeof(name), "%zu", number);
	rc = fs_join(path, sizeof(path), k->place, name);
	if (rc == RC_OK)
		rc = keep_copy(fd, path, left < FILE_MAX ? left : FILE_MAX,
		    &k->size, k->digest);
	if (rc == RC_LIMIT)
		k->why = "it grew above the limit while it was copied";
	else if (rc != RC_OK)
		k->why = "it could not be copied";
	return rc == RC_OK;
}

static int open_named(const struct job *job, const char *path)
{
	char own[FS_PATH_MAX];
	const char *first = own;
	int fd;

	if (job->kept_user.other)
		(void)snprintf(own, sizeof(own), "%s", job->world);
	else if (fs_join(own, sizeof(own), job->dir, RUN_WORK) != RC_OK)
		return -1;
	if (job->install != NULL)
		first = install_dir(job->install);
	else if (job->workdir[0] != '\0')
		first = job->workdir;
	fd = keep_open(&job->kept_user, first, path);
	return fd >= 0 || first == own ? fd
	                               : keep_open(&job->kept_user, own, path);
}

static enum rc keep_one(struct job *job, size_t i, struct kept *k)
{
	const char *title = notes_file_title(job->notes, i);
	int fd = open_named(job, notes_file_path(job->notes, i));
	bool kept;

	k->why = fd < 0 ? strerrordesc_np(errno) : NULL;
	kept = fd >= 0 && check_file(k, fd) &&
	       copy_file(k, fd, notes_count(job->notes) + 1);
	if (fd >= 0)
		(void)close(fd);
	if (!kept)
		return notes_warn(
		    job->notes, NOT_KEPT, title, k->why != NULL ? k->why : "");
	k->total += k->size;
	return notes_add_artifact(job->notes, title, k->size, k->digest);
}

/* One that cannot be kept is a warning, and no more: that all can be told. */
static enum rc keep_files(struct job *job)
{
	struct fault broken = { 0 };
	struct kept k = { .total = 0 };
	enum rc rc = RC_OK;
	bool able;

	if (notes_file_count(job->notes) == 0)
		return RC_OK;
	able =
	    run_user_find(job->m.user, &job->kept_user, &broken) == RC_OK &&
	    fs_join(k.place, sizeof(k.place), job->dir, "artifacts") == RC_OK &&
	    fs_make_private_dir(k.place, &broken) == RC_OK;
	for (size_t i = 0; rc == RC_OK && i < notes_file_count(job->notes); i++)
		rc = able ? keep_one(job, i, &k)
		          : notes_warn(job->notes, NOT_KEPT,
				notes_file_title(job->notes, i), broken.text);
	/* Before the notes that name them. */
	if (able && fs_sync_dir(k.place) != RC_OK)
		log_warn("job", job->ticket, "%s: cannot be synced: %s",
		    k.place, strerrordesc_np(errno));
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
	/* What was not seen may be a secret. */
	if (rc != RC_OK)
		mask_blank_rest(mask, 0);
	if (rc == RC_OK && !saved)
		rc = save(n, dir, fault);
	notes_free(n);
	return rc;
}

enum rc job_seal_notes(struct job *job, struct fault *fault)
{
	enum rc rc = job_watch_output(job, fault);
	uint64_t seen = rc == RC_OK ? notes_decided(job->notes) : 0;

	if (rc == RC_OK && job->notes_saved)
		return RC_OK;
	if (rc == RC_OK)
		rc = scan_to_end(job->notes, job->dir);
	/* What was not seen may be a secret. */
	if (rc != RC_OK)
		mask_blank_rest(job->mask, seen);
	if (rc == RC_OK)
		rc = keep_files(job);
	if (rc == RC_OK)
		rc = save(job->notes, job->dir, fault);
	if (rc != RC_OK && fault->code == REASON_NONE)
		fault_set(fault, REASON_INTERNAL, "",
		    "%.200s/output: what it says cannot be kept: %s", job->dir,
		    rc_name(rc));
	job->notes_saved = rc == RC_OK;
	return rc;
}

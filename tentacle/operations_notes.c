/* What scripts say of themselves, for those who follow them. */
#include "tentacle/operations_base.h"

#include "common/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void operations_notes_drop(struct operations *ops)
{
	notes_free(ops->noted_notes);
	mask_free(ops->noted_mask);
	ops->noted_notes = NULL;
	ops->noted_mask = NULL;
	ops->noted[0] = '\0';
}

/* One ticket's at a time: whoever follows reads them to the end at once. */
static MUST_CHECK enum rc load_ended(struct operations *ops, const char *ticket)
{
	char dir[FS_PATH_MAX];
	bool saved;
	enum rc rc;

	if (strcmp(ops->noted, ticket) == 0)
		return RC_OK;
	operations_notes_drop(ops);
	rc = fs_join(dir, sizeof(dir), ops->runs, ticket);
	if (rc == RC_OK)
		rc = mask_new(&ops->noted_mask);
	if (rc == RC_OK)
		rc = notes_open(
		    dir, ops->noted_mask, &ops->noted_notes, &saved, NULL);
	if (rc != RC_OK) {
		operations_notes_drop(ops);
		return rc;
	}
	(void)snprintf(ops->noted, sizeof(ops->noted), "%s", ticket);
	return RC_OK;
}

/* RC_AGAIN: not there now. */
static MUST_CHECK enum rc find_notes(struct operations *ops, const char *ticket,
    const struct notes **out, bool *ended)
{
	const struct ticket *t = operations_find_ticket(ops, ticket);
	const struct entry *e = operations_find_job(ops, ticket);
	enum rc rc = RC_OK;

	*ended = t == NULL || t->ended;
	*out = NULL;
	if (t == NULL || t->forgotten)
		return RC_NOTFOUND;
	if (t->ended) {
		rc = load_ended(ops, ticket);
		*out = ops->noted_notes;
	} else if (e != NULL) {
		*out = job_notes(e->job);
	}
	return rc == RC_OK && *out == NULL ? RC_AGAIN : rc;
}

/* -1: it is gone, or not whole. */
static int open_artifact(const struct operations *ops, const char *ticket,
    uint32_t number, uint64_t size)
{
	char dir[FS_PATH_MAX], path[FS_PATH_MAX], name[48];
	struct stat st;
	int fd;

	(void)snprintf(name, sizeof(name), "artifacts/%u", (unsigned)number);
	if (fs_join(dir, sizeof(dir), ops->runs, ticket) != RC_OK ||
	    fs_join(path, sizeof(path), dir, name) != RC_OK)
		return -1;
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && (fstat(fd, &st) != 0 || (uint64_t)st.st_size != size)) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

/* Its place in the order is kept, so that all that follows can be told. */
static void check_artifact(
    struct operations *ops, const char *ticket, struct msg_note *note)
{
	int fd = open_artifact(ops, ticket, note->number, note->size);

	if (fd >= 0) {
		(void)close(fd);
		return;
	}
	(void)snprintf(ops->gone, sizeof(ops->gone),
	    "artifact %.*s: it was kept on the machine, and cannot be read any "
	    "more",
	    (int)(note->name.len < 200 ? note->name.len : 200),
	    (const char *)note->name.p);
	log_warn("job", ticket, "%s", ops->gone);
	*note = (struct msg_note){ .number = note->number,
		.kind = NOTE_WARNING,
		.text = bytes_text(ops->gone) };
}

enum rc operations_note(struct operations *ops, const char *ticket,
    uint32_t number, struct msg_note *out)
{
	const struct notes *n;
	bool ended;
	enum rc rc = find_notes(ops, ticket, &n, &ended);

	if (rc != RC_OK)
		return rc;
	if (number == 0 || number > notes_count(n))
		return ended ? RC_NOTFOUND : RC_AGAIN;
	notes_get(n, number, out);
	if (out->kind == NOTE_ARTIFACT)
		check_artifact(ops, ticket, out);
	return RC_OK;
}

/* Who waits cannot say so himself. */
static bool tell_waiting(struct operations *ops, const struct entry *e,
    uint32_t *version, struct msg_note *out)
{
	const struct entry *other = operations_blocker(ops, e);
	uint32_t now;
	bool shared;

	if (other == NULL)
		return false;
	(void)snprintf(ops->waiting, sizeof(ops->waiting),
	    "waits for the lock %s, which %s %s", job_lock(e->job, &shared),
	    job_task(other->job),
	    job_holds_lock(other->job) ? "holds" : "gets first");
	now = crc32_of(bytes_text(ops->waiting)) | 0x80000000;
	if (now == *version)
		return false;
	*version = now;
	*out = (struct msg_note){ .kind = NOTE_STATE,
		.text = bytes_text(ops->waiting) };
	return true;
}

bool operations_state(struct operations *ops, const char *ticket,
    uint32_t *version, struct msg_note *out)
{
	const struct entry *e = operations_find_job(ops, ticket);
	const struct notes *n;
	uint32_t now;
	bool ended;

	if (e != NULL && !job_holds_lock(e->job))
		return tell_waiting(ops, e, version, out);
	if (find_notes(ops, ticket, &n, &ended) != RC_OK)
		return false;
	notes_state(n, out, &now);
	if (now == *version)
		return false;
	*version = now;
	return true;
}

void operations_artifact(const struct operations *ops, const char *ticket,
    uint32_t number, uint64_t size, struct runlog_range *range)
{
	uint64_t left = range->offset < size ? size - range->offset : 0;
	int fd = open_artifact(ops, ticket, number, size);
	ssize_t got = -1;

	range->got = left < range->size ? (size_t)left : range->size;
	if (fd >= 0) {
		got = pread(fd, range->out, range->got, (off_t)range->offset);
		(void)close(fd);
	}
	if (got < 0)
		got = 0;
	memset(range->out + got, 0, range->got - (size_t)got);
}

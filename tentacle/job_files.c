/* The files of a ticket: spec, secrets, log. */
#include "tentacle/job.h"

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "tentacle/run.h"
#include "tentacle/runlog.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECRETS_MAX 4096 /* files, and the ends of directories */

enum rc job_write_spec(const char *runs, const char *ticket,
    struct bytes message, uint8_t digest[DIGEST_BYTES], struct fault *fault)
{
	struct blob_digest sha;
	char dir[FS_PATH_MAX], path[FS_PATH_MAX];
	enum rc rc = fs_join(dir, sizeof(dir), runs, ticket);

	if (rc == RC_OK)
		rc = fs_join(path, sizeof(path), dir, "spec");
	if (rc == RC_OK)
		rc = blob_digest_of(message.p, message.len, &sha);
	if (rc == RC_OK)
		rc = fs_make_private_dir(dir, fault);
	if (rc == RC_OK)
		rc = fs_write_atomic(path, message.p, message.len, 0600, fault);
	if (rc == RC_OK)
		rc = fs_sync_dir(runs);
	if (rc == RC_OK)
		memcpy(digest, sha.bytes, DIGEST_BYTES);
	return rc;
}

/* Few files, all of them ours; unless a script of our own user put more there:
 * then the rest goes with the ticket. */
static void remove_beneath(const char *dir, const char *name)
{
	uint64_t budget = SECRETS_MAX;
	struct fault fault = { 0 };
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum rc rc;

	if (fd < 0)
		return;
	rc = fs_remove_some(fd, name, &budget, &fault);
	if (rc != RC_OK)
		log_warn("job", name, "%s",
		    rc == RC_AGAIN ? "too many files to remove at once"
				   : fault.text);
	(void)close(fd);
}

void job_remove_secrets(const struct job_place *place, const char *ticket)
{
	char dir[FS_PATH_MAX];

	remains_add(place->remains, place->worlds, ticket);
	if (fs_join(dir, sizeof(dir), place->runs, ticket) != RC_OK)
		return;
	remove_beneath(dir, "secrets");
	remove_beneath(dir, "spec");
}

void job_remove_all(const struct job_place *place, const char *ticket)
{
	char dir[FS_PATH_MAX];

	job_remove_secrets(place, ticket);
	/* Groups that held what a script left behind, until now. */
	if (fs_join(dir, sizeof(dir), place->runs, ticket) == RC_OK)
		run_clear_groups(dir);
	remains_add(place->remains, place->runs, ticket);
}

enum rc job_end_unknown(const struct job_place *place,
    const struct ticket *ticket, struct fault *fault)
{
	struct journal_result r = { .state = TICKET_UNKNOWN,
		.cause = REASON_UNKNOWN,
		.started_ms = ticket->changed_ms };
	char dir[FS_PATH_MAX];
	struct mask *mask = NULL;
	int64_t now = clock_wall_ms();
	enum rc rc = fs_join(dir, sizeof(dir), place->runs, ticket->id);

	r.ended_ms = now > 0 ? (uint64_t)now : 0;
	(void)snprintf(r.text, sizeof(r.text),
	    "a script of this ticket may have run, and what is on the disk of "
	    "it cannot be read; nobody knows how it ended, and it is not "
	    "started again");
	/* Without them there is less to tell, and it ends all the same. */
	if (rc == RC_OK)
		rc = runlog_load_mask(dir, &mask, fault);
	if (rc == RC_OK && notes_seal(dir, mask, fault) != RC_OK)
		log_error("job", ticket->id, "%s", fault->text);
	if (rc == RC_OK)
		rc = runlog_seal(dir, mask, &r.log_size, r.log_sha256, fault);
	if (rc != RC_OK)
		log_error("job", ticket->id, "%s", fault->text);
	mask_free(mask);
	rc = ledger_end(place->ledger, ticket->id, &r, fault);
	if (rc == RC_OK)
		job_remove_secrets(place, ticket->id);
	return rc;
}

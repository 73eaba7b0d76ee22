/*
 * run_base.h - the inside of runs: for run*.c only.
 */
#ifndef TENTACLE_RUN_BASE_H
#define TENTACLE_RUN_BASE_H

#include "common/fs.h"
#include "tentacle/environment.h"
#include "tentacle/guardian/order.h"
#include "tentacle/guardian/process.h"
#include "tentacle/guardian/record.h"
#include "tentacle/run.h"

/* The directory of a script's guardians.  RC_LIMIT: too long. */
MUST_CHECK enum rc run_place(
    const char *dir, const char *name, char out[FS_PATH_MAX]);
/* A record in which nothing has happened yet, and its bytes. */
void run_new_record(struct guard_record *r, uint32_t attempt,
    uint64_t timeout_ms, uint8_t out[GUARD_RECORD_SIZE]);

/* run_user.c: who a script runs as.  other false: as we do. */
struct run_user {
	bool other;
	char name[NAME_SIZE], home[FS_PATH_MAX];
	uint64_t uid, gid;
	size_t group_count;
	uint64_t groups[GUARD_GROUPS_MAX];
};
/* RC_NOTFOUND: no such user; RC_DENIED: we are not root; RC_LIMIT. */
MUST_CHECK enum rc run_user_find(
    const char *name, struct run_user *out, struct fault *fault);
/* Make and fill the directory of its own. */
MUST_CHECK enum rc run_user_prepare(const struct run_spec *spec,
    const struct run_user *user, struct fault *fault);
/* What a script is told of, as this user. */
struct run_places {
	char script[FS_PATH_MAX];
	char secrets[FS_PATH_MAX]; /* directory */
	char work[FS_PATH_MAX];    /* directory that is its own */
};
/* RC_LIMIT: too long. */
MUST_CHECK enum rc run_user_places(const struct run_spec *spec,
    const struct run_user *user, struct run_places *out);

/*
 * run_end.c: in words for people, from what guardians wrote.  dir is the
 * ticket's, for what the script says of its interpreter.
 */
void run_describe(const struct guard_exit *e, const struct guard_order *o,
    const char *dir, struct run_end *out);
void run_describe_unknown(
    const struct guard_record *r, bool rebooted, struct run_end *out);
/* It never began, and will not: its guardians were ended again and again. */
void run_describe_unstarted(const struct guard_record *r, struct run_end *out);

#endif

/*
 * run_base.h - the inside of runs: for run*.c only.
 */
#ifndef TENTACLE_RUN_BASE_H
#define TENTACLE_RUN_BASE_H

#include "common/fs.h"
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

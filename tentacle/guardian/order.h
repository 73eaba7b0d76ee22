/*
 * order.h - what a guardian is told to run, as a file beside its record.
 * Pure: no file is touched.
 *
 *     file  = "LGORDER1" or "LGORDER2", u32 CRC of the rest, field...
 *     field = u8 tag, u32 length of the text, text, NUL
 *
 * Numbers are little-endian in frames and decimal as text.  A later version
 * may add tags: they are skipped.  What must not be skipped needs a number of
 * its own: with a user or limits it is LGORDER2, which a guardian that would
 * run the script as root and without any does not read.
 */
#ifndef TENTACLE_GUARDIAN_ORDER_H
#define TENTACLE_GUARDIAN_ORDER_H

#include "proto/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUARD_ORDER_MAX  4194304 /* bytes of the file */
#define GUARD_ARGS_MAX   8
#define GUARD_GROUPS_MAX 64

struct guard_order {
	const char *ticket;  /* may be ""; 32 hex digits otherwise */
	const char *name;    /* of the script's file; a word */
	const char *workdir; /* absolute */
	size_t arg_count;
	char *
	    args[GUARD_ARGS_MAX + 1]; /* args[0] is executed; NULL at the end */
	size_t env_count;
	char *const *env; /* NULL at the end */
	char **own_env;   /* what env is, when it was made by decoding */
	uint64_t timeout_ms, grace_ms;
	uint64_t output_max; /* bytes */
	bool passing;        /* nobody asks after a crash: sync nothing */
	uint64_t memory;     /* bytes; 0: no limit */
	uint64_t processes;  /* 0: no limit */
	bool has_user;       /* run as another user: */
	uint64_t uid, gid;
	size_t group_count;
	uint64_t groups[GUARD_GROUPS_MAX];
};

/* Into *out, which the caller frees.  RC_LIMIT: too long; RC_NOMEM. */
MUST_CHECK enum rc guard_order_encode(
    const struct guard_order *o, uint8_t **out, size_t *len);
/*
 * Texts point into data, which is not changed and must outlive o.  RC_PROTO:
 * broken, or something is missing; RC_NOMEM.  On success clear o.
 */
MUST_CHECK enum rc guard_order_decode(
    uint8_t *data, size_t len, struct guard_order *o);
void guard_order_clear(struct guard_order *o);

#endif

/*
 * operations.h - what a server may ask of this machine, without the network.
 *
 *     a frame of a standing seal -> operations_request() -> frames back
 *     attach: operations_read() when asked or on a timer, operations_result()
 *     stage:  operations_blobs()
 *
 * The caller has proven that the far end is a server.  One thread: the loop's.
 */
#ifndef TENTACLE_OPERATIONS_H
#define TENTACLE_OPERATIONS_H

#include "common/blob.h"
#include "proto/message_deploy.h"
#include "tentacle/health.h"
#include "tentacle/job.h"
#include "tentacle/runlog.h"

#define OPERATIONS_HEALTH_MAX 8 /* checks at once */

struct operations_config {
	const char *state; /* directory: journal, runs/, checks/, blobs/ */
	const char *apps;  /* directory: installed packages; 0755 */
	struct run_machine machine; /* copied */
	const char *home;           /* of scripts */
	const char *guardian;       /* its program; NULL: beside our own */
	struct ticket_limits tickets;
	struct unpack_limits unpack;
	struct health_limits health;
	size_t running_max;  /* jobs at once; the others wait; default 8 */
	uint64_t output_max; /* bytes of one log; 0: default */
	uint64_t grace_ms;   /* of a cancelled script; 0: default */
	uint64_t keep_free;  /* refuse new work below, bytes */
	/* Staged packages: bytes of all, seconds since the last use of one. */
	uint64_t blobs_max, blobs_age_s;
	uint64_t hold_ms; /* the answer to `start` waits for a quick end */
	const char *lock; /* of scripts that name none; NULL, "": none */
	/* The disk failed: end the program at once.  Called on the loop. */
	void (*fatal)(void *arg);
	void *fatal_arg;
};

#define OPERATIONS_CONFIG_DEFAULT                                              \
	.tickets = TICKET_LIMITS_DEFAULT, .unpack = UNPACK_LIMITS_DEFAULT,     \
	.health = HEALTH_LIMITS_DEFAULT, .running_max = 8,                     \
	.keep_free = 64ull << 20, .blobs_max = 4ull << 30,                     \
	.blobs_age_s = 30ull * 24 * 3600, .hold_ms = 1000

struct operations; /* opaque */

/*
 * Replay the journal, adopt what runs, end what nobody can know, begin what
 * never started.  A
 * journal that cannot be trusted is no error here: the machine is then in
 * quarantine (operations_quarantine()), answers health and refuses orders.
 */
MUST_CHECK enum rc operations_open(struct loop *loop,
    struct worker_pool *workers, const struct operations_config *config,
    struct operations **out, struct fault *fault);
/* Free the workers first.  Scripts that run go on with their guardians, and are
 * adopted at the next start. */
void operations_close(struct operations *ops);

/* NULL: all is well. */
const struct fault *operations_quarantine(const struct operations *ops);
/* For greet: id and counter of the journal ("" and 0 in quarantine). */
const char *operations_journal(const struct operations *ops);
uint64_t operations_counter(const struct operations *ops);
/* Is a server of this life, which was welcomed, still to be obeyed?  false:
 * a newer one has been here since. */
bool operations_obey(
    const struct operations *ops, const struct msg_incarnation *incarnation);
/* For welcome: may a server of this life give orders?  Syncs a newer one.
 * RC_DENIED with a fault. */
MUST_CHECK enum rc operations_welcome(struct operations *ops,
    const struct msg_incarnation *incarnation, struct fault *fault);
struct blob_store *operations_blobs(struct operations *ops);

/* Where replies go; compared by arg.  Bytes are borrowed during the call. */
struct operations_caller {
	void (*send)(void *arg, struct bytes message);
	void *arg;
};

/*
 * One request.  The reply is sent before this returns, but for health: when its
 * script has ended; and start: when that has, or hold_ms later.  RC_PROTO: not
 * a request; close the seal (fault says why).
 */
MUST_CHECK enum rc operations_request(struct operations *ops,
    struct bytes frame, struct operations_caller caller, struct fault *fault);
/* Its seal is gone: nothing is sent to it any more. */
void operations_caller_gone(struct operations *ops, const void *arg);

/* May this server follow a ticket of its task?  Syncs that it owns the task:
 * who owned it before gives no orders for it any more.  RC_DENIED, or the disk
 * failed; *fault. */
MUST_CHECK enum rc operations_attach(struct operations *ops,
    const struct msg_attach *attach, struct fault *fault);
/*
 * Masked output of a ticket; range->got 0: none yet, or, when *ended, none any
 * more.  RC_NOTFOUND: unknown ticket, or no log.
 */
MUST_CHECK enum rc operations_read(struct operations *ops, const char *ticket,
    struct runlog_range *range, bool *ended);
/* RC_AGAIN: not yet.  Borrows from the index until the next call.  A ticket not
 * known has state unknown. */
MUST_CHECK enum rc operations_result(
    const struct operations *ops, const char *ticket, struct msg_result *out);

/*
 * What its script says: note `number` (1...), borrowed until the next call.
 * RC_AGAIN: not said yet; RC_NOTFOUND: it has ended and said no more.
 */
MUST_CHECK enum rc operations_note(struct operations *ops, const char *ticket,
    uint32_t number, struct msg_note *out);
/* How far it says it is (number 0).  false: as when *version was this. */
bool operations_state(struct operations *ops, const char *ticket,
    uint32_t *version, struct msg_note *out);
/*
 * Bytes of the artifact that is note `number`, of this size; range->got 0: the
 * end.  What cannot be read (any more) is told as zeros: its digest shows that,
 * and what follows can be told.
 */
void operations_artifact(const struct operations *ops, const char *ticket,
    uint32_t number, uint64_t size, struct runlog_range *range);

/* For status. */
size_t operations_open_tickets(const struct operations *ops);

#endif

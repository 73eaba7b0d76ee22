/*
 * operations_base.h - the inside of operations: for operations*.c only.
 */
#ifndef TENTACLE_OPERATIONS_BASE_H
#define TENTACLE_OPERATIONS_BASE_H

#include "common/fs.h"
#include "proto/lenframe.h"
#include "tentacle/operations.h"

#include <sys/queue.h>

struct entry {
	TAILQ_ENTRY(entry) link;
	struct job *job;
	struct operations *ops;
};

TAILQ_HEAD(entries, entry);

/* One health check on its way. */
struct check {
	struct operations *ops;
	struct health *health; /* NULL: free slot */
	struct loop_io *io;
	struct loop_timer *timer;
	struct operations_caller caller; /* send NULL: nobody waits any more */
	uint32_t id;
};

struct prune;
struct held;

struct operations {
	struct operations_config config;
	struct job_place place;
	struct ledger *ledger; /* NULL: quarantine */
	struct fault quarantine;
	struct blob_store *blobs;
	struct entries jobs; /* in the order of acceptance */
	size_t running;
	TAILQ_HEAD(, held) held; /* replies that wait */
	size_t held_count;
	bool told_fatal, closing;
	struct loop_timer *prune_timer;
	struct prune *prune; /* under way */
	char runs[FS_PATH_MAX], checks[FS_PATH_MAX];
	char worlds[FS_PATH_MAX], helpers[FS_PATH_MAX];
	char lock[NAME_SIZE];
	char apps[FS_PATH_MAX], home[FS_PATH_MAX];
	char machine_id[ID_SIZE], machine_name[NAME_SIZE];
	struct check health[OPERATIONS_HEALTH_MAX];
	/* Of a ticket that has ended, and is asked about. */
	char noted[ID_SIZE];
	char waiting[MSG_TEXT_MAX + 1]; /* for whom */
	char gone[MSG_TEXT_MAX + 1];    /* which artifact */
	struct mask *noted_mask;
	struct notes *noted_notes;
	struct ticket_plan plan; /* of the request at hand; large */
};

uint64_t operations_wall_ms(void);
uint64_t operations_boot_ms(void);
/* The disk failed: what we would answer from here on is worth nothing. */
bool operations_check_fatal(struct operations *ops);

const struct ticket *operations_find_ticket(
    const struct operations *ops, const char *id);
struct entry *operations_find_job(const struct operations *ops, const char *id);
void operations_begin_jobs(struct operations *ops);
MUST_CHECK enum rc operations_add_job(
    struct operations *ops, const struct ticket *ticket, struct fault *fault);
void operations_cancel_job(struct operations *ops, const char *id);
MUST_CHECK enum rc operations_end_lost(
    struct operations *ops, const struct ticket *t, const struct fault *why);
void operations_fill_result(
    const struct journal_result *r, struct msg_result *out);

/* Replies. */
void operations_begin_reply(
    const struct operations *ops, uint32_t id, struct msg_reply *reply);
/* Sends and frees what an encoder wrote, which returned rc. */
void operations_send(struct operations_caller caller, enum rc rc,
    struct packbuf *b, uint32_t id);
void operations_refuse(struct operations *ops, enum msg_op op, uint32_t id,
    const struct fault *fault, struct operations_caller caller);

void operations_reply_start(struct operations *ops, uint32_t id,
    const char *ticket, struct operations_caller caller);

/* operations_held.c */
/* The reply to `start` comes when the script has ended or said something, or
 * hold_ms have passed; false: answer now.  Before its job is begun. */
bool operations_hold(struct operations *ops, uint32_t id, const char *ticket,
    struct operations_caller caller);
void operations_answer_held(struct operations *ops, const char *ticket);
/* Those of one who is gone; NULL: all. */
void operations_drop_held(struct operations *ops, const void *arg);

/* operations_locks.c */
/* Another job that it must wait for; NULL: none. */
const struct entry *operations_blocker(
    const struct operations *ops, const struct entry *e);
MUST_CHECK enum rc operations_on_locks(struct operations *ops,
    struct bytes frame, struct operations_caller caller, struct fault *fault);
MUST_CHECK enum rc operations_on_lock_break(struct operations *ops,
    struct bytes frame, struct operations_caller caller, struct fault *fault);

/* operations_prune.c: begins at once, and goes on by itself. */
MUST_CHECK enum rc operations_prune_begin(struct operations *ops);
void operations_prune_end(struct operations *ops);

/* operations_notes.c */
void operations_notes_drop(struct operations *ops);

/* operations_health.c */
MUST_CHECK enum rc operations_on_health(struct operations *ops,
    struct bytes frame, struct operations_caller caller, struct fault *fault);
void operations_check_free(struct check *c);

#endif

/*
 * dispatch.h - between store, engine and fleet: the glue of the main loop.
 *
 *     open tasks --load--> engine <--facts-- answers of machines
 *                            |
 *              changes + facts -> one store job -> after its commit:
 *              commands -> fleet: start, attach, stage, health, cancel, forget
 *
 * A task is claimed in the database before it is loaded, so a restart goes on
 * from the rows by the same code as a new task begins.  Output of scripts goes
 * to files at its offset, is synced in batches on a worker, and only then told
 * by its length in the row.  Secrets are unwrapped in memory, for the message
 * that carries them into the seal.
 *
 * Everything here is of the main loop's thread.
 */
#ifndef SERVER_DISPATCH_DISPATCH_H
#define SERVER_DISPATCH_DISPATCH_H

#include "common/blob.h"
#include "common/worker.h"
#include "common/wrap.h"
#include "server/engine/engine.h"
#include "server/fleet/fleet.h"
#include "server/store/store.h"

struct dispatch;

/* The schedule of health checks. */
struct dispatch_health {
	uint64_t interval_ms; /* 0: none */
	uint64_t timeout_ms;
	uint32_t concurrency;       /* checks at once, in all */
	uint32_t relay_concurrency; /* and by way of one relay */
	const char *script; /* the operator's own check; "" or NULL: none */
};

struct dispatch_ops {
	/* Its state or a log of it changed (and is committed). */
	void (*task_changed)(void *owner, uint64_t number);
	/* The disk failed under us: the process must stop. */
	void (*broken)(void *owner, const struct fault *fault);
};

/* All borrowed while the dispatcher lives. */
struct dispatch_parts {
	struct loop *loop;
	struct worker_pool *pool; /* of the same loop */
	struct store *store;
	struct fleet *fleet;
	struct blob_store *blobs;
	const struct engine_limits *engine;
	struct dispatch_health health;
	const struct wrap_key *master;
	const char *log_dir;     /* <log_dir>/task-7/0-12-1.log */
	const char *owner_id;    /* this node and this life of it */
	const char *incarnation; /* as in the database */
	struct msg_incarnation incarnation_msg;
	const struct dispatch_ops *ops;
	void *owner;
};

MUST_CHECK enum rc dispatch_new(const struct dispatch_parts *parts,
    struct dispatch **out, struct fault *fault);
/* Take every open task and go on with it.  Blocks on the store to list them. */
MUST_CHECK enum rc dispatch_start(struct dispatch *d, struct fault *fault);
/*
 * Let go of everything: no op is called any more.  Jobs under way still answer
 * on the loop: run it until dispatch_pending() is 0, then free.  What was not
 * committed is done again after the next start.
 */
void dispatch_close(struct dispatch *d);
size_t dispatch_pending(const struct dispatch *d);
void dispatch_free(struct dispatch *d); /* NULL is fine */

/* Its row is committed: load it. */
void dispatch_task_created(struct dispatch *d, uint64_t number);
/* The request is in its row. */
void dispatch_task_cancel(struct dispatch *d, uint64_t number, const char *who);
/* A person's decision about it is in its rows. */
void dispatch_task_decided(struct dispatch *d, uint64_t number);
/* A machine came online: check it soon. */
void dispatch_machine_up(struct dispatch *d, const char *machine);
/* What it was asked and may have begun is unknown from here on. */
void dispatch_machine_forgot(
    struct dispatch *d, const char *machine, const struct fault *fault);
/* Added, removed, enabled...: the schedule follows. */
void dispatch_machine_changed(struct dispatch *d, const char *machine);

struct dispatch_counts {
	size_t tasks;     /* not final */
	size_t in_flight; /* runs starting or running */
};
void dispatch_count(const struct dispatch *d, struct dispatch_counts *out);

#endif

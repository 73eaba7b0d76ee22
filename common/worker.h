/*
 * worker.h - threads for what takes long: handshakes, hashing, unpacking.
 *
 * A job is handed over whole: between submit and done its data belongs to the
 * worker.  Answers come back on the loop, so no other code needs locks.
 */
#ifndef COMMON_WORKER_H
#define COMMON_WORKER_H

#include "common/loop.h"

struct worker_pool;

#define WORKER_THREADS_MAX 64

/* threads: 1..WORKER_THREADS_MAX; queue: how many jobs may wait. */
MUST_CHECK enum rc worker_pool_new(struct loop *loop, unsigned threads,
    unsigned queue, struct worker_pool **out);
/* Waits for running jobs; no done() is called any more, but drop(). */
void worker_pool_free(struct worker_pool *pool);

/*
 * Call work(arg) on a worker, then done(arg) on the loop.  Loop's thread.
 * RC_LIMIT: the queue is full; RC_NOMEM.  Then nothing is called.
 */
MUST_CHECK enum rc worker_submit(
    struct worker_pool *pool, loop_fn work, loop_fn done, void *arg);
/* The same, ahead of all that wait: for the few jobs that live work waits for,
 * while a fleet's handshakes stand in the queue. */
MUST_CHECK enum rc worker_submit_first(
    struct worker_pool *pool, loop_fn work, loop_fn done, void *arg);
/* As worker_submit(); when the pool goes first, drop(arg) is called instead of
 * done(). */
MUST_CHECK enum rc worker_submit_owned(struct worker_pool *pool, loop_fn work,
    loop_fn done, loop_fn drop, void *arg);

#endif

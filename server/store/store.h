/*
 * store.h - the SQL thread: one connection, all jobs, one commit for many.
 *
 *     store_submit(job) -> queue -> [BEGIN, each job in a SAVEPOINT, COMMIT]
 *                       -> done(job, rc) on the loop that asked
 *
 * A job embeds struct store_job as a member of its own struct and finds itself
 * again by CONTAINER_OF.  It owns what it needs; the loop that asked does not
 * touch it until done().  A job whose run() fails is rolled back alone; done()
 * with RC_OK means that the change is on the disk.
 *
 * When the disk fails (a failed fsync), the store is broken for good: all jobs
 * are answered RC_IO and store_broken() is true.  The process must stop.
 */
#ifndef SERVER_STORE_STORE_H
#define SERVER_STORE_STORE_H

#include "server/store/db.h"

#define STORE_QUEUE_MAX 8192 /* jobs waiting; more are refused */
#define STORE_GROUP_MAX 256  /* jobs that share one commit at most */

#define CONTAINER_OF(pointer, type, member)                                    \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

struct store; /* opaque; fields live in store.c */

/*
 * Run fn(arg) on that loop's thread, soon, in the order of posting.  What is
 * not RC_OK is tried again: an answer is never lost.
 */
typedef enum rc (*store_post)(void *loop, void (*fn)(void *), void *arg);
/* The one for loops that are struct loop (common/loop.h). */
MUST_CHECK enum rc store_post_to_loop(
    void *loop, void (*fn)(void *), void *arg);

struct store_job {
	/* On the SQL thread, in a savepoint.  Not RC_OK: rolled back. */
	enum rc (*run)(struct db *db, struct store_job *job);
	/*
	 * After the commit, on loop's thread (loop NULL: on the SQL thread).
	 * May free the job or submit it again.  rc is what run() returned, or
	 * why the commit failed.
	 */
	void (*done)(struct store_job *job, enum rc rc);
	void *loop;
	/* The store's own. */
	struct store_job *next;
	enum rc rc;
	/* For done(): RC_IO because the disk is full, its own write or that of
	 * another job of the same commit. */
	bool full;
};

/*
 * Lock dir (a second server on it is refused), open or create
 * dir/longarm.db, migrate it, start the thread.  RC_STATE: the directory is in
 * use, or the schema is newer than this program.  post may be NULL when every
 * job has loop NULL.
 */
MUST_CHECK enum rc store_open(
    const char *dir, store_post post, struct store **out, struct fault *fault);
/* Finish what is queued, call each done(), close.  NULL is fine. */
void store_close(struct store *s);

/*
 * Queue a job; any thread.  RC_LIMIT: too many wait, try later (the job is
 * still the caller's).  RC_STATE: the store is closing.
 */
MUST_CHECK enum rc store_submit(struct store *s, struct store_job *job);
/* Queue and wait for the commit: for start-up and tests, never from a loop.
 * done may be NULL and is not called. */
MUST_CHECK enum rc store_call(struct store *s, struct store_job *job);

/* Any thread. */
bool store_broken(struct store *s);
/* fn(arg) on loop's thread, once, when it breaks: stop the process there.  Set
 * before jobs that may break it. */
void store_on_broken(
    struct store *s, void *loop, void (*fn)(void *), void *arg);

/* Numbers for /metrics.  Any thread. */
struct store_counts {
	uint64_t jobs;    /* finished, also those that failed */
	uint64_t failed;  /* of these: run() or the commit failed */
	uint64_t commits; /* jobs / commits: how well grouping works */
	uint64_t queued;  /* now */
};
void store_count(struct store *s, struct store_counts *out);

#endif

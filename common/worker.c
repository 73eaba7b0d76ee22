#include "common/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

struct job {
	struct job *next;
	loop_fn work, done, drop; /* drop may be NULL */
	void *arg;
};

struct worker_pool {
	struct loop_io *io; /* readable: jobs are finished */
	int fd;
	pthread_mutex_t lock; /* guards what follows, but for the threads */
	pthread_cond_t ready;
	struct job *first, **last;                   /* waiting */
	struct job *first_finished, **last_finished; /* done() is due */
	unsigned waiting, queue;
	bool stopping;
	unsigned thread_count;
	pthread_t threads[WORKER_THREADS_MAX];
};

static struct job *next_job(struct worker_pool *pool)
{
	struct job *job = NULL;

	(void)pthread_mutex_lock(&pool->lock);
	while (pool->first == NULL && !pool->stopping)
		(void)pthread_cond_wait(&pool->ready, &pool->lock);
	if (!pool->stopping) {
		job = pool->first;
		pool->first = job->next;
		if (pool->first == NULL)
			pool->last = &pool->first;
		pool->waiting--;
	}
	(void)pthread_mutex_unlock(&pool->lock);
	return job;
}

static void finish(struct worker_pool *pool, struct job *job)
{
	const uint64_t one = 1;
	ssize_t written;

	job->next = NULL;
	(void)pthread_mutex_lock(&pool->lock);
	*pool->last_finished = job;
	pool->last_finished = &job->next;
	(void)pthread_mutex_unlock(&pool->lock);
	/* Fails only when the counter is full: then it is readable anyway. */
	written = write(pool->fd, &one, sizeof(one));
	(void)written;
}

/* Where cores are few, the loop and what is live on it go first: a fleet that
 * returns makes many handshakes.  A lower rank is always granted. */
#define NICE 5

static void *serve(void *arg)
{
	struct worker_pool *pool = arg;
	struct job *job;

	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	while ((job = next_job(pool)) != NULL) {
		job->work(job->arg);
		finish(pool, job);
	}
	return NULL;
}

static struct job *next_finished(struct worker_pool *pool)
{
	struct job *job;

	(void)pthread_mutex_lock(&pool->lock);
	job = pool->first_finished;
	if (job != NULL)
		pool->first_finished = job->next;
	if (pool->first_finished == NULL)
		pool->last_finished = &pool->first_finished;
	(void)pthread_mutex_unlock(&pool->lock);
	return job;
}

static void on_finished(void *arg, unsigned ready)
{
	struct worker_pool *pool = arg;
	uint64_t count;
	struct job *job;

	(void)ready;
	if (read(pool->fd, &count, sizeof(count)) != sizeof(count))
		return;
	while ((job = next_finished(pool)) != NULL) {
		job->done(job->arg);
		free(job);
	}
}

enum rc worker_pool_new(struct loop *loop, unsigned threads, unsigned queue,
    struct worker_pool **out)
{
	struct worker_pool *pool;
	sigset_t all, before;

	if (threads < 1 || threads > WORKER_THREADS_MAX || queue < 1)
		return RC_STATE;
	pool = calloc(1, sizeof(*pool));
	if (pool == NULL)
		return RC_NOMEM;
	pool->queue = queue;
	pool->last = &pool->first;
	pool->last_finished = &pool->first_finished;
	(void)pthread_mutex_init(&pool->lock, NULL);
	(void)pthread_cond_init(&pool->ready, NULL);
	pool->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->fd < 0 || loop_io_new(loop, pool->fd, on_finished, pool,
				&pool->io) != RC_OK) {
		worker_pool_free(pool);
		return RC_NOMEM;
	}
	loop_io_want(pool->io, LOOP_READ);
	/* Signals are the loop's business. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 0; i < threads; i++) {
		if (pthread_create(&pool->threads[i], NULL, serve, pool) != 0)
			break;
		pool->thread_count++;
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pool->thread_count == 0) {
		worker_pool_free(pool);
		return RC_NOMEM;
	}
	*out = pool;
	return RC_OK;
}

static void drop_all(struct job *job)
{
	while (job != NULL) {
		struct job *next = job->next;

		if (job->drop != NULL)
			job->drop(job->arg);
		free(job);
		job = next;
	}
}

void worker_pool_free(struct worker_pool *pool)
{
	if (pool == NULL)
		return;
	(void)pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	(void)pthread_cond_broadcast(&pool->ready);
	(void)pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->thread_count; i++)
		(void)pthread_join(pool->threads[i], NULL);
	drop_all(pool->first);
	drop_all(pool->first_finished);
	loop_io_free(pool->io);
	if (pool->fd >= 0)
		(void)close(pool->fd);
	(void)pthread_cond_destroy(&pool->ready);
	(void)pthread_mutex_destroy(&pool->lock);
	free(pool);
}

static void append(struct worker_pool *pool, struct job *job)
{
	job->next = NULL;
	*pool->last = job;
	pool->last = &job->next;
}

static void prepend(struct worker_pool *pool, struct job *job)
{
	job->next = pool->first;
	pool->first = job;
	if (job->next == NULL)
		pool->last = &job->next;
}

static MUST_CHECK enum rc submit(struct worker_pool *pool,
    const struct job *what, void (*put)(struct worker_pool *, struct job *))
{
	struct job *job = malloc(sizeof(*job));
	enum rc rc = RC_OK;

	if (job == NULL)
		return RC_NOMEM;
	*job = *what;
	(void)pthread_mutex_lock(&pool->lock);
	if (pool->waiting >= pool->queue) {
		rc = RC_LIMIT;
	} else {
		put(pool, job);
		pool->waiting++;
		(void)pthread_cond_signal(&pool->ready);
	}
	(void)pthread_mutex_unlock(&pool->lock);
	if (rc != RC_OK)
		free(job);
	return rc;
}

enum rc worker_submit_owned(struct worker_pool *pool, loop_fn work,
    loop_fn done, loop_fn drop, void *arg)
{
	const struct job job = {
		.work = work, .done = done, .drop = drop, .arg = arg
	};

	return submit(pool, &job, append);
}

enum rc worker_submit(
    struct worker_pool *pool, loop_fn work, loop_fn done, void *arg)
{
	return worker_submit_owned(pool, work, done, NULL, arg);
}

enum rc worker_submit_first(
    struct worker_pool *pool, loop_fn work, loop_fn done, void *arg)
{
	const struct job job = { .work = work, .done = done, .arg = arg };

	return submit(pool, &job, prepend);
}

#include "common/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct job {
	struct job *next;
	loop_fn work, done;
	void *arg;
};

struct worker_pool {
	struct loop *loop;
	pthread_mutex_t lock; /* guards what follows, but for the threads */
	pthread_cond_t ready;
	struct job *first, **last;
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

static void *serve(void *arg)
{
	struct worker_pool *pool = arg;
	struct job *job;

	while ((job = next_job(pool)) != NULL) {
		job->work(job->arg);
		/* Out of memory here would lose an answer: that is fatal. */
		if (loop_post(pool->loop, job->done, job->arg) != RC_OK)
			abort();
		free(job);
	}
	return NULL;
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
	pool->loop = loop;
	pool->queue = queue;
	pool->last = &pool->first;
	(void)pthread_mutex_init(&pool->lock, NULL);
	(void)pthread_cond_init(&pool->ready, NULL);
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
	while (pool->first != NULL) {
		struct job *job = pool->first;

		pool->first = job->next;
		free(job);
	}
	(void)pthread_cond_destroy(&pool->ready);
	(void)pthread_mutex_destroy(&pool->lock);
	free(pool);
}

enum rc worker_submit(
    struct worker_pool *pool, loop_fn work, loop_fn done, void *arg)
{
	struct job *job = malloc(sizeof(*job));
	enum rc rc = RC_OK;

	if (job == NULL)
		return RC_NOMEM;
	*job = (struct job){ .work = work, .done = done, .arg = arg };
	(void)pthread_mutex_lock(&pool->lock);
	if (pool->waiting >= pool->queue) {
		rc = RC_LIMIT;
	} else {
		*pool->last = job;
		pool->last = &job->next;
		pool->waiting++;
		(void)pthread_cond_signal(&pool->ready);
	}
	(void)pthread_mutex_unlock(&pool->lock);
	if (rc != RC_OK)
		free(job);
	return rc;
}

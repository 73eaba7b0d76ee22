#include "server/store/store.h"
#include "common/loop.h"
#include "server/store/migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define DATABASE_NAME "longarm.db"

struct store {
	struct db *db; /* the thread's once it runs */
	store_post post;
	int dir_fd; /* holds the lock */
	pthread_t thread;
	bool started;

	pthread_mutex_t mutex; /* guards what follows */
	pthread_cond_t more;
	struct store_job *first, *last;
	bool closing;
	bool broken;
	struct {
		void *loop;
		void (*fn)(void *);
		void *arg;
	} alarm; /* fn NULL: nobody waits for it */
	struct store_counts counts;
};

/* ---- the queue ---- */

enum rc store_submit(struct store *s, struct store_job *job)
{
	enum rc rc = RC_OK;

	pthread_mutex_lock(&s->mutex);
	if (s->closing)
		rc = RC_STATE;
	else if (s->counts.queued >= STORE_QUEUE_MAX)
		rc = RC_LIMIT;
	if (rc == RC_OK) {
		job->next = NULL;
		if (s->last == NULL)
			s->first = job;
		else
			s->last->next = job;
		s->last = job;
		s->counts.queued++;
		pthread_cond_signal(&s->more);
	}
	pthread_mutex_unlock(&s->mutex);
	return rc;
}

/* Waits for jobs; NULL: closing and nothing is left. */
static struct store_job *take_group(struct store *s)
{
	struct store_job *head, *tail;
	uint64_t n = 1;

	pthread_mutex_lock(&s->mutex);
	while (s->first == NULL && !s->closing)
		pthread_cond_wait(&s->more, &s->mutex);
	head = s->first;
	tail = head;
	if (head != NULL) {
		for (; n < STORE_GROUP_MAX && tail->next != NULL; n++)
			tail = tail->next;
		s->first = tail->next;
		if (s->first == NULL)
			s->last = NULL;
		tail->next = NULL;
		s->counts.queued -= n;
	}
	pthread_mutex_unlock(&s->mutex);
	return head;
}

/* ---- one group ---- */

static void fail_all(struct store_job *group, enum rc rc)
{
	for (struct store_job *j = group; j != NULL; j = j->next)
		if (j->rc == RC_OK)
			j->rc = rc;
}

/* Also those whose neighbour found no room: all of them were rolled back. */
static void tell_full(const struct db *db, struct store_job *group)
{
	for (struct store_job *j = group; j != NULL; j = j->next)
		j->full = j->rc == RC_IO && db_full(db);
}

/* False: the transaction is gone (disk full, out of memory inside SQLite). */
static bool run_job(struct store *s, struct store_job *job)
{
	enum rc undo;

	job->rc = db_exec(s->db, "SAVEPOINT job");
	if (job->rc != RC_OK)
		return false;
	job->rc = job->run(s->db, job);
	if (!db_in_transaction(s->db)) {
		if (job->rc == RC_OK)
			job->rc = RC_IO;
		return false;
	}
	undo = job->rc == RC_OK ? RC_OK : db_exec(s->db, "ROLLBACK TO job");
	if (undo == RC_OK)
		undo = db_exec(s->db, "RELEASE job");
	return undo == RC_OK;
}

static void run_group(struct store *s, struct store_job *group)
{
	struct store_job *job;
	bool whole = true;
	enum rc rc;

	for (job = group; job != NULL; job = job->next)
		job->rc = RC_OK;
	rc = db_broken(s->db) ? RC_IO : db_begin(s->db);
	if (rc != RC_OK) {
		fail_all(group, rc);
		return;
	}
	for (job = group; whole && job != NULL; job = job->next)
		whole = run_job(s, job);
	rc = whole ? db_exec(s->db, "COMMIT") : RC_IO;
	if (rc == RC_OK)
		return;
	fail_all(group, rc);
	db_rollback(s->db);
}

/* ---- answers ---- */

/* On the loop: a chain of jobs that all belong to it. */
static void finish_chain(void *arg)
{
	struct store_job *job = arg;

	while (job != NULL) {
		struct store_job *next = job->next;

		job->next = NULL;
		job->done(job, job->rc);
		job = next;
	}
}

static void answer(struct store *s, struct store_job *chain)
{
	const struct timespec pause = { .tv_nsec = 10000000 };

	if (chain->loop == NULL) {
		finish_chain(chain);
		return;
	}
	while (s->post(chain->loop, finish_chain, chain) != RC_OK)
		(void)nanosleep(&pause, NULL);
}

/* One message per run of neighbours with the same loop: order is kept. */
static void answer_group(struct store *s, struct store_job *group)
{
	while (group != NULL) {
		struct store_job *chain = group, *tail = group;

		while (tail->next != NULL && tail->next->loop == chain->loop)
			tail = tail->next;
		group = tail->next;
		tail->next = NULL;
		answer(s, chain);
	}
}

/* Without memory for it the next group tries again. */
static void alarm_once(struct store *s)
{
	if (s->alarm.fn != NULL &&
	    s->post(s->alarm.loop, s->alarm.fn, s->alarm.arg) == RC_OK)
		s->alarm.fn = NULL;
}

static void count_group(struct store *s, const struct store_job *group)
{
	uint64_t jobs = 0, failed = 0;

	for (; group != NULL; group = group->next) {
		jobs++;
		failed += group->rc != RC_OK;
	}
	pthread_mutex_lock(&s->mutex);
	s->counts.jobs += jobs;
	s->counts.failed += failed;
	s->counts.commits++;
	s->broken = db_broken(s->db);
	if (s->broken)
		alarm_once(s);
	pthread_mutex_unlock(&s->mutex);
}

static void *sql_thread(void *arg)
{
	struct store *s = arg;
	struct store_job *group;

	while ((group = take_group(s)) != NULL) {
		run_group(s, group);
		tell_full(s->db, group);
		count_group(s, group);
		answer_group(s, group);
	}
	return NULL;
}

/* ---- waiting for one ---- */

struct call {
	struct store_job job; /* stands in for the caller's */
	struct store_job *inner;
	pthread_mutex_t mutex;
	pthread_cond_t ended;
	bool done;
	enum rc rc;
};

static enum rc call_run(struct db *db, struct store_job *job)
{
	struct call *c = CONTAINER_OF(job, struct call, job);

	return c->inner->run(db, c->inner);
}

static void call_done(struct store_job *job, enum rc rc)
{
	struct call *c = CONTAINER_OF(job, struct call, job);

	pthread_mutex_lock(&c->mutex);
	c->rc = rc;
	c->done = true;
	pthread_cond_signal(&c->ended);
	pthread_mutex_unlock(&c->mutex);
}

enum rc store_call(struct store *s, struct store_job *job)
{
	struct call c = { .job = { .run = call_run, .done = call_done },
		.inner = job,
		.mutex = PTHREAD_MUTEX_INITIALIZER,
		.ended = PTHREAD_COND_INITIALIZER };
	enum rc rc = store_submit(s, &c.job);

	if (rc == RC_OK) {
		pthread_mutex_lock(&c.mutex);
		while (!c.done)
			pthread_cond_wait(&c.ended, &c.mutex);
		pthread_mutex_unlock(&c.mutex);
		rc = c.rc;
		job->full = c.job.full;
	}
	pthread_cond_destroy(&c.ended);
	pthread_mutex_destroy(&c.mutex);
	return rc;
}

/* ---- numbers ---- */

void store_on_broken(struct store *s, void *loop, void (*fn)(void *), void *arg)
{
	pthread_mutex_lock(&s->mutex);
	s->alarm.loop = loop;
	s->alarm.fn = fn;
	s->alarm.arg = arg;
	pthread_mutex_unlock(&s->mutex);
}

bool store_broken(struct store *s)
{
	bool broken;

	pthread_mutex_lock(&s->mutex);
	broken = s->broken;
	pthread_mutex_unlock(&s->mutex);
	return broken;
}

void store_count(struct store *s, struct store_counts *out)
{
	pthread_mutex_lock(&s->mutex);
	*out = s->counts;
	pthread_mutex_unlock(&s->mutex);
}

/* ---- open and close ---- */

/* A lock on the directory itself: no file to leave behind. */
static enum rc lock_dir(const char *dir, int *out, struct fault *fault)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) {
		fault_set(fault, REASON_BAD_CONFIG, "", "%s: cannot open: %s",
		    dir, strerrordesc_np(errno));
		return RC_IO;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		bool taken = errno == EWOULDBLOCK;

		if (taken)
			fault_set(fault, REASON_CONFLICT, "",
			    "%s: another longarm-server uses it; stop that "
			    "one first",
			    dir);
		else
			fault_set(fault, REASON_INTERNAL, "",
			    "%s: cannot lock: %s", dir, strerrordesc_np(errno));
		close(fd);
		return taken ? RC_STATE : RC_IO;
	}
	*out = fd;
	return RC_OK;
}

static enum rc open_database(
    struct store *s, const char *dir, struct fault *fault)
{
	char path[PATH_MAX], backup[PATH_MAX];
	const struct migration *steps;
	uint32_t count, version = 0;
	int n = snprintf(path, sizeof(path), "%s/" DATABASE_NAME, dir);
	enum rc rc;

	if (n < 0 || (size_t)n >= sizeof(path)) {
		fault_set(
		    fault, REASON_BAD_CONFIG, "", "%s: path too long", dir);
		return RC_LIMIT;
	}
	steps = migrations(&count);
	rc = db_open(path, &s->db, fault);
	if (rc == RC_OK)
		rc = migrate_version(s->db, &version);
	if (rc != RC_OK)
		return rc;
	n = snprintf(backup, sizeof(backup), "%s.before-%u", path, count);
	if (n < 0 || (size_t)n >= sizeof(backup))
		return RC_LIMIT;
	/* Left by a migration that did not end. */
	if (version < count)
		(void)unlink(backup);
	return migrate(s->db, steps, count, backup, fault);
}

/* Signals belong to the main thread. */
static enum rc start_thread(struct store *s, struct fault *fault)
{
	sigset_t all, before;
	int error;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&s->thread, NULL, sql_thread, s);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0) {
		fault_set(fault, REASON_INTERNAL, "", "no SQL thread: %s",
		    strerrordesc_np(error));
		return RC_IO;
	}
	s->started = true;
	return RC_OK;
}

enum rc store_post_to_loop(void *loop, void (*fn)(void *), void *arg)
{
	return loop_post(loop, fn, arg);
}

enum rc store_open(
    const char *dir, store_post post, struct store **out, struct fault *fault)
{
	struct store *s = calloc(1, sizeof(*s));
	enum rc rc;

	if (s == NULL)
		return RC_NOMEM;
	s->post = post;
	s->dir_fd = -1;
	pthread_mutex_init(&s->mutex, NULL);
	pthread_cond_init(&s->more, NULL);
	rc = lock_dir(dir, &s->dir_fd, fault);
	if (rc == RC_OK)
		rc = open_database(s, dir, fault);
	if (rc == RC_OK)
		rc = start_thread(s, fault);
	if (rc != RC_OK)
		goto out;
	*out = s;
	s = NULL;
out:
	store_close(s);
	return rc;
}

void store_close(struct store *s)
{
	if (s == NULL)
		return;
	if (s->started) {
		pthread_mutex_lock(&s->mutex);
		s->closing = true;
		pthread_cond_signal(&s->more);
		pthread_mutex_unlock(&s->mutex);
		pthread_join(s->thread, NULL);
	}
	db_close(s->db);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	pthread_cond_destroy(&s->more);
	pthread_mutex_destroy(&s->mutex);
	free(s);
}

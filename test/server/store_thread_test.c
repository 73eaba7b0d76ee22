/* The SQL thread: jobs share a commit, fail alone, are told once, and what was
 * told survives kill -9. */
#include "server/store/setting.h"
#include "server/store/store.h"
#include "test/support/full_disk.h"
#include "test/support/tempdb.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

struct put {
	struct store_job job;
	char name[32];
	bool then_fail;
	struct board *board;
	int order; /* 1..: when done() was called */
	enum rc rc;
};

/* Where answers arrive: a stand-in for a loop. */
struct board {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	int answered;
	int posts;
};

static enum rc run_put(struct db *db, struct store_job *job)
{
	struct put *p = CONTAINER_OF(job, struct put, job);
	enum rc rc = store_setting_add(db, p->name, "x", 1);

	return rc == RC_OK && p->then_fail ? RC_DENIED : rc;
}

static void done_put(struct store_job *job, enum rc rc)
{
	struct put *p = CONTAINER_OF(job, struct put, job);

	pthread_mutex_lock(&p->board->mutex);
	p->rc = rc;
	p->order = ++p->board->answered;
	pthread_cond_signal(&p->board->changed);
	pthread_mutex_unlock(&p->board->mutex);
}

/* The first post is refused: it must come again. */
static enum rc post_to_board(void *loop, void (*fn)(void *), void *arg)
{
	struct board *b = loop;

	if (b->posts++ == 0)
		return RC_NOMEM;
	fn(arg);
	return RC_OK;
}

static void wait_for(struct board *b, int answers)
{
	pthread_mutex_lock(&b->mutex);
	while (b->answered < answers)
		pthread_cond_wait(&b->changed, &b->mutex);
	pthread_mutex_unlock(&b->mutex);
}

static struct put put_named(struct board *b, int n, bool then_fail)
{
	struct put p = { .job = { .run = run_put, .done = done_put },
		.then_fail = then_fail,
		.board = b };

	(void)snprintf(p.name, sizeof(p.name), "%d", n);
	return p;
}

/* ---- asking what is there ---- */

struct look {
	struct store_job job;
	int64_t count;
};

static enum rc run_look(struct db *db, struct store_job *job)
{
	struct look *l = CONTAINER_OF(job, struct look, job);
	struct query q;
	enum rc rc;

	query_start(&q, db, "SELECT count(*) FROM setting");
	rc = query_step(&q);
	l->count = query_get_int(&q, 0);
	query_end(&q);
	return rc;
}

static int64_t settings(struct store *s)
{
	struct look l = { .job.run = run_look };

	assert_int_equal(store_call(s, &l.job), RC_OK);
	return l.count;
}

/* A disk on which the database may not grow, or may. */
struct room {
	struct store_job job;
	bool fill;
};

static enum rc run_room(struct db *db, struct store_job *job)
{
	struct room *r = CONTAINER_OF(job, struct room, job);
	enum rc rc = db_exec(db, r->fill ? "PRAGMA max_page_count = 1"
					 : "PRAGMA max_page_count = 100000");
	char name[64];

	for (int i = 0; rc == RC_OK && r->fill && i < 100000; i++) {
		(void)snprintf(name, sizeof(name), "filler-%050d", i);
		rc = store_setting_add(db, name, name, sizeof(name));
	}
	return rc;
}

/* Holds the thread so that what follows gathers in the queue. */
struct gate {
	struct store_job job;
	pthread_mutex_t mutex;
};

static enum rc run_gate(struct db *db, struct store_job *job)
{
	struct gate *g = CONTAINER_OF(job, struct gate, job);

	(void)db;
	pthread_mutex_lock(&g->mutex);
	pthread_mutex_unlock(&g->mutex);
	return RC_OK;
}

static void done_nothing(struct store_job *job, enum rc rc)
{
	(void)job;
	(void)rc;
}

#define BOARD                                                                  \
	{                                                                      \
		.mutex = PTHREAD_MUTEX_INITIALIZER,                            \
		.changed = PTHREAD_COND_INITIALIZER                            \
	}
#define GATE                                                                   \
	{                                                                      \
		.job = { .run = run_gate, .done = done_nothing },              \
		.mutex = PTHREAD_MUTEX_INITIALIZER                             \
	}
#define JOBS 100

static void test_many_jobs_share_a_commit_and_fail_alone(void **state)
{
	static struct put puts[JOBS];
	struct board board = BOARD;
	struct gate gate = GATE;
	struct store_counts counts;
	struct store *s = NULL;
	struct tempdb t;

	(void)state;
	tempdb_dir(&t);
	assert_int_equal(store_open(t.dir, post_to_board, &s, NULL), RC_OK);
	pthread_mutex_lock(&gate.mutex);
	assert_int_equal(store_submit(s, &gate.job), RC_OK);
	for (int i = 0; i < JOBS; i++) {
		/* Every tenth fails after it wrote, the last one is twice. */
		puts[i] = put_named(&board, i == JOBS - 1 ? 1 : i, i % 10 == 0);
		puts[i].job.loop = &board;
		assert_int_equal(store_submit(s, &puts[i].job), RC_OK);
	}
	pthread_mutex_unlock(&gate.mutex);
	wait_for(&board, JOBS);
	for (int i = 0; i < JOBS; i++) {
		enum rc want = i % 10 == 0     ? RC_DENIED
		               : i == JOBS - 1 ? RC_EXISTS
		                               : RC_OK;

		assert_int_equal(puts[i].rc, want);
		assert_int_equal(puts[i].order, i + 1);
	}
	assert_int_equal(settings(s), JOBS - 11);
	store_count(s, &counts);
	assert_true(counts.commits <= 4);
	assert_int_equal(counts.failed, 11);
	assert_int_equal(counts.queued, 0);
	store_close(s);
	tempdb_close(&t);
}

static void test_a_full_disk_is_told_and_is_not_the_end(void **state)
{
	struct store *s = NULL;
	struct room full = { .job.run = run_room, .fill = true };
	struct room wide = { .job.run = run_room };
	struct put p = { .job.run = run_put, .name = "after" };
	struct tempdb t;
	int64_t before;

	(void)state;
	tempdb_dir(&t);
	assert_int_equal(store_open(t.dir, NULL, &s, NULL), RC_OK);
	before = settings(s);
	assert_int_equal(store_call(s, &full.job), RC_IO);
	assert_true(full.job.full);
	assert_false(store_broken(s));
	assert_int_equal(settings(s), before);
	assert_int_equal(store_call(s, &wide.job), RC_OK);
	assert_false(wide.job.full);
	assert_int_equal(store_call(s, &p.job), RC_OK);
	assert_int_equal(settings(s), before + 1);
	store_close(s);
	tempdb_close(&t);
}

/* Each had done its part; the commit that they share finds no room. */
static void test_all_that_shared_a_commit_hear_that_the_disk_is_full(
    void **state)
{
	static struct put puts[3];
	struct board board = BOARD;
	struct gate gate = GATE;
	struct store *s = NULL;
	struct tempdb t;

	(void)state;
	tempdb_dir(&t);
	assert_int_equal(store_open(t.dir, post_to_board, &s, NULL), RC_OK);
	full_disk_set(true);
	pthread_mutex_lock(&gate.mutex);
	assert_int_equal(store_submit(s, &gate.job), RC_OK);
	for (int i = 0; i < 3; i++) {
		puts[i] = put_named(&board, i, i == 2);
		puts[i].job.loop = &board;
		assert_int_equal(store_submit(s, &puts[i].job), RC_OK);
	}
	pthread_mutex_unlock(&gate.mutex);
	wait_for(&board, 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(puts[i].rc, i == 2 ? RC_DENIED : RC_IO);
		assert_int_equal(puts[i].job.full, i != 2);
	}
	assert_false(store_broken(s));
	full_disk_set(false);
	assert_int_equal(settings(s), 0);
	puts[0] = put_named(&board, 0, false);
	assert_int_equal(store_call(s, &puts[0].job), RC_OK);
	assert_false(puts[0].job.full);
	store_close(s);
	tempdb_close(&t);
}

static void test_a_full_queue_refuses_and_closing_finishes(void **state)
{
	/* A full queue and what the thread may have taken off it already. */
	const int wishes = 2 * STORE_QUEUE_MAX + 2;
	struct put *puts = calloc((size_t)wishes, sizeof(*puts));
	struct board board = BOARD;
	struct gate gate = GATE;
	struct store *s = NULL;
	struct tempdb t;
	int accepted = 0;

	(void)state;
	assert_non_null(puts);
	tempdb_dir(&t);
	assert_int_equal(store_open(t.dir, NULL, &s, NULL), RC_OK);
	pthread_mutex_lock(&gate.mutex);
	assert_int_equal(store_submit(s, &gate.job), RC_OK);
	for (int i = 0; i < wishes; i++) {
		enum rc rc;

		puts[i] = put_named(&board, i, false);
		rc = store_submit(s, &puts[i].job);
		if (rc == RC_OK)
			accepted++;
		else
			assert_int_equal(rc, RC_LIMIT);
	}
	/* The gate may wait in the queue itself, or be taken with others. */
	assert_in_range(accepted, STORE_QUEUE_MAX - 1, wishes - 1);
	pthread_mutex_unlock(&gate.mutex);
	store_close(s);
	assert_int_equal(board.answered, accepted);
	assert_int_equal(store_open(t.dir, NULL, &s, NULL), RC_OK);
	assert_int_equal(settings(s), accepted);
	store_close(s);
	free(puts);
	tempdb_close(&t);
}

static void test_a_second_server_on_the_directory_is_refused(void **state)
{
	struct store *first = NULL, *second = NULL;
	struct fault fault = { 0 };
	struct tempdb t;

	(void)state;
	tempdb_dir(&t);
	assert_int_equal(store_open(t.dir, NULL, &first, NULL), RC_OK);
	assert_int_equal(store_open(t.dir, NULL, &second, &fault), RC_STATE);
	assert_non_null(strstr(fault.text, "another longarm-server"));
	store_close(first);
	assert_int_equal(store_open(t.dir, NULL, &second, NULL), RC_OK);
	store_close(second);
	tempdb_close(&t);
}

static void test_a_missing_directory_is_named(void **state)
{
	struct store *s = NULL;
	struct fault fault = { 0 };

	(void)state;
	assert_int_equal(
	    store_open("/nonexistent/longarm", NULL, &s, &fault), RC_IO);
	assert_non_null(strstr(fault.text, "/nonexistent/longarm"));
}

/* SQLite may end the transaction itself; then nobody hears "ok". */
static enum rc run_rollback(struct db *db, struct store_job *job)
{
	(void)job;
	return db_exec(db, "ROLLBACK");
}

static void test_a_lost_transaction_fails_the_whole_group(void **state)
{
	struct board board = BOARD;
	struct gate gate = GATE;
	struct put before = put_named(&board, 1, false);
	struct put after = put_named(&board, 2, false);
	struct store_job bad = { .run = run_rollback, .done = done_nothing };
	struct store *s = NULL;
	struct tempdb t;

	(void)state;
	tempdb_dir(&t);
	assert_int_equal(store_open(t.dir, NULL, &s, NULL), RC_OK);
	pthread_mutex_lock(&gate.mutex);
	assert_int_equal(store_submit(s, &gate.job), RC_OK);
	/* Let the thread take the gate alone, so that these are one group. */
	for (;;) {
		struct store_counts counts;

		store_count(s, &counts);
		if (counts.queued == 0)
			break;
	}
	assert_int_equal(store_submit(s, &before.job), RC_OK);
	assert_int_equal(store_submit(s, &bad), RC_OK);
	assert_int_equal(store_submit(s, &after.job), RC_OK);
	pthread_mutex_unlock(&gate.mutex);
	wait_for(&board, 2);
	assert_int_equal(before.rc, RC_IO);
	assert_int_equal(after.rc, RC_IO);
	assert_int_equal(settings(s), 0);
	assert_false(store_broken(s));
	store_close(s);
	tempdb_close(&t);
}

/* ---- kill -9 ---- */

struct told {
	struct store_job job;
	int number;
	int fd;
};

static enum rc run_told(struct db *db, struct store_job *job)
{
	struct told *p = CONTAINER_OF(job, struct told, job);
	char name[32];

	(void)snprintf(name, sizeof(name), "%d", p->number);
	return store_setting_add(db, name, "x", 1);
}

static void done_told(struct store_job *job, enum rc rc)
{
	struct told *p = CONTAINER_OF(job, struct told, job);

	if (rc != RC_OK ||
	    write(p->fd, &p->number, sizeof(p->number)) != sizeof(p->number))
		_exit(1);
	free(p);
}

static void write_until_killed(const char *dir, int first, int fd)
{
	struct store *s = NULL;

	if (store_open(dir, NULL, &s, NULL) != RC_OK)
		_exit(2);
	for (int i = first;; i++) {
		struct told *p = calloc(1, sizeof(*p));

		if (p == NULL)
			_exit(3);
		p->job.run = run_told;
		p->job.done = done_told;
		p->number = i;
		p->fd = fd;
		while (store_submit(s, &p->job) != RC_OK)
			usleep(100);
	}
}

/* Returns the highest number that was told; all below were, too. */
static int kill_after(const char *dir, int first, int wanted)
{
	int pipes[2], number = 0, last = 0;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		write_until_killed(dir, first, pipes[1]);
	close(pipes[1]);
	while (read(pipes[0], &number, sizeof(number)) == sizeof(number)) {
		last = number;
		if (number == first + wanted)
			(void)kill(pid, SIGKILL);
	}
	close(pipes[0]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return last;
}

static void test_what_was_told_survives_kill_9(void **state)
{
	struct tempdb t;
	int first = 0;

	(void)state;
	tempdb_dir(&t);
	for (int round = 0; round < 5; round++) {
		int last = kill_after(t.dir, first, 20 + 150 * round);
		struct store *s = NULL;
		int64_t there;

		assert_true(last >= first);
		assert_int_equal(store_open(t.dir, NULL, &s, NULL), RC_OK);
		there = settings(s);
		store_close(s);
		assert_true(there >= last + 1);
		first = (int)there;
	}
	tempdb_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_jobs_share_a_commit_and_fail_alone),
		cmocka_unit_test(
		    test_all_that_shared_a_commit_hear_that_the_disk_is_full),
		cmocka_unit_test(
		    test_a_full_queue_refuses_and_closing_finishes),
		cmocka_unit_test(test_a_full_disk_is_told_and_is_not_the_end),
		cmocka_unit_test(
		    test_a_second_server_on_the_directory_is_refused),
		cmocka_unit_test(test_a_missing_directory_is_named),
		cmocka_unit_test(test_a_lost_transaction_fails_the_whole_group),
		cmocka_unit_test(test_what_was_told_survives_kill_9),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

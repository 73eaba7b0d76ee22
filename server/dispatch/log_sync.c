/*
 * log_sync.c - log files: written as output comes, synced in batches on a
 * worker, and only then told by their length in the rows.  One batch is under
 * way at a time; what comes meanwhile waits for the next.
 */
#include "server/dispatch/work.h"

#include "common/failpoint.h"
#include "common/fs.h"
#include "common/hex.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "server/api/api.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYNC_MS        20
#define AGAIN_MS       500
#define CHUNK          (64u << 10)
#define PATH_MAX_BYTES 1200

struct sync_item {
	struct work_run *run;
	struct run_key key;
	char ticket[TASK_TICKET_SIZE];
	int fd;        /* -1: it has said nothing */
	bool fresh;    /* the file's name is to be synced, too */
	uint64_t base; /* of this attempt */
	uint64_t from, to;
	bool end; /* the result is there: hash it from base on */
	bool mismatch;
	uint8_t sha256[STORE_SHA256_SIZE];
	char want[DIGEST_SIZE]; /* "": take it as it is */
	int failed;             /* errno of the sync */
};

struct log_sync {
	struct store_job job;
	struct dispatch *dispatch;
	struct sync_item *items;
	size_t count;
};

/* ---- the file ---- */

static enum rc open_dir(const struct work_run *run, char *path)
{
	char *slash = strrchr(path, '/');
	enum rc rc = RC_OK;

	*slash = '\0';
	if (mkdir(path, 0700) == 0)
		rc = fs_sync_dir(run->task->dispatch->parts.log_dir);
	else if (errno != EEXIST)
		rc = RC_IO;
	*slash = '/';
	return rc;
}

enum rc run_open_log(struct work_run *run, struct fault *fault)
{
	char path[PATH_MAX_BYTES];
	enum rc rc = api_log_path(
	    run->task->dispatch->parts.log_dir, &run->key, path, sizeof(path));

	if (rc == RC_OK)
		rc = open_dir(run, path);
	if (rc == RC_OK) {
		run->fd =
		    open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (run->fd < 0)
			rc = RC_IO;
		run->fresh = true;
	}
	if (rc != RC_OK)
		fault_set(fault,
		    errno == ENOSPC || errno == EDQUOT ? REASON_NO_SPACE
						       : REASON_INTERNAL,
		    "server", "the log %.150s cannot be opened: %s", path,
		    strerrordesc_np(errno));
	return rc;
}

/* ---- on a worker ---- */

static bool hash_file(struct sync_item *item)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t *chunk = malloc(CHUNK);
	uint64_t at = item->base;
	bool ok = ctx != NULL && chunk != NULL &&
	          EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;

	while (ok && at < item->to) {
		size_t want =
		    item->to - at < CHUNK ? (size_t)(item->to - at) : CHUNK;
		ssize_t got = pread(item->fd, chunk, want, (off_t)at);

		ok = got > 0 && EVP_DigestUpdate(ctx, chunk, (size_t)got) == 1;
		at += got > 0 ? (uint64_t)got : 0;
	}
	ok = ok && EVP_DigestFinal_ex(ctx, item->sha256, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	free(chunk);
	return ok;
}

static void check_end(struct sync_item *item)
{
	char hex[DIGEST_SIZE];

	if (!hash_file(item)) {
		item->failed = EIO;
		return;
	}
	hex_encode(item->sha256, sizeof(item->sha256), hex);
	item->mismatch = item->want[0] != '\0' && strcmp(hex, item->want) != 0;
}

/* Of the directory of a task, with the names of all new files. */
static int sync_names(const struct log_sync *s, const struct sync_item *item)
{
	char path[PATH_MAX_BYTES];

	if (api_log_path(s->dispatch->parts.log_dir, &item->key, path,
		sizeof(path)) != RC_OK)
		return EIO;
	*strrchr(path, '/') = '\0';
	return fs_sync_dir(path) == RC_OK ? 0 : errno;
}

static void sync_all(void *arg)
{
	struct log_sync *s = arg;
	uint64_t synced = 0; /* number of a task; 0: none */

	for (size_t i = 0; i < s->count; i++) {
		struct sync_item *item = &s->items[i];

		/* Not twice: after a failed one nobody knows what is there. */
		if (item->fd >= 0 && fdatasync(item->fd) != 0)
			item->failed = errno;
		else if (item->fresh && item->key.task != synced)
			item->failed = sync_names(s, item);
		if (item->failed == 0 && item->fresh)
			synced = item->key.task;
		if (item->failed == 0 && item->end)
			check_end(item);
	}
}

/* ---- on the SQL thread ---- */

static struct store_log log_of(const struct sync_item *item)
{
	return (struct store_log){ .key = item->key, .ticket = item->ticket };
}

static enum rc grow(struct db *db, const struct sync_item *item)
{
	const struct store_log log = log_of(item);
	uint64_t now = item->from;
	enum rc rc = RC_OK;

	if (item->to <= item->from)
		return RC_OK;
	rc = store_run_log_grow(db, &log, item->from, item->to, &now);
	if (rc != RC_STATE)
		return rc;
	/* Another life of this server wrote further: the same bytes. */
	if (now >= item->to)
		return RC_OK;
	return store_run_log_grow(db, &log, now, item->to, &now);
}

static enum rc write_sizes(struct db *db, struct store_job *job)
{
	struct log_sync *s = CONTAINER_OF(job, struct log_sync, job);

	for (size_t i = 0; i < s->count; i++) {
		const struct sync_item *item = &s->items[i];
		const struct store_log log = log_of(item);
		enum rc rc = grow(db, item);

		if (rc == RC_OK && item->end && !item->mismatch)
			rc =
			    store_run_log_end(db, &log, item->to, item->sha256);
		if (rc != RC_OK && rc != RC_STATE && rc != RC_NOTFOUND)
			return rc;
	}
	return RC_OK;
}

/* ---- and back on the main loop ---- */

static void sync_soon(struct dispatch *d, uint64_t ms)
{
	if (d->sync == NULL && !d->closing &&
	    !loop_timer_pending(d->sync_timer))
		loop_timer_set(d->sync_timer, ms);
}

void run_mark_dirty(struct work_run *run)
{
	struct dispatch *d = run->task->dispatch;

	if (!run->dirty) {
		run->dirty = true;
		TAILQ_INSERT_TAIL(&d->dirty, run, dirty_link);
	}
	sync_soon(d, SYNC_MS);
}

static void sync_free(struct log_sync *s)
{
	free(s->items);
	free(s);
}

/* It is not what the machine's own hash says: fetch it all once more. */
static void fetch_again(struct work_run *run)
{
	log_error("dispatch", run->ticket,
	    "the log of %s differs from the machine's: fetching it again",
	    run->machine->name);
	run->refetched = true;
	run->has_result = false;
	run->written = run->base;
	run_follow(run);
}

static void synced(struct work_run *run, const struct sync_item *item)
{
	if (item->to > run->committed)
		run->committed = item->to;
	if (item->fresh)
		run->fresh = false;
	if (run->follow != NULL)
		fleet_follow_ack(run->follow, run->committed - run->base);
	/* Given up meanwhile, for a note that is to be told again: the result
	 * comes once more, too. */
	if (!item->end || !run->has_result)
		return;
	if (item->mismatch)
		fetch_again(run);
	else if (run->noting == 0)
		run_ended(run);
}

static void finish(struct log_sync *s, enum rc rc)
{
	struct dispatch *d = s->dispatch;
	uint64_t told = 0;

	for (size_t i = 0; i < s->count; i++) {
		struct work_run *run = s->items[i].run;
		uint64_t number = run->key.task;

		run->syncing = false;
		if (rc == RC_OK) {
			synced(run, &s->items[i]);
			if (number != told)
				d->parts.ops->task_changed(
				    d->parts.owner, number);
			told = number;
		} else {
			run_mark_dirty(run);
		}
		run_settle(run);
	}
	sync_free(s);
	d->sync = NULL;
	if (!TAILQ_EMPTY(&d->dirty))
		sync_soon(d, rc == RC_OK ? SYNC_MS : AGAIN_MS);
}

static void on_written(struct store_job *job, enum rc rc)
{
	struct log_sync *s = CONTAINER_OF(job, struct log_sync, job);
	struct dispatch *d = s->dispatch;

	if (work_closed(d)) {
		d->sync = NULL;
		sync_free(s);
		return;
	}
	if (rc != RC_OK)
		log_error("dispatch", NULL,
		    "lengths of logs cannot be written: %s", rc_name(rc));
	if (rc != RC_OK && store_broken(d->parts.store))
		work_broken(d, "logs cannot be written", "the disk failed");
	finish(s, rc);
}

static void on_synced(void *arg)
{
	struct log_sync *s = arg;
	struct dispatch *d = s->dispatch;

	if (work_closed(d)) {
		d->sync = NULL;
		sync_free(s);
		return;
	}
	for (size_t i = 0; i < s->count; i++) {
		if (s->items[i].failed == 0)
			continue;
		work_broken(d, "a log cannot be synced",
		    strerrordesc_np(s->items[i].failed));
		finish(s, RC_IO);
		return;
	}
	failpoint("log.synced");
	s->job.run = write_sizes;
	s->job.done = on_written;
	work_submit(d, &s->job);
}

static void fill(struct sync_item *item, struct work_run *run)
{
	*item = (struct sync_item){ .run = run,
		.key = run->key,
		.fd = run->fd,
		.fresh = run->fresh,
		.base = run->base,
		.from = run->committed,
		.to = run->written,
		.end = run->has_result };
	memcpy(item->ticket, run->ticket, sizeof(item->ticket));
	if (item->end && !run->refetched &&
	    run->result.log_size == run->written - run->base)
		memcpy(item->want, run->result.log_sha256, sizeof(item->want));
	run->syncing = true;
}

void work_sync(void *dispatch)
{
	struct dispatch *d = dispatch;
	struct log_sync *s;
	struct work_run *run;
	size_t count = 0;

	if (d->sync != NULL || TAILQ_EMPTY(&d->dirty))
		return;
	TAILQ_FOREACH(run, &d->dirty, dirty_link)
	count++;
	s = xcalloc(1, sizeof(*s));
	s->dispatch = d;
	s->items = xcalloc(count, sizeof(*s->items));
	while ((run = TAILQ_FIRST(&d->dirty)) != NULL) {
		TAILQ_REMOVE(&d->dirty, run, dirty_link);
		run->dirty = false;
		fill(&s->items[s->count++], run);
	}
	d->sync = s;
	d->jobs++;
	if (worker_submit_first(d->parts.pool, sync_all, on_synced, s) !=
	    RC_OK) {
		d->jobs--;
		finish(s, RC_AGAIN);
	}
}

/*
 * api_base.h - the inside of the API, for the files of this room only.
 */
#ifndef SERVER_API_API_BASE_H
#define SERVER_API_API_BASE_H

#include "common/worker.h"
#include "server/api/call.h"
#include "server/api/http.h"

#include <pthread.h>
#include <stdatomic.h>

#define API_PARKED_MAX  256 /* calls that wait at one time */
#define API_LIVE_MS     10000
#define API_RECHECK_MS  500
#define API_TICK_MS     100
#define API_STOP_MS     5000
#define API_KEEP_KEY_MS (24ULL * 3600 * 1000) /* Idempotency-Key */

TAILQ_HEAD(api_calls, api_call);

struct api {
	struct http_handler handler; /* first: found again from it */
	struct api_options options;
	struct loop *loop;
	struct worker_pool *workers;
	struct http_server *http;
	struct loop_timer *tick;
	pthread_t thread;
	uint16_t port;
	struct api_calls parked;
	size_t parked_count;
	bool stopping;
	uint64_t stop_by_ms;
	atomic_bool draining;
	pthread_mutex_t lock; /* for what follows */
	uint8_t root_hash[KEY_HASH_SIZE];
};

/* Of the root that tokens name now.  Any thread. */
void api_root_hash(struct api *api, uint8_t out[KEY_HASH_SIZE]);

/* Make a call of a request, check it, send it on its way. */
void api_take(struct http_handler *handler, struct http_request *request);
/* On the loop, every API_TICK_MS while something is parked. */
void api_tick(void *arg);
/* Answer whatever is parked: the end is near. */
void api_unpark_all(struct api *api);

/* The job's two halves. */
enum rc api_job_run(struct db *db, struct store_job *job);
void api_job_done(struct store_job *job, enum rc rc);

/* Frees what noun files hung on a call. */
void log_read_free(struct log_read *log);
void upload_part_free(struct upload_part *part);

#endif

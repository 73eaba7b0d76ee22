#include "server/api/api.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "server/api/api_base.h"
#include "server/api/sign.h"
#include "server/engine/task.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS  256
#define IDLE_MS      30000
#define REQUEST_MS   120000
#define WORKERS      2
#define WORKER_QUEUE 64

void api_variable_context(const char *name, char out[API_VARIABLE_CONTEXT_SIZE])
{
	(void)snprintf(out, API_VARIABLE_CONTEXT_SIZE, "variable/%.100s", name);
}

enum rc api_log_path(
    const char *log_dir, const struct run_key *key, char *out, size_t size)
{
	int n = snprintf(out, size, "%s/task-%llu/%u-%u-%u.log", log_dir,
	    (unsigned long long)key->task, key->block, key->target,
	    key->action);

	return n > 0 && (size_t)n < size ? RC_OK : RC_LIMIT;
}

/* Losing an answer would hang its asker for ever. */
static void post(struct loop *loop, loop_fn fn, void *arg)
{
	if (loop_post(loop, fn, arg) != RC_OK) {
		log_error("api", NULL, "out of memory");
		abort();
	}
}

/* Signals are the main thread's; a peer that went away is no signal. */
static void *run_thread(void *arg)
{
	struct api *api = arg;

	loop_run(api->loop);
	return NULL;
}

static enum rc start_thread(struct api *api)
{
	sigset_t all, before;
	int failed;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = pthread_create(&api->thread, NULL, run_thread, api);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return failed != 0 ? RC_NOMEM : RC_OK;
}

static void free_api(struct api *api)
{
	struct http_counts counts = { 0 };

	if (api->http != NULL)
		http_server_count(api->http, &counts);
	if (counts.waiting > 0) {
		/* Others still hold calls: better to leak at the end. */
		log_warn("api", NULL, "%llu requests were not answered",
		    (unsigned long long)counts.waiting);
		return;
	}
	worker_pool_free(api->workers);
	http_server_free(api->http);
	loop_timer_free(api->tick);
	loop_free(api->loop);
	(void)pthread_mutex_destroy(&api->lock);
	free(api);
}

static enum rc set_up(struct api *api, struct fault *fault)
{
	const struct api_options *o = &api->options;
	const struct http_options http = {
		.address = o->address,
		.port = o->port,
		.cert_file = o->cert_file,
		.key_file = o->key_file,
		.max_connections =
		    o->max_connections != 0 ? o->max_connections : CONNECTIONS,
		.idle_ms = o->idle_ms != 0 ? o->idle_ms : IDLE_MS,
		.request_ms = o->request_ms != 0 ? o->request_ms : REQUEST_MS,
	};
	enum rc rc = loop_new(&api->loop);

	if (rc == RC_OK)
		rc = loop_timer_new(api->loop, api_tick, api, &api->tick);
	if (rc == RC_OK)
		rc = worker_pool_new(
		    api->loop, WORKERS, WORKER_QUEUE, &api->workers);
	if (rc == RC_OK)
		rc = http_server_new(
		    api->loop, &http, &api->handler, &api->http, fault);
	return rc;
}

enum rc api_start(
    const struct api_options *options, struct api **out, struct fault *fault)
{
	struct api *api = xcalloc(1, sizeof(*api));
	enum rc rc;

	TAILQ_INIT(&api->parked);
	api->options = *options;
	memcpy(api->root_hash, options->root_hash, KEY_HASH_SIZE);
	(void)pthread_mutex_init(&api->lock, NULL);
	api->handler.on_request = api_take;
	rc = set_up(api, fault);
	if (rc != RC_OK)
		goto out;
	api->port = http_server_port(api->http);
	rc = start_thread(api);
	if (rc != RC_OK)
		goto out;
	*out = api;
	api = NULL;
out:
	if (api != NULL)
		free_api(api);
	return rc;
}

/* Let what is under way finish, but not for ever. */
static void on_stopping(struct api *api)
{
	struct http_counts counts;

	api_unpark_all(api);
	http_server_count(api->http, &counts);
	if (counts.waiting == 0 || clock_monotonic_ms() >= api->stop_by_ms)
		loop_stop(api->loop);
	else
		loop_timer_set(api->tick, API_TICK_MS / 4);
}

static void on_stop(void *arg)
{
	struct api *api = arg;

	api->stopping = true;
	api->stop_by_ms = clock_monotonic_ms() + API_STOP_MS;
	http_server_stop_accepting(api->http);
	on_stopping(api);
}

void api_stop(struct api *api)
{
	if (api == NULL)
		return;
	post(api->loop, on_stop, api);
	(void)pthread_join(api->thread, NULL);
	free_api(api);
}

void api_tick(void *arg)
{
	struct api *api = arg;
	uint64_t now_ms = clock_monotonic_ms();
	struct api_call *call, *next;

	if (api->stopping) {
		on_stopping(api);
		return;
	}
	for (call = TAILQ_FIRST(&api->parked); call != NULL; call = next) {
		enum api_parked why = call->parked;

		next = TAILQ_NEXT(call, link);
		if (call->again_ms > now_ms)
			continue;
		TAILQ_REMOVE(&api->parked, call, link);
		api->parked_count--;
		call->parked = API_NOT_PARKED;
		if (why == API_PARKED_LOG) {
			api_submit(call);
			continue;
		}
		call->live->call = NULL; /* the answer comes too late */
		call->live = NULL;
		api_finish(call, call_fail(call, RC_AGAIN, REASON_DEADLINE,
				     "the server is too busy to say"));
	}
	if (!TAILQ_EMPTY(&api->parked))
		loop_timer_set(api->tick, API_TICK_MS);
}

void api_unpark_all(struct api *api)
{
	struct api_call *call;

	while ((call = TAILQ_FIRST(&api->parked)) != NULL) {
		TAILQ_REMOVE(&api->parked, call, link);
		api->parked_count--;
		if (call->live != NULL)
			call->live->call = NULL;
		call->live = NULL;
		api_finish(call, call_fail(call, RC_AGAIN, REASON_DRAINING,
				     "the server is stopping"));
	}
}

void api_park(struct api_call *call, enum api_parked why, uint64_t ms)
{
	struct api *api = call->api;

	call->parked = why;
	call->again_ms = clock_monotonic_ms() + ms;
	TAILQ_INSERT_TAIL(&api->parked, call, link);
	api->parked_count++;
	if (!loop_timer_pending(api->tick))
		loop_timer_set(api->tick, API_TICK_MS);
}

uint16_t api_port(const struct api *api)
{
	return api->port;
}

void api_set_draining(struct api *api, bool draining)
{
	atomic_store(&api->draining, draining);
}

/* ---- messages from other threads ---- */

void api_set_root(struct api *api, const uint8_t hash[KEY_HASH_SIZE])
{
	(void)pthread_mutex_lock(&api->lock);
	memcpy(api->root_hash, hash, KEY_HASH_SIZE);
	(void)pthread_mutex_unlock(&api->lock);
}

void api_root_hash(struct api *api, uint8_t out[KEY_HASH_SIZE])
{
	(void)pthread_mutex_lock(&api->lock);
	memcpy(out, api->root_hash, KEY_HASH_SIZE);
	(void)pthread_mutex_unlock(&api->lock);
}

static void on_reload(void *arg)
{
	struct api *api = arg;
	struct fault fault = { .code = REASON_NONE };

	if (!api->stopping && http_server_reload(api->http, &fault) != RC_OK)
		log_error("api", NULL,
		    "the new certificate cannot be used; the old one stays: "
		    "%s",
		    fault.text);
}

void api_reload_certificate(struct api *api)
{
	post(api->loop, on_reload, api);
}

struct changed {
	struct api *api;
	uint64_t number;
};

static void on_changed(void *arg)
{
	struct changed *changed = arg;
	struct api *api = changed->api;
	struct api_call *call;
	bool any = false;

	TAILQ_FOREACH(call, &api->parked, link)
	{
		if (call->parked == API_PARKED_LOG &&
		    call->number == changed->number) {
			call->again_ms = 0;
			any = true;
		}
	}
	free(changed);
	if (any)
		loop_timer_set(api->tick, 0);
}

void api_task_changed(struct api *api, uint64_t number)
{
	struct changed *changed = xcalloc(1, sizeof(*changed));

	changed->api = api;
	changed->number = number;
	if (loop_post(api->loop, on_changed, changed) != RC_OK)
		free(changed); /* only a hint */
}

struct live_box {
	struct api_live live; /* first: found again from it */
	struct api *api;
};

static void on_answer(void *arg)
{
	struct live_box *box = arg;
	struct api_call *call = box->live.call;

	if (call != NULL) {
		TAILQ_REMOVE(&call->api->parked, call, link);
		call->api->parked_count--;
		call->parked = API_NOT_PARKED;
		call->live = NULL;
		/* Given back, with what was added. */
		if (box->live.items != NULL)
			(void)json_object_set(
			    call->answer, "items", box->live.items);
		if (box->live.rc != RC_OK)
			call->fault = box->live.fault;
		else if (call->answer == NULL)
			call->answer = json_incref(box->live.answer);
		else
			(void)json_object_update(
			    call->answer, box->live.answer);
		api_finish(call, box->live.rc);
	}
	json_decref(box->live.answer);
	json_decref(box->live.items);
	api_sign_free(box->live.sign);
	free(box);
}

void api_live_answer(struct api_live *question)
{
	struct live_box *box = (struct live_box *)(void *)question;

	post(box->api->loop, on_answer, box);
}

void api_live_drop(struct api_live *question)
{
	json_decref(question->answer);
	json_decref(question->items);
	api_sign_free(question->sign);
	free((struct live_box *)(void *)question);
}

bool api_can_ask(const struct api_call *call)
{
	return call->options->hooks.live != NULL;
}

enum rc api_ask_about(struct api_call *call, const struct api_live *about)
{
	const struct api_hooks *hooks = &call->options->hooks;
	struct live_box *box;

	if (hooks->live == NULL || call->api->parked_count >= API_PARKED_MAX) {
		json_decref(about->items);
		api_sign_free(about->sign);
		if (hooks->live == NULL)
			return RC_STATE;
		return call_fail(call, RC_LIMIT, REASON_TOO_MANY,
		    "%d requests wait already", API_PARKED_MAX);
	}
	box = xcalloc(1, sizeof(*box));
	box->api = call->api;
	box->live = *about;
	box->live.call = call;
	call->live = &box->live;
	api_park(call, API_PARKED_LIVE, API_LIVE_MS);
	hooks->live(hooks->ctx, &box->live);
	return RC_AGAIN;
}

enum rc api_ask(
    struct api_call *call, enum api_live_kind kind, const char *name)
{
	struct api_live about = { .kind = kind };

	(void)snprintf(about.name, sizeof(about.name), "%s", name);
	return api_ask_about(call, &about);
}

enum rc api_ask_items(struct api_call *call, enum api_live_kind kind)
{
	struct api_live about = { .kind = kind };

	if (!api_can_ask(call) || call->api->parked_count >= API_PARKED_MAX)
		return RC_OK; /* what the rows say must do */
	/* Nobody else may hold them while another thread adds to them. */
	about.items = json_incref(json_object_get(call->answer, "items"));
	(void)json_object_del(call->answer, "items");
	return api_ask_about(call, &about);
}

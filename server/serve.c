#include "server/serve.h"

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/random.h"
#include "common/settings.h"
#include "proto/message_standing.h"
#include "server/api/api.h"
#include "server/dispatch/dispatch.h"
#include "server/hooks.h"
#include "server/init.h"
#include "server/keeper.h"
#include "server/restored.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define WORKER_QUEUE 8192
#define CLOSE_MS     5000
#define CLOSE_STEP   10
#define BIND_SIZE    300

struct server {
	const struct server_settings *settings;
	const struct fleet_settings *fleet_settings;
	struct loop *loop;
	struct daemon *daemon;
	struct worker_pool *pool;
	struct store *store;
	struct blob_store *blobs;
	struct server_keys keys;
	struct fleet *fleet;
	struct dispatch *dispatch;
	struct traces *traces;
	struct server_hooks hooks;
	struct api *api;
	struct keeper *keeper;
	char https_cert[SERVER_PATH_SIZE], https_key[SERVER_PATH_SIZE];
	struct loop_timer *step; /* while stopping */
	uint8_t *check;          /* the operator's health check; or NULL */
	char log_dir[SERVER_PATH_SIZE];
	char owner[STORE_OWNER_SIZE];
	struct fault broken; /* code NONE, or why it had to stop */
	bool set_back;       /* for this: starting again would not help */
};

/* ---- what fleet and dispatch tell ---- */

static void machine_up(void *owner, const char *machine)
{
	struct server *s = owner;

	if (s->dispatch != NULL && !s->hooks.stopping)
		dispatch_machine_up(s->dispatch, machine);
}

static void machine_down(
    void *owner, const char *machine, const struct fault *fault)
{
	(void)owner;
	log_info("server", machine, "not reachable: %s", fault->text);
}

static void machine_forgot(
    void *owner, const char *machine, const struct fault *fault)
{
	struct server *s = owner;

	if (s->dispatch != NULL && !s->hooks.stopping)
		dispatch_machine_forgot(s->dispatch, machine, fault);
}

static void broken(void *owner, const struct fault *fault);

static void set_back(void *owner, const struct fault *fault)
{
	struct server *s = owner;

	log_error("server", NULL, "%s", fault->text);
	s->set_back = true;
	broken(s, fault);
}

static const struct fleet_ops fleet_ops = {
	.machine_up = machine_up,
	.machine_down = machine_down,
	.machine_forgot = machine_forgot,
	.set_back = set_back,
};

static void task_changed(void *owner, uint64_t number)
{
	struct server *s = owner;

	if (s->api != NULL)
		api_task_changed(s->api, number);
}

static void broken(void *owner, const struct fault *fault)
{
	struct server *s = owner;

	if (s->broken.code == REASON_NONE)
		s->broken = *fault;
	loop_stop(s->loop);
}

static void store_failed(void *arg)
{
	struct fault fault;

	fault_set(&fault, REASON_INTERNAL, "",
	    "the disk failed: what the database holds is known after the next "
	    "start only");
	log_error("server", NULL, "%s", fault.text);
	broken(arg, &fault);
}

static const struct dispatch_ops dispatch_ops = {
	.task_changed = task_changed,
	.broken = broken,
};

/* ---- start ---- */

/* Many links and logs: as many files as we may have. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static MUST_CHECK enum rc open_store(struct server *s, struct fault *fault)
{
	char path[SERVER_PATH_SIZE];
	enum rc rc = server_keys_check(s->settings, fault);

	if (rc == RC_OK)
		rc = store_open(
		    s->settings->state, store_post_to_loop, &s->store, fault);
	if (rc == RC_OK)
		store_on_broken(s->store, s->loop, store_failed, s);
	if (rc == RC_OK)
		rc = server_keys_load(s->settings, s->store, &s->keys, fault);
	if (rc == RC_OK)
		rc = server_path(s->settings, "blobs", path, fault);
	if (rc == RC_OK)
		rc = blob_store_open(path, &s->blobs, fault);
	if (rc == RC_OK)
		rc = server_path(s->settings, "logs", s->log_dir, fault);
	if (rc == RC_OK)
		rc = fs_make_private_dir(s->log_dir, fault);
	return rc;
}

static MUST_CHECK enum rc open_fleet(struct server *s, struct fault *fault)
{
	struct fleet_parts parts = {
		.loop = s->loop,
		.pool = s->pool,
		.store = s->store,
		.settings = s->fleet_settings,
		.identity = s->keys.identity,
		.trust = s->keys.trust,
		.incarnation = s->keys.incarnation_msg,
		.master = &s->keys.master,
		.ops = &fleet_ops,
		.owner = s,
	};
	enum rc rc = server_term_begin(s->store, &s->keys, parts.term, fault);

	if (rc != RC_OK)
		return rc;
	keeper_issuer(&s->keys, &parts.issuer);
	return fleet_new(&parts, &s->fleet, fault);
}

static MUST_CHECK enum rc read_check(struct server *s, struct fault *fault)
{
	const char *path = s->settings->health.script;
	size_t len;

	if (path == NULL)
		return RC_OK;
	return fs_read_file(path, SCRIPT_BODY_MAX, &s->check, &len, fault);
}

static MUST_CHECK enum rc open_dispatch(struct server *s, struct fault *fault)
{
	const struct health_settings *health = &s->settings->health;
	struct dispatch_parts parts = {
		.loop = s->loop,
		.pool = s->pool,
		.store = s->store,
		.fleet = s->fleet,
		.blobs = s->blobs,
		.engine = &s->settings->engine,
		.health = { .interval_ms = health->interval_ms,
		    .timeout_ms = health->timeout_ms,
		    .concurrency = health->concurrency,
		    .relay_concurrency = health->relay_concurrency },
		.master = &s->keys.master,
		.log_dir = s->log_dir,
		.owner_id = s->owner,
		.incarnation = s->keys.incarnation,
		.incarnation_msg = s->keys.incarnation_msg,
		.ops = &dispatch_ops,
		.owner = s,
	};
	char life[17];
	enum rc rc = read_check(s, fault);

	if (rc != RC_OK)
		return rc;
	random_hex(life, 8);
	(void)snprintf(s->owner, sizeof(s->owner), "%s-%s", s->keys.node, life);
	parts.health.script = (const char *)s->check;
	rc = dispatch_new(&parts, &s->dispatch, fault);
	if (rc == RC_OK)
		rc = dispatch_start(s->dispatch, fault);
	return rc;
}

static MUST_CHECK enum rc open_api(struct server *s, struct fault *fault)
{
	const struct config_endpoint *where = &s->settings->http;
	bool any = where->host[0] == '\0';
	struct api_options options = {
		.address = any ? "::" : where->host,
		.port = where->port,
		.cert_file = s->https_cert,
		.key_file = s->https_key,
		.store = s->store,
		.blobs = s->blobs,
		.log_dir = s->log_dir,
		.state_dir = s->settings->state,
		.master = &s->keys.master,
		.cluster = s->keys.cluster,
		.max_connections = s->settings->http_connections,
	};
	enum rc rc =
	    server_path(s->settings, "https/cert.pem", s->https_cert, fault);

	if (rc == RC_OK)
		rc = server_path(
		    s->settings, "https/key.pem", s->https_key, fault);
	if (rc != RC_OK)
		return rc;
	memcpy(options.root_hash, s->keys.root_hash, KEY_HASH_SIZE);
	s->hooks.loop = s->loop;
	s->hooks.fleet = s->fleet;
	s->hooks.dispatch = s->dispatch;
	s->hooks.traces = s->traces;
	server_hooks_fill(&s->hooks, &options.hooks);
	rc = api_start(&options, &s->api, fault);
	if (rc == RC_IO && any) { /* a host without IPv6 */
		options.address = "0.0.0.0";
		rc = api_start(&options, &s->api, fault);
	}
	return rc;
}

/* After the API: it asks for certificates to be read again. */
static MUST_CHECK enum rc open_keeper(struct server *s)
{
	const struct keeper_parts parts = { .loop = s->loop,
		.store = s->store,
		.settings = s->settings,
		.keys = &s->keys,
		.fleet = s->fleet,
		.api = s->api };
	enum rc rc = keeper_new(&parts, &s->keeper);

	s->hooks.keeper = s->keeper;
	return rc;
}

static MUST_CHECK enum rc write_addresses(struct server *s, struct fault *fault)
{
	const char *host = s->settings->http.host;
	unsigned port = api_port(s->api);
	char path[SERVER_PATH_SIZE], http[BIND_SIZE];
	json_t *o;
	char *text;
	enum rc rc = server_path(s->settings, "addresses", path, fault);

	if (rc != RC_OK)
		return rc;
	(void)snprintf(http, sizeof(http),
	    strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, port);
	o = json_pack("{s:i, s:s, s:s, s:i}", "pid", (int)getpid(), "link",
	    fleet_listen_address(s->fleet), "http", http, "http_port",
	    (int)port);
	text = json_dumps(o, JSON_INDENT(2));
	json_decref(o);
	if (text == NULL)
		return RC_NOMEM;
	rc = fs_write_atomic(path, text, strlen(text), 0600, fault);
	free(text);
	if (rc == RC_OK)
		init_login_port(s->settings, (uint16_t)port);
	return rc;
}

static void tell_ready(struct server *s)
{
	char status[128];

	log_info_with("server", NULL,
	    LOG_FIELDS(LOG_TEXT("link", fleet_listen_address(s->fleet)),
		LOG_NUMBER("http_port", api_port(s->api)),
		LOG_TEXT("node", identity_spiffe(s->keys.identity)->name),
		LOG_TEXT("version", LONGARM_VERSION)),
	    "ready");
	(void)snprintf(status, sizeof(status),
	    "READY=1\nSTATUS=links at %s, HTTP at port %u",
	    fleet_listen_address(s->fleet), (unsigned)api_port(s->api));
	daemon_notify(status);
}

static MUST_CHECK enum rc start(struct server *s, struct fault *fault)
{
	enum rc rc = loop_new(&s->loop);

	if (rc == RC_OK)
		rc = daemon_new(s->loop, NULL, NULL, &s->daemon);
	if (rc == RC_OK)
		rc = worker_pool_new(
		    s->loop, s->settings->workers, WORKER_QUEUE, &s->pool);
	if (rc == RC_OK)
		rc = open_store(s, fault);
	if (rc == RC_OK)
		rc = open_fleet(s, fault);
	if (rc == RC_OK)
		rc = open_dispatch(s, fault);
	if (rc == RC_OK)
		rc = traces_new(s->loop, s->fleet, &s->traces);
	if (rc == RC_OK)
		rc = open_api(s, fault);
	if (rc == RC_OK)
		rc = open_keeper(s);
	if (rc == RC_OK)
		rc = write_addresses(s, fault);
	return rc;
}

/* ---- stop ---- */

struct closing {
	struct server *server;
	uint64_t by_ms;
};

static void on_step(void *arg)
{
	struct closing *c = arg;

	if (dispatch_pending(c->server->dispatch) == 0 ||
	    clock_monotonic_ms() >= c->by_ms)
		loop_stop(c->server->loop);
	else
		loop_timer_set(c->server->step, CLOSE_STEP);
}

/* Jobs under way have parts of the dispatcher: hear their answers. */
static void wait_for_dispatch(struct server *s)
{
	struct closing c = { .server = s,
		.by_ms = clock_monotonic_ms() + CLOSE_MS };

	if (s->dispatch == NULL)
		return;
	dispatch_close(s->dispatch);
	if (loop_timer_new(s->loop, on_step, &c, &s->step) != RC_OK)
		return;
	loop_timer_set(s->step, 0);
	loop_run(s->loop);
	loop_timer_free(s->step);
}

static void on_last(void *loop)
{
	loop_stop(loop);
}

/* Answers that were posted and not heard yet. */
static void hear_the_rest(struct server *s)
{
	if (s->loop != NULL && loop_post(s->loop, on_last, s->loop) == RC_OK)
		loop_run(s->loop);
}

/* Say that others should be asked, and go on for so long.  Told to stop once
 * more, it does so at once. */
static void drain(struct server *s)
{
	struct loop_timer *over;
	uint32_t ms = s->settings->http_drain_ms;

	api_set_draining(s->api, true);
	daemon_notify("STOPPING=1");
	if (ms == 0 ||
	    loop_timer_new(s->loop, on_last, s->loop, &over) != RC_OK)
		return;
	log_info("server", NULL, "draining for %u ms", ms);
	loop_timer_set(over, ms);
	loop_run(s->loop);
	loop_timer_free(over);
}

static void stop(struct server *s)
{
	char path[SERVER_PATH_SIZE];
	struct fault fault;

	s->hooks.stopping = true;
	keeper_stop(s->keeper);
	/* Its last requests may ask the main loop. */
	api_stop(s->api);
	s->api = NULL;
	traces_free(s->traces);
	wait_for_dispatch(s);
	fleet_free(s->fleet);
	store_close(s->store);
	hear_the_rest(s);
	dispatch_free(s->dispatch);
	keeper_free(s->keeper);
	worker_pool_free(s->pool);
	blob_store_close(s->blobs);
	server_keys_fini(&s->keys);
	daemon_free(s->daemon);
	free(s->check);
	if (server_path(s->settings, "addresses", path, &fault) == RC_OK)
		(void)unlink(path);
}

enum rc server_serve(const struct server_settings *settings,
    const struct fleet_settings *fleet, struct fault *fault)
{
	struct server s = { .settings = settings, .fleet_settings = fleet };
	enum rc rc;

	fault_clear(fault);
	raise_file_limit();
	rc = start(&s, fault);
	if (rc == RC_OK) {
		tell_ready(&s);
		loop_run(s.loop);
		if (s.broken.code == REASON_NONE)
			drain(&s);
	}
	if (rc != RC_OK && fault->code == REASON_NONE)
		fault_set(fault, REASON_INTERNAL, "", "cannot start: %s",
		    rc_name(rc));
	if (rc == RC_OK && s.broken.code != REASON_NONE) {
		*fault = s.broken;
		rc = s.set_back ? RC_STATE : RC_IO;
	}
	stop(&s);
	if (s.loop != NULL)
		loop_free(s.loop);
	log_info("server", NULL, "stopped");
	log_flush();
	return rc;
}

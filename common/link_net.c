#include "common/link_internal.h"

#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void link_config_default(struct link_config *config)
{
	*config = (struct link_config){
		.ping_idle_ms = 15000,
		.ping_busy_ms = 5000,
		.dead_ms = 10000,
		.connect_ms = 10000,
		.handshake_ms = 10000,
		.anonymous_ms = 30000,
		.user_timeout_ms = 30000,
		.handshakes_max = 512,
		.waiting_max = 4096,
		.handshakes_per_address = 384,
		.anonymous_max = 64,
		.anonymous_per_address = 48,
		.receive_budget = 256 << 20,
		.backoff_min_ms = 500,
		.backoff_max_ms = 60000,
		.refresh_ms = 3600000,
	};
	mux_limits_default(&config->mux);
}

static void flush_all(void *arg)
{
	struct link_net *net = arg;
	struct link *link;

	net->was_busy = net->busy;
	net->busy = 0;
	while ((link = TAILQ_FIRST(&net->dirty)) != NULL) {
		TAILQ_REMOVE(&net->dirty, link, dirty);
		link->is_dirty = false;
		link_flush(link);
	}
	while ((link = TAILQ_FIRST(&net->closed)) != NULL) {
		TAILQ_REMOVE(&net->closed, link, all);
		mux_free(link->mux);
		free(link->rest);
		free(link);
	}
}

/* What the mux itself answers; encoded once. */
static MUST_CHECK enum rc prepare_reset(const struct link_net *net,
    enum reason code, const char *text, uint8_t *store, struct bytes *out)
{
	struct msg_reset reset = { .done = false };
	struct packbuf pack;
	enum rc rc;

	fault_set(&reset.fault, code, net->name, "%s", text);
	packbuf_init(&pack, 256);
	rc = msg_reset_encode(&reset, &pack);
	if (rc == RC_OK) {
		memcpy(store, pack.data, pack.len);
		*out = (struct bytes){ store, pack.len };
	}
	packbuf_fini(&pack);
	return rc;
}

static MUST_CHECK enum rc prepare_limits(struct link_net *net)
{
	struct mux_limits *limits = &net->mux_limits;
	enum rc rc;

	*limits = net->config->mux;
	net->receive_budget.bytes = net->config->receive_budget;
	limits->shared_budget = &net->receive_budget;
	rc = prepare_reset(net, REASON_PROTOCOL, "the peer broke the protocol",
	    net->protocol_reset, &limits->protocol);
	if (rc == RC_OK)
		rc = prepare_reset(net, REASON_TOO_MANY,
		    "too many streams on this link", net->too_many_reset,
		    &limits->too_many);
	if (rc == RC_OK)
		rc = prepare_reset(net, REASON_MEMORY,
		    "the memory for what peers have under way is used up "
		    "(link.receive-budget)",
		    net->memory_reset, &limits->memory);
	return rc;
}

enum rc link_net_new(struct loop *loop, struct worker_pool *pool,
    const struct link_config *config, const struct link_ops *ops, void *owner,
    struct link_net **out)
{
	struct link_net *net = calloc(1, sizeof(*net));
	enum rc rc;

	if (net == NULL)
		return RC_NOMEM;
	net->loop = loop;
	net->pool = pool;
	net->config = config;
	net->ops = ops;
	net->owner = owner;
	TAILQ_INIT(&net->links);
	TAILQ_INIT(&net->dirty);
	TAILQ_INIT(&net->closed);
	TAILQ_INIT(&net->pending);
	TAILQ_INIT(&net->guests);
	TAILQ_INIT(&net->strangers);
	TAILQ_INIT(&net->watches);
	rc = loop_timer_new(loop, flush_all, net, &net->flush);
	if (rc == RC_OK)
		rc = loop_timer_new(
		    loop, link_look_into_lobby, net, &net->lobby);
	if (rc == RC_OK)
		rc = loop_timer_new(loop, link_recheck_all, net, &net->recheck);
	if (rc == RC_OK)
		rc = loop_timer_new(loop, link_relieve, net, &net->relief);
	if (rc == RC_OK)
		rc = prepare_limits(net);
	if (rc != RC_OK) {
		link_net_free(net);
		return rc;
	}
	*out = net;
	return RC_OK;
}

void link_net_free(struct link_net *net)
{
	struct fault fault;
	struct link *link;

	if (net == NULL)
		return;
	fault_set(&fault, REASON_DRAINING, net->name, "shutting down");
	link_empty_lobby(net);
	while ((link = TAILQ_FIRST(&net->links)) != NULL)
		link_close(link, &fault);
	if (net->flush != NULL)
		flush_all(net);
	loop_timer_free(net->flush);
	loop_timer_free(net->recheck);
	loop_timer_free(net->relief);
	loop_timer_free(net->lobby);
	tls_contexts_unref(net->contexts);
	free(net);
}

void link_net_set_contexts(struct link_net *net, struct tls_contexts *contexts)
{
	tls_contexts_unref(net->contexts);
	net->contexts = contexts == NULL ? NULL : tls_contexts_ref(contexts);
}

void link_net_set_name(struct link_net *net, const char *name)
{
	(void)snprintf(net->name, sizeof(net->name), "%s", name);
	/* What links that are there answer is theirs.  Without memory it is
	 * told without our name, as before. */
	if (TAILQ_EMPTY(&net->links) && prepare_limits(net) != RC_OK)
		log_debug("link", name, "answers do not tell its name");
}

/* A returning fleet is let in at a few hundred a second. */
#define RETRY_MS_EACH 1
#define RETRY_MS_MIN  500

void link_net_leaving(struct link_net *net)
{
	const struct link *link;
	uint32_t ms = 0;

	TAILQ_FOREACH(link, &net->links, all) ms += RETRY_MS_EACH;
	net->retry_ms = ms > RETRY_MS_MIN ? ms : RETRY_MS_MIN;
}

struct loop *link_net_loop(const struct link_net *net)
{
	return net->loop;
}

struct worker_pool *link_net_pool(const struct link_net *net)
{
	return net->pool;
}

struct tls_contexts *link_net_contexts(const struct link_net *net)
{
	return net->contexts;
}

const struct link_config *link_net_config(const struct link_net *net)
{
	return net->config;
}

const char *link_net_name(const struct link_net *net)
{
	return net->name;
}

struct link *link_next(const struct link_net *net, const struct link *after)
{
	return after == NULL ? TAILQ_FIRST(&net->links)
	                     : TAILQ_NEXT(after, all);
}

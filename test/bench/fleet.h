/*
 * fleet.h - a node and its machines in one process, with a real relay between
 * them: links and streams are the product's own (common/link.h), what goes
 * through the streams is the bench's.
 *
 * The node dials the relay, opens its control session, gives it a route table
 * with all machines; then these come up: some dial the relay, some are dialled
 * by it.  One loop, one thread.
 */
#ifndef TEST_BENCH_FLEET_H
#define TEST_BENCH_FLEET_H

#include "common/link.h"
#include "common/listen.h"
#include "common/seal.h"
#include "test/bench/authority.h"

#define FLEET_RELAY "bench" /* its name, as bench_keys makes it */

struct fleet;

struct fleet_machine {
	struct fleet *fleet;
	char id[ID_SIZE];
	struct identity *identity;
	struct tls_contexts *contexts;
	/* Of those that are dialled. */
	struct link_net *net;
	struct listener *listener;
	struct link *link;
};

struct fleet_settings {
	const char *keys;      /* DIR of bench_keys */
	const char *relay;     /* HOST:PORT, as the node dials it */
	const char *relay_far; /* the same for the machines */
	const char *far_ns;    /* their network namespace; NULL: ours */
	uint32_t machines;
	uint32_t dialled; /* of these, by the relay */
	bool greedy;      /* the machines grant all credit at once */
};

struct fleet_events {
	/* All links are up and the relay knows it. */
	void (*ready)(void *owner);
	/* A machine is asked for a stream. */
	void (*opened)(void *owner, struct fleet_machine *m,
	    const struct link_event *event);
	void (*failed)(void *owner, const char *what, const char *why);
};

struct fleet {
	const struct fleet_settings *settings;
	const struct fleet_events *events;
	void *owner;
	struct loop *loop;
	struct worker_pool *pool;
	struct authority authority;
	struct link_config config, far_config;
	struct link_net *net, *far_net;
	struct identity *identity;
	struct tls_contexts *contexts;
	struct link *link; /* to the relay, up */
	struct seal *control;
	struct fleet_machine *machines;
	uint32_t made, tabled, dialling, up;
	bool acked, is_ready;
	uint32_t present; /* as the relay told */
	uint64_t life_s;
};

/* Everything but the links; they come when the loop runs.  It lives as long as
 * the process. */
MUST_CHECK enum rc fleet_new(struct loop *loop,
    const struct fleet_settings *settings, const struct fleet_events *events,
    void *owner, struct fleet **out, struct fault *fault);
/* Open a stream from the node through the relay to a machine. */
MUST_CHECK enum rc fleet_open(struct fleet *f, uint32_t machine,
    enum stream_class class, struct stream_user *user, uint32_t *stream);

#endif

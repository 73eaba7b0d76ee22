/*
 * settings.h - what both sides of a tentacle are told: the one on the network
 * (agent.h) and the one that obeys (executor.h).
 */
#ifndef TENTACLE_SETTINGS_H
#define TENTACLE_SETTINGS_H

#include "common/link.h"
#include "common/listen.h"

struct agent_settings {
	const char *state_dir;
	const char *apps_dir;
	const char *home;
	const char *guardian; /* as operations_config's */
	struct config_endpoint listen;
	bool listens;
	bool dials;       /* the nodes and relays among its peers */
	unsigned workers; /* threads of each side; */
	/* or, not NULL: several agents of one loop share these threads.  Free
	 * the pool first, then the agents. */
	struct worker_pool *pool;
	uint32_t follow_ms; /* how often a followed log is looked at */
	uint64_t grace_ms;
	uint64_t log_max;
	size_t running_max, open_max;
	uint64_t packages_max, packages_age_s; /* 0: default */
	const char *lock; /* of scripts that name none; NULL: none */
	struct link_config link;
};

#endif

/*
 * one_process.h - both sides of a tentacle in the caller's process and loop:
 * streams go straight from the agent's links to the executor.  In a header, all
 * static, because it uses tentacle.
 */
#ifndef TEST_SUPPORT_ONE_PROCESS_H
#define TEST_SUPPORT_ONE_PROCESS_H

#include "tentacle/agent.h"
#include "tentacle/executor.h"

struct one_process {
	struct executor *executor;
	struct agent *agent;
};

static inline void one_process_free(struct one_process *o)
{
	if (o->executor != NULL)
		executor_leave(o->executor);
	agent_free(o->agent);
	executor_free(o->executor);
}

static inline enum rc one_process_new(struct loop *loop,
    const struct agent_settings *settings, struct one_process *o,
    struct fault *fault)
{
	struct agent_inside inside = { .opened = executor_opened,
		.contested = executor_contested };
	struct executor_carrier carrier = { .net = NULL };
	enum rc rc;

	*o = (struct one_process){ .executor = NULL };
	rc = executor_new(loop, settings, &o->executor, fault);
	if (rc != RC_OK)
		return rc;
	inside.arg = o->executor;
	rc = agent_new(
	    loop, settings, o->executor->member, &inside, &o->agent, fault);
	if (rc != RC_OK) {
		one_process_free(o);
		return rc;
	}
	carrier.net = o->agent->net;
	carrier.peers_changed = o->agent->peers_changed;
	executor_carry(o->executor, &carrier);
	return RC_OK;
}

#endif

#include "server/engine/task.h"

#include <string.h>

#define BIT(state) (1u << (state))

#define TASK_FINAL                                                             \
	(BIT(TASK_SUCCEEDED) | BIT(TASK_FAILED) | BIT(TASK_CANCELLED))

static const struct {
	const char *name;
	uint32_t may_become;
} task_states[TASK_STATE_COUNT] = {
	[TASK_QUEUED] = { "queued",
	    BIT(TASK_RUNNING) | BIT(TASK_FAILED) | BIT(TASK_CANCELLED) },
	[TASK_RUNNING] = { "running",
	    BIT(TASK_CANCELLING) | BIT(TASK_SUCCEEDED) | BIT(TASK_FAILED) },
	[TASK_CANCELLING] = { "cancelling", TASK_FINAL },
	[TASK_SUCCEEDED] = { "succeeded", 0 },
	[TASK_FAILED] = { "failed", 0 },
	[TASK_CANCELLED] = { "cancelled", 0 },
};

#define RUN_OUTCOME                                                            \
	(BIT(RUN_SUCCEEDED) | BIT(RUN_FAILED) | BIT(RUN_CANCELLED) |           \
	    BIT(RUN_UNKNOWN))

static const struct {
	const char *name;
	uint32_t may_become;
} run_states[RUN_STATE_COUNT] = {
	[RUN_WAITING] = { "waiting", BIT(RUN_STARTING) | BIT(RUN_SKIPPED) },
	[RUN_STARTING] = { "starting", BIT(RUN_RUNNING) | RUN_OUTCOME },
	[RUN_RUNNING] = { "running", RUN_OUTCOME },
	[RUN_SUCCEEDED] = { "succeeded", 0 },
	[RUN_FAILED] = { "failed", 0 },
	[RUN_CANCELLED] = { "cancelled", 0 },
	[RUN_UNKNOWN] = { "unknown", 0 },
	[RUN_SKIPPED] = { "skipped", 0 },
};

static const char *const kinds[TASK_KIND_COUNT] = {
	[TASK_DEPLOY] = "deploy",
	[TASK_RUN] = "run",
	[TASK_HEALTH] = "health",
};

static const char *const action_types[ACTION_TYPE_COUNT] = {
	[ACTION_TYPE_SCRIPT] = "script",
	[ACTION_TYPE_STAGE] = "stage",
	[ACTION_TYPE_ACTIVATE] = "activate",
	[ACTION_TYPE_HEALTH] = "health",
};

static const char *const machine_healths[MACHINE_HEALTH_COUNT] = {
	[MACHINE_HEALTH_UNKNOWN] = "unknown",
	[MACHINE_HEALTH_HEALTHY] = "healthy",
	[MACHINE_HEALTH_WARNINGS] = "warnings",
	[MACHINE_HEALTH_UNHEALTHY] = "unhealthy",
	[MACHINE_HEALTH_UNAVAILABLE] = "unavailable",
};

static const char *const decisions[DECISION_COUNT] = {
	[DECISION_NONE] = "",
	[DECISION_WAITING] = "waiting",
	[DECISION_RETRY] = "retry",
	[DECISION_IGNORED] = "ignored",
	[DECISION_EXCLUDED] = "excluded",
};

static const char *const verbs[VERB_COUNT] = {
	[VERB_RETRY] = "retry",
	[VERB_IGNORE] = "ignore",
	[VERB_FAIL] = "fail",
	[VERB_EXCLUDE] = "exclude",
	[VERB_APPROVE] = "approve",
	[VERB_REJECT] = "reject",
	[VERB_SUCCEEDED] = "succeeded",
	[VERB_FAILED] = "failed",
};

static const char *name_at(
    const char *const *names, unsigned count, unsigned index)
{
	return index < count ? names[index] : "invalid";
}

static int index_of(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++) {
		if (strcmp(names[i], name) == 0)
			return i;
	}
	return -1;
}

const char *task_kind_name(enum task_kind kind)
{
	return name_at(kinds, TASK_KIND_COUNT, (unsigned)kind);
}

const char *action_type_name(enum action_type type)
{
	return name_at(action_types, ACTION_TYPE_COUNT, (unsigned)type);
}

const char *machine_health_name(enum machine_health state)
{
	return name_at(machine_healths, MACHINE_HEALTH_COUNT, (unsigned)state);
}

const char *run_decision_name(enum run_decision decision)
{
	return name_at(decisions, DECISION_COUNT, (unsigned)decision);
}

const char *task_verb_name(enum task_verb verb)
{
	return name_at(verbs, VERB_COUNT, (unsigned)verb);
}

const char *task_state_name(enum task_state state)
{
	return (unsigned)state < TASK_STATE_COUNT ? task_states[state].name
	                                          : "invalid";
}

const char *run_state_name(enum run_state state)
{
	return (unsigned)state < RUN_STATE_COUNT ? run_states[state].name
	                                         : "invalid";
}

enum rc task_kind_parse(const char *name, enum task_kind *out)
{
	int i = index_of(kinds, TASK_KIND_COUNT, name);

	if (i < 0)
		return RC_NOTFOUND;
	*out = (enum task_kind)i;
	return RC_OK;
}

enum rc action_type_parse(const char *name, enum action_type *out)
{
	int i = index_of(action_types, ACTION_TYPE_COUNT, name);

	if (i < 0)
		return RC_NOTFOUND;
	*out = (enum action_type)i;
	return RC_OK;
}

enum rc machine_health_parse(const char *name, enum machine_health *out)
{
	int i = index_of(machine_healths, MACHINE_HEALTH_COUNT, name);

	if (i < 0)
		return RC_NOTFOUND;
	*out = (enum machine_health)i;
	return RC_OK;
}

enum rc run_decision_parse(const char *name, enum run_decision *out)
{
	int i = index_of(decisions, DECISION_COUNT, name);

	if (i < 0)
		return RC_NOTFOUND;
	*out = (enum run_decision)i;
	return RC_OK;
}

enum rc task_verb_parse(const char *name, enum task_verb *out)
{
	int i = index_of(verbs, VERB_COUNT, name);

	if (i < 0)
		return RC_NOTFOUND;
	*out = (enum task_verb)i;
	return RC_OK;
}

bool run_may_retry(uint32_t attempt, uint32_t former_count)
{
	return attempt < TASK_ATTEMPTS_MAX && former_count < TASK_FORMER_MAX;
}

enum rc task_state_parse(const char *name, enum task_state *out)
{
	for (int i = 0; i < TASK_STATE_COUNT; i++) {
		if (strcmp(task_states[i].name, name) == 0) {
			*out = (enum task_state)i;
			return RC_OK;
		}
	}
	return RC_NOTFOUND;
}

enum rc run_state_parse(const char *name, enum run_state *out)
{
	for (int i = 0; i < RUN_STATE_COUNT; i++) {
		if (strcmp(run_states[i].name, name) == 0) {
			*out = (enum run_state)i;
			return RC_OK;
		}
	}
	return RC_NOTFOUND;
}

bool task_state_is_final(enum task_state state)
{
	return (unsigned)state < TASK_STATE_COUNT &&
	       task_states[state].may_become == 0;
}

bool run_state_is_final(enum run_state state)
{
	return (unsigned)state < RUN_STATE_COUNT &&
	       run_states[state].may_become == 0;
}

bool task_state_may_become(enum task_state from, enum task_state to)
{
	return (unsigned)from < TASK_STATE_COUNT &&
	       (unsigned)to < TASK_STATE_COUNT &&
	       (task_states[from].may_become & BIT(to)) != 0;
}

bool run_state_may_become(enum run_state from, enum run_state to)
{
	return (unsigned)from < RUN_STATE_COUNT &&
	       (unsigned)to < RUN_STATE_COUNT &&
	       (run_states[from].may_become & BIT(to)) != 0;
}

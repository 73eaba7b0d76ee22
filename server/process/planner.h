/*
 * planner.h - from a process and the machines of an environment to a task.
 * Pure: no database, clock or socket.
 *
 * Each block of the process becomes a block of the task.  Its packages are
 * staged first, before anything touches the machine; each `deploy` step then
 * is one activate action, each `run` step one script action.  Variables are
 * not in the plan: they are resolved for one machine when its action goes out
 * (planner_variables), so that no secret lies in a task.
 */
#ifndef SERVER_PROCESS_PLANNER_H
#define SERVER_PROCESS_PLANNER_H

#include "server/engine/task.h"
#include "server/process/process.h"

/* What an action needs beside machine and ticket.  Unused fields are NULL. */
struct plan_payload {
	enum action_type type;
	char *name;    /* the step's name */
	char *script;  /* SCRIPT, HEALTH: body, with its #! line */
	char *package; /* STAGE, ACTIVATE: which; SCRIPT: directory, or NULL */
	char *version, *digest;     /* STAGE, ACTIVATE; SHA-256 in hex */
	uint64_t size;              /* STAGE: bytes */
	struct text_list configure; /* ACTIVATE */
	char *before, *after;       /* ACTIVATE: bodies, or NULL */
	uint64_t timeout_ms;
	struct script_world world; /* SCRIPT, ACTIVATE */
};

struct plan {
	struct task_plan *task;
	struct plan_payload *payloads; /* task_action.payload is an index */
	size_t payload_count;
	/* What variables_resolve() needs again when an action goes out. */
	char *project, *environment, *release; /* NULL: not of a deployment */
	uint64_t deployment;
};

struct plan_package {
	const char *name, *version, *digest; /* borrowed */
	uint64_t size;
};

struct plan_machine {
	const char *id, *name; /* borrowed */
	const char *const *roles;
	size_t role_count;
	bool enabled;
};

struct plan_packages {
	const struct plan_package *items;
	size_t count;
};

struct plan_machines {
	const struct plan_machine *items; /* the environment's, in order */
	size_t count;
};

struct plan_request {
	uint64_t task, deployment;
	uint64_t deadline_ms; /* absolute; 0: none */
	uint64_t queue_ms;    /* how long an unreachable machine is tried */
	bool guided;          /* a failure waits for a person; or as the process
	                       * says */
	const char *environment, *release;
	struct plan_packages packages; /* of the release */
	struct plan_machines machines;
};

/*
 * A deployment.  RC_PROTO: the fault says what is missing, e.g. "no machine in
 * prod has the role web (roll out, line 4)"; RC_LIMIT; RC_NOMEM.
 */
MUST_CHECK enum rc planner_deploy(const struct process *process,
    const struct plan_request *request, struct plan **out, struct fault *fault);

/* One script on all the machines given, at most `window` at a time (0: all),
 * however many fail.  timeout_ms 0: PROCESS_TIMEOUT_MS. */
struct plan_script {
	const char *name, *text, *interpreter,
	    *package; /* all but text: NULL ok */
	uint64_t timeout_ms;
	uint32_t window;
	struct script_world world;
};
MUST_CHECK enum rc planner_script(const struct plan_script *script,
    const struct plan_request *request, struct plan **out, struct fault *fault);

/* A health check of all the machines given; script: the operator's own check
 * or NULL. */
MUST_CHECK enum rc planner_health(const struct plan_script *script,
    const struct plan_request *request, struct plan **out, struct fault *fault);

/*
 * The variables of one machine for one payload of this plan.  Version is the
 * payload's package version, or that of the plan's only package.
 */
MUST_CHECK enum rc planner_variables(const struct plan *plan,
    const struct plan_payload *payload, const struct plan_machine *machine,
    const struct variable_set *variables, struct resolved_variables *out,
    struct fault *fault);

void plan_free(struct plan *plan); /* NULL is fine */

/*
 * One payload as JSON, to be kept with the task: it holds no secret.  *out is
 * NUL-terminated; the caller frees it.  RC_NOMEM.
 */
MUST_CHECK enum rc plan_payload_to_json(
    const struct plan_payload *payload, char **out);
/* RC_PROTO: not a payload, the fault says why; RC_NOMEM.  On error *out is
 * empty. */
MUST_CHECK enum rc plan_payload_from_json(const char *text, size_t len,
    struct plan_payload *out, struct fault *fault);
void plan_payload_fini(struct plan_payload *payload);

#endif

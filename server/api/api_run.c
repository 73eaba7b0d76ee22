/* api_run.c - run a script on machines, outside of any project. */
#include "server/api/new_task.h"
#include "server/api/routes.h"
#include "server/process/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_S     30
#define QUEUE_MAX_S UINT64_C(86400)
#define WINDOW_MAX  100000

static enum rc read_world(struct api_call *call, struct script_world *out)
{
	const char *user = call_text(call, "user");
	const char *lock = call_text(call, "lock");

	wire_copy(out->user, sizeof(out->user), user != NULL ? user : "");
	wire_copy(out->lock, sizeof(out->lock), lock != NULL ? lock : "");
	out->memory = call_number(call, "memory", 0);
	out->processes = (uint32_t)call_number(call, "processes", 0);
	out->lock_shared = call_bool(call, "lock_shared", false);
	return script_world_check(out, &call->fault);
}

static enum rc create(struct api_call *call, struct db *db)
{
	struct chosen chosen = { 0 };
	struct plan *plan = NULL;
	char title[STORE_TEXT_SIZE];
	const char *name = call_text(call, "name");
	struct plan_script script = { .name = name != NULL ? name : "run",
		.text = call_text(call, "script"),
		.interpreter = call_text(call, "interpreter"),
		.timeout_ms = call_number(call, "timeout_s", 0) * 1000,
		.window = (uint32_t)call_number(call, "window", 0) };
	enum rc rc = RC_OK;

	if (name != NULL)
		rc = name_check("name", name, &call->fault);
	if (rc == RC_OK)
		rc = read_world(call, &script.world);
	if (rc == RC_OK)
		rc = choose_machines(call, db, &chosen);
	if (rc == RC_OK) {
		const struct plan_request request = {
			.queue_ms =
			    call_number(call, "queue_s", QUEUE_S) * 1000,
			.environment = call_text(call, "environment"),
			.machines = chosen_machines(&chosen)
		};

		rc = planner_script(&script, &request, &plan, &call->fault);
	}
	if (rc == RC_OK) {
		const struct task_wish wish = { .kind = TASK_RUN,
			.title = title,
			.environment = call_text(call, "environment"),
			.plan = plan };

		(void)snprintf(title, sizeof(title), "%s on %zu machine%s",
		    script.name, chosen.count, chosen.count == 1 ? "" : "s");
		rc = create_task(call, db, &wish);
	}
	plan_free(plan);
	chosen_clear(&chosen);
	return rc;
}

static const struct route_field create_fields[] = {
	CHOOSE_FIELDS,
	{ "script", ROUTE_TEXT, true, PROCESS_SCRIPT_MAX, "What to run", NULL },
	{ "name", ROUTE_TEXT, false, LIMIT_NAME, "Of the step; run", NULL },
	{ "interpreter", ROUTE_TEXT, false, LIMIT_TEXT, "/bin/sh -e", NULL },
	{ "timeout_s", ROUTE_NUMBER, false, PROCESS_TIMEOUT_MAX_S,
	    "Of one run; 1800", NULL },
	{ "queue_s", ROUTE_NUMBER, false, QUEUE_MAX_S,
	    "How long an unreachable machine is tried; 30", NULL },
	{ "window", ROUTE_NUMBER, false, WINDOW_MAX,
	    "Machines at a time; 0: all", NULL },
	{ "user", ROUTE_TEXT, false, USER_SIZE - 1,
	    "Who runs it there; as the tentacle", NULL },
	{ "memory", ROUTE_NUMBER, false, WORLD_MEMORY_MAX,
	    "Bytes of all that it starts; no limit", NULL },
	{ "processes", ROUTE_NUMBER, false, WORLD_PROCESSES_MAX,
	    "At once; no limit", NULL },
	{ "lock", ROUTE_TEXT, false, LIMIT_NAME,
	    "Held on the machine while it runs", NULL },
	{ "lock_shared", ROUTE_BOOL, false, 0, "Beside others that share it",
	    NULL },
	{ .name = NULL },
};

const struct route run_routes[] = {
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/run",
	    .operation = "run.create",
	    .summary = "Run a script on machines; answers with the task",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_RUN_SCRIPT,
	    .body = ROUTE_JSON,
	    .fields = create_fields,
	    .handler = create },
	{ .pattern = NULL },
};

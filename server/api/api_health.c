/* api_health.c - check machines now. */
#include "server/api/new_task.h"
#include "server/api/routes.h"

#include <stdio.h>
#include <stdlib.h>

#define QUEUE_MS      UINT64_C(10000)
#define TIMEOUT_S     60
#define TIMEOUT_MAX_S 3600
#define SCRIPT_MAX    (64u << 10)

static enum rc create(struct api_call *call, struct db *db)
{
	struct chosen chosen = { 0 };
	struct plan *plan = NULL;
	char title[STORE_TEXT_SIZE];
	enum rc rc = choose_machines(call, db, &chosen);
	const struct plan_script script = { .name = "health",
		.text = call_text(call, "script"),
		.timeout_ms =
		    call_number(call, "timeout_s", TIMEOUT_S) * 1000 };
	const struct plan_request request = { .queue_ms = QUEUE_MS,
		.environment = call_text(call, "environment"),
		.machines = chosen_machines(&chosen) };

	if (rc == RC_OK)
		rc = planner_health(script.text != NULL ? &script : NULL,
		    &request, &plan, &call->fault);
	if (rc == RC_OK) {
		const struct task_wish wish = { .kind = TASK_HEALTH,
			.title = title,
			.environment = request.environment,
			.plan = plan };

		(void)snprintf(title, sizeof(title), "health of %zu machine%s",
		    chosen.count, chosen.count == 1 ? "" : "s");
		rc = create_task(call, db, &wish);
	}
	plan_free(plan);
	chosen_clear(&chosen);
	return rc;
}

static const struct route_field create_fields[] = {
	CHOOSE_FIELDS,
	{ "script", ROUTE_TEXT, false, SCRIPT_MAX, "A check of your own",
	    NULL },
	{ "timeout_s", ROUTE_NUMBER, false, TIMEOUT_MAX_S, "Of the check; 60",
	    NULL },
	{ .name = NULL },
};

const struct route health_routes[] = {
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/health",
	    .operation = "health.run",
	    .summary = "Check the health of machines; answers with the task",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_HEALTH_RUN,
	    .body = ROUTE_JSON,
	    .fields = create_fields,
	    .handler = create },
	{ .pattern = NULL },
};

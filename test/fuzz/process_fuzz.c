/* fuzz: server common proto */
/* about: server/process/process*.c server/process/[yv]*.c */
#include "server/process/planner.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void plan_it(const struct process *process)
{
	static const char *const roles[] = { "web", "test" };
	static const struct plan_machine machines[] = {
		{ .id = "m1",
		    .name = "m1",
		    .roles = roles,
		    .role_count = 2,
		    .enabled = true },
		{ .id = "m2", .name = "m2", .enabled = true },
	};
	static const struct plan_package packages[] = {
		{ .name = "shop-web", .version = "1.0", .digest = "00" },
	};
	const struct plan_request request = { .task = 1,
		.deployment = 2,
		.environment = "prod",
		.release = "1.0",
		.packages = { packages, 1 },
		.machines = { machines, 2 } };
	struct resolved_variables variables;
	struct plan *plan;
	char *json;

	if (planner_deploy(process, &request, &plan, NULL) != RC_OK)
		return;
	for (size_t i = 0; i < plan->payload_count; i++) {
		struct plan_payload copy;

		if (plan_payload_to_json(&plan->payloads[i], &json) != RC_OK)
			continue; /* text that is no UTF-8 */
		if (plan_payload_from_json(json, strlen(json), &copy, NULL) !=
		    RC_OK)
			abort();
		plan_payload_fini(&copy);
		free(json);
	}
	if (planner_variables(plan, &plan->payloads[0], &machines[0],
		&process->variables, &variables, NULL) == RC_OK)
		resolved_variables_clear(&variables);
	plan_free(plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fault fault = { .code = REASON_NONE };
	struct process *process;
	enum rc rc;

	rc = process_parse(
	    "fuzz.yaml", (const char *)data, len, &process, &fault);
	if (rc == RC_OK) {
		plan_it(process);
		process_free(process);
	} else if (rc == RC_PROTO && fault.text[0] == '\0') {
		abort(); /* an error without words */
	}
	return 0;
}

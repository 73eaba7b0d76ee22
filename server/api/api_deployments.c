/* api_deployments.c - take a release to the machines of an environment. */
#include "server/api/new_task.h"
#include "server/api/routes.h"
#include "server/process/release_snapshot.h"
#include "server/store/environment.h"
#include "server/store/project.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_S     60
#define QUEUE_MAX_S UINT64_C(86400)

struct deployment {
	struct store_release release;
	struct release_snapshot *snapshot;
	struct process *process;
	struct plan_package *packages;
	struct chosen chosen;
	struct plan *plan;
};

static void deployment_clear(struct deployment *d)
{
	plan_free(d->plan);
	chosen_clear(&d->chosen);
	free(d->packages);
	process_free(d->process);
	release_snapshot_free(d->snapshot);
	store_release_clear(&d->release);
}

static enum rc load(struct api_call *call, struct db *db, struct deployment *d)
{
	struct store_environment environment;
	enum rc rc = store_environment_get(
	    db, call_text(call, "environment"), &environment, &call->fault);

	if (rc == RC_OK)
		rc = store_release_get(db, call_text(call, "project"),
		    call_text(call, "release"), &d->release, &call->fault);
	if (rc == RC_OK)
		rc = release_snapshot_parse(d->release.snapshot,
		    strlen(d->release.snapshot), &d->snapshot, &call->fault);
	if (rc == RC_OK)
		rc = process_parse("process.yaml", d->snapshot->process,
		    strlen(d->snapshot->process), &d->process, &call->fault);
	if (rc != RC_OK)
		return rc;
	d->packages =
	    calloc(d->snapshot->package_count + 1, sizeof(*d->packages));
	if (d->packages == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < d->snapshot->package_count; i++) {
		const struct release_package *p = &d->snapshot->packages[i];

		d->packages[i] = (struct plan_package){ .name = p->name,
			.version = p->version,
			.digest = p->digest,
			.size = p->size };
	}
	return choose_machines(call, db, &d->chosen);
}

static enum rc plan_it(
    struct api_call *call, struct db *db, struct deployment *d)
{
	struct plan_request request = {
		.environment = call_text(call, "environment"),
		.release = d->release.version,
		.queue_ms = call_number(call, "queue_s", QUEUE_S) * 1000,
		.guided = call_bool(call, "guided", false),
		.packages = { d->packages, d->snapshot->package_count },
		.machines = chosen_machines(&d->chosen),
	};
	enum rc rc = store_deployment_next(db, d->release.project,
	    call_text(call, "environment"), &request.deployment);

	if (rc != RC_OK)
		return rc;
	return planner_deploy(d->process, &request, &d->plan, &call->fault);
}

static enum rc create(struct api_call *call, struct db *db)
{
	struct deployment d = { 0 };
	const char *environment = call_text(call, "environment");
	char title[STORE_TEXT_SIZE];
	enum rc rc = api_may(call, environment);

	if (rc == RC_OK)
		rc = load(call, db, &d);
	if (rc == RC_OK)
		rc = plan_it(call, db, &d);
	if (rc == RC_OK) {
		const struct task_wish wish = { .kind = TASK_DEPLOY,
			.title = title,
			.project = d.release.project,
			.release = d.release.version,
			.environment = environment,
			.plan = d.plan };

		(void)snprintf(title, sizeof(title), "%s %s to %s",
		    d.release.project, d.release.version, environment);
		rc = create_task(call, db, &wish);
	}
	deployment_clear(&d);
	return rc;
}

static const struct route_field create_fields[] = {
	{ "project", ROUTE_TEXT, true, LIMIT_NAME, "What", NULL },
	{ "release", ROUTE_TEXT, true, LIMIT_VERSION, "Which version", NULL },
	{ "environment", ROUTE_TEXT, true, LIMIT_NAME, "Where", NULL },
	{ "role", ROUTE_TEXT, false, LIMIT_VERSION, "Only this role", NULL },
	{ "machines", ROUTE_TEXTS, false, 1000, "Only these of it", NULL },
	{ "queue_s", ROUTE_NUMBER, false, QUEUE_MAX_S,
	    "How long an unreachable machine is tried; 60", NULL },
	{ "guided", ROUTE_BOOL, false, 0, "A failure waits for a person",
	    NULL },
	{ .name = NULL },
};

const struct route deployment_routes[] = {
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/deployments",
	    .operation = "deployment.create",
	    .summary = "Deploy a release; answers with the task",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_DEPLOY,
	    .body = ROUTE_JSON,
	    .fields = create_fields,
	    .handler = create },
	{ .pattern = NULL },
};

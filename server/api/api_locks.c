/* api_locks.c - named locks on machines: who holds them, and breaking them. */
#include "server/api/api_base.h"
#include "server/api/routes.h"
#include "server/api/wire.h"

/* It makes traffic, as a health check does. */
static enum rc may_ask(struct api_call *call, struct db *db)
{
	struct store_machine m = { 0 };
	enum rc rc =
	    store_machine_get(db, call_param(call, 0), &m, &call->fault);

	if (rc == RC_OK)
		rc = api_may_all(call, &m.environments);
	if (rc == RC_OK)
		wire_copy(call->name, sizeof(call->name), m.id);
	if (rc == RC_OK)
		rc = call_answer(call, 200, json_object());
	store_machine_clear(&m);
	return rc;
}

static enum rc ask(struct api_call *call, struct api_live *about)
{
	wire_copy(about->name, sizeof(about->name), call->name);
	json_decref(call->answer);
	call->answer = NULL;
	return api_can_ask(call) ? api_ask_about(call, about)
	                         : call_fail(call, RC_STATE, REASON_CONFLICT,
				       "this server has no links");
}

static enum rc list(struct api_call *call)
{
	struct api_live about = { .kind = API_LIVE_LOCKS };

	return ask(call, &about);
}

static enum rc may_break(struct api_call *call, struct db *db)
{
	enum rc rc = name_check("lock", call_param(call, 1), &call->fault);

	return rc == RC_OK ? may_ask(call, db) : rc;
}

static enum rc break_it(struct api_call *call)
{
	struct api_live about = { .kind = API_LIVE_LOCK_BREAK };

	wire_copy(about.lock, sizeof(about.lock), call_param(call, 1));
	return ask(call, &about);
}

const struct route lock_routes[] = {
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/machines/{name}/locks",
	    .operation = "lock.list",
	    .summary = "Who holds a lock there and who waits, asked now",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_HEALTH_RUN,
	    .handler = may_ask,
	    .after = list },
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/machines/{name}/locks/{lock}/break",
	    .operation = "lock.break",
	    .summary = "Take a lock away from whoever holds it; he goes on",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_RUN_SCRIPT,
	    .body = ROUTE_JSON,
	    .handler = may_break,
	    .after = break_it },
	{ .pattern = NULL },
};

/*
 * new_task.h - from a wish to a task row: which machines, which plan.
 *
 * Each payload of the plan is kept as JSON (plan_payload_to_json), under the
 * index by which the actions name it.
 * SQL thread only.
 */
#ifndef SERVER_API_NEW_TASK_H
#define SERVER_API_NEW_TASK_H

#include "server/api/wire.h"
#include "server/process/planner.h"

struct chosen {
	struct store_machine *rows;
	size_t count;
	struct plan_machine *items; /* borrow from rows */
	const char **roles;         /* borrowed by items */
};

/*
 * The machines that the body names: members environment, role, machines (all
 * that are given must hold), and that api_may() allows.  RC_NOTFOUND and
 * fault: none left, or one that was named does not exist.
 */
MUST_CHECK enum rc choose_machines(
    struct api_call *call, struct db *db, struct chosen *out);
void chosen_clear(struct chosen *c);
struct plan_machines chosen_machines(const struct chosen *c);

struct task_wish {
	enum task_kind kind;
	const char *title, *project, *release, *environment; /* NULL ok */
	struct plan *plan;
};
/* Write it, answer with it, tell the main loop. */
MUST_CHECK enum rc create_task(
    struct api_call *call, struct db *db, const struct task_wish *wish);

/* The members by which bodies choose machines. */
#define CHOOSE_FIELDS                                                          \
	{ "environment", ROUTE_TEXT, false, 63, "Its machines", NULL },        \
	    { "role", ROUTE_TEXT, false, 100, "Those with this role", NULL },  \
	{                                                                      \
		"machines", ROUTE_TEXTS, false, 1000, "These, by name or id",  \
		    NULL                                                       \
	}

#endif

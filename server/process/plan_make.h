/* plan_make.h - growing a plan.  Only for the .c files of planner.h. */
#ifndef SERVER_PROCESS_PLAN_MAKE_H
#define SERVER_PROCESS_PLAN_MAKE_H

#include "server/process/planner.h"

/* An empty plan with room for the request's machines. */
MUST_CHECK enum rc plan_new(
    const struct plan_request *request, enum task_kind kind, struct plan **out);
/* Append an empty payload; *index is its place. */
MUST_CHECK enum rc plan_add_payload(struct plan *plan, uint32_t *index);
/* Append an empty block. */
MUST_CHECK enum rc plan_add_block(
    struct plan *plan, const char *name, struct task_block **out);
/* Append an action with its payload, already filled, at index. */
MUST_CHECK enum rc plan_add_action(struct plan *plan, struct task_block *block,
    const char *name, uint32_t payload);
/* Copies text; NULL stays NULL. */
MUST_CHECK enum rc plan_copy_text(const char *text, char **out);

#endif

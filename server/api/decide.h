/* decide.h - what a task waits for, as JSON.  Handlers of api_decide.c. */
#ifndef SERVER_API_DECIDE_H
#define SERVER_API_DECIDE_H

#include "server/store/decision.h"

#include <jansson.h>

/* Adds "interruptions", what it waits for, and "decisions", what people have
 * said so far.  SQL thread. */
MUST_CHECK enum rc task_waits_json(
    struct db *db, const struct store_task *task, json_t *out);

#endif

/* task_log.h - the route that follows a task's output. */
#ifndef SERVER_API_TASK_LOG_H
#define SERVER_API_TASK_LOG_H

#include "server/api/log_read.h"
#include "server/api/wire.h"

#define TASK_LOG_WAIT_MAX_S 20

/* The task of the path, that the caller may see; sets call->number. */
MUST_CHECK enum rc task_load(
    struct api_call *call, struct db *db, struct store_task *out);

/* SQL thread: what is new?  HTTP thread: read it, or wait. */
MUST_CHECK enum rc task_log_look(struct api_call *call, struct db *db);
MUST_CHECK enum rc task_log_answer(struct api_call *call);

#endif

/* task_read.h - rows of runs and faults into structs; shared by the task files
 * of server/store.  Not for others. */
#ifndef SERVER_STORE_TASK_READ_H
#define SERVER_STORE_TASK_READ_H

#include "server/store/task.h"

/* Code, at and text from three columns on. */
void task_read_fault(struct query *q, int column, struct fault *f);

/* The columns that task_read_run() reads, of a table run named r. */
#define RUN_COLUMNS                                                            \
	"r.task, r.block, r.target, r.action, r.state, r.ticket, r.sent,"      \
	" r.tries, r.starting_ms, r.running_ms, r.ended_ms, r.exit_code,"      \
	" r.signal, r.health, r.reason, r.reason_at, r.reason_text,"           \
	" r.attempt, r.decision, r.doubt, r.former, r.log_size, r.log_base"
#define RUN_LOG_SIZE 21
#define RUN_LOG_BASE 22
#define RUN_AFTER    23 /* the first column behind them */

void task_read_run(struct query *q, struct run_row *r);
void task_bind_key(struct query *q, const struct run_key *key);

#endif

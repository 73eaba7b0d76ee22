/*
 * held.h - machines that are held, as people see them.  SQL thread only.
 */
#ifndef SERVER_API_HELD_H
#define SERVER_API_HELD_H

#include "server/api/call.h"
#include "server/store/machine.h"

/* Adds to answer (which it takes; NULL is fine) why the machine is held, which
 * copies contradict each other, and what to do.  NULL: no memory. */
json_t *held_explain(
    struct db *db, const struct store_machine *m, json_t *answer);

/* --- api_machines.c ------------------------------------------------------- */

json_t *machine_json(const struct store_machine *m, bool with_facts);
/* Tell the fleet and the audit which machine this call has changed. */
void machine_changed(struct api_call *call, const struct store_machine *m);

#endif

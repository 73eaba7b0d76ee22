/*
 * held.h - machines and relays that are held, as people see them.  SQL thread
 * only.
 */
#ifndef SERVER_API_HELD_H
#define SERVER_API_HELD_H

#include "server/api/call.h"
#include "server/store/instance.h"
#include "server/store/machine.h"
#include "server/store/relay.h"

struct held {
	struct store_member member;
	const char *name, *hold;
};

/* Adds to answer (which it takes; NULL is fine) why this is held, which copies
 * contradict each other, and what to do.  NULL: no memory. */
json_t *held_explain(struct db *db, const struct held *held, json_t *answer);

/* --- api_machines.c ------------------------------------------------------- */

json_t *machine_json(const struct store_machine *m, bool with_facts);
/* Tell the fleet and the audit which machine this call has changed. */
void machine_changed(struct api_call *call, const struct store_machine *m);

/* --- api_relays.c --------------------------------------------------------- */

json_t *relay_json(const struct store_relay *r);
void relay_changed(struct api_call *call, const char *name);

#endif

/* The record of the script that we guard. */
#include "tentacle/guardian/guard.h"
#include "tentacle/guardian/process.h"

#include <unistd.h>

enum rc guard_put(struct guard *g, enum guard_slot slot)
{
	uint8_t bytes[GUARD_TREE_SIZE];
	enum rc rc = guard_slot_encode(&g->record, slot, bytes);

	if (rc == RC_OK)
		rc = guard_write_at(GUARD_FD_RECORD, bytes,
		    guard_slot_size(slot), guard_slot_offset(slot));
	if (rc == RC_OK)
		g->record.state[slot] = SLOT_VALID;
	return rc;
}

enum rc guard_put_synced(struct guard *g, enum guard_slot slot)
{
	enum rc rc = guard_put(g, slot);

	/* Once, and never again: what a second call says is worth nothing. */
	if (rc == RC_OK && !g->order.passing && fdatasync(GUARD_FD_RECORD) != 0)
		rc = RC_IO;
	return rc;
}

bool guard_look(struct guard *g, enum guard_slot slot)
{
	uint8_t bytes[GUARD_TREE_SIZE];
	size_t got = 0, size = guard_slot_size(slot);

	if (guard_read_at(GUARD_FD_RECORD, bytes, size, guard_slot_offset(slot),
		&got) != RC_OK)
		return false;
	guard_slot_decode(&g->record, slot, bytes_of(bytes, got));
	return g->record.state[slot] == SLOT_VALID;
}

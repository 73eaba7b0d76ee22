/*
 * instance.h - which life of a machine's tentacle the server believes in.
 *
 * Journal and counter guard against a disk rolled back, start, nonce and
 * succession token against a copied machine (architecture.md sections 5, 7).
 * SQL thread only.
 */
#ifndef SERVER_STORE_INSTANCE_H
#define SERVER_STORE_INSTANCE_H

#include "server/store/db.h"
#include "server/store/types.h"

struct store_instance {
	char journal[STORE_ID_SIZE]; /* "" before the first seal */
	uint64_t counter;            /* the highest that was seen */
	uint64_t start;
	char nonce[STORE_ID_SIZE];
	uint8_t succession[STORE_SHA256_SIZE];        /* zeros: none yet */
	uint8_t succession_before[STORE_SHA256_SIZE]; /* zeros: confirmed */
};

MUST_CHECK enum rc store_instance_get(
    struct db *db, const char *machine, struct store_instance *out);
/*
 * Replace the row if it still holds old's start, nonce and succession.
 * RC_STATE: somebody else was quicker; load and judge again.
 */
MUST_CHECK enum rc store_instance_swap(struct db *db, const char *machine,
    const struct store_instance *old, const struct store_instance *next);
/* Raise the counter of that journal; never lowers it.  RC_STATE: the journal
 * is another one. */
MUST_CHECK enum rc store_instance_counter(
    struct db *db, const char *machine, const char *journal, uint64_t counter);

#endif

/*
 * instance.h - which life of a machine's tentacle, or of a relay, the server
 * believes in.
 *
 * Journal and counter guard against a disk rolled back, start, nonce and
 * succession token against a copied machine (architecture.md sections 5, 7).
 * SQL thread only.
 */
#ifndef SERVER_STORE_INSTANCE_H
#define SERVER_STORE_INSTANCE_H

#include "server/store/db.h"
#include "server/store/types.h"

#include <stdbool.h>

struct store_instance {
	char journal[STORE_ID_SIZE]; /* "" before the first seal */
	uint64_t counter;            /* the highest that was seen */
	uint64_t start;
	char nonce[STORE_ID_SIZE];
	uint8_t succession[STORE_SHA256_SIZE];        /* zeros: none yet */
	uint8_t succession_before[STORE_SHA256_SIZE]; /* zeros: confirmed */
};

/* One of the lives that contradict each other, while a machine is held. */
struct store_copy {
	char nonce[STORE_ID_SIZE]; /* people name it by its first digits */
	uint64_t start;
	char journal[STORE_ID_SIZE];
	uint64_t counter;
	uint8_t succession[STORE_SHA256_SIZE]; /* that it shows; zeros: none */
	char via[STORE_TEXT_SIZE];             /* where it was seen, or "" */
	uint64_t seen_ms;                      /* 0: not known */
	bool known;                            /* the one that had the work */
};

/* Whose: a machine's, by id, or a relay's, by name. */
struct store_member {
	enum store_role role;
	const char *id;
};

#define STORE_COPIES_MAX    2
#define STORE_COPY_NAME_LEN 8 /* digits that people are shown */

MUST_CHECK enum rc store_instance_get(
    struct db *db, const struct store_member *of, struct store_instance *out);
/*
 * Replace the row if it still holds old's start, nonce and succession.
 * RC_STATE: somebody else was quicker; load and judge again.
 */
MUST_CHECK enum rc store_instance_swap(struct db *db,
    const struct store_member *of, const struct store_instance *old,
    const struct store_instance *next);
/* Raise the counter of a machine's journal; never lowers it.  RC_STATE: the
 * journal is another one. */
MUST_CHECK enum rc store_instance_counter(
    struct db *db, const char *machine, const char *journal, uint64_t counter);
/* Hold it as `clone`: these contradict each other. */
MUST_CHECK enum rc store_instance_fork(struct db *db,
    const struct store_member *of, const struct store_copy *known,
    const struct store_copy *other);
/* Those of the last fork, the known one first. */
MUST_CHECK enum rc store_instance_copies(struct db *db,
    const struct store_member *of, struct store_copy out[STORE_COPIES_MAX],
    size_t *count);
/*
 * A person lets what is held go on, with whatever journal it shows next.  copy:
 * first digits of the nonce of the one that goes on; NULL: after a fork,
 * whoever greets next.  RC_NOTFOUND: no copy of that name, or several.
 */
MUST_CHECK enum rc store_instance_release(struct db *db,
    const struct store_member *of, const char *copy, struct fault *fault);
/* It joins with another key: none of its lives counts any more. */
MUST_CHECK enum rc store_instance_forget(
    struct db *db, const struct store_member *of);

#endif

/*
 * joining.h - keys that ask to join, and wait for a person.
 *
 * A key that nobody decides about, or that does not come for its answer, is
 * forgotten.  SQL thread only.
 */
#ifndef SERVER_STORE_JOINING_H
#define SERVER_STORE_JOINING_H

#include "server/store/types.h"

#include "server/store/db.h"

#define STORE_JOININGS_MAX 1000 /* at a time */
/* Of not asking again. */
#define STORE_JOINING_LIFE_MS (7ULL * 24 * 3600 * 1000)
#define STORE_ADDRESS_SIZE    128

enum joining_state {
	JOINING_WAITING = 0,
	JOINING_APPROVED,
	JOINING_REJECTED,
	JOINING_STATE_COUNT
};

struct store_joining {
	uint8_t spki[STORE_SHA256_SIZE];
	enum store_role role;
	char name[STORE_NAME_SIZE]; /* as it shall be called */
	char hostname[STORE_TEXT_SIZE];
	char address[STORE_ADDRESS_SIZE];
	char version[STORE_NAME_SIZE];
	char token[STORE_TOKEN_ID_SIZE]; /* "": it joined long ago */
	enum joining_state state;
	uint64_t created_ms;
	uint64_t seen_ms; /* it asked last */
};

/* "waiting"...  Never NULL. */
const char *joining_state_name(enum joining_state s);

MUST_CHECK enum rc store_joining_get(struct db *db,
    const uint8_t spki[STORE_SHA256_SIZE], struct store_joining *out);
/*
 * By the first digits of the key's hash (8 or more), or by name or host name.
 * RC_NOTFOUND, RC_STATE (several: the fault says so).
 */
MUST_CHECK enum rc store_joining_find(struct db *db, enum store_role role,
    const char *name, struct store_joining *out, struct fault *fault);
/* RC_LIMIT: STORE_JOININGS_MAX. */
MUST_CHECK enum rc store_joining_add(
    struct db *db, const struct store_joining *j, struct fault *fault);
MUST_CHECK enum rc store_joining_seen(
    struct db *db, const uint8_t spki[STORE_SHA256_SIZE], uint64_t now_ms);
MUST_CHECK enum rc store_joining_decide(struct db *db,
    const uint8_t spki[STORE_SHA256_SIZE], enum joining_state state);
/* It has joined. */
MUST_CHECK enum rc store_joining_drop(
    struct db *db, const uint8_t spki[STORE_SHA256_SIZE]);
/* Those of the role, oldest first; free(*rows). */
MUST_CHECK enum rc store_joining_list(struct db *db, enum store_role role,
    struct store_joining **rows, size_t *count);
MUST_CHECK enum rc store_joining_expire(struct db *db, uint64_t now_ms);

#endif

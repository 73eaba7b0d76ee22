/*
 * rotation.h - authorities that follow others, and how far members are.
 * SQL thread only.
 *
 *     spreading -> issuing -> done
 *
 * spreading: the new root is told to all, with the old one.  issuing: new
 * certificates come from the new authorities.  done: the old ones are retired.
 * `agents` and `nodes` begin with issuing: their root is known already.
 */
#ifndef SERVER_STORE_ROTATION_H
#define SERVER_STORE_ROTATION_H

#include "server/store/db.h"
#include "server/store/types.h"

enum rotation_kind {
	ROTATION_AGENTS = 0,
	ROTATION_NODES,
	ROTATION_ROOT,
	ROTATION_KIND_COUNT
};

enum rotation_phase {
	ROTATION_SPREADING = 0,
	ROTATION_ISSUING,
	ROTATION_DONE,
	ROTATION_PHASE_COUNT
};

/* Lower-case words, as in SQL and JSON.  Never NULL. */
const char *rotation_kind_name(enum rotation_kind k);
const char *rotation_phase_name(enum rotation_phase p);
/* RC_NOTFOUND: no such word. */
MUST_CHECK enum rc rotation_kind_parse(
    const char *name, enum rotation_kind *out);

struct rotation_blob {
	uint8_t *data; /* owned by the row; NULL when empty */
	size_t len;
};

struct store_rotation {
	uint64_t id;
	enum rotation_kind kind;
	enum rotation_phase phase;
	char who[STORE_WHO_SIZE];
	uint64_t started_ms, changed_ms;
	char *left_out;  /* names, one per line; NULL: nobody */
	uint64_t number; /* of bundle_during; bundle_after has the next */
	struct rotation_blob bundle_during, bundle_after; /* signed */
	/* The keys of the authorities that issue once it is issuing. */
	uint8_t agents[STORE_SHA256_SIZE], nodes[STORE_SHA256_SIZE];
	/* Of a new `agents`: PEM; its key, wrapped.  Empty: it stays. */
	struct rotation_blob agents_chain, agents_key;
};

void store_rotation_clear(struct store_rotation *r);
/* The newest.  RC_NOTFOUND: there never was one.  store_rotation_clear(). */
MUST_CHECK enum rc store_rotation_last(
    struct db *db, struct store_rotation *out);
MUST_CHECK enum rc store_rotation_add(
    struct db *db, const struct store_rotation *r);
struct rotation_step {
	uint64_t id;
	enum rotation_phase from, to;
	const char *left_out; /* NULL: nobody */
	uint64_t now_ms;
};
/* RC_NOTFOUND: it is not (any more) where it was thought to be. */
MUST_CHECK enum rc store_rotation_move(
    struct db *db, const struct rotation_step *step);

/* --- Members ---------------------------------------------------------------
 */

struct store_member_trust {
	enum store_role role;
	char id[STORE_NAME_SIZE]; /* machine id, relay name */
	uint64_t bundle;          /* number; 0: none */
	uint8_t authority[STORE_SHA256_SIZE];
	uint64_t at_ms;
};

MUST_CHECK enum rc store_member_trust_set(
    struct db *db, const struct store_member_trust *m);

/* Who has joined and is not there yet: has no bundle of this number or later,
 * or (authority not NULL) no certificate of that authority. */
struct rotation_goal {
	uint64_t bundle;
	const uint8_t *authority;
};
struct store_missing {
	enum store_role role;
	char name[STORE_NAME_SIZE]; /* as people call it */
	enum store_presence presence;
	uint64_t last_seen_ms;
};
/* At most limit rows (free *rows), *count of all. */
MUST_CHECK enum rc store_rotation_missing(struct db *db,
    const struct rotation_goal *goal, size_t limit, struct store_missing **rows,
    size_t *row_count, uint64_t *count);
/* When the last one came a step further, unix ms; 0: nobody has. */
MUST_CHECK enum rc store_member_trust_last(struct db *db, uint64_t *at_ms);
/* How many have joined at all. */
MUST_CHECK enum rc store_member_count(struct db *db, uint64_t *out);

#endif

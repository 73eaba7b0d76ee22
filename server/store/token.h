/*
 * token.h - who may join, who has joined, and who may no more.
 *
 * The database knows of a token's secret only its SHA-256.  SQL thread only.
 */
#ifndef SERVER_STORE_TOKEN_H
#define SERVER_STORE_TOKEN_H

#include "server/store/machine.h"

struct store_token {
	char id[STORE_TOKEN_ID_SIZE];
	uint8_t secret[STORE_SHA256_SIZE]; /* SHA-256 of the 256-bit secret */
	enum store_role role;
	char name[STORE_NAME_SIZE]; /* the joiner's name; "": it chooses */
	uint32_t uses_left;
	bool approval; /* a person approves each joiner */
	uint64_t expires_ms;
	uint64_t created_ms;
	char who[STORE_WHO_SIZE]; /* who made it */
	struct names environments;
	struct names roles;
	struct store_route routes[STORE_ROUTES_MAX];
	size_t route_count; /* 0: by the path that it joins through */
};

void store_token_clear(struct store_token *t);
void store_tokens_free(struct store_token *rows, size_t count);

MUST_CHECK enum rc store_token_create(
    struct db *db, const struct store_token *t, struct fault *fault);
MUST_CHECK enum rc store_token_get(struct db *db, const char *id,
    struct store_token *out, struct fault *fault);
/* Sorted by id. */
MUST_CHECK enum rc store_token_list(struct db *db, const struct page *page,
    struct store_token **rows, size_t *count);
MUST_CHECK enum rc store_token_delete(
    struct db *db, const char *id, struct fault *fault);
/* What a joiner shows. */
struct store_token_shown {
	const char *id;
	const uint8_t *secret; /* the 32 bytes themselves */
	enum store_role role;
	uint64_t now_ms;
};
/*
 * Take one use.  RC_DENIED and fault (reason token or expired) when there is
 * none such, secret or role is wrong, it is used up or expired; a wrong
 * secret and an unknown id sound the same.
 */
MUST_CHECK enum rc store_token_use(struct db *db,
    const struct store_token_shown *shown, struct store_token *out,
    struct fault *fault);
/* Delete those that expired before now_ms. */
MUST_CHECK enum rc store_token_expire(struct db *db, uint64_t now_ms);

/* A key that has joined: asked again, it gets the same identity. */
struct store_enrolment {
	uint8_t spki[STORE_SHA256_SIZE];
	enum store_role role;
	char id[STORE_NAME_SIZE]; /* machine id or relay name */
	char token[STORE_TOKEN_ID_SIZE];
	uint64_t at_ms; /* its newest certificate was made */
};
MUST_CHECK enum rc store_enrolment_get(struct db *db,
    const uint8_t spki[STORE_SHA256_SIZE], struct store_enrolment *out);
MUST_CHECK enum rc store_enrolment_add(
    struct db *db, const struct store_enrolment *e, struct fault *fault);

/* It has a newer certificate; RC_NOTFOUND. */
MUST_CHECK enum rc store_enrolment_renewed(
    struct db *db, const uint8_t spki[STORE_SHA256_SIZE], uint64_t at_ms);

struct store_revocation {
	uint8_t spki[STORE_SHA256_SIZE];
	enum store_role role;
	char name[STORE_NAME_SIZE];
	char reason[STORE_TEXT_SIZE];
	uint64_t at_ms;
	uint64_t expires_ms; /* of its last certificate: then it leaves the
	                        list, but never the database */
};
/* Adds the key and raises its list's number.  Twice is fine. */
MUST_CHECK enum rc store_revoke(
    struct db *db, const struct store_revocation *r);
/* The same for who had this key until now; none (all zero): nothing to do. */
struct store_revoke_key {
	enum store_role role;
	const char *name;
	const char *reason;
	const uint8_t *spki;
	uint64_t now_ms;
};
MUST_CHECK enum rc store_revoke_key(
    struct db *db, const struct store_revoke_key *k);
MUST_CHECK enum rc store_revoked(
    struct db *db, const uint8_t spki[STORE_SHA256_SIZE], bool *out);
/* The list gets the next number, so that all who have it ask for it anew. */
MUST_CHECK enum rc store_revocations_next(
    struct db *db, bool nodes, uint64_t *out);
/* The list's number is at least this from now on. */
MUST_CHECK enum rc store_revocations_raise(
    struct db *db, bool nodes, uint64_t number);
/* Those still listed at now_ms: nodes true: servers, else relays and
 * tentacles.  *number is the list's.  free(*rows). */
MUST_CHECK enum rc store_revocation_list(struct db *db, bool nodes,
    uint64_t now_ms, struct store_revocation **rows, size_t *count,
    uint64_t *number);

#endif

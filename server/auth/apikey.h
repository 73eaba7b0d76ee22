/*
 * apikey.h - make and verify the keys of the HTTP API.
 *
 * A key is "lk1.<id>.<secret>": id 16 hex digits, secret 64 hex digits of 256
 * random bits, shown once.  The server keeps its SHA-256: a random 256-bit
 * secret needs no slow hash.  SQL thread only.
 */
#ifndef SERVER_AUTH_APIKEY_H
#define SERVER_AUTH_APIKEY_H

#include "server/auth/permission.h"
#include "server/store/apikey.h"

#define APIKEY_TEXT_SIZE 86 /* "lk1." + 16 + "." + 64 + NUL */

/* Who asks, and what that may do. */
struct caller {
	char who[STORE_WHO_SIZE]; /* "apikey ci": for audit and tasks */
	char key_id[STORE_ID_SIZE];
	permission_set permissions;
	struct names environments; /* none: all of them */
};
void caller_clear(struct caller *c);

struct apikey_wish {
	const char *name;
	permission_set permissions;
	const struct names *environments; /* NULL: all */
	uint64_t expires_ms;              /* 0: never */
	uint64_t now_ms;
};
/*
 * Make a key; text (APIKEY_TEXT_SIZE) is the only copy there will ever be:
 * wipe it after it was shown.  RC_EXISTS: the name is taken.
 */
MUST_CHECK enum rc apikey_create(struct db *db, const struct apikey_wish *wish,
    char text[APIKEY_TEXT_SIZE], struct fault *fault);

/*
 * Who is this?  In constant time in the secret.  RC_DENIED and fault: not a
 * key, unknown, or expired (only somebody with the right secret hears that).
 * The caller clears *out.
 */
MUST_CHECK enum rc apikey_verify(struct db *db, const char *text,
    uint64_t now_ms, struct caller *out, struct fault *fault);

/*
 * May c do p, in this environment?  environment NULL: p is about no
 * environment in particular; then a key confined to some may only view, and
 * push packages.
 * RC_DENIED and fault name what is missing.
 */
MUST_CHECK enum rc caller_may(const struct caller *c, enum permission p,
    const char *environment, struct fault *fault);
/* Is this environment in c's?  For filtering lists. */
bool caller_sees(const struct caller *c, const char *environment);

#endif

/*
 * types.h - what the store's records share: names, lists of them, pages.
 *
 * Rows are plain values; only longer texts are on the heap, and each record
 * that has some says which call frees them.  Times are unix milliseconds.
 */
#ifndef SERVER_STORE_TYPES_H
#define SERVER_STORE_TYPES_H

#include "proto/rc.h"

#include <stddef.h>
#include <stdint.h>

#define STORE_NAME_SIZE     64  /* a display name and its NUL */
#define STORE_VERSION_SIZE  101 /* a package's or release's version, role */
#define STORE_ID_SIZE       33  /* 32 hex digits and NUL */
#define STORE_TOKEN_ID_SIZE 41
#define STORE_SHA256_SIZE   32
#define STORE_SHA256_HEX    65
#define STORE_PATH_SIZE     512 /* "dc2-a/dc2-c", at most 8 names */
#define STORE_ENDPOINT_SIZE 262 /* "host:port" */
#define STORE_TEXT_SIZE     256 /* one line for a person, as in a fault */
#define STORE_WHO_SIZE      128 /* "apikey ci", "operator anna" */

#define STORE_PAGE_MAX  500
#define STORE_NAMES_MAX 64 /* environments or roles of one thing */

/* Environments, roles...; at is an array of count texts. */
struct names {
	char (*at)[STORE_VERSION_SIZE];
	size_t count;
};
void names_clear(struct names *n);
/* Appends a copy.  RC_LIMIT: STORE_NAMES_MAX reached, or too long. */
MUST_CHECK enum rc names_add(struct names *n, const char *name);

/*
 * A page of a list: what sorts after the cursor ("" or NULL: from the start),
 * at most limit rows (0 or more than STORE_PAGE_MAX: STORE_PAGE_MAX).  The
 * next cursor is the key of the last row; fewer rows than limit: the end.
 */
struct page {
	const char *after;
	uint32_t limit;
};

enum store_presence {
	STORE_PRESENCE_UNKNOWN = 0,
	STORE_PRESENCE_ONLINE,
	STORE_PRESENCE_OFFLINE,
	STORE_PRESENCE_COUNT
};

/* Who joins: also the role in a SPIFFE id. */
enum store_role {
	STORE_ROLE_TENTACLE = 0,
	STORE_ROLE_RELAY,
	STORE_ROLE_SERVER,
	STORE_ROLE_COUNT
};

/* Lower-case words, as in SQL and JSON.  Never NULL. */
const char *store_presence_name(enum store_presence p);
const char *store_role_name(enum store_role r);
/* RC_NOTFOUND: no such word. */
MUST_CHECK enum rc store_presence_parse(
    const char *name, enum store_presence *out);
MUST_CHECK enum rc store_role_parse(const char *name, enum store_role *out);

#endif

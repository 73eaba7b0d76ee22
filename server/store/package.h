/* package.h - versions of packages; their bytes are in the blob store under
 * the digest.  SQL thread only. */
#ifndef SERVER_STORE_PACKAGE_H
#define SERVER_STORE_PACKAGE_H

#include "server/store/db.h"
#include "server/store/types.h"

struct store_package {
	char name[STORE_NAME_SIZE];
	char version[STORE_VERSION_SIZE];
	char digest[STORE_SHA256_HEX]; /* SHA-256 of the file, lower hex */
	uint64_t size;                 /* bytes */
	uint64_t created_ms;
	char who[STORE_WHO_SIZE];
};

/* The same again (same digest) is RC_OK; another digest: RC_EXISTS. */
MUST_CHECK enum rc store_package_create(
    struct db *db, const struct store_package *p, struct fault *fault);
/* version NULL or "": the one that was pushed last. */
MUST_CHECK enum rc store_package_get(struct db *db, const char *name,
    const char *version, struct store_package *out, struct fault *fault);
/* name NULL or "": all.  By name, then version; the cursor is
 * "name version".  free(*rows). */
MUST_CHECK enum rc store_package_list(struct db *db, const char *name,
    const struct page *page, struct store_package **rows, size_t *count);
/* RC_STATE: a release uses it. */
MUST_CHECK enum rc store_package_delete(
    struct db *db, const char *name, const char *version, struct fault *fault);

#endif

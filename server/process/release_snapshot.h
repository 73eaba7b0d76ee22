/*
 * release_snapshot.h - what a release froze, as JSON: the process file, the
 * variables and the package versions.
 *
 *     {"format": 1, "project": "shop", "version": "1.4.0",
 *      "process": "project: shop\n...",
 *      "variables": [{"name": "Greeting", "value": "hi", "sensitive": false,
 *                     "wrapped": false, "scope": {"environment": "prod"}}],
 *      "packages": [{"name": "shop-web", "version": "1.4.0",
 *                    "digest": "9f86...", "size": 1234}]}
 *
 * A sensitive value is kept only as the store's encrypted text (wrapped).
 */
#ifndef SERVER_PROCESS_RELEASE_SNAPSHOT_H
#define SERVER_PROCESS_RELEASE_SNAPSHOT_H

#include "server/process/planner.h"

#define SNAPSHOT_BYTES_MAX ((size_t)8 * 1024 * 1024)

struct release_package {
	char *name, *version, *digest;
	uint64_t size;
};

struct release_snapshot {
	char *project, *version;
	char *process; /* YAML text */
	/* Those set by command; the process file's own come from its text. */
	struct variable_set variables;
	struct release_package *packages;
	size_t package_count;
};

/*
 * *out is NUL-terminated JSON; the caller frees it.  RC_DENIED: a sensitive
 * value is not wrapped; RC_NOMEM.
 */
MUST_CHECK enum rc release_snapshot_build(
    const struct release_snapshot *snapshot, char **out);
/* RC_PROTO (fault says where), RC_LIMIT, RC_NOMEM.  On RC_OK the caller owns
 * *out. */
MUST_CHECK enum rc release_snapshot_parse(const char *text, size_t len,
    struct release_snapshot **out, struct fault *fault);
void release_snapshot_free(struct release_snapshot *snapshot);

/*
 * Do the packages cover what the process deploys?  RC_PROTO names the missing
 * one, or the one that nothing uses.
 */
MUST_CHECK enum rc release_snapshot_check(
    const struct release_snapshot *snapshot, const struct process *process,
    struct fault *fault);

#endif

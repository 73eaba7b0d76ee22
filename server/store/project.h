/*
 * project.h - projects (a process as YAML) and their releases (a snapshot of
 * process, variables and package versions).  SQL thread only.
 */
#ifndef SERVER_STORE_PROJECT_H
#define SERVER_STORE_PROJECT_H

#include "server/store/db.h"
#include "server/store/types.h"

#define STORE_PROCESS_MAX  (1u << 20) /* bytes of YAML */
#define STORE_SNAPSHOT_MAX (4u << 20) /* bytes of JSON */
#define STORE_PACKAGES_MAX 64         /* of one release */

struct store_project {
	char name[STORE_NAME_SIZE];
	char description[STORE_TEXT_SIZE];
	uint64_t version; /* raised by each change: the ETag */
	uint64_t created_ms, updated_ms;
	char *process; /* YAML; "" when none yet; NULL in lists */
};
void store_project_clear(struct store_project *p);

/* Inserts name, description, process, created_ms; version 1. */
MUST_CHECK enum rc store_project_create(
    struct db *db, const struct store_project *p, struct fault *fault);
MUST_CHECK enum rc store_project_get(struct db *db, const char *name,
    struct store_project *out, struct fault *fault);
/* RC_NOTFOUND: there is no such project; the fault says how to list them. */
MUST_CHECK enum rc store_project_check(
    struct db *db, const char *name, struct fault *fault);
/* Sorted by name, without their processes; free(*rows). */
MUST_CHECK enum rc store_project_list(struct db *db, const struct page *page,
    struct store_project **rows, size_t *count);
/*
 * Replace the process and raise the version.  if_version not 0 and another
 * one stored: RC_STATE, somebody was quicker.
 */
MUST_CHECK enum rc store_project_set_process(struct db *db,
    const struct store_project *p, uint64_t if_version, uint64_t now_ms,
    struct fault *fault);
/* RC_STATE: it has releases. */
MUST_CHECK enum rc store_project_delete(
    struct db *db, const char *name, struct fault *fault);

struct store_release_package {
	char name[STORE_NAME_SIZE];
	char version[STORE_VERSION_SIZE];
};

struct store_release {
	char project[STORE_NAME_SIZE];
	char version[STORE_VERSION_SIZE];
	uint64_t created_ms;
	char who[STORE_WHO_SIZE];
	uint64_t project_version; /* of the process it was made from */
	char *snapshot;           /* JSON; NULL in lists */
	struct store_release_package packages[STORE_PACKAGES_MAX];
	size_t package_count;
};
void store_release_clear(struct store_release *r);
void store_releases_free(struct store_release *rows, size_t count);

/* RC_STATE: no such project, or one of the packages is not there. */
MUST_CHECK enum rc store_release_create(
    struct db *db, const struct store_release *r, struct fault *fault);
MUST_CHECK enum rc store_release_get(struct db *db, const char *project,
    const char *version, struct store_release *out, struct fault *fault);
/* Newest first, without snapshots; the cursor is a version. */
MUST_CHECK enum rc store_release_list(struct db *db, const char *project,
    const struct page *page, struct store_release **rows, size_t *count);
MUST_CHECK enum rc store_release_delete(struct db *db, const char *project,
    const char *version, struct fault *fault);

#endif

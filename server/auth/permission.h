/*
 * permission.h - what an API key may do.  Default deny.
 *
 * A permission covers a kind of thing and reading or changing it; a key has a
 * set of them, and may be confined to some environments.
 */
#ifndef SERVER_AUTH_PERMISSION_H
#define SERVER_AUTH_PERMISSION_H

#include "proto/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The values are stored: only append. */
enum permission {
	PERM_STATUS_VIEW = 0, /* status, routes, environments */
	PERM_MACHINE_VIEW,    /* machines and relays */
	PERM_MACHINE_EDIT,    /* add, enable, route, release, revoke */
	PERM_ENVIRONMENT_EDIT,
	PERM_TOKEN_EDIT,   /* make and revoke enrolment tokens */
	PERM_PROJECT_VIEW, /* projects, releases, packages */
	PERM_PROJECT_EDIT, /* process and releases */
	PERM_PACKAGE_PUSH,
	PERM_VARIABLE_VIEW, /* never the value of a sensitive one */
	PERM_VARIABLE_EDIT,
	PERM_TASK_VIEW,  /* tasks and their logs */
	PERM_DEPLOY,     /* deploy a release, cancel a deployment */
	PERM_RUN_SCRIPT, /* ad-hoc scripts */
	PERM_HEALTH_RUN,
	PERM_APIKEY_EDIT,
	PERM_AUDIT_VIEW,
	PERM_SERVER_ADMIN, /* settings, certificates */
	PERM_TASK_APPROVE, /* let a deployment that asks go on, or not */
	PERM_COUNT
};

typedef uint64_t permission_set; /* bit 1 << permission */

#define PERM_BIT(p) (UINT64_C(1) << (p))
#define PERM_ALL    (PERM_BIT(PERM_COUNT) - 1)

/* "machine.view"...  Never NULL. */
const char *permission_name(enum permission p);
/* RC_NOTFOUND: no such name. */
MUST_CHECK enum rc permission_parse(const char *name, enum permission *out);
/*
 * Comma-separated names, or one of the sets "all", "view" (all that end in
 * ".view" but the audit) and "deployer" (view, package.push, deploy,
 * health.run, release making).  RC_NOTFOUND and fault name the word that is
 * none.
 */
MUST_CHECK enum rc permission_set_parse(
    const char *text, permission_set *out, struct fault *fault);
/* The names, comma-separated; cut at size (600 holds all). */
void permission_set_format(permission_set set, char *out, size_t size);

#endif

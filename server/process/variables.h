/*
 * variables.h - named values with scopes, and what they are on one machine.
 *
 * Which value of a name counts: its scope must match in every part that it
 * names; then machine beats role beats environment beats none, and parts add
 * up (machine + environment beats machine).  Among equals the last one wins,
 * so that values set later (longarm variable set) come after those of the
 * process file.
 *
 * Values may use each other and the built-in names as ${Name}; $${ stands for
 * a plain ${.  The built-in names are Environment, Machine, Role (all roles,
 * comma-separated), Project, Release, Version, Deployment and Task; nobody
 * may set them.  A value that uses a sensitive one is sensitive itself.
 *
 * Scripts are not expanded (the shell has the same syntax): they get
 * variables in their environment.
 */
#ifndef SERVER_PROCESS_VARIABLES_H
#define SERVER_PROCESS_VARIABLES_H

#include "proto/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VARIABLE_NAME_MAX   100u /* bytes */
#define VARIABLE_VALUE_MAX  ((size_t)32 * 1024)
#define VARIABLES_MAX       2000u                 /* values in one set */
#define VARIABLES_BYTES_MAX ((size_t)1024 * 1024) /* resolved, all together */
#define VARIABLE_DEPTH_MAX  16u                   /* ${} that use ${} */

struct variable {
	char *name;
	/* NULL: only declared, a value must come from elsewhere. */
	char *value;
	bool sensitive;
	/* value is encrypted text of the store, not yet usable. */
	bool wrapped;
	char *environment, *machine, *role; /* scope; NULL: any */
	uint32_t line; /* in the process file; 0: set by a command */
};

struct variable_set {
	struct variable *items;
	size_t count;
};

/* Every string is borrowed; NULL: that built-in is not set. */
struct variable_context {
	const char *project, *environment, *machine, *release, *version;
	const char *deployment, *task;
	const char *const *roles;
	size_t role_count;
};

struct resolved_variable {
	char *name, *value;
	bool sensitive;
};

struct resolved_variables {
	struct resolved_variable *items; /* sorted by name */
	size_t count;
};

/* [A-Za-z_][A-Za-z0-9_.:-]{0,99} */
bool variable_name_is_valid(const char *name);
bool variable_name_is_built_in(const char *name);

/*
 * Append a deep copy.  RC_PROTO (fault says why): bad or built-in name, or a
 * value with a NUL or too long; RC_LIMIT; RC_NOMEM.  On error the set is as
 * it was.
 */
MUST_CHECK enum rc variable_set_add(struct variable_set *set,
    const struct variable *variable, struct fault *fault);
/* Append copies of all of other. */
MUST_CHECK enum rc variable_set_join(struct variable_set *set,
    const struct variable_set *other, struct fault *fault);
/* Zeroes values before it frees them. */
void variable_set_clear(struct variable_set *set);

/*
 * All variables as they are in this context, built-in ones included.
 * RC_PROTO: one has no value, is used but not set, or uses itself; the fault
 * names it, and its line in `file` (for messages; may be NULL).  RC_STATE: a
 * value is still wrapped.  RC_LIMIT, RC_NOMEM.  On RC_OK the caller clears
 * *out; on error *out is empty.
 */
MUST_CHECK enum rc variables_resolve(const struct variable_set *set,
    const struct variable_context *context, const char *file,
    struct resolved_variables *out, struct fault *fault);
/* NULL when it is not set. */
const struct resolved_variable *resolved_variables_find(
    const struct resolved_variables *variables, const char *name);
void resolved_variables_clear(struct resolved_variables *variables);

#endif

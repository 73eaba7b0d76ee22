/*
 * environment.h - what a script finds in its environment: a short list that we
 * set, and the variables given to it.  Nothing of our own environment.
 */
#ifndef TENTACLE_ENVIRONMENT_H
#define TENTACLE_ENVIRONMENT_H

#include "proto/message.h"

#define ENVIRONMENT_MAX       1024   /* variables */
#define ENVIRONMENT_BYTES_MAX 524288 /* names and values in all */
#define ENVIRONMENT_VALUE_MAX 65536

struct environment; /* opaque; wiped when freed */

MUST_CHECK enum rc environment_new(struct environment **out);
void environment_free(struct environment *e); /* NULL is fine */

/* One that we set ourselves, e.g. PATH. */
MUST_CHECK enum rc environment_set(
    struct environment *e, const char *name, const char *value);
/*
 * One that was given.  '.', ':' and '-' in its name become '_'.  RC_DENIED with
 * REASON_BAD_CONFIG: the name is reserved (PATH, LONGARM_...), or it changes
 * how programs are loaded or shells begin (LD_..., BASH_ENV, IFS...).
 * RC_EXISTS: another has this name.  RC_LIMIT; RC_PROTO: a NUL byte in the
 * value.
 */
MUST_CHECK enum rc environment_add(
    struct environment *e, const struct msg_pair *pair, struct fault *fault);
/* For execve; borrowed. */
char *const *environment_list(const struct environment *e);

#endif

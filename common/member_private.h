/* member_private.h - what member*.c share.  Not for others. */
#ifndef COMMON_MEMBER_PRIVATE_H
#define COMMON_MEMBER_PRIVATE_H

#include "common/member.h"

/* Put the identity on the disk as a whole; m->unsaved tells how it went. */
MUST_CHECK enum rc member_save_identity(struct member *m, struct fault *fault);
/* Contexts of the identity as it is now, in the place of m's. */
MUST_CHECK enum rc member_new_contexts(struct member *m, struct fault *fault);
/* Read the trust bundle that is on the disk; a bad one is logged and left out,
 * and a server tells it again. */
void member_load_trust(struct member *m);

#endif

/*
 * trust_validity.h - for trust.c only: is a chain valid now, and the words when
 * it is not.  Pure; who is "tentacle web-01".
 */
#ifndef COMMON_TRUST_VALIDITY_H
#define COMMON_TRUST_VALIDITY_H

#include "common/certs.h"

/*
 * RC_OK: inside the validity of all.  RC_AGAIN: only the leaf has expired.
 * RC_DENIED: another has, or one is not valid yet.  *not_after_s: of the leaf.
 */
MUST_CHECK enum rc trust_check_time(const struct certs *chain, int64_t now_s,
    const char *who, int64_t *not_after_s, struct fault *fault);

void trust_set_expired_fault(
    struct fault *fault, const char *who, int64_t not_after_s, int64_t now_s);
void trust_set_retired_fault(struct fault *fault, const char *who);

#endif

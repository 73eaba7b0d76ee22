/*
 * authority.h - a cluster's keys in a directory, for the bench: whoever takes
 * part has a certificate of the same kind as in the product, and so have the
 * programs that the product is compared with.
 */
#ifndef TEST_BENCH_AUTHORITY_H
#define TEST_BENCH_AUTHORITY_H

#include "common/ca.h"
#include "common/identity.h"
#include "common/trust.h"

struct authority {
	struct ca *root, *nodes, *agents;
	struct trust *trust;
};

/* New keys, below dir, which is made. */
MUST_CHECK enum rc authority_create(
    const char *dir, struct authority *out, struct fault *fault);
MUST_CHECK enum rc authority_load(
    const char *dir, struct authority *out, struct fault *fault);
void authority_fini(struct authority *a);

/* A new key and a certificate for it. */
MUST_CHECK enum rc authority_issue(const struct authority *a,
    enum peer_role role, const char *name, struct identity **out,
    struct fault *fault);
/* Key, then the chain, in one file, as haproxy and others read them. */
MUST_CHECK enum rc authority_write_pem(
    const struct identity *id, const char *path, struct fault *fault);

#endif

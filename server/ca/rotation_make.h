/*
 * rotation_make.h - new authorities, and what is to be trusted while they
 * follow the old ones and afterwards.  Pure: keys and times in, keys and
 * certificates out.  Any thread.
 */
#ifndef SERVER_CA_ROTATION_MAKE_H
#define SERVER_CA_ROTATION_MAKE_H

#include "common/trust_bundle.h"
#include "server/store/rotation.h"

struct rotation_wish {
	enum rotation_kind kind;
	const struct ca *root; /* of now */
	/* Keys of those that issue now. */
	uint8_t agents[KEY_HASH_SIZE], nodes[KEY_HASH_SIZE];
	/* What is trusted now; number 0: never rotated, roots only. */
	const struct trust_bundle *now;
	int64_t now_s;
};

struct rotation_made {
	struct ca *root, *agents, *nodes; /* NULL: it stays */
	/* With a new root: what is above it for who trusts the old one. */
	struct certs above;
	/* Keys of those that will issue. */
	uint8_t agents_hash[KEY_HASH_SIZE], nodes_hash[KEY_HASH_SIZE];
	uint64_t number;              /* of during; after has the next */
	struct packbuf during, after; /* signed bundles */
};

/* rotation_made_fini() in all cases.  *fault on failure. */
MUST_CHECK enum rc rotation_make(const struct rotation_wish *wish,
    struct rotation_made *out, struct fault *fault);
void rotation_made_fini(struct rotation_made *made);

#endif

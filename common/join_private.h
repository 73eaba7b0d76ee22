/*
 * join_private.h - what the ways to join share: the key that waits for its
 * certificate, in STATE/joining, and the end.
 */
#ifndef COMMON_JOIN_PRIVATE_H
#define COMMON_JOIN_PRIVATE_H

#include "common/fs.h"
#include "common/member.h"

struct joining {
	const char *state_dir; /* borrowed */
	enum peer_role role;
	char dir[FS_PATH_MAX]; /* of the key */
	int lock;
	struct identity *identity;
};

/*
 * Lock the state directory, and take the key of an earlier, unfinished join, or
 * a new one.  RC_EXISTS: it has joined already.  joining_end() in any case.
 */
MUST_CHECK enum rc joining_begin(const char *state_dir, enum peer_role role,
    struct joining *out, struct fault *fault);
/* The certificate is here: check it and make the member. */
MUST_CHECK enum rc joining_keep(struct joining *j, const struct msg_enrolled *m,
    const struct msg_peer *peers, size_t count, struct fault *fault);
/* Not yet: the key waits for the next time. */
void joining_leave(struct joining *j);
/* RC_OK: it has joined; the key has its place now.  Returns rc, or why that
 * failed. */
MUST_CHECK enum rc joining_end(
    struct joining *j, enum rc rc, struct fault *fault);

#endif
